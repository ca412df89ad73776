//! The hand sends back what may go and was not used of late, as much as is wanted, in small steps, everything in turn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use fastrand::Rng;
use proptest::prelude::*;

use super::super::collections::Object;
use super::super::entry::{CACHE_BYTES, Cached};
use super::super::hand::{Manner, STEP_ENTRIES_MAX, Step};
use super::super::keydir::{Keydir, SHARDS, Seen};
use super::super::memory::Room;
use super::super::shapes::Cursor;
use super::super::{End, Keyspace, Meta, Mode, Slot};
use super::runner::{DATABASES, START, open, options};
use crate::store::disk::SimDisk;
use crate::store::{Fsync, KeyHasher, Location};

/// A value in memory: of a key, or of an element of one.
type Owner = (u32, String, Vec<u8>);

/// How often it was used of late, and whether it may go.
type Held = BTreeMap<Owner, (u8, bool)>;

fn keyspace() -> Keyspace {
    open(Arc::new(SimDisk::new()), START, options(Fsync::Everysec)).unwrap()
}

fn put(keyspace: &Keyspace, database: u32, key: &str, value: &[u8]) {
    let mut access = keyspace.access_one(database, key.as_bytes(), Mode::Exclusive, keyspace.now(), false);
    access.put(key.as_bytes(), 0, value, None).unwrap();
}

fn put_hash(keyspace: &Keyspace, database: u32, key: &str, values: &[Vec<u8>]) {
    let mut access = keyspace.access_one(database, key.as_bytes(), Mode::Exclusive, keyspace.now(), false);
    let mut hash = access.edit_hash(key.as_bytes()).unwrap();
    for (number, value) in values.iter().enumerate() {
        hash.set(format!("field {number}").as_bytes(), value, None);
    }
    hash.finish().unwrap();
}

fn put_list(keyspace: &Keyspace, database: u32, key: &str, values: &[Vec<u8>]) {
    let mut access = keyspace.access_one(database, key.as_bytes(), Mode::Exclusive, keyspace.now(), false);
    let mut list = access.edit_list(key.as_bytes()).unwrap();
    values.iter().for_each(|value| list.push(End::Right, value));
    list.finish().unwrap();
}

fn objects(keyspace: &Keyspace) -> Vec<Arc<Object>> {
    let mut objects = Vec::new();
    keyspace.bound.objects.each(|object, _| objects.push(object.clone()));
    objects
}

/// What is in memory, of these keys and of all elements.
fn held(keyspace: &Keyspace, keys: &BTreeSet<(u32, String)>) -> Held {
    let mut held = Held::new();
    let may_go = |location| keyspace.store().is_written(location);
    for (database, key) in keys {
        let keydir = keyspace.bound.databases[*database as usize].load();
        let slot = keyspace.slot(key.as_bytes());
        if let Some((Some(_), uses, _)) = keydir.usage(&slot, key.as_bytes())
            && keydir.object(&slot, key.as_bytes()).is_none()
        {
            let location = keydir.meta(&slot, key.as_bytes()).unwrap().location;
            held.insert((*database, key.clone(), Vec::new()), (uses, may_go(location)));
        }
    }
    for object in objects(keyspace) {
        object.each_block(|entry| {
            if entry.value().bytes().is_some() {
                let owner = (u32::MAX, object.id.to_string(), entry.key().to_vec());
                held.insert(owner, (entry.uses(), may_go(entry.location())));
            }
        });
    }
    held
}

fn assert_counted_right(keyspace: &Keyspace) {
    let objects = objects(keyspace);
    assert!(objects.iter().all(|object| object.is_counted_right()));
    assert_eq!(keyspace.bound.objects.footprint().bytes, objects.iter().map(|object| object.bytes()).sum::<usize>());
}

/// Bytes that go when all values leave memory, of keys and elements whose values are in no buffer of their own.
fn values(keyspace: &Keyspace, keys: &BTreeSet<(u32, String)>) -> u64 {
    let mut values = 0;
    let mut add = |length: usize| values += (length + CACHE_BYTES) as u64;
    for (database, key) in keys {
        let keydir = keyspace.bound.databases[*database as usize].load();
        keydir.read(
            &keyspace.slot(key.as_bytes()),
            key.as_bytes(),
            None,
            |_| false,
            |seen| {
                if let Some(Seen::Hot(_, cached)) = seen {
                    cached.bytes().map(<[u8]>::len).into_iter().for_each(&mut add);
                }
            },
        );
    }
    for object in objects(keyspace) {
        object.each_block(|entry| entry.value().bytes().map(<[u8]>::len).into_iter().for_each(&mut add));
    }
    values
}

