//! Many writers at once, and the check of what they were told against what is there afterwards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::model::{Entry, Model, is_brief};
use super::queues::Queue;
use super::stored::Stored;
use super::writer::{COUNTERS, JOURNALS, Writer, counter, deadline, journal, locked, run};
use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{Server, wait_until};

/// Writers at work.
pub struct Load {
    answered: Arc<AtomicU64>,
    writers: Vec<Arc<Mutex<Writer>>>,
    queues: Vec<Arc<Queue>>,
    threads: Vec<JoinHandle<()>>,
}

pub fn writers(count: usize) -> Vec<Writer> {
    (0..count).map(Writer::new).collect()
}

impl Load {
    /// Lets every writer, and every client of a queue, work on a connection of its own until the server ends.
    pub fn start(server: &Server, writers: Vec<Writer>, queues: Vec<Queue>) -> Load {
        let answered = Arc::new(AtomicU64::new(0));
        let writers: Vec<Arc<Mutex<Writer>>> = writers.into_iter().map(|writer| Arc::new(Mutex::new(writer))).collect();
        let queues: Vec<Arc<Queue>> = queues.into_iter().map(Arc::new).collect();
        let mut load = Load { answered, writers: writers.clone(), queues: queues.clone(), threads: Vec::new() };
        for writer in writers {
            load.work(server, move |connection, answered| run(&writer, connection, answered));
        }
        for queue in queues {
            for _ in 0..queue.consumers() {
                let queue = queue.clone();
                load.work(server, move |connection, answered| queue.take(connection, answered));
            }
            load.work(server, move |connection, answered| queue.push(connection, answered));
        }
        load
    }

    fn work(&mut self, server: &Server, work: impl FnOnce(&mut Connection, &AtomicU64) + Send + 'static) {
        let (mut connection, answered) = (server.connect(), self.answered.clone());
        self.threads.push(std::thread::spawn(move || work(&mut connection, &answered)));
    }

    /// Waits for so many answers.
    pub fn wait_for(&self, answers: u64) {
        let enough = || self.answered() >= answers || self.has_stopped();
        wait_until("answers under load", Duration::from_secs(120), enough);
    }

    /// Whether a client has stopped before it was told to.
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

    /// The writers and the queues, after the last client has stopped.
    pub fn finish(self) -> (Vec<Writer>, Vec<Queue>) {
        for thread in self.threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        let inner = |writer: Mutex<Writer>| writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        let writers = self.writers.into_iter().map(|writer| inner(alone(writer))).collect();
        (writers, self.queues.into_iter().map(alone).collect())
    }
}

/// What a thread had that has ended.
fn alone<T>(shared: Arc<T>) -> T {
    Arc::into_inner(shared).expect("a client whose thread has ended")
}

/// Checks that everything acknowledged is there, that what was not is there whole or not at all, and nothing else.
/// The writers and the queues go on from what is there.
///
/// # Panics
/// When it is not so.
pub fn check(server: &Server, writers: &mut [Writer], queues: &mut [Queue]) {
    let mut connection = server.connect();
    let brief = writers.iter().flat_map(|writer| writer.possible_deadlines()).max().unwrap_or(0);
    wait_until("brief keys to expire", Duration::from_secs(10), || deadline(Duration::ZERO) > brief);
    let stored = Stored::read(&mut connection);
    let mut counted = [(0, 0); COUNTERS];
    for writer in writers.iter_mut() {
        writer.resolve(&stored);
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
    queues.iter_mut().for_each(|queue| queue.check(&mut connection));
}

impl Writer {
    /// What this writer's keys may hold: everything acknowledged, and any number of the steps that were under way.
    pub(super) fn possible(&self, mut visit: impl FnMut(&Model)) {
        let mut model = self.model.clone();
        visit(&model);
        for step in &self.pending {
            for change in &step.changes {
                change.apply(&mut model);
            }
            visit(&model);
        }
    }

    /// Puts what is missing in place of what was popped of sets by steps under way: nothing else was asked of such a set
    /// behind them. Where another number is missing, neither this step nor those behind it took effect.
    fn resolve(&mut self, stored: &Stored) {
        let mut model = self.model.clone();
        for index in 0..self.pending.len() {
            for change in &mut self.pending[index].changes {
                if let Some((key, count)) = change.popped(&model) {
                    let missing = stored.missing(key, &model);
                    if missing.len() != count {
                        return self.pending.truncate(index);
                    }
                    *change = change.with_popped(missing);
                }
                change.apply(&mut model);
            }
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
            // What they do to collections is not known yet.
            if change.keys().into_iter().any(is_brief) {
                change.apply(&mut model);
                note(&model);
            }
        }
        deadlines
    }
}

/// Which of two steps under way took effect may be impossible to tell, and need not be known from here on: the whole
/// count becomes the first writer's.
fn carry_over(writers: &mut [Writer], key: &str, value: i64) {
    writers.iter_mut().for_each(|writer| _ = writer.model.remove(key));
    if let Some(first) = writers.first_mut() {
        first.model.insert(key.to_owned(), Entry::of(value.to_string()));
    }
}

/// Journals would grow without end.
fn empty_journals(connection: &mut Connection, writers: &mut [Writer]) {
    for key in (0..JOURNALS).map(journal) {
        connection.ask(&["DEL", &key]);
        writers.iter_mut().for_each(|writer| _ = writer.model.remove(&key));
    }
}
