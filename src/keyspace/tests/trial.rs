//! One workload on a disk that may fail: its steps are done as far as they can be, whoever is refused a start starts again,
//! and what was told to callers is compared with what is there.
//!
//! Always true: a state of the history is what the steps up to then have made of it in the order of the log, whether or not
//! anybody was told; what a start finds is one of these states, and those after it have never been.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;

use super::super::{Halt, Mode};
use super::model::{Keys, State, Step, Value};
use super::moves::assert_counts;
use super::runner::{DATABASES, Failed, Runner, START, contents, demote, options};
use crate::store::clock::Clock;
use crate::store::disk::SimDisk;
use crate::store::disk::sim::{At, CallKind, Often, Survival};
use crate::store::{Fsync, OpenError, Position, Refused};

/// Which calls of a disk fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that change it.
    Changes,
    /// Openings, of files new and old.
    Openings,
    /// What is read and asked.
    Reads,
}

/// One failing disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub error: ErrorKind,
    pub often: Often,
    pub which: Which,
    /// Counted from 0 among those that are still to come.
    pub number: u64,
}

impl Fault {
    pub fn plant(self, disk: &SimDisk) {
        let at = match (self.which, self.often) {
            (Which::Changes, Often::Once) => At::Call(disk.calls() + self.number),
            (Which::Changes, Often::Always) => At::From(disk.calls() + self.number),
            (Which::Openings, _) => At::Open(disk.opens() + self.number),
            (Which::Reads, _) => At::Read(disk.reads() + self.number),
        };
        disk.fail(at, self.error, self.often);
    }
}

/// Moments that callers were told have passed, in milliseconds since the Unix epoch.
#[derive(Default)]
struct Told {
    /// The latest that the log knows of: no later process may show an earlier time.
    proved: u64,
    /// The same for what a sync that returned came after.
    synced: u64,
    /// The latest that the log was to know of and took no mark for; 0: none.
    unproved: u64,
}

/// A workload on a disk.
pub(super) struct Trial {
    pub disk: SimDisk,
    pub runner: Runner,
    pub fsync: Fsync,
    pub keys: Vec<(u32, String)>,
    /// Where the log ended after each state of the runner's history.
    ends: Vec<Position>,
    /// Of the runner's history: what was acknowledged, and what a sync that returned came after.
    acknowledged: usize,
    synced: usize,
    /// No two steps set the same value, whatever became of them.
    number: usize,
    times: Told,
    /// The disk may fail.
    pub failing: bool,
    /// What callers were told.
    pub told: BTreeSet<String>,
    /// How often a clock was set forward since nothing else told of the time.
    pub set_forward: u64,
    /// States that a start has not found any more.
    pub lost: usize,
    pub violations: Vec<String>,
}

impl Trial {
    /// An empty disk.
    pub fn new(fsync: Fsync, keys: Vec<(u32, String)>) -> Self {
        let disk = SimDisk::new();
        let runner = Runner::closed(Arc::new(disk.clone()), options(fsync), vec![State::default()], START);
        Self {
            disk,
            runner,
            fsync,
            keys,
            ends: vec![0],
            acknowledged: 0,
            synced: 0,
            number: 0,
            times: Told::default(),
            failing: false,
            told: BTreeSet::new(),
            set_forward: 0,
            lost: 0,
            violations: Vec::new(),
        }
    }

    /// Does one step; whether it was acknowledged.
    pub fn step(&mut self, step: &Step) -> bool {
        let done = self.attempt(step);
        self.noted(step, done).is_some()
    }

    /// Does steps one after the other, and then waits once, if `awaited`; otherwise nobody is told of them.
    pub fn pipeline(&mut self, steps: &[Step], awaited: bool) {
        let (mut wait, mut told) = (0, 0);
        for step in steps {
            let begun = self.started().and_then(|()| self.begin(step));
            let Some((position, passed)) = self.noted(step, begun) else { continue };
            (wait, told) = (wait.max(position), told.max(passed));
        }
        if awaited && self.runner.keyspace.is_some() {
            let done = self.settle(wait, told);
            self.noted(&Step::Pipeline(steps.to_vec()), done);
        }
    }

