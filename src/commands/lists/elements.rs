//! Elements by their values.

use super::{Args, Context, EventClass, Outcome, Reply, text};

pub(super) fn linsert(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let behind = match () {
        () if args.keyword("BEFORE") => 0,
        () if args.keyword("AFTER") => 1,
        () => return Err(text::SYNTAX.into()),
    };
    let (pivot, element) = (args.word()?, args.word()?);
    let mut list = ctx.keys()?.edit_list(key)?;
    if list.is_empty() {
        return Ok(Reply::Integer(0));
    }
    let mut found = None;
    list.find(pivot, 0..list.len(), false, |rank| {
        found = Some(rank);
        false
    })?;
    let Some(rank) = found else { return Ok(Reply::Integer(-1)) };
    list.reserve(element.len());
    list.insert(rank + behind, element);
    let length = list.len();
    list.finish()?;
    ctx.notify(EventClass::LIST, "linsert", key);
    Ok(Reply::from(length))
}

pub(super) fn lrem(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, count, element) = (args.word()?, args.sized_integer()?, args.word()?);
    let most = if count == 0 { usize::MAX } else { usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) };
    let mut list = ctx.keys()?.edit_list(key)?;
    let mut ranks = Vec::new();
    let is_from_end = count < 0;
    list.find(element, 0..list.len(), is_from_end, |rank| {
        ranks.push(rank);
        ranks.len() < most
    })?;
    if !is_from_end {
        ranks.reverse();
    }
    // The last first, so that those before it keep their ranks.
    ranks.iter().for_each(|rank| list.remove(*rank..*rank + 1));
    let edited = list.finish()?;
    if !ranks.is_empty() {
        ctx.notify(EventClass::LIST, "lrem", key);
        ctx.tell_emptied(key, edited);
    }
    Ok(Reply::from(ranks.len()))
}

pub(super) fn lpos(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, element) = (args.word()?, args.word()?);
    let (mut rank, mut count, mut most) = (1, None, 0);
    while !args.is_empty() {
        if args.left() == 1 {
            return Err(text::SYNTAX.into());
        }
        match () {
            () if args.keyword("RANK") => {
                rank = args.sized_integer()?;
                if rank == 0 {
                    return Err(text::RANK_ZERO.into());
                }
            }
            () if args.keyword("COUNT") => count = Some(args.at_least(0, text::COUNT_NEGATIVE)?),
            () if args.keyword("MAXLEN") => most = args.at_least(0, text::MAXLEN_NEGATIVE)?,
            () => return Err(text::SYNTAX.into()),
        }
    }
    let access = ctx.keys()?;
    let Some(list) = access.list(key)? else {
        return Ok(count.map_or(Reply::Null, |_| Reply::Array(Vec::new())));
    };
    let (length, is_from_end) = (list.len(access), rank < 0);
    let compared = if most == 0 { length } else { most.min(length) };
    let ranks = if is_from_end { length - compared..length } else { 0..compared };
    let wanted = match count {
        None => 1,
        Some(0) => usize::MAX,
        Some(count) => count,
    };
    let mut before = rank.unsigned_abs() - 1;
    let mut found = Vec::new();
    list.find(access, element, ranks, is_from_end, |place| {
        if before > 0 {
            before -= 1;
            return true;
        }
        found.push(Reply::from(place));
        found.len() < wanted
    })?;
    Ok(match count {
        Some(_) => Reply::Array(found),
        None => found.pop().unwrap_or(Reply::Null),
    })
}
