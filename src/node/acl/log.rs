//! What was refused to whom: the entries of ACL LOG, and the counters of INFO.
//!
//! Always true: the newest entry comes first; what was refused again within a minute is counted in the entry it has.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use super::check::Reason;

/// Among so many of the newest entries one for the same is looked for.
const COMPARED: usize = 10;
/// What is further apart, in milliseconds, is not the same any more.
const APART_MAX: u64 = 60_000;

/// Where a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    TopLevel,
    /// When it was queued, or by EXEC.
    Transaction,
}

impl Place {
    /// As ACL LOG names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TopLevel => "toplevel",
            Self::Transaction => "multi",
        }
    }
}

/// What was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    pub place: Place,
    /// The command, key or channel.
    pub object: Vec<u8>,
    pub user: Vec<u8>,
}

/// One line of the log.
#[derive(Clone, Debug)]
pub struct Entry {
    pub refusal: Refusal,
    /// How often it happened.
    pub count: u64,
    /// Never used again while the server runs.
    pub id: u64,
    /// In milliseconds since the Unix epoch.
    pub created: u64,
    /// When it happened last, in milliseconds since the Unix epoch.
    pub updated: u64,
    /// Who it happened to last, as CLIENT LIST shows it.
    pub client: String,
}

/// The log.
#[derive(Debug, Default)]
pub struct Log {
    entries: Mutex<VecDeque<Entry>>,
    next_id: AtomicU64,
    counts: [AtomicU64; 4],
}

impl Log {
    /// Notes a refusal at `now`, in milliseconds since the Unix epoch; keeps no more than so many entries.
    pub fn add(&self, refusal: Refusal, client: String, now: u64, entries_max: usize) {
        self.counts[refusal.reason as usize].fetch_add(1, Relaxed);
        let mut entries = self.entries.lock();
        entries.truncate(entries_max);
        if entries_max == 0 {
            return;
        }
        let is_same = |entry: &Entry| entry.refusal == refusal && now.abs_diff(entry.updated) <= APART_MAX;
        let at = entries.iter().take(COMPARED).position(is_same);
        let entry = match at.and_then(|at| entries.remove(at)) {
            Some(entry) => Entry { count: entry.count + 1, updated: now, client, ..entry },
            None => {
                let id = self.next_id.fetch_add(1, Relaxed);
                Entry { refusal, count: 1, id, created: now, updated: now, client }
            }
        };
        entries.push_front(entry);
        entries.truncate(entries_max);
    }

    /// The newest entries, no more than so many.
    pub fn newest(&self, count: usize) -> Vec<Entry> {
        self.entries.lock().iter().take(count).cloned().collect()
    }

    /// Drops the oldest entries, until no more than so many are left.
    pub fn truncate(&self, entries_max: usize) {
        self.entries.lock().truncate(entries_max);
    }

    /// How often something was refused for this reason since the start.
    pub fn count(&self, reason: Reason) -> u64 {
        self.counts[reason as usize].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(object: &str) -> Refusal {
        Refusal { reason: Reason::Key, place: Place::TopLevel, object: object.into(), user: b"alice".to_vec() }
    }

    #[test]
    fn the_same_is_counted_and_comes_first_again() {
        let log = Log::default();
        for (object, now) in [("a", 1000), ("b", 2000), ("a", 61_000), ("b", 62_001)] {
            log.add(refusal(object), format!("at {now}"), now, 128);
        }
        let told: Vec<(u64, u64, u64, u64)> =
            log.newest(9).iter().map(|entry| (entry.id, entry.count, entry.created, entry.updated)).collect();
        assert_eq!(told, [(2, 1, 62_001, 62_001), (0, 2, 1000, 61_000), (1, 1, 2000, 2000)]);
        assert_eq!(log.newest(2)[1].client, "at 61000");
        assert_eq!((log.count(Reason::Key), log.count(Reason::Auth)), (4, 0));
    }

    #[test]
    fn only_the_newest_are_compared_and_kept() {
        let log = Log::default();
        for number in 0..=COMPARED {
            log.add(refusal(&number.to_string()), String::new(), 1000, 128);
        }
        log.add(refusal("0"), String::new(), 1000, 128);
        assert_eq!(log.newest(99).len(), COMPARED + 2);
        log.add(refusal("x"), String::new(), 1000, 3);
        assert_eq!(log.newest(99).len(), 3);
        log.add(refusal("x"), String::new(), 1000, 0);
        log.truncate(0);
        assert_eq!((log.newest(99).len(), log.count(Reason::Key)), (0, COMPARED as u64 + 4));
    }
}
