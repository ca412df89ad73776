//! What was in memory is there again after a restart: the same values, used as often, as far as there is room, whatever has
//! become of them since; and no file makes anybody read another value.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use fastrand::Rng;

use super::super::entry::Entry;
use super::super::keydir::SHARDS;
use super::super::{End, Ended, Keyspace, Mode, Turn};
use super::runner::{DATABASES, START, open, options};
use crate::store::disk::sim::{At, Often};
use crate::store::disk::{Disk, SimDisk};
use crate::store::inspect::{Cost, Inspection};
use crate::store::{Fsync, HINTED_VALUE_BYTES_MAX, Options, SegmentSize};

/// Database and key, or the object and the name of one of its elements.
type Owner = (Option<u32>, u64, Vec<u8>);

/// The values in memory, and how often each was used of late.
type Hot = BTreeMap<Owner, (Vec<u8>, u8)>;

fn begin(disk: &SimDisk) -> Keyspace {
    begin_at(disk, START)
}

/// Segments are large enough for records to have neighbours.
fn begin_at(disk: &SimDisk, wall: u64) -> Keyspace {
    let options = Options { segment_size: SegmentSize::Fixed(64 << 10), ..options(Fsync::Everysec) };
    open(Arc::new(disk.clone()), wall, options).unwrap()
}

/// Another process on what the last one has left, which has had its values demoted, or not.
fn restart(keyspace: Keyspace, disk: &SimDisk) -> Keyspace {
    keyspace.store().close().unwrap();
    drop(keyspace);
    begin(disk)
}

fn recall(keyspace: &Keyspace) -> Ended {
    keyspace.recall(&mut |_| true).unwrap()
}

fn remember(keyspace: &Keyspace) {
    keyspace.settle_warmth();
    keyspace.remember(&mut || true).unwrap().expect("a file");
}

fn hot(keyspace: &Keyspace) -> Hot {
    let mut hot = Hot::new();
    let mut note = |owner: Owner, entry: &Entry| {
        if let Some(value) = entry.value().bytes() {
            hot.insert(owner, (value.to_vec(), entry.uses()));
        }
    };
    for (number, database) in keyspace.bound.databases.iter().enumerate() {
        for shard in 0..SHARDS {
            database.load().walk(shard, 0, |entry| {
                note((Some(number as u32), 0, entry.key().to_vec()), entry);
                ControlFlow::Continue(())
            });
        }
    }
    keyspace.bound.objects.each(|object, _| {
        object.each_block(|entry| {
            if entry.value().bytes().is_some_and(|value| value.len() > HINTED_VALUE_BYTES_MAX) {
                note((None, object.id, entry.key().to_vec()), entry);
            }
        });
        assert!(object.is_counted_right());
    });
    hot
}

fn put(keyspace: &Keyspace, database: u32, key: &str, value: &[u8]) {
    let mut access = keyspace.access_one(database, key.as_bytes(), Mode::Exclusive, keyspace.now(), false);
    access.put(key.as_bytes(), 0, value, None).unwrap();
}

fn get(keyspace: &Keyspace, database: u32, key: &str) -> Option<Vec<u8>> {
    let mut access = keyspace.access_one(database, key.as_bytes(), Mode::Shared, keyspace.now(), false);
    access.may_block = true;
    access.value(key.as_bytes()).unwrap().map(|value| value.bytes.to_vec())
}

fn set_fields(keyspace: &Keyspace, key: &str, fields: impl Iterator<Item = (String, Vec<u8>)>) {
    let mut access = keyspace.access_one(0, key.as_bytes(), Mode::Exclusive, keyspace.now(), false);
    let mut hash = access.edit_hash(key.as_bytes()).unwrap();
    fields.for_each(|(field, value)| _ = hash.set(field.as_bytes(), &value, None));
    hash.finish().unwrap();
}

fn push(keyspace: &Keyspace, key: &str, values: impl Iterator<Item = Vec<u8>>) {
    let mut access = keyspace.access_one(0, key.as_bytes(), Mode::Exclusive, keyspace.now(), false);
    let mut list = access.edit_list(key.as_bytes()).unwrap();
    values.for_each(|value| list.push(End::Right, &value));
    list.finish().unwrap();
}

fn value(rng: &mut Rng) -> Vec<u8> {
    let most = if rng.u8(..20) == 0 { 9_000 } else { 300 };
    (0..rng.usize(1..most)).map(|_| rng.u8(..)).collect()
}

