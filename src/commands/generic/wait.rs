//! WAIT and WAITAOF: until others, or the disk, have what this connection has changed.
//!
//! There are no replicas, so nobody but the disk ever has it: who waits for replicas waits until its time is over.

use crate::commands::{Args, Context, Outcome, text};
use crate::node::{Block, Node};
use crate::protocol::Reply;
use crate::store::Position;
use crate::types::number;

pub(super) fn wait(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let replicas = args.integer()?;
    let timeout = args.timeout_milliseconds(ctx.now())?;
    if replicas <= 0 {
        return Ok(Reply::Integer(0));
    }
    let timed_out = |_: &Node, _| Reply::Integer(0);
    let (keys, position) = (Vec::new(), ctx.session.wrote);
    ctx.block(Block {
        keys,
        is_ready: |_, _| false,
        also_gone: false,
        position,
        ends_durable: false,
        timeout,
        timed_out,
    })
}

pub(super) fn waitaof(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let local = args.integer()?;
    if !(0..=1).contains(&local) {
        return Err(text::NOT_ZERO_OR_ONE.into());
    }
    // Redis says the same of what is no number.
    let replicas = number::parse_i64(args.word()?).filter(|replicas| *replicas >= 0).ok_or(text::NOT_POSITIVE)?;
    let timeout = args.timeout_milliseconds(ctx.now())?;
    let position = ctx.session.wrote;
    let is_durable = ctx.keyspace()?.store().durable() >= position;
    if replicas == 0 && i64::from(is_durable) >= local {
        return Ok(on_disk(ctx.node, position));
    }
    let ends_durable = replicas == 0;
    ctx.block(Block {
        keys: Vec::new(),
        is_ready: |_, _| false,
        also_gone: false,
        position,
        ends_durable,
        timeout,
        timed_out: on_disk,
    })
}

/// Who has it: the disk, and no replica.
fn on_disk(node: &Node, position: Position) -> Reply {
    let is_durable = node.keyspace().is_some_and(|keyspace| keyspace.store().durable() >= position);
    Reply::Array(vec![Reply::zero_or_one(is_durable), Reply::Integer(0)])
}
