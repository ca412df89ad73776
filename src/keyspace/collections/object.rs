//! A large collection: its elements under an id that is never used again, and what a command that is not yet done has changed.
//!
//! Always true: elements change under the exclusive latch of the key whose value they are; what was changed stands in the
//! journal until its records are in the log, and is undone from there where they do not get there; an element without a
//! record in the log has its value in memory. The lock is held for moments, and never while the disk or another lock is
//! waited for, so that compaction and the memory's hand may come in between at any time.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::{RwLock, RwLockWriteGuard};
use smallvec::SmallVec;

use super::super::access::NOWHERE;
use super::super::entry::{Cached, Entry, Meta};
use super::super::hand::Step;
use super::super::shapes::Cursor;
use super::elements::{Element, Elements, Name, Seen};
use super::listpack::weight_of;
use super::member::Member;
use super::position::name_between;
use crate::store::{Batch, Draft, KeyHasher, Location, Look};
use crate::types::kind::{Kind, Type};

/// Elements are not found by the fragment of a hash, as keys are.
const NO_FRAGMENT: u16 = 0;

/// See the module.
pub(in crate::keyspace) struct Object {
    pub(in crate::keyspace) id: u64,
    pub(super) of: Type,
    hasher: KeyHasher,
    inner: RwLock<Inner>,
    /// A field has had a deadline: only then is any looked for.
    has_deadlines: AtomicBool,
    /// The bytes that are counted for it among those of all objects.
    counted: AtomicUsize,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("id", &self.id).field("of", &self.of).finish_non_exhaustive()
    }
}

pub(super) struct Inner {
    pub(super) elements: Elements,
    journal: Vec<Change>,
    pub(super) sums: Sums,
    /// One of the elements cannot be told.
    damaged: bool,
    /// It was taken apart, and takes no memory that counts.
    dissolved: bool,
    /// Where the key is whose value this is: the id of its keydir, and its name.
    home: Option<(u32, Box<[u8]>)>,
}

/// What all elements come to.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Bytes of their blocks.
    block_bytes: usize,
    /// Values that are in memory, of which some may be empty, and their bytes.
    values: usize,
    value_bytes: usize,
    /// How many have values that are not at hand: they are only on the disk, or damaged.
    pub(super) absent: usize,
    /// Of a list: the bytes they would take in a listpack.
    pub(super) weight: usize,
}

/// What a collection is before more of it is changed.
pub(super) struct Mark {
    /// Changes in the journal.
    pub(super) changes: usize,
    pub(super) elements: usize,
    /// The earliest of any field.
    pub(super) deadline: Option<u64>,
}

/// What was done to one element.
enum Change {
    Added(Name),
    Replaced(Element),
    Removed(Element),
}

/// The value of an element that is put in.
pub(super) enum Content<'a> {
    /// A field's, with its deadline, or a list element's; a member of a set has an empty one.
    Value(&'a [u8], Option<u64>),
    /// A member's of a sorted set.
    Score(f64),
}

impl Object {
    pub(super) fn new(id: u64, of: Type, hasher: &KeyHasher) -> Self {
        let inner = Inner {
            elements: Elements::new(of, hasher),
            journal: Vec::new(),
            sums: Sums::default(),
            damaged: false,
            dissolved: false,
            home: None,
        };
        Self {
            id,
            of,
            hasher: hasher.clone(),
            inner: RwLock::new(inner),
            has_deadlines: AtomicBool::new(false),
            counted: AtomicUsize::new(0),
        }
    }

    /// Looks at the elements.
    pub(super) fn read<R>(&self, look: impl FnOnce(&Inner) -> R) -> R {
        // Two looks at one object may overlap: who reads waits for nobody who is only about to write.
        look(&self.inner.read_recursive())
    }

    pub(super) fn len(&self) -> usize {
        self.read(|inner| inner.elements.len())
    }

    /// Has the elements whose names have these hashes brought near the processor.
    pub(in crate::keyspace) fn prefetch(&self, hashes: impl Iterator<Item = u64>) {
        self.read(|inner| inner.elements.prefetch(hashes));
    }

    /// Bytes of memory it takes.
    pub(in crate::keyspace) fn bytes(&self) -> usize {
        self.read(|inner| inner.bytes())
    }

