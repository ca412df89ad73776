//! Some items in order, packed.
//!
//! Each takes as many bytes as the latest deadline beyond the run's base needs, and those of a name:
//!
//! ```text
//! deadline beyond the base  0 to 8, little-endian
//! name                      4 or 8, little-endian
//! ```
//!
//! Always true: items are in order of deadline and name, an equal one may stand there more than once; behind the last of
//! them are [`PADDING`] bytes, so that each can be read by two loads of eight.

use std::cmp::Ordering;

use super::Item;

/// What one load reads beyond the shortest field.
const PADDING: usize = 8;

/// The bytes of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::keyspace) enum NameBytes {
    Four = 4,
    Eight = 8,
}

pub(super) struct Run {
    bytes: Vec<u8>,
    /// How many bytes of an item are its deadline, and how many its name.
    deadline: u8,
    name: u8,
}

impl Run {
    /// A run of items that are in order, none of them before `base`.
    pub(super) fn of(base: u64, items: &[Item], name: NameBytes) -> Self {
        let latest = items.last().map_or(0, |item| item.0 - base);
        let mut run = Self { bytes: Vec::new(), deadline: bytes_of(latest), name: name as u8 };
        run.bytes.reserve_exact(rounded(items.len() * run.width() + PADDING));
        run.bytes.resize(items.len() * run.width() + PADDING, 0);
        items.iter().enumerate().for_each(|(place, item)| run.write(place, base, *item));
        run
    }

    pub(super) fn len(&self) -> usize {
        (self.bytes.len() - PADDING) / self.width()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The item at a place.
    #[inline]
    pub(super) fn get(&self, base: u64, place: usize) -> Item {
        let at = place * self.width();
        let deadline = self.load(at) & mask(self.deadline);
        (base + deadline, self.load(at + usize::from(self.deadline)) & mask(self.name))
    }

    pub(super) fn iter(&self, base: u64) -> impl DoubleEndedIterator<Item = Item> + '_ {
        (0..self.len()).map(move |place| self.get(base, place))
    }

    /// The place of the first item that is not before this one.
    pub(super) fn place_of(&self, base: u64, item: Item) -> usize {
        let (mut from, mut to) = (0, self.len());
        // Mostly, what comes is the latest.
        if to > 0 && self.get(base, to - 1) < item {
            return to;
        }
        while from < to {
            let middle = usize::midpoint(from, to);
            match self.get(base, middle).cmp(&item) {
                Ordering::Less => from = middle + 1,
                Ordering::Equal | Ordering::Greater => to = middle,
            }
        }
        from
    }

    /// Whether a deadline can be written as the others are.
    pub(super) fn has_room_for(&self, base: u64, deadline: u64) -> bool {
        deadline >= base && bytes_of(deadline - base) <= self.deadline
    }

    /// Puts an item there, whose deadline there is room for.
    pub(super) fn insert(&mut self, base: u64, place: usize, item: Item) {
        let (at, width, length) = (place * self.width(), self.width(), self.bytes.len());
        if length + width > self.bytes.capacity() {
            self.bytes.reserve_exact(rounded(length + width) - length);
        }
        self.bytes.resize(length + width, 0);
        self.bytes.copy_within(at..length - PADDING, at + width);
        self.write(place, base, item);
    }

    /// Takes out the item there.
    pub(super) fn remove(&mut self, place: usize) {
        let (at, width, length) = (place * self.width(), self.width(), self.bytes.len());
        self.bytes.copy_within(at + width.., at);
        self.bytes.truncate(length - width);
        // Not at once, or else an item that comes and goes would have the run moved each time.
        let fitting = rounded(length - width + (length >> 3));
        if fitting < self.bytes.capacity() {
            self.bytes.shrink_to(fitting);
        }
    }

    #[inline]
    fn width(&self) -> usize {
        usize::from(self.deadline + self.name)
    }

    #[inline]
    fn load(&self, at: usize) -> u64 {
        let bytes = self.bytes[at..at + 8].first_chunk();
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    fn write(&mut self, place: usize, base: u64, item: Item) {
        let (at, deadline, name) = (place * self.width(), usize::from(self.deadline), usize::from(self.name));
        self.bytes[at..at + deadline].copy_from_slice(&(item.0 - base).to_le_bytes()[..deadline]);
        self.bytes[at + deadline..at + deadline + name].copy_from_slice(&item.1.to_le_bytes()[..name]);
    }
}

/// How many bytes a number needs.
fn bytes_of(number: u64) -> u8 {
    (u64::BITS - number.leading_zeros()).div_ceil(8) as u8
}

#[inline]
fn mask(bytes: u8) -> u64 {
    u64::MAX.checked_shr(u64::BITS - 8 * u32::from(bytes)).unwrap_or(0)
}

/// What the allocator would give for so many bytes in any case: four sizes for each power of two.
fn rounded(bytes: usize) -> usize {
    let step = (bytes.next_power_of_two() / 8).max(16);
    bytes.next_multiple_of(step)
}
