//! Random commands: lines with holes, filled from small sets of edge values, some of them broken on purpose.
//!
//! Always true: expiries lie far ahead or in the past, so that the moment of asking does not matter; no line can
//! make a value larger than a few KiB.

use fastrand::Rng;

pub const CLIENTS: usize = 4;

#[derive(Clone, Debug)]
pub struct Op {
    pub client: usize,
    pub words: Vec<Vec<u8>>,
}

/// An endless sequence that follows from its seed.
pub struct Generator {
    rng: Rng,
    in_transaction: [bool; CLIENTS],
    /// Leaves out what Valkey answers in a way that changes the replies to come: MULTI and WATCH inside MULTI.
    lenient: bool,
    next: Vec<Op>,
}

const LINES: &[&str] = &[
    "SET $key $value",
    "SET $key $value $set",
    "SET $key $value $set $set",
    "SET $key $value $set $set $set",
    "SETNX $key $value",
    "SETEX $key $seconds $value",
    "PSETEX $key $milliseconds $value",
    "GET $key",
    "GET $key",
    "GETSET $key $value",
    "GETDEL $key",
    "GETEX $key",
    "GETEX $key $getex",
    "GETEX $key $getex $getex",
    "MGET $keys",
    "MSET $pairs",
    "MSETNX $pairs",
    "APPEND $key $value",
    "STRLEN $key",
    "GETRANGE $key $integer $integer",
    "SUBSTR $key $integer $integer",
    "SETRANGE $key $offset $value",
    "INCR $key",
    "DECR $key",
    "INCRBY $key $integer",
    "DECRBY $key $integer",
    "INCRBYFLOAT $key $float",
    "LCS $key $key",
    "LCS $key $key $lcs",
    "LCS $key $key $lcs $lcs",
    "DEL $keys",
    "UNLINK $keys",
    "EXISTS $keys",
    "TOUCH $keys",
    "TYPE $key",
    "EXPIRE $key $seconds",
    "EXPIRE $key $seconds $expire",
    "PEXPIRE $key $milliseconds $expire",
    "EXPIREAT $key $at $expire",
    "PEXPIREAT $key $at_ms $expire",
    "PEXPIREAT $key $at_ms $expire $expire",
    "TTL $key",
    "PTTL $key",
    "EXPIRETIME $key",
    "PEXPIRETIME $key",
    "PERSIST $key",
    "KEYS $pattern",
    "SCAN 0",
    "SCAN 0 COUNT 1",
    "SCAN 0 MATCH $pattern",
    "SCAN 0 TYPE string COUNT 3 MATCH $pattern",
    "SCAN 0 TYPE list",
    "RANDOMKEY",
    "RENAME $key $key",
    "RENAMENX $key $key",
    "COPY $key $key",
    "COPY $key $key $copy",
    "COPY $key $key $copy $copy",
    "MOVE $key $db",
    "SELECT $db",
    "SELECT 0",
    "SWAPDB $db $db",
    "FLUSHDB",
    "FLUSHALL",
    "DBSIZE",
    "OBJECT ENCODING $key",
    "MULTI",
    "MULTI",
    "EXEC",
    "EXEC",
    "EXEC",
    "DISCARD",
    "WATCH $keys",
    "WATCH $keys",
    "UNWATCH",
    "PING",
    "PING $value",
    "ECHO $value",
    "CLIENT SETNAME name",
    "CLIENT ID",
    "COMMAND GETKEYS SET $key $value",
    "COMMAND GETKEYS MSET $pairs",
    "NOSUCH $value",
];

const KEYS: &[&[u8]] = &[b"k1", b"k2", b"k3", b"k4", b"", b"\x00\xff\r\n"];

const VALUES: &[&[u8]] = &[
    b"",
    b"a",
    b"abc",
    b"ohmytext",
    b"mynewtext",
    b"\x00",
    b"\r\n",
    b"\xff\xfe",
    b"0",
    b"1",
    b"-1",
    b"10",
    b"+5",
    b" 7",
    b"7 ",
    b"007",
    b"-0",
    b"3.0",
    b"0.1",
    b"-2.5",
    b"5e3",
    b"1e400",
    b"nan",
    b"inf",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"a value of some forty bytes, embedded....",
    b"a value of more than forty-four bytes, which has its own allocation",
];

const INTEGERS: &[&str] = &[
    "0",
    "1",
    "2",
    "-1",
    "-2",
    "5",
    "-5",
    "100",
    "-100",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "-9223372036854775809",
    "4294967296",
    "x",
    "",
    "1.5",
    "01",
    "+1",
];

const FLOATS: &[&str] = &[
    "0.1", "0.2", "-0.1", "1", "0", "-0", "1.5", "10.5", "1e2", "1e-5", "-3.25", "0.000001", "3.0e3", "x", "", " 1",
    "nan", "inf", "-inf", "1e5000",
];

/// No number that could become an expiry of a few milliseconds.
const JUNK: &[&[u8]] = &[b"", b"a", b"\x00", b"nan", b"1.5", b"two words", b"9223372036854775808"];

/// What does not depend on the moment: a day and more ahead, zero, and what is refused.
const SECONDS: &[&str] =
    &["100000", "200000", "300000", "0", "-1", "9223372036854775807", "-9223372036854775808", "x", "1.5"];

impl Generator {
    pub fn new(seed: u64, lenient: bool) -> Generator {
        Generator { rng: Rng::with_seed(seed), in_transaction: [false; CLIENTS], lenient, next: Vec::new() }
    }