    /// Counts its bytes among those of all objects, and returns the earliest deadline of any field. Under the lock: whoever
    /// else counts them sees the same elements.
    pub(super) fn count_in(&self, all: &AtomicUsize) -> Option<u64> {
        self.read(|inner| {
            self.count_as(inner.bytes(), all);
            inner.earliest_deadline()
        })
    }

    /// Counts it as so many bytes among those of all objects.
    pub(super) fn count_as(&self, bytes: usize, all: &AtomicUsize) {
        let before = self.counted.swap(bytes, Relaxed);
        all.fetch_add(bytes.wrapping_sub(before), Relaxed);
    }

    /// What is the case before more is changed.
    pub(super) fn mark(&self) -> Mark {
        self.read(|inner| Mark {
            changes: inner.journal.len(),
            elements: inner.elements.len(),
            deadline: inner.earliest_deadline(),
        })
    }

    /// Puts an element in, or another value in its place; returns whether it is new.
    pub(super) fn put(&self, name: &[u8], kind: u8, content: &Content<'_>) -> bool {
        let element = self.element(name, kind, content, NOWHERE);
        let mut inner = self.inner.write();
        match inner.put(element) {
            Some(before) => {
                inner.journal.push(Change::Replaced(before));
                false
            }
            None => {
                inner.journal.push(Change::Added(Name::from_slice(name)));
                true
            }
        }
    }

    /// The same, of an element whose record is in the log already. Returns where the one is that it takes the place of.
    pub(super) fn put_logged(
        &self,
        name: &[u8],
        kind: u8,
        content: &Content<'_>,
        location: Location,
    ) -> Option<Location> {
        if let Content::Value(value, None) = *content
            && let Some(before) = self.inner.write().replace(name, kind, value, location)
        {
            return Some(before);
        }
        let element = self.element(name, kind, content, location);
        self.inner.write().put(element).map(|before| before.location())
    }

    fn element(&self, name: &[u8], kind: u8, content: &Content<'_>, location: Location) -> Element {
        match *content {
            Content::Value(value, expiry) => {
                self.note_deadline(expiry);
                let meta = Meta { location, kind, expiry };
                let mut shared = None;
                let cached = if self.of == Type::Set { Cached::Cold } else { Cached::hot(value, &mut shared) };
                Element::Block(Entry::new(NO_FRAGMENT, name, &meta, cached))
            }
            Content::Score(score) => Element::Member(Member::new(name, score, location)),
        }
    }

    /// Puts an element into a list, before the one of this rank or at the end.
    pub(super) fn insert(&self, rank: usize, kind: u8, value: &[u8]) {
        let name = self.name_for(rank);
        let mut inner = self.inner.write();
        inner.insert(rank, &name, kind, value, NOWHERE);
        inner.journal.push(Change::Added(name));
    }

    /// The same, of an element whose record is in the log already, with the name it has there.
    pub(super) fn insert_logged(&self, rank: usize, name: &[u8], kind: u8, value: &[u8], location: Location) {
        self.inner.write().insert(rank, name, kind, value, location);
    }

    /// The name of an element that is put into a list before the one of this rank, or at the end.
    pub(super) fn name_for(&self, rank: usize) -> Name {
        self.read(|inner| {
            let Elements::List(list) = &inner.elements else { return Name::new() };
            let before = rank.checked_sub(1).and_then(|rank| list.get(rank));
            name_between(before.map(Entry::key), list.get(rank).map(Entry::key))
        })
    }

    /// Removes an element; returns whether there was one.
    pub(super) fn remove(&self, name: &[u8]) -> bool {
        let mut inner = self.inner.write();
        let Some(before) = inner.take(name) else { return false };
        inner.journal.push(Change::Removed(before));
        true
    }

    /// Removes the elements of a list that have these ranks, which there must be.
    pub(super) fn remove_ranks(&self, ranks: Range<usize>) {
        let mut inner = self.inner.write();
        let Inner { elements: Elements::List(list), journal, sums, .. } = &mut *inner else { return };
        let mut gone = |entry: Entry| {
            sums.remove(Seen::Block(&entry));
            journal.push(Change::Removed(Element::Block(entry)));
        };
        match ranks {
            Range { start: 0, end: 1 } => list.pop_front().into_iter().for_each(gone),
            Range { start, end } if start + 1 == end && end == list.len() => list.pop_back().into_iter().for_each(gone),
            ranks => list.remove_range(ranks, &mut gone),
        }
    }

