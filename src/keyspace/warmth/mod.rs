//! Which values are in memory, remembered over a restart: a file says so, and the next start reads them back.
//!
//! Always true: what is remembered are names, so that it does not matter where a value stands by then, nor what it is; a value
//! gets into memory only from a record that verifies and is still its key's newest, as with any other read; it takes only room that nobody uses.
//!
//! Names, and not places in the log, since the values that are used most are often those that are written most: their places
//! are others before the file is a minute old, and compaction moves all the rest. A name takes four bytes where there
//! are a million, and three where there are ten; places in the log would take no less.
//!
//! | file | what |
//! | --- | --- |
//! | `remember` | the file is written |
//! | `recall` | it is read, and what it names is read back |

mod recall;
mod remember;

use std::time::Duration;

use parking_lot::Mutex;

pub use self::recall::{Ended, Turn};
pub use self::remember::Remembering;

/// So many entries are looked at while a lock is held.
const STEP_ENTRIES_MAX: usize = 128;

/// What is known of it.
#[derive(Default)]
pub(super) struct Warmth {
    status: Mutex<WarmthStatus>,
    writing: Mutex<()>,
}

/// What has become of the values that were in memory before the start, and of those that are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WarmthStatus {
    /// They are being read back.
    pub is_running: bool,
    /// All are back for which there is room, or none are wanted: from now on those in memory are remembered.
    pub is_settled: bool,
    /// How many the file named.
    pub named: u64,
    /// How many were read back.
    pub values: u64,
    /// Their bytes in the log.
    pub bytes: u64,
    /// For how long they have been read back.
    pub duration: Duration,
    /// The file as it was written last by this process.
    pub file: Remembering,
}
