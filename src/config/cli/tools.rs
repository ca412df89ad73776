//! The command line of the tools for a data directory: `caskade check --dir DIR` and its like.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

/// What is to be done with a data directory that no server uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// The directory.
    pub dir: PathBuf,
    /// What to do.
    pub task: Task,
}

/// What a tool does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Verify every byte.
    Check,
    /// Tell what is there, and so many of the largest keys.
    Stats { top: usize },
    /// Copy it to an empty directory.
    Backup { target: PathBuf },
    /// Fill it, the empty one, from a copy or another one, as it was at some moment.
    Restore { source: PathBuf, at: Option<String> },
    /// Save what can be saved; only tell what would be done unless `yes` is given.
    Repair { yes: bool },
    /// Give back all space that nothing needs; that of what is held for earlier moments only if it is to be released.
    Compact { release_held: bool },
    /// Write out all records between two moments.
    Dump { from: Option<String>, to: Option<String>, keys_only: bool },
}

/// How many of the largest keys are told of, unless it is said.
const TOP: &str = "10";
/// The most that can be asked for.
const TOP_MAX: u64 = 1_000_000;

/// A tool's name, what stands behind it in the usage, its command line, and what is made of that.
struct Row {
    name: &'static str,
    usage: &'static str,
    command: fn(Command) -> Command,
    task: fn(&ArgMatches) -> Task,
}

const ROWS: &[Row] = &[
    Row {
        name: "backup",
        usage: "TARGET [--dir DIR]",
        command: backup,
        task: |options| Task::Backup { target: path(options, "target") },
    },
    Row { name: "check", usage: "[--dir DIR]", command: check, task: |_| Task::Check },
    Row {
        name: "restore",
        usage: "SOURCE [--dir DIR] [--at MOMENT]",
        command: restore,
        task: |options| Task::Restore { source: path(options, "source"), at: options.get_one("at").cloned() },
    },
    Row {
        name: "stats",
        usage: "[--dir DIR] [--top N]",
        command: stats,
        task: |options| Task::Stats { top: top(options) },
    },
    Row {
        name: "dump",
        usage: "[--dir DIR] [--from MOMENT] [--to MOMENT] [--keys-only]",
        command: dump,
        task: |options| Task::Dump {
            from: options.get_one("from").cloned(),
            to: options.get_one("to").cloned(),
            keys_only: options.get_flag("keys-only"),
        },
    },
    Row {
        name: "compact",
        usage: "[--dir DIR] [--release-held]",
        command: compact,
        task: |options| Task::Compact { release_held: options.get_flag("release-held") },
    },
    Row {
        name: "repair",
        usage: "[--dir DIR] [--yes]",
        command: repair,
        task: |options| Task::Repair { yes: options.get_flag("yes") },
    },
];

/// Whether a word is the name of a tool.
pub(super) fn is_tool(word: &str) -> bool {
    row(word).is_some()
}

/// The usage of each tool, one line each.
pub(super) fn usages() -> impl Iterator<Item = String> {
    ROWS.iter().map(|row| format!("caskade {} {}", row.name, row.usage))
}

/// The tools as clap knows them.
pub(super) fn commands() -> impl Iterator<Item = Command> {
    ROWS.iter().map(|row| (row.command)(Command::new(row.name)).arg(dir_option()))
}

/// What the options of a tool ask for; the directory where they name none is `dir`.
pub(super) fn tool<E>(
    name: &str,
    options: &ArgMatches,
    dir: impl FnOnce() -> Result<PathBuf, E>,
) -> Result<Option<Tool>, E> {
    let Some(row) = row(name) else { return Ok(None) };
    let dir = match options.get_one::<PathBuf>("dir") {
        Some(dir) => dir.clone(),
        None => dir()?,
    };
    Ok(Some(Tool { dir, task: (row.task)(options) }))
}

