//! The directives of Redis 7.2 that mean nothing here, so that an existing redis.conf boots and tools get their answers.
//!
//! Names, value forms and defaults are facts about Redis. A value that asks for something users would miss
//! (encryption, a replica) is refused rather than ignored.

use super::kind::Kind;
use super::table::{Parameter, Section, Standing};

const SNAPSHOTS: &str = "there are no snapshots to tune: every write is in the log";
const LOG: &str = "the log is always on and compacts itself";
const REPLICATION: &str = "this server does not replicate";
const CLUSTER: &str = "this server does not join a cluster";
const CURVES: &str = "TLS keys are agreed on over elliptic curves alone";
const ENCODING: &str = "values are packed by rules of their own";
const FREEING: &str = "memory is always freed in the background";
const DEFRAGMENTATION: &str = "the allocator is not defragmented by the server";
const TIMERS: &str = "background work sets its own pace";
const THREADS: &str = "`worker-threads` sets the number of threads";
const SCRIPTS: &str = "this server does not run scripts or modules";
const PROCESS: &str = "the process is left to whoever started it";
const CRASHES: &str = "a crash is reported in the log";
const EVICTION: &str = "eviction needs no tuning beyond `maxmemory-samples`";
const CLIENTS: &str = "clients are bounded by `client-output-buffer-limit` and `maxclients`";

const FLAG: Kind = Kind::Flag;
const COUNT: Kind = Kind::Integer { min: 0, max: i64::MAX };
const SMALL: Kind = Kind::Integer { min: 0, max: i32::MAX as i64 };
const POSITIVE: Kind = Kind::Integer { min: 1, max: i32::MAX as i64 };
const PORT: Kind = Kind::Integer { min: 0, max: 65535 };
const SIZE: Kind = Kind::Memory { min: 0, max: u64::MAX };
const TEXT: Kind = Kind::Text;
const SIGNAL: Kind = Kind::Words;

const fn fixed(name: &'static str, kind: Kind, default: &'static str, why: &'static str) -> Parameter {
    let mut row = Parameter::new(Section::Accepted, name, kind, default, "");
    row.standing = Standing::Accepted(why);
    row
}

const fn live(name: &'static str, kind: Kind, default: &'static str, why: &'static str) -> Parameter {
    fixed(name, kind, default, why).live()
}

const fn off_only(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    off: &'static [&'static str],
    instead: &'static str,
) -> Parameter {
    let mut row = Parameter::new(Section::Accepted, name, kind, default, "");
    row.standing = Standing::OffOnly { off, instead };
    row
}

const fn refused(name: &'static str, instead: &'static str) -> Parameter {
    let mut row = Parameter::new(Section::Accepted, name, Kind::Words, "", "");
    row.standing = Standing::Refused(instead);
    row
}

impl Parameter {
    const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = alias;
        self
    }
}

