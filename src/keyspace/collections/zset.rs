//! Sorted sets: members in the order of their scores, and of their bytes where scores are equal.

use std::ops::Range;

use smallvec::SmallVec;

use super::super::access::{Access, Halt};
use super::edit::{Edit, Edited};
use super::elements::{Elements, Name, Scores};
use super::found::{Form, Found, Wanted};
use super::object::{Content, Object};
use crate::types::kind::{Kind, Type};
use crate::types::packed::Packed;

/// A sorted set with more members is what Redis keeps as a skip list.
const LISTPACK_MEMBERS_MAX: usize = 128;
/// So is one with a longer member, in bytes.
const LISTPACK_BYTES_MAX: usize = 64;

/// A sorted set that is read.
pub struct ZSet(Found);

/// A sorted set that is changed; see [`ZSetEdit::finish`].
pub struct ZSetEdit<'a, 'k>(Edit<'a, 'k>);

/// Members with their scores; mostly it is one.
pub type MemberScores = SmallVec<[(Name, f64); 1]>;

impl<'k> Access<'k> {
    /// The sorted set at `key`, if there is one.
    ///
    /// # Errors
    /// When the value is of another type, or cannot be read.
    pub fn zset(&mut self, key: &[u8]) -> Result<Option<ZSet>, Halt> {
        Ok(self.collection(key, Type::ZSet)?.map(ZSet))
    }

    /// Begins to change the sorted set at `key`; an empty one where there is none.
    ///
    /// # Errors
    /// As [`Access::zset`].
    pub fn edit_zset<'a>(&'a mut self, key: &'a [u8]) -> Result<ZSetEdit<'a, 'k>, Halt> {
        Edit::begin(self, key, Kind::ZSET_LISTPACK).map(ZSetEdit)
    }

    /// Begins a new sorted set that takes the place of whatever `key` is once it is finished.
    pub fn replace_zset<'a>(&'a mut self, key: &'a [u8]) -> ZSetEdit<'a, 'k> {
        ZSetEdit(Edit::replace(self, key, Kind::ZSET_LISTPACK))
    }
}

impl ZSet {
    /// How many members it has.
    pub fn len(&self, access: &Access<'_>) -> usize {
        self.0.len(access.now())
    }

    /// Whether it is one that Redis would keep as one block.
    pub fn is_listpack(&self) -> bool {
        self.0.kind == Kind::ZSET_LISTPACK.0
    }

    /// The score of a member.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.0.form {
            Form::Packed(bytes) => self.0.packed(bytes).find(member).map(|item| item.score),
            Form::Large(object) => score_in(object, member),
        }
    }

    /// How many members stand before this one, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match &self.0.form {
            Form::Packed(bytes) => rank_in_packed(self.0.packed(bytes), member),
            Form::Large(object) => rank_in(object, member),
        }
    }

    /// How many members stand before the first whose score `before` is false for; it must be true up to some score, and
    /// false from there on.
    pub fn count_scores(&self, before: impl Fn(f64) -> bool) -> usize {
        match &self.0.form {
            Form::Packed(bytes) => count_scores_in_packed(self.0.packed(bytes), before),
            Form::Large(object) => scores(object, |scores| scores.count_scores(before)).unwrap_or(0),
        }
    }

    /// The same for the names of members that all have the same score.
    pub fn count_names(&self, before: impl Fn(&[u8]) -> bool) -> usize {
        match &self.0.form {
            Form::Packed(bytes) => count_names_in_packed(self.0.packed(bytes), before),
            Form::Large(object) => scores(object, |scores| scores.count_names(before)).unwrap_or(0),
        }
    }

    /// Lends the members of these ranks to `visit`, from the last to the first with `reverse`.
    pub fn range(&self, ranks: Range<usize>, reverse: bool, mut visit: impl FnMut(&[u8], f64)) {
        match &self.0.form {
            Form::Packed(bytes) => range_in_packed(self.0.packed(bytes), ranks, reverse, &mut visit),
            Form::Large(object) => range_in(object, ranks, reverse, &mut visit),
        }
    }

    /// Lends members from `cursor` on, at least `count` if there are so many; returns the cursor to go on with, 0 at the end.
    ///
    /// # Errors
    /// When the sorted set cannot be read.
    pub fn scan(
        &self,
        access: &mut Access<'_>,
        cursor: u64,
        count: usize,
        mut visit: impl FnMut(&[u8], f64),
    ) -> Result<u64, Halt> {
        self.0.scan(access, cursor, count, Wanted::Names, |lent| visit(lent.name, lent.score))
    }

    /// Some member, each with the same chance.
    pub fn any(&self, access: &Access<'_>) -> Option<Name> {
        self.0.any(access)
    }

    /// So many different members, at random; all where there are no more.
    ///
    /// # Errors
    /// As [`ZSet::scan`].
    pub fn sample(&self, access: &mut Access<'_>, count: usize) -> Result<Vec<Name>, Halt> {
        self.0.sample(access, count)
    }
}

