//! What is kept of the past: segments that a pass has taken off the list, until their time is over.
//!
//! Always true: what was taken off first is given up first. So a moment can be brought back as long as nothing was given up
//! that was taken off at it or later: whatever a segment had that counted at that moment is in it, or in one that is kept,
//! or has been copied.

use std::io;
use std::time::Duration;

use super::super::log::Log;
use super::super::manifest::{Edit, Held, SegmentState};
use super::Policy;

/// What is kept of the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Segments that are kept although they are not listed any more.
    pub segments: usize,
    /// Bytes of their files.
    pub bytes: u64,
    /// The number of the record up to which the oldest moment goes that can be brought back.
    pub oldest_sequence: u64,
    /// Its time, milliseconds since the Unix epoch; 0 where nothing was ever given up.
    pub oldest_time: u64,
}

impl Log {
    /// What INFO says of the past.
    pub(in crate::store) fn retained(&self) -> Retained {
        let (held, horizon) = (self.manifest.held(), self.manifest.horizon());
        let length = |held: &Held| match held.segment.state {
            SegmentState::Sealed(length) | SegmentState::Cut(length) => length,
            SegmentState::Active => 0,
        };
        Retained {
            segments: held.len(),
            bytes: held.iter().map(length).sum(),
            oldest_sequence: horizon.sequence,
            oldest_time: horizon.time,
        }
    }

    /// Gives up what has been kept for long enough; and where the disk is short of space, the oldest of it.
    pub(in crate::store) fn release(&self, policy: &Policy) {
        let held = self.manifest.held();
        if held.is_empty() || self.is_ended() {
            return;
        }
        let milliseconds = |retention: Duration| u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
        let (retention, now) = (policy.retention.map(milliseconds), self.now());
        let is_over = |held: &Held| retention.is_some_and(|retention| held.since.time.saturating_add(retention) <= now);
        let mut count = held.partition_point(is_over);
        let is_short = count == 0 && self.is_short_of_space();
        if is_short {
            // What went together has to be given up together.
            count = held.partition_point(|one| one.since == held[0].since);
        }
        if count == 0 {
            return;
        }
        match self.release_segments(&held[..count]) {
            Ok(()) if is_short => tracing::warn!(
                segments = count,
                "the disk is nearly full: segments that `retention` keeps were removed before their time"
            ),
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(%error, "segments whose retention is over could not be removed; it is tried again")
            }
        }
    }

    /// Gives up all of the past; returns what that was.
    pub(in crate::store) fn release_all(&self) -> io::Result<Retained> {
        let (retained, held) = (self.retained(), self.manifest.held());
        if !held.is_empty() {
            self.release_segments(&held)?;
        }
        Ok(retained)
    }

    fn release_segments(&self, held: &[Held]) -> io::Result<()> {
        let edit = held.iter().fold(Edit::new(), |edit, held| edit.release(held.segment.id));
        let _no_backup = self.compaction.listing.lock();
        self.manifest.edit(&edit)?;
        held.iter().for_each(|held| self.remove_files(held.segment.id));
        Ok(())
    }
}
