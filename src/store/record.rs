//! One record of the log: its bytes and their checks.
//!
//! A record's checksum covers the salt of its segment, so bytes left over from another segment never verify.
//! The guard is the half of it that can be verified before the value has been read: it covers the header and
//! the key, so that a record with a damaged value can still be named. `docs/storage-format.md` draws the bytes.

use std::sync::LazyLock;

use crc32fast::Hasher;

use super::error::Refused;

pub use super::op::Op;

const CRC_AT: usize = 0;
const LENGTH_AT: usize = CRC_AT + 4;
const GUARD_AT: usize = LENGTH_AT + 4;
const SEQUENCE_AT: usize = GUARD_AT + 2;
const OP_AT: usize = SEQUENCE_AT + 6;
const FLAGS_AT: usize = OP_AT + 1;
const KIND_AT: usize = FLAGS_AT + 1;
const RESERVED_AT: usize = KIND_AT + 1;
const KEYSPACE_AT: usize = RESERVED_AT + 1;
const KEY_LENGTH_AT: usize = KEYSPACE_AT + 4;
/// Bytes of the fixed part of a record.
pub const HEADER_BYTES: usize = KEY_LENGTH_AT + 4;
/// The header without crc and guard, and the checksum of the body's start: what the guard covers.
const GUARDED_BYTES: usize = HEADER_BYTES - 4 - 2 + 4;

/// Bytes of the largest record, its header included: 1.25 GiB.
pub const RECORD_BYTES_MAX: u64 = 1_342_177_280;
/// The most databases there can be; their numbers begin at 0.
pub const DATABASES_MAX: u32 = 65_536;
/// The largest sequence number: 48 bits.
pub const SEQUENCE_MAX: u64 = (1 << 48) - 1;

const EXPIRY: u8 = 1;
const OBJECT: u8 = 1 << 1;
const BATCH_START: u8 = 1 << 2;
const BATCH_MORE: u8 = 1 << 3;
const KNOWN_FLAGS: u8 = EXPIRY | OBJECT | BATCH_START | BATCH_MORE;

/// Bytes of a mark's (and a seal's) value: the durable position and the wall clock.
pub(super) const MARK_VALUE_BYTES: usize = 8 + 8;
/// Bytes of a move's value: the id of a keyspace.
const MOVE_VALUE_BYTES: usize = 4;
/// Bytes of a whole mark or seal.
pub(super) const MARK_BYTES: usize = HEADER_BYTES + MARK_VALUE_BYTES;

/// A record to be appended.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// What it does; never [`Op::Mark`] or [`Op::Seal`].
    pub op: Op,
    /// The value's type; opaque to the store.
    pub kind: u8,
    /// The id of the keyspace.
    pub keyspace: u32,
    /// The key, or the name of an element.
    pub key: &'a [u8],
    /// The value; empty for everything but [`Op::Put`], [`Op::Move`] and [`Op::SetElement`].
    pub value: &'a [u8],
    /// When the key or the element expires, milliseconds since the Unix epoch.
    pub expiry: Option<u64>,
    /// The id of the object that holds the elements of a large collection.
    pub object: Option<u64>,
}

impl<'a> Draft<'a> {
    /// Sets the value of a key.
    pub fn put(keyspace: u32, kind: u8, key: &'a [u8], value: &'a [u8]) -> Self {
        Self { op: Op::Put, kind, keyspace, key, value, expiry: None, object: None }
    }

    /// Removes a key.
    pub fn delete(keyspace: u32, key: &'a [u8]) -> Self {
        Self { op: Op::Delete, kind: 0, keyspace, key, value: &[], expiry: None, object: None }
    }

    /// Sets the expiry of a key, or takes it away with `None`.
    pub fn expire(keyspace: u32, key: &'a [u8], expiry: Option<u64>) -> Self {
        Self { op: Op::Expire, kind: 0, keyspace, key, value: &[], expiry, object: None }
    }

    /// Binds the database whose number is `database` (`u32` little-endian) to a keyspace.
    pub fn bind(database: &'a [u8; 4], keyspace: u32) -> Self {
        Self { op: Op::Bind, kind: 0, keyspace, key: database, value: &[], expiry: None, object: None }
    }

    /// Moves the value of a key to `keyspace` from the one whose id is `source` (`u32` little-endian).
    pub fn move_key(keyspace: u32, source: &'a [u8; 4], kind: u8, key: &'a [u8], expiry: Option<u64>) -> Self {
        Self { op: Op::Move, kind, keyspace, key, value: source, expiry, object: None }
    }

