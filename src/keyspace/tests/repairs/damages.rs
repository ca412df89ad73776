//! A single damage of any kind, anywhere.

use std::sync::Arc;

use super::{Damage, begun, copy, written};
use crate::store::disk::sim::Survival;
use crate::store::inspect::Inspection;
use crate::store::manifest::SegmentKind;
use crate::store::salvage::Step;

#[test]
fn what_is_written_has_everything_in_it() {
    let written = written();
    let files = begun(&written.disk);
    let inspection = Inspection::open(Arc::new(written.disk.clone())).unwrap().unwrap();
    let segments = inspection.manifest().segments();
    let of_kind = |kind| segments.iter().filter(|segment| segment.kind == kind).count();
    assert!(of_kind(SegmentKind::Foreground) >= 4, "{segments:?}");
    assert!(of_kind(SegmentKind::Compacted) >= 1, "{segments:?}");
    let hints = files.iter().filter(|(name, _)| name.ends_with(".hint")).count();
    assert_eq!(hints, files.iter().filter(|(name, _)| name.ends_with(".log")).count(), "every segment has its hint");
    assert!(written.state.len() >= 10, "{:?}", written.state.keys());
    let disk = copy(&written.disk);
    let repaired = written.repair(&disk, "nothing");
    assert_eq!((&repaired.steps[..], &repaired.lost[..], &repaired.set_aside), (&[][..], &[][..], &None));
    written.expect_repaired(&disk, &repaired, "nothing");
}

#[test]
fn whatever_single_damage_there_is_all_is_right_that_is_not_told_to_be_lost() {
    const DAMAGES: usize = 400;
    let written = written();
    let files = begun(&written.disk);
    let mut random = fastrand::Rng::with_seed(11);
    let (mut repairs, mut with_losses, mut renames) = (0, 0, 0);
    for number in 0..DAMAGES {
        let damage = Damage::random(&files, &mut random);
        let at = format!("{number}: {damage:?}");
        let disk = damage.done_to(&written.disk);
        let repaired = written.repair(&disk, &at);
        repairs += usize::from(!repaired.steps.is_empty());
        with_losses += usize::from(!repaired.lost.is_empty());
        // The hint of what is damaged is sound, or else the segment is.
        assert!(!repaired.steps.iter().any(Step::is_in_the_dark), "{at}: {:?}", repaired.steps);
        written.expect_all_kept(&damage.done_to(&written.disk), &disk.survivors(Survival::Durable), &at);
        renames += usize::from(matches!(damage, Damage::Swapped(..)) && repaired.lost.is_empty());
        written.expect_repaired(&disk, &repaired, &at);
    }
    println!("{DAMAGES} damages, {repairs} repairs, {with_losses} with losses, {renames} exchanges without");
    assert!(repairs > DAMAGES / 2 && with_losses > DAMAGES / 10 && renames > DAMAGES / 20);
}
