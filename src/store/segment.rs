//! One segment: a file of the log, its header, and what is known of it in memory.
//!
//! A segment's base position is that of its first record, so position and offset follow from each other. The id is
//! never used again; the salt is random, and no record of another segment verifies under it.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crc32fast::hash;

use super::disk::File;
use super::manifest::{self, SegmentKind, SegmentState, segment_file_name};

const MAGIC: [u8; 8] = *b"CASKADE\n";
/// The version of the segment format.
pub(super) const FORMAT_VERSION: u16 = 1;

const MAGIC_AT: usize = 0;
const VERSION_AT: usize = MAGIC_AT + 8;
const KIND_AT: usize = VERSION_AT + 2;
const RESERVED_AT: usize = KIND_AT + 1;
const ID_AT: usize = RESERVED_AT + 1;
const SALT_AT: usize = ID_AT + 4;
const CRC_AT: usize = SALT_AT + 4;
const DATASET_AT: usize = CRC_AT + 4;
const BASE_SEQUENCE_AT: usize = DATASET_AT + 16;
const BASE_POSITION_AT: usize = BASE_SEQUENCE_AT + 8;
const CREATED_AT: usize = BASE_POSITION_AT + 8;
/// The kind of a segment that has the writes of users.
pub(super) const FOREGROUND: u8 = 1;
/// Bytes before the first record of a segment.
pub const SEGMENT_HEADER_BYTES: usize = CREATED_AT + 8;
/// The same, as records' offsets are counted.
pub(super) const FIRST_OFFSET: u32 = SEGMENT_HEADER_BYTES as u32;

/// Bytes of the log since the dataset began.
pub type Position = u64;

/// Where one record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The id of the segment.
    pub segment: u32,
    /// Bytes from the start of the file to the record.
    pub offset: u32,
    /// Bytes of the record.
    pub length: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} byte {}", segment_file_name(self.segment), self.offset)
    }
}

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub id: u32,
    pub kind: u8,
    pub salt: u32,
    pub dataset: [u8; 16],
    pub base_sequence: u64,
    pub base_position: Position,
    pub created: u64,
}

/// Why a segment's first bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    Damaged,
    Version(u16),
}

impl Header {
    pub(super) fn write(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[MAGIC_AT..VERSION_AT].copy_from_slice(&MAGIC);
        bytes[VERSION_AT..KIND_AT].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[KIND_AT] = self.kind;
        bytes[ID_AT..SALT_AT].copy_from_slice(&self.id.to_le_bytes());
        bytes[SALT_AT..CRC_AT].copy_from_slice(&self.salt.to_le_bytes());
        bytes[DATASET_AT..BASE_SEQUENCE_AT].copy_from_slice(&self.dataset);
        bytes[BASE_SEQUENCE_AT..BASE_POSITION_AT].copy_from_slice(&self.base_sequence.to_le_bytes());
        bytes[BASE_POSITION_AT..CREATED_AT].copy_from_slice(&self.base_position.to_le_bytes());
        bytes[CREATED_AT..].copy_from_slice(&self.created.to_le_bytes());
        let crc = hash(&bytes);
        bytes[CRC_AT..DATASET_AT].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn read(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Result<Self, HeaderFault> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let mut unsigned = *bytes;
        unsigned[CRC_AT..DATASET_AT].fill(0);
        if bytes[..VERSION_AT] != MAGIC || hash(&unsigned) != word(CRC_AT) {
            return Err(HeaderFault::Damaged);
        }
        let version = u16::from_le_bytes([bytes[VERSION_AT], bytes[VERSION_AT + 1]]);
        if version != FORMAT_VERSION || bytes[RESERVED_AT] != 0 {
            return Err(HeaderFault::Version(version));
        }
        let mut dataset = [0; 16];
        dataset.copy_from_slice(&bytes[DATASET_AT..BASE_SEQUENCE_AT]);
        Ok(Self {
            id: word(ID_AT),
            kind: bytes[KIND_AT],
            salt: word(SALT_AT),
            dataset,
            base_sequence: long(BASE_SEQUENCE_AT),
            base_position: long(BASE_POSITION_AT),
            created: long(CREATED_AT),
        })
    }
}

/// One segment, as the running store knows it.
pub(super) struct Segment {
    pub id: u32,
    pub salt: u32,
    pub file: Box<dyn File>,
    /// Bytes of the file that may be written.
    pub capacity: u64,
    /// The position of the first record; set before the first record is appended.
    base: AtomicU64,
    base_sequence: AtomicU64,
    /// Bytes of its records: exact once it is left, zero before.
    bytes: AtomicU64,
    dead: AtomicU64,
    /// No more records come.
    left: AtomicBool,
    moved: OnceLock<Moved>,
}

/// The records from some position on were rewritten to another segment.
pub(super) struct Moved {
    pub from: Position,
    pub to: Arc<Segment>,
}

impl Segment {
    pub(super) fn new(id: u32, salt: u32, file: Box<dyn File>, capacity: u64) -> Self {
        Self {
            id,
            salt,
            file,
            capacity,
            base: AtomicU64::new(0),
            base_sequence: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            dead: AtomicU64::new(0),
            left: AtomicBool::new(false),
            moved: OnceLock::new(),
        }
    }

