//! What a pass writes: one segment of survivors, in chunks. A chunk is durable before anything refers to it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use smallvec::SmallVec;

use super::super::hint::{self, Hinted};
use super::super::log::Log;
use super::super::manifest::{SegmentKind, SegmentState, segment_file_name};
use super::super::record::{Record, recopy, record_key};
use super::super::segment::{Behind, Count, FIRST_OFFSET, Kept, Location, Segment};
use super::Index;
use super::tombstones::Why;

/// Bytes that are written and synced together.
const CHUNK_BYTES: usize = 4 << 20;

/// A value of the chunk.
struct Relocation {
    of: Of,
    /// Where it is as long as the chunk is not durable.
    from: Location,
    /// Where its record begins in the chunk.
    start: usize,
}

/// Whose value it is.
#[derive(Clone, Copy)]
enum Of {
    /// That of a key with this hash.
    Key { keyspace: u32, hash: u64 },
    /// That of an element of an object.
    Element { object: u64 },
}

/// Why a record is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copied {
    /// It is a value that something refers to, and has been there.
    Alive(Location),
    /// It is a value that is in the middle of a change: it may be one that was superseded long ago.
    Unsettled(Location),
    /// It says something that has to be remembered.
    Kept(Why),
}

/// A segment that is being filled.
pub(super) struct Output {
    pub segment: Arc<Segment>,
    /// None once the hint is written, or cannot be.
    builder: Option<hint::Builder>,
    chunk: Vec<u8>,
    /// The offset of the chunk in the segment.
    chunk_offset: u64,
    moves: Vec<Relocation>,
    behind: HashMap<Behind, u64>,
    pinned: Count,
    /// All values were the newest of their key or element when they were copied.
    settled: bool,
    sequence_min: u64,
    sequence_max: u64,
    finished: bool,
}

impl Output {
    pub(super) fn new(segment: Arc<Segment>) -> Self {
        Self {
            segment,
            builder: Some(hint::Builder::new()),
            chunk: Vec::new(),
            chunk_offset: u64::from(FIRST_OFFSET),
            moves: Vec::new(),
            behind: HashMap::new(),
            pinned: Count::default(),
            settled: true,
            sequence_min: u64::MAX,
            sequence_max: 0,
            finished: false,
        }
    }

