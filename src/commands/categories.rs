//! The ACL categories of a command: they follow from its group and its flags.

use super::table::{Command, Flags, Group};
use crate::node::acl::Categories;

/// The categories of one row. A container is in none for its group: its subcommands are.
pub(super) fn of(command: &Command) -> Categories {
    let is = |flag: Flags| command.flags.has(flag);
    let is_admin = is(Flags::ADMIN) || is(Flags::ADMIN_CATEGORY);
    let is_like_its_group =
        command.subcommands.is_empty() && !is(Flags::CONNECTION_CATEGORY) && !is(Flags::COLLECTION_CATEGORIES);
    let rules = [
        (is(Flags::COLLECTION_CATEGORIES), Categories::LIST | Categories::SET | Categories::SORTED_SET),
        (is_like_its_group, of_group(command.group)),
        (is(Flags::KEYSPACE_CATEGORY), Categories::KEYSPACE),
        (is(Flags::READONLY), Categories::READ),
        (is(Flags::WRITE), Categories::WRITE),
        (is(Flags::PUBSUB), Categories::PUBSUB),
        (is(Flags::BLOCKING), Categories::BLOCKING),
        (is_admin, Categories::ADMIN),
        (is(Flags::FAST), Categories::FAST),
        (!is(Flags::FAST), Categories::SLOW),
        (is_admin || is(Flags::DANGEROUS), Categories::DANGEROUS),
        (is(Flags::CONNECTION_CATEGORY), Categories::CONNECTION),
    ];
    let held = rules.into_iter().filter(|(holds, _)| *holds);
    held.fold(Categories::NONE, |all, (_, category)| all | category)
}

fn of_group(group: Group) -> Categories {
    match group {
        Group::Connection => Categories::CONNECTION,
        Group::Generic => Categories::KEYSPACE,
        // Its commands say what they are by their flags.
        Group::Cluster | Group::PubSub | Group::Server => Categories::NONE,
        Group::Hash => Categories::HASH,
        Group::List => Categories::LIST,
        Group::Set => Categories::SET,
        Group::SortedSet => Categories::SORTED_SET,
        Group::String => Categories::STRING,
        Group::Transactions => Categories::TRANSACTION,
    }
}