    fn attempt(&mut self, step: &Step) -> Result<(), Failed> {
        self.started()?;
        match step {
            Step::Kill => return self.start(),
            Step::Reopen => {
                match self.runner.keyspace().store().close() {
                    Ok(()) => {
                        self.note_marks();
                        (self.acknowledged, self.times.synced) = (self.last(), self.times.proved);
                        self.synced = self.acknowledged;
                    }
                    // The process ends all the same.
                    Err(failed) => self.note(step, &failed.into()),
                }
                return self.start();
            }
            _ => {}
        }
        let (mut wait, told) = self.begin(step)?;
        let syncs = matches!(step, Step::Sync | Step::Tick | Step::Backup(_));
        if syncs {
            wait = self.ends[self.last()];
        }
        self.settle(wait, told)?;
        if syncs {
            (self.synced, self.times.synced) = (self.acknowledged, self.times.proved);
        }
        Ok(())
    }

    fn started(&mut self) -> Result<(), Failed> {
        if self.runner.keyspace.is_none() { self.start() } else { Ok(()) }
    }

    /// Does what a step does; returns what its caller has to wait for, and the moment that he is told has passed, or 0.
    fn begin(&mut self, step: &Step) -> Result<(Position, u64), Failed> {
        self.runner.move_clock(step);
        self.number += 100;
        let mut next = State { floor: 0, ..self.runner.history[self.last()].clone() };
        let expected = next.apply(step, self.number, self.runner.now());
        let wait = self.runner.perform(step, self.number)?;
        // From here on others see it, and the log has it in its order.
        let told = next.floor;
        self.push(next);
        self.runner.compare_replies(step, &expected)?;
        Ok((wait, told))
    }

    fn push(&mut self, next: State) {
        self.runner.history.push(next);
        self.ends.push(self.runner.keyspace().store().appended());
    }

    /// Waits for a position of the log, of which a caller is told then, and that the moment `told` has passed.
    fn settle(&mut self, wait: Position, told: u64) -> Result<(), Failed> {
        if !self.runner.early {
            self.runner.keyspace().store().wait_acknowledged(wait)?;
        }
        // Who had nothing to wait for was told nothing of what others did.
        self.acknowledged = self.acknowledged.max(self.ends.partition_point(|end| *end <= wait) - 1);
        if !self.failing {
            self.times.proved = self.times.proved.max(told);
        } else if told > self.times.proved {
            self.times.unproved = self.times.unproved.max(told);
        }
        self.note_marks();
        let (last, before) = (self.ends[self.last()], self.ends[self.last().saturating_sub(1)]);
        if self.times.unproved > 0 && last > before && wait >= last {
            self.violations.push(format!("a log that takes records does not know that it was {}", self.times.unproved));
        }
        Ok(())
    }

    /// Looks whether the log has been told of a moment that callers were told of.
    fn note_marks(&mut self) {
        let store = self.runner.keyspace().store();
        let (marked, end) = store.marked();
        if (1..=marked).contains(&self.times.unproved) && store.acknowledged(end) {
            self.times.proved = std::mem::take(&mut self.times.unproved);
        }
    }

    /// The latest moments that callers were told have passed: that the log knows of, and that it may not know of (or 0).
    pub fn passed(&self) -> (u64, u64) {
        (self.times.proved, self.times.unproved)
    }

