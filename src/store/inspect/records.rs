//! All records of the log, those of compactions included, in rising order of their sequence numbers.
//!
//! Always true: of the log only what a start would read is told; what is damaged is told as such, in its place; in memory
//! are 16 bytes for each record that a compaction has copied, and one record at a time.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range, RangeInclusive};

use super::Inspection;
use super::hint::Named;
use super::layout::{Around, Passed};
use super::walk::{Seen, Walk};
use crate::store::error::OpenError;
use crate::store::record::{Fault, HEADER_BYTES, Raw, Record};
use crate::store::recovery::{Found, OnProgress};
use crate::store::segment::FIRST_OFFSET;

/// Bytes read at once where records are not read one behind the other.
const PIECE_BYTES: usize = 4096;

/// What stands somewhere in a segment.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The id of the segment.
    pub segment: u32,
    /// Bytes from the start of the file.
    pub offset: u64,
    /// How many bytes it takes.
    pub length: u64,
    /// What it is.
    pub what: What<'a>,
}

/// What can be told of some bytes.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// A sound record.
    Record(&'a Record<'a>),
    /// A record whose value is damaged; it is left out.
    Damaged(&'a Record<'a>),
    /// A record that cannot be made out; the hint of the segment says what it was.
    Named(&'a Named),
    /// Nothing can be made out, and nothing says what was there.
    Lost,
}

impl Entry<'_> {
    /// The sequence number, where it is known.
    pub fn sequence(&self) -> Option<u64> {
        match self.what {
            What::Record(record) | What::Damaged(record) => Some(record.sequence),
            What::Named(named) => Some(named.sequence),
            What::Lost => None,
        }
    }
}

/// Who is told of the records, one after the other, until he has heard enough.
pub type Visit<'a> = &'a mut dyn FnMut(&Entry<'_>) -> ControlFlow<()>;

/// Where records cannot be made out; what the hint says of them; and whether it names all of them.
pub(in crate::store) type Unread = (Vec<Range<u64>>, Vec<Named>, bool);

impl Inspection {
    /// Visits all records with these sequence numbers in rising order; of two with the same, which are copies, that in the
    /// segment of the lower id first.
    ///
    /// # Errors
    /// When the disk fails, or there is a record that only another version knows.
    pub fn records(
        &self,
        sequences: RangeInclusive<u64>,
        visit: Visit<'_>,
        on_progress: OnProgress<'_>,
    ) -> Result<(), OpenError> {
        let mut layout = self.layout(&mut |_| {})?;
        let compacted = std::mem::take(&mut layout.compacted);
        let bytes = |segments: &[Found]| segments.iter().map(|found| found.file_bytes).sum::<u64>();
        let total = bytes(&layout.log) + bytes(&compacted);
        let mut progress = |done: u64| on_progress(done, total);
        let mut survivors = Survivors { segments: &compacted, ..Survivors::default() };
        let mut done = 0;
        for (index, found) in compacted.iter().enumerate() {
            survivors.index(self, index, &sequences)?;
            done += found.file_bytes;
            progress(done);
        }
        survivors.places.sort_unstable();
        let mut reading =
            Reading { inspection: self, sequences, survivors, next: 0, last_sequence: 0, visit, done, stopped: false };
        layout.visit(&mut |around| reading.segment(around, &mut progress))?;
        reading.survivors_before(u64::MAX, u32::MAX)
    }

    /// Where the records of a segment that cannot be made out stand before `end`, and what its hint says of them.
    pub(in crate::store) fn lost(&self, found: &Found, end: u64) -> Result<Unread, OpenError> {
        let (mut walk, mut lost) = (Walk::until(found, end), Vec::new());
        while let Some(seen) = walk.next().map_err(found.reading())? {
            if let Seen::Flaw { offset, .. } = seen {
                lost.push(offset..walk.resume().map_err(found.reading())?);
            }
        }
        lost.extend(missing_end(found));
        let Some(hinted) = self.hinted(found)? else { return Ok((lost, Vec::new(), false)) };
        let (named, whole) = hinted.within(&lost).map_err(found.reading())?;
        Ok((lost, named, whole))
    }
}

/// What a file should have behind its end.
pub(in crate::store) fn missing_end(found: &Found) -> Option<Range<u64>> {
    let begin = found.file_bytes.max(u64::from(FIRST_OFFSET));
    (found.sealed.is_some() && begin < found.end()).then(|| begin..found.end())
}

/// The records that compactions have copied.
#[derive(Default)]
struct Survivors<'a> {
    segments: &'a [Found],
    /// In the order in which they are told: by sequence number, then by the segment's place in the list above.
    places: Vec<Place>,
    /// Those that cannot be made out, and what the hint says of them.
    named: HashMap<(u32, u32), Named>,
    /// Where not even that is known, and how many bytes there are.
    lost: HashMap<(u32, u32), u64>,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    sequence: u64,
    segment: u32,
    offset: u32,
}

