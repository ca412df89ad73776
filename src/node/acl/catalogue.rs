//! The commands as rules see them: names, categories, and which belongs to which container. The command tables say all
//! of it and hand it down; the number of an entry is the number of its row.

use std::collections::HashMap;
use std::ops::BitOr;

/// Categories of commands, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Categories(u32);

impl Categories {
    pub const NONE: Self = Self(0);
    pub const KEYSPACE: Self = Self(1);
    pub const READ: Self = Self(1 << 1);
    pub const WRITE: Self = Self(1 << 2);
    pub const SET: Self = Self(1 << 3);
    pub const SORTED_SET: Self = Self(1 << 4);
    pub const LIST: Self = Self(1 << 5);
    pub const HASH: Self = Self(1 << 6);
    pub const STRING: Self = Self(1 << 7);
    pub const BITMAP: Self = Self(1 << 8);
    pub const HYPERLOGLOG: Self = Self(1 << 9);
    pub const GEO: Self = Self(1 << 10);
    pub const STREAM: Self = Self(1 << 11);
    pub const PUBSUB: Self = Self(1 << 12);
    pub const ADMIN: Self = Self(1 << 13);
    pub const FAST: Self = Self(1 << 14);
    pub const SLOW: Self = Self(1 << 15);
    pub const BLOCKING: Self = Self(1 << 16);
    pub const DANGEROUS: Self = Self(1 << 17);
    pub const CONNECTION: Self = Self(1 << 18);
    pub const TRANSACTION: Self = Self(1 << 19);
    pub const SCRIPTING: Self = Self(1 << 20);

    /// All of them with their names, in Redis's order.
    pub const NAMED: &[(Self, &str)] = &[
        (Self::KEYSPACE, "@keyspace"),
        (Self::READ, "@read"),
        (Self::WRITE, "@write"),
        (Self::SET, "@set"),
        (Self::SORTED_SET, "@sortedset"),
        (Self::LIST, "@list"),
        (Self::HASH, "@hash"),
        (Self::STRING, "@string"),
        (Self::BITMAP, "@bitmap"),
        (Self::HYPERLOGLOG, "@hyperloglog"),
        (Self::GEO, "@geo"),
        (Self::STREAM, "@stream"),
        (Self::PUBSUB, "@pubsub"),
        (Self::ADMIN, "@admin"),
        (Self::FAST, "@fast"),
        (Self::SLOW, "@slow"),
        (Self::BLOCKING, "@blocking"),
        (Self::DANGEROUS, "@dangerous"),
        (Self::CONNECTION, "@connection"),
        (Self::TRANSACTION, "@transaction"),
        (Self::SCRIPTING, "@scripting"),
    ];

    /// The category of a name without its `@`, in any case.
    pub fn named(name: &[u8]) -> Option<Self> {
        let found = Self::NAMED.iter().find(|(_, known)| known.as_bytes()[1..].eq_ignore_ascii_case(name));
        found.map(|(category, _)| *category)
    }

    /// Whether all of `other` are among these.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of these, in Redis's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMED.iter().filter(move |(category, _)| self.has(*category)).map(|(_, name)| *name)
    }
}

impl BitOr for Categories {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One command, or one subcommand.
#[derive(Clone, Debug)]
pub struct Entry {
    /// In lower case; a subcommand's as `container|name`.
    pub name: String,
    pub categories: Categories,
    /// The numbers of a container's subcommands.
    pub subcommands: Vec<usize>,
}

/// All of them, by their numbers and found by name.
#[derive(Debug, Default)]
pub struct Catalogue {
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
}

impl Catalogue {
    pub fn new(entries: Vec<Entry>) -> Self {
        let by_name = entries.iter().enumerate().map(|(number, entry)| (entry.name.clone(), number)).collect();
        Self { entries, by_name }
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The number of the command with this full name, in any case.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        let name = std::str::from_utf8(name).ok()?;
        self.by_name.get(&name.to_ascii_lowercase()).copied()
    }

    /// Whether this is a subcommand.
    pub fn is_subcommand(&self, number: usize) -> bool {
        self.entries[number].name.contains('|')
    }
}