/// Keys and elements, some of which are used more or less often, and some only on the disk.
fn filled(disk: &SimDisk, rng: &mut Rng) -> Keyspace {
    let keyspace = begin(disk);
    for number in 0..400 {
        put(&keyspace, rng.u32(..DATABASES), &format!("key {number}"), &value(rng));
    }
    for key in ["hash a", "hash b"] {
        let fields: Vec<_> = (0..rng.usize(150..400)).map(|field| (format!("field {field}"), value(rng))).collect();
        set_fields(&keyspace, key, fields.into_iter());
    }
    let values: Vec<_> = (0..300).map(|_| value(rng)).collect();
    push(&keyspace, "list", values.into_iter());
    keyspace.store().sync().unwrap();
    use_some(&keyspace, rng);
    // The hand sends some of them back, and forgets some uses.
    let share = keyspace.memory_use().values / rng.u64(2..5);
    keyspace.set_memory_limit(keyspace.memory_use().total() - share);
    keyspace.govern(0);
    keyspace.set_memory_limit(0);
    keyspace.govern(0);
    use_some(&keyspace, rng);
    keyspace
}

fn use_some(keyspace: &Keyspace, rng: &mut Rng) {
    for database in &keyspace.bound.databases {
        for shard in 0..SHARDS {
            database.load().walk(shard, 0, |entry| {
                (0..rng.u32(..4)).for_each(|_| entry.touch(1));
                ControlFlow::Continue(())
            });
        }
    }
    keyspace.bound.objects.each(|object, _| {
        object.each_block(|entry| (0..rng.u32(..4)).for_each(|_| entry.touch(1)));
    });
}

#[test]
fn what_was_in_memory_is_there_again_and_as_evictable() {
    for seed in 0..20 {
        let (disk, mut rng) = (SimDisk::new(), Rng::with_seed(seed));
        let keyspace = filled(&disk, &mut rng);
        let before = hot(&keyspace);
        let values = keyspace.memory_use().values;
        if rng.bool() {
            // As a server that ends does: what was acknowledged comes first.
            keyspace.store().close().unwrap();
        }
        remember(&keyspace);
        let file = keyspace.warmth().file;
        assert_eq!(file.values, before.len() as u64);
        let keyspace = if rng.bool() {
            restart(keyspace, &disk)
        } else {
            // A kill leaves the last file, too.
            begin_at(&disk.after_kill(), START + 5_000)
        };
        assert_eq!(hot(&keyspace), Hot::new());
        assert_eq!(recall(&keyspace), Ended::Whole);
        let after = hot(&keyspace);
        assert_eq!(after, before, "seed {seed}");
        let warmth = keyspace.warmth();
        assert_eq!((warmth.named, warmth.values), (file.values, file.values));
        assert!(warmth.is_settled && !warmth.is_running && warmth.bytes > 0);
        // Short ones of elements come from the hints, whatever the hand had done with them.
        assert!(keyspace.memory_use().values >= values);
        // They count as unused since the file was written, not since the start.
        let idle = keyspace.bound.databases[0].load();
        let slot = |key: &[u8]| keyspace.slot(key);
        for (_, _, key) in after.keys().filter(|(database, ..)| *database == Some(0)) {
            assert_eq!(idle.usage(&slot(key), key).unwrap().0, Some((START / 1000) as u32));
        }
        assert_eq!(keyspace.cold_reads(), 0);
    }
}

