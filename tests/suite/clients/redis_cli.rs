//! redis-cli and its modes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::{output, tool};
use crate::connection::encode;
use crate::reply::Reply;
use crate::server::{Program, Server};

fn cli(server: &Server, arguments: &[&str]) -> Option<Command> {
    tool("redis-cli", server, arguments)
}

/// Runs redis-cli to its end with this standard input.
fn fed(mut command: Command, input: Vec<u8>) -> String {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("redis-cli: {error}"));
    let mut stdin = child.stdin.take().expect("its standard input");
    // It answers while it reads, so one of the two must not wait for the other.
    let feeding = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("to wait for redis-cli");
    feeding.join().expect("no panic").expect("to feed redis-cli");
    assert!(output.status.success() && output.stderr.is_empty(), "{command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn prints_replies_in_both_versions() {
    let server = Server::start(Program::Caskade, &[]);
    server.connect().ask(&["CONFIG", "SET", "requirepass", "secret"]);
    let auth = ["--no-auth-warning", "-a", "secret"];
    let cases: &[(&[&str], &str)] = &[
        (&["SET", "k", "v"], "OK\n"),
        (&["--no-raw", "GET", "k"], "\"v\"\n"),
        (&["--no-raw", "-r", "3", "INCR", "n"], "(integer) 1\n(integer) 2\n(integer) 3\n"),
        (&["-n", "3", "--no-raw", "GET", "k"], "(nil)\n"),
        (&["--csv", "MGET", "k", "n", "x"], "\"v\",\"3\",NULL\n"),
        (&["--json", "-3", "CONFIG", "GET", "appendfsync"], "{\"appendfsync\":\"everysec\"}\n"),
        (&["--no-raw", "-3", "CONFIG", "GET", "appendfsync"], "1# \"appendfsync\" => \"everysec\"\n"),
        (&["EXPIRE", "k", "100"], "1\n"),
        (&["TTL", "k"], "100\n"),
        (&["--no-raw", "LOLWUT?"], "(error) ERR unknown command 'LOLWUT?', with args beginning with: \n"),
    ];
    for (arguments, expected) in cases {
        let Some(command) = cli(&server, &[&auth, *arguments].concat()) else { return };
        assert_eq!(output("redis-cli", command), *expected, "{arguments:?}");
    }
}

#[test]
fn helps_with_what_command_docs_says() {
    let server = Server::start(Program::Caskade, &[]);
    for version in ["-2", "-3"] {
        let Some(command) = cli(&server, &[version]) else { return };
        let printed = fed(command, b"HELP GETEX\nSET k v\nGET k\n".to_vec());
        let docs = server.connect().ask(&["COMMAND", "DOCS", "GETEX"]).notation().join("\n");
        let summary = docs.split("\"summary\"").nth(1).and_then(|rest| rest.split('"').nth(1)).expect("a summary");
        for part in [
            "GETEX",
            "EXAT unix-time-seconds",
            "PERSIST",
            "summary:",
            summary,
            "since:",
            "6.2.0",
            "group:",
            "string",
            "OK\nv",
        ] {
            assert!(printed.contains(part), "{part:?} is not in\n{printed}");
        }
    }
}

#[test]
fn imports_through_pipe_without_errors() {
    const COUNT: usize = 100_000;
    let server = Server::start(Program::Caskade, &[]);
    let Some(command) = cli(&server, &["--pipe"]) else { return };
    let one = |number: usize| encode(&["SET".to_owned(), format!("key:{number}"), format!("value {number}")]);
    let printed = fed(command, (0..COUNT).flat_map(one).collect());
    assert!(printed.contains(&format!("errors: 0, replies: {COUNT}")), "{printed}");
    assert_eq!(server.connect().ask(&["DBSIZE"]), Reply::Integer(COUNT as i64));
    let inline = (0..1_000).map(|_| "INCR \"a counter\"\r\n").collect::<String>();
    let printed = fed(cli(&server, &["--pipe"]).expect("redis-cli"), inline.into_bytes());
    assert!(printed.contains("errors: 0, replies: 1000"), "{printed}");
    assert_eq!(server.connect().ask(&["GET", "a counter"]), Reply::Bulk(b"1000".to_vec()));
}

#[test]
fn walks_all_keys() {
    let server = Server::start(Program::Caskade, &[]);
    let mut connection = server.connect();
    let pairs: Vec<String> = (0..3_000).flat_map(|number| [format!("user:{number}"), "x".repeat(10)]).collect();
    connection.ask(&[vec!["MSET".to_owned()], pairs].concat());
    connection.ask(&["SET", "big", &"x".repeat(100_000)]);
    let Some(command) = cli(&server, &["--scan", "--pattern", "user:*"]) else { return };
    let printed = output("redis-cli", command);
    let found: std::collections::BTreeSet<&str> = printed.lines().collect();
    assert_eq!(found.len(), 3_000, "{found:?}");
    let cases: [(&[&str], &[&str]); 2] = [
        (
            &["--bigkeys"],
            &["Sampled 3001 keys", "Biggest string found '\"big\"' has 100000 bytes", "3001 strings with"],
        ),
        (&["--memkeys"], &["Sampled 3001 keys", "Biggest string found '\"big\"' has 1"]),
    ];
    for (arguments, parts) in cases {
        let printed = output("redis-cli", cli(&server, arguments).expect("redis-cli"));
        for part in parts {
            assert!(printed.contains(part), "{part:?} is not in\n{printed}");
        }
    }
}

#[test]
fn watches_the_server() {
    let server = Server::start(Program::Caskade, &[]);
    server.connect().ask(&["MSET", "a", "1", "b", "2", "c", "3"]);
    let Some(mut command) = cli(&server, &["--stat", "-i", "0.01"]) else { return };
    let mut child = command.spawn().expect("redis-cli");
    let lines = BufReader::new(child.stdout.take().expect("its standard output")).lines();
    let lines: Vec<String> = lines.take(5).map(|line| line.expect("a line")).collect();
    // It would go on for ever.
    child.kill().expect("to end redis-cli");
    child.wait().expect("to wait for redis-cli");
    assert!(lines[1].starts_with("keys"), "{lines:?}");
    assert!(lines[2..].iter().all(|line| line.starts_with("3 ")), "{lines:?}");

    let printed = output("redis-cli", cli(&server, &["--latency", "-i", "0.1"]).expect("redis-cli"));
    let numbers: Vec<f64> = printed.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    assert!(numbers.len() == 4 && numbers[3] > 1.0, "minimum, maximum, average and samples: {printed}");
}
