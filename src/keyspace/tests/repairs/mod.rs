//! Repairs of damaged disks: what is not told to be lost has its value, and nothing shows an older one.
//!
//! | file | what |
//! | --- | --- |
//! | `damages` | a single damage of any kind anywhere |
//! | `crashes` | a repair that is broken off |
//! | `past` | what is only held, without the manifest or with an old one |
//! | `cases` | what takes more than one damage, or none at all |

mod cases;
mod crashes;
mod damages;
mod past;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::super::{Halt, Keyspace, Mode};
use super::model::{State, Step, Value, keys_of};
use super::recorder::Recorder;
use super::runner::{DATABASES, Runner, START, open, options};
use crate::store::disk::{Disk, SimDisk, sim::Survival};
use crate::store::manifest::{MANIFEST_FILE, ManifestError};
use crate::store::salvage::{Lost, Repaired, plan, repair};
use crate::store::{Fsync, OpenError};

type Key = (u32, String);

/// A disk that was left in good order, and what is on it.
struct Written {
    disk: SimDisk,
    keys: Vec<Key>,
    state: BTreeMap<Key, Value>,
    now: u64,
}

/// Segments of the log and of compactions, with all that a record can say.
fn written() -> Written {
    use Step::*;
    let disk = SimDisk::new();
    let recorder = Recorder::new(disk.clone(), None);
    let first = vec![State::default()];
    let mut runner = Runner::new(Arc::new(disk.clone()), options(Fsync::Everysec), first, START).unwrap();
    let mut steps = vec![Set(0, "old", 300), Set(0, "a", 900), Set(0, "b", 900), Set(0, "a", 700), Set(0, "gone", 600)];
    steps.extend([
        Set(0, "q", 700),
        SetEx(0, "x", 200, 500),
        Set(1, "m", 400),
        Set(1, "n", 300),
        Set(0, "q", 800),
        Tick,
    ]);
    steps.extend([
        Together(vec![Set(0, "c", 400), Set(0, "d", 400), Delete(0, "b")]),
        Set(0, "e", 20),
        Sync,
        Pass(300),
    ]);
    steps.extend([Delete(0, "gone"), Move(1, "m", 2), Set(0, "a", 500), Set(0, "e", 600), Tick, Compact, Pass(300)]);
    steps.extend([Set(0, "a", 1_200), Delete(0, "c"), SetEx(0, "f", 10, 1_000_000), Expire(0, "d", Some(9_000_000))]);
    steps.extend([Together(vec![Set(0, "g", 900), Flush(1), Set(1, "a", 900)]), Move(1, "a", 2), Set(1, "k", 600)]);
    steps.push(Together(vec![Move(1, "k", 0), Set(0, "l", 30), Move(0, "l", 2)]));
    steps.extend([Set(0, "e", 700), ExpireDue, Swap(0, 1), Tick, Set(1, "a", 500), Set(1, "b", 500), Pass(200)]);
    steps.extend([
        Set(0, "h", 10),
        Delete(0, "h"),
        Set(1, "g", 600),
        Move(2, "a", 0),
        Set(1, "z", 900),
        Set(1, "y", 900),
    ]);
    runner.run(&steps, &recorder).unwrap_or_else(|failed| panic!("{failed}"));
    let now = runner.now();
    let state = runner.history.last().unwrap().visible(now);
    runner.keyspace().store().close().unwrap();
    Written { disk, keys: keys_of(&steps, DATABASES), state, now }
}

/// What a key is found to be.
#[derive(Clone, PartialEq, Eq)]
enum Found {
    Value(Value),
    Absent,
    Unreadable,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value((bytes, expiry)) => {
                // The beginning of a value tells the step that it is of.
                let beginning = String::from_utf8_lossy(&bytes[..bytes.len().min(8)]);
                write!(f, "{} bytes {beginning}, expiry {expiry:?}", bytes.len())
            }
            Self::Absent => f.write_str("absent"),
            Self::Unreadable => f.write_str("unreadable"),
        }
    }
}

fn ask(keyspace: &Keyspace, (database, key): &Key, at: &str) -> Found {
    let mut access = keyspace.access_one(*database, key.as_bytes(), Mode::Shared, keyspace.now(), false);
    access.may_block = true;
    match access.value(key.as_bytes()) {
        Ok(None) => Found::Absent,
        Ok(Some(value)) => Found::Value((value.bytes.to_vec(), value.expiry)),
        Err(Halt::Damaged) => Found::Unreadable,
        Err(other) => panic!("{at}: {key}: {other:?}"),
    }
}

