//! Many writers at once, and the check of what they were told against what is there afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::model::{Entry, Model, is_brief, is_shared, number};
use super::writer::{COUNTERS, GROUPS, JOURNALS, PARTS, Writer, counter, deadline, group, journal, locked, run};
use crate::connection::{Connection, encode, shown};
use crate::reply::Reply;
use crate::server::{Server, wait_until};

/// Writers at work.
pub struct Load {
    answered: Arc<AtomicU64>,
    writers: Vec<Arc<Mutex<Writer>>>,
    threads: Vec<JoinHandle<()>>,
}

pub fn writers(count: usize) -> Vec<Writer> {
    (0..count).map(Writer::new).collect()
}

impl Load {
    /// Lets every writer write on a connection of its own until the server ends, or so many answers have come.
    pub fn start(server: &Server, writers: Vec<Writer>, enough: u64) -> Load {
        let answered = Arc::new(AtomicU64::new(0));
        let writers: Vec<Arc<Mutex<Writer>>> = writers.into_iter().map(|writer| Arc::new(Mutex::new(writer))).collect();
        let start = |writer: &Arc<Mutex<Writer>>| {
            let (mut connection, answered, writer) = (server.connect(), answered.clone(), writer.clone());
            std::thread::spawn(move || run(&writer, &mut connection, &answered, enough))
        };
        let threads = writers.iter().map(start).collect();
        Load { answered, writers, threads }
    }

    /// Waits for so many answers.
    pub fn wait_for(&self, answers: u64) {
        let enough = || self.answered() >= answers || self.has_stopped();
        wait_until("answers under load", Duration::from_secs(120), enough);
    }

    /// Whether a writer has stopped before it was told to.
    pub fn has_stopped(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// How many answers have come so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Lets every writer take what was acknowledged by `moment` for what must be there, and only that.
    pub fn settle(&self, moment: Instant) {
        self.writers.iter().for_each(|writer| locked(writer).settle(moment));
    }

    /// The writers as of the last moment that was settled.
    pub fn settled(&self) -> Vec<Writer> {
        self.writers.iter().map(|writer| locked(writer).as_settled()).collect()
    }

    /// The writers, after the last of them has stopped.
    pub fn finish(self) -> Vec<Writer> {
        for thread in self.threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        let alone = |writer| Arc::into_inner(writer).expect("a writer whose thread has ended");
        let inner = |writer: Mutex<Writer>| writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.writers.into_iter().map(|writer| inner(alone(writer))).collect()
    }
}

/// Checks that everything acknowledged is there, that what was not is there whole or not at all, and nothing else.
/// The writers go on from what is there.
///
/// # Panics
/// When it is not so.
pub fn check(server: &Server, writers: &mut [Writer]) {
    let mut connection = server.connect();
    let brief = writers.iter().flat_map(|writer| writer.possible_deadlines()).max().unwrap_or(0);
    wait_until("brief keys to expire", Duration::from_secs(10), || deadline(Duration::ZERO) > brief);
    let stored = Stored::read(&mut connection);
    let mut counted = [(0, 0); COUNTERS];
    for writer in writers.iter_mut() {
        let Some(fitting) = stored.fitting(writer) else {
            panic!("{}\n{}", stored.difference(writer), server.log());
        };
        for (index, (low, high)) in counted.iter_mut().enumerate() {
            *low += fitting.counted[index].0;
            *high += fitting.counted[index].1;
            assert!(
                stored.number(&counter(index)) >= writer.seen[index],
                "{} was read as {} and is {}",
                counter(index),
                writer.seen[index],
                stored.number(&counter(index))
            );
        }
        writer.model = fitting.last;
        writer.pending.clear();
    }
    for (index, (low, high)) in counted.into_iter().enumerate() {
        let value = stored.number(&counter(index));
        assert!((low..=high).contains(&value), "{} is {value} after {low} to {high} increments", counter(index));
        carry_over(writers, &counter(index), value);
    }
    stored.check_groups();
    // Expired keys leave the count by themselves.
    let size = Reply::Integer(stored.keys.len() as i64);
    wait_until("DBSIZE to be the keys found", Duration::from_secs(10), || connection.ask(&["DBSIZE"]) == size);
    empty_journals(&mut connection, writers);
}

impl Writer {
    /// What this writer's keys may hold: everything acknowledged, and any number of the steps that were under way.
    fn possible(&self, mut visit: impl FnMut(&Model)) {
        let mut model = self.model.clone();
        visit(&model);
        for step in &self.pending {
            for change in &step.changes {
                change.apply(&mut model);
            }
            visit(&model);
        }
    }

