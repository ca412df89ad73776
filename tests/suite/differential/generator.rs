//! Random commands: lines with holes, filled from small sets of edge values, some of them broken on purpose.
//!
//! Always true: every command and option on strings, keys, databases and transactions is among the lines (a test asks
//! the server for its commands); expiries lie far ahead or in the past, so that the moment of asking does not matter;
//! no line makes a value larger than some ten KiB.

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
    // Strings.
    "SET $key $value",
    "SET $key $number",
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
    "GETRANGE $key $small $small",
    "SUBSTR $key $integer $integer",
    "SETRANGE $key $offset $value",
    "INCR $key",
    "DECR $key",
    "INCRBY $key $integer",
    "INCRBY $key $small",
    "DECRBY $key $integer",
    "INCRBYFLOAT $key $float",
    "INCRBYFLOAT $key $number",
    "LCS $key $key",
    "LCS $key $key $lcs",
    "LCS $key $key $lcs $lcs",
    "LCS $key $key $lcs $lcs $lcs",
    // Keys.
    "DEL $keys",
    "UNLINK $keys",
    "EXISTS $keys",
    "TOUCH $keys",
    "TYPE $key",
    "EXPIRE $key $seconds",
    "EXPIRE $key $seconds $expire",
    "EXPIRE $key $seconds $expire $expire",
    "PEXPIRE $key $milliseconds",
    "PEXPIRE $key $milliseconds $expire",
    "EXPIREAT $key $at",
    "EXPIREAT $key $at $expire",
    "PEXPIREAT $key $at_ms",
    "PEXPIREAT $key $at_ms $expire",
    "PEXPIREAT $key $at_ms $expire $expire",
    "TTL $key",
    "PTTL $key",
    "EXPIRETIME $key",
    "PEXPIRETIME $key",
    "PERSIST $key",
    "KEYS $pattern",
    "SCAN 0",
    "SCAN 0 $scan",
    "SCAN 0 $scan $scan",
    "SCAN 0 COUNT 1000 MATCH $pattern",
    "SCAN 0 COUNT 1000",
    "SCAN $cursor",
    "RANDOMKEY",
    "RENAME $key $key",
    "RENAMENX $key $key",
    "COPY $key $key",
    "COPY $key $key $copy",
    "COPY $key $key $copy $copy",
    "MOVE $key $db",
    "OBJECT ENCODING $key",
    "OBJECT REFCOUNT $key",
    "OBJECT IDLETIME $key",
    "OBJECT FREQ $key",
    "OBJECT NOSUCH $key",
    // Databases.
    "SELECT $db",
    "SELECT 0",
    "SWAPDB $db $db",
    "FLUSHDB",
    "FLUSHDB $flush",
    "FLUSHALL",
    "FLUSHALL $flush",
    "DBSIZE",
    // Transactions, often enough that some succeed and some are undone by others.
    "MULTI",
    "MULTI",
    "MULTI",
    "EXEC",
    "EXEC",
    "EXEC",
    "EXEC",
    "DISCARD",
    "WATCH $keys",
    "WATCH $keys",
    "WATCH $keys",
    "UNWATCH",
    // What else a client sends.
    "PING",
    "PING $value",
    "ECHO $value",
    "RESET",
    "ROLE",
    "CLIENT SETNAME $value",
    "CLIENT GETNAME",
    "CLIENT ID",
    "CLIENT KILL ID $integer",
    "CLIENT NOSUCH $value",
    "COMMAND GETKEYS SET $key $value",
    "COMMAND GETKEYS MSET $pairs",
    "COMMAND GETKEYS $value $keys",
    "MEMORY USAGE nosuch SAMPLES $integer",
    "NOSUCH $value",
    "$value $value",
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
    b"a\r\nb\n",
    b"\xff\xfe",
    b"a\x00b",
    b"two words",
    b"a value of forty-four bytes, embedded by Redis",
    b"a value of forty-four bytes: the last embedd",
    b"a value of forty-five bytes: the first on its",
    b"a value of more than forty-four bytes, which has its own allocation",
];

