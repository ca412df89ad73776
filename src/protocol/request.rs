//! Decodes requests from a receive buffer, resumably: no byte is looked at more than twice, however finely the network
//! cuts it.
//!
//! A request is an array of bulk strings, or one line of words (an inline request), in RESP2 and RESP3 alike. One of short
//! strings that is there as a whole, as nearly all are, is read in one go; every other goes element by element, and each of
//! those through the frame decoder.
//! What is always true: arguments are ranges of the caller's buffer (of the decoder's own for an inline request);
//! memory follows received bytes, never announced lengths; a bulk string is handed to the frame decoder only when it
//! is there in full and begins with `$`, so that it can neither recurse nor allocate; and the outcome does not depend
//! on how the bytes were cut. Stricter than Redis in one point: the lines `*N` and `$N` end with CR LF, where Redis
//! accepts any byte after the CR.

use super::ProtocolError;
use super::short::{is_plain, short_elements};
use super::words::{self, Unbalanced};
use memchr::memchr;
use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::types::RangeFrame;
use std::ops::Index;

/// The longest inline request and the longest `*N` or `$N` line, in bytes before the line's end.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

const UNAUTHENTICATED_ARGUMENTS_MAX: usize = 10;
const UNAUTHENTICATED_BULK_BYTES_MAX: usize = 16 * 1024;
/// What `proto-max-bulk-len` is unless configured; above it a length is invalid for everyone.
const BULK_BYTES_MAX_DEFAULT: usize = 512 * 1024 * 1024;

/// Room for this many arguments is kept between requests; what a larger request took is given back.
const ARGUMENTS_KEPT: usize = 256;
const INLINE_BYTES_KEPT: usize = 1024;

/// What one request may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest bulk string, in bytes (`proto-max-bulk-len`).
    pub bulk_bytes_max: usize,
    /// The most arguments, the command's name included.
    pub arguments_max: usize,
    /// Whether the client may do more than authenticate; it chooses the words of a refusal.
    pub authenticated: bool,
}

impl Limits {
    /// For a client that must authenticate first: 10 arguments of 16 KiB.
    pub const fn unauthenticated() -> Self {
        Self {
            bulk_bytes_max: UNAUTHENTICATED_BULK_BYTES_MAX,
            arguments_max: UNAUTHENTICATED_ARGUMENTS_MAX,
            authenticated: false,
        }
    }

    /// For every other client, with `proto-max-bulk-len` in bytes.
    pub const fn authenticated(bulk_bytes_max: usize) -> Self {
        Self { bulk_bytes_max, arguments_max: i32::MAX as usize, authenticated: true }
    }
}

/// What [`Decoder::decode`] found at the front of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// One whole request of at least one argument; it takes the first `consumed` bytes.
    Request { consumed: usize },
    /// The request is not whole. At least `wanted` more bytes must arrive before calling again can get further; a
    /// hint for the next read, and as large as the peer says, so never reserve it.
    Incomplete { wanted: usize },
    /// The first `consumed` bytes hold nothing to execute: a blank line, `*0`, `*-1`.
    Nothing { consumed: usize },
}

/// The state of one connection's requests.
///
/// Call [`decode`](Self::decode) with everything received and not yet consumed. While it answers
/// [`Decoded::Incomplete`], call it again with the same bytes, grown at the end. When it answers anything else, drop
/// the `consumed` bytes from the front, in the case of a request after the last use of its arguments.
/// After an error the stream is out of step: close the connection.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The arguments found so far.
    ranges: Vec<(usize, usize)>,
    /// The words of an inline request, one after the other; `ranges` point into it if `inline`.
    words: Vec<u8>,
    inline: bool,
    stage: Stage,
    /// Where in the buffer the next undecoded line or element begins.
    position: usize,
    /// How far the line at `position` was searched for its end.
    searched: usize,
    /// The buffer's length below which there is nothing new to look at.
    needed: usize,
    /// Bytes looked at so far: the tests hold that it stays linear.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) work: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Between requests, or inside the first line of one.
    #[default]
    Start,
    /// Inside an array of which this many elements are to come.
    Elements(usize),
    /// The last call handed out a request, or failed.
    Finished,
}

