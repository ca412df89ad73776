//! Directories to be damaged, what was written to them, and what may be found in them afterwards.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::super::super::{Halt, Keyspace, Mode};
use super::super::model::{State, Step, Value};
use super::super::recorder::Recorder;
use super::super::runner::{Runner, START, open, options};
use crate::store::Fsync;
use crate::store::disk::{Disk, SimDisk};

/// Where the header of a segment has its kind, and what it is after a compaction.
const KIND_AT: usize = 10;
const COMPACTED: u8 = 2;

/// A disk, and what was written to it.
pub(super) struct Written {
    pub name: &'static str,
    pub disk: SimDisk,
    pub history: Vec<State>,
    /// The states that may be found: the last one alone, where all of it was said to be durable.
    bounds: RangeInclusive<usize>,
}

/// What was found on damaged disks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub refused: usize,
    /// Opened, with keys that answer an error.
    pub damaged: usize,
    pub whole: usize,
    /// The most keys that answered an error at once.
    pub damaged_max: usize,
}

impl Tally {
    pub fn all(&self) -> usize {
        self.refused + self.damaged + self.whole
    }
}

/// A log as it was written, closed or left by a process that was killed.
pub(super) fn plain(closed: bool) -> Written {
    use Step::*;
    let mut steps = vec![Set(0, "old", 300), Set(0, "a", 900), Set(0, "b", 900), Set(0, "a", 700)];
    steps.extend([Together(vec![Set(0, "c", 400), Set(0, "d", 400), Delete(0, "b")]), Set(0, "e", 20), Sync]);
    steps.extend([Set(0, "a", 1_200), Delete(0, "c"), SetEx(0, "f", 10, 1_000_000), Expire(0, "d", Some(9_000_000))]);
    steps.extend([Together(vec![Set(0, "g", 900), Flush(1), Set(1, "a", 900)]), Move(1, "a", 2), Set(1, "k", 600)]);
    steps.push(Together(vec![Move(1, "k", 0), Set(0, "l", 30), Move(0, "l", 2)]));
    steps.extend([Set(0, "e", 700), Tick]);
    let synced = steps.len();
    // Two marks say that this much was durable, and no sector has both.
    steps.extend([Set(0, "a", 500), Set(0, "b", 500), Pass(200), Set(0, "h", 10), Delete(0, "h"), Set(0, "g", 600)]);
    steps.push(Move(2, "a", 1));
    Written::new(if closed { "plain, closed" } else { "plain, killed" }, &steps, synced, closed)
}

/// A directory that has been in use: some of its segments were compacted, and some of these once more; keys were deleted,
/// were over, and were moved, and databases emptied and exchanged, before and after.
pub(super) fn used(closed: bool) -> Written {
    use Step::*;
    let mut steps = vec![Set(0, "gone", 200), SetEx(0, "over", 200, 50), Set(0, "brief", 200), Set(1, "m", 300)];
    steps.extend([Set(2, "flushed", 300), Set(0, "keep", 1_200), Move(1, "m", 2), Set(0, "x", 1_500)]);
    steps.extend([
        Delete(0, "gone"),
        Expire(0, "brief", Some(60)),
        Set(0, "big", 1_600),
        Set(0, "x", 1_500),
        Tick,
        Pass(100),
        ExpireDue,
    ]);
    steps.extend([Set(1, "n", 400), Set(0, "x", 1_600), Swap(0, 1), Set(0, "y", 1_500), Tick, Compact]);
    steps.extend([
        Flush(2),
        Set(1, "large", 1_700),
        Set(2, "m", 350),
        Move(2, "m", 0),
        SetEx(0, "late", 30, 9_000_000),
        Set(0, "y", 1_700),
    ]);
    steps.extend([Together(vec![Delete(0, "n"), Set(1, "keep", 1_100), Set(1, "z", 250)]), Set(0, "y", 1_800), Tick]);
    steps.extend([Compact, Set(0, "w", 1_900), Set(0, "w", 20), Set(1, "x", 1_400), Delete(1, "z"), Tick, Compact]);
    steps.extend([Set(0, "v", 900), Move(0, "m", 1), Set(0, "w", 700), Tick]);
    let synced = steps.len();
    // In a segment of their own: what a segment claims goes with it, where all of it goes before it is complete.
    steps.extend([Set(0, "w", 1_800), Delete(0, "v"), Pass(200), Set(1, "u", 30), Set(0, "y", 1_600), Set(0, "q", 90)]);
    let written = Written::new(if closed { "used, closed" } else { "used, killed" }, &steps, synced, closed);
    let compacted = |(name, bytes): &(String, Vec<u8>)| name.ends_with(".log") && bytes[KIND_AT] == COMPACTED;
    assert!(written.files().iter().filter(|file| compacted(file)).count() >= 2, "too little of it was compacted");
    written
}

/// All of them.
pub(super) fn directories() -> [Written; 4] {
    [plain(true), plain(false), used(true), used(false)]
}

