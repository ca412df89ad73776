//! CASKADE: what Redis has no command for.

use super::{ADMIN, ALWAYS, Args, Command, Context, Done, Errand, Flags, Group, Outcome, Stop, checked, text};
use crate::protocol::Reply;
use crate::store::{BACKUP_NAME_BYTES_MAX, is_backup_name};

pub(super) const TABLE: &[Command] = &checked(
    Group::Server,
    [
        Command::new("BACKUP", "name", backup)
            .summary(
                "Makes a backup of everything acknowledged so far in the data directory's `backups/<name>`, by hard links.",
            )
            .since("7.2.0")
            .complexity("O(N) for N files of the log")
            .flag(ADMIN)
            .flag(Flags::NOSCRIPT)
            .flag(Flags::NO_MULTI),
        Command::new("COMPACT", "", compact)
            .summary("Compacts the log in the background, whether or not it is due; INFO shows how far it is.")
            .since("7.2.0")
            .complexity("O(N) for N bytes of the log")
            .flag(ADMIN)
            .flag(Flags::NOSCRIPT),
        Command::new("HELP", "", help).summary("Lists the subcommands.").since("7.2.0").flag(ALWAYS),
    ],
);

pub(super) fn container(_: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Err(text::wrong_arity("caskade"))
}

fn compact(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    ctx.keys()?.keyspace().store().ask_to_compact();
    Ok(Reply::Ok)
}

/// Nobody waits for the disk here: the server has the backup made, and runs the command again.
fn backup(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let name = args.word()?;
    args.end()?;
    let name = std::str::from_utf8(name).ok().filter(|name| is_backup_name(name)).ok_or_else(|| Stop::error(format!(
        "ERR the name of a backup has 1 to {BACKUP_NAME_BYTES_MAX} letters, digits, '.', '_' or '-', and no '.' at the beginning"
    )))?;
    ctx.keys()?;
    match ctx.finished {
        None => Err(Stop::Errand(Errand::Backup(name.to_owned()))),
        Some(Err(error)) => Err(Stop::error(format!("ERR there is no backup: {error}"))),
        Some(Ok(done)) => {
            if let Done::BackedUp(copied) = done {
                let (sequence, segments, bytes_copied) = (copied.sequence, copied.segments, copied.bytes_copied);
                tracing::info!(name, sequence, segments, bytes_copied, "a backup was made");
            }
            Ok(Reply::Ok)
        }
    }
}

fn help(ctx: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Ok(ctx.help("caskade"))
}
