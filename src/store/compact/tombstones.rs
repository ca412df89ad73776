//! What must not be forgotten while an older record of its key or element may still be somewhere.
//!
//! A deletion, an expiry that is over, and a value whose time is over hide what is older. Each is dropped only if no other
//! segment with older records may have the key or the element, as the segments' filters say; a segment without one may have
//! any. A deletion, or a value whose time is over, has superseded what it hides when it was written: a segment that is known
//! to have nothing that was superseded by then is not asked. An expiry and a move leave alive what they hide later.
//!
//! In memory are at most 8 MiB of them and the filter of one segment, 10 bits for each of its keys and elements.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::Arc;

use super::super::hash::KeyHasher;
use super::super::log::Log;
use super::super::record::{Draft, Op, Record};
use super::super::segment::{Behind, Location, Segment};
use super::pass::interrupted;
use super::{Index, Pace};

/// Bytes of tombstones in memory before it is decided which of them stay. Tests have fewer records.
const PENDING_BYTES_MAX: usize = if cfg!(test) { 64 << 10 } else { 8 << 20 };
/// What one takes in memory beside its key or name.
const PENDING_OVERHEAD_BYTES: usize = 96;

struct Pending {
    op: Op,
    kind: u8,
    expiry: Option<u64>,
    value: Box<[u8]>,
    hash: u64,
    sequence: u64,
    why: Option<Why>,
}

/// Why one stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// This segment may have what it hides, and will not have it any more once a pass has gone over it.
    Behind(Behind),
    /// It says what is alive, or a segment may have what it hides and always will.
    Pinned,
}

impl Pending {
    /// Whether what it hides was superseded by itself.
    fn supersedes(&self) -> bool {
        matches!(self.op, Op::Delete | Op::RemoveElement)
    }
}

/// What a record is about.
#[derive(PartialEq, Eq, Hash)]
struct Slot {
    of: Of,
    /// The key, or the element's name.
    key: Box<[u8]>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Of {
    Keyspace(u32),
    Object(u64),
}

/// Those of one pass of which it is not yet decided whether they stay.
#[derive(Default)]
pub(super) struct Tombstones {
    /// Of one key or element the newest does it for all.
    newest: HashMap<Slot, Pending>,
    /// Through which moves a value has come where it is, only all of them tell.
    moves: Vec<(Slot, Pending)>,
    bytes: usize,
}

impl Tombstones {
    /// Adds what a record hides; one that is `needed` stays in any case.
    pub(super) fn add(&mut self, hasher: &KeyHasher, record: &Record<'_>, needed: bool) {
        // A value whose time is over is a deletion from then on.
        let op = match record.op {
            Op::Put => Op::Delete,
            Op::SetElement => Op::RemoveElement,
            op => op,
        };
        let (of, hash) = match record.element_of() {
            Some(object) => (Of::Object(object), hasher.element(object, record.key)),
            None => (Of::Keyspace(record.keyspace), hasher.hash(record.key)),
        };
        let (kind, expiry) = if op.removes_value() { (0, None) } else { (record.kind, record.expiry) };
        let value: Box<[u8]> = if op == Op::Move { record.value.into() } else { Box::default() };
        let why = needed.then_some(Why::Pinned);
        let pending = Pending { op, kind, expiry, value, hash, sequence: record.sequence, why };
        let slot = Slot { of, key: record.key.into() };
        self.bytes += record.key.len() + PENDING_OVERHEAD_BYTES;
        if op == Op::Move {
            return self.moves.push((slot, pending));
        }
        match self.newest.entry(slot) {
            Entry::Occupied(mut old) if old.get().sequence < pending.sequence => _ = old.insert(pending),
            Entry::Occupied(_) => {}
            Entry::Vacant(place) => _ = place.insert(pending),
        }
    }

    /// Bytes that they take in memory, which is more than their records take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// Whether it is time to decide.
    pub(super) fn is_due(&self) -> bool {
        self.bytes >= PENDING_BYTES_MAX
    }

    /// Decides which stay and why, and gives their records to `keep`. `others` are the segments that are not part of this pass,
    /// `in_pass` says of a place whether it is, `pace` how fast filters may be read.
    pub(super) fn settle(
        &mut self,
        log: &Log,
        index: &dyn Index,
        others: &[Arc<Segment>],
        in_pass: impl Fn(Location) -> bool,
        pace: Pace<'_>,
        mut keep: impl FnMut(&[u8], Why) -> io::Result<()>,
    ) -> io::Result<()> {
        for other in others {
            let (oldest, purged) = (other.base_sequence(), other.purged());
            let asked = |pending: &Pending| {
                let sequence = pending.sequence;
                pending.why.is_none() && oldest < sequence && !(pending.supersedes() && sequence < purged)
            };
            if !self.all().any(&asked) {
                continue;
            }
            let behind = Behind { segment: other.id, unhinted: other.hint_bytes() == 0 };
            let filter = log.hint(other).map(|hint| hint.filter()).transpose()?.flatten();
            if !pace(filter.as_ref().map_or(0, |filter| filter.bytes())) {
                return Err(interrupted());
            }
            for pending in self.all_mut().filter(|pending| asked(pending)) {
                if filter.as_ref().is_none_or(|filter| filter.may_have(pending.hash)) {
                    pending.why = Some(if pending.supersedes() { Why::Behind(behind) } else { Why::Pinned });
                }
            }
        }
        for (slot, pending) in self.moves.iter_mut().filter(|(_, pending)| pending.why.is_none()) {
            // The value it tells of is copied by this very pass.
            pending.why = index.places(pending.hash, &slot.key).into_iter().any(&in_pass).then_some(Why::Pinned);
        }
        #[cfg(test)]
        if log.compaction.has(super::Planted::TombstonesDropped) {
            self.all_mut().for_each(|pending| pending.why = None);
        }
        let mut bytes = Vec::new();
        for (Slot { of, key }, pending) in self.newest.drain().chain(self.moves.drain(..)) {
            let Pending { op, kind, expiry, value, sequence, why, .. } = pending;
            let Some(why) = why else { continue };
            let (keyspace, object) = match of {
                Of::Keyspace(keyspace) => (keyspace, None),
                Of::Object(object) => (0, Some(object)),
            };
            let draft = Draft { op, kind, keyspace, key: &key, value: &value, expiry, object };
            let measured = draft.measure().map_err(io::Error::other)?;
            bytes.clear();
            draft.write(&measured, 0, sequence, &mut bytes);
            keep(&bytes, why)?;
        }
        self.bytes = 0;
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &Pending> {
        self.newest.values().chain(self.moves.iter().map(|(_, pending)| pending))
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Pending> {
        self.newest.values_mut().chain(self.moves.iter_mut().map(|(_, pending)| pending))
    }
}
