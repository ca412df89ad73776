//! Keys that go from one database to another: what they are there, in memory, in a transaction and after a restart.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;

use super::super::{Access, Change, Cold, Event, Halt, Keyspace, Mode, Slot, Watch};
use super::model::Step::{self, *};
use super::model::{State, Value, keys_of};
use super::recorder::Recorder;
use super::runner::{DATABASES, Runner, START, contents, demote, effect, open, options};
use crate::store::clock::{Clock, TestClock};
use crate::store::disk::SimDisk;
use crate::store::disk::sim::Survival;
use crate::store::{Draft, Fsync, Store};

fn begin() -> (SimDisk, Runner) {
    let disk = SimDisk::new();
    let runner = Runner::new(Arc::new(disk.clone()), options(Fsync::Everysec), vec![State::default()], START);
    (disk, runner.expect("an empty disk"))
}

fn run(steps: &[Step]) -> (SimDisk, Runner) {
    let (disk, mut runner) = begin();
    runner.run(steps, &Recorder::new(disk.clone(), None)).unwrap_or_else(|failed| panic!("{failed}"));
    (disk, runner)
}

fn key_of(keyspace: &Keyspace, database: u32, together: bool) -> Access<'_> {
    keyspace.access_one(database, b"k", Mode::Exclusive, keyspace.now(), together)
}

/// Moves a key and waits for it.
fn moved(keyspace: &Keyspace, from: u32, to: u32, together: bool) -> bool {
    let mut access = key_of(keyspace, from, together);
    let moved = access.move_to(b"k", to).unwrap();
    let wait = access.commit().unwrap().0;
    keyspace.store().wait_acknowledged(wait).unwrap();
    moved
}

/// What a keydir counts is what its entries are, and what counts as alive is what it refers to.
pub(super) fn assert_counts(keyspace: &Keyspace, keys: &[(u32, String)], at: &str) {
    let mut referred = 0;
    for (database, keydir) in keyspace.bound.databases.iter().enumerate() {
        let keydir = keydir.load();
        let (mut count, mut bytes, mut deadlines) = (0, 0, Vec::new());
        for (_, key) in keys.iter().filter(|key| key.0 as usize == database) {
            let slot = Slot::of_key(&keyspace.hasher, key.as_bytes());
            let Some(meta) = keydir.meta(&slot, key.as_bytes()) else { continue };
            count += 1;
            bytes += keydir.usage(&slot, key.as_bytes()).unwrap().2;
            deadlines.extend(meta.expiry);
            referred += u64::from(meta.location.length);
        }
        assert_eq!(keydir.keys(), count, "{at}: keys of {database}");
        assert_eq!(keydir.footprint().bytes, bytes, "{at}: bytes of {database}");
        assert_eq!(keydir.volatile(), deadlines.len(), "{at}: volatile keys of {database}");
        assert_eq!(keydir.count_due(u64::MAX), deadlines.len(), "{at}: deadlines of {database}");
        assert_eq!(keydir.earliest_deadline(), deadlines.into_iter().min(), "{at}: the earliest of {database}");
    }
    assert!(referred <= keyspace.store().status().bytes_live, "{at}: {referred} bytes are referred to");
}

/// The keyspace is what the model says, now and when it is opened again, and counts the same bytes as alive.
fn assert_same(disk: &SimDisk, runner: &Runner, keys: &[(u32, String)], at: &str) {
    let (keyspace, wall) = (runner.keyspace(), runner.clock.wall());
    let expected = runner.history.last().unwrap().visible(keyspace.now());
    let compare = |keyspace: &Keyspace, at: &str| {
        // What is over is removed only once it is looked for.
        keyspace.expire_due(keyspace.now(), usize::MAX);
        assert_eq!(contents(keyspace, keys).as_ref(), Ok(&expected), "{at}");
        assert_counts(keyspace, keys, at);
    };
    compare(keyspace, at);
    keyspace.store().sync().unwrap();
    for disk in [disk.after_kill(), disk.survivors(Survival::Durable)] {
        let again = open(Arc::new(disk), wall, options(Fsync::Everysec)).unwrap();
        compare(&again, &format!("{at}, again"));
        let live = |keyspace: &Keyspace| keyspace.store().status().bytes_live;
        assert_eq!(live(keyspace), live(&again), "{at}: bytes alive");
    }
}

