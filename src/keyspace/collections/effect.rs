//! How changes of large collections get into the log, or are undone.
//!
//! Always true: an object that a command has changed is among the touched ones until its changes are in the log; what is
//! still there when the access goes is undone.

use std::sync::Arc;

use smallvec::SmallVec;

use super::super::Keyspace;
use super::super::access::{Access, Halt, Noted};
use super::super::entry::{Cached, Meta};
use super::super::keydir::{Before, Keydir, Slot};
use super::super::latch::{Held, Mode};
use super::super::overlay::State;
use super::super::watch::Change;
use super::found::Wanted;
use super::object::{Content, Logged, Object};
use crate::store::{Batch, Draft, Location, Op, Position};
use crate::types::kind::Type;

/// Fields whose time is over that are removed together at most: whoever waits for the key, or its elements, waits for so many.
const EXPIRED_TOGETHER_MAX: usize = 1024;

/// The objects that a command, or a transaction, has changed or made, and whose changes are not in the log.
pub(in crate::keyspace) struct Touched<'k> {
    keyspace: &'k Keyspace,
    objects: SmallVec<[Arc<Object>; 2]>,
}

impl<'k> Touched<'k> {
    pub(in crate::keyspace) fn new(keyspace: &'k Keyspace) -> Self {
        Self { keyspace, objects: SmallVec::new() }
    }

    pub(in crate::keyspace) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    fn add(&mut self, object: &Arc<Object>) {
        if !self.objects.iter().any(|touched| Arc::ptr_eq(touched, object)) {
            self.objects.push(object.clone());
        }
    }

    fn remove(&mut self, object: &Arc<Object>) {
        self.objects.retain(|touched| !Arc::ptr_eq(touched, object));
    }

    /// Adds the records of all changes to a batch.
    pub(in crate::keyspace) fn draft(&self, batch: &mut Batch) {
        self.objects.iter().for_each(|object| object.draft(batch));
    }

    /// The batch is in the log.
    pub(in crate::keyspace) fn settle(&mut self, batch: &Batch) -> SmallVec<[Arc<Object>; 2]> {
        let objects = std::mem::take(&mut self.objects);
        for object in &objects {
            object.settle(|record| batch.location(record), |location| self.keyspace.store.retire(location));
        }
        objects
    }
}

impl Drop for Touched<'_> {
    fn drop(&mut self) {
        for object in &self.objects {
            let before = object.earliest_deadline();
            object.undo(0);
            let objects = &self.keyspace.bound.objects;
            objects.changed(object, before);
            objects.let_go(object.id, &self.keyspace.store);
        }
    }
}

