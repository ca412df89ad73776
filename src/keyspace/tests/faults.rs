//! The disk fails: an error of every kind at every call, once or from then on.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use super::super::Halt;
use super::crash::workloads;
use super::model::{Reply, State, Step, keys_of, value};
use super::runner::{DATABASES, Failed, Runner, START, contents, open, options};
use super::trial::{Fault, Trial, Which};
use crate::store::clock::Clock;
use crate::store::disk::SimDisk;
use crate::store::disk::sim::{CallKind, Often, Survival};
use crate::store::{Fsync, Refused};

pub(super) const MODES: [Fsync; 3] = [Fsync::Always, Fsync::Everysec, Fsync::No];

/// What there is of paths of their own: batches, segment after segment, hints, restarts, compaction.
const PATHS: [&str; 3] = ["transactions", "restarts", "compaction"];
const MORE: [&str; 3] = ["segments", "compaction of deletions", "compaction of databases"];
const REST: [&str; 4] = ["overwrites", "expiry", "flushes", "moves"];

/// Errors that the system has no kind of its own for.
pub(super) const EIO: i32 = 5;
pub(super) const EMFILE: i32 = 24;

/// What callers may be told when files cannot be made.
const NO_SEGMENT: &str = "a new segment cannot be created: simulated ";
const NO_START: &str = "no start: ";
const NO_COMPACTION: &str = "compaction: simulated ";
const NO_BACKUP: &str = "backup: ";
const READ_ONLY: [&str; 2] =
    ["read-only: a write failed (simulated ", "the log cannot be written: a write failed (simulated "];
const FULL: [&str; 3] =
    ["the disk is full: free some space", "the log cannot be written: the disk is full", "compaction: "];

pub(super) fn of_system(number: i32) -> ErrorKind {
    Error::from_raw_os_error(number).kind()
}

/// A workload on a failing disk.
struct Failing {
    trial: Trial,
    fault: Option<Fault>,
}

impl Failing {
    /// Does the steps one by one.
    fn run(steps: &[Step], fsync: Fsync, fault: Option<Fault>) -> Self {
        let mut keys = keys_of(steps, DATABASES);
        keys.push((0, "after".to_owned()));
        let mut trial = Trial::new(fsync, keys);
        if let Some(fault) = fault {
            fault.plant(&trial.disk);
            trial.failing = true;
        }
        for step in steps {
            for step in if let Step::Pipeline(steps) = step { &steps[..] } else { std::slice::from_ref(step) } {
                trial.step(step);
            }
        }
        Self { trial, fault }
    }

    /// Reads go on, and nothing acknowledged is lost by a kill or, as far as it was synced, by a power cut.
    fn verify(&mut self, survival: Survival) {
        let trial = &mut self.trial;
        let now = match &trial.runner.keyspace {
            Some(keyspace) => {
                let now = keyspace.now();
                let expected = trial.state().visible(now);
                match contents(keyspace, &trial.keys) {
                    Ok(found) if found == expected => {}
                    Err(error)
                        if self.fault.is_some_and(|fault| fault.which == Which::Reads)
                            && error.contains("simulated Read error") => {}
                    found => trial.violations.push(format!("it reads {found:?}, not {expected:?}")),
                }
                now
            }
            None => trial.runner.clock.wall(),
        };
        // Only the machine's clock tells of what a log was not told that takes no marks.
        let wall = trial.runner.clock.wall().max(trial.passed().1);
        let killed = (trial.disk.after_kill(), trial.safe(true), "killed".to_owned());
        let cut = (trial.disk.survivors(survival), trial.safe(false), format!("{survival:?}"));
        for (disk, lower, how) in [killed, cut] {
            let recovered = open(Arc::new(disk), wall, options(trial.fsync));
            let found = recovered.map_err(|error| error.to_string());
            let found = found.and_then(|keyspace| contents(&keyspace, &trial.keys));
            if !found.as_ref().is_ok_and(|found| !trial.states(lower, found, now).is_empty()) {
                let known = found.as_ref().map_or_else(|_| Vec::new(), |found| trial.states(0, found, now));
                let error = found.err().unwrap_or_default();
                trial.violations.push(format!("{how}: it is {known:?}, not after {lower}; {error}"));
            }
        }
    }

