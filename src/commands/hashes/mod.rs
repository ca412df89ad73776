//! Commands on hashes.
//!
//! | file | what |
//! | --- | --- |
//! | `fields` | single fields |
//! | `whole` | all fields, some of them, walks |
//! | `numbers` | numbers in fields |
//! | `expiry` | when fields expire |
//! | `together` | fields read or set, and their expiry, in one |

mod expiry;
mod fields;
mod numbers;
mod together;
mod whole;

use bytes::Bytes;

use super::table::checked;
use super::{Args, Command, Context, Flags, Group, Outcome, Stop, text};
use crate::keyspace::Edited;
use crate::node::notify::EventClass;
use crate::protocol::{Reply, ReplyBuffer};

pub(super) const TABLE: &[Command] = &checked(
    Group::Hash,
    [
        Command::write("HDEL", "key field [field ...]", fields::hdel)
            .keys(&["RW delete"])
            .summary("Removes fields of a hash, and the hash with its last one.")
            .since("2.0.0")
            .complexity("O(N) for N fields")
            .flag(Flags::FAST),
        Command::read("HEXISTS", "key field", fields::hexists)
            .keys(&["RO"])
            .summary("Tells whether a hash has a field.")
            .since("2.0.0")
            .flag(Flags::FAST),
        Command::write(
            "HEXPIRE",
            "key seconds [condition= NX | XX | GT | LT] <FIELDS numfields field [field ...]>",
            expiry::hexpire,
        )
        .summary("Has fields of a hash expire after some seconds.")
        .since("7.4.0")
        .complexity("O(N) for N fields")
        .flag(Flags::FAST),
        Command::write(
            "HEXPIREAT",
            "key unix-time-seconds [condition= NX | XX | GT | LT] <FIELDS numfields field [field ...]>",
            expiry::hexpireat,
        )
        .summary("Has fields of a hash expire at a time in seconds since 1970.")
        .since("7.4.0")
        .complexity("O(N) for N fields")
        .flag(Flags::FAST),
        Command::read("HEXPIRETIME", "key <FIELDS numfields field [field ...]>", expiry::hexpiretime)
            .summary("Answers when fields of a hash expire, in seconds since 1970.")
            .since("7.4.0")
            .complexity("O(N) for N fields")
            .flag(Flags::FAST),
        Command::read("HGET", "key field", fields::hget)
            .summary("Answers the value of a field of a hash.")
            .since("2.0.0")
            .flag(Flags::FAST),
        Command::read("HGETALL", "key", whole::hgetall)
            .tips(&["nondeterministic_output_order"])
            .summary("Answers all fields of a hash with their values.")
            .since("2.0.0")
            .complexity("O(N) for N fields"),
        Command::write("HGETDEL", "key <FIELDS numfields field [field ...]>", together::hgetdel)
            .keys(&["RW access delete"])
            .summary("Answers the values of fields of a hash and removes them.")
            .since("8.0.0")
            .complexity("O(N) for N fields")
            .flag(Flags::FAST),
        Command::write(
            "HGETEX",
            "key [expiration= EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST] \
             <FIELDS numfields field [field ...]>",
            together::hgetex,
        )
        .keys(&["RW access update"])
        .summary("Answers the values of fields of a hash and sets or removes their expiry.")
        .since("8.0.0")
        .complexity("O(N) for N fields")
        .flag(Flags::FAST),
        Command::write("HINCRBY", "key field increment", numbers::hincrby)
            .keys(&["RW access update"])
            .summary("Adds a number to the integer in a field of a hash, which counts from 0 where there is none.")
            .since("2.0.0")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::write("HINCRBYFLOAT", "key field decimal", numbers::hincrbyfloat)
            .keys(&["RW access update"])
            .summary("Adds a decimal number to the number in a field of a hash.")
            .since("2.6.0")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::read("HKEYS", "key", whole::hkeys)
            .tips(&["nondeterministic_output_order"])
            .summary("Answers the names of all fields of a hash.")
            .since("2.0.0")
            .complexity("O(N) for N fields"),
        Command::read("HLEN", "key", whole::hlen)
            .keys(&["RO"])
            .summary("Counts the fields of a hash.")
            .since("2.0.0")
            .flag(Flags::FAST),
        Command::read("HMGET", "key field [field ...]", fields::hmget)
            .summary("Answers the values of several fields of a hash.")
            .since("2.0.0")
            .complexity("O(N) for N fields")
            .flag(Flags::FAST),
        Command::write("HMSET", "key field value [field value ...]", fields::hmset)
            .summary("Sets fields of a hash, creating it where there is none.")
            .since("2.0.0")
            .complexity("O(N) for N fields")
            .deprecated("4.0.0", "`HSET` with several fields")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::write("HPERSIST", "key <FIELDS numfields field [field ...]>", expiry::hpersist)
            .summary("Has fields of a hash live for ever.")
            .since("7.4.0")
            .complexity("O(N) for N fields")
            .flag(Flags::FAST),
        Command::write(
            "HPEXPIRE",
            "key milliseconds [condition= NX | XX | GT | LT] <FIELDS numfields field [field ...]>",
            expiry::hpexpire,
        )
        .summary("Has fields of a hash expire after some milliseconds.")
        .since("7.4.0")
        .complexity("O(N) for N fields")
        .flag(Flags::FAST),
        Command::write(
            "HPEXPIREAT",
            "key unix-time-milliseconds [condition= NX | XX | GT | LT] <FIELDS numfields field [field ...]>",
            expiry::hpexpireat,
        )
        .summary("Has fields of a hash expire at a time in milliseconds since 1970.")
        .since("7.4.0")
        .complexity("O(N) for N fields")
        .flag(Flags::FAST),
        Command::read("HPEXPIRETIME", "key <FIELDS numfields field [field ...]>", expiry::hpexpiretime)
            .summary("Answers when fields of a hash expire, in milliseconds since 1970.")
            .since("7.4.0")
            .complexity("O(N) for N fields")
            .flag(Flags::FAST),
        Command::read("HPTTL", "key <FIELDS numfields field [field ...]>", expiry::hpttl)
            .summary("Answers in how many milliseconds fields of a hash expire.")
            .since("7.4.0")
            .complexity("O(N) for N fields")
            .flag(Flags::FAST),
        Command::read("HRANDFIELD", "key [options= count [WITHVALUES]]", whole::hrandfield)
            .tips(&["nondeterministic_output"])
            .summary("Answers fields of a hash at random.")
            .since("6.2.0")
            .complexity("O(N) for N fields"),
        Command::read("HSCAN", "key cursor [MATCH pattern] [COUNT count] [NOVALUES]", whole::hscan)
            .tips(&["nondeterministic_output"])
            .summary("Walks over the fields of a hash, some at each call.")
            .since("2.8.0")
            .complexity("O(1) for each call, O(N) for a walk over N fields"),
        Command::write("HSET", "key field value [field value ...]", fields::hset)
            .summary("Sets fields of a hash, creating it where there is none.")
            .since("2.0.0")
            .complexity("O(N) for N fields")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::write(
            "HSETEX",
            "key [key-condition= NX | XX] [fields-condition= FNX | FXX] [expiration= EX seconds | PX milliseconds | \
             EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL] \
             <FIELDS numfields field value [field value ...]>",
            together::hsetex,
        )
        .keys(&["RW insert"])
        .summary("Sets fields of a hash that expire.")
        .since("8.0.0")
        .complexity("O(N) for N fields")
        .flag(Flags::FAST)
        .flag(Flags::DENYOOM),
        Command::write("HSETNX", "key field value", fields::hsetnx)
            .keys(&["RW insert"])
            .summary("Sets a field of a hash, but only if it has no such field.")
            .since("2.0.0")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::read("HSTRLEN", "key field", fields::hstrlen)
            .keys(&["RO"])
            .summary("Answers the length of a field's value in bytes.")
            .since("3.2.0")
            .flag(Flags::FAST),
        Command::read("HTTL", "key <FIELDS numfields field [field ...]>", expiry::httl)
            .summary("Answers in how many seconds fields of a hash expire.")
            .since("7.4.0")
            .complexity("O(N) for N fields")
            .flag(Flags::FAST),
        Command::read("HVALS", "key", whole::hvals)
            .tips(&["nondeterministic_output_order"])
            .summary("Answers the values of all fields of a hash.")
            .since("2.0.0")
            .complexity("O(N) for N fields"),
    ],
);

