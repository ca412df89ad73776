//! The keyed hash of a dataset's keys and elements: what it is for one of them never changes while this program runs.
//!
//! Files rely on it only together with [`KeyHasher::proof`]: another version of the hash makes other proofs.

use std::hash::{BuildHasher, Hasher as _};

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

/// Lengths of keys that the hash treats in different ways.
const PROVED_LENGTHS: [usize; 8] = [0, 1, 5, 11, 16, 40, 200, 500];

/// The keyed hash of one dataset.
#[derive(Clone)]
pub struct KeyHasher(SeedableRandomState);

impl KeyHasher {
    /// The hash that belongs to a secret seed.
    pub fn new(seed: [u8; 16]) -> Self {
        let (shared, own) = seed.split_at(8);
        let number = |half: &[u8]| half.iter().fold(0u64, |sum, &byte| (sum << 8) | u64::from(byte));
        // The hasher asks for a shared seed that lives for ever: some 50 bytes for each dataset ever opened.
        let shared: &'static SharedSeed = Box::leak(Box::new(SharedSeed::from_u64(number(shared))));
        Self(SeedableRandomState::with_seed(number(own), shared))
    }

    /// The hash of a key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    /// The hash of an object's id.
    #[inline]
    pub fn object(&self, id: u64) -> u64 {
        self.hash(&id.to_le_bytes())
    }

    /// The hash of an element, by the id of its object and its name.
    #[inline]
    pub fn element(&self, object: u64, name: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(&object.to_le_bytes());
        hasher.write(name);
        hasher.finish()
    }

    /// What this hash makes of known keys and elements: who finds the same number hashes in the same way.
    pub(super) fn proof(&self) -> u64 {
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(PROVED_LENGTHS[PROVED_LENGTHS.len() - 1]).collect();
        let keys = PROVED_LENGTHS.iter().map(|length| self.hash(&bytes[..*length]));
        let elements = PROVED_LENGTHS.iter().map(|length| self.element(*length as u64, &bytes[..*length]));
        keys.chain(elements).fold(0, |proof: u64, hash| proof.rotate_left(7) ^ hash)
    }
}

impl BuildHasher for KeyHasher {
    type Hasher = <SeedableRandomState as BuildHasher>::Hasher;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}
