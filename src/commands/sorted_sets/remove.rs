//! Members that are removed, one by one or in ranges.

use super::bounds::{By, Span};
use super::{Args, Context, Outcome, tell_emptied};
use crate::node::notify::EventClass;
use crate::protocol::Reply;

pub(super) fn zrem(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let mut zset = ctx.keys()?.edit_zset(key)?;
    if args.left() == 1 {
        zset.alone();
    }
    let removed = args.rest().filter(|member| zset.remove(member)).count();
    let edited = zset.finish()?;
    if removed > 0 {
        ctx.notify(EventClass::ZSET, "zrem", key);
        tell_emptied(ctx, key, edited);
    }
    Ok(Reply::from(removed))
}

pub(super) fn zremrangebyrank(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    remove_range(ctx, args, By::Rank, "zremrangebyrank")
}

pub(super) fn zremrangebyscore(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    remove_range(ctx, args, By::Score, "zremrangebyscore")
}

pub(super) fn zremrangebylex(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    remove_range(ctx, args, By::Name, "zremrangebylex")
}

fn remove_range(ctx: &mut Context<'_, '_>, mut args: Args<'_>, by: By, event: &'static str) -> Outcome {
    let (key, min, max) = (args.word()?, args.word()?, args.word()?);
    let span = Span::read(by, min, max)?;
    let mut zset = ctx.keys()?.edit_zset(key)?;
    let ranks = span.ranks(&zset, false);
    let removed = ranks.len();
    if removed > 0 && removed == zset.len() {
        zset.clear();
    } else {
        zset.range(ranks, false).iter().for_each(|(member, _)| _ = zset.remove(member));
    }
    let edited = zset.finish()?;
    if removed > 0 {
        ctx.notify(EventClass::ZSET, event, key);
        tell_emptied(ctx, key, edited);
    }
    Ok(Reply::from(removed))
}
