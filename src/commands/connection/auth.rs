//! Who the client is, and which protocol it speaks.

use super::{Args, Context, Outcome, REDIS_VERSION, Stop, client, text};
use crate::protocol::{Arguments, Reply, Version};
use crate::types::number;

pub(super) fn auth(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    if args.left() > 2 {
        return Err(text::SYNTAX.into());
    }
    let user = if args.left() == 2 { Some(args.word()?) } else { None };
    let password = args.word()?;
    if user.is_none() && ctx.node.config.get().requirepass.is_none() {
        return Err("ERR AUTH <password> called without any password configured for the default user. Are you sure \
                    your configuration is correct?"
            .into());
    }
    authenticate(ctx, user.unwrap_or(b"default"), password)?;
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
        authenticate(ctx, user, password)?;
    }
    if !ctx.session.authenticated {
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

/// There is one user, `default`, with the password of `requirepass`, or with any where there is none.
fn authenticate(ctx: &mut Context<'_, '_>, user: &[u8], password: &[u8]) -> Result<(), Stop> {
    let settings = ctx.node.config.get();
    let right = match &settings.requirepass {
        None => true,
        Some(expected) => is_same(expected.as_bytes(), password),
    };
    if user != b"default" || !right {
        return Err(text::WRONG_PASS.into());
    }
    ctx.session.authenticated = true;
    Ok(())
}

/// Compares in a time that depends only on the lengths, so that timing tells nothing about a password.
fn is_same(expected: &[u8], given: &[u8]) -> bool {
    let differences = (0..given.len())
        .fold(0, |sum, at| sum | (given[at] ^ expected.get(at % expected.len().max(1)).copied().unwrap_or(0)));
    expected.len() == given.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn passwords_are_the_same_only_if_all_bytes_are() {
        assert!(is_same(b"secret", b"secret"));
        for other in [&b"secre"[..], b"secrets", b"Secret", b"", b"secretsecret"] {
            assert!(!is_same(b"secret", other), "{}", other.escape_ascii());
        }
    }
}
