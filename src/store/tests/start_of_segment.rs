//! The start of a segment may be lost with the power although what was written behind it was not.

use std::time::Duration;

use super::*;
use crate::store::disk::sim::Survival;

/// A store whose second segment was begun and not synced, with a mark in its middle.
fn unsynced_segment() -> SimDisk {
    let disk = SimDisk::new();
    let opened = open(&disk, Fsync::Everysec).unwrap();
    (0..4).for_each(|index| opened.put(&format!("first {index}"), 700));
    opened.store.sync().unwrap();
    (0..3).for_each(|index| {
        opened.clock.advance(Duration::from_millis(200));
        opened.put(&format!("second {index}"), 900);
    });
    disk.survivors(Survival::Written)
}

#[test]
fn what_was_never_durable_is_cut_off_although_a_later_part_of_it_survived() {
    let disk = unsynced_segment();
    overwrite(&disk, 2, 0..512, 0);
    let opened = open(&disk, Fsync::Everysec).unwrap();
    assert_eq!(opened.keys(), ["first 0", "first 1", "first 2", "first 3"]);
    assert!(opened.recovered.torn_bytes > 0);
    opened.put("third", 10);
    drop(opened);
    assert_eq!(open(&disk, Fsync::Everysec).unwrap().keys().last(), Some(&"third"));
}

#[test]
fn a_segment_without_its_header_is_known_by_its_first_record() {
    let disk = unsynced_segment();
    overwrite(&disk, 2, 0..64, 0);
    let opened = open(&disk, Fsync::Everysec).unwrap();
    assert_eq!(opened.keys().len(), 7);
    assert_eq!(opened.recovered.torn_bytes, 0);
}

#[test]
fn a_gap_in_what_was_durable_is_never_cut_off() {
    let disk = unsynced_segment();
    // The process goes on after the kill: opening makes all of it durable, and says so.
    drop(open(&disk, Fsync::Everysec).unwrap());
    overwrite(&disk, 2, 64..512, 0);
    let error = open(&disk, Fsync::Everysec).err().unwrap().to_string();
    assert!(error.starts_with("0000000002.log is damaged at byte 64"), "{error}");
}

#[test]
fn later_segments_go_where_an_earlier_one_was_lost() {
    let disk = unsynced_segment();
    let opened = open(&disk, Fsync::No).unwrap();
    (0..12).for_each(|index| opened.put(&format!("third {index}"), 900));
    drop(opened);
    let segments = disk.list().unwrap().len() - 1;
    assert!(segments >= 5, "{segments}");
    let before = open(&disk.survivors(Survival::Written), Fsync::No).unwrap().keys().len();
    overwrite(&disk, 4, 0..512, 0);
    let opened = open(&disk, Fsync::No).unwrap();
    assert!(opened.keys().len() < before && opened.keys().contains(&"third 0"), "{:?}", opened.keys());
    assert!(opened.recovered.torn_bytes > 4096);
}

#[test]
fn a_segment_shorter_than_its_header_was_never_begun() {
    for length in [0, 1, 63] {
        let disk = unsynced_segment();
        let name = segment_file_name(2);
        disk.plant(&name, &disk.bytes(&name).unwrap()[..length]);
        assert_eq!(open(&disk, Fsync::Everysec).unwrap().keys().len(), 4, "{length} bytes");
    }
}
