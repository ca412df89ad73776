//! What tools ask a server that may have replicas: this one is a master, alone.

use super::{Args, Context, Outcome, text};
use crate::protocol::Reply;
use crate::types::number;

pub(super) fn role(_: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(Reply::Array(vec![Reply::Text("master".into()), Reply::Integer(0), Reply::Array(Vec::new())]))
}

pub(super) fn replicaof(_: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    if args.keyword("NO") {
        if args.keyword("ONE") {
            return Ok(Reply::Ok);
        }
    } else {
        args.word()?;
    }
    let port = number::parse_i64(args.word()?).filter(|port| (0..=65535).contains(port));
    port.ok_or("ERR Invalid master port")?;
    Err("ERR this server cannot be a replica; copy the data over with a client".into())
}

pub(super) fn failover(_: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (mut target, mut timeout, mut force, mut abort) = (false, false, false, false);
    let alone = args.left() == 1;
    while !args.is_empty() {
        if alone && args.keyword("ABORT") {
            abort = true;
        } else if !timeout && args.left() > 1 && args.keyword("TIMEOUT") {
            if args.integer()? <= 0 {
                return Err("ERR FAILOVER timeout must be greater than 0".into());
            }
            timeout = true;
        } else if !target && args.left() > 2 && args.keyword("TO") {
            args.word()?;
            args.integer()?;
            target = true;
        } else if !force && args.keyword("FORCE") {
            force = true;
        } else {
            return Err(text::SYNTAX.into());
        }
    }
    if abort {
        return Err("ERR No failover in progress.".into());
    }
    Err("ERR FAILOVER requires connected replicas.".into())
}
