//! Caskade inside this process: its commands over a disk in memory and a clock moved by hand, with no socket.
//!
//! Always true: nothing waits for time to pass; now and then a command that reads a value finds none in memory, nor in
//! the page cache, and has to fetch it; a client sees its replies only when the log has what they tell.

use crate::connection::encode;
use crate::reply::Reply;
use crate::target::{Identity, RESET, Target, delete_users};
use caskade::commands::{Batch, Ended, Executed, Prepared, Registry, end_waiting, execute};
use caskade::config::{Config, Settings};
use caskade::keyspace::Keyspace;
use caskade::node::{Host, Node, Peer, Session, ShutdownRequest};
use caskade::protocol::{Decoded, Decoder, Limits, ReplyBuffer, Version};
use caskade::store::Options;
use caskade::store::clock::TestClock;
use caskade::store::disk::SimDisk;
use std::collections::HashMap;
use std::io::{BufRead, Cursor};
use std::sync::Arc;
use std::time::Duration;

/// Some moment: a Friday in 2026.
const BEGIN: u64 = 1_790_000_000_000;

/// Commands that read values.
const READERS: &[&str] = &[
    "GET",
    "GETEX",
    "GETDEL",
    "GETSET",
    "GETRANGE",
    "MGET",
    "STRLEN",
    "APPEND",
    "INCR",
    "INCRBYFLOAT",
    "LCS",
    "COPY",
    "RENAME",
    "EXEC",
    "HDEL",
    "HEXPIRE",
    "HGET",
    "HGETALL",
    "HGETDEL",
    "HGETEX",
    "HINCRBY",
    "HMGET",
    "HPERSIST",
    "HRANDFIELD",
    "HSCAN",
    "HSET",
    "HSETEX",
    "HSTRLEN",
    "HVALS",
    "SADD",
    "SINTER",
    "SMEMBERS",
    "SMOVE",
    "SPOP",
    "SREM",
    "SUNIONSTORE",
    "LINDEX",
    "LINSERT",
    "LMOVE",
    "LMPOP",
    "LPOP",
    "LPOS",
    "LRANGE",
    "LREM",
    "LSET",
    "RPOP",
    "SORT",
    "SORT_RO",
];

/// Every so many of them find no value in memory.
const COLD_EVERY: usize = 9;

pub struct Process {
    node: Node,
    registry: Registry,
    clock: Arc<TestClock>,
    protocol: u8,
    clients: HashMap<String, Client>,
    reads: usize,
}

struct Client {
    session: Session,
    out: ReplyBuffer,
    replies: Cursor<Vec<u8>>,
}

/// There is no server around the commands.
struct NoHost;

impl Host for NoHost {
    fn shut_down(&self, _: ShutdownRequest) {
        panic!("a transcript ends the server");
    }

    fn settings_changed(&self) {}
}

impl Process {
    pub fn new(protocol: u8) -> Process {
        let clock = Arc::new(TestClock::new(BEGIN));
        let settings = Settings::default();
        let disk = SimDisk::new();
        disk.set_cold(true);
        let opened =
            Keyspace::open(Arc::new(disk), clock.clone(), Options::default(), settings.databases, &mut |_, _| {});
        let (keyspace, _) = opened.expect("an empty disk opens");
        let registry = Registry::new();
        let node = Node::new(Config::new(settings, None), clock.clone(), Box::new(NoHost), registry.catalogue());
        node.set_keyspace(keyspace);
        Process { node, registry, clock, protocol, clients: HashMap::new(), reads: 0 }
    }

    fn keyspace(&self) -> &Keyspace {
        self.node.keyspace().expect("a loaded node")
    }

    /// Lets time pass, and nothing else happen.
    pub fn pass(&self, by: Duration) {
        self.clock.advance(by);
    }

    fn connect(&mut self, name: &str, protocol: u8) {
        let client = self.node.clients.add(Peer::Internal, -1, self.node.now());
        let session = Session::new(client, self.node.acl.default_account().clone());
        let client = Client { session, out: ReplyBuffer::new(Version::Resp2), replies: Cursor::default() };
        self.clients.insert(name.to_owned(), client);
        if protocol == 3 {
            self.execute(name, &[b"HELLO".to_vec(), b"3".to_vec()]);
            assert!(matches!(self.receive(name), Reply::Map(_)), "HELLO 3 answers a map");
        }
    }

