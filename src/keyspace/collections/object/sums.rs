//! What all elements of a collection come to.

use super::super::elements::Seen;
use super::super::listpack::{length_of, weight};
use crate::types::kind::{Kind, Type};

/// What all elements come to.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::keyspace::collections) struct Sums {
    /// Bytes of their blocks.
    pub(super) block_bytes: usize,
    /// Values that are in memory, of which some may be empty, and their bytes.
    pub(super) values: usize,
    pub(super) value_bytes: usize,
    /// How many have values that are not at hand: they are only on the disk, or damaged.
    pub(in crate::keyspace::collections) absent: usize,
    /// Of a list: the bytes they would take in a listpack.
    pub(in crate::keyspace::collections) weight: usize,
}

/// What one element adds.
struct Share {
    block_bytes: usize,
    /// Bytes of its value, if that is in memory.
    value: Option<usize>,
    is_absent: bool,
    weight: usize,
}

impl Share {
    #[inline]
    fn of(seen: Seen<'_>) -> Self {
        match seen {
            Seen::Member(member) => Self { block_bytes: member.bytes(), value: None, is_absent: false, weight: 0 },
            Seen::Block(entry) => {
                let extent = entry.extent();
                let weight = if Kind(extent.kind).of() == Type::List {
                    weight(extent.kind, extent.value.unwrap_or_else(|| length_of(entry)))
                } else {
                    0
                };
                let is_absent = extent.value.is_none() || extent.is_damaged;
                Self { block_bytes: extent.bytes, value: extent.value, is_absent, weight }
            }
        }
    }
}

/// Bytes that an element of a list takes in a listpack.
#[inline]
pub(super) fn weight_of(seen: Seen<'_>) -> usize {
    Share::of(seen).weight
}

impl Sums {
    #[inline]
    pub(in crate::keyspace::collections) fn add(&mut self, seen: Seen<'_>) {
        let share = Share::of(seen);
        self.block_bytes += share.block_bytes;
        if let Some(bytes) = share.value {
            self.values += 1;
            self.value_bytes += bytes;
        }
        self.absent += usize::from(share.is_absent);
        self.weight += share.weight;
    }

    #[inline]
    pub(in crate::keyspace::collections) fn remove(&mut self, seen: Seen<'_>) {
        let share = Share::of(seen);
        self.block_bytes -= share.block_bytes;
        if let Some(bytes) = share.value {
            self.values -= 1;
            self.value_bytes -= bytes;
        }
        self.absent -= usize::from(share.is_absent);
        self.weight -= share.weight;
    }
}
