//! The disk fails: an error of every kind at every call, once or from then on.

mod trial;

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use self::trial::{Fault, Trial, Which};
use super::super::Halt;
use super::crash::workloads;
use super::model::{State, Step};
use super::runner::{Failed, Runner, START, contents, open, options};
use crate::store::Fsync;
use crate::store::clock::Clock;
use crate::store::disk::SimDisk;
use crate::store::disk::sim::{CallKind, Often, Survival};

const MODES: [Fsync; 3] = [Fsync::Always, Fsync::Everysec, Fsync::No];

/// What there is of paths of their own: batches, segment after segment, hints, restarts, compaction.
const PATHS: [&str; 3] = ["transactions", "restarts", "compaction"];
const MORE: [&str; 3] = ["segments", "compaction of deletions", "compaction of databases"];
const REST: [&str; 4] = ["overwrites", "expiry", "flushes", "moves"];

/// Errors that the system has no kind of its own for.
const EIO: i32 = 5;
const EMFILE: i32 = 24;

/// What callers may be told when files cannot be made.
const NO_SEGMENT: &str = "a new segment cannot be created: simulated ";
const NO_START: &str = "no start: ";
const NO_COMPACTION: &str = "compaction: simulated ";
const READ_ONLY: [&str; 2] =
    ["read-only: a write failed (simulated ", "the log cannot be written: a write failed (simulated "];
const FULL: [&str; 3] =
    ["the disk is full: free some space", "the log cannot be written: the disk is full", "compaction: "];

fn of_system(number: i32) -> ErrorKind {
    Error::from_raw_os_error(number).kind()
}

/// Runs workloads with an error at each call of a kind, lets the disk be sound again, and goes on. What callers were told
/// has to begin with one of `texts`. Returns how many runs there were. With `CASKADE_FAULTS=all`, all workloads are run, but
/// for those that set the clock back under a log that takes no more marks: nothing but its marks tells of the time.
fn each_call(names: &[&[&str]], error: ErrorKind, which: Which, often: Often, texts: &[&str]) -> usize {
    let (mut trials, mut violations) = (0, Vec::new());
    let ways = [Survival::Durable, Survival::Hollow, Survival::Random(1), Survival::Written, Survival::Random(2)];
    let all = std::env::var("CASKADE_FAULTS").is_ok_and(|which| which == "all");
    let sets_back = |steps: fn() -> Vec<Step>| steps().iter().any(|step| matches!(step, Step::SetBack(_)));
    let wanted = |(name, steps): &&workloads::Workload| {
        names.iter().any(|names| names.contains(name)) || all && !(often == Often::Always && sets_back(*steps))
    };
    for (name, steps) in workloads::ALL.iter().filter(wanted) {
        for fsync in MODES {
            let sound = Trial::run(&steps(), fsync, None);
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
                let mut trial = Trial::run(&steps(), fsync, Some(fault));
                let at = format!("{name}, {fsync:?}, {fault:?}");
                trial.verify(ways[trials % ways.len()]);
                trial.resume();
                trial.verify(ways[(trials + 1) % ways.len()]);
                trials += 1;
                violations.extend(trial.violations.into_iter().map(|violation| format!("{at}: {violation}")));
                let unclear = trial.told.into_iter().filter(|told| !texts.iter().any(|text| told.starts_with(text)));
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

fn write(runner: &mut Runner, step: &Step) -> Result<(), String> {
    match runner.perform(step, 0) {
        Ok(wait) => runner.keyspace().store().wait_acknowledged(wait).map_err(|failed| failed.to_string()),
        Err(Failed::Halt(Halt::Refused(refused))) => Err(refused.to_string()),
        Err(other) => panic!("{step:?}: {other}"),
    }
}
