//! What share of reads is answered from memory around a restart, beside redis-server: `cargo bench --bench warm`.
//!
//! A load asks for keys by Zipf's law, as many in a second whatever becomes of them, of a data set that is several times what
//! memory may hold. Redis has the same limit and is used as the cache that it then is: whoever does not find a key sets it. Between
//! the end of a process and the start of the next, the kernel is told to forget the files, as after a reboot.
//!
//! Always true: each value that comes is the one that was set; a request without an answer counts as one that was not
//! answered from memory.

#[path = "../common/mod.rs"]
mod common;

mod load;
mod zipf;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use common::server::{Program, Server};
use common::{machine, page};
use load::{Load, Step};
use rustix::fs::{Advice, fadvise};

const KEYS: usize = 1_000_000;
const VALUE_BYTES: usize = 1000;
const LIMIT_MEGABYTES: usize = 256;
/// Requests each second.
const RATE: usize = 20_000;
/// How long the load goes on before anything is measured.
const WARM_UP: Duration = Duration::from_secs(40);
/// How long it is watched before the restart, and after.
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(20);
/// Seconds after the end of the old process, at which a row of the table ends.
const ROWS: [f64; 12] = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 20.0];

/// One way to restart a server.
struct Case {
    title: &'static str,
    program: Program,
    by_kill: bool,
}

/// What came of it.
struct Measured {
    title: &'static str,
    before: f64,
    /// Shares up to each row's moment, from the one before.
    after: Vec<f64>,
    /// Seconds until it answered.
    away: f64,
    /// Seconds until 95 of 100 parts of what was the share before are reached.
    recovered: Option<f64>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let (mut keys, mut limit, mut only) = (KEYS, LIMIT_MEGABYTES, None);
    for pair in arguments.chunks(2) {
        match pair {
            [name, value] if name == "--keys" => keys = value.parse().expect("a number of keys"),
            [name, value] if name == "--limit-mb" => limit = value.parse().expect("megabytes"),
            [name, value] if name == "--only" => only = Some(value.clone()),
            _ => panic!("known are --keys NUMBER, --limit-mb MEGABYTES and --only PART-OF-A-TITLE"),
        }
    }
    let cases: Vec<Case> = cases(limit)
        .into_iter()
        .filter(|case| only.as_ref().is_none_or(|part| case.title.contains(part.as_str())))
        .collect();
    let measured: Vec<Measured> = cases.iter().map(|case| measure(case, keys)).collect();
    let programs: Vec<Program> = std::iter::once(Program::caskade()).chain(Program::redis()).collect();
    let described: Vec<_> = programs.iter().map(|program| (program.name, program.path.as_path())).collect();
    let mut text = machine::describe(&described);
    let _ = writeln!(
        text,
        "- {keys} keys of 16 bytes, values of {VALUE_BYTES}, `maxmemory` {limit} MB, {RATE} GETs a second by Zipf's law (0.99)\n"
    );
    text.push_str(&table(&measured));
    println!("{text}");
    if only.is_none() && keys == KEYS && limit == LIMIT_MEGABYTES && cases.len() > 3 {
        page::write("warm", &text);
    }
}

fn cases(limit: usize) -> Vec<Case> {
    let memory = ["--maxmemory".to_owned(), format!("{limit}mb")];
    let with = |program: Program, more: &[&str]| {
        let more = more.iter().map(|word| (*word).to_owned());
        let arguments = program.arguments.iter().cloned().chain(memory.clone()).chain(more).collect();
        Program { arguments, ..program }
    };
    let caskade = |more: &[&str]| with(Program::caskade(), more);
    let mut cases = vec![
        Case { title: "Caskade, SIGTERM", program: caskade(&[]), by_kill: false },
        Case { title: "Caskade, kill -9", program: caskade(&["--warm-restart-interval", "10"]), by_kill: true },
        Case { title: "Caskade, `warm-restart no`", program: caskade(&["--warm-restart", "no"]), by_kill: false },
    ];
    if let Some(redis) = Program::redis() {
        let redis = |more: &[&str]| with(redis.clone(), &[&["--maxmemory-policy", "allkeys-lfu"], more].concat());
        cases.push(Case { title: "Redis, AOF, SIGTERM", program: redis(&[]), by_kill: false });
        let rdb = redis(&["--appendonly", "no", "--save", "3600 1"]);
        cases.push(Case { title: "Redis, RDB, SIGTERM", program: rdb, by_kill: false });
        cases.push(Case { title: "Redis without a log", program: redis(&["--appendonly", "no"]), by_kill: false });
    }
    cases
}