    /// Removes the first or the last element of a list and lends its value to `look`, if that is in memory.
    pub(super) fn pop_hot<R>(&self, first: bool, look: impl FnOnce(&[u8], Option<&Bytes>) -> R) -> Option<R> {
        let mut inner = self.inner.write();
        let Inner { elements: Elements::List(list), journal, sums, .. } = &mut *inner else { return None };
        let seen = Seen::Block(if first { list.first() } else { list.last() }?);
        if seen.is_absent() {
            return None;
        }
        let entry = if first { list.pop_front() } else { list.pop_back() }?;
        sums.remove(Seen::Block(&entry));
        let shared = if let Cached::Shared(bytes) = entry.value() { Some(bytes) } else { None };
        let result = look(entry.value().bytes().unwrap_or_default(), shared);
        journal.push(Change::Removed(Element::Block(entry)));
        Some(result)
    }

    /// Undoes all changes but the first so many.
    pub(super) fn undo(&self, mark: usize) {
        let mut inner = self.inner.write();
        while inner.journal.len() > mark {
            match inner.journal.pop() {
                Some(Change::Added(name)) => _ = inner.take(&name),
                Some(Change::Replaced(element) | Change::Removed(element)) => _ = inner.put(element),
                None => break,
            }
        }
    }

    /// Adds the records of what was changed to a batch: the elements that are new or have another value as they are now, and
    /// those that are gone.
    pub(super) fn draft(&self, batch: &mut Batch) {
        let mut inner = self.inner.write();
        let journal = std::mem::take(&mut inner.journal);
        for change in &journal {
            let name = change.name();
            match inner.elements.get(name) {
                Some(seen) if is_undrafted(seen.location()) => {
                    let record = batch.push(&draft(self.id, &seen));
                    inner.elements.set_location(name, Location { offset: record as u32, ..NOWHERE });
                }
                Some(_) => {}
                None if change.was_logged() => _ = batch.push(&Draft::remove_element(self.id, name)),
                None => {}
            }
        }
        inner.journal = journal;
    }

    /// The records that were drafted did not get into the log.
    pub(super) fn undraft(&self) {
        let mut inner = self.inner.write();
        let journal = std::mem::take(&mut inner.journal);
        for change in &journal {
            let name = change.name();
            if inner.elements.get(name).is_some_and(|seen| seen.location().segment == NOWHERE.segment) {
                inner.elements.set_location(name, NOWHERE);
            }
        }
        inner.journal = journal;
    }

    /// The records are in the log, each where `placed` says; the places of those that they replace are told to `retire`.
    pub(super) fn settle(&self, placed: impl Fn(usize) -> Location, mut retire: impl FnMut(Location)) {
        let journal = {
            let mut inner = self.inner.write();
            let journal = std::mem::take(&mut inner.journal);
            for change in &journal {
                let name = change.name();
                let drafted = inner.elements.get(name).map(|seen| seen.location());
                if let Some(at) = drafted.filter(|at| at.segment == NOWHERE.segment) {
                    inner.elements.set_location(name, placed(at.offset as usize));
                }
            }
            journal
        };
        for change in &journal {
            if let Change::Replaced(element) | Change::Removed(element) = change
                && element.location().segment != NOWHERE.segment
            {
                retire(element.location());
            }
        }
    }

    /// The element that was changed as it is now, if it is one only: then no batch is needed.
    pub(super) fn only_change(&self) -> Option<OnlyChange> {
        let inner = self.inner.read_recursive();
        let [change] = &inner.journal[..] else { return None };
        let name = change.name();
        // One that was taken out, and nothing after that, is not there.
        let seen = if matches!(change, Change::Removed(_)) { None } else { inner.elements.get(name) };
        if seen.is_none() && !change.was_logged() {
            return None;
        }
        let state = seen.map(|seen| match seen {
            Seen::Block(entry) => {
                let value = match entry.value() {
                    Cached::Shared(bytes) => Value::Shared(bytes.clone()),
                    other => Value::Own(SmallVec::from_slice(other.bytes().unwrap_or_default())),
                };
                (entry.meta().kind, value, entry.expiry())
            }
            Seen::Member(member) => {
                (Kind::ZSET_SKIPLIST.0, Value::Own(SmallVec::from_slice(member.score_bytes())), None)
            }
        });
        Some(OnlyChange { name: Name::from_slice(name), state })
    }