/// What is a number, nearly one, or none: around the limits of 32 and 64 bits and of a string's length.
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "10",
    "+5",
    " 7",
    "7 ",
    "007",
    "-0",
    "3.0",
    "0.1",
    "-2.5",
    "5e3",
    "1e400",
    "1e4932",
    "1e4933",
    "3.6e-4951",
    "nan",
    "inf",
    "9999",
    "10000",
    "2147483647",
    "-2147483649",
    "4294967295",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "12345678901234567890",
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
    "2147483646",
    "2147483647",
    "2147483648",
    "2147483649",
    "-2147483647",
    "-2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "4294967297",
    "536870911",
    "536870912",
    "536870913",
    "9223372036854775806",
    "9223372036854775807",
    "-9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "x",
    "",
    "1.5",
    "01",
    "+1",
    " 1",
    "1 ",
    "-",
    "0x10",
    "\0",
];

const FLOATS: &[&str] = &[
    "0.1",
    "0.2",
    "-0.1",
    "1",
    "0",
    "-0",
    "1.5",
    "10.5",
    "1e2",
    "1e-5",
    "-3.25",
    "0.000001",
    "3.0e3",
    "1e17",
    "1e-17",
    "1e-18",
    "123456789012345678",
    "0.12345678901234567890",
    "9223372036854775807",
    "-9223372036854775808",
    "1e4932",
    "-1e4932",
    "1e5000",
    "1e-5000",
    "0x1p3",
    ".5",
    "5.",
    ".",
    "x",
    "",
    " 1",
    "1 ",
    "1e",
    "nan",
    "inf",
    "-inf",
    "infinity",
    "1\0",
];

const PATTERNS: &[&str] = &[
    "*", "k*", "k?", "k[12]", "k[^1]", "k[2-4]", "k[4-2]", "k[", "k[1", "k[^", "k\\", "[", "nosuch", "", "\\k1", "*1*",
    "**", "?*", "??", "\0*", "k[\\1]", "k[1-", "*[",
];

/// No number that could become an expiry of a few milliseconds.
const JUNK: &[&[u8]] = &[b"", b"a", b"\x00", b"\xff", b"nan", b"1.5", b"two words", b"9223372036854775808"];

/// What does not depend on the moment: days and more ahead, zero, the past, and what is refused.
const SECONDS: &[&str] = &[
    "100000",
    "200000",
    "300000",
    "2147483647",
    "2147483648",
    "4294967297",
    "0",
    "-1",
    "-2147483648",
    "9223372036854775",
    "9223372036854776",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "x",
    "1.5",
    "",
];

const MILLISECONDS: &[&str] = &[
    "100000000",
    "200000000",
    "2147483647",
    "4294967297",
    "0",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "x",
    "",
];

const AT: &[&str] = &[
    "33177117420",
    "33177117421",
    "33177117419",
    "4294967295",
    "1",
    "0",
    "-1",
    "9223372036854775",
    "9223372036854776",
    "-9223372036854776",
    "9223372036854775807",
    "-9223372036854775808",
    "x",
];

const AT_MILLISECONDS: &[&str] = &[
    "33177117420123",
    "33177117420500",
    "33177117419000",
    "9223372036854775807",
    "1000",
    "1",
    "0",
    "-1",
    "-9223372036854775808",
    "x",
];

const DATABASES: &[&str] =
    &["0", "1", "1", "15", "16", "-1", "x", "", "2147483648", "4294967296", "-9223372036854775808", "1.5"];

/// Options, by the hole that takes one.
const OPTIONS: &[(&str, &[&str])] = &[
    (
        "$set",
        &[
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
            "PERSIST",
            "NOSUCH",
        ],
    ),
    (
        "$getex",
        &["PERSIST", "EX $seconds", "PX $milliseconds", "EXAT $at", "PXAT $at_ms", "persist", "NX", "KEEPTTL", "EX"],
    ),
    ("$expire", &["NX", "XX", "GT", "LT", "nx", "gt", "NOSUCH"]),
    ("$copy", &["REPLACE", "DB $db", "replace", "DB", "NOSUCH"]),
    ("$lcs", &["LEN", "IDX", "MINMATCHLEN $integer", "MINMATCHLEN $small", "WITHMATCHLEN", "MINMATCHLEN", "NOSUCH"]),
    ("$scan", &["COUNT $count", "MATCH $pattern", "MATCH $pattern", "TYPE string", "TYPE list", "TYPE", "NOSUCH"]),
    ("$flush", &["ASYNC", "SYNC", "NOSUCH"]),
    ("$count", &["1", "2", "3", "100", "0", "-1", "9223372036854775807", "9223372036854775808", "x"]),
    ("$cursor", &["x", "", "1.5", "18446744073709551616", "0x0", "+0", "-0", " 0", "0 "]),
    ("$offset", &["0", "1", "5", "50", "-1", "536870911", "536870912", "4294967296", "9223372036854775807", "x"]),
    ("$small", &["0", "1", "2", "3", "-1", "-2", "-3", "7"]),
    ("$integer", INTEGERS),
    ("$number", NUMBERS),
    ("$float", FLOATS),
    ("$seconds", SECONDS),
    ("$milliseconds", MILLISECONDS),
    ("$at", AT),
    ("$at_ms", AT_MILLISECONDS),
    ("$db", DATABASES),
    ("$pattern", PATTERNS),
];

