//! What keys and elements take in memory, and what they would take without their values.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Of one key or element, or of all; in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Footprint {
    pub(super) bytes: usize,
    /// What stays when all values are only on the disk.
    pub(super) bare: usize,
}

/// The sum of many, which change all the time.
#[derive(Debug, Default)]
pub(super) struct Footprints {
    bytes: AtomicUsize,
    bare: AtomicUsize,
}

impl Footprints {
    /// One takes this and took that. Where several change at once, the sum is right once all have.
    #[inline]
    pub(super) fn change(&self, before: Footprint, after: Footprint) {
        for (sum, before, after) in [(&self.bytes, before.bytes, after.bytes), (&self.bare, before.bare, after.bare)] {
            if before != after {
                // What is subtracted wraps around, and was added before.
                sum.fetch_add(after.wrapping_sub(before), Relaxed);
            }
        }
    }

    /// The sum as it is now.
    #[inline]
    pub(super) fn sum(&self) -> Footprint {
        Footprint { bytes: self.bytes.load(Relaxed), bare: self.bare.load(Relaxed) }
    }

    /// Makes it another one, and returns what it was.
    pub(super) fn replace(&self, sum: Footprint) -> Footprint {
        Footprint { bytes: self.bytes.swap(sum.bytes, Relaxed), bare: self.bare.swap(sum.bare, Relaxed) }
    }
}