    /// Once the disk is sound, writing resumes by itself; a log that says that it is read-only needs another start.
    fn resume(&mut self) {
        let trial = &mut self.trial;
        trial.disk.heal();
        trial.runner.clock.advance(Duration::from_secs(1));
        if trial.step(&Step::Set(0, "after", 10)) {
            return;
        }
        let refused = trial.runner.keyspace.as_ref().and_then(|keyspace| keyspace.store().status().refused);
        let is_final = matches!(refused, Some(Refused::ReadOnly(_)));
        if !is_final || self.fault.is_some_and(|fault| fault.often == Often::Once) {
            trial.violations.push(format!("nothing can be written afterwards: {refused:?}"));
        }
        let restarted = trial.start();
        restarted.unwrap_or_else(|failed| trial.violations.push(format!("no start afterwards: {failed}")));
        if !trial.step(&Step::Set(0, "after", 10)) {
            trial.violations.push("nothing can be written after another start".to_owned());
        }
    }
}

/// Runs workloads with an error at each call of a kind, lets the disk be sound again, and goes on. What callers were told
/// has to begin with one of `texts`. Returns how many runs there were. With `CASKADE_FAULTS=all`, all workloads are run.
fn each_call(names: &[&[&str]], error: ErrorKind, which: Which, often: Often, texts: &[&str]) -> usize {
    let (mut trials, mut violations) = (0, Vec::new());
    let ways = [Survival::Durable, Survival::Hollow, Survival::Random(1), Survival::Written, Survival::Random(2)];
    let all = std::env::var("CASKADE_FAULTS").is_ok_and(|which| which == "all");
    let wanted = |(name, _): &&workloads::Workload| all || names.iter().any(|names| names.contains(name));
    for (name, steps) in workloads::ALL.iter().filter(wanted) {
        for fsync in MODES {
            let sound = Failing::run(&steps(), fsync, None).trial;
            assert!(sound.violations.is_empty() && sound.told.is_empty(), "{name}: {:?}", sound.violations);
            let numbers = match which {
                Which::Changes => sound.disk.calls(),
                Which::Openings => sound.disk.opens(),
                Which::Reads => sound.disk.reads(),
            };
            let history = sound.disk.history();
            // Only a write can be short.
            let can_be = |call: usize| error != ErrorKind::WriteZero || history[call].kind == CallKind::Write;
            for number in (0..numbers).filter(|number| which != Which::Changes || can_be(*number as usize)) {
                let fault = Fault { error, often, which, number };
                let mut failing = Failing::run(&steps(), fsync, Some(fault));
                let at = format!("{name}, {fsync:?}, {fault:?}");
                failing.verify(ways[trials % ways.len()]);
                failing.resume();
                failing.verify(ways[(trials + 1) % ways.len()]);
                let trial = failing.trial;
                trials += 1;
                violations.extend(trial.violations.into_iter().map(|violation| format!("{at}: {violation}")));
                let texts = texts.iter().chain([&NO_BACKUP]);
                let unclear = trial.told.into_iter().filter(|told| !texts.clone().any(|text| told.starts_with(text)));
                violations.extend(unclear.map(|told| format!("{at}: {told}")));
            }
        }
    }
    let shown = violations.len().min(20);
    assert!(violations.is_empty(), "{} of {trials} went wrong:\n{}", violations.len(), violations[..shown].join("\n"));
    println!("{error:?} {which:?} {often:?}: {trials} runs");
    trials
}

/// Only a file that cannot be made is noticed; a failed write or sync moves to another file.
#[test]
fn one_error_stops_nobody() {
    let texts = [NO_SEGMENT, NO_START, NO_COMPACTION];
    let runs = each_call(&[&PATHS, &MORE, &REST], of_system(EIO), Which::Changes, Often::Once, &texts);
    assert!(runs > 3_500, "{runs} runs are too few");
}

#[test]
fn one_interrupted_call_or_short_write_stops_nobody() {
    let texts = [NO_SEGMENT, NO_START, NO_COMPACTION];
    let mut runs = each_call(&[&PATHS], ErrorKind::Interrupted, Which::Changes, Often::Once, &texts);
    runs += each_call(&[&PATHS, &MORE], ErrorKind::WriteZero, Which::Changes, Often::Once, &texts);
    assert!(runs > 2_000, "{runs} runs are too few");
}

