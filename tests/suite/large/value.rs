//! One value of a hundred megabytes in a hash.

use super::{Diary, MEGABYTE, PATIENCE, end_and_start, info, is_within};
use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{Program, Server, number, wait_until};

const VALUE_BYTES: u64 = 4 * MEGABYTE;

/// What a server takes that has nothing of the kind.
const BASE: u64 = 64 * MEGABYTE;

/// How often the value may be in memory at once.
const COPIES: u64 = 6;

#[test]
fn a_large_value_in_a_hash_is_kept() {
    let bytes = number("CASKADE_LARGE_VALUE_BYTES", VALUE_BYTES);
    let limit = BASE + COPIES * bytes;
    let title = format!("a value of {bytes} bytes in a hash");
    let mut diary = Diary::new(&title);
    // A quarter of it is for clients, of whom one sends the value.
    let maxmemory = (BASE + 4 * bytes).to_string();
    let arguments = ["--maxmemory", &maxmemory, "--space-amplification", "1.2", "--compaction-garbage-min", "0"];
    let mut server = Server::start(Program::Caskade, &arguments);
    let mut client = server.connect();
    let (first, second) = (text(bytes, 1), text(bytes, 2));

    client.ask(&["HSET", "h", "small", "1"]);
    assert_eq!(client.ask(&[&b"HSET"[..], b"h", b"f", &first]), Reply::Integer(1));
    diary.note(&server, "set");
    check(&mut client, &first);
    diary.note(&server, "read");
    is_within(&server, limit);

    server = end_and_start(server);
    client = server.connect();
    diary.note(&server, "ended and started");
    check(&mut client, &first);
    diary.note(&server, "read");

    // The first one is garbage then, and so is this one, but for the last time.
    for value in [&second, &first, &second] {
        assert_eq!(client.ask(&[&b"HSET"[..], b"h", b"f", value]), Reply::Integer(0));
    }
    diary.note(&server, "overwritten three times");
    wait_until("compaction", PATIENCE, || info(&mut client, "log_disk_bytes") < 2 * bytes + 64 * MEGABYTE);
    diary.note(&server, "compacted");
    check(&mut client, &second);
    diary.note(&server, "read");
    is_within(&server, limit);

    server = server.restart();
    client = server.connect();
    diary.note(&server, "killed and started");
    check(&mut client, &second);
    diary.note(&server, "read");
    assert_eq!(client.ask(&["HDEL", "h", "f"]), Reply::Integer(1));
    assert_eq!(client.ask(&["HGETALL", "h"]).elements().map(<[Reply]>::len), Some(2));
    wait_until("memory to be given back", PATIENCE, || server.memory() < BASE);
    wait_until("the disk to be given back", PATIENCE, || info(&mut client, "log_disk_bytes") < bytes + 64 * MEGABYTE);
    diary.note(&server, "deleted");
    is_within(&server, limit);
}

fn check(client: &mut Connection, value: &[u8]) {
    let is_it = |reply: &Reply| assert!(reply.bytes() == Some(value), "the value is another one");
    is_it(&client.ask(&["HGET", "h", "f"]));
    assert_eq!(client.ask(&["HSTRLEN", "h", "f"]), Reply::Integer(value.len() as i64));
    let reply = client.ask(&["HSCAN", "h", "0", "COUNT", "100"]);
    let items = reply.elements().expect("an array")[1].elements().expect("an array").to_vec();
    assert_eq!(items.len(), 4);
    let at = items.iter().position(|item| item.bytes() == Some(b"f")).expect("the field");
    is_it(&items[at + 1]);
}

/// Bytes of which no two parts are the same.
fn text(bytes: u64, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut text = vec![0; bytes as usize];
    random.fill(&mut text);
    text
}
