//! Reading one record back, from the disk or from the memory it is still in, and counting the dead.
//!
//! A value is returned only when its record verifies: checksum, salt and key.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::error::ReadError;
use super::log::{Chunk, Log};
use super::manifest::SegmentKind;
use super::record::Record;
use super::segment::{Count, Location, Position, SEGMENT_HEADER_BYTES, Segment};
use crate::sync::point;

impl Log {
    pub(super) fn read(&self, location: Location, key: &[u8]) -> Result<Bytes, ReadError> {
        let read =
            self.read_with(location, key, |segment, buffer, offset| segment.file.read_at(buffer, offset).map(Some))?;
        read.ok_or(ReadError::Damaged(location))
    }

    pub(super) fn read_nowait(&self, location: Location, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.read_with(location, key, |segment, buffer, offset| segment.file.read_at_nowait(buffer, offset))
    }

    fn read_with(
        &self,
        location: Location,
        key: &[u8],
        read: impl Fn(&Segment, &mut [u8], u64) -> io::Result<Option<usize>>,
    ) -> Result<Option<Bytes>, ReadError> {
        let (segment, offset) = self.find(location)?;
        let length = location.length as usize;
        if segment.kind == SegmentKind::Compacted {
            // Durable before anything refers to it.
            return self.read_from(&segment, offset, location, key, read);
        }
        let position = segment.position(offset);
        if position + length as u64 > self.written.load(Ordering::Acquire)
            && let Some(bytes) = self.in_memory(position, length)
        {
            return self.value(bytes, &segment, location, key);
        }
        // It was in memory or it is written: a position is published before its chunk is let go.
        match self.read_from(&segment, offset, location, key, &read) {
            Err(ReadError::Damaged(_)) => {}
            other => return other,
        }
        // While a failed sync is being dealt with, the file may have lost what memory still has.
        if let Some(bytes) = self.in_memory(position, length) {
            return self.value(bytes, &segment, location, key);
        }
        let (now, offset) = self.find(location)?;
        if Arc::ptr_eq(&now, &segment) {
            return Err(ReadError::Damaged(location));
        }
        self.read_from(&now, offset, location, key, read)
    }

    fn read_from(
        &self,
        segment: &Segment,
        offset: u32,
        location: Location,
        key: &[u8],
        read: impl Fn(&Segment, &mut [u8], u64) -> io::Result<Option<usize>>,
    ) -> Result<Option<Bytes>, ReadError> {
        let mut bytes = vec![0; location.length as usize];
        match read(segment, &mut bytes, u64::from(offset))? {
            None => return Ok(None),
            Some(count) => bytes.truncate(count),
        }
        self.value(bytes, segment, location, key)
    }

    fn find(&self, location: Location) -> Result<(Arc<Segment>, u32), ReadError> {
        point();
        let table = self.table.load();
        let (segment, offset) = table.find(location).ok_or(ReadError::Gone(location))?;
        let end = u64::from(offset) + u64::from(location.length);
        if end > segment.capacity || (location.offset as usize) < SEGMENT_HEADER_BYTES {
            return Err(ReadError::Gone(location));
        }
        Ok((segment.clone(), offset))
    }

    fn value(&self, bytes: Vec<u8>, segment: &Segment, at: Location, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        if bytes.len() < at.length as usize {
            return Err(ReadError::Damaged(at));
        }
        let start = match Record::read(&bytes, segment.salt) {
            Ok(record) if record.op.sets_value() && record.key == key && record.length() == bytes.len() => {
                bytes.len() - record.value.len()
            }
            _ => return Err(ReadError::Damaged(at)),
        };
        Ok(Some(Bytes::from(bytes).slice(start..)))
    }

    /// The bytes there, if they have not left memory.
    fn in_memory(&self, position: Position, length: usize) -> Option<Vec<u8>> {
        let copy = |start: Position, bytes: &[u8]| {
            let skip = position.checked_sub(start)? as usize;
            bytes.get(skip..skip.checked_add(length)?).map(<[u8]>::to_vec)
        };
        {
            let active = self.active.lock();
            if let Some(segment) = &active.segment
                && let Some(bytes) = copy(segment.position(active.buffer_offset), &active.buffer)
            {
                return Some(bytes);
            }
            if let Some(bytes) = active.pending.iter().find_map(|chunk| copy(chunk.start(), &chunk.bytes)) {
                return Some(bytes);
            }
        }
        // In the order in which bytes move, so that none slips past.
        let flying: Vec<Arc<Chunk>> = self.in_flight.lock().clone();
        if let Some(bytes) = flying.iter().find_map(|chunk| copy(chunk.start(), &chunk.bytes)) {
            return Some(bytes);
        }
        self.window.lock().blocks.iter().find_map(|block| copy(block.start(), &block.bytes))
    }

    pub(super) fn is_written(&self, location: Location) -> bool {
        self.table.load().find(location).is_some_and(|(segment, offset)| {
            segment.kind == SegmentKind::Compacted
                || segment.position(offset) + u64::from(location.length) <= self.written.load(Ordering::Acquire)
        })
    }

    pub(super) fn retire(&self, location: Location) {
        point();
        if let Some((segment, _)) = self.table.load().find(location) {
            segment.retire(Count::one(location.length));
        }
    }

    pub(super) fn set_live(&self, segment: u32, live: Count) {
        if let Some(segment) = self.table.load().get(segment) {
            segment.set_counts(segment.placed(), live);
        }
    }
}
