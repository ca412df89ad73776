//! What must hold for whoever opens a disk, whatever stands on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Halt, Keyspace, Mode};
use crate::store::clock::TestClock;
use crate::store::disk::{Disk, SimDisk};
use crate::store::inspect::{Checked, Inspection};
use crate::store::{OpenError, Options, SegmentSize};

/// What the machine's clock shows, in milliseconds since the Unix epoch.
const WALL: u64 = 1_700_000_000_000;
const DATABASES: u32 = 3;

/// The keys of each database with their values, kinds and expiries; a key alone where it answers an error.
pub(crate) type Found = BTreeMap<(u32, Vec<u8>), Option<(Vec<u8>, u8, Option<u64>)>>;

/// Opens what is there, works with it, closes it and opens it again: what was found once is found again, with what was
/// changed meanwhile. `caskade check` says beforehand whether it opens; what it finds sound is the same after a
/// compaction, too. None where it does not open: then nothing on the disk was changed.
///
/// A hint that lies with sound checksums is believed, until something of it is found to be damaged: unless
/// `has_no_hints`, only what is sound is found again.
pub(crate) fn live_on(disk: &SimDisk, has_no_hints: bool) -> Option<Found> {
    let (checked, before) = (check(disk), files(disk));
    let keyspace = match open(disk) {
        Ok(keyspace) => keyspace,
        Err(error) => {
            assert!(files(disk) == before, "refused ({error}), and yet the disk was changed");
            assert!(checked.is_none_or(|checked| !checked.opens), "a check said that it opens: {error}");
            return None;
        }
    };
    let checked = checked.expect("it opens, and yet it could not be checked");
    assert!(checked.opens, "it opens: {:?}", checked.findings);
    let is_sound = !checked.findings.iter().any(|finding| finding.cost.is_damage());
    let found = keys_of(&keyspace);
    assert!(!is_sound || found.values().all(Option::is_some), "a check has not found what is damaged: {found:?}");
    let changed = change(&keyspace, &found);
    assert_same(&keys_of(&keyspace), &changed, "after the changes");
    let keyspace = open_again(disk, keyspace);
    if has_no_hints || is_sound {
        assert_same(&keys_of(&keyspace), &changed, "opened again");
    }
    let compacted = keyspace.compact_once(true);
    if is_sound {
        assert!(compacted.is_ok(), "{compacted:?}");
        assert_same(&keys_of(&keyspace), &changed, "compacted");
        assert_same(&keys_of(&open_again(disk, keyspace)), &changed, "opened again after a compaction");
    }
    Some(found)
}

/// What `caskade check` says; none where it cannot tell anything.
pub(crate) fn check(disk: &SimDisk) -> Option<Checked> {
    let inspection = Inspection::open(Arc::new(disk.clone())).ok().flatten()?;
    inspection.check(1, &mut |_, _| {}).ok()
}

fn open(disk: &SimDisk) -> Result<Keyspace, OpenError> {
    let clock = Arc::new(TestClock::new(WALL));
    let options = Options { segment_size: SegmentSize::Fixed(4096), load_threads: 1, ..Options::default() };
    let opened = Keyspace::open(Arc::new(disk.clone()), clock, options, DATABASES, &mut |_, _| {});
    let (keyspace, _) = opened?;
    // What was in memory is again; whatever says so, no key has another value by it.
    keyspace.recall(&mut |_| true).expect("this disk does not fail");
    Ok(keyspace)
}

fn open_again(disk: &SimDisk, keyspace: Keyspace) -> Keyspace {
    keyspace.store().close().unwrap_or_else(|failed| panic!("{failed}"));
    drop(keyspace);
    open(disk).unwrap_or_else(|error| panic!("what was open a moment ago does not open: {error}"))
}

fn files(disk: &SimDisk) -> Vec<(String, Option<Vec<u8>>)> {
    let mut names = disk.list().expect("this disk does not fail");
    names.sort_unstable();
    names.into_iter().map(|name| (disk.bytes(&name), name)).map(|(bytes, name)| (name, bytes)).collect()
}

/// What a value is told by that stands in the records of its elements, before the id of the object.
const OBJECT: &[u8] = b"an object with the id ";

/// Whether a value that was found stands in the records of its elements, and in none of its own.
pub(crate) fn is_object(value: &[u8]) -> bool {
    value.starts_with(OBJECT)
}

fn keys_of(keyspace: &Keyspace) -> Found {
    let (mut found, now) = (Found::new(), keyspace.now());
    for database in (0..keyspace.databases()).filter(|database| keyspace.size(*database).keys > 0) {
        let mut access = keyspace.access_all(database, Mode::Exclusive, now, false);
        access.may_block = true;
        let mut keys = Vec::new();
        access.each_key(|key, _| keys.push(key.to_vec()));
        for key in keys {
            let value = match access.value(&key) {
                Ok(Some(value)) => {
                    let bytes =
                        value.object.map_or_else(|| value.bytes.to_vec(), |id| [OBJECT, &id.to_le_bytes()].concat());
                    Some((bytes, value.kind, value.expiry))
                }
                // Its time was over.
                Ok(None) => continue,
                Err(Halt::Damaged) => None,
                Err(halt) => panic!("{}: {halt:?}", key.escape_ascii()),
            };
            assert!(found.insert((database, key), value).is_none(), "a key was visited twice");
        }
    }
    found
}

/// Sets, deletes and moves keys, and empties a database. Returns what has to be found now: what the log takes no more
/// is not done.
fn change(keyspace: &Keyspace, found: &Found) -> Found {
    let (mut wanted, now) = (found.clone(), keyspace.now());
    let mut access = keyspace.access_all(0, Mode::Exclusive, now, false);
    let first = wanted.keys().next().filter(|(database, _)| *database == 0).map(|(_, key)| key.clone());
    if let Some(key) = first
        && access.delete(&key).is_ok()
    {
        wanted.remove(&(0, key));
    }
    if access.put(b"changed", 16, b"by a fuzz target", None).is_ok() {
        wanted.insert((0, b"changed".to_vec()), Some((b"by a fuzz target".to_vec(), 16, None)));
    }
    access.commit().expect("nothing is left to do");
    let mut access = keyspace.access_all(0, Mode::Exclusive, now, true);
    let moved = access.move_to(b"changed", 2).expect("it is only noted");
    access.select(1);
    access.flush().expect("it is only noted");
    if access.commit().is_ok() {
        wanted.retain(|(database, _), _| *database != 1);
        if moved && let Some(value) = wanted.remove(&(0, b"changed".to_vec())) {
            wanted.insert((2, b"changed".to_vec()), value);
        }
    }
    wanted
}

fn assert_same(found: &Found, wanted: &Found, when: &str) {
    assert!(found == wanted, "{when}:\n{found:?}\ninstead of\n{wanted:?}");
}
