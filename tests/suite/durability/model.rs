//! What a client's own keys hold after each step it asked for.
//!
//! Always true: one step takes effect whole or not at all; a client's steps take effect in the order it sent them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::collections::{Edit, Score};
use crate::connection::shown;
use crate::reply::Reply;

/// A value and its deadline in milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub value: Value,
    pub deadline: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Text(Vec<u8>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    List(VecDeque<Vec<u8>>),
    SortedSet(BTreeMap<Vec<u8>, Score>),
}

impl Entry {
    /// Text that never expires.
    pub fn of(text: impl Into<Vec<u8>>) -> Entry {
        Entry { value: Value::Text(text.into()), deadline: None }
    }

    /// # Panics
    /// When it is a collection.
    pub fn text(&self) -> &[u8] {
        match &self.value {
            Value::Text(text) => text,
            other => panic!("{other:?} is no text"),
        }
    }

    fn text_mut(&mut self) -> &mut Vec<u8> {
        match &mut self.value {
            Value::Text(text) => text,
            other => panic!("{other:?} is no text"),
        }
    }
}

impl Value {
    /// Whether it is a collection of which nothing is left.
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Text(_) => false,
            Value::Hash(hash) => hash.is_empty(),
            Value::Set(set) => set.is_empty(),
            Value::List(list) => list.is_empty(),
            Value::SortedSet(sorted) => sorted.is_empty(),
        }
    }

    /// It, or its elements one after the other.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Value::Text(text) => vec![shown(&[text])],
            Value::Hash(hash) => hash.iter().map(|(field, value)| shown(&[field, value])).collect(),
            Value::Set(set) => set.iter().map(|member| shown(&[member])).collect(),
            Value::List(list) => list.iter().map(|item| shown(&[item])).collect(),
            Value::SortedSet(sorted) => sorted.iter().map(|(member, score)| shown(&[member, &score.text()])).collect(),
        }
    }
}

/// What one client's own keys hold. Of a key that all clients append to, it is what this client appended.
pub type Model = BTreeMap<String, Entry>;

/// One command of a step.
#[derive(Clone, Debug)]
pub enum Change {
    Set {
        key: String,
        value: Vec<u8>,
        deadline: Option<u64>,
    },
    Delete {
        key: String,
    },
    Increment {
        key: String,
    },
    Append {
        key: String,
        text: Vec<u8>,
    },
    SetMany {
        pairs: Vec<(String, Vec<u8>)>,
    },
    ExpireAt {
        key: String,
        deadline: u64,
    },
    /// Changes nothing: what was read must not be taken back by a crash either.
    Get {
        key: String,
    },
    /// Changes nothing either.
    Deadline {
        key: String,
    },
    Edit {
        key: String,
        edit: Edit,
    },
}

/// What takes effect at once: a command, or a transaction of several.
#[derive(Clone, Debug)]
pub struct Step {
    pub changes: Vec<Change>,
    pub transaction: bool,
}

/// What a reply must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    Ok,
    Integer(i64),
    Value(Option<Vec<u8>>),
    Values(Option<Vec<Vec<u8>>>),
    Error(&'static str),
    /// Others change the key, too, or time does.
    Anything,
}

impl Expected {
    pub fn is_met_by(&self, reply: &Reply) -> bool {
        match self {
            Expected::Ok => *reply == Reply::Status(b"OK".to_vec()),
            Expected::Integer(value) => *reply == Reply::Integer(*value),
            Expected::Value(Some(value)) => *reply == Reply::Bulk(value.clone()),
            Expected::Value(None) => *reply == Reply::Null,
            Expected::Values(None) => *reply == Reply::NullArray,
            Expected::Values(Some(values)) => reply.elements().is_some_and(|items| {
                let items = items.iter().map(Reply::bytes);
                items.eq(values.iter().map(|value| Some(&value[..])))
            }),
            Expected::Error(text) => *reply == Reply::Error(text.as_bytes().to_vec()),
            Expected::Anything => matches!(reply, Reply::Integer(_) | Reply::Bulk(_) | Reply::Null),
        }
    }
}

