//! The memory limit and its policies: random commands beside a model that knows what each policy protects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use fastrand::Rng;

use super::super::evict::{Among, Choice, Choosing, Policy};
use super::super::keydir::SHARDS;
use super::super::{Access, End, Keyspace, Listener, Load, Mode};
use super::runner::{START, open, options};
use crate::store::clock::TestClock;
use crate::store::disk::SimDisk;
use crate::store::{Fsync, Options, Position};

const POLICIES: [Policy; 8] = [
    Policy::Never,
    Policy::Keys(Among::All, Choice::LeastRecent),
    Policy::Keys(Among::All, Choice::LeastFrequent),
    Policy::Keys(Among::All, Choice::Random),
    Policy::Keys(Among::Volatile, Choice::LeastRecent),
    Policy::Keys(Among::Volatile, Choice::LeastFrequent),
    Policy::Keys(Among::Volatile, Choice::Random),
    Policy::Keys(Among::Volatile, Choice::Soonest),
];

/// Who is told which keys went.
struct Told(Sender<(u32, Vec<u8>)>);

impl Listener for Told {
    fn expired(&self, _: u32, _: &[u8], _: Position) {}

    fn fields_expired(&self, _: u32, _: &[u8], _: bool, _: Position) {}

    fn evicted(&self, database: u32, key: &[u8], _: Position) {
        self.0.send((database, key.to_vec())).expect("the test is there");
    }

    fn changed(&self, _: &[u8]) {}

    fn rebound(&self) {}
}

/// A keyspace, what its keys are to be (their deadlines), and what is told of it.
struct Trial {
    keyspace: Keyspace,
    disk: Arc<SimDisk>,
    keys: BTreeMap<(u32, Vec<u8>), Option<u64>>,
    told: Receiver<(u32, Vec<u8>)>,
    evicted: u64,
}

fn listened(disk: &Arc<SimDisk>, options: Options) -> (Keyspace, Receiver<(u32, Vec<u8>)>) {
    let keyspace = open(disk.clone(), START, options).unwrap();
    let (tell, told) = channel();
    keyspace.watchers.set_listener(Box::new(Told(tell)));
    (keyspace, told)
}

impl Trial {
    fn new() -> Self {
        Self::with(options(Fsync::Everysec))
    }

    /// For many keys, in few segments.
    fn large() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let disk = Arc::new(SimDisk::new());
        let (keyspace, told) = listened(&disk, options);
        Self { keyspace, disk, keys: BTreeMap::new(), told, evicted: 0 }
    }

    fn put(&mut self, database: u32, key: &[u8], value: &[u8], deadline: Option<u64>) {
        let mut access = self.keyspace.access_one(database, key, Mode::Exclusive, self.keyspace.now(), false);
        access.put(key, 0, value, deadline).unwrap();
        self.keys.insert((database, key.to_vec()), deadline);
    }

    fn put_list(&mut self, database: u32, key: &[u8], elements: usize) {
        let mut access = self.keyspace.access_one(database, key, Mode::Exclusive, self.keyspace.now(), false);
        access.delete(key).unwrap();
        let mut list = access.edit_list(key).unwrap();
        (0..elements).for_each(|_| list.push(End::Right, &[b'e'; 100]));
        list.finish().unwrap();
        self.keys.insert((database, key.to_vec()), None);
    }

    /// Uses a key so often.
    fn read(&self, database: u32, key: &[u8], times: usize) {
        for _ in 0..times {
            let mut access = self.keyspace.access_one(database, key, Mode::Shared, self.keyspace.now(), false);
            access.may_block = true;
            access.touches = true;
            access.view(key, |_| ()).unwrap().expect("it is there");
        }
    }

    /// Takes what was told off the model; returns it.
    fn take_told(&mut self) -> Vec<(u32, Vec<u8>)> {
        let told: Vec<_> = self.told.try_iter().collect();
        for key in &told {
            self.keys.remove(key).unwrap_or_else(|| panic!("{key:?} was told twice, or was not there"));
        }
        self.evicted += told.len() as u64;
        told
    }

    /// The keyspace has the keys of the model, and has counted those that went.
    fn check(&self) {
        for database in 0..self.keyspace.databases() {
            let of = self.keys.iter().filter(|((of, _), _)| *of == database);
            let (keys, volatile) =
                of.fold((0, 0), |sum, (_, deadline)| (sum.0 + 1, sum.1 + usize::from(deadline.is_some())));
            let size = self.keyspace.size(database);
            assert_eq!((size.keys, size.volatile), (keys, volatile), "in {database}");
        }
        for ((database, key), deadline) in &self.keys {
            let mut access = self.keyspace.access_one(*database, key, Mode::Shared, self.keyspace.now(), false);
            let meta = access.meta(key).unwrap_or_else(|| panic!("{key:?} is gone"));
            assert_eq!(meta.expiry, *deadline);
        }
        assert_eq!(self.keyspace.evicted_keys(), self.evicted);
    }

    fn total(&self) -> u64 {
        self.keyspace.memory_use().total()
    }

    /// Waits until all that was deleted is free.
    fn settle(&self) {
        while self.keyspace.reclaimed_collections().0 > 0 {
            std::thread::yield_now();
        }
    }

    fn reopen(&mut self) {
        self.keyspace.store().sync().unwrap();
        let (keyspace, told) = listened(&self.disk, options(Fsync::Everysec));
        (self.keyspace, self.told, self.evicted) = (keyspace, told, 0);
    }
}