enum Step {
    Done(Decoded),
    Again,
    /// The buffer must have this length before the next step.
    NeedsLength(usize),
}

enum LineEnd {
    At(usize),
    /// The buffer must have this length before the line can have its end.
    NeedsLength(usize),
}

impl Decoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks for one whole request at the front of `buffer`; see [`Decoder`] for what the caller owes.
    pub fn decode(&mut self, buffer: &[u8], limits: &Limits) -> Result<Decoded, ProtocolError> {
        if self.stage == Stage::Finished {
            self.reset();
        }
        // Only at the first look at a request: what is not there as a whole would be looked at again and again.
        if self.stage == Stage::Start
            && self.needed == 0
            && let Some(consumed) = self.whole(buffer, limits)
        {
            self.stage = Stage::Finished;
            return Ok(Decoded::Request { consumed });
        }
        loop {
            if buffer.len() < self.needed.max(self.position + 1) {
                return Ok(Decoded::Incomplete { wanted: self.needed.max(self.position + 1) - buffer.len() });
            }
            let step = match self.stage {
                Stage::Elements(left) => self.element(buffer, limits, left),
                _ => self.first_line(buffer, limits),
            };
            match step {
                Ok(Step::Again) => {}
                Ok(Step::NeedsLength(length)) => self.needed = length,
                Ok(Step::Done(decoded)) => {
                    self.stage = Stage::Finished;
                    return Ok(decoded);
                }
                Err(error) => {
                    self.ranges.clear();
                    self.stage = Stage::Finished;
                    return Err(error);
                }
            }
        }
    }

    /// The arguments of the request the last call of [`decode`](Self::decode) found at the front of `buffer`; none
    /// if it found no request. `buffer` must begin with the bytes it was given.
    pub fn arguments<'a>(&'a self, buffer: &'a [u8]) -> Arguments<'a> {
        let ranges = if self.stage == Stage::Finished { &self.ranges[..] } else { &[] };
        Arguments { bytes: if self.inline { &self.words } else { buffer }, ranges }
    }

    /// The heap memory held, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.ranges.capacity() * size_of::<(usize, usize)>() + self.words.capacity()
    }

    fn reset(&mut self) {
        self.ranges.clear();
        self.ranges.shrink_to(ARGUMENTS_KEPT);
        self.words.clear();
        self.words.shrink_to(INLINE_BYTES_KEPT);
        self.inline = false;
        self.stage = Stage::Start;
        (self.position, self.searched, self.needed) = (0, 0, 0);
    }

    /// Whether nothing of a request was looked at: what comes next begins one.
    #[inline]
    pub fn is_between(&self) -> bool {
        self.stage == Stage::Finished || self.stage == Stage::Start && self.needed == 0
    }

    /// As [`whole`](super::short::whole), into the decoder's own ranges.
    #[inline]
    fn whole(&mut self, buffer: &[u8], limits: &Limits) -> Option<usize> {
        let end = short_elements(buffer, limits, &mut self.ranges);
        #[cfg(any(test, feature = "fuzzing"))]
        {
            self.work += end.unwrap_or_else(|| self.ranges.last().map_or(0, |last| last.1));
        }
        let end = end.filter(|_| is_plain(buffer, self.ranges[0]));
        match end {
            Some(end) => self.position = end,
            None => self.ranges.clear(),
        }
        end
    }

    fn first_line(&mut self, buffer: &[u8], limits: &Limits) -> Result<Step, ProtocolError> {
        match buffer {
            [b'*', ..] => self.count_line(buffer, limits),
            [0x16] => Ok(Step::NeedsLength(2)),
            // A TLS record of type handshake; its second byte has been 3 since SSL 3.0.
            [0x16, 0x03, ..] => Err(ProtocolError::TlsHandshake),
            _ => self.inline_line(buffer),
        }
    }

    fn count_line(&mut self, buffer: &[u8], limits: &Limits) -> Result<Step, ProtocolError> {
        let line = match self.header_line(buffer, ProtocolError::CountLineTooLong, ProtocolError::InvalidCount)? {
            LineEnd::At(end) => &buffer[1..end],
            LineEnd::NeedsLength(length) => return Ok(Step::NeedsLength(length)),
        };
        let count = parse_length(line).ok_or(ProtocolError::InvalidCount)?;
        self.position = line.len() + 3;
        if count <= 0 {
            return Ok(Step::Done(Decoded::Nothing { consumed: self.position }));
        }
        let count = usize::try_from(count).map_err(|_| ProtocolError::InvalidCount)?;
        if count > i32::MAX as usize || (limits.authenticated && count > limits.arguments_max) {
            return Err(ProtocolError::InvalidCount);
        }
        if count > limits.arguments_max {
            return Err(ProtocolError::UnauthenticatedCount);
        }
        self.stage = Stage::Elements(count);
        Ok(Step::Again)
    }

    /// One element, from its `$` to the two bytes that close it.
    fn element(&mut self, buffer: &[u8], limits: &Limits, left: usize) -> Result<Step, ProtocolError> {
        let start = self.position;
        if buffer[start] != b'$' {
            return Err(ProtocolError::ExpectedBulk(buffer[start]));
        }
        let end = match self.header_line(buffer, ProtocolError::LengthLineTooLong, ProtocolError::InvalidLength)? {
            LineEnd::At(end) => end,
            LineEnd::NeedsLength(length) => return Ok(Step::NeedsLength(length)),
        };
        let length = bulk_length(&buffer[start + 1..end], limits)?;
        let whole = (end + 4).checked_add(length).ok_or(ProtocolError::InvalidLength)?;
        if buffer.len() < whole {
            return Ok(Step::NeedsLength(whole));
        }
        // Like Redis, the frame decoder does not compare the two bytes after the payload with CR LF.
        let Ok(Some((RangeFrame::BulkString((from, to)), taken))) = decode_range(&buffer[start..whole]) else {
            return Err(ProtocolError::InvalidLength);
        };
        self.ranges.push((start + from, start + to));
        self.position += taken;
        #[cfg(any(test, feature = "fuzzing"))]
        {
            self.work += taken;
        }
        if left > 1 {
            self.stage = Stage::Elements(left - 1);
            return Ok(Step::Again);
        }
        refuse_cross_protocol(&buffer[self.ranges[0].0..self.ranges[0].1])?;
        Ok(Step::Done(Decoded::Request { consumed: self.position }))
    }

    fn inline_line(&mut self, buffer: &[u8]) -> Result<Step, ProtocolError> {
        let end = match self.find(buffer, b'\n', ProtocolError::InlineTooLong)? {
            LineEnd::At(end) => end,
            LineEnd::NeedsLength(length) => return Ok(Step::NeedsLength(length)),
        };
        self.position = end + 1;
        let line = buffer[..end].strip_suffix(b"\r").unwrap_or(&buffer[..end]);
        words::split_into(line, &mut self.words, &mut self.ranges)
            .map_err(|Unbalanced| ProtocolError::UnbalancedQuotes)?;
        self.inline = true;
        let Some((from, to)) = self.ranges.first().copied() else {
            return Ok(Step::Done(Decoded::Nothing { consumed: self.position }));
        };
        refuse_cross_protocol(&self.words[from..to])?;
        Ok(Step::Done(Decoded::Request { consumed: self.position }))
    }

    /// Where the CR of the line at `position` is.
    fn header_line(
        &mut self,
        buffer: &[u8],
        too_long: ProtocolError,
        invalid: ProtocolError,
    ) -> Result<LineEnd, ProtocolError> {
        let LineEnd::At(end) = self.find(buffer, b'\r', too_long)? else {
            return Ok(LineEnd::NeedsLength(buffer.len() + 1));
        };
        match buffer.get(end + 1) {
            None => Ok(LineEnd::NeedsLength(end + 2)),
            Some(b'\n') => Ok(LineEnd::At(end)),
            Some(_) => Err(invalid),
        }
    }

    /// Where `byte` ends the line at `position`. What was searched before is not searched again, and a line's fate
    /// depends on its length alone, not on how much of it is there.
    fn find(&mut self, buffer: &[u8], byte: u8, too_long: ProtocolError) -> Result<LineEnd, ProtocolError> {
        let from = self.searched.max(self.position);
        let to = buffer.len().min(self.position + LINE_BYTES_MAX + 1);
        let found = memchr(byte, &buffer[from..to]);
        #[cfg(any(test, feature = "fuzzing"))]
        {
            self.work += found.map_or(to - from, |at| at + 1);
        }
        match found {
            Some(at) => {
                // It is found again at no cost if the rest of the element is still to come.
                self.searched = from + at;
                Ok(LineEnd::At(from + at))
            }
            None if to - self.position > LINE_BYTES_MAX => Err(too_long),
            None => {
                self.searched = to;
                Ok(LineEnd::NeedsLength(buffer.len() + 1))
            }
        }
    }
}

