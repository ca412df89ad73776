//! Reads many records in the order in which they stand on the disk, neighbours together.
//!
//! Always true: a record is handed out only when it verifies, and whatever does not is passed over: whoever asks for it by its
//! key is told what is the case.

use std::io;
use std::sync::Arc;

use super::log::Log;
use super::record::Record;
use super::segment::{Location, SEGMENT_HEADER_BYTES, Segment};

/// Between two records that are read together there are no more bytes than this: to read them takes no longer than to begin
/// another read.
const GAP_BYTES_MAX: u64 = 32 << 10;

/// So many bytes are read together; one record may have more.
const PIECE_BYTES_MAX: u64 = 256 << 10;

impl Log {
    /// Reads what stands `at` the first of these places, which are in rising order, and those behind it that are read together with it, and
    /// hands out the records that are there and verify. Returns how many places that were.
    pub(super) fn read_ahead<P>(
        &self,
        places: &[P],
        at: impl Fn(&P) -> Location,
        buffer: &mut Vec<u8>,
        mut visit: impl FnMut(usize, &Record<'_>),
    ) -> io::Result<usize> {
        let Some((segment, start)) = places.first().and_then(|first| self.place(at(first))) else {
            return Ok(places.len().min(1));
        };
        let length = |location: &Location| u64::from(location.length);
        let (mut end, mut offsets) = (start, Vec::new());
        for location in &mut places.iter().map(&at) {
            let next = self.place(location).filter(|(there, offset)| {
                let goes_on = offset.checked_sub(end).is_some_and(|gap| gap <= GAP_BYTES_MAX);
                let fits = (offset + length(&location)).saturating_sub(start) <= PIECE_BYTES_MAX;
                Arc::ptr_eq(there, &segment) && (offsets.is_empty() || goes_on && fits)
            });
            let Some((_, offset)) = next else { break };
            end = offset + length(&location);
            offsets.push(offset);
        }
        // What was needed for one large record is not kept.
        buffer.truncate(PIECE_BYTES_MAX as usize);
        buffer.shrink_to(PIECE_BYTES_MAX as usize);
        buffer.resize((end - start) as usize, 0);
        let read = segment.file.read_at(buffer, start)?;
        for (number, (location, offset)) in places.iter().map(&at).zip(&offsets).enumerate() {
            let skip = (offset - start) as usize;
            let bytes = buffer[..read].get(skip..skip + location.length as usize);
            if let Some(Ok(record)) = bytes.map(|bytes| Record::read(bytes, segment.salt))
                && record.op.sets_value()
                && record.length() == location.length as usize
            {
                visit(number, &record);
            }
        }
        Ok(offsets.len())
    }

    /// The segment that a record is in, and where.
    fn place(&self, location: Location) -> Option<(Arc<Segment>, u64)> {
        let table = self.table.load();
        let (segment, offset) = table.find(location)?;
        let is_possible = offset as usize >= SEGMENT_HEADER_BYTES
            && u64::from(offset) + u64::from(location.length) <= segment.capacity;
        is_possible.then(|| (segment.clone(), u64::from(offset)))
    }
}
