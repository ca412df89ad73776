//! What INFO says of memory, and that memory which is no longer needed goes back to the system.
//!
//! Always true: what is waited for is seen from outside or asked for by a client that does nothing else.

use crate::connection::Connection;
use crate::server::{Program, Server, wait_until};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// How long freed memory may stay: a second until it counts as unneeded, a second until somebody looks, and reserves.
const SOON: Duration = Duration::from_secs(6);

const MEGABYTE: u64 = 1 << 20;

/// INFO memory, all of it as of one moment.
struct Memory(String);

impl Memory {
    fn ask(connection: &mut Connection) -> Memory {
        let reply = connection.ask(&["INFO", "memory"]);
        Memory(String::from_utf8_lossy(reply.bytes().expect("INFO is text")).into_owned())
    }

    fn field(&self, name: &str) -> &str {
        let value = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    fn number(&self, name: &str) -> u64 {
        self.field(name).parse().unwrap_or_else(|_| panic!("{name} is no number in {}", self.0))
    }

    fn used(connection: &mut Connection) -> u64 {
        Memory::ask(connection).number("used_memory")
    }
}

/// Sends one command for each of `keys`, in pipelines.
fn each(connection: &mut Connection, keys: impl Iterator<Item = usize>, command: impl Fn(&str) -> Vec<Vec<u8>>) {
    let keys: Vec<String> = keys.map(|key| format!("key:{key}")).collect();
    for some in keys.chunks(1000) {
        let requests: Vec<u8> = some.iter().flat_map(|key| crate::connection::encode(&command(key))).collect();
        connection.send_raw(&requests).expect("to send");
        for _ in some {
            let reply = connection.receive().expect("an answer");
            assert!(!reply.is_error(), "{reply:?}");
        }
    }
}

#[test]
fn info_tells_what_is_allocated_and_what_is_resident() {
    let server = Server::start(Program::Caskade, &[]);
    let mut client = server.connect();
    let before = Memory::used(&mut client);
    assert!((1..16 * MEGABYTE).contains(&before), "{before}");
    client.ask(&[b"SET", &b"k"[..], &vec![b'v'; 64 << 20]]);
    // What the value went through on its way to memory is freed bit by bit.
    wait_until("the value to be counted once", PATIENCE, || {
        (before + 64 * MEGABYTE..before + 80 * MEGABYTE).contains(&Memory::used(&mut client))
    });
    let memory = Memory::ask(&mut client);
    let [used, own, resident] =
        ["used_memory", "allocator_resident", "used_memory_rss"].map(|name| memory.number(name));
    assert!(used < own && own < resident, "{used}, {own} and {resident} bytes");
    assert_eq!(memory.field("mem_fragmentation_ratio"), format!("{:.2}", resident as f64 / used as f64));
    assert!(memory.field("mem_allocator").starts_with("mimalloc-"));
    client.ask(&["DEL", "k"]);
    wait_until("the value to be gone", PATIENCE, || Memory::used(&mut client) < before + 8 * MEGABYTE);
}

#[test]
fn the_memory_of_a_large_value_goes_back_to_the_system_though_nobody_asks_for_anything() {
    let server = Server::start(Program::Caskade, &[]);
    let mut client = server.connect();
    client.ask(&[b"SET", &b"k"[..], &vec![b'v'; 64 << 20]]);
    let filled = server.memory();
    assert!(filled > 64 * MEGABYTE, "{filled}");
    client.ask(&["DEL", "k"]);
    wait_until("memory to be given back", SOON, || server.memory() < 24 * MEGABYTE);
}

#[test]
fn the_memory_of_many_keys_goes_back_to_the_system_whoever_frees_it() {
    const KEYS: usize = 100_000;
    let server = Server::start(Program::Caskade, &["--worker-threads", "2"]);
    let [mut one, mut other] = [server.connect(), server.connect()];
    let set = |key: &str| vec![b"SET".to_vec(), key.into(), vec![b'v'; 1000]];
    each(&mut one, 0..KEYS / 2, set);
    each(&mut other, KEYS / 2..KEYS, set);
    let filled = server.memory();
    assert!(filled > 120 * MEGABYTE, "{filled}");
    // A thread that deletes here and there takes its memory back, and then does nothing while another frees the rest.
    each(&mut one, (0..KEYS).step_by(3), |key| vec![b"DEL".to_vec(), key.into()]);
    other.ask(&["FLUSHALL"]);
    wait_until("memory to be given back", PATIENCE, || server.memory() < filled / 3);
}
