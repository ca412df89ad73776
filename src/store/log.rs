//! The log in memory: where records are appended and how segments follow each other.
//!
//! Under the lock of [`Active`] a record gets its sequence number, its header and its place in the buffer; nothing
//! else happens there on the usual path. Locks are taken in this order: syncer, writer, active, then any one of
//! manifest, in flight, window. Whoever appends may hold latches of keys and one object's lock; nobody who holds one of the locks
//! here asks the index. Positions are published in the order appended >= written >= durable.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::batch::Batch;
use super::clock::Clock;
use super::commit::{Syncer, Window, Writer};
use super::compact::{Compaction, Orders};
use super::disk::{Disk, Mode};
use super::durations::Durations;
use super::error::{LogFailed, Refused};
use super::hash::KeyHasher;
use super::hints::Hints;
use super::manifest::{Edit, Manifest, SegmentKind, SegmentState, segment_file_name};
use super::options::{Fsync, SegmentSize};
use super::record::{Draft, MARK_BYTES, Measured, Op, SEQUENCE_MAX, mark_draft, mark_value};
use super::segment::{Count, FIRST_OFFSET, Location, POSITION_MAX, Position, Segment, Table};
use super::threads::Signals;
use super::waiters::Waiters;
use crate::sync::{Mutex, MutexGuard};

/// Bytes at the end of a segment that only deletions and the like may use when the disk is full.
const RESERVE_BYTES_MAX: u64 = 64 << 10;
/// Of what is free on the disk, a segment of a size that nobody has fixed takes at most one such part.
const FREE_PARTS: u64 = 8;
/// Such a segment has at least this many bytes.
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// Bytes of the disk that are kept for compaction, at most.
const COMPACTION_RESERVE_MAX: u64 = 256 << 20;
/// A mark is due when the last one is older, in milliseconds.
pub(super) const MARK_INTERVAL: u64 = 100;
/// How long after a full disk was seen it is not asked again.
pub(super) const DISK_FULL_PAUSE: Duration = Duration::from_millis(100);

/// What the threads of a store and its callers share.
pub(super) struct Log {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub dataset: [u8; 16],
    /// The id of the first segment that this run begins.
    pub run_id: u32,
    pub hasher: KeyHasher,
    pub hints: Mutex<Hints>,
    pub segment_size: Mutex<SegmentSize>,
    pub window_bytes_max: AtomicU64,
    pub batch_bytes_max: u64,
    pub fsync: AtomicU8,
    pub manifest: Manifest,
    /// A segment whose listing failed: its file must stay, and is tried first when the next one is needed.
    pub unlisted: Mutex<Option<Arc<Segment>>>,
    pub table: ArcSwap<Table>,
    pub active: Mutex<Active>,
    /// The segment is nearly full and the next one is not there: whoever went on would wait for the disk in the end,
    /// and with a latch in its hand.
    pub cramped: AtomicBool,
    /// Writers that were held back before they took a latch.
    pub room: Waiters,
    pub writer: Mutex<Writer>,
    pub syncer: Mutex<Syncer>,
    /// Taken from the buffer and not yet written.
    pub in_flight: Mutex<Vec<Arc<Chunk>>>,
    pub window: Mutex<Window>,
    /// The position at which it was opened.
    pub began: Position,
    pub appended: AtomicU64,
    pub written: AtomicU64,
    pub durable: AtomicU64,
    pub acknowledged: AtomicU64,
    pub waiters: Waiters,
    /// Those who wait for the disk, whatever acknowledged means.
    pub durable_waiters: Waiters,
    /// The current segment must not be written to any more; set and cleared by who holds the writer.
    pub broken: AtomicBool,
    /// Why waiters are turned away.
    pub failure: Mutex<Option<LogFailed>>,
    pub failing: AtomicBool,
    /// The failure is final.
    pub read_only: AtomicBool,
    pub latest_now: AtomicU64,
    pub syncing: AtomicBool,
    /// Monotonic microseconds until which writes are left to the log thread.
    pub slow_until: AtomicU64,
    pub signals: Signals,
    pub counters: Counters,
    pub compaction: Compaction,
    pub orders: Orders,
}

/// What is counted for [`Status`](super::Status).
#[derive(Default)]
pub(super) struct Counters {
    pub writes: AtomicU64,
    pub syncs: AtomicU64,
    pub failed_syncs: AtomicU64,
    pub failed_writes: AtomicU64,
    /// In nanoseconds, since somebody asked.
    pub slowest_write: AtomicU64,
    pub slowest_sync: AtomicU64,
    pub write_durations: Durations,
    pub sync_durations: Durations,
    pub last_error: Mutex<Option<String>>,
}

