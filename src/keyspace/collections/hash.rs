//! Hashes: fields with values, some of which may have a deadline of their own.

use bytes::Bytes;

use super::super::access::{Access, Halt};
use super::edit::{Edit, Edited};
use super::elements::Name;
use super::found::{Form, Found, Wanted};
use super::object::Content;
use crate::types::kind::{Kind, Type};

/// A hash with more fields is what Redis keeps as a table.
const LISTPACK_FIELDS_MAX: usize = 512;
/// So is one with a longer field or value, in bytes.
const LISTPACK_BYTES_MAX: usize = 64;

/// A hash that is read.
pub struct Hash(Found);

/// A hash that is changed; see [`HashEdit::finish`].
pub struct HashEdit<'a, 'k>(Edit<'a, 'k>);

impl<'k> Access<'k> {
    /// The hash at `key`, if there is one.
    ///
    /// # Errors
    /// When the value is of another type, or cannot be read.
    pub fn hash(&mut self, key: &[u8]) -> Result<Option<Hash>, Halt> {
        Ok(self.collection(key, Type::Hash)?.map(Hash))
    }

    /// Begins to change the hash at `key`; an empty one where there is none.
    ///
    /// # Errors
    /// As [`Access::hash`].
    pub fn edit_hash<'a>(&'a mut self, key: &'a [u8]) -> Result<HashEdit<'a, 'k>, Halt> {
        Edit::begin(self, key, Kind::HASH_LISTPACK).map(HashEdit)
    }
}

impl Hash {
    /// How many fields it has.
    pub fn len(&self, access: &Access<'_>) -> usize {
        self.0.len(access.now())
    }

    /// Whether it has such a field.
    pub fn contains(&self, access: &Access<'_>, field: &[u8]) -> bool {
        self.0.contains(field, access.now())
    }

    /// Lends the value of a field to `look`, as bytes and, where it is one, as a shared buffer.
    ///
    /// # Errors
    /// When the value cannot be read.
    pub fn get<R>(
        &self,
        access: &mut Access<'_>,
        field: &[u8],
        look: impl FnOnce(&[u8], Option<&Bytes>) -> R,
    ) -> Result<Option<R>, Halt> {
        self.0.find(access, field, Wanted::Values, |lent| look(lent.value, lent.shared))
    }

    /// The deadline of a field, milliseconds since the Unix epoch; `None` where there is no such field.
    pub fn deadline(&self, access: &Access<'_>, field: &[u8]) -> Option<Option<u64>> {
        match &self.0.form {
            Form::Packed(bytes) => self.0.packed(bytes).find(field).map(|_| None),
            Form::Large(object) => object.read(|inner| {
                let expiry = inner.elements.get(field)?.expiry();
                expiry.is_none_or(|deadline| deadline > access.now()).then_some(expiry)
            }),
        }
    }

    /// Lends all fields, and with `values` their values, to `visit`.
    ///
    /// # Errors
    /// When a value cannot be read; `visit` has been called with nothing then.
    pub fn each(
        &self,
        access: &mut Access<'_>,
        values: bool,
        mut visit: impl FnMut(&[u8], &[u8], Option<&Bytes>),
    ) -> Result<(), Halt> {
        self.0.each(access, wanted(values), |lent| visit(lent.name, lent.value, lent.shared))
    }

    /// Lends fields from `cursor` on, at least `count` if there are so many; returns the cursor to go on with, 0 at the end.
    ///
    /// # Errors
    /// As [`Hash::each`].
    pub fn scan(
        &self,
        access: &mut Access<'_>,
        cursor: u64,
        count: usize,
        values: bool,
        mut visit: impl FnMut(&[u8], &[u8]),
    ) -> Result<u64, Halt> {
        self.0.scan(access, cursor, count, wanted(values), |lent| visit(lent.name, lent.value))
    }

    /// Some field, each with the same chance.
    pub fn any(&self, access: &Access<'_>) -> Option<Name> {
        self.0.any(access)
    }