#[test]
fn what_was_moved_is_there_and_after_a_restart_too() {
    let hour = 3_600_000;
    let both = |steps: Vec<Step>| [steps.clone(), vec![steps[0].clone(), Together(steps[1..].to_vec())]];
    let cases = [
        ("plain", both(vec![Set(0, "k", 10), Move(0, "k", 1)])),
        ("large", both(vec![Set(0, "k", 9_000), Move(0, "k", 1)])),
        ("cold", both(vec![Set(0, "k", 10), Reopen, Move(0, "k", 1)])),
        ("to where there is one", both(vec![Set(0, "k", 10), Set(1, "k", 20), Move(0, "k", 1)])),
        ("what is not there", both(vec![Set(0, "a", 10), Move(0, "k", 1)])),
        ("with an expiry", both(vec![SetEx(0, "k", 10, hour), Move(0, "k", 1)])),
        ("with a later expiry", both(vec![SetEx(0, "k", 10, hour), Expire(0, "k", Some(2 * hour)), Move(0, "k", 1)])),
        ("then given an expiry", both(vec![Set(0, "k", 10), Move(0, "k", 1), Expire(1, "k", Some(hour))])),
        ("then without an expiry", both(vec![SetEx(0, "k", 10, hour), Move(0, "k", 1), Expire(1, "k", None)])),
        ("what is over", both(vec![SetEx(0, "k", 10, 5), Pass(5), Move(0, "k", 1)])),
        ("to where one is over", both(vec![SetEx(1, "k", 20, 5), Pass(5), Set(0, "k", 10), Move(0, "k", 1)])),
        ("and over then", both(vec![SetEx(0, "k", 10, 5), Move(0, "k", 1), Pass(5)])),
        ("twice", both(vec![Set(0, "k", 10), Move(0, "k", 1), Move(1, "k", 2)])),
        ("and back", both(vec![Set(0, "k", 10), Move(0, "k", 1), Move(1, "k", 0)])),
        ("and another after it", both(vec![Set(0, "k", 10), Move(0, "k", 1), Set(0, "k", 20), Move(0, "k", 2)])),
        ("then its database emptied", both(vec![Set(0, "k", 10), Move(0, "k", 1), Flush(0)])),
        ("then emptied where it is", both(vec![Set(0, "k", 10), Move(0, "k", 1), Flush(1)])),
        ("to one that was emptied", both(vec![Set(0, "k", 10), Set(1, "k", 20), Flush(1), Move(0, "k", 1), Flush(0)])),
        (
            "emptied around it",
            both(vec![Set(0, "k", 10), Flush(1), Set(1, "a", 5), Flush(1), Move(0, "k", 1), FlushAll]),
        ),
        ("then swapped", both(vec![Set(0, "k", 10), Move(0, "k", 1), Swap(0, 1), Set(1, "k", 20), Flush(1)])),
        ("swapped and back", both(vec![Set(0, "k", 10), Swap(0, 1), Move(1, "k", 0), Swap(0, 1), Flush(0)])),
        ("then overwritten", both(vec![Set(0, "k", 10), Move(0, "k", 1), Set(1, "k", 20)])),
        ("then deleted", both(vec![Set(0, "k", 10), Move(0, "k", 1), Delete(1, "k")])),
        ("then set where it was", both(vec![Set(0, "k", 10), Move(0, "k", 1), Set(0, "k", 20)])),
        ("set again in both", both(vec![Set(0, "k", 10), Move(0, "k", 1), Set(0, "k", 20), Set(1, "k", 30)])),
        ("just set", both(vec![Set(0, "k", 10), Set(0, "k", 20), Move(0, "k", 1), Move(1, "k", 2)])),
        ("just set, then overwritten", both(vec![Set(0, "k", 10), Set(0, "k", 20), Move(0, "k", 1), Set(1, "k", 5)])),
        ("for one that was deleted", both(vec![Set(0, "k", 10), Set(1, "k", 20), Delete(1, "k"), Move(0, "k", 1)])),
        (
            "then copied and renamed",
            both(vec![Set(0, "k", 10), Move(0, "k", 1), Copy(1, "k", 0, "k"), Rename(1, "k", "a")]),
        ),
    ];
    // Three databases exchange what they have.
    let rounds = [Move(0, "k", 1), Move(1, "a", 0), Move(1, "k", 2), Move(2, "b", 1), Rename(2, "k", "b")];
    let exchange = [Set(0, "k", 10), Set(1, "a", 20), Set(2, "b", 30)].into_iter().chain(rounds).collect();
    for (name, variants) in cases.into_iter().chain([("around", both(exchange))]) {
        for (steps, how) in variants.into_iter().zip(["one by one", "together"]) {
            // Time does not pass, and nobody restarts, within a transaction.
            let within = |step: &Step| matches!(step, Together(steps) if steps.iter().any(|step| matches!(step, Pass(_) | Reopen)));
            if steps.iter().any(within) {
                continue;
            }
            let (disk, runner) = run(&steps);
            assert_same(&disk, &runner, &keys_of(&steps, DATABASES), &format!("{name}, {how}"));
        }
    }
}

