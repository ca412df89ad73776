//! What is read back is the same from hints and from the segments themselves, in one thread and in several; what was
//! removed leaves gaps, and what a compaction has copied counts once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::store::clock::TestClock;
use crate::store::disk::sim::{CallKind, Survival};
use crate::store::disk::{Disk, SimDisk};
use crate::store::hint::{Hinted, PARTITIONS, Summary, forged};
use crate::store::manifest::{Edit, Segment as Listed, SegmentKind, SegmentState, hint_file_name, segment_file_name};
use crate::store::record::{Draft, Record};
use crate::store::segment::{Header, Location, SEGMENT_HEADER_BYTES, header_kind};
use crate::store::{Op, Options, SegmentSize, Store};

/// Everything that was told, by partition and in order; the partitions of elements are numbered behind those of the keys.
#[derive(Default)]
struct Told {
    bindings: Vec<(u32, u32)>,
    partitions: Mutex<BTreeMap<usize, Vec<Entry>>>,
    /// How many partitions are being told of.
    telling: AtomicUsize,
}

/// A record without its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    sequence: u64,
    op: Op,
    keyspace: u32,
    expiry: Option<u64>,
    object: Option<u64>,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    damaged: bool,
    at: Location,
}

impl Replay for Told {
    fn begin(&mut self, beginning: &Beginning<'_>) {
        self.bindings = beginning.bindings.to_vec();
        assert!(beginning.segments.is_sorted());
    }

    fn partition(&self, partition: usize, records: Records<'_>) {
        self.telling.fetch_add(1, Ordering::SeqCst);
        assert!(
            self.partitions.lock().keys().all(|partition| *partition < PARTITIONS),
            "elements come behind all keys"
        );
        self.take(partition, records);
        self.telling.fetch_sub(1, Ordering::SeqCst);
    }

    fn elements(&self, partition: usize, records: Records<'_>) {
        assert_eq!(self.telling.load(Ordering::SeqCst), 0, "all keys have been taken in");
        self.take(PARTITIONS + partition, records);
    }
}

impl Told {
    fn take(&self, partition: usize, records: Records<'_>) {
        let entry = |(segment, record): (u32, Hinted<'_>)| {
            assert_eq!(record.op.is_of_element(), partition >= PARTITIONS);
            let Hinted { sequence, op, keyspace, expiry, object, offset, length, key, value, damaged, .. } = record;
            let at = Location { segment, offset, length };
            let (key, value) = (key.to_vec(), value.map(<[u8]>::to_vec));
            Entry { sequence, op, keyspace, expiry, object, key, value, damaged, at }
        };
        let entries: Vec<Entry> = records.map(entry).collect();
        assert!(entries.is_sorted_by(|one, other| one.sequence < other.sequence));
        assert!(self.partitions.lock().insert(partition, entries).is_none());
    }
}

impl Told {
    fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.partitions.lock().values().flatten().cloned().collect();
        entries.sort_by_key(|entry| entry.sequence);
        entries
    }

    fn keys(&self) -> Vec<(u64, String)> {
        let key = |entry: Entry| (entry.sequence, String::from_utf8(entry.key).unwrap());
        self.entries().into_iter().map(key).collect()
    }
}

struct Opened {
    store: Store,
    recovered: Recovered,
    told: Told,
}

fn open_with(disk: &SimDisk, load_threads: usize) -> Result<Opened, OpenError> {
    let clock = Arc::new(TestClock::new(1_700_000_000_000));
    let options = Options { segment_size: SegmentSize::Fixed(4096), load_threads, ..Options::default() };
    let mut told = Told::default();
    let (store, recovered) = Store::open(Arc::new(disk.clone()), clock, options, &mut told, &mut |_, _| {})?;
    Ok(Opened { store, recovered, told })
}

fn open(disk: &SimDisk) -> Opened {
    open_with(disk, 1).unwrap_or_else(|error| panic!("{error}"))
}

