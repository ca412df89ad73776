//! What is written is read, what is not what was written is noticed, and a filter denies no key.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::hash::KeyHasher;
use super::super::manifest::{hint_file_name, hint_temporary_name};
use super::super::record::{HEADER_BYTES, Op};
use super::codec::{BLOCKS, FOOTER_BYTES, Footer, LENGTH_BYTES, Part, Summary};
use super::filter::Filter;
use super::*;
use crate::store::disk::sim::{At, CallKind, Often, Survival};
use crate::store::disk::{Disk, SimDisk};

const FILE_LENGTH: u64 = 1 << 30;

fn hasher() -> KeyHasher {
    KeyHasher::new([7; 16])
}

fn identity() -> SegmentIdentity {
    SegmentIdentity::new(3, 0x0a0b_0c0d, [9; 16], FILE_LENGTH, &hasher())
}

/// An entry that owns its key.
#[derive(Clone, Debug)]
struct Owned {
    entry: Hinted<'static>,
    key: Vec<u8>,
}

impl Owned {
    fn borrow(&self) -> Hinted<'_> {
        Hinted { key: &self.key, ..self.entry }
    }
}

fn put(sequence: u64, offset: u32, key: &[u8]) -> Owned {
    let length = (HEADER_BYTES + key.len()) as u32 + 100;
    let entry = Hinted {
        sequence,
        op: Op::Put,
        kind: 3,
        keyspace: 0,
        source: 0,
        expiry: None,
        offset,
        length,
        key: &[],
        damaged: false,
    };
    Owned { entry, key: key.to_vec() }
}

fn entries() -> impl Strategy<Value = Vec<Owned>> {
    let others = vec![Op::Delete, Op::Expire, Op::Bind, Op::Move];
    let op = prop_oneof![Just(Op::Put), proptest::sample::select(others)];
    let fields = (op, any::<u8>(), any::<u32>(), 0..3u32, proptest::option::of(any::<u64>()), any::<bool>());
    let place = (1u64..1 << 48, 64..1u32 << 20, 0..1u32 << 20);
    let owned = (fields, place, vec(any::<u8>(), 0..40)).prop_map(
        |((op, kind, keyspace, source, expiry, damaged), (sequence, offset, more), key)| {
            let length = (HEADER_BYTES + key.len()) as u32 + more;
            let source = if op == Op::Move { source } else { 0 };
            Owned {
                entry: Hinted { sequence, op, kind, keyspace, source, expiry, offset, length, key: &[], damaged },
                key,
            }
        },
    );
    vec(owned, 0..200)
}

fn builder(entries: &[Owned]) -> Builder {
    let (mut builder, hasher) = (Builder::new(), hasher());
    entries.iter().for_each(|owned| builder.add(hasher.hash(&owned.key), &owned.borrow()));
    builder
}

fn write(entries: &[Owned]) -> SimDisk {
    let disk = SimDisk::new();
    builder(entries).write(&disk, &identity()).unwrap();
    disk
}

/// Which block has which entries, as a hint is expected to say.
fn expected(entries: &[Owned]) -> BTreeMap<usize, Vec<Owned>> {
    let (mut blocks, hasher) = (BTreeMap::<usize, Vec<Owned>>::new(), hasher());
    for owned in entries {
        let block = if owned.entry.op == Op::Bind { BIND_BLOCK } else { partition_of(hasher.hash(&owned.key)) };
        blocks.entry(block).or_default().push(owned.clone());
    }
    blocks.values_mut().for_each(|entries| entries.sort_by_key(|owned| owned.entry.sequence));
    blocks
}

