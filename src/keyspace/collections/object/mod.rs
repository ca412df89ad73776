//! A large collection: its elements under an id that is never used again.
//!
//! Always true: elements change under the exclusive latch of the key whose value they are, either after their record is in
//! the log (`logged`), or with what they were before in the journal until it is (`journal`); an element without a
//! record in the log has its value in memory. The lock is held for moments, and while it is, nothing is waited for but the log's
//! taking in of one record: compaction and the memory's hand may come in between at any time.

mod journal;
mod logged;
mod records;
mod sums;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::super::entry::{CACHE_BYTES, Cached, Entry, Meta};
use super::super::footprint::{Footprint, Footprints};
use super::elements::{Element, Elements};
use super::member::Member;
use crate::store::{KeyHasher, Location};
use crate::sync::RwLock;
use crate::types::kind::Type;

use self::journal::Change;
pub(super) use self::logged::Logged;
pub(in crate::keyspace) use self::records::Loaded;
pub(super) use self::sums::Sums;

/// Elements are not found by the fragment of a hash, as keys are.
const NO_FRAGMENT: u16 = 0;

/// See the module.
pub(in crate::keyspace) struct Object {
    pub(in crate::keyspace) id: u64,
    pub(in crate::keyspace::collections) of: Type,
    hasher: KeyHasher,
    inner: RwLock<Inner>,
    /// A field has had a deadline: only then is any looked for.
    has_deadlines: AtomicBool,
    /// One of the elements cannot be told.
    damaged: AtomicBool,
    /// What is counted for it among all objects.
    counted: Footprints,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("id", &self.id).field("of", &self.of).finish_non_exhaustive()
    }
}

pub(super) struct Inner {
    pub(super) elements: Elements,
    journal: Vec<Change>,
    pub(super) sums: Sums,
    /// It was taken apart, and takes no memory that counts.
    dissolved: bool,
    /// Where the key is whose value this is: the id of its keydir, and its name.
    home: Option<(u32, Box<[u8]>)>,
}

/// What a collection is before more of it is changed.
pub(super) struct Mark {
    /// Changes in the journal.
    pub(super) changes: usize,
    pub(super) elements: usize,
    /// The earliest of any field.
    pub(super) deadline: Option<u64>,
}

/// The value of an element that is put in.
pub(super) enum Content<'a> {
    /// A field's, with its deadline, or a list element's; a member of a set has an empty one.
    Value(&'a [u8], Option<u64>),
    /// A member's of a sorted set.
    Score(f64),
}

impl Object {
    pub(super) fn new(id: u64, of: Type, hasher: &KeyHasher) -> Self {
        let inner = Inner {
            elements: Elements::new(of, hasher),
            journal: Vec::new(),
            sums: Sums::default(),
            dissolved: false,
            home: None,
        };
        Self {
            id,
            of,
            hasher: hasher.clone(),
            inner: RwLock::new(inner),
            has_deadlines: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
            counted: Footprints::default(),
        }
    }

    /// Looks at the elements.
    pub(super) fn read<R>(&self, look: impl FnOnce(&Inner) -> R) -> R {
        // Two looks at one object may overlap: who reads waits for nobody who is only about to write.
        look(&self.inner.read_recursive())
    }

    pub(super) fn len(&self) -> usize {
        self.read(|inner| inner.elements.len())
    }

    pub(in crate::keyspace) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Has the elements whose names have these hashes brought near the processor, unless somebody changes them right now.
    pub(in crate::keyspace) fn prefetch(&self, hashes: impl Iterator<Item = u64>) {
        if let Some(inner) = self.inner.try_read() {
            inner.elements.prefetch(hashes);
        }
    }

    /// Bytes of memory it takes.
    pub(in crate::keyspace) fn bytes(&self) -> usize {
        self.read(|inner| inner.bytes())
    }

    /// What it takes, with its values and without.
    pub(in crate::keyspace) fn footprint(&self) -> Footprint {
        self.read(Inner::footprint)
    }

