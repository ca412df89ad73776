//! What redis_exporter tells of a Redis, by the same names: its dashboards and alerts work without it.
//!
//! Always true: a name means what it means there, and has the same labels.

use super::exposition::{Exposition, Kind};
use super::facts::Facts;
use crate::commands::Registry;
use crate::node::Node;
use Kind::{Counter, Gauge, Histogram, Summary};

/// A field of INFO, and the name it has without `redis_`.
const FIELDS: &[(&str, &str, Kind)] = &[
    ("acl_access_denied_auth", "acl_access_denied_auth_total", Counter),
    ("acl_access_denied_channel", "acl_access_denied_channel_total", Counter),
    ("acl_access_denied_cmd", "acl_access_denied_cmd_total", Counter),
    ("acl_access_denied_key", "acl_access_denied_key_total", Counter),
    ("active_defrag_hits", "defrag_hits", Gauge),
    ("active_defrag_key_hits", "defrag_key_hits", Gauge),
    ("active_defrag_key_misses", "defrag_key_misses", Gauge),
    ("active_defrag_misses", "defrag_misses", Gauge),
    ("active_defrag_running", "active_defrag_running", Gauge),
    ("allocator_active", "allocator_active_bytes", Gauge),
    ("allocator_allocated", "allocator_allocated_bytes", Gauge),
    ("allocator_frag_bytes", "allocator_frag_bytes", Gauge),
    ("allocator_frag_ratio", "allocator_frag_ratio", Gauge),
    ("allocator_resident", "allocator_resident_bytes", Gauge),
    ("allocator_rss_bytes", "allocator_rss_bytes", Gauge),
    ("allocator_rss_ratio", "allocator_rss_ratio", Gauge),
    ("aof_base_size", "aof_base_size_bytes", Gauge),
    ("aof_buffer_length", "aof_buffer_length", Gauge),
    ("aof_current_rewrite_time_sec", "aof_current_rewrite_duration_sec", Gauge),
    ("aof_current_size", "aof_current_size_bytes", Gauge),
    ("aof_delayed_fsync", "aof_delayed_fsync", Gauge),
    ("aof_enabled", "aof_enabled", Gauge),
    ("aof_last_bgrewrite_status", "aof_last_bgrewrite_status", Gauge),
    ("aof_last_cow_size", "aof_last_cow_size_bytes", Gauge),
    ("aof_last_rewrite_time_sec", "aof_last_rewrite_duration_sec", Gauge),
    ("aof_last_write_status", "aof_last_write_status", Gauge),
    ("aof_pending_bio_fsync", "aof_pending_bio_fsync", Gauge),
    ("aof_pending_rewrite", "aof_pending_rewrite", Gauge),
    ("aof_rewrite_in_progress", "aof_rewrite_in_progress", Gauge),
    ("aof_rewrite_scheduled", "aof_rewrite_scheduled", Gauge),
    ("blocked_clients", "blocked_clients", Gauge),
    ("client_recent_max_input_buffer", "client_recent_max_input_buffer_bytes", Gauge),
    ("client_recent_max_output_buffer", "client_recent_max_output_buffer_bytes", Gauge),
    ("clients_in_timeout_table", "clients_in_timeout_table", Gauge),
    ("cluster_connections", "cluster_connections", Gauge),
    ("cluster_enabled", "cluster_enabled", Gauge),
    ("connected_clients", "connected_clients", Gauge),
    ("connected_slaves", "connected_slaves", Gauge),
    ("dump_payload_sanitizations", "dump_payload_sanitizations", Counter),
    ("evicted_keys", "evicted_keys_total", Counter),
    ("expired_keys", "expired_keys_total", Counter),
    ("expired_stale_perc", "expired_stale_percentage", Gauge),
    ("expired_time_cap_reached_count", "expired_time_cap_reached_total", Gauge),
    ("io_threaded_reads_processed", "io_threaded_reads_processed", Counter),
    ("io_threaded_writes_processed", "io_threaded_writes_processed", Counter),
    ("io_threads_active", "io_threads_active", Gauge),
    ("keyspace_hits", "keyspace_hits_total", Counter),
    ("keyspace_misses", "keyspace_misses_total", Counter),
    ("lazyfree_pending_objects", "lazyfree_pending_objects", Gauge),
    ("loading", "loading_dump_file", Gauge),
    ("master_repl_offset", "master_repl_offset", Gauge),
    ("maxmemory", "memory_max_bytes", Gauge),
    ("mem_clients_normal", "mem_clients_normal", Gauge),
    ("mem_clients_slaves", "mem_clients_slaves", Gauge),
    ("mem_fragmentation_bytes", "mem_fragmentation_bytes", Gauge),
    ("mem_fragmentation_ratio", "mem_fragmentation_ratio", Gauge),
    ("mem_not_counted_for_evict", "mem_not_counted_for_eviction_bytes", Gauge),
    ("migrate_cached_sockets", "migrate_cached_sockets_total", Gauge),
    ("module_fork_in_progress", "module_fork_in_progress", Gauge),
    ("module_fork_last_cow_size", "module_fork_last_cow_size", Gauge),
    ("number_of_cached_scripts", "number_of_cached_scripts", Gauge),
    ("process_id", "process_id", Gauge),
    ("pubsub_channels", "pubsub_channels", Gauge),
    ("pubsub_patterns", "pubsub_patterns", Gauge),
    ("rdb_bgsave_in_progress", "rdb_bgsave_in_progress", Gauge),
    ("rdb_changes_since_last_save", "rdb_changes_since_last_save", Gauge),
    ("rdb_current_bgsave_time_sec", "rdb_current_bgsave_duration_sec", Gauge),
    ("rdb_last_bgsave_status", "rdb_last_bgsave_status", Gauge),
    ("rdb_last_bgsave_time_sec", "rdb_last_bgsave_duration_sec", Gauge),
    ("rdb_last_cow_size", "rdb_last_cow_size_bytes", Gauge),
    ("rdb_last_save_time", "rdb_last_save_timestamp_seconds", Gauge),
    ("rejected_connections", "rejected_connections_total", Counter),
    ("repl_backlog_active", "repl_backlog_is_active", Gauge),
    ("repl_backlog_first_byte_offset", "repl_backlog_first_byte_offset", Gauge),
    ("repl_backlog_histlen", "repl_backlog_history_bytes", Gauge),
    ("repl_backlog_size", "replication_backlog_bytes", Gauge),
    ("second_repl_offset", "second_repl_offset", Gauge),
    ("slave_expires_tracked_keys", "slave_expires_tracked_keys", Gauge),
    ("sync_full", "replica_resyncs_full", Gauge),
    ("sync_partial_err", "replica_partial_resync_denied", Gauge),
    ("sync_partial_ok", "replica_partial_resync_accepted", Gauge),
    ("total_commands_processed", "commands_processed_total", Counter),
    ("total_connections_received", "connections_received_total", Counter),
    ("total_error_replies", "total_error_replies", Counter),
    ("total_net_input_bytes", "net_input_bytes_total", Counter),
    ("total_net_output_bytes", "net_output_bytes_total", Counter),
    ("total_reads_processed", "total_reads_processed", Counter),
    ("total_system_memory", "total_system_memory_bytes", Gauge),
    ("total_writes_processed", "total_writes_processed", Counter),
    ("tracking_clients", "tracking_clients", Gauge),
    ("tracking_total_items", "tracking_total_items", Gauge),
    ("tracking_total_keys", "tracking_total_keys", Gauge),
    ("tracking_total_prefixes", "tracking_total_prefixes", Gauge),
    ("unexpected_error_replies", "unexpected_error_replies", Counter),
    ("uptime_in_seconds", "uptime_in_seconds", Gauge),
    ("used_cpu_sys", "cpu_sys_seconds_total", Counter),
    ("used_cpu_sys_children", "cpu_sys_children_seconds_total", Counter),
    ("used_cpu_sys_main_thread", "cpu_sys_main_thread_seconds_total", Counter),
    ("used_cpu_user", "cpu_user_seconds_total", Counter),
    ("used_cpu_user_children", "cpu_user_children_seconds_total", Counter),
    ("used_cpu_user_main_thread", "cpu_user_main_thread_seconds_total", Counter),
    ("used_memory", "memory_used_bytes", Gauge),
    ("used_memory_dataset", "memory_used_dataset_bytes", Gauge),
    ("used_memory_lua", "memory_used_lua_bytes", Gauge),
    ("used_memory_overhead", "memory_used_overhead_bytes", Gauge),
    ("used_memory_peak", "memory_used_peak_bytes", Gauge),
    ("used_memory_rss", "memory_used_rss_bytes", Gauge),
    ("used_memory_scripts", "memory_used_scripts_bytes", Gauge),
    ("used_memory_startup", "memory_used_startup_bytes", Gauge),
];

