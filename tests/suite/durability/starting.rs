//! What is answered while loading, and who may not start.

use std::fs::{self, OpenOptions};
use std::time::Duration;

use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{Program, Server, wait_until};

#[test]
fn a_second_process_on_the_directory_is_refused() {
    let server = Server::start(Program::Caskade, &[]);
    server.connect().ask(&["SET", "key", "value"]);
    let mut rival = server.rival();
    let status = rival.wait_exit("as the directory is taken");
    assert_eq!(status.code(), Some(1), "{status}\n{}", rival.log());
    for part in [server.data().to_str().expect("a path"), &format!("pid {}", server.pid())] {
        assert!(rival.log().contains(part), "{part:?} is not in:\n{}", rival.log());
    }
    assert_eq!(server.connect().ask(&["GET", "key"]), Reply::Bulk(b"value".to_vec()));
    // The lock goes with its holder, however that ends.
    assert_eq!(server.restart().connect().ask(&["GET", "key"]), Reply::Bulk(b"value".to_vec()));
}

#[test]
fn whoever_starts_on_a_torn_log_is_told_from_when_on_something_may_be_lost() {
    let mut server = Server::start(Program::Caskade, &["--appendfsync", "no"]);
    let mut client = server.connect();
    client.ask(&["SET", "first", "value"]);
    client.ask(&["SET", "last", &"v".repeat(500)]);
    server.kill();
    let path = server.data().join("0000000001.log");
    let mut bytes = fs::read(&path).expect("the segment");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("something was written");
    bytes[used] ^= 1;
    fs::write(&path, bytes).expect("to tear the segment");
    let server = server.restart();
    let log = server.log();
    let told =
        log.lines().find(|line| line.contains("ended in the middle of a write")).unwrap_or_else(|| panic!("{log}"));
    let since = told.split("what was written after ").nth(1).and_then(|rest| rest.strip_suffix(" may be lost"));
    // 2026-11-27T18:00:00.000Z
    assert!(since.is_some_and(|since| since.len() == 24 && since.ends_with('Z')), "{told}");
    assert_eq!(server.connect().ask(&["KEYS", "*"]), Reply::Array(vec![Reply::Bulk(b"first".to_vec())]));
}

const KEYS: usize = 1_000;

/// Bytes of a file that takes longer to read than it takes to ask something meanwhile.
const LONG_FILE_BYTES: u64 = 2 << 30;

/// A server that was killed, with a log that takes long to read: behind its end there is a hole.
pub fn large(arguments: &[&str]) -> Server {
    let mut server = Server::start(Program::Caskade, &[&["--appendfsync", "no"], arguments].concat());
    let keys: Vec<String> = (0..KEYS).map(|number| format!("key:{number}")).collect();
    let words: Vec<&str> = std::iter::once("MSET").chain(keys.iter().flat_map(|key| [key.as_str(), "v"])).collect();
    server.connect().ask(&words);
    server.kill();
    let segment = OpenOptions::new().write(true).open(server.data().join("0000000001.log")).expect("the segment");
    segment.set_len(LONG_FILE_BYTES).expect("to make the file longer");
    server
}

/// A connection to a server that is still loading.
pub fn connect_early(server: &mut Server) -> Connection {
    server.respawn();
    let mut connection = None;
    wait_until("the port to be open", Duration::from_secs(30), || {
        connection = Connection::open(server.address()).ok();
        connection.is_some()
    });
    connection.expect("a connection")
}

#[test]
fn answers_loading_until_everything_is_loaded() {
    let mut server = large(&[]);
    let mut connection = connect_early(&mut server);
    let loading = Reply::Error(b"LOADING Redis is loading the dataset in memory".to_vec());
    for words in [&["GET", "key:1"] as &[&str], &["SET", "key:1", "new"], &["PING"], &["DBSIZE"], &["FLUSHALL"]] {
        assert_eq!(connection.call(words).expect("a reply"), loading, "{words:?}");
    }
    wait_until("progress to be told", Duration::from_secs(60), || {
        let info = connection.ask(&["INFO", "persistence"]);
        let info = String::from_utf8_lossy(info.bytes().expect("text")).into_owned();
        assert!(info.contains("\r\nloading:1\r\n"), "it has told of nothing: {info}");
        let bytes = |name: &str| -> u64 {
            let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.unwrap_or_else(|| panic!("no {name} in {info}")).parse().expect("a number")
        };
        let (loaded, total) = (bytes("loading_loaded_bytes"), bytes("loading_total_bytes"));
        // Before the files have been looked at there is no total.
        assert!(total == 0 || total > LONG_FILE_BYTES - 4096, "{info}");
        assert!(loaded <= total, "{info}");
        loaded > 0
    });
    assert_eq!(connection.ask(&["CONFIG", "GET", "appendfsync"]).elements().map(<[Reply]>::len), Some(2));
    wait_until("loading to end", Duration::from_secs(60), || {
        connection.call(&["PING"]).is_ok_and(|reply| reply != loading)
    });
    assert_eq!(connection.ask(&["DBSIZE"]), Reply::Integer(KEYS as i64));
    assert_eq!(connection.ask(&["GET", "key:1"]), Reply::Bulk(b"v".to_vec()), "what was refused did not happen");
}

#[test]
fn sigterm_while_loading_exits_with_0() {
    let mut server = large(&[]);
    let mut connection = connect_early(&mut server);
    assert!(matches!(connection.call(&["PING"]), Ok(Reply::Error(text)) if text.starts_with(b"LOADING")));
    let status = server.terminate();
    assert_eq!(status.code(), Some(0), "{status}\n{}", server.log());
    assert!(!server.log().contains("Ready to accept"), "it did not wait until everything was loaded\n{}", server.log());
    assert_eq!(server.restart().connect().ask(&["DBSIZE"]), Reply::Integer(KEYS as i64));
}
