//! Does the steps of a workload in a real keyspace, and keeps the model beside it.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::super::{Access, Halt, Keyspace, Mode};
use super::collections::{hidden, shown};
use super::model::{FILLER, Keys, Reply, State, Step, value};
use super::recorder::{Progress, Recorder};
use crate::store::clock::{Clock, TestClock};
use crate::store::disk::Disk;
use crate::store::{Fsync, LogFailed, OpenError, Options, Planted, Policy, Position, SegmentSize};

/// Databases of every keyspace here.
pub(super) const DATABASES: u32 = 3;
/// When a workload begins, in milliseconds since the Unix epoch.
pub(super) const START: u64 = 1_700_000_000_000;

pub(super) fn options(fsync: Fsync) -> Options {
    // Asking the machine for its processors takes longer than many a step.
    static DEFAULTS: LazyLock<Options> = LazyLock::new(Options::default);
    Options { fsync, segment_size: SegmentSize::Fixed(4096), load_threads: 1, ..DEFAULTS.clone() }
}

pub(super) fn open(disk: Arc<dyn Disk>, wall: u64, options: Options) -> Result<Keyspace, OpenError> {
    Keyspace::open(disk, Arc::new(TestClock::new(wall)), options, DATABASES, &mut |_, _| {}).map(|opened| opened.0)
}

/// Why a step was not done.
#[derive(Debug)]
pub(super) enum Failed {
    Halt(Halt),
    Log(LogFailed),
    Open(OpenError),
    Compaction(std::io::Error),
    Backup(std::io::Error),
    Wrong(String),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Halt(halt) => write!(f, "{halt:?}"),
            Self::Log(failed) => write!(f, "{failed}"),
            Self::Open(error) => write!(f, "{error}"),
            Self::Compaction(error) | Self::Backup(error) => write!(f, "{error}"),
            Self::Wrong(what) => f.write_str(what),
        }
    }
}

impl From<Halt> for Failed {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl From<LogFailed> for Failed {
    fn from(failed: LogFailed) -> Self {
        Self::Log(failed)
    }
}

/// A keyspace at work, and all states it went through.
pub(super) struct Runner {
    pub keyspace: Option<Keyspace>,
    pub clock: Arc<TestClock>,
    pub disk: Arc<dyn Disk>,
    options: Options,
    pub history: Vec<State>,
    /// Steps so far, those inside others included: no two set the same value.
    number: usize,
    /// What was told of the last step, and of each in it.
    pub replies: Vec<Reply>,
    /// A planted fault: transactions take effect step by step.
    pub split: bool,
    /// A planted fault: nobody waits for the log.
    pub early: bool,
    /// A planted fault of the store.
    pub planted: Option<Planted>,
    /// When and how much is compacted, in every keyspace that is opened.
    policy: Option<Policy>,
}

impl Runner {
    /// Opens the keyspace on a disk that was left after the states of `history`.
    pub fn new(disk: Arc<dyn Disk>, options: Options, history: Vec<State>, wall: u64) -> Result<Self, Failed> {
        let mut runner = Self::closed(disk, options, history, wall);
        runner.open()?;
        Ok(runner)
    }

    /// The same before it opens anything.
    pub fn closed(disk: Arc<dyn Disk>, options: Options, history: Vec<State>, wall: u64) -> Self {
        let clock = Arc::new(TestClock::new(wall));
        let number = history.len() * 100;
        let (replies, split, early, planted, policy) = (Vec::new(), false, false, None, None);
        Self { keyspace: None, clock, disk, options, history, number, replies, split, early, planted, policy }
    }

    /// Sets a policy of compaction, also for keyspaces that are opened later.
    pub fn keep_policy(&mut self, policy: Policy) {
        if let Some(keyspace) = &self.keyspace {
            keyspace.store().set_compaction(policy.clone());
        }
        self.policy = Some(policy);
    }

    /// What the machine's clock shows.
    pub fn clock_wall(&self) -> u64 {
        self.clock.wall()
    }

    pub fn keyspace(&self) -> &Keyspace {
        self.keyspace.as_ref().expect("it is open between steps")
    }

    pub fn now(&self) -> u64 {
        self.keyspace().now()
    }

    /// Does the steps, telling `recorder` how far it has come.
    pub fn run(&mut self, steps: &[Step], recorder: &Recorder) -> Result<(), Failed> {
        for step in steps {
            let mut wait = 0;
            for step in if let Step::Pipeline(steps) = step { &steps[..] } else { std::slice::from_ref(step) } {
                wait = wait.max(self.begin(step, recorder)?);
            }
            if self.early {
                recorder.progress(|progress| progress.acknowledged = progress.started);
            }
            self.keyspace().store().wait_acknowledged(wait)?;
            recorder.progress(|progress| {
                progress.acknowledged = progress.started;
                if matches!(step, Step::Sync | Step::Tick | Step::Backup(_) | Step::Reopen | Step::Kill) {
                    progress.synced = progress.started;
                }
            });
        }
        Ok(())
    }

