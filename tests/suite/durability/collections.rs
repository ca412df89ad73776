//! What a client does to its own hashes, sets, lists and sorted sets, and what they hold then.
//!
//! Always true: a collection of which nothing is left is no key; a key's name says its type.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::model::{Entry, Expected, Model, Value, number};

/// One command on a collection.
#[derive(Clone, Debug)]
pub enum Edit {
    HashSet(Vec<(Vec<u8>, Vec<u8>)>),
    HashRemove(Vec<Vec<u8>>),
    HashAdd(Vec<u8>, i64),
    SetAdd(Vec<Vec<u8>>),
    SetRemove(Vec<Vec<u8>>),
    /// The answer says which members these were.
    SetPop(usize),
    Push(End, Vec<Vec<u8>>),
    Pop(End, usize),
    Move {
        to: String,
        from_end: End,
        to_end: End,
    },
    ListSet(i64, Vec<u8>),
    Trim(i64, i64),
    SortedAdd(Vec<(Vec<u8>, Score)>),
    SortedIncrement(Vec<u8>, Score),
    SortedPop(usize),
    SortedRemove(Vec<Vec<u8>>),
    Rename(String),
    Copy(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Left,
    Right,
}

/// A score in quarters, which are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(pub i64);

impl Score {
    pub fn text(self) -> Vec<u8> {
        (self.0 as f64 / 4.0).to_string().into_bytes()
    }

    pub fn read(text: &[u8]) -> Score {
        let score: Option<f64> = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        Score((score.expect("a score") * 4.0) as i64)
    }
}

fn word(text: impl ToString) -> Vec<u8> {
    text.to_string().into_bytes()
}

impl Edit {
    /// Keys besides the first.
    pub fn other_key(&self) -> Option<&str> {
        match self {
            Edit::Move { to, .. } | Edit::Rename(to) | Edit::Copy(to) => Some(to),
            _ => None,
        }
    }

    pub fn words(&self, key: &str) -> Vec<Vec<u8>> {
        let begin = |command: &str| vec![word(command), word(key)];
        let with = |command: &str, words: &[Vec<u8>]| [&begin(command)[..], words].concat();
        let side = |end: &End| word(if *end == End::Left { "LEFT" } else { "RIGHT" });
        match self {
            Edit::HashSet(pairs) => {
                let pairs = pairs.iter().flat_map(|(field, value)| [field.clone(), value.clone()]);
                with("HSET", &pairs.collect::<Vec<_>>())
            }
            Edit::HashRemove(fields) => with("HDEL", fields),
            Edit::HashAdd(field, by) => with("HINCRBY", &[field.clone(), word(by)]),
            Edit::SetAdd(members) => with("SADD", members),
            Edit::SetRemove(members) => with("SREM", members),
            Edit::SetPop(count) => with("SPOP", &[word(count)]),
            Edit::Push(End::Left, items) => with("LPUSH", items),
            Edit::Push(End::Right, items) => with("RPUSH", items),
            Edit::Pop(End::Left, count) => with("LPOP", &[word(count)]),
            Edit::Pop(End::Right, count) => with("RPOP", &[word(count)]),
            Edit::Move { to, from_end, to_end } => with("LMOVE", &[word(to), side(from_end), side(to_end)]),
            Edit::ListSet(index, item) => with("LSET", &[word(index), item.clone()]),
            Edit::Trim(first, last) => with("LTRIM", &[word(first), word(last)]),
            Edit::SortedAdd(members) => {
                let pairs = members.iter().flat_map(|(member, score)| [score.text(), member.clone()]);
                with("ZADD", &pairs.collect::<Vec<_>>())
            }
            Edit::SortedIncrement(member, by) => with("ZINCRBY", &[by.text(), member.clone()]),
            Edit::SortedPop(count) => with("ZPOPMIN", &[word(count)]),
            Edit::SortedRemove(members) => with("ZREM", members),
            Edit::Rename(to) => with("RENAME", &[word(to)]),
            Edit::Copy(to) => with("COPY", &[word(to), word("REPLACE")]),
        }
    }

