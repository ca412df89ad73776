//! What to measure, from the arguments after `--`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::workload::Workload;
use crate::common::server::Program;

/// Which processors the server and the load may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// All, as the kernel likes.
    Free,
    /// The load the last, the server all others.
    Apart,
}

pub struct Options {
    pub programs: Vec<Program>,
    pub placements: Vec<Placement>,
    pub workloads: Vec<Workload>,
    pub depths: Vec<usize>,
    pub connections: usize,
    pub keys: usize,
    pub rounds: usize,
    pub warm_up: Duration,
    pub duration: Duration,
    /// Whether the result is one for the page: nothing left out, and compared with Redis.
    pub is_complete: bool,
}

impl Placement {
    pub const ALL: [Self; 2] = [Self::Free, Self::Apart];

    pub fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Apart => "apart",
        }
    }

    pub fn server_cpus(self) -> Option<String> {
        self.is_pinned().then(|| format!("0-{}", cores() - 2))
    }

    pub fn load_cpus(self) -> Option<String> {
        self.is_pinned().then(|| (cores() - 1).to_string())
    }

    fn is_pinned(self) -> bool {
        self == Self::Apart && cores() > 1
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub fn parse() -> Options {
    let matches = command().get_matches();
    let quick = matches.get_flag("quick");
    let number = |name: &str| matches.get_one::<usize>(name).copied();
    let milliseconds = |name: &str, default| Duration::from_millis(number(name).unwrap_or(default) as u64);
    let chosen = |name: &str| matches.contains_id(name);
    let (programs, is_beside_redis) = programs(&matches);
    Options {
        is_complete: is_beside_redis && !quick && !["only", "pipeline", "placement"].into_iter().any(chosen),
        programs,
        placements: list(&matches, "placement", &Placement::ALL, |name| {
            Placement::ALL.into_iter().find(|placement| placement.name() == name)
        }),
        workloads: list(&matches, "only", &Workload::ALL, Workload::find),
        depths: list(&matches, "pipeline", &[1, 16, 64], |text| text.parse().ok()),
        connections: number("connections").unwrap_or(50),
        keys: number("keys").unwrap_or(if quick { 100_000 } else { 1_000_000 }),
        rounds: number("rounds").unwrap_or(if quick { 3 } else { 5 }),
        warm_up: milliseconds("warm-up", if quick { 100 } else { 200 }),
        duration: milliseconds("milliseconds", if quick { 500 } else { 1000 }),
    }
}

fn command() -> Command {
    let list = |name, help| Arg::new(name).long(name).value_delimiter(',').help(help);
    let number = |name, help| Arg::new(name).long(name).value_parser(value_parser!(usize)).help(help);
    let flag = |name, help| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    Command::new("throughput")
        .about("Measures Caskade beside redis-server. CASKADE_BENCH_BIN names another build of Caskade to measure.")
        .arg(list("only", "Workloads: SET, GET, INCR, MSET"))
        .arg(list("pipeline", "Requests that a connection sends at once"))
        .arg(list("placement", "free: nothing is pinned; apart: the load has the last core for itself"))
        .arg(number("connections", "How many connections there are"))
        .arg(number("keys", "How many keys there are"))
        .arg(number("rounds", "How often each is measured; the median counts"))
        .arg(number("milliseconds", "How long each is measured in a round"))
        .arg(number("warm-up", "Milliseconds of load before that"))
        .arg(flag("quick", "Fewer keys and shorter rounds, for a first impression"))
        .arg(
            Arg::new("against")
                .long("against")
                .value_parser(value_parser!(PathBuf))
                .help("Another build of Caskade to compare with, in place of redis-server"),
        )
        .arg(flag("alone", "Measures Caskade only"))
        .arg(flag("bench", "Given by cargo").hide(true))
}

fn programs(matches: &ArgMatches) -> (Vec<Program>, bool) {
    let caskade = Program::caskade();
    if let Some(path) = matches.get_one::<PathBuf>("against") {
        return (vec![caskade, Program::build("other", path)], false);
    }
    let redis = if matches.get_flag("alone") { None } else { Program::redis() };
    let is_beside_redis = redis.is_some();
    (std::iter::once(caskade).chain(redis).collect(), is_beside_redis)
}

fn list<T: Copy>(matches: &ArgMatches, name: &str, all: &[T], find: impl Fn(&str) -> Option<T>) -> Vec<T> {
    let Some(words) = matches.get_many::<String>(name) else { return all.to_vec() };
    let known = |word: &String| find(word).unwrap_or_else(|| panic!("--{name} does not know {word}"));
    words.map(known).collect()
}
