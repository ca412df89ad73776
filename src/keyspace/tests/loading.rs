//! What a log says comes to the same however it is read back: from hints or from segments, in one thread or in several.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use fastrand::Rng;

use super::super::keydir::{SHARDS, Slot};
use super::super::loader::{FIRST_FREE_ID, Loader};
use super::super::{Keyspace, Mode};
use super::runner::START;
use crate::store::clock::TestClock;
use crate::store::disk::{Disk, SimDisk};
use crate::store::{Draft, Options, SegmentSize, Store};

const DATABASES: u32 = 3;

/// A key's value and expiry.
type Value = (Vec<u8>, Option<u64>);

/// What a log says, applied one by one.
#[derive(Default)]
struct Model {
    keyspaces: BTreeMap<(u32, Vec<u8>), Value>,
    bindings: BTreeMap<u32, u32>,
}

impl Model {
    fn of_database(&self, database: u32) -> BTreeMap<Vec<u8>, Value> {
        let id = self.bindings.get(&database).copied().unwrap_or(database);
        let here = self.keyspaces.iter().filter(|((keyspace, _), _)| *keyspace == id);
        here.map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }
}

/// A log of random records, closed.
fn written(random: &mut Rng, records: usize) -> (SimDisk, Model) {
    let (disk, mut model) = (SimDisk::new(), Model::default());
    let store = open_store(&disk);
    let mut ids: Vec<u32> = (0..DATABASES).collect();
    for number in 0..records {
        let id = *random.choice(&ids).unwrap();
        let key = format!("key {}", random.u32(0..60)).into_bytes();
        let slot = (id, key.clone());
        let expiry = random.bool().then(|| START + 1_000_000 + random.u64(0..1000));
        match random.u32(0..20) {
            0..10 => {
                let value = format!("{number}").repeat(random.usize(0..40)).into_bytes();
                store.append(&Draft { expiry, ..Draft::put(id, 0, &key, &value) }).unwrap();
                model.keyspaces.insert(slot, (value, expiry));
            }
            10..12 => {
                store.append(&Draft::delete(id, &key)).unwrap();
                model.keyspaces.remove(&slot);
            }
            12..14 => {
                store.append(&Draft::expire(id, &key, expiry)).unwrap();
                model.keyspaces.entry(slot).and_modify(|value| value.1 = expiry);
            }
            14..19 => {
                let source = *random.choice(&ids).unwrap();
                if source == id {
                    continue;
                }
                store.append(&Draft::move_key(id, &source.to_le_bytes(), 0, &key, expiry)).unwrap();
                model.keyspaces.remove(&slot);
                if let Some((value, _)) = model.keyspaces.remove(&(source, key)) {
                    model.keyspaces.insert(slot, (value, expiry));
                }
            }
            _ if number % 5 == 0 => {
                let (database, id) = (random.u32(0..DATABASES), FIRST_FREE_ID + number as u32);
                store.append(&Draft::bind(&database.to_le_bytes(), id)).unwrap();
                model.bindings.insert(database, id);
                ids.push(id);
            }
            _ => _ = store.sync(),
        }
    }
    store.close().unwrap();
    (disk, model)
}

fn options(load_threads: usize) -> Options {
    Options { segment_size: SegmentSize::Fixed(4096), load_threads, ..Options::default() }
}

fn open_store(disk: &SimDisk) -> Store {
    let clock = Arc::new(TestClock::new(START));
    Store::open(Arc::new(disk.clone()), clock, options(1), &mut Loader::default(), &mut |_, _| {}).unwrap().0
}

fn open(disk: &SimDisk, threads: usize) -> Keyspace {
    let clock = Arc::new(TestClock::new(START));
    Keyspace::open(Arc::new(disk.clone()), clock, options(threads), DATABASES, &mut |_, _| {}).unwrap().0
}

