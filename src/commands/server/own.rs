//! CASKADE: what Redis has no command for.

use super::{ADMIN, ALWAYS, Args, Command, Context, Flags, Group, Outcome, checked, text};
use crate::protocol::Reply;

pub(super) const TABLE: &[Command] = &checked(
    Group::Server,
    [
        Command::new("COMPACT", "", compact)
            .summary("Compacts the log in the background, whether or not it is due; INFO shows how far it is.")
            .since("7.2.0")
            .complexity("O(N) for N bytes of the log")
            .flag(ADMIN)
            .flag(Flags::NOSCRIPT),
        Command::new("HELP", "", help).summary("Lists the subcommands.").since("7.2.0").flag(ALWAYS),
    ],
);

pub(super) fn container(_: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Err(text::wrong_arity("caskade"))
}

fn compact(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    ctx.keys()?.keyspace().store().ask_to_compact();
    Ok(Reply::Ok)
}

fn help(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(ctx.help("caskade"))
}
