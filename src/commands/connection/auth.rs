//! Who the client is, and which protocol it speaks.

use super::{Args, Context, Outcome, REDIS_VERSION, Stop, client, text};
use crate::commands::permissions;
use crate::node::acl::DEFAULT;
use crate::protocol::{Arguments, Reply, Version};
use crate::types::number;

pub(super) fn auth(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    if args.left() > 2 {
        return Err(text::SYNTAX.into());
    }
    let user = if args.left() == 2 { Some(args.word()?) } else { None };
    let password = args.word()?;
    if user.is_none() && ctx.node.acl.default_account().user().is_without_password() {
        return Err("ERR AUTH <password> called without any password configured for the default user. Are you sure \
                    your configuration is correct?"
            .into());
    }
    authenticate(ctx, "AUTH", user.unwrap_or(DEFAULT.as_bytes()), password)?;
    Ok(Reply::Ok)
}

pub(super) fn hello(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let version = match args.optional() {
        None => None,
        Some(word) => match number::parse_i64(word) {
            None => return Err("ERR Protocol version is not an integer or out of range".into()),
            Some(2) => Some(Version::Resp2),
            Some(3) => Some(Version::Resp3),
            Some(_) => return Err("NOPROTO unsupported protocol version".into()),
        },
    };
    let (mut login, mut name) = (None, None);
    while let Some(option) = args.peek() {
        if args.left() >= 3 && args.keyword("AUTH") {
            login = Some((args.word()?, args.word()?));
        } else if args.left() >= 2 && args.keyword("SETNAME") {
            name = Some(client::valid_name(args.word()?)?);
        } else {
            return Err(Stop::repeating("ERR Syntax error in HELLO option '", option, "'"));
        }
    }
    if let Some((user, password)) = login {
        authenticate(ctx, "HELLO", user, password)?;
    }
    if ctx.node.needs_login(ctx.session) {
        return Err("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> \
                    AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol \
                    version at the same time"
            .into());
    }
    if let Some(name) = name {
        ctx.session.client.set_name(name);
    }
    if let Some(version) = version {
        ctx.set_version(version);
    }
    Ok(greeting(ctx))
}

/// Whether a word of HELLO follows AUTH.
pub(super) fn is_login(words: Arguments<'_>, at: usize) -> bool {
    let is_auth = |at: usize| at >= 2 && words.get(at).is_some_and(|word| word.eq_ignore_ascii_case(b"AUTH"));
    [1, 2].into_iter().any(|behind| at.checked_sub(behind).is_some_and(is_auth))
}

fn greeting(ctx: &Context<'_, '_>) -> Reply {
    let proto = if ctx.session.version == Version::Resp3 { 3 } else { 2 };
    let text = |text: &str| Reply::Text(text.into());
    Reply::Map(vec![
        (text("server"), text("redis")),
        (text("version"), text(REDIS_VERSION)),
        (text("proto"), Reply::Integer(proto)),
        (text("id"), Reply::Integer(ctx.session.client.id as i64)),
        (text("mode"), text("standalone")),
        (text("role"), text("master")),
        (text("modules"), Reply::Array(Vec::new())),
    ])
}

/// `command` is the one that brought name and password, for the log.
fn authenticate(ctx: &mut Context<'_, '_>, command: &str, user: &[u8], password: &[u8]) -> Result<(), Stop> {
    let account = ctx.node.acl.authenticate(user, password);
    if account.is_some_and(|account| ctx.session.log_in(account)) {
        return Ok(());
    }
    permissions::note_login(ctx, command, user);
    Err(text::WRONG_PASS.into())
}
