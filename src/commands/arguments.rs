//! Reading a command's arguments: each call takes the next one and refuses what it cannot be.

use super::error::{Stop, text};
use crate::protocol::Arguments;
use crate::types::number;

/// The arguments after the command's name (and its subcommand's), taken one by one.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    words: Arguments<'a>,
    next: usize,
}

impl<'a> Args<'a> {
    pub(super) fn new(words: Arguments<'a>) -> Self {
        Self { words, next: 0 }
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

    /// The next one as a database number that this server has.
    pub fn database(&mut self, databases: u32) -> Result<u32, Stop> {
        let number = self.integer()?;
        if i32::try_from(number).is_err() {
            return Err(text::NOT_32_BITS.into());
        }
        u32::try_from(number).ok().filter(|number| *number < databases).ok_or(text::DB_OUT_OF_RANGE.into())
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
