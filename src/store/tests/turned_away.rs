//! Those who wait for a log that fails.

use std::io::ErrorKind;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

use super::super::disk::SimDisk;
use super::super::disk::sim::{At, CallKind, Often};
use super::super::{Draft, Fsync};
use super::open;

struct Sleeper;

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_log_that_fails_keeps_nobody_who_was_turned_away() {
    let disk = SimDisk::new();
    let opened = open(&disk, Fsync::Everysec).unwrap();
    disk.fail(At::Kind(CallKind::Write), ErrorKind::StorageFull, Often::Always);
    let end = opened.store.append(&Draft::put(0, 0, b"key", b"value")).unwrap().end;
    opened.store.wait_acknowledged(end).unwrap_err();
    let sleeper = Arc::new(Sleeper);
    for _ in 0..10 {
        let polled = opened.store.poll_acknowledged(end, &Waker::from(sleeper.clone()));
        assert!(matches!(polled, Poll::Ready(Err(_))));
    }
    assert_eq!(Arc::strong_count(&sleeper), 1);
    disk.heal();
    opened.clock.advance(std::time::Duration::from_secs(1));
    opened.store.sync().unwrap();
    opened.store.wait_acknowledged(end).unwrap();
}
