//! Members at random.

use std::collections::HashSet;

use super::{Args, Context, Outcome, Reply, Stop, tell_emptied, text};
use crate::commands::drawing;
use crate::keyspace::Name;
use crate::node::notify::EventClass;
use crate::types::number;

/// Where so many times fewer members stay than go, those that stay are chosen.
const FEW: usize = 5;

pub(super) fn srandmember(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    if args.is_empty() {
        let access = ctx.keys()?;
        let member = access.set(key)?.and_then(|set| set.any(access));
        return Ok(member.map_or(Reply::Null, |member| Reply::bulk(&member)));
    }
    if args.left() > 1 {
        return Err(text::SYNTAX.into());
    }
    let count = number::parse_i64(args.word()?).ok_or(text::NOT_AN_INTEGER)?;
    if count == i64::MIN {
        return Err(text::NOT_A_COUNT.into());
    }
    let (access, out) = ctx.keys_and_out()?;
    let Some(set) = access.set(key)? else { return Ok(Reply::Array(Vec::new())) };
    let times = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        out.array(times);
        drawing::draw(out, times as u64, |out, times| set.draw(access, times, |member| out.bulk(member)))?;
    } else if times >= set.len() {
        out.array(set.len());
        set.each(access, |member| out.bulk(member))?;
    } else {
        let members = set.sample(access, times)?;
        out.array(members.len());
        members.iter().for_each(|member| out.bulk(member));
    }
    Err(Stop::Written)
}

pub(super) fn spop(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    if !args.is_empty() {
        return spop_several(ctx, key, args);
    }
    let mut set = ctx.keys()?.edit_set(key)?;
    let Some(member) = set.any() else { return Ok(Reply::Null) };
    set.alone();
    set.remove(&member);
    let edited = set.finish()?;
    ctx.notify(EventClass::SET, "spop", key);
    tell_emptied(ctx, key, edited);
    ctx.out.bulk(&member);
    Err(Stop::Written)
}

fn spop_several(ctx: &mut Context<'_, '_>, key: &[u8], mut args: Args<'_>) -> Outcome {
    let count = args.word()?;
    args.end()?;
    let count = number::parse_i64(count).and_then(|count| usize::try_from(count).ok()).ok_or(text::NOT_POSITIVE)?;
    let (access, out) = ctx.keys_and_out()?;
    let length = access.set(key)?.map_or(0, |set| set.len());
    if count == 0 || length == 0 {
        return Ok(Reply::Set(Vec::new()));
    }
    if count >= length {
        if let Some(set) = access.set(key)? {
            out.set(length);
            set.each(access, |member| out.bulk(member))?;
        }
        access.delete(key)?;
        ctx.notify(EventClass::SET, "spop", key);
        ctx.notify(EventClass::GENERIC, "del", key);
        return Err(Stop::Written);
    }
    let left = length - count;
    let mut set = access.edit_set(key)?;
    out.set(count);
    if left * FEW > count {
        for member in set.sample(count)? {
            set.remove(&member);
            out.bulk(&member);
        }
    } else {
        let kept: HashSet<Name> = set.sample(left)?.into_iter().collect();
        set.each(|member| {
            if !kept.contains(member) {
                out.bulk(member);
            }
        })?;
        set.keep_only(kept.iter().map(|member| &member[..]));
    }
    set.finish()?;
    ctx.notify(EventClass::SET, "spop", key);
    Err(Stop::Written)
}
