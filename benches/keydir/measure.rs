//! Memory and time of a keyspace in this process, which does nothing else.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use caskade::allocator;
use caskade::keyspace::{Keyspace, Mode};
use caskade::store::Options;
use caskade::store::clock::SystemClock;
use caskade::store::disk::OsDisk;
use caskade::types::kind::Kind;

use super::{key, value};

/// The first argument of a process that is to measure; the second is one of the two steps.
pub const COMMAND: &str = "measure";
pub const FILL: &str = "fill";
pub const RESTART: &str = "restart";

/// How many changes are written to the log together.
const CHANGES_AT_ONCE: usize = 1000;

/// What a process takes, or how much more than before, and how long it took.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub allocated: u64,
    pub resident: u64,
    pub seconds: f64,
}

impl Memory {
    pub fn parse(line: &str) -> Self {
        let numbers: Vec<f64> = line.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        let [allocated, resident, seconds] = numbers[..] else { panic!("not a result: {line}") };
        Self { allocated: allocated as u64, resident: resident as u64, seconds }
    }

    fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").expect("this process's status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        let kibibytes = line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).expect("a number");
        Self { allocated: allocator::allocated(), resident: kibibytes << 10, seconds: 0.0 }
    }

    fn print_since(&self, start: Instant) {
        let seconds = start.elapsed().as_secs_f64();
        let now = Self::now();
        let more = |now: u64, before: u64| now.saturating_sub(before);
        println!("{} {} {seconds}", more(now.allocated, self.allocated), more(now.resident, self.resident));
    }
}

pub fn run(step: &str, directory: &str, count: usize) {
    let (before, start) = (Memory::now(), Instant::now());
    let keyspace = open(Path::new(directory));
    match step {
        RESTART => {
            before.print_since(start);
            assert_eq!(keyspace.size(0).keys, count);
        }
        _ => {
            let before = Memory::now();
            fill(&keyspace, count);
            before.print_since(start);
            let start = Instant::now();
            demote_all(&keyspace);
            before.print_since(start);
        }
    }
    keyspace.store().close().expect("to close");
}

fn open(directory: &Path) -> Keyspace {
    let disk = OsDisk::open(directory).expect("the directory");
    let clock = Arc::new(SystemClock::new());
    let opened = Keyspace::open(Arc::new(disk), clock, Options::default(), 1, &mut |_, _| {});
    let (keyspace, _) = opened.unwrap_or_else(|error| panic!("{error}"));
    keyspace.start_threads().expect("threads");
    keyspace
}

/// In the order of a shuffled deck, without a deck: a step that shares no factor with `count` visits every number.
fn fill(keyspace: &Keyspace, count: usize) {
    let step = (count * 5 / 8..).find(|step| is_coprime(*step, count)).expect("one");
    for number in 0..count {
        let key = key(number * step % count);
        let value = value(&key);
        let mut access = keyspace.access_one(0, &key, Mode::Exclusive, keyspace.now(), false);
        let put = access.put(&key, Kind::of_string(&value).0, &value, None);
        let Ok((position, _)) = put.and_then(|_| access.commit()) else { panic!("a key was refused") };
        if number % CHANGES_AT_ONCE == 0 {
            keyspace.store().wait_acknowledged(position).expect("to write");
        }
    }
    assert_eq!(keyspace.size(0).keys, count);
    keyspace.store().sync().expect("to sync");
}

fn is_coprime(mut a: usize, mut b: usize) -> bool {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

/// Sends all values back to the disk, by a limit that nothing fits into.
fn demote_all(keyspace: &Keyspace) {
    keyspace.set_memory_limit(1);
    let mut before = u64::MAX;
    while keyspace.memory_use().entries < before {
        before = keyspace.memory_use().entries;
        keyspace.govern(0);
    }
}
