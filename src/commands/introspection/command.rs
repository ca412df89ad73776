//! COMMAND: the command tables, as clients read them.

use super::checked;
use crate::commands::arguments::Words;
use crate::commands::usage;
use crate::commands::{Args, Command, Context, Flags, Group, Outcome, Row, Stop, text};
use crate::node::acl::Categories;
use crate::protocol::Reply;
use crate::types::glob;

pub(super) const TABLE: &[Command] = &checked(
    Group::Server,
    [
        Command::new("COUNT", "", count).summary("Answers how many commands there are.").since("2.8.13").flag(ALWAYS),
        Command::new("DOCS", "[command-name [command-name ...]]", docs)
            .tips(&["nondeterministic_output_order"])
            .summary("Answers what the documentation says of commands.")
            .since("7.0.0")
            .complexity("O(N) for N commands")
            .flag(ALWAYS),
        Command::new("GETKEYS", "command [arg ...]", getkeys)
            .summary("Finds the keys in a full command.")
            .since("2.8.13")
            .complexity("O(N) for N arguments")
            .flag(ALWAYS),
        Command::new("GETKEYSANDFLAGS", "command [arg ...]", getkeysandflags)
            .summary("Finds the keys in a full command, and what it does with each.")
            .since("7.0.0")
            .complexity("O(N) for N arguments")
            .flag(ALWAYS),
        Command::new("HELP", "", help).summary("Lists the subcommands.").since("5.0.0").flag(ALWAYS),
        Command::new("INFO", "[command-name [command-name ...]]", info)
            .tips(&["nondeterministic_output_order"])
            .summary("Describes commands: arity, flags, where their keys stand.")
            .since("2.8.13")
            .complexity("O(N) for N commands")
            .flag(ALWAYS),
        Command::new("LIST", "[FILTERBY <filterby= MODULE module-name | ACLCAT category | PATTERN pattern>]", list)
            .tips(&["nondeterministic_output_order"])
            .summary("Answers the names of all commands.")
            .since("7.0.0")
            .complexity("O(N) for N commands")
            .flag(ALWAYS),
    ],
);

const ALWAYS: Flags = Flags::LOADING.with(Flags::STALE).with(Flags::CONNECTION_CATEGORY);

pub(super) fn all(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    let rows: Vec<&Row> = ctx.registry.commands().collect();
    Ok(Reply::Array(rows.into_iter().map(|row| describe(ctx, row)).collect()))
}

fn help(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(ctx.help("command"))
}

fn count(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(Reply::from(ctx.registry.commands().count()))
}

fn info(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    if args.is_empty() {
        return all(ctx, args);
    }
    let found = args.rest().map(|name| ctx.registry.find(name).map_or(Reply::Null, |row| describe(ctx, row)));
    Ok(Reply::Array(found.collect()))
}

fn docs(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    let rows: Vec<&Row> = if args.is_empty() {
        ctx.registry.commands().collect()
    } else {
        args.rest().filter_map(|name| ctx.registry.find(name)).collect()
    };
    Ok(Reply::Map(rows.into_iter().map(|row| (name(&row.name), document(ctx, row))).collect()))
}

fn list(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let mut keep: Box<dyn Fn(&Row) -> bool + '_> = Box::new(|_| true);
    if !args.is_empty() {
        if !args.keyword("FILTERBY") || args.left() != 2 {
            return Err(text::SYNTAX.into());
        }
        let (by, wanted) = (args.word()?.to_ascii_uppercase(), args.word()?);
        keep = match by.as_slice() {
            // There are no modules.
            b"MODULE" => Box::new(|_| false),
            b"PATTERN" => Box::new(move |row| glob::matches(wanted, row.name.as_bytes(), true)),
            b"ACLCAT" => {
                let wanted = Categories::named(wanted);
                Box::new(move |row| wanted.is_some_and(|wanted| row.categories.has(wanted)))
            }
            _ => return Err(text::SYNTAX.into()),
        };
    }
    let rows = ctx.registry.rows().iter().filter(|row| keep(row));
    Ok(Reply::Array(rows.map(|row| name(&row.name)).collect()))
}

fn getkeys(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    let keys = keys_of(ctx, args)?;
    Ok(Reply::Array(keys.into_iter().map(|(key, _)| Reply::bulk(&key)).collect()))
}

