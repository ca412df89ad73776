//! When compaction runs: a thread of its own, that looks at the segments on a schedule and holds back for others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Index;
use crate::store::log::Log;
use crate::store::threads::let_others_go_first;
use crate::sync::{Condvar, JoinHandle, Plain, run_apart, spawn, wait};

/// The least part of its time that the thread works while there is something to do.
const DUTY_MIN: f64 = 0.2;
/// How far over the budget it works all the time.
const EXCESS_MAX: f64 = 0.1;
/// How far over the budget it no longer lets others go first.
const URGENT_EXCESS: f64 = EXCESS_MAX / 2.0;
/// The longest it sleeps at once in the middle of a pass.
const REST_MAX: Duration = Duration::from_millis(500);
/// With an interval of zero, how long it is until the next look where no segment becomes complete.
const INTERVAL_MAX: Duration = Duration::from_secs(1);
/// The priority of passes that are not urgent: with all processors in use they get a tenth of one.
const NICENESS: i32 = 10;
const MILLISECONDS_OF_DAY: u64 = 86_400_000;

/// When and how much is compacted.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How often the segments are looked at; zero: whenever one is complete.
    pub interval: Duration,
    /// When nothing is asked for and space is not short, only within these hours.
    pub window: Option<Window>,
    /// Bytes read and written in a second; 0 is no limit.
    pub bytes_per_second: u64,
    /// What the log may take on the disk, by what is alive in it.
    pub space_amplification: f64,
    /// Less than this, in bytes, is never too much.
    pub garbage_bytes_min: u64,
    /// How long a segment is kept that was taken away, so that earlier moments can be brought back. Without it, nothing is
    /// given up for its age, and what is taken away is kept if anything is.
    pub retention: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            window: None,
            bytes_per_second: 0,
            space_amplification: 1.5,
            garbage_bytes_min: 64 << 20,
            retention: None,
        }
    }
}

/// Some hours of each day, in UTC: from one hour until another, over midnight where that is the earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// 0 to 23.
    pub from: u8,
    /// 0 to 24; not part of it.
    pub until: u8,
}

impl Window {
    /// Whether a moment, in milliseconds since the Unix epoch, is in it.
    pub fn contains(&self, wall: u64) -> bool {
        let hour = (wall % MILLISECONDS_OF_DAY / 3_600_000) as u8;
        if self.from < self.until {
            (self.from..self.until).contains(&hour)
        } else {
            hour >= self.from || hour < self.until
        }
    }
}

/// What the thread is told.
#[derive(Default)]
pub(in crate::store) struct Orders {
    told: Plain<Told>,
    changed: Condvar,
    /// Told of what a rest in the middle of a pass ends for.
    hurried: Condvar,
}

#[derive(Default)]
struct Told {
    policy: Policy,
    /// Everything that was there when it was asked for is to be compacted.
    asked: bool,
    /// A segment is complete.
    sealed: bool,
    stop: bool,
}

impl Orders {
    pub(in crate::store) fn new(policy: Policy) -> Self {
        let orders = Self::default();
        orders.told.lock().policy = policy;
        orders
    }

    /// When and how much is compacted.
    pub(in crate::store) fn policy(&self) -> Policy {
        self.told.lock().policy.clone()
    }

    pub(in crate::store) fn set_policy(&self, policy: Policy) {
        self.told.lock().policy = policy;
        self.changed.notify_all();
        self.hurried.notify_all();
    }

    /// Asks for everything to be compacted.
    pub(in crate::store) fn ask(&self) {
        self.told.lock().asked = true;
        self.changed.notify_all();
    }

    /// Tells that a segment is complete.
    pub(in crate::store) fn note_sealed(&self) {
        let mut told = self.told.lock();
        told.sealed = true;
        if told.policy.interval.is_zero() {
            self.changed.notify_all();
        }
    }

    fn stop(&self) {
        self.told.lock().stop = true;
        self.changed.notify_all();
        self.hurried.notify_all();
    }

    /// Sleeps, unless told to stop; `false` if so.
    fn rest(&self, time: Duration) -> bool {
        let mut told = self.told.lock();
        if !told.stop && !time.is_zero() {
            wait(&self.hurried, &mut told, Some(time));
        }
        !told.stop
    }
}

impl Log {
    /// Starts the thread.
    pub(in crate::store) fn start_compaction(
        self: &Arc<Self>,
        index: Arc<dyn Index>,
    ) -> std::io::Result<JoinHandle<()>> {
        self.orders.told.lock().stop = false;
        let log = self.clone();
        spawn("compact", move || {
            // What a pass has copied is found again at the next start, or else what it has copied from.
            if catch_unwind(AssertUnwindSafe(|| log.run_compaction(&*index))).is_err() {
                log.compaction.fail();
                tracing::error!("the thread that compacts has panicked: nothing is compacted until the next start");
            }
        })
    }

    pub(in crate::store) fn stop_compaction(&self, thread: JoinHandle<()>) {
        self.orders.stop();
        // Its panics have been told of.
        let _ = thread.join();
    }

    fn run_compaction(&self, index: &dyn Index) {
        loop {
            let asked = {
                let mut told = self.orders.told.lock();
                let interval = told.policy.interval;
                if !(told.asked || told.stop || interval.is_zero() && told.sealed) {
                    let interval = if interval.is_zero() { INTERVAL_MAX } else { interval };
                    wait(&self.orders.changed, &mut told, Some(interval));
                }
                if told.stop {
                    return;
                }
                told.sealed = false;
                std::mem::take(&mut told.asked)
            };
            self.compaction_turn(index, asked);
        }
    }

