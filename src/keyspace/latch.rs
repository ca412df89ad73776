//! Latches: 4096 read-write locks striped over the keys, and for each the log position of its last change.
//!
//! Always true: a command holds the latches of all its keys from before its first look until its effects stand in
//! the log's buffer and in the keydir; they are taken in rising order, so nobody waits in a circle; nobody holds
//! one while waiting for the disk, unless the server says so on a thread of its own. A latch covers exactly one
//! shard of every keydir.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use smallvec::SmallVec;

use super::keydir::{SHARDS, Slot};
use crate::store::Position;
use crate::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Whether others may read meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For commands that only read: any number may hold a latch together.
    Shared,
    /// For commands that write.
    Exclusive,
}

/// How often a latch that is held is looked at before its thread sleeps, and how long it pauses between two looks: the
/// commands of one pipeline take some microseconds, and to sleep and be woken costs as much. No test can be scheduled so.
const LOOKS: usize = if cfg!(test) { 0 } else { 50 };
const PAUSES: usize = 16;
/// How often others are let go first while a latch is held that somebody only has to see free.
const WAITS: usize = if cfg!(test) { 2 } else { 1_000 };

pub(super) struct Latches {
    stripes: Box<[Stripe]>,
}

#[derive(Default)]
struct Stripe {
    lock: RwLock<()>,
    last_change: AtomicU64,
}

/// Latches held; they are released when it goes.
pub struct Held<'a> {
    latches: &'a Latches,
    guards: SmallVec<[Guard<'a>; 2]>,
}

enum Guard<'a> {
    Shared(#[expect(dead_code, reason = "held for its drop")] RwLockReadGuard<'a, ()>),
    Exclusive(#[expect(dead_code, reason = "held for its drop")] RwLockWriteGuard<'a, ()>),
}

impl Latches {
    pub(super) fn new() -> Self {
        Self { stripes: (0..SHARDS).map(|_| Stripe::default()).collect() }
    }

    /// Takes the latch of one key.
    pub(super) fn one(&self, slot: &Slot, mode: Mode) -> Held<'_> {
        self.stripe(slot.shard, mode)
    }

    /// Takes the latches of several keys, in rising order.
    pub(super) fn several(&self, slots: impl Iterator<Item = Slot>, mode: Mode) -> Held<'_> {
        let mut stripes: SmallVec<[usize; 16]> = slots.map(|slot| slot.shard).collect();
        stripes.sort_unstable();
        stripes.dedup();
        Held { latches: self, guards: stripes.into_iter().map(|stripe| self.lock(stripe, mode)).collect() }
    }

    /// Takes all latches: nobody else is inside a command then (or only readers, when shared).
    pub(super) fn all(&self, mode: Mode) -> Held<'_> {
        Held { latches: self, guards: (0..SHARDS).map(|stripe| self.lock(stripe, mode)).collect() }
    }

    /// Takes the latch of one stripe.
    pub(super) fn stripe(&self, stripe: usize, mode: Mode) -> Held<'_> {
        let mut guards = SmallVec::new();
        guards.push(self.lock(stripe, mode));
        Held { latches: self, guards }
    }

    /// Whether each latch is, or was since this was called, held by no writer. It waits a little for those that are.
    pub(super) fn have_all_been_free(&self) -> bool {
        let is_free = |stripe: &Stripe| stripe.lock.try_read().is_some();
        let becomes_free = |stripe: &Stripe| {
            (0..WAITS).any(|_| {
                is_free(stripe) || {
                    std::thread::yield_now();
                    false
                }
            })
        };
        self.stripes.iter().all(becomes_free)
    }

    /// Takes none: for commands that touch no key.
    pub(super) fn none(&self) -> Held<'_> {
        Held { latches: self, guards: SmallVec::new() }
    }

    #[inline]
    fn lock(&self, stripe: usize, mode: Mode) -> Guard<'_> {
        let lock = &self.stripes[stripe].lock;
        let look = || match mode {
            Mode::Shared => lock.try_read().map(Guard::Shared),
            Mode::Exclusive => lock.try_write().map(Guard::Exclusive),
        };
        for _ in std::iter::repeat_n((), LOOKS) {
            if let Some(guard) = look() {
                return guard;
            }
            (0..PAUSES).for_each(|_| std::hint::spin_loop());
        }
        match mode {
            Mode::Shared => Guard::Shared(lock.read()),
            Mode::Exclusive => Guard::Exclusive(lock.write()),
        }
    }
}

impl Held<'_> {
    /// The log position of the last change to any key of this stripe.
    #[inline]
    pub(super) fn last_change(&self, stripe: usize) -> Position {
        self.latches.stripes[stripe].last_change.load(Relaxed)
    }

    /// Notes a change that ends at `position`.
    #[inline]
    pub(super) fn changed(&self, stripe: usize, position: Position) {
        // Expiry may note a change under a shared latch, hence the maximum.
        self.latches.stripes[stripe].last_change.fetch_max(position, Relaxed);
    }

    /// Notes a change to every stripe.
    pub(super) fn changed_all(&self, position: Position) {
        (0..SHARDS).for_each(|stripe| self.changed(stripe, position));
    }

    /// How many latches are held.
    pub(super) fn count(&self) -> usize {
        self.guards.len()
    }
}
