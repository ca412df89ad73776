//! Backups of running and of stopped servers, and what comes of them.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Left, Said, field, files, run};
use crate::reply::Reply;
use crate::server::{Program, Server, wait_until};

/// Writers of two keys each: one after the other, and both at once.
const WRITERS: usize = 4;
const BACKUPS: usize = 5;

fn restore(source: &Path, directory: &Path) -> Said {
    run(&["restore", source.to_str().expect("a path")], directory)
}

fn number(reply: &Reply) -> u64 {
    let text = String::from_utf8_lossy(reply.bytes().unwrap_or(b"0")).into_owned();
    text.parse().unwrap_or_else(|_| panic!("{reply:?}"))
}

/// Under full load, with compaction, each backup has all up to some position of the log, and nothing behind it.
#[test]
fn a_backup_under_load_restores_to_a_state_that_existed() {
    let options = ["--segment-size", "256kb", "--compaction-interval", "0", "--compaction-garbage-min", "0"];
    let server = Server::start(Program::Caskade, &options);
    let stop = AtomicBool::new(false);
    let filler = "f".repeat(500);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (server, stop, filler) = (&server, &stop, &filler);
            scope.spawn(move || {
                let mut client = server.connect();
                let name = |what: &str| format!("{what}:{writer}");
                let mut round = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    let number = round.to_string();
                    client.ask(&["SET", &name("first"), &number]);
                    client.ask(&["SET", &name("second"), &number]);
                    client.ask(&["MSET", &name("left"), &number, &name("right"), &number]);
                    client.ask(&["SET", &format!("fill:{}", round % 97), filler]);
                }
            });
        }
        let mut client = server.connect();
        let mut floors = Vec::new();
        for backup in 0..BACKUPS {
            let seen: Vec<u64> =
                (0..WRITERS).map(|writer| number(&client.ask(&["GET", &format!("second:{writer}")]))).collect();
            client.ask(&["CASKADE", "COMPACT"]);
            assert_eq!(client.ask(&["CASKADE", "BACKUP", &format!("b{backup}")]), Reply::Status(b"OK".to_vec()));
            floors.push(seen);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(field(&mut client, "compaction_passes") > 0);
        for (backup, seen) in floors.iter().enumerate() {
            let home = tempfile::tempdir().expect("a temporary directory");
            let said = restore(&server.data().join(format!("backups/b{backup}")), &home.path().join("data"));
            assert_eq!(said.code, Some(0), "{}{}", said.out, said.error);
            let restored = Server::start_on(&home.path().join("data"), &[]).expect("a server");
            let mut client = restored.connect();
            for (writer, floor) in seen.iter().enumerate() {
                let mut get = |what: &str| number(&client.ask(&["GET", &format!("{what}:{writer}")]));
                let (first, second) = (get("first"), get("second"));
                assert!(second >= *floor, "what was acknowledged before the backup is in it: {second}, {floor}");
                assert!(first == second || first == second + 1, "{first} was set before {second}");
                assert_eq!(get("left"), get("right"), "one command");
            }
        }
    });
}

#[test]
fn a_name_that_is_taken_or_not_allowed_is_refused() {
    let server = Server::start(Program::Caskade, &[]);
    let mut client = server.connect();
    client.ask(&["SET", "a", "1"]);
    client.ask(&["CASKADE", "BACKUP", "one"]);
    let error = |reply: Reply| match reply {
        Reply::Error(text) => String::from_utf8_lossy(&text).into_owned(),
        other => panic!("{other:?}"),
    };
    let taken = error(client.call(&["CASKADE", "BACKUP", "one"]).unwrap());
    assert_eq!(taken, "ERR there is no backup: there is a backup named one already");
    for name in ["../one", ".one", "", "a b"] {
        let refused = error(client.call(&["CASKADE", "BACKUP", name]).unwrap());
        assert!(refused.starts_with("ERR the name of a backup has 1 to 64 letters"), "{refused}");
    }
    client.ask(&["MULTI"]);
    let refused = error(client.call(&["CASKADE", "BACKUP", "two"]).unwrap());
    assert_eq!(refused, "ERR Command not allowed inside a transaction");
}