/// A store of many segments, closed.
fn written() -> SimDisk {
    let disk = SimDisk::new();
    let Opened { store, .. } = open(&disk);
    for number in 0..60u32 {
        let key = format!("key {}", number % 17);
        let expiry = (number % 5 == 0).then_some(2_000_000_000_000 + u64::from(number));
        let draft = match number % 7 {
            5 => Draft::delete(number % 3, key.as_bytes()),
            6 => Draft::expire(number % 3, key.as_bytes(), expiry),
            _ => Draft { expiry, ..Draft::put(number % 3, 1, key.as_bytes(), &[b'v'; 500]) },
        };
        store.append(&draft).unwrap();
        if number % 20 == 0 {
            store.append(&Draft::bind(&number.to_le_bytes(), 70_000 + number)).unwrap();
        }
    }
    store.close().unwrap();
    disk
}

fn names(disk: &SimDisk, suffix: &str) -> Vec<String> {
    let mut names = disk.list().unwrap();
    names.retain(|name| name.ends_with(suffix));
    names.sort();
    names
}

fn copy(disk: &SimDisk) -> SimDisk {
    disk.survivors(Survival::Written)
}

#[test]
fn hints_say_what_the_segments_say() {
    let disk = written();
    let segments = names(&disk, ".log").len();
    assert!(segments > 5);
    // Closing is bounded, and these are small.
    assert_eq!(names(&disk, ".hint").len(), segments);
    let with = open(&copy(&disk));
    assert_eq!(with.recovered.without_hint, 0);
    assert_eq!(with.told.bindings, [(0, 70_000), (20, 70_020), (40, 70_040)]);
    for hints_kept in 0..segments {
        let disk = copy(&disk);
        names(&disk, ".hint").iter().skip(hints_kept).for_each(|name| disk.remove(name).unwrap());
        for threads in [1, 3] {
            let without = open_with(&copy(&disk), threads).unwrap();
            assert_eq!(without.recovered.without_hint, segments - hints_kept);
            assert_eq!(without.told.entries(), with.told.entries());
            assert_eq!(without.told.bindings, with.told.bindings);
            let recovered = Recovered { without_hint: 0, ..without.recovered };
            assert_eq!(recovered, with.recovered);
            let (status, expected) = (without.store.status(), with.store.status());
            assert_eq!((status.bytes_total, status.segments), (expected.bytes_total, expected.segments));
        }
    }
}

#[test]
fn missing_hints_are_written_once() {
    let disk = written();
    names(&disk, ".hint").iter().for_each(|name| disk.remove(name).unwrap());
    let segments = names(&disk, ".log").len();
    let Opened { store, .. } = open(&disk);
    assert_eq!(store.log.write_hints().unwrap(), segments);
    assert_eq!(names(&disk, ".hint").len(), segments);
    let calls = disk.calls();
    assert_eq!(store.log.write_hints().unwrap(), 0);
    assert_eq!(disk.calls(), calls);
    assert_eq!(open(&copy(&disk)).recovered.without_hint, 0);
    // The newest come first where there is a limit.
    names(&disk, ".hint").iter().for_each(|name| disk.remove(name).unwrap());
    // The very newest is empty, and gone once it is opened again.
    let newest = names(&disk, ".log").into_iter().rev().skip(1);
    let bytes: usize = newest.take(2).filter_map(|name| disk.bytes(&name)).map(|bytes| bytes.len()).sum();
    let disk = copy(&disk);
    let Opened { store, .. } = open(&disk);
    assert_eq!(store.log.write_hints_of(bytes as u64).unwrap(), 2);
}

#[test]
fn a_hint_that_cannot_be_written_is_written_later() {
    use crate::store::disk::sim::{At, Often};
    let disk = written();
    names(&disk, ".hint").iter().for_each(|name| disk.remove(name).unwrap());
    let Opened { store, .. } = open(&disk);
    disk.fail(At::Kind(CallKind::Rename), std::io::ErrorKind::StorageFull, Often::Once);
    store.log.write_hints().unwrap_err();
    assert!(store.status().last_error.is_some() && store.status().refused.is_none());
    assert_eq!(names(&disk, ".hint").len() + 1, names(&disk, ".log").len() - 1, "but for the one, and the active one");
    assert_eq!(store.log.write_hints().unwrap(), 1);
}

