//! Numbers in fields; whatever is added, a field keeps its deadline.

use super::{Args, Context, Outcome, Reply, Stop, text};
use crate::node::notify::EventClass;
use crate::types::long_double::LongDouble;
use crate::types::number;

pub(super) fn hincrby(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, field, increment) = (args.word()?, args.word()?, args.integer()?);
    let mut hash = ctx.keys()?.edit_hash(key)?;
    let found = hash.get(field, |value, deadline| {
        let value = number::parse_i64(value).ok_or(text::HASH_VALUE_NOT_AN_INTEGER)?;
        Ok::<_, Stop>((value, deadline))
    })?;
    let (value, deadline) = found.transpose()?.unwrap_or((0, None));
    let sum = value.checked_add(increment).ok_or(text::OVERFLOW)?;
    hash.alone();
    hash.set(field, itoa::Buffer::new().format(sum).as_bytes(), deadline);
    hash.finish()?;
    ctx.notify(EventClass::HASH, "hincrby", key);
    Ok(Reply::Integer(sum))
}

pub(super) fn hincrbyfloat(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, field, increment) = (args.word()?, args.word()?, args.word()?);
    let increment = LongDouble::parse(increment).ok_or(text::NOT_A_FLOAT)?;
    if increment.is_infinite() {
        return Err(text::INFINITE_INCREMENT.into());
    }
    let mut hash = ctx.keys()?.edit_hash(key)?;
    let found = hash.get(field, |value, deadline| {
        let value = LongDouble::parse(value).ok_or(text::HASH_VALUE_NOT_A_FLOAT)?;
        Ok::<_, Stop>((value, deadline))
    })?;
    let (sum, deadline) = match found.transpose()? {
        Some((value, deadline)) => (value.plus(increment), deadline),
        None => (increment, None),
    };
    if sum.is_nan() || sum.is_infinite() {
        return Err(text::NAN_OR_INFINITY.into());
    }
    let sum = sum.format();
    hash.alone();
    hash.set(field, sum.as_bytes(), deadline);
    hash.finish()?;
    ctx.notify(EventClass::HASH, "hincrbyfloat", key);
    Ok(Reply::Text(sum))
}
