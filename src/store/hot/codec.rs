//! The bytes of the file. All fixed numbers are little-endian; a varint has seven bits in each byte, the lowest first.
//!
//! ```text
//! header | blocks, each directly behind the one before
//!
//! header: magic 8 "CASKHOT\n" | version u16 | reserved u16 | crc u32 | dataset 16 | proof of the hash u64 | written u64
//!         | names u64
//!
//! block:  crc u32 | length of the names u32 | kind u8 (1 keys, 2 elements) | owner u64 | names
//!
//! name:   varint: (name less that of the one before in the block) << 2 | uses
//! ```

use crc32fast::hash;

/// The version of the format.
pub(super) const FORMAT_VERSION: u16 = 1;

pub(super) const MAGIC: [u8; 8] = *b"CASKHOT\n";

const VERSION_AT: usize = MAGIC.len();
const RESERVED_AT: usize = VERSION_AT + 2;
const CRC_AT: usize = RESERVED_AT + 2;
const DATASET_AT: usize = CRC_AT + 4;
const PROOF_AT: usize = DATASET_AT + 16;
const WRITTEN_AT: usize = PROOF_AT + 8;
const NAMES_AT: usize = WRITTEN_AT + 8;
/// Bytes before the first block.
pub(super) const HEADER_BYTES: usize = NAMES_AT + 8;

const LENGTH_AT: usize = 4;
const KIND_AT: usize = LENGTH_AT + 4;
const OWNER_AT: usize = KIND_AT + 1;
/// Bytes of a block before its names.
pub(super) const BLOCK_HEADER_BYTES: usize = OWNER_AT + 8;

/// Bytes that the names of one block may take.
pub(super) const NAMES_BYTES_MAX: usize = 64 << 10;

/// Bytes of the longest varint that is written: a name and its uses have 42 bits.
pub(super) const NAME_BYTES_MAX: usize = 6;

const KEYS: u8 = 1;
const ELEMENTS: u8 = 2;

const USES_BITS: u32 = 2;
/// The most uses that are counted.
pub(super) const USES_MAX: u8 = (1 << USES_BITS) - 1;

/// Of a hash: the 12 bits below the highest 7, these 7, and the lowest 21.
const SHARD_BITS: u32 = 12;
const TAG_BITS: u32 = 7;
const LOW_BITS: u32 = 21;
const NAME_BITS: u32 = SHARD_BITS + TAG_BITS + LOW_BITS;

/// What a key or an element is called in the file: 40 bits of its hash, those that find it in a map of any size, in an order in
/// which the shards of the keydir come one after the other. Of a thousand million keys, one in a thousand has the name of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HotName(u64);

impl HotName {
    /// The name of a key or an element with this hash.
    #[inline]
    pub fn of(hash: u64) -> Self {
        let shard = (hash << TAG_BITS) >> (u64::BITS - SHARD_BITS);
        let tag = hash >> (u64::BITS - TAG_BITS);
        Self(shard << (TAG_BITS + LOW_BITS) | tag << LOW_BITS | hash & ((1 << LOW_BITS) - 1))
    }

    /// A hash with this name, all of whose other bits are 0.
    #[inline]
    pub fn hash(self) -> u64 {
        let shard = self.0 >> (TAG_BITS + LOW_BITS);
        let tag = self.0 >> LOW_BITS & ((1 << TAG_BITS) - 1);
        tag << (u64::BITS - TAG_BITS) | shard << (u64::BITS - TAG_BITS - SHARD_BITS) | self.0 & ((1 << LOW_BITS) - 1)
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }
}

/// Whose names a block has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HotOwner {
    /// Keys of the keyspace with this id.
    Keyspace(u32),
    /// Elements of the object with this id.
    Object(u64),
}

/// A name, and how often the value was used of late, 0 to 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remembered {
    pub name: HotName,
    pub uses: u8,
}

/// The first bytes of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub dataset: [u8; 16],
    pub proof: u64,
    /// When it was written, in milliseconds since the Unix epoch.
    pub written: u64,
    /// How many names there are.
    pub names: u64,
}

