//! The requests that have arrived on a connection, found before the first of them runs, so that what they will touch
//! can be fetched from memory together.
//!
//! Always true: requests run in the order in which they came; what was found and did not run is found again.

use std::cell::RefCell;
use std::future::poll_fn;
use std::ops::Range;
use std::task::Poll;

use super::buffers::SPARE_MAX;
use crate::commands::Registry;
use crate::keyspace::{Ahead, Keyspace, Slot};
use crate::node::Session;
use crate::protocol::{Arguments, Decoded, Decoder, Limits, ProtocolError, whole};

/// How many requests are found before the first of them runs.
const AHEAD: usize = 16;

/// More keys than this would push each other out of the processor's first cache.
const PREFETCHED_MAX: usize = 64;

/// A connection with as many keys to look at does not wait for those of the others.
const PREFETCHED_ALONE: usize = 16;

/// Room for the places of so many words is kept.
const PLACES_KEPT: usize = 512;

/// Where words begin and end.
type Places = Vec<(usize, usize)>;

/// A request in the buffer.
pub(super) struct Found {
    /// Where its words begin and end among the places of all words.
    words: Range<usize>,
    /// What has found it, if it is not a short one that was there as a whole: then that has the places of its words.
    decoder: Option<Box<Decoder>>,
    /// Where it begins.
    pub(super) start: usize,
    /// Where the next one begins.
    pub(super) end: usize,
    /// The number of its row, if it is a command.
    pub(super) row: Option<usize>,
}

/// The state of finding requests in one connection's buffer.
#[derive(Default)]
pub(super) struct Pipeline {
    /// The request that is not whole yet, from `next` on.
    decoder: Decoder,
    next: usize,
    /// The row of the last request that was found: mostly the next is for the same.
    last: Option<usize>,
}

/// Some requests, and what comes after them.
#[derive(Default)]
pub(super) struct Requests {
    pub(super) list: Vec<Found>,
    /// The places of their words, each counted from where its request begins.
    places: Places,
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

    /// Room for requests and the places of their words, to be used again.
    static SPARE: RefCell<Vec<(Vec<Found>, Places)>> = const { RefCell::new(Vec::new()) };
}

impl Pipeline {
    /// Finds the next requests of `input`. A client that must authenticate first gets them one by one, since its
    /// limits change when it does.
    pub(super) fn find(&mut self, input: &[u8], limits: &Limits, registry: &Registry) -> Requests {
        let most = if limits.authenticated { AHEAD } else { 1 };
        let (list, places) = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        let mut found = Requests { list, places, error: None };
        while found.list.len() < most {
            let (start, first) = (self.next, found.places.len());
            let rest = &input[start..];
            if self.decoder.is_between()
                && let Some(consumed) = whole(rest, limits, &mut found.places)
            {
                let words = Arguments::new(rest, &found.places[first..]);
                self.found(&mut found.list, registry, words, first..found.places.len(), consumed);
                continue;
            }
            match self.decoder.decode(rest, limits) {
                Ok(Decoded::Request { consumed }) => {
                    let decoder = Box::new(std::mem::take(&mut self.decoder));
                    self.found(&mut found.list, registry, decoder.arguments(rest), 0..0, consumed);
                    if let Some(last) = found.list.last_mut() {
                        last.decoder = Some(decoder);
                    }
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

    #[inline]
    fn found(
        &mut self,
        list: &mut Vec<Found>,
        registry: &Registry,
        arguments: Arguments<'_>,
        words: Range<usize>,
        consumed: usize,
    ) {
        let row = registry.resolve_after(arguments, self.last).ok().map(|row| row.index);
        let (start, end) = (self.next, self.next + consumed);
        list.push(Found { words, decoder: None, start, end, row });
        (self.next, self.last) = (end, row);
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
    /// The words of one of them; `input` is the buffer it was found in.
    #[inline]
    pub(super) fn words<'a>(&'a self, found: &'a Found, input: &'a [u8]) -> Arguments<'a> {
        let input = &input[found.start..];
        match &found.decoder {
            None => Arguments::new(input, &self.places[found.words.clone()]),
            Some(decoder) => decoder.arguments(input),
        }
    }

    /// Notes the keys of all requests for [`prefetch`]. True if there are so few that it is better to wait until the
    /// other connections of this thread that are ready have noted theirs.
    pub(super) fn announce(&self, input: &[u8], registry: &Registry, session: &Session, keyspace: &Keyspace) -> bool {
        NEXT.with_borrow_mut(|Next { database, slots, elements }| {
            if *database != session.database {
                *database = session.database;
                slots.clear();
                elements.clear();
            }
            let mut keys = 0;
            // Requests that follow each other are often about one key.
            let mut last: Option<&[u8]> = None;
            for found in &self.list {
                if slots.len().max(elements.len()) >= PREFETCHED_MAX {
                    break;
                }
                let Some(row) = found.row.map(|row| &registry.rows()[row]) else { continue };
                let words = self.words(found, input);
                row.each_key(words, |key| {
                    keys += 1;
                    if last != Some(key) && slots.len() < PREFETCHED_MAX {
                        slots.push(keyspace.slot(key));
                        last = Some(key);
                    }
                });
                if let (Some(slot), Some(name)) = (slots.last(), row.element.and_then(|place| words.get(place))) {
                    elements.push(keyspace.element(*slot, name));
                }
            }
            (1..PREFETCHED_ALONE).contains(&keys) && slots.len().max(elements.len()) < PREFETCHED_MAX
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
        if self.list.capacity() == 0 || self.places.capacity() > PLACES_KEPT {
            return;
        }
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_MAX {
                let (mut list, mut places) = (std::mem::take(&mut self.list), std::mem::take(&mut self.places));
                list.clear();
                places.clear();
                spare.push((list, places));
            }
        });
    }
}
