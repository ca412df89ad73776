//! Time, as a trait, so that a test moves it by hand. Only this file names `SystemTime` and `Instant`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch, as the machine's clock shows them; it may step back.
    fn wall(&self) -> u64;
    /// The same in microseconds.
    fn wall_microseconds(&self) -> u64 {
        self.wall() * 1000
    }
    /// Time since some fixed moment of this process; it never steps back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // Without the 128 bits of `as_millis`: each request asks.
        since.map_or(0, |elapsed| elapsed.as_secs() * 1000 + u64::from(elapsed.subsec_millis()))
    }

    fn wall_microseconds(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |elapsed| elapsed.as_micros() as u64)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that stands still until it is moved: a test instrument.
#[derive(Debug)]
pub struct TestClock {
    wall_ms: AtomicU64,
    monotonic_ns: AtomicU64,
}

impl TestClock {
    /// A clock that shows `wall` milliseconds since the Unix epoch; its monotonic time is zero.
    pub fn new(wall: u64) -> Self {
        Self { wall_ms: AtomicU64::new(wall), monotonic_ns: AtomicU64::new(0) }
    }

    /// Lets time pass, on the wall and monotonically. The wall keeps whole milliseconds of `elapsed`.
    pub fn advance(&self, elapsed: Duration) {
        self.wall_ms.fetch_add(elapsed.as_millis() as u64, Ordering::SeqCst);
        self.monotonic_ns.fetch_add(elapsed.as_nanos() as u64, Ordering::SeqCst);
    }

    /// Sets the wall clock, forwards or back, as an administrator or a time server would; no time passes.
    pub fn set_wall(&self, wall: u64) {
        self.wall_ms.store(wall, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn wall(&self) -> u64 {
        self.wall_ms.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.monotonic_ns.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_clock_moves_only_by_hand() {
        let clock = TestClock::new(1_000);
        assert_eq!((clock.wall(), clock.monotonic()), (1_000, Duration::ZERO));
        clock.advance(Duration::from_millis(250));
        assert_eq!((clock.wall(), clock.monotonic()), (1_250, Duration::from_millis(250)));
        clock.set_wall(7);
        assert_eq!((clock.wall(), clock.monotonic()), (7, Duration::from_millis(250)));
    }

    #[test]
    fn the_system_clock_runs() {
        let clock = SystemClock::new();
        assert!(clock.wall() > 1_600_000_000_000, "milliseconds since 1970");
        let before = clock.monotonic();
        assert!(clock.monotonic() >= before);
    }
}
