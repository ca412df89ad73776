//! What compaction costs under a steady overwrite: `cargo bench --bench compaction`.
//!
//! 2 million keys with values of 200 bytes are overwritten at random at half of the rate that the server keeps up with. Without
//! compaction, and with it, on the same server one after the other: how long requests take; and how large the directory
//! grows and how much is written for each byte of the users' while compaction keeps up.
//!
//! Always true: a request's time counts from when it was due, not from when it could be sent, so that no pause is left
//! out; every reply is looked at.

#[path = "../common/mod.rs"]
mod common;

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use common::load::{self, Latencies, Load};
use common::server::{Program, Server};
use common::{machine, page};

const KEYS: usize = 2_000_000;
const VALUE_BYTES: usize = 200;
/// What counts as keeping up, in microseconds.
const LATENCY_MAX: f64 = 5_000.0;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let program = Program::caskade();
    let server = program.start(None);
    let pairs = (0..KEYS).map(|number| [load::key(number).to_vec(), vec![b'v'; VALUE_BYTES]]);
    server.fill(pairs);
    let seconds = |whole: u64| Duration::from_secs(if quick { whole.div_ceil(6) } else { whole });
    let most = Load::sustainable(&server, KEYS, VALUE_BYTES, LATENCY_MAX, seconds(5));
    let rate = most / 2.0;

    command(&server, &["CONFIG", "SET", "space-amplification", "100"]);
    let without = Load::new(&server, KEYS, VALUE_BYTES).run(Some(rate), seconds(30));
    command(&server, &["CONFIG", "SET", "space-amplification", "1.5"]);
    // What has come together meanwhile goes first.
    Load::new(&server, KEYS, VALUE_BYTES).run(Some(rate), seconds(60));
    let before = Counters::read(&server);
    let (stop, stopped) = mpsc::channel::<()>();
    // On a thread of its own: the load must not wait for it.
    let (with, sizes) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| sample(&server, stopped));
        let with = Load::new(&server, KEYS, VALUE_BYTES).run(Some(rate), seconds(120));
        drop(stop);
        (with, sampler.join().expect("sizes"))
    });
    let after = Counters::read(&server);
    let appended = (after.appended - before.appended) as f64;
    let written = (after.written - before.written) as f64;

    let mut text = machine::describe(&[(program.name, program.path.as_path())]);
    let _ = writeln!(
        text,
        "- {KEYS} keys, values of {VALUE_BYTES} bytes, 50 connections, half SET and half GET at random; the most that was answered within {} ms (p99) was \
         {most:.0} requests/s, what follows is at {rate:.0}/s; `cargo bench --bench compaction`{}\n",
        LATENCY_MAX / 1_000.0,
        if quick { " -- --quick" } else { "" }
    );
    text.push_str("| | p50 µs | p99 µs | p99.9 µs | most µs |\n| --- | --- | --- | --- | --- |\n");
    for (name, latencies) in [
        ("SET without compaction", &without.set),
        ("SET with compaction", &with.set),
        ("GET without compaction", &without.get),
        ("GET with compaction", &with.get),
    ] {
        let Latencies { p50, p99, p999, max } = *latencies;
        let _ = writeln!(text, "| {name} | {p50:.0} | {p99:.0} | {p999:.0} | {max:.0} |");
    }
    let ratio = |with: &Latencies, without: &Latencies| with.p999 / without.p999;
    let _ = writeln!(
        text,
        "\np99.9 with compaction by that without: SET {:.2}, GET {:.2}. The directory was at most {:.2} times what was alive; for \
         each byte that users wrote, {:.2} were written to the log ({:.0} MB by users, {:.0} MB by compaction).",
        ratio(&with.set, &without.set),
        ratio(&with.get, &without.get),
        sizes.iter().copied().fold(0.0, f64::max),
        (appended + written) / appended,
        appended / 1e6,
        written / 1e6
    );
    println!("{text}");
    if !quick {
        page::write("compaction", &text);
    }
}

/// How large the directory is, each second, as a multiple of what is alive.
fn sample(server: &Server, stopped: mpsc::Receiver<()>) -> Vec<f64> {
    let mut sizes = Vec::new();
    while stopped.recv_timeout(Duration::from_secs(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
        sizes.push(server.directory_bytes() as f64 / Counters::read(server).live as f64);
    }
    sizes
}

/// What INFO says of the log.
struct Counters {
    live: u64,
    appended: u64,
    written: u64,
}

impl Counters {
    fn read(server: &Server) -> Self {
        let text = command(server, &["INFO", "caskade"]);
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
        };
        Self {
            live: field("log_live_bytes"),
            appended: field("log_appended"),
            written: field("compaction_written_bytes"),
        }
    }
}

/// The first piece of the reply.
fn command(server: &Server, words: &[&str]) -> String {
    let mut stream: TcpStream = server.connect();
    let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    stream.write_all(&common::request::encode(&words)).expect("to send");
    let mut reply = vec![0; 64 << 10];
    let mut received = stream.read(&mut reply).expect("a reply");
    while reply[0] == b'$' && !reply[..received].ends_with(b"\r\n") {
        received += stream.read(&mut reply[received..]).expect("the rest");
    }
    let text = String::from_utf8_lossy(&reply[..received]).into_owned();
    assert!(!text.starts_with('-'), "{words:?}: {text}");
    text
}
