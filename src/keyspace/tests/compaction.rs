//! Compaction while a keyspace is in use: what it leaves, what it takes away, and what it must not.

use std::sync::Arc;

use super::super::{Keyspace, Mode};
use super::crash::workloads;
use super::model::Step::{self, *};
use super::model::{State, keys_of};
use super::recorder::Recorder;
use super::runner::{DATABASES, Runner, START, contents, open, options};
use crate::store::disk::sim::{At, CallKind, Often};
use crate::store::disk::{Disk, SimDisk};
use crate::store::manifest::segment_file_name;
use crate::store::{Fsync, Policy, Window};

fn begin(disk: &SimDisk) -> Runner {
    Runner::new(Arc::new(disk.clone()), options(Fsync::Everysec), vec![State::default()], START).expect("an empty disk")
}

fn go_on(disk: &SimDisk, runner: &mut Runner, steps: &[Step]) {
    runner.run(steps, &Recorder::new(disk.clone(), None)).unwrap_or_else(|failed| panic!("{failed}"));
}

/// Bytes of all segments' files.
fn log_bytes(disk: &SimDisk) -> usize {
    let names = disk.list().unwrap();
    names.iter().filter(|name| name.ends_with(".log")).map(|name| disk.bytes(name).map_or(0, |bytes| bytes.len())).sum()
}

/// Sets 40 keys of 500 bytes over and over.
fn overwrites(rounds: usize) -> Vec<Step> {
    const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut steps = Vec::new();
    for round in 0..rounds {
        steps.extend(KEYS.iter().map(|key| Set(0, key, 500 + round)));
        steps.push(Tick);
    }
    steps
}

fn expect(runner: &Runner, keyspace: &Keyspace, steps: &[Step]) {
    let expected = runner.history.last().unwrap().visible(keyspace.now());
    assert_eq!(contents(keyspace, &keys_of(steps, DATABASES)).unwrap(), expected);
}

#[test]
fn what_is_dead_goes_and_what_lives_is_read_from_where_it_went() {
    let disk = SimDisk::new();
    let mut runner = begin(&disk);
    let steps = overwrites(20);
    go_on(&disk, &mut runner, &steps);
    let before = log_bytes(&disk);
    go_on(&disk, &mut runner, &[Compact]);
    let after = log_bytes(&disk);
    assert!(after < before / 4, "{before} bytes before, {after} after");
    let keyspace = runner.keyspace();
    // Nothing is left in memory: everything is read from the disk.
    keyspace.set_memory_limit(1);
    keyspace.govern(0);
    expect(&runner, keyspace, &steps);
    let status = keyspace.store().status();
    assert!(status.bytes_live > 8 * 500, "{status:?}");
    let compaction = keyspace.store().compaction_status();
    assert!(compaction.passes > 0 && compaction.bytes_written > 0 && compaction.bytes_removed > 0, "{compaction:?}");
    let again = open(Arc::new(disk.after_kill()), START, options(Fsync::Everysec)).unwrap();
    expect(&runner, &again, &steps);
    assert_eq!(again.store().status().bytes_live, status.bytes_live);
}

#[test]
fn within_the_budget_nothing_is_done() {
    let disk = SimDisk::new();
    let mut runner = begin(&disk);
    go_on(&disk, &mut runner, &overwrites(2));
    while runner.keyspace().compact_once(false).unwrap() {}
    assert!(log_bytes(&disk) > 2_000, "some garbage is left");
    assert!(!runner.keyspace().compact_once(false).unwrap(), "64 MiB of garbage are allowed");
    runner.keyspace().store().set_compaction(Policy { garbage_bytes_min: 0, ..Policy::default() });
    assert!(runner.keyspace().compact_once(false).unwrap());
}

#[test]
fn a_file_without_anything_alive_goes_within_the_budget_too() {
    let disk = SimDisk::new();
    let mut runner = begin(&disk);
    go_on(&disk, &mut runner, &overwrites(10));
    let before = log_bytes(&disk);
    while runner.keyspace().compact_once(false).unwrap() {}
    assert!(log_bytes(&disk) < before / 3, "{} of {before} bytes", log_bytes(&disk));
}

