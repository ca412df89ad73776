//! Opens what the manifest lists: the files of the segments, their headers, and their hints.

use std::io;

use super::scan::{Scan, Scanned};
use crate::store::disk::{Disk, File, Mode};
use crate::store::error::OpenError;
use crate::store::hash::KeyHasher;
use crate::store::hint::{Hint, SegmentIdentity, Summary};
use crate::store::manifest::{Manifest, Segment as Listed, SegmentKind, SegmentState, segment_file_name};
use crate::store::reader::{READ_BYTES, Reader};
use crate::store::record::{HEADER_BYTES, MARK_BYTES, Raw, Record};
use crate::store::segment::{Count, FIRST_OFFSET, Header, HeaderFault, Position, SEGMENT_HEADER_BYTES, header_kind};

/// All listed segments.
pub(super) struct Listing {
    /// Those of which something says where in the log they begin, in its order.
    pub log: Vec<Found>,
    /// Those of the log of which nothing says so: those never begun, those whose start was lost with the power, and
    /// those whose header is damaged.
    pub headless: Vec<Found>,
    /// Those with survivors of a compaction, which have no place in the log.
    pub compacted: Vec<Found>,
}

/// A listed segment whose file is open.
pub(in crate::store) struct Found {
    pub listed: Listed,
    pub file: Box<dyn File>,
    pub file_bytes: u64,
    pub base: Position,
    pub base_sequence: u64,
    /// Bytes of records, where the manifest says so.
    pub sealed: Option<u64>,
    /// Bytes of records found sound.
    pub bytes: u64,
    /// What it says of keys: from its hint file, or as it was scanned.
    pub hint: Option<Hint>,
    pub was_scanned: bool,
    /// Records whose value is damaged.
    pub damaged: u64,
    /// The highest position that its marks say was durable, where they have been read.
    pub durable: Position,
    /// When it was begun, in milliseconds since the Unix epoch; 0 where its header does not say.
    pub created: u64,
}

impl Found {
    /// A segment of which nothing has been read.
    pub(in crate::store) fn new(listed: Listed, file: Box<dyn File>, file_bytes: u64) -> Self {
        let sealed = match listed.state {
            SegmentState::Active => None,
            SegmentState::Sealed(length) | SegmentState::Cut(length) => {
                Some(length.saturating_sub(u64::from(FIRST_OFFSET)))
            }
        };
        let (base, base_sequence) = (listed.base_position, listed.base_sequence);
        let (bytes, hint, was_scanned, damaged, durable, created) = (0, None, false, 0, 0, 0);
        Self {
            listed,
            file,
            file_bytes,
            base,
            base_sequence,
            sealed,
            bytes,
            hint,
            was_scanned,
            damaged,
            durable,
            created,
        }
    }

    /// Takes the hint for what a sealed segment has, where there is a sound one.
    fn find_hint(&mut self, disk: &dyn Disk, manifest: &Manifest, hasher: &KeyHasher) {
        if let SegmentState::Sealed(length) = self.listed.state {
            let (id, salt) = (self.listed.id, self.listed.salt);
            let identity = SegmentIdentity::new(id, salt, manifest.dataset_id(), length, hasher);
            // One that cannot be read is as good as none.
            self.hint = Hint::open(disk, &identity, hasher).ok().flatten().filter(Hint::has_sound_filter);
            self.bytes = length.saturating_sub(u64::from(FIRST_OFFSET));
        }
    }

    /// Whether what a hint claims of the segment can be: it begins and, as far as that can be told, ends with the numbers
    /// claimed. Whatever its checksums say, with others the log would go on with numbers that are taken.
    pub(in crate::store) fn bears_out(&self, claimed: &Summary) -> bool {
        let last = if self.is_compacted() { None } else { last_record(self) };
        let ends_so = last.is_none_or(|(sequence, wall)| {
            sequence == claimed.sequence_max && wall.is_none_or(|wall| wall == claimed.wall)
        });
        claimed.sequence_min == self.base_sequence && ends_so
    }