/// All of a disk as it is, durable, apart from it.
fn copy(disk: &SimDisk) -> SimDisk {
    disk.survivors(Survival::Written)
}

/// The files of a directory.
fn files(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    disk.list().unwrap().into_iter().filter_map(|name| Some((name.clone(), disk.bytes(&name)?))).collect()
}

fn remove(disk: &SimDisk, name: &str) -> SimDisk {
    disk.remove(name).unwrap();
    copy(disk)
}

impl Written {
    fn open(&self, disk: &SimDisk) -> Result<Keyspace, OpenError> {
        open(Arc::new(disk.clone()), self.now, options(Fsync::Everysec))
    }

    /// Repairs a disk; what was planned is what was done.
    fn repair(&self, disk: &SimDisk, at: &str) -> Repaired {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let (before, names) = (files(disk), disk.list().unwrap());
        let planned = plan(&shared, &mut |_, _| {}).unwrap_or_else(|error| panic!("{at}: {error}")).expect("a store");
        assert!(files(disk) == before && disk.list().unwrap() == names, "{at}: a plan changes nothing");
        let repaired = repair(&shared, self.now, 1, &mut |_, _| {});
        let repaired = repaired.unwrap_or_else(|error| panic!("{at}: {error}")).expect("a store");
        assert_eq!(repaired.steps, planned, "{at}");
        if planned.is_empty() {
            assert!(files(disk) == before, "{at}: there was nothing to be done");
        }
        repaired
    }

    /// Looks whether a repaired disk is in order, and all that was not told to be lost is there.
    fn expect_repaired(&self, disk: &SimDisk, repaired: &Repaired, at: &str) {
        let damage: Vec<_> = repaired.checked.findings.iter().filter(|finding| finding.cost.is_damage()).collect();
        assert!(damage.is_empty() && repaired.checked.opens, "{at}: {damage:?}");
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        assert_eq!(plan(&shared, &mut |_, _| {}).unwrap().unwrap(), [], "{at}: repaired, and yet not");
        let lost = names(repaired);
        self.expect_values(disk, &lost, at);
        assert!(lost.iter().all(|key| self.state.contains_key(key)), "{at}: {lost:?} were not all there");
    }

    /// Looks whether all is there but what is lost; also after something was written, and a restart.
    fn expect_values(&self, disk: &SimDisk, lost: &BTreeSet<Key>, at: &str) {
        let keyspace = self.open(disk).unwrap_or_else(|error| panic!("{at}: {error}"));
        for key in &self.keys {
            let found = ask(&keyspace, key, at);
            match self.state.get(key) {
                Some(_) if lost.contains(key) => assert_eq!(found, Found::Absent, "{at}: {key:?} is lost"),
                Some(value) => assert_eq!(found, Found::Value(value.clone()), "{at}: {key:?}"),
                None => assert_eq!(found, Found::Absent, "{at}: {key:?} was not there"),
            }
        }
        let count: usize = (0..keyspace.databases()).map(|database| keyspace.size(database).keys).sum();
        assert_eq!(count, self.state.len() - lost.len(), "{at}");
        let mut access = keyspace.access_one(0, b"after", Mode::Exclusive, keyspace.now(), false);
        access.put(b"after", 0, b"all", None).unwrap();
        access.commit().unwrap();
        keyspace.store().close().unwrap();
        drop(keyspace);
        let again = self.open(disk).unwrap_or_else(|error| panic!("{at}, again: {error}"));
        assert_eq!(ask(&again, &(0, "after".to_owned()), at), Found::Value((b"all".to_vec(), None)), "{at}");
        for (key, value) in self.state.iter().filter(|(key, _)| !lost.contains(key)) {
            assert_eq!(ask(&again, key, at), Found::Value(value.clone()), "{at}, again: {key:?}");
        }
    }

    /// Every file that there was is there still, under some name or in a directory of what was set aside; but for the sound
    /// manifest, which says something else now.
    fn expect_all_kept(&self, before: &SimDisk, after: &SimDisk, at: &str) {
        let (now, sound) = (files(after), self.disk.bytes(MANIFEST_FILE).unwrap());
        for (name, bytes) in begun(before).into_iter().filter(|(_, bytes)| *bytes != sound) {
            let aside = || (1..9).filter_map(|number| after.bytes(&format!("set-aside-{number}/{name}")));
            let is_kept = now.values().any(|now| *now == bytes) || aside().any(|aside| aside == bytes);
            assert!(is_kept, "{at}: {name} is nowhere");
        }
    }

