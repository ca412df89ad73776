use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;

use super::*;

fn create(disk: &SimDisk, name: &str, text: &str) -> Box<dyn File> {
    let file = disk.open(name, Mode::Create).unwrap();
    file.write_at(text.as_bytes(), 0).unwrap();
    file
}

fn text(disk: &SimDisk, name: &str) -> Option<String> {
    disk.bytes(name).map(|bytes| String::from_utf8(bytes).unwrap())
}

fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.err().expect("an error").kind()
}

#[test]
fn files_behave_as_files() {
    let disk = SimDisk::new();
    assert_eq!(kind(disk.open("a", Mode::Read)), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.open("a", Mode::Write)), io::ErrorKind::NotFound);
    let file = create(&disk, "a", "hello");
    assert_eq!(kind(disk.open("a", Mode::Create)), io::ErrorKind::AlreadyExists);
    file.write_at(b"!", 7).unwrap();
    assert_eq!(text(&disk, "a").unwrap(), "hello\0\0!");
    let mut buffer = [9; 4];
    assert_eq!(file.read_at(&mut buffer, 6).unwrap(), 2);
    assert_eq!(buffer, [0, b'!', 9, 9]);
    assert_eq!(file.read_at(&mut buffer, 99).unwrap(), 0);
    assert_eq!(file.read_at_nowait(&mut buffer, 0).unwrap(), Some(4));
    disk.set_cold(true);
    assert_eq!(file.read_at_nowait(&mut buffer, 0).unwrap(), None);
    file.truncate(3).unwrap();
    file.allocate(2).unwrap();
    assert_eq!(file.length().unwrap(), 3);
    file.allocate(5).unwrap();
    assert_eq!(text(&disk, "a").unwrap(), "hel\0\0");
    disk.rename("a", "b").unwrap();
    assert_eq!(disk.list().unwrap(), ["b"]);
    let reader = disk.open("b", Mode::Read).unwrap();
    assert_eq!(kind(reader.write_at(b"x", 0)), io::ErrorKind::PermissionDenied);
    disk.remove("b").unwrap();
    assert_eq!(kind(disk.remove("b")), io::ErrorKind::NotFound);
    assert_eq!(reader.length().unwrap(), 5, "an open file outlives its name");
}

#[test]
fn only_what_was_synced_is_sure_to_survive() {
    let disk = SimDisk::new();
    let file = create(&disk, "a", "one");
    file.sync_data().unwrap();
    assert_eq!(text(&disk.survivors(Survival::Durable), "a"), None, "its name was not synced");
    disk.sync_directory().unwrap();
    file.write_at(b"two", 3).unwrap();
    for (survival, expected) in [
        (Survival::Durable, "one"),
        (Survival::Written, "onetwo"),
        (Survival::Hollow, "one\0\0\0"),
        (Survival::Nameless, "onetwo"),
    ] {
        assert_eq!(text(&disk.survivors(survival), "a").unwrap(), expected, "{survival:?}");
    }
    let killed = disk.after_kill();
    assert_eq!(text(&killed, "a").unwrap(), "onetwo");
    assert_eq!(text(&killed.survivors(Survival::Durable), "a").unwrap(), "one", "a kill makes nothing durable");
    killed.open("a", Mode::Write).unwrap().sync_data().unwrap();
    assert_eq!(text(&killed.survivors(Survival::Durable), "a").unwrap(), "onetwo");
    assert_eq!(text(&disk.survivors(Survival::Durable), "a").unwrap(), "one", "disks are independent");
}

#[test]
fn a_rename_is_old_or_new() {
    let disk = SimDisk::new();
    disk.plant("a", b"old");
    let file = create(&disk, "a.tmp", "new");
    file.sync_data().unwrap();
    disk.rename("a.tmp", "a").unwrap();
    let mut seen = BTreeSet::new();
    for survival in Survival::variants(32) {
        seen.insert(text(&disk.survivors(survival), "a").unwrap());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["new", "old"]);
    disk.sync_directory().unwrap();
    for survival in Survival::variants(8) {
        assert_eq!(text(&disk.survivors(survival), "a").unwrap(), "new");
        assert_eq!(disk.survivors(survival).list().unwrap(), ["a"]);
    }
}

