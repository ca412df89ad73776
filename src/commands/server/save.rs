//! Syncing and compacting the log by hand. Every acknowledged write is in the log already; SAVE and BGSAVE make sure it is
//! on the disk.

use super::{Args, Context, Errand, Outcome, Stop, text};
use crate::protocol::Reply;

pub(super) fn save(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    sync(ctx)?;
    Ok(Reply::Ok)
}

pub(super) fn bgsave(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    if !args.is_empty() && !args.keyword("SCHEDULE") {
        return Err(text::SYNTAX.into());
    }
    args.end()?;
    sync(ctx)?;
    Ok(Reply::Simple("Background saving started"))
}

pub(super) fn bgrewriteaof(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    ctx.keys()?.keyspace().store().ask_to_compact();
    Ok(Reply::Simple("Background append only file rewriting started"))
}

pub(super) fn lastsave(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(Reply::Integer(ctx.node.last_save() as i64))
}

/// Nobody waits for the disk here: the server has it synced, and runs the command again.
fn sync(ctx: &Context<'_, '_>) -> Result<(), Stop> {
    match ctx.finished {
        None => Err(Stop::Errand(Errand::Sync)),
        Some(Err(error)) => Err(Stop::error(format!("ERR the log could not be synced: {error}"))),
        Some(Ok(_)) => {
            ctx.node.saved();
            Ok(())
        }
    }
}
