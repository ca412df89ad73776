//! All rows, with what follows from them, found by name in any case.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::error::{Stop, text};
use super::table::{Command, Flags};
use super::usage::{self, Element, KeyPositions};
use crate::protocol::Arguments;

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
    pub keys: Option<KeyPositions>,
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

    /// The keys among the words of a request.
    pub fn keys<'a>(&self, words: Arguments<'a>) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        let (first, last, step) = match self.keys {
            None => (1, 0, 1),
            Some(KeyPositions { first, last, step }) => {
                let last = if last < 0 { words.len() as isize + last } else { last };
                (first, last.min(words.len() as isize - 1), step)
            }
        };
        let end = usize::try_from(last + 1).unwrap_or(0);
        (first..end.max(first)).step_by(step).filter_map(move |index| words.get(index))
    }

    /// Whether a request of so many words has the right number of arguments.
    #[inline]
    pub fn takes(&self, words: usize) -> bool {
        if self.arity >= 0 { words == self.arity as usize } else { words >= self.arity.unsigned_abs() as usize }
    }
}

impl Registry {
    /// All rows of the tables.
    pub fn new() -> Self {
        let mut registry = Self { rows: Vec::new(), by_name: HashMap::default() };
        for command in super::TABLES.iter().copied().flatten() {
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
        self.by_name.insert(name.as_bytes().into(), index);
        self.rows.push(Row {
            arity: command.arity.unwrap_or_else(|| usage::arity(&usage, names)),
            keys: usage::key_positions(&usage, names),
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
