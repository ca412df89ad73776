//! The keydir of one keyspace: a sharded map from key to [`Entry`]. Only this file names `dashmap`.
//!
//! Always true: nothing leaves by reference, what is asked for runs inside a closure that takes no other lock and
//! does no I/O; the number of shards never changes, and a key's shard and hash fragment follow from its hash alone,
//! which is why a SCAN cursor made of the two stays true while the map grows and shrinks.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use dashmap::{DashMap, RwLockWriteGuard, SharedValue};
use hashbrown::raw::RawTable;

pub(super) use self::bulk::Bulk;
use super::deadlines::{Alarm, Deadlines, NameBytes};
use super::entry::{self, Cached, Entry, Meta, Used};
use super::evict::Choosing;
use super::footprint::{Footprint, Footprints};
use super::hand::Step;
use super::memory::Room;
use crate::store::{HotName, KeyHasher, Location, Remembered};
use crate::sync::point;

mod bulk;

/// One shard, locked to be changed.
type Shard<'a> = RwLockWriteGuard<'a, RawTable<(Entry, SharedValue<()>)>>;

/// How many shards a keydir has: enough that one doubling (2 ms at 7 M keys a shard's share) stalls nobody long.
/// A test that opens tens of thousands of keyspaces does with fewer.
pub(super) const SHARDS: usize = if cfg!(any(test, feature = "fuzzing")) { 256 } else { 4096 };

/// Bytes that a bucket takes: a pointer, and a byte of the hash.
const BUCKET_BYTES: usize = size_of::<Entry>() + 1;

/// A shard with room for no more keys keeps it.
const SHRUNK_MIN: usize = 28;

/// One more than the highest hash fragment.
pub(super) const FRAGMENTS: u32 = 1 << 16;

/// How many of a hash's lowest and highest bits are the name that a deadline has of its key. The highest are the map's own tag
/// and the shard; the lowest choose the bucket, where a shard has no more than 2^19 of them: with 4096 shards, below two thousand
/// million keys. In tests, keys that share a name and shards with more buckets are common.
const NAME_LOW_BITS: u32 = if cfg!(test) { 3 } else { 19 };
const NAME_HIGH_BITS: u32 = 19;

/// The name that a deadline has of a key with this hash.
#[inline]
fn name_of(hash: u64) -> u64 {
    hash >> (u64::BITS - NAME_HIGH_BITS) << NAME_LOW_BITS | hash & ((1 << NAME_LOW_BITS) - 1)
}

/// A hash with this name, all of whose other bits are 0.
fn hash_of(name: u64) -> u64 {
    name >> NAME_LOW_BITS << (u64::BITS - NAME_HIGH_BITS) | name & ((1 << NAME_LOW_BITS) - 1)
}

/// The hashes by which to look for a key that is named so: several where a shard has more buckets than a name tells apart.
fn hashes_in(shard: &RawTable<(Entry, SharedValue<()>)>, named: &Slot) -> impl Iterator<Item = u64> + use<> {
    let (hash, between) = (named.hash, (shard.buckets() as u64 - 1) >> NAME_LOW_BITS);
    (0..=between).map(move |between| hash | between << NAME_LOW_BITS)
}

/// What a key's hash says: where the key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub(super) hash: u64,
    pub(super) shard: usize,
    pub(super) fragment: u16,
}

impl Slot {
    /// The slot of a key.
    #[inline]
    pub(super) fn of_key(hasher: &KeyHasher, key: &[u8]) -> Self {
        Self::of(hasher.hash(key))
    }

    /// The slot of a hash: 12 bits below the map's own 7-bit tag choose the shard, 16 bits below those are the
    /// fragment, and the lowest, which choose a bucket, are left alone.
    #[inline]
    pub(super) fn of(hash: u64) -> Self {
        let shard = ((hash << 7) >> (64 - SHARDS.trailing_zeros())) as usize;
        Self { hash, shard, fragment: (hash >> 29) as u16 }
    }
}

/// What an entry said before it was replaced or removed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) meta: Meta,
    /// The object whose elements were its value.
    pub(super) object: Option<u64>,
}

impl Before {
    fn of(entry: &Entry) -> Self {
        Self { meta: entry.meta(), object: entry.object() }
    }
}

/// What a key is now, as a reader of it sees it.
pub(super) enum Seen<'a> {
    /// Its value is in memory.
    Hot(Meta, Cached<'a>),
    /// Its value is in the log.
    Cold(Meta),
    /// Its newest record cannot be read.
    Damaged(Meta),
}