    /// Takes no account of a hint that the segment does not bear out.
    fn doubt_hint(&mut self) {
        self.hint = self.hint.take().filter(|hint| self.bears_out(hint.summary()));
    }

    pub(super) fn id(&self) -> u32 {
        self.listed.id
    }

    pub(in crate::store) fn is_compacted(&self) -> bool {
        self.listed.kind == SegmentKind::Compacted
    }

    pub(in crate::store) fn name(&self) -> String {
        segment_file_name(self.listed.id)
    }

    /// The end of the file as far as records may go.
    pub(in crate::store) fn end(&self) -> u64 {
        self.sealed.map_or(self.file_bytes, |bytes| bytes + u64::from(FIRST_OFFSET))
    }

    pub(in crate::store) fn position(&self, offset: u64) -> Position {
        self.base + offset - u64::from(FIRST_OFFSET)
    }

    /// The lowest number of its records, as its hint says; 0 where there is none.
    pub(in crate::store) fn sequence_min(&self) -> u64 {
        self.hint.as_ref().map_or(0, |hint| hint.summary().sequence_min)
    }

    /// The highest number of its records; 0 where it has none.
    pub(in crate::store) fn sequence_max(&self) -> u64 {
        self.hint.as_ref().map_or(0, |hint| hint.summary().sequence_max)
    }

    /// Bytes of its hint on the disk.
    pub(super) fn hint_file_bytes(&self) -> u64 {
        if self.was_scanned { 0 } else { self.hint.as_ref().map_or(0, Hint::file_bytes) }
    }

    /// The values in it.
    pub(super) fn placed(&self) -> Count {
        let placed = |hint: &Hint| Count { records: hint.summary().puts, bytes: hint.summary().put_bytes };
        self.hint.as_ref().map(placed).unwrap_or_default()
    }

    /// Bytes that have to be read of it.
    pub(super) fn bytes_to_read(&self) -> u64 {
        self.hint.as_ref().map_or(self.end().saturating_sub(u64::from(FIRST_OFFSET)), Hint::bytes)
    }

    /// What a scan has found is what it has.
    pub(super) fn take(&mut self, scanned: Scanned) {
        (self.bytes, self.damaged, self.was_scanned) = (scanned.bytes, scanned.damaged, true);
        self.durable = scanned.durable;
        self.hint = Some(scanned.hint);
    }

    pub(in crate::store) fn corrupt(&self, offset: u64, what: impl Into<String>) -> OpenError {
        OpenError::Corrupt { file: self.name(), offset, what: what.into() }
    }

    /// What a read that failed means. It is asked for each record: nothing is put into words before one fails.
    pub(in crate::store) fn reading(&self) -> impl FnOnce(io::Error) -> OpenError {
        let id = self.id();
        move |error| OpenError::io(format!("reading {}", segment_file_name(id)))(error)
    }
}

/// Opens a segment that is not listed any more, and reads what it has.
pub(in crate::store) fn find_held(
    disk: &dyn Disk,
    manifest: &Manifest,
    hasher: &KeyHasher,
    listed: Listed,
) -> Result<Found, OpenError> {
    let mut segment = open(disk, Mode::Read, listed)?;
    // It tells whether the file is another's.
    read_header(&segment, manifest)?;
    segment.find_hint(disk, manifest, hasher);
    segment.doubt_hint();
    if segment.hint.is_none() {
        let scanned = Scan::new(&segment, hasher, 0).sealed()?;
        segment.take(scanned);
    }
    Ok(segment)
}

