//! When a key expires.

use super::{Args, Context, Outcome, Reply, text};
use crate::commands::Stop;
use crate::node::notify::EventClass;
use crate::types::time::{self, Basis, Unit};

/// Under what condition an expiry is set.
#[derive(Clone, Copy, Default)]
pub(in crate::commands) struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

pub(super) fn expire(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    set(ctx, args, Unit::Seconds, Basis::Relative, "expire")
}

pub(super) fn pexpire(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    set(ctx, args, Unit::Milliseconds, Basis::Relative, "pexpire")
}

pub(super) fn expireat(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    set(ctx, args, Unit::Seconds, Basis::Absolute, "expireat")
}

pub(super) fn pexpireat(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    set(ctx, args, Unit::Milliseconds, Basis::Absolute, "pexpireat")
}

pub(super) fn ttl(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    tell(ctx, args, |deadline, now| seconds(deadline - now))
}

pub(super) fn pttl(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    tell(ctx, args, |deadline, now| deadline - now)
}

pub(super) fn expiretime(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    tell(ctx, args, |deadline, _| seconds(deadline))
}

pub(super) fn pexpiretime(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    tell(ctx, args, |deadline, _| deadline)
}

pub(super) fn persist(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let access = ctx.keys()?;
    let volatile = access.meta(key).is_some_and(|meta| meta.expiry.is_some());
    if volatile {
        access.set_expiry(key, None)?;
        ctx.notify(EventClass::GENERIC, "persist", key);
    }
    Ok(Reply::zero_or_one(volatile))
}

fn set(ctx: &mut Context<'_, '_>, mut args: Args<'_>, unit: Unit, basis: Basis, name: &'static str) -> Outcome {
    let (key, amount) = (args.word()?, args.word()?);
    let conditions = Conditions::read(&mut args)?;
    let amount = crate::types::number::parse_i64(amount).ok_or(text::NOT_AN_INTEGER)?;
    let now = ctx.now();
    let deadline = time::deadline(now, amount, unit, basis).map_err(|_| text::invalid_expire(name))?;
    let access = ctx.keys()?;
    let Some(meta) = access.meta(key) else { return Ok(Reply::Integer(0)) };
    if !conditions.allow(meta.expiry.map(|expiry| expiry as i64), deadline) {
        return Ok(Reply::Integer(0));
    }
    match u64::try_from(deadline) {
        Ok(deadline) if deadline > now => {
            access.set_expiry(key, Some(deadline))?;
            ctx.notify(EventClass::GENERIC, "expire", key);
        }
        _ => {
            access.delete(key)?;
            ctx.notify(EventClass::GENERIC, "del", key);
        }
    }
    Ok(Reply::Integer(1))
}

fn tell(ctx: &mut Context<'_, '_>, mut args: Args<'_>, how: impl Fn(i64, i64) -> i64) -> Outcome {
    let access = ctx.keys()?;
    let now = access.now() as i64;
    Ok(Reply::Integer(match access.meta(args.word()?).map(|meta| meta.expiry) {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline)) => how(deadline as i64, now),
    }))
}

/// To the nearest second.
pub(in crate::commands) fn seconds(milliseconds: i64) -> i64 {
    match u64::try_from(milliseconds) {
        Ok(milliseconds) => ((milliseconds + 500) / 1000) as i64,
        Err(_) => milliseconds / 1000,
    }
}

impl Conditions {
    /// Reads all that is left.
    fn read(args: &mut Args<'_>) -> Result<Self, Stop> {
        let words = args.left();
        Self::read_some(args, words)
    }

    /// Reads so many words.
    pub(in crate::commands) fn read_some(args: &mut Args<'_>, words: usize) -> Result<Self, Stop> {
        let mut read = Self::default();
        let end = args.left().saturating_sub(words);
        while args.left() > end
            && let Some(word) = args.peek()
        {
            match () {
                () if args.keyword("NX") => read.nx = true,
                () if args.keyword("XX") => read.xx = true,
                () if args.keyword("GT") => read.gt = true,
                () if args.keyword("LT") => read.lt = true,
                () => {
                    return Err(Stop::repeating("ERR Unsupported option ", word, ""));
                }
            }
        }
        if read.nx && (read.xx || read.gt || read.lt) {
            return Err(text::CONDITIONS_WITH_NX.into());
        }
        if read.gt && read.lt {
            return Err(text::CONDITIONS_GT_LT.into());
        }
        Ok(read)
    }

    /// A key, or a field, without an expiry counts as one that lives for ever.
    pub(in crate::commands) fn allow(self, current: Option<i64>, new: i64) -> bool {
        !(self.nx && current.is_some()
            || self.xx && current.is_none()
            || self.gt && current.is_none_or(|current| new <= current)
            || self.lt && current.is_some_and(|current| new >= current))
    }
}
