//! A collection that is read, in either form.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::super::access::{Access, Halt, NOWHERE, Source};
use super::super::cold::Cold;
use super::super::entry::Cached;
use super::super::keydir::Slot;
use super::elements::{Elements, Name, Seen};
use super::object::{Inner, Object};
use crate::store::{Location, ReadError};
use crate::types::kind::{Kind, Type};
use crate::types::packed::{Packed, Shape};

/// How many values that are only on the disk are asked for together at first.
const COLD_TOGETHER_MIN: usize = 4096;

/// The value of a key as it was found.
pub(super) struct Found {
    pub(super) form: Form,
    pub(super) kind: u8,
    pub(super) expiry: Option<u64>,
}

#[derive(Clone)]
pub(super) enum Form {
    Packed(Bytes),
    Large(Arc<Object>),
}

/// What is looked for of each element.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Names,
    Values,
}

/// One element, lent to whoever asked.
#[derive(Clone, Copy)]
pub(super) struct Lent<'a> {
    pub(super) name: &'a [u8],
    /// Empty where it was not wanted.
    pub(super) value: &'a [u8],
    pub(super) shared: Option<&'a Bytes>,
    pub(super) score: f64,
    pub(super) expiry: Option<u64>,
}

/// Values that had to be read, by where they stand.
type Fetched = HashMap<Location, Bytes>;

pub(super) fn shape_of(of: Type) -> Shape {
    match of {
        Type::Hash => Shape::Fields,
        Type::ZSet => Shape::Scores,
        Type::Set | Type::List | Type::String | Type::Unknown => Shape::Members,
    }
}

/// A large collection that was looked up, and that nothing can have taken from its key since, as the latch is still held.
pub(in crate::keyspace) struct Known {
    key: SmallVec<[u8; 32]>,
    slot: Slot,
    object: Arc<Object>,
    kind: u8,
    expiry: Option<u64>,
}

impl Known {
    /// Where its key stands, if that is this one.
    #[inline]
    pub(in crate::keyspace) fn slot_of(&self, key: &[u8]) -> Option<Slot> {
        (self.key[..] == *key).then_some(self.slot)
    }
}

impl Access<'_> {
    /// The collection that an earlier command of the same pipeline has looked up.
    fn known(&mut self, key: &[u8], of: Type) -> Option<Found> {
        // Of a hash that has lost its last field by a deadline, the key has to be removed first.
        if self.overlay().is_some() || self.keyspace().bound.objects.have_deadlines() {
            return None;
        }
        let (now, known) = (self.now(), self.known.as_ref()?);
        let is_same = &known.key[..] == key && Kind(known.kind).of() == of;
        if !is_same || known.expiry.is_some_and(|deadline| deadline <= now) || known.object.is_damaged() {
            return None;
        }
        let found = Found { form: Form::Large(known.object.clone()), kind: known.kind, expiry: known.expiry };
        self.found_again(key);
        Some(found)
    }

    /// The value of `key`, which must be of this type.
    pub(super) fn collection(&mut self, key: &[u8], of: Type) -> Result<Option<Found>, Halt> {
        if let Some(found) = self.known(key, of) {
            return Ok(Some(found));
        }
        let found = self.view(key, |view| {
            if Kind(view.kind).of() != of {
                return Err(Halt::WrongType);
            }
            let packed = match view.object {
                Some(_) => Bytes::new(),
                None => view.shared.cloned().unwrap_or_else(|| Bytes::copy_from_slice(view.value)),
            };
            Ok((packed, view.object, view.kind, view.expiry))
        })?;
        let Some((packed, object, kind, expiry)) = found.transpose()? else { return Ok(None) };
        let form = match object {
            None => Form::Packed(packed),
            Some(id) => {
                let object = self.keyspace().bound.objects.get(id).ok_or(Halt::Damaged)?;
                if object.is_damaged() {
                    return Err(Halt::Damaged);
                }
                if self.overlay().is_none() && self.holds_one() {
                    let (slot, key, object) = (self.slot(key), SmallVec::from_slice(key), object.clone());
                    self.known = Some(Known { key, slot, object, kind, expiry });
                }
                Form::Large(object)
            }
        };
        Ok(Some(Found { form, kind, expiry }))
    }
}

impl Found {
    pub(super) fn shape(&self) -> Shape {
        shape_of(Kind(self.kind).of())
    }