/// A log that has no room for a record of so many bytes counts as one that takes no changes.
const SMALL_BYTES: u64 = 1024;

/// Contiguous records of one segment on their way to the disk.
pub(super) struct Chunk {
    pub segment: Arc<Segment>,
    pub offset: u32,
    pub bytes: Vec<u8>,
    /// Nothing follows it in its segment.
    pub last: bool,
}

impl Chunk {
    pub(super) fn start(&self) -> Position {
        self.segment.position(self.offset)
    }

    pub(super) fn end_offset(&self) -> u64 {
        u64::from(self.offset) + self.bytes.len() as u64
    }
}

/// Where the next record goes.
pub(super) struct Active {
    /// None after an opening on a full disk, until there is room.
    pub segment: Option<Arc<Segment>>,
    pub buffer: Vec<u8>,
    /// The offset in the segment of the buffer's first byte.
    pub buffer_offset: u32,
    /// The offset of the next record.
    pub offset: u64,
    /// The next segment is prepared once the offset is here.
    pub prepare_at: u64,
    /// Writers are held back once the offset is here and there is no next segment.
    pub cramped_at: u64,
    pub position: Position,
    pub sequence: u64,
    /// The ends of segments that were left since the last flush.
    pub pending: Vec<Chunk>,
    /// Segments that are ready to be used.
    pub ready: Vec<Arc<Segment>>,
    /// The durable position, the wall clock and the end of the last mark.
    pub marked: (Position, u64, Position),
    pub refused: Option<Refused>,
    /// Why there was no next segment when one was last asked for, if there was none.
    pub stuck: Option<Refused>,
    /// Monotonic time before which a full disk is not asked again.
    pub full_until: Duration,
    /// The end of the last mark that was put where everything before was durable, with nothing to follow.
    pub claimed: Position,
}

/// What an append says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Where the record is; of a batch, the whole run.
    pub location: Location,
    /// The position behind it: what to wait for.
    pub end: Position,
}

impl Log {
    pub(super) fn append(&self, draft: &Draft<'_>, uses_reserve: bool) -> Result<Appended, Refused> {
        debug_assert!(!matches!(draft.op, Op::Mark | Op::Seal), "marks and seals are the store's own");
        let measured = draft.measure()?;
        let mut active = self.active.lock();
        self.admit(&mut active, u64::from(measured.length), 1, uses_reserve)?;
        Ok(self.push(&mut active, draft, &measured))
    }

    pub(super) fn append_batch(&self, batch: &mut Batch) -> Result<Appended, Refused> {
        if let Some(refused) = batch.refusal(self.batch_bytes_max) {
            return Err(refused);
        }
        let length = batch.bytes();
        let mut active = self.active.lock();
        self.admit(&mut active, length, batch.len() as u64, batch.uses_reserve())?;
        let segment = active.segment().clone();
        let offset = active.offset as u32;
        let bytes = batch.place(segment.id, offset, segment.salt, active.sequence);
        active.buffer.extend_from_slice(bytes);
        active.sequence += batch.len() as u64;
        segment.place(batch.puts());
        let location = Location { segment: segment.id, offset, length: length as u32 };
        Ok(Appended { location, end: self.went_on(&mut active, length) })
    }

    /// Makes sure that a mark with a wall clock of at least `now` is in the log; returns the position behind it.
    pub(super) fn mark_time(&self, now: u64) -> Result<Position, Refused> {
        let mut active = self.active.lock();
        #[cfg(test)]
        if self.compaction.has(super::compact::Planted::TimeNotMarked) {
            return Ok(active.marked.2);
        }
        if active.marked.1 < now {
            self.latest_now.fetch_max(now, Ordering::Relaxed);
            self.admit(&mut active, MARK_BYTES as u64, 1, true).inspect_err(|_| {
                // Who asked goes on and tells of it: once the log takes records again, the first has to know.
                active.marked.1 = 0;
            })?;
            if active.marked.1 < now {
                self.push_mark(&mut active, Op::Mark);
            }
        }
        Ok(active.marked.2)
    }

