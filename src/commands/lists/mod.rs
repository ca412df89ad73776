//! Commands on lists.
//!
//! Always true: a list without elements is no key; whoever takes the last one has deleted it, and tells so.

mod blocking;
mod elements;
mod moves;
mod pops;
mod ranges;

use super::table::checked;
use super::{Args, Command, Context, Flags, Group, Outcome, Stop, text};
use crate::keyspace::{Edited, End};
use crate::node::notify::EventClass;
use crate::protocol::{Reply, ReplyBuffer};
use bytes::Bytes;

pub(super) const TABLE: &[Command] = &checked(
    Group::List,
    [
        Command::write(
            "BLMOVE",
            "source destination <wherefrom= LEFT | RIGHT> <whereto= LEFT | RIGHT> timeout:double",
            blocking::blmove,
        )
        .keys(&["RW access delete", "RW insert"])
        .summary("Moves an element from an end of a list to an end of another, and waits for one where there is none.")
        .since("6.2.0")
        .flag(Flags::BLOCKING)
        .flag(Flags::DENYOOM)
        .flag(Flags::NOSCRIPT),
        Command::write(
            "BLMPOP",
            "timeout:double numkeys key [key ...] <where= LEFT | RIGHT> [COUNT count]",
            blocking::blmpop,
        )
        .keys(&["RW access delete"])
        .summary("Takes elements off an end of the first list that has some, and waits for one where none has.")
        .since("7.0.0")
        .complexity("O(N+M) for N keys and M elements")
        .flag(Flags::BLOCKING)
        .flag(Flags::MOVABLE_KEYS),
        Command::write("BLPOP", "key [key ...] timeout:double", blocking::blpop)
            .keys(&["RW access delete"])
            .summary("Takes the first element off the first list that has one, and waits where none has.")
            .since("2.0.0")
            .complexity("O(N) for N keys")
            .flag(Flags::BLOCKING)
            .flag(Flags::NOSCRIPT),
        Command::write("BRPOP", "key [key ...] timeout:double", blocking::brpop)
            .keys(&["RW access delete"])
            .summary("Takes the last element off the first list that has one, and waits where none has.")
            .since("2.0.0")
            .complexity("O(N) for N keys")
            .flag(Flags::BLOCKING)
            .flag(Flags::NOSCRIPT),
        Command::write("BRPOPLPUSH", "source destination timeout:double", blocking::brpoplpush)
            .keys(&["RW access delete", "RW insert"])
            .summary(
                "Moves the last element of a list to the left end of another, and waits for one where there is none.",
            )
            .since("2.2.0")
            .deprecated("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")
            .flag(Flags::BLOCKING)
            .flag(Flags::DENYOOM)
            .flag(Flags::NOSCRIPT),
        Command::read("LINDEX", "key index", ranges::lindex)
            .summary("Answers the element at a place in a list.")
            .complexity("O(log N) for N elements"),
        Command::write("LINSERT", "key <where= BEFORE | AFTER> pivot element", elements::linsert)
            .keys(&["RW insert"])
            .summary("Puts an element in beside the first one that is equal to another.")
            .since("2.2.0")
            .complexity("O(N) for N elements before it")
            .flag(Flags::DENYOOM),
        Command::read("LLEN", "key", llen).keys(&["RO"]).summary("Counts the elements of a list.").flag(Flags::FAST),
        Command::write("LMOVE", "source destination <wherefrom= LEFT | RIGHT> <whereto= LEFT | RIGHT>", moves::lmove)
            .keys(&["RW access delete", "RW insert"])
            .summary("Moves an element from an end of a list to an end of another.")
            .since("6.2.0")
            .flag(Flags::DENYOOM),
        Command::write("LMPOP", "numkeys key [key ...] <where= LEFT | RIGHT> [COUNT count]", pops::lmpop)
            .keys(&["RW access delete"])
            .summary("Takes elements off an end of the first list that has some.")
            .since("7.0.0")
            .complexity("O(N+M) for N keys and M elements")
            .flag(Flags::MOVABLE_KEYS),
        Command::write("LPOP", "key [count]", pops::lpop)
            .keys(&["RW access delete"])
            .summary("Takes elements off the left end of a list.")
            .complexity("O(N) for N elements")
            .flag(Flags::FAST),
        Command::read("LPOS", "key element [RANK rank] [COUNT num-matches] [MAXLEN len]", elements::lpos)
            .summary("Finds the places of elements that are equal to one.")
            .since("6.0.6")
            .complexity("O(N) for N elements"),
        Command::write("LPUSH", "key element [element ...]", lpush)
            .keys(&["RW insert"])
            .summary("Puts elements in at the left end of a list, creating it where there is none.")
            .complexity("O(N) for N elements")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::write("LPUSHX", "key element [element ...]", lpushx)
            .keys(&["RW insert"])
            .summary("Puts elements in at the left end of a list, if there is one.")
            .since("2.2.0")
            .complexity("O(N) for N elements")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::read("LRANGE", "key start stop", ranges::lrange)
            .summary("Answers the elements between two places in a list.")
            .complexity("O(log N+M) for M of N elements"),
        Command::write("LREM", "key count element", elements::lrem)
            .keys(&["RW delete"])
            .summary("Removes elements that are equal to one.")
            .complexity("O(N) for N elements"),
        Command::write("LSET", "key index element", ranges::lset)
            .summary("Puts an element in the place of another.")
            .complexity("O(log N) for N elements")
            .flag(Flags::DENYOOM),
        Command::write("LTRIM", "key start stop", ranges::ltrim)
            .keys(&["RW delete"])
            .summary("Removes all elements but those between two places in a list.")
            .complexity("O(N) for N elements that are removed"),
        Command::write("RPOP", "key [count]", pops::rpop)
            .keys(&["RW access delete"])
            .summary("Takes elements off the right end of a list.")
            .complexity("O(N) for N elements")
            .flag(Flags::FAST),
        Command::write("RPOPLPUSH", "source destination", moves::rpoplpush)
            .keys(&["RW access delete", "RW insert"])
            .summary("Moves the last element of a list to the left end of another.")
            .since("1.2.0")
            .deprecated("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")
            .flag(Flags::DENYOOM),
        Command::write("RPUSH", "key element [element ...]", rpush)
            .keys(&["RW insert"])
            .summary("Puts elements in at the right end of a list, creating it where there is none.")
            .complexity("O(N) for N elements")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::write("RPUSHX", "key element [element ...]", rpushx)
            .keys(&["RW insert"])
            .summary("Puts elements in at the right end of a list, if there is one.")
            .since("2.2.0")
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

fn lpush(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    push(ctx, args, End::Left, false)
}

fn lpushx(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    push(ctx, args, End::Left, true)
}

fn rpush(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    push(ctx, args, End::Right, false)
}

fn rpushx(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    push(ctx, args, End::Right, true)
}

fn push(ctx: &mut Context<'_, '_>, mut args: Args<'_>, end: End, must_exist: bool) -> Outcome {
    let key = args.word()?;
    let mut list = ctx.keys()?.edit_list(key)?;
    if must_exist && list.is_empty() {
        return Ok(Reply::Integer(0));
    }
    list.reserve(args.rest().map(<[u8]>::len).sum());
    if args.left() == 1 {
        list.alone();
    }
    args.rest().for_each(|element| list.push(end, element));
    let length = list.len();
    list.finish()?;
    ctx.notify(EventClass::LIST, if end == End::Left { "lpush" } else { "rpush" }, key);
    Ok(Reply::from(length))
}

impl Context<'_, '_> {
    /// Tells that the last element of a list has gone, where it has.
    fn tell_emptied(&mut self, key: &[u8], edited: Edited) {
        if edited.emptied() {
            self.notify(EventClass::GENERIC, "del", key);
        }
    }
}

/// LEFT or RIGHT.
fn end(args: &mut Args<'_>) -> Result<End, Stop> {
    match () {
        () if args.keyword("LEFT") => Ok(End::Left),
        () if args.keyword("RIGHT") => Ok(End::Right),
        () => Err(text::SYNTAX.into()),
    }
}

fn send(out: &mut ReplyBuffer, value: &[u8], shared: Option<&Bytes>) {
    match shared {
        Some(shared) => out.bulk_shared(shared.clone()),
        None => out.bulk(value),
    }
}
