//! Commands about the connection itself.

mod auth;
mod client;
mod pause;
mod tracking;

use super::table::checked;
use super::{Args, Command, Context, Flags, Group, Outcome, Stop, text};
use crate::node::ReplyMode;
use crate::protocol::{Reply, Version};

/// What a client may do in any state of the server.
const ALWAYS: Flags = Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE).with(Flags::FAST).with(Flags::ALLOW_BUSY);

/// The version of Redis whose commands and replies these are: what clients ask for in HELLO and INFO.
pub const REDIS_VERSION: &str = "7.4.0";

pub(super) const TABLE: &[Command] = &checked(
    Group::Connection,
    [
        Command::new("AUTH", "[username] password", auth::auth)
            .summary("Authenticates the connection.")
            .complexity("O(N) for a password of N bytes")
            .secret(|_, at| at > 0)
            .flag(ALWAYS)
            .flag(Flags::NO_AUTH),
        Command::new("CLIENT", "subcommand [argument ...]", client::container)
            .summary("Looks at connections and changes them.")
            .since("2.4.0")
            .complexity("Depends on the subcommand")
            .subcommands(client::TABLE),
        Command::new("ECHO", "message", echo)
            .summary("Answers what it is told.")
            .flag(Flags::LOADING)
            .flag(Flags::STALE)
            .flag(Flags::FAST),
        Command::new("HELLO", "[protover [AUTH username password] [SETNAME clientname]]", auth::hello)
            .summary("Chooses the protocol, and tells about the server.")
            .secret(auth::is_login)
            .since("6.0.0")
            .flag(ALWAYS)
            .flag(Flags::NO_AUTH),
        Command::new("PING", "[message]", ping)
            .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
            .summary("Answers PONG, or what it is told.")
            .flag(Flags::FAST)
            .flag(Flags::LISTENING),
        Command::new("QUIT", "", quit)
            .arity(-1)
            .summary("Closes the connection after answering.")
            .deprecated("7.2.0", "just closing the connection")
            .flag(ALWAYS)
            .flag(Flags::NO_AUTH)
            .flag(Flags::IMMEDIATE)
            .flag(Flags::LISTENING),
        Command::new("RESET", "", reset)
            .summary("Makes the connection as if it were new.")
            .since("6.2.0")
            .flag(ALWAYS)
            .flag(Flags::NO_AUTH)
            .flag(Flags::IMMEDIATE)
            .flag(Flags::LISTENING),
        Command::new("SELECT", "index", select)
            .summary("Chooses the database that keys are looked up in.")
            .flag(Flags::LOADING)
            .flag(Flags::STALE)
            .flag(Flags::FAST),
    ],
);

fn ping(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let message = args.optional();
    if !args.is_empty() {
        return Err(text::wrong_arity("ping"));
    }
    if ctx.session.only_listens() {
        // Who reads messages takes it for one.
        return Ok(Reply::Array(vec![Reply::bulk(b"pong"), Reply::bulk(message.unwrap_or_default())]));
    }
    Ok(message.map_or(Reply::Simple("PONG"), Reply::bulk))
}

fn echo(_: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    Ok(Reply::bulk(args.word()?))
}

fn quit(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    ctx.session.closing = true;
    Ok(Reply::Ok)
}

fn select(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let databases = ctx.databases();
    ctx.session.database = args.database(databases)?;
    Ok(Reply::Ok)
}

fn reset(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    ctx.session.transaction = None;
    if let Some(keyspace) = ctx.node.keyspace() {
        ctx.session.unwatch(keyspace);
    }
    ctx.session.unsubscribe_all(ctx.node);
    ctx.session.end_tracking(ctx.node);
    ctx.session.end_monitoring(ctx.node);
    ctx.session.database = 0;
    ctx.session.log_out(ctx.node.acl.default_account().clone());
    ctx.session.no_touch = false;
    ctx.session.set_reply_mode(ReplyMode::On);
    ctx.session.client.set_name("");
    ctx.session.client.set_no_evict(false);
    ctx.session.client.set_no_touch(false);
    ctx.set_version(Version::Resp2);
    Ok(Reply::Simple("RESET"))
}

impl Context<'_, '_> {
    /// How many databases there are.
    pub(super) fn databases(&self) -> u32 {
        self.node.config.get().databases
    }

    fn set_version(&mut self, version: Version) {
        self.session.set_version(version);
        self.out.set_version(version);
    }
}
