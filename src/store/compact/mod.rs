//! Compaction: copies what is alive out of segments and takes these away.
//!
//! Always true: a segment is taken away only when nothing refers to it any more, all of what was copied out of it is durable,
//! and so is whatever made the rest of it dead; all segments of a pass go by one edit of the manifest, or none goes. A
//! record keeps its sequence number wherever it is. A record that does not verify keeps its segment. A segment of which
//! something is counted as alive that a pass has not found there is left alone until the count changes.
//!
//! | file | what |
//! | --- | --- |
//! | `choose` | which segments are worth it |
//! | `pass` | reads them, copies what is alive |
//! | `output` | the segment that is written |
//! | `tombstones` | which deletions must stay |
//! | `retain` | what is kept of the past |
//! | `task` | when: the schedule, the pace |

mod choose;
mod output;
mod pass;
mod retain;
mod task;
mod tombstones;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use self::choose::{Budget, Candidate, choose};
use self::output::Output;
use super::log::Log;
use super::manifest::{Edit, segment_file_name};
use super::recovery::OnProgress;
use super::segment::{Behind, FIRST_OFFSET, Location, Segment};
use crate::sync::{Mutex, point};

pub use self::retain::Retained;
pub(super) use self::task::Orders;
pub use self::task::{Policy, Window};

/// The index of what is alive, as compaction needs it. It is asked while others read and write.
pub trait Index: Send + Sync {
    /// Tells that keys with these hashes are about to be looked at in `keyspace`, one after the other.
    fn prefetch(&self, keyspace: u32, hashes: &[u64]);

    /// What `key`, whose hash is `hash`, is in `keyspace`, seen from its record at `at`.
    fn look(&self, keyspace: u32, hash: u64, key: &[u8], at: Location) -> Look;

    /// Where the values of `key` are, in all keyspaces.
    fn places(&self, hash: u64, key: &[u8]) -> Vec<Location>;

    /// Says that the value of `key` at `from`, which was put there in `keyspace`, is at `to` now; `false` if no key's value
    /// is at `from` any more.
    fn relocate(&self, keyspace: u32, hash: u64, key: &[u8], from: Location, to: Location) -> bool;

    /// What the element of this name is in `object`, seen from its record at `at`. An object that no key's value names any more
    /// is unbound, for good; while somebody is in the middle of changing it, an element may be told as absent that is not here.
    fn look_element(&self, object: u64, name: &[u8], at: Location) -> Look;

    /// Says that the value of an element at `from` is at `to` now; `false` if none is at `from` any more.
    fn relocate_element(&self, object: u64, name: &[u8], from: Location, to: Location) -> bool;

    /// Whether all of what was appended before can be seen by the others now, and what it supersedes is retired. It waits for
    /// whoever is about to do that, but not for long.
    fn is_up_to_date(&self) -> bool;

    /// The keyspace that a database is bound to.
    fn binding(&self, database: u32) -> Option<u32>;
}

/// What a key or an element is, seen from one of its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Its value is this record.
    Here,
    /// Its value is another record; this is its expiry.
    Elsewhere(Option<u64>),
    /// There is no such key, or no such element.
    Absent,
    /// A command is changing elements of this object: the record may be what is there once more, or there may be nothing.
    Unsettled,
    /// No database is bound to its keyspace, or no key's value names its object.
    Unbound,
}

/// What compaction has done since the start, and what it does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompactionStatus {
    /// A pass is running.
    pub running: bool,
    /// Passes completed.
    pub passes: u64,
    /// Passes that failed.
    pub failed: u64,
    /// Bytes of the segments that were taken away.
    pub bytes_removed: u64,
    /// Bytes of records written.
    pub bytes_written: u64,
    /// The last pass failed.
    pub failing: bool,
    /// How long the last pass took, if there was one.
    pub last_seconds: Option<f64>,
    /// Segments that must stay since something in them is damaged.
    pub damaged_segments: u64,
}

/// What compacting everything has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of segments and hints before, without what is reserved for records to come.
    pub bytes_before: u64,
    /// The same afterwards.
    pub bytes_after: u64,
    /// Passes that have won something.
    pub passes: u64,
    /// Segments that must stay since something in them is damaged.
    pub damaged_segments: u64,
}

