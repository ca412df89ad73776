//! What a keyspace ought to hold: steps as data, and the states they lead through.

use std::collections::BTreeMap;

/// One step of a workload. The first number is the database; a value is its length, its bytes tell the step it is of.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Set(u32, &'static str, usize),
    /// The same with a time to live, in milliseconds.
    SetEx(u32, &'static str, usize, u64),
    Get(u32, &'static str),
    Delete(u32, &'static str),
    /// Gives a key this time to live, or none.
    Expire(u32, &'static str, Option<u64>),
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

/// All keys of all databases at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub keys: BTreeMap<(u32, String), Value>,
    /// A moment that somebody was told has passed: it must never lie ahead again.
    pub floor: u64,
}

/// The value that the step of this number sets.
pub(super) fn value(number: usize, length: usize) -> Vec<u8> {
    let label = format!("<{number}>");
    label.bytes().cycle().take(length.max(label.len())).collect()
}

impl State {
    /// The keys that are there at `now`.
    pub fn visible(&self, now: u64) -> BTreeMap<(u32, String), Value> {
        let mut keys = self.keys.clone();
        keys.retain(|_, (_, expiry)| expiry.is_none_or(|deadline| deadline > now));
        keys
    }

    /// The state after a step that is done at `now`.
    pub fn after(&self, step: &Step, number: usize, now: u64) -> State {
        let mut state = self.clone();
        state.apply(step, number, now);
        state
    }

    fn apply(&mut self, step: &Step, number: usize, now: u64) {
        let at = |database: u32, key: &str| (database, key.to_owned());
        self.forget_expired(now, step);
        match step {
            Step::Set(database, key, length) => {
                self.keys.insert(at(*database, key), (value(number, *length), None));
            }
            Step::SetEx(database, key, length, ttl) => {
                self.keys.insert(at(*database, key), (value(number, *length), Some(now + ttl)));
            }
            Step::Delete(database, key) => _ = self.keys.remove(&at(*database, key)),
            Step::Expire(database, key, ttl) => {
                if let Some((_, expiry)) = self.keys.get_mut(&at(*database, key)) {
                    *expiry = ttl.map(|ttl| now + ttl);
                }
            }
            Step::Rename(database, from, to) => {
                if let Some(value) = self.keys.remove(&at(*database, from)) {
                    self.keys.insert(at(*database, to), value);
                }
            }
            Step::Copy(database, from, other, to) => {
                if let Some(value) = self.keys.get(&at(*database, from)).cloned() {
                    self.keys.insert(at(*other, to), value);
                }
            }
            Step::Move(database, key, other) => {
                if self.keys.contains_key(&at(*other, key)) {
                    return;
                }
                if let Some(value) = self.keys.remove(&at(*database, key)) {
                    self.keys.insert(at(*other, key), value);
                }
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
                steps.iter().enumerate().for_each(|(index, step)| self.apply(step, number + index, now));
            }
            Step::Pipeline(_) => unreachable!("a pipeline is not one step"),
            Step::Get(..) | Step::ExpireDue | Step::Pass(_) | Step::SetBack(_) => {}
            Step::Sync | Step::Tick | Step::Compact | Step::Reopen | Step::Kill => {}
            Step::Backup(_) | Step::Keep(_) => {}
        }
    }

    /// What a step finds expired is gone from then on, and everybody has been told that the time has come.
    fn forget_expired(&mut self, now: u64, step: &Step) {
        let touched: Vec<(u32, String)> = match step {
            Step::ExpireDue => self.keys.keys().cloned().collect(),
            Step::Get(database, key)
            | Step::Delete(database, key)
            | Step::Expire(database, key, _)
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
        }
    }
}

/// Every key that the steps name, with every database.
pub(super) fn keys_of(steps: &[Step], databases: u32) -> Vec<(u32, String)> {
    let mut names = Vec::new();
    for step in steps {
        match step {
            Step::Set(_, key, _) | Step::SetEx(_, key, _, _) => names.push((*key).to_owned()),
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
