//! What is written is read; of what is not what was written, only what is sound before that.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::codec::{BLOCK_HEADER_BYTES, HEADER_BYTES, Header, NAMES_BYTES_MAX};
use super::*;
use crate::store::disk::sim::{At, Often};
use crate::store::disk::{Disk, SimDisk};

const DATASET: [u8; 16] = [9; 16];
const PROOF: u64 = 0x1234_5678_9abc_def0;
const WRITTEN: u64 = 1_700_000_000_000;

type Names = Vec<(HotOwner, Vec<Remembered>)>;

fn write(disk: &SimDisk, names: &Names) -> std::io::Result<(u64, u64)> {
    let mut writer = HotWriter::begin(Arc::new(disk.clone()), DATASET, PROOF, WRITTEN)?;
    for (owner, names) in names {
        names.iter().try_for_each(|name| writer.add(*owner, *name))?;
    }
    writer.finish()
}

fn open(disk: &SimDisk) -> Option<HotFile> {
    HotFile::open(disk, DATASET, PROOF).unwrap()
}

/// What a file names, as far as it is sound; names of one owner that follow each other are together.
fn read(file: &HotFile) -> Names {
    let (mut blocks, mut all) = (file.blocks(), Names::new());
    while let Some(block) = blocks.next().unwrap() {
        match all.last_mut() {
            Some((owner, names)) if *owner == block.owner => names.extend(block.names()),
            _ => all.push((block.owner, block.names().collect())),
        }
    }
    all
}

fn remembered(hash: u64, uses: u8) -> Remembered {
    Remembered { name: HotName::of(hash), uses }
}

