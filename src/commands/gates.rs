//! What may refuse a command before it runs, in Redis's order: the first gate that objects decides. Whether the log
//! takes a change only the log can say, when it is asked to.

use super::error::{Stop, text};
use super::registry::{Registry, Row};
use super::table::Flags;
use super::{Context, permissions};
use crate::keyspace::Keyspace;
use crate::node::{PauseMode, Session};
use crate::protocol::Arguments;

type Gate = fn(&Context<'_, '_>, &Row, Arguments<'_>) -> Result<(), Stop>;

const GATES: &[Gate] =
    &[authenticated, not_in_transaction, permitted, enough_memory, not_listening, loaded, not_monitoring, not_paused];

/// Lets the command through or says why not.
#[inline]
pub(super) fn pass(ctx: &Context<'_, '_>, row: &Row, words: Arguments<'_>) -> Result<(), Stop> {
    GATES.iter().try_for_each(|gate| gate(ctx, row, words))
}

fn authenticated(ctx: &Context<'_, '_>, row: &Row, _: Arguments<'_>) -> Result<(), Stop> {
    if row.is(Flags::NO_AUTH) || !ctx.node.needs_login(ctx.session) { Ok(()) } else { Err(text::NO_AUTH.into()) }
}

/// Most users may do everything, and that is one look.
fn permitted(ctx: &Context<'_, '_>, row: &Row, words: Arguments<'_>) -> Result<(), Stop> {
    if ctx.session.account.is_unlimited() { Ok(()) } else { permissions::admit(ctx, row, words) }
}

fn not_in_transaction(ctx: &Context<'_, '_>, row: &Row, _: Arguments<'_>) -> Result<(), Stop> {
    if ctx.session.transaction.is_some() && row.is(Flags::NO_MULTI) {
        return Err(Stop::error("ERR Command not allowed inside a transaction"));
    }
    Ok(())
}

fn enough_memory(ctx: &Context<'_, '_>, row: &Row, _: Arguments<'_>) -> Result<(), Stop> {
    let is_full = ctx.node.keyspace().is_some_and(Keyspace::is_out_of_memory);
    // A queue takes memory, whatever is queued.
    let queues = ctx.session.transaction.is_some() && !row.is(Flags::IMMEDIATE);
    if is_full && (queues || has(ctx.registry, ctx.session, row, Flags::DENYOOM)) {
        return Err(text::OUT_OF_MEMORY.into());
    }
    Ok(())
}

fn not_listening(ctx: &Context<'_, '_>, row: &Row, _: Arguments<'_>) -> Result<(), Stop> {
    if row.is(Flags::LISTENING) || !ctx.session.only_listens() {
        return Ok(());
    }
    Err(Stop::error(format!(
        "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
        row.name
    )))
}

fn loaded(ctx: &Context<'_, '_>, row: &Row, _: Arguments<'_>) -> Result<(), Stop> {
    if ctx.node.keyspace().is_none() && !row.is(Flags::LOADING) { Err(text::loading()) } else { Ok(()) }
}

/// Who is shown what others do only looks on.
fn not_monitoring(ctx: &Context<'_, '_>, row: &Row, _: Arguments<'_>) -> Result<(), Stop> {
    if !ctx.session.monitors {
        return Ok(());
    }
    let flags = [Flags::READONLY, Flags::WRITE, Flags::MAY_REPLICATE];
    let touches_keys = flags.into_iter().any(|flag| has(ctx.registry, ctx.session, row, flag));
    if touches_keys { Err(text::MONITOR_NO_KEYS.into()) } else { Ok(()) }
}

fn not_paused(ctx: &Context<'_, '_>, row: &Row, _: Arguments<'_>) -> Result<(), Stop> {
    // Who is shown what others do is taken for a replica, and those are never held back. What was done for a request would
    // be done once more.
    if !ctx.node.pause.is_used() || ctx.session.monitors || ctx.finished.is_some() {
        return Ok(());
    }
    let changes = |flag| has(ctx.registry, ctx.session, row, flag);
    let is_held_back = match ctx.node.pause.current(|| ctx.node.now()) {
        None => false,
        Some((PauseMode::All, _)) => true,
        Some((PauseMode::Writes, _)) => changes(Flags::WRITE) || changes(Flags::MAY_REPLICATE),
    };
    if is_held_back { Err(Stop::Paused) } else { Ok(()) }
}

/// Whether a command, or one of those that EXEC is about to run, has all of these flags.
pub(super) fn has(registry: &Registry, session: &Session, row: &Row, flags: Flags) -> bool {
    let queued = session.transaction.iter().flat_map(|transaction| transaction.queue());
    row.is(flags)
        || row.is(Flags::TRANSACTION) && queued.into_iter().any(|queued| registry.rows()[queued.row].is(flags))
}
