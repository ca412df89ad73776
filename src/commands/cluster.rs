//! What clients ask a server that may belong to a cluster: this one does not.

use super::table::checked;
use super::{Args, Command, Context, Flags, Group, Outcome, text};

const ALONE: Flags = Flags::LOADING.with(Flags::STALE).with(Flags::FAST).with(Flags::CONNECTION_CATEGORY);

pub(super) const TABLE: &[Command] = &checked(
    Group::Cluster,
    [
        Command::new("ASKING", "", no_cluster)
            .summary("Is refused: there is no cluster.")
            .since("3.0.0")
            .flag(Flags::FAST)
            .flag(Flags::CONNECTION_CATEGORY),
        Command::new("CLUSTER", "", cluster)
            .arity(-2)
            .summary("Is refused, whatever the subcommand: there is no cluster.")
            .since("3.0.0")
            .complexity("Depends on the subcommand"),
        Command::new("READONLY", "", no_cluster).summary("Is refused: there is no cluster.").since("3.0.0").flag(ALONE),
        Command::new("READWRITE", "", no_cluster)
            .summary("Is refused: there is no cluster.")
            .since("3.0.0")
            .flag(ALONE),
    ],
);

const NO_CLUSTER: &str = "ERR This instance has cluster support disabled";

/// The subcommands of CLUSTER with how many words they take, as arities are counted.
const CLUSTER: &[(&str, i32)] = &[
    ("addslots", -3),
    ("addslotsrange", -4),
    ("bumpepoch", 2),
    ("count-failure-reports", 3),
    ("countkeysinslot", 3),
    ("delslots", -3),
    ("delslotsrange", -4),
    ("failover", -2),
    ("flushslots", 2),
    ("forget", 3),
    ("getkeysinslot", 4),
    ("help", 2),
    ("info", 2),
    ("keyslot", 3),
    ("links", 2),
    ("meet", -4),
    ("myid", 2),
    ("myshardid", 2),
    ("nodes", 2),
    ("replicas", 3),
    ("replicate", 3),
    ("reset", -2),
    ("saveconfig", 2),
    ("set-config-epoch", 3),
    ("setslot", -4),
    ("shards", 2),
    ("slaves", 3),
    ("slots", 2),
];

fn no_cluster(_: &mut Context<'_, '_>, _: Args<'_>) -> Outcome {
    Err(NO_CLUSTER.into())
}

fn cluster(_: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let words = args.left() as i32 + 1;
    let subcommand = args.word()?;
    let known = CLUSTER.iter().find(|(name, _)| subcommand.eq_ignore_ascii_case(name.as_bytes()));
    let (name, arity) = known.ok_or_else(|| text::unknown_subcommand(subcommand, "cluster"))?;
    match words == *arity || *arity < 0 && words >= -arity {
        true => Err(NO_CLUSTER.into()),
        false => Err(text::wrong_arity(&format!("cluster|{name}"))),
    }
}
