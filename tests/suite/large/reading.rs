//! All elements of a large collection, read back in every way there is: by a scan, by ranges, one by one.

use super::elements::{Digest, Elements, Phase, Type, name, no_name, score, value};
use crate::connection::{Connection, encode};
use crate::reply::Reply;

/// Elements of one answer.
const TOGETHER: u64 = 5_000;

/// Elements that are asked for one by one.
const SAMPLES: u64 = 2_000;

/// Checks that exactly these elements are there.
///
/// # Panics
/// When it is not so.
pub fn check(connection: &mut Connection, key: &str, elements: Elements, phase: Phase) {
    let length = match elements.of {
        Type::Hash => "HLEN",
        Type::Set => "SCARD",
        Type::List => "LLEN",
        Type::SortedSet => "ZCARD",
    };
    let expected = elements.digest(phase);
    assert_eq!(connection.ask(&[length, key]), Reply::Integer(expected.count as i64), "{length}, {phase:?}");
    match elements.of {
        Type::Hash => assert_eq!(scan(connection, "HSCAN", key, 2), expected, "HSCAN, {phase:?}"),
        Type::Set => assert_eq!(scan(connection, "SSCAN", key, 1), expected, "SSCAN, {phase:?}"),
        Type::List => check_list(connection, key, elements, phase),
        Type::SortedSet => {
            assert_eq!(scan(connection, "ZSCAN", key, 2), expected, "ZSCAN, {phase:?}");
            assert_eq!(by_rank(connection, key), expected, "ZRANGE by rank, {phase:?}");
            if phase == Phase::Changed {
                assert_eq!(by_score(connection, key), expected, "ZRANGE BYSCORE, {phase:?}");
            }
        }
    }
    check_samples(connection, key, elements, phase);
}

/// Nothing changes meanwhile, so that no element comes twice.
fn scan(connection: &mut Connection, command: &str, key: &str, words_each: usize) -> Digest {
    let (mut digest, mut cursor) = (Digest::default(), b"0".to_vec());
    let count = TOGETHER.to_string();
    loop {
        let reply = connection.ask(&[command.as_bytes(), key.as_bytes(), &cursor, b"COUNT", count.as_bytes()]);
        let [next, items] = reply.elements().expect("an array") else { panic!("{command} answered {reply:?}") };
        for item in items.elements().expect("an array").chunks(words_each) {
            add(&mut digest, command == "ZSCAN", item);
        }
        cursor = next.bytes().expect("a cursor").to_vec();
        if cursor == b"0" {
            return digest;
        }
    }
}

fn add(digest: &mut Digest, has_score: bool, item: &[Reply]) {
    let word = |index: usize| item.get(index).map_or(&b""[..], |reply| reply.bytes().expect("bytes"));
    if has_score {
        digest.add(word(0), &number(word(1)).to_bits().to_le_bytes());
    } else {
        digest.add(word(0), word(1));
    }
}

fn number(text: &[u8]) -> f64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).expect("a score")
}

/// Order counts: each element is compared with the one that must be there.
fn check_list(connection: &mut Connection, key: &str, elements: Elements, phase: Phase) {
    let (mut expected, mut index) = (elements.numbers(phase), 0);
    loop {
        let (first, last) = (index.to_string(), (index + TOGETHER - 1).to_string());
        let reply = connection.ask(&["LRANGE", key, &first, &last]);
        let items = reply.elements().expect("an array");
        for item in items {
            let number = expected.next().unwrap_or_else(|| panic!("{item:?} at {index} is too much, {phase:?}"));
            let value = value(number, elements.version(number, phase));
            assert_eq!(item.bytes(), Some(&value[..]), "index {index}, {phase:?}");
            index += 1;
        }
        if items.is_empty() {
            assert_eq!(expected.next(), None, "behind index {index}, {phase:?}");
            return;
        }
    }
}

/// Elements in order, and what they come to.
#[derive(Default)]
struct InOrder {
    digest: Digest,
    last: Option<(f64, Vec<u8>)>,
}

impl InOrder {
    /// Adds an answer; returns how many elements it had.
    fn add(&mut self, reply: &Reply) -> u64 {
        let items = reply.elements().expect("an array");
        for item in items.chunks(2) {
            let this = (number(item[1].bytes().expect("a score")), item[0].bytes().expect("a name").to_vec());
            assert!(self.last.as_ref().is_none_or(|last| *last < this), "{:?} stands before {this:?}", self.last);
            add(&mut self.digest, true, item);
            self.last = Some(this);
        }
        items.len() as u64 / 2
    }
}

fn by_rank(connection: &mut Connection, key: &str) -> Digest {
    let (mut all, mut rank) = (InOrder::default(), 0);
    loop {
        let (first, last) = (rank.to_string(), (rank + TOGETHER - 1).to_string());
        let some = all.add(&connection.ask(&["ZRANGE", key, &first, &last, "WITHSCORES"]));
        rank += some;
        if some == 0 {
            return all.digest;
        }
    }
}

/// From the last score of an answer on, without it: no two elements have the same.
fn by_score(connection: &mut Connection, key: &str) -> Digest {
    let (mut all, mut from) = (InOrder::default(), "-inf".to_owned());
    let count = TOGETHER.to_string();
    loop {
        let words = ["ZRANGE", key, &from, "+inf", "BYSCORE", "LIMIT", "0", &count, "WITHSCORES"];
        if all.add(&connection.ask(&words)) == 0 {
            return all.digest;
        }
        from = format!("({}", all.last.as_ref().expect("an element").0);
    }
}

/// Elements by their names or indexes, all over the collection; and those that were taken away, and that never were.
fn check_samples(connection: &mut Connection, key: &str, elements: Elements, phase: Phase) {
    let step = (elements.count / SAMPLES).max(1) as usize;
    // An odd step meets all that can have happened to an element.
    let numbers: Vec<u64> = (0..elements.count).step_by(step | 1).collect();
    let first = elements.numbers(phase).next().expect("an element");
    let ask = |number: u64, name: &[u8]| match elements.of {
        Type::Hash => encode(&[b"HGET", key.as_bytes(), name]),
        Type::Set => encode(&[b"SISMEMBER", key.as_bytes(), name]),
        Type::List => encode(&["LINDEX", key, &(number - first).to_string()]),
        Type::SortedSet => encode(&[b"ZSCORE", key.as_bytes(), name]),
    };
    let expected = |number: u64, is_there: bool| {
        let version = elements.version(number, phase);
        match (elements.of, is_there) {
            (Type::Set, _) => Reply::Integer(i64::from(is_there)),
            (_, false) => Reply::Null,
            (Type::SortedSet, true) => Reply::Bulk(score(number, version).to_string().into_bytes()),
            (_, true) => Reply::Bulk(value(number, version)),
        }
    };
    for some in numbers.chunks(200) {
        // An index counts from the first that is there.
        let some = || some.iter().copied().filter(|&number| elements.of != Type::List || number >= first);
        let requests = some().flat_map(|number| [ask(number, &name(number)), ask(number, &no_name(number))].concat());
        connection.send_raw(&requests.collect::<Vec<u8>>()).expect("to send");
        for number in some() {
            let is_there = elements.has(number, phase);
            assert_eq!(connection.receive().expect("a reply"), expected(number, is_there), "{number}, {phase:?}");
            // A list has no names, and answers the same once more.
            let is_there = is_there && elements.of == Type::List;
            assert_eq!(connection.receive().expect("a reply"), expected(number, is_there), "{number}, {phase:?}");
        }
    }
}