fn getkeysandflags(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    let one = |(key, access): (Vec<u8>, &'static str)| {
        let flags = access.split(' ').filter(|flag| *flag != VARIABLE).map(Reply::Simple).collect();
        Reply::Array(vec![Reply::from(key), Reply::Set(flags)])
    };
    Ok(Reply::Array(keys_of(ctx, args)?.into_iter().map(one).collect()))
}

/// The keys among the words of a request, each with what happens to it.
fn keys_of(ctx: &Context<'_, '_>, args: Args<'_>) -> Result<Vec<(Vec<u8>, &'static str)>, Stop> {
    let words = Words::copied(args.rest());
    let words = words.arguments();
    let row = ctx.registry.named_by(words).map_err(|_| Stop::from("ERR Invalid command specified"))?;
    if !row.has_keys() {
        return Err("ERR The command has no key arguments".into());
    }
    if !row.takes(words.len()) {
        return Err("ERR Invalid number of arguments specified for command".into());
    }
    let with_access = |(at, key): (usize, &[u8])| {
        let access = row.command.keys_by.map_or_else(|| row.key_access(at), |access| access(words));
        (key.to_vec(), access)
    };
    let counted_by = row.keys.and_then(|keys| keys.counted_by);
    if counted_by.is_some_and(|count| !row.keys_are_counted(words, count)) {
        return Err("ERR Invalid arguments specified for command".into());
    }
    Ok(row.keys(words).enumerate().map(with_access).collect())
}

/// What happens to a key depends on the other arguments.
const VARIABLE: &str = "variable_flags";

fn describe(ctx: &Context<'_, '_>, row: &Row) -> Reply {
    let flags = Flags::NAMED.iter().filter(|(flag, _)| row.is(*flag)).map(|(_, name)| Reply::Simple(name));
    let (first, last, step) =
        row.keys.map_or((0, 0, 0), |keys| (keys.first as i64, keys.last as i64, keys.step as i64));
    let (first, last, step) = match row.command.shard_channels {
        Some((first, last)) => (first as i64, last as i64, 1),
        None => (first, last, step),
    };
    let subcommands = row.subcommands.iter().map(|index| describe(ctx, &ctx.registry.rows()[*index]));
    Reply::Array(vec![
        name(&row.name),
        Reply::Integer(i64::from(row.arity)),
        Reply::Set(flags.collect()),
        Reply::Integer(first),
        Reply::Integer(last),
        Reply::Integer(step),
        Reply::Set(row.categories.names().map(Reply::Simple).collect()),
        Reply::Set(row.command.tips.iter().map(|tip| name(tip)).collect()),
        Reply::Set(key_specs(row)),
        // Redis calls none of them a set, and some an array.
        if row.subcommands.is_empty() { Reply::Set(Vec::new()) } else { Reply::Array(subcommands.collect()) },
    ])
}

fn key_specs(row: &Row) -> Vec<Reply> {
    if let Some((first, last)) = row.command.shard_channels {
        let last = if last < 0 { last } else { last - first as isize };
        return vec![key_spec("not_key", first, last as i64, 1)];
    }
    let Some(keys) = row.keys else { return Vec::new() };
    // Counted from the first key, as key specs are.
    let last = if keys.last < 0 { keys.last as i64 } else { keys.last as i64 - keys.first as i64 };
    let mut specs = match row.command.keys {
        _ if keys.step == 0 => Vec::new(),
        [] | [_] => vec![key_spec(row.key_access(0), keys.first, last, keys.step)],
        _ if keys.counted_by.is_some() => vec![key_spec(row.key_access(0), keys.first, last, keys.step)],
        each => {
            // The last one is that of all keys that follow.
            let last_of = |at: usize| if at + 1 == each.len() { last.min(0) } else { 0 };
            let one = |(at, access): (usize, &&'static str)| key_spec(access, keys.first + at, last_of(at), 1);
            each.iter().enumerate().map(one).collect()
        }
    };
    if let Some(count) = keys.counted_by {
        let find = [("keynumidx", 0), ("firstkey", 1), ("keystep", 1)];
        specs.push(spec(row.key_access(usize::MAX), ("index", &[("index", count as i64)]), ("keynum", &find)));
    }
    specs.extend(row.command.other_keys.iter().map(|access| spec(access, ("unknown", &[]), ("unknown", &[]))));
    specs
}

fn key_spec(access: &'static str, first: usize, last: i64, step: usize) -> Reply {
    let range = [("lastkey", last), ("keystep", step as i64), ("limit", 0)];
    spec(access, ("index", &[("index", first as i64)]), ("range", &range))
}

/// A way to do something, and what it has to know.
type Way<'a> = (&'a str, &'a [(&'a str, i64)]);

