//! Crashes at every call that changes the disk: power cuts with every kind of loss, and kills.

pub(super) mod workloads;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::super::{Ended, Mode};
use super::model::{State, Step, keys_of};
use super::recorder::{Moment, Progress, Recorder, Swallow};
use super::runner::{DATABASES, Runner, START, contents, open, options};
use crate::store::disk::sim::{CallKind, Survival};
use crate::store::disk::{Disk, SimDisk};
use crate::store::{BACKUP_DIRECTORY, Fsync, Planted};

const HOUR: u64 = 3_600_000;

/// What one workload is begun on.
struct Beginning {
    disk: SimDisk,
    history: Vec<State>,
    progress: Progress,
}

/// A fault planted on purpose.
#[derive(Clone, Copy, Default)]
struct Plant {
    swallow: Option<Swallow>,
    /// Transactions take effect step by step.
    split: bool,
    /// Callers are told before the log has been waited for.
    early: bool,
    planted: Option<Planted>,
}

/// Runs a workload once, and recovers from a crash at each of its calls.
struct Enumeration {
    name: String,
    keys: Vec<(u32, String)>,
    fsync: Fsync,
    history: Vec<State>,
    /// Crashes after which another disk was found, or the same one with other things to expect of it.
    states: HashSet<u64>,
    violations: Vec<String>,
    /// What to begin again on, now and then; there is none where this one began so.
    again: Vec<Beginning>,
    /// How many random losses there are at each call.
    seeds: u64,
    /// Crashes while a hint was written, and while it was written what is in memory.
    hints: usize,
    hot: usize,
    /// The names of backups, and after how many states of the history they are made.
    backups: Vec<(&'static str, usize)>,
}

impl Beginning {
    fn empty() -> Self {
        let progress = Progress { wall: START, ..Progress::default() };
        Self { disk: SimDisk::new(), history: vec![State::default()], progress }
    }
}

impl Enumeration {
    fn run(name: String, steps: &[Step], fsync: Fsync, beginning: Beginning, plant: Plant) -> Self {
        let Beginning { disk, history, progress } = beginning;
        let mut keys = keys_of(steps, DATABASES);
        keys.extend(history.iter().flat_map(|state| state.keys.keys().cloned()));
        keys.push((0, "after".to_owned()));
        keys.sort();
        keys.dedup();
        let made = steps.iter().enumerate().filter_map(|(index, step)| match step {
            Step::Backup(name) => Some((*name, history.len() + index)),
            _ => None,
        });
        let backups = made.collect();
        let recorder = Recorder::new(disk, plant.swallow);
        recorder.progress(|now| *now = progress);
        let (states, violations, again) = (HashSet::new(), Vec::new(), Vec::new());
        // A planted fault ends with the first loss that shows it.
        let planted = plant.swallow.is_some() || plant.split || plant.early;
        let seeds = if planted { 4 } else { 4 * u64::from(progress.started == 0) };
        let mut enumeration = Self {
            name,
            keys,
            fsync,
            history: Vec::new(),
            states,
            violations,
            again,
            seeds,
            hints: 0,
            hot: 0,
            backups,
        };
        match Runner::new(Arc::new(recorder.clone()), options(fsync), history.clone(), progress.wall) {
            Ok(mut runner) => {
                (runner.split, runner.early, runner.planted) = (plant.split, plant.early, plant.planted);
                // It was made durable by being read.
                let done = progress.started;
                recorder.progress(|now| (now.acknowledged, now.synced) = (done, done));
                if let Err(failed) = runner.run(steps, &recorder) {
                    enumeration.violations.push(format!("{}, {fsync:?}: {failed}", enumeration.name));
                }
                enumeration.history = std::mem::take(&mut runner.history);
            }
            Err(failed) => enumeration.violations.push(format!("{}, {fsync:?}: {failed}", enumeration.name)),
        }
        for (call, moment) in recorder.moments().iter().enumerate() {
            enumeration.moment(call, moment);
        }
        enumeration
    }

