//! Members that are looked at one by one, counted, chosen at random or walked over.

use super::bounds::{By, Span};
use super::{Args, Context, Outcome, send_head, send_member};
use crate::commands::generic::parse_cursor;
use crate::commands::{Stop, drawing, text};
use crate::protocol::{DoubleBuffer, Reply, format_double};
use crate::types::{glob, number};

/// How many members ZSCAN looks at unless told.
const SCAN_COUNT: usize = 10;

pub(super) fn zcard(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let access = ctx.keys()?;
    let zset = access.zset(key)?;
    Ok(Reply::from(zset.map_or(0, |zset| zset.len(access))))
}

pub(super) fn zscore(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, member) = (args.word()?, args.word()?);
    let zset = ctx.keys()?.zset(key)?;
    Ok(Reply::from(zset.and_then(|zset| zset.score(member))))
}

pub(super) fn zmscore(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let (access, out) = ctx.keys_and_out()?;
    let zset = access.zset(key)?;
    out.array(args.left());
    for member in args.rest() {
        match zset.as_ref().and_then(|zset| zset.score(member)) {
            Some(score) => out.double(score),
            None => out.null(),
        }
    }
    Err(Stop::Written)
}

pub(super) fn zrank(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    rank(ctx, args, "zrank", |rank, _| rank)
}

pub(super) fn zrevrank(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    rank(ctx, args, "zrevrank", |rank, length| length - 1 - rank)
}

fn rank(ctx: &mut Context<'_, '_>, mut args: Args<'_>, name: &str, counted: impl Fn(usize, usize) -> usize) -> Outcome {
    let (key, member) = (args.word()?, args.word()?);
    if args.left() > 1 {
        return Err(text::wrong_arity(name));
    }
    let with_score = args.keyword("WITHSCORE");
    args.end()?;
    let access = ctx.keys()?;
    let found = access.zset(key)?.and_then(|zset| {
        let (rank, score) = zset.rank(member)?;
        Some((counted(rank, zset.len(access)), score))
    });
    Ok(match found {
        Some((rank, score)) if with_score => Reply::Array(vec![Reply::from(rank), Reply::from(score)]),
        Some((rank, _)) => Reply::from(rank),
        None if with_score => Reply::NullArray,
        None => Reply::Null,
    })
}

pub(super) fn zcount(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    count(ctx, args, By::Score)
}

pub(super) fn zlexcount(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    count(ctx, args, By::Name)
}

fn count(ctx: &mut Context<'_, '_>, mut args: Args<'_>, by: By) -> Outcome {
    let (key, min, max) = (args.word()?, args.word()?, args.word()?);
    let span = Span::read(by, min, max)?;
    let access = ctx.keys()?;
    let zset = access.zset(key)?;
    Ok(Reply::from(zset.map_or(0, |zset| span.ranks(&(&zset, zset.len(access)), false).len())))
}

pub(super) fn zrandmember(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    if args.is_empty() {
        let access = ctx.keys()?;
        let member = access.zset(key)?.and_then(|zset| zset.any(access));
        return Ok(member.map_or(Reply::Null, |member| Reply::bulk(&member)));
    }
    let count = args.integer()?;
    if count == i64::MIN {
        return Err(text::NOT_A_COUNT.into());
    }
    let with_scores = args.keyword("WITHSCORES");
    args.end()?;
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(text::OUT_OF_RANGE.into());
    }
    let (access, out) = ctx.keys_and_out()?;
    let Some(zset) = access.zset(key)?.filter(|_| count != 0) else { return Ok(Reply::Array(Vec::new())) };
    let send = |out: &mut _, member: &[u8]| {
        send_member(out, member, with_scores.then(|| zset.score(member)).flatten());
    };
    let length = zset.len(access);
    match usize::try_from(count) {
        Ok(count) if count >= length => {
            send_head(out, length, with_scores);
            // Redis walks over them from the last one.
            zset.range(0..length, true, |member, score| send_member(out, member, with_scores.then_some(score)));
        }
        Ok(count) => {
            let members = zset.sample(access, count)?;
            send_head(out, members.len(), with_scores);
            members.iter().for_each(|member| send(out, member));
        }
        Err(_) => {
            let times = count.unsigned_abs();
            send_head(out, usize::try_from(times).unwrap_or(usize::MAX), with_scores);
            drawing::draw(out, times, |out, times| {
                (0..times).filter_map(|_| zset.any(access)).for_each(|member| send(out, &member));
            })?;
        }
    }
    Err(Stop::Written)
}

