//! Bugs that stores of this family have had, each as a test: those of NimbusDB first, then those of Riak's Bitcask.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use super::super::Slot;
use super::super::entry::Meta;
use super::super::{Access, Halt, Keyspace, Mode, Pins, SUBSCRIPTION_EVENTS_MAX};
use super::model::Step::{self, *};
use super::model::{State, keys_of};
use super::recorder::Recorder;
use super::runner::{DATABASES, Runner, START, contents, demote, open, options};
use crate::database::Database;
use crate::store::disk::sim::{At, CallKind, Often, Survival};
use crate::store::disk::{Disk, SimDisk};
use crate::store::{Fsync, Location, Planted};

/// Does the steps on a fresh disk, and leaves the keyspace open.
fn run(fsync: Fsync, steps: &[Step]) -> (SimDisk, Runner) {
    let disk = SimDisk::new();
    let mut runner =
        Runner::new(Arc::new(disk.clone()), options(fsync), vec![State::default()], START).expect("an empty disk");
    go_on(&disk, &mut runner, steps);
    (disk, runner)
}

fn go_on(disk: &SimDisk, runner: &mut Runner, steps: &[Step]) {
    runner.run(steps, &Recorder::new(disk.clone(), None)).unwrap_or_else(|failed| panic!("{failed}"));
}

/// Opens the disk at `wall` and compares with the last state of the steps.
fn recovers(disk: SimDisk, runner: &Runner, steps: &[Step], wall: u64) {
    let keyspace = open(Arc::new(disk), wall, options(Fsync::Everysec)).unwrap();
    let expected = runner.history.last().unwrap().visible(keyspace.now());
    assert_eq!(contents(&keyspace, &keys_of(steps, DATABASES)).unwrap(), expected);
}

#[test]
fn deletes_are_persisted() {
    let steps = [Set(0, "a", 10), Set(0, "b", 10), Delete(0, "a"), Together(vec![Delete(0, "b"), Set(0, "c", 1)])];
    let (disk, runner) = run(Fsync::Always, &steps);
    recovers(disk.survivors(Survival::Durable), &runner, &steps, START);
    recovers(disk.after_kill(), &runner, &steps, START);
}

#[test]
fn an_expired_record_hides_nothing_behind_it() {
    let steps =
        [SetEx(0, "a", 10, 5), Set(0, "b", 10), SetEx(0, "c", 10, 5), Set(0, "d", 2_000), Pass(5), Set(0, "e", 9)];
    let (disk, runner) = run(Fsync::Everysec, &steps);
    recovers(disk.after_kill(), &runner, &steps, START + 5);
}