fn spec(access: &'static str, begin: Way<'_>, find: Way<'_>) -> Reply {
    let part = |(kind, fields): Way<'_>| {
        let fields = fields.iter().map(|(field, value)| (name(field), Reply::Integer(*value)));
        Reply::Map(vec![(name("type"), name(kind)), (name("spec"), Reply::Map(fields.collect()))])
    };
    Reply::Map(vec![
        (name("flags"), Reply::Set(access.split(' ').map(Reply::Simple).collect())),
        (name("begin_search"), part(begin)),
        (name("find_keys"), part(find)),
    ])
}

fn document(ctx: &Context<'_, '_>, row: &Row) -> Reply {
    let mut fields = vec![
        (name("summary"), name(row.command.summary)),
        (name("since"), name(row.command.since)),
        (name("group"), name(row.command.group.name())),
        (name("complexity"), name(row.command.complexity)),
    ];
    let doc_flags = [(row.command.deprecated.is_some(), "deprecated"), (row.command.system, "syscmd")];
    let doc_flags: Vec<Reply> =
        doc_flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| Reply::Simple(flag)).collect();
    if !doc_flags.is_empty() {
        fields.push((name("doc_flags"), Reply::Set(doc_flags)));
    }
    if let Some((since, instead)) = row.command.deprecated {
        fields.push((name("deprecated_since"), name(since)));
        fields.push((name("replaced_by"), name(instead)));
    }
    // A container's arguments are those of its subcommands.
    if row.subcommands.is_empty() && !row.usage.is_empty() {
        let keys = row.command.keys.len().max(1) + row.command.other_keys.len();
        fields.push((name("arguments"), arguments(&usage::arguments(&row.usage), keys, &mut 0)));
    }
    if !row.subcommands.is_empty() {
        let rows = row.subcommands.iter().map(|index| &ctx.registry.rows()[*index]);
        let subcommands = rows.map(|row| (name(&row.name), document(ctx, row)));
        fields.push((name("subcommands"), Reply::Map(subcommands.collect())));
    }
    Reply::Map(fields)
}

/// `specs` is how many key specs the command has: with several, each key has its own.
fn arguments(all: &[usage::Argument], specs: usize, keys: &mut usize) -> Reply {
    let of = |argument: &usage::Argument| {
        let mut fields = vec![(name("name"), name(&argument.name)), (name("type"), name(argument.kind.name()))];
        if argument.inner.is_empty() {
            fields.push((name("display_text"), name(&argument.name)));
        }
        if argument.kind == usage::ArgumentKind::Key {
            fields.push((name("key_spec_index"), Reply::from((*keys).min(specs - 1))));
            *keys += 1;
        }
        if argument.kind == usage::ArgumentKind::Pattern && specs > 1 {
            // Keys that no key spec finds; what is told of them stands behind that of the first key.
            fields.push((name("key_spec_index"), Reply::from(1usize)));
            *keys = 2;
        }
        if let Some(token) = &argument.token {
            fields.push((name("token"), name(token)));
        }
        let flags = [
            (argument.optional, "optional"),
            (argument.multiple, "multiple"),
            (argument.multiple_token, "multiple_token"),
        ];
        let flags: Vec<Reply> =
            flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| Reply::Simple(flag)).collect();
        if !flags.is_empty() {
            fields.push((name("flags"), Reply::Set(flags)));
        }
        if !argument.inner.is_empty() {
            fields.push((name("arguments"), arguments(&argument.inner, specs, keys)));
        }
        Reply::Map(fields)
    };
    Reply::Array(all.iter().map(of).collect())
}

fn name(text: &str) -> Reply {
    Reply::Text(text.into())
}
