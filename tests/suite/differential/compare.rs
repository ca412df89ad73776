//! When two replies to the same command count as the same.

use super::contents::{CONTENTS, sorted as in_order};
use super::generator::{CLIENTS, Op};
use crate::reply::Reply;
use std::collections::BTreeSet;
use std::mem::{discriminant, take};

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
    /// Keys that were compared before and after a restart, by what OBJECT ENCODING says of them.
    pub compared: BTreeSet<Vec<u8>>,
}

impl Reached {
    pub fn note(&mut self, op: &Op, reply: &Reply) {
        if op.words[0] == CONTENTS {
            let encodings = rows(reply).filter_map(|row| row[ENCODING].bytes());
            return self.compared.extend(encodings.map(<[u8]>::to_vec));
        }
        let name = name(op);
        match reply {
            Reply::Error(_) => return,
            Reply::Status(text) if text == b"QUEUED" => return,
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
    if op.words[0] == CONTENTS {
        let (left, right) = (rows(left).collect::<Vec<_>>(), rows(right).collect::<Vec<_>>());
        return left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same_row(left, right, lenient));
    }
    if !op.is_command() {
        // Clients have come anew.
        *queues = Queues::default();
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

/// The places in a row of the contents; what comes behind is the value.
const TYPE: usize = 2;
const DEADLINE: usize = 3;
const ENCODING: usize = 4;

fn rows(contents: &Reply) -> impl Iterator<Item = &[Reply]> {
    contents.elements().unwrap_or_default().iter().filter_map(Reply::elements)
}

fn same_row(left: &[Reply], right: &[Reply], lenient: bool) -> bool {
    let value = |row: &[Reply]| Reply::Array(row[ENCODING + 1..].to_vec());
    let (mut one, mut other) = (value(left), value(right));
    if !lenient && left[TYPE] == Reply::Status(b"zset".to_vec()) {
        (one, other) = (shortened(one), shortened(other));
    }
    let is_near = near(&one, &other, CLOCKS_APART) || lenient && same_numbers(&one, &other);
    left[..DEADLINE] == right[..DEADLINE]
        && near(&left[DEADLINE], &right[DEADLINE], CLOCKS_APART)
        && same_encoding(&left[ENCODING], &right[ENCODING], lenient)
        && is_near
}

fn one(op: &Op, left: &Reply, right: &Reply, lenient: bool) -> bool {
    left == right
        || random_by_nature(op, left, right)
        || known(op, left, right)
        || (lenient && moved_on(op, left, right))
        || (!lenient && newer_here(op, left, right))
}

/// Milliseconds between the moments at which two servers read the clock.
const CLOCKS_APART: i64 = 2_000;

/// Whether they are equal, or positive numbers that are near each other.
fn near(left: &Reply, right: &Reply, by: i64) -> bool {
    match (left, right) {
        (Reply::Integer(left), Reply::Integer(right)) => {
            left == right || *left > 0 && *right > 0 && (left - right).abs() <= by
        }
        (Reply::Array(left), Reply::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| near(left, right, by))
        }
        _ => left == right,
    }
}

fn random_by_nature(op: &Op, left: &Reply, right: &Reply) -> bool {
    let unordered = |together: usize| {
        left.elements().is_some() | matches!(left, Reply::Map(_))
            && in_order(left.clone(), together) == in_order(right.clone(), together)
    };
    match name(op).as_str() {
        // The two servers read the clock at different moments.
        "TTL" | "EXPIRETIME" | "HTTL" | "HEXPIRETIME" => near(left, right, 2),
        "PTTL" | "PEXPIRETIME" | "HPTTL" | "HPEXPIRETIME" => near(left, right, CLOCKS_APART),
        // Whether a deadline counted from now is later than one counted from a moment ago; EXPIREAT compares fixed ones.
        "EXPIRE" | "PEXPIRE" | "HEXPIRE" | "HPEXPIRE" if op.says("GT") || op.says("LT") => near_answers(left, right),
        "OBJECT" if subcommand(op) == "IDLETIME" => {
            [left, right].iter().all(|reply| reply.integer().is_some_and(|seconds| (0..60).contains(&seconds)))
        }
        "RANDOMKEY" => left.bytes().is_some() && right.bytes().is_some(),
        // Sets and hashes have no order, nor have the walks over them.
        "KEYS" | "SMEMBERS" | "SINTER" | "SUNION" | "SDIFF" | "SPOP" | "HKEYS" | "HVALS" => unordered(1),
        "HGETALL" => unordered(2),
        "SCAN" | "SSCAN" | "HSCAN" | "ZSCAN" => match (left.elements(), right.elements()) {
            (Some([one, left]), Some([other, right])) => {
                let together =
                    if matches!(name(op).as_str(), "HSCAN" | "ZSCAN") && !op.says("NOVALUES") { 2 } else { 1 };
                one == other && in_order(left.clone(), together) == in_order(right.clone(), together)
            }
            _ => false,
        },
        // Sorted by nothing, or by what is equal; outside of transactions only sets are let pass.
        "SORT" | "SORT_RO" if op.says("BY") => unordered(1),
        "SRANDMEMBER" | "HRANDFIELD" | "ZRANDMEMBER" => same_shape(op, left, right),
        "CLIENT" if subcommand(op) == "ID" => left.integer().is_some() && right.integer().is_some(),
        _ => false,
    }
}

fn near_answers(left: &Reply, right: &Reply) -> bool {
    match (left, right) {
        (Reply::Integer(0 | 1), Reply::Integer(0 | 1)) => true,
        (Reply::Array(left), Reply::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| near_answers(left, right))
        }
        _ => left == right,
    }
}

/// As many, in the same form, and none twice where each may come only once.
fn same_shape(op: &Op, left: &Reply, right: &Reply) -> bool {
    let (Some(one), Some(other)) = (left.elements(), right.elements()) else {
        return left.bytes().is_some() && right.bytes().is_some();
    };
    let forms = |items: &[Reply]| items.iter().map(discriminant).collect::<Vec<_>>();
    let flat = one.first().is_some_and(|item| item.bytes().is_some()) && op.words.len() > 3;
    let distinct = |items: &[Reply]| {
        let names: BTreeSet<&Reply> = items.iter().step_by(if flat { 2 } else { 1 }).collect();
        names.len() * if flat { 2 } else { 1 } == items.len()
    };
    let may_repeat = op.words.get(2).is_some_and(|count| count.starts_with(b"-"));
    discriminant(left) == discriminant(right)
        && forms(one) == forms(other)
        && (may_repeat || distinct(one) && distinct(other))
}

/// Where Caskade is not Redis 7.0, each with its reason.
fn known(op: &Op, left: &Reply, right: &Reply) -> bool {
    let both_count = left.integer().is_some() && right.integer().is_some();
    match (name(op).as_str(), subcommand(op).as_str()) {
        // Redis shares one object between all keys that hold the same small integer.
        ("OBJECT", "REFCOUNT") => both_count,
        // A key takes less memory here.
        ("MEMORY", "USAGE") => both_count,
        // Redis reads numbers while it still thinks that one before was too large.
        ("SORT" | "SORT_RO", _) if *right == Reply::Error(NO_NUMBER.to_vec()) => !left.is_error(),
        // Redis compares up to a zero byte.
        ("SORT" | "SORT_RO", _) if op.says("ALPHA") => up_to_zero(left) == up_to_zero(right),
        _ => false,
    }
}

const NO_NUMBER: &[u8] = b"ERR One or more scores can't be converted into double";

fn up_to_zero(reply: &Reply) -> Reply {
    match reply {
        Reply::Bulk(bytes) => Reply::Bulk(bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()),
        Reply::Array(items) => Reply::Array(items.iter().map(up_to_zero).collect()),
        other => other.clone(),
    }
}

/// Where 7.2, which Caskade is held to, is not 7.0.
fn newer_here(op: &Op, left: &Reply, right: &Reply) -> bool {
    match name(op).as_str() {
        "OBJECT" if subcommand(op) == "ENCODING" => same_encoding(left, right, false),
        // It multiplies seconds until they are negative.
        "BLPOP" | "BRPOP" | "BLMOVE" | "BLMPOP" | "BRPOPLPUSH" | "BZPOPMIN" | "BZPOPMAX" | "BZMPOP"
            if *left == Reply::Error(b"ERR timeout is out of range".to_vec()) =>
        {
            *right == Reply::Error(b"ERR timeout is negative".to_vec())
        }
        // It takes so negative a number.
        "LPOS" | "LREM" if op.says("-9223372036854775808") => left.is_error(),
        // The shortest text that means a number, no longer one of 17 digits.
        name if name.starts_with('Z') || name.starts_with("BZ") => {
            let (left, right) = (shortened(left.clone()), shortened(right.clone()));
            left == right || random_by_nature(op, &left, &right)
        }
        _ => false,
    }
}

fn same_encoding(left: &Reply, right: &Reply, lenient: bool) -> bool {
    let words = [left, right].map(|reply| reply.bytes().unwrap_or_default());
    let is_string = |word: &[u8]| [&b"embstr"[..], b"raw"].contains(&word);
    left == right
        || match words {
            // 7.2 has them packed where they are small.
            [b"listpack", b"quicklist" | b"hashtable"] => !lenient,
            // Valkey 9 embeds longer strings.
            [left, right] => lenient && is_string(left) && is_string(right),
        }
}

/// Where Valkey 9 has moved on from Redis 7; Caskade is held to Redis.
fn moved_on(op: &Op, left: &Reply, right: &Reply) -> bool {
    match name(op).as_str() {
        // It reads the expiry before it looks at the key.
        "GETEX" => left.is_error() || right.is_error(),
        "OBJECT" if subcommand(op) == "ENCODING" => same_encoding(left, right, true),
        // It tells other texts for a type that does not exist.
        "OBJECT" | "SCAN" => true,
        // It reads cursors otherwise: nothing is none, and spaces before it do not matter.
        "SSCAN" | "HSCAN" | "ZSCAN" if op.words[2] != b"0" => left.is_error() || right.is_error(),
        // Its texts are not always the shortest that mean a number, and it tells zeros apart.
        name if name.starts_with('Z') || name.starts_with("BZ") => same_numbers(left, right),
        // It tells other texts for an id that is no number, and takes names with a zero byte.
        "CLIENT" => true,
        _ => false,
    }
}

/// Whether all that differs are texts of the same numbers.
fn same_numbers(left: &Reply, right: &Reply) -> bool {
    let number = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    let alike = |one: &[u8], other: &[u8]| {
        one == other || (other == b"-0" || other.len() >= 16) && number(one).is_some() && number(one) == number(other)
    };
    match (left, right) {
        (Reply::Bulk(left), Reply::Bulk(right)) => alike(left, right),
        (Reply::Double(left), Reply::Double(right)) => alike(left.as_bytes(), right.as_bytes()),
        (Reply::Array(left), Reply::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same_numbers(left, right))
        }
        _ => left == right,
    }
}

/// With every number of many digits written alike.
fn shortened(reply: Reply) -> Reply {
    let short = |text: &str| {
        let is_long = text.contains(['.', 'e']) || text.len() >= 17;
        let is_number = is_long && text.ends_with(|last: char| last.is_ascii_digit());
        text.parse::<f64>().ok().filter(|_| is_number).map(|number| format!("{number:?}"))
    };
    match reply {
        Reply::Bulk(bytes) => {
            let number = std::str::from_utf8(&bytes).ok().and_then(short);
            Reply::Bulk(number.map_or(bytes, String::into_bytes))
        }
        Reply::Double(text) => Reply::Double(short(&text).unwrap_or(text)),
        Reply::Array(items) => Reply::Array(items.into_iter().map(shortened).collect()),
        other => other,
    }
}

fn name(op: &Op) -> String {
    String::from_utf8_lossy(&op.words[0]).to_ascii_uppercase()
}

fn subcommand(op: &Op) -> String {
    op.words.get(1).map_or_else(String::new, |word| String::from_utf8_lossy(word).to_ascii_uppercase())
}
