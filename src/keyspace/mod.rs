//! The keyspace: numbered databases of keys, each key's newest value wherever it is, memory or log.
//!
//! Always true: a change reaches the log before it reaches the keydir; whoever looks at a key holds its latch; a
//! reply waits for the log position of whatever it tells of (see [`Access::commit`]).
//!
//! | file | what |
//! | --- | --- |
//! | `access`, `access/reading` | one command's view and effects |
//! | `cold` | values that are only on the disk |
//! | `whole` | a database as a whole: count, walk, flush, swap |
//! | `overlay`, `changes` | a transaction's effects before they take effect |
//! | `latch` | who may be inside which keys |
//! | `collections` | values that have elements |
//! | `shapes` | the tables and trees that large ones are made of |
//! | `keydir`, `entry` | the map from key to record and cached value |
//! | `deadlines` | what expires when |
//! | `watch` | who is told of changes |
//! | `memory`, `hand` | the limit, and what keeps to it |
//! | `warmth` | which values were in memory, remembered over a restart, and read back |
//! | `moves` | a key from one database to another |
//! | `loader`, `keydir/bulk` | from the log back to the map |
//! | `bound` | the keydirs the databases are bound to, as compaction asks them |
//! | `catalog` | all keys of a store that nobody runs |

mod access;
mod bound;
mod catalog;
mod changes;
mod cold;
mod collections;
mod deadlines;
mod entry;
mod evict;
mod footprint;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod hand;
mod keydir;
mod latch;
mod loader;
mod memory;
mod moves;
mod overlay;
mod shapes;
mod warmth;
mod watch;
mod whole;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;

pub use access::{Access, Halt, Noted, Usage, Value, View};
pub use catalog::Catalog;
pub use changes::Changes;
pub use cold::{Cold, Drawn, Fetched, Pins};
pub use collections::{
    Edited, End, Hash, HashEdit, List, ListEdit, MemberScores, Name, Set, SetEdit, SetKind, ZSet, ZSetEdit,
};
pub use entry::Meta;
pub use evict::{Among, Choice, Policy};
pub use keydir::Slot;
pub use latch::{Held, Mode};
pub use memory::{Governed, Load, MemoryUse};
pub use warmth::{Ended, Remembering, Turn, WarmthStatus};
pub use watch::{Change, Event, Listener, SUBSCRIPTION_EVENTS_MAX, Subscription, Watch};

use crate::store::clock::Clock;
use crate::store::disk::Disk;
use crate::store::{Compacted, Draft, Durations, KeyHasher, OpenError, Options, Position, Recovered, Spread, Store};
pub use crate::store::{DATABASES_MAX, OnProgress};
use bound::Bound;
use collections::Touched;
use deadlines::Alarm;
use entry::{Cached, Entry};
use keydir::{Before, Keydir};
use loader::{Loaded, Loader};
use memory::Memory;
use moves::Leaving;
use overlay::{Binding, Overlay, State};
use warmth::Warmth;
use watch::Watchers;

/// An element of a collection that is about to be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Ahead {
    key: Slot,
    hash: u64,
}

/// Fewer keys than this are not worth prefetching: each would wait for memory as long as without.
const PREFETCHED_MIN: usize = 3;

/// How many keys whose time is over are prefetched together.
const PREFETCHED_DUE: usize = 32;

/// A database emptied with more keys than this is taken apart by a thread of its own.
const RECLAIM_INLINE_KEYS_MAX: usize = 1024;

/// All databases over one store.
pub struct Keyspace {
    store: Arc<Store>,
    hasher: KeyHasher,
    bound: Arc<Bound>,
    next_id: AtomicU32,
    watchers: Watchers,
    memory: Memory,
    warmth: Warmth,
    stats: Stats,
    alarm: Arc<Alarm>,
    random: AtomicU64,
    /// When it was opened, in milliseconds since the Unix epoch.
    opened: u64,
}

/// Counters since the start.
#[derive(Debug, Default)]
struct Stats {
    expired: AtomicU64,
    evicted: AtomicU64,
    cold_reads: AtomicU64,
    /// How long after their deadlines keys and fields were removed.
    expiry_lag: Durations,
}

/// What one command did, for the statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Look-ups that found their key.
    pub hits: u64,
    /// Those of them that needed a value which was only in the page cache.
    pub page_cache_hits: u64,
    /// Those of them that needed a value which was only on the disk.
    pub disk_hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// Keys removed because their time was over.
    pub expired: u64,
    /// Changes.
    pub changes: u64,
}

