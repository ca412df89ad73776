//! A collection as its records say, and what happens to it whatever commands do: compaction, the memory's hand, deadlines.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering::Relaxed;

use super::super::super::access::NOWHERE;
use super::super::super::entry::{Cached, Entry, Meta};
use super::super::super::footprint::Footprints;
use super::super::super::hand::Step;
use super::super::super::shapes::Cursor;
use super::super::elements::{Element, Elements, Name, Seen};
use super::super::member::Member;
use super::{Inner, NO_FRAGMENT, Object, Sums};
use crate::store::{Location, Look};
use crate::sync::RwLockWriteGuard;
use crate::types::kind::Type;

/// An element as the log says it is.
pub(in crate::keyspace) struct Loaded<'a> {
    pub(in crate::keyspace) location: Location,
    pub(in crate::keyspace) kind: u8,
    pub(in crate::keyspace) expiry: Option<u64>,
    pub(in crate::keyspace) value: Option<&'a [u8]>,
    pub(in crate::keyspace) damaged: bool,
}

impl Object {
    /// Takes in an element as the log says it is; returns where the one was that it replaces.
    pub(in crate::keyspace) fn load(&self, name: &[u8], loaded: &Loaded<'_>) -> Option<Location> {
        self.note_deadline(loaded.expiry);
        let mut inner = self.inner.write();
        let element = match (self.of, loaded.value) {
            (Type::ZSet, Some(score)) => {
                let score = score.try_into().map_or(f64::NAN, f64::from_le_bytes);
                // Only scores are told by their records alone.
                self.damaged.fetch_or(score.is_nan(), Relaxed);
                Element::Member(Member::new(name, if score.is_nan() { 0.0 } else { score }, loaded.location))
            }
            (Type::ZSet, None) => {
                self.damaged.store(true, Relaxed);
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
    pub(in crate::keyspace::collections) fn change_at(
        &self,
        name: &[u8],
        at: Location,
        change: impl FnOnce(&mut Entry),
    ) {
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

    /// Removes the fields whose time is over at `now`; returns their names, deadlines and where their records are. Nothing of it
    /// needs a record.
    pub(in crate::keyspace::collections) fn expire(&self, now: u64, at_most: usize) -> Vec<(Name, u64, Location)> {
        let mut inner = self.inner.write();
        let Elements::Hash(fields) = &inner.elements else { return Vec::new() };
        let due = fields.due(now).take(at_most).map(|(deadline, name)| (deadline, Name::from_slice(name)));
        let due: Vec<(u64, Name)> = due.collect();
        let mut expired = Vec::with_capacity(due.len());
        for (deadline, name) in due {
            if let Some(element) = inner.take(&name) {
                expired.push((name, deadline, element.location()));
            }
        }
        expired
    }

    /// The deadlines of the fields that have the earliest, in order.
    pub(in crate::keyspace::collections) fn earliest_deadlines(&self, at_most: usize) -> Vec<u64> {
        self.read(|inner| match &inner.elements {
            Elements::Hash(fields) => fields.due(u64::MAX).take(at_most).map(|(deadline, _)| deadline).collect(),
            _ => Vec::new(),
        })
    }

    /// Lets the hand take a step, from where it has come to. Returns where it goes on, nothing at the end.
    pub(in crate::keyspace) fn sweep(&self, from: Cursor, step: &mut Step<'_>) -> Option<Cursor> {
        if !self.has_values() {
            return None;
        }
        let mut inner = self.inner.write();
        let Inner { elements, sums, .. } = &mut *inner;
        let next = elements.sweep(from, step, sums);
        // The hand would have the lock again before whoever waits for it has woken up.
        RwLockWriteGuard::unlock_fair(inner);
        next
    }

    /// Visits the blocks whose values may leave memory, from where a walk has come to, until `visit` has had enough. Returns where
    /// it goes on, nothing at the end.
    pub(in crate::keyspace) fn walk(
        &self,
        from: Cursor,
        visit: impl FnMut(&Entry) -> ControlFlow<()>,
    ) -> Option<Cursor> {
        self.read(|inner| inner.elements.walk(from, visit))
    }

    /// Whether values of elements are in memory that may leave it.
    pub(in crate::keyspace) fn has_values(&self) -> bool {
        self.read(|inner| inner.sums.values) > 0
    }

    /// Takes all elements out, counts it no more among `all`, and tells where the records are.
    pub(in crate::keyspace) fn dissolve(&self, all: &Footprints, mut retire: impl FnMut(Location)) {
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
}
