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

/// An entry that owns its key and its value.
#[derive(Clone, Debug)]
struct Owned {
    entry: Hinted<'static>,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl Owned {
    fn borrow(&self) -> Hinted<'_> {
        Hinted { key: &self.key, value: self.value.as_deref(), ..self.entry }
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
        object: None,
        offset,
        length,
        key: &[],
        value: None,
        damaged: false,
    };
    Owned { entry, key: key.to_vec(), value: None }
}

/// An element of an object, with that value.
fn element(sequence: u64, offset: u32, object: u64, key: &[u8], value: &[u8]) -> Owned {
    let owned = put(sequence, offset, key);
    let length = (HEADER_BYTES + 8 + key.len() + value.len()) as u32;
    let entry = Hinted { op: Op::SetElement, object: Some(object), length, ..owned.entry };
    Owned { entry, value: (value.len() <= HINTED_VALUE_BYTES_MAX).then(|| value.to_vec()), ..owned }
}

fn entries() -> impl Strategy<Value = Vec<Owned>> {
    let others = vec![Op::Delete, Op::Expire, Op::Bind, Op::Move, Op::SetElement, Op::RemoveElement];
    let op = prop_oneof![Just(Op::Put), Just(Op::SetElement), proptest::sample::select(others)];
    let object = prop_oneof![0..5u64, any::<u64>()];
    let fields = (op, any::<u8>(), any::<u32>(), 0..3u32, proptest::option::of(any::<u64>()), any::<bool>());
    let place = (1u64..1 << 48, 64..1u32 << 20);
    let value = prop_oneof![vec(any::<u8>(), 0..12), vec(any::<u8>(), 0..1000)];
    let owned = (fields, place, vec(any::<u8>(), 0..40), value, proptest::option::of(object)).prop_map(
        |((op, kind, keyspace, source, expiry, damaged), (sequence, offset), key, value, object)| {
            // What a record of this kind can have.
            let source = if op == Op::Move { source } else { 0 };
            let keyspace = if op.is_of_element() { 0 } else { keyspace };
            let expiry = expiry.filter(|_| op != Op::RemoveElement);
            let object = if op.is_of_element() { object.or(Some(9)) } else { object };
            let value_bytes = match op {
                Op::Put | Op::SetElement => value.len(),
                Op::Move => 4,
                _ => 0,
            };
            let prefix = 8 * (usize::from(expiry.is_some()) + usize::from(object.is_some()));
            let length = (HEADER_BYTES + prefix + key.len() + value_bytes) as u32;
            let has_value = op == Op::SetElement && !damaged && value.len() <= HINTED_VALUE_BYTES_MAX;
            let value = has_value.then_some(value);
            let entry = Hinted {
                sequence,
                op,
                kind,
                keyspace,
                source,
                expiry,
                object,
                offset,
                length,
                key: &[],
                value: None,
                damaged,
            };
            Owned { entry, key, value }
        },
    );
    vec(owned, 0..200)
}

fn builder(entries: &[Owned]) -> Builder {
    let (mut builder, hasher) = (Builder::new(), hasher());
    entries.iter().for_each(|owned| builder.add(&hasher, &owned.borrow()));
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
        let block = match (owned.entry.op, owned.entry.object) {
            (Op::Bind, _) => BIND_BLOCK,
            (Op::SetElement | Op::RemoveElement, Some(object)) => 257 + partition_of(hasher.object(object)),
            _ => partition_of(hasher.hash(&owned.key)),
        };
        blocks.entry(block).or_default().push(owned.clone());
    }
    blocks.values_mut().for_each(|entries| entries.sort_by_key(|owned| owned.entry.sequence));
    blocks
}

fn sets_value(entry: &Hinted<'_>) -> bool {
    matches!(entry.op, Op::Put | Op::SetElement)
}

