//! Collections before the load comes: how they are filled.
//!
//! All names have 16 bytes, all values 100, unless a number says otherwise.

use super::client::{Client, ELEMENTS_AT_ONCE};
use super::load::name;

pub const VALUE_BYTES: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Hash,
    List,
    Set,
    SortedSet,
}

impl Shape {
    pub const ALL: [Self; 4] = [Self::Hash, Self::Set, Self::List, Self::SortedSet];

    pub fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "sorted set",
        }
    }

    /// Adds so many elements, the first of which has this number.
    pub fn add(self, client: &mut Client, key: &str, first: usize, count: usize) {
        let requests = (0..count).step_by(ELEMENTS_AT_ONCE).map(|from| {
            let numbers = first + from..first + (from + ELEMENTS_AT_ONCE).min(count);
            let mut words = vec![self.adds().as_bytes().to_vec(), key.as_bytes().to_vec()];
            numbers.for_each(|number| self.element(number, &mut words));
            words
        });
        client.send_all(requests);
    }

    /// How many elements there are.
    pub fn length(self, client: &mut Client, key: &str) -> i64 {
        let command = match self {
            Self::Hash => "HLEN",
            Self::List => "LLEN",
            Self::Set => "SCARD",
            Self::SortedSet => "ZCARD",
        };
        client.number(&format!("{command} {key}"))
    }

    fn adds(self) -> &'static str {
        match self {
            Self::Hash => "HSET",
            Self::List => "RPUSH",
            Self::Set => "SADD",
            Self::SortedSet => "ZADD",
        }
    }

    fn element(self, number: usize, words: &mut Vec<Vec<u8>>) {
        match self {
            Self::Hash => words.extend([name("element:", number), value()]),
            Self::List => words.push(value()),
            Self::Set => words.push(name("element:", number)),
            // In no order, so that the tree is none that was filled from left to right.
            Self::SortedSet => {
                let score = number.wrapping_mul(0x9E37_79B9) % 100_000_000;
                words.extend([score.to_string().into_bytes(), name("element:", number)]);
            }
        }
    }
}

pub fn value() -> Vec<u8> {
    vec![b'v'; VALUE_BYTES]
}

/// Hashes of five fields each.
pub fn small_hashes(client: &mut Client, count: usize, bytes: usize) {
    client.send_all((0..count).map(|number| {
        let mut words = vec![b"HSET".to_vec(), name("smaller:", number)];
        for field in 0..SMALL_FIELDS {
            words.extend([small_field(field, bytes), vec![b'v'; if bytes == 0 { VALUE_BYTES } else { bytes }]]);
        }
        words
    }));
}

pub const SMALL_FIELDS: usize = 5;

/// A field of 16 bytes, or of `bytes` where that is not 0.
fn small_field(field: usize, bytes: usize) -> Vec<u8> {
    let mut name = name("element:", field);
    name.resize(if bytes == 0 { name.len() } else { bytes }, b'f');
    name
}
