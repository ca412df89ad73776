//! One pass over some segments: what is alive in them goes to another, and they go.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use smallvec::SmallVec;

use super::super::log::{Log, capacity_for, is_full};
use super::super::manifest::{Edit, Moment, SegmentKind};
use super::super::reader::Reader;
use super::super::record::{Fault, HEADER_BYTES, Op, Raw, Record, record_key};
use super::super::segment::{FIRST_OFFSET, Location, Segment};
#[cfg(test)]
use super::Planted;
use super::output::{Copied, Output};
use super::tombstones::{Tombstones, Why};
use super::{Index, Look, Pace, TOGETHER};
use crate::sync::point;

/// How far ahead keys are looked for, at most.
const LOOK_AHEAD_BYTES_MAX: u64 = 64 << 10;

/// The pass was told to stop.
pub(super) fn interrupted() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "the pass was stopped")
}

/// A segment ends where no record can be made out.
struct Damaged;

/// What becomes of a record.
enum Fate {
    /// It is the value of a key or an element.
    Alive,
    /// It may be, or be again: somebody is at it.
    Unsettled,
    /// It hides what is older; `true`: and it says what still is.
    Hides(bool),
    /// It stays as it is.
    Stays,
    Dead,
}

/// A pass at work.
struct Pass<'a> {
    log: &'a Log,
    index: &'a dyn Index,
    victims: &'a [Arc<Segment>],
    /// Segments that are not part of the pass and may have older records.
    others: Vec<Arc<Segment>>,
    outputs: Vec<Output>,
    tombstones: Tombstones,
    /// Bytes that the tombstones take, at most, about which is decided now.
    hiding: u64,
    /// Bytes of records without a value that were not met yet.
    ahead: u64,
    pace: Pace<'a>,
    /// Bytes read and written since the last look at the pace.
    worked: u64,
    stopped: bool,
}

impl Log {
    /// Compacts the victims, all of them or none. What was written and could not be listed is added to `unlisted`.
    pub(super) fn pass(
        &self,
        index: &dyn Index,
        victims: &[Arc<Segment>],
        unlisted: &mut Vec<Output>,
        retention: Option<Duration>,
        pace: Pace<'_>,
    ) -> io::Result<bool> {
        let begun = self.note_purged(index);
        let is_victim = |segment: &Arc<Segment>| victims.iter().any(|victim| victim.id == segment.id);
        // Without a number, nothing has been written to it.
        let may_be_older = |segment: &&Arc<Segment>| segment.base_sequence() > 0 && !is_victim(segment);
        let others = self.table.load().all().filter(may_be_older).cloned().collect();
        let (outputs, tombstones) = (Vec::new(), Tombstones::default());
        let (hiding, worked, stopped) = (0, 0, false);
        let ahead = victims.iter().map(|victim| victim.bytes().saturating_sub(victim.placed().bytes)).sum();
        let mut pass =
            Pass { log: self, index, victims, others, outputs, tombstones, hiding, ahead, pace, worked, stopped };
        let read = pass.read();
        let finished = pass.finish();
        let mut outputs = pass.outputs;
        outputs.retain(|output| {
            !output.is_empty() || {
                output.discard(self);
                false
            }
        });
        self.compaction.bytes_written.fetch_add(outputs.iter().map(Output::bytes).sum(), Ordering::Relaxed);
        if let Err(error) = read.and(finished) {
            // What was copied is referred to: it must be found again after a restart, or, if that fails too, the victims.
            unlisted.append(&mut outputs);
            self.list(unlisted)?;
            return Err(error);
        }
        self.replace(victims, outputs, unlisted, retention, begun)
    }

