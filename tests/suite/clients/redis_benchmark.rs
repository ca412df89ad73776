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

/// All that it does where nobody chooses.
#[test]
fn runs_all_its_default_tests() {
    const DEFAULT: [&str; 20] = [
        "PING_INLINE",
        "PING_MBULK",
        "SET",
        "GET",
        "INCR",
        "LPUSH",
        "RPUSH",
        "LPOP",
        "RPOP",
        "SADD",
        "HSET",
        "SPOP",
        "ZADD",
        "ZPOPMIN",
        "LPUSH (needed to benchmark LRANGE)",
        "LRANGE_100 (first 100 elements)",
        "LRANGE_300 (first 300 elements)",
        "LRANGE_500 (first 500 elements)",
        "LRANGE_600 (first 600 elements)",
        "MSET (10 keys)",
    ];
    let server = Server::start(Program::Caskade, &[]);
    for arguments in [&["-n", "2000"][..], &["-n", "2000", "-P", "16", "-r", "1000", "-3", "--threads", "2"]] {
        let Some(command) = tool("redis-benchmark", &server, &[&["--csv"], arguments].concat()) else { return };
        let printed = output("redis-benchmark", command);
        let names: Vec<&str> = printed.lines().skip(1).filter_map(|line| line.split('"').nth(1)).collect();
        assert_eq!(names, DEFAULT, "{arguments:?}\n{printed}");
        // It pushes as often as it pops; for LRANGE it pushes once more.
        assert!(server.connect().ask(&["LLEN", "mylist"]).integer() > Some(600), "{arguments:?}");
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