/// Compares every key, and what is counted of them.
fn compare(keyspace: &Keyspace, model: &Model, at: &str) {
    let mut live = 0;
    for database in 0..DATABASES {
        let expected = model.of_database(database);
        let keydir = keyspace.bound.databases[database as usize].load_full();
        let (mut bytes, mut volatile) = (0, 0);
        let mut access = keyspace.access_all(database, Mode::Shared, START, false);
        access.may_block = true;
        for (key, (value, expiry)) in &expected {
            let found = access.value(key).unwrap().unwrap_or_else(|| panic!("{at}: {database} has no {key:?}"));
            assert_eq!((&found.bytes[..], found.expiry), (&value[..], *expiry), "{at}: {key:?} of {database}");
            let slot = Slot::of_key(&keyspace.hasher, key);
            live += u64::from(keydir.meta(&slot, key).unwrap().location.length);
            bytes += keydir.usage(&slot, key).unwrap().2;
            volatile += usize::from(expiry.is_some());
        }
        drop(access);
        assert_eq!((keydir.keys(), keydir.volatile()), (expected.len(), volatile), "{at}: keys of {database}");
        assert_eq!(keydir.count_due(u64::MAX), volatile, "{at}: deadlines of {database}");
        assert_eq!(keydir.earliest_deadline(), expected.values().filter_map(|(_, expiry)| *expiry).min(), "{at}");
        // Values have been read, but not kept: an access keeps none.
        assert_eq!(keydir.footprint().bytes, bytes, "{at}: bytes of {database}");
    }
    assert_eq!(keyspace.store().status().bytes_live, live, "{at}: bytes that something refers to");
}

#[test]
fn a_log_comes_to_the_same_however_it_is_read() {
    for seed in 0..12 {
        let (disk, model) = written(&mut Rng::with_seed(seed), 700);
        let hints: Vec<String> = disk.list().unwrap().into_iter().filter(|name| name.ends_with(".hint")).collect();
        assert!(hints.len() > 5, "{} segments", hints.len());
        for kept in [hints.len(), hints.len() / 2, 0] {
            for threads in [1, 2, 5] {
                let disk = disk.after_kill();
                hints.iter().skip(kept).for_each(|name| disk.remove(name).unwrap());
                let keyspace = open(&disk, threads);
                compare(&keyspace, &model, &format!("seed {seed}, {kept} hints, {threads} threads"));
            }
        }
    }
}

/// Partitions are the keydir's shards: no two threads ever need the same one.
#[test]
fn a_partition_has_shards_of_its_own() {
    let mut shards = vec![HashSet::new(); crate::store::PARTITIONS];
    let mut random = Rng::with_seed(7);
    for _ in 0..200_000 {
        let hash = random.u64(..);
        shards[crate::store::partition_of(hash)].insert(Slot::of(hash).shard);
    }
    let each = SHARDS / crate::store::PARTITIONS;
    for (partition, shards) in shards.iter().enumerate() {
        assert_eq!(*shards, (partition * each..(partition + 1) * each).collect::<HashSet<_>>());
    }
}

/// Where the binding of a keyspace was lost with a damaged record, its keys are there still, and nobody's.
#[test]
fn a_keyspace_that_nobody_is_bound_to_is_given_to_nobody() {
    let disk = SimDisk::new();
    let store = open_store(&disk);
    for id in [FIRST_FREE_ID, FIRST_FREE_ID + 7, u32::MAX - 1] {
        store.append(&Draft::put(id, 0, b"of a lost keyspace", b"value")).unwrap();
    }
    store.append(&Draft::put(1, 0, b"key", b"value")).unwrap();
    store.close().unwrap();
    let open = || {
        let (clock, disk) = (Arc::new(TestClock::new(START)), Arc::new(disk.clone()));
        Keyspace::open(disk, clock, Options::default(), DATABASES, &mut |_, _| {}).unwrap().0
    };
    for _ in 0..10 {
        let keyspace = open();
        let mut access = keyspace.access_all(1, Mode::Exclusive, keyspace.now(), false);
        access.put(b"key", 0, b"value", None).unwrap();
        access.flush().unwrap();
        access.commit().unwrap();
        keyspace.store().close().unwrap();
        drop(keyspace);
        assert_eq!(open().size(1).keys, 0);
    }
}
