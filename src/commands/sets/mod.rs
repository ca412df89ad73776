//! Commands on sets.
//!
//! | file | what |
//! | --- | --- |
//! | `members` | single members, all of them, walks |
//! | `random` | members at random |
//! | `algebra` | what several sets have in common, together, or apart |

mod algebra;
mod members;
mod random;

use super::table::checked;
use super::{Args, Command, Context, Flags, Group, Outcome, Stop, text};
use crate::keyspace::Edited;
use crate::node::notify::EventClass;
use crate::protocol::Reply;

pub(super) const TABLE: &[Command] = &checked(
    Group::Set,
    [
        Command::write("SADD", "key member [member ...]", members::sadd)
            .keys(&["RW insert"])
            .summary("Adds members to a set, creating it where there is none.")
            .complexity("O(N) for N members")
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::read("SCARD", "key", members::scard)
            .keys(&["RO"])
            .summary("Counts the members of a set.")
            .flag(Flags::FAST),
        Command::read("SDIFF", "key [key ...]", algebra::sdiff)
            .tips(&["nondeterministic_output_order"])
            .summary("Answers the members of a set that several others do not have.")
            .complexity("O(N) for N members of all sets"),
        Command::write("SDIFFSTORE", "destination key [key ...]", algebra::sdiffstore)
            .keys(&["OW update", "RO access"])
            .summary("Stores the members of a set that several others do not have.")
            .complexity("O(N) for N members of all sets")
            .flag(Flags::DENYOOM),
        Command::read("SINTER", "key [key ...]", algebra::sinter)
            .tips(&["nondeterministic_output_order"])
            .summary("Answers the members that several sets have in common.")
            .complexity("O(N*M) for N members of the smallest of M sets"),
        Command::read("SINTERCARD", "numkeys key [key ...] [LIMIT limit]", algebra::sintercard)
            .summary("Counts the members that several sets have in common.")
            .since("7.0.0")
            .complexity("O(N*M) for N members of the smallest of M sets")
            .flag(Flags::MOVABLE_KEYS),
        Command::write("SINTERSTORE", "destination key [key ...]", algebra::sinterstore)
            .keys(&["RW update", "RO access"])
            .summary("Stores the members that several sets have in common.")
            .complexity("O(N*M) for N members of the smallest of M sets")
            .flag(Flags::DENYOOM),
        Command::read("SISMEMBER", "key member", members::sismember)
            .keys(&["RO"])
            .summary("Tells whether a set has a member.")
            .flag(Flags::FAST),
        Command::read("SMEMBERS", "key", members::smembers)
            .tips(&["nondeterministic_output_order"])
            .summary("Answers all members of a set.")
            .complexity("O(N) for N members"),
        Command::read("SMISMEMBER", "key member [member ...]", members::smismember)
            .summary("Tells of several members whether a set has them.")
            .since("6.2.0")
            .complexity("O(N) for N members")
            .flag(Flags::FAST),
        Command::write("SMOVE", "source destination member", members::smove)
            .keys(&["RW access delete", "RW insert"])
            .summary("Moves a member from one set to another.")
            .flag(Flags::FAST),
        Command::write("SPOP", "key [count]", random::spop)
            .keys(&["RW access delete"])
            .tips(&["nondeterministic_output"])
            .summary("Removes members of a set at random and answers them.")
            .complexity("O(N) for N members")
            .flag(Flags::FAST),
        Command::read("SRANDMEMBER", "key [count]", random::srandmember)
            .tips(&["nondeterministic_output"])
            .summary("Answers members of a set at random.")
            .complexity("O(N) for N members"),
        Command::write("SREM", "key member [member ...]", members::srem)
            .keys(&["RW delete"])
            .summary("Removes members of a set, and the set with its last one.")
            .complexity("O(N) for N members")
            .flag(Flags::FAST),
        Command::read("SSCAN", "key cursor [MATCH pattern] [COUNT count]", members::sscan)
            .tips(&["nondeterministic_output"])
            .summary("Walks over the members of a set, some at each call.")
            .since("2.8.0")
            .complexity("O(1) for each call, O(N) for a walk over N members"),
        Command::read("SUNION", "key [key ...]", algebra::sunion)
            .tips(&["nondeterministic_output_order"])
            .summary("Answers the members that any of several sets has.")
            .complexity("O(N) for N members of all sets"),
        Command::write("SUNIONSTORE", "destination key [key ...]", algebra::sunionstore)
            .keys(&["OW update", "RO access"])
            .summary("Stores the members that any of several sets has.")
            .complexity("O(N) for N members of all sets")
            .flag(Flags::DENYOOM),
    ],
);

/// A set without members is no key: whoever took the last one has deleted it.
fn tell_emptied(ctx: &mut Context<'_, '_>, key: &[u8], edited: Edited) {
    if edited.emptied() {
        ctx.notify(EventClass::GENERIC, "del", key);
    }
}