#[test]
fn what_has_changed_meanwhile_is_what_it_is_now() {
    for seed in 0..20 {
        let (disk, mut rng) = (SimDisk::new(), Rng::with_seed(seed));
        let keyspace = filled(&disk, &mut rng);
        let before = hot(&keyspace);
        remember(&keyspace);
        let mut keys: BTreeMap<(u32, String), Option<Vec<u8>>> = BTreeMap::new();
        for (database, _, key) in before.keys().filter(|(database, ..)| database.is_some()) {
            let (database, key) = (database.unwrap(), String::from_utf8(key.clone()).unwrap());
            let was = get(&keyspace, database, &key);
            let now = match rng.u8(..6) {
                0 => Some(value(&mut rng)),
                1 | 2 => None,
                _ => was.clone(),
            };
            if now != was {
                let mut access = keyspace.access_one(database, key.as_bytes(), Mode::Exclusive, START, false);
                match &now {
                    Some(value) => access.put(key.as_bytes(), 0, value, None).unwrap(),
                    None => _ = access.delete(key.as_bytes()).unwrap(),
                }
            }
            keys.insert((database, key), now);
        }
        set_fields(&keyspace, "hash a", (0..100).map(|field| (format!("field {field}"), vec![b'n'; 50])));
        // Everything that lives is somewhere else.
        while keyspace.compact_once(true).unwrap() {}
        let keyspace = restart(keyspace, &disk);
        assert_eq!(recall(&keyspace), Ended::Whole);
        let after = hot(&keyspace);
        for ((database, key), now) in &keys {
            let hot = after.get(&(Some(*database), 0, key.clone().into_bytes())).map(|(value, _)| value);
            assert_eq!(hot, now.as_ref(), "seed {seed}, {key}");
        }
        assert!(after.keys().all(|owner| before.contains_key(owner)), "seed {seed}");
        let elements = |hot: &Hot| hot.keys().filter(|(database, ..)| database.is_none()).count();
        assert_eq!(elements(&after), elements(&before), "seed {seed}");
        let renewed = after.values().filter(|(value, _)| value[..] == [b'n'; 50]).count();
        assert!(renewed > 10, "seed {seed}: {renewed} fields have the values they were given last");
    }
}

#[test]
fn keys_that_moved_emptied_databases_and_those_whose_time_is_over_do_no_harm() {
    let disk = SimDisk::new();
    let keyspace = begin(&disk);
    for number in 0..50 {
        (0..3).for_each(|database| put(&keyspace, database, &format!("key {number}"), &[b'0' + database as u8; 40]));
    }
    let mut access = keyspace.access_all(0, Mode::Exclusive, START, true);
    access.put(b"short-lived", 0, b"value", Some(START + 10)).unwrap();
    access.commit().unwrap();
    remember(&keyspace);
    let mut access = keyspace.access_all(0, Mode::Exclusive, START, true);
    access.delete(b"key 0").unwrap();
    access.select(1);
    assert!(access.move_to(b"key 0", 0).unwrap());
    access.swap(0, 2).unwrap();
    access.flush().unwrap();
    access.commit().unwrap();
    keyspace.store().close().unwrap();
    drop(keyspace);
    let keyspace = begin_at(&disk, START + 1_000);
    assert_eq!(recall(&keyspace), Ended::Whole);
    let values: Vec<_> = (0..3).map(|database| get(&keyspace, database, "key 0")).collect();
    assert_eq!(values, [Some(vec![b'2'; 40]), None, Some(vec![b'1'; 40])]);
    assert_eq!(get(&keyspace, 2, "short-lived"), None);
    // Their names are those of their keyspaces, whatever number of a database these have.
    let of = |database| hot(&keyspace).keys().filter(|owner| owner.0 == Some(database)).count();
    assert_eq!(([of(0), of(1)], of(2) >= 50), ([50, 0], true));
}

#[test]
fn no_file_makes_anybody_read_another_value() {
    let (disk, mut rng) = (SimDisk::new(), Rng::with_seed(3));
    let keyspace = begin(&disk);
    (0..6).for_each(|number| put(&keyspace, 0, &format!("key {number}"), &value(&mut rng)));
    set_fields(&keyspace, "hash", (0..140).map(|field| (format!("field {field}"), vec![b'v'; 20])));
    remember(&keyspace);
    let before = hot(&keyspace);
    keyspace.store().close().unwrap();
    drop(keyspace);
    let bytes = disk.bytes("hot").unwrap();
    let mut numbers = [0; 2];
    let mut look = |bytes: &[u8]| {
        let disk = disk.after_kill();
        disk.plant("hot", bytes);
        let keyspace = begin(&disk);
        assert_eq!(recall(&keyspace), Ended::Whole);
        let after = hot(&keyspace);
        numbers[usize::from(after.len() == before.len())] += 1;
        assert!(after.iter().all(|(owner, (value, _))| before.get(owner).is_some_and(|before| before.0 == *value)));
    };
    look(&bytes);
    for at in (0..bytes.len()).filter(|at| at % 3 == 0 || *at < 120) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << rng.u32(..8);
        look(&damaged);
        look(&bytes[..at]);
    }
    assert_eq!(numbers[1], 1, "all was read back of {numbers:?}");
}

