//! Which keys and elements a segment may have records of: a Bloom filter whose bits for one of them stand in one cache line.
//!
//! Always true: a key that was put in is never denied; of the others, less than two in a hundred are not.

/// Bits of the filter for each key in it.
const BITS_PER_KEY: usize = 10;
const BLOCK_WORDS: usize = 8;
const BLOCK_BITS: usize = BLOCK_WORDS * 64;
/// Bytes of one block.
pub(super) const BLOCK_BYTES: usize = BLOCK_WORDS * 8;
/// Bits that are set for a key.
const PROBES: u32 = 6;
/// The bits of a hash that say where in its block a key's bits are.
const PROBE_BITS: u32 = BLOCK_BITS.trailing_zeros();

/// A filter over the hashes of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Filter {
    blocks: Vec<[u64; BLOCK_WORDS]>,
}

impl Filter {
    /// The filter of these hashes, each of which is there once.
    pub(super) fn of(hashes: &[u64]) -> Self {
        let mut filter = Self { blocks: vec![[0; BLOCK_WORDS]; (hashes.len() * BITS_PER_KEY).div_ceil(BLOCK_BITS)] };
        for &hash in hashes {
            let block = filter.block_of(hash);
            probes(hash).for_each(|(word, bit)| filter.blocks[block][word] |= bit);
        }
        filter
    }

    /// Whether a key of this hash may have a record; `false` is certain.
    pub(in crate::store) fn may_have(&self, hash: u64) -> bool {
        let Some(block) = self.blocks.get(self.block_of(hash)) else { return false };
        probes(hash).all(|(word, bit)| block[word] & bit != 0)
    }

    /// Bytes that it takes.
    pub(in crate::store) fn bytes(&self) -> u64 {
        (self.blocks.len() * BLOCK_BYTES) as u64
    }

    pub(in crate::store) fn write(&self) -> Vec<u8> {
        self.blocks.iter().flatten().flat_map(|word| word.to_le_bytes()).collect()
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
        if !rest.is_empty() {
            return None;
        }
        let word = |bytes: &[u8; BLOCK_BYTES], at: usize| {
            let (words, _) = bytes.as_chunks();
            u64::from_le_bytes(words[at])
        };
        Some(Self { blocks: blocks.iter().map(|bytes| std::array::from_fn(|at| word(bytes, at))).collect() })
    }

    fn block_of(&self, hash: u64) -> usize {
        (((hash >> 32) * self.blocks.len() as u64) >> 32) as usize
    }
}

/// Words and bits of a key inside its block.
fn probes(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    // The block takes the upper bits as they are: what is made of all bits is independent enough of it.
    let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..PROBES).map(move |probe| {
        let bit = (mixed >> (64 - PROBE_BITS * (probe + 1))) as usize % BLOCK_BITS;
        (bit / 64, 1 << (bit % 64))
    })
}
