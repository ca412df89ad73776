//! Connections that wait: for keys, for the disk, or for time to pass.
//!
//! Always true: who waits has left its whole session here, so that whoever makes a key ready can run its command for it;
//! whoever runs it, or ends its waiting, holds the lock of its state, so that exactly one of them decides what it is
//! answered. A command that waits is registered while its latches are held: from then on every change of its keys finds it.
//! Latches come first, then the lock of a state, then that of the register.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{ArcMutexGuard, Mutex, RawMutex};

use super::{Client, Node, Queued, Session};
use crate::keyspace::Access;
use crate::protocol::{Reply, ReplyBuffer};
use crate::store::Position;

/// What a command waits for.
#[derive(Clone, Debug)]
pub struct Block {
    /// The keys one of which has to become ready; none where it does not wait for keys.
    pub keys: Vec<Bytes>,
    /// Whether a key that has changed may be what the command waits for; it is run again to find out. A key of another
    /// type never is: the command would be refused, where it goes on waiting.
    pub is_ready: fn(&mut Access<'_>, &[u8]) -> bool,
    /// Whether a key that is gone is looked at as well.
    pub also_gone: bool,
    /// The position that its answer tells of.
    pub position: Position,
    /// Whether its waiting ends when this is on the disk.
    pub ends_durable: bool,
    /// For how long; `None` for ever.
    pub timeout: Option<Duration>,
    /// What is answered when its waiting ends without a key: told the position.
    pub timed_out: fn(&Node, Position) -> Reply,
}

/// A connection that waits.
#[derive(Debug)]
pub struct Waiter {
    /// Who came first has the lower number.
    pub arrival: u64,
    /// The connection, as others see it.
    pub client: Arc<Client>,
    /// The database it looks at.
    pub database: u32,
    /// All keys that its command touches: those it waits for and those it will change.
    pub touched: Box<[Bytes]>,
    /// What it waits for.
    pub block: Block,
    state: Arc<Mutex<State>>,
    waker: Mutex<Option<Waker>>,
}

/// The state of a connection that waits, locked.
pub type Locked = ArcMutexGuard<RawMutex, State>;

/// What becomes of a connection that waits.
#[derive(Debug)]
pub enum State {
    /// It waits.
    Waiting(Box<Parked>),
    /// It has been answered.
    Answered(Box<Parked>),
    /// It has been taken back by its connection.
    Taken,
}

/// What a connection leaves behind while it waits.
#[derive(Debug)]
pub struct Parked {
    /// Its session.
    pub session: Session,
    /// Its command.
    pub request: Queued,
    /// What it is answered.
    pub out: ReplyBuffer,
    /// What the answer has to wait for.
    pub wait: Position,
}

/// All connections that wait.
#[derive(Debug, Default)]
pub struct Waiting {
    arrivals: AtomicU64,
    /// How many wait for keys.
    keyed: AtomicUsize,
    register: Mutex<Register>,
}

#[derive(Debug, Default)]
struct Register {
    by_client: HashMap<u64, Arc<Waiter>>,
    by_key: HashMap<Bytes, Queue>,
    /// How many have a timeout.
    timed: usize,
}

/// Those who wait for one key, in whatever database.
#[derive(Debug, Default)]
struct Queue {
    by_arrival: BTreeMap<u64, Arc<Waiter>>,
    /// How many of them look at a key that is gone as well.
    also_gone: usize,
    /// The other keys that they touch, each with how many of them do.
    neighbours: HashMap<Bytes, usize>,
}

impl Queue {
    fn add(&mut self, key: &Bytes, waiter: &Arc<Waiter>) {
        // One may name a key twice.
        if self.by_arrival.insert(waiter.arrival, waiter.clone()).is_none() {
            self.also_gone += usize::from(waiter.block.also_gone);
            waiter.touched.iter().filter(|touched| *touched != key).for_each(|touched| {
                *self.neighbours.entry(touched.clone()).or_default() += 1;
            });
        }
    }

    fn remove(&mut self, key: &Bytes, waiter: &Waiter) {
        if self.by_arrival.remove(&waiter.arrival).is_none() {
            return;
        }
        self.also_gone -= usize::from(waiter.block.also_gone);
        for touched in waiter.touched.iter().filter(|touched| *touched != key) {
            if let Some(count) = self.neighbours.get_mut(touched) {
                *count -= 1;
                if *count == 0 {
                    self.neighbours.remove(touched);
                }
            }
        }
    }
}

/// How many there are, as INFO tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitingCounts {
    /// Connections.
    pub clients: usize,
    /// Those that wait for a limited time.
    pub timed: usize,
    /// Keys that somebody waits for.
    pub keys: usize,
}

impl Waiting {
    /// Whether anybody waits for keys: one look, for every command that changes something.
    #[inline]
    pub fn is_used(&self) -> bool {
        self.keyed.load(SeqCst) != 0
    }

