//! prometheus-redis-exporter: the metrics of the dashboards are those it gives of redis-server.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::required;
use crate::server::{Program, Server, find_on_path, free_port, wait_until};
use crate::watching::{format, http, watched};

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
    assert!(absent.is_empty(), "redis-server has {}", absent.join(", "));
}

/// Of single keys and of those that match a pattern: how large each is, whatever it holds, and how many there are.
#[test]
fn finds_the_sizes_of_keys() {
    let Some(exporter) = required("prometheus-redis-exporter", find_on_path("prometheus-redis-exporter")) else {
        return;
    };
    for program in [Some(Program::Caskade), Program::oracle()].into_iter().flatten() {
        let server = Server::start(program, &[]);
        let mut connection = server.connect();
        for line in [
            "SET check:text hello",
            "SET check:number 42",
            "RPUSH check:list a b c",
            "HSET check:hash a 1 b 2",
            "SADD check:set a b c d",
            "ZADD check:zset 1 a 2 b 3 c 4 d 5 e",
            "SET other 1",
            "SELECT 3",
            "RPUSH single a b",
        ] {
            connection.ask(&line.split(' ').collect::<Vec<_>>());
        }
        let more =
            ["-check-keys=db0=check:*", "-check-single-keys=db3=single,db0=nosuch", "-count-keys=db0=check:*,db3=*"];
        let found = scrape(&exporter, &server, &more);
        let kinds = ["redis_key_size{", "redis_key_value", "redis_keys_count{"];
        let mut lines: Vec<&str> =
            found.lines().filter(|line| kinds.iter().any(|kind| line.starts_with(kind))).collect();
        lines.sort_unstable();
        let expected = [
            "redis_key_size{db=\"db0\",key=\"check:hash\"} 2",
            "redis_key_size{db=\"db0\",key=\"check:list\"} 3",
            "redis_key_size{db=\"db0\",key=\"check:number\"} 2",
            "redis_key_size{db=\"db0\",key=\"check:set\"} 4",
            "redis_key_size{db=\"db0\",key=\"check:text\"} 5",
            "redis_key_size{db=\"db0\",key=\"check:zset\"} 5",
            "redis_key_size{db=\"db0\",key=\"nosuch\"} 0",
            "redis_key_size{db=\"db3\",key=\"single\"} 2",
            "redis_key_value_as_string{db=\"db0\",key=\"check:text\",val=\"hello\"} 1",
            "redis_key_value{db=\"db0\",key=\"check:number\"} 42",
            "redis_keys_count{db=\"db0\",key=\"check:*\"} 6",
            "redis_keys_count{db=\"db3\",key=\"*\"} 1",
        ];
        assert_eq!(lines, expected, "{found}");
    }
}

/// What the exporter adds of itself.
const OF_THE_EXPORTER: [&str; 3] = [
    "redis_exporter_",
    "redis_target_scrape_request_errors_total",
    "redis_last_key_groups_scrape_duration_milliseconds",
];

/// What is never the same twice, and may differ by so much: a share of the value, and an amount.
const RESTLESS: [(&str, f64, f64); 4] = [
    ("mem", 0.3, 4e6),
    ("redis_allocator_", 0.3, 4e6),
    ("redis_connected_clients", 0.0, 1.0),
    ("client_recent", 0.0, 1e6),
];

/// The server's own /metrics before and after the exporter was asked: what that says has to lie between.
#[test]
fn the_servers_own_port_tells_what_the_exporter_tells() {
    let Some(exporter) = required("prometheus-redis-exporter", find_on_path("prometheus-redis-exporter")) else {
        return;
    };
    let (server, port) =
        watched(&["--maxmemory", "100mb", "--latency-monitor-threshold", "1", "--enable-debug-command", "yes"]);
    let mut connection = server.connect();
    for line in [
        "SET a 1",
        "SET b 2 EX 1000",
        "GET a",
        "GET nosuch",
        "NOSUCH",
        "LPUSH a x",
        "HSET h f v",
        "SADD s a b c",
        "ZADD z 1 a",
        "SELECT 7",
        "SET c 3",
        "DEBUG SLEEP 0.03",
        "SAVE",
    ] {
        assert!(connection.call(&line.split(' ').collect::<Vec<_>>()).is_ok());
    }
    let own = || {
        let text = http::get(port, "/metrics");
        let samples = format::read(&text).unwrap_or_else(|wrong| panic!("{wrong} in\n{text}"));
        samples.into_iter().map(|sample| (sample.series(), sample)).collect::<BTreeMap<_, _>>()
    };
    let before = own();
    let text = scrape(&exporter, &server, &["-redis-only-metrics"]);
    let body = text.split_once("\r\n\r\n").expect("a body").1;
    let theirs = format::read(body).unwrap_or_else(|wrong| panic!("{wrong} in\n{body}"));
    let after = own();
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for sample in theirs.iter().filter(|sample| !OF_THE_EXPORTER.iter().any(|name| sample.name.starts_with(name))) {
        let series = sample.series();
        let Some(last) = after.get(&series) else {
            wrong.push(format!("{series} is absent"));
            continue;
        };
        // It may be that only the exporter has brought it about.
        let first = before.get(&series).map_or(0.0, |sample| sample.value);
        let (low, high) = (first.min(last.value), first.max(last.value));
        let (share, amount) = RESTLESS
            .iter()
            .find(|(name, ..)| sample.name.contains(name))
            .map_or((0.0, 0.0), |(_, share, amount)| (*share, *amount));
        let slack = high.abs() * share + amount;
        // The exporter knows the start to the second only.
        let slack = if sample.name == "redis_start_time_seconds" { 2.0 } else { slack };
        compared += 1;
        if sample.kind != last.kind {
            wrong.push(format!("{series} is a {} and not a {}", last.kind, sample.kind));
        } else if !(low - slack - 1e-9..=high + slack + 1e-9).contains(&sample.value) {
            wrong.push(format!("{series} is {low} to {high} and not {}", sample.value));
        }
    }
    assert!(compared > 200, "only {compared} were compared");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
    scrape(exporter, &server, &[])
}

/// What the exporter says of this server, asked for all that and for more.
fn scrape(exporter: &std::path::Path, server: &Server, more: &[&str]) -> String {
    let port = free_port();
    let _exporter = Running::start(exporter, server.port(), port, more);
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
    fn start(exporter: &std::path::Path, server: u16, port: u16, more: &[&str]) -> Running {
        let mut command = Command::new(exporter);
        command.arg(format!("-redis.addr=redis://127.0.0.1:{server}"));
        command.arg(format!("-web.listen-address=127.0.0.1:{port}")).args(more);
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
