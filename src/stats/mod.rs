//! Counters of what the server did, readable at any time without stopping anyone.
//!
//! Always true: counting never waits, except for what was slow anyway; a counter only grows until CONFIG RESETSTAT.

mod histogram;
mod latency;
mod slowlog;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

pub use histogram::{Counts, Histogram, bucket_of};
pub use latency::{Event, Latency, Sample, Series};
pub use slowlog::{SlowCommand, Slowlog, shortened};

/// How many different error codes are told apart; what comes on top is counted as `ERR`.
const ERROR_CODES_MAX: usize = 128;

/// All counters.
#[derive(Debug)]
pub struct Stats {
    /// By command.
    pub commands: CommandStats,
    /// By the code of the error.
    pub errors: ErrorStats,
    /// What is kept of commands that take long.
    pub watching: Watching,
    /// Commands that took long.
    pub slowlog: Slowlog,
    /// Events that took long.
    pub latency: Latency,
    /// Connections accepted.
    pub connections: Counter,
    /// Connections refused because there were too many.
    pub rejected_connections: Counter,
    /// Clients that were cut off for the memory that they took.
    pub evicted_clients: Counter,
    /// Bytes read from clients.
    pub input_bytes: Counter,
    /// Bytes written to clients.
    pub output_bytes: Counter,
    /// Look-ups that found their key.
    pub hits: Counter,
    /// Those of them that needed a value which was only in the page cache.
    pub page_cache_hits: Counter,
    /// Those of them that needed a value which was only on the disk.
    pub disk_hits: Counter,
    /// Look-ups that did not.
    pub misses: Counter,
    /// Changes since the start.
    pub changes: Counter,
    /// Clients cut off because they did not read their replies.
    pub output_limit_disconnections: Counter,
    /// Clients cut off because a request was too large for the query buffer.
    pub query_limit_disconnections: Counter,
    /// Reads from sockets that brought something.
    pub reads: Counter,
    /// Writes to sockets.
    pub writes: Counter,
    /// Rounds of the threads that serve clients, each from when it had something to do until it had nothing.
    pub cycles: Counter,
    /// The time of these, in nanoseconds.
    pub cycle_nanoseconds: Counter,
    /// Syncs that SAVE and BGSAVE asked for.
    pub saves: Counter,
    /// Time spent removing keys whose time was over, in nanoseconds.
    pub expiry_nanoseconds: Counter,
    /// What the allocator handed out.
    pub memory: MemoryMarks,
    /// The last seconds.
    pub rates: Rates,
}

/// The memory that was in use at some moments, in bytes.
#[derive(Debug, Default)]
pub struct MemoryMarks {
    peak: AtomicU64,
    startup: AtomicU64,
    /// Nanoseconds for which more than the limit was in use: all that are over, and the one that is on.
    exceeded: AtomicU64,
    exceeding: AtomicU64,
}

impl MemoryMarks {
    /// Notes what is in use now.
    pub fn note(&self, bytes: u64) {
        self.peak.fetch_max(bytes, Relaxed);
    }

    /// Notes what is in use before any key is loaded.
    pub fn note_startup(&self, bytes: u64) {
        self.startup.store(bytes, Relaxed);
    }

    /// For so long more than the limit was in use, and is not any more.
    pub fn add_exceeded(&self, time: Duration) {
        self.exceeded.fetch_add(time.as_nanos() as u64, Relaxed);
    }

    /// For so long more than the limit has been in use; zero where it is not.
    pub fn note_exceeding(&self, time: Duration) {
        self.exceeding.store(time.as_nanos() as u64, Relaxed);
    }

    /// For how long more than the limit was in use, all in all, and for how long it is now.
    pub fn exceeded(&self) -> (Duration, Duration) {
        let exceeding = Duration::from_nanos(self.exceeding.load(Relaxed));
        (Duration::from_nanos(self.exceeded.load(Relaxed)) + exceeding, exceeding)
    }

    /// The most that was ever noted.
    pub fn peak(&self) -> u64 {
        self.peak.load(Relaxed)
    }

    /// Before any key was loaded.
    pub fn startup(&self) -> u64 {
        self.startup.load(Relaxed)
    }
}

/// A number that many threads add to.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    #[inline]
    pub fn add(&self, amount: u64) {
        if amount != 0 {
            self.0.fetch_add(amount, Relaxed);
        }
    }

    /// What it is.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}

