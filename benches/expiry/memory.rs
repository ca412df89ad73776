//! What a deadline takes in memory: the same keys with and without one, each in a process of its own.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use caskade::allocator;
use caskade::keyspace::{Keyspace, Mode};
use caskade::store::Options;
use caskade::store::clock::SystemClock;
use caskade::store::disk::OsDisk;
use caskade::types::kind::Kind;

/// The first argument of a process that is to measure.
pub const COMMAND: &str = "measure";

/// The limit for one deadline, all included.
pub const BYTES_MAX: f64 = 24.0;

/// How many changes are written to the log together.
const CHANGES_AT_ONCE: usize = 1000;

/// The values: of all lengths up to 128 in turn, so that it does not matter where the allocator rounds up; and some of one
/// length each.
const VALUES: [(&str, &str); 4] = [
    ("mixed", "values of 1 to 128 bytes in memory"),
    ("100", "values of 100 bytes in memory"),
    ("8", "values of 8 bytes in memory"),
    ("cold", "values on the disk"),
];

/// Within how long all keys expire, from an hour on.
const WITHIN: [(&str, u64); 3] = [("an hour", 3_600_000), ("a day", 86_400_000), ("30 days", 30 * 86_400_000)];

/// The table, and whether every deadline is within the limit.
pub fn compare(count: usize) -> (String, bool) {
    let mut text = format!(
        "\nBytes that the deadline of one of {count} keys takes, that in the key's own block included: what all take with deadlines more \
         than without, by the allocator's count, set in mixed order:\n\n| | all within | bytes |\n| --- | --- | --- |\n"
    );
    let mut is_within = true;
    for (values, described) in VALUES {
        let without = measure(values, 0, count);
        for (name, within) in WITHIN.into_iter().filter(|(_, within)| values == "mixed" || *within == WITHIN[0].1) {
            let with = measure(values, within, count);
            let each = (with as f64 - without as f64) / count as f64;
            let line = format!("| {described} | {name} | {each:.1} |\n");
            print!("{line}");
            text.push_str(&line);
            is_within &= each <= BYTES_MAX;
        }
    }
    (text, is_within)
}

fn measure(values: &str, within: u64, count: usize) -> u64 {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args([COMMAND, &format!("{values}:{within}"), &count.to_string()]);
    let output = command.stderr(Stdio::inherit()).output().expect("to start the measurement");
    assert!(output.status.success(), "the measurement failed");
    let text = String::from_utf8(output.stdout).expect("a number");
    text.trim().parse().expect("a number")
}

/// Prints what the keys take.
pub fn run(which: &str, count: usize) {
    let (values, within) = which.split_once(':').expect("values and a time");
    let within: u64 = within.parse().expect("milliseconds");
    let home = tempfile::Builder::new().prefix("caskade-bench-").tempdir().expect("a temporary directory");
    let disk = OsDisk::open(home.path()).expect("the directory");
    let clock = Arc::new(SystemClock::new());
    let opened = Keyspace::open(Arc::new(disk), clock, Options::default(), 1, &mut |_, _| {});
    let (keyspace, _) = opened.unwrap_or_else(|error| panic!("{error}"));
    keyspace.start_threads().expect("threads");
    let before = allocator::allocated();
    let mut random = fastrand::Rng::with_seed(7);
    let begin = keyspace.now() + 3_600_000;
    let mut deadline = || (within > 0).then(|| begin + random.u64(..within));
    let key = |number: usize| format!("key:{:012}", number * 7_919 % count);
    for number in 0..count {
        let (key, length) =
            (key(number), if values == "cold" { 100 } else { values.parse().unwrap_or(number % 128 + 1) });
        let value = vec![b'v'; length];
        let mut access = keyspace.access_one(0, key.as_bytes(), Mode::Exclusive, keyspace.now(), false);
        let put = access.put(key.as_bytes(), Kind::of_string(&value).0, &value, deadline());
        let Ok((position, _)) = put.and_then(|_| access.commit()) else { panic!("a key was refused") };
        if number % CHANGES_AT_ONCE == 0 {
            keyspace.store().wait_acknowledged(position).expect("to write");
        }
    }
    settle(&keyspace, values);
    println!("{}", allocator::allocated().saturating_sub(before));
    assert_eq!(keyspace.size(0).keys, count);
    keyspace.store().close().expect("to close");
}

/// Lets the log and, where they are to be cold, the values go out of memory.
fn settle(keyspace: &Keyspace, values: &str) {
    keyspace.store().sync().expect("to sync");
    if values == "cold" {
        keyspace.set_memory_limit(1);
        let mut before = u64::MAX;
        while keyspace.memory_use().entries < before {
            before = keyspace.memory_use().entries;
            keyspace.govern(0);
        }
    }
    // Hints and the index of what was retired are written behind.
    std::thread::park_timeout(Duration::from_millis(500));
}
