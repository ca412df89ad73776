//! Thousands of connections: those that wait cost little, and those that do not read have the server hold no more than its
//! limits say.
//!
//! Always true: memory is what is resident of the server's process, against named bounds that are generous; nothing is
//! measured in time.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::connection::{Connection, encode};
use crate::reply::Reply;
use crate::server::{Program, Server, flag, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

/// What one waiting connection may take.
const BYTES_EACH_MAX: u64 = 8 * 1024;

/// By how much memory may differ from round to round, and in the end from what it was in the beginning.
const FLAT_BYTES: u64 = 12 << 20;

/// What every connection may have sent ahead of its turn, and what all may have sent beyond that.
const AHEAD_OWN_BYTES: u64 = 64 * 1024;
const AHEAD_SHARED_BYTES: u64 = 256 << 20;

/// What a connection takes besides: what it is, and the frames of its replies, whose values are shared.
const BESIDES_BYTES: u64 = 32 * 1024;

/// Lets this process have so many files open, and the servers it starts; false after saying why that is impossible.
fn may_open(files: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < files) {
        assert!(!flag("CASKADE_REQUIRE_ORACLE"), "too few files may be open: {limit:?}");
        println!("skipped: {files} open files are needed, and the limit is {:?}", limit.maximum);
        return false;
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("to raise the limit");
    true
}

/// A connection without a buffer of its own.
fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    stream
}

fn send_each(clients: &mut [impl Write], request: &[u8]) {
    clients.iter_mut().for_each(|client| client.write_all(request).expect("to send"));
}

fn receive_each(clients: &mut [impl Read], expected: &[u8]) {
    let mut reply = vec![0; expected.len()];
    for client in clients {
        client.read_exact(&mut reply).expect("a reply");
        assert_eq!(reply.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }
}

fn connected(connection: &mut Connection) -> u64 {
    let text = connection.ask(&["INFO", "clients"]);
    let text = String::from_utf8_lossy(text.bytes().expect("text")).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("connected_clients:")).expect("how many there are");
    line.parse().expect("a number")
}

fn assert_gone(server: &Server, connection: &mut Connection, before: u64) {
    wait_until("the connections to be gone", PATIENCE, || connected(connection) == 1);
    let limit = before + FLAT_BYTES;
    wait_until(&format!("memory to be below {limit} bytes again"), PATIENCE, || server.memory() < limit);
}

#[test]
fn ten_thousand_connections_wait_at_little_cost() {
    const CLIENTS: u64 = 10_000;
    if !may_open(CLIENTS + 3_000) {
        return;
    }
    let server = Server::start(Program::Caskade, &["--maxclients", "11000"]);
    let mut busy = server.connect();
    busy.ask(&["ECHO", &"x".repeat(10_000)]);
    let before = server.memory();
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(&server)).collect();
    send_each(&mut clients, b"PING\r\n");
    receive_each(&mut clients, b"+PONG\r\n");
    let there = server.memory();
    assert!(there < before + CLIENTS * BYTES_EACH_MAX, "from {before} to {there} bytes");
    assert_eq!(connected(&mut busy), CLIENTS + 1);
    for round in 0..5 {
        for _ in 0..200 {
            busy.ask(&["ECHO", &"x".repeat(10_000)]);
        }
        let now = server.memory();
        assert!(now < there + FLAT_BYTES, "from {there} to {now} bytes in round {round}");
    }
    send_each(&mut clients, b"PING\r\n");
    receive_each(&mut clients, b"+PONG\r\n");
    let now = server.memory();
    assert!(now < there + FLAT_BYTES, "from {there} to {now} bytes when all are served again");
    drop(clients);
    assert_gone(&server, &mut busy, before);
}

#[test]
fn a_thousand_subscribers_read_everything_at_little_cost() {
    const CLIENTS: u64 = 1_000;
    const MESSAGES: usize = 20;
    if !may_open(CLIENTS + 3_000) {
        return;
    }
    let server = Server::start(Program::Caskade, &[]);
    let mut publisher = server.connect();
    publisher.ask(&["PUBLISH", "news", &"x".repeat(1_000)]);
    let before = server.memory();
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(&server)).collect();
    send_each(&mut clients, &encode(&["SUBSCRIBE", "news"]));
    receive_each(&mut clients, b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    let there = server.memory();
    assert!(there < before + CLIENTS * BYTES_EACH_MAX + FLAT_BYTES, "from {before} to {there} bytes");
    for round in 0..5 {
        let mut expected = Vec::new();
        for number in 0..MESSAGES {
            let message = format!("{round} {number} {}", "x".repeat(1_000));
            assert_eq!(publisher.ask(&["PUBLISH", "news", &message]), Reply::Integer(CLIENTS as i64));
            expected.extend(encode(&["message", "news", &message]));
        }
        receive_each(&mut clients, &expected);
        let now = server.memory();
        assert!(now < there + FLAT_BYTES, "from {there} to {now} bytes in round {round}");
    }
    drop(clients);
    assert_gone(&server, &mut publisher, before);
}

