//! ACL LOG: what was refused.

use super::{Args, Context, Outcome, text, too_many};
use crate::node::acl::LogEntry;
use crate::protocol::Reply;
use crate::types::number;

/// How many entries are told where nothing is said.
const ENTRIES: i64 = 10;

pub(super) fn log(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    if args.left() > 1 {
        return Err(too_many("LOG"));
    }
    if args.keyword("RESET") {
        ctx.node.acl.log.truncate(0);
        return Ok(Reply::Ok);
    }
    let count = args.optional().map_or(Some(ENTRIES), number::parse_i64).ok_or(text::NOT_AN_INTEGER)?;
    let entries = ctx.node.acl.log.newest(usize::try_from(count).unwrap_or(0));
    let now = ctx.node.wall_now();
    Ok(Reply::Array(entries.into_iter().map(|entry| describe(entry, now)).collect()))
}

fn describe(entry: LogEntry, now: u64) -> Reply {
    let text = |text: &str| Reply::Text(text.into());
    let number = |number: u64| Reply::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let age = now.saturating_sub(entry.updated) as f64 / 1000.0;
    Reply::Map(vec![
        (text("count"), number(entry.count)),
        (text("reason"), text(entry.refusal.reason.name())),
        (text("context"), text(entry.refusal.place.name())),
        (text("object"), Reply::bulk(&entry.refusal.object)),
        (text("username"), Reply::bulk(&entry.refusal.user)),
        (text("age-seconds"), Reply::Double(age)),
        (text("client-info"), Reply::Text(entry.client)),
        (text("entry-id"), number(entry.id)),
        (text("timestamp-created"), number(entry.created)),
        (text("timestamp-last-updated"), number(entry.updated)),
    ])
}
