//! `caskade compact`.

use super::{Left, files, run};
use crate::server::{Program, Server, wait_until};
use std::fs;
use std::time::Duration;

/// What a compaction says: bytes before and after.
fn told(out: &str) -> (u64, u64) {
    let line = out.lines().find_map(|line| line.strip_prefix("compacted: ")).unwrap_or_else(|| panic!("{out}"));
    let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    (numbers[0], numbers[1])
}

/// Five keys of 10,000 bytes, written over and over, and two that are gone.
fn overwritten() -> Left {
    let server = Server::start(Program::Caskade, &["--segment-size", "64kb", "--compaction-interval", "3600"]);
    let mut client = server.connect();
    let value = "v".repeat(10_000);
    for round in 0..10 {
        for key in ["a", "b", "c", "d", "e", "gone"] {
            client.ask(&["SET", key, &format!("{value}{round}")]);
        }
    }
    client.ask(&["SET", "volatile", &value, "PX", "1"]);
    client.ask(&["DEL", "gone"]);
    Left::by(server)
}

#[test]
fn what_nothing_needs_is_given_back() {
    let left = overwritten();
    // Its time is over, and nobody has noticed.
    wait_until("a millisecond to pass", Duration::from_secs(10), || {
        left.look(&["stats"]).out.contains("the time of 1 more is over")
    });
    let said = run(&["compact"], &left.data());
    assert_eq!((said.code, said.error.as_str()), (Some(0), ""), "{}", said.out);
    let (before, after) = told(&said.out);
    assert!(before > 600_000, "{}", said.out);
    // The log as it was when the last of it was written is there, too.
    assert!((50_000..80_000).contains(&after), "{}", said.out);
    let said = left.look(&["check"]);
    assert_eq!(said.code, Some(0), "{}", said.out);
    let stats = left.look(&["stats"]).out;
    assert!(stats.contains("       0  string               5             0  "), "{stats}");
    // There is no more to be won.
    let said = run(&["compact"], &left.data());
    assert_eq!(said.code, Some(0), "{}", said.error);
    assert!(told(&said.out).1 <= after, "{after}: {}", said.out);

    let server = Server::start_on(&left.data(), &[]).unwrap_or_else(|log| panic!("{log}"));
    let mut client = server.connect();
    let expected = format!("{}9", "v".repeat(10_000));
    for key in ["a", "b", "c", "d", "e"] {
        assert_eq!(client.ask(&["GET", key]).bytes(), Some(expected.as_bytes()), "{key}");
    }
    assert_eq!(client.ask(&["DBSIZE"]).integer(), Some(5));
}

#[test]
fn what_kill_leaves_is_compacted_as_well() {
    let mut server = Server::start(Program::Caskade, &["--segment-size", "64kb", "--compaction-interval", "3600"]);
    let mut client = server.connect();
    let value = "v".repeat(10_000);
    for _ in 0..40 {
        client.ask(&["SET", "a", &value]);
    }
    server.kill();
    let said = run(&["compact"], &server.data());
    assert_eq!(said.code, Some(0), "{}", said.error);
    let (before, after) = told(&said.out);
    assert!(before > 400_000 && after < 30_000, "{}", said.out);
    assert_eq!(run(&["check"], &server.data()).code, Some(0));
}

#[test]
fn what_is_damaged_stays() {
    let left = overwritten();
    // A value that is not the newest of its key: nobody needs it.
    let (name, at) = left.find(b"vvvv0");
    left.flip(&name, at);
    let said = run(&["compact"], &left.data());
    assert_eq!(said.code, Some(0), "{}", said.out);
    assert!(!files(&left.data()).contains_key(&name));

    let left = overwritten();
    let (name, at) = left.find(b"vvvv9");
    left.flip(&name, at);
    let said = run(&["compact"], &left.data());
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.out.contains("DAMAGED: 1 segments stay as they are"), "{}", said.out);
    assert!(files(&left.data()).contains_key(&name));

    let left = Left::usual();
    left.flip("MANIFEST", 40);
    let said = left.look(&["compact"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{}", said.error);
    let left = Left::usual();
    fs::remove_file(left.data().join("0000000001.log")).unwrap();
    let said = run(&["compact"], &left.data());
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{}", said.error);
    assert!(said.error.contains("0000000001.log, listed in MANIFEST, is missing"), "{}", said.error);
}
