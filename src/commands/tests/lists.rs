//! Commands on lists against lists that are plain vectors: small and large ones, with values in memory and on the disk, in
//! transactions and without. The last test is about values that SORT looks up.

use std::collections::BTreeMap;

use super::{Batch, Bench, Executed, Prepared, Session};
use crate::keyspace::Mode;

type Model = BTreeMap<&'static str, Vec<String>>;

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    /// Few different values, of few different lengths, some of which are never kept inside a block.
    fn value(&mut self) -> String {
        match self.below(9) {
            0 => "x".repeat(100 + self.below(3)),
            1 => format!("{}{}", "y".repeat(300), self.below(3)),
            2 => format!("word{}", self.below(5)),
            _ => self.below(40).to_string(),
        }
    }

    fn place(&mut self, length: usize) -> i64 {
        self.below(2 * length + 5) as i64 - length as i64 - 2
    }
}

fn bulk(value: &str) -> String {
    format!("${}\r\n{value}\r\n", value.len())
}

fn array<'v>(values: impl ExactSizeIterator<Item = &'v String>) -> String {
    let header = format!("*{}\r\n", values.len());
    values.fold(header, |text, value| text + &bulk(value))
}

fn range(list: &[String], start: i64, stop: i64) -> std::ops::Range<usize> {
    let length = list.len() as i64;
    let from_start = |place: i64| if place < 0 { place + length } else { place };
    let (start, end) = (from_start(start).max(0), from_start(stop).min(length - 1) + 1);
    if start < end { start as usize..end as usize } else { 0..0 }
}

/// A command with the reply it must have, done to the model.
fn step(random: &mut Random, model: &mut Model) -> (String, String) {
    const KEYS: [&str; 3] = ["a", "b", "c"];
    let (key, other) = (KEYS[random.below(3)], KEYS[random.below(3)]);
    let length = model.get(key).map_or(0, Vec::len);
    let value = random.value();
    let is_left = random.below(2) == 0;
    let (letter, side) = if is_left { ("L", "LEFT") } else { ("R", "RIGHT") };
    let list = model.entry(key).or_default();
    match random.below(14) {
        0..=3 => {
            let values: Vec<String> =
                (0..1 + random.below(if length > 400 { 2 } else { 30 })).map(|_| random.value()).collect();
            for value in &values {
                list.insert(if is_left { 0 } else { list.len() }, value.clone());
            }
            (format!("{letter}PUSH {key} {}", values.join(" ")), format!(":{}\r\n", list.len()))
        }
        4 => match is_left {
            _ if list.is_empty() => (format!("{letter}POP {key}"), "$-1\r\n".into()),
            true => (format!("LPOP {key}"), bulk(&list.remove(0))),
            false => (format!("RPOP {key}"), bulk(&list.pop().unwrap())),
        },
        5 => {
            let count = random.below(12).min(length);
            let line = format!("LMPOP 1 {key} {side} COUNT {}", count.max(1));
            if length == 0 {
                return (line, "*-1\r\n".into());
            }
            let count = count.max(1);
            let taken: Vec<String> = match is_left {
                true => list.drain(..count).collect(),
                false => list.drain(length - count..).rev().collect(),
            };
            (line, format!("*2\r\n{}{}", bulk(key), array(taken.iter())))
        }
        6 => {
            let (start, stop) = (random.place(length), random.place(length));
            (format!("LRANGE {key} {start} {stop}"), array(list[range(list, start, stop)].iter()))
        }
        7 => {
            let place = random.place(length);
            let rank = if place < 0 { place + length as i64 } else { place };
            let found = usize::try_from(rank).ok().filter(|rank| *rank < length);
            let line = format!("LSET {key} {place} {value}");
            let reply = match found {
                _ if length == 0 => "-ERR no such key\r\n",
                None => "-ERR index out of range\r\n",
                Some(rank) => {
                    list[rank] = value;
                    "+OK\r\n"
                }
            };
            (line, reply.into())
        }
        8 | 9 => {
            let pivot = random.value();
            let line = format!("LINSERT {key} {} {pivot} {value}", if is_left { "BEFORE" } else { "AFTER" });
            let Some(at) = list.iter().position(|element| *element == pivot) else {
                return (line, if length == 0 { ":0\r\n" } else { ":-1\r\n" }.into());
            };
            list.insert(at + usize::from(!is_left), value);
            (line, format!(":{}\r\n", list.len()))
        }
        10 => {
            let most = random.below(4);
            let count = if is_left { most as i64 } else { -(most as i64) };
            let mut removed = 0;
            let mut keep = |element: &String| {
                let goes = *element == value && (most == 0 || removed < most);
                removed += usize::from(goes);
                !goes
            };
            if count < 0 {
                list.reverse();
            }
            list.retain(&mut keep);
            if count < 0 {
                list.reverse();
            }
            (format!("LREM {key} {count} {value}"), format!(":{removed}\r\n"))
        }
        11 if random.below(4) == 0 => {
            let (start, stop) = (random.place(length), random.place(length));
            *list = list[range(list, start, stop)].to_vec();
            (format!("LTRIM {key} {start} {stop}"), "+OK\r\n".into())
        }
        12 => {
            let to_left = random.below(2) == 0;
            let line = format!("LMOVE {key} {other} {side} {}", if to_left { "LEFT" } else { "RIGHT" });
            if list.is_empty() {
                return (line, "$-1\r\n".into());
            }
            let value = list.remove(if is_left { 0 } else { length - 1 });
            let other = model.entry(other).or_default();
            other.insert(if to_left { 0 } else { other.len() }, value.clone());
            (line, bulk(&value))
        }
        13 if random.below(6) == 0 => {
            let mut sorted = list.clone();
            sorted.sort();
            let reply = format!(":{}\r\n", sorted.len());
            model.insert(other, sorted);
            (format!("SORT {key} ALPHA STORE {other}"), reply)
        }
        _ => {
            let most = random.below(4);
            let found = list.iter().enumerate().filter(|(_, element)| **element == value).map(|(at, _)| at);
            let found: Vec<usize> = if is_left { found.collect() } else { found.rev().collect() };
            let found = &found[..if most == 0 { found.len() } else { most.min(found.len()) }];
            let rank = if is_left { 1 } else { -1 };
            let reply = found.iter().fold(format!("*{}\r\n", found.len()), |text, at| text + &format!(":{at}\r\n"));
            (format!("LPOS {key} {value} RANK {rank} COUNT {most}"), reply)
        }
    }
}

