//! The directory in which whatever is taken away is kept.
//!
//! Always true: what is there is durable before its original goes; nothing that was set aside is ever overwritten.

use std::io;
use std::sync::Arc;

use crate::store::disk::{Disk, Mode};

/// What the names of such directories begin with; a number follows.
const NAME: &str = "set-aside-";
/// Bytes copied at once.
const PIECE_BYTES: usize = 1 << 20;

/// Whether this is the name of such a directory.
pub(in crate::store) fn is_set_aside(name: &str) -> bool {
    number(name).is_some()
}

/// A directory for what is taken away by one repair; it is made when the first file goes there.
pub(super) struct Aside {
    disk: Arc<dyn Disk>,
    directory: Option<(String, Arc<dyn Disk>)>,
}

impl Aside {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, directory: None }
    }

    /// The name of the directory, if anything is there.
    pub(super) fn name(&self) -> Option<&str> {
        self.directory.as_ref().map(|(name, _)| name.as_str())
    }

    /// Gives those of these files that there are a second, durable name in the directory, or a copy where the file system
    /// has no such names.
    pub(super) fn keep(&mut self, names: &[String]) -> io::Result<()> {
        let present = self.disk.list()?;
        let names: Vec<&String> = names.iter().filter(|name| present.contains(name)).collect();
        if names.is_empty() {
            return Ok(());
        }
        let directory = self.open(&present)?;
        for name in names {
            match self.disk.link(name, &*directory) {
                Err(error) if is_unsupported(&error) => copy(&*self.disk, name, &*directory)?,
                linked => linked?,
            }
        }
        directory.sync_directory()
    }

    /// Removes those of these files that there are, once the directory has them.
    pub(super) fn remove(&self, names: &[String]) -> io::Result<()> {
        for name in names {
            match self.disk.remove(name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
        self.disk.sync_directory()
    }

    fn open(&mut self, present: &[String]) -> io::Result<Arc<dyn Disk>> {
        if let Some((_, directory)) = &self.directory {
            return Ok(directory.clone());
        }
        let last = present.iter().filter_map(|name| number(name)).max().unwrap_or(0);
        let name = format!("{NAME}{}", last + 1);
        let directory = self.disk.directory(&name)?;
        self.disk.sync_directory()?;
        self.directory = Some((name, directory.clone()));
        Ok(directory)
    }
}

fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(NAME)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::CrossesDevices)
}

fn copy(from: &dyn Disk, name: &str, to: &dyn Disk) -> io::Result<()> {
    let (source, target) = (from.open(name, Mode::Read)?, to.open(name, Mode::Create)?);
    let (mut piece, mut at) = (vec![0; PIECE_BYTES], 0);
    loop {
        let read = source.read_at(&mut piece, at)?;
        if read == 0 {
            return target.sync_data();
        }
        target.write_at(&piece[..read], at)?;
        at += read as u64;
    }
}
