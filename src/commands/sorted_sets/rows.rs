//! The rows of the commands on sorted sets.

use super::add::{zadd, zincrby};
use super::combine::{zdiff, zdiffstore, zinter, zintercard, zinterstore, zunion, zunionstore};
use super::pop::{bzmpop, bzpopmax, bzpopmin, zmpop, zpopmax, zpopmin};
use super::range::{zrange, zrangebylex, zrangebyscore, zrangestore, zrevrange, zrevrangebylex, zrevrangebyscore};
use super::read::{zcard, zcount, zlexcount, zmscore, zrandmember, zrank, zrevrank, zscan, zscore};
use super::remove::{zrem, zremrangebylex, zremrangebyrank, zremrangebyscore};
use super::{Command, Flags, Group};
use crate::commands::table::checked;

const LOG: &str = "O(log(N)) for N members";
const LOG_AND_M: &str = "O(log(N)+M) for N members and M of them in the range";
const LOG_AND_M_REMOVED: &str = "O(M*log(N)) for N members and M of them removed";
const COMBINED: &str = "O(N*log(N)) for N members of all keys";
const NUMBERED_BLOCKING: Flags = Flags::BLOCKING.with(Flags::MOVABLE_KEYS);

pub(in crate::commands) const TABLE: &[Command] = &checked(
    Group::SortedSet,
    [
        Command::write("BZMPOP", "timeout:double numkeys key [key ...] <where= MIN | MAX> [COUNT count]", bzmpop)
            .keys(POP)
            .summary("Takes members from the first sorted set that has some, waiting until one has.")
            .since("7.0.0")
            .complexity("O(K+M*log(N)) for K keys and M members taken of N")
            .flag(NUMBERED_BLOCKING),
        Command::write("BZPOPMAX", "key [key ...] timeout:double", bzpopmax)
            .keys(POP)
            .summary("Takes the member with the highest score, waiting until there is one.")
            .since("5.0.0")
            .complexity(LOG)
            .flag(Flags::BLOCKING)
            .flag(Flags::FAST)
            .flag(Flags::NOSCRIPT),
        Command::write("BZPOPMIN", "key [key ...] timeout:double", bzpopmin)
            .keys(POP)
            .summary("Takes the member with the lowest score, waiting until there is one.")
            .since("5.0.0")
            .complexity(LOG)
            .flag(Flags::BLOCKING)
            .flag(Flags::FAST)
            .flag(Flags::NOSCRIPT),
        Command::write(
            "ZADD",
            "key [condition= NX | XX] [comparison= GT | LT] [change= CH] [increment= INCR] score:double member \
             [score:double member ...]",
            zadd,
        )
        .summary("Adds members to a sorted set, or gives them other scores, creating it where there is none.")
        .since("1.2.0")
        .complexity("O(log(N)) for each member, of N")
        .flag(Flags::FAST)
        .flag(Flags::DENYOOM),
        Command::read("ZCARD", "key", zcard)
            .keys(&["RO"])
            .summary("Counts the members of a sorted set.")
            .since("1.2.0")
            .flag(Flags::FAST),
        Command::read("ZCOUNT", "key min:double max:double", zcount)
            .summary("Counts the members whose scores are in a range.")
            .since("2.0.0")
            .complexity(LOG)
            .flag(Flags::FAST),
        Command::read("ZDIFF", "numkeys key [key ...] [WITHSCORES]", zdiff)
            .summary("Answers what is in the first of some sorted sets and in none of the others.")
            .since("6.2.0")
            .complexity(COMBINED)
            .flag(Flags::MOVABLE_KEYS),
        Command::write("ZDIFFSTORE", "destination numkeys key [key ...]", zdiffstore)
            .keys(STORE)
            .summary("Stores what is in the first of some sorted sets and in none of the others.")
            .since("6.2.0")
            .complexity(COMBINED)
            .flag(Flags::MOVABLE_KEYS)
            .flag(Flags::DENYOOM),
        Command::write("ZINCRBY", "key increment member", zincrby)
            .keys(&["RW access update"])
            .summary("Adds to the score of a member, which counts from 0 where there is none.")
            .since("1.2.0")
            .complexity(LOG)
            .flag(Flags::FAST)
            .flag(Flags::DENYOOM),
        Command::read(
            "ZINTER",
            "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <aggregate= SUM | MIN | MAX>] [WITHSCORES]",
            zinter,
        )
        .summary("Answers what is in all of some sorted sets.")
        .since("6.2.0")
        .complexity(COMBINED)
        .flag(Flags::MOVABLE_KEYS),
        Command::read("ZINTERCARD", "numkeys key [key ...] [LIMIT limit]", zintercard)
            .summary("Counts what is in all of some sorted sets, up to a limit.")
            .since("7.0.0")
            .complexity("O(N*K) for K keys, the smallest of which has N members")
            .flag(Flags::MOVABLE_KEYS),
        Command::write(
            "ZINTERSTORE",
            "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <aggregate= SUM | MIN | MAX>]",
            zinterstore,
        )
        .keys(STORE)
        .summary("Stores what is in all of some sorted sets.")
        .since("2.0.0")
        .complexity(COMBINED)
        .flag(Flags::MOVABLE_KEYS)
        .flag(Flags::DENYOOM),
        Command::read("ZLEXCOUNT", "key min max", zlexcount)
            .summary("Counts the members between two names, where all scores are equal.")
            .since("2.8.9")
            .complexity(LOG)
            .flag(Flags::FAST),
        Command::write("ZMPOP", "numkeys key [key ...] <where= MIN | MAX> [COUNT count]", zmpop)
            .keys(POP)
            .summary("Takes members from the first sorted set that has some.")
            .since("7.0.0")
            .complexity("O(K+M*log(N)) for K keys and M members taken of N")
            .flag(Flags::MOVABLE_KEYS),
        Command::read("ZMSCORE", "key member [member ...]", zmscore)
            .summary("Answers the scores of several members.")
            .since("6.2.0")
            .complexity("O(M) for M members")
            .flag(Flags::FAST),
        Command::write("ZPOPMAX", "key [count]", zpopmax)
            .keys(POP)
            .summary("Takes the members with the highest scores.")
            .since("5.0.0")
            .complexity(LOG_AND_M_REMOVED)
            .flag(Flags::FAST),
        Command::write("ZPOPMIN", "key [count]", zpopmin)
            .keys(POP)
            .summary("Takes the members with the lowest scores.")
            .since("5.0.0")
            .complexity(LOG_AND_M_REMOVED)
            .flag(Flags::FAST),
        Command::read("ZRANDMEMBER", "key [options= count [WITHSCORES]]", zrandmember)
            .tips(&["nondeterministic_output"])
            .summary("Answers members at random.")
            .since("6.2.0")
            .complexity("O(M) for M members"),
        Command::read(
            "ZRANGE",
            "key start:string stop:string [sortby= BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
            zrange,
        )
        .summary("Answers the members in a range of ranks, scores or names.")
        .since("1.2.0")
        .complexity(LOG_AND_M),
        Command::read("ZRANGEBYLEX", "key min max [LIMIT offset count]", zrangebylex)
            .summary("Answers the members between two names, where all scores are equal.")
            .since("2.8.9")
            .deprecated("6.2.0", "`ZRANGE` with the `BYLEX` argument")
            .complexity(LOG_AND_M),
        Command::read("ZRANGEBYSCORE", "key min:double max:double [WITHSCORES] [LIMIT offset count]", zrangebyscore)
            .summary("Answers the members whose scores are in a range.")
            .since("1.0.5")
            .deprecated("6.2.0", "`ZRANGE` with the `BYSCORE` argument")
            .complexity(LOG_AND_M),
        Command::write(
            "ZRANGESTORE",
            "dst src min max [sortby= BYSCORE | BYLEX] [REV] [LIMIT offset count]",
            zrangestore,
        )
        .keys(STORE)
        .summary("Stores the members in a range of ranks, scores or names.")
        .since("6.2.0")
        .complexity(LOG_AND_M)
        .flag(Flags::DENYOOM),
        Command::read("ZRANK", "key member [WITHSCORE]", zrank)
            .summary("Answers how many members have lower scores.")
            .since("2.0.0")
            .complexity(LOG)
            .flag(Flags::FAST),
        Command::write("ZREM", "key member [member ...]", zrem)
            .keys(&["RW delete"])
            .summary("Removes members of a sorted set, and the sorted set with its last one.")
            .since("1.2.0")
            .complexity(LOG_AND_M_REMOVED)
            .flag(Flags::FAST),
        Command::write("ZREMRANGEBYLEX", "key min max", zremrangebylex)
            .keys(&["RW delete"])
            .summary("Removes the members between two names, where all scores are equal.")
            .since("2.8.9")
            .complexity(LOG_AND_M_REMOVED),
        Command::write("ZREMRANGEBYRANK", "key start stop", zremrangebyrank)
            .keys(&["RW delete"])
            .summary("Removes the members in a range of ranks.")
            .since("2.0.0")
            .complexity(LOG_AND_M_REMOVED),
        Command::write("ZREMRANGEBYSCORE", "key min:double max:double", zremrangebyscore)
            .keys(&["RW delete"])
            .summary("Removes the members whose scores are in a range.")
            .since("1.2.0")
            .complexity(LOG_AND_M_REMOVED),
        Command::read("ZREVRANGE", "key start stop [WITHSCORES]", zrevrange)
            .summary("Answers the members in a range of ranks that count from the highest score.")
            .since("1.2.0")
            .deprecated("6.2.0", "`ZRANGE` with the `REV` argument")
            .complexity(LOG_AND_M),
        Command::read("ZREVRANGEBYLEX", "key max min [LIMIT offset count]", zrevrangebylex)
            .summary("Answers the members between two names in reverse, where all scores are equal.")
            .since("2.8.9")
            .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")
            .complexity(LOG_AND_M),
        Command::read(
            "ZREVRANGEBYSCORE",
            "key max:double min:double [WITHSCORES] [LIMIT offset count]",
            zrevrangebyscore,
        )
        .summary("Answers the members whose scores are in a range, from the highest.")
        .since("2.2.0")
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")
        .complexity(LOG_AND_M),
        Command::read("ZREVRANK", "key member [WITHSCORE]", zrevrank)
            .summary("Answers how many members have higher scores.")
            .since("2.0.0")
            .complexity(LOG)
            .flag(Flags::FAST),
        Command::read("ZSCAN", "key cursor [MATCH pattern] [COUNT count]", zscan)
            .tips(&["nondeterministic_output"])
            .summary("Walks over the members and their scores, part by part.")
            .since("2.8.0")
            .complexity("O(1) for each call, O(N) for a whole walk over N members"),
        Command::read("ZSCORE", "key member", zscore)
            .summary("Answers the score of a member.")
            .since("1.2.0")
            .flag(Flags::FAST),
        Command::read(
            "ZUNION",
            "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <aggregate= SUM | MIN | MAX>] [WITHSCORES]",
            zunion,
        )
        .summary("Answers what is in any of some sorted sets.")
        .since("6.2.0")
        .complexity(COMBINED)
        .flag(Flags::MOVABLE_KEYS),
        Command::write(
            "ZUNIONSTORE",
            "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <aggregate= SUM | MIN | MAX>]",
            zunionstore,
        )
        .keys(STORE)
        .summary("Stores what is in any of some sorted sets.")
        .since("2.0.0")
        .complexity(COMBINED)
        .flag(Flags::MOVABLE_KEYS)
        .flag(Flags::DENYOOM),
    ],
);

/// What happens to keys that members are taken from.
const POP: &[&str] = &["RW access delete"];
/// What happens to a destination, and to what comes into it.
const STORE: &[&str] = &["OW update", "RO access"];