fn measure(case: &Case, keys: usize) -> Measured {
    let mut server = case.program.start(None);
    let is_cache = server.name() == "Redis";
    server.fill((0..keys).map(|number| [common::load::key(number).to_vec(), load::value(number)]));
    let (address, ends) = (server.address, Arc::new(AtomicBool::new(false)));
    let told = ends.clone();
    let loading = std::thread::spawn(move || Load::new(address, keys, is_cache).run(&told));
    std::thread::park_timeout(WARM_UP + BEFORE);
    let ended = Instant::now();
    let away = restart(&mut server, case.by_kill).as_secs_f64();
    std::thread::park_timeout(AFTER.saturating_sub(ended.elapsed()) + load::STEP);
    ends.store(true, SeqCst);
    let steps = loading.join().expect("the load to end well");
    let measured = summary(case.title, &steps, ended, away);
    println!("{}: {:.1} % before, {:?} after", measured.title, measured.before * 100.0, measured.after);
    measured
}

/// Ends the server and starts it again, with none of its files in the page cache.
fn restart(server: &mut Server, by_kill: bool) -> Duration {
    let began = Instant::now();
    server.restart_after(by_kill, forget_files);
    began.elapsed()
}

fn forget_files(directory: &Path) {
    for entry in std::fs::read_dir(directory).expect("the directory").flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            forget_files(&entry.path());
        } else if let Ok(file) = std::fs::File::open(entry.path()) {
            // Only what is on the disk can be forgotten.
            let _ = file.sync_data();
            fadvise(&file, 0, None, Advice::DontNeed).expect("advice to be taken");
        }
    }
}

fn summary(title: &'static str, steps: &[Step], ended: Instant, away: f64) -> Measured {
    let share = |of: &mut dyn Iterator<Item = &Step>| {
        let (from_memory, sent) = of.fold((0, 0), |sum, step| (sum.0 + step.from_memory, sum.1 + step.sent));
        from_memory as f64 / f64::max(sent as f64, 1.0)
    };
    let before = share(&mut steps.iter().filter(|step| step.end <= ended && step.end + BEFORE > ended));
    let seconds = |step: &Step| step.end.saturating_duration_since(ended).as_secs_f64();
    let mut from = 0.0;
    let after = ROWS.iter().map(|&until| {
        let within = from..until;
        from = until;
        // A step belongs where its middle is.
        let middle = |step: &Step| step.middle().saturating_duration_since(ended).as_secs_f64();
        share(&mut steps.iter().filter(|step| step.middle() > ended && within.contains(&middle(step))))
    });
    let after = after.collect();
    let is_back = |step: &&Step| seconds(step) > 0.0 && step.share() >= before * 0.95;
    let recovered = steps.iter().filter(|step| seconds(step) > away).find(is_back).map(seconds);
    Measured { title, before, after, away, recovered }
}

fn table(measured: &[Measured]) -> String {
    let mut text = String::from("| seconds after the end |");
    let row = |name: String, cell: &dyn Fn(&Measured) -> String| {
        let cells: Vec<String> = measured.iter().map(cell).collect();
        format!("| {name} | {} |\n", cells.join(" | "))
    };
    let _ = writeln!(text, " {} |", measured.iter().map(|one| one.title).collect::<Vec<_>>().join(" | "));
    let _ = writeln!(text, "| --- |{}", " --- |".repeat(measured.len()));
    text.push_str(&row("before".to_owned(), &|one| percent(one.before)));
    for (number, until) in ROWS.iter().enumerate() {
        text.push_str(&row(format!("to {until}"), &|one| percent(one.after[number])));
    }
    text.push_str(&row("answers again after".to_owned(), &|one| format!("{:.2} s", one.away)));
    text.push_str(&row("95 % of what was before after".to_owned(), &|one| {
        one.recovered.map_or_else(|| "-".to_owned(), |seconds| format!("**{seconds:.1} s**"))
    }));
    text
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
