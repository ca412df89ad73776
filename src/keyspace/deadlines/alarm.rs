//! Who sleeps until the next deadline is woken by an earlier one.
//!
//! Always true: a deadline that comes up while the alarm is set for a later one either is seen by who has set it, in the look
//! that follows, or rings; it rings once at most until it is set again.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst, fence};

#[derive(Default)]
pub(in crate::keyspace) struct Alarm {
    /// Earlier deadlines than this ring; 0 while nobody sleeps.
    before: AtomicU64,
    ring: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Alarm {
    /// What is called from now on; there is one such function at most. It must not wait, nor look at keys.
    pub(in crate::keyspace) fn connect(&self, ring: Box<dyn Fn() + Send + Sync>) {
        let is_first = self.ring.set(ring).is_ok();
        debug_assert!(is_first, "one sleeps");
    }

    /// Sets it for what comes up from now on. What is there has to be looked at after that.
    pub(in crate::keyspace) fn set(&self, before: u64) {
        self.before.store(before, Relaxed);
        fence(SeqCst);
    }

    /// Tells of an earliest deadline, which whoever looks sees already.
    pub(in crate::keyspace) fn note(&self, deadline: u64) {
        // Either who has set it sees the deadline, or it is seen here that it is set.
        fence(SeqCst);
        if deadline < self.before.load(Relaxed) && deadline < self.before.swap(0, Relaxed) {
            self.ring.get().into_iter().for_each(|ring| ring());
        }
    }
}