/// The fields of INFO that are labels of `redis_instance_info`.
const INSTANCE: [&str; 9] = [
    "maxmemory_policy",
    "os",
    "process_id",
    "redis_build_id",
    "redis_mode",
    "redis_version",
    "role",
    "run_id",
    "tcp_port",
];

/// The settings that the exporter tells, as far as they are numbers.
const SETTINGS: [&str; 3] = ["io-threads", "maxclients", "maxmemory"];

/// Of databases with higher numbers only those are told that have keys.
const EMPTY_DATABASES_MAX: u32 = 256;

pub(super) fn write(out: &mut Exposition, facts: &Facts, node: &Node, registry: &Registry) {
    out.single("redis_up", Gauge, "Whether the server answers.", 1);
    for (field, name, kind) in FIELDS {
        if let Some(value) = facts.number(field) {
            out.single(&format!("redis_{name}"), *kind, &format!("The field {field} of INFO."), value);
        }
    }
    let fork = facts.number("latest_fork_usec").unwrap_or(0.0) / 1e6;
    out.single("redis_latest_fork_seconds", Gauge, "How long the last fork took; nothing forks.", fork);
    let started = node.started() as f64 / 1000.0;
    out.single("redis_start_time_seconds", Gauge, "When the server was started, since the Unix epoch.", started);
    let labels = INSTANCE.map(|field| (field, facts.text(field).unwrap_or_default()));
    out.family("redis_instance_info", Gauge, "What the server is.").sample(&labels, 1);
    let settings = node.config.snapshot();
    for name in SETTINGS {
        if let Some(value) = settings.text(name).and_then(|text| text.parse::<f64>().ok()) {
            let metric = format!("redis_config_{}", name.replace('-', "_"));
            out.single(&metric, Gauge, &format!("The setting {name}."), value);
        }
    }
    commands(out, node, registry);
    let mut errors = out.family("redis_errors_total", Counter, "Errors by their first word.");
    for (code, count) in node.stats.errors.by_code() {
        errors.sample(&[("err", &code)], count);
    }
    databases(out, node);
    slow(out, node);
}

