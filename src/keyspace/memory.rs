//! The memory limit: values go back to the disk before any key is evicted, and before anything is refused.
//!
//! Always true: only [`Keyspace::keep_within`] decides, on one thread at a time. Whoever wants to put more in waits while it
//! makes room, and is refused only where all values are on the disk and the policy lets no key go.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::task::{Poll, Waker};

use arc_swap::ArcSwap;

use super::Keyspace;
use super::evict::{Evictor, Policy};
use super::footprint::Footprint;
use super::hand::{Hand, Manner};
use crate::sync::Mutex;

/// How many rounds the hand makes before it spares nothing: a value used three times survives three of them.
const ROUNDS_MAX: usize = 4;

/// Of the limit, this part is kept free, so that there is room before somebody needs it; at most [`RESERVE_MAX`].
const RESERVE_PART: u64 = 64;

/// Bytes.
const RESERVE_MAX: u64 = 16 << 20;

/// Values that come from the disk have to be worth their place where less than so many times the reserve is free.
const SCARCE_RESERVES: u64 = 3;

/// How many values are looked at before it is seen again how much is in use: some milliseconds.
const LOOKED_AT_MAX: usize = 100_000;

/// Whoever waits for room is refused after so many calls in a row that have not found any.
const PATIENCE: u32 = 100;

/// Whoever waits for what was freed to get back to the system goes on after so many calls in a row.
const CRAMMED_MAX: u32 = 1000;

#[derive(Default)]
pub(super) struct Memory {
    limit: AtomicU64,
    policy: ArcSwap<Policy>,
    /// A [`Room`].
    room: AtomicU8,
    /// More than the limit is in use, and room is being made.
    pressed: AtomicBool,
    /// The keys and elements alone are over the limit, and none may go.
    full: AtomicBool,
    /// Readers wait, too.
    held: AtomicBool,
    /// Bytes that values which nobody has asked for may still take, as it was seen last.
    spare: AtomicU64,
    waiting: Mutex<Vec<Waker>>,
    state: Mutex<State>,
    pub(super) hand: Hand,
    pub(super) evictor: Evictor,
}

#[derive(Default)]
struct State {
    /// How often in a row nothing was found that could go.
    in_vain: u32,
    /// Rounds that the hand has made since there was room last, and those of them at the end that spared nothing.
    rounds: usize,
    whole: usize,
    /// How often in a row the system's limit was near.
    crammed: u32,
    /// A round is under way in which everything moves.
    renews: bool,
}

/// What there is for values that come from the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// As much as they need.
    Enough,
    /// Another has to go for each: those stay that are asked for once more before the hand has gone round. So what is asked for
    /// once, as by whoever reads everything, takes the place of nothing.
    Scarce,
    /// Nothing.
    None,
}

impl Memory {
    /// What there is for a value that comes from the disk.
    pub(super) fn room(&self) -> Room {
        match self.room.load(Relaxed) {
            0 => Room::Enough,
            1 => Room::Scarce,
            _ => Room::None,
        }
    }

    fn set_room(&self, room: Room) {
        self.room.store(room as u8, Relaxed);
    }

    /// How many bytes values may take that nobody has asked for yet: until twice the reserve is left, so that clients' own
    /// find room without the hand.
    pub(super) fn spare(&self) -> u64 {
        if self.limit.load(Relaxed) == 0 { u64::MAX } else { self.spare.load(Relaxed) }
    }

    /// Notes that such a value has taken so many.
    pub(super) fn spend(&self, bytes: u64) {
        let _ = self.spare.fetch_update(Relaxed, Relaxed, |spare| Some(spare.saturating_sub(bytes)));
    }

    fn let_go_on(&self) {
        self.held.store(false, SeqCst);
        self.pressed.store(false, SeqCst);
        std::mem::take(&mut *self.waiting.lock()).into_iter().for_each(Waker::wake);
    }
}

/// How much memory is in use, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// All that counts towards the limit.
    pub used: u64,
    /// What of it goes by itself within a moment, as what is not yet synced.
    pub passing: u64,
    /// What the process has of the system beyond what it may have for its limit.
    pub surplus: u64,
    /// Whether that is for want of order: what lives stands scattered among what was freed, and moves together.
    pub is_scattered: bool,
    /// Whether something was let go that takes a moment to go: no key goes instead, and nobody is refused meanwhile.
    pub is_freeing: bool,
    /// Whether the surplus is so much that whoever puts more in has to wait until some of it has gone back.
    pub is_crammed: bool,
    /// Whether it is replies that take the memory: whoever reads has to wait as well.
    pub holds_readers: bool,
}

/// What [`Keyspace::keep_within`] has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Governed {
    /// Bytes that have left memory, and are still on the disk.
    pub demoted: u64,
    /// Keys that are no more.
    pub evicted: u64,
    /// Whether more than the limit is in use still.
    pub is_over: bool,
    /// Whether what is scattered is still being put together.
    pub is_renewing: bool,
}

