//! CLIENT: connections, one's own and others'.

use std::sync::Arc;

use super::{Args, Command, Context, Flags, Group, Outcome, Stop, checked, pause, text, tracking};
use crate::node::acl::Account;
use crate::node::{Client, ClientKind, ReplyMode};
use crate::protocol::Reply;
use crate::types::number;

pub(super) const TABLE: &[Command] = &checked(
    Group::Connection,
    [
        Command::new("CACHING", "<mode= YES | NO>", tracking::caching)
            .summary("Says whether the keys of the next command are tracked.")
            .since("6.0.0")
            .flag(INFO),
        Command::new("GETNAME", "", getname).summary("Answers the connection's name.").since("2.6.9").flag(INFO),
        Command::new("GETREDIR", "", tracking::getredir)
            .summary("Answers to which connection invalidations of this one go.")
            .since("6.0.0")
            .flag(INFO),
        Command::new("HELP", "", help)
            .summary("Lists the subcommands.")
            .since("5.0.0")
            .flag(Flags::LOADING)
            .flag(Flags::STALE),
        Command::new("ID", "", id).summary("Answers the connection's number.").since("5.0.0").flag(INFO),
        Command::new("INFO", "", info)
            .tips(&["nondeterministic_output"])
            .summary("Describes this connection.")
            .since("6.2.0")
            .flag(INFO),
        Command::new(
            "KILL",
            "<ip:port | <ID client-id | TYPE <NORMAL | MASTER | SLAVE | REPLICA | PUBSUB> | USER username | \
             ADDR ip:port | LADDR ip:port | SKIPME <YES | NO> | MAXAGE maxage:integer> ...>",
            kill,
        )
        .summary("Ends connections.")
        .since("2.4.0")
        .complexity("O(N) for N connections")
        .flag(ADMIN),
        Command::new(
            "LIST",
            "[TYPE <client-type= NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]",
            list,
        )
        .tips(&["nondeterministic_output"])
        .summary("Describes all connections.")
        .since("2.4.0")
        .complexity("O(N) for N connections")
        .flag(ADMIN),
        Command::new("NO-EVICT", "<enabled= ON | OFF>", no_evict)
            .summary("Keeps this connection when memory gets scarce.")
            .since("7.0.0")
            .flag(ADMIN),
        Command::new("NO-TOUCH", "<enabled= ON | OFF>", no_touch)
            .summary("Lets this connection read values without making them recently used.")
            .since("7.2.0")
            .flag(Flags::NOSCRIPT)
            .flag(Flags::LOADING)
            .flag(Flags::STALE),
        Command::new("PAUSE", "timeout [mode= WRITE | ALL]", pause::pause)
            .summary("Holds back what clients ask for, for some milliseconds.")
            .since("2.9.50")
            .flag(ADMIN),
        Command::new("REPLY", "<action= ON | OFF | SKIP>", reply)
            .summary("Chooses whether requests are answered.")
            .since("3.2.0")
            .flag(INFO),
        Command::new("SETINFO", "<attr= LIB-NAME libname | LIB-VER libver>", setinfo)
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .summary("Notes which library the client uses.")
            .since("7.2.0")
            .flag(INFO),
        Command::new("SETNAME", "connection-name", setname).summary("Names the connection.").since("2.6.9").flag(INFO),
        Command::new(
            "TRACKING",
            "<status= ON | OFF> [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
            tracking::tracking,
        )
        .summary("Has the connection told when keys change that it caches.")
        .since("6.0.0")
        .flag(INFO),
        Command::new("TRACKINGINFO", "", tracking::trackinginfo)
            .summary("Describes what the connection tracks.")
            .since("6.2.0")
            .flag(INFO),
        Command::new("UNBLOCK", "client-id [unblock-type= TIMEOUT | ERROR]", pause::unblock)
            .summary("Ends the waiting of a connection.")
            .since("5.0.0")
            .complexity("O(log N) for N connections that wait for the same key")
            .flag(ADMIN),
        Command::new("UNPAUSE", "", pause::unpause)
            .summary("Lets clients go on that are held back.")
            .since("6.2.0")
            .complexity("O(N) for N connections")
            .flag(ADMIN),
    ],
);

const INFO: Flags = Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE);
const ADMIN: Flags = INFO.with(Flags::ADMIN).with(Flags::DANGEROUS);

