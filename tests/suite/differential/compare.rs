//! When two replies to the same command count as the same.

use super::generator::{CLIENTS, Op};
use crate::reply::Reply;
use std::collections::BTreeSet;
use std::mem::take;

/// What each client has queued after MULTI, to know what the elements of EXEC's reply answer.
#[derive(Default)]
pub struct Queues([Vec<Op>; CLIENTS]);

/// What a sequence came by, so that it cannot pass by never getting anywhere.
#[derive(Default)]
pub struct Reached {
    /// Commands that were answered with something else than an error.
    pub answered: BTreeSet<String>,
    /// EXECs that did several commands, and those undone since another client changed a watched key.
    pub done: usize,
    pub undone: usize,
}

impl Reached {
    pub fn note(&mut self, op: &Op, reply: &Reply) {
        let name = name(op);
        match reply {
            Reply::Error(_) => return,
            Reply::Null | Reply::NullArray if name == "EXEC" => self.undone += 1,
            Reply::Array(items) if name == "EXEC" && items.len() > 1 => self.done += 1,
            _ => {}
        }
        self.answered.insert(name);
    }
}

pub fn same(op: &Op, left: &Reply, right: &Reply, queues: &mut Queues, lenient: bool) -> bool {
    if *left == Reply::Status(b"QUEUED".to_vec()) && left == right {
        queues.0[op.client].push(op.clone());
        return true;
    }
    match name(op).as_str() {
        "EXEC" => {
            let queue = take(&mut queues.0[op.client]);
            let (Reply::Array(left), Reply::Array(right)) = (left, right) else { return left == right };
            left.len() == right.len()
                && left.len() == queue.len()
                && queue.iter().zip(left.iter().zip(right)).all(|(op, (left, right))| one(op, left, right, lenient))
        }
        "DISCARD" | "RESET" | "MULTI" => {
            if !left.is_error() {
                queues.0[op.client].clear();
            }
            left == right
        }
        _ => one(op, left, right, lenient),
    }
}

fn one(op: &Op, left: &Reply, right: &Reply, lenient: bool) -> bool {
    left == right
        || random_by_nature(op, left, right)
        || known(op, left, right)
        || (lenient && moved_on(op, left, right))
}

fn random_by_nature(op: &Op, left: &Reply, right: &Reply) -> bool {
    let near = |by: i64| match (left.integer(), right.integer()) {
        (Some(left), Some(right)) => left > 0 && right > 0 && (left - right).abs() <= by,
        _ => false,
    };
    match name(op).as_str() {
        // The two servers read the clock at different moments.
        "TTL" | "EXPIRETIME" => near(2),
        // Whether a deadline counted from now is later than one counted from a moment ago; EXPIREAT compares fixed ones.
        "EXPIRE" | "PEXPIRE" if compares_deadlines(op) => {
            [left, right].iter().all(|reply| matches!(reply, Reply::Integer(0 | 1)))
        }
        "PTTL" | "PEXPIRETIME" => near(2_000),
        "OBJECT" if subcommand(op) == "IDLETIME" => {
            [left, right].iter().all(|reply| reply.integer().is_some_and(|seconds| (0..60).contains(&seconds)))
        }
        "RANDOMKEY" => left.bytes().is_some() && right.bytes().is_some(),
        "KEYS" => sorted(left).is_some() && sorted(left) == sorted(right),
        // A whole walk, whose order is each server's own.
        "SCAN" => match (left.elements(), right.elements()) {
            (Some([one, left]), Some([other, right])) => {
                one == other && sorted(left).is_some() && sorted(left) == sorted(right)
            }
            _ => false,
        },
        "CLIENT" if subcommand(op) == "ID" => left.integer().is_some() && right.integer().is_some(),
        _ => false,
    }
}

/// Where Caskade is not Redis 7.0, each with its reason.
fn known(op: &Op, left: &Reply, right: &Reply) -> bool {
    let both_count = left.integer().is_some() && right.integer().is_some();
    match (name(op).as_str(), subcommand(op).as_str()) {
        // Redis shares one object between all keys that hold the same small integer.
        ("OBJECT", "REFCOUNT") => both_count,
        // A key takes less memory here.
        ("MEMORY", "USAGE") => both_count,
        _ => false,
    }
}

/// Where Valkey 9 has moved on from Redis 7; Caskade is held to Redis.
fn moved_on(op: &Op, left: &Reply, right: &Reply) -> bool {
    match name(op).as_str() {
        // It reads the expiry before it looks for the key.
        "GETEX" => left.is_error() != right.is_error(),
        // It embeds longer strings, and tells other texts for a type that does not exist.
        "OBJECT" | "SCAN" => true,
        // It tells other texts for an id that is no number, and takes names with a zero byte.
        "CLIENT" => true,
        _ => false,
    }
}

fn name(op: &Op) -> String {
    String::from_utf8_lossy(&op.words[0]).to_ascii_uppercase()
}

fn subcommand(op: &Op) -> String {
    op.words.get(1).map_or_else(String::new, |word| String::from_utf8_lossy(word).to_ascii_uppercase())
}

fn compares_deadlines(op: &Op) -> bool {
    op.words.iter().skip(3).any(|word| word.eq_ignore_ascii_case(b"GT") || word.eq_ignore_ascii_case(b"LT"))
}

fn sorted(reply: &Reply) -> Option<Vec<Reply>> {
    let mut items = reply.elements()?.to_vec();
    items.sort();
    Some(items)
}
