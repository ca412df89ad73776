//! Members at either end that are taken away, now or when there are some.

use std::time::Duration;

use bytes::Bytes;

use super::{Args, Context, Outcome, send_head, send_member, tell_emptied};
use crate::commands::{Stop, text};
use crate::keyspace::{Access, MemberScores};
use crate::node::notify::EventClass;
use crate::node::{Block, Node};
use crate::protocol::{Reply, ReplyBuffer};
use crate::types::kind::{Kind, Type};
use crate::types::number;

/// Where members are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Min,
    Max,
}

pub(super) fn zpopmin(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    pop_one_key(ctx, args, Side::Min)
}

pub(super) fn zpopmax(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    pop_one_key(ctx, args, Side::Max)
}

fn pop_one_key(ctx: &mut Context<'_, '_>, mut args: Args<'_>, side: Side) -> Outcome {
    let key = args.word()?;
    if args.left() > 1 {
        return Err(text::SYNTAX.into());
    }
    let count = args.optional();
    let many = match count {
        Some(count) => positive(count, 0).ok_or(text::NOT_POSITIVE)?,
        None => 1,
    };
    let Some(members) = pop(ctx, key, side, many)?.filter(|members| !members.is_empty()) else {
        return Ok(Reply::Array(Vec::new()));
    };
    // Who did not say how many gets no array of arrays.
    if count.is_some() {
        send_head(ctx.out, members.len(), true);
        members.iter().for_each(|(member, score)| send_member(ctx.out, member, Some(*score)));
    } else {
        ctx.out.array(2 * members.len());
        members.iter().for_each(|(member, score)| send_pair(ctx.out, member, *score));
    }
    Err(Stop::Written)
}

pub(super) fn bzpopmin(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    pop_or_wait(ctx, args, Side::Min)
}

pub(super) fn bzpopmax(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    pop_or_wait(ctx, args, Side::Max)
}

fn pop_or_wait(ctx: &mut Context<'_, '_>, mut args: Args<'_>, side: Side) -> Outcome {
    let keys: Vec<&[u8]> = args.rest().take(args.left() - 1).collect();
    keys.iter().for_each(|_| _ = args.optional());
    let timeout = args.timeout_seconds(ctx.now())?;
    for key in &keys {
        if let Some(members) = pop(ctx, key, side, 1)? {
            ctx.out.array(1 + 2 * members.len());
            ctx.out.bulk(key);
            members.iter().for_each(|(member, score)| send_pair(ctx.out, member, *score));
            return Err(Stop::Written);
        }
    }
    wait(ctx, &keys, timeout)
}

pub(super) fn zmpop(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (keys, side, count) = read_keys(&mut args)?;
    pop_first(ctx, &keys, side, count)?;
    Ok(Reply::NullArray)
}

pub(super) fn bzmpop(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let mut timeout = args;
    args.word()?;
    let (keys, side, count) = read_keys(&mut args)?;
    let timeout = timeout.timeout_seconds(ctx.now())?;
    pop_first(ctx, &keys, side, count)?;
    wait(ctx, &keys, timeout)
}

/// Takes members from the first of these keys that has some, and writes what was taken; returns if none has.
fn pop_first(ctx: &mut Context<'_, '_>, keys: &[&[u8]], side: Side, count: usize) -> Result<(), Stop> {
    for key in keys {
        if let Some(members) = pop(ctx, key, side, count)? {
            ctx.out.array(2);
            ctx.out.bulk(key);
            ctx.out.array(members.len());
            for (member, score) in &members {
                ctx.out.array(2);
                send_pair(ctx.out, member, *score);
            }
            return Err(Stop::Written);
        }
    }
    Ok(())
}

fn read_keys<'a>(args: &mut Args<'a>) -> Result<(Vec<&'a [u8]>, Side, usize), Stop> {
    let number = positive(args.word()?, 1).ok_or(text::NUMKEYS_NOT_POSITIVE)?;
    if number >= args.left() {
        return Err(text::SYNTAX.into());
    }
    let keys: Vec<&[u8]> = args.rest().take(number).collect();
    keys.iter().for_each(|_| _ = args.optional());
    let side = match () {
        () if args.keyword("MIN") => Side::Min,
        () if args.keyword("MAX") => Side::Max,
        () => return Err(text::SYNTAX.into()),
    };
    let mut count = None;
    while !args.is_empty() {
        if count.is_some() || args.left() < 2 || !args.keyword("COUNT") {
            return Err(text::SYNTAX.into());
        }
        count = Some(positive(args.word()?, 1).ok_or(text::COUNT_NOT_POSITIVE)?);
    }
    Ok((keys, side, count.unwrap_or(1)))
}

/// A number that is at least so large.
fn positive(word: &[u8], least: i64) -> Option<usize> {
    let number = number::parse_i64(word).filter(|number| *number >= least)?;
    Some(usize::try_from(number).unwrap_or(usize::MAX))
}

/// Takes up to `count` members away; `None` where there is no such key.
fn pop(ctx: &mut Context<'_, '_>, key: &[u8], side: Side, count: usize) -> Result<Option<MemberScores>, Stop> {
    let mut zset = ctx.keys()?.edit_zset(key)?;
    let length = zset.len();
    if length == 0 {
        return Ok(None);
    }
    let count = count.min(length);
    let members = match side {
        Side::Min => zset.range(0..count, false),
        Side::Max => zset.range(length - count..length, true),
    };
    if count == length {
        zset.clear();
    } else {
        if count == 1 {
            zset.alone();
        }
        members.iter().for_each(|(member, _)| _ = zset.remove(member));
    }
    let edited = zset.finish()?;
    if count > 0 {
        ctx.notify(EventClass::ZSET, if side == Side::Min { "zpopmin" } else { "zpopmax" }, key);
        tell_emptied(ctx, key, edited);
    }
    Ok(Some(members))
}

fn send_pair(out: &mut ReplyBuffer, member: &[u8], score: f64) {
    out.bulk(member);
    out.double(score);
}

fn wait(ctx: &Context<'_, '_>, keys: &[&[u8]], timeout: Option<Duration>) -> Outcome {
    let keys = keys.iter().map(|key| Bytes::copy_from_slice(key)).collect();
    let timed_out = |_: &Node, _| Reply::NullArray;
    ctx.block(Block { keys, is_ready, also_gone: false, position: 0, ends_durable: false, timeout, timed_out })
}

fn is_ready(access: &mut Access<'_>, key: &[u8]) -> bool {
    access.meta(key).is_some_and(|meta| Kind(meta.kind).of() == Type::ZSet)
}