/// Words that CLIENT LIST and KILL know as types.
const TYPES: [&str; 5] = ["normal", "master", "replica", "slave", "pubsub"];

pub(super) fn container(_: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Err(text::wrong_arity("client"))
}

fn help(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(ctx.help("client"))
}

fn id(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(Reply::Integer(ctx.session.client.id as i64))
}

fn getname(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    let name = ctx.session.client.name();
    Ok(if name.is_empty() { Reply::Null } else { Reply::Text(name) })
}

fn setname(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let name = valid_name(args.word()?)?;
    ctx.session.client.set_name(name);
    Ok(Reply::Ok)
}

fn setinfo(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (what, value) = (args.word()?, args.word()?);
    let value = printable(value)
        .ok_or_else(|| Stop::repeating("ERR ", what, " cannot contain spaces, newlines or special characters."));
    match () {
        () if what.eq_ignore_ascii_case(b"lib-name") => ctx.session.client.set_library(value?),
        () if what.eq_ignore_ascii_case(b"lib-ver") => ctx.session.client.set_library_version(value?),
        () => return Err(Stop::repeating("ERR Unrecognized option '", what, "'")),
    }
    Ok(Reply::Ok)
}

fn info(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    note_command(ctx, "client|info");
    let line = describe(ctx, &ctx.session.client);
    Ok(Reply::Verbatim("txt", line + "\n"))
}

fn list(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    note_command(ctx, "client|list");
    let mut clients = ctx.node.clients.all();
    if args.keyword("TYPE") {
        let wanted = client_type(args.word()?)?;
        args.end()?;
        clients.retain(|client| is_of(client, wanted));
    } else if args.keyword("ID") {
        if args.is_empty() {
            return Err(text::SYNTAX.into());
        }
        let mut ids = Vec::new();
        while let Some(word) = args.optional() {
            let id = number::parse_i64(word).ok_or("ERR Invalid client ID")?;
            ids.extend(u64::try_from(id));
        }
        clients.retain(|client| ids.contains(&client.id));
    } else {
        args.end()?;
    }
    let lines: String = clients.iter().map(|client| describe(ctx, client) + "\n").collect();
    Ok(Reply::Verbatim("txt", lines))
}

fn kill(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let clients = ctx.node.clients.all();
    if args.left() == 1 {
        let address = String::from_utf8_lossy(args.word()?).into_owned();
        let found = clients.iter().find(|client| client.address() == address);
        let client = found.ok_or("ERR No such client")?;
        end(ctx, client);
        return Ok(Reply::Ok);
    }
    let filter = Filter::read(ctx, &mut args)?;
    let (own, now) = (ctx.session.client.id, ctx.node.wall_now());
    let chosen: Vec<&Arc<Client>> = clients.iter().filter(|client| filter.takes(client, own, now)).collect();
    chosen.iter().for_each(|client| end(ctx, client));
    Ok(Reply::from(chosen.len()))
}

fn reply(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let mode = match () {
        () if args.keyword("ON") => ReplyMode::On,
        () if args.keyword("OFF") => ReplyMode::Off,
        () if args.keyword("SKIP") => ReplyMode::SkipNext,
        () => return Err(text::SYNTAX.into()),
    };
    if mode == ReplyMode::SkipNext && ctx.session.is_reply_off() {
        return Err(Stop::Silent);
    }
    ctx.session.set_reply_mode(mode);
    if mode != ReplyMode::On {
        return Err(Stop::Silent);
    }
    ctx.session.answer();
    Ok(Reply::Ok)
}

fn no_evict(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let on = on_or_off(&mut args)?;
    ctx.session.client.set_no_evict(on);
    Ok(Reply::Ok)
}

fn no_touch(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let on = on_or_off(&mut args)?;
    ctx.session.no_touch = on;
    ctx.session.client.set_no_touch(on);
    Ok(Reply::Ok)
}

/// A name that CLIENT LIST can show.
pub(super) fn valid_name(name: &[u8]) -> Result<&str, Stop> {
    let refusal = "ERR Client names cannot contain spaces, newlines or special characters.";
    printable(name).ok_or(refusal.into())
}

