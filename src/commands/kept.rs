//! A latch that one request of a pipeline leaves to the next.
//!
//! Always true: it is left only to a request about one key under the same latch, and given back before anything else is
//! latched or waited for; requests that follow each other hold it for little longer than [`KEPT_NANOSECONDS_MAX`] together.
//! Clients that share a key then meet once a pipeline, and not at each of its requests.

use super::registry::Row;
use crate::keyspace::{Access, Mode};
use crate::protocol::Arguments;

/// Whoever waits for a latch waits for so long, in nanoseconds, and for one request more.
const KEPT_NANOSECONDS_MAX: u64 = 50_000;

/// See the module.
#[derive(Default)]
pub struct Kept<'k> {
    access: Option<Access<'k>>,
    nanoseconds: u64,
}

impl<'k> Kept<'k> {
    /// Where this request's access is, or is to be put: what was left is there if it is what the request needs, and is
    /// given back otherwise.
    pub(super) fn place_for(
        &mut self,
        database: u32,
        row: &Row,
        words: Arguments<'_>,
        now: u64,
    ) -> &mut Option<Access<'k>> {
        if let Some(access) = &mut self.access {
            let covers = row.only_key.and_then(|place| words.get(place)).is_some_and(|key| {
                let reach = row.reach(words);
                let mode = if reach.only_reads { Mode::Shared } else { Mode::Exclusive };
                !reach.all && access.covers(database, key, mode)
            });
            if covers {
                access.renew(now);
            } else {
                self.access = None;
            }
        }
        &mut self.access
    }

    /// A request is done, and took so long.
    pub(super) fn spend(&mut self, nanoseconds: u64) {
        self.nanoseconds += nanoseconds;
        if self.nanoseconds > KEPT_NANOSECONDS_MAX {
            self.access = None;
        }
        if self.access.is_none() {
            self.nanoseconds = 0;
        }
    }
}
