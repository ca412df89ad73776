//! Many writers on threads, over a disk that fails now and then and finally goes off: what each was told holds.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::super::{Keyspace, Mode};
use super::runner::{START, open, options};
use crate::store::disk::SimDisk;
use crate::store::disk::sim::{At, CallKind, Often, Survival};
use crate::store::{Fsync, Options, SegmentSize};

const WRITERS: usize = 3;
const ROUNDS: u32 = 60;

/// What a writer began and what it was told is done, of each key: the highest number.
#[derive(Default)]
struct Told(BTreeMap<String, (u32, u32)>);

/// Sets keys to rising numbers, some alone and some in pairs, until it is refused or told that the log has failed.
fn write(keyspace: &Keyspace, writer: usize, told: &mut Told) {
    for number in 1..=ROUNDS {
        let keys = match number % 3 {
            0 => vec![format!("{writer} pair a"), format!("{writer} pair b")],
            rest => vec![format!("{writer} alone {rest}")],
        };
        let value = format!("{number:>400}");
        keyspace.store().wait_for_room();
        let (names, now) = (keys.iter().map(String::as_bytes), keyspace.now());
        let mut access = match keys.len() {
            1 => keyspace.access_one(0, keys[0].as_bytes(), Mode::Exclusive, now, false),
            _ => keyspace.access_several(0, names, Mode::Exclusive, now),
        };
        for key in &keys {
            told.0.entry(key.clone()).or_default().0 = number;
            if access.put(key.as_bytes(), 0, value.as_bytes(), None).is_err() {
                return;
            }
        }
        let Ok((wait, _)) = access.commit() else { return };
        if keyspace.store().wait_acknowledged(wait).is_err() {
            return;
        }
        for key in keys {
            told.0.entry(key).or_default().1 = number;
        }
    }
}

/// Runs the writers; returns what they were told.
fn run(keyspace: &Keyspace, meanwhile: impl FnOnce(&AtomicUsize) + Send) -> BTreeMap<String, (u32, u32)> {
    let writing = AtomicUsize::new(WRITERS);
    let all: Vec<Told> = std::thread::scope(|scope| {
        let writing = &writing;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let mut told = Told::default();
                    write(keyspace, writer, &mut told);
                    writing.fetch_sub(1, Ordering::SeqCst);
                    told
                })
            })
            .collect();
        scope.spawn(move || meanwhile(writing));
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    all.into_iter().flat_map(|told| told.0).collect()
}

/// Every key has a number between what was acknowledged and what was begun; pairs have the same.
fn check(disk: SimDisk, told: &BTreeMap<String, (u32, u32)>, floor: bool, at: &str) {
    let keyspace =
        open(Arc::new(disk), START, options(Fsync::Everysec)).unwrap_or_else(|error| panic!("{at}: {error}"));
    let number = |key: &str| {
        let mut access = keyspace.access_one(0, key.as_bytes(), Mode::Shared, keyspace.now(), false);
        access.may_block = true;
        let value = access.value(key.as_bytes()).unwrap_or_else(|halt| panic!("{at}: {key}: {halt:?}"));
        value.map_or(0, |value| std::str::from_utf8(&value.bytes).unwrap().trim().parse().unwrap())
    };
    for (key, (begun, done)) in told {
        let found = number(key);
        assert!(found <= *begun && (found >= *done || !floor), "{at}: {key} is {found}, of {done} to {begun}");
        if let Some(other) = key.strip_suffix(" b").map(|pair| format!("{pair} a")) {
            assert_eq!(found, number(&other), "{at}: {key} and its other half");
        }
    }
}

fn start(disk: &SimDisk, fsync: Fsync, segment: u64) -> Keyspace {
    // A narrow window, so that writers wait for room as well.
    let segment_size = SegmentSize::Fixed(segment);
    let options = Options { window_bytes_max: 6_000, segment_size, ..options(fsync) };
    let keyspace = open(Arc::new(disk.clone()), START, options).unwrap();
    keyspace.start_threads().unwrap();
    keyspace
}

const MODES: [Fsync; 3] = [Fsync::Always, Fsync::Everysec, Fsync::No];

