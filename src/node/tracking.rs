//! Server-assisted caching: which connections have keys in caches of their own, and are told when those change.
//!
//! Always true: a connection is noted for a key while the latch is held under which it reads the key, and whoever changes a
//! key tells under the latch of the change; so no cache keeps what has changed. What is told too often does no harm. Keys
//! are names alone, whatever their database, as in Redis.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;

use super::outbox::Post;
use super::{Client, ClientKind, Node};
use crate::protocol::{Reply, Version};
use crate::store::Position;

/// How many parts the table is split into, so that readers seldom meet.
const PARTS: usize = 64;

/// The channel on which a connection with the older protocol listens for another.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// What CLIENT TRACKING ON has asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// The connection that is told in place of this one.
    pub redirect: Option<u64>,
    /// All keys with these prefixes, whether it has read them or not; an empty one is for all keys.
    pub broadcast: bool,
    /// In the order of their bytes.
    pub prefixes: Vec<Box<[u8]>>,
    /// Only the keys of commands that follow CLIENT CACHING YES.
    pub opt_in: bool,
    /// Not the keys of commands that follow CLIENT CACHING NO.
    pub opt_out: bool,
    /// Not its own changes.
    pub no_loop: bool,
}

/// Who has read which keys.
#[derive(Debug)]
pub struct Tracking {
    parts: Box<[Mutex<Part>]>,
    hasher: RandomState,
    /// Who is told of keys by prefix.
    prefixes: RwLock<Prefixes>,
    clients: AtomicUsize,
    keys: AtomicUsize,
    items: AtomicUsize,
}

/// Keys with the numbers of the connections that have read them.
type Part = HashMap<Box<[u8]>, Readers, RandomState>;

/// The numbers of connections that have read a key.
type Readers = SmallVec<[u64; 2]>;

/// Prefixes with the connections that are told of their keys.
type Prefixes = BTreeMap<Box<[u8]>, BTreeMap<u64, Arc<Client>>>;

/// What INFO says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackingCounts {
    /// Connections that track keys.
    pub clients: usize,
    /// Keys in the table.
    pub keys: usize,
    /// Keys of each connection, taken together.
    pub items: usize,
    /// Prefixes that somebody is told of.
    pub prefixes: usize,
}

impl Default for Tracking {
    fn default() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
            prefixes: RwLock::default(),
            clients: AtomicUsize::new(0),
            keys: AtomicUsize::new(0),
            items: AtomicUsize::new(0),
        }
    }
}

thread_local! {
    /// The connection whose command this thread runs; 0 is none.
    static ACTOR: Cell<u64> = const { Cell::new(0) };
}

/// While it lives, this thread acts for a connection.
pub struct Acting(());

impl Drop for Acting {
    fn drop(&mut self) {
        ACTOR.set(0);
    }
}

impl Tracking {
    /// Whether any connection tracks keys.
    #[inline]
    pub fn is_used(&self) -> bool {
        self.clients.load(SeqCst) > 0
    }

    /// Says for which connection this thread runs a command, as long as the result lives.
    pub fn acting(client: u64) -> Acting {
        ACTOR.set(client);
        Acting(())
    }

    fn part(&self, key: &[u8]) -> usize {
        use std::hash::BuildHasher;
        self.hasher.hash_one(key) as usize % PARTS
    }

    fn begin(&self, client: &Arc<Client>, tracked: &Tracked) {
        self.clients.fetch_add(1, SeqCst);
        let mut prefixes = self.prefixes.write();
        for prefix in &tracked.prefixes {
            prefixes.entry(prefix.clone()).or_default().insert(client.id, client.clone());
        }
    }

    /// What stands in the table for the connection is forgotten when its keys change.
    fn end(&self, client: &Client, tracked: &Tracked) {
        self.clients.fetch_sub(1, SeqCst);
        let mut prefixes = self.prefixes.write();
        for prefix in &tracked.prefixes {
            if let Some(clients) = prefixes.get_mut(prefix) {
                clients.remove(&client.id);
                if clients.is_empty() {
                    prefixes.remove(prefix);
                }
            }
        }
    }

