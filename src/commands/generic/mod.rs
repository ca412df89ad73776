//! Commands on keys, whatever they hold.

mod copy;
pub(super) mod expiry;
mod object;
mod sort;
mod wait;
pub(super) mod walk;

pub(super) use self::walk::parse_cursor;

use super::table::checked;
use super::{Args, Command, Context, Flags, Group, Outcome, text};
use crate::node::notify::EventClass;
use crate::protocol::Reply;
use crate::types::kind::Kind;

pub(super) const TABLE: &[Command] = &checked(
    Group::Generic,
    [
        Command::write("COPY", "source destination [DB destination-db] [REPLACE]", copy::copy)
            .keys(&["RO access", "OW update"])
            .summary("Copies a value and its expiry to another key.")
            .since("6.2.0")
            .complexity("O(N) for a value of N bytes")
            .flag(Flags::DENYOOM),
        Command::write("DEL", "key [key ...]", del)
            .keys(&["RM delete"])
            .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
            .summary("Deletes keys; all of them or none, even through a crash.")
            .complexity("O(N) for N keys"),
        Command::read("EXISTS", "key [key ...]", exists)
            .keys(&["RO"])
            .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
            .summary("Counts which of the keys exist; one that is named twice counts twice.")
            .complexity("O(N) for N keys")
            .flag(Flags::FAST),
        Command::write("EXPIRE", "key seconds [condition= NX | XX | GT | LT]", expiry::expire)
            .summary("Lets a key expire after some seconds.")
            .flag(Flags::FAST),
        Command::write("EXPIREAT", "key unix-time-seconds [condition= NX | XX | GT | LT]", expiry::expireat)
            .summary("Lets a key expire at a time given in seconds.")
            .since("1.2.0")
            .flag(Flags::FAST),
        Command::read("EXPIRETIME", "key", expiry::expiretime)
            .summary("Answers at what time a key expires, in seconds.")
            .since("7.0.0")
            .flag(Flags::FAST),
        Command::read("KEYS", "pattern", walk::keys)
            .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
            .summary("Answers all keys that match a pattern, as of one moment; SCAN does not hold up others.")
            .complexity("O(N) for N keys in the database")
            .flag(Flags::WHOLE)
            .flag(Flags::DANGEROUS),
        Command::write("MOVE", "key db", copy::move_to)
            .keys(&["RW access update"])
            .summary("Moves a key to another database.")
            .flag(Flags::FAST),
        Command::new("OBJECT", "subcommand [argument ...]", object::container)
            .summary("Looks at how a key is kept.")
            .since("2.2.3")
            .complexity("Depends on the subcommand")
            .subcommands(object::TABLE),
        Command::write("PERSIST", "key", expiry::persist)
            .summary("Removes the expiry of a key.")
            .since("2.2.0")
            .flag(Flags::FAST),
        Command::write("PEXPIRE", "key milliseconds [condition= NX | XX | GT | LT]", expiry::pexpire)
            .summary("Lets a key expire after some milliseconds.")
            .since("2.6.0")
            .flag(Flags::FAST),
        Command::write("PEXPIREAT", "key unix-time-milliseconds [condition= NX | XX | GT | LT]", expiry::pexpireat)
            .summary("Lets a key expire at a time given in milliseconds.")
            .since("2.6.0")
            .flag(Flags::FAST),
        Command::read("PEXPIRETIME", "key", expiry::pexpiretime)
            .summary("Answers at what time a key expires, in milliseconds.")
            .since("7.0.0")
            .flag(Flags::FAST),
        Command::read("PTTL", "key", expiry::pttl)
            .tips(&["nondeterministic_output"])
            .summary("Answers how long a key still lives, in milliseconds.")
            .since("2.6.0")
            .flag(Flags::FAST),
        Command::read("RANDOMKEY", "", walk::randomkey)
            .tips(&["request_policy:all_shards", "nondeterministic_output"])
            .summary("Answers some key of the database.")
            .flag(Flags::WALKS),
        Command::write("RENAME", "key newkey", copy::rename)
            .keys(&["RW access delete", "OW update"])
            .summary("Gives a value another key, replacing what was there.")
            .complexity("O(N) for a value of N bytes"),
        Command::write("RENAMENX", "key newkey", copy::renamenx)
            .keys(&["RW access delete", "OW insert"])
            .summary("Gives a value another key, if there is nothing yet.")
            .complexity("O(N) for a value of N bytes")
            .flag(Flags::FAST),
        Command::read("SCAN", "cursor [MATCH pattern] [COUNT count] [TYPE type]", walk::scan)
            .tips(&["nondeterministic_output", "request_policy:special"])
            .summary("Walks over the keys of the database, some at each call.")
            .since("2.8.0")
            .complexity("O(1) for each call, O(N) for a walk over N keys")
            .flag(Flags::WALKS),
        Command::write(
            "SORT",
            "key [BY by-pattern] [LIMIT offset count] [GET get-pattern [GET get-pattern ...]] [order= ASC | DESC] \
             [sorting= ALPHA] [STORE destination]",
            sort::sort,
        )
        .keys(&["RO access"])
        .other_keys(&["RO access", "OW update"])
        .further_key(sort::destination)
        .reach(sort::reach)
        .summary("Sorts the elements of a list, a set or a sorted set, and answers or stores them.")
        .complexity("O(N+M*log(M)) for M of N elements")
        .flag(Flags::COLLECTION_CATEGORIES)
        .flag(Flags::DANGEROUS)
        .flag(Flags::DENYOOM)
        .flag(Flags::MOVABLE_KEYS),
        Command::read(
            "SORT_RO",
            "key [BY by-pattern] [LIMIT offset count] [GET get-pattern [GET get-pattern ...]] [order= ASC | DESC] \
             [sorting= ALPHA]",
            sort::sort_ro,
        )
        .keys(&["RO access"])
        .other_keys(&["RO access"])
        .reach(sort::reach)
        .summary("Sorts the elements of a list, a set or a sorted set.")
        .since("7.0.0")
        .complexity("O(N+M*log(M)) for M of N elements")
        .flag(Flags::COLLECTION_CATEGORIES)
        .flag(Flags::DANGEROUS)
        .flag(Flags::MOVABLE_KEYS),
        Command::read("TOUCH", "key [key ...]", exists)
            .keys(&["RO"])
            .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
            .summary("Counts which of the keys exist, and makes them recently used.")
            .since("3.2.1")
            .complexity("O(N) for N keys")
            .flag(Flags::FAST),
        Command::read("TTL", "key", expiry::ttl)
            .tips(&["nondeterministic_output"])
            .summary("Answers how long a key still lives, in seconds.")
            .flag(Flags::FAST),
        Command::read("TYPE", "key", kind)
            .keys(&["RO"])
            .summary("Answers the type of a key's value.")
            .flag(Flags::FAST),
        Command::write("UNLINK", "key [key ...]", del)
            .keys(&["RM delete"])
            .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
            .summary("Deletes keys and frees their memory in the background.")
            .since("4.0.0")
            .complexity("O(N) for N keys")
            .flag(Flags::FAST),
        Command::new("WAIT", "numreplicas timeout", wait::wait)
            .tips(&["request_policy:all_shards", "response_policy:agg_min"])
            .summary("Waits until so many replicas have this connection's changes, or the time is over; there are no replicas.")
            .since("3.0.0")
            .flag(Flags::CONNECTION_CATEGORY)
            .flag(Flags::NOSCRIPT),
        Command::new("WAITAOF", "numlocal numreplicas timeout", wait::waitaof)
            .tips(&["request_policy:all_shards", "response_policy:agg_min"])
            .summary("Waits until this connection's changes are on the disk, or the time is over.")
            .since("7.2.0")
            .flag(Flags::CONNECTION_CATEGORY)
            .flag(Flags::BLOCKING),
    ],
);

fn del(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    let mut deleted = 0;
    for key in args.rest() {
        if ctx.keys()?.delete(key)? {
            deleted += 1;
            ctx.notify(EventClass::GENERIC, "del", key);
        }
    }
    Ok(Reply::Integer(deleted))
}

fn exists(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    let access = ctx.keys()?;
    Ok(Reply::from(args.rest().filter(|key| access.exists(key)).count()))
}

fn kind(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let meta = ctx.keys()?.meta(args.word()?);
    Ok(Reply::Simple(meta.map_or("none", |meta| Kind(meta.kind).of().name())))
}