#[test]
fn a_batch_is_there_whole_or_not_at_all() {
    let steps = [
        Set(0, "a", 10),
        Set(0, "b", 10),
        Sync,
        Together(vec![Set(0, "a", 1_200), Delete(0, "b"), Set(0, "c", 1_200), Set(1, "a", 5)]),
    ];
    let (disk, runner) = run(Fsync::Everysec, &steps);
    let [before, after] = [2, 4].map(|steps: usize| runner.history[steps].visible(START));
    let mut seen = [0, 0];
    for survival in Survival::variants(100) {
        let keyspace = open(Arc::new(disk.survivors(survival)), START, options(Fsync::Everysec)).unwrap();
        let found = contents(&keyspace, &keys_of(&steps, DATABASES)).unwrap();
        assert!(found == before || found == after, "{survival:?}: {:?}", found.keys());
        seen[usize::from(found == after)] += 1;
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

/// Bitcask drops a tombstone when it merges some of its files, although another one has what it hides.
#[test]
fn a_deletion_stays_while_a_file_that_is_not_compacted_has_what_it_hides() {
    // The first file is full of what lives; the others are dead but for the deletion.
    let keys = ["b", "c", "d", "e", "f", "g", "h", "i"];
    let mut steps = vec![Set(0, "a", 20)];
    steps.extend(keys.map(|key| Set(0, key, 430)));
    steps.extend([Set(0, "x", 900), Delete(0, "a"), Set(0, "x", 1_000), Set(0, "x", 1_100), Set(0, "x", 1_200), Tick]);
    steps.extend([Compact, Set(0, "x", 1_300), Set(0, "x", 1_400), Set(0, "x", 1_500), Tick, Compact]);
    let (disk, runner) = run(Fsync::Everysec, &steps);
    assert!(disk.bytes("0000000001.log").is_some(), "it was not worth it");
    assert!(runner.keyspace().store().compaction_status().passes > 0);
    recovers(disk.after_kill(), &runner, &steps, START);
}

/// Bitcask at its end deletes the input of a merge that stopped at a damaged record.
#[test]
fn inputs_of_a_merge_that_stopped_early_are_not_deleted() {
    let steps = [Set(0, "a", 900), Set(0, "b", 900), Set(0, "c", 900), Set(0, "a", 1_000), Set(0, "d", 1_500), Tick];
    let (disk, runner) = run(Fsync::Everysec, &steps);
    // The key of the second record: nothing behind it can be made out.
    disk.flip_bit("0000000001.log", 64 + 44 + 28 + 1 + 900 + 28, 3);
    let keyspace = runner.keyspace();
    while keyspace.compact_once(true).unwrap() {}
    assert!(disk.bytes("0000000001.log").is_some(), "it has what is alive");
    assert_eq!(keyspace.store().compaction_status().damaged_segments, 1);
    demote(keyspace);
    let now = keyspace.now();
    let value = |key: &str| {
        let mut access = keyspace.access_one(0, key.as_bytes(), Mode::Shared, now, false);
        access.may_block = true;
        access.value(key.as_bytes()).map(|value| value.map(|value| value.bytes.len()))
    };
    assert_eq!(value("c").unwrap(), Some(900), "it stands behind the damage");
    assert_eq!(value("a").unwrap(), Some(1_000));
    value("b").unwrap_err();
}

#[test]
fn of_many_segments_the_newest_value_wins() {
    let mut steps: Vec<Step> = (0..60).map(|index| Set(0, ["a", "b", "c"][index % 3], 600)).collect();
    steps.extend([Delete(0, "b"), Reopen, Set(0, "c", 700), Kill, Set(0, "a", 10)]);
    let (disk, runner) = run(Fsync::Everysec, &steps);
    assert!(disk.list().unwrap().len() > 10, "many segments");
    recovers(disk.after_kill(), &runner, &steps, START);
}

#[test]
fn what_is_appended_after_reopening_stands_behind_what_was_there() {
    let mut steps = Vec::new();
    for (key, end) in [("a", Reopen), ("b", Kill), ("c", Reopen), ("d", Kill), ("e", Kill)] {
        steps.extend([Set(0, key, 300), Set(0, "all", 100), end]);
    }
    let (disk, runner) = run(Fsync::Everysec, &steps);
    recovers(disk.after_kill(), &runner, &steps, START);
}

#[test]
fn two_records_at_one_offset_of_two_segments_are_told_apart() {
    let steps = [Set(0, "a", 3_000), Set(0, "b", 3_000), Set(0, "c", 3_000), Kill];
    let (_, runner) = run(Fsync::Everysec, &steps);
    let (keyspace, keys) = (runner.keyspace(), keys_of(&steps, DATABASES));
    let location = |key: &str| {
        let mut access = keyspace.access_one(0, key.as_bytes(), Mode::Shared, START, false);
        access.meta(key.as_bytes()).unwrap().location
    };
    let (b, c) = (location("b"), location("c"));
    assert_eq!((b.offset, b.length, b.segment == c.segment), (c.offset, c.length, false));
    // Cold, then from memory.
    for _ in 0..2 {
        assert_eq!(contents(keyspace, &keys).unwrap(), runner.history.last().unwrap().keys);
    }
}

/// NimbusDB told its watchers while it held the lock, and through a channel that could be full.
#[test]
fn a_watcher_that_reads_nothing_or_reads_the_store_deadlocks_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), options(Fsync::Everysec)).unwrap();
    let full = database.watch();
    // More than a watcher that reads nothing has room for.
    (0..SUBSCRIPTION_EVENTS_MAX + 10).for_each(|number| database.put("key", number.to_string(), None).unwrap());
    assert_eq!(full.lost(), 10);
    let (reading, begun) = (database.watch(), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            begun.wait();
            (0..1_000).for_each(|number| database.put("key", number.to_string(), None).unwrap());
        });
        begun.wait();
        // Whoever is told of a key takes its latch, to write and to read, while its writer tells of the next change.
        for _ in 0..1_000 {
            let event = reading.next(Duration::from_secs(60)).expect("a change");
            assert!(database.get(&event.key).unwrap().is_some());
            database.put(&event.key, "of the watcher", None).unwrap();
            drop(database.watch());
        }
    });
    assert!(database.get("key").unwrap().is_some());
}

