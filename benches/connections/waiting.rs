//! Clients that wait: what each of them takes.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::common::request::encode;
use super::common::server::{Program, Server};
use super::{resident, tls};

/// Memory counts once it has not shrunk for so long: Redis looks at idle clients for several seconds.
const SETTLED: Duration = Duration::from_secs(4);

const MEGABYTE: usize = 1_000_000;

/// How the clients of a row come, and how many.
struct Row {
    what: &'static str,
    come: fn(&Server, &tls::Setup) -> Box<dyn Read>,
    counts: &'static [usize],
}

const ROWS: &[Row] = &[
    Row { what: "idle", come: idle, counts: &[1_000, 10_000] },
    Row { what: "idle, after 1 MB there and back", come: after_much, counts: &[1_000, 10_000] },
    Row { what: "subscribed to one channel", come: subscriber, counts: &[1_000, 10_000] },
    Row { what: "idle, with TLS", come: idle_tls, counts: &[1_000] },
];

/// The rows as a table.
pub fn measure(programs: &[Program], is_quick: bool) -> String {
    let names: String = programs.iter().map(|program| format!(" {} |", program.name)).collect();
    let mut text = format!("\nResident bytes for each connection:\n\n| | connections |{names}\n| --- | --- |");
    text.push_str(&" --- |".repeat(programs.len()));
    for row in ROWS {
        for count in row.counts.iter().copied().filter(|count| !is_quick || *count == 1_000) {
            let _ = write!(text, "\n| {} | {count} |", row.what);
            for program in programs {
                let bytes = bytes_each(program, row, count);
                println!("{}, {count}, {}: {bytes}", row.what, program.name);
                let _ = write!(text, " {bytes} |");
            }
        }
    }
    text.push('\n');
    text
}

fn bytes_each(program: &Program, row: &Row, count: usize) -> i64 {
    let (setup, mut program) = (tls::Setup::new(), program.clone());
    program.arguments.extend(setup.arguments());
    let server = program.start(None);
    // What the first connection alone needs is there already.
    drop((row.come)(&server, &setup));
    let before = settled(&server);
    let clients: Vec<_> = (0..count).map(|_| (row.come)(&server, &setup)).collect();
    let after = settled(&server);
    drop(clients);
    (after as i64 - before as i64) / count as i64
}

/// The least that is resident, once it does not get less.
fn settled(server: &Server) -> u64 {
    let (mut least, mut since) = (u64::MAX, Instant::now());
    while since.elapsed() < SETTLED {
        let now = resident(server);
        if now < least {
            (least, since) = (now, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    least
}

/// Sends, and reads a reply of so many bytes.
fn exchange(stream: &mut (impl Read + Write), request: &[u8], reply_bytes: usize) {
    stream.write_all(request).expect("to send");
    stream.read_exact(&mut vec![0; reply_bytes]).expect("a reply");
}

fn connect(server: &Server) -> TcpStream {
    let mut stream = server.connect();
    exchange(&mut stream, b"PING\r\n", 7);
    stream
}

fn idle(server: &Server, _: &tls::Setup) -> Box<dyn Read> {
    Box::new(connect(server))
}

fn after_much(server: &Server, _: &tls::Setup) -> Box<dyn Read> {
    let mut stream = connect(server);
    let value = vec![b'x'; MEGABYTE];
    exchange(&mut stream, &encode(&[b"SET".to_vec(), b"key".to_vec(), value]), 5);
    exchange(&mut stream, b"GET key\r\n", MEGABYTE + 12);
    Box::new(stream)
}

fn subscriber(server: &Server, _: &tls::Setup) -> Box<dyn Read> {
    let mut stream = connect(server);
    exchange(&mut stream, b"SUBSCRIBE news\r\n", "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n".len());
    Box::new(stream)
}

fn idle_tls(_: &Server, setup: &tls::Setup) -> Box<dyn Read> {
    let mut stream = setup.connect();
    exchange(&mut stream, b"PING\r\n", 7);
    Box::new(stream)
}
