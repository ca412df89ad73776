//! Lists: elements in the order they were put in, found by their rank.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::super::access::{Access, Halt};
use super::edit::{Edit, Edited};
use super::elements::{Elements, Name, Seen};
use super::found::{Form, Found, Lent, Wanted};
use super::listpack::{kind_of, length_of, weight};
use super::object::{Content, Object};
use crate::types::kind::{Kind, Type};
use crate::types::packed::Packed;

/// A list of more bytes, counted as Redis does, is what Redis keeps as a chain of blocks.
const LISTPACK_BYTES_MAX: usize = 8192;
/// Bytes of a listpack around its elements.
const LISTPACK_FRAME_BYTES: usize = 7;

/// The most bytes that an element takes in a listpack beyond its own.
const LISTPACK_OVERHEAD_MAX: usize = 10;

/// How many elements of a large list are compared before the caller is told what was found, at first and at most: values that
/// are only on the disk are fetched together.
const COMPARED_MIN: usize = 256;
/// See [`COMPARED_MIN`].
const COMPARED_MAX: usize = 1 << 16;

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where elements have the lowest ranks.
    Left,
    /// Where they have the highest.
    Right,
}

/// A list that is read.
pub struct List(Found);

/// A list that is changed; see [`ListEdit::finish`].
pub struct ListEdit<'a, 'k> {
    edit: Edit<'a, 'k>,
    /// Elements have gone: it may be what Redis keeps as one block again.
    has_shrunk: bool,
}

impl<'k> Access<'k> {
    /// The list at `key`, if there is one.
    ///
    /// # Errors
    /// When the value is of another type, or cannot be read.
    pub fn list(&mut self, key: &[u8]) -> Result<Option<List>, Halt> {
        Ok(self.collection(key, Type::List)?.map(List))
    }

    /// Begins to change the list at `key`; an empty one where there is none.
    ///
    /// # Errors
    /// As [`Access::list`].
    pub fn edit_list<'a>(&'a mut self, key: &'a [u8]) -> Result<ListEdit<'a, 'k>, Halt> {
        Ok(ListEdit { edit: Edit::begin(self, key, Kind::LIST_LISTPACK)?, has_shrunk: false })
    }

    /// Begins a new list that takes the place of whatever `key` is once it is finished.
    pub fn replace_list<'a>(&'a mut self, key: &'a [u8]) -> ListEdit<'a, 'k> {
        ListEdit { edit: Edit::replace(self, key, Kind::LIST_LISTPACK), has_shrunk: false }
    }
}

impl List {
    /// How many elements it has.
    pub fn len(&self, access: &Access<'_>) -> usize {
        self.0.len(access.now())
    }

    /// Lends the elements of these ranks to `visit`, from the last to the first with `reverse`.
    ///
    /// # Errors
    /// When a value cannot be read; `visit` has been called with nothing then.
    pub fn range(
        &self,
        access: &mut Access<'_>,
        ranks: Range<usize>,
        reverse: bool,
        mut visit: impl FnMut(&[u8], Option<&Bytes>),
    ) -> Result<(), Halt> {
        match &self.0.form {
            Form::Packed(bytes) => {
                range_in_packed(self.0.packed(bytes), ranks, reverse, &mut |value| visit(value, None));
                Ok(())
            }
            Form::Large(object) => range_in(access, object, ranks, reverse, &mut |lent| visit(lent.value, lent.shared)),
        }
    }

    /// Tells the ranks of the elements that are equal to `value`, of those in `ranks`, from the last to the first with
    /// `reverse`, until `found` says no. No value of another length is fetched.
    ///
    /// # Errors
    /// When a value cannot be read.
    pub fn find(
        &self,
        access: &mut Access<'_>,
        value: &[u8],
        ranks: Range<usize>,
        reverse: bool,
        mut found: impl FnMut(usize) -> bool,
    ) -> Result<(), Halt> {
        match &self.0.form {
            Form::Packed(bytes) => {
                find_in_packed(self.0.packed(bytes), value, ranks, reverse, &mut found);
                Ok(())
            }
            Form::Large(object) => find_in(access, object, value, ranks, reverse, &mut found),
        }
    }
}

impl ListEdit<'_, '_> {
    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.edit.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says that the next change is the only one, of one element, and that `finish` comes after it whatever happens: it may take effect
    /// at once then.
    pub fn alone(&mut self) {
        self.edit.alone();
    }

    /// Says that elements of so many bytes are about to be put in: what OBJECT ENCODING says follows from that.
    pub fn reserve(&mut self, bytes: usize) {
        if self.edit.kind != Kind::LIST_LISTPACK {
            return;
        }
        if let Some(packed) = self.edit.packed()
            && packed.bytes() + packed.len() * LISTPACK_OVERHEAD_MAX + LISTPACK_FRAME_BYTES + bytes
                <= LISTPACK_BYTES_MAX
        {
            return;
        }
        if self.listpack_bytes() + bytes > LISTPACK_BYTES_MAX {
            self.edit.kind = Kind::LIST_QUICKLIST;
        }
    }

