//! Parameters: one table of them, and everything that reads or changes a value through it.
//!
//! The server reads [`Config::get`]; nobody holds a value across a change. Only `files` does I/O.

mod accepted;
pub mod cli;
pub mod docs;
mod environment;
mod events;
mod field;
mod files;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod kind;
mod live;
mod load;
mod rewrite;
mod settings;
mod syntax;
mod table;
mod users;

pub use environment::variable;
pub use events::{EventClass, EventClasses};
pub use field::{
    AclPubsubDefault, AppendFsync, BindAddress, EnableDebug, FileMode, Hours, LogFormat, LogLevel, MaxmemoryPolicy,
    OutputLimit, OutputLimits, Percentiles, ProtectedMode, Ratio, SegmentSize, TlsAuthClients,
};
pub use kind::{Kind, memory, memory_text};
pub use live::{Config, SetError};
pub use load::{GlobMatch, Note, Place, Problem};
pub use rewrite::{RewriteError, rewritten};
pub use settings::Settings;
pub use table::{Change, Parameter, Section, Standing, all, find, nearest};
pub use users::{UserLine, UserText, read_users, write_users};
