//! Numbers in strings.

use super::{Args, Context, Kind, Outcome, Reply, Stop, string, text};
use crate::node::notify::EventClass;
use crate::types::long_double::LongDouble;
use crate::types::number;

pub(super) fn incr(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    add(ctx, args.word()?, 1)
}

pub(super) fn decr(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    add(ctx, args.word()?, -1)
}

pub(super) fn incrby(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    add(ctx, args.word()?, args.integer()?)
}

pub(super) fn decrby(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, decrement) = (args.word()?, args.integer()?);
    add(ctx, key, decrement.checked_neg().ok_or(text::DECREMENT_OVERFLOW)?)
}

pub(super) fn incrbyfloat(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, increment) = (args.word()?, args.word()?);
    let access = ctx.keys()?;
    let found = access.view(key, |view| {
        let value = LongDouble::parse(string(&view)?).ok_or(text::NOT_A_FLOAT)?;
        Ok::<_, Stop>((value, view.expiry))
    })?;
    let found = found.transpose()?;
    let increment = LongDouble::parse(increment).ok_or(text::NOT_A_FLOAT)?;
    let (sum, expiry) = match found {
        Some((value, expiry)) => (value.plus(increment), expiry),
        None => (increment, None),
    };
    if sum.is_nan() || sum.is_infinite() {
        return Err(text::NAN_OR_INFINITY.into());
    }
    let sum = sum.format();
    access.put(key, Kind::of_text(sum.as_bytes()).0, sum.as_bytes(), expiry)?;
    ctx.notify(EventClass::STRING, "incrbyfloat", key);
    Ok(Reply::Text(sum))
}

fn add(ctx: &mut Context<'_, '_>, key: &[u8], increment: i64) -> Outcome {
    let access = ctx.keys()?;
    let found = access.view(key, |view| {
        let value = number::parse_i64(string(&view)?).ok_or(text::NOT_AN_INTEGER)?;
        Ok::<_, Stop>((value, view.expiry))
    })?;
    let (value, expiry) = found.transpose()?.unwrap_or((0, None));
    let sum = value.checked_add(increment).ok_or(text::OVERFLOW)?;
    access.put(key, Kind::INT.0, itoa::Buffer::new().format(sum).as_bytes(), expiry)?;
    ctx.notify(EventClass::STRING, "incrby", key);
    Ok(Reply::Integer(sum))
}
