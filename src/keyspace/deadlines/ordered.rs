//! Items in order: runs of packed ones, in a map by the first that may be in each.
//!
//! Always true: no run is empty; an item is in the last run whose bound is not after it; equal items are in one run; what
//! an item takes does not depend on what was there before it: each change leaves exactly the items that there are.

use std::collections::BTreeMap;

use super::Item;
use super::run::{NameBytes, Run};

/// How many items a run has at most, unless more are equal.
const RUN_MAX: usize = 256;

/// A run with fewer items is made one with its neighbour where both together stay below [`JOINED_MAX`].
const RUN_MIN: usize = RUN_MAX / 4;
const JOINED_MAX: usize = RUN_MAX * 3 / 4;

/// A run with fewer items is written anew where a deadline needs more bytes than the others; otherwise that begins a run.
const WIDENED_MAX: usize = 32;

pub(super) struct Ordered {
    /// By the bound, whose deadline is the base of the run.
    runs: BTreeMap<Item, Run>,
    name: NameBytes,
    /// How many items there are, and all deadlines together.
    count: usize,
    sum: u128,
}

impl Ordered {
    pub(super) fn new(name: NameBytes) -> Self {
        Self { runs: BTreeMap::new(), name, count: 0, sum: 0 }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn sum(&self) -> u128 {
        self.sum
    }

    /// The earliest deadline.
    pub(super) fn first(&self) -> Option<u64> {
        self.runs.first_key_value().map(|(bound, run)| run.get(bound.0, 0).0)
    }

    /// All items in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Item> + '_ {
        self.runs.iter().flat_map(|(bound, run)| run.iter(bound.0))
    }

    /// The bytes that the runs take, and the map of them about.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let node = size_of::<(Item, Run)>() * 3 / 2;
        self.runs.values().map(|run| run.capacity() + node).sum()
    }

    /// How many items have a deadline at or before `now`.
    pub(super) fn count_due(&self, now: u64) -> usize {
        let mut due = 0;
        // In all runs but the last of these, every item is due.
        for (bound, run) in self.runs.range(..=(now, u64::MAX)) {
            let is_due = run.get(bound.0, run.len() - 1).0 <= now;
            due += if is_due { run.len() } else { run.place_of(bound.0, (now, u64::MAX)) };
        }
        due
    }

    pub(super) fn insert(&mut self, item: Item) {
        self.count += 1;
        self.sum += u128::from(item.0);
        let Some((&bound, run)) = self.runs.range_mut(..=item).next_back() else { return self.insert_first(item) };
        let place = run.place_of(bound.0, item);
        let is_last = place == run.len();
        if run.len() < RUN_MAX && run.has_room_for(bound.0, item.0) {
            return run.insert(bound.0, place, item);
        }
        if is_last && run.len() >= WIDENED_MAX {
            self.runs.insert(item, Run::of(item.0, &[item], self.name));
            return;
        }
        let mut items: Vec<Item> = run.iter(bound.0).collect();
        items.insert(place, item);
        self.put(bound, &items);
    }

    /// Takes out one item that is equal to this; returns whether there was one.
    pub(super) fn remove(&mut self, item: Item) -> bool {
        let Some((&bound, run)) = self.runs.range_mut(..=item).next_back() else { return false };
        let place = run.place_of(bound.0, item);
        if place == run.len() || run.get(bound.0, place) != item {
            return false;
        }
        run.remove(place);
        self.count -= 1;
        self.sum -= u128::from(item.0);
        match run.len() {
            0 => _ = self.runs.remove(&bound),
            1..RUN_MIN => self.join(bound),
            _ => {}
        }
        true
    }

    /// Takes in many items at once.
    pub(super) fn extend(&mut self, mut items: Vec<Item>) {
        items.extend(self.iter());
        items.sort_unstable();
        self.count = items.len();
        self.sum = items.iter().map(|item| u128::from(item.0)).sum();
        self.runs.clear();
        let mut rest = &items[..];
        while let Some(first) = rest.first() {
            // With room for some more, and without what is far later.
            let far = first.0.saturating_add(1 << 32);
            let end = rest.len().min(RUN_MAX * 7 / 8).min(rest.partition_point(|item| item.0 < far).max(1));
            let end = end + rest[end..].iter().take_while(|item| **item == rest[end - 1]).count();
            self.runs.insert(*first, Run::of(first.0, &rest[..end], self.name));
            rest = &rest[end..];
        }
    }

    /// Puts in what is before all others.
    fn insert_first(&mut self, item: Item) {
        let takes = |(bound, run): &(&Item, &Run)| {
            let latest = run.get(bound.0, run.len() - 1).0;
            run.len() < WIDENED_MAX || run.len() < RUN_MAX && run.has_room_for(item.0, latest)
        };
        let first = self.runs.first_key_value().filter(takes).map(|(bound, _)| *bound);
        let Some((bound, run)) = first.and_then(|bound| self.runs.remove_entry(&bound)) else {
            self.runs.insert(item, Run::of(item.0, &[item], self.name));
            return;
        };
        let items: Vec<Item> = std::iter::once(item).chain(run.iter(bound.0)).collect();
        self.put(item, &items);
    }

    /// Makes these the items from a bound on: one run, or two where they are too many.
    fn put(&mut self, bound: Item, items: &[Item]) {
        let middle = items.len() / 2;
        let differs = |at: &usize| items[*at - 1] != items[*at];
        let split = if items.len() > RUN_MAX {
            (middle..items.len()).find(differs).or_else(|| (1..middle).rev().find(differs))
        } else {
            None
        };
        let (left, right) = items.split_at(split.unwrap_or(items.len()));
        self.runs.insert(bound, Run::of(bound.0, left, self.name));
        if let Some(&first) = right.first() {
            self.runs.insert(first, Run::of(first.0, right, self.name));
        }
    }

    /// Makes a small run one with the next, or with the one before, if that is small enough.
    fn join(&mut self, bound: Item) {
        let Some(run) = self.runs.get(&bound) else { return };
        let fits = |other: &Run| run.len() + other.len() <= JOINED_MAX;
        let next = self.runs.range((std::ops::Bound::Excluded(bound), std::ops::Bound::Unbounded)).next();
        let before = self.runs.range(..bound).next_back();
        let pair = match (next.filter(|(_, run)| fits(run)), before.filter(|(_, run)| fits(run))) {
            (Some((&next, _)), _) => (bound, next),
            (None, Some((&before, _))) => (before, bound),
            (None, None) => return,
        };
        let of = |bound: Item| self.runs.get(&bound).into_iter().flat_map(move |run| run.iter(bound.0));
        let items: Vec<Item> = of(pair.0).chain(of(pair.1)).collect();
        // What is far apart stays apart.
        if items[items.len() - 1].0 - pair.0.0 >= 1 << 32 {
            return;
        }
        self.runs.remove(&pair.1);
        self.put(pair.0, &items);
    }
}
