//! Connections that wait, are held back, or look on: each scene is played on Caskade and on redis-server, and every reply
//! must be the same.
//!
//! Always true: nothing depends on how fast a server is: that a connection waits is asked for, not assumed.

mod lists;
mod log;
mod sorted_sets;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{Program, Server, wait_until};
use crate::words;

/// What happens. A letter is a connection; `$A` in a line is that connection's number.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// It sends a command and reads the reply.
    Ask(char, &'static str),
    /// It sends a command whose reply differs by version and place, and must be no error.
    Do(char, &'static str),
    /// It sends commands, and nobody reads.
    Send(char, &'static [&'static str]),
    /// It reads a reply.
    Read(char),
    /// So many connections wait or are held back.
    Blocked(u64),
    /// Its line of CLIENT LIST has these flags.
    Flags(char, &'static str),
    /// Its line of CLIENT LIST has this command.
    Does(char, &'static str),
    /// Until this key is there no more, for it.
    Gone(char, &'static str),
    /// It reads what MONITOR shows, up to this command.
    Shown(char, &'static str),
    /// It goes away.
    Leave(char),
}

use Step::{Ask, Blocked, Do, Does, Flags, Gone, Leave, Read, Send, Shown};

const SCENES: &[(&str, &[Step])] = &[
    ("WAIT ends", WAIT),
    ("what was sent before and after", PIPELINE),
    ("a client that waits", WAITERS),
    ("changes are held back", PAUSED_WRITES),
    ("everything is held back", PAUSED),
    ("a pause is made longer and stricter", LONGER),
    ("transactions are held back", PAUSED_TRANSACTIONS),
    ("keys whose time is over", EXPIRED),
    ("wrong words", WRONG),
    ("looking on", MONITOR),
    ("looking on at transactions", MONITOR_TRANSACTIONS),
    ("who looks on", MONITORS),
];

const WAIT: &[Step] = &[
    Ask('A', "WAIT 0 0"),
    Ask('A', "WAIT -1 0"),
    Ask('A', "WAIT 1 1"),
    Ask('A', "SET a 1"),
    Ask('A', "WAIT 2 10"),
    Send('A', &["WAIT 1 0"]),
    Blocked(1),
    Flags('A', "b"),
    Ask('B', "CLIENT UNBLOCK $A"),
    Read('A'),
    Flags('A', "N"),
    Send('A', &["WAIT 1 0"]),
    Blocked(1),
    Ask('B', "CLIENT UNBLOCK $A ERROR"),
    Read('A'),
    Send('A', &["WAIT 1 0"]),
    Blocked(1),
    Ask('B', "CLIENT UNBLOCK $A timeout"),
    Ask('B', "CLIENT UNBLOCK $A"),
    Read('A'),
    Ask('B', "CLIENT UNBLOCK $B"),
    Ask('B', "CLIENT UNBLOCK 123456789"),
    Ask('A', "MULTI"),
    Ask('A', "WAIT 1 0"),
    Ask('A', "EXEC"),
];

const PIPELINE: &[Step] = &[
    Send('A', &["SET a 1", "WAIT 1 0", "GET a", "WAIT 1 0", "GET b"]),
    Read('A'),
    Blocked(1),
    Does('A', "wait"),
    Ask('B', "SET a 2"),
    Ask('B', "CLIENT UNBLOCK $A"),
    Read('A'),
    Read('A'),
    Blocked(1),
    Send('A', &["PING"]),
    Ask('B', "CLIENT UNBLOCK $A"),
    Read('A'),
    Read('A'),
    Read('A'),
    Send('A', &["CLIENT REPLY OFF", "WAIT 1 0", "CLIENT REPLY ON"]),
    Blocked(1),
    Ask('B', "CLIENT UNBLOCK $A"),
    Read('A'),
    Send('A', &["CLIENT REPLY SKIP", "WAIT 1 0", "PING"]),
    Blocked(1),
    Ask('B', "CLIENT UNBLOCK $A ERROR"),
    Read('A'),
];

const WAITERS: &[Step] = &[
    Send('A', &["WAIT 1 0"]),
    Send('B', &["WAIT 1 0"]),
    Send('C', &["WAIT 1 0"]),
    Blocked(3),
    Leave('A'),
    Blocked(2),
    Ask('D', "CLIENT KILL ID $B"),
    Read('B'),
    Blocked(1),
    Ask('D', "CLIENT UNBLOCK $C"),
    Read('C'),
    Do('C', "HELLO 3 SETNAME see"),
    Ask('C', "SUBSCRIBE news"),
    Send('C', &["WAIT 1 0"]),
    Blocked(1),
    Ask('D', "PUBLISH news while-waiting"),
    Read('C'),
    Ask('D', "CLIENT UNBLOCK $C"),
    Read('C'),
    Ask('C', "CLIENT GETNAME"),
];

const PAUSED_WRITES: &[Step] = &[
    Ask('A', "CLIENT PAUSE 100000 WRITE"),
    Send('B', &["GET a", "SET a 1", "GET a"]),
    Read('B'),
    Send('C', &["PUBLISH news 1"]),
    Send('D', &["SET a"]),
    Read('D'),
    Blocked(2),
    Flags('B', "b"),
    Does('B', "set"),
    Ask('A', "GET a"),
    Send('D', &["DEL a"]),
    Blocked(3),
    Leave('D'),
    Blocked(2),
    Ask('A', "CLIENT UNPAUSE"),
    Read('B'),
    Read('B'),
    Read('C'),
    Blocked(0),
    Ask('A', "CLIENT UNPAUSE"),
    Ask('A', "SET a 2"),
];

const PAUSED: &[Step] = &[
    Ask('A', "PING"),
    Ask('B', "CLIENT PAUSE 100"),
    Send('A', &["GET a", "PING", "SET"]),
    Read('A'),
    Read('A'),
    Read('A'),
    Ask('B', "CLIENT PAUSE 50 ALL"),
    Ask('B', "CLIENT UNPAUSE"),
    Ask('B', "CLIENT PAUSE 0"),
    Ask('B', "PING"),
];

const LONGER: &[Step] = &[
    Ask('A', "CLIENT PAUSE 100000 WRITE"),
    Ask('A', "CLIENT PAUSE 1 WRITE"),
    Send('B', &["SET a 1"]),
    Blocked(1),
    Ask('A', "CLIENT UNPAUSE"),
    Read('B'),
    Ask('A', "CLIENT PAUSE 1 WRITE"),
    Send('B', &["SET a 1"]),
    Read('B'),
];

const PAUSED_TRANSACTIONS: &[Step] = &[
    Ask('A', "MULTI"),
    Ask('A', "SET a 1"),
    Ask('B', "MULTI"),
    Ask('B', "GET a"),
    Ask('C', "CLIENT PAUSE 100000 WRITE"),
    Ask('B', "EXEC"),
    Send('A', &["EXEC"]),
    Blocked(1),
    Ask('B', "MULTI"),
    Send('B', &["SET a 2"]),
    Blocked(2),
    Ask('C', "CLIENT UNPAUSE"),
    Read('A'),
    Read('B'),
    Ask('B', "EXEC"),
    Ask('A', "MULTI"),
    Ask('A', "CLIENT PAUSE 1000 WRITE"),
    Ask('A', "CLIENT UNPAUSE"),
    Ask('A', "EXEC"),
];

const EXPIRED: &[Step] = &[
    Ask('C', "SUBSCRIBE __keyevent@0__:expired"),
    Ask('A', "CONFIG SET notify-keyspace-events Ex"),
    Ask('A', "SET a 1 PX 200"),
    Ask('A', "CLIENT PAUSE 100000 WRITE"),
    Gone('B', "a"),
    Ask('B', "GET a"),
    Ask('B', "TTL a"),
    Ask('C', "PING"),
    Ask('A', "CLIENT UNPAUSE"),
    Read('C'),
    Ask('A', "CONFIG SET notify-keyspace-events \"\""),
];

const WRONG: &[Step] = &[
    Ask('A', "WAIT x 0"),
    Ask('A', "WAIT 1 x"),
    Ask('A', "WAIT 1 1.5"),
    Ask('A', "WAIT 1 -1"),
    Ask('A', "WAIT 0 -1"),
    Ask('A', "WAIT 1 9223372036854775808"),
    Ask('A', "WAIT 1"),
    Ask('A', "CLIENT PAUSE"),
    Ask('A', "CLIENT PAUSE x"),
    Ask('A', "CLIENT PAUSE -1"),
    Ask('A', "CLIENT PAUSE x NONE"),
    Ask('A', "CLIENT PAUSE 1 WRITE NONE"),
    Ask('A', "CLIENT UNPAUSE x"),
    Ask('A', "CLIENT UNBLOCK"),
    Ask('A', "CLIENT UNBLOCK x"),
    Ask('A', "CLIENT UNBLOCK x NONE"),
    Ask('A', "CLIENT UNBLOCK 1 NONE"),
    Ask('A', "CLIENT UNBLOCK 1 ERROR ERROR"),
    Ask('A', "MONITOR x"),
];

const MONITOR: &[Step] = &[
    Ask('A', "MONITOR"),
    Ask('B', "SET a \"x\\x00\\xff\\n\\r\\t\\a\\b\\\\ \\\"q\\\" é\""),
    Ask('B', "get a"),
    Ask('B', "AUTH wrong"),
    Ask('B', "AUTH default wrong"),
    Do('B', "HELLO 2 AUTH default wrong SETNAME b"),
    Do('B', "HELLO 2 SETNAME b"),
    Ask('B', "SELECT 3"),
    Ask('B', "DEL a"),
    Ask('B', "NOSUCH a"),
    Ask('B', "SET a"),
    Ask('B', "CONFIG GET databases"),
    Ask('B', "CLIENT SETNAME b"),
    Ask('B', "CLIENT LIST ID 1"),
    Ask('B', "ACL WHOAMI"),
    Ask('B', "ACL LIST"),
    Ask('B', "SLOWLOG LEN"),
    Do('B', "COMMAND COUNT"),
    Ask('B', "PUBLISH news 1"),
    Ask('B', "OBJECT ENCODING nosuch"),
    Ask('B', "INCR \"\""),
    Ask('B', "INCR \"\""),
    Ask('B', "SET s x"),
    Ask('B', "INCR s"),
    Send('C', &["WAIT 1 0"]),
    Blocked(1),
    Ask('B', "CLIENT UNBLOCK $C"),
    Read('C'),
    Ask('B', "ECHO end"),
    Shown('A', "ECHO"),
];

const MONITOR_TRANSACTIONS: &[Step] = &[
    Ask('A', "MONITOR"),
    Ask('B', "MULTI"),
    Ask('B', "SET a 1"),
    Ask('B', "SELECT 2"),
    Ask('B', "GET a"),
    Ask('B', "CONFIG GET databases"),
    Ask('B', "EXEC"),
    Ask('B', "MULTI"),
    Ask('B', "NOSUCH"),
    Ask('B', "EXEC"),
    Ask('B', "MULTI"),
    Ask('B', "SET a 2"),
    Ask('B', "DISCARD"),
    Ask('B', "WATCH a"),
    Ask('B', "SET a 3"),
    Ask('B', "MULTI"),
    Ask('B', "SET a 4"),
    Ask('B', "EXEC"),
    Ask('B', "EXEC"),
    Ask('B', "ECHO end"),
    Shown('A', "ECHO"),
];

const MONITORS: &[Step] = &[
    Ask('A', "MONITOR"),
    Send('A', &["MONITOR"]),
    Flags('A', "O"),
    Ask('A', "GET a"),
    Ask('A', "SET a 1"),
    Ask('A', "CLIENT PAUSE 100000 WRITE"),
    Ask('A', "CLIENT UNPAUSE"),
    Ask('A', "CONFIG GET databases"),
    Ask('B', "GET a"),
    Ask('B', "ECHO one"),
    Shown('A', "ECHO"),
    Ask('A', "RESET"),
    Flags('A', "N"),
    Ask('B', "ECHO two"),
    Ask('A', "GET a"),
    Ask('B', "MULTI"),
    Ask('B', "MONITOR"),
    Ask('B', "EXEC"),
    Do('C', "HELLO 3"),
    Ask('C', "MONITOR"),
    Ask('B', "ECHO three"),
    Shown('C', "ECHO"),
    Leave('C'),
];

struct Scene<'s> {
    server: &'s Server,
    protocol: u8,
    connections: BTreeMap<char, (Connection, i64)>,
    control: Connection,
}

impl<'s> Scene<'s> {
    fn new(server: &'s Server, protocol: u8) -> Self {
        let mut control = server.connect();
        control.ask(&["FLUSHALL"]);
        Self { server, protocol, connections: BTreeMap::new(), control }
    }

    fn connection(&mut self, letter: char) -> &mut Connection {
        let (server, protocol) = (self.server, self.protocol);
        let open = || {
            let mut connection = server.connect_with(protocol);
            let id = connection.ask(&["CLIENT", "ID"]).integer().expect("a number");
            (connection, id)
        };
        &mut self.connections.entry(letter).or_insert_with(open).0
    }

    fn send(&mut self, letter: char, line: &str) {
        self.connection(letter);
        let line = self
            .connections
            .iter()
            .fold(line.to_owned(), |line, (letter, (_, id))| line.replace(&format!("${letter}"), &id.to_string()));
        let words = words::split(&line).expect("a line of words");
        self.connection(letter).send(&words).expect("to send");
    }

    fn read(&mut self, letter: char) -> String {
        let reply = self.connection(letter).receive().expect("a reply");
        format!("{reply:?}")
    }

    /// Waits until its line of CLIENT LIST has this part.
    fn wait_for_line(&mut self, letter: char, part: &str) -> Vec<String> {
        self.connection(letter);
        let id = self.connections[&letter].1.to_string();
        let control = &mut self.control;
        wait_until(&format!("{letter} to have {part}"), Duration::from_secs(20), || {
            let list = control.ask(&["CLIENT", "LIST", "ID", &id]);
            String::from_utf8_lossy(list.bytes().expect("text")).contains(part)
        });
        Vec::new()
    }

    fn play(&mut self, step: Step) -> Vec<String> {
        match step {
            Ask(letter, line) => {
                self.send(letter, line);
                vec![self.read(letter)]
            }
            Do(letter, line) => {
                self.send(letter, line);
                let reply = self.connection(letter).receive().expect("a reply");
                assert!(!matches!(reply, Reply::Error(_) | Reply::Closed | Reply::Silent), "{line}: {reply:?}");
                Vec::new()
            }
            Send(letter, lines) => {
                lines.iter().for_each(|line| self.send(letter, line));
                Vec::new()
            }
            Read(letter) => vec![self.read(letter)],
            Blocked(count) => {
                let control = &mut self.control;
                wait_until(&format!("{count} to wait"), Duration::from_secs(20), || {
                    let info = control.ask(&["INFO", "clients"]);
                    let text = String::from_utf8_lossy(info.bytes().expect("text")).into_owned();
                    text.contains(&format!("blocked_clients:{count}\r\n"))
                });
                Vec::new()
            }
            Flags(letter, flags) => self.wait_for_line(letter, &format!(" flags={flags} ")),
            Does(letter, command) => self.wait_for_line(letter, &format!(" cmd={command} ")),
            Gone(letter, key) => {
                let connection = self.connection(letter);
                wait_until(&format!("{key} to be gone"), Duration::from_secs(20), || {
                    connection.ask(&["EXISTS", key]) == Reply::Integer(0)
                });
                Vec::new()
            }
            Shown(letter, last) => {
                let mut lines = Vec::new();
                loop {
                    let reply = self.connection(letter).receive().expect("a line");
                    let Reply::Status(line) = reply else { panic!("{reply:?} after {lines:?}") };
                    let line = shown_line(&String::from_utf8(line).expect("printable text"));
                    let is_control = ["\"INFO\" \"clients\"", "\"FLUSHALL\""].iter().any(|own| line.contains(own));
                    let is_opening = ["\"HELLO\" \"3\"", "\"CLIENT\" \"ID\""].iter().any(|own| line.ends_with(own));
                    let is_last = line.contains(&format!("\"{last}\""));
                    if !is_control && !is_opening {
                        lines.push(line);
                    }
                    if is_last {
                        return lines;
                    }
                }
            }
            Leave(letter) => {
                self.connections.remove(&letter);
                Vec::new()
            }
        }
    }
}

/// A line of MONITOR without its time and the client's port, which must look as they do.
fn shown_line(line: &str) -> String {
    let pattern = regex_lite::Regex::new(r"^\d{10,}\.\d{6} \[(\d+) 127\.0\.0\.1:\d+\] ").expect("a pattern");
    assert!(pattern.is_match(line), "{line}");
    pattern.replace(line, "[$1] ").into_owned()
}

#[test]
fn scenes_are_as_with_redis() {
    if let Some(oracle) = Program::oracle() {
        compare(oracle, SCENES.iter().chain(lists::SCENES).chain(sorted_sets::SCENES));
    }
}

#[test]
fn newer_scenes_are_as_with_valkey() {
    if Program::Valkey.path().is_none() {
        return println!("skipped: CASKADE_VALKEY does not name a valkey-server");
    }
    compare(Program::Valkey, lists::NEWER_SCENES.iter());
}

fn compare<'s>(oracle: Program, scenes: impl Iterator<Item = &'s (&'s str, &'s [Step])>) {
    let (ours, theirs) = (Server::start(Program::Caskade, &[]), Server::start(oracle, &[]));
    let mut differences = Vec::new();
    for (name, steps) in scenes {
        for protocol in [2, 3] {
            let (mut own, mut other) = (Scene::new(&ours, protocol), Scene::new(&theirs, protocol));
            for step in *steps {
                let (read, expected) = (own.play(*step), other.play(*step));
                let is_silent = [&read, &expected].iter().any(|read| read.concat().contains("Silent"));
                assert!(!is_silent, "{name}, RESP{protocol}, {step:?}: {read:?}, Redis: {expected:?}");
                if read != expected {
                    differences.push(format!("{name}, RESP{protocol}, {step:?}:\n  {read:?}\n  Redis: {expected:?}"));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What WAITAOF answers is true: a kill or a power cut after it costs nothing of what came before.
#[test]
fn waitaof_waits_for_the_disk() {
    for fsync in ["always", "everysec", "no"] {
        let server = Server::start(Program::Caskade, &["--appendfsync", fsync]);
        let mut connection = server.connect();
        let both = |local, replicas| Reply::Array(vec![Reply::Integer(local), Reply::Integer(replicas)]);
        assert_eq!(connection.ask(&["WAITAOF", "1", "0", "0"]), both(1, 0), "nothing was changed");
        for number in 0..20 {
            connection.ask(&["SET", &format!("key{number}"), "value"]);
            assert_eq!(connection.ask(&["WAITAOF", "1", "0", "0"]), both(1, 0));
            let info = connection.ask(&["INFO", "persistence"]);
            let info = String::from_utf8_lossy(info.bytes().expect("text")).into_owned();
            assert!(info.contains("aof_pending_bio_fsync:0"), "{info}");
        }
        let began = Instant::now();
        assert_eq!(connection.ask(&["WAITAOF", "1", "1", "60"]), both(1, 0), "there are no replicas");
        assert!(began.elapsed() >= Duration::from_millis(60));
        // Inside a transaction nobody waits.
        for line in [&["MULTI"][..], &["SET", "a", "1"], &["WAITAOF", "0", "0", "0"], &["WAITAOF", "1", "1", "0"]] {
            connection.ask(line);
        }
        let Reply::Array(replies) = connection.ask(&["EXEC"]) else { panic!("an array") };
        assert_eq!(replies[0], Reply::Status(b"OK".to_vec()));
        assert!(replies[1..].iter().all(|reply| *reply == both(1, 0)), "{replies:?}");
    }
}

/// Many that are held back are let go together.
#[test]
fn many_wait_and_are_let_go() {
    const CLIENTS: usize = 500;
    let server = Server::start(Program::Caskade, &[]);
    let mut control = server.connect();
    let mut clients: Vec<Connection> = (0..CLIENTS).map(|_| server.connect()).collect();
    control.ask(&["CLIENT", "PAUSE", "100000", "WRITE"]);
    for client in &mut clients {
        client.send(&["INCR", "counter"]).expect("to send");
    }
    wait_until("all to be held back", Duration::from_secs(30), || {
        let info = control.ask(&["INFO", "clients"]);
        String::from_utf8_lossy(info.bytes().expect("text")).contains(&format!("blocked_clients:{CLIENTS}\r\n"))
    });
    control.ask(&["CLIENT", "UNPAUSE"]);
    let mut seen: Vec<i64> =
        clients.iter_mut().map(|client| client.receive().expect("a reply").integer().expect("a number")).collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(1..=CLIENTS as i64));
}

/// The time of a command is over whether or not its client reads what came before it.
#[test]
fn who_does_not_read_waits_no_longer_than_it_said() {
    let server = Server::start(Program::Caskade, &[]);
    let mut control = server.connect();
    control.ask(&["SET", "large", &"x".repeat(200_000)]);
    // Where a client's replies fill its socket depends on the kernel: each of these has asked for some more.
    let mut clients: Vec<Connection> = (0..50).map(|_| server.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        (0..number).for_each(|_| client.send(&["GET", "large"]).expect("to send"));
        client.send(&["WAIT", "1", "100"]).expect("to send");
    }
    let field = |control: &mut Connection, section: &str, name: &str| -> u64 {
        let info = control.ask(&["INFO", section]);
        let text = String::from_utf8_lossy(info.bytes().expect("text")).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        line.map_or(0, |line| line.split(',').next().and_then(|count| count.parse().ok()).expect("a number"))
    };
    wait_until("all that wait to be done", Duration::from_secs(20), || {
        field(&mut control, "commandstats", "cmdstat_wait:calls=") > 0
            && field(&mut control, "clients", "blocked_clients:") == 0
    });
    for (number, mut client) in clients.into_iter().enumerate() {
        for _ in 0..number {
            assert!(client.receive().expect("a value").bytes().is_some_and(|value| value.len() == 200_000));
        }
        assert_eq!(client.receive().expect("a reply"), Reply::Integer(0));
    }
}
