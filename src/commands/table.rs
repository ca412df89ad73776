//! What a row of a command table is.
//!
//! A row is plain Rust in a `const`; [`checked`] refuses while compiling what could never be right: names out of
//! order, a command without a summary, a command that only reads but may be refused for want of memory.

use std::ops::BitOr;

use super::{Args, Context, Outcome};
use crate::node::acl::ChannelWords;
use crate::protocol::Arguments;

/// The function behind a command.
pub type Handler = fn(&mut Context<'_, '_>, Args<'_>) -> Outcome;

/// Whether the word at this place of a request, its name being the first, is a secret.
pub type Secret = fn(Arguments<'_>, usize) -> bool;

/// The place of one more key of a request, which nothing but its words tells.
pub type FurtherKey = fn(Arguments<'_>) -> Option<usize>;

/// What a request looks at beyond the keys that it names, and whether it changes any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// It may look at every key there is.
    pub all: bool,
    /// It changes none.
    pub only_reads: bool,
}

/// [`Reach`] where it depends on the request.
pub type ReachBy = fn(Arguments<'_>) -> Reach;

/// What a request does with its keys, in the words of COMMAND INFO.
pub type KeysBy = fn(Arguments<'_>) -> &'static str;

/// Properties of a command, as COMMAND INFO names them, and some of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    pub const NONE: Self = Self(0);
    pub const WRITE: Self = Self(1);
    pub const READONLY: Self = Self(1 << 1);
    pub const DENYOOM: Self = Self(1 << 2);
    pub const ADMIN: Self = Self(1 << 3);
    pub const NOSCRIPT: Self = Self(1 << 4);
    pub const LOADING: Self = Self(1 << 5);
    pub const STALE: Self = Self(1 << 6);
    pub const FAST: Self = Self(1 << 7);
    pub const NO_AUTH: Self = Self(1 << 8);
    pub const NO_MULTI: Self = Self(1 << 9);
    pub const ALLOW_BUSY: Self = Self(1 << 10);
    pub const SKIP_MONITOR: Self = Self(1 << 11);
    pub const SKIP_SLOWLOG: Self = Self(1 << 12);
    pub const NO_ASYNC_LOADING: Self = Self(1 << 13);
    pub const MOVABLE_KEYS: Self = Self(1 << 14);
    pub const PUBSUB: Self = Self(1 << 15);
    pub const BLOCKING: Self = Self(1 << 17);
    /// A connection that only listens may run it.
    pub const LISTENING: Self = Self(1 << 18);
    /// The command looks at the whole database, so it takes every latch.
    pub const WHOLE: Self = Self(1 << 20);
    /// Inside MULTI the command runs at once, instead of being queued.
    pub const IMMEDIATE: Self = Self(1 << 21);
    /// The command walks over a database, latch by latch; inside a transaction it needs all of them.
    pub const WALKS: Self = Self(1 << 23);
    /// The command runs the queued ones, so it takes the latches of all their keys.
    pub const TRANSACTION: Self = Self(1 << 24);
    /// The command changes no key, but is held back with those that do (`may_replicate`, which COMMAND INFO does not tell).
    pub const MAY_REPLICATE: Self = Self(1 << 29);
    /// The ACL category of this name, where no other property implies it.
    pub const DANGEROUS: Self = Self(1 << 22);
    /// The ACL categories of lists, sets and sorted sets instead of that of the group.
    pub const COLLECTION_CATEGORIES: Self = Self(1 << 25);
    /// As [`Flags::DANGEROUS`].
    pub const ADMIN_CATEGORY: Self = Self(1 << 26);
    /// As [`Flags::DANGEROUS`].
    pub const CONNECTION_CATEGORY: Self = Self(1 << 27);
    /// As [`Flags::DANGEROUS`].
    pub const KEYSPACE_CATEGORY: Self = Self(1 << 28);

    /// The flags that COMMAND INFO names, in its order.
    pub const NAMED: &[(Self, &str)] = &[
        (Self::WRITE, "write"),
        (Self::READONLY, "readonly"),
        (Self::DENYOOM, "denyoom"),
        (Self::ADMIN, "admin"),
        (Self::PUBSUB, "pubsub"),
        (Self::NOSCRIPT, "noscript"),
        (Self::BLOCKING, "blocking"),
        (Self::LOADING, "loading"),
        (Self::STALE, "stale"),
        (Self::SKIP_MONITOR, "skip_monitor"),
        (Self::SKIP_SLOWLOG, "skip_slowlog"),
        (Self::FAST, "fast"),
        (Self::NO_AUTH, "no_auth"),
        (Self::NO_ASYNC_LOADING, "no_async_loading"),
        (Self::NO_MULTI, "no_multi"),
        (Self::ALLOW_BUSY, "allow_busy"),
        (Self::MOVABLE_KEYS, "movablekeys"),
    ];

    /// Whether all of `other` are set.
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

/// The group a command is documented in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Cluster,
    Connection,
    Generic,
    Hash,
    List,
    PubSub,
    Server,
    Set,
    SortedSet,
    String,
    Transactions,
}

impl Group {
    /// As COMMAND DOCS names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Connection => "connection",
            Self::Generic => "generic",
            Self::Hash => "hash",
            Self::List => "list",
            Self::PubSub => "pubsub",
            Self::Server => "server",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::String => "string",
            Self::Transactions => "transactions",
        }
    }
}

/// One command, or one subcommand.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// In upper case; a subcommand's without its container's.
    pub name: &'static str,
    /// The arguments: lower-case words are values, upper-case ones stand for themselves, `[...]` may be left out,
    /// `|` separates alternatives, `...` says that what is before may repeat.
    pub usage: &'static str,
    pub handler: Handler,
    pub flags: Flags,
    pub group: Group,
    pub summary: &'static str,
    pub since: &'static str,
    pub complexity: &'static str,
    /// Of a container.
    pub subcommands: &'static [Command],
    /// What happens to its keys, in the words of COMMAND INFO (`RO access`): one text for all of them, or one for
    /// each. Where there is none it follows from the kind of the command.
    pub keys: &'static [&'static str],
    /// The words from the first to the last of these are shard channels, which key specs name although they are no keys.
    pub shard_channels: Option<(usize, isize)>,
    /// What happens to its keys where that depends on the request (`variable_flags`).
    pub keys_by: Option<KeysBy>,
    /// What happens to keys that no key spec finds, in the words of COMMAND INFO.
    pub other_keys: &'static [&'static str],
    /// Where one of them stands in a request; the last of the texts is about it.
    pub further_key: Option<FurtherKey>,
    /// What it looks at and whether it changes anything, where that depends on the request and does not follow from the flags.
    pub reach: Option<ReachBy>,
    /// Which of its words are channels that a user may or may not use.
    pub channels: Option<ChannelWords>,
    /// What a proxy or a client may want to know, in the words of COMMAND INFO.
    pub tips: &'static [&'static str],
    /// Where it does not follow from the usage.
    pub arity: Option<i32>,
    /// What has been replaced by something else: since when, and by what.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Not for applications: `syscmd`, as COMMAND DOCS has it.
    pub system: bool,
    /// Which words nobody but the server may read: the slow log does not show them.
    pub secret: Option<Secret>,
}

