//! The bytes of a manifest. All numbers are little-endian.
//!
//! ```text
//! magic 8 "CASKMANI" | format version u32 | length of the file u32 | entries | crc32 of all before u32
//! entry: kind u8 | length of what follows u16 | what follows, by kind:
//!   1 dataset id            16 random bytes
//!   2 hash seed             16 random bytes, secret
//!   3 next segment id       u32
//!   4 clock floor           u64, milliseconds since the Unix epoch
//!   5 segment               id u32 | kind u8 (0 foreground, 1 compacted) | salt u32 | base sequence u64 |
//!                           base position u64 | state u8 (0 active, 1 sealed, 2 cut) | length u64 (0 if active)
//!   6 log floor             position u64 | sequence u64
//!   7 segment held          as 5 | sequence u64 | time u64: the moment at which it was taken off the list
//!   8 horizon               sequence u64 | time u64
//! ```
//!
//! Entries 1 to 4 stand once each, 5 and 7 once per segment, 6 and 8 at most once (without it, both numbers are 0), in any
//! order. In every version the file begins with the magic,
//! version and length and ends with the checksum; an unknown version or kind of entry is refused, never skipped.

use std::collections::BTreeMap;

use super::{Contents, Floor, Held, Moment, Segment, SegmentKind, SegmentState};
use crate::store::record::SEQUENCE_MAX;
use crate::store::segment::POSITION_MAX;

pub(super) const MAGIC: &[u8; 8] = b"CASKMANI";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = MAGIC.len() + size_of::<u32>() + size_of::<u32>();
const CRC_BYTES: usize = size_of::<u32>();

const DATASET_ID: u8 = 1;
const HASH_SEED: u8 = 2;
const NEXT_SEGMENT_ID: u8 = 3;
const CLOCK_FLOOR: u8 = 4;
const SEGMENT: u8 = 5;
const FLOOR: u8 = 6;
const HELD: u8 = 7;
const HORIZON: u8 = 8;

/// Why bytes are not a manifest this version reads; each text completes an error message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DecodeError {
    Damaged(String),
    Newer(String),
}

pub(super) fn encode(contents: &Contents) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend([0; size_of::<u32>()]);
    entry(&mut bytes, DATASET_ID, &contents.dataset_id);
    entry(&mut bytes, HASH_SEED, &contents.hash_seed);
    entry(&mut bytes, NEXT_SEGMENT_ID, &contents.next_segment_id.to_le_bytes());
    entry(&mut bytes, CLOCK_FLOOR, &contents.clock_floor.to_le_bytes());
    for segment in contents.segments.values() {
        entry(&mut bytes, SEGMENT, &encode_segment(segment));
    }
    if contents.floor != Floor::default() {
        let Floor { position, sequence } = contents.floor;
        entry(&mut bytes, FLOOR, &[position.to_le_bytes(), sequence.to_le_bytes()].concat());
    }
    for held in contents.held.values() {
        entry(&mut bytes, HELD, &[encode_segment(&held.segment), encode_moment(held.since)].concat());
    }
    if contents.horizon != Moment::default() {
        entry(&mut bytes, HORIZON, &encode_moment(contents.horizon));
    }
    seal(bytes)
}

/// Fills in the length and adds the checksum.
fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = (bytes.len() + CRC_BYTES) as u32;
    bytes[HEADER_BYTES - size_of::<u32>()..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
    let crc = crc32fast::hash(&bytes);
    bytes.extend(crc.to_le_bytes());
    bytes
}

fn entry(bytes: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    bytes.push(kind);
    bytes.extend((payload.len() as u16).to_le_bytes());
    bytes.extend(payload);
}

fn encode_segment(segment: &Segment) -> Vec<u8> {
    let (state, length) = match segment.state {
        SegmentState::Active => (0, 0),
        SegmentState::Sealed(length) => (1, length),
        SegmentState::Cut(length) => (2, length),
    };
    let kind = match segment.kind {
        SegmentKind::Foreground => 0,
        SegmentKind::Compacted => 1,
    };
    let mut bytes = segment.id.to_le_bytes().to_vec();
    bytes.push(kind);
    bytes.extend(segment.salt.to_le_bytes());
    bytes.extend(segment.base_sequence.to_le_bytes());
    bytes.extend(segment.base_position.to_le_bytes());
    bytes.push(state);
    bytes.extend(u64::to_le_bytes(length));
    bytes
}

fn encode_moment(moment: Moment) -> Vec<u8> {
    [moment.sequence.to_le_bytes(), moment.time.to_le_bytes()].concat()
}