#[test]
fn a_damaged_segment_gets_no_hint() {
    let disk = written();
    let name = segment_file_name(3);
    disk.remove(&hint_file_name(3)).unwrap();
    // In the value of its first record.
    disk.flip_bit(&name, SEGMENT_HEADER_BYTES as u64 + 32 + 300, 0);
    for _ in 0..2 {
        let Opened { store, recovered, told } = open(&disk);
        assert_eq!((recovered.damaged, recovered.without_hint), (1, 1));
        assert_eq!(told.entries().iter().filter(|entry| entry.damaged).count(), 1);
        assert_eq!(store.log.write_hints().unwrap(), 0);
        assert!(store.log.is_flawed(3) && !store.log.is_flawed(2));
        assert!(!names(&disk, ".hint").contains(&hint_file_name(3)));
    }
    // Damage that comes while the store runs, before its hint is written.
    disk.flip_bit(&name, SEGMENT_HEADER_BYTES as u64 + 32 + 300, 0);
    let Opened { store, recovered, .. } = open(&disk);
    assert_eq!(recovered.damaged, 0);
    disk.flip_bit(&name, SEGMENT_HEADER_BYTES as u64 + 10, 0);
    assert_eq!(store.log.write_hints().unwrap(), 0);
    assert!(store.log.is_flawed(3));
}

#[test]
fn a_damaged_block_is_read_from_the_segment_instead() {
    let disk = written();
    let expected = open(&copy(&disk)).told.entries();
    let name = hint_file_name(2);
    for threads in [1, 4] {
        let disk = copy(&disk);
        disk.flip_bit(&name, 3, 0);
        let Opened { store, recovered, told } = open_with(&disk, threads).unwrap();
        assert_eq!(told.entries(), expected);
        assert_eq!(recovered.without_hint, 1);
        assert_eq!(store.log.write_hints().unwrap(), 1);
        assert_eq!(open(&disk).recovered.without_hint, 0);
    }
}

/// With sound checksums all the same: the log must not go on with numbers that are taken.
#[test]
fn a_hint_that_claims_other_numbers_is_none() {
    let changes: [fn(&mut Summary); 4] = [
        |summary| summary.sequence_max -= 1,
        |summary| summary.sequence_max += 1_000,
        |summary| summary.sequence_min -= 1,
        |summary| summary.wall += 1,
    ];
    let disk = written();
    let whole = open(&copy(&disk));
    let hints = names(&disk, ".hint");
    // One in the middle, and the last.
    for name in [&hints[1], hints.last().unwrap()] {
        for (index, change) in changes.into_iter().enumerate() {
            let disk = copy(&disk);
            disk.plant(name, &forged(&disk.bytes(name).unwrap(), &change));
            for round in 0..3 {
                let opened = open(&disk);
                assert!(round > 0 || opened.recovered.without_hint == 1, "{name}, change {index}");
                assert_eq!(opened.recovered.sequence > whole.recovered.sequence, round > 0);
                assert!(opened.told.entries().starts_with(&whole.told.entries()), "{name}, change {index}");
                opened.store.append(&Draft::put(0, 0, &[round], b"after")).unwrap();
                // The next start has no hint that could be wrong.
                names(&disk, ".hint").iter().for_each(|name| disk.remove(name).unwrap());
                opened.store.close().unwrap();
            }
        }
    }
    // Where the last record says nothing, the segment behind does.
    let log = hints[1].replace("hint", "log");
    disk.flip_bit(&log, disk.bytes(&log).unwrap().len() as u64 - 1, 0);
    disk.plant(&hints[1], &forged(&disk.bytes(&hints[1]).unwrap(), &|summary| summary.sequence_max += 1_000));
    let opened = open(&disk).recovered;
    assert_eq!((opened.sequence, opened.without_hint), (whole.recovered.sequence, 1));
}

/// A log that ends without a seal, as one does that was cut off.
#[test]
fn the_last_record_says_how_far_a_segment_goes() {
    for value in [10, 3_000_000] {
        let disk = SimDisk::new();
        let clock = Arc::new(TestClock::new(1_700_000_000_000));
        let (store, _) =
            Store::open(Arc::new(disk.clone()), clock, Options::default(), &mut Told::default(), &mut |_, _| {})
                .unwrap();
        store.append(&Draft::put(0, 1, b"large", &vec![b'v'; value])).unwrap();
        store.append(&Draft::put(0, 1, b"key", b"value")).unwrap();
        store.sync().unwrap();
        let disk = copy(&disk);
        let last = open(&disk).recovered.sequence;
        let Opened { store, recovered, .. } = open(&disk);
        assert_eq!(store.log.write_hints().unwrap(), 1);
        drop(store);
        let name = hint_file_name(1);
        disk.plant(&name, &forged(&disk.bytes(&name).unwrap(), &|summary| summary.sequence_max += 5));
        let again = open(&copy(&disk)).recovered;
        assert_eq!((recovered.sequence, again.sequence, again.without_hint), (last, last, 1));
    }
}

