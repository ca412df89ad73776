//! Writes what is left of a damaged segment to a fresh one, as a compaction writes what is alive.
//!
//! Always true: each record keeps its sequence number and is the same but for its salt and the flags of a batch; where a
//! value is lost, a deletion of the same number stands, so that no older value comes back. What the hint of the segment says
//! of a record is as good as the record.

use std::collections::HashSet;
use std::io;

use super::damage::{Flawed, LostValue};
use crate::store::disk::{Disk, File, Mode};
use crate::store::hash::KeyHasher;
use crate::store::hint::{Builder, Hinted, SegmentIdentity};
use crate::store::inspect::Named;
use crate::store::inspect::walk::{Seen, Walk};
use crate::store::manifest::{Manifest, Segment as Listed, SegmentKind, SegmentState, segment_file_name};
use crate::store::record::{Draft, Op, Record};
use crate::store::recovery::Found;
use crate::store::segment::{FIRST_OFFSET, Header, Location, header_kind};

/// Bytes that are written together.
const CHUNK_BYTES: usize = 4 << 20;

/// Where and how the segments are written.
pub(super) struct Rewriting<'a> {
    pub disk: &'a dyn Disk,
    pub manifest: &'a Manifest,
    pub hasher: &'a KeyHasher,
    /// Milliseconds since the Unix epoch.
    pub now: u64,
    /// The numbers of lost values of which there is a sound copy elsewhere.
    pub copied: &'a HashSet<u64>,
}

impl Rewriting<'_> {
    /// Writes what can be saved of a segment, durably; none where that is nothing. It is not listed yet.
    pub(super) fn write(&self, flawed: &Flawed) -> io::Result<Option<Listed>> {
        let mut output = self.create()?;
        let written = self.records(flawed, &mut output).and_then(|()| output.finish(self));
        if !matches!(written, Ok(Some(_))) {
            // Unlisted, it is removed by the next start at the latest.
            let _ = self.disk.remove(&segment_file_name(output.id));
        }
        written
    }

    fn create(&self) -> io::Result<Output> {
        let salt = getrandom::u32().map_err(io::Error::other)?;
        let present: HashSet<String> = self.disk.list()?.into_iter().collect();
        let mut id = self.manifest.next_segment_id();
        // What an earlier repair that was broken off has left is not listed.
        while present.contains(&segment_file_name(id)) {
            id = self.manifest.next_segment_id();
        }
        let file = self.disk.open(&segment_file_name(id), Mode::Create)?;
        let (builder, chunk, offset) = (Builder::new(), Vec::new(), u64::from(FIRST_OFFSET));
        Ok(Output { id, salt, file, builder, chunk, offset, sequence_min: u64::MAX })
    }

    fn records(&self, flawed: &Flawed, output: &mut Output) -> io::Result<()> {
        let mut walk = Walk::until(&flawed.found, flawed.end);
        while let Some(seen) = walk.next()? {
            match seen {
                Seen::Record { record, damaged, .. } => {
                    if !matches!(record.op, Op::Mark | Op::Seal) {
                        self.record(flawed, &record, damaged, output)?;
                    }
                }
                Seen::Flaw { .. } => _ = walk.resume()?,
            }
        }
        flawed.named.iter().try_for_each(|named| self.named(named, output))
    }

    fn record(&self, flawed: &Flawed, record: &Record<'_>, damaged: bool, output: &mut Output) -> io::Result<()> {
        let Record { sequence, op, kind, keyspace, expiry, object, key, mut value, .. } = *record;
        // Of what has no value nothing is lost, whatever its checksum says.
        if damaged && op.sets_value() {
            match flawed.values.get(&sequence) {
                Some(known) => value = known,
                None => return self.lost(sequence, record.element_of(), keyspace, key, output),
            }
        }
        output.push(self.hasher, sequence, &Draft { op, kind, keyspace, key, value, expiry, object })
    }

    fn named(&self, named: &Named, output: &mut Output) -> io::Result<()> {
        let Named { sequence, op, kind, keyspace, source, expiry, object, ref key, .. } = *named;
        if named.has_lost_value() {
            return self.lost(sequence, named.element_of(), keyspace, key, output);
        }
        let source = source.map(u32::to_le_bytes);
        let value = source.as_ref().map(|source| &source[..]).or(named.value.as_deref()).unwrap_or_default();
        output.push(self.hasher, sequence, &Draft { op, kind, keyspace, key, value, expiry, object })
    }

    /// Writes the deletion of a key or an element of which the value is lost.
    fn lost(
        &self,
        sequence: u64,
        object: Option<u64>,
        keyspace: u32,
        key: &[u8],
        output: &mut Output,
    ) -> io::Result<()> {
        if self.copied.contains(&sequence) {
            return Ok(());
        }
        let deletion = match object {
            Some(object) => Draft::remove_element(object, key),
            None => Draft::delete(keyspace, key),
        };
        output.push(self.hasher, sequence, &deletion)
    }
}

