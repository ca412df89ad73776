//! The same for the unit tests: outside a scheduler's run everything is as in the program, inside it decides who goes on.
//!
//! All threads of a run are coroutines of one thread of the system, so nothing here may block that thread: who does not
//! get a lock lets others go on and tries again.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::lock_api;
use shuttle::sync::atomic::AtomicBool;

use super::{Condvar, PlainGuard, system};

pub(crate) type Mutex<T> = lock_api::Mutex<ScheduledMutex, T>;
pub(crate) type MutexGuard<'a, T> = lock_api::MutexGuard<'a, ScheduledMutex, T>;
pub(crate) type RwLock<T> = lock_api::RwLock<ScheduledRwLock, T>;
pub(crate) type RwLockReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, ScheduledRwLock, T>;
pub(crate) type RwLockWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, ScheduledRwLock, T>;

/// Whether a scheduler decides about this thread.
pub(crate) fn is_scheduled() -> bool {
    shuttle::current::try_get_current_task().is_some()
}

/// A place where another thread may come in between.
pub(crate) fn point() {
    if is_scheduled() {
        // Whatever the scheduler's own types do is such a place.
        AtomicBool::new(true).load(Ordering::SeqCst);
    }
}

/// Tries until it succeeds, while others go on.
fn insist(try_once: impl Fn() -> bool) {
    point();
    while !try_once() {
        shuttle::thread::yield_now();
    }
}

pub(crate) struct ScheduledMutex(parking_lot::RawMutex);

// SAFETY: it is locked and unlocked by what it wraps.
unsafe impl lock_api::RawMutex for ScheduledMutex {
    const INIT: Self = Self(parking_lot::RawMutex::INIT);
    type GuardMarker = <parking_lot::RawMutex as lock_api::RawMutex>::GuardMarker;

    fn lock(&self) {
        if is_scheduled() { insist(|| self.0.try_lock()) } else { self.0.lock() }
    }

    fn try_lock(&self) -> bool {
        point();
        self.0.try_lock()
    }

    unsafe fn unlock(&self) {
        // SAFETY: the caller has it locked.
        unsafe { self.0.unlock() };
        point();
    }
}

pub(crate) struct ScheduledRwLock(parking_lot::RawRwLock);

// SAFETY: it is locked and unlocked by what it wraps.
unsafe impl lock_api::RawRwLock for ScheduledRwLock {
    const INIT: Self = Self(parking_lot::RawRwLock::INIT);
    type GuardMarker = <parking_lot::RawRwLock as lock_api::RawRwLock>::GuardMarker;

    fn lock_shared(&self) {
        if is_scheduled() { insist(|| self.0.try_lock_shared()) } else { self.0.lock_shared() }
    }

    fn try_lock_shared(&self) -> bool {
        point();
        self.0.try_lock_shared()
    }

    unsafe fn unlock_shared(&self) {
        // SAFETY: the caller has it locked.
        unsafe { self.0.unlock_shared() };
        point();
    }

    fn lock_exclusive(&self) {
        if is_scheduled() { insist(|| self.0.try_lock_exclusive()) } else { self.0.lock_exclusive() }
    }

    fn try_lock_exclusive(&self) -> bool {
        point();
        self.0.try_lock_exclusive()
    }

    unsafe fn unlock_exclusive(&self) {
        // SAFETY: the caller has it locked.
        unsafe { self.0.unlock_exclusive() };
        point();
    }
}

// SAFETY: as above.
unsafe impl lock_api::RawRwLockRecursive for ScheduledRwLock {
    fn lock_shared_recursive(&self) {
        if is_scheduled() { insist(|| self.0.try_lock_shared_recursive()) } else { self.0.lock_shared_recursive() }
    }

    fn try_lock_shared_recursive(&self) -> bool {
        point();
        self.0.try_lock_shared_recursive()
    }
}

// SAFETY: as above.
unsafe impl lock_api::RawRwLockFair for ScheduledRwLock {
    unsafe fn unlock_shared_fair(&self) {
        // SAFETY: the caller has it locked.
        unsafe { self.0.unlock_shared_fair() };
        point();
    }

    unsafe fn unlock_exclusive_fair(&self) {
        // SAFETY: the caller has it locked.
        unsafe { self.0.unlock_exclusive_fair() };
        point();
    }
}

/// Lets go of the mutex until told, or in a scheduler's run until the others had their turn.
pub(crate) fn wait<T>(condvar: &Condvar, guard: &mut PlainGuard<'_, T>, at_most: Option<Duration>) {
    if is_scheduled() {
        return PlainGuard::unlocked(guard, shuttle::thread::yield_now);
    }
    system::wait(condvar, guard, at_most);
}

pub(crate) enum JoinHandle<T> {
    System(system::JoinHandle<T>),
    Scheduled(shuttle::thread::JoinHandle<T>),
}

impl<T> JoinHandle<T> {
    pub(crate) fn join(self) -> std::thread::Result<T> {
        match self {
            Self::System(thread) => thread.join(),
            Self::Scheduled(thread) => thread.join(),
        }
    }
}

/// Starts a thread.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    if is_scheduled() {
        return shuttle::thread::Builder::new().name(name.to_owned()).spawn(run).map(JoinHandle::Scheduled);
    }
    system::spawn(name, run).map(JoinHandle::System)
}

/// Runs `work` on a thread that `prepare` has prepared, and waits for it; in a scheduler's run, here.
pub(crate) fn run_apart<R: Send>(name: &str, prepare: impl FnOnce() + Send, work: &(dyn Fn() -> R + Sync)) -> R {
    if is_scheduled() { work() } else { system::run_apart(name, prepare, work) }
}

pub(crate) enum Thread {
    System(system::Thread),
    Scheduled(shuttle::thread::Thread),
}

impl Thread {
    pub(crate) fn unpark(&self) {
        match self {
            Self::System(thread) => thread.unpark(),
            Self::Scheduled(thread) => thread.unpark(),
        }
    }
}

/// The thread that asks.
pub(crate) fn current() -> Thread {
    if is_scheduled() { Thread::Scheduled(shuttle::thread::current()) } else { Thread::System(system::current()) }
}

/// Waits until it is unparked.
pub(crate) fn park() {
    if is_scheduled() { shuttle::thread::park() } else { system::park() }
}
