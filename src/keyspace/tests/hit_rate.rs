//! What is asked for often is in memory: hit rates of the keyspace with its hand under a limit, beside those of other caches of
//! the same size on the same requests. `cargo test --lib hit_rate -- --nocapture` prints them.

use std::sync::Arc;

use fastrand::Rng;

use super::super::{Halt, Keyspace, Mode, Pins};
use super::caches::{Cache, Clock, Lfu, Lru, S3Fifo};
use super::runner::{START, open};
use crate::store::Options;
use crate::store::disk::SimDisk;

const KEYS: usize = 20_000;
const VALUE_BYTES: usize = 1000;
/// What a value takes in memory: with its length and when it was last used.
const CACHED_BYTES: usize = VALUE_BYTES + 8;
/// Of all values, so many fit into memory.
const CACHED: usize = KEYS / 10;
const THETA: f64 = 0.99;

/// Draws keys, the one of rank `n` with a probability that goes as `n` to the minus 0.99.
struct Zipf {
    cumulated: Vec<f64>,
    keys: Vec<u32>,
    rng: Rng,
}

impl Zipf {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut keys: Vec<u32> = (0..KEYS as u32).collect();
        rng.shuffle(&mut keys);
        let mut sum = 0.0;
        let weights = (1..=KEYS).map(|rank| (rank as f64).powf(-THETA));
        let cumulated = weights.map(|weight| {
            sum += weight;
            sum
        });
        Self { cumulated: cumulated.collect(), keys, rng }
    }

    fn next(&mut self) -> u32 {
        let drawn = self.rng.f64() * self.cumulated[KEYS - 1];
        self.keys[self.cumulated.partition_point(|&sum| sum <= drawn).min(KEYS - 1)]
    }

    fn take(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.next()).collect()
    }
}

/// The keyspace under a limit that leaves room for the values of a tenth of its keys, less what is kept free.
struct Ours {
    keyspace: Keyspace,
    requests: usize,
}

impl Ours {
    fn new() -> Self {
        let keyspace = open(Arc::new(SimDisk::new()), START, Options::default()).unwrap();
        for number in 0..KEYS as u32 {
            let key = number.to_be_bytes();
            let mut access = keyspace.access_one(0, &key, Mode::Exclusive, keyspace.now(), false);
            access.put(&key, 0, &value(number), None).unwrap();
        }
        keyspace.store().sync().unwrap();
        let limit = keyspace.memory_use().bare() + (CACHED * CACHED_BYTES) as u64;
        keyspace.set_memory_limit(limit);
        keyspace.govern(0);
        let ours = Self { keyspace, requests: 0 };
        ours.assert_within();
        ours
    }

    fn assert_within(&self) {
        let memory = self.keyspace.memory_use();
        assert!(memory.values <= (CACHED * CACHED_BYTES) as u64, "{} bytes of values", memory.values);
    }
}

fn value(number: u32) -> Vec<u8> {
    number.to_be_bytes().repeat(VALUE_BYTES / 4)
}

impl Cache for Ours {
    fn get(&mut self, number: u32) -> bool {
        let (keyspace, key) = (&self.keyspace, number.to_be_bytes());
        let slot = keyspace.slot(&key);
        let keydir = keyspace.bound.databases[0].load();
        let is_there = keydir.usage(&slot, &key).unwrap().0.is_some();
        let mut pins = Pins::default();
        loop {
            let mut access = keyspace.access_one(0, &key, Mode::Shared, keyspace.now(), false);
            access.pins = pins.clone();
            match access.view(&key, |view| assert!(view.value == value(number))) {
                Ok(found) => {
                    assert!(found.is_some());
                    break;
                }
                Err(Halt::Cold(cold)) => {
                    drop(access);
                    cold.into_iter().for_each(|cold| pins.add(cold.fetch(keyspace)));
                }
                Err(halt) => panic!("{halt:?}"),
            }
        }
        self.requests += 1;
        if self.requests.is_multiple_of(8) {
            // More often than what is kept free is taken.
            keyspace.govern(0);
            self.assert_within();
        }
        is_there
    }
}