    /// Notes that a connection has read a key.
    fn note(&self, key: &[u8], client: u64) {
        let mut part = self.parts[self.part(key)].lock();
        if let Some(readers) = part.get_mut(key) {
            if !readers.contains(&client) {
                readers.push(client);
                self.items.fetch_add(1, SeqCst);
            }
            return;
        }
        part.insert(key.into(), SmallVec::from_slice(&[client]));
        self.keys.fetch_add(1, SeqCst);
        self.items.fetch_add(1, SeqCst);
    }

    /// Forgets a key; returns who has read it.
    fn take(&self, key: &[u8]) -> Readers {
        let readers = self.parts[self.part(key)].lock().remove(key).unwrap_or_default();
        if !readers.is_empty() {
            self.forgot(1, readers.len());
        }
        readers
    }

    /// Forgets any key, for want of room; begins to look at a part.
    fn take_any(&self, part: usize) -> Option<(Box<[u8]>, Readers)> {
        for part in (0..PARTS).map(|at| &self.parts[(part + at) % PARTS]) {
            let mut part = part.lock();
            let Some(key) = part.keys().next().cloned() else { continue };
            let readers = part.remove(&key)?;
            self.forgot(1, readers.len());
            return Some((key, readers));
        }
        None
    }

    fn forgot(&self, keys: usize, items: usize) {
        self.keys.fetch_sub(keys, SeqCst);
        self.items.fetch_sub(items, SeqCst);
    }

    fn clear(&self) {
        for part in &self.parts {
            let taken = std::mem::take(&mut *part.lock());
            self.forgot(taken.len(), taken.values().map(SmallVec::len).sum());
        }
    }

    /// How much is tracked.
    pub fn counts(&self) -> TrackingCounts {
        let of = |count: &AtomicUsize| count.load(SeqCst);
        let prefixes = self.prefixes.read().len();
        TrackingCounts { clients: of(&self.clients), keys: of(&self.keys), items: of(&self.items), prefixes }
    }
}

impl Node {
    /// Has a connection told of keys from now on, as `tracked` says.
    pub fn track(&self, client: &Arc<Client>, mut tracked: Tracked) {
        if tracked.broadcast && tracked.prefixes.is_empty() {
            tracked.prefixes.push(Box::default());
        }
        if let Some(before) = client.set_tracked(None) {
            self.tracking.end(client, &before);
            // Prefixes add up.
            tracked.prefixes.extend(before.prefixes);
        }
        tracked.prefixes.sort_unstable();
        tracked.prefixes.dedup();
        self.tracking.begin(client, &tracked);
        client.set_tracked(Some(tracked));
        self.listen_to_changes();
    }

    /// Ends that.
    pub fn end_tracking(&self, client: &Client) {
        if let Some(tracked) = client.set_tracked(None) {
            self.tracking.end(client, &tracked);
            if !self.tracking.is_used() {
                self.tracking.clear();
            }
            self.listen_to_changes();
        }
    }

    fn listen_to_changes(&self) {
        if let Some(keyspace) = self.keyspace() {
            keyspace.listen_to_changes(self.tracking.is_used());
        }
    }

