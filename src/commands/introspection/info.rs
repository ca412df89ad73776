//! INFO: sections of fields, with true values.

use std::fmt::{Display, Write as _};

use super::memory::{MemoryFacts, share};
use crate::allocator;
use crate::commands::connection::REDIS_VERSION;
use crate::commands::{Args, Context, Outcome, Registry};
use crate::config::Settings;
use crate::node::acl::Reason;
use crate::node::{Node, Space};
use crate::protocol::Reply;

type Section = fn(&Subject<'_>, &mut Fields);

/// What INFO is about.
struct Subject<'a> {
    node: &'a Node,
    registry: &'a Registry,
}

/// In Redis's order; the last word says whether INFO without arguments shows it.
const SECTIONS: &[(&str, Section, bool)] = &[
    ("Server", server, true),
    ("Clients", clients, true),
    ("Memory", memory, true),
    ("Persistence", persistence, true),
    ("Stats", stats, true),
    ("Replication", replication, true),
    ("CPU", cpu, true),
    ("Modules", |_, _| {}, true),
    ("Commandstats", commandstats, false),
    ("Errorstats", errorstats, true),
    ("Latencystats", latencystats, false),
    ("Cluster", cluster, true),
    ("Keyspace", keyspace, true),
    ("Caskade", caskade, true),
];

/// The sections that have a field for each command, error or database.
const OF_MANY: [&str; 4] = ["Commandstats", "Errorstats", "Latencystats", "Keyspace"];

/// Names with their values.
#[derive(Default)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn add(&mut self, name: &str, value: impl Display) {
        self.0.push((name.to_owned(), value.to_string()));
    }

    /// A number of bytes, then the same for people.
    fn bytes(&mut self, name: &str, bytes: u64) {
        self.add(name, bytes);
        self.add(&format!("{name}_human"), human(bytes));
    }
}

pub(super) fn info(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    let asked: Vec<String> = args.rest().map(|word| String::from_utf8_lossy(word).to_lowercase()).collect();
    let asks = |name: &str| asked.iter().any(|word| word == name);
    let everything = asks("all") || asks("everything");
    let defaults = asked.is_empty() || asks("default");
    let subject = Subject { node: ctx.node, registry: ctx.registry };
    let mut text = String::new();
    for (name, section, by_default) in SECTIONS {
        if everything || defaults && *by_default || asks(&name.to_lowercase()) {
            let separator = if text.is_empty() { "" } else { "\r\n" };
            text += &format!("{separator}# {name}\r\n");
            let mut fields = Fields::default();
            section(&subject, &mut fields);
            for (name, value) in fields.0 {
                // Writing to a string cannot fail.
                let _ = write!(text, "{name}:{value}\r\n");
            }
        }
    }
    Ok(Reply::Verbatim("txt", text))
}

/// Every field of INFO that is one value, in its order: all sections but those about single commands, errors and databases.
pub fn info_fields(node: &Node, registry: &Registry) -> Vec<(String, String)> {
    let mut fields = Fields::default();
    for (_, section, _) in SECTIONS.iter().filter(|(name, ..)| !OF_MANY.contains(name)) {
        section(&Subject { node, registry }, &mut fields);
    }
    fields.0
}

fn server(ctx: &Subject<'_>, out: &mut Fields) {
    let node = ctx.node;
    let settings = node.config.get();
    let system = rustix::system::uname();
    let word = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let uptime = node.wall_now().saturating_sub(node.started()) / 1000;
    out.add("redis_version", REDIS_VERSION);
    out.add("caskade_version", env!("CARGO_PKG_VERSION"));
    out.add("server_name", "caskade");
    out.add("redis_git_sha1", "00000000");
    out.add("redis_git_dirty", 0);
    out.add("redis_build_id", build_id());
    out.add("redis_mode", "standalone");
    out.add("os", format!("{} {} {}", word(system.sysname()), word(system.release()), word(system.machine())));
    out.add("arch_bits", usize::BITS);
    out.add("monotonic_clock", "POSIX clock_gettime");
    out.add("multiplexing_api", "epoll");
    out.add("process_id", std::process::id());
    out.add("process_supervised", "no");
    out.add("run_id", &node.run_id);
    out.add("tcp_port", if settings.port > 0 { settings.port } else { settings.tls_port });
    out.add("server_time_usec", node.wall_microseconds());
    out.add("uptime_in_seconds", uptime);
    out.add("uptime_in_days", uptime / 86_400);
    out.add("hz", settings.text("hz").unwrap_or_default());
    out.add("configured_hz", settings.text("hz").unwrap_or_default());
    out.add("lru_clock", (node.wall_now() / 1000) & 0xff_ffff);
    let executable = std::env::current_exe().map(|path| path.display().to_string());
    out.add("executable", executable.unwrap_or_default());
    let file = node.config.file().map(|path| path.display().to_string());
    out.add("config_file", file.unwrap_or_default());
    out.add("io_threads_active", 0);
    for (number, listener) in listeners(&settings).iter().enumerate() {
        out.add(&format!("listener{number}"), listener);
    }
}