    /// Puts an element in at an end.
    pub fn push(&mut self, end: End, value: &[u8]) {
        let place = match end {
            End::Left => 0,
            End::Right => self.len(),
        };
        self.insert(place, value);
    }

    /// Puts an element in before the one of this rank, or at the end.
    pub fn insert(&mut self, rank: usize, value: &[u8]) {
        if self.edit.is_full_with(value) {
            self.edit.unpack();
        }
        if self.edit.large().is_some() {
            return self.edit.insert(rank, kind_of(value), value);
        }
        let is_last = rank >= self.len();
        let place = if is_last { None } else { self.edit.place(rank).map(|at| at.start) };
        if let Some(pack) = self.edit.pack_mut() {
            pack.insert(place, value, &[], 0.0);
        }
    }

    /// Takes the element out that stands at an end, and lends its value to `look`; there must be one.
    ///
    /// # Errors
    /// When its value cannot be read.
    pub fn pop_to(&mut self, end: End, mut look: impl FnMut(&[u8], Option<&Bytes>)) -> Result<(), Halt> {
        // With less it is what Redis keeps as one block again.
        let weight_min = LISTPACK_BYTES_MAX / 2 + 1 - LISTPACK_FRAME_BYTES;
        if self.edit.pop_at_once(end == End::Left, weight_min, &mut look) {
            return Ok(());
        }
        let rank = if end == End::Left { 0 } else { self.len().saturating_sub(1) };
        self.range(rank..rank + 1, false, look)?;
        self.remove(rank..rank + 1);
        Ok(())
    }

    /// Takes the element out that stands at an end.
    ///
    /// # Errors
    /// When its value cannot be read.
    pub fn pop(&mut self, end: End) -> Result<Option<Bytes>, Halt> {
        let Some(last) = self.len().checked_sub(1) else { return Ok(None) };
        let rank = if end == End::Left { 0 } else { last };
        let value = self.get(rank)?;
        self.remove(rank..rank + 1);
        Ok(value)
    }

    /// As [`List::find`].
    ///
    /// # Errors
    /// As [`List::find`].
    pub fn find(
        &mut self,
        value: &[u8],
        ranks: Range<usize>,
        reverse: bool,
        mut found: impl FnMut(usize) -> bool,
    ) -> Result<(), Halt> {
        if let Some(packed) = self.edit.packed() {
            find_in_packed(packed, value, ranks, reverse, &mut found);
            return Ok(());
        }
        let Some(object) = self.edit.large().cloned() else { return Ok(()) };
        find_in(self.edit.access, &object, value, ranks, reverse, &mut found)
    }

    /// The element of this rank.
    ///
    /// # Errors
    /// When its value cannot be read.
    pub fn get(&mut self, rank: usize) -> Result<Option<Bytes>, Halt> {
        let mut value = None;
        self.range(rank..rank + 1, false, |bytes, shared| {
            value = Some(shared.cloned().unwrap_or_else(|| Bytes::copy_from_slice(bytes)));
        })?;
        Ok(value)
    }

    /// As [`List::range`].
    ///
    /// # Errors
    /// As [`List::range`].
    pub fn range(
        &mut self,
        ranks: Range<usize>,
        reverse: bool,
        mut visit: impl FnMut(&[u8], Option<&Bytes>),
    ) -> Result<(), Halt> {
        if let Some(packed) = self.edit.packed() {
            range_in_packed(packed, ranks, reverse, &mut |value| visit(value, None));
            return Ok(());
        }
        let Some(object) = self.edit.large().cloned() else { return Ok(()) };
        range_in(self.edit.access, &object, ranks, reverse, &mut |lent| visit(lent.value, lent.shared))
    }

    /// Gives the element of this rank another value; returns whether there is such an element.
    pub fn set(&mut self, rank: usize, value: &[u8]) -> bool {
        if rank >= self.len() {
            return false;
        }
        if self.edit.is_full_with(value) {
            self.edit.unpack();
        }
        let place = self.edit.place(rank);
        self.edit.note_change();
        self.has_shrunk = true;
        if let Some(object) = self.edit.large() {
            let name = name_at(object, rank);
            name.is_some_and(|name| !object.put(&name, kind_of(value), &Content::Value(value, None)))
        } else {
            match (self.edit.pack_mut(), place) {
                (Some(pack), Some(place)) => {
                    pack.replace(place, value, &[], 0.0);
                    true
                }
                _ => false,
            }
        }
    }

    /// Removes the elements of these ranks, as far as there are any.
    pub fn remove(&mut self, ranks: Range<usize>) {
        let ranks = ranks.start.min(self.len())..ranks.end.min(self.len());
        if ranks.is_empty() {
            return;
        }
        self.has_shrunk = true;
        self.edit.note_change();
        if let Some(object) = self.edit.large() {
            object.remove_ranks(ranks);
            return;
        }
        let count = u8::try_from(ranks.len()).unwrap_or(u8::MAX);
        let place = self.edit.packed().and_then(|packed| {
            let mut items = packed.iter().skip(ranks.start).take(ranks.len());
            let first = items.next()?.at;
            Some(first.start..items.last().map_or(first.end, |last| last.at.end))
        });
        if let (Some(place), Some(pack)) = (place, self.edit.pack_mut()) {
            pack.remove_some(place, count);
        }
    }

