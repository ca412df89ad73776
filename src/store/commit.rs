//! Group commit: how appended records get to the disk and who is told.
//!
//! Whoever holds the writer writes everything that was appended, for all. Whoever holds the syncer makes everything
//! durable that was written, an older segment before a newer one. Neither is ever waited for by
//! [`Log::advance`]: it leads or it leaves.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::error::{LogFailed, Refused};
use super::log::{Active, Chunk, DISK_FULL_PAUSE, Log, is_full};
use super::manifest::{Edit, SegmentState};
use super::options::Fsync;
use super::record::Op;
use super::segment::{FIRST_OFFSET, Position, Segment};

/// A write that takes longer makes the log thread write for a while.
const SLOW_WRITE: Duration = Duration::from_millis(1);
/// For how long after a slow write.
const SLOW_WRITE_PAUSE: Duration = Duration::from_millis(50);
/// Bytes of a block of the window; a larger chunk is a block of its own.
const BLOCK_BYTES: usize = 256 << 10;
/// Buffers that are kept for later are at most this large.
const SPARE_BYTES_MAX: usize = 4 << 20;

/// What the writer owns.
#[derive(Default)]
pub(super) struct Writer {
    /// Still to be written, in order: left over from a write that failed.
    pub unwritten: VecDeque<Arc<Chunk>>,
    /// An empty buffer.
    spare: Vec<u8>,
}

/// What the syncer owns.
#[derive(Default)]
pub(super) struct Syncer {
    /// Durable to their end, and not yet sealed in the manifest.
    pub unsealed: Vec<Arc<Segment>>,
}

/// What was written and is not durable.
#[derive(Default)]
pub(super) struct Window {
    /// The bytes themselves, in order; empty under [`Fsync::No`].
    pub blocks: VecDeque<Chunk>,
    /// The segments that have such bytes, in order.
    pub dirty: VecDeque<Dirty>,
    spare: Vec<Vec<u8>>,
}

/// A segment that must be synced.
#[derive(Clone)]
pub(super) struct Dirty {
    pub segment: Arc<Segment>,
    /// Bytes of the file that were written.
    pub end: u64,
    /// Nothing follows in this segment.
    pub last: bool,
}

/// A write failed; what could not be written is kept.
#[derive(Debug)]
pub(super) struct WriteFailed;

impl Log {
    pub(super) fn acknowledged(&self, position: Position) -> bool {
        self.acknowledged.load(Ordering::SeqCst) >= position
    }

    /// Tries to have `position` acknowledged without waiting for another thread.
    pub(super) fn advance(&self, position: Position) -> bool {
        if self.acknowledged(position) {
            return true;
        }
        if self.signals.running() {
            if self.fsync() == Fsync::Always {
                self.signals.ask_for_sync();
                return false;
            }
            if self.syncing.load(Ordering::Relaxed) || self.is_slow() {
                self.signals.ask_to_write();
                return false;
            }
            self.lead();
        } else {
            self.drive();
        }
        self.acknowledged(position)
    }

    pub(super) fn poll_acknowledged(&self, position: Position, waker: &Waker) -> Poll<Result<(), LogFailed>> {
        if self.acknowledged(position) {
            return Poll::Ready(Ok(()));
        }
        // Who is turned away at once is not kept: nobody would wake, and so forget, those who come while it fails.
        if let Some(failed) = self.failure() {
            return Poll::Ready(Err(failed));
        }
        self.waiters.register(position, waker);
        if !self.acknowledged(position) {
            if let Some(failed) = self.failure() {
                return Poll::Ready(Err(failed));
            }
            self.see_to_it();
        }
        if self.acknowledged(position) {
            return Poll::Ready(Ok(()));
        }
        self.failure().map_or(Poll::Pending, |failed| Poll::Ready(Err(failed)))
    }

    /// As [`Log::poll_acknowledged`], for being on the disk.
    pub(super) fn poll_durable(&self, position: Position, waker: &Waker) -> Poll<Result<(), LogFailed>> {
        let look = || match self.durable.load(Ordering::SeqCst) >= position {
            true => Poll::Ready(Ok(())),
            false => self.failure().map_or(Poll::Pending, |failed| Poll::Ready(Err(failed))),
        };
        if look().is_ready() {
            return look();
        }
        self.durable_waiters.register(position, waker);
        if look().is_pending() {
            if self.signals.running() {
                self.signals.ask_for_sync();
            } else {
                // What becomes of it is kept in `failure`.
                let _ = self.sync_round(true);
            }
        }
        look()
    }

