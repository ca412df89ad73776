//! All rows, with what follows from them, found by name in any case.

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::FixedState;

use super::categories;
use super::error::{Stop, text};
use super::table::{Command, Flags, Reach};
use super::usage::{self, Element, KeyPositions};
use crate::node::acl::{Catalogue, CatalogueEntry, Categories, KeyUse};
use crate::protocol::Arguments;
use crate::types::number;

/// No command's name is longer.
const NAME_BYTES_MAX: usize = 32;

/// A command with what follows from its row.
#[derive(Debug)]
pub struct Row {
    pub command: &'static Command,
    /// In lower case; a subcommand's as `container|name`.
    pub name: String,
    /// Its number, for statistics.
    pub index: usize,
    /// As COMMAND INFO gives it.
    pub arity: i32,
    pub categories: Categories,
    pub keys: Option<KeyPositions>,
    /// The place of its key, where each request of it has one key, at the same place.
    pub only_key: Option<usize>,
    /// The place of the first element that it looks at of the collection there, if no option comes before it.
    pub element: Option<usize>,
    pub usage: Vec<Element>,
    /// How many words of a request are its name.
    pub names: usize,
    /// The numbers of a container's subcommands.
    pub subcommands: Vec<usize>,
}

/// Every command and subcommand.
#[derive(Debug)]
pub struct Registry {
    rows: Vec<Row>,
    by_name: HashMap<Box<[u8]>, usize, FixedState>,
}

impl Row {
    /// Whether all of `flags` are set.
    #[inline]
    pub fn is(&self, flags: Flags) -> bool {
        self.command.flags.has(flags)
    }

    /// What a request looks at beyond the keys that it names, and whether it changes any.
    #[inline]
    pub fn reach(&self, words: Arguments<'_>) -> Reach {
        match self.command.reach {
            Some(reach) => reach(words),
            None => Reach { all: self.is(Flags::WHOLE), only_reads: !self.is(Flags::WRITE) },
        }
    }

    /// The keys among the words of a request.
    pub fn keys<'a>(&self, words: Arguments<'a>) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        self.key_places(words).filter_map(move |place| words.get(place))
    }

    /// Calls `each` with the keys among the words of a request.
    #[inline]
    pub fn each_key<'a>(&self, words: Arguments<'a>, each: impl FnMut(&'a [u8])) {
        match self.only_key {
            Some(place) => words.get(place).into_iter().for_each(each),
            None => self.keys(words).for_each(each),
        }
    }

    /// The places of the keys among the words of a request, with what is done to them; none where nobody knows them.
    pub fn key_uses<'a>(
        &self,
        words: Arguments<'a>,
    ) -> Option<impl Iterator<Item = (usize, KeyUse)> + Clone + use<'a, '_>> {
        if self.is(Flags::MOVABLE_KEYS) && !self.has_keys() {
            return None;
        }
        let by_request = self.command.keys_by.map(|access| KeyUse::of(access(words)));
        let places = self.key_places(words).enumerate();
        Some(places.map(move |(at, place)| (place, by_request.unwrap_or_else(|| KeyUse::of(self.key_access(at))))))
    }

    /// What happens to the key with this number among the keys, in the words of COMMAND INFO.
    pub fn key_access(&self, at: usize) -> &'static str {
        if at > 0
            && self.command.further_key.is_some()
            && let Some(access) = self.command.other_keys.last()
        {
            return access;
        }
        match self.command.keys {
            [] if self.is(Flags::READONLY) => "RO access",
            [] => "RW update",
            texts => texts[at.min(texts.len() - 1)],
        }
    }

    /// Whether a request of it may have keys.
    pub fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Whether the word that says how many keys follow it says what can be.
    pub fn keys_are_counted(&self, words: Arguments<'_>, count: usize) -> bool {
        !counted_keys(words, count).is_empty()
    }

    #[inline]
    fn key_places(&self, words: Arguments<'_>) -> impl Iterator<Item = usize> + Clone + use<> {
        let further = self.command.further_key.and_then(|place| place(words));
        self.named_places(words).chain(further)
    }

    #[inline]
    fn named_places(&self, words: Arguments<'_>) -> impl Iterator<Item = usize> + Clone + use<> {
        let (first, last, step, counted) = match self.keys {
            None => (1, 0, 1, 0..0),
            Some(KeyPositions { first, last, step, counted_by }) => {
                let last = if last < 0 { words.len() as isize + last } else { last };
                let counted = counted_by.map_or(0..0, |count| counted_keys(words, count));
                if step == 0 { (1, 0, 1, counted) } else { (first, last.min(words.len() as isize - 1), step, counted) }
            }
        };
        let end = usize::try_from(last + 1).unwrap_or(0);
        (first..end.max(first)).step_by(step).chain(counted)
    }

    /// Whether a request of so many words has the right number of arguments.
    #[inline]
    pub fn takes(&self, words: usize) -> bool {
        if self.arity >= 0 { words == self.arity as usize } else { words >= self.arity.unsigned_abs() as usize }
    }
}

