//! Everything that a server holds, and whether it is what a client was told.

use std::collections::{BTreeMap, BTreeSet};

use super::collections::Score;
use super::model::{Entry, Model, Value, is_brief, is_shared, number};
use super::writer::{COUNTERS, GROUPS, JOURNALS, PARTS, Writer, counter, group, journal};
use crate::connection::{Connection, encode, shown};
use crate::reply::Reply;

/// Keys that are read with one pipeline.
const READ_TOGETHER: usize = 100;

/// Elements of one collection that are told to be too much, or too few.
const DIFFERENCES_MAX: usize = 5;

/// Those of a writer's possible models that are what is there.
pub struct Fitting {
    pub last: Model,
    /// The least and the most that this writer has added to each counter.
    pub counted: [(i64, i64); COUNTERS],
}

/// Everything the server holds.
pub struct Stored {
    pub keys: BTreeMap<String, Entry>,
}

impl Stored {
    pub fn read(connection: &mut Connection) -> Stored {
        let names = connection.ask(&["KEYS", "*"]);
        let names: Vec<String> = names.elements().expect("an array").iter().map(|name| text(name.bytes())).collect();
        let mut keys = BTreeMap::new();
        for names in names.chunks(READ_TOGETHER) {
            let mut ask = |requests: &[Vec<u8>]| -> Vec<Reply> {
                connection.send_raw(&requests.concat()).expect("to send");
                requests.iter().map(|_| connection.receive().expect("a reply")).collect()
            };
            let types = ask(&names.iter().map(|name| encode(&["TYPE", name])).collect::<Vec<_>>());
            let types: Vec<String> = types.iter().map(|name| text(name.bytes())).collect();
            let request = |(name, of): (&String, &String)| read_request(of, name);
            let values = ask(&names.iter().zip(&types).map(request).collect::<Vec<_>>());
            let deadlines = ask(&names.iter().map(|name| encode(&["PEXPIRETIME", name])).collect::<Vec<_>>());
            for (((name, of), value), deadline) in names.iter().zip(&types).zip(&values).zip(&deadlines) {
                let deadline = u64::try_from(deadline.integer().expect("an integer")).ok();
                keys.insert(name.clone(), Entry { value: read_value(of, name, value), deadline });
            }
        }
        Stored { keys }
    }

    /// The members of a set that are not there.
    pub fn missing(&self, key: &str, model: &Model) -> Vec<Vec<u8>> {
        let members = |entry: Option<&Entry>| match entry.map(|entry| &entry.value) {
            Some(Value::Set(set)) => set.clone(),
            _ => BTreeSet::new(),
        };
        members(model.get(key)).difference(&members(self.keys.get(key))).cloned().collect()
    }

    pub fn number(&self, key: &str) -> i64 {
        self.keys.get(key).map_or(0, |entry| number(entry.text()))
    }

    pub fn fitting(&self, writer: &Writer) -> Option<Fitting> {
        let mut fitting: Option<Fitting> = None;
        writer.possible(|model| {
            if !self.fits(writer.number, model) {
                return;
            }
            let counts: [i64; COUNTERS] = std::array::from_fn(|index| count(model, &counter(index)));
            let counted = match &fitting {
                Some(before) => before.counted,
                None => counts.map(|count| (count, count)),
            };
            let counted = std::array::from_fn(|index| {
                let ((low, high), count) = (counted[index], counts[index]);
                (low.min(count), high.max(count))
            });
            fitting = Some(Fitting { last: without_brief(model), counted });
        });
        fitting
    }

    fn own(&self, writer: usize) -> impl Iterator<Item = (&String, &Entry)> {
        let prefix = format!("own:{writer}:");
        self.keys.range(prefix.clone()..).take_while(move |(key, _)| key.starts_with(&prefix))
    }

    fn fits(&self, writer: usize, model: &Model) -> bool {
        self.own(writer).eq(model.iter().filter(|(key, _)| !is_shared(key) && !is_brief(key)))
            && (0..JOURNALS).all(|index| self.fits_journal(writer, model, &journal(index)))
            && (0..GROUPS).all(|index| self.fits_group(writer, model, &group(index, 0)))
    }

    /// A writer's entries are all there, once and in order.
    fn fits_journal(&self, writer: usize, model: &Model, key: &str) -> bool {
        let of = |entry: Option<&Entry>| entry.map(|entry| text(Some(entry.text()))).unwrap_or_default();
        let (all, expected) = (of(self.keys.get(key)), of(model.get(key)));
        let mine = format!("{writer}.");
        let found: String = all.split_inclusive(';').filter(|entry| entry.starts_with(&mine)).collect();
        found == expected
    }

    /// If the last value is this writer's, then it is the last that this writer set.
    fn fits_group(&self, writer: usize, model: &Model, key: &str) -> bool {
        let mine = format!("{writer}.");
        let found = self.keys.get(key).filter(|entry| entry.text().starts_with(mine.as_bytes()));
        found.is_none_or(|found| Some(found) == model.get(key))
    }

    /// What an MSET or a transaction sets together is the same everywhere.
    pub fn check_groups(&self) {
        for index in 0..GROUPS {
            let values: BTreeSet<Option<&Entry>> = (0..PARTS).map(|part| self.keys.get(&group(index, part))).collect();
            assert_eq!(values.len(), 1, "group {index} is torn apart: {values:?}");
        }
    }