/// What a store keeps of its compaction.
#[derive(Default)]
pub(super) struct Compaction {
    /// One pass at a time. What is in here was written by passes whose edit of the manifest failed.
    unlisted: Mutex<Vec<Output>>,
    /// Held while survivors are listed and others are taken off, and while a backup looks at the list and makes links.
    pub(super) listing: Mutex<()>,
    /// Rises with each segment taken away: deletions that had to stay may go now.
    removals: AtomicU64,
    running: AtomicBool,
    passes: AtomicU64,
    failed: AtomicU64,
    bytes_removed: AtomicU64,
    bytes_written: AtomicU64,
    failing: AtomicBool,
    /// 0: there was none.
    last_microseconds: AtomicU64,
    #[cfg(test)]
    planted: Mutex<Option<Planted>>,
}

/// A fault, for the tests that have to notice it.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// Files are removed before the manifest says that they are gone.
    RemovedEarly,
    /// No deletion stays, whatever it hides.
    TombstonesDropped,
    /// What made a record dead need not be durable.
    NoSyncOfTheLog,
    /// The index is told where values are before they are written there.
    ToldEarly,
    /// Whoever finds a segment gone does not look once more where the value is now.
    NoSecondLook,
    /// The log is not told that the time of a key has come.
    TimeNotMarked,
    /// What has expired hides nothing that is older.
    ExpiredDropped,
    /// Of no segment it is asked whether anything in it is superseded.
    AllPurged,
    /// What is copied in the middle of a change is taken for the newest there is.
    UnsettledTrusted,
}

impl Compaction {
    #[cfg(test)]
    pub(super) fn plant(&self, planted: Option<Planted>) {
        *self.planted.lock() = planted;
    }

    #[cfg(test)]
    pub(super) fn has(&self, planted: Planted) -> bool {
        *self.planted.lock() == Some(planted)
    }