    /// Waits and rolls until `length` bytes of `count` records fit the active segment.
    fn admit(
        &self,
        active: &mut MutexGuard<'_, Active>,
        length: u64,
        count: u64,
        uses_reserve: bool,
    ) -> Result<(), Refused> {
        loop {
            if active.refused.is_some() {
                self.refuse_or_recover(active)?;
                continue;
            }
            if !self.signals.running()
                && active.position - self.settled() >= self.window_bytes_max.load(Ordering::Relaxed)
            {
                MutexGuard::unlocked(active, || {
                    // Its failure is kept in `refused`, which is looked at next.
                    let _ = self.sync_round(self.fsync() != Fsync::No);
                });
                continue;
            }
            if active.sequence + count + 2 > SEQUENCE_MAX {
                return Err(Refused::ReadOnly("all sequence numbers have been used".into()));
            }
            if active.position + length + 2 * MARK_BYTES as u64 > POSITION_MAX {
                return Err(Refused::ReadOnly("the log is as long as it can be".into()));
            }
            let mark = active.buffer.is_empty() && self.mark_is_due(active);
            let needed = length + if mark { MARK_BYTES as u64 } else { 0 };
            if !active.fits(needed, false) {
                match self.roll(active, length) {
                    Ok(()) => continue,
                    Err(refused) if !(uses_reserve && active.fits(needed, true)) => return Err(refused),
                    Err(_) => {}
                }
            }
            if mark {
                self.push_mark(active, Op::Mark);
            }
            return Ok(());
        }
    }

    /// The position up to which nothing needs to stay in memory.
    pub(super) fn settled(&self) -> Position {
        match self.fsync() {
            Fsync::No => self.written.load(Ordering::Acquire),
            Fsync::Always | Fsync::Everysec => self.durable.load(Ordering::Acquire),
        }
    }

    /// Whether there is room for what the next writer appends: what must stay in memory until it is safe is within
    /// its limit. A log that turns writers away makes none of them wait.
    pub(super) fn has_room(&self) -> bool {
        let appended = self.appended.load(Ordering::Acquire);
        let in_memory = appended.saturating_sub(self.settled());
        in_memory < self.window_bytes_max.load(Ordering::Relaxed) && !self.cramped.load(Ordering::SeqCst)
            || self.failing.load(Ordering::SeqCst)
    }

    /// Ready when there is room; otherwise `waker` is woken then.
    pub(super) fn poll_room(&self, waker: &Waker) -> Poll<()> {
        if self.has_room() {
            return Poll::Ready(());
        }
        if !self.signals.running() {
            // Its failure is kept in `refused`, which the append is told of.
            let _ = self.sync_round(self.fsync() != Fsync::No);
            return Poll::Ready(());
        }
        let appended = self.appended.load(Ordering::Acquire);
        let most = self.window_bytes_max.load(Ordering::Relaxed);
        self.room.register((appended + 1).saturating_sub(most), waker);
        if self.has_room() {
            return Poll::Ready(());
        }
        if self.cramped.load(Ordering::SeqCst) {
            self.signals.ask_to_prepare();
        } else {
            self.signals.ask_for_sync();
        }
        Poll::Pending
    }

    /// Lets stalled writers look again.
    pub(super) fn make_room(&self) {
        self.room.wake(self.settled());
    }

    /// Turns the writer away, unless the disk was full and may have room again.
    fn refuse_or_recover(&self, active: &mut MutexGuard<'_, Active>) -> Result<(), Refused> {
        let refused = active.refused.clone().unwrap_or(Refused::DiskFull);
        if refused != Refused::DiskFull || self.clock.monotonic() < active.full_until {
            return Err(refused);
        }
        active.full_until = self.clock.monotonic() + DISK_FULL_PAUSE;
        if self.signals.running() {
            self.signals.ask_for_sync();
            return Err(refused);
        }
        // What is unsynced comes first: it was refused because of it.
        MutexGuard::unlocked(active, || self.sync_round(true)).map_err(|_| refused)
    }

    fn mark_is_due(&self, active: &Active) -> bool {
        let (durable, wall, _) = active.marked;
        durable != self.durable.load(Ordering::Acquire) || self.now() >= wall.saturating_add(MARK_INTERVAL)
    }

    pub(super) fn push_mark(&self, active: &mut Active, op: Op) {
        let (durable, wall) = (self.durable.load(Ordering::Acquire), self.now());
        let value = mark_value(durable, wall);
        let draft = mark_draft(op, &value);
        let Ok(measured) = draft.measure() else { return };
        let end = self.push(active, &draft, &measured).end;
        active.marked = (durable, wall, end);
    }