/// The arguments of one request, the command's name first. Borrows; copying it is free.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    bytes: &'a [u8],
    ranges: &'a [(usize, usize)],
}

impl<'a> Arguments<'a> {
    /// The words of `bytes` that `ranges` (start, end) mark.
    pub fn new(bytes: &'a [u8], ranges: &'a [(usize, usize)]) -> Self {
        Self { bytes, ranges }
    }

    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.ranges.get(index).map(|(start, end)| &self.bytes[*start..*end])
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + DoubleEndedIterator + Clone + use<'a> {
        let bytes = self.bytes;
        self.ranges.iter().map(move |(start, end)| &bytes[*start..*end])
    }

    /// The arguments from the one at `index` on; none if there are not as many.
    pub fn from(&self, index: usize) -> Self {
        Self { bytes: self.bytes, ranges: self.ranges.get(index..).unwrap_or_default() }
    }

    pub fn to_vec(&self) -> Vec<Vec<u8>> {
        self.iter().map(<[u8]>::to_vec).collect()
    }
}

impl Index<usize> for Arguments<'_> {
    type Output = [u8];

    /// Panics where there is no such argument; arity has been checked when a handler indexes.
    fn index(&self, index: usize) -> &[u8] {
        let (start, end) = self.ranges[index];
        &self.bytes[start..end]
    }
}