    /// Says in the place of [`Object::settle`] where the record of the only change is.
    pub(super) fn settle_only(&self, location: Location, mut retire: impl FnMut(Location)) {
        let change = {
            let mut inner = self.inner.write();
            let Some(change) = inner.journal.pop() else { return };
            if !matches!(change, Change::Removed(_)) {
                inner.elements.set_location(change.name(), location);
            }
            change
        };
        if let Change::Replaced(element) | Change::Removed(element) = change
            && element.location().segment != NOWHERE.segment
        {
            retire(element.location());
        }
    }

    /// Removes the fields whose time is over at `now`; returns their names and where their records are. Nothing of it needs a
    /// record.
    pub(super) fn expire(&self, now: u64, at_most: usize) -> Vec<(Name, Location)> {
        let mut inner = self.inner.write();
        let Elements::Hash(fields) = &inner.elements else { return Vec::new() };
        let due: Vec<Name> = fields.due(now).take(at_most).map(Name::from_slice).collect();
        let mut expired = Vec::with_capacity(due.len());
        for name in due {
            if let Some(element) = inner.take(&name) {
                expired.push((name, element.location()));
            }
        }
        expired
    }

    /// The earliest deadline of any field.
    pub(super) fn earliest_deadline(&self) -> Option<u64> {
        if self.has_deadlines.load(Relaxed) { self.read(Inner::earliest_deadline) } else { None }
    }

    /// Whether it is a hash of which nothing is left, since the time of all of its fields is over at `now`.
    pub(in crate::keyspace) fn is_over(&self, now: u64) -> bool {
        self.has_deadlines.load(Relaxed)
            && self.read(|inner| match &inner.elements {
                Elements::Hash(fields) => fields.is_over(now),
                _ => false,
            })
    }

    /// What an element is, seen from one of its records: for compaction. In the middle of a command nothing is certain but
    /// what is where it was.
    pub(in crate::keyspace) fn look(&self, name: &[u8], at: Location) -> Look {
        self.read(|inner| match inner.elements.get(name) {
            Some(seen) if seen.location() == at => Look::Here,
            _ if !inner.journal.is_empty() => Look::Unsettled,
            Some(seen) => Look::Elsewhere(seen.expiry()),
            None => Look::Absent,
        })
    }

    /// Says that the record of an element at `from` is at `to` now; `false` if it is not at `from` any more.
    pub(in crate::keyspace) fn relocate(&self, name: &[u8], from: Location, to: Location) -> bool {
        let mut inner = self.inner.write();
        let is_there = inner.elements.get(name).is_some_and(|seen| seen.location() == from);
        if is_there {
            inner.elements.set_location(name, to);
        }
        is_there
    }

    /// Changes the block of the element with this name if its record is the one at `at`.
    pub(super) fn change_at(&self, name: &[u8], at: Location, change: impl FnOnce(&mut Entry)) {
        let mut inner = self.inner.write();
        let Inner { elements, sums, .. } = &mut *inner;
        if elements.get(name).is_some_and(|seen| seen.location() == at) {
            elements.change(name, |entry| {
                sums.remove(Seen::Block(entry));
                change(entry);
                sums.add(Seen::Block(entry));
            });
        }
    }

    /// Marks the record of an element as unreadable.
    pub(in crate::keyspace) fn set_damaged(&self, name: &[u8], at: Location) {
        self.change_at(name, at, Entry::set_damaged);
    }

    /// Lets the hand take a step, from where it has come to. Returns where it goes on, nothing at the end.
    pub(in crate::keyspace) fn sweep(&self, from: Cursor, step: &mut Step<'_>) -> Option<Cursor> {
        if self.read(|inner| inner.sums.values) == 0 {
            return None;
        }
        let mut inner = self.inner.write();
        let Inner { elements, sums, .. } = &mut *inner;
        let next = elements.sweep(from, step, sums);
        // The hand would have the lock again before whoever waits for it has woken up.
        RwLockWriteGuard::unlock_fair(inner);
        next
    }

    /// Bytes of memory that it takes without any values.
    pub(in crate::keyspace) fn bare_bytes(&self) -> usize {
        self.read(|inner| inner.bytes().saturating_sub(inner.sums.value_bytes))
    }

