//! The keys of a server before a workload, and what must stand in them after it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use super::workload::{Workload, key};
use crate::common::request::encode;
use crate::common::server::Server;

const KEYS_AT_ONCE: usize = 1000;

/// Gives each key its first value.
pub fn fill(server: &Server, workload: Workload, keys: usize) {
    server.fill((0..keys).map(key).map(|key| [key.to_vec(), workload.initial_value(&key)]));
}

/// Checks every key: counters must add up to the requests that were answered, other values begin with their key.
pub fn check(server: &Server, workload: Workload, keys: usize, requests: u64) {
    let mut stream = server.connect();
    let mut replies = BufReader::new(stream.try_clone().expect("the stream"));
    let mut sum = 0;
    for numbers in chunks(keys) {
        let words: Vec<_> = std::iter::once(b"MGET".to_vec()).chain(numbers.clone().map(|n| key(n).to_vec())).collect();
        stream.write_all(&encode(&words)).expect("to send");
        assert_eq!(line(&mut replies), format!("*{}", numbers.len()));
        for number in numbers {
            line(&mut replies);
            let value = line(&mut replies);
            match workload {
                Workload::Incr => sum += value.parse::<u64>().expect("a counter"),
                _ => assert_eq!(&value.as_bytes()[..16], key(number), "{} mixes values up", server.name()),
            }
        }
    }
    if workload == Workload::Incr {
        assert_eq!(sum, requests, "{} lost or repeated an INCR", server.name());
    }
}

fn chunks(keys: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..keys).step_by(KEYS_AT_ONCE).map(move |first| first..keys.min(first + KEYS_AT_ONCE))
}

fn line(replies: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    replies.read_line(&mut line).expect("a reply");
    line.trim_end().to_owned()
}