    fn moment(&mut self, call: usize, moment: &Moment) {
        let progress = moment.progress;
        self.hints += usize::from(moment.call.name.contains(".hint"));
        self.hot += usize::from(moment.call.name.starts_with("hot"));
        let killed = progress.acknowledged..=progress.started;
        let cut = if self.fsync == Fsync::Always { killed.clone() } else { progress.synced..=progress.started };
        let at = format!("{}, {:?}, before call {call} ({:?})", self.name, self.fsync, moment.call);
        for (index, survival) in Survival::variants(self.seeds).enumerate() {
            // A machine's clock may have stood still, gone on, or been set back.
            let wall = progress.wall + [0, 0, 5_000, 0][index % 4] - [0, HOUR, 0][index % 3];
            self.check(moment.disk.survivors(survival), wall, &cut, || format!("{at}, {survival:?}"));
        }
        let found = self.check(moment.disk.after_kill(), progress.wall, &killed, || format!("{at}, killed"));
        if let (Some(found), 3) = (found, call % 16) {
            let progress = Progress { started: found, ..progress };
            let history = self.history[..=found].to_vec();
            self.again.push(Beginning { disk: moment.disk.after_kill(), history, progress });
        }
        for torn in &moment.torn {
            self.check(torn.after_kill(), progress.wall, &killed, || format!("{at}, killed within it"));
            self.check(torn.survivors(Survival::Written), progress.wall, &cut, || format!("{at}, torn"));
        }
    }

    /// Recovers; returns after which step the state was, where this had to be looked at.
    fn check(
        &mut self,
        disk: SimDisk,
        wall: u64,
        bounds: &RangeInclusive<usize>,
        at: impl Fn() -> String,
    ) -> Option<usize> {
        if !self.states.insert(fingerprint(&disk, wall, bounds)) {
            return None;
        }
        match self.recover(&disk, wall, bounds.clone()) {
            Ok(found) => Some(found),
            Err(violation) => {
                self.violations.push(format!("{}: {violation}", at()));
                None
            }
        }
    }

