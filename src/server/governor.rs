//! The governor: keeps the process within `maxmemory`.
//!
//! Always true: what counts is what the allocator has handed out, whatever for; the less of the limit is free, the sooner it looks
//! again, so that whoever fills memory as fast as it can goes beyond the limit by little. What the process has of the
//! system is watched as well: allocators keep what was freed, and a container is charged for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use super::workers::Shared;
use crate::allocator;
use crate::config::MaxmemoryPolicy;
use crate::keyspace::{Among, Choice, Keyspace, Load, Policy};

/// The longest pause between two looks.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// The longest where nothing can be done.
const PAUSE_FULL_MAX: Duration = Duration::from_secs(1);

/// The shortest.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// So many bytes are taken in in a millisecond at most, in whatever way.
const BYTES_PER_MILLISECOND: u64 = 2 << 20;

/// Bytes that the process may have of the system beyond the limit and a 20th of it: the program, its threads, and what the
/// allocator keeps at hand.
const RESIDENT_BASE: u64 = 24 << 20;

/// With so many bytes more, and another 20th of the limit, whoever puts more in has to wait.
const RESIDENT_SLACK: u64 = 8 << 20;

/// Where more is in use than can leave memory, clients may have this part of the limit, or those that take most are cut off.
const CLIENTS_PART: u64 = 4;

/// They may have so many bytes whatever the limit is: one reply may be as long.
const CLIENTS_MIN: u64 = 16 << 20;

/// What is not yet synced may take this part of the limit, in bytes at least and at most:
const WINDOW_PART: u64 = 8;
const WINDOW_MIN: u64 = 64 << 10;
const WINDOW_MAX: u64 = 32 << 20;

/// What was freed has so long to get back to the system before anything else is done about it.
const RETURN_TIME: Duration = Duration::from_millis(300);

/// Those who were cut off have so long to go: their connections wait for a processor like all others.
const GOING_TIME: Duration = Duration::from_secs(5);

/// Putting what is scattered together costs a look at everything.
const RENEW_EVERY: Duration = Duration::from_secs(2);
const RENEW_PAUSE_MAX: Duration = Duration::from_secs(300);

/// The thread, for as long as this lives.
pub(super) struct Governor {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Governor {
    /// Starts it.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub(super) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let ends = Arc::<AtomicBool>::default();
        let (shared, told) = (shared.clone(), ends.clone());
        let work = move || {
            let mut watch = Watch::default();
            while !told.load(SeqCst) {
                let pause = watch.look(&shared);
                std::thread::park_timeout(pause);
            }
            // Nobody waits for what does not come any more.
            if let Some(keyspace) = shared.node.keyspace() {
                keyspace.set_memory_limit(0);
                keyspace.keep_within(Load::default(), false);
            }
        };
        let thread = std::thread::Builder::new().name("governor".to_owned()).spawn(work)?;
        Ok(Self { ends, thread })
    }
}

impl Drop for Governor {
    fn drop(&mut self) {
        // It may be in the midst of a look at everything, for which an end need not wait.
        self.ends.store(true, SeqCst);
        self.thread.thread().unpark();
    }
}

/// What is known from one look to the next; moments are those of the monotonic clock.
#[derive(Default)]
struct Watch {
    purged: Duration,
    renewed: Duration,
    renew_pause: Duration,
    is_renewing: bool,
    /// Bytes that were resident when that began.
    resident: u64,
    /// When clients were cut off last.
    cut_off: Option<Duration>,
    /// Since when more than the limit is in use.
    over_since: Option<Duration>,
}

