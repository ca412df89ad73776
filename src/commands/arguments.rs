//! Reading a command's arguments: each call takes the next one and refuses what it cannot be.

use std::time::Duration;

use super::error::{Stop, text};
use crate::protocol::Arguments;
use crate::types::long_double::LongDouble;
use crate::types::number;

/// The arguments after the command's name (and its subcommand's), taken one by one.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    words: Arguments<'a>,
    /// How many of the words are the command's name.
    names: usize,
    next: usize,
}

impl<'a> Args<'a> {
    pub(super) fn new(words: Arguments<'a>, names: usize) -> Self {
        Self { words, names, next: names }
    }

    /// The last word of the command's name as the client wrote it.
    pub fn called(&self) -> &'a [u8] {
        self.names.checked_sub(1).and_then(|last| self.words.get(last)).unwrap_or_default()
    }

    /// How many are left.
    pub fn left(&self) -> usize {
        self.words.len() - self.next
    }

    /// Whether all were taken.
    pub fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// The next one; a syntax error where there is none.
    #[inline]
    pub fn word(&mut self) -> Result<&'a [u8], Stop> {
        let word = self.words.get(self.next).ok_or(text::SYNTAX)?;
        self.next += 1;
        Ok(word)
    }

    /// The next one, if there is one.
    pub fn optional(&mut self) -> Option<&'a [u8]> {
        let word = self.words.get(self.next)?;
        self.next += 1;
        Some(word)
    }

    /// The next one without taking it.
    pub fn peek(&self) -> Option<&'a [u8]> {
        self.words.get(self.next)
    }

    /// Takes the next one if it is this keyword, in any case.
    pub fn keyword(&mut self, keyword: &str) -> bool {
        let is = self.peek().is_some_and(|word| word.eq_ignore_ascii_case(keyword.as_bytes()));
        self.next += usize::from(is);
        is
    }

    /// The next one as an integer.
    pub fn integer(&mut self) -> Result<i64, Stop> {
        number::parse_i64(self.word()?).ok_or(text::NOT_AN_INTEGER.into())
    }

    /// The next one as an integer whose size is one as well.
    pub fn sized_integer(&mut self) -> Result<i64, Stop> {
        let number = self.integer()?;
        if number == i64::MIN { Err(text::NO_SIZE.into()) } else { Ok(number) }
    }

    /// The next one as an integer from `least` on; refused with this text where it is none.
    pub fn at_least(&mut self, least: i64, refusal: &'static str) -> Result<usize, Stop> {
        let number = number::parse_i64(self.word()?).filter(|number| *number >= least);
        Ok(number.and_then(|number| usize::try_from(number).ok()).ok_or(refusal)?)
    }

    /// The next one as a database number that this server has.
    pub fn database(&mut self, databases: u32) -> Result<u32, Stop> {
        let number = self.integer()?;
        if i32::try_from(number).is_err() {
            return Err(text::NOT_32_BITS.into());
        }
        u32::try_from(number).ok().filter(|number| *number < databases).ok_or(text::DB_OUT_OF_RANGE.into())
    }

    /// The next one as a timeout in milliseconds that begins at `now`; `None` for ever.
    pub fn timeout_milliseconds(&mut self, now: u64) -> Result<Option<Duration>, Stop> {
        let word = number::parse_i64(self.word()?).ok_or(text::TIMEOUT_NOT_AN_INTEGER)?;
        timeout(word, now)
    }

    /// The next one as a timeout in seconds, in parts of them too, that begins at `now`; `None` for ever.
    pub fn timeout_seconds(&mut self, now: u64) -> Result<Option<Duration>, Stop> {
        let seconds = seconds(self.word()?).ok_or(text::TIMEOUT_NOT_A_FLOAT)?;
        // A part of a millisecond waits for a whole one: nothing would be for ever.
        let milliseconds = (seconds * 1000.0).ceil();
        if milliseconds > i64::MAX as f64 {
            return Err(text::TIMEOUT_OUT_OF_RANGE.into());
        }
        timeout(milliseconds as i64, now)
    }

    /// All that are left, without taking them.
    pub fn rest(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + DoubleEndedIterator + Clone + use<'a> {
        self.words.from(self.next).iter()
    }

    /// All that are left, two by two; `None` where they do not pair up.
    pub fn pairs(&self) -> Option<impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone + use<'a>> {
        let words = self.words.from(self.next);
        let count = words.len();
        count
            .is_multiple_of(2)
            .then(|| (0..count / 2).map(move |pair| (word(words, 2 * pair), word(words, 2 * pair + 1))))
    }

    /// An error unless all were taken.
    pub fn end(&self) -> Result<(), Stop> {
        if self.is_empty() { Ok(()) } else { Err(text::SYNTAX.into()) }
    }
}

/// Redis reads them as a `long double`, which has larger and smaller numbers.
fn seconds(word: &[u8]) -> Option<f64> {
    number::parse_f64(word).or_else(|| {
        LongDouble::parse(word)?;
        let seconds = number::parse_f64_saturating(word)?;
        Some(if seconds == 0.0 { f64::MIN_POSITIVE.copysign(seconds) } else { seconds })
    })
}

fn timeout(milliseconds: i64, now: u64) -> Result<Option<Duration>, Stop> {
    let unsigned = u64::try_from(milliseconds).map_err(|_| text::TIMEOUT_NEGATIVE)?;
    if unsigned > (i64::MAX as u64).saturating_sub(now) {
        return Err(text::TIMEOUT_OUT_OF_RANGE.into());
    }
    Ok((unsigned > 0).then(|| Duration::from_millis(unsigned)))
}

/// A request put together from words that stand elsewhere.
#[derive(Debug)]
pub struct Words {
    bytes: Vec<u8>,
    ranges: Vec<(usize, usize)>,
}

impl Words {
    pub fn copied<'a>(words: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut copied = Self { bytes: Vec::new(), ranges: Vec::new() };
        for word in words {
            let start = copied.bytes.len();
            copied.bytes.extend_from_slice(word);
            copied.ranges.push((start, copied.bytes.len()));
        }
        copied
    }

    pub fn arguments(&self) -> Arguments<'_> {
        Arguments::new(&self.bytes, &self.ranges)
    }
}

fn word<'a>(words: Arguments<'a>, index: usize) -> &'a [u8] {
    words.get(index).unwrap_or_default()
}