/// The commands among the lines that Redis has.
pub fn names() -> impl Iterator<Item = &'static str> {
    let first = |line: &&'static str| line.split(' ').next().unwrap_or_default();
    LINES.iter().map(first).filter(|name| !name.starts_with('$') && *name != "NOSUCH")
}

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
            if matches!(name, "FLUSHDB" | "FLUSHALL" | "SWAPDB" | "RESET" | "NOSUCH") && self.rng.u8(..4) != 0 {
                continue;
            }
            let mut words: Vec<Vec<u8>> = Vec::new();
            for word in line.split(' ') {
                self.fill(word, &mut words);
            }
            // What Valkey answers differently must not change what follows.
            if self.lenient && self.in_transaction[client] && matches!(name, "MULTI" | "WATCH") {
                continue;
            }
            let is_damaged = self.rng.u8(..30) == 0 && !matches!(name, "SCAN" | "MULTI" | "EXEC" | "DISCARD" | "RESET");
            if is_damaged {
                self.damage(&mut words);
            }
            if self.is_unfit(client, &words) {
                continue;
            }
            match name {
                "MULTI" => self.in_transaction[client] = true,
                "EXEC" | "DISCARD" | "RESET" => self.in_transaction[client] = false,
                _ => {}
            }
            if words.iter().skip(2).any(|word| word == b"1" || word == b"1000") && words[0].eq_ignore_ascii_case(b"SET")
            {
                // Redis forgets a key set with a deadline in the past when it next looks; DBSIZE shows which did.
                self.next.push(Op { client, words: vec![b"EXISTS".to_vec(), words[1].clone()] });
            }
            return Op { client, words };
        }
    }

    /// What would make a value of 512 MB, end a client of the comparison, walk in steps inside a transaction, or has
    /// another arity since 7.2.
    fn is_unfit(&self, client: usize, words: &[Vec<u8>]) -> bool {
        let is = |name: &str| words[0].eq_ignore_ascii_case(name.as_bytes());
        let has = |at: usize, text: &str| words.get(at).is_some_and(|word| word == text.as_bytes());
        let huge = is("SETRANGE") && has(2, "536870911") && words.get(3).is_some_and(|value| value.len() == 1);
        let deadly =
            is("CLIENT") && words.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"KILL")) && !has(3, "0");
        let whole = has(3, "1000") && !has(4, "COUNT");
        let steps = is("SCAN") && self.in_transaction[client] && !whole;
        let newer = is("COMMAND") && words.len() == 3;
        huge || deadly && words.get(3).is_some_and(|id| id.len() < 10) || steps || newer
    }

    fn fill(&mut self, hole: &str, words: &mut Vec<Vec<u8>>) {
        match hole {
            "$key" => return words.push(self.pick(KEYS).to_vec()),
            "$value" if self.rng.u8(..3) == 0 => return self.fill("$number", words),
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
            _ => {}
        }
        let Some((_, options)) = OPTIONS.iter().find(|(name, _)| *name == hole) else {
            assert!(!hole.starts_with('$'), "no such hole: {hole}");
            let word = if self.rng.u8(..20) == 0 { hole.to_lowercase() } else { hole.to_owned() };
            return words.push(word.into_bytes());
        };
        let option = *self.pick(options);
        match option.split_once(' ') {
            Some((option, argument)) if argument.starts_with('$') => {
                words.push(option.as_bytes().to_vec());
                self.fill(argument, words);
            }
            Some((option, argument)) if option == "TYPE" => {
                words.extend([option.as_bytes().to_vec(), argument.as_bytes().to_vec()]);
            }
            _ => words.push(option.as_bytes().to_vec()),
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
