//! Calls of several threads, and whether one order explains all of their replies (linearizability: Herlihy and Wing 1990;
//! the search is that of Wing and Gong 1993, which remembers where it has been, as Lowe 2017).

use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::super::model::{Reply, State, Step};

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub step: Step,
    /// What the values it sets tell.
    pub number: usize,
    /// The time it was made at.
    pub now: u64,
    /// When it began and ended, in an order that all threads share; without an end it may have happened or not.
    pub began: usize,
    pub ended: Option<(usize, Vec<Reply>)>,
}

/// Calls that were made one after the other, each list by one thread.
pub(super) type Lists = Vec<Vec<Call>>;

/// Positions in the lists and the states there from which nothing was found.
type Known = HashSet<(Vec<u8>, State), RandomState>;

/// The label alone of a value that a step has set: what the search compares many times.
///
/// # Panics
/// Where some of the bytes do not belong to it.
pub(super) fn label(bytes: &[u8]) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == b'>').expect("a label has an end") + 1;
    let label = &bytes[..end];
    assert!(bytes.chunks(end).all(|part| *part == label[..part.len()]), "bytes of several values: {bytes:?}");
    label.to_vec()
}

/// The same step with values of a label alone.
pub(super) fn with_labels(step: &Step) -> Step {
    match step {
        Step::Set(database, key, _) => Step::Set(*database, key, 0),
        Step::SetEx(database, key, _, ttl) => Step::SetEx(*database, key, 0, *ttl),
        Step::Together(steps) => Step::Together(steps.iter().map(with_labels).collect()),
        other => other.clone(),
    }
}

/// The same with the label of its value alone.
pub(super) fn with_label(reply: Reply) -> Reply {
    match reply {
        Reply::Found(Some((bytes, expiry))) => Reply::Found(Some((label(&bytes), expiry))),
        other => other,
    }
}

/// The state after a call, and what it is answered.
fn answer(state: &State, call: &Call) -> (State, Vec<Reply>) {
    let mut after = state.clone();
    let replies = after.apply(&call.step, call.number, call.now);
    (after, replies)
}

/// Whether an order of the calls, in which none comes before one that had ended before it began, explains every reply and
/// ends in a state that `is_found` knows.
pub(super) fn explained(lists: &Lists, start: &State, is_found: &dyn Fn(&State) -> bool) -> bool {
    let mut known = Known::default();
    search(lists, vec![0; lists.len()], start.clone(), is_found, &mut known)
}

fn search(lists: &Lists, done: Vec<u8>, state: State, is_found: &dyn Fn(&State) -> bool, known: &mut Known) -> bool {
    let ahead = |list: usize| lists[list].get(usize::from(done[list]));
    let ends = (0..lists.len()).filter_map(|list| ahead(list)?.ended.as_ref().map(|ended| ended.0));
    let first_end = ends.min();
    if first_end.is_none() && is_found(&state) {
        return true;
    }
    if !known.insert((done.clone(), state.clone())) {
        return false;
    }
    (0..lists.len()).any(|list| {
        let Some(call) = ahead(list).filter(|call| first_end.is_none_or(|end| call.began < end)) else { return false };
        let (next, replies) = answer(&state, call);
        // Whether what had not ended has happened makes no difference where it changes nothing.
        if call.ended.as_ref().map_or(next == state, |ended| ended.1 != replies) {
            return false;
        }
        let mut done = done.clone();
        done[list] += 1;
        search(lists, done, next, is_found, known)
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::model::value;
    use super::*;

    fn call(step: Step, number: usize, began: usize, ended: Option<(usize, Reply)>) -> Call {
        Call { step, number, now: 100, began, ended: ended.map(|(at, reply)| (at, vec![reply])) }
    }

    fn found(number: usize) -> Reply {
        Reply::Found(Some((value(number, 0), None)))
    }

    #[test]
    fn only_what_one_order_explains_is_explained() {
        let set = |number, began, ended| call(Step::Set(0, "a", 0), number, began, Some((ended, Reply::Done)));
        let get = |began, ended, reply| call(Step::Get(0, "a"), 0, began, Some((ended, reply)));
        let explains = |lists: &Lists| explained(lists, &State::default(), &|_| true);
        // They overlap: either may be first.
        assert!(explains(&vec![vec![set(1, 0, 5)], vec![get(1, 4, found(1))]]));
        assert!(explains(&vec![vec![set(1, 0, 5)], vec![get(1, 4, Reply::Found(None))]]));
        // It had ended.
        assert!(!explains(&vec![vec![set(1, 0, 2)], vec![get(3, 4, Reply::Found(None))]]));
        // Who has seen the new value never sees the old one again.
        let twice = vec![get(2, 3, found(2)), get(4, 5, found(1))];
        assert!(!explains(&vec![vec![set(1, 0, 1), set(2, 2, 9)], twice]));
        // Two readers agree about the order of two writers.
        let one = vec![get(10, 11, found(1)), get(12, 13, found(2))];
        let other = vec![get(10, 11, found(2)), get(12, 13, found(1))];
        assert!(!explains(&vec![vec![set(1, 0, 20)], vec![set(2, 0, 20)], one.clone(), other]));
        assert!(explains(&vec![vec![set(1, 0, 20)], vec![set(2, 0, 20)], one]));
    }

    #[test]
    fn what_has_not_ended_may_have_happened() {
        let lists = vec![vec![call(Step::Set(0, "a", 3), 1, 0, None)]];
        assert!(explained(&lists, &State::default(), &|state| state.keys.is_empty()));
        assert!(explained(&lists, &State::default(), &|state| state.keys.len() == 1));
        let lists = vec![vec![call(Step::Set(0, "a", 3), 1, 0, Some((1, Reply::Done)))]];
        assert!(!explained(&lists, &State::default(), &|state| state.keys.is_empty()));
    }
}
