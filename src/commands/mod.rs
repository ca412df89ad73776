//! The commands: one row and one function each.
//!
//! Always true: a row says everything about its command that is a fact (arity, keys, flags and documentation follow
//! from it); a handler reads and refuses all arguments before it changes anything, and has no effect unless it
//! returns a reply; nothing outside this floor knows a command by its name.
//!
//! | file | what |
//! | --- | --- |
//! | `table` | what a row is, and the check of all rows while compiling |
//! | `usage` | what follows from a usage line: arity, keys, the arguments of COMMAND DOCS |
//! | `registry` | all rows, found by name |
//! | `dispatch` | from a request to its effects and its reply |
//! | `gates` | what may refuse a command before it runs, in Redis's order |
//! | `permissions`, `categories` | what users may run |
//! | `arguments` | reading arguments |
//! | `timing` | how long commands take, and who is told |
//! | `docs` | the page of all commands |
//! | `blocking` | commands that wait, and who is served when a key is ready |
//! | `effects` | messages and events, which go out once the changes stand |
//! | `errand` | what waits for the disk before a command can run |
//! | `drawing` | elements at random, any number of times |
//! | `expiring` | options that say when something expires |
//! | `error` | what a client can read as an error |
//! | the rest | one module per group of commands |

mod acl;
mod arguments;
mod blocking;
mod categories;
mod cluster;
mod connection;
mod dispatch;
pub mod docs;
mod drawing;
mod effects;
mod errand;
mod error;
mod expiring;
mod foresight;
mod gates;
mod generic;
mod hashes;
mod introspection;
mod kept;
mod lists;
mod permissions;
mod pubsub;
mod registry;
mod server;
mod sets;
mod sorted_sets;
mod strings;
mod table;
mod timing;
mod transactions;
mod usage;

#[cfg(test)]
mod tests;

pub use arguments::Args;
pub use blocking::{Ended, end_waiting};
pub use dispatch::{Batch, Executed, Prepared, execute};
pub use errand::{Done, Errand, Finished};
pub use error::{Stop, text};
pub use foresight::foresee;
pub use introspection::info_fields;
pub use kept::Kept;
pub use permissions::check as check_permission;
pub use registry::{Registry, Row};
pub use table::{Command, Flags, Group};

use bytes::Bytes;

use self::blocking::Served;
use self::effects::Effect;
use crate::keyspace::{Access, Keyspace, Noted};
use crate::node::notify::EventClass;
use crate::node::{Node, Session};
use crate::protocol::{Reply, ReplyBuffer};

/// What a handler returns: a reply, or why there is none.
pub type Outcome = Result<Reply, Stop>;

/// What a handler works with.
pub struct Context<'a, 'k> {
    /// What all connections share.
    pub node: &'k Node,
    /// All commands.
    pub registry: &'k Registry,
    /// This connection.
    pub session: &'a mut Session,
    /// Where a handler may write its reply itself, returning [`Stop::Written`].
    pub out: &'a mut ReplyBuffer,
    access: Option<&'a mut Access<'k>>,
    /// Whether this runs inside EXEC.
    pub in_transaction: bool,
    /// What has come of the [`Errand`] that this command asked for.
    finished: Option<&'a Finished>,
    /// What others are to be told; mostly that is nothing.
    aside: Option<Box<Aside<'k>>>,
}

/// What a command leaves for others than its client.
#[derive(Default)]
struct Aside<'k> {
    /// What goes out once the changes stand.
    effects: Vec<Effect>,
    /// Who waited for what has changed, and is answered once the changes stand.
    served: Vec<Served<'k>>,
    /// What those are shown who look at everything.
    monitored: Vec<String>,
    /// Keys that a transaction has read after it had changed them, of a connection that tracks what it reads.
    own_reads: Vec<Bytes>,
}

impl<'k> Context<'_, 'k> {
    fn aside(&mut self) -> &mut Aside<'k> {
        self.aside.get_or_insert_default()
    }

    /// The keys, as this command may see them; an error while they are being loaded.
    #[inline]
    pub fn keys(&mut self) -> Result<&mut Access<'k>, Stop> {
        self.access.as_deref_mut().ok_or_else(text::loading)
    }

    /// The keys, and the output beside them.
    #[inline]
    pub fn keys_and_out(&mut self) -> Result<(&mut Access<'k>, &mut ReplyBuffer), Stop> {
        let access = self.access.as_deref_mut().ok_or_else(text::loading)?;
        Ok((access, &mut *self.out))
    }

    /// Notes an event of a key in the database that is looked at: whoever is to be told of such is told once the changes
    /// stand.
    #[inline]
    pub(crate) fn notify(&mut self, class: EventClass, event: &'static str, key: &[u8]) {
        let database = self.access.as_ref().map_or(self.session.database, |access| access.database());
        self.notify_in(database, class, event, key);
    }

    /// The same for another database.
    #[inline]
    pub(crate) fn notify_in(&mut self, database: u32, class: EventClass, event: &'static str, key: &[u8]) {
        self.take_noted();
        if self.node.notified().has(class) {
            self.aside().effects.push(Effect::Event { class, event, database, key: Bytes::copy_from_slice(key) });
        }
    }

    /// Turns what was noted of keys into events.
    fn take_noted(&mut self) {
        let Some(access) = self.access.as_deref_mut().filter(|access| access.has_noted()) else {
            return;
        };
        let effects = &mut self.aside.get_or_insert_default().effects;
        for (noted, database, key) in access.take_noted() {
            let (class, event) = match noted {
                Noted::New => (EventClass::NEW, "new"),
                Noted::Miss => (EventClass::MISS, "keymiss"),
                Noted::FieldsExpired => {
                    // Whoever caches the key hears of it from nobody else, should the command change nothing.
                    access.signal_in(database, &key);
                    (EventClass::HASH, "hexpired")
                }
            };
            effects.push(Effect::Event { class, event, database, key });
        }
    }

    /// The longest string there may be, in bytes.
    pub fn string_bytes_max(&self) -> usize {
        usize::try_from(self.node.config.get().proto_max_bulk_len).unwrap_or(usize::MAX)
    }

    /// All databases, for what is not about single keys; an error while they are being loaded.
    pub fn keyspace(&self) -> Result<&'k Keyspace, Stop> {
        self.node.keyspace().ok_or_else(text::loading)
    }

    /// The time this command runs at, in milliseconds since the Unix epoch.
    pub fn now(&self) -> u64 {
        self.access.as_ref().map_or_else(|| self.node.wall_now(), |access| access.now())
    }
}

/// Every command, in the groups of the documentation.
pub(crate) const TABLES: &[&[Command]] = &[
    acl::TABLE,
    cluster::TABLE,
    connection::TABLE,
    generic::TABLE,
    hashes::TABLE,
    introspection::TABLE,
    lists::TABLE,
    pubsub::TABLE,
    server::TABLE,
    sets::TABLE,
    sorted_sets::TABLE,
    strings::TABLE,
    transactions::TABLE,
];
