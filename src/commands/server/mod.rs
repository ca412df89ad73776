//! Commands about the server.

mod config;
mod debug;
mod doctor;
mod latency;
mod lolwut;
mod memory;
mod module;
pub(super) mod monitor;
mod own;
mod replication;
mod save;
mod slowlog;

use super::effects::Effect;
use super::table::checked;
use super::{Args, Command, Context, Done, Errand, Flags, Group, Outcome, Stop, text};
use crate::node::ShutdownRequest;
use crate::protocol::Reply;

const ALWAYS: Flags = Flags::LOADING.with(Flags::STALE);
const ADMIN: Flags = Flags::ADMIN.with(Flags::DANGEROUS);

pub(super) const TABLE: &[Command] = &checked(
    Group::Server,
    [
        Command::new("BGREWRITEAOF", "", save::bgrewriteaof)
            .summary("Compacts the log in the background, whether or not it is due.")
            .complexity("O(N) for N bytes of the log")
            .flag(ADMIN)
            .flag(Flags::NOSCRIPT)
            .flag(Flags::NO_ASYNC_LOADING),
        Command::new("BGSAVE", "[SCHEDULE]", save::bgsave)
            .summary("Syncs the log in the background; nothing is lost without it either.")
            .complexity("O(N) for N bytes not yet synced")
            .flag(ADMIN)
            .flag(Flags::NOSCRIPT)
            .flag(Flags::NO_ASYNC_LOADING),
        Command::new("CASKADE", "subcommand [argument ...]", own::container)
            .summary("Does what is this server's own.")
            .since("7.2.0")
            .complexity("Depends on the subcommand")
            .subcommands(own::TABLE),
        Command::new("CONFIG", "subcommand [argument ...]", config::container)
            .summary("Reads and changes the configuration.")
            .since("2.0.0")
            .complexity("Depends on the subcommand")
            .subcommands(config::TABLE),
        Command::read("DBSIZE", "", dbsize)
            .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
            .flag(Flags::KEYSPACE_CATEGORY)
            .summary("Answers how many keys the database has.")
            .flag(Flags::FAST)
            .flag(Flags::WHOLE),
        Command::new("DEBUG", "", debug::debug)
            .arity(-2)
            .system()
            .summary(
                "Does what tests of clients need: DEBUG HELP tells what. Only where `enable-debug-command` allows it.",
            )
            .complexity("Depends on the subcommand")
            .flag(ADMIN)
            .flag(ALWAYS)
            .flag(Flags::NOSCRIPT),
        Command::new(
            "FAILOVER",
            "[TO <target= host port [FORCE]>] [ABORT] [TIMEOUT milliseconds]",
            replication::failover,
        )
        .summary("Is refused: there are no replicas to hand over to.")
        .since("6.2.0")
        .flag(ADMIN)
        .flag(Flags::STALE)
        .flag(Flags::NOSCRIPT),
        Command::write("FLUSHALL", "[flush-type= ASYNC | SYNC]", flushall)
            .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
            .flag(Flags::KEYSPACE_CATEGORY)
            .summary("Deletes all keys of all databases.")
            .flag(Flags::DANGEROUS)
            .flag(Flags::WHOLE),
        Command::write("FLUSHDB", "[flush-type= ASYNC | SYNC]", flushdb)
            .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
            .flag(Flags::KEYSPACE_CATEGORY)
            .summary("Deletes all keys of the database.")
            .flag(Flags::DANGEROUS)
            .flag(Flags::WHOLE),
        Command::new("LASTSAVE", "", save::lastsave)
            .tips(&["nondeterministic_output"])
            .summary("Answers when the log was last synced by SAVE or BGSAVE, in seconds.")
            .flag(ALWAYS)
            .flag(Flags::FAST)
            .flag(Flags::ADMIN_CATEGORY),
        Command::new("LATENCY", "subcommand [argument ...]", latency::container)
            .summary("Tells what took long, and how long commands take.")
            .since("2.8.13")
            .complexity("Depends on the subcommand")
            .subcommands(latency::TABLE),
        Command::read("LOLWUT", "[VERSION version]", lolwut::lolwut)
            .summary("Draws a picture, and tells the version.")
            .since("5.0.0")
            .flag(Flags::FAST),
        Command::new("MEMORY", "subcommand [argument ...]", memory::container)
            .summary("Tells what takes memory.")
            .since("4.0.0")
            .complexity("Depends on the subcommand")
            .subcommands(memory::TABLE),
        Command::new("MODULE", "subcommand [argument ...]", module::container)
            .summary("Tells that there are no modules.")
            .since("4.0.0")
            .complexity("Depends on the subcommand")
            .subcommands(module::TABLE),
        Command::new("MONITOR", "", monitor::monitor)
            .summary("Shows the connection what all clients ask for, as it happens.")
            .complexity("O(1); each command of others costs as much as writing it down")
            .flag(ADMIN)
            .flag(ALWAYS)
            .flag(Flags::NOSCRIPT),
        Command::new("REPLICAOF", "<args= host port | NO ONE>", replication::replicaof)
            .summary("Answers whoever wants a master with NO ONE; another server cannot be followed.")
            .since("5.0.0")
            .flag(ADMIN)
            .flag(Flags::STALE)
            .flag(Flags::NOSCRIPT)
            .flag(Flags::NO_ASYNC_LOADING),
        Command::new("ROLE", "", replication::role)
            .summary("Answers that this server is a master, and who follows it.")
            .since("2.8.12")
            .flag(ALWAYS)
            .flag(Flags::NOSCRIPT)
            .flag(Flags::FAST)
            .flag(Flags::ADMIN_CATEGORY),
        Command::new("SAVE", "", save::save)
            .summary("Syncs the log and answers when that is done.")
            .complexity("O(N) for N bytes not yet synced")
            .flag(ADMIN)
            .flag(Flags::NOSCRIPT)
            .flag(Flags::NO_ASYNC_LOADING)
            .flag(Flags::NO_MULTI),
        Command::new("SHUTDOWN", "[nosave_save= NOSAVE | SAVE] [NOW] [FORCE] [ABORT]", shutdown)
            .summary("Ends the server.")
            .complexity("O(N) for N bytes not yet synced")
            .flag(ADMIN)
            .flag(ALWAYS)
            .flag(Flags::NOSCRIPT)
            .flag(Flags::NO_MULTI)
            .flag(Flags::ALLOW_BUSY),
        Command::new("SLAVEOF", "<args= host port | NO ONE>", replication::replicaof)
            .summary("Is the older name of REPLICAOF.")
            .deprecated("5.0.0", "`REPLICAOF`")
            .flag(ADMIN)
            .flag(Flags::STALE)
            .flag(Flags::NOSCRIPT)
            .flag(Flags::NO_ASYNC_LOADING),
        Command::new("SLOWLOG", "subcommand [argument ...]", slowlog::container)
            .summary("Tells which commands took long.")
            .since("2.2.12")
            .complexity("Depends on the subcommand")
            .subcommands(slowlog::TABLE),
        Command::write("SWAPDB", "index1 index2", swapdb)
            .flag(Flags::KEYSPACE_CATEGORY)
            .summary("Lets two databases change places.")
            .since("4.0.0")
            .flag(Flags::FAST)
            .flag(Flags::DANGEROUS)
            .flag(Flags::WHOLE),
        Command::new("TIME", "", time)
            .tips(&["nondeterministic_output"])
            .summary("Answers the time in seconds, and microseconds.")
            .since("2.6.0")
            .flag(ALWAYS)
            .flag(Flags::FAST),
    ],
);

