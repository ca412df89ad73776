//! What is told and saved of elements whose segments are damaged.

use super::*;
use crate::store::inspect::{Cost, KeyOf};
use crate::store::manifest::hint_file_name;
use crate::store::salvage::{Lost, Step, repair};

const LONG: &[u8] = b"a value that no hint has";

/// Where the newest values of the element `short` and the element `long` of the key `key` are, each of which has an older one
/// elsewhere; closed.
fn written() -> (SimDisk, Location, Location) {
    let all = Collections::new();
    all.root(b"old", 7);
    all.set(7, b"short", b"older", None);
    all.set(7, b"long", &[b'o'; 100], None);
    all.fill("stays", true);
    let short = all.set(7, b"short", &1.5f64.to_le_bytes(), None);
    let long = all.set(7, b"long", LONG, Some(START + 1_000_000));
    all.set(7, b"sound", b"a value that is sound", None);
    all.rename(b"old", b"key");
    // What nothing names any more is not lost.
    all.root(b"dead", 8);
    let dead = all.set(8, b"long", LONG, None);
    all.delete(b"dead");
    assert_eq!((short.segment, dead.segment), (long.segment, long.segment));
    all.store.close().unwrap();
    let disk = all.disk.after_kill();
    flip(&disk, dead, dead.length - 1);
    (disk, short, long)
}

fn flip(disk: &SimDisk, at: Location, byte: u32) {
    disk.flip_bit(&segment_file_name(at.segment), u64::from(at.offset + byte), 3);
}

/// Repairs, and tells which elements are there afterwards, which are named as lost, and what was done.
fn repaired(disk: &SimDisk) -> (BTreeMap<Name, Vec<u8>>, Vec<Lost>, Vec<Step>) {
    let repairing: Arc<dyn Disk> = Arc::new(disk.clone());
    let repaired = repair(&repairing, START, 1, &mut |_, _| {}).unwrap().unwrap();
    assert!(repaired.checked.opens && repaired.checked.findings.iter().all(|finding| finding.cost == Cost::Nothing));
    let all = Collections::open(&disk.after_kill(), START).unwrap();
    all.agrees();
    assert_eq!(all.ops(b"long")[0], Op::SetElement, "the older one");
    (all.values(), repaired.lost, repaired.steps)
}

fn lost(name: &[u8]) -> Lost {
    Lost { database: 0, key: b"key".to_vec(), element: Some(name.to_vec()) }
}

fn values(with_short: bool) -> BTreeMap<Name, Vec<u8>> {
    let sound = ((7, b"sound".to_vec()), b"a value that is sound".to_vec());
    let short = with_short.then(|| ((7, b"short".to_vec()), 1.5f64.to_le_bytes().to_vec()));
    std::iter::once(sound).chain(short).collect()
}

#[test]
fn a_lost_element_is_a_removal_and_a_short_one_is_saved_by_the_hint() {
    for (with_hint, in_header) in [(true, false), (true, true), (false, false)] {
        let (disk, short, long) = written();
        // The value, or the length that the header says.
        flip(&disk, short, if in_header { 4 } else { short.length - 1 });
        flip(&disk, long, if in_header { 4 } else { long.length - 1 });
        if !with_hint {
            disk.remove(&hint_file_name(long.segment)).unwrap();
        }
        let (found, named, steps) = repaired(&disk);
        assert_eq!(found, values(with_hint), "hint {with_hint}, header {in_header}");
        let expected = if with_hint { vec![lost(b"long")] } else { vec![lost(b"long"), lost(b"short")] };
        assert_eq!(named, expected, "hint {with_hint}, header {in_header}");
        let [Step::Replace { values, hinted, unknown, .. }] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!((*values, unknown.len()), (if with_hint { 2 } else { 3 }, 0));
        assert_eq!(*hinted, u64::from(in_header));
    }
}

#[test]
fn a_check_names_the_element() {
    // In the value, and in the length that the header says, where the hint tells what was there.
    for in_header in [false, true] {
        let (disk, _, long) = written();
        flip(&disk, long, if in_header { 4 } else { long.length - 1 });
        let inspection = Inspection::open(Arc::new(disk.clone())).unwrap().unwrap();
        let checked = inspection.check(1, &mut |_, _| {}).unwrap();
        let is_there = |offset: Option<u64>| offset == Some(u64::from(long.offset));
        let finding = checked.findings.iter().find(|finding| is_there(finding.offset)).unwrap();
        let element = KeyOf { keyspace: 0, object: Some(7), key: b"long".to_vec() };
        assert_eq!((finding.key.as_ref(), finding.cost), (Some(&element), Cost::Key));
        assert_eq!(finding.what.contains("unless the element was written again"), !in_header, "{}", finding.what);
    }
}

/// It is no damage: whoever starts the new version for the first time has such.
#[test]
fn a_hint_of_an_earlier_version_is_only_told() {
    let all = Collections::new();
    all.root(b"key", 7);
    all.set(7, b"element", b"value", None);
    all.store.close().unwrap();
    let (disk, name) = (all.disk.after_kill(), hint_file_name(1));
    let mut bytes = disk.bytes(&name).unwrap();
    let magic = bytes.windows(8).rposition(|bytes| bytes == b"CASKHINT").unwrap();
    bytes[magic + 8] = 1;
    disk.plant(&name, &bytes);
    let checked = || Inspection::open(Arc::new(disk.clone())).unwrap().unwrap().check(1, &mut |_, _| {}).unwrap();
    let findings = checked().findings;
    assert_eq!((findings.len(), findings[0].cost, &findings[0].file), (1, Cost::Nothing, &name), "{findings:?}");
    let again = Collections::open(&disk, START).unwrap();
    assert_eq!((again.recovered.without_hint, again.values().len()), (1, 1));
    again.store.tick().unwrap();
    again.store.close().unwrap();
    assert_eq!(checked().findings, []);
    assert_eq!(Collections::open(&disk, START).unwrap().recovered.without_hint, 0);
}