/// A segment that is being written.
struct Output {
    id: u32,
    salt: u32,
    file: Box<dyn File>,
    builder: Builder,
    chunk: Vec<u8>,
    /// The offset of the chunk.
    offset: u64,
    sequence_min: u64,
}

impl Output {
    fn push(&mut self, hasher: &KeyHasher, sequence: u64, draft: &Draft<'_>) -> io::Result<()> {
        let (measured, start) = (draft.measure().map_err(io::Error::other)?, self.chunk.len());
        draft.write(&measured, self.salt, sequence, &mut self.chunk);
        let record = Record::read(&self.chunk[start..], self.salt);
        let record =
            record.map_err(|fault| io::Error::other(format!("a record cannot be written anew ({fault:?})")))?;
        let (offset, length) = ((self.offset + start as u64) as u32, measured.length);
        let at = Location { segment: self.id, offset, length };
        self.builder.add(hasher, &Hinted::of(&record, at, false));
        self.sequence_min = self.sequence_min.min(sequence);
        if self.chunk.len() >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.chunk.is_empty() {
            self.file.write_at(&self.chunk, self.offset)?;
            self.offset += self.chunk.len() as u64;
            self.chunk.clear();
        }
        Ok(())
    }

    /// Completes the file and its hint; none where there are no records.
    fn finish(&mut self, to: &Rewriting<'_>) -> io::Result<Option<Listed>> {
        self.flush()?;
        if self.offset == u64::from(FIRST_OFFSET) {
            return Ok(None);
        }
        let (id, salt, base_sequence, base_position) = (self.id, self.salt, self.sequence_min, 0);
        let (dataset, kind, created) = (to.manifest.dataset_id(), SegmentKind::Compacted, to.now);
        let header = Header { id, kind: header_kind(kind), salt, dataset, base_sequence, base_position, created };
        self.file.write_at(&header.write(), 0)?;
        self.file.sync_data()?;
        to.disk.sync_directory()?;
        let identity = SegmentIdentity::new(id, salt, dataset, self.offset, to.hasher);
        std::mem::replace(&mut self.builder, Builder::new()).write(to.disk, &identity)?;
        let state = SegmentState::Sealed(self.offset);
        Ok(Some(Listed { id, kind, salt, base_sequence, base_position, state }))
    }
}

/// Whether a record says what a lost one said: then it is a copy of it.
pub(super) fn is_copy(record: &Record<'_>, lost: &LostValue) -> bool {
    let is_of_value = record.op.sets_value() || record.op.removes_value();
    is_of_value && (record.sequence, record.element_of(), record.key) == (lost.sequence, lost.object, &lost.key)
}

/// The files of a segment, each of which may be missing.
pub(super) fn files_of(found: &Found) -> [String; 2] {
    [found.name(), crate::store::manifest::hint_file_name(found.listed.id)]
}
