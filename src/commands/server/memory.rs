//! MEMORY: what takes memory.

use super::{ALWAYS, Args, Command, Context, Group, Outcome, Stop, checked, doctor, text};
use crate::allocator;
use crate::commands::introspection::{MemoryFacts, share};
use crate::protocol::Reply;
use crate::types::number;

const SPECIAL: &[&str] = &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

pub(super) const TABLE: &[Command] = &checked(
    Group::Server,
    [
        Command::new("DOCTOR", "", doctor)
            .tips(SPECIAL)
            .summary("Says in words whether memory is used well, and what can be done about it.")
            .since("4.0.0"),
        Command::new("HELP", "", help).summary("Lists the subcommands.").since("4.0.0").flag(ALWAYS),
        Command::new("MALLOC-STATS", "", malloc_stats)
            .tips(SPECIAL)
            .summary("Answers what the allocator knows.")
            .since("4.0.0")
            .complexity("Depends on how much memory is in use"),
        Command::new("PURGE", "", purge)
            .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
            .summary("Gives freed memory back to the system at once.")
            .since("4.0.0")
            .complexity("Depends on how much memory was freed"),
        Command::new("STATS", "", stats)
            .tips(SPECIAL)
            .summary("Answers where the memory goes, in bytes.")
            .since("4.0.0"),
        Command::read("USAGE", "key [SAMPLES count]", usage)
            .keys(&["RO"])
            .summary("Answers how many bytes of memory a key takes, its cached value included.")
            .since("4.0.0")
            .complexity("O(1)"),
    ],
);

pub(super) fn container(_: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Err(text::wrong_arity("memory"))
}

fn help(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(ctx.help("memory"))
}

fn doctor(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    let facts = MemoryFacts::now(ctx.node);
    Ok(Reply::Verbatim("txt", doctor::memory(&ctx.node.config.get(), &facts)))
}

fn malloc_stats(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    let facts = MemoryFacts::now(ctx.node);
    let lines = [
        ("living blocks", facts.used),
        ("living blocks, at most since the start", facts.peak),
        ("living blocks when the server was ready to load", facts.startup),
        ("memory from the system, without the program's own files", facts.resident_own),
        ("memory from the system", facts.resident),
    ];
    let lines = lines.map(|(what, bytes)| format!("{what}: {bytes} bytes\n")).concat();
    Ok(Reply::Verbatim("txt", format!("{}\n{lines}", allocator::name())))
}

fn purge(_: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    allocator::purge();
    Ok(Reply::Ok)
}

fn stats(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    let facts = MemoryFacts::now(ctx.node);
    let name = |name: &str| Reply::Text(name.into());
    let integer = |number: u64| Reply::Integer(number as i64);
    let difference = |one: u64, other: u64| Reply::Integer(one as i64 - other as i64);
    let mut fields: Vec<(Reply, Reply)> = [
        ("peak.allocated", facts.peak),
        ("total.allocated", facts.used),
        ("startup.allocated", facts.startup),
        ("replication.backlog", 0),
        ("clients.slaves", 0),
        ("clients.normal", facts.clients),
        ("cluster.links", 0),
        ("aof.buffer", facts.log_buffer),
        ("lua.caches", 0),
        ("functions.caches", 0),
    ]
    .map(|(field, bytes)| (name(field), integer(bytes)))
    .into();
    for database in &facts.databases {
        let overhead = vec![
            (name("overhead.hashtable.main"), integer(database.table_bytes)),
            (name("overhead.hashtable.expires"), integer(database.deadline_bytes)),
        ];
        fields.push((name(&format!("db.{}", database.number)), Reply::Map(overhead)));
    }
    let keys: u64 = facts.databases.iter().map(|database| database.keys).sum();
    let net = facts.used.saturating_sub(facts.startup);
    fields.extend([
        (name("overhead.total"), integer(facts.overhead())),
        (name("keys.count"), integer(keys)),
        (name("keys.bytes-per-key"), integer(net.checked_div(keys).unwrap_or(0))),
        (name("dataset.bytes"), integer(facts.dataset)),
        (name("dataset.percentage"), Reply::Double(100.0 * share(facts.dataset, net).min(1.0))),
        (name("peak.percentage"), Reply::Double(100.0 * share(facts.used, facts.peak))),
        (name("allocator.allocated"), integer(facts.used)),
        (name("allocator.active"), integer(facts.resident_own)),
        (name("allocator.resident"), integer(facts.resident_own)),
        (name("allocator-fragmentation.ratio"), Reply::Double(share(facts.resident_own, facts.used))),
        (name("allocator-fragmentation.bytes"), difference(facts.resident_own, facts.used)),
        (name("allocator-rss.ratio"), Reply::Double(1.0)),
        (name("allocator-rss.bytes"), integer(0)),
        (name("rss-overhead.ratio"), Reply::Double(share(facts.resident, facts.resident_own))),
        (name("rss-overhead.bytes"), difference(facts.resident, facts.resident_own)),
        (name("fragmentation"), Reply::Double(share(facts.resident, facts.used))),
        (name("fragmentation.bytes"), difference(facts.resident, facts.used)),
    ]);
    Ok(Reply::Map(fields))
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
