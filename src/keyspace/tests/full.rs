//! Collections on a full disk: what takes something out of one is taken as deletions are, whatever its form, and what puts
//! something in is refused.

use std::sync::Arc;
use std::time::Duration;

use super::super::{End, Halt};
use super::collections::Change;
use super::faults::MODES;
use super::model::{State, Step};
use super::runner::{Failed, Runner, START, contents, open, options};
use crate::store::clock::Clock;
use crate::store::disk::SimDisk;
use crate::store::{Fsync, Options, SegmentSize};

/// Elements of the large ones: more than are packed.
const MANY: usize = 200;
const FEW: usize = 6;

const FULL: &str = "the disk is full: free some space, writing resumes by itself";

/// A keyspace on a disk with no room for anything.
struct Full {
    disk: SimDisk,
    runner: Runner,
    options: Options,
    keys: Vec<(u32, String)>,
}

fn name(number: usize) -> &'static str {
    format!("name {number}").leak()
}

/// The key of a collection of this type and number of elements.
fn key(of: &str, count: usize) -> &'static str {
    format!("{of} of {count}").leak()
}

fn add(of: &str, number: usize) -> Change {
    match of {
        "hash" => Change::SetField(name(number), 10),
        "set" => Change::AddMember(name(number)),
        "zset" => Change::SetScore(name(number), 7),
        _ => Change::Push(End::Right, 10),
    }
}

fn remove(of: &str, number: usize) -> Change {
    match of {
        "hash" => Change::RemoveField(name(number)),
        "set" => Change::RemoveMember(name(number)),
        "zset" => Change::RemoveScored(name(number)),
        _ => Change::Pop(End::Left),
    }
}

const TYPES: [&str; 4] = ["hash", "set", "zset", "list"];

impl Full {
    /// Nothing can be put in any more, not even the smallest thing.
    fn new(fsync: Fsync) -> Full {
        let disk = SimDisk::new();
        disk.set_capacity(Some(1 << 20));
        let options = Options { segment_size: SegmentSize::Fixed(64 << 10), ..options(fsync) };
        let states = vec![State::default()];
        let runner = Runner::new(Arc::new(disk.clone()), options.clone(), states, START).unwrap();
        let mut full = Full { disk, runner, options, keys: Vec::new() };
        for (of, count) in TYPES.iter().flat_map(|of| [(of, FEW), (of, MANY)]) {
            full.keys.push((0, key(of, count).to_owned()));
            for number in 0..count {
                full.write(&Step::Edit(0, key(of, count), add(of, number))).unwrap();
            }
        }
        for length in [700, 0] {
            let mut number = 0;
            while full.write(&Step::Fill(0, format!("filling {length} {number}").leak(), length)).is_ok() {
                full.keys.push((0, format!("filling {length} {number}")));
                number += 1;
            }
            assert!(number > 0, "no value of {length} bytes fits");
        }
        full
    }

    fn write(&mut self, step: &Step) -> Result<(), String> {
        match self.runner.perform(step, 0) {
            Ok(wait) => self.runner.keyspace().store().wait_acknowledged(wait).map_err(|failed| failed.to_string()),
            Err(Failed::Halt(Halt::Refused(refused))) => Err(refused.to_string()),
            Err(other) => panic!("{step:?}: {other}"),
        }
    }

    /// What a kill leaves is what there was; once there is room again, so is writing.
    fn finish(mut self) {
        let left = contents(self.runner.keyspace(), &self.keys).unwrap();
        self.disk.set_capacity(None);
        let wall = self.runner.clock.wall();
        let keyspace = open(Arc::new(self.disk.after_kill()), wall, self.options.clone()).unwrap();
        assert_eq!(contents(&keyspace, &self.keys).unwrap(), left);
        self.runner.clock.advance(Duration::from_secs(1));
        self.write(&Step::Edit(0, key("hash", FEW), add("hash", 0))).unwrap();
    }
}

#[test]
fn a_full_disk_takes_elements_out_of_collections() {
    for (fsync, count) in MODES.into_iter().flat_map(|fsync| [(fsync, FEW), (fsync, MANY)]) {
        let mut full = Full::new(fsync);
        for of in TYPES {
            let key = key(of, count);
            assert_eq!(full.write(&Step::Edit(0, key, add(of, count))).unwrap_err(), FULL, "{key} grows");
            for number in 0..FEW - 3 {
                let step = Step::Edit(0, key, remove(of, number));
                full.write(&step).unwrap_or_else(|error| panic!("{key}: {step:?}: {error}"));
            }
        }
        full.finish();
    }
}

#[test]
fn a_full_disk_takes_elements_out_of_collections_together() {
    for (fsync, count) in MODES.into_iter().flat_map(|fsync| [(fsync, FEW), (fsync, MANY)]) {
        let mut full = Full::new(fsync);
        for of in TYPES {
            let key = key(of, count);
            let edit = |change| Step::Edit(0, key, change);
            let together = Step::Together(vec![edit(remove(of, 0)), edit(remove(of, 1))]);
            full.write(&together).unwrap_or_else(|error| panic!("{key}: {together:?}: {error}"));
            let both = Step::Together(vec![edit(remove(of, 2)), edit(add(of, count)), edit(add(of, count + 1))]);
            assert_eq!(full.write(&both).unwrap_err(), FULL, "{key}: something is put in");
        }
        full.finish();
    }
}

#[test]
fn a_full_disk_takes_the_last_element_and_whole_collections() {
    for fsync in MODES {
        let mut full = Full::new(fsync);
        for of in TYPES {
            for number in 0..FEW {
                full.write(&Step::Edit(0, key(of, FEW), remove(of, number))).unwrap();
            }
            full.write(&Step::Delete(0, key(of, MANY))).unwrap();
        }
        let left = contents(full.runner.keyspace(), &full.keys).unwrap();
        assert_eq!(left.len(), full.keys.len() - 2 * TYPES.len());
        full.finish();
    }
}

/// The reserve has an end, too: what is refused then has changed nothing, and compaction makes room again.
#[test]
fn a_full_disk_refuses_deletions_when_the_reserve_is_used_up() {
    let mut full = Full::new(Fsync::No);
    let key = key("hash", MANY);
    let taken = (0..MANY).take_while(|&number| full.write(&Step::Edit(0, key, remove("hash", number))).is_ok()).count();
    assert!(taken > 20, "the reserve took {taken} deletions");
    if taken < MANY {
        let before = contents(full.runner.keyspace(), &full.keys).unwrap();
        assert_eq!(full.write(&Step::Edit(0, key, remove("hash", taken))).unwrap_err(), FULL);
        assert_eq!(contents(full.runner.keyspace(), &full.keys).unwrap(), before);
    }
    full.finish();
}