#[test]
fn a_removed_name_may_come_back_until_the_directory_is_synced() {
    let disk = SimDisk::new();
    disk.plant("a", b"old");
    disk.remove("a").unwrap();
    assert_eq!(text(&disk.survivors(Survival::Nameless), "a").unwrap(), "old");
    assert_eq!(text(&disk.after_kill().survivors(Survival::Durable), "a").unwrap(), "old");
    assert_eq!(text(&disk.survivors(Survival::Written), "a"), None);
    disk.sync_directory().unwrap();
    assert_eq!(text(&disk.survivors(Survival::Durable), "a"), None);
}

#[test]
fn unsynced_sectors_survive_in_every_combination_and_repeatably() {
    let disk = SimDisk::new();
    disk.plant("a", &[b'.'; 1536]);
    let file = disk.open("a", Mode::Write).unwrap();
    file.write_at(&[b'x'; 1536], 0).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let bytes = disk.survivors(Survival::Random(seed)).bytes("a").unwrap();
        assert_eq!(bytes, disk.survivors(Survival::Random(seed)).bytes("a").unwrap());
        let sectors: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])), "a sector is whole");
        seen.insert(sectors);
    }
    assert_eq!(seen.len(), 8);
}

#[test]
fn a_prefix_keeps_the_order_of_the_calls() {
    let disk = SimDisk::new();
    disk.plant("a", b"");
    let file = disk.open("a", Mode::Write).unwrap();
    for index in 0..4 {
        file.write_at(&[b'0' + index; 512], u64::from(index) * 512).unwrap();
    }
    let mut lengths = BTreeSet::new();
    for seed in 0..64 {
        let bytes = disk.survivors(Survival::Prefix(seed)).bytes("a").unwrap();
        let holes = bytes.chunks(512).position(|sector| sector[0] == 0).unwrap_or(bytes.len() / 512);
        assert!(bytes[..holes * 512].chunks(512).zip(b'0'..).all(|(sector, digit)| sector[0] == digit));
        lengths.insert(holes);
    }
    assert_eq!(lengths.len(), 5, "every prefix comes up");
}

#[test]
fn a_crash_fails_its_call_and_all_later_ones() {
    let run = |disk: &SimDisk| -> io::Result<()> {
        let file = disk.open("a", Mode::Create)?;
        file.write_at(b"12345678", 0)?;
        file.sync_data()?;
        disk.sync_directory()
    };
    let whole = SimDisk::new();
    run(&whole).unwrap();
    assert_eq!(whole.calls(), 4);
    for call in 0..whole.calls() {
        let disk = SimDisk::new();
        disk.crash_at(call);
        run(&disk).unwrap_err();
        assert_eq!(disk.calls(), call);
        assert!(disk.is_crashed() && disk.list().is_err() && disk.free_space().is_err());
        assert!(disk.open("a", Mode::Read).is_err());
        let expected = [None, Some(""), Some("12345678"), Some("12345678")][call as usize];
        assert_eq!(text(&disk.after_kill(), "a").as_deref(), expected);
        assert_eq!(text(&disk.survivors(Survival::Durable), "a"), None);
    }
    let disk = SimDisk::new();
    disk.crash_within(1);
    run(&disk).unwrap_err();
    assert_eq!(text(&disk.after_kill(), "a").unwrap(), "1234");
}

