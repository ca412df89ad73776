//! 1,000 clients at once, writing one key, and a key each.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{Program, Server};

const CLIENTS: usize = 1_000;
const ROUNDS: usize = 10;

/// 1,000 connections, each with a request under way at the same time in each round.
struct Crowd {
    connections: Vec<Connection>,
}

impl Crowd {
    fn new(server: &Server) -> Crowd {
        let limit = getrlimit(Resource::Nofile);
        // Reader and writer of a connection are a descriptor each, and other tests run beside this one.
        let wanted = limit.current.unwrap_or(u64::MAX).max(4_096);
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit }).expect("descriptors for 1,000 clients");
        Crowd { connections: (0..CLIENTS).map(|_| server.connect()).collect() }
    }

    /// Everyone asks before anyone reads an answer.
    fn all_ask(&mut self, words: impl Fn(usize) -> Vec<String>) -> Vec<Reply> {
        for (client, connection) in self.connections.iter_mut().enumerate() {
            connection.send(&words(client)).expect("to send");
        }
        self.connections.iter_mut().map(|connection| connection.receive().expect("a reply")).collect()
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn a_thousand_clients_write_one_key() {
    let server = Server::start(Program::Caskade, &[]);
    let mut crowd = Crowd::new(&server);
    for round in 0..ROUNDS {
        let value = |client: usize| format!("round {round} of client {client}, {}", "x".repeat(client % 200));
        let replies = crowd.all_ask(|client| words(&["SET", "key", &value(client)]));
        assert!(replies.iter().all(|reply| *reply == Reply::Status(b"OK".to_vec())), "{replies:?}");
        let seen = crowd.all_ask(|_| words(&["GET", "key"]));
        assert!(seen.iter().all(|reply| *reply == seen[0]), "all are told the same when nobody writes");
        let written = |client| seen[0] == Reply::Bulk(value(client).into_bytes());
        assert!((0..CLIENTS).any(written), "{:?} was not written in round {round}", seen[0]);
        let counts = crowd.all_ask(|_| words(&["INCR", "count"]));
        let mut counts: Vec<i64> = counts.iter().map(|reply| reply.integer().expect("a number")).collect();
        counts.sort_unstable();
        assert!(counts.into_iter().eq((round * CLIENTS + 1) as i64..=((round + 1) * CLIENTS) as i64), "INCR lost some");
    }
    let last = server.connect().ask(&["GET", "key"]);
    drop(crowd);
    assert_eq!(server.restart().connect().ask(&["GET", "key"]), last, "after kill -9");
}

#[test]
fn a_thousand_clients_write_a_key_each() {
    let server = Server::start(Program::Caskade, &[]);
    let mut crowd = Crowd::new(&server);
    let value = |client: usize, round: usize| format!("{round}:{client}:{}", "y".repeat(client % 300));
    for round in 0..ROUNDS {
        let replies = crowd.all_ask(|client| words(&["SET", &format!("key:{client}"), &value(client, round)]));
        assert!(replies.iter().all(|reply| *reply == Reply::Status(b"OK".to_vec())), "{replies:?}");
        // Everyone reads the neighbour's: what was acknowledged to one is there for all.
        let replies = crowd.all_ask(|client| words(&["GET", &format!("key:{}", (client + 1) % CLIENTS)]));
        for (client, reply) in replies.into_iter().enumerate() {
            assert_eq!(reply, Reply::Bulk(value((client + 1) % CLIENTS, round).into_bytes()), "read by {client}");
        }
    }
    drop(crowd);
    let server = server.restart();
    let mut connection = server.connect();
    assert_eq!(connection.ask(&["DBSIZE"]), Reply::Integer(CLIENTS as i64));
    for client in 0..CLIENTS {
        let found = connection.ask(&["GET", &format!("key:{client}")]);
        assert_eq!(found, Reply::Bulk(value(client, ROUNDS - 1).into_bytes()), "after kill -9");
    }
}
