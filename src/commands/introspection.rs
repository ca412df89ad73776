//! What the server tells about its commands and about itself.

mod command;
mod info;
mod memory;

pub use info::info_fields;
pub(super) use memory::{MemoryFacts, share};

use super::table::checked;
use super::{Command, Context, Flags, Group, usage};
use crate::protocol::Reply;

pub(super) const TABLE: &[Command] = &checked(
    Group::Server,
    [
        Command::new("COMMAND", "[subcommand [argument ...]]", command::all)
            .tips(&["nondeterministic_output_order"])
            .flag(Flags::CONNECTION_CATEGORY)
            .summary("Describes all commands.")
            .since("2.8.13")
            .complexity("O(N) for N commands")
            .flag(Flags::LOADING)
            .flag(Flags::STALE)
            .subcommands(command::TABLE),
        Command::new("INFO", "[section [section ...]]", info::info)
            .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
            .summary("Tells what the server is and what it did.")
            .flag(Flags::LOADING)
            .flag(Flags::STALE)
            .flag(Flags::DANGEROUS),
    ],
);

impl Context<'_, '_> {
    /// The lines of a container's HELP: two for each subcommand.
    pub(super) fn help(&self, container: &str) -> Reply {
        let mut lines =
            vec![format!("{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", container.to_uppercase())];
        let rows = self.registry.find(container.as_bytes()).into_iter().flat_map(|row| &row.subcommands);
        for row in rows.map(|index| &self.registry.rows()[*index]).filter(|row| row.command.name != "HELP") {
            lines.push(format!("{} {}", row.command.name, usage::shown(row.command.usage)).trim_end().to_owned());
            lines.push(format!("    {}", row.command.summary));
        }
        lines.push("HELP".into());
        lines.push("    Prints this help.".into());
        Reply::Array(lines.into_iter().map(Reply::Status).collect())
    }
}