/// What every command hides from others while it is at work, compaction does not see either.
#[test]
fn a_value_overwritten_while_it_is_copied_stays_overwritten() {
    let disk = SimDisk::new();
    let mut runner = begin(&disk);
    go_on(&disk, &mut runner, &overwrites(3));
    let keyspace = runner.keyspace();
    let now = keyspace.now();
    let overwrite = |number: usize| {
        let key = ["a", "b", "c", "d", "e", "f", "g", "h"][number % 8].as_bytes();
        let mut access = keyspace.access_one(0, key, Mode::Exclusive, now, false);
        access.put(key, 0, format!("new {number}").as_bytes(), None).unwrap();
    };
    // The copies are written and synced before anything refers to them: then somebody is faster.
    let hold = disk.hold(CallKind::SyncData);
    std::thread::scope(|scope| {
        let compacting = scope.spawn(|| keyspace.compact_once(true));
        hold.wait_for(1);
        (0..8).for_each(overwrite);
        drop(hold);
        compacting.join().unwrap().unwrap();
    });
    let mut access = keyspace.access_one(0, b"a", Mode::Shared, now, false);
    assert_eq!(&access.value(b"a").unwrap().unwrap().bytes[..], b"new 0");
    drop(access);
    keyspace.store().sync().unwrap();
    let again = open(Arc::new(disk.after_kill()), START, options(Fsync::Everysec)).unwrap();
    let mut access = again.access_one(0, b"h", Mode::Shared, now, false);
    access.may_block = true;
    assert_eq!(&access.value(b"h").unwrap().unwrap().bytes[..], b"new 7");
}

#[test]
fn a_pass_that_fails_loses_nothing_and_is_made_up_for() {
    for kind in [CallKind::Create, CallKind::Write, CallKind::SyncData, CallKind::Rename, CallKind::SyncDirectory] {
        for often in [Often::Once, Often::Always] {
            let disk = SimDisk::new();
            let mut runner = begin(&disk);
            let steps = overwrites(5);
            go_on(&disk, &mut runner, &steps);
            disk.fail(At::Kind(kind), std::io::ErrorKind::Other, often);
            for _ in 0..3 {
                // What becomes of it is seen in what is left.
                let _ = runner.keyspace().compact_once(true);
            }
            let killed = open(Arc::new(disk.after_kill()), START, options(Fsync::Everysec)).unwrap();
            expect(&runner, &killed, &steps);
            disk.heal();
            expect(&runner, runner.keyspace(), &steps);
            while matches!(runner.keyspace().compact_once(true), Ok(true)) {}
            expect(&runner, runner.keyspace(), &steps);
            let again = open(Arc::new(disk.after_kill()), START, options(Fsync::Everysec)).unwrap();
            expect(&runner, &again, &steps);
        }
    }
}

/// It counts as worth it again and again, and nothing is won by it.
#[test]
fn a_segment_that_cannot_go_keeps_no_other_from_going() {
    let run = |planted: &[u32]| {
        let disk = SimDisk::new();
        let mut runner = begin(&disk);
        let mut steps = overwrites(3);
        steps.extend([Set(0, "a", 600), Set(0, "c", 600), Set(0, "e", 600), Set(0, "g", 600), Tick, Tick]);
        go_on(&disk, &mut runner, &steps);
        planted.iter().for_each(|id| runner.keyspace().store().plant_count(*id, true));
        while runner.keyspace().compact_once(true).unwrap() {}
        expect(&runner, runner.keyspace(), &steps);
        (disk, runner, steps)
    };
    let wanted = log_bytes(&run(&[]).0);
    for planted in [&[1][..], &[2], &[1, 3]] {
        let (disk, runner, steps) = run(planted);
        let (bytes, keyspace) = (log_bytes(&disk), runner.keyspace());
        assert!(bytes <= wanted + planted.len() * 4_200, "{planted:?}: {bytes} bytes instead of {wanted}");
        let passes = keyspace.store().compaction_status().passes;
        assert!(!keyspace.compact_once(true).unwrap());
        assert_eq!(keyspace.store().compaction_status().passes, passes, "{planted:?} is left alone");
        // Once something about it changes, it is looked at again.
        planted.iter().for_each(|id| keyspace.store().plant_count(*id, false));
        while keyspace.compact_once(true).unwrap() {}
        let left: Vec<bool> = planted.iter().map(|id| disk.bytes(&segment_file_name(*id)).is_some()).collect();
        assert!(!left.contains(&true), "{planted:?}: {left:?}");
        let again = open(Arc::new(disk.after_kill()), START, options(Fsync::Everysec)).unwrap();
        expect(&runner, &again, &steps);
    }
}