#[test]
fn what_was_acknowledged_has_been_synced() {
    let steps = [Set(0, "a", 10), Set(0, "b", 5_000), Rename(0, "a", "c"), Flush(1), Expire(0, "b", None)];
    let (disk, runner) = run(Fsync::Always, &steps);
    recovers(disk.survivors(Survival::Durable), &runner, &steps, START);
    // The same test sees it when a sync is left out.
    let (disk, mut runner) = run(Fsync::Always, &[]);
    disk.disable_sync(CallKind::SyncData);
    go_on(&disk, &mut runner, &steps[..1]);
    let keyspace = open(Arc::new(disk.survivors(Survival::Durable)), START, options(Fsync::Always)).unwrap();
    assert!(contents(&keyspace, &keys_of(&steps, DATABASES)).unwrap().is_empty());
}

/// After a sync that failed, the kernel takes the pages for written: what the next start finds there is not on the disk, and
/// no sync of it brings it there.
#[test]
fn what_a_failed_sync_left_behind_is_made_durable_by_the_next_start() {
    let steps = [Set(0, "a", 10), Sync, Set(0, "b", 700), Set(0, "c", 900)];
    for first in [0, 2] {
        let (disk, mut runner) = run(Fsync::Everysec, &steps[first..]);
        disk.fail(At::Kind(CallKind::SyncData), std::io::ErrorKind::Other, Often::Always);
        runner.keyspace().store().close().unwrap_err();
        disk.heal();
        runner.open().unwrap();
        for survival in [Survival::Durable, Survival::Hollow, Survival::Random(1)] {
            recovers(disk.survivors(survival), &runner, &steps, START);
        }
    }
}

#[test]
fn expiry_seen_by_a_reader_removes_no_newer_value() {
    let (_, runner) = run(Fsync::Everysec, &[SetEx(0, "a", 10, 5), Pass(5)]);
    let keyspace = runner.keyspace();
    let seen = meta(keyspace, "a");
    let mut access = keyspace.access_one(0, b"a", Mode::Exclusive, runner.now(), false);
    access.put(b"a", 0, b"newer", None).unwrap();
    drop(access);
    let slot = Slot::of_key(&keyspace.hasher, b"a");
    let held = keyspace.bound.latches.one(&slot, Mode::Exclusive);
    let keydir = keyspace.bound.databases[0].load();
    let (_, removed) = keyspace.expired(&held, 0, &keydir, &slot, b"a", &seen, runner.now());
    assert!(!removed);
    drop(held);
    // Nor does the timer, which has the old deadline on its list no more.
    assert_eq!(keyspace.expire_due(runner.now() + 1_000, usize::MAX), 0);
    assert_ne!(meta(keyspace, "a").location, seen.location);
}

fn meta(keyspace: &Keyspace, key: &str) -> Meta {
    let slot = Slot::of_key(&keyspace.hasher, key.as_bytes());
    keyspace.bound.databases[0].load().meta(&slot, key.as_bytes()).expect("it is there")
}

#[test]
fn a_clock_set_back_changes_no_order_and_revives_nothing() {
    let day = 86_400_000;
    let steps = [
        SetEx(0, "gone", 10, 100),
        Set(0, "a", 10),
        Pass(100),
        Get(0, "gone"),
        SetBack(day),
        Set(0, "a", 20),
        SetEx(0, "b", 10, 1_000),
        Kill,
        Get(0, "gone"),
        Set(0, "a", 30),
        SetBack(day),
        Reopen,
        Delete(0, "b"),
        Get(0, "gone"),
    ];
    let (disk, runner) = run(Fsync::Everysec, &steps);
    for wall in [START, START - 10 * day, 0] {
        recovers(disk.after_kill(), &runner, &steps, wall);
    }
}

