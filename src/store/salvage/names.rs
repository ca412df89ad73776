//! Which file is which, by what is in it, and how files with exchanged names get their own again.
//!
//! Always true: a file gets the name that its header or its footer says, and only where what stands under that name is
//! missing or says that it is something else; nothing is overwritten; after a crash at any step, the same is found to be
//! done that is left, and no server starts before, for it would remove what is not listed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use crate::store::disk::{Disk, File, Mode};
use crate::store::hint::{SegmentIdentity, hint_identity};
use crate::store::manifest::{MANIFEST_FILE, Manifest, Role, hint_file_name, is_manifest, role, segment_file_name};
use crate::store::segment::{Header, SEGMENT_HEADER_BYTES};

/// What the names of files begin with that step aside while others get their names; a number follows.
const RENAMING: &str = "renaming-";

/// Whether a file of this name has stepped aside. A directory of that name is nobody's.
pub(crate) fn is_renaming(disk: &dyn Disk, name: &str) -> io::Result<bool> {
    let number = name.strip_prefix(RENAMING).unwrap_or_default();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(false);
    }
    // A directory can be opened, and not be read.
    match disk.open(name, Mode::Read).and_then(|file| file.read_at(&mut [0], 0)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::NotFound) => Ok(false),
        read => read.map(|_| true),
    }
}

/// Files that have each other's names: each name as it is, and as it should be.
pub(super) type Moves = BTreeMap<String, String>;

/// What a file says that it is.
enum Content {
    Manifest,
    Segment(Header),
    Hint(SegmentIdentity),
    /// It says nothing, or something else.
    Unknown,
}

impl Content {
    /// The name that it should have.
    fn name(&self) -> Option<String> {
        match self {
            Self::Manifest => Some(MANIFEST_FILE.to_owned()),
            Self::Segment(header) => Some(segment_file_name(header.id)),
            Self::Hint(identity) => Some(hint_file_name(identity.id)),
            Self::Unknown => None,
        }
    }

    /// Whether the manifest lists or holds a segment that it is of.
    fn is_known(&self, manifest: &Manifest) -> bool {
        let (id, salt, dataset) = match self {
            Self::Manifest => return true,
            Self::Segment(header) => (header.id, header.salt, header.dataset),
            Self::Hint(identity) => (identity.id, identity.salt, identity.dataset),
            Self::Unknown => return false,
        };
        let held = || manifest.held().into_iter().map(|held| held.segment).find(|held| held.id == id);
        dataset == manifest.dataset_id() && manifest.segment(id).or_else(held).is_some_and(|known| known.salt == salt)
    }
}

/// Finds out which files have the names of others.
pub(super) fn misnamed(disk: &Arc<dyn Disk>) -> io::Result<Moves> {
    let mut contents = BTreeMap::new();
    for name in disk.list()? {
        if name == MANIFEST_FILE || is_renaming(&**disk, &name)? || !matches!(role(&name), Role::Foreign) {
            let content = content(&**disk, &name)?;
            contents.insert(name, content);
        }
    }
    let of_manifest = moves(&contents, |content| matches!(content, Content::Manifest));
    let renamed = Arc::new(Renamed::new(disk.clone(), of_manifest));
    Ok(match Manifest::open_to_read(renamed) {
        Ok(Some(manifest)) => moves(&contents, |content| content.is_known(&manifest)),
        // Then only the headers say what there is.
        _ => moves(&contents, |_| true),
    })
}

fn moves(contents: &BTreeMap<String, Content>, is_wanted: impl Fn(&Content) -> bool) -> Moves {
    let mut moves = Moves::new();
    for (name, content) in contents {
        let Some(own) = content.name().filter(|_| is_wanted(content)) else { continue };
        let is_free = match contents.get(&own) {
            None => true,
            // One that stands where it should is left there, and so is what cannot be told.
            Some(other) => other.name().is_some_and(|name| name != own),
        };
        // Of two that say the same, that under the first name.
        if *name != own && is_free && !moves.values().any(|to| *to == own) {
            moves.insert(name.clone(), own);
        }
    }
    // What is in the way of another, and has no place of its own, must not be lost.
    while let Some(from) = blocked(&moves, contents) {
        moves.remove(&from);
    }
    moves
}

fn blocked(moves: &Moves, contents: &BTreeMap<String, Content>) -> Option<String> {
    let blocked = moves.iter().find(|(_, to)| contents.contains_key(*to) && !moves.contains_key(*to));
    blocked.map(|(from, _)| from.clone())
}

fn content(disk: &dyn Disk, name: &str) -> io::Result<Content> {
    if let Some(header) = header_of(disk, name)? {
        return Ok(Content::Segment(header));
    }
    if is_manifest(disk, name)? {
        return Ok(Content::Manifest);
    }
    // A hint that was not yet complete by its name is none.
    let hint = if matches!(role(name), Role::Temporary) { None } else { hint_identity(disk, name)? };
    Ok(hint.map_or(Content::Unknown, Content::Hint))
}

/// The header of a file that begins as a segment does.
pub(super) fn header_of(disk: &dyn Disk, name: &str) -> io::Result<Option<Header>> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let read = disk.open(name, Mode::Read)?.read_at(&mut bytes, 0)?;
    Ok(if read == bytes.len() { Header::read(&bytes).ok() } else { None })
}

/// Gives files their names, one durable step after the other.
pub(super) fn rename(disk: &dyn Disk, mut moves: Moves) -> io::Result<()> {
    let mut present: BTreeSet<String> = disk.list()?.into_iter().collect();
    while let Some((from, to)) = moves.iter().next().map(|(from, to)| (from.clone(), to.clone())) {
        let free = moves.iter().find(|(_, to)| !present.contains(*to));
        let (from, to) = match free.map(|(from, to)| (from.clone(), to.clone())) {
            Some((from, to)) => {
                moves.remove(&from);
                (from, to)
            }
            None => {
                // All that is left goes round in circles: one steps aside. As long as it does, no server starts.
                let aside = (1..).map(|number| format!("{RENAMING}{number}"));
                let aside = aside.into_iter().find(|aside| !present.contains(aside)).unwrap_or_default();
                let home = moves.remove(&to).unwrap_or(from);
                moves.insert(aside.clone(), home);
                (to, aside)
            }
        };
        disk.rename(&from, &to)?;
        disk.sync_directory()?;
        present.remove(&from);
        present.insert(to);
    }
    Ok(())
}

/// A disk as it is going to be once the files have their names; it can only be looked at.
pub(super) struct Renamed {
    disk: Arc<dyn Disk>,
    /// What is under each name, by the name that it has now.
    real: BTreeMap<String, String>,
    moves: Moves,
}

impl Renamed {
    pub(super) fn new(disk: Arc<dyn Disk>, moves: Moves) -> Self {
        let real = moves.iter().map(|(from, to)| (to.clone(), from.clone())).collect();
        Self { disk, real, moves }
    }
}

impl Disk for Renamed {
    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn File>> {
        if mode != Mode::Read {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        match self.real.get(name) {
            Some(real) => self.disk.open(real, mode),
            None if self.moves.contains_key(name) => Err(io::ErrorKind::NotFound.into()),
            None => self.disk.open(name, mode),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names: BTreeSet<String> = self.disk.list()?.into_iter().collect();
        names.retain(|name| !self.moves.contains_key(name));
        names.extend(self.real.keys().cloned());
        Ok(names.into_iter().collect())
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn free_space(&self) -> io::Result<u64> {
        self.disk.free_space()
    }

    fn directory(&self, _: &str) -> io::Result<Arc<dyn Disk>> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn link(&self, _: &str, _: &dyn Disk) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}
