//! What a command does beyond the keys: what it has read is tracked; messages and events go out once all of its changes
//! stand in the log, and before anybody else can change its keys.

use bytes::Bytes;

use super::Context;
use super::registry::Row;
use super::table::Flags;
use crate::node::Node;
use crate::node::notify::EventClass;
use crate::protocol::Arguments;
use crate::store::Position;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// PUBLISH.
    Message { channel: Bytes, message: Bytes },
    /// SPUBLISH.
    ShardMessage { channel: Bytes, message: Bytes },
    /// Whatever keys anybody caches may be others now.
    Forget,
    /// A keyspace notification.
    Event { class: EventClass, event: &'static str, database: u32, key: Bytes },
}

impl Effect {
    /// Sends it; it arrives once the log has reached `wait`.
    pub(super) fn send(&self, node: &Node, wait: Position) {
        match self {
            Self::Message { channel, message } => node.publish(channel, message, wait),
            Self::ShardMessage { channel, message } => node.publish_to_shard(channel, message, wait),
            Self::Forget => node.invalidate_all(wait),
            Self::Event { class, event, database, key } => node.notify(*class, event, *database, key, wait),
        }
    }
}

/// Notes the keys that a command reads, for a connection that caches what it reads.
pub(super) fn note_read(ctx: &Context<'_, '_>, row: &Row, words: Arguments<'_>) {
    if row.is(Flags::READONLY) && ctx.session.tracks_reads() {
        ctx.node.note_read(&ctx.session.client, row.keys(words));
    }
}