/// Where the keyspace's memory goes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Keys and values in memory.
    pub entries: u64,
    /// The maps' own tables.
    pub tables: u64,
    /// Elements of large collections, and what finds them.
    pub collections: u64,
    /// What of all that are values which are on the disk too, and may leave memory.
    pub values: u64,
}

impl MemoryUse {
    /// All together.
    pub fn total(&self) -> u64 {
        self.entries + self.tables + self.collections
    }

    /// What stays when all values are only on the disk.
    pub fn bare(&self) -> u64 {
        self.total().saturating_sub(self.values)
    }
}

impl Keyspace {
    /// Sets the limit in bytes; 0 is none.
    pub fn set_memory_limit(&self, bytes: u64) {
        self.memory.limit.store(bytes, Relaxed);
    }

    /// What the keyspace takes.
    pub fn memory_use(&self) -> MemoryUse {
        let values = |footprint: Footprint| footprint.bytes.saturating_sub(footprint.bare) as u64;
        let collections = self.bound.objects.footprint();
        let mut all = MemoryUse { collections: collections.bytes as u64, ..MemoryUse::default() };
        all.values = values(collections);
        for database in &self.bound.databases {
            let keydir = database.load();
            all.entries += keydir.footprint().bytes as u64;
            all.values += values(keydir.footprint());
            all.tables += keydir.table_bytes() as u64;
        }
        all
    }

    /// Large collections that were deleted: how many are still to be taken apart in the background, and how many have been.
    pub fn reclaimed_collections(&self) -> (usize, u64) {
        self.bound.objects.reclaimed()
    }

    /// Counts the ones that have been taken apart from 0 again.
    pub fn reset_reclaimed_collections(&self) {
        self.bound.objects.reset_reclaimed();
    }

    /// Chooses which keys may be deleted where those alone are over the limit.
    pub fn set_eviction_policy(&self, policy: Policy) {
        self.memory.policy.store(std::sync::Arc::new(policy));
    }

    /// Whether nothing may be put in: the keys alone are over the limit, and none of them may go, as
    /// [`Keyspace::keep_within`] saw it last.
    pub fn is_out_of_memory(&self) -> bool {
        self.memory.full.load(Relaxed)
    }

    /// Whether whoever puts more in may go on without first waiting for [`Keyspace::poll_memory`].
    #[inline]
    pub fn has_memory(&self) -> bool {
        !self.memory.pressed.load(Relaxed)
    }

    /// The same for whoever reads.
    #[inline]
    pub fn has_memory_for_replies(&self) -> bool {
        !self.memory.held.load(Relaxed)
    }

    /// Tells that somebody has taken much at once, after which so many bytes are in use. Where that is too much, all wait until
    /// [`Keyspace::keep_within`] has seen it, which may be later than the next one does the same.
    pub fn note_taken(&self, used: u64) {
        let limit = self.memory.limit.load(Relaxed);
        if limit > 0 && used > limit && !self.is_out_of_memory() {
            self.memory.pressed.store(true, SeqCst);
            self.memory.held.store(true, SeqCst);
        }
    }

    /// Ready when there is room in memory, or it is known that there will be none; otherwise `waker` is woken then.
    pub fn poll_memory(&self, waker: &Waker) -> Poll<()> {
        if !self.memory.pressed.load(SeqCst) {
            return Poll::Ready(());
        }
        self.memory.waiting.lock().push(waker.clone());
        // Who makes room takes all that wait after it has said that there is some.
        if self.memory.pressed.load(SeqCst) { Poll::Pending } else { Poll::Ready(()) }
    }

    /// As [`Keyspace::keep_within`], where nobody measures: what the keyspace takes, and so many bytes beside it.
    pub fn govern(&self, beside: u64) -> Governed {
        let used = self.memory_use().total() + beside;
        self.keep_within(Load { used, ..Load::default() }, true)
    }