/// A keyspace's keys. The map is made when the first key arrives: an empty database costs nothing.
pub(super) struct Keydir {
    pub(super) id: u32,
    map: OnceLock<DashMap<Entry, (), KeyHasher>>,
    hasher: KeyHasher,
    deadlines: OnceLock<Deadlines>,
    alarm: Arc<Alarm>,
    keys: AtomicUsize,
    volatile: AtomicUsize,
    footprints: Footprints,
    /// Of all shards.
    buckets: AtomicUsize,
}

impl Keydir {
    pub(super) fn new(id: u32, hasher: KeyHasher, alarm: Arc<Alarm>) -> Self {
        Self {
            id,
            map: OnceLock::new(),
            hasher,
            deadlines: OnceLock::new(),
            alarm,
            keys: AtomicUsize::new(0),
            volatile: AtomicUsize::new(0),
            footprints: Footprints::default(),
            buckets: AtomicUsize::new(0),
        }
    }

    /// How many keys there are, those expired but not yet removed included.
    pub(super) fn keys(&self) -> usize {
        self.keys.load(Relaxed)
    }

    /// How many keys have an expiry.
    pub(super) fn volatile(&self) -> usize {
        self.volatile.load(Relaxed)
    }

    /// What entries take, with cached values and without.
    pub(super) fn footprint(&self) -> Footprint {
        self.footprints.sum()
    }

    /// The mean of all deadlines.
    pub(super) fn mean_deadline(&self) -> Option<u64> {
        self.deadlines.get()?.mean()
    }

    /// The bytes that the map's own tables take.
    pub(super) fn table_bytes(&self) -> usize {
        let Some(map) = self.map.get() else { return 0 };
        self.buckets.load(Relaxed) * BUCKET_BYTES + size_of_val(map.shards())
    }

    /// Reads the entry of `key`, and notes the use at `now` (seconds) where one is given: of one that is only on the disk, unless
    /// whoever has read it there does so ([`Keydir::warm`]); of one that is `pinned`, when that was.
    #[inline]
    pub(super) fn read<R>(
        &self,
        slot: &Slot,
        key: &[u8],
        now: Option<u32>,
        is_pinned: impl FnOnce(Location) -> bool,
        look: impl FnOnce(Option<Seen<'_>>) -> R,
    ) -> R {
        point();
        let Some(map) = self.map.get() else { return look(None) };
        let shard = map.shards()[slot.shard].read();
        let found = shard.get(slot.hash, |(entry, _)| entry.is(slot.fragment, key));
        if let (Some((entry, _)), Some(now)) = (found, now)
            && !matches!(entry.value(), Cached::Cold)
            && !is_pinned(entry.location())
        {
            entry.touch(now);
        }
        look(found.map(|(entry, _)| seen(entry)))
    }

    /// Brings what a look at each of these slots will touch into the processor's cache. One after the other they would
    /// wait for memory four times each; so all of them wait for each of the four together.
    pub(super) fn prefetch(&self, slots: &[Slot]) {
        self.prefetch_where(slots.iter(), |slot, entry| entry.fragment() == slot.fragment);
    }

    /// The same for slots that [`Keydir::due`] has told, in which the fragment is not known.
    pub(super) fn prefetch_due(&self, due: &[(u64, Slot)]) {
        self.prefetch_where(due.iter().map(|(_, slot)| slot), |_, _| true);
    }

    #[inline]
    fn prefetch_where<'a>(&self, slots: impl Iterator<Item = &'a Slot> + Clone, is: impl Fn(&Slot, &Entry) -> bool) {
        let Some(map) = self.map.get() else { return };
        let shards = map.shards();
        slots.clone().for_each(|slot| entry::prefetch(&*shards[slot.shard]));
        slots.clone().for_each(|slot| entry::prefetch_bucket(&shards[slot.shard].read(), slot.hash));
        for slot in slots {
            let shard = shards[slot.shard].read();
            if let Some((entry, _)) = shard.get(slot.hash, |(entry, _)| is(slot, entry)) {
                entry.prefetch();
            }
        }
    }

    /// Location, kind and expiry of `key`.
    pub(super) fn meta(&self, slot: &Slot, key: &[u8]) -> Option<Meta> {
        self.with(slot, key, Entry::meta)
    }

    /// Notes a use of `key` at `now` seconds.
    #[inline]
    pub(super) fn touch(&self, slot: &Slot, key: &[u8], now: u32) {
        self.with(slot, key, |entry| entry.touch(now));
    }

