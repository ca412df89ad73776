//! The records of one segment, one after the other, with those behind a flaw.
//!
//! Always true: a record is handed out only when its checksum verifies, or header and key at least, and says so.

use std::io;

use crate::store::reader::{READ_BYTES, Reader};
use crate::store::record::{Fault, HEADER_BYTES, Raw, Record};
use crate::store::recovery::Found;
use crate::store::segment::FIRST_OFFSET;

/// A walk along a segment.
pub(in crate::store) struct Walk<'a> {
    found: &'a Found,
    reader: Reader<'a>,
    offset: u64,
    end: u64,
}

/// What stands at some offset.
pub(in crate::store) enum Seen<'a> {
    /// A record; of a damaged one the value is left out.
    Record { offset: u64, length: u32, record: Record<'a>, damaged: bool },
    /// No record can be made out there; the walk stays.
    Flaw { offset: u64, fault: Fault },
}

impl<'a> Walk<'a> {
    /// From the first record on.
    pub(in crate::store) fn new(found: &'a Found) -> Self {
        Self::until(found, u64::MAX)
    }

    /// From the first record on, to this offset at most.
    pub(in crate::store) fn until(found: &'a Found, end: u64) -> Self {
        let end = end.min(found.end()).min(found.file_bytes);
        Self { found, reader: Reader::new(&*found.file, end), offset: u64::from(FIRST_OFFSET), end }
    }

    /// Where the next record is.
    pub(in crate::store) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record; none at the end.
    pub(in crate::store) fn next(&mut self) -> io::Result<Option<Seen<'_>>> {
        let offset = self.offset;
        if offset >= self.end {
            return Ok(None);
        }
        let salt = self.found.listed.salt;
        let bytes = self.reader.record(offset)?;
        let (record, damaged) = match Record::read(bytes, salt) {
            Ok(record) => (record, false),
            Err(Fault::Checksum) => match Record::read_head(bytes, salt) {
                Ok(record) => (record, true),
                Err(fault) => return Ok(Some(Seen::Flaw { offset, fault })),
            },
            Err(fault) => return Ok(Some(Seen::Flaw { offset, fault })),
        };
        let length = Raw::read(bytes).length;
        self.offset += u64::from(length);
        Ok(Some(Seen::Record { offset, length, record, damaged }))
    }

    /// Goes on with the first record behind a flaw that can be made out, or else at the end. Returns where that is.
    pub(in crate::store) fn resume(&mut self) -> io::Result<u64> {
        let next = match self.claimed_end()? {
            Some(next) => next,
            None => self.search()?,
        };
        self.offset = next;
        Ok(next)
    }

    /// Where the flawed record says that it ends, if a record begins there.
    fn claimed_end(&mut self) -> io::Result<Option<u64>> {
        let header = self.reader.bytes(self.offset, HEADER_BYTES)?;
        if header.len() < HEADER_BYTES {
            return Ok(None);
        }
        let raw = Raw::read(header);
        if !raw.plausible(self.end - self.offset) {
            return Ok(None);
        }
        let next = self.offset + u64::from(raw.length);
        Ok((next == self.end || self.is_record(next)?).then_some(next))
    }

    fn is_record(&mut self, offset: u64) -> io::Result<bool> {
        let bytes = self.reader.record(offset)?;
        Ok(Record::read(bytes, self.found.listed.salt).is_ok())
    }

    /// Looks at every byte.
    fn search(&mut self) -> io::Result<u64> {
        let mut pieces = Reader::new(&*self.found.file, self.end);
        let mut at = self.offset + 1;
        while at + HEADER_BYTES as u64 <= self.end {
            let piece = pieces.bytes(at, READ_BYTES)?;
            let candidates = piece.windows(HEADER_BYTES).enumerate().filter(|(index, header)| {
                let raw = Raw::read(header);
                raw.is_known() && raw.plausible(self.end - at - *index as u64)
            });
            let candidates: Vec<u64> = candidates.map(|(index, _)| at + index as u64).collect();
            at += (piece.len().max(HEADER_BYTES) - HEADER_BYTES + 1) as u64;
            for candidate in candidates {
                if self.is_record(candidate)? {
                    return Ok(candidate);
                }
            }
        }
        Ok(self.end)
    }
}