    /// Keeps to the limit: sends values back to the disk, those not used of late first, and where that is not enough deletes
    /// keys as the policy says, if it `may_evict` now. To be called on a schedule, the sooner the less is free, by one
    /// thread that may take its time; whoever waits for one of its locks waits for a step of the hand.
    pub fn keep_within(&self, load: Load, may_evict: bool) -> Governed {
        let memory = &self.memory;
        let (limit, mut state) = (memory.limit.load(Relaxed), memory.state.lock());
        if limit == 0 {
            memory.set_room(Room::Enough);
            memory.full.store(false, Relaxed);
            *state = State::default();
            memory.let_go_on();
            return Governed::default();
        }
        let reserve = (limit / RESERVE_PART).min(RESERVE_MAX);
        if load.used > limit || load.is_crammed {
            memory.pressed.store(true, SeqCst);
        }
        memory.held.store(load.holds_readers, SeqCst);
        let spare = if load.surplus > 0 { 0 } else { limit.saturating_sub(load.used + 2 * reserve) };
        memory.spare.store(spare, Relaxed);
        // Before the hand begins, so that nothing comes back meanwhile; it stays while there is next to nothing free.
        memory.set_room(match load.used + reserve >= limit || load.surplus > 0 {
            true => Room::None,
            false if load.used + SCARCE_RESERVES * reserve >= limit => Room::Scarce,
            false => Room::Enough,
        });
        let mut wanted = (load.used + reserve).saturating_sub(limit);
        let mut kept = Governed::default();
        // Keys go only for what they take themselves, whatever values are in memory.
        let bare = self.memory_use().bare() + load.beside(self);
        let mut lacking = (bare + reserve).saturating_sub(limit).min(wanted);
        let policy = **memory.policy.load();
        // Who evicts and must not now waits for that, and refuses nobody meanwhile.
        let mut may_go_on =
            load.is_freeing || self.reclaimed_collections().0 > 0 || !may_evict && policy != Policy::Never;
        if lacking > 0 && !may_go_on {
            let evicted = self.evict(&policy, lacking as usize);
            kept.evicted = evicted.keys;
            lacking = lacking.saturating_sub(evicted.freed.bare as u64);
            wanted = wanted.saturating_sub(evicted.freed.bytes as u64);
            may_go_on = evicted.keys > 0 || !evicted.is_exhausted;
        }
        let of_values = wanted.saturating_sub(lacking).max(load.surplus);
        state.renews |= load.is_scattered;
        // Where keys go, their uses count from when they were passed to be chosen.
        let demoted = self.demote(of_values, lacking == 0, &mut state);
        kept.demoted = demoted.bytes;
        kept.is_renewing = state.renews;
        let left = wanted.saturating_sub(kept.demoted);
        kept.is_over = left > reserve;
        // What goes by itself is waited for, and nobody is refused for it.
        let is_lasting = left > load.passing;
        if kept.is_over && !is_lasting {
            self.store.ask_for_sync();
        }
        match left > 0 || load.surplus > 0 {
            true => memory.set_room(Room::None),
            false if wanted > 0 => memory.set_room(Room::Scarce),
            false => {}
        }
        state.in_vain = if is_lasting && demoted.is_exhausted && !may_go_on { state.in_vain + 1 } else { 0 };
        state.crammed = if load.is_crammed { state.crammed + 1 } else { 0 };
        let is_stuck = is_lasting && !may_go_on && (lacking > 0 || state.in_vain >= PATIENCE);
        memory.full.store(is_stuck, Relaxed);
        let is_crammed = load.is_crammed && state.crammed < CRAMMED_MAX;
        // A log that fails says so itself to whoever writes.
        let waits = kept.is_over && may_evict && !self.store.is_failing() || is_crammed || load.holds_readers;
        if is_stuck || !waits {
            memory.let_go_on();
        }
        kept
    }

    /// Sends so many bytes of values back to the disk, those not used of late first, as far as that takes little time.
    fn demote(&self, wanted: u64, ages: bool, state: &mut State) -> Demoted {
        let mut excess = wanted;
        if state.renews {
            let swept = self.sweep(usize::MAX, Manner::Renew { wanted: excess as usize }, LOOKED_AT_MAX);
            excess -= (swept.freed as u64).min(excess);
            state.renews = !swept.is_whole;
            return Demoted { bytes: wanted - excess, is_exhausted: false };
        }
        let mut is_exhausted = false;
        for _ in 0..=ROUNDS_MAX + 1 {
            let values = self.memory_use().values;
            is_exhausted = values == 0 || state.whole >= 2;
            if excess == 0 || is_exhausted {
                break;
            }
            // Where all have to go, or enough was spared, nothing is. What is not yet written stays: it can go soon.
            let is_all = values <= excess || state.rounds >= ROUNDS_MAX;
            let manner = if is_all { Manner::All } else { Manner::Spare { ages } };
            let swept = self.sweep(excess as usize, manner, LOOKED_AT_MAX);
            excess -= (swept.freed as u64).min(excess);
            if !swept.is_whole {
                break;
            }
            state.rounds += 1;
            // Of a round that was begun before, only the end may have been made so.
            state.whole = match (is_all, swept.was_begun) {
                (true, false) => 2,
                (true, true) => state.whole + 1,
                (false, _) => 0,
            };
        }
        if excess == 0 || is_exhausted {
            (state.rounds, state.whole) = (0, 0);
        }
        Demoted { bytes: wanted - excess, is_exhausted }
    }
}

/// What has come of sending values back to the disk.
struct Demoted {
    bytes: u64,
    /// Whether nothing is left that may go now.
    is_exhausted: bool,
}

impl Load {
    /// What is in use for longer, and neither keys nor values.
    fn beside(&self, keyspace: &Keyspace) -> u64 {
        self.used.saturating_sub(keyspace.memory_use().total()).saturating_sub(self.passing)
    }
}