fn says(hint: &Hint, entries: &[Owned]) {
    let expected = expected(entries);
    for index in 0..BLOCKS {
        let block = hint.block(index).unwrap().unwrap();
        let found: Vec<Hinted<'_>> = block.entries().collect();
        let wanted: Vec<Hinted<'_>> = expected.get(&index).into_iter().flatten().map(Owned::borrow).collect();
        assert_eq!(found, wanted, "block {index}");
        let values = wanted.iter().filter(|entry| sets_value(entry)).count();
        assert_eq!(block.puts().values().sum::<usize>(), values);
        let moves: BTreeSet<u32> = wanted.iter().filter_map(Hinted::moves_from).collect();
        assert_eq!(block.sources().iter().copied().collect::<BTreeSet<u32>>(), moves);
    }
    let summary = hint.summary();
    let of = |wanted: fn(&Hinted<'_>) -> bool| entries.iter().map(Owned::borrow).filter(move |entry| wanted(entry));
    assert_eq!(summary.records, entries.len() as u64);
    assert_eq!(summary.puts, of(sets_value).count() as u64);
    assert_eq!(summary.put_bytes, of(sets_value).map(|entry| u64::from(entry.length)).sum::<u64>());
    assert_eq!(summary.others_bytes, of(|entry| !sets_value(entry)).map(|entry| u64::from(entry.length)).sum::<u64>());
    assert_eq!(summary.volatile_puts, of(|entry| sets_value(entry) && entry.expiry.is_some()).count() as u64);
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
            let hash = match (owned.entry.op, owned.entry.object) {
                (Op::SetElement | Op::RemoveElement, Some(object)) => hasher.element(object, &owned.key),
                _ => hasher.hash(&owned.key),
            };
            prop_assert!(filter.may_have(hash));
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
    let disk = write(&[put(5, 64, key)]);
    let bytes = disk.bytes(&hint_file_name(3)).unwrap();
    assert_eq!(bytes[..2], [1, 3]);
    // Five and 64 by zigzag, 100 bytes of value, keyspace, length of the key.
    assert_eq!(bytes[2..8], [10, 0x80, 1, 100, 0, 16]);
    assert_eq!(bytes[8..24], *key);
    assert_eq!(FOOTER_BYTES, 8 + 2 + 2 + 40 + 64 + 514 * 12 + 4);
    let footer = &bytes[bytes.len() - FOOTER_BYTES - LENGTH_BYTES..];
    assert_eq!(footer[..20], *b"CASKHINT\x02\0\0\0\x03\0\0\0\x0d\x0c\x0b\x0a");
    assert_eq!(footer[FOOTER_BYTES..], (FOOTER_BYTES as u32).to_le_bytes());
}

#[test]
fn the_bytes_of_elements_are_as_documented() {
    let object = (5 << 32) | 9;
    let disk = write(&[
        element(5, 64, object, b"member", &[1; 8]),
        element(6, 200, object, b"other", &[2; 9]),
        element(7, 300, object, b"", b""),
    ]);
    let bytes = disk.bytes(&hint_file_name(3)).unwrap();
    // The object's id is 9 << 1 and 5 << 33 in groups of seven bits.
    let first =
        [&[8 | 128, 3, 10, 0x80, 1, 16, 0, 6, 0x92, 0x80, 0x80, 0x80, 0xa0, 1][..], b"member", &[1; 8]].concat();
    let second = [&[8 | 128, 3, 2, 0x90, 2, 17, 0, 5, 0][..], b"other"].concat();
    let third = [8 | 128, 3, 2, 0xc8, 1, 8, 0, 0, 0];
    let end = bytes.iter().position(|byte| *byte == 8 | 128).unwrap();
    assert_eq!(end, 0, "there is one block of elements, and no other");
    assert_eq!(bytes[..first.len() + second.len() + third.len()], [&first[..], &second, &third].concat());
}

#[test]
fn an_element_of_a_sorted_set_takes_twelve_bytes_its_name_and_its_score() {
    let (count, mut builder, hasher) = (100_000u32, Builder::new(), hasher());
    for number in 0..count {
        let name = format!("member:{number:09}");
        let owned = element(1_000_000_000 + u64::from(number), 64 + number * 60, 1 << 40, name.as_bytes(), &[7; 8]);
        builder.add(&hasher, &owned.borrow());
    }
    let disk = SimDisk::new();
    builder.write(&disk, &identity()).unwrap();
    let bytes = Hint::open(&disk, &identity(), &hasher).unwrap().unwrap().bytes();
    assert!(bytes <= u64::from(count) * (12 + 16 + 8), "{bytes} bytes");
}

/// An old version has other blocks: it counts as absent, and nothing of it is an error.
#[test]
fn a_hint_of_another_version_is_none() {
    for version in [0u16, 1, 3, u16::MAX] {
        let disk = write(&[put(1, 64, b"a"), element(2, 300, 7, b"b", b"c")]);
        let mut bytes = disk.bytes(&hint_file_name(3)).unwrap();
        let footer_at = bytes.len() - FOOTER_BYTES - LENGTH_BYTES;
        bytes[footer_at + 8..footer_at + 10].copy_from_slice(&version.to_le_bytes());
        let crc_at = footer_at + FOOTER_BYTES - 4;
        let crc = crc32fast::hash(&bytes[footer_at..crc_at]).to_le_bytes();
        bytes[crc_at..crc_at + 4].copy_from_slice(&crc);
        disk.plant(&hint_file_name(3), &bytes);
        assert!(Hint::open(&disk, &identity(), &hasher()).unwrap().is_none(), "{version}");
    }
}

#[test]
fn a_usual_entry_takes_eleven_bytes_and_its_key() {
    let (count, mut builder, hasher) = (100_000u32, Builder::new(), hasher());
    for number in 0..count {
        let owned = put(1_000_000_000 + u64::from(number), 64 + number * 144, format!("key:{number:012}").as_bytes());
        builder.add(&hasher, &owned.borrow());
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

#[test]
fn elements_that_cannot_be_are_none() {
    let sound = [element(5, 64, 7, b"a", b"score"), element(6, 500, 7, b"b", b"score")];
    let block = 257 + partition_of(hasher().object(7));
    let read = |entries: &[Owned]| {
        let hint = Hint::open(&write(entries), &identity(), &hasher()).unwrap().unwrap();
        hint.block(block).unwrap().is_some()
    };
    assert!(read(&sound));
    let changes: [fn(&mut Hinted<'_>); 5] = [
        |entry| entry.keyspace = 1,
        |entry| entry.source = 1,
        // Shorter than its value, and longer than one that stands in the hint.
        |entry| entry.length -= 1,
        |entry| entry.length += 1,
        // It has a value still.
        |entry| entry.op = Op::RemoveElement,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut entries = sound.clone();
        change(&mut entries[1].entry);
        assert!(!read(&entries), "case {index}");
    }
    let removed = |expiry| {
        let mut entries = sound.clone();
        let entry = &mut entries[1].entry;
        (entry.op, entry.expiry) = (Op::RemoveElement, expiry);
        entry.length = HEADER_BYTES as u32 + 8 + 8 * u32::from(expiry.is_some()) + 1;
        entries[1].value = None;
        entries
    };
    assert!(read(&removed(None)));
    assert!(!read(&removed(Some(5))), "what is removed has no expiry");
}

/// With sound checksums all the same: whoever loads a partition has the objects of it, and no others.
#[test]
fn an_element_in_another_block_is_none() {
    let block = 257 + partition_of(hasher().object(7));
    let disk = write(&[element(5, 64, 7, b"a", b"score")]);
    let bytes = disk.bytes(&hint_file_name(3)).unwrap();
    let (entries, footer) = bytes.split_at(bytes.len() - FOOTER_BYTES - LENGTH_BYTES);
    let footer = Footer::read(footer.try_into().unwrap()).unwrap();
    let other = 257 + (block - 257 + 1) % 256;
    for to in [other, partition_of(hasher().hash(b"a")), BIND_BLOCK] {
        let mut footer = footer.clone();
        footer.parts.swap(block, to);
        disk.plant(&hint_file_name(3), &[entries, &footer.write()].concat());
        let hint = Hint::open(&disk, &identity(), &hasher()).unwrap().unwrap();
        assert!(hint.block(block).unwrap().unwrap().is_empty());
        assert!(hint.block(to).unwrap().is_none(), "block {to}");
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
