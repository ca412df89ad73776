//! The disk fails: an error at every call that changes it, once or from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::super::Halt;
use super::crash::workloads;
use super::model::{State, Step, keys_of};
use super::runner::{DATABASES, Failed, Runner, START, contents, open, options};
use crate::store::clock::Clock;
use crate::store::disk::SimDisk;
use crate::store::disk::sim::{At, Often, Survival};
use crate::store::{Fsync, Position, Refused};

/// One failing disk.
#[derive(Clone, Copy, Debug)]
struct Fault {
    error: ErrorKind,
    often: Often,
    call: u64,
}

/// A workload on a failing disk.
struct Trial {
    disk: SimDisk,
    runner: Runner,
    fsync: Fsync,
    keys: Vec<(u32, String)>,
    /// Where the log ended after each state of the runner's history.
    ends: Vec<Position>,
    /// Of the runner's history: what was acknowledged, and what a sync that returned came after.
    acknowledged: usize,
    synced: usize,
    /// What callers were told.
    told: BTreeSet<String>,
    violations: Vec<String>,
}

impl Trial {
    /// Runs the steps one by one; `None` where the keyspace could not even be opened.
    fn run(steps: &[Step], fsync: Fsync, fault: Option<Fault>) -> Option<Self> {
        let disk = SimDisk::new();
        if let Some(Fault { error, often, call }) = fault {
            let at = if often == Often::Once { At::Call(call) } else { At::From(call) };
            disk.fail(at, error, often);
        }
        let opened = Runner::new(Arc::new(disk.clone()), options(fsync), vec![State::default()], START);
        let mut keys = keys_of(steps, DATABASES);
        keys.push((0, "after".to_owned()));
        let (told, violations) = (BTreeSet::new(), Vec::new());
        let runner = opened.ok()?;
        let mut trial = Self { disk, runner, fsync, keys, ends: vec![0], acknowledged: 0, synced: 0, told, violations };
        for step in steps {
            match step {
                Step::Pipeline(steps) => steps.iter().for_each(|step| _ = trial.step(step)),
                step => _ = trial.step(step),
            }
        }
        Some(trial)
    }

    /// Does one step; whether it was acknowledged.
    fn step(&mut self, step: &Step) -> bool {
        if let Step::Pass(time) = step {
            self.runner.clock.advance(Duration::from_millis(*time));
        }
        let number = self.runner.history.len() * 100;
        let next = self.runner.history.last().expect("never empty").after(step, number, self.runner.now());
        let done = match self.runner.perform(step, number) {
            Ok(wait) => {
                // From here on others see it, and the log has it in its order.
                self.runner.history.push(next);
                self.ends.push(self.runner.keyspace().store().appended());
                let wait = if matches!(step, Step::Sync | Step::Tick) { self.ends[self.ends.len() - 1] } else { wait };
                self.runner.keyspace().store().wait_acknowledged(wait).map_err(Failed::Log).map(|()| wait)
            }
            Err(failed) => Err(failed),
        };
        match done {
            Ok(wait) => {
                // Who had nothing to wait for was told nothing of what others did.
                self.acknowledged = self.acknowledged.max(self.ends.partition_point(|end| *end <= wait) - 1);
                if matches!(step, Step::Sync | Step::Tick) {
                    self.synced = self.acknowledged;
                }
                true
            }
            Err(failed) => {
                let text = match failed {
                    Failed::Halt(Halt::Refused(Refused::DiskFull)) => Refused::DiskFull.to_string(),
                    Failed::Halt(Halt::Refused(refused @ (Refused::ReadOnly(_) | Refused::NoSegment(_)))) => {
                        refused.to_string()
                    }
                    Failed::Log(failed) => failed.to_string(),
                    other => {
                        self.violations.push(format!("{step:?}: {other}"));
                        return false;
                    }
                };
                self.told.insert(text);
                false
            }
        }
    }

    /// Reads go on, and nothing acknowledged is lost by a kill or, as far as it was synced, by a power cut.
    fn check(&mut self, at: &str) {
        let now = self.runner.now();
        let last = self.runner.history.last().expect("never empty").visible(now);
        match contents(self.runner.keyspace(), &self.keys) {
            Ok(found) if found == last => {}
            found => self.violations.push(format!("{at}: it reads {found:?}, not {last:?}")),
        }
        let cut = if self.fsync == Fsync::Always { self.acknowledged } else { self.synced };
        let mut disks = vec![(self.disk.after_kill(), self.acknowledged, "killed".to_owned())];
        for survival in [Survival::Durable, Survival::Hollow, Survival::Random(1)] {
            disks.push((self.disk.survivors(survival), cut, format!("{survival:?}")));
        }
        for (disk, lower, how) in disks {
            let recovered = open(Arc::new(disk), self.runner.clock.wall(), options(self.fsync));
            let found =
                recovered.map_err(|error| error.to_string()).and_then(|keyspace| contents(&keyspace, &self.keys));
            let is = |state: &State| found.as_ref().is_ok_and(|found| state.visible(now) == *found);
            if !self.runner.history[lower..].iter().any(is) {
                let known: Vec<_> = (0..self.runner.history.len()).filter(|&i| is(&self.runner.history[i])).collect();
                let error = found.err().unwrap_or_default();
                self.violations.push(format!("{at}, {how}: it is {known:?}, not after {lower}; {error}"));
            }
        }
    }
}

const MODES: [Fsync; 3] = [Fsync::Always, Fsync::Everysec, Fsync::No];

