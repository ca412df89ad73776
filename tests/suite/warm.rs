//! A restart forgets nothing of what was hot: it is in memory again before anybody asks for it, after an orderly end and after
//! a kill, within the memory limit.
//!
//! Always true: the page cache is emptied while the server is down, and where a look-up found its value is what the server
//! itself counts.

use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{Program, Server, wait_until};
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::time::{Duration, SystemTime};

const KEYS: usize = 8_000;
const VALUE_BYTES: usize = 4_000;
/// Every eighth key is one that is asked for again and again; these are 4 MB.
const HOT_EVERY: usize = 8;
const FIELDS: usize = 400;
const WITHIN: Duration = Duration::from_secs(60);

/// 32 MB of values, of which some are in use.
fn filled(limit: &str) -> (Server, Connection) {
    let server = Server::start(Program::Caskade, &["--maxmemory", limit, "--warm-restart-interval", "1"]);
    let mut client = server.connect();
    for number in 0..KEYS {
        client.send(&[b"SET".to_vec(), key(number), value(number)]).expect("to send");
    }
    for _ in 0..KEYS {
        assert_eq!(client.receive().expect("a reply"), Reply::Status(b"OK".to_vec()));
    }
    for number in 0..FIELDS {
        client.ask(&[b"HSET".to_vec(), b"hash".to_vec(), key(number), vec![b'f'; 500]]);
        client.ask(&[b"RPUSH".to_vec(), b"list".to_vec(), vec![b'l'; 500]]);
    }
    client.ask(&["SAVE"]);
    (server, client)
}

/// Asks for the keys that are in use; returns what share of them was found in memory.
fn keys_from_memory(client: &mut Connection) -> f64 {
    share_from_memory(client, |client| {
        for number in (0..KEYS).step_by(HOT_EVERY) {
            let reply = client.ask(&[b"GET".to_vec(), key(number)]);
            assert_eq!(reply, Reply::Bulk(value(number)), "key {number}");
        }
    })
}

/// The same of elements of large collections.
fn elements_from_memory(client: &mut Connection) -> f64 {
    share_from_memory(client, |client| {
        for number in 0..FIELDS {
            assert_eq!(client.ask(&[b"HGET".to_vec(), b"hash".to_vec(), key(number)]), Reply::Bulk(vec![b'f'; 500]));
            let index = number.to_string().into_bytes();
            assert_eq!(client.ask(&[b"LINDEX".to_vec(), b"list".to_vec(), index]), Reply::Bulk(vec![b'l'; 500]));
        }
    })
}

fn share_from_memory(client: &mut Connection, ask: impl Fn(&mut Connection)) -> f64 {
    let tiers = |client: &mut Connection| {
        let [memory, page_cache, disk] =
            ["hits_memory", "hits_page_cache", "hits_disk"].map(|name| field(client, name));
        (memory, memory + page_cache + disk)
    };
    let before = tiers(client);
    ask(client);
    let after = tiers(client);
    (after.0 - before.0) as f64 / (after.1 - before.1) as f64
}

/// Waits until nothing more is read back; how many values were.
fn read_back(client: &mut Connection) -> u64 {
    wait_until("the values to be read back", WITHIN, || {
        field(client, "warm_restart_values") > 0 && field(client, "warm_restart_running") == 0
    });
    field(client, "warm_restart_values")
}

#[test]
fn after_an_orderly_end_what_was_used_most_is_in_memory_again_where_not_all_fits() {
    let (mut server, mut client) = filled("20mb");
    // Now more is in memory than there is room for after the restart, and some of it is used again and again.
    client.ask(&["CONFIG", "SET", "maxmemory", "28mb"]);
    for number in 0..KEYS {
        client.ask(&[b"GET".to_vec(), key(number)]);
    }
    (0..4).for_each(|_| _ = keys_from_memory(&mut client));
    wait_until("what is in use to be in memory", WITHIN, || keys_from_memory(&mut client) > 0.99);
    assert!(server.terminate().success(), "{}", server.log());
    assert!(server.log().contains("values are in memory, which the next start reads back"), "{}", server.log());
    forget_pages(&server);
    server.restart_in_place();
    let mut client = server.connect();
    let values = read_back(&mut client);
    assert!(field(&mut client, "warm_restart_named") > values, "{values}");
    assert!(server.log().contains("there again, which is all that there is room for"), "{}", server.log());
    let share = keys_from_memory(&mut client);
    assert!(share > 0.99, "{share} of look-ups from memory, after {values} values were read back:\n{}", server.log());
    assert!(field(&mut client, "memory_counted") <= 20 << 20, "{}", field(&mut client, "memory_counted"));
    assert_eq!(field(&mut client, "evicted_keys"), 0);
}

#[test]
fn after_a_kill_what_was_written_down_last_is_in_memory_again() {
    let (mut server, mut client) = filled("0");
    let hot = server.data().join("hot");
    // One that was begun before may have been finished since: it is the one after it that tells all.
    let written = |since: SystemTime| hot.metadata().and_then(|file| file.modified()).is_ok_and(|at| at > since);
    for _ in 0..2 {
        let since = SystemTime::now();
        assert!(keys_from_memory(&mut client) > 0.99);
        wait_until("the file to be written", WITHIN, || written(since));
    }
    let all = KEYS + 2 * FIELDS;
    wait_until("the file to be told of", WITHIN, || field(&mut client, "hot_file_values") >= all as u64);
    assert!(field(&mut client, "hot_file_bytes") < 6 * all as u64);
    server.kill();
    forget_pages(&server);
    server.restart_in_place();
    let mut client = server.connect();
    let values = read_back(&mut client);
    let shares = [keys_from_memory(&mut client), elements_from_memory(&mut client)];
    assert_eq!(shares, [1.0; 2], "after {values} values were read back:\n{}", server.log());
    assert_eq!(field(&mut client, "cold_reads"), 0);
}

#[test]
fn without_the_file_or_with_warm_restart_no_all_is_cold() {
    let (mut server, mut client) = filled("0");
    assert_eq!([keys_from_memory(&mut client), elements_from_memory(&mut client)], [1.0; 2]);
    assert!(server.terminate().success());
    std::fs::remove_file(server.data().join("hot")).expect("the file");
    forget_pages(&server);
    server.restart_in_place();
    let mut client = server.connect();
    assert_eq!((field(&mut client, "warm_restart_named"), field(&mut client, "warm_restart_running")), (0, 0));
    assert_eq!([keys_from_memory(&mut client), elements_from_memory(&mut client)], [0.0; 2]);
    client.ask(&["CONFIG", "SET", "warm-restart", "no"]);
    assert!(server.terminate().success());
    let log = server.log();
    assert!(!log.contains("which the next start reads back"), "{log}");
}

fn key(number: usize) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

fn value(number: usize) -> Vec<u8> {
    format!("{number:08}").into_bytes().repeat(VALUE_BYTES / 8)
}

fn forget_pages(server: &Server) {
    for entry in std::fs::read_dir(server.data()).expect("the data directory") {
        // A hint that is being written gets another name meanwhile.
        let Ok(file) = File::open(entry.expect("an entry").path()) else { continue };
        fadvise(&file, 0, None, Advice::DontNeed).expect("advice to be taken");
    }
}

fn field(client: &mut Connection, name: &str) -> u64 {
    let info = client.ask(&["INFO", "everything"]);
    let text = String::from_utf8_lossy(info.bytes().expect("INFO is text")).into_owned();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("{name} in INFO")).parse().expect("a number")
}
