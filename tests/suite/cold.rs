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
        let file = File::open(entry.expect("an entry").path()).expect("a file");
        fadvise(&file, 0, None, Advice::DontNeed).expect("advice to be taken");
    }
}

fn field(client: &mut Connection, name: &str) -> u64 {
    let info = client.ask(&["INFO", "everything"]);
    let text = String::from_utf8_lossy(info.bytes().expect("INFO is text")).into_owned();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("{name} in INFO")).parse().expect("a number")
}