fn all() -> [(&'static str, Box<dyn Cache>); 5] {
    [
        ("this keyspace", Box::new(Ours::new())),
        ("LRU", Box::new(Lru::new(CACHED))),
        ("LFU", Box::new(Lfu::new(CACHED))),
        ("CLOCK", Box::new(Clock::new(CACHED))),
        ("S3-FIFO", Box::new(S3Fifo::new(CACHED))),
    ]
}

/// The part of the requests whose values were there.
fn hit_rate(cache: &mut dyn Cache, requests: &[u32]) -> f64 {
    requests.iter().filter(|&&key| cache.get(key)).count() as f64 / requests.len() as f64
}

fn print_row(name: &str, rates: &[f64]) {
    let cells: Vec<String> = rates.iter().map(|rate| format!("{rate:.4}")).collect();
    println!("| {name} | {} |", cells.join(" | "));
}

#[test]
fn what_is_asked_for_often_is_in_memory_at_least_as_often_as_with_lru() {
    let mut zipf = Zipf::new(1);
    let (before, measured) = (zipf.take(10 * KEYS), zipf.take(10 * KEYS));
    let rates = all().map(|(name, mut cache)| {
        hit_rate(&mut *cache, &before);
        let rate = hit_rate(&mut *cache, &measured);
        print_row(name, &[rate]);
        rate
    });
    let [ours, lru, _, clock, s3_fifo] = rates;
    assert!(ours > lru + 0.03 && ours > clock, "{ours} with an LRU of {lru}, a CLOCK of {clock}");
    assert!(ours > s3_fifo - 0.005, "{ours} with an S3-FIFO of {s3_fifo}");
}

#[test]
fn whoever_reads_everything_once_sends_nothing_away_that_others_ask_for() {
    let mut zipf = Zipf::new(2);
    let (before, measured) = (zipf.take(10 * KEYS), zipf.take(KEYS));
    // A sweep over all keys, with as many other requests in its midst.
    let sweep: Vec<u32> = (0..KEYS as u32).flat_map(|key| [key, zipf.next()]).collect();
    let after = zipf.take(KEYS / 2);
    let rates = all().map(|(name, mut cache)| {
        hit_rate(&mut *cache, &before);
        let undisturbed = hit_rate(&mut *cache, &measured);
        let meanwhile = sweep.chunks(2).filter(|two| {
            cache.get(two[0]);
            cache.get(two[1])
        });
        let meanwhile = meanwhile.count() as f64 / KEYS as f64;
        let after = hit_rate(&mut *cache, &after);
        print_row(name, &[undisturbed, meanwhile, after]);
        (undisturbed, meanwhile, after)
    });
    let [ours, lru, ..] = rates;
    assert!(ours.1 > ours.0 - 0.02 && ours.2 > ours.0 - 0.02, "{ours:?}");
    assert!(lru.1 < lru.0 - 0.02, "a sweep that costs an LRU nothing shows nothing: {lru:?}");
}

/// Whatever was used often before, what is used often now is soon in memory.
#[test]
fn what_is_asked_for_now_takes_the_place_of_what_was_asked_for_before() {
    let (mut before, mut now) = (Zipf::new(3), Zipf::new(4));
    let (before, first, second) = (before.take(10 * KEYS), now.take(5 * KEYS), now.take(5 * KEYS));
    let rates = all().map(|(name, mut cache)| {
        hit_rate(&mut *cache, &before);
        let rates = [hit_rate(&mut *cache, &first), hit_rate(&mut *cache, &second)];
        print_row(name, &rates);
        rates
    });
    let [ours, lru, lfu, ..] = rates;
    let keeps_up = |rates: [f64; 2]| rates[0] > lru[0] - 0.05 && rates[1] > lru[1];
    assert!(keeps_up(ours), "{ours:?} with an LRU of {lru:?}");
    assert!(!keeps_up(lfu), "a change that costs an LFU nothing shows nothing: {lfu:?}");
}