    /// When the cached value of `key` was last used (seconds), how often of late (0 to 3), and its bytes in all.
    pub(super) fn usage(&self, slot: &Slot, key: &[u8]) -> Option<(Option<u32>, u8, usize)> {
        self.with(slot, key, |entry| (entry.last_use(), entry.uses(), entry.bytes()))
    }

    /// What `key` takes, with its value and without.
    pub(super) fn footprint_of(&self, slot: &Slot, key: &[u8]) -> Footprint {
        self.with(slot, key, Entry::footprint).unwrap_or_default()
    }

    /// Sets `key` to a value, whatever it was.
    #[inline]
    pub(super) fn upsert(&self, slot: &Slot, key: &[u8], meta: &Meta, value: Cached<'_>, now: u32) -> Option<Before> {
        point();
        let mut shard = self.map().shards()[slot.shard].write();
        if let Some((entry, _)) = shard.get_mut(slot.hash, |(entry, _)| entry.is(slot.fragment, key)) {
            let before = Before::of(entry);
            let footprint = entry.footprint();
            entry.replace(meta, value);
            entry.touch(now);
            self.footprints.change(footprint, entry.footprint());
            drop(shard);
            self.deadline(slot, before.meta.expiry, meta.expiry);
            return Some(before);
        }
        let entry = Entry::new(slot.fragment, key, meta, value);
        entry.touch(now);
        self.footprints.change(Footprint::default(), entry.footprint());
        self.insert(&mut shard, slot, entry);
        drop(shard);
        self.keys.fetch_add(1, Relaxed);
        self.deadline(slot, None, meta.expiry);
        None
    }

    /// Removes `key` where `wanted` agrees.
    pub(super) fn remove_if(&self, slot: &Slot, key: &[u8], wanted: impl Fn(&Meta) -> bool) -> Option<Before> {
        let is = |entry: &Entry| entry.is(slot.fragment, key) && wanted(&entry.meta());
        self.take(slot, is).map(|entry| Before::of(&entry))
    }

    /// Removes `key` where its value is this object.
    pub(super) fn remove_root(&self, slot: &Slot, key: &[u8], object: u64) -> Option<Before> {
        let is = |entry: &Entry| entry.is(slot.fragment, key) && entry.object() == Some(object);
        self.take(slot, is).map(|entry| Before::of(&entry))
    }

    /// The object whose elements are the value of `key`.
    pub(super) fn object(&self, slot: &Slot, key: &[u8]) -> Option<u64> {
        self.with(slot, key, Entry::object).flatten()
    }

    /// The object whose elements are the value of a key in this slot: nearly always of the only one there is.
    pub(super) fn object_at(&self, slot: &Slot) -> Option<u64> {
        let shard = self.map.get()?.shards()[slot.shard].read();
        shard.get(slot.hash, |(entry, _)| entry.fragment() == slot.fragment).and_then(|(entry, _)| entry.object())
    }

    /// Takes the entry of `key` out, its value in memory with it.
    pub(super) fn take_out(&self, slot: &Slot, key: &[u8]) -> Option<Entry> {
        self.take(slot, |entry| entry.is(slot.fragment, key))
    }

    /// Puts an entry in that was taken out of a keydir, with this expiry and whatever its key was here.
    pub(super) fn put_in(&self, slot: &Slot, mut entry: Entry, expiry: Option<u64>) -> Option<Before> {
        entry.set_expiry(expiry);
        let footprint = entry.footprint();
        let mut shard = self.map().shards()[slot.shard].write();
        let replaced = match shard.get_mut(slot.hash, |(there, _)| there.is(slot.fragment, entry.key())) {
            Some((there, _)) => Some(std::mem::replace(there, entry)),
            None => {
                self.insert(&mut shard, slot, entry);
                self.keys.fetch_add(1, Relaxed);
                None
            }
        };
        drop(shard);
        self.footprints.change(replaced.as_ref().map_or_else(Footprint::default, Entry::footprint), footprint);
        self.deadline(slot, replaced.as_ref().and_then(Entry::expiry), expiry);
        replaced.map(|entry| Before::of(&entry))
    }

