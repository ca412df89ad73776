//! Which commands may be run: a bit for each row of the command tables.
//!
//! Always true: the rules that are kept, given again in their order to a fresh set, make an equal one.

use std::collections::{BTreeMap, BTreeSet};

use super::catalogue::{Catalogue, Categories};
use super::rules::RuleError;

const WORD_BITS: usize = u64::BITS as usize;

/// A set of commands, and the rules that made it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Commands {
    /// One bit for each number; what is not there is not allowed.
    allowed: Vec<u64>,
    /// The rules begin with `+@all`, and not with `-@all`.
    from_all: bool,
    /// For commands that are not allowed as a whole: the first words with which they are, in lower case.
    first_words: BTreeMap<usize, BTreeSet<Box<[u8]>>>,
    /// What was said since, in lower case, without what was taken back by the same words.
    rules: Vec<String>,
}

impl Commands {
    /// `+@all` or `-@all`.
    pub(super) fn set_all(&mut self, catalogue: &Catalogue, allow: bool) {
        let words = catalogue.entries().len().div_ceil(WORD_BITS);
        *self = Self { allowed: vec![0; words], from_all: allow, ..Self::default() };
        for number in 0..catalogue.entries().len() {
            self.set(number, allow);
        }
    }

    /// A rule that begins with `+` or `-` and is not about all commands.
    pub(super) fn apply(&mut self, catalogue: &Catalogue, rule: &[u8]) -> Result<(), RuleError> {
        let (allow, what) = (rule.first() == Some(&b'+'), rule.get(1..).unwrap_or_default());
        if let Some(name) = what.strip_prefix(b"@") {
            let category = Categories::named(name).ok_or(RuleError::Unknown)?;
            for number in 0..catalogue.entries().len() {
                if catalogue.entries()[number].categories.has(category) {
                    self.change(catalogue, number, allow);
                }
            }
        } else if let Some(number) = catalogue.find(what) {
            self.change(catalogue, number, allow);
        } else if let (true, Some(at)) = (allow, what.iter().rposition(|byte| *byte == b'|')) {
            self.allow_first_word(catalogue, &what[..at], &what[at + 1..])?;
        } else {
            return Err(RuleError::Unknown);
        }
        self.keep(allow, &String::from_utf8_lossy(what).to_ascii_lowercase());
        Ok(())
    }

    /// Whether a command may be run, whatever its words.
    pub(super) fn allows(&self, number: usize) -> bool {
        self.allowed.get(number / WORD_BITS).is_some_and(|word| word & (1 << (number % WORD_BITS)) != 0)
    }

    /// Whether a command may be run with this first word.
    pub(super) fn allows_with(&self, number: usize, first: Option<&[u8]>) -> bool {
        let known = self.first_words.get(&number);
        known.zip(first).is_some_and(|(known, first)| known.contains(&*first.to_ascii_lowercase()))
    }

    /// Whether each of the commands may be run.
    pub(super) fn is_all(&self, catalogue: &Catalogue) -> bool {
        (0..catalogue.entries().len()).all(|number| self.allows(number))
    }

    /// The rules that make this set, as one text.
    pub(super) fn describe(&self) -> String {
        let mut text = String::from(if self.from_all { "+@all" } else { "-@all" });
        for rule in &self.rules {
            text.push(' ');
            text.push_str(rule);
        }
        text
    }

    fn allow_first_word(&mut self, catalogue: &Catalogue, command: &[u8], first: &[u8]) -> Result<(), RuleError> {
        let number = catalogue.find(command).ok_or(RuleError::Unknown)?;
        if catalogue.is_subcommand(number) {
            return Err(RuleError::FirstWordOfSubcommand);
        }
        if first.is_empty() {
            return Err(RuleError::Syntax);
        }
        // What a container has for subcommands is known.
        if !catalogue.entries()[number].subcommands.is_empty() {
            return Err(RuleError::Unknown);
        }
        // It has to be found again in what is told of the rules.
        if std::str::from_utf8(first).is_err() || first.iter().any(|byte| super::rules::is_blank(*byte)) {
            return Err(RuleError::Syntax);
        }
        self.first_words.entry(number).or_default().insert(first.to_ascii_lowercase().into());
        Ok(())
    }

    /// Allows or forbids a command, a container with all it contains.
    fn change(&mut self, catalogue: &Catalogue, number: usize, allow: bool) {
        self.set(number, allow);
        self.first_words.remove(&number);
        for subcommand in &catalogue.entries()[number].subcommands {
            self.set(*subcommand, allow);
        }
    }

    fn set(&mut self, number: usize, allow: bool) {
        let (word, bit) = (number / WORD_BITS, 1 << (number % WORD_BITS));
        if self.allowed.len() <= word {
            self.allowed.resize(word + 1, 0);
        }
        if allow { self.allowed[word] |= bit } else { self.allowed[word] &= !bit }
    }

    /// Keeps a rule, and none that says nothing any more: the same one, and those on parts of it.
    fn keep(&mut self, allow: bool, rule: &str) {
        self.rules.retain(|kept| {
            let rest = kept[1..].strip_prefix(rule);
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('|'))
        });
        self.rules.push(format!("{}{rule}", if allow { '+' } else { '-' }));
    }
}
