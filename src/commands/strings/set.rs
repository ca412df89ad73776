//! Setting strings, with all that SET and GETEX can be told.

use super::super::expiring::{self, Expiry, deadline};
use super::{Args, Context, Kind, Outcome, Reply, Stop, string, text};
use crate::node::notify::EventClass;
use crate::protocol::Arguments;
use crate::types::kind::Type;
use crate::types::time::{Basis, Unit};
use std::collections::HashSet;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    None,
    Absent,
    Present,
}

struct Options<'a> {
    condition: Condition,
    get: bool,
    expiry: Option<Expiry<'a>>,
}

/// What SET does with its key: only with GET its value gets known.
pub(super) fn key_access(words: Arguments<'_>) -> &'static str {
    let gets = words.from(3).iter().any(|word| word.eq_ignore_ascii_case(b"GET"));
    if gets { "RW access update" } else { "OW update" }
}

pub(super) fn set(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, value) = (args.word()?, args.word()?);
    let mut options = Options { condition: Condition::None, get: false, expiry: None };
    while !args.is_empty() {
        if options.condition != Condition::Present && args.keyword("NX") {
            options.condition = Condition::Absent;
        } else if options.condition != Condition::Absent && args.keyword("XX") {
            options.condition = Condition::Present;
        } else if args.keyword("GET") {
            options.get = true;
        } else if matches!(options.expiry, None | Some(Expiry::Keep)) && args.keyword("KEEPTTL") {
            options.expiry = Some(Expiry::Keep);
        } else {
            expiring::option(&mut args, &mut options.expiry, 0)?;
        }
    }
    set_generic(ctx, key, value, &options, "set")
}

pub(super) fn setnx(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let options = Options { condition: Condition::Absent, get: false, expiry: None };
    let reply = set_generic(ctx, args.word()?, args.word()?, &options, "setnx")?;
    Ok(Reply::zero_or_one(reply == Reply::Ok))
}

pub(super) fn setex(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    set_expiring(ctx, args, Unit::Seconds, "setex")
}

pub(super) fn psetex(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    set_expiring(ctx, args, Unit::Milliseconds, "psetex")
}

pub(super) fn getset(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let options = Options { condition: Condition::None, get: true, expiry: None };
    set_generic(ctx, args.word()?, args.word()?, &options, "getset")
}

pub(super) fn getex(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let mut expiry = None;
    while !args.is_empty() {
        if matches!(expiry, None | Some(Expiry::Clear)) && args.keyword("PERSIST") {
            expiry = Some(Expiry::Clear);
        } else {
            expiring::option(&mut args, &mut expiry, 0)?;
        }
    }
    if !ctx.keys()?.meta(key).is_some_and(|meta| Kind(meta.kind).of() == Type::String) {
        // It counts as looked up, in vain where there is nothing; what else there is comes before a wrong deadline.
        return ctx.send_string(key);
    }
    let deadline = match expiry {
        Some(Expiry::At(amount, unit, basis)) => Some(deadline(ctx.now(), (amount, unit, basis), 1, "getex")?),
        _ => None,
    };
    let outcome = ctx.send_string(key);
    if !matches!(outcome, Err(Stop::Written)) {
        return outcome;
    }
    let now = ctx.now();
    let access = ctx.keys()?;
    access.counts = false;
    match (expiry, deadline) {
        (_, Some(deadline)) if deadline <= now => {
            access.delete(key)?;
            ctx.notify(EventClass::GENERIC, "del", key);
        }
        (_, Some(deadline)) => {
            access.set_expiry(key, Some(deadline))?;
            ctx.notify(EventClass::GENERIC, "expire", key);
        }
        (Some(Expiry::Clear), None) if access.meta(key).is_some_and(|meta| meta.expiry.is_some()) => {
            access.set_expiry(key, None)?;
            ctx.notify(EventClass::GENERIC, "persist", key);
        }
        _ => {}
    }
    outcome
}

pub(super) fn mset(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    let pairs = args.pairs().ok_or_else(|| text::wrong_arity("mset"))?;
    put_all(ctx, pairs)?;
    Ok(Reply::Ok)
}

pub(super) fn msetnx(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    let pairs = args.pairs().ok_or_else(|| text::wrong_arity("msetnx"))?;
    let access = ctx.keys()?;
    if pairs.clone().any(|(key, _)| access.exists(key)) {
        return Ok(Reply::Integer(0));
    }
    put_all(ctx, pairs)?;
    Ok(Reply::Integer(1))
}

fn put_all<'a>(
    ctx: &mut Context<'_, '_>,
    pairs: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
) -> Result<(), Stop> {
    let alone = !ctx.in_transaction;
    let with_kinds = pairs.clone().map(|(key, value)| (key, Kind::of_string(value).0, value));
    if ctx.node.notified().is_empty() {
        return Ok(ctx.keys()?.put_all(with_kinds, alone)?);
    }
    let access = ctx.keys()?;
    let mut new: HashSet<&[u8]> = pairs.clone().map(|(key, _)| key).filter(|key| !access.exists(key)).collect();
    // They are told of one by one below.
    let notes_new = std::mem::take(&mut access.notes_new);
    let put = access.put_all(with_kinds, alone);
    access.notes_new = notes_new;
    put?;
    for (key, _) in pairs {
        if new.remove(key) {
            ctx.notify(EventClass::NEW, "new", key);
        }
        ctx.notify(EventClass::STRING, "set", key);
    }
    Ok(())
}

fn set_expiring(ctx: &mut Context<'_, '_>, mut args: Args<'_>, unit: Unit, name: &'static str) -> Outcome {
    let (key, amount, value) = (args.word()?, args.word()?, args.word()?);
    let expiry = Some(Expiry::At(amount, unit, Basis::Relative));
    set_generic(ctx, key, value, &Options { condition: Condition::None, get: false, expiry }, name)
}

fn set_generic(
    ctx: &mut Context<'_, '_>,
    key: &[u8],
    value: &[u8],
    options: &Options<'_>,
    name: &'static str,
) -> Outcome {
    let now = ctx.now();
    let mut expiry = match options.expiry {
        Some(Expiry::At(amount, unit, basis)) => Some(deadline(now, (amount, unit, basis), 1, name)?),
        _ => None,
    };
    let access = ctx.keys()?;
    let mut reply = Reply::Ok;
    if options.get {
        access.counts = true;
        let old = access.view(key, |view| string(&view).map(|bytes| view.shared.cloned().ok_or(bytes.to_vec())))?;
        reply = match old.transpose()? {
            Some(Ok(shared)) => Reply::Bulk(shared),
            Some(Err(copied)) => Reply::from(copied),
            None => Reply::Null,
        };
        access.counts = false;
    }
    if options.condition != Condition::None || options.expiry == Some(Expiry::Keep) {
        let meta = access.meta(key);
        if meta.is_some() == (options.condition == Condition::Absent) && options.condition != Condition::None {
            return Ok(if options.get { reply } else { Reply::Null });
        }
        if options.expiry == Some(Expiry::Keep) {
            expiry = meta.and_then(|meta| meta.expiry);
        }
    }
    access.put(key, Kind::of_string(value).0, value, expiry)?;
    // A time that is over already is treated as any other: the key goes when it is looked for, or at the next sweep, which
    // tells of it then, and once.
    if !ctx.node.notified().is_empty() {
        ctx.notify(EventClass::STRING, "set", key);
        if matches!(options.expiry, Some(Expiry::At(..))) {
            ctx.notify(EventClass::GENERIC, "expire", key);
        }
    }
    Ok(reply)
}
