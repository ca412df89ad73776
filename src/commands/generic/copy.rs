//! One value from one key to another.

use super::{Args, Context, Outcome, Reply, text};
use crate::node::notify::EventClass;

pub(super) fn copy(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (source, destination) = (args.word()?, args.word()?);
    let databases = ctx.databases();
    let from = ctx.keys()?.database();
    let (mut to, mut replace) = (from, false);
    while !args.is_empty() {
        if args.keyword("REPLACE") {
            replace = true;
        } else if args.keyword("DB") && !args.is_empty() {
            to = args.database(databases)?;
        } else {
            return Err(text::SYNTAX.into());
        }
    }
    if source == destination && from == to {
        return Err(text::SAME_OBJECT.into());
    }
    let access = ctx.keys()?;
    // Of its two keys, this one is read.
    access.counts = true;
    let value = access.value(source)?;
    access.counts = false;
    let Some(value) = value else { return Ok(Reply::Integer(0)) };
    access.select(to);
    let existed = access.exists(destination);
    let copied = replace || !existed;
    if copied {
        access.put_copy(destination, &value)?;
    }
    access.select(from);
    if copied {
        tell_replaced(ctx, to, destination, existed);
        ctx.notify_in(to, EventClass::GENERIC, "copy_to", destination);
    }
    Ok(Reply::zero_or_one(copied))
}

pub(super) fn move_to(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let to = args.database(ctx.databases())?;
    let access = ctx.keys()?;
    if access.database() == to {
        return Err(text::SAME_OBJECT.into());
    }
    let moved = access.move_to(key, to)?;
    if moved {
        ctx.notify_in(to, EventClass::NEW, "new", key);
        ctx.notify(EventClass::GENERIC, "move_from", key);
        ctx.notify_in(to, EventClass::GENERIC, "move_to", key);
    }
    Ok(Reply::zero_or_one(moved))
}

/// As in Redis, where a key that takes the place of another is a new one.
fn tell_replaced(ctx: &mut Context<'_, '_>, database: u32, key: &[u8], existed: bool) {
    if existed {
        ctx.notify_in(database, EventClass::NEW, "new", key);
    }
}

pub(super) fn rename(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    rename_if(ctx, args, |_| true)?;
    Ok(Reply::Ok)
}

pub(super) fn renamenx(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    let renamed = rename_if(ctx, args, |exists| !exists)?;
    Ok(Reply::zero_or_one(renamed))
}

fn rename_if(
    ctx: &mut Context<'_, '_>,
    mut args: Args<'_>,
    may: impl Fn(bool) -> bool,
) -> Result<bool, crate::commands::Stop> {
    let (key, new) = (args.word()?, args.word()?);
    let access = ctx.keys()?;
    if !access.exists(key) {
        return Err(text::NO_SUCH_KEY.into());
    }
    let existed = access.exists(new);
    if !may(existed) {
        return Ok(false);
    }
    if key != new {
        if !access.rename(key, new)? {
            return Err(text::NO_SUCH_KEY.into());
        }
        let database = access.database();
        tell_replaced(ctx, database, new, existed);
        ctx.notify(EventClass::GENERIC, "rename_from", key);
        ctx.notify(EventClass::GENERIC, "rename_to", new);
    }
    Ok(true)
}
