//! What was seen stays seen, by everyone.

use std::sync::atomic::{AtomicI64, Ordering};

use super::{Working, number, together};
use crate::connection::Connection;
use crate::server::{Program, Server};

const KEYS: usize = 4;
const WRITES: i64 = 1_500;

fn key(number: usize) -> String {
    format!("key:{number}")
}

/// One writer for each key writes rising numbers; what anyone was told, or any answer said, is a floor for every
/// request that begins later, on whatever connection.
#[test]
fn reads_never_go_back() {
    for policy in ["always", "everysec"] {
        let server = Server::start(Program::Caskade, &["--appendfsync", policy]);
        let floors: [AtomicI64; KEYS] = Default::default();
        let writers = Working::new(KEYS);
        let writes = if policy == "always" { WRITES / 5 } else { WRITES };
        together(KEYS * 4, |client| {
            let which = client % KEYS;
            let (name, floor) = (key(which), &floors[which]);
            let mut connection = server.connect();
            if client < KEYS {
                let _at_work = writers.one();
                for value in 1..=writes {
                    connection.ask(&["SET", &name, &value.to_string()]);
                    floor.fetch_max(value, Ordering::SeqCst);
                }
                return;
            }
            while writers.goes_on() {
                let least = floor.load(Ordering::SeqCst);
                let seen = read(&mut connection, &name, client);
                assert!(seen >= least, "{name} was {least} and is {seen} for client {client} ({policy})");
                floor.fetch_max(seen, Ordering::SeqCst);
            }
        });
    }
}

/// By every way of reading.
fn read(connection: &mut Connection, name: &str, client: usize) -> i64 {
    match client % 3 {
        0 => number(&connection.ask(&["GET", name])),
        1 => number(&connection.ask(&["MGET", name]).elements().expect("an array")[0]),
        _ => number(&super::transact(connection, &[&["GET", name]]).expect("EXEC")[0]),
    }
}