pub(super) fn decode(bytes: &[u8]) -> Result<Contents, DecodeError> {
    let mut rest = Reader { bytes: verify(bytes)? };
    let (mut dataset_id, mut hash_seed, mut next_segment_id, mut clock_floor) = (None, None, None, None);
    let (mut segments, mut held, mut floor, mut horizon) = (BTreeMap::new(), BTreeMap::new(), None, None);
    while !rest.bytes.is_empty() {
        let kind = rest.u8()?;
        let length = rest.u16()?;
        let mut payload = Reader { bytes: rest.take(length as usize)? };
        let repeated = match kind {
            DATASET_ID => dataset_id.replace(payload.array()?).is_some(),
            HASH_SEED => hash_seed.replace(payload.array()?).is_some(),
            NEXT_SEGMENT_ID => next_segment_id.replace(payload.u32()?).is_some(),
            CLOCK_FLOOR => clock_floor.replace(payload.u64()?).is_some(),
            SEGMENT => {
                let segment = decode_segment(&mut payload)?;
                segments.insert(segment.id, segment).is_some()
            }
            FLOOR => floor.replace(decode_floor(&mut payload)?).is_some(),
            HELD => {
                let segment = decode_segment(&mut payload)?;
                held.insert(segment.id, Held { segment, since: decode_moment(&mut payload)? }).is_some()
            }
            HORIZON => horizon.replace(decode_moment(&mut payload)?).is_some(),
            _ => return Err(DecodeError::Newer(format!("it has an entry of kind {kind}"))),
        };
        if repeated || !payload.bytes.is_empty() {
            return Err(damaged(&format!("an entry of kind {kind} is repeated or too long")));
        }
    }
    let contents = Contents {
        dataset_id: dataset_id.ok_or_else(|| damaged("it names no dataset"))?,
        hash_seed: hash_seed.ok_or_else(|| damaged("it has no hash seed"))?,
        next_segment_id: next_segment_id.ok_or_else(|| damaged("it has no next segment"))?,
        clock_floor: clock_floor.ok_or_else(|| damaged("it has no clock floor"))?,
        segments,
        held,
        floor: floor.unwrap_or_default(),
        horizon: horizon.unwrap_or_default(),
    };
    if contents.held.keys().any(|id| contents.segments.contains_key(id)) {
        return Err(damaged("it lists a segment that it says is only held"));
    }
    match contents.segments.keys().chain(contents.held.keys()).max() {
        Some(id) if *id >= contents.next_segment_id => Err(damaged("it lists a segment of an id yet to be given")),
        _ => Ok(contents),
    }
}

fn decode_moment(payload: &mut Reader<'_>) -> Result<Moment, DecodeError> {
    let moment = Moment { sequence: payload.u64()?, time: payload.u64()? };
    if moment.sequence > SEQUENCE_MAX {
        return Err(damaged("it names a moment that there cannot be"));
    }
    Ok(moment)
}

/// Checks everything that surrounds the entries, and returns those.
fn verify(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let mut header = Reader { bytes };
    if header.array()? != *MAGIC {
        return Err(damaged("it does not begin as a manifest does"));
    }
    let version = header.u32()?;
    let length = header.u32()? as usize;
    if length != bytes.len() || length < HEADER_BYTES + CRC_BYTES {
        return Err(damaged(&format!("it has {} bytes and says {length}", bytes.len())));
    }
    let (covered, crc) = bytes.split_at(length - CRC_BYTES);
    if crc32fast::hash(covered).to_le_bytes() != crc {
        return Err(damaged("its checksum does not match"));
    }
    // After the checksum, so that a damaged version is not taken for a newer one.
    if version != VERSION {
        return Err(DecodeError::Newer(format!("its format is {version}, known here is {VERSION}")));
    }
    Ok(&covered[HEADER_BYTES..])
}

fn decode_segment(payload: &mut Reader<'_>) -> Result<Segment, DecodeError> {
    let id = payload.u32()?;
    let kind = match payload.u8()? {
        0 => SegmentKind::Foreground,
        1 => SegmentKind::Compacted,
        kind => return Err(DecodeError::Newer(format!("it has a segment of kind {kind}"))),
    };
    let salt = payload.u32()?;
    let base_sequence = payload.u64()?;
    let base_position = payload.u64()?;
    let state = match (payload.u8()?, payload.u64()?) {
        (0, _) => SegmentState::Active,
        (1, length) => SegmentState::Sealed(length),
        (2, length) => SegmentState::Cut(length),
        (state, _) => return Err(DecodeError::Newer(format!("it has a segment in state {state}"))),
    };
    let length = match state {
        SegmentState::Active => 0,
        SegmentState::Sealed(length) | SegmentState::Cut(length) => length,
    };
    // Offsets in a segment have 32 bits.
    if base_sequence > SEQUENCE_MAX || base_position > POSITION_MAX || length > u64::from(u32::MAX) {
        return Err(damaged("it lists a segment that there cannot be"));
    }
    Ok(Segment { id, kind, salt, base_sequence, base_position, state })
}

