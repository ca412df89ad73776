//! Elements at random, as many as a client asks for, each time any of them: few elements may be asked for any number of times.
//!
//! Always true: a reply that would take more memory than the longest string is refused before it takes that much.

use super::{Stop, text};
use crate::protocol::ReplyBuffer;

/// The most bytes of what is drawn: as many as Redis lets a string have unless told.
const BYTES_MAX: usize = 512 << 20;
/// The fewest bytes of one element in a reply.
const ELEMENT_BYTES_MIN: u64 = "$0\r\n\r\n".len() as u64;
/// How many are drawn before the memory they take is looked at.
const TOGETHER: u64 = 64;

/// What is left to be drawn.
pub(super) struct Drawing(u64);

impl Drawing {
    /// Begins to draw so many times.
    pub(super) fn begin(times: u64) -> Result<Self, Stop> {
        if times > BYTES_MAX as u64 / ELEMENT_BYTES_MIN { Err(text::OUT_OF_RANGE.into()) } else { Ok(Self(times)) }
    }

    /// How often to draw next, after what was drawn takes so many bytes; `None` at the end.
    pub(super) fn next(&mut self, bytes: usize) -> Result<Option<u64>, Stop> {
        check(bytes)?;
        let times = self.0.min(TOGETHER);
        self.0 -= times;
        Ok((times > 0).then_some(times))
    }
}

/// Refuses what takes too many bytes.
pub(super) fn check(bytes: usize) -> Result<(), Stop> {
    if bytes > BYTES_MAX { Err(text::OUT_OF_RANGE.into()) } else { Ok(()) }
}

/// Draws so many times with `draw`, which sends as many elements as it is asked for.
pub(super) fn draw(out: &mut ReplyBuffer, times: u64, mut draw: impl FnMut(&mut ReplyBuffer, u64)) -> Result<(), Stop> {
    let (began, mut drawing) = (out.len(), Drawing::begin(times)?);
    while let Some(times) = drawing.next(out.len() - began)? {
        draw(out, times);
    }
    Ok(())
}