/// Runs workloads with an error at each call; `then` looks at what is left. What callers were told has to begin with
/// one of `texts`. Returns how many runs there were.
fn each_call(names: &[&str], error: ErrorKind, often: Often, texts: &[&str], then: impl Fn(&mut Trial, &str)) -> usize {
    let (mut trials, mut violations) = (0, Vec::new());
    for (name, steps) in workloads::ALL.iter().filter(|workload| names.contains(&workload.0)) {
        for fsync in MODES {
            let calls = Trial::run(&steps(), fsync, None).expect("a disk without faults").disk.calls();
            for call in 0..calls {
                let fault = Fault { error, often, call };
                let Some(mut trial) = Trial::run(&steps(), fsync, Some(fault)) else { continue };
                let at = format!("{name}, {fsync:?}, {fault:?}");
                trial.check(&at);
                then(&mut trial, &at);
                trials += 1;
                violations.append(&mut trial.violations);
                let unclear = trial.told.into_iter().filter(|told| !texts.iter().any(|text| told.starts_with(text)));
                violations.extend(unclear.map(|told| format!("{at}: {told}")));
            }
        }
    }
    assert!(violations.is_empty(), "{} of {trials} went wrong:\n{}", violations.len(), violations.join("\n"));
    println!("{error:?} {often:?}: {trials} runs");
    trials
}

fn writes_again(trial: &mut Trial, at: &str) {
    trial.disk.heal();
    trial.runner.clock.advance(Duration::from_secs(1));
    if !trial.step(&Step::Set(0, "after", 10)) {
        trial.violations.push(format!("{at}: nothing can be written afterwards"));
    }
    trial.check(at);
}

/// Only a new segment that cannot be created is noticed; a failed write or sync moves to another file.
#[test]
fn one_error_stops_nobody() {
    let texts = ["a new segment cannot be created: simulated "];
    let all = ["overwrites", "expiry", "transactions", "segments", "flushes", "moves"];
    let mut runs = each_call(&all, ErrorKind::Other, Often::Once, &texts, writes_again);
    for error in [ErrorKind::Interrupted, ErrorKind::WriteZero] {
        runs += each_call(&["transactions", "segments"], error, Often::Once, &texts, writes_again);
    }
    assert!(runs > 1_000, "{runs} runs are too few");
}

#[test]
fn a_disk_that_goes_on_failing_ends_writing_and_nothing_else() {
    let texts = [
        "a new segment cannot be created: simulated ",
        "read-only: a write failed (simulated ",
        "the log cannot be written: a write failed (simulated ",
    ];
    let all = ["overwrites", "expiry", "transactions", "segments", "flushes", "moves"];
    let runs = each_call(&all, ErrorKind::Other, Often::Always, &texts, |_, _| {});
    assert!(runs > 700, "{runs} runs are too few");
}

#[test]
fn writing_resumes_when_the_disk_has_space_again() {
    let texts = ["the disk is full: free some space", "the log cannot be written: the disk is full"];
    let all = ["overwrites", "expiry", "transactions", "segments", "flushes", "moves"];
    let mut runs = each_call(&all, ErrorKind::StorageFull, Often::Always, &texts, writes_again);
    runs += each_call(&["transactions", "segments"], ErrorKind::StorageFull, Often::Once, &texts, writes_again);
    assert!(runs > 1_000, "{runs} runs are too few");
}

#[test]
fn a_full_disk_takes_deletions() {
    for fsync in MODES {
        let disk = SimDisk::new();
        disk.set_capacity(Some(64 << 10));
        let mut runner = Runner::new(Arc::new(disk.clone()), options(fsync), vec![State::default()], START).unwrap();
        let mut keys: Vec<(u32, String)> = Vec::new();
        let refused = loop {
            let key: &'static str = format!("key {}", keys.len()).leak();
            match write(&mut runner, &Step::Set(0, key, 700)) {
                Ok(()) => keys.push((0, key.to_owned())),
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused, "the disk is full: free some space, writing resumes by itself");
        assert!(keys.len() > 30, "{} keys", keys.len());
        let expected: BTreeMap<_, _> = contents(runner.keyspace(), &keys).unwrap();
        assert_eq!(expected.len(), keys.len());
        for (_, key) in &keys[..4] {
            write(&mut runner, &Step::Delete(0, key.clone().leak())).unwrap();
        }
        write(&mut runner, &Step::Set(0, "a", 700)).unwrap_err();
        // A move takes nothing away: where not even the smallest value fits, the reserve is not for it.
        while write(&mut runner, &Step::Set(0, keys[5].1.clone().leak(), 0)).is_ok() {}
        assert_eq!(write(&mut runner, &Step::Move(0, keys[4].1.clone().leak(), 1)).unwrap_err(), refused);
        write(&mut runner, &Step::Delete(0, keys[4].1.clone().leak())).unwrap();
        assert_eq!(contents(runner.keyspace(), &keys).unwrap().len(), keys.len() - 5);
        disk.set_capacity(None);
        runner.clock.advance(Duration::from_secs(1));
        write(&mut runner, &Step::Set(0, "a", 10)).unwrap();
        keys.push((0, "a".to_owned()));
        let keyspace = open(Arc::new(disk.after_kill()), runner.clock.wall(), options(fsync)).unwrap();
        assert_eq!(contents(&keyspace, &keys).unwrap().len(), keys.len() - 5);
    }
}

fn write(runner: &mut Runner, step: &Step) -> Result<(), String> {
    match runner.perform(step, 0) {
        Ok(wait) => runner.keyspace().store().wait_acknowledged(wait).map_err(|failed| failed.to_string()),
        Err(Failed::Halt(Halt::Refused(refused))) => Err(refused.to_string()),
        Err(other) => panic!("{step:?}: {other}"),
    }
}
