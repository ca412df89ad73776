//! All connections, as CLIENT LIST shows them and CLIENT KILL finds them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::task::Waker;

use parking_lot::Mutex;

use super::Node;
use super::acl::{Account, DEFAULT};
use super::outbox::{Outbox, Post};
use super::tracking::Tracked;
use crate::protocol::Version;
use crate::store::Position;

/// Where a connection comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Over TCP: the peer's address and ours, as `ip:port`.
    Tcp { peer: String, local: String },
    /// Over a Unix socket at this path.
    Unix { path: String },
    /// From within this process.
    Internal,
}

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// Requests and replies.
    Normal,
    /// It has subscribed to something.
    PubSub,
}

/// One connection, as others see it.
#[derive(Debug)]
pub struct Client {
    /// Never used again while the server runs.
    pub id: u64,
    /// Where it comes from.
    pub peer: Peer,
    /// The socket's descriptor, for CLIENT LIST.
    pub descriptor: i32,
    created: u64,
    last_active: AtomicU64,
    database: AtomicU32,
    version: AtomicU32,
    command_index: AtomicUsize,
    queued: AtomicU32,
    watched: AtomicU32,
    in_transaction: AtomicBool,
    no_evict: AtomicBool,
    no_touch: AtomicBool,
    blocked: AtomicBool,
    monitors: AtomicBool,
    input_bytes: AtomicU64,
    output_bytes: AtomicU64,
    input_buffer: AtomicUsize,
    names: Mutex<Names>,
    /// What others have for it.
    pub outbox: Outbox,
    /// Bytes that wait for its socket, beside the outbox.
    unsent: AtomicUsize,
    queued_bytes: AtomicUsize,
    /// Subscriptions to channels, patterns and shard channels.
    subscriptions: [AtomicUsize; 3],
    tracked: Mutex<Option<Tracked>>,
    /// The connection that is told in its place is gone.
    broken_redirect: AtomicBool,
    killed: AtomicBool,
    /// It let more wait than it may.
    cut_off: AtomicBool,
    /// It is ended for the memory that it takes.
    evicted: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// What a connection is told by others while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was killed.
    Killed,
    /// There is something in its outbox.
    Messages,
}

#[derive(Clone, Debug, Default)]
struct Names {
    name: String,
    library: String,
    library_version: String,
    /// None before it was first told: then it is `default`.
    account: Option<Arc<Account>>,
}

const NO_COMMAND: usize = usize::MAX;

/// All connections.
#[derive(Debug, Default)]
pub struct Clients {
    next_id: AtomicU64,
    all: Mutex<BTreeMap<u64, Arc<Client>>>,
    closed: AtomicBool,
}

impl Clients {
    /// Adds a connection at `now` (milliseconds since the epoch).
    pub fn add(&self, peer: Peer, descriptor: i32, now: u64) -> Arc<Client> {
        let client = Arc::new(Client {
            id: self.next_id.fetch_add(1, Relaxed) + 1,
            peer,
            descriptor,
            created: now,
            last_active: AtomicU64::new(now),
            database: AtomicU32::new(0),
            version: AtomicU32::new(2),
            command_index: AtomicUsize::new(NO_COMMAND),
            queued: AtomicU32::new(0),
            watched: AtomicU32::new(0),
            in_transaction: AtomicBool::new(false),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            monitors: AtomicBool::new(false),
            input_bytes: AtomicU64::new(0),
            output_bytes: AtomicU64::new(0),
            input_buffer: AtomicUsize::new(0),
            names: Mutex::default(),
            outbox: Outbox::default(),
            unsent: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            subscriptions: Default::default(),
            tracked: Mutex::default(),
            broken_redirect: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            cut_off: AtomicBool::new(false),
            evicted: AtomicBool::new(false),
            waker: Mutex::default(),
        });
        self.all.lock().insert(client.id, client.clone());
        // Its socket may have waited for its thread while all others were ended.
        if self.closed.load(SeqCst) {
            client.kill();
        }
        client
    }

    /// Removes a connection that has ended.
    pub fn remove(&self, client: &Client) {
        self.all.lock().remove(&client.id);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.lock().len()
    }

