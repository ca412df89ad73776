//! The bytes of a hint. All fixed numbers are little-endian; a varint has seven bits in each byte, the lowest first.
//!
//! ```text
//! blocks 0 to 512, each directly behind the one before | filter | footer | length of the footer u32
//!
//! entry: head u8 (op in the lower four bits, 16: expiry, 32: damaged, 64: source, 128: object) | kind u8
//!        | zigzag varint: sequence less that of the entry before | zigzag varint: offset less that of the entry before
//!        | varint: length of the record less its header and key | varint: keyspace | varint: key length
//!        | expiry u64 if 16 | varint: source keyspace if 64 | zigzag varint if 128: object less that of the entry before
//!        | key | value of a sound SetElement, if it is short
//!
//! footer: magic 8 "CASKHINT" | version u16 | reserved u16 | segment id u32 | salt u32 | dataset 16
//!         | bytes of the segment's file u64 | proof of the hash u64
//!         | records u64 | values u64 | bytes of those u64 | bytes of others u64 | values with an expiry u64
//!         | lowest sequence u64 | highest sequence u64 | latest wall clock u64
//!         | 513 blocks, each: bytes u64, crc u32 | filter: bytes u64, crc u32 | crc of the footer so far u32
//! ```

use crc32fast::hash;

use super::super::hash::KeyHasher;
use super::super::record::{HEADER_BYTES, Op, Record, SEQUENCE_MAX, is_shaped};
use super::super::segment::{FIRST_OFFSET, Location};
use super::SegmentIdentity;

/// Into how many parts the keys are spread by their hashes, and the elements by those of their objects.
pub const PARTITIONS: usize = 256;
/// The block of what concerns no single key.
pub(in crate::store) const BIND_BLOCK: usize = PARTITIONS;
/// The block of the elements of the first partition.
const FIRST_ELEMENT_BLOCK: usize = BIND_BLOCK + 1;
/// Blocks in all.
pub(in crate::store) const BLOCKS: usize = FIRST_ELEMENT_BLOCK + PARTITIONS;
/// The value of an element stands in the hint if it has at most so many bytes: the score of a sorted set's member.
pub const HINTED_VALUE_BYTES_MAX: usize = 8;

const MAGIC: [u8; 8] = *b"CASKHINT";
const VERSION: u16 = 2;
const SUMMARY_BYTES: usize = 8 * 8;
const IDENTITY_BYTES: usize = 4 + 4 + 16 + 8 + 8;
const PART_BYTES: usize = 8 + 4;
const CRC_BYTES: usize = 4;
/// Bytes of the footer.
pub(super) const FOOTER_BYTES: usize =
    MAGIC.len() + 2 + 2 + IDENTITY_BYTES + SUMMARY_BYTES + (BLOCKS + 1) * PART_BYTES + CRC_BYTES;
/// Bytes of the longest entry without its key and its value: op and kind, seven varints, an expiry.
const HEAD_BYTES_MAX: usize = 2 + 7 * 10 + 8;
/// Bytes of the footer that say what it is, in every version.
pub(super) const BEGIN_BYTES: usize = MAGIC.len() + 2;
/// Bytes of the footer's length, the last of the file.
pub(super) const LENGTH_BYTES: usize = 4;

const OP: u8 = 0x0f;
const EXPIRY: u8 = 0x10;
const DAMAGED: u8 = 0x20;
const SOURCE: u8 = 0x40;
const OBJECT: u8 = 0x80;

/// The partition of a key: 16 whole shards of the keydir. Or that of an object's elements, by the hash of its id.
#[inline]
pub fn partition_of(hash: u64) -> usize {
    ((hash << 7) >> 56) as usize
}

/// The block of a partition's elements.
pub(in crate::store) fn element_block(partition: usize) -> usize {
    FIRST_ELEMENT_BLOCK + partition
}

/// A record without its value, unless that is an element's and short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hinted<'a> {
    /// Its number: of two records of a key, the one with the higher number wins.
    pub sequence: u64,
    /// What it does.
    pub op: Op,
    /// The value's type; opaque to the store.
    pub kind: u8,
    /// The id of the keyspace.
    pub keyspace: u32,
    /// The keyspace that a key moves out of; otherwise 0.
    pub source: u32,
    /// When the key or the element expires, milliseconds since the Unix epoch.
    pub expiry: Option<u64>,
    /// The id of the object that the record is about an element of, or that holds the elements of its key's value.
    pub object: Option<u64>,
    /// Where the record is in the file of its segment.
    pub offset: u32,
    /// Bytes of the record.
    pub length: u32,
    /// The key, or the name of an element.
    pub key: &'a [u8],
    /// The value that an element is set to, if it has at most [`HINTED_VALUE_BYTES_MAX`] bytes and is sound.
    pub value: Option<&'a [u8]>,
    /// Header and key are sound, the value is not: what the key was before must not be taken for what it is.
    pub damaged: bool,
}

