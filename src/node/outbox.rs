//! What others have for a connection, beside the replies to its own requests: messages of channels and the like.
//!
//! Always true: whoever has something for a connection never waits for it; a connection takes what is there in the order
//! in which it came, never in the middle of a reply.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use parking_lot::Mutex;

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
    messages: Mutex<VecDeque<(Bytes, Position)>>,
    bytes: AtomicUsize,
}

impl Outbox {
    /// Adds a message; returns whether it is the only one, and the bytes of all.
    pub(super) fn push(&self, post: &Post, version: Version) -> (bool, usize) {
        let form = post.form(version);
        let mut messages = self.messages.lock();
        let before = self.bytes.fetch_add(form.len(), SeqCst);
        messages.push_back((form, post.wait));
        (messages.len() == 1, before + messages.back().map_or(0, |(form, _)| form.len()))
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

    /// Moves all messages to the end of `out`; returns what they have to wait for.
    pub fn take(&self, out: &mut ReplyBuffer) -> Position {
        let taken = {
            let mut messages = self.messages.lock();
            self.bytes.store(0, SeqCst);
            std::mem::take(&mut *messages)
        };
        let mut wait = 0;
        for (form, position) in taken {
            out.raw_shared(form);
            wait = wait.max(position);
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
        let mut out = ReplyBuffer::new(Version::Resp2);
        out.simple("OK");
        assert_eq!(outbox.take(&mut out), 7);
        assert_eq!(out.to_vec(), b"+OK\r\n*1\r\n$1\r\na\r\n>1\r\n$1\r\na\r\n>1\r\n$1\r\nb\r\n");
        assert!(outbox.is_empty());
        assert_eq!(outbox.take(&mut out), 0);
    }
}
