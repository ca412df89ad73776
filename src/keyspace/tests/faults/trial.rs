//! One workload on a disk that fails: its steps are done as far as they can be, whoever is refused a start starts again,
//! and what was told to callers is compared with what is there.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::super::super::Halt;
use super::super::model::{State, Step, keys_of};
use super::super::runner::{DATABASES, Failed, Runner, START, contents, demote, open, options};
use crate::store::clock::Clock;
use crate::store::disk::SimDisk;
use crate::store::disk::sim::{At, Often, Survival};
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
    /// Counted from 0 among those.
    pub number: u64,
}

impl Fault {
    fn plant(self, disk: &SimDisk) {
        let at = match (self.which, self.often) {
            (Which::Changes, Often::Once) => At::Call(self.number),
            (Which::Changes, Often::Always) => At::From(self.number),
            (Which::Openings, _) => At::Open(self.number),
            (Which::Reads, _) => At::Read(self.number),
        };
        disk.fail(at, self.error, self.often);
    }
}

/// A workload on a failing disk.
pub(super) struct Trial {
    pub disk: SimDisk,
    pub runner: Runner,
    fsync: Fsync,
    fault: Option<Fault>,
    keys: Vec<(u32, String)>,
    /// Where the log ended after each state of the runner's history.
    ends: Vec<Position>,
    /// Of the runner's history: what was acknowledged, and what a sync that returned came after.
    acknowledged: usize,
    synced: usize,
    /// No two steps set the same value, whatever became of them.
    number: usize,
    /// What callers were told.
    pub told: BTreeSet<String>,
    pub violations: Vec<String>,
}

impl Trial {
    /// Does the steps one by one.
    pub fn run(steps: &[Step], fsync: Fsync, fault: Option<Fault>) -> Self {
        let disk = SimDisk::new();
        if let Some(fault) = fault {
            fault.plant(&disk);
        }
        let mut keys = keys_of(steps, DATABASES);
        keys.push((0, "after".to_owned()));
        let runner = Runner::closed(Arc::new(disk.clone()), options(fsync), vec![State::default()], START);
        let (told, violations) = (BTreeSet::new(), Vec::new());
        let (ends, acknowledged, synced, number) = (vec![0], 0, 0, 0);
        let mut trial = Self { disk, runner, fsync, fault, keys, ends, acknowledged, synced, number, told, violations };
        for step in steps {
            for step in if let Step::Pipeline(steps) = step { &steps[..] } else { std::slice::from_ref(step) } {
                trial.step(step);
            }
        }
        trial
    }

    /// Does one step; whether it was acknowledged.
    fn step(&mut self, step: &Step) -> bool {
        let done = self.attempt(step);
        done.map_err(|failed| self.note(step, &failed)).is_ok()
    }

    fn attempt(&mut self, step: &Step) -> Result<(), Failed> {
        if self.runner.keyspace.is_none() {
            self.start()?;
        }
        self.runner.move_clock(step);
        match step {
            Step::Kill => return self.start(),
            Step::Reopen => {
                match self.runner.keyspace().store().close() {
                    Ok(()) => (self.acknowledged, self.synced) = (self.last(), self.last()),
                    // The process ends all the same.
                    Err(failed) => self.note(step, &failed.into()),
                }
                return self.start();
            }
            _ => {}
        }
        self.number += 100;
        let next = self.runner.history[self.last()].after(step, self.number, self.runner.now());
        let mut wait = self.runner.perform(step, self.number)?;
        // From here on others see it, and the log has it in its order.
        self.runner.history.push(next);
        self.ends.push(self.runner.keyspace().store().appended());
        let syncs = matches!(step, Step::Sync | Step::Tick);
        if syncs {
            wait = self.ends[self.last()];
        }
        self.runner.keyspace().store().wait_acknowledged(wait)?;
        // Who had nothing to wait for was told nothing of what others did.
        self.acknowledged = self.acknowledged.max(self.ends.partition_point(|end| *end <= wait) - 1);
        if syncs {
            self.synced = self.acknowledged;
        }
        Ok(())
    }