/// The rows, by the part of Redis they belong to.
pub(super) const ACCEPTED: &[Parameter] = &[
    live("save", Kind::SavePoints, "3600 1 300 100 60 10000", SNAPSHOTS),
    live("stop-writes-on-bgsave-error", FLAG, "yes", SNAPSHOTS),
    live("rdbcompression", FLAG, "yes", SNAPSHOTS),
    live("rdb-del-sync-files", FLAG, "no", SNAPSHOTS),
    live("rdb-save-incremental-fsync", FLAG, "yes", SNAPSHOTS),
    live("sanitize-dump-payload", Kind::Choice(&["no", "yes", "clients"]), "no", SNAPSHOTS),
    fixed("rdbchecksum", FLAG, "yes", SNAPSHOTS),
    fixed("dbfilename", TEXT, "dump.rdb", SNAPSHOTS).guarded(),
    live("appendonly", FLAG, "no", LOG),
    live("no-appendfsync-on-rewrite", FLAG, "no", LOG),
    live("auto-aof-rewrite-percentage", SMALL, "100", LOG),
    live("auto-aof-rewrite-min-size", SIZE, "64mb", LOG),
    live("aof-load-truncated", FLAG, "yes", LOG),
    live("aof-use-rdb-preamble", FLAG, "yes", LOG),
    live("aof-timestamp-enabled", FLAG, "no", LOG),
    live("aof-rewrite-incremental-fsync", FLAG, "yes", LOG),
    live("aof-disable-auto-gc", FLAG, "no", LOG),
    fixed("appendfilename", TEXT, "appendonly.aof", LOG),
    fixed("appenddirname", TEXT, "appendonlydir", LOG),
    live("masteruser", TEXT, "", REPLICATION),
    live("replica-serve-stale-data", FLAG, "yes", REPLICATION).alias("slave-serve-stale-data"),
    live("replica-read-only", FLAG, "yes", REPLICATION).alias("slave-read-only"),
    live("repl-diskless-sync", FLAG, "yes", REPLICATION),
    live("repl-diskless-sync-delay", SMALL, "5", REPLICATION),
    live("repl-diskless-sync-max-replicas", SMALL, "0", REPLICATION),
    live("repl-diskless-load", Kind::Choice(&["disabled", "on-empty-db", "swapdb"]), "disabled", REPLICATION),
    live("repl-disable-tcp-nodelay", FLAG, "no", REPLICATION),
    live("repl-ping-replica-period", POSITIVE, "10", REPLICATION).alias("repl-ping-slave-period"),
    live("repl-timeout", POSITIVE, "60", REPLICATION),
    live("repl-backlog-size", SIZE, "1mb", REPLICATION),
    live("repl-backlog-ttl", COUNT, "3600", REPLICATION),
    live("replica-priority", SMALL, "100", REPLICATION).alias("slave-priority"),
    live("replica-announced", FLAG, "yes", REPLICATION),
    live("replica-announce-ip", TEXT, "", REPLICATION).alias("slave-announce-ip"),
    live("replica-announce-port", PORT, "0", REPLICATION).alias("slave-announce-port"),
    live("replica-ignore-maxmemory", FLAG, "yes", REPLICATION).alias("slave-ignore-maxmemory"),
    live("replica-lazy-flush", FLAG, "no", REPLICATION).alias("slave-lazy-flush"),
    live("replica-ignore-disk-write-errors", FLAG, "no", REPLICATION),
    live("min-replicas-max-lag", SMALL, "10", REPLICATION).alias("min-slaves-max-lag"),
    live("propagation-error-behavior", Kind::Choice(&["ignore", "panic", "panic-on-replicas"]), "ignore", REPLICATION),
    live("masterauth", TEXT, "", REPLICATION).secret(),
    off_only("replicaof", Kind::Words, "", &["", "no one", "NO ONE"], NO_REPLICA).alias("slaveof"),
    off_only("min-replicas-to-write", SMALL, "0", &["0"], NO_REPLICAS).live().alias("min-slaves-to-write"),
    off_only("cluster-enabled", FLAG, "no", &["no"], NO_CLUSTER),
    fixed("cluster-config-file", TEXT, "nodes.conf", CLUSTER),
    fixed("cluster-port", PORT, "0", CLUSTER),
    live("cluster-node-timeout", COUNT, "15000", CLUSTER),
    live("cluster-announce-ip", TEXT, "", CLUSTER),
    live("cluster-announce-port", PORT, "0", CLUSTER),
    live("cluster-announce-bus-port", PORT, "0", CLUSTER),
    live("cluster-announce-tls-port", PORT, "0", CLUSTER),
    live("cluster-announce-hostname", TEXT, "", CLUSTER),
    live("cluster-announce-human-nodename", TEXT, "", CLUSTER),
    live("cluster-preferred-endpoint-type", Kind::Choice(&["ip", "hostname", "unknown-endpoint"]), "ip", CLUSTER),
    live("cluster-migration-barrier", SMALL, "1", CLUSTER),
    live("cluster-allow-replica-migration", FLAG, "yes", CLUSTER),
    live("cluster-replica-validity-factor", SMALL, "10", CLUSTER).alias("cluster-slave-validity-factor"),
    live("cluster-replica-no-failover", FLAG, "no", CLUSTER).alias("cluster-slave-no-failover"),
    live("cluster-require-full-coverage", FLAG, "yes", CLUSTER),
    live("cluster-allow-reads-when-down", FLAG, "no", CLUSTER),
    live("cluster-allow-pubsubshard-when-down", FLAG, "yes", CLUSTER),
    live("cluster-link-sendbuf-limit", SIZE, "0", CLUSTER),
    live("tls-replication", FLAG, "no", REPLICATION),
    live("tls-cluster", FLAG, "no", CLUSTER),
    live("tls-dh-params-file", TEXT, "", CURVES),
    live("hash-max-listpack-entries", COUNT, "512", ENCODING).alias("hash-max-ziplist-entries"),
    live("hash-max-listpack-value", SIZE, "64", ENCODING).alias("hash-max-ziplist-value"),
    live("list-max-listpack-size", Kind::Integer { min: i32::MIN as i64, max: i32::MAX as i64 }, "-2", ENCODING)
        .alias("list-max-ziplist-size"),
    live("list-compress-depth", SMALL, "0", ENCODING),
    live("list-max-ziplist-entries", COUNT, "512", ENCODING),
    live("list-max-ziplist-value", SIZE, "64", ENCODING),
    live("set-max-intset-entries", COUNT, "512", ENCODING),
    live("set-max-listpack-entries", COUNT, "128", ENCODING),
    live("set-max-listpack-value", SIZE, "64", ENCODING),
    live("zset-max-listpack-entries", COUNT, "128", ENCODING).alias("zset-max-ziplist-entries"),
    live("zset-max-listpack-value", SIZE, "64", ENCODING).alias("zset-max-ziplist-value"),
    live("hll-sparse-max-bytes", SIZE, "3000", ENCODING),
    live("stream-node-max-bytes", SIZE, "4096", ENCODING),
    live("stream-node-max-entries", COUNT, "100", ENCODING),
    live("lazyfree-lazy-eviction", FLAG, "no", FREEING),
    live("lazyfree-lazy-expire", FLAG, "no", FREEING),
    live("lazyfree-lazy-server-del", FLAG, "no", FREEING),
    live("lazyfree-lazy-user-del", FLAG, "no", FREEING),
    live("lazyfree-lazy-user-flush", FLAG, "no", FREEING),
    live("activedefrag", FLAG, "no", DEFRAGMENTATION),
    live("active-defrag-cycle-min", Kind::Integer { min: 1, max: 99 }, "1", DEFRAGMENTATION),
    live("active-defrag-cycle-max", Kind::Integer { min: 1, max: 99 }, "25", DEFRAGMENTATION),
    live("active-defrag-threshold-lower", Kind::Integer { min: 0, max: 1000 }, "10", DEFRAGMENTATION),
    live("active-defrag-threshold-upper", Kind::Integer { min: 0, max: 1000 }, "100", DEFRAGMENTATION),
    live("active-defrag-ignore-bytes", SIZE, "100mb", DEFRAGMENTATION),
    live("active-defrag-max-scan-fields", Kind::Integer { min: 1, max: i64::MAX }, "1000", DEFRAGMENTATION),
    live("jemalloc-bg-thread", FLAG, "yes", DEFRAGMENTATION),
    live("hz", SMALL, "10", TIMERS),
    live("dynamic-hz", FLAG, "yes", TIMERS),
    live("activerehashing", FLAG, "yes", TIMERS),
    live("active-expire-effort", Kind::Integer { min: 1, max: 10 }, "1", TIMERS),
    fixed("io-threads", Kind::Integer { min: 1, max: 128 }, "1", THREADS),
    fixed("io-threads-do-reads", FLAG, "no", THREADS),
    fixed("server_cpulist", TEXT, "", THREADS).alias("server-cpulist"),
    fixed("bio_cpulist", TEXT, "", THREADS).alias("bio-cpulist"),
    fixed("aof_rewrite_cpulist", TEXT, "", THREADS).alias("aof-rewrite-cpulist"),
    fixed("bgsave_cpulist", TEXT, "", THREADS).alias("bgsave-cpulist"),
    live("busy-reply-threshold", COUNT, "5000", SCRIPTS).alias("lua-time-limit"),
    live("lua-replicate-commands", FLAG, "yes", SCRIPTS),
    fixed("enable-module-command", Kind::Choice(&["no", "yes", "local"]), "no", SCRIPTS),
    fixed("enable-protected-configs", Kind::Choice(&["no", "yes", "local"]), "no", SCRIPTS),
    refused("loadmodule", NO_MODULES),
    refused("rename-command", NO_RENAMING),
    live("maxmemory-clients", Kind::MemoryOrPercent, "0", CLIENTS),
    live("bind-source-addr", TEXT, "", CLIENTS),
    live("max-new-connections-per-cycle", Kind::Integer { min: 1, max: 1000 }, "10", CLIENTS),
    live("max-new-tls-connections-per-cycle", Kind::Integer { min: 1, max: 1000 }, "1", CLIENTS),
    fixed("socket-mark-id", Kind::Integer { min: 0, max: u32::MAX as i64 }, "0", CLIENTS),
    live("maxmemory-eviction-tenacity", Kind::Integer { min: 0, max: 100 }, "10", EVICTION),
    live("lfu-log-factor", SMALL, "10", EVICTION),
    live("lfu-decay-time", SMALL, "1", EVICTION),
    // Debian's own redis.conf says yes: such a file must boot, and staying in the foreground harms nobody.
    fixed("daemonize", FLAG, "no", PROCESS),
    fixed("supervised", Kind::Choice(&["upstart", "systemd", "auto", "no"]), "no", PROCESS),
    fixed("always-show-logo", FLAG, "no", PROCESS),
    fixed("set-proc-title", FLAG, "yes", PROCESS),
    fixed("disable-thp", FLAG, "yes", PROCESS),
    fixed("syslog-enabled", FLAG, "no", PROCESS),
    fixed("syslog-ident", TEXT, "redis", PROCESS),
    fixed("syslog-facility", Kind::Choice(SYSLOG), "local0", PROCESS),
    live("proc-title-template", TEXT, "{title} {listen-addr} {server-mode}", PROCESS),
    live("locale-collate", TEXT, "", PROCESS),
    live("oom-score-adj", Kind::Choice(&["no", "yes", "relative", "absolute"]), "no", PROCESS),
    live("oom-score-adj-values", Kind::Words, "0 200 800", PROCESS),
    live("shutdown-timeout", SMALL, "10", PROCESS),
    live("shutdown-on-sigint", SIGNAL, "default", PROCESS),
    live("shutdown-on-sigterm", SIGNAL, "default", PROCESS),
    live("ignore-warnings", TEXT, "", PROCESS),
    live("crash-log-enabled", FLAG, "yes", CRASHES),
    live("crash-memcheck-enabled", FLAG, "yes", CRASHES),
];