    /// Makes sure that somebody works for those who wait.
    fn see_to_it(&self) {
        match (self.signals.running(), self.fsync()) {
            (true, Fsync::Always) => self.signals.ask_for_sync(),
            // Who holds the writer looks at the waiters after letting go of it.
            (true, _) if self.writer.try_lock().is_some() => self.signals.ask_to_write(),
            (true, _) => {}
            (false, _) => self.drive(),
        }
    }

    /// Without threads, who waits does the work; what another one is at it already looks at the waiters afterwards.
    fn drive(&self) {
        match self.fsync() {
            Fsync::Always => loop {
                let Some(mut syncer) = self.syncer.try_lock() else { return };
                let failed = self.sync_holding(&mut syncer, true).is_err();
                drop(syncer);
                if failed || !self.waiters.any_beyond(self.durable.load(Ordering::SeqCst)) {
                    return;
                }
            },
            Fsync::Everysec | Fsync::No => self.lead(),
        }
    }

    /// Writes for all, unless somebody does already; whoever came meanwhile is served before it returns.
    pub(super) fn lead(&self) {
        loop {
            let Some(mut writer) = self.writer.try_lock() else { return };
            let flushed = self.flush(&mut writer);
            drop(writer);
            if flushed.is_err() {
                return self.after_failed_write();
            }
            if !self.waiters.any_beyond(self.written.load(Ordering::SeqCst)) {
                return;
            }
            if self.signals.running() {
                return self.signals.ask_to_write();
            }
        }
    }

    fn after_failed_write(&self) {
        if self.signals.running() {
            self.signals.ask_for_sync();
        } else {
            // What becomes of it is kept in `failure`.
            let _ = self.sync_round(true);
        }
    }

    /// Writes everything appended so far.
    pub(super) fn flush(&self, writer: &mut Writer) -> Result<(), WriteFailed> {
        if self.broken.load(Ordering::Acquire) || self.read_only.load(Ordering::Acquire) {
            return Err(WriteFailed);
        }
        self.take(writer);
        while let Some(chunk) = writer.unwritten.front() {
            let before = self.clock.monotonic();
            if let Err(error) = self.write(chunk) {
                self.write_failed(&error);
                return Err(WriteFailed);
            }
            let after = self.clock.monotonic();
            self.counters.write_durations.count(after.saturating_sub(before));
            self.counters.slowest_write.fetch_max(after.saturating_sub(before).as_nanos() as u64, Ordering::Relaxed);
            if after.saturating_sub(before) > SLOW_WRITE {
                self.slow_until.store((after + SLOW_WRITE_PAUSE).as_micros() as u64, Ordering::Relaxed);
            }
            let Some(chunk) = writer.unwritten.pop_front() else { break };
            self.wrote(writer, chunk);
        }
        Ok(())
    }

    /// Takes what was appended out of the buffer; readers find it in flight from now on.
    fn take(&self, writer: &mut Writer) {
        let mut active = self.active.lock();
        let mut in_flight = self.in_flight.lock();
        let pending = std::mem::take(&mut active.pending);
        let buffered = active.take_buffer(std::mem::take(&mut writer.spare));
        for chunk in pending.into_iter().chain(buffered) {
            let chunk = Arc::new(chunk);
            in_flight.push(chunk.clone());
            writer.unwritten.push_back(chunk);
        }
    }

    fn write(&self, chunk: &Chunk) -> io::Result<()> {
        self.counters.writes.fetch_add(1, Ordering::Relaxed);
        if chunk.offset == FIRST_OFFSET {
            chunk.segment.write_header(self.dataset, self.now())?;
        }
        chunk.segment.file.write_at(&chunk.bytes, u64::from(chunk.offset))
    }

    fn wrote(&self, writer: &mut Writer, chunk: Arc<Chunk>) {
        let (end_offset, last) = (chunk.end_offset(), chunk.last);
        let end = chunk.segment.position(FIRST_OFFSET) + end_offset - u64::from(FIRST_OFFSET);
        {
            let mut window = self.window.lock();
            match window.dirty.back_mut() {
                Some(dirty) if Arc::ptr_eq(&dirty.segment, &chunk.segment) => {
                    dirty.end = end_offset;
                    dirty.last = last;
                }
                _ => window.dirty.push_back(Dirty { segment: chunk.segment.clone(), end: end_offset, last }),
            }
            if self.fsync() != Fsync::No {
                window.keep(&chunk);
            }
        }
        self.written.store(end, Ordering::SeqCst);
        self.in_flight.lock().retain(|flying| !Arc::ptr_eq(flying, &chunk));
        // A reader may still hold it; then it is freed by that reader.
        if let Ok(chunk) = Arc::try_unwrap(chunk)
            && chunk.bytes.capacity() <= SPARE_BYTES_MAX
        {
            writer.spare = chunk.bytes;
            writer.spare.clear();
        }
        if self.fsync() == Fsync::Always {
            return;
        }
        self.acknowledged.fetch_max(end, Ordering::SeqCst);
        self.waiters.wake(end);
        if self.fsync() == Fsync::No {
            self.make_room();
        } else if end - self.durable.load(Ordering::Relaxed) >= self.window_bytes_max.load(Ordering::Relaxed) / 2 {
            self.signals.ask_for_sync();
        }
        if last && self.fsync() == Fsync::No {
            self.signals.ask_for_sync();
        }
    }

