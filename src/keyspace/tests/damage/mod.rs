//! Bytes that change on the medium, and files that are cut, exchanged, stale or gone: at worst a key answers an error, or
//! the keyspace does not open and says which file it is; no key ever has a wrong or an older value.

mod written;

use std::sync::Arc;

use fastrand::Rng;

use self::written::{Tally, directories, disk_of, plain, used};
use super::super::{Halt, Mode};
use super::model::Step::*;
use super::number;
use super::runner::{START, open, options};
use crate::store::Fsync;

const SECTOR: usize = 512;

#[test]
fn a_flipped_bit_costs_at_most_its_record() {
    let mut flips = 0;
    for written in directories() {
        let mut tally = Tally::default();
        for (name, bytes) in written.files() {
            // The rest was allocated and never used.
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            for at in (0..used).step_by(11) {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << (at / 11 % 8);
                let disk = written.with(&[(&name, &changed)]);
                written.look(&disk, &[&name], &mut tally, &|| format!("{name}, byte {at}"));
            }
        }
        println!("{}: {tally:?}", written.name);
        assert_eq!(tally.damaged_max, 1, "{tally:?}");
        assert!(tally.damaged > 200 && tally.whole > 200, "{tally:?}");
        flips += tally.all();
    }
    println!("{flips} flipped bits");
    assert!(flips >= 5_000, "{flips} flips are too few");
}

/// Sectors that are lost, and such that were written where others belong.
#[test]
fn a_sector_that_is_not_what_was_written_brings_nothing_back() {
    let mut sectors = 0;
    for written in directories() {
        let (mut tally, files) = (Tally::default(), written.files());
        for (index, (name, bytes)) in files.iter().enumerate() {
            let other = &files[(index + 1) % files.len()].1;
            for start in (0..bytes.len()).step_by(SECTOR) {
                let next = (start + SECTOR) % bytes.len();
                let foreign = [&[0; SECTOR][..], &[0xff; SECTOR], &bytes[next..], other.get(start..).unwrap_or(&[])];
                for (kind, foreign) in foreign.into_iter().enumerate() {
                    let (mut changed, length) = (bytes.clone(), foreign.len().min(SECTOR).min(bytes.len() - start));
                    changed[start..start + length].copy_from_slice(&foreign[..length]);
                    let disk = written.with(&[(name, &changed)]);
                    written.look(&disk, &[name], &mut tally, &|| format!("{name}, sector at {start}, kind {kind}"));
                }
            }
        }
        println!("{}: {tally:?}", written.name);
        assert!(tally.refused > 0 && tally.damaged > 0 && tally.damaged_max < 6, "{tally:?}");
        sectors += tally.all();
    }
    println!("{sectors} sectors");
    assert!(sectors >= 800, "{sectors} sectors are too few");
}

#[test]
fn a_file_that_is_cut_is_never_taken_for_the_whole() {
    let mut cuts = 0;
    for written in directories() {
        let (mut tally, mut needless) = (Tally::default(), Tally::default());
        for (name, bytes) in written.files() {
            // What a hint says the segment says as well; and one was made in advance.
            let is_needed = !name.ends_with(".hint") && bytes.iter().any(|byte| *byte != 0);
            let tally = if is_needed { &mut tally } else { &mut needless };
            for length in (0..bytes.len()).step_by(53) {
                let disk = written.with(&[(&name, &bytes[..length])]);
                written.look(&disk, &[&name], tally, &|| format!("{name} cut to {length}"));
            }
        }
        println!("{}: {tally:?}, of what is not needed {needless:?}", written.name);
        assert_eq!(needless.whole, needless.all(), "{needless:?}");
        if written.is_closed() {
            assert_eq!(tally.refused, tally.all(), "{tally:?}");
        }
        cuts += tally.all() + needless.all();
    }
    println!("{cuts} cuts");
    assert!(cuts >= 1_000, "{cuts} cuts are too few");
}

