//! What may happen to a keyspace, as data, and one course of such events beside the model.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::super::collections;
use super::super::model::{Reply, State, Step};
use super::super::runner::{DATABASES, Failed, contents, demote, open, options};
use super::super::schedules::assert_exact;
use super::super::trial::{Fault, Trial, fail_next_write, shown};
use super::generate::{KEYS, Plan};
use crate::store::clock::Clock;
use crate::store::disk::Disk;
use crate::store::disk::sim::{CallKind, Survival};
use crate::store::inspect::{Cost, Inspection};
use crate::store::{BACKUP_DIRECTORY, Planted};

/// One event of a sequence.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// Somebody does a step, and waits until the log has it.
    Do(Step),
    /// Steps that nobody waits for.
    Unawaited(Vec<Step>),
    /// A pass of compaction as the thread makes them: by the budget.
    CompactSome,
    /// Everything is looked at.
    Compare,
    /// Values leave memory.
    Demote,
    /// Whether the page cache has nothing, from now on.
    Cold(bool),
    /// Hint files are lost: of those in order, the ones whose bits are set.
    LoseHints(u64),
    /// Sets the machine's clock forward by milliseconds.
    SetForward(u64),
    /// The power goes, and a process begins on what is left.
    CutPower(Survival),
    /// The power goes within a step, at a call of the disk; or the process dies there.
    CrashWithin(Step, u64, Option<Survival>),
    Fail(Fault),
    /// The next write is done by half and fails.
    ShortWrite,
    /// The disk is sound again.
    Heal,
}

/// A fault planted on purpose.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plant {
    pub planted: Option<Planted>,
    /// Transactions take effect step by step.
    pub split: bool,
    /// Callers are told before the log has been waited for.
    pub early: bool,
    /// Syncs of this kind do nothing.
    pub no_sync: Option<CallKind>,
}

/// How often something was done.
pub(super) type Counts = BTreeMap<String, u64>;

/// What a keyspace has counted since it was opened.
#[derive(Clone, Copy, Default)]
struct Counted {
    expired: u64,
    passes: u64,
    written: u64,
    removed: u64,
    kept: u64,
}

struct Course {
    trial: Trial,
    plant: Plant,
    /// Backups whose callers were told that they are made, with their state and what was known to have passed.
    backups: Vec<(&'static str, State, (u64, u64))>,
    counts: Counts,
}

/// Does the events of a plan; says what went wrong, if anything did.
pub(super) fn run(plan: &Plan, events: &[Event], plant: Plant, counts: &mut Counts) -> Result<(), String> {
    let course = catch_unwind(AssertUnwindSafe(|| {
        let mut course = Course::new(plan, plant);
        for event in events {
            course.event(event);
            if !course.trial.violations.is_empty() {
                return course;
            }
        }
        course.end();
        course
    }));
    let course = course.map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().map_or_else(|| "a panic".to_owned(), |text| (*text).to_owned()),
    })?;
    course.counts.into_iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
    if course.trial.violations.is_empty() { Ok(()) } else { Err(course.trial.violations.join("\n")) }
}

impl Course {
    fn new(plan: &Plan, plant: Plant) -> Self {
        let keys = (0..DATABASES).flat_map(|database| KEYS.map(|key| (database, key.to_owned()))).collect();
        let mut trial = Trial::new(plan.fsync, keys);
        trial.failing = plan.failing;
        trial.runner.keep_policy(plan.policy.clone());
        (trial.runner.split, trial.runner.early, trial.runner.planted) = (plant.split, plant.early, plant.planted);
        let course = Self { trial, plant, backups: Vec::new(), counts: Counts::new() };
        course.plant();
        course
    }

    fn plant(&self) {
        if let Some(kind) = self.plant.no_sync {
            self.trial.disk.disable_sync(kind);
        }
    }

    fn count(&mut self, what: &str, count: u64) {
        if count > 0 {
            *self.counts.entry(what.to_owned()).or_default() += count;
        }
    }