    /// Takes in an element as the log says it is; returns where the one was that it replaces.
    pub(in crate::keyspace) fn load(&self, name: &[u8], loaded: &Loaded<'_>) -> Option<Location> {
        self.note_deadline(loaded.expiry);
        let mut inner = self.inner.write();
        let element = match (self.of, loaded.value) {
            (Type::ZSet, Some(score)) => {
                let score = score.try_into().map_or(f64::NAN, f64::from_le_bytes);
                inner.damaged |= score.is_nan();
                Element::Member(Member::new(name, if score.is_nan() { 0.0 } else { score }, loaded.location))
            }
            (Type::ZSet, None) => {
                inner.damaged = true;
                Element::Member(Member::new(name, 0.0, loaded.location))
            }
            _ => {
                let meta = Meta { location: loaded.location, kind: loaded.kind, expiry: loaded.expiry };
                let cached = match loaded.value.filter(|_| self.of != Type::Set) {
                    Some(value) => Cached::Inline(value),
                    None => Cached::Cold,
                };
                let mut entry = Entry::new(NO_FRAGMENT, name, &meta, cached);
                if loaded.damaged {
                    entry.set_damaged();
                }
                Element::Block(entry)
            }
        };
        inner.put(element).map(|before| before.location())
    }

    /// Takes an element out as the log says; returns where it was.
    pub(in crate::keyspace) fn unload(&self, name: &[u8]) -> Option<Location> {
        self.inner.write().take(name).map(|element| element.location())
    }

    /// Whether one of the elements cannot be told.
    pub(super) fn is_damaged(&self) -> bool {
        // Only scores are told by their records alone.
        self.of == Type::ZSet && self.read(|inner| inner.damaged)
    }

    fn note_deadline(&self, expiry: Option<u64>) {
        if expiry.is_some() {
            self.has_deadlines.store(true, Relaxed);
        }
    }

    /// Takes all elements out, counts it no more among `all`, and tells where the records are.
    pub(in crate::keyspace) fn dissolve(&self, all: &AtomicUsize, mut retire: impl FnMut(Location)) {
        let elements = {
            let mut inner = self.inner.write();
            inner.dissolved = true;
            inner.journal.clear();
            inner.sums = Sums::default();
            std::mem::replace(&mut inner.elements, Elements::new(self.of, &self.hasher))
        };
        self.count_in(all);
        elements.each(|seen| {
            if seen.location().segment != NOWHERE.segment {
                retire(seen.location());
            }
        });
    }

    /// Visits where the records of all elements are.
    #[cfg(test)]
    pub(in crate::keyspace) fn each_location(&self, mut visit: impl FnMut(Location)) {
        self.read(|inner| inner.elements.each(|seen| visit(seen.location())));
    }

    /// Visits the blocks of all elements that have one.
    #[cfg(test)]
    pub(in crate::keyspace) fn each_block(&self, mut visit: impl FnMut(&Entry)) {
        self.read(|inner| {
            inner.elements.each(|seen| {
                if let Seen::Block(entry) = seen {
                    visit(entry);
                }
            });
        });
    }

    /// Whether what all elements come to is what they come to one by one.
    #[cfg(test)]
    pub(in crate::keyspace) fn is_counted_right(&self) -> bool {
        self.read(|inner| {
            let mut sums = Sums::default();
            inner.elements.each(|seen| sums.add(seen));
            sums == inner.sums
        })
    }

    pub(in crate::keyspace) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says whose value this is.
    pub(in crate::keyspace) fn set_home(&self, keydir: u32, key: &[u8]) {
        self.inner.write().home = Some((keydir, key.into()));
    }

    /// The id of the keydir and the key whose value this is.
    pub(in crate::keyspace) fn home(&self) -> Option<(u32, Box<[u8]>)> {
        self.read(|inner| inner.home.clone())
    }
}

/// An element as the log says it is.
pub(in crate::keyspace) struct Loaded<'a> {
    pub(in crate::keyspace) location: Location,
    pub(in crate::keyspace) kind: u8,
    pub(in crate::keyspace) expiry: Option<u64>,
    pub(in crate::keyspace) value: Option<&'a [u8]>,
    pub(in crate::keyspace) damaged: bool,
}

/// See [`Object::only_change`].
pub(super) struct OnlyChange {
    name: Name,
    /// Kind, value and deadline, unless it is gone.
    state: Option<(u8, Value, Option<u64>)>,
}

