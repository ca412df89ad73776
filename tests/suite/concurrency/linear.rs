//! Histories of single keys, checked for linearizability: there must be one order of all calls, in which each call
//! stands between its beginning and its end, that explains every answer.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{number, together};
use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{Program, Server};

/// What a client asks of a key. Every value written is written once.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    Get,
    Set(i64),
    SetIfAbsent(i64),
    /// SET with GET: the answer is the value before.
    Swap(i64),
    Delete,
    /// GETDEL.
    Take,
}

/// What was answered: a value, or 1 and 0 for done and not done.
pub type Answer = Option<i64>;

#[derive(Clone, Copy, Debug)]
struct Call {
    ask: Ask,
    answer: Answer,
    begin: u64,
    end: u64,
}

impl Call {
    /// The value of the key after this call, if it can have been answered so with `value` before.
    fn apply(&self, value: Option<i64>) -> Option<Option<i64>> {
        let (expected, after) = match self.ask {
            Ask::Get => (value, value),
            Ask::Set(new) => (None, Some(new)),
            Ask::SetIfAbsent(new) => (Some(i64::from(value.is_none())), value.or(Some(new))),
            Ask::Swap(new) => (value, Some(new)),
            Ask::Delete => (Some(i64::from(value.is_some())), None),
            Ask::Take => (value, None),
        };
        (self.answer == expected).then_some(after)
    }
}

/// Searches for the order (Wing and Gong's algorithm, remembering what was tried).
fn is_linearizable(calls: &[Call]) -> bool {
    assert!(calls.len() <= 128, "a set of calls is a number of 128 bits");
    let all = if calls.len() == 128 { u128::MAX } else { (1 << calls.len()) - 1 };
    let (mut tried, mut open) = (HashSet::new(), vec![(0_u128, None)]);
    while let Some((done, value)) = open.pop() {
        if done == all {
            return true;
        }
        if !tried.insert((done, value)) {
            continue;
        }
        let left = || calls.iter().enumerate().filter(|(index, _)| done & (1 << index) == 0);
        let first_end = left().map(|(_, call)| call.end).min().unwrap_or(u64::MAX);
        // Whoever begins after another has ended cannot come before it.
        let next = left().filter(|(_, call)| call.begin < first_end);
        open.extend(next.filter_map(|(index, call)| Some((done | 1 << index, call.apply(value)?))));
    }
    false
}

const CLIENTS: usize = 6;
const CALLS: usize = 16;

/// Lets clients ask for the same keys at the same time, and checks what they were told of each.
pub fn check_histories<R>(
    keys: usize,
    connect: impl Fn() -> R + Sync,
    ask: impl Fn(&mut R, &str, Ask) -> Answer + Sync,
) {
    let (clock, arrived) = (AtomicU64::new(0), AtomicUsize::new(0));
    let histories = together(CLIENTS, |client| {
        let mut register = connect();
        let mut random = fastrand::Rng::with_seed(client as u64);
        let history = |key: usize| {
            let name = format!("register:{key}");
            meet(&arrived, (key + 1) * CLIENTS);
            let call = |number: usize| {
                let value = (client * CALLS + number) as i64;
                let asked = match random.u32(0..12) {
                    0..4 => Ask::Get,
                    4..7 => Ask::Set(value),
                    7 => Ask::SetIfAbsent(value),
                    8..10 => Ask::Swap(value),
                    10 => Ask::Delete,
                    _ => Ask::Take,
                };
                let begin = clock.fetch_add(1, Ordering::SeqCst);
                // A call that takes a microsecond would meet no other on a machine with one free core.
                std::thread::yield_now();
                let answer = ask(&mut register, &name, asked);
                Call { ask: asked, answer, begin, end: clock.fetch_add(1, Ordering::SeqCst) }
            };
            (0..CALLS).map(call).collect::<Vec<_>>()
        };
        (0..keys).map(history).collect::<Vec<_>>()
    });
    let mut overlapping = 0;
    for key in 0..keys {
        let mut calls: Vec<Call> = histories.iter().flat_map(|history| history[key].clone()).collect();
        calls.sort_by_key(|call| call.begin);
        overlapping += calls.windows(2).filter(|pair| pair[1].begin < pair[0].end).count();
        assert!(is_linearizable(&calls), "no order explains the answers on key {key}: {calls:#?}");
    }
    println!("{overlapping} of {} calls overlap the one before", keys * CLIENTS * CALLS);
    assert!(overlapping > keys, "the calls did not overlap, so nothing was put to the test");
}