#[test]
fn what_a_walk_did_not_show_stays_hidden() {
    let (disk, runner) = run(Fsync::Everysec, &[SetEx(0, "gone", 10, 100), Set(0, "a", 10), Pass(200)]);
    let keyspace = runner.keyspace();
    let walk = |keyspace: &Keyspace| {
        let mut access = keyspace.access_none(0, keyspace.now());
        let mut keys = Vec::new();
        access.each_key(|key, _| keys.push(String::from_utf8(key.to_vec()).unwrap()));
        let wait = access.commit().unwrap().0;
        keyspace.store().wait_acknowledged(wait).unwrap();
        keys
    };
    assert_eq!(walk(keyspace), ["a"]);
    let again = open(Arc::new(disk.after_kill()), START - 1_000, options(Fsync::Everysec)).unwrap();
    assert_eq!(walk(&again), ["a"], "a clock set back shows no key that was over");
}

#[test]
fn what_was_not_counted_stays_hidden() {
    type Look = fn(&mut Access<'_>);
    let looks: [(&str, Look); 2] = [
        ("counted", |access| assert_eq!(access.keys(), 0)),
        ("emptied, with nothing in it to be seen", |access| _ = access.flush().unwrap()),
    ];
    for (name, look) in looks {
        let (disk, runner) = run(Fsync::Everysec, &[SetEx(0, "gone", 10, 50), Pass(60)]);
        let keyspace = runner.keyspace();
        let mut access = keyspace.access_all(0, Mode::Exclusive, keyspace.now(), true);
        look(&mut access);
        let wait = access.commit().unwrap().0;
        keyspace.store().wait_acknowledged(wait).unwrap();
        let again = open(Arc::new(disk.after_kill()), START - 1_000, options(Fsync::Everysec)).unwrap();
        let count = again.access_all(0, Mode::Shared, again.now(), false).keys();
        assert_eq!(count, 0, "{name}: a clock set back brings no key again that was over");
    }
}

/// A writer notes a change's position before it lets go of the latch: who looks without it could tell of a key that
/// a crash takes back.
#[test]
fn a_random_key_is_looked_at_under_its_latch() {
    let (_, runner) = run(Fsync::Everysec, &[]);
    let keyspace = runner.keyspace();
    let names: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let mut writing = keyspace.access_all(0, Mode::Exclusive, START, true);
    writing.put_all(names.iter().map(|name| (name.as_bytes(), 0, &b"v"[..])), true).unwrap();
    std::thread::scope(|scope| {
        let walking = scope.spawn(|| keyspace.access_none(0, START).random_key());
        // What is not to happen cannot be waited for; too short a time would only miss a fault.
        std::thread::sleep(Duration::from_millis(50));
        assert!(!walking.is_finished(), "somebody is still writing");
        drop(writing);
        assert!(walking.join().unwrap().is_some());
    });
}

#[test]
fn the_number_of_an_empty_segment_is_not_given_again() {
    let (disk, mut runner) = run(Fsync::Everysec, &[Set(0, "a", 10)]);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..5 {
        go_on(&disk, &mut runner, &[Kill]);
        let names = disk.list().unwrap().into_iter().filter(|name| name.ends_with(".log"));
        let newest = names.max().unwrap();
        assert!(seen.insert(newest.clone()), "{newest} again");
    }
    go_on(&disk, &mut runner, &[Set(0, "b", 10)]);
    recovers(disk.after_kill(), &runner, &[Set(0, "a", 10), Set(0, "b", 10)], START);
}

/// Everything in the first segment moves, and its file is removed, while `a` is only there.
fn moves_away(disk: &SimDisk, keyspace: &Keyspace) {
    assert!(disk.bytes("0000000001.log").is_some(), "it has what is looked for");
    while keyspace.compact_once(true).unwrap() {}
    assert!(disk.bytes("0000000001.log").is_none(), "everything moved, and the file was removed");
}

/// A cold key in a segment that is full, and for the rest dead.
fn cold_among_the_dead() -> (SimDisk, Runner) {
    let dead = (0..8).map(|index| Set(0, "x", 900 + index));
    let (disk, runner) =
        run(Fsync::Everysec, &[Set(0, "a", 600)].into_iter().chain(dead).chain([Tick]).collect::<Vec<_>>());
    demote(runner.keyspace());
    disk.set_cold(true);
    (disk, runner)
}

/// Whoever has looked up where a value is, and then finds its file gone, looks again.
#[test]
fn a_reader_finds_what_was_moved_from_a_file_that_is_gone() {
    for planted in [None, Some(Planted::NoSecondLook)] {
        let (disk, runner) = cold_among_the_dead();
        let keyspace = runner.keyspace();
        keyspace.store().plant(planted);
        let read = std::thread::scope(|scope| {
            let hold = disk.hold(CallKind::Read);
            let reading = scope.spawn(|| {
                let mut access = keyspace.access_one(0, b"a", Mode::Shared, START, false);
                access.may_block = true;
                access.value(b"a")
            });
            hold.wait_for(1);
            moves_away(&disk, keyspace);
            drop(hold);
            reading.join().unwrap()
        });
        match (planted, read) {
            (None, Ok(Some(value))) => assert_eq!(value.bytes.len(), 600),
            // The same test sees it when nobody looks again.
            (Some(_), Err(Halt::Damaged)) => {}
            (_, other) => panic!("{planted:?}: {other:?}"),
        }
    }
}

/// The same where a value is fetched between two runs of a command.
#[test]
fn a_command_finds_what_was_moved_before_it_was_fetched() {
    let (disk, runner) = cold_among_the_dead();
    let (keyspace, mut pins) = (runner.keyspace(), Pins::default());
    let look = |pins: &Pins| {
        let mut access = keyspace.access_one(0, b"a", Mode::Shared, START, false);
        access.pins = pins.clone();
        access.value(b"a").map(|value| value.map(|value| value.bytes.len()))
    };
    let Err(Halt::Cold(cold)) = look(&pins) else { panic!("it is in memory") };
    moves_away(&disk, keyspace);
    cold.into_iter().for_each(|cold| pins.add(cold.fetch(keyspace)));
    let Err(Halt::Cold(cold)) = look(&pins) else { panic!("it is where it has moved to") };
    cold.into_iter().for_each(|cold| pins.add(cold.fetch(keyspace)));
    assert_eq!(look(&pins).unwrap(), Some(600));
}

#[test]
fn what_moved_as_its_file_could_not_be_synced_is_found() {
    for (fsync, call) in [(Fsync::Everysec, CallKind::SyncData), (Fsync::Always, CallKind::SyncData)] {
        let (disk, mut runner) = run(fsync, &[]);
        disk.fail(At::File(call, "0000000001.log".to_owned()), std::io::ErrorKind::Other, Often::Once);
        let steps = [Set(0, "a", 600), Set(0, "b", 600), Sync, Set(0, "c", 600)];
        go_on(&disk, &mut runner, &steps);
        assert!(disk.bytes("0000000001.log").is_none(), "everything moved, and the file was removed");
        demote(runner.keyspace());
        let (keyspace, keys) = (runner.keyspace(), keys_of(&steps, DATABASES));
        assert_eq!(contents(keyspace, &keys).unwrap(), runner.history.last().unwrap().keys);
        recovers(disk.survivors(Survival::Written), &runner, &steps, START);
    }
}

/// What a hint file says is what the segment says, or it is not believed.
#[test]
fn a_corrupt_hint_is_never_trusted() {
    let mut steps: Vec<Step> =
        (0..40).map(|index| Set(index % 2, ["a", "b", "c", "d"][index as usize % 4], 500)).collect();
    steps.extend([
        Delete(0, "a"),
        Expire(1, "b", Some(5_000_000)),
        Flush(0),
        Set(0, "e", 10),
        SetEx(1, "f", 10, 90_000),
    ]);
    let (disk, runner) = run(Fsync::Everysec, &steps);
    runner.keyspace().store().close().unwrap();
    let names = disk.list().unwrap();
    let hints: Vec<(&String, Vec<u8>)> =
        names.iter().filter(|name| name.ends_with(".hint")).map(|name| (name, disk.bytes(name).unwrap())).collect();
    assert!(hints.len() > 4);
    let check = |name: &str, bytes: Option<&[u8]>, what: &str| {
        let changed = disk.after_kill();
        match bytes {
            Some(bytes) => changed.plant(name, bytes),
            None => changed.remove(name).unwrap(),
        }
        let keyspace = open(Arc::new(changed.clone()), START, options(Fsync::Everysec)).unwrap();
        let found = contents(&keyspace, &keys_of(&steps, DATABASES)).unwrap();
        assert_eq!(found, runner.history.last().unwrap().visible(keyspace.now()), "{name}: {what}");
        let live = keyspace.store().status().bytes_live;
        assert_eq!(live, runner.keyspace().store().status().bytes_live, "{name}: {what}");
        // It is written anew, and believed then.
        keyspace.store().tick().unwrap();
        assert_eq!(changed.bytes(name).as_deref(), disk.bytes(name).as_deref(), "{name}: {what}");
    };
    for (index, (name, bytes)) in hints.iter().enumerate() {
        check(name, None, "removed");
        for at in (0..bytes.len()).step_by(61) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            check(name, Some(&changed), "a bit flipped");
            check(name, Some(&bytes[..at]), "cut");
        }
        check(name, Some(&bytes.repeat(2)), "doubled");
        check(name, Some(&vec![0; bytes.len()]), "zeros");
        let (_, other) = &hints[(index + 1) % hints.len()];
        check(name, Some(other), "that of another segment");
    }
    // One of another dataset, whose segment has the same id.
    let (foreign, other) = run(Fsync::Everysec, &steps);
    other.keyspace().store().close().unwrap();
    check(hints[0].0, Some(&foreign.bytes(hints[0].0).unwrap()), "that of another dataset");
}

