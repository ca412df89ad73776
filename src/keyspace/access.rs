//! What one command, or one transaction, sees of the keyspace and does to it, under latches it holds.
//!
//! Always true: what is read is what the log says at this moment in its order; a command has no effect unless it is
//! done: a value that would have to be fetched from the disk ends it with [`Halt::Cold`] before anything changed. A
//! command on one key writes at most one record and takes effect at once; one on several keys, and a transaction,
//! collects its effects in an [`Overlay`], reads through it, and commits them as one batch, or drops them.

mod reading;

use std::sync::Arc;

use arc_swap::Guard;
use bytes::Bytes;

use super::cold::{Cold, Pins};
use super::collections::{Known, Touched};
use super::entry::{Cached, Meta};
use super::keydir::{Keydir, Slot};
use super::latch::{Held, Mode};
use super::overlay::{Overlay, State};
use super::watch::{Change, Watch};
use super::{Keyspace, Tally};
use crate::store::{Draft, Location, Op, Position, Refused};
use crate::types::kind::{Kind, Type};

/// The location of a value that is not in the log yet.
pub(super) const NOWHERE: Location = Location { segment: u32::MAX, offset: u32::MAX, length: 0 };

/// Why a command did not get done.
#[derive(Debug)]
pub enum Halt {
    /// These values have to be fetched from the disk first; then the command runs again.
    Cold(Vec<Cold>),
    /// The newest record of a key is damaged on the disk.
    Damaged,
    /// The disk failed a read.
    Unreadable(String),
    /// The log does not take the write.
    Refused(Refused),
    /// The value is of another type.
    WrongType,
}

impl From<Refused> for Halt {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// A value and what belongs to it, lent to the closure that asked.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The value's bytes.
    pub value: &'a [u8],
    /// The same as a shared buffer, where it is one: a reply can send it without copying.
    pub shared: Option<&'a Bytes>,
    /// The type and encoding byte.
    pub kind: u8,
    /// Deadline in milliseconds since the Unix epoch.
    pub expiry: Option<u64>,
    /// The object that has the elements, of a large collection.
    pub object: Option<u64>,
}

/// How recently a key's value was used, as far as the keydir knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Seconds since the last use; a value that is only on the disk has forgotten it: `None`.
    pub idle_seconds: Option<u32>,
    /// 0 to 3: how often it was used of late.
    pub uses: u8,
    /// Bytes of memory that the key takes.
    pub bytes: usize,
}

/// One command's or transaction's access: see the module.
pub struct Access<'k> {
    /// Goes before the latches.
    pub(super) touched: Touched<'k>,
    keyspace: &'k Keyspace,
    held: Held<'k>,
    /// The stripe of the only latch that is held, and how.
    only: Option<(usize, Mode)>,
    /// What was looked up last.
    pub(super) known: Option<Known>,
    database: u32,
    keydir: Guard<Arc<Keydir>>,
    overlay: Option<Box<Overlay>>,
    now: u64,
    wait: Position,
    /// Whether a cold value may be waited for right here.
    pub may_block: bool,
    /// Values that were fetched for this command before.
    pub pins: Pins,
    /// Whether reading a value counts as using it (not so for CLIENT NO-TOUCH and OBJECT).
    pub touches: bool,
    /// Whether look-ups count as hits and misses.
    pub counts: bool,
    /// What happened, for the statistics.
    pub tally: Tally,
    /// Whether what it changes is looked at before it takes effect (see [`Access::changes_since`]).
    pub is_followed: bool,
    /// Whether keys whose time is over stay, unseen: while clients are held back nothing changes.
    pub keeps_expired: bool,
    /// Whether keys that are new are noted.
    pub notes_new: bool,
    /// Whether keys are noted that a look-up that counts does not find.
    pub notes_misses: bool,
    noted: Vec<(Noted, u32, Bytes)>,
    /// From where the value came of the key that was counted last as found.
    source: Source,
}

/// From where a value came: each further away than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Memory,
    PageCache,
    Disk,
}