fn commands(out: &mut Exposition, node: &Node, registry: &Registry) {
    let of = |index: usize| node.stats.commands.get(index);
    let used = |index: usize| of(index).calls.get() + of(index).rejected.get() + of(index).failed.get() > 0;
    let rows: Vec<(&str, usize)> =
        registry.rows().iter().map(|row| (&*row.name, row.index)).filter(|(_, index)| used(*index)).collect();
    let mut family = out.family("redis_commands_total", Counter, "Executions of each command.");
    rows.iter().for_each(|(name, index)| _ = family.sample(&[("cmd", name)], of(*index).calls.get()));
    let help = "How long each command was executed, all times together.";
    let mut family = out.family("redis_commands_duration_seconds_total", Counter, help);
    // INFO tells microseconds, and so does the exporter.
    let seconds = |index: usize| (of(index).nanoseconds.get() / 1000) as f64 / 1e6;
    rows.iter().for_each(|(name, index)| _ = family.sample(&[("cmd", name)], seconds(*index)));
    let help = "Requests of each command that were refused before they ran.";
    let mut family = out.family("redis_commands_rejected_calls_total", Counter, help);
    rows.iter().for_each(|(name, index)| _ = family.sample(&[("cmd", name)], of(*index).rejected.get()));
    let help = "Executions of each command that ended with an error.";
    let mut family = out.family("redis_commands_failed_calls_total", Counter, help);
    rows.iter().for_each(|(name, index)| _ = family.sample(&[("cmd", name)], of(*index).failed.get()));

    let timed: Vec<_> = rows.iter().map(|(name, index)| (*name, *index, of(*index).histogram.snapshot())).collect();
    let timed = || timed.iter().filter(|(.., counts)| counts.total() > 0);
    let sum = |index: usize| (of(index).nanoseconds.get() / 1000) as f64;
    let settings = node.config.snapshot();
    let help = "The percentiles of latency-tracking-info-percentiles, in microseconds.";
    let mut family = out.family("redis_latency_percentiles_usec", Summary, help);
    for (name, index, counts) in timed() {
        for (_, percent) in settings.latency_tracking_info_percentiles.each() {
            let microseconds = counts.percentile(percent) as f64 / 1000.0;
            family.sample(&[("cmd", name), ("quantile", &percent.to_string())], microseconds);
        }
        family.suffixed("_sum", &[("cmd", name)], sum(*index));
        family.suffixed("_count", &[("cmd", name)], of(*index).calls.get());
    }
    let mut family = out.family("redis_commands_latencies_usec", Histogram, "LATENCY HISTOGRAM, in microseconds.");
    for (name, index, counts) in timed() {
        let buckets: Vec<(f64, u64)> =
            counts.cumulative().into_iter().map(|(bound, count)| (bound as f64, count)).collect();
        family.histogram(&[("cmd", name)], &buckets, counts.total(), sum(*index));
    }
}