    /// The one of this number.
    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.all.lock().get(&id).cloned()
    }

    /// Bytes that all connections take, with what they have sent ahead and what waits for them.
    pub fn memory_bytes(&self) -> u64 {
        self.all.lock().values().map(|client| client.memory_bytes() as u64).sum()
    }

    /// Cuts off those that take most, until the others take no more than `most` bytes; returns how many, and how many that were
    /// cut off have not gone yet. Who has asked for it by CLIENT NO-EVICT is spared.
    pub fn cut_off_largest(&self, most: u64) -> (u64, usize) {
        // What each takes changes all the time, and must count with what the sum was made of.
        let clients = self.all().into_iter().map(|client| (client.memory_bytes() as u64, client));
        // The others do not go for the sake of those who are spared.
        let mut clients: Vec<_> = clients.filter(|(_, client)| !client.no_evict.load(Relaxed)).collect();
        clients.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let mut left: u64 = clients.iter().map(|(bytes, _)| bytes).sum();
        let mut count = 0;
        for (bytes, client) in &clients {
            if left <= most {
                break;
            }
            left -= bytes;
            if !client.is_killed() {
                client.evicted.store(true, SeqCst);
                client.kill();
                count += 1;
            }
        }
        let going = clients.iter().filter(|(_, client)| client.is_evicted()).count();
        (count, going)
    }

    /// The most that one connection has sent ahead, in bytes.
    pub fn input_buffer_max(&self) -> usize {
        self.all.lock().values().map(|client| client.input_buffer.load(Relaxed)).max().unwrap_or(0)
    }

    /// The most that waits for one connection, in bytes.
    pub fn output_buffer_max(&self) -> usize {
        self.all.lock().values().map(|client| client.output_buffer()).max().unwrap_or(0)
    }

    /// All, the oldest first.
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.all.lock().values().cloned().collect()
    }

    /// Has all connections look again at what they wait for.
    pub fn wake_all(&self) {
        self.all().iter().for_each(|client| client.wake());
    }

    /// Ends all connections, also those still to be added.
    pub fn kill_all(&self) {
        self.closed.store(true, SeqCst);
        self.all().iter().for_each(|client| client.kill());
    }
}

impl Client {
    /// Its name, given by CLIENT SETNAME.
    pub fn name(&self) -> String {
        self.names.lock().name.clone()
    }

    /// Sets its name.
    pub fn set_name(&self, name: &str) {
        self.names.lock().name = name.into();
    }

    /// Sets what library it says it uses.
    pub fn set_library(&self, library: &str) {
        self.names.lock().library = library.into();
    }

    /// Sets that library's version.
    pub fn set_library_version(&self, version: &str) {
        self.names.lock().library_version = version.into();
    }

    /// Notes what CLIENT LIST shows of the connection's state.
    pub fn note_state(&self, database: u32, resp: u32, transaction: Option<usize>, watched: usize) {
        self.database.store(database, Relaxed);
        self.version.store(resp, Relaxed);
        self.in_transaction.store(transaction.is_some(), Relaxed);
        self.queued.store(transaction.unwrap_or(0) as u32, Relaxed);
        self.watched.store(watched as u32, Relaxed);
    }

    /// Notes activity at `now` (milliseconds), the last command's number, and the bytes that came in.
    pub fn note_activity(&self, now: u64, command: Option<usize>, input: u64, buffered: usize) {
        self.last_active.store(now, Relaxed);
        self.note_command(command);
        self.input_bytes.fetch_add(input, Relaxed);
        self.input_buffer.store(buffered, Relaxed);
    }

    /// Notes the last command's number, if there was one.
    pub fn note_command(&self, command: Option<usize>) {
        if let Some(command) = command {
            self.command_index.store(command, Relaxed);
        }
    }

    /// Notes bytes sent.
    pub fn note_output(&self, bytes: u64) {
        self.output_bytes.fetch_add(bytes, Relaxed);
    }

    /// Sets the flag of CLIENT NO-EVICT.
    pub fn set_no_evict(&self, on: bool) {
        self.no_evict.store(on, Relaxed);
    }

    /// Sets the flag of CLIENT NO-TOUCH.
    pub fn set_no_touch(&self, on: bool) {
        self.no_touch.store(on, Relaxed);
    }

    /// Whether its commands wait for something.
    pub fn set_blocked(&self, on: bool) {
        self.blocked.store(on, Relaxed);
    }

    /// Whether it is shown what all connections do.
    pub fn set_monitors(&self, on: bool) {
        self.monitors.store(on, Relaxed);
    }

    /// When it was last active, in milliseconds since the epoch.
    pub fn last_active(&self) -> u64 {
        self.last_active.load(Relaxed)
    }

