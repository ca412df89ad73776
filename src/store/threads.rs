//! The threads of a store: one writes when nobody should do so inline and prepares segments, one syncs, and one does
//! what nobody waits for.
//!
//! They are asked, never waited for. Without them a store works as well: whoever asks does the work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::log::Log;
use super::options::Fsync;
use super::segment::Position;
use crate::sync::{Condvar, JoinHandle, Plain, spawn, wait};

/// How long written bytes stay unsynced under [`Fsync::Everysec`].
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// The priority of writing hints: with all processors in use it gets a third of one, so that it keeps up.
const MAINTENANCE_NICENESS: i32 = 5;

/// What the threads are asked for.
#[derive(Default)]
pub(super) struct Signals {
    running: AtomicBool,
    asked: Plain<Asked>,
    log_thread: Condvar,
    sync_thread: Condvar,
    maintenance_thread: Condvar,
}

#[derive(Default)]
struct Asked {
    write: bool,
    prepare: bool,
    sync: bool,
    maintain: bool,
    stop: bool,
}

impl Signals {
    /// Whether there are threads to ask.
    pub(super) fn running(&self) -> bool {
        self.running.load(Ordering::SeqCst)
    }

    pub(super) fn ask_to_write(&self) {
        self.asked.lock().write = true;
        self.log_thread.notify_one();
    }

    pub(super) fn ask_to_prepare(&self) {
        if self.running() {
            self.asked.lock().prepare = true;
            self.log_thread.notify_one();
        }
    }

    pub(super) fn ask_for_sync(&self) {
        self.asked.lock().sync = true;
        self.sync_thread.notify_one();
    }

    pub(super) fn ask_to_maintain(&self) {
        if self.running() {
            self.asked.lock().maintain = true;
            self.maintenance_thread.notify_one();
        }
    }

    /// Whether the threads were asked to end: what takes long and need not be done now is left undone.
    pub(super) fn stopping(&self) -> bool {
        self.asked.lock().stop
    }

    fn ask_to_stop(&self) {
        self.asked.lock().stop = true;
        self.log_thread.notify_one();
        self.sync_thread.notify_one();
        self.maintenance_thread.notify_one();
    }
}

impl Log {
    pub(super) fn start_threads(self: &Arc<Self>) -> std::io::Result<Vec<JoinHandle<()>>> {
        {
            let mut asked = self.signals.asked.lock();
            // What the last process left undone is done first.
            (asked.stop, asked.maintain) = (false, true);
        }
        let start = |name: &str, run: fn(&Self)| {
            let log = self.clone();
            spawn(name, move || {
                let mut alarm = Alarm { log: &log, armed: true };
                run(&log);
                alarm.armed = false;
            })
        };
        let mut threads = vec![start("log", Self::run_log_thread)?];
        for (name, run) in [("sync", Self::run_sync_thread as fn(&Self)), ("maintenance", Self::run_maintenance_thread)]
        {
            match start(name, run) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    self.stop_threads(threads);
                    return Err(error);
                }
            }
        }
        self.signals.running.store(true, Ordering::SeqCst);
        Ok(threads)
    }

    /// Ends the threads; from then on whoever asks does the work.
    pub(super) fn stop_threads(&self, threads: Vec<JoinHandle<()>>) {
        if threads.is_empty() {
            return;
        }
        self.signals.running.store(false, Ordering::SeqCst);
        self.signals.ask_to_stop();
        for thread in threads {
            // A panic in there has been made known by its alarm.
            let _ = thread.join();
        }
        self.signals.asked.lock().stop = false;
        // Who relied on them is served here once more.
        let _ = self.sync_round(self.fsync() == Fsync::Always);
        self.room.wake(Position::MAX);
    }

    fn run_log_thread(&self) {
        loop {
            let (write, prepare) = {
                let mut asked = self.signals.asked.lock();
                while !(asked.write || asked.prepare || asked.stop) {
                    wait(&self.signals.log_thread, &mut asked, None);
                }
                if asked.stop {
                    return;
                }
                (std::mem::take(&mut asked.write), std::mem::take(&mut asked.prepare))
            };
            if write {
                self.lead();
            }
            if prepare {
                self.prepare();
            }
        }
    }

    fn run_sync_thread(&self) {
        loop {
            let asked = {
                let mut asked = self.signals.asked.lock();
                if !asked.sync && !asked.stop {
                    wait(&self.signals.sync_thread, &mut asked, Some(SYNC_INTERVAL));
                }
                if asked.stop {
                    return;
                }
                std::mem::take(&mut asked.sync)
            };
            self.sync_turn(asked);
        }
    }

    /// What the sync thread does when it is asked, or once nobody has asked for a while.
    pub(super) fn sync_turn(&self, asked: bool) {
        let fsync = self.fsync();
        let is_due = asked || (fsync != Fsync::No && self.has_unsynced()) || self.failing.load(Ordering::SeqCst);
        let all = fsync != Fsync::No || self.durable_waiters.any_beyond(self.durable.load(Ordering::SeqCst));
        // What becomes of it is kept in `failure`.
        let is_well = !is_due || self.sync_round(all).is_ok();
        // Whoever made it durable: as long as nothing says so, damage to the last records looks like a torn tail.
        if is_well && !asked {
            self.claim();
        }
        // Nobody may write any more who could find that there is room again.
        if !asked && self.active.lock().stuck.is_some() {
            self.signals.ask_to_prepare();
        }
    }

    fn run_maintenance_thread(&self) {
        let_others_go_first(MAINTENANCE_NICENESS);
        loop {
            {
                let mut asked = self.signals.asked.lock();
                while !(asked.maintain || asked.stop) {
                    wait(&self.signals.maintenance_thread, &mut asked, None);
                }
                if asked.stop {
                    return;
                }
                asked.maintain = false;
            }
            // It was noted as the disk's last error, and is tried again when the next segment is sealed.
            let _ = self.write_hints();
        }
    }

    /// Whether something is unsynced beside the last claim.
    fn has_unsynced(&self) -> bool {
        let durable = self.durable.load(Ordering::Acquire);
        let active = self.active.lock();
        active.position > durable && active.claimed != active.position
    }
}

/// Gives the calling thread a lower priority: `niceness` as of nice(2). Where the system refuses, it goes on as it is.
pub(crate) fn let_others_go_first(niceness: i32) {
    // On Linux, the process that is named by nothing is this thread alone.
    let _ = rustix::process::setpriority_process(None, niceness);
}

/// Makes a panic known: nobody waits for a thread that is gone.
struct Alarm<'a> {
    log: &'a Log,
    armed: bool,
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.log.signals.running.store(false, Ordering::SeqCst);
            self.log.fail("a thread of the log has panicked", false);
        }
    }
}
