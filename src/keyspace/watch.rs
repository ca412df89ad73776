//! Who wants to know of a change: transactions that watch keys, and subscribers to all changes.
//!
//! Always true: a writer never waits for a listener, and pays one atomic load where nobody listens. A watch is
//! marked by every change of its key; it never compares versions, since compaction moves records.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;

use crate::store::Position;
use crate::sync::{Mutex, RwLock};

/// How many changes may wait for one subscriber; what comes on top is counted and dropped.
pub const SUBSCRIPTION_EVENTS_MAX: usize = 16_384;

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was not there before.
    Created,
    /// It got another value or another expiry.
    Updated,
    /// It was deleted.
    Deleted,
    /// Its time was over.
    Expired,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The number of the database.
    pub database: u32,
    /// The key.
    pub key: Bytes,
    /// What happened.
    pub change: Change,
}

/// The mark of one transaction's watched keys.
#[derive(Debug, Default)]
pub struct Watch {
    dirty: AtomicBool,
}

impl Watch {
    /// Whether a watched key has changed since.
    pub fn is_dirty(&self) -> bool {
        self.dirty.load(SeqCst)
    }
}

/// All changes from its making on, in order for each key.
#[derive(Debug)]
pub struct Subscription {
    events: Receiver<Event>,
    lost: Arc<AtomicU64>,
}

impl Subscription {
    /// The next change; `None` after `timeout`, or when the store was closed.
    pub fn next(&self, timeout: Duration) -> Option<Event> {
        self.events.recv_timeout(timeout).ok()
    }

