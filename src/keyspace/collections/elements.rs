//! The elements of a large collection in memory, whatever its type.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::super::entry::{Cached, Entry};
use super::super::hand::Step;
use super::super::shapes::{Cursor, Item, Named, Ranked, Table};
use super::member::{Member, Scored};
use super::object::Sums;
use crate::store::{KeyHasher, Location};
use crate::types::kind::Type;

/// The name of an element: a field, a member, or, of a list, where it stands among the others, as bytes that sort.
pub type Name = SmallVec<[u8; 16]>;

/// All of them: see the module.
pub(super) enum Elements {
    Hash(Fields),
    Set(Table<Entry>),
    List(Ranked<Entry>),
    ZSet(Scores),
}

/// One of them, by itself.
pub(super) enum Element {
    Block(Entry),
    Member(Member),
}

/// The fields of a hash, and the deadlines of those that have one.
pub(super) struct Fields {
    pub(super) table: Table<Entry>,
    deadlines: BTreeSet<(u64, Box<[u8]>)>,
}

/// Members by name and by score.
pub(super) struct Scores {
    pub(super) table: Table<Member>,
    pub(super) order: Ranked<Scored>,
}

impl Named for Entry {
    fn name(&self) -> &[u8] {
        self.key()
    }
}

impl Item for Entry {
    type Key = Name;

    fn key(&self) -> Name {
        Name::from_slice(Entry::key(self))
    }
}

impl Element {
    pub(super) fn name(&self) -> &[u8] {
        match self {
            Self::Block(entry) => entry.key(),
            Self::Member(member) => member.name(),
        }
    }

    pub(super) fn location(&self) -> Location {
        match self {
            Self::Block(entry) => entry.location(),
            Self::Member(member) => member.location(),
        }
    }

    pub(super) fn seen(&self) -> Seen<'_> {
        match self {
            Self::Block(entry) => Seen::Block(entry),
            Self::Member(member) => Seen::Member(member),
        }
    }
}

/// An element that is looked at.
#[derive(Clone, Copy)]
pub(super) enum Seen<'a> {
    Block(&'a Entry),
    Member(&'a Member),
}

impl<'a> Seen<'a> {
    pub(super) fn name(&self) -> &'a [u8] {
        match self {
            Self::Block(entry) => entry.key(),
            Self::Member(member) => member.name(),
        }
    }

    pub(super) fn location(&self) -> Location {
        match self {
            Self::Block(entry) => entry.location(),
            Self::Member(member) => member.location(),
        }
    }

    pub(super) fn expiry(&self) -> Option<u64> {
        if let Self::Block(entry) = self { entry.expiry() } else { None }
    }

    /// Whether its value is not at hand: only on the disk, or damaged.
    pub(super) fn is_absent(&self) -> bool {
        if let Self::Block(entry) = self { matches!(entry.value(), Cached::Cold) || entry.is_damaged() } else { false }
    }

    pub(super) fn cached(&self) -> Cached<'a> {
        match self {
            Self::Block(entry) => entry.value(),
            Self::Member(_) => Cached::Cold,
        }
    }
}

impl Elements {
    /// No elements of this type.
    pub(super) fn new(of: Type, hasher: &KeyHasher) -> Self {
        match of {
            Type::Hash => Self::Hash(Fields { table: Table::new(hasher.clone()), deadlines: BTreeSet::new() }),
            Type::List => Self::List(Ranked::new()),
            Type::ZSet => Self::ZSet(Scores { table: Table::new(hasher.clone()), order: Ranked::new() }),
            Type::Set | Type::String | Type::Unknown => Self::Set(Table::new(hasher.clone())),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Hash(fields) => fields.table.len(),
            Self::Set(table) => table.len(),
            Self::List(list) => list.len(),
            Self::ZSet(scores) => scores.table.len(),
        }
    }

    /// Bytes of the structures themselves, without the elements' blocks.
    pub(super) fn table_bytes(&self) -> usize {
        match self {
            Self::Hash(fields) => fields.table.bytes() + fields.deadlines.len() * 64,
            Self::Set(table) => table.bytes(),
            Self::List(list) => list.bytes(),
            Self::ZSet(scores) => scores.table.bytes() + scores.order.bytes(),
        }
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<Seen<'_>> {
        match self {
            Self::Hash(fields) => fields.table.get(name).map(Seen::Block),
            Self::Set(table) => table.get(name).map(Seen::Block),
            Self::List(list) => list.get(rank_of(list, name)?).map(Seen::Block),
            Self::ZSet(scores) => scores.table.get(name).map(Seen::Member),
        }
    }

    /// Puts an element in; returns the one of the same name that was there.
    pub(super) fn put(&mut self, element: Element) -> Option<Element> {
        match (self, element) {
            (Self::Hash(fields), Element::Block(entry)) => fields.put(entry).map(Element::Block),
            (Self::Set(table), Element::Block(entry)) => table.put(entry).map(Element::Block),
            (Self::List(list), Element::Block(entry)) => put_in_list(list, entry).map(Element::Block),
            (Self::ZSet(scores), Element::Member(member)) => scores.put(member).map(Element::Member),
            _ => None,
        }
    }