/// Opens all listed segments.
pub(super) fn find(disk: &dyn Disk, mode: Mode, manifest: &Manifest, hasher: &KeyHasher) -> Result<Listing, OpenError> {
    let (mut log, mut headless, mut compacted) = (Vec::new(), Vec::new(), Vec::new());
    for listed in manifest.segments() {
        let mut segment = open(disk, mode, listed)?;
        segment.find_hint(disk, manifest, hasher);
        let header = read_header(&segment, manifest)?;
        segment.created = header.as_ref().map_or(0, |header| header.created);
        if let Some(header) = header.as_ref().filter(|_| !segment.is_compacted()) {
            segment.base = header.base_position;
            segment.base_sequence = header.base_sequence;
        }
        segment.doubt_hint();
        match header {
            _ if segment.is_compacted() && segment.sealed.is_some() => compacted.push(segment),
            Some(_) => log.push(segment),
            // The manifest knows as much as the header.
            None if segment.sealed.is_some() || segment.base_sequence > 0 => log.push(segment),
            None => headless.push(segment),
        }
    }
    log.sort_by_key(|segment| (segment.base, segment.end()));
    Ok(Listing { log, headless, compacted })
}

fn open(disk: &dyn Disk, mode: Mode, listed: Listed) -> Result<Found, OpenError> {
    let name = segment_file_name(listed.id);
    let file = disk.open(&name, mode).map_err(OpenError::io(format!("opening {name}, which the manifest lists")))?;
    let file_bytes = file.length().map_err(OpenError::io(format!("measuring {name}")))?;
    let segment = Found::new(listed, file, file_bytes);
    if segment.is_compacted() && segment.sealed.is_none() {
        let what = "it has survivors of a compaction and is not complete".to_owned();
        return Err(OpenError::Unsupported { file: name, what });
    }
    if segment.end() > file_bytes {
        let what = format!("it should have {} bytes and ends here", segment.end());
        return Err(segment.corrupt(file_bytes, what));
    }
    Ok(segment)
}

/// The header, where there is a sound one.
pub(in crate::store) fn read_header(segment: &Found, manifest: &Manifest) -> Result<Option<Header>, OpenError> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let read = segment.file.read_at(&mut bytes, 0).map_err(segment.reading())?;
    if read < bytes.len() {
        return Ok(None);
    }
    match Header::read(&bytes) {
        Ok(header) => {
            let same = header.id == segment.listed.id
                && header.salt == segment.listed.salt
                && header.kind == header_kind(segment.listed.kind);
            if !same || header.dataset != manifest.dataset_id() {
                return Err(segment.corrupt(0, "its header belongs to another file or dataset"));
            }
            Ok(Some(header))
        }
        Err(HeaderFault::Version(version)) => {
            Err(OpenError::Unsupported { file: segment.name(), what: format!("its format version is {version}") })
        }
        Err(HeaderFault::Damaged) => Ok(None),
    }
}

/// The sequence number of its first record, where that is sound.
pub(in crate::store) fn first_sequence(segment: &Found) -> Result<Option<u64>, OpenError> {
    let mut reader = Reader::new(&*segment.file, segment.end());
    let bytes = reader.record(u64::from(FIRST_OFFSET)).map_err(segment.reading())?;
    Ok(Record::read(bytes, segment.listed.salt).ok().map(|record| record.sequence))
}

/// The number of the last record, and the time it tells if it is a mark or a seal; none where no record that ends with the
/// segment can be made out close to its end. That is looked for at every byte: nothing says where the last one begins.
fn last_record(segment: &Found) -> Option<(u64, Option<u64>)> {
    // Most end with a seal.
    [MARK_BYTES, READ_BYTES].into_iter().find_map(|reach| {
        let start = segment.end().saturating_sub(reach as u64).max(u64::from(FIRST_OFFSET));
        let mut bytes = vec![0; segment.end().checked_sub(start)? as usize];
        // What cannot be read says nothing.
        segment.file.read_at(&mut bytes, start).ok().filter(|read| *read == bytes.len())?;
        (0..=bytes.len().checked_sub(HEADER_BYTES)?).rev().find_map(|at| {
            let bytes = &bytes[at..];
            let ends_here = Raw::read(bytes).length as usize == bytes.len();
            let record = ends_here.then(|| Record::read(bytes, segment.listed.salt).ok()).flatten()?;
            Some((record.sequence, record.mark().map(|(_, wall)| wall)))
        })
    })
}