#[test]
fn a_disk_that_fails_now_and_then_stops_nobody() {
    let (mut failures, mut whole) = (0, 0);
    for round in 0..12 {
        let fsync = MODES[round % 3];
        let disk = SimDisk::new();
        let keyspace = start(&disk, fsync, 4_096);
        let failing = disk.clone();
        let told = run(&keyspace, move |writing| {
            for kind in [CallKind::SyncData, CallKind::Write].into_iter().cycle() {
                let before = failing.calls();
                while failing.calls() < before + 9 {
                    if writing.load(Ordering::SeqCst) == 0 {
                        return;
                    }
                    std::thread::yield_now();
                }
                // The manifest's writes are spared: what fails there is a segment that is not created.
                let history = failing.history();
                let newest = history.iter().rfind(|call| call.name.ends_with(".log"));
                let name = newest.map(|call| call.name.clone()).unwrap_or_default();
                failing.fail(At::File(kind, name), ErrorKind::Other, Often::Once);
            }
        });
        disk.heal();
        let status = keyspace.store().status();
        failures += status.failed_syncs + status.failed_writes;
        if let Some(refused) = status.refused {
            // Two failures in a row: of a file, and of the one that was to take its place.
            assert!(refused.to_string().contains("and so did moving on to another file"), "{refused}");
            check(disk.after_kill(), &told, true, &format!("{fsync:?}, {round}, killed, read-only"));
            continue;
        }
        whole += 1;
        assert_eq!(told.len(), WRITERS * 4);
        assert!(told.values().all(|(begun, done)| begun == done), "{fsync:?}, {round}: {told:?}");
        check(disk.after_kill(), &told, true, &format!("{fsync:?}, {round}, killed"));
        keyspace.store().close().unwrap();
        drop(keyspace);
        check(disk.survivors(Survival::Durable), &told, true, &format!("{fsync:?}, {round}, closed"));
    }
    assert!(failures > 5 && whole > 1, "the disk failed {failures} times, {whole} rounds went on to their end");
}

#[test]
fn what_was_acknowledged_survives_whenever_the_machine_goes_off() {
    for round in 0..60 {
        let fsync = MODES[round % 3];
        let disk = SimDisk::new();
        let keyspace = start(&disk, fsync, 4_096);
        let crashed = AtomicBool::new(false);
        disk.crash_at(disk.calls() + 3 + 7 * round as u64 % 150);
        let told = run(&keyspace, |_| crashed.store(true, Ordering::SeqCst));
        assert!(crashed.into_inner());
        disk.crash();
        let at = format!("{fsync:?}, {round}");
        check(disk.after_kill(), &told, true, &format!("{at}, killed"));
        for survival in Survival::variants(2) {
            check(disk.survivors(survival), &told, fsync == Fsync::Always, &format!("{at}, {survival:?}"));
        }
    }
}

#[test]
fn while_a_sync_takes_long_reads_go_on_and_writers_wait_outside_their_latches() {
    let disk = SimDisk::new();
    let keyspace = start(&disk, Fsync::Everysec, 1 << 20);
    let hold = disk.hold(CallKind::SyncData);
    let told = run(&keyspace, |writing| {
        hold.wait_for(1);
        while keyspace.store().has_room() && writing.load(Ordering::SeqCst) > 0 {
            std::thread::yield_now();
        }
        assert_eq!(writing.load(Ordering::SeqCst), WRITERS, "they have more to write than there is room for");
        // Nobody is inside: all latches at once can be had, and what is read is in the kernel.
        let mut access = keyspace.access_all(0, Mode::Exclusive, keyspace.now(), false);
        assert!(access.keys() > 0);
        let (wait, _) = access.commit().unwrap();
        keyspace.store().wait_acknowledged(wait).unwrap();
        assert!(keyspace.store().durable() < wait);
        assert!(keyspace.store().status().window_bytes < 6_000 + 1_200 * WRITERS as u64, "the window stays narrow");
        drop(hold);
    });
    assert!(told.values().all(|(begun, done)| begun == done), "{told:?}");
}

#[test]
fn while_the_next_segment_takes_long_writers_wait_outside_their_latches() {
    let disk = SimDisk::new();
    let keyspace = start(&disk, Fsync::Everysec, 32 << 10);
    let hold = disk.hold(CallKind::Allocate);
    let told = run(&keyspace, |writing| {
        hold.wait_for(1);
        // Not for want of syncs: those go on.
        let stands_still = || !keyspace.store().has_room() && keyspace.store().status().window_bytes < 6_000;
        while !stands_still() && writing.load(Ordering::SeqCst) > 0 {
            std::thread::yield_now();
        }
        assert_eq!(writing.load(Ordering::SeqCst), WRITERS, "they have more to write than the segment takes");
        // Nobody is inside: all latches at once can be had.
        let access = keyspace.access_all(0, Mode::Exclusive, keyspace.now(), false);
        drop(access);
        assert!(keyspace.store().appended() < 32 << 10, "nobody needed the next segment");
        drop(hold);
    });
    assert!(told.values().all(|(begun, done)| begun == done), "{told:?}");
}