/// Where it listens: a line for TCP and one for the Unix socket.
fn listeners(settings: &Settings) -> Vec<String> {
    let addresses = settings.text("bind").unwrap_or_default().split_ascii_whitespace();
    let binds: String = addresses.map(|address| format!(",bind={address}")).collect();
    let tcp = (settings.port > 0).then(|| format!("name=tcp{binds},port={}", settings.port));
    let unix = settings.unixsocket.as_ref().map(|path| format!("name=unix,bind={}", path.display()));
    let tls = (settings.tls_port > 0).then(|| format!("name=tls{binds},port={}", settings.tls_port));
    tcp.into_iter().chain(unix).chain(tls).collect()
}

/// The same for every build of a version: what the exporter tells servers apart by.
fn build_id() -> String {
    let version = concat!("caskade ", env!("CARGO_PKG_VERSION"));
    let id = version
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |id: u64, byte| (id ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{id:016x}")
}

fn clients(ctx: &Subject<'_>, out: &mut Fields) {
    out.add("connected_clients", ctx.node.clients.count());
    out.add("cluster_connections", 0);
    out.add("maxclients", ctx.node.config.get().maxclients);
    out.add("client_recent_max_input_buffer", ctx.node.clients.input_buffer_max());
    out.add("client_recent_max_output_buffer", ctx.node.clients.output_buffer_max());
    let waiting = ctx.node.waiting.counts();
    out.add("blocked_clients", waiting.clients + ctx.node.pause.held_back());
    out.add("tracking_clients", ctx.node.tracking.counts().clients);
    out.add("clients_in_timeout_table", waiting.timed);
    out.add("total_watched_keys", ctx.node.keyspace().map_or(0, |keyspace| keyspace.watched()));
    out.add("total_blocking_keys", waiting.keys);
    out.add("total_blocking_keys_on_nokey", 0);
}

fn memory(ctx: &Subject<'_>, out: &mut Fields) {
    let facts = MemoryFacts::now(ctx.node);
    let settings = ctx.node.config.get();
    let system = total_memory();
    let percent = |part, whole| format!("{:.2}%", 100.0 * share(part, whole));
    let difference = |one: u64, other: u64| one as i64 - other as i64;
    let net = facts.used.saturating_sub(facts.startup);
    out.bytes("used_memory", facts.used);
    out.bytes("used_memory_rss", facts.resident);
    out.bytes("used_memory_peak", facts.peak);
    out.add("used_memory_peak_perc", percent(facts.used, facts.peak));
    out.add("used_memory_overhead", facts.overhead());
    out.add("used_memory_startup", facts.startup);
    out.add("used_memory_dataset", facts.dataset);
    out.add("used_memory_dataset_perc", percent(facts.dataset.min(net), net));
    out.add("allocator_allocated", facts.used);
    // As in Redis where its allocator does not tell them apart.
    out.add("allocator_active", facts.resident_own);
    out.add("allocator_resident", facts.resident_own);
    out.bytes("total_system_memory", system);
    out.add("used_memory_lua", 0);
    out.add("used_memory_vm_eval", 0);
    out.add("used_memory_lua_human", human(0));
    out.add("used_memory_scripts_eval", 0);
    out.add("number_of_cached_scripts", 0);
    out.add("number_of_functions", 0);
    out.add("number_of_libraries", 0);
    out.add("used_memory_vm_functions", 0);
    out.bytes("used_memory_vm_total", 0);
    out.add("used_memory_functions", 0);
    out.bytes("used_memory_scripts", 0);
    out.bytes("maxmemory", settings.maxmemory);
    out.add("maxmemory_policy", settings.maxmemory_policy.word());
    out.add("allocator_frag_ratio", format!("{:.2}", share(facts.resident_own, facts.used)));
    out.add("allocator_frag_bytes", difference(facts.resident_own, facts.used));
    out.add("allocator_rss_ratio", "1.00");
    out.add("allocator_rss_bytes", 0);
    out.add("rss_overhead_ratio", format!("{:.2}", share(facts.resident, facts.resident_own)));
    out.add("rss_overhead_bytes", difference(facts.resident, facts.resident_own));
    out.add("mem_fragmentation_ratio", format!("{:.2}", share(facts.resident, facts.used)));
    out.add("mem_fragmentation_bytes", difference(facts.resident, facts.used));
    out.add("mem_not_counted_for_evict", 0);
    out.add("mem_replication_backlog", 0);
    out.add("mem_total_replication_buffers", 0);
    out.add("mem_clients_slaves", 0);
    out.add("mem_clients_normal", facts.clients);
    out.add("mem_cluster_links", 0);
    out.add("mem_aof_buffer", facts.log_buffer);
    out.add("mem_allocator", allocator::name());
    out.add("active_defrag_running", 0);
    let (pending, freed) = ctx.node.keyspace().map(|keyspace| keyspace.reclaimed_collections()).unwrap_or_default();
    out.add("lazyfree_pending_objects", pending);
    out.add("lazyfreed_objects", freed);
}

/// What the machine has, or the container may use.
fn total_memory() -> u64 {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let machine = read("/proc/meminfo");
    let line = machine.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    let limit = read("/sys/fs/cgroup/memory.max").trim().parse().unwrap_or(u64::MAX);
    kilobytes.map_or(0, |kilobytes| kilobytes * 1024).min(limit)
}

fn persistence(ctx: &Subject<'_>, out: &mut Fields) {
    let loading = ctx.node.keyspace().is_none();
    let stats = &ctx.node.stats;
    out.add("loading", u8::from(loading));
    if loading {
        let (done, total) = ctx.node.loading().progress();
        let elapsed = ctx.node.wall_now().saturating_sub(ctx.node.started()) / 1000;
        out.add("loading_start_time", ctx.node.started() / 1000);
        out.add("loading_total_bytes", total);
        out.add("loading_rdb_used_mem", 0);
        out.add("loading_loaded_bytes", done);
        out.add("loading_loaded_perc", format!("{:.2}", done as f64 * 100.0 / total.max(1) as f64));
        out.add("loading_eta_seconds", elapsed * total.saturating_sub(done) / done.max(1));
    }
    for name in ["async_loading", "current_cow_peak", "current_cow_size", "current_cow_size_age"] {
        out.add(name, 0);
    }
    out.add("current_fork_perc", "0.00");
    out.add("current_save_keys_processed", 0);
    out.add("current_save_keys_total", 0);
    out.add("rdb_changes_since_last_save", stats.changes.get().saturating_sub(ctx.node.changes_at_last_save()));
    out.add("rdb_bgsave_in_progress", 0);
    out.add("rdb_last_save_time", ctx.node.last_save());
    out.add("rdb_last_bgsave_status", "ok");
    out.add("rdb_last_bgsave_time_sec", -1);
    out.add("rdb_current_bgsave_time_sec", -1);
    out.add("rdb_saves", stats.saves.get());
    out.add("rdb_last_cow_size", 0);
    out.add("rdb_last_load_keys_expired", 0);
    out.add("rdb_last_load_keys_loaded", ctx.node.loaded_keys());
    out.add("aof_enabled", 1);
    let status = ctx.node.keyspace().map(|keyspace| keyspace.store().status()).unwrap_or_default();
    let compaction = ctx.node.keyspace().map(|keyspace| keyspace.store().compaction_status()).unwrap_or_default();
    out.add("aof_rewrite_in_progress", u8::from(compaction.running));
    out.add("aof_rewrite_scheduled", 0);
    out.add("aof_last_rewrite_time_sec", compaction.last_seconds.map_or(-1, |seconds| seconds as i64));
    out.add("aof_current_rewrite_time_sec", -1);
    out.add("aof_last_bgrewrite_status", if compaction.failing { "err" } else { "ok" });
    out.add("aof_rewrites", compaction.passes);
    out.add("aof_rewrites_consecutive_failures", u8::from(compaction.failing));
    out.add("aof_last_write_status", if status.refused.is_none() { "ok" } else { "err" });
    out.add("aof_last_cow_size", 0);
    out.add("module_fork_in_progress", 0);
    out.add("module_fork_last_cow_size", 0);
    out.add("aof_current_size", status.bytes_total);
    out.add("aof_base_size", status.bytes_live);
    out.add("aof_pending_rewrite", 0);
    out.add("aof_buffer_length", status.appended - status.written);
    out.add("aof_pending_bio_fsync", u8::from(status.durable < status.written));
    out.add("aof_delayed_fsync", 0);
}

fn stats(ctx: &Subject<'_>, out: &mut Fields) {
    let stats = &ctx.node.stats;
    let [commands, input, output, cycles, cycle_nanoseconds] = stats.rates.per_second();
    let kilobytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    out.add("total_connections_received", stats.connections.get());
    out.add("total_commands_processed", stats.commands.total_calls());
    out.add("instantaneous_ops_per_sec", commands);
    out.add("total_net_input_bytes", stats.input_bytes.get());
    out.add("total_net_output_bytes", stats.output_bytes.get());
    out.add("total_net_repl_input_bytes", 0);
    out.add("total_net_repl_output_bytes", 0);
    out.add("instantaneous_input_kbps", kilobytes(input));
    out.add("instantaneous_output_kbps", kilobytes(output));
    out.add("instantaneous_input_repl_kbps", "0.00");
    out.add("instantaneous_output_repl_kbps", "0.00");
    out.add("rejected_connections", stats.rejected_connections.get());
    for name in ["sync_full", "sync_partial_ok", "sync_partial_err"] {
        out.add(name, 0);
    }
    out.add("expired_keys", ctx.node.keyspace().map_or(0, |keyspace| keyspace.expired_keys()));
    out.add("expired_stale_perc", "0.00");
    out.add("expired_time_cap_reached_count", 0);
    out.add("expire_cycle_cpu_milliseconds", stats.expiry_nanoseconds.get() / 1_000_000);
    out.add("evicted_keys", ctx.node.keyspace().map_or(0, |keyspace| keyspace.evicted_keys()));
    out.add("evicted_clients", stats.evicted_clients.get());
    let (exceeded, exceeding) = stats.memory.exceeded();
    out.add("total_eviction_exceeded_time", exceeded.as_millis());
    out.add("current_eviction_exceeded_time", exceeding.as_millis());
    out.add("keyspace_hits", stats.hits.get());
    out.add("keyspace_misses", stats.misses.get());
    let pubsub = &ctx.node.pubsub;
    out.add("pubsub_channels", pubsub.count(Space::Channel));
    out.add("pubsub_patterns", pubsub.count(Space::Pattern));
    out.add("pubsubshard_channels", pubsub.count(Space::Shard));
    let none = [
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
    ];
    for name in none {
        out.add(name, 0);
    }
    let tracking = ctx.node.tracking.counts();
    out.add("tracking_total_keys", tracking.keys);
    out.add("tracking_total_items", tracking.items);
    out.add("tracking_total_prefixes", tracking.prefixes);
    out.add("unexpected_error_replies", 0);
    out.add("total_error_replies", stats.errors.total());
    out.add("dump_payload_sanitizations", 0);
    out.add("total_reads_processed", stats.reads.get());
    out.add("total_writes_processed", stats.writes.get());
    out.add("io_threaded_reads_processed", 0);
    out.add("io_threaded_writes_processed", 0);
    out.add("client_query_buffer_limit_disconnections", stats.query_limit_disconnections.get());
    out.add("client_output_buffer_limit_disconnections", stats.output_limit_disconnections.get());
    // Reply buffers do not change their size on a schedule.
    out.add("reply_buffer_shrinks", 0);
    out.add("reply_buffer_expands", 0);
    out.add("eventloop_cycles", stats.cycles.get());
    out.add("eventloop_duration_sum", stats.cycle_nanoseconds.get() / 1000);
    out.add("eventloop_duration_cmd_sum", stats.commands.total_nanoseconds() / 1000);
    out.add("instantaneous_eventloop_cycles_per_sec", cycles);
    out.add("instantaneous_eventloop_duration_usec", cycle_nanoseconds / 1000 / cycles.max(1));
    for (name, reason) in
        [("auth", Reason::Auth), ("cmd", Reason::Command), ("key", Reason::Key), ("channel", Reason::Channel)]
    {
        out.add(&format!("acl_access_denied_{name}"), ctx.node.acl.log.count(reason));
    }
}

fn replication(ctx: &Subject<'_>, out: &mut Fields) {
    let appended = ctx.node.keyspace().map_or(0, |keyspace| keyspace.store().appended());
    out.add("role", "master");
    out.add("connected_slaves", 0);
    out.add("master_failover_state", "no-failover");
    out.add("master_replid", &ctx.node.run_id);
    out.add("master_replid2", "0".repeat(40));
    out.add("master_repl_offset", appended);
    out.add("second_repl_offset", -1);
    out.add("repl_backlog_active", 0);
    out.add("repl_backlog_size", ctx.node.config.get().text("repl-backlog-size").unwrap_or_default());
    out.add("repl_backlog_first_byte_offset", 0);
    out.add("repl_backlog_histlen", 0);
}

fn cpu(_: &Subject<'_>, out: &mut Fields) {
    let process = cpu_seconds("/proc/self/stat");
    let main = cpu_seconds(&format!("/proc/self/task/{}/stat", std::process::id()));
    out.add("used_cpu_sys", &process[1]);
    out.add("used_cpu_user", &process[0]);
    out.add("used_cpu_sys_children", &process[3]);
    out.add("used_cpu_user_children", &process[2]);
    out.add("used_cpu_sys_main_thread", &main[1]);
    out.add("used_cpu_user_main_thread", &main[0]);
}

/// In the user's mode and in the system's, of its own and of its children.
fn cpu_seconds(path: &str) -> [String; 4] {
    let ticks = std::fs::read_to_string(path).unwrap_or_default();
    // The name in parentheses may hold anything; the times begin with the 12th field behind it.
    let behind = ticks.rsplit(')').next().unwrap_or_default();
    let fields: Vec<u64> = behind.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    let per_second = rustix::param::clock_ticks_per_second().max(1) as f64;
    std::array::from_fn(|at| format!("{:.6}", fields.get(11 + at).copied().unwrap_or(0) as f64 / per_second))
}

fn commandstats(ctx: &Subject<'_>, out: &mut Fields) {
    for row in ctx.registry.rows() {
        let counters = ctx.node.stats.commands.get(row.index);
        let (calls, microseconds) = (counters.calls.get(), counters.nanoseconds.get() / 1000);
        let (rejected, failed) = (counters.rejected.get(), counters.failed.get());
        if calls + rejected + failed > 0 {
            let mean = counters.nanoseconds.get() as f64 / 1000.0 / calls.max(1) as f64;
            out.add(
                &format!("cmdstat_{}", row.name),
                format!(
                    "calls={calls},usec={microseconds},usec_per_call={mean:.2},rejected_calls={rejected},failed_calls={failed}"
                ),
            );
        }
    }
}

fn errorstats(ctx: &Subject<'_>, out: &mut Fields) {
    for (code, count) in ctx.node.stats.errors.by_code() {
        out.add(&format!("errorstat_{code}"), format!("count={count}"));
    }
}

fn latencystats(ctx: &Subject<'_>, out: &mut Fields) {
    let settings = ctx.node.config.get();
    for row in ctx.registry.rows() {
        let counts = ctx.node.stats.commands.get(row.index).histogram.snapshot();
        if counts.total() > 0 {
            let microseconds = |percent| counts.percentile(percent) as f64 / 1000.0;
            let percentiles = settings.latency_tracking_info_percentiles.each();
            let texts: Vec<String> =
                percentiles.map(|(text, percent)| format!("p{text}={:.3}", microseconds(percent))).collect();
            out.add(&format!("latency_percentiles_usec_{}", row.name), texts.join(","));
        }
    }
}

fn cluster(_: &Subject<'_>, out: &mut Fields) {
    out.add("cluster_enabled", 0);
}

fn keyspace(ctx: &Subject<'_>, out: &mut Fields) {
    let Some(keyspace) = ctx.node.keyspace() else { return };
    for database in 0..keyspace.databases() {
        let size = keyspace.size(database);
        if size.keys > 0 {
            out.add(
                &format!("db{database}"),
                format!(
                    "keys={},expires={},avg_ttl={}",
                    size.keys,
                    size.volatile,
                    keyspace.mean_time_to_live(database)
                ),
            );
        }
    }
}

fn caskade(ctx: &Subject<'_>, out: &mut Fields) {
    let Some(keyspace) = ctx.node.keyspace() else { return };
    let (status, memory) = (keyspace.store().status(), keyspace.memory_use());
    out.add("log_segments", status.segments);
    out.add("log_bytes", status.bytes_total);
    out.add("log_live_bytes", status.bytes_live);
    out.add("log_dead_bytes", status.bytes_dead);
    out.add("log_appended", status.appended);
    out.add("log_appended_bytes", status.bytes_appended);
    out.add("log_written", status.written);
    out.add("log_durable", status.durable);
    out.add("log_sequence", status.sequence);
    out.add("log_window_bytes", status.window_bytes);
    out.add("log_writes", status.writes);
    out.add("log_syncs", status.syncs);
    out.add("log_failed_writes", status.failed_writes);
    out.add("log_failed_syncs", status.failed_syncs);
    out.add("log_disk_bytes", status.bytes_disk);
    out.add("log_disk_bytes_max", status.bytes_disk_max);
    let compaction = keyspace.store().compaction_status();
    let ratio = |part: u64, whole: u64| if whole == 0 { 1.0 } else { part as f64 / whole as f64 };
    out.add("space_amplification", format!("{:.3}", ratio(status.bytes_disk, status.bytes_live)));
    let written = status.bytes_appended + compaction.bytes_written;
    out.add("write_amplification", format!("{:.3}", ratio(written, status.bytes_appended)));
    out.add("compaction_running", u8::from(compaction.running));
    out.add("compaction_passes", compaction.passes);
    out.add("compaction_failed", compaction.failed);
    out.add("compaction_written_bytes", compaction.bytes_written);
    out.add("compaction_removed_bytes", compaction.bytes_removed);
    out.add("compaction_last_seconds", format!("{:.3}", compaction.last_seconds.unwrap_or(0.0)));
    out.add("compaction_damaged_segments", compaction.damaged_segments);
    let retained = keyspace.store().retained();
    out.add("retained_segments", retained.segments);
    out.add("retained_bytes", retained.bytes);
    out.add("oldest_moment_sequence", retained.oldest_sequence);
    out.add("oldest_moment_time", retained.oldest_time / 1000);
    let (used, clients) = (allocator::allocated(), ctx.node.clients.memory_bytes());
    out.add("memory_counted", used);
    // The next five are what it consists of.
    out.add("memory_index", memory.bare());
    out.add("memory_cached_values", memory.values);
    out.add("memory_log_buffer", status.window_bytes);
    out.add("memory_clients", clients);
    let other = used.saturating_sub(memory.total() + status.window_bytes + clients);
    out.add("memory_other", other);
    out.add("memory_allocator", allocator::resident().all.saturating_sub(used));
    out.add("memory_full", u8::from(keyspace.is_out_of_memory()));
    out.add("keydir_entry_bytes", memory.entries);
    out.add("keydir_table_bytes", memory.tables);
    out.add("cold_reads", keyspace.cold_reads());
    let stats = &ctx.node.stats;
    let (page_cache, disk) = (stats.page_cache_hits.get(), stats.disk_hits.get());
    out.add("hits_memory", stats.hits.get().saturating_sub(page_cache + disk));
    out.add("hits_page_cache", page_cache);
    out.add("hits_disk", disk);
    let warmth = keyspace.warmth();
    out.add("warm_restart_running", u8::from(warmth.is_running));
    out.add("warm_restart_named", warmth.named);
    out.add("warm_restart_values", warmth.values);
    out.add("warm_restart_bytes", warmth.bytes);
    out.add("warm_restart_seconds", format!("{:.3}", warmth.duration.as_secs_f64()));
    out.add("hot_file_values", warmth.file.values);
    out.add("hot_file_bytes", warmth.file.bytes);
    out.add("hot_file_seconds", format!("{:.3}", warmth.file.duration.as_secs_f64()));
    out.add("expiry_overdue_ms", keyspace.overdue());
}

fn human(bytes: u64) -> String {
    let units = ["B", "K", "M", "G", "T"];
    let step = (0..units.len()).rev().find(|step| bytes >= 1 << (10 * step)).unwrap_or(0);
    match step {
        0 => format!("{bytes}B"),
        step => format!("{:.2}{}", bytes as f64 / (1u64 << (10 * step)) as f64, units[step]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_told_as_redis_7_2_tells_them() {
        let mut settings = Settings::default();
        assert_eq!(listeners(&settings), ["name=tcp,bind=127.0.0.1,bind=-::1,port=6379"]);
        settings.port = 0;
        settings.unixsocket = Some("/run/caskade.sock".into());
        settings.tls_port = 6390;
        let tls = "name=tls,bind=127.0.0.1,bind=-::1,port=6390";
        assert_eq!(listeners(&settings), ["name=unix,bind=/run/caskade.sock", tls]);
    }

    #[test]
    fn bytes_are_told_for_people_as_in_redis() {
        let cases =
            [(0, "0B"), (1023, "1023B"), (1536, "1.50K"), (5 << 20, "5.00M"), (3 << 30, "3.00G"), (1 << 40, "1.00T")];
        for (bytes, text) in cases {
            assert_eq!(human(bytes), text);
        }
    }
}
