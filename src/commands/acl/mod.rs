//! ACL: users and what they may do.

mod log;
mod users;

use super::table::checked;
use super::{Args, Command, Context, Flags, Group, Outcome, Stop, permissions, text};
use crate::node::acl::Categories;
use crate::protocol::Reply;
use crate::types::number;

/// What anybody may ask.
const ASKS: Flags = Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE);
const ADMIN: Flags = ASKS.with(Flags::ADMIN);

/// How many bits a password may have, and has where nothing is said.
const PASSWORD_BITS_MAX: i64 = 4096;
const PASSWORD_BITS: i64 = 256;

pub(super) const TABLE: &[Command] = &checked(
    Group::Server,
    [Command::new("ACL", "subcommand [argument ...]", container)
        .summary("Says who may do what.")
        .since("6.0.0")
        .complexity("Depends on the subcommand")
        .subcommands(SUBCOMMANDS)],
);

const SUBCOMMANDS: &[Command] = &checked(
    Group::Server,
    [
        Command::new("CAT", "[category]", cat)
            .summary("Lists the categories of commands, or the commands of one.")
            .since("6.0.0")
            .flag(ASKS),
        Command::new("DELUSER", "username [username ...]", users::deluser)
            .summary("Deletes users and ends their connections.")
            .since("6.0.0")
            .complexity("O(N) for N connections")
            .flag(ADMIN),
        Command::new("DRYRUN", "username command [arg [arg ...]]", users::dryrun)
            .summary("Tells whether a user may run a command, without running it.")
            .since("7.0.0")
            .flag(ADMIN),
        Command::new("GENPASS", "[bits]", genpass)
            .summary("Makes up a password that nobody can guess.")
            .since("6.0.0")
            .flag(ASKS),
        Command::new("GETUSER", "username", users::getuser)
            .summary("Answers the rules of a user.")
            .since("6.0.0")
            .complexity("O(N) for N rules")
            .flag(ADMIN),
        Command::new("HELP", "", help)
            .summary("Lists the subcommands.")
            .since("6.0.0")
            .flag(Flags::LOADING)
            .flag(Flags::STALE),
        Command::new("LIST", "", users::list)
            .summary("Answers all users with their rules, as a file would hold them.")
            .since("6.0.0")
            .complexity("O(N) for N users")
            .flag(ADMIN),
        Command::new("LOAD", "", users::load)
            .summary("Follows the file of users anew, and ends the connections of all users but `default`.")
            .since("6.0.0")
            .complexity("O(N) for N users and connections")
            .flag(ADMIN),
        Command::new("LOG", "[operation= count | RESET]", log::log)
            .summary("Tells what was refused to whom, or forgets it.")
            .since("6.0.0")
            .complexity("O(N) for N entries")
            .flag(ADMIN),
        Command::new("SAVE", "", users::save)
            .summary("Writes the file of users.")
            .since("6.0.0")
            .complexity("O(N) for N users")
            .flag(ADMIN),
        Command::new("SETUSER", "username [rule [rule ...]]", users::setuser)
            .secret(|_, at| at >= 2)
            .summary("Applies rules to a user: all of them or none.")
            .since("6.0.0")
            .complexity("O(N) for N rules")
            .flag(ADMIN),
        Command::new("USERS", "", users::names)
            .summary("Answers the names of all users.")
            .since("6.0.0")
            .complexity("O(N) for N users")
            .flag(ADMIN),
        Command::new("WHOAMI", "", whoami).summary("Answers which user the connection is.").since("6.0.0").flag(ASKS),
    ],
);

fn container(_: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Err(text::wrong_arity("acl"))
}

fn help(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(ctx.help("acl"))
}

fn whoami(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(Reply::bulk(&ctx.session.account.name))
}

fn cat(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let Some(word) = args.optional() else {
        let names = Categories::NAMED.iter().map(|(_, name)| Reply::Text(name[1..].into()));
        return Ok(Reply::Array(names.collect()));
    };
    args.end().map_err(|_| too_many("CAT"))?;
    let unknown = || Stop::repeating("ERR Unknown category '", text::shown(word, text::SHOWN_BYTES_MAX), "'");
    let category = Categories::named(word).ok_or_else(unknown)?;
    let rows = ctx.registry.rows().iter().filter(|row| row.categories.has(category));
    Ok(Reply::Array(rows.map(|row| Reply::Text(row.name.clone())).collect()))
}

fn genpass(_: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let bits = match args.optional() {
        None => PASSWORD_BITS,
        Some(word) => number::parse_i64(word).ok_or(text::NOT_AN_INTEGER)?,
    };
    args.end().map_err(|_| too_many("GENPASS"))?;
    if !(1..=PASSWORD_BITS_MAX).contains(&bits) {
        return Err(text::GENPASS_BITS.into());
    }
    let digits = usize::try_from(bits).unwrap_or(0).div_ceil(4);
    let mut bytes = vec![0; digits.div_ceil(2)];
    getrandom::fill(&mut bytes).map_err(|error| Stop::error(format!("ERR no source of randomness: {error}")))?;
    let mut password: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    password.truncate(digits);
    Ok(Reply::Text(password))
}

/// With more words than its forms have, Redis knows no such subcommand.
fn too_many(subcommand: &str) -> Stop {
    Stop::error(format!("ERR unknown subcommand or wrong number of arguments for '{subcommand}'. Try ACL HELP."))
}
