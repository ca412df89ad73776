//! Two servers, one random sequence of commands, every reply compared.
//!
//! Always true: a sequence follows from its seed alone; what is random by nature is compared by its shape, and
//! nothing else is; every difference that is let pass is listed in `compare::known` with its reason.
//!
//! `CASKADE_DIFFERENTIAL_COMMANDS` sets how many, `CASKADE_DIFFERENTIAL_SEED` which.

mod compare;
mod generator;
mod lines;
mod side;

use crate::connection::shown;
use crate::reply::Reply;
use crate::server::{Program, Server, number};
use compare::{Queues, Reached};
use generator::{Generator, Op};
use side::Side;

/// Short enough that a difference shrinks in an instant, long enough for state to build up.
const ROUND: usize = 200;

#[test]
fn caskade_answers_like_redis() {
    let Some(oracle) = Program::oracle() else { return };
    let (caskade, redis) = (Server::start(Program::Caskade, &[]), Server::start(oracle, &[]));
    compare_all(&mut Side::new(&caskade), &mut Side::new(&redis), number("CASKADE_DIFFERENTIAL_COMMANDS", 100_000));
}

/// The generator and the comparison are themselves checked against a second implementation of the same protocol.
#[test]
fn valkey_answers_like_redis() {
    let (Some(oracle), Some(_)) = (Program::oracle(), Program::Valkey.path()) else {
        return println!("skipped: CASKADE_VALKEY does not name a valkey-server");
    };
    let (valkey, redis) = (Server::start(Program::Valkey, &[]), Server::start(oracle, &[]));
    compare_all(&mut Side::new(&valkey), &mut Side::new(&redis), number("CASKADE_DIFFERENTIAL_COMMANDS", 100_000));
}

#[test]
fn a_planted_difference_is_found_and_made_small() {
    let Some(oracle) = Program::oracle() else { return };
    let (left, right) = (Server::start(oracle, &[]), Server::start(oracle, &[]));
    let faults: [(&str, side::Fault); 4] = [
        ("an integer off by one", |words, reply| match reply {
            Reply::Integer(value) if words[0] == b"DECRBY" => Reply::Integer(value.wrapping_add(1)),
            other => other,
        }),
        ("the wrong kind of null", |_, reply| if reply == Reply::NullArray { Reply::Null } else { reply }),
        ("a key that SCAN forgets", |words, reply| match reply {
            Reply::Array(mut items) if words[0] == b"SCAN" => {
                if let Some(Reply::Array(keys)) = items.get_mut(1) {
                    keys.retain(|key| *key != Reply::Bulk(b"k1".to_vec()));
                }
                Reply::Array(items)
            }
            other => other,
        }),
        ("an error text that differs in case", |_, reply| match reply {
            Reply::Error(text) if text.starts_with(b"ERR syntax") => Reply::Error(b"ERR Syntax error".to_vec()),
            other => other,
        }),
    ];
    for (name, fault) in faults {
        let mut faulty = Side::with_fault(&left, fault);
        let difference = search(&mut faulty, &mut Side::new(&right), 7, 20_000, &mut Reached::default());
        let difference = difference.unwrap_or_else(|| panic!("not found: {name}"));
        assert!(difference.ops.len() <= 6, "{name} was not made small:\n{difference}");
    }
}

fn compare_all(left: &mut Side<'_>, right: &mut Side<'_>, commands: u64) {
    let seed = std::env::var("CASKADE_DIFFERENTIAL_SEED").ok().map_or_else(
        || fastrand::u64(..),
        |seed| seed.parse().unwrap_or_else(|_| panic!("CASKADE_DIFFERENTIAL_SEED={seed}")),
    );
    println!("{commands} commands from seed {seed}");
    let mut reached = Reached::default();
    if let Some(difference) = search(left, right, seed, commands, &mut reached) {
        panic!("{difference}");
    }
    if commands >= 50_000 {
        let never: Vec<&str> = generator::names().filter(|name| !reached.answered.contains(*name)).collect();
        assert!(never.is_empty(), "only ever answered with an error: {never:?}");
        let (done, undone) = (reached.done as u64, reached.undone as u64);
        println!("{done} transactions of several commands were done, {undone} undone by other clients");
        assert!(done > commands / 400 && undone > commands / 800, "too few transactions: {done} done, {undone} undone");
    }
}

/// The first commands of some sequence.
pub fn generated(commands: usize) -> Vec<Vec<Vec<u8>>> {
    Generator::new(1, false).take(commands).map(|op| op.words).collect()
}

struct Difference {
    seed: u64,
    ops: Vec<Op>,
    left: String,
    right: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            out,
            "replies differ; CASKADE_DIFFERENTIAL_SEED={} finds it first. The shortest way there:",
            self.seed
        )?;
        for op in &self.ops {
            writeln!(out, "  {}> {}", op.client, shown(&op.words))?;
        }
        writeln!(out, "one answers:\n  {}\nthe other:\n  {}", self.left, self.right)
    }
}

/// Rounds of commands from seeds that follow on `seed`, until they differ or are enough.
fn search(
    left: &mut Side<'_>,
    right: &mut Side<'_>,
    seed: u64,
    commands: u64,
    reached: &mut Reached,
) -> Option<Difference> {
    let lenient = left.is_valkey() || right.is_valkey();
    (0..commands.div_ceil(ROUND as u64)).find_map(|round| {
        let seed = seed.wrapping_add(round);
        let ops = Generator::new(seed, lenient).take(ROUND).collect::<Vec<_>>();
        let (at, first, second) = run(&ops, left, right, reached)?;
        let shrunk = shrink(ops[..=at].to_vec(), left, right);
        // A difference that depends on timing may not show again; then all that led to it is told.
        Some(match run(&shrunk, left, right, reached) {
            Some((_, left, right)) => Difference { seed, ops: shrunk, left, right },
            None => Difference { seed, ops: ops[..=at].to_vec(), left: first, right: second },
        })
    })
}

/// The first difference: the index of its command and both replies.
fn run(
    ops: &[Op],
    left: &mut Side<'_>,
    right: &mut Side<'_>,
    reached: &mut Reached,
) -> Option<(usize, String, String)> {
    left.reset();
    right.reset();
    let lenient = left.is_valkey() || right.is_valkey();
    let mut queues = Queues::default();
    for (at, op) in ops.iter().enumerate() {
        left.send(op);
        right.send(op);
        let (one, other) = (left.receive(op), right.receive(op));
        reached.note(op, &one);
        if !compare::same(op, &one, &other, &mut queues, lenient) {
            return Some((at, one.notation().join("\n  "), other.notation().join("\n  ")));
        }
    }
    None
}

/// Leaves out what is not needed for some difference to show, largest pieces first.
fn shrink(mut ops: Vec<Op>, left: &mut Side<'_>, right: &mut Side<'_>) -> Vec<Op> {
    let mut piece = ops.len().div_ceil(2);
    loop {
        let mut at = 0;
        while at < ops.len() {
            let mut fewer = ops.clone();
            fewer.drain(at..(at + piece).min(ops.len()));
            match run(&fewer, left, right, &mut Reached::default()) {
                Some((last, ..)) => {
                    fewer.truncate(last + 1);
                    ops = fewer;
                }
                None => at += piece,
            }
        }
        if piece == 1 {
            return ops;
        }
        piece = piece.div_ceil(2);
    }
}
