//! Reads the log back when a store is opened.
//!
//! Nothing on the disk is changed before everything has been read. What a mark, a seal or the manifest claims to be
//! durable is never cut off; what nobody claims ends at its first flaw. Nothing of a batch is replayed before its last
//! record has been verified. Of a sealed segment the hint is read in its place, where there is one beyond doubt.
//!
//! | file | what |
//! | --- | --- |
//! | `find` | opens what the manifest lists |
//! | `scan` | reads one segment, every checksum of it |
//! | `claims` | what is said to have been durable |
//! | `load` | hands what was found to the index, in parts that threads share |
//! | `settle` | makes durable what was read |
//! | `share` | work that several threads share |

mod claims;
mod find;
mod load;
mod scan;
mod settle;
mod share;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use self::claims::claim_with;
pub(super) use self::claims::{claim_from, claim_of, used_bytes};
pub(super) use self::find::{Found, find_held, first_sequence, read_header};
use self::find::{Listing, find};
pub use self::load::Records;
use self::load::load;
use self::scan::{Scan, Scanned};
use self::settle::settle;
use self::share::share;
use super::disk::{Disk, Mode};
use super::error::OpenError;
use super::hash::KeyHasher;
use super::manifest::{Floor, Manifest};
use super::reader::READ_BYTES;
use super::segment::{FIRST_OFFSET, POSITION_MAX, Position, Segment};

/// Told how far reading is: bytes done, bytes in all.
pub type OnProgress<'a> = &'a mut dyn FnMut(u64, u64);