impl Survivors<'_> {
    /// Takes note of the records of a segment.
    fn index(
        &mut self,
        inspection: &Inspection,
        index: usize,
        sequences: &RangeInclusive<u64>,
    ) -> Result<(), OpenError> {
        let (found, segment) = (&self.segments[index], index as u32);
        let (mut walk, mut flawed) = (Walk::new(found), missing_end(found).is_some());
        while let Some(seen) = walk.next().map_err(found.reading())? {
            match seen {
                Seen::Record { offset, record, .. } if sequences.contains(&record.sequence) => {
                    self.places.push(Place { sequence: record.sequence, segment, offset: offset as u32 });
                }
                Seen::Record { .. } => {}
                Seen::Flaw { offset, fault } => {
                    refuse_unknown(found, offset, fault)?;
                    flawed = true;
                    walk.resume().map_err(found.reading())?;
                }
            }
        }
        if !flawed {
            return Ok(());
        }
        let (lost, named, whole) = inspection.lost(found, u64::MAX)?;
        if !whole {
            // They have no number: they come where the segment's first record would.
            let sequence = found.base_sequence.clamp(*sequences.start(), *sequences.end());
            for region in &lost {
                self.places.push(Place { sequence, segment, offset: region.start as u32 });
                self.lost.insert((segment, region.start as u32), region.end - region.start);
            }
        }
        for named in named.into_iter().filter(|named| sequences.contains(&named.sequence)) {
            self.places.push(Place { sequence: named.sequence, segment, offset: named.offset });
            self.named.insert((segment, named.offset), named);
        }
        Ok(())
    }

    /// Tells of what is at a place.
    fn tell(&mut self, place: Place, visit: Visit<'_>) -> Result<ControlFlow<()>, OpenError> {
        let (found, offset) = (&self.segments[place.segment as usize], u64::from(place.offset));
        let at = (place.segment, place.offset);
        let entry = |length: u64, what| Entry { segment: found.listed.id, offset, length, what };
        // What is lost may have two lines: whose numbers the hint says, and the bytes.
        if let Some(named) = self.named.get(&at).filter(|named| named.sequence == place.sequence) {
            return Ok(visit(&entry(u64::from(named.length), What::Named(named))));
        }
        if let Some(length) = self.lost.get(&at) {
            return Ok(visit(&entry(*length, What::Lost)));
        }
        read_at(found, offset, &mut self.buffer)?;
        let salt = found.listed.salt;
        Ok(match Record::read(&self.buffer, salt) {
            Ok(record) => visit(&entry(self.buffer.len() as u64, What::Record(&record))),
            Err(fault) => match Record::read_head(&self.buffer, salt) {
                Ok(record) => visit(&entry(self.buffer.len() as u64, What::Damaged(&record))),
                Err(_) => return Err(found.corrupt(offset, format!("it changed while it was read ({fault:?})"))),
            },
        })
    }
}

/// Reads the record at an offset, without more than it has.
fn read_at(found: &Found, offset: u64, buffer: &mut Vec<u8>) -> Result<(), OpenError> {
    buffer.resize(PIECE_BYTES, 0);
    let read = found.file.read_at(buffer, offset).map_err(found.reading())?;
    buffer.truncate(read);
    if read < HEADER_BYTES {
        return Ok(());
    }
    let raw = Raw::read(buffer);
    if raw.plausible(found.end().saturating_sub(offset)) {
        let length = raw.length as usize;
        if length > read {
            buffer.resize(length, 0);
            let rest = found.file.read_at(&mut buffer[read..], offset + read as u64).map_err(found.reading())?;
            buffer.truncate(read + rest);
        } else {
            buffer.truncate(length);
        }
    }
    Ok(())
}

fn refuse_unknown(found: &Found, offset: u64, fault: Fault) -> Result<(), OpenError> {
    if fault != Fault::Unknown {
        return Ok(());
    }
    let what = format!("the record at byte {offset} is of a kind that is not known");
    Err(OpenError::Unsupported { file: found.name(), what })
}

