//! What a pipeline answers, beside the same requests one by one.
//!
//! Always true: the requests of a pipeline are ordered by their keys, so that most of them go on with what the one before
//! them has looked up and holds.

use super::compare::{self, Queues};
use super::generator::{Generator, Op, Scope};
use super::side::Side;
use crate::connection::shown;
use crate::server::{Program, Server};

/// Requests of a pipeline: more than are found before the first of them runs.
const DEPTH: usize = 40;
const ROUNDS: u64 = 500;

/// What is answered by chance, what a walk has to follow, what waits, and what makes the order of others matter.
const LEFT_OUT: &[&str] = &[
    "BLMOVE",
    "BLMPOP",
    "BLPOP",
    "BRPOP",
    "BRPOPLPUSH",
    "BZMPOP",
    "BZPOPMAX",
    "BZPOPMIN",
    "CLIENT",
    "DISCARD",
    "EXEC",
    "HRANDFIELD",
    "HSCAN",
    "MULTI",
    "RANDOMKEY",
    "RESET",
    "SCAN",
    "SORT",
    "SORT_RO",
    "SPOP",
    "SRANDMEMBER",
    "SSCAN",
    "UNWATCH",
    "WATCH",
    "ZRANDMEMBER",
    "ZSCAN",
];

#[test]
fn a_pipeline_is_answered_as_its_requests_one_by_one() {
    let (mut together, mut apart) = (Server::start(Program::Caskade, &[]), Server::start(Program::Caskade, &[]));
    let (mut together, mut apart) = (Side::new(&mut together), Side::new(&mut apart));
    together.reset();
    apart.reset();
    let mut queues = Queues::default();
    let seed = fastrand::u64(..);
    for round in 0..ROUNDS {
        let ops = pipeline(seed.wrapping_add(round));
        together.send_together(&ops);
        for op in &ops {
            apart.send(op);
            let (one, other) = (together.receive(op), apart.receive(op));
            assert!(
                compare::same(op, &one, &other, &mut queues, false),
                "round {round} of {seed}: {} answered {one:?} in its pipeline, {other:?} alone; the pipeline:\n  {}",
                shown(&op.words),
                ops.iter().map(|op| shown(&op.words)).collect::<Vec<_>>().join("\n  ")
            );
        }
    }
}

fn pipeline(seed: u64) -> Vec<Op> {
    let all = Generator::new(seed, Scope::Newest, false);
    let fits = |op: &Op| !LEFT_OUT.iter().any(|name| op.words[0].eq_ignore_ascii_case(name.as_bytes()));
    let mut ops: Vec<Op> = all.filter(fits).take(DEPTH).map(|op| Op { client: 0, ..op }).collect();
    // So that there are large collections, and that they go again.
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..DEPTH / 2 {
        let key = ops[rng.usize(..ops.len())].words.get(1).cloned().unwrap_or_default();
        let long = vec![rng.u8(b'a'..b'd'); 1100];
        let (name, rest): (&str, &[&[u8]]) = match rng.u8(..10) {
            0 => ("HSET", &[b"long", &long]),
            1 => ("SADD", &[&long]),
            2 | 3 => ("RPUSH", &[&long]),
            4 | 5 => ("ZADD", &[b"1", &long]),
            6 => ("HDEL", &[b"long"]),
            7 | 8 => ("LTRIM", &[b"1", b"0"]),
            _ => ("ZREMRANGEBYRANK", &[b"0", b"-1"]),
        };
        let words = [name.as_bytes(), &key].iter().chain(rest).map(|word| word.to_vec()).collect();
        let at = rng.usize(..ops.len());
        ops.insert(at, Op { words, ..ops[0].clone() });
    }
    ops.sort_by(|one, other| one.words.get(1).cmp(&other.words.get(1)));
    ops
}
