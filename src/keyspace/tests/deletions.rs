//! Deletions take space until what they hide has left the disk, and then none; and whoever waits for that does not wait without
//! end.

use std::sync::Arc;

use fastrand::Rng;

use super::super::{Access, Keyspace, Mode};
use super::runner::{START, open, options};
use crate::store::disk::{Disk, SimDisk};
use crate::store::{Fsync, Options, Policy, SegmentSize};

/// A thousand small records.
const SEGMENT_BYTES: u64 = 64 << 10;
const AMPLIFICATION: f64 = 1.2;
/// Segments beyond what is alive and its garbage: the one in use, the next one, and one that could not be better filled.
const SPARED: u64 = 3;

fn start(disk: &SimDisk) -> Keyspace {
    let small = Options { segment_size: SegmentSize::Fixed(SEGMENT_BYTES), ..options(Fsync::Everysec) };
    let keyspace = open(Arc::new(disk.clone()), START, small).unwrap();
    let policy = Policy { garbage_bytes_min: 0, space_amplification: AMPLIFICATION, ..Policy::default() };
    keyspace.store().set_compaction(policy);
    keyspace
}

fn access<'a>(keyspace: &'a Keyspace, key: &[u8]) -> Access<'a> {
    keyspace.access_one(0, key, Mode::Exclusive, keyspace.now(), false)
}

/// Bytes of all files of the log.
fn disk_bytes(disk: &SimDisk) -> u64 {
    let names = disk.list().unwrap().into_iter().filter(|name| name.ends_with(".log") || name.ends_with(".hint"));
    names.map(|name| disk.bytes(&name).map_or(0, |bytes| bytes.len() as u64)).sum()
}

/// Makes passes until nothing is to be done, as the schedule does; returns how many.
fn compact(keyspace: &Keyspace) -> u64 {
    keyspace.store().tick().unwrap();
    let segments = keyspace.store().status().segments as u64;
    let mut passes = 0;
    while keyspace.compact_once(false).unwrap() {
        passes += 1;
        assert!(
            passes <= 4 * segments + 8,
            "{passes} passes over {segments} segments: {:?}",
            keyspace.store().status()
        );
    }
    passes
}

/// What compaction has promised: the directory is within its bounds, and it has come to rest.
fn is_compact(disk: &SimDisk, keyspace: &Keyspace, what: &str) {
    let status = keyspace.store().status();
    let (bytes, spared) = (disk_bytes(disk), SPARED * SEGMENT_BYTES);
    assert!(bytes <= status.bytes_disk_max + spared, "{what}: {bytes} bytes: {status:?}");
    let records_max = (status.bytes_live as f64 * AMPLIFICATION) as u64;
    assert!(status.bytes_total <= records_max + spared, "{what}: {status:?}");
    let passes = keyspace.store().compaction_status().passes;
    assert!(!keyspace.compact_once(false).unwrap(), "{what}");
    assert_eq!(keyspace.store().compaction_status().passes, passes, "{what}: it does not come to rest");
}

/// What there is of which something may be deleted.
#[derive(Clone, Copy, Debug)]
enum Of {
    Keys,
    Members,
}

impl Of {
    fn name(number: usize) -> String {
        format!("name {number:06}")
    }

    fn set(self, keyspace: &Keyspace, number: usize) {
        let name = Self::name(number);
        match self {
            Self::Keys => access(keyspace, name.as_bytes()).put(name.as_bytes(), 0, b"value", None).unwrap(),
            Self::Members => {
                let mut access = access(keyspace, b"set");
                let mut set = access.edit_set(b"set").unwrap();
                set.add(name.as_bytes());
                set.finish().unwrap();
            }
        }
    }

    fn delete(self, keyspace: &Keyspace, number: usize) {
        let name = Self::name(number);
        match self {
            Self::Keys => assert!(access(keyspace, name.as_bytes()).delete(name.as_bytes()).unwrap()),
            Self::Members => {
                let mut access = access(keyspace, b"set");
                let mut set = access.edit_set(b"set").unwrap();
                assert!(set.remove(name.as_bytes()));
                set.finish().unwrap();
            }
        }
    }

    fn is_there(self, keyspace: &Keyspace, number: usize) -> bool {
        let name = Self::name(number);
        match self {
            Self::Keys => access(keyspace, name.as_bytes()).exists(name.as_bytes()),
            Self::Members => {
                let mut access = access(keyspace, b"set");
                access.set(b"set").unwrap().is_some_and(|set| set.contains(name.as_bytes()))
            }
        }
    }

    fn expect(self, keyspace: &Keyspace, count: usize, is_left: impl Fn(usize) -> bool) {
        (0..count).for_each(|number| {
            assert_eq!(self.is_there(keyspace, number), is_left(number), "{self:?} {number}");
        });
    }
}

