//! What a running server tells of commands and of the disk that take long.

use crate::connection::{Connection, encode};
use crate::reply::Reply;
use crate::server::{Program, Server, wait_until};
use std::time::{Duration, Instant};

const DEBUG: &[&str] = &["--enable-debug-command", "yes"];

/// Words, and microseconds, of each entry; the oldest first.
fn slow_commands(connection: &mut Connection) -> Vec<(Vec<String>, i64)> {
    let entries = connection.ask(&["SLOWLOG", "GET", "-1"]);
    let one = |entry: &Reply| {
        let fields = entry.elements().expect("an entry");
        let words = fields[3].elements().expect("words").iter();
        let words = words.map(|word| String::from_utf8_lossy(word.bytes().expect("a word")).into_owned());
        (words.collect(), fields[2].integer().expect("microseconds"))
    };
    entries.elements().expect("entries").iter().rev().map(one).collect()
}

/// However slow the machine is: what is told of the commands together is never longer than what the client waited.
#[test]
fn each_slow_command_of_a_pipeline_has_its_own_time() {
    const SLOW: i64 = 20_000;
    let server = Server::start(Program::Caskade, DEBUG);
    let mut connection = server.connect();
    let threshold = SLOW.to_string();
    connection.ask(&["CONFIG", "SET", "slowlog-log-slower-than", &threshold, "latency-monitor-threshold", "20"]);
    connection.ask(&["CONFIG", "RESETSTAT"]);
    connection.ask(&["SLOWLOG", "RESET"]);
    let requests: &[&[&str]] = &[
        &["SET", "a", "1"],
        &["GET", "a"],
        &["DEBUG", "SLEEP", "0.06"],
        &["GET", "a"],
        &["DEBUG", "SLEEP", "0.03"],
        &["DEBUG", "SLEEP", "0"],
        &["GET", "a"],
    ];
    let pipeline: Vec<u8> = requests.iter().flat_map(|words| encode(words)).collect();
    let began = Instant::now();
    connection.send_raw(&pipeline).expect("to send");
    requests.iter().for_each(|_| _ = connection.receive().expect("a reply"));
    let waited = began.elapsed().as_micros() as i64;
    let slow = slow_commands(&mut connection);
    let slow: Vec<(String, i64)> = slow.into_iter().map(|(words, time)| (words.join(" "), time)).collect();
    assert!(slow.iter().all(|(_, time)| *time >= SLOW), "{slow:?}");
    let slept = slow.iter().filter(|(words, _)| words.starts_with("DEBUG SLEEP 0."));
    let [first, second] = slept.collect::<Vec<_>>()[..] else { panic!("{slow:?}") };
    assert_eq!((&first.0[..], &second.0[..]), ("DEBUG SLEEP 0.06", "DEBUG SLEEP 0.03"));
    assert!(first.1 >= 60_000 && second.1 >= 30_000, "{slow:?}");
    let of_all: i64 = slow.iter().map(|(_, time)| time).sum();
    assert!(of_all <= waited, "{slow:?} in {waited} microseconds");
    let latest = connection.ask(&["LATENCY", "LATEST"]);
    let events: Vec<&[Reply]> =
        latest.elements().expect("events").iter().map(|event| event.elements().expect("an event")).collect();
    let event = events.iter().find(|event| event[0] == Reply::Bulk(b"command".to_vec())).expect("commands");
    assert!(event[3].integer() >= Some(60) && event[3].integer() <= Some(waited / 1000), "{latest:?}");
    assert!(connection.ask(&["LATENCY", "RESET"]).integer() >= Some(events.len() as i64));
    let info = connection.ask(&["INFO", "commandstats"]);
    let info = String::from_utf8_lossy(info.bytes().expect("text")).into_owned();
    let microseconds = |name: &str| -> i64 {
        let line = info.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:"))).expect("a line");
        let field = line.split(',').find_map(|field| field.strip_prefix("usec=")).expect("its time");
        field.parse().expect("a number")
    };
    let [debug, get, set] = ["debug", "get", "set"].map(microseconds);
    assert!(debug >= 90_000 && debug + get + set <= waited, "{waited} {info}");
}

