//! `caskade compact`.

use super::{Left, field, files, run};
use crate::server::{Program, Server, wait_until};
use caskade::database::Database;
use caskade::store::Options;
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

/// The past is the server's: it stays what it was, unless it is said to go.
#[test]
fn what_retention_holds_stays_unless_it_is_released() {
    let options = ["--segment-size", "64kb", "--compaction-interval", "3600", "--retention", "3600"];
    let server = Server::start(Program::Caskade, &options);
    let mut client = server.connect();
    client.ask(&["SET", "config", "good"]);
    client.ask(&["SAVE"]);
    let sequence = field(&mut client, "log_sequence").to_string();
    client.ask(&["SET", "config", "bad"]);
    let value = "v".repeat(10_000);
    wait_until("segments that are kept", Duration::from_secs(60), || {
        (0..20).for_each(|_| _ = client.ask(&["SET", "key", &value]));
        client.ask(&["SAVE"]);
        client.ask(&["CASKADE", "COMPACT"]);
        field(&mut client, "retained_segments") > 2
    });
    (0..20).for_each(|_| _ = client.ask(&["SET", "key", &value]));
    let left = Left::by(server);
    let home = tempfile::tempdir().unwrap();
    let then = |name: &str| {
        let target = home.path().join(name);
        let said = run(&["restore", left.data().to_str().unwrap(), "--at", &sequence], &target);
        (said.code == Some(0)).then(|| Server::start_on(&target, &[]).unwrap_or_else(|log| panic!("{log}")))
    };
    for round in ["first", "second"] {
        let said = run(&["compact"], &left.data());
        assert_eq!(said.code, Some(0), "{}", said.error);
        assert!(
            said.out.contains("are held for earlier moments, and stay: --release-held gives them up"),
            "{}",
            said.out
        );
        let server = then(round).expect("the past is there");
        assert_eq!(server.connect().ask(&["GET", "config"]).bytes(), Some(&b"good"[..]), "{round}");
    }
    // A program that has it open does not know how long it is to be held.
    let database = Database::open(left.data(), Options::default()).unwrap();
    assert!(database.delete("key").unwrap());
    database.close().unwrap();
    assert!(then("third").is_some());
    let said = run(&["compact", "--release-held"], &left.data());
    assert_eq!(said.code, Some(0), "{}", said.error);
    assert!(said.out.starts_with("released: ") && !said.out.contains("held for earlier moments, and"), "{}", said.out);
    // What is reserved for records to come reads as zeros.
    let used = |log: Vec<u8>| log.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    let logs = files(&left.data()).into_iter().filter(|(name, _)| name.ends_with(".log"));
    let logs: usize = logs.map(|(_, log)| used(log)).sum();
    assert!(logs < 30_000, "{logs} bytes are left");
    assert!(then("fourth").is_none());
    assert_eq!(run(&["check"], &left.data()).code, Some(0));
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