impl Access<'_> {
    /// Makes an object, which goes again unless it becomes the value of a key.
    pub(super) fn create_object(&mut self, of: Type) -> Arc<Object> {
        let keyspace = self.keyspace();
        let object = keyspace.bound.objects.create(of, &keyspace.hasher);
        self.touched.add(&object);
        object
    }

    /// Lets the changes of an object take effect, which is the value of `key`, or becomes it with this kind and expiry (`root`).
    pub(super) fn put_elements(
        &mut self,
        key: &[u8],
        object: &Arc<Object>,
        before: Option<u64>,
        root: Option<(u8, Option<u64>)>,
    ) -> Result<(), Halt> {
        let keyspace = self.keyspace();
        keyspace.bound.objects.changed(object, before);
        let slot = self.slot(key);
        if let Some((kind, expiry)) = root {
            self.touched.add(object);
            self.note_if_new(&slot, key);
            return self.put_root(key, object, kind, expiry);
        }
        if self.overlay().is_some() {
            self.touched.add(object);
            let (keydir, database) = (Arc::clone(self.keydir()), self.database());
            if let Some(overlay) = self.overlay_mut() {
                overlay.touch(&keydir, database, &slot, key);
            }
            return Ok(());
        }
        let end = if let Some(only) = object.only_change() {
            // What is refused is undone when this access goes.
            let appended = keyspace.store.append(&only.draft(object.id)).inspect_err(|_| self.touched.add(object))?;
            object.settle_only(appended.location, |location| keyspace.store.retire(location));
            appended.end
        } else {
            self.touched.add(object);
            let mut batch = Batch::new();
            object.draft(&mut batch);
            let end = self.append_drafted(object, &mut batch)?;
            object.settle(|record| batch.location(record), |location| keyspace.store.retire(location));
            end
        };
        self.touched.remove(object);
        self.changed(&slot, key, end, Change::Updated);
        Ok(())
    }

    /// One element of an object was changed together with its record, which is the value of `key` and has no other changes. The
    /// earliest deadline of any field was `deadline` before.
    pub(super) fn changed_at_once(&mut self, key: &[u8], object: &Object, deadline: Option<u64>, logged: &Logged) {
        let keyspace = self.keyspace();
        if let Some(location) = logged.before {
            keyspace.store.retire(location);
        }
        keyspace.bound.objects.deadline_changed(object.id, deadline, logged.deadline);
        let slot = self.slot(key);
        self.changed(&slot, key, logged.end, Change::Updated);
    }

    /// Makes an object the value of `key`, whatever that was.
    fn put_root(&mut self, key: &[u8], object: &Arc<Object>, kind: u8, expiry: Option<u64>) -> Result<(), Halt> {
        let keyspace = self.keyspace();
        let slot = self.slot(key);
        let (keydir, database) = (Arc::clone(self.keydir()), self.database());
        let id = Some(object.id);
        let draft = Draft { op: Op::Put, keyspace: keydir.id, kind, expiry, object: id, key, value: &[] };
        self.note_overlaid(expiry);
        if let Some(overlay) = self.overlay_mut() {
            let record = overlay.batch.push(&draft);
            let state = State::Present { kind, expiry, value: bytes::Bytes::new(), object: id, record };
            overlay.set(&keydir, database, &slot, key, state);
            return Ok(());
        }
        let mut batch = Batch::new();
        let root = batch.push(&draft);
        object.draft(&mut batch);
        let end = self.append_drafted(object, &mut batch)?;
        object.settle(|record| batch.location(record), |location| keyspace.store.retire(location));
        self.touched.remove(object);
        let meta = Meta { location: batch.location(root), kind, expiry };
        self.stored_as(&slot, key, &meta, Cached::Root(object.id), end);
        Ok(())
    }

    fn append_drafted(&mut self, object: &Object, batch: &mut Batch) -> Result<Position, Halt> {
        match self.keyspace().store.append_batch(batch) {
            Ok(appended) => Ok(appended.end),
            Err(refused) => {
                object.undraft();
                Err(refused.into())
            }
        }
    }

    /// Removes the fields of a hash whose time is over.
    pub(super) fn expire_fields(&mut self, key: &[u8], object: &Arc<Object>) {
        let now = self.now();
        if object.earliest_deadline().is_none_or(|deadline| deadline > now) || self.keeps_expired {
            return;
        }
        self.prove_time();
        let keyspace = self.keyspace();
        loop {
            let expired = keyspace.remove_expired_fields(object, now, EXPIRED_TOGETHER_MAX);
            if !expired.is_empty() {
                self.note(Noted::FieldsExpired, key);
            }
            if expired.len() < EXPIRED_TOGETHER_MAX {
                return;
            }
        }
    }

    /// Whether a key's value is a hash of which nothing is left, since the time of all of its fields is over.
    pub(in crate::keyspace) fn is_over(&self, object: Option<u64>) -> bool {
        let objects = &self.keyspace().bound.objects;
        let object = object.filter(|_| objects.have_deadlines()).and_then(|id| objects.get(id));
        object.is_some_and(|object| object.is_over(self.now()))
    }

    /// Removes a hash of which nothing is left. The latch may be shared: whoever comes first removes it.
    pub(in crate::keyspace) fn remove_over(&mut self, key: &[u8], object: u64) {
        self.prove_time();
        self.known = None;
        let (keyspace, slot) = (self.keyspace(), self.slot(key));
        if self.keeps_expired || self.has_pending(key) {
            return;
        }
        if let Some(end) = keyspace.remove_over(self.held(), self.database(), self.keydir(), &slot, key, object) {
            self.wait_for(end);
        }
    }

    /// Gives the value of `key` another name, whatever that was; returns false where there is no such key.
    ///
    /// # Errors
    /// As for any change; a small value is written once more, and has to be in memory.
    pub fn rename(&mut self, key: &[u8], new: &[u8]) -> Result<bool, Halt> {
        let Some(value) = self.value(key)? else { return Ok(false) };
        let object = value.object.and_then(|id| self.keyspace().bound.objects.get(id));
        match object {
            None => {
                self.delete(key)?;
                self.put(new, value.kind, &value.bytes, value.expiry)?;
            }
            Some(object) => {
                // Before its old key lets it go.
                self.touched.add(&object);
                self.delete(key)?;
                let slot = self.slot(new);
                self.note_if_new(&slot, new);
                self.put_root(new, &object, value.kind, value.expiry)?;
            }
        }
        Ok(true)
    }

    /// Gives `key` of the database that is looked at a copy of a value, whatever it was.
    pub fn put_copy(&mut self, key: &[u8], value: &super::super::Value) -> Result<(), Halt> {
        let Some(source) = value.object.and_then(|id| self.keyspace().bound.objects.get(id)) else {
            return self.put(key, value.kind, &value.bytes, value.expiry);
        };
        let copy = self.create_object(source.of);
        let before = copy.earliest_deadline();
        let wanted = if matches!(source.of, Type::Hash | Type::List) { Wanted::Values } else { Wanted::Names };
        let kind = value.kind;
        let mut add = |lent: super::found::Lent<'_>| {
            let content = match source.of {
                Type::ZSet => Content::Score(lent.score),
                _ => Content::Value(lent.value, lent.expiry),
            };
            let kind = if source.of == Type::List { super::listpack::kind_of(lent.value) } else { kind };
            copy.put(lent.name, kind, &content);
        };
        self.visit(&source, wanted, &mut add, |inner, each| inner.elements.each(each))?;
        let slot = self.slot(key);
        self.note_if_new(&slot, key);
        self.keyspace().bound.objects.changed(&copy, before);
        self.put_root(key, &copy, value.kind, value.expiry)
    }
}

