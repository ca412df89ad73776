//! How long commands take, and who is told of it.
//!
//! Always true: the clock is read once a command. Within a batch a command begins when the one before it ended; only
//! the first one, and one that has waited, looks for itself. A command's own time includes fetching the values it asks
//! for from the disk, since its keys make it slow. It does not include waiting until the log has room or is on the disk:
//! that is the same for all who write, and is told as an event of its own.

use super::Context;
use super::registry::Row;
use super::table::Flags;
use crate::node::{Node, Session};
use crate::protocol::Arguments;
use crate::stats::{Event, SlowCommand, bucket_of, shortened};

/// How many different buckets of one command are counted before they are added to its histogram.
const BUCKETS: usize = 4;

/// What a request waits for before it runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Something that is done for it alone.
    Own,
    /// Values that are only on the disk.
    Values,
    /// Room in the log.
    Room,
}

/// The times of the requests of one batch.
#[derive(Debug, Default)]
pub(super) struct Timing {
    /// When the request that runs now began, or the one before it ended; in nanoseconds of the monotonic clock.
    began: Option<u64>,
    /// What the request that runs now had taken before it waited.
    before: u64,
    waits: Option<(Wait, u64)>,
    /// The command that the last requests were.
    running: Option<Run>,
}

/// Requests with the same command that follow each other.
#[derive(Debug)]
struct Run {
    row: usize,
    calls: u64,
    nanoseconds: u64,
    buckets: [(u16, u32); BUCKETS],
}

impl Timing {
    /// A request begins to run, or goes on.
    pub(super) fn begin(&mut self, node: &Node) {
        if self.began.is_some() {
            return;
        }
        let now = node.monotonic_nanoseconds();
        self.began = Some(now);
        let Some((wait, since)) = self.waits.take() else { return };
        let waited = now.saturating_sub(since);
        match wait {
            Wait::Own => self.before += waited,
            Wait::Values => {
                self.before += waited;
                node.note_event(Event::ColdRead, waited);
            }
            Wait::Room => node.note_event(Event::LogRoom, waited),
        }
    }

    /// The request cannot go on yet.
    pub(super) fn pause(&mut self, node: &Node, wait: Wait) {
        let now = node.monotonic_nanoseconds();
        self.before += now.saturating_sub(self.began.take().unwrap_or(now));
        self.waits = Some((wait, now));
    }

    /// Others ran meanwhile: the next request begins later than the one before it ended.
    pub(super) fn interrupt(&mut self) {
        self.began = None;
    }

    /// The request is done: what it took, in nanoseconds.
    #[inline]
    pub(super) fn end(&mut self, node: &Node, row: usize) -> u64 {
        let now = node.monotonic_nanoseconds();
        let began = self.began.replace(now).unwrap_or(now);
        let taken = now.saturating_sub(began) + std::mem::take(&mut self.before);
        self.count(node, row, taken);
        taken
    }

    /// Adds what is not yet in the statistics.
    pub(super) fn finish(&mut self, node: &Node) {
        if let Some(run) = self.running.take() {
            run.add_to(node);
        }
    }

    /// The number of the last command.
    pub(super) fn last_command(&self) -> Option<usize> {
        self.running.as_ref().map(|run| run.row)
    }

    fn count(&mut self, node: &Node, row: usize, taken: u64) {
        match &mut self.running {
            Some(run) if run.row == row => {
                run.calls += 1;
                run.nanoseconds += taken;
            }
            other => {
                if let Some(run) = other.take() {
                    run.add_to(node);
                }
                *other = Some(Run { row, calls: 1, nanoseconds: taken, buckets: [(0, 0); BUCKETS] });
            }
        }
        if node.stats.watching.tracks()
            && let Some(run) = &mut self.running
        {
            run.count_bucket(node, bucket_of(taken));
        }
    }
}

impl Run {
    #[inline]
    fn count_bucket(&mut self, node: &Node, bucket: u16) {
        for (known, calls) in &mut self.buckets {
            if *calls == 0 {
                *known = bucket;
            }
            if *known == bucket {
                *calls += 1;
                return;
            }
        }
        node.stats.commands.add_durations(self.row, bucket, 1);
    }

    fn add_to(&self, node: &Node) {
        node.stats.commands.add(self.row, self.calls, self.nanoseconds);
        for (bucket, calls) in self.buckets.iter().filter(|(_, calls)| *calls > 0) {
            node.stats.commands.add_durations(self.row, *bucket, u64::from(*calls));
        }
    }
}

/// Counts a command that ran inside another one, and took so many nanoseconds.
pub(super) fn note(ctx: &Context<'_, '_>, row: &Row, words: Arguments<'_>, taken: u64) {
    note_served(ctx.node, ctx.session, row, words, taken);
}

/// Counts a command of this session that somebody else has run, and that took so many nanoseconds.
pub(super) fn note_served(node: &Node, session: &Session, row: &Row, words: Arguments<'_>, taken: u64) {
    let stats = &node.stats;
    stats.commands.add(row.index, 1, taken);
    if stats.watching.tracks() {
        stats.commands.add_durations(row.index, bucket_of(taken), 1);
    }
    if stats.watching.is_slow(taken) {
        note_slow(node, session, row, words, taken);
    }
}

/// Keeps a command that took long in the slow log, and among the events.
#[cold]
pub(super) fn note_slow(node: &Node, session: &Session, row: &Row, words: Arguments<'_>, nanoseconds: u64) {
    let event = if row.is(Flags::FAST) { Event::FastCommand } else { Event::Command };
    node.note_event(event, nanoseconds);
    let settings = node.config.get();
    let (microseconds, most) = (nanoseconds / 1000, settings.slowlog_max_len);
    let is_slow = u64::try_from(settings.slowlog_log_slower_than).is_ok_and(|from| microseconds >= from);
    if !is_slow || most == 0 || row.is(Flags::SKIP_SLOWLOG) {
        return;
    }
    let is_secret = |at| row.command.secret.is_some_and(|secret| secret(words, at));
    let entry = SlowCommand {
        id: 0,
        time: node.wall_now() / 1000,
        microseconds,
        words: shortened(words.iter(), is_secret),
        peer: session.client.address(),
        name: session.client.name(),
    };
    node.stats.slowlog.add(entry, most);
}
