//! Whether a user may run a request, and what is told and noted where it may not.
//!
//! Whoever runs a request later than it was checked (EXEC, what has waited) asks again, since rules change meanwhile.

use super::Context;
use super::error::{Stop, text};
use super::registry::Row;
use super::table::Flags;
use crate::node::acl::{Account, Denied, Place, Reason, Refusal, Request};
use crate::protocol::Arguments;

/// Whether this user may run this request now, whose number of arguments is right.
pub fn check(account: &Account, row: &Row, words: Arguments<'_>) -> Result<(), Denied> {
    if account.is_unlimited() {
        return Ok(());
    }
    account.user().check(&request(row, words), row.key_uses(words))
}

/// Whether this user may read every key there is, by rules that let it run this request.
pub(super) fn reads_all_keys(account: &Account, row: &Row, words: Arguments<'_>) -> bool {
    account.is_unlimited() || account.user().reads_all_keys(&request(row, words), row.key_uses(words))
}

fn request<'a>(row: &Row, words: Arguments<'a>) -> Request<'a> {
    Request {
        command: row.index,
        names: row.names,
        words,
        for_everybody: row.is(Flags::NO_AUTH),
        channels: row.command.channels,
    }
}

/// Lets a request of a limited user through, or notes in the log that it was refused.
#[cold]
pub(super) fn admit(ctx: &Context<'_, '_>, row: &Row, words: Arguments<'_>) -> Result<(), Stop> {
    let account = &ctx.session.account;
    if account.is_gone() {
        return Err(text::NO_AUTH.into());
    }
    let Err(denied) = check(account, row, words) else { return Ok(()) };
    let place = if ctx.session.transaction.is_some() { Place::Transaction } else { Place::TopLevel };
    note(ctx, row, words, denied, place);
    Err(refusal(account, row, words, denied))
}

/// What a client is told whose request was refused.
pub(super) fn refusal(account: &Account, row: &Row, words: Arguments<'_>, denied: Denied) -> Stop {
    match denied.reason {
        Reason::Key => text::NO_KEY_PERMISSION.into(),
        Reason::Channel => text::NO_CHANNEL_PERMISSION.into(),
        Reason::Command | Reason::Auth => {
            Stop::Error([b"NOPERM ", &told(account, row, words, denied)[..]].concat().into())
        }
    }
}

/// What was refused, with the name of the key or channel: for people who may see it.
pub(super) fn told(account: &Account, row: &Row, words: Arguments<'_>, denied: Denied) -> Vec<u8> {
    let object = object(row, words, denied);
    let (before, after): (&[u8], &[u8]) = match denied.reason {
        Reason::Key => (b" has no permissions to access the '", b"' key"),
        Reason::Channel => (b" has no permissions to access the '", b"' channel"),
        Reason::Command | Reason::Auth => (b" has no permissions to run the '", b"' command"),
    };
    [b"User ", &account.name[..], before, &object[..], after].concat()
}

/// Writes into the log what was refused.
pub(super) fn note(ctx: &Context<'_, '_>, row: &Row, words: Arguments<'_>, denied: Denied, place: Place) {
    let user = ctx.session.account.name.to_vec();
    let refusal = Refusal { reason: denied.reason, place, object: object(row, words, denied), user };
    log(ctx, Some(row), refusal);
}

/// Writes a refused login into the log.
pub(super) fn note_login(ctx: &Context<'_, '_>, command: &str, user: &[u8]) {
    let place = if ctx.in_transaction { Place::Transaction } else { Place::TopLevel };
    let refusal = Refusal { reason: Reason::Auth, place, object: command.into(), user: user.to_vec() };
    log(ctx, ctx.registry.find(command.as_bytes()), refusal);
}

fn log(ctx: &Context<'_, '_>, row: Option<&Row>, refusal: Refusal) {
    let client = &ctx.session.client;
    // Others see the state once a pipeline is done; the log shows it now.
    if !ctx.in_transaction {
        ctx.session.publish();
    }
    client.note_command(row.map(|row| row.index));
    let now = ctx.node.wall_now();
    let shown = client.describe(now, |index| ctx.registry.rows()[index].name.clone());
    let entries_max = usize::try_from(ctx.node.config.get().acllog_max_len).unwrap_or(usize::MAX);
    ctx.node.acl.log.add(refusal, shown, now, entries_max);
}

fn object(row: &Row, words: Arguments<'_>, denied: Denied) -> Vec<u8> {
    match denied.reason {
        Reason::Command | Reason::Auth => row.name.clone().into_bytes(),
        Reason::Key | Reason::Channel => words.get(denied.at).unwrap_or_default().to_vec(),
    }
}