impl Watch {
    /// Does what has to be done now, and says when to look again.
    fn look(&mut self, shared: &Shared) -> Duration {
        let node = &shared.node;
        let used = allocator::allocated();
        node.stats.memory.note(used);
        let Some(keyspace) = node.keyspace() else { return PAUSE_MAX };
        let settings = node.config.get();
        let limit = settings.maxmemory;
        keyspace.set_memory_limit(limit);
        let window = if limit == 0 { WINDOW_MAX } else { (limit / WINDOW_PART).clamp(WINDOW_MIN, WINDOW_MAX) };
        keyspace.store().set_window_bytes_max(window);
        if limit == 0 {
            keyspace.keep_within(Load::default(), false);
            return PAUSE_MAX;
        }
        keyspace.set_eviction_policy(policy(settings.maxmemory_policy));
        let now = Duration::from_nanos(node.monotonic_nanoseconds());
        let (surplus, is_crammed) = self.surplus(limit, now);
        let is_scattered = surplus > 0 && now.saturating_sub(self.renewed) >= self.renew_pause.max(RENEW_EVERY);
        if is_scattered {
            self.resident = allocator::resident().all;
        }
        // What does not get to the disk does not pass.
        let passing = if keyspace.store().is_failing() { 0 } else { keyspace.store().unsettled_bytes() };
        let lasting = used.saturating_sub(passing + keyspace.memory_use().values);
        let most = (limit / CLIENTS_PART).max(CLIENTS_MIN);
        let mut going = 0;
        if lasting > limit && node.clients.memory_bytes() > most {
            let (cut_off, not_gone) = node.clients.cut_off_largest(most);
            node.stats.evicted_clients.add(cut_off);
            going = not_gone;
            if cut_off > 0 {
                self.cut_off = Some(now);
            }
        }
        let takes = if going > 0 { GOING_TIME } else { RETURN_TIME };
        let is_freeing = self.cut_off.is_some_and(|cut_off| now.saturating_sub(cut_off) < takes);
        // Nobody waits for those who are spared, nor for long for those who do not go.
        let holds_readers = going > 0 && is_freeing;
        let may_evict = !node.pause.is_used() || node.pause.current(|| node.now()).is_none();
        let kept = keyspace.keep_within(
            Load { used, passing, surplus, is_scattered, is_freeing, is_crammed, holds_readers },
            may_evict,
        );
        if self.is_renewing && !kept.is_renewing {
            allocator::purge();
            self.renewed = now;
            // Where it did not help, it will not do so soon.
            let helped = allocator::resident().all < self.resident / 20 * 19;
            self.renew_pause =
                if helped { RENEW_EVERY } else { (self.renew_pause * 2).clamp(RENEW_EVERY, RENEW_PAUSE_MAX) };
        }
        self.is_renewing = kept.is_renewing;
        self.note_time(shared, kept.is_over, now);
        pause(limit, keyspace, Duration::from_nanos(node.monotonic_nanoseconds()).saturating_sub(now))
    }

    /// What the process has of the system beyond what it may, once what was freed has had time to go back; and whether that is
    /// too much.
    fn surplus(&mut self, limit: u64, now: Duration) -> (u64, bool) {
        let allowed = limit + limit / 20 + RESIDENT_BASE;
        let beyond = || allocator::resident().all.saturating_sub(allowed);
        let is_crammed = |beyond| beyond > limit / 20 + RESIDENT_SLACK;
        let before = beyond();
        let pause = if is_crammed(before) { RETURN_TIME / 4 } else { RETURN_TIME };
        if before == 0 || now.saturating_sub(self.purged) < pause {
            return (0, is_crammed(before));
        }
        allocator::purge();
        self.purged = now;
        (beyond(), is_crammed(beyond()))
    }

    fn note_time(&mut self, shared: &Shared, is_over: bool, now: Duration) {
        let stats = &shared.node.stats.memory;
        match (is_over, self.over_since) {
            (true, None) => self.over_since = Some(now),
            (false, Some(since)) => {
                stats.add_exceeded(now.saturating_sub(since));
                self.over_since = None;
            }
            _ => {}
        }
        stats.note_exceeding(self.over_since.map_or(Duration::ZERO, |since| now.saturating_sub(since)));
    }
}

/// How long nobody needs to look, after a look that took so long.
fn pause(limit: u64, keyspace: &Keyspace, taken: Duration) -> Duration {
    let free = limit.saturating_sub(allocator::allocated());
    let until_full = Duration::from_millis(free / BYTES_PER_MILLISECOND);
    // Where nothing can be done, looking again and again would take the time of those who read and delete.
    let least = if keyspace.is_out_of_memory() { 10 * taken } else { taken };
    until_full.clamp(PAUSE_MIN, PAUSE_MAX).max(least.min(PAUSE_FULL_MAX))
}

fn policy(policy: MaxmemoryPolicy) -> Policy {
    use MaxmemoryPolicy as Named;
    match policy {
        Named::Noeviction => Policy::Never,
        Named::AllkeysLru => Policy::Keys(Among::All, Choice::LeastRecent),
        Named::AllkeysLfu => Policy::Keys(Among::All, Choice::LeastFrequent),
        Named::AllkeysRandom => Policy::Keys(Among::All, Choice::Random),
        Named::VolatileLru => Policy::Keys(Among::Volatile, Choice::LeastRecent),
        Named::VolatileLfu => Policy::Keys(Among::Volatile, Choice::LeastFrequent),
        Named::VolatileRandom => Policy::Keys(Among::Volatile, Choice::Random),
        Named::VolatileTtl => Policy::Keys(Among::Volatile, Choice::Soonest),
    }
}
