//! One connection's state, as its own commands see and change it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::acl::Account;
use super::{Client, Node, Space};
use crate::keyspace::{Keyspace, Watch};
use crate::protocol::{Arguments, ReplyBuffer, Version};
use crate::store::Position;

/// What CLIENT REPLY asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    /// Every request is answered.
    #[default]
    On,
    /// None is.
    Off,
    /// The next one is not.
    SkipNext,
    /// This one is not.
    Skip,
}

/// One connection's state.
#[derive(Debug)]
pub struct Session {
    /// The same connection as others see it.
    pub client: Arc<Client>,
    /// The selected database.
    pub database: u32,
    /// Whether it has logged in, or need not have when it came.
    pub authenticated: bool,
    /// The user it is.
    pub account: Arc<Account>,
    /// The protocol its replies are in.
    pub version: Version,
    /// Between MULTI and EXEC.
    pub transaction: Option<Transaction>,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// It is shown what all connections do.
    pub monitors: bool,
    /// The position behind its last change.
    pub wrote: Position,
    /// Close the connection once the replies so far are sent.
    pub closing: bool,
    reply_mode: ReplyMode,
    /// The request that runs now is not answered.
    skips: bool,
    /// What the request that runs now has written is sent even if it goes without an answer.
    pushes: bool,
    watch: Arc<Watch>,
    watched: Vec<(u32, Box<[u8]>)>,
    /// Channels, patterns and shard channels.
    subscriptions: [BTreeSet<Box<[u8]>>; 3],
    /// What messages that are in the output have to wait for.
    wait: Position,
    /// Whether it tracks the keys that it reads; and what CLIENT CACHING said for the next command.
    pub tracks: Option<Tracks>,
    pub caching: bool,
}

/// Which of its reads a connection tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracks {
    /// All but those after CLIENT CACHING NO, where that may be said.
    All,
    /// Those after CLIENT CACHING YES.
    Chosen,
    /// None: it is told by prefixes.
    Nothing,
}

/// The commands queued since MULTI.
#[derive(Debug, Default)]
pub struct Transaction {
    queue: Vec<Queued>,
    bytes: usize,
    /// A command was refused: EXEC will do nothing.
    pub spoilt: bool,
}

/// A command to be run by EXEC.
#[derive(Debug)]
pub struct Queued {
    /// The number of its row.
    pub row: usize,
    bytes: Box<[u8]>,
    ranges: Box<[(usize, usize)]>,
}

impl Queued {
    /// Copies the words of a request.
    pub fn new(row: usize, words: Arguments<'_>) -> Self {
        let mut bytes = Vec::with_capacity(words.iter().map(<[u8]>::len).sum());
        let ranges = words
            .iter()
            .map(|word| {
                let start = bytes.len();
                bytes.extend_from_slice(word);
                (start, bytes.len())
            })
            .collect();
        Self { row, bytes: bytes.into(), ranges }
    }

    /// The words.
    pub fn words(&self) -> Arguments<'_> {
        Arguments::new(&self.bytes, &self.ranges)
    }
}

impl Transaction {
    /// Queues a command.
    pub fn push(&mut self, queued: Queued) {
        self.bytes += queued.bytes.len();
        self.queue.push(queued);
    }

    /// The commands so far.
    pub fn queue(&self) -> &[Queued] {
        &self.queue
    }

    /// The bytes of all queued words.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Session {
    /// A new connection's state; `default` is the user of whoever has not logged in.
    pub fn new(client: Arc<Client>, default: Arc<Account>) -> Self {
        client.set_account(default.clone());
        Self::blank(client, default)
    }

    fn blank(client: Arc<Client>, default: Arc<Account>) -> Self {
        Self {
            client,
            database: 0,
            monitors: false,
            wrote: 0,
            authenticated: default.is_open(),
            account: default,
            version: Version::Resp2,
            transaction: None,
            no_touch: false,
            closing: false,
            reply_mode: ReplyMode::On,
            skips: false,
            pushes: false,
            watch: Arc::default(),
            watched: Vec::new(),
            subscriptions: Default::default(),
            wait: 0,
            tracks: None,
            caching: false,
        }
    }

    /// Leaves all of it to be taken elsewhere; what is left can only be replaced.
    pub fn park(&mut self) -> Self {
        let left = Self::blank(self.client.clone(), self.account.clone());
        std::mem::replace(self, left)
    }

    /// Makes it this user; false if that was deleted meanwhile.
    pub fn log_in(&mut self, account: Arc<Account>) -> bool {
        self.client.set_account(account.clone());
        // Whoever deletes a user looks for its connections afterwards: one of the two sees the other.
        if account.is_gone() {
            self.client.set_account(self.account.clone());
            return false;
        }
        (self.account, self.authenticated) = (account, true);
        true
    }

    /// Makes it the user of whoever has not logged in.
    pub fn log_out(&mut self, default: Arc<Account>) {
        self.authenticated = default.is_open();
        self.client.set_account(default.clone());
        self.account = default;
    }

    /// The mark of the keys this connection watches.
    pub fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Notes that a key is watched.
    pub fn note_watched(&mut self, database: u32, key: &[u8]) {
        if !self.watched.iter().any(|(other, watched)| *other == database && **watched == *key) {
            self.watched.push((database, key.into()));
        }
    }

    /// The watched keys with their databases.
    pub fn watched(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.watched.iter().map(|(database, key)| (*database, &key[..]))
    }