fn says(hint: &Hint, entries: &[Owned]) {
    let expected = expected(entries);
    for index in 0..BLOCKS {
        let block = hint.block(index).unwrap().unwrap();
        let found: Vec<Hinted<'_>> = block.entries().collect();
        let wanted: Vec<Hinted<'_>> = expected.get(&index).into_iter().flatten().map(Owned::borrow).collect();
        assert_eq!(found, wanted, "block {index}");
        assert_eq!(block.puts().values().sum::<usize>(), wanted.iter().filter(|entry| entry.op == Op::Put).count());
        let moves: BTreeSet<u32> = wanted.iter().filter_map(Hinted::moves_from).collect();
        assert_eq!(block.sources().iter().copied().collect::<BTreeSet<u32>>(), moves);
    }
    let summary = hint.summary();
    let of = |wanted: fn(&Hinted<'_>) -> bool| entries.iter().map(Owned::borrow).filter(move |entry| wanted(entry));
    assert_eq!(summary.records, entries.len() as u64);
    assert_eq!(summary.puts, of(|entry| entry.op == Op::Put).count() as u64);
    assert_eq!(summary.put_bytes, of(|entry| entry.op == Op::Put).map(|entry| u64::from(entry.length)).sum::<u64>());
    assert_eq!(summary.others_bytes, of(|entry| entry.op != Op::Put).map(|entry| u64::from(entry.length)).sum::<u64>());
    assert_eq!(summary.volatile_puts, of(|entry| entry.op == Op::Put && entry.expiry.is_some()).count() as u64);
    assert_eq!(summary.sequence_min, of(|_| true).map(|entry| entry.sequence).min().unwrap_or(0));
    assert_eq!(summary.sequence_max, of(|_| true).map(|entry| entry.sequence).max().unwrap_or(0));
}

proptest! {
    #[test]
    fn what_is_written_is_read(entries in entries()) {
        let hint = Hint::open(&write(&entries), &identity(), &hasher()).unwrap().unwrap();
        says(&hint, &entries);
        let filter = hint.filter().unwrap().unwrap();
        let hasher = hasher();
        for owned in entries.iter().filter(|owned| owned.entry.op != Op::Bind) {
            prop_assert!(filter.may_have(hasher.hash(&owned.key)));
        }
    }

    #[test]
    fn memory_says_what_a_file_says(entries in entries()) {
        let hint = builder(&entries).into_hint();
        says(&hint, &entries);
        let from_file = Hint::open(&write(&entries), &identity(), &hasher()).unwrap().unwrap();
        prop_assert_eq!(hint.filter().unwrap(), from_file.filter().unwrap());
    }

    #[test]
    fn arbitrary_entries_do_no_harm(bytes in vec(any::<u8>(), 0..200)) {
        let mut rest = &bytes[..];
        let mut before = codec::Before::default();
        while codec::read_entry(&mut rest, &mut before).is_some() {}
    }
}

#[test]
fn the_bytes_are_as_documented() {
    let key = b"key:000000000001";
    let disk = write(&[put(5, 64, key), Owned { key: b"\x02\0\0\0".to_vec(), ..put(7, 300, b"") }]);
    let bytes = disk.bytes(&hint_file_name(3)).unwrap();
    assert_eq!(bytes[..2], [1, 3]);
    // Five and 64 by zigzag, 100 bytes of value, keyspace, length of the key.
    assert_eq!(bytes[2..8], [10, 0x80, 1, 100, 0, 16]);
    assert_eq!(bytes[8..24], *key);
    assert_eq!(FOOTER_BYTES, 8 + 2 + 2 + 40 + 64 + 258 * 12 + 4);
    let footer = &bytes[bytes.len() - FOOTER_BYTES - LENGTH_BYTES..];
    assert_eq!(footer[..20], *b"CASKHINT\x01\0\0\0\x03\0\0\0\x0d\x0c\x0b\x0a");
    assert_eq!(footer[FOOTER_BYTES..], (FOOTER_BYTES as u32).to_le_bytes());
}

#[test]
fn a_usual_entry_takes_eleven_bytes_and_its_key() {
    let (count, mut builder, hasher) = (100_000u32, Builder::new(), hasher());
    for number in 0..count {
        let owned = put(1_000_000_000 + u64::from(number), 64 + number * 144, format!("key:{number:012}").as_bytes());
        builder.add(hasher.hash(&owned.key), &owned.borrow());
    }
    let disk = SimDisk::new();
    builder.write(&disk, &identity()).unwrap();
    let bytes = Hint::open(&disk, &identity(), &hasher).unwrap().unwrap().bytes();
    assert!(bytes <= u64::from(count) * (11 + 16), "{bytes} bytes");
}

#[test]
fn every_flipped_byte_and_every_cut_is_noticed() {
    let entries: Vec<Owned> =
        (0..40).map(|number| put(number + 1, 64 + number as u32 * 200, &[number as u8; 9])).collect();
    let whole = write(&entries);
    let name = hint_file_name(3);
    let bytes = whole.bytes(&name).unwrap();
    let total: usize = (0..BLOCKS).count();
    let looked_at = |bytes: &[u8]| {
        let disk = SimDisk::new();
        disk.plant(&name, bytes);
        let Some(hint) = Hint::open(&disk, &identity(), &hasher()).unwrap() else { return false };
        let blocks = (0..BLOCKS).filter(|index| hint.block(*index).unwrap().is_some()).count();
        blocks == total && hint.filter().unwrap().is_some()
    };
    assert!(looked_at(&bytes));
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(!looked_at(&changed), "byte {at}");
    }
    for length in 0..bytes.len() {
        assert!(!looked_at(&bytes[..length]), "length {length}");
    }
    assert!(!looked_at(&[&bytes[..], b"\0"].concat()));
    assert!(!looked_at(&[b"\0", &bytes[..]].concat()));
}