#[test]
fn a_disk_that_goes_on_failing_ends_writing_and_nothing_else() {
    let texts = [&READ_ONLY[..], &[NO_SEGMENT, NO_START, NO_COMPACTION]].concat();
    let mut runs = each_call(&[&PATHS, &MORE, &REST], of_system(EIO), Which::Changes, Often::Always, &texts);
    runs += each_call(&[&PATHS], ErrorKind::Interrupted, Which::Changes, Often::Always, &texts);
    runs += each_call(&[&PATHS, &MORE], ErrorKind::WriteZero, Which::Changes, Often::Always, &texts);
    assert!(runs > 5_000, "{runs} runs are too few");
}

#[test]
fn writing_resumes_when_the_disk_has_space_again() {
    let texts = [&FULL[..], &[NO_START]].concat();
    let mut runs = each_call(&[&PATHS, &MORE, &REST], ErrorKind::StorageFull, Which::Changes, Often::Always, &texts);
    runs += each_call(&[&PATHS], ErrorKind::StorageFull, Which::Changes, Often::Once, &texts);
    assert!(runs > 4_500, "{runs} runs are too few");
}

/// With no descriptor left no file can be opened; what is open goes on.
#[test]
fn writing_resumes_when_there_are_descriptors_again() {
    let (texts, mut runs) = ([NO_SEGMENT, NO_START, NO_COMPACTION], 0);
    for often in [Often::Once, Often::Always] {
        runs += each_call(&[&PATHS, &MORE], of_system(EMFILE), Which::Openings, often, &texts);
    }
    assert!(runs > 1_200, "{runs} runs are too few");
}

/// A disk that does not read costs whoever reads, and a start, and takes nothing away.
#[test]
fn what_cannot_be_read_now_is_there_when_it_can() {
    let (texts, mut runs) = ([NO_SEGMENT, NO_START, NO_COMPACTION, "unreadable: "], 0);
    for often in [Often::Once, Often::Always] {
        runs += each_call(&[&PATHS, &MORE], of_system(EIO), Which::Reads, often, &texts);
    }
    assert!(runs > 2_000, "{runs} runs are too few");
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

/// While the log takes no marks, nothing tells of the time but the machine's clock; as soon as it takes records, it knows
/// what time readers were told.
#[test]
fn a_key_that_expired_on_a_full_disk_stays_gone_once_there_is_room() {
    for has_room in [false, true] {
        let disk = SimDisk::new();
        let mut runner =
            Runner::new(Arc::new(disk.clone()), options(Fsync::No), vec![State::default()], START).unwrap();
        write(&mut runner, &Step::SetEx(0, "a", 10, 20)).unwrap();
        runner.keyspace().store().close().unwrap();
        disk.set_capacity(Some(disk.used()));
        runner.open().unwrap();
        runner.clock.advance(Duration::from_millis(20));
        write(&mut runner, &Step::Flush(0)).unwrap_err();
        write(&mut runner, &Step::Get(0, "a")).unwrap();
        assert_eq!(runner.replies, [Reply::Found(None)]);
        write(&mut runner, &Step::Set(0, "b", 10)).unwrap_err();
        disk.set_capacity(None);
        if has_room {
            // What was refused is tried again after a while, which is no time at all on a clock that is set back.
            runner.clock.advance(Duration::from_secs(1));
            runner.clock.set_wall(START);
            write(&mut runner, &Step::Set(0, "b", 10)).unwrap();
        }
        runner.clock.set_wall(START);
        runner.open().unwrap();
        write(&mut runner, &Step::Get(0, "a")).unwrap();
        assert_eq!(runner.replies, [Reply::Found((!has_room).then(|| (value(0, 10), Some(START + 20))))]);
    }
}

fn write(runner: &mut Runner, step: &Step) -> Result<(), String> {
    match runner.perform(step, 0) {
        Ok(wait) => runner.keyspace().store().wait_acknowledged(wait).map_err(|failed| failed.to_string()),
        Err(Failed::Halt(Halt::Refused(refused))) => Err(refused.to_string()),
        Err(other) => panic!("{step:?}: {other}"),
    }
}
