//! A data set larger than memory: `cargo bench --bench larger`.
//!
//! 5 million keys with values of 1 KB under a `maxmemory` of 512 MB: how long loading and a restart take, and what memory is held;
//! how many GETs a second are answered that miss the memory, beside what fio reads at random from the same segments in blocks
//! of 4 KiB with as many reads under way, once with nothing of the segments in the page cache and once with all of them, and
//! beside GETs that find their values in memory; and how long those of other connections take meanwhile.
//!
//! Always true: the server and fio take turns within each round, from the same state of the page cache; every reply is looked
//! at; only reads that went to the page cache or the disk count as such.

#[path = "../common/mod.rs"]
mod common;
mod fio;
mod load;

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use common::server::{Program, Server};
use common::{cpu, machine, page};
use load::{Gets, Measured};

const KEYS: usize = 5_000_000;
const MEGABYTES: usize = 512;
const ROUNDS: usize = 3;
const SECONDS: f64 = 3.0;

/// Keys that stay in memory because they are read again and again.
const HOT_KEYS: usize = 20_000;

/// Connections, requests that each sends together, and whether those are one MGET.
const SHAPES: [(usize, usize, bool); 6] =
    [(1, 1, false), (16, 1, false), (64, 1, false), (1, 16, false), (1, 16, true), (16, 16, false)];

/// Hot GETs each second on other connections while cold ones run.
const BESIDE_RATE: f64 = 4_000.0;

struct Options {
    keys: usize,
    megabytes: usize,
    rounds: usize,
    time: Duration,
    given: String,
}

impl Options {
    fn read() -> Self {
        let given: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
        let mut options = Self {
            keys: KEYS,
            megabytes: MEGABYTES,
            rounds: ROUNDS,
            time: Duration::from_secs_f64(SECONDS),
            given: given.iter().map(|word| format!(" {word}")).collect(),
        };
        for pair in given.chunks(2) {
            let [name, number] = pair else { panic!("{} needs a number", pair[0]) };
            let number: f64 = number.parse().unwrap_or_else(|_| panic!("{number} is no number"));
            match name.as_str() {
                "--keys" => options.keys = number as usize,
                "--megabytes" => options.megabytes = number as usize,
                "--rounds" => options.rounds = number as usize,
                "--seconds" => options.time = Duration::from_secs_f64(number),
                _ => panic!("known are --keys, --megabytes, --rounds and --seconds, each with a number"),
            }
        }
        options
    }
}

fn main() {
    let options = Options::read();
    let mut program = Program::caskade();
    program.arguments = vec!["--maxmemory".to_owned(), format!("{}mb", options.megabytes)];
    let mut server = program.start(None);
    let began = Instant::now();
    server.fill((0..options.keys).map(|number| [load::key(number), load::value(number)]));
    let loaded = began.elapsed();
    wait_until_settled(&server);
    let held = Held::of(&server);
    let restarts = [server.restart(false), server.restart(true)].map(|time| time.as_secs_f64());
    wait_until_settled(&server);
    let cold = Held::of(&server);
    let has_fio = fio::is_there();
    if !has_fio {
        println!("fio is not installed: what the disk can do is not measured");
    }

    let mut tables = String::new();
    for (state, is_cached) in
        [("nothing of the segments in the page cache", false), ("all of them in the page cache", true)]
    {
        let _ = writeln!(
            tables,
            "\nWith {state}; medians of {} rounds, a ratio is the median of those within the rounds:\n\n\
             | connections x requests | reads/s | fio reads/s | by fio | hot GETs/s | by hot | CPU µs a GET | hot CPU µs | p50 / p99 µs | hot p50 / p99 µs |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            options.rounds
        );
        for shape in SHAPES {
            let row = compare(&server, shape, is_cached, has_fio, &options);
            println!("{row}");
            let _ = writeln!(tables, "{row}");
        }
    }
    let beside = beside(&server, &options);
    let end = Held::of(&server);

    let mut text = machine::describe(&[(program.name, program.path.as_path())]);
    let _ = writeln!(
        text,
        "- {} keys of 16 bytes, values of {} bytes, `maxmemory {}mb`; {:.2} GB of segments; `cargo bench --bench larger{}`\n\n\
         | | |\n| --- | --- |\n\
         | loading, MSETs of 1000 on one connection | {:.0} keys/s |\n\
         | start after a clean stop, after kill -9 | {:.2} s, {:.2} s |\n\
         | memory that keys and their index take | {:.1} bytes a key |\n\
         | `used_memory` loaded, after a restart, in the end | {}, {}, {} MB |\n\
         | resident loaded, after a restart, in the end | {}, {}, {} MB |\n\
         | the most that was resident (`VmHWM`) since the restart | {} MB |",
        options.keys,
        load::VALUE_BYTES,
        options.megabytes,
        fio::bytes(&fio::segments(server.home())) as f64 / 1e9,
        if options.given.is_empty() { String::new() } else { format!(" --{}", options.given) },
        options.keys as f64 / loaded.as_secs_f64(),
        restarts[0],
        restarts[1],
        cold.index as f64 / options.keys as f64,
        held.used >> 20,
        cold.used >> 20,
        end.used >> 20,
        held.resident >> 20,
        cold.resident >> 20,
        end.resident >> 20,
        end.most >> 20,
    );
    text.push_str(&tables);
    text.push_str(&beside);
    println!("{text}");
    if options.given.is_empty() && has_fio {
        page::write("larger", &text);
    }
}