impl<'a> Hinted<'a> {
    /// A record at some place.
    pub(in crate::store) fn of(record: &Record<'a>, at: Location, damaged: bool) -> Self {
        let Location { offset, length, .. } = at;
        let Record { sequence, op, kind, keyspace, expiry, object, key, value, .. } = *record;
        let source = record.source().unwrap_or(0);
        let value = Some(value).filter(|value| has_value(op, damaged, value.len() as u64));
        Self { sequence, op, kind, keyspace, source, expiry, object, offset, length, key, value, damaged }
    }

    /// The object whose element it is about, where it is about one.
    pub fn element_of(&self) -> Option<u64> {
        self.object.filter(|_| self.op.is_of_element())
    }

    /// Whether there can be a record of which it tells: see [`is_shaped`].
    fn is_shaped(&self) -> bool {
        let prefix = prefix_bytes(self.expiry.is_some(), self.object.is_some()) as usize;
        let value_bytes = (self.length as usize).checked_sub(HEADER_BYTES + prefix + self.key.len());
        value_bytes.is_some_and(|bytes| is_shaped(self.op, self.expiry, self.object, self.keyspace, bytes))
            && (self.source == 0 || self.op == Op::Move)
    }

    /// The block it stands in.
    pub(super) fn block(&self, hasher: &KeyHasher) -> usize {
        match self.element_of() {
            Some(object) => element_block(partition_of(hasher.object(object))),
            None => self.key_hash(hasher).map_or(BIND_BLOCK, partition_of),
        }
    }

    /// The block it stands in, and what the filter knows it by, where it has to.
    pub(super) fn place(&self, hasher: &KeyHasher) -> (usize, Option<u64>) {
        match self.element_of() {
            Some(object) => (self.block(hasher), Some(hasher.element(object, self.key))),
            None => {
                let hash = self.key_hash(hasher);
                (hash.map_or(BIND_BLOCK, partition_of), hash)
            }
        }
    }

    /// The keyspace that its key moves out of, where it is about that.
    pub fn moves_from(&self) -> Option<u32> {
        (self.op == Op::Move).then_some(self.source)
    }

    /// The hash of its key, unless that is a database.
    fn key_hash(&self, hasher: &KeyHasher) -> Option<u64> {
        (self.op != Op::Bind).then(|| hasher.hash(self.key))
    }
}

/// Whether the hint has the value of such a record.
#[inline]
fn has_value(op: Op, damaged: bool, bytes: u64) -> bool {
    op == Op::SetElement && !damaged && bytes <= HINTED_VALUE_BYTES_MAX as u64
}

/// Bytes of a record between its header and its key.
#[inline]
fn prefix_bytes(expiry: bool, object: bool) -> u64 {
    8 * (u64::from(expiry) + u64::from(object))
}

/// What a hint says of its segment as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Summary {
    /// Records of keys, elements and databases: all but marks and seals.
    pub records: u64,
    /// Those that set a value, of a key or an element.
    pub puts: u64,
    /// Bytes of those.
    pub put_bytes: u64,
    /// Bytes of the other records: deletions, expiries, bindings, moves.
    pub others_bytes: u64,
    /// Those of the first that have an expiry.
    pub volatile_puts: u64,
    /// The lowest sequence number of any record, marks and seals included; 0 where there is none.
    pub sequence_min: u64,
    /// The highest.
    pub sequence_max: u64,
    /// The latest wall clock of any mark or seal, milliseconds since the Unix epoch.
    pub wall: u64,
}

impl Summary {
    pub(super) fn note(&mut self, entry: &Hinted<'_>) {
        self.records += 1;
        if entry.op.sets_value() {
            self.puts += 1;
            self.put_bytes += u64::from(entry.length);
            self.volatile_puts += u64::from(entry.expiry.is_some());
        } else {
            self.others_bytes += u64::from(entry.length);
        }
        self.note_sequence(entry.sequence);
    }

    pub(super) fn note_sequence(&mut self, sequence: u64) {
        self.sequence_min = if self.sequence_max == 0 { sequence } else { self.sequence_min.min(sequence) };
        self.sequence_max = self.sequence_max.max(sequence);
    }
}

/// What an entry's numbers are relative to: the entry before it in its block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    pub sequence: u64,
    pub offset: u32,
    /// Of the last entry that has one.
    pub object: u64,
}