#[test]
fn debug_does_what_tests_of_clients_need() {
    let server = Server::start(Program::Caskade, DEBUG);
    let mut connection = server.connect();
    let mut ask = |line: &str| connection.call(&line.split(' ').collect::<Vec<_>>()).expect("a reply");
    let unknown = |name: &str| {
        Reply::Error(
            format!("ERR unknown subcommand or wrong number of arguments for '{name}'. Try DEBUG HELP.").into(),
        )
    };
    for name in ["JMAP", "RELOAD", "SEGFAULT", "SLEEP", "SET-ACTIVE-EXPIRE"] {
        assert_eq!(ask(&format!("DEBUG {name}")), unknown(name));
    }
    assert_eq!(ask("DEBUG OBJECT nosuch"), Reply::Error(b"ERR no such key".to_vec()));
    ask("SET key value");
    let shown = ask("DEBUG OBJECT key");
    let shown = String::from_utf8_lossy(shown.bytes().expect("text")).into_owned();
    assert!(shown.contains(" refcount:1 encoding:embstr serializedlength:"), "{shown}");
    assert!(shown.ends_with("lru_seconds_idle:0"), "{shown}");
    assert_eq!(ask("DEBUG SET-ACTIVE-EXPIRE 0"), Reply::Status(b"OK".to_vec()));
    assert_eq!(ask("DEBUG SET-ACTIVE-EXPIRE 1"), Reply::Status(b"OK".to_vec()));
    assert!(ask("DEBUG HELP").elements().is_some());
    let local = Server::start(Program::Caskade, &["--enable-debug-command", "local"]);
    assert_eq!(local.connect().ask(&["DEBUG", "SLEEP", "0"]), Reply::Status(b"OK".to_vec()));
}

/// Fields of redis-server 7.0 that this server has not.
const ABSENT_FIELDS: &[(&str, &str)] = &[("atomicvar_api", "of a server in C"), ("gcc_version", "of a server in C")];

fn info(connection: &mut Connection) -> Vec<(String, String)> {
    let text = connection.ask(&["INFO", "everything"]);
    let text = String::from_utf8_lossy(text.bytes().expect("text")).into_owned();
    let field = |line: &str| match line.split_once(':') {
        Some((name, value)) => (name.to_owned(), value.trim_end().to_owned()),
        None => (line.trim_end().to_owned(), String::new()),
    };
    text.split("\r\n").filter(|line| !line.is_empty()).map(field).collect()
}

