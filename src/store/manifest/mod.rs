//! The manifest: it alone says which segments exist. One small file, replaced whole by a rename, so that an edit is
//! there entirely or not at all, and damage is never mistaken for a crash.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use self::files::{clean, create, failed, install, read};
use super::disk::Disk;
use super::salvage::is_renaming;
use crate::sync::Mutex;

mod codec;
mod files;
mod rebuild;

pub(super) use self::files::{Role, role};
pub(super) use self::rebuild::{Rebuilt, is_manifest};

/// The file's name.
pub const MANIFEST_FILE: &str = "MANIFEST";

/// Where the next manifest is prepared.
const TEMPORARY_FILE: &str = "MANIFEST.tmp";

/// What stands in a directory as long as it is a copy that is not complete.
pub(super) const COPYING_FILE: &str = "COPYING.tmp";

/// Far more than a manifest can need: a guard against reading some other large file into memory.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// The name of a segment's file.
pub fn segment_file_name(id: u32) -> String {
    format!("{id:010}.log")
}

/// The name of a segment's hint.
pub(super) fn hint_file_name(id: u32) -> String {
    format!("{id:010}.hint")
}

/// The name of a hint that is not yet complete.
pub(super) fn hint_temporary_name(id: u32) -> String {
    format!("{id:010}.hint.tmp")
}

/// Who fills a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentKind {
    /// Writes of users, in the order of the log.
    Foreground,
    /// Survivors of a compaction.
    Compacted,
}

/// How far a segment is to be trusted. Lengths are bytes of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// Still written to, or was when the process ended: recovery finds its end.
    Active,
    /// Complete at exactly this length, and never changed again.
    Sealed(u64),
    /// What stands beyond this length is doubtful (a sync failed) and must not be read.
    Cut(u64),
}

/// A segment as the manifest knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub id: u32,
    pub kind: SegmentKind,
    /// Goes into every checksum of the segment, so that no record of another file is taken for one of its own.
    pub salt: u32,
    /// The sequence number at which the segment begins.
    pub base_sequence: u64,
    /// The position in the log, bytes since the dataset began, at which the segment begins.
    pub base_position: u64,
    pub state: SegmentState,
}

/// Where the last segment of the log that was removed ended: the log goes on at or behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floor {
    /// Bytes since the dataset began.
    pub position: u64,
    /// The number of its last record.
    pub sequence: u64,
}

/// A segment that was taken off the list and is kept for some time, so that the past can be brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// As it was listed.
    pub segment: Segment,
    /// When it was taken off.
    pub since: Moment,
}

/// A moment of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The number of the last record.
    pub sequence: u64,
    /// The time, milliseconds since the Unix epoch.
    pub time: u64,
}

/// Why a manifest could not be opened.
#[derive(Debug)]
pub enum ManifestError {
    /// A call to the disk failed; `action` completes "cannot ...".
    Io { action: &'static str, error: io::Error },
    /// The file is not what was written.
    Damaged(String),
    /// A newer program wrote it; the text says what is not understood.
    Newer(String),
    /// There are segments, but no manifest.
    Missing { segment: String },
    /// A listed segment has no file.
    SegmentMissing { segment: String },
    /// A repair was giving files their names, and this one had stepped aside; or it is called so, and nobody knows why.
    Renaming { file: String },
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, error } => write!(f, "cannot {action}: {error}"),
            Self::Damaged(what) => {
                write!(f, "the file {MANIFEST_FILE} is damaged: {what}; nothing was changed")
            }
            Self::Newer(what) => {
                write!(f, "the file {MANIFEST_FILE} was written by a newer version ({what}); start that version")
            }
            Self::Missing { segment } => write!(
                f,
                "the file {MANIFEST_FILE} is missing although there is data ({segment}); nothing was changed: move the \
                 data away to start empty"
            ),
            Self::SegmentMissing { segment } => {
                write!(f, "the file {segment}, listed in {MANIFEST_FILE}, is missing; nothing was changed")
            }
            Self::Renaming { file } => write!(
                f,
                "the file {file} has a name that files have while a repair gives others theirs: if one was broken off, \
                 nothing is lost, and a second repair does the rest; if none was, it sets the file aside; nothing was changed"
            ),
        }
    }
}

