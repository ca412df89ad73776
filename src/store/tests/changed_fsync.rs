//! When writes count as acknowledged changes while the store runs, and then the disk fails.

use std::io::ErrorKind;

use super::super::disk::SimDisk;
use super::super::disk::sim::{At, CallKind, Often, Survival};
use super::super::{Fsync, Refused};
use super::{Opened, open};

/// Under `no` what is written is not kept in memory, under the others it is: after a change there are both.
#[test]
fn a_failed_sync_loses_nothing_of_before_and_after_a_change() {
    use Fsync::{Always, Everysec, No};
    let changes: [&[Fsync]; 5] =
        [&[Everysec, No], &[No, Everysec], &[Everysec, No, Everysec], &[No, Everysec, No], &[Always, No, Always, No]];
    for (fsyncs, call) in
        changes.into_iter().flat_map(|fsyncs| [(fsyncs, CallKind::SyncData), (fsyncs, CallKind::Write)])
    {
        let disk = SimDisk::new();
        let opened = open(&disk, fsyncs[0]).unwrap();
        let mut expected = Vec::new();
        for (index, fsync) in fsyncs.iter().enumerate() {
            opened.store.set_fsync(*fsync);
            for number in 0..3 {
                let key = format!("{index}:{number}");
                opened.put(&key, 100);
                expected.push(key);
            }
        }
        disk.fail(At::Kind(call), ErrorKind::Other, Often::Once);
        expected.push("last".to_owned());
        opened.put("last", 100);
        opened.store.sync().unwrap_or_else(|failed| panic!("{fsyncs:?}, {call:?}: {failed}"));
        let Opened { found, .. } = open(&disk.survivors(Survival::Durable), Everysec).unwrap();
        let keys: Vec<_> = found.puts.iter().map(|(key, _)| String::from_utf8(key.clone()).unwrap()).collect();
        assert_eq!(keys, expected, "{fsyncs:?}, {call:?}");
        assert_eq!(opened.store.status().refused, None::<Refused>);
    }
}
