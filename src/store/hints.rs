//! Writes the hints that sealed segments lack, in the background.
//!
//! Always true: a hint is built from the segment's file with every checksum verified, never under the log's lock, and
//! the segment works as well without it. A segment with any flaw gets none: each start looks at it again.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::hint::{Builder, Hint, SegmentIdentity};
use super::log::Log;
use super::manifest::{SegmentState, hint_file_name};
use super::reader::Reader;
use super::record::Record;
use super::segment::{FIRST_OFFSET, Location, Segment};

/// So many bytes are read between two looks at whether to end.
const LOOK_EVERY_BYTES: u64 = 1 << 20;

/// What is known of the segments' hints.
pub(super) struct Hints {
    /// Segments that have a sound one.
    written: BTreeSet<u32>,
    /// Segments that get none, as they are damaged.
    flawed: BTreeSet<u32>,
}

/// A segment is not what was written.
struct Flawed;

impl Hints {
    pub(super) fn new(written: BTreeSet<u32>, flawed: BTreeSet<u32>) -> Self {
        Self { written, flawed }
    }

    fn lacks(&self, segment: u32) -> bool {
        !self.written.contains(&segment) && !self.flawed.contains(&segment)
    }
}

impl Log {
    /// Writes the missing hints of all sealed segments, the newest first. Returns how many it wrote.
    ///
    /// # Errors
    /// The first error of the disk; the other segments were tried all the same.
    pub(super) fn write_hints(&self) -> io::Result<usize> {
        self.write_hints_of(u64::MAX)
    }

    /// As [`Log::write_hints`], for the newest segments that have `bytes_max` together.
    pub(super) fn write_hints_of(&self, bytes_max: u64) -> io::Result<usize> {
        let (mut written, mut bytes, mut failed) = (0, 0, None);
        for (segment, identity) in self.unhinted() {
            bytes += identity.file_length;
            if bytes > bytes_max || self.signals.stopping() {
                break;
            }
            match self.write_hint(&segment, &identity) {
                Ok(done) => written += usize::from(done),
                Err(error) if error.kind() == io::ErrorKind::Interrupted && self.signals.stopping() => break,
                Err(error) => {
                    self.note_error(&error);
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(written), Err)
    }

    /// The hint of a segment, where a sound one is on the disk.
    pub(super) fn hint(&self, segment: &Segment) -> Option<Hint> {
        let (_, identity) = self.identified(segment)?;
        Hint::open(&*self.disk, &identity, &self.hasher).ok().flatten()
    }

    /// Whether a segment was found to have damaged records.
    pub(super) fn is_flawed(&self, segment: u32) -> bool {
        self.hints.lock().flawed.contains(&segment)
    }

    /// Takes note that the hint of a segment is written.
    pub(super) fn hint_written(&self, segment: u32) {
        self.hints.lock().written.insert(segment);
    }

    /// Removes the hint of a segment that is no longer listed. Where that fails, the next opening does it.
    pub(super) fn remove_hint(&self, segment: u32) {
        let mut hints = self.hints.lock();
        hints.flawed.remove(&segment);
        hints.written.remove(&segment);
        // Of those that were taken off in the life of another process nobody knows whether they have one.
        let _ = self.disk.remove(&hint_file_name(segment));
    }

    fn unhinted(&self) -> Vec<(Arc<Segment>, SegmentIdentity)> {
        let hints = self.hints.lock();
        let table = self.table.load();
        let lacking = table.all().filter(|segment| segment.is_sealed() && hints.lacks(segment.id));
        let mut lacking: Vec<_> =
            lacking.filter_map(|segment| Some((segment.clone(), self.identified(segment)?.1))).collect();
        lacking.reverse();
        lacking
    }

    fn identified<'a>(&self, segment: &'a Segment) -> Option<(&'a Segment, SegmentIdentity)> {
        match self.manifest.segment(segment.id)?.state {
            SegmentState::Sealed(length) => {
                let identity = SegmentIdentity::new(segment.id, segment.salt, self.dataset, length, &self.hasher);
                Some((segment, identity))
            }
            SegmentState::Active | SegmentState::Cut(_) => None,
        }
    }

    /// Writes one hint; `false` where the segment is damaged, or gone meanwhile.
    fn write_hint(&self, segment: &Segment, identity: &SegmentIdentity) -> io::Result<bool> {
        let Ok(builder) = self.build(segment, identity.file_length)? else {
            self.hints.lock().flawed.insert(segment.id);
            return Ok(false);
        };
        segment.set_hint_bytes(builder.write(&*self.disk, identity)?);
        self.hint_written(segment.id);
        if self.table.load().get(segment.id).is_none() {
            self.remove_hint(segment.id);
            return Ok(false);
        }
        Ok(true)
    }

    /// Reads a sealed segment; breaks off where the threads are to end: this one has the processor only where others leave it.
    fn build(&self, segment: &Segment, file_length: u64) -> io::Result<Result<Builder, Flawed>> {
        let mut reader = Reader::new(&*segment.file, file_length);
        let mut builder = Builder::new();
        let mut offset = u64::from(FIRST_OFFSET);
        let mut looked = offset;
        while offset < file_length {
            let bytes = reader.record(offset)?;
            let Ok(record) = Record::read(bytes, segment.salt) else { return Ok(Err(Flawed)) };
            let length = record.length() as u32;
            let at = Location { segment: segment.id, offset: offset as u32, length };
            builder.note(&self.hasher, &record, at, false);
            if offset >= looked + LOOK_EVERY_BYTES {
                looked = offset;
                if self.signals.stopping() {
                    return Err(io::Error::new(io::ErrorKind::Interrupted, "the threads are to end"));
                }
            }
            offset += u64::from(length);
        }
        Ok(Ok(builder))
    }
}