    fn begin(&mut self, step: &Step, recorder: &Recorder) -> Result<Position, Failed> {
        self.move_clock(step);
        let mut next = self.history.last().expect("never empty").clone();
        let expected = next.apply(step, self.number, self.now());
        self.history.push(next);
        let wall = self.clock.wall();
        recorder.progress(|progress: &mut Progress| (progress.started, progress.wall) = (progress.started + 1, wall));
        let number = self.number;
        self.number += if let Step::Together(steps) = step { steps.len() } else { 1 };
        let wait = self.perform(step, number)?;
        self.compare_replies(step, &expected)?;
        Ok(wait)
    }

    /// Whether the last step was told of as it should have been.
    pub fn compare_replies(&self, step: &Step, expected: &[Reply]) -> Result<(), Failed> {
        if self.replies == expected {
            return Ok(());
        }
        Err(Failed::Wrong(format!("{step:?} was told {:?}, not {expected:?}", self.replies)))
    }

    /// Lets the time pass that a step takes, and changes the clock if that is what it is about.
    pub fn move_clock(&self, step: &Step) {
        match step {
            Step::Pass(time) => self.clock.advance(Duration::from_millis(*time)),
            Step::SetBack(time) => self.clock.set_wall(self.clock.wall() - time),
            _ => {}
        }
    }

    /// Does one step; returns what to wait for.
    pub fn perform(&mut self, step: &Step, number: usize) -> Result<Position, Failed> {
        self.replies.clear();
        self.go(step, number)
    }

    fn go(&mut self, step: &Step, number: usize) -> Result<Position, Failed> {
        let now = self.now();
        match step {
            Step::Pass(_) | Step::SetBack(_) => return Ok(0),
            Step::ExpireDue => {
                self.keyspace().expire_due(now, usize::MAX);
                return Ok(self.keyspace().store().appended());
            }
            Step::Sync => self.keyspace().store().sync()?,
            Step::Tick => self.keyspace().store().tick()?,
            Step::Compact => while self.keyspace().compact_once(true).map_err(Failed::Compaction)? {},
            // Where it fails, a start is slower, and nobody is told anything else.
            Step::Remember => drop(self.keyspace().remember(&mut || true)),
            Step::Backup(name) => _ = self.keyspace().store().backup(name).map_err(Failed::Backup)?,
            Step::Keep(time) => {
                let retention = Some(Duration::from_millis(*time));
                self.keep_policy(Policy { retention, ..self.policy.clone().unwrap_or_default() });
                self.keyspace().store().release_retained();
            }
            Step::Reopen => {
                self.keyspace().store().close()?;
                self.open()?;
            }
            Step::Kill => self.open()?,
            Step::Together(steps) if self.split => {
                let mut steps = steps.iter().enumerate();
                return steps.try_fold(0, |last, (index, step)| Ok(self.go(step, number + index)?.max(last)));
            }
            _ => {
                let mut access = access(self.keyspace(), step, now);
                access.may_block = true;
                let replies = effect(&mut access, step, number)?;
                let wait = access.commit()?.0;
                self.replies.extend(replies);
                return Ok(wait);
            }
        }
        Ok(0)
    }

    /// Ends the process, if there is one, and begins another.
    pub fn open(&mut self) -> Result<(), Failed> {
        self.keyspace = None;
        let opened =
            Keyspace::open(self.disk.clone(), self.clock.clone(), self.options.clone(), DATABASES, &mut |_, _| {});
        let keyspace = opened.map_err(Failed::Open)?.0;
        keyspace.store().plant(self.planted);
        // Where it fails, values are read when they are asked for.
        drop(keyspace.recall(&mut |_| true));
        if let Some(policy) = &self.policy {
            keyspace.store().set_compaction(policy.clone());
        }
        self.keyspace = Some(keyspace);
        Ok(())
    }
}

/// The access that a step needs.
pub(super) fn access<'k>(keyspace: &'k Keyspace, step: &Step, now: u64) -> Access<'k> {
    match step {
        Step::Get(database, key) => keyspace.access_one(*database, key.as_bytes(), Mode::Shared, now, false),
        Step::Set(database, key, _)
        | Step::SetEx(database, key, _, _)
        | Step::Fill(database, key, _)
        | Step::Edit(database, key, _)
        | Step::Delete(database, key)
        | Step::Expire(database, key, _)
        | Step::ExpireAt(database, key, _)
        | Step::Move(database, key, _) => keyspace.access_one(*database, key.as_bytes(), Mode::Exclusive, now, false),
        Step::Rename(database, from, to) | Step::Copy(database, from, _, to) => {
            let keys = [from.as_bytes(), to.as_bytes()];
            keyspace.access_several(*database, keys.into_iter(), Mode::Exclusive, now)
        }
        _ => keyspace.access_all(0, Mode::Exclusive, now, true),
    }
}

