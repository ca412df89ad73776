//! MONITOR: what all connections do, as it happens.

use std::fmt::Write as _;

use super::{Args, Context, Outcome, Stop, text};
use crate::commands::registry::Row;
use crate::commands::table::Flags;
use crate::node::{Node, Peer, Session};
use crate::protocol::{Arguments, Reply};

/// What stands for a word that nobody may see.
const REDACTED: &str = "(redacted)";

pub(super) fn monitor(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    if ctx.in_transaction {
        return Err(text::MONITOR_DENIED.into());
    }
    if ctx.session.monitors {
        // As with Redis, it is not even answered.
        return Err(Stop::Silent);
    }
    ctx.session.monitors = true;
    ctx.node.monitors.add(&ctx.session.client);
    Ok(Reply::Ok)
}

/// The line about a command that ran, unless it is one that nobody is shown.
pub(in crate::commands) fn line(node: &Node, session: &Session, row: &Row, words: Arguments<'_>) -> Option<String> {
    if row.is(Flags::ADMIN) || row.is(Flags::SKIP_MONITOR) {
        return None;
    }
    let now = node.wall_microseconds();
    let mut line = String::new();
    // Writing to a string cannot fail.
    let _ = write!(line, "{}.{:06} [{} ", now / 1_000_000, now % 1_000_000, session.database);
    match &session.client.peer {
        Peer::Unix { path } => _ = write!(line, "unix:{path}]"),
        Peer::Tcp { .. } | Peer::Internal => _ = write!(line, "{}]", session.client.address()),
    }
    for (at, word) in words.iter().enumerate() {
        line.push(' ');
        match row.command.secret.is_some_and(|secret| secret(words, at)) {
            true => _ = write!(line, "\"{REDACTED}\""),
            false => quote(&mut line, word),
        }
    }
    Some(line)
}

/// Adds a word in quotes, with everything escaped that is not printable ASCII.
fn quote(line: &mut String, word: &[u8]) {
    line.push('"');
    for byte in word {
        match byte {
            b'\\' | b'"' => line.extend(['\\', char::from(*byte)]),
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            0x07 => line.push_str("\\a"),
            0x08 => line.push_str("\\b"),
            b' '..=b'~' => line.push(char::from(*byte)),
            _ => _ = write!(line, "\\x{byte:02x}"),
        }
    }
    line.push('"');
}
