//! How a key is kept.

use super::{Args, Command, Context, Flags, Group, Outcome, Reply, checked, text};
use crate::keyspace::Usage;
use crate::types::kind::Kind;

pub(super) const TABLE: &[Command] = &checked(Group::Generic, [
    Command::read("ENCODING", "key", encoding)
        .keys(&["RO"])
.tips(&["nondeterministic_output"])
.summary("Answers the name of the encoding Redis would keep the value in.")
        .since("2.2.3"),
    Command::read("FREQ", "key", freq)
        .keys(&["RO"])
.tips(&["nondeterministic_output"])
.summary("Answers how often the value was used of late: 0 to 3, as the memory limit's hand counts it.")
        .since("4.0.0"),
    Command::new("HELP", "", help)
        .summary("Lists the subcommands.")
        .since("6.2.0")
        .flag(Flags::LOADING)
        .flag(Flags::STALE),
    Command::read("IDLETIME", "key", idletime)
        .keys(&["RO"])
.tips(&["nondeterministic_output"])
.summary("Answers for how many seconds the value was not used; one that is only on the disk counts from the start.")
        .since("2.2.3"),
    Command::read("REFCOUNT", "key", refcount)
        .keys(&["RO"])
.tips(&["nondeterministic_output"])
.summary("Answers how many keys share the value, which is always one.")
        .since("2.2.3"),
]);

pub(super) fn container(_: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Err(text::wrong_arity("object"))
}

fn help(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(ctx.help("object"))
}

fn encoding(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let access = ctx.keys()?;
    // A look from outside: it is no use of the value, and nobody is told if there is none.
    let before = (access.touches, access.notes_misses);
    (access.touches, access.notes_misses) = (false, false);
    let meta = access.meta(key);
    // In a transaction, other commands follow.
    (access.touches, access.notes_misses) = before;
    Ok(meta.map_or(Reply::Null, |meta| Reply::Text(Kind(meta.kind).encoding().into())))
}

fn freq(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let Some(usage) = usage(ctx, args.word()?)? else { return Ok(Reply::Null) };
    if !ctx.node.config.get().maxmemory_policy.word().ends_with("lfu") {
        return Err(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
                    switching between policies at runtime LRU and LFU data will take some time to adjust."
                .into(),
        );
    }
    Ok(Reply::Integer(i64::from(usage.uses)))
}

fn idletime(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let Some(usage) = usage(ctx, args.word()?)? else { return Ok(Reply::Null) };
    if ctx.node.config.get().maxmemory_policy.word().ends_with("lfu") {
        return Err("ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching \
                    between policies at runtime LRU and LFU data will take some time to adjust."
            .into());
    }
    let since_start = ctx.now().saturating_sub(ctx.node.started()) / 1000;
    Ok(Reply::Integer(usage.idle_seconds.map_or(since_start as i64, i64::from)))
}

fn refcount(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let found = usage(ctx, args.word()?)?;
    Ok(found.map_or(Reply::Null, |_| Reply::Integer(1)))
}

fn usage(ctx: &mut Context<'_, '_>, key: &[u8]) -> Result<Option<Usage>, crate::commands::Stop> {
    Ok(ctx.keys()?.usage(key))
}
