//! Commands on hashes.

use super::table::checked;
use super::{Args, Command, Context, Flags, Group, Outcome, Stop, text};
use crate::keyspace::Edited;
use crate::node::notify::EventClass;
use crate::protocol::Reply;

pub(super) const TABLE: &[Command] = &checked(
    Group::Hash,
    [
        Command::write("HDEL", "key field [field ...]", hdel)
            .keys(&["RW delete"])
            .summary("Removes fields of a hash, and the hash with its last one.")
            .since("2.0.0")
            .complexity("O(N) for N fields")
            .flag(Flags::FAST),
        Command::read("HGET", "key field", hget)
            .summary("Answers the value of a field of a hash.")
            .since("2.0.0")
            .flag(Flags::FAST),
        Command::read("HLEN", "key", hlen)
            .keys(&["RO"])
            .summary("Counts the fields of a hash.")
            .since("2.0.0")
            .flag(Flags::FAST),
        Command::write("HSET", "key field value [field value ...]", hset)
            .keys(&["RW update"])
            .summary("Sets fields of a hash, creating it where there is none.")
            .since("2.0.0")
            .complexity("O(N) for N fields")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
    ],
);

fn hset(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let Some(pairs) = args.pairs() else { return Err(text::wrong_arity("hset")) };
    let mut hash = ctx.keys()?.edit_hash(key)?;
    let added = pairs.filter(|(field, value)| hash.set(field, value, None)).count();
    hash.finish()?;
    ctx.notify(EventClass::HASH, "hset", key);
    Ok(Reply::from(added))
}

fn hget(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, field) = (args.word()?, args.word()?);
    let (access, out) = ctx.keys_and_out()?;
    let Some(hash) = access.hash(key)? else { return Ok(Reply::Null) };
    let found = hash.get(access, field, |value, shared| match shared {
        Some(shared) => out.bulk_shared(shared.clone()),
        None => out.bulk(value),
    })?;
    if found.is_some() { Err(Stop::Written) } else { Ok(Reply::Null) }
}

fn hlen(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let access = ctx.keys()?;
    let hash = access.hash(key)?;
    Ok(Reply::from(hash.map_or(0, |hash| hash.len(access))))
}

fn hdel(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let mut hash = ctx.keys()?.edit_hash(key)?;
    let removed = args.rest().filter(|field| hash.remove(field)).count();
    let edited = hash.finish()?;
    if removed > 0 {
        ctx.notify(EventClass::HASH, "hdel", key);
        tell_emptied(ctx, key, edited);
    }
    Ok(Reply::from(removed))
}

/// A collection without elements is no key: whoever took the last one has deleted it.
fn tell_emptied(ctx: &mut Context<'_, '_>, key: &[u8], edited: Edited) {
    if edited.emptied() {
        ctx.notify(EventClass::GENERIC, "del", key);
    }
}
