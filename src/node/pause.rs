//! CLIENT PAUSE: commands are held back until a moment.
//!
//! Always true: a pause that is there is only ever made longer and stricter by another one; CLIENT UNPAUSE alone ends it
//! early.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use arc_swap::ArcSwapOption;

/// Which commands are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PauseMode {
    /// Those that change something, or send it on.
    Writes,
    /// All.
    All,
}

#[derive(Clone, Copy, Debug)]
struct Until {
    mode: PauseMode,
    /// In milliseconds since the Unix epoch.
    end: u64,
}

/// Whether commands are held back.
#[derive(Debug, Default)]
pub struct Pause {
    until: ArcSwapOption<Until>,
    /// Connections that are held back.
    held_back: AtomicUsize,
}

impl Pause {
    /// Holds commands back from now on, until `end` at least.
    pub fn begin(&self, mode: PauseMode, end: u64, now: u64) {
        self.until.rcu(|before| {
            let before = before.as_deref().filter(|before| before.end > now);
            let mode = before.map_or(mode, |before| mode.max(before.mode));
            Some(Until { mode, end: before.map_or(end, |before| end.max(before.end)) }.into())
        });
    }

    /// Lets all go on.
    pub fn end(&self) {
        self.until.store(None);
    }

    /// Whether there may be a pause: one look.
    #[inline]
    pub fn is_used(&self) -> bool {
        self.until.load().is_some()
    }

    /// What is held back at `now`, and until when, in milliseconds since the Unix epoch.
    pub fn current(&self, now: impl FnOnce() -> u64) -> Option<(PauseMode, u64)> {
        let until = self.until.load();
        let until = until.as_deref()?;
        (until.end > now()).then_some((until.mode, until.end))
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
