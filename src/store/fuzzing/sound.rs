//! A sound segment, as a store writes it: what stands around the fuzzed bytes, and where the search for them begins.
//!
//! Always true: it is the same each time, byte for byte.

use super::layout::{DATASET, SEED};
use crate::store::disk::SimDisk;
use crate::store::hash::KeyHasher;
use crate::store::hint::{Builder, SegmentIdentity};
use crate::store::manifest::{Segment, SegmentKind, SegmentState, hint_file_name};
use crate::store::record::{Draft, Op, Place, Raw, Record, finish, mark_draft, mark_value};
use crate::store::segment::{Header, Location, SEGMENT_HEADER_BYTES, header_kind};

/// The object of a large hash.
const HASH: u64 = 1 << 32;
/// The kind of its key and its elements.
const HASH_KIND: u8 = 32;

/// The salt of the segment of this id.
pub(in crate::store) fn salt_of(id: u32) -> u32 {
    0x5a17_0000 | id
}

/// A segment that begins there, as a manifest lists it.
pub(in crate::store) fn listed(id: u32, kind: SegmentKind, begins: (u64, u64), state: SegmentState) -> Segment {
    let (base_sequence, base_position) = begins;
    Segment { id, kind, salt: salt_of(id), base_sequence, base_position, state }
}

/// The bytes of a segment in the making.
pub(in crate::store) struct Writing {
    pub bytes: Vec<u8>,
    salt: u32,
    /// The number of the next record.
    pub sequence: u64,
}

impl Writing {
    /// A segment without records.
    pub(in crate::store) fn begin(segment: &Segment) -> Self {
        let &Segment { id, salt, base_sequence, base_position, .. } = segment;
        let kind = header_kind(segment.kind);
        let header = Header { id, kind, salt, dataset: DATASET, base_sequence, base_position, created: 1 };
        Self { bytes: header.write().to_vec(), salt, sequence: base_sequence }
    }

    pub(in crate::store) fn add(&mut self, draft: &Draft<'_>) {
        self.place(draft, Place::Alone);
    }

    fn place(&mut self, draft: &Draft<'_>, place: Place) {
        let Ok(measured) = draft.measure() else { return };
        let at = self.bytes.len();
        draft.write_unfinished(&measured, &mut self.bytes);
        finish(&mut self.bytes[at..], &measured, self.salt, self.sequence, place);
        self.sequence += 1;
    }

    /// A mark or a seal.
    pub(in crate::store) fn mark(&mut self, op: Op, durable: u64, wall: u64) {
        self.add(&mark_draft(op, &mark_value(durable, wall)));
    }

    /// Some of everything.
    pub(in crate::store) fn add_all_kinds(&mut self) {
        let (database, source) = (1u32.to_le_bytes(), 0u32.to_le_bytes());
        self.add(&Draft::put(0, 16, b"a", b"first"));
        self.add(&Draft::put(0, 16, b"b", b"value of b"));
        self.add(&Draft { expiry: Some(4_000_000_000_000), object: Some(9), ..Draft::put(0, 17, b"c", b"12") });
        self.add(&Draft::put(0, 16, b"a", b"second"));
        self.add(&Draft::delete(0, b"b"));
        self.add(&Draft::expire(0, b"a", Some(5_000_000_000_000)));
        self.add(&Draft::bind(&database, 65_536));
        self.place(&Draft::put(65_536, 16, b"d", b""), Place::First);
        self.place(&Draft::move_key(65_536, &source, 16, b"a", None), Place::Middle);
        self.place(&Draft { expiry: Some(1), ..Draft::put(2, 16, b"over", b"x") }, Place::Last);
        self.place(&Draft { object: Some(HASH), ..Draft::put(0, HASH_KIND, b"hash", b"") }, Place::First);
        self.place(&Draft::set_element(HASH, HASH_KIND, b"field", b"a value that no hint has", None), Place::Middle);
        self.place(&Draft::set_element(HASH, HASH_KIND, b"gone", b"12", None), Place::Last);
        self.add(&Draft::set_element(HASH, HASH_KIND, b"for a while", b"", Some(4_000_000_000_000)));
        self.add(&Draft::remove_element(HASH, b"gone"));
        self.add(&Draft::set_element(HASH + 1, HASH_KIND, b"of nobody", b"x", None));
    }
}

/// A whole segment of this id with some of everything; sealed if it is to be.
pub(in crate::store) fn segment(id: u32, begins: (u64, u64), sealed: bool) -> Writing {
    let mut writing = Writing::begin(&listed(id, SegmentKind::Foreground, begins, SegmentState::Active));
    writing.mark(Op::Mark, begins.1, 1_700_000_000_000);
    writing.add_all_kinds();
    if sealed {
        writing.mark(Op::Seal, begins.1, 1_700_000_000_000);
    }
    writing
}

/// The entries of a sound segment, and the numbers that its hint has.
pub(in crate::store) fn builder(id: u32, bytes: &[u8]) -> Builder {
    let (mut builder, hasher) = (Builder::new(), hasher());
    let mut offset = SEGMENT_HEADER_BYTES;
    while offset < bytes.len() {
        let length = Raw::read(&bytes[offset..]).length;
        let record = Record::read(&bytes[offset..], salt_of(id)).expect("it is sound");
        builder.note(&hasher, &record, Location { segment: id, offset: offset as u32, length }, false);
        offset += length as usize;
    }
    builder
}

/// The file that is written of these entries.
pub(in crate::store) fn hint_file(builder: Builder, id: u32, length: u64) -> Vec<u8> {
    let disk = SimDisk::new();
    let written = builder.write(&disk, &identity(id, length));
    written.ok().and_then(|_| disk.bytes(&hint_file_name(id))).expect("this disk does not fail")
}

/// What the hint of a segment of this length must agree with.
pub(in crate::store) fn identity(id: u32, length: u64) -> SegmentIdentity {
    SegmentIdentity::new(id, salt_of(id), DATASET, length, &hasher())
}

pub(in crate::store) fn hasher() -> KeyHasher {
    // It keeps a little memory for ever: it must not be made anew for each input.
    static HASHER: std::sync::OnceLock<KeyHasher> = std::sync::OnceLock::new();
    HASHER.get_or_init(|| KeyHasher::new(SEED)).clone()
}
