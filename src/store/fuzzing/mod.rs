//! What must hold whatever bytes the files of a store have.
//!
//! Always true: the first byte of an input chooses how the rest is taken; one of the choices gives the bytes the
//! checksums that they should have, so that what is changed gets past them.
//!
//! | file | what |
//! | --- | --- |
//! | `layout` | the files as the documentation describes them |
//! | `sound` | a sound segment |
//! | `seeds` | where the search for inputs begins |

pub(super) mod layout;
#[cfg(test)]
pub(crate) mod seeds;
pub(super) mod sound;

use std::sync::{Arc, OnceLock};

use self::layout::SEGMENT_HEADER;
use self::sound::{Writing, listed, salt_of};
use super::disk::SimDisk;
use super::hint::{BLOCKS, Builder, entries_of};
use super::hot::{HOT_FILE, HotFile, HotOwner, HotWriter, Remembered};
use super::manifest::{
    Edit, MANIFEST_FILE, Manifest, Segment, SegmentKind, SegmentState, hint_file_name, segment_file_name,
};
use super::record::{Draft, Fault, Op, Raw, Record, recopy};

/// The checksums are those that the bytes should have.
const CHECKSUMS: u8 = 1;
/// So is everything else without which there would be no record: see [`layout::sign_records`].
const SHAPED: u8 = 1 << 1;

/// Of a segment: the manifest says that it ends where the bytes end.
const SEALED: u8 = 1 << 2;
/// Of a segment: a sync failed where the bytes end.
const CUT: u8 = 1 << 3;
/// Of a segment: it has what a compaction left.
const COMPACTED: u8 = 1 << 4;
/// Of a segment: a sound one stands before it.
const EARLIER: u8 = 1 << 5;
/// Of a segment: a sound one stands behind it.
const LATER: u8 = 1 << 6;
/// Of a segment: the one behind it says that everything before was durable.
const CLAIMED: u8 = 1 << 7;

/// Of a hint: the bytes are entries, which are written as a store does.
const ENTRIES: u8 = 1 << 1;
/// Of a hint: the bytes begin with the numbers of the footer.
const NUMBERS: u8 = 1 << 2;

/// Of a manifest: segments that have an end have it where their files end.
const FITTED: u8 = 1 << 1;
/// Of a manifest: so many of its segments have a file.
const FILES_MAX: usize = 6;

/// Of a manifest: at most so many segments are begun beside its own.
const SEGMENTS_BEGUN_MAX: u32 = 64;

/// The id of the segment that is fuzzed, or whose hint is.
const ID: u32 = 2;

/// The bytes of one record: it is refused, or says what its bytes say and nothing else could be written for.
pub(crate) fn record(data: &[u8]) {
    let Some((&[choice, flipped], bytes)) = data.split_first_chunk() else { return };
    let (salt, mut bytes) = (salt_of(ID), bytes.to_vec());
    if choice & CHECKSUMS != 0 {
        layout::sign_records(&mut bytes, 0, salt, choice & SHAPED != 0, 0);
    }
    let head = Record::read_head(&bytes, salt);
    let record = match Record::read(&bytes, salt) {
        Ok(record) => record,
        Err(fault) => {
            assert!(head.is_err() || fault == Fault::Checksum, "{fault:?}, and yet the key can be told");
            return;
        }
    };
    let length = record.length();
    assert_eq!(length, Raw::read(&bytes).length as usize);
    let &Record { sequence, op, kind, keyspace, expiry, object, key, value, .. } = &record;
    match head {
        Ok(head) => {
            assert_eq!((head.sequence, head.op, head.kind, head.keyspace), (sequence, op, kind, keyspace));
            assert_eq!((head.expiry, head.object, head.key, head.value), (expiry, object, key, &b""[..]));
        }
        Err(fault) => assert_eq!((op, fault), (Op::Move, Fault::Checksum)),
    }
    let draft = Draft { op, kind, keyspace, key, value, expiry, object };
    let mut written = Vec::new();
    draft.write(&draft.measure().expect("it was read"), salt, sequence, &mut written);
    let mut copied = bytes[..length].to_vec();
    recopy(&mut copied, salt);
    assert_eq!(written, copied, "it is written as it stands there");
    assert!(Record::read(&bytes, salt ^ u32::from(flipped).max(1)).is_err(), "a record of another segment");
    for cut in [0, length / 2, length - 1] {
        assert!(Record::read(&bytes[..cut], salt).is_err(), "{cut} of {length} bytes");
    }
    let mut changed = bytes[..length].to_vec();
    changed[usize::from(flipped) * length / 256] ^= 1 << (flipped % 8);
    assert!(Record::read(&changed, salt).is_err(), "a bit was flipped");
}

