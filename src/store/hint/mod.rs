//! Hint files: what a sealed segment says of its keys and elements, without the values, unless an element's is short: so a
//! start need not read those.
//!
//! Always true: a hint is a cache, and deleting it loses nothing; it is never trusted in doubt, and what cannot be
//! trusted is told as absent, never as an error. `docs/storage-format.md` specifies the bytes.
//!
//! | file | what |
//! | --- | --- |
//! | `codec` | the bytes of entries and of the footer |
//! | `filter` | which keys and elements a segment may have records of |
//! | `write` | collects the entries of a segment, and writes the file |
//! | `read` | opens a file, and reads one block of it |

mod codec;
mod filter;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub(super) use self::codec::{BIND_BLOCK, BLOCKS, Summary, element_block};
pub use self::codec::{HINTED_VALUE_BYTES_MAX, Hinted, PARTITIONS, partition_of};
pub(super) use self::read::{Block, Entries, Hint, hint_identity, is_older_hint};
pub(super) use self::write::Builder;

use super::hash::KeyHasher;

/// The entries at the front of any bytes, up to the first that is not sound.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn entries_of(mut bytes: &[u8]) -> impl Iterator<Item = Hinted<'_>> {
    let mut before = codec::Before::default();
    std::iter::from_fn(move || codec::read_entry(&mut bytes, &mut before))
}

/// What a hint must agree with to be one of this segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentIdentity {
    pub id: u32,
    pub salt: u32,
    pub dataset: [u8; 16],
    /// Bytes of the sealed file, its header included.
    pub file_length: u64,
    /// [`KeyHasher::proof`] of the hash that spread the keys over the partitions.
    pub hash_proof: u64,
}

impl SegmentIdentity {
    pub(super) fn new(id: u32, salt: u32, dataset: [u8; 16], file_length: u64, hasher: &KeyHasher) -> Self {
        Self { id, salt, dataset, file_length, hash_proof: hasher.proof() }
    }
}

/// A whole hint that counts something else, with a sound checksum.
#[cfg(test)]
pub(super) fn forged(hint: &[u8], change: &dyn Fn(&mut Summary)) -> Vec<u8> {
    let (parts, footer) = hint.split_at(hint.len() - codec::FOOTER_BYTES - codec::LENGTH_BYTES);
    let mut footer = codec::Footer::read(footer.try_into().unwrap()).unwrap();
    change(&mut footer.summary);
    [parts, &footer.write()].concat()
}
