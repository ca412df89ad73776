//! Random commands: lines with their holes filled, some of them broken on purpose.
//!
//! Always true: a sequence follows from its seed alone; what has to be left out is named with its reason.

use super::lines::collections::{ANY, ELEMENTS, KEYS as TYPED_KEYS, LEX, LINES as COLLECTIONS, NEWER, TRANSACTIONS};
use super::lines::{JUNK, KEYS, LINES, OPTIONS, VALUES, collections};
use fastrand::Rng;

pub const CLIENTS: usize = 4;

/// Larger than what Caskade and Redis keep packed.
const MANY: usize = 150;

/// More integers than Redis packs.
const MANY_INTEGERS: usize = 600;

#[derive(Clone, Debug)]
pub struct Op {
    pub client: usize,
    pub words: Vec<Vec<u8>>,
    /// Commands that follow each other and make sense only together have the same.
    pub group: usize,
}

impl Op {
    /// Or something that is done to the server in place of one.
    pub fn is_command(&self) -> bool {
        !self.words[0].starts_with(b"(")
    }

    /// Whether one of its words behind the key is this.
    pub fn says(&self, word: &str) -> bool {
        self.words.iter().skip(2).any(|said| said.eq_ignore_ascii_case(word.as_bytes()))
    }
}

/// What is asked of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Strings, keys, databases, transactions.
    Strings,
    /// All types.
    All,
    /// All types, and what Redis 7.0 does not know.
    Newest,
}

/// An endless sequence that follows from its seed.
pub struct Generator {
    rng: Rng,
    scope: Scope,
    in_transaction: [bool; CLIENTS],
    /// Leaves out what Valkey answers in a way that changes the replies to come: MULTI and WATCH inside MULTI.
    lenient: bool,
    /// What follows, the last one first.
    next: Vec<Op>,
    groups: usize,
}

/// The commands among the lines that Redis has.
pub fn names(scope: Scope) -> impl Iterator<Item = &'static str> {
    let collections = if scope == Scope::Strings { &[] } else { COLLECTIONS };
    let newer = if scope == Scope::Newest { NEWER } else { &[] };
    let first = |command: &'static str| command.split(' ').next().unwrap_or_default();
    let lines = LINES.iter().chain(collections).chain(newer);
    lines.flat_map(|line| line.split(" ; ")).map(first).filter(|name| !name.starts_with('$') && *name != "NOSUCH")
}

impl Generator {
    pub fn new(seed: u64, scope: Scope, lenient: bool) -> Generator {
        let rng = Rng::with_seed(seed);
        Generator { rng, scope, in_transaction: [false; CLIENTS], lenient, next: Vec::new(), groups: 0 }
    }

    /// So many commands or a few more, since what makes sense only together comes whole.
    pub fn round(&mut self, commands: usize) -> Vec<Op> {
        let mut ops: Vec<Op> = self.take(commands).collect();
        ops.extend(self.next.drain(..).rev());
        ops
    }

    fn generate(&mut self) {
        while self.next.is_empty() {
            let client = self.rng.usize(..CLIENTS);
            // A transaction of many commands is nearly always spoilt by one of them.
            let ends = self.in_transaction[client] && self.rng.u8(..6) == 0;
            let line = if ends { "EXEC" } else { self.line() };
            if line.contains(" ; ") {
                self.generate_group(client, line);
            } else {
                self.generate_one(client, line);
            }
        }
    }