    /// The next change if one is there already.
    pub fn try_next(&self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// How many changes were dropped because more than [`SUBSCRIPTION_EVENTS_MAX`] waited here.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

type WatchedKeys = HashMap<Box<[u8]>, Vec<Arc<Watch>>>;

#[derive(Default)]
pub(super) struct Watchers {
    watched: AtomicUsize,
    keys: Mutex<HashMap<u32, WatchedKeys>>,
    subscribed: AtomicUsize,
    subscribers: RwLock<Vec<Subscriber>>,
    listener: OnceLock<Box<dyn Listener>>,
    /// The listener wants to know of changes.
    listens: AtomicBool,
}

/// Who is told of keys while their latches are held; it must not look at keys itself, nor wait.
pub trait Listener: Send + Sync {
    /// The time of a key was over, and it is gone; the log says that the time has come below `position`.
    fn expired(&self, database: u32, key: &[u8], position: Position);

    /// The time of some fields of a hash was over, and they are gone; `emptied`: and the hash with them. The log says that
    /// the time has come below `position`.
    fn fields_expired(&self, database: u32, key: &[u8], emptied: bool, position: Position);

    /// A key was deleted because there was no memory for it; the log says so below `position`.
    fn evicted(&self, database: u32, key: &[u8], position: Position);

    /// A key has changed; told only while somebody wants to know (see [`Keyspace::listen_to_changes`](super::Keyspace::listen_to_changes)).
    fn changed(&self, key: &[u8]);

    /// Databases have other keys now, all of them.
    fn rebound(&self);
}

struct Subscriber {
    events: SyncSender<Event>,
    lost: Arc<AtomicU64>,
}

impl Watchers {
    /// Has a listener told from now on; there is one at most.
    pub(super) fn set_listener(&self, listener: Box<dyn Listener>) {
        let is_first = self.listener.set(listener).is_ok();
        debug_assert!(is_first, "there is one listener");
    }

    /// Whether the listener is told of changes.
    pub(super) fn listen_to_changes(&self, listens: bool) {
        self.listens.store(listens, SeqCst);
    }

    fn listener(&self) -> Option<&dyn Listener> {
        if self.listens.load(SeqCst) { self.listener.get().map(|listener| &**listener) } else { None }
    }

    /// Tells the listener that databases have other keys; call it with all latches held.
    pub(super) fn rebound(&self) {
        if let Some(listener) = self.listener() {
            listener.rebound();
        }
    }

    /// Tells the listener that a key's time was over.
    pub(super) fn expired(&self, database: u32, key: &[u8], position: Position) {
        if let Some(listener) = self.listener.get() {
            listener.expired(database, key, position);
        }
    }

    /// Tells the listener that a key was deleted for want of memory.
    pub(super) fn evicted(&self, database: u32, key: &[u8], position: Position) {
        if let Some(listener) = self.listener.get() {
            listener.evicted(database, key, position);
        }
    }

    /// Tells the listener that the time of some fields was over.
    pub(super) fn fields_expired(&self, database: u32, key: &[u8], emptied: bool, position: Position) {
        if let Some(listener) = self.listener.get() {
            listener.fields_expired(database, key, emptied, position);
        }
    }

    /// Begins to watch a key; call it with the key's latch held, after looking at the key.
    pub(super) fn watch(&self, database: u32, key: &[u8], watch: &Arc<Watch>) {
        let mut keys = self.keys.lock();
        let watches = keys.entry(database).or_default().entry(key.into()).or_default();
        if !watches.iter().any(|other| Arc::ptr_eq(other, watch)) {
            watches.push(watch.clone());
            self.watched.fetch_add(1, SeqCst);
        }
    }

    /// Ends watching a key.
    pub(super) fn unwatch(&self, database: u32, key: &[u8], watch: &Arc<Watch>) {
        let mut keys = self.keys.lock();
        let Some(watched) = keys.get_mut(&database) else { return };
        let Some(watches) = watched.get_mut(key) else { return };
        let before = watches.len();
        watches.retain(|other| !Arc::ptr_eq(other, watch));
        self.watched.fetch_sub(before - watches.len(), SeqCst);
        if watches.is_empty() {
            watched.remove(key);
        }
    }

    /// How many watches there are, for INFO.
    pub(super) fn watched(&self) -> usize {
        self.watched.load(Relaxed)
    }

    /// Tells of a change; call it with the key's latch held.
    #[inline]
    pub(super) fn changed(&self, database: u32, key: &[u8], change: Change) {
        if self.watched.load(SeqCst) != 0 {
            let keys = self.keys.lock();
            let watches = keys.get(&database).and_then(|watched| watched.get(key));
            watches.into_iter().flatten().for_each(|watch| watch.dirty.store(true, SeqCst));
        }
        if let Some(listener) = self.listener() {
            listener.changed(key);
        }
        if self.subscribed.load(Relaxed) != 0 {
            self.publish(Event { database, key: Bytes::copy_from_slice(key), change });
        }
    }

    /// Marks the watches of all keys of a database that `existed`; call it with all latches held.
    pub(super) fn changed_database(&self, database: u32, existed: impl Fn(&[u8]) -> bool) {
        let keys = self.keys.lock();
        for (key, watches) in keys.get(&database).into_iter().flatten() {
            if existed(key) {
                watches.iter().for_each(|watch| watch.dirty.store(true, SeqCst));
            }
        }
    }

    /// Begins to collect all changes.
    pub(super) fn subscribe(&self) -> Subscription {
        let (sender, events) = sync_channel(SUBSCRIPTION_EVENTS_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let mut subscribers = self.subscribers.write();
        subscribers.push(Subscriber { events: sender, lost: lost.clone() });
        self.subscribed.store(subscribers.len(), Relaxed);
        Subscription { events, lost }
    }

    fn publish(&self, event: Event) {
        let mut gone = false;
        for subscriber in self.subscribers.read().iter() {
            match subscriber.events.try_send(event.clone()) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => _ = subscriber.lost.fetch_add(1, Relaxed),
                Err(TrySendError::Disconnected(_)) => gone = true,
            }
        }
        if gone {
            // A subscription shares its counter of lost events: without it only this handle is left.
            let mut subscribers = self.subscribers.write();
            subscribers.retain(|subscriber| Arc::strong_count(&subscriber.lost) > 1);
            self.subscribed.store(subscribers.len(), Relaxed);
        }
    }
}