#[test]
fn files_that_are_gone_or_exchanged_are_noticed() {
    // Of hints alone, of others that are gone, and of others that are not what they were.
    let [mut hints, mut gone, mut changed] = [Tally::default(); 3];
    for written in directories() {
        let files = written.files();
        for (name, own) in &files {
            let is_hint = |name: &str| name.ends_with(".hint");
            let tally = if is_hint(name) { &mut hints } else { &mut gone };
            written.look(&written.without(&[name]), &[name], tally, &|| format!("{name} removed"));
            for (other, bytes) in files.iter().filter(|(other, _)| other != name) {
                let disk = written.with(&[(name, bytes)]);
                let tally = if is_hint(name) { &mut hints } else { &mut changed };
                written.look(&disk, &[name], tally, &|| format!("{name} replaced by {other}"));
                let disk = written.with(&[(name, bytes), (other, own)]);
                let tally = if is_hint(name) && is_hint(other) { &mut hints } else { &mut changed };
                written.look(&disk, &[name, other], tally, &|| format!("{name} and {other} exchanged"));
                let tally = if is_hint(name) && is_hint(other) { &mut hints } else { &mut gone };
                let disk = written.without(&[name, other]);
                written.look(&disk, &[name, other], tally, &|| format!("{name} and {other} removed"));
            }
            // A copy under a name that is not listed is nobody's.
            for copy in ["0000000099.log", "0000000099.hint", "0000000001.hint.tmp", "MANIFEST.tmp"] {
                let disk = written.with(&[(copy, own)]);
                written.look(&disk, &[], &mut hints, &|| format!("{name} also as {copy}"));
            }
            // What stands behind its end is not read.
            if name.ends_with(".log") && written.is_closed() {
                let disk = written.with(&[(name, &own.repeat(2))]);
                written.look(&disk, &[], &mut hints, &|| format!("{name} doubled"));
            }
        }
    }
    println!("did no harm {hints:?}, gone {gone:?}, changed {changed:?}");
    assert_eq!((hints.whole, gone.refused), (hints.all(), gone.all()));
    assert!(hints.all() > 400 && gone.all() > 300 && changed.refused > 300, "{hints:?}, {gone:?}, {changed:?}");
}

/// From a directory that has gone two ways, as one restored from a backup has, files of the one way in the other; and from
/// the time before, files that have been compacted away.
#[test]
fn files_of_another_time_are_never_trusted() {
    let (mut stale, mut foreign) = (Tally::default(), Tally::default());
    for before in directories() {
        let way = |first: &'static str| {
            let mut steps = vec![Set(0, first, 700), Delete(1, "keep"), Set(1, "x", 900), Tick, Set(0, "w", 1_800)];
            steps.extend([Set(0, "w", 1_700), SetEx(0, "late", 50, 90_000), Tick, Compact, Set(0, first, 600)]);
            before.continued(&steps)
        };
        let (one, other) = (way("a"), way("b"));
        for (name, bytes) in before.files().into_iter().chain(other.files()) {
            let own = one.disk.bytes(&name);
            if own.as_ref() == Some(&bytes) {
                continue;
            }
            let disk = one.with(&[(&name, &bytes)]);
            if own.is_none() || name.ends_with(".hint") {
                one.look(&disk, &[], &mut stale, &|| format!("{}: {name} of another time", before.name));
            } else if name.ends_with(".log") {
                one.look(&disk, &[&name], &mut foreign, &|| format!("{}: {name} of another way", before.name));
            }
        }
    }
    println!("stale {stale:?}, foreign {foreign:?}");
    assert_eq!(stale.whole, stale.all());
    assert!(stale.all() > 40 && foreign.refused > 10, "stale {stale:?}, foreign {foreign:?}");
}

/// Several of all this at once, where all that was written was said to be durable.
#[test]
fn many_damages_at_once_bring_nothing_back() {
    let (cases, mut tally) = (number("CASKADE_DAMAGE_CASES", 1_000), Tally::default());
    let directories = [plain(true), used(true)];
    for case in 0..cases {
        let (written, mut random) = (&directories[case as usize % 2], Rng::with_seed(case));
        let (mut files, mut damaged) = (written.files(), Vec::new());
        for _ in 0..random.usize(2..5) {
            damaged.extend(damage(&mut files, &mut random));
        }
        let damaged: Vec<&str> = damaged.iter().map(String::as_str).collect();
        written.look(&disk_of(&files), &damaged, &mut tally, &|| format!("case {case}: {damaged:?}"));
    }
    println!("{cases} cases of several damages: {tally:?}");
    assert!(tally.refused > 200 && tally.damaged > 100 && tally.whole > 100, "{tally:?}");
}

