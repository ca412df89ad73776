//! What a client's own keys hold after each step it asked for.
//!
//! Always true: one step takes effect whole or not at all; a client's steps take effect in the order it sent them.

use std::collections::BTreeMap;

use crate::reply::Reply;

/// A value and its deadline in milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub value: Vec<u8>,
    pub deadline: Option<u64>,
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
        }
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
                let entry = model.entry(key.clone()).or_insert(Entry { value: Vec::new(), deadline: None });
                entry.value.extend_from_slice(text);
                let length = entry.value.len() as i64;
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
            Change::Get { key } => Expected::Value(model.get(key).map(|entry| entry.value.clone())),
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
    model.insert(key.to_owned(), Entry { value: value.to_vec(), deadline });
}

fn add(model: &mut Model, key: &str, by: i64) -> i64 {
    let entry = model.entry(key.to_owned()).or_insert(Entry { value: b"0".to_vec(), deadline: None });
    let value = number(&entry.value) + by;
    entry.value = value.to_string().into_bytes();
    value
}

pub fn number(text: &[u8]) -> i64 {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("{:?} is no number", text.escape_ascii().to_string()))
}
