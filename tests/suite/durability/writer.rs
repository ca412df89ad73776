//! One client: it asks for changes of its own keys and of keys that all share, and notes what it was told.
//!
//! Always true: a step is in `pending` from before its first byte is sent until its last reply is read; only then does
//! it count in `model`. Nobody holds a writer while it waits for the server, so that it can be looked at any time.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::model::{Change, Expected, Model, Step, is_shared, number};
use crate::connection::{Connection, encode, shown};
use crate::reply::Reply;

pub const COUNTERS: usize = 4;
pub const JOURNALS: usize = 8;
pub const GROUPS: usize = 8;
pub const PARTS: usize = 4;

/// Requests that are under way at once, at most.
const PIPELINE: usize = 6;

/// How long a brief key lives, at most.
const BRIEF: Duration = Duration::from_millis(300);

/// A deadline that no test reaches.
pub(super) const FAR: Duration = Duration::from_secs(100_000);

/// One of this many changes of texts is of a key that is seldom changed, and outlives many that are around it.
const SELDOM: u32 = 12;
const SELDOM_KEYS: u32 = 40;

#[derive(Clone)]
pub struct Writer {
    pub number: usize,
    /// After everything that was acknowledged.
    pub model: Model,
    /// Asked for and not acknowledged, in order.
    pub pending: VecDeque<Step>,
    /// The highest value read or reached, for each shared counter.
    pub seen: [i64; COUNTERS],
    /// What was so a while ago, and what was acknowledged since, for whoever asks.
    past: Option<Past>,
    pub(super) sequence: u64,
    /// Sets of which steps that are being planned pop something.
    pub(super) popped: BTreeSet<String>,
    pub(super) random: fastrand::Rng,
}

/// A writer as it was, and how it became what it is.
#[derive(Clone)]
struct Past {
    model: Model,
    seen: [i64; COUNTERS],
    steps: VecDeque<Acknowledged>,
}

#[derive(Clone)]
struct Acknowledged {
    at: Instant,
    step: Step,
    seen: [i64; COUNTERS],
}

/// The connection ended.
struct Gone;

impl Writer {
    pub fn new(number: usize) -> Writer {
        let random = fastrand::Rng::with_seed(number as u64);
        let (model, pending, seen) = (Model::new(), VecDeque::new(), [0; COUNTERS]);
        Writer { number, model, pending, seen, past: None, sequence: 0, popped: BTreeSet::new(), random }
    }

    /// From now on, remembers what was acknowledged when.
    pub fn remember(&mut self) {
        self.past = Some(Past { model: self.model.clone(), seen: self.seen, steps: VecDeque::new() });
    }

    /// Forgets when what was acknowledged by `moment` was so: it is what was.
    pub fn settle(&mut self, moment: Instant) {
        let Some(past) = &mut self.past else { return };
        while past.steps.front().is_some_and(|acknowledged| acknowledged.at <= moment) {
            let Some(acknowledged) = past.steps.pop_front() else { break };
            for change in &acknowledged.step.changes {
                change.apply(&mut past.model);
            }
            past.seen = acknowledged.seen;
        }
    }

    /// The writer as of the last moment that was settled: what came later counts as under way.
    pub fn as_settled(&self) -> Writer {
        let Some(past) = &self.past else { return self.clone() };
        let since = past.steps.iter().map(|acknowledged| acknowledged.step.clone());
        let pending = since.chain(self.pending.iter().cloned()).collect();
        let (number, sequence, random) = (self.number, self.sequence, self.random.clone());
        let (model, popped) = (past.model.clone(), BTreeSet::new());
        Writer { number, model, pending, seen: past.seen, past: None, sequence, popped, random }
    }

