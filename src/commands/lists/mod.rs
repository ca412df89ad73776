//! Commands on lists.

use super::table::checked;
use super::{Args, Command, Context, Flags, Group, Outcome};
use crate::keyspace::End;
use crate::node::notify::EventClass;
use crate::protocol::Reply;

pub(super) const TABLE: &[Command] = &checked(
    Group::List,
    [
        Command::read("LLEN", "key", llen).keys(&["RO"]).summary("Counts the elements of a list.").flag(Flags::FAST),
        Command::write("RPUSH", "key element [element ...]", rpush)
            .keys(&["RW insert"])
            .summary("Puts elements in at the right end of a list, creating it where there is none.")
            .complexity("O(N) for N elements")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
    ],
);

fn llen(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let access = ctx.keys()?;
    let list = access.list(key)?;
    Ok(Reply::from(list.map_or(0, |list| list.len(access))))
}

fn rpush(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let mut list = ctx.keys()?.edit_list(key)?;
    list.reserve(args.rest().map(<[u8]>::len).sum());
    args.rest().for_each(|element| list.push(End::Right, element));
    let length = list.len();
    list.finish()?;
    ctx.notify(EventClass::LIST, "rpush", key);
    Ok(Reply::from(length))
}