    /// Sets the value of an element of an object.
    pub fn set_element(object: u64, kind: u8, name: &'a [u8], value: &'a [u8], expiry: Option<u64>) -> Self {
        Self { op: Op::SetElement, kind, keyspace: 0, key: name, value, expiry, object: Some(object) }
    }

    /// Removes an element of an object.
    pub fn remove_element(object: u64, name: &'a [u8]) -> Self {
        let op = Op::RemoveElement;
        Self { op, kind: 0, keyspace: 0, key: name, value: &[], expiry: None, object: Some(object) }
    }

    fn flags(&self) -> u8 {
        (if self.expiry.is_some() { EXPIRY } else { 0 }) | (if self.object.is_some() { OBJECT } else { 0 })
    }

    /// Bytes that the record takes in the log; none where it is larger than the format allows.
    pub fn record_bytes(&self) -> Option<u32> {
        self.measure().ok().map(|measured| measured.length)
    }

    /// Everything that can be known of the record before the log's lock is taken.
    pub(super) fn measure(&self) -> Result<Measured, Refused> {
        let fits = is_shaped(self.op, self.expiry, self.object, self.keyspace, self.value.len());
        debug_assert!(fits, "nobody could read it: {self:?}");
        let length = (HEADER_BYTES + prefix_bytes(self.flags()) + self.key.len() + self.value.len()) as u64;
        if length > RECORD_BYTES_MAX {
            return Err(Refused::TooLarge { bytes: length, bytes_max: RECORD_BYTES_MAX });
        }
        let mut head = hasher();
        for part in [self.expiry, self.object].into_iter().flatten() {
            head.update(&part.to_le_bytes());
        }
        head.update(self.key);
        let head_crc = head.clone().finalize();
        if !self.value.is_empty() {
            head.update(self.value);
        }
        Ok(Measured { length: length as u32, head_crc, body_crc: head.finalize() })
    }

    /// Appends the record's bytes to `out`.
    pub(super) fn write(&self, measured: &Measured, salt: u32, sequence: u64, out: &mut Vec<u8>) {
        let mut header = self.header(measured.length);
        finish_header(&mut header, measured.head_crc, measured.body_crc, salt, sequence, self.flags());
        out.extend_from_slice(&header);
        self.write_body(out);
    }

    /// Appends the record's bytes to `out`, its header still to be finished.
    pub(super) fn write_unfinished(&self, measured: &Measured, out: &mut Vec<u8>) {
        out.reserve(measured.length as usize);
        out.extend_from_slice(&self.header(measured.length));
        self.write_body(out);
    }

    fn header(&self, length: u32) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[LENGTH_AT..GUARD_AT].copy_from_slice(&length.to_le_bytes());
        header[OP_AT] = self.op as u8;
        header[FLAGS_AT] = self.flags();
        header[KIND_AT] = self.kind;
        header[KEYSPACE_AT..KEY_LENGTH_AT].copy_from_slice(&self.keyspace.to_le_bytes());
        header[KEY_LENGTH_AT..].copy_from_slice(&(self.key.len() as u32).to_le_bytes());
        header
    }

    fn write_body(&self, out: &mut Vec<u8>) {
        for part in [self.expiry, self.object].into_iter().flatten() {
            out.extend_from_slice(&part.to_le_bytes());
        }
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.value);
    }
}

/// What is known of a draft before it has a place in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// Bytes of the whole record.
    pub length: u32,
    /// Checksum of the body up to the end of the key.
    pub head_crc: u32,
    /// Checksum of the whole body.
    pub body_crc: u32,
}

/// Where a record stands in its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Alone,
    First,
    Middle,
    Last,
}

/// Gives an unfinished record its sequence number, its place in the batch and its checks.
pub(super) fn finish(record: &mut [u8], measured: &Measured, salt: u32, sequence: u64, place: Place) {
    let batch = match place {
        Place::Alone | Place::Last => 0,
        Place::First => BATCH_START | BATCH_MORE,
        Place::Middle => BATCH_MORE,
    };
    let flags = record[FLAGS_AT] & !(BATCH_START | BATCH_MORE) | batch;
    finish_header(&mut record[..HEADER_BYTES], measured.head_crc, measured.body_crc, salt, sequence, flags);
}