    /// How long it has been there, in whole seconds.
    pub fn age_seconds(&self, now: u64) -> u64 {
        now.saturating_sub(self.created) / 1000
    }

    /// The peer's address, or the path of its Unix socket.
    pub fn address(&self) -> String {
        match &self.peer {
            Peer::Tcp { peer, .. } => peer.clone(),
            Peer::Unix { path } => format!("{path}:0"),
            Peer::Internal => "?:0".into(),
        }
    }

    /// Our own address of this connection.
    pub fn local_address(&self) -> String {
        match &self.peer {
            Peer::Tcp { local, .. } => local.clone(),
            Peer::Unix { path } => format!("{path}:0"),
            Peer::Internal => "?:0".into(),
        }
    }

    /// The user it is authenticated as.
    pub fn user(&self) -> String {
        self.account().map_or_else(|| DEFAULT.to_owned(), |account| account.shown_name())
    }

    /// The user it is authenticated as, with its rights.
    pub fn account(&self) -> Option<Arc<Account>> {
        self.names.lock().account.clone()
    }

    /// Sets the user it is authenticated as.
    pub fn set_account(&self, account: Arc<Account>) {
        self.names.lock().account = Some(account);
    }

    /// Ends the connection: its task is woken and finds it dead.
    pub fn kill(&self) {
        self.killed.store(true, SeqCst);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.lock().take() {
            waker.wake();
        }
    }

    /// Whether it was killed.
    pub fn is_killed(&self) -> bool {
        self.killed.load(SeqCst)
    }

    /// What it is told; where that is nothing, `waker` is woken when it is.
    pub fn poll_told(&self, waker: &Waker) -> Option<Told> {
        let mut slot = self.waker.lock();
        if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
        drop(slot);
        match () {
            () if self.is_killed() => Some(Told::Killed),
            () if !self.outbox.is_empty() => Some(Told::Messages),
            () => None,
        }
    }

    /// Puts a message into its outbox; returns the bytes that wait for it in all.
    pub(super) fn deliver(&self, post: &Post) -> usize {
        self.put(|outbox, version| outbox.push(post, version))
    }

    /// Puts a key there that has changed, together with others.
    pub(super) fn deliver_key(&self, key: &[u8], wait: Position) -> usize {
        self.put(|outbox, version| outbox.push_key(key, wait, version))
    }

    fn put(&self, push: impl FnOnce(&Outbox, Version) -> (bool, usize)) -> usize {
        if self.is_killed() {
            return 0;
        }
        let (is_first, bytes) = push(&self.outbox, self.version());
        if is_first {
            self.wake();
        }
        bytes + self.unsent.load(Relaxed)
    }

    /// The protocol it speaks.
    pub fn version(&self) -> Version {
        if self.version.load(Relaxed) == 3 { Version::Resp3 } else { Version::Resp2 }
    }

    /// What it tracks, if it tracks keys.
    pub fn tracked<R>(&self, look: impl FnOnce(&Tracked) -> R) -> Option<R> {
        self.tracked.lock().as_ref().map(look)
    }

    /// Replaces that; returns what it was.
    pub(super) fn set_tracked(&self, tracked: Option<Tracked>) -> Option<Tracked> {
        self.broken_redirect.store(false, Relaxed);
        std::mem::replace(&mut *self.tracked.lock(), tracked)
    }

    /// Notes that the connection that is told in its place is gone.
    pub(super) fn note_broken_redirect(&self) {
        self.broken_redirect.store(true, Relaxed);
    }

    /// Whether that is so.
    pub fn has_broken_redirect(&self) -> bool {
        self.broken_redirect.load(Relaxed)
    }

    /// Ends the connection as it does not read what it is sent.
    pub(super) fn cut_off(&self) {
        self.cut_off.store(true, SeqCst);
        self.kill();
        self.outbox.clear();
    }

