//! The power goes while a repair is under way, or the disk fails: nothing is lost by it, and a second repair does the rest.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Damage, Written, begun, copy, files, names, past, written};
use crate::store::disk::sim::{At, CallKind, Often, Survival};
use crate::store::disk::{Disk, SimDisk};
use crate::store::manifest::{MANIFEST_FILE, Manifest, segment_file_name};
use crate::store::salvage::{is_renaming, repair};

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

/// Each of these files gets what the next one has.
fn exchanged(disk: &SimDisk, names: &[String]) -> SimDisk {
    let disk = copy(disk);
    let bytes: Vec<_> = names.iter().map(|name| disk.bytes(name).unwrap()).collect();
    (0..names.len()).for_each(|index| disk.plant(&names[index], &bytes[(index + 1) % names.len()]));
    disk
}

/// As long as a file has no name of its own no server starts, for that would remove what it does not know; it says what to
/// do, and a second repair does the rest. That holds for what is only kept for earlier moments as well.
#[test]
fn names_that_are_being_given_back_are_given_back_by_a_second_repair() {
    let written = past::written();
    let manifest = Manifest::open_to_read(Arc::new(written.disk.clone())).unwrap().unwrap();
    let held: Vec<String> = manifest.held().iter().map(|held| segment_file_name(held.segment.id)).collect();
    let listed: Vec<String> = manifest.segments().iter().map(|listed| segment_file_name(listed.id)).collect();
    let listed: Vec<String> =
        listed.into_iter().filter(|name| begun(&written.disk).iter().any(|(of, _)| of == name)).collect();
    let (first, last, manifest) = (&listed[0], &listed[listed.len() - 1], MANIFEST_FILE.to_owned());
    let hint = first.replace(".log", ".hint");
    let circles = [
        vec![first.clone(), last.clone()],
        vec![held[0].clone(), held[1].clone()],
        vec![held[0].clone(), first.clone(), last.clone()],
        vec![last.clone(), held[1].clone(), hint, first.clone()],
        vec![manifest, held[0].clone(), last.clone()],
    ];
    let mut aside = 0;
    for circle in circles {
        let damaged = exchanged(&written.disk, &circle);
        let whole = copy(&damaged);
        let first = whole.calls();
        let repaired = written.repair(&whole, &format!("{circle:?}"));
        assert_eq!(files(&whole), files(&written.disk), "{circle:?}: {:?}", repaired.steps);
        for call in first..whole.calls() {
            let disk = copy(&damaged);
            disk.crash_at(call);
            repair(&(Arc::new(disk.clone()) as Arc<dyn Disk>), written.now, 1, &mut |_, _| {}).unwrap_err();
            for survival in Survival::variants(1) {
                let at = format!("{circle:?}, off before call {call}, {survival:?}");
                let disk = disk.survivors(survival);
                if disk.list().unwrap().iter().any(|name| is_renaming(&disk, name).unwrap()) {
                    aside += 1;
                    let refused = written.open(&disk).err().unwrap_or_else(|| panic!("{at}: it has started"));
                    let told = refused.in_directory(Path::new("/data"));
                    assert!(told.contains("a second repair does the rest"), "{at}: {told}");
                    assert!(told.contains("`caskade repair --dir /data`"), "{at}: {told}");
                }
                let again = written.repair(&disk, &at);
                assert!(again.lost.is_empty() && again.checked.opens, "{at}: {again:?}");
                assert_eq!(files(&disk), files(&written.disk), "{at}");
            }
        }
        written.expect_values(&whole, &BTreeSet::new(), &format!("{circle:?}"));
    }
    assert!(aside > 10, "{aside} states with a file aside");
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