/// Whether the policy lets a key go.
fn may_go(policy: Policy, deadline: Option<u64>) -> bool {
    match policy {
        Policy::Never => false,
        Policy::Keys(Among::All, _) => true,
        Policy::Keys(Among::Volatile, _) => deadline.is_some(),
    }
}

/// After each turn of the governor the limit holds, or nothing is left that may go, and then whoever puts more in is refused.
/// No value goes while one may be sent back to the disk instead; nothing goes that is protected; after a restart, all of it is
/// as it was.
#[test]
fn limits_hold_and_what_the_policy_protects_stays() {
    for seed in 0..96u64 {
        let mut rng = Rng::with_seed(seed);
        let policy = POLICIES[seed as usize % POLICIES.len()];
        let mut trial = Trial::new();
        trial.keyspace.set_eviction_policy(policy);
        for step in 0..rng.usize(20..120) {
            for _ in 0..rng.usize(1..30) {
                let (database, key) = (rng.u32(..2), format!("key {}", rng.u32(..400)).into_bytes());
                let deadline = if rng.bool() { Some(trial.keyspace.now() + rng.u64(100_000..200_000)) } else { None };
                match rng.u32(..20) {
                    0 => trial.put_list(database, &key, rng.usize(1..300)),
                    1..=12 => trial.put(database, &key, &vec![b'v'; rng.usize(..300)], deadline),
                    _ if trial.keys.contains_key(&(database, key.clone())) => {
                        let mut access =
                            trial.keyspace.access_one(database, &key, Mode::Exclusive, trial.keyspace.now(), false);
                        assert!(access.delete(&key).unwrap());
                        drop(access);
                        trial.keys.remove(&(database, key));
                    }
                    _ => {}
                }
            }
            trial.keyspace.store().sync().unwrap();
            // What is being freed has to be waited for, and no key goes instead of it.
            trial.settle();
            let memory = trial.keyspace.memory_use();
            let limit = match rng.u32(..4) {
                0 => memory.total() + 1000,
                // Some values have to go, and no key.
                1 => memory.bare() + memory.values / 2 + 1,
                _ => memory.tables + rng.u64(1..=(memory.bare() - memory.tables).max(1)),
            };
            trial.keyspace.set_memory_limit(limit);
            let before = trial.keys.clone();
            let mut kept = trial.keyspace.govern(0);
            let mut evicted = kept.evicted;
            // What comes of it is seen by the next turn.
            while kept.evicted > 0 {
                trial.settle();
                kept = trial.keyspace.govern(0);
                evicted += kept.evicted;
            }
            let told = trial.take_told();
            trial.check();
            let at = format!("seed {seed}, step {step}, {policy:?}, limit {limit}, {memory:?}, {kept:?}");
            assert_eq!(evicted, told.len() as u64, "{at}");
            assert!(told.iter().all(|key| may_go(policy, before[key])), "{at}");
            let reserve = limit / 64;
            if memory.bare() + reserve <= limit {
                assert_eq!(told.len(), 0, "{at}: a key went where values could");
            }
            trial.settle();
            let is_left = trial.keys.values().any(|deadline| may_go(policy, *deadline));
            let refuses = trial.keyspace.is_out_of_memory();
            assert!(trial.total() <= limit || !is_left, "{at}: {} in use", trial.total());
            // Nothing is taken any more before all is in use.
            assert_eq!(refuses, trial.total() + reserve > limit, "{at}: {} in use", trial.total());
            assert!(trial.keyspace.has_memory(), "{at}: nobody waits for long");
            if rng.u32(..12) == 0 {
                trial.reopen();
                trial.keyspace.set_eviction_policy(policy);
                trial.check();
            }
        }
    }
}