    /// Notes of which segments it is certain that nothing in them is superseded by what was appended until now; returns a
    /// number such that every record below it is known to the index, 0 where that cannot be said.
    fn note_purged(&self, index: &dyn Index) -> u64 {
        let next = self.active.lock().sequence;
        if !index.is_up_to_date() {
            return 0;
        }
        for segment in self.table.load().all() {
            // Whatever is superseded is counted before the change is over.
            let is_purged = segment.retired().records == 0;
            #[cfg(test)]
            let is_purged = is_purged || self.compaction.has(Planted::AllPurged);
            if self.may_go(segment) && is_purged {
                segment.set_purged(next);
            }
        }
        next
    }

    /// Lets the outputs take the place of the victims.
    fn replace(
        &self,
        victims: &[Arc<Segment>],
        mut outputs: Vec<Output>,
        unlisted: &mut Vec<Output>,
        retention: Option<Duration>,
        begun: u64,
    ) -> io::Result<bool> {
        let mut edit = outputs.iter().fold(Edit::new(), |edit, output| edit.add(output.listed()));
        let superseded = self.make_durable();
        // What made the rest of the victims dead came before.
        let moment = Moment { sequence: self.active.lock().sequence - 1, time: self.now() };
        // What is held was taken off before, and goes before: it may have what the deletions of these hide.
        let is_kept = retention.is_some_and(|retention| !retention.is_zero());
        let holds = is_kept || !self.manifest.held().is_empty();
        point();
        // One that stays may have what the deletions of another hide, so that all of them have to.
        let left = |victim: &&Arc<Segment>| victim.live().records > 0;
        let go = superseded && !victims.iter().any(|victim| left(&victim) || victim.is_damaged());
        if go {
            for victim in victims {
                edit = if holds { edit.hold(victim.id, moment) } else { edit.remove(victim.id) };
                if victim.kind == SegmentKind::Foreground {
                    edit = edit.floor(victim.base() + victim.bytes(), victim.last_sequence());
                }
            }
            edit = edit.clock_floor(moment.time);
            if !holds {
                edit = edit.horizon(moment);
            }
        }
        if superseded {
            // Another pass would copy as much and win as little, and others would wait for it.
            victims.iter().filter(left).for_each(|victim| victim.set_stuck(victim.live()));
        }
        if !go && outputs.is_empty() {
            return Ok(false);
        }
        #[cfg(test)]
        if go && self.compaction.has(Planted::RemovedEarly) {
            self.remove(victims);
        }
        let _no_backup = self.compaction.listing.lock();
        if let Err(error) = self.manifest.edit(&edit) {
            unlisted.append(&mut outputs);
            return Err(error);
        }
        if go && holds {
            self.take_off(victims);
        } else if go {
            self.remove(victims);
        }
        let removals = self.compaction.removals.load(Ordering::Relaxed);
        let sequence = self.active.lock().sequence;
        for output in outputs {
            output.tell_why(begun, removals, sequence);
            output.segment.seal();
        }
        Ok(go)
    }

    /// Makes durable whatever a look at the index so far has relied on.
    fn make_durable(&self) -> bool {
        #[cfg(test)]
        if self.compaction.has(Planted::NoSyncOfTheLog) {
            return true;
        }
        let appended = self.appended.load(Ordering::SeqCst);
        self.durable.load(Ordering::SeqCst) >= appended
            || self.sync_round(true).is_ok() && self.durable.load(Ordering::SeqCst) >= appended
    }
}

