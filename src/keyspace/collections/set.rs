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

    /// Begins to change the set at `key`, which is to get no more members; an empty one where there is none.
    ///
    /// # Errors
    /// As [`Access::set`].
    pub fn edit_set<'a>(&'a mut self, key: &'a [u8]) -> Result<SetEdit<'a, 'k>, Halt> {
        Edit::begin(self, key, Kind::SET_LISTPACK).map(SetEdit)
    }

    /// Begins to change the set at `key`, which is to get up to `expected` members of which this is the first; an empty one where
    /// there is none.
    ///
    /// # Errors
    /// As [`Access::set`].
    pub fn grow_set<'a>(&'a mut self, key: &'a [u8], first: &[u8], expected: usize) -> Result<SetEdit<'a, 'k>, Halt> {
        let mut edit = Edit::begin(self, key, kind_of_new(first, expected))?;
        edit.kind = kind_expecting(edit.kind, expected);
        Ok(SetEdit(edit))
    }

    /// Begins a new set that takes the place of whatever `key` is once it is finished; it begins as what these members are.
    pub fn replace_set<'a>(&'a mut self, key: &'a [u8], like: SetKind) -> SetEdit<'a, 'k> {
        SetEdit(Edit::replace(self, key, like.kind))
    }
}

/// What Redis would keep some members as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetKind {
    kind: Kind,
    members: usize,
}

impl SetKind {
    /// What no members are kept as.
    pub const EMPTY: Self = Self { kind: Kind::SET_INTSET, members: 0 };

    /// With one more member.
    pub fn add(&mut self, member: &[u8]) {
        self.kind = kind_with(self.kind, self.members, member);
        self.members += 1;
    }
}

impl Set {
    /// How many members it has.
    pub fn len(&self) -> usize {
        self.0.len(0)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it has such a member.
    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        self.0.contains(member, 0)
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

    /// Lends members at random, so many times: each time any of them, with the same chance.
    pub fn draw(&self, access: &Access<'_>, count: u64, visit: impl FnMut(&[u8])) {
        self.0.draw(access, count, visit);
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

    /// Says that the next change is the only one, of one member, and that `finish` comes after it whatever happens: it may take
    /// effect at once then.
    pub fn alone(&mut self) {
        self.0.alone();
    }

    /// Adds a member; returns whether it is new.
    pub fn add(&mut self, member: &[u8]) -> bool {
        if self.contains(member) {
            return false;
        }
        self.0.kind = kind_with(self.0.kind, self.len(), member);
        self.0.put_new(member, &Content::Value(&[], None));
        true
    }

    /// Removes a member; returns whether there was one.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        self.0.remove(member)
    }

    /// Some member, each with the same chance.
    pub fn any(&self) -> Option<Name> {
        match self.0.packed() {
            Some(packed) => {
                let index = self.0.access.keyspace().random() as usize % packed.len().max(1);
                packed.iter().nth(index).map(|item| Name::from_slice(item.name))
            }
            None => self.0.found().any(self.0.access),
        }
    }

    /// So many different members, at random; all where there are no more.
    ///
    /// # Errors
    /// When the set cannot be read.
    pub fn sample(&mut self, count: usize) -> Result<Vec<Name>, Halt> {
        let found = self.0.found();
        found.sample(self.0.access, count)
    }

    /// Lends all members to `visit`.
    ///
    /// # Errors
    /// As [`SetEdit::sample`].
    pub fn each(&mut self, mut visit: impl FnMut(&[u8])) -> Result<(), Halt> {
        let found = self.0.found();
        found.each(self.0.access, Wanted::Names, |lent| visit(lent.name))
    }

    /// Leaves these members and no others, which is cheaper than to remove the others where those are more.
    pub fn keep_only<'m>(&mut self, members: impl Iterator<Item = &'m [u8]>) {
        // As Redis does it: what was a table is one only where it has to be.
        let kind = if self.0.kind == Kind::SET_INTSET { Kind::SET_INTSET } else { Kind::SET_LISTPACK };
        self.0.begin_anew(kind);
        members.for_each(|member| _ = self.add(member));
    }

    /// Lets the changes take effect.
    ///
    /// # Errors
    /// When the log refuses them: nothing has changed then.
    pub fn finish(self) -> Result<Edited, Halt> {
        self.0.finish()
    }
}

/// What Redis makes for a set that is to get up to so many members, of which this is the first.
fn kind_of_new(first: &[u8], expected: usize) -> Kind {
    match expected {
        0..=INTSET_MEMBERS_MAX if number::parse_i64(first).is_some() => Kind::SET_INTSET,
        0..=LISTPACK_MEMBERS_MAX => Kind::SET_LISTPACK,
        _ => Kind::SET_TABLE,
    }
}

/// What Redis makes of a set of this kind that is to get up to so many more members, whether it has them already or not.
fn kind_expecting(kind: Kind, expected: usize) -> Kind {
    match kind {
        Kind::SET_INTSET if expected > INTSET_MEMBERS_MAX => Kind::SET_TABLE,
        Kind::SET_LISTPACK if expected > LISTPACK_MEMBERS_MAX => Kind::SET_TABLE,
        kind => kind,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of<'m>(members: impl IntoIterator<Item = &'m [u8]>) -> &'static str {
        let mut kind = SetKind::EMPTY;
        members.into_iter().for_each(|member| kind.add(member));
        kind.kind.encoding()
    }

    fn numbers(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|number| number.to_string().into_bytes()).collect()
    }

    fn all(members: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
        members.iter().map(|member| &member[..])
    }

    #[test]
    fn sets_are_encoded_as_redis_would() {
        let (word, long, too_long) = (b"x".as_slice(), [b'x'; 64], [b'x'; 65]);
        assert_eq!(kind_of(all(&numbers(512))), "intset");
        assert_eq!(kind_of(all(&numbers(513))), "hashtable");
        assert_eq!(kind_of(all(&numbers(127)).chain([word])), "listpack");
        assert_eq!(kind_of(all(&numbers(128)).chain([word])), "hashtable");
        assert_eq!(kind_of([word].into_iter().chain(all(&numbers(127)))), "listpack");
        assert_eq!(kind_of([word].into_iter().chain(all(&numbers(128)))), "hashtable");
        assert_eq!(kind_of([&long[..]]), "listpack");
        assert_eq!(kind_of([&too_long[..]]), "hashtable");
        assert_eq!(kind_of([b"01".as_slice()]), "listpack");
    }

    #[test]
    fn what_is_expected_counts_as_redis_does() {
        let new = |first: &[u8], expected| kind_of_new(first, expected).encoding();
        assert_eq!([new(b"1", 512), new(b"1", 513)], ["intset", "hashtable"]);
        assert_eq!([new(b"a", 128), new(b"a", 129)], ["listpack", "hashtable"]);
        let grown = |kind, expected| kind_expecting(kind, expected).encoding();
        assert_eq!([grown(Kind::SET_INTSET, 512), grown(Kind::SET_INTSET, 513)], ["intset", "hashtable"]);
        assert_eq!([grown(Kind::SET_LISTPACK, 128), grown(Kind::SET_LISTPACK, 129)], ["listpack", "hashtable"]);
        assert_eq!(grown(Kind::SET_TABLE, 1), "hashtable");
    }
}
