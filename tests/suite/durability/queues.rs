//! Queues: one client pushes numbers, others wait for them by BLPOP, BLMOVE or BZPOPMIN.
//!
//! Always true: the numbers of a queue are pushed in order and each only once; a step is in `under_way` from before its
//! first byte is sent until its last reply is read.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::model::number;
use crate::connection::{Connection, encode};
use crate::reply::Reply;

/// Steps that are under way at once, at most.
const PIPELINE: usize = 4;

/// How many are left in a queue before more are pushed: consumers wait for what comes, or the queue gets large.
const LEFT: [usize; 3] = [0, 40, 400];

/// Seconds that a consumer waits before it asks again.
const PATIENCE: &str = "0.5";

/// How numbers leave a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pop,
    Move,
    PopLowest,
}

/// One queue, and what its clients were told.
pub struct Queue {
    kind: Kind,
    consumers: usize,
    key: String,
    /// Where BLMOVE puts what it takes.
    target: String,
    state: Mutex<State>,
    /// A client has found that the server is gone.
    ended: AtomicBool,
}

struct State {
    /// All before had left the queue when it was looked at last.
    base: u64,
    /// All before were acknowledged as pushed.
    acknowledged: u64,
    /// Where each step that is not acknowledged ends.
    under_way: VecDeque<u64>,
    /// What consumers have got.
    handed: BTreeSet<u64>,
    random: fastrand::Rng,
}

/// One of each kind with one consumer, and with two.
pub fn queues() -> Vec<Queue> {
    let kinds = [Kind::Pop, Kind::Move, Kind::PopLowest];
    let both = kinds.into_iter().flat_map(|kind| [(kind, 1), (kind, 2)]);
    both.enumerate().map(|(number, (kind, consumers))| Queue::new(number, kind, consumers)).collect()
}

impl Queue {
    fn new(number: usize, kind: Kind, consumers: usize) -> Queue {
        let random = fastrand::Rng::with_seed(number as u64);
        let (under_way, handed) = (VecDeque::new(), BTreeSet::new());
        Queue {
            kind,
            consumers,
            key: format!("queue:{number}"),
            target: format!("queue:{number}:done"),
            state: Mutex::new(State { base: 0, acknowledged: 0, under_way, handed, random }),
            ended: AtomicBool::new(false),
        }
    }