/// With what is kept free for it, compaction ends a full disk.
#[test]
fn a_full_disk_is_compacted() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(96 << 10));
    let mut runner = begin(&disk);
    let mut refused = 0;
    for round in 0..400 {
        let step = [Set(0, ["a", "b", "c", "d", "e"][round % 5], 900)];
        if runner.run(&step, &Recorder::new(disk.clone(), None)).is_err() {
            refused += 1;
            runner.history.pop();
            runner.clock.advance(std::time::Duration::from_millis(200));
            // What is unsynced cannot be compacted, and a full disk is not asked twice in a moment.
            let _ = runner.keyspace().store().sync();
            while matches!(runner.keyspace().compact_once(true), Ok(true)) {}
        }
    }
    assert!((1..100).contains(&refused), "{refused} writes were refused");
    expect(
        &runner,
        runner.keyspace(),
        &[Set(0, "a", 1), Set(0, "b", 1), Set(0, "c", 1), Set(0, "d", 1), Set(0, "e", 1)],
    );
}

/// Whoever turns writers away since the disk is full compacts whatever can be, within the budget too.
#[test]
fn a_full_disk_is_noticed_by_the_schedule() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(96 << 10));
    let mut runner = begin(&disk);
    assert!(!runner.keyspace().store().is_short_of_space());
    let mut steps = (0..).map(|round: usize| [Set(0, ["a", "b", "c", "d", "e"][round % 5], 900)]);
    while runner.run(&steps.next().unwrap(), &Recorder::new(disk.clone(), None)).is_ok() {}
    assert!(runner.keyspace().store().is_short_of_space());
}

/// What a file full of deletions has that must stay goes to as few files as it came from; and none is looked at without end.
#[test]
fn deletions_that_must_stay_take_no_more_files_and_no_more_passes() {
    // What they hide goes at once where little else is in its files, and stays in files that are nearly full of what lives.
    for (keys, each, stays, all_go) in [(5_000_usize, 30, 100, true), (1_500, 1, 1_500, false)] {
        let disk = SimDisk::new();
        let runner = begin(&disk);
        let keyspace = runner.keyspace();
        let policy = Policy { garbage_bytes_min: 0, space_amplification: 1.0, ..Policy::default() };
        keyspace.store().set_compaction(policy);
        let now = keyspace.now();
        let change = |key: &str, length: Option<usize>| {
            let mut access = keyspace.access_one(0, key.as_bytes(), Mode::Exclusive, now, false);
            match length {
                Some(length) => access.put(key.as_bytes(), 0, &vec![b'v'; length], None).unwrap(),
                None => assert!(access.delete(key.as_bytes()).unwrap()),
            }
        };
        for number in 0..keys {
            change(&format!("key {number}"), Some(10));
            if number % each == 0 {
                change(&format!("stays {number}"), Some(stays));
            }
        }
        let files = |disk: &SimDisk| disk.list().unwrap().iter().filter(|name| name.ends_with(".log")).count();
        keyspace.store().tick().unwrap();
        let filled = files(&disk);
        (0..keys).for_each(|number| change(&format!("key {number}"), None));
        keyspace.store().tick().unwrap();
        let before = files(&disk);
        assert!(filled > 60 && before > filled + 10, "{filled}, {before}");
        let mut passes = 0;
        while keyspace.compact_once(false).unwrap() {
            passes += 1;
            assert!(passes < 50, "{} files, before {before}", files(&disk));
        }
        let after = files(&disk);
        assert!(passes > 1 && after <= before + 1, "{after} files after {passes} passes, before {before}");
        let expected = if all_go { 0..filled / 4 } else { filled + 10..before + 2 };
        assert!(
            expected.contains(&after),
            "{after} files after {passes} passes, before {before}, {filled} without deletions"
        );
        let again = open(Arc::new(disk.after_kill()), START, options(Fsync::Everysec)).unwrap();
        assert_eq!(again.access_all(0, Mode::Shared, now, false).keys(), keys.div_ceil(each));
    }
}