    /// Decides what a failed write means: a full disk is tried again in place, anything else breaks the segment.
    fn write_failed(&self, error: &io::Error) {
        self.counters.failed_writes.fetch_add(1, Ordering::Relaxed);
        self.note_error(error);
        if is_full(error) {
            self.fail("the disk is full", true);
        } else {
            self.broken.store(true, Ordering::Release);
        }
    }

    /// Turns away who appends and who waits; `full` says that it may pass.
    pub(super) fn fail(&self, reason: &str, full: bool) {
        let mut active = self.active.lock();
        self.fail_holding(&mut active, reason, full);
    }

    pub(super) fn fail_holding(&self, active: &mut Active, reason: &str, full: bool) {
        active.full_until = self.clock.monotonic() + DISK_FULL_PAUSE;
        active.refused = Some(if full { Refused::DiskFull } else { Refused::ReadOnly(reason.into()) });
        *self.failure.lock() = Some(LogFailed { reason: reason.into() });
        self.read_only.store(!full, Ordering::SeqCst);
        self.failing.store(true, Ordering::SeqCst);
        self.room.wake(Position::MAX);
        self.waiters.wake(Position::MAX);
        self.durable_waiters.wake_any(Position::MAX);
    }

    /// Takes appends again.
    pub(super) fn recover_holding(&self, active: &mut Active) {
        if active.refused == Some(Refused::DiskFull) {
            active.refused = None;
            active.full_until = Duration::ZERO;
            *self.failure.lock() = None;
            self.failing.store(false, Ordering::SeqCst);
        }
    }

    pub(super) fn failure(&self) -> Option<LogFailed> {
        if self.failing.load(Ordering::SeqCst) { self.failure.lock().clone() } else { None }
    }

    fn failed(&self) -> LogFailed {
        self.failure().unwrap_or_else(|| LogFailed { reason: "the disk is full".into() })
    }

    fn is_slow(&self) -> bool {
        let until = self.slow_until.load(Ordering::Relaxed);
        until != 0 && (self.clock.monotonic().as_micros() as u64) < until
    }

    /// Writes everything and makes it durable; with `all` unset, only the segments that were left.
    pub(super) fn sync_round(&self, all: bool) -> Result<(), LogFailed> {
        let synced = self.sync_holding(&mut self.syncer.lock(), all);
        // Who found the syncer taken meanwhile relies on this look.
        if synced.is_ok()
            && !self.signals.running()
            && self.waiters.any_beyond(self.acknowledged.load(Ordering::SeqCst))
        {
            self.drive();
        }
        synced
    }

    fn sync_holding(&self, syncer: &mut Syncer, all: bool) -> Result<(), LogFailed> {
        if self.read_only.load(Ordering::SeqCst) {
            return Err(self.failed());
        }
        let flushed = {
            let mut writer = self.writer.lock();
            self.flush(&mut writer)
        };
        if flushed.is_err() {
            if !self.broken.load(Ordering::Acquire) {
                return Err(self.failed());
            }
            return self.repair(syncer);
        }
        if self.signals.running() && self.waiters.any_beyond(self.written.load(Ordering::SeqCst)) {
            // Who found the writer taken meanwhile relies on this look.
            self.signals.ask_to_write();
        }
        if self.failing.load(Ordering::SeqCst) {
            self.recover_holding(&mut self.active.lock());
        }
        let dirty: Vec<_> = self.window.lock().dirty.iter().filter(|dirty| all || dirty.last).cloned().collect();
        self.syncing.store(true, Ordering::Relaxed);
        let synced = dirty.into_iter().try_for_each(|dirty| self.sync_segment(syncer, &dirty));
        self.syncing.store(false, Ordering::Relaxed);
        if let Err(error) = synced {
            self.counters.failed_syncs.fetch_add(1, Ordering::Relaxed);
            self.note_error(&error);
            self.broken.store(true, Ordering::Release);
            return self.repair(syncer);
        }
        self.seal(syncer);
        Ok(())
    }

