//! The Bitcask without its index: one totally ordered log in segments, its recovery, and the disk below it.
//!
//! The store knows records, keys and keyspaces, and nothing of what they mean. Whoever uses it keeps the index: where
//! the newest record of a key is. `docs/storage-format.md` specifies every byte; `record` and `segment` know
//! them, `log` appends, `commit` writes and syncs, `repair` moves on when the disk fails, `recovery` reads
//! back, `hint` and `hints` make that fast; `hot` says which values were in memory, `ahead` reads them back in the order
//! of the disk; `inspect` looks at a store that is not running, and `salvage` saves
//! what can be saved of a damaged one.

pub mod clock;
pub mod disk;
pub mod manifest;

mod ahead;
mod backup;
mod batch;
mod commit;
mod compact;
mod durations;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod hash;
mod hint;
mod hints;
mod hot;
pub mod inspect;
mod log;
mod op;
mod open;
mod options;
mod read;
mod reader;
mod record;
mod recovery;
mod repair;
pub mod salvage;
mod segment;
mod status;
mod threads;
mod waiters;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use bytes::Bytes;

use self::clock::Clock;
use self::disk::Disk;
use self::log::Log;
use crate::sync::{JoinHandle, Mutex, park_until};

pub use self::backup::{At, BACKUP_DIRECTORY, BACKUP_NAME_BYTES_MAX, Copied, RestoreError, Restored, is_backup_name};
pub use self::batch::Batch;
#[cfg(test)]
pub(crate) use self::compact::Planted;
pub use self::compact::{Compacted, CompactionStatus, Index, Look, Policy, Retained, Window};
pub use self::durations::{DURATION_BOUNDS, Durations, Spread};
pub use self::error::{LogFailed, OpenError, ReadError, Refused, command, command_to_do, remedy};
pub use self::hash::KeyHasher;
pub use self::hint::{HINTED_VALUE_BYTES_MAX, Hinted, PARTITIONS, partition_of};
pub use self::hot::{HotBlock, HotFile, HotName, HotOwner, HotWriter, Remembered};
pub use self::log::Appended;
pub use self::options::{BATCH_BYTES_MAX, Fsync, Options, SegmentSize};
pub use self::record::{DATABASES_MAX, Draft, Op, RECORD_BYTES_MAX, Record};
pub use self::recovery::{Beginning, OnProgress, Records, Recovered, Replay};
pub use self::segment::{Count, Location, Position};
pub use self::status::{SegmentPhase, SegmentStatus, Slowest, Status, Waits};
pub(crate) use self::threads::let_others_go_first;

/// A log of records on a disk. See the [module](self).
pub struct Store {
    log: Arc<Log>,
    threads: Mutex<Threads>,
}

