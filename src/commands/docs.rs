//! The page of all commands, written from their tables.
//!
//! `docs/commands.md` is what [`reference_page`] returns; a test rewrites it and then fails if it was not.

use super::TABLES;
use super::table::{Command, Group};
use super::usage;

const GROUPS: [(Group, &str); 11] = [
    (Group::String, "Strings"),
    (Group::Hash, "Hashes"),
    (Group::List, "Lists"),
    (Group::Set, "Sets"),
    (Group::SortedSet, "Sorted sets"),
    (Group::Generic, "Keys"),
    (Group::Transactions, "Transactions"),
    (Group::PubSub, "Publish and subscribe"),
    (Group::Connection, "Connection"),
    (Group::Server, "Server"),
    (Group::Cluster, "Cluster"),
];

const INTRODUCTION: &str = "\
# Commands

<!-- Written from the command tables in src/commands by a test. Change a row, not this page. -->

All commands, with their arguments as Redis 7.2 takes them: words in capitals stand for themselves, `[...]` may be left
out, `|` separates alternatives, `...` repeats. *Since* is the version of Redis that had the command first. A running
server tells the same by `COMMAND DOCS`, which redis-cli shows while one types.
";

/// `docs/commands.md`: every command by its group.
pub fn reference_page() -> String {
    let mut page = String::from(INTRODUCTION);
    for (group, title) in GROUPS {
        page.push_str(&format!(
            "\n## {title}\n\n| command | what it does | time | since |\n| --- | --- | --- | --- |\n"
        ));
        let mut commands: Vec<&Command> =
            TABLES.iter().copied().flatten().filter(|command| command.group == group).collect();
        commands.sort_by_key(|command| command.name);
        for command in commands {
            if command.subcommands.is_empty() {
                page.push_str(&line(command.name, command));
            }
            let subcommands = command.subcommands.iter();
            page.extend(
                subcommands.map(|subcommand| line(&format!("{} {}", command.name, subcommand.name), subcommand)),
            );
        }
    }
    page
}

fn line(name: &str, command: &Command) -> String {
    let usage = format!("{name} {}", usage::shown(command.usage)).trim_end().replace('|', "\\|");
    let instead = command.deprecated.map(|(since, instead)| format!(" Since {since}, use {instead} instead."));
    format!(
        "| `{usage}` | {}{} | {} | {} |\n",
        command.summary,
        instead.unwrap_or_default(),
        command.complexity,
        command.since
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/commands.md");
        let page = reference_page();
        if std::fs::read_to_string(path).ok().as_deref() != Some(&page) {
            std::fs::write(path, page).unwrap();
            panic!("docs/commands.md did not agree with the command tables and was rewritten; commit it");
        }
    }

    #[test]
    fn every_group_is_on_the_page() {
        let known = |command: &Command| GROUPS.iter().any(|(group, _)| *group == command.group);
        assert!(TABLES.iter().copied().flatten().all(known));
    }
}