/// One command's counters.
#[derive(Debug, Default)]
pub struct CommandCounters {
    /// Executions.
    pub calls: Counter,
    /// Time spent executing, in nanoseconds.
    pub nanoseconds: Counter,
    /// Refused before they ran.
    pub rejected: Counter,
    /// Ended with an error.
    pub failed: Counter,
    /// How long executions took.
    pub histogram: Histogram,
}

/// From when on a command is slow, and whether durations are counted: looked at by every command.
#[derive(Debug)]
pub struct Watching {
    /// From so many nanoseconds on a command is looked at closely; the largest number for never.
    slow_from: AtomicU64,
    tracks: AtomicBool,
}

impl Watching {
    /// Sets both.
    pub fn set(&self, slow_from: u64, tracks: bool) {
        self.slow_from.store(slow_from, Relaxed);
        self.tracks.store(tracks, Relaxed);
    }

    /// Whether a command that took so many nanoseconds is to be looked at closely.
    #[inline]
    pub fn is_slow(&self, nanoseconds: u64) -> bool {
        nanoseconds >= self.slow_from.load(Relaxed)
    }

    /// Whether durations are counted in histograms.
    #[inline]
    pub fn tracks(&self) -> bool {
        self.tracks.load(Relaxed)
    }
}

/// All commands' counters, by their numbers.
#[derive(Debug)]
pub struct CommandStats {
    by_index: Box<[CommandCounters]>,
}

impl CommandStats {
    /// Counts a finished request.
    #[inline]
    pub fn count(&self, index: Option<usize>, failed: bool, rejected: bool) {
        let Some(counters) = index.and_then(|index| self.by_index.get(index)) else { return };
        counters.rejected.add(u64::from(rejected));
        counters.failed.add(u64::from(failed && !rejected));
    }

    /// Adds executions of one command and the time they took together.
    #[inline]
    pub fn add(&self, index: usize, calls: u64, nanoseconds: u64) {
        let Some(counters) = self.by_index.get(index) else { return };
        counters.calls.add(calls);
        counters.nanoseconds.add(nanoseconds);
    }

    /// Counts executions of one command whose durations are of one bucket.
    #[inline]
    pub fn add_durations(&self, index: usize, bucket: u16, calls: u64) {
        if let Some(counters) = self.by_index.get(index) {
            counters.histogram.add(bucket, calls);
        }
    }

    /// One command's counters.
    pub fn get(&self, index: usize) -> &CommandCounters {
        &self.by_index[index]
    }

    /// The time of all executions, in nanoseconds.
    pub fn total_nanoseconds(&self) -> u64 {
        self.by_index.iter().map(|counters| counters.nanoseconds.get()).sum()
    }

    /// Executions of all commands.
    pub fn total_calls(&self) -> u64 {
        self.by_index.iter().map(|counters| counters.calls.get()).sum()
    }
}

/// Errors by their codes.
#[derive(Debug, Default)]
pub struct ErrorStats {
    total: Counter,
    by_code: Mutex<BTreeMap<String, u64>>,
}

impl ErrorStats {
    /// Counts an error reply; its first word is the code.
    pub fn count(&self, text: &[u8]) {
        self.total.add(1);
        let code = text.split(|byte| *byte == b' ').next().unwrap_or_default();
        let code = std::str::from_utf8(code).unwrap_or("ERR");
        let mut by_code = self.by_code.lock();
        if let Some(count) = by_code.get_mut(code) {
            *count += 1;
            return;
        }
        let code = if by_code.len() < ERROR_CODES_MAX { code } else { "ERR" };
        *by_code.entry(code.to_owned()).or_default() += 1;
    }

    /// All errors.
    pub fn total(&self) -> u64 {
        self.total.get()
    }

    /// Codes and counts, by name.
    pub fn by_code(&self) -> Vec<(String, u64)> {
        self.by_code.lock().iter().map(|(code, count)| (code.clone(), *count)).collect()
    }
}