/// Who is told what the log says, when a store is opened: the index.
pub trait Replay: Sync {
    /// Called once, before any record is told of.
    fn begin(&mut self, beginning: &Beginning<'_>);

    /// Called once for each partition that has records, by several threads at a time: all records of the keys of that partition, in
    /// rising order of their sequence numbers. Only committed ones are told of: [`Op::Put`](super::Op::Put),
    /// [`Op::Delete`](super::Op::Delete), [`Op::Expire`](super::Op::Expire) and [`Op::Move`](super::Op::Move).
    fn partition(&self, partition: usize, records: Records<'_>);

    /// Called once for each partition that has records of elements, by several threads at a time, when all partitions of keys
    /// have been told of: the records of all elements of the objects whose ids' hashes are of that partition, in rising order of
    /// their sequence numbers. They are [`Op::SetElement`](super::Op::SetElement) and
    /// [`Op::RemoveElement`](super::Op::RemoveElement).
    fn elements(&self, partition: usize, records: Records<'_>);
}

/// What is known before the first record.
#[derive(Clone, Copy)]
pub struct Beginning<'a> {
    /// The hash by which keys are spread over the partitions.
    pub hasher: &'a KeyHasher,
    /// The random number that is this dataset's name.
    pub dataset: [u8; 16],
    /// The ids of all segments that have records, in rising order.
    pub segments: &'a [u32],
    /// Databases and the keyspaces they were bound to, one after the other.
    pub bindings: &'a [(u32, u32)],
}

/// What opening a store has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records of keys, elements and databases.
    pub records: u64,
    /// Bytes of the log.
    pub bytes: u64,
    /// Segments that were read as a whole, as they had no hint that could be trusted.
    pub without_hint: usize,
    /// Bytes behind the last whole flush or batch: cut off, as they were never acknowledged as durable.
    pub torn_bytes: u64,
    /// The time of the last mark in what is left, milliseconds since the Unix epoch; 0 where there is none. Whatever was
    /// written before that is there.
    pub marked_at: u64,
    /// Records whose value is damaged.
    pub damaged: u64,
    /// No moment before it comes again, milliseconds since the Unix epoch.
    pub clock_floor: u64,
    /// The number of the last record.
    pub sequence: u64,
    /// The position behind the last record.
    pub position: Position,
}

/// What the log is after recovery: all segments are sealed.
pub(super) struct Recovery {
    pub recovered: Recovered,
    pub segments: Vec<Arc<Segment>>,
    /// The segments that have a sound hint.
    pub hinted: BTreeSet<u32>,
    /// The segments that have damaged values.
    pub damaged: BTreeSet<u32>,
}

/// Reads every listed segment, tells `replay`, and then leaves all of them sealed and durable.
pub(super) fn recover(
    disk: &dyn Disk,
    manifest: &Manifest,
    hasher: &KeyHasher,
    threads: usize,
    replay: &mut dyn Replay,
    on_progress: OnProgress<'_>,
) -> Result<Recovery, OpenError> {
    let Readings { recovered, segments, empty } =
        read_back(disk, Mode::Write, manifest, hasher, threads, replay, on_progress)?;
    let of = |wanted: fn(&Found) -> bool| segments.iter().filter(|found| wanted(found)).map(Found::id).collect();
    let (hinted, damaged) = (of(|found| !found.was_scanned), of(|found| found.damaged > 0));
    let segments = settle(disk, manifest, segments, empty)?;
    Ok(Recovery { recovered, segments, hinted, damaged })
}

/// What reading has found, before anything is done about it.
pub(super) struct Readings {
    pub recovered: Recovered,
    /// Those that have records.
    pub segments: Vec<Found>,
    /// The ids of the others.
    pub empty: Vec<u32>,
}

/// Reads every listed segment, and tells `replay`. Nothing is changed; the files are open in that mode.
pub(super) fn read_back(
    disk: &dyn Disk,
    mode: Mode,
    manifest: &Manifest,
    hasher: &KeyHasher,
    threads: usize,
    replay: &mut dyn Replay,
    on_progress: OnProgress<'_>,
) -> Result<Readings, OpenError> {
    let Listing { mut log, headless, mut compacted } = find(disk, mode, manifest, hasher)?;
    let total = log.iter().chain(&headless).chain(&compacted).map(Found::bytes_to_read).sum();
    let recovered = Recovered { clock_floor: manifest.clock_floor(), ..Recovered::default() };
    let mut progress = Progress { done: 0, total, on_progress };
    progress.tell();
    scan_sealed(log.iter_mut().chain(&mut compacted), hasher, threads, &mut progress)?;
    let mut recovering = Recovering { hasher, floor: manifest.floor(), recovered, progress };
    let empty = recovering.read_log(&mut log, headless)?;
    recovering.doubt_hints(&mut compacted)?;
    compacted.iter().for_each(|segment| recovering.note(segment));
    let Recovering { mut recovered, mut progress, .. } = recovering;
    let mut segments: Vec<Found> = log.into_iter().chain(compacted).collect();
    load(&mut segments, hasher, manifest.dataset_id(), threads, replay, &mut progress)?;
    recovered.damaged = segments.iter().map(|found| found.damaged).sum();
    recovered.without_hint = segments.iter().filter(|found| found.was_scanned).count();
    Ok(Readings { recovered, segments, empty })
}

/// Reads all sealed segments that have no hint: unlike the others, each can be read without those before it.
fn scan_sealed<'a>(
    segments: impl Iterator<Item = &'a mut Found>,
    hasher: &KeyHasher,
    threads: usize,
    progress: &mut Progress<'_>,
) -> Result<(), OpenError> {
    let unread = |segment: &&mut Found| segment.sealed.is_some() && segment.hint.is_none();
    let mut segments: Vec<&mut Found> = segments.filter(unread).collect();
    let scans: Vec<OnceLock<Scanned>> = segments.iter().map(|_| OnceLock::new()).collect();
    share(threads, segments.len(), progress, &|index| {
        let segment = &*segments[index];
        let scanned = Scan::new(segment, hasher, 0).sealed()?;
        let bytes = scanned.bytes;
        let _ = scans[index].set(scanned);
        Ok(bytes)
    })?;
    for (segment, scan) in segments.iter_mut().zip(scans) {
        scan.into_inner().into_iter().for_each(|scanned| segment.take(scanned));
    }
    Ok(())
}

/// The walk along the log.
struct Recovering<'a> {
    hasher: &'a KeyHasher,
    floor: Floor,
    recovered: Recovered,
    progress: Progress<'a>,
}

