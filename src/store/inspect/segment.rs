//! Verifies one segment: each record, their order, and that batches are whole.
//!
//! Always true: what nobody claims to be durable ends at its first flaw, as it does when a store is opened; of what was
//! durable, everything behind a flaw is looked at as well.

use std::io;
use std::ops::Range;

use super::finding::{Cost, Finding, KeyOf};
use super::hint::Hinted;
use super::walk::{Seen, Walk};
use crate::store::error::OpenError;
use crate::store::hash::KeyHasher;
use crate::store::hint::{Builder, Hint};
use crate::store::record::{Fault, Op};
use crate::store::recovery::{Found, used_bytes};
use crate::store::segment::{FIRST_OFFSET, Location, Position};

/// What a walk along a segment has come to.
pub(in crate::store) struct Looked {
    /// What its records say of keys, where all of them are sound.
    pub sound: Option<Hint>,
    /// Records that can be made out.
    pub records: u64,
    pub sequence_min: u64,
    pub sequence_max: u64,
    /// Where its last record ends.
    pub end: u64,
    /// Where nothing can be made out: from one offset to another, those included that the file should reach and does not.
    pub lost: Vec<Range<u64>>,
    /// There is something that only another version knows.
    pub unknown: bool,
    /// The log ends here in the middle of a write: what follows in later segments is no part of it.
    pub torn: bool,
}

/// What is known of a segment before its first record is looked at.
pub(in crate::store) struct Surroundings<'a> {
    pub hasher: &'a KeyHasher,
    pub hinted: Option<&'a Hinted>,
    /// The number of the last record before it, if it is part of the log.
    pub last_sequence: u64,
    /// The highest position that is claimed to be durable by anything at or behind an offset.
    pub claim: &'a dyn Fn(u64) -> Result<Position, OpenError>,
    /// Where the next segment of the log begins: one that is not sealed ends there.
    pub next_base: Option<Position>,
}

/// A walk along a segment.
struct Look<'a> {
    found: &'a Found,
    around: &'a Surroundings<'a>,
    tell: &'a mut dyn FnMut(Finding),
    builder: Builder,
    sound: bool,
    records: u64,
    lost: Vec<Range<u64>>,
    of_another_version: bool,
    sequence_min: u64,
    last_sequence: u64,
    sequence_max: u64,
    /// Where the batch began that goes on.
    batch: Option<u64>,
    /// What is before is not known.
    unknown: bool,
    claimed: Option<Position>,
    torn: bool,
}

/// Looks at every record, and tells of everything that is wrong.
pub(in crate::store) fn look(
    found: &Found,
    around: &Surroundings<'_>,
    went_on: &mut dyn FnMut(u64),
    tell: &mut dyn FnMut(Finding),
) -> Result<Looked, OpenError> {
    let mut look = Look {
        found,
        around,
        tell,
        builder: Builder::new(),
        sound: true,
        records: 0,
        lost: Vec::new(),
        of_another_version: false,
        sequence_min: u64::MAX,
        last_sequence: around.last_sequence,
        sequence_max: 0,
        batch: None,
        unknown: false,
        claimed: found.sealed.map(|_| Position::MAX),
        torn: false,
    };
    let reading = |error: io::Error| OpenError::io(format!("reading {}", found.name()))(error);
    let stop = match (found.sealed, around.next_base) {
        (None, Some(next)) => next.saturating_sub(found.base) + u64::from(FIRST_OFFSET),
        _ => u64::MAX,
    };
    let mut walk = Walk::new(found);
    let mut told = walk.offset();
    while walk.offset() < stop {
        let flaw = match walk.next().map_err(reading)? {
            None => break,
            Some(Seen::Record { offset, length, record, damaged }) => {
                if damaged && look.ends_at(offset)? {
                    break;
                }
                if look.take(offset, length, &record, damaged) {
                    break;
                }
                None
            }
            Some(Seen::Flaw { offset, fault }) => Some((offset, fault)),
        };
        if let Some((offset, fault)) = flaw {
            if look.ends_at(offset)? {
                break;
            }
            let next = walk.resume().map_err(reading)?;
            look.lose(offset, next, fault).map_err(reading)?;
        }
        went_on(walk.offset() - told);
        told = walk.offset();
    }
    let end = look.batch.filter(|_| look.torn).unwrap_or(if look.torn { told } else { walk.offset() });
    look.finish(end)
}

