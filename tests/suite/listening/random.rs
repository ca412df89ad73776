//! Random commands on four connections, two of which speak RESP3 at first, on Caskade and on redis-server: what each
//! connection reads after each of them must be the same, whoever sent it.
//!
//! Always true: a seed gives the same steps; what Redis sends in the order of a hash table is compared without order.

use std::collections::BTreeMap;

use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{Program, Server, number};
use crate::words;

const CONNECTIONS: usize = 4;

/// Steps that begin with new connections and no keys.
const ROUND: usize = 80;

/// A step: a connection, and what it sends at once.
#[derive(Clone, Debug)]
struct Step {
    connection: usize,
    lines: Vec<String>,
}

const LINES: &[&str] = &[
    "SUBSCRIBE $channels",
    "SUBSCRIBE $channels",
    "UNSUBSCRIBE",
    "UNSUBSCRIBE $channels",
    "PSUBSCRIBE $patterns",
    "PSUBSCRIBE $patterns",
    "PUNSUBSCRIBE",
    "PUNSUBSCRIBE $patterns",
    "SSUBSCRIBE $channels",
    "SUNSUBSCRIBE",
    "SUNSUBSCRIBE $channels",
    "PUBLISH $channel $value",
    "PUBLISH $channel $value",
    "PUBLISH $channel $value",
    "SPUBLISH $channel $value",
    "PUBSUB CHANNELS",
    "PUBSUB CHANNELS $pattern",
    "PUBSUB NUMSUB $channels",
    "PUBSUB NUMPAT",
    "PUBSUB SHARDCHANNELS",
    "PUBSUB SHARDNUMSUB $channels",
    "CONFIG SET notify-keyspace-events $events",
    "CONFIG SET notify-keyspace-events $events",
    "CONFIG SET slowlog-max-len $small maxmemory-policy $word",
    "CONFIG SET slowlog-max-len $small slowlog-max-len $small",
    "CONFIG GET slowlog-max-len maxmemory-policy",
    "SET $key $value",
    "SET $key $value",
    "SET $key $value NX GET",
    "SET $key $value EX 10000",
    "MSET $key $value $key $value",
    "GET $key",
    "GET $key",
    "MGET $key $key",
    "GETDEL $key",
    "GETEX $key PERSIST",
    "DEL $key $key",
    "INCR $key",
    "APPEND $key $value",
    "SETRANGE $key 2 $value",
    "EXPIRE $key 10000",
    "EXPIRE $key -1",
    "PERSIST $key",
    "RENAME $key $key",
    "COPY $key $key REPLACE",
    "MOVE $key 1",
    "TOUCH $key",
    "EXISTS $key",
    "STRLEN $key",
    "SELECT 0",
    "SELECT 1",
    "FLUSHDB",
    "FLUSHALL",
    "CLIENT TRACKING ON",
    "CLIENT TRACKING ON $tracking",
    "CLIENT TRACKING ON $tracking $tracking",
    "CLIENT TRACKING OFF",
    "CLIENT CACHING YES",
    "CLIENT CACHING NO",
    "CLIENT TRACKINGINFO",
    "CLIENT GETREDIR",
    "CLIENT SETNAME $word",
    "CLIENT GETNAME",
    "CLIENT NO-EVICT $word",
    "HELLO 2",
    "HELLO 3",
    "HELLO 3 SETNAME $word",
    "HELLO $small",
    "HELLO 3 AUTH $user $word",
    "RESET",
    "AUTH $user $word",
    "AUTH $word",
    "ACL WHOAMI",
    "ACL USERS",
    "ACL SETUSER $user $rules +ping",
    "ACL SETUSER $user $rules +ping",
    "ACL SETUSER $user $rules +ping",
    "ACL GETUSER $user",
    "ACL LIST",
    "ACL DELUSER alice",
    "ACL DRYRUN $user $command",
    "ACL DRYRUN $user $command",
    "ACL DRYRUN $user $command",
    "ACL CAT nosuch",
    "PING",
    "PING $value",
    "ECHO $value",
    "WAIT 0 0",
    "NOSUCH $value",
];

/// What takes effect together, at the end: no command here finds what another one has done to its connection, as Redis would.
const TRANSACTIONS: &[&str] = &[
    "PUBLISH $channel $value",
    "SET $key $value",
    "SET $key $value",
    "DEL $key",
    "INCR $key",
    "EXPIRE $key 10000",
    "SELECT 1",
    "ACL SETUSER $user $rules +ping",
    "WAIT 0 0",
    "NOSUCH",
];

