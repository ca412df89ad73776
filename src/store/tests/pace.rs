//! What holds compaction back.

use std::time::Duration;

use super::*;
use crate::store::{Policy, Window};

const KIBIBYTE: u64 = 1 << 10;

/// How long a pass rests for so many pieces of work of this many bytes each, which themselves take no time.
fn rests(opened: &Opened, pieces: u64, bytes: u64) -> Duration {
    let rested = Mutex::new(Duration::ZERO);
    let rest = |time| {
        opened.clock.advance(time);
        *rested.lock() += time;
        true
    };
    let pace = opened.store.log.pace(None, &rest);
    assert!((0..pieces).all(|_| pace(bytes)));
    drop(pace);
    rested.into_inner()
}

#[test]
fn the_limit_of_the_rate_holds_however_low_it_is_and_however_much_is_done_at_once() {
    let opened = open(&SimDisk::new(), Fsync::No).unwrap();
    for (bytes_per_second, pieces, bytes, seconds) in [
        (10 * KIBIBYTE, 10, 256 * KIBIBYTE, 256.0),
        (10 << 20, 5, 20 << 20, 10.0),
        (100 << 20, 1_000, 256 * KIBIBYTE, 2.5),
        (0, 10, 1 << 30, 0.0),
    ] {
        opened.store.set_compaction(Policy { bytes_per_second, ..Policy::default() });
        let rested = rests(&opened, pieces, bytes).as_secs_f64();
        assert!((rested - seconds).abs() <= seconds / 100.0, "at {bytes_per_second}: {rested} seconds, not {seconds}");
    }
}

#[test]
fn a_limit_that_is_taken_away_ends_the_rest() {
    let opened = open(&SimDisk::new(), Fsync::No).unwrap();
    opened.store.set_compaction(Policy { bytes_per_second: KIBIBYTE, ..Policy::default() });
    let rested = Mutex::new(0);
    let rest = |_| {
        *rested.lock() += 1;
        if *rested.lock() == 3 {
            opened.store.set_compaction(Policy::default());
        }
        true
    };
    let pace = opened.store.log.pace(None, &rest);
    assert!(pace(1 << 30));
    assert!(*rested.lock() <= 4, "{} rests", rested.lock());
}

#[test]
fn a_pass_ends_when_it_is_no_longer_time_for_it_unless_it_was_asked_for() {
    let opened = open(&SimDisk::new(), Fsync::No).unwrap();
    let rest = |_| true;
    // It is 22:13.
    for (window, goes_on) in [(None, true), (Some((22, 23)), true), (Some((1, 5)), false)] {
        let window = window.map(|(from, until)| Window { from, until });
        opened.store.set_compaction(Policy { window, ..Policy::default() });
        assert_eq!(opened.store.log.pace(Some(1.0), &rest)(1), goes_on, "{window:?}");
        assert!(opened.store.log.pace(None, &rest)(1), "{window:?}, asked for");
    }
    let stop = |_| false;
    assert!(!opened.store.log.pace(None, &stop)(1), "it was told to stop");
}
