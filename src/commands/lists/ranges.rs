//! Elements by their places, counted from either end.

use std::ops::Range;

use super::{Args, Context, EventClass, Outcome, Reply, Stop, send, text};

/// The ranks that two places mean, which may be counted from the end.
fn ranks(start: i64, stop: i64, length: usize) -> Range<usize> {
    let length = length as i64;
    let from_start = |place: i64| if place < 0 { place + length } else { place };
    let (start, end) = (from_start(start).max(0), from_start(stop).min(length - 1) + 1);
    if start < end { start as usize..end as usize } else { 0..0 }
}

/// The rank that a place means, which may be counted from the end.
fn rank(place: i64, length: usize) -> Option<usize> {
    let rank = if place < 0 { place + length as i64 } else { place };
    usize::try_from(rank).ok().filter(|rank| *rank < length)
}

pub(super) fn lrange(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, start, stop) = (args.word()?, args.integer()?, args.integer()?);
    let (access, out) = ctx.keys_and_out()?;
    let Some(list) = access.list(key)? else { return Ok(Reply::Array(Vec::new())) };
    let ranks = ranks(start, stop, list.len(access));
    out.array(ranks.len());
    list.range(access, ranks, false, |value, shared| send(out, value, shared))?;
    Err(Stop::Written)
}

pub(super) fn lindex(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let (access, out) = ctx.keys_and_out()?;
    let Some(list) = access.list(key)? else { return Ok(Reply::Null) };
    let Some(rank) = rank(args.integer()?, list.len(access)) else { return Ok(Reply::Null) };
    list.range(access, rank..rank + 1, false, |value, shared| send(out, value, shared))?;
    Err(Stop::Written)
}

pub(super) fn lset(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let mut list = ctx.keys()?.edit_list(key)?;
    if list.is_empty() {
        return Err(text::NO_SUCH_KEY.into());
    }
    let (place, element) = (args.integer()?, args.word()?);
    let rank = rank(place, list.len()).ok_or(text::INDEX_OUT_OF_RANGE)?;
    list.reserve(element.len());
    list.set(rank, element);
    list.finish()?;
    ctx.notify(EventClass::LIST, "lset", key);
    Ok(Reply::Ok)
}

pub(super) fn ltrim(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, start, stop) = (args.word()?, args.integer()?, args.integer()?);
    let mut list = ctx.keys()?.edit_list(key)?;
    let length = list.len();
    if length == 0 {
        return Ok(Reply::Ok);
    }
    let kept = ranks(start, stop, length);
    list.remove(kept.end..length);
    list.remove(0..kept.start);
    let edited = list.finish()?;
    if !edited.changed {
        ctx.keys()?.signal(key);
    }
    ctx.notify(EventClass::LIST, "ltrim", key);
    ctx.tell_emptied(key, edited);
    Ok(Reply::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_from_either_end() {
        let rows = [
            (0, -1, 3, 0..3),
            (1, 1, 3, 1..2),
            (-2, -1, 3, 1..3),
            (-9, 9, 3, 0..3),
            (2, 1, 3, 0..0),
            (3, 9, 3, 0..0),
            (0, -4, 3, 0..0),
            (i64::MIN, i64::MAX, 3, 0..3),
            (i64::MAX, i64::MIN, 3, 0..0),
            (0, -1, 0, 0..0),
        ];
        for (start, stop, length, expected) in rows {
            assert_eq!(ranks(start, stop, length), expected, "{start} {stop} of {length}");
        }
        let rows = [(0, Some(0)), (2, Some(2)), (3, None), (-1, Some(2)), (-3, Some(0)), (-4, None), (i64::MIN, None)];
        for (place, expected) in rows {
            assert_eq!(rank(place, 3), expected, "{place}");
        }
    }
}
