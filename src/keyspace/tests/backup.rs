//! Backups of a keyspace in use, and moments of the past that are brought back.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::model::Step::{self, *};
use super::model::{State, keys_of};
use super::recorder::Recorder;
use super::runner::{DATABASES, Runner, START, contents, open, options};
use crate::store::disk::sim::{At as Fault, CallKind, Often};
use crate::store::disk::{Disk, Mode, SimDisk};
use crate::store::inspect::{Checked, Inspection};
use crate::store::manifest::{Manifest, segment_file_name};
use crate::store::{At, BACKUP_DIRECTORY, Fsync, Options, Policy, RestoreError, Restored};

const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn begin(disk: &SimDisk, retention: Duration) -> Runner {
    let first = vec![State::default()];
    let mut runner =
        Runner::new(Arc::new(disk.clone()), options(Fsync::Everysec), first, START).expect("an empty disk");
    runner.keep_policy(Policy { retention: Some(retention), garbage_bytes_min: 0, ..Policy::default() });
    runner
}

pub(super) fn go_on(disk: &SimDisk, runner: &mut Runner, steps: &[Step]) {
    runner.run(steps, &Recorder::new(disk.clone(), None)).unwrap_or_else(|failed| panic!("{failed}"));
}

fn backup(disk: &SimDisk, name: &str) -> Arc<dyn Disk> {
    disk.directory(BACKUP_DIRECTORY).unwrap().directory(name).unwrap()
}

/// Whether a disk has this state at `wall`.
fn expect(disk: Arc<dyn Disk>, wall: u64, keys: &[(u32, String)], state: &State, why: &str) {
    let keyspace = open(disk, wall, options(Fsync::Everysec)).unwrap_or_else(|error| panic!("{why}: {error}"));
    let found = contents(&keyspace, keys).unwrap_or_else(|error| panic!("{why}: {error}"));
    assert_eq!(found, state.visible(keyspace.now()), "{why}");
}

pub(super) fn restore(from: &SimDisk, at: At, to: &SimDisk) -> Result<Restored, RestoreError> {
    let inspection = Inspection::open(Arc::new(from.clone())).unwrap().expect("a store");
    inspection.restore(at, Arc::new(to.clone()), 1, &mut |_, _| {})
}

/// Steps that meet all kinds of records, with compaction in between.
pub(super) fn steps() -> Vec<Step> {
    let mut steps = vec![Set(0, "a", 600), SetEx(0, "b", 700, 5_000), Set(1, "c", 300), Tick, Expire(0, "b", None)];
    steps.extend([Together(vec![Set(0, "d", 900), Delete(0, "a"), Set(1, "e", 20)]), Move(1, "c", 2), Tick, Compact]);
    steps.extend([Pass(6_000), Set(0, "a", 40), Delete(0, "b"), Swap(0, 1), Set(0, "a", 1_200), Tick, Compact]);
    steps.extend([SetEx(1, "b", 30, 900), Pass(1_000), ExpireDue, Set(1, "d", 950), Flush(2), Set(2, "c", 1), Tick]);
    steps.extend([Compact, Set(2, "c", 900), Rename(1, "d", "b"), Move(2, "c", 0), Tick, Compact, Delete(0, "c")]);
    steps.extend([Set(0, "a", 800), Set(0, "e", 900), Set(0, "a", 900), Tick, Compact, FlushAll, Set(1, "a", 5), Tick]);
    steps.push(Compact);
    steps
}

#[test]
fn a_backup_is_what_was_there_and_is_not_touched_by_what_comes() {
    let disk = SimDisk::new();
    let mut runner = begin(&disk, Duration::ZERO);
    let (steps, keys) = (steps(), keys_of(&steps(), DATABASES));
    let mut backups = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        go_on(&disk, &mut runner, std::slice::from_ref(step));
        let copied = runner.keyspace().store().backup(&format!("after-{index}")).unwrap();
        assert!(copied.bytes_copied == 0 && copied.segments * 2 >= copied.files_linked, "{copied:?}");
        backups.push((index, runner.history.last().unwrap().clone()));
    }
    let wall = runner.clock_wall();
    drop(runner);
    for (index, state) in backups {
        expect(backup(&disk, &format!("after-{index}")), wall, &keys, &state, &format!("after step {index}"));
    }
}

