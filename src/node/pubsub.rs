//! Who listens to which channel.
//!
//! Always true: a connection is in here under a channel exactly while its own session says that it has subscribed to it;
//! whoever publishes reaches all who had subscribed before, and none who had unsubscribed.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use foldhash::fast::RandomState;
use parking_lot::RwLock;

use super::outbox::Post;
use super::{Client, Node};
use crate::protocol::Reply;
use crate::store::Position;
use crate::types::glob;

/// How many parts channels are spread over, so that publishers of different channels seldom meet.
const PARTS: usize = 64;

/// A channel's listeners, by the numbers of their connections.
type Listeners = BTreeMap<u64, Arc<Client>>;

/// Some channels with their listeners.
type Part = RwLock<HashMap<Box<[u8]>, Listeners, RandomState>>;

/// The two spaces of channels, and patterns over the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// SUBSCRIBE and PUBLISH.
    Channel,
    /// PSUBSCRIBE.
    Pattern,
    /// SSUBSCRIBE and SPUBLISH.
    Shard,
}

/// All subscriptions.
#[derive(Debug, Default)]
pub struct PubSub {
    channels: Channels,
    shard_channels: Channels,
    patterns: RwLock<BTreeMap<Box<[u8]>, Listeners>>,
    /// As many patterns as there are, so that who publishes need not lock for none.
    pattern_count: AtomicUsize,
}

#[derive(Debug)]
struct Channels {
    parts: Box<[Part]>,
    hasher: RandomState,
    count: AtomicUsize,
}

impl Default for Channels {
    fn default() -> Self {
        Self {
            parts: (0..PARTS).map(|_| RwLock::default()).collect(),
            hasher: RandomState::default(),
            count: AtomicUsize::new(0),
        }
    }
}

impl Channels {
    fn part(&self, channel: &[u8]) -> &Part {
        let mut state = self.hasher.build_hasher();
        channel.hash(&mut state);
        &self.parts[std::hash::Hasher::finish(&state) as usize % PARTS]
    }

    fn add(&self, channel: &[u8], client: &Arc<Client>) {
        let mut part = self.part(channel).write();
        if !part.contains_key(channel) {
            part.insert(channel.into(), Listeners::new());
            self.count.fetch_add(1, SeqCst);
        }
        if let Some(listeners) = part.get_mut(channel) {
            listeners.insert(client.id, client.clone());
        }
    }

    fn remove(&self, channel: &[u8], client: &Client) {
        let mut part = self.part(channel).write();
        let Some(listeners) = part.get_mut(channel) else { return };
        listeners.remove(&client.id);
        if listeners.is_empty() {
            part.remove(channel);
            self.count.fetch_sub(1, SeqCst);
        }
    }

    fn each_listener(&self, channel: &[u8], tell: &mut dyn FnMut(&Arc<Client>)) {
        if self.count.load(SeqCst) == 0 {
            return;
        }
        if let Some(listeners) = self.part(channel).read().get(channel) {
            listeners.values().for_each(tell);
        }
    }

    fn listeners(&self, channel: &[u8]) -> usize {
        self.part(channel).read().get(channel).map_or(0, Listeners::len)
    }

    fn matching(&self, pattern: Option<&[u8]>) -> Vec<Bytes> {
        let mut names = Vec::new();
        for part in &self.parts {
            let part = part.read();
            let wanted = part.keys().filter(|name| pattern.is_none_or(|pattern| glob::matches(pattern, name, false)));
            names.extend(wanted.map(|name| Bytes::copy_from_slice(name)));
        }
        names.sort_unstable();
        names
    }
}

impl PubSub {
    fn space(&self, space: Space) -> &Channels {
        if space == Space::Shard { &self.shard_channels } else { &self.channels }
    }

    /// Has a connection told of what comes to a channel, or to those that a pattern matches.
    pub fn subscribe(&self, space: Space, name: &[u8], client: &Arc<Client>) {
        if space != Space::Pattern {
            return self.space(space).add(name, client);
        }
        let mut patterns = self.patterns.write();
        patterns.entry(name.into()).or_default().insert(client.id, client.clone());
        self.pattern_count.store(patterns.len(), SeqCst);
    }

    /// Ends that.
    pub fn unsubscribe(&self, space: Space, name: &[u8], client: &Client) {
        if space != Space::Pattern {
            return self.space(space).remove(name, client);
        }
        let mut patterns = self.patterns.write();
        if let Some(listeners) = patterns.get_mut(name) {
            listeners.remove(&client.id);
            if listeners.is_empty() {
                patterns.remove(name);
            }
        }
        self.pattern_count.store(patterns.len(), SeqCst);
    }

