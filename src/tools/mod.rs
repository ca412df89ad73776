//! Tools for a directory that no server uses: what `caskade check` and its like do.
//!
//! Always true: a directory in use is refused; what is asked for goes to the standard output, progress and failures to the
//! standard error.

mod check;
mod compact;
mod copy;
mod dump;
mod moment;
mod progress;
mod repair;
mod stats;
mod text;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use self::check::check;
pub use self::compact::compact;
pub use self::copy::{backup, restore};
pub use self::dump::{Dump, dump};
pub use self::moment::{Invalid, Moment};
pub use self::repair::repair;
pub use self::stats::stats;
pub use self::text::torn_text;
use crate::store::OpenError;
use crate::store::disk::OsDisk;
use crate::store::inspect::Inspection;
use crate::store::manifest::ManifestError;

/// How a tool ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it was asked for, and all is well.
    Sound,
    /// Something is damaged.
    Damaged,
}

/// Why a tool did not come to its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Failed {
    /// It could not be done.
    Impossible(String),
    /// It cannot be done as something is damaged.
    Damaged(String),
    /// Nobody reads any further what it writes, which is no failure.
    Unread,
}

impl Failed {
    fn new(reason: impl fmt::Display) -> Self {
        Self::Impossible(reason.to_string())
    }

    /// Why the store in a directory cannot be opened.
    fn opening(error: &OpenError, directory: &Path) -> Self {
        let text = error.in_directory(directory);
        if error.is_damage() { Self::Damaged(text) } else { Self::Impossible(text) }
    }

    /// What the program exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Impossible(_) => 2,
            Self::Damaged(_) => 1,
            Self::Unread => 0,
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Impossible(reason) | Self::Damaged(reason) => f.write_str(reason),
            Self::Unread => f.write_str("nobody reads the standard output any further"),
        }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::Impossible(format!("cannot write to the standard output: {error}")),
        }
    }
}

impl From<Invalid> for Failed {
    fn from(invalid: Invalid) -> Self {
        Self::new(invalid)
    }
}

/// A directory with a store, for this process alone; nothing is created where there is none.
fn open_to_change(directory: &Path) -> Result<OsDisk, Failed> {
    drop(open(directory)?);
    OsDisk::open(directory).map_err(Failed::new)
}

/// The store in a directory, to look at.
fn open(directory: &Path) -> Result<Inspection, Failed> {
    inspect(directory)?.map_err(|error| Failed::opening(&OpenError::Manifest(error), directory))
}

/// The same; the inner error is damage to the manifest, which is part of what is looked at.
fn inspect(directory: &Path) -> Result<Result<Inspection, ManifestError>, Failed> {
    let disk = OsDisk::open_to_read(directory).map_err(Failed::new)?;
    match Inspection::open(Arc::new(disk)) {
        Ok(Some(inspection)) => Ok(Ok(inspection)),
        Ok(None) => Err(no_data(directory)),
        Err(error) if error.is_damage() => Ok(Err(error)),
        Err(error) => Err(Failed::new(error)),
    }
}

fn no_data(directory: &Path) -> Failed {
    Failed::Impossible(format!("there is no data of a Caskade server in {}", directory.display()))
}

/// Threads that work on it.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