fn dbsize(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(Reply::from(ctx.keys()?.keys()))
}

fn flushdb(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    flush_mode(args)?;
    let had_some = ctx.keys()?.flush()?;
    forget_caches(ctx, had_some);
    Ok(Reply::Ok)
}

fn flushall(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    flush_mode(args)?;
    let access = ctx.keys()?;
    let selected = access.database();
    let mut had_some = false;
    for database in 0..access.keyspace().databases() {
        access.select(database);
        had_some |= access.flush()?;
    }
    access.select(selected);
    forget_caches(ctx, had_some);
    Ok(Reply::Ok)
}

/// Who caches keys is told of a flush even if there was nothing to be flushed.
fn forget_caches(ctx: &mut Context<'_, '_>, had_some: bool) {
    if !had_some {
        ctx.aside().effects.push(Effect::Forget);
    }
}

/// Both modes take the same time here, as neither waits for the keys to be taken apart.
fn flush_mode(mut args: Args<'_>) -> Result<(), Stop> {
    if !args.is_empty() && !args.keyword("ASYNC") && !args.keyword("SYNC") {
        return Err(text::SYNTAX.into());
    }
    args.end()
}

fn swapdb(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let databases = ctx.databases();
    let index = |word: &[u8], which: &str| {
        let number = crate::types::number::parse_i64(word).filter(|number| i32::try_from(*number).is_ok());
        number.ok_or_else(|| Stop::error(format!("ERR invalid {which} DB index")))
    };
    let first = index(args.word()?, "first")?;
    let second = index(args.word()?, "second")?;
    let usable = |number: i64| u32::try_from(number).ok().filter(|number| *number < databases);
    let (Some(first), Some(second)) = (usable(first), usable(second)) else {
        return Err(text::DB_OUT_OF_RANGE.into());
    };
    ctx.keys()?.swap(first, second)?;
    Ok(Reply::Ok)
}

fn time(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    let microseconds = ctx.node.wall_microseconds();
    let text = |number: u64| Reply::Text(number.to_string());
    Ok(Reply::Array(vec![text(microseconds / 1_000_000), text(microseconds % 1_000_000)]))
}

fn shutdown(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (mut save, mut nosave, mut now, mut force, mut abort) = (false, false, false, false, false);
    while !args.is_empty() {
        match () {
            () if args.keyword("NOSAVE") => nosave = true,
            () if args.keyword("SAVE") => save = true,
            () if args.keyword("NOW") => now = true,
            () if args.keyword("FORCE") => force = true,
            () if args.keyword("ABORT") => abort = true,
            () => return Err(text::SYNTAX.into()),
        }
    }
    if save && nosave || abort && (save || nosave || now || force) {
        return Err(text::SYNTAX.into());
    }
    if abort {
        return Err("ERR No shutdown in progress.".into());
    }
    ctx.node.host.shut_down(ShutdownRequest { save: !nosave, now });
    // As with Redis, the client's answer is that the connection ends.
    ctx.session.closing = true;
    Err(Stop::Silent)
}