/// Has all of them send so many bytes; ends when they have, or nothing more is taken from any of them.
fn send_without_reading(clients: &mut [UnixStream], request: &[u8], bytes: usize) {
    let requests = request.repeat(bytes / request.len());
    let mut sent = vec![0; clients.len()];
    let mut progress = Instant::now();
    clients.iter().for_each(|client| client.set_nonblocking(true).expect("a socket that does not block"));
    while progress.elapsed() < Duration::from_millis(500) && sent.iter().any(|sent| *sent < requests.len()) {
        for (client, sent) in clients.iter_mut().zip(&mut sent) {
            match client.write(&requests[*sent..]) {
                Ok(0) => {}
                Ok(count) => (*sent, progress) = (*sent + count, Instant::now()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// They ask for large values, listen, and look on, and never read; everybody else is served meanwhile.
#[test]
fn a_thousand_clients_that_never_read_are_held_to_the_limits() {
    const ASKING: u64 = 800;
    const LISTENING: u64 = 100;
    const CLIENTS: u64 = ASKING + 2 * LISTENING;
    if !may_open(CLIENTS + 3_000) {
        return;
    }
    // The kernel's memory for TCP would be used up by their replies; a Unix socket takes fewer.
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = directory.path().join("socket");
    let path = socket.to_str().expect("a path of text");
    let limit = "pubsub 1mb 0 0";
    let server = Server::start(Program::Caskade, &["--client-output-buffer-limit", limit, "--unixsocket", path]);
    let connect = || {
        let stream = UnixStream::connect(&socket).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    };
    let mut served = server.connect();
    served.ask(&["SET", "key", &"x".repeat(100_000)]);
    let before = server.memory();
    let bound = CLIENTS * (AHEAD_OWN_BYTES + BESIDES_BYTES) + AHEAD_SHARED_BYTES;
    // A quarter more for what the allocator has not given back yet.
    let bound = before + bound / 4 * 5;
    let mut asking: Vec<UnixStream> = (0..ASKING).map(|_| connect()).collect();
    send_without_reading(&mut asking, b"GET key\r\n", 1_000_000);
    let now = server.memory();
    assert!(now < bound, "from {before} to {now} bytes, where {bound} is the limit");
    for _ in 0..100 {
        served.ask(&["PING"]);
    }
    let mut listening: Vec<UnixStream> = (0..2 * LISTENING).map(|_| connect()).collect();
    let (subscribers, monitors) = listening.split_at_mut(LISTENING as usize);
    send_each(subscribers, &encode(&["SUBSCRIBE", "news"]));
    receive_each(subscribers, b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    send_each(monitors, b"MONITOR\r\n");
    receive_each(monitors, b"+OK\r\n");
    // More than the kernel holds for each of them.
    for _ in 0..1_000 {
        served.ask(&["PUBLISH", "news", &"x".repeat(10_000)]);
    }
    let now = server.memory();
    assert!(now < bound, "from {before} to {now} bytes, where {bound} is the limit");
    wait_until("those who listen to be cut off", PATIENCE, || connected(&mut served) == ASKING + 1);
    drop((asking, listening));
    assert_gone(&server, &mut served, before);
}

/// Many clients send a whole pipeline before they read anything: the server takes it in and executes it, although the
/// replies, more than sockets hold, are not read.
#[test]
fn a_pipeline_longer_than_any_buffer_gets_its_replies() {
    const REQUESTS: usize = 1_000_000;
    let server = Server::start(Program::Caskade, &[]);
    let key = "k".repeat(270);
    server.connect().ask(&["SET", &key, "a value of 20 bytes."]);
    let before = server.memory();
    let mut client = connect(&server);
    client.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    let (request, reply) = (encode(&["GET", &key]), b"$20\r\na value of 20 bytes.\r\n");
    assert!((REQUESTS * request.len()) as u64 > AHEAD_SHARED_BYTES, "longer than what is taken in ahead");
    let requests = request.repeat(1_000);
    for _ in 0..REQUESTS / 1_000 {
        client.write_all(&requests).expect("to send without reading");
    }
    let grown = server.memory().saturating_sub(before);
    let mut replies = vec![0; reply.len() * 1_000];
    for _ in 0..REQUESTS / 1_000 {
        client.read_exact(&mut replies).expect("all replies");
        assert_eq!(replies, reply.repeat(1_000));
    }
    let bound = FLAT_BYTES + 2 * (REQUESTS * reply.len()) as u64;
    assert!(grown < bound, "{grown} bytes more than before, beyond {bound}");
}
