//! The manifest's file, and the names of all others: what is read, put in its place, and cleared away.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::codec::{self, DecodeError};
use super::segment_file_name;
use super::{COPYING_FILE, Contents, Floor, MANIFEST_BYTES_MAX, MANIFEST_FILE, ManifestError, Moment, TEMPORARY_FILE};
use crate::store::disk::{Disk, Mode};
use crate::store::hot::{HOT_FILE, HOT_TEMPORARY_FILE};

pub(super) fn read(disk: &dyn Disk) -> Result<Contents, ManifestError> {
    let bytes = read_file(disk, MANIFEST_FILE).map_err(failed("read the file MANIFEST"))?;
    codec::decode(&bytes).map_err(|error| match error {
        DecodeError::Damaged(what) => ManifestError::Damaged(what),
        DecodeError::Newer(what) => ManifestError::Newer(what),
    })
}

pub(super) fn read_file(disk: &dyn Disk, name: &str) -> io::Result<Vec<u8>> {
    let file = disk.open(name, Mode::Read)?;
    let length = file.length()?;
    if length > MANIFEST_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{length} bytes are too many for a manifest")));
    }
    let mut bytes = vec![0; length as usize];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

pub(super) fn create(disk: &dyn Disk, names: &[String]) -> Result<Contents, ManifestError> {
    if let Some(segment) = names.iter().find(|name| matches!(role(name), Role::Of { .. })) {
        return Err(ManifestError::Missing { segment: segment.clone() });
    }
    let contents = Contents {
        dataset_id: random()?,
        hash_seed: random()?,
        next_segment_id: 1,
        clock_floor: 0,
        segments: BTreeMap::new(),
        held: BTreeMap::new(),
        floor: Floor::default(),
        horizon: Moment::default(),
    };
    install(disk, &contents).map_err(failed("create the file MANIFEST"))?;
    Ok(contents)
}

pub(super) fn random() -> Result<[u8; 16], ManifestError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| failed("get random bytes")(io::Error::from(error)))?;
    Ok(bytes)
}

/// Puts `contents` in the place of the manifest, durably.
pub(super) fn install(disk: &dyn Disk, contents: &Contents) -> io::Result<()> {
    let prepared = prepare(disk, &codec::encode(contents)).and_then(|()| disk.rename(TEMPORARY_FILE, MANIFEST_FILE));
    if let Err(error) = prepared {
        // If this fails too, the next edit or the next start removes it.
        let _ = disk.remove(TEMPORARY_FILE);
        return Err(error);
    }
    disk.sync_directory()
}

/// Writes a new temporary file. Never into an old one: its sync may have failed, and then a second one lies.
pub(super) fn prepare(disk: &dyn Disk, bytes: &[u8]) -> io::Result<()> {
    let file = match disk.open(TEMPORARY_FILE, Mode::Create) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(TEMPORARY_FILE)?;
            disk.open(TEMPORARY_FILE, Mode::Create)?
        }
        result => result?,
    };
    file.write_at(bytes, 0)?;
    file.sync_data()
}

/// Removes what a crash left behind, once it is clear that all that is listed is there.
pub(super) fn clean(disk: &dyn Disk, names: &[String], contents: &Contents) -> Result<(), ManifestError> {
    let present: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    for id in contents.segments.keys() {
        let segment = segment_file_name(*id);
        if !present.contains(segment.as_str()) {
            return Err(ManifestError::SegmentMissing { segment });
        }
    }
    for name in names {
        let left_behind = match role(name) {
            Role::Temporary => true,
            Role::Of { segment } => !contents.segments.contains_key(&segment) && !contents.held.contains_key(&segment),
            Role::Hot | Role::Foreign => false,
        };
        if left_behind {
            match disk.remove(name) {
                // Creating the manifest has used up the temporary file by now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result.map_err(failed("remove a file that a crash left behind"))?,
            }
        }
    }
    Ok(())
}

/// What a file is to the store, by its name.
pub(in crate::store) enum Role {
    Temporary,
    /// A segment or its hint.
    Of {
        segment: u32,
    },
    /// What was in memory; of no segment.
    Hot,
    Foreign,
}

/// What a file of this name is.
pub(in crate::store) fn role(name: &str) -> Role {
    match name {
        TEMPORARY_FILE | COPYING_FILE | HOT_TEMPORARY_FILE => return Role::Temporary,
        HOT_FILE => return Role::Hot,
        _ => {}
    }
    let Some((digits, suffix)) = name.split_once('.') else { return Role::Foreign };
    if digits.len() != 10 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Role::Foreign;
    }
    match (suffix, digits.parse()) {
        ("log.tmp" | "hint.tmp", Ok(0..=u32::MAX)) => Role::Temporary,
        ("log" | "hint", Ok(segment)) => Role::Of { segment },
        _ => Role::Foreign,
    }
}

pub(super) fn failed(action: &'static str) -> impl Fn(io::Error) -> ManifestError {
    move |error| ManifestError::Io { action, error }
}
