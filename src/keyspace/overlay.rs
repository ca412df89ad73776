//! The effects of a transaction before they take effect: what its own commands read, and the batch to be logged.
//!
//! Always true: dropping an overlay undoes everything; of several effects on one key the last one counts, though
//! all stand in the batch; a value that a keydir knows is moved to one place at most, and where it was, the key is
//! pending, too.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::entry::Meta;
use super::keydir::{Keydir, Slot};
use crate::store::Batch;

/// What a key is after the effects so far.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// There is none.
    Gone,
    /// It has this value; `record` is its number in the batch.
    Present { kind: u8, expiry: Option<u64>, value: Bytes, object: Option<u64>, record: usize },
    /// It has the value and the expiry the keydir knows, of which elements have changed.
    Touched,
    /// It has the value the keydir knows, with this expiry.
    Expiry(Option<u64>),
    /// It has the value that another keydir knows for it, with this expiry.
    Moved { source: Arc<Keydir>, kind: u8, expiry: Option<u64> },
}

/// One key's pending change.
pub(super) struct Pending {
    pub(super) keydir: Arc<Keydir>,
    pub(super) database: u32,
    pub(super) slot: Slot,
    pub(super) state: State,
    /// It is the latest change of so many.
    order: usize,
}

/// A database's number and the keydir it is bound to.
pub(super) type Binding = (u32, Arc<Keydir>);

/// A key and its pending change.
pub(super) type KeyChange = (Box<[u8]>, Pending);

#[derive(Default)]
pub(super) struct Overlay {
    pub(super) batch: Batch,
    changes: HashMap<u32, HashMap<Box<[u8]>, Pending>>,
    /// Changes so far, those of the same key included.
    count: usize,
    bindings: Vec<Binding>,
    /// The databases that were bound since somebody asked.
    rebound: Vec<u32>,
    /// Values in the batch that a later effect has replaced: dead as soon as they are in the log.
    superseded: Vec<usize>,
    /// Keydirs that were bound by this transaction and are not any more.
    displaced: Vec<Arc<Keydir>>,
}

/// What an overlay gives up when it takes effect.
pub(super) struct Effects {
    pub(super) changes: Vec<KeyChange>,
    pub(super) bindings: Vec<Binding>,
    pub(super) superseded: Vec<usize>,
    pub(super) displaced: Vec<Arc<Keydir>>,
}

impl Overlay {
    /// The pending state of a key in the keyspace with this id.
    pub(super) fn get(&self, keyspace: u32, key: &[u8]) -> Option<&State> {
        self.changes.get(&keyspace)?.get(key).map(|pending| &pending.state)
    }

    /// Sets the pending state of a key.
    pub(super) fn set(&mut self, keydir: &Arc<Keydir>, database: u32, slot: &Slot, key: &[u8], state: State) {
        self.count += 1;
        let pending = Pending { keydir: keydir.clone(), database, slot: *slot, state, order: self.count };
        let before = self.changes.entry(keydir.id).or_default().insert(key.into(), pending);
        if let Some(Pending { state: State::Present { record, .. }, .. }) = before {
            self.superseded.push(record);
        }
    }

    /// Notes that elements of a key's value have changed.
    pub(super) fn touch(&mut self, keydir: &Arc<Keydir>, database: u32, slot: &Slot, key: &[u8]) {
        let pending = self.changes.get_mut(&keydir.id).and_then(|changes| changes.get_mut(key));
        match pending {
            Some(pending) => {
                self.count += 1;
                pending.order = self.count;
            }
            None => self.set(keydir, database, slot, key, State::Touched),
        }
    }

    /// Sets the pending expiry of a key that exists.
    pub(super) fn set_expiry(
        &mut self,
        keydir: &Arc<Keydir>,
        database: u32,
        slot: &Slot,
        key: &[u8],
        new: Option<u64>,
    ) {
        let pending = self.changes.get_mut(&keydir.id).and_then(|changes| changes.get_mut(key));
        match pending.map(|pending| &mut pending.state) {
            Some(State::Present { expiry, .. } | State::Moved { expiry, .. }) => *expiry = new,
            _ => self.set(keydir, database, slot, key, State::Expiry(new)),
        }
    }

    /// Moves the value of a key, which is now as `meta` says, from one database to another.
    pub(super) fn move_key(&mut self, from: &Binding, to: &Binding, slot: &Slot, key: &[u8], meta: &Meta) {
        let pending = self.changes.get_mut(&from.1.id).and_then(|changes| changes.get_mut(key));
        let state = match pending {
            // What this transaction has set or moved here goes on from here; nothing of it is superseded.
            Some(Pending { state: state @ (State::Present { .. } | State::Moved { .. }), .. }) => {
                std::mem::replace(state, State::Gone)
            }
            _ => {
                self.set(&from.1, from.0, slot, key, State::Gone);
                State::Moved { source: from.1.clone(), kind: meta.kind, expiry: meta.expiry }
            }
        };
        self.set(&to.1, to.0, slot, key, state);
    }

    /// The keydir a database is bound to by this transaction, if it binds it.
    pub(super) fn bound(&self, database: u32) -> Option<Arc<Keydir>> {
        self.bindings.iter().find(|binding| binding.0 == database).map(|binding| binding.1.clone())
    }

    /// Binds a database to another keydir.
    pub(super) fn bind(&mut self, database: u32, keydir: Arc<Keydir>) {
        if let Some(at) = self.bindings.iter().position(|binding| binding.0 == database) {
            self.displaced.push(self.bindings.remove(at).1);
        }
        self.bindings.push((database, keydir));
        self.rebound.push(database);
    }

    /// The databases that were bound since the last call.
    pub(super) fn take_rebound(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.rebound)
    }

    /// How many changes there were.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The keys that were changed after the first so many changes, in the order of their latest ones.
    pub(super) fn changed_since(&self, count: usize) -> Vec<(u32, Bytes)> {
        let pending = self.changes.values().flatten().filter(|(_, pending)| pending.order > count);
        let mut keys: Vec<_> = pending.map(|(key, pending)| (pending.order, pending.database, key)).collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, database, key)| (database, Bytes::copy_from_slice(key))).collect()
    }

    /// All pending changes of the keyspace with this id.
    pub(super) fn changes_of(&self, keyspace: u32) -> impl Iterator<Item = (&[u8], &Pending)> {
        self.changes.get(&keyspace).into_iter().flatten().map(|(key, pending)| (&key[..], pending))
    }

    /// Gives up everything but the batch.
    pub(super) fn take(&mut self) -> Effects {
        let mut changes: Vec<KeyChange> = std::mem::take(&mut self.changes).into_values().flatten().collect();
        // Whoever is told of them is told in this order.
        changes.sort_unstable_by_key(|(_, pending)| pending.order);
        Effects {
            changes,
            bindings: std::mem::take(&mut self.bindings),
            superseded: std::mem::take(&mut self.superseded),
            displaced: std::mem::take(&mut self.displaced),
        }
    }
}