/// The places of the keys behind the word that says how many they are; none where it says what cannot be.
fn counted_keys(words: Arguments<'_>, count: usize) -> Range<usize> {
    let first = count + 1;
    let number = words.get(count).and_then(number::parse_i64).and_then(|number| usize::try_from(number).ok());
    match number {
        Some(number) if number <= words.len().saturating_sub(first) => first..first + number,
        _ => 0..0,
    }
}

impl Registry {
    /// All rows of the tables.
    pub fn new() -> Self {
        Self::of(super::TABLES)
    }

    /// All rows of these tables.
    pub(super) fn of(tables: &[&'static [Command]]) -> Self {
        let mut registry = Self { rows: Vec::new(), by_name: HashMap::default() };
        for command in tables.iter().copied().flatten() {
            registry.add(command, None);
        }
        registry
    }

    /// Top-level commands, in the order of the tables.
    pub fn commands(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.names == 1)
    }

    /// Commands and subcommands, by their numbers.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What rules of users need to know of the commands.
    pub fn catalogue(&self) -> Catalogue {
        let entry = |row: &Row| CatalogueEntry {
            name: row.name.clone(),
            categories: row.categories,
            subcommands: row.subcommands.clone(),
        };
        Catalogue::new(self.rows.iter().map(entry).collect())
    }