impl Tally {
    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        self.hits += other.hits;
        self.page_cache_hits += other.page_cache_hits;
        self.disk_hits += other.disk_hits;
        self.misses += other.misses;
        self.expired += other.expired;
        self.changes += other.changes;
    }
}

/// How many keys a database has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseSize {
    /// All keys.
    pub keys: usize,
    /// Those with an expiry.
    pub volatile: usize,
}

impl Keyspace {
    /// Opens the store on `disk`, with at least `databases` databases (at most [`DATABASES_MAX`]).
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        options: Options,
        databases: u32,
        on_progress: OnProgress<'_>,
    ) -> Result<(Self, Recovered), OpenError> {
        let mut loader = Loader::default();
        let threads = options.load_threads;
        let (store, recovered) = Store::open(disk, clock, options, &mut loader, on_progress)?;
        let hasher = store.hasher().clone();
        let Loaded { databases: bound, next_id, live, moved, objects, alarm, over } = loader.finish(&hasher, threads);
        objects.begin_ids(u64::from(store.run_id()) << u32::BITS);
        for (segment, live) in live {
            store.set_live(segment, live);
        }
        for (keydir, key) in over {
            // Or else what the key was before would come back when compaction has taken the record of the hash away. On a full
            // disk there is none, and the next start finds the same.
            let _ = store.append(&Draft::delete(keydir, &key));
        }
        let count = bound.keys().map(|database| database + 1).fold(databases.max(1), u32::max);
        let keydir = |database| match bound.get(&database) {
            Some(keydir) => keydir.clone(),
            None => Arc::new(Keydir::new(database, hasher.clone(), alarm.clone())),
        };
        let store_seed = store.now();
        let keyspace = Self {
            bound: Arc::new(Bound::new(
                (0..count).map(|database| ArcSwap::new(keydir(database))).collect(),
                moved,
                objects,
            )),
            store: Arc::new(store),
            next_id: AtomicU32::new(next_id),
            watchers: Watchers::default(),
            memory: Memory::default(),
            warmth: Warmth::default(),
            stats: Stats::default(),
            alarm: alarm.clone(),
            random: AtomicU64::new(Slot::of_key(&hasher, &store_seed.to_le_bytes()).hash),
            opened: store_seed,
            hasher,
        };
        Ok((keyspace, recovered))
    }

    /// The log below.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Starts the threads that write, sync and compact; they end with [`Store::close`], or when the store is dropped.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start_threads(&self) -> std::io::Result<()> {
        self.store.start_threads(self.bound.clone())
    }

    /// Removes all keys whose time is over, and compacts whatever there is, until nothing is won any more.
    ///
    /// # Errors
    /// When the disk fails; no key has another value by it.
    pub fn compact(&self, on_progress: OnProgress<'_>) -> std::io::Result<Compacted> {
        self.expire_due(self.now(), usize::MAX);
        self.store.compact(&*self.bound, on_progress)
    }

    /// Makes one pass of compaction, if any segment is worth it; `forced`, within the budget too. Returns whether
    /// anything was won.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn compact_once(&self, forced: bool) -> std::io::Result<bool> {
        self.store.compact_once(&*self.bound, forced)
    }

    /// How many databases there are; it may be more than asked for, if the log knows more.
    pub fn databases(&self) -> u32 {
        self.bound.databases.len() as u32
    }

    /// The time, in milliseconds since the Unix epoch; it never goes back, not even over a restart.
    pub fn now(&self) -> u64 {
        self.store.now()
    }

    /// Access to one key, at `now`. With `batch`, what it does takes effect when it is committed; without, a
    /// single change takes effect at once.
    #[inline]
    pub fn access_one(&self, database: u32, key: &[u8], mode: Mode, now: u64, batch: bool) -> Access<'_> {
        let slot = Slot::of_key(&self.hasher, key);
        Access::new(self, self.bound.latches.one(&slot, mode), database, now, batch).with_only(slot.shard, mode)
    }

    /// Access to several keys; what it does to them takes effect together, when it is committed.
    pub fn access_several<'a>(
        &self,
        database: u32,
        keys: impl Iterator<Item = &'a [u8]>,
        mode: Mode,
        now: u64,
    ) -> Access<'_> {
        let held = self.bound.latches.several(keys.map(|key| Slot::of_key(&self.hasher, key)), mode);
        Access::new(self, held, database, now, mode == Mode::Exclusive)
    }

    /// Access to everything; `batch` as for several keys.
    pub fn access_all(&self, database: u32, mode: Mode, now: u64, batch: bool) -> Access<'_> {
        Access::new(self, self.bound.latches.all(mode), database, now, batch)
    }

    /// Access to no key: for what looks at the databases from outside, as a walk by cursor does.
    pub fn access_none(&self, database: u32, now: u64) -> Access<'_> {
        Access::new(self, self.bound.latches.none(), database, now, false)
    }

    /// Where a key is, for [`Keyspace::prefetch`].
    pub fn slot(&self, key: &[u8]) -> Slot {
        Slot::of_key(&self.hasher, key)
    }

    /// Which element of the collection at a key this is, for [`Keyspace::prefetch`].
    pub fn element(&self, key: Slot, name: &[u8]) -> Ahead {
        Ahead { key, hash: self.hasher.hash(name) }
    }

    /// Tells that keys of a database are about to be looked at, one after the other, and elements of collections there.
    pub fn prefetch(&self, database: u32, slots: &[Slot], elements: &[Ahead]) {
        if slots.len().max(elements.len()) < PREFETCHED_MIN {
            return;
        }
        let keydir = self.bound.databases[database as usize].load();
        if slots.len() >= PREFETCHED_MIN {
            keydir.prefetch(slots);
        }
        // Requests that follow each other are mostly about the same collection.
        for of_one in elements.chunk_by(|one, next| one.key == next.key) {
            if of_one.len() >= PREFETCHED_MIN
                && let Some(object) = keydir.object_at(&of_one[0].key).and_then(|id| self.bound.objects.get(id))
            {
                object.prefetch(of_one.iter().map(|ahead| ahead.hash));
            }
        }
    }

    /// Ends watching a key.
    pub fn unwatch(&self, database: u32, key: &[u8], watch: &Arc<Watch>) {
        self.watchers.unwatch(database, key, watch);
    }

    /// How many keys are watched by transactions.
    pub fn watched(&self) -> usize {
        self.watchers.watched()
    }

    /// Has a listener told of keys from now on; there is one at most.
    pub fn set_listener(&self, listener: Box<dyn Listener>) {
        self.watchers.set_listener(listener);
    }

    /// Whether the listener is told of all changes.
    pub fn listen_to_changes(&self, listens: bool) {
        self.watchers.listen_to_changes(listens);
    }

    /// All changes from now on.
    pub fn subscribe(&self) -> Subscription {
        self.watchers.subscribe()
    }

    /// How many keys a database has.
    pub fn size(&self, database: u32) -> DatabaseSize {
        let keydir = self.bound.databases[database as usize].load();
        DatabaseSize { keys: keydir.keys(), volatile: keydir.volatile() }
    }

    /// Bytes of a database's own tables.
    pub fn table_bytes(&self, database: u32) -> u64 {
        self.bound.databases[database as usize].load().table_bytes() as u64
    }

    /// The mean of the times to live of a database's volatile keys, in milliseconds; 0 where there are none.
    pub fn mean_time_to_live(&self, database: u32) -> u64 {
        let deadline = self.bound.databases[database as usize].load().mean_deadline();
        deadline.map_or(0, |deadline| deadline.saturating_sub(self.now()))
    }

    /// Counts removed and evicted keys from zero again.
    pub fn reset_expired_keys(&self) {
        self.stats.expired.store(0, Relaxed);
        self.stats.evicted.store(0, Relaxed);
        self.stats.expiry_lag.reset();
    }

    /// Keys removed because their time was over, since the start or since that count was set to zero.
    pub fn expired_keys(&self) -> u64 {
        self.stats.expired.load(Relaxed)
    }

    /// Keys deleted because there was no memory for them, since the start or since that count was set to zero.
    pub fn evicted_keys(&self) -> u64 {
        self.stats.evicted.load(Relaxed)
    }

    /// How long after their deadlines keys were removed, and fields. What was over before the start counts from the start.
    pub fn expiry_lag(&self) -> Spread {
        self.stats.expiry_lag.spread()
    }

    /// For how many milliseconds the key or field has been over that is over for the longest and not yet removed.
    pub fn overdue(&self) -> u64 {
        self.earliest_deadline().map_or(0, |deadline| self.now().saturating_sub(deadline.max(self.opened)))
    }

    /// Values fetched from the disk because they were not in memory, since the start.
    pub fn cold_reads(&self) -> u64 {
        self.stats.cold_reads.load(Relaxed)
    }

    /// The earliest deadline of any key.
    pub fn earliest_deadline(&self) -> Option<u64> {
        let of_keys = self.bound.databases.iter().filter_map(|database| database.load().earliest_deadline()).min();
        of_keys.into_iter().chain(self.bound.objects.earliest_deadline()).min()
    }

    /// Has `ring` called when a deadline comes up that is earlier than what [`Keyspace::ring_before`] was told. It must not wait,
    /// nor look at keys; there is one such function at most.
    pub fn set_ring(&self, ring: Box<dyn Fn() + Send + Sync>) {
        self.alarm.connect(ring);
    }

    /// Has it rung once for a deadline before `deadline` that comes up from now on; returns the earliest that is there.
    pub fn ring_before(&self, deadline: u64) -> Option<u64> {
        self.alarm.set(deadline);
        self.earliest_deadline()
    }

    /// Removes up to `limit` keys whose time is over. Returns how many it looked at: as many as the limit means
    /// that more may be waiting.
    pub fn expire_due(&self, now: u64, limit: usize) -> usize {
        let (mut looked_at, mut proof) = (0, None);
        for (number, database) in self.bound.databases.iter().enumerate() {
            let keydir = database.load_full();
            let due = keydir.due(now, limit - looked_at);
            for (place, &(deadline, slot)) in due.iter().enumerate() {
                if place % PREFETCHED_DUE == 0 {
                    keydir.prefetch_due(&due[place..due.len().min(place + PREFETCHED_DUE)]);
                }
                looked_at += 1;
                // Once for all of them: each would have to ask the log, which others are writing to.
                let proof = *proof.get_or_insert_with(|| self.store.mark_time(now).ok());
                let held = self.bound.latches.one(&slot, Mode::Exclusive);
                // A database that was flushed or swapped meanwhile is looked at in the next round.
                if database.load().id != keydir.id {
                    continue;
                }
                let Some((key, before)) = keydir.remove_expired(&slot, now) else {
                    keydir.forget_deadline(&slot, deadline);
                    continue;
                };
                if let Some(end) = proof {
                    held.changed(slot.shard, end);
                }
                self.note_expired(number as u32, &key, &before, now, proof);
            }
        }
        looked_at + self.expire_due_fields(now, limit - looked_at)
    }

    /// Removes a key that is expired at `now`, if nobody else did. Returns the log position of the proof that the
    /// time has come, and whether it removed it.
    #[expect(clippy::too_many_arguments, reason = "one key in one database, as seen at one moment")]
    fn expired(
        &self,
        held: &Held<'_>,
        database: u32,
        keydir: &Keydir,
        slot: &Slot,
        key: &[u8],
        stored: &Meta,
        now: u64,
    ) -> (Option<Position>, bool) {
        // The latch may be shared: whoever does not find the key any more has to find this position.
        let end = self.prove_time(held, slot, now);
        let before = keydir.remove_if(slot, key, |meta| meta == stored);
        if let Some(before) = before {
            self.note_expired(database, key, &before, now, end);
        }
        (end, before.is_some())
    }

    /// Sees to it that the log knows of a moment before anybody is told that it has passed.
    fn prove_time(&self, held: &Held<'_>, slot: &Slot, now: u64) -> Option<Position> {
        // A log that takes no more marks changes nothing about the time.
        let end = self.store.mark_time(now).ok()?;
        held.changed(slot.shard, end);
        Some(end)
    }

    fn note_expired(&self, database: u32, key: &[u8], before: &Before, now: u64, end: Option<Position>) {
        self.let_go(before);
        self.stats.expired.fetch_add(1, Relaxed);
        self.count_lags(before.meta.expiry.unwrap_or(now), 1, now);
        self.watchers.changed(database, key, Change::Expired);
        self.watchers.expired(database, key, end.unwrap_or(0));
    }

    /// Counts so many keys or fields with one deadline as removed at `now`.
    fn count_lags(&self, deadline: u64, count: u64, now: u64) {
        let lag = now.saturating_sub(deadline.max(self.opened));
        self.stats.expiry_lag.count_all(Duration::from_millis(lag), count);
    }

    /// Logs an overlay's batch and makes its effects visible. Nothing happens if the log refuses it.
    fn commit(
        &self,
        overlay: &mut Overlay,
        touched: &mut Touched<'_>,
        held: &Held<'_>,
        now: u64,
    ) -> Result<Option<Position>, Halt> {
        touched.draft(&mut overlay.batch);
        if overlay.batch.is_empty() {
            return Ok(None);
        }
        let end = self.store.append_batch(&mut overlay.batch)?.end;
        let touched = touched.settle(&overlay.batch);
        let mut unbound: Vec<u64> = touched.iter().map(|object| object.id).collect();
        let effects = overlay.take();
        // A change below may be told of under a number that its database has within the transaction only.
        self.tell_watchers_of(&effects.bindings);
        let mut leaving = Leaving::take_out(&effects.changes);
        for (key, pending) in &effects.changes {
            let (keydir, slot) = (&pending.keydir, &pending.slot);
            let has_left = leaving.has_left(keydir, key);
            let set = |before: Option<Before>| {
                (before, if before.is_some() || has_left { Change::Updated } else { Change::Created })
            };
            let (before, change) = match &pending.state {
                State::Gone => (keydir.remove_if(slot, key, |_| true), Change::Deleted),
                State::Expiry(expiry) => {
                    keydir.set_expiry(slot, key, *expiry);
                    (None, Change::Updated)
                }
                // Its elements have changed, and it has not.
                State::Touched => (None, Change::Updated),
                &State::Present { kind, expiry, ref value, object, record } => {
                    let meta = Meta { location: overlay.batch.location(record), kind, expiry };
                    let mut shared = Some(value.clone());
                    let cached = match object {
                        Some(object) => {
                            self.bound.objects.bind(object, keydir.id, key);
                            Cached::Root(object)
                        }
                        None => Cached::hot(value, &mut shared),
                    };
                    set(keydir.upsert(slot, key, &meta, cached, (now / 1000) as u32))
                }
                State::Moved { source, expiry, .. } => {
                    let entry = leaving.arrive(source, key);
                    if let Some(object) = entry.as_ref().and_then(Entry::object) {
                        self.bound.objects.set_home(object, keydir.id, key);
                    }
                    set(entry.and_then(|entry| keydir.put_in(slot, entry, *expiry)))
                }
            };
            if let Some(before) = before {
                self.store.retire(before.meta.location);
                if let Some(object) = before.object {
                    self.bound.objects.unbind(object);
                    unbound.push(object);
                }
            }
            held.changed(slot.shard, end);
            self.watchers.changed(pending.database, key, change);
        }
        for record in effects.superseded {
            self.store.retire(overlay.batch.location(record));
        }
        // One that has got another name is unbound once and bound once by now.
        unbound.into_iter().for_each(|object| self.bound.objects.let_go(object, &self.store));
        if !effects.bindings.is_empty() {
            held.changed_all(end);
            self.rebind(&effects.bindings, effects.displaced);
        }
        Ok(Some(end))
    }

    /// Binds databases to other keydirs, after some were bound that are `displaced` again; the caller holds all latches
    /// and has logged it.
    fn rebind(&self, bindings: &[Binding], displaced: Vec<Arc<Keydir>>) {
        let mut old = displaced;
        self.tell_watchers_of(bindings);
        for (database, keydir) in bindings {
            old.push(self.bound.databases[*database as usize].swap(keydir.clone()));
        }
        self.tell_watchers_of(bindings);
        self.watchers.rebound();
        // What they have may be due before whatever was.
        self.earliest_deadline().into_iter().for_each(|deadline| self.alarm.note(deadline));
        old.retain(|keydir| !bindings.iter().any(|binding| binding.1.id == keydir.id));
        old.sort_unstable_by_key(|keydir| keydir.id);
        old.dedup_by_key(|keydir| keydir.id);
        old.into_iter().for_each(|keydir| self.reclaim(keydir));
    }

    /// Marks the watches of all keys that databases have at this moment, since they are bound to other keydirs.
    fn tell_watchers_of(&self, bindings: &[Binding]) {
        for (database, _) in bindings {
            let keydir = self.bound.databases[*database as usize].load();
            let has = |key: &[u8]| keydir.meta(&Slot::of_key(&self.hasher, key), key).is_some();
            self.watchers.changed_database(*database, has);
        }
    }

    /// Counts all records of an unbound keydir as dead and frees its memory, off the caller's thread if it is big.
    fn reclaim(&self, keydir: Arc<Keydir>) {
        let (store, bound, keys) = (self.store.clone(), self.bound.clone(), keydir.keys());
        let work = move || {
            keydir.each(|before| {
                store.retire(before.meta.location);
                if let Some(object) = before.object {
                    bound.objects.unbind(object);
                    bound.objects.let_go(object, &store);
                }
            });
        };
        if keys <= RECLAIM_INLINE_KEYS_MAX {
            return work();
        }
        let thread = std::thread::Builder::new().name("caskade-reclaim".into());
        if let Err(error) = thread.spawn(work) {
            // The keydir went with the closure; only the count of dead bytes is lost, until the next start.
            tracing::warn!(%error, "no thread to take an emptied database apart");
        }
    }

    /// A random number, by SplitMix64; not for secrets.
    fn random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.random.fetch_add(STEP, Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fresh_keydir(&self) -> Keydir {
        Keydir::new(self.next_id.fetch_add(1, Relaxed), self.hasher.clone(), self.alarm.clone())
    }
}