    /// Whether a record of this length still fits.
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.offset() + length as u64 <= self.segment.capacity
    }

    /// Bytes of records in it.
    pub(super) fn bytes(&self) -> u64 {
        self.offset() - u64::from(FIRST_OFFSET)
    }

    /// Adds a sound record.
    pub(super) fn push(&mut self, log: &Log, record: &[u8], copied: Copied) {
        let (start, offset) = (self.chunk.len(), self.offset() as u32);
        self.chunk.extend_from_slice(record);
        let copy = &mut self.chunk[start..];
        recopy(copy, self.segment.salt);
        let read = Record::read(copy, self.segment.salt).expect("it was sound before it got another salt");
        self.sequence_min = self.sequence_min.min(read.sequence);
        self.sequence_max = self.sequence_max.max(read.sequence);
        if let Some(builder) = &mut self.builder {
            let at = Location { segment: self.segment.id, offset, length: record.len() as u32 };
            builder.add(&log.hasher, &Hinted::of(&read, at, false));
        }
        let length = record.len() as u32;
        self.settled &= !matches!(copied, Copied::Unsettled(_));
        #[cfg(test)]
        let () = self.settled |= log.compaction.has(super::Planted::UnsettledTrusted);
        match copied {
            Copied::Alive(_) | Copied::Unsettled(_) => {}
            Copied::Kept(Why::Behind(behind)) => *self.behind.entry(behind).or_default() += u64::from(length),
            Copied::Kept(Why::Pinned) => self.pinned.add(Count::one(length)),
        }
        if let Copied::Alive(from) | Copied::Unsettled(from) = copied {
            self.segment.place(Count::one(from.length));
            let of = match read.element_of() {
                Some(object) => Of::Element { object },
                None => Of::Key { keyspace: read.keyspace, hash: log.hasher.hash(read.key) },
            };
            self.moves.push(Relocation { of, from, start });
        }
    }

    /// Whether it is time to write.
    pub(super) fn is_due(&self) -> bool {
        self.chunk.len() >= CHUNK_BYTES
    }

    /// Writes the chunk, makes it durable, and tells the index where its values are now.
    pub(super) fn flush(&mut self, log: &Log, index: &dyn Index) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let segment = &self.segment;
        segment.begin(0, self.sequence_min);
        #[cfg(test)]
        if log.compaction.has(super::Planted::ToldEarly) {
            segment.leave(self.bytes());
            self.tell(log, index);
            self.moves.clear();
        }
        segment.file.write_at(&self.chunk, self.chunk_offset)?;
        segment.file.sync_data()?;
        segment.leave(self.bytes());
        self.tell(log, index);
        self.moves.clear();
        self.chunk_offset += self.chunk.len() as u64;
        self.chunk.clear();
        Ok(())
    }

    /// Tells the index where the values of the chunk are now.
    fn tell(&self, log: &Log, index: &dyn Index) {
        let segment = &self.segment;
        for moves in self.moves.chunks(super::TOGETHER) {
            prefetch(index, moves);
            for &Relocation { of, from, start } in moves {
                let key = record_key(&self.chunk[start..]);
                let offset = (self.chunk_offset + start as u64) as u32;
                let to = Location { segment: segment.id, offset, length: from.length };
                let is_told = match of {
                    Of::Key { keyspace, hash } => index.relocate(keyspace, hash, key, from, to),
                    Of::Element { object } => index.relocate_element(object, key, from, to),
                };
                if is_told {
                    log.retire(from);
                } else {
                    segment.retire(Count::one(from.length));
                }
            }
        }
    }

    /// Leaves its hint to be written later: whoever waits for the end of a pass need not wait for that.
    pub(super) fn leave_hint(&mut self) {
        self.builder = None;
    }

    /// Completes the file and its hint, so that it can be listed; does nothing the second time. What cannot be written is
    /// given up: nothing refers to it.
    pub(super) fn finish(&mut self, log: &Log, index: &dyn Index) -> io::Result<()> {
        if self.finished {
            return Ok(());
        }
        self.finished = true;
        let flushed = self.flush(log, index);
        if flushed.is_err() {
            self.moves.drain(..).for_each(|moved| self.segment.retire(Count::one(moved.from.length)));
            self.chunk.clear();
            self.builder = None;
        }
        if self.is_empty() {
            return flushed;
        }
        let segment = &self.segment;
        segment.begin(0, self.sequence_min);
        segment.set_last_sequence(self.sequence_max);
        segment.leave(self.chunk_offset - u64::from(FIRST_OFFSET));
        segment.write_header(log.dataset, log.now())?;
        segment.file.truncate(self.chunk_offset)?;
        segment.file.sync_data()?;
        if let Some(builder) = self.builder.take() {
            let identity =
                hint::SegmentIdentity::new(segment.id, segment.salt, log.dataset, self.chunk_offset, &log.hasher);
            segment.set_hint_bytes(builder.write(&*log.disk, &identity)?);
            log.hint_written(segment.id);
        }
        flushed
    }

    /// Says why what has no value is here, and that nothing is here that a record below the number `begun` has superseded.
    pub(super) fn tell_why(&self, begun: u64, removals: u64, sequence: u64) {
        let behind = self.behind.iter().map(|(behind, bytes)| (*behind, *bytes)).collect();
        self.segment.set_kept(Kept { behind, pinned: self.pinned, removals, sequence });
        if self.settled {
            self.segment.set_purged(begun);
        }
    }

    /// As the manifest lists it.
    pub(super) fn listed(&self) -> super::super::manifest::Segment {
        debug_assert_eq!(self.segment.kind, SegmentKind::Compacted);
        self.segment.listed(SegmentState::Sealed(self.chunk_offset))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.offset() == u64::from(FIRST_OFFSET)
    }

    /// Removes the file of an output that nothing refers to.
    pub(super) fn discard(&self, log: &Log) {
        log.table.rcu(|table| table.without(&[self.segment.id]));
        log.remove_hint(self.segment.id);
        // Unlisted, it is removed at the next opening at the latest.
        let _ = log.disk.remove(&segment_file_name(self.segment.id));
    }

    fn offset(&self) -> u64 {
        self.chunk_offset + self.chunk.len() as u64
    }
}

/// Has the index fetch what it knows of the keys among these.
fn prefetch(index: &dyn Index, moves: &[Relocation]) {
    let mut keys = moves.iter().filter_map(|moved| match moved.of {
        Of::Key { keyspace, hash } => Some((keyspace, hash)),
        Of::Element { .. } => None,
    });
    let Some((keyspace, first)) = keys.next() else { return };
    let hashes: SmallVec<[u64; super::TOGETHER]> = std::iter::once(first).chain(keys.map(|(_, hash)| hash)).collect();
    index.prefetch(keyspace, &hashes);
}