impl Command {
    /// A command that only reads keys.
    pub const fn read(name: &'static str, usage: &'static str, handler: Handler) -> Self {
        Self::new(name, usage, handler).flag(Flags::READONLY)
    }

    /// A command that changes keys.
    pub const fn write(name: &'static str, usage: &'static str, handler: Handler) -> Self {
        Self::new(name, usage, handler).flag(Flags::WRITE)
    }

    /// A command that is about no key.
    pub const fn new(name: &'static str, usage: &'static str, handler: Handler) -> Self {
        Self {
            name,
            usage,
            handler,
            flags: Flags::NONE,
            group: Group::Generic,
            summary: "",
            since: "1.0.0",
            complexity: "O(1)",
            subcommands: &[],
            keys: &[],
            shard_channels: None,
            keys_by: None,
            other_keys: &[],
            further_key: None,
            reach: None,
            channels: None,
            tips: &[],
            arity: None,
            deprecated: None,
            system: false,
            secret: None,
        }
    }

    pub const fn flag(mut self, flag: Flags) -> Self {
        self.flags = self.flags.with(flag);
        self
    }

    pub const fn group(mut self, group: Group) -> Self {
        self.group = group;
        self
    }

    pub const fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    pub const fn since(mut self, since: &'static str) -> Self {
        self.since = since;
        self
    }

    pub const fn complexity(mut self, complexity: &'static str) -> Self {
        self.complexity = complexity;
        self
    }

    pub const fn keys(mut self, access: &'static [&'static str]) -> Self {
        self.keys = access;
        self
    }

    pub const fn shard_channels(mut self, first: usize, last: isize) -> Self {
        self.shard_channels = Some((first, last));
        self
    }

    pub const fn keys_by(mut self, access: KeysBy) -> Self {
        self.keys_by = Some(access);
        self
    }

    pub const fn other_keys(mut self, access: &'static [&'static str]) -> Self {
        self.other_keys = access;
        self
    }

    pub const fn further_key(mut self, place: FurtherKey) -> Self {
        self.further_key = Some(place);
        self
    }

    pub const fn reach(mut self, reach: ReachBy) -> Self {
        self.reach = Some(reach);
        self
    }

    pub const fn channels(mut self, words: ChannelWords) -> Self {
        self.channels = Some(words);
        self
    }

    pub const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    pub const fn arity(mut self, arity: i32) -> Self {
        self.arity = Some(arity);
        self
    }

    pub const fn deprecated(mut self, since: &'static str, instead: &'static str) -> Self {
        self.deprecated = Some((since, instead));
        self
    }

    pub const fn system(mut self) -> Self {
        self.system = true;
        self
    }

    pub const fn secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Makes it a container: its handler runs only when it is called without a subcommand.
    pub const fn subcommands(mut self, subcommands: &'static [Command]) -> Self {
        self.subcommands = subcommands;
        self
    }
}

/// Refuses, while compiling, a table that could never be right; gives all its rows a group.
pub const fn checked<const N: usize>(group: Group, mut table: [Command; N]) -> [Command; N] {
    let mut index = 0;
    while index < N {
        let row = &table[index];
        assert!(!row.summary.is_empty(), "a command without a summary");
        assert!(!(row.flags.has(Flags::READONLY) && row.flags.has(Flags::DENYOOM)), "a reader needs no memory");
        assert!(!(row.flags.has(Flags::READONLY) && row.flags.has(Flags::WRITE)), "a reader does not write");
        assert!(index == 0 || is_before(table[index - 1].name, row.name), "names out of order");
        table[index].group = group;
        index += 1;
    }
    table
}

const fn is_before(first: &str, second: &str) -> bool {
    let (first, second) = (first.as_bytes(), second.as_bytes());
    let mut index = 0;
    while index < first.len() && index < second.len() {
        if first[index] != second[index] {
            return first[index] < second[index];
        }
        index += 1;
    }
    first.len() < second.len()
}