/// Moves a whole, sound record to a segment of another salt; a seal becomes a mark, for it may no longer stand last.
pub(super) fn resalt(record: &mut [u8], salt: u32) {
    if record[OP_AT] == Op::Seal as u8 {
        record[OP_AT] = Op::Mark as u8;
    }
    check_again(record, salt);
}

/// Moves a whole, sound record to a segment of another salt, where it stands alone.
pub(super) fn recopy(record: &mut [u8], salt: u32) {
    record[FLAGS_AT] &= !(BATCH_START | BATCH_MORE);
    check_again(record, salt);
}

/// Gives a whole record the checks that it has under this salt.
fn check_again(record: &mut [u8], salt: u32) {
    let raw = Raw::read(record);
    let mut hasher = hasher();
    hasher.update(&record[HEADER_BYTES..raw.head_bytes()]);
    let head_crc = hasher.clone().finalize();
    hasher.update(&record[raw.head_bytes()..]);
    let flags = record[FLAGS_AT];
    finish_header(&mut record[..HEADER_BYTES], head_crc, hasher.finalize(), salt, raw.sequence, flags);
}

fn finish_header(header: &mut [u8], head_crc: u32, body_crc: u32, salt: u32, sequence: u64, flags: u8) {
    header[SEQUENCE_AT..OP_AT].copy_from_slice(&sequence.to_le_bytes()[..OP_AT - SEQUENCE_AT]);
    header[FLAGS_AT] = flags;
    let guard = guard_crc(header, head_crc, salt);
    header[GUARD_AT..SEQUENCE_AT].copy_from_slice(&(guard as u16).to_le_bytes());
    let crc = whole_crc(guard, body_crc);
    header[CRC_AT..LENGTH_AT].copy_from_slice(&crc.to_le_bytes());
}

/// The guard is the low half of this; the record's checksum goes on from it.
fn guard_crc(header: &[u8], head_crc: u32, salt: u32) -> u32 {
    let mut guarded = [0; GUARDED_BYTES];
    guarded[..4].copy_from_slice(&header[LENGTH_AT..GUARD_AT]);
    guarded[4..GUARDED_BYTES - 4].copy_from_slice(&header[SEQUENCE_AT..HEADER_BYTES]);
    guarded[GUARDED_BYTES - 4..].copy_from_slice(&head_crc.to_le_bytes());
    crc_from(salt, guarded)
}

fn whole_crc(guard: u32, body_crc: u32) -> u32 {
    crc_from(guard, body_crc.to_le_bytes())
}

/// The checksum that goes on from another one. A CRC is linear: what it begins with can as well be added to the first bytes.
fn crc_from<const BYTES: usize>(before: u32, mut bytes: [u8; BYTES]) -> u32 {
    bytes.iter_mut().zip(before.to_le_bytes()).for_each(|(byte, before)| *byte ^= before);
    let mut hasher = hasher();
    hasher.update(&bytes);
    hasher.finalize()
}

/// A checksum of nothing yet. What the processor can do is asked for once: a small record is checked faster than that.
fn hasher() -> Hasher {
    static EMPTY: LazyLock<Hasher> = LazyLock::new(Hasher::new);
    EMPTY.clone()
}

fn prefix_bytes(flags: u8) -> usize {
    8 * (flags & (EXPIRY | OBJECT)).count_ones() as usize
}

/// A header as it stands on the disk; nothing of it is verified.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw {
    crc: u32,
    guard: u16,
    pub length: u32,
    pub sequence: u64,
    op: u8,
    flags: u8,
    kind: u8,
    reserved: u8,
    keyspace: u32,
    key_length: u32,
}

impl Raw {
    /// Reads a header; `bytes` has at least [`HEADER_BYTES`].
    pub(super) fn read(bytes: &[u8]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mut sequence = [0; 8];
        sequence[..OP_AT - SEQUENCE_AT].copy_from_slice(&bytes[SEQUENCE_AT..OP_AT]);
        Self {
            crc: word(CRC_AT),
            guard: u16::from_le_bytes([bytes[GUARD_AT], bytes[GUARD_AT + 1]]),
            length: word(LENGTH_AT),
            sequence: u64::from_le_bytes(sequence),
            op: bytes[OP_AT],
            flags: bytes[FLAGS_AT],
            kind: bytes[KIND_AT],
            reserved: bytes[RESERVED_AT],
            keyspace: word(KEYSPACE_AT),
            key_length: word(KEY_LENGTH_AT),
        }
    }