/// Appends an entry to its block.
pub(super) fn write_entry(out: &mut Vec<u8>, before: &mut Before, entry: &Hinted<'_>) {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let flags = flag(entry.expiry.is_some(), EXPIRY)
        | flag(entry.damaged, DAMAGED)
        | flag(entry.source != 0, SOURCE)
        | flag(entry.object.is_some(), OBJECT);
    let mut head = Head { bytes: [0; HEAD_BYTES_MAX], length: 0 };
    head.push(entry.op as u8 | flags);
    head.push(entry.kind);
    head.varint(zigzag(entry.sequence as i64 - before.sequence as i64));
    head.varint(zigzag(i64::from(entry.offset) - i64::from(before.offset)));
    head.varint(u64::from(entry.length) - (HEADER_BYTES + entry.key.len()) as u64);
    head.varint(u64::from(entry.keyspace));
    head.varint(entry.key.len() as u64);
    entry.expiry.into_iter().for_each(|expiry| expiry.to_le_bytes().into_iter().for_each(|byte| head.push(byte)));
    if entry.source != 0 {
        head.varint(u64::from(entry.source));
    }
    if let Some(object) = entry.object {
        // Any number can follow any other.
        head.varint(zigzag(object.wrapping_sub(before.object) as i64));
    }
    out.extend_from_slice(&head.bytes[..head.length]);
    out.extend_from_slice(entry.key);
    out.extend_from_slice(entry.value.unwrap_or_default());
    let object = entry.object.unwrap_or(before.object);
    *before = Before { sequence: entry.sequence, offset: entry.offset, object };
}

/// Reads the entry at the front of `rest`, and moves `rest` behind it; none where there is no sound one.
#[inline]
pub(super) fn read_entry<'a>(rest: &mut &'a [u8], before: &mut Before) -> Option<Hinted<'a>> {
    let (&[head, kind], mut bytes) = rest.split_first_chunk()?;
    let (op, damaged) = (Op::read(head & OP)?, head & DAMAGED != 0);
    let sequence = before.sequence.checked_add_signed(unzigzag(read_varint(&mut bytes)?))?;
    let offset = u64::from(before.offset).checked_add_signed(unzigzag(read_varint(&mut bytes)?))?;
    let offset = u32::try_from(offset).ok()?;
    let more = read_varint(&mut bytes)?;
    let keyspace = u32::try_from(read_varint(&mut bytes)?).ok()?;
    let key_length = read_varint(&mut bytes)?;
    let length = key_length.checked_add(more)?.checked_add(HEADER_BYTES as u64)?;
    let length = u32::try_from(length).ok()?;
    let value_length = more.checked_sub(prefix_bytes(head & EXPIRY != 0, head & OBJECT != 0))?;
    let expiry = if head & EXPIRY != 0 {
        let (expiry, rest) = bytes.split_first_chunk()?;
        bytes = rest;
        Some(u64::from_le_bytes(*expiry))
    } else {
        None
    };
    let source = if head & SOURCE != 0 { u32::try_from(read_varint(&mut bytes)?).ok()? } else { 0 };
    let object = if head & OBJECT != 0 {
        Some(before.object.wrapping_add(unzigzag(read_varint(&mut bytes)?) as u64))
    } else {
        None
    };
    let (key, mut behind) = bytes.split_at_checked(usize::try_from(key_length).ok()?)?;
    let value = if has_value(op, damaged, value_length) {
        let (value, rest) = behind.split_at_checked(value_length as usize)?;
        behind = rest;
        Some(value)
    } else {
        None
    };
    *rest = behind;
    *before = Before { sequence, offset, object: object.unwrap_or(before.object) };
    Some(Hinted { sequence, op, kind, keyspace, source, expiry, object, offset, length, key, value, damaged })
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

#[inline]
fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// What stands before the key of an entry, put together where nothing has to grow.
struct Head {
    bytes: [u8; HEAD_BYTES_MAX],
    length: usize,
}

impl Head {
    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.push(number as u8);
    }
}

#[inline]
fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            // The tenth byte has one bit.
            return (shift < 63 || byte <= 1).then_some(number);
        }
    }
    None
}

/// Bytes of a part of the file, and their checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub length: u64,
    pub crc: u32,
}

impl Part {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { length: bytes.len() as u64, crc: hash(bytes) }
    }

    /// Whether these are its bytes.
    pub(super) fn fits(&self, bytes: &[u8]) -> bool {
        *self == Self::of(bytes)
    }
}

/// Whether a footer that begins so is one of an earlier version.
pub(super) fn is_older(begin: &[u8; BEGIN_BYTES]) -> bool {
    begin.strip_prefix(&MAGIC).is_some_and(|version| (1..VERSION).any(|older| version == older.to_le_bytes()))
}

