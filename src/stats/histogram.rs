//! A histogram of durations whose buckets grow with what they hold, as HdrHistogram with two significant digits: no
//! value is told with an error of more than one percent.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Values below have a bucket each, and each doubling above has half as many.
const LINEAR: u64 = 256;
const LINEAR_BITS: u32 = LINEAR.ilog2();

/// Longer durations count as this one, as in Redis: a second.
const NANOSECONDS_MAX: u64 = 1_000_000_000;

const BUCKETS: usize = bucket_of(NANOSECONDS_MAX) as usize + 1;

/// The first bound that LATENCY HISTOGRAM tells of, in nanoseconds; each further one is the double.
const FIRST_BOUND: u64 = 1024;

/// Counts of durations; takes memory only once it counts.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: OnceLock<Box<[AtomicU64]>>,
}

/// The number of the bucket that a duration belongs to.
#[inline]
pub const fn bucket_of(nanoseconds: u64) -> u16 {
    let value = if nanoseconds < NANOSECONDS_MAX { nanoseconds } else { NANOSECONDS_MAX };
    let value = if value == 0 { 1 } else { value };
    let shift = (value | (LINEAR - 1)).ilog2() + 1 - LINEAR_BITS;
    (((shift as u64) << (LINEAR_BITS - 1)) + (value >> shift)) as u16
}

/// The shortest and the longest duration of a bucket.
fn bounds_of(bucket: usize) -> (u64, u64) {
    let (bucket, half) = (bucket as u64, LINEAR / 2);
    let shift = (bucket / half).saturating_sub(1);
    let lowest = (bucket - shift * half) << shift;
    (lowest, lowest + (1 << shift) - 1)
}

impl Histogram {
    /// Counts durations of one bucket.
    #[inline]
    pub fn add(&self, bucket: u16, count: u64) {
        let buckets = self.buckets.get_or_init(|| (0..BUCKETS).map(|_| AtomicU64::new(0)).collect());
        if let Some(counter) = buckets.get(usize::from(bucket)) {
            counter.fetch_add(count, Relaxed);
        }
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.buckets.get().into_iter().flatten().for_each(|counter| counter.store(0, Relaxed));
    }

    /// What was counted, as of some moment.
    pub fn snapshot(&self) -> Counts {
        let buckets: Vec<u64> = self.buckets.get().into_iter().flatten().map(|counter| counter.load(Relaxed)).collect();
        Counts { total: buckets.iter().sum(), buckets }
    }
}

/// The counts of a histogram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    buckets: Vec<u64>,
    total: u64,
}

impl Counts {
    /// How many durations were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Adds what another histogram counted.
    pub fn add(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(count, other)| *count += other);
        self.total += other.total;
    }

    /// What was counted after `before`; where counting began from zero since, all of it.
    pub fn since(&self, before: &Self) -> Self {
        let earlier = |bucket: usize| before.buckets.get(bucket).copied().unwrap_or(0);
        if self.buckets.iter().enumerate().any(|(bucket, count)| *count < earlier(bucket)) {
            return self.clone();
        }
        let buckets: Vec<u64> =
            self.buckets.iter().enumerate().map(|(bucket, count)| count - earlier(bucket)).collect();
        Self { total: buckets.iter().sum(), buckets }
    }

    /// The duration, in nanoseconds, that so many percent of all did not exceed; the shortest for 0.
    pub fn percentile(&self, percent: f64) -> u64 {
        let wanted = ((percent / 100.0 * self.total as f64 + 0.5) as u64).max(1);
        let mut sum = 0;
        let reached = |(_, count): &(usize, &u64)| {
            sum += **count;
            sum >= wanted
        };
        let (lowest, highest) =
            self.buckets.iter().enumerate().find(reached).map_or((0, 0), |(bucket, _)| bounds_of(bucket));
        if percent == 0.0 { lowest } else { highest }
    }

    /// For bounds in microseconds that double, how many durations were not longer: only those that add something.
    pub fn cumulative(&self) -> Vec<(u64, u64)> {
        let (mut told, mut sum, mut next, mut bound) = (Vec::new(), 0, 0, FIRST_BOUND);
        while sum < self.total {
            let last = usize::from(bucket_of(bound));
            let before = sum;
            sum += self.buckets[next..=last].iter().sum::<u64>();
            if sum > before {
                told.push((bounds_of(last).1 / 1000, sum));
            }
            (next, bound) = (last + 1, bound * 2);
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_err_by_one_percent_at_most() {
        let mut before = bucket_of(0);
        for value in (1..100_000).chain((100_000..NANOSECONDS_MAX).step_by(9_973)) {
            let bucket = bucket_of(value);
            assert!(bucket == before || bucket == before + 1 || value > 100_000, "{value}");
            let (lowest, highest) = bounds_of(usize::from(bucket));
            assert!(lowest <= value && value <= highest && (highest - value) * 100 <= value, "{value}: {highest}");
            before = bucket;
        }
        assert_eq!(bucket_of(u64::MAX), bucket_of(NANOSECONDS_MAX));
    }

    #[test]
    fn percentiles_and_bounds_are_those_of_hdr_histogram() {
        let histogram = Histogram::default();
        assert_eq!((histogram.snapshot().percentile(50.0), histogram.snapshot().cumulative()), (0, vec![]));
        // What redis-server 7.0 tells of calls that took 1, 3 and 40000 microseconds.
        for (microseconds, calls) in [(1, 98), (3, 1), (40_000, 1)] {
            histogram.add(bucket_of(microseconds * 1000), calls);
        }
        let counts = histogram.snapshot();
        let told: Vec<u64> = [50.0, 99.0, 99.9, 100.0, 0.0].map(|percent| counts.percentile(percent)).into();
        assert_eq!(told, [1003, 3007, 40_108_031, 40_108_031, 1000]);
        assert_eq!(counts.cumulative(), [(1, 98), (4, 99), (67_633, 100)]);
        let mut both = Counts::default();
        [&counts, &counts].into_iter().for_each(|counts| both.add(counts));
        assert_eq!((both.total(), both.since(&counts)), (200, counts.clone()));
        assert_eq!(counts.since(&both), counts);
        histogram.reset();
        assert_eq!(histogram.snapshot().total(), 0);
    }
}