const CHANNELS: &[&str] = &["a", "ab", "b", "__keyspace@0__:k1", "__keyevent@0__:set", "__keyevent@1__:del", "\"\""];

const PATTERNS: &[&str] = &["a*", "*", "__key*__:*", "__keyevent@0__:*", "__keyspace@*__:k?", "[ab]", "a"];

const WORDS: &[&str] = &["x", "secret", "on", "off", "noeviction", "allkeys-lru", "read", "pubsub", "\"two words\""];

const RULES: &[&str] = &[
    "on",
    "off",
    "nopass",
    ">secret",
    "<secret",
    "resetpass",
    "~*",
    "~k1",
    "%R~k2",
    "%W~k*",
    "allkeys",
    "resetkeys",
    "&*",
    "&a*",
    "&b",
    "resetchannels",
    "allchannels",
    "+@all",
    "-@all",
    "+@read",
    "-@write",
    "+@pubsub",
    "+get",
    "-set",
    "+config|get",
    "-config",
    "+client",
    "-client|id",
    "+@connection",
    "+publish",
    "(+get ~k3)",
    "(%R~k1 +@read)",
    "clearselectors",
    "reset",
    "+nosuch",
    "~",
    "%X~k",
    "sanitize-payload",
];

const COMMANDS: &[&str] = &[
    "GET k1",
    "SET k1 v",
    "GET k2",
    "SET k2 v",
    "GET k3",
    "MGET k1 k3",
    "RENAME k1 k2",
    "COPY k2 k1",
    "CONFIG GET x",
    "CONFIG SET x y",
    "CLIENT ID",
    "PUBLISH a m",
    "SUBSCRIBE b ab",
    "PSUBSCRIBE a*",
    "SPUBLISH b m",
    "PING",
    "FLUSHALL",
    "NOSUCH",
    "GET",
    "ACL LIST",
];

/// Without BCAST: Redis sends what that is about at the end of its round, with what others have changed meanwhile.
const TRACKING: &[&str] = &["OPTIN", "OPTOUT", "NOLOOP", "PREFIX k1", "REDIRECT 999999"];

const EVENTS: &[&str] = &["KEA", "\"\"", "Kg$", "Eg$n", "KEAn", "E$", "A", "KElshzxetd"];

fn fill(random: &mut fastrand::Rng, line: &str) -> String {
    line.split(' ').map(|word| filled(random, word)).collect::<Vec<_>>().join(" ")
}

fn filled(random: &mut fastrand::Rng, word: &str) -> String {
    let several = |random: &mut fastrand::Rng, from: &[&str], most: usize| {
        let count = random.usize(1..=most);
        (0..count).map(|_| from[random.usize(..from.len())]).collect::<Vec<_>>().join(" ")
    };
    let (from, most): (&[&str], usize) = match word {
        "$channel" => (CHANNELS, 1),
        "$channels" => (CHANNELS, 3),
        "$pattern" => (PATTERNS, 1),
        "$patterns" => (PATTERNS, 2),
        "$key" => (&["k1", "k2", "k3"], 1),
        "$value" => (&["v", "1", "\"\"", "\"\\x00\\r\\n\"", "a-longer-value"], 1),
        "$small" => (&["0", "1", "2", "3", "4", "10", "x", "-1"], 1),
        "$word" => (WORDS, 1),
        "$user" => (&["alice", "alice", "bob", "nosuch"], 1),
        "$rules" => (RULES, 4),
        "$command" => (COMMANDS, 1),
        "$tracking" => (TRACKING, 1),
        "$events" => (EVENTS, 1),
        _ => return word.to_owned(),
    };
    several(random, from, most)
}

fn steps(seed: u64) -> Vec<Step> {
    let mut random = fastrand::Rng::with_seed(seed);
    let step = |_| {
        let connection = random.usize(..CONNECTIONS);
        let lines = if random.u8(..8) == 0 {
            let inner = random.usize(1..4);
            let mut lines = vec!["MULTI".to_owned()];
            lines.extend((0..inner).map(|_| TRANSACTIONS[random.usize(..TRANSACTIONS.len())]).map(str::to_owned));
            lines.push(if random.u8(..6) == 0 { "DISCARD" } else { "EXEC" }.to_owned());
            lines.iter().map(|line| fill(&mut random, line)).collect()
        } else {
            let line = LINES[random.usize(..LINES.len())];
            vec![fill(&mut random, line)]
        };
        Step { connection, lines }
    };
    (0..ROUND).map(step).collect()
}

