//! Reads the records of a file from front to back.

use std::io;

use super::disk::File;
use super::record::{HEADER_BYTES, Raw};

/// Bytes read at once.
pub(super) const READ_BYTES: usize = 1 << 20;

/// Reads a file in large pieces.
pub(super) struct Reader<'a> {
    file: &'a dyn File,
    end: u64,
    buffer: Vec<u8>,
    /// The offset of the first byte in the buffer.
    start: u64,
}

impl<'a> Reader<'a> {
    /// Reads what stands before `end`.
    pub(super) fn new(file: &'a dyn File, end: u64) -> Self {
        Self { file, end, buffer: Vec::new(), start: 0 }
    }

    /// Up to `length` bytes at `offset`; fewer only where the end comes first.
    pub(super) fn bytes(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let length = (length as u64).min(self.end.saturating_sub(offset)) as usize;
        let have = offset.checked_sub(self.start).filter(|skip| skip + length as u64 <= self.buffer.len() as u64);
        if have.is_none() {
            let wanted = (length.max(READ_BYTES) as u64).min(self.end.saturating_sub(offset)) as usize;
            // After an error nothing is taken for what was read.
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(wanted, 0);
            let read = self.file.read_at(&mut buffer, offset)?;
            buffer.truncate(read);
            (self.buffer, self.start) = (buffer, offset);
        }
        let skip = (offset - self.start) as usize;
        let stop = (skip + length).min(self.buffer.len());
        Ok(&self.buffer[skip..stop])
    }

    /// The bytes of the record at `offset`, or of its header alone where its lengths are impossible.
    pub(super) fn record(&mut self, offset: u64) -> io::Result<&[u8]> {
        let room = self.end.saturating_sub(offset);
        let header = self.bytes(offset, HEADER_BYTES)?;
        if header.len() < HEADER_BYTES {
            return self.bytes(offset, HEADER_BYTES);
        }
        let raw = Raw::read(header);
        let length = if raw.plausible(room) { raw.length as usize } else { HEADER_BYTES };
        self.bytes(offset, length)
    }
}
