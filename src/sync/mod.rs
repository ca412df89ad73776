//! Locks, threads and waiting, of the store and the keyspace.
//!
//! In the program these are parking_lot's locks and the system's threads. In the unit tests a scheduler may take their
//! place (`scheduled`): then one thread goes on at a time, and at each lock and each [`point`] the scheduler decides which, so
//! that orders are tried that the system shows seldom or never.

use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

/// For what threads are asked by: such a mutex is held for moments, and no scheduler looks at it.
pub(crate) use parking_lot::{Condvar, Mutex as Plain, MutexGuard as PlainGuard};

#[cfg(test)]
pub(crate) mod scheduled;

mod system;

#[cfg(test)]
pub(crate) use self::scheduled::{
    JoinHandle, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, Thread, current, park, point, run_apart,
    spawn, wait,
};
#[cfg(not(test))]
pub(crate) use self::system::{JoinHandle, Thread, current, park, point, run_apart, spawn, wait};
#[cfg(not(test))]
pub(crate) use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Blocks the thread until `poll` is ready; the waker that `poll` is given has it called again.
pub(crate) fn park_until<T>(poll: impl Fn(&Waker) -> Poll<T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(current())));
    loop {
        match poll(&waker) {
            Poll::Ready(result) => return result,
            Poll::Pending => park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
