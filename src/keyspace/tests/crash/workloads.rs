//! Workloads: small, since what breaks a log needs few steps, and each about one thing.

use super::super::super::End;
use super::super::collections::Change::{self, *};
use super::super::model::Step::{self, *};

/// Its name and its steps.
pub(in super::super) type Workload = (&'static str, fn() -> Vec<Step>);

pub(in super::super) const ALL: [Workload; 27] = [
    ("overwrites", overwrites),
    ("expiry", expiry),
    ("a clock set back", clock),
    ("transactions", transactions),
    ("large transactions", large_transactions),
    ("pipelines", pipelines),
    ("segments", segments),
    ("large values", large_values),
    ("flushes", flushes),
    ("swaps", swaps),
    ("moves", moves),
    ("moves in transactions", moves_in_transactions),
    ("restarts", restarts),
    ("compaction", compaction),
    ("compaction of deletions", compaction_of_deletions),
    ("compaction of what expired", compaction_of_expired),
    ("compaction of databases", compaction_of_databases),
    ("hashes", hashes),
    ("deadlines of fields", deadlines_of_fields),
    ("sets", sets),
    ("lists", lists),
    ("sorted sets", sorted_sets),
    ("elements at once", elements_at_once),
    ("large collections that go", collections_that_go),
    ("backups", backups),
    ("retention", retention),
    ("remembering", remembering),
];

fn edit(key: &'static str, change: Change) -> Step {
    Edit(0, key, change)
}

/// A small one becomes large, changes element by element, is compacted, and ends.
fn hashes() -> Vec<Step> {
    vec![
        edit("a", SetField("f", 20)),
        edit("a", SetField("g", 20)),
        edit("a", SetField("f", 30)),
        edit("a", SetField("h", 200)),
        Sync,
        edit("a", SetField("f", 300)),
        edit("a", RemoveField("g")),
        Together(vec![edit("a", SetField("i", 10)), edit("a", SetField("f", 9)), edit("a", RemoveField("h"))]),
        Tick,
        edit("a", SetField("g", 900)),
        Compact,
        Kill,
        edit("a", SetField("g", 10)),
        Tick,
        Compact,
        edit("a", RemoveField("f")),
        edit("a", RemoveField("g")),
        edit("a", RemoveField("i")),
        edit("a", SetField("f", 10)),
    ]
}

fn deadlines_of_fields() -> Vec<Step> {
    vec![
        edit("a", SetField("f", 20)),
        edit("a", SetFieldEx("g", 20, 100)),
        edit("a", SetField("h", 30)),
        edit("a", SetFieldEx("h", 30, 50)),
        Sync,
        Pass(60),
        edit("a", SetField("i", 500)),
        Tick,
        Compact,
        Kill,
        edit("a", SetFieldEx("f", 10, 20)),
        edit("a", SetFieldEx("i", 10, 10)),
        Tick,
        Pass(50),
        ExpireDue,
        Tick,
        Compact,
        edit("a", SetField("f", 10)),
        edit("a", SetFieldEx("f", 10, 10)),
        Pass(10),
        ExpireDue,
        Set(0, "b", 900),
        Tick,
        Compact,
    ]
}

fn sets() -> Vec<Step> {
    let [f, g, h, i, j, k] = ["f", "g", "h", "i", "j", "k"];
    vec![
        edit("a", AddMember(f)),
        edit("a", AddMember(g)),
        Together([h, i, j].map(|member| edit("a", AddMember(member))).to_vec()),
        Sync,
        edit("a", RemoveMember(f)),
        edit("a", AddMember(f)),
        edit("a", RemoveMember(f)),
        Set(0, "b", 900),
        Tick,
        edit("a", AddMember(f)),
        Set(0, "b", 900),
        Tick,
        edit("a", RemoveMember(f)),
        Compact,
        Kill,
        edit("a", AddMember(k)),
        Together([g, h, i, j, k].map(|member| edit("a", RemoveMember(member))).to_vec()),
        Compact,
    ]
}

fn lists() -> Vec<Step> {
    vec![
        edit("a", Push(End::Right, 20)),
        edit("a", Push(End::Left, 20)),
        edit("a", Push(End::Right, 200)),
        edit("a", Push(End::Right, 20)),
        edit("a", Push(End::Left, 300)),
        Sync,
        edit("a", Insert(2, 20)),
        edit("a", Insert(2, 20)),
        edit("a", SetAt(1, 30)),
        edit("a", Pop(End::Left)),
        Tick,
        edit("a", Pop(End::Right)),
        Compact,
        Kill,
        edit("a", Push(End::Right, 20)),
        Together(vec![edit("a", Cut(1, 2)), edit("a", Pop(End::Left)), edit("b", Push(End::Left, 300))]),
        edit("a", Cut(0, 3)),
        edit("b", Push(End::Right, 10)),
    ]
}

fn sorted_sets() -> Vec<Step> {
    let [f, g, h, i, j] = ["f", "g", "h", "i", "j"];
    vec![
        edit("a", SetScore(f, 1)),
        edit("a", SetScore(g, 1)),
        Together([(h, 0), (i, 3), (j, 2)].map(|(member, score)| edit("a", SetScore(member, score))).to_vec()),
        Sync,
        edit("a", SetScore(f, 5)),
        edit("a", SetScore(f, -1)),
        edit("a", RemoveScored(g)),
        Set(0, "b", 900),
        Tick,
        edit("a", SetScore(g, 2)),
        edit("a", SetScore(h, 2)),
        Set(0, "b", 900),
        Tick,
        Compact,
        Kill,
        edit("a", RemoveScored(g)),
        Compact,
        Together([f, h, i, j].map(|member| edit("a", RemoveScored(member))).to_vec()),
        edit("a", SetScore(f, 1)),
    ]
}

/// Collections that are no one block in Redis: a change of one element has immediate effect there, in every other step.
fn elements_at_once() -> Vec<Step> {
    const LONG: &str = "a member that is longer than those of which Redis makes one block only";
    let [f, g, h, i] = ["f", "g", "h", "i"];
    vec![
        Together([LONG, f, g, h, i].map(|member| edit("s", AddMember(member))).to_vec()),
        Together([LONG, f, g, h, i].map(|member| edit("z", SetScore(member, 1))).to_vec()),
        edit("s", RemoveMember(f)),
        edit("z", RemoveScored(f)),
        edit("s", RemoveMember(g)),
        edit("s", AddMember(f)),
        edit("z", RemoveScored(g)),
        edit("z", SetScore(f, 2)),
        Tick,
        edit("l", Push(End::Left, 3000)),
        edit("l", Push(End::Left, 3000)),
        edit("l", Push(End::Right, 3000)),
        edit("l", Push(End::Left, 3000)),
        edit("l", Pop(End::Right)),
        edit("l", Pop(End::Left)),
        Compact,
        edit("s", RemoveMember(h)),
        edit("z", RemoveScored(h)),
        Kill,
        edit("l", Push(End::Right, 3000)),
        edit("l", Pop(End::Left)),
        edit("z", RemoveScored(i)),
        edit("s", RemoveMember(i)),
        Sync,
        edit("s", RemoveMember(f)),
        edit("l", Pop(End::Left)),
        edit("s", RemoveMember(LONG)),
        Compact,
    ]
}

/// Whatever takes a large collection away or elsewhere, what it was stays gone.
fn collections_that_go() -> Vec<Step> {
    let large = |key| {
        let fields = ["f", "g", "h", "i", "j"].map(|field| edit(key, SetField(field, 100)));
        Together(fields.to_vec())
    };
    vec![
        large("a"),
        Rename(0, "a", "b"),
        edit("b", SetField("f", 10)),
        Copy(0, "b", 1, "a"),
        Tick,
        Delete(0, "b"),
        Move(1, "a", 0),
        edit("a", RemoveField("g")),
        Compact,
        Kill,
        edit("a", SetField("g", 30)),
        Expire(0, "a", Some(50)),
        Swap(0, 1),
        Pass(60),
        ExpireDue,
        large("b"),
        Together(vec![edit("b", SetField("f", 10)), Delete(0, "b"), large("b"), Rename(0, "b", "a")]),
        Tick,
        Set(0, "a", 10),
        Compact,
        large("b"),
        Flush(0),
        Compact,
    ]
}

fn backups() -> Vec<Step> {
    vec![
        Set(0, "a", 900),
        Set(0, "b", 900),
        Backup("first"),
        Set(0, "a", 1_200),
        Together(vec![Set(0, "c", 900), Delete(0, "b"), Set(1, "a", 300)]),
        Tick,
        Set(0, "d", 20),
        Backup("second"),
        Compact,
        Flush(1),
        Set(0, "a", 10),
        Backup("third"),
    ]
}

/// Values are in memory, are remembered, and are others, elsewhere or nobody's by the next start.
pub(super) fn remembering() -> Vec<Step> {
    vec![
        Set(0, "a", 900),
        SetEx(0, "b", 700, 1_000),
        Set(1, "a", 5_000),
        edit("h", SetField("f", 900)),
        edit("h", SetField("g", 300)),
        edit("l", Push(End::Right, 2_000)),
        Remember,
        Kill,
        Set(0, "a", 800),
        Move(0, "b", 2),
        edit("h", SetField("f", 20)),
        edit("h", RemoveField("g")),
        Tick,
        Compact,
        Kill,
        Remember,
        Delete(0, "a"),
        Pass(1_000),
        Swap(0, 1),
        Remember,
        Reopen,
        Flush(0),
        Set(0, "a", 30),
        Remember,
        Reopen,
    ]
}

fn retention() -> Vec<Step> {
    vec![
        Keep(1_000),
        Set(0, "a", 900),
        Set(0, "b", 900),
        Set(0, "a", 1_200),
        Delete(0, "b"),
        Tick,
        Compact,
        Set(0, "b", 900),
        Set(0, "a", 900),
        Tick,
        Compact,
        Backup("first"),
        Pass(1_000),
        Keep(1_000),
        Set(0, "a", 10),
        Tick,
        Keep(0),
        Compact,
    ]
}

fn overwrites() -> Vec<Step> {
    vec![
        Set(0, "a", 10),
        Set(0, "b", 700),
        Set(0, "a", 20),
        Sync,
        Delete(0, "b"),
        Set(0, "b", 30),
        Delete(0, "a"),
        Set(0, "c", 600),
        Get(0, "a"),
        Delete(0, "b"),
        Tick,
        Set(0, "a", 0),
        Delete(0, "c"),
        Set(0, "b", 1),
    ]
}

fn expiry() -> Vec<Step> {
    vec![
        Set(0, "a", 10),
        SetEx(0, "a", 20, 50),
        SetEx(0, "b", 500, 100),
        Sync,
        Pass(60),
        Get(0, "a"),
        Set(0, "c", 400),
        Expire(0, "c", Some(30)),
        Expire(0, "b", None),
        Pass(40),
        ExpireDue,
        SetEx(0, "a", 30, 10),
        Expire(0, "a", Some(500)),
        Pass(20),
        Get(0, "a"),
        Tick,
        Expire(0, "a", Some(1)),
        Pass(1),
        Get(0, "a"),
        Set(0, "c", 5),
    ]
}

fn clock() -> Vec<Step> {
    vec![
        Set(0, "a", 10),
        SetEx(0, "a", 10, 1_000),
        SetEx(0, "b", 10, 90_000),
        Sync,
        Pass(2_000),
        Get(0, "a"),
        SetBack(1_000_000),
        Get(0, "a"),
        Kill,
        Get(0, "a"),
        SetEx(0, "c", 600, 1),
        Pass(1),
        ExpireDue,
        Reopen,
        Get(0, "b"),
        SetBack(1_000_000),
        Pass(1_000),
        Set(0, "a", 20),
        Kill,
        Get(0, "c"),
    ]
}

fn transactions() -> Vec<Step> {
    vec![
        Set(0, "a", 10),
        Together(vec![Set(0, "a", 300), Set(0, "b", 300), Set(0, "c", 300)]),
        Together(vec![Delete(0, "a"), Set(0, "b", 20), Set(0, "a", 30), Delete(0, "c")]),
        Sync,
        Together(vec![Set(0, "c", 800)]),
        Together(vec![Set(0, "a", 1), Set(0, "a", 2), Set(0, "a", 3)]),
        Together(vec![SetEx(0, "b", 700, 90), Expire(0, "b", None), Delete(0, "a")]),
        Tick,
        Pipeline(vec![
            Set(0, "a", 5),
            Together(vec![Set(0, "a", 600), Set(0, "b", 600)]),
            Set(0, "c", 5),
            Together(vec![Delete(0, "a"), Delete(0, "b"), Delete(0, "c")]),
        ]),
        Together(vec![Set(0, "a", 600), Set(0, "b", 600), Set(0, "c", 600)]),
    ]
}

fn large_transactions() -> Vec<Step> {
    const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    vec![
        Set(0, "a", 10),
        Together(KEYS.iter().map(|key| Set(0, key, 700)).collect()),
        Set(0, "b", 10),
        Together(KEYS.iter().map(|key| Set(0, key, 900)).collect()),
        Sync,
        Together(KEYS.iter().map(|key| Delete(0, key)).collect()),
        Together(KEYS.iter().map(|key| SetEx(0, key, 300, 1_000_000)).collect()),
    ]
}

fn pipelines() -> Vec<Step> {
    vec![
        Pipeline(vec![Set(0, "a", 100), Set(0, "b", 200), Set(0, "a", 300), Delete(0, "b"), Set(0, "b", 400)]),
        Pipeline(vec![Set(0, "c", 1_500), Delete(0, "c"), Set(0, "c", 1_500), Set(0, "a", 1_500)]),
        Sync,
        Pipeline(vec![Set(0, "a", 700), Delete(0, "a"), Set(0, "d", 900), Set(0, "a", 1_200), Set(0, "b", 1_200)]),
        Pipeline(vec![Get(0, "a"), Delete(0, "b"), Get(0, "b"), Delete(0, "c")]),
    ]
}

fn segments() -> Vec<Step> {
    let mut steps = vec![Set(0, "a", 900), Set(0, "b", 900)];
    for round in 0..4 {
        steps.extend([Set(0, "a", 900), Set(0, "b", 800 + round), Delete(0, "a"), Set(0, "c", 900)]);
        if round % 2 == 0 {
            steps.push(Tick);
        }
    }
    steps
}

fn large_values() -> Vec<Step> {
    vec![
        Set(0, "a", 9_000),
        Set(0, "b", 10),
        Set(0, "a", 12_000),
        Sync,
        Together(vec![Set(0, "b", 6_000), Set(0, "c", 6_000)]),
        Delete(0, "a"),
        Set(0, "a", 5_000),
    ]
}

fn flushes() -> Vec<Step> {
    vec![
        Set(0, "a", 10),
        Set(1, "a", 20),
        Set(1, "b", 800),
        Flush(1),
        Set(1, "a", 30),
        Sync,
        Together(vec![Set(0, "b", 900), Flush(0), Set(0, "c", 900)]),
        FlushAll,
        Set(1, "b", 700),
        Together(vec![Flush(1), Set(1, "a", 5), Flush(1), Set(1, "b", 6)]),
        Tick,
        FlushAll,
        FlushAll,
        Set(0, "a", 50),
    ]
}

fn swaps() -> Vec<Step> {
    vec![
        Set(0, "a", 10),
        Set(1, "b", 20),
        Swap(0, 1),
        Set(0, "a", 30),
        Delete(1, "a"),
        Sync,
        Together(vec![Set(1, "a", 600), Swap(0, 1), Set(1, "a", 700), Delete(0, "a")]),
        Flush(0),
        Swap(0, 1),
        Set(1, "b", 900),
        Flush(1),
        Swap(1, 0),
        Set(0, "c", 10),
    ]
}

fn moves() -> Vec<Step> {
    vec![
        Set(0, "a", 500),
        SetEx(0, "b", 500, 1_000),
        Rename(0, "a", "c"),
        Copy(0, "b", 0, "a"),
        Sync,
        Move(0, "c", 1),
        Copy(1, "c", 0, "d"),
        Rename(0, "a", "b"),
        Delete(1, "c"),
        Move(0, "d", 1),
        Move(0, "b", 1),
        Pass(2_000),
        Get(1, "b"),
        Rename(0, "b", "a"),
        Get(0, "b"),
        Set(0, "b", 10),
        Pipeline(vec![Move(0, "b", 1), Move(1, "b", 2), Flush(1), Set(1, "b", 900), Move(1, "b", 0)]),
        Move(2, "b", 0),
    ]
}

fn moves_in_transactions() -> Vec<Step> {
    vec![
        Set(0, "a", 500),
        SetEx(0, "b", 300, 100_000),
        Set(1, "c", 200),
        Together(vec![Move(0, "a", 1), Set(0, "a", 300), Expire(1, "a", Some(5_000))]),
        Sync,
        Together(vec![Set(0, "d", 400), Move(0, "d", 1), Move(1, "c", 0), Move(0, "c", 2)]),
        Together(vec![Move(0, "b", 1), Flush(0)]),
        Tick,
        Together(vec![Move(1, "b", 0), Swap(0, 1), Move(1, "b", 2), Delete(2, "c"), Set(1, "e", 700)]),
        Kill,
        Together(vec![Flush(1), Move(2, "b", 1), Flush(2)]),
        Move(1, "b", 2),
    ]
}

fn restarts() -> Vec<Step> {
    vec![
        Set(0, "a", 500),
        Set(0, "b", 500),
        Reopen,
        Set(0, "a", 600),
        Delete(0, "b"),
        Kill,
        Set(0, "b", 700),
        Together(vec![Delete(0, "a"), Set(0, "c", 100)]),
        Kill,
        Kill,
        Set(0, "a", 800),
        Reopen,
        Get(0, "a"),
    ]
}

/// What goes on after a crash.
pub(super) fn again() -> Vec<Step> {
    vec![Set(0, "a", 40), Together(vec![Delete(0, "b"), Set(0, "z", 600)]), Delete(0, "a"), Kill, Set(0, "b", 50)]
}

fn compaction() -> Vec<Step> {
    vec![
        Set(0, "a", 900),
        Set(0, "b", 900),
        Set(0, "c", 900),
        Set(0, "a", 1_500),
        Set(0, "d", 1_500),
        Tick,
        Set(0, "c", 1_000),
        Set(0, "d", 20),
        Tick,
        Compact,
        Set(0, "a", 800),
        Together(vec![Set(0, "b", 700), Delete(0, "c"), Set(0, "e", 900)]),
        Set(0, "d", 1_800),
        Set(0, "e", 1_800),
        Compact,
        Get(0, "a"),
        Kill,
        Set(0, "b", 10),
        Compact,
        Reopen,
        Compact,
        Get(0, "b"),
    ]
}

/// What is deleted stands in one segment, what deletes it in another, and they are compacted one without the other.
fn compaction_of_deletions() -> Vec<Step> {
    vec![
        Set(0, "a", 10),
        Set(0, "keep", 1_900),
        Set(0, "keep too", 1_900),
        Delete(0, "a"),
        Set(0, "b", 10),
        Set(0, "x", 1_900),
        Set(0, "x", 1_900),
        Tick,
        Compact,
        Kill,
        Get(0, "a"),
        Set(0, "a", 20),
        Delete(0, "b"),
        Set(0, "x", 1_900),
        Set(0, "x", 1_950),
        Delete(0, "a"),
        Set(0, "y", 1_900),
        Set(0, "x", 1_900),
        Tick,
        Compact,
        Reopen,
        Get(0, "a"),
        Delete(0, "keep"),
        Delete(0, "keep too"),
        Delete(0, "x"),
        Delete(0, "y"),
        Tick,
        Compact,
    ]
}

fn compaction_of_expired() -> Vec<Step> {
    vec![
        Set(0, "a", 10),
        Set(0, "b", 10),
        Set(0, "c", 10),
        Set(0, "keep", 1_900),
        Set(0, "keep too", 1_900),
        SetEx(0, "a", 20, 50),
        Expire(0, "b", Some(60)),
        SetEx(0, "c", 30, 60),
        Expire(0, "c", None),
        Set(0, "x", 1_900),
        Set(0, "x", 1_900),
        Tick,
        Pass(100),
        ExpireDue,
        Compact,
        SetBack(1_000_000),
        Kill,
        Get(0, "a"),
        Get(0, "b"),
        Get(0, "c"),
        Expire(0, "c", Some(5_000)),
        Set(0, "x", 1_900),
        Set(0, "x", 1_950),
        Tick,
        Compact,
        Pass(6_000),
        Get(0, "c"),
        Set(0, "x", 1_900),
        Set(0, "y", 1_900),
        Tick,
        Compact,
    ]
}

fn compaction_of_databases() -> Vec<Step> {
    vec![
        Set(0, "a", 900),
        Set(1, "a", 900),
        Set(0, "b", 900),
        Move(0, "b", 1),
        Swap(0, 1),
        Set(0, "c", 1_500),
        Set(1, "c", 1_500),
        Tick,
        Compact,
        Flush(1),
        Set(1, "a", 1_200),
        Move(1, "a", 0),
        Move(0, "b", 1),
        Set(0, "x", 1_900),
        Set(0, "x", 1_900),
        Tick,
        Compact,
        Kill,
        Move(1, "b", 0),
        FlushAll,
        Set(0, "a", 10),
        Set(0, "x", 1_900),
        Tick,
        Compact,
    ]
}
