//! One collection of each type, with millions of elements.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use super::elements::{Elements, Phase, Type};
use super::filling::{change, fill};
use super::reading::check;
use super::{Diary, MEGABYTE, PATIENCE, end_and_start, info, is_within};
use crate::connection::Connection;
use crate::server::{Program, Server, number, wait_until};

const ELEMENTS: u64 = 20_000;

/// What a server may take beside the state of its elements and what `maxmemory` lets it have: its program and threads,
/// what is not yet synced, buffers of clients, the bytes of one batch.
const BASE: u64 = 128 * MEGABYTE;

/// What is left of `maxmemory` for values, and for names of hashes and lists that have not left memory yet.
const ROOM: u64 = 32 * MEGABYTE;

/// What the directory may take for each byte of records that are alive, hints included, by `space-amplification`.
const AMPLIFICATION: f64 = 1.2;

/// Bytes of hints for each byte of records, at most: of members of a set, the shortest ones.
const HINTS: f64 = 0.5;

/// Garbage that is left alone: `compaction-garbage-min`.
const GARBAGE: u64 = 64 * MEGABYTE;

/// Segments in use, of 16 MB each.
const IN_USE: u64 = 3 * 16 * MEGABYTE;

/// How long compaction may take after half of 5,000,000 elements were taken away; it took 26 seconds for a set, on two cores
/// that had other things to do as well.
const COMPACTED_WITHIN: Duration = Duration::from_secs(120);

/// What may come for each element of a hash or a list while the hand that sends values back to the disk passes through it.
const PASSING_BYTES: u64 = 32;

/// The longest that DEL may take, whatever else the machine does: taking 5,000,000 elements apart takes longer than that.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Bytes of memory for each element whose value is only on the disk, at most; lengths of names and values as in
/// `elements`.
fn state_bytes(of: Type) -> u64 {
    match of {
        Type::Hash => 64,
        Type::Set => 64,
        Type::List => 64,
        Type::SortedSet => 112,
    }
}

#[test]
fn a_large_hash_is_kept() {
    prove(Type::Hash);
}

#[test]
fn a_large_set_is_kept() {
    prove(Type::Set);
}

#[test]
fn a_large_list_is_kept() {
    prove(Type::List);
}

#[test]
fn a_large_sorted_set_is_kept() {
    prove(Type::SortedSet);
}

fn prove(of: Type) {
    let elements = Elements { of, count: number("CASKADE_LARGE_ELEMENTS", ELEMENTS) };
    let state = elements.count * state_bytes(of);
    let passing = if matches!(of, Type::Hash | Type::List) { elements.count * PASSING_BYTES } else { 0 };
    let limit = state + ROOM + passing + BASE;
    // What counts is all that the server takes, and some of it is neither elements nor values.
    let maxmemory = (state + ROOM + BASE / 2).to_string();
    let arguments = ["--appendfsync", "everysec", "--maxmemory", &maxmemory, "--space-amplification", "1.2"];
    let (key, title) = ("large", format!("{of:?} of {}", elements.count));
    let mut diary = Diary::new(&title);
    let mut server = Server::start(Program::Caskade, &arguments);
    let mut client = server.connect();
    let empty = info(&mut client, "used_memory");

    fill(&mut client, key, elements);
    diary.note(&server, "filled");
    check(&mut client, key, elements, Phase::Filled);
    diary.note(&server, "read");
    is_within(&server, limit);

    server = end_and_start(server);
    client = server.connect();
    diary.note(&server, "ended and started");
    check(&mut client, key, elements, Phase::Filled);
    diary.note(&server, "read");

    change(&mut client, key, elements);
    diary.note(&server, "half of it taken away, a quarter overwritten");
    wait_until("compaction", COMPACTED_WITHIN, || is_compact(&server, &mut client));
    diary.note(&server, "compacted");
    check(&mut client, key, elements, Phase::Changed);
    diary.note(&server, "read");
    is_within(&server, limit);

    server = server.restart();
    client = server.connect();
    diary.note(&server, "killed and started");
    check(&mut client, key, elements, Phase::Changed);
    diary.note(&server, "read");

    let began = Instant::now();
    client.ask(&["DEL", key]);
    let took = began.elapsed();
    assert!(took < AT_ONCE, "DEL took {took:?}");
    diary.note(&server, "deleted");
    wait_until("memory to be given back", PATIENCE, || info(&mut client, "used_memory") < empty + 16 * MEGABYTE);
    wait_until("memory to go to the system", PATIENCE, || server.memory() < BASE);
    diary.note(&server, "given back");
    is_within(&server, limit);
    server = end_and_start(server);
    assert_eq!(server.connect().ask(&["DBSIZE"]).integer(), Some(0));
    diary.note(&server, "ended and started with nothing");
}

/// What was taken away has left the directory, and so have the records that say so: as small as these, they are as large as
/// what they take away.
fn is_compact(server: &Server, client: &mut Connection) -> bool {
    let live = info(client, "log_live_bytes") as f64 * (1.0 + HINTS);
    let allowed = (live * AMPLIFICATION).max(live + GARBAGE as f64) as u64 + IN_USE;
    directory_bytes(server) <= allowed && info(client, "log_disk_bytes") <= info(client, "log_disk_bytes_max") + IN_USE
}

/// Bytes that the files of the log take on the disk.
fn directory_bytes(server: &Server) -> u64 {
    let files = std::fs::read_dir(server.data()).expect("the server's directory");
    // One may have gone by now.
    files.filter_map(|file| file.ok()?.metadata().ok()).map(|metadata| metadata.blocks() * 512).sum()
}