/// Two keys change places by way of a third database, in one transaction: neither is in the other's way.
#[test]
fn values_change_places_in_one_transaction() {
    let steps =
        [Set(0, "k", 10), Set(1, "k", 5_000), Together(vec![Move(0, "k", 2), Move(1, "k", 0), Move(2, "k", 1)])];
    let (disk, runner) = run(&steps);
    let state = &runner.history.last().unwrap().keys;
    assert_eq!([0, 1].map(|database| state[&(database, "k".to_owned())].0.len()), [5_000, 10]);
    assert_same(&disk, &runner, &keys_of(&steps, DATABASES), "exchanged");
}

#[test]
fn a_move_takes_no_longer_for_a_large_value() {
    const BYTES: usize = 64 << 20;
    let disk = SimDisk::new();
    let keyspace = open(Arc::new(disk.clone()), START, options(Fsync::No)).unwrap();
    let mut access = key_of(&keyspace, 0, false);
    access.put(b"k", 0, &vec![b'v'; BYTES], Some(START + 1_000_000)).unwrap();
    drop(access);
    let memory = keyspace.memory_use().entries;
    let mut from = 0;
    for cold in [false, true] {
        if cold {
            keyspace.store().sync().unwrap();
            demote(&keyspace);
            disk.set_cold(true);
        }
        for together in [false, true] {
            let (before, to) = (keyspace.store().appended(), (from + 1) % DATABASES);
            assert!(moved(&keyspace, from, to, together));
            let appended = keyspace.store().appended() - before;
            assert!(appended < 200, "{appended} bytes for a value of {BYTES}");
            let entries = keyspace.memory_use().entries;
            assert!(if cold { entries < 1_000 } else { entries == memory }, "{entries} bytes in memory");
            assert_eq!(keyspace.cold_reads(), 0);
            from = to;
        }
    }
    let mut access = key_of(&keyspace, from, false);
    access.may_block = true;
    let value = access.value(b"k").unwrap().unwrap();
    assert!(value.bytes.len() == BYTES && value.bytes.iter().all(|byte| *byte == b'v'));
    assert_eq!(value.expiry, Some(START + 1_000_000));
}