impl ManifestError {
    /// Whether something is damaged, so that a repair may help.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(_) | Self::Missing { .. } | Self::SegmentMissing { .. } | Self::Renaming { .. } => true,
            Self::Io { .. } | Self::Newer(_) => false,
        }
    }
}

impl std::error::Error for ManifestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// Changes made together or not at all. Removals come first, then what is held and released, then replacements,
/// additions, seals and cuts.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    remove: Vec<u32>,
    hold: Vec<(u32, Moment)>,
    release: Vec<u32>,
    horizon: Moment,
    replace: Vec<Segment>,
    add: Vec<Segment>,
    states: Vec<(u32, SegmentState)>,
    clock_floor: u64,
    floor: Floor,
}

impl Edit {
    /// Changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lists a segment; its file, and the file's name, must be durable already.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "it adds to a list; nobody takes it for a sum")]
    pub fn add(mut self, segment: Segment) -> Self {
        self.add.push(segment);
        self
    }

    /// Changes everything known of the listed segment of this id.
    #[must_use]
    pub fn replace(mut self, segment: Segment) -> Self {
        self.replace.push(segment);
        self
    }

    /// Marks a segment as complete at `length` bytes; its data must be durable already.
    #[must_use]
    pub fn seal(mut self, id: u32, length: u64) -> Self {
        self.states.push((id, SegmentState::Sealed(length)));
        self
    }

    /// Marks a segment as doubtful beyond `length` bytes.
    #[must_use]
    pub fn cut(mut self, id: u32, length: u64) -> Self {
        self.states.push((id, SegmentState::Cut(length)));
        self
    }

    /// Takes a segment off the list; its file may be removed once the edit has succeeded.
    #[must_use]
    pub fn remove(mut self, id: u32) -> Self {
        self.remove.push(id);
        self
    }

    /// Takes a segment off the list at this moment, but keeps it.
    #[must_use]
    pub fn hold(mut self, id: u32, since: Moment) -> Self {
        self.hold.push((id, since));
        self
    }

    /// Gives up a segment that was held; its file may be removed once the edit has succeeded.
    #[must_use]
    pub fn release(mut self, id: u32) -> Self {
        self.release.push(id);
        self
    }

    /// Raises the moment before which nothing can be brought back: that at which something was removed.
    #[must_use]
    pub fn horizon(mut self, moment: Moment) -> Self {
        self.horizon = self.horizon.max(moment);
        self
    }

    /// Raises the time, milliseconds since the Unix epoch, before which the clock may not be again.
    #[must_use]
    pub fn clock_floor(mut self, wall: u64) -> Self {
        self.clock_floor = self.clock_floor.max(wall);
        self
    }

    /// Raises the end of what was removed from the log: its position, and the number of the last record before it.
    #[must_use]
    pub fn floor(mut self, position: u64, sequence: u64) -> Self {
        self.floor.raise(Floor { position, sequence });
        self
    }
}

/// The open manifest of a disk. Edits take turns; reads never wait for one.
pub struct Manifest {
    disk: Arc<dyn Disk>,
    dataset_id: [u8; 16],
    hash_seed: [u8; 16],
    contents: Mutex<Contents>,
    /// Held while an edit writes.
    editing: Mutex<()>,
    /// Above every id handed out, whether or not an edit has listed it.
    unused_id: Mutex<u32>,
}

/// All that the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Contents {
    dataset_id: [u8; 16],
    hash_seed: [u8; 16],
    /// Above the id of every segment ever listed.
    next_segment_id: u32,
    clock_floor: u64,
    segments: BTreeMap<u32, Segment>,
    /// Taken off the list, and kept.
    held: BTreeMap<u32, Held>,
    floor: Floor,
    /// Before it nothing can be brought back.
    horizon: Moment,
}

