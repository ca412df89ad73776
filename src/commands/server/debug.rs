//! DEBUG: the few of its subcommands that tests of clients need.

use std::time::Duration;

use super::{Args, Context, Done, Errand, Outcome, Stop, text};
use crate::config::EnableDebug;
use crate::node::Peer;
use crate::protocol::Reply;
use crate::types::kind::Kind;

const NOT_ALLOWED: &str = "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can \
     run it from a local connection, otherwise you need to set this option in the configuration file, and then restart \
     the server.";

const HELP: [&str; 9] = [
    "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "OBJECT <key>",
    "    Shows how a key is kept.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Has keys whose time is over removed by themselves, or only when they are looked at.",
    "SLEEP <seconds>",
    "    Answers after so many seconds; other clients are served meanwhile.",
    "HELP",
    "    Prints this help.",
];

pub(super) fn debug(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    if !is_allowed(ctx) {
        return Err(NOT_ALLOWED.into());
    }
    let subcommand = args.word()?;
    let is = |name: &str, left: usize| subcommand.eq_ignore_ascii_case(name.as_bytes()) && args.left() == left;
    match () {
        () if is("HELP", 0) => Ok(Reply::Array(HELP.iter().map(|line| Reply::Simple(line)).collect())),
        () if is("SLEEP", 1) => sleep(ctx, args.word()?),
        () if is("OBJECT", 1) => object(ctx, args.word()?),
        () if is("SET-ACTIVE-EXPIRE", 1) => {
            ctx.node.set_expires_keys(args.word()? != b"0");
            Ok(Reply::Ok)
        }
        () => Err(text::subcommand_syntax(subcommand, "debug")),
    }
}

fn is_allowed(ctx: &Context<'_, '_>) -> bool {
    match ctx.node.config.get().enable_debug_command {
        EnableDebug::No => false,
        EnableDebug::Yes => true,
        EnableDebug::Local => match &ctx.session.client.peer {
            Peer::Tcp { peer, .. } => {
                let address = peer.parse::<std::net::SocketAddr>();
                address.is_ok_and(|address| address.ip().to_canonical().is_loopback())
            }
            Peer::Unix { .. } | Peer::Internal => true,
        },
    }
}

/// Nobody sleeps here: the server waits, and runs the command again.
fn sleep(ctx: &Context<'_, '_>, seconds: &[u8]) -> Outcome {
    match ctx.finished {
        Some(Ok(Done::Slept)) => Ok(Reply::Ok),
        _ => {
            let seconds = std::str::from_utf8(seconds).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0);
            Err(Stop::Errand(Errand::Sleep(Duration::try_from_secs_f64(seconds).unwrap_or_default())))
        }
    }
}

fn object(ctx: &mut Context<'_, '_>, key: &[u8]) -> Outcome {
    let started = ctx.node.started();
    let access = ctx.keys()?;
    access.touches = false;
    let meta = access.meta(key).ok_or(text::NO_SUCH_KEY)?;
    let usage = access.usage(key).ok_or(text::NO_SUCH_KEY)?;
    let now = access.now();
    let idle = usage.idle_seconds.map_or(now.saturating_sub(started) / 1000, u64::from);
    Ok(Reply::Text(format!(
        "Value at:{:#x} refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{idle}",
        meta.location.offset,
        Kind(meta.kind).encoding(),
        meta.location.length,
        (now / 1000).saturating_sub(idle) & 0xff_ffff,
    )))
}