    fn counted(&self) -> Counted {
        let Some(keyspace) = &self.trial.runner.keyspace else { return Counted::default() };
        let status = keyspace.store().compaction_status();
        let kept = keyspace.store().retained().segments as u64;
        Counted {
            expired: keyspace.expired_keys(),
            passes: status.passes,
            written: status.bytes_written,
            removed: status.bytes_removed,
            kept,
        }
    }

    fn event(&mut self, event: &Event) {
        let (before, lost, told) = (self.counted(), self.trial.lost, self.trial.told.len());
        let set_forward = self.trial.set_forward;
        self.trial.runner.replies.clear();
        match event {
            Event::Do(Step::Pipeline(steps)) => self.trial.pipeline(steps, true),
            Event::Do(Step::Backup(name)) => {
                if self.trial.step(&Step::Backup(name)) {
                    self.backups.push((name, self.trial.state().clone(), self.trial.passed()));
                }
            }
            Event::Do(step) => _ = self.trial.step(step),
            Event::Unawaited(steps) => self.trial.pipeline(steps, false),
            Event::CompactSome => {
                let won = self.trial.runner.keyspace.as_ref().map(|keyspace| keyspace.compact_once(false));
                let won = won.unwrap_or(Ok(false)).map_err(Failed::Compaction);
                let won = self.trial.noted(&Step::Compact, won);
                self.count("passes by the budget that won", u64::from(won == Some(true)));
            }
            Event::Compare => {
                let compared = self.trial.compare();
                self.trial.noted(&Step::Sync, compared);
            }
            Event::Demote => _ = self.trial.runner.keyspace.as_ref().map(demote),
            Event::Cold(cold) => self.trial.disk.set_cold(*cold),
            Event::LoseHints(which) => self.lose_hints(*which),
            Event::SetForward(time) => self.trial.runner.clock.set_wall(self.trial.runner.clock.wall() + time),
            Event::CutPower(survival) => {
                let started = self.trial.crash(Some(*survival));
                self.trial.noted(&Step::Kill, started);
                self.plant();
            }
            Event::CrashWithin(step, call, survival) => {
                let started = self.trial.crash_within(step, *call, *survival);
                self.trial.noted(&Step::Kill, started);
                self.plant();
            }
            Event::Fail(fault) => fault.plant(&self.trial.disk),
            Event::ShortWrite => fail_next_write(&self.trial.disk),
            Event::Heal => self.trial.disk.heal(),
        }
        let after = self.counted();
        self.count(&name(event), 1);
        if let (Event::Do(_), [Reply::Did(true) | Reply::Found(Some(_))]) = (event, &self.trial.runner.replies[..]) {
            self.count(&format!("{} that did", name(event)), 1);
        }
        self.count("clocks set forward", self.trial.set_forward - set_forward);
        self.count("keys expired", after.expired.saturating_sub(before.expired));
        self.count("passes", after.passes.saturating_sub(before.passes));
        self.count("passes that wrote", u64::from(after.written > before.written));
        self.count("passes that removed", u64::from(after.removed > before.removed));
        self.count("segments kept", after.kept.saturating_sub(before.kept));
        self.count("restarts after which steps were lost", u64::from(self.trial.lost > lost));
        self.count("errors told", (self.trial.told.len() - told) as u64);
        self.count("sizes compared", u64::from(self.trial.runner.keyspace.is_some()));
        if let (Event::Compare, Some(keyspace)) = (event, &self.trial.runner.keyspace) {
            assert_exact(keyspace, "compared");
        }
        if let Err(wrong) = self.compare_sizes(event) {
            self.trial.violations.push(wrong);
        }
    }