/// What a look at `k` asks the disk for.
fn asked(access: &mut Access<'_>) -> Cold {
    match access.value(b"k") {
        Err(Halt::Cold(mut cold)) => cold.pop().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_moved_value_that_is_cold_comes_into_memory_where_it_is() {
    let (disk, runner) = run(&[Set(0, "k", 700), Sync]);
    let keyspace = runner.keyspace();
    let value = Bytes::from(runner.history.last().unwrap().keys[&(0, "k".to_owned())].0.clone());
    demote(keyspace);
    disk.set_cold(true);
    let hot = |database: u32| key_of(keyspace, database, false).value(b"k").unwrap().unwrap().bytes;
    // Not committed yet, it is where it was.
    let mut access = key_of(keyspace, 0, true);
    assert!(access.move_to(b"k", 1).unwrap());
    access.select(1);
    let cold = asked(&mut access);
    assert_eq!(cold.keyspace().unwrap(), 0);
    drop(access);
    cold.fetch(keyspace);
    assert_eq!(hot(0), value);
    let mut access = key_of(keyspace, 0, true);
    assert!(access.move_to(b"k", 1).unwrap());
    access.select(1);
    assert_eq!(access.value(b"k").unwrap().unwrap().bytes, value);
    access.commit().unwrap();
    assert_eq!(hot(1), value);
    // Moved while it is fetched, it does not come into memory, but whoever has asked gets it.
    demote(keyspace);
    let mut access = key_of(keyspace, 1, false);
    let cold = asked(&mut access);
    drop(access);
    assert!(moved(keyspace, 1, 2, false));
    let mut access = key_of(keyspace, 2, false);
    access.pins.add(cold.fetch(keyspace));
    assert_eq!(access.value(b"k").unwrap().unwrap().bytes, value);
    drop(access);
    let mut access = key_of(keyspace, 2, false);
    let cold = asked(&mut access);
    drop(access);
    assert_eq!(cold.keyspace().unwrap(), 2);
    cold.fetch(keyspace);
    assert_eq!(hot(2), value);
}

#[test]
fn a_move_is_told_of_in_both_databases() {
    use Change::{Created, Deleted, Updated};
    let (_, runner) = run(&[Set(0, "k", 10)]);
    let keyspace = runner.keyspace();
    let changes = keyspace.subscribe();
    let told = || {
        let mut told: Vec<_> = std::iter::from_fn(|| changes.try_next()).collect();
        told.sort_by_key(|event| event.database);
        told.into_iter().map(|Event { database, change, .. }| (database, change)).collect::<Vec<_>>()
    };
    let watched = |database| {
        let watch = Arc::new(Watch::default());
        key_of(keyspace, database, false).watch(b"k", &watch);
        watch
    };
    for (from, to, together) in [(0, 1, false), (1, 0, true)] {
        let watches = [0, 1, 2].map(watched);
        assert!(moved(keyspace, from, to, together));
        assert_eq!(told(), if from == 0 { [(0, Deleted), (1, Created)] } else { [(0, Created), (1, Deleted)] });
        assert_eq!(watches.map(|watch| watch.is_dirty()), [true, true, false]);
    }
    // Nothing has changed.
    let watches = [0, 1].map(watched);
    assert!(!moved(keyspace, 1, 0, false));
    assert!(!moved(keyspace, 0, 0, false));
    drop({
        let mut access = key_of(keyspace, 0, true);
        assert!(access.move_to(b"k", 1).unwrap());
        access
    });
    assert_eq!((told(), watches.map(|watch| watch.is_dirty())), (Vec::new(), [false, false]));
    // It was there before and it is there now.
    let mut access = key_of(keyspace, 0, true);
    assert!(access.move_to(b"k", 1).unwrap());
    access.put(b"k", 0, b"new", None).unwrap();
    access.commit().unwrap();
    assert_eq!(told(), [(0, Updated), (1, Created)]);
    let mut access = key_of(keyspace, 0, true);
    assert!(access.move_to(b"k", 2).unwrap());
    access.select(1);
    assert!(access.move_to(b"k", 0).unwrap());
    access.select(2);
    assert!(access.move_to(b"k", 1).unwrap());
    access.commit().unwrap();
    assert_eq!(told(), [(0, Updated), (1, Updated), (2, Deleted)]);
}

/// A move takes along how the value was used; nothing was looked at but its key.
#[test]
fn a_moved_value_was_used_when_it_was() {
    let (_, runner) = run(&[Set(0, "k", 10), Get(0, "k"), Get(0, "k"), Pass(5_000)]);
    let keyspace = runner.keyspace();
    let usage = |database| key_of(keyspace, database, false).usage(b"k").unwrap();
    let before = usage(0);
    assert_eq!((before.idle_seconds, before.uses), (Some(5), 3));
    let mut access = key_of(keyspace, 0, true);
    access.touches = false;
    access.move_to(b"k", 1).unwrap();
    access.select(1);
    assert_eq!(access.usage(b"k"), Some(before), "in the transaction");
    access.commit().unwrap();
    assert_eq!(usage(1), before);
    let mut access = key_of(keyspace, 1, false);
    access.touches = false;
    access.move_to(b"k", 2).unwrap();
    drop(access);
    assert_eq!(usage(2), before);
    assert!(moved(keyspace, 2, 0, false));
    assert_eq!(usage(0).idle_seconds, Some(0), "a command that looks at it uses it");
}

/// Whoever removes what is superseded from the log may leave its move.
#[test]
fn a_move_without_a_value_leaves_none() {
    struct Nobody;
    impl crate::store::Replay for Nobody {
        fn begin(&mut self, _: &crate::store::Beginning<'_>) {}
        fn partition(&self, _: usize, _: crate::store::Records<'_>) {}
        fn elements(&self, _: usize, _: crate::store::Records<'_>) {}
    }
    let disk = SimDisk::new();
    let clock = Arc::new(TestClock::new(START));
    let (store, _) =
        Store::open(Arc::new(disk.clone()), clock, options(Fsync::No), &mut Nobody, &mut |_, _| {}).unwrap();
    let put = |keyspace, key: &str| store.append(&Draft::put(keyspace, 0, key.as_bytes(), b"value")).unwrap();
    let takes = |keyspace, source: u32, key: &str| {
        let source = source.to_le_bytes();
        store.append(&Draft::move_key(keyspace, &source, 0, key.as_bytes(), None)).unwrap()
    };
    put(1, "replaced");
    takes(1, 0, "replaced");
    takes(1, 0, "later");
    put(1, "later");
    // Of a keyspace that nobody has heard of.
    takes(1, 70_000, "nowhere");
    put(0, "here");
    takes(0, 0, "here");
    store.close().unwrap();
    drop(store);
    let keyspace = open(Arc::new(disk.after_kill()), START, options(Fsync::No)).unwrap();
    let keys: Vec<_> = ["replaced", "later", "nowhere", "here"].into_iter().collect();
    let keys: Vec<_> = (0..2).flat_map(|database| keys.iter().map(move |key| (database, (*key).to_owned()))).collect();
    let expected: BTreeMap<(u32, String), Value> = [(1, "later"), (0, "here")]
        .into_iter()
        .map(|(of, key)| ((of, key.to_owned()), (b"value".to_vec(), None)))
        .collect();
    assert_eq!(contents(&keyspace, &keys), Ok(expected));
    assert_counts(&keyspace, &keys, "moves without values");
}

const KEYS: [&str; 3] = ["a", "b", "c"];

fn step(rng: &mut Rng) -> Step {
    let key = KEYS[rng.usize(..3)];
    let [database, other] = [0; 2].map(|_| rng.u32(..DATABASES));
    let length = [5, 700, 5_000][rng.usize(..3)];
    let ttl = [0, 50, 1_000_000][rng.usize(..3)];
    match rng.u8(..20) {
        0..4 => Set(database, key, length),
        4 => SetEx(database, key, length, ttl),
        5 | 6 => Delete(database, key),
        7 => Expire(database, key, Some(ttl)),
        8 => Expire(database, key, None),
        9 => Rename(database, key, KEYS[(rng.usize(..2) + 1 + KEYS.iter().position(|it| *it == key).unwrap()) % 3]),
        10 => Copy(database, key, (database + 1) % DATABASES, KEYS[rng.usize(..3)]),
        11 => Flush(database),
        12 | 13 => Swap(database, other),
        _ => Move(database, key, other),
    }
}

/// What an access reads is what the model says.
fn assert_reads(access: &mut Access<'_>, state: &State, walk: bool, at: &str) {
    let visible = state.visible(access.now());
    for database in 0..DATABASES {
        access.select(database);
        let expected: BTreeMap<&str, &Value> =
            visible.iter().filter(|(key, _)| key.0 == database).map(|(key, value)| (key.1.as_str(), value)).collect();
        for key in KEYS {
            let value = access.value(key.as_bytes()).unwrap().map(|value| (value.bytes.to_vec(), value.expiry));
            assert_eq!(value.as_ref(), expected.get(key).copied(), "{at}: {database} {key}");
            assert_eq!(
                access.meta(key.as_bytes()).map(|meta| meta.expiry),
                value.as_ref().map(|value| value.1),
                "{at}"
            );
            assert_eq!(access.usage(key.as_bytes()).is_some(), value.is_some(), "{at}: {database} {key}");
        }
        assert_eq!(access.keys(), expected.len(), "{at}: the count of {database}");
        if walk {
            let mut seen = Vec::new();
            access.each_key(|key, meta| seen.push((String::from_utf8(key.to_vec()).unwrap(), meta.expiry)));
            seen.sort();
            let expected: Vec<_> = expected.iter().map(|(key, value)| ((*key).to_owned(), value.1)).collect();
            assert_eq!(seen, expected, "{at}: a walk over {database}");
        }
    }
}

/// Whatever else is done to the same few keys, inside and outside of transactions, committed or not.
#[test]
fn moves_go_with_everything_else() {
    let keys: Vec<_> = (0..DATABASES).flat_map(|database| KEYS.map(|key| (database, key.to_owned()))).collect();
    for seed in 0..50 {
        let mut rng = Rng::with_seed(seed);
        let (disk, mut runner) = begin();
        let mut done: Vec<String> = Vec::new();
        for round in 0..16 {
            let number = (round + 1) * 100;
            let now = runner.now();
            match rng.u8(..10) {
                0 => runner.clock.advance(std::time::Duration::from_millis(60)),
                1 => {
                    runner.keyspace().store().sync().unwrap();
                    demote(runner.keyspace());
                }
                2..6 => {
                    let step = step(&mut rng);
                    done.push(format!("{step:?}"));
                    let mut next = runner.history.last().unwrap().clone();
                    let expected = next.apply(&step, number, now);
                    let wait = runner.perform(&step, number).unwrap();
                    runner.compare_replies(&step, &expected).unwrap();
                    runner.keyspace().store().wait_acknowledged(wait).unwrap();
                    runner.history.push(next);
                }
                _ => {
                    let mut state = runner.history.last().unwrap().clone();
                    let mut access = runner.keyspace().access_all(0, Mode::Exclusive, now, true);
                    access.may_block = true;
                    for index in 0..rng.usize(1..9) {
                        let step = step(&mut rng);
                        done.push(format!("together {step:?}"));
                        let replies = effect(&mut access, &step, number + index).unwrap();
                        assert_eq!(replies, state.apply(&step, number + index, now), "seed {seed}, {done:?}");
                        assert_reads(&mut access, &state, false, &format!("seed {seed}, {done:?}"));
                    }
                    assert_reads(&mut access, &state, true, &format!("seed {seed}, {done:?}"));
                    if rng.u8(..5) == 0 {
                        done.push("dropped".to_owned());
                        drop(access);
                    } else {
                        let wait = access.commit().unwrap().0;
                        runner.keyspace().store().wait_acknowledged(wait).unwrap();
                        runner.history.push(state);
                    }
                }
            }
            let now = runner.now();
            let expected = runner.history.last().unwrap().visible(now);
            runner.keyspace().expire_due(now, usize::MAX);
            assert_eq!(contents(runner.keyspace(), &keys), Ok(expected), "seed {seed}, {done:?}");
            assert_counts(runner.keyspace(), &keys, &format!("seed {seed}, {done:?}"));
        }
        assert_same(&disk, &runner, &keys, &format!("seed {seed}, {done:?}"));
    }
}
