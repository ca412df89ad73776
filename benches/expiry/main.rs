//! How long after their deadlines keys and fields are gone, beside redis-server: `cargo bench --bench expiry`.
//!
//! 1 million volatile keys are there whose time is far away. What expires meanwhile is told of by keyspace notifications, and
//! its lag is the time from the deadline until a subscriber has read of it: on an otherwise idle server, at 70 % of the load it
//! keeps up with, and when 100,000 have the same deadline, while other clients' requests are timed.
//!
//! Always true: every key and field of a row counts, those that were not told of within five seconds of their last deadline
//! as well; a lag counts from the deadline to the client's clock, on the same machine.

#[path = "../common/mod.rs"]
mod common;

mod events;
mod memory;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use caskade::allocator;
use common::load::{Load, Measured, key};
use common::server::{Program, Server};
use common::{machine, page};
use events::{Kind, Lags, Spread, Subscriber};

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

/// Keys without a deadline, which the load reads and writes.
const LOADED_KEYS: usize = 100_000;
const VALUE_BYTES: usize = 100;
/// What counts as keeping up, in microseconds.
const LATENCY_MAX: f64 = 5_000.0;
/// The part of the load that the server keeps up with.
const LOADED: f64 = 0.7;
/// Other clients' requests each second while many keys expire at once.
const ASIDE: f64 = 2_000.0;

/// How much is measured.
struct Scale {
    volatile: usize,
    events: usize,
    spread: Duration,
    together: usize,
    rounds: usize,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let [memory::COMMAND, which, count] = words[..] {
        allocator::configure();
        memory::run(which, count.parse().expect("a number of keys"));
        return ExitCode::SUCCESS;
    }
    let is_quick = words.contains(&"--quick");
    let only = words.iter().position(|word| *word == "--only").map(|at| words[at + 1]);
    let scale = if is_quick {
        Scale { volatile: 100_000, events: 500, spread: Duration::from_secs(4), together: 20_000, rounds: 1 }
    } else {
        Scale { volatile: 1_000_000, events: 2_000, spread: Duration::from_secs(20), together: 100_000, rounds: 3 }
    };
    let programs: Vec<Program> = std::iter::once(Program::caskade()).chain(Program::redis()).collect();
    let mut text = machine::describe(&programs.iter().map(|one| (one.name, one.path.as_path())).collect::<Vec<_>>());
    let _ = writeln!(
        text,
        "- {} volatile keys of 16 bytes that do not expire meanwhile, {LOADED_KEYS} others, values of {VALUE_BYTES} bytes; `cargo bench --bench expiry`\n",
        scale.volatile
    );
    let (mut lags, mut waits) = (String::new(), String::new());
    for program in programs.iter().filter(|_| only.is_none_or(|only| only == "lag")) {
        measure(program, &scale, &mut lags, &mut waits);
    }
    if only.is_none_or(|only| only == "lag") {
        text.push_str(
            "How long after the deadline a subscriber has read that a key or field is gone, in milliseconds; one that was not told \
             of within 5 s of the last deadline is as late as that at least:\n\n\
             | | | told of | p50 | p99 | most |\n| --- | --- | --- | --- | --- | --- |\n",
        );
        text.push_str(&lags);
        text.push_str("\nHow long requests of others took meanwhile, in milliseconds:\n\n");
        text.push_str("| | | requests/s | p50 | p99 | most |\n| --- | --- | --- | --- | --- | --- |\n");
        text.push_str(&waits);
    }
    let mut is_within = true;
    if only.is_none_or(|only| only == "memory") {
        let (rows, within) = memory::compare(scale.volatile);
        text.push_str(&rows);
        is_within = within;
    }
    println!("{text}");
    if !is_quick && only.is_none() && programs.len() == 2 {
        page::write("expiry", &text);
    }
    if is_within {
        return ExitCode::SUCCESS;
    }
    eprintln!("a deadline takes more than {} bytes", memory::BYTES_MAX);
    ExitCode::FAILURE
}

/// All rows of one server.
fn measure(program: &Program, scale: &Scale, lags: &mut String, waits: &mut String) {
    let mut program = program.clone();
    let is_redis = program.name == "Redis";
    let classes = if is_redis { "Ex" } else { "Exh" };
    program.arguments.extend(["--notify-keyspace-events".to_owned(), classes.to_owned()]);
    let server = program.start(None);
    server.fill((0..LOADED_KEYS).map(|number| [key(number).to_vec(), vec![b'v'; VALUE_BYTES]]));
    events::fill_volatile(&server, scale.volatile, VALUE_BYTES);
    let name = program.name;
    let mut lag = |row: &str, lags_of: &Lags| {
        let line = format!("| {row} | {name} | {lags_of} |");
        println!("{line}");
        let _ = writeln!(lags, "{line}");
    };
    let mut wait = |row: &str, measured: &Measured| {
        let most = [&measured.set, &measured.get].map(|one| one.max).into_iter().fold(0.0, f64::max);
        let p99 = measured.set.p99.max(measured.get.p99);
        let p50 = measured.set.p50.max(measured.get.p50);
        let line = format!(
            "| {row} | {name} | {:.0} | {:.2} | {:.2} | {:.2} |",
            measured.rate,
            p50 / 1e3,
            p99 / 1e3,
            most / 1e3
        );
        println!("{line}");
        let _ = writeln!(waits, "{line}");
    };
    let kinds: &[Kind] = if is_redis { &[Kind::Key] } else { &[Kind::Key, Kind::Field] };
    let most = Load::sustainable(&server, LOADED_KEYS, VALUE_BYTES, LATENCY_MAX, scale.spread / 4);
    for kind in kinds {
        let spread = Spread { kind: *kind, events: scale.events, over: scale.spread };
        lag(&format!("{kind}, otherwise idle"), &events::one_by_one(&server, &spread, || {}));
        let mut measured = None;
        let rate = most * LOADED;
        let loaded = events::one_by_one(&server, &spread, || {
            let time = spread.over + Duration::from_secs(1);
            measured = Some(Load::new(&server, LOADED_KEYS, VALUE_BYTES).run(Some(rate), time));
        });
        lag(&format!("{kind}, at 70 % load"), &loaded);
        measured.iter().for_each(|measured| wait(&format!("{kind}, at 70 % load"), measured));
    }
    let aside = |server: &Server, time| Load::new(server, LOADED_KEYS, VALUE_BYTES).run(Some(ASIDE), time);
    wait("nothing expires", &aside(&server, Duration::from_secs(4)));
    for kind in kinds {
        for _ in 0..scale.rounds {
            let row = format!("{} {kind}s at once", scale.together);
            let mut subscriber = Subscriber::new(&server, *kind);
            let deadline = events::set_together(&server, *kind, scale.together);
            let (lags_of, measured) = std::thread::scope(|scope| {
                let lags = scope.spawn(|| subscriber.read(scale.together, deadline));
                let left = deadline.saturating_sub(events::now());
                let measured = aside(&server, Duration::from_micros(left) + Duration::from_secs(2));
                (lags.join().expect("lags"), measured)
            });
            lag(&row, &lags_of);
            wait(&row, &measured);
        }
    }
}
