//! What can be told of a running store.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::error::Refused;
use super::log::Log;
use super::segment::{FIRST_OFFSET, Position};

/// What INFO says of the store. Sizes are bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Segments with records, and those made ready.
    pub segments: usize,
    /// Bytes of all records.
    pub bytes_total: u64,
    /// Bytes of records that something refers to.
    pub bytes_live: u64,
    /// Bytes of the others: values that nothing refers to, deletions, marks.
    pub bytes_dead: u64,
    /// Bytes that the files of the log take, what is reserved for the segments in use included.
    pub bytes_disk: u64,
    /// Bytes that they may take before compaction makes them fewer: what is alive with its hints, and so much garbage as the
    /// policy lets be.
    pub bytes_disk_max: u64,
    /// Bytes of records appended since the start.
    pub bytes_appended: u64,
    /// The position behind the last record appended.
    pub appended: Position,
    /// The position up to which the kernel has the log.
    pub written: Position,
    /// The position up to which the log is durable.
    pub durable: Position,
    /// The number of the last record.
    pub sequence: u64,
    /// Bytes that are in memory because they are not written or not durable.
    pub window_bytes: u64,
    /// Writes to the log since the start.
    pub writes: u64,
    /// Syncs of the log since the start.
    pub syncs: u64,
    /// Writes that failed.
    pub failed_writes: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// What the disk said when it last failed.
    pub last_error: Option<String>,
    /// Why appends are refused, if they are.
    pub refused: Option<Refused>,
}

/// The longest that the log waited for the disk within some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slowest {
    pub write: Duration,
    pub sync: Duration,
}

impl Log {
    pub(super) fn take_slowest(&self) -> Slowest {
        let take = |counter: &std::sync::atomic::AtomicU64| Duration::from_nanos(counter.swap(0, Ordering::Relaxed));
        Slowest { write: take(&self.counters.slowest_write), sync: take(&self.counters.slowest_sync) }
    }

    pub(super) fn status(&self) -> Status {
        let (offset, current, sequence, refused) = {
            let active = self.active.lock();
            let current = active.segment.as_ref().map(|segment| segment.id);
            (active.offset, current, active.sequence - 1, active.refused.clone())
        };
        let (mut segments, mut bytes_total, mut bytes_live) = (0, 0, 0);
        for segment in self.table.load().all() {
            if segment.is_left() && segment.bytes() == 0 {
                continue;
            }
            segments += 1;
            bytes_live += segment.live().bytes;
            let here = current == Some(segment.id) && !segment.is_left();
            bytes_total += if here { offset - u64::from(FIRST_OFFSET) } else { segment.bytes() };
        }
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let appended = self.appended.load(Ordering::Acquire);
        let (written, durable) = (self.written.load(Ordering::Acquire), self.durable.load(Ordering::Acquire));
        Status {
            segments,
            bytes_total,
            bytes_live,
            bytes_dead: bytes_total.saturating_sub(bytes_live),
            bytes_disk: self.disk_bytes(),
            bytes_disk_max: self.budget(&self.orders.policy()).total_max,
            bytes_appended: appended - self.began,
            appended,
            written,
            durable,
            sequence,
            window_bytes: appended.saturating_sub(durable),
            writes: count(&self.counters.writes),
            syncs: count(&self.counters.syncs),
            failed_writes: count(&self.counters.failed_writes),
            failed_syncs: count(&self.counters.failed_syncs),
            last_error: self.counters.last_error.lock().clone(),
            refused,
        }
    }
}
