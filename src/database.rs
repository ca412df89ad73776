//! The store and its keydir as a library: a directory of keys and values in one's own process, without a server.
//!
//! Always true: every call is safe from any number of threads; a change is in the log when its call returns, and on
//! the disk as [`Fsync`](crate::store::Fsync) says; calls may wait for the disk, and never for a listener.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::keyspace::{Access, Halt, Keyspace, Mode, Subscription};
use crate::store::clock::SystemClock;
use crate::store::disk::OsDisk;
use crate::store::{LogFailed, OpenError, Options, Position};
use crate::types::kind::Kind;

/// An open directory of keys and values. Dropping it closes it, too, but cannot tell what went wrong then.
pub struct Database {
    keyspace: Keyspace,
}

/// Why a call failed. After [`Error::Unknown`] the change may or may not be there when the directory is opened again;
/// after any other it did not happen.
#[derive(Debug)]
pub enum Error {
    /// The directory is in use, or cannot be opened.
    Open(String),
    /// The log does not take the change.
    Refused(crate::store::Refused),
    /// The disk failed, or what stands on it is damaged.
    Unreadable(String),
    /// The log failed before it could tell whether the change is on the disk.
    Unknown(LogFailed),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(reason) | Self::Unreadable(reason) => f.write_str(reason),
            Self::Refused(refused) => write!(f, "{refused}"),
            Self::Unknown(failed) => write!(f, "{failed}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        Self::Open(error.to_string())
    }
}

impl From<Halt> for Error {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Refused(refused) => Self::Refused(refused),
            Halt::Damaged => Self::Unreadable("the newest record of the key is damaged".into()),
            Halt::Unreadable(reason) => Self::Unreadable(reason),
            Halt::WrongType => Self::Unreadable("the value of the key is of another type".into()),
            // An access that may wait for the disk has no cold values.
            Halt::Cold(_) => Self::Unreadable("the value is on the disk".into()),
        }
    }
}

/// Changes that are committed together or not at all. Dropping it is rolling it back.
#[derive(Debug, Default)]
pub struct Batch {
    changes: Vec<(Bytes, Option<Put>)>,
}

/// A value and how long it is to live.
type Put = (Bytes, Option<Duration>);

impl Batch {
    /// Sets `key` to `value`, with an expiry after `ttl` if one is given.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, ttl: Option<Duration>) {
        let value = Bytes::copy_from_slice(value.as_ref());
        self.changes.push((Bytes::copy_from_slice(key.as_ref()), Some((value, ttl))));
    }

    /// Deletes `key`.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) {
        self.changes.push((Bytes::copy_from_slice(key.as_ref()), None));
    }

    /// Forgets all changes.
    pub fn rollback(self) {}
}

impl Database {
    /// Opens a directory, creating it where there is none. What a server holds there for earlier moments stays, unless
    /// [`Options::retention`] says for how long.
    pub fn open(directory: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let disk = OsDisk::open(directory.as_ref()).map_err(|error| Error::Open(error.to_string()))?;
        let clock = Arc::new(SystemClock::new());
        let opened = Keyspace::open(Arc::new(disk), clock, options, 1, &mut |_, _| {});
        let (keyspace, _) = opened.map_err(|error| Error::Open(error.in_directory(directory.as_ref())))?;
        let started = keyspace.start_threads();
        started.map_err(|error| Error::Open(format!("no threads for the log: {error}")))?;
        Ok(Self { keyspace })
    }

    /// The value of `key`.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>, Error> {
        let key = key.as_ref();
        let mut access = self.access(key, Mode::Shared);
        let value = access.value(key)?;
        self.settle(access)?;
        Ok(value.map(|value| value.bytes))
    }

    /// Sets `key` to `value`, with an expiry after `ttl` if one is given.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<(), Error> {
        let (key, value) = (key.as_ref(), value.as_ref());
        let mut access = self.access(key, Mode::Exclusive);
        put(&mut access, key, value, ttl)?;
        self.settle(access)
    }

    /// Deletes `key`; tells whether there was one.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        let key = key.as_ref();
        let mut access = self.access(key, Mode::Exclusive);
        let deleted = access.delete(key)?;
        self.settle(access)?;
        Ok(deleted)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keyspace.size(0).keys
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some keys, and the cursor to go on with: begin with 0, and end when it is 0 again. A key that is there all the
    /// while is returned at least once.
    pub fn scan(&self, cursor: u64, count: usize) -> Result<(u64, Vec<Bytes>), Error> {
        let mut access = self.keyspace.access_none(0, self.keyspace.now());
        let mut keys = Vec::new();
        let next = access.scan(cursor, count, |key, _| keys.push(Bytes::copy_from_slice(key)));
        self.settle(access)?;
        Ok((next, keys))
    }

    /// Makes all changes of a batch: others see all of them or none, and so does whoever opens the directory after
    /// a crash.
    pub fn commit(&self, batch: &Batch) -> Result<(), Error> {
        let keys = batch.changes.iter().map(|(key, _)| &key[..]);
        self.keyspace.store().wait_for_room();
        let mut access = self.keyspace.access_several(0, keys, Mode::Exclusive, self.keyspace.now());
        access.may_block = true;
        for (key, change) in &batch.changes {
            match change {
                Some((value, ttl)) => put(&mut access, key, value, *ttl)?,
                None => _ = access.delete(key)?,
            }
        }
        self.settle(access)
    }

    /// All changes from now on, in order for each key. A listener that does not keep up loses some, and is told how
    /// many; no writer ever waits for it.
    pub fn watch(&self) -> Subscription {
        self.keyspace.subscribe()
    }

    /// Removes keys whose time is over, so that they take no memory; they cannot be read in any case. Returns how
    /// many were looked at.
    pub fn expire(&self) -> usize {
        self.keyspace.expire_due(self.keyspace.now(), usize::MAX)
    }

    /// Writes and syncs everything, and closes the directory.
    pub fn close(self) -> Result<(), Error> {
        self.keyspace.store().close().map_err(Error::Unknown)
    }

    fn access(&self, key: &[u8], mode: Mode) -> Access<'_> {
        if mode == Mode::Exclusive {
            self.keyspace.store().wait_for_room();
        }
        let mut access = self.keyspace.access_one(0, key, mode, self.keyspace.now(), false);
        access.may_block = true;
        access
    }

    /// Takes effect, lets go of the latches, and waits until the log is where it has to be.
    fn settle(&self, access: Access<'_>) -> Result<(), Error> {
        let (position, _): (Position, _) = access.commit()?;
        self.keyspace.store().wait_acknowledged(position).map_err(Error::Unknown)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Err(failed) = self.keyspace.store().close() {
            tracing::error!("a directory was not closed in good order: {failed}");
        }
    }
}

fn put(access: &mut Access<'_>, key: &[u8], value: &[u8], ttl: Option<Duration>) -> Result<(), Halt> {
    let milliseconds = |ttl: Duration| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    let expiry = ttl.map(|ttl| access.now().saturating_add(milliseconds(ttl)));
    access.put(key, Kind::of_string(value).0, value, expiry)
}
