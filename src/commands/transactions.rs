//! Transactions.

use std::sync::Arc;

use super::table::checked;
use super::{Args, Command, Context, Flags, Group, Outcome, Stop, blocking, dispatch, permissions, text, timing};
use crate::keyspace::Cold;
use crate::node::acl::Place;
use crate::node::{Queued, Transaction};
use crate::protocol::Reply;

pub(super) const TABLE: &[Command] = &checked(
    Group::Transactions,
    [
        Command::new("DISCARD", "", discard)
            .summary("Forgets the commands queued since MULTI.")
            .since("2.0.0")
            .complexity("O(N) for N queued commands")
            .flag(ALWAYS)
            .flag(Flags::IMMEDIATE),
        Command::new("EXEC", "", exec)
            .flag(Flags::SKIP_SLOWLOG)
            .summary("Runs the commands queued since MULTI as one.")
            .since("1.2.0")
            .complexity("Depends on the commands")
            .flag(Flags::NOSCRIPT)
            .flag(Flags::LOADING)
            .flag(Flags::STALE)
            .flag(Flags::IMMEDIATE)
            .flag(Flags::TRANSACTION),
        Command::new("MULTI", "", multi)
            .summary("Begins to queue commands, to be run as one by EXEC.")
            .since("1.2.0")
            .flag(ALWAYS)
            .flag(Flags::IMMEDIATE),
        Command::new("UNWATCH", "", unwatch).summary("Forgets all watched keys.").since("2.2.0").flag(ALWAYS),
        Command::new("WATCH", "key [key ...]", watch)
            .keys(&["RO"])
            .summary("Lets the next EXEC do nothing if one of the keys changes before it.")
            .since("2.2.0")
            .complexity("O(N) for N keys")
            .flag(ALWAYS)
            .flag(Flags::IMMEDIATE),
    ],
);

const ALWAYS: Flags = Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE).with(Flags::FAST).with(Flags::ALLOW_BUSY);

fn multi(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    if ctx.session.transaction.is_some() {
        return Err("ERR MULTI calls can not be nested".into());
    }
    ctx.session.transaction = Some(Transaction::default());
    Ok(Reply::Ok)
}

fn discard(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    if ctx.session.transaction.take().is_none() {
        return Err("ERR DISCARD without MULTI".into());
    }
    forget_watches(ctx);
    Ok(Reply::Ok)
}

fn watch(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    if ctx.session.transaction.is_some() {
        return Err("ERR WATCH inside MULTI is not allowed".into());
    }
    let mark = Arc::clone(ctx.session.watch());
    for key in args.rest() {
        let access = ctx.keys()?;
        access.watch(key, &mark);
        ctx.session.note_watched(ctx.session.database, key);
    }
    Ok(Reply::Ok)
}

fn unwatch(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    // EXEC forgets them when it is done; until then it may have to run again, and look at them again.
    if !ctx.in_transaction {
        forget_watches(ctx);
    }
    Ok(Reply::Ok)
}