/// The walk along the log.
struct Reading<'a> {
    inspection: &'a Inspection,
    sequences: RangeInclusive<u64>,
    survivors: Survivors<'a>,
    /// Which of the survivors comes next.
    next: usize,
    last_sequence: u64,
    visit: Visit<'a>,
    done: u64,
    stopped: bool,
}

impl Reading<'_> {
    fn segment(&mut self, around: &Around<'_>, progress: &mut dyn FnMut(u64)) -> Result<Passed, OpenError> {
        let found = around.found();
        let next = around.later().first().map_or(0, |next| next.base_sequence);
        let is_before = found.sealed.is_some() && next > 0 && next <= *self.sequences.start();
        let passed = self.inspection.passed(around)?;
        if !self.stopped && !is_before {
            let begun = self.done;
            self.records(found, passed.end, next, &mut |bytes| progress(begun + bytes))?;
        }
        self.last_sequence = passed.sequence_max.max(self.last_sequence);
        self.done += found.file_bytes;
        progress(self.done);
        Ok(passed)
    }

    /// Tells of what is in a segment up to `end`; the segment behind it begins with record `next`, if that is not 0.
    fn records(&mut self, found: &Found, end: u64, next: u64, progress: &mut dyn FnMut(u64)) -> Result<(), OpenError> {
        let (segment, mut walk) = (found.listed.id, Walk::until(found, end));
        let mut regions: Vec<Range<u64>> = Vec::new();
        // What the hint says of them, once there is one.
        let mut said = None;
        while !self.stopped {
            match walk.next().map_err(found.reading())? {
                None => break,
                Some(Seen::Record { offset, length, record, damaged }) => {
                    for region in regions.drain(..) {
                        self.region(found, &region, end, record.sequence, &mut said)?;
                    }
                    self.last_sequence = record.sequence;
                    let what = if damaged { What::Damaged(&record) } else { What::Record(&record) };
                    self.tell(record.sequence, &Entry { segment, offset, length: u64::from(length), what })?;
                    progress(offset);
                }
                Some(Seen::Flaw { offset, fault }) => {
                    refuse_unknown(found, offset, fault)?;
                    regions.push(offset..walk.resume().map_err(found.reading())?);
                }
            }
        }
        regions.extend(missing_end(found));
        let behind = if next == 0 { u64::MAX } else { next };
        regions.iter().try_for_each(|region| self.region(found, region, end, behind, &mut said))
    }

    /// Tells of a region in which nothing can be made out; the record behind it has the number `behind`.
    fn region(
        &mut self,
        found: &Found,
        region: &Range<u64>,
        end: u64,
        behind: u64,
        said: &mut Option<(Vec<Named>, bool)>,
    ) -> Result<(), OpenError> {
        let (named, whole) = match said {
            Some(said) => said,
            None => {
                let (_, named, whole) = self.inspection.lost(found, end)?;
                said.insert((named, whole))
            }
        };
        let (segment, from) = (found.listed.id, *self.sequences.start());
        if !*whole && behind > from {
            let (offset, length) = (region.start, region.end - region.start);
            let sequence = from.max(self.last_sequence + 1);
            self.tell(sequence, &Entry { segment, offset, length, what: What::Lost })?;
        }
        for named in named.iter().filter(|named| region.contains(&u64::from(named.offset))) {
            self.last_sequence = named.sequence;
            let (offset, length) = (u64::from(named.offset), u64::from(named.length));
            self.tell(named.sequence, &Entry { segment, offset, length, what: What::Named(named) })?;
        }
        Ok(())
    }

    /// Tells of an entry, after the survivors that come before it.
    fn tell(&mut self, sequence: u64, entry: &Entry<'_>) -> Result<(), OpenError> {
        if self.stopped || !self.sequences.contains(&sequence) {
            self.stopped |= sequence > *self.sequences.end();
            return Ok(());
        }
        self.survivors_before(sequence, entry.segment)?;
        if !self.stopped {
            self.stopped = (self.visit)(entry).is_break();
        }
        Ok(())
    }

    /// Tells of the survivors with lower numbers, and of those with the same in a segment of a lower id.
    fn survivors_before(&mut self, sequence: u64, segment: u32) -> Result<(), OpenError> {
        while let Some(place) = self.survivors.places.get(self.next).copied() {
            let id = self.survivors.segments[place.segment as usize].listed.id;
            if (place.sequence, id) >= (sequence, segment) {
                break;
            }
            self.next += 1;
            if self.survivors.tell(place, self.visit)?.is_break() {
                self.stopped = true;
                self.next = self.survivors.places.len();
            }
        }
        Ok(())
    }
}
