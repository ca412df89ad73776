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
use super::record::{Op, SEQUENCE_MAX};

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
/// Bytes before the first record of a segment.
pub const SEGMENT_HEADER_BYTES: usize = CREATED_AT + 8;
/// The same, as records' offsets are counted.
pub(super) const FIRST_OFFSET: u32 = SEGMENT_HEADER_BYTES as u32;

/// Bytes of the log since the dataset began.
pub type Position = u64;

/// Where the log ends at the latest: 4 EiB. So positions can be added to without a thought of overflow.
pub(super) const POSITION_MAX: Position = 1 << 62;

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

    /// Where in the log it begins, and the number of its first record.
    pub(super) fn begins(&self) -> (Position, u64) {
        (self.base_position, self.base_sequence)
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
        if long(BASE_POSITION_AT) > POSITION_MAX || long(BASE_SEQUENCE_AT) > SEQUENCE_MAX {
            return Err(HeaderFault::Damaged);
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
    pub kind: SegmentKind,
    pub salt: u32,
    pub file: Box<dyn File>,
    /// Bytes of the file that may be written.
    pub capacity: u64,
    /// The position of the first record; set before the first record is appended.
    base: AtomicU64,
    base_sequence: AtomicU64,
    /// The number of its last record: known once it is left.
    last_sequence: AtomicU64,
    /// Bytes of its records: exact once it is left, zero before.
    bytes: AtomicU64,
    /// Bytes of its hint file; 0 where there is none.
    hint_bytes: AtomicU64,
    /// Values that were put here.
    placed: Tally,
    /// Values here that nothing refers to any more.
    retired: Tally,
    /// No more records come.
    left: AtomicBool,
    /// The manifest says that it is complete.
    sealed: AtomicBool,
    /// What is alive in it is not known for sure, so that it must not be taken away before the next start.
    uncertain: AtomicBool,
    /// Something in it does not verify, so that it must not be taken away.
    damaged: AtomicBool,
    /// Nothing is here that a record with a lower number than this has superseded; 0: nobody knows.
    purged: AtomicU64,
    /// Why a pass has left deletions and the like here.
    kept: OnceLock<Kept>,
    /// Compaction copies out of it what is alive.
    compacting: AtomicBool,
    /// When it was begun, in milliseconds since the Unix epoch; 0 where that is not known.
    created: AtomicU64,
    /// How many values were alive when a pass could not take it away, plus one; 0: never.
    stuck_at: AtomicU64,
    moved: OnceLock<Moved>,
}

/// Records and their bytes in one word, so that both change together: a segment has fewer than 2^32 of either.
#[derive(Default)]
struct Tally(AtomicU64);

impl Tally {
    fn add(&self, count: Count) {
        self.0.fetch_add(count.records << 32 | count.bytes, Ordering::Relaxed);
    }

    fn set(&self, count: Count) {
        self.0.store(count.records << 32 | count.bytes, Ordering::Relaxed);
    }

    fn get(&self) -> Count {
        let word = self.0.load(Ordering::Acquire);
        Count { records: word >> 32, bytes: word & u64::from(u32::MAX) }
    }
}

/// A number of records and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub records: u64,
    /// Their bytes in the log, headers included.
    pub bytes: u64,
}

impl Count {
    /// One record of this length.
    pub fn one(length: u32) -> Self {
        Self { records: 1, bytes: u64::from(length) }
    }

    /// What a record adds to the values of its segment: nothing, unless it has one.
    pub(super) fn of(op: Op, length: u32) -> Self {
        if op.sets_value() { Self::one(length) } else { Self::default() }
    }

    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
    }

    /// What is left without another.
    pub(super) fn without(self, other: Self) -> Self {
        Self { records: self.records.saturating_sub(other.records), bytes: self.bytes.saturating_sub(other.bytes) }
    }
}

/// Why the records without a value that a pass has written to a segment are there.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// Bytes of deletions, by the segment that may have what they hide.
    pub behind: Vec<(Behind, u64)>,
    /// What stays for other reasons.
    pub pinned: Count,
    /// How many segments had been taken away by then.
    pub removals: u64,
    /// The number that the next record had by then.
    pub sequence: u64,
}

/// A segment that may have what a deletion hides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Behind {
    pub segment: u32,
    /// It had no hint, which could have told that it does not.
    pub unhinted: bool,
}

/// The records from some position on were rewritten to another segment.
pub(super) struct Moved {
    pub from: Position,
    pub to: Arc<Segment>,
}