/// Keys and collections of random sizes; some are used, some are not written yet.
fn filled(rng: &mut Rng) -> (Keyspace, BTreeSet<(u32, String)>) {
    let (keyspace, mut keys) = (keyspace(), BTreeSet::new());
    let fill = |rng: &mut Rng, keys: &mut BTreeSet<(u32, String)>| {
        for _ in 0..rng.usize(1..40) {
            let (database, key) = (rng.u32(..DATABASES), format!("key {}", rng.u32(..1000)));
            let length = if rng.u32(..10) == 0 { 5000 } else { 200 };
            let value = |rng: &mut Rng| vec![b'v'; rng.usize(..length)];
            match rng.u32(..10) {
                0 | 1 => {
                    let values: Vec<_> = (0..rng.usize(1..700)).map(|_| value(rng)).collect();
                    let put = if rng.bool() { put_hash } else { put_list };
                    // Another type may be there.
                    let is_new = keys.insert((database, key.clone()));
                    if is_new {
                        put(&keyspace, database, &key, &values);
                    }
                }
                _ if keys.insert((database, key.clone())) => put(&keyspace, database, &key, &value(rng)),
                _ => {}
            }
        }
    };
    fill(rng, &mut keys);
    keyspace.store().sync().unwrap();
    fill(rng, &mut keys);
    for object in objects(&keyspace) {
        object.each_block(|entry| (0..rng.u32(..4)).for_each(|_| entry.touch(1)));
    }
    (keyspace, keys)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// One round after the other, at first small ones and then whole ones.
    #[test]
    fn what_leaves_memory_may_go_and_was_not_used(seed in any::<u64>()) {
        let mut rng = Rng::with_seed(seed);
        let (keyspace, keys) = filled(&mut rng);
        for round in 0..24 {
            let before = held(&keyspace, &keys);
            let total = keyspace.memory_use().total();
            let excess = if round % 6 == 5 { usize::MAX } else { rng.usize(1..20_000) };
            let (manner, most) = match rng.u32(..6) {
                0 => (Manner::All, excess),
                1 => (Manner::Renew { wanted: excess }, usize::MAX),
                _ => (Manner::Spare { ages: rng.bool() }, excess),
            };
            let spares = manner != Manner::All;
            let freed = keyspace.sweep_round(most, manner);
            let after = held(&keyspace, &keys);
            assert_counted_right(&keyspace);
            let (counted, is) = (keyspace.memory_use().values, values(&keyspace, &keys));
            // A value that is long has a buffer of its own, which is told from the block.
            prop_assert!((is..=is + 32 * keys.len() as u64).contains(&counted), "{counted} bytes of {is}");
            prop_assert_eq!(total - keyspace.memory_use().total(), freed as u64);
            prop_assert!(after.keys().all(|owner| before.contains_key(owner)));
            for (owner, (uses, may_go)) in &before {
                let is_spared = !may_go || (spares && *uses > 0);
                prop_assert!(after.contains_key(owner) || !is_spared, "{owner:?} is gone, used {uses} times");
                if let Some((uses_now, _)) = after.get(owner) {
                    prop_assert!(uses_now <= uses && uses - uses_now <= 1, "{owner:?}: {uses} to {uses_now}");
                }
            }
            if freed < excess {
                let left = before.iter().find(|(owner, (uses, may_go))| {
                    *may_go && (!spares || *uses == 0) && after.contains_key(*owner)
                });
                prop_assert!(left.is_none(), "{left:?} could have gone");
            }
        }
        put(&keyspace, 0, "something", b"that makes the rest be written");
        keyspace.store().sync().unwrap();
        prop_assert_eq!(keyspace.sweep_round(usize::MAX, Manner::All) > 0, true);
        prop_assert!(held(&keyspace, &keys).is_empty());
        prop_assert_eq!(keyspace.sweep_round(usize::MAX, Manner::All), 0);
    }
}

