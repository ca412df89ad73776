//! INFO: sections of fields, with true values.

use std::fmt::{Display, Write as _};

use crate::allocator;
use crate::commands::connection::REDIS_VERSION;
use crate::commands::{Args, Context, Outcome};
use crate::protocol::Reply;

type Section = fn(&Context<'_, '_>, &mut Fields);

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

#[derive(Default)]
struct Fields(String);

impl Fields {
    fn add(&mut self, name: &str, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }
}

pub(super) fn info(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    let asked: Vec<String> = args.rest().map(|word| String::from_utf8_lossy(word).to_lowercase()).collect();
    let asks = |name: &str| asked.iter().any(|word| word == name);
    let everything = asks("all") || asks("everything");
    let defaults = asked.is_empty() || asks("default");
    let mut text = String::new();
    for (name, section, by_default) in SECTIONS {
        if everything || defaults && *by_default || asks(&name.to_lowercase()) {
            let mut fields = Fields::default();
            section(ctx, &mut fields);
            let separator = if text.is_empty() { "" } else { "\r\n" };
            text += &format!("{separator}# {name}\r\n{}", fields.0);
        }
    }
    Ok(Reply::Verbatim("txt", text))
}

fn server(ctx: &Context<'_, '_>, out: &mut Fields) {
    let node = ctx.node;
    let settings = node.config.get();
    let system = rustix::system::uname();
    let word = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let uptime = node.wall_now().saturating_sub(node.started()) / 1000;
    out.add("redis_version", REDIS_VERSION);
    out.add("caskade_version", env!("CARGO_PKG_VERSION"));
    out.add("server_name", "caskade");
    out.add("redis_mode", "standalone");
    out.add("os", format!("{} {} {}", word(system.sysname()), word(system.release()), word(system.machine())));
    out.add("arch_bits", usize::BITS);
    out.add("process_id", std::process::id());
    out.add("run_id", &node.run_id);
    out.add("tcp_port", settings.port);
    out.add("server_time_usec", node.wall_microseconds());
    out.add("uptime_in_seconds", uptime);
    out.add("uptime_in_days", uptime / 86_400);
    let executable = std::env::current_exe().map(|path| path.display().to_string());
    out.add("executable", executable.unwrap_or_default());
    let file = node.config.file().map(|path| path.display().to_string());
    out.add("config_file", file.unwrap_or_default());
}

fn clients(ctx: &Context<'_, '_>, out: &mut Fields) {
    out.add("connected_clients", ctx.node.clients.count());
    out.add("maxclients", ctx.node.config.get().maxclients);
    out.add("blocked_clients", 0);
    out.add("total_watched_keys", ctx.node.keyspace().map_or(0, |keyspace| keyspace.watched()));
}

fn memory(ctx: &Context<'_, '_>, out: &mut Fields) {
    let used = allocator::allocated();
    let Resident { all: resident, own } = Resident::now();
    let settings = ctx.node.config.get();
    out.add("used_memory", used);
    out.add("used_memory_human", human(used));
    out.add("used_memory_rss", resident);
    out.add("used_memory_rss_human", human(resident));
    let keys = ctx.node.keyspace().map(|keyspace| keyspace.memory_use()).unwrap_or_default();
    out.add("used_memory_dataset", keys.entries);
    out.add("used_memory_overhead", used.saturating_sub(keys.entries));
    // As in Redis where its allocator does not tell them apart.
    out.add("allocator_active", own);
    out.add("allocator_resident", own);
    out.add("maxmemory", settings.maxmemory);
    out.add("maxmemory_human", human(settings.maxmemory));
    out.add("maxmemory_policy", settings.maxmemory_policy.word());
    out.add("mem_fragmentation_ratio", format!("{:.2}", resident as f64 / used.max(1) as f64));
    out.add("mem_allocator", allocator::name());
}

fn persistence(ctx: &Context<'_, '_>, out: &mut Fields) {
    let loading = ctx.node.keyspace().is_none();
    out.add("loading", u8::from(loading));
    if loading {
        let (done, total) = ctx.node.loading().progress();
        let elapsed = ctx.node.wall_now().saturating_sub(ctx.node.started()) / 1000;
        out.add("loading_start_time", ctx.node.started() / 1000);
        out.add("loading_total_bytes", total);
        out.add("loading_loaded_bytes", done);
        out.add("loading_loaded_perc", format!("{:.2}", done as f64 * 100.0 / total.max(1) as f64));
        out.add("loading_eta_seconds", elapsed * total.saturating_sub(done) / done.max(1));
    }
    out.add("rdb_changes_since_last_save", 0);
    out.add("rdb_bgsave_in_progress", 0);
    out.add("rdb_last_save_time", ctx.node.last_save());
    out.add("rdb_last_bgsave_status", "ok");
    out.add("aof_enabled", 1);
    let status = ctx.node.keyspace().map(|keyspace| keyspace.store().status()).unwrap_or_default();
    let compaction = ctx.node.keyspace().map(|keyspace| keyspace.store().compaction_status()).unwrap_or_default();
    out.add("aof_rewrite_in_progress", u8::from(compaction.running));
    out.add("aof_last_rewrite_time_sec", compaction.last_seconds.map_or(-1, |seconds| seconds as i64));
    out.add("aof_last_bgrewrite_status", if compaction.failing { "err" } else { "ok" });
    out.add("aof_last_write_status", if status.refused.is_none() { "ok" } else { "err" });
    out.add("aof_current_size", status.bytes_total);
    out.add("aof_buffer_length", status.appended - status.written);
}

