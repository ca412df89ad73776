//! The thread that removes keys and fields whose time is over.
//!
//! Always true: it sleeps until the next deadline, and is woken when an earlier one comes up; where nothing is to be
//! removed it looks no more than once a millisecond; while much is, others may go on after each slice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::workers::Shared;
use crate::keyspace::Keyspace;
use crate::node::Node;
use crate::stats::Event;

/// How many keys are removed before others may go on.
const SLICE: usize = 256;

/// How far away the next look is at most while there are deadlines: the machine's clock may be set meanwhile.
const REACH: u64 = 100;

/// How long nothing is looked at where keys are not to be removed.
const HELD_BACK: Duration = Duration::from_millis(10);

/// How long what is due but cannot be removed yet is left alone.
const NOT_YET: Duration = Duration::from_millis(1);

/// The thread: it ends when this is dropped.
pub(super) struct Expiry {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Expiry {
    /// Starts it; the keys have to be loaded.
    pub(super) fn start(shared: &Arc<Shared>) -> std::io::Result<Self> {
        let ends = Arc::new(AtomicBool::new(false));
        let (shared, until) = (shared.clone(), ends.clone());
        let work = move || {
            let node = &shared.node;
            if let Some(keyspace) = node.keyspace() {
                run(node, keyspace, &until);
            }
        };
        let thread = thread::Builder::new().name("caskade-expiry".to_owned()).spawn(work)?;
        Ok(Self { ends, thread: Some(thread) })
    }

    /// Panics as the thread has, if it has: without it, keys would stay until somebody asks for them.
    pub(super) fn check(&mut self) {
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished())
            && let Err(panic) = thread.join()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for Expiry {
    fn drop(&mut self) {
        self.ends.store(true, SeqCst);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!("the thread that removes keys whose time is over had panicked");
        }
    }
}

fn run(node: &Node, keyspace: &Keyspace, ends: &AtomicBool) {
    let thread = thread::current();
    keyspace.set_ring(Box::new(move || thread.unpark()));
    while !ends.load(SeqCst) {
        if !node.expires_keys() {
            thread::park_timeout(HELD_BACK);
            continue;
        }
        remove_due(node, keyspace, ends);
        let now = keyspace.now();
        let horizon = now + REACH;
        // Without any deadline there is nothing that another clock would change.
        let wanted = keyspace.earliest_deadline().map_or(u64::MAX, |earliest| earliest.min(horizon));
        match keyspace.ring_before(wanted).map(|earliest| earliest.min(horizon)) {
            Some(next) => thread::park_timeout(until(next, now, node.wall_microseconds())),
            None => thread::park(),
        }
    }
}

/// Removes all that is due.
fn remove_due(node: &Node, keyspace: &Keyspace, ends: &AtomicBool) {
    while !ends.load(SeqCst) && node.expires_keys() {
        let began = node.monotonic_nanoseconds();
        let looked_at = keyspace.expire_due(keyspace.now(), SLICE);
        if looked_at == 0 {
            return;
        }
        let taken = node.monotonic_nanoseconds().saturating_sub(began);
        node.stats.expiry_nanoseconds.add(taken);
        node.note_event(Event::Expiry, taken);
        if looked_at < SLICE {
            return;
        }
        thread::yield_now();
    }
}

/// How long to sleep until a moment in milliseconds, at `now` and by a clock that tells microseconds; both differ while that
/// clock goes after one that was ahead.
fn until(next: u64, now: u64, wall_microseconds: u64) -> Duration {
    if next <= now {
        return NOT_YET;
    }
    let left = next.saturating_mul(1000).saturating_sub(wall_microseconds);
    Duration::from_micros(left).min(Duration::from_millis(REACH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sleeps_until_the_moment_itself_and_no_longer_than_its_reach() {
        assert_eq!(until(1_005, 1_000, 1_000_900), Duration::from_micros(4_100));
        assert_eq!(until(1_001, 1_000, 1_000_999), Duration::from_micros(1));
        assert_eq!(until(1_100, 1_000, 1_000_000), Duration::from_millis(REACH));
        assert_eq!([until(1_000, 1_000, 1_000_001), until(0, 1_000, 1_000_001)], [NOT_YET; 2]);
        // The clock was set back: time stands still for keys until it has caught up.
        assert_eq!(until(1_005, 1_000, 400_000), Duration::from_millis(REACH));
        // It has gone on since.
        assert_eq!(until(1_005, 1_000, 1_007_000), Duration::ZERO);
    }
}
