//! What a process that did not end in order leaves behind the last mark.

use std::time::Duration;

use super::*;
use crate::store::disk::sim::Survival;

const BEGUN: u64 = 1_700_000_000_000;

#[test]
fn a_torn_tail_tells_from_when_on_something_may_be_lost() {
    let disk = SimDisk::new();
    let opened = open(&disk, Fsync::Everysec).unwrap();
    opened.put("first", 100);
    opened.store.sync().unwrap();
    opened.clock.advance(Duration::from_millis(700));
    // This begins with a mark.
    opened.put("second", 100);
    opened.clock.advance(Duration::from_millis(50));
    let before = opened.store.appended() as usize;
    opened.put("third", 100);
    let disk = disk.survivors(Survival::Written);
    overwrite(&disk, 1, 64 + before + 60..64 + before + 61, 0);
    let opened = open(&disk, Fsync::Everysec).unwrap();
    assert_eq!(opened.keys(), ["first", "second"]);
    assert!(opened.recovered.torn_bytes > 100, "{:?}", opened.recovered);
    assert_eq!(opened.recovered.marked_at, BEGUN + 700);
}

/// After a clean stop nothing is taken for a torn tail, whatever becomes of the last segment: it is refused, or one value
/// is known to be damaged.
#[test]
fn after_a_clean_stop_there_is_no_tail_that_could_be_torn() {
    let disk = SimDisk::new();
    let opened = open(&disk, Fsync::No).unwrap();
    (0..3).for_each(|index| opened.put(&format!("key {index}"), 50));
    opened.store.close().unwrap();
    let (name, disk) = (segment_file_name(1), disk.survivors(Survival::Durable));
    let bytes = disk.bytes(&name).unwrap();
    let (mut refused, mut damaged) = (0, 0);
    let flipped = (0..bytes.len()).map(|at| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    });
    let cut = (0..bytes.len()).map(|length| bytes[..length].to_vec());
    for (index, changed) in flipped.chain(cut).enumerate() {
        let disk = disk.survivors(Survival::Durable);
        // The hint would spare the start from reading the values.
        disk.remove(&crate::store::manifest::hint_file_name(1)).unwrap();
        disk.plant(&name, &changed);
        match open(&disk, Fsync::No) {
            Err(_) => refused += 1,
            Ok(opened) => {
                assert_eq!(opened.recovered.torn_bytes, 0, "{index}");
                let all = opened.found.puts.len() + opened.found.damaged.len();
                assert_eq!(all, 3, "{index}: {:?}", opened.recovered);
                damaged += opened.found.damaged.len();
            }
        }
    }
    assert!(refused > bytes.len() && damaged >= 3 * 50, "{refused} refused, {damaged} damaged");
}

/// Once nobody writes any more, the log says how far it is durable, whoever has made it so; damage to the last record is
/// then known as such, also after a kill.
#[test]
fn an_idle_log_says_that_all_of_it_is_durable() {
    for fsync in [Fsync::Always, Fsync::Everysec] {
        let disk = SimDisk::new();
        let opened = open(&disk, fsync).unwrap();
        opened.put("key", 50);
        opened.put("key", 60);
        opened.store.sync().unwrap();
        let end = 64 + opened.store.appended() as usize;
        opened.store.pass_idle_second();
        let claimed = opened.store.appended();
        opened.store.pass_idle_second();
        assert_eq!(opened.store.appended(), claimed, "it says so once");
        let disk = disk.after_kill();
        overwrite(&disk, 1, end - 10..end - 9, 0);
        let opened = open(&disk, fsync).unwrap();
        assert_eq!((opened.recovered.torn_bytes, opened.recovered.damaged), (0, 1), "{fsync:?}");
        assert_eq!(opened.found.damaged, [b"key"], "{fsync:?}");
    }
}