fn stats(ctx: &Context<'_, '_>, out: &mut Fields) {
    let stats = &ctx.node.stats;
    let [commands, input, output] = stats.rates.per_second();
    out.add("total_connections_received", stats.connections.get());
    out.add("total_commands_processed", stats.commands.total_calls());
    out.add("instantaneous_ops_per_sec", commands);
    out.add("total_net_input_bytes", stats.input_bytes.get());
    out.add("total_net_output_bytes", stats.output_bytes.get());
    out.add("instantaneous_input_kbps", format!("{:.2}", input as f64 / 1024.0));
    out.add("instantaneous_output_kbps", format!("{:.2}", output as f64 / 1024.0));
    out.add("rejected_connections", stats.rejected_connections.get());
    out.add("expired_keys", ctx.node.keyspace().map_or(0, |keyspace| keyspace.expired_keys()));
    out.add("evicted_keys", 0);
    out.add("keyspace_hits", stats.hits.get());
    out.add("keyspace_misses", stats.misses.get());
    out.add("pubsub_channels", 0);
    out.add("pubsub_patterns", 0);
    out.add("latest_fork_usec", 0);
    out.add("total_error_replies", stats.errors.total());
    out.add("client_query_buffer_limit_disconnections", stats.query_limit_disconnections.get());
    out.add("client_output_buffer_limit_disconnections", stats.output_limit_disconnections.get());
}

fn replication(ctx: &Context<'_, '_>, out: &mut Fields) {
    let appended = ctx.node.keyspace().map_or(0, |keyspace| keyspace.store().appended());
    out.add("role", "master");
    out.add("connected_slaves", 0);
    out.add("master_replid", &ctx.node.run_id);
    out.add("master_repl_offset", appended);
}

fn cpu(_: &Context<'_, '_>, out: &mut Fields) {
    let ticks = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold anything; the times are the 12th and 13th field behind it.
    let behind = ticks.rsplit(')').next().unwrap_or_default();
    let fields: Vec<u64> = behind.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    let per_second = rustix::param::clock_ticks_per_second().max(1) as f64;
    let seconds = |at: usize| format!("{:.6}", fields.get(at).copied().unwrap_or(0) as f64 / per_second);
    out.add("used_cpu_sys", seconds(12));
    out.add("used_cpu_user", seconds(11));
    out.add("used_cpu_sys_children", seconds(14));
    out.add("used_cpu_user_children", seconds(13));
}

fn commandstats(ctx: &Context<'_, '_>, out: &mut Fields) {
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

fn errorstats(ctx: &Context<'_, '_>, out: &mut Fields) {
    for (code, count) in ctx.node.stats.errors.by_code() {
        out.add(&format!("errorstat_{code}"), format!("count={count}"));
    }
}

fn latencystats(ctx: &Context<'_, '_>, out: &mut Fields) {
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

fn cluster(_: &Context<'_, '_>, out: &mut Fields) {
    out.add("cluster_enabled", 0);
}

fn keyspace(ctx: &Context<'_, '_>, out: &mut Fields) {
    let Some(keyspace) = ctx.node.keyspace() else { return };
    for database in 0..keyspace.databases() {
        let size = keyspace.size(database);
        if size.keys > 0 {
            out.add(&format!("db{database}"), format!("keys={},expires={},avg_ttl=0", size.keys, size.volatile));
        }
    }
}

fn caskade(ctx: &Context<'_, '_>, out: &mut Fields) {
    let Some(keyspace) = ctx.node.keyspace() else { return };
    let (status, memory) = (keyspace.store().status(), keyspace.memory_use());
    out.add("log_segments", status.segments);
    out.add("log_bytes", status.bytes_total);
    out.add("log_live_bytes", status.bytes_live);
    out.add("log_dead_bytes", status.bytes_dead);
    out.add("log_appended", status.appended);
    out.add("log_written", status.written);
    out.add("log_durable", status.durable);
    out.add("log_sequence", status.sequence);
    out.add("log_window_bytes", status.window_bytes);
    out.add("log_writes", status.writes);
    out.add("log_syncs", status.syncs);
    out.add("log_failed_writes", status.failed_writes);
    out.add("log_failed_syncs", status.failed_syncs);
    out.add("log_disk_bytes", status.bytes_disk);
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
    out.add("keydir_entry_bytes", memory.entries);
    out.add("keydir_table_bytes", memory.tables);
    out.add("cold_reads", keyspace.cold_reads());
}

/// Bytes of this process in the machine's memory.
struct Resident {
    all: u64,
    /// Without the pages of files, which are the program itself.
    own: u64,
}

impl Resident {
    fn now() -> Self {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages: Vec<u64> = pages.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        let bytes = |at: usize| pages.get(at).copied().unwrap_or(0) * rustix::param::page_size() as u64;
        let (all, of_files) = (bytes(1), bytes(2));
        Self { all, own: all.saturating_sub(of_files) }
    }
}

fn human(bytes: u64) -> String {
    let units = ["B", "K", "M", "G", "T"];
    let step = (0..units.len()).rev().find(|step| bytes >= 1 << (10 * step)).unwrap_or(0);
    match step {
        0 => format!("{bytes}B"),
        step => format!("{:.2}{}", bytes as f64 / (1u64 << (10 * step)) as f64, units[step]),
    }
}