    pub(super) fn take(&mut self, name: &[u8]) -> Option<Element> {
        match self {
            Self::Hash(fields) => fields.take(name).map(Element::Block),
            Self::Set(table) => table.take(name).map(Element::Block),
            Self::List(list) => Some(Element::Block(list.remove(rank_of(list, name)?))),
            Self::ZSet(scores) => scores.take(name).map(Element::Member),
        }
    }

    /// Says where the record of an element is.
    pub(super) fn set_location(&mut self, name: &[u8], location: Location) {
        match self {
            Self::Hash(fields) => {
                if let Some(entry) = fields.table.get_mut(name) {
                    entry.set_location(location);
                }
            }
            Self::Set(table) => {
                if let Some(entry) = table.get_mut(name) {
                    entry.set_location(location);
                }
            }
            Self::List(list) => {
                if let Some(rank) = rank_of(list, name)
                    && let Some(entry) = list.get_mut(rank)
                {
                    entry.set_location(location);
                }
            }
            Self::ZSet(scores) => {
                if let Some(member) = scores.table.get(name) {
                    member.set_location(location);
                }
            }
        }
    }

    /// Changes the block of an element in a way that keeps its name, its deadline and its place.
    pub(super) fn change(&mut self, name: &[u8], change: impl FnOnce(&mut Entry)) {
        let entry = match self {
            Self::Hash(fields) => fields.table.get_mut(name),
            Self::Set(table) => table.get_mut(name),
            Self::List(list) => rank_of(list, name).and_then(|rank| list.get_mut(rank)),
            Self::ZSet(_) => None,
        };
        if let Some(entry) = entry {
            change(entry);
        }
    }

    /// Visits all elements.
    pub(super) fn each(&self, mut visit: impl FnMut(Seen<'_>)) {
        match self {
            Self::Hash(fields) => fields.table.iter().for_each(|entry| visit(Seen::Block(entry))),
            Self::Set(table) => table.iter().for_each(|entry| visit(Seen::Block(entry))),
            Self::List(list) => list.iter().for_each(|entry| visit(Seen::Block(entry))),
            Self::ZSet(scores) => scores.order.iter().for_each(|scored| visit(Seen::Member(&scored.member))),
        }
    }

    /// Visits the blocks whose values may leave memory, from where a walk has come to, until `visit` has had enough. Returns where
    /// it goes on, nothing at the end.
    pub(super) fn walk(&self, from: Cursor, mut visit: impl FnMut(&Entry) -> ControlFlow<()>) -> Option<Cursor> {
        match self {
            Self::Hash(fields) => fields.table.walk(from, visit),
            Self::List(list) => {
                let ranks = from.passed.min(list.len())..list.len();
                let mut entries = ranks.clone().zip(list.range(ranks));
                let ended = entries.find_map(|(rank, entry)| visit(entry).is_break().then_some(rank + 1));
                ended.map(|passed| Cursor { order: 0, passed })
            }
            Self::Set(_) | Self::ZSet(_) => None,
        }
    }

    /// Lets the hand take a step, from where it has come to. Returns where it goes on, nothing at the end.
    pub(super) fn sweep(&mut self, from: Cursor, step: &mut Step<'_>, sums: &mut Sums) -> Option<Cursor> {
        let until = step.until;
        let mut pass = |entry: &mut Entry| {
            sums.remove(Seen::Block(entry));
            let flow = step.pass(entry);
            sums.add(Seen::Block(entry));
            flow
        };
        match self {
            Self::Hash(fields) => fields.table.walk_mut(from, until, pass),
            Self::List(list) => {
                let (length, end) = (list.len(), list.len().min(until.passed));
                let mut entries = (from.passed..end).zip(list.iter_mut_from(from.passed));
                let ended = entries.find_map(|(rank, entry)| pass(entry).is_break().then_some(rank + 1));
                ended.or((end < length).then_some(end)).map(|passed| Cursor { order: 0, passed })
            }
            Self::Set(_) | Self::ZSet(_) => None,
        }
    }

    /// Has the elements of these names brought near the processor.
    pub(super) fn prefetch(&self, hashes: impl Iterator<Item = u64>) {
        match self {
            Self::Hash(fields) => hashes.for_each(|hash| fields.table.prefetch(hash, Entry::prefetch)),
            Self::Set(table) => hashes.for_each(|hash| table.prefetch(hash, Entry::prefetch)),
            Self::ZSet(scores) => hashes.for_each(|hash| scores.table.prefetch(hash, Member::prefetch)),
            Self::List(_) => {}
        }
    }
}

impl Fields {
    fn put(&mut self, entry: Entry) -> Option<Entry> {
        let name: Option<Box<[u8]>> = entry.expiry().is_some().then(|| entry.key().into());
        let deadline = entry.expiry();
        let before = self.table.put(entry);
        if let Some(before) = &before {
            self.forget(before);
        }
        if let (Some(deadline), Some(name)) = (deadline, name) {
            self.deadlines.insert((deadline, name));
        }
        before
    }

