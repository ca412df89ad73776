//! MODULE: there are none, and none can be loaded.

use super::{ADMIN, ALWAYS, Args, Command, Context, Flags, Group, Outcome, checked, text};
use crate::protocol::Reply;

const LOADS: Flags = ADMIN.with(Flags::NOSCRIPT).with(Flags::NO_ASYNC_LOADING);

const NOT_ALLOWED: &str = "ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you \
     can run it from a local connection, otherwise you need to set this option in the configuration file, and then \
     restart the server.";

pub(super) const TABLE: &[Command] = &checked(
    Group::Server,
    [
        Command::new("HELP", "", help).summary("Lists the subcommands.").since("5.0.0").flag(ALWAYS),
        Command::new("LIST", "", list)
            .tips(&["nondeterministic_output_order"])
            .summary("Answers the loaded modules: none.")
            .since("4.0.0")
            .complexity("O(N) for N modules")
            .flag(ADMIN)
            .flag(Flags::NOSCRIPT),
        Command::new("LOAD", "path [arg [arg ...]]", refuse)
            .summary("Is refused: modules cannot be loaded here.")
            .since("4.0.0")
            .flag(LOADS),
        Command::new(
            "LOADEX",
            "path [configs= CONFIG name value [CONFIG name value ...]] [ARGS args [args ...]]",
            refuse,
        )
        .summary("Is refused: modules cannot be loaded here.")
        .since("7.0.0")
        .flag(LOADS),
        Command::new("UNLOAD", "name", refuse).summary("Is refused: there are no modules.").since("4.0.0").flag(LOADS),
    ],
);

pub(super) fn container(_: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Err(text::wrong_arity("module"))
}

fn help(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(ctx.help("module"))
}

fn list(_: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(Reply::Array(Vec::new()))
}

fn refuse(_: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Err(NOT_ALLOWED.into())
}
