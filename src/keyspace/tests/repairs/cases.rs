//! What takes more than one damage, or none at all.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::super::model::Step::{self, *};
use super::super::model::{State, keys_of};
use super::super::recorder::Recorder;
use super::super::runner::{DATABASES, Runner, START, options};
use super::{Damage, Found, Key, Written, ask, begun, copy, files, names, written};
use crate::store::Fsync;
use crate::store::disk::sim::Survival;
use crate::store::disk::{Disk, File, Mode, SimDisk};
use crate::store::manifest::{Edit, MANIFEST_FILE, Manifest, Segment, SegmentKind, SegmentState, segment_file_name};
use crate::store::salvage::{Step as Done, plan, repair};

/// Does steps on an empty disk.
fn run(steps: &[Step]) -> (SimDisk, Runner) {
    let disk = SimDisk::new();
    let first = vec![State::default()];
    let mut runner = Runner::new(Arc::new(disk.clone()), options(Fsync::Everysec), first, START).unwrap();
    go_on(&disk, &mut runner, steps);
    (disk, runner)
}

fn go_on(disk: &SimDisk, runner: &mut Runner, steps: &[Step]) {
    runner.run(steps, &Recorder::new(disk.clone(), None)).unwrap_or_else(|failed| panic!("{failed}"));
}

fn closed(disk: SimDisk, runner: Runner, steps: &[Step]) -> Written {
    let now = runner.now();
    let state = runner.history.last().unwrap().visible(now);
    runner.keyspace().store().close().unwrap();
    Written { disk, keys: keys_of(steps, DATABASES), state, now }
}

fn plant(disk: &SimDisk, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.bytes(name).unwrap();
    change(&mut bytes);
    disk.plant(name, &bytes);
}

/// The segment in which these bytes are, and where.
fn find(disk: &SimDisk, bytes: &[u8]) -> (String, usize) {
    let logs = begun(disk).into_iter().filter(|(name, _)| name.ends_with(".log"));
    let at = |content: &[u8]| content.windows(bytes.len()).position(|window| window == bytes);
    logs.filter_map(|(name, content)| Some((name, at(&content)?))).next_back().expect("a segment with these bytes")
}

#[test]
fn any_exchange_of_names_is_put_right() {
    let written = written();
    let names: Vec<String> = begun(&written.disk).into_iter().map(|(name, _)| name).collect();
    let mut random = fastrand::Rng::with_seed(5);
    for round in 0..30 {
        let mut others = names.clone();
        random.shuffle(&mut others);
        let disk = copy(&written.disk);
        for (name, other) in names.iter().zip(&others) {
            disk.plant(name, &written.disk.bytes(other).unwrap());
        }
        let at = format!("round {round}");
        let repaired = written.repair(&disk, &at);
        assert!(repaired.steps.iter().all(|step| matches!(step, Done::Rename { .. })), "{at}: {:?}", repaired.steps);
        assert!(files(&disk) == files(&written.disk), "{at}: every file has its name, and nothing else has changed");
        written.expect_repaired(&disk, &repaired, &at);
        assert!(repaired.lost.is_empty(), "{at}: {:?}", repaired.lost);
    }
}

#[test]
fn a_manifest_from_before_is_made_anew_with_all_that_came_since() {
    let before = [Set(0, "a", 900), Set(0, "b", 900), Set(0, "a", 800), Set(0, "c", 900), Set(0, "gone", 900), Tick];
    let since =
        [Delete(0, "gone"), Set(0, "a", 700), Set(0, "d", 2_000), Tick, Compact, Set(0, "e", 2_000), Set(0, "f", 900)];
    let (disk, mut runner) = run(&before);
    let manifest = disk.bytes(MANIFEST_FILE).unwrap();
    go_on(&disk, &mut runner, &since);
    let written = closed(disk, runner, &[&before[..], &since[..]].concat());
    let disk = copy(&written.disk);
    disk.plant(MANIFEST_FILE, &manifest);
    let repaired = written.repair(&disk, "an older manifest");
    let [Done::Rebuild { why, without_hints: false, .. }, ..] = &repaired.steps[..] else {
        panic!("{:?}", repaired.steps)
    };
    assert!(why.starts_with("it is older than the data"), "{why}");
    written.expect_repaired(&disk, &repaired, "an older manifest");
    assert!(repaired.lost.is_empty(), "{:?}", repaired.lost);
    assert!(disk.bytes("set-aside-1/MANIFEST").unwrap() == manifest);
}