fn row(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

fn dir_option() -> Arg {
    Arg::new("dir")
        .long("dir")
        .value_name("path")
        .value_parser(value_parser!(PathBuf))
        .help("The data directory [default: CASKADE_DIR, or ./data]")
}

fn backup(command: Command) -> Command {
    command
        .about("Copies a data directory that no server uses to an empty directory, by links where it can")
        .long_about(
            "Copies a data directory that no server uses to an empty directory. Files that never change any more are shared \
             by hard links where both are on one file system. Of a running server, CASKADE BACKUP makes one.",
        )
        .after_help("Exits with 0 if all went well, 1 if the data is damaged, 2 if it could not be done.")
        .arg(directory("target", "The directory to be made: empty, or not there"))
}

fn restore(command: Command) -> Command {
    command
        .about("Makes a data directory of a backup, or of another one that no server uses")
        .after_help("Exits with 0 if all went well, 1 if the data is damaged, 2 if it could not be done.")
        .arg(directory("source", "A backup, or another data directory"))
        .arg(
            Arg::new("at")
                .long("at")
                .value_name("moment")
                .help("Bring back this moment: a record's number, 2026-11-27T05:00:00Z, or @<seconds>[.millis] [default: the last]"),
        )
}

fn directory(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(name).required(true).value_parser(value_parser!(PathBuf)).help(help)
}

fn path(options: &ArgMatches, name: &str) -> PathBuf {
    options.get_one::<PathBuf>(name).cloned().unwrap_or_default()
}

fn check(command: Command) -> Command {
    command
        .about("Verifies every byte of a data directory that no server uses, and changes nothing")
        .after_help("Exits with 0 if all is sound, 1 if anything is damaged, 2 if it could not be checked.")
}

fn stats(command: Command) -> Command {
    command
        .about("Tells what is in a data directory that no server uses: segments, keys, expiry; changes nothing")
        .after_help("Exits with 0 if all went well, 1 if anything it met is damaged, 2 if it could not be done.")
        .arg(
            Arg::new("top")
                .long("top")
                .value_name("number")
                .value_parser(value_parser!(u64).range(0..=TOP_MAX))
                .default_value(TOP)
                .help("How many of the largest keys to tell of"),
        )
}

fn dump(command: Command) -> Command {
    let moment = |name: &'static str| Arg::new(name).long(name).value_name("moment");
    command
        .about("Writes every record of a data directory that no server uses as a line of JSON, oldest first; changes nothing")
        .after_help(
            "A moment is a sequence number, or a time: 2026-11-27T05:00:00Z, or @<seconds since 1970>[.millis]. Times are \
             exact to about a second, and not known of what has been compacted.\n\n\
             Exits with 0 if all is sound, 1 if anything is damaged, 2 if it could not be done.",
        )
        .arg(moment("from").help("Begins with this moment [default: the first record]"))
        .arg(moment("to").help("Ends with this moment [default: the last record]"))
        .arg(Arg::new("keys-only").long("keys-only").action(ArgAction::SetTrue).help("Leaves the values out"))
}

fn compact(command: Command) -> Command {
    command
        .about("Gives back all space that nothing needs in a data directory that no server uses")
        .after_help("Exits with 0 if it is done, 1 if anything it met is damaged, 2 if it could not be done.")
        .arg(
            Arg::new("release-held")
                .long("release-held")
                .action(ArgAction::SetTrue)
                .help("Gives up what `retention` holds for earlier moments, too"),
        )
}

fn repair(command: Command) -> Command {
    command
        .about("Saves what can be saved of a damaged data directory that no server uses; destroys nothing")
        .after_help(
            "Without --yes it only says what it would do. What it takes away is kept in the directory set-aside-1 (or 2, 3, \
             ...) inside the data directory.\n\n\
             Exits with 0 if there was nothing to repair, or all is repaired; 1 if there is something to repair, or left \
             to repair; 2 if it could not be done.",
        )
        .arg(Arg::new("yes").long("yes").action(ArgAction::SetTrue).help("Does it"))
}

fn top(options: &ArgMatches) -> usize {
    options.get_one::<u64>("top").map_or(0, |top| *top as usize)
}