#[test]
fn survivors_of_a_compaction_have_no_numbers_that_the_log_never_came_to() {
    let disk = written();
    let whole = open(&copy(&disk));
    let entries = whole.told.entries();
    let originals: Vec<Entry> = entries.into_iter().filter(|entry| entry.at.segment == 3).collect();
    compact(&disk, 3, 90, &originals, true);
    let opened = open(&disk);
    opened.store.log.write_hints().unwrap();
    opened.store.close().unwrap();
    let name = hint_file_name(90);
    assert_eq!(open(&copy(&disk)).recovered.without_hint, 0);
    disk.plant(&name, &forged(&disk.bytes(&name).unwrap(), &|summary| summary.sequence_max = 1 << 47));
    let again = open(&disk).recovered;
    assert_eq!(again.without_hint, 1);
    assert!(again.sequence < whole.recovered.sequence + 10, "{again:?}");
}

#[test]
fn progress_goes_up_to_all_that_is_read() {
    let disk = SimDisk::new();
    let Opened { store, .. } = open(&disk);
    for number in 0..300u32 {
        store.append(&Draft::put(0, 0, &number.to_le_bytes(), &[1; 10_000])).unwrap();
    }
    store.close().unwrap();
    names(&disk, ".hint").iter().for_each(|name| disk.remove(name).unwrap());
    let clock = Arc::new(TestClock::new(1_700_000_000_000));
    let (mut told, mut replay) = (Vec::new(), Told::default());
    let options = Options { load_threads: 2, ..Options::default() };
    Store::open(Arc::new(disk), clock, options, &mut replay, &mut |done, total| told.push((done, total))).unwrap();
    assert!(!told.is_empty() && told.is_sorted());
    assert!(told.iter().all(|(done, total)| done <= total && *total == told[0].1 && *total > 3_000_000));
}

/// Takes a segment off the list, as a compaction does in the end.
fn removed(disk: &SimDisk, id: u32, floor: Option<Floor>) -> SimDisk {
    let disk = copy(disk);
    let manifest = Manifest::open(Arc::new(disk.clone())).unwrap();
    let mut edit = Edit::new().remove(id);
    if let Some(Floor { position, sequence }) = floor {
        edit = edit.floor(position, sequence);
    }
    manifest.edit(&edit).unwrap();
    disk
}

/// The end of a segment: where the next one begins.
fn end_of(disk: &SimDisk, id: u32) -> Floor {
    let manifest = Manifest::open(Arc::new(disk.clone())).unwrap();
    let segment = manifest.segment(id).unwrap();
    let SegmentState::Sealed(length) = segment.state else { panic!("{segment:?}") };
    let position = segment.base_position + length - SEGMENT_HEADER_BYTES as u64;
    let next = manifest.segments().into_iter().find(|next| next.base_position == position);
    Floor { position, sequence: next.map_or(0, |next| next.base_sequence - 1) }
}

#[test]
fn what_was_removed_leaves_a_gap_and_what_is_missing_does_not() {
    let disk = written();
    let whole = open(&copy(&disk));
    for with_hints in [true, false] {
        if !with_hints {
            names(&disk, ".hint").iter().for_each(|name| disk.remove(name).unwrap());
        }
        for id in 1..=4 {
            let floor = end_of(&copy(&disk), id);
            let opened = open(&removed(&disk, id, Some(floor)));
            let wanted: Vec<_> = whole.told.entries().into_iter().filter(|entry| entry.at.segment != id).collect();
            assert_eq!(opened.told.entries(), wanted);
            assert_eq!(opened.recovered.position, whole.recovered.position);
            assert_eq!(opened.recovered.sequence, whole.recovered.sequence);
            if id == 1 {
                continue;
            }
            let too_low = Floor { position: floor.position - 1, ..floor };
            for floor in [None, Some(too_low)] {
                let refused = open_with(&removed(&disk, id, floor), 1).err().unwrap();
                assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused}");
            }
        }
    }
}

