//! Numbers that no log comes to, in files whose checksums are sound: they are refused, and nothing overflows.

use super::*;
use crate::store::Refused;
use crate::store::fuzzing::layout;
use crate::store::fuzzing::sound::{Writing, listed};
use crate::store::manifest::{Edit, MANIFEST_FILE, Manifest, Segment, SegmentKind, SegmentState};
use crate::store::record::SEQUENCE_MAX;
use crate::store::segment::POSITION_MAX;

/// A disk with one segment, of which the manifest says only that it is there.
fn disk_with(begins: (u64, u64), write: impl Fn(&mut Writing)) -> SimDisk {
    let mut writing = Writing::begin(&listed(1, SegmentKind::Foreground, begins, SegmentState::Active));
    write(&mut writing);
    disk_of(listed(1, SegmentKind::Foreground, (0, 0), SegmentState::Active), &writing.bytes)
}

fn disk_of(segment: Segment, bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new();
    disk.plant(MANIFEST_FILE, &layout::manifest(&[segment]));
    disk.plant(&segment_file_name(segment.id), bytes);
    disk
}

fn refusal(disk: &SimDisk) -> String {
    open(disk, Fsync::Everysec).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn a_log_that_is_as_long_as_it_can_be_takes_no_more() {
    let mut disk = disk_with((1, POSITION_MAX - 1_000), |writing| writing.add(&Draft::put(0, 0, b"first", b"value")));
    // It begins behind nothing but what was removed.
    let (position, sequence) = (POSITION_MAX - 1_000, 0);
    let manifest = Manifest::open_to_read(Arc::new(disk.clone())).unwrap().unwrap();
    manifest.edit(&Edit::new().floor(position, sequence)).unwrap();
    let mut keys = vec!["first".to_owned()];
    for round in 0..3 {
        let opened = open(&disk, Fsync::Everysec).unwrap();
        assert_eq!(opened.keys(), keys);
        let refused = loop {
            let key = format!("key {} of round {round}", keys.len());
            match opened.store.append(&Draft::put(0, 0, key.as_bytes(), &[b'v'; 100])) {
                Ok(_) => keys.push(key),
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused, Refused::ReadOnly("the log is as long as it can be".into()));
        opened.store.close().unwrap();
        drop(opened);
        disk = disk.after_kill();
    }
    assert!((4..10).contains(&keys.len()), "{keys:?}");
}

#[test]
fn a_segment_that_ends_behind_any_log_is_refused() {
    let base = POSITION_MAX - 50;
    let mut writing = Writing::begin(&listed(1, SegmentKind::Foreground, (1, base), SegmentState::Active));
    writing.add(&Draft::put(0, 0, b"first", &[b'v'; 100]));
    let state = SegmentState::Sealed(writing.bytes.len() as u64);
    let disk = disk_of(listed(1, SegmentKind::Foreground, (1, base), state), &writing.bytes);
    let manifest = Manifest::open_to_read(Arc::new(disk.clone())).unwrap().unwrap();
    manifest.edit(&Edit::new().floor(base, 0)).unwrap();
    let error = refusal(&disk);
    assert!(error.contains("it ends behind where any log can end"), "{error}");
}

/// Another place than it says is not the right one: it is none at all.
#[test]
fn a_header_of_an_impossible_beginning_is_damaged() {
    for begins in [(1, POSITION_MAX + 1), (1, u64::MAX), (SEQUENCE_MAX + 1, 0), (u64::MAX, 0)] {
        let disk = disk_with(begins, |writing| {
            writing.sequence = 1;
            writing.add(&Draft::put(0, 0, b"first", b"value"));
        });
        // Its first record says where it goes on.
        assert_eq!(open(&disk, Fsync::Everysec).unwrap().keys(), ["first"], "{begins:?}");
    }
}

#[test]
fn the_last_number_is_followed_by_none() {
    let disk = disk_with((SEQUENCE_MAX, 0), |writing| writing.add(&Draft::put(0, 0, b"last", b"value")));
    for _ in 0..2 {
        let opened = open(&disk, Fsync::Everysec).unwrap();
        assert_eq!((opened.keys(), opened.recovered.sequence), (vec!["last"], SEQUENCE_MAX));
        let refused = opened.store.append(&Draft::put(0, 0, b"more", b"value")).unwrap_err();
        assert_eq!(refused, Refused::ReadOnly("all sequence numbers have been used".into()));
        opened.store.close().unwrap();
    }
}

#[test]
fn no_time_is_too_late_for_a_mark() {
    let disk = disk_with((1, 0), |writing| writing.mark(Op::Mark, 0, u64::MAX));
    let opened = open(&disk, Fsync::Everysec).unwrap();
    assert_eq!(opened.recovered.clock_floor, u64::MAX);
    opened.put("key", 10);
    assert_eq!(opened.store.now(), u64::MAX);
    opened.store.close().unwrap();
    drop(opened);
    assert_eq!(open(&disk, Fsync::Everysec).unwrap().keys(), ["key"]);
}