    /// What the thread does each time.
    pub(in crate::store) fn compaction_turn(&self, index: &dyn Index, asked: bool) {
        self.release(&self.orders.policy());
        let forced = asked || self.is_short_of_space();
        self.compact(index, forced);
    }

    /// Makes passes until nothing is worth another, or, unless it is forced, until it is no longer time for it.
    fn compact(&self, index: &dyn Index, forced: bool) {
        // What comes to be meanwhile is left for the next time, or this one would never end.
        let below = self.manifest.next_segment_id();
        loop {
            // As it is set now: it may have changed during the last pass.
            let policy = self.orders.policy();
            if !forced && !self.is_time(&policy) {
                return;
            }
            let excess = self.excess(&policy);
            let pass = || {
                let rest = |time| self.orders.rest(time);
                let pace = self.pace(if forced { None } else { Some(excess) }, &rest);
                self.compact_once(index, &policy, forced.then_some(below), &pace)
            };
            let done = if forced || excess > URGENT_EXCESS { pass() } else { behind_others(&pass) };
            match done {
                // What was won is held first: where space is short, that is no gain yet.
                Ok(true) => self.release(&policy),
                Ok(false) => return,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return,
                Err(error) => return tracing::warn!(%error, "compaction failed; it is tried again"),
            }
        }
    }

    /// Whether the schedule allows passes at this hour.
    fn is_time(&self, policy: &Policy) -> bool {
        policy.window.is_none_or(|window| window.contains(self.now()))
    }

    /// By what part the budget is exceeded.
    fn excess(&self, policy: &Policy) -> f64 {
        let budget = self.budget(policy);
        budget.total as f64 / budget.total_max.max(1) as f64 - 1.0
    }

    /// What holds a pass back: the limit of its rate, and the more time for others the less it is over the budget; without
    /// an `excess`, the rate alone. The pass ends where `rest` says so, or it is no longer time for it.
    pub(in crate::store) fn pace<'a>(
        &'a self,
        excess: Option<f64>,
        rest: &'a (dyn Fn(Duration) -> bool + Sync),
    ) -> impl Fn(u64) -> bool + 'a {
        let duty = excess.map_or(1.0, |excess| (excess / EXCESS_MAX).clamp(DUTY_MIN, 1.0));
        let state = Plain::new((self.clock.monotonic(), Debt::default()));
        move |bytes| {
            let (woke, debt) = &mut *state.lock();
            let worked = self.clock.monotonic().saturating_sub(*woke);
            let mut time = worked.mul_f64(1.0 / duty - 1.0).min(REST_MAX);
            let mut paid = worked;
            debt.0 += bytes as f64;
            let goes_on = loop {
                // The settings may change while it rests.
                let policy = self.orders.policy();
                debt.pay(paid, policy.bytes_per_second);
                time = time.max(debt.rest(policy.bytes_per_second));
                if excess.is_some() && !self.is_time(&policy) || !rest(time) {
                    break false;
                }
                if time.is_zero() {
                    break true;
                }
                (paid, time) = (time, Duration::ZERO);
            };
            *woke = self.clock.monotonic();
            goes_on
        }
    }

    /// Whether the disk has so little room, or the log no more, that whatever can be freed has to be.
    pub(in crate::store) fn is_short_of_space(&self) -> bool {
        self.active.lock().refused.is_some() || self.is_disk_nearly_full()
    }

    /// The same of the disk alone, whatever the log takes.
    pub(in crate::store) fn is_disk_nearly_full(&self) -> bool {
        self.spare_reserve(self.segment_bytes(self.live_bytes())).is_err()
    }

    /// Whether the log takes no more records, so that nothing can be taken away either.
    pub(super) fn is_ended(&self) -> bool {
        self.read_only.load(Ordering::SeqCst)
    }
}

/// Bytes that were read and written beyond what the limit of the rate has allowed until now.
#[derive(Default)]
struct Debt(f64);

impl Debt {
    /// Time has passed, at so many bytes a second; without a limit nothing is owed.
    fn pay(&mut self, time: Duration, bytes_per_second: u64) {
        let left = self.0 - time.as_secs_f64() * bytes_per_second as f64;
        self.0 = if bytes_per_second == 0 { 0.0 } else { left.max(0.0) };
    }

    /// How long to rest for it, before it is looked at again.
    fn rest(&self, bytes_per_second: u64) -> Duration {
        // It is nothing without a limit.
        Duration::from_secs_f64((self.0 / bytes_per_second.max(1) as f64).min(REST_MAX.as_secs_f64()))
    }
}

/// Makes a pass on a thread that has the processor only where others leave it. A thread of its own, as nobody without
/// privileges gets a priority back.
fn behind_others<R: Send>(pass: &(dyn Fn() -> R + Sync)) -> R {
    run_apart("compact-idle", || let_others_go_first(NICENESS), pass)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_go_over_midnight() {
        let hour = |hour: u64| 1_700_006_400_000 / MILLISECONDS_OF_DAY * MILLISECONDS_OF_DAY + hour * 3_600_000;
        let (night, morning) = (Window { from: 22, until: 5 }, Window { from: 2, until: 6 });
        assert!([22, 23, 0, 4].iter().all(|&at| night.contains(hour(at))));
        assert!([5, 12, 21].iter().all(|&at| !night.contains(hour(at))));
        assert!([2, 5].iter().all(|&at| morning.contains(hour(at))));
        assert!([0, 1, 6, 23].iter().all(|&at| !morning.contains(hour(at))));
        let always = Window { from: 0, until: 24 };
        assert!((0..24).all(|at| always.contains(hour(at))));
    }
}
