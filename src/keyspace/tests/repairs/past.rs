//! What is only held for earlier moments, where the manifest is lost or an older one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::super::backup::{begin, go_on, restore, steps};
use super::super::model::keys_of;
use super::super::runner::{DATABASES, Runner, contents};
use super::{Found, Written, ask, copy};
use crate::store::At;
use crate::store::disk::{Disk, SimDisk};
use crate::store::manifest::{Held, MANIFEST_FILE, Manifest, segment_file_name};
use crate::store::salvage::Step as Done;

const HOUR: Duration = Duration::from_secs(3600);

/// What a keyspace is after its last step, on a disk of which nobody has closed the log.
fn now(disk: &SimDisk, runner: &Runner) -> Written {
    let now = runner.now();
    let state = runner.history.last().unwrap().visible(now);
    Written { disk: disk.after_kill(), keys: keys_of(&steps(), DATABASES), state, now }
}

/// A disk in good order on which some segments are held.
pub(super) fn written() -> Written {
    let disk = SimDisk::new();
    let mut runner = begin(&disk, HOUR);
    go_on(&disk, &mut runner, &steps());
    runner.keyspace().store().close().unwrap();
    let written = now(&disk, &runner);
    Written { disk: copy(&written.disk), ..written }
}

fn held(disk: &SimDisk) -> Vec<Held> {
    Manifest::open_to_read(Arc::new(disk.clone())).unwrap().expect("a store").held()
}

/// Looks whether all is as it was, and stays so when it is compacted.
fn expect_all(written: &Written, disk: &SimDisk, at: &str) {
    written.expect_values(&copy(disk), &BTreeSet::new(), at);
    let keyspace = written.open(disk).unwrap_or_else(|error| panic!("{at}: {error}"));
    while keyspace.compact_once(true).unwrap_or_else(|error| panic!("{at}: {error}")) {}
    keyspace.store().close().unwrap();
    drop(keyspace);
    let keyspace = written.open(disk).unwrap_or_else(|error| panic!("{at}, compacted: {error}"));
    for key in &written.keys {
        let wanted = written.state.get(key).map_or(Found::Absent, |value| Found::Value(value.clone()));
        assert_eq!(ask(&keyspace, key, at), wanted, "{at}, compacted: {key:?}");
    }
}

/// A deletion is held for as long as what it hides: all that is held may count again.
#[test]
fn a_lost_manifest_brings_back_nothing_that_was_held() {
    for retention in [HOUR, Duration::from_millis(900)] {
        let disk = SimDisk::new();
        let mut runner = begin(&disk, retention);
        let mut listed_again = 0;
        for (index, step) in steps().iter().enumerate() {
            go_on(&disk, &mut runner, std::slice::from_ref(step));
            runner.keyspace().store().release_retained();
            let written = now(&disk, &runner);
            let lost = copy(&written.disk);
            listed_again += held(&lost).len();
            lost.remove(MANIFEST_FILE).unwrap();
            let at = format!("{retention:?}, the manifest lost after step {index} ({step:?})");
            let repaired = written.repair(&lost, &at);
            assert!(repaired.checked.opens && repaired.lost.is_empty(), "{at}: {repaired:?}");
            expect_all(&written, &lost, &at);
        }
        assert!(listed_again > 20, "{listed_again} segments were held");
    }
}

#[test]
fn an_older_manifest_loses_nothing_and_holds_what_it_held() {
    for retention in [HOUR, Duration::from_millis(900), Duration::ZERO] {
        let disk = SimDisk::new();
        let mut runner = begin(&disk, retention);
        let (mut olds, mut moments) = (Vec::new(), Vec::new());
        let (mut kept, mut restored, mut rebuilt) = (0, 0, 0);
        for (index, step) in steps().iter().enumerate() {
            go_on(&disk, &mut runner, std::slice::from_ref(step));
            runner.keyspace().store().release_retained();
            moments.push(runner.keyspace().store().status().sequence);
            olds.push(disk.bytes(MANIFEST_FILE).unwrap());
            let written = now(&disk, &runner);
            for (age, old) in olds.iter().rev().enumerate().skip(1).step_by(3) {
                let stale = copy(&written.disk);
                stale.plant(MANIFEST_FILE, old);
                let at = format!("{retention:?}, after step {index} ({step:?}) a manifest of {age} steps before");
                let was_held = held(&stale);
                let repaired = written.repair(&stale, &at);
                assert!(repaired.checked.opens && repaired.lost.is_empty(), "{at}: {repaired:?}");
                let is_rebuilt = matches!(repaired.steps[..], [Done::Rebuild { .. }, ..]);
                rebuilt += usize::from(is_rebuilt);
                let is_there = |held: &&Held| stale.bytes(&segment_file_name(held.segment.id)).is_some();
                let there: Vec<Held> = was_held.iter().filter(is_there).copied().collect();
                assert_eq!(held(&stale), if is_rebuilt { there.clone() } else { was_held.clone() }, "{at}");
                kept += there.len();
                if !there.is_empty() && there.len() == was_held.len() {
                    let (target, then) = (SimDisk::new(), moments[index - age]);
                    restore(&stale, At::Sequence(then), &target).unwrap_or_else(|error| panic!("{at}: {error}"));
                    let keyspace = written.open(&target).unwrap_or_else(|error| panic!("{at}: {error}"));
                    let found = contents(&keyspace, &written.keys).unwrap_or_else(|error| panic!("{at}: {error}"));
                    let state = &runner.history[index - age + 1];
                    assert_eq!(found, state.visible(keyspace.now()), "{at}: the moment of the old manifest");
                    restored += 1;
                }
                expect_all(&written, &stale, &at);
            }
        }
        println!("{retention:?}: {rebuilt} made anew, {kept} segments still held, {restored} moments brought back");
        assert!(rebuilt > 10 && (retention != HOUR || kept > 20 && restored > 20));
    }
}

/// After the last number that anybody knows of, moments can be brought back again.
#[test]
fn the_past_begins_anew_where_the_manifest_is_lost() {
    let written = written();
    let disk = copy(&written.disk);
    disk.remove(MANIFEST_FILE).unwrap();
    written.repair(&disk, "lost");
    let keyspace = written.open(&disk).unwrap();
    let oldest = keyspace.store().retained().oldest_sequence;
    let last = keyspace.store().status().sequence;
    keyspace.store().close().unwrap();
    drop(keyspace);
    assert!(oldest <= last, "{oldest} is behind {last}");
    let refused = restore(&disk, At::Sequence(oldest - 1), &SimDisk::new()).unwrap_err().to_string();
    assert!(refused.contains(&format!("the oldest that can is that of record {oldest}")), "{refused}");
    let target = SimDisk::new();
    restore(&disk, At::Sequence(oldest), &target).unwrap();
    expect_all(&written, &target, "the oldest moment");
}