    fn push(&self, active: &mut Active, draft: &Draft<'_>, measured: &Measured) -> Appended {
        let (id, salt) = (active.segment().id, active.segment().salt);
        let location = Location { segment: id, offset: active.offset as u32, length: measured.length };
        draft.write(measured, salt, active.sequence, &mut active.buffer);
        active.sequence += 1;
        active.segment().place(Count::of(draft.op, measured.length));
        Appended { location, end: self.went_on(active, u64::from(measured.length)) }
    }

    fn went_on(&self, active: &mut Active, length: u64) -> Position {
        active.offset += length;
        active.position += length;
        self.appended.store(active.position, Ordering::Release);
        if active.offset >= active.prepare_at {
            active.prepare_at = u64::MAX;
            self.signals.ask_to_prepare();
        }
        if active.offset >= active.cramped_at {
            active.cramped_at = u64::MAX;
            // Without threads nobody prepares: the append that needs a segment creates it.
            if active.ready.is_empty() && self.signals.running() {
                self.cramped.store(true, Ordering::SeqCst);
            }
        }
        active.position
    }

    /// Leaves the active segment for one that has room for `length` bytes.
    pub(super) fn roll(&self, active: &mut Active, length: u64) -> Result<(), Refused> {
        let capacity = capacity_for(length);
        let ready = active.ready.iter().position(|segment| segment.capacity >= capacity);
        let next = match ready {
            Some(index) => active.ready.swap_remove(index),
            None => {
                if self.clock.monotonic() < active.full_until {
                    return Err(Refused::DiskFull);
                }
                let live = self.live_bytes();
                let wanted = capacity.max(self.segment_bytes(live));
                let spared = self.spare_reserve(wanted);
                spared.and_then(|()| self.create_segment(capacity, wanted)).map_err(|error| {
                    self.note_error(&error);
                    let refused = if is_full(&error) {
                        active.full_until = self.clock.monotonic() + DISK_FULL_PAUSE;
                        Refused::DiskFull
                    } else {
                        Refused::NoSegment(error.to_string().into())
                    };
                    active.stuck = Some(refused.clone());
                    refused
                })?
            }
        };
        self.leave(active);
        active.enter(next);
        Ok(())
    }

    /// Ends the active segment with a seal and keeps what is in the buffer for the next flush.
    pub(super) fn leave(&self, active: &mut Active) {
        let Some(segment) = active.segment.clone() else { return };
        self.push_mark(active, Op::Seal);
        segment.set_last_sequence(active.sequence - 1);
        let bytes = std::mem::take(&mut active.buffer);
        segment.leave(active.offset - u64::from(FIRST_OFFSET));
        active.pending.push(Chunk { segment, offset: active.buffer_offset, bytes, last: true });
    }

    /// Creates an empty segment and lists it in the manifest.
    pub(super) fn create_segment(&self, capacity_min: u64, capacity: u64) -> io::Result<Arc<Segment>> {
        // Held to the end, so that two who need a segment do not try the same one.
        let mut unlisted = self.unlisted.lock();
        let segment = match unlisted.take().filter(|segment| segment.capacity >= capacity_min) {
            Some(segment) => segment,
            None => self.create_file(SegmentKind::Foreground, capacity)?,
        };
        if let Err(error) = self.manifest.edit(&Edit::new().add(segment.listed(SegmentState::Active))) {
            *unlisted = Some(segment);
            return Err(error);
        }
        self.table.rcu(|table| table.with(segment.clone()));
        Ok(segment)
    }

    /// Creates the file of a segment and makes its name durable.
    pub(super) fn create_file(&self, kind: SegmentKind, capacity: u64) -> io::Result<Arc<Segment>> {
        let id = self.manifest.next_segment_id();
        let salt = getrandom::u32().map_err(io::Error::other)?;
        let name = segment_file_name(id);
        let file = self.disk.open(&name, Mode::Create)?;
        if let Err(error) = file.allocate(capacity).and_then(|()| self.disk.sync_directory()) {
            // Where this fails, the next opening does it.
            let _ = self.disk.remove(&name);
            return Err(error);
        }
        file.expect_random_reads();
        Ok(Arc::new(Segment::new(id, kind, salt, file, capacity)))
    }

