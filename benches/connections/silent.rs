//! Clients that send and never read: what they have a server hold, and how long others wait meanwhile.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::common::request::encode;
use super::common::server::{Program, Server};
use super::resident;

const CLIENTS: usize = 1_000;

/// How large the value is that all ask for.
const VALUE_BYTES: usize = 100_000;

/// Once so long nothing more is taken from any of them, that is all.
const STUCK: Duration = Duration::from_secs(2);

/// What each of the clients sends.
struct Row {
    what: &'static str,
    /// What is sent once, and what is sent after that as often as the limit lets it.
    requests: fn() -> [Vec<u8>; 2],
    bytes_max: usize,
    /// What somebody else sends for them to read, so many times.
    others: fn() -> (Vec<u8>, usize),
    /// Redis has no bound for it, and this machine no room for what it would hold.
    only_caskade: bool,
}

fn nothing() -> (Vec<u8>, usize) {
    (Vec::new(), 0)
}

fn gets() -> [Vec<u8>; 2] {
    [Vec::new(), b"GET key\r\n".to_vec()]
}

const ROWS: &[Row] = &[
    Row { what: "20 GETs of 100 KB each", requests: gets, bytes_max: 180, others: nothing, only_caskade: false },
    Row {
        what: "2 MB of GETs of 100 KB each",
        requests: gets,
        bytes_max: 2_000_000,
        others: nothing,
        only_caskade: true,
    },
    Row {
        what: "8 MB of ECHOs of 1 KB each",
        requests: || [Vec::new(), encode(&[b"ECHO".to_vec(), vec![b'x'; 1_000]])],
        bytes_max: 8_000_000,
        others: nothing,
        only_caskade: true,
    },
    Row {
        what: "SUBSCRIBE, and 2,000 messages of 1 KB are published",
        requests: || [b"SUBSCRIBE news\r\n".to_vec(), Vec::new()],
        bytes_max: 0,
        others: || (encode(&[b"PUBLISH".to_vec(), b"news".to_vec(), vec![b'x'; 1_000]]), 2_000),
        only_caskade: false,
    },
    Row {
        what: "MONITOR, and somebody sends 2,000 ECHOs of 1 KB",
        requests: || [b"MONITOR\r\n".to_vec(), Vec::new()],
        bytes_max: 0,
        others: || (encode(&[b"ECHO".to_vec(), vec![b'x'; 1_000]]), 2_000),
        only_caskade: false,
    },
];

/// The rows as a table.
pub fn measure(programs: &[Program], is_quick: bool) -> String {
    let clients = if is_quick { CLIENTS / 10 } else { CLIENTS };
    let mut text = format!(
        "\n{clients} connections over a Unix socket that send and never read. What is resident at most, in MB, before they are there and then; \
         and how long one PING after the other of another connection takes meanwhile:\n\n\
         | each sends | | MB before | MB at most | PING p50 / p99 / most µs |\n| --- | --- | --- | --- | --- |\n"
    );
    for row in ROWS {
        for program in programs.iter().filter(|program| program.name != "Redis" || !row.only_caskade) {
            let line = measure_row(program, row, clients);
            print!("{line}");
            text.push_str(&line);
        }
    }
    text
}

fn measure_row(program: &Program, row: &Row, clients: usize) -> String {
    // What the kernel holds for so many would be all that it has for TCP.
    let directory = tempfile::Builder::new().prefix("caskade-bench-").tempdir().expect("a temporary directory");
    let socket = directory.path().join("socket");
    let mut program = program.clone();
    program.arguments.extend(["--unixsocket".to_owned(), socket.display().to_string()]);
    let server = program.start(None);
    server.fill(std::iter::once([b"key".to_vec(), vec![b'x'; VALUE_BYTES]]));
    let before = resident(&server);
    let ended = AtomicBool::new(false);
    let (most, mut pings) = std::thread::scope(|scope| {
        let most = scope.spawn(|| most_resident(&server, &ended));
        let pings = scope.spawn(|| pings(&server, &ended));
        let streams = send_all(&server, &socket, row, clients);
        ended.store(true, SeqCst);
        let results = (most.join().expect("a number"), pings.join().expect("times"));
        drop(streams);
        results
    });
    pings.sort_unstable();
    let at = |share: f64| pings[((pings.len() - 1) as f64 * share) as usize].as_micros();
    let mut line = String::new();
    let _ = writeln!(
        line,
        "| {} | {} | {} | {} | {} / {} / {} |",
        row.what,
        program.name,
        before / 1_000_000,
        most / 1_000_000,
        at(0.5),
        at(0.99),
        at(1.0)
    );
    line
}

fn most_resident(server: &Server, ended: &AtomicBool) -> u64 {
    let mut most = 0;
    while !ended.load(SeqCst) {
        most = most.max(resident(server));
        std::thread::sleep(Duration::from_millis(10));
    }
    most
}

fn pings(server: &Server, ended: &AtomicBool) -> Vec<Duration> {
    let (mut stream, mut times) = (server.connect(), Vec::new());
    while !ended.load(SeqCst) {
        let begin = Instant::now();
        stream.write_all(b"PING\r\n").expect("to send");
        stream.read_exact(&mut [0; 7]).expect("a reply");
        times.push(begin.elapsed());
        std::thread::sleep(Duration::from_millis(1));
    }
    times
}

/// A client, and how many bytes it has sent.
struct Silent {
    stream: UnixStream,
    sent: usize,
}

/// Has all clients send until they have sent all they want, or nothing more is taken from any.
fn send_all(server: &Server, socket: &Path, row: &Row, clients: usize) -> Vec<Silent> {
    let [first, again] = (row.requests)();
    let connect = || UnixStream::connect(socket).expect("a connection");
    let mut all: Vec<Silent> = (0..clients).map(|_| Silent { stream: connect(), sent: 0 }).collect();
    for client in &mut all {
        client.stream.write_all(&first).expect("to send");
        client.stream.set_nonblocking(true).expect("a socket that does not block");
    }
    let (message, count) = (row.others)();
    let mut other = server.connect();
    for _ in 0..count {
        other.write_all(&message).expect("to send");
        let _ = other.read(&mut [0; 2_000]).expect("a reply");
    }
    // Whole requests, so that wherever it is cut, the rest follows.
    let chunk = if again.is_empty() { Vec::new() } else { again.repeat((64 * 1024 / again.len()).max(1)) };
    let mut progress = Instant::now();
    while progress.elapsed() < STUCK {
        for client in &mut all {
            while client.sent < row.bytes_max {
                let at = client.sent % chunk.len();
                let piece = &chunk[at..chunk.len().min(at + row.bytes_max - client.sent)];
                match client.stream.write(piece) {
                    Ok(sent) => (client.sent, progress) = (client.sent + sent, Instant::now()),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{}: {error}", row.what),
                }
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    all
}