#[test]
fn info_has_the_fields_of_redis_in_its_order() {
    let Some(oracle) = Program::oracle() else { return };
    let (ours, theirs) = (Server::start(Program::Caskade, &[]), Server::start(oracle, &["--appendonly", "yes"]));
    let fields = |server: &Server| -> Vec<String> {
        let mut connection = server.connect();
        connection.ask(&["SET", "key", "value"]);
        let names = info(&mut connection).into_iter().map(|(name, _)| name);
        let by_command = ["cmdstat_", "latency_percentiles_", "errorstat_"];
        names.filter(|name| !by_command.iter().any(|prefix| name.starts_with(prefix))).collect()
    };
    let (ours, mut theirs) = (fields(&ours), fields(&theirs));
    theirs.retain(|name| !ABSENT_FIELDS.iter().any(|(absent, _)| absent == name));
    let missing: Vec<&String> = theirs.iter().filter(|name| !ours.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let known: Vec<&String> = ours.iter().filter(|name| theirs.contains(name)).collect();
    assert_eq!(known, theirs.iter().collect::<Vec<_>>());
}

/// What Redis 7.2 tells of the rounds of its event loop, which 7.0 does not.
#[test]
fn rounds_of_the_threads_are_counted() {
    let server = Server::start(Program::Caskade, DEBUG);
    let mut connection = server.connect();
    let mut numbers = |command: &[&str]| {
        connection.ask(command);
        let fields = info(&mut connection);
        let number = |name: &str| -> u64 {
            let value = fields.iter().find_map(|(field, value)| (field == name).then_some(value));
            value.unwrap_or_else(|| panic!("no {name}")).parse().expect("a number")
        };
        number("instantaneous_eventloop_cycles_per_sec");
        number("instantaneous_eventloop_duration_usec");
        ["eventloop_cycles", "eventloop_duration_sum", "eventloop_duration_cmd_sum"].map(number)
    };
    let before = numbers(&["PING"]);
    // The round of a command may be told of only after its reply.
    numbers(&["DEBUG", "SLEEP", "0.02"]);
    let later = numbers(&["PING"]);
    assert!(later[0] > before[0] && later[1] > before[1], "{before:?} {later:?}");
    assert!(later[2] >= before[2] + 20_000, "{before:?} {later:?}");
}

#[test]
fn what_info_says_of_memory_adds_up() {
    let server = Server::start(Program::Caskade, &[]);
    let mut connection = server.connect();
    for number in 0..2000 {
        connection.ask(&["SET", &format!("key:{number}"), &"x".repeat(100), "EX", "1000"]);
    }
    let fields = info(&mut connection);
    let number = |name: &str| -> f64 {
        let value = fields.iter().find_map(|(field, value)| (field == name).then_some(value));
        value.unwrap_or_else(|| panic!("no {name}")).trim_end_matches('%').parse().expect("a number")
    };
    assert_eq!(number("used_memory"), number("used_memory_overhead") + number("used_memory_dataset"));
    assert!(number("used_memory_peak") >= number("used_memory"));
    assert!(number("used_memory_startup") > 0.0 && number("used_memory_startup") < number("used_memory"));
    assert!(number("used_memory_dataset") > 2000.0 * 100.0);
    assert!(number("total_system_memory") > number("used_memory_rss"));
    assert!(number("used_memory_dataset_perc") <= 100.0 && number("used_memory_peak_perc") <= 100.0);
    assert_eq!(number("rdb_changes_since_last_save"), 2000.0);
    assert!(number("total_reads_processed") >= 2000.0 && number("total_writes_processed") >= 2000.0);
    connection.ask(&["SAVE"]);
    let fields = info(&mut connection);
    assert!(fields.contains(&("rdb_changes_since_last_save".to_owned(), "0".to_owned())));
    assert!(fields.contains(&("rdb_saves".to_owned(), "1".to_owned())));
    let database = &fields.iter().find(|(name, _)| name == "db0").expect("a database").1;
    let mean = database.strip_prefix("keys=2000,expires=2000,avg_ttl=").expect("its keys").parse::<u64>();
    assert!((900_000..=1_000_000).contains(&mean.expect("a number")), "{database}");
}

/// What waits for a connection that does not read.
#[test]
fn what_nobody_reads_is_told_of_its_connection() {
    let server = Server::start(Program::Caskade, &[]);
    let (mut reader, mut other) = (server.connect(), server.connect());
    let id = reader.ask(&["CLIENT", "ID"]).integer().expect("a number").to_string();
    let text = |reply: Reply| String::from_utf8_lossy(reply.bytes().expect("text")).into_owned();
    let field = |line: &str, name: &str| -> String {
        let value = line.split_whitespace().find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("no {name} in {line}")).to_owned()
    };
    let number = |line: &str, name: &str| -> u64 { field(line, name).parse().expect("a number") };
    let before = text(other.ask(&["CLIENT", "LIST", "ID", &id]));
    assert_eq!((number(&before, "oll"), number(&before, "omem"), &*field(&before, "events")), (0, 0, "r"));
    reader.ask(&["SUBSCRIBE", "channel"]);
    const ENOUGH: u64 = 1 << 20;
    let message = "x".repeat(100_000);
    // At first its socket takes them.
    wait_until("messages to wait", Duration::from_secs(60), || {
        other.ask(&["PUBLISH", "channel", &message]);
        number(&text(other.ask(&["CLIENT", "LIST", "ID", &id])), "omem") > ENOUGH
    });
    let waits = text(other.ask(&["CLIENT", "LIST", "ID", &id]));
    assert_eq!(field(&waits, "events"), "rw");
    assert!(number(&waits, "oll") > 1 && number(&waits, "tot-mem") > number(&waits, "omem"), "{waits}");
    let mut told = info(&mut other);
    told.retain(|(name, _)| name == "client_recent_max_output_buffer" || name == "mem_clients_normal");
    let told: Vec<u64> = told.iter().map(|(_, value)| value.parse().expect("a number")).collect();
    assert_eq!(told[0], number(&waits, "omem"));
    assert!(told[1] > told[0], "{told:?}");
    // It reads all of it.
    wait_until("nothing to wait any more", Duration::from_secs(60), || {
        reader.receive().expect("a message");
        number(&text(other.ask(&["CLIENT", "LIST", "ID", &id])), "omem") == 0
    });
}
