//! The memory limit: values go back to the disk before any key is refused.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::Keyspace;
use super::hand::{Hand, Swept};

/// How many rounds the hand makes at most for one call before it spares nothing: a value used three times survives
/// three of them.
const ROUNDS_MAX: usize = 4;

#[derive(Default)]
pub(super) struct Memory {
    limit: AtomicU64,
    /// More than the limit is in use; values that come from the disk are not kept.
    crowded: AtomicBool,
    /// The keys and elements alone are over the limit.
    full: AtomicBool,
    pub(super) hand: Hand,
}

impl Memory {
    /// Whether another value may be kept in memory.
    pub(super) fn has_room(&self) -> bool {
        !self.crowded.load(Relaxed)
    }
}

/// Where the keyspace's memory goes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Keys and values in memory.
    pub entries: u64,
    /// The maps' own tables.
    pub tables: u64,
    /// Elements of large collections, and what finds them.
    pub collections: u64,
}

impl MemoryUse {
    /// All together.
    pub fn total(&self) -> u64 {
        self.entries + self.tables + self.collections
    }
}

impl Keyspace {
    /// Sets the limit in bytes; 0 is none.
    pub fn set_memory_limit(&self, bytes: u64) {
        self.memory.limit.store(bytes, Relaxed);
    }

    /// What the keyspace takes.
    pub fn memory_use(&self) -> MemoryUse {
        let collections = self.bound.objects.bytes() as u64;
        let none = MemoryUse { collections, ..MemoryUse::default() };
        self.bound.databases.iter().fold(none, |sum, database| {
            let keydir = database.load();
            MemoryUse {
                entries: sum.entries + keydir.entry_bytes() as u64,
                tables: sum.tables + keydir.table_bytes() as u64,
                collections,
            }
        })
    }

    /// Large collections that were deleted: how many are still to be taken apart in the background, and how many have been.
    pub fn reclaimed_collections(&self) -> (usize, u64) {
        self.bound.objects.reclaimed()
    }

    /// Counts the ones that have been taken apart from 0 again.
    pub fn reset_reclaimed_collections(&self) {
        self.bound.objects.reset_reclaimed();
    }

    /// Whether the keys alone are over the limit, as [`Keyspace::govern`] saw it last.
    pub fn is_out_of_memory(&self) -> bool {
        self.memory.full.load(Relaxed)
    }

    /// Keeps to the limit: sends values back to the disk, those not used of late first, until `other` bytes and
    /// the keyspace's own fit. To be called on a schedule, from a thread that may take its time; whoever waits for one of
    /// its locks waits for a step of the hand.
    pub fn govern(&self, other: u64) {
        let limit = self.memory.limit.load(Relaxed);
        if limit == 0 {
            self.memory.crowded.store(false, Relaxed);
            return self.memory.full.store(false, Relaxed);
        }
        let memory = self.memory_use();
        let mut excess = (memory.total() + other).saturating_sub(limit);
        let mut swept = Swept::default();
        // Where it did not help a moment ago, sparing what was used of late would not either.
        let spared_nothing_before = self.memory.crowded.load(Relaxed);
        for round in if spared_nothing_before { ROUNDS_MAX } else { 0 }..=ROUNDS_MAX {
            if excess == 0 {
                break;
            }
            swept = self.sweep_round(excess as usize, round < ROUNDS_MAX);
            excess = excess.saturating_sub(swept.freed as u64);
        }
        self.memory.crowded.store(excess > 0, Relaxed);
        // What a fast writer has added since the hand passed can go soon; the keys cannot. The last round was a whole one.
        self.memory.full.store(excess > 0 && swept.bare as u64 + memory.tables > limit, Relaxed);
    }
}
