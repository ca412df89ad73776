//! What clients send ahead of their turn: while they do not read their replies, or while their command waits.
//!
//! Many clients read nothing before the last request of a pipeline is out, so it is taken in meanwhile, and waits here to be
//! executed. Once there is some of it, it is executed although the replies before are not read, as far as there is room for
//! more of them: most are smaller than their requests.
//!
//! Always true: each connection may have a little of it here; all that goes beyond comes out of one store of room for the
//! whole server, so that there is a bound for any number of clients. Who finds none left there is read from when others
//! have gone on: until then, its own kernel holds it back.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::buffers::READ_BYTES;

/// What every connection may have sent ahead.
pub(super) const OWN_BYTES: usize = 64 * 1024;

/// What all connections together may have sent ahead beyond that.
const SHARED_BYTES: usize = 256 * 1024 * 1024;

/// The shared room is given out in pieces of this size.
const PIECE_BYTES: usize = 64 * 1024;

/// The room that all connections share.
#[derive(Clone)]
pub(super) struct Room(Arc<Semaphore>);

/// What one connection has of it.
pub(super) struct Share {
    room: Room,
    permit: Option<OwnedSemaphorePermit>,
}

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SHARED_BYTES / PIECE_BYTES)))
    }
}

impl Room {
    /// Nothing of it yet.
    pub(super) fn share(&self) -> Share {
        Share { room: self.clone(), permit: None }
    }
}

impl Share {
    fn pieces(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Waits until there is room for the memory that this buffer takes once more is read into it, beside so many bytes of
    /// replies.
    pub(super) async fn admit(&mut self, input: &BytesMut, replies: usize) {
        let is_full = input.capacity() - input.len() < READ_BYTES;
        self.reserve(replies + if is_full { input.capacity() * 2 } else { input.capacity() }).await;
    }

    /// Whether there is room for so many bytes of replies beside this buffer, without waiting.
    pub(super) fn admits_replies(&mut self, input: &BytesMut, replies: usize) -> bool {
        while input.capacity() + replies > OWN_BYTES + self.pieces() * PIECE_BYTES {
            let Ok(piece) = self.room.0.clone().try_acquire_owned() else { return false };
            self.add(piece);
        }
        true
    }

    async fn reserve(&mut self, bytes: usize) {
        while bytes > OWN_BYTES + self.pieces() * PIECE_BYTES {
            // It is never closed.
            let Ok(piece) = self.room.0.clone().acquire_owned().await else { return };
            self.add(piece);
        }
    }

    fn add(&mut self, piece: OwnedSemaphorePermit) {
        match &mut self.permit {
            Some(permit) => permit.merge(piece),
            None => self.permit = Some(piece),
        }
    }

    /// Gives everything back once the buffer needs none of it.
    pub(super) fn note_left(&mut self, input: &BytesMut) {
        if input.capacity() <= OWN_BYTES {
            self.permit = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    fn admits(share: &mut Share, bytes: usize) -> bool {
        matches!(std::pin::pin!(share.reserve(bytes)).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(()))
    }

    #[test]
    fn there_is_a_bound_for_all_together_and_a_little_for_everyone() {
        let room = Room::default();
        let (mut greedy, mut other, mut third) = (room.share(), room.share(), room.share());
        assert!(admits(&mut greedy, OWN_BYTES + SHARED_BYTES));
        assert!(!admits(&mut greedy, OWN_BYTES + SHARED_BYTES + 1));
        assert!(admits(&mut other, OWN_BYTES) && !admits(&mut other, OWN_BYTES + 1));
        greedy.note_left(&BytesMut::with_capacity(OWN_BYTES + 1));
        assert!(!admits(&mut other, OWN_BYTES + 1), "it still holds what it took in");
        greedy.note_left(&BytesMut::new());
        assert!(admits(&mut other, OWN_BYTES + SHARED_BYTES));
        drop(other);
        assert!(admits(&mut third, OWN_BYTES + SHARED_BYTES));
    }
}
