//! Requests each second on large collections, on small hashes, and on hashes of two sizes.

use std::fmt::Write as _;

use super::client::Client;
use super::content::{SMALL_FIELDS, Shape, small_hashes, value};
use super::load::{Load, Measured, Word};
use super::options::{Options, median};
use crate::common::cpu;
use crate::common::server::{Program, Server};

const CONNECTIONS: usize = 50;
const DEPTHS: [usize; 3] = [1, 16, 64];
const SMALL_HASHES: usize = 100_000;
const KEY: &str = "collection";

/// What a request does to the number of elements.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    None,
    /// One more, always.
    Adds,
    /// One more if the reply is 1.
    MayAdd,
    /// One less, always.
    Takes,
}

struct Workload {
    name: &'static str,
    /// None: many small hashes.
    shape: Option<Shape>,
    words: Vec<Word>,
    head: &'static str,
    effect: Effect,
    /// How many requests make as much work as one of the others.
    weight: usize,
}

fn workloads(elements: usize) -> Vec<Workload> {
    let text = Word::text;
    let (key, value) = (|| text(KEY), || Word::Text(value()));
    let among = |count| Word::Random("element:", count);
    let of = |name: &'static str, shape, rest: Vec<Word>, head, effect| {
        let command = name.split(' ').next().unwrap_or(name);
        let words = std::iter::once(text(command)).chain(rest).collect();
        Workload { name, shape, words, head, effect, weight: 1 }
    };
    let small = || Word::Random("smaller:", SMALL_HASHES);
    let large = Some;
    let mut all = vec![
        of("HSET", large(Shape::Hash), vec![key(), among(elements), value()], ":0", Effect::None),
        of("HGET", large(Shape::Hash), vec![key(), among(elements)], "$100", Effect::None),
        of("HSET on small hashes", None, vec![small(), among(SMALL_FIELDS), value()], ":0", Effect::None),
        of("HGET on small hashes", None, vec![small(), among(SMALL_FIELDS)], "$100", Effect::None),
        of("LPUSH", large(Shape::List), vec![key(), value()], ":", Effect::Adds),
        of("LPOP", large(Shape::List), vec![key()], "$100", Effect::Takes),
        of("RPOP", large(Shape::List), vec![key()], "$100", Effect::Takes),
        of("LRANGE 100", large(Shape::List), vec![key(), text("0"), text("99")], "*100", Effect::None),
        of("SADD", large(Shape::Set), vec![key(), among(elements * 2)], ":", Effect::MayAdd),
        of("SPOP", large(Shape::Set), vec![key()], "$16", Effect::Takes),
        of(
            "ZADD",
            large(Shape::SortedSet),
            vec![key(), Word::Random("", 100_000_000), among(elements)],
            ":0",
            Effect::None,
        ),
        of("ZPOPMIN", large(Shape::SortedSet), vec![key()], "*2", Effect::Takes),
        of("ZRANGE 100", large(Shape::SortedSet), vec![key(), text("0"), text("99")], "*100", Effect::None),
    ];
    for workload in &mut all {
        workload.weight = if workload.head == "*100" { 8 } else { 1 };
    }
    all
}

/// One workload's collection on one server.
struct Subject {
    server: Server,
    client: Client,
    /// The next element that is not there yet.
    next: usize,
}

impl Subject {
    fn new(program: &Program, workload: &Workload, options: &Options) -> Self {
        let server = program.start(None);
        let mut client = Client::new(&server);
        match workload.shape {
            Some(shape) => shape.add(&mut client, KEY, 0, options.elements),
            None => small_hashes(&mut client, SMALL_HASHES, 0),
        }
        Self { server, client, next: options.elements }
    }

    /// One round, with as many elements before it as there were before the others.
    fn round(&mut self, workload: &Workload, depth: usize, options: &Options) -> Measured {
        let count = options.requests(depth) / workload.weight;
        let (client, before) = (&mut self.client, options.elements as i64);
        if let Some(shape) = workload.shape {
            let more = shape.length(client, KEY) - before;
            if more < 0 {
                shape.add(client, KEY, self.next, -more as usize);
                self.next += -more as usize;
            } else if more > 0 && shape == Shape::List {
                client.call(&format!("LTRIM {KEY} 0 {}", before - 1));
            } else if more > 0 {
                client.call(&format!("SPOP {KEY} {more}"));
            }
            assert_eq!(shape.length(client, KEY), before, "{}", workload.name);
        }
        cpu::wait_until_idle(self.server.child.id());
        let load =
            Load { words: &workload.words, head: workload.head, depth, connections: CONNECTIONS, requests: count };
        let measured = load.run(&self.server);
        self.check(workload, measured, before);
        measured
    }

