//! `caskade check`.

use super::{Left, files, is_used_log, run};
use crate::server::{Program, Server};
use std::fs;

#[test]
fn a_sound_directory_is_told_so() {
    let said = Left::usual().look(&["check"]);
    assert_eq!((said.code, said.error.as_str()), (Some(0), ""), "{}", said.out);
    assert!(
        said.out.ends_with("sound: every checksum is right, and all that should be there is there\n"),
        "{}",
        said.out
    );
    assert!(!said.out.contains("note"), "{}", said.out);
}

#[test]
fn what_kill_leaves_is_sound() {
    let mut server = Server::start(Program::Caskade, &["--segment-size", "64kb"]);
    let mut client = server.connect();
    let value = "v".repeat(1000);
    for number in 0..100 {
        client.ask(&["SET", &number.to_string(), &value]);
    }
    server.kill();
    let before = files(&server.data());
    let said = run(&["check"], &server.data());
    assert_eq!((said.code, said.error.as_str()), (Some(0), ""), "{}", said.out);
    assert!(said.out.contains("\nsound: "), "{}", said.out);
    assert!(files(&server.data()) == before);
    // The log ends in the middle of its last record.
    let (name, bytes) = before.iter().rfind(|(name, bytes)| is_used_log(name, bytes)).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let mut torn = bytes.clone();
    torn[used] = 0;
    fs::write(server.data().join(name), torn).unwrap();
    let said = run(&["check"], &server.data());
    assert_eq!(said.code, Some(0), "{}", said.out);
    assert!(
        said.out.contains(&format!("note: {name} byte ")) && said.out.contains("middle of a write"),
        "{}",
        said.out
    );
}

#[test]
fn damage_to_a_value_costs_its_key() {
    let left = Left::usual();
    let (name, key) = left.find(b"key:007");
    left.flip(&name, key + 500);
    let said = left.look(&["check"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    let told = format!("{name} byte {}: the value of this record is damaged", key - 28);
    assert!(said.out.contains(&told) && said.out.contains("(key \"key:007\" in keyspace 0)"), "{}", said.out);
    assert!(said.out.contains("costs: this key is unreadable\n"), "{}", said.out);
    assert!(
        said.out.ends_with("DAMAGED: 1 places: 1 that make a key unreadable; a server starts on it\n"),
        "{}",
        said.out
    );
}

#[test]
fn damage_to_a_key_is_named_by_the_hint_and_costs_the_start_without() {
    let left = Left::usual();
    let (name, key) = left.find(b"key:007");
    left.flip(&name, key);
    let said = left.look(&["check"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    let told = format!("{name} byte {}: the header or the key of a record is damaged: 1035 bytes", key - 28);
    assert!(said.out.contains(&told) && said.out.contains("(key \"key:007\" in keyspace 0)"), "{}", said.out);
    assert!(said.out.contains("a server starts on it"), "{}", said.out);

    fs::remove_file(left.data().join(name.replace(".log", ".hint"))).unwrap();
    let said = left.look(&["check"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.out.contains(&told) && said.out.contains("no server starts on it"), "{}", said.out);
    assert!(said.out.contains("note: 1 segments have no hint"), "{}", said.out);
}

#[test]
fn damage_anywhere_in_a_hint_costs_nothing() {
    let left = Left::usual();
    let all = files(&left.data());
    let (name, bytes) = all.iter().find(|(name, _)| name.ends_with(".hint")).expect("a hint");
    for at in [0, bytes.len() / 8, bytes.len() - 3000, bytes.len() - 1] {
        left.flip(name, at);
        let said = left.look(&["check"]);
        assert_eq!(said.code, Some(1), "byte {at}: {}", said.out);
        assert!(said.out.starts_with(&format!("{name} byte ")), "byte {at}: {}", said.out);
        assert!(said.out.contains("1 in caches; a server starts on it"), "byte {at}: {}", said.out);
        left.flip(name, at);
    }
    // One of another segment of the store is sound in itself.
    let (other, _) = all.iter().rfind(|(name, _)| name.ends_with(".hint")).expect("a hint");
    assert_ne!(name, other);
    fs::copy(left.data().join(other), left.data().join(name)).unwrap();
    let said = left.look(&["check"]);
    assert!(said.code == Some(1) && said.out.contains("of another segment"), "{}", said.out);
}

#[test]
fn what_is_cut_off_or_missing_keeps_a_server_from_starting() {
    let left = Left::usual();
    let (name, key) = left.find(b"key:007");
    let bytes = fs::read(left.data().join(&name)).unwrap();
    fs::write(left.data().join(&name), &bytes[..key + 100]).unwrap();
    let said = left.look(&["check"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    let told = format!("{name} byte {}: it should have {} bytes and ends here", key + 100, bytes.len());
    assert!(said.out.contains(&told) && said.out.contains("no server starts on it"), "{}", said.out);

    fs::remove_file(left.data().join(&name)).unwrap();
    let said = left.look(&["check"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    let told = format!("{name}: MANIFEST lists it, and it is missing");
    assert!(said.out.contains(&told) && said.out.contains("no server starts on it"), "{}", said.out);
}

#[test]
fn a_damaged_header_is_made_up_for() {
    let left = Left::usual();
    let (name, _) = left.find(b"key:007");
    left.flip(&name, 30);
    let said = left.look(&["check"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.out.contains(&format!("{name} byte 0: its header is damaged")), "{}", said.out);
    assert!(said.out.contains("1 that something else makes up for; a server starts on it"), "{}", said.out);
}

#[test]
fn a_damaged_manifest_says_that_nothing_else_was_looked_at() {
    let left = Left::usual();
    left.flip("MANIFEST", 40);
    let said = left.look(&["check"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.out.starts_with("MANIFEST: ") && said.out.contains("its checksum does not match"), "{}", said.out);
    fs::remove_file(left.data().join("MANIFEST")).unwrap();
    let said = left.look(&["check"]);
    assert!(said.code == Some(1) && said.out.contains("MANIFEST is missing although there is data"), "{}", said.out);
}

#[test]
fn files_that_are_not_listed_are_told() {
    let left = Left::usual();
    fs::write(left.data().join("notes.txt"), "mine").unwrap();
    fs::write(left.data().join("0000000777.hint.tmp"), "half a hint").unwrap();
    fs::write(left.data().join("0000000777.log"), [0; 100]).unwrap();
    let said = left.look(&["check"]);
    assert_eq!(said.code, Some(0), "{}", said.out);
    assert!(said.out.contains("note: notes.txt: not a file of the store"), "{}", said.out);
    for name in ["0000000777.hint.tmp", "0000000777.log"] {
        assert!(said.out.contains(&format!("note: {name}: left behind by a crash")), "{}", said.out);
    }
    // With the records of a segment it may be what an older manifest does not know.
    let (name, _) = left.find(b"key:007");
    fs::copy(left.data().join(name), left.data().join("0000000777.log")).unwrap();
    let said = left.look(&["check"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.out.contains("0000000777.log: MANIFEST does not list it, and it has records"), "{}", said.out);
    assert!(said.out.contains("the next start removes this file"), "{}", said.out);
}
