//! Moving an element from one list to another.

use super::{Args, Context, End, EventClass, Outcome, Reply, Stop, end};
use crate::types::number;

pub(super) fn lmove(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    Move::read(&mut args)?.run(ctx)?;
    Ok(Reply::Null)
}

pub(super) fn rpoplpush(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    Move::read_last_to_first(&mut args)?.run(ctx)?;
    Ok(Reply::Null)
}

/// From where to where an element goes.
pub(super) struct Move<'a> {
    pub(super) source: &'a [u8],
    destination: &'a [u8],
    from: End,
    to: End,
}

impl<'a> Move<'a> {
    /// Two keys and two ends.
    pub(super) fn read(args: &mut Args<'a>) -> Result<Self, Stop> {
        Ok(Self { source: args.word()?, destination: args.word()?, from: end(args)?, to: end(args)? })
    }

    /// Two keys.
    pub(super) fn read_last_to_first(args: &mut Args<'a>) -> Result<Self, Stop> {
        Ok(Self { source: args.word()?, destination: args.word()?, from: End::Right, to: End::Left })
    }

    /// Moves an element, if there is one; [`Stop::Written`] then.
    pub(super) fn run(&self, ctx: &mut Context<'_, '_>) -> Result<(), Stop> {
        let Self { source, destination, from, to } = *self;
        let (access, out) = ctx.keys_and_out()?;
        // Nothing may have been taken when it turns out that there is no list to put it into.
        let there = if source == destination { Ok(()) } else { access.list(destination).map(drop) };
        let mut list = access.edit_list(source)?;
        if list.is_empty() {
            return Ok(());
        }
        there?;
        let Some(value) = list.pop(from)? else { return Ok(()) };
        // Redis does not count the bytes of what it has taken out as an integer.
        let counted = if number::parse_i64(&value).is_some() { 0 } else { value.len() };
        let edited = if source == destination {
            list.reserve(counted);
            list.push(to, &value);
            list.finish()?
        } else {
            let edited = list.finish()?;
            let mut other = access.edit_list(destination)?;
            other.reserve(counted);
            other.push(to, &value);
            other.finish()?;
            edited
        };
        out.bulk_shared(value);
        let event = |end, left, right| if end == End::Left { left } else { right };
        ctx.notify(EventClass::LIST, event(to, "lpush", "rpush"), destination);
        ctx.notify(EventClass::LIST, event(from, "lpop", "rpop"), source);
        ctx.tell_emptied(source, edited);
        Err(Stop::Written)
    }
}
