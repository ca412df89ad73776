//! What a command has done for it that waits for the disk: on a thread of its own, before the command runs again.
//!
//! Always true: a command asks for one at most, and has had no effect before it is done.

use std::time::Duration;

use crate::keyspace::Keyspace;
use crate::store::Copied;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Everything is written and synced.
    Sync,
    /// A backup of this name is made.
    Backup(String),
    /// Time has passed.
    Sleep(Duration),
}

/// What has come of it; or why nothing has.
pub type Finished = Result<Done, String>;

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The log is on the disk.
    Synced,
    /// There is a backup.
    BackedUp(Copied),
    /// It is later now.
    Slept,
}

impl Errand {
    /// Does it, and waits for the disk.
    pub fn run(&self, keyspace: &Keyspace) -> Finished {
        let store = keyspace.store();
        match self {
            Self::Sync => store.sync().map(|()| Done::Synced).map_err(|error| error.to_string()),
            Self::Backup(name) => store.backup(name).map(Done::BackedUp).map_err(|error| error.to_string()),
            Self::Sleep(duration) => {
                std::thread::sleep(*duration);
                Ok(Done::Slept)
            }
        }
    }
}
