//! The deadlines of one keydir's volatile keys, in order, so that an expired key is found without being asked for.
//!
//! Always true: for every key with an expiry there is one item (deadline, hash of the key); an item without its
//! key may stand for a moment, a key without its item never does.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

/// How many parts the deadlines are split into, so that writers seldom meet.
const PARTS: usize = 64;

pub(super) struct Deadlines {
    parts: Box<[Part]>,
}

struct Part {
    /// The earliest deadline, readable without the lock; `u64::MAX` when there is none.
    earliest: AtomicU64,
    items: Mutex<Items>,
    /// Items that are not yet among the others: while the log is read back, nobody asks.
    gathered: Mutex<Vec<(u64, u64)>>,
}

/// Deadlines with the hashes of their keys.
#[derive(Default)]
struct Items {
    in_order: BTreeSet<(u64, u64)>,
    /// Of all deadlines.
    sum: u128,
}

impl Deadlines {
    pub(super) fn new() -> Self {
        let part = |_| Part { earliest: AtomicU64::new(u64::MAX), items: Mutex::default(), gathered: Mutex::default() };
        Self { parts: (0..PARTS).map(part).collect() }
    }

    /// Moves the item of the key with `hash` from one deadline to another.
    pub(super) fn change(&self, hash: u64, old: Option<u64>, new: Option<u64>) {
        if old == new {
            return;
        }
        let part = self.part(hash);
        let mut items = part.items.lock();
        if let Some(old) = old
            && items.in_order.remove(&(old, hash))
        {
            items.sum -= u128::from(old);
        }
        if let Some(new) = new
            && items.in_order.insert((new, hash))
        {
            items.sum += u128::from(new);
        }
        part.earliest.store(items.in_order.first().map_or(u64::MAX, |item| item.0), Relaxed);
    }

    /// Takes in many items of keys that have none, which count once [`Deadlines::settle`] was called.
    pub(super) fn gather(&self, mut items: Vec<(u64, u64)>) {
        items.sort_unstable_by_key(|item| item.1 as usize % PARTS);
        for items in items.chunk_by(|one, other| one.1 as usize % PARTS == other.1 as usize % PARTS) {
            self.part(items[0].1).gathered.lock().extend_from_slice(items);
        }
    }

    /// Makes items of what was gathered, in so many threads.
    pub(super) fn settle(&self, threads: usize) {
        let each = PARTS.div_ceil(threads.clamp(1, PARTS));
        std::thread::scope(|scope| {
            let mut chunks = self.parts.chunks(each);
            let own = chunks.next();
            for parts in chunks {
                let work = || parts.iter().for_each(Part::settle);
                if std::thread::Builder::new().name("load".to_owned()).spawn_scoped(scope, work).is_err() {
                    work();
                }
            }
            own.into_iter().flatten().for_each(Part::settle);
        });
    }

    /// Up to `limit` items whose deadline is at or before `now`, the earliest of each part first.
    pub(super) fn due(&self, now: u64, limit: usize) -> Vec<(u64, u64)> {
        let mut due = Vec::new();
        for part in self.parts.iter().filter(|part| part.earliest.load(Relaxed) <= now) {
            let items = part.items.lock();
            due.extend(items.in_order.iter().take_while(|item| item.0 <= now).take(limit - due.len()));
            if due.len() >= limit {
                break;
            }
        }
        due
    }

    /// How many items have a deadline at or before `now`.
    pub(super) fn count_due(&self, now: u64) -> usize {
        let due = self.parts.iter().filter(|part| part.earliest.load(Relaxed) <= now);
        due.map(|part| part.items.lock().in_order.range(..=(now, u64::MAX)).count()).sum()
    }

    /// The mean of all deadlines.
    pub(super) fn mean(&self) -> Option<u64> {
        let of_part = |(count, sum): (usize, u128), part: &Part| {
            let items = part.items.lock();
            (count + items.in_order.len(), sum + items.sum)
        };
        let (count, sum) = self.parts.iter().fold((0, 0), of_part);
        sum.checked_div(count as u128).map(|mean| mean as u64)
    }

    /// The earliest deadline of all.
    pub(super) fn earliest(&self) -> Option<u64> {
        let earliest = self.parts.iter().map(|part| part.earliest.load(Relaxed)).min();
        earliest.filter(|&deadline| deadline != u64::MAX)
    }

    fn part(&self, hash: u64) -> &Part {
        // The lowest bits choose the bucket inside a shard; any will do here.
        &self.parts[hash as usize % PARTS]
    }
}

impl Part {
    fn settle(&self) {
        let mut gathered = std::mem::take(&mut *self.gathered.lock());
        gathered.sort_unstable();
        let mut items = self.items.lock();
        // A set is built fast from what is in order.
        items.in_order.append(&mut gathered.into_iter().collect());
        items.sum = items.in_order.iter().map(|item| u128::from(item.0)).sum();
        self.earliest.store(items.in_order.first().map_or(u64::MAX, |item| item.0), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_and_within_the_limit() {
        let deadlines = Deadlines::new();
        for (hash, deadline) in [(1u64, 30u64), (65, 10), (2, 20), (3, 40)] {
            deadlines.change(hash, None, Some(deadline));
        }
        assert_eq!((deadlines.earliest(), deadlines.mean()), (Some(10), Some(25)));
        assert_eq!((Deadlines::new().mean(), deadlines.due(9, 10)), (None, vec![]));
        assert_eq!(deadlines.due(30, 10), [(10, 65), (30, 1), (20, 2)]);
        assert_eq!(deadlines.due(30, 1), [(10, 65)]);
        assert_eq!([9, 10, 29, 30, 40].map(|now| deadlines.count_due(now)), [0, 1, 2, 3, 4]);
        deadlines.change(65, Some(10), Some(50));
        deadlines.change(2, Some(20), None);
        assert_eq!(deadlines.due(30, 10), [(30, 1)]);
        assert_eq!((deadlines.earliest(), deadlines.mean()), (Some(30), Some(40)));
    }

    #[test]
    fn what_was_gathered_is_due_like_the_others_once_it_is_settled() {
        for threads in [0, 1, 2, 3, 64, 100] {
            let (one_by_one, together) = (Deadlines::new(), Deadlines::new());
            let items: Vec<(u64, u64)> = (0..1000).map(|number| (number * 7919 % 1000, number)).collect();
            items.iter().for_each(|(deadline, hash)| one_by_one.change(*hash, None, Some(*deadline)));
            together.change(items[0].1, None, Some(items[0].0));
            items[1..].chunks(300).for_each(|items| together.gather(items.to_vec()));
            assert_eq!(together.due(u64::MAX, usize::MAX).len(), 1);
            together.settle(threads);
            assert_eq!(together.due(u64::MAX, usize::MAX), one_by_one.due(u64::MAX, usize::MAX));
            assert_eq!((together.earliest(), together.mean()), (Some(0), one_by_one.mean()));
        }
    }
}
