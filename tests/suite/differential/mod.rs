//! Two servers, one random sequence of commands, every reply compared.
//!
//! Always true: a sequence follows from its seed alone; what is random by nature is compared by its shape, and
//! nothing else is; every difference that is let pass is listed in `compare::known` with its reason.
//!
//! `CASKADE_DIFFERENTIAL_COMMANDS` sets how many, `CASKADE_DIFFERENTIAL_SEED` which.

mod compare;
mod contents;
mod generator;
mod lines;
mod pipelines;
mod side;

use crate::connection::shown;
use crate::reply::Reply;
use crate::server::{Program, Server, number};
use compare::{Queues, Reached};
use contents::{COMPACT, KILL, TERMINATE};
use generator::{Generator, Op, Scope};
use side::Side;

/// Short enough that a difference shrinks in an instant, long enough for state to build up.
const ROUND: usize = 200;

/// Every so many rounds have a restart in their middle.
const RESTART_EVERY: u64 = 8;

/// Small segments, and hardly anything that is left alone, so that compaction comes by.
const SMALL: &[&str] = &["--segment-size", "64kb", "--compaction-interval", "0", "--compaction-garbage-min", "0"];

#[test]
fn caskade_answers_like_redis() {
    let Some(oracle) = Program::oracle() else { return };
    let (mut caskade, mut redis) = (Server::start(Program::Caskade, SMALL), Server::start(oracle, &[]));
    compare_all(&mut Side::new(&mut caskade), &mut Side::new(&mut redis), Scope::All);
}

/// What Redis 7.0 does not have, and every encoding as it is.
#[test]
fn caskade_answers_like_valkey() {
    let Some(mut valkey) = valkey() else { return };
    let mut caskade = Server::start(Program::Caskade, SMALL);
    compare_all(&mut Side::new(&mut caskade), &mut Side::new(&mut valkey), Scope::Newest);
}

/// The generator and the comparison are themselves checked against a second implementation of the same protocol.
#[test]
fn valkey_answers_like_redis() {
    let (Some(oracle), Some(mut valkey)) = (Program::oracle(), valkey()) else { return };
    let mut redis = Server::start(oracle, &[]);
    compare_all(&mut Side::new(&mut valkey), &mut Side::new(&mut redis), Scope::Strings);
}

fn valkey() -> Option<Server> {
    if Program::Valkey.path().is_none() {
        println!("skipped: CASKADE_VALKEY does not name a valkey-server");
        return None;
    }
    Some(Server::start(Program::Valkey, &[]))
}

#[test]
fn a_planted_difference_is_found_and_made_small() {
    let Some(oracle) = Program::oracle() else { return };
    let (mut left, mut right) = (Server::start(oracle, &[]), Server::start(oracle, &[]));
    let faults: [(&str, side::Fault); 8] = [
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
        ("a field that HGETALL forgets in RESP3", |words, reply| match reply {
            Reply::Map(pairs) if words[0] == b"HGETALL" => Reply::Map(pairs.into_iter().skip(1).collect()),
            other => other,
        }),
        ("members of a sorted set in the wrong order", |words, reply| match reply {
            Reply::Array(mut items) if words[0] == b"ZRANGEBYSCORE" => {
                items.reverse();
                Reply::Array(items)
            }
            other => other,
        }),
        ("a member chosen at random that is none", |words, reply| match reply {
            Reply::Array(items) if words[0] == b"SRANDMEMBER" && items.len() == 3 => {
                Reply::Array(items.iter().map(|_| Reply::Bulk(b"none".to_vec())).collect())
            }
            other => other,
        }),
        ("a key that is not there after a restart", |words, reply| match reply {
            Reply::Array(rows) if words[0] == contents::CONTENTS => Reply::Array(rows.into_iter().skip(1).collect()),
            other => other,
        }),
    ];
    for (name, fault) in faults {
        let mut faulty = Side::with_fault(&mut left, fault);
        let (right, reached) = (&mut Side::new(&mut right), &mut Reached::default());
        let difference = search(&mut faulty, right, Scope::All, 7, 20_000, reached);
        let difference = difference.unwrap_or_else(|| panic!("not found: {name}"));
        assert!(difference.ops.len() <= 6, "{name} was not made small:\n{difference}");
    }
}