    fn generate(&mut self) -> Op {
        loop {
            let client = self.rng.usize(..CLIENTS);
            let line = *self.pick(LINES);
            let name = line.split(' ').next().unwrap_or_default();
            // Rarer, or little would ever be there to be read.
            if matches!(name, "FLUSHDB" | "FLUSHALL" | "SWAPDB" | "NOSUCH") && self.rng.u8(..4) != 0 {
                continue;
            }
            let inside = self.in_transaction[client];
            if inside && (name == "SCAN" || (self.lenient && matches!(name, "MULTI" | "WATCH"))) {
                continue;
            }
            let mut words: Vec<Vec<u8>> = Vec::new();
            for word in line.split(' ') {
                self.fill(word, &mut words);
            }
            if self.rng.u8(..30) == 0 && !matches!(name, "SCAN" | "MULTI" | "EXEC" | "DISCARD") {
                self.damage(&mut words);
            } else {
                match name {
                    "MULTI" => self.in_transaction[client] = true,
                    "EXEC" | "DISCARD" => self.in_transaction[client] = false,
                    _ => {}
                }
            }
            if words.iter().skip(2).any(|word| word == b"1" || word == b"1000") && words[0].eq_ignore_ascii_case(b"SET")
            {
                // Redis forgets a key set with a deadline in the past when it next looks; DBSIZE shows which did.
                self.next.push(Op { client, words: vec![b"EXISTS".to_vec(), words[1].clone()] });
            }
            return Op { client, words };
        }
    }

    fn fill(&mut self, hole: &str, words: &mut Vec<Vec<u8>>) {
        let text = match hole {
            "$key" => return words.push(self.pick(KEYS).to_vec()),
            "$value" => return words.push(self.pick(VALUES).to_vec()),
            "$keys" => {
                for _ in 0..self.rng.usize(1..4) {
                    self.fill("$key", words);
                }
                return;
            }
            "$pairs" => {
                for _ in 0..self.rng.usize(1..4) {
                    self.fill("$key", words);
                    self.fill("$value", words);
                }
                return;
            }
            "$set" => *self.pick(&[
                "NX",
                "XX",
                "GET",
                "KEEPTTL",
                "nx",
                "get",
                "EX $seconds",
                "PX $milliseconds",
                "EXAT $at",
                "PXAT $at_ms",
                "EX",
                "NOSUCH",
            ]),
            "$getex" => *self.pick(&[
                "PERSIST",
                "EX $seconds",
                "PX $milliseconds",
                "EXAT $at",
                "PXAT $at_ms",
                "persist",
                "NX",
                "EX",
            ]),
            "$expire" => *self.pick(&["", "NX", "XX", "GT", "LT", "nx", "gt", "NOSUCH"]),
            "$copy" => *self.pick(&["REPLACE", "DB $db", "replace", "DB", "NOSUCH"]),
            "$lcs" => *self.pick(&["LEN", "IDX", "IDX WITHMATCHLEN", "MINMATCHLEN $integer", "WITHMATCHLEN", "NOSUCH"]),
            "$integer" => *self.pick(INTEGERS),
            "$float" => *self.pick(FLOATS),
            "$offset" => *self.pick(&["0", "1", "5", "50", "-1", "536870912", "9223372036854775807", "x"]),
            "$seconds" => *self.pick(SECONDS),
            "$milliseconds" => *self.pick(&["100000000", "200000000", "0", "-1", "9223372036854775807", "x"]),
            "$at" => {
                *self.pick(&["33177117420", "33177117421", "33177117419", "1", "0", "-1", "9223372036854775807", "x"])
            }
            "$at_ms" => {
                *self.pick(&["33177117420123", "33177117420500", "33177117419000", "1000", "1", "0", "-1", "x"])
            }
            "$db" => *self.pick(&["0", "1", "1", "15", "16", "-1", "x"]),
            "$pattern" => *self.pick(&["*", "k*", "k?", "k[12]", "k[^1]", "k[2-4]", "nosuch", "", "\\k1", "*1*", "**"]),
            literal => {
                let word = if self.rng.u8(..20) == 0 { literal.to_lowercase() } else { literal.to_owned() };
                return words.push(word.into_bytes());
            }
        };
        if hole == "$expire" && text.is_empty() {
            return;
        }
        match text.split_once(' ') {
            Some((option, argument)) if argument.starts_with('$') => {
                words.push(option.as_bytes().to_vec());
                self.fill(argument, words);
            }
            Some((one, other)) if hole == "$lcs" => words.extend([one.as_bytes().to_vec(), other.as_bytes().to_vec()]),
            _ => words.push(text.as_bytes().to_vec()),
        }
    }

    /// One word too few, too many, or of another kind.
    fn damage(&mut self, words: &mut Vec<Vec<u8>>) {
        let at = self.rng.usize(..words.len());
        match self.rng.u8(..3) {
            0 if words.len() > 1 && at > 0 => {
                words.remove(at);
            }
            1 if at > 0 => words[at] = self.pick(JUNK).to_vec(),
            _ => words.push(self.pick(JUNK).to_vec()),
        }
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.rng.usize(..from.len())]
    }
}

impl Iterator for Generator {
    type Item = Op;

    fn next(&mut self) -> Option<Op> {
        Some(self.next.pop().unwrap_or_else(|| self.generate()))
    }
}