impl Recovering<'_> {
    /// Reads the segments of the log in its order, and leaves those that are part of it. Returns the ids of the others,
    /// which have nothing.
    fn read_log(&mut self, log: &mut Vec<Found>, mut headless: Vec<Found>) -> Result<Vec<u32>, OpenError> {
        let mut whole = 0;
        loop {
            if let Some(next) = log.get(whole)
                && self.goes_on_at(next.base)
            {
                self.recovered.position = next.base;
            } else if self.recovered.position < self.floor.position {
                self.recovered.position = self.floor.position;
                self.recovered.sequence = self.recovered.sequence.max(self.floor.sequence);
                continue;
            } else if let Some(next) = self.next_headless(&mut headless)? {
                log.insert(whole, next);
            } else {
                break;
            }
            let (before, after) = log.split_at_mut(whole + 1);
            let torn = self.read(&mut before[whole], after, &headless)?;
            self.recovered.position += before[whole].bytes;
            if self.recovered.position > POSITION_MAX {
                return Err(before[whole].corrupt(0, "it ends behind where any log can end"));
            }
            whole += 1;
            if torn {
                break;
            }
        }
        let mut empty = Vec::new();
        let begun = log.len();
        log.append(&mut headless);
        for dropped in &log[whole..] {
            let (claim, position) = (claim_of(dropped)?, self.recovered.position);
            if claim > position {
                let what = format!("what should be between position {position} of the log and {claim} is not there");
                // That is most likely in one of which nothing can be told.
                let lost = log[begun..].iter().find(|lost| lost.id() < dropped.id());
                return Err(lost.unwrap_or(dropped).corrupt(0, what));
            }
            self.recovered.torn_bytes += used_bytes(dropped, u64::from(FIRST_OFFSET))?;
            empty.push(dropped.id());
            if !dropped.was_scanned {
                self.progress.add(dropped.bytes_to_read());
            }
        }
        log.truncate(whole);
        Ok(empty)
    }

    /// Whether a segment that begins there is the next: what it leaves out was removed.
    fn goes_on_at(&self, base: Position) -> bool {
        base == self.recovered.position || (self.recovered.position..=self.floor.position).contains(&base)
    }

    /// The segment without a header that goes on where the log has come to: its first record has the next number.
    fn next_headless(&self, headless: &mut Vec<Found>) -> Result<Option<Found>, OpenError> {
        for index in 0..headless.len() {
            if first_sequence(&headless[index])? == Some(self.recovered.sequence + 1) {
                let mut segment = headless.remove(index);
                (segment.base, segment.base_sequence) = (self.recovered.position, self.recovered.sequence + 1);
                return Ok(Some(segment));
            }
        }
        Ok(None)
    }

    /// Reads a segment, from its hint where there is one; `true` where the log ends in it. Before and after it are
    /// those whose claims count.
    fn read(&mut self, segment: &mut Found, after: &[Found], headless: &[Found]) -> Result<bool, OpenError> {
        let next = after.first().map_or(0, |next| next.base_sequence);
        let is_below = next == 0 || segment.sequence_max() < next;
        if segment.hint.is_some() && self.recovered.sequence < segment.sequence_min() && is_below {
            self.note(segment);
            return Ok(false);
        }
        let (floor, end) = (self.floor.position, self.progress.done + segment.bytes_to_read());
        let progress = RefCell::new(&mut self.progress);
        let went_on = |bytes| progress.borrow_mut().add_up_to(end, bytes);
        // What is behind the end of the log is looked through for what it claims.
        let claim = |at| {
            let later = after.iter().chain(headless);
            Ok(claim_with(segment, at, later, &mut |bytes| went_on(bytes))?.max(floor))
        };
        let next_base = after.first().map(|next| next.base);
        let scan = Scan::new(segment, self.hasher, self.recovered.sequence);
        let scanned = scan.run(next_base, &claim, &mut |bytes| went_on(bytes))?;
        went_on(u64::MAX);
        let torn_bytes = scanned.torn_bytes;
        segment.take(scanned);
        self.note(segment);
        self.recovered.torn_bytes += torn_bytes.unwrap_or(0);
        Ok(torn_bytes.is_some())
    }

    /// Reads those survivors of compactions whose hints claim numbers that the log never came to.
    fn doubt_hints(&mut self, compacted: &mut [Found]) -> Result<(), OpenError> {
        let highest = self.recovered.sequence.max(self.floor.sequence);
        for segment in compacted.iter_mut().filter(|found| !found.was_scanned && found.sequence_max() > highest) {
            let scanned = Scan::new(segment, self.hasher, 0).sealed()?;
            segment.take(scanned);
        }
        Ok(())
    }

    fn note(&mut self, segment: &Found) {
        let Some(hint) = &segment.hint else { return };
        let summary = hint.summary();
        self.recovered.records += summary.records;
        self.recovered.bytes += segment.bytes;
        self.recovered.marked_at = self.recovered.marked_at.max(summary.wall);
        self.recovered.clock_floor = self.recovered.clock_floor.max(summary.wall);
        self.recovered.sequence = self.recovered.sequence.max(summary.sequence_max);
    }
}

/// How far reading is.
struct Progress<'a> {
    done: u64,
    total: u64,
    on_progress: OnProgress<'a>,
}

impl Progress<'_> {
    fn add(&mut self, bytes: u64) {
        let step = |done: u64| (done.min(self.total) / READ_BYTES as u64, done >= self.total);
        let before = step(self.done);
        let is_told = before == step(self.done + bytes);
        self.done += bytes;
        if !is_told {
            self.tell();
        }
    }

    /// Adds bytes of a part that ends where `end` are done: what is read of it a second time is not counted.
    fn add_up_to(&mut self, end: u64, bytes: u64) {
        self.add(bytes.min(end.saturating_sub(self.done)));
    }

    fn tell(&mut self) {
        // What was read a second time, as its hint could not be trusted, is in neither.
        (self.on_progress)(self.done.min(self.total), self.total);
    }
}
