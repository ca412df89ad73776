//! What a running server tells of commands and of the disk that take long.

use crate::connection::{Connection, encode};
use crate::reply::Reply;
use crate::server::{Program, Server};

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

#[test]
fn each_slow_command_of_a_pipeline_has_its_own_time() {
    let server = Server::start(Program::Caskade, DEBUG);
    let mut connection = server.connect();
    connection.ask(&["CONFIG", "SET", "slowlog-log-slower-than", "20000", "latency-monitor-threshold", "20"]);
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
    connection.send_raw(&pipeline).expect("to send");
    requests.iter().for_each(|_| _ = connection.receive().expect("a reply"));
    let slow = slow_commands(&mut connection);
    let words: Vec<String> = slow.iter().map(|(words, _)| words.join(" ")).collect();
    assert_eq!(words, ["DEBUG SLEEP 0.06", "DEBUG SLEEP 0.03"], "{slow:?}");
    assert!(slow[0].1 >= 60_000 && slow[1].1 >= 30_000 && slow[1].1 < slow[0].1, "{slow:?}");
    let latest = connection.ask(&["LATENCY", "LATEST"]);
    let [event] = latest.elements().expect("events") else { panic!("{latest:?}") };
    let event = event.elements().expect("an event");
    assert_eq!(event[0], Reply::Bulk(b"command".to_vec()));
    assert!(event[3].integer() >= Some(60), "{latest:?}");
    assert_eq!(connection.ask(&["LATENCY", "RESET"]).integer(), Some(1));
    let info = connection.ask(&["INFO", "commandstats"]);
    let info = String::from_utf8_lossy(info.bytes().expect("text")).into_owned();
    let microseconds = |name: &str| -> f64 {
        let line = info.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:"))).expect("a line");
        let field = line.split(',').find_map(|field| field.strip_prefix("usec=")).expect("its time");
        field.parse().expect("a number")
    };
    assert!(microseconds("debug") >= 90_000.0 && microseconds("get") < 20_000.0, "{info}");
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
