//! What commands on sorted sets mean by a range: of ranks, of scores, or of the names of members with one score.

use std::ops::Range;

use crate::commands::{Stop, text};
use crate::types::number;

/// What the bounds of a range are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Rank,
    Score,
    Name,
}

/// A range, its lower bound first.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Span<'a> {
    /// Counted from the end where they are negative; both belong to it.
    Ranks(i64, i64),
    Scores(ScoreBound, ScoreBound),
    Names(NameBound<'a>, NameBound<'a>),
}

/// A score, and whether it is outside itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ScoreBound {
    score: f64,
    is_outside: bool,
}

/// A name, and whether it is outside itself; or what is before or behind all names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum NameBound<'a> {
    BeforeAll,
    BehindAll,
    At(&'a [u8]),
    Outside(&'a [u8]),
}

/// The members that a range is looked for among.
pub(super) trait Members {
    /// How many there are.
    fn count(&self) -> usize;
    /// How many stand before the first whose score this is false for.
    fn count_scores(&self, before: impl Fn(f64) -> bool) -> usize;
    /// How many stand before the first whose name this is false for.
    fn count_names(&self, before: impl Fn(&[u8]) -> bool) -> usize;
}

impl<'a> Span<'a> {
    /// Reads the bounds of a range.
    pub(super) fn read(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Self, Stop> {
        let rank = |word| number::parse_i64(word).ok_or(text::NOT_AN_INTEGER);
        Ok(match by {
            By::Rank => Self::Ranks(rank(min)?, rank(max)?),
            By::Score => match (ScoreBound::read(min), ScoreBound::read(max)) {
                (Some(min), Some(max)) => Self::Scores(min, max),
                _ => return Err(text::SCORES_NOT_FLOATS.into()),
            },
            By::Name => match (NameBound::read(min), NameBound::read(max)) {
                (Some(min), Some(max)) => Self::Names(min, max),
                _ => return Err(text::NAMES_NOT_BOUNDS.into()),
            },
        })
    }

    /// The ranks of its members; ranks count from the last one where they are `reverse`.
    pub(super) fn ranks(&self, members: &impl Members, reverse: bool) -> Range<usize> {
        let found = match self {
            Self::Ranks(start, stop) => return ranks(*start, *stop, members.count(), reverse),
            Self::Scores(min, max) => {
                members.count_scores(|score| !min.is_below(score))..members.count_scores(|score| max.is_above(score))
            }
            Self::Names(min, max) => {
                members.count_names(|name| !min.is_below(name))..members.count_names(|name| max.is_above(name))
            }
        };
        found.start..found.end.max(found.start)
    }
}

fn ranks(start: i64, stop: i64, count: usize, reverse: bool) -> Range<usize> {
    let length = count as i64;
    let from_start = |rank: i64| if rank < 0 { rank.saturating_add(length) } else { rank };
    let (start, stop) = (from_start(start).max(0), from_start(stop).min(length - 1));
    if start > stop {
        return 0..0;
    }
    let (start, end) = (start as usize, stop as usize + 1);
    if reverse { count - end..count - start } else { start..end }
}

impl ScoreBound {
    /// Reads `1.5` or `(1.5`; numbers as C's `strtod` reads them: white space in front, nothing at all is zero, what is
    /// too large is infinite, a zero byte ends them.
    fn read(word: &[u8]) -> Option<Self> {
        let (is_outside, number) = match word {
            [b'(', number @ ..] => (true, number),
            number => (false, number),
        };
        let number = text::shown(number, usize::MAX);
        if number.is_empty() {
            return Some(Self { score: 0.0, is_outside });
        }
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
        let blank = number.iter().take_while(|byte| is_space(byte)).count();
        let score = number::parse_f64_saturating(&number[blank..])?;
        Some(Self { score, is_outside })
    }

    /// Whether a score is inside this bound, being the lower one.
    fn is_below(self, score: f64) -> bool {
        if self.is_outside { score > self.score } else { score >= self.score }
    }

    /// Whether a score is inside this bound, being the upper one.
    fn is_above(self, score: f64) -> bool {
        if self.is_outside { score < self.score } else { score <= self.score }
    }
}

impl<'a> NameBound<'a> {
    fn read(word: &'a [u8]) -> Option<Self> {
        match word {
            [b'-'] | [b'-', 0, ..] => Some(Self::BeforeAll),
            [b'+'] | [b'+', 0, ..] => Some(Self::BehindAll),
            [b'[', name @ ..] => Some(Self::At(name)),
            [b'(', name @ ..] => Some(Self::Outside(name)),
            _ => None,
        }
    }

    fn is_below(self, name: &[u8]) -> bool {
        match self {
            Self::BeforeAll => true,
            Self::BehindAll => false,
            Self::At(bound) => name >= bound,
            Self::Outside(bound) => name > bound,
        }
    }

    fn is_above(self, name: &[u8]) -> bool {
        match self {
            Self::BeforeAll => false,
            Self::BehindAll => true,
            Self::At(bound) => name <= bound,
            Self::Outside(bound) => name < bound,
        }
    }
}

/// What LIMIT leaves of a range that is walked from its end where it is `reverse`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) offset: i64,
    /// All where it is negative.
    pub(super) count: i64,
}

impl Limit {
    /// All of a range.
    pub(super) const NONE: Self = Self { offset: 0, count: -1 };

    pub(super) fn of(self, ranks: Range<usize>, reverse: bool) -> Range<usize> {
        // A negative offset skips everything.
        let skipped = usize::try_from(self.offset).unwrap_or(usize::MAX).min(ranks.len());
        let left = ranks.len() - skipped;
        let taken = usize::try_from(self.count).map_or(left, |count| count.min(left));
        if reverse {
            let end = ranks.end - skipped;
            end - taken..end
        } else {
            let start = ranks.start + skipped;
            start..start + taken
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_read_as_c_does() {
        let bound = |score, is_outside| Some(ScoreBound { score, is_outside });
        let table: &[(&[u8], Option<ScoreBound>)] = &[
            (b"1.5", bound(1.5, false)),
            (b"(1.5", bound(1.5, true)),
            (b"-inf", bound(f64::NEG_INFINITY, false)),
            (b"(+Infinity", bound(f64::INFINITY, true)),
            (b"1e400", bound(f64::INFINITY, false)),
            (b"(-1e400", bound(f64::NEG_INFINITY, true)),
            (b"1e-400", bound(0.0, false)),
            (b"", bound(0.0, false)),
            (b"(", bound(0.0, true)),
            (b" \t1", bound(1.0, false)),
            (b"( 1", bound(1.0, true)),
            (b"0x10", bound(16.0, false)),
            (b"1\0x", bound(1.0, false)),
            (b"\0x", bound(0.0, false)),
            (b" ", None),
            (b"1 ", None),
            (b"((1", None),
            (b"nan", None),
            (b"x", None),
        ];
        for (word, expected) in table {
            assert_eq!(ScoreBound::read(word), *expected, "{}", word.escape_ascii());
        }
    }

    #[test]
    fn ranks_count_from_either_end() {
        for (start, stop, reverse, expected) in [
            (0, -1, false, 0..5),
            (0, -1, true, 0..5),
            (1, 2, false, 1..3),
            (1, 2, true, 2..4),
            (-2, -1, true, 0..2),
            (-100, 100, false, 0..5),
            (3, 1, false, 0..0),
            (5, 9, false, 0..0),
            (0, -6, false, 0..0),
            (i64::MIN, i64::MAX, false, 0..5),
            (i64::MAX, i64::MIN, true, 0..0),
        ] {
            assert_eq!(ranks(start, stop, 5, reverse), expected, "{start} {stop} {reverse}");
        }
        assert_eq!(ranks(0, -1, 0, false), 0..0);
    }

    #[test]
    fn a_limit_is_of_what_is_walked_over() {
        for (offset, count, reverse, expected) in [
            (0, -1, false, 10..20),
            (3, 2, false, 13..15),
            (3, 2, true, 15..17),
            (3, -5, true, 10..17),
            (8, 5, false, 18..20),
            (10, 5, false, 20..20),
            (-1, 5, false, 20..20),
            (0, 0, true, 20..20),
            (i64::MAX, i64::MAX, true, 10..10),
        ] {
            assert_eq!(Limit { offset, count }.of(10..20, reverse), expected, "{offset} {count} {reverse}");
        }
    }
}
