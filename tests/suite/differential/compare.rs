//! When two replies to the same command count as the same.

use super::generator::{CLIENTS, Op};
use crate::reply::Reply;
use std::mem::take;

/// What each client has queued after MULTI, to know what the elements of EXEC's reply answer.
#[derive(Default)]
pub struct Queues([Vec<Op>; CLIENTS]);

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
    left == right || random_by_nature(op, left, right) || (lenient && known(op, left, right))
}

fn random_by_nature(op: &Op, left: &Reply, right: &Reply) -> bool {
    let near = |by: i64| match (left.integer(), right.integer()) {
        (Some(left), Some(right)) => left > 0 && right > 0 && (left - right).abs() <= by,
        _ => false,
    };
    match name(op).as_str() {
        // The two servers read the clock at different moments.
        "TTL" | "EXPIRETIME" => near(2),
        "PTTL" | "PEXPIRETIME" => near(2_000),
        "RANDOMKEY" => left.bytes().is_some() && right.bytes().is_some(),
        "KEYS" => sorted(left).is_some() && sorted(left) == sorted(right),
        "CLIENT" => left.integer().is_some() && right.integer().is_some(),
        _ => false,
    }
}

/// Where Valkey 9 has moved on from Redis 7; Caskade is held to Redis.
fn known(op: &Op, left: &Reply, right: &Reply) -> bool {
    match name(op).as_str() {
        // It reads the expiry before it looks for the key.
        "GETEX" => left.is_error() != right.is_error(),
        // It embeds longer strings, and tells other texts for a type that does not exist.
        "OBJECT" | "SCAN" => true,
        _ => false,
    }
}

fn name(op: &Op) -> String {
    String::from_utf8_lossy(&op.words[0]).to_ascii_uppercase()
}

fn sorted(reply: &Reply) -> Option<Vec<Reply>> {
    let mut items = reply.elements()?.to_vec();
    items.sort();
    Some(items)
}