impl Segment {
    pub(super) fn new(id: u32, kind: SegmentKind, salt: u32, file: Box<dyn File>, capacity: u64) -> Self {
        Self {
            id,
            kind,
            salt,
            file,
            capacity,
            base: AtomicU64::new(0),
            base_sequence: AtomicU64::new(0),
            last_sequence: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            hint_bytes: AtomicU64::new(0),
            placed: Tally::default(),
            retired: Tally::default(),
            left: AtomicBool::new(false),
            sealed: AtomicBool::new(false),
            uncertain: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
            purged: AtomicU64::new(0),
            kept: OnceLock::new(),
            compacting: AtomicBool::new(false),
            created: AtomicU64::new(0),
            stuck_at: AtomicU64::new(0),
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

    /// Whether the manifest says that it is complete.
    pub(super) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// Notes that the manifest says so.
    pub(super) fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    /// Whether its count of what is alive cannot be relied on.
    pub(super) fn is_uncertain(&self) -> bool {
        self.uncertain.load(Ordering::Acquire)
    }

    pub(super) fn set_uncertain(&self) {
        self.uncertain.store(true, Ordering::Release);
    }

    /// Whether something in it was found not to verify.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    pub(super) fn set_damaged(&self) {
        self.damaged.store(true, Ordering::Release);
    }

    /// Whether compaction copies out of it what is alive.
    pub(super) fn is_compacting(&self) -> bool {
        self.compacting.load(Ordering::Relaxed)
    }

    pub(super) fn set_compacting(&self, is_compacting: bool) {
        self.compacting.store(is_compacting, Ordering::Relaxed);
    }

    /// When it was begun, in milliseconds since the Unix epoch; 0 where that is not known.
    pub(super) fn created(&self) -> u64 {
        self.created.load(Ordering::Relaxed)
    }

    pub(super) fn set_created(&self, created: u64) {
        self.created.store(created, Ordering::Relaxed);
    }

    /// Bytes that its files take: as long as records come, as much as is reserved for them.
    pub(super) fn disk_bytes(&self) -> u64 {
        (if self.is_left() { self.bytes() } else { self.capacity }) + self.hint_bytes()
    }

    /// The number of its last record.
    pub(super) fn last_sequence(&self) -> u64 {
        self.last_sequence.load(Ordering::Acquire)
    }

    pub(super) fn set_last_sequence(&self, sequence: u64) {
        self.last_sequence.store(sequence, Ordering::Release);
    }

    /// Bytes of its hint file.
    pub(super) fn hint_bytes(&self) -> u64 {
        self.hint_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn set_hint_bytes(&self, bytes: u64) {
        self.hint_bytes.store(bytes, Ordering::Relaxed);
    }

    /// A record with a lower number than this has superseded nothing that is here, so that no deletion with such a number hides
    /// anything here.
    pub(super) fn purged(&self) -> u64 {
        self.purged.load(Ordering::Relaxed)
    }

    pub(super) fn set_purged(&self, sequence: u64) {
        self.purged.fetch_max(sequence, Ordering::Relaxed);
    }

    /// Why its records without a value are here, if a pass has put them here.
    pub(super) fn kept(&self) -> Option<&Kept> {
        self.kept.get()
    }

    pub(super) fn set_kept(&self, kept: Kept) {
        // Said once, by the pass that has written it.
        let _ = self.kept.set(kept);
    }

    /// Whether a pass copied what is alive here, and yet as many values as now were counted here.
    pub(super) fn is_stuck(&self) -> bool {
        self.stuck_at.load(Ordering::Relaxed) == self.live().records + 1
    }

    /// Notes that a pass has come to this count.
    pub(super) fn set_stuck(&self, live: Count) {
        self.stuck_at.store(live.records + 1, Ordering::Relaxed);
    }

    /// Values put here so far.
    pub(super) fn placed(&self) -> Count {
        self.placed.get()
    }

    /// Values here that nothing refers to any more.
    pub(super) fn retired(&self) -> Count {
        self.retired.get()
    }

    /// Values here that something refers to: exact, unless it is uncertain.
    pub(super) fn live(&self) -> Count {
        // In this order: what is retired has been placed before.
        let retired = self.retired.get();
        self.placed.get().without(retired)
    }

    /// Counts values that were put here.
    pub(super) fn place(&self, count: Count) {
        self.placed.add(count);
    }

    /// Counts values that nothing refers to any more.
    pub(super) fn retire(&self, count: Count) {
        self.retired.add(count);
    }

    /// Says what has been put here and what is alive of it.
    pub(super) fn set_counts(&self, placed: Count, live: Count) {
        self.placed.set(placed);
        self.retired.set(placed.without(live));
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
        manifest::Segment { id, kind: self.kind, salt, base_sequence, base_position, state }
    }

    pub(super) fn write_header(&self, dataset: [u8; 16], created: u64) -> io::Result<()> {
        let (id, salt, base_sequence, base_position) = (self.id, self.salt, self.base_sequence(), self.base());
        let kind = header_kind(self.kind);
        let header = Header { id, kind, salt, dataset, base_sequence, base_position, created };
        self.set_created(created);
        self.file.write_at(&header.write(), 0)
    }
}

/// A kind as a segment's header says it.
pub(super) fn header_kind(kind: SegmentKind) -> u8 {
    match kind {
        SegmentKind::Foreground => 1,
        SegmentKind::Compacted => 2,
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

    /// Without the segments of these ids.
    pub(super) fn without(&self, ids: &[u32]) -> Self {
        let keep = |(id, _): &&(u32, Arc<Segment>)| !ids.contains(id);
        Self { segments: self.segments.iter().filter(keep).cloned().collect() }
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