#[test]
fn a_log_without_segments_goes_on_where_it_was() {
    let disk = written();
    let whole = open(&copy(&disk));
    let manifest = Manifest::open(Arc::new(disk.clone())).unwrap();
    let Recovered { position, sequence, .. } = whole.recovered;
    let mut edit = Edit::new().floor(position, sequence);
    manifest.segments().iter().for_each(|segment| edit = std::mem::take(&mut edit).remove(segment.id));
    manifest.edit(&edit).unwrap();
    for round in 0..3 {
        let opened = open(&disk);
        assert_eq!(opened.told.entries().len(), round);
        assert!(opened.recovered.position >= position && opened.recovered.sequence >= sequence);
        opened.store.append(&Draft::put(0, 0, &[round as u8], b"after")).unwrap();
        opened.store.sync().unwrap();
    }
    assert!(open(&disk).told.entries().iter().all(|entry| entry.sequence > sequence));
}

/// Copies these records of a segment to another one, in an order of its own; with `removed`, the victim is gone.
fn compact(disk: &SimDisk, victim: u32, output: u32, originals: &[Entry], removed: bool) {
    compact_as(disk, victim, output, originals, removed, |op| op);
}

/// The same, with other operations.
fn compact_as(disk: &SimDisk, victim: u32, output: u32, originals: &[Entry], removed: bool, what: fn(Op) -> Op) {
    let floor = end_of(&copy(disk), victim);
    let manifest = Manifest::open(Arc::new(disk.clone())).unwrap();
    let (salt, dataset, kind) = (77, manifest.dataset_id(), SegmentKind::Compacted);
    let base_sequence = originals.iter().map(|entry| entry.sequence).min().unwrap();
    let id = output;
    let header = Header { id, kind: header_kind(kind), salt, dataset, base_sequence, base_position: 0, created: 1 };
    let mut bytes = header.write().to_vec();
    let file = disk.bytes(&segment_file_name(victim)).unwrap();
    for entry in originals.iter().rev() {
        let record = &file[entry.at.offset as usize..][..entry.at.length as usize];
        let record = Record::read(record, manifest.segment(victim).unwrap().salt).unwrap();
        let Record { op, kind, keyspace, key, value, expiry, object, .. } = record;
        let mut draft = Draft { op: what(op), kind, keyspace, key, value, expiry, object };
        if draft.op != op {
            (draft.kind, draft.value, draft.expiry) = (0, b"", None);
        }
        draft.write(&draft.measure().unwrap(), salt, entry.sequence, &mut bytes);
    }
    disk.plant(&segment_file_name(id), &bytes);
    let state = SegmentState::Sealed(bytes.len() as u64);
    let mut edit = Edit::new().add(Listed { id, kind, salt, base_sequence, base_position: 0, state });
    if removed {
        edit = edit.remove(victim).floor(floor.position, floor.sequence);
    }
    manifest.edit(&edit).unwrap();
}

#[test]
fn a_copy_counts_once_wherever_it_is() {
    let disk = written();
    let whole = open(&copy(&disk)).told;
    let originals: Vec<Entry> = whole.entries().into_iter().filter(|entry| entry.at.segment == 3).collect();
    assert!(originals.len() > 3);
    // Before the manifest forgets the victim, and after.
    for (removed, threads) in [(false, 1), (false, 2), (true, 1), (true, 2)] {
        let disk = copy(&disk);
        compact(&disk, 3, 90, &originals, removed);
        for hinted in [false, true] {
            let opened = open_with(&disk, threads).unwrap();
            assert_eq!(opened.recovered.without_hint, usize::from(!hinted));
            assert_eq!(opened.told.keys(), whole.keys(), "hinted {hinted}");
            if !removed {
                assert_eq!(opened.told.bindings, whole.bindings);
            }
            let of = |segment: u32| opened.told.entries().into_iter().filter(move |entry| entry.at.segment == segment);
            assert_eq!(of(3).count() + of(90).count(), originals.len());
            for entry in of(90).filter(|entry| entry.op == Op::Put) {
                assert_eq!(&opened.store.read(entry.at, &entry.key).unwrap()[..], [b'v'; 500]);
            }
            assert_eq!(of(90).count(), if removed { originals.len() } else { of(90).count() });
            opened.store.log.write_hints().unwrap();
            assert!(names(&disk, ".hint").contains(&hint_file_name(90)));
            // What it has begun since is sealed and empty, and would be read again.
            opened.store.close().unwrap();
        }
    }
}