    fn fail(&self) {
        self.failing.store(true, Ordering::Relaxed);
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// What stays for other reasons than a segment that can be waited for is not looked at again before so many segments have been
/// taken away; or before all that there are, so that those with nothing else do not take turns without end.
const PINNED_FOR_REMOVALS: u64 = 32;
/// Where the budget is exceeded and nothing else can be done, it is looked at once there have been as many changes as this part
/// of all records that stay so.
const PINNED_PART: u64 = 2;
/// Hints take space beside what is alive, and what is alive may take at least this much of it more than it is: where records
/// are hardly longer than what their hints say of them, more would cost many times the writing.
const AMPLIFICATION_WITH_HINTS: f64 = 1.25;
/// How many keys are looked at together: one after the other, each would wait for memory several times.
const TOGETHER: usize = 32;

/// Waits after `bytes` were read and written; `false` ends the pass.
pub(super) type Pace<'a> = &'a dyn Fn(u64) -> bool;

impl Log {
    /// Makes passes until nothing is won any more, whatever the budget.
    pub(super) fn compact_all(&self, index: &dyn Index, on_progress: OnProgress<'_>) -> io::Result<Compacted> {
        // Without the hint of a segment, all deletions that may hide something in it must stay.
        self.write_hints()?;
        let (bytes_before, done, on_progress) = (self.used_bytes(), Cell::new(0), RefCell::new(on_progress));
        let pace = |bytes| {
            done.set(done.get() + bytes);
            (on_progress.borrow_mut())(done.get().min(bytes_before), bytes_before);
            true
        };
        let (policy, mut passes) = (self.orders.policy(), 0);
        while self.compact_once(index, &policy, Some(self.manifest.next_segment_id()), &pace)? {
            passes += 1;
        }
        let damaged_segments = self.table.load().all().filter(|segment| self.is_broken(segment)).count() as u64;
        Ok(Compacted { bytes_before, bytes_after: self.used_bytes(), passes, damaged_segments })
    }

    /// Bytes of segments and hints, without what is reserved.
    fn used_bytes(&self) -> u64 {
        let table = self.table.load();
        let begun = table.all().filter(|segment| segment.is_left() && segment.bytes() > 0);
        begun.map(|segment| u64::from(FIRST_OFFSET) + segment.bytes() + segment.hint_bytes()).sum()
    }

    /// Whether something in a segment is known to be damaged.
    fn is_broken(&self, segment: &Segment) -> bool {
        segment.is_damaged() || self.is_flawed(segment.id)
    }

    /// Makes one pass, if any segment is worth it. Within the budget few are, unless it is forced: then those with an id
    /// below `forced` are. Returns whether anything was won.
    pub(super) fn compact_once(
        &self,
        index: &dyn Index,
        policy: &Policy,
        forced: Option<u32>,
        pace: Pace<'_>,
    ) -> io::Result<bool> {
        let mut unlisted = self.compaction.unlisted.lock();
        self.list(&mut unlisted)?;
        if self.is_ended() {
            return Ok(false);
        }
        loop {
            let victims = self.victims(policy, forced);
            if victims.is_empty() {
                return Ok(false);
            }
            victims.iter().for_each(|victim| victim.set_compacting(true));
            let done = self.timed(|| self.pass(index, &victims, &mut unlisted, policy.retention, pace));
            victims.iter().for_each(|victim| victim.set_compacting(false));
            // Where some turned out to have to stay, the others go without them.
            if !matches!(done, Ok(false)) || victims.iter().all(|victim| self.may_go(victim)) {
                return done;
            }
        }
    }

    /// The segments of the next pass, those that begin first first.
    fn victims(&self, policy: &Policy, forced: Option<u32>) -> Vec<Arc<Segment>> {
        let mut candidates = self.candidates();
        candidates.retain(|candidate| forced.is_none_or(|below| candidate.id < below));
        let ids = choose(&candidates, &self.budget(policy), forced.is_some());
        let table = self.table.load_full();
        let mut victims: Vec<Arc<Segment>> = ids.iter().filter_map(|id| table.get(*id)).cloned().collect();
        victims.sort_by_key(|victim| victim.base_sequence());
        victims
    }

    /// Makes a pass, and counts it.
    fn timed(&self, pass: impl FnOnce() -> io::Result<bool>) -> io::Result<bool> {
        self.compaction.running.store(true, Ordering::Relaxed);
        let began = self.clock.monotonic();
        let done = pass();
        let took = self.clock.monotonic().saturating_sub(began);
        self.compaction.last_microseconds.store((took.as_micros() as u64).max(1), Ordering::Relaxed);
        self.compaction.running.store(false, Ordering::Relaxed);
        self.compaction.failing.store(false, Ordering::Relaxed);
        match &done {
            Ok(_) => _ = self.compaction.passes.fetch_add(1, Ordering::Relaxed),
            // It was told to stop.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.compaction.fail(),
        }
        done
    }

    /// Bytes of files that the log takes, and those it may take.
    pub(super) fn budget(&self, policy: &Policy) -> Budget {
        let total = self.disk_bytes();
        let live = self.live_bytes();
        let hinted = live + self.live_hint_bytes();
        let amplification = policy.space_amplification;
        let allowed = (live as f64 * amplification).max(hinted as f64 * amplification.min(AMPLIFICATION_WITH_HINTS));
        let total_max = (allowed as u64).max(hinted + policy.garbage_bytes_min);
        Budget { total, total_max, segment: self.segment_bytes(live) }
    }

    /// Bytes of hints that are about what is alive, as far as can be said.
    fn live_hint_bytes(&self) -> u64 {
        let of = |segment: &Arc<Segment>| {
            let part = segment.live().bytes as f64 / segment.bytes().max(1) as f64;
            (segment.hint_bytes() as f64 * part.min(1.0)) as u64
        };
        self.table.load().all().map(of).sum()
    }

    /// Bytes of all segments and hints: of those in use as much as is reserved for them.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.table.load().all().map(|segment| segment.disk_bytes()).sum()
    }

    fn candidates(&self) -> Vec<Candidate> {
        let removals = self.compaction.removals.load(Ordering::Relaxed);
        let next_sequence = self.active.lock().sequence;
        let table = self.table.load();
        let patience = PINNED_FOR_REMOVALS.max(table.all().count() as u64);
        let pinned_in_all: u64 = table.all().filter_map(|segment| segment.kept()).map(|kept| kept.pinned.records).sum();
        let is_there = |behind: &Behind| {
            table.get(behind.segment).is_some_and(|other| !(behind.unhinted && other.hint_bytes() > 0))
        };
        // What goes as soon as a segment has gone.
        let mut waiting: HashMap<u32, u64> = HashMap::new();
        for (behind, bytes) in table.all().filter_map(|segment| segment.kept()).flat_map(|kept| &kept.behind) {
            *waiting.entry(behind.segment).or_default() += bytes;
        }
        // Of these it cannot be said without looking that deletions hide nothing in them.
        let hiding: Vec<&Arc<Segment>> = table.all().filter(|segment| !self.has_nothing_hidden(segment)).collect();
        let candidate = |segment: &Arc<Segment>| {
            let (bytes, live) = (segment.bytes(), segment.live().bytes);
            let (mut kept, mut open, mut doubtful) = (0, bytes.saturating_sub(segment.placed().bytes), 0);
            if let Some(why) = segment.kept() {
                let (there, gone): (Vec<_>, Vec<_>) = why.behind.iter().partition(|(behind, _)| is_there(behind));
                let sum = |some: Vec<&(Behind, u64)>| some.into_iter().map(|(_, bytes)| bytes).sum();
                (kept, open) = (sum(there), sum(gone));
                let changes = next_sequence.saturating_sub(why.sequence);
                if removals >= why.removals + patience {
                    // It is looked at like any other.
                } else if changes.saturating_mul(PINNED_PART) >= pinned_in_all {
                    doubtful = why.pinned.bytes;
                } else {
                    kept += why.pinned.bytes;
                }
            }
            let last = segment.last_sequence();
            let may_hide = |other: &&Arc<Segment>| {
                other.id != segment.id && other.base_sequence() < last && other.purged() <= last
            };
            let open = if hiding.iter().any(may_hide) { open } else { 0 };
            let gain = waiting.get(&segment.id).copied().unwrap_or(0);
            let age = next_sequence.saturating_sub(last);
            Candidate { id: segment.id, kind: segment.kind, bytes, live, kept, open: open + doubtful, gain, age }
        };
        table.all().filter(|segment| self.may_go(segment)).map(candidate).collect()
    }

    /// Whether a segment has no values but those that something refers to, or none were ever written to it.
    fn has_nothing_hidden(&self, segment: &Segment) -> bool {
        segment.base_sequence() == 0 || self.may_go(segment) && segment.retired().records == 0
    }

    /// Whether a pass may take a segment away.
    fn may_go(&self, segment: &Segment) -> bool {
        let is_whole = segment.is_sealed() && !segment.is_uncertain() && segment.moved().is_none();
        is_whole && !self.is_broken(segment) && !segment.is_stuck()
    }

    /// Lists what passes have written whose edit failed.
    fn list(&self, unlisted: &mut Vec<Output>) -> io::Result<()> {
        if unlisted.is_empty() {
            return Ok(());
        }
        let edit = unlisted.iter().fold(Edit::new(), |edit, output| edit.add(output.listed()));
        let _no_backup = self.compaction.listing.lock();
        self.manifest.edit(&edit)?;
        unlisted.drain(..).for_each(|output| output.segment.seal());
        Ok(())
    }

    /// Takes segments away that are not listed any more.
    fn remove(&self, victims: &[Arc<Segment>]) {
        self.take_off(victims);
        victims.iter().for_each(|victim| self.remove_files(victim.id));
    }

    /// Lets go of segments that are not listed any more. Who has one open reads on.
    fn take_off(&self, victims: &[Arc<Segment>]) {
        point();
        let ids: Vec<u32> = victims.iter().map(|victim| victim.id).collect();
        self.table.rcu(|table| table.without(&ids));
        let bytes = victims.iter().map(|victim| victim.bytes()).sum();
        self.compaction.bytes_removed.fetch_add(bytes, Ordering::Relaxed);
        self.compaction.removals.fetch_add(victims.len() as u64, Ordering::Relaxed);
    }

    /// Removes the files of a segment that no manifest names. What stays behind is removed at the next opening at the
    /// latest.
    fn remove_files(&self, id: u32) {
        self.remove_hint(id);
        let _ = self.disk.remove(&segment_file_name(id));
    }

    /// What INFO says of compaction.
    pub(super) fn compaction_status(&self) -> CompactionStatus {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let compaction = &self.compaction;
        let last = of(&compaction.last_microseconds);
        CompactionStatus {
            running: compaction.running.load(Ordering::Relaxed),
            passes: of(&compaction.passes),
            failed: of(&compaction.failed),
            bytes_removed: of(&compaction.bytes_removed),
            bytes_written: of(&compaction.bytes_written),
            failing: compaction.failing.load(Ordering::Relaxed),
            last_seconds: (last > 0).then_some(last as f64 / 1e6),
            damaged_segments: self.table.load().all().filter(|segment| segment.is_damaged()).count() as u64,
        }
    }
}