    /// What was done is there.
    fn check(&mut self, workload: &Workload, measured: Measured, before: i64) {
        let client = &mut self.client;
        let Some(shape) = workload.shape else {
            assert_eq!(client.number("DBSIZE"), SMALL_HASHES as i64);
            let hash = String::from_utf8(super::load::name("smaller:", SMALL_HASHES / 2)).expect("a name");
            return assert_eq!(Shape::Hash.length(client, &hash), SMALL_FIELDS as i64);
        };
        let right = match workload.effect {
            Effect::None => before,
            Effect::Adds => before + measured.requests as i64,
            Effect::MayAdd => before + measured.sum,
            Effect::Takes => before - measured.requests as i64,
        };
        assert_eq!(shape.length(client, KEY), right, "{} after {}", self.server.name(), workload.name);
    }
}

/// The first table: all workloads at all depths.
pub fn measure(programs: &[Program], options: &Options) -> String {
    let mut text = format!(
        "\nOn collections of {} elements, and on {SMALL_HASHES} hashes of {SMALL_FIELDS} fields; {CONNECTIONS} connections, \
         names of 16 bytes, values of 100; {} rounds:\n\n{}",
        options.elements,
        options.rounds,
        head("| | pipeline |", programs),
    );
    for workload in workloads(options.elements).iter().filter(|workload| options.wants(workload.name)) {
        let mut subjects: Vec<_> = programs.iter().map(|program| Subject::new(program, workload, options)).collect();
        for depth in DEPTHS {
            let mut rounds = Vec::new();
            for _ in 0..options.rounds {
                let each = subjects.iter_mut().map(|subject| subject.round(workload, depth, options));
                rounds.push(each.collect::<Vec<_>>());
            }
            let line = format!("| {} | {depth} |{}", workload.name, cells(&rounds));
            println!("{line}");
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

/// The second table: what HSET costs on a large hash and on one of a thousand fields.
pub fn measure_sizes(programs: &[Program], options: &Options) -> String {
    let sizes = [1000, options.elements];
    let mut text = format!(
        "\nHSET on a hash of {} fields beside one of {}: CPU time for a request.\n\n\
         | | pipeline | µs on {} | µs on {} | ratio |\n| --- | --- | --- | --- | --- |\n",
        sizes[1], sizes[0], sizes[1], sizes[0]
    );
    for program in programs {
        let server = program.start(None);
        let mut client = Client::new(&server);
        let key = |size: usize| format!("hash:{size}");
        sizes.iter().for_each(|size| Shape::Hash.add(&mut client, &key(*size), 0, *size));
        for depth in [1, 16] {
            let mut rounds = Vec::new();
            for _ in 0..options.rounds {
                let of = |size: usize| {
                    let words = [
                        Word::text("HSET"),
                        Word::text(&key(size)),
                        Word::Random("element:", size),
                        Word::Text(value()),
                    ];
                    let requests = options.requests(depth);
                    let load = Load { words: &words, head: ":0", depth, connections: CONNECTIONS, requests };
                    load.run(&server).cpu / 1000.0
                };
                rounds.push([of(sizes[1]), of(sizes[0])]);
            }
            let [large, small] = [0, 1].map(|at| median(rounds.iter().map(|round| round[at])));
            let ratio = median(rounds.iter().map(|round| round[0] / round[1]));
            let line = format!("| {} | {depth} | {large:.2} | {small:.2} | **{ratio:.2}** |", program.name);
            println!("{line}");
            let _ = writeln!(text, "{line}");
        }
        sizes.iter().for_each(|size| assert_eq!(Shape::Hash.length(&mut client, &key(*size)), *size as i64));
    }
    text
}

fn head(first: &str, programs: &[Program]) -> String {
    let names = |unit: &str| programs.iter().map(|program| format!(" {} {unit} |", program.name)).collect::<String>();
    let ratio = if programs.len() == 2 { " ratio |" } else { "" };
    let head = format!("{first}{}{ratio}{}{ratio}", names("requests/s"), names("CPU µs/request"));
    let columns = head.matches('|').count() - 1;
    format!("{head}\n|{}\n", " --- |".repeat(columns))
}

fn cells(rounds: &[Vec<Measured>]) -> String {
    let mut text = String::new();
    type Column = (fn(&Measured) -> f64, usize);
    let columns: [Column; 2] = [(|one| one.rate, 0), (|one| one.cpu / 1000.0, 2)];
    for (value, digits) in columns {
        for server in 0..rounds[0].len() {
            let median = median(rounds.iter().map(|round| value(&round[server])));
            let _ = write!(text, " {median:.digits$} |");
        }
        if rounds[0].len() == 2 {
            let ratio = median(rounds.iter().map(|round| value(&round[0]) / value(&round[1])));
            let _ = write!(text, " **{ratio:.2}** |");
        }
    }
    text
}