/// Damages one file or two; returns their names.
fn damage(files: &mut Vec<(String, Vec<u8>)>, random: &mut Rng) -> Vec<String> {
    let (index, other) = (random.usize(0..files.len()), random.usize(0..files.len()));
    let (name, second) = (files[index].0.clone(), files[other].0.clone());
    let copied = files[other].1.clone();
    let bytes = &mut files[index].1;
    let at = random.usize(0..bytes.len().max(1));
    let sector = at / SECTOR * SECTOR..bytes.len().min(at / SECTOR * SECTOR + SECTOR);
    match random.u32(0..20) {
        0..8 if !bytes.is_empty() => bytes[at] ^= 1 << random.u32(0..8),
        8..12 => bytes[sector].fill(if random.bool() { 0 } else { 0xff }),
        12..15 if copied.len() > sector.end => bytes[sector.clone()].copy_from_slice(&copied[sector]),
        15 => bytes.truncate(at),
        16 => _ = files.remove(index),
        17 => *bytes = copied,
        18 => {
            let own = std::mem::replace(bytes, copied);
            files[other].1 = own;
            return vec![name, second];
        }
        _ => bytes.extend_from_slice(&copied),
    }
    vec![name]
}

#[test]
fn a_running_keyspace_answers_an_error_too_and_a_new_value_heals_it() {
    let written = plain(true);
    let keyspace = open(Arc::new(written.disk.clone()), START, options(Fsync::Everysec)).unwrap();
    let value = written.history.last().unwrap().keys[&(0, "b".to_owned())].0.clone();
    let (name, at) =
        written.files().into_iter().find_map(|(name, bytes)| position(&bytes, &value).map(|at| (name, at))).unwrap();
    written.disk.flip_bit(&name, at as u64 + 9, 3);
    let found = written.ask(&keyspace);
    let damaged: Vec<_> = found.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.1.as_str()).collect();
    assert_eq!(damaged, ["b"]);
    let mut access = keyspace.access_one(0, b"b", Mode::Exclusive, keyspace.now(), false);
    access.put(b"b", 0, b"new", None).unwrap();
    let wait = access.commit().unwrap().0;
    keyspace.store().wait_acknowledged(wait).unwrap();
    keyspace.store().close().unwrap();
    drop(keyspace);
    let keyspace = open(Arc::new(written.disk.clone()), START, options(Fsync::Everysec)).unwrap();
    let found = written.ask(&keyspace);
    assert_eq!(found[&(0, "b".to_owned())], Some((b"new".to_vec(), None)));
    assert!(found.values().all(Option::is_some));
}

#[test]
fn a_damaged_value_stays_damaged_wherever_it_is_moved() {
    let written = plain(true);
    // Moved before, inside a transaction.
    let value = written.history.last().unwrap().keys[&(0, "k".to_owned())].0.clone();
    let (name, bytes) = written.files().into_iter().find(|(_, bytes)| position(bytes, &value).is_some()).unwrap();
    written.disk.flip_bit(&name, position(&bytes, &value).unwrap() as u64 + 9, 3);
    let (damaged, gone) = ((0, "k".to_owned()), (1, "k".to_owned()));
    let keyspace = open(Arc::new(written.disk.clone()), START, options(Fsync::Everysec)).unwrap();
    let found = written.ask(&keyspace);
    assert_eq!((found.get(&damaged), found.get(&gone)), (Some(&None), None));
    for (from, to, together) in [(0, 1, false), (1, 2, true), (2, 1, false)] {
        let mut access = keyspace.access_one(from, b"k", Mode::Exclusive, keyspace.now(), together);
        assert!(access.move_to(b"k", to).unwrap());
        access.select(to);
        assert!(matches!(access.value(b"k"), Err(Halt::Damaged)), "{from} to {to}");
        let wait = access.commit().unwrap().0;
        keyspace.store().wait_acknowledged(wait).unwrap();
    }
    for keyspace in [keyspace, open(Arc::new(written.disk.after_kill()), START, options(Fsync::Everysec)).unwrap()] {
        let found = written.ask(&keyspace);
        assert_eq!((found.get(&damaged), found.get(&gone)), (None, Some(&None)));
        assert_eq!(found.values().filter(|value| value.is_none()).count(), 1);
    }
}

fn position(bytes: &[u8], value: &[u8]) -> Option<usize> {
    bytes.windows(value.len()).position(|part| part == value)
}