    /// As a connection does it: decode, execute, wait for the log, send.
    fn execute(&mut self, name: &str, words: &[Vec<u8>]) {
        let Process { node, registry, clients, .. } = self;
        let client = clients.get_mut(name).expect("a connected client");
        if client.session.closing || client.session.client.is_killed() {
            return;
        }
        let bytes = encode(words);
        let mut decoder = Decoder::new();
        let decoded = decoder.decode(&bytes, &Limits::authenticated(512 << 20));
        assert_eq!(decoded, Ok(Decoded::Request { consumed: bytes.len() }));
        let mut batch = Batch::begin(node);
        let keyspace = node.keyspace().expect("a loaded node");
        let mut prepared: Option<Prepared> = None;
        loop {
            let (session, words) = (&mut client.session, decoder.arguments(&bytes));
            let executed =
                execute(node, registry, session, &mut batch, &mut client.out, None, words, prepared.as_ref(), None);
            if matches!(executed, Executed::Done) {
                break;
            }
            let prepared = prepared.get_or_insert_default();
            match executed {
                Executed::Done => {}
                Executed::Cold(cold) => {
                    cold.into_iter().for_each(|cold| prepared.pins.add(cold.fetch(keyspace)));
                }
                Executed::Errand(errand) => prepared.finished = Some(errand.run(keyspace)),
                Executed::Room => prepared.admitted = true,
                // Nobody comes in the middle of a command here: its time is over at once.
                Executed::Blocked(waiter) => {
                    if waiter.block.ends_durable {
                        keyspace.store().sync().expect("a disk that works");
                    }
                    assert!(end_waiting(node, registry, &waiter, &Ended::TimedOut), "nobody serves it");
                    let parked = node.waiting.take_back(&waiter).expect("a session");
                    client.session = parked.session;
                    client.out.raw(&parked.out.to_vec());
                    break;
                }
                Executed::Paused => panic!("nobody ends a pause here"),
            }
        }
        batch.finish(node);
        client.session.client.note_activity(batch.now, batch.last_command(), bytes.len() as u64, 0);
        client.session.publish();
        keyspace.store().wait_acknowledged(batch.wait).expect("a log that writes");
        client.replies.get_mut().extend(client.out.to_vec());
        client.out.advance(client.out.len());
    }

    fn receive_all(&mut self, name: &str) {
        while !matches!(self.receive(name), Reply::Silent | Reply::Closed) {}
    }

    /// Drives all values out of memory.
    fn chill(&self) {
        let keyspace = self.keyspace();
        keyspace.set_memory_limit(1);
        keyspace.govern(0);
        keyspace.set_memory_limit(0);
        keyspace.govern(0);
    }

    /// How many values were fetched from the disk.
    pub fn cold_reads(&self) -> u64 {
        self.keyspace().cold_reads()
    }

    fn disconnect(&mut self, name: &str) {
        if let Some(mut client) = self.clients.remove(name) {
            client.session.unwatch(self.keyspace());
            self.node.clients.remove(&client.session.client);
        }
    }
}

fn words(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

impl Target for Process {
    fn identity(&self) -> Identity {
        Identity { name: "caskade", version: (7, 2) }
    }

    fn protocol(&self) -> u8 {
        self.protocol
    }

    fn reset(&mut self) {
        let names: Vec<String> = self.clients.keys().cloned().collect();
        names.iter().for_each(|name| self.disconnect(name));
        self.connect("reset", 2);
        // Whatever a section has made of users, this client may do everything.
        let unlimited = "on nopass allkeys allchannels allcommands clearselectors".split(' ').map(str::as_bytes);
        self.node.acl.set_user(b"default", unlimited, false).expect("rules that are right");
        for request in RESET {
            self.execute("reset", &words(request));
        }
        self.receive_all("reset");
        self.execute("reset", &words(&["ACL", "USERS"]));
        let users = self.receive("reset");
        if let Some(request) = delete_users(&users) {
            self.execute("reset", &request);
        }
        self.disconnect("reset");
        assert_eq!(self.keyspace().watched(), 0, "a client that is gone still watches a key");
    }

    fn send(&mut self, client: &str, words: &[Vec<u8>]) {
        if !self.clients.contains_key(client) {
            self.connect(client, self.protocol);
        }
        if READERS.iter().any(|name| words[0].eq_ignore_ascii_case(name.as_bytes())) {
            self.reads += 1;
            // Sweeping all of a nearly empty memory takes its time, so not before each.
            if self.reads.is_multiple_of(COLD_EVERY) {
                self.chill();
            }
        }
        self.execute(client, words);
    }

    fn receive(&mut self, client: &str) -> Reply {
        let client = self.clients.get_mut(client).expect("a connected client");
        if client.replies.fill_buf().is_ok_and(|left| !left.is_empty()) {
            let reply = Reply::read(&mut client.replies);
            return reply.unwrap_or_else(|error| Reply::Error(format!("UNREADABLE {error}").into_bytes()));
        }
        let ended = client.session.closing || client.session.client.is_killed();
        if ended { Reply::Closed } else { Reply::Silent }
    }

    fn advance(&mut self, by: Duration) -> bool {
        self.pass(by);
        // The server's timer does this every few milliseconds.
        let keyspace = self.keyspace();
        while keyspace.expire_due(keyspace.now(), 100) > 0 {}
        true
    }
}
