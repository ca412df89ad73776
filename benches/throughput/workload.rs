//! What is asked of a server, as bytes, and what it must answer.
//!
//! Always true: all requests of a workload have one length, and differ only in the digits of their keys; a value
//! begins with its key, so that a reply shows whose value it is.

use memchr::{memchr, memchr_iter};

use crate::common::request::encode;

const KEY_BYTES: usize = 16;
const VALUE_BYTES: usize = 100;
const VALUE_HEAD: &[u8] = b"$100\r\n";
const VALUE_REPLY_BYTES: usize = VALUE_HEAD.len() + VALUE_BYTES + b"\r\n".len();
const MSET_KEYS: usize = 10;

/// The digits of a key that are written anew for each request; those before them are zeros.
const DIGITS: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    Set,
    Get,
    Incr,
    Mset,
}

impl Workload {
    pub const ALL: [Self; 4] = [Self::Set, Self::Get, Self::Incr, Self::Mset];

    pub fn name(self) -> &'static str {
        match self {
            Self::Set => "SET",
            Self::Get => "GET",
            Self::Incr => "INCR",
            Self::Mset => "MSET",
        }
    }

    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|workload| workload.name().eq_ignore_ascii_case(name))
    }

    /// The value that each key has before the workload begins.
    pub fn initial_value(self, key: &[u8; KEY_BYTES]) -> Vec<u8> {
        match self {
            Self::Incr => b"0".to_vec(),
            Self::Set | Self::Get | Self::Mset => value(key),
        }
    }

    fn words(self) -> Vec<Vec<u8>> {
        let key = key(0);
        let (pair, name) = ([key.to_vec(), value(&key)], self.name().as_bytes().to_vec());
        let arguments = match self {
            Self::Set => pair.to_vec(),
            Self::Get | Self::Incr => vec![key.to_vec()],
            Self::Mset => vec![pair; MSET_KEYS].concat(),
        };
        [vec![name], arguments].concat()
    }
}

pub fn key(number: usize) -> [u8; KEY_BYTES] {
    let mut key = *b"key:000000000000";
    write_digits(&mut key[KEY_BYTES - DIGITS..], number);
    key
}

fn value(key: &[u8]) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    let filler = std::iter::repeat_with(|| random.alphanumeric() as u8);
    key.iter().copied().chain(filler).take(VALUE_BYTES).collect()
}

fn write_digits(target: &mut [u8], mut number: usize) {
    for pair in target[..DIGITS].rchunks_exact_mut(2) {
        let digits = number % 100;
        pair[0] = b'0' + (digits / 10) as u8;
        pair[1] = b'0' + (digits % 10) as u8;
        number /= 100;
    }
}

/// A pipeline of one connection: its bytes, and where the digits of the keys stand in them.
pub struct Pipeline {
    workload: Workload,
    pub bytes: Vec<u8>,
    /// For each key: where its digits are, and where its value repeats them.
    keys: Vec<(usize, Option<usize>)>,
    value: Vec<u8>,
}

impl Pipeline {
    pub fn new(workload: Workload, depth: usize) -> Self {
        let request = encode(&workload.words());
        let bytes = request.repeat(depth);
        let text = &key(0)[..];
        let mut found = memchr::memmem::find_iter(&bytes, text).map(|at| at + KEY_BYTES - DIGITS);
        let mut keys = Vec::new();
        while let Some(at) = found.next() {
            let has_value = matches!(workload, Workload::Set | Workload::Mset);
            keys.push((at, if has_value { found.next() } else { None }));
        }
        Self { workload, bytes, keys, value: value(text) }
    }

    /// Puts random keys below `count` into the requests.
    pub fn renew(&mut self, count: usize, random: &mut fastrand::Rng) {
        for &(key_at, value_at) in &self.keys {
            write_digits(&mut self.bytes[key_at..], random.usize(..count));
            if let Some(at) = value_at {
                self.bytes.copy_within(key_at..key_at + DIGITS, at);
            }
        }
    }

    /// Whether `replies` are complete. `depth` requests were sent.
    pub fn is_answered(&self, replies: &[u8], depth: usize) -> bool {
        match self.workload {
            Workload::Set | Workload::Mset => replies.len() >= depth * b"+OK\r\n".len(),
            Workload::Get => replies.len() >= depth * VALUE_REPLY_BYTES,
            Workload::Incr => memchr_iter(b'\n', replies).count() >= depth,
        }
    }

    /// What is wrong with complete replies, if anything.
    pub fn check(&self, replies: &[u8]) -> Result<(), String> {
        let right = match self.workload {
            Workload::Set | Workload::Mset => replies.chunks(5).all(|reply| reply == b"+OK\r\n"),
            Workload::Get => self.are_values(replies),
            Workload::Incr => are_counts(replies),
        };
        let shown = || String::from_utf8_lossy(&replies[..replies.len().min(300)]).into_owned();
        if right { Ok(()) } else { Err(format!("{} was answered with {}", self.workload.name(), shown())) }
    }

    fn are_values(&self, replies: &[u8]) -> bool {
        replies.len() == self.keys.len() * VALUE_REPLY_BYTES
            && replies.chunks_exact(VALUE_REPLY_BYTES).zip(&self.keys).all(|(reply, &(key_at, _))| {
                let (head, value) = reply.split_at(VALUE_HEAD.len());
                let (key, rest) = value.split_at(KEY_BYTES);
                head == VALUE_HEAD
                    && key[KEY_BYTES - DIGITS..] == self.bytes[key_at..key_at + DIGITS]
                    && rest[..VALUE_BYTES - KEY_BYTES] == self.value[KEY_BYTES..]
            })
    }
}

fn are_counts(mut replies: &[u8]) -> bool {
    while let Some(end) = memchr(b'\n', replies) {
        let (line, rest) = replies.split_at(end + 1);
        let [b':', digits @ .., b'\r', b'\n'] = line else { return false };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return false;
        }
        replies = rest;
    }
    replies.is_empty()
}