#[test]
fn values_that_left_memory_are_what_they_were() {
    let steps = [
        Set(0, "empty", 0),
        Set(0, "a", 10),
        Set(0, "b", 4_096),
        Set(0, "c", 4_097),
        SetEx(1, "d", 9_000, 1_000_000),
        Together(vec![Set(0, "e", 5_000), Set(1, "f", 30), Expire(0, "a", Some(5_000_000))]),
    ];
    for fsync in [Fsync::Always, Fsync::Everysec, Fsync::No] {
        let (disk, mut runner) = run(fsync, &steps);
        let keys = keys_of(&steps, DATABASES);
        let before = runner.keyspace().memory_use().entries;
        demote(runner.keyspace());
        let after = runner.keyspace().memory_use().entries;
        assert!(after + 20_000 < before, "{after} of {before} bytes are left");
        assert_eq!(contents(runner.keyspace(), &keys).unwrap(), runner.history.last().unwrap().keys);
        // Not even where the file has not got them yet: they stay in memory then.
        go_on(&disk, &mut runner, &[Reopen, Set(0, "a", 1)]);
        disk.fail(At::Kind(CallKind::Write), std::io::ErrorKind::StorageFull, Often::Always);
        let mut access = runner.keyspace().access_one(0, b"a", Mode::Exclusive, START, false);
        access.put(b"a", 0, b"unwritten", None).unwrap();
        let wait = access.commit().unwrap().0;
        runner.keyspace().store().wait_acknowledged(wait).unwrap_err();
        demote(runner.keyspace());
        disk.heal();
        runner.clock.advance(Duration::from_secs(1));
        let found = contents(runner.keyspace(), &keys).unwrap();
        assert_eq!(found[&(0, "a".to_owned())].0, b"unwritten");
        go_on(&disk, &mut runner, &[Sync]);
        demote(runner.keyspace());
        assert_eq!(contents(runner.keyspace(), &keys).unwrap(), found);
    }
}

#[test]
fn a_location_that_never_was_is_no_record() {
    let (_, runner) = run(Fsync::Everysec, &[Set(0, "a", 10)]);
    for location in [
        Location { segment: 99, offset: 64, length: 40 },
        Location { segment: 1, offset: 0, length: 40 },
        Location { segment: 1, offset: 65, length: 40 },
        Location { segment: 1, offset: 4_000, length: u32::MAX },
        Location { segment: u32::MAX, offset: u32::MAX, length: 0 },
    ] {
        runner.keyspace().store().read(location, b"a").unwrap_err();
    }
}

/// A transaction is told that a key is over which it has given a deadline that is not to come.
#[test]
fn what_a_transaction_has_let_expire_stays_gone() {
    for set in [Expire(0, "a", Some(0)), SetEx(0, "a", 5, 0)] {
        let steps = [SetEx(0, "a", 10, 1_000), Pass(20), Together(vec![set, Get(0, "a")])];
        let (disk, runner) = run(Fsync::No, &steps);
        recovers(disk.after_kill(), &runner, &steps, START);
    }
}