/// A disk with these files.
pub(super) fn disk_of(files: &[(String, Vec<u8>)]) -> SimDisk {
    let disk = SimDisk::new();
    files.iter().for_each(|(name, bytes)| disk.plant(name, bytes));
    disk
}

impl Written {
    fn new(name: &'static str, steps: &[Step], synced: usize, closed: bool) -> Self {
        let disk = SimDisk::new();
        let mut runner = begin(&disk, vec![State::default()], START);
        go_on(&disk, &mut runner, steps);
        let history = std::mem::take(&mut runner.history);
        let last = history.len() - 1;
        if closed {
            runner.keyspace().store().close().unwrap();
        }
        drop(runner);
        Self { name, disk, history, bounds: if closed { last..=last } else { synced..=last } }
    }

    /// What becomes of a copy of it in use, closed in the end.
    pub fn continued(&self, steps: &[Step]) -> Self {
        let disk = self.with(&[]);
        let mut runner = begin(&disk, self.history.clone(), START);
        go_on(&disk, &mut runner, steps);
        runner.keyspace().store().close().unwrap();
        let history = std::mem::take(&mut runner.history);
        let last = history.len() - 1;
        Self { name: "continued", disk, history, bounds: last..=last }
    }

    /// A copy of the disk with other bytes in some files.
    pub fn with(&self, changed: &[(&str, &[u8])]) -> SimDisk {
        let disk = disk_of(&self.files());
        changed.iter().for_each(|(name, bytes)| disk.plant(name, bytes));
        disk
    }

    /// A copy of the disk without some files.
    pub fn without(&self, names: &[&str]) -> SimDisk {
        let disk = self.with(&[]);
        names.iter().for_each(|name| disk.remove(name).unwrap());
        disk
    }

    /// Whether all of it was said to be durable.
    pub fn is_closed(&self) -> bool {
        self.bounds.start() == self.bounds.end()
    }

    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let names = self.disk.list().unwrap();
        names.into_iter().map(|name| (name.clone(), self.disk.bytes(&name).unwrap())).collect()
    }

    /// Opens a damaged disk and asks for every key. A refusal has to name one of the files that are damaged.
    pub fn look(&self, disk: &SimDisk, damaged: &[&str], tally: &mut Tally, at: &dyn Fn() -> String) {
        let at = || format!("{}, {}", self.name, at());
        let bytes = || -> Vec<_> { disk.list().unwrap().into_iter().map(|name| (disk.bytes(&name), name)).collect() };
        let before = bytes();
        let opened = catch_unwind(AssertUnwindSafe(|| open(Arc::new(disk.clone()), START, options(Fsync::Everysec))));
        let keyspace = match opened.unwrap_or_else(|_| panic!("{}: a panic", at())) {
            Ok(keyspace) => keyspace,
            Err(error) => {
                assert!(before == bytes(), "{}: refused, and yet the disk was changed", at());
                let text = error.to_string();
                assert!(damaged.iter().any(|name| text.contains(name)), "{}: {text}", at());
                tally.refused += 1;
                return;
            }
        };
        let found = self.ask(&keyspace);
        let now = keyspace.now();
        let fits = |index: &usize| {
            let state = self.history[*index].visible(now);
            // What answers an error is there in one form or another.
            let right = |(key, value)| found.get(key).is_some_and(|found| found.as_ref().is_none_or(|it| it == value));
            found.len() == state.len() && state.iter().all(right)
        };
        assert!(self.bounds.clone().any(|index| fits(&index)), "{}: found {found:?}", at());
        let damaged = found.values().filter(|value| value.is_none()).count();
        tally.damaged_max = tally.damaged_max.max(damaged);
        *(if damaged > 0 { &mut tally.damaged } else { &mut tally.whole }) += 1;
    }

    /// Every key with its value; none where it answers an error.
    pub fn ask(&self, keyspace: &Keyspace) -> BTreeMap<(u32, String), Option<Value>> {
        let mut keys: Vec<_> = self.history.iter().flat_map(|state| state.keys.keys().cloned()).collect();
        keys.sort();
        keys.dedup();
        let mut found = BTreeMap::new();
        for (database, key) in keys {
            let mut access = keyspace.access_one(database, key.as_bytes(), Mode::Shared, keyspace.now(), false);
            access.may_block = true;
            match access.value(key.as_bytes()) {
                Ok(None) => {}
                Ok(Some(value)) => _ = found.insert((database, key), Some((value.bytes.to_vec(), value.expiry))),
                Err(Halt::Damaged) => _ = found.insert((database, key), None),
                Err(other) => panic!("{key}: {other:?}"),
            }
        }
        found
    }
}

fn begin(disk: &SimDisk, history: Vec<State>, wall: u64) -> Runner {
    Runner::new(Arc::new(disk.clone()), options(Fsync::Everysec), history, wall).unwrap()
}

fn go_on(disk: &SimDisk, runner: &mut Runner, steps: &[Step]) {
    runner.run(steps, &Recorder::new(disk.clone(), None)).unwrap_or_else(|failed| panic!("{failed}"));
}