fn some() -> Names {
    let names = |seed: u64, count: u64| {
        let hash = |number: u64| (number + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut names: Vec<_> = (0..count).map(|number| remembered(hash(number), (number % 4) as u8)).collect();
        names.sort_unstable();
        names
    };
    vec![
        (HotOwner::Keyspace(0), names(1, 40)),
        (HotOwner::Keyspace(u32::MAX), names(2, 1)),
        (HotOwner::Object(0), names(3, 3)),
        (HotOwner::Object(u64::MAX), names(4, 20)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_is_written_is_read(all in vec((any::<u32>(), any::<bool>(), vec((any::<u64>(), 0..4u8), 1..3000)), 0..12)) {
        let disk = SimDisk::new();
        let mut names: Names = all
            .into_iter()
            .map(|(id, is_keyspace, names)| {
                let owner = if is_keyspace { HotOwner::Keyspace(id) } else { HotOwner::Object(u64::from(id) << 32 | 7) };
                (owner, names.into_iter().map(|(hash, uses)| remembered(hash, uses)).collect::<Vec<_>>())
            })
            .collect();
        names.dedup_by_key(|(owner, _)| *owner);
        // Some come in order, as they should, and some do not.
        names.iter_mut().step_by(2).for_each(|(_, names)| names.sort_unstable());
        let (count, bytes) = write(&disk, &names).unwrap();
        let file = open(&disk).unwrap();
        prop_assert_eq!(read(&file), &names[..]);
        prop_assert_eq!(count, names.iter().map(|(_, names)| names.len() as u64).sum::<u64>());
        prop_assert_eq!((file.names(), file.bytes(), file.written()), (count, bytes, WRITTEN));
        prop_assert!(file.is_sound().unwrap());
        prop_assert_eq!(disk.list().unwrap(), [HOT_FILE]);
    }

    #[test]
    fn a_name_is_a_piece_of_the_hash_that_finds_it(hash in any::<u64>(), other in any::<u64>()) {
        const MISSING: u64 = ((1 << 24) - 1) << 21;
        let name = HotName::of(hash);
        prop_assert_eq!(name.hash(), hash & !MISSING);
        prop_assert_eq!(HotName::of(name.hash()), name);
        prop_assert_eq!(name == HotName::of(other), (hash ^ other) & !MISSING == 0);
        // Shards of the keydir come one after the other.
        prop_assert!((name < HotName::of(other)) || hash << 7 >> 52 >= other << 7 >> 52);
    }
}

#[test]
fn many_names_take_four_bytes_each_at_most() {
    const COUNT: u64 = 1_000_000;
    let disk = SimDisk::new();
    let mut hashes: Vec<HotName> =
        (0..COUNT).map(|number| HotName::of(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    hashes.sort_unstable();
    let mut writer = HotWriter::begin(Arc::new(disk.clone()), DATASET, PROOF, WRITTEN).unwrap();
    for (number, name) in hashes.iter().enumerate() {
        let remembered = Remembered { name: *name, uses: (number % 4) as u8 };
        writer.add(HotOwner::Keyspace(0), remembered).unwrap();
    }
    let (_, bytes) = writer.finish().unwrap();
    assert!(bytes <= 4 * COUNT, "{bytes}");
    assert_eq!(read(&open(&disk).unwrap())[0].1.len() as u64, COUNT);
}

#[test]
fn of_another_dataset_hash_or_version_it_is_none() {
    let disk = SimDisk::new();
    assert!(open(&disk).is_none());
    write(&disk, &some()).unwrap();
    assert!(open(&disk).is_some());
    assert!(HotFile::open(&disk, [8; 16], PROOF).unwrap().is_none());
    assert!(HotFile::open(&disk, DATASET, PROOF ^ 1).unwrap().is_none());
    // With a crc that is right, as a later version would write it.
    let mut bytes = disk.bytes(HOT_FILE).unwrap();
    bytes[8] = 2;
    bytes[12..16].fill(0);
    let crc = crc32fast::hash(&bytes[..HEADER_BYTES]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    disk.plant(HOT_FILE, &bytes);
    assert!(open(&disk).is_none());
}

#[test]
fn whatever_is_changed_or_cut_off_only_what_is_sound_before_it_counts() {
    let (disk, names) = (SimDisk::new(), some());
    write(&disk, &names).unwrap();
    let bytes = disk.bytes(HOT_FILE).unwrap();
    let expect = |damaged: &[u8], at: usize| {
        disk.plant(HOT_FILE, damaged);
        let Some(file) = open(&disk) else {
            assert!(at < HEADER_BYTES, "byte {at}");
            return;
        };
        let read = read(&file);
        assert_eq!(read, names[..read.len()], "byte {at}");
        assert!(read.len() < names.len() && !file.is_sound().unwrap(), "byte {at}");
    };
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            expect(&damaged, at);
        }
        expect(&bytes[..at], at);
    }
    // What stands behind it is not what was written, either.
    disk.plant(HOT_FILE, &[&bytes[..], b"more"].concat());
    assert!(!open(&disk).unwrap().is_sound().unwrap());
}

#[test]
fn no_memory_is_taken_for_what_is_announced() {
    let disk = SimDisk::new();
    let header = Header { dataset: DATASET, proof: PROOF, written: WRITTEN, names: u64::MAX };
    for length in [0, NAMES_BYTES_MAX as u32 + 1, u32::MAX] {
        let mut block = vec![0; BLOCK_HEADER_BYTES + 100];
        block[4..8].copy_from_slice(&length.to_le_bytes());
        block[8] = 1;
        let crc = crc32fast::hash(&block[4..]);
        block[..4].copy_from_slice(&crc.to_le_bytes());
        disk.plant(HOT_FILE, &[&header.write()[..], &block].concat());
        let file = open(&disk).unwrap();
        assert_eq!((file.names(), read(&file)), (u64::MAX, Vec::new()));
    }
    // Nor for so many that are there, and sound.
    let mut block = vec![0; BLOCK_HEADER_BYTES + NAMES_BYTES_MAX + 1];
    block[4..8].copy_from_slice(&(NAMES_BYTES_MAX as u32 + 1).to_le_bytes());
    block[8] = 1;
    let crc = crc32fast::hash(&block[4..]);
    block[..4].copy_from_slice(&crc.to_le_bytes());
    disk.plant(HOT_FILE, &[&header.write()[..], &block].concat());
    assert_eq!(read(&open(&disk).unwrap()), Vec::new());
}

#[test]
fn names_that_nobody_can_have_end_a_block() {
    let disk = SimDisk::new();
    let highest = remembered(u64::MAX, 3);
    let cases: [(&[u8], &[Remembered]); 4] = [
        (&[0xff; 9], &[]),
        (&[0x80], &[]),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], &[highest]),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x04], &[highest]),
    ];
    for (names, found) in cases {
        let header = Header { dataset: DATASET, proof: PROOF, written: WRITTEN, names: 1 };
        let mut block = vec![0; BLOCK_HEADER_BYTES];
        block[4..8].copy_from_slice(&(names.len() as u32).to_le_bytes());
        block[8] = 2;
        block.extend_from_slice(names);
        let crc = crc32fast::hash(&block[4..]);
        block[..4].copy_from_slice(&crc.to_le_bytes());
        disk.plant(HOT_FILE, &[&header.write()[..], &block].concat());
        assert_eq!(read(&open(&disk).unwrap()), [(HotOwner::Object(0), found.to_vec())], "{names:x?}");
    }
}

#[test]
fn a_disk_that_fails_leaves_the_old_one_and_nothing_else() {
    let old = vec![(HotOwner::Keyspace(7), vec![remembered(1, 3)])];
    for call in 0.. {
        let disk = SimDisk::new();
        write(&disk, &old).unwrap();
        disk.fail(At::Call(disk.calls() + call), std::io::ErrorKind::Other, Often::Once);
        let written = write(&disk, &some());
        disk.heal();
        let is_whole = written.is_ok();
        let names = read(&open(&disk).unwrap());
        assert!(names == some() || !is_whole && names == old, "call {call}: {names:?}");
        assert_eq!(disk.list().unwrap(), [HOT_FILE], "call {call}");
        if is_whole {
            assert!(call > 4, "{call} calls are too few");
            break;
        }
    }
}
