//! How long something took, counted by classes that are few and the same for all.
//!
//! Always true: counting never waits, and takes the same memory however much was counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Microseconds that the durations of each class do not exceed; longer ones have the last class for themselves.
pub const DURATION_BOUNDS: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

const CLASSES: usize = DURATION_BOUNDS.len() + 1;

/// Counts of durations that many threads add to.
#[derive(Debug, Default)]
pub struct Durations {
    classes: [AtomicU64; CLASSES],
    microseconds: AtomicU64,
}

/// What was counted, as of some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// How many durations belong to each class, by [`DURATION_BOUNDS`]; those beyond the last bound come last.
    pub classes: [u64; CLASSES],
    /// All durations together.
    pub microseconds: u64,
}

impl Durations {
    /// Counts one.
    pub fn count(&self, duration: Duration) {
        self.count_all(duration, 1);
    }

    /// Counts so many that are equal.
    pub fn count_all(&self, duration: Duration, count: u64) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        // What is a little longer than a bound is not of its class.
        let reached = duration > Duration::from_micros(microseconds);
        let class = DURATION_BOUNDS.partition_point(|bound| *bound < microseconds + u64::from(reached));
        self.classes[class].fetch_add(count, Relaxed);
        self.microseconds.fetch_add(microseconds.saturating_mul(count), Relaxed);
    }

    /// What was counted so far.
    pub fn spread(&self) -> Spread {
        Spread {
            classes: std::array::from_fn(|class| self.classes[class].load(Relaxed)),
            microseconds: self.microseconds.load(Relaxed),
        }
    }

    /// Counts from zero again.
    pub fn reset(&self) {
        self.classes.iter().chain([&self.microseconds]).for_each(|counter| counter.store(0, Relaxed));
    }
}

impl Spread {
    /// The bound, in microseconds, of the longest duration counted after `before`; the last bound for longer ones, and 0 where
    /// none was counted.
    pub fn slowest_since(&self, before: &Self) -> u64 {
        let class = (0..CLASSES).rev().find(|class| self.classes[*class] > before.classes[*class]);
        class.map_or(0, |class| DURATION_BOUNDS[class.min(DURATION_BOUNDS.len() - 1)])
    }

    /// How many durations were counted.
    pub fn total(&self) -> u64 {
        self.classes.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_belongs_to_the_first_class_that_it_does_not_exceed() {
        let durations = Durations::default();
        let counted = |nanoseconds: u64| {
            durations.reset();
            durations.count(Duration::from_nanos(nanoseconds));
            let spread = durations.spread();
            assert_eq!((spread.total(), spread.microseconds), (1, nanoseconds / 1000));
            spread.classes.iter().position(|count| *count == 1).expect("a class")
        };
        assert_eq!([0, 100_000, 100_001, 250_000, 250_001].map(counted), [0, 0, 1, 1, 2]);
        assert_eq!([60_000_000_000, 60_000_000_001, u64::MAX].map(counted), [17, 18, 18]);
        let before = durations.spread();
        assert_eq!(before.slowest_since(&before), 0);
        durations.count(Duration::from_millis(3));
        durations.count(Duration::from_millis(1));
        assert_eq!(durations.spread().slowest_since(&before), 5_000);
        assert_eq!(before.slowest_since(&Spread::default()), 60_000_000);
        durations.reset();
        assert_eq!(durations.spread(), Spread::default());
    }
}
