//! Reads one segment, every checksum of it.

use super::claims::used_bytes;
use super::find::Found;
use crate::store::error::OpenError;
use crate::store::hash::KeyHasher;
use crate::store::hint::{Builder, Hint};
use crate::store::reader::Reader;
use crate::store::record::{Fault, Op, Raw, Record};
use crate::store::segment::{FIRST_OFFSET, Location, Position};

/// One pass over a segment.
pub(super) struct Scan<'a> {
    segment: &'a Found,
    hasher: &'a KeyHasher,
    reader: Reader<'a>,
    last_sequence: u64,
    builder: Builder,
    damaged: u64,
    durable: Position,
}

/// What a segment has.
pub(super) struct Scanned {
    /// Bytes of its records.
    pub bytes: u64,
    /// What they say of keys.
    pub hint: Hint,
    /// Records whose value is damaged.
    pub damaged: u64,
    /// Bytes behind the end of the log, where that is in this segment.
    pub torn_bytes: Option<u64>,
    /// The highest position that its marks say was durable.
    pub durable: Position,
}

/// What stands at some offset.
enum Run {
    /// A record, or a batch, up to this offset.
    Whole(u64),
    /// The end of what can be read, or a flaw at this offset.
    Flaw(u64, Fault),
}

impl<'a> Scan<'a> {
    /// A pass over a segment whose records have numbers above `last_sequence`.
    pub(super) fn new(segment: &'a Found, hasher: &'a KeyHasher, last_sequence: u64) -> Self {
        let reader = Reader::new(&*segment.file, segment.end());
        let builder = Builder::without_filter();
        Self { segment, hasher, reader, last_sequence, builder, damaged: 0, durable: 0 }
    }

    /// Reads a sealed segment: all of it was durable.
    pub(super) fn sealed(self) -> Result<Scanned, OpenError> {
        self.run(None, &|_| Ok(Position::MAX), &mut |_| {})
    }

    /// Reads to the end, or to the first flaw in what nobody claims to be durable. Of two segments of which nobody
    /// says how long they are, the first ends where the next begins; `claim` is the highest position that is claimed
    /// by anything at or behind an offset; `went_on` is told of bytes read.
    pub(super) fn run(
        mut self,
        next_base: Option<Position>,
        claim: &dyn Fn(u64) -> Result<Position, OpenError>,
        went_on: &mut dyn FnMut(u64),
    ) -> Result<Scanned, OpenError> {
        let segment = self.segment;
        let end = match (segment.sealed, next_base) {
            (None, Some(next)) => next.saturating_sub(segment.base) + u64::from(FIRST_OFFSET),
            _ => segment.end(),
        };
        self.reader = Reader::new(&*segment.file, end.min(segment.end()));
        let mut offset = u64::from(FIRST_OFFSET);
        let mut claimed = segment.sealed.map(|bytes| segment.base + bytes);
        let mut torn_bytes = None;
        while offset < end {
            let mut run = self.verify(offset, false)?;
            if let Run::Flaw(at, fault) = run {
                let claim = match claimed {
                    Some(claim) => claim,
                    None => *claimed.insert(claim(at)?),
                };
                if claim <= segment.position(offset) {
                    torn_bytes = Some(used_bytes(segment, offset)?);
                    break;
                }
                if fault == Fault::Checksum {
                    run = self.verify(offset, true)?;
                }
            }
            let next = match run {
                Run::Whole(next) => next,
                Run::Flaw(at, _) => {
                    return Err(segment.corrupt(at, "a record that was durable cannot be made out"));
                }
            };
            let sealed = self.deliver(offset, next)?;
            went_on(next - offset);
            offset = next;
            if sealed {
                break;
            }
        }
        let bytes = offset - u64::from(FIRST_OFFSET);
        let Self { builder, damaged, durable, .. } = self;
        Ok(Scanned { bytes, hint: builder.into_hint(), damaged, torn_bytes, durable })
    }

    /// Verifies the record or the batch at `offset`; with `lenient`, values may be damaged.
    fn verify(&mut self, offset: u64, lenient: bool) -> Result<Run, OpenError> {
        let segment = self.segment;
        let mut at = offset;
        let mut last_sequence = self.last_sequence;
        loop {
            let bytes = self.reader.record(at).map_err(segment.reading())?;
            let record = match Record::read(bytes, segment.listed.salt) {
                Err(Fault::Checksum) if lenient => Record::read_head(bytes, segment.listed.salt),
                record => record,
            };
            let record = match record {
                Ok(record) => record,
                Err(Fault::Unknown) => {
                    let what = format!("the record at byte {at} is of a kind that is not known");
                    return Err(OpenError::Unsupported { file: segment.name(), what });
                }
                Err(fault) => return Ok(Run::Flaw(at, fault)),
            };
            // Survivors of a compaction stand in no order.
            if record.sequence <= last_sequence && !segment.is_compacted() {
                let what = format!("record {} follows record {last_sequence}", record.sequence);
                return Err(segment.corrupt(at, what));
            }
            if record.starts_batch() != (at == offset && record.batch_goes_on()) {
                return Err(segment.corrupt(at, "a batch does not begin where it should"));
            }
            last_sequence = record.sequence;
            at += u64::from(Raw::read(bytes).length);
            if !record.batch_goes_on() {
                return Ok(Run::Whole(at));
            }
        }
    }

    /// Takes in what [`Scan::verify`] has verified; `true` where it is the last of its segment.
    fn deliver(&mut self, offset: u64, end: u64) -> Result<bool, OpenError> {
        let (segment, salt) = (self.segment, self.segment.listed.salt);
        let (mut at, mut sealed) = (offset, false);
        while at < end {
            let bytes = self.reader.record(at).map_err(segment.reading())?;
            let length = Raw::read(bytes).length;
            let (record, damaged) = match Record::read(bytes, salt) {
                Ok(record) => (record, false),
                Err(fault) => match Record::read_head(bytes, salt) {
                    Ok(record) => (record, true),
                    Err(_) => return Err(segment.corrupt(at, format!("it changed while it was read ({fault:?})"))),
                },
            };
            self.last_sequence = record.sequence;
            sealed = record.op == Op::Seal;
            self.durable = self.durable.max(record.mark().map_or(0, |(durable, _)| durable));
            let at_offset = Location { segment: segment.listed.id, offset: at as u32, length };
            self.builder.note(self.hasher, &record, at_offset, damaged);
            self.damaged += u64::from(damaged);
            at += u64::from(length);
        }
        Ok(sealed)
    }
}
