//! Values that are only on the disk: how they are asked for, fetched, and kept for the command that asked.
//!
//! Always true: fetching waits for the disk and holds no latch meanwhile; a value goes into memory only if its record
//! is still the key's newest.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::Keyspace;
use super::collections::Object;
use super::keydir::{Keydir, Slot};
use crate::store::{Location, ReadError};

/// A value that is only on the disk.
#[derive(Clone, Debug)]
pub struct Cold {
    owner: Owner,
    /// The key, or the element's name.
    key: Bytes,
    location: Location,
}

/// Whose value it is.
#[derive(Clone, Debug)]
enum Owner {
    Key(Arc<Keydir>, Slot),
    Element(Arc<Object>),
}

impl Cold {
    pub(super) fn key(keydir: &Arc<Keydir>, slot: &Slot, key: &[u8], location: Location) -> Self {
        Self { owner: Owner::Key(keydir.clone(), *slot), key: Bytes::copy_from_slice(key), location }
    }

    pub(super) fn element(object: &Arc<Object>, name: &[u8], location: Location) -> Self {
        Self { owner: Owner::Element(object.clone()), key: Bytes::copy_from_slice(name), location }
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
                return Fetched { location: self.location, value: None };
            }
        };
        if let Ok(value) = &value {
            let now = (keyspace.store.now() / 1000) as u32;
            if keyspace.memory.has_room() {
                match &self.owner {
                    Owner::Key(keydir, slot) => keydir.warm(slot, &self.key, self.location, value, now),
                    Owner::Element(object) => {
                        keyspace.bound.objects.warm(object, &self.key, self.location, value, now);
                    }
                }
            }
            keyspace.stats.cold_reads.fetch_add(1, Relaxed);
        }
        Fetched { location: self.location, value: Some(value) }
    }
}

/// What became of fetching a value.
#[derive(Debug)]
pub struct Fetched {
    location: Location,
    /// None where the record is damaged, which the keydir knows by now.
    value: Option<Result<Bytes, String>>,
}

/// Values fetched for a command that runs again: it finds them here, even if they have left memory meanwhile. So every
/// further run gets further than the one before.
#[derive(Clone, Debug, Default)]
pub struct Pins(HashMap<Location, Result<Bytes, String>>);

impl Pins {
    pub(super) fn get(&self, location: Location) -> Option<&Result<Bytes, String>> {
        self.0.get(&location)
    }

    /// Keeps a fetched value.
    pub fn add(&mut self, fetched: Fetched) {
        if let Some(value) = fetched.value {
            self.0.insert(fetched.location, value);
        }
    }
}