    /// Has the next segment ready before it is needed; called by the log thread.
    pub(super) fn prepare(&self) {
        let needed = {
            let active = self.active.lock();
            active.ready.is_empty() && active.refused.is_none()
        };
        if needed {
            let capacity = self.segment_bytes(self.live_bytes());
            match self.spare_reserve(capacity).and_then(|()| self.create_segment(capacity / 2, capacity)) {
                Ok(segment) => {
                    let mut active = self.active.lock();
                    active.ready.push(segment);
                    active.stuck = None;
                }
                // The append that needs it tries again, and says so if it fails as well.
                Err(error) => self.note_error(&error),
            }
        }
        self.cramped.store(false, Ordering::SeqCst);
        self.room.wake(Position::MAX);
    }

    /// Bytes of the next segment when `live` bytes are alive; on a small disk, or a full one, less than these would ask for.
    pub(super) fn segment_bytes(&self, live: u64) -> u64 {
        let size = *self.segment_size.lock();
        let bytes = size.bytes(live);
        match self.disk.free_space() {
            Ok(free) if size == SegmentSize::Auto => bytes.min((free / FREE_PARTS).max(SEGMENT_BYTES_MIN)),
            _ => bytes,
        }
    }

    /// Refuses what compaction needs to end a full disk: room for what lives in the largest segment.
    pub(super) fn spare_reserve(&self, capacity: u64) -> io::Result<()> {
        let largest = self.table.load().all().map(|segment| segment.bytes()).max().unwrap_or(0);
        let free = self.disk.free_space()?;
        if free < capacity + largest.min(COMPACTION_RESERVE_MAX) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "what is left of the disk is kept for compaction"));
        }
        Ok(())
    }

    /// Bytes of all values that something refers to.
    pub(super) fn live_bytes(&self) -> u64 {
        self.table.load().all().map(|segment| segment.live().bytes).sum()
    }

    pub(super) fn note_error(&self, error: &io::Error) {
        *self.counters.last_error.lock() = Some(error.to_string());
    }

    pub(super) fn fsync(&self) -> Fsync {
        match self.fsync.load(Ordering::Relaxed) {
            0 => Fsync::Always,
            1 => Fsync::Everysec,
            _ => Fsync::No,
        }
    }

    /// Milliseconds since the Unix epoch; never goes back.
    pub(super) fn now(&self) -> u64 {
        let wall = self.clock.wall();
        let latest = self.latest_now.load(Ordering::Relaxed);
        if wall > latest { self.latest_now.fetch_max(wall, Ordering::Relaxed).max(wall) } else { latest }
    }
}

impl Active {
    /// The active segment; there is one wherever a record was admitted.
    pub(super) fn segment(&self) -> &Arc<Segment> {
        self.segment.as_ref().expect("a record was admitted")
    }

    /// Why changes are refused now, if they are: what is left of a segment that nothing follows takes small ones still.
    pub(super) fn refusal(&self) -> Option<Refused> {
        let goes_on = !self.ready.is_empty() || self.fits(SMALL_BYTES, false);
        self.refused.clone().or_else(|| self.stuck.clone().filter(|_| !goes_on))
    }

    pub(super) fn has_room_for_mark(&self) -> bool {
        self.fits(MARK_BYTES as u64, true)
    }

    fn fits(&self, length: u64, with_reserve: bool) -> bool {
        let Some(segment) = &self.segment else { return false };
        let reserve = if with_reserve { 0 } else { reserve_bytes(segment.capacity) };
        self.offset + length + MARK_BYTES as u64 + reserve <= segment.capacity
    }

    /// Decides when the next segment is prepared, and from where on it must be there for writers to go on: what those
    /// append who are inside already still fits.
    pub(super) fn look_ahead(&mut self, capacity: u64) {
        self.prepare_at = capacity / 2;
        self.cramped_at = (capacity - reserve_bytes(capacity)) / 8 * 7;
    }

    /// Goes on in an empty segment.
    pub(super) fn enter(&mut self, segment: Arc<Segment>) {
        segment.begin(self.position, self.sequence);
        self.offset = u64::from(FIRST_OFFSET);
        self.buffer_offset = FIRST_OFFSET;
        self.look_ahead(segment.capacity);
        self.stuck = None;
        self.segment = Some(segment);
    }
}

/// Bytes of a segment that has room for a run of `length`, a mark, a seal and the reserve.
pub(super) fn capacity_for(length: u64) -> u64 {
    let needed = u64::from(FIRST_OFFSET) + length + 2 * MARK_BYTES as u64;
    needed + (needed / 7 + 8).min(RESERVE_BYTES_MAX)
}

fn reserve_bytes(capacity: u64) -> u64 {
    RESERVE_BYTES_MAX.min(capacity / 8)
}

/// Whether an error says that space is lacking.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