    /// The command of this name, in any case; a subcommand's as `container|name`.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<&Row> {
        let mut lower = [0; NAME_BYTES_MAX];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.by_name.get(&*lower).map(|index| &self.rows[*index])
    }

    /// The row a request asks for, with the number of its arguments checked.
    #[inline]
    pub fn resolve(&self, words: Arguments<'_>) -> Result<&Row, Stop> {
        let row = self.named_by(words)?;
        if row.takes(words.len()) { Ok(row) } else { Err(text::wrong_arity(&row.name)) }
    }

    /// As [`Registry::resolve`], where the request before it was for the row with the number `last`: mostly this one is, too.
    #[inline]
    pub fn resolve_after(&self, words: Arguments<'_>, last: Option<usize>) -> Result<&Row, Stop> {
        if let Some(row) = last.map(|last| &self.rows[last])
            && row.names == 1
            && row.subcommands.is_empty()
            && words.get(0).is_some_and(|name| name.eq_ignore_ascii_case(row.name.as_bytes()))
            && row.takes(words.len())
        {
            return Ok(row);
        }
        self.resolve(words)
    }

    /// The row that the first words of a request name.
    #[inline]
    pub fn named_by(&self, words: Arguments<'_>) -> Result<&Row, Stop> {
        let row = self.find(words.get(0).unwrap_or_default()).filter(|row| row.names == 1);
        let row = row.ok_or_else(|| text::unknown_command(words))?;
        match words.get(1) {
            Some(subcommand) if !row.subcommands.is_empty() => self.subcommand(row, subcommand),
            _ => Ok(row),
        }
    }

    /// The subcommands of a container.
    pub fn subcommands_of(&self, container: &Row) -> impl Iterator<Item = &Row> {
        container.subcommands.iter().map(|index| &self.rows[*index])
    }

    /// The subcommand of a container.
    pub fn subcommand(&self, container: &Row, name: &[u8]) -> Result<&Row, Stop> {
        let found = container.subcommands.iter().map(|index| &self.rows[*index]);
        let mut found = found.filter(|row| row.command.name.as_bytes().eq_ignore_ascii_case(name));
        found.next().ok_or_else(|| text::unknown_subcommand(name, &container.name))
    }

    fn add(&mut self, command: &'static Command, container: Option<&str>) -> usize {
        let name = command.name.to_lowercase();
        let name = container.map_or(name.clone(), |container| format!("{container}|{name}"));
        let (index, names) = (self.rows.len(), 1 + usize::from(container.is_some()));
        assert!(name.len() <= NAME_BYTES_MAX, "the name {name} is too long");
        let usage = usage::parse(command.usage);
        let keys = usage::key_positions(&usage, names);
        let only_key = match keys {
            Some(KeyPositions { first, last, counted_by: None, .. })
                if usize::try_from(last) == Ok(first) && command.further_key.is_none() =>
            {
                Some(first)
            }
            _ => None,
        };
        self.by_name.insert(name.as_bytes().into(), index);
        self.rows.push(Row {
            categories: categories::of(command),
            arity: command.arity.unwrap_or_else(|| usage::arity(&usage, names)),
            keys,
            element: only_key.and_then(|_| usage::element_position(&usage, names)),
            only_key,
            name: name.clone(),
            subcommands: Vec::new(),
            command,
            index,
            usage,
            names,
        });
        let subcommands = command.subcommands.iter().map(|subcommand| self.add(subcommand, Some(&name))).collect();
        self.rows[index].subcommands = subcommands;
        index
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::arguments::Words;
    use crate::commands::error::text as texts;

    fn uses(row: &Row, line: &str) -> Option<Vec<(usize, bool, bool)>> {
        let words = Words::copied(line.split(' ').map(str::as_bytes));
        let uses = row.key_uses(words.arguments())?;
        Some(uses.map(|(place, used)| (place, used.reads, used.writes)).collect())
    }

    #[test]
    fn what_is_done_to_keys_follows_from_the_rows() {
        let registry = Registry::new();
        type Case<'a> = (&'a str, &'a [(usize, bool, bool)]);
        let cases: &[Case<'_>] = &[
            ("GET k", &[(1, true, false)]),
            ("EXISTS a b", &[(1, false, false), (2, false, false)]),
            ("MSET a 1 b 2", &[(1, false, true), (3, false, true)]),
            ("DEL a b", &[(1, false, true), (2, false, true)]),
            ("COPY a b", &[(1, true, false), (2, false, true)]),
            ("GETDEL a", &[(1, true, true)]),
            ("SET k v", &[(1, false, true)]),
            ("SET k get", &[(1, false, true)]),
            ("SET k v EX 10 get", &[(1, true, true)]),
            ("OBJECT ENCODING k", &[(2, false, false)]),
            ("PING", &[]),
            ("SINTERCARD 2 a b LIMIT 1", &[(2, true, false), (3, true, false)]),
            ("SINTERCARD 3 a b", &[]),
            ("SINTERCARD -1 a b", &[]),
            ("SINTERCARD x a b", &[]),
            ("SDIFFSTORE a b c", &[(1, false, true), (2, true, false), (3, true, false)]),
        ];
        for (line, expected) in cases {
            let words = Words::copied(line.split(' ').map(str::as_bytes));
            let row = registry.resolve(words.arguments()).unwrap();
            assert_eq!(uses(row, line).as_deref(), Some(*expected), "{line}");
        }
    }

    #[test]
    fn the_first_element_is_known_where_it_always_stands_at_the_same_place() {
        let registry = Registry::new();
        let places = [
            ("hget", Some(2)),
            ("hset", Some(2)),
            ("hmget", Some(2)),
            ("sadd", Some(2)),
            ("zadd", Some(3)),
            ("zscore", Some(2)),
            ("lpush", None),
            ("get", None),
            ("smove", None),
            ("hgetall", None),
        ];
        for (name, place) in places {
            assert_eq!(registry.find(name.as_bytes()).unwrap().element, place, "{name}");
        }
    }

    #[test]
    fn what_is_faster_for_most_requests_is_the_same() {
        let registry = Registry::new();
        let lines =
            ["GET k", "get", "SET k v", "CONFIG GET x", "CONFIG", "HGETALL h", "MSET a 1 b 2", "OBJECT ENCODING k"];
        for line in lines {
            let words = Words::copied(line.split(' ').map(str::as_bytes));
            let index = |row: Result<&Row, Stop>| row.ok().map(|row| row.index);
            let resolved = index(registry.resolve(words.arguments()));
            for row in registry.rows() {
                let after = registry.resolve_after(words.arguments(), Some(row.index));
                assert_eq!(index(after), resolved, "{line} after {}", row.name);
            }
            let Some(row) = resolved.map(|index| &registry.rows()[index]) else { continue };
            let mut keys = Vec::new();
            row.each_key(words.arguments(), |key| keys.push(key));
            assert_eq!(keys, row.keys(words.arguments()).collect::<Vec<_>>(), "{line}");
        }
    }

    #[test]
    fn keys_that_cannot_be_found_are_not_taken_for_none() {
        const ROW: Command = Command::read("EVALISH", "script numkeys [arg ...]", |_, _| Err(texts::SYNTAX.into()))
            .flag(Flags::MOVABLE_KEYS);
        let mut registry = Registry::new();
        let index = registry.add(&ROW, None);
        assert_eq!(uses(&registry.rows[index], "EVALISH x 1 k"), None);
    }

    #[test]
    fn what_depends_on_the_request_is_said_by_a_function() {
        for row in Registry::new().rows() {
            let depends = row.command.keys.iter().any(|access| access.contains("variable_flags"));
            assert_eq!(depends, row.command.keys_by.is_some(), "{}", row.name);
        }
    }
}