    /// Removes a key that [`Keydir::due`] has named so and whose deadline is at or before `now`; returns it.
    pub(super) fn remove_expired(&self, named: &Slot, now: u64) -> Option<(Box<[u8]>, Before)> {
        let expired = |(entry, _): &(Entry, _)| {
            entry.expiry().is_some_and(|deadline| deadline <= now)
                && name_of(self.hasher.hash(entry.key())) == name_of(named.hash)
        };
        point();
        let mut shard = self.map.get()?.shards()[named.shard].write();
        let (entry, _) = hashes_in(&shard, named).find_map(|hash| shard.remove_entry(hash, expired))?;
        self.shrink(&mut shard);
        drop(shard);
        self.taken(named, &entry);
        Some((entry.key().into(), Before::of(&entry)))
    }

    /// Gives `key` another deadline or none.
    pub(super) fn set_expiry(&self, slot: &Slot, key: &[u8], expiry: Option<u64>) {
        let Some(old) = self.change(slot, key, |entry| {
            let old = entry.expiry();
            entry.set_expiry(expiry);
            old
        }) else {
            return;
        };
        self.deadline(slot, old, expiry);
    }

    /// Notes that the value of `key` was read from the log, and puts it into memory as far as there is `room`, if the key's newest
    /// record is still the one it was read from.
    pub(super) fn warm(&self, slot: &Slot, key: &[u8], from: Location, value: &Bytes, room: Room, now: u32) {
        let is =
            |entry: &Entry| entry.location() == from && matches!(entry.value(), Cached::Cold) && !entry.is_damaged();
        // Mostly only a use is noted, for which others need not wait.
        let stays_cold = |entry: &Entry| {
            let stays_cold = is(entry) && !entry.is_worth(room);
            if stays_cold {
                entry.touch(now);
            }
            stays_cold
        };
        if room != Room::Enough && self.with(slot, key, stays_cold).is_none_or(|stays_cold| stays_cold) {
            return;
        }
        self.change(slot, key, |entry| {
            if is(entry) {
                entry.warm(value, room, now);
            }
        });
    }

    /// As [`Keydir::warm`], with a value that counts as used as it `was`. Returns whether it is in memory by that.
    pub(super) fn bring_back(&self, slot: &Slot, key: &[u8], from: Location, value: &[u8], was: Used) -> bool {
        self.change(slot, key, |entry| entry.bring_back(from, value, was)) == Some(true)
    }

    /// Says that the value of `key` at `from` is at `to` now; `false` if it is not at `from` any more.
    pub(super) fn relocate(&self, slot: &Slot, key: &[u8], from: Location, to: Location) -> bool {
        let Some(map) = self.map.get() else { return false };
        let mut shard = map.shards()[slot.shard].write();
        let found = shard.get_mut(slot.hash, |(entry, _)| entry.is(slot.fragment, key));
        match found {
            Some((entry, _)) if entry.location() == from => {
                entry.set_location(to);
                true
            }
            _ => false,
        }
    }

    /// Marks the newest record of `key` as unreadable.
    pub(super) fn set_damaged(&self, slot: &Slot, key: &[u8], at: Location) {
        self.change(slot, key, |entry| {
            if entry.location() == at {
                entry.set_damaged();
            }
        });
    }

    /// Makes the deadlines count of the keys that came in bulk.
    pub(super) fn settle_deadlines(&self, threads: usize) {
        if let Some(deadlines) = self.deadlines.get() {
            deadlines.settle(threads);
        }
    }

    /// Up to `limit` deadlines at or before `now`, each with the slot of its key: that has the right shard, and of the hash what
    /// [`Keydir::remove_expired`] needs.
    pub(super) fn due(&self, now: u64, limit: usize) -> Vec<(u64, Slot)> {
        let Some(deadlines) = self.deadlines.get() else { return Vec::new() };
        deadlines.due(now, limit).into_iter().map(|(deadline, name)| (deadline, Slot::of(hash_of(name)))).collect()
    }

    /// How many keys have a deadline at or before `now`.
    pub(super) fn count_due(&self, now: u64) -> usize {
        self.deadlines.get().map_or(0, |deadlines| deadlines.count_due(now))
    }

    /// Forgets a deadline that no key has any more.
    pub(super) fn forget_deadline(&self, slot: &Slot, deadline: u64) {
        if let Some(deadlines) = self.deadlines.get() {
            deadlines.change(name_of(slot.hash), Some(deadline), None);
        }
    }

    /// The earliest deadline.
    pub(super) fn earliest_deadline(&self) -> Option<u64> {
        self.deadlines.get().and_then(Deadlines::earliest)
    }