const SYSLOG: &[&str] = &["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"];

const NO_REPLICA: &str = "this server cannot be a replica; remove the line, or copy the data over with a client";
const NO_REPLICAS: &str = "this server has no replicas, so a minimum of them would refuse every write; set it to 0";
const NO_CLUSTER: &str =
    "this server does not join a cluster; set it to no, and let clients connect without cluster mode";
const NO_MODULES: &str = "modules cannot be loaded here; remove the line";
const NO_RENAMING: &str = "commands cannot be renamed or disabled yet, and ignoring the line would leave them open; \
    remove the line if that is acceptable";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::{Loader, Place};
    use crate::config::table::find;

    const REDIS: &str = include_str!("../../tests/data/redis-7.0-parameters.tsv");

    fn parameters() -> impl Iterator<Item = (&'static str, &'static str)> {
        REDIS.lines().filter_map(|line| line.split_once('\t'))
    }

    #[test]
    fn every_parameter_of_redis_is_known_with_its_default() {
        assert!(parameters().count() > 190);
        for (name, default) in parameters() {
            let row = find(name).unwrap_or_else(|| panic!("{name} is not known"));
            assert!(row.standing == Standing::Used || row.default_text() == default, "{name} {default}");
        }
        for (name, default) in
            [("set-max-listpack-entries", "128"), ("set-max-listpack-value", "64"), ("locale-collate", "")]
        {
            assert_eq!(find(name).map(Parameter::default_text), Some(default), "added by 7.2: {name}");
        }
    }

    #[test]
    fn a_file_that_spells_out_redis_defaults_boots() {
        let mut loader = Loader::new(|_, _, _| false);
        for (name, default) in parameters() {
            loader.directive(name, &[default.to_owned()], Place::CommandLine, 0).unwrap();
        }
        let (settings, notes) = loader.finish().unwrap();
        assert_eq!((settings.port, settings.text("hz"), notes.len()), (6379, Some("10"), 2));
    }
}
