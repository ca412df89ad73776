//! The hand that goes round over all values in memory, those of keys and those of elements alike, and sends back to the disk
//! what was not used of late.
//!
//! Always true: it goes on where it stopped, so that everything has its turn; a step holds one lock, looks at
//! [`STEP_ENTRIES_MAX`] entries at most, and ends as soon as enough is free; what was used since the hand passed last loses
//! one use and stays.
//!
//! What is only on the disk has its uses counted in the same way: that is how it is known which of it was asked for of late, and
//! is worth a place in memory (see [`Room`](super::memory::Room)).

use std::ops::ControlFlow;

use parking_lot::Mutex;

use super::Keyspace;
use super::collections::OBJECT_PARTS;
use super::entry::Entry;
use super::keydir::SHARDS;
use super::shapes::Cursor;
use crate::store::Location;

/// How many entries a step looks at. Each may become a new block, which takes some 300 ns, and a command that sets hundreds of
/// fields takes the lock as often: with 1024, HSET of 500 fields waited 120 ms for the hand.
pub(super) const STEP_ENTRIES_MAX: usize = 128;

/// How many bytes a step sets free: to give large blocks back to the system takes time, too.
const STEP_BYTES_MAX: usize = 1 << 20;

/// Where the hand is.
#[derive(Default)]
pub(super) struct Hand(Mutex<Way>);

#[derive(Clone, Copy, Default)]
struct Way {
    at: Place,
    /// The round that it is in the midst of.
    round: Option<Round>,
}

#[derive(Clone, Copy)]
struct Round {
    start: Place,
    has_wrapped: bool,
}

/// What the hand has done on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    /// Bytes that are free now.
    pub(super) freed: usize,
    looked_at: usize,
    /// Whether it has come round.
    pub(super) is_whole: bool,
    /// Whether the round was begun before.
    pub(super) was_begun: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// One shard of one database, or after all of those one part of the table of objects.
    stop: usize,
    /// In such a part, the lowest id of an object that is still to come, or that it is in the midst of.
    object: u64,
    within: Cursor,
}

/// How the hand treats what it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// What was used of late stays, and has one use less; with `ages`, so has what is only on the disk.
    Spare { ages: bool },
    /// All that may go goes.
    All,
    /// As `Spare` until so many bytes are free, and what stays moves to a new block: the allocator puts those together, and gives
    /// back the pages that they have left.
    Renew { wanted: usize },
}

/// What a step may do, and has done.
pub(super) struct Step<'a> {
    manner: Manner,
    may_go: &'a dyn Fn(Location) -> bool,
    bytes_wanted: usize,
    /// It ends here at the latest.
    pub(super) until: Cursor,
    pub(super) looked_at: usize,
    pub(super) freed: usize,
}

impl<'a> Step<'a> {
    /// A step after which `bytes_wanted` or more are free, if it comes by so many in values that `may_go`.
    pub(super) fn new(manner: Manner, bytes_wanted: usize, may_go: &'a dyn Fn(Location) -> bool) -> Self {
        let bytes_wanted = bytes_wanted.min(STEP_BYTES_MAX);
        Self { manner, may_go, bytes_wanted, until: Cursor::MAX, looked_at: 0, freed: 0 }
    }

    /// Passes an entry, whose value leaves memory if it may and was not used of late. Says whether the step goes on.
    pub(super) fn pass(&mut self, entry: &mut Entry) -> ControlFlow<()> {
        self.looked_at += 1;
        let frees = !matches!(self.manner, Manner::Renew { wanted } if self.freed >= wanted);
        let mut went = false;
        if frees && entry.value().bytes().is_some() {
            if self.manner != Manner::All && entry.uses() > 0 {
                entry.forget_use();
            } else if (self.may_go)(entry.location()) {
                let before = entry.bytes();
                went = entry.demote();
                self.freed += before - entry.bytes();
            }
        } else if self.manner == (Manner::Spare { ages: true }) {
            entry.forget_use();
        }
        if !went && matches!(self.manner, Manner::Renew { .. }) {
            entry.renew();
        }
        let is_enough = self.looked_at >= STEP_ENTRIES_MAX || self.freed >= self.bytes_wanted;
        if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Place {
    fn next_stop(self) -> Self {
        Self { stop: self.stop + 1, ..Self::default() }
    }
}

impl Keyspace {
    /// Lets the hand go round once, or until `excess` bytes are free. Returns how many are.
    #[cfg(test)]
    pub(super) fn sweep_round(&self, excess: usize, manner: Manner) -> usize {
        self.memory.hand.0.lock().round = None;
        self.sweep(excess, manner, usize::MAX).freed
    }

    /// Lets the hand go on until its round is whole, or `excess` bytes are free, or it has looked at about so many entries.
    pub(super) fn sweep(&self, excess: usize, manner: Manner, looked_at_max: usize) -> Swept {
        let may_go = |location| self.store.is_written(location);
        let stops = self.bound.databases.len() * SHARDS + OBJECT_PARTS;
        let Way { at: start, round } = *self.memory.hand.0.lock();
        let (mut at, mut ids) = (start, None);
        let mut swept = Swept { was_begun: round.is_some(), ..Swept::default() };
        let mut round = round.unwrap_or(Round { start, has_wrapped: false });
        while swept.freed < excess && swept.looked_at < looked_at_max && !swept.is_whole {
            let manner = match manner {
                Manner::Renew { wanted } => Manner::Renew { wanted: wanted.saturating_sub(swept.freed) },
                manner => manner,
            };
            let mut step = Step::new(manner, excess - swept.freed, &may_go);
            let next = self.sweep_at(at, round.has_wrapped.then_some(round.start), &mut ids, &mut step);
            // A stop without entries takes time, too.
            swept.looked_at += step.looked_at.max(1);
            swept.freed += step.freed;
            at = if next.stop < stops { next } else { Place::default() };
            round.has_wrapped |= next.stop == stops;
            swept.is_whole = round.has_wrapped && at >= round.start;
        }
        *self.memory.hand.0.lock() = Way { at, round: (!swept.is_whole).then_some(round) };
        swept
    }

    /// One step, which ends before `end`; returns where the next one is. `ids` are those of the objects that are still to come in the same part, the next one last.
    fn sweep_at(&self, mut at: Place, end: Option<Place>, ids: &mut Option<Vec<u64>>, step: &mut Step<'_>) -> Place {
        let (databases, objects) = (&self.bound.databases, &self.bound.objects);
        let part = at.stop.checked_sub(databases.len() * SHARDS);
        if let Some(part) = part {
            let Some(&id) = ids.get_or_insert_with(|| objects.ids_from(part, at.object)).last() else {
                *ids = None;
                return at.next_stop();
            };
            if id != at.object {
                at = Place { object: id, within: Cursor::default(), ..at };
            }
        }
        match end {
            Some(end) if at >= end => return at,
            Some(end) if (at.stop, at.object) == (end.stop, end.object) => step.until = end.within,
            _ => {}
        }
        let next = match part {
            None => {
                let keydir = databases[at.stop % databases.len()].load();
                let next = keydir.sweep(at.stop / databases.len(), at.within.passed, step);
                next.map(|passed| Cursor { order: 0, passed })
            }
            Some(_) => objects.sweep(at.object, at.within, step),
        };
        match (next, part, ids) {
            (Some(within), ..) => Place { within, ..at },
            (None, Some(_), Some(ids)) => {
                ids.pop();
                Place { object: at.object + 1, within: Cursor::default(), ..at }
            }
            (None, ..) => at.next_stop(),
        }
    }
}
