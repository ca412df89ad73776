//! Values that are only on the disk: a request that needs them gets them, however many, and waits for no memory.
//!
//! Always true: the page cache is emptied first, so that the disk itself is read where the file system can tell the
//! two apart.

use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{Program, Server, wait_until};
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::time::Duration;

const KEYS: usize = 8_000;
const VALUE_BYTES: usize = 4_000;

/// 32 MB of values under a limit of 20 MB: most of them have left memory.
#[test]
fn many_cold_values_come_back_in_one_request() {
    let server = Server::start(Program::Caskade, &["--maxmemory", "20mb"]);
    let mut client = server.connect();
    for number in 0..KEYS {
        client.send(&[b"SET".to_vec(), key(number), value(number)]).expect("to send");
    }
    for _ in 0..KEYS {
        assert_eq!(client.receive().expect("a reply"), Reply::Status(b"OK".to_vec()));
    }
    client.ask(&["SAVE"]);
    wait_until("values to leave memory", Duration::from_secs(10), || {
        field(&mut client, "used_memory_dataset") < 18 << 20
    });

    let numbers: Vec<usize> = (0..KEYS).step_by(7).collect();
    let expected: Vec<Reply> = numbers.iter().map(|&number| Reply::Bulk(value(number))).collect();
    forget_pages(&server);
    let words = [b"MGET".to_vec()].into_iter().chain(numbers.iter().map(|&number| key(number)));
    let reply = client.ask(&words.collect::<Vec<_>>());
    assert_eq!(reply.elements().expect("an array"), expected, "MGET");

    forget_pages(&server);
    client.ask(&["MULTI"]);
    for &number in &numbers {
        client.ask(&[b"GET".to_vec(), key(number)]);
    }
    client.ask(&["BGSAVE"]);
    client.ask(&["INCR", "counter"]);
    let reply = client.ask(&["EXEC"]);
    let replies = reply.elements().expect("an array");
    assert_eq!(replies[..numbers.len()], expected, "EXEC");
    assert_eq!(replies[numbers.len() + 1..], [Reply::Integer(1)], "a transaction that ran again had no effect twice");

    forget_pages(&server);
    for &number in &numbers {
        client.send(&[b"GETRANGE".to_vec(), key(number), b"0".to_vec(), b"9".to_vec()]).expect("to send");
    }
    for &number in &numbers {
        assert_eq!(client.receive().expect("a reply"), Reply::Bulk(value(number)[..10].to_vec()), "a pipeline");
    }
    println!("{} values were read from the disk", field(&mut client, "cold_reads"));
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

/// So many requests are sent before the first reply is read.
const TOGETHER: usize = 250;

/// Bytes of `maxmemory`, for four times as many of values.
const LIMIT: u64 = 16 << 20;
const MANY_KEYS: usize = 64_000;

/// Loads, is read, and is there after a restart of either kind; nothing is lost for want of memory, and the limit holds.
#[test]
fn four_times_as_much_as_fits_into_memory_is_served() {
    let mut server = Server::start(Program::Caskade, &["--maxmemory", "16mb"]);
    let mut client = server.connect();
    let all: Vec<usize> = (0..MANY_KEYS).collect();
    for some in all.chunks(TOGETHER) {
        for &number in some {
            client.send(&[b"SET".to_vec(), key(number), kilobyte(number)]).expect("to send");
        }
        for _ in some {
            assert_eq!(client.receive().expect("a reply"), Reply::Status(b"OK".to_vec()));
        }
    }
    read_all(&server, &all);
    assert_eq!(server.terminate().code(), Some(0));
    server = server.restart();
    read_all(&server, &all);
    server = server.restart();
    read_all(&server, &all);
}

/// Reads one half by GETs of a pipeline and one by MGETs, from several connections, and looks at what the server takes then.
fn read_all(server: &Server, all: &[usize]) {
    forget_pages(server);
    std::thread::scope(|scope| {
        for quarter in all.chunks(all.len().div_ceil(4)) {
            scope.spawn(move || {
                let mut client = server.connect();
                for some in quarter.chunks(TOGETHER) {
                    let (single, together) = some.split_at(some.len() / 2);
                    for &number in single {
                        client.send(&[b"GET".to_vec(), key(number)]).expect("to send");
                    }
                    let words = [b"MGET".to_vec()].into_iter().chain(together.iter().map(|&number| key(number)));
                    client.send(&words.collect::<Vec<_>>()).expect("to send");
                    for &number in single {
                        assert_eq!(client.receive().expect("a reply"), Reply::Bulk(kilobyte(number)), "GET");
                    }
                    let expected: Vec<_> = together.iter().map(|&number| Reply::Bulk(kilobyte(number))).collect();
                    assert_eq!(client.receive().expect("a reply").elements(), Some(&expected[..]), "MGET");
                }
            });
        }
    });
    let mut client = server.connect();
    assert_eq!(client.ask(&["DBSIZE"]), Reply::Integer(all.len() as i64));
    assert_eq!(field(&mut client, "evicted_keys"), 0);
    wait_until("memory to be below its limit", Duration::from_secs(10), || field(&mut client, "used_memory") <= LIMIT);
    // As docs/operations.md has it.
    assert!(server.memory_max() <= LIMIT * 5 / 4 + (64 << 20), "{} bytes were resident", server.memory_max());
    let [disk, page_cache] = ["hits_disk", "hits_page_cache"].map(|name| field(&mut client, name));
    assert!(
        disk + page_cache > all.len() as u64 / 2,
        "{disk} values came from the disk, {page_cache} from the page cache"
    );
}

fn kilobyte(number: usize) -> Vec<u8> {
    format!("{number:08}").into_bytes().repeat(128)
}