#[test]
fn what_was_copied_before_it_was_damaged_is_not_lost() {
    let steps =
        [Set(0, "broken", 800), Set(0, "copied", 800), Set(0, "c", 900), Set(0, "c", 900), Set(0, "d", 1_500), Tick];
    let (disk, mut runner) = run(&steps);
    let value = |runner: &Runner, key: &str| runner.history.last().unwrap().keys[&(0, key.to_owned())].0.clone();
    let (victim, at) = find(&disk, &value(&runner, "broken"));
    disk.flip_bit(&victim, at as u64 + 9, 1);
    // What is damaged keeps its segment, and the rest of it is copied all the same.
    go_on(&disk, &mut runner, &[Compact]);
    let copied = value(&runner, "copied");
    let (copy_of, _) = find(&disk, &copied);
    assert!(copy_of != victim && disk.bytes(&victim).is_some());
    let written = closed(disk, runner, &steps);
    let disk = copy(&written.disk);
    let at = disk.bytes(&victim).unwrap().windows(copied.len()).position(|window| window == copied).unwrap();
    plant(&disk, &victim, |bytes| bytes[at + 9] ^= 1);
    let repaired = written.repair(&disk, "copied");
    assert_eq!(names(&repaired), BTreeSet::from([(0, "broken".to_owned())]));
    written.expect_repaired(&disk, &repaired, "copied");
}

#[test]
fn what_nobody_can_name_is_told() {
    let written = written();
    let (name, at) = find(&written.disk, &written.state[&(1, "g".to_owned())].0);
    let disk = copy(&written.disk);
    // The key, and all that the hint says.
    plant(&disk, &name, |bytes| bytes[at - 1] ^= 1);
    let hint = name.replace(".log", ".hint");
    plant(&disk, &hint, |bytes| *bytes.last_mut().unwrap() ^= 1);
    let repaired = written.repair(&disk, "key and hint");
    let [Done::Replace { file, values: 0, hinted: 0, unknown, .. }] = &repaired.steps[..] else {
        panic!("{:?}", repaired.steps)
    };
    assert_eq!((file, unknown.len(), unknown[0].0), (&name, 1, at as u64 - 29));
    assert!(repaired.lost.is_empty() && repaired.checked.opens);
    let keyspace = written.open(&disk).unwrap();
    for (key, value) in written.state.iter().filter(|(key, _)| **key != (1, "g".to_owned())) {
        assert_eq!(ask(&keyspace, key, "others"), Found::Value(value.clone()), "{key:?}");
    }
}

/// One that took in what a failed sync had left, and of which the power left another file's bytes.
#[test]
fn a_segment_behind_a_torn_end_that_is_another_is_set_aside() {
    let steps = [Set(0, "a", 900), Set(0, "b", 900), Set(0, "c", 900), Set(0, "d", 1_500), Sync, Set(0, "e", 300)];
    let (disk, mut runner) = run(&steps);
    let (now, history) = (runner.now(), std::mem::take(&mut runner.history));
    drop(runner);
    let disk = disk.after_kill();
    let state = history[steps.len() - 1].visible(now);
    let (torn, at) = find(&disk, b"e<");
    plant(&disk, &torn, |bytes| bytes.truncate(at + 50));
    let manifest = Manifest::open(Arc::new(disk.clone())).unwrap();
    let (id, first) = (manifest.next_segment_id(), segment_file_name(manifest.segments()[0].id));
    disk.plant(&segment_file_name(id), &disk.bytes(&first).unwrap());
    let (kind, state_of_it) = (SegmentKind::Foreground, SegmentState::Active);
    let listed = Segment { id, kind, salt: 7, base_sequence: 1_000, base_position: 1 << 30, state: state_of_it };
    manifest.edit(&Edit::new().add(listed)).unwrap();
    let written = Written { disk: disk.clone(), keys: keys_of(&steps, 1), state, now };
    let refused = written.open(&copy(&disk)).err().expect("it is another's").to_string();
    assert!(refused.contains("its header belongs to another file"), "{refused}");
    let repaired = written.repair(&disk, "behind the end");
    let file = segment_file_name(id);
    assert!(matches!(&repaired.steps[..], [Done::Replace { file: replaced, .. }] if *replaced == file), "{repaired:?}");
    assert!(disk.bytes(&format!("set-aside-1/{file}")) == disk.bytes(&first));
    written.expect_repaired(&disk, &repaired, "behind the end");
}

