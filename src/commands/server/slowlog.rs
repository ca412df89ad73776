//! SLOWLOG: the commands that took long.

use super::{ADMIN, ALWAYS, Args, Command, Context, Flags, Group, Outcome, checked, text};
use crate::protocol::Reply;
use crate::stats::SlowCommand;
use crate::types::number;

const LOOKS: Flags = ADMIN.with(ALWAYS);

/// How many entries GET answers where it is not told.
const COUNT: usize = 10;

pub(super) const TABLE: &[Command] = &checked(
    Group::Server,
    [
        Command::new("GET", "[count]", get)
            .tips(&["request_policy:all_nodes", "nondeterministic_output"])
            .summary("Answers the newest slow commands: id, time, microseconds, words, client and its name.")
            .since("2.2.12")
            .complexity("O(N) for N entries")
            .flag(LOOKS),
        Command::new("HELP", "", help).summary("Lists the subcommands.").since("6.2.0").flag(ALWAYS),
        Command::new("LEN", "", len)
            .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"])
            .summary("Answers how many slow commands are kept.")
            .since("2.2.12")
            .flag(LOOKS),
        Command::new("RESET", "", reset)
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .summary("Forgets the slow commands.")
            .since("2.2.12")
            .complexity("O(N) for N entries")
            .flag(LOOKS),
    ],
);

pub(super) fn container(_: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Err(text::wrong_arity("slowlog"))
}

fn help(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(ctx.help("slowlog"))
}

fn get(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    if args.left() > 1 {
        return Err(text::subcommand_syntax(args.called(), "slowlog"));
    }
    let most = match args.optional() {
        None => COUNT,
        Some(word) => match number::parse_i64(word) {
            Some(-1) => usize::MAX,
            count => count
                .and_then(|count| usize::try_from(count).ok())
                .ok_or("ERR count should be greater than or equal to -1")?,
        },
    };
    Ok(Reply::Array(ctx.node.stats.slowlog.newest(most).into_iter().map(entry).collect()))
}

fn entry(slow: SlowCommand) -> Reply {
    let integer = |number: u64| Reply::Integer(number as i64);
    Reply::Array(vec![
        integer(slow.id),
        integer(slow.time),
        integer(slow.microseconds),
        Reply::Array(slow.words.into_iter().map(Reply::from).collect()),
        Reply::Text(slow.peer),
        Reply::Text(slow.name),
    ])
}

fn len(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(Reply::from(ctx.node.stats.slowlog.len()))
}

fn reset(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    ctx.node.stats.slowlog.clear();
    Ok(Reply::Ok)
}
