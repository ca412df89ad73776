//! CLIENT TRACKING and its like: caches on the side of the client.

use super::{Args, Context, Outcome, Stop, text};
use crate::node::{Tracked, Tracks};
use crate::protocol::Reply;
use crate::types::number;

pub(super) fn tracking(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let on = if args.keyword("ON") {
        Some(true)
    } else if args.keyword("OFF") {
        Some(false)
    } else {
        args.word()?;
        None
    };
    let tracked = read(ctx, &mut args)?;
    match on {
        None => return Err(text::SYNTAX.into()),
        Some(false) => {
            ctx.session.end_tracking(ctx.node);
            return Ok(Reply::Ok);
        }
        Some(true) => check(ctx, &tracked)?,
    }
    ctx.session.tracks = Some(match (tracked.broadcast, tracked.opt_in) {
        (true, _) => Tracks::Nothing,
        (false, true) => Tracks::Chosen,
        (false, false) => Tracks::All,
    });
    ctx.session.caching = false;
    ctx.node.track(&ctx.session.client, tracked);
    Ok(Reply::Ok)
}

fn read(ctx: &Context<'_, '_>, args: &mut Args<'_>) -> Result<Tracked, Stop> {
    let mut tracked = Tracked::default();
    while !args.is_empty() {
        if args.left() > 1 && args.keyword("REDIRECT") {
            if tracked.redirect.is_some() {
                return Err("ERR A client can only redirect to a single other client".into());
            }
            let id = number::parse_i64(args.word()?).ok_or(text::NOT_AN_INTEGER)?;
            let found = u64::try_from(id).ok().and_then(|id| ctx.node.clients.get(id));
            let other = found.ok_or("ERR The client ID you want redirect to does not exist")?;
            tracked.redirect = Some(other.id);
        } else if args.keyword("BCAST") {
            tracked.broadcast = true;
        } else if args.keyword("OPTIN") {
            tracked.opt_in = true;
        } else if args.keyword("OPTOUT") {
            tracked.opt_out = true;
        } else if args.keyword("NOLOOP") {
            tracked.no_loop = true;
        } else if args.left() > 1 && args.keyword("PREFIX") {
            tracked.prefixes.push(args.word()?.into());
        } else {
            return Err(text::SYNTAX.into());
        }
    }
    Ok(tracked)
}

/// Refuses what does not go together, or with what is tracked already.
fn check(ctx: &Context<'_, '_>, tracked: &Tracked) -> Result<(), Stop> {
    let before = ctx.session.client.tracked(Clone::clone);
    if !tracked.broadcast && !tracked.prefixes.is_empty() {
        return Err("ERR PREFIX option requires BCAST mode to be enabled".into());
    }
    if before.as_ref().is_some_and(|before| before.broadcast != tracked.broadcast) {
        return Err("ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then \
                    re-enabling it with a different mode."
            .into());
    }
    if tracked.broadcast && (tracked.opt_in || tracked.opt_out) {
        return Err("ERR OPTIN and OPTOUT are not compatible with BCAST".into());
    }
    if tracked.opt_in && tracked.opt_out {
        return Err("ERR You can't specify both OPTIN mode and OPTOUT mode".into());
    }
    let switches = |before: &Tracked| tracked.opt_in && before.opt_out || tracked.opt_out && before.opt_in;
    if before.as_ref().is_some_and(switches) {
        return Err("ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
                    re-enabling it with a different mode."
            .into());
    }
    let known = before.map(|before| before.prefixes).unwrap_or_default();
    for (at, prefix) in tracked.prefixes.iter().enumerate() {
        let overlaps = |other: &[u8]| other.starts_with(prefix) || prefix.starts_with(other);
        let refuse = |which: &str, other: &[u8]| {
            let before = [b"ERR Prefix '", &prefix[..], which.as_bytes(), other].concat();
            let text = [&before[..], b"'. Prefixes for a single client must not overlap."].concat();
            Err(Stop::Error(text.into()))
        };
        if let Some(other) = known.iter().find(|other| overlaps(other)) {
            return refuse("' overlaps with an existing prefix '", other);
        }
        if let Some(other) = tracked.prefixes[at + 1..].iter().find(|other| overlaps(other)) {
            return refuse("' overlaps with another provided prefix '", other);
        }
    }
    Ok(())
}

pub(super) fn caching(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let Some((opt_in, opt_out)) = ctx.session.client.tracked(|tracked| (tracked.opt_in, tracked.opt_out)) else {
        return Err("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT \
                    mode enabled"
            .into());
    };
    let (is_right, refusal) = match () {
        () if args.keyword("YES") => {
            (opt_in, "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
        }
        () if args.keyword("NO") => {
            (opt_out, "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
        }
        () => return Err(text::SYNTAX.into()),
    };
    if !is_right {
        return Err(refusal.into());
    }
    ctx.session.caching = true;
    Ok(Reply::Ok)
}

pub(super) fn getredir(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(Reply::Integer(redirect(ctx)))
}

/// The number of the connection that is told; 0 is this one, and -1 none.
fn redirect(ctx: &Context<'_, '_>) -> i64 {
    let redirect = ctx.session.client.tracked(|tracked| tracked.redirect.map_or(0, |id| id as i64));
    redirect.unwrap_or(-1)
}

pub(super) fn trackinginfo(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    let tracked = ctx.session.client.tracked(Clone::clone);
    let is_on = tracked.is_some();
    let tracked = tracked.unwrap_or_default();
    let caching = ctx.session.caching;
    let flags = [
        (!is_on, "off"),
        (is_on, "on"),
        (tracked.broadcast, "bcast"),
        (tracked.opt_in, "optin"),
        (tracked.opt_in && caching, "caching-yes"),
        (tracked.opt_out, "optout"),
        (tracked.opt_out && caching, "caching-no"),
        (tracked.no_loop, "noloop"),
        (ctx.session.client.has_broken_redirect(), "broken_redirect"),
    ];
    let text = |text: &str| Reply::bulk(text.as_bytes());
    let flags = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| text(flag)).collect();
    let prefixes = tracked.prefixes.iter().map(|prefix| Reply::bulk(prefix)).collect();
    Ok(Reply::Map(vec![
        (text("flags"), Reply::Set(flags)),
        (text("redirect"), Reply::Integer(redirect(ctx))),
        (text("prefixes"), Reply::Array(prefixes)),
    ]))
}