    /// Whether the lengths can be those of a record in `room` bytes.
    pub(super) fn plausible(&self, room: u64) -> bool {
        let length = u64::from(self.length);
        length <= room && length <= RECORD_BYTES_MAX && self.head_bytes() as u64 <= length
    }

    /// Whether it says anything that this version knows.
    pub(super) fn is_known(&self) -> bool {
        self.reserved == 0 && self.flags & !KNOWN_FLAGS == 0 && Op::read(self.op).is_some()
    }

    /// What it does, where that is known.
    pub(super) fn op(&self) -> Option<Op> {
        Op::read(self.op)
    }

    /// The id of the keyspace.
    pub(super) fn keyspace(&self) -> u32 {
        self.keyspace
    }

    /// Whether it moves a value.
    pub(super) fn is_move(&self) -> bool {
        self.op == Op::Move as u8
    }

    /// Bytes up to the end of the key.
    pub(super) fn head_bytes(&self) -> usize {
        HEADER_BYTES + prefix_bytes(self.flags) + self.key_length as usize
    }

    /// Verifies header and key; `head` has [`Raw::head_bytes`] bytes. What goes on is the checksum of the body so far.
    fn verify_guard(&self, head: &[u8], salt: u32) -> Result<(u32, Hasher), Fault> {
        let mut hasher = hasher();
        hasher.update(&head[HEADER_BYTES..]);
        let guard = guard_crc(head, hasher.clone().finalize(), salt);
        if guard as u16 == self.guard { Ok((guard, hasher)) } else { Err(Fault::Guard) }
    }
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The lengths are impossible: not even the extent of the record is known.
    Length,
    /// Header or key is damaged: not even the extent of the record is known.
    Guard,
    /// Header and key are sound, the rest is not.
    Checksum,
    /// The record is sound, but this version does not know what it says.
    Unknown,
}

/// A record as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its number: within the log, a later record has a higher one.
    pub sequence: u64,
    /// What it does.
    pub op: Op,
    /// The value's type; opaque to the store.
    pub kind: u8,
    /// The id of the keyspace.
    pub keyspace: u32,
    /// When the key or the element expires, milliseconds since the Unix epoch.
    pub expiry: Option<u64>,
    /// The id of the object that holds the elements of a large collection.
    pub object: Option<u64>,
    /// The key, or the name of an element.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    flags: u8,
}

impl<'a> Record<'a> {
    /// Reads and verifies the record that begins where `bytes` begin; bytes behind it are not looked at.
    pub(super) fn read(bytes: &'a [u8], salt: u32) -> Result<Self, Fault> {
        if bytes.len() < HEADER_BYTES {
            return Err(Fault::Length);
        }
        let raw = Raw::read(bytes);
        if !raw.plausible(bytes.len() as u64) {
            return Err(Fault::Length);
        }
        let (head, value) = bytes[..raw.length as usize].split_at(raw.head_bytes());
        let (guard, mut hasher) = raw.verify_guard(head, salt)?;
        hasher.update(value);
        if whole_crc(guard, hasher.finalize()) != raw.crc {
            return Err(Fault::Checksum);
        }
        Self::of(&raw, head, value).ok_or(Fault::Unknown)
    }

    /// Reads a record whose value may be damaged, verifying header and key; the value is left out. A move cannot do
    /// without: nobody could tell where its key is no more.
    pub(super) fn read_head(bytes: &'a [u8], salt: u32) -> Result<Self, Fault> {
        if bytes.len() < HEADER_BYTES {
            return Err(Fault::Length);
        }
        let raw = Raw::read(bytes);
        if !raw.plausible(bytes.len() as u64) {
            return Err(Fault::Length);
        }
        Self::read_key(&raw, &bytes[..raw.head_bytes()], salt)
    }

    /// Reads a record of which there is only the part up to the end of the key, `head`; the value is left out.
    pub(super) fn read_key(raw: &Raw, head: &'a [u8], salt: u32) -> Result<Self, Fault> {
        raw.verify_guard(head, salt)?;
        if raw.is_move() {
            return Err(Fault::Checksum);
        }
        Self::of(raw, head, &[]).ok_or(Fault::Unknown)
    }