    /// Notes the keys that a connection has read, with their latches held. Where there are more than may be, some others
    /// count as changed.
    pub fn note_read<'a>(&self, client: &Client, keys: impl Iterator<Item = &'a [u8]>) {
        let most = self.config.get().tracking_table_max_keys;
        for key in keys {
            self.tracking.note(key, client.id);
            while most > 0 && self.tracking.keys.load(SeqCst) as u64 > most {
                let Some((other, readers)) = self.tracking.take_any(self.tracking.part(key) + 1) else { break };
                self.tell_readers(&other, &readers, 0, 0);
            }
        }
    }

    /// Tells all who have read a key, or are told of its prefix, that it has changed, with its latch held.
    pub fn invalidate(&self, key: &[u8], wait: Position) {
        let actor = ACTOR.get();
        let readers = self.tracking.take(key);
        if !readers.is_empty() {
            self.tell_readers(key, &readers, actor, wait);
        }
        for (prefix, clients) in self.tracking.prefixes.read().iter() {
            if !key.starts_with(prefix) {
                continue;
            }
            for client in clients.values() {
                let is_own = client.id == actor && client.tracked(|tracked| tracked.no_loop).unwrap_or_default();
                if !is_own {
                    self.tell(client, Change::Prefixed(key), wait);
                }
            }
        }
    }

    /// Tells all that track keys to forget all of them.
    pub fn invalidate_all(&self, wait: Position) {
        if !self.tracking.is_used() {
            return;
        }
        self.tracking.clear();
        for client in self.clients.all() {
            if client.tracked(|_| ()).is_some() {
                self.tell(&client, Change::All, wait);
            }
        }
    }

    fn tell_readers(&self, key: &[u8], readers: &[u64], actor: u64, wait: Position) {
        for reader in readers {
            let Some(client) = self.clients.get(*reader) else { continue };
            // Since it has read the key it may have begun to be told of prefixes instead.
            let wants = client.tracked(|tracked| !(tracked.broadcast || tracked.no_loop && client.id == actor));
            if wants.unwrap_or_default() {
                self.tell(&client, Change::Key(key), wait);
            }
        }
    }

    /// Tells a connection, or the one that it has named for this, of one key or of all.
    fn tell(&self, client: &Client, change: Change<'_>, wait: Position) {
        let Some(redirect) = client.tracked(|tracked| tracked.redirect).flatten() else {
            if client.version() == Version::Resp3 {
                self.send_change(client, change, wait);
            }
            return;
        };
        let Some(other) = self.clients.get(redirect) else {
            client.note_broken_redirect();
            if client.version() == Version::Resp3 {
                let words = vec![Reply::bulk(b"tracking-redir-broken"), Reply::Integer(redirect as i64)];
                self.deliver(client, &Post::new(Reply::Push(words), wait));
            }
            return;
        };
        if other.version() == Version::Resp3 || other.kind() == ClientKind::PubSub {
            self.send_change(&other, change, wait);
        }
    }

    fn send_change(&self, client: &Client, change: Change<'_>, wait: Position) {
        let keys = match change {
            Change::Prefixed(key) => return self.deliver_key(client, key, wait),
            Change::Key(key) => Reply::Array(vec![Reply::bulk(key)]),
            Change::All => Reply::Null,
        };
        self.deliver(client, &Post::new(told(client.version(), keys), wait));
    }
}

/// What has changed.
#[derive(Clone, Copy, Debug)]
enum Change<'a> {
    /// A key that the connection has read.
    Key(&'a [u8]),
    /// A key whose prefix it is told of: told together with others, as there may be many.
    Prefixed(&'a [u8]),
    All,
}

/// How a connection is told of keys.
pub(super) fn told(version: Version, keys: Reply) -> Reply {
    match version {
        Version::Resp3 => Reply::Push(vec![Reply::bulk(b"invalidate"), keys]),
        Version::Resp2 => Reply::Array(vec![Reply::bulk(b"message"), Reply::bulk(CHANNEL), keys]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_readers_are_counted() {
        let tracking = Tracking::default();
        for (key, client) in [(b"a", 1), (b"a", 2), (b"a", 1), (b"b", 1)] {
            tracking.note(key, client);
        }
        let counts = tracking.counts();
        assert_eq!((counts.keys, counts.items), (2, 3));
        assert_eq!(tracking.take(b"a").as_slice(), [1, 2]);
        assert!(tracking.take(b"a").is_empty());
        assert_eq!(tracking.take_any(7).map(|(key, _)| key), Some(b"b".as_slice().into()));
        assert_eq!(tracking.counts(), TrackingCounts::default());
        assert!(tracking.take_any(0).is_none());
        tracking.note(b"c", 1);
        tracking.clear();
        assert_eq!(tracking.counts(), TrackingCounts::default());
    }
}
