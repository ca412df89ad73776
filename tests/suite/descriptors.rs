//! A server that may open no more files: clients and segments wait for descriptors, and nothing is lost.
//!
//! Always true: the limit is that of the server's process alone, lowered to what it has open when it runs.

use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{Program, Server, wait_until};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::collections::BTreeMap;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// What a client is told when no segment can be opened.
const REFUSED: &str = "MISCONF Caskade cannot create another file for its log now";

fn open_files(server: &Server) -> u64 {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("the server's descriptors").count() as u64
}

fn limit_open_files(server: &Server, files: u64) {
    let pid = Pid::from_raw(server.pid().cast_signed());
    let limit = Rlimit { current: Some(files), maximum: getrlimit(Resource::Nofile).maximum };
    prlimit(pid, Resource::Nofile, limit).expect("to limit the server");
}

/// Sets keys that were never set until the server refuses one; returns what it says then.
fn fill(client: &mut Connection, written: &mut BTreeMap<String, Vec<u8>>) -> String {
    loop {
        let (key, value) = (format!("key:{}", written.len()), vec![b'a' + (written.len() % 26) as u8; 9_000]);
        match client.call(&[b"SET", key.as_bytes(), &value]).expect("an answer") {
            Reply::Status(_) => _ = written.insert(key, value),
            Reply::Error(text) => return String::from_utf8_lossy(&text).into_owned(),
            other => panic!("{other:?}"),
        }
        assert!(written.len() < 10_000, "it opens files although it may not");
    }
}

#[test]
fn without_descriptors_writing_stops_and_resumes_by_itself() {
    for policy in ["always", "everysec"] {
        // Nothing is compacted: that would give descriptors back.
        let arguments = ["--appendfsync", policy, "--segment-size", "64kb", "--compaction-garbage-min", "1gb"];
        let server = Server::start(Program::Caskade, &arguments);
        let (mut client, mut written) = (server.connect(), BTreeMap::new());
        let mut idle: Vec<Connection> = (0..10).map(|_| server.connect()).collect();
        idle.iter_mut().for_each(|idle| _ = idle.ask(&["PING"]));
        limit_open_files(&server, open_files(&server) + 3);
        let refused = fill(&mut client, &mut written);
        assert!(refused.starts_with(REFUSED) && refused.contains("Too many open files"), "{refused}");
        // Reads and deletions go on.
        assert_eq!(client.ask(&["GET", "key:0"]), Reply::Bulk(written["key:0"].clone()));
        assert_eq!(client.ask(&["DEL", "key:1"]), Reply::Integer(1));
        written.insert("key:1".to_owned(), Vec::new());
        // A client that comes now is served once there is a descriptor for it.
        let mut waiting = Connection::open(server.address()).expect("the kernel takes it");
        waiting.send(&["PING"]).expect("to send");
        wait_until("the client to be turned away", PATIENCE, || {
            let log = server.log();
            log.contains("a connection could not be accepted") && log.contains("Too many open files")
        });
        idle.clear();
        assert_eq!(waiting.receive().expect("an answer"), Reply::Status(b"PONG".to_vec()));
        let mut set = || client.call(&["SET", "after", "1"]).expect("an answer");
        wait_until("writing to resume", PATIENCE, || !set().is_error());
        fill(&mut client, &mut written);
        // All that was ever acknowledged is there, in a process that may open what it needs.
        let server = server.restart();
        let mut client = server.connect();
        assert_eq!(client.ask(&["GET", "after"]), Reply::Bulk(b"1".to_vec()));
        for (key, value) in &written {
            let expected = if value.is_empty() { Reply::Null } else { Reply::Bulk(value.clone()) };
            assert_eq!(client.ask(&["GET", key]), expected, "{key} with appendfsync {policy}");
        }
    }
}

/// What CONFIG GET, INFO and the log tell is how many clients are served; another change does not undo it.
#[test]
fn fewer_clients_than_asked_for_are_told_everywhere() {
    let Some(limit) = getrlimit(Resource::Nofile).maximum else {
        println!("skipped: files are not limited here");
        return;
    };
    let asked = (limit + 1000).to_string();
    for program in [Some(Program::Caskade), Program::oracle()].into_iter().flatten() {
        let server = Server::start(program, &["--maxclients", &asked]);
        let mut client = server.connect();
        let mut told = |set: bool| {
            if set {
                assert_eq!(client.ask(&["CONFIG", "SET", "timeout", "77"]), Reply::Status(b"OK".to_vec()));
            }
            let Reply::Array(pair) = client.ask(&["CONFIG", "GET", "maxclients"]) else { panic!("no pair") };
            let info = client.ask(&["INFO", "clients"]);
            let text = |reply: &Reply| String::from_utf8_lossy(reply.bytes().expect("a text")).into_owned();
            (text(&pair[1]), text(&info))
        };
        let (clients, info) = told(false);
        assert!(clients.parse::<u64>().expect("a number") < limit, "{program:?}: {clients}");
        assert!(info.contains(&format!("\r\nmaxclients:{clients}\r\n")), "{program:?}: {info}");
        assert_eq!(told(true).0, clients, "{program:?}");
        // More are refused, with all that was to be set at once.
        let set = |clients: &str| {
            let words = ["CONFIG", "SET", "timeout", "78", "maxclients", clients];
            server.connect().call(&words).expect("an answer")
        };
        let refusal = format!(
            "ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system is not able to handle \
             the specified number of clients, try with {clients}"
        );
        assert_eq!(set(&asked), Reply::Error(refusal.into_bytes()), "{program:?}");
        assert_eq!(told(false).0, clients, "{program:?}");
        let timeout = server.connect().ask(&["CONFIG", "GET", "timeout"]);
        assert_eq!(timeout.elements().expect("a pair")[1], Reply::Bulk(b"77".to_vec()), "{program:?}");
        // Fewer are not, nor as many as that.
        for clients in ["100", &clients] {
            assert_eq!(set(clients), Reply::Status(b"OK".to_vec()), "{program:?}: {clients}");
        }
        if program == Program::Caskade {
            let warning = format!("maxclients is {clients} instead of {asked}: the limit on open files is {limit}");
            assert!(server.log().contains(&warning), "{}", server.log());
        }
    }
}