/// A server does not start as long as it is there.
#[test]
fn what_stepped_aside_and_is_nothing_any_more_is_set_aside() {
    let written = written();
    let of_a_segment = find(&written.disk, &written.state[&(1, "g".to_owned())].0).0;
    for bytes in [b"damaged since".to_vec(), Vec::new(), written.disk.bytes(&of_a_segment).unwrap()] {
        let disk = copy(&written.disk);
        disk.plant("renaming-1", &bytes);
        let refused = written.open(&copy(&disk)).err().expect("it has stepped aside").to_string();
        assert!(refused.contains("the file renaming-1 has a name that files have"), "{refused}");
        let repaired = written.repair(&disk, "aside");
        assert!(matches!(&repaired.steps[..], [Done::SetAside { file, .. }] if file == "renaming-1"), "{repaired:?}");
        assert!(disk.bytes("set-aside-1/renaming-1") == Some(bytes));
        written.expect_repaired(&disk, &repaired, "aside");
    }
}

#[test]
fn what_another_version_wrote_is_left_to_it() {
    let written = written();
    let (name, _) = find(&written.disk, &written.state[&(1, "g".to_owned())].0);
    let disk = copy(&written.disk);
    plant(&disk, &name, |bytes| {
        bytes[8] = 9;
        bytes[20..24].fill(0);
        let crc = crc32fast::hash(&bytes[..64]);
        bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    });
    for manifest in [true, false] {
        if !manifest {
            plant(&disk, MANIFEST_FILE, |bytes| bytes[40] ^= 1);
        }
        let before = files(&disk);
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let error = plan(&shared, &mut |_, _| {}).expect_err("a newer version");
        assert!(error.to_string().contains("version"), "{error}");
        let repaired = repair(&shared, written.now, 1, &mut |_, _| {});
        assert!(repaired.is_err() && files(&disk) == before);
    }
}

#[test]
fn what_had_expired_stays_so_although_the_clock_goes_back() {
    let first = [SetEx(0, "x", 300, 5_000), Set(0, "a", 2_000), Tick, Set(0, "b", 2_000), Tick];
    let (disk, mut runner) = run(&first);
    // Only the last segment knows what time it was.
    let last = [Pass(60_000), ExpireDue, Set(0, "c", 500)];
    go_on(&disk, &mut runner, &last);
    let mut written = closed(disk, runner, &[&first[..], &last[..]].concat());
    let disk = copy(&written.disk);
    let (name, at) = find(&disk, &written.state[&(0, "c".to_owned())].0);
    assert_ne!(name, find(&disk, b"x<").0);
    plant(&disk, &name, |bytes| bytes[at + 20] ^= 1);
    written.now = START;
    let repaired = written.repair(&disk, "the clock");
    assert_eq!(names(&repaired), BTreeSet::from([(0, "c".to_owned())]));
    written.expect_repaired(&disk, &repaired, "the clock");
}

/// A disk on which a file has one name only.
struct WithoutLinks(SimDisk);

impl Disk for WithoutLinks {
    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn File>> {
        self.0.open(name, mode)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.0.sync_directory()
    }

    fn free_space(&self) -> io::Result<u64> {
        self.0.free_space()
    }

    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        self.0.directory(name)
    }

    fn link(&self, _: &str, _: &dyn Disk) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[test]