/// A value whose time was over may have become a deletion in one copy, and live in another where an earlier moment was brought
/// back; and of two copies of a value one may be damaged.
#[test]
fn of_what_has_one_number_a_sound_value_counts() {
    let disk = written();
    let whole = open(&copy(&disk)).told;
    let in_third = |entry: &Entry| entry.at.segment == 3 && entry.op == Op::Put;
    let puts: Vec<Entry> = whole.entries().into_iter().filter(in_third).collect();
    let originals: Vec<Entry> = whole.entries().into_iter().filter(|entry| entry.at.segment == 3).collect();
    assert!(!puts.is_empty());
    for removed in [false, true] {
        let disk = copy(&disk);
        compact_as(&disk, 3, 90, &puts, false, |_| Op::Delete);
        compact(&disk, 3, 91, &originals, removed);
        let told = open(&disk).told;
        let of =
            |told: &Told| -> Vec<_> { told.entries().into_iter().map(|entry| (entry.sequence, entry.op)).collect() };
        assert_eq!(of(&told), of(&whole), "removed {removed}");
    }
    compact(&disk, 3, 91, &originals, false);
    names(&disk, ".hint").iter().for_each(|name| disk.remove(name).unwrap());
    let at = puts[0].at;
    disk.flip_bit(&segment_file_name(3), u64::from(at.offset + at.length - 1), 0);
    let opened = open(&disk);
    assert_eq!(opened.recovered.damaged, 1);
    assert!(opened.told.entries().iter().all(|entry| !entry.damaged));
}

#[test]
fn a_binding_that_there_cannot_be_is_refused() {
    for (database, keyspace) in [(65_536, 70_000), (u32::MAX, 70_000), (0, u32::MAX)] {
        let disk = SimDisk::new();
        let Opened { store, .. } = open(&disk);
        store.append(&Draft::put(0, 1, b"key", b"value")).unwrap();
        store.append(&Draft::bind(&u32::to_le_bytes(database), keyspace)).unwrap();
        store.close().unwrap();
        let without = copy(&disk);
        names(&without, ".hint").iter().for_each(|name| without.remove(name).unwrap());
        for disk in [disk, without] {
            let error = open_with(&disk, 1).err().unwrap().to_string();
            assert!(error.contains("0000000001.log") && error.contains("binds a database"), "{error}");
        }
    }
}

/// The last segment says nowhere how long it is, and behind the end of the log it may be long.
#[test]
fn progress_is_told_while_a_segment_without_an_end_is_read() {
    let disk = SimDisk::new();
    let Opened { store, .. } = open(&disk);
    store.append(&Draft::put(0, 1, b"key", b"value")).unwrap();
    store.sync().unwrap();
    let disk = disk.after_kill();
    disk.open("0000000001.log", crate::store::disk::Mode::Write).unwrap().truncate(5 << 20).unwrap();
    let bytes = |name: &String| disk.bytes(name).unwrap().len() as u64 - u64::from(FIRST_OFFSET);
    let total: u64 = names(&disk, ".log").iter().map(bytes).sum();
    let (clock, mut steps) = (Arc::new(TestClock::new(1_700_000_000_000)), Vec::new());
    let on_progress = &mut |done, total| steps.push((done, total));
    let (_, recovered) =
        Store::open(Arc::new(disk), clock, Options::default(), &mut Told::default(), on_progress).unwrap();
    assert!(recovered.bytes < 1000, "{recovered:?}");
    assert_eq!((steps[0], steps[steps.len() - 1]), ((0, total), (total, total)));
    assert!(steps.len() > 5 && steps.is_sorted(), "{steps:?}");
}