    /// Ends the process, if there is one, and begins another on what the kernel has.
    pub fn start(&mut self) -> Result<(), Failed> {
        // A log that takes no marks does not know what its readers were told. Nothing but the machine's clock tells the next
        // process that a key's time is over, so the key comes back where that is set back before a start, too: reads go on
        // rather than fail. Everywhere else, it must not.
        if self.runner.clock.wall() < self.times.unproved {
            self.set_forward += 1;
            self.runner.clock.set_wall(self.times.unproved);
        }
        self.runner.open()?;
        let now = self.runner.now();
        let found = contents(self.runner.keyspace(), &self.keys).or_else(|_| {
            // A disk that does not read tells nothing; what is there is seen once it does.
            self.disk.heal();
            contents(self.runner.keyspace(), &self.keys)
        });
        if self.disk.is_crashed() {
            self.runner.keyspace = None;
            return Err(Failed::Wrong("the machine is off".to_owned()));
        }
        let floor = self.times.proved;
        let states = |from| found.as_ref().map_or_else(|_| Vec::new(), |found| self.states(from, found, now));
        match &states(self.acknowledged)[..] {
            [first, .., last] if now >= floor => self.go_on_from(*first, *last, now),
            [only] if now >= floor => self.go_on_from(*only, *only, now),
            _ => {
                let (known, lower, found) = (states(0), self.acknowledged, found.map(|found| shown(&found)));
                let text = format!("after a start it is one of {known:?}, not after {lower}, at {now}: {found:?}");
                self.violations.push(if now < floor { format!("{text}, although {floor} had passed") } else { text });
            }
        }
        demote(self.runner.keyspace());
        Ok(())
    }

    /// Goes on from what a start has found: the state of this number or one up to that, which are the same at `now`.
    fn go_on_from(&mut self, first: usize, last: usize, now: u64) {
        self.lost += self.last() - last;
        self.runner.history.truncate(last + 1);
        self.ends.truncate(last + 1);
        let appended = self.runner.keyspace().store().appended();
        self.ends.iter_mut().for_each(|end| *end = appended.min(*end));
        // It was made durable by being read.
        (self.acknowledged, self.synced) = (first, first);
        // Who has looked at a key whose time is over has told everybody, if there was one.
        let seen = |index: usize| {
            let mut seen = State { floor: 0, ..self.runner.history[index].clone() };
            seen.apply(&Step::ExpireDue, 0, now);
            seen
        };
        let told = (first..=last).map(|index| seen(index).floor).min().unwrap_or(0);
        self.push(seen(last));
        let done = self.settle(appended, told);
        self.noted(&Step::ExpireDue, done);
    }

    /// Cuts the power, or with no way to survive that kills the process, and begins another on what is left.
    pub fn crash(&mut self, survival: Option<Survival>) -> Result<(), Failed> {
        self.runner.keyspace = None;
        self.disk = survival.map_or_else(|| self.disk.after_kill(), |survival| self.disk.survivors(survival));
        self.runner.disk = Arc::new(self.disk.clone());
        if survival.is_some() && self.fsync != Fsync::Always {
            (self.acknowledged, self.times.proved) = (self.synced, self.times.synced);
        }
        self.start()
    }

    /// The same at a call of the disk within a step, if it makes so many; otherwise after it.
    pub fn crash_within(&mut self, step: &Step, call: u64, survival: Option<Survival>) -> Result<(), Failed> {
        self.disk.crash_within(self.disk.calls() + call);
        let done = self.attempt(step);
        // That a backup of a name is there already is no error of the disk.
        if !self.disk.is_crashed() && !matches!(step, Step::Backup(_)) {
            self.noted(step, done);
        }
        self.crash(survival)
    }