impl Header {
    pub(super) fn write(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..VERSION_AT].copy_from_slice(&MAGIC);
        bytes[VERSION_AT..RESERVED_AT].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[DATASET_AT..PROOF_AT].copy_from_slice(&self.dataset);
        bytes[PROOF_AT..WRITTEN_AT].copy_from_slice(&self.proof.to_le_bytes());
        bytes[WRITTEN_AT..NAMES_AT].copy_from_slice(&self.written.to_le_bytes());
        bytes[NAMES_AT..].copy_from_slice(&self.names.to_le_bytes());
        let crc = hash(&bytes);
        bytes[CRC_AT..DATASET_AT].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// None where it is of another version, or not what was written.
    pub(super) fn read(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let mut unsigned = *bytes;
        unsigned[CRC_AT..DATASET_AT].fill(0);
        let is_sound = bytes[..VERSION_AT] == MAGIC
            && bytes[VERSION_AT..RESERVED_AT] == FORMAT_VERSION.to_le_bytes()
            && bytes[RESERVED_AT..CRC_AT] == [0; 2]
            && bytes[CRC_AT..DATASET_AT] == hash(&unsigned).to_le_bytes();
        is_sound.then(|| Self {
            dataset: array(&bytes[DATASET_AT..PROOF_AT]),
            proof: long(&bytes[PROOF_AT..WRITTEN_AT]),
            written: long(&bytes[WRITTEN_AT..NAMES_AT]),
            names: long(&bytes[NAMES_AT..]),
        })
    }
}

/// Begins a block, whose length and crc [`end_block`] fills in.
pub(super) fn begin_block(out: &mut Vec<u8>, owner: HotOwner) {
    let (kind, owner) = match owner {
        HotOwner::Keyspace(id) => (KEYS, u64::from(id)),
        HotOwner::Object(id) => (ELEMENTS, id),
    };
    out.extend_from_slice(&[0; KIND_AT]);
    out.push(kind);
    out.extend_from_slice(&owner.to_le_bytes());
}

/// Ends the block that `block` has from its first byte on.
pub(super) fn end_block(block: &mut [u8]) {
    let length = (block.len() - BLOCK_HEADER_BYTES) as u32;
    block[LENGTH_AT..KIND_AT].copy_from_slice(&length.to_le_bytes());
    let crc = hash(&block[LENGTH_AT..]);
    block[..LENGTH_AT].copy_from_slice(&crc.to_le_bytes());
}

/// Of the first bytes of a block: how many bytes its names take. None where it can have no so many.
pub(super) fn names_bytes(header: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(array(header.get(LENGTH_AT..KIND_AT)?)) as usize;
    (1..=NAMES_BYTES_MAX).contains(&length).then_some(length)
}

/// Whose names a whole block has, and these as they stand there. None where it is not what was written.
pub(super) fn read_block(block: &[u8]) -> Option<(HotOwner, &[u8])> {
    let (header, names) = block.split_at_checked(BLOCK_HEADER_BYTES)?;
    if header[..LENGTH_AT] != hash(&block[LENGTH_AT..]).to_le_bytes() {
        return None;
    }
    let id = long(&header[OWNER_AT..]);
    let owner = match header[KIND_AT] {
        KEYS => HotOwner::Keyspace(u32::try_from(id).ok()?),
        ELEMENTS => HotOwner::Object(id),
        _ => return None,
    };
    Some((owner, names))
}

/// Writes a name that comes behind `before`.
#[inline]
pub(super) fn write_name(out: &mut Vec<u8>, remembered: Remembered, before: u64) {
    let mut number = (remembered.name.0 - before) << USES_BITS | u64::from(remembered.uses.min(USES_MAX));
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads the name at the front of `rest` that comes behind `before`; none where there is none, or no sound one.
#[inline]
pub(super) fn read_name(rest: &mut &[u8], before: u64) -> Option<Remembered> {
    let mut number = 0;
    for shift in (0..NAME_BYTES_MAX as u32 * 7).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let name = before + (number >> USES_BITS);
            let uses = (number & u64::from(USES_MAX)) as u8;
            return (name >> NAME_BITS == 0).then_some(Remembered { name: HotName(name), uses });
        }
    }
    None
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

fn long(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(array(bytes))
}