fn decode_floor(payload: &mut Reader<'_>) -> Result<Floor, DecodeError> {
    let floor = Floor { position: payload.u64()?, sequence: payload.u64()? };
    if floor.position > POSITION_MAX || floor.sequence > SEQUENCE_MAX {
        return Err(damaged("it says that more was removed than there can be"));
    }
    Ok(floor)
}

fn damaged(what: &str) -> DecodeError {
    DecodeError::Damaged(what.to_owned())
}

/// What is left to read.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or_else(|| damaged("it ends too early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or_else(|| damaged("it ends too early"))?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contents() -> impl Strategy<Value = Contents> {
        let length = 0..=u64::from(u32::MAX);
        let (sequence, position) = (0..=SEQUENCE_MAX, 0..=POSITION_MAX);
        let state = prop_oneof![
            Just(SegmentState::Active),
            length.clone().prop_map(SegmentState::Sealed),
            length.prop_map(SegmentState::Cut)
        ];
        let kind = prop_oneof![Just(SegmentKind::Foreground), Just(SegmentKind::Compacted)];
        let segment = (0..u32::MAX, kind, any::<u32>(), sequence.clone(), position.clone(), state).prop_map(
            |(id, kind, salt, base_sequence, base_position, state)| {
                (id, Segment { id, kind, salt, base_sequence, base_position, state })
            },
        );
        let segments = proptest::collection::btree_map(any::<u8>(), segment, 0..20);
        let floor = (position, sequence).prop_map(|(position, sequence)| Floor { position, sequence });
        let floor = prop_oneof![Just(Floor::default()), floor];
        let moment = (0..=SEQUENCE_MAX, any::<u64>()).prop_map(|(sequence, time)| Moment { sequence, time });
        let moment = prop_oneof![Just(Moment::default()), moment];
        (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<u64>(), segments, floor, moment, any::<u32>()).prop_map(
            |(dataset_id, hash_seed, clock_floor, segments, floor, horizon, which)| {
                let segments: BTreeMap<_, _> = segments.into_values().collect();
                let next_segment_id = segments.keys().last().map_or(1, |id| id + 1);
                let is_held = |id: &u32| which >> (id % 32) & 1 == 1;
                let (held, segments): (BTreeMap<u32, Segment>, _) =
                    segments.into_iter().partition(|(id, _)| is_held(id));
                let held = held.into_iter().map(|(id, segment)| (id, Held { segment, since: horizon })).collect();
                Contents { dataset_id, hash_seed, next_segment_id, clock_floor, segments, held, floor, horizon }
            },
        )
    }

    fn sample() -> Contents {
        let segment = Segment {
            id: 7,
            kind: SegmentKind::Compacted,
            salt: 0x0a0b_0c0d,
            base_sequence: 3,
            base_position: 4,
            state: SegmentState::Sealed(5),
        };
        let held = Held { segment: Segment { id: 6, ..segment }, since: Moment { sequence: 12, time: 13 } };
        Contents {
            dataset_id: [1; 16],
            hash_seed: [2; 16],
            next_segment_id: 8,
            clock_floor: 9,
            segments: [(7, segment)].into(),
            held: [(6, held)].into(),
            floor: Floor { position: 10, sequence: 11 },
            horizon: Moment { sequence: 14, time: 15 },
        }
    }

    #[test]
    fn the_bytes_are_as_documented() {
        let bytes = encode(&sample());
        assert_eq!(
            bytes.len(),
            16 + (3 + 16) + (3 + 16) + (3 + 4) + (3 + 8) + (3 + 34) + (3 + 16) + (3 + 34 + 16) + (3 + 16) + 4
        );
        assert_eq!(bytes[..16], *b"CASKMANI\x01\0\0\0\xcc\0\0\0");
        assert_eq!(bytes[16..19], [1, 16, 0]);
        let segment = [7, 0, 0, 0, 1, 13, 12, 11, 10, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 5];
        assert_eq!(bytes[72..][..segment.len() + 3], [&[5, 34, 0], &segment[..]].concat());
        let floor = [6, 16, 0, 10, 0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(bytes[72 + 37..][..floor.len()], floor);
        let held = &bytes[72 + 37 + 19..];
        assert_eq!(held[..8], [7, 50, 0, 6, 0, 0, 0, 1]);
        assert_eq!(held[3 + 34..][..16], [12, 0, 0, 0, 0, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0]);
        let horizon = [8, 16, 0, 14, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(held[3 + 50..][..horizon.len()], horizon);
        // Where nothing was ever removed, there is none.
        let without = encode(&Contents { floor: Floor::default(), ..sample() });
        assert_eq!((without.len(), decode(&without).unwrap().floor), (bytes.len() - 19, Floor::default()));
    }

    #[test]
    fn what_a_newer_version_wrote_is_refused_and_not_called_damaged() {
        let resealed = |change: fn(&mut Vec<u8>)| {
            let mut bytes = encode(&sample());
            bytes.truncate(bytes.len() - CRC_BYTES);
            change(&mut bytes);
            decode(&seal(bytes)).unwrap_err()
        };
        type Damage = fn(&mut Vec<u8>);
        let cases: [(Damage, &str); 4] = [
            (|bytes| bytes[8] = 2, "its format is 2, known here is 1"),
            (|bytes| entry(bytes, 77, b"?"), "it has an entry of kind 77"),
            (|bytes| bytes[72 + 3 + 4] = 9, "it has a segment of kind 9"),
            (|bytes| bytes[72 + 3 + 25] = 9, "it has a segment in state 9"),
        ];
        for (change, text) in cases {
            assert_eq!(resealed(change), DecodeError::Newer(text.to_owned()));
        }
        let cases: [fn(&mut Vec<u8>); 10] = [
            |bytes| entry(bytes, HORIZON, &[0; 16]),
            |bytes| entry(bytes, HELD, &[0; 49]),
            |bytes| bytes[72 + 37 + 19 + 3] = 7,
            |bytes| entry(bytes, FLOOR, &[0; 16]),
            |bytes| entry(bytes, FLOOR, &[0; 15]),
            |bytes| entry(bytes, CLOCK_FLOOR, &[0; 8]),
            |bytes| entry(bytes, SEGMENT, &[0; 35]),
            |bytes| entry(bytes, SEGMENT, &[0; 33]),
            |bytes| bytes.truncate(40),
            |bytes| bytes[72 + 3] = 8,
        ];
        for (index, change) in cases.into_iter().enumerate() {
            assert!(matches!(resealed(change), DecodeError::Damaged(_)), "case {index}");
        }
    }

    #[test]
    fn what_there_cannot_be_is_refused() {
        let segment = sample().segments[&7];
        let with_segment = |segment| Contents { segments: [(7, segment)].into(), ..sample() };
        let with_floor = |position, sequence| Contents { floor: Floor { position, sequence }, ..sample() };
        let (sealed, cut) = (SegmentState::Sealed, SegmentState::Cut);
        let last = u64::from(u32::MAX);
        let cases = [
            (with_segment(Segment { base_position: POSITION_MAX, ..segment }), true),
            (with_segment(Segment { base_position: POSITION_MAX + 1, ..segment }), false),
            (with_segment(Segment { base_sequence: SEQUENCE_MAX, ..segment }), true),
            (with_segment(Segment { base_sequence: SEQUENCE_MAX + 1, ..segment }), false),
            (with_segment(Segment { state: sealed(last), ..segment }), true),
            (with_segment(Segment { state: sealed(last + 1), ..segment }), false),
            (with_segment(Segment { state: cut(u64::MAX), ..segment }), false),
            (with_floor(POSITION_MAX, SEQUENCE_MAX), true),
            (with_floor(POSITION_MAX + 1, 0), false),
            (with_floor(0, SEQUENCE_MAX + 1), false),
        ];
        for (contents, is_read) in cases {
            let read = decode(&encode(&contents));
            let refused = matches!(read, Err(DecodeError::Damaged(_)));
            assert!(if is_read { read == Ok(contents) } else { refused });
        }
    }

    #[test]
    fn every_flipped_bit_and_every_length_is_noticed() {
        let bytes = encode(&sample());
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode(&damaged), Err(DecodeError::Damaged(_))), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(matches!(decode(&bytes[..length]), Err(DecodeError::Damaged(_))), "length {length}");
        }
        assert!(decode(&[&bytes[..], b"\0"].concat()).is_err());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(contents in contents()) {
            prop_assert_eq!(decode(&encode(&contents)).unwrap(), contents);
        }

        #[test]
        fn arbitrary_entries_do_no_harm(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = encode(&sample())[..HEADER_BYTES].to_vec();
            bytes.extend(body);
            let _ = decode(&seal(bytes));
        }
    }
}