#[test]
fn the_names_of_others_bring_back_nothing_but_their_own_values() {
    let disk = SimDisk::new();
    let keyspace = begin(&disk);
    (0..300).for_each(|number| put(&keyspace, 0, &format!("key {number}"), format!("value {number}").as_bytes()));
    remember(&keyspace);
    // Values whose records are damaged are as they are with any other read.
    keyspace.store().close().unwrap();
    drop(keyspace);
    let log = disk.list().unwrap().into_iter().find(|name| name.ends_with("1.log")).unwrap();
    let hint = log.replace(".log", ".hint");
    let at = disk.bytes(&log).unwrap().windows(9).position(|bytes| bytes == b"value 117").unwrap();
    assert!(disk.bytes(&hint).is_some());
    disk.flip_bit(&log, at as u64, 3);
    let keyspace = begin(&disk);
    assert_eq!(recall(&keyspace), Ended::Whole);
    assert_eq!(hot(&keyspace).len(), 299);
    let mut access = keyspace.access_one(0, b"key 117", Mode::Shared, keyspace.now(), false);
    access.may_block = true;
    assert!(access.value(b"key 117").is_err());
}

#[test]
fn with_less_room_the_hottest_come_first_and_clients_keep_what_they_have() {
    const VALUE: usize = 1_000;
    let disk = SimDisk::new();
    let keyspace = begin(&disk);
    (0..4_000).for_each(|number| put(&keyspace, 0, &format!("key {number:04}"), &[b'v'; VALUE]));
    let uses = |number: usize| (number * 7 % 4) as u8;
    for shard in 0..SHARDS {
        keyspace.bound.databases[0].load().walk(shard, 0, |entry| {
            let number: usize = String::from_utf8_lossy(&entry.key()[4..]).parse().unwrap();
            entry.forget_uses();
            (0..uses(number)).for_each(|_| entry.touch(1));
            ControlFlow::Continue(())
        });
    }
    remember(&keyspace);
    let keyspace = restart(keyspace, &disk);
    // Room for 1500 of them, and what is kept free.
    let limit = (keyspace.memory_use().bare() + 1_500 * VALUE as u64) / 30 * 31;
    keyspace.set_memory_limit(limit);
    // Before anybody has looked how much is in use, nothing is read back.
    let mut turns = Vec::new();
    let ended = keyspace.recall(&mut |turn| {
        turns.push(turn);
        turn != Turn::Crowded
    });
    assert_eq!((ended.unwrap(), turns.last(), hot(&keyspace).len()), (Ended::Full, Some(&Turn::Crowded), 0));
    keyspace.govern(0);
    // What a client asks for meanwhile stays.
    let own: Vec<String> = (0..100).map(|number| format!("key {:04}", number * 4)).collect();
    own.iter().for_each(|key| _ = get(&keyspace, 0, key));
    keyspace.govern(0);
    // Nobody looks meanwhile how much is in use.
    assert_eq!(keyspace.recall(&mut |turn| turn != Turn::Crowded).unwrap(), Ended::Full);
    let governed = keyspace.govern(0);
    assert_eq!((governed.demoted, governed.evicted), (0, 0));
    assert!(keyspace.memory_use().total() <= limit, "{} of {limit}", keyspace.memory_use().total());
    let after = hot(&keyspace);
    assert!(own.iter().all(|key| after.contains_key(&(Some(0), 0, key.clone().into_bytes()))));
    let mut counts = [0; 4];
    for (_, _, key) in after.keys().filter(|(_, _, key)| !own.iter().any(|own| own.as_bytes() == &key[..])) {
        counts[usize::from(uses(String::from_utf8_lossy(&key[4..]).parse().unwrap()))] += 1;
    }
    assert_eq!((counts[0], counts[1], counts[3]), (0, 0, 1_000), "{counts:?}");
    assert!((200..=450).contains(&counts[2]), "{counts:?}");
}

#[test]
fn one_that_is_too_large_for_the_room_keeps_nobody_out() {
    let disk = SimDisk::new();
    let keyspace = begin(&disk);
    put(&keyspace, 0, "large", &vec![b'l'; 8 << 20]);
    (0..100).for_each(|number| put(&keyspace, 0, &format!("small {number}"), &[b's'; 500]));
    remember(&keyspace);
    let keyspace = restart(keyspace, &disk);
    keyspace.set_memory_limit(4 << 20);
    keyspace.govern(0);
    assert_eq!(keyspace.recall(&mut |turn| turn != Turn::Crowded).unwrap(), Ended::Whole);
    let after = hot(&keyspace);
    assert!(after.len() == 100 && !after.contains_key(&(Some(0), 0, b"large".to_vec())));
    // With room enough, it comes as well.
    let keyspace = restart(keyspace, &disk);
    assert_eq!((recall(&keyspace), hot(&keyspace).len()), (Ended::Whole, 101));
}

