//! The keydirs that the databases are bound to, with the latches over their keys; what compaction asks and tells.
//!
//! Always true: compaction looks at a key under its latch, so that it sees no command half done; where a value is moves
//! under the lock of the key's shard alone, and only if it still is where compaction took it from.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::ArcSwap;
use smallvec::SmallVec;

use super::Mode;
use super::collections::Objects;
use super::keydir::{Keydir, Slot};
use super::latch::Latches;
use crate::store::{Index, Location, Look};

pub(super) struct Bound {
    pub(super) databases: Box<[ArcSwap<Keydir>]>,
    pub(super) latches: Latches,
    pub(super) objects: Objects,
    /// Some key's value may have been put under another keyspace than the one the key is in now.
    moved: AtomicBool,
}

impl Bound {
    pub(super) fn new(databases: Box<[ArcSwap<Keydir>]>, moved: bool, objects: Objects) -> Self {
        Self { databases, latches: Latches::new(), objects, moved: AtomicBool::new(moved) }
    }

    /// Says that a value has moved, or may have, from one keyspace to another.
    pub(super) fn note_move(&self) {
        self.moved.store(true, Relaxed);
    }

    /// Visits where all values are that something refers to.
    #[cfg(test)]
    pub(super) fn each_location(&self, mut visit: impl FnMut(Location)) {
        for database in &self.databases {
            database.load().each(|before| visit(before.meta.location));
        }
        self.objects.each(|object, _| object.each_location(&mut visit));
    }

    fn keydir(&self, keyspace: u32) -> Option<Arc<Keydir>> {
        let bound = self.databases.iter().find(|database| database.load().id == keyspace);
        bound.map(ArcSwap::load_full)
    }

    fn all_places(&self, slot: &Slot, key: &[u8]) -> Vec<Location> {
        let place = |database: &ArcSwap<Keydir>| database.load().meta(slot, key).map(|meta| meta.location);
        self.databases.iter().filter_map(place).collect()
    }
}

impl Index for Bound {
    fn prefetch(&self, keyspace: u32, hashes: &[u64]) {
        let Some(keydir) = self.keydir(keyspace) else { return };
        let slots: SmallVec<[Slot; 32]> = hashes.iter().map(|hash| Slot::of(*hash)).collect();
        keydir.prefetch(&slots);
    }

    fn look(&self, keyspace: u32, hash: u64, key: &[u8], at: Location) -> Look {
        let slot = Slot::of(hash);
        let _latch = self.latches.one(&slot, Mode::Shared);
        let keydir = self.keydir(keyspace);
        let meta = keydir.as_ref().and_then(|keydir| keydir.meta(&slot, key));
        match (meta, keydir) {
            (Some(meta), _) if meta.location == at => Look::Here,
            _ if self.moved.load(Relaxed) && self.all_places(&slot, key).contains(&at) => Look::Here,
            (Some(meta), _) => Look::Elsewhere(meta.expiry),
            (None, Some(_)) => Look::Absent,
            (None, None) => Look::Unbound,
        }
    }

    fn places(&self, hash: u64, key: &[u8]) -> Vec<Location> {
        let slot = Slot::of(hash);
        let _latch = self.latches.one(&slot, Mode::Shared);
        self.all_places(&slot, key)
    }

    fn relocate(&self, keyspace: u32, hash: u64, key: &[u8], from: Location, to: Location) -> bool {
        let slot = Slot::of(hash);
        // Under the latch, no key is on its way from one keydir to another.
        let _latch = self.latches.one(&slot, Mode::Shared);
        let home = self.keydir(keyspace).is_some_and(|keydir| keydir.relocate(&slot, key, from, to));
        home || self.moved.load(Relaxed)
            && self.databases.iter().any(|database| database.load().relocate(&slot, key, from, to))
    }

    fn look_element(&self, object: u64, name: &[u8], at: Location) -> Look {
        self.objects.get(object).map_or(Look::Unbound, |object| object.look(name, at))
    }

    fn relocate_element(&self, object: u64, name: &[u8], from: Location, to: Location) -> bool {
        self.objects.get(object).is_some_and(|object| object.relocate(name, from, to))
    }

    fn is_up_to_date(&self) -> bool {
        // Whatever is appended is appended under a latch, and takes effect before that is released.
        self.latches.have_all_been_free()
    }

    fn binding(&self, database: u32) -> Option<u32> {
        // Bindings change under all latches.
        let _latch = self.latches.stripe(0, Mode::Shared);
        self.databases.get(database as usize).map(|database| database.load().id)
    }
}
