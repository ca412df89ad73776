use super::super::disk::sim::{At, CallKind, Often, Survival};
use super::super::disk::{Mode, SimDisk};
use super::*;

fn open(disk: &SimDisk) -> Result<Manifest, ManifestError> {
    Manifest::open(Arc::new(disk.clone()))
}

fn segment(id: u32) -> Segment {
    Segment {
        id,
        kind: SegmentKind::Foreground,
        salt: id * 7,
        base_sequence: u64::from(id) * 100,
        base_position: u64::from(id) * 1000,
        state: SegmentState::Active,
    }
}

fn states(manifest: &Manifest) -> Vec<(u32, SegmentState)> {
    manifest.segments().iter().map(|segment| (segment.id, segment.state)).collect()
}

#[test]
fn an_empty_disk_gets_a_manifest_that_stays() {
    let disk = SimDisk::new();
    let manifest = open(&disk).unwrap();
    let ids = (manifest.dataset_id(), manifest.hash_seed());
    assert_ne!(ids.0, ids.1);
    assert_eq!((manifest.segments(), manifest.clock_floor()), (vec![], 0));
    drop(manifest);
    let manifest = open(&disk.survivors(Survival::Durable)).unwrap();
    assert_eq!((manifest.dataset_id(), manifest.hash_seed()), ids);
    assert_eq!(disk.list().unwrap(), [MANIFEST_FILE]);
    assert_ne!(open(&SimDisk::new()).unwrap().dataset_id(), ids.0);
}

#[test]
fn edits_are_read_back() {
    use SegmentState::{Active, Cut, Sealed};
    let disk = SimDisk::new();
    let manifest = open(&disk).unwrap();
    for id in 1..=4 {
        disk.plant(&segment_file_name(id), b"");
        assert_eq!(manifest.next_segment_id(), id);
    }
    manifest.edit(&Edit::new().add(segment(1)).add(segment(2)).clock_floor(50)).unwrap();
    manifest.edit(&Edit::new().seal(1, 4096).add(segment(3)).clock_floor(40).floor(2000, 30)).unwrap();
    manifest.edit(&Edit::new().cut(2, 77)).unwrap();
    assert_eq!(manifest.clock_floor(), 50, "the floor never sinks");
    assert_eq!(states(&manifest), [(1, Sealed(4096)), (2, Cut(77)), (3, Active)]);
    let compacted = Segment { kind: SegmentKind::Compacted, base_position: 1500, ..segment(4) };
    manifest.edit(&Edit::new().remove(1).add(compacted).floor(1000, 10)).unwrap();
    manifest.edit(&Edit::new().replace(Segment { salt: 99, ..segment(3) })).unwrap();
    let manifest = open(&disk.survivors(Survival::Durable)).unwrap();
    assert_eq!(
        manifest.segments(),
        [compacted, Segment { state: Cut(77), ..segment(2) }, Segment { salt: 99, ..segment(3) }]
    );
    assert_eq!(manifest.segment(4), Some(compacted));
    assert_eq!(manifest.segment(1), None);
    assert_eq!((manifest.next_segment_id(), manifest.next_segment_id()), (5, 6));
    assert_eq!(manifest.clock_floor(), 50);
    assert_eq!(manifest.floor(), Floor { position: 2000, sequence: 30 }, "nor does that of the log");
}