    fn of(raw: &Raw, head: &'a [u8], value: &'a [u8]) -> Option<Self> {
        if !raw.is_known() {
            return None;
        }
        let mut at = HEADER_BYTES;
        let mut word = |flag: u8| {
            (raw.flags & flag != 0).then(|| {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(&head[at..at + 8]);
                at += 8;
                u64::from_le_bytes(bytes)
            })
        };
        let (expiry, object) = (word(EXPIRY), word(OBJECT));
        let op = Op::read(raw.op)?;
        // The lengths are verified even where the value is left out.
        if !is_shaped(op, expiry, object, raw.keyspace, raw.length as usize - raw.head_bytes()) {
            return None;
        }
        let (kind, keyspace, sequence) = (raw.kind, raw.keyspace, raw.sequence);
        Some(Self { sequence, op, kind, keyspace, expiry, object, key: &head[at..], value, flags: raw.flags })
    }

    /// Bytes of the whole record.
    pub(super) fn length(&self) -> usize {
        HEADER_BYTES + prefix_bytes(self.flags) + self.key.len() + self.value.len()
    }

    /// Whether it is the first record of a batch of several.
    pub fn starts_batch(&self) -> bool {
        self.flags & BATCH_START != 0
    }

    /// Whether the batch goes on behind this record.
    pub fn batch_goes_on(&self) -> bool {
        self.flags & BATCH_MORE != 0
    }

    /// Where a move's value comes from: the id of a keyspace.
    pub fn source(&self) -> Option<u32> {
        if self.op != Op::Move {
            return None;
        }
        self.value.try_into().ok().map(u32::from_le_bytes)
    }

    /// The object whose element it is about, where it is about one.
    pub fn element_of(&self) -> Option<u64> {
        self.object.filter(|_| self.op.is_of_element())
    }

    /// What a mark or a seal states: the durable position and the wall clock in milliseconds.
    pub fn mark(&self) -> Option<(u64, u64)> {
        if !matches!(self.op, Op::Mark | Op::Seal) || self.value.len() != MARK_VALUE_BYTES {
            return None;
        }
        let word = |at: usize| self.value[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        Some((word(0), word(8)))
    }
}

/// Whether a record of this kind can have what is said of it; any other is not known.
pub(super) fn is_shaped(op: Op, expiry: Option<u64>, object: Option<u64>, keyspace: u32, value_bytes: usize) -> bool {
    match op {
        Op::Move => value_bytes == MOVE_VALUE_BYTES,
        Op::SetElement => object.is_some() && keyspace == 0,
        Op::RemoveElement => object.is_some() && keyspace == 0 && expiry.is_none() && value_bytes == 0,
        Op::Put | Op::Delete | Op::Expire | Op::Bind | Op::Mark | Op::Seal => true,
    }
}

/// The key of a record that is known to be sound, or the name of an element.
pub(super) fn record_key(record: &[u8]) -> &[u8] {
    let raw = Raw::read(record);
    &record[HEADER_BYTES + prefix_bytes(raw.flags)..raw.head_bytes()]
}

/// The value of a mark or a seal.
pub(super) fn mark_value(durable: u64, wall: u64) -> [u8; MARK_VALUE_BYTES] {
    let mut value = [0; MARK_VALUE_BYTES];
    value[..8].copy_from_slice(&durable.to_le_bytes());
    value[8..].copy_from_slice(&wall.to_le_bytes());
    value
}

/// The draft of a mark or a seal around its value.
pub(super) fn mark_draft(op: Op, value: &[u8; MARK_VALUE_BYTES]) -> Draft<'_> {
    Draft { op, kind: 0, keyspace: 0, key: &[], value, expiry: None, object: None }
}

/// What every mark's bytes have in them, and where: its length. Scans look for it.
pub(super) const MARK_NEEDLE: ([u8; 4], usize) = ((MARK_BYTES as u32).to_le_bytes(), LENGTH_AT);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_goes_on_as_the_library_lets_it() {
        for before in [0, 1, 0x8000_0000, 0xDEAD_BEEF, u32::MAX] {
            let bytes: [u8; GUARDED_BYTES] = std::array::from_fn(|index| (index as u8).wrapping_mul(37) ^ before as u8);
            let mut expected = Hasher::new_with_initial(before);
            expected.update(&bytes);
            assert_eq!(crc_from(before, bytes), expected.finalize(), "{before:#x}");
            let mut expected = Hasher::new_with_initial(before);
            expected.update(&bytes[..4]);
            assert_eq!(crc_from(before, [bytes[0], bytes[1], bytes[2], bytes[3]]), expected.finalize(), "{before:#x}");
        }
    }
}