/// Waits until so many have come. Unlike behind a barrier, one that failed does not hold up the others for ever.
fn meet(arrived: &AtomicUsize, count: usize) {
    arrived.fetch_add(1, Ordering::SeqCst);
    let began = Instant::now();
    while arrived.load(Ordering::SeqCst) < count {
        assert!(began.elapsed() < Duration::from_secs(60), "another client did not come to its next key");
        std::thread::yield_now();
    }
}

fn ask(connection: &mut Connection, key: &str, ask: Ask) -> Answer {
    let value = |value: i64| value.to_string();
    let reply = match ask {
        Ask::Get => connection.ask(&["GET", key]),
        Ask::Set(new) => connection.ask(&["SET", key, &value(new)]),
        Ask::SetIfAbsent(new) => connection.ask(&["SETNX", key, &value(new)]),
        Ask::Swap(new) => connection.ask(&["SET", key, &value(new), "GET"]),
        Ask::Delete => connection.ask(&["DEL", key]),
        Ask::Take => connection.ask(&["GETDEL", key]),
    };
    match reply {
        Reply::Null | Reply::Status(_) => None,
        reply => Some(number(&reply)),
    }
}

#[test]
fn every_history_of_a_key_is_linearizable() {
    let server = Server::start(Program::Caskade, &[]);
    check_histories(150, || server.connect(), ask);
}

/// What was asked and answered, begun and ended.
type Timed = (Ask, Answer, u64, u64);

#[test]
fn tells_histories_that_are_linearizable_from_others() {
    use Ask::{Delete, Get, Set, SetIfAbsent, Swap, Take};
    let cases: &[(&[Timed], bool)] = &[
        (&[], true),
        (&[(Get, None, 0, 1)], true),
        (&[(Get, Some(1), 0, 1)], false),
        (&[(Set(1), None, 0, 1), (Get, Some(1), 2, 3)], true),
        // A read that misses what was written before it began.
        (&[(Set(1), None, 0, 1), (Get, None, 2, 3)], false),
        (&[(Set(1), None, 0, 3), (Get, None, 1, 2)], true),
        // Two reads during one write: the second must not go back.
        (&[(Set(1), None, 0, 9), (Get, Some(1), 1, 2), (Get, None, 3, 4)], false),
        (&[(Set(1), None, 0, 9), (Get, None, 1, 2), (Get, Some(1), 3, 4)], true),
        // Two readers that disagree on the order of two writes.
        (&[(Set(1), None, 0, 9), (Set(2), None, 0, 9), (Get, Some(1), 10, 11), (Get, Some(2), 12, 13)], false),
        // Two winners, two takers, a lost swap.
        (&[(SetIfAbsent(1), Some(1), 0, 9), (SetIfAbsent(2), Some(1), 1, 8)], false),
        (&[(SetIfAbsent(1), Some(1), 0, 9), (SetIfAbsent(2), Some(0), 1, 8)], true),
        (&[(Set(1), None, 0, 1), (Take, Some(1), 2, 9), (Take, Some(1), 3, 8)], false),
        (&[(Set(1), None, 0, 1), (Take, Some(1), 2, 9), (Take, None, 3, 8), (Delete, Some(0), 10, 11)], true),
        (&[(Swap(1), None, 0, 9), (Swap(2), None, 1, 8)], false),
        (&[(Swap(1), Some(2), 0, 9), (Swap(2), None, 1, 8), (Get, Some(1), 10, 11)], true),
    ];
    for (calls, expected) in cases {
        let call = |&(ask, answer, begin, end): &Timed| Call { ask, answer, begin, end };
        assert_eq!(is_linearizable(&calls.iter().map(call).collect::<Vec<_>>()), *expected, "{calls:?}");
    }
}
