//! What can go wrong in the store, in words for the person who runs it.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::manifest::ManifestError;
use super::segment::Location;

/// Why a record was not appended. Nothing of it is in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The disk is full; deletions are still taken while their reserve lasts, and writing resumes by itself.
    DiskFull,
    /// The log takes no more records until it is opened again; the text says why.
    ReadOnly(Arc<str>),
    /// The segment is full and there can be no other one now; the next append tries again. The reason is inside.
    NoSegment(Arc<str>),
    /// The record or the batch is larger than the format allows.
    TooLarge {
        /// Bytes it would take.
        bytes: u64,
        /// Bytes it may take.
        bytes_max: u64,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiskFull => f.write_str("the disk is full: free some space, writing resumes by itself"),
            Self::ReadOnly(reason) => write!(f, "read-only: {reason}"),
            Self::NoSegment(reason) => write!(f, "a new segment cannot be created: {reason}"),
            Self::TooLarge { bytes, bytes_max } => {
                write!(f, "a write of {bytes} bytes is larger than the limit of {bytes_max} bytes")
            }
        }
    }
}

impl std::error::Error for Refused {}

/// The log cannot reach the asked position: what was appended but not acknowledged may be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFailed {
    /// What happened, to which file.
    pub reason: Arc<str>,
}

impl fmt::Display for LogFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the log cannot be written: {}", self.reason)
    }
}

impl std::error::Error for LogFailed {}

/// Why a value could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// The bytes there are not the record that was written; never another value is returned.
    Damaged(Location),
    /// No such segment, or no such offset in it.
    Gone(Location),
    /// The disk reported an error.
    Io(io::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(at) => write!(f, "the record at {at} is damaged"),
            Self::Gone(at) => write!(f, "there is no record at {at}"),
            Self::Io(error) => write!(f, "reading failed: {error}"),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Why a directory could not be opened as a store. Nothing in it has been changed.
#[derive(Debug)]
pub enum OpenError {
    /// The disk reported an error.
    Io {
        /// What was being done, to which file.
        doing: String,
        /// What the disk said.
        error: io::Error,
    },
    /// The manifest is damaged, missing, or of a newer version, or a segment that it lists is missing.
    Manifest(ManifestError),
    /// A record that had been made durable is damaged, and not even its key can be told.
    Corrupt {
        /// The file.
        file: String,
        /// Bytes from the start of the file to the damage.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// A file is of a version this program does not know.
    Unsupported {
        /// The file.
        file: String,
        /// What is not known.
        what: String,
    },
}

/// What to do about damage in a directory, to be said behind what is wrong there.
pub fn remedy(directory: &Path) -> String {
    let (check, repair) = (command("check", directory), command("repair", directory));
    format!("restore a backup, or see what {check} finds and {repair} can save")
}

/// The command line of a tool for a directory, as it is named in a message.
pub fn command(tool: &str, directory: &Path) -> String {
    format!("`caskade {tool} --dir {}`", word(&directory.to_string_lossy()))
}

/// The command line that carries out what a tool would do, as it is named in a message.
pub fn command_to_do(tool: &str, directory: &Path) -> String {
    format!("`caskade {tool} --dir {} --yes`", word(&directory.to_string_lossy()))
}

/// A word of a command line, in quotes where a shell would not take it as it is.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

impl OpenError {
    /// Whether something is damaged, so that a repair may help.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Corrupt { .. } => true,
            Self::Manifest(error) => error.is_damage(),
            Self::Io { .. } | Self::Unsupported { .. } => false,
        }
    }

    /// The error with what to do about it in this directory.
    pub fn in_directory(&self, directory: &Path) -> String {
        if self.is_damage() { format!("{self}; {}", remedy(directory)) } else { self.to_string() }
    }

    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |error| Self::Io { doing, error }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, error } => write!(f, "{doing}: {error}"),
            Self::Manifest(error) => error.fmt(f),
            Self::Corrupt { file, offset, what } => {
                write!(f, "{file} is damaged at byte {offset}: {what}; nothing was changed")
            }
            Self::Unsupported { file, what } => {
                write!(f, "{file} was written by another version of this program: {what}")
            }
        }
    }
}

impl std::error::Error for OpenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_names_the_commands_that_help() {
        let corrupt = OpenError::Corrupt { file: "0000000001.log".into(), offset: 64, what: "it is cut".into() };
        assert_eq!(
            corrupt.in_directory(Path::new("/var/lib/caskade")),
            "0000000001.log is damaged at byte 64: it is cut; nothing was changed; restore a backup, or see what `caskade check \
             --dir /var/lib/caskade` finds and `caskade repair --dir /var/lib/caskade` can save"
        );
        assert!(corrupt.in_directory(Path::new("it's here")).contains("--dir 'it'\\''s here'`"));
        let missing = OpenError::Manifest(ManifestError::Missing { segment: "0000000001.log".into() });
        assert!(missing.in_directory(Path::new("d")).contains("`caskade repair --dir d`"));
        for other in [
            OpenError::Manifest(ManifestError::Newer("it is of tomorrow".into())),
            OpenError::Unsupported { file: "0000000001.log".into(), what: "it is of tomorrow".into() },
            OpenError::io("reading")(io::ErrorKind::Other.into()),
        ] {
            assert_eq!(other.in_directory(Path::new("d")), other.to_string());
        }
    }
}