    fn note(&mut self, mut step: Step, replies: &[Reply]) {
        for (change, reply) in step.changes.iter_mut().zip(replies) {
            let expected = match change.popped(&self.model) {
                Some((_, count)) => {
                    let members = reply.elements().unwrap_or_default().iter().map(Reply::bytes);
                    let members: Vec<Vec<u8>> = members.map(|member| member.unwrap_or_default().to_vec()).collect();
                    *change = change.with_popped(members.clone());
                    let removed = change.apply(&mut self.model);
                    assert_eq!(removed, Expected::Integer(count as i64), "client {}: {change:?} by SPOP", self.number);
                    Expected::Values(Some(members))
                }
                None => change.apply(&mut self.model),
            };
            assert!(
                expected.is_met_by(reply),
                "client {}: {} answered {reply:?} instead of {expected:?}",
                self.number,
                shown(&change.words())
            );
            if let Change::Increment { key } | Change::Get { key } = change
                && is_shared(key)
            {
                self.saw(key, reply);
            }
        }
        let seen = self.seen;
        if let Some(past) = &mut self.past {
            past.steps.push_back(Acknowledged { at: Instant::now(), step, seen });
        }
    }

    fn saw(&mut self, key: &str, reply: &Reply) {
        let value = match reply {
            Reply::Integer(value) => *value,
            Reply::Bulk(text) => number(text),
            _ => 0,
        };
        let seen = &mut self.seen[(0..COUNTERS).find(|&index| counter(index) == key).expect("a shared counter")];
        assert!(value >= *seen, "client {}: {key} went back from {seen} to {value}", self.number);
        *seen = value;
    }

    /// Plans the next steps, and returns the bytes that ask for them.
    fn next_steps(&mut self) -> Vec<u8> {
        self.popped.clear();
        self.pending = (0..self.random.usize(1..=PIPELINE)).map(|_| self.plan()).collect();
        self.pending.iter().flat_map(encode_step).collect()
    }

    fn plan(&mut self) -> Step {
        self.sequence += 1;
        let one = |change| Step { changes: vec![change], transaction: false };
        match self.random.u32(0..100) {
            0..70 => one(self.own_change()),
            70..74 => one(self.shared_change()),
            74..80 => one(Change::SetMany { pairs: self.group() }),
            80..84 => one(Change::SetMany { pairs: (0..4).map(|_| (self.own_text(), self.value())).collect() }),
            84..90 => {
                let sets = self.group().into_iter().map(|(key, value)| Change::Set { key, value, deadline: None });
                Step { changes: sets.collect(), transaction: true }
            }
            _ => {
                let mut changes: Vec<Change> = (0..self.random.usize(1..6)).map(|_| self.own_change()).collect();
                changes.push(self.shared_change());
                Step { changes, transaction: true }
            }
        }
    }

    fn own_change(&mut self) -> Change {
        if self.random.bool() {
            return self.collection_change();
        }
        match self.random.u32(0..100) {
            0..30 => Change::Set { key: self.own_text(), value: self.value(), deadline: None },
            30..40 => Change::Set { key: self.own_text(), value: self.value(), deadline: Some(deadline(FAR)) },
            40..52 => Change::Delete { key: self.own_text() },
            52..67 => Change::Increment { key: self.own("number") },
            67..77 => Change::Append { key: self.own_text(), text: format!("+{}", self.sequence).into_bytes() },
            77..85 => Change::ExpireAt { key: self.own_text(), deadline: deadline(FAR) + self.sequence },
            85..90 => {
                let lifetime = Duration::from_millis(self.random.u64(1..BRIEF.as_millis() as u64));
                Change::Set { key: self.own("brief"), value: self.value(), deadline: Some(deadline(lifetime)) }
            }
            90..92 => Change::Delete { key: self.own("brief") },
            _ => Change::Get { key: self.own_text() },
        }
    }

    fn shared_change(&mut self) -> Change {
        let which = self.random.usize(0..COUNTERS);
        match self.random.u32(0..3) {
            0 => Change::Increment { key: counter(which) },
            1 => Change::Get { key: counter(which) },
            _ => {
                // The sequence number alone does not tell two entries of one transaction apart, nor need it: there
                // is one such change in a step.
                let text = token(self.number, self.sequence).into_bytes();
                Change::Append { key: journal(self.random.usize(0..JOURNALS)), text }
            }
        }
    }

