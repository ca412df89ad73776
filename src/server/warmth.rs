//! The thread that reads back what was in memory before the start, and from then on has written down what is.
//!
//! Always true: clients come first: it has a lower priority, and while they wait for the disk themselves it rests for as long as
//! each of its reads took; it never writes the file before it has read what the old one names.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::workers::Shared;
use crate::keyspace::{Ended, Keyspace, Turn};
use crate::node::Node;
use crate::store::let_others_go_first;

/// The priority of the thread: with all processors in use it gets a third of one.
const NICENESS: i32 = 5;

/// How long it rests at most after a read, where clients wait for the disk.
const REST_MAX: Duration = Duration::from_millis(50);

/// How often it is looked whether there is room again, and for how long: what was freed has to get back to the system first.
const ROOM_EVERY: Duration = Duration::from_millis(20);
const ROOM_WITHIN: Duration = Duration::from_secs(2);

/// Of the time, writing the file takes this part at most.
const WRITING_PART: u32 = 50;

/// How long writing it may take when the server is to end.
const ENDING: Duration = Duration::from_secs(5);

/// The thread: it ends when this is dropped.
pub(super) struct Warmth {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Warmth {
    /// Starts it; the keys have to be loaded.
    pub(super) fn start(shared: &Arc<Shared>) -> std::io::Result<Self> {
        let ends = Arc::new(AtomicBool::new(false));
        let (shared, until) = (shared.clone(), ends.clone());
        let work = move || {
            let_others_go_first(NICENESS);
            let node = &shared.node;
            if let Some(keyspace) = node.keyspace() {
                let thread = Work { node, keyspace, ends: &until };
                thread.recall();
                thread.remember();
            }
        };
        let thread = thread::Builder::new().name("caskade-warmth".to_owned()).spawn(work)?;
        Ok(Self { ends, thread: Some(thread) })
    }
}

impl Drop for Warmth {
    fn drop(&mut self) {
        self.ends.store(true, SeqCst);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!("the thread that reads back what was in memory had panicked");
        }
    }
}

/// Writes down what is in memory, of a server that ends; nobody uses its keyspace any more.
pub(super) fn remember_at_end(node: &Node, keyspace: &Keyspace) {
    if !node.config.get().warm_restart {
        return;
    }
    let began = now(node);
    let mut is_late = false;
    let written = keyspace.remember(&mut || {
        is_late = now(node).saturating_sub(began) > ENDING;
        !is_late
    });
    match written {
        Ok(Some(file)) => tracing::info!("{} values are in memory, which the next start reads back", file.values),
        Ok(None) if is_late => tracing::warn!(
            "it took more than {} seconds to write down which values are in memory: the next start reads back what was \
             there when that was written last",
            ENDING.as_secs()
        ),
        Ok(None) => tracing::info!(
            "which values are in memory was not written down: what it was before is not all back yet, or the disk is nearly full"
        ),
        Err(error) => tracing::warn!("which values are in memory could not be written down: {error}"),
    }
}

fn now(node: &Node) -> Duration {
    Duration::from_nanos(node.monotonic_nanoseconds())
}

struct Work<'a> {
    node: &'a Node,
    keyspace: &'a Keyspace,
    ends: &'a AtomicBool,
}

impl Work<'_> {
    fn is_wanted(&self) -> bool {
        !self.ends.load(SeqCst) && self.node.config.get().warm_restart
    }

    /// Reads back what was in memory.
    fn recall(&self) {
        if !self.node.config.get().warm_restart {
            return self.keyspace.settle_warmth();
        }
        let (mut read_at, mut cold_reads, mut crowded_since) = (now(self.node), self.keyspace.cold_reads(), None);
        let ended = self.keyspace.recall(&mut |turn| {
            match turn {
                Turn::Looked => {}
                Turn::Read => {
                    crowded_since = None;
                    // Clients have waited for the disk meanwhile: it is theirs for as long.
                    let (taken, cold_now) = (now(self.node).saturating_sub(read_at), self.keyspace.cold_reads());
                    if cold_now != cold_reads {
                        thread::park_timeout(taken.min(REST_MAX));
                    }
                    (read_at, cold_reads) = (now(self.node), self.keyspace.cold_reads());
                }
                Turn::Crowded => {
                    let since = *crowded_since.get_or_insert_with(|| now(self.node));
                    if now(self.node).saturating_sub(since) >= ROOM_WITHIN {
                        return false;
                    }
                    thread::park_timeout(ROOM_EVERY);
                    read_at = now(self.node);
                }
            }
            self.is_wanted()
        });
        if self.ends.load(SeqCst) {
            return;
        }
        let warmth = self.keyspace.warmth();
        let (seconds, megabytes) = (warmth.duration.as_secs_f64(), warmth.bytes >> 20);
        let of = format!("{} of {} values that were in memory", warmth.values, warmth.named);
        match ended {
            Ok(Ended::Whole) if warmth.named == 0 => {}
            Ok(Ended::Whole) => tracing::info!("{of} are there again: {megabytes} MB in {seconds:.3} seconds"),
            Ok(Ended::Full) => tracing::info!(
                "{of} are there again, which is all that there is room for: {megabytes} MB in {seconds:.3} seconds"
            ),
            Ok(Ended::Told) => tracing::info!("{of} are there again; warm-restart was turned off"),
            Err(error) => tracing::warn!("{of} are there again, then reading failed: {error}"),
        }
        self.keyspace.settle_warmth();
    }

    /// Writes down what is in memory, from time to time.
    fn remember(&self) {
        let (mut written_at, mut cost, mut done) = (now(self.node), Duration::ZERO, self.doings());
        let mut has_failed = false;
        while !self.ends.load(SeqCst) {
            let interval = Duration::from_secs(u64::from(self.node.config.get().warm_restart_interval));
            let due = written_at + interval.max(cost * WRITING_PART);
            let left = due.saturating_sub(now(self.node));
            if !left.is_zero() {
                // The interval may be another one meanwhile.
                thread::park_timeout(left.min(Duration::from_secs(1)));
                continue;
            }
            let began = now(self.node);
            let doings = self.doings();
            if self.is_wanted() && doings != done {
                match self.keyspace.remember(&mut || self.is_wanted()) {
                    Ok(written) => {
                        has_failed = false;
                        done = if written.is_some() { doings } else { done };
                    }
                    Err(error) if has_failed => {
                        tracing::debug!("which values are in memory could not be written down: {error}");
                    }
                    Err(error) => {
                        has_failed = true;
                        tracing::warn!(
                            "which values are in memory could not be written down, which is tried again: {error}"
                        );
                    }
                }
            }
            (written_at, cost) = (now(self.node), now(self.node).saturating_sub(began));
        }
    }

    /// Changes where anything was done that may have made other values hot.
    fn doings(&self) -> (u64, u64, u64) {
        let stats = &self.node.stats;
        (stats.hits.get(), self.keyspace.cold_reads(), self.keyspace.store().appended())
    }
}
