//! Parts of strings: ranges, appending, what two have in common.

use super::{Args, Context, Kind, Outcome, Reply, Stop, string, text};
use crate::node::notify::EventClass;
use crate::types::lcs;
use crate::types::string as pure;

pub(super) fn append(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, tail) = (args.word()?, args.word()?);
    let most = ctx.string_bytes_max();
    let access = ctx.keys()?;
    let found = access.view(key, |view| {
        let value = string(&view)?;
        check_length(value.len().checked_add(tail.len()), most)?;
        Ok::<_, Stop>(([value, tail].concat(), view.expiry))
    })?;
    let (value, expiry, kind) = match found.transpose()? {
        Some((value, expiry)) => (value, expiry, Kind::RAW),
        None => (tail.to_vec(), None, Kind::of_string(tail)),
    };
    access.put(key, kind.0, &value, expiry)?;
    ctx.notify(EventClass::STRING, "append", key);
    Ok(Reply::from(value.len()))
}

pub(super) fn setrange(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, offset, patch) = (args.word()?, args.integer()?, args.word()?);
    let offset = usize::try_from(offset).map_err(|_| text::OFFSET_OUT_OF_RANGE)?;
    let most = ctx.string_bytes_max();
    let access = ctx.keys()?;
    let found = access.view(key, |view| {
        let value = string(&view)?;
        if patch.is_empty() {
            return Ok((None, value.len(), view.expiry));
        }
        check_length(offset.checked_add(patch.len()), most)?;
        Ok::<_, Stop>((Some(pure::set_range(value, offset, patch)), value.len(), view.expiry))
    })?;
    let (value, expiry) = match found.transpose()? {
        Some((None, length, _)) => return Ok(Reply::from(length)),
        Some((Some(value), _, expiry)) => (value, expiry),
        None if patch.is_empty() => return Ok(Reply::Integer(0)),
        None => {
            check_length(offset.checked_add(patch.len()), most)?;
            (pure::set_range(&[], offset, patch), None)
        }
    };
    access.put(key, Kind::RAW.0, &value, expiry)?;
    ctx.notify(EventClass::STRING, "setrange", key);
    Ok(Reply::from(value.len()))
}

pub(super) fn getrange(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, start, end) = (args.word()?, args.integer()?, args.integer()?);
    let (access, out) = ctx.keys_and_out()?;
    let sent = access.view(key, |view| {
        let value = string(&view)?;
        let range = pure::range(value.len(), start, end);
        match view.shared {
            Some(shared) => out.bulk_shared(shared.slice(range)),
            None => out.bulk(&value[range]),
        }
        Ok::<_, Stop>(())
    })?;
    match sent {
        Some(Ok(())) => Err(Stop::Written),
        Some(Err(stop)) => Err(stop),
        None => Ok(Reply::bulk(b"")),
    }
}

pub(super) fn lcs(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (first, second) = (args.word()?, args.word()?);
    // Nobody looks at the options where a key holds something else.
    let (a, b) = (text_of(ctx, first)?, text_of(ctx, second)?);
    let (mut length_only, mut indexes, mut with_length, mut shortest) = (false, false, false, 0);
    while !args.is_empty() {
        if args.keyword("IDX") {
            indexes = true;
        } else if args.keyword("LEN") {
            length_only = true;
        } else if args.keyword("WITHMATCHLEN") {
            with_length = true;
        } else if args.keyword("MINMATCHLEN") && !args.is_empty() {
            shortest = usize::try_from(args.integer()?).unwrap_or(0);
        } else {
            return Err(text::SYNTAX.into());
        }
    }
    if indexes && length_only {
        return Err("ERR If you want both the length and indexes, please just use IDX.".into());
    }
    let most = ctx.string_bytes_max();
    if length_only {
        return Ok(Reply::from(lcs::length(&a, &b, most).map_err(refused)?));
    }
    if !indexes {
        return Ok(Reply::from(lcs::sequence(&a, &b, most).map_err(refused)?));
    }
    let found = lcs::matches(&a, &b, shortest, most).map_err(refused)?;
    let matches = found.matches.iter().map(|one| {
        let pair = |range: (usize, usize)| Reply::Array(vec![Reply::from(range.0), Reply::from(range.1)]);
        let mut reply = vec![pair(one.a), pair(one.b)];
        if with_length {
            reply.push(Reply::from(one.len));
        }
        Reply::Array(reply)
    });
    let matches = Reply::Array(matches.collect());
    let name = |name: &str| Reply::Text(name.into());
    Ok(Reply::Map(vec![(name("matches"), matches), (name("len"), Reply::from(found.length))]))
}

fn text_of(ctx: &mut Context<'_, '_>, key: &[u8]) -> Result<Vec<u8>, Stop> {
    let found = ctx.keys()?.view(key, |view| string(&view).map(<[u8]>::to_vec))?;
    match found {
        Some(Ok(value)) => Ok(value),
        Some(Err(_)) => Err("ERR The specified keys must contain string values".into()),
        None => Ok(Vec::new()),
    }
}

fn refused(error: lcs::LcsError) -> Stop {
    Stop::error(format!("ERR {error}"))
}

fn check_length(length: Option<usize>, most: usize) -> Result<(), Stop> {
    if length.is_some_and(|length| length <= most) { Ok(()) } else { Err(text::STRING_TOO_LONG.into()) }
}