    fn sync_segment(&self, syncer: &mut Syncer, dirty: &Dirty) -> io::Result<()> {
        if dirty.last {
            // What was reserved and not used is given back; where that fails, nothing is lost.
            let _ = dirty.segment.file.truncate(dirty.end);
        }
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        let before = self.clock.monotonic();
        dirty.segment.file.sync_data()?;
        let taken = self.clock.monotonic().saturating_sub(before);
        self.counters.sync_durations.count(taken);
        self.counters.slowest_sync.fetch_max(taken.as_nanos() as u64, Ordering::Relaxed);
        self.window.lock().synced(dirty);
        if dirty.last {
            syncer.unsealed.push(dirty.segment.clone());
        }
        self.made_durable(dirty.segment.base() + dirty.end - u64::from(FIRST_OFFSET));
        Ok(())
    }

    pub(super) fn made_durable(&self, position: Position) {
        self.durable.store(position, Ordering::SeqCst);
        self.window.lock().forget(position);
        self.acknowledged.fetch_max(position, Ordering::SeqCst);
        self.waiters.wake(position);
        self.durable_waiters.wake_any(position);
        self.make_room();
    }

    /// States that everything is durable, where nothing follows that would: else damage to the last records could be
    /// taken for a torn tail.
    pub(super) fn claim(&self) {
        {
            let mut active = self.active.lock();
            let quiet = active.refused.is_none() && active.position == self.durable.load(Ordering::Acquire);
            if !quiet || active.marked.2 == active.position || !active.has_room_for_mark() {
                return;
            }
            self.push_mark(&mut active, Op::Mark);
            active.claimed = active.position;
        }
        self.lead();
    }

    /// Says in the manifest how long the segments are that were left; where that fails, the next round tries again.
    fn seal(&self, syncer: &mut Syncer) {
        if syncer.unsealed.is_empty() {
            return;
        }
        let mut edit = Edit::new();
        for segment in &syncer.unsealed {
            let length = segment.bytes() + u64::from(FIRST_OFFSET);
            edit = edit.replace(segment.listed(SegmentState::Sealed(length)));
        }
        match self.manifest.edit(&edit) {
            Ok(()) => {
                syncer.unsealed.drain(..).for_each(|segment| segment.seal());
                self.signals.ask_to_maintain();
                self.orders.note_sealed();
            }
            Err(error) => self.note_error(&error),
        }
    }
}

impl Active {
    /// Moves the buffer out, if there is anything in it, and goes on in `spare`.
    pub(super) fn take_buffer(&mut self, spare: Vec<u8>) -> Option<Chunk> {
        if self.buffer.is_empty() {
            return None;
        }
        let segment = self.segment().clone();
        let bytes = std::mem::replace(&mut self.buffer, spare);
        let offset = std::mem::replace(&mut self.buffer_offset, self.offset as u32);
        Some(Chunk { segment, offset, bytes, last: false })
    }
}

impl Window {
    /// Copies a chunk: its buffer is used again at once, and small flushes share a block.
    fn keep(&mut self, chunk: &Chunk) {
        if let Some(block) = self.blocks.back_mut()
            && Arc::ptr_eq(&block.segment, &chunk.segment)
            && block.end_offset() == u64::from(chunk.offset)
            && block.bytes.len() + chunk.bytes.len() <= BLOCK_BYTES
        {
            block.bytes.extend_from_slice(&chunk.bytes);
            return;
        }
        let mut bytes = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(BLOCK_BYTES.max(chunk.bytes.len())));
        bytes.extend_from_slice(&chunk.bytes);
        self.blocks.push_back(Chunk { segment: chunk.segment.clone(), offset: chunk.offset, bytes, last: chunk.last });
    }

    /// Drops the blocks that are durable to their end.
    fn forget(&mut self, durable: Position) {
        while let Some(block) = self.blocks.front()
            && block.start() + block.bytes.len() as u64 <= durable
        {
            if let Some(mut block) = self.blocks.pop_front()
                && block.bytes.capacity() <= BLOCK_BYTES
                && self.spare.len() < 8
            {
                block.bytes.clear();
                self.spare.push(block.bytes);
            }
        }
    }

    fn synced(&mut self, synced: &Dirty) {
        // More may have been written to the last one meanwhile.
        if self
            .dirty
            .front()
            .is_some_and(|dirty| dirty.end == synced.end && Arc::ptr_eq(&dirty.segment, &synced.segment))
        {
            self.dirty.pop_front();
        }
    }
}