impl Keyspace {
    /// Counts what a key was before as dead.
    pub(in crate::keyspace) fn let_go(&self, before: &Before) {
        self.store.retire(before.meta.location);
        if let Some(object) = before.object {
            self.bound.objects.unbind(object);
            self.bound.objects.let_go(object, &self.store);
        }
    }

    /// Removes fields of a hash whose time is over, which the log knows to have come; returns their names.
    pub(in crate::keyspace) fn remove_expired_fields(
        &self,
        object: &Arc<Object>,
        now: u64,
        at_most: usize,
    ) -> Vec<super::elements::Name> {
        let before = object.earliest_deadline();
        let expired = object.expire(now, at_most);
        self.bound.objects.changed(object, before);
        let retire = |location: Location| self.store.retire(location);
        expired
            .into_iter()
            .map(|(name, deadline, location)| {
                self.count_lags(deadline, 1, now);
                retire(location);
                name
            })
            .collect()
    }

    /// Removes fields whose time is over, some of each of up to `limit` hashes. Returns how many it looked at; where a hash has
    /// more of them, it was all.
    pub(in crate::keyspace) fn expire_due_fields(&self, now: u64, limit: usize) -> usize {
        let due = self.bound.objects.due(now, limit);
        let mut looked_at = due.len();
        for (deadline, id) in due {
            let Some(object) = self.bound.objects.get(id) else {
                self.bound.objects.forget_deadline(id, deadline);
                continue;
            };
            // One that is no key's value yet is looked at once it is.
            let Some((keydir, key)) = object.home() else { continue };
            let slot = Slot::of_key(&self.hasher, &key);
            let held = self.bound.latches.one(&slot, Mode::Exclusive);
            let place = self.bound.databases.iter().position(|database| database.load().id == keydir);
            let is_there = object.home().is_some_and(|home| home == (keydir, key.clone()));
            // One that is on its way to another key, or is no key's value any more, is looked at in the next round.
            let Some(database) = place.filter(|_| is_there) else { continue };
            if self.expire_fields_of(&held, database as u32, &slot, &key, &object, now) {
                looked_at = limit;
            }
        }
        looked_at
    }

    /// Removes fields of one hash whose time is over, as many as one latch is held for. Returns whether there may be more.
    fn expire_fields_of(
        &self,
        held: &Held<'_>,
        database: u32,
        slot: &Slot,
        key: &[u8],
        object: &Arc<Object>,
        now: u64,
    ) -> bool {
        let end = self.prove_time(held, slot, now);
        if object.is_over(now) {
            let keydir = self.bound.databases[database as usize].load();
            self.remove_over(held, database, &keydir, slot, key, object.id);
            return false;
        }
        let expired = self.remove_expired_fields(object, now, EXPIRED_TOGETHER_MAX).len();
        if expired > 0 {
            self.watchers.changed(database, key, Change::Updated);
            self.watchers.fields_expired(database, key, false, end.unwrap_or(0));
        }
        expired == EXPIRED_TOGETHER_MAX
    }

    /// Counts the fields of a hash as removed now, those after some as late as the last of them: it takes no longer for more.
    fn count_lags_of(&self, object: &Object) {
        let now = self.now();
        let deadlines = object.earliest_deadlines(EXPIRED_TOGETHER_MAX);
        deadlines.iter().for_each(|deadline| self.count_lags(*deadline, 1, now));
        let rest = object.len().saturating_sub(deadlines.len()) as u64;
        deadlines.last().into_iter().for_each(|deadline| self.count_lags(*deadline, rest, now));
    }

    /// Removes a hash of which nothing is left, which the log knows to have come, if nobody else did. Returns what to wait for.
    fn remove_over(
        &self,
        held: &Held<'_>,
        database: u32,
        keydir: &Keydir,
        slot: &Slot,
        key: &[u8],
        object: u64,
    ) -> Option<Position> {
        // What the key was before must stay hidden, though nothing is left of what hides it. A log that takes no more
        // records changes nothing about the time.
        let end = self.store.append(&Draft::delete(keydir.id, key)).ok()?.end;
        held.changed(slot.shard, end);
        let over = self.bound.objects.get(object);
        let before = keydir.remove_root(slot, key, object)?;
        over.into_iter().for_each(|object| self.count_lags_of(&object));
        self.let_go(&before);
        self.watchers.changed(database, key, Change::Deleted);
        self.watchers.fields_expired(database, key, true, end);
        Some(end)
    }
}
