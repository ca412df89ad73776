//! A key's value from one database to another, in the same time whatever its size.
//!
//! Always true: a value that moves is neither read nor written again: its record stays where it is, under the keyspace
//! it was written in, and one small record says where it belongs now; its entry goes over from keydir to keydir while
//! the key's latch, which is that of both, is held.

use std::collections::HashMap;
use std::sync::Arc;

use super::access::{Access, Halt};
use super::entry::Entry;
use super::keydir::Keydir;
use super::overlay::{KeyChange, State};
use super::watch::Change;
use crate::store::Draft;

impl Access<'_> {
    /// Moves `key` with its value and expiry to another database; returns whether it did: not if there is no such key,
    /// or the other database has one.
    pub fn move_to(&mut self, key: &[u8], to: u32) -> Result<bool, Halt> {
        let Some(meta) = self.meta(key) else { return Ok(false) };
        let (from, source) = (self.database(), Arc::clone(self.keydir()));
        self.select(to);
        let (is_there, target) = (self.exists(key), Arc::clone(self.keydir()));
        self.select(from);
        if is_there {
            return Ok(false);
        }
        // Before anybody can find the value where it was not put.
        self.keyspace().bound.note_move();
        let id = source.id.to_le_bytes();
        let draft = Draft::move_key(target.id, &id, meta.kind, key, meta.expiry);
        let slot = self.slot(key);
        if let Some(overlay) = self.overlay_mut() {
            overlay.batch.push(&draft);
            overlay.move_key(&(from, source), &(to, target), &slot, key, &meta);
            return Ok(true);
        }
        let keyspace = self.keyspace();
        let end = keyspace.store.append(&draft)?.end;
        if let Some(entry) = source.take_out(&slot, key) {
            if let Some(object) = entry.object() {
                keyspace.bound.objects.set_home(object, target.id, key);
            }
            let before = target.put_in(&slot, entry, meta.expiry);
            debug_assert!(before.is_none(), "the latch is held, and there was none");
        }
        self.held().changed(slot.shard, end);
        self.wait_for(end);
        keyspace.watchers.changed(from, key, Change::Deleted);
        keyspace.watchers.changed(to, key, Change::Created);
        self.tally.changes += 1;
        Ok(true)
    }
}

/// The entries that a transaction moves, by the id of the keydir they leave and their key.
pub(super) struct Leaving<'a>(HashMap<(u32, &'a [u8]), Option<Entry>>);

impl<'a> Leaving<'a> {
    /// Takes out all that moves. What else the transaction does to their keys comes after this: it would find in its place
    /// what belongs elsewhere.
    pub(super) fn take_out(changes: &'a [KeyChange]) -> Self {
        let mut leaving = HashMap::new();
        for (key, pending) in changes {
            if let State::Moved { source, .. } = &pending.state
                && let Some(entry) = source.take_out(&pending.slot, key)
            {
                leaving.insert((source.id, &key[..]), Some(entry));
            }
        }
        Self(leaving)
    }

    /// Whether `key` was in a keydir and has left it.
    pub(super) fn has_left(&self, keydir: &Keydir, key: &'a [u8]) -> bool {
        self.0.contains_key(&(keydir.id, key))
    }

    /// The entry of `key` that has left a keydir, for where it goes.
    pub(super) fn arrive(&mut self, source: &Keydir, key: &'a [u8]) -> Option<Entry> {
        self.0.get_mut(&(source.id, key)).and_then(Option::take)
    }
}
