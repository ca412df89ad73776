//! Something that answers commands: the seam between what is asked and how it is reached.
//!
//! Always true: a target begins a section with no keys, no clients, no password and no user but the one that is always
//! there.

use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{Server, flag};
use std::collections::HashMap;
use std::time::Duration;

/// Who answers, as far as transcripts care: a name and the Redis version it claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub name: &'static str,
    pub version: (u32, u32),
}

pub trait Target {
    fn identity(&self) -> Identity;

    /// 2 or 3: what new clients speak.
    fn protocol(&self) -> u8;

    /// No keys, no clients, no password, no users, from here on.
    fn reset(&mut self);

    /// Hands a command over without waiting for its reply. A client is made by its first command.
    fn send(&mut self, client: &str, words: &[Vec<u8>]);

    /// The next reply of a client.
    fn receive(&mut self, client: &str) -> Reply;

    /// Moves time, or answers that it cannot.
    fn advance(&mut self, by: Duration) -> bool;

    fn roundtrip(&mut self, client: &str, words: &[Vec<u8>]) -> Reply {
        self.send(client, words);
        self.receive(client)
    }
}

/// What takes away all that a section may have left behind, but for its users.
pub const RESET: &[&[&str]] = &[
    &["CONFIG", "SET", "requirepass", ""],
    &["ACL", "SETUSER", "default", "on", "nopass", "allkeys", "allchannels", "allcommands", "clearselectors"],
    &["ACL", "LOG", "RESET"],
    &["FLUSHALL"],
];

/// The request that deletes all users that may be deleted; `users` is what ACL USERS answers.
pub fn delete_users(users: &Reply) -> Option<Vec<Vec<u8>>> {
    let names = users.elements().unwrap_or_default().iter().filter_map(|name| name.bytes());
    let names: Vec<Vec<u8>> = names.filter(|name| *name != b"default").map(<[u8]>::to_vec).collect();
    (!names.is_empty()).then(|| [vec![b"ACL".to_vec(), b"DELUSER".to_vec()], names].concat())
}

/// A running server, reached over TCP.
pub struct Socket<'a> {
    open: Box<dyn Fn(u8) -> Connection + 'a>,
    protocol: u8,
    control: Connection,
    clients: HashMap<String, Connection>,
    identity: Identity,
}

impl<'a> Socket<'a> {
    pub fn new(server: &'a Server, protocol: u8) -> Socket<'a> {
        Socket::opened_by(|protocol| server.connect_with(protocol), protocol)
    }

    /// As `new`, with connections that `open` makes for a version.
    pub fn opened_by(open: impl Fn(u8) -> Connection + 'a, protocol: u8) -> Socket<'a> {
        let mut control = open(2);
        let identity = identify(&mut control);
        Socket { open: Box::new(open), protocol, control, clients: HashMap::new(), identity }
    }

    fn client(&mut self, name: &str) -> &mut Connection {
        let Socket { open, protocol, clients, .. } = self;
        clients.entry(name.to_owned()).or_insert_with(|| open(*protocol))
    }
}

impl Target for Socket<'_> {
    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    fn protocol(&self) -> u8 {
        self.protocol
    }

    fn reset(&mut self) {
        self.clients.clear();
        // The control connection stays authenticated, so it can undo a password that a failed section left behind;
        // only a section on CLIENT KILL ends it.
        if !matches!(self.control.call(&["PING"]), Ok(Reply::Status(_))) {
            self.control = (self.open)(2);
        }
        for request in RESET {
            self.control.ask(request);
        }
        if let Some(request) = delete_users(&self.control.ask(&["ACL", "USERS"])) {
            self.control.ask(&request);
        }
    }

    fn send(&mut self, client: &str, words: &[Vec<u8>]) {
        // A connection that the server has closed says so when its reply is read.
        let _ = self.client(client).send(words);
    }

    fn receive(&mut self, client: &str) -> Reply {
        let reply = self.client(client).receive();
        reply.unwrap_or_else(|error| Reply::Error(format!("UNREADABLE {error}").into_bytes()))
    }

    fn advance(&mut self, by: Duration) -> bool {
        // A socket's clock is the wall; only a run that asks for it may spend the time.
        let may_wait = flag("CASKADE_REAL_TIME") && by <= Duration::from_secs(2);
        if may_wait {
            std::thread::sleep(by);
        }
        may_wait
    }
}

fn identify(control: &mut Connection) -> Identity {
    let info = control.ask(&["INFO", "server"]);
    let text = String::from_utf8_lossy(info.bytes().expect("INFO is text")).into_owned();
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let name = match (field("caskade_version"), field("valkey_version")) {
        (Some(_), _) => "caskade",
        (None, Some(_)) => "valkey",
        (None, None) => "redis",
    };
    let version = field("redis_version").expect("redis_version in INFO");
    let mut parts = version.split('.').map(|part| part.parse().expect("a version of numbers"));
    Identity { name, version: (parts.next().expect("major"), parts.next().expect("minor")) }
}
