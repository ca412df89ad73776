//! Values that are only on the disk: how they are asked for, fetched, and kept for the command that asked.
//!
//! Always true: fetching waits for the disk and holds no latch meanwhile; a value goes into memory only if its record
//! is still the key's newest.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::Keyspace;
use super::collections::{Name, Object};
use super::keydir::{Keydir, Slot};
use crate::store::{Location, ReadError};

/// A value that is only on the disk.
#[derive(Clone, Debug)]
pub struct Cold {
    owner: Owner,
    /// The key, or the element's name.
    key: Bytes,
    location: Location,
    /// What the command that asks has drawn at random.
    drawn: Option<Arc<Drawn>>,
}

/// Elements that a command has drawn at random. When it runs again, these are the ones whose values were fetched: if it drew
/// others each time, it would have to wait for theirs.
#[derive(Debug)]
pub struct Drawn {
    /// The database and the key whose elements they are.
    pub of: (u32, Bytes),
    /// How many were asked for, as the client said.
    pub count: i64,
    /// What they are called.
    pub names: Vec<Name>,
}

/// Whose value it is.
#[derive(Clone, Debug)]
enum Owner {
    Key(Arc<Keydir>, Slot),
    Element(Arc<Object>),
}

impl Cold {
    pub(super) fn key(keydir: &Arc<Keydir>, slot: &Slot, key: &[u8], location: Location) -> Self {
        Self { owner: Owner::Key(keydir.clone(), *slot), key: Bytes::copy_from_slice(key), location, drawn: None }
    }

    pub(super) fn element(object: &Arc<Object>, name: &[u8], location: Location) -> Self {
        let owner = Owner::Element(object.clone());
        Self { owner, key: Bytes::copy_from_slice(name), location, drawn: None }
    }

    /// Has the command find what it has drawn when it runs again.
    pub fn remember(&mut self, drawn: &Arc<Drawn>) {
        self.drawn = Some(drawn.clone());
    }

    /// The id of the keyspace of the key whose value it is.
    #[cfg(test)]
    pub(super) fn keyspace(&self) -> Option<u32> {
        if let Owner::Key(keydir, _) = &self.owner { Some(keydir.id) } else { None }
    }

    /// Where the value stands.
    pub fn location(&self) -> Location {
        self.location
    }

    /// Reads the value, waiting for the disk, and puts it into memory if there is room and it is still the key's
    /// value. No latch may be held.
    pub fn fetch(self, keyspace: &Keyspace) -> Fetched {
        let value = match keyspace.store.read(self.location, &self.key) {
            Ok(value) => Ok(value),
            Err(ReadError::Io(error)) => Err(error.to_string()),
            // Whoever looks at the key next is told.
            Err(ReadError::Damaged(_) | ReadError::Gone(_)) => {
                match &self.owner {
                    Owner::Key(keydir, slot) => keydir.set_damaged(slot, &self.key, self.location),
                    Owner::Element(object) => object.set_damaged(&self.key, self.location),
                }
                return Fetched { location: self.location, value: None, drawn: self.drawn };
            }
        };
        if let Ok(value) = &value {
            let now = (keyspace.store.now() / 1000) as u32;
            let room = keyspace.memory.room();
            match &self.owner {
                Owner::Key(keydir, slot) => keydir.warm(slot, &self.key, self.location, value, room, now),
                Owner::Element(object) => {
                    keyspace.bound.objects.warm(object, &self.key, self.location, value, room, now);
                }
            }
            keyspace.stats.cold_reads.fetch_add(1, Relaxed);
        }
        Fetched { location: self.location, value: Some(value), drawn: self.drawn }
    }
}

/// What became of fetching a value.
#[derive(Debug)]
pub struct Fetched {
    location: Location,
    /// None where the record is damaged, which the keydir knows by now.
    value: Option<Result<Bytes, String>>,
    drawn: Option<Arc<Drawn>>,
}

/// Values fetched for a command that runs again: it finds them here, even if they have left memory meanwhile. So every
/// further run gets further than the one before.
#[derive(Clone, Debug, Default)]
pub struct Pins(Option<Arc<Pinned>>);

/// Shared, since each run has them: a copy would cost as much as all that was fetched before.
#[derive(Clone, Debug, Default)]
struct Pinned {
    values: HashMap<Location, Result<Bytes, String>>,
    drawn: Vec<Arc<Drawn>>,
}

impl Pins {
    pub(super) fn get(&self, location: Location) -> Option<&Result<Bytes, String>> {
        self.0.as_ref()?.values.get(&location)
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |pinned| pinned.values.len())
    }

    /// What was drawn of a key's elements when so many were asked for.
    pub fn drawn(&self, of: (u32, &[u8]), count: i64) -> Option<&Arc<Drawn>> {
        let is_it = |drawn: &&Arc<Drawn>| (drawn.of.0, &drawn.of.1[..], drawn.count) == (of.0, of.1, count);
        self.0.as_ref()?.drawn.iter().rev().find(is_it)
    }

    /// Keeps a fetched value.
    pub fn add(&mut self, fetched: Fetched) {
        // The run that asked for it is over, and has let go of them.
        let pinned = Arc::make_mut(self.0.get_or_insert_default());
        pinned.drawn.extend(fetched.drawn);
        if let Some(value) = fetched.value {
            pinned.values.insert(fetched.location, value);
        }
    }
}
