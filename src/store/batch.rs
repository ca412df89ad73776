//! A batch: records that are all there after a crash, or none of them.
//!
//! A batch is encoded outside the log's lock; [`Store::append_batch`](super::Store::append_batch) then gives it one
//! contiguous run inside one segment. It may be cleared and used again without giving its memory back.

use super::error::Refused;
use super::record::{Draft, Measured, Place, finish};
use super::segment::{Count, Location};

/// Records that are appended together.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    records: Vec<Measured>,
    /// Where the run begins, once appended: segment and offset.
    start: Option<(u32, u32)>,
    /// Where each record begins in `bytes`.
    offsets: Vec<usize>,
    /// Set where a draft was too large to be encoded; the append refuses the batch.
    refused: Option<Refused>,
    grows: bool,
    puts: Count,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record and returns its index. One too large for the format makes the append refuse the batch.
    pub fn push(&mut self, draft: &Draft<'_>) -> usize {
        self.grows |= !draft.op.uses_reserve();
        self.push_smaller(draft)
    }

    /// As [`Batch::push`], for a record that is no longer than the one whose place it takes: it may use the reserve when the
    /// disk is full.
    pub fn push_smaller(&mut self, draft: &Draft<'_>) -> usize {
        match draft.measure() {
            Ok(measured) => {
                self.offsets.push(self.bytes.len());
                draft.write_unfinished(&measured, &mut self.bytes);
                self.puts.add(Count::of(draft.op, measured.length));
                self.records.push(measured);
            }
            Err(refused) => {
                self.offsets.push(self.bytes.len());
                self.records.push(Measured { length: 0, head_crc: 0, body_crc: 0 });
                self.refused = Some(refused);
            }
        }
        self.records.len() - 1
    }

    /// How many records it has.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it has no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes it takes in the log.
    pub fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Removes all records and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
        self.offsets.clear();
        self.start = None;
        self.refused = None;
        self.grows = false;
        self.puts = Count::default();
    }

    /// Where the record of that index was put by the last append.
    ///
    /// # Panics
    /// When there is no such record, or the batch was not appended.
    pub fn location(&self, index: usize) -> Location {
        let (segment, offset) = self.start.expect("the batch was appended");
        Location { segment, offset: offset + self.offsets[index] as u32, length: self.records[index].length }
    }

    pub(super) fn refusal(&self, bytes_max: u64) -> Option<Refused> {
        let bytes = self.bytes();
        let too_large = || (bytes > bytes_max).then_some(Refused::TooLarge { bytes, bytes_max });
        self.refused.clone().or_else(too_large)
    }

    /// The values in it.
    pub(super) fn puts(&self) -> Count {
        self.puts
    }

    pub(super) fn uses_reserve(&self) -> bool {
        !self.grows
    }

    /// Gives the run its place: sequence numbers from `sequence` on, in a segment of that salt.
    pub(super) fn place(&mut self, segment: u32, offset: u32, salt: u32, sequence: u64) -> &[u8] {
        let last = self.records.len().saturating_sub(1);
        for (index, (measured, at)) in self.records.iter().zip(&self.offsets).enumerate() {
            let place = match index {
                0 if last == 0 => Place::Alone,
                0 => Place::First,
                _ if index == last => Place::Last,
                _ => Place::Middle,
            };
            let record = &mut self.bytes[*at..*at + measured.length as usize];
            finish(record, measured, salt, sequence + index as u64, place);
        }
        self.start = Some((segment, offset));
        &self.bytes
    }
}
