//! What /metrics tells, and that INFO tells the same.

use std::collections::BTreeMap;
use std::time::Duration;

use super::format::{Sample, read};
use super::{http, watched};
use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::wait_until;

/// By name and labels.
fn scrape(port: u16) -> BTreeMap<String, Sample> {
    let text = http::get(port, "/metrics");
    let samples = read(&text).unwrap_or_else(|wrong| panic!("{wrong}\nin\n{text}"));
    samples.into_iter().map(|sample| (sample.series(), sample)).collect()
}

fn info(connection: &mut Connection) -> BTreeMap<String, String> {
    let info = connection.ask(&["INFO", "everything"]);
    let text = String::from_utf8_lossy(info.bytes().expect("text")).into_owned();
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A metric without labels, and the field of INFO that says the same.
const SAME: &[(&str, &str)] = &[
    ("redis_keyspace_hits_total", "keyspace_hits"),
    ("redis_keyspace_misses_total", "keyspace_misses"),
    ("redis_expired_keys_total", "expired_keys"),
    ("redis_memory_max_bytes", "maxmemory"),
    ("redis_memory_used_dataset_bytes", "used_memory_dataset"),
    ("redis_total_error_replies", "total_error_replies"),
    ("redis_connected_clients", "connected_clients"),
    ("redis_blocked_clients", "blocked_clients"),
    ("redis_pubsub_channels", "pubsub_channels"),
    ("redis_process_id", "process_id"),
    ("redis_connections_received_total", "total_connections_received"),
    ("redis_aof_current_size_bytes", "aof_current_size"),
    ("redis_rdb_last_save_timestamp_seconds", "rdb_last_save_time"),
    ("caskade_log_segments", "log_segments"),
    ("caskade_log_bytes", "log_bytes"),
    ("caskade_log_live_bytes", "log_live_bytes"),
    ("caskade_log_dead_bytes", "log_dead_bytes"),
    ("caskade_log_disk_bytes", "log_disk_bytes"),
    ("caskade_log_appended_bytes_total", "log_appended_bytes"),
    ("caskade_log_syncs_total", "log_syncs"),
    ("caskade_write_amplification", "write_amplification"),
    ("caskade_space_amplification", "space_amplification"),
    ("caskade_compaction_passes_total", "compaction_passes"),
    ("caskade_compaction_written_bytes_total", "compaction_written_bytes"),
    ("caskade_lookups_total{tier=\"memory\"}", "hits_memory"),
    ("caskade_lookups_total{tier=\"page_cache\"}", "hits_page_cache"),
    ("caskade_lookups_total{tier=\"disk\"}", "hits_disk"),
    ("caskade_lookups_total{tier=\"miss\"}", "keyspace_misses"),
];

fn series(name: &str) -> String {
    if name.ends_with('}') { name.to_owned() } else { format!("{name}{{}}") }
}

#[test]
fn metrics_are_in_the_text_format_and_say_what_info_says() {
    let (server, port) = watched(&["--maxmemory", "100mb"]);
    let mut client = server.connect();
    for line in [
        "SET a 1",
        "SET a 2",
        "SET b 2 EX 1000",
        "GET a",
        "GET nosuch",
        "HSET h f v",
        "HGET h f",
        "NOSUCH",
        "SET c 1 PX 1",
        "SELECT 3",
        "SET there 1",
        "SAVE",
    ] {
        client.call(&line.split(' ').collect::<Vec<_>>()).expect("a reply");
    }
    wait_until("the key to expire by itself", Duration::from_secs(20), || info(&mut client)["expired_keys"] == "1");
    let info = info(&mut client);
    let told = scrape(port);
    let value = |name: &str| told.get(&series(name)).unwrap_or_else(|| panic!("no {name} in {told:?}")).value;
    for (metric, field) in SAME {
        let field = info.get(*field).unwrap_or_else(|| panic!("INFO has no {field}"));
        assert_eq!(value(metric), field.parse::<f64>().expect("a number"), "{metric}");
    }
    assert_eq!((value("redis_keyspace_hits_total"), value("redis_keyspace_misses_total")), (2.0, 1.0));
    assert_eq!(value("redis_commands_total{cmd=\"set\"}"), 5.0);
    assert_eq!(value("redis_commands_latencies_usec_count{cmd=\"set\"}"), 5.0);
    assert_eq!(value("redis_errors_total{err=\"ERR\"}"), 1.0);
    assert_eq!((value("redis_db_keys{db=\"db0\"}"), value("redis_db_keys{db=\"db3\"}")), (3.0, 1.0));
    assert_eq!((value("redis_db_keys_expiring{db=\"db0\"}"), value("redis_db_keys{db=\"db5\"}")), (1.0, 0.0));
    assert_eq!(value("caskade_log_sync_duration_seconds_count"), value("caskade_log_syncs_total"));
    assert!(value("caskade_log_sync_duration_seconds_count") >= 1.0, "SAVE has synced");
    assert_eq!(value("caskade_log_write_duration_seconds_count"), value("caskade_log_writes_total"));
    assert_eq!(value("caskade_expiry_lag_seconds_count"), 1.0);
    assert!(value("caskade_disk_free_bytes") > 0.0);
    assert_eq!((value("caskade_ready"), value("caskade_loaded"), value("redis_up")), (1.0, 1.0, 1.0));
    assert!(told.contains_key("caskade_build_info{version=\"0.1.0\"}"));

    client.ask(&["CONFIG", "RESETSTAT"]);
    let told = scrape(port);
    let value = |name: &str| told[&series(name)].value;
    assert_eq!((value("caskade_expiry_lag_seconds_count"), value("redis_keyspace_hits_total")), (0.0, 0.0));
    assert_eq!(value("caskade_lookups_total{tier=\"memory\"}"), 0.0);
}

/// A page cache is asked first, and the disk after it; of a key that is found by several values the furthest counts.
#[test]
fn look_ups_are_told_apart_by_where_the_value_was() {
    const KEYS: usize = 400;
    let (server, port) = watched(&["--maxmemory", "6mb"]);
    let mut client = server.connect();
    let value = "v".repeat(20_000);
    for number in 0..KEYS {
        assert_eq!(client.ask(&["SET", &format!("key:{number}"), &value]), Reply::Status(b"OK".to_vec()));
    }
    let fields: Vec<String> = (0..KEYS).map(|number| format!("field:{number}")).collect();
    for field in &fields {
        client.ask(&["HSET", "hash", field, &value]);
    }
    client.ask(&["SAVE"]);
    wait_until("values to leave memory", Duration::from_secs(20), || {
        info(&mut client)["used_memory_dataset"].parse::<usize>().expect("a number") < (KEYS * value.len()) / 2
    });
    client.ask(&["CONFIG", "RESETSTAT"]);
    (0..KEYS).for_each(|number| _ = client.ask(&["GET", &format!("key:{number}")]));
    (0..10).for_each(|_| _ = client.ask(&["GET", "key:nosuch"]));
    let told = scrape(port);
    let tier = |told: &BTreeMap<String, Sample>, name: &str| {
        told[&format!("caskade_lookups_total{{tier={name:?}}}")].value as usize
    };
    let [memory, page_cache, disk, miss] = ["memory", "page_cache", "disk", "miss"].map(|name| tier(&told, name));
    assert_eq!((memory + page_cache + disk, miss), (KEYS, 10));
    // Most were not in memory; whether the page cache can be asked without waiting is the file system's.
    assert!(page_cache + disk > KEYS / 3, "{memory} {page_cache} {disk}");

    // One key, many values: it is one look-up.
    client.ask(&["CONFIG", "RESETSTAT"]);
    let words: Vec<&str> = ["HMGET", "hash"].into_iter().chain(fields.iter().map(String::as_str)).collect();
    assert_eq!(client.ask(&words).elements().map(<[Reply]>::len), Some(KEYS));
    let told = scrape(port);
    let [memory, page_cache, disk] = ["memory", "page_cache", "disk"].map(|name| tier(&told, name));
    assert_eq!((memory, page_cache + disk), (0, 1));
}

#[test]
fn nothing_that_is_told_is_a_secret() {
    let secrets =
        ["open-sesame", "key-of-alice", "value-of-alice", "name-of-alice", "channel-of-alice", "alice-the-user"];
    let (server, port) = watched(&["--requirepass", secrets[0], "--slowlog-log-slower-than", "0"]);
    let mut client = server.connect();
    for line in [
        "AUTH open-sesame",
        "CLIENT SETNAME name-of-alice",
        "ACL SETUSER alice-the-user on >open-sesame2 +@all ~*",
        "SET key-of-alice value-of-alice",
        "GET key-of-alice",
        "CONFIG SET latency-monitor-threshold 1",
        "SUBSCRIBE channel-of-alice",
    ] {
        client.call(&line.split(' ').collect::<Vec<_>>()).expect("a reply");
    }
    let address = client.stream().local_addr().expect("an address").to_string();
    for path in ["/", "/metrics", "/status.json", "/readyz", "/healthz"] {
        let text = http::get(port, path);
        for secret in secrets.into_iter().chain([address.as_str()]) {
            assert!(!text.contains(secret), "{path} tells {secret}");
        }
    }
}