fn what_cannot_be_linked_is_copied() {
    let written = written();
    let (name, at) = find(&written.disk, &written.state[&(1, "g".to_owned())].0);
    let disk = copy(&written.disk);
    plant(&disk, &name, |bytes| bytes[at + 20] ^= 1);
    let damaged = copy(&disk);
    let without: Arc<dyn Disk> = Arc::new(WithoutLinks(disk.clone()));
    let repaired = repair(&without, written.now, 1, &mut |_, _| {}).unwrap().unwrap();
    let durable = disk.survivors(Survival::Durable);
    written.expect_all_kept(&damaged, &durable, "copied");
    assert!(durable.bytes(&format!("set-aside-1/{name}")) == damaged.bytes(&name));
    written.expect_repaired(&disk, &repaired, "copied");
}

/// A log that nobody has closed: its last segments have no hints, and its end may be torn.
#[test]
fn what_kill_has_left_is_repaired_as_well() {
    const DAMAGES: usize = 300;
    let mut steps =
        vec![Set(0, "a", 900), Set(0, "b", 900), Set(0, "a", 700), Set(0, "c", 900), Set(0, "d", 100), Tick];
    steps.extend([Set(0, "e", 900), Delete(0, "c"), Set(0, "f", 900), Pass(200), Set(0, "a", 600), Set(0, "g", 900)]);
    steps.push(Sync);
    let synced = steps.len();
    steps.extend([
        Pass(200),
        Set(0, "h", 900),
        Set(0, "b", 500),
        Delete(0, "d"),
        Pass(200),
        Set(0, "i", 900),
        Set(0, "j", 9),
    ]);
    let (disk, mut runner) = run(&steps);
    let (now, history) = (runner.now(), std::mem::take(&mut runner.history));
    drop(runner);
    let disk = disk.after_kill();
    let (keys, bounds) = (keys_of(&steps, 1), synced..history.len());
    let files = begun(&disk);
    let mut random = fastrand::Rng::with_seed(3);
    let (mut repairs, mut unknown, mut with_losses) = (0, 0, 0);
    for number in 0..DAMAGES {
        let damage = Damage::random(&files, &mut random);
        let at = format!("{number}: {damage:?}");
        let damaged = damage.done_to(&disk);
        let written =
            Written { disk: disk.clone(), keys: keys.clone(), state: history.last().unwrap().visible(now), now };
        let repaired = written.repair(&damaged, &at);
        assert!(repaired.checked.opens, "{at}: {:?}", repaired.checked.findings);
        repairs += usize::from(!repaired.steps.is_empty());
        with_losses += usize::from(!repaired.lost.is_empty());
        // What follows from a lost manifest is told with it.
        let is_unknown = |step: &Done| step.is_in_the_dark() || matches!(step, Done::Rebuild { .. });
        let keyspace = written.open(&damaged).unwrap_or_else(|error| panic!("{at}: {error}"));
        let found: Vec<(Key, Found)> = keys.iter().map(|key| (key.clone(), ask(&keyspace, key, &at))).collect();
        unknown += usize::from(repaired.steps.iter().any(is_unknown));
        // What is cut off takes along the marks that say what was durable: the log ends there.
        let says_too_little = matches!(damage, Damage::Cut(..) | Damage::Missing(_) | Damage::Replaced(..));
        if repaired.steps.iter().any(is_unknown) || says_too_little {
            continue;
        }
        let lost = names(&repaired);
        let fits = |index: usize| {
            let state = history[index].visible(now);
            found.iter().all(|(key, found)| match state.get(key) {
                _ if lost.contains(key) => *found == Found::Absent,
                Some(value) => *found == Found::Value(value.clone()),
                None => *found == Found::Absent,
            })
        };
        assert!(bounds.clone().any(fits), "{at}: {found:?}, {:?}", repaired.steps);
    }
    println!("{DAMAGES} damages, {repairs} repairs, {unknown} with unknown losses, {with_losses} with known ones");
    assert!(repairs > DAMAGES / 4 && with_losses > DAMAGES / 20 && unknown > DAMAGES / 20);
}
