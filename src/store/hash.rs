//! The keyed hash of a dataset's keys: what it is for a key never changes while this program runs.
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

    /// What this hash makes of known keys: who finds the same number hashes in the same way.
    pub(super) fn proof(&self) -> u64 {
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(PROVED_LENGTHS[PROVED_LENGTHS.len() - 1]).collect();
        PROVED_LENGTHS.iter().fold(0, |proof: u64, length| proof.rotate_left(7) ^ self.hash(&bytes[..*length]))
    }
}

impl BuildHasher for KeyHasher {
    type Hasher = <SeedableRandomState as BuildHasher>::Hasher;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}