/// A request whose values are fetched as often as it asks for some.
fn run(bench: &Bench, session: &mut Session, line: &str) -> String {
    let mut batch = Batch::begin(&bench.node);
    let mut prepared = Prepared::default();
    loop {
        match bench.attempt(session, &mut batch, line, Some(&prepared)) {
            (Executed::Done, reply) => return reply,
            (Executed::Cold(cold), _) => {
                cold.into_iter().for_each(|cold| prepared.pins.add(cold.fetch(bench.keyspace())));
            }
            (Executed::Room, _) => prepared.admitted = true,
            (other, _) => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn lists_are_as_plain_vectors() {
    for seed in 1..=6u64 {
        let bench = Bench::new();
        let mut session = bench.session();
        let (mut random, mut model) = (Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)), Model::new());
        let mut done = Vec::new();
        for number in 0..1500 {
            if random.below(40) == 0 {
                bench.demote();
            }
            if random.below(20) == 0 {
                assert_eq!(run(&bench, &mut session, "MULTI"), "+OK\r\n");
                let before = model.clone();
                let steps: Vec<_> = (0..1 + random.below(8)).map(|_| step(&mut random, &mut model)).collect();
                for (line, _) in &steps {
                    assert_eq!(run(&bench, &mut session, line), "+QUEUED\r\n");
                }
                if random.below(4) == 0 {
                    assert_eq!(run(&bench, &mut session, "DISCARD"), "+OK\r\n");
                    model = before;
                    continue;
                }
                let expected = steps.iter().fold(format!("*{}\r\n", steps.len()), |text, (_, reply)| text + reply);
                assert_eq!(run(&bench, &mut session, "EXEC"), expected, "seed {seed}, step {number}: {steps:?}");
                continue;
            }
            let (line, expected) = step(&mut random, &mut model);
            let reply = run(&bench, &mut session, &line);
            done.push(line);
            let last = &done[done.len().saturating_sub(5)..];
            assert_eq!(reply, expected, "seed {seed}, step {number}: {last:?}");
        }
        for (key, list) in &model {
            assert_eq!(run(&bench, &mut session, &format!("LRANGE {key} 0 -1")), array(list.iter()), "seed {seed}");
            assert_eq!(
                run(&bench, &mut session, &format!("EXISTS {key}")),
                format!(":{}\r\n", u8::from(!list.is_empty()))
            );
        }
    }
}

#[test]
fn values_of_another_length_are_not_fetched_to_be_compared() {
    let bench = Bench::new();
    let mut session = bench.session();
    let values: Vec<String> = (0..300).map(|number| format!("{number:0width$}", width = 100 + number % 3)).collect();
    run(&bench, &mut session, &format!("RPUSH l {}", values.join(" ")));
    for (line, expected, fetched) in [
        (format!("LPOS l {}", "x".repeat(50)), "$-1\r\n", 0),
        (format!("LPOS l {}", values[1]), ":1\r\n", 86),
        (format!("LREM l 0 {}", "x".repeat(102)), ":0\r\n", 100),
        (format!("LINSERT l BEFORE {} x", "x".repeat(200)), ":-1\r\n", 0),
    ] {
        bench.demote();
        let before = bench.keyspace().cold_reads();
        assert_eq!(run(&bench, &mut session, &line), expected, "{line}");
        assert!(bench.keyspace().cold_reads() - before <= fetched, "{line}");
    }
}

#[test]
fn all_that_sort_looks_up_on_the_disk_is_asked_for_together() {
    const ELEMENTS: usize = 200;
    let bench = Bench::new();
    let mut session = bench.session();
    let numbers: Vec<String> = (0..ELEMENTS).map(|number| number.to_string()).collect();
    run(&bench, &mut session, &format!("RPUSH l {}", numbers.join(" ")));
    let pairs: Vec<String> = (0..ELEMENTS).map(|at| format!("w_{at} {}{at:03}", "z".repeat(80))).collect();
    run(&bench, &mut session, &format!("MSET {}", pairs.join(" ")));
    let first = format!("*1\r\n{}", bulk(&(ELEMENTS - 1).to_string()));
    for exec in [false, true] {
        bench.demote();
        let mut line = "SORT l BY w_* ALPHA DESC LIMIT 0 1";
        if exec {
            run(&bench, &mut session, "MULTI");
            run(&bench, &mut session, line);
            line = "EXEC";
        }
        let mut batch = Batch::begin(&bench.node);
        let mut prepared = Prepared::default();
        let mut asked = Vec::new();
        let reply = loop {
            match bench.attempt(&mut session, &mut batch, line, Some(&prepared)) {
                (Executed::Cold(cold), _) => {
                    asked.push(cold.len());
                    cold.into_iter().for_each(|cold| prepared.pins.add(cold.fetch(bench.keyspace())));
                }
                (Executed::Done, reply) => break reply,
                (other, _) => panic!("{other:?}"),
            }
        };
        assert_eq!(reply, if exec { format!("*1\r\n{first}") } else { first.clone() });
        assert!(asked.len() <= 2 && asked.contains(&ELEMENTS), "{asked:?}");
    }
}

#[test]
fn sort_holds_only_what_it_needs() {
    let bench = Bench::new();
    let mut session = bench.session();
    run(&bench, &mut session, "RPUSH l 2 1");
    run(&bench, &mut session, "MSET w_1 2 w_2 1");
    // Somebody holds another key's latch, and the list's own for reading.
    let keyspace = bench.keyspace();
    let now = bench.node.now();
    let held = keyspace.access_one(0, b"l", Mode::Shared, now, false);
    assert_eq!(run(&bench, &mut session, "SORT l"), "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    assert_eq!(run(&bench, &mut session, "SORT l BY w_*"), "*2\r\n$1\r\n2\r\n$1\r\n1\r\n");
    drop(held);
    assert_eq!(run(&bench, &mut session, "SORT l BY w_* GET w_* STORE l"), ":2\r\n");
    assert_eq!(run(&bench, &mut session, "LRANGE l 0 -1"), "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
}

#[test]
fn sorted_sets_have_an_order_of_their_own() {
    for members in [20, 300] {
        let bench = Bench::new();
        let mut session = bench.session();
        let mut access = bench.keyspace().access_one(0, b"z", Mode::Exclusive, bench.node.now(), false);
        let mut zset = access.edit_zset(b"z").unwrap();
        let names: Vec<String> = (0..members).map(|number| format!("m{}", (number * 7) % members)).collect();
        for (score, name) in names.iter().enumerate() {
            zset.set(name.as_bytes(), score as f64);
        }
        zset.finish().unwrap();
        access.commit().unwrap();
        let reversed: Vec<String> = names.iter().rev().cloned().collect();
        let mut sorted = names.clone();
        sorted.sort();
        for (words, expected) in [
            ("BY nosort", &names[..]),
            ("BY nosort DESC", &reversed[..]),
            ("BY nosort LIMIT 3 4", &names[3..7]),
            ("BY nosort DESC LIMIT 3 4", &reversed[3..7]),
            ("BY nosort LIMIT 15 1000", &names[15..]),
            ("BY nosort LIMIT 1000 1", &[]),
            ("BY nosort DESC LIMIT 0 0", &[]),
            ("ALPHA", &sorted[..]),
            ("ALPHA LIMIT 5 5", &sorted[5..10]),
        ] {
            let reply = run(&bench, &mut session, &format!("SORT_RO z {words}"));
            assert_eq!(reply, array(expected.iter()), "{words} of {members}");
            let reply = run(&bench, &mut session, &format!("SORT z {words} STORE d"));
            assert_eq!(reply, format!(":{}\r\n", expected.len()));
            assert_eq!(run(&bench, &mut session, "LRANGE d 0 -1"), array(expected.iter()), "{words} of {members}");
        }
    }
}
