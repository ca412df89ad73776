//! Commands on sorted sets.

use super::table::checked;
use super::{Args, Command, Context, Flags, Group, Outcome};
use crate::protocol::Reply;

pub(super) const TABLE: &[Command] = &checked(
    Group::SortedSet,
    [Command::read("ZCARD", "key", zcard)
        .keys(&["RO"])
        .summary("Counts the members of a sorted set.")
        .since("1.2.0")
        .flag(Flags::FAST)],
);

fn zcard(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let access = ctx.keys()?;
    let zset = access.zset(key)?;
    Ok(Reply::from(zset.map_or(0, |zset| zset.len(access))))
}
