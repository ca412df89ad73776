//! The deadlines of one keydir's volatile keys, in order, so that an expired key is found without being asked for.
//!
//! Always true: for every key with an expiry there is one item, its deadline and a name by which the key is found; an item
//! without its key may stand for a moment, a key without its item never does. Keys of the same name and deadline have an
//! item each, so that a name need not be unique.

mod alarm;
mod ordered;
mod run;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

pub(super) use alarm::Alarm;
use ordered::Ordered;
pub(super) use run::NameBytes;

/// How many parts the deadlines are split into, so that writers seldom meet. An item's part is what its name leaves when it is
/// divided by this, and is not written with it.
const PARTS: usize = 1 << PART_BITS;
const PART_BITS: u32 = 6;

/// A deadline with a name.
type Item = (u64, u64);

pub(super) struct Deadlines {
    parts: Box<[Part]>,
    alarm: Arc<Alarm>,
    /// The part that is looked at first, so that none waits for the others each time.
    turn: AtomicUsize,
}

struct Part {
    /// The earliest deadline, readable without the lock; `u64::MAX` when there is none.
    earliest: AtomicU64,
    items: Mutex<Ordered>,
    /// Items that are not yet among the others: while the log is read back, nobody asks.
    gathered: Mutex<Vec<Item>>,
}

impl Deadlines {
    /// None. A name has so many bytes of its own, beside the [`PART_BITS`].
    pub(super) fn new(name: NameBytes, alarm: Arc<Alarm>) -> Self {
        let part = |_| Part {
            earliest: AtomicU64::new(u64::MAX),
            items: Mutex::new(Ordered::new(name)),
            gathered: Mutex::default(),
        };
        Self { parts: (0..PARTS).map(part).collect(), alarm, turn: AtomicUsize::new(0) }
    }

    /// Moves an item of this name from one deadline to another.
    pub(super) fn change(&self, name: u64, old: Option<u64>, new: Option<u64>) {
        if old == new {
            return;
        }
        let part = self.part(name);
        let mut items = part.items.lock();
        if let Some(old) = old {
            items.remove((old, name >> PART_BITS));
        }
        if let Some(new) = new {
            items.insert((new, name >> PART_BITS));
        }
        let earliest = part.earliest.load(Relaxed);
        if old.into_iter().chain(new).all(|deadline| deadline > earliest) {
            return;
        }
        let first = items.first().unwrap_or(u64::MAX);
        part.earliest.store(first, Relaxed);
        drop(items);
        if first < earliest {
            self.alarm.note(first);
        }
    }

    /// Takes in many items of keys that have none, which count once [`Deadlines::settle`] was called.
    pub(super) fn gather(&self, mut items: Vec<Item>) {
        items.sort_unstable_by_key(|item| item.1 as usize % PARTS);
        for items in items.chunk_by(|one, other| one.1 as usize % PARTS == other.1 as usize % PARTS) {
            let own = items.iter().map(|item| (item.0, item.1 >> PART_BITS));
            self.part(items[0].1).gathered.lock().extend(own);
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
    pub(super) fn due(&self, now: u64, limit: usize) -> Vec<Item> {
        let mut due = Vec::new();
        if self.earliest().is_none_or(|earliest| earliest > now) || limit == 0 {
            return due;
        }
        let first = self.turn.fetch_add(1, Relaxed);
        for number in (0..PARTS).map(|step| (first + step) % PARTS) {
            let part = &self.parts[number];
            if part.earliest.load(Relaxed) > now {
                continue;
            }
            let items = part.items.lock();
            let whole = |item: Item| (item.0, item.1 << PART_BITS | number as u64);
            due.extend(items.iter().take_while(|item| item.0 <= now).take(limit - due.len()).map(whole));
            if due.len() >= limit {
                break;
            }
        }
        due
    }

    /// How many items have a deadline at or before `now`.
    pub(super) fn count_due(&self, now: u64) -> usize {
        let due = self.parts.iter().filter(|part| part.earliest.load(Relaxed) <= now);
        due.map(|part| part.items.lock().count_due(now)).sum()
    }

    /// The mean of all deadlines.
    pub(super) fn mean(&self) -> Option<u64> {
        let of_part = |(count, sum): (usize, u128), part: &Part| {
            let items = part.items.lock();
            (count + items.count(), sum + items.sum())
        };
        let (count, sum) = self.parts.iter().fold((0, 0), of_part);
        sum.checked_div(count as u128).map(|mean| mean as u64)
    }

    /// The earliest deadline of all.
    pub(super) fn earliest(&self) -> Option<u64> {
        let earliest = self.parts.iter().map(|part| part.earliest.load(Relaxed)).min();
        earliest.filter(|&deadline| deadline != u64::MAX)
    }

    fn part(&self, name: u64) -> &Part {
        &self.parts[name as usize % PARTS]
    }
}

impl Part {
    fn settle(&self) {
        let gathered = std::mem::take(&mut *self.gathered.lock());
        let mut items = self.items.lock();
        items.extend(gathered);
        self.earliest.store(items.first().unwrap_or(u64::MAX), Relaxed);
    }
}