    /// Looks at all keys and compares them, and whatever is counted, with the model.
    pub fn compare(&mut self) -> Result<(), Failed> {
        self.started()?;
        let now = self.runner.now();
        let mut next = State { floor: 0, ..self.runner.history[self.last()].clone() };
        let keyspace = self.runner.keyspace();
        let mut access = keyspace.access_all(0, Mode::Shared, now, false);
        let (mut counts, mut walked) = (Vec::new(), Vec::new());
        for database in 0..DATABASES {
            access.select(database);
            counts.push(access.keys());
            let name = |key: &[u8]| (database, String::from_utf8_lossy(key).into_owned());
            access.each_key(|key, meta| walked.push((name(key), meta.expiry)));
        }
        let mut wait = access.commit()?.0;
        let expected = next.visible(now);
        let count = |database| expected.keys().filter(|key| key.0 == database).count();
        walked.sort();
        let is_walked = walked.iter().map(|(key, expiry)| (key, expiry)).eq(expected.iter().map(|(k, v)| (k, &v.1)));
        if !is_walked || counts != (0..DATABASES).map(count).collect::<Vec<_>>() {
            let expected = shown(&expected);
            return Err(Failed::Wrong(format!("{counts:?} keys are counted, {walked:?} walked, of {expected:?}")));
        }
        match contents(keyspace, &self.keys) {
            Ok(found) if found == expected => assert_counts(keyspace, &self.keys, "compared"),
            Err(error) if self.failing && error.contains("simulated Read error") => return Ok(()),
            found => {
                let found = found.map(|found| shown(&found));
                return Err(Failed::Wrong(format!("it reads {found:?}, not {:?}", shown(&expected))));
            }
        }
        next.apply(&Step::ExpireDue, 0, now);
        let told = next.floor;
        self.push(next);
        wait = wait.max(self.ends[self.last()]);
        self.settle(wait, told)
    }

    /// Keeps what a caller is told of an error; what he must not be told is a violation.
    pub fn noted<T>(&mut self, step: &Step, done: Result<T, Failed>) -> Option<T> {
        done.map_err(|failed| self.note(step, &failed)).ok()
    }

    fn note(&mut self, step: &Step, failed: &Failed) {
        if !self.failing && !self.disk.is_crashed() {
            return self.violations.push(format!("{step:?} on a sound disk: {failed}"));
        }
        let text = match failed {
            Failed::Halt(Halt::Refused(
                refused @ (Refused::DiskFull | Refused::ReadOnly(_) | Refused::NoSegment(_)),
            )) => refused.to_string(),
            Failed::Halt(Halt::Unreadable(reason)) => format!("unreadable: {reason}"),
            Failed::Log(failed) => failed.to_string(),
            Failed::Open(error @ OpenError::Io { .. }) => format!("no start: {error}"),
            Failed::Compaction(error) => format!("compaction: {error}"),
            Failed::Backup(error) => format!("backup: {error}"),
            other => return self.violations.push(format!("{step:?}: {other}")),
        };
        self.told.insert(text);
    }

    /// What the states have become that nobody may take back: after a kill, or a loss of power.
    pub fn safe(&self, killed: bool) -> usize {
        if killed || self.fsync == Fsync::Always { self.acknowledged } else { self.synced }
    }

    /// The state that the steps so far have led to.
    pub fn state(&self) -> &State {
        &self.runner.history[self.last()]
    }

    /// Which states of the history, from one on, somebody may have seen who has found these keys.
    pub fn states(&self, from: usize, found: &Keys, now: u64) -> Vec<usize> {
        let history = &self.runner.history;
        (from..history.len()).filter(|index| history[*index].shows(found, now)).collect()
    }

    fn last(&self) -> usize {
        self.runner.history.len() - 1
    }
}

/// Keys as a person reads them: each with the length of its value, how it begins, and its expiry.
pub(super) fn shown(keys: &Keys) -> Vec<String> {
    let show = |((database, key), (value, expiry)): (&(u32, String), &Value)| {
        let (key, beginning) = (&key[..key.len().min(8)], String::from_utf8_lossy(&value[..value.len().min(8)]));
        format!("{database}:{key} {} {beginning} {expiry:?}", value.len())
    };
    keys.iter().map(show).collect()
}

/// An error of every short write, once.
pub(super) fn fail_next_write(disk: &SimDisk) {
    disk.fail(At::Kind(CallKind::Write), ErrorKind::WriteZero, Often::Once);
}
