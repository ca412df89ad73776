//! How the elements of a large collection are written, changed and taken away: many with each command, some commands
//! under way at once.

use super::elements::{Elements, Phase, Type, name, score, value};
use crate::connection::{Connection, encode, shown};
use crate::reply::Reply;

/// Elements of one command.
const TOGETHER: usize = 500;

/// Commands that are under way at once.
const PIPELINE: usize = 16;

/// A pipeline of commands with integers for answers, which are added up.
pub struct Pipeline<'a> {
    connection: &'a mut Connection,
    under_way: usize,
    sum: i64,
}

impl Pipeline<'_> {
    pub fn new(connection: &mut Connection) -> Pipeline<'_> {
        Pipeline { connection, under_way: 0, sum: 0 }
    }

    pub fn send(&mut self, words: &[Vec<u8>]) {
        if self.under_way == PIPELINE {
            self.receive(&words[0]);
        }
        self.connection.send_raw(&encode(words)).unwrap_or_else(|error| panic!("{}: {error}", shown(&words[..2])));
        self.under_way += 1;
    }

    fn receive(&mut self, command: &[u8]) {
        match self.connection.receive() {
            Ok(Reply::Integer(number)) => self.sum += number,
            Ok(Reply::Status(text)) if text == b"OK" => self.sum += 1,
            Ok(Reply::Array(items)) => self.sum += items.len() as i64,
            other => panic!("{} answered {other:?}", command.escape_ascii()),
        }
        self.under_way -= 1;
    }

    /// What all answers come to.
    pub fn finish(mut self) -> i64 {
        while self.under_way > 0 {
            self.receive(b"the last");
        }
        self.sum
    }
}

/// The same command for many elements, with some words for each of them.
fn each(
    connection: &mut Connection,
    command: &str,
    key: &str,
    numbers: impl Iterator<Item = u64>,
    words_of: impl Fn(u64, &mut Vec<Vec<u8>>),
) -> i64 {
    let mut pipeline = Pipeline::new(connection);
    let begin = || vec![command.as_bytes().to_vec(), key.as_bytes().to_vec()];
    let (mut words, mut together) = (begin(), 0);
    for number in numbers {
        words_of(number, &mut words);
        together += 1;
        if together == TOGETHER {
            pipeline.send(&words);
            (words, together) = (begin(), 0);
        }
    }
    if together > 0 {
        pipeline.send(&words);
    }
    pipeline.finish()
}

/// Puts every element in.
pub fn fill(connection: &mut Connection, key: &str, elements: Elements) {
    let numbers = elements.numbers(Phase::Filled);
    let added = match elements.of {
        Type::List => {
            each(connection, "RPUSH", key, numbers, |number, words| words.push(value(number, 0)));
            connection.ask(&["LLEN", key]).integer().expect("a length")
        }
        _ => put(connection, key, elements, numbers, 0),
    };
    assert_eq!(added, elements.count as i64, "elements that were new");
}

fn put(
    connection: &mut Connection,
    key: &str,
    elements: Elements,
    numbers: impl Iterator<Item = u64>,
    version: u64,
) -> i64 {
    match elements.of {
        Type::Hash => each(connection, "HSET", key, numbers, |number, words| {
            words.extend([name(number).to_vec(), value(number, version)]);
        }),
        Type::Set => each(connection, "SADD", key, numbers, |number, words| words.push(name(number).to_vec())),
        Type::SortedSet => each(connection, "ZADD", key, numbers, |number, words| {
            words.extend([score(number, version).to_string().into_bytes(), name(number).to_vec()]);
        }),
        Type::List => unreachable!("elements of lists have no names"),
    }
}

/// Takes half of the elements away, and gives half of the others another value.
pub fn change(connection: &mut Connection, key: &str, elements: Elements) {
    let removed = (0..elements.count).filter(|&number| elements.is_removed(number));
    let changed = (0..elements.count).filter(|&number| elements.is_changed(number));
    if elements.of == Type::List {
        return change_list(connection, key, elements);
    }
    let expected = removed.clone().count() as i64;
    let command = match elements.of {
        Type::Hash => "HDEL",
        Type::Set => "SREM",
        _ => "ZREM",
    };
    let found = each(connection, command, key, removed, |number, words| words.push(name(number).to_vec()));
    assert_eq!(found, expected, "{command}");
    assert_eq!(put(connection, key, elements, changed, 1), 0, "what is there is not new");
}

/// One end goes bit by bit, the other at once.
fn change_list(connection: &mut Connection, key: &str, elements: Elements) {
    let first = elements.count / 4;
    let mut pipeline = Pipeline::new(connection);
    let mut left = first;
    while left > 0 {
        let some = left.min(1_000);
        pipeline.send(&["LPOP", key, &some.to_string()].map(|word| word.as_bytes().to_vec()));
        left -= some;
    }
    assert_eq!(pipeline.finish(), first as i64, "LPOP");
    let last = elements.len(Phase::Changed) - 1;
    connection.ask(&["LTRIM", key, "0", &last.to_string()]);
    let mut pipeline = Pipeline::new(connection);
    let mut set = 0;
    for number in elements.numbers(Phase::Changed).filter(|&number| elements.is_changed(number)) {
        let index = (number - first).to_string().into_bytes();
        pipeline.send(&[b"LSET".to_vec(), key.as_bytes().to_vec(), index, value(number, 1)]);
        set += 1;
    }
    assert_eq!(pipeline.finish(), set, "LSET");
}
