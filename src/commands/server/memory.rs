//! MEMORY: what takes memory.

use super::{ALWAYS, Args, Command, Context, Group, Outcome, Stop, checked, text};
use crate::protocol::Reply;
use crate::types::number;

pub(super) const TABLE: &[Command] = &checked(
    Group::Server,
    [
        Command::new("HELP", "", help).summary("Lists the subcommands.").since("4.0.0").flag(ALWAYS),
        Command::read("USAGE", "key [SAMPLES count]", usage)
            .keys(&["RO"])
            .summary("Answers how many bytes of memory a key takes, its cached value included.")
            .since("4.0.0"),
    ],
);

pub(super) fn container(_: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Err(text::wrong_arity("memory"))
}

fn help(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(ctx.help("memory"))
}

fn usage(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    if !args.is_empty() {
        if !args.keyword("SAMPLES") || args.is_empty() {
            return Err(text::SYNTAX.into());
        }
        let samples = number::parse_i64(args.word()?).ok_or(text::NOT_AN_INTEGER)?;
        if samples < 0 {
            return Err(Stop::from(text::SYNTAX));
        }
        args.end()?;
    }
    Ok(Reply::from(ctx.keys()?.usage(key).map(|usage| usage.bytes)))
}
