//! What can be told of a running store.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::durations::Spread;
use super::error::Refused;
use super::log::Log;
use super::manifest::SegmentKind;
use super::segment::{FIRST_OFFSET, Position, Segment};

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

/// How long the log's writes and syncs took that succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    pub writes: Spread,
    pub syncs: Spread,
}

/// One segment of a running store. Sizes are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentStatus {
    pub id: u32,
    /// It has what compaction found alive elsewhere, rather than what was written by clients.
    pub is_compacted: bool,
    pub phase: SegmentPhase,
    /// Of its records.
    pub bytes: u64,
    /// Of those that something refers to.
    pub live: u64,
    /// Of its file and its hint; what is reserved counts.
    pub disk: u64,
    /// When it was begun, in milliseconds since the Unix epoch; 0 where its header does not say.
    pub created: u64,
}

/// What happens to a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentPhase {
    /// It is made ready for records to come.
    Ready,
    /// It takes records.
    Active,
    /// It is complete.
    Sealed,
    /// Compaction copies out of it what is alive.
    Compacting,
    /// Something in it does not verify, so that it stays.
    Damaged,
}

impl Log {
    pub(super) fn waits(&self) -> Waits {
        Waits { writes: self.counters.write_durations.spread(), syncs: self.counters.sync_durations.spread() }
    }

    pub(super) fn reset_waits(&self) {
        self.counters.write_durations.reset();
        self.counters.sync_durations.reset();
    }

    pub(super) fn segments(&self) -> Vec<SegmentStatus> {
        let (offset, current) = {
            let active = self.active.lock();
            (active.offset, active.segment.as_ref().map(|segment| segment.id))
        };
        let one = |segment: &std::sync::Arc<Segment>| {
            let is_current = current == Some(segment.id) && !segment.is_left();
            let phase = match () {
                () if segment.is_damaged() => SegmentPhase::Damaged,
                () if segment.is_compacting() => SegmentPhase::Compacting,
                () if is_current => SegmentPhase::Active,
                () if segment.is_left() => SegmentPhase::Sealed,
                () => SegmentPhase::Ready,
            };
            let bytes = if is_current { offset - u64::from(FIRST_OFFSET) } else { segment.bytes() };
            SegmentStatus {
                id: segment.id,
                is_compacted: segment.kind == SegmentKind::Compacted,
                phase,
                bytes,
                live: segment.live().bytes.min(bytes),
                disk: segment.disk_bytes(),
                created: segment.created(),
            }
        };
        self.table.load().all().map(one).collect()
    }

    pub(super) fn take_slowest(&self) -> Slowest {
        let take = |counter: &std::sync::atomic::AtomicU64| Duration::from_nanos(counter.swap(0, Ordering::Relaxed));
        Slowest { write: take(&self.counters.slowest_write), sync: take(&self.counters.slowest_sync) }
    }

    pub(super) fn status(&self) -> Status {
        let (offset, current, sequence, refused) = {
            let active = self.active.lock();
            let current = active.segment.as_ref().map(|segment| segment.id);
            (active.offset, current, active.sequence - 1, active.refusal())
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
