//! What a collection, or one element of it, takes in memory while its values are on the disk.

use std::fmt::Write as _;

use super::client::Client;
use super::content::{Shape, small_hashes};
use super::options::Options;
use crate::common::server::{Program, Server};

/// Bytes of each field and each value of the small hashes.
const SMALL_BYTES: usize = 20;

const ROWS: [&str; 5] = [
    "a hash of 5 fields, 20 bytes each, 20 bytes each value",
    "a field of a large hash, 16 bytes, value of 100",
    "a member of a large set, 16 bytes",
    "an element of a large list, 100 bytes",
    "a member of a large sorted set, 16 bytes",
];

#[derive(Clone, Copy)]
struct Bytes {
    used: f64,
    resident: f64,
}

pub fn measure(programs: &[Program], options: &Options) -> String {
    let count = options.elements;
    let mut text = format!(
        "\nBytes of memory, {count} of each: what INFO says is used more than by an empty server, by their number, and what \
         is resident more. Caskade is started again before, which leaves all values on the disk; *filled* is before that.\n\n\
         | | | used | resident |\n| --- | --- | --- | --- |\n"
    );
    for (row, what) in ROWS.iter().enumerate() {
        for program in programs {
            let mut server = program.start(None);
            let empty = now(&server);
            fill(&server, row, count);
            let mut line = |state: &str, server: &Server| {
                let now = now(server);
                let each = |now: f64, before: f64| (now - before) / count as f64;
                let (used, resident) = (each(now.used, empty.used), each(now.resident, empty.resident));
                let line = format!("| {what} | {}{state} | {used:.1} | {resident:.1} |", program.name);
                println!("{line}");
                let _ = writeln!(text, "{line}");
            };
            if program.name == "Redis" {
                line("", &server);
                continue;
            }
            line(", filled", &server);
            server.restart(false);
            line(", cold", &server);
        }
    }
    text
}

fn fill(server: &Server, row: usize, count: usize) {
    let mut client = Client::new(server);
    let shape = match row {
        0 => return small_hashes(&mut client, count, SMALL_BYTES),
        1 => Shape::Hash,
        2 => Shape::Set,
        3 => Shape::List,
        _ => Shape::SortedSet,
    };
    shape.add(&mut client, "collection", 0, count);
    assert_eq!(shape.length(&mut client, "collection"), count as i64);
}

fn now(server: &Server) -> Bytes {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).expect("the server's status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let resident = line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1024.0;
    Bytes { used: Client::new(server).info("used_memory") as f64, resident }
}
