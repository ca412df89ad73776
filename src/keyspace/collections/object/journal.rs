//! What a command that is not yet done has changed, and how that gets into the log or is undone.

use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

use super::super::super::access::NOWHERE;
use super::super::super::entry::{Cached, Entry};
use super::super::elements::{Element, Elements, Name, Seen};
use super::{Content, Inner, Object};
use crate::store::{Batch, Draft, Location};
use crate::types::kind::Kind;

/// What was done to one element.
pub(super) enum Change {
    Added(Name),
    Replaced(Element),
    Removed(Element),
}

impl Object {
    /// Puts an element in, or another value in its place; returns whether it is new.
    pub(in crate::keyspace::collections) fn put(&self, name: &[u8], kind: u8, content: &Content<'_>) -> bool {
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

    /// Puts an element into a list, before the one of this rank or at the end.
    pub(in crate::keyspace::collections) fn insert(&self, rank: usize, kind: u8, value: &[u8]) {
        let mut inner = self.inner.write();
        let name = inner.name_for(rank);
        inner.insert(rank, &name, kind, value, NOWHERE);
        inner.journal.push(Change::Added(name));
    }

    /// Removes an element; returns whether there was one.
    pub(in crate::keyspace::collections) fn remove(&self, name: &[u8]) -> bool {
        let mut inner = self.inner.write();
        let Some(before) = inner.take(name) else { return false };
        inner.journal.push(Change::Removed(before));
        true
    }

    /// Removes the elements of a list that have these ranks, which there must be.
    pub(in crate::keyspace::collections) fn remove_ranks(&self, ranks: Range<usize>) {
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

    /// Undoes all changes but the first so many.
    pub(in crate::keyspace::collections) fn undo(&self, mark: usize) {
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
    pub(in crate::keyspace::collections) fn draft(&self, batch: &mut Batch) {
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
    pub(in crate::keyspace::collections) fn undraft(&self) {
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
    pub(in crate::keyspace::collections) fn settle(
        &self,
        placed: impl Fn(usize) -> Location,
        mut retire: impl FnMut(Location),
    ) {
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
    pub(in crate::keyspace::collections) fn only_change(&self) -> Option<OnlyChange> {
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
    pub(in crate::keyspace::collections) fn settle_only(&self, location: Location, mut retire: impl FnMut(Location)) {
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
}

/// See [`Object::only_change`].
pub(in crate::keyspace::collections) struct OnlyChange {
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
    pub(in crate::keyspace::collections) fn draft(&self, object: u64) -> Draft<'_> {
        match &self.state {
            None => Draft::remove_element(object, &self.name),
            Some((kind, Value::Own(value), expiry)) => Draft::set_element(object, *kind, &self.name, value, *expiry),
            Some((kind, Value::Shared(value), expiry)) => Draft::set_element(object, *kind, &self.name, value, *expiry),
        }
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
