//! The requests that have arrived on a connection, found before the first of them runs, so that what they will touch
//! can be fetched from memory together.
//!
//! Always true: requests run in the order in which they came; what was found and did not run is found again.

use std::cell::RefCell;

use crate::commands::Registry;
use crate::keyspace::Keyspace;
use crate::node::Session;
use crate::protocol::{Arguments, Decoded, Decoder, Limits, ProtocolError};

/// How many requests are found before the first of them runs.
const AHEAD: usize = 16;

/// More keys than this would push each other out of the processor's first cache.
const PREFETCHED_MAX: usize = 64;

/// A request in the buffer.
pub(super) struct Found {
    decoder: Decoder,
    start: usize,
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

thread_local! {
    /// Decoders to be used again: nobody owns those whose request has run.
    static SPARE: RefCell<Vec<Decoder>> = const { RefCell::new(Vec::new()) };
}

impl Pipeline {
    /// Finds the next requests of `input`. A client that must authenticate first gets them one by one, since its
    /// limits change when it does.
    pub(super) fn find(&mut self, input: &[u8], limits: &Limits, registry: &Registry) -> Requests {
        let most = if limits.authenticated { AHEAD } else { 1 };
        let mut found = Requests::default();
        while found.list.len() < most {
            match self.decoder.decode(&input[self.next..], limits) {
                Ok(Decoded::Request { consumed }) => {
                    let (start, end) = (self.next, self.next + consumed);
                    let spare = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
                    let decoder = std::mem::replace(&mut self.decoder, spare);
                    let row = registry.resolve(decoder.arguments(&input[start..])).ok().map(|row| row.index);
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
    /// Has the keys of all requests brought near the processor.
    pub(super) fn prefetch(&self, input: &[u8], registry: &Registry, session: &Session, keyspace: &Keyspace) {
        if session.transaction.is_none() {
            let rows = self.list.iter().filter_map(|found| Some((&registry.rows()[found.row?], found.words(input))));
            let keys = rows.flat_map(|(row, words)| row.keys(words));
            keyspace.prefetch(session.database, keys.take(PREFETCHED_MAX));
        }
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        SPARE.with_borrow_mut(|spare| {
            let decoders = self.list.drain(..).map(|found| found.decoder);
            spare.extend(decoders.take(AHEAD.saturating_sub(spare.len())));
        });
    }
}