#[test]
fn until_all_is_back_the_old_file_stays() {
    let disk = SimDisk::new();
    let keyspace = begin(&disk);
    (0..500).for_each(|number| put(&keyspace, 0, &format!("key {number}"), &[b'v'; 3_000]));
    remember(&keyspace);
    let file = disk.bytes("hot").unwrap();
    let keyspace = restart(keyspace, &disk);
    assert_eq!(keyspace.remember(&mut || true).unwrap(), None);
    let mut turns = 0;
    let ended = keyspace.recall(&mut |turn| {
        assert!(keyspace.warmth().is_running);
        turns += u32::from(turn == Turn::Read);
        turns < 1
    });
    let back = hot(&keyspace).len();
    assert_eq!((ended.unwrap(), keyspace.remember(&mut || true).unwrap()), (Ended::Told, None));
    assert!(back < 500 && disk.bytes("hot").unwrap() == file, "{back}");
    // Neither does one that was broken off take its place.
    keyspace.settle_warmth();
    let mut steps = 0;
    let broken_off = keyspace.remember(&mut || {
        steps += 1;
        steps < 50
    });
    assert_eq!((broken_off.unwrap(), disk.bytes("hot").unwrap() == file), (None, true));
    assert!(!disk.list().unwrap().iter().any(|name| name == "hot.tmp"));
    let written = keyspace.remember(&mut || true).unwrap().unwrap();
    assert_eq!(written.values, back as u64);
}

#[test]
fn a_disk_that_fails_ends_the_reading_and_nothing_else() {
    let disk = SimDisk::new();
    let keyspace = begin(&disk);
    (0..200).for_each(|number| put(&keyspace, 0, &format!("key {number}"), &[b'v'; 3_000]));
    remember(&keyspace);
    let keyspace = restart(keyspace, &disk);
    disk.fail(At::Read(disk.reads() + 8), std::io::ErrorKind::Other, Often::Once);
    assert!(keyspace.recall(&mut |_| true).is_err());
    disk.heal();
    let warmth = keyspace.warmth();
    assert!(warmth.is_settled && (1..200).contains(&warmth.values), "{warmth:?}");
    (0..200).for_each(|number| assert_eq!(get(&keyspace, 0, &format!("key {number}")), Some(vec![b'v'; 3_000])));
    // On a disk that is nearly full, nothing is written that is not needed.
    disk.set_capacity(Some(disk.used()));
    put(&keyspace, 0, "one more", &[b'v'; 3_000]);
    assert!(matches!(keyspace.remember(&mut || true), Ok(None) | Err(_)));
    assert!(!disk.list().unwrap().iter().any(|name| name == "hot.tmp"));
}

#[test]
fn a_check_knows_the_file_a_backup_leaves_it_out_and_a_start_clears_away_what_is_half_written() {
    let disk = SimDisk::new();
    let keyspace = begin(&disk);
    (0..50).for_each(|number| put(&keyspace, 0, &format!("key {number}"), b"value"));
    remember(&keyspace);
    keyspace.store().backup("copy").unwrap();
    let copied = disk.directory("backups").unwrap().directory("copy").unwrap().list().unwrap();
    assert!(copied.iter().any(|name| name.ends_with(".log")) && !copied.iter().any(|name| name.starts_with("hot")));
    keyspace.store().close().unwrap();
    drop(keyspace);
    let check = || {
        let inspection = Inspection::open(Arc::new(disk.clone())).unwrap().unwrap();
        let checked = inspection.check(1, &mut |_, _| {}).unwrap();
        assert!(checked.opens);
        checked.findings.into_iter().map(|finding| (finding.file, finding.cost)).collect::<Vec<_>>()
    };
    assert_eq!(check(), []);
    disk.flip_bit("hot", 80, 1);
    disk.plant("hot.tmp", b"CASKHOT");
    assert_eq!(check(), [("hot".to_owned(), Cost::Nothing), ("hot.tmp".to_owned(), Cost::Nothing)]);
    let keyspace = begin(&disk);
    assert!(disk.bytes("hot").is_some() && disk.bytes("hot.tmp").is_none());
    assert_eq!((recall(&keyspace), hot(&keyspace).len()), (Ended::Whole, 0));
}