/// One of the two servers, with its connections.
struct Stage<'s> {
    server: &'s Server,
    admin: Connection,
    connections: BTreeMap<usize, Connection>,
    marks: usize,
}

impl<'s> Stage<'s> {
    fn new(server: &'s Server) -> Self {
        Self { server, admin: server.connect(), connections: BTreeMap::new(), marks: 0 }
    }

    fn reset(&mut self) {
        // One at a time: who goes away is told to others, who must not be there any more.
        self.connections.clear();
        for line in [
            "FLUSHALL",
            "CONFIG SET notify-keyspace-events \"\" slowlog-max-len 128 maxmemory-policy noeviction",
            "ACL DELUSER alice bob nosuch",
        ] {
            self.admin.ask(&words::split(line).expect("words"));
        }
        for number in 0..CONNECTIONS {
            self.connections.insert(number, self.server.connect_with(2 + (number % 2) as u8));
        }
        self.marks = 0;
    }

    /// What each connection reads after a step.
    fn play(&mut self, step: &Step) -> Vec<String> {
        let connection = self.connections.get_mut(&step.connection).expect("it is open");
        for line in &step.lines {
            // One that the server has closed shows in what is read.
            let _ = connection.send(&words::split(line).expect("a line of words"));
        }
        let mut read = self.read_up_to_mark(step.connection);
        for other in (0..CONNECTIONS).filter(|other| *other != step.connection) {
            read.append(&mut self.read_up_to_mark(other));
        }
        normalized(step, read)
    }

    fn read_up_to_mark(&mut self, number: usize) -> Vec<String> {
        self.marks += 1;
        let mark = format!("mark {}", self.marks);
        let connection = self.connections.get_mut(&number).expect("it is open");
        let _ = connection.send(&["PING", &mark]);
        let is_mark = |reply: &Reply| match reply {
            Reply::Bulk(bytes) => bytes == mark.as_bytes(),
            Reply::Array(words) => words.len() == 2 && words[1] == Reply::Bulk(mark.as_bytes().to_vec()),
            _ => false,
        };
        let mut read = Vec::new();
        loop {
            let reply = connection.receive().unwrap_or_else(|error| panic!("{error} after {read:?}"));
            if is_mark(&reply) {
                return read;
            }
            assert!(reply != Reply::Silent, "{number} waits after {read:?}");
            let is_over = reply == Reply::Closed;
            read.push(format!("{number} reads {}", reply.notation().join(" ")));
            if is_over {
                self.connections.insert(number, self.server.connect_with(2 + (number % 2) as u8));
                return read;
            }
        }
    }
}