impl Manifest {
    /// Opens the manifest, creating it on a disk without segments, and removes the files that a crash left behind:
    /// segments and hints of segments not listed, and temporary files. Others are never touched.
    pub fn open(disk: Arc<dyn Disk>) -> Result<Manifest, ManifestError> {
        let names = disk.list().map_err(failed("list the data directory"))?;
        for name in &names {
            if is_renaming(&*disk, name).map_err(failed("look what has stepped aside"))? {
                return Err(ManifestError::Renaming { file: name.clone() });
            }
        }
        let contents = if names.iter().any(|name| name == MANIFEST_FILE) {
            // A process that was killed may have left its last rename unsynced. What is removed below relies on it.
            disk.sync_directory().map_err(failed("sync the data directory"))?;
            read(&*disk)?
        } else {
            create(&*disk, &names)?
        };
        clean(&*disk, &names, &contents)?;
        Ok(Self::of(disk, contents))
    }

    /// Opens the manifest to look at it; nothing on the disk is changed. None where there is no store at all.
    pub fn open_to_read(disk: Arc<dyn Disk>) -> Result<Option<Manifest>, ManifestError> {
        let names = disk.list().map_err(failed("list the data directory"))?;
        if names.iter().any(|name| name == MANIFEST_FILE) {
            let contents = read(&*disk)?;
            return Ok(Some(Self::of(disk, contents)));
        }
        match names.into_iter().find(|name| matches!(role(name), Role::Of { .. })) {
            Some(segment) => Err(ManifestError::Missing { segment }),
            None => Ok(None),
        }
    }

    fn of(disk: Arc<dyn Disk>, contents: Contents) -> Self {
        Manifest {
            dataset_id: contents.dataset_id,
            hash_seed: contents.hash_seed,
            unused_id: Mutex::new(contents.next_segment_id),
            contents: Mutex::new(contents),
            editing: Mutex::new(()),
            disk,
        }
    }

    /// Makes an edit, durably: it survives any crash after this returned.
    ///
    /// After an error the state is the old one, for this process and for all later edits. A process started after a
    /// crash may yet find the new one (where the disk failed after the rename), until another edit succeeds. So the
    /// files an edit adds or removes must both stay after an error.
    ///
    /// # Errors
    /// `InvalidInput` for an edit that contradicts the list (a segment added twice, an unknown one changed, a sealed
    /// one sealed at another length); otherwise the disk's.
    pub fn edit(&self, edit: &Edit) -> io::Result<()> {
        let _turn = self.editing.lock();
        let mut contents = self.contents.lock().clone();
        contents.apply(edit).map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))?;
        install(&*self.disk, &contents)?;
        *self.contents.lock() = contents;
        Ok(())
    }

    /// All segments, in the order of their base positions, then of their ids.
    pub fn segments(&self) -> Vec<Segment> {
        let mut segments: Vec<Segment> = self.contents.lock().segments.values().copied().collect();
        segments.sort_by_key(|segment| (segment.base_position, segment.id));
        segments
    }

    /// The segment of this id.
    pub fn segment(&self, id: u32) -> Option<Segment> {
        self.contents.lock().segments.get(&id).copied()
    }

    /// A random number that is this dataset's alone.
    pub fn dataset_id(&self) -> [u8; 16] {
        self.dataset_id
    }

    /// The secret with which this dataset's keys are hashed; it never changes.
    pub fn hash_seed(&self) -> [u8; 16] {
        self.hash_seed
    }

    /// An id for a new segment: never one that was listed before, nor one that this process was given before.
    pub fn next_segment_id(&self) -> u32 {
        let mut unused = self.unused_id.lock();
        let id = *unused;
        *unused = id.saturating_add(1);
        id
    }

    /// Above the id of every segment that was ever listed; nobody is given it.
    pub(super) fn unused_segment_id(&self) -> u32 {
        self.contents.lock().next_segment_id
    }

    /// The time, milliseconds since the Unix epoch, before which the clock may not be again.
    pub fn clock_floor(&self) -> u64 {
        self.contents.lock().clock_floor
    }

    /// The end of the last segment that was removed from the log.
    pub fn floor(&self) -> Floor {
        self.contents.lock().floor
    }

    /// The segments that are kept although they are not listed any more, those taken off first first.
    pub fn held(&self) -> Vec<Held> {
        let mut held: Vec<Held> = self.contents.lock().held.values().copied().collect();
        held.sort_by_key(|held| (held.since, held.segment.id));
        held
    }

    /// The moment before which nothing can be brought back: what made up the earlier ones has been removed.
    pub fn horizon(&self) -> Moment {
        self.contents.lock().horizon
    }

    /// All segments, and those held, as of one moment.
    pub(super) fn segments_and_held(&self) -> (Vec<Segment>, Vec<Held>) {
        let contents = self.contents.lock();
        (contents.segments.values().copied().collect(), contents.held.values().copied().collect())
    }

    /// Writes a manifest of the same dataset to another disk, with these segments and those held, durably; nothing can be
    /// brought back there before `horizon`. Their files, and the files' names, must be durable already.
    pub(super) fn write_to(
        &self,
        disk: &dyn Disk,
        segments: &[Segment],
        held: &[Held],
        clock_floor: u64,
        horizon: Moment,
    ) -> io::Result<()> {
        let mut contents = self.contents.lock().clone();
        contents.horizon = contents.horizon.max(horizon);
        contents.clock_floor = contents.clock_floor.max(clock_floor);
        contents.segments = segments.iter().map(|segment| (segment.id, *segment)).collect();
        contents.held = held.iter().map(|held| (held.segment.id, *held)).collect();
        install(disk, &contents)
    }
}