fn compare_all(left: &mut Side<'_>, right: &mut Side<'_>, scope: Scope) {
    let commands = number("CASKADE_DIFFERENTIAL_COMMANDS", 100_000);
    let seed = std::env::var("CASKADE_DIFFERENTIAL_SEED").ok().map_or_else(
        || fastrand::u64(..),
        |seed| seed.parse().unwrap_or_else(|_| panic!("CASKADE_DIFFERENTIAL_SEED={seed}")),
    );
    println!("{commands} commands from seed {seed}");
    (left.has_field_expiry, right.has_field_expiry) = (scope == Scope::Newest, scope == Scope::Newest);
    let mut reached = Reached::default();
    if let Some(difference) = search(left, right, scope, seed, commands, &mut reached) {
        panic!("{difference}");
    }
    if commands >= 50_000 {
        let never: Vec<&str> = generator::names(scope).filter(|name| !reached.answered.contains(*name)).collect();
        assert!(never.is_empty(), "only ever answered with an error: {never:?}");
        let (done, undone) = (reached.done as u64, reached.undone as u64);
        println!("{done} transactions of several commands were done, {undone} undone by other clients");
        assert!(done > commands / 400 && undone > commands / 800, "too few transactions: {done} done, {undone} undone");
        let missing = encodings(scope).iter().filter(|name| !reached.compared.contains(name.as_bytes()));
        let missing: Vec<&&str> = missing.collect();
        assert!(missing.is_empty(), "never there at a restart: {missing:?}");
        println!("{} passes of compaction", left.passes);
        assert!(left.passes > 0 || scope == Scope::Strings, "compaction never came by");
    }
}

/// What Caskade must have held at a restart.
fn encodings(scope: Scope) -> &'static [&'static str] {
    match scope {
        Scope::Strings => &[],
        _ => &["int", "embstr", "raw", "listpack", "quicklist", "intset", "hashtable", "skiplist"],
    }
}

/// The first commands of some sequence.
pub fn generated(commands: usize) -> Vec<Vec<Vec<u8>>> {
    Generator::new(1, Scope::Newest, false).take(commands).map(|op| op.words).collect()
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
    scope: Scope,
    seed: u64,
    commands: u64,
    reached: &mut Reached,
) -> Option<Difference> {
    let lenient = left.is_valkey() || right.is_valkey();
    (0..commands.div_ceil(ROUND as u64)).find_map(|round| {
        let seed = seed.wrapping_add(round);
        let mut ops = Generator::new(seed, scope, lenient).round(ROUND);
        if scope != Scope::Strings && round % RESTART_EVERY == 1 {
            let how = [KILL, TERMINATE, COMPACT][(round / RESTART_EVERY % 3) as usize];
            contents::with_restart(&mut ops, how);
        }
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
            return Some((at, told(&one, &other), told(&other, &one)));
        }
    }
    None
}

/// A reply, without the lines at its beginning that another reply has, too, where they are many.
fn told(reply: &Reply, other: &Reply) -> String {
    const FEW: usize = 20;
    let (lines, others) = (reply.notation(), other.notation());
    let same = lines.iter().zip(&others).take_while(|(line, other)| line == other).count();
    let skipped = if lines.len() > FEW { same } else { 0 };
    let rest = lines[skipped..].iter().take(FEW).map(|line| line.chars().take(200).collect::<String>());
    let skipped = (skipped > 0).then(|| format!("({skipped} lines that are the same)"));
    skipped.into_iter().chain(rest).collect::<Vec<_>>().join("\n  ")
}

/// Leaves out what is not needed for some difference to show, largest pieces first; what makes sense only together stays
/// or goes together.
fn shrink(ops: Vec<Op>, left: &mut Side<'_>, right: &mut Side<'_>) -> Vec<Op> {
    let grouped = |ops: &[Op]| ops.chunk_by(|a, b| a.group == b.group).map(<[Op]>::to_vec).collect::<Vec<_>>();
    let mut groups = grouped(&ops);
    let mut piece = groups.len().div_ceil(2);
    loop {
        let mut at = 0;
        while at < groups.len() {
            let mut fewer = groups.clone();
            fewer.drain(at..(at + piece).min(groups.len()));
            let mut fewer = fewer.concat();
            match run(&fewer, left, right, &mut Reached::default()) {
                Some((last, ..)) => {
                    fewer.truncate(last + 1);
                    groups = grouped(&fewer);
                }
                None => at += piece,
            }
        }
        if piece == 1 {
            return groups.concat();
        }
        piece = piece.div_ceil(2);
    }
}
