//! All fields of a hash, some of them at random, and walks over them.

use std::sync::Arc;

use bytes::Bytes;

use super::{Args, Context, Outcome, Reply, Stop, send, text};
use crate::commands::drawing::{self, Drawing};
use crate::commands::generic::walk::{ElementScan, cursor};
use crate::keyspace::{Access, Drawn, Halt, Hash, Name};
use crate::protocol::{ReplyBuffer, Version};
use crate::types::number;

pub(super) fn hlen(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let access = ctx.keys()?;
    let hash = access.hash(key)?;
    Ok(Reply::from(hash.map_or(0, |hash| hash.len(access))))
}

pub(super) fn hgetall(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let (access, out) = ctx.keys_and_out()?;
    let Some(hash) = access.hash(key)? else { return Ok(Reply::Map(Vec::new())) };
    out.map(hash.len(access));
    hash.each(access, true, |field, value, shared| {
        out.bulk(field);
        send(out, value, shared);
    })?;
    Err(Stop::Written)
}

pub(super) fn hkeys(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let (access, out) = ctx.keys_and_out()?;
    let Some(hash) = access.hash(key)? else { return Ok(Reply::Array(Vec::new())) };
    out.array(hash.len(access));
    hash.each(access, false, |field, _, _| out.bulk(field))?;
    Err(Stop::Written)
}

pub(super) fn hvals(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    let (access, out) = ctx.keys_and_out()?;
    let Some(hash) = access.hash(key)? else { return Ok(Reply::Array(Vec::new())) };
    out.array(hash.len(access));
    hash.each(access, true, |_, value, shared| send(out, value, shared))?;
    Err(Stop::Written)
}

pub(super) fn hrandfield(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let key = args.word()?;
    if args.is_empty() {
        let access = ctx.keys()?;
        let field = access.hash(key)?.and_then(|hash| hash.any(access));
        return Ok(field.map_or(Reply::Null, |field| Reply::bulk(&field)));
    }
    let count = number::parse_i64(args.word()?).ok_or(text::NOT_AN_INTEGER)?;
    if count == i64::MIN {
        return Err(text::NOT_A_COUNT.into());
    }
    let with_values = !args.is_empty();
    if with_values && !(args.keyword("WITHVALUES") && args.is_empty()) {
        return Err(text::SYNTAX.into());
    }
    if with_values && count.unsigned_abs() > (i64::MAX / 2) as u64 {
        return Err(text::OUT_OF_RANGE.into());
    }
    let (access, out) = ctx.keys_and_out()?;
    let Some(hash) = access.hash(key)? else { return Ok(Reply::Array(Vec::new())) };
    let times = count.unsigned_abs();
    let length = hash.len(access);
    if length == 0 {
        return Ok(Reply::Array(Vec::new()));
    }
    if count >= 0 && times >= length as u64 {
        begin(out, length, with_values);
        hash.each(access, with_values, |field, value, shared| {
            field_of(out, field, with_values);
            if with_values {
                send(out, value, shared);
            }
        })?;
        return Err(Stop::Written);
    }
    if count < 0 && !with_values {
        out.array(usize::try_from(times).unwrap_or(usize::MAX));
        drawing::draw(out, times, |out, times| hash.draw(access, times, |field| out.bulk(field)))?;
        return Err(Stop::Written);
    }
    if !with_values {
        let fields = hash.sample(access, times as usize)?;
        begin(out, fields.len(), with_values);
        fields.iter().for_each(|field| out.bulk(field));
        return Err(Stop::Written);
    }
    let before = access.pins.drawn((access.database(), key), count).cloned();
    // Since it was drawn, a field may have gone.
    let drawn = match before.filter(|drawn| drawn.names.iter().all(|field| hash.contains(access, field))) {
        Some(drawn) => drawn,
        None => {
            let names = if count < 0 { repeated(access, &hash, times)? } else { hash.sample(access, times as usize)? };
            Arc::new(Drawn { of: (access.database(), Bytes::copy_from_slice(key)), count, names })
        }
    };
    begin(out, drawn.names.len(), with_values);
    send_with_values(access, out, &hash, &drawn)
}

/// Fields at random, so many times.
fn repeated(access: &Access<'_>, hash: &Hash, times: u64) -> Result<Vec<Name>, Stop> {
    let mut fields: Vec<Name> = Vec::new();
    let mut drawing = Drawing::begin(times)?;
    while let Some(times) = drawing.next(fields.len() * size_of::<Name>())? {
        hash.draw(access, times, |field| fields.push(field.into()));
    }
    Ok(fields)
}

/// Begins so many fields, as pairs in themselves where the protocol has a way to say so.
fn begin(out: &mut ReplyBuffer, fields: usize, with_values: bool) {
    let flat = with_values && out.version() == Version::Resp2;
    out.array(if flat { fields * 2 } else { fields });
}

fn field_of(out: &mut ReplyBuffer, field: &[u8], with_values: bool) {
    if with_values && out.version() == Version::Resp3 {
        out.array(2);
    }
    out.bulk(field);
}

fn send_with_values(access: &mut Access<'_>, out: &mut ReplyBuffer, hash: &Hash, drawn: &Arc<Drawn>) -> Outcome {
    let mut cold = Vec::new();
    let began = out.len();
    for field in &drawn.names {
        if drawn.count < 0 {
            drawing::check(out.len() - began)?;
        }
        field_of(out, field, true);
        match hash.get(access, field, |value, shared| send(out, value, shared)) {
            Ok(Some(())) => {}
            Ok(None) => out.null(),
            // All that is on the disk is asked for together.
            Err(Halt::Cold(more)) => cold.extend(more),
            Err(halt) => return Err(halt.into()),
        }
    }
    let Some(first) = cold.first_mut() else { return Err(Stop::Written) };
    first.remember(drawn);
    Err(Stop::Cold(cold))
}

pub(super) fn hscan(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (key, cursor) = (args.word()?, cursor(args.word()?)?);
    let access = ctx.keys()?;
    let nothing = || Reply::Array(vec![Reply::Text("0".into()), Reply::Array(Vec::new())]);
    // Options are read only where there is something to be scanned.
    let Some(hash) = access.hash(key)? else { return Ok(nothing()) };
    let options = ElementScan::read(&mut args, true)?;
    let mut found = Vec::new();
    let next = hash.scan(access, cursor, options.count, !options.no_values, |field, value| {
        if options.takes(field) {
            found.push(Reply::bulk(field));
            if !options.no_values {
                found.push(Reply::bulk(value));
            }
        }
    })?;
    Ok(Reply::Array(vec![Reply::Text(next.to_string()), Reply::Array(found)]))
}