#[test]
fn a_name_is_taken_once_and_leads_nowhere_else() {
    let disk = SimDisk::new();
    let mut runner = begin(&disk, Duration::ZERO);
    go_on(&disk, &mut runner, &[Set(0, "a", 10)]);
    let store = runner.keyspace().store();
    store.backup("one").unwrap();
    assert_eq!(store.backup("one").unwrap_err().kind(), ErrorKind::AlreadyExists);
    let long = "n".repeat(64);
    store.backup(&long).unwrap();
    for name in ["", ".", "..", ".hidden", "a/b", "a b", "\u{fc}", "a\0", &format!("{long}n")] {
        assert_eq!(store.backup(name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name:?}");
    }
    // What has no manifest is what a crash has left.
    let half = backup(&disk, "half");
    half.open("COPYING.tmp", Mode::Create).unwrap();
    disk.link("MANIFEST", &*half).unwrap();
    half.rename("MANIFEST", "0000000001.log").unwrap();
    store.backup("half").unwrap();
}

#[test]
fn a_backup_that_fails_is_none_and_harms_nobody() {
    let steps = [Set(0, "a", 900), Set(0, "b", 900), Tick, Set(0, "c", 900), Set(0, "a", 300)];
    let calls = |disk: &SimDisk, runner: &Runner| {
        let before = disk.calls();
        (before, runner.keyspace().store().backup("one").map(|_| disk.calls()))
    };
    let disk = SimDisk::new();
    let mut runner = begin(&disk, Duration::ZERO);
    go_on(&disk, &mut runner, &steps);
    let (first, last) = calls(&disk, &runner);
    let keys = keys_of(&steps, DATABASES);
    for call in first..last.unwrap() {
        for error in [ErrorKind::Other, ErrorKind::StorageFull] {
            let disk = SimDisk::new();
            let mut runner = begin(&disk, Duration::ZERO);
            go_on(&disk, &mut runner, &steps);
            disk.fail(Fault::Call(call), error, Often::Once);
            let state = runner.history.last().unwrap().clone();
            let made = runner.keyspace().store().backup("one");
            if made.is_err() {
                runner.clock.advance(Duration::from_secs(1));
                // What a full disk has refused is tried again first.
                runner.keyspace().store().sync().unwrap();
                runner
                    .keyspace()
                    .store()
                    .backup("one")
                    .unwrap_or_else(|again| panic!("call {call}: {made:?}, {again}"));
            }
            expect(backup(&disk, "one"), START, &keys, &state, &format!("call {call}, {error}"));
            expect(Arc::new(disk.after_kill()), START, &keys, &state, &format!("call {call}, {error}"));
        }
    }
}

/// Who asks again before there was an answer takes nothing away from what is being made.
#[test]
fn of_two_backups_of_one_name_at_once_one_is_made() {
    let disk = SimDisk::new();
    let mut runner = begin(&disk, Duration::ZERO);
    let steps =
        [Set(0, "a", 900), Set(0, "b", 900), Reopen, Set(0, "c", 900), Set(0, "a", 300), Reopen, Set(0, "d", 9)];
    go_on(&disk, &mut runner, &steps);
    let store = runner.keyspace().store();
    let hold = disk.hold(CallKind::Link);
    let begun = std::sync::Barrier::new(2);
    let mut made = std::thread::scope(|scope| {
        let first = scope.spawn(|| store.backup("one"));
        hold.wait_for(1);
        let second = scope.spawn(|| {
            begun.wait();
            store.backup("one")
        });
        begun.wait();
        // Where the second one did not wait, it would be as far as the lock after four calls.
        let before = disk.calls();
        for _ in 0..10_000 {
            if disk.calls() < before + 4 {
                std::thread::yield_now();
            }
        }
        drop(hold);
        [first.join().unwrap(), second.join().unwrap()]
    });
    made.sort_by_key(Result::is_err);
    assert!(made[0].is_ok(), "{made:?}");
    assert_eq!(made[1].as_ref().unwrap_err().kind(), ErrorKind::AlreadyExists);
    let state = runner.history.last().unwrap();
    expect(backup(&disk, "one"), START, &keys_of(&steps, DATABASES), state, "that of the faster");
}

/// A backup made in the middle of a pass has what the pass copies, and what it copies from.
#[test]
fn a_backup_does_not_wait_for_compaction() {
    let disk = SimDisk::new();
    let mut runner = begin(&disk, Duration::ZERO);
    let mut steps = vec![Set(0, "a", 900), Set(0, "b", 900), Set(0, "c", 900), Set(0, "a", 1_000), Set(0, "d", 1_500)];
    // With nothing in the segment in use, only the pass shortens files.
    steps.push(Reopen);
    go_on(&disk, &mut runner, &steps);
    let hold = disk.hold(CallKind::Truncate);
    let keyspace = runner.keyspace();
    std::thread::scope(|scope| {
        let compacting = scope.spawn(|| keyspace.compact_once(true));
        hold.wait_for(1);
        let before = disk.calls();
        keyspace.store().backup("one").unwrap();
        assert!(disk.calls() > before);
        drop(hold);
        compacting.join().unwrap().unwrap();
    });
    let state = runner.history.last().unwrap();
    expect(backup(&disk, "one"), START, &keys_of(&steps, DATABASES), state, "in the middle of a pass");
}

/// The state after each step can be brought back, whatever was compacted since.
#[test]
fn with_retention_every_moment_comes_back() {
    let disk = SimDisk::new();
    let mut runner = begin(&disk, HOUR);
    let (steps, keys) = (steps(), keys_of(&steps(), DATABASES));
    let mut moments = Vec::new();
    for step in &steps {
        go_on(&disk, &mut runner, std::slice::from_ref(step));
        moments.push(runner.keyspace().store().status().sequence);
    }
    let wall = runner.clock_wall();
    runner.keyspace().store().close().unwrap();
    let history = std::mem::take(&mut runner.history);
    drop(runner);
    assert!(disk.list().unwrap().len() > 20, "nothing was thrown away");
    for (index, sequence) in moments.iter().enumerate() {
        let target = SimDisk::new();
        let restored = restore(&disk, At::Sequence(*sequence), &target).unwrap();
        assert_eq!((restored.asked, restored.copied.sequence), (None, *sequence));
        let why = format!("after step {index} ({:?}), record {sequence}", steps[index]);
        expect(Arc::new(target.clone()), wall, &keys, &history[index + 1], &why);
        // What was brought back lives on.
        let mut again =
            Runner::new(Arc::new(target.clone()), options(Fsync::Always), vec![history[index + 1].clone()], wall)
                .unwrap_or_else(|failed| panic!("{why}: {failed}"));
        go_on(&target, &mut again, &[Set(0, "a", 50), Delete(0, "e"), Set(1, "b", 900), Tick, Compact, Reopen]);
        let found = contents(again.keyspace(), &keys).unwrap_or_else(|error| panic!("{why}, later: {error}"));
        assert_eq!(found, again.history.last().unwrap().visible(again.now()), "{why}, later");
    }
}

#[test]
fn a_moment_inside_a_transaction_is_the_one_before_it() {
    let disk = SimDisk::new();
    let mut runner = begin(&disk, HOUR);
    go_on(&disk, &mut runner, &[Set(0, "a", 10), Tick]);
    go_on(&disk, &mut runner, &[Together(vec![Set(0, "a", 300), Set(0, "b", 300), Set(0, "c", 300)])]);
    let inside = runner.keyspace().store().status().sequence - 1;
    let state = runner.history[1].clone();
    runner.keyspace().store().close().unwrap();
    drop(runner);
    let target = SimDisk::new();
    let restored = restore(&disk, At::Sequence(inside), &target).unwrap();
    assert_eq!((restored.asked, restored.copied.sequence), (Some(inside), inside - 2));
    let keys: Vec<_> = ["a", "b", "c"].map(|key| (0, key.to_owned())).into();
    expect(Arc::new(target), START, &keys, &state, "before the transaction");
}

#[test]
fn a_time_is_met_within_a_fifth_of_a_second_and_never_exceeded() {
    let disk = SimDisk::new();
    let mut runner = begin(&disk, HOUR);
    let mut at = Vec::new();
    for round in 0..40 {
        go_on(&disk, &mut runner, &[Set(0, "a", 10 + round), Pass(70)]);
        at.push(runner.clock_wall());
        if round % 9 == 8 {
            go_on(&disk, &mut runner, &[Tick, Compact]);
        }
    }
    runner.keyspace().store().close().unwrap();
    let (history, wall) = (std::mem::take(&mut runner.history), runner.clock_wall());
    drop(runner);
    for (round, time) in at.iter().enumerate() {
        let target = SimDisk::new();
        restore(&disk, At::Time(*time), &target).unwrap();
        let keyspace = open(Arc::new(target), wall, options(Fsync::Everysec)).unwrap();
        let found = contents(&keyspace, &[(0, "a".to_owned())]).unwrap();
        assert!(history.iter().any(|state| state.keys == found), "round {round}: {found:?}");
        // The value tells the round in which it was set; nothing was there before the first.
        let rounds = found.values().next().map_or(0, |(value, _)| value.len() - 9);
        assert!(
            (round.saturating_sub(2)..=round + 1).contains(&rounds),
            "after round {round}: that of {rounds} rounds"
        );
    }
}

#[test]
fn what_was_kept_for_long_enough_goes_and_only_then() {
    let disk = SimDisk::new();
    let mut runner = begin(&disk, HOUR);
    let overwrites = [Set(0, "a", 900), Set(0, "a", 910), Set(0, "a", 920), Set(0, "a", 930), Set(0, "a", 940), Tick];
    go_on(&disk, &mut runner, &overwrites);
    let first = runner.keyspace().store().status().sequence;
    go_on(&disk, &mut runner, &overwrites);
    go_on(&disk, &mut runner, &[Compact]);
    let held = runner.keyspace().store().retained();
    assert!(held.segments > 0 && held.bytes > 0, "{held:?}");
    runner.clock.advance(HOUR - Duration::from_millis(1));
    runner.keyspace().store().release_retained();
    assert_eq!(runner.keyspace().store().retained(), held);
    assert!(restore(&disk.after_kill(), At::Sequence(first), &SimDisk::new()).is_ok());
    // After a restart they are there still.
    go_on(&disk, &mut runner, &[Reopen]);
    assert_eq!(runner.keyspace().store().retained(), held);
    runner.clock.advance(Duration::from_millis(1));
    let files = disk.list().unwrap().len();
    runner.keyspace().store().release_retained();
    assert_eq!(runner.keyspace().store().retained().segments, 0);
    assert!(disk.list().unwrap().len() <= files - held.segments);
    let now = runner.keyspace().store().status().sequence;
    let refused = restore(&disk.after_kill(), At::Sequence(first), &SimDisk::new()).unwrap_err().to_string();
    assert!(refused.contains("cannot be brought back: the oldest that can is that of record"), "{refused}");
    let refused = restore(&disk.after_kill(), At::Time(START - 1), &SimDisk::new()).unwrap_err().to_string();
    assert!(refused.contains("the oldest that can is @17000"), "{refused}");
    let refused = restore(&disk.after_kill(), At::Sequence(now + 1), &SimDisk::new()).unwrap_err().to_string();
    assert!(refused.contains("the last one is"), "{refused}");
    assert!(restore(&disk.after_kill(), At::Sequence(now), &SimDisk::new()).is_ok());
}

/// What is held may have what a deletion hides that is taken away without being held: so it must go first.
#[test]
fn what_is_held_is_given_up_before_what_was_taken_off_later() {
    let disk = SimDisk::new();
    let mut runner = begin(&disk, HOUR);
    let steps = [Set(0, "a", 900), Set(0, "b", 900), Reopen, Delete(0, "a"), Set(0, "c", 1_500), Reopen];
    go_on(&disk, &mut runner, &steps);
    assert!(runner.keyspace().compact_once(true).unwrap());
    assert_eq!(runner.keyspace().store().retained().segments, 1, "that with the value of a");
    go_on(&disk, &mut runner, &[Set(0, "c", 10), Reopen]);
    // Nothing is kept from now on; but the disk fails when what is held is to be given up.
    runner.keep_policy(Policy { retention: Some(Duration::ZERO), garbage_bytes_min: 64 << 20, ..Policy::default() });
    disk.fail(Fault::Kind(CallKind::Rename), ErrorKind::Other, Often::Once);
    runner.keyspace().store().release_retained();
    assert_eq!(runner.keyspace().store().retained().segments, 1);
    while runner.keyspace().compact_once(false).unwrap() {}
    let last = runner.keyspace().store().status().sequence;
    let target = SimDisk::new();
    restore(&disk.after_kill(), At::Sequence(last), &target).unwrap();
    let state = runner.history.last().unwrap().clone();
    expect(Arc::new(target), START, &keys_of(&steps, DATABASES), &state, "the last moment");
    runner.keyspace().store().release_retained();
    assert_eq!(runner.keyspace().store().retained().segments, 0);
}

/// A library that opens what a server keeps does not know for how long, unless it says so.
#[test]
fn without_a_retention_of_its_own_nobody_gives_up_what_is_held() {
    let disk = SimDisk::new();
    let mut runner = begin(&disk, HOUR);
    let overwrites = [Set(0, "a", 900), Set(0, "a", 910), Set(0, "a", 920), Set(0, "b", 930), Set(0, "a", 940), Tick];
    go_on(&disk, &mut runner, &overwrites);
    go_on(&disk, &mut runner, &[Compact, Reopen]);
    let held = runner.keyspace().store().retained();
    assert!(held.segments > 0, "{held:?}");
    let (copy, later) = (disk.after_kill(), runner.clock_wall() + 10 * 365 * 86_400_000);
    drop(runner);
    let opened = |retention: Option<Duration>| {
        let options = Options { retention, ..options(Fsync::Everysec) };
        open(Arc::new(copy.after_kill()), later, options).unwrap()
    };
    assert_eq!(Options::default().retention, None);
    let keyspace = opened(None);
    keyspace.store().release_retained();
    assert_eq!(keyspace.store().retained(), held);
    // What is taken away meanwhile has to be held as well: it may have the deletions of what is held.
    let compacted = keyspace.compact(&mut |_, _| {}).unwrap();
    keyspace.store().release_retained();
    let kept = keyspace.store().retained();
    assert!(kept.segments > held.segments || compacted.passes == 0, "{kept:?}, {compacted:?}");
    assert_eq!(keyspace.store().release_all_retained().unwrap(), kept);
    assert_eq!(keyspace.store().retained().segments, 0);
    for (retention, left) in [(Duration::ZERO, 0), (HOUR, 0), (Duration::MAX, held.segments)] {
        let keyspace = opened(Some(retention));
        keyspace.store().release_retained();
        assert_eq!(keyspace.store().retained().segments, left, "{retention:?}");
    }
}

/// No key needs it: what is missing of the past is no reason to have no backup.
#[test]
fn what_is_held_and_missing_is_left_out_of_a_backup() {
    let disk = SimDisk::new();
    let mut runner = begin(&disk, HOUR);
    let steps = steps();
    go_on(&disk, &mut runner, &steps);
    let manifest = |disk: Arc<dyn Disk>| Manifest::open_to_read(disk).unwrap().unwrap();
    let held = manifest(Arc::new(disk.clone())).held();
    let (gone, last) = (held[1], held[held.len() - 1]);
    let name = segment_file_name(gone.segment.id);
    disk.remove(&name).unwrap();
    let copied = runner.keyspace().store().backup("one").unwrap();
    assert_eq!(copied.missing, [name.as_str()]);
    let target = SimDisk::new();
    let restored = restore(&disk.after_kill(), At::End, &target).unwrap();
    assert_eq!(restored.copied.missing, [name.as_str()]);
    let (keys, state, wall) = (keys_of(&steps, DATABASES), runner.history.last().unwrap(), runner.clock_wall());
    let checked = |disk: Arc<dyn Disk>| Inspection::open(disk).unwrap().unwrap().check(1, &mut |_, _| {}).unwrap();
    let is_named = |checked: Checked| checked.findings.iter().any(|finding| finding.file == name);
    assert!(is_named(checked(Arc::new(disk.after_kill()))));
    for (copy, why) in [(backup(&disk, "one"), "the backup"), (Arc::new(target) as Arc<dyn Disk>, "the copy")] {
        assert!(!is_named(checked(copy.clone())), "{why}");
        let left = manifest(copy.clone());
        assert_eq!(left.held().len(), held.len() - 1, "{why}");
        assert!(left.horizon() >= gone.since && left.horizon() <= last.since, "{why}: {:?}", left.horizon());
        let inspection = Inspection::open(copy.clone()).unwrap().unwrap();
        let at = |sequence| inspection.restore(At::Sequence(sequence), Arc::new(SimDisk::new()), 1, &mut |_, _| {});
        let refused = at(gone.since.sequence - 1).unwrap_err().to_string();
        assert!(refused.contains("cannot be brought back"), "{why}: {refused}");
        at(last.since.sequence).unwrap_or_else(|error| panic!("{why}: {error}"));
        expect(copy, wall, &keys, state, why);
    }
}

#[test]
fn a_disk_that_is_nearly_full_takes_from_the_past() {
    let disk = SimDisk::new();
    let mut runner = begin(&disk, HOUR);
    for round in 0..6 {
        go_on(
            &disk,
            &mut runner,
            &[Set(0, "a", 900 + round), Set(0, "b", 1_900), Set(0, "a", 1_000), Tick, Compact, Pass(10)],
        );
    }
    let held = runner.keyspace().store().retained().segments;
    runner.keyspace().store().release_retained();
    assert_eq!(runner.keyspace().store().retained().segments, held, "there is room");
    disk.set_capacity(Some(disk.used() + 2_000));
    runner.keyspace().store().release_retained();
    let left = runner.keyspace().store().retained().segments;
    assert!(left < held, "{left} of {held}");
}

#[test]
fn a_copy_is_whole_or_no_store() {
    let disk = SimDisk::new();
    let mut runner = begin(&disk, HOUR);
    let steps = steps();
    go_on(&disk, &mut runner, &steps);
    let state = runner.history.last().unwrap().clone();
    let wall = runner.clock_wall();
    drop(runner);
    let keys = keys_of(&steps, DATABASES);
    // A process that was killed has left a segment that is not complete.
    let disk = disk.after_kill();
    let target = SimDisk::new();
    restore(&disk, At::End, &target).unwrap();
    expect(Arc::new(target.clone()), wall, &keys, &state, "whole");
    assert!(matches!(restore(&disk, At::End, &target), Err(RestoreError::Occupied(_))));
    let foreign = SimDisk::new();
    foreign.plant("holiday.jpg", b"beach");
    assert!(matches!(restore(&disk, At::End, &foreign), Err(RestoreError::Occupied(_))));
    assert_eq!(foreign.bytes("holiday.jpg").unwrap(), b"beach");
    // A store that has lost its manifest is no copy that was begun.
    let lost = disk.after_kill();
    lost.remove("MANIFEST").unwrap();
    let files = lost.list().unwrap();
    assert!(matches!(restore(&disk, At::End, &lost), Err(RestoreError::Occupied(_))));
    assert_eq!(lost.list().unwrap(), files);
    let calls = target.calls();
    for call in 0..calls {
        let target = SimDisk::new();
        target.crash_at(call);
        if restore(&disk, At::End, &target).is_ok() {
            continue;
        }
        let left = target.after_kill();
        match Inspection::open(Arc::new(left.clone())) {
            Ok(Some(_)) => expect(Arc::new(left), wall, &keys, &state, &format!("cut at call {call}")),
            _ => {
                restore(&disk, At::End, &left).unwrap_or_else(|error| panic!("again, after call {call}: {error}"));
                expect(Arc::new(left), wall, &keys, &state, &format!("again, after call {call}"));
            }
        }
    }
}
