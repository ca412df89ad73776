//! redis-cli and its modes.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

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

/// Runs redis-cli to an end that is none of success, and returns all that it printed.
fn output_of_failure(mut command: Command, input: &[u8]) -> String {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("redis-cli: {error}"));
    // Who fails at once reads nothing.
    let _ = child.stdin.take().expect("its standard input").write_all(input);
    let output = child.wait_with_output().expect("to wait for redis-cli");
    assert_eq!(output.status.code(), Some(1), "{command:?}: {output:?}");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
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
        (&["HSET", "h", "a", "1"], "1\n"),
        (&["--no-raw", "HGETALL", "h"], "1) \"a\"\n2) \"1\"\n"),
        (&["--no-raw", "-3", "HGETALL", "h"], "1# \"a\" => \"1\"\n"),
        (&["--json", "-3", "HGETALL", "h"], "{\"a\":\"1\"}\n"),
        (&["SADD", "s", "1"], "1\n"),
        (&["--no-raw", "-3", "SMEMBERS", "s"], "1~ \"1\"\n"),
        (&["--no-raw", "-3", "SMEMBERS", "no"], "(empty set)\n"),
        (&["ZADD", "z", "1", "a", "2.5", "b"], "2\n"),
        (&["--csv", "ZRANGE", "z", "0", "-1", "WITHSCORES"], "\"a\",\"1\",\"b\",\"2.5\"\n"),
        (&["--json", "-3", "ZRANGE", "z", "0", "-1", "WITHSCORES"], "[[\"a\",1],[\"b\",2.5]]\n"),
        (&["--no-raw", "-3", "ZSCORE", "z", "b"], "(double) 2.5\n"),
        (&["--no-raw", "-3", "BLPOP", "no", "0.01"], "(nil)\n"),
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
fn imports_a_million_through_pipe_without_errors() {
    const COUNT: usize = 1_000_000;
    let server = Server::start(Program::Caskade, &[]);
    let Some(command) = cli(&server, &["--pipe"]) else { return };
    let one = |number: usize| encode(&["SET".to_owned(), format!("key:{number}"), format!("value {number}")]);
    let before = server.memory();
    let printed = fed(command, (0..COUNT).flat_map(one).collect());
    assert!(printed.contains(&format!("errors: 0, replies: {COUNT}")), "{printed}");
    assert_eq!(server.connect().ask(&["DBSIZE"]), Reply::Integer(COUNT as i64));
    // What is kept of a key and a short value, and nothing of the pipeline.
    let grown = server.memory().saturating_sub(before);
    assert!(grown < COUNT as u64 * 256, "{} bytes for each", grown / COUNT as u64);
    let inline = (0..1_000).map(|_| "INCR \"a counter\"\r\n").collect::<String>();
    let printed = fed(cli(&server, &["--pipe"]).expect("redis-cli"), inline.into_bytes());
    assert!(printed.contains("errors: 0, replies: 1000"), "{printed}");
    assert_eq!(server.connect().ask(&["GET", "a counter"]), Reply::Bulk(b"1000".to_vec()));
    let printed = output_of_failure(cli(&server, &["--pipe"]).expect("redis-cli"), b"SET a\r\nPING\r\n");
    assert!(printed.contains("errors: 1, replies: 2"), "{printed}");
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
fn finds_the_biggest_of_each_kind() {
    let server = Server::start(Program::Caskade, &[]);
    let Some(_) = cli(&server, &[]) else { return };
    let mut connection = server.connect();
    let many = |command: &str, key: &str, per_element: &[&str]| {
        let elements = (0..2_000).flat_map(|number| per_element.iter().map(move |one| format!("{one}{number}")));
        [command.to_owned(), key.to_owned()].into_iter().chain(elements).collect::<Vec<String>>()
    };
    for (command, elements) in [("RPUSH", &["e"][..]), ("SADD", &["m"]), ("HSET", &["f", "v"]), ("ZADD", &["", "m"])] {
        assert!(matches!(connection.ask(&many(command, &format!("big:{command}"), elements)), Reply::Integer(2_000)));
    }
    for line in ["SET big:SET 0123456789", "SET s a", "RPUSH l a b", "SADD m a b c", "HSET h a 1", "ZADD z 1 a 2 b"] {
        connection.ask(&line.split(' ').collect::<Vec<_>>());
    }
    let big = output("redis-cli", cli(&server, &["--bigkeys"]).expect("redis-cli"));
    let memory = output("redis-cli", cli(&server, &["--memkeys"]).expect("redis-cli"));
    for (kind, command, size, total) in [
        ("list", "RPUSH", "2000 items", "2 lists with 2002 items"),
        ("set", "SADD", "2000 members", "2 sets with 2003 members"),
        ("hash", "HSET", "2000 fields", "2 hashs with 2001 fields"),
        ("zset", "ZADD", "2000 members", "2 zsets with 2002 members"),
        ("string", "SET", "10 bytes", "2 strings with 11 bytes"),
    ] {
        let found = format!("Biggest {kind:>6} found '\"big:{command}\"' has ");
        assert!(big.contains(&format!("{found}{size}")) && big.contains(total), "{found}{size}, {total}: {big}");
        assert!(memory.contains(&found) && memory.contains(&format!("2 {kind}s with ")), "{found}: {memory}");
    }
}

/// redis-cli at work for as long as a check wants: what would go on for ever, or waits for the next command.
struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    read: Vec<String>,
}