    /// Whether it was ended for that.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off.load(SeqCst)
    }

    /// Whether it was ended for the memory that it takes.
    pub fn is_evicted(&self) -> bool {
        self.evicted.load(SeqCst)
    }

    /// Notes the bytes that its transaction has queued.
    pub fn note_queued_bytes(&self, bytes: usize) {
        if self.queued_bytes.load(Relaxed) != bytes {
            self.queued_bytes.store(bytes, Relaxed);
        }
    }

    /// Notes the bytes that wait for its socket.
    pub fn note_unsent(&self, bytes: usize) {
        self.unsent.store(bytes, Relaxed);
    }

    /// Bytes that wait for it: what its socket did not take, and what others have for it.
    fn output_buffer(&self) -> usize {
        self.unsent.load(Relaxed) + self.outbox.bytes()
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.input_buffer.load(Relaxed) + self.queued_bytes.load(Relaxed) + self.output_buffer()
    }

    /// Notes how many channels, patterns and shard channels it has subscribed to.
    pub fn note_subscriptions(&self, counts: [usize; 3]) {
        self.subscriptions.iter().zip(counts).for_each(|(known, count)| known.store(count, Relaxed));
    }

    /// What it is used for.
    pub fn kind(&self) -> ClientKind {
        let has_some = self.subscriptions.iter().any(|count| count.load(Relaxed) > 0);
        if has_some { ClientKind::PubSub } else { ClientKind::Normal }
    }

    /// Its line in CLIENT LIST; `command_name` tells the name of a command's number.
    pub fn describe(&self, now: u64, command_name: impl Fn(usize) -> String) -> String {
        let names = self.names.lock().clone();
        let mut flags = String::new();
        if self.monitors.load(Relaxed) {
            flags.push('O');
        }
        if self.kind() == ClientKind::PubSub {
            flags.push('P');
        }
        if self.in_transaction.load(Relaxed) {
            flags.push('x');
        }
        if self.blocked.load(Relaxed) {
            flags.push('b');
        }
        let (tracks, broadcast, redirect) = match &*self.tracked.lock() {
            None => (false, false, -1),
            Some(tracked) => (true, tracked.broadcast, tracked.redirect.map_or(0, |id| id as i64)),
        };
        let marks = [(tracks, 't'), (self.has_broken_redirect(), 'R'), (broadcast, 'B')];
        flags.extend(marks.iter().filter(|(is_so, _)| *is_so).map(|(_, mark)| mark));
        if matches!(self.peer, Peer::Unix { .. }) {
            flags.push('U');
        }
        if self.no_evict.load(Relaxed) {
            flags.push('e');
        }
        if self.no_touch.load(Relaxed) {
            flags.push('T');
        }
        if flags.is_empty() {
            flags.push('N');
        }
        let multi = if self.in_transaction.load(Relaxed) { self.queued.load(Relaxed) as i64 } else { -1 };
        let command = match self.command_index.load(Relaxed) {
            NO_COMMAND => "NULL".into(),
            index => command_name(index),
        };
        let buffered = self.input_buffer.load(Relaxed);
        let unsent = self.output_buffer();
        // What its socket did not take is one piece.
        let pieces = self.outbox.len() + usize::from(self.unsent.load(Relaxed) > 0);
        let subscriptions = [0, 1, 2].map(|space: usize| self.subscriptions[space].load(Relaxed));
        let mut line = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={} watch={} \
             qbuf={} qbuf-free=0 argv-mem=0 multi-mem={} rbs=0 rbp=0 obl=0 oll={} omem={} tot-mem={} events={} cmd={} \
             user={} redir={} resp={} lib-name={} lib-ver={} tot-net-in={} tot-net-out={}",
            self.id,
            self.address(),
            self.local_address(),
            self.descriptor,
            names.name,
            self.age_seconds(now),
            now.saturating_sub(self.last_active()) / 1000,
            flags,
            self.database.load(Relaxed),
            subscriptions[0],
            subscriptions[1],
            subscriptions[2],
            multi,
            self.watched.load(Relaxed),
            buffered,
            self.queued_bytes.load(Relaxed),
            pieces,
            unsent,
            self.memory_bytes(),
            if unsent > 0 { "rw" } else { "r" },
            command,
            self.user(),
            redirect,
            self.version.load(Relaxed),
            names.library,
            names.library_version,
            self.input_bytes.load(Relaxed),
            self.output_bytes.load(Relaxed),
        );
        line
    }
}

impl Node {
    /// Ends a connection that is another's: from now on nobody counts it or sees it, although its task ends a little later.
    pub fn end(&self, client: &Client) {
        client.kill();
        self.clients.remove(client);
        if client.kind() == ClientKind::PubSub {
            self.pubsub.forget(client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_while_the_server_ends_is_ended_too() {
        let clients = Clients::default();
        let before = clients.add(Peer::Internal, 0, 0);
        assert!(!before.is_killed());
        clients.kill_all();
        assert!(before.is_killed() && clients.add(Peer::Internal, 0, 0).is_killed());
    }
}
