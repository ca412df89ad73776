//! Where in the log a moment is, by its marks.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::open;
use crate::store::Fsync;
use crate::store::clock::Clock;
use crate::store::disk::SimDisk;
use crate::store::inspect::{Around, Inspection, What};

/// A store, the numbers and times of all marks, and the numbers and keys of all else.
type Told = (Inspection, Vec<(u64, u64)>, Vec<(u64, String)>);

/// What is read without a running store.
fn read(disk: &SimDisk) -> Told {
    let inspection = Inspection::open(Arc::new(disk.clone())).unwrap().expect("a store");
    let (mut marks, mut keys) = (Vec::new(), Vec::new());
    let read = inspection.records(
        0..=u64::MAX,
        &mut |entry| {
            let What::Record(record) = entry.what else { panic!("{entry:?}") };
            match record.mark() {
                Some((_, wall)) => marks.push((record.sequence, wall)),
                None => keys.push((record.sequence, String::from_utf8_lossy(record.key).into_owned())),
            }
            ControlFlow::Continue(())
        },
        &mut |_, _| {},
    );
    read.unwrap();
    (inspection, marks, keys)
}

#[test]
fn a_moment_is_between_the_marks_around_it() {
    for closed in [true, false] {
        let disk = SimDisk::new();
        let opened = open(&disk, Fsync::Everysec).unwrap();
        let mut times = Vec::new();
        // Several segments of 4096 bytes, a mark at least every second.
        for number in 0..40 {
            opened.clock.advance(Duration::from_secs(1));
            opened.put(&format!("key:{number}"), 300);
            times.push(opened.clock.wall());
        }
        if closed {
            opened.store.close().unwrap();
            assert!(disk.bytes("0000000001.hint").is_some());
        }
        drop(opened);
        let (inspection, marks, keys) = read(&disk);
        assert!(marks.len() >= 40 && keys.len() == 40, "{marks:?} {keys:?}");
        assert!(marks.is_sorted_by_key(|mark| mark.1));
        for moment in times.iter().flat_map(|time| [time - 1, *time, time + 500]).chain([0, u64::MAX]) {
            let same = marks.iter().find(|(_, wall)| *wall == moment);
            let from = same.or(marks.iter().rfind(|(_, wall)| *wall < moment)).map_or(0, |mark| mark.0);
            let to = marks.iter().find(|(_, wall)| *wall > moment).map_or(u64::MAX, |mark| mark.0 - 1);
            assert_eq!(inspection.around(moment).unwrap(), Around { from, to }, "{moment}, closed {closed}");
        }
        // Each key is from between its moment and the next.
        for (time, (sequence, key)) in times.iter().zip(&keys) {
            let Around { from, to } = inspection.around(*time).unwrap();
            assert!((from..=to).contains(sequence), "{key} of {time} is {sequence}, not within {from} and {to}");
            assert!(inspection.around(time - 1).unwrap().to < *sequence);
        }
    }
}