/// Makes so many cold keys, and lets memory become too small for a part of them.
fn crowded(trial: &mut Trial, policy: Policy, keys: usize, deadline: impl Fn(usize) -> Option<u64>) {
    for number in 0..keys {
        trial.put(0, format!("key {number:05}").as_bytes(), b"value", deadline(number));
    }
    trial.keyspace.store().sync().unwrap();
    trial.keyspace.set_eviction_policy(policy);
    // All values are on the disk from now on, and no use is known.
    trial.keyspace.set_memory_limit(1);
    for _ in 0..10 {
        trial.keyspace.keep_within(Load { used: trial.total(), ..Load::default() }, false);
    }
    assert_eq!(trial.keyspace.memory_use().values, 0);
    // To put a key is a use, too.
    let keydir = trial.keyspace.bound.databases[0].load_full();
    for shard in 0..SHARDS {
        let mut bucket = Some(0);
        while let Some(from) = bucket {
            bucket = keydir.choose(shard, from, &mut Choosing::unused());
        }
    }
}

/// Has keys evicted until this part of their memory is free.
fn evict(trial: &mut Trial, part: f64) -> Vec<usize> {
    let memory = trial.keyspace.memory_use();
    let keep = memory.total() - (memory.entries as f64 * part) as u64;
    trial.keyspace.set_memory_limit(keep);
    trial.keyspace.govern(0);
    let told = trial.take_told();
    trial.check();
    let number = |key: &[u8]| String::from_utf8_lossy(&key[4..]).parse().unwrap();
    told.iter().map(|(_, key)| number(key)).collect()
}

#[test]
fn what_was_used_of_late_outlives_what_was_not() {
    let mut trial = Trial::new();
    crowded(&mut trial, Policy::Keys(Among::All, Choice::LeastRecent), 2000, |_| None);
    (0..2000).step_by(4).for_each(|number| trial.read(0, format!("key {number:05}").as_bytes(), 1));
    let went = evict(&mut trial, 0.5);
    assert!(went.len() > 500 && went.iter().all(|number| number % 4 != 0), "{went:?}");
    // Those that were used once are not used for ever.
    assert!(evict(&mut trial, 0.8).iter().any(|number| number % 4 == 0));
}

#[test]
fn what_is_often_used_outlives_what_was_used_once() {
    let mut trial = Trial::new();
    crowded(&mut trial, Policy::Keys(Among::All, Choice::LeastFrequent), 2000, |_| None);
    (0..2000).step_by(2).for_each(|number| trial.read(0, format!("key {number:05}").as_bytes(), 1));
    (0..2000).step_by(4).for_each(|number| trial.read(0, format!("key {number:05}").as_bytes(), 2));
    let first = evict(&mut trial, 0.4);
    assert!(first.len() > 500 && first.iter().all(|number| number % 2 == 1), "{first:?}");
    let second = evict(&mut trial, 0.5);
    assert!(second.len() > 300 && second.iter().all(|number| number % 4 != 0), "{second:?}");
}

#[test]
fn what_expires_soonest_goes_first_in_all_databases() {
    let mut trial = Trial::new();
    let now = trial.keyspace.now();
    crowded(&mut trial, Policy::Keys(Among::Volatile, Choice::Soonest), 1000, |number| {
        (number % 2 == 0).then_some(now + 1_000_000 - number as u64)
    });
    trial.put(1, b"key 20000", b"sooner than all others", Some(now + 10));
    trial.keyspace.store().sync().unwrap();
    let went = evict(&mut trial, 0.2);
    let expected: Vec<usize> = std::iter::once(20000).chain((0..1000).rev().filter(|number| number % 2 == 0)).collect();
    assert_eq!(went, expected[..went.len()]);
    assert!(went.len() > 100);
}

#[test]
fn while_nothing_may_change_nothing_is_evicted() {
    let mut trial = Trial::new();
    crowded(&mut trial, Policy::Keys(Among::All, Choice::Random), 100, |_| None);
    trial.keyspace.set_memory_limit(1);
    let kept = trial.keyspace.keep_within(Load { used: trial.total(), ..Load::default() }, false);
    assert!(kept.is_over && kept.evicted == 0);
    trial.check();
}

/// A key that is over, and not removed yet, is removed as one that expired.
#[test]
fn what_is_over_counts_as_expired() {
    let clock = Arc::new(TestClock::new(START));
    let disk = Arc::new(SimDisk::new());
    let (keyspace, _) = Keyspace::open(disk, clock.clone(), options(Fsync::Everysec), 2, &mut |_, _| {}).unwrap();
    for number in 0..100 {
        let key = format!("key {number}");
        let mut access = keyspace.access_one(0, key.as_bytes(), Mode::Exclusive, keyspace.now(), false);
        access.put(key.as_bytes(), 0, b"value", Some(START + 10)).unwrap();
    }
    clock.set_wall(START + 20);
    keyspace.store().sync().unwrap();
    keyspace.set_eviction_policy(Policy::Keys(Among::All, Choice::LeastRecent));
    keyspace.set_memory_limit(1);
    keyspace.govern(0);
    assert_eq!((keyspace.size(0).keys, keyspace.expired_keys(), keyspace.evicted_keys()), (0, 100, 0));
}