/// The bytes of a segment, among others or alone: the disk that has it.
pub(crate) fn segment(data: &[u8]) -> Option<SimDisk> {
    let (&choice, bytes) = data.split_first()?;
    let has = |flag: u8| choice & flag != 0;
    let kind = if has(COMPACTED) { SegmentKind::Compacted } else { SegmentKind::Foreground };
    let (disk, mut bytes, mut all) = (SimDisk::new(), bytes.to_vec(), Vec::new());
    let mut begins = if bytes.len() < SEGMENT_HEADER { (0, 0) } else { layout::beginning(&bytes) };
    if has(EARLIER) {
        let Writing { bytes, sequence, .. } = sound::segment(1, (1, 0), true);
        begins = (sequence, (bytes.len() - SEGMENT_HEADER) as u64);
        all.push(listed(1, SegmentKind::Foreground, (1, 0), SegmentState::Sealed(bytes.len() as u64)));
        disk.plant(&segment_file_name(1), &bytes);
    }
    let mut last = begins.0.saturating_sub(1).min(layout::SEQUENCE_MAX);
    if has(CHECKSUMS) && bytes.len() >= SEGMENT_HEADER {
        layout::begin(&mut bytes, begins.0, begins.1);
        layout::sign_header(&mut bytes, &listed(ID, kind, begins, SegmentState::Active));
        last = layout::sign_records(&mut bytes, SEGMENT_HEADER, salt_of(ID), has(SHAPED), last);
    }
    let length = bytes.len() as u64;
    let state = match (has(SEALED), has(CUT)) {
        (true, _) => SegmentState::Sealed(length),
        (false, true) => SegmentState::Cut(length),
        (false, false) => SegmentState::Active,
    };
    all.push(listed(ID, kind, begins, state));
    disk.plant(&segment_file_name(ID), &bytes);
    if has(LATER) {
        let position = begins.1.wrapping_add(length.saturating_sub(SEGMENT_HEADER as u64));
        let later = listed(3, SegmentKind::Foreground, (last + 1, position), SegmentState::Active);
        let mut writing = Writing::begin(&later);
        writing.mark(Op::Mark, if has(CLAIMED) { position } else { 0 }, 0);
        writing.add(&Draft::put(0, 16, b"later", b"value"));
        disk.plant(&segment_file_name(3), &writing.bytes);
        all.push(listed(3, SegmentKind::Foreground, (0, 0), SegmentState::Active));
    }
    disk.plant(MANIFEST_FILE, &layout::manifest(&all));
    Some(disk)
}

/// The bytes of a hint: the disk that has it beside the segment it belongs to.
pub(crate) fn hint(data: &[u8]) -> Option<SimDisk> {
    let (&choice, mut rest) = data.split_first()?;
    let (disk, length) = (without_hint(), sound_segment().len() as u64);
    let sealed = listed(ID, SegmentKind::Foreground, (1, 0), SegmentState::Sealed(length));
    let hint = if choice & CHECKSUMS == 0 {
        rest.to_vec()
    } else if choice & ENTRIES != 0 {
        let (mut builder, hasher) = (Builder::new(), sound::hasher());
        entries_of(rest).for_each(|entry| builder.add(&hasher, &entry));
        sound::hint_file(builder, ID, length)
    } else {
        let mut numbers = sound_numbers();
        if choice & NUMBERS != 0 {
            (numbers, rest) = rest.split_first_chunk().map(|(numbers, rest)| (*numbers, rest))?;
        }
        layout::hint(&sealed, length, sound::hasher().proof(), &numbers, &parts_of(rest))
    };
    disk.plant(&hint_file_name(ID), &hint);
    Some(disk)
}

/// The bytes of a file that names what was in memory: the disk that has it beside a segment. What was read of it is what is
/// written of it.
pub(crate) fn hot(data: &[u8]) -> Option<SimDisk> {
    let (&choice, rest) = data.split_first()?;
    let (mut bytes, proof, disk) = (rest.to_vec(), sound::hasher().proof(), without_hint());
    if choice & CHECKSUMS != 0 {
        layout::sign_hot(&mut bytes, proof);
    }
    disk.plant(HOT_FILE, &bytes);
    let read = |disk: &SimDisk| -> Vec<(HotOwner, Remembered)> {
        let file = HotFile::open(disk, layout::DATASET, proof).expect("this disk does not fail");
        let (mut names, mut blocks) = (Vec::new(), file.as_ref().map(HotFile::blocks));
        while let Some(block) = blocks.as_mut().and_then(|blocks| blocks.next().expect("this disk does not fail")) {
            names.extend(block.names().map(|remembered| (block.owner, remembered)));
        }
        names
    };
    let (names, again) = (read(&disk), SimDisk::new());
    let writer = HotWriter::begin(Arc::new(again.clone()), layout::DATASET, proof, 0);
    let written = writer.and_then(|mut writer| {
        names.iter().try_for_each(|(owner, remembered)| writer.add(*owner, *remembered))?;
        writer.finish()
    });
    assert_eq!(written.expect("this disk does not fail").0, names.len() as u64);
    assert_eq!(read(&again), names);
    Some(disk)
}