    /// Begins a process on what the last one left; what it finds is what the next steps begin with.
    fn start(&mut self) -> Result<(), Failed> {
        self.runner.open()?;
        let keyspace = self.runner.keyspace();
        let now = keyspace.now();
        let found = contents(keyspace, &self.keys).or_else(|_| {
            // A disk that does not read tells nothing; what is there is seen once it does.
            self.disk.heal();
            contents(keyspace, &self.keys)
        });
        let is = |index: &usize| found.as_ref().is_ok_and(|found| self.runner.history[*index].visible(now) == *found);
        let floor = self.runner.history[self.acknowledged].floor;
        match (self.acknowledged..self.runner.history.len()).rev().find(is) {
            Some(index) if now >= floor => {
                self.runner.history.truncate(index + 1);
                self.ends.truncate(index + 1);
                let appended = self.runner.keyspace().store().appended();
                self.ends.iter_mut().for_each(|end| *end = appended.min(*end));
                // It was made durable by being read.
                (self.acknowledged, self.synced) = (index, index);
            }
            found_at => self.violations.push(format!(
                "after a start it is {found_at:?}, not after {}, at {now} (not before {floor}): {found:?}",
                self.acknowledged
            )),
        }
        demote(self.runner.keyspace());
        Ok(())
    }

    /// Keeps what callers are told; what they must not be told is a violation.
    fn note(&mut self, step: &Step, failed: &Failed) {
        let text = match failed {
            Failed::Halt(Halt::Refused(
                refused @ (Refused::DiskFull | Refused::ReadOnly(_) | Refused::NoSegment(_)),
            )) => refused.to_string(),
            Failed::Halt(Halt::Unreadable(reason)) => format!("unreadable: {reason}"),
            Failed::Log(failed) => failed.to_string(),
            Failed::Open(error @ OpenError::Io { .. }) => format!("no start: {error}"),
            Failed::Compaction(error) => format!("compaction: {error}"),
            other => return self.violations.push(format!("{step:?}: {other}")),
        };
        self.told.insert(text);
    }

    /// Reads go on, and nothing acknowledged is lost by a kill or, as far as it was synced, by a power cut.
    pub fn verify(&mut self, survival: Survival) {
        let now = match &self.runner.keyspace {
            Some(keyspace) => {
                let now = keyspace.now();
                let expected = self.runner.history[self.last()].visible(now);
                match contents(keyspace, &self.keys) {
                    Ok(found) if found == expected => {}
                    Err(error) if self.fails_reads() && error.contains("simulated Read error") => {}
                    found => self.violations.push(format!("it reads {found:?}, not {expected:?}")),
                }
                now
            }
            None => self.runner.clock.wall(),
        };
        let cut = if self.fsync == Fsync::Always { self.acknowledged } else { self.synced };
        let killed = (self.disk.after_kill(), self.acknowledged, "killed".to_owned());
        for (disk, lower, how) in [killed, (self.disk.survivors(survival), cut, format!("{survival:?}"))] {
            let recovered = open(Arc::new(disk), self.runner.clock.wall(), options(self.fsync));
            let found = recovered.map_err(|error| error.to_string());
            let found = found.and_then(|keyspace| contents(&keyspace, &self.keys));
            let is = |state: &State| found.as_ref().is_ok_and(|found| state.visible(now) == *found);
            let history = &self.runner.history;
            if !history[lower..].iter().any(is) {
                let known: Vec<_> = (0..history.len()).filter(|&index| is(&history[index])).collect();
                let error = found.err().unwrap_or_default();
                self.violations.push(format!("{how}: it is {known:?}, not after {lower}; {error}"));
            }
        }
    }

    /// Once the disk is sound, writing resumes by itself; a log that says that it is read-only needs another start.
    pub fn resume(&mut self) {
        self.disk.heal();
        self.runner.clock.advance(Duration::from_secs(1));
        if self.step(&Step::Set(0, "after", 10)) {
            return;
        }
        let refused = self.runner.keyspace.as_ref().and_then(|keyspace| keyspace.store().status().refused);
        let is_final = matches!(refused, Some(Refused::ReadOnly(_)));
        if !is_final || self.fault.is_some_and(|fault| fault.often == Often::Once) {
            self.violations.push(format!("nothing can be written afterwards: {refused:?}"));
        }
        let restarted = self.start();
        restarted.unwrap_or_else(|failed| self.violations.push(format!("no start afterwards: {failed}")));
        if !self.step(&Step::Set(0, "after", 10)) {
            self.violations.push("nothing can be written after another start".to_owned());
        }
    }

    fn last(&self) -> usize {
        self.runner.history.len() - 1
    }

    fn fails_reads(&self) -> bool {
        self.fault.is_some_and(|fault| fault.which == Which::Reads)
    }
}