    /// Has a connection wait; the latches of all keys in `touched` are held.
    pub fn add(&self, parked: Parked, touched: Vec<Bytes>, block: Block) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter {
            arrival: self.arrivals.fetch_add(1, Relaxed),
            client: parked.session.client.clone(),
            database: parked.session.database,
            touched: touched.into(),
            block,
            state: Arc::new(Mutex::new(State::Waiting(Box::new(parked)))),
            waker: Mutex::default(),
        });
        let mut register = self.register.lock();
        register.by_client.insert(waiter.client.id, waiter.clone());
        register.timed += usize::from(waiter.block.timeout.is_some());
        for key in &waiter.block.keys {
            register.by_key.entry(key.clone()).or_default().add(key, &waiter);
        }
        if !waiter.block.keys.is_empty() {
            self.keyed.fetch_add(1, SeqCst);
        }
        waiter.client.set_blocked(true);
        waiter
    }

    /// Who waits for a key of a database, and came first of those who came after `arrival`, or of all. Where the key is gone,
    /// of those who look at such a key.
    pub fn next(&self, database: u32, key: &[u8], after: Option<u64>, is_gone: bool) -> Option<Arc<Waiter>> {
        let register = self.register.lock();
        let queue = register.by_key.get(key).filter(|queue| !is_gone || queue.also_gone > 0)?;
        let later = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let counts = |waiter: &&Arc<Waiter>| waiter.database == database && (!is_gone || waiter.block.also_gone);
        queue.by_arrival.range(later).map(|(_, waiter)| waiter).find(counts).cloned()
    }

    /// The keys of a database that somebody waits for.
    pub fn keys(&self, database: u32) -> Vec<Bytes> {
        let register = self.register.lock();
        let first = |queue: &Queue| {
            queue.by_arrival.values().find(|waiter| waiter.database == database).map(|waiter| waiter.arrival)
        };
        let waited = register.by_key.iter().filter_map(|(key, queue)| Some((first(queue)?, key.clone())));
        let mut keys: Vec<(u64, Bytes)> = waited.collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key).collect()
    }

    /// What else may be touched by whoever touches these keys, since somebody waits for them: the keys of those who wait,
    /// and of those who wait for these. None where nobody does.
    pub fn reach<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Option<Vec<Bytes>> {
        let register = self.register.lock();
        let mut seen: HashSet<Bytes> = HashSet::new();
        let mut left: Vec<Bytes> = keys.filter_map(|key| Some(register.by_key.get_key_value(key)?.0.clone())).collect();
        if left.is_empty() {
            return None;
        }
        while let Some(key) = left.pop() {
            if !seen.insert(key.clone()) {
                continue;
            }
            let neighbours = register.by_key.get(&key).into_iter().flat_map(|queue| queue.neighbours.keys());
            left.extend(neighbours.filter(|key| !seen.contains(*key)).cloned());
        }
        Some(seen.into_iter().collect())
    }

    /// The connection with this number, if it waits.
    pub fn of_client(&self, id: u64) -> Option<Arc<Waiter>> {
        self.register.lock().by_client.get(&id).cloned()
    }

    /// How many there are.
    pub fn counts(&self) -> WaitingCounts {
        let register = self.register.lock();
        let databases =
            |queue: &Queue| queue.by_arrival.values().map(|waiter| waiter.database).collect::<HashSet<_>>().len();
        WaitingCounts {
            clients: register.by_client.len(),
            timed: register.timed,
            keys: register.by_key.values().map(databases).sum(),
        }
    }

    /// Its waiting is over: it is answered what stands in its output, once the log has reached `wait`.
    pub fn answer(&self, waiter: &Waiter, state: &mut Locked, wait: Position) {
        if let State::Waiting(mut parked) = std::mem::replace(&mut **state, State::Taken) {
            parked.wait = parked.wait.max(wait);
            **state = State::Answered(parked);
            self.remove(waiter);
            waiter.wake();
        }
    }

    /// Gives a connection back what it left; `None` where it has it already.
    pub fn take_back(&self, waiter: &Waiter) -> Option<Box<Parked>> {
        let mut state = waiter.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Waiting(parked) => {
                self.remove(waiter);
                Some(parked)
            }
            State::Answered(parked) => Some(parked),
            State::Taken => None,
        }
    }

    fn remove(&self, waiter: &Waiter) {
        let mut register = self.register.lock();
        if register.by_client.remove(&waiter.client.id).is_none() {
            return;
        }
        waiter.client.set_blocked(false);
        register.timed -= usize::from(waiter.block.timeout.is_some());
        for key in &waiter.block.keys {
            if let Some(queue) = register.by_key.get_mut(key) {
                queue.remove(key, waiter);
                if queue.by_arrival.is_empty() {
                    register.by_key.remove(key);
                }
            }
        }
        if !waiter.block.keys.is_empty() {
            self.keyed.fetch_sub(1, SeqCst);
        }
    }
}

impl Waiter {
    /// Locks its state: it is answered by nobody else meanwhile.
    pub fn lock(&self) -> Locked {
        self.state.lock_arc()
    }

    /// Ready once it has been answered; otherwise `waker` is woken then.
    pub fn poll_answered(&self, waker: &Waker) -> Poll<()> {
        let mut slot = self.waker.lock();
        if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
        drop(slot);
        if matches!(*self.state.lock(), State::Waiting(_)) { Poll::Pending } else { Poll::Ready(()) }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.lock().take() {
            waker.wake();
        }
    }
}
