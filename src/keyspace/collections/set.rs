//! Sets: members in no order.

use super::super::access::{Access, Halt};
use super::edit::{Edit, Edited};
use super::elements::Name;
use super::found::{Found, Wanted};
use super::object::Content;
use crate::types::kind::{Kind, Type};
use crate::types::number;

/// A set of more integers is what Redis keeps as a table.
const INTSET_MEMBERS_MAX: usize = 512;
/// So is one of more members that are not all integers.
const LISTPACK_MEMBERS_MAX: usize = 128;
/// So is one with a longer member, in bytes.
const LISTPACK_BYTES_MAX: usize = 64;

/// A set that is read.
pub struct Set(Found);

/// A set that is changed; see [`SetEdit::finish`].
pub struct SetEdit<'a, 'k>(Edit<'a, 'k>);

impl<'k> Access<'k> {
    /// The set at `key`, if there is one.
    ///
    /// # Errors
    /// When the value is of another type, or cannot be read.
    pub fn set(&mut self, key: &[u8]) -> Result<Option<Set>, Halt> {
        Ok(self.collection(key, Type::Set)?.map(Set))
    }

    /// Begins to change the set at `key`; an empty one where there is none, which is to get about `expected` members.
    ///
    /// # Errors
    /// As [`Access::set`].
    pub fn edit_set<'a>(&'a mut self, key: &'a [u8], expected: usize) -> Result<SetEdit<'a, 'k>, Halt> {
        Edit::begin(self, key, empty_kind(expected)).map(SetEdit)
    }

    /// Begins a new set that takes the place of whatever `key` is once it is finished.
    pub fn replace_set<'a>(&'a mut self, key: &'a [u8]) -> SetEdit<'a, 'k> {
        SetEdit(Edit::replace(self, key, Kind::SET_INTSET))
    }
}

/// What Redis makes for a set that is to get so many members; whether they are integers shows at the first.
fn empty_kind(expected: usize) -> Kind {
    match expected {
        0..=INTSET_MEMBERS_MAX => Kind::SET_INTSET,
        _ => Kind::SET_TABLE,
    }
}

impl Set {
    /// How many members it has.
    pub fn len(&self, access: &Access<'_>) -> usize {
        self.0.len(access.now())
    }

    /// Whether it has such a member.
    pub fn contains(&self, access: &Access<'_>, member: &[u8]) -> bool {
        self.0.contains(member, access.now())
    }

    /// Lends all members to `visit`.
    ///
    /// # Errors
    /// When the set cannot be read.
    pub fn each(&self, access: &mut Access<'_>, mut visit: impl FnMut(&[u8])) -> Result<(), Halt> {
        self.0.each(access, Wanted::Names, |lent| visit(lent.name))
    }

    /// Lends members from `cursor` on, at least `count` if there are so many; returns the cursor to go on with, 0 at the end.
    ///
    /// # Errors
    /// As [`Set::each`].
    pub fn scan(
        &self,
        access: &mut Access<'_>,
        cursor: u64,
        count: usize,
        mut visit: impl FnMut(&[u8]),
    ) -> Result<u64, Halt> {
        self.0.scan(access, cursor, count, Wanted::Names, |lent| visit(lent.name))
    }

    /// Some member, each with the same chance.
    pub fn any(&self, access: &Access<'_>) -> Option<Name> {
        self.0.any(access)
    }

    /// So many different members, at random; all where there are no more.
    ///
    /// # Errors
    /// As [`Set::each`].
    pub fn sample(&self, access: &mut Access<'_>, count: usize) -> Result<Vec<Name>, Halt> {
        self.0.sample(access, count)
    }
}

impl SetEdit<'_, '_> {
    /// How many members it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it has such a member.
    pub fn contains(&self, member: &[u8]) -> bool {
        self.0.contains(member)
    }

    /// Adds a member; returns whether it is new.
    pub fn add(&mut self, member: &[u8]) -> bool {
        if self.contains(member) {
            return false;
        }
        self.0.kind = kind_with(self.0.kind, self.len(), member);
        self.0.put(member, &Content::Value(&[], None))
    }

    /// Removes a member; returns whether there was one.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        self.0.remove(member)
    }

    /// Some member, each with the same chance.
    pub fn any(&self) -> Option<Name> {
        self.0.found().any(self.0.access)
    }

    /// So many different members, at random; all where there are no more.
    ///
    /// # Errors
    /// When the set cannot be read.
    pub fn sample(&mut self, count: usize) -> Result<Vec<Name>, Halt> {
        let found = self.0.found();
        found.sample(self.0.access, count)
    }

    /// Lets the changes take effect.
    ///
    /// # Errors
    /// When the log refuses them: nothing has changed then.
    pub fn finish(self) -> Result<Edited, Halt> {
        self.0.finish()
    }
}

/// What a set of this kind and so many members is once it has got another one.
fn kind_with(kind: Kind, members: usize, member: &[u8]) -> Kind {
    let fits = members < LISTPACK_MEMBERS_MAX && member.len() <= LISTPACK_BYTES_MAX;
    match kind {
        Kind::SET_INTSET if number::parse_i64(member).is_some() => {
            if members < INTSET_MEMBERS_MAX {
                Kind::SET_INTSET
            } else {
                Kind::SET_TABLE
            }
        }
        Kind::SET_INTSET | Kind::SET_LISTPACK if fits => Kind::SET_LISTPACK,
        _ => Kind::SET_TABLE,
    }
}
