//! Threads of the system.

use std::io;
use std::thread::Builder;
use std::time::Duration;

use super::{Condvar, PlainGuard};

pub(crate) use std::thread::{JoinHandle, Thread, current, park};

/// A place where another thread may come in between.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn point() {}

/// Starts a thread.
///
/// # Errors
/// When the system has no more of them.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(run)
}

/// Lets go of the mutex until told, or until the time is over; it may also return for no reason.
pub(crate) fn wait<T>(condvar: &Condvar, guard: &mut PlainGuard<'_, T>, at_most: Option<Duration>) {
    match at_most {
        Some(time) => _ = condvar.wait_for(guard, time),
        None => condvar.wait(guard),
    }
}

/// Runs `work` on a thread of its own that `prepare` has prepared, or here where there are no more threads, and waits for it.
pub(crate) fn run_apart<R: Send>(name: &str, prepare: impl FnOnce() + Send, work: &(dyn Fn() -> R + Sync)) -> R {
    std::thread::scope(|scope| {
        let thread = Builder::new().name(name.to_owned()).spawn_scoped(scope, || {
            prepare();
            work()
        });
        match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => work(),
        }
    })
}