/// A disk with a segment of these records.
#[cfg(test)]
pub(crate) fn disk_of(drafts: &[Draft<'_>]) -> SimDisk {
    let (disk, active) = (SimDisk::new(), listed(ID, SegmentKind::Foreground, (1, 0), SegmentState::Active));
    let mut writing = Writing::begin(&active);
    drafts.iter().for_each(|draft| writing.add(draft));
    let length = writing.bytes.len() as u64;
    disk.plant(MANIFEST_FILE, &layout::manifest(&[Segment { state: SegmentState::Sealed(length), ..active }]));
    disk.plant(&segment_file_name(ID), &writing.bytes);
    disk
}

/// The disk that [`hint`] puts hints on.
pub(crate) fn without_hint() -> SimDisk {
    let (disk, bytes) = (SimDisk::new(), sound_segment());
    let listed = listed(ID, SegmentKind::Foreground, (1, 0), SegmentState::Sealed(bytes.len() as u64));
    disk.plant(MANIFEST_FILE, &layout::manifest(&[listed]));
    disk.plant(&segment_file_name(ID), bytes);
    disk
}

/// Whether a value was ever written for a key in the segment that [`hint`] puts hints beside.
pub(crate) fn was_written(key: &[u8], value: &[u8]) -> bool {
    let (bytes, salt) = (sound_segment(), salt_of(ID));
    let mut at = SEGMENT_HEADER;
    while let Ok(record) = Record::read(&bytes[at..], salt) {
        if record.op == Op::Put && record.key == key && record.value == value {
            return true;
        }
        at += record.length();
    }
    false
}

/// The bytes of a manifest: the disk that has it with files for its first segments. What was read of it is what is
/// written of it.
pub(crate) fn manifest(data: &[u8]) -> Option<SimDisk> {
    let (&choice, bytes) = data.split_first()?;
    let mut bytes = bytes.to_vec();
    let length = segment_of(&listed(1, SegmentKind::Foreground, (1, 0), SegmentState::Active)).len() as u64;
    if choice & FITTED != 0 {
        layout::end_segments(&mut bytes, length);
    }
    if choice & CHECKSUMS != 0 {
        layout::seal_manifest(&mut bytes);
    }
    let disk = SimDisk::new();
    disk.plant(MANIFEST_FILE, &bytes);
    if let Ok(Some(manifest)) = Manifest::open_to_read(Arc::new(disk.clone())) {
        // Nobody has so many segments, and no other could be begun.
        if manifest.unused_segment_id() > u32::MAX - SEGMENTS_BEGUN_MAX {
            return None;
        }
        let again = SimDisk::new();
        again.plant(MANIFEST_FILE, &bytes);
        let said = said_by(&manifest);
        let writing = Manifest::open_to_read(Arc::new(again.clone())).ok().flatten().expect("it was read before");
        writing.edit(&Edit::new()).expect("this disk does not fail");
        let written = Manifest::open_to_read(Arc::new(again)).expect("it was written").expect("it is there");
        assert_eq!(said_by(&written), said);
        for segment in manifest.segments().iter().take(FILES_MAX) {
            disk.plant(&segment_file_name(segment.id), &segment_of(segment));
        }
    }
    Some(disk)
}

type Said = ([u8; 16], [u8; 16], Vec<Segment>, u64, (u64, u64), u32);

fn said_by(manifest: &Manifest) -> Said {
    let floor = manifest.floor();
    let (floor, unused) = ((floor.position, floor.sequence), manifest.unused_segment_id());
    (manifest.dataset_id(), manifest.hash_seed(), manifest.segments(), manifest.clock_floor(), floor, unused)
}

/// A segment as a manifest lists it, with two records.
fn segment_of(listed: &Segment) -> Vec<u8> {
    let mut writing = Writing::begin(listed);
    writing.sequence = listed.base_sequence.clamp(1, layout::SEQUENCE_MAX - 1);
    writing.add(&Draft::put(0, 16, b"key", &listed.id.to_le_bytes()));
    writing.mark(Op::Mark, 0, 1);
    writing.bytes
}

/// The segment that hints are put beside: its bytes never change.
fn sound_segment() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| sound::segment(ID, (1, 0), true).bytes)
}

/// The numbers that its hint has.
fn sound_numbers() -> [u8; 64] {
    static NUMBERS: OnceLock<[u8; 64]> = OnceLock::new();
    *NUMBERS.get_or_init(|| {
        let bytes = sound_segment();
        let hint = sound::hint_file(sound::builder(ID, bytes), ID, bytes.len() as u64);
        // They stand behind the identity of the footer, whose length is the same in all hints.
        let footer = hint.len() - 4 - (12 + 40 + 64 + layout::HINT_PARTS * 12 + 4);
        hint[footer + 52..].first_chunk().copied().unwrap_or([0; 64])
    })
}

/// Parts of a hint: each is its number, its length and its bytes; what belongs to one of them is put together.
fn parts_of(mut rest: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new(); layout::HINT_PARTS];
    while let Some((&[low, high, length], behind)) = rest.split_first_chunk() {
        let (bytes, behind) = behind.split_at(usize::from(length).min(behind.len()));
        let number = usize::from(u16::from_le_bytes([low, high]));
        parts[number.min(BLOCKS)].extend_from_slice(bytes);
        rest = behind;
    }
    parts
}
