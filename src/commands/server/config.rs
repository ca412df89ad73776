//! CONFIG: the settings of the running server.

use super::{ADMIN, ALWAYS, Args, Command, Context, Flags, Group, Outcome, Stop, checked, text};
use crate::config::find;
use crate::protocol::{Arguments, Reply};
use crate::types::glob;

const SETTINGS: Flags = ADMIN.with(ALWAYS).with(Flags::NOSCRIPT);

pub(super) const TABLE: &[Command] = &checked(
    Group::Server,
    [
        Command::new("GET", "parameter [parameter ...]", get)
            .summary("Answers the settings that match patterns.")
            .since("2.0.0")
            .complexity("O(N) for N patterns")
            .flag(SETTINGS),
        Command::new("HELP", "", help).summary("Lists the subcommands.").since("5.0.0").flag(ALWAYS),
        Command::new("RESETSTAT", "", resetstat)
            .summary("Sets the counters of INFO to zero.")
            .since("2.0.0")
            .flag(SETTINGS),
        Command::new("REWRITE", "", rewrite)
            .summary("Writes the settings into the configuration file, keeping its comments.")
            .since("2.8.0")
            .flag(SETTINGS),
        Command::new("SET", "parameter value [parameter value ...]", set)
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .summary("Changes settings: all of them or none.")
            .since("2.0.0")
            .complexity("O(N) for N settings")
            .secret(holds_secret)
            .flag(SETTINGS),
    ],
);

pub(super) fn container(_: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Err(text::wrong_arity("config"))
}

fn help(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(ctx.help("config"))
}

fn get(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    let matches = |name: &str| args.rest().any(|pattern| glob::matches(pattern, name.as_bytes(), true));
    let settings = ctx.node.config.matching(&matches);
    // A name without wildcards comes back as it was asked for.
    let asked = |name: &str| args.rest().find(|word| word.eq_ignore_ascii_case(name.as_bytes())).map(Reply::bulk);
    let pairs = settings
        .into_iter()
        .map(|(name, value)| (asked(name).unwrap_or_else(|| Reply::Text(name.into())), Reply::Text(value)));
    Ok(Reply::Map(pairs.collect()))
}

fn set(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    let pairs = args.pairs().ok_or(text::SYNTAX)?;
    let mut texts = Vec::new();
    for (name, value) in pairs {
        let unknown = || Stop::repeating("ERR Unknown option or number of arguments for CONFIG SET - '", name, "'");
        let name = std::str::from_utf8(name).map_err(|_| unknown())?;
        let Ok(value) = std::str::from_utf8(value) else {
            let refusal = "argument must be UTF-8 text";
            let failed = format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {refusal}");
            return Err(Stop::error(failed));
        };
        texts.push((name, value));
    }
    ctx.node.set_config(&texts).map_err(|error| Stop::error(error.to_string()))?;
    ctx.node.settings_changed();
    Ok(Reply::Ok)
}

/// The value of a setting that is a secret.
fn holds_secret(words: Arguments<'_>, at: usize) -> bool {
    let name = at.checked_sub(1).filter(|name| *name >= 2 && name.is_multiple_of(2)).and_then(|name| words.get(name));
    name.and_then(|name| std::str::from_utf8(name).ok()).and_then(find).is_some_and(|row| row.secret)
}

fn rewrite(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    ctx.node.rewrite_config().map_err(|error| Stop::error(error.to_string()))?;
    Ok(Reply::Ok)
}

fn resetstat(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    ctx.node.stats.reset();
    if let Some(keyspace) = ctx.node.keyspace() {
        keyspace.reset_expired_keys();
        keyspace.reset_reclaimed_collections();
        keyspace.store().reset_waits();
    }
    Ok(Reply::Ok)
}
