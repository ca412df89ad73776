//! What took longer than `latency-monitor-threshold`, by the kind of event.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

/// How many seconds with something slow are kept of each event.
const SAMPLES_MAX: usize = 160;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A write of the log.
    LogWrite,
    /// A sync of the log that clients wait for, as `appendfsync always` has it.
    LogSyncAlways,
    /// A sync of the log in the background.
    LogSync,
    /// A value that had to be fetched from the disk.
    ColdRead,
    /// A command.
    Command,
    /// A command with the flag `fast`.
    FastCommand,
    /// Removing keys whose time is over.
    Expiry,
    /// A change that waited until the log had room.
    LogRoom,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::LogWrite,
        Self::LogSyncAlways,
        Self::LogSync,
        Self::ColdRead,
        Self::Command,
        Self::FastCommand,
        Self::Expiry,
        Self::LogRoom,
    ];

    /// Redis's name where it has the event, ours elsewhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LogWrite => "aof-write",
            Self::LogSyncAlways => "aof-fsync-always",
            Self::LogSync => "aof-fsync",
            Self::ColdRead => "cold-read",
            Self::Command => "command",
            Self::FastCommand => "fast-command",
            Self::Expiry => "expire-cycle",
            Self::LogRoom => "log-room",
        }
    }

    /// The event of this name, in any case.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// The slowest moment of one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// In seconds since the Unix epoch.
    pub time: u64,
    pub milliseconds: u64,
}

/// What one event's samples were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// The newest last.
    pub samples: VecDeque<Sample>,
    /// The longest since the event was last reset.
    pub milliseconds_max: u64,
}

/// What took long, by event.
#[derive(Debug, Default)]
pub struct Latency {
    /// In milliseconds; 0 watches nothing.
    threshold: AtomicU64,
    series: Mutex<BTreeMap<Event, Series>>,
}

impl Latency {
    /// Sets from how many milliseconds on events are kept; 0 keeps none.
    pub fn set_threshold(&self, milliseconds: u64) {
        self.threshold.store(milliseconds, Relaxed);
    }

    /// Whether something that took so many nanoseconds is to be kept.
    pub fn is_slow(&self, nanoseconds: u64) -> bool {
        let threshold = self.threshold.load(Relaxed);
        threshold != 0 && nanoseconds / 1_000_000 >= threshold
    }

    /// Keeps what took so many nanoseconds, if that is long enough; `time` is in seconds since the Unix epoch.
    pub fn note(&self, event: Event, nanoseconds: u64, time: u64) {
        if !self.is_slow(nanoseconds) {
            return;
        }
        let milliseconds = nanoseconds / 1_000_000;
        let mut all = self.series.lock();
        let series = all.entry(event).or_default();
        series.milliseconds_max = series.milliseconds_max.max(milliseconds);
        match series.samples.back_mut() {
            Some(last) if last.time == time => last.milliseconds = last.milliseconds.max(milliseconds),
            _ => series.samples.push_back(Sample { time, milliseconds }),
        }
        if series.samples.len() > SAMPLES_MAX {
            series.samples.pop_front();
        }
    }

    /// All events with samples.
    pub fn all(&self) -> Vec<(Event, Series)> {
        self.series.lock().iter().map(|(event, series)| (*event, series.clone())).collect()
    }

    /// One event's samples.
    pub fn of(&self, event: Event) -> Option<Series> {
        self.series.lock().get(&event).cloned()
    }

    /// Forgets one event's samples; false where there are none.
    pub fn reset(&self, event: Event) -> bool {
        self.series.lock().remove(&event).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_slowest_of_each_second_is_kept() {
        let latency = Latency::default();
        latency.note(Event::Command, 900 * MS, 1);
        assert!(latency.all().is_empty(), "nothing is watched");
        latency.set_threshold(10);
        for (milliseconds, time) in [(20, 1), (30, 1), (25, 1), (9, 2), (10, 3)] {
            latency.note(Event::Command, milliseconds * MS, time);
        }
        let series = latency.of(Event::Command).unwrap();
        let samples: Vec<_> = series.samples.iter().map(|sample| (sample.time, sample.milliseconds)).collect();
        assert_eq!((samples, series.milliseconds_max), (vec![(1, 30), (3, 10)], 30));
        (0..500).for_each(|time| latency.note(Event::LogWrite, 50 * MS, time));
        let first = latency.of(Event::LogWrite).unwrap().samples[0].time;
        assert_eq!((latency.all().len(), first), (2, 500 - SAMPLES_MAX as u64));
        assert!(latency.reset(Event::Command) && !latency.reset(Event::Command));
        assert_eq!(Event::named(b"AOF-Write"), Some(Event::LogWrite));
        assert_eq!(Event::named(b"nosuch"), None);
    }
}