/// A hash without fields is no key: whoever took the last one has deleted it.
fn tell_emptied(ctx: &mut Context<'_, '_>, key: &[u8], edited: Edited) {
    if edited.emptied() {
        ctx.notify(EventClass::GENERIC, "del", key);
    }
}

fn send(out: &mut ReplyBuffer, value: &[u8], shared: Option<&Bytes>) {
    match shared {
        Some(shared) => out.bulk_shared(shared.clone()),
        None => out.bulk(value),
    }
}

/// The fields behind the word FIELDS, which are as many as said; they are all that is left.
fn counted_fields(args: &mut Args<'_>, wide: usize, miscounted: &'static str) -> Result<(), Stop> {
    let number = args.integer()?;
    let left = args.left();
    let counted = usize::try_from(number).ok().filter(|number| *number > 0);
    if counted.and_then(|number| number.checked_mul(wide)) == Some(left) { Ok(()) } else { Err(miscounted.into()) }
}

/// How many words stand before the word FIELDS, which has one behind it at least.
fn words_before_fields(args: &Args<'_>) -> Result<usize, Stop> {
    let place = args.rest().position(|word| word.eq_ignore_ascii_case(b"FIELDS"));
    place.filter(|place| place + 1 < args.left()).ok_or(text::FIELDS_MISCOUNTED.into())
}
