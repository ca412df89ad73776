//! One element that changes together with its record: there is nothing that would have to be undone.
//!
//! Always true: the record gets into the log under the lock, so that compaction, which may meet it at once, sees the elements
//! as the log has them. The log may do much before it takes a record in (go on in another segment, on a full disk
//! sync what it has); whoever holds the lock has the latch of the key too, for which others wait in the same way.

use bytes::Bytes;

use super::super::super::entry::{Cached, Entry, Meta};
use super::super::super::footprint::Footprints;
use super::super::elements::{Elements, Name, Seen};
use super::super::position::name_between;
use super::sums::weight_of;
use super::{Content, Inner, NO_FRAGMENT, Object};
use crate::store::{Draft, Location, Position, Refused, Store};
use crate::types::kind::Kind;

/// What such a change has come to.
pub(in crate::keyspace::collections) struct Logged {
    /// The position behind the record.
    pub(in crate::keyspace::collections) end: Position,
    /// Where the element's record was before.
    pub(in crate::keyspace::collections) before: Option<Location>,
    /// The earliest deadline of any field now.
    pub(in crate::keyspace::collections) deadline: Option<u64>,
}

impl Object {
    /// Puts an element in, or another value in its place. What all objects come to is `all`, here and below.
    pub(in crate::keyspace::collections) fn put_logged(
        &self,
        store: &Store,
        all: &Footprints,
        name: &[u8],
        kind: u8,
        content: &Content<'_>,
    ) -> Result<Logged, Refused> {
        let mut inner = self.inner.write();
        let appended = match *content {
            Content::Value(value, expiry) => store.append(&Draft::set_element(self.id, kind, name, value, expiry))?,
            Content::Score(score) => {
                let score = score.to_le_bytes();
                store.append(&Draft::set_element(self.id, Kind::ZSET_SKIPLIST.0, name, &score, None))?
            }
        };
        let replaced = match *content {
            Content::Value(value, None) => inner.replace(name, kind, value, appended.location),
            _ => None,
        };
        let before = replaced.or_else(|| {
            let element = self.element(name, kind, content, appended.location);
            inner.put(element).map(|before| before.location())
        });
        Ok(self.logged(&inner, all, appended.end, before))
    }

    /// Puts an element into a list, before the one of this rank or at the end.
    pub(in crate::keyspace::collections) fn insert_logged(
        &self,
        store: &Store,
        all: &Footprints,
        rank: usize,
        kind: u8,
        value: &[u8],
    ) -> Result<Logged, Refused> {
        let mut inner = self.inner.write();
        let name = inner.name_for(rank);
        let appended = store.append(&Draft::set_element(self.id, kind, &name, value, None))?;
        inner.insert(rank, &name, kind, value, appended.location);
        Ok(self.logged(&inner, all, appended.end, None))
    }

    /// Takes an element out; nothing where there is none, or no other.
    pub(in crate::keyspace::collections) fn remove_logged(
        &self,
        store: &Store,
        all: &Footprints,
        name: &[u8],
    ) -> Option<Result<Logged, Refused>> {
        let mut inner = self.inner.write();
        if inner.elements.len() < 2 || inner.elements.get(name).is_none() {
            return None;
        }
        let appended = match store.append(&Draft::remove_element(self.id, name)) {
            Ok(appended) => appended,
            Err(refused) => return Some(Err(refused)),
        };
        let before = inner.take(name).map(|element| element.location());
        Some(Ok(self.logged(&inner, all, appended.end, before)))
    }

    /// Takes the first or the last element out of a list and lends its value to `look`; nothing where that is not in memory, or
    /// what is left would weigh less than `weight_min`, or nothing.
    pub(in crate::keyspace::collections) fn pop_logged(
        &self,
        store: &Store,
        all: &Footprints,
        first: bool,
        weight_min: usize,
        look: impl FnOnce(&[u8], Option<&Bytes>),
    ) -> Option<Result<Logged, Refused>> {
        let mut inner = self.inner.write();
        let Inner { elements: Elements::List(list), sums, .. } = &mut *inner else { return None };
        let seen = Seen::Block(if first { list.first() } else { list.last() }?);
        if list.len() < 2 || seen.is_absent() || sums.weight - weight_of(seen) < weight_min {
            return None;
        }
        let appended = match store.append(&Draft::remove_element(self.id, seen.name())) {
            Ok(appended) => appended,
            Err(refused) => return Some(Err(refused)),
        };
        let entry = if first { list.pop_front() } else { list.pop_back() }?;
        sums.remove(Seen::Block(&entry));
        let shared = if let Cached::Shared(bytes) = entry.value() { Some(bytes) } else { None };
        look(entry.value().bytes().unwrap_or_default(), shared);
        Some(Ok(self.logged(&inner, all, appended.end, Some(entry.location()))))
    }

    fn logged(&self, inner: &Inner, all: &Footprints, end: Position, before: Option<Location>) -> Logged {
        self.count_as(inner.footprint(), all);
        Logged { end, before, deadline: inner.earliest_deadline() }
    }
}

impl Inner {
    /// The name of an element that is put into a list before the one of this rank, or at the end.
    pub(super) fn name_for(&self, rank: usize) -> Name {
        let Elements::List(list) = &self.elements else { return Name::new() };
        if rank == 0 {
            return name_between(None, list.first().map(Entry::key));
        }
        if rank >= list.len() {
            return name_between(list.last().map(Entry::key), None);
        }
        name_between(list.get(rank - 1).map(Entry::key), list.get(rank).map(Entry::key))
    }

    pub(super) fn insert(&mut self, rank: usize, name: &[u8], kind: u8, value: &[u8], location: Location) {
        let Self { elements: Elements::List(list), sums, .. } = self else { return };
        let meta = Meta { location, kind, expiry: None };
        let entry = Entry::new(NO_FRAGMENT, name, &meta, Cached::hot(value, &mut None));
        sums.add(Seen::Block(&entry));
        if rank == 0 {
            list.push_front(entry);
        } else if rank >= list.len() {
            list.push_back(entry);
        } else {
            list.insert(rank, entry);
        }
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
}
