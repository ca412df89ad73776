//! Commands on sorted sets.
//!
//! Always true: a handler with several keys holds no edit of one while it looks at another; where scores stand beside members,
//! RESP3 has pairs and RESP2 one flat array.

mod add;
mod bounds;
mod combine;
mod pop;
mod range;
mod read;
mod remove;
mod rows;

pub(super) use rows::TABLE;

use super::{Args, Command, Context, Flags, Group, Outcome};
use crate::keyspace::{Edited, Name, ZSet, ZSetEdit};
use crate::node::notify::EventClass;
use crate::protocol::{Reply, ReplyBuffer, Version};

use self::bounds::Members;

/// With how many members it has.
impl Members for (&ZSet, usize) {
    fn count(&self) -> usize {
        self.1
    }

    fn count_scores(&self, before: impl Fn(f64) -> bool) -> usize {
        self.0.count_scores(before)
    }

    fn count_names(&self, before: impl Fn(&[u8]) -> bool) -> usize {
        self.0.count_names(before)
    }
}

impl Members for ZSetEdit<'_, '_> {
    fn count(&self) -> usize {
        self.len()
    }

    fn count_scores(&self, before: impl Fn(f64) -> bool) -> usize {
        ZSetEdit::count_scores(self, before)
    }

    fn count_names(&self, before: impl Fn(&[u8]) -> bool) -> usize {
        ZSetEdit::count_names(self, before)
    }
}

/// Begins an array of so many members, which follow.
fn send_head(out: &mut ReplyBuffer, count: usize, with_scores: bool) {
    let is_flat = with_scores && out.version() == Version::Resp2;
    out.array(if is_flat { 2 * count } else { count });
}

/// A member in such an array.
fn send_member(out: &mut ReplyBuffer, member: &[u8], score: Option<f64>) {
    if score.is_some() && out.version() == Version::Resp3 {
        out.array(2);
    }
    out.bulk(member);
    if let Some(score) = score {
        out.double(score);
    }
}

/// Makes a key the sorted set of these members, or deletes it if there are none.
fn store(ctx: &mut Context<'_, '_>, key: &[u8], members: &[(Name, f64)], event: &'static str) -> Outcome {
    let mut zset = ctx.keys()?.replace_zset(key);
    zset.expect(members.len(), members.iter().map(|(member, _)| member.len()).max().unwrap_or(0));
    members.iter().for_each(|(member, score)| _ = zset.set(member, *score));
    let edited = zset.finish()?;
    if members.is_empty() {
        tell_emptied(ctx, key, edited);
    } else {
        ctx.notify(EventClass::ZSET, event, key);
    }
    Ok(Reply::from(members.len()))
}

/// A sorted set without members is no key: whoever took the last one has deleted it.
fn tell_emptied(ctx: &mut Context<'_, '_>, key: &[u8], edited: Edited) {
    if edited.emptied() {
        ctx.notify(EventClass::GENERIC, "del", key);
    }
}
