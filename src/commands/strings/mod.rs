//! Commands on strings.

mod counters;
mod parts;
mod set;

use super::table::checked;
use super::{Args, Command, Context, Flags, Group, Outcome, Stop, text};
use crate::keyspace::{Halt, View};
use crate::node::notify::EventClass;
use crate::protocol::Reply;
use crate::types::kind::{Kind, Type};

pub(super) const TABLE: &[Command] = &checked(
    Group::String,
    [
        Command::write("APPEND", "key value", parts::append)
            .keys(&["RW insert"])
            .summary("Adds bytes to the end of a string, creating it where there is none.")
            .since("2.0.0")
            .complexity("O(N) for a string of N bytes")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::write("DECR", "key", counters::decr)
            .keys(&["RW access update"])
            .summary("Subtracts one from the integer in a string.")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::write("DECRBY", "key decrement", counters::decrby)
            .keys(&["RW access update"])
            .summary("Subtracts a number from the integer in a string.")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::read("GET", "key", get).summary("Answers the value of a string.").flag(Flags::FAST),
        Command::write("GETDEL", "key", getdel)
            .keys(&["RW access delete"])
            .summary("Answers the value of a string and deletes it.")
            .since("6.2.0")
            .flag(Flags::FAST),
        Command::write(
            "GETEX",
            "key [expiration= EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]",
            set::getex,
        )
        .keys(&["RW access update"])
        .summary("Answers the value of a string and sets or removes its expiry.")
        .since("6.2.0")
        .flag(Flags::FAST),
        Command::read("GETRANGE", "key start end", parts::getrange)
            .summary("Answers a part of a string.")
            .since("2.4.0")
            .complexity("O(N) for an answer of N bytes"),
        Command::write("GETSET", "key value", set::getset)
            .keys(&["RW access update"])
            .summary("Sets a string and answers what it was before.")
            .deprecated("6.2.0", "`SET` with the `GET` argument")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::write("INCR", "key", counters::incr)
            .keys(&["RW access update"])
            .summary("Adds one to the integer in a string, which counts from 0 where there is none.")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::write("INCRBY", "key increment", counters::incrby)
            .keys(&["RW access update"])
            .summary("Adds a number to the integer in a string.")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::write("INCRBYFLOAT", "key decimal", counters::incrbyfloat)
            .keys(&["RW access update"])
            .summary("Adds a decimal number to the number in a string.")
            .since("2.6.0")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::read("LCS", "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]", parts::lcs)
            .summary("Finds the longest sequence of bytes that two strings have in common.")
            .since("7.0.0")
            .complexity("O(N*M) for strings of N and M bytes"),
        Command::read("MGET", "key [key ...]", mget)
            .tips(&["request_policy:multi_shard"])
            .summary("Answers the values of several strings, all as of one moment.")
            .complexity("O(N) for N keys")
            .flag(Flags::FAST),
        Command::write("MSET", "key value [key value ...]", set::mset)
            .keys(&["OW update"])
            .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
            .summary("Sets several strings at once: all or none, even through a crash.")
            .since("1.0.1")
            .complexity("O(N) for N keys")
            .flag(Flags::DENYOOM),
        Command::write("MSETNX", "key value [key value ...]", set::msetnx)
            .keys(&["OW insert"])
            .tips(&["request_policy:multi_shard", "response_policy:agg_min"])
            .summary("Sets several strings at once, but only if none of the keys exists.")
            .since("1.0.1")
            .complexity("O(N) for N keys")
            .flag(Flags::DENYOOM),
        Command::write("PSETEX", "key milliseconds value", set::psetex)
            .keys(&["OW update"])
            .summary("Sets a string that expires after some milliseconds.")
            .since("2.6.0")
            .deprecated("2.6.12", "`SET` with the `PX` argument")
            .flag(Flags::DENYOOM),
        Command::write(
            "SET",
            "key value [condition= NX | XX] [GET] [expiration= EX seconds | PX milliseconds | EXAT unix-time-seconds | \
         PXAT unix-time-milliseconds | KEEPTTL]",
            set::set,
        )
        .keys(&["RW access update variable_flags"])
        .keys_by(set::key_access)
        .summary("Sets a key to a string, whatever it was before.")
        .flag(Flags::DENYOOM),
        Command::write("SETEX", "key seconds value", set::setex)
            .keys(&["OW update"])
            .summary("Sets a string that expires after some seconds.")
            .since("2.0.0")
            .deprecated("2.6.12", "`SET` with the `EX` argument")
            .flag(Flags::DENYOOM),
        Command::write("SETNX", "key value", set::setnx)
            .keys(&["OW insert"])
            .summary("Sets a string, but only if the key does not exist.")
            .deprecated("2.6.12", "`SET` with the `NX` argument")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::write("SETRANGE", "key offset value", parts::setrange)
            .summary("Overwrites a part of a string, filling up with zero bytes where it is too short.")
            .since("2.2.0")
            .complexity("O(N) for a string of N bytes")
            .flag(Flags::DENYOOM),
        Command::read("STRLEN", "key", strlen)
            .keys(&["RO"])
            .summary("Answers the length of a string in bytes.")
            .since("2.2.0")
            .flag(Flags::FAST),
        Command::read("SUBSTR", "key start end", parts::getrange)
            .summary("Answers a part of a string.")
            .deprecated("2.0.0", "`GETRANGE`")
            .complexity("O(N) for an answer of N bytes"),
    ],
);

fn get(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    ctx.send_string(key)
}

fn getdel(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let outcome = ctx.send_string(key);
    if matches!(outcome, Err(Stop::Written)) {
        let access = ctx.keys()?;
        access.counts = false;
        access.delete(key)?;
        ctx.notify(EventClass::GENERIC, "del", key);
    }
    outcome
}

fn strlen(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let length = ctx.keys()?.view(args.word()?, |view| string(&view).map(<[u8]>::len))?;
    Ok(Reply::from(length.transpose()?.unwrap_or(0)))
}

fn mget(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    let (access, out) = ctx.keys_and_out()?;
    out.array(args.left());
    let mut cold = Vec::new();
    for key in args.rest() {
        let sent = access.view(key, |view| match string(&view) {
            Ok(_) => send(out, &view),
            Err(_) => out.null(),
        });
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

impl Context<'_, '_> {
    /// Sends the string at `key`, or null; it counts as a look-up, whatever else the command does.
    fn send_string(&mut self, key: &[u8]) -> Outcome {
        let (access, out) = self.keys_and_out()?;
        access.counts = true;
        let sent = access.view(key, |view| string(&view).map(|_| send(out, &view)))?;
        match sent {
            Some(Ok(())) => Err(Stop::Written),
            Some(Err(stop)) => Err(stop),
            None => Ok(Reply::Null),
        }
    }
}

/// The value, if it is a string.
fn string<'a>(view: &View<'a>) -> Result<&'a [u8], Stop> {
    if Kind(view.kind).of() == Type::String { Ok(view.value) } else { Err(text::WRONG_TYPE.into()) }
}

fn send(out: &mut crate::protocol::ReplyBuffer, view: &View<'_>) {
    match view.shared {
        Some(shared) => out.bulk_shared(shared.clone()),
        None => out.bulk(view.value),
    }
}