#[test]
fn faults_strike_where_they_are_told() {
    let disk = SimDisk::new();
    let file = create(&disk, "a", "one");
    let other = create(&disk, "b", "two");
    let error = io::ErrorKind::TimedOut;
    disk.fail(At::Call(disk.calls() + 1), error, Often::Once);
    file.write_at(b"1", 0).unwrap();
    assert_eq!(kind(file.write_at(b"2", 0)), error);
    assert_eq!(text(&disk, "a").unwrap(), "1ne");
    disk.fail(At::Kind(CallKind::SyncData), error, Often::Once);
    assert_eq!(kind(file.sync_data()), error);
    other.sync_data().unwrap();
    disk.fail(At::File(CallKind::Read, "a".to_owned()), error, Often::Always);
    assert_eq!(kind(file.read_at(&mut [0], 0)), error);
    assert_eq!(kind(file.read_at(&mut [0], 0)), error);
    assert_eq!(other.read_at(&mut [0], 0).unwrap(), 1);
    disk.heal();
    file.read_at(&mut [0], 0).unwrap();
    disk.fail(At::From(disk.calls() + 1), io::ErrorKind::WriteZero, Often::Always);
    file.write_at(b"4", 0).unwrap();
    assert_eq!(kind(file.write_at(b"567890", 0)), io::ErrorKind::WriteZero);
    assert_eq!(kind(file.sync_data()), io::ErrorKind::WriteZero);
    assert_eq!(text(&disk, "a").unwrap(), "567");
}

#[test]
fn openings_and_reads_are_counted_apart() {
    let disk = SimDisk::new();
    let file = create(&disk, "a", "one");
    let error = io::ErrorKind::TimedOut;
    let open = |mode| kind(disk.open("a", mode));
    disk.fail(At::Open(disk.opens() + 1), error, Often::Once);
    disk.fail(At::Read(disk.reads() + 1), error, Often::Once);
    disk.open("a", Mode::Read).unwrap();
    assert_eq!(open(Mode::Write), error);
    disk.open("a", Mode::Write).unwrap();
    file.length().unwrap();
    assert_eq!(kind(disk.list()), error);
    disk.list().unwrap();
    disk.fail(At::Open(disk.opens()), error, Often::Always);
    assert_eq!((open(Mode::Read), kind(disk.open("b", Mode::Create))), (error, error));
    assert!(disk.bytes("b").is_none());
    file.write_at(b"two", 0).unwrap();
    assert_eq!(text(&disk, "a").unwrap(), "two");
}

#[test]
fn a_failed_sync_leaves_its_data_in_doubt_for_good() {
    let disk = SimDisk::new();
    let file = create(&disk, "a", "lost");
    disk.sync_directory().unwrap();
    disk.fail(At::Kind(CallKind::SyncData), io::ErrorKind::Other, Often::Once);
    file.sync_data().unwrap_err();
    file.sync_data().unwrap();
    assert_eq!(text(&disk, "a").unwrap(), "lost");
    assert_eq!(text(&disk.survivors(Survival::Durable), "a").unwrap(), "");
    assert_eq!(text(&disk.survivors(Survival::Written), "a").unwrap(), "lost");
}

#[test]
fn a_full_disk_takes_what_fits_and_recovers() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(10));
    let file = create(&disk, "a", "12345678");
    assert_eq!((disk.used(), disk.free_space().unwrap()), (8, 2));
    assert_eq!(kind(file.write_at(b"9abc", 8)), io::ErrorKind::StorageFull);
    assert_eq!(text(&disk, "a").unwrap(), "123456789a");
    assert_eq!(kind(file.allocate(11)), io::ErrorKind::StorageFull);
    file.write_at(b"ABC", 0).unwrap();
    disk.remove("a").unwrap();
    assert_eq!(disk.used(), 10, "still open");
    drop(file);
    assert_eq!(disk.used(), 0);
    create(&disk, "b", "1234567890");
    disk.set_capacity(None);
    disk.open("b", Mode::Write).unwrap().allocate(100).unwrap();
}

