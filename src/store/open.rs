//! How a log begins and ends its life.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::clock::Clock;
use super::commit::{Syncer, Writer};
use super::compact::{Compaction, Orders, Policy};
use super::disk::Disk;
use super::error::{LogFailed, OpenError, Refused};
use super::hash::KeyHasher;
use super::hints::Hints;
use super::log::{Active, Counters, Log, capacity_for, is_full};
use super::manifest::{Manifest, ManifestError};
use super::options::{Fsync, Options};
use super::recovery::{OnProgress, Recovered, Recovery, Replay, recover};
use super::segment::{FIRST_OFFSET, Position, Table};
use super::threads::Signals;
use super::waiters::Waiters;
use crate::sync::Mutex;

/// The hints of so many segments, by the size that they have by then, are written before a store is closed: the last one has
/// just been sealed, and the one before it may have been a moment ago. Where more lack theirs, somebody waits for the end.
const CLOSING_SEGMENTS: u64 = 2;
/// So many bytes of segments take no time.
const CLOSING_BYTES_MIN: u64 = 32 << 20;
/// Room in the first segment of a disk that has none for a whole one.
const SMALL_SEGMENT_BYTES: u64 = 64 << 10;

impl Log {
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        options: Options,
        replay: &mut dyn Replay,
        on_progress: OnProgress<'_>,
    ) -> Result<(Self, Recovered), OpenError> {
        let manifest = Manifest::open(disk.clone()).map_err(|error| match error {
            ManifestError::Io { action, error } => OpenError::Io { doing: format!("cannot {action}"), error },
            other => OpenError::Manifest(other),
        })?;
        let hasher = KeyHasher::new(manifest.hash_seed());
        let recovered = recover(&*disk, &manifest, &hasher, options.load_threads, replay, on_progress)?;
        let Recovery { recovered, segments, hinted, damaged } = recovered;
        let mut table = Table::default();
        for segment in segments {
            segment.file.expect_random_reads();
            table = table.with(segment);
        }
        let position = recovered.position;
        let log = Self {
            disk,
            clock,
            dataset: manifest.dataset_id(),
            // A run that lists no segment writes nothing; any other leaves a higher one to the next.
            run_id: manifest.unused_segment_id(),
            hasher,
            hints: Mutex::new(Hints::new(hinted, damaged)),
            segment_size: Mutex::new(options.segment_size),
            window_bytes_max: AtomicU64::new(options.window_bytes_max.max(1) as u64),
            batch_bytes_max: options.batch_bytes_max,
            fsync: AtomicU8::new(options.fsync as u8),
            manifest,
            unlisted: Mutex::default(),
            table: ArcSwap::from_pointee(table),
            active: Mutex::new(Active {
                segment: None,
                buffer: Vec::new(),
                buffer_offset: 0,
                offset: 0,
                prepare_at: u64::MAX,
                cramped_at: u64::MAX,
                position,
                sequence: recovered.sequence + 1,
                pending: Vec::new(),
                ready: Vec::new(),
                marked: (position, recovered.clock_floor, position),
                refused: None,
                stuck: None,
                full_until: Duration::ZERO,
                claimed: position,
            }),
            cramped: AtomicBool::new(false),
            room: Waiters::default(),
            writer: Mutex::new(Writer::default()),
            syncer: Mutex::new(Syncer::default()),
            in_flight: Mutex::default(),
            window: Mutex::default(),
            began: position,
            appended: AtomicU64::new(position),
            written: AtomicU64::new(position),
            durable: AtomicU64::new(position),
            acknowledged: AtomicU64::new(position),
            waiters: Waiters::default(),
            durable_waiters: Waiters::default(),
            broken: AtomicBool::new(false),
            failure: Mutex::default(),
            failing: AtomicBool::new(false),
            read_only: AtomicBool::new(false),
            latest_now: AtomicU64::new(recovered.clock_floor),
            syncing: AtomicBool::new(false),
            slow_until: AtomicU64::new(0),
            signals: Signals::default(),
            counters: Counters::default(),
            compaction: Compaction::default(),
            orders: Orders::new(Policy { retention: options.retention, ..Policy::default() }),
        };
        log.first_segment()?;
        Ok((log, recovered))
    }

    /// A fresh segment: nothing is ever appended behind a tail whose durability was in doubt.
    fn first_segment(&self) -> Result<(), OpenError> {
        let capacity = self.segment_bytes(self.live_bytes());
        let created = match self.create_segment(0, capacity) {
            // On a full disk, deletions must find a place at least.
            Err(error) if is_full(&error) => self.create_segment(0, capacity_for(0).max(SMALL_SEGMENT_BYTES)),
            created => created,
        };
        match created {
            Ok(segment) => self.active.lock().enter(segment),
            Err(error) if is_full(&error) => self.note_error(&error),
            Err(error) => return Err(OpenError::io("creating a segment")(error)),
        }
        Ok(())
    }

    pub(super) fn set_fsync(&self, fsync: Fsync) {
        self.fsync.store(fsync as u8, Ordering::SeqCst);
        // Who waits for less than before is served now, and a stalled writer may go on.
        let reached = match fsync {
            Fsync::Always => self.durable.load(Ordering::SeqCst),
            Fsync::Everysec | Fsync::No => self.written.load(Ordering::SeqCst),
        };
        self.acknowledged.fetch_max(reached, Ordering::SeqCst);
        self.waiters.wake(reached);
        self.make_room();
        self.signals.ask_for_sync();
    }

    /// Makes everything durable, seals the last segment so that nothing of it can be taken for a torn tail, and takes
    /// no more records.
    pub(super) fn close(&self) -> Result<(), LogFailed> {
        if self.active.lock().refused == Some(closed()) {
            return Ok(());
        }
        let synced = self.sync_round(true);
        let left = {
            let mut active = self.active.lock();
            if !matches!(active.refused, Some(Refused::ReadOnly(_))) {
                active.refused = Some(closed());
            }
            synced.is_ok() && self.leave_last(&mut active)
        };
        self.room.wake(Position::MAX);
        let closed = if left { self.sync_round(true) } else { synced };
        // The last segment has just been sealed; a start without its hint takes longer, and is as sound.
        let segments = CLOSING_SEGMENTS * self.segment_bytes(self.live_bytes());
        let _ = self.write_hints_of(segments.max(CLOSING_BYTES_MIN));
        closed
    }

    /// Ends the active segment, if anything is in it.
    fn leave_last(&self, active: &mut Active) -> bool {
        let begun = active.offset > u64::from(FIRST_OFFSET) && active.has_room_for_mark();
        if begun {
            self.leave(active);
            active.segment = None;
        }
        begun
    }
}

fn closed() -> Refused {
    Refused::ReadOnly("the store is closed".into())
}