    /// The keys that answer an error on a damaged disk; none where it does not open.
    fn unreadable(&self, disk: &SimDisk) -> Option<BTreeSet<Key>> {
        let keyspace = self.open(disk).ok()?;
        let is_unreadable = |key: &&Key| ask(&keyspace, key, "before") == Found::Unreadable;
        Some(self.keys.iter().filter(is_unreadable).cloned().collect())
    }

    /// Looks at a disk on which a repair was broken off: it does not open, if it did not before, or a file has no name just
    /// then; or nothing is wrong but what is lost, or what was unreadable before.
    fn expect_nothing_wrong(&self, disk: &SimDisk, lost: &BTreeSet<Key>, before: Option<&BTreeSet<Key>>, at: &str) {
        let keyspace = match self.open(disk) {
            Ok(keyspace) => keyspace,
            Err(OpenError::Manifest(ManifestError::SegmentMissing { .. } | ManifestError::Renaming { .. })) => return,
            Err(_) if before.is_none() => return,
            Err(error) => panic!("{at}: it opened before, and now: {error}"),
        };
        for key in &self.keys {
            let found = ask(&keyspace, key, at);
            match self.state.get(key) {
                Some(_) if found == Found::Unreadable && before.is_some_and(|before| before.contains(key)) => {}
                Some(_) if lost.contains(key) => assert!(!matches!(found, Found::Value(_)), "{at}: {key:?}: {found:?}"),
                Some(value) => assert_eq!(found, Found::Value(value.clone()), "{at}: {key:?}"),
                None => assert_eq!(found, Found::Absent, "{at}: {key:?} was not there"),
            }
        }
    }
}

/// The keys that were lost.
fn names(repaired: &Repaired) -> BTreeSet<Key> {
    repaired.lost.iter().map(named).collect()
}

fn named(lost: &Lost) -> Key {
    (lost.database, String::from_utf8(lost.key.clone()).unwrap())
}

/// A single damage.
#[derive(Clone, Debug)]
enum Damage {
    Flip(String, usize, u8),
    /// A sector of 512 bytes becomes these.
    Sector(String, usize, u8),
    Cut(String, usize),
    Missing(String),
    Swapped(String, String),
    /// The first is a copy of the second.
    Replaced(String, String),
}

impl Damage {
    fn random(files: &[(String, Vec<u8>)], random: &mut fastrand::Rng) -> Self {
        let (name, bytes) = files[random.usize(..files.len())].clone();
        let other = files[random.usize(..files.len())].0.clone();
        match random.u8(..8) {
            0..=2 => Self::Flip(name, random.usize(..bytes.len()), random.u8(..8)),
            3 => Self::Sector(name, random.usize(..bytes.len().div_ceil(512)) * 512, [0, 0xff][random.usize(..2)]),
            4 => Self::Cut(name, random.usize(..bytes.len())),
            5 => Self::Missing(name),
            6 if other != name => Self::Swapped(name, other),
            7 if other != name => Self::Replaced(name, other),
            _ => Self::Flip(name, random.usize(..bytes.len()), random.u8(..8)),
        }
    }

    fn done_to(&self, disk: &SimDisk) -> SimDisk {
        let disk = copy(disk);
        let bytes = |name: &str| disk.bytes(name).unwrap();
        match self {
            Self::Flip(name, at, bit) => {
                let mut bytes = bytes(name);
                bytes[*at] ^= 1 << bit;
                disk.plant(name, &bytes);
            }
            Self::Sector(name, at, byte) => {
                let mut bytes = bytes(name);
                let end = bytes.len().min(at + 512);
                bytes[*at..end].fill(*byte);
                disk.plant(name, &bytes);
            }
            Self::Cut(name, length) => disk.plant(name, &bytes(name)[..*length]),
            Self::Missing(name) => return remove(&disk, name),
            Self::Swapped(one, other) => {
                let (of_one, of_other) = (bytes(one), bytes(other));
                disk.plant(one, &of_other);
                disk.plant(other, &of_one);
            }
            Self::Replaced(one, other) => disk.plant(one, &bytes(other)),
        }
        disk
    }
}

/// The files that have anything in them: a segment that was made ready has not.
fn begun(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    files(disk).into_iter().filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0)).collect()
}