impl Floor {
    /// Raises both numbers to those of another, where these are higher.
    pub(super) fn raise(&mut self, other: Self) {
        self.position = self.position.max(other.position);
        self.sequence = self.sequence.max(other.sequence);
    }
}

impl Contents {
    fn apply(&mut self, edit: &Edit) -> Result<(), String> {
        for id in &edit.remove {
            self.segments.remove(id).ok_or_else(|| unlisted(*id))?;
        }
        for (id, since) in &edit.hold {
            let segment = self.segments.remove(id).ok_or_else(|| unlisted(*id))?;
            self.held.insert(*id, Held { segment, since: *since });
        }
        for id in &edit.release {
            let held = self.held.remove(id).ok_or_else(|| format!("the segment {id} is not held"))?;
            self.horizon = self.horizon.max(held.since);
        }
        self.horizon = self.horizon.max(edit.horizon);
        for segment in &edit.replace {
            *self.segments.get_mut(&segment.id).ok_or_else(|| unlisted(segment.id))? = *segment;
        }
        for segment in &edit.add {
            let after = segment.id.checked_add(1).ok_or("the numbers of segments are used up")?;
            let is_known = self.held.contains_key(&segment.id);
            if is_known || self.segments.insert(segment.id, *segment).is_some() {
                return Err(format!("the segment {} is listed already", segment.id));
            }
            self.next_segment_id = self.next_segment_id.max(after);
        }
        for (id, state) in &edit.states {
            let segment = self.segments.get_mut(id).ok_or_else(|| unlisted(*id))?;
            if let (SegmentState::Sealed(before), SegmentState::Sealed(now)) = (segment.state, *state)
                && before != now
            {
                return Err(format!("the segment {id} was sealed at {before} bytes, not at {now}"));
            }
            segment.state = *state;
        }
        self.clock_floor = self.clock_floor.max(edit.clock_floor);
        self.floor.raise(edit.floor);
        Ok(())
    }
}

fn unlisted(id: u32) -> String {
    format!("the segment {id} is not listed")
}

#[cfg(test)]
mod tests;