    /// Lets the changes take effect.
    ///
    /// # Errors
    /// When the log refuses them: nothing has changed then.
    pub fn finish(mut self) -> Result<Edited, Halt> {
        let is_chain = self.edit.kind == Kind::LIST_QUICKLIST;
        if self.has_shrunk && is_chain && self.listpack_bytes() <= LISTPACK_BYTES_MAX / 2 {
            self.edit.kind = Kind::LIST_LISTPACK;
        }
        self.edit.finish()
    }

    /// Bytes that Redis would need to keep it as one block.
    fn listpack_bytes(&self) -> usize {
        let elements = match (self.edit.packed(), self.edit.large()) {
            (Some(packed), _) => packed.iter().map(|item| weight(kind_of(item.name), item.name.len())).sum(),
            (None, Some(object)) => object.read(|inner| inner.sums.weight),
            (None, None) => 0,
        };
        LISTPACK_FRAME_BYTES + elements
    }
}

fn name_at(object: &Object, rank: usize) -> Option<Name> {
    object.read(|inner| match &inner.elements {
        Elements::List(list) => list.get(rank).map(|entry| Name::from_slice(entry.key())),
        _ => None,
    })
}

fn range_in(
    access: &mut Access<'_>,
    object: &Arc<Object>,
    ranks: Range<usize>,
    reverse: bool,
    visit: &mut dyn FnMut(Lent<'_>),
) -> Result<(), Halt> {
    access.visit(object, Wanted::Values, visit, |inner, each| {
        let Elements::List(list) = &inner.elements else { return };
        let ranks = ranks.start.min(list.len())..ranks.end.min(list.len());
        if ranks.len() == 1 {
            list.get(ranks.start).into_iter().for_each(|entry| each(Seen::Block(entry)));
        } else if reverse {
            list.range(ranks).rev().for_each(|entry| each(Seen::Block(entry)));
        } else {
            list.range(ranks).for_each(|entry| each(Seen::Block(entry)));
        }
    })
}

fn find_in(
    access: &mut Access<'_>,
    object: &Arc<Object>,
    value: &[u8],
    ranks: Range<usize>,
    reverse: bool,
    found: &mut dyn FnMut(usize) -> bool,
) -> Result<(), Halt> {
    let length = object.len();
    let (mut left, mut most) = (ranks.start.min(length)..ranks.end.min(length), COMPARED_MIN);
    while !left.is_empty() {
        let count = left.len().min(most);
        let ranks = if reverse { left.end - count..left.end } else { left.start..left.start + count };
        left = if reverse { left.start..ranks.start } else { ranks.end..left.end };
        // What was fetched is passed again in each run, which is to get further than the one before by as much.
        most = (most * 2).min(COMPARED_MAX.max(access.pins.len()));
        let candidates = RefCell::new(Vec::new());
        let mut is_equal = Vec::new();
        let mut compare = |lent: Lent<'_>| is_equal.push(lent.value == value);
        access.visit(object, Wanted::Values, &mut compare, |inner, each| {
            let Elements::List(list) = &inner.elements else { return };
            let mut candidates = candidates.borrow_mut();
            candidates.clear();
            for (rank, entry) in ranks.clone().zip(list.range(ranks.clone())) {
                if length_of(entry) == value.len() && entry.value().bytes().is_none_or(|bytes| bytes == value) {
                    candidates.push(rank);
                    each(Seen::Block(entry));
                }
            }
        })?;
        let candidates = candidates.into_inner();
        let equal = candidates.into_iter().zip(is_equal).filter(|(_, is_equal)| *is_equal).map(|(rank, _)| rank);
        let goes_on = if reverse { equal.rev().all(&mut *found) } else { { equal }.all(&mut *found) };
        if !goes_on {
            break;
        }
    }
    Ok(())
}

fn find_in_packed(
    packed: Packed<'_>,
    value: &[u8],
    ranks: Range<usize>,
    reverse: bool,
    found: &mut dyn FnMut(usize) -> bool,
) {
    let items = packed.iter().enumerate().skip(ranks.start).take(ranks.len());
    let mut equal = items.filter(|(_, item)| item.name == value).map(|(rank, _)| rank);
    if reverse {
        let equal: Vec<usize> = equal.collect();
        equal.into_iter().rev().all(found);
    } else {
        equal.all(found);
    }
}

fn range_in_packed(packed: Packed<'_>, ranks: Range<usize>, reverse: bool, visit: &mut dyn FnMut(&[u8])) {
    let items = packed.iter().skip(ranks.start).take(ranks.len());
    if reverse {
        let items: Vec<_> = items.collect();
        items.iter().rev().for_each(|item| visit(item.name));
    } else {
        items.for_each(|item| visit(item.name));
    }
}
