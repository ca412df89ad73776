//! Rebuilds the keydirs from the log's records.
//!
//! Always true: records arrive in the order of their sequence numbers, so the last one of a slot is its newest; an
//! Expire or a Move record changes a key that its value's record has made before; values stay on the disk until asked
//! for.

use std::collections::HashMap;
use std::sync::Arc;

use super::entry::{Cached, Meta};
use super::keydir::{KeyHasher, Keydir};
use crate::store::{Location, Op, Record, Replay};

/// Databases are bound to the keyspace of their own number until they are bound to another: ids that are given out
/// later begin here.
pub(super) const FIRST_FREE_ID: u32 = 65_536;

/// Told how far loading is: bytes done, bytes in all.
pub type OnProgress<'a> = &'a mut dyn FnMut(u64, u64);

pub(super) struct Loader<'a> {
    pub(super) hasher: Option<KeyHasher>,
    keydirs: HashMap<u32, Arc<Keydir>>,
    bindings: HashMap<u32, u32>,
    unbound: bool,
    dead: HashMap<u32, u64>,
    last: Option<(u32, Arc<Keydir>)>,
    on_progress: OnProgress<'a>,
}

impl<'a> Loader<'a> {
    pub(super) fn new(on_progress: OnProgress<'a>) -> Self {
        Self {
            hasher: None,
            keydirs: HashMap::new(),
            bindings: HashMap::new(),
            unbound: false,
            dead: HashMap::new(),
            last: None,
            on_progress,
        }
    }

    /// The keydir each database is bound to, the first id never used, and the dead bytes of each segment.
    pub(super) fn finish(mut self) -> (HashMap<u32, Arc<Keydir>>, u32, HashMap<u32, u64>) {
        self.drop_unbound();
        let implicit: Vec<u32> = self.keydirs.keys().copied().filter(|id| *id < FIRST_FREE_ID).collect();
        for id in implicit {
            self.bindings.entry(id).or_insert(id);
        }
        let free = self.bindings.values().map(|id| id + 1).fold(FIRST_FREE_ID, u32::max);
        let bindings = std::mem::take(&mut self.bindings);
        let databases = bindings.into_iter().map(|(database, id)| (database, self.keydir(id))).collect();
        (databases, free, self.dead)
    }

    fn keydir(&mut self, id: u32) -> Arc<Keydir> {
        if let Some((last, keydir)) = &self.last
            && *last == id
        {
            return keydir.clone();
        }
        let hasher = self.hasher.as_ref().expect("the log tells the hash seed before the first record");
        let keydir = self.keydirs.entry(id).or_insert_with(|| Arc::new(Keydir::new(id, hasher.clone()))).clone();
        self.last = Some((id, keydir.clone()));
        keydir
    }

    fn retire(&mut self, location: Location) {
        *self.dead.entry(location.segment).or_default() += u64::from(location.length);
    }

    /// A keyspace that no database is bound to any more is dead with all its keys.
    fn drop_unbound(&mut self) {
        self.unbound = false;
        self.last = None;
        let bindings = &self.bindings;
        let is_bound = |id: u32| {
            let implicit = id < FIRST_FREE_ID && !bindings.contains_key(&id);
            implicit || bindings.values().any(|bound| *bound == id)
        };
        let gone: Vec<u32> = self.keydirs.keys().copied().filter(|id| !is_bound(*id)).collect();
        for id in gone {
            let Some(keydir) = self.keydirs.remove(&id) else { continue };
            keydir.each_location(|location| self.retire(location));
        }
    }
}

impl Replay for Loader<'_> {
    fn begin(&mut self, hash_seed: [u8; 16], _dataset: [u8; 16]) {
        self.hasher = Some(KeyHasher::new(hash_seed));
    }

    fn replay(&mut self, at: Location, record: &Record<'_>) {
        if record.op == Op::Bind {
            if let Ok(number) = record.key.try_into() {
                self.bindings.insert(u32::from_le_bytes(number), record.keyspace);
                self.unbound = true;
            }
            return;
        }
        // SWAPDB binds twice: what is unbound between the two is not dead.
        if self.unbound {
            self.drop_unbound();
        }
        let keydir = self.keydir(record.keyspace);
        let slot = self.hasher.as_ref().expect("set before the first record").slot(record.key);
        match record.op {
            Op::Put => {
                let meta = Meta { location: at, kind: record.kind, expiry: record.expiry };
                if let Some(before) = keydir.upsert(&slot, record.key, &meta, Cached::Cold, 0) {
                    self.retire(before.meta.location);
                }
            }
            Op::Delete => {
                if let Some(before) = keydir.remove_if(&slot, record.key, |_| true) {
                    self.retire(before.meta.location);
                }
            }
            Op::Expire => keydir.set_expiry(&slot, record.key, record.expiry),
            Op::Move => {
                let source = record.source().and_then(|id| self.keydirs.get(&id));
                let before = match source.and_then(|source| source.take_out(&slot, record.key)) {
                    Some(entry) => keydir.put_in(&slot, entry, record.expiry),
                    None => keydir.remove_if(&slot, record.key, |_| true),
                };
                if let Some(before) = before {
                    self.retire(before.meta.location);
                }
            }
            _ => {}
        }
    }

    fn damaged(&mut self, at: Location, record: &Record<'_>) {
        self.replay(at, record);
        if record.op == Op::Put {
            let keydir = self.keydir(record.keyspace);
            let slot = self.hasher.as_ref().expect("set before the first record").slot(record.key);
            keydir.set_damaged(&slot, record.key, at);
        }
    }

    fn progress(&mut self, done: u64, total: u64) {
        (self.on_progress)(done, total);
    }
}