    /// Ends all subscriptions of a connection that others have ended.
    pub(super) fn forget(&self, client: &Client) {
        let mut names: Vec<(Space, Bytes)> = Vec::new();
        self.each_subscription(&mut |space, name, subscriber| {
            if subscriber.id == client.id {
                names.push((space, Bytes::copy_from_slice(name)));
            }
        });
        names.iter().for_each(|(space, name)| self.unsubscribe(*space, name, client));
    }

    /// Channels that somebody has subscribed to, in the order of their bytes; those that a pattern matches.
    pub fn channels(&self, space: Space, pattern: Option<&[u8]>) -> Vec<Bytes> {
        self.space(space).matching(pattern)
    }

    /// How many connections have subscribed to a channel by its name.
    pub fn listeners(&self, space: Space, channel: &[u8]) -> usize {
        self.space(space).listeners(channel)
    }

    /// Tells each subscription: to what, and whose it is.
    pub fn each_subscription(&self, tell: &mut dyn FnMut(Space, &[u8], &Client)) {
        for space in [Space::Channel, Space::Shard] {
            for part in &self.space(space).parts {
                for (channel, listeners) in part.read().iter() {
                    listeners.values().for_each(|client| tell(space, channel, client));
                }
            }
        }
        for (pattern, listeners) in self.patterns.read().iter() {
            listeners.values().for_each(|client| tell(Space::Pattern, pattern, client));
        }
    }

    /// How many subscriptions a message to this channel reaches.
    pub fn reach(&self, space: Space, channel: &[u8]) -> usize {
        let mut reached = self.listeners(space, channel);
        if space == Space::Channel && self.count(Space::Pattern) > 0 {
            let patterns = self.patterns.read();
            let matching = patterns.iter().filter(|(pattern, _)| glob::matches(pattern, channel, false));
            reached += matching.map(|(_, listeners)| listeners.len()).sum::<usize>();
        }
        reached
    }

    /// How many channels there are, or patterns.
    pub fn count(&self, space: Space) -> usize {
        match space {
            Space::Pattern => self.pattern_count.load(SeqCst),
            space => self.space(space).count.load(SeqCst),
        }
    }

    /// Whether anybody listens to anything.
    #[inline]
    pub fn has_listeners(&self) -> bool {
        self.channels.count.load(SeqCst) > 0 || self.pattern_count.load(SeqCst) > 0
    }
}

impl Node {
    /// Sends a message to all who listen to the channel; it arrives once the log has reached `wait`.
    pub fn publish(&self, channel: &[u8], message: &[u8], wait: Position) {
        if !self.pubsub.has_listeners() {
            return;
        }
        let (name, body) = (Reply::bulk(channel), Reply::bulk(message));
        let post = Post::new(Reply::Push(vec![Reply::bulk(b"message"), name.clone(), body.clone()]), wait);
        self.pubsub.channels.each_listener(channel, &mut |client| self.deliver(client, &post));
        if self.pubsub.count(Space::Pattern) == 0 {
            return;
        }
        for (pattern, listeners) in self.pubsub.patterns.read().iter() {
            if glob::matches(pattern, channel, false) {
                let words = vec![Reply::bulk(b"pmessage"), Reply::bulk(pattern), name.clone(), body.clone()];
                let post = Post::new(Reply::Push(words), wait);
                listeners.values().for_each(|client| self.deliver(client, &post));
            }
        }
    }

    /// The same for a shard channel.
    pub fn publish_to_shard(&self, channel: &[u8], message: &[u8], wait: Position) {
        let words = vec![Reply::bulk(b"smessage"), Reply::bulk(channel), Reply::bulk(message)];
        let post = Post::new(Reply::Push(words), wait);
        self.pubsub.shard_channels.each_listener(channel, &mut |client| self.deliver(client, &post));
    }

    /// Puts a message where a connection takes it from. One that lets too much wait is cut off.
    pub fn deliver(&self, client: &Client, post: &Post) {
        self.limit(client, client.deliver(post));
    }

    /// The same of a key that has changed, told of together with others.
    pub(super) fn deliver_key(&self, client: &Client, key: &[u8], wait: Position) {
        self.limit(client, client.deliver_key(key, wait));
    }

    fn limit(&self, client: &Client, waiting: usize) {
        // Also of those that subscribe to nothing: what they are sent unasked is limited in the same way.
        let limit = self.config.get().client_output_buffer_limit.pubsub.hard;
        if limit > 0 && waiting as u64 > limit {
            client.cut_off();
        }
    }
}