/// One row: GETs that miss, fio, and GETs that hit, of one shape.
fn compare(
    server: &Server,
    (connections, depth, together): (usize, usize, bool),
    is_cached: bool,
    has_fio: bool,
    options: &Options,
) -> String {
    let gets = |keys, seed| Gets { connections, depth, keys, together, rate: None, seed };
    let set_state = || {
        let files = fio::segments(server.home());
        if is_cached {
            fio::remember(&files)
        } else {
            fio::forget(&files)
        }
        files
    };
    let (mut rows, never) = (Vec::new(), AtomicBool::new(false));
    for round in 0..options.rounds as u64 {
        make_hot(server, options);
        let hot = with_cpu(server, || gets(0..HOT_KEYS.min(options.keys), round).run(server, options.time, &never));
        set_state();
        let before = Hits::of(server);
        let cold = with_cpu(server, || gets(0..options.keys, fresh_seed()).run(server, options.time, &never));
        let missed = Hits::of(server).missed_since(&before);
        let files = set_state();
        let disk = if has_fio { fio::run(&files, connections * depth, options.time, 1 + round) } else { f64::NAN };
        rows.push(Row {
            reads: cold.0.rate * missed,
            cold: cold.0,
            cold_cpu: cold.1,
            disk,
            hot: hot.0,
            hot_cpu: hot.1,
        });
    }
    let median = |of: &dyn Fn(&Row) -> f64| median(rows.iter().map(of).collect());
    format!(
        "| {connections} x {depth}{} | {:.0} | {:.0} | **{:.2}** | {:.0} | **{:.2}** | {:.2} | {:.2} | {:.0} / {:.0} | {:.0} / {:.0} |",
        if together { " in one MGET" } else { "" },
        median(&|row| row.reads),
        median(&|row| row.disk),
        median(&|row| row.reads / row.disk),
        median(&|row| row.hot.rate),
        median(&|row| row.reads / row.hot.rate),
        median(&|row| row.cold_cpu),
        median(&|row| row.hot_cpu),
        median(&|row| row.cold.p50),
        median(&|row| row.cold.p99),
        median(&|row| row.hot.p50),
        median(&|row| row.hot.p99),
    )
}

/// What one round has come to.
struct Row {
    cold: Measured,
    /// Reads a second that missed the memory.
    reads: f64,
    cold_cpu: f64,
    disk: f64,
    hot: Measured,
    hot_cpu: f64,
}

/// What came of it, and the CPU time that a GET took the server, in microseconds.
fn with_cpu(server: &Server, run: impl FnOnce() -> Measured) -> (Measured, f64) {
    let (before, began) = (cpu::time(server.child.id()), Instant::now());
    let measured = run();
    let taken = cpu::time(server.child.id()).saturating_sub(before);
    (measured, taken as f64 / 1e3 / (measured.rate * began.elapsed().as_secs_f64()))
}

