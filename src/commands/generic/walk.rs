//! Walking over the keys of a database.

use super::{Args, Context, Outcome, Reply, text};
use crate::commands::Stop;
use crate::types::glob;
use crate::types::kind::Kind;
use crate::types::number;

/// How many keys SCAN looks at unless told.
const SCAN_COUNT: usize = 10;

pub(super) fn keys(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let pattern = args.word()?;
    let mut keys = Vec::new();
    ctx.keys()?.each_key(|key, _| {
        if glob::matches(pattern, key, false) {
            keys.push(Reply::bulk(key));
        }
    });
    Ok(Reply::Array(keys))
}

pub(super) fn randomkey(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(Reply::from(ctx.keys()?.random_key()))
}

pub(super) fn scan(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let cursor = number::parse_u64(args.word()?).ok_or(text::INVALID_CURSOR)?;
    let (mut pattern, mut count, mut kind) = (None, SCAN_COUNT, None);
    while !args.is_empty() {
        let option = args.word()?;
        let value = args.optional().ok_or(text::SYNTAX)?;
        match () {
            () if option.eq_ignore_ascii_case(b"COUNT") => {
                let number = number::parse_i64(value).ok_or(text::NOT_AN_INTEGER)?;
                count = usize::try_from(number).ok().filter(|count| *count > 0).ok_or(text::SYNTAX)?;
            }
            () if option.eq_ignore_ascii_case(b"MATCH") => pattern = Some(value),
            () if option.eq_ignore_ascii_case(b"TYPE") => kind = Some(value),
            () => return Err(Stop::from(text::SYNTAX)),
        }
    }
    let mut keys = Vec::new();
    let next = ctx.keys()?.scan(cursor, count, |key, meta| {
        let of_kind = |kind: &[u8]| kind.eq_ignore_ascii_case(Kind(meta.kind).of().name().as_bytes());
        if kind.is_none_or(of_kind) && pattern.is_none_or(|pattern| glob::matches(pattern, key, false)) {
            keys.push(Reply::bulk(key));
        }
    });
    Ok(Reply::Array(vec![Reply::Text(next.to_string()), Reply::Array(keys)]))
}
