//! What is asked when a user wants something, and what the answer is.

use std::cmp::Ordering;

use crate::protocol::Arguments;

/// What is done to a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyUse {
    /// Its value gets known.
    pub reads: bool,
    /// Its value is set, changed or deleted.
    pub writes: bool,
}

impl KeyUse {
    pub const BOTH: Self = Self { reads: true, writes: true };

    /// What the words of COMMAND INFO say (`RW access update`). That a key is there, or how long it is, is no value.
    pub fn of(words: &str) -> Self {
        let has = |wanted: &[&str]| words.split(' ').any(|word| wanted.contains(&word));
        Self { reads: has(&["access"]), writes: has(&["insert", "update", "delete"]) }
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self { reads: self.reads || other.reads, writes: self.writes || other.writes }
    }

    pub(super) fn covers(self, wanted: Self) -> bool {
        (self.reads || !wanted.reads) && (self.writes || !wanted.writes)
    }

    /// What stands before a pattern of keys that may be used so.
    pub(super) fn prefix(self) -> &'static str {
        match (self.reads, self.writes) {
            (true, false) => "%R~",
            (false, true) => "%W~",
            _ => "~",
        }
    }
}

/// Which words of a request are channels, behind its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelWords {
    /// The first: what is published to.
    First,
    /// All of them.
    All,
    /// All of them, and they are patterns.
    Patterns,
}

impl ChannelWords {
    pub(super) fn places(self, request: &Request<'_>) -> std::ops::Range<usize> {
        let (first, end) = (request.names, request.words.len());
        if self == Self::First { first..end.min(first + 1) } else { first..end }
    }
}

/// A request whose number of arguments is right.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The number of its row.
    pub command: usize,
    /// How many of its words are its name.
    pub names: usize,
    pub words: Arguments<'a>,
    /// Who is not authenticated yet may run it, so everybody may.
    pub for_everybody: bool,
    pub channels: Option<ChannelWords>,
}

/// What a user may not do; the later ones tell more of what was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    Command,
    Key,
    /// Not a request, but a login.
    Auth,
    Channel,
}

impl Reason {
    /// As ACL LOG names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Key => "key",
            Self::Auth => "auth",
            Self::Channel => "channel",
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    pub reason: Reason,
    /// Which of its words is the key or channel; 0 where none is.
    pub at: usize,
}

impl Denied {
    /// The one that tells more: of several sets of rules, that which got furthest.
    pub(super) fn or(self, other: Self) -> Self {
        match self.reason.cmp(&other.reason).then(self.at.cmp(&other.at)) {
            Ordering::Less => other,
            Ordering::Equal | Ordering::Greater => self,
        }
    }
}