    /// Visits the keys of one shard whose fragment is at least `from`, in order of fragments, until `count` were
    /// visited and a fragment is complete. Returns the fragment to go on with, or `None` at the shard's end.
    pub(super) fn scan(
        &self,
        shard: usize,
        from: u32,
        count: usize,
        mut visit: impl FnMut(&[u8], &Meta),
    ) -> Option<u32> {
        let map = self.map.get()?;
        let shard = map.shards()[shard].read();
        let mut fragments: Vec<u16> = Vec::new();
        entry::for_each(&shard, |entry| {
            if u32::from(entry.fragment()) >= from {
                fragments.push(entry.fragment());
            }
        });
        let count = count.max(1);
        let last = if fragments.len() <= count { u16::MAX } else { *fragments.select_nth_unstable(count - 1).1 };
        entry::for_each(&shard, |entry| {
            if (from..=u32::from(last)).contains(&u32::from(entry.fragment())) {
                visit(entry.key(), &entry.meta());
            }
        });
        Some(u32::from(last) + 1).filter(|&next| next < FRAGMENTS && fragments.len() > count)
    }

    /// A key of one shard, found from a random bucket on.
    pub(super) fn any_of(&self, shard: usize, random: usize) -> Option<(Box<[u8]>, Meta)> {
        let shard = self.map.get()?.shards()[shard].read();
        let start = random % shard.buckets().max(1);
        entry::next_from(&shard, start).map(|entry| (entry.key().into(), entry.meta()))
    }

    /// Lets the hand take a step through one shard, from this bucket on. Returns the bucket where it goes on, nothing at the
    /// end.
    pub(super) fn sweep(&self, shard: usize, from: usize, step: &mut Step<'_>) -> Option<usize> {
        let mut shard = self.map.get()?.shards()[shard].write();
        let freed = step.freed;
        let next = entry::walk_mut(&mut shard, from..step.until.passed, |entry| step.pass(entry));
        drop(shard);
        // Only values have gone.
        self.footprints.change(Footprint { bytes: step.freed - freed, bare: 0 }, Footprint::default());
        next
    }

    /// Lets keys of one shard be chosen, from this bucket on. Returns the bucket where to go on, nothing at the end.
    pub(super) fn choose(&self, shard: usize, from: usize, choosing: &mut Choosing) -> Option<usize> {
        self.walk(shard, from, |entry| choosing.pass(entry))
    }

    /// Visits the entries of one shard from this bucket on, until `visit` has had enough. Returns the bucket where to go on,
    /// nothing at the end.
    pub(super) fn walk(
        &self,
        shard: usize,
        from: usize,
        visit: impl FnMut(&Entry) -> ControlFlow<()>,
    ) -> Option<usize> {
        let shard = self.map.get()?.shards()[shard].read();
        entry::walk(&shard, from, visit)
    }

    /// Where the values of the keys with these names are that are only in the log: what `found` is told for each, with its uses.
    pub(super) fn find_cold(&self, names: &[Remembered], mut found: impl FnMut(u8, Location)) {
        let Some(map) = self.map.get() else { return };
        let slots = names.iter().map(|remembered| Slot::of(remembered.name.hash()));
        let slots: Vec<Slot> = slots.collect();
        self.prefetch_where(slots.iter(), |_, _| true);
        for (slot, remembered) in slots.iter().zip(names) {
            let shard = map.shards()[slot.shard].read();
            let is = |(entry, _): &(Entry, _)| HotName::of(self.hasher.hash(entry.key())) == remembered.name;
            if let Some((entry, _)) = shard.get(slot.hash, is)
                && matches!(seen(entry), Seen::Cold(_))
            {
                found(remembered.uses, entry.location());
            }
        }
    }

    /// A key that [`Keydir::due`] has named so and that has this deadline, and where its newest record is.
    pub(super) fn with_deadline(&self, named: &Slot, deadline: u64) -> Option<(Box<[u8]>, Location)> {
        let shard = self.map.get()?.shards()[named.shard].read();
        let is = |(entry, _): &(Entry, _)| {
            entry.expiry() == Some(deadline) && name_of(self.hasher.hash(entry.key())) == name_of(named.hash)
        };
        let found = hashes_in(&shard, named).find_map(|hash| shard.get(hash, is));
        found.map(|(entry, _)| (entry.key().into(), entry.location()))
    }

    /// Visits the keys whose values are objects.
    pub(super) fn each_root(&self, mut visit: impl FnMut(&[u8], u64)) {
        let Some(map) = self.map.get() else { return };
        for shard in map.shards() {
            entry::for_each(&shard.read(), |entry| {
                if let Some(object) = entry.object() {
                    visit(entry.key(), object);
                }
            });
        }
    }

