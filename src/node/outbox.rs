//! What others have for a connection, beside the replies to its own requests: messages of channels and the like.
//!
//! Always true: whoever has something for a connection never waits for it; a connection takes what is there in the order
//! in which it came, never in the middle of a reply.

use std::cell::OnceCell;
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use parking_lot::Mutex;

use super::tracking;
use crate::protocol::{Reply, ReplyBuffer, Version};
use crate::store::Position;

/// One message for any number of connections: it is written once for each version of the protocol that they speak.
pub struct Post {
    reply: Reply,
    forms: [OnceCell<Bytes>; 2],
    wait: Position,
}

impl Post {
    /// A message that must not arrive before the log has reached `wait`: it may tell of what stands there.
    pub fn new(reply: Reply, wait: Position) -> Self {
        Self { reply, forms: Default::default(), wait }
    }

    fn form(&self, version: Version) -> Bytes {
        let form = &self.forms[usize::from(version == Version::Resp3)];
        let write = || {
            let mut buffer = ReplyBuffer::new(version);
            self.reply.write(&mut buffer);
            Bytes::from(buffer.to_vec())
        };
        form.get_or_init(write).clone()
    }
}

/// What waits for one connection.
#[derive(Debug, Default)]
pub struct Outbox {
    messages: Mutex<VecDeque<Message>>,
    bytes: AtomicUsize,
}

#[derive(Debug)]
struct Message {
    content: Content,
    wait: Position,
}

#[derive(Debug)]
enum Content {
    Written(Bytes),
    /// Keys that have changed, each named once; more may be added as long as nothing comes behind them.
    Keys(Version, BTreeSet<Box<[u8]>>),
}

/// What a key among others counts for: its bytes, and those around them.
fn key_bytes(key: &[u8]) -> usize {
    key.len() + 16
}

impl Outbox {
    /// Adds a message; returns whether it is the only one, and the bytes of all.
    pub(super) fn push(&self, post: &Post, version: Version) -> (bool, usize) {
        let form = post.form(version);
        let mut messages = self.messages.lock();
        let bytes = self.bytes.fetch_add(form.len(), SeqCst) + form.len();
        messages.push_back(Message { content: Content::Written(form), wait: post.wait });
        (messages.len() == 1, bytes)
    }

    /// Adds a key that has changed, to those that are told of last if that is what comes last; returns the same.
    pub(super) fn push_key(&self, key: &[u8], wait: Position, version: Version) -> (bool, usize) {
        let mut messages = self.messages.lock();
        let is_first = messages.is_empty();
        let added = match messages.back_mut() {
            Some(Message { content: Content::Keys(spoken, keys), wait: before }) if *spoken == version => {
                *before = wait.max(*before);
                keys.insert(key.into())
            }
            _ => {
                let keys = BTreeSet::from([key.into()]);
                messages.push_back(Message { content: Content::Keys(version, keys), wait });
                true
            }
        };
        let added = if added { key_bytes(key) } else { 0 };
        (is_first, self.bytes.fetch_add(added, SeqCst) + added)
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Bytes of all messages.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes.load(SeqCst)
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.messages.lock().len()
    }

    /// Moves all messages to the end of `out`; returns what they have to wait for.
    pub fn take(&self, out: &mut ReplyBuffer) -> Position {
        let taken = {
            let mut messages = self.messages.lock();
            self.bytes.store(0, SeqCst);
            std::mem::take(&mut *messages)
        };
        let mut wait = 0;
        for message in taken {
            match message.content {
                Content::Written(form) => out.raw_shared(form),
                Content::Keys(version, keys) => {
                    let keys = Reply::Array(keys.into_iter().map(|key| Reply::bulk(&key)).collect());
                    let mut buffer = ReplyBuffer::new(version);
                    tracking::told(version, keys).write(&mut buffer);
                    out.raw_shared(Bytes::from(buffer.to_vec()));
                }
            }
            wait = wait.max(message.wait);
        }
        wait
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        let mut messages = self.messages.lock();
        self.bytes.store(0, SeqCst);
        messages.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_in_order_and_in_the_version_of_their_reader() {
        let outbox = Outbox::default();
        let post = |text: &'static str, wait| Post::new(Reply::Push(vec![Reply::bulk(text.as_bytes())]), wait);
        let first = post("a", 7);
        assert_eq!(outbox.push(&first, Version::Resp2), (true, 11));
        assert_eq!(outbox.push(&first, Version::Resp3), (false, 22));
        assert_eq!(outbox.push(&post("b", 3), Version::Resp3), (false, 33));
        assert_eq!(outbox.len(), 3);
        let mut out = ReplyBuffer::new(Version::Resp2);
        out.simple("OK");
        assert_eq!(outbox.take(&mut out), 7);
        assert_eq!(out.to_vec(), b"+OK\r\n*1\r\n$1\r\na\r\n>1\r\n$1\r\na\r\n>1\r\n$1\r\nb\r\n");
        assert!(outbox.is_empty());
        assert_eq!(outbox.take(&mut out), 0);
    }
    #[test]
    fn keys_are_told_of_together_until_something_else_comes() {
        let outbox = Outbox::default();
        let keys =
            |keys: &[&[u8]], version| keys.iter().map(|key| outbox.push_key(key, 5, version)).collect::<Vec<_>>();
        assert_eq!(keys(&[b"b", b"a", b"b"], Version::Resp3), [(true, 17), (false, 34), (false, 34)]);
        outbox.push(&Post::new(Reply::Push(vec![Reply::bulk(b"m")]), 9), Version::Resp3);
        assert_eq!(keys(&[b"a"], Version::Resp3).len(), 1);
        assert_eq!(keys(&[b"c"], Version::Resp2).len(), 1);
        assert_eq!(outbox.len(), 4);
        let mut out = ReplyBuffer::new(Version::Resp3);
        assert_eq!(outbox.take(&mut out), 9);
        let told = String::from_utf8(out.to_vec()).unwrap();
        let expected = [
            ">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n",
            ">1\r\n$1\r\nm\r\n",
            ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n",
            "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nc\r\n",
        ];
        assert_eq!(told, expected.concat());
        assert!(outbox.is_empty());
    }
}