#[test]
fn a_stopped_directory_is_copied_and_comes_back_whole() {
    let left = Left::compacted();
    let home = tempfile::tempdir().expect("a temporary directory");
    let (target, back) = (home.path().join("copy"), home.path().join("deep/back"));
    let said = left.look(&["backup", target.to_str().unwrap()]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.error);
    assert!(said.out.contains("backup:"), "{}", said.out);
    let again = left.look(&["backup", target.to_str().unwrap()]);
    assert_eq!(again.code, Some(2), "{}", again.out);
    assert!(again.error.contains("choose an empty directory"), "{}", again.error);
    let said = restore(&target, &back);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.error);
    let told = said.out.lines().last().unwrap();
    assert!(told.starts_with("restored: 198 keys in ") && told.ends_with("; a server starts on it"), "{told}");
    let server = Server::start_on(&back, &[]).expect("a server");
    let mut client = server.connect();
    assert_eq!(client.ask(&["GET", "key:002"]), Reply::Bulk(b"new".to_vec()));
    assert_eq!(client.ask(&["EXISTS", "key:000", "key:001"]), Reply::Integer(0));
    client.ask(&["SET", "key:002", "newer"]);
    drop(server);
    // What is shared by links has not changed.
    assert_eq!(run(&["check"], &target).code, Some(0));
    let said = left.look(&["check"]);
    assert_eq!(said.code, Some(0), "{}", said.out);
}

/// A key that was overwritten and one that was deleted by mistake come back, from a backup of a server that goes on.
#[test]
fn the_past_is_brought_back() {
    let options = ["--segment-size", "64kb", "--compaction-interval", "0", "--retention", "3600"];
    let server = Server::start(Program::Caskade, &[&options[..], &["--compaction-garbage-min", "0"]].concat());
    let mut client = server.connect();
    client.ask(&["SET", "config", "good"]);
    client.ask(&["SET", "deleted", "still there"]);
    client.ask(&["SAVE"]);
    let sequence = field(&mut client, "log_sequence");
    client.ask(&["SET", "config", "bad"]);
    client.ask(&["DEL", "deleted"]);
    let value = "v".repeat(1000);
    wait_until("segments that are kept", Duration::from_secs(60), || {
        (0..100).for_each(|number| _ = client.ask(&["SET", &format!("key:{number}"), &value]));
        client.ask(&["SAVE"]);
        client.ask(&["CASKADE", "COMPACT"]);
        field(&mut client, "retained_segments") > 3
    });
    client.ask(&["CASKADE", "BACKUP", "now"]);
    let backup = server.data().join("backups/now");
    let home = tempfile::tempdir().expect("a temporary directory");
    let at = |at: &str, name: &str| run(&["restore", backup.to_str().unwrap(), "--at", at], &home.path().join(name));
    let said = at(&sequence.to_string(), "then");
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.error);
    assert!(said.out.contains("restored: 2 keys in "), "{}", said.out);
    let then = Server::start_on(&home.path().join("then"), &[]).expect("a server");
    let mut client = then.connect();
    assert_eq!(client.ask(&["GET", "config"]), Reply::Bulk(b"good".to_vec()));
    assert_eq!(client.ask(&["GET", "deleted"]), Reply::Bulk(b"still there".to_vec()));
    let said = at("2000-01-01T00:00:00Z", "before");
    assert_eq!((said.code, said.out.contains("restored: 0 keys")), (Some(0), true), "{}{}", said.out, said.error);
    for (wrong, why) in [("999999999", "the last one is"), ("yesterday", "neither a sequence number nor a time")] {
        let said = at(wrong, "never");
        assert_eq!((said.code, said.error.contains(why)), (Some(2), true), "{}", said.error);
    }
}

#[test]
fn what_is_no_empty_directory_is_not_restored_to() {
    let left = Left::usual();
    let home = tempfile::tempdir().expect("a temporary directory");
    fs::write(home.path().join("holiday.jpg"), b"beach").unwrap();
    let said = restore(&left.data(), home.path());
    assert_eq!(said.code, Some(2), "{}", said.out);
    assert!(said.error.contains("holiday.jpg"), "{}", said.error);
    assert_eq!(files(home.path())["holiday.jpg"], b"beach");
    let said = restore(&home.path().join("nosuch"), &home.path().join("data"));
    assert_eq!(said.code, Some(2), "{}", said.out);
}
