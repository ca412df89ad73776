//! Copies of a store: of one that is running, of one that nobody runs, and back.
//!
//! Always true: a copy shares the files that never change again, by links, where the file system can; it has no manifest,
//! and so is no store, before everything in it is durable; what is copied from is not changed.
//!
//! | file | what |
//! | --- | --- |
//! | `running` | a backup of a running store |
//! | `restore` | a copy of a store that nobody runs, whole or as it was at some moment |
//! | `moment` | where in the log a moment is |

mod moment;
mod restore;
mod running;

use std::io;

pub use self::restore::{At, RestoreError, Restored};
use super::disk::os::LOCK_FILE;
use super::disk::{Disk, Mode};
use super::manifest::{COPYING_FILE, Held, MANIFEST_FILE, Moment, Role, hint_file_name, role, segment_file_name};
use super::reader::READ_BYTES;

/// The directory in a data directory that has the backups of a running store.
pub const BACKUP_DIRECTORY: &str = "backups";
/// The longest name of a backup.
pub const BACKUP_NAME_BYTES_MAX: usize = 64;

/// What a copy has become.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Segments, those included that are only kept for earlier moments.
    pub segments: usize,
    /// Files that are shared with the original.
    pub files_linked: usize,
    /// Bytes that had to be copied.
    pub bytes_copied: u64,
    /// The number of its last record.
    pub sequence: u64,
    /// Files that were left out: they were only held for earlier moments, and are missing.
    pub missing: Vec<String>,
}

/// Whether a backup may have this name: letters, digits, `.`, `_` and `-`, and no dot at the beginning.
pub fn is_backup_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=BACKUP_NAME_BYTES_MAX).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(is_plain)
}

impl Copied {
    /// Gives what is held to another directory; what of it is missing is left out, as no key needs it. Returns what was
    /// given, and before which moment nothing can be brought back there.
    fn take_held(&mut self, from: &dyn Disk, held: &[Held], to: &dyn Disk) -> io::Result<(Vec<Held>, Moment)> {
        let (mut taken, mut horizon) = (Vec::new(), Moment::default());
        for held in held {
            match self.take(from, held.segment.id, to) {
                Ok(()) => taken.push(*held),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.missing.push(segment_file_name(held.segment.id));
                    horizon = horizon.max(held.since);
                }
                Err(error) => return Err(error),
            }
        }
        Ok((taken, horizon))
    }

    /// Gives a sealed segment and its hint, where it has one, to another directory.
    fn take(&mut self, from: &dyn Disk, id: u32, to: &dyn Disk) -> io::Result<()> {
        self.file(from, &segment_file_name(id), to)?;
        self.segments += 1;
        match self.file(from, &hint_file_name(id), to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            hint => hint,
        }
    }

    fn file(&mut self, from: &dyn Disk, name: &str, to: &dyn Disk) -> io::Result<()> {
        match from.link(name, to) {
            Err(error) if matches!(error.kind(), io::ErrorKind::CrossesDevices | io::ErrorKind::Unsupported) => {
                let length = from.open(name, Mode::Read)?.length()?;
                self.part(from, name, length, to)
            }
            linked => linked.map(|()| self.files_linked += 1),
        }
    }

    /// Copies the first bytes of a file, durably; long runs of zeros are left out and read as such.
    fn part(&mut self, from: &dyn Disk, name: &str, length: u64, to: &dyn Disk) -> io::Result<()> {
        let source = from.open(name, Mode::Read)?;
        let target = to.open(name, Mode::Create)?;
        let mut piece = vec![0; READ_BYTES];
        let mut at = 0;
        while at < length {
            let wanted = (length - at).min(READ_BYTES as u64) as usize;
            let read = source.read_at(&mut piece[..wanted], at)?;
            if read == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{name} ends before byte {length}")));
            }
            if piece[..read].iter().any(|byte| *byte != 0) {
                target.write_at(&piece[..read], at)?;
                self.bytes_copied += read as u64;
            }
            at += read as u64;
        }
        target.truncate(length)?;
        target.sync_data()
    }
}

/// Begins a copy: takes away what an earlier attempt has left. Refused is whatever nobody has said to be a copy: a complete
/// one, a store that has lost its manifest, anything else.
fn begin(target: &dyn Disk) -> io::Result<()> {
    let taken = |text| Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    let mut names = target.list()?;
    names.retain(|name| name != LOCK_FILE);
    if names.iter().any(|name| name == MANIFEST_FILE) {
        return taken("there is a store already".to_owned());
    }
    if let Some(name) = names.iter().find(|name| matches!(role(name), Role::Foreign)) {
        return taken(format!("there is something else already, {name}"));
    }
    let is_copy = names.iter().any(|name| name == COPYING_FILE);
    if let Some(name) = names.first().filter(|_| !is_copy) {
        return taken(format!(
            "there is {name} of a store that has lost its {MANIFEST_FILE}: `caskade repair` may save it"
        ));
    }
    names.iter().filter(|name| *name != COPYING_FILE).try_for_each(|name| target.remove(name))?;
    if !is_copy {
        target.open(COPYING_FILE, Mode::Create)?;
    }
    // It has to be there before anything else is.
    target.sync_directory()
}

/// Ends a copy that has its manifest. Where the mark stays, it does no harm, and the next start removes it.
fn end(target: &dyn Disk) {
    let _ = target.remove(COPYING_FILE);
}