impl Stats {
    /// Counters for so many commands, all zero.
    pub fn new(commands: usize) -> Self {
        Self {
            commands: CommandStats { by_index: (0..commands).map(|_| CommandCounters::default()).collect() },
            errors: ErrorStats::default(),
            watching: Watching { slow_from: AtomicU64::new(u64::MAX), tracks: AtomicBool::new(true) },
            slowlog: Slowlog::default(),
            latency: Latency::default(),
            connections: Counter::default(),
            rejected_connections: Counter::default(),
            evicted_clients: Counter::default(),
            input_bytes: Counter::default(),
            output_bytes: Counter::default(),
            hits: Counter::default(),
            page_cache_hits: Counter::default(),
            disk_hits: Counter::default(),
            misses: Counter::default(),
            changes: Counter::default(),
            output_limit_disconnections: Counter::default(),
            query_limit_disconnections: Counter::default(),
            reads: Counter::default(),
            writes: Counter::default(),
            cycles: Counter::default(),
            cycle_nanoseconds: Counter::default(),
            saves: Counter::default(),
            expiry_nanoseconds: Counter::default(),
            memory: MemoryMarks::default(),
            rates: Rates::default(),
        }
    }

    /// Sets everything to zero: CONFIG RESETSTAT.
    pub fn reset(&self) {
        for counters in &self.commands.by_index {
            let all = [&counters.calls, &counters.nanoseconds, &counters.rejected, &counters.failed];
            all.into_iter().for_each(Counter::reset);
            counters.histogram.reset();
        }
        self.errors.total.reset();
        self.errors.by_code.lock().clear();
        let counters = [
            &self.connections,
            &self.rejected_connections,
            &self.evicted_clients,
            &self.input_bytes,
            &self.output_bytes,
            &self.hits,
            &self.page_cache_hits,
            &self.disk_hits,
            &self.misses,
            &self.output_limit_disconnections,
            &self.query_limit_disconnections,
            &self.reads,
            &self.writes,
            &self.cycles,
            &self.cycle_nanoseconds,
            &self.saves,
            &self.expiry_nanoseconds,
        ];
        counters.into_iter().for_each(Counter::reset);
        *self.rates.0.lock() = Samples::default();
    }

    /// Takes a sample for the rates at `now`, in milliseconds of a monotonic clock.
    pub fn sample(&self, now: u64) {
        let totals = [
            self.commands.total_calls(),
            self.input_bytes.get(),
            self.output_bytes.get(),
            self.cycles.get(),
            self.cycle_nanoseconds.get(),
        ];
        self.rates.0.lock().add(now, totals);
    }
}

/// What happened per second, as the mean of the last samples.
#[derive(Debug, Default)]
pub struct Rates(Mutex<Samples>);

/// How many numbers have a rate.
const RATES: usize = 5;

/// How many samples the mean is taken over.
const SAMPLES: usize = 16;

#[derive(Debug, Default)]
struct Samples {
    last: Option<(u64, [u64; RATES])>,
    rates: Vec<[u64; RATES]>,
    next: usize,
}

impl Samples {
    fn add(&mut self, now: u64, totals: [u64; RATES]) {
        if let Some((then, before)) = self.last {
            let elapsed = now.saturating_sub(then).max(1);
            let rate = std::array::from_fn(|at| totals[at].saturating_sub(before[at]) * 1000 / elapsed);
            if self.rates.len() < SAMPLES {
                self.rates.push(rate);
            } else {
                self.rates[self.next] = rate;
            }
            self.next = (self.next + 1) % SAMPLES;
        }
        self.last = Some((now, totals));
    }
}

impl Rates {
    /// Commands, bytes in and bytes out, rounds and their nanoseconds, per second.
    pub fn per_second(&self) -> [u64; RATES] {
        let samples = self.0.lock();
        let count = samples.rates.len().max(1) as u64;
        std::array::from_fn(|at| samples.rates.iter().map(|rate| rate[at]).sum::<u64>() / count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_means_of_what_was_sampled() {
        let stats = Stats::new(2);
        stats.sample(1000);
        stats.commands.add(1, 50, 9);
        stats.input_bytes.add(1000);
        stats.sample(1100);
        stats.sample(1200);
        assert_eq!(stats.rates.per_second(), [250, 5000, 0, 0, 0]);
        stats.reset();
        assert_eq!((stats.rates.per_second(), stats.commands.total_calls()), ([0; RATES], 0));
    }

    #[test]
    fn errors_are_counted_by_code() {
        let stats = Stats::new(0);
        [b"ERR a", b"ERR b", b"OOM c"].into_iter().for_each(|text| stats.errors.count(text));
        assert_eq!(stats.errors.by_code(), [("ERR".to_owned(), 2), ("OOM".to_owned(), 1)]);
        assert_eq!(stats.errors.total(), 3);
    }
}