struct Filter {
    id: Option<u64>,
    kind: Option<&'static str>,
    address: Option<String>,
    local_address: Option<String>,
    user: Option<Arc<Account>>,
    skip_me: bool,
    /// Seconds since they came, at least.
    age: Option<u64>,
}

fn max_age(value: &[u8]) -> Result<u64, Stop> {
    let seconds = number::parse_i64(value).ok_or("ERR maxage is not an integer or out of range")?;
    u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).ok_or("ERR maxage should be greater than 0".into())
}

impl Filter {
    fn read(ctx: &Context<'_, '_>, args: &mut Args<'_>) -> Result<Self, Stop> {
        let mut filter =
            Self { id: None, kind: None, address: None, local_address: None, user: None, skip_me: true, age: None };
        while !args.is_empty() {
            let option = args.word()?.to_ascii_uppercase();
            let value = args.optional().ok_or(text::SYNTAX)?;
            let text = || String::from_utf8_lossy(value).into_owned();
            match option.as_slice() {
                b"ID" => filter.id = Some(client_id(value)?),
                b"TYPE" => filter.kind = Some(client_type(value)?),
                b"ADDR" => filter.address = Some(text()),
                b"LADDR" => filter.local_address = Some(text()),
                b"USER" => {
                    let no_such = || Stop::repeating("ERR No such user '", value, "'");
                    filter.user = Some(ctx.node.acl.find(value).ok_or_else(no_such)?);
                }
                b"MAXAGE" => filter.age = Some(max_age(value)?),
                b"SKIPME" if value.eq_ignore_ascii_case(b"yes") => filter.skip_me = true,
                b"SKIPME" if value.eq_ignore_ascii_case(b"no") => filter.skip_me = false,
                _ => return Err(text::SYNTAX.into()),
            }
        }
        Ok(filter)
    }

    fn takes(&self, client: &Client, own: u64, now: u64) -> bool {
        self.id.is_none_or(|id| client.id == id)
            && self.kind.is_none_or(|kind| is_of(client, kind))
            && self.address.as_ref().is_none_or(|address| client.address() == *address)
            && self.local_address.as_ref().is_none_or(|address| client.local_address() == *address)
            && self.user.as_ref().is_none_or(|user| client.account().is_some_and(|own| Arc::ptr_eq(&own, user)))
            && !(self.skip_me && client.id == own)
            && self.age.is_none_or(|age| client.age_seconds(now) >= age)
    }
}

/// Whether a connection is of the type of this name.
fn is_of(client: &Client, name: &str) -> bool {
    match client.kind() {
        ClientKind::Normal => name == "normal",
        ClientKind::PubSub => name == "pubsub",
    }
}

/// One's own connection ends only after the reply is sent.
fn end(ctx: &mut Context<'_, '_>, client: &Arc<Client>) {
    if client.id == ctx.session.client.id {
        ctx.session.closing = true;
    } else {
        ctx.node.end(client);
    }
}

fn describe(ctx: &Context<'_, '_>, client: &Client) -> String {
    client.describe(ctx.now(), |index| ctx.registry.rows()[index].name.clone())
}

/// Others see the state once a pipeline is done; this command shows it now.
fn note_command(ctx: &Context<'_, '_>, name: &str) {
    if !ctx.in_transaction {
        ctx.session.publish();
    }
    let index = ctx.registry.find(name.as_bytes()).map(|row| row.index);
    ctx.session.client.note_command(index);
}

fn client_type(word: &[u8]) -> Result<&'static str, Stop> {
    let found = TYPES.into_iter().find(|name| word.eq_ignore_ascii_case(name.as_bytes()));
    found.ok_or_else(|| Stop::repeating("ERR Unknown client type '", word, "'"))
}

fn client_id(word: &[u8]) -> Result<u64, Stop> {
    let id = number::parse_i64(word).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0);
    id.ok_or("ERR client-id should be greater than 0".into())
}

fn on_or_off(args: &mut Args<'_>) -> Result<bool, Stop> {
    match () {
        () if args.keyword("ON") => Ok(true),
        () if args.keyword("OFF") => Ok(false),
        () => Err(text::SYNTAX.into()),
    }
}

fn printable(word: &[u8]) -> Option<&str> {
    let all = word.iter().all(|byte| (b'!'..=b'~').contains(byte));
    std::str::from_utf8(word).ok().filter(|_| all)
}
