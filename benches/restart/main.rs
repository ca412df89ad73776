//! How long a restart takes, beside redis-server: `cargo bench --bench restart`.
//!
//! Both servers are given the same keys, one SET for each, with their logs on. Then they take turns: each is ended and started
//! again, and the time counts from the start of the process until it answers.
//!
//! Always true: what a server has after its last restart is what it was given.

#[path = "../common/mod.rs"]
mod common;

use std::fmt::Write as _;
use std::io::{Read, Write as _};

use common::server::{Program, Server};
use common::{machine, page};

const KEYS: usize = 10_000_000;
const VALUE_BYTES: usize = 100;
const ROUNDS: usize = 3;
/// Keys that are set again before each kill.
const SET_AGAIN: usize = 100_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let keys = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => KEYS,
        ["--keys", number] => number.parse().unwrap_or_else(|_| panic!("{number} is no number of keys")),
        _ => panic!("known is --keys NUMBER"),
    };
    let programs: Vec<Program> = std::iter::once(Program::caskade()).chain(Program::redis()).collect();
    let described: Vec<_> = programs.iter().map(|program| (program.name, program.path.as_path())).collect();
    let mut text = machine::describe(&described);
    let _ =
        writeln!(text, "- {keys} keys of 16 bytes, values of {VALUE_BYTES}, set one by one; median of {ROUNDS} rounds");
    let mut servers: Vec<Server> = programs.iter().map(|program| program.start(None)).collect();
    for server in &servers {
        server.set_each((0..keys).map(pair));
    }
    let mut seconds: Vec<[Vec<f64>; 2]> = servers.iter().map(|_| [Vec::new(), Vec::new()]).collect();
    for _ in 0..ROUNDS {
        for (server, seconds) in servers.iter_mut().zip(&mut seconds) {
            seconds[0].push(server.restart(false).as_secs_f64());
            // So that a kill leaves a segment that is not complete.
            server.set_each((0..keys.min(SET_AGAIN)).map(pair));
            seconds[1].push(server.restart(true).as_secs_f64());
        }
    }
    servers.iter().for_each(|server| assert_eq!(size(server), keys, "{}", server.name()));
    text.push_str("\n| | seconds after a clean stop | after kill -9 |\n| --- | --- | --- |\n");
    let medians: Vec<[f64; 2]> = seconds.iter().map(|both| [median(&both[0]), median(&both[1])]).collect();
    for (server, [clean, killed]) in servers.iter().zip(&medians) {
        let _ = writeln!(text, "| {} | {clean:.2} | {killed:.2} |", server.name());
    }
    if let [caskade, redis] = medians[..] {
        let _ = writeln!(
            text,
            "| Redis by Caskade | **{:.1}** | **{:.1}** |",
            redis[0] / caskade[0],
            redis[1] / caskade[1]
        );
    }
    println!("{text}");
    if keys == KEYS && servers.len() == 2 {
        page::write("restart", &text);
    }
}

fn pair(number: usize) -> [Vec<u8>; 2] {
    [format!("key:{number:012}").into_bytes(), format!("{number:0VALUE_BYTES$}").into_bytes()]
}

fn median(seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// How many keys a server has.
fn size(server: &Server) -> usize {
    let mut stream = server.connect();
    stream.write_all(b"DBSIZE\r\n").expect("to send");
    let mut reply = [0; 32];
    let received = stream.read(&mut reply).expect("a reply");
    let text = String::from_utf8_lossy(&reply[..received]).into_owned();
    text.trim().strip_prefix(':').and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}