impl Change {
    pub fn words(&self) -> Vec<Vec<u8>> {
        let text = |text: &str| text.as_bytes().to_vec();
        match self {
            Change::Set { key, value, deadline: None } => vec![text("SET"), text(key), value.clone()],
            Change::Set { key, value, deadline: Some(deadline) } => {
                vec![text("SET"), text(key), value.clone(), text("PXAT"), text(&deadline.to_string())]
            }
            Change::Delete { key } => vec![text("DEL"), text(key)],
            Change::Increment { key } => vec![text("INCR"), text(key)],
            Change::Append { key, text: more } => vec![text("APPEND"), text(key), more.clone()],
            Change::SetMany { pairs } => {
                let pairs = pairs.iter().flat_map(|(key, value)| [text(key), value.clone()]);
                std::iter::once(text("MSET")).chain(pairs).collect()
            }
            Change::ExpireAt { key, deadline } => vec![text("PEXPIREAT"), text(key), text(&deadline.to_string())],
            Change::Get { key } => vec![text("GET"), text(key)],
            Change::Deadline { key } => vec![text("PEXPIRETIME"), text(key)],
            Change::Edit { key, edit } => edit.words(key),
        }
    }

    /// The keys that it may change.
    pub fn keys(&self) -> Vec<&str> {
        match self {
            Change::Set { key, .. }
            | Change::Delete { key }
            | Change::Increment { key }
            | Change::Append { key, .. }
            | Change::ExpireAt { key, .. } => vec![key],
            Change::SetMany { pairs } => pairs.iter().map(|(key, _)| &key[..]).collect(),
            Change::Get { .. } | Change::Deadline { .. } => Vec::new(),
            Change::Edit { key, edit } => std::iter::once(&key[..]).chain(edit.other_key()).collect(),
        }
    }

    /// How many members this takes out of which set, if only the answer says which ones.
    pub fn popped(&self, model: &Model) -> Option<(&str, usize)> {
        let Change::Edit { key, edit: Edit::SetPop(count) } = self else { return None };
        let length = match model.get(key).map(|entry| &entry.value) {
            Some(Value::Set(set)) => set.len(),
            Some(other) => panic!("{key} is {other:?}"),
            None => 0,
        };
        Some((key, length.min(*count)))
    }

    /// The same with what is known by now of the members that it took out.
    pub fn with_popped(&self, members: Vec<Vec<u8>>) -> Change {
        Change::Edit { key: self.keys()[0].to_owned(), edit: Edit::SetRemove(members) }
    }

    /// Changes the model and says what the reply must be.
    pub fn apply(&self, model: &mut Model) -> Expected {
        match self {
            Change::Set { key, value, deadline } => {
                set(model, key, value, *deadline);
                Expected::Ok
            }
            Change::Delete { key } => {
                let found = model.remove(key).is_some();
                if is_brief(key) { Expected::Anything } else { Expected::Integer(i64::from(found)) }
            }
            Change::Increment { key } if is_shared(key) => {
                add(model, key, 1);
                Expected::Anything
            }
            Change::Increment { key } => Expected::Integer(add(model, key, 1)),
            Change::Append { key, text } => {
                let entry = model.entry(key.clone()).or_insert(Entry::of(""));
                entry.text_mut().extend_from_slice(text);
                let length = entry.text().len() as i64;
                if is_shared(key) { Expected::Anything } else { Expected::Integer(length) }
            }
            Change::SetMany { pairs } => {
                pairs.iter().for_each(|(key, value)| set(model, key, value, None));
                Expected::Ok
            }
            Change::ExpireAt { key, deadline } => {
                let entry = model.get_mut(key);
                let found = entry.is_some();
                if let Some(entry) = entry {
                    entry.deadline = Some(*deadline);
                }
                Expected::Integer(i64::from(found))
            }
            Change::Get { key } if is_shared(key) || is_brief(key) => Expected::Anything,
            Change::Get { key } => Expected::Value(model.get(key).map(|entry| entry.text().to_vec())),
            Change::Deadline { key } => Expected::Integer(match model.get(key).map(|entry| entry.deadline) {
                Some(Some(deadline)) => deadline as i64,
                Some(None) => -1,
                None => -2,
            }),
            Change::Edit { key, edit } => edit.apply(key, model),
        }
    }
}

/// Keys that may expire at any moment.
pub fn is_brief(key: &str) -> bool {
    key.contains(":brief:")
}

/// Keys that all clients change.
pub fn is_shared(key: &str) -> bool {
    key.starts_with("shared:")
}

fn set(model: &mut Model, key: &str, value: &[u8], deadline: Option<u64>) {
    model.insert(key.to_owned(), Entry { deadline, ..Entry::of(value) });
}

fn add(model: &mut Model, key: &str, by: i64) -> i64 {
    let entry = model.entry(key.to_owned()).or_insert(Entry::of("0"));
    let value = number(entry.text()) + by;
    *entry.text_mut() = value.to_string().into_bytes();
    value
}

pub fn number(text: &[u8]) -> i64 {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("{:?} is no number", text.escape_ascii().to_string()))
}