fn databases(out: &mut Exposition, node: &Node) {
    let Some(keyspace) = node.keyspace() else { return };
    let told = |number: &u32| *number < EMPTY_DATABASES_MAX || keyspace.size(*number).keys > 0;
    let databases: Vec<(String, u32)> =
        (0..keyspace.databases()).filter(told).map(|number| (format!("db{number}"), number)).collect();
    let mut family = out.family("redis_db_keys", Gauge, "Keys in each database.");
    databases.iter().for_each(|(name, number)| _ = family.sample(&[("db", name)], keyspace.size(*number).keys));
    let mut family = out.family("redis_db_keys_expiring", Gauge, "Keys in each database that have an expiry.");
    databases.iter().for_each(|(name, number)| _ = family.sample(&[("db", name)], keyspace.size(*number).volatile));
    let help = "The mean time to live of the keys in each database that have an expiry.";
    let mut family = out.family("redis_db_avg_ttl_seconds", Gauge, help);
    for (name, number) in databases.iter().filter(|(_, number)| keyspace.size(*number).keys > 0) {
        family.sample(&[("db", name)], keyspace.mean_time_to_live(*number) as f64 / 1000.0);
    }
}

fn slow(out: &mut Exposition, node: &Node) {
    let newest = node.stats.slowlog.newest(1);
    let (id, microseconds) = newest.first().map_or((0, 0), |command| (command.id, command.microseconds));
    out.single("redis_slowlog_length", Gauge, "Entries of the slow log.", node.stats.slowlog.len());
    out.single("redis_slowlog_last_id", Gauge, "The id of the last entry of the slow log.", id);
    let help = "How long the command of the last entry of the slow log took.";
    out.single("redis_last_slow_execution_duration_seconds", Gauge, help, microseconds as f64 / 1e6);
    let spikes = node.stats.latency.all();
    let last = || spikes.iter().filter_map(|(event, series)| Some((event.name(), series.samples.back()?)));
    let mut family = out.family("redis_latency_spike_last", Gauge, "When each event of LATENCY last occurred.");
    last().for_each(|(name, sample)| _ = family.sample(&[("event_name", name)], sample.time));
    let help = "How long each event of LATENCY took when it last occurred.";
    let mut family = out.family("redis_latency_spike_duration_seconds", Gauge, help);
    last().for_each(|(name, sample)| _ = family.sample(&[("event_name", name)], sample.milliseconds as f64 / 1e3));
}
