//! What a keyspace ought to hold: steps as data, and the states they lead through.

use std::collections::BTreeMap;

use super::collections::{self, Change};

/// One step of a workload. The first number is the database; a value is its length, its bytes tell the step it is of.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Set(u32, &'static str, usize),
    /// The same with a time to live, in milliseconds.
    SetEx(u32, &'static str, usize, u64),
    /// Sets a value of exactly this length, none included, that no step can be told by.
    Fill(u32, &'static str, usize),
    Get(u32, &'static str),
    /// Changes a collection.
    Edit(u32, &'static str, Change),
    Delete(u32, &'static str),
    /// Gives a key this time to live, or none.
    Expire(u32, &'static str, Option<u64>),
    /// Gives a key this deadline, past or to come.
    ExpireAt(u32, &'static str, u64),
    Rename(u32, &'static str, &'static str),
    Copy(u32, &'static str, u32, &'static str),
    /// Does nothing where the other database has the key.
    Move(u32, &'static str, u32),
    Flush(u32),
    FlushAll,
    Swap(u32, u32),
    /// All or nothing: MULTI, MSET.
    Together(Vec<Step>),
    /// One after the other, and then waited for once.
    Pipeline(Vec<Step>),
    /// Lets milliseconds pass.
    Pass(u64),
    /// Sets the machine's clock back by milliseconds.
    SetBack(u64),
    /// Removes what is due, as the timer does.
    ExpireDue,
    Sync,
    /// What the threads of the log do by themselves.
    Tick,
    /// Compaction, until nothing can be won any more.
    Compact,
    /// What is in memory is written down; every start reads it back.
    Remember,
    /// A backup of this name.
    Backup(&'static str),
    /// From now on, what compaction takes away is kept for so many milliseconds.
    Keep(u64),
    /// An orderly restart.
    Reopen,
    /// The process dies and another one begins on what the kernel has.
    Kill,
}

pub(super) type Value = (Vec<u8>, Option<u64>);
pub(super) type Keys = BTreeMap<(u32, String), Value>;

/// What whoever did a step was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Done,
    /// Whether there was anything to do it to.
    Did(bool),
    Found(Option<Value>),
}

/// All keys of all databases at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub keys: Keys,
    /// A moment that somebody was told has passed: it must never lie ahead again.
    pub floor: u64,
}

/// What [`Step::Fill`] fills values with.
pub(super) const FILLER: u8 = b'.';

/// The value that the step of this number sets.
pub(super) fn value(number: usize, length: usize) -> Vec<u8> {
    let label = format!("<{number}>");
    label.bytes().cycle().take(length.max(label.len())).collect()
}

impl State {
    /// The keys that are there at `now`.
    pub fn visible(&self, now: u64) -> Keys {
        let mut keys = self.keys.clone();
        keys.retain(|_, (_, expiry)| expiry.is_none_or(|deadline| deadline > now));
        keys.into_iter().filter_map(|(key, value)| Some((key, collections::visible(&value, now).0?))).collect()
    }

    /// Whether this is what somebody finds who looks at all keys at `now`.
    pub fn shows(&self, found: &Keys, now: u64) -> bool {
        self.visible(now) == *found
    }

    /// Does a step at `now`; returns what is told of it, and of each step in it.
    pub fn apply(&mut self, step: &Step, number: usize, now: u64) -> Vec<Reply> {
        let at = |database: u32, key: &str| (database, key.to_owned());
        self.forget_expired(now, step);
        let mut did = None;
        match step {
            Step::Set(database, key, length) => {
                self.keys.insert(at(*database, key), (value(number, *length), None));
            }
            Step::SetEx(database, key, length, ttl) => {
                self.keys.insert(at(*database, key), (value(number, *length), Some(now + ttl)));
            }
            Step::Fill(database, key, length) => {
                self.keys.insert(at(*database, key), (vec![FILLER; *length], None));
            }
            Step::Get(database, key) => return vec![Reply::Found(self.keys.get(&at(*database, key)).cloned())],
            Step::Edit(database, key, change) => {
                let at = at(*database, key);
                let (after, done) = change.apply(self.keys.get(&at), number, now);
                match after {
                    Some(value) => _ = self.keys.insert(at, value),
                    None => _ = self.keys.remove(&at),
                }
                did = Some(done);
            }
            Step::Delete(database, key) => did = Some(self.keys.remove(&at(*database, key)).is_some()),
            Step::Expire(database, key, ttl) => {
                did = Some(self.expire(at(*database, key), ttl.map(|ttl| now + ttl)));
            }
            Step::ExpireAt(database, key, deadline) => did = Some(self.expire(at(*database, key), Some(*deadline))),
            Step::Rename(database, from, to) => {
                let value = self.keys.remove(&at(*database, from));
                did = Some(value.is_some_and(|value| self.put(at(*database, to), value)));
            }
            Step::Copy(database, from, other, to) => {
                let value = self.keys.get(&at(*database, from)).cloned();
                did = Some(value.is_some_and(|value| self.put(at(*other, to), value)));
            }
            Step::Move(database, key, other) => {
                let is_there = self.keys.contains_key(&at(*other, key));
                let value = if is_there { None } else { self.keys.remove(&at(*database, key)) };
                did = Some(value.is_some_and(|value| self.put(at(*other, key), value)));
            }
            Step::Flush(database) => self.keys.retain(|(of, _), _| of != database),
            Step::FlushAll => self.keys.clear(),
            Step::Swap(first, second) => {
                let keys = std::mem::take(&mut self.keys).into_iter();
                let swapped = |of: u32| match of {
                    of if of == *first => *second,
                    of if of == *second => *first,
                    of => of,
                };
                self.keys = keys.map(|((of, key), value)| ((swapped(of), key), value)).collect();
            }
            Step::Together(steps) => {
                let each = steps.iter().enumerate();
                return each.flat_map(|(index, step)| self.apply(step, number + index, now)).collect();
            }
            Step::Pipeline(_) => unreachable!("a pipeline is not one step"),
            Step::ExpireDue | Step::Pass(_) | Step::SetBack(_) => return Vec::new(),
            Step::Sync | Step::Tick | Step::Compact | Step::Reopen | Step::Kill => return Vec::new(),
            Step::Remember | Step::Backup(_) | Step::Keep(_) => return Vec::new(),
        }
        vec![did.map_or(Reply::Done, Reply::Did)]
    }

    fn put(&mut self, at: (u32, String), value: Value) -> bool {
        self.keys.insert(at, value);
        true
    }

    fn expire(&mut self, at: (u32, String), deadline: Option<u64>) -> bool {
        self.keys.get_mut(&at).map(|(_, expiry)| *expiry = deadline).is_some()
    }

    /// What a step finds expired is gone from then on, and everybody has been told that the time has come.
    fn forget_expired(&mut self, now: u64, step: &Step) {
        let touched: Vec<(u32, String)> = match step {
            Step::ExpireDue => self.keys.keys().cloned().collect(),
            Step::Get(database, key)
            | Step::Edit(database, key, _)
            | Step::Delete(database, key)
            | Step::Expire(database, key, _)
            | Step::ExpireAt(database, key, _)
            | Step::Rename(database, key, _)
            | Step::Copy(database, key, _, _) => vec![(*database, (*key).to_owned())],
            Step::Move(database, key, other) => {
                let [from, to] = [database, other].map(|database| (*database, (*key).to_owned()));
                let moves =
                    self.keys.get(&from).is_some_and(|(_, expiry)| expiry.is_none_or(|deadline| deadline > now));
                // Nobody looks at the other database for nothing.
                if moves { vec![from, to] } else { vec![from] }
            }
            _ => return,
        };
        for key in touched {
            if self.keys.get(&key).is_some_and(|(_, expiry)| expiry.is_some_and(|deadline| deadline <= now)) {
                self.keys.remove(&key);
                self.floor = self.floor.max(now);
            }
            // The same for the fields of a hash.
            let Some(value) = self.keys.get(&key) else { continue };
            if let (visible, true) = collections::visible(value, now) {
                self.floor = self.floor.max(now);
                match visible {
                    Some(value) => _ = self.keys.insert(key, value),
                    None => _ = self.keys.remove(&key),
                }
            }
        }
    }
}

/// Every key that the steps name, with every database.
pub(super) fn keys_of(steps: &[Step], databases: u32) -> Vec<(u32, String)> {
    let mut names = Vec::new();
    for step in steps {
        match step {
            Step::Set(_, key, _) | Step::SetEx(_, key, _, _) | Step::Fill(_, key, _) | Step::Edit(_, key, _) => {
                names.push((*key).to_owned())
            }
            Step::Rename(_, _, key) | Step::Copy(_, _, _, key) => names.push((*key).to_owned()),
            Step::Together(steps) | Step::Pipeline(steps) => {
                names.extend(keys_of(steps, 1).into_iter().map(|(_, key)| key));
            }
            _ => {}
        }
    }
    names.sort();
    names.dedup();
    (0..databases).flat_map(|database| names.iter().map(move |key| (database, key.clone()))).collect()
}