/// What stands behind blocks and filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub identity: SegmentIdentity,
    pub summary: Summary,
    /// The blocks, and behind them the filter.
    pub parts: [Part; BLOCKS + 1],
}

impl Footer {
    /// The bytes of the footer and its length.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FOOTER_BYTES + LENGTH_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&self.identity.id.to_le_bytes());
        bytes.extend_from_slice(&self.identity.salt.to_le_bytes());
        bytes.extend_from_slice(&self.identity.dataset);
        bytes.extend_from_slice(&self.identity.file_length.to_le_bytes());
        bytes.extend_from_slice(&self.identity.hash_proof.to_le_bytes());
        let Summary { records, puts, put_bytes, others_bytes, volatile_puts, sequence_min, sequence_max, wall } =
            self.summary;
        for number in [records, puts, put_bytes, others_bytes, volatile_puts, sequence_min, sequence_max, wall] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for part in &self.parts {
            bytes.extend_from_slice(&part.length.to_le_bytes());
            bytes.extend_from_slice(&part.crc.to_le_bytes());
        }
        let crc = hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&(FOOTER_BYTES as u32).to_le_bytes());
        bytes
    }

    /// Reads the last bytes of a file; none where they are not those of a sound footer of this version.
    pub(super) fn read(bytes: &[u8; FOOTER_BYTES + LENGTH_BYTES]) -> Option<Self> {
        let (signed, length) = bytes.split_at(FOOTER_BYTES);
        let (content, crc) = signed.split_at(FOOTER_BYTES - CRC_BYTES);
        let mut rest = content;
        let known = take::<8>(&mut rest)? == MAGIC
            && u16::from_le_bytes(take(&mut rest)?) == VERSION
            && take::<2>(&mut rest)? == [0; 2]
            && *length == (FOOTER_BYTES as u32).to_le_bytes()
            && *crc == hash(content).to_le_bytes();
        if !known {
            return None;
        }
        let identity = SegmentIdentity {
            id: u32::from_le_bytes(take(&mut rest)?),
            salt: u32::from_le_bytes(take(&mut rest)?),
            dataset: take(&mut rest)?,
            file_length: long(&mut rest)?,
            hash_proof: long(&mut rest)?,
        };
        let summary = Summary {
            records: long(&mut rest)?,
            puts: long(&mut rest)?,
            put_bytes: long(&mut rest)?,
            others_bytes: long(&mut rest)?,
            volatile_puts: long(&mut rest)?,
            sequence_min: long(&mut rest)?,
            sequence_max: long(&mut rest)?,
            wall: long(&mut rest)?,
        };
        let mut parts = [Part::default(); BLOCKS + 1];
        for part in &mut parts {
            *part = Part { length: long(&mut rest)?, crc: u32::from_le_bytes(take(&mut rest)?) };
        }
        Some(Self { identity, summary, parts })
    }

    /// Bytes of the whole file; none for impossible lengths.
    pub(super) fn file_bytes(&self) -> Option<u64> {
        let parts = self.parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.length))?;
        parts.checked_add((FOOTER_BYTES + LENGTH_BYTES) as u64)
    }

    /// Where each part begins in a file of [`Footer::file_bytes`].
    pub(super) fn starts(&self) -> Vec<u64> {
        let before = |end: &mut u64, part: &Part| Some(std::mem::replace(end, *end + part.length));
        self.parts.iter().scan(0, before).collect()
    }

    /// Whether any segment of that length can have what it counts.
    pub(super) fn is_possible(&self) -> bool {
        let Summary { records, puts, put_bytes, others_bytes, volatile_puts, sequence_min, sequence_max, .. } =
            self.summary;
        let bytes = put_bytes.checked_add(others_bytes);
        sequence_min <= sequence_max
            && sequence_max <= SEQUENCE_MAX
            && volatile_puts <= puts
            && puts <= records
            && records <= self.identity.file_length / HEADER_BYTES as u64
            && bytes.is_some_and(|bytes| bytes <= self.identity.file_length)
    }

    /// Whether an entry can be one of its segment, in this block.
    pub(super) fn admits(&self, block: usize, entry: &Hinted<'_>) -> bool {
        let end = u64::from(entry.offset) + u64::from(entry.length);
        let Summary { sequence_min, sequence_max, .. } = self.summary;
        entry.offset >= FIRST_OFFSET
            && end <= self.identity.file_length
            && (sequence_min.max(1)..=sequence_max.min(SEQUENCE_MAX)).contains(&entry.sequence)
            && entry.is_shaped()
            && !matches!(entry.op, Op::Mark | Op::Seal)
            && (entry.op == Op::Bind) == (block == BIND_BLOCK)
            && entry.op.is_of_element() == (block >= FIRST_ELEMENT_BLOCK)
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn long(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_le_bytes)
}