#[test]
fn contradictory_edits_are_refused_without_touching_the_disk() {
    let disk = SimDisk::new();
    let manifest = open(&disk).unwrap();
    manifest.edit(&Edit::new().add(segment(1)).seal(1, 10)).unwrap();
    let calls = disk.calls();
    for edit in [
        Edit::new().add(segment(1)),
        Edit::new().add(segment(2)).add(segment(2)),
        Edit::new().remove(2),
        Edit::new().replace(segment(2)),
        Edit::new().seal(2, 1),
        Edit::new().cut(2, 1),
        Edit::new().seal(1, 11),
        Edit::new().remove(1).seal(1, 10),
        Edit::new().add(Segment { id: u32::MAX, ..segment(2) }),
    ] {
        assert_eq!(manifest.edit(&edit).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{edit:?}");
    }
    assert_eq!(disk.calls(), calls);
    assert_eq!(states(&manifest), [(1, SegmentState::Sealed(10))]);
    manifest.edit(&Edit::new().seal(1, 10)).unwrap();
}

#[test]
fn an_edit_that_fails_anywhere_leaves_the_old_state_and_can_be_made_again() {
    for kind in [CallKind::Create, CallKind::Write, CallKind::SyncData, CallKind::Rename, CallKind::SyncDirectory] {
        for often in [Often::Once, Often::Always] {
            let disk = SimDisk::new();
            let manifest = open(&disk).unwrap();
            for id in 1..=2 {
                disk.plant(&segment_file_name(id), b"");
            }
            manifest.edit(&Edit::new().add(segment(1))).unwrap();
            disk.fail(At::Kind(kind), io::ErrorKind::Other, often);
            if often == Often::Always {
                disk.fail(At::Kind(CallKind::Remove), io::ErrorKind::Other, often);
            }
            manifest.edit(&Edit::new().add(segment(2))).unwrap_err();
            assert_eq!(states(&manifest), [(1, SegmentState::Active)], "{kind:?}");
            disk.heal();
            manifest.edit(&Edit::new().seal(1, 5)).unwrap();
            for survival in Survival::variants(8) {
                let survivors = disk.survivors(survival);
                assert_eq!(states(&open(&survivors).unwrap()), [(1, SegmentState::Sealed(5))], "{kind:?} {survival:?}");
                assert_eq!(survivors.list().unwrap(), [segment_file_name(1).as_str(), MANIFEST_FILE]);
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_the_edit_and_nothing_else() {
    let disk = SimDisk::new();
    let manifest = open(&disk).unwrap();
    disk.set_capacity(Some(disk.used() + 20));
    assert_eq!(manifest.edit(&Edit::new().add(segment(1))).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.list().unwrap(), [MANIFEST_FILE]);
    disk.set_capacity(None);
    manifest.edit(&Edit::new().add(segment(1))).unwrap();
}

#[test]
fn what_a_crash_left_is_removed_and_foreign_files_are_not() {
    let disk = SimDisk::new();
    let manifest = open(&disk).unwrap();
    let kept = ["0000000001.hint", "0000000001.log", "LOCK", MANIFEST_FILE];
    let foreign = ["00000002.log", "0000000002.log.bak", "9999999999.log", "dump.rdb", "notes.tmp", "x.log"];
    let left = ["0000000002.hint", "0000000002.log", "0000000001.hint.tmp", "0000000003.log.tmp", "MANIFEST.tmp"];
    for name in kept.iter().chain(&foreign).chain(&left).filter(|name| **name != MANIFEST_FILE) {
        disk.plant(name, b"x");
    }
    manifest.edit(&Edit::new().add(segment(1))).unwrap();
    disk.plant("MANIFEST.tmp", b"x");
    open(&disk).unwrap();
    let mut expected: Vec<&str> = kept.iter().chain(&foreign).copied().collect();
    expected.sort_unstable();
    assert_eq!(disk.list().unwrap(), expected);
}

#[test]
fn damage_is_refused_and_nothing_is_removed() {
    let healthy = SimDisk::new();
    let manifest = open(&healthy).unwrap();
    manifest.edit(&Edit::new().add(segment(1))).unwrap();
    healthy.plant(&segment_file_name(1), b"one");
    healthy.plant(&segment_file_name(2), b"two");
    let text = |change: &dyn Fn(&SimDisk)| {
        let disk = healthy.survivors(Survival::Durable);
        change(&disk);
        let before = disk.list().ok();
        let text = open(&disk).err().expect("it must be refused").to_string();
        assert_eq!(disk.list().ok(), before, "{text}");
        text
    };
    assert!(text(&|disk| disk.flip_bit(MANIFEST_FILE, 30, 3)).contains("damaged: its checksum does not match"));
    assert!(text(&|disk| disk.plant(MANIFEST_FILE, b"")).contains("damaged: it ends too early"));
    assert!(text(&|disk| disk.remove(MANIFEST_FILE).unwrap()).contains("missing although there is data (0000000001"));
    assert!(text(&|disk| disk.remove(&segment_file_name(1)).unwrap()).contains("0000000001.log, listed in MANIFEST"));
    assert!(text(&|disk| disk.fail(At::Kind(CallKind::Read), io::ErrorKind::Other, Often::Always)).contains("list"));
}

/// The states a script of edits goes through; the first is the empty one.
type States = Vec<Vec<(u32, SegmentState)>>;

/// Opens, then makes edits as the log does (a file's name is durable before it is listed, and it goes after it was
/// taken off the list), until the disk fails. Returns the states that were acknowledged, and the one then begun.
fn work(disk: &SimDisk, ended: &mut usize) -> io::Result<()> {
    let manifest = open(disk).map_err(io::Error::other)?;
    let mut acknowledge = |edit: Edit| {
        manifest.edit(&edit)?;
        *ended += 1;
        io::Result::Ok(())
    };
    let create = |id: u32| {
        disk.open(&segment_file_name(id), Mode::Create)?;
        disk.sync_directory()
    };
    create(1)?;
    acknowledge(Edit::new().add(segment(1)))?;
    create(2)?;
    acknowledge(Edit::new().seal(1, 10).add(segment(2)))?;
    create(3)?;
    acknowledge(Edit::new().cut(2, 20).add(segment(3)))?;
    acknowledge(Edit::new().remove(1).remove(2))?;
    disk.remove(&segment_file_name(1))?;
    disk.remove(&segment_file_name(2))?;
    acknowledge(Edit::new().clock_floor(1))
}

fn all_states() -> States {
    use SegmentState::{Active, Cut, Sealed};
    let gone = vec![(3, Active)];
    vec![
        vec![],
        vec![(1, Active)],
        vec![(1, Sealed(10)), (2, Active)],
        vec![(1, Sealed(10)), (2, Cut(20)), (3, Active)],
        gone.clone(),
        gone,
    ]
}

/// Whether a disk found after a crash shows the state last acknowledged or the one begun after it.
fn check(disk: &SimDisk, ended: usize) -> Result<(), String> {
    let manifest = open(disk).map_err(|error| error.to_string())?;
    let found = states(&manifest);
    let known = all_states();
    let allowed = &known[ended..known.len().min(ended + 2)];
    if allowed.contains(&found) { Ok(()) } else { Err(format!("found {found:?}, allowed {allowed:?}")) }
}

/// Crashes at every call, then again at every call of the start that follows a kill. The disks found wrong.
fn crash_everywhere(plant: impl Fn(&SimDisk)) -> (u64, Vec<String>) {
    let whole = SimDisk::new();
    let mut ended = 0;
    work(&whole, &mut ended).unwrap();
    assert_eq!(ended + 1, all_states().len());
    let (mut states, mut wrong) = (0, Vec::new());
    let mut judge = |disk: &SimDisk, ended: usize, what: String| {
        for survival in Survival::variants(12) {
            states += 1;
            wrong.extend(
                check(&disk.survivors(survival), ended).err().map(|error| format!("{what} {survival:?}: {error}")),
            );
        }
    };
    for (call, torn) in (0..=whole.calls()).flat_map(|call| [(call, false), (call, true)]) {
        let disk = SimDisk::new();
        plant(&disk);
        if torn {
            disk.crash_within(call)
        } else {
            disk.crash_at(call)
        }
        let mut ended = 0;
        let _ = work(&disk, &mut ended);
        judge(&disk, ended, format!("call {call}"));
        let restarted = disk.after_kill();
        check(&restarted, ended).unwrap();
        for second in disk.calls()..=restarted.calls() {
            let again = disk.after_kill();
            plant(&again);
            again.crash_at(second);
            let _ = open(&again);
            judge(&again, ended, format!("call {call}, after the kill call {second}"));
        }
    }
    (states, wrong)
}

#[test]
fn no_crash_loses_or_splits_an_edit() {
    let (states, wrong) = crash_everywhere(|_| {});
    assert!(states > 5_000, "{states} crash states");
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn a_sync_left_out_is_caught() {
    for kind in [CallKind::SyncData, CallKind::SyncDirectory] {
        let (_, wrong) = crash_everywhere(|disk| disk.disable_sync(kind));
        assert!(!wrong.is_empty(), "nothing noticed that {kind:?} did nothing");
    }
}