impl Session {
    fn new(mut command: Command) -> Session {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("redis-cli: {error}"));
        let input = child.stdin.take().expect("its standard input");
        let output = BufReader::new(child.stdout.take().expect("its standard output"));
        Session { child, input, output, read: Vec::new() }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("to write to redis-cli");
    }

    /// Reads lines until one is this.
    fn hears(&mut self, expected: &str) {
        loop {
            let mut line = String::new();
            let length = self.output.read_line(&mut line).expect("a line");
            assert!(length > 0, "redis-cli ended before it said {expected:?}:\n{}", self.read.join("\n"));
            self.read.push(line.trim_end().to_owned());
            if line.trim_end() == expected {
                return;
            }
        }
    }

    fn hear_all(&mut self, expected: &[&str]) {
        expected.iter().for_each(|line| self.hears(line));
    }

    /// As many bytes as that, for what is drawn without ends of lines.
    fn bytes(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.output.read_exact(&mut bytes).expect("to read what redis-cli draws");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn talks_while_one_types() {
    let server = Server::start(Program::Caskade, &[]);
    let Some(command) = cli(&server, &["-3", "--show-pushes", "yes"]) else { return };
    let mut session = Session::new(command);
    session.say("MULTI");
    session.hears("OK");
    session.say("SET k 5");
    session.hears("QUEUED");
    session.say("EXEC");
    session.hears("OK");
    session.say("3 INCR k");
    session.hear_all(&["6", "7", "8"]);
    session.say("CLIENT TRACKING ON");
    session.hears("OK");
    session.say("GET k");
    session.hears("8");
    // What is pushed shows with the reply that comes next.
    let mut other = server.connect();
    other.ask(&["SET", "k", "9"]);
    session.say("ECHO after");
    session.hear_all(&["invalidate", "k", "after"]);
    session.say(&format!("CONNECT 127.0.0.1 {}", server.port()));
    session.say("SELECT 3");
    session.hears("OK");
    session.say("DBSIZE");
    session.hears("0");
    session.say("NOSUCH");
    session.hears("ERR unknown command 'NOSUCH', with args beginning with:");
    session.say("SUBSCRIBE news");
    session.hear_all(&["subscribe", "news", "1"]);
    assert_eq!(other.ask(&["PUBLISH", "news", "hello"]), Reply::Integer(1));
    session.hear_all(&["message", "news", "hello"]);
}

#[test]
fn listens_in_both_versions() {
    let server = Server::start(Program::Caskade, &[]);
    let mut other = server.connect();
    for (version, words) in
        [("-2", ["PSUBSCRIBE", "n*"]), ("-3", ["SUBSCRIBE", "news"]), ("-3", ["SSUBSCRIBE", "news"])]
    {
        let Some(command) = cli(&server, &[&[version, "--csv"][..], &words].concat()) else { return };
        let mut session = Session::new(command);
        session.hears(&format!("\"{}\",\"{}\",1", words[0].to_lowercase(), words[1]));
        let publish = if words[0] == "SSUBSCRIBE" { "SPUBLISH" } else { "PUBLISH" };
        assert_eq!(other.ask(&[publish, "news", "a \"b\""]), Reply::Integer(1));
        session.hears(match words[0] {
            "PSUBSCRIBE" => "\"pmessage\",\"n*\",\"news\",\"a \\\"b\\\"\"",
            "SSUBSCRIBE" => "\"smessage\",\"news\",\"a \\\"b\\\"\"",
            _ => "\"message\",\"news\",\"a \\\"b\\\"\"",
        });
    }
}

#[test]
fn looks_on_at_what_others_do() {
    let server = Server::start(Program::Caskade, &[]);
    let mut other = server.connect();
    for version in ["-2", "-3"] {
        let Some(command) = cli(&server, &[version, "MONITOR"]) else { return };
        let mut session = Session::new(command);
        session.hears("OK");
        other.ask(&["SET", "k", "a \"b\"\r\n"]);
        let mut line = String::new();
        session.output.read_line(&mut line).expect("a line");
        assert!(line.contains(" [0 127.0.0.1:") && line.ends_with("] \"SET\" \"k\" \"a \\\"b\\\"\\r\\n\"\n"), "{line}");
    }
}

#[test]
fn takes_arguments_from_everywhere() {
    let server = Server::start(Program::Caskade, &["--unixsocket", "socket"]);
    let Some(command) = cli(&server, &["-x", "SET", "k"]) else { return };
    let run = |arguments: &[&str], input: &[u8]| fed(cli(&server, arguments).expect("redis-cli"), input.to_vec());
    let get = |key: &str| server.connect().ask(&["GET", key]);
    assert_eq!(fed(command, b"from \0 stdin\n".to_vec()), "OK\n");
    assert_eq!(get("k"), Reply::Bulk(b"from \0 stdin\n".to_vec()));
    assert_eq!(run(&["-X", "TAG", "SET", "k", "TAG", "EX", "100"], b"tagged"), "OK\n");
    assert_eq!(get("k"), Reply::Bulk(b"tagged".to_vec()));
    assert_eq!(run(&["--quoted-input", "SET", "\"a\\x00b\"", "'1'"], b""), "OK\n");
    assert_eq!(get("a\0b"), Reply::Bulk(b"1".to_vec()));
    assert_eq!(run(&[], b"SET k 1\nINCR k\nGET k\n"), "OK\n2\n2\n");
    assert_eq!(run(&["-d", ";", "MGET", "k", "x"], b""), "2;\n");
    assert_eq!(run(&["-D", "<end>", "GET", "k"], b""), "2<end>");
    assert_eq!(run(&["-r", "4", "-i", "0.01", "INCRBY", "k", "2"], b""), "4\n6\n8\n10\n");

    let mut control = server.connect();
    control.ask(&["ACL", "SETUSER", "reader", "on", ">it's", "~*", "+get", "+select", "+ping"]);
    let url = format!("redis://reader:it%27s@127.0.0.1:{}/0", server.port());
    let reader = ["--no-auth-warning", "--user", "reader", "--pass", "it's"];
    for (arguments, expected) in [
        (&["--no-auth-warning", "-u", &url, "GET", "k"][..], "10\n"),
        (&[&reader[..], &["GET", "k"]].concat(), "10\n"),
        (&[&reader[..], &["-3", "-n", "7", "--no-raw", "GET", "k"]].concat(), "(nil)\n"),
    ] {
        assert_eq!(run(arguments, b""), expected, "{arguments:?}");
    }
    let refused = fed(cli(&server, &[&reader[..], &["SET", "k", "v"]].concat()).expect("redis-cli"), Vec::new());
    assert!(refused.contains("NOPERM User reader has no permissions to run the 'set' command"), "{refused}");
    let socket = server.data().with_file_name("socket");
    let mut command = cli(&server, &["-s"]).expect("redis-cli");
    command.arg(socket).args(["-n", "2", "CLIENT", "INFO"]);
    let told = output("redis-cli", command);
    assert!(told.contains(" flags=U db=2 "), "{told}");
    let mut command = cli(&server, &["GET", "k"]).expect("redis-cli");
    control.ask(&["CONFIG", "SET", "requirepass", "secret"]);
    command.env("REDISCLI_AUTH", "secret");
    assert_eq!(output("redis-cli", command), "10\n");
}

/// What Caskade has not, or not yet, ends in words that tell so, and breaks nothing.
#[test]
fn is_told_what_there_is_not() {
    let server = Server::start(Program::Caskade, &[]);
    let Some(_) = cli(&server, &[]) else { return };
    server.connect().ask(&["SET", "hot", "v"]);
    let cases: [(&[&str], &str); 5] = [
        (&["--rdb", "/dev/null"], "SYNC with master failed: -ERR unknown command 'SYNC'"),
        (&["--replica"], "SYNC with master failed: -ERR unknown command 'SYNC'"),
        (&["--functions-rdb", "/dev/null"], "REPLCONF rdb-filter-only error: ERR unknown command 'REPLCONF'"),
        (&["--hotkeys"], "An LFU maxmemory policy is not selected, access frequency not tracked."),
        (&["-e", "NOSUCH", "return 1", "0"], "ERR unknown command 'NOSUCH', with args beginning with: 'return 1' '0' "),
    ];
    for (arguments, expected) in cases {
        let printed = output_of_failure(cli(&server, arguments).expect("redis-cli"), b"");
        assert!(printed.contains(expected), "{arguments:?}\n{printed}");
    }
    let address = format!("127.0.0.1:{}", server.port());
    let printed = output_of_failure(cli(&server, &["--cluster", "info", &address]).expect("redis-cli"), b"");
    assert!(printed.contains("is not configured as a cluster node"), "{printed}");
    server.connect().ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lfu"]);
    let printed = output("redis-cli", cli(&server, &["--hotkeys"]).expect("redis-cli"));
    assert!(printed.contains("hot key found with counter") && printed.contains("\"hot\""), "{printed}");
}

#[test]
fn watches_the_server() {
    let server = Server::start(Program::Caskade, &[]);
    server.connect().ask(&["MSET", "a", "1", "b", "2", "c", "3"]);
    let Some(command) = cli(&server, &["--stat", "-i", "0.01"]) else { return };
    let mut session = Session::new(command);
    let lines: Vec<String> = (0..5)
        .map(|_| {
            let mut line = String::new();
            session.output.read_line(&mut line).expect("a line");
            line
        })
        .collect();
    assert!(lines[1].starts_with("keys"), "{lines:?}");
    assert!(lines[2..].iter().all(|line| line.starts_with("3 ")), "{lines:?}");

    let printed = output("redis-cli", cli(&server, &["--latency", "-i", "0.1"]).expect("redis-cli"));
    let numbers: Vec<f64> = printed.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    assert!(numbers.len() == 4 && numbers[3] > 1.0, "minimum, maximum, average and samples: {printed}");
    // These two draw for ever.
    let mut history = Session::new(cli(&server, &["--latency-history", "-i", "0.05"]).expect("redis-cli"));
    let drawn = history.bytes(200);
    assert!(drawn.split_whitespace().filter(|word| word.parse::<f64>().is_ok()).count() >= 8, "{drawn:?}");
    let mut spectrum = Session::new(cli(&server, &["--latency-dist", "-i", "0.05"]).expect("redis-cli"));
    let drawn = spectrum.bytes(2_000);
    assert!(drawn.contains("milliseconds") && drawn.matches('\n').count() > 8, "{drawn:?}");
}
