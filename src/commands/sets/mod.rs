//! Commands on sets.

use super::table::checked;
use super::{Args, Command, Context, Flags, Group, Outcome};
use crate::node::notify::EventClass;
use crate::protocol::Reply;

pub(super) const TABLE: &[Command] = &checked(
    Group::Set,
    [
        Command::write("SADD", "key member [member ...]", sadd)
            .keys(&["RW insert"])
            .summary("Adds members to a set, creating it where there is none.")
            .complexity("O(N) for N members")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::read("SCARD", "key", scard).keys(&["RO"]).summary("Counts the members of a set.").flag(Flags::FAST),
    ],
);

fn sadd(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let mut set = ctx.keys()?.edit_set(key, args.left())?;
    let added = args.rest().filter(|member| set.add(member)).count();
    set.finish()?;
    if added > 0 {
        ctx.notify(EventClass::SET, "sadd", key);
    }
    Ok(Reply::from(added))
}

fn scard(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let access = ctx.keys()?;
    let set = access.set(key)?;
    Ok(Reply::from(set.map_or(0, |set| set.len(access))))
}
