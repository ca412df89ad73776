//! Those who wait for the log to reach a position.
//!
//! A waiter is registered before it looks at the position once more, and the position is published before the waiters
//! are looked at: so one of the two always sees the other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::task::Waker;

use super::segment::Position;
use crate::sync::{Mutex, point};

/// Wakers by position, the lowest first.
#[derive(Default)]
pub(super) struct Waiters {
    queue: Mutex<VecDeque<(Position, Waker)>>,
    count: AtomicUsize,
}

impl Waiters {
    /// Registers a waker; the caller looks at the position again afterwards.
    pub(super) fn register(&self, position: Position, waker: &Waker) {
        let mut queue = self.queue.lock();
        let first = queue.partition_point(|(at, _)| *at < position);
        let end = queue.partition_point(|(at, _)| *at <= position);
        if !queue.range(first..end).any(|(_, known)| known.will_wake(waker)) {
            queue.insert(end, (position, waker.clone()));
        }
        self.count.store(queue.len(), Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Wakes everyone at or below `position`, which has been published.
    pub(super) fn wake(&self, position: Position) {
        point();
        self.wake_any(position);
    }

    /// The same, where nobody is there most of the time.
    pub(super) fn wake_any(&self, position: Position) {
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let woken: Vec<_> = {
            let mut queue = self.queue.lock();
            let end = queue.partition_point(|(at, _)| *at <= position);
            let woken = queue.drain(..end).collect();
            self.count.store(queue.len(), Ordering::SeqCst);
            woken
        };
        for (_, waker) in woken {
            waker.wake();
        }
    }

    /// Whether anyone waits for more than `position`.
    pub(super) fn any_beyond(&self, position: Position) -> bool {
        fence(Ordering::SeqCst);
        self.count.load(Ordering::SeqCst) > 0 && self.queue.lock().back().is_some_and(|(at, _)| *at > position)
    }
}
