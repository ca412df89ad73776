//! Taking and moving elements, and waiting for one where there is none.

use std::time::Duration;

use super::moves::Move;
use super::pops::Pops;
use super::{Args, Bytes, Context, End, Outcome, Reply, ReplyBuffer, Stop};
use crate::keyspace::Access;
use crate::node::Block;
use crate::types::kind::{Kind, Type};

pub(super) fn blpop(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    pop(ctx, args, End::Left)
}

pub(super) fn brpop(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    pop(ctx, args, End::Right)
}

fn pop(ctx: &mut Context<'_, '_>, mut args: Args<'_>, end: End) -> Outcome {
    let keys = args.rest().take(args.left().saturating_sub(1));
    for _ in keys.clone() {
        args.word()?;
    }
    let timeout = args.timeout_seconds(ctx.now())?;
    for key in keys.clone() {
        let open = |out: &mut ReplyBuffer, _| {
            out.array(2);
            out.bulk(key);
        };
        if ctx.take(key, end, 1, open)? {
            return Err(Stop::Written);
        }
    }
    wait(ctx, keys, timeout)
}

pub(super) fn blmpop(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let mut timeout = args;
    args.word()?;
    let pops = Pops::read(&mut args)?;
    let timeout = timeout.timeout_seconds(ctx.now())?;
    pops.run(ctx)?;
    wait(ctx, pops.keys(), timeout)
}

pub(super) fn blmove(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let moved = Move::read(&mut args)?;
    move_or_wait(ctx, args, &moved)
}

pub(super) fn brpoplpush(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let moved = Move::read_last_to_first(&mut args)?;
    move_or_wait(ctx, args, &moved)
}

fn move_or_wait(ctx: &mut Context<'_, '_>, mut args: Args<'_>, moved: &Move<'_>) -> Outcome {
    let timeout = args.timeout_seconds(ctx.now())?;
    moved.run(ctx)?;
    if ctx.in_transaction {
        // Whose time is over is answered the null of an array instead.
        return Ok(Reply::Null);
    }
    wait(ctx, std::iter::once(moved.source), timeout)
}

fn wait<'a>(ctx: &Context<'_, '_>, keys: impl Iterator<Item = &'a [u8]>, timeout: Option<Duration>) -> Outcome {
    ctx.block(Block {
        keys: keys.map(Bytes::copy_from_slice).collect(),
        is_ready,
        also_gone: false,
        position: 0,
        ends_durable: false,
        timeout,
        timed_out: |_, _| Reply::NullArray,
    })
}

fn is_ready(access: &mut Access<'_>, key: &[u8]) -> bool {
    access.meta(key).is_some_and(|meta| Kind(meta.kind).of() == Type::List)
}