impl Look<'_> {
    /// Whether the log ends at a flaw, as nobody claims that it goes on there.
    fn ends_at(&mut self, flaw: u64) -> Result<bool, OpenError> {
        let begin = self.batch.unwrap_or(flaw);
        let claim = match self.claimed {
            Some(claim) => claim,
            None => *self.claimed.insert((self.around.claim)(flaw)?),
        };
        self.torn = claim <= self.found.position(begin);
        if self.torn {
            let bytes = used_bytes(self.found, begin)?;
            if bytes > 0 {
                let what = format!(
                    "the log ends in the middle of a write: the next start cuts {bytes} bytes off, which were never \
                     acknowledged as being on the disk"
                );
                self.note(begin, Cost::Nothing, what);
            }
        }
        Ok(self.torn)
    }

    /// Takes in a record; `true` where it is the last of its segment.
    fn take(&mut self, offset: u64, length: u32, record: &crate::store::record::Record<'_>, damaged: bool) -> bool {
        self.records += 1;
        if damaged {
            self.sound = false;
            let what = if record.op.is_of_element() { "element" } else { "key" };
            let newer = format!(
                "the value of this record is damaged: unless the {what} was written again, reading it is an error"
            );
            let finding = Finding::new(self.found.name(), Some(offset), Cost::Key, newer);
            let (keyspace, object, key) = (record.keyspace, record.element_of(), record.key.to_vec());
            (self.tell)(finding.of_key(KeyOf { keyspace, object, key }));
        }
        if !self.found.is_compacted() && record.sequence <= self.last_sequence {
            let what = format!("record {} follows record {}", record.sequence, self.last_sequence);
            self.disorder(offset, what);
        }
        let begins = record.starts_batch() != (self.batch.is_none() && record.batch_goes_on());
        if begins && !self.unknown {
            self.disorder(offset, "a batch does not begin where it should");
        }
        self.unknown = self.unknown && record.batch_goes_on() && !record.starts_batch();
        self.batch = record.batch_goes_on().then(|| self.batch.unwrap_or(offset));
        self.last_sequence = record.sequence;
        self.sequence_min = self.sequence_min.min(record.sequence);
        self.sequence_max = self.sequence_max.max(record.sequence);
        let at = Location { segment: self.found.listed.id, offset: offset as u32, length };
        self.builder.note(self.around.hasher, record, at, damaged);
        record.op == Op::Seal
    }

    /// Tells of what cannot be made out.
    fn lose(&mut self, offset: u64, next: u64, fault: Fault) -> io::Result<()> {
        (self.sound, self.unknown, self.batch) = (false, true, None);
        self.lost.push(offset..next);
        self.of_another_version |= fault == Fault::Unknown;
        let told = self.around.hinted.map(|hinted| hinted.key_at(offset)).transpose()?.flatten();
        let trusted = self.around.hinted.is_some_and(|hinted| hinted.is_trusted(self.found));
        let extent = match next - offset {
            bytes if next >= self.found.end() => format!("nothing of the last {bytes} bytes can be made out"),
            bytes => format!("{bytes} bytes cannot be made out, the records behind them can"),
        };
        let (what, cost) = match (fault, trusted) {
            (Fault::Unknown, _) => ("a record of a kind that this version does not know".to_owned(), Cost::Start),
            (_, true) => {
                let what = format!(
                    "the header or the key of a record is damaged: {extent}. The hint of the segment says what was \
                     there: keep it, without it no server starts"
                );
                (what, Cost::Key)
            }
            (Fault::Checksum, false) => {
                ("a record that moves a key is damaged: nobody can tell where from".to_owned(), Cost::Start)
            }
            (_, false) => (format!("the header or the key of a record is damaged: {extent}"), Cost::Start),
        };
        let finding = Finding::new(self.found.name(), Some(offset), cost, what);
        (self.tell)(match told {
            Some(key) => finding.of_key(key),
            None => finding,
        });
        Ok(())
    }

    fn finish(mut self, end: u64) -> Result<Looked, OpenError> {
        if let Some(batch) = self.batch
            && !self.torn
            && !self.ends_at(batch)?
        {
            self.disorder(batch, "the batch that begins here is not whole");
        }
        let cut_at = self.found.file_bytes.max(u64::from(FIRST_OFFSET));
        if self.found.sealed.is_some() && cut_at < self.found.end() {
            self.lost.push(cut_at..self.found.end());
        } else if self.found.sealed.is_some() && end < self.found.end() && self.sound {
            self.disorder(end, "its last record ends here, before the end that the manifest says");
        }
        let sequence_min = if self.records == 0 { 0 } else { self.sequence_min };
        Ok(Looked {
            sound: self.sound.then(|| self.builder.into_hint()),
            records: self.records,
            sequence_min,
            sequence_max: self.sequence_max,
            end,
            lost: self.lost,
            unknown: self.of_another_version,
            torn: self.torn,
        })
    }

    fn disorder(&mut self, offset: u64, what: impl Into<String>) {
        self.note(offset, Cost::Start, what);
        self.sound = false;
    }

    fn note(&mut self, offset: u64, cost: Cost, what: impl Into<String>) {
        (self.tell)(Finding::new(self.found.name(), Some(offset), cost, what));
    }
}