/// Hot GETs at a fixed rate, with nothing else going on and beside cold ones of several shapes.
fn beside(server: &Server, options: &Options) -> String {
    let (hot_keys, never) = (0..HOT_KEYS.min(options.keys), AtomicBool::new(false));
    let hot = |round| Gets {
        connections: 8,
        depth: 1,
        keys: hot_keys.clone(),
        together: false,
        rate: Some(BESIDE_RATE),
        seed: round,
    };
    let mut text = format!(
        "\nHot GETs on 8 connections, {BESIDE_RATE} each second, alone and while other connections read cold values; medians of {} rounds:\n\n\
         | beside | hot p50 / p99 µs alone | hot p50 / p99 µs meanwhile | p99 by p99 | cold reads/s |\n| --- | --- | --- | --- | --- |\n",
        options.rounds
    );
    for (connections, depth, is_cached) in
        [(1, 1, false), (16, 1, false), (64, 1, false), (16, 16, false), (16, 1, true)]
    {
        let mut rows = Vec::new();
        for round in 0..options.rounds as u64 {
            make_hot(server, options);
            let files = fio::segments(server.home());
            if is_cached {
                fio::remember(&files)
            } else {
                fio::forget(&files)
            }
            let alone = hot(round).run(server, options.time, &never);
            let stop = AtomicBool::new(false);
            let cold =
                Gets { connections, depth, keys: 0..options.keys, together: false, rate: None, seed: fresh_seed() };
            let (meanwhile, cold) = std::thread::scope(|scope| {
                let cold = scope.spawn(|| cold.run(server, Duration::MAX, &stop));
                let meanwhile = hot(round).run(server, options.time, &never);
                stop.store(true, SeqCst);
                (meanwhile, cold.join().expect("cold reads"))
            });
            rows.push((alone, meanwhile, cold));
        }
        let median = |of: &dyn Fn(&(Measured, Measured, Measured)) -> f64| median(rows.iter().map(of).collect());
        let row = format!(
            "| {connections} x {depth}{} | {:.0} / {:.0} | {:.0} / {:.0} | **{:.2}** | {:.0} |",
            if is_cached { ", page cache" } else { "" },
            median(&|row| row.0.p50),
            median(&|row| row.0.p99),
            median(&|row| row.1.p50),
            median(&|row| row.1.p99),
            median(&|row| row.1.p99 / row.0.p99),
            median(&|row| row.2.rate),
        );
        println!("{row}");
        let _ = writeln!(text, "{row}");
    }
    text
}

/// Waits until the server has done what loading or starting has left to do: near its limit, it is never quite idle.
fn wait_until_settled(server: &Server) {
    const WATCHED: Duration = Duration::from_millis(500);
    let began = Instant::now();
    loop {
        let before = cpu::time(server.child.id());
        std::thread::sleep(WATCHED);
        let taken = cpu::time(server.child.id()).checked_sub(before);
        if taken.is_some_and(|taken| taken < WATCHED.as_nanos() as u64 / 10) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "the server does not settle");
    }
}

/// Other keys each time, so that nothing finds what was read before it.
fn fresh_seed() -> u64 {
    static SEED: AtomicU64 = AtomicU64::new(1000);
    SEED.fetch_add(1, SeqCst)
}

/// Reads the hot keys until their values are in memory.
fn make_hot(server: &Server, options: &Options) {
    let mut stream = server.connect();
    for _ in 0..4 {
        for first in (0..HOT_KEYS.min(options.keys)).step_by(100) {
            let mut words = vec![b"MGET".to_vec()];
            words.extend((first..first + 100).map(load::key));
            stream.write_all(&common::request::encode(&words)).expect("to send");
            let mut reply = vec![0; b"*100\r\n".len() + 100 * (b"$1024\r\n".len() + load::VALUE_BYTES + 2)];
            stream.read_exact(&mut reply).expect("values");
        }
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Where look-ups found their values, since the server's start.
struct Hits {
    memory: u64,
    missed: u64,
}

impl Hits {
    fn of(server: &Server) -> Self {
        let text = info(server);
        let missed = field(&text, "hits_page_cache") + field(&text, "hits_disk");
        Self { memory: field(&text, "hits_memory"), missed }
    }

    /// The part of them that was not found in memory.
    fn missed_since(&self, before: &Self) -> f64 {
        let missed = (self.missed - before.missed) as f64;
        missed / (missed + (self.memory - before.memory) as f64)
    }
}

/// What a server holds, in bytes.
struct Held {
    used: u64,
    index: u64,
    resident: u64,
    most: u64,
}

impl Held {
    fn of(server: &Server) -> Self {
        let text = info(server);
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).expect("its status");
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) << 10
        };
        let (used, index) = (field(&text, "used_memory"), field(&text, "memory_index"));
        Self { used, index, resident: kilobytes("VmRSS"), most: kilobytes("VmHWM") }
    }
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

fn info(server: &Server) -> String {
    let mut stream = server.connect();
    stream.write_all(b"INFO everything\r\n").expect("to send");
    let mut reply = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        let received = stream.read(&mut part).expect("a reply");
        reply.extend_from_slice(&part[..received]);
        let text = String::from_utf8_lossy(&reply);
        let (head, rest) = text.split_once("\r\n").expect("a length");
        if rest.len() >= head[1..].parse::<usize>().expect("a length") + 2 {
            return rest.to_owned();
        }
    }
}
