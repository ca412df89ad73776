//! Collects the entries of one segment, grouped by partition, and writes its hint.
//!
//! Always true: entries are kept as they will be written, so that a segment's hint takes no more memory than its
//! file; within a block they stand in rising order of their sequence numbers, in whatever order they came.

use std::io;

use super::SegmentIdentity;
use super::codec::{BLOCKS, Before, Footer, Hinted, Part, Summary, read_entry, write_entry};
use super::filter::Filter;
use super::read::Hint;
use crate::store::disk::{Disk, File, Mode};
use crate::store::hash::KeyHasher;
use crate::store::manifest::{hint_file_name, hint_temporary_name};
use crate::store::record::{Op, Record};
use crate::store::segment::Location;

/// Bytes that a block has room for at first.
const RUN_BYTES: usize = 512;

/// The hint of a segment in the making.
pub(in crate::store) struct Builder {
    runs: Vec<Run>,
    /// Of every record of a key or an element; none where no filter is wanted.
    hashes: Option<Vec<u64>>,
    summary: Summary,
}

/// One block in the making.
#[derive(Default)]
struct Run {
    bytes: Vec<u8>,
    before: Before,
    unsorted: bool,
}

impl Builder {
    /// A hint without entries.
    pub(in crate::store) fn new() -> Self {
        Self {
            runs: std::iter::repeat_with(Run::default).take(BLOCKS).collect(),
            hashes: Some(Vec::new()),
            summary: Summary::default(),
        }
    }

    /// One that is to be read from memory, and for its entries alone.
    pub(in crate::store) fn without_filter() -> Self {
        Self { hashes: None, ..Self::new() }
    }

    /// Takes in a record.
    pub(in crate::store) fn add(&mut self, hasher: &KeyHasher, entry: &Hinted<'_>) {
        self.summary.note(entry);
        let block = match &mut self.hashes {
            None => entry.block(hasher),
            Some(hashes) => {
                let (block, hash) = entry.place(hasher);
                hashes.extend(hash);
                block
            }
        };
        let run = &mut self.runs[block];
        if run.bytes.capacity() == 0 {
            run.bytes.reserve(RUN_BYTES);
        }
        run.unsorted |= entry.sequence < run.before.sequence;
        write_entry(&mut run.bytes, &mut run.before, entry);
    }

    /// Takes in any record of the segment, as it was read there.
    pub(in crate::store) fn note(&mut self, hasher: &KeyHasher, record: &Record<'_>, at: Location, damaged: bool) {
        if matches!(record.op, Op::Mark | Op::Seal) {
            self.note_sequence(record.sequence);
            self.note_wall(record.mark().map_or(0, |(_, wall)| wall));
        } else {
            self.add(hasher, &Hinted::of(record, at, damaged));
        }
    }

    /// Takes note of a mark's or a seal's wall clock, milliseconds since the Unix epoch.
    pub(in crate::store) fn note_wall(&mut self, wall: u64) {
        self.summary.wall = self.summary.wall.max(wall);
    }

    /// Takes note of the number of a record that is no entry: a mark or a seal.
    pub(in crate::store) fn note_sequence(&mut self, sequence: u64) {
        self.summary.note_sequence(sequence);
    }

    /// Writes the hint of a segment, durably, in the place of any older one, and returns its bytes. After an error there is none, or the old
    /// one.
    ///
    /// # Errors
    /// The disk's.
    pub(in crate::store) fn write(self, disk: &dyn Disk, segment: &SegmentIdentity) -> io::Result<u64> {
        let temporary = hint_temporary_name(segment.id);
        let file = match disk.open(&temporary, Mode::Create) {
            // Never into an old one: its sync may have failed, and then a second one lies.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.remove(&temporary)?;
                disk.open(&temporary, Mode::Create)?
            }
            file => file?,
        };
        let written = self.write_file(&*file, segment).and_then(|bytes| {
            disk.rename(&temporary, &hint_file_name(segment.id))?;
            Ok(bytes)
        });
        match written {
            Ok(bytes) => {
                disk.sync_directory()?;
                Ok(bytes)
            }
            Err(error) => {
                // Where this fails too, the next opening removes it.
                let _ = disk.remove(&temporary);
                Err(error)
            }
        }
    }

    fn write_file(mut self, file: &dyn File, segment: &SegmentIdentity) -> io::Result<u64> {
        let filter = self.filter().write();
        let mut parts = [Part::default(); BLOCKS + 1];
        let mut at = 0;
        let blocks = self.runs.into_iter().map(Run::into_bytes);
        for (part, bytes) in parts.iter_mut().zip(blocks.chain([filter])) {
            *part = Part::of(&bytes);
            if !bytes.is_empty() {
                file.write_at(&bytes, at)?;
            }
            at += part.length;
        }
        let footer = Footer { identity: *segment, summary: self.summary, parts };
        let footer = footer.write();
        file.write_at(&footer, at)?;
        file.sync_data()?;
        Ok(at + footer.len() as u64)
    }

    /// The same to be read from memory, without a file.
    pub(in crate::store) fn into_hint(mut self) -> Hint {
        let filter = self.hashes.is_some().then(|| self.filter());
        Hint::in_memory(self.summary, self.runs.into_iter().map(Run::into_bytes).collect(), filter)
    }

    fn filter(&mut self) -> Filter {
        let mut hashes = self.hashes.take().unwrap_or_default();
        hashes.sort_unstable();
        hashes.dedup();
        Filter::of(&hashes)
    }
}

impl Run {
    fn into_bytes(self) -> Vec<u8> {
        if !self.unsorted {
            return self.bytes;
        }
        let (mut rest, mut before) = (&self.bytes[..], Before::default());
        let mut entries: Vec<Hinted<'_>> = std::iter::from_fn(|| read_entry(&mut rest, &mut before)).collect();
        entries.sort_by_key(|entry| entry.sequence);
        let (mut bytes, mut before) = (Vec::with_capacity(self.bytes.len()), Before::default());
        entries.iter().for_each(|entry| write_entry(&mut bytes, &mut before, entry));
        bytes
    }
}
