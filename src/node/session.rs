//! One connection's state, as its own commands see and change it.

use std::sync::Arc;

use super::Client;
use crate::keyspace::{Keyspace, Watch};
use crate::protocol::{Arguments, Version};

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
    /// Whether it may do more than authenticate.
    pub authenticated: bool,
    /// The protocol its replies are in.
    pub version: Version,
    /// Between MULTI and EXEC.
    pub transaction: Option<Transaction>,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// Close the connection once the replies so far are sent.
    pub closing: bool,
    reply_mode: ReplyMode,
    /// The request that runs now is not answered.
    skips: bool,
    watch: Arc<Watch>,
    watched: Vec<(u32, Box<[u8]>)>,
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
    /// A new connection's state.
    pub fn new(client: Arc<Client>, authenticated: bool) -> Self {
        Self {
            client,
            database: 0,
            authenticated,
            version: Version::Resp2,
            transaction: None,
            no_touch: false,
            closing: false,
            reply_mode: ReplyMode::On,
            skips: false,
            watch: Arc::default(),
            watched: Vec::new(),
        }
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
        self.reply_mode = if self.skips { ReplyMode::On } else { mode };
        mode
    }

    /// Has the request that runs now answered, even if it was to be skipped.
    pub fn answer(&mut self) {
        self.skips = false;
    }

    /// Whether the request that runs now goes without an answer.
    pub fn is_silent(&self) -> bool {
        self.skips || self.is_reply_off()
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
