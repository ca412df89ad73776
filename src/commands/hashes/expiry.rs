//! When fields expire: for each field a number tells what has become of it.

use super::super::expiring::deadline;
use super::{Args, Context, Outcome, Stop, counted_fields, tell_emptied, text, words_before_fields};
use crate::commands::generic::expiry::{Conditions, seconds};
use crate::node::notify::EventClass;
use crate::types::time::{Basis, Unit};

/// There is no such field.
const NO_FIELD: i64 = -2;
/// The field has no deadline.
const NO_DEADLINE: i64 = -1;
/// The condition does not hold.
const NOT_MET: i64 = 0;
/// The deadline is set, or removed.
const DONE: i64 = 1;
/// The deadline is over: the field is gone.
const GONE: i64 = 2;

pub(super) fn hexpire(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    set(ctx, args, Unit::Seconds, Basis::Relative, "hexpire")
}

pub(super) fn hpexpire(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    set(ctx, args, Unit::Milliseconds, Basis::Relative, "hpexpire")
}

pub(super) fn hexpireat(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    set(ctx, args, Unit::Seconds, Basis::Absolute, "hexpireat")
}

pub(super) fn hpexpireat(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    set(ctx, args, Unit::Milliseconds, Basis::Absolute, "hpexpireat")
}

pub(super) fn httl(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    tell(ctx, args, |deadline, now| seconds(deadline - now))
}

pub(super) fn hpttl(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    tell(ctx, args, |deadline, now| deadline - now)
}

pub(super) fn hexpiretime(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    tell(ctx, args, |deadline, _| seconds(deadline))
}

pub(super) fn hpexpiretime(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    tell(ctx, args, |deadline, _| deadline)
}

pub(super) fn hpersist(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    if !args.keyword("FIELDS") {
        return Err(text::SYNTAX.into());
    }
    counted_fields(&mut args, 1, text::FIELDS_MISCOUNTED)?;
    let (access, out) = ctx.keys_and_out()?;
    let mut hash = access.edit_hash(key)?;
    hash.fetch(args.rest())?;
    out.array(args.left());
    let mut persisted = false;
    for field in args.rest() {
        out.integer(match hash.deadline(field) {
            None => NO_FIELD,
            Some(None) => NO_DEADLINE,
            Some(Some(_)) => {
                persisted = true;
                hash.set_deadline(field, None)?;
                DONE
            }
        });
    }
    let edited = hash.finish()?;
    if persisted {
        ctx.notify(EventClass::HASH, "hpersist", key);
    }
    tell_emptied(ctx, key, edited);
    Err(Stop::Written)
}

fn set(ctx: &mut Context<'_, '_>, mut args: Args<'_>, unit: Unit, basis: Basis, name: &'static str) -> Outcome {
    let (key, amount) = (args.word()?, args.word()?);
    let options = words_before_fields(&args)?;
    let conditions = Conditions::read_some(&mut args, options)?;
    args.word()?;
    counted_fields(&mut args, 1, text::FIELDS_MISCOUNTED)?;
    let now = ctx.now();
    let deadline = deadline(now, (amount, unit, basis), 0, name)?;
    let (access, out) = ctx.keys_and_out()?;
    let mut hash = access.edit_hash(key)?;
    if deadline > now {
        hash.fetch(args.rest())?;
    }
    out.array(args.left());
    let (mut kept, mut gone) = (false, false);
    for field in args.rest() {
        out.integer(match hash.deadline(field) {
            None => NO_FIELD,
            Some(current) if !conditions.allow(current.map(|current| current as i64), deadline as i64) => NOT_MET,
            Some(_) if deadline <= now => {
                gone |= hash.remove(field);
                GONE
            }
            Some(_) => {
                kept |= hash.set_deadline(field, Some(deadline))?;
                DONE
            }
        });
    }
    let edited = hash.finish()?;
    if kept {
        ctx.notify(EventClass::HASH, "hexpire", key);
    }
    if gone {
        ctx.notify(EventClass::HASH, "hexpired", key);
    }
    tell_emptied(ctx, key, edited);
    Err(Stop::Written)
}

fn tell(ctx: &mut Context<'_, '_>, mut args: Args<'_>, how: impl Fn(i64, i64) -> i64) -> Outcome {
    let key = args.word()?;
    if !args.keyword("FIELDS") {
        return Err(text::SYNTAX.into());
    }
    counted_fields(&mut args, 1, text::SYNTAX)?;
    let (access, out) = ctx.keys_and_out()?;
    let hash = access.hash(key)?;
    let now = access.now() as i64;
    out.array(args.left());
    for field in args.rest() {
        out.integer(match hash.as_ref().and_then(|hash| hash.deadline(access, field)) {
            None => NO_FIELD,
            Some(None) => NO_DEADLINE,
            Some(Some(deadline)) => how(deadline as i64, now),
        });
    }
    Err(Stop::Written)
}
