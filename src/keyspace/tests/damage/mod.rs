//! Bytes that change on the medium, and files that are cut, exchanged or gone: at worst a key answers an error, or the
//! keyspace does not open; no key ever has a wrong or an older value.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::super::{Halt, Keyspace, Mode};
use super::model::{State, Step, Value};
use super::recorder::Recorder;
use super::runner::{Runner, START, open, options};
use crate::store::Fsync;
use crate::store::disk::{Disk, SimDisk};

/// A disk, and what was written to it.
struct Written {
    disk: SimDisk,
    history: Vec<State>,
    /// The states that may be found: the last one alone, where all of it was said to be durable.
    bounds: RangeInclusive<usize>,
}

/// What was found on a damaged disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    refused: usize,
    /// Opened, with keys that answer an error.
    damaged: usize,
    whole: usize,
    /// The most keys that answered an error at once.
    damaged_max: usize,
}

fn written(closed: bool) -> Written {
    use Step::*;
    let disk = SimDisk::new();
    let recorder = Recorder::new(disk.clone(), None);
    let first = vec![State::default()];
    let mut runner = Runner::new(Arc::new(disk.clone()), options(Fsync::Everysec), first, START).unwrap();
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
    runner.run(&steps, &recorder).unwrap_or_else(|failed| panic!("{failed}"));
    let history = std::mem::take(&mut runner.history);
    let last = history.len() - 1;
    if closed {
        runner.keyspace().store().close().unwrap();
    }
    drop(runner);
    Written { disk, history, bounds: if closed { last..=last } else { synced..=last } }
}

impl Written {
    /// A copy of the disk with other bytes in one file.
    fn with(&self, name: &str, bytes: &[u8]) -> SimDisk {
        let disk = SimDisk::new();
        for other in self.disk.list().unwrap() {
            let kept = self.disk.bytes(&other).unwrap();
            disk.plant(&other, if other == name { bytes } else { &kept });
        }
        disk
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let names = self.disk.list().unwrap();
        names.into_iter().map(|name| (name.clone(), self.disk.bytes(&name).unwrap())).collect()
    }

    /// Opens a damaged disk and asks for every key.
    fn look(&self, disk: &SimDisk, tally: &mut Tally, at: &str) {
        let before: Vec<_> = disk.list().unwrap().into_iter().map(|name| (disk.bytes(&name), name)).collect();
        let opened = catch_unwind(AssertUnwindSafe(|| open(Arc::new(disk.clone()), START, options(Fsync::Everysec))));
        let Ok(keyspace) = opened.unwrap_or_else(|_| panic!("{at}: a panic")) else {
            let after: Vec<_> = disk.list().unwrap().into_iter().map(|name| (disk.bytes(&name), name)).collect();
            assert!(before == after, "{at}: refused, and yet the disk was changed");
            tally.refused += 1;
            return;
        };
        let found = self.ask(&keyspace, at);
        let now = keyspace.now();
        let fits = |index: &usize| {
            let state = self.history[*index].visible(now);
            // What answers an error is there in one form or another.
            let right = |(key, value)| found.get(key).is_some_and(|found| found.as_ref().is_none_or(|it| it == value));
            found.len() == state.len() && state.iter().all(right)
        };
        assert!(self.bounds.clone().any(|index| fits(&index)), "{at}: found {:?}", found.keys());
        let damaged = found.values().filter(|value| value.is_none()).count();
        tally.damaged_max = tally.damaged_max.max(damaged);
        *(if damaged > 0 { &mut tally.damaged } else { &mut tally.whole }) += 1;
    }

    /// Every key with its value; none where it answers an error.
    fn ask(&self, keyspace: &Keyspace, at: &str) -> BTreeMap<(u32, String), Option<Value>> {
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
                Err(other) => panic!("{at}: {key}: {other:?}"),
            }
        }
        found
    }
}

#[test]
fn a_flipped_bit_costs_at_most_its_record() {
    let mut flips = 0;
    for closed in [true, false] {
        let (written, mut tally) = (written(closed), Tally::default());
        for (name, bytes) in written.files() {
            // The rest was allocated and never used.
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
            for at in (0..used).step_by(4) {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << (at / 4 % 8);
                written.look(
                    &written.with(&name, &changed),
                    &mut tally,
                    &format!("{name}, byte {at}, closed {closed}"),
                );
                flips += 1;
            }
        }
        println!("closed {closed}: {tally:?}");
        assert_eq!(tally.damaged_max, 1, "{tally:?}");
        assert!(tally.damaged > 500 && tally.whole > 500, "{tally:?}");
    }
    assert!(flips > 5_000, "{flips} flips are too few");
}

#[test]
fn a_lost_sector_brings_nothing_back() {
    for closed in [true, false] {
        let (written, mut tally) = (written(closed), Tally::default());
        for (name, bytes) in written.files() {
            for start in (0..bytes.len()).step_by(512) {
                for byte in [0, 0xff] {
                    let mut changed = bytes.clone();
                    changed[start..bytes.len().min(start + 512)].fill(byte);
                    let at = format!("{name}, sector at {start} filled with {byte}, closed {closed}");
                    written.look(&written.with(&name, &changed), &mut tally, &at);
                }
            }
        }
        println!("closed {closed}: {tally:?}");
        assert!(tally.refused > 0 && tally.damaged > 0, "{tally:?}");
    }
}

