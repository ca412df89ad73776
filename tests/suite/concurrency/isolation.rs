//! Nobody sees half of anything.

use super::{Working, number, together, transact};
use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{Program, Server};

const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const WRITERS: usize = 6;
const READERS: usize = 6;
const WRITES: usize = 300;

/// Lets writers write and readers look until the writers are done.
fn look_while(
    server: &Server,
    write: impl Fn(&mut Connection, usize, usize) + Sync,
    look: impl Fn(&mut Connection, usize) + Sync,
) {
    let writers = Working::new(WRITERS);
    together(WRITERS + READERS, |client| {
        let mut connection = server.connect();
        if client < WRITERS {
            let _at_work = writers.one();
            (0..WRITES).for_each(|round| write(&mut connection, client, round));
        } else {
            while writers.goes_on() {
                look(&mut connection, client);
            }
        }
    });
}

fn set_at_once(connection: &mut Connection, value: &str) {
    let pairs = KEYS.iter().flat_map(|key| [*key, value]);
    connection.ask(&std::iter::once("MSET").chain(pairs).collect::<Vec<_>>());
}

fn set_in_transaction(connection: &mut Connection, value: &str) {
    let commands: Vec<[&str; 3]> = KEYS.iter().rev().map(|key| ["SET", key, value]).collect();
    transact(connection, &commands.iter().map(<[&str; 3]>::as_slice).collect::<Vec<_>>()).expect("EXEC");
}

fn delete_at_once(connection: &mut Connection) {
    connection.ask(&[&["DEL"], &KEYS[..]].concat());
}

/// The values as one client sees them at one moment.
fn values(connection: &mut Connection, in_transaction: bool) -> Vec<Reply> {
    if !in_transaction {
        return connection.ask(&[&["MGET"], &KEYS[..]].concat()).elements().expect("an array").to_vec();
    }
    let commands: Vec<[&str; 2]> = KEYS.iter().map(|key| ["GET", key]).collect();
    transact(connection, &commands.iter().map(<[&str; 2]>::as_slice).collect::<Vec<_>>()).expect("EXEC")
}

fn assert_whole(values: &[Reply]) {
    assert!(values.iter().all(|value| *value == values[0]), "half of something is seen: {values:?}");
}

#[test]
fn writes_of_several_keys_are_seen_whole() {
    let server = Server::start(Program::Caskade, &[]);
    let write = |connection: &mut Connection, client: usize, round: usize| {
        let value = format!("{client}.{round}");
        match round % 5 {
            4 => delete_at_once(connection),
            even if even % 2 == 0 => set_at_once(connection, &value),
            _ => set_in_transaction(connection, &value),
        }
    };
    look_while(&server, write, |connection, client| assert_whole(&values(connection, client.is_multiple_of(2))));
}

#[test]
fn flushall_is_seen_whole() {
    let server = Server::start(Program::Caskade, &[]);
    let write = |connection: &mut Connection, client: usize, round: usize| match client {
        0 => _ = connection.ask(&[if round.is_multiple_of(2) { "FLUSHALL" } else { "FLUSHDB" }]),
        1 => _ = transact(connection, &[&["FLUSHDB"], &["SET", "a", "1"], &["DEL", "a"]]),
        _ if round.is_multiple_of(2) => set_at_once(connection, &format!("{client}.{round}")),
        _ => set_in_transaction(connection, &format!("{client}.{round}")),
    };
    let look = |connection: &mut Connection, client: usize| {
        assert_whole(&values(connection, client.is_multiple_of(2)));
        let replies = transact(connection, &[&["DBSIZE"], &["EXISTS", "a"], &["DBSIZE"]]).expect("EXEC");
        let [before, exists, after] = [0, 1, 2].map(|index| number(&replies[index]));
        assert_eq!((before, after), (exists * KEYS.len() as i64, before), "{replies:?}");
    };
    look_while(&server, write, look);
}

#[test]
fn swapdb_is_seen_whole() {
    let server = Server::start(Program::Caskade, &[]);
    let mut connection = server.connect();
    set_at_once(&mut connection, "zero");
    connection.ask(&["SELECT", "1"]);
    set_at_once(&mut connection, "one");
    let write = |connection: &mut Connection, client: usize, _: usize| match client {
        0 => _ = connection.ask(&["SWAPDB", "0", "1"]),
        1 => _ = transact(connection, &[&["SWAPDB", "1", "0"], &["SWAPDB", "0", "1"]]),
        // The same count in both databases together, wherever they are.
        _ => _ = transact(connection, &[&["INCR", "n"], &["INCR", "m"]]),
    };
    let look = |connection: &mut Connection, client: usize| {
        let seen = values(connection, client.is_multiple_of(2));
        assert_whole(&seen);
        assert!(matches!(seen[0].bytes(), Some(b"zero" | b"one")), "{seen:?}");
        let both: [&[&str]; 4] =
            [&["SELECT", "0"], &["MGET", "a", "n", "m"], &["SELECT", "1"], &["MGET", "a", "n", "m"]];
        let replies = transact(connection, &both).expect("EXEC");
        let [first, second] = [1, 3].map(|index| replies[index].elements().expect("an array").to_vec());
        assert_ne!(first[0], second[0], "both databases are the same one");
        for counts in [&first, &second] {
            assert_eq!(number(&counts[1]), number(&counts[2]), "half a transaction is seen: {replies:?}");
        }
    };
    look_while(&server, write, look);
    let counts = [0, 1].map(|database: usize| {
        connection.ask(&["SELECT", &database.to_string()]);
        number(&connection.ask(&["GET", "n"]))
    });
    assert_eq!(counts.iter().sum::<i64>() as usize, (WRITERS - 2) * WRITES, "{counts:?}");
}
