//! CLIENT PAUSE: commands are held back until a moment.
//!
//! Always true: a pause that is there is only ever made longer and stricter by another one; CLIENT UNPAUSE alone ends it
//! early; a command pays one look where there is none.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

use parking_lot::Mutex;

/// Which commands are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PauseMode {
    /// Those that change something, or send it on.
    Writes,
    /// All.
    All,
}

/// Whether commands are held back.
#[derive(Debug, Default)]
pub struct Pause {
    is_used: AtomicBool,
    /// What is held back, and until when in milliseconds since the Unix epoch.
    until: Mutex<Option<(PauseMode, u64)>>,
    /// Connections that are held back.
    held_back: AtomicUsize,
}

impl Pause {
    /// Holds commands back from now on, until `end` at least.
    pub fn begin(&self, mode: PauseMode, end: u64, now: u64) {
        let mut until = self.until.lock();
        let before = until.filter(|before| before.1 > now);
        *until = Some(before.map_or((mode, end), |before| (mode.max(before.0), end.max(before.1))));
        self.is_used.store(true, SeqCst);
    }

    /// Lets all go on.
    pub fn end(&self) {
        let mut until = self.until.lock();
        *until = None;
        self.is_used.store(false, SeqCst);
    }

    /// Whether there may be a pause.
    #[inline]
    pub fn is_used(&self) -> bool {
        self.is_used.load(SeqCst)
    }

    /// What is held back at `now`, and until when, in milliseconds since the Unix epoch.
    pub fn current(&self, now: impl FnOnce() -> u64) -> Option<(PauseMode, u64)> {
        if !self.is_used() {
            return None;
        }
        let mut until = self.until.lock();
        if until.is_some_and(|until| until.1 > now()) {
            return *until;
        }
        *until = None;
        self.is_used.store(false, SeqCst);
        None
    }

    /// Counts a connection that is held back, or is not any more.
    pub fn count(&self, is_held_back: bool) {
        if is_held_back {
            self.held_back.fetch_add(1, Relaxed)
        } else {
            self.held_back.fetch_sub(1, Relaxed)
        };
    }

    /// How many connections are held back.
    pub fn held_back(&self) -> usize {
        self.held_back.load(Relaxed)
    }
}