/// Does one step by an access to its keys; returns what is told of it, and of each step in it.
pub(super) fn effect(access: &mut Access<'_>, step: &Step, number: usize) -> Result<Vec<Reply>, Failed> {
    let now = access.now();
    let own = match step {
        Step::Set(database, ..)
        | Step::SetEx(database, ..)
        | Step::Fill(database, ..)
        | Step::Get(database, _)
        | Step::Edit(database, ..)
        | Step::Delete(database, _)
        | Step::Expire(database, ..)
        | Step::ExpireAt(database, ..)
        | Step::Rename(database, ..)
        | Step::Copy(database, ..)
        | Step::Move(database, ..)
        | Step::Flush(database) => *database,
        _ => 0,
    };
    access.select(own);
    let mut did = None;
    match step {
        Step::Set(_, key, length) => access.put(key.as_bytes(), 0, &value(number, *length), None)?,
        Step::SetEx(_, key, length, ttl) => {
            access.put(key.as_bytes(), 0, &value(number, *length), Some(now + ttl))?;
        }
        Step::Fill(_, key, length) => access.put(key.as_bytes(), 0, &vec![FILLER; *length], None)?,
        Step::Get(_, key) => {
            return Ok(vec![Reply::Found(shown(access, key.as_bytes())?)]);
        }
        Step::Edit(_, key, change) => did = Some(change.perform(access, key, number)?),
        Step::Delete(_, key) => did = Some(access.delete(key.as_bytes())?),
        Step::Expire(_, key, ttl) => did = Some(access.set_expiry(key.as_bytes(), ttl.map(|ttl| now + ttl))?),
        Step::ExpireAt(_, key, deadline) => did = Some(access.set_expiry(key.as_bytes(), Some(*deadline))?),
        Step::Rename(database, from, to) => {
            did = Some(transfer(access, (*database, from), (*database, to), true)?);
        }
        Step::Copy(database, from, other, to) => {
            did = Some(transfer(access, (*database, from), (*other, to), false)?);
        }
        Step::Move(_, key, other) => did = Some(access.move_to(key.as_bytes(), *other)?),
        Step::Flush(_) => _ = access.flush()?,
        Step::FlushAll => {
            for database in 0..DATABASES {
                access.select(database);
                access.flush()?;
            }
        }
        Step::Swap(first, second) => access.swap(*first, *second)?,
        Step::Together(steps) => {
            let mut replies = Vec::new();
            for (index, step) in steps.iter().enumerate() {
                replies.extend(effect(access, step, number + index)?);
            }
            return Ok(replies);
        }
        _ => unreachable!("{step:?} has no effect on keys"),
    }
    Ok(vec![did.map_or(Reply::Done, Reply::Did)])
}

fn transfer(access: &mut Access<'_>, from: (u32, &str), to: (u32, &str), delete: bool) -> Result<bool, Halt> {
    access.select(from.0);
    if delete {
        return access.rename(from.1.as_bytes(), to.1.as_bytes());
    }
    let Some(value) = access.value(from.1.as_bytes())? else { return Ok(false) };
    access.select(to.0);
    access.put_copy(to.1.as_bytes(), &value)?;
    Ok(true)
}

/// What a keyspace holds, asked key by key; there may be no others.
pub(super) fn contents(keyspace: &Keyspace, keys: &[(u32, String)]) -> Result<Keys, String> {
    let now = keyspace.now();
    let mut found = Keys::new();
    for (database, key) in keys {
        let mut access = keyspace.access_one(*database, key.as_bytes(), Mode::Shared, now, false);
        access.may_block = true;
        let value =
            shown(&mut access, key.as_bytes()).map_err(|halt| format!("{database}:{key} cannot be read: {halt:?}"))?;
        if let Some(value) = value {
            found.insert((*database, key.clone()), value);
        }
    }
    let sizes = (0..keyspace.databases()).map(|database| keyspace.size(database));
    let (count, volatile) = sizes.fold((0, 0), |sum, size| (sum.0 + size.keys, sum.1 + size.volatile));
    let expire = found.values().filter(|(_, expiry)| expiry.is_some()).count();
    // A log that takes no records leaves hashes behind of which nothing is to be seen.
    let hidden: usize = (0..DATABASES).map(|database| hidden(keyspace, database).len()).sum();
    if count == found.len() + hidden && (expire..=expire + hidden).contains(&volatile) {
        return Ok(found);
    }
    Err(format!("{count} keys, {volatile} with expiry, of which only {} and {expire} are known", found.len()))
}

/// Sends every value that may go back to the disk.
pub(super) fn demote(keyspace: &Keyspace) {
    keyspace.set_memory_limit(1);
    keyspace.govern(0);
    keyspace.set_memory_limit(0);
    keyspace.govern(0);
}
