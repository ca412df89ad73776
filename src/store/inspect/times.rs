//! Which records are from before and after a moment: the marks of the log say what time it was.
//!
//! Always true: marks rise in time along the log. A record is from between the mark before it and the mark behind it, and
//! was written within a tenth of a second, or one write of the disk, after the mark before it. A segment that a compaction
//! has written has no marks.

use super::Inspection;
use super::walk::{Seen, Walk};
use crate::store::error::OpenError;
use crate::store::recovery::Found;

/// Where a moment is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    /// The number of the first mark of that very moment, or else of the last one that is earlier; 0 where there is none.
    /// No record before it is later than the moment.
    pub from: u64,
    /// The number before that of the first mark that is later; the highest that there is where there is none. Every record
    /// behind it is later than the moment.
    pub to: u64,
}

impl Inspection {
    /// Where a moment, in milliseconds since the Unix epoch, is in the log.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn around(&self, moment: u64) -> Result<Around, OpenError> {
        let mut layout = self.layout(&mut |_| {})?;
        layout.compacted.clear();
        let mut ends = Vec::new();
        layout.visit(&mut |around| {
            let passed = self.passed(around)?;
            ends.push(passed.end);
            Ok(passed)
        })?;
        let mut first = 0;
        while first < layout.log.len() && self.is_earlier(&layout.log[first], moment)? {
            first += 1;
        }
        // The last mark that is earlier may be the last one of the segment before.
        let first = first.saturating_sub(1);
        let mut search = Search { moment, begin: None, found: Around { from: 0, to: u64::MAX } };
        for (segment, end) in layout.log[first..].iter().zip(&ends[first..]) {
            if search.goes_along(segment, *end)? {
                break;
            }
        }
        Ok(search.found)
    }

    /// Whether the hint of a segment says that all marks in it are earlier than a moment.
    fn is_earlier(&self, found: &Found, moment: u64) -> Result<bool, OpenError> {
        let hinted = self.hinted(found)?;
        let latest = hinted.and_then(|hinted| hinted.summary().map(|summary| summary.wall));
        Ok(latest.is_some_and(|latest| latest > 0 && latest < moment))
    }
}

struct Search {
    moment: u64,
    /// The first mark of that very moment.
    begin: Option<u64>,
    found: Around,
}

impl Search {
    /// Looks at the marks of a segment; `true` once there is a later one.
    fn goes_along(&mut self, segment: &Found, end: u64) -> Result<bool, OpenError> {
        let mut walk = Walk::until(segment, end);
        while let Some(seen) = walk.next().map_err(segment.reading())? {
            let Seen::Record { record, .. } = seen else {
                walk.resume().map_err(segment.reading())?;
                continue;
            };
            match record.mark() {
                Some((_, wall)) if wall > self.moment => {
                    self.found.to = record.sequence - 1;
                    return Ok(true);
                }
                Some((_, wall)) if wall == self.moment => {
                    self.found.from = *self.begin.get_or_insert(record.sequence);
                }
                Some(_) => self.found.from = record.sequence,
                None => {}
            }
        }
        Ok(false)
    }
}