#[test]
fn a_planted_fault_leaves_the_sync_out() {
    let disk = SimDisk::new();
    disk.disable_sync(CallKind::SyncData);
    let file = create(&disk, "a", "one");
    file.sync_data().unwrap();
    disk.sync_directory().unwrap();
    assert_eq!(text(&disk.survivors(Survival::Durable), "a").unwrap(), "");
    disk.disable_sync(CallKind::SyncDirectory);
    create(&disk, "b", "two");
    disk.sync_directory().unwrap();
    assert_eq!(text(&disk.survivors(Survival::Durable), "b"), None);
}

#[test]
fn a_held_sync_covers_only_what_came_before_it() {
    let disk = SimDisk::new();
    let file: Arc<dyn File> = create(&disk, "a", "one").into();
    disk.sync_directory().unwrap();
    let hold = disk.hold(CallKind::SyncData);
    let syncing = thread::spawn({
        let file = file.clone();
        move || file.sync_data()
    });
    hold.wait_for(1);
    file.write_at(b"two", 3).unwrap();
    drop(hold);
    syncing.join().unwrap().unwrap();
    assert_eq!(text(&disk.survivors(Survival::Durable), "a").unwrap(), "one");
}

#[test]
fn a_crash_releases_what_is_held() {
    let disk = SimDisk::new();
    let hold = disk.hold(CallKind::SyncDirectory);
    let syncing = thread::spawn({
        let disk = disk.clone();
        move || disk.sync_directory()
    });
    hold.wait_for(1);
    disk.crash();
    syncing.join().unwrap().unwrap_err();
}

#[test]
fn a_flipped_bit_is_on_the_medium() {
    let disk = SimDisk::new();
    disk.plant("a", b"abc");
    disk.flip_bit("a", 1, 0);
    assert_eq!(text(&disk, "a").unwrap(), "acc");
    assert_eq!(text(&disk.survivors(Survival::Durable), "a").unwrap(), "acc");
}

#[test]
fn a_directory_has_names_of_its_own() {
    let disk = SimDisk::new();
    create(&disk, "a", "one").sync_data().unwrap();
    let inside = disk.directory("inside").unwrap();
    disk.link("a", &*inside).unwrap();
    assert_eq!(disk.link("a", &*inside).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(disk.link("b", &*inside).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(disk.link("a", &SimDisk::new()).unwrap_err().kind(), io::ErrorKind::CrossesDevices);
    inside.rename("a", "b").unwrap();
    assert_eq!((disk.list().unwrap(), inside.list().unwrap()), (vec!["a".into(), "inside".into()], vec!["b".into()]));
    disk.remove("a").unwrap();
    let file = inside.open("b", Mode::Read).unwrap();
    let mut bytes = [0; 3];
    assert_eq!((file.read_at(&mut bytes, 0).unwrap(), &bytes), (3, b"one"));
}

#[test]
fn a_directory_needs_a_sync_of_its_own() {
    let disk = SimDisk::new();
    create(&disk, "a", "one").sync_data().unwrap();
    let inside = disk.directory("inside").unwrap();
    disk.link("a", &*inside).unwrap();
    let found = |disk: &SimDisk| disk.survivors(Survival::Durable).list().unwrap();
    disk.sync_directory().unwrap();
    assert_eq!(found(&disk), ["a", "inside"]);
    let inside_after = |disk: &SimDisk| disk.survivors(Survival::Durable).directory("inside").unwrap().list().unwrap();
    assert_eq!(inside_after(&disk), Vec::<String>::new(), "the link was not synced");
    inside.sync_directory().unwrap();
    assert_eq!(inside_after(&disk), ["a"]);

    let disk = SimDisk::new();
    let inside = disk.directory("inside").unwrap();
    inside.open("a", Mode::Create).unwrap();
    inside.sync_directory().unwrap();
    assert_eq!(found(&disk), Vec::<String>::new(), "nobody finds it without the directory");
}
