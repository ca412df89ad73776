//! Members in order: all ways to ask for a range of them, and to store one.

use super::bounds::{By, Limit, Span};
use super::{Args, Context, Outcome, send_head, send_member, store};
use crate::commands::{Stop, text};
use crate::keyspace::Name;
use crate::protocol::Reply;

/// What a range command says beside its key: by what, from where, and whether its words may change that.
#[derive(Clone, Copy, Debug)]
struct Form {
    /// What the bounds are; `None` where an option says so.
    by: Option<By>,
    /// Whether it goes from the last to the first; `None` where an option says so.
    reverse: Option<bool>,
    stores: bool,
}

/// What a range command asks for.
struct Request<'a> {
    span: Span<'a>,
    reverse: bool,
    limit: Limit,
    with_scores: bool,
}

const ZRANGE: Form = Form { by: None, reverse: None, stores: false };

pub(super) fn zrange(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    range(ctx, args, ZRANGE)
}

pub(super) fn zrevrange(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    range(ctx, args, Form { by: Some(By::Rank), reverse: Some(true), ..ZRANGE })
}

pub(super) fn zrangebyscore(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    range(ctx, args, Form { by: Some(By::Score), reverse: Some(false), ..ZRANGE })
}

pub(super) fn zrevrangebyscore(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    range(ctx, args, Form { by: Some(By::Score), reverse: Some(true), ..ZRANGE })
}

pub(super) fn zrangebylex(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    range(ctx, args, Form { by: Some(By::Name), reverse: Some(false), ..ZRANGE })
}

pub(super) fn zrevrangebylex(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    range(ctx, args, Form { by: Some(By::Name), reverse: Some(true), ..ZRANGE })
}

fn range(ctx: &mut Context<'_, '_>, mut args: Args<'_>, form: Form) -> Outcome {
    let key = args.word()?;
    let Request { span, reverse, limit, with_scores } = read(args, form)?;
    let (access, out) = ctx.keys_and_out()?;
    let Some(zset) = access.zset(key)? else { return Ok(Reply::Array(Vec::new())) };
    let ranks = limit.of(span.ranks(&(&zset, zset.len(access)), reverse), reverse);
    send_head(out, ranks.len(), with_scores);
    zset.range(ranks, reverse, |member, score| send_member(out, member, with_scores.then_some(score)));
    Err(Stop::Written)
}

pub(super) fn zrangestore(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (destination, source) = (args.word()?, args.word()?);
    let Request { span, reverse, limit, .. } = read(args, Form { stores: true, ..ZRANGE })?;
    let access = ctx.keys()?;
    access.counts = true;
    let mut members = Vec::new();
    if let Some(zset) = access.zset(source)? {
        let ranks = limit.of(span.ranks(&(&zset, zset.len(access)), reverse), reverse);
        members.reserve(ranks.len());
        zset.range(ranks, false, |member, score| members.push((Name::from_slice(member), score)));
    }
    store(ctx, destination, &members, "zrangestore")
}

/// Reads the bounds and the options, which may say what the bounds are.
fn read(mut args: Args<'_>, form: Form) -> Result<Request<'_>, Stop> {
    let (first, second) = (args.word()?, args.word()?);
    let Form { mut by, mut reverse, stores } = form;
    let (mut limit, mut with_scores) = (Limit::NONE, false);
    while !args.is_empty() {
        match () {
            () if !stores && args.keyword("WITHSCORES") => with_scores = true,
            () if args.left() > 2 && args.keyword("LIMIT") => {
                limit = Limit { offset: args.integer()?, count: args.integer()? };
            }
            () if reverse.is_none() && args.keyword("REV") => reverse = Some(true),
            () if by.is_none() && args.keyword("BYLEX") => by = Some(By::Name),
            () if by.is_none() && args.keyword("BYSCORE") => by = Some(By::Score),
            () => return Err(text::SYNTAX.into()),
        }
    }
    let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
    if by == By::Rank && limit.count != Limit::NONE.count {
        return Err(text::LIMIT_OF_RANKS.into());
    }
    if by == By::Name && with_scores {
        return Err(text::SCORES_BY_NAME.into());
    }
    let (min, max) = if reverse && by != By::Rank { (second, first) } else { (first, second) };
    let span = Span::read(by, min, max)?;
    let limit = if by == By::Rank { Limit::NONE } else { limit };
    Ok(Request { span, reverse, limit, with_scores })
}