    /// The same new value for every part of one of the groups.
    fn group(&mut self) -> Vec<(String, Vec<u8>)> {
        let which = self.random.usize(0..GROUPS);
        let value = token(self.number, self.sequence).into_bytes();
        (0..PARTS).map(|part| (group(which, part), value.clone())).collect()
    }

    fn own_text(&mut self) -> String {
        if self.random.u32(0..SELDOM) == 0 {
            return format!("own:{}:seldom:{}", self.number, self.random.u32(0..SELDOM_KEYS));
        }
        self.own("text")
    }

    fn own(&mut self, kind: &str) -> String {
        format!("own:{}:{kind}:{}", self.number, self.random.u32(0..4))
    }

    fn value(&mut self) -> Vec<u8> {
        let size = match self.random.u32(0..100) {
            0..90 => self.random.usize(0..100),
            90..99 => self.random.usize(100..2_000),
            _ => self.random.usize(2_000..40_000),
        };
        let mut value = token(self.number, self.sequence).into_bytes();
        value.resize(value.len() + size, self.random.alphanumeric() as u8);
        value
    }
}

/// Writes until the connection ends.
///
/// # Panics
/// When an answer is not what it must be.
pub fn run(writer: &Mutex<Writer>, connection: &mut Connection, answered: &AtomicU64) {
    loop {
        let bytes = locked(writer).next_steps();
        // Answers may have come although the rest could not be sent.
        let _ = connection.send_raw(&bytes);
        loop {
            let Some(step) = locked(writer).pending.front().cloned() else { break };
            let Ok(replies) = receive_step(connection, &step) else { return };
            let mut writer = locked(writer);
            writer.pending.pop_front();
            writer.note(step, &replies);
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A writer that panicked is told of by whoever joins its thread.
pub fn locked(writer: &Mutex<Writer>) -> MutexGuard<'_, Writer> {
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn counter(index: usize) -> String {
    format!("shared:counter:{index}")
}

pub fn journal(index: usize) -> String {
    format!("shared:journal:{index}")
}

pub fn group(index: usize, part: usize) -> String {
    format!("shared:group:{index}:{part}")
}

/// Says who wrote what: `3.17;`
pub(super) fn token(writer: usize, sequence: u64) -> String {
    format!("{writer}.{sequence};")
}

/// Milliseconds since the Unix epoch.
pub fn deadline(from_now: Duration) -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970") + from_now;
    time.as_millis() as u64
}

fn encode_step(step: &Step) -> Vec<u8> {
    let commands = step.changes.iter().flat_map(|change| encode(&change.words()));
    match step.transaction {
        false => commands.collect(),
        true => encode(&["MULTI"]).into_iter().chain(commands).chain(encode(&["EXEC"])).collect(),
    }
}

/// One reply for each change of the step.
fn receive_step(connection: &mut Connection, step: &Step) -> Result<Vec<Reply>, Gone> {
    if !step.transaction {
        return Ok(vec![receive(connection)?]);
    }
    assert!(Expected::Ok.is_met_by(&receive(connection)?), "MULTI must answer OK");
    for change in &step.changes {
        let reply = receive(connection)?;
        assert_eq!(reply, Reply::Status(b"QUEUED".to_vec()), "{}", shown(&change.words()));
    }
    match receive(connection)? {
        Reply::Array(replies) if replies.len() == step.changes.len() => Ok(replies),
        other => panic!("EXEC of {} commands answered {other:?}", step.changes.len()),
    }
}

fn receive(connection: &mut Connection) -> Result<Reply, Gone> {
    match connection.receive() {
        Ok(Reply::Closed) => Err(Gone),
        Ok(Reply::Silent) => panic!("the server did not answer"),
        Ok(reply) => Ok(reply),
        Err(error) => panic!("an unreadable reply: {error}"),
    }
}
