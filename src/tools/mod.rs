//! Tools for a directory that no server uses: what `caskade check` and its like do.
//!
//! Always true: a directory in use is refused; what is asked for goes to the standard output, progress and failures to the
//! standard error.

mod check;
mod progress;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use self::check::check;
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

/// Why a tool could not do what it was asked for.
#[derive(Debug)]
pub struct Failed(String);

impl Failed {
    fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self(format!("cannot write to the standard output: {error}"))
    }
}

/// The store in a directory, to look at; the inner error is one of the manifest, which is part of what is looked at.
fn inspect(directory: &Path) -> Result<Result<Inspection, ManifestError>, Failed> {
    let disk = OsDisk::open_to_read(directory).map_err(Failed::new)?;
    match Inspection::open(Arc::new(disk)) {
        Ok(Some(inspection)) => Ok(Ok(inspection)),
        Ok(None) => Err(Failed(format!("there is no data of a Caskade server in {}", directory.display()))),
        Err(error @ (ManifestError::Io { .. } | ManifestError::Newer(_))) => Err(Failed::new(error)),
        Err(error) => Ok(Err(error)),
    }
}

/// Threads that work on it.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