    /// Visits what every key is.
    pub(super) fn each(&self, mut visit: impl FnMut(&Before)) {
        let Some(map) = self.map.get() else { return };
        for shard in map.shards() {
            entry::for_each(&shard.read(), |entry| visit(&Before::of(entry)));
        }
    }

    fn map(&self) -> &DashMap<Entry, (), KeyHasher> {
        self.map.get_or_init(|| DashMap::with_capacity_and_hasher_and_shard_amount(0, self.hasher.clone(), SHARDS))
    }

    #[inline]
    fn insert(&self, shard: &mut Shard<'_>, slot: &Slot, entry: Entry) {
        let before = buckets(shard);
        shard.insert(slot.hash, Self::item(entry), |(entry, _)| self.hasher.hash(entry.key()));
        if buckets(shard) != before {
            self.buckets.fetch_add(buckets(shard) - before, Relaxed);
        }
    }

    /// Gives room back that a shard has for many more keys than it has left: it counts towards the memory limit.
    #[inline]
    fn shrink(&self, shard: &mut Shard<'_>) {
        if shard.capacity() > SHRUNK_MIN && shard.len() < shard.capacity() / 4 {
            let before = buckets(shard);
            let wanted = shard.len() * 2;
            shard.shrink_to(wanted, |(entry, _)| self.hasher.hash(entry.key()));
            self.buckets.fetch_sub(before - buckets(shard), Relaxed);
        }
    }

    fn with<R>(&self, slot: &Slot, key: &[u8], look: impl FnOnce(&Entry) -> R) -> Option<R> {
        point();
        let shard = self.map.get()?.shards()[slot.shard].read();
        shard.get(slot.hash, |(entry, _)| entry.is(slot.fragment, key)).map(|(entry, _)| look(entry))
    }

    fn change<R>(&self, slot: &Slot, key: &[u8], change: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        point();
        let mut shard = self.map.get()?.shards()[slot.shard].write();
        let (entry, _) = shard.get_mut(slot.hash, |(entry, _)| entry.is(slot.fragment, key))?;
        let before = entry.footprint();
        let result = change(entry);
        self.footprints.change(before, entry.footprint());
        Some(result)
    }

    fn take(&self, slot: &Slot, wanted: impl Fn(&Entry) -> bool) -> Option<Entry> {
        point();
        let mut shard = self.map.get()?.shards()[slot.shard].write();
        let (entry, _) = shard.remove_entry(slot.hash, |(entry, _)| wanted(entry))?;
        self.shrink(&mut shard);
        drop(shard);
        self.taken(slot, &entry);
        Some(entry)
    }

    /// Counts an entry no more that was taken out.
    fn taken(&self, slot: &Slot, entry: &Entry) {
        self.keys.fetch_sub(1, Relaxed);
        self.footprints.change(entry.footprint(), Footprint::default());
        self.deadline(slot, entry.expiry(), None);
    }

    fn deadline(&self, slot: &Slot, old: Option<u64>, new: Option<u64>) {
        if old.is_none() && new.is_none() {
            return;
        }
        match (old, new) {
            (None, Some(_)) => self.volatile.fetch_add(1, Relaxed),
            (Some(_), None) => self.volatile.fetch_sub(1, Relaxed),
            _ => 0,
        };
        self.deadlines().change(name_of(slot.hash), old, new);
    }

    fn deadlines(&self) -> &Deadlines {
        self.deadlines.get_or_init(|| Deadlines::new(NameBytes::Four, self.alarm.clone()))
    }

    /// A shard's form of an entry.
    fn item(entry: Entry) -> (Entry, SharedValue<()>) {
        (entry, SharedValue::new(()))
    }
}

/// A table without entries says that it has a bucket, and takes nothing.
fn buckets(shard: &Shard<'_>) -> usize {
    if shard.capacity() == 0 { 0 } else { shard.buckets() }
}

fn seen(entry: &Entry) -> Seen<'_> {
    let meta = entry.meta();
    match entry.value() {
        _ if entry.is_damaged() => Seen::Damaged(meta),
        Cached::Cold => Seen::Cold(meta),
        hot => Seen::Hot(meta, hot),
    }
}

impl fmt::Debug for Keydir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keydir").field("id", &self.id).field("keys", &self.keys()).finish_non_exhaustive()
    }
}
