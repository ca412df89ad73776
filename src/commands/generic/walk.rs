//! Walking over the keys of a database.

use super::{Args, Context, Outcome, Reply, text};
use crate::commands::Stop;
use crate::types::glob;
use crate::types::kind::Kind;
use crate::types::number;

/// How many keys or elements a scan looks at unless told.
const SCAN_COUNT: usize = 10;

/// What a scan of the elements of a collection may be told.
pub(in crate::commands) struct ElementScan<'a> {
    pattern: Option<&'a [u8]>,
    pub(in crate::commands) count: usize,
    pub(in crate::commands) no_values: bool,
}

impl<'a> ElementScan<'a> {
    /// Reads the options behind the cursor; of hashes there is one more.
    pub(in crate::commands) fn read(args: &mut Args<'a>, of_hash: bool) -> Result<Self, Stop> {
        let mut read = Self { pattern: None, count: SCAN_COUNT, no_values: false };
        while !args.is_empty() {
            match () {
                () if of_hash && args.keyword("NOVALUES") => read.no_values = true,
                () if args.left() > 1 && args.keyword("COUNT") => read.count = count(args.word()?)?,
                () if args.left() > 1 && args.keyword("MATCH") => read.pattern = Some(args.word()?),
                () => return Err(text::SYNTAX.into()),
            }
        }
        Ok(read)
    }

    /// Whether an element of this name is among those that are asked for.
    pub(in crate::commands) fn takes(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches_key(pattern, name))
    }
}

/// The cursor of a scan.
pub(in crate::commands) fn cursor(word: &[u8]) -> Result<u64, Stop> {
    parse_cursor(word).ok_or(text::INVALID_CURSOR.into())
}

fn count(word: &[u8]) -> Result<usize, Stop> {
    let number = number::parse_i64(word).ok_or(text::NOT_AN_INTEGER)?;
    usize::try_from(number).ok().filter(|count| *count > 0).ok_or(text::SYNTAX.into())
}

pub(super) fn keys(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let pattern = args.word()?;
    let mut keys = Vec::new();
    ctx.keys()?.each_key(|key, _| {
        if glob::matches_key(pattern, key) {
            keys.push(Reply::bulk(key));
        }
    });
    Ok(Reply::Array(keys))
}

pub(super) fn randomkey(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(Reply::from(ctx.keys()?.random_key()))
}

pub(super) fn scan(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let cursor = cursor(args.word()?)?;
    let (mut pattern, mut most, mut kind) = (None, SCAN_COUNT, None);
    while !args.is_empty() {
        let option = args.word()?;
        let value = args.optional().ok_or(text::SYNTAX)?;
        match () {
            () if option.eq_ignore_ascii_case(b"COUNT") => most = count(value)?,
            () if option.eq_ignore_ascii_case(b"MATCH") => pattern = Some(value),
            () if option.eq_ignore_ascii_case(b"TYPE") => kind = Some(value),
            () => return Err(Stop::from(text::SYNTAX)),
        }
    }
    let mut keys = Vec::new();
    let next = ctx.keys()?.scan(cursor, most, |key, meta| {
        let of_kind = |kind: &[u8]| kind.eq_ignore_ascii_case(Kind(meta.kind).of().name().as_bytes());
        if kind.is_none_or(of_kind) && pattern.is_none_or(|pattern| glob::matches_key(pattern, key)) {
            keys.push(Reply::bulk(key));
        }
    });
    Ok(Reply::Array(vec![Reply::Text(next.to_string()), Reply::Array(keys)]))
}

/// Redis reads a cursor as C's `strtoul` does: a sign is taken, nothing at all is zero, a zero byte ends it.
pub(in crate::commands) fn parse_cursor(word: &[u8]) -> Option<u64> {
    let word = text::shown(word, usize::MAX);
    match word {
        [] => Some(0),
        [b'+', digits @ ..] => number::parse_u64(digits),
        [b'-', digits @ ..] => number::parse_u64(digits).map(u64::wrapping_neg),
        digits => number::parse_u64(digits),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_cursor;

    #[test]
    fn cursors_are_read_as_redis_does() {
        let table: &[(&[u8], Option<u64>)] = &[
            (b"0", Some(0)),
            (b"", Some(0)),
            (b"+017", Some(17)),
            (b"-1", Some(u64::MAX)),
            (b"5\0x", Some(5)),
            (b"18446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
            (b" 0", None),
            (b"0 ", None),
            (b"+", None),
            (b"--1", None),
            (b"1.5", None),
        ];
        for (word, expected) in table {
            assert_eq!(parse_cursor(word), *expected, "{}", word.escape_ascii());
        }
    }
}