    /// Recovers, compares with the history within `bounds`, writes, and now and then recovers once more.
    fn recover(&self, disk: &SimDisk, wall: u64, bounds: RangeInclusive<usize>) -> Result<usize, String> {
        let keyspace = open(Arc::new(disk.clone()), wall, options(self.fsync)).map_err(|error| error.to_string())?;
        let recalled = keyspace.recall(&mut |_| true).map_err(|error| format!("what was in memory: {error}"))?;
        if recalled != Ended::Whole {
            return Err(format!("what was in memory is read back until {recalled:?}"));
        }
        let now = keyspace.now();
        let floor = self.history[*bounds.start()].floor;
        if now < floor {
            return Err(format!("it is {now} again, although {floor} had passed"));
        }
        let mut state = contents(&keyspace, &self.keys)?;
        let found = bounds.clone().find(|index| self.history[*index].shows(&state, now)).ok_or_else(|| {
            let known: Vec<_> = (0..self.history.len()).filter(|&i| self.history[i].shows(&state, now)).collect();
            format!("the state is that after steps {known:?}, not one of {bounds:?}: {:?}", state.keys())
        })?;
        self.look_at_backups(disk, now, *bounds.start())?;
        let mut access = keyspace.access_one(0, b"after", Mode::Exclusive, now, false);
        let written = access.put(b"after", 0, b"all", None).and_then(|()| access.commit());
        let (wait, _) = written.map_err(|halt| format!("no writing afterwards: {halt:?}"))?;
        let settled = keyspace.store().wait_acknowledged(wait).and_then(|()| keyspace.store().sync());
        settled.map_err(|failed| format!("no writing afterwards: {failed}"))?;
        drop(keyspace);
        if !self.states.len().is_multiple_of(3) {
            return Ok(found);
        }
        state.insert((0, "after".to_owned()), (b"all".to_vec(), None));
        let keyspace = open(Arc::new(disk.survivors(Survival::Durable)), now, options(self.fsync));
        let keyspace = keyspace.map_err(|error| format!("the second time: {error}"))?;
        let again = contents(&keyspace, &self.keys)?;
        if again == state { Ok(found) } else { Err(format!("the second time it is {again:?}, not {state:?}")) }
    }
}

impl Enumeration {
    /// A backup whose caller was told that it is made is there; each that is there has the state of its moment.
    fn look_at_backups(&self, disk: &SimDisk, now: u64, done: usize) -> Result<(), String> {
        if !disk.list().expect("the machine is on").iter().any(|name| name == BACKUP_DIRECTORY) {
            return match self.backups.iter().find(|(_, after)| *after <= done) {
                Some((name, _)) => Err(format!("the backup {name} is gone")),
                None => Ok(()),
            };
        }
        let all = disk.directory(BACKUP_DIRECTORY).expect("a directory");
        for (name, after) in &self.backups {
            let backup = all.directory(name).expect("a directory");
            if !backup.list().expect("the machine is on").iter().any(|file| file == "MANIFEST") {
                if *after <= done {
                    return Err(format!("the backup {name} is not whole"));
                }
                continue;
            }
            let keyspace =
                open(backup, now, options(self.fsync)).map_err(|error| format!("the backup {name}: {error}"))?;
            let found = contents(&keyspace, &self.keys).map_err(|error| format!("the backup {name}: {error}"))?;
            if found != self.history[*after].visible(keyspace.now()) {
                return Err(format!("the backup {name} has {:?}", found.keys()));
            }
        }
        Ok(())
    }
}

/// What a check depends on: the same twice needs no second look.
fn fingerprint(disk: &SimDisk, wall: u64, bounds: &RangeInclusive<usize>) -> u64 {
    let mut hasher = DefaultHasher::new();
    disk.each_file(&mut |name, bytes| (name, bytes).hash(&mut hasher));
    (wall, bounds).hash(&mut hasher);
    hasher.finish()
}

const MODES: [Fsync; 3] = [Fsync::Always, Fsync::Everysec, Fsync::No];

/// Enumerates workloads on all processors: first from an empty disk, then from what crashes have left. Returns how
/// many crashes there were, and what was found.
fn enumerate() -> (usize, Vec<String>) {
    let tasks: Vec<_> = workloads::ALL.iter().flat_map(|workload| MODES.map(|fsync| (workload, fsync))).collect();
    let (next, states, violations) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(((name, steps), fsync)) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let first = Enumeration::run((*name).to_owned(), &steps(), *fsync, Beginning::empty(), Plant::default());
            states.fetch_add(first.states.len(), Ordering::Relaxed);
            violations.lock().extend(first.violations);
            for (index, beginning) in first.again.into_iter().enumerate() {
                let name = format!("{name} again ({index})");
                let second = Enumeration::run(name, &workloads::again(), *fsync, beginning, Plant::default());
                states.fetch_add(second.states.len(), Ordering::Relaxed);
                violations.lock().extend(second.violations);
            }
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| _ = scope.spawn(work)));
    (states.into_inner(), violations.into_inner())
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_comes_back() {
    let (states, violations) = enumerate();
    println!("{states} crashes, {} violations", violations.len());
    assert!(violations.is_empty(), "of {states} crashes {} went wrong:\n{}", violations.len(), violations.join("\n"));
    assert!(states >= 50_000, "{states} crashes are too few");
}