enum Value {
    Own(SmallVec<[u8; 128]>),
    Shared(Bytes),
}

impl OnlyChange {
    /// The record that tells of it.
    pub(super) fn draft(&self, object: u64) -> Draft<'_> {
        match &self.state {
            None => Draft::remove_element(object, &self.name),
            Some((kind, Value::Own(value), expiry)) => Draft::set_element(object, *kind, &self.name, value, *expiry),
            Some((kind, Value::Shared(value), expiry)) => Draft::set_element(object, *kind, &self.name, value, *expiry),
        }
    }
}

impl Inner {
    fn put(&mut self, element: Element) -> Option<Element> {
        self.sums.add(element.seen());
        let before = self.elements.put(element);
        if let Some(before) = &before {
            self.sums.remove(before.seen());
        }
        before
    }

    /// Gives a field without a deadline another value, in its block where that has the size; returns where its record was.
    fn replace(&mut self, name: &[u8], kind: u8, value: &[u8], location: Location) -> Option<Location> {
        let Self { elements: Elements::Hash(fields), sums, .. } = self else { return None };
        let entry = fields.table.get_mut(name).filter(|entry| entry.expiry().is_none())?;
        let before = entry.location();
        sums.remove(Seen::Block(entry));
        entry.replace(&Meta { location, kind, expiry: None }, Cached::hot(value, &mut None));
        sums.add(Seen::Block(entry));
        Some(before)
    }

    fn insert(&mut self, rank: usize, name: &[u8], kind: u8, value: &[u8], location: Location) {
        let Self { elements: Elements::List(list), sums, .. } = self else { return };
        let meta = Meta { location, kind, expiry: None };
        let entry = Entry::new(NO_FRAGMENT, name, &meta, Cached::hot(value, &mut None));
        sums.add(Seen::Block(&entry));
        list.insert(rank.min(list.len()), entry);
    }

    fn take(&mut self, name: &[u8]) -> Option<Element> {
        let element = self.elements.take(name)?;
        self.sums.remove(element.seen());
        Some(element)
    }

    /// The earliest deadline of any field.
    pub(super) fn earliest_deadline(&self) -> Option<u64> {
        if let Elements::Hash(fields) = &self.elements { fields.earliest() } else { None }
    }

    pub(super) fn bytes(&self) -> usize {
        // Whoever still has it, as the hand may, counts it once more: that must come to nothing.
        if self.dissolved { 0 } else { size_of::<Object>() + self.sums.block_bytes + self.elements.table_bytes() }
    }
}

impl Sums {
    pub(super) fn add(&mut self, seen: Seen<'_>) {
        self.block_bytes += seen.bytes();
        if let Some(value) = seen.cached().bytes() {
            self.values += 1;
            self.value_bytes += value.len();
        }
        self.absent += usize::from(seen.is_absent());
        self.weight += weight_of(seen);
    }

    pub(super) fn remove(&mut self, seen: Seen<'_>) {
        self.block_bytes -= seen.bytes();
        if let Some(value) = seen.cached().bytes() {
            self.values -= 1;
            self.value_bytes -= value.len();
        }
        self.absent -= usize::from(seen.is_absent());
        self.weight -= weight_of(seen);
    }
}

impl Change {
    fn name(&self) -> &[u8] {
        match self {
            Self::Added(name) => name,
            Self::Replaced(element) | Self::Removed(element) => element.name(),
        }
    }

    /// Whether the log has a record of what the element was before.
    fn was_logged(&self) -> bool {
        match self {
            Self::Added(_) => false,
            Self::Replaced(element) | Self::Removed(element) => element.location().segment != NOWHERE.segment,
        }
    }
}

/// Whether an element has no record, not even in a batch that is being put together.
fn is_undrafted(location: Location) -> bool {
    (location.segment, location.offset) == (NOWHERE.segment, NOWHERE.offset)
}

/// The record of an element as it is now.
fn draft<'a>(object: u64, seen: &Seen<'a>) -> Draft<'a> {
    match seen {
        Seen::Block(entry) => {
            let value = entry.value().bytes().unwrap_or_default();
            Draft::set_element(object, entry.meta().kind, entry.key(), value, entry.expiry())
        }
        Seen::Member(member) => {
            Draft::set_element(object, Kind::ZSET_SKIPLIST.0, member.name(), member.score_bytes(), None)
        }
    }
}