    fn possible_deadlines(&self) -> Vec<u64> {
        let mut model = self.model.clone();
        let mut deadlines = Vec::new();
        let mut note = |model: &Model| {
            deadlines.extend(model.iter().filter(|(key, _)| is_brief(key)).filter_map(|(_, entry)| entry.deadline));
        };
        note(&model);
        for change in self.pending.iter().flat_map(|step| &step.changes) {
            change.apply(&mut model);
            note(&model);
        }
        deadlines
    }
}

/// Those of a writer's possible models that are what is there.
struct Fitting {
    last: Model,
    /// The least and the most that this writer has added to each counter.
    counted: [(i64, i64); COUNTERS],
}

/// Everything the server holds.
struct Stored {
    keys: BTreeMap<String, Entry>,
}

impl Stored {
    fn read(connection: &mut Connection) -> Stored {
        let names = connection.ask(&["KEYS", "*"]);
        let names: Vec<String> = names.elements().expect("an array").iter().map(|name| text(name.bytes())).collect();
        for name in &names {
            connection.send_raw(&[encode(&["GET", name]), encode(&["PEXPIRETIME", name])].concat()).expect("to send");
        }
        let mut keys = BTreeMap::new();
        for name in names {
            let value = connection.receive().expect("a reply");
            let value = value.bytes().unwrap_or_else(|| panic!("GET {name} answered {value:?}")).to_vec();
            let deadline = connection.receive().expect("a reply").integer().expect("an integer");
            keys.insert(name, Entry { value, deadline: u64::try_from(deadline).ok() });
        }
        Stored { keys }
    }

    fn number(&self, key: &str) -> i64 {
        self.keys.get(key).map_or(0, |entry| number(&entry.value))
    }

    fn fitting(&self, writer: &Writer) -> Option<Fitting> {
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
        let of = |entry: Option<&Entry>| entry.map(|entry| text(Some(&entry.value))).unwrap_or_default();
        let (all, expected) = (of(self.keys.get(key)), of(model.get(key)));
        let mine = format!("{writer}.");
        let found: String = all.split_inclusive(';').filter(|entry| entry.starts_with(&mine)).collect();
        found == expected
    }

    /// If the last value is this writer's, then it is the last that this writer set.
    fn fits_group(&self, writer: usize, model: &Model, key: &str) -> bool {
        let mine = format!("{writer}.");
        let found = self.keys.get(key).filter(|entry| entry.value.starts_with(mine.as_bytes()));
        found.is_none_or(|found| Some(found) == model.get(key))
    }

    /// What an MSET or a transaction sets together is the same everywhere.
    fn check_groups(&self) {
        for index in 0..GROUPS {
            let values: BTreeSet<Option<&Entry>> = (0..PARTS).map(|part| self.keys.get(&group(index, part))).collect();
            assert_eq!(values.len(), 1, "group {index} is torn apart: {values:?}");
        }
    }

    /// How what is there differs from the possible model that is nearest to it.
    fn difference(&self, writer: &Writer) -> String {
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
    entry.map_or("nothing".to_owned(), |entry| format!("{} until {:?}", shown(&[&entry.value]), entry.deadline))
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.expect("text").to_vec()).expect("UTF-8")
}

fn count(model: &Model, key: &str) -> i64 {
    model.get(key).map_or(0, |entry| number(&entry.value))
}

/// Which of two steps under way took effect may be impossible to tell, and need not be known from here on: the whole
/// count becomes the first writer's.
fn carry_over(writers: &mut [Writer], key: &str, value: i64) {
    writers.iter_mut().for_each(|writer| _ = writer.model.remove(key));
    if let Some(first) = writers.first_mut() {
        first.model.insert(key.to_owned(), Entry { value: value.to_string().into_bytes(), deadline: None });
    }
}

/// Journals would grow without end.
fn empty_journals(connection: &mut Connection, writers: &mut [Writer]) {
    for key in (0..JOURNALS).map(journal) {
        connection.ask(&["DEL", &key]);
        writers.iter_mut().for_each(|writer| _ = writer.model.remove(&key));
    }
}
