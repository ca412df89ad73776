//! What is told of a running store to those who watch it.

use std::time::Duration;

use super::open;
use crate::store::disk::SimDisk;
use crate::store::{Fsync, SegmentPhase};

#[test]
fn each_segment_is_told_with_what_happens_to_it_and_when_it_was_begun() {
    let disk = SimDisk::new();
    let opened = open(&disk, Fsync::Always).unwrap();
    (0..3).for_each(|number| opened.put(&format!("a{number}"), 1000));
    opened.clock.advance(Duration::from_secs(5));
    (0..2).for_each(|number| opened.put(&format!("b{number}"), 1000));
    let told = opened.store.segments();
    let begun: Vec<_> = told.iter().filter(|segment| segment.bytes > 0).collect();
    assert_eq!((begun.len(), begun[0].id, begun[0].is_compacted), (2, 1, false));
    assert_eq!([begun[0].phase, begun[1].phase], [SegmentPhase::Sealed, SegmentPhase::Active]);
    assert_eq!([begun[0].created, begun[1].created], [1_700_000_000_000, 1_700_000_005_000]);
    assert!(told.iter().all(|segment| segment.live <= segment.bytes && segment.bytes <= segment.disk), "{told:?}");
    assert_eq!(told.iter().map(|segment| segment.disk).sum::<u64>(), opened.store.status().bytes_disk);
    assert_eq!(told.iter().map(|segment| segment.bytes).sum::<u64>(), opened.store.status().bytes_total);
    let waits = opened.store.waits();
    assert_eq!(
        (waits.writes.total(), waits.syncs.total()),
        (opened.store.status().writes, opened.store.status().syncs)
    );
    assert!(waits.syncs.total() >= 5, "{waits:?}");
    drop(opened);
    let again = open(&disk.after_kill(), Fsync::Always).unwrap();
    let told: Vec<_> = again.store.segments().into_iter().filter(|segment| segment.bytes > 0).collect();
    assert_eq!(told.iter().map(|segment| segment.created).collect::<Vec<_>>(), [1_700_000_000_000, 1_700_000_005_000]);
    assert!(told.iter().all(|segment| segment.phase == SegmentPhase::Sealed), "{told:?}");
}
