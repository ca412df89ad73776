//! redis-benchmark, in the forms that people run it in.

use super::{output, tool};
use crate::server::{Program, Server};

#[test]
fn runs_to_its_end_without_an_error() {
    let server = Server::start(Program::Caskade, &[]);
    const TESTS: &str = "ping_inline,ping_mbulk,set,get,incr,mset";
    let cases: [(&[&str], usize); 8] = [
        (&["-t", TESTS, "-n", "20000", "-c", "50"], 6),
        (&["-t", TESTS, "-n", "20000", "-c", "50", "-P", "16", "-3", "-r", "1000", "-d", "10000", "--dbnum", "4"], 6),
        (&["-t", TESTS, "-n", "3000"], 6),
        (&["-t", TESTS, "-n", "20000", "-P", "16", "-r", "1000"], 6),
        (&["-t", "set,get", "-n", "20000", "-P", "64", "-d", "1000", "-r", "100000", "--threads", "2"], 2),
        (&["-t", "set,get", "-n", "3000", "-3"], 2),
        (&["-n", "3000", "SET", "session:__rand_int__", "v", "EX", "100"], 1),
        (&["-n", "3000", "GETEX", "session:__rand_int__", "PERSIST"], 1),
    ];
    for (arguments, tests) in cases {
        let Some(command) = tool("redis-benchmark", &server, &[&["-q"], arguments].concat()) else { return };
        let printed = output("redis-benchmark", command);
        let results = printed.split(['\r', '\n']).filter(|line| line.contains("requests per second")).count();
        assert_eq!(results, tests, "{arguments:?}\n{printed}");
        assert!(!printed.contains("ERR") && !printed.contains("WARN"), "{arguments:?}\n{printed}");
    }
    assert!(server.connect().ask(&["GET", "counter:000000000000"]).bytes().is_some());
    assert!(server.connect().ask(&["DBSIZE"]).integer() > Some(1_000));
}

#[test]
fn prints_its_results_as_csv() {
    let server = Server::start(Program::Caskade, &[]);
    let Some(command) = tool("redis-benchmark", &server, &["--csv", "-t", "ping,set,get,incr,mset", "-n", "2000"])
    else {
        return;
    };
    let printed = output("redis-benchmark", command);
    let names: Vec<&str> = printed.lines().skip(1).filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(names, ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"], "{printed}");
}

/// Each of its tests runs to its end, or, where the server has not got the command, ends with the server's words.
#[test]
fn runs_each_test_or_says_what_is_missing() {
    const TESTS: [(&str, &str, usize); 13] = [
        ("lpush", "LPUSH", 1),
        ("rpush", "RPUSH", 1),
        ("lpop", "LPOP", 1),
        ("rpop", "RPOP", 1),
        ("lrange_100", "LPUSH", 2),
        ("sadd", "SADD", 1),
        ("spop", "SPOP", 1),
        ("hset", "HSET", 1),
        ("zadd", "ZADD", 1),
        ("zpopmin", "ZPOPMIN", 1),
        ("incr", "INCR", 1),
        ("mset", "MSET", 1),
        ("ping_mbulk", "PING", 1),
    ];
    let server = Server::start(Program::Caskade, &[]);
    for (test, name, results) in TESTS {
        let Some(mut command) = tool("redis-benchmark", &server, &["-q", "-t", test, "-n", "100"]) else { return };
        let output = command.output().expect("redis-benchmark");
        let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let there = server.connect().ask(&["COMMAND", "LIST", "FILTERBY", "PATTERN", name]).elements().map(<[_]>::len);
        if there == Some(1) {
            let found = printed.matches("requests per second").count();
            assert!(output.status.success() && found == results, "{test}: {printed}");
        } else {
            let expected = format!("ERR unknown command '{name}', with args beginning with: ");
            assert!(!output.status.success() && printed.contains(&expected), "{test}: {printed}");
        }
    }
}

#[test]
fn measures_through_a_unix_socket_and_with_a_password() {
    let server = Server::start(Program::Caskade, &["--unixsocket", "socket", "--requirepass", "secret"]);
    let socket = server.data().with_file_name("socket").display().to_string();
    let Some(command) =
        tool("redis-benchmark", &server, &["-s", &socket, "-a", "secret", "-q", "-t", "set", "-n", "2000"])
    else {
        return;
    };
    let printed = output("redis-benchmark", command);
    assert!(printed.contains("requests per second") && !printed.contains("NOAUTH"), "{printed}");
    let mut command = tool("redis-benchmark", &server, &["-q", "-t", "set", "-n", "2000"]).expect("redis-benchmark");
    let output = command.output().expect("redis-benchmark");
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success() && printed.contains("NOAUTH Authentication required."), "{printed}");
}