    pub(super) fn packed<'a>(&self, bytes: &'a Bytes) -> Packed<'a> {
        Packed::new(bytes, self.shape())
    }

    /// How many elements there are, fields whose time is over left out.
    pub(super) fn len(&self, now: u64) -> usize {
        match &self.form {
            Form::Packed(bytes) => self.packed(bytes).len(),
            Form::Large(object) => object.read(|inner| inner.elements.len() - inner.elements.due(now)),
        }
    }

    /// Whether there is an element of this name.
    pub(super) fn contains(&self, name: &[u8], now: u64) -> bool {
        match &self.form {
            Form::Packed(bytes) => self.packed(bytes).find(name).is_some(),
            Form::Large(object) => {
                object.read(|inner| inner.elements.get(name).is_some_and(|seen| is_alive(&seen, now)))
            }
        }
    }

    /// Lends the element of this name.
    pub(super) fn find<R>(
        &self,
        access: &mut Access<'_>,
        name: &[u8],
        wanted: Wanted,
        look: impl FnOnce(Lent<'_>) -> R,
    ) -> Result<Option<R>, Halt> {
        match &self.form {
            Form::Packed(bytes) => Ok(self.packed(bytes).find(name).map(|item| look(lent(&item)))),
            Form::Large(object) => access.find_in(object, name, wanted, look),
        }
    }

    /// Lends all elements in their order.
    pub(super) fn each(
        &self,
        access: &mut Access<'_>,
        wanted: Wanted,
        mut visit: impl FnMut(Lent<'_>),
    ) -> Result<(), Halt> {
        match &self.form {
            Form::Packed(bytes) => self.packed(bytes).iter().for_each(|item| visit(lent(&item))),
            Form::Large(object) => access.visit(object, wanted, &mut visit, |inner, each| inner.elements.each(each))?,
        }
        Ok(())
    }

    /// Lends elements from `cursor` on, at least `count` if there are so many; returns the cursor to go on with, 0 at the end.
    pub(super) fn scan(
        &self,
        access: &mut Access<'_>,
        cursor: u64,
        count: usize,
        wanted: Wanted,
        mut visit: impl FnMut(Lent<'_>),
    ) -> Result<u64, Halt> {
        match &self.form {
            Form::Packed(bytes) => {
                self.packed(bytes).iter().for_each(|item| visit(lent(&item)));
                Ok(0)
            }
            // As Redis answers of what it keeps as one block.
            Form::Large(_) if Kind(self.kind).is_one_block() => self.each(access, wanted, visit).map(|()| 0),
            Form::Large(object) => {
                let next = std::cell::Cell::new(0);
                access.visit(object, wanted, &mut visit, |inner, each| {
                    next.set(inner.elements.scan(cursor, count, each));
                })?;
                Ok(next.get())
            }
        }
    }

    /// The name of some element, each with the same chance.
    pub(super) fn any(&self, access: &Access<'_>) -> Option<Name> {
        const TRIES: usize = 128;
        let keyspace = access.keyspace();
        let now = access.now();
        match &self.form {
            Form::Packed(bytes) => {
                let packed = self.packed(bytes);
                let index = keyspace.random() as usize % packed.len().max(1);
                packed.iter().nth(index).map(|item| Name::from_slice(item.name))
            }
            Form::Large(object) => object.read(|inner| {
                for _ in 0..TRIES {
                    let seen = inner.elements.any(&mut || keyspace.random())?;
                    if is_alive(&seen, now) {
                        return Some(Name::from_slice(seen.name()));
                    }
                }
                // Nearly all of them are over.
                let mut alive: Vec<Name> = Vec::new();
                inner.elements.each(|seen| {
                    if is_alive(&seen, now) {
                        alive.push(Name::from_slice(seen.name()));
                    }
                });
                if alive.is_empty() { None } else { Some(alive.swap_remove(keyspace.random() as usize % alive.len())) }
            }),
        }
    }

    /// Lends the names of elements at random, so many times: each time any of them, with the same chance.
    pub(super) fn draw(&self, access: &Access<'_>, count: u64, mut visit: impl FnMut(&[u8])) {
        match &self.form {
            Form::Packed(bytes) => {
                let names: SmallVec<[&[u8]; 32]> = self.packed(bytes).iter().map(|item| item.name).collect();
                for _ in 0..if names.is_empty() { 0 } else { count } {
                    visit(names[access.keyspace().random() as usize % names.len()]);
                }
            }
            Form::Large(_) => {
                for _ in 0..count {
                    let Some(name) = self.any(access) else { break };
                    visit(&name);
                }
            }
        }
    }

    /// The names of `count` different elements, at random; all of them where there are no more.
    pub(super) fn sample(&self, access: &mut Access<'_>, count: usize) -> Result<Vec<Name>, Halt> {
        let now = access.now();
        let length = self.len(now);
        if count.saturating_mul(3) >= length {
            let mut names: Vec<Name> = Vec::with_capacity(length);
            self.each(access, Wanted::Names, |lent| {
                if lent.expiry.is_none_or(|deadline| deadline > now) {
                    names.push(Name::from_slice(lent.name));
                }
            })?;
            // Those that stay are chosen by a shuffle that ends when it has enough.
            let count = count.min(names.len());
            for index in 0..count {
                let other = index + access.keyspace().random() as usize % (names.len() - index);
                names.swap(index, other);
            }
            names.truncate(count);
            return Ok(names);
        }
        let mut chosen = std::collections::HashSet::with_capacity(count);
        let mut names = Vec::with_capacity(count);
        while names.len() < count {
            let Some(name) = self.any(access) else { break };
            if chosen.insert(name.clone()) {
                names.push(name);
            }
        }
        Ok(names)
    }
}

impl Access<'_> {
    /// Lends one element of a large collection.
    pub(super) fn find_in<R>(
        &mut self,
        object: &Arc<Object>,
        name: &[u8],
        wanted: Wanted,
        look: impl FnOnce(Lent<'_>) -> R,
    ) -> Result<Option<R>, Halt> {
        let now = self.now();
        let mut look = Some(look);
        loop {
            let met = object.read(|inner| match inner.elements.get(name) {
                None => Met::Nothing,
                Some(seen) if !is_alive(&seen, now) => Met::Hidden,
                Some(seen) => {
                    self.note_use(&seen, now);
                    meet(&seen, wanted, &mut look)
                }
            });
            match met {
                Met::Nothing => return Ok(None),
                Met::Hidden => {
                    self.prove_time();
                    return Ok(None);
                }
                Met::Done(result) => return Ok(Some(result)),
                Met::Damaged => return Err(Halt::Damaged),
                Met::Cold(location, expiry) => {
                    let mut cold = Vec::new();
                    if let Some(value) = self.fetch_element(object, name, location, &mut cold)? {
                        self.warm_element(object, name, location, &value);
                        let lent = Lent { name, value: &value, shared: Some(&value), score: 0.0, expiry };
                        return Ok(look.take().map(|look| look(lent)));
                    }
                    if !cold.is_empty() {
                        return Err(Halt::Cold(cold));
                    }
                    // Compaction has moved it since it was looked at.
                }
            }
        }
    }

    /// Lends those elements of a large collection that `walk` walks over.
    ///
    /// Values that are only on the disk are looked for in rounds, since all have to be at hand before the first is lent, and
    /// each round begins anew, for the elements may be others by then. A round asks for as many values as were found before it,
    /// and looks at no element behind them: so all rounds together look at little more than twice as many elements as there
    /// are, and what is asked for never takes more memory than what is at hand.
    pub(super) fn visit(
        &mut self,
        object: &Arc<Object>,
        wanted: Wanted,
        visit: &mut dyn FnMut(Lent<'_>),
        walk: impl Fn(&Inner, &mut dyn FnMut(Seen<'_>)),
    ) -> Result<(), Halt> {
        let now = self.now();
        let mut fetched = Fetched::new();
        loop {
            let (mut cold, mut hidden, mut damaged) = (Vec::new(), false, false);
            let most = COLD_TOGETHER_MIN.max(fetched.len()).max(self.pins.len() * 2);
            object.read(|inner| {
                if wanted == Wanted::Values && inner.sums.absent > 0 {
                    walk(inner, &mut |seen| {
                        if let Seen::Block(entry) = seen
                            && cold.len() < most
                        {
                            damaged |= entry.is_damaged();
                            let is_cold = matches!(entry.value(), Cached::Cold) && is_alive(&seen, now);
                            if is_cold && !fetched.contains_key(&seen.location()) {
                                cold.push((Name::from_slice(seen.name()), seen.location()));
                            }
                        }
                    });
                }
                if !cold.is_empty() || damaged {
                    return;
                }
                walk(inner, &mut |seen| {
                    if !is_alive(&seen, now) {
                        hidden = true;
                        return;
                    }
                    let (value, shared) = match seen.cached() {
                        Cached::Cold | Cached::Root(_) => {
                            let value = fetched.get(&seen.location());
                            (value.map_or(&[][..], |value| value), value)
                        }
                        Cached::Inline(value) => (value, None),
                        Cached::Shared(value) => (&value[..], Some(value)),
                    };
                    visit(Lent { name: seen.name(), value, shared, score: score_of(&seen), expiry: seen.expiry() });
                });
            });
            if damaged {
                return Err(Halt::Damaged);
            }
            if cold.is_empty() {
                if hidden {
                    self.prove_time();
                }
                return Ok(());
            }
            let mut missing = Vec::new();
            for (name, location) in cold {
                if let Some(value) = self.fetch_element(object, &name, location, &mut missing)? {
                    fetched.insert(location, value);
                }
            }
            if !missing.is_empty() {
                return Err(Halt::Cold(missing));
            }
        }
    }

    /// The value of an element that is only on the disk; none where it has moved meanwhile, or, with something added to
    /// `cold`, where the disk would have to be waited for.
    pub(super) fn fetch_element(
        &mut self,
        object: &Arc<Object>,
        name: &[u8],
        location: Location,
        cold: &mut Vec<Cold>,
    ) -> Result<Option<Bytes>, Halt> {
        if let Some(pinned) = self.pins.get(location).cloned() {
            self.came_from(Source::Disk);
            return pinned.map(Some).map_err(Halt::Unreadable);
        }
        let store = self.keyspace().store();
        let near = store.read_nowait(location, name);
        self.came_from(if matches!(near, Ok(Some(_))) { Source::PageCache } else { Source::Disk });
        let read = match near {
            Ok(None) if self.may_block => store.read(location, name).map(Some),
            other => other,
        };
        match read {
            Ok(Some(value)) => Ok(Some(value)),
            Ok(None) => {
                cold.push(Cold::element(object, name, location));
                Ok(None)
            }
            Err(ReadError::Gone(_)) if object.read(|inner| has_moved(inner, name, location)) => Ok(None),
            Err(ReadError::Damaged(_) | ReadError::Gone(_)) => {
                object.change_at(name, location, super::super::entry::Entry::set_damaged);
                Err(Halt::Damaged)
            }
            Err(ReadError::Io(error)) => Err(Halt::Unreadable(error.to_string())),
        }
    }

    /// Counts a use of a value in memory, unless that was done when it was read from the disk for this command.
    fn note_use(&self, seen: &Seen<'_>, now: u64) {
        if let Seen::Block(entry) = seen
            && self.touches
            && !matches!(entry.value(), Cached::Cold)
            && self.pins.get(entry.location()).is_none()
        {
            entry.touch((now / 1000) as u32);
        }
    }

    fn warm_element(&mut self, object: &Arc<Object>, name: &[u8], location: Location, value: &Bytes) {
        if self.touches {
            let (keyspace, now) = (self.keyspace(), (self.now() / 1000) as u32);
            keyspace.bound.objects.warm(object, name, location, value, keyspace.memory.room(), now);
        }
    }
}

enum Met<R> {
    Nothing,
    Hidden,
    Done(R),
    Damaged,
    Cold(Location, Option<u64>),
}

fn meet<R>(seen: &Seen<'_>, wanted: Wanted, look: &mut Option<impl FnOnce(Lent<'_>) -> R>) -> Met<R> {
    let (value, shared) = match seen {
        Seen::Block(entry) if entry.is_damaged() && wanted == Wanted::Values => return Met::Damaged,
        _ => match seen.cached() {
            Cached::Cold if wanted == Wanted::Values && matches!(seen, Seen::Block(_)) => {
                return Met::Cold(seen.location(), seen.expiry());
            }
            Cached::Cold | Cached::Root(_) => (&[][..], None),
            Cached::Inline(value) => (value, None),
            Cached::Shared(value) => (&value[..], Some(value)),
        },
    };
    let lent = Lent { name: seen.name(), value, shared, score: score_of(seen), expiry: seen.expiry() };
    look.take().map_or(Met::Nothing, |look| Met::Done(look(lent)))
}

fn lent<'a>(item: &crate::types::packed::Item<'a>) -> Lent<'a> {
    Lent { name: item.name, value: item.value, shared: None, score: item.score, expiry: None }
}

fn score_of(seen: &Seen<'_>) -> f64 {
    if let Seen::Member(member) = seen { member.score() } else { 0.0 }
}

pub(super) fn is_alive(seen: &Seen<'_>, now: u64) -> bool {
    seen.expiry().is_none_or(|deadline| deadline > now)
}

fn has_moved(inner: &Inner, name: &[u8], location: Location) -> bool {
    inner.elements.get(name).is_some_and(|seen| seen.location() != location && seen.location() != NOWHERE)
}

impl Elements {
    /// How many fields' time is over at `now`.
    pub(super) fn due(&self, now: u64) -> usize {
        if let Self::Hash(fields) = self { fields.due(now).count() } else { 0 }
    }

    fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(Seen<'_>)) -> u64 {
        match self {
            Self::Hash(fields) => fields.table.scan(cursor, count, |entry| visit(Seen::Block(entry))),
            Self::Set(table) => table.scan(cursor, count, |entry| visit(Seen::Block(entry))),
            Self::ZSet(scores) => scores.table.scan(cursor, count, |member| visit(Seen::Member(member))),
            Self::List(_) => 0,
        }
    }

    fn any(&self, random: &mut dyn FnMut() -> u64) -> Option<Seen<'_>> {
        match self {
            Self::Hash(fields) => fields.table.any(random).map(Seen::Block),
            Self::Set(table) => table.any(random).map(Seen::Block),
            Self::ZSet(scores) => scores.table.any(random).map(Seen::Member),
            Self::List(list) => list.get(random() as usize % list.len().max(1)).map(Seen::Block),
        }
    }
}
