//! prometheus-redis-exporter: the metrics of the dashboards are those it gives of redis-server.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::required;
use crate::server::{Program, Server, find_on_path, free_port, wait_until};

/// What the exporter's own Grafana dashboard and alerts read.
const DASHBOARD: &[&str] = &[
    "redis_up",
    "redis_uptime_in_seconds",
    "redis_connected_clients",
    "redis_blocked_clients",
    "redis_memory_used_bytes",
    "redis_memory_max_bytes",
    "redis_mem_fragmentation_ratio",
    "redis_commands_processed_total",
    "redis_commands_total",
    "redis_commands_duration_seconds_total",
    "redis_keyspace_hits_total",
    "redis_keyspace_misses_total",
    "redis_expired_keys_total",
    "redis_evicted_keys_total",
    "redis_net_input_bytes_total",
    "redis_net_output_bytes_total",
    "redis_db_keys",
    "redis_db_keys_expiring",
    "redis_db_avg_ttl_seconds",
    "redis_connected_slaves",
    "redis_rejected_connections_total",
    "redis_rdb_last_bgsave_status",
    "redis_slowlog_length",
    "redis_instance_info",
];

/// What redis-server has and this server has not.
const ABSENT: &[(&str, &str)] =
    &[("redis_client_recent_max_output_buffer_bytes", "replies are not measured once they are sent")];

#[test]
fn finds_the_metrics_of_redis() {
    let Some(exporter) = required("prometheus-redis-exporter", find_on_path("prometheus-redis-exporter")) else {
        return;
    };
    let ours = metrics(&exporter, Program::Caskade);
    for name in DASHBOARD {
        assert!(names(&ours).contains(name), "no {name} in\n{ours}");
    }
    let value = |line: &str| ours.lines().find_map(|found| found.strip_prefix(line)?.trim().parse::<f64>().ok());
    assert_eq!(value("redis_up"), Some(1.0));
    assert_eq!(value("redis_exporter_last_scrape_error{err=\"\"}"), Some(0.0), "{ours}");
    assert_eq!(value("redis_db_keys{db=\"db0\"}"), Some(2.0));
    assert_eq!(value("redis_db_keys_expiring{db=\"db0\"}"), Some(1.0));
    let time_to_live = value("redis_db_avg_ttl_seconds{db=\"db0\"}").expect("a mean time to live");
    assert!((990.0..=1000.0).contains(&time_to_live), "{time_to_live}");
    assert_eq!(value("redis_commands_total{cmd=\"get\"}"), Some(2.0));
    assert_eq!(value("redis_keyspace_hits_total"), Some(1.0));
    assert_eq!(value("redis_memory_max_bytes"), Some(0.0));
    assert!(ours.contains("redis_version=\"7.4.0\"") && ours.contains("role=\"master\""), "{ours}");
    let Some(oracle) = Program::oracle() else { return };
    let theirs = metrics(&exporter, oracle);
    let absent: Vec<&str> = names(&theirs).difference(&names(&ours)).copied().collect();
    let unknown: Vec<&str> = absent.into_iter().filter(|name| !ABSENT.iter().any(|(known, _)| known == name)).collect();
    assert!(unknown.is_empty(), "redis-server has {}", unknown.join(", "));
}

fn names(metrics: &str) -> BTreeSet<&str> {
    let lines = metrics.lines().filter(|line| line.starts_with("redis_"));
    lines.filter_map(|line| line.split(['{', ' ']).next()).collect()
}

/// What the exporter says of a server that has done a little of everything.
fn metrics(exporter: &std::path::Path, program: Program) -> String {
    let server = Server::start(program, &[]);
    let mut connection = server.connect();
    for line in ["SET a 1", "SET b 2 EX 1000", "GET a", "GET nosuch"] {
        connection.ask(&line.split(' ').collect::<Vec<_>>());
    }
    assert!(connection.call(&["NOSUCH"]).is_ok());
    let port = free_port();
    let _exporter = Running::start(exporter, server.port(), port);
    let mut text = String::new();
    wait_until("the exporter to answer", Duration::from_secs(20), || {
        text = page(port).unwrap_or_default();
        text.contains("redis_up 1")
    });
    text
}

fn page(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// An exporter that ends with its test.
struct Running(Child);

impl Running {
    fn start(exporter: &std::path::Path, server: u16, port: u16) -> Running {
        let mut command = Command::new(exporter);
        command.arg(format!("-redis.addr=redis://127.0.0.1:{server}"));
        command.arg(format!("-web.listen-address=127.0.0.1:{port}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Running(command.spawn().expect("to start the exporter"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