/// Each step of a walk through what `take` steps through looks at no more than it may; together they look at all.
fn assert_small_steps(entries: usize, take: &mut dyn FnMut(&mut Step<'_>) -> bool) {
    let (mut looked_at, mut freed) = (0, 0);
    loop {
        let mut step = Step::new(Manner::All, usize::MAX, &|_| true);
        let goes_on = take(&mut step);
        assert!(step.looked_at <= STEP_ENTRIES_MAX, "{} at once", step.looked_at);
        (looked_at, freed) = (looked_at + step.looked_at, freed + step.freed);
        if !goes_on {
            break;
        }
    }
    assert_eq!(looked_at, entries);
    assert!(freed >= entries * 8, "{freed}");
}

#[test]
fn a_step_looks_at_few_entries_of_a_large_collection() {
    let values = vec![b"a value".repeat(3); 10 * STEP_ENTRIES_MAX + 1];
    for put in [put_hash, put_list] {
        let keyspace = keyspace();
        put(&keyspace, 0, "large", &values);
        let (object, mut at) = (objects(&keyspace).remove(0), Cursor::default());
        assert_small_steps(values.len(), &mut |step| {
            let next = object.sweep(at, step);
            at = next.unwrap_or_default();
            next.is_some()
        });
        assert_eq!(object.sweep(Cursor::default(), &mut Step::new(Manner::All, 1, &|_| panic!("all are gone"))), None);
    }
}

#[test]
fn a_step_looks_at_few_entries_of_a_large_shard() {
    let hasher = KeyHasher::new([3; 16]);
    let keydir = Keydir::new(0, hasher.clone(), Default::default());
    let meta = Meta { location: Location { segment: 0, offset: 0, length: 0 }, kind: 0, expiry: None };
    let slots = (0u32..).map(|number| (number.to_be_bytes(), Slot::of_key(&hasher, &number.to_be_bytes())));
    let entries = 3 * STEP_ENTRIES_MAX;
    for (key, slot) in slots.filter(|(_, slot)| slot.shard == SHARDS - 1).take(entries) {
        keydir.upsert(&slot, &key, &meta, Cached::Inline(b"a longer value"), 0);
    }
    let before = keydir.footprint();
    let mut bucket = 0;
    assert_small_steps(entries, &mut |step| {
        let next = keydir.sweep(SHARDS - 1, bucket, step);
        bucket = next.unwrap_or_default();
        next.is_some()
    });
    let after = keydir.footprint();
    assert_eq!((after.bytes, after.bare), (before.bare, before.bare));
    assert!(before.bytes >= before.bare + entries * b"a longer value".len());
}

#[test]
fn a_step_ends_as_soon_as_enough_is_free() {
    let keyspace = keyspace();
    put_list(&keyspace, 0, "large", &vec![vec![b'v'; 1000]; 500]);
    put_hash(&keyspace, 0, "another", &vec![vec![b'v'; 1000]; 500]);
    keyspace.store().sync().unwrap();
    for _ in 0..20 {
        let freed = keyspace.sweep_round(10_000, Manner::All);
        assert!((10_000..11_100).contains(&freed), "{freed}");
    }
    assert_counted_right(&keyspace);
    // However much is wanted, what is large goes a few at a time.
    let object = objects(&keyspace).remove(1);
    object.each_block(|entry| assert!(entry.bytes() < 2000));
    let large = self::keyspace();
    put_list(&large, 0, "large", &vec![vec![b'v'; 300_000]; 20]);
    let mut step = Step::new(Manner::All, usize::MAX, &|_| true);
    assert!(objects(&large)[0].sweep(Cursor::default(), &mut step).is_some());
    assert!(step.looked_at < 5, "{}", step.looked_at);
}

/// What has gone comes back at once and is used; all others go before it goes again.
#[test]
fn the_hand_goes_on_where_it_was() {
    let keyspace = keyspace();
    let (mut keys, values) = (BTreeSet::new(), vec![vec![b'v'; 100]; 600]);
    for number in 0..600 {
        keys.insert((number % DATABASES, format!("key {number}")));
        put(&keyspace, number % DATABASES, &format!("key {number}"), &values[0]);
    }
    for number in 0..3 {
        put_hash(&keyspace, number, "hash", &values);
        put_list(&keyspace, number, "list", &values);
    }
    keyspace.store().sync().unwrap();
    let everything = held(&keyspace, &keys).len();
    assert_eq!(everything, 600 + 6 * 600);
    let mut gone = BTreeSet::new();
    // The last turn may go beyond where the first began.
    while gone.len() + 200 < everything {
        let before = held(&keyspace, &keys);
        assert!(keyspace.sweep_round(10_000, Manner::All) >= 10_000);
        let after = held(&keyspace, &keys);
        for owner in before.into_keys().filter(|owner| !after.contains_key(owner)) {
            bring_back(&keyspace, &owner);
            let is_first = gone.insert(owner.clone());
            assert!(is_first, "{owner:?} has gone before others had their turn");
        }
    }
}

fn bring_back(keyspace: &Keyspace, (database, key, element): &Owner) {
    let value = bytes::Bytes::from(vec![b'v'; 100]);
    if *database == u32::MAX {
        let object = keyspace.bound.objects.get(key.parse().unwrap()).unwrap();
        let mut at = None;
        object.each_block(|entry| at = at.or((entry.key() == element).then(|| entry.location())));
        return keyspace.bound.objects.warm(&object, element, at.unwrap(), &value, Room::Enough, 1);
    }
    let keydir = keyspace.bound.databases[*database as usize].load();
    let slot = keyspace.slot(key.as_bytes());
    let at = keydir.meta(&slot, key.as_bytes()).unwrap().location;
    keydir.warm(&slot, key.as_bytes(), at, &value, Room::Enough, 1);
}

/// In the middle of a command, values that are in the log may go, and those that are not stay; so it is undone as it was.
#[test]
fn the_hand_may_come_in_the_middle_of_a_command() {
    let values = vec![vec![b'v'; 100]; 300];
    for is_given_up in [false, true] {
        let keyspace = keyspace();
        put_hash(&keyspace, 0, "hash", &values);
        keyspace.store().sync().unwrap();
        let mut access = keyspace.access_one(0, b"hash", Mode::Exclusive, keyspace.now(), false);
        access.may_block = true;
        let mut hash = access.edit_hash(b"hash").unwrap();
        hash.set(b"field 0", b"another", None);
        hash.set(b"new", b"value", None);
        hash.remove(b"field 1");
        assert!(keyspace.sweep_round(usize::MAX, Manner::All) >= 298 * 100);
        let left: Vec<Vec<u8>> = held(&keyspace, &BTreeSet::new()).into_keys().map(|owner| owner.2).collect();
        assert_eq!(left, [b"field 0".to_vec(), b"new".to_vec()]);
        if is_given_up {
            drop(hash);
        } else {
            hash.finish().unwrap();
        }
        keyspace.sweep_round(usize::MAX, Manner::All);
        assert_counted_right(&keyspace);
        let hash = access.hash(b"hash").unwrap().unwrap();
        let found = [&b"field 0"[..], b"field 1", b"field 2", b"new"]
            .map(|field| hash.get(&mut access, field, |value, _| value.to_vec()).unwrap());
        let before = Some(vec![b'v'; 100]);
        let expected = match is_given_up {
            true => [before.clone(), before.clone(), before, None],
            false => [Some(b"another".to_vec()), None, before, Some(b"value".to_vec())],
        };
        assert_eq!(found, expected);
    }
}

/// The hand comes and goes while collections are written to, replaced and removed.
#[test]
fn memory_is_counted_right_where_the_hand_meets_those_that_write() {
    let keyspace = keyspace();
    let writing = std::sync::atomic::AtomicUsize::new(2);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (keyspace, writing) = (&keyspace, &writing);
            scope.spawn(move || {
                let key = format!("hash {writer}");
                for round in 0..60 {
                    put_hash(keyspace, 0, &key, &vec![vec![b'v'; 50 + round % 3]; 300]);
                    if round % 7 == 6 {
                        let mut access = keyspace.access_one(0, key.as_bytes(), Mode::Exclusive, keyspace.now(), false);
                        access.delete(key.as_bytes()).unwrap();
                    }
                    keyspace.store().tick().unwrap();
                }
                writing.fetch_sub(1, Relaxed);
            });
        }
        while writing.load(Relaxed) > 0 {
            keyspace.sweep_round(usize::MAX, Manner::All);
        }
    });
    // What was removed is taken apart by a thread, which has no more to do once it is alone with the table.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let is_counted_right = || {
        let objects = objects(&keyspace);
        objects.iter().all(|object| object.is_counted_right())
            && keyspace.bound.objects.footprint().bytes == objects.iter().map(|object| object.bytes()).sum::<usize>()
    };
    while !is_counted_right() {
        assert!(std::time::Instant::now() < deadline, "it comes to a wrong number");
        std::thread::yield_now();
    }
}