/// However many values there are, and however often they were used: while they can leave memory, nobody is refused and no key
/// goes, although one look at them comes to no end.
#[test]
fn nobody_is_refused_while_values_can_leave_memory() {
    const KEYS: usize = 150_000;
    for policy in [Policy::Never, Policy::Keys(Among::All, Choice::LeastRecent)] {
        let mut trial = Trial::large();
        trial.keyspace.set_eviction_policy(policy);
        for number in 0..KEYS {
            trial.put(0, format!("key {number}").as_bytes(), &[b'v'; 100], None);
        }
        trial.keyspace.store().sync().unwrap();
        for number in 0..KEYS {
            trial.read(0, format!("key {number}").as_bytes(), 3);
        }
        let memory = trial.keyspace.memory_use();
        let limit = memory.bare() + memory.values / 10;
        trial.keyspace.set_memory_limit(limit);
        let mut looks = 0;
        while trial.total() > limit - limit / 64 {
            looks += 1;
            assert!(looks < 100, "{:?} after {looks} looks", trial.keyspace.memory_use());
            trial.keyspace.govern(0);
            assert!(!trial.keyspace.is_out_of_memory(), "after {looks} looks");
        }
        assert!(looks > 1, "a look has its bounds");
        assert_eq!(trial.keyspace.evicted_keys(), 0);
    }
}

/// Tables count towards the limit, and so they shrink when keys go: else all keys would go for the room of those that were.
#[test]
fn tables_shrink_when_keys_go() {
    const KEYS: usize = 100_000;
    let mut trial = Trial::large();
    crowded(&mut trial, Policy::Keys(Among::All, Choice::Random), KEYS, |_| None);
    let before = trial.keyspace.memory_use();
    let limit = before.total() / 3;
    trial.keyspace.set_memory_limit(limit);
    for _ in 0..100 {
        trial.keyspace.govern(0);
    }
    trial.take_told();
    let after = trial.keyspace.memory_use();
    assert!(after.total() <= limit && after.tables < before.tables / 2, "{before:?}, {after:?}");
    assert!(trial.keys.len() > KEYS / 10, "{} keys are left", trial.keys.len());
    trial.check();
    for ((database, key), _) in std::mem::take(&mut trial.keys) {
        let mut access = trial.keyspace.access_one(database, &key, Mode::Exclusive, trial.keyspace.now(), false);
        assert!(access.delete(&key).unwrap());
    }
    assert!(trial.keyspace.memory_use().tables < before.tables / 10, "{:?}", trial.keyspace.memory_use());
}

/// Between the moment in which it is chosen and that in which its latch is held, a key may have become another.
#[test]
fn a_key_that_has_changed_since_it_was_chosen_stays() {
    let mut trial = Trial::new();
    let soon = Some(trial.keyspace.now() + 1000);
    let chosen = |trial: &Trial| {
        let keydir = trial.keyspace.bound.databases[0].load_full();
        let mut choosing = Choosing::all(Among::Volatile);
        for shard in 0..SHARDS {
            assert!(keydir.choose(shard, 0, &mut choosing).is_none());
        }
        (keydir, choosing.chosen.pop().expect("a key"))
    };
    let evict = |trial: &mut Trial, meanwhile: &dyn Fn(&mut Access<'_>)| {
        trial.put(0, b"key", b"value", soon);
        let (keydir, chosen) = chosen(trial);
        let mut access = trial.keyspace.access_one(0, b"key", Mode::Exclusive, trial.keyspace.now(), false);
        meanwhile(&mut access);
        drop(access);
        trial.keyspace.evict_one(0, &keydir, &chosen).unwrap().1
    };
    assert!(!evict(&mut trial, &|access| assert!(access.set_expiry(b"key", None).unwrap())));
    assert!(!evict(&mut trial, &|access| assert!(access.set_expiry(b"key", Some(START + 1_000_000)).unwrap())));
    assert!(!evict(&mut trial, &|access| access.put(b"key", 0, b"other", None).unwrap()));
    assert!(!evict(&mut trial, &|access| assert!(access.delete(b"key").unwrap())));
    assert!(evict(&mut trial, &|_| {}));
}
