//! The last minutes, second by second, so that a page that is just opened is not empty.
//!
//! Always true: samples are in order of time and of a bounded number; counters are told as they stood, and who draws
//! them takes differences.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::facts::Facts;
use crate::server::workers::Shared;
use crate::stats::Counts;

/// How many samples are kept: ten minutes.
const SAMPLES_MAX: usize = 600;

/// The columns of a sample whose values are fields of INFO: counters and levels.
const FIELDS: [(&str, &str); 23] = [
    ("commands", "total_commands_processed"),
    ("errors", "total_error_replies"),
    ("hits_memory", "hits_memory"),
    ("hits_page_cache", "hits_page_cache"),
    ("hits_disk", "hits_disk"),
    ("misses", "keyspace_misses"),
    ("input", "total_net_input_bytes"),
    ("output", "total_net_output_bytes"),
    ("expired", "expired_keys"),
    ("evicted", "evicted_keys"),
    ("appended", "log_appended_bytes"),
    ("compacted", "compaction_written_bytes"),
    ("syncs", "log_syncs"),
    ("clients", "connected_clients"),
    ("used", "used_memory"),
    ("resident", "used_memory_rss"),
    ("counted", "memory_counted"),
    ("log_disk", "log_disk_bytes"),
    ("log_live", "log_live_bytes"),
    ("log_dead", "log_dead_bytes"),
    ("retained", "retained_bytes"),
    ("compacting", "compaction_running"),
    ("overdue", "expiry_overdue_ms"),
];

/// Columns that are no fields: the moment in milliseconds since the Unix epoch, times of syncs in microseconds, keys, and
/// how long the commands of this second took, in nanoseconds.
const OTHERS: [&str; 8] = ["time", "sync_us", "sync_slowest_us", "keys", "p50", "p99", "p999", "slowest"];

/// The numbers of one second, in the order of [`columns`].
pub(super) type Sample = [u64; FIELDS.len() + OTHERS.len()];

/// The names of a sample's numbers.
pub(super) fn columns() -> impl Iterator<Item = &'static str> {
    OTHERS.into_iter().chain(FIELDS.into_iter().map(|(column, _)| column))
}

/// The samples, the newest last.
#[derive(Default)]
pub(super) struct History(Mutex<Samples>);

#[derive(Default)]
struct Samples {
    samples: VecDeque<Sample>,
    /// How long all commands took until the last one.
    commands: Counts,
    /// The classes of syncs until then.
    syncs: crate::store::Spread,
}

impl History {
    /// Adds what is now.
    pub(super) fn sample(&self, shared: &Shared) {
        let (node, registry) = (&shared.node, &shared.registry);
        let facts = Facts::now(node, registry);
        let mut commands = Counts::default();
        registry.rows().iter().for_each(|row| commands.add(&node.stats.commands.get(row.index).histogram.snapshot()));
        let syncs = node.keyspace().map(|keyspace| keyspace.store().waits().syncs).unwrap_or_default();
        let keys = node
            .keyspace()
            .map_or(0, |keyspace| (0..keyspace.databases()).map(|database| keyspace.size(database).keys as u64).sum());
        let mut inner = self.0.lock();
        let recent = commands.since(&inner.commands);
        let percentile = |percent| recent.percentile(percent);
        let others = [
            node.wall_now(),
            syncs.microseconds,
            syncs.slowest_since(&inner.syncs),
            keys,
            percentile(50.0),
            percentile(99.0),
            percentile(99.9),
            percentile(100.0),
        ];
        let mut sample = [0; FIELDS.len() + OTHERS.len()];
        let values = others.into_iter().chain(FIELDS.iter().map(|(_, field)| facts.whole(field)));
        sample.iter_mut().zip(values).for_each(|(place, value)| *place = value);
        inner.add(sample);
        (inner.commands, inner.syncs) = (commands, syncs);
    }

    /// The samples after that moment.
    pub(super) fn since(&self, moment: u64) -> Vec<Sample> {
        let inner = self.0.lock();
        inner.samples.iter().filter(|sample| sample[0] > moment).copied().collect()
    }
}

impl Samples {
    /// A clock that steps back begins a new history.
    fn add(&mut self, sample: Sample) {
        if self.samples.back().is_some_and(|last| last[0] >= sample[0]) {
            self.samples.clear();
        }
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: u64) -> Sample {
        let mut sample = [0; FIELDS.len() + OTHERS.len()];
        sample[0] = time;
        sample
    }

    #[test]
    fn samples_are_bounded_in_order_and_told_after_a_moment() {
        let history = History::default();
        let times = |since| history.since(since).iter().map(|sample| sample[0]).collect::<Vec<_>>();
        assert!(times(0).is_empty());
        (1..=SAMPLES_MAX as u64 + 2).for_each(|time| history.0.lock().add(at(time * 1000)));
        let all = times(0);
        assert_eq!((all.len(), all[0], all[SAMPLES_MAX - 1]), (SAMPLES_MAX, 3000, (SAMPLES_MAX as u64 + 2) * 1000));
        assert_eq!(times(all[SAMPLES_MAX - 1] - 1), [all[SAMPLES_MAX - 1]]);
        assert!(times(all[SAMPLES_MAX - 1]).is_empty());
        history.0.lock().add(at(5));
        assert_eq!(times(0), [5]);
    }

    #[test]
    fn every_column_has_a_name_of_its_own() {
        let mut names: Vec<&str> = columns().collect();
        assert_eq!((names.len(), names[0]), (at(0).len(), "time"));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), at(0).len());
    }
}