    /// Lines on collections are twice as many as others, since there are twice as many commands.
    fn line(&mut self) -> &'static str {
        let lines = match (self.scope, self.rng.u8(..60)) {
            (Scope::Strings, _) | (_, 0..18) => LINES,
            (_, 18..20) => TRANSACTIONS,
            (Scope::Newest, 20..30) => NEWER,
            _ => COLLECTIONS,
        };
        lines[self.rng.usize(..lines.len())]
    }

    fn generate_group(&mut self, client: usize, line: &str) {
        // What Valkey answers differently must not change what follows.
        if line.starts_with("MULTI") && self.lenient && self.in_transaction[client] {
            return;
        }
        self.groups += 1;
        let mut ops: Vec<Op> = Vec::new();
        for command in line.split(" ; ") {
            let mut words = Vec::new();
            for word in command.split(' ') {
                match ops.first() {
                    Some(first) if word == "$same" => words.push(first.words[1].clone()),
                    _ => self.fill(word, &mut words),
                }
            }
            ops.push(Op { client, words, group: self.groups });
        }
        if line.ends_with("EXEC") {
            self.in_transaction[client] = false;
        }
        if ops.iter().any(|op| self.is_unfit(client, &op.words)) {
            return;
        }
        self.next.extend(ops.into_iter().rev());
    }

    fn generate_one(&mut self, client: usize, line: &str) {
        let name = line.split(' ').next().unwrap_or_default();
        // Rarer, or little would ever be there to be read.
        if matches!(name, "FLUSHDB" | "FLUSHALL" | "SWAPDB" | "RESET" | "NOSUCH") && self.rng.u8(..4) != 0 {
            return;
        }
        let mut words: Vec<Vec<u8>> = Vec::new();
        for word in line.split(' ') {
            self.fill(word, &mut words);
        }
        // What Valkey answers differently must not change what follows.
        if self.lenient && self.in_transaction[client] && matches!(name, "MULTI" | "WATCH") {
            return;
        }
        // Nor must a transaction be undone by what trims nothing.
        if self.lenient && name == "LTRIM" {
            return;
        }
        // A walk must end, and a transaction begin; SPOP of less than all chooses at random; other scores beside those of
        // 0 would make ranges of names mean nothing.
        let is_whole =
            matches!(name, "SCAN" | "MULTI" | "EXEC" | "DISCARD" | "RESET" | "SPOP") || line.contains("$lex");
        if self.rng.u8(..30) == 0 && !is_whole {
            self.damage(&mut words);
        }
        if self.is_unfit(client, &words) {
            return;
        }
        match name {
            "MULTI" => self.in_transaction[client] = true,
            "EXEC" | "DISCARD" | "RESET" => self.in_transaction[client] = false,
            _ => {}
        }
        self.groups += 1;
        if words.iter().skip(2).any(|word| word == b"1" || word == b"1000") && words[0].eq_ignore_ascii_case(b"SET") {
            // Redis forgets a key set with a deadline in the past when it next looks; DBSIZE shows which did.
            self.next.push(Op { client, words: vec![b"EXISTS".to_vec(), words[1].clone()], group: self.groups });
        }
        self.next.push(Op { client, words, group: self.groups });
    }

    /// What would make a value of 512 MB, end a client of the comparison, walk in steps or sort in no order inside a
    /// transaction, or has another arity since 7.2.
    fn is_unfit(&self, client: usize, words: &[Vec<u8>]) -> bool {
        let is = |name: &str| words[0].eq_ignore_ascii_case(name.as_bytes());
        let has = |at: usize, text: &str| words.get(at).is_some_and(|word| word == text.as_bytes());
        let says = |text: &str| words.iter().skip(2).any(|word| word.eq_ignore_ascii_case(text.as_bytes()));
        let huge = is("SETRANGE") && has(2, "536870911") && words.get(3).is_some_and(|value| value.len() == 1);
        let deadly =
            is("CLIENT") && words.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"KILL")) && !has(3, "0");
        let whole = has(3, "1000") && !has(4, "COUNT");
        let walks = is("HSCAN") || is("SSCAN") || is("ZSCAN");
        let steps = is("SCAN") && !whole || walks && !(has(4, "100000") && words.len() == 5);
        let midway = walks && has(2, "9223372036854775808");
        let some_of_a_set = (is("SORT") || is("SORT_RO")) && says("BY") && says("LIMIT");
        let in_steps = midway || self.in_transaction[client] && (steps || some_of_a_set);
        let newer = is("COMMAND") && words.len() == 3;
        // Whatever is equal comes in no order; Redis takes a number for none while it still thinks of another that was too large.
        let is_certain = if says("ALPHA") { !says("BY") } else { says("nosort") };
        let sorts = is("SORT") && says("STORE") && !is_certain;
        // What Valkey 9 answers differently must not change what follows: it reads no scores of these forms, takes a negative
        // offset for none, prepares for members that are not added, takes an index of more than 32 bits, and FIELDS for a key.
        let zset = words[0].first().is_some_and(|first| first.eq_ignore_ascii_case(&b'Z'));
        let spaced = words.iter().any(|word| word.starts_with(b" "));
        let before_first =
            words.windows(2).any(|two| two[0].eq_ignore_ascii_case(b"LIMIT") && two[1].starts_with(b"-"));
        let not_added = is("ZADD") && says("XX") && words.iter().any(|word| word.len() > 64);
        let far = is("LSET") && words.get(2).is_some_and(|index| index.len() > 9);
        let no_key = words.get(1).is_some_and(|key| key.eq_ignore_ascii_case(b"FIELDS"));
        let differs =
            sorts || self.lenient && (zset && (says("0x10") || spaced || before_first) || not_added || far || no_key);
        // An argument too many before 7.2.
        let newer = newer || self.scope != Scope::Newest && (is("ZRANK") || is("ZREVRANK")) && words.len() == 4;
        differs || huge || deadly && words.get(3).is_some_and(|id| id.len() < 10) || in_steps || newer
    }

    fn fill(&mut self, hole: &str, words: &mut Vec<Vec<u8>>) {
        let number = |number: usize| number.to_string().into_bytes();
        match hole {
            "$key" if self.scope != Scope::Strings && self.rng.u8(..4) == 0 => words.push(self.pick(ANY).to_vec()),
            "$key" => words.push(self.pick(KEYS).to_vec()),
            "$any" => words.push(self.pick(ANY).to_vec()),
            "$lex" => words.push(self.pick(LEX).to_vec()),
            "$value" if self.rng.u8(..3) == 0 => self.fill("$number", words),
            "$value" => words.push(self.pick(VALUES).to_vec()),
            "$m" if self.rng.u8(..20) == 0 => self.fill("$big", words),
            "$m" => words.push(self.pick(ELEMENTS).to_vec()),
            "$big" => words.push(self.pick(&["a", "large", "value"]).repeat(*self.pick(&[60, 300])).into_bytes()),
            "$index" if self.rng.u8(..20) == 0 => self.fill("$integer", words),
            "$index" => self.fill("$near", words),
            "$scores_members" => self.repeat(&["$a_score", "$m"], 5, words),
            "$a_score" if self.rng.u8(..40) == 0 => self.fill("$no_score", words),
            "$a_score" => self.fill("$score", words),
            "$keys" => self.repeat(&["$key"], 4, words),
            "$pairs" => self.repeat(&["$key", "$value"], 4, words),
            "$ms" => self.repeat(&["$m"], 5, words),
            "$numbers" => self.repeat(&["$small"], 9, words),
            "$fields_values" => {
                let value = *self.pick(&["$m", "$value"]);
                self.repeat(&["$m", value], 4, words);
            }
            "$lists" => self.repeat(&["$list"], 3, words),
            "$sets" => self.repeat(&["$a_set"], 4, words),
            "$zsets" => self.repeat(&["$zset"], 3, words),
            "$counted_lists" => self.counted(&["$list"], words),
            "$counted_sets" => self.counted(&["$a_set"], words),
            "$counted_zsets" => self.counted(&["$zset"], words),
            "$counted_ms" => self.counted(&["$m"], words),
            "$counted_fields" => self.counted(&["$m", "$m"], words),
            "$many" => self.many(MANY, words, |at, words| words.push(format!("m{at}").into_bytes())),
            "$many_texts" => {
                self.many(MANY, words, |at, words| words.push(format!("m{at} ").repeat(20).into_bytes()));
            }
            "$many_integers" => self.many(MANY_INTEGERS, words, |at, words| words.push(number(at))),
            "$many_fields" => {
                let count = *self.pick(&[MANY, MANY, 520]);
                let length = *self.pick(&[1, 1, 20, 70]);
                self.many(count, words, |at, words| {
                    words.extend([format!("m{at}").into_bytes(), at.to_string().repeat(length).into_bytes()]);
                });
            }
            "$many_scores" => {
                let step = *self.pick(&[0, 1, 7]);
                self.many(MANY, words, |at, words| {
                    words.extend([number(at * step % 100), format!("m{at}").into_bytes()]);
                });
            }
            "$many_zeros" => {
                self.many(MANY, words, |at, words| words.extend([number(0), format!("m{at}").into_bytes()]));
            }
            _ => self.choose(hole, words),
        }
    }

    /// A key of a type, one of some options, or a word as it is.
    fn choose(&mut self, hole: &str, words: &mut Vec<Vec<u8>>) {
        if let Some((_, keys)) = TYPED_KEYS.iter().find(|(name, _)| *name == hole) {
            let keys = if self.rng.u8(..6) == 0 { ANY } else { keys };
            return words.push(self.pick(keys).to_vec());
        }
        let Some((_, options)) = OPTIONS.iter().chain(collections::OPTIONS).find(|(name, _)| *name == hole) else {
            assert!(!hole.starts_with('$'), "no such hole: {hole}");
            let word = if self.rng.u8(..20) == 0 { hole.to_lowercase() } else { hole.to_owned() };
            return words.push(word.into_bytes());
        };
        let option = *self.pick(options);
        // Other values may have spaces in them.
        if !option.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return words.push(option.as_bytes().to_vec());
        }
        for word in option.split(' ') {
            match word {
                hole if hole.starts_with('$') => self.fill(hole, words),
                word => words.push(word.as_bytes().to_vec()),
            }
        }
    }

    /// Fills the holes once at least and less than `end` times.
    fn repeat(&mut self, holes: &[&str], end: usize, words: &mut Vec<Vec<u8>>) {
        for _ in 0..self.rng.usize(1..end) {
            holes.iter().for_each(|hole| self.fill(hole, words));
        }
    }

    /// The same behind their number, which is wrong now and then.
    fn counted(&mut self, holes: &[&str], words: &mut Vec<Vec<u8>>) {
        let mut counted = Vec::new();
        self.repeat(holes, 4, &mut counted);
        if self.rng.u8(..12) == 0 {
            self.fill("$small", words);
        } else {
            words.push((counted.len() / holes.len()).to_string().into_bytes());
        }
        words.append(&mut counted);
    }

    /// Overlapping, yet not always the same.
    fn many(&mut self, count: usize, words: &mut Vec<Vec<u8>>, one: impl Fn(usize, &mut Vec<Vec<u8>>)) {
        let start = *self.pick(&[0, 0, 50, 100]);
        (start..start + count).for_each(|at| one(at, words));
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
        self.generate();
        self.next.pop()
    }
}
