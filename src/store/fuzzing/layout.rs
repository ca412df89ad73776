//! The files of a store as `docs/storage-format.md` describes them, put together by hand.
//!
//! Always true: nothing here asks the code that reads or writes these files, so that the two hold each other to the
//! document; whatever bytes come in, nothing here panics.

use crc32fast::{Hasher, hash};

use crate::store::manifest::{Segment, SegmentKind, SegmentState};

/// The dataset that all files here belong to.
pub(in crate::store) const DATASET: [u8; 16] = *b"the fuzzed data.";
/// The seed of its hash.
pub(in crate::store) const SEED: [u8; 16] = *b"not very secret.";
/// Bytes before a segment's first record.
pub(in crate::store) const SEGMENT_HEADER: usize = 64;
/// Bytes of a record before what its flags and lengths tell of.
pub(in crate::store) const RECORD_HEADER: usize = 28;
/// The largest sequence number.
pub(in crate::store) const SEQUENCE_MAX: u64 = (1 << 48) - 1;
/// Blocks of a hint, and its filter.
pub(in crate::store) const HINT_PARTS: usize = 514;

const MANIFEST_HEADER: usize = 16;
const OPS: u8 = 9;
const SET_ELEMENT: u8 = 8;
const REMOVE_ELEMENT: u8 = 9;
const DELETE: u8 = 2;
const FLAGS: u8 = 15;
const EXPIRY: u8 = 1;
const OBJECT: u8 = 2;
const START: u8 = 4;
const MORE: u8 = 8;

/// A manifest that lists these segments.
pub(in crate::store) fn manifest(segments: &[Segment]) -> Vec<u8> {
    let mut bytes = b"CASKMANI\x01\0\0\0\0\0\0\0".to_vec();
    let mut entry = |kind: u8, content: &[u8]| {
        bytes.push(kind);
        bytes.extend((content.len() as u16).to_le_bytes());
        bytes.extend(content);
    };
    entry(1, &DATASET);
    entry(2, &SEED);
    let next = segments.iter().map(|segment| segment.id + 1).fold(1, u32::max);
    entry(3, &next.to_le_bytes());
    entry(4, &0u64.to_le_bytes());
    for segment in segments {
        let (state, length) = match segment.state {
            SegmentState::Active => (0, 0),
            SegmentState::Sealed(length) => (1, length),
            SegmentState::Cut(length) => (2, length),
        };
        let kind = u8::from(segment.kind == SegmentKind::Compacted);
        let id = [&segment.id.to_le_bytes()[..], &[kind], &segment.salt.to_le_bytes()].concat();
        let base = [segment.base_sequence.to_le_bytes(), segment.base_position.to_le_bytes()].concat();
        entry(5, &[&id[..], &base, &[state], &u64::to_le_bytes(length)].concat());
    }
    bytes.extend([0; 4]);
    seal_manifest(&mut bytes);
    bytes
}

/// Gives a manifest the length and the checksum that it should have; the last four bytes are the checksum.
pub(in crate::store) fn seal_manifest(bytes: &mut [u8]) {
    if bytes.len() < MANIFEST_HEADER + 4 {
        return;
    }
    put(bytes, 12, &(bytes.len() as u32).to_le_bytes());
    let end = bytes.len() - 4;
    let crc = hash(&bytes[..end]);
    put(bytes, end, &crc.to_le_bytes());
}

/// Says in a manifest that all segments that have an end have it there.
pub(in crate::store) fn end_segments(bytes: &mut [u8], length: u64) {
    let mut at = MANIFEST_HEADER;
    while let Some(&[kind, low, high]) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        at += 3;
        let end = at + usize::from(u16::from_le_bytes([low, high]));
        if kind == 5 && end - at == 34 && end <= bytes.len() && bytes[at + 25] != 0 {
            put(bytes, at + 26, &length.to_le_bytes());
        }
        at = end;
    }
}

/// Makes the first bytes of a segment those of this one, and leaves what they say of its beginning.
pub(in crate::store) fn sign_header(bytes: &mut [u8], segment: &Segment) {
    if bytes.len() < SEGMENT_HEADER {
        return;
    }
    put(bytes, 0, b"CASKADE\n\x01\0");
    put(bytes, 10, &[if segment.kind == SegmentKind::Compacted { 2 } else { 1 }, 0]);
    put(bytes, 12, &segment.id.to_le_bytes());
    put(bytes, 16, &segment.salt.to_le_bytes());
    put(bytes, 20, &[0; 4]);
    put(bytes, 24, &DATASET);
    let crc = hash(&bytes[..SEGMENT_HEADER]);
    put(bytes, 20, &crc.to_le_bytes());
}

/// What a segment's first bytes say of its beginning: the sequence number and the position.
pub(in crate::store) fn beginning(bytes: &[u8]) -> (u64, u64) {
    (long(bytes, 40), long(bytes, 48))
}

/// Says in a segment's first bytes where it begins.
pub(in crate::store) fn begin(bytes: &mut [u8], sequence: u64, position: u64) {
    put(bytes, 40, &sequence.to_le_bytes());
    put(bytes, 48, &position.to_le_bytes());
}