    /// Ends watching, whatever happened to the keys.
    pub fn unwatch(&mut self, keyspace: &Keyspace) {
        if self.watched.is_empty() {
            return;
        }
        for (database, key) in self.watched.drain(..) {
            keyspace.unwatch(database, &key, &self.watch);
        }
        self.watch = Arc::default();
    }

    /// Subscribes to a channel or a pattern, if it has not yet.
    pub fn subscribe(&mut self, node: &Node, space: Space, name: &[u8]) {
        if self.subscriptions[space as usize].insert(name.into()) {
            node.pubsub.subscribe(space, name, &self.client);
            self.note_subscriptions();
        }
    }

    /// Ends that, if it had; messages that came before are in `out` then, and none comes later.
    pub fn unsubscribe(&mut self, node: &Node, space: Space, name: &[u8], out: &mut ReplyBuffer) {
        if self.subscriptions[space as usize].remove(name) {
            node.pubsub.unsubscribe(space, name, &self.client);
            self.note_subscriptions();
            self.take_messages(out);
        }
    }

    /// Ends all subscriptions.
    pub fn unsubscribe_all(&mut self, node: &Node) {
        for space in [Space::Channel, Space::Pattern, Space::Shard] {
            for name in std::mem::take(&mut self.subscriptions[space as usize]) {
                node.pubsub.unsubscribe(space, &name, &self.client);
            }
        }
        self.note_subscriptions();
    }

    /// What it has subscribed to, in the order of the bytes.
    pub fn subscriptions(&self, space: Space) -> &BTreeSet<Box<[u8]>> {
        &self.subscriptions[space as usize]
    }

    /// How many channels and patterns it has subscribed to; shard channels are counted apart.
    pub fn subscription_count(&self, space: Space) -> usize {
        match space {
            Space::Shard => self.subscriptions[Space::Shard as usize].len(),
            _ => [Space::Channel, Space::Pattern].iter().map(|space| self.subscriptions[*space as usize].len()).sum(),
        }
    }

    /// Whether it may only subscribe, unsubscribe and ping: with the older protocol, replies could not be told from
    /// messages.
    pub fn only_listens(&self) -> bool {
        self.version == Version::Resp2 && self.subscriptions.iter().any(|names| !names.is_empty())
    }

    fn note_subscriptions(&self) {
        self.client.note_subscriptions([0, 1, 2].map(|space: usize| self.subscriptions[space].len()));
    }

    /// Moves what others have for this connection to the end of `out`.
    pub fn take_messages(&mut self, out: &mut ReplyBuffer) {
        if !self.client.outbox.is_empty() {
            let wait = self.client.outbox.take(out);
            self.note_wait(wait);
        }
    }

    /// Notes that something in the output has to wait for this position.
    pub fn note_wait(&mut self, wait: Position) {
        self.wait = self.wait.max(wait);
    }

    /// What the messages taken since the last call have to wait for, and what was noted.
    pub fn take_wait(&mut self) -> Position {
        std::mem::take(&mut self.wait)
    }

    /// Whether the keys that the command reads which runs now are tracked.
    pub fn tracks_reads(&self) -> bool {
        match self.tracks {
            None | Some(Tracks::Nothing) => false,
            Some(Tracks::All) => !self.caching,
            Some(Tracks::Chosen) => self.caching,
        }
    }

    /// Ends tracking.
    pub fn end_tracking(&mut self, node: &Node) {
        if self.tracks.take().is_some() {
            node.end_tracking(&self.client);
        }
        self.caching = false;
    }

    /// Is not shown any more what others do.
    pub fn end_monitoring(&mut self, node: &Node) {
        if std::mem::take(&mut self.monitors) {
            node.monitors.remove(&self.client);
        }
    }

    /// Speaks this version from now on, also to those who have messages for it.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
        self.publish();
    }

    /// Makes EXEC fail, if there is a transaction: a command in it was refused.
    pub fn spoil_transaction(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.spoilt = true;
        }
    }

    /// Sets what CLIENT REPLY asked for.
    pub fn set_reply_mode(&mut self, mode: ReplyMode) {
        self.reply_mode = mode;
    }

    /// Begins a request: tells how its reply is treated, and moves on from a skip.
    pub fn begin_reply(&mut self) -> ReplyMode {
        let mode = match self.reply_mode {
            ReplyMode::SkipNext => ReplyMode::Skip,
            mode => mode,
        };
        self.skips = mode == ReplyMode::Skip;
        self.pushes = false;
        self.reply_mode = if self.skips { ReplyMode::On } else { mode };
        mode
    }

    /// Has the request that runs now answered, even if it was to be skipped.
    pub fn answer(&mut self) {
        self.skips = false;
    }

    /// Whether the request that runs now goes without an answer.
    pub fn is_silent(&self) -> bool {
        (self.skips || self.is_reply_off()) && !self.pushes
    }

    /// Has what the request that runs now writes sent in any case: it is no answer but a message.
    pub fn push(&mut self) {
        self.pushes = true;
    }

    /// Undoes [`Session::begin_reply`]: the request will run again.
    pub fn repeat_reply(&mut self, mode: ReplyMode) {
        self.reply_mode = if mode == ReplyMode::Skip { ReplyMode::SkipNext } else { mode };
    }

    /// Whether replies are off now.
    pub fn is_reply_off(&self) -> bool {
        self.reply_mode == ReplyMode::Off
    }

    /// Shows others the state.
    pub fn publish(&self) {
        let resp = if self.version == Version::Resp3 { 3 } else { 2 };
        let queued = self.transaction.as_ref().map(|transaction| transaction.queue.len());
        self.client.note_state(self.database, resp, queued, self.watched.len());
    }
}