/// How many bytes are alive is the same whether it was counted while they were written or when the log was read back.
#[test]
fn dead_bytes_are_counted_once_while_writing_and_when_reading_back() {
    let own = [
        ("replaced inside a transaction", vec![Together(vec![Set(0, "a", 10), Set(0, "a", 20), Set(0, "a", 30)])]),
        ("deleted inside a transaction", vec![Set(0, "a", 5), Together(vec![Set(0, "a", 10), Delete(0, "a")])]),
        (
            "emptied twice in one transaction",
            vec![Set(0, "a", 10), Together(vec![Flush(0), Set(0, "b", 20), Flush(0), Set(0, "c", 30)])],
        ),
        (
            "swapped and emptied in one transaction",
            vec![
                Set(0, "a", 10),
                Set(1, "b", 20),
                Together(vec![Swap(0, 1), Set(0, "c", 5), FlushAll, Set(1, "d", 7), Swap(0, 1), Flush(0)]),
            ],
        ),
        (
            "swapped back in one transaction",
            vec![Set(0, "a", 10), Set(1, "b", 20), Together(vec![Swap(0, 1), Set(0, "c", 5), Swap(0, 1)])],
        ),
    ];
    let known = workloads::ALL.into_iter().map(|(name, steps)| (name, steps()));
    for (name, mut steps) in own.into_iter().chain(known) {
        // What is over is removed only once it is looked for.
        steps.push(ExpireDue);
        let disk = SimDisk::new();
        let mut runner = begin(&disk);
        go_on(&disk, &mut runner, &steps);
        let wall = runner.now();
        let again = open(Arc::new(disk.after_kill()), wall, options(Fsync::Everysec)).unwrap();
        again.expire_due(wall, usize::MAX);
        let live = |keyspace: &Keyspace| keyspace.store().status().bytes_live;
        assert_eq!(live(runner.keyspace()), live(&again), "{name}");
    }
}

/// What is dead in a file that moves as a whole is dead where it moves to; of one that moves in part, at least nothing
/// that lives is taken for dead.
#[test]
fn dead_bytes_move_with_their_file() {
    for (first, exact) in [(None, true), (Some(Sync), false)] {
        let mut steps = vec![Set(0, "a", 100), Set(0, "a", 200)];
        steps.extend(first);
        let disk = SimDisk::new();
        let mut runner = begin(&disk);
        go_on(&disk, &mut runner, &steps);
        disk.fail(At::File(CallKind::SyncData, "0000000001.log".to_owned()), std::io::ErrorKind::Other, Often::Once);
        let rest = (0..20).map(|number| Set(0, if number % 5 == 0 { "b" } else { "a" }, 600)).chain([Sync]);
        go_on(&disk, &mut runner, &rest.collect::<Vec<_>>());
        let again = open(Arc::new(disk.after_kill()), START, options(Fsync::Everysec)).unwrap();
        let live = |keyspace: &Keyspace| keyspace.store().status().bytes_live;
        let (written, read_back) = (live(runner.keyspace()), live(&again));
        assert!(written == read_back || !exact && written > read_back, "{written} and {read_back} bytes are alive");
    }
}

/// The schedule compacts within its hours alone; what is asked for is done at any time.
#[test]
fn the_schedule_keeps_to_its_hours() {
    let disk = SimDisk::new();
    let mut runner = begin(&disk);
    go_on(&disk, &mut runner, &overwrites(20));
    let passes = |runner: &Runner| runner.keyspace().store().compaction_status().passes;
    let turn = |runner: &Runner, asked| {
        let keyspace = runner.keyspace();
        keyspace.store().compact_by_schedule(&*keyspace.bound, asked);
    };
    // It is 22:13.
    let within = |from, until| Policy {
        window: Some(Window { from, until }),
        garbage_bytes_min: 0,
        space_amplification: 1.1,
        ..Policy::default()
    };
    runner.keyspace().store().set_compaction(within(1, 5));
    turn(&runner, false);
    assert_eq!(passes(&runner), 0);
    turn(&runner, true);
    let asked_for = passes(&runner);
    assert!(asked_for > 0);
    go_on(&disk, &mut runner, &overwrites(20));
    turn(&runner, false);
    assert_eq!(passes(&runner), asked_for);
    runner.keyspace().store().set_compaction(within(22, 5));
    turn(&runner, false);
    assert!(passes(&runner) > asked_for);
}