/// Gives every record the checks that it should have, up to one whose lengths cannot be. If they are to be `shaped`,
/// lengths, numbers, flags and places in batches are made such that all of them can be, and what is too short for a
/// record at the end is cut off; numbers rise from above `last`. Returns the highest number.
pub(in crate::store) fn sign_records(bytes: &mut Vec<u8>, from: usize, salt: u32, shaped: bool, mut last: u64) -> u64 {
    let (mut at, mut in_batch) = (from, false);
    while bytes.len().saturating_sub(at) >= RECORD_HEADER {
        let record = &mut bytes[at..];
        let is_last = if shaped {
            shape_op(record);
            shape_lengths(record);
            let next = at + word(record, 4) as usize;
            bytes.len() - next < RECORD_HEADER
        } else {
            false
        };
        let record = &mut bytes[at..];
        if shaped {
            // The last one ends its batch.
            let goes_on = record[17] & MORE != 0 && !is_last;
            record[17] &= FLAGS & !(START | MORE);
            record[17] |= if goes_on { MORE } else { 0 } | if goes_on && !in_batch { START } else { 0 };
            in_batch = goes_on;
            let sequence = sequence(record).max(last + 1).min(SEQUENCE_MAX);
            put(record, 10, &sequence.to_le_bytes()[..6]);
            record[19] = 0;
        }
        let length = word(record, 4) as usize;
        if length > record.len() || head_bytes(record) > length {
            return last;
        }
        sign_record(&mut record[..length], salt);
        last = last.max(sequence(record));
        at += length;
    }
    if shaped {
        bytes.truncate(at);
    }
    last
}

/// Gives a whole record the checks that it should have.
pub(in crate::store) fn sign_record(record: &mut [u8], salt: u32) {
    let head = hash(&record[RECORD_HEADER..head_bytes(record)]);
    let body = hash(&record[RECORD_HEADER..]);
    let full = hash_on(salt, &[&record[4..8], &record[10..RECORD_HEADER], &head.to_le_bytes()].concat());
    put(record, 8, &(full as u16).to_le_bytes());
    put(record, 0, &hash_on(full, &body.to_le_bytes()).to_le_bytes());
}

/// A hint of a segment whose file has `length` bytes. `summary` are its eight numbers.
pub(in crate::store) fn hint(
    segment: &Segment,
    length: u64,
    proof: u64,
    summary: &[u8; 64],
    parts: &[Vec<u8>],
) -> Vec<u8> {
    let mut footer = b"CASKHINT\x02\0\0\0".to_vec();
    footer.extend(segment.id.to_le_bytes());
    footer.extend(segment.salt.to_le_bytes());
    footer.extend(DATASET);
    footer.extend(length.to_le_bytes());
    footer.extend(proof.to_le_bytes());
    footer.extend(summary);
    for part in parts {
        footer.extend((part.len() as u64).to_le_bytes());
        footer.extend(hash(part).to_le_bytes());
    }
    footer.extend(hash(&footer).to_le_bytes());
    let footer_length = footer.len() as u32;
    [&parts.concat()[..], &footer, &footer_length.to_le_bytes()].concat()
}

/// Makes what a record does such that it is known; that of an element has an object and no keyspace.
/// Makes the bytes of a file that names what was in memory sound, as far as they go: its header, and each block behind another.
pub(in crate::store) fn sign_hot(bytes: &mut [u8], proof: u64) {
    const HEADER: usize = 56;
    const BLOCK_HEADER: usize = 17;
    if bytes.len() < HEADER {
        return;
    }
    put(bytes, 0, b"CASKHOT\n\x01\0\0\0\0\0\0\0");
    put(bytes, 16, &DATASET);
    put(bytes, 32, &proof.to_le_bytes());
    let crc = hash(&bytes[..HEADER]);
    put(bytes, 12, &crc.to_le_bytes());
    let mut at = HEADER;
    while bytes.len() >= at + BLOCK_HEADER {
        let end = at + BLOCK_HEADER + (word(bytes, at + 4) as usize).min(bytes.len());
        let Some(block) = bytes.get_mut(at..end) else { return };
        let crc = hash(&block[4..]);
        put(block, 0, &crc.to_le_bytes());
        at = end;
    }
}

fn shape_op(record: &mut [u8]) {
    if !(1..=OPS).contains(&record[16]) {
        record[16] = record[16] % OPS + 1;
    }
    if matches!(record[16], SET_ELEMENT | REMOVE_ELEMENT) {
        record[17] |= OBJECT;
        put(record, 20, &[0; 4]);
    }
    if record[16] == REMOVE_ELEMENT {
        record[17] &= !EXPIRY;
    }
}

/// Makes the lengths of a record such that it can be one.
fn shape_lengths(record: &mut [u8]) {
    record[17] &= FLAGS;
    let room = record.len();
    let prefix = head_bytes(record) - word(record, 24) as usize;
    if room < prefix {
        record[17] &= START | MORE;
        if matches!(record[16], SET_ELEMENT | REMOVE_ELEMENT) {
            record[16] = DELETE;
        }
    }
    let prefix = head_bytes(record) - word(record, 24) as usize;
    let length = (word(record, 4) as usize).clamp(prefix, room);
    // What removes an element has no value.
    let key = if record[16] == REMOVE_ELEMENT { usize::MAX } else { word(record, 24) as usize };
    let key = key.min(length - prefix);
    put(record, 4, &(length as u32).to_le_bytes());
    put(record, 24, &(key as u32).to_le_bytes());
}

/// Bytes up to the end of a record's key.
fn head_bytes(record: &[u8]) -> usize {
    RECORD_HEADER + 8 * (record[17] & 3).count_ones() as usize + word(record, 24) as usize
}

fn sequence(record: &[u8]) -> u64 {
    long(record, 10) & SEQUENCE_MAX
}

fn hash_on(start: u32, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(start);
    hasher.update(bytes);
    hasher.finalize()
}

fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    bytes[at..at + new.len()].copy_from_slice(new);
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}
