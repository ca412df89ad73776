//! Single members, all of them, and walks over them.

use super::{Args, Context, Outcome, Reply, Stop, tell_emptied};
use crate::commands::generic::walk::{ElementScan, cursor};
use crate::node::notify::EventClass;

pub(super) fn sadd(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let first = args.peek().unwrap_or_default();
    let mut set = ctx.keys()?.grow_set(key, first, args.left())?;
    if args.left() == 1 {
        set.alone();
    }
    let added = args.rest().filter(|member| set.add(member)).count();
    if added > 0 {
        set.finish()?;
        ctx.notify(EventClass::SET, "sadd", key);
    }
    Ok(Reply::from(added))
}

pub(super) fn srem(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let mut set = ctx.keys()?.edit_set(key)?;
    if args.left() == 1 {
        set.alone();
    }
    let removed = args.rest().filter(|member| set.remove(member)).count();
    if removed > 0 {
        let edited = set.finish()?;
        ctx.notify(EventClass::SET, "srem", key);
        tell_emptied(ctx, key, edited);
    }
    Ok(Reply::from(removed))
}

pub(super) fn scard(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let set = ctx.keys()?.set(args.word()?)?;
    Ok(Reply::from(set.map_or(0, |set| set.len())))
}

pub(super) fn smembers(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let (access, out) = ctx.keys_and_out()?;
    let Some(set) = access.set(key)? else { return Ok(Reply::Set(Vec::new())) };
    out.set(set.len());
    set.each(access, |member| out.bulk(member))?;
    Err(Stop::Written)
}

pub(super) fn sismember(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, member) = (args.word()?, args.word()?);
    let set = ctx.keys()?.set(key)?;
    Ok(Reply::zero_or_one(set.is_some_and(|set| set.contains(member))))
}

pub(super) fn smismember(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let (access, out) = ctx.keys_and_out()?;
    let set = access.set(key)?;
    out.array(args.left());
    for member in args.rest() {
        out.integer(i64::from(set.as_ref().is_some_and(|set| set.contains(member))));
    }
    Err(Stop::Written)
}

pub(super) fn smove(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (source, destination, member) = (args.word()?, args.word()?, args.word()?);
    let access = ctx.keys()?;
    let Some(from) = access.set(source)? else { return Ok(Reply::Integer(0)) };
    access.set(destination)?;
    if source == destination || !from.contains(member) {
        return Ok(Reply::zero_or_one(from.contains(member)));
    }
    let mut from = access.edit_set(source)?;
    from.remove(member);
    let edited = from.finish()?;
    ctx.notify(EventClass::SET, "srem", source);
    tell_emptied(ctx, source, edited);
    let mut to = ctx.keys()?.grow_set(destination, member, 1)?;
    let added = to.add(member);
    to.finish()?;
    if added {
        ctx.notify(EventClass::SET, "sadd", destination);
    }
    Ok(Reply::Integer(1))
}

pub(super) fn sscan(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, cursor) = (args.word()?, cursor(args.word()?)?);
    let access = ctx.keys()?;
    let nothing = || Reply::Array(vec![Reply::Text("0".into()), Reply::Array(Vec::new())]);
    // Options are read only where there is something to be scanned.
    let Some(set) = access.set(key)? else { return Ok(nothing()) };
    let options = ElementScan::read(&mut args, false)?;
    let mut found = Vec::new();
    let next = set.scan(access, cursor, options.count, |member| {
        if options.takes(member) {
            found.push(Reply::bulk(member));
        }
    })?;
    Ok(Reply::Array(vec![Reply::Text(next.to_string()), Reply::Array(found)]))
}
