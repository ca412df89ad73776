//! Scores that are set and added to.

use smallvec::SmallVec;

use super::{Args, Context, Outcome};
use crate::commands::text;
use crate::node::notify::EventClass;
use crate::protocol::Reply;
use crate::types::number;

/// What ZADD may be told.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    /// Only members that are new.
    nx: bool,
    /// Only members that are there.
    xx: bool,
    /// Only to larger scores.
    gt: bool,
    /// Only to smaller scores.
    lt: bool,
    /// Members whose score has changed count as well.
    ch: bool,
    incr: bool,
}

pub(super) fn zadd(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    add(ctx, args, Options::default())
}

/// It is ZADD with INCR, whose other options it understands, too.
pub(super) fn zincrby(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    add(ctx, args, Options { incr: true, ..Options::default() })
}

fn add(ctx: &mut Context<'_, '_>, mut args: Args<'_>, mut options: Options) -> Outcome {
    let key = args.word()?;
    loop {
        match () {
            () if args.keyword("NX") => options.nx = true,
            () if args.keyword("XX") => options.xx = true,
            () if args.keyword("CH") => options.ch = true,
            () if args.keyword("INCR") => options.incr = true,
            () if args.keyword("GT") => options.gt = true,
            () if args.keyword("LT") => options.lt = true,
            () => break,
        }
    }
    let Options { nx, xx, gt, lt, ch, incr } = options;
    let pairs = args.pairs().filter(|pairs| pairs.len() > 0).ok_or(text::SYNTAX)?;
    if nx && xx {
        return Err(text::XX_AND_NX.into());
    }
    if [gt, lt, nx].into_iter().filter(|is| *is).count() > 1 {
        return Err(text::GT_LT_AND_NX.into());
    }
    if incr && pairs.len() > 1 {
        return Err(text::INCR_OF_SEVERAL.into());
    }
    let mut scores: SmallVec<[f64; 8]> = SmallVec::with_capacity(pairs.len());
    for (score, _) in pairs.clone() {
        scores.push(number::parse_f64(score).ok_or(text::NOT_A_FLOAT)?);
    }
    let mut zset = ctx.keys()?.edit_zset(key)?;
    zset.expect(pairs.len(), 0);
    if pairs.len() == 1 {
        zset.alone();
    }
    let (mut added, mut updated, mut result) = (0usize, 0usize, None);
    for (mut score, (_, member)) in scores.into_iter().zip(pairs) {
        match zset.score(member) {
            None if xx => continue,
            None => {
                zset.set(member, score);
                added += 1;
            }
            Some(_) if nx => continue,
            Some(before) => {
                if incr {
                    score += before;
                    if score.is_nan() {
                        return Err(text::SCORE_NOT_A_NUMBER.into());
                    }
                }
                if (lt && score >= before) || (gt && score <= before) {
                    continue;
                }
                if score != before {
                    zset.set(member, score);
                    updated += 1;
                }
            }
        }
        result = Some(score);
    }
    zset.finish()?;
    if added + updated > 0 {
        ctx.notify(EventClass::ZSET, if incr { "zincr" } else { "zadd" }, key);
    }
    if incr { Ok(Reply::from(result)) } else { Ok(Reply::from(if ch { added + updated } else { added })) }
}