    /// What is visible is counted, and nothing but what may be due counts beside it.
    fn compare_sizes(&self, event: &Event) -> Result<(), String> {
        let Some(keyspace) = &self.trial.runner.keyspace else { return Ok(()) };
        let visible = self.trial.state().visible(keyspace.now());
        for database in 0..DATABASES {
            let size = keyspace.size(database).keys;
            let due = keyspace.bound.databases[database as usize].load().count_due(keyspace.now());
            let expected = visible.keys().filter(|key| key.0 == database).count();
            let size = size.saturating_sub(collections::hidden(keyspace, database).len());
            if size.checked_sub(due) != Some(expected) {
                return Err(format!("{event:?}: database {database} counts {size} keys, {due} due, not {expected}"));
            }
        }
        Ok(())
    }

    fn lose_hints(&mut self, which: u64) {
        let mut names = self.trial.disk.list().unwrap_or_default();
        names.retain(|name| name.ends_with(".hint"));
        names.sort();
        for (index, name) in names.iter().enumerate() {
            if which & 1 << (index % 64) != 0 && self.trial.disk.remove(name).is_ok() {
                self.count("hints lost", 1);
            }
        }
    }

    /// Everything is compared once more, and once more after a restart, and so is every backup.
    fn end(&mut self) {
        self.trial.disk.heal();
        self.trial.runner.clock.advance(Duration::from_secs(1));
        for event in [Event::Compare, Event::Do(Step::Kill), Event::Do(Step::Set(0, KEYS[0], 10)), Event::Compare] {
            if !self.trial.violations.is_empty() {
                return;
            }
            self.event(&event);
        }
        if !self.trial.violations.is_empty() {
            return;
        }
        let trial = &mut self.trial;
        if !trial.step(&Step::Set(0, KEYS[0], 20)) {
            trial.violations.push(format!("nothing can be written on a sound disk: {:?}", trial.told));
        }
        if !trial.step(&Step::Reopen) {
            trial.violations.push(format!("no start on a sound disk: {:?}", trial.told));
        }
        let checked = self.check();
        checked.unwrap_or_else(|damaged| self.trial.violations.push(damaged));
        for (backup, state, passed) in std::mem::take(&mut self.backups) {
            let compared = self.compare_backup(backup, &state, passed);
            compared.unwrap_or_else(|wrong| self.trial.violations.push(format!("the backup {backup}: {wrong}")));
            self.count("backups compared", 1);
        }
    }

    /// Whether a check finds that everything is sound.
    fn check(&self) -> Result<(), String> {
        let inspection = Inspection::open(Arc::new(self.trial.disk.after_kill())).map_err(|error| error.to_string())?;
        let checked = inspection.expect("there is a store").check(1, &mut |_, _| {});
        let mut checked = checked.map_err(|error| error.to_string())?;
        // The power may have taken a header and left what was written behind it; the manifest says the same.
        checked.findings.retain(|finding| finding.cost.is_damage() && finding.cost != Cost::Spare);
        if checked.findings.is_empty() && checked.opens { Ok(()) } else { Err(format!("{:?}", checked.findings)) }
    }

    fn compare_backup(&self, name: &str, state: &State, passed: (u64, u64)) -> Result<(), String> {
        let all = self.trial.disk.directory(BACKUP_DIRECTORY).map_err(|error| error.to_string())?;
        let backup: Arc<dyn Disk> = all.directory(name).map_err(|error| error.to_string())?;
        let wall = self.trial.runner.clock.wall().max(passed.1);
        let keyspace = open(backup, wall, options(self.trial.fsync)).map_err(|error| error.to_string())?;
        let now = keyspace.now();
        let found = contents(&keyspace, &self.trial.keys)?;
        if now < passed.0 || !state.shows(&found, now) {
            let [found, expected] = [&found, &state.visible(now)].map(shown);
            return Err(format!("it is {found:?} at {now}, not before {}, instead of {expected:?}", passed.0));
        }
        Ok(())
    }
}

/// What an event is called.
pub(super) fn name(event: &Event) -> String {
    let text = format!("{event:?}");
    let text = text.strip_prefix("Do(").unwrap_or(&text);
    text.chars().take_while(|letter| letter.is_alphanumeric()).collect()
}