impl Pass<'_> {
    fn read(&mut self) -> io::Result<()> {
        for victim in self.victims {
            if self.segment(victim)?.is_err() {
                victim.set_damaged();
            }
            if self.stopped {
                return Err(interrupted());
            }
        }
        self.settle()
    }

    /// Completes what was written, also after an error.
    fn finish(&mut self) -> io::Result<()> {
        let (log, index) = (self.log, self.index);
        let mut result = Ok(());
        if self.stopped {
            self.outputs.iter_mut().for_each(Output::leave_hint);
        }
        for output in &mut self.outputs {
            result = result.and(output.finish(log, index));
        }
        result
    }

    fn segment(&mut self, victim: &Arc<Segment>) -> io::Result<Result<(), Damaged>> {
        let end = victim.bytes() + u64::from(FIRST_OFFSET);
        let mut reader = Reader::new(&*victim.file, end);
        let mut offset = u64::from(FIRST_OFFSET);
        let mut foreseen = offset;
        while offset < end {
            if offset >= foreseen {
                foreseen = self.look_ahead(&mut reader, offset, end)?;
            }
            let header = reader.bytes(offset, HEADER_BYTES)?;
            if header.len() < HEADER_BYTES {
                return Ok(Err(Damaged));
            }
            let raw = Raw::read(header);
            if !raw.plausible(end - offset) {
                return Ok(Err(Damaged));
            }
            // Of most that are dead the value need not be read; a move is nothing without.
            let read = if raw.is_move() {
                Record::read(reader.bytes(offset, raw.length as usize)?, victim.salt)
            } else {
                match reader.bytes(offset, raw.head_bytes())? {
                    head if head.len() == raw.head_bytes() => Record::read_key(&raw, head, victim.salt),
                    _ => Err(Fault::Length),
                }
            };
            let Ok(record) = read else { return Ok(Err(Damaged)) };
            let at = Location { segment: victim.id, offset: offset as u32, length: raw.length };
            if !record.op.sets_value() {
                self.ahead = self.ahead.saturating_sub(u64::from(raw.length));
            }
            match self.fate(&record, at) {
                Fate::Dead => {}
                fate => {
                    let bytes = reader.bytes(offset, raw.length as usize)?;
                    match (Record::read(bytes, victim.salt), fate) {
                        (Ok(_), Fate::Alive) => self.copy(bytes, Copied::Alive(at))?,
                        (Ok(_), Fate::Unsettled) => self.copy(bytes, Copied::Unsettled(at))?,
                        (Ok(_), Fate::Stays) => self.copy(bytes, Copied::Kept(Why::Pinned))?,
                        (Ok(record), Fate::Hides(needed)) => self.tombstones.add(&self.log.hasher, &record, needed),
                        // Whoever reads it is told; the segment stays for it.
                        (Err(_), _) => victim.set_damaged(),
                        (Ok(_), Fate::Dead) => {}
                    }
                }
            }
            offset += u64::from(raw.length);
            if self.tombstones.is_due() {
                self.settle()?;
            }
            if !self.goes_on(u64::from(raw.length)) {
                break;
            }
        }
        Ok(Ok(()))
    }

    /// Has the index fetch what it knows of the keys of the next records; returns where they end. Nothing is verified here.
    fn look_ahead(&self, reader: &mut Reader<'_>, offset: u64, end: u64) -> io::Result<u64> {
        let (mut at, mut hashes, mut keyspace) = (offset, SmallVec::<[u64; TOGETHER]>::new(), 0);
        while at < end && hashes.len() < TOGETHER && at - offset < LOOK_AHEAD_BYTES_MAX {
            let header = reader.bytes(at, HEADER_BYTES)?;
            if header.len() < HEADER_BYTES {
                break;
            }
            let raw = Raw::read(header);
            if !raw.plausible(end - at) {
                break;
            }
            if raw.op().is_some_and(Op::is_of_element) {
                at += u64::from(raw.length);
                continue;
            }
            let head = reader.bytes(at, raw.head_bytes())?;
            if head.len() < raw.head_bytes() || !hashes.is_empty() && raw.keyspace() != keyspace {
                break;
            }
            keyspace = raw.keyspace();
            hashes.push(self.log.hasher.hash(record_key(head)));
            at += u64::from(raw.length);
        }
        if !hashes.is_empty() {
            self.index.prefetch(keyspace, &hashes);
        }
        Ok(at.max(offset + 1))
    }

    /// What becomes of a record, of which the value may be missing here.
    fn fate(&self, record: &Record<'_>, at: Location) -> Fate {
        let look = || match record.element_of() {
            Some(object) => self.index.look_element(object, record.key, at),
            None => self.index.look(record.keyspace, self.log.hasher.hash(record.key), record.key, at),
        };
        let is_over = record.expiry.is_some_and(|deadline| deadline <= self.log.now());
        #[cfg(test)]
        let is_over = is_over && !self.log.compaction.has(Planted::ExpiredDropped);
        match record.op {
            Op::Mark | Op::Seal => Fate::Dead,
            Op::Put | Op::SetElement => match look() {
                Look::Here => Fate::Alive,
                // What is in the middle of a change is copied: the change may be lost after the segment has gone.
                Look::Unsettled => Fate::Unsettled,
                Look::Absent if is_over => Fate::Hides(false),
                _ => Fate::Dead,
            },
            Op::Delete | Op::RemoveElement => match look() {
                Look::Absent | Look::Unsettled => Fate::Hides(false),
                _ => Fate::Dead,
            },
            Op::Expire => match look() {
                Look::Elsewhere(expiry) if expiry == record.expiry => Fate::Hides(true),
                Look::Absent if is_over => Fate::Hides(false),
                _ => Fate::Dead,
            },
            Op::Move => Fate::Hides(false),
            Op::Bind => match record.key.try_into().map(u32::from_le_bytes) {
                Ok(database) if self.index.binding(database) == Some(record.keyspace) => Fate::Stays,
                _ => Fate::Dead,
            },
        }
    }

    /// Writes a record to the output.
    fn copy(&mut self, record: &[u8], copied: Copied) -> io::Result<()> {
        if self.outputs.last().is_none_or(|output| !output.has_room(record.len())) {
            self.begin(record.len() as u64)?;
        }
        self.worked += record.len() as u64;
        let Some(output) = self.outputs.last_mut() else { return Ok(()) };
        output.push(self.log, record, copied);
        if output.is_due() { output.flush(self.log, self.index) } else { Ok(()) }
    }

    /// Begins an output that has room for a record of this length.
    fn begin(&mut self, length: u64) -> io::Result<()> {
        if let Some(full) = self.outputs.last_mut() {
            full.finish(self.log, self.index)?;
        }
        let lives: u64 = self.victims.iter().map(|victim| victim.live().bytes).sum();
        let create = |stays: u64| {
            let capacity = capacity_for(stays.max(length)).min(self.log.segment_bytes(self.log.live_bytes()));
            self.log.create_file(SegmentKind::Compacted, capacity.max(capacity_for(length)))
        };
        let surely = lives + self.hiding;
        // With too little room, what stays of many deletions would go to as many files as it is decided about in parts.
        let segment = match create(surely + self.ahead) {
            Err(error) if is_full(&error) && self.ahead > 0 => create(surely)?,
            created => created?,
        };
        self.log.table.rcu(|table| table.with(segment.clone()));
        self.outputs.push(Output::new(segment));
        Ok(())
    }

    /// Decides about the tombstones met so far.
    fn settle(&mut self) -> io::Result<()> {
        let mut tombstones = std::mem::take(&mut self.tombstones);
        self.hiding = tombstones.bytes();
        let ids: Vec<u32> = self
            .victims
            .iter()
            .map(|victim| victim.id)
            .chain(self.outputs.iter().map(|output| output.segment.id))
            .collect();
        let others = std::mem::take(&mut self.others);
        let in_pass = |place: Location| ids.contains(&place.segment);
        let (log, index, pace) = (self.log, self.index, self.pace);
        let keep = |record: &[u8], why| self.copy(record, Copied::Kept(why));
        let settled = tombstones.settle(log, index, &others, in_pass, pace, keep);
        self.others = others;
        self.hiding = 0;
        self.stopped |= settled.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted);
        settled
    }

    fn goes_on(&mut self, read: u64) -> bool {
        const LOOK_EVERY_BYTES: u64 = 256 << 10;
        self.worked += read;
        if self.worked >= LOOK_EVERY_BYTES {
            self.stopped = !(self.pace)(std::mem::take(&mut self.worked));
        }
        !self.stopped
    }
}