/// Small records, and deletions as large as what they hide, in an order in which no segment is without anything alive.
#[test]
fn whatever_part_is_deleted_the_directory_comes_within_its_bounds_and_compaction_to_rest() {
    const COUNT: usize = 40_000;
    type IsLeft = fn(usize) -> bool;
    let parts: [(&str, IsLeft); 5] = [
        ("every second", |number| number % 2 == 0),
        ("the first half", |number| number >= COUNT / 2),
        ("one of twenty", |number| number % 20 != 0),
        ("all but one of fifty", |number| number % 50 == 0),
        ("all", |_| false),
    ];
    for of in [Of::Keys, Of::Members] {
        for (part, is_left) in parts {
            let what = format!("{of:?}, {part}");
            let disk = SimDisk::new();
            let keyspace = start(&disk);
            (0..COUNT).for_each(|number| of.set(&keyspace, number));
            (0..COUNT).filter(|&number| !is_left(number)).for_each(|number| of.delete(&keyspace, number));
            let before = disk_bytes(&disk);
            compact(&keyspace);
            let status = keyspace.store().status();
            if status.bytes_live > 4 * SEGMENT_BYTES {
                is_compact(&disk, &keyspace, &what);
            } else {
                assert!(disk_bytes(&disk) < before / 8, "{what}: {} of {before}: {status:?}", disk_bytes(&disk));
            }
            keyspace.store().sync().unwrap();
            let again = start(&SimDisk::after_kill(&disk));
            of.expect(&again, COUNT, is_left);
        }
    }
}

/// What has been set and deleted again and again, in a log of which parts were compacted in between.
#[test]
fn deletions_of_what_comes_and_goes_leave_as_well() {
    const COUNT: usize = 8_000;
    for of in [Of::Keys, Of::Members] {
        let disk = SimDisk::new();
        let keyspace = start(&disk);
        let (mut rng, mut there) = (Rng::with_seed(7), vec![false; COUNT]);
        for round in 0..20 {
            for _ in 0..COUNT {
                let number = rng.usize(..COUNT);
                if there[number] && rng.u8(..4) > 0 {
                    of.delete(&keyspace, number);
                    there[number] = false;
                } else {
                    of.set(&keyspace, number);
                    there[number] = true;
                }
            }
            keyspace.store().tick().unwrap();
            (0..round % 4).for_each(|_| _ = keyspace.compact_once(false).unwrap());
        }
        compact(&keyspace);
        let status = keyspace.store().status();
        let bytes = disk_bytes(&disk);
        assert!(bytes <= status.bytes_disk_max + SPARED * SEGMENT_BYTES, "{of:?}: {bytes} bytes: {status:?}");
        of.expect(&keyspace, COUNT, |number| there[number]);
        keyspace.store().sync().unwrap();
        let disk = disk.after_kill();
        let again = start(&disk);
        // Nobody knows any more why deletions are where they are.
        compact(&again);
        is_compact(&disk, &again, &format!("{of:?}"));
        of.expect(&again, COUNT, |number| there[number]);
        again.store().sync().unwrap();
        of.expect(&start(&disk.after_kill()), COUNT, |number| there[number]);
    }
}

/// Expiries and moves outlive the segments of their keys' values, and go once the keys have gone.
#[test]
fn expiries_and_moves_of_what_was_deleted_leave_as_well() {
    const COUNT: usize = 20_000;
    let disk = SimDisk::new();
    let keyspace = start(&disk);
    let name = |number: usize| Of::name(number).into_bytes();
    let of = |database: u32, number: usize| {
        keyspace.access_one(database, &name(number), Mode::Exclusive, keyspace.now(), false)
    };
    for number in 0..COUNT {
        Of::Keys.set(&keyspace, number);
    }
    for number in 0..COUNT {
        let deadline = keyspace.now() + 1_000_000 + number as u64;
        assert!(of(0, number).set_expiry(&name(number), Some(deadline)).unwrap());
        if number % 3 == 0 {
            assert!(of(0, number).move_to(&name(number), 1).unwrap());
        }
    }
    // Now they are kept for what is alive.
    keyspace.store().set_compaction(Policy { garbage_bytes_min: 0, space_amplification: 1.0, ..Policy::default() });
    compact(&keyspace);
    let before = disk_bytes(&disk);
    for number in 0..COUNT {
        let database = u32::from(number % 3 == 0);
        assert!(of(database, number).delete(&name(number)).unwrap());
    }
    compact(&keyspace);
    assert!(disk_bytes(&disk) < before / 8, "{} bytes of {before}", disk_bytes(&disk));
    keyspace.store().sync().unwrap();
    let again = start(&disk.after_kill());
    assert_eq!([0, 1].map(|database| again.size(database).keys), [0, 0]);
}
