//! What only this server has: its log, compaction, tiers, and how late expiry is.

use super::exposition::{Exposition, Kind};
use super::facts::{Facts, Readiness};
use crate::node::Node;
use Kind::{Counter, Gauge};

/// A field of INFO, its name without `caskade_`, and what it is.
const FIELDS: &[(&str, &str, Kind, &str)] = &[
    ("log_segments", "log_segments", Gauge, "Files of the log."),
    ("log_bytes", "log_bytes", Gauge, "Bytes of all records of the log."),
    ("log_live_bytes", "log_live_bytes", Gauge, "Bytes of records that something refers to."),
    (
        "log_dead_bytes",
        "log_dead_bytes",
        Gauge,
        "Bytes of records that nothing refers to: what compaction can win back.",
    ),
    ("log_disk_bytes", "log_disk_bytes", Gauge, "Bytes that the files of the log take, reserved space included."),
    (
        "log_appended_bytes",
        "log_appended_bytes_total",
        Counter,
        "Bytes of records that clients' changes have appended.",
    ),
    ("log_window_bytes", "log_window_bytes", Gauge, "Bytes that are in memory because they are not yet durable."),
    ("log_writes", "log_writes_total", Counter, "Writes of the log."),
    ("log_syncs", "log_syncs_total", Counter, "Syncs of the log."),
    ("log_failed_writes", "log_failed_writes_total", Counter, "Writes of the log that failed."),
    ("log_failed_syncs", "log_failed_syncs_total", Counter, "Syncs of the log that failed."),
    ("space_amplification", "space_amplification", Gauge, "Bytes on the disk for each byte that is alive."),
    ("write_amplification", "write_amplification", Gauge, "Bytes written for each byte appended, since the start."),
    ("compaction_running", "compaction_running", Gauge, "Whether a pass of compaction runs."),
    ("compaction_passes", "compaction_passes_total", Counter, "Passes of compaction."),
    ("compaction_failed", "compaction_failed_passes_total", Counter, "Passes of compaction that failed."),
    ("compaction_written_bytes", "compaction_written_bytes_total", Counter, "Bytes that compaction has copied."),
    ("compaction_removed_bytes", "compaction_removed_bytes_total", Counter, "Bytes of segments that it took away."),
    ("compaction_last_seconds", "compaction_last_duration_seconds", Gauge, "How long the last pass took."),
    ("compaction_damaged_segments", "compaction_damaged_segments", Gauge, "Segments that stay since they are damaged."),
    ("retained_segments", "retained_segments", Gauge, "Segments that are kept of the past."),
    ("retained_bytes", "retained_bytes", Gauge, "Bytes of segments that are kept of the past."),
    (
        "memory_counted",
        "memory_counted_bytes",
        Gauge,
        "Bytes that maxmemory limits: keys, cached values, what is not synced.",
    ),
    ("memory_full", "memory_full", Gauge, "Whether the keys alone take maxmemory, so that writes are refused."),
    ("keydir_entry_bytes", "keydir_entry_bytes", Gauge, "Bytes of memory of keys and their cached values."),
    ("keydir_table_bytes", "keydir_table_bytes", Gauge, "Bytes of memory of the tables of keys."),
    ("cold_reads", "cold_reads_total", Counter, "Values that were fetched from the disk."),
    ("warm_restart_running", "warm_restart_running", Gauge, "Whether values that were in memory are being read back."),
    ("warm_restart_named", "warm_restart_named_values", Gauge, "Values that were in memory before the start."),
    ("warm_restart_values", "warm_restart_values", Gauge, "Values of those that were read back."),
    ("warm_restart_bytes", "warm_restart_bytes", Gauge, "Bytes of records that were read back."),
    ("warm_restart_seconds", "warm_restart_duration_seconds", Gauge, "For how long they have been read back."),
    ("hot_file_values", "hot_file_values", Gauge, "Values that were in memory when that was written down last."),
    ("hot_file_bytes", "hot_file_bytes", Gauge, "Bytes of the file that says so."),
    ("hot_file_seconds", "hot_file_duration_seconds", Gauge, "How long writing it took."),
];

/// Look-ups by where the value was: a field of INFO, and the label.
const TIERS: [(&str, &str); 4] =
    [("hits_memory", "memory"), ("hits_page_cache", "page_cache"), ("hits_disk", "disk"), ("keyspace_misses", "miss")];

pub(super) fn write(out: &mut Exposition, facts: &Facts, node: &Node) {
    let version = facts.text("caskade_version").unwrap_or_default();
    out.family("caskade_build_info", Gauge, "The version of the server.").sample(&[("version", version)], 1);
    let readiness = Readiness::of(node);
    let is_loaded = !matches!(readiness, Readiness::Loading(..));
    out.single("caskade_loaded", Gauge, "Whether all keys are loaded.", u8::from(is_loaded));
    let help = "Whether the server is loaded and its log takes writes, as /readyz has it.";
    out.single("caskade_ready", Gauge, help, u8::from(readiness == Readiness::Ready));
    for (field, name, kind, help) in FIELDS {
        if let Some(value) = facts.number(field) {
            out.single(&format!("caskade_{name}"), *kind, help, value);
        }
    }
    let mut family = out.family("caskade_lookups_total", Counter, "Look-ups of keys, by where the value was.");
    for (field, tier) in TIERS {
        family.sample(&[("tier", tier)], facts.whole(field));
    }
    let Some(keyspace) = node.keyspace() else { return };
    let waits = keyspace.store().waits();
    out.durations("caskade_log_sync_duration_seconds", "How long each sync of the log took.", &waits.syncs);
    out.durations("caskade_log_write_duration_seconds", "How long each write of the log took.", &waits.writes);
    let help = "How long after its deadline each key or field was removed.";
    out.durations("caskade_expiry_lag_seconds", help, &keyspace.expiry_lag());
    let help = "How long the key or field has been over that waits longest to be removed.";
    out.single("caskade_expiry_overdue_seconds", Gauge, help, keyspace.overdue() as f64 / 1e3);
    if let Ok(free) = keyspace.store().free_space() {
        out.single("caskade_disk_free_bytes", Gauge, "Bytes that can still be written to the disk of the log.", free);
    }
}