    /// Counts what it takes among all objects, and returns the earliest deadline of any field. Under the lock: whoever
    /// else counts them sees the same elements.
    pub(super) fn count_in(&self, all: &Footprints) -> Option<u64> {
        self.read(|inner| {
            self.count_as(inner.footprint(), all);
            inner.earliest_deadline()
        })
    }

    /// Counts it as so much among all objects.
    pub(super) fn count_as(&self, footprint: Footprint, all: &Footprints) {
        if self.counted.sum() != footprint {
            all.change(self.counted.replace(footprint), footprint);
        }
    }

    /// What is the case before more is changed.
    pub(super) fn mark(&self) -> Mark {
        self.read(|inner| Mark {
            changes: inner.journal.len(),
            elements: inner.elements.len(),
            deadline: inner.earliest_deadline(),
        })
    }

    /// The earliest deadline of any field.
    pub(super) fn earliest_deadline(&self) -> Option<u64> {
        if self.has_deadlines.load(Relaxed) { self.read(Inner::earliest_deadline) } else { None }
    }

    /// Whether it is a hash of which nothing is left, since the time of all of its fields is over at `now`.
    pub(in crate::keyspace) fn is_over(&self, now: u64) -> bool {
        self.has_deadlines.load(Relaxed)
            && self.read(|inner| match &inner.elements {
                Elements::Hash(fields) => fields.is_over(now),
                _ => false,
            })
    }

    /// Whether one of the elements cannot be told.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Relaxed)
    }

    /// Says whose value this is.
    pub(in crate::keyspace) fn set_home(&self, keydir: u32, key: &[u8]) {
        self.inner.write().home = Some((keydir, key.into()));
    }

    /// The id of the keydir and the key whose value this is.
    pub(in crate::keyspace) fn home(&self) -> Option<(u32, Box<[u8]>)> {
        self.read(|inner| inner.home.clone())
    }

    fn element(&self, name: &[u8], kind: u8, content: &Content<'_>, location: Location) -> Element {
        match *content {
            Content::Value(value, expiry) => {
                self.note_deadline(expiry);
                let meta = Meta { location, kind, expiry };
                let mut shared = None;
                let cached = if self.of == Type::Set { Cached::Cold } else { Cached::hot(value, &mut shared) };
                Element::Block(Entry::new(NO_FRAGMENT, name, &meta, cached))
            }
            Content::Score(score) => Element::Member(Member::new(name, score, location)),
        }
    }

    fn note_deadline(&self, expiry: Option<u64>) {
        if expiry.is_some() {
            self.has_deadlines.store(true, Relaxed);
        }
    }

    /// Whether what all elements come to is what they come to one by one.
    #[cfg(test)]
    pub(in crate::keyspace) fn is_counted_right(&self) -> bool {
        self.read(|inner| {
            let mut sums = Sums::default();
            inner.elements.each(|seen| sums.add(seen));
            sums == inner.sums
        })
    }
}

impl Inner {
    fn put(&mut self, element: Element) -> Option<Element> {
        self.sums.add(element.seen());
        let before = self.elements.put(element);
        if let Some(before) = &before {
            self.sums.remove(before.seen());
        }
        before
    }

    fn take(&mut self, name: &[u8]) -> Option<Element> {
        let element = self.elements.take(name)?;
        self.sums.remove(element.seen());
        Some(element)
    }

    /// The earliest deadline of any field.
    pub(super) fn earliest_deadline(&self) -> Option<u64> {
        if let Elements::Hash(fields) = &self.elements { fields.earliest() } else { None }
    }

    pub(super) fn bytes(&self) -> usize {
        // Whoever still has it, as the hand may, counts it once more: that must come to nothing.
        if self.dissolved { 0 } else { size_of::<Object>() + self.sums.block_bytes + self.elements.table_bytes() }
    }

    pub(super) fn footprint(&self) -> Footprint {
        let bytes = self.bytes();
        let values = self.sums.value_bytes + self.sums.values * CACHE_BYTES;
        Footprint { bytes, bare: bytes.saturating_sub(values) }
    }
}
