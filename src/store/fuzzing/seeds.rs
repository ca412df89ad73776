//! Where the search for inputs begins: bytes as a store writes them, and a few of which something is wrong.

use std::sync::Arc;

use super::super::hot::HotName;
use super::sound::{Writing, listed, salt_of};
use super::*;
use crate::store::manifest::Edit;
use crate::store::record::MARK_BYTES;
use crate::store::segment::SEGMENT_HEADER_BYTES;

/// The name of a file of the corpus, and its bytes.
pub(crate) type Seed = (String, Vec<u8>);

/// Each kind of record.
pub(crate) fn records() -> Vec<Seed> {
    let bytes = sound::segment(ID, (1, 0), true).bytes;
    let (mut at, mut seeds) = (SEGMENT_HEADER_BYTES, Vec::new());
    while let Ok(record) = Record::read(&bytes[at..], salt_of(ID)) {
        let name = format!("{:02}-{:?}", seeds.len(), record.op).to_lowercase();
        let choice = CHECKSUMS | if seeds.len() % 2 == 0 { SHAPED } else { 0 };
        seeds.push((name, seed(&[choice, 77], &bytes[at..at + record.length()])));
        at += record.length();
    }
    seeds.push(("as-it-stands".to_owned(), seed(&[0, 200], &bytes[SEGMENT_HEADER_BYTES + MARK_BYTES..][..80])));
    seeds.push(("nothing".to_owned(), vec![CHECKSUMS | SHAPED, 0]));
    seeds
}

/// Segments at every place of a log.
pub(crate) fn segments() -> Vec<Seed> {
    let alone = |sealed| sound::segment(ID, (1, 0), sealed).bytes;
    let before = sound::segment(1, (1, 0), true);
    let second = |sealed| {
        sound::segment(ID, (before.sequence, (before.bytes.len() - SEGMENT_HEADER_BYTES) as u64), sealed).bytes
    };
    let (allocated, torn) = ([alone(false), vec![0; 300]].concat(), alone(false));
    let torn = torn[..torn.len() - 7].to_vec();
    let mut damaged = alone(true);
    // In the value of the first key.
    damaged[SEGMENT_HEADER_BYTES + MARK_BYTES + layout::RECORD_HEADER + 3] ^= 1;
    let mut compacted = Writing::begin(&listed(ID, SegmentKind::Compacted, (3, 0), SegmentState::Active));
    for (sequence, key) in [(9, b"a"), (3, b"b"), (7, b"c")] {
        compacted.sequence = sequence;
        compacted.add(&Draft::put(0, 16, key, b"survivor"));
    }
    let mut late = Writing::begin(&listed(ID, SegmentKind::Foreground, (1, 0), SegmentState::Active));
    late.mark(Op::Mark, 0, 1_900_000_000_000);
    late.sequence = layout::SEQUENCE_MAX - 3;
    late.add(&Draft::put(0, 16, b"key", b"of one of the last numbers"));
    let seeds = [
        ("active", CHECKSUMS, alone(false)),
        ("active-allocated", 0, allocated),
        ("active-shaped", CHECKSUMS | SHAPED, alone(false)),
        ("active-torn", 0, torn.clone()),
        ("among-others", CHECKSUMS | SHAPED | EARLIER | LATER, second(false)),
        ("among-others-as-it-stands", SEALED | EARLIER | LATER | CLAIMED, second(true)),
        ("among-others-sealed", CHECKSUMS | SHAPED | SEALED | EARLIER | LATER | CLAIMED, second(true)),
        ("claimed-torn", LATER | CLAIMED, torn),
        ("compacted", CHECKSUMS | SHAPED | SEALED | COMPACTED, compacted.bytes.clone()),
        ("compacted-among-others", CHECKSUMS | SEALED | COMPACTED | LATER, compacted.bytes),
        ("cut", CHECKSUMS | SHAPED | CUT | LATER, alone(false)),
        ("damaged", SEALED, damaged),
        ("empty", CHECKSUMS | LATER, Vec::new()),
        ("header-alone", CHECKSUMS, alone(false)[..SEGMENT_HEADER_BYTES].to_vec()),
        ("last-numbers", CHECKSUMS | SHAPED, late.bytes),
        ("sealed", CHECKSUMS | SEALED, alone(true)),
        ("sealed-shaped", CHECKSUMS | SHAPED | SEALED, alone(true)),
    ];
    named(seeds.map(|(name, choice, bytes)| (name, seed(&[choice], &bytes))))
}

/// Hints in each form.
pub(crate) fn hints() -> Vec<Seed> {
    let bytes = sound_segment();
    let file = sound::hint_file(sound::builder(ID, bytes), ID, bytes.len() as u64);
    let hint = sound::builder(ID, bytes).into_hint();
    let (mut parts, mut entries) = (Vec::new(), Vec::new());
    for number in 0..BLOCKS {
        let block = hint.block(number).ok().flatten().expect("it is in memory");
        let length = block.bytes().len();
        if length > 0 {
            parts.extend([&(number as u16).to_le_bytes()[..], &[length as u8], block.bytes()].concat());
            // Those of the first block as they stand; the numbers of the others are relative to nothing.
            entries.extend(block.bytes());
        }
    }
    let filter = hint.filter().ok().flatten().expect("it was collected").write();
    parts.extend([&(BLOCKS as u16).to_le_bytes()[..], &[filter.len() as u8], &filter].concat());
    let numbers = sound_numbers();
    let cut = file[..file.len() - 1].to_vec();
    named([
        ("as-it-stands", seed(&[0], &file)),
        ("cut", seed(&[0], &cut)),
        ("entries", seed(&[CHECKSUMS | ENTRIES], &entries)),
        ("nothing", vec![CHECKSUMS]),
        ("parts", seed(&[CHECKSUMS], &parts)),
        ("parts-and-numbers", seed(&[CHECKSUMS | NUMBERS], &[&numbers[..], &parts].concat())),
    ])
}

