//! How many bytes a key takes in memory, and how long a restart takes: `cargo bench --bench keydir`.
//!
//! Always true: each measurement runs in a process of its own, so that none sees the memory of another. The bench
//! fails when a key whose value is on the disk takes more than [`BYTES_MAX`].

#[path = "../common/mod.rs"]
mod common;

mod measure;
mod redis;

use std::process::{Command, ExitCode, Stdio};

use caskade::allocator;
use common::server::Program;
use common::{machine, page};
use measure::Memory;

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

/// The limit for a key of 16 bytes with its value cold, all included.
const BYTES_MAX: f64 = 64.0;

const KEY_BYTES: usize = 16;
const VALUE_BYTES: usize = 100;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |text: &String| text.parse::<usize>().unwrap_or_else(|_| panic!("{text} is no number of keys"));
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [measure::COMMAND, ..] => {
            allocator::configure();
            measure::run(&arguments[1], &arguments[2], number(&arguments[3]));
            ExitCode::SUCCESS
        }
        [] => compare(&[1_000_000, 10_000_000], true),
        ["--keys", _] => compare(&[number(&arguments[1])], false),
        _ => panic!("known is --keys NUMBER; without it, 1 and 10 million keys are measured"),
    }
}

fn compare(counts: &[usize], is_complete: bool) -> ExitCode {
    let (caskade, redis) = (Program::caskade(), Program::redis());
    let servers = std::iter::once(&caskade).chain(&redis).map(|program| (program.name, program.path.as_path()));
    let mut text = machine::describe(&servers.collect::<Vec<_>>());
    text.push_str("\n| keys | | bytes/key | resident bytes/key | seconds |\n| --- | --- | --- | --- | --- |\n");
    let mut is_within = true;
    for &count in counts {
        let (filled, restarted) = measure_caskade(count);
        let mut line = |what: &str, memory: &Memory| {
            let line = format!(
                "| {count} | {what} | {:.1} | {:.1} | {:.1} |\n",
                memory.allocated as f64 / count as f64,
                memory.resident as f64 / count as f64,
                memory.seconds
            );
            print!("{line}");
            text.push_str(&line);
        };
        line("Caskade, values of 100 bytes in memory", &filled[0]);
        line("Caskade, values sent to the disk", &filled[1]);
        line("Caskade, after a restart", &restarted);
        for cold in [&filled[1], &restarted] {
            is_within &= cold.allocated as f64 / count as f64 <= BYTES_MAX;
        }
        if let Some(redis) = &redis {
            line("Redis, values of 100 bytes", &redis::measure(redis, count, &value));
            line("Redis, keys alone", &redis::measure(redis, count, &|_| b"0".to_vec()));
        }
    }
    if is_complete && redis.is_some() {
        page::write("keydir", &text);
    }
    if is_within {
        return ExitCode::SUCCESS;
    }
    eprintln!("a key of {KEY_BYTES} bytes with its value on the disk takes more than {BYTES_MAX} bytes");
    ExitCode::FAILURE
}

/// With the values hot, then cold; and after a restart.
fn measure_caskade(count: usize) -> (Vec<Memory>, Memory) {
    let home = tempfile::Builder::new().prefix("caskade-bench-").tempdir().expect("a temporary directory");
    let step = |step: &str| {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.args([measure::COMMAND, step]).arg(home.path()).arg(count.to_string());
        // Freed pages count as resident until the allocator returns them, which it does later and bit by bit.
        command.env("MIMALLOC_PURGE_DELAY", "0");
        let output = command.stderr(Stdio::inherit()).output().expect("to start the measurement");
        assert!(output.status.success(), "{step} failed");
        String::from_utf8(output.stdout).expect("numbers").lines().map(Memory::parse).collect::<Vec<_>>()
    };
    (step(measure::FILL), step(measure::RESTART)[0])
}

fn key(number: usize) -> [u8; KEY_BYTES] {
    let text = format!("key:{number:012}");
    text.as_bytes().try_into().expect("12 digits")
}

fn value(key: &[u8]) -> Vec<u8> {
    key.iter().copied().cycle().take(VALUE_BYTES).collect()
}
