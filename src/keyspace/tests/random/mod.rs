//! Random sequences of steps, restarts, crashes and faults, each beside the model.
//!
//! | file | what |
//! | --- | --- |
//! | `generate` | a sequence from its seed |
//! | `event` | does it, and compares |
//! | `shrink` | makes one that fails short |
//!
//! `CASKADE_RANDOM_RUNS` says how many sequences each test does, `CASKADE_RANDOM_SEED` the seed of the first: with one run,
//! a sequence is done again. Salts and hashes are truly random, so that very few failures depend on luck.

mod event;
mod generate;
mod shrink;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use self::event::{Counts, Event, Plant, run};
use self::generate::{Plan, names};
use self::shrink::shrink;
use super::number;
use crate::store::Planted;
use crate::store::disk::sim::CallKind;

/// A sequence that fails, made short.
struct Failure {
    plan: Plan,
    events: Vec<Event>,
    violation: String,
}

impl Failure {
    fn new(plan: Plan, plant: Plant, violation: String) -> Self {
        let fails = |events: &[Event]| run(&plan, events, plant, &mut Counts::new()).is_err();
        let events = shrink(plan.events.clone(), &fails);
        let again = run(&plan, &events, plant, &mut Counts::new());
        Self { violation: again.err().unwrap_or(violation), events, plan }
    }

    fn tell(&self) -> String {
        let Plan { seed, fsync, policy, .. } = &self.plan;
        let amplification = policy.space_amplification;
        let mut text = format!("CASKADE_RANDOM_SEED={seed} CASKADE_RANDOM_RUNS=1, appendfsync {fsync:?}, ");
        let _ = writeln!(text, "{} bytes of garbage, {amplification}:", policy.garbage_bytes_min);
        self.events.iter().for_each(|event| _ = writeln!(text, "    {event:?},"));
        text + &self.violation
    }
}

/// Does sequences from `first` on, until this many are done or one fails.
fn search(first: u64, runs: u64, failing: bool, plant: Plant) -> (Counts, Option<Failure>) {
    let (next, counts, failure) = (AtomicU64::new(0), Mutex::new(Counts::new()), Mutex::new(None));
    let work = || {
        let mut own = Counts::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= runs || failure.lock().is_some() {
                break;
            }
            let plan = Plan::new(first + number, failing);
            *own.entry("sequences".to_owned()).or_default() += 1;
            *own.entry("events".to_owned()).or_default() += plan.events.len() as u64;
            if let Err(violation) = run(&plan, &plan.events, plant, &mut own) {
                failure.lock().get_or_insert_with(|| Failure::new(plan, plant, violation));
            }
        }
        own.into_iter().for_each(|(what, count)| *counts.lock().entry(what).or_default() += count);
    };
    std::thread::scope(|scope| (0..2).for_each(|_| _ = scope.spawn(work)));
    (counts.into_inner(), failure.into_inner())
}

/// What has to be done at least so often in a thousand sequences; and each kind of event at least [`EVENTS_MIN`] times.
const OFTEN: [(&str, u64); 14] = [
    ("Get that did", 400),
    ("Delete that did", 300),
    ("Expire that did", 350),
    ("Rename that did", 200),
    ("Copy that did", 200),
    ("Move that did", 120),
    ("keys expired", 1_000),
    ("passes that wrote", 500),
    ("passes that removed", 800),
    ("passes by the budget that won", 500),
    ("segments kept", 250),
    ("hints lost", 400),
    ("backups compared", 200),
    ("restarts after which steps were lost", 250),
];
const EVENTS_MIN: u64 = 250;

/// Does sequences, none of which may fail, and in which everything has been done often.
fn search_all(runs: u64, failing: bool) {
    let (first, runs) = (number("CASKADE_RANDOM_SEED", 1), number("CASKADE_RANDOM_RUNS", runs));
    let (counts, failure) = search(first, runs, failing, Plant::default());
    if let Some(failure) = failure {
        panic!("{}", failure.tell());
    }
    println!("{counts:?}");
    let events = names(failing).map(|name| (name, EVENTS_MIN));
    let events = events.chain(failing.then(|| ("errors told".to_owned(), 500)));
    for (what, often) in events.chain(OFTEN.map(|(what, often)| (what.to_owned(), often))) {
        let done = counts.get(&what).copied().unwrap_or(0);
        // A few sequences may leave things out.
        assert!(runs < 1_000 || done * 1_000 >= often * runs, "{what}: {done} in {runs} sequences are too few");
    }
}

#[test]
fn whatever_is_done_it_is_what_the_model_says() {
    search_all(2_500, false);
}

#[test]
fn whatever_is_done_on_a_failing_disk_callers_can_rely_on_what_they_were_told() {
    search_all(1_500, true);
}

/// A test that cannot fail proves nothing: with each of these faults planted, it has to.
#[test]
fn every_planted_fault_is_found_and_told_in_few_steps() {
    let of_store = |planted| Plant { planted: Some(planted), ..Plant::default() };
    for (fault, plant) in [
        ("a victim removed early", of_store(Planted::RemovedEarly)),
        ("a tombstone dropped early", of_store(Planted::TombstonesDropped)),
        ("segments taken for purged", of_store(Planted::AllPurged)),
        ("what has expired hides nothing", of_store(Planted::ExpiredDropped)),
        ("no sync before a victim goes", of_store(Planted::NoSyncOfTheLog)),
        ("a time that the log is not told of", of_store(Planted::TimeNotMarked)),
        ("transactions one by one", Plant { split: true, ..Plant::default() }),
        ("an early acknowledgement", Plant { early: true, ..Plant::default() }),
        ("no sync of data", Plant { no_sync: Some(CallKind::SyncData), ..Plant::default() }),
        ("no sync of the directory", Plant { no_sync: Some(CallKind::SyncDirectory), ..Plant::default() }),
    ] {
        let (counts, failure) = search(1, 2_500, false, plant);
        let failure = failure.unwrap_or_else(|| panic!("{fault}: nobody noticed"));
        println!("{fault}, after {} sequences: {}", counts["sequences"], failure.tell());
        assert!(failure.events.len() <= 12, "{fault}: {} events", failure.events.len());
    }
}
