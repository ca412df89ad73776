//! A member of a large sorted set: its block is shared by the table that finds it and the tree that orders it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use triomphe::ThinArc;

use super::super::entry::prefetch;
use super::super::shapes::{Item, Named};
use crate::store::Location;

/// Bytes of a record around a member's name: header, object id, score.
const RECORD_BYTES: usize = 28 + 8 + 8;

/// See the module.
#[derive(Clone)]
pub(super) struct Member(ThinArc<Header, u8>);

struct Header {
    /// As it stands in the log.
    score: [u8; 8],
    /// Segment and offset of the record.
    place: AtomicU64,
}

impl Member {
    pub(super) fn new(name: &[u8], score: f64, location: Location) -> Self {
        let header = Header { score: score.to_le_bytes(), place: AtomicU64::new(place(location)) };
        Self(ThinArc::from_header_and_slice(header, name))
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.0.slice
    }

    pub(super) fn score(&self) -> f64 {
        f64::from_le_bytes(self.0.header.header.score)
    }

    /// The score as it stands in the log.
    pub(super) fn score_bytes(&self) -> &[u8; 8] {
        &self.0.header.header.score
    }

    pub(super) fn location(&self) -> Location {
        let place = self.0.header.header.place.load(Relaxed);
        let length = (RECORD_BYTES + self.name().len()) as u32;
        Location { segment: (place >> 32) as u32, offset: place as u32, length }
    }

    pub(super) fn set_location(&self, location: Location) {
        self.0.header.header.place.store(place(location), Relaxed);
    }

    /// Has the block brought near the processor.
    pub(super) fn prefetch(&self) {
        prefetch(&self.0.header.header);
    }

    /// Whether both are the same block.
    pub(super) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(&self.0.header.header, &other.0.header.header)
    }

    /// Bytes of the block.
    pub(super) fn bytes(&self) -> usize {
        (size_of::<usize>() + size_of::<Header>() + size_of::<usize>() + self.name().len()).next_multiple_of(8)
    }
}

fn place(location: Location) -> u64 {
    u64::from(location.segment) << 32 | u64::from(location.offset)
}

impl Named for Member {
    fn name(&self) -> &[u8] {
        self.name()
    }
}

/// A member where it stands in the order; its score is at hand without a look at its block.
#[derive(Clone)]
pub(super) struct Scored {
    pub(super) score: f64,
    pub(super) member: Member,
}

impl Scored {
    pub(super) fn new(member: Member) -> Self {
        Self { score: member.score(), member }
    }
}

impl Item for Scored {
    type Key = f64;

    fn key(&self) -> f64 {
        self.score
    }
}
