//! Many keys at once, while the log is read back and nobody else looks.
//!
//! Always true: the shards of a partition are locked once, by the one thread that has the partition's records, and what
//! is counted is added up in the end.

use std::sync::atomic::Ordering::Relaxed;

use super::super::entry::{self, Cached, Entry, Meta};
use super::super::footprint::Footprint;
use super::{Keydir, SHARDS, Shard, Slot, buckets, name_of};
use crate::store::{Location, PARTITIONS};

/// Shards whose keys the store puts into one partition: see [`partition_of`](crate::store::partition_of).
const SHARDS_PER_PARTITION: usize = SHARDS / PARTITIONS;

impl Keydir {
    /// Holds the shards of one partition, which is expected to get so many keys, while the log is read back.
    pub(in crate::keyspace) fn bulk(&self, partition: usize, keys: usize) -> Bulk<'_> {
        let first = partition * SHARDS_PER_PARTITION;
        let shards = &self.map().shards()[first..first + SHARDS_PER_PARTITION];
        let mut shards: Vec<_> = shards.iter().map(|shard| shard.write()).collect();
        let buckets = shards.iter().map(buckets).sum();
        for shard in &mut shards {
            shard.reserve(keys / SHARDS_PER_PARTITION, |(entry, _)| self.hasher.hash(entry.key()));
        }
        Bulk { keydir: self, first, shards, keys: 0, volatile: 0, bytes: 0, buckets, has_deadlines: false }
    }
}

/// The shards of one partition, all of them locked. Values stay on the disk.
pub(in crate::keyspace) struct Bulk<'a> {
    keydir: &'a Keydir,
    /// The index of the first of the shards.
    first: usize,
    shards: Vec<Shard<'a>>,
    keys: isize,
    volatile: isize,
    bytes: isize,
    /// Of these shards, as it was counted before.
    buckets: usize,
    has_deadlines: bool,
}

impl Bulk<'_> {
    /// Sets `key`, whatever it was, to a value on the disk or to an object; returns where its value was.
    #[inline]
    pub(in crate::keyspace) fn put(
        &mut self,
        slot: &Slot,
        key: &[u8],
        meta: &Meta,
        object: Option<u64>,
    ) -> Option<Location> {
        let value = object.map_or(Cached::Cold, Cached::Root);
        let shard = &mut self.shards[slot.shard - self.first];
        self.has_deadlines |= meta.expiry.is_some();
        self.volatile += isize::from(meta.expiry.is_some());
        if let Some((entry, _)) = shard.get_mut(slot.hash, |(entry, _)| entry.is(slot.fragment, key)) {
            let before = entry.location();
            self.volatile -= isize::from(entry.expiry().is_some());
            self.bytes -= entry.bytes() as isize;
            entry.replace(meta, value);
            self.bytes += entry.bytes() as isize;
            return Some(before);
        }
        let entry = Entry::new(slot.fragment, key, meta, value);
        self.keys += 1;
        self.bytes += entry.bytes() as isize;
        let hasher = &self.keydir.hasher;
        shard.insert(slot.hash, Keydir::item(entry), |(entry, _)| hasher.hash(entry.key()));
        None
    }

    /// Takes the entry of `key` out.
    pub(in crate::keyspace) fn take_out(&mut self, slot: &Slot, key: &[u8]) -> Option<Entry> {
        let shard = &mut self.shards[slot.shard - self.first];
        let (entry, _) = shard.remove_entry(slot.hash, |(entry, _)| entry.is(slot.fragment, key))?;
        self.keys -= 1;
        self.volatile -= isize::from(entry.expiry().is_some());
        self.bytes -= entry.bytes() as isize;
        Some(entry)
    }

    /// Puts an entry in that was taken out of a keydir, with this expiry and whatever its key was here; returns where that
    /// was.
    pub(in crate::keyspace) fn put_in(
        &mut self,
        slot: &Slot,
        mut entry: Entry,
        expiry: Option<u64>,
    ) -> Option<Location> {
        let before = self.take_out(slot, entry.key());
        entry.set_expiry(expiry);
        self.has_deadlines |= expiry.is_some();
        self.keys += 1;
        self.volatile += isize::from(expiry.is_some());
        self.bytes += entry.bytes() as isize;
        let (shard, hasher) = (&mut self.shards[slot.shard - self.first], &self.keydir.hasher);
        shard.insert(slot.hash, Keydir::item(entry), |(entry, _)| hasher.hash(entry.key()));
        before.map(|entry| entry.location())
    }

    /// Gives `key` another deadline or none.
    pub(in crate::keyspace) fn set_expiry(&mut self, slot: &Slot, key: &[u8], expiry: Option<u64>) {
        let shard = &mut self.shards[slot.shard - self.first];
        let Some((entry, _)) = shard.get_mut(slot.hash, |(entry, _)| entry.is(slot.fragment, key)) else { return };
        self.has_deadlines |= expiry.is_some();
        self.volatile += isize::from(expiry.is_some()) - isize::from(entry.expiry().is_some());
        self.bytes -= entry.bytes() as isize;
        entry.set_expiry(expiry);
        self.bytes += entry.bytes() as isize;
    }

    /// Marks the newest record of `key` as unreadable.
    pub(in crate::keyspace) fn set_damaged(&mut self, slot: &Slot, key: &[u8]) {
        let shard = &mut self.shards[slot.shard - self.first];
        if let Some((entry, _)) = shard.get_mut(slot.hash, |(entry, _)| entry.is(slot.fragment, key)) {
            entry.set_damaged();
        }
    }

    /// Adds up what came, and gives back room that was not needed.
    pub(in crate::keyspace) fn finish(mut self) {
        let (keydir, hasher) = (self.keydir, &self.keydir.hasher);
        let mut deadlines = Vec::new();
        for shard in &mut self.shards {
            shard.shrink_to(0, |(entry, _)| hasher.hash(entry.key()));
            if self.has_deadlines {
                entry::for_each(shard, |entry| {
                    deadlines.extend(entry.expiry().map(|deadline| (deadline, name_of(hasher.hash(entry.key())))));
                });
            }
        }
        if !deadlines.is_empty() {
            keydir.deadlines().gather(deadlines);
        }
        // What is subtracted wraps around, and was added before.
        keydir.keys.fetch_add(self.keys as usize, Relaxed);
        keydir.volatile.fetch_add(self.volatile as usize, Relaxed);
        let buckets: usize = self.shards.iter().map(buckets).sum();
        keydir.buckets.fetch_add(buckets.wrapping_sub(self.buckets), Relaxed);
        // No value is in memory.
        let came = Footprint { bytes: self.bytes as usize, bare: self.bytes as usize };
        keydir.footprints.change(Footprint::default(), came);
    }
}