/// Something that happened to a key, for whoever is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It was not there before.
    New,
    /// It was looked for, and is not there.
    Miss,
    /// The time of some of its fields was over.
    FieldsExpired,
}

impl<'k> Access<'k> {
    pub(super) fn new(keyspace: &'k Keyspace, held: Held<'k>, database: u32, now: u64, batch: bool) -> Self {
        Self {
            touched: Touched::new(keyspace),
            keyspace,
            keydir: keyspace.bound.databases[database as usize].load(),
            overlay: batch.then(Box::default),
            wait: 0,
            may_block: false,
            pins: Pins::default(),
            touches: true,
            counts: false,
            tally: Tally::default(),
            is_followed: false,
            keeps_expired: false,
            notes_new: false,
            notes_misses: false,
            noted: Vec::new(),
            source: Source::Memory,
            only: None,
            known: None,
            held,
            database,
            now,
        }
    }

    pub(super) fn with_only(self, stripe: usize, mode: Mode) -> Self {
        Self { only: Some((stripe, mode)), ..self }
    }

    /// Whether the next command may go on with it that is about one key only, and may do in this mode what it does.
    pub fn covers(&self, database: u32, key: &[u8], mode: Mode) -> bool {
        let known = || self.known.as_ref().and_then(|known| known.slot_of(key));
        let stripe = || known().unwrap_or_else(|| Slot::of_key(&self.keyspace.hasher, key)).shard;
        self.database == database
            && self.only.is_some_and(|(at, held)| (held == mode || held == Mode::Exclusive) && at == stripe())
    }

    pub(super) fn holds_one(&self) -> bool {
        self.only.is_some()
    }

    /// A key was looked at that is known already.
    pub(super) fn found_again(&mut self, key: &[u8]) {
        if let Some((stripe, _)) = self.only {
            self.wait_for(self.held.last_change(stripe));
        }
        self.count(key, true);
        self.elements_came_back();
    }

    /// Whether it can be used by another command: nothing is left of this one, which is done.
    pub fn is_clean(&self) -> bool {
        self.only.is_some() && self.overlay.is_none() && !self.is_followed && self.touched.is_empty()
    }

    /// The same latch for the next command, which runs at `now`.
    pub fn renew(&mut self, now: u64) {
        (self.now, self.wait, self.tally) = (now, 0, Tally::default());
        self.source = Source::Memory;
        self.pins = Pins::default();
        self.noted.clear();
        self.may_block = false;
    }

