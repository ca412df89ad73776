//! What concerns a database as a whole: counting, walking, flushing, swapping.
//!
//! Always true: flushing and swapping take the same time whatever a database holds; a walk by cursor returns every
//! key that is there from its beginning to its end, however the map grows and shrinks meanwhile.

use std::collections::HashSet;
use std::sync::Arc;

use super::access::{Access, Halt, NOWHERE, is_expired};
use super::entry::Meta;
use super::keydir::{FRAGMENTS, Keydir, SHARDS, Slot};
use super::overlay::State;
use super::{Held, Mode};
use crate::store::{Draft, Op};

impl<'k> Access<'k> {
    /// How many keys the database has; one whose time is over does not count, removed or not.
    pub fn keys(&mut self) -> usize {
        self.wait_for_all();
        let now = self.now();
        let due = self.keydir().count_due(now);
        if due > 0 {
            self.prove_time();
        }
        let over = self.over();
        let is_over = |key: &[u8], slot: &Slot| {
            over.contains(key) && self.keydir().meta(slot, key).is_some_and(|meta| !is_expired(&meta, now))
        };
        let hashes = over.iter().filter(|key| is_over(key, &self.keyspace().slot(key))).count();
        let stored = self.keydir().keys().saturating_sub(due + hashes);
        let Some(overlay) = self.overlay() else { return stored };
        let keydir = self.keydir();
        let is_alive = |expiry: Option<u64>| expiry.is_none_or(|deadline| deadline > now);
        overlay.changes_of(keydir.id).fold(stored, |sum, (key, pending)| {
            let stored = keydir.meta(&pending.slot, key);
            let existed = stored.is_some_and(|meta| !is_expired(&meta, now)) && !over.contains(key);
            let exists = match &pending.state {
                State::Gone => false,
                State::Present { expiry, .. } | State::Moved { expiry, .. } => is_alive(*expiry),
                State::Expiry(expiry) => existed && is_alive(*expiry),
                State::Touched => existed,
            };
            sum + usize::from(exists) - usize::from(existed)
        })
    }

    /// The hashes of the database of which nothing is left, and that are not removed yet.
    fn over(&mut self) -> HashSet<Box<[u8]>> {
        let over = self.keyspace().bound.objects.over_in(self.keydir().id, self.now());
        if !over.is_empty() {
            self.prove_time();
        }
        over
    }