    /// Changes the model and says what the reply must be.
    ///
    /// # Panics
    /// For `SetPop`: it is to be replaced by what was removed.
    pub fn apply(&self, key: &str, model: &mut Model) -> Expected {
        match self {
            Edit::HashSet(pairs) => hash(model, key, |hash| {
                let is_new = |(field, value): &(Vec<u8>, Vec<u8>)| hash.insert(field.clone(), value.clone()).is_none();
                count(pairs.iter().map(is_new))
            }),
            Edit::HashRemove(fields) => {
                hash(model, key, |hash| count(fields.iter().map(|field| hash.remove(field).is_some())))
            }
            Edit::HashAdd(field, by) => hash(model, key, |hash| {
                let value = hash.get(field).map_or(0, |value| number(value)) + by;
                hash.insert(field.clone(), word(value));
                Expected::Integer(value)
            }),
            Edit::SetAdd(members) => {
                set(model, key, |set| count(members.iter().map(|member| set.insert(member.clone()))))
            }
            Edit::SetRemove(members) => set(model, key, |set| count(members.iter().map(|member| set.remove(member)))),
            Edit::SetPop(_) => panic!("what SPOP removed is not known"),
            Edit::Push(end, items) => list(model, key, |list| {
                items.iter().for_each(|item| push(list, *end, item.clone()));
                Expected::Integer(list.len() as i64)
            }),
            Edit::Pop(end, count) => {
                let existed = model.contains_key(key);
                list(model, key, |list| {
                    let items: Vec<Vec<u8>> = (0..*count).map_while(|_| pop(list, *end)).collect();
                    Expected::Values(existed.then_some(items))
                })
            }
            // What is put back at once has never left: not even the only one takes the key's deadline with it.
            Edit::Move { to, from_end, to_end } if to == key => list(model, key, |list| {
                let item = pop(list, *from_end);
                item.iter().for_each(|item| push(list, *to_end, item.clone()));
                Expected::Value(item)
            }),
            Edit::Move { to, from_end, to_end } => {
                let mut item = None;
                list(model, key, |list| item = pop(list, *from_end));
                if let Some(item) = &item {
                    list(model, to, |list| push(list, *to_end, item.clone()));
                }
                Expected::Value(item)
            }
            Edit::ListSet(..) | Edit::Rename(_) if !model.contains_key(key) => Expected::Error("ERR no such key"),
            Edit::ListSet(index, item) => list(model, key, |list| {
                let index = if *index < 0 { index + list.len() as i64 } else { *index };
                match usize::try_from(index).ok().and_then(|index| list.get_mut(index)) {
                    Some(place) => {
                        *place = item.clone();
                        Expected::Ok
                    }
                    None => Expected::Error("ERR index out of range"),
                }
            }),
            Edit::Trim(first, last) => list(model, key, |list| {
                let length = list.len() as i64;
                let index = |index: i64| if index < 0 { (index + length).max(0) } else { index };
                // A last index before the first element leaves nothing.
                let (first, behind) = (index(*first), if *last < -length { 0 } else { (index(*last) + 1).min(length) });
                if first >= behind {
                    list.clear();
                } else {
                    list.truncate(behind as usize);
                    list.drain(..first as usize);
                }
                Expected::Ok
            }),
            Edit::SortedAdd(members) => sorted(model, key, |sorted| {
                count(members.iter().map(|(member, score)| sorted.insert(member.clone(), *score).is_none()))
            }),
            Edit::SortedIncrement(member, by) => sorted(model, key, |sorted| {
                let score = sorted.entry(member.clone()).or_insert(Score(0));
                score.0 += by.0;
                Expected::Value(Some(score.text()))
            }),
            Edit::SortedPop(count) => sorted(model, key, |sorted| {
                let mut members: Vec<(Score, Vec<u8>)> =
                    sorted.iter().map(|(member, score)| (*score, member.clone())).collect();
                members.sort();
                members.truncate(*count);
                members.iter().for_each(|(_, member)| _ = sorted.remove(member));
                let words = members.into_iter().flat_map(|(score, member)| [member, score.text()]);
                Expected::Values(Some(words.collect()))
            }),
            Edit::SortedRemove(members) => {
                sorted(model, key, |sorted| count(members.iter().map(|member| sorted.remove(member).is_some())))
            }
            Edit::Rename(to) => {
                let entry = model.remove(key).expect("a key that is there");
                model.insert(to.clone(), entry);
                Expected::Ok
            }
            Edit::Copy(to) => {
                let entry = model.get(key).cloned();
                let found = entry.is_some();
                entry.into_iter().for_each(|entry| _ = model.insert(to.clone(), entry));
                Expected::Integer(i64::from(found))
            }
        }
    }
}

fn count(changes: impl Iterator<Item = bool>) -> Expected {
    Expected::Integer(changes.filter(|changed| *changed).count() as i64)
}

fn push(list: &mut VecDeque<Vec<u8>>, end: End, item: Vec<u8>) {
    if end == End::Left { list.push_front(item) } else { list.push_back(item) }
}

fn pop(list: &mut VecDeque<Vec<u8>>, end: End) -> Option<Vec<u8>> {
    if end == End::Left { list.pop_front() } else { list.pop_back() }
}

/// Changes the value of a key, which is an empty one where there is none.
fn changed<R>(model: &mut Model, key: &str, empty: Value, change: impl FnOnce(&mut Value) -> R) -> R {
    let entry = model.entry(key.to_owned()).or_insert(Entry { value: empty, deadline: None });
    let result = change(&mut entry.value);
    if entry.value.is_empty() {
        model.remove(key);
    }
    result
}

fn hash<R>(model: &mut Model, key: &str, change: impl FnOnce(&mut BTreeMap<Vec<u8>, Vec<u8>>) -> R) -> R {
    changed(model, key, Value::Hash(BTreeMap::new()), |value| match value {
        Value::Hash(hash) => change(hash),
        other => panic!("{key} is {other:?}"),
    })
}

fn set<R>(model: &mut Model, key: &str, change: impl FnOnce(&mut BTreeSet<Vec<u8>>) -> R) -> R {
    changed(model, key, Value::Set(BTreeSet::new()), |value| match value {
        Value::Set(set) => change(set),
        other => panic!("{key} is {other:?}"),
    })
}

fn list<R>(model: &mut Model, key: &str, change: impl FnOnce(&mut VecDeque<Vec<u8>>) -> R) -> R {
    changed(model, key, Value::List(VecDeque::new()), |value| match value {
        Value::List(list) => change(list),
        other => panic!("{key} is {other:?}"),
    })
}

fn sorted<R>(model: &mut Model, key: &str, change: impl FnOnce(&mut BTreeMap<Vec<u8>, Score>) -> R) -> R {
    changed(model, key, Value::SortedSet(BTreeMap::new()), |value| match value {
        Value::SortedSet(sorted) => change(sorted),
        other => panic!("{key} is {other:?}"),
    })
}