    /// The keyspace this gives access to.
    pub fn keyspace(&self) -> &'k Keyspace {
        self.keyspace
    }

    /// The time this command runs at: milliseconds since the Unix epoch.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The number of the database that keys are looked up in.
    pub fn database(&self) -> u32 {
        self.database
    }

    /// Looks keys up in another database from now on; returns the old one's number.
    pub fn select(&mut self, database: u32) -> u32 {
        self.known = None;
        let old = std::mem::replace(&mut self.database, database);
        let bound = self.overlay.as_ref().and_then(|overlay| overlay.bound(database));
        self.keydir = match bound {
            Some(keydir) => Guard::from_inner(keydir),
            None => self.keyspace.bound.databases[database as usize].load(),
        };
        old
    }

    /// Lends the value of `key` to `look`; `None` where there is no such key.
    #[inline]
    pub fn view<R>(&mut self, key: &[u8], look: impl FnOnce(View<'_>) -> R) -> Result<Option<R>, Halt> {
        let slot = self.slot(key);
        if self.overlay.is_some() {
            return self.view_overlaid(&slot, key, look);
        }
        self.view_stored(&slot, key, None, None, look)
    }

    /// A copy of the value of `key`.
    pub fn value(&mut self, key: &[u8]) -> Result<Option<Value>, Halt> {
        self.view(key, |view| Value {
            bytes: view.shared.cloned().unwrap_or_else(|| Bytes::copy_from_slice(view.value)),
            kind: view.kind,
            expiry: view.expiry,
            object: view.object,
        })
    }

    /// Kind and expiry of `key`, which are always in memory.
    pub fn meta(&mut self, key: &[u8]) -> Option<Meta> {
        let slot = self.slot(key);
        let meta = self.meta_of(&slot, key);
        self.count(key, meta.is_some());
        if let (Some(_), true) = (meta, self.touches) {
            self.home(key).touch(&slot, key, self.now_seconds());
        }
        meta
    }

    /// Whether there is such a key.
    pub fn exists(&mut self, key: &[u8]) -> bool {
        self.meta(key).is_some()
    }

    /// How recently `key` was used, which this does not count as a use.
    pub fn usage(&mut self, key: &[u8]) -> Option<Usage> {
        let slot = self.slot(key);
        self.meta_of(&slot, key)?;
        let now = self.now_seconds();
        // What this transaction itself has set was used just now.
        let (last, uses, bytes) = self.home(key).usage(&slot, key).unwrap_or((Some(now), 1, key.len()));
        let pending = self.overlay.as_ref().and_then(|overlay| overlay.get(self.keydir.id, key));
        let object = match pending {
            Some(State::Present { object, .. }) => *object,
            _ => self.home(key).object(&slot, key),
        };
        let object = object.and_then(|id| self.keyspace.bound.objects.get(id));
        let bytes = bytes + object.map_or(0, |object| object.bytes());
        Some(Usage { idle_seconds: last.map(|last| now.saturating_sub(last)), uses, bytes })
    }

    /// What was noted of keys since the last call: what, the database, and the key.
    pub fn take_noted(&mut self) -> Vec<(Noted, u32, Bytes)> {
        std::mem::take(&mut self.noted)
    }

    /// Whether something was noted.
    pub fn has_noted(&self) -> bool {
        !self.noted.is_empty()
    }

    pub(super) fn note(&mut self, noted: Noted, key: &[u8]) {
        self.noted.push((noted, self.database, Bytes::copy_from_slice(key)));
    }

    /// Sets `key` to `value`, whatever it was, with this expiry or none.
    pub fn put(&mut self, key: &[u8], kind: u8, value: &[u8], expiry: Option<u64>) -> Result<(), Halt> {
        let slot = self.slot(key);
        self.note_if_new(&slot, key);
        let draft = Draft { op: Op::Put, keyspace: self.keydir.id, kind, expiry, object: None, key, value };
        self.note_overlaid(expiry);
        // Text grows by being set as well; of a collection, something was taken out.
        let may_shrink = Kind(kind).of() != Type::String;
        if self.overlay.is_some() {
            let shrinks = may_shrink && self.shrinks(&slot, &draft);
            let Some(overlay) = &mut self.overlay else { return Ok(()) };
            let record = if shrinks { overlay.batch.push_smaller(&draft) } else { overlay.batch.push(&draft) };
            let value = Bytes::copy_from_slice(value);
            let state = State::Present { kind, expiry, value, object: None, record };
            overlay.set(&self.keydir, self.database, &slot, key, state);
        } else {
            let appended = match self.keyspace.store.append(&draft) {
                Err(_) if may_shrink && self.shrinks(&slot, &draft) => self.keyspace.store.append_smaller(&draft)?,
                appended => appended?,
            };
            let meta = Meta { location: appended.location, kind, expiry };
            self.stored(&slot, key, &meta, value, appended.end);
        }
        Ok(())
    }

    /// Whether the record of a packed collection is shorter than the one whose place it takes.
    fn shrinks(&mut self, slot: &Slot, draft: &Draft<'_>) -> bool {
        let pending = self.overlay.as_ref().and_then(|overlay| overlay.get(self.keydir.id, draft.key));
        if let Some(State::Present { value, object: None, .. }) = pending {
            return draft.value.len() < value.len();
        }
        let before = self.meta_of(slot, draft.key).map_or(0, |meta| meta.location.length);
        draft.record_bytes().is_some_and(|bytes| bytes < before)
    }

    /// Notes that a key is about to be set that there was not before.
    pub(super) fn note_if_new(&mut self, slot: &Slot, key: &[u8]) {
        if self.notes_new && self.meta_of(slot, key).is_none() {
            self.note(Noted::New, key);
        }
    }

    /// Whether there is such a key, which this does not count as looked up.
    pub(super) fn exists_quietly(&mut self, key: &[u8]) -> bool {
        let slot = self.slot(key);
        self.meta_of(&slot, key).is_some()
    }

    /// Sets every key to its value, none of which expires, all or none of them. Where this is all that the command does,
    /// that is, outside a transaction, say so by `alone`: the effects then need no overlay to be read through.
    pub fn put_all<'a>(
        &mut self,
        pairs: impl Iterator<Item = (&'a [u8], u8, &'a [u8])> + Clone,
        alone: bool,
    ) -> Result<(), Halt> {
        if !alone || self.is_followed {
            return pairs.into_iter().try_for_each(|(key, kind, value)| self.put(key, kind, value, None));
        }
        let mut batch = self.overlay.take().map(|overlay| overlay.batch).unwrap_or_default();
        debug_assert!(batch.is_empty(), "a command that is alone has done nothing before");
        for (key, kind, value) in pairs.clone() {
            let keyspace = self.keydir.id;
            batch.push(&Draft { op: Op::Put, keyspace, kind, expiry: None, object: None, key, value });
        }
        let end = self.keyspace.store.append_batch(&mut batch)?.end;
        for (record, (key, kind, value)) in pairs.enumerate() {
            let slot = self.slot(key);
            let location = batch.location(record);
            self.stored(&slot, key, &Meta { location, kind, expiry: None }, value, end);
        }
        Ok(())
    }

    /// Deletes `key`; returns whether there was one.
    pub fn delete(&mut self, key: &[u8]) -> Result<bool, Halt> {
        self.known = None;
        let slot = self.slot(key);
        if self.meta_of(&slot, key).is_none() {
            return Ok(false);
        }
        let draft =
            Draft { op: Op::Delete, keyspace: self.keydir.id, kind: 0, expiry: None, object: None, key, value: &[] };
        if let Some(overlay) = &mut self.overlay {
            overlay.batch.push(&draft);
            overlay.set(&self.keydir, self.database, &slot, key, State::Gone);
            return Ok(true);
        }
        let appended = self.keyspace.store.append(&draft)?;
        if let Some(before) = self.keydir.remove_if(&slot, key, |_| true) {
            self.keyspace.let_go(&before);
        }
        self.changed(&slot, key, appended.end, Change::Deleted);
        Ok(true)
    }

    /// The id of the keyspace that the database is bound to.
    pub(super) fn keydir_id(&self) -> u32 {
        self.keydir.id
    }

    /// Gives `key` another expiry or none, without touching its value; returns whether there is such a key.
    pub fn set_expiry(&mut self, key: &[u8], expiry: Option<u64>) -> Result<bool, Halt> {
        self.known = None;
        let slot = self.slot(key);
        if self.meta_of(&slot, key).is_none() {
            return Ok(false);
        }
        let draft = Draft { op: Op::Expire, keyspace: self.keydir.id, kind: 0, expiry, object: None, key, value: &[] };
        self.note_overlaid(expiry);
        if let Some(overlay) = &mut self.overlay {
            overlay.batch.push(&draft);
            overlay.set_expiry(&self.keydir, self.database, &slot, key, expiry);
            return Ok(true);
        }
        let appended = self.keyspace.store.append(&draft)?;
        self.keydir.set_expiry(&slot, key, expiry);
        self.changed(&slot, key, appended.end, Change::Updated);
        Ok(true)
    }

    /// Begins to watch `key` for a transaction.
    pub fn watch(&mut self, key: &[u8], watch: &Arc<Watch>) {
        // A key that is expired already is removed now, so that its removal later is no change.
        let slot = self.slot(key);
        self.meta_of(&slot, key);
        self.keyspace.watchers.watch(self.database, key, watch);
    }

    /// Looks at `key` so that one whose time is over counts as changed.
    pub fn refresh(&mut self, key: &[u8]) {
        let slot = self.slot(key);
        self.meta_of(&slot, key);
    }

    /// Commits what the overlay collected (nothing without one). Returns the log position that a reply to this
    /// command has to wait for: that of what it wrote, and of what it read.
    pub fn commit(mut self) -> Result<(Position, Tally), Halt> {
        self.take_effect()
    }

    /// As [`Access::commit`]; the latches are held on until this goes, and nothing may be looked at or changed any more.
    pub fn take_effect(&mut self) -> Result<(Position, Tally), Halt> {
        if let Some(mut overlay) = self.overlay.take()
            && let Some(end) = self.keyspace.commit(&mut overlay, &mut self.touched, &self.held, self.now)?
        {
            self.wait_for(end);
        }
        Ok((self.wait, self.tally))
    }

    /// Drops what the overlay collected. What was read still has to be waited for.
    pub fn abandon(&self) -> (Position, Tally) {
        (self.wait, self.tally)
    }

    pub(super) fn wait_for(&mut self, position: Position) {
        self.wait = self.wait.max(position);
    }

    pub(super) fn held(&self) -> &Held<'k> {
        &self.held
    }

    pub(super) fn keydir(&self) -> &Arc<Keydir> {
        &self.keydir
    }

    pub(super) fn overlay(&self) -> Option<&Overlay> {
        self.overlay.as_deref()
    }

    pub(super) fn overlay_mut(&mut self) -> Option<&mut Overlay> {
        self.overlay.as_deref_mut()
    }

    fn now_seconds(&self) -> u32 {
        (self.now / 1000) as u32
    }

    /// The keydir that knows the value of `key`: not this database's own where this transaction has moved it here.
    fn home(&self, key: &[u8]) -> &Arc<Keydir> {
        match self.overlay.as_ref().and_then(|overlay| overlay.get(self.keydir.id, key)) {
            Some(State::Moved { source, .. }) => source,
            _ => &self.keydir,
        }
    }

    #[inline]
    pub(super) fn slot(&mut self, key: &[u8]) -> Slot {
        let known = self.known.as_ref().and_then(|known| known.slot_of(key));
        let slot = known.unwrap_or_else(|| Slot::of_key(&self.keyspace.hasher, key));
        let last_change = self.held.last_change(slot.shard);
        self.wait_for(last_change);
        slot
    }

    fn count(&mut self, key: &[u8], hit: bool) {
        if self.counts {
            if self.notes_misses && !hit {
                self.note(Noted::Miss, key);
            }
            self.tally.hits += u64::from(hit);
            self.tally.misses += u64::from(!hit);
            self.source = Source::Memory;
        }
    }

    /// Says from where a value came of the key that was counted last. A key counts as found where the furthest of its values
    /// was.
    pub(super) fn came_from(&mut self, source: Source) {
        if !self.counts || self.tally.hits == 0 || source <= self.source {
            return;
        }
        match std::mem::replace(&mut self.source, source) {
            Source::PageCache => self.tally.page_cache_hits -= 1,
            Source::Memory | Source::Disk => {}
        }
        match source {
            Source::PageCache => self.tally.page_cache_hits += 1,
            Source::Disk => self.tally.disk_hits += 1,
            Source::Memory => {}
        }
    }

    /// The key that was counted last is a large collection. If this command has waited for values, they are taken for its
    /// elements, which may be in memory by now: whose they are nobody has kept.
    fn elements_came_back(&mut self) {
        if self.pins.len() > 0 {
            self.came_from(Source::Disk);
        }
    }

    /// Makes a value that is in the log the key's.
    fn stored(&mut self, slot: &Slot, key: &[u8], meta: &Meta, value: &[u8], end: Position) {
        self.stored_as(slot, key, meta, Cached::hot(value, &mut None), end);
    }

    /// The same for a value in any form.
    pub(super) fn stored_as(&mut self, slot: &Slot, key: &[u8], meta: &Meta, value: Cached<'_>, end: Position) {
        self.known = None;
        if let Cached::Root(object) = value {
            self.keyspace.bound.objects.bind(object, self.keydir.id, key);
        }
        let before = self.keydir.upsert(slot, key, meta, value, self.now_seconds());
        if let Some(before) = &before {
            self.keyspace.let_go(before);
        }
        self.changed(slot, key, end, if before.is_some() { Change::Updated } else { Change::Created });
    }

    pub(super) fn changed(&mut self, slot: &Slot, key: &[u8], end: Position, change: Change) {
        self.held.changed(slot.shard, end);
        self.wait_for(end);
        self.keyspace.watchers.changed(self.database, key, change);
        self.tally.changes += 1;
    }

    fn meta_of(&mut self, slot: &Slot, key: &[u8]) -> Option<Meta> {
        let mut expiry_now = None;
        if let Some(overlay) = &self.overlay {
            match overlay.get(self.keydir.id, key) {
                Some(State::Gone) => return None,
                Some(State::Present { kind, expiry, object, .. }) => {
                    let meta = Meta { location: NOWHERE, kind: *kind, expiry: *expiry };
                    let is_there = !is_expired(&meta, self.now) && !self.is_over(*object);
                    return is_there.then_some(meta);
                }
                Some(State::Moved { source, kind, expiry }) => {
                    let meta = Meta { location: NOWHERE, kind: *kind, expiry: *expiry };
                    let is_hash = Kind(*kind).of() == Type::Hash;
                    let object = if is_hash { source.object(slot, key) } else { None };
                    let is_there = !is_expired(&meta, self.now) && !self.is_over(object);
                    return is_there.then_some(meta);
                }
                Some(&State::Expiry(expiry)) => expiry_now = Some(expiry),
                Some(State::Touched) | None => {}
            }
        }
        let Some(stored) = self.keydir.meta(slot, key) else {
            self.missing(slot);
            return None;
        };
        let meta = Meta { expiry: expiry_now.unwrap_or(stored.expiry), ..stored };
        if !is_expired(&meta, self.now) {
            if Kind(meta.kind).of() == Type::Hash
                && let Some(object) = self.keydir.object(slot, key)
                && self.is_over(Some(object))
            {
                self.remove_over(key, object);
                return None;
            }
            return Some(meta);
        }
        if expiry_now.is_none() {
            self.expire(slot, key, &stored);
        }
        None
    }

    /// Removes a key whose time is over. This writes no record: the log says when its time was over. But the log
    /// must know that the time has come, or a clock that steps back would bring the key back after a restart.
    fn expire(&mut self, slot: &Slot, key: &[u8], stored: &Meta) {
        self.known = None;
        let keyspace = self.keyspace;
        if self.keeps_expired {
            let end = keyspace.prove_time(&self.held, slot, self.now);
            return self.wait_for(end.unwrap_or(0));
        }
        let (end, removed) = keyspace.expired(&self.held, self.database, &self.keydir, slot, key, stored, self.now);
        self.wait_for(end.unwrap_or(0));
        self.tally.expired += u64::from(removed);
    }

    /// Sees to it that the log knows of the time before a transaction can find that a key it sets is over by then.
    pub(super) fn note_overlaid(&mut self, expiry: Option<u64>) {
        if self.overlay.is_some() && expiry.is_some_and(|deadline| deadline <= self.now) {
            self.prove_time();
        }
    }

    /// Notes that a key is not there: another reader may just have removed it, since its time was over.
    fn missing(&mut self, slot: &Slot) {
        let last_change = self.held.last_change(slot.shard);
        self.wait_for(last_change);
    }
}

/// A value of one's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The value's bytes.
    pub bytes: Bytes,
    /// The type and encoding byte.
    pub kind: u8,
    /// Deadline in milliseconds since the Unix epoch.
    pub expiry: Option<u64>,
    /// The object that has the elements, of a large collection; it has no bytes.
    pub object: Option<u64>,
}

pub(super) fn is_expired(meta: &Meta, now: u64) -> bool {
    meta.expiry.is_some_and(|deadline| deadline <= now)
}