    /// Visits keys of the database from `cursor` on, at least `count` of them if there are so many, with their
    /// kinds and expiries. Returns the cursor to go on with; 0 at the end. A cursor is a shard's number and the
    /// hash fragment to go on with in it.
    pub fn scan(&mut self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], &Meta)) -> u64 {
        let mut shard = usize::try_from(cursor / u64::from(FRAGMENTS)).unwrap_or(SHARDS);
        let mut from = (cursor % u64::from(FRAGMENTS)) as u32;
        let mut visited = 0;
        while shard < SHARDS {
            let next = self.scan_shard(shard, from, count.saturating_sub(visited), &mut |key, meta| {
                visited += 1;
                visit(key, meta);
            });
            (shard, from) = next.map_or((shard + 1, 0), |fragment| (shard, fragment));
            if visited >= count {
                break;
            }
        }
        if shard < SHARDS { shard as u64 * u64::from(FRAGMENTS) + u64::from(from) } else { 0 }
    }

    /// Visits all keys of the database.
    pub fn each_key(&mut self, mut visit: impl FnMut(&[u8], &Meta)) {
        for shard in 0..SHARDS {
            self.scan_shard(shard, 0, usize::MAX, &mut visit);
        }
    }

    /// Some key of the database, each with about the same chance.
    pub fn random_key(&mut self) -> Option<Vec<u8>> {
        /// How many random places are tried before all shards are walked.
        const TRIES: usize = 64;
        for _ in 0..TRIES {
            let number = self.keyspace().random();
            let shard = number as usize % SHARDS;
            let _latch = self.own_latch(shard);
            let Some((key, _)) = self.keydir().any_of(shard, (number >> 32) as usize) else { continue };
            if self.exists(&key) {
                return Some(key.into());
            }
        }
        let mut keys = Vec::new();
        let number = self.keyspace().random();
        self.scan_some(number as usize % SHARDS, &mut keys);
        if keys.is_empty() { None } else { Some(keys.swap_remove((number >> 32) as usize % keys.len())) }
    }

    /// Empties the database: all its keys at once, in the same time however many they are. Returns whether there were any.
    /// The access must hold all latches.
    pub fn flush(&mut self) -> Result<bool, Halt> {
        // That only those are left whose time is over need not be known after a restart; that it was emptied must.
        if self.keys() == 0 && self.keydir().count_due(self.now()) == 0 {
            return Ok(false);
        }
        let fresh = Arc::new(self.keyspace().fresh_keydir());
        self.bind(&[(self.database(), fresh)])?;
        Ok(true)
    }

    /// Lets two databases change places. The access must hold all latches.
    pub fn swap(&mut self, first: u32, second: u32) -> Result<(), Halt> {
        if first == second {
            return Ok(());
        }
        let selected = self.database();
        let keydirs = [first, second].map(|database| {
            self.select(database);
            Arc::clone(self.keydir())
        });
        self.select(selected);
        let [a, b] = keydirs;
        self.bind(&[(first, b), (second, a)])
    }

    fn bind(&mut self, bindings: &[(u32, Arc<Keydir>)]) -> Result<(), Halt> {
        let numbers: Vec<[u8; 4]> = bindings.iter().map(|binding| binding.0.to_le_bytes()).collect();
        let overlay = match self.overlay_mut() {
            Some(overlay) => overlay,
            None => return self.bind_now(bindings, &numbers),
        };
        for ((database, keydir), number) in bindings.iter().zip(&numbers) {
            overlay.batch.push(&bind_draft(keydir, number));
            overlay.bind(*database, keydir.clone());
        }
        self.select(self.database());
        Ok(())
    }

    fn bind_now(&mut self, bindings: &[(u32, Arc<Keydir>)], numbers: &[[u8; 4]]) -> Result<(), Halt> {
        let mut batch = crate::store::Batch::default();
        for ((_, keydir), number) in bindings.iter().zip(numbers) {
            batch.push(&bind_draft(keydir, number));
        }
        let end = self.keyspace().store.append_batch(&mut batch)?.end;
        self.held().changed_all(end);
        self.keyspace().rebind(bindings, Vec::new());
        self.wait_for(end);
        self.tally.changes += 1;
        self.select(self.database());
        Ok(())
    }

    fn wait_for_all(&mut self) {
        let appended = self.keyspace().store.appended();
        self.wait_for(appended);
    }

    /// The latch of a shard that is about to be looked into, unless a command holds latches of its own.
    fn own_latch(&self, shard: usize) -> Option<Held<'k>> {
        let keyspace = self.keyspace();
        (self.held().count() == 0).then(|| keyspace.bound.latches.stripe(shard, Mode::Shared))
    }

    fn scan_some(&mut self, start: usize, keys: &mut Vec<Vec<u8>>) {
        for step in 0..SHARDS {
            self.scan_shard((start + step) % SHARDS, 0, usize::MAX, &mut |key, _| keys.push(key.to_vec()));
            if !keys.is_empty() {
                break;
            }
        }
    }

    fn scan_shard(
        &mut self,
        shard: usize,
        from: u32,
        count: usize,
        visit: &mut dyn FnMut(&[u8], &Meta),
    ) -> Option<u32> {
        let over = self.over();
        let own_latch = self.own_latch(shard);
        let last_change = self.held().last_change(shard);
        self.wait_for(last_change);
        let (now, keydir) = (self.now(), self.keydir());
        let overlay = self.overlay();
        let mut hidden = false;
        let next = keydir.scan(shard, from, count, |key, meta| {
            let pending = overlay.and_then(|overlay| overlay.get(keydir.id, key));
            let meta = match pending {
                None | Some(State::Touched) => *meta,
                Some(State::Expiry(expiry)) => Meta { expiry: *expiry, ..*meta },
                // What this transaction sets, moves or deletes is shown below.
                Some(State::Gone | State::Present { .. } | State::Moved { .. }) => return,
            };
            if is_expired(&meta, now) || over.contains(key) {
                hidden = true;
            } else {
                visit(key, &meta);
            }
        });
        drop(own_latch);
        let until = next.unwrap_or(FRAGMENTS);
        for (key, pending) in overlay.into_iter().flat_map(|overlay| overlay.changes_of(keydir.id)) {
            let fragment = u32::from(pending.slot.fragment);
            if let &(State::Present { kind, expiry, .. } | State::Moved { kind, expiry, .. }) = &pending.state
                && pending.slot.shard == shard
                && (from..until).contains(&fragment)
            {
                let meta = Meta { location: NOWHERE, kind, expiry };
                if !is_expired(&meta, now) {
                    visit(key, &meta);
                }
            }
        }
        if hidden {
            self.prove_time();
        }
        next
    }

    /// Whoever does not see a key is told that its time is over: the log must know. If it takes no more marks, that
    /// changes nothing about the time.
    pub(super) fn prove_time(&mut self) {
        if let Ok(end) = self.keyspace().store().mark_time(self.now()) {
            self.wait_for(end);
        }
    }
}

fn bind_draft<'a>(keydir: &Keydir, number: &'a [u8; 4]) -> Draft<'a> {
    Draft { op: Op::Bind, keyspace: keydir.id, kind: 0, expiry: None, object: None, key: number, value: &[] }
}