    /// How what is there differs from the possible model that is nearest to it.
    pub fn difference(&self, writer: &Writer) -> String {
        let (mut steps, mut nearest) = (0, (0, None::<Vec<String>>));
        writer.possible(|model| {
            let lines = self.differences(writer.number, &without_brief(model));
            if nearest.1.as_ref().is_none_or(|best| lines.len() < best.len()) {
                nearest = (steps, Some(lines));
            }
            steps += 1;
        });
        format!(
            "client {}: what is there is not what was acknowledged, with none or any of the {} steps under way; nearest \
             with {}:\n{}",
            writer.number,
            steps - 1,
            nearest.0,
            nearest.1.unwrap_or_default().concat()
        )
    }

    fn differences(&self, writer: usize, model: &Model) -> Vec<String> {
        let mut lines = Vec::new();
        let names: BTreeSet<&String> = self.own(writer).map(|(key, _)| key).chain(model.keys()).collect();
        for name in names.into_iter().filter(|name| !is_shared(name)) {
            let (found, expected) = (self.keys.get(name), model.get(name));
            if found != expected {
                lines.push(format!("  {name} is {} instead of {}\n", described(found), described(expected)));
                lines.extend(differing(found, expected));
            }
        }
        for key in (0..JOURNALS).map(journal).filter(|key| !self.fits_journal(writer, model, key)) {
            lines.push(format!("  {key} lacks {}\n", described(model.get(&key))));
        }
        for key in (0..GROUPS).map(|index| group(index, 0)).filter(|key| !self.fits_group(writer, model, key)) {
            lines.push(format!("  {key} is not {}\n", described(model.get(&key))));
        }
        lines
    }
}

fn without_brief(model: &Model) -> Model {
    model.iter().filter(|(key, _)| !is_brief(key)).map(|(key, entry)| (key.clone(), entry.clone())).collect()
}

fn described(entry: Option<&Entry>) -> String {
    entry.map_or("nothing".to_owned(), |entry| match &entry.value {
        Value::Text(text) => format!("{} until {:?}", shown(&[text]), entry.deadline),
        value => format!("a collection of {} until {:?}", value.lines().len(), entry.deadline),
    })
}

/// Elements that only one of two collections has.
fn differing(found: Option<&Entry>, expected: Option<&Entry>) -> Vec<String> {
    let lines = |entry: Option<&Entry>| match entry.map(|entry| &entry.value) {
        Some(Value::Text(_)) | None => Vec::new(),
        Some(value) => value.lines(),
    };
    let (found, expected) = (lines(found), lines(expected));
    let only = |sign: char, these: &[String], others: &[String]| -> Vec<String> {
        let others: BTreeSet<&String> = others.iter().collect();
        let these = these.iter().filter(|line| !others.contains(line)).take(DIFFERENCES_MAX);
        these.map(|line| format!("    {sign} {line}\n")).collect()
    };
    [only('+', &found, &expected), only('-', &expected, &found)].concat()
}

fn read_request(of: &str, name: &str) -> Vec<u8> {
    match of {
        "hash" => encode(&["HGETALL", name]),
        "set" => encode(&["SMEMBERS", name]),
        "list" => encode(&["LRANGE", name, "0", "-1"]),
        "zset" => encode(&["ZRANGE", name, "0", "-1", "WITHSCORES"]),
        _ => encode(&["GET", name]),
    }
}

fn read_value(of: &str, name: &str, reply: &Reply) -> Value {
    let words = || -> Vec<Vec<u8>> {
        let items = reply.elements().unwrap_or_else(|| panic!("{name}, a {of}, was read as {reply:?}"));
        items.iter().map(|item| item.bytes().expect("bytes").to_vec()).collect()
    };
    let pairs = || words().chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect::<Vec<_>>();
    let once = |count: usize, kept: usize| assert_eq!(count, kept, "elements of {name}, each only once");
    match of {
        "hash" => {
            let hash: BTreeMap<Vec<u8>, Vec<u8>> = pairs().into_iter().collect();
            once(pairs().len(), hash.len());
            Value::Hash(hash)
        }
        "set" => {
            let set: BTreeSet<Vec<u8>> = words().into_iter().collect();
            once(words().len(), set.len());
            Value::Set(set)
        }
        "list" => Value::List(words().into()),
        "zset" => {
            let members: Vec<(Score, Vec<u8>)> =
                pairs().into_iter().map(|(member, score)| (Score::read(&score), member)).collect();
            assert!(members.is_sorted(), "{name} is not in order: {members:?}");
            let sorted: BTreeMap<Vec<u8>, Score> =
                members.iter().map(|(score, member)| (member.clone(), *score)).collect();
            once(members.len(), sorted.len());
            Value::SortedSet(sorted)
        }
        _ => Value::Text(reply.bytes().unwrap_or_else(|| panic!("GET {name} answered {reply:?}")).to_vec()),
    }
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.expect("text").to_vec()).expect("UTF-8")
}

fn count(model: &Model, key: &str) -> i64 {
    model.get(key).map_or(0, |entry| number(entry.text()))
}