/// A hint rests on no sync: what the power has left of it is believed only where it is whole.
#[test]
fn a_hint_that_was_never_synced_does_no_harm() {
    let of_hint: Swallow =
        |calls, kind| kind == CallKind::SyncData && calls.last().is_some_and(|call| call.name.contains(".hint"));
    let plant = Plant { swallow: Some(of_hint), ..Plant::default() };
    let wanted = |workload: &&workloads::Workload| ["segments", "restarts", "compaction"].contains(&workload.0);
    for (name, steps) in workloads::ALL.iter().filter(wanted) {
        let run = Enumeration::run((*name).to_owned(), &steps(), Fsync::Everysec, Beginning::empty(), plant);
        assert!(run.violations.is_empty(), "{}", run.violations.join("\n"));
        assert!(run.hints > 10, "{name}: {} crashes while a hint was written", run.hints);
    }
}

/// Neither does what says which values were in memory: at each of its bytes it may be torn, lost or old.
#[test]
fn what_was_in_memory_and_never_synced_does_no_harm() {
    let of_hot: Swallow =
        |calls, kind| kind == CallKind::SyncData && calls.last().is_some_and(|call| call.name.starts_with("hot"));
    let plant = Plant { swallow: Some(of_hot), ..Plant::default() };
    for fsync in MODES {
        let steps = workloads::remembering();
        let run = Enumeration::run("remembering".to_owned(), &steps, fsync, Beginning::empty(), plant);
        assert!(run.violations.is_empty(), "{}", run.violations.join("\n"));
        assert!(run.hot > 10, "{} crashes while it was written what is in memory", run.hot);
    }
}

/// A test that cannot fail proves nothing: with each of these faults planted, it has to.
#[test]
fn every_planted_fault_is_noticed() {
    let of_segment: Swallow =
        |calls, kind| kind == CallKind::SyncData && calls.last().is_some_and(|call| call.name.ends_with(".log"));
    let sync_directory: Swallow = |_, kind| kind == CallKind::SyncDirectory;
    let after_rename: Swallow =
        |calls, kind| kind == CallKind::SyncDirectory && calls.last().is_some_and(|call| call.kind == CallKind::Rename);
    let after_create: Swallow = |calls, kind| {
        kind == CallKind::SyncDirectory && calls.last().is_some_and(|call| call.kind == CallKind::Allocate)
    };
    let of_manifest: Swallow =
        |calls, kind| kind == CallKind::SyncData && calls.last().is_some_and(|call| call.name.starts_with("MANIFEST"));
    for (fault, plant) in [
        ("no sync of a segment", Plant { swallow: Some(of_segment), ..Plant::default() }),
        ("no sync of the directory", Plant { swallow: Some(sync_directory), ..Plant::default() }),
        ("no sync of the directory after a rename", Plant { swallow: Some(after_rename), ..Plant::default() }),
        ("no sync of the directory after a creation", Plant { swallow: Some(after_create), ..Plant::default() }),
        ("no sync of the manifest", Plant { swallow: Some(of_manifest), ..Plant::default() }),
        ("transactions one by one", Plant { split: true, ..Plant::default() }),
        ("an early acknowledgement", Plant { early: true, ..Plant::default() }),
        ("a victim removed early", Plant { planted: Some(Planted::RemovedEarly), ..Plant::default() }),
        ("a tombstone dropped early", Plant { planted: Some(Planted::TombstonesDropped), ..Plant::default() }),
        ("segments taken for purged", Plant { planted: Some(Planted::AllPurged), ..Plant::default() }),
        ("no sync before a victim goes", Plant { planted: Some(Planted::NoSyncOfTheLog), ..Plant::default() }),
    ] {
        // Where every write is synced, none is missed.
        let fsync = if plant.planted.is_some() { Fsync::Everysec } else { Fsync::Always };
        let noticed = workloads::ALL.iter().find_map(|(name, steps)| {
            let run = Enumeration::run((*name).to_owned(), &steps(), fsync, Beginning::empty(), plant);
            run.violations.into_iter().next()
        });
        println!("{fault}: {noticed:?}");
        assert!(noticed.is_some(), "{fault}: nobody noticed");
    }
}
