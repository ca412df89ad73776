//! Fields read or set, and what becomes of their deadlines, in one command.

use super::super::expiring::{self, Expiry, deadline};
use super::{Args, Context, Outcome, Reply, Stop, counted_fields, tell_emptied, text, words_before_fields};
use crate::keyspace::HashEdit;
use crate::node::notify::EventClass;
use crate::protocol::ReplyBuffer;

/// Under what condition fields are set: nothing, or the key, or all of the fields, must be there or must not.
#[derive(Clone, Copy, Default)]
struct Conditions {
    key: Option<bool>,
    fields: Option<bool>,
}

pub(super) fn hgetdel(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    if !args.keyword("FIELDS") {
        return Err(text::SYNTAX.into());
    }
    counted_fields(&mut args, 1, text::FIELDS_MISCOUNTED)?;
    let (access, out) = ctx.keys_and_out()?;
    let mut hash = access.edit_hash(key)?;
    hash.fetch(args.rest())?;
    out.array(args.left());
    let mut removed = false;
    for field in args.rest() {
        if send(out, &mut hash, field)? {
            removed |= hash.remove(field);
        }
    }
    let edited = hash.finish()?;
    if removed {
        ctx.notify(EventClass::HASH, "hdel", key);
    }
    tell_emptied(ctx, key, edited);
    Err(Stop::Written)
}

pub(super) fn hgetex(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let options = words_before_fields(&args)?;
    let end = args.left() - options;
    let mut expiry = None;
    while args.left() > end {
        if matches!(expiry, None | Some(Expiry::Clear)) && args.keyword("PERSIST") {
            expiry = Some(Expiry::Clear);
        } else {
            expiring::option(&mut args, &mut expiry, end)?;
        }
    }
    args.word()?;
    counted_fields(&mut args, 1, text::FIELDS_MISCOUNTED)?;
    let now = ctx.now();
    let (access, out) = ctx.keys_and_out()?;
    let mut hash = access.edit_hash(key)?;
    let deadline = read_deadline(now, expiry, "hgetex")?;
    hash.fetch(args.rest())?;
    out.array(args.left());
    let (mut kept, mut gone, mut persisted) = (false, false, false);
    for field in args.rest() {
        if !send(out, &mut hash, field)? {
            continue;
        }
        match deadline {
            Some(deadline) if deadline <= now => gone |= hash.remove(field),
            Some(deadline) => kept |= hash.set_deadline(field, Some(deadline))?,
            None if expiry == Some(Expiry::Clear) && hash.deadline(field).flatten().is_some() => {
                persisted |= hash.set_deadline(field, None)?;
            }
            None => {}
        }
    }
    let edited = hash.finish()?;
    for (happened, event) in [(kept, "hexpire"), (gone, "hexpired"), (persisted, "hpersist")] {
        if happened {
            ctx.notify(EventClass::HASH, event, key);
        }
    }
    tell_emptied(ctx, key, edited);
    Err(Stop::Written)
}

pub(super) fn hsetex(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let options = words_before_fields(&args)?;
    let end = args.left() - options;
    let (mut conditions, mut expiry) = (Conditions::default(), None);
    while args.left() > end {
        if conditions.key != Some(true) && args.keyword("NX") {
            conditions.key = Some(false);
        } else if conditions.key != Some(false) && args.keyword("XX") {
            conditions.key = Some(true);
        } else if conditions.fields != Some(true) && args.keyword("FNX") {
            conditions.fields = Some(false);
        } else if conditions.fields != Some(false) && args.keyword("FXX") {
            conditions.fields = Some(true);
        } else if matches!(expiry, None | Some(Expiry::Keep)) && args.keyword("KEEPTTL") {
            expiry = Some(Expiry::Keep);
        } else {
            expiring::option(&mut args, &mut expiry, end)?;
        }
    }
    args.word()?;
    counted_fields(&mut args, 2, text::FIELDS_MISCOUNTED)?;
    let Some(pairs) = args.pairs() else { return Err(text::FIELDS_MISCOUNTED.into()) };
    let now = ctx.now();
    let mut hash = ctx.keys()?.edit_hash(key)?;
    if conditions.key.is_some_and(|wanted| hash.is_empty() == wanted) {
        return Ok(Reply::Integer(0));
    }
    let deadline = read_deadline(now, expiry, "hsetex")?;
    if conditions.fields.is_some_and(|wanted| pairs.clone().any(|(field, _)| hash.contains(field) != wanted)) {
        return Ok(Reply::Integer(0));
    }
    let is_over = deadline.is_some_and(|deadline| deadline <= now);
    if !is_over {
        hash.expect(pairs.len());
    }
    for (field, value) in pairs {
        if is_over {
            hash.remove(field);
            continue;
        }
        let deadline = match expiry {
            Some(Expiry::Keep) => hash.deadline(field).flatten(),
            _ => deadline,
        };
        hash.set(field, value, deadline);
    }
    let edited = hash.finish()?;
    ctx.notify(EventClass::HASH, "hset", key);
    if deadline.is_some() {
        ctx.notify(EventClass::HASH, "hexpire", key);
    }
    if is_over {
        ctx.notify(EventClass::HASH, "hexpired", key);
        if !edited.exists {
            ctx.notify(EventClass::GENERIC, "del", key);
        }
    }
    Ok(Reply::Integer(1))
}

/// Sends the value of a field, or null; returns whether there is such a field.
fn send(out: &mut ReplyBuffer, hash: &mut HashEdit<'_, '_>, field: &[u8]) -> Result<bool, Stop> {
    let sent = hash.get(field, |value, _| out.bulk(value))?;
    if sent.is_none() {
        out.null();
    }
    Ok(sent.is_some())
}

fn read_deadline(now: u64, expiry: Option<Expiry<'_>>, name: &'static str) -> Result<Option<u64>, Stop> {
    match expiry {
        Some(Expiry::At(amount, unit, basis)) => deadline(now, (amount, unit, basis), 0, name).map(Some),
        _ => Ok(None),
    }
}
