//! What to measure, from the arguments after `--`.

use clap::{Arg, ArgAction, Command, value_parser};

use crate::common::server::Program;

/// What the page is made of, each part with a name for `--only`.
pub const PARTS: [&str; 5] = ["throughput", "sizes", "removal", "memory", "restart"];

pub struct Options {
    pub programs: Vec<Program>,
    only: Vec<String>,
    /// Elements of a large collection.
    pub elements: usize,
    pub rounds: usize,
    /// Divides the numbers of requests and of keys.
    pub share: usize,
    /// Whether the result is one for the page: nothing left out, and compared with Redis.
    pub is_complete: bool,
}

impl Options {
    /// Whether a part is to be measured: where a single workload is wanted, only the throughput.
    pub fn has_part(&self, part: &str) -> bool {
        let is_part = |word: &String| PARTS.iter().any(|known| known.eq_ignore_ascii_case(word));
        self.only.is_empty()
            || self.only.iter().any(|word| word.eq_ignore_ascii_case(part))
            || part == "throughput" && self.only.iter().any(|word| !is_part(word))
    }

    /// Whether a workload of the throughput is to be measured.
    pub fn wants(&self, workload: &str) -> bool {
        let first = |word: &String| workload.eq_ignore_ascii_case(word) || workload.starts_with(&format!("{word} "));
        let all = |word: &String| word.eq_ignore_ascii_case("throughput");
        self.only.is_empty() || self.only.iter().any(|word| first(word) || all(word))
    }

    /// How many requests a round has.
    pub fn requests(&self, depth: usize) -> usize {
        if depth == 1 { 50_000 / self.share } else { 200_000 / self.share }
    }
}

pub fn parse() -> Options {
    let flag = |name, help| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    let number = |name, help| Arg::new(name).long(name).value_parser(value_parser!(usize)).help(help);
    let matches = Command::new("collections")
        .about("Measures Caskade's collections beside redis-server. CASKADE_BENCH_BIN names another build to measure.")
        .arg(Arg::new("only").long("only").value_delimiter(',').help(format!("Of {PARTS:?}, or commands as HSET")))
        .arg(number("elements", "How many elements a large collection has"))
        .arg(number("rounds", "How often each is measured; the median counts"))
        .arg(flag("quick", "Smaller collections and fewer rounds, for a first impression"))
        .arg(flag("alone", "Measures Caskade only"))
        .arg(flag("bench", "Given by cargo").hide(true))
        .get_matches();
    let chosen = |name: &str| matches.get_one::<usize>(name).copied();
    let quick = matches.get_flag("quick");
    let redis = if matches.get_flag("alone") { None } else { Program::redis() };
    let only: Vec<String> = matches.get_many("only").map(|words| words.cloned().collect()).unwrap_or_default();
    Options {
        is_complete: redis.is_some() && !quick && only.is_empty() && chosen("elements").is_none(),
        programs: std::iter::once(Program::caskade()).chain(redis).collect(),
        only,
        elements: chosen("elements").unwrap_or(if quick { 100_000 } else { 1_000_000 }),
        rounds: chosen("rounds").unwrap_or(if quick { 3 } else { 5 }),
        share: if quick { 4 } else { 1 },
    }
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