    fn take(&mut self, name: &[u8]) -> Option<Entry> {
        let entry = self.table.take(name)?;
        self.forget(&entry);
        Some(entry)
    }

    fn forget(&mut self, entry: &Entry) {
        if let Some(deadline) = entry.expiry() {
            self.deadlines.remove(&(deadline, entry.key().into()));
        }
    }

    /// Whether the time of all fields is over at `now`.
    pub(super) fn is_over(&self, now: u64) -> bool {
        self.deadlines.len() == self.table.len() && self.deadlines.last().is_some_and(|(last, _)| *last <= now)
    }

    /// The earliest deadline of any field.
    pub(super) fn earliest(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// The fields whose time is over at `now`, with their deadlines, the earliest first.
    pub(super) fn due(&self, now: u64) -> impl Iterator<Item = (u64, &[u8])> {
        self.deadlines
            .iter()
            .take_while(move |(deadline, _)| *deadline <= now)
            .map(|(deadline, name)| (*deadline, &name[..]))
    }
}

impl Scores {
    fn put(&mut self, member: Member) -> Option<Member> {
        let before = self.table.put(member.clone());
        if let Some(before) = &before {
            self.remove_from_order(before);
        }
        let scored = Scored::new(member);
        let place = self.find(scored.score, scored.member.name());
        self.order.insert(place.unwrap_or_else(|place| place), scored);
        before
    }

    fn take(&mut self, name: &[u8]) -> Option<Member> {
        let member = self.table.take(name)?;
        self.remove_from_order(&member);
        Some(member)
    }

    fn remove_from_order(&mut self, member: &Member) {
        // Members are mostly popped at an end.
        if self.order.first().is_some_and(|first| first.member.is(member)) {
            self.order.pop_front();
            self.fetch_ahead(self.order.first(), self.order.get(1));
        } else if self.order.last().is_some_and(|last| last.member.is(member)) {
            self.order.pop_back();
            self.fetch_ahead(self.order.last(), self.order.len().checked_sub(2).and_then(|rank| self.order.get(rank)));
        } else if let Some(rank) = self.rank(member.score(), member.name()) {
            self.order.remove(rank);
        }
    }

    /// Whoever pops at an end mostly pops again, and neighbours in the order stand anywhere in memory: has what finds the next
    /// one brought near the processor, and the block of the one after it, whose name will be needed for that.
    fn fetch_ahead(&self, next: Option<&Scored>, after: Option<&Scored>) {
        if let Some(next) = next {
            self.table.prefetch(self.table.hash_of(&next.member), |_| {});
        }
        if let Some(after) = after {
            after.member.prefetch();
        }
    }

    /// How many members stand before this one.
    pub(super) fn rank(&self, score: f64, name: &[u8]) -> Option<usize> {
        self.find(score, name).ok()
    }

    /// The order of sorted sets: by score, and by name where scores are equal.
    fn find(&self, score: f64, name: &[u8]) -> Result<usize, usize> {
        let by_score = |other: &f64| other.partial_cmp(&score).unwrap_or(Ordering::Equal);
        self.order.find_item(by_score, |other| other.member.name().cmp(name))
    }

    /// How many members stand before the first whose score is not `before`.
    pub(super) fn count_scores(&self, before: impl Fn(f64) -> bool) -> usize {
        self.order.find(|score| side(before(*score))).unwrap_or_else(|rank| rank)
    }

    /// How many members stand before the first whose name is not `before`.
    pub(super) fn count_names(&self, before: impl Fn(&[u8]) -> bool) -> usize {
        let by_name = |scored: &Scored| side(before(scored.member.name()));
        self.order.find_item(|_| Ordering::Equal, by_name).unwrap_or_else(|rank| rank)
    }
}

fn side(is_before: bool) -> Ordering {
    if is_before { Ordering::Less } else { Ordering::Greater }
}

/// The rank of the list element of this name, which is mostly one at an end.
fn rank_of(list: &Ranked<Entry>, name: &[u8]) -> Option<usize> {
    match (list.first(), list.last()) {
        (Some(first), _) if first.key() == name => Some(0),
        (_, Some(last)) if last.key() == name => Some(list.len() - 1),
        _ => list.find(|position| position.as_slice().cmp(name)).ok(),
    }
}

fn put_in_list(list: &mut Ranked<Entry>, entry: Entry) -> Option<Entry> {
    let is_behind = list.last().is_none_or(|last| last.key() < entry.key());
    if is_behind {
        list.push_back(entry);
        return None;
    }
    if list.first().is_some_and(|first| first.key() > entry.key()) {
        list.push_front(entry);
        return None;
    }
    match list.find(|position| position.as_slice().cmp(entry.key())) {
        Ok(rank) => list.get_mut(rank).map(|there| std::mem::replace(there, entry)),
        Err(rank) => {
            list.insert(rank, entry);
            None
        }
    }
}
