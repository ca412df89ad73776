//! Users, made, told of and deleted.

use super::{Args, Context, Outcome, Stop, permissions, text};
use crate::commands::arguments::Words;
use crate::node::UsersFileError;
use crate::node::acl::{Account, DEFAULT, SelectorTexts, SetUserError};
use crate::protocol::Reply;

pub(super) fn setuser(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let name = args.word()?;
    let own = ctx.session.client.id;
    // One's own connection ends only after the reply is sent.
    ctx.session.closing |= ctx.node.set_user(name, args.rest(), own).map_err(refused)?;
    Ok(Reply::Ok)
}

/// With the words as Redis repeats them.
fn refused(error: SetUserError) -> Stop {
    match error {
        SetUserError::Name => text::USER_NAME.into(),
        SetUserError::Unmatched(word) => {
            Stop::repeating("ERR Unmatched parenthesis in acl selector starting at '", &word, "'.")
        }
        SetUserError::Rule(rule, error) => {
            Stop::repeating("ERR Error in ACL SETUSER modifier '", &rule, &format!("': {error}"))
        }
    }
}

pub(super) fn deluser(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    if args.rest().any(|name| name == DEFAULT.as_bytes()) {
        return Err(text::DEFAULT_STAYS.into());
    }
    let count = ctx.node.delete_users(args.rest(), ctx.session.client.id);
    leave_if_gone(ctx);
    Ok(Reply::from(count))
}

pub(super) fn load(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    let ends = ctx.node.reload_users(ctx.session.client.id).map_err(|error| match error {
        UsersFileError::None => text::NO_ACL_FILE.into(),
        UsersFileError::Failed(reason) => Stop::error(format!("ERR {reason}")),
    })?;
    ctx.session.closing |= ends;
    leave_if_gone(ctx);
    Ok(Reply::Ok)
}

pub(super) fn save(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    ctx.node.save_users().map_err(|error| match error {
        UsersFileError::None => text::NO_ACL_FILE,
        UsersFileError::Failed(_) => text::ACL_NOT_SAVED,
    })?;
    Ok(Reply::Ok)
}

/// One's own connection ends only after the reply is sent.
fn leave_if_gone(ctx: &mut Context<'_, '_>) {
    if ctx.session.account.is_gone() {
        ctx.session.log_out(ctx.node.acl.default_account().clone());
        ctx.session.authenticated = false;
        ctx.session.closing = true;
    }
}

pub(super) fn getuser(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let Some(account) = ctx.node.acl.find(args.word()?) else { return Ok(Reply::Null) };
    let user = account.user();
    let mut rules = user.rules();
    let mut fields = vec![
        (name("flags"), Reply::Set(user.flags().into_iter().map(name).collect())),
        (name("passwords"), Reply::Array(user.passwords().map(Reply::Text).collect())),
    ];
    fields.extend(rules.next().into_iter().flat_map(selector));
    fields.push((name("selectors"), Reply::Array(rules.map(|rules| Reply::Map(selector(rules).into())).collect())));
    Ok(Reply::Map(fields))
}

fn selector(rules: SelectorTexts) -> [(Reply, Reply); 3] {
    [
        (name("commands"), Reply::Text(rules.commands)),
        (name("keys"), Reply::bulk(&rules.keys)),
        (name("channels"), Reply::bulk(&rules.channels)),
    ]
}

pub(super) fn list(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(each(ctx, |account| Reply::bulk(&account.describe())))
}

pub(super) fn names(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(each(ctx, |account| Reply::bulk(&account.name)))
}

fn each(ctx: &Context<'_, '_>, reply: impl Fn(&Account) -> Reply) -> Reply {
    Reply::Array(ctx.node.acl.accounts().iter().map(|account| reply(account)).collect())
}

pub(super) fn dryrun(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let user = args.word()?;
    let account = ctx.node.acl.find(user).ok_or_else(|| Stop::repeating("ERR User '", user, "' not found"))?;
    let words = Words::copied(args.rest());
    let words = words.arguments();
    let unknown = || Stop::repeating("ERR Command '", words.get(0).unwrap_or_default(), "' not found");
    let row = ctx.registry.named_by(words).map_err(|_| unknown())?;
    if !row.takes(words.len()) {
        return Err(text::wrong_arity(&row.name));
    }
    Ok(match permissions::check(&account, row, words) {
        Ok(()) => Reply::Ok,
        Err(denied) => Reply::bulk(&permissions::told(&account, row, words, denied)),
    })
}

fn name(text: &str) -> Reply {
    Reply::Text(text.into())
}