#[test]
fn a_file_that_is_cut_is_never_taken_for_the_whole() {
    let (written, mut tally) = (written(true), Tally::default());
    let (mut cuts, mut hints) = (0, 0);
    for (name, bytes) in written.files() {
        for length in (0..bytes.len()).step_by(37) {
            written.look(&written.with(&name, &bytes[..length]), &mut tally, &format!("{name} cut to {length}"));
            *(if name.ends_with(".hint") { &mut hints } else { &mut cuts }) += 1;
        }
    }
    // What a hint says the segment says as well.
    assert_eq!(tally, Tally { refused: cuts, whole: hints, ..Tally::default() });
    assert!(cuts > 100 && hints > 100, "{cuts} cuts, {hints} of hints");
}

#[test]
fn segments_that_are_gone_or_exchanged_are_noticed() {
    let written = written(true);
    let files: Vec<_> = written.files().into_iter().filter(|(name, _)| name.ends_with(".log")).collect();
    assert!(files.len() >= 3, "{} segments", files.len());
    let mut tally = Tally::default();
    for (name, _) in &files {
        let disk = written.with("", b"");
        disk.remove(name).unwrap();
        written.look(&disk, &mut tally, &format!("{name} removed"));
        for (other, bytes) in files.iter().filter(|(other, _)| other != name) {
            written.look(&written.with(name, bytes), &mut tally, &format!("{name} replaced by {other}"));
        }
        // Its own bytes twice, and somebody else's behind them.
        let own = written.disk.bytes(name).unwrap();
        let disk = written.with(name, &own.repeat(2));
        let mut whole = Tally::default();
        written.look(&disk, &mut whole, &format!("{name} doubled"));
        assert_eq!((whole.whole, whole.refused), (1, 0), "{name}: what stands behind its end is not read");
    }
    assert_eq!((tally.whole, tally.damaged), (0, 0), "{tally:?}");
    // A copy under a name that is not listed is nobody's.
    let disk = written.with("", b"");
    disk.plant("0000000099.log", &files[0].1);
    let mut tally = Tally::default();
    written.look(&disk, &mut tally, "a copy");
    assert_eq!(tally.whole, 1);
}

#[test]
fn a_running_keyspace_answers_an_error_too_and_a_new_value_heals_it() {
    let written = written(true);
    let keyspace = open(Arc::new(written.disk.clone()), START, options(Fsync::Everysec)).unwrap();
    let value = written.history.last().unwrap().keys[&(0, "b".to_owned())].0.clone();
    let (name, at) =
        written.files().into_iter().find_map(|(name, bytes)| position(&bytes, &value).map(|at| (name, at))).unwrap();
    written.disk.flip_bit(&name, at as u64 + 9, 3);
    let found = written.ask(&keyspace, "running");
    let damaged: Vec<_> = found.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.1.as_str()).collect();
    assert_eq!(damaged, ["b"]);
    let mut access = keyspace.access_one(0, b"b", Mode::Exclusive, keyspace.now(), false);
    access.put(b"b", 0, b"new", None).unwrap();
    let wait = access.commit().unwrap().0;
    keyspace.store().wait_acknowledged(wait).unwrap();
    keyspace.store().close().unwrap();
    drop(keyspace);
    let keyspace = open(Arc::new(written.disk.clone()), START, options(Fsync::Everysec)).unwrap();
    let found = written.ask(&keyspace, "healed");
    assert_eq!(found[&(0, "b".to_owned())], Some((b"new".to_vec(), None)));
    assert!(found.values().all(Option::is_some));
}

#[test]
fn a_damaged_value_stays_damaged_wherever_it_is_moved() {
    let written = written(true);
    // Moved before, inside a transaction.
    let value = written.history.last().unwrap().keys[&(0, "k".to_owned())].0.clone();
    let (name, bytes) = written.files().into_iter().find(|(_, bytes)| position(bytes, &value).is_some()).unwrap();
    written.disk.flip_bit(&name, position(&bytes, &value).unwrap() as u64 + 9, 3);
    let (damaged, gone) = ((0, "k".to_owned()), (1, "k".to_owned()));
    let keyspace = open(Arc::new(written.disk.clone()), START, options(Fsync::Everysec)).unwrap();
    let found = written.ask(&keyspace, "moved before");
    assert_eq!((found.get(&damaged), found.get(&gone)), (Some(&None), None));
    for (from, to, together) in [(0, 1, false), (1, 2, true), (2, 1, false)] {
        let mut access = keyspace.access_one(from, b"k", Mode::Exclusive, keyspace.now(), together);
        assert!(access.move_to(b"k", to).unwrap());
        access.select(to);
        assert!(matches!(access.value(b"k"), Err(Halt::Damaged)), "{from} to {to}");
        let wait = access.commit().unwrap().0;
        keyspace.store().wait_acknowledged(wait).unwrap();
    }
    for keyspace in [keyspace, open(Arc::new(written.disk.after_kill()), START, options(Fsync::Everysec)).unwrap()] {
        let found = written.ask(&keyspace, "moved");
        assert_eq!((found.get(&damaged), found.get(&gone)), (None, Some(&None)));
        assert_eq!(found.values().filter(|value| value.is_none()).count(), 1);
    }
}

fn position(bytes: &[u8], value: &[u8]) -> Option<usize> {
    bytes.windows(value.len()).position(|part| part == value)
}