    /// Says where in the log it begins.
    pub(super) fn begin(&self, base: Position, base_sequence: u64) {
        self.base.store(base, Ordering::Release);
        self.base_sequence.store(base_sequence, Ordering::Release);
    }

    /// Says that no more records come.
    pub(super) fn leave(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Release);
        self.left.store(true, Ordering::Release);
    }

    pub(super) fn is_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    pub(super) fn base(&self) -> Position {
        self.base.load(Ordering::Acquire)
    }

    pub(super) fn base_sequence(&self) -> u64 {
        self.base_sequence.load(Ordering::Acquire)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    pub(super) fn dead(&self) -> u64 {
        self.dead.load(Ordering::Relaxed)
    }

    pub(super) fn add_dead(&self, bytes: u64) {
        self.dead.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes `bytes` back from the dead; what remains is at least zero.
    pub(super) fn forget_dead(&self, bytes: u64) -> u64 {
        let before =
            self.dead.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |dead| Some(dead.saturating_sub(bytes)));
        before.map_or(0, |dead| dead.min(bytes))
    }

    pub(super) fn position(&self, offset: u32) -> Position {
        self.base() + u64::from(offset) - u64::from(FIRST_OFFSET)
    }

    pub(super) fn offset(&self, position: Position) -> u64 {
        position - self.base() + u64::from(FIRST_OFFSET)
    }

    pub(super) fn moved(&self) -> Option<&Moved> {
        self.moved.get()
    }

    /// Says that everything from `from` on is in `to` now, at the same positions.
    pub(super) fn move_to(&self, from: Position, to: Arc<Segment>) {
        let set = self.moved.set(Moved { from, to });
        debug_assert!(set.is_ok(), "a segment moves once");
    }

    /// What the manifest says of it.
    pub(super) fn listed(&self, state: SegmentState) -> manifest::Segment {
        let (id, salt, base_sequence, base_position) = (self.id, self.salt, self.base_sequence(), self.base());
        manifest::Segment { id, kind: SegmentKind::Foreground, salt, base_sequence, base_position, state }
    }

    pub(super) fn write_header(&self, dataset: [u8; 16], created: u64) -> io::Result<()> {
        let (id, salt, base_sequence, base_position) = (self.id, self.salt, self.base_sequence(), self.base());
        let header = Header { id, kind: FOREGROUND, salt, dataset, base_sequence, base_position, created };
        self.file.write_at(&header.write(), 0)
    }
}

/// The segments that exist, by id.
#[derive(Clone, Default)]
pub(super) struct Table {
    segments: Vec<(u32, Arc<Segment>)>,
}

impl Table {
    pub(super) fn with(&self, segment: Arc<Segment>) -> Self {
        let mut segments = self.segments.clone();
        let at = segments.partition_point(|(id, _)| *id < segment.id);
        segments.insert(at, (segment.id, segment));
        Self { segments }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.segments.iter().map(|(_, segment)| segment)
    }

    pub(super) fn get(&self, id: u32) -> Option<&Arc<Segment>> {
        let at = self.segments.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(&self.segments[at].1)
    }

    /// The segment that has the record at `location` now, and its offset there.
    pub(super) fn find(&self, location: Location) -> Option<(&Arc<Segment>, u32)> {
        let mut segment = self.get(location.segment)?;
        let mut offset = location.offset.max(FIRST_OFFSET);
        while let Some(moved) = segment.moved() {
            let position = segment.position(offset);
            if position < moved.from {
                break;
            }
            offset = moved.to.offset(position) as u32;
            segment = &moved.to;
        }
        Some((segment, offset))
    }
}
