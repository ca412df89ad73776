//! The requests that have arrived on a connection, found before the first of them runs, so that what they will touch
//! can be fetched from memory together.
//!
//! Always true: requests run in the order in which they came; what was found and did not run is found again.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::Poll;

use super::buffers::SPARE_MAX;
use crate::commands::Registry;
use crate::keyspace::{Ahead, Keyspace, Slot};
use crate::node::Session;
use crate::protocol::{Arguments, Decoded, Decoder, Limits, ProtocolError};

/// How many requests are found before the first of them runs.
const AHEAD: usize = 16;

/// More keys than this would push each other out of the processor's first cache.
const PREFETCHED_MAX: usize = 64;

/// A connection with as many keys to look at does not wait for those of the others.
const PREFETCHED_ALONE: usize = 16;

/// A request in the buffer.
pub(super) struct Found {
    decoder: Decoder,
    /// Where it begins.
    pub(super) start: usize,
    /// Where the next one begins.
    pub(super) end: usize,
    /// The number of its row, if it is a command.
    pub(super) row: Option<usize>,
}

impl Found {
    /// Its words; `input` is the buffer it was found in.
    pub(super) fn words<'a>(&'a self, input: &'a [u8]) -> Arguments<'a> {
        self.decoder.arguments(&input[self.start..])
    }
}

/// The state of finding requests in one connection's buffer.
#[derive(Default)]
pub(super) struct Pipeline {
    /// The request that is not whole yet, from `next` on.
    decoder: Decoder,
    next: usize,
}

/// Some requests, and what comes after them.
#[derive(Default)]
pub(super) struct Requests {
    pub(super) list: Vec<Found>,
    /// What follows is no request.
    pub(super) error: Option<ProtocolError>,
}

/// Keys of a database, and elements of collections there.
struct Next {
    database: u32,
    slots: Vec<Slot>,
    elements: Vec<Ahead>,
}

thread_local! {
    /// What connections of this thread will look at next.
    static NEXT: RefCell<Next> = const { RefCell::new(Next { database: 0, slots: Vec::new(), elements: Vec::new() }) };

    /// Decoders to be used again: nobody owns those whose request has run.
    static SPARE: RefCell<Vec<Decoder>> = const { RefCell::new(Vec::new()) };

    /// Room for requests, to be used again.
    static SPARE_LISTS: RefCell<Vec<Vec<Found>>> = const { RefCell::new(Vec::new()) };
}

impl Pipeline {
    /// Finds the next requests of `input`. A client that must authenticate first gets them one by one, since its
    /// limits change when it does.
    pub(super) fn find(&mut self, input: &[u8], limits: &Limits, registry: &Registry) -> Requests {
        let most = if limits.authenticated { AHEAD } else { 1 };
        let list = SPARE_LISTS.with_borrow_mut(Vec::pop).unwrap_or_default();
        let mut found = Requests { list, error: None };
        while found.list.len() < most {
            match self.decoder.decode(&input[self.next..], limits) {
                Ok(Decoded::Request { consumed }) => {
                    let (start, end) = (self.next, self.next + consumed);
                    let spare = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
                    let decoder = std::mem::replace(&mut self.decoder, spare);
                    let last = found.list.last().and_then(|found: &Found| found.row);
                    let row =
                        registry.resolve_after(decoder.arguments(&input[start..]), last).ok().map(|row| row.index);
                    found.list.push(Found { decoder, start, end, row });
                    self.next = end;
                }
                Ok(Decoded::Nothing { consumed }) => self.next += consumed,
                Ok(Decoded::Incomplete { .. }) => break,
                Err(error) => {
                    found.error = Some(error);
                    break;
                }
            }
        }
        found
    }

    /// Goes back to `start`: what follows there will be found again.
    pub(super) fn rewind(&mut self, start: usize) {
        self.decoder = Decoder::default();
        self.next = start;
    }

    /// Forgets everything up to the request that is not whole; returns how many bytes of the buffer that is.
    pub(super) fn take_finished(&mut self) -> usize {
        std::mem::take(&mut self.next)
    }
}

impl Requests {
    /// Notes the keys of all requests for [`prefetch`]. True if there are so few that it is better to wait until the
    /// other connections of this thread that are ready have noted theirs.
    pub(super) fn announce(&self, input: &[u8], registry: &Registry, session: &Session, keyspace: &Keyspace) -> bool {
        NEXT.with_borrow_mut(|Next { database, slots, elements }| {
            if *database != session.database {
                *database = session.database;
                slots.clear();
                elements.clear();
            }
            let before = slots.len();
            for found in &self.list {
                if slots.len() >= PREFETCHED_MAX {
                    break;
                }
                let Some(row) = found.row.map(|row| &registry.rows()[row]) else { continue };
                let words = found.words(input);
                row.each_key(words, |key| {
                    if slots.len() < PREFETCHED_MAX {
                        slots.push(keyspace.slot(key));
                    }
                });
                if let (Some(slot), Some(name)) = (slots.last(), row.element.and_then(|place| words.get(place))) {
                    elements.push(keyspace.element(*slot, name));
                }
            }
            (1..PREFETCHED_ALONE).contains(&(slots.len() - before)) && slots.len() < PREFETCHED_MAX
        })
    }
}

/// Has all that was noted brought near the processor.
pub(super) fn prefetch(keyspace: &Keyspace) {
    NEXT.with_borrow_mut(|Next { database, slots, elements }| {
        keyspace.prefetch(*database, slots, elements);
        slots.clear();
        elements.clear();
    });
}

/// Lets the other connections of this thread that are ready run first.
pub(super) async fn let_others_run() {
    let mut has_run = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_run, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Drop for Requests {
    fn drop(&mut self) {
        SPARE.with_borrow_mut(|spare| {
            while let Some(found) = self.list.pop() {
                if spare.len() < SPARE_MAX {
                    spare.push(found.decoder);
                }
            }
        });
        if self.list.capacity() > 0 {
            SPARE_LISTS.with_borrow_mut(|spare| {
                if spare.len() < SPARE_MAX {
                    spare.push(std::mem::take(&mut self.list));
                }
            });
        }
    }
}