/// Without what differs by nature: the order of a hash table, numbers of connections, versions.
fn normalized(step: &Step, mut read: Vec<String>) -> Vec<String> {
    let is_one = |names: &[&str]| step.lines.iter().any(|line| names.iter().any(|name| line.starts_with(name)));
    // 7.2 names the user.
    let pattern = regex_lite::Regex::new(r"(?i)\b(this user|user \w+) has no permissions").expect("a pattern");
    read.iter_mut().for_each(|line| *line = pattern.replace_all(line, "- has no permissions").into_owned());
    if step.lines.len() > 1 {
        // 7.0 writes what a transaction causes for its own connection into the middle of its reply.
        let words =
            |line: &String| line.split(' ').filter(|word| !is_place(word)).map(str::to_owned).collect::<Vec<_>>();
        read = read.iter().flat_map(words).collect();
    }
    if is_one(&["ACL LIST", "ACL GETUSER"]) {
        // 7.2 keeps the rules about commands as they were given, 7.0 those that it needs.
        let pattern = regex_lite::Regex::new(r"[+-]@?[a-z][a-z|-]*").expect("a pattern");
        let spaces = regex_lite::Regex::new(" +").expect("a pattern");
        let plain = |line: &String| spaces.replace_all(&pattern.replace_all(line, ""), " ").replace(" \"", "\"");
        read = read.iter().map(plain).collect();
    }
    if is_one(&["HELLO"]) {
        let pattern =
            regex_lite::Regex::new(r#""7\.[0-9.]+"|"id" (=> )?\(integer\) \d+|\d+[)#] "id"( =>)? .*\(integer\) \d+"#);
        let pattern = pattern.expect("a pattern");
        read.iter_mut().for_each(|line| *line = pattern.replace_all(line, "-").into_owned());
    }
    if is_one(&["UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "RESET"]) {
        // Which of them goes first, and so how many are left, is the hash table's order.
        let pattern = regex_lite::Regex::new(r"\(integer\) \d+").expect("a pattern");
        read.iter_mut().for_each(|line| *line = pattern.replace_all(line, "-").into_owned());
    }
    if is_one(&["PUBSUB CHANNELS", "PUBSUB SHARDCHANNELS", "ACL CAT", "CONFIG GET"]) {
        let sorted = |line: &String| {
            let mut words: Vec<&str> = line.split('"').collect();
            words.sort_unstable();
            words.concat().chars().filter(|character| !character.is_ascii_digit()).collect()
        };
        read = read.iter().map(sorted).collect();
    }
    read.sort_unstable();
    read
}

/// Whether this is where an element stands in its array: `2)`.
fn is_place(word: &str) -> bool {
    word.is_empty() || word.strip_suffix([')', '>', '#', '~']).is_some_and(|number| number.parse::<usize>().is_ok())
}

/// The first step after which they differ, with what was read.
fn difference(steps: &[Step], ours: &mut Stage<'_>, theirs: &mut Stage<'_>) -> Option<(usize, String)> {
    ours.reset();
    theirs.reset();
    steps.iter().enumerate().find_map(|(at, step)| {
        let (read, expected) = (ours.play(step), theirs.play(step));
        (read != expected).then(|| (at, format!("  {}\nRedis:\n  {}", read.join("\n  "), expected.join("\n  "))))
    })
}

/// Leaves out what is not needed for some difference to show.
fn shrink(mut steps: Vec<Step>, ours: &mut Stage<'_>, theirs: &mut Stage<'_>) -> Vec<Step> {
    let mut piece = steps.len().div_ceil(2);
    loop {
        let mut at = 0;
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + piece).min(steps.len()));
            match difference(&fewer, ours, theirs) {
                Some((last, _)) => {
                    fewer.truncate(last + 1);
                    steps = fewer;
                }
                None => at += piece,
            }
        }
        if piece == 1 {
            return steps;
        }
        piece = piece.div_ceil(2);
    }
}

#[test]
fn random_connections_read_what_they_read_from_redis() {
    let Some(oracle) = Program::oracle() else { return };
    let (ours, theirs) = (Server::start(Program::Caskade, &[]), Server::start(oracle, &[]));
    let (mut ours, mut theirs) = (Stage::new(&ours), Stage::new(&theirs));
    let seed = number("CASKADE_DIFFERENTIAL_SEED", fastrand::u64(..1 << 32));
    let rounds = number("CASKADE_LISTENING_ROUNDS", 60);
    println!("{rounds} rounds of {ROUND} steps from seed {seed}");
    for round in 0..rounds {
        let seed = seed.wrapping_add(round);
        let steps = steps(seed);
        if let Some((at, read)) = difference(&steps, &mut ours, &mut theirs) {
            let shrunk = shrink(steps[..=at].to_vec(), &mut ours, &mut theirs);
            let read = difference(&shrunk, &mut ours, &mut theirs).map_or(read, |(_, read)| read);
            let lines: Vec<String> =
                shrunk.iter().map(|step| format!("  {}> {}", step.connection, step.lines.join("; "))).collect();
            panic!("CASKADE_DIFFERENTIAL_SEED={seed} finds a difference:\n{}\n{read}", lines.join("\n"));
        }
    }
}

#[test]
fn what_a_transaction_reads_of_its_own_is_tracked() {
    let Some(oracle) = Program::oracle() else { return };
    let (ours, theirs) = (Server::start(Program::Caskade, &[]), Server::start(oracle, &[]));
    let (mut ours, mut theirs) = (Stage::new(&ours), Stage::new(&theirs));
    let step =
        |connection, lines: &[&str]| Step { connection, lines: lines.iter().map(|line| (*line).into()).collect() };
    let steps = [
        step(1, &["CLIENT TRACKING ON NOLOOP"]),
        step(1, &["MULTI", "SET k1 v", "GET k1", "GET k2", "EXEC"]),
        step(3, &["SET k1 w"]),
        step(3, &["SET k1 w"]),
        step(3, &["SET k2 w"]),
    ];
    if let Some((at, read)) = difference(&steps, &mut ours, &mut theirs) {
        panic!("{:?}:\n{read}", steps[at]);
    }
    let told = ours.play(&step(3, &["SET k1 x"]));
    assert_eq!(told, ["3 reads OK"], "once");
}