#[derive(Default)]
struct Threads {
    of_log: Vec<JoinHandle<()>>,
    compacting: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the store on `disk`, creating it where there is none, and tells `replay` every record of the log.
    ///
    /// # Errors
    /// When the disk fails, or something that was durable is damaged so that not even its key can be told.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        options: Options,
        replay: &mut dyn Replay,
        on_progress: OnProgress<'_>,
    ) -> Result<(Self, Recovered), OpenError> {
        let (log, recovered) = Log::open(disk, clock, options, replay, on_progress)?;
        Ok((Self { log: Arc::new(log), threads: Mutex::default() }, recovered))
    }

    /// The hash of this dataset's keys.
    pub fn hasher(&self) -> &KeyHasher {
        &self.log.hasher
    }

    /// The random number that is this dataset's name.
    pub fn dataset_id(&self) -> [u8; 16] {
        self.log.dataset
    }

    /// The number of this run: nothing in the log was written by a run of the same number. It is the id of the first
    /// segment that this run has begun, or would have, had there been room.
    pub fn run_id(&self) -> u32 {
        self.log.run_id
    }

    /// Milliseconds since the Unix epoch; never goes back, nor behind what the log has recorded.
    pub fn now(&self) -> u64 {
        self.log.now()
    }

    /// Appends one record. Called with the key's latch held: there is no I/O on the usual path.
    ///
    /// # Errors
    /// When the record is too large, the disk full, or the log read-only. The record is not in the log then.
    pub fn append(&self, draft: &Draft<'_>) -> Result<Appended, Refused> {
        self.log.append(draft, draft.op.uses_reserve())
    }

    /// Appends a record that is shorter than the one whose place it takes: when the disk is full, it may use what is kept for
    /// deletions.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub fn append_smaller(&self, draft: &Draft<'_>) -> Result<Appended, Refused> {
        self.log.append(draft, true)
    }

    /// Appends the records of a batch, all or none of which are there after a crash. Afterwards
    /// [`Batch::location`] says where each is. An empty batch appends nothing.
    ///
    /// # Errors
    /// As [`Store::append`]; a batch is limited to [`BATCH_BYTES_MAX`].
    pub fn append_batch(&self, batch: &mut Batch) -> Result<Appended, Refused> {
        self.log.append_batch(batch)
    }

    /// Makes sure that the log says it was `now` (milliseconds since the Unix epoch) or later, so that what expired
    /// by then stays expired after a restart with a clock that went back. Wait for the position it returns.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub fn mark_time(&self, now: u64) -> Result<Position, Refused> {
        self.log.mark_time(now)
    }

    /// Counts a record as dead: nothing refers to it any more.
    pub fn retire(&self, location: Location) {
        self.log.retire(location);
    }

    /// Says what of a segment's values something refers to; for whoever counts that during replay.
    pub fn set_live(&self, segment: u32, live: Count) {
        self.log.set_live(segment, live);
    }

    /// Whether the kernel has the record.
    pub fn is_written(&self, location: Location) -> bool {
        self.log.is_written(location)
    }

    /// The value of the record there, verified: header, checksum and key (of an element its name). Waits for the disk.
    ///
    /// # Errors
    /// When the record is damaged or not there, or the disk fails; never another value.
    pub fn read(&self, location: Location, key: &[u8]) -> Result<Bytes, ReadError> {
        self.log.read(location, key)
    }

    /// As [`Store::read`], but `None` where the disk would have to be waited for.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_nowait(&self, location: Location, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.log.read_nowait(location, key)
    }

    /// Reads the values that stand `at` the first of these places, which are in rising order, and at those behind it that are near
    /// by, with one read, and hands out the records that verify, with their places' numbers. What is damaged or not there is
    /// passed over. Returns how many places that were, one at least; `buffer` is what is read into.
    ///
    /// # Errors
    /// The disk's.
    pub fn read_ahead<P>(
        &self,
        places: &[P],
        at: impl Fn(&P) -> Location,
        buffer: &mut Vec<u8>,
        visit: impl FnMut(usize, &Record<'_>),
    ) -> std::io::Result<usize> {
        self.log.read_ahead(places, at, buffer, visit)
    }

    /// The file that says which values were in memory, if there is one that this dataset can use.
    ///
    /// # Errors
    /// The disk's.
    pub fn hot_file(&self) -> std::io::Result<Option<HotFile>> {
        HotFile::open(&*self.log.disk, self.log.dataset, self.log.hasher.proof())
    }

    /// Begins another such file, which takes the place of the one that is there once it is finished.
    ///
    /// # Errors
    /// The disk's.
    pub fn begin_hot_file(&self) -> std::io::Result<HotWriter> {
        HotWriter::begin(self.log.disk.clone(), self.log.dataset, self.log.hasher.proof(), self.now())
    }

    /// Whether so little is free on the disk that what is not needed is not written.
    pub fn is_disk_nearly_full(&self) -> bool {
        self.log.is_disk_nearly_full()
    }

    #[cfg(test)]
    pub(crate) fn is_short_of_space(&self) -> bool {
        self.log.is_short_of_space()
    }

    /// Time since some fixed moment of this process; it never steps back.
    pub fn monotonic(&self) -> std::time::Duration {
        self.log.clock.monotonic()
    }

    /// Whether everything below `position` is acknowledged: written, or with [`Fsync::Always`] durable.
    pub fn acknowledged(&self, position: Position) -> bool {
        self.log.acknowledged(position)
    }

    /// Tries to get `position` acknowledged now, writing for everyone if nobody does; true if it is. Never waits for
    /// another thread: on `false`, go on with [`Store::poll_acknowledged`].
    pub fn advance(&self, position: Position) -> bool {
        self.log.advance(position)
    }

    /// Ready when `position` is acknowledged or cannot be; otherwise `waker` is woken then.
    pub fn poll_acknowledged(&self, position: Position, waker: &Waker) -> Poll<Result<(), LogFailed>> {
        self.log.poll_acknowledged(position, waker)
    }

    /// Ready when everything below `position` is on the disk, for which it sees to a sync, or cannot get there; otherwise
    /// `waker` is woken then.
    pub fn poll_durable(&self, position: Position, waker: &Waker) -> Poll<Result<(), LogFailed>> {
        self.log.poll_durable(position, waker)
    }

    /// Whether a writer may go on without first waiting for [`Store::poll_room`]. Appending is possible in any case;
    /// but only who asks before it takes a latch keeps the memory for unsynced bytes within its limit.
    pub fn has_room(&self) -> bool {
        self.log.has_room()
    }

    /// Ready when a writer may go on; otherwise `waker` is woken then.
    pub fn poll_room(&self, waker: &Waker) -> Poll<()> {
        self.log.poll_room(waker)
    }

    /// Blocks the thread until a writer may go on.
    pub fn wait_for_room(&self) {
        if !self.log.has_room() {
            park_until(|waker| self.log.poll_room(waker));
        }
    }

    /// Blocks the thread until `position` is acknowledged.
    ///
    /// # Errors
    /// When the log cannot get there.
    pub fn wait_acknowledged(&self, position: Position) -> Result<(), LogFailed> {
        if self.log.advance(position) {
            return Ok(());
        }
        park_until(|waker| self.log.poll_acknowledged(position, waker))
    }

    /// The position behind the last record appended.
    pub fn appended(&self) -> Position {
        self.log.appended.load(Ordering::Acquire)
    }

    /// The position up to which the kernel has the log.
    pub fn written(&self) -> Position {
        self.log.written.load(Ordering::Acquire)
    }

    /// The position up to which the log is durable.
    pub fn durable(&self) -> Position {
        self.log.durable.load(Ordering::Acquire)
    }

    /// Writes everything appended so far and makes it durable; waits for it.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&self) -> Result<(), LogFailed> {
        self.log.sync_round(true)
    }

    /// When writes count as acknowledged from now on.
    pub fn set_fsync(&self, fsync: Fsync) {
        self.log.set_fsync(fsync);
    }

    /// How many bytes may stay in memory from now on until they are safe; beyond, writers wait.
    pub fn set_window_bytes_max(&self, bytes: u64) {
        if self.log.window_bytes_max.swap(bytes.max(1), Ordering::Relaxed) < bytes {
            self.log.make_room();
        }
    }

    /// Bytes that have to stay in memory until they are safe.
    pub fn unsettled_bytes(&self) -> u64 {
        self.log.appended.load(Ordering::Acquire).saturating_sub(self.log.settled())
    }

    /// Whether the log turns writers away.
    pub fn is_failing(&self) -> bool {
        self.log.failing.load(Ordering::SeqCst)
    }

    /// Has what was appended made durable soon, by the store's threads.
    pub fn ask_for_sync(&self) {
        if self.log.signals.running() {
            self.log.signals.ask_for_sync();
        }
    }

    /// How large segments grow that are begun from now on.
    pub fn set_segment_size(&self, size: SegmentSize) {
        *self.log.segment_size.lock() = size;
    }

    /// Starts the threads that write, sync, and compact with the help of `index`. Without them whoever waits does the work,
    /// and nothing happens by time. They end with [`Store::close`], or when the store is dropped.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start_threads(self: &Arc<Self>, index: Arc<dyn Index>) -> std::io::Result<()> {
        let mut threads = self.threads.lock();
        if threads.of_log.is_empty() {
            threads.of_log = self.log.start_threads()?;
            threads.compacting = Some(self.log.start_compaction(index)?);
        }
        Ok(())
    }

    /// When and how much is compacted from now on.
    pub fn set_compaction(&self, policy: Policy) {
        self.log.orders.set_policy(policy);
    }

    /// Asks the thread that compacts to compact whatever there is now.
    pub fn ask_to_compact(&self) {
        self.log.orders.ask();
    }

    /// Makes a backup of everything acknowledged so far in the directory `backups/<name>` of the data directory. It is
    /// a store of its own that shares all files that do not change any more; nobody waits for it but the caller.
    ///
    /// # Errors
    /// `InvalidInput` for a name that is not allowed (see [`is_backup_name`]), `AlreadyExists` for one that is taken;
    /// otherwise the disk's: there is no backup then.
    pub fn backup(&self, name: &str) -> std::io::Result<Copied> {
        self.log.backup(name)
    }

    /// What is kept of the past.
    pub fn retained(&self) -> Retained {
        self.log.retained()
    }

    /// Gives up all that is kept of the past; returns what that was.
    ///
    /// # Errors
    /// When the disk fails: then all of it is kept still.
    pub fn release_all_retained(&self) -> std::io::Result<Retained> {
        self.log.release_all()
    }

    /// Gives up what has been kept for long enough, as the thread does.
    #[cfg(test)]
    pub(crate) fn release_retained(&self) {
        self.log.release(&self.log.orders.policy());
    }

    /// What compaction has done and does.
    pub fn compaction_status(&self) -> CompactionStatus {
        self.log.compaction_status()
    }

    /// Counts a value as alive in a segment, or as dead, that is not there.
    #[cfg(test)]
    pub(crate) fn plant_count(&self, segment: u32, is_alive: bool) {
        let table = self.log.table.load();
        let segment = table.get(segment).expect("there is such a segment");
        let count = segment::Count::one(1);
        if is_alive { segment.place(count) } else { segment.retire(count) }
    }

    #[cfg(test)]
    pub(crate) fn plant(&self, planted: Option<compact::Planted>) {
        self.log.compaction.plant(planted);
    }

    /// The moment that the log's last mark tells of, in milliseconds since the Unix epoch, and the position behind it.
    #[cfg(test)]
    pub(crate) fn marked(&self) -> (u64, Position) {
        let (_, wall, end) = self.log.active.lock().marked;
        (wall, end)
    }

    #[cfg(test)]
    pub(crate) fn has_planted(&self, planted: compact::Planted) -> bool {
        self.log.compaction.has(planted)
    }

    /// Bytes and number of the values that something refers to, of each segment of which that is known exactly.
    #[cfg(test)]
    pub(crate) fn live(&self) -> Vec<(u32, Count)> {
        let table = self.log.table.load();
        let exact = table.all().filter(|segment| segment.moved().is_none() && !segment.is_uncertain());
        exact.map(|segment| (segment.id, segment.live())).collect()
    }

    /// Compacts whatever there is, whatever the policy says, until nothing is won any more; waits for it. It is told how
    /// many bytes were read and written, of those that the log has.
    ///
    /// # Errors
    /// When the disk fails: what is alive is where it was, or where it has been copied to.
    pub fn compact(&self, index: &dyn Index, on_progress: OnProgress<'_>) -> std::io::Result<Compacted> {
        self.log.compact_all(index, on_progress)
    }

    /// Makes one pass of compaction by the policy as it is set.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn compact_once(&self, index: &dyn Index, forced: bool) -> std::io::Result<bool> {
        let forced = forced.then(|| self.log.manifest.next_segment_id());
        self.log.compact_once(index, &self.log.orders.policy(), forced, &|_| true)
    }

    /// Ends the threads, makes everything durable and refuses what comes later. Once closed, closing does nothing.
    ///
    /// # Errors
    /// When the disk fails: what was not acknowledged may be lost.
    pub fn close(&self) -> Result<(), LogFailed> {
        self.stop();
        self.log.close()
    }

    /// Does what the threads do by themselves, for tests that are to be the same every time.
    #[cfg(test)]
    pub(crate) fn tick(&self) -> Result<(), LogFailed> {
        self.log.prepare();
        self.log.sync_round(true)?;
        self.log.claim();
        // What becomes of it is told as the disk's last error.
        let _ = self.log.write_hints();
        Ok(())
    }

    /// Does what the sync thread does once nobody has asked it for a while.
    #[cfg(test)]
    pub(crate) fn pass_idle_second(&self) {
        self.log.sync_turn(false);
    }

    /// Does what the thread that compacts does, once.
    #[cfg(test)]
    pub(crate) fn compact_by_schedule(&self, index: &dyn Index, asked: bool) {
        self.log.compaction_turn(index, asked);
    }

    /// What INFO says of the store.
    pub fn status(&self) -> Status {
        self.log.status()
    }

    /// The longest write and sync since this was last asked.
    pub fn take_slowest(&self) -> Slowest {
        self.log.take_slowest()
    }

    /// How long writes and syncs of the log took since the start.
    pub fn waits(&self) -> Waits {
        self.log.waits()
    }

    /// Counts them from zero again.
    pub fn reset_waits(&self) {
        self.log.reset_waits();
    }

    /// Each segment, in the order of their ids.
    pub fn segments(&self) -> Vec<SegmentStatus> {
        self.log.segments()
    }

    /// Bytes that can still be written to the file system of the log.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn free_space(&self) -> std::io::Result<u64> {
        self.log.disk.free_space()
    }

    fn stop(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        if let Some(compacting) = threads.compacting {
            self.log.stop_compaction(compacting);
        }
        self.log.stop_threads(threads.of_log);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop();
    }
}