    /// Lends fields at random, so many times: each time any of them, with the same chance.
    pub fn draw(&self, access: &Access<'_>, count: u64, visit: impl FnMut(&[u8])) {
        self.0.draw(access, count, visit);
    }

    /// So many different fields, at random; all where there are no more.
    ///
    /// # Errors
    /// As [`Hash::each`].
    pub fn sample(&self, access: &mut Access<'_>, count: usize) -> Result<Vec<Name>, Halt> {
        self.0.sample(access, count)
    }
}

impl HashEdit<'_, '_> {
    /// How many fields it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it has such a field.
    pub fn contains(&self, field: &[u8]) -> bool {
        self.0.contains(field)
    }

    /// Lends value and deadline of a field to `look`.
    ///
    /// # Errors
    /// When the value cannot be read.
    pub fn get<R>(&mut self, field: &[u8], look: impl FnOnce(&[u8], Option<u64>) -> R) -> Result<Option<R>, Halt> {
        self.0.find(field, Wanted::Values, |lent| look(lent.value, lent.expiry))
    }

    /// The deadline of a field; `None` where there is no such field.
    pub fn deadline(&mut self, field: &[u8]) -> Option<Option<u64>> {
        match self.0.large() {
            Some(object) => object.read(|inner| inner.elements.get(field).map(|seen| seen.expiry())),
            None => self.contains(field).then_some(None),
        }
    }

    /// Sees to it that the values of these fields are in memory, so that all that are not are fetched together.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn fetch<'f>(&mut self, fields: impl Iterator<Item = &'f [u8]>) -> Result<(), Halt> {
        let mut missing = Vec::new();
        for field in fields {
            match self.get(field, |_, _| ()) {
                Err(Halt::Cold(cold)) => missing.extend(cold),
                Err(halt) => return Err(halt),
                Ok(_) => {}
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(Halt::Cold(missing)) }
    }

    /// Says that the next change is the only one, of one field, and that `finish` comes after it whatever happens: it may take
    /// effect at once then.
    pub fn alone(&mut self) {
        self.0.alone();
    }

    /// Says that up to so many fields are about to be set.
    pub fn expect(&mut self, fields: usize) {
        if fields > LISTPACK_FIELDS_MAX {
            self.0.kind = Kind::HASH_TABLE;
        }
    }

    /// Sets a field to a value, with this deadline or none; returns whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8], deadline: Option<u64>) -> bool {
        if field.len() > LISTPACK_BYTES_MAX || value.len() > LISTPACK_BYTES_MAX || deadline.is_some() {
            self.0.kind = Kind::HASH_TABLE;
        }
        let is_new = self.0.put(field, &Content::Value(value, deadline));
        if self.0.kind != Kind::HASH_TABLE && self.len() > LISTPACK_FIELDS_MAX {
            self.0.kind = Kind::HASH_TABLE;
        }
        is_new
    }

    /// Gives a field another deadline or none; returns whether there is such a field.
    ///
    /// # Errors
    /// When its value cannot be read, which is written once more.
    pub fn set_deadline(&mut self, field: &[u8], deadline: Option<u64>) -> Result<bool, Halt> {
        let value = self.0.find(field, Wanted::Values, |lent| {
            lent.shared.cloned().unwrap_or_else(|| Bytes::copy_from_slice(lent.value))
        })?;
        let Some(value) = value else { return Ok(false) };
        if deadline.is_some() {
            self.0.kind = Kind::HASH_TABLE;
        }
        self.0.put(field, &Content::Value(&value, deadline));
        Ok(true)
    }

    /// Removes a field; returns whether there was one.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        self.0.remove(field)
    }

    /// Lets the changes take effect.
    ///
    /// # Errors
    /// When the log refuses them: nothing has changed then.
    pub fn finish(self) -> Result<Edited, Halt> {
        self.0.finish()
    }
}

fn wanted(values: bool) -> Wanted {
    if values { Wanted::Values } else { Wanted::Names }
}
