//! CLIENT PAUSE, UNPAUSE and UNBLOCK: holding connections back, and letting them go on.

use super::{Args, Context, Outcome, text};
use crate::commands::blocking::{Ended, end_waiting};
use crate::node::PauseMode;
use crate::protocol::Reply;
use crate::types::number;

pub(super) fn pause(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let mut timeout = args;
    args.word()?;
    if args.left() > 1 {
        return Err(text::subcommand_syntax(args.called(), "client"));
    }
    let mode = match () {
        () if args.is_empty() || args.keyword("ALL") => PauseMode::All,
        () if args.keyword("WRITE") => PauseMode::Writes,
        () => return Err("ERR CLIENT PAUSE mode must be WRITE or ALL".into()),
    };
    let now = ctx.now();
    let timeout = timeout.timeout_milliseconds(now)?.unwrap_or_default();
    ctx.node.pause.begin(mode, now + timeout.as_millis() as u64, now);
    // Who is held back already looks at the new end.
    ctx.node.clients.wake_all();
    Ok(Reply::Ok)
}

pub(super) fn unpause(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    ctx.node.pause.end();
    ctx.node.clients.wake_all();
    Ok(Reply::Ok)
}

pub(super) fn unblock(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let id = args.word()?;
    if args.left() > 1 {
        return Err(text::subcommand_syntax(args.called(), "client"));
    }
    let ended = match () {
        () if args.is_empty() || args.keyword("TIMEOUT") => Ended::TimedOut,
        () if args.keyword("ERROR") => Ended::Unblocked,
        () => return Err("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR".into()),
    };
    let id = number::parse_i64(id).ok_or(text::NOT_AN_INTEGER)?;
    let waiter = u64::try_from(id).ok().and_then(|id| ctx.node.waiting.of_client(id));
    let is_ended = waiter.is_some_and(|waiter| end_waiting(ctx.node, ctx.registry, &waiter, &ended));
    Ok(Reply::zero_or_one(is_ended))
}
