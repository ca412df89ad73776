//! The CPU time of a process, to the nanosecond.

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
