//! The file that says which values were in memory: a cache, by which a start finds out what to read back.
//!
//! Always true: it names keys and elements by pieces of their hashes and nothing else, so that whatever it says, true or not,
//! old or damaged, nobody ever reads another value because of it; it is written under its temporary name, synced and renamed;
//! no memory is taken for a length or a number that it announces.
//!
//! | file | what |
//! | --- | --- |
//! | `codec` | its bytes |
//! | `write` | how it gets there, in pieces |
//! | `read` | how it is read, in pieces |

mod codec;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use self::codec::{HotName, HotOwner, Remembered};
pub use self::read::{HotBlock, HotFile};
pub use self::write::HotWriter;

/// The file's name.
pub(super) const HOT_FILE: &str = "hot";

/// Its name before it is complete.
pub(super) const HOT_TEMPORARY_FILE: &str = "hot.tmp";
