//! Random commands: lines with their holes filled, some of them broken on purpose.
//!
//! Always true: a sequence follows from its seed alone; what has to be left out is named with its reason.

use super::lines::{JUNK, KEYS, LINES, OPTIONS, VALUES};
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
            // A transaction of many commands is nearly always spoilt by one of them.
            let ends = self.in_transaction[client] && self.rng.u8(..6) == 0;
            let line = if ends { "EXEC" } else { *self.pick(LINES) };
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