impl ZSetEdit<'_, '_> {
    /// How many members it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The score of a member.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match (self.0.packed(), self.0.large()) {
            (Some(packed), _) => packed.find(member).map(|item| item.score),
            (None, Some(object)) => score_in(object, member),
            (None, None) => None,
        }
    }

    /// As [`ZSet::count_scores`].
    pub fn count_scores(&self, before: impl Fn(f64) -> bool) -> usize {
        match (self.0.packed(), self.0.large()) {
            (Some(packed), _) => count_scores_in_packed(packed, before),
            (None, Some(object)) => scores(object, |scores| scores.count_scores(before)).unwrap_or(0),
            (None, None) => 0,
        }
    }

    /// As [`ZSet::count_names`].
    pub fn count_names(&self, before: impl Fn(&[u8]) -> bool) -> usize {
        match (self.0.packed(), self.0.large()) {
            (Some(packed), _) => count_names_in_packed(packed, before),
            (None, Some(object)) => scores(object, |scores| scores.count_names(before)).unwrap_or(0),
            (None, None) => 0,
        }
    }

    /// The members of these ranks with their scores, from the last to the first with `reverse`.
    pub fn range(&self, ranks: Range<usize>, reverse: bool) -> MemberScores {
        let mut members = MemberScores::with_capacity(ranks.len());
        let mut visit = |member: &[u8], score| members.push((Name::from_slice(member), score));
        match (self.0.packed(), self.0.large()) {
            (Some(packed), _) => range_in_packed(packed, ranks, reverse, &mut visit),
            (None, Some(object)) => range_in(object, ranks, reverse, &mut visit),
            (None, None) => {}
        }
        members
    }

    /// Says that about so many members are to come, the longest of which has so many bytes.
    pub fn expect(&mut self, members: usize, bytes: usize) {
        if members > LISTPACK_MEMBERS_MAX || bytes > LISTPACK_BYTES_MAX {
            self.0.kind = Kind::ZSET_SKIPLIST;
        }
    }

    /// Says that the next change is the only one, of one member, and that `finish` comes after it whatever happens: it may take
    /// effect at once then.
    pub fn alone(&mut self) {
        self.0.alone();
    }

    /// Gives a member this score, which is a number; returns whether it is new.
    pub fn set(&mut self, member: &[u8], score: f64) -> bool {
        self.expect(0, member.len());
        if self.0.kind == Kind::ZSET_LISTPACK && self.len() >= LISTPACK_MEMBERS_MAX && self.score(member).is_none() {
            self.0.kind = Kind::ZSET_SKIPLIST;
        }
        // A block has the score as an integer where it can, and then there is but one zero.
        let score = if self.0.kind == Kind::ZSET_LISTPACK && score == 0.0 { 0.0 } else { score };
        self.0.put(member, &Content::Score(score))
    }

    /// Removes a member; returns whether there was one.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        self.0.remove(member)
    }

    /// Removes all members.
    pub fn clear(&mut self) {
        self.0.begin_anew(self.0.kind);
    }

    /// Lets the changes take effect.
    ///
    /// # Errors
    /// When the log refuses them: nothing has changed then.
    pub fn finish(self) -> Result<Edited, Halt> {
        self.0.finish()
    }
}

fn scores<R>(object: &Object, look: impl FnOnce(&Scores) -> R) -> Option<R> {
    object.read(|inner| if let Elements::ZSet(scores) = &inner.elements { Some(look(scores)) } else { None })
}

fn score_in(object: &Object, member: &[u8]) -> Option<f64> {
    scores(object, |scores| scores.table.get(member).map(|member| member.score()))?
}

fn rank_in(object: &Object, member: &[u8]) -> Option<(usize, f64)> {
    scores(object, |scores| {
        let score = scores.table.get(member)?.score();
        Some((scores.rank(score, member)?, score))
    })?
}

fn range_in(object: &Object, ranks: Range<usize>, reverse: bool, visit: &mut dyn FnMut(&[u8], f64)) {
    scores(object, |scores| {
        let length = scores.order.len();
        let members = scores.order.range(ranks.start.min(length)..ranks.end.min(length));
        if reverse {
            members.rev().for_each(|scored| visit(scored.member.name(), scored.score));
        } else {
            members.for_each(|scored| visit(scored.member.name(), scored.score));
        }
    });
}

fn rank_in_packed(packed: Packed<'_>, member: &[u8]) -> Option<(usize, f64)> {
    let (rank, item) = packed.iter().enumerate().find(|(_, item)| item.name == member)?;
    Some((rank, item.score))
}

fn count_scores_in_packed(packed: Packed<'_>, before: impl Fn(f64) -> bool) -> usize {
    packed.iter().take_while(|item| before(item.score)).count()
}

fn count_names_in_packed(packed: Packed<'_>, before: impl Fn(&[u8]) -> bool) -> usize {
    packed.iter().take_while(|item| before(item.name)).count()
}

fn range_in_packed(packed: Packed<'_>, ranks: Range<usize>, reverse: bool, visit: &mut dyn FnMut(&[u8], f64)) {
    let members = packed.iter().skip(ranks.start).take(ranks.len());
    if reverse {
        let members: Vec<_> = members.collect();
        members.iter().rev().for_each(|item| visit(item.name, item.score));
    } else {
        members.for_each(|item| visit(item.name, item.score));
    }
}
