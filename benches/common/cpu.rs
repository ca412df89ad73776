//! The CPU time of a process, to the nanosecond.

use std::time::{Duration, Instant};

/// A process that runs less than this part of the time has nothing to do but its timers.
const IDLE_PART: f64 = 0.01;
/// How long it is watched.
const WATCHED: Duration = Duration::from_millis(200);
/// What has not become idle by then never will.
const IDLE_WITHIN: Duration = Duration::from_secs(60);

/// Nanoseconds that all threads of the process have run. Threads that ended meanwhile are not in it; the servers'
/// threads that matter live as long as they do.
pub fn time(process: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("the process's threads");
    let times = threads.flatten().filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    times.sum()
}

/// Waits until the process has done what it does in the background: what was written before a measurement is no part of it.
pub fn wait_until_idle(process: u32) {
    let began = Instant::now();
    loop {
        let before = time(process);
        std::thread::sleep(WATCHED);
        // Where a thread has ended, time went back: it is watched once more.
        let taken = time(process).checked_sub(before);
        if taken.is_some_and(|taken| (taken as f64) < IDLE_PART * WATCHED.as_nanos() as f64) {
            return;
        }
        assert!(began.elapsed() < IDLE_WITHIN, "the server does not become idle");
    }
}