    pub fn consumers(&self) -> usize {
        self.consumers
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pushes until the connection ends.
    pub fn push(&self, connection: &mut Connection, answered: &AtomicU64) {
        while !self.ended.load(Ordering::Relaxed) {
            let (requests, replies) = self.next_steps();
            // Answers may have come although the rest could not be sent.
            let _ = connection.send_raw(&requests);
            for count in replies {
                for _ in 0..count {
                    match connection.receive() {
                        Ok(Reply::Closed) => return self.ended.store(true, Ordering::Relaxed),
                        Ok(Reply::Integer(_) | Reply::Status(_) | Reply::Array(_)) => {}
                        other => panic!("a push to {} answered {other:?}", self.key),
                    }
                }
                let mut state = self.state();
                state.acknowledged = state.under_way.pop_front().expect("a step under way");
                answered.fetch_add(1, Ordering::Relaxed);
            }
            let left = {
                let state = &mut *self.state();
                LEFT[state.random.usize(0..LEFT.len())]
            };
            while self.state().left() > left && !self.ended.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
    }

    /// The bytes that ask for the next steps, and how many replies each of them gets.
    fn next_steps(&self) -> (Vec<u8>, Vec<usize>) {
        let state = &mut *self.state();
        let (mut requests, mut replies, mut next) = (Vec::new(), Vec::new(), state.acknowledged);
        for _ in 0..state.random.usize(1..=PIPELINE) {
            let commands = state.random.usize(1..=3);
            if commands > 1 {
                requests.extend(encode(&["MULTI"]));
            }
            for _ in 0..commands {
                let behind = next + state.random.u64(1..=30) / 10 + 1;
                requests.extend(self.push_request(next..behind));
                next = behind;
            }
            if commands > 1 {
                requests.extend(encode(&["EXEC"]));
            }
            replies.push(if commands > 1 { commands + 2 } else { 1 });
            state.under_way.push_back(next);
        }
        (requests, replies)
    }

    fn push_request(&self, numbers: Range<u64>) -> Vec<u8> {
        let mut words = match self.kind {
            Kind::PopLowest => vec!["ZADD".to_owned(), self.key.clone()],
            Kind::Pop | Kind::Move => vec!["RPUSH".to_owned(), self.key.clone()],
        };
        for number in numbers {
            words.extend((self.kind == Kind::PopLowest).then(|| number.to_string()));
            words.push(number.to_string());
        }
        encode(&words)
    }

    /// Takes what comes, in order, until the connection ends.
    pub fn take(&self, connection: &mut Connection, answered: &AtomicU64) {
        let words: Vec<&str> = match self.kind {
            Kind::Pop => vec!["BLPOP", &self.key, PATIENCE],
            Kind::Move => vec!["BLMOVE", &self.key, &self.target, "LEFT", "RIGHT", PATIENCE],
            Kind::PopLowest => vec!["BZPOPMIN", &self.key, PATIENCE],
        };
        let mut last = None;
        loop {
            let number = match connection.call(&words) {
                Ok(Reply::Null | Reply::NullArray) => continue,
                Ok(Reply::Bulk(item)) => number(&item) as u64,
                Ok(Reply::Array(items)) if items.len() >= 2 => number(items[1].bytes().expect("a number")) as u64,
                Ok(Reply::Closed) | Err(_) => return self.ended.store(true, Ordering::Relaxed),
                Ok(other) => panic!("{words:?} answered {other:?}"),
            };
            assert!(last.is_none_or(|last| last < number), "{} gave {number} after {last:?}", self.key);
            last = Some(number);
            let state = &mut *self.state();
            assert!(number >= state.base, "{} gave {number}, which had left it", self.key);
            assert!(state.handed.insert(number), "{} gave {number} twice", self.key);
            let end = state.under_way.back().copied().unwrap_or(state.acknowledged);
            assert!(number < end, "{} gave {number}, which nobody had pushed", self.key);
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Checks that each number that was acknowledged as pushed was handed out or is still there, but for one of each consumer
    /// that may have been on its way to it; that none is there twice; and that all are in order. The queue goes on from
    /// what is there.
    ///
    /// # Panics
    /// When it is not so.
    pub fn check(&mut self, connection: &mut Connection) {
        let waiting = match self.kind {
            Kind::PopLowest => numbers(&connection.ask(&["ZRANGE", &self.key, "0", "-1"])),
            Kind::Pop | Kind::Move => numbers(&connection.ask(&["LRANGE", &self.key, "0", "-1"])),
        };
        let moved = match self.kind {
            Kind::Move => Some(numbers(&connection.ask(&["LRANGE", &self.target, "0", "-1"]))),
            Kind::Pop | Kind::PopLowest => None,
        };
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut ends = std::iter::once(state.acknowledged).chain(state.under_way.iter().copied());
        let Some(end) = ends.rfind(|&end| state.fits(end, &waiting, moved.as_deref(), self.consumers)) else {
            panic!(
                "{:?} {}: {} to {} were acknowledged as pushed, steps under way end at {:?}; handed out were {:?}; waiting \
                 are {:?}, moved {:?}",
                self.kind,
                self.key,
                state.base,
                state.acknowledged,
                state.under_way,
                ranges(state.handed.iter().copied()),
                ranges(waiting.iter().copied()),
                moved.map(|moved| ranges(moved.into_iter()))
            );
        };
        (state.base, state.acknowledged) = (end - waiting.len() as u64, end);
        state.under_way.clear();
        state.handed.clear();
        self.ended.store(false, Ordering::Relaxed);
        // It would grow without end.
        connection.ask(&["DEL", &self.target]);
    }
}

impl State {
    /// How many are left in the queue, as far as its clients know.
    fn left(&self) -> usize {
        (self.acknowledged - self.base) as usize - self.handed.range(..self.acknowledged).count()
    }

    /// Whether this may be what is there if the last step that took effect ended at `end`.
    fn fits(&self, end: u64, waiting: &[u64], moved: Option<&[u64]>, consumers: usize) -> bool {
        let Some(first) = end.checked_sub(waiting.len() as u64).filter(|first| *first >= self.base) else {
            return false;
        };
        waiting.iter().copied().eq(first..end)
            && moved.is_none_or(|moved| moved.iter().copied().eq(self.base..first))
            && self.handed.last().is_none_or(|last| *last < first)
            && (first - self.base) as usize - self.handed.len() <= consumers
    }
}

fn numbers(reply: &Reply) -> Vec<u64> {
    let items = reply.elements().expect("an array").iter();
    items.map(|item| number(item.bytes().expect("a number")) as u64).collect()
}

/// Numbers that follow one another, together.
fn ranges(numbers: impl Iterator<Item = u64>) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some(last) if last.end == number => last.end += 1,
            _ => ranges.push(number..number + 1),
        }
    }
    ranges
}

#[test]
fn a_queue_that_lacks_a_number_or_has_it_twice_is_noticed() {
    let state = State {
        base: 10,
        acknowledged: 16,
        under_way: VecDeque::from([18]),
        handed: (10..13).collect(),
        random: fastrand::Rng::with_seed(0),
    };
    let fits = |waiting: &[u64], moved: Option<&[u64]>| [16, 18].iter().any(|&end| state.fits(end, waiting, moved, 1));
    assert!(fits(&[13, 14, 15], None));
    assert!(fits(&[14, 15], None), "one may be lost on its way");
    assert!(fits(&[13, 14, 15, 16, 17], None), "what was under way may have taken effect");
    assert!(fits(&[13, 14, 15], Some(&[10, 11, 12])));
    assert!(fits(&[14, 15], Some(&[10, 11, 12, 13])));
    assert!(!fits(&[15], None), "two were lost");
    assert!(!fits(&[13, 15], None), "one in the middle was lost");
    assert!(!fits(&[13, 14], None), "the last was lost");
    assert!(!fits(&[12, 13, 14, 15], None), "one is back that was handed out");
    assert!(!fits(&[14, 13, 15], None), "they are in another order");
    assert!(!fits(&[13, 14, 15, 16], None), "half a step");
    assert!(!fits(&[14, 15], Some(&[10, 11, 12])), "one is in neither list");
    assert!(!fits(&[13, 14, 15], Some(&[10, 11, 12, 13])), "one is in both lists");
}
