//! Single fields.

use super::{Args, Context, Outcome, Reply, Stop, send, tell_emptied, text};
use crate::keyspace::Halt;
use crate::node::notify::EventClass;

pub(super) fn hset(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    set(ctx, args, "hset").map(Reply::from)
}

pub(super) fn hmset(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    set(ctx, args, "hmset").map(|_| Reply::Ok)
}

/// Sets fields; returns how many are new.
fn set(ctx: &mut Context<'_, '_>, mut args: Args<'_>, name: &str) -> Result<usize, Stop> {
    let key = args.word()?;
    let Some(pairs) = args.pairs() else { return Err(text::wrong_arity(name)) };
    let mut hash = ctx.keys()?.edit_hash(key)?;
    hash.expect(pairs.len());
    if pairs.len() == 1 {
        hash.alone();
    }
    let added = pairs.filter(|(field, value)| hash.set(field, value, None)).count();
    hash.finish()?;
    ctx.notify(EventClass::HASH, "hset", key);
    Ok(added)
}

pub(super) fn hsetnx(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, field, value) = (args.word()?, args.word()?, args.word()?);
    let mut hash = ctx.keys()?.edit_hash(key)?;
    if hash.contains(field) {
        return Ok(Reply::Integer(0));
    }
    hash.alone();
    hash.set(field, value, None);
    hash.finish()?;
    ctx.notify(EventClass::HASH, "hset", key);
    Ok(Reply::Integer(1))
}

pub(super) fn hget(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, field) = (args.word()?, args.word()?);
    let (access, out) = ctx.keys_and_out()?;
    let Some(hash) = access.hash(key)? else { return Ok(Reply::Null) };
    let found = hash.get(access, field, |value, shared| send(out, value, shared))?;
    if found.is_some() { Err(Stop::Written) } else { Ok(Reply::Null) }
}

pub(super) fn hmget(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let (access, out) = ctx.keys_and_out()?;
    let hash = access.hash(key)?;
    out.array(args.left());
    let mut cold = Vec::new();
    for field in args.rest() {
        let sent = match &hash {
            Some(hash) => hash.get(access, field, |value, shared| send(out, value, shared)),
            None => Ok(None),
        };
        match sent {
            Ok(Some(())) => {}
            Ok(None) => out.null(),
            // All that is on the disk is asked for together.
            Err(Halt::Cold(more)) => cold.extend(more),
            Err(halt) => return Err(halt.into()),
        }
    }
    if cold.is_empty() { Err(Stop::Written) } else { Err(Stop::Cold(cold)) }
}

pub(super) fn hstrlen(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, field) = (args.word()?, args.word()?);
    let access = ctx.keys()?;
    let Some(hash) = access.hash(key)? else { return Ok(Reply::Integer(0)) };
    let length = hash.get(access, field, |value, _| value.len())?;
    Ok(Reply::from(length.unwrap_or(0)))
}

pub(super) fn hexists(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, field) = (args.word()?, args.word()?);
    let access = ctx.keys()?;
    let hash = access.hash(key)?;
    Ok(Reply::zero_or_one(hash.is_some_and(|hash| hash.contains(access, field))))
}

pub(super) fn hdel(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let mut hash = ctx.keys()?.edit_hash(key)?;
    if args.left() == 1 {
        hash.alone();
    }
    let removed = args.rest().filter(|field| hash.remove(field)).count();
    let edited = hash.finish()?;
    if removed > 0 {
        ctx.notify(EventClass::HASH, "hdel", key);
    }
    tell_emptied(ctx, key, edited);
    Ok(Reply::from(removed))
}
