//! What connections read that nobody asked for on them: messages of channels, events of keys. Each scenario is played
//! on Caskade and on redis-server, and every connection must read the same on both.
//!
//! Always true: after each command every connection is asked for a mark and read up to it, so that nothing depends on how
//! fast a message arrives.

mod elements;
mod limits;
mod many;
mod random;
mod scenarios;
mod sorted_sets;

use std::collections::BTreeMap;

use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{Program, Server};
use crate::words;

/// A connection by its letter, and what it sends.
type Step = (char, &'static str);

/// The connections of a scenario.
struct Stage<'s> {
    server: &'s Server,
    protocol: u8,
    connections: BTreeMap<char, Connection>,
    marks: usize,
}

impl<'s> Stage<'s> {
    fn new(server: &'s Server, protocol: u8) -> Self {
        Self { server, protocol, connections: BTreeMap::new(), marks: 0 }
    }

    /// Sends a command; returns what each connection has read since the last one, with the replies of the sender.
    fn step(&mut self, (letter, line): Step) -> Vec<String> {
        let protocol = self.protocol;
        let server = self.server;
        let sender = self.connections.entry(letter).or_insert_with(|| server.connect_with(protocol));
        sender.send(&words::split(line).expect("a line of words")).expect("to send");
        let mut read = self.read_up_to_mark(letter);
        let others: Vec<char> = self.connections.keys().copied().filter(|other| *other != letter).collect();
        for other in others {
            read.append(&mut self.read_up_to_mark(other));
        }
        read
    }

    fn read_up_to_mark(&mut self, letter: char) -> Vec<String> {
        self.marks += 1;
        let mark = format!("mark {}", self.marks);
        let connection = self.connections.get_mut(&letter).expect("it is open");
        connection.send(&["PING", &mark]).expect("to send a mark");
        let is_mark = |reply: &Reply| match reply {
            Reply::Bulk(bytes) => bytes == mark.as_bytes(),
            Reply::Array(words) => {
                matches!(&words[..], [Reply::Bulk(pong), Reply::Bulk(text)] if pong == b"pong" && text == mark.as_bytes())
            }
            // Inside MULTI.
            _ => false,
        };
        let mut read = Vec::new();
        loop {
            let reply = connection.receive().expect("a reply");
            if is_mark(&reply) {
                return read;
            }
            assert!(!matches!(reply, Reply::Closed | Reply::Silent), "{letter} read {reply:?} after {read:?}");
            read.push(format!("{letter} reads {reply:?}"));
        }
    }
}

/// Plays a scenario; returns what was read after each step.
fn play(server: &Server, protocol: u8, steps: &[Step]) -> Vec<(Step, Vec<String>)> {
    let mut stage = Stage::new(server, protocol);
    steps.iter().map(|step| (*step, stage.step(*step))).collect()
}

#[test]
fn every_connection_reads_what_it_reads_from_redis() {
    let Some(oracle) = Program::oracle() else { return };
    compare(oracle, &[scenarios::ALL, elements::ALL].concat());
}

#[test]
fn every_connection_reads_what_it_reads_from_valkey() {
    if Program::Valkey.path().is_none() {
        return println!("skipped: CASKADE_VALKEY does not name a valkey-server");
    }
    compare(Program::Valkey, elements::LATER);
}

/// Plays scenarios on Caskade and on another server.
fn compare(other: Program, scenarios: &[(&str, &[Step])]) {
    let (ours, theirs) = (Server::start(Program::Caskade, &[]), Server::start(other, &[]));
    let mut differences = Vec::new();
    for (name, steps) in scenarios {
        for protocol in [2, 3] {
            for server in [&ours, &theirs] {
                let mut connection = server.connect();
                connection.ask(&["FLUSHALL"]);
                connection.ask(&["CONFIG", "SET", "notify-keyspace-events", ""]);
            }
            let (read, expected) = (play(&ours, protocol, steps), play(&theirs, protocol, steps));
            for ((step, read), (_, expected)) in read.iter().zip(&expected) {
                if read != expected {
                    differences
                        .push(format!("{name}, RESP{protocol}, {step:?}:\n  {read:?}\n  {other:?}: {expected:?}"));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