#[test]
fn a_hint_of_something_else_is_none() {
    let disk = write(&[put(1, 64, b"a")]);
    let own = identity();
    let others = [
        SegmentIdentity { salt: 1, ..own },
        SegmentIdentity { dataset: [8; 16], ..own },
        SegmentIdentity { file_length: FILE_LENGTH + 1, ..own },
        SegmentIdentity { hash_proof: own.hash_proof ^ 1, ..own },
    ];
    for other in others {
        assert!(Hint::open(&disk, &other, &hasher()).unwrap().is_none(), "{other:?}");
    }
    assert!(Hint::open(&disk, &own, &hasher()).unwrap().is_some());
    // Under the name of another segment.
    disk.plant(&hint_file_name(4), &disk.bytes(&hint_file_name(3)).unwrap());
    assert!(Hint::open(&disk, &SegmentIdentity { id: 4, ..own }, &hasher()).unwrap().is_none());
    assert!(Hint::open(&disk, &SegmentIdentity { id: 5, ..own }, &hasher()).unwrap().is_none());
    assert_ne!(KeyHasher::new([8; 16]).proof(), hasher().proof());
}

/// As a bug would write it, with sound checksums all the same.
#[test]
fn entries_that_cannot_be_are_none() {
    let sound = [put(5, 64, b"a"), put(6, 500, b"a")];
    let changes: [fn(&mut Hinted<'_>); 6] = [
        |entry| entry.sequence = 0,
        |entry| entry.sequence = 1 << 48,
        |entry| entry.offset = 63,
        |entry| entry.offset = (FILE_LENGTH - 10) as u32,
        |entry| entry.op = Op::Mark,
        |entry| entry.length = u32::MAX,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut entries = sound.clone();
        change(&mut entries[1].entry);
        let hint = Hint::open(&write(&entries), &identity(), &hasher()).unwrap();
        let block = partition_of(hasher().hash(b"a"));
        assert!(hint.is_none_or(|hint| hint.block(block).unwrap().is_none()), "case {index}");
    }
}

/// With sound checksums all the same: whoever loads a partition holds its shards, and no others.
#[test]
fn a_key_in_another_partition_is_none() {
    let disk = write(&[put(5, 64, b"a")]);
    let name = hint_file_name(3);
    let mut bytes = disk.bytes(&name).unwrap();
    let key_at = bytes.iter().position(|byte| *byte == b'a').unwrap();
    let block = partition_of(hasher().hash(b"a"));
    bytes[key_at] = (b'b'..=b'z').find(|key| partition_of(hasher().hash(&[*key])) != block).unwrap();
    let length = bytes.len() - FOOTER_BYTES - LENGTH_BYTES;
    let (entries, footer) = bytes.split_at_mut(length);
    let mut footer = Footer::read((&*footer).try_into().unwrap()).unwrap();
    footer.parts[block] = Part::of(&entries[..footer.parts[block].length as usize]);
    disk.plant(&name, &[&*entries, &footer.write()].concat());
    let hint = Hint::open(&disk, &identity(), &hasher()).unwrap().unwrap();
    let unsound: Vec<usize> = (0..BLOCKS).filter(|index| hint.block(*index).unwrap().is_none()).collect();
    assert_eq!(unsound, [block]);
}

/// With a sound checksum all the same.
#[test]
fn a_hint_that_counts_what_there_cannot_be_is_none() {
    let disk = write(&[put(5, 64, b"a"), put(6, 500, b"b")]);
    let name = hint_file_name(3);
    let bytes = disk.bytes(&name).unwrap();
    let (entries, footer) = bytes.split_at(bytes.len() - FOOTER_BYTES - LENGTH_BYTES);
    let footer = Footer::read(footer.try_into().unwrap()).unwrap();
    let changes: [fn(&mut Summary); 8] = [
        |summary| summary.sequence_min = 7,
        |summary| summary.sequence_max = 1 << 48,
        |summary| summary.sequence_max = u64::MAX,
        |summary| summary.volatile_puts = 3,
        |summary| summary.puts = 3,
        |summary| summary.records = FILE_LENGTH / HEADER_BYTES as u64 + 1,
        |summary| summary.put_bytes = FILE_LENGTH + 1,
        |summary| summary.others_bytes = u64::MAX,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut footer = footer.clone();
        change(&mut footer.summary);
        disk.plant(&name, &[entries, &footer.write()].concat());
        assert!(Hint::open(&disk, &identity(), &hasher()).unwrap().is_none(), "case {index}");
    }
    disk.plant(&name, &bytes);
    assert!(Hint::open(&disk, &identity(), &hasher()).unwrap().is_some());
}

#[test]
fn a_filter_denies_no_key_and_seldom_takes_in_another() {
    let hasher = hasher();
    for keys in [0u32, 1, 100, 100_000] {
        let hash = |number: u32| hasher.hash(format!("key:{number:012}").as_bytes());
        let hashes: Vec<u64> = (0..keys).map(hash).collect();
        let filter = Filter::of(&hashes);
        assert!(hashes.iter().all(|hash| filter.may_have(*hash)));
        let wrong = (keys..keys + 100_000).filter(|number| filter.may_have(hash(*number))).count();
        assert!(wrong < 2_000, "{wrong} of 100,000 others, with {keys} keys");
        assert!(filter.write().len() <= keys as usize * 10 / 8 + 64);
        assert_eq!(Filter::read(&filter.write()), Some(filter));
    }
    assert_eq!(Filter::read(&[0; 63]), None);
}

/// Wherever the power goes, there is no hint, the old one or the new one.
#[test]
fn a_crash_while_a_hint_is_written_leaves_none_or_a_whole_one() {
    let (old, new) = ([put(1, 64, b"old")], [put(1, 64, b"old"), put(2, 600, b"new")]);
    let mut call = 0;
    loop {
        let disk = write(&old).survivors(Survival::Durable);
        let before = disk.calls();
        disk.crash_at(before + call);
        let written = builder(&new).write(&disk, &identity());
        for survival in Survival::variants(4) {
            let hint = Hint::open(&disk.survivors(survival), &identity(), &hasher()).unwrap().unwrap();
            says(&hint, if hint.summary().records == 1 && written.is_err() { &old } else { &new });
        }
        if written.is_ok() {
            assert!(call > 5, "{call} calls");
            return;
        }
        call += 1;
    }
}

#[test]
fn after_a_failure_nothing_is_left_and_it_can_be_done_again() {
    let entries = [put(1, 64, b"a")];
    for kind in [CallKind::Create, CallKind::Write, CallKind::SyncData, CallKind::Rename] {
        let disk = SimDisk::new();
        disk.fail(At::Kind(kind), std::io::ErrorKind::StorageFull, Often::Once);
        builder(&entries).write(&disk, &identity()).unwrap_err();
        assert_eq!(disk.list().unwrap(), Vec::<String>::new(), "{kind:?}");
        // What a process that was killed has left behind.
        disk.plant(&hint_temporary_name(3), b"half");
        builder(&entries).write(&disk, &identity()).unwrap();
        assert_eq!(disk.list().unwrap(), [hint_file_name(3)]);
        says(&Hint::open(&disk, &identity(), &hasher()).unwrap().unwrap(), &entries);
    }
}