fn exec(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    // As CLIENT INFO shows it while the queue runs.
    ctx.session.publish();
    let Some(transaction) = ctx.session.transaction.take() else {
        return Err("ERR EXEC without MULTI".into());
    };
    if transaction.spoilt {
        forget_watches(ctx);
        return Err(text::EXEC_ABORT.into());
    }
    if has_watched_change(ctx)? {
        forget_watches(ctx);
        return Ok(Reply::NullArray);
    }
    // What changes no key happens at once, and would happen twice if a later command had to be waited for.
    let only_keys =
        |queued: &Queued| [Flags::READONLY, Flags::WRITE].iter().any(|flag| ctx.registry.rows()[queued.row].is(*flag));
    if !transaction.queue().iter().all(only_keys) {
        let cold = all_cold(ctx, transaction.queue());
        if !cold.is_empty() {
            ctx.session.transaction = Some(transaction);
            return Err(Stop::Cold(cold));
        }
    }
    let before = (ctx.session.database, ctx.out.mark());
    ctx.in_transaction = true;
    ctx.out.array(transaction.queue().len());
    let mut times = Vec::with_capacity(transaction.queue().len());
    let mut began = ctx.node.monotonic_nanoseconds();
    let mut revoked = Vec::new();
    for (at, queued) in transaction.queue().iter().enumerate() {
        let row = &ctx.registry.rows()[queued.row];
        let mark = ctx.out.mark();
        let permission = permissions::check(&ctx.session.account, row, queued.words());
        let outcome = match permission {
            Ok(()) => dispatch::run_queued(ctx, row, queued.words()),
            Err(denied) => {
                revoked.push((at, denied));
                Err(text::revoked(denied.reason))
            }
        };
        match outcome {
            Ok(reply) => reply.write(ctx.out),
            Err(Stop::Written) => {}
            // Nothing may be missing in the array; what follows it is silenced.
            Err(Stop::Silent) => Reply::Ok.write(ctx.out),
            Err(Stop::Error(text)) => {
                ctx.out.rewind(mark);
                ctx.out.error(&text);
                ctx.node.stats.errors.count(&text);
                ctx.node.stats.commands.count(Some(row.index), true, false);
            }
            // Nothing has happened: the whole transaction runs again once what it lacks is there.
            Err(Stop::Cold(mut cold)) => {
                cold.extend(all_cold(ctx, &transaction.queue()[at + 1..]));
                ctx.session.database = before.0;
                ctx.session.transaction = Some(transaction);
                return Err(Stop::Cold(cold));
            }
            Err(stop) => {
                ctx.session.database = before.0;
                ctx.session.transaction = Some(transaction);
                return Err(stop);
            }
        }
        let ended = ctx.node.monotonic_nanoseconds();
        times.push(permission.is_ok().then(|| ended.saturating_sub(began)));
        began = ended;
    }
    ctx.take_noted();
    if let Err(stop) = blocking::serve(ctx) {
        ctx.session.database = before.0;
        ctx.session.transaction = Some(transaction);
        return Err(stop);
    }
    // Not before: until now it could have had to run again.
    for (queued, taken) in transaction.queue().iter().zip(times) {
        if let Some(taken) = taken {
            timing::note(ctx, &ctx.registry.rows()[queued.row], queued.words(), taken);
        }
    }
    for (at, denied) in revoked {
        let queued = &transaction.queue()[at];
        permissions::note(ctx, &ctx.registry.rows()[queued.row], queued.words(), denied, Place::Transaction);
    }
    forget_watches(ctx);
    Err(Stop::Written)
}

/// What the commands that are left will have to fetch, so that it is fetched together.
fn all_cold(ctx: &mut Context<'_, '_>, left: &[Queued]) -> Vec<Cold> {
    let registry = ctx.registry;
    let Ok(access) = ctx.keys() else { return Vec::new() };
    access.counts = false;
    let keys = left.iter().flat_map(|queued| registry.rows()[queued.row].keys(queued.words()));
    keys.filter_map(|key| access.cold(key)).collect()
}

fn has_watched_change(ctx: &mut Context<'_, '_>) -> Result<bool, Stop> {
    let watched: Vec<(u32, Vec<u8>)> = ctx.session.watched().map(|(database, key)| (database, key.to_vec())).collect();
    if watched.is_empty() {
        return Ok(false);
    }
    let access = ctx.keys()?;
    let selected = access.database();
    for (database, key) in watched {
        access.select(database);
        // A key whose time was over since WATCH has changed.
        access.refresh(&key);
    }
    access.select(selected);
    Ok(ctx.session.watch().is_dirty())
}

fn forget_watches(ctx: &mut Context<'_, '_>) {
    if let Some(keyspace) = ctx.node.keyspace() {
        ctx.session.unwatch(keyspace);
    }
}