fn bulk_length(line: &[u8], limits: &Limits) -> Result<usize, ProtocolError> {
    let length = parse_length(line).ok_or(ProtocolError::InvalidLength)?;
    let length = usize::try_from(length).map_err(|_| ProtocolError::InvalidLength)?;
    if length <= limits.bulk_bytes_max {
        Ok(length)
    } else if limits.authenticated || length > BULK_BYTES_MAX_DEFAULT {
        Err(ProtocolError::InvalidLength)
    } else {
        Err(ProtocolError::UnauthenticatedLength)
    }
}

/// A number as Redis writes it and in no other way: no plus sign, no leading zero, no minus zero.
fn parse_length(digits: &[u8]) -> Option<i64> {
    let (negative, digits) = match digits {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits == b"0" {
        return if negative { None } else { Some(0) };
    }
    if !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    digits.iter().try_fold(0_i64, |value, byte| {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        let value = value.checked_mul(10)?;
        match digit {
            0..=9 if negative => value.checked_sub(digit),
            0..=9 => value.checked_add(digit),
            _ => None,
        }
    })
}

pub(super) fn refuse_cross_protocol(first: &[u8]) -> Result<(), ProtocolError> {
    if first.eq_ignore_ascii_case(b"post") || first.eq_ignore_ascii_case(b"host:") {
        return Err(ProtocolError::CrossProtocol);
    }
    Ok(())
}