/// Manifests as edits leave them.
pub(crate) fn manifests() -> Vec<Seed> {
    let sealed = |id, begins, length| listed(id, SegmentKind::Foreground, begins, SegmentState::Sealed(length));
    let written = |edit: &Edit| {
        let disk = SimDisk::new();
        disk.plant(MANIFEST_FILE, &layout::manifest(&[]));
        let manifest = Manifest::open_to_read(Arc::new(disk.clone())).expect("it is sound").expect("it is there");
        manifest.edit(edit).expect("this disk does not fail");
        disk.bytes(MANIFEST_FILE).expect("it was written")
    };
    let active = listed(1, SegmentKind::Foreground, (0, 0), SegmentState::Active);
    let log = Edit::new().add(sealed(1, (1, 0), 142)).add(sealed(2, (3, 78), 142)).add(listed(
        3,
        SegmentKind::Foreground,
        (0, 0),
        SegmentState::Active,
    ));
    let compacted = Edit::new()
        .add(listed(5, SegmentKind::Compacted, (2, 0), SegmentState::Sealed(142)))
        .add(sealed(6, (9, 1_000), 142))
        .floor(1_000, 8)
        .clock_floor(1_800_000_000_000);
    let cut = Edit::new().add(listed(1, SegmentKind::Foreground, (1, 0), SegmentState::Cut(142))).add(listed(
        2,
        SegmentKind::Foreground,
        (3, 78),
        SegmentState::Active,
    ));
    let with = |choice: u8, edit: &Edit| seed(&[choice], &written(edit));
    named([
        ("active", with(CHECKSUMS, &Edit::new().add(active))),
        ("as-it-stands", with(0, &log)),
        ("compacted", with(CHECKSUMS | FITTED, &compacted)),
        ("cut", with(CHECKSUMS | FITTED, &cut)),
        ("log", with(CHECKSUMS | FITTED, &log)),
        ("log-of-other-lengths", with(CHECKSUMS, &log)),
        ("nothing", with(CHECKSUMS, &Edit::new())),
        ("torn", seed(&[0], &written(&log)[..50])),
    ])
}

/// Files that name what was in memory: of this dataset, of others, and such as no server writes.
pub(crate) fn hots() -> Vec<Seed> {
    let file = |names: &[(HotOwner, &[u8])]| {
        let (disk, hasher) = (SimDisk::new(), sound::hasher());
        let writer = HotWriter::begin(Arc::new(disk.clone()), layout::DATASET, hasher.proof(), 1_700_000_000_000);
        let mut writer = writer.expect("this disk does not fail");
        for (number, (owner, name)) in names.iter().enumerate() {
            let remembered = Remembered { name: HotName::of(hasher.hash(name)), uses: (number % 4) as u8 };
            writer.add(*owner, remembered).expect("this disk does not fail");
        }
        writer.finish().expect("this disk does not fail");
        disk.bytes(HOT_FILE).expect("it was written")
    };
    let (mut keys, mut at, bytes) = (Vec::new(), SEGMENT_HEADER_BYTES, sound::segment(ID, (1, 0), true).bytes);
    while let Ok(record) = Record::read(&bytes[at..], salt_of(ID)) {
        let owner = record.object.map_or(HotOwner::Keyspace(record.keyspace), HotOwner::Object);
        keys.push((owner, record.key.to_vec()));
        at += record.length();
    }
    let keys: Vec<(HotOwner, &[u8])> = keys.iter().map(|(owner, key)| (*owner, &key[..])).collect();
    let (all, none) = (file(&keys), file(&[]));
    let mut damaged = all.clone();
    *damaged.last_mut().expect("it has names") ^= 1;
    named([
        ("all", seed(&[CHECKSUMS], &all)),
        ("as-it-stands", seed(&[0], &all)),
        ("cut-off", seed(&[CHECKSUMS], &all[..all.len() - 3])),
        ("damaged", seed(&[0], &damaged)),
        ("none", seed(&[CHECKSUMS], &none)),
        ("nothing", vec![CHECKSUMS]),
        (
            "too-long",
            seed(&[CHECKSUMS], &[&none[..], &[0, 0, 0, 0, 255, 255, 255, 255, 1], &[0; 8], &[7; 40]].concat()),
        ),
    ])
}

fn seed(choice: &[u8], bytes: &[u8]) -> Vec<u8> {
    [choice, bytes].concat()
}

fn named<const N: usize>(seeds: [(&str, Vec<u8>); N]) -> Vec<Seed> {
    seeds.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}