pub(super) fn zscan(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let cursor = parse_cursor(args.word()?).ok_or(text::INVALID_CURSOR)?;
    let access = ctx.keys()?;
    // Where there is nothing to walk over nobody looks at the options.
    let Some(zset) = access.zset(key)? else {
        return Ok(Reply::Array(vec![Reply::Text("0".into()), Reply::Array(Vec::new())]));
    };
    let (mut pattern, mut count) = (None, SCAN_COUNT);
    while !args.is_empty() {
        let option = args.word()?;
        let value = args.optional().ok_or(text::SYNTAX)?;
        match () {
            () if option.eq_ignore_ascii_case(b"COUNT") => {
                let number = number::parse_i64(value).ok_or(text::NOT_AN_INTEGER)?;
                count = usize::try_from(number).ok().filter(|count| *count > 0).ok_or(text::SYNTAX)?;
            }
            () if option.eq_ignore_ascii_case(b"MATCH") => pattern = Some(value),
            () => return Err(text::SYNTAX.into()),
        }
    }
    let is_listpack = zset.is_listpack();
    let mut found = Vec::new();
    let next = zset.scan(access, cursor, count, |member, score| {
        if pattern.is_none_or(|pattern| glob::matches_key(pattern, member)) {
            found.push(Reply::bulk(member));
            found.push(scanned(score, is_listpack));
        }
    })?;
    Ok(Reply::Array(vec![Reply::Text(next.to_string()), Reply::Array(found)]))
}

/// A score as ZSCAN tells it: as text in both versions, and with all 17 digits unless the sorted set is one block.
fn scanned(score: f64, is_listpack: bool) -> Reply {
    if is_listpack { Reply::bulk(format_double(score, &mut DoubleBuffer::new())) } else { Reply::Text(digits(score)) }
}

/// What `%.17g` makes of a number.
fn digits(value: f64) -> String {
    const PRECISION: i32 = 17;
    if !value.is_finite() {
        return value.to_string();
    }
    let text = format!("{:.*e}", PRECISION as usize - 1, value.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.replace('.', "");
    let digits = digits.trim_end_matches('0');
    let (sign, digits) =
        (if value.is_sign_negative() { "-" } else { "" }, if digits.is_empty() { "0" } else { digits });
    let with_point = |whole: &str, fraction: &str| {
        if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    };
    match exponent {
        -4..0 => with_point("0", &format!("{}{digits}", "0".repeat(-exponent as usize - 1))),
        0..PRECISION => {
            let whole = exponent as usize + 1;
            let padded = format!("{digits:0<whole$}");
            let (whole, fraction) = padded.split_at(whole);
            with_point(whole, fraction)
        }
        _ => {
            let (first, others) = digits.split_at(1);
            let exponent_sign = if exponent < 0 { '-' } else { '+' };
            format!("{}e{exponent_sign}{:02}", with_point(first, others), exponent.abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::digits;

    #[test]
    fn seventeen_digits_are_as_in_c() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-1.5, "-1.5"),
            (0.1, "0.10000000000000001"),
            (100.0, "100"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (-4611686018427387904.0, "-4.6116860184273879e+18"),
            (4503599627370497.0, "4503599627370497"),
            (4503599627370495.5, "4503599627370495.5"),
            (0.0001, "0.0001"),
            (0.00012, "0.00012"),
            (3e-5, "3.0000000000000001e-05"),
            (1.5e300, "1.5000000000000001e+300"),
            (5e-324, "4.9406564584124654e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(digits(value), expected, "{value:e}");
        }
    }
}
