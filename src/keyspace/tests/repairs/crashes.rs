//! The power goes while a repair is under way, or the disk fails: nothing is lost by it, and a second repair does the rest.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::{Damage, Written, begun, copy, files, names, written};
use crate::store::disk::Disk;
use crate::store::disk::sim::{At, CallKind, Often, Survival};
use crate::store::manifest::MANIFEST_FILE;
use crate::store::salvage::repair;

/// One damage of each kind, and where it is.
fn kinds(written: &Written) -> Vec<Damage> {
    let files = begun(&written.disk);
    let find = |bytes: &[u8]| {
        let found = files.iter().filter(|(name, _)| name.ends_with(".log")).find_map(|(name, content)| {
            Some((name.clone(), content.windows(bytes.len()).position(|window| window == bytes)?))
        });
        found.unwrap_or_else(|| panic!("no {}", bytes.escape_ascii()))
    };
    let (name, value) = find(&written.state[&(1, "g".to_owned())].0);
    let (other, moved) = find(&written.state[&(0, "a".to_owned())].0);
    let hint = name.replace(".log", ".hint");
    assert_ne!(name, other);
    vec![
        Damage::Flip(name.clone(), value + 20, 0),
        Damage::Flip(other.clone(), moved - 1, 0),
        Damage::Flip(MANIFEST_FILE.to_owned(), 40, 0),
        Damage::Missing(MANIFEST_FILE.to_owned()),
        Damage::Missing(name.clone()),
        Damage::Cut(other.clone(), moved + 20),
        Damage::Sector(name.clone(), 0, 0),
        Damage::Swapped(name.clone(), other.clone()),
        Damage::Swapped(MANIFEST_FILE.to_owned(), other.clone()),
        Damage::Swapped(hint, other.clone()),
        Damage::Replaced(name, other),
    ]
}

#[test]
fn a_repair_may_be_broken_off_at_any_call() {
    let written = written();
    let (mut crashes, mut states) = (0, 0);
    for damage in kinds(&written) {
        let mut seen = BTreeSet::new();
        let damaged = damage.done_to(&written.disk);
        let unreadable = written.unreadable(&copy(&damaged));
        let whole = copy(&damaged);
        let first = whole.calls();
        let repaired = written.repair(&whole, &format!("{damage:?}"));
        assert!(!repaired.steps.is_empty(), "{damage:?}");
        let lost = names(&repaired);
        for call in first..whole.calls() {
            for within in [false, true] {
                let disk = copy(&damaged);
                if within {
                    disk.crash_within(call)
                } else {
                    disk.crash_at(call)
                }
                let shared: Arc<dyn Disk> = Arc::new(disk.clone());
                assert!(repair(&shared, written.now, 1, &mut |_, _| {}).is_err(), "{damage:?}, {call}");
                for survival in Survival::variants(1) {
                    let at = format!("{damage:?}, off before call {call} (within {within}), {survival:?}");
                    let disk = disk.survivors(survival);
                    written.expect_all_kept(&damaged, &disk, &at);
                    crashes += 1;
                    // The same twice needs no second look.
                    if !seen.insert(files(&disk)) {
                        continue;
                    }
                    states += 1;
                    written.expect_nothing_wrong(&copy(&disk), &lost, unreadable.as_ref(), &at);
                    let again = written.repair(&disk, &at);
                    let told = names(&again);
                    // The first repair may have come so far that nothing of it is left to be told.
                    assert!(told == lost || told.is_empty(), "{at}: {told:?} instead of {lost:?}");
                    written.expect_values(&disk, &lost, &at);
                }
                if whole.history()[call as usize].kind != CallKind::Write {
                    break;
                }
            }
        }
    }
    println!("{crashes} crashes, {states} states");
    assert!(crashes > 1_000 && states > 100, "{crashes} crashes and {states} states are too few");
}

#[test]
fn a_disk_that_fails_or_is_full_loses_nothing() {
    let written = written();
    for damage in kinds(&written).into_iter().step_by(3) {
        let damaged = damage.done_to(&written.disk);
        let whole = copy(&damaged);
        let first = whole.calls();
        let lost = names(&written.repair(&whole, &format!("{damage:?}")));
        for call in first..whole.calls() {
            for error in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
                let at = format!("{damage:?}, {error:?} at call {call}");
                let disk = copy(&damaged);
                disk.fail(At::Call(call), error, Often::Once);
                let shared: Arc<dyn Disk> = Arc::new(disk.clone());
                let done = repair(&shared, written.now, 1, &mut |_, _| {});
                disk.heal();
                written.expect_all_kept(&damaged, &disk, &at);
                // Who cannot remove what nobody needs any more has done the rest.
                if done.is_err() {
                    let told = names(&written.repair(&disk, &at));
                    assert!(told == lost || told.is_empty(), "{at}: {told:?} instead of {lost:?}");
                }
                written.expect_values(&disk, &lost, &at);
            }
        }
    }
}
