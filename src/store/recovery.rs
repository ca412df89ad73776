//! Reads the log back when a store is opened.
//!
//! Nothing on the disk is changed before everything has been read. What a mark, a seal or the manifest claims to be
//! durable is never cut off; what nobody claims ends at its first flaw. Nothing of a batch is replayed before its last
//! record has been verified.

use std::io;
use std::sync::Arc;

use memchr::memmem::Finder;

use super::disk::{Disk, File, Mode};
use super::error::OpenError;
use super::manifest::{Edit, Manifest, Segment as Listed, SegmentKind, SegmentState, segment_file_name};
use super::record::{Fault, HEADER_BYTES, MARK_BYTES, MARK_NEEDLE, Op, Raw, Record};
use super::segment::{FIRST_OFFSET, Header, HeaderFault, Location, Position, SEGMENT_HEADER_BYTES, Segment};

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

/// Who is told what the log says, when a store is opened.
pub trait Replay {
    /// Called before anything else. `hash_seed` is secret, and the same for as long as the dataset lives.
    fn begin(&mut self, hash_seed: [u8; 16], dataset: [u8; 16]) {
        let _ = (hash_seed, dataset);
    }

    /// Called in strictly rising sequence order, only for committed records: [`Op::Put`], [`Op::Delete`],
    /// [`Op::Expire`], [`Op::Bind`] and [`Op::Move`].
    fn replay(&mut self, at: Location, record: &Record<'_>);

    /// Called, in the same order, for a record whose value is damaged; header and key are sound, and the value is
    /// left empty. What the key was before must not be taken for what it is.
    fn damaged(&mut self, at: Location, record: &Record<'_>);

    /// Progress in bytes of the log.
    fn progress(&mut self, bytes_done: u64, bytes_total: u64) {
        let _ = (bytes_done, bytes_total);
    }
}

/// What opening a store has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records replayed.
    pub records: u64,
    /// Bytes of the log that were read.
    pub bytes: u64,
    /// Bytes behind the last whole flush or batch: cut off, as they were never acknowledged as durable.
    pub torn_bytes: u64,
    /// Records whose value is damaged.
    pub damaged: u64,
    /// No moment before it comes again, milliseconds since the Unix epoch.
    pub clock_floor: u64,
    /// The number of the last record.
    pub sequence: u64,
    /// The position behind the last record.
    pub position: Position,
}

/// What the log is after recovery: all segments are sealed.
pub(super) struct Recovery {
    pub recovered: Recovered,
    pub segments: Vec<Arc<Segment>>,
}

/// A listed segment whose file is open.
struct Found {
    listed: Listed,
    file: Box<dyn File>,
    file_bytes: u64,
    base: Position,
    base_sequence: u64,
    /// Bytes of records, where the manifest says so.
    sealed: Option<u64>,
    /// Bytes of records found sound.
    bytes: u64,
    dead: u64,
}

impl Found {
    fn name(&self) -> String {
        segment_file_name(self.listed.id)
    }

    /// The end of the file as far as records may go.
    fn end(&self) -> u64 {
        self.sealed.map_or(self.file_bytes, |bytes| bytes + u64::from(FIRST_OFFSET))
    }

    fn position(&self, offset: u64) -> Position {
        self.base + offset - u64::from(FIRST_OFFSET)
    }

    fn corrupt(&self, offset: u64, what: impl Into<String>) -> OpenError {
        OpenError::Corrupt { file: self.name(), offset, what: what.into() }
    }

    fn reading(&self) -> impl FnOnce(io::Error) -> OpenError {
        OpenError::io(format!("reading {}", self.name()))
    }
}

/// Reads every listed segment, tells `replay`, and then leaves all of them sealed and durable.
pub(super) fn recover(disk: &dyn Disk, manifest: &Manifest, replay: &mut dyn Replay) -> Result<Recovery, OpenError> {
    replay.begin(manifest.hash_seed(), manifest.dataset_id());
    let (mut found, mut headless) = find(disk, manifest)?;
    let total = found.iter().map(|segment| segment.end() - u64::from(FIRST_OFFSET)).sum();
    let mut scan = Scan {
        replay,
        recovered: Recovered { clock_floor: manifest.clock_floor(), ..Recovered::default() },
        bytes_done: 0,
        bytes_total: total,
    };
    let mut whole = 0;
    loop {
        let expected = scan.recovered.position;
        let follows = found.get(whole).is_some_and(|next| next.base == expected);
        if !follows {
            let Some(next) = scan.next_headless(&mut headless)? else { break };
            found.insert(whole, next);
        }
        let torn = scan.segment(&mut found, whole, &headless)?;
        whole += 1;
        if torn {
            break;
        }
    }
    let mut recovered = scan.recovered;
    let mut empty = Vec::new();
    for dropped in found.drain(whole..).chain(headless) {
        let claim = claim_of(&dropped)?;
        if claim > recovered.position {
            let what =
                format!("what should be between position {} of the log and {claim} is not there", recovered.position);
            return Err(dropped.corrupt(0, what));
        }
        recovered.torn_bytes += used_bytes(&dropped, u64::from(FIRST_OFFSET))?;
        empty.push(dropped.listed.id);
    }
    let segments = settle(disk, manifest, found, empty)?;
    Ok(Recovery { recovered, segments })
}

/// Opens all listed segments, in the order of the log, and sets apart those of which nothing says where they begin:
/// those never begun, those whose start was lost with the power, and those whose header is damaged.
fn find(disk: &dyn Disk, manifest: &Manifest) -> Result<(Vec<Found>, Vec<Found>), OpenError> {
    let (mut found, mut headless) = (Vec::new(), Vec::new());
    for listed in manifest.segments() {
        let name = segment_file_name(listed.id);
        if listed.kind != SegmentKind::Foreground {
            return Err(OpenError::Unsupported { file: name, what: "its kind is not known".to_owned() });
        }
        let file = disk
            .open(&name, Mode::Write)
            .map_err(OpenError::io(format!("opening {name}, which the manifest lists")))?;
        let file_bytes = file.length().map_err(OpenError::io(format!("measuring {name}")))?;
        let sealed = match listed.state {
            SegmentState::Active => None,
            SegmentState::Sealed(length) | SegmentState::Cut(length) => {
                Some(length.saturating_sub(u64::from(FIRST_OFFSET)))
            }
        };
        let (base, base_sequence) = (listed.base_position, listed.base_sequence);
        let mut segment = Found { listed, file, file_bytes, base, base_sequence, sealed, bytes: 0, dead: 0 };
        if segment.end() > file_bytes {
            let what = format!("it should have {} bytes and ends here", segment.end());
            return Err(segment.corrupt(file_bytes, what));
        }
        match read_header(&segment, manifest)? {
            Some(header) => {
                segment.base = header.base_position;
                segment.base_sequence = header.base_sequence;
                found.push(segment);
            }
            // The manifest knows as much as the header.
            None if sealed.is_some() || base_sequence > 0 => found.push(segment),
            None => headless.push(segment),
        }
    }
    found.sort_by_key(|segment| (segment.base, segment.end()));
    Ok((found, headless))
}

/// The header, where there is a sound one.
fn read_header(segment: &Found, manifest: &Manifest) -> Result<Option<Header>, OpenError> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let read = segment.file.read_at(&mut bytes, 0).map_err(segment.reading())?;
    if read < bytes.len() {
        return Ok(None);
    }
    match Header::read(&bytes) {
        Ok(header) => {
            let same = header.id == segment.listed.id && header.salt == segment.listed.salt;
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
fn first_sequence(segment: &Found) -> Result<Option<u64>, OpenError> {
    let mut reader = Reader::new(&*segment.file, segment.end());
    let bytes = reader.record(u64::from(FIRST_OFFSET)).map_err(segment.reading())?;
    Ok(Record::read(bytes, segment.listed.salt).ok().map(|record| record.sequence))
}

/// One pass over the log.
struct Scan<'a> {
    replay: &'a mut dyn Replay,
    recovered: Recovered,
    bytes_done: u64,
    bytes_total: u64,
}

/// What a segment had.
struct Read {
    bytes: u64,
    dead: u64,
    torn: bool,
}

/// What a record or a batch was.
struct Delivered {
    /// Bytes that nothing will refer to.
    dead: u64,
    /// It is the last of its segment.
    sealed: bool,
}

/// What stands at some offset.
enum Run {
    /// A record, or a batch, up to this offset.
    Whole(u64),
    /// The end of what can be read, or a flaw at this offset.
    Flaw(u64, Fault),
}

impl Scan<'_> {
    /// The segment without a header that goes on where the log has come to: its first record has the next number.
    fn next_headless(&self, headless: &mut Vec<Found>) -> Result<Option<Found>, OpenError> {
        for index in 0..headless.len() {
            if first_sequence(&headless[index])? == Some(self.recovered.sequence + 1) {
                let mut segment = headless.remove(index);
                (segment.base, segment.base_sequence) = (self.recovered.position, self.recovered.sequence + 1);
                return Ok(Some(segment));
            }
        }
        Ok(None)
    }

    /// Reads the segment of that index; `true` where the log ends in it.
    fn segment(&mut self, found: &mut [Found], index: usize, headless: &[Found]) -> Result<bool, OpenError> {
        let (before, after) = found.split_at_mut(index + 1);
        let read = self.records(&before[index], after, headless)?;
        let segment = &mut before[index];
        (segment.bytes, segment.dead) = (read.bytes, read.dead);
        self.recovered.position += read.bytes;
        self.recovered.bytes += read.bytes;
        Ok(read.torn)
    }

    fn records(&mut self, segment: &Found, after: &[Found], headless: &[Found]) -> Result<Read, OpenError> {
        // Where the next segment begins, this one ends.
        let end = match (segment.sealed, after.first()) {
            (None, Some(next)) => next.base.saturating_sub(segment.base) + u64::from(FIRST_OFFSET),
            _ => segment.end(),
        };
        let mut reader = Reader::new(&*segment.file, end.min(segment.end()));
        let mut offset = u64::from(FIRST_OFFSET);
        let mut claimed = segment.sealed.map(|bytes| segment.base + bytes);
        let mut read = Read { bytes: 0, dead: 0, torn: false };
        while offset < end {
            let mut run = self.run(segment, &mut reader, offset, false)?;
            if let Run::Flaw(at, fault) = run {
                let claim = match claimed {
                    Some(claim) => claim,
                    None => *claimed.insert(claim_from(segment, at, after.iter().chain(headless))?),
                };
                if claim <= segment.position(offset) {
                    self.recovered.torn_bytes += used_bytes(segment, offset)?;
                    read.torn = true;
                    break;
                }
                if fault == Fault::Checksum {
                    run = self.run(segment, &mut reader, offset, true)?;
                }
            }
            let next = match run {
                Run::Whole(next) => next,
                Run::Flaw(at, _) => {
                    return Err(segment.corrupt(at, "a record that was durable cannot be made out"));
                }
            };
            let delivered = self.deliver(segment, &mut reader, offset, next)?;
            read.dead += delivered.dead;
            self.went_on(next - offset);
            offset = next;
            if delivered.sealed {
                break;
            }
        }
        read.bytes = offset - u64::from(FIRST_OFFSET);
        Ok(read)
    }

    fn went_on(&mut self, bytes: u64) {
        let before = self.bytes_done / READ_BYTES as u64;
        self.bytes_done += bytes;
        if self.bytes_done / READ_BYTES as u64 != before {
            self.replay.progress(self.bytes_done, self.bytes_total);
        }
    }

    /// Verifies the record or the batch at `offset`; with `lenient`, values may be damaged.
    fn run(&self, segment: &Found, reader: &mut Reader<'_>, offset: u64, lenient: bool) -> Result<Run, OpenError> {
        let mut at = offset;
        let mut last_sequence = self.recovered.sequence;
        loop {
            let bytes = reader.record(at).map_err(segment.reading())?;
            let record = match Record::read(bytes, segment.listed.salt) {
                Err(Fault::Checksum) if lenient => Record::read_head(bytes, segment.listed.salt),
                record => record,
            };
            let record = match record {
                Ok(record) => record,
                Err(Fault::Unknown) => {
                    let what = format!("the record at byte {at} is of a kind that is not known");
                    return Err(OpenError::Unsupported { file: segment.name(), what });
                }
                Err(fault) => return Ok(Run::Flaw(at, fault)),
            };
            if record.sequence <= last_sequence {
                let what = format!("record {} follows record {last_sequence}", record.sequence);
                return Err(segment.corrupt(at, what));
            }
            if record.starts_batch() != (at == offset && record.batch_goes_on()) {
                return Err(segment.corrupt(at, "a batch does not begin where it should"));
            }
            last_sequence = record.sequence;
            at += u64::from(Raw::read(bytes).length);
            if !record.batch_goes_on() {
                return Ok(Run::Whole(at));
            }
        }
    }

    /// Replays what [`Scan::run`] has verified.
    fn deliver(
        &mut self,
        segment: &Found,
        reader: &mut Reader<'_>,
        offset: u64,
        end: u64,
    ) -> Result<Delivered, OpenError> {
        let salt = segment.listed.salt;
        let (mut at, mut delivered) = (offset, Delivered { dead: 0, sealed: false });
        while at < end {
            let bytes = reader.record(at).map_err(segment.reading())?;
            let length = Raw::read(bytes).length;
            let location = Location { segment: segment.listed.id, offset: at as u32, length };
            let (record, damaged) = match Record::read(bytes, salt) {
                Ok(record) => (record, false),
                Err(fault) => match Record::read_head(bytes, salt) {
                    Ok(record) => (record, true),
                    Err(_) => return Err(segment.corrupt(at, format!("it changed while it was read ({fault:?})"))),
                },
            };
            self.recovered.sequence = record.sequence;
            self.recovered.records += 1;
            match record.op {
                Op::Mark | Op::Seal => {
                    delivered.dead += u64::from(length);
                    delivered.sealed = record.op == Op::Seal;
                    if let Some((_, wall)) = record.mark() {
                        self.recovered.clock_floor = self.recovered.clock_floor.max(wall);
                    }
                }
                _ if damaged => self.replay.damaged(location, &record),
                _ => self.replay.replay(location, &record),
            }
            self.recovered.damaged += u64::from(damaged);
            at += u64::from(length);
        }
        Ok(delivered)
    }
}

/// The highest position that is claimed to be durable, by anything at or behind a flaw.
fn claim_from<'a>(segment: &Found, offset: u64, later: impl Iterator<Item = &'a Found>) -> Result<Position, OpenError> {
    let mut claim = highest_claim(segment, offset)?.unwrap_or(0);
    for later in later {
        claim = claim.max(claim_of(later)?);
    }
    Ok(claim)
}

/// The highest position that a segment claims to be durable, by its marks or as the manifest says.
fn claim_of(segment: &Found) -> Result<Position, OpenError> {
    let sealed = segment.sealed.filter(|bytes| *bytes > 0).map(|bytes| segment.base + bytes);
    let marked = highest_claim(segment, u64::from(FIRST_OFFSET))?;
    Ok(sealed.max(marked).unwrap_or(0))
}

/// Looks for marks at every byte: behind a flaw nothing says where records begin.
fn highest_claim(segment: &Found, offset: u64) -> Result<Option<Position>, OpenError> {
    let finder = Finder::new(&MARK_NEEDLE.0);
    let mut reader = Reader::new(&*segment.file, segment.end());
    let mut highest = None;
    let mut at = offset;
    while at < segment.end() {
        let bytes = reader.bytes(at, READ_BYTES).map_err(segment.reading())?;
        for needle in finder.find_iter(bytes) {
            let Some(start) = needle.checked_sub(MARK_NEEDLE.1) else { continue };
            let Some(candidate) = bytes.get(start..start + MARK_BYTES) else { continue };
            if let Ok(record) = Record::read(candidate, segment.listed.salt)
                && let Some((durable, _)) = record.mark()
            {
                highest = highest.max(Some(durable));
            }
        }
        if at + bytes.len() as u64 >= segment.end() || bytes.len() <= MARK_BYTES {
            break;
        }
        at += (bytes.len() - MARK_BYTES) as u64;
    }
    Ok(highest)
}

/// Bytes from `offset` to the last one that is not zero.
fn used_bytes(segment: &Found, offset: u64) -> Result<u64, OpenError> {
    let mut reader = Reader::new(&*segment.file, segment.file_bytes);
    let (mut at, mut used) = (offset, 0);
    while at < segment.file_bytes {
        let bytes = reader.bytes(at, READ_BYTES).map_err(segment.reading())?;
        if bytes.is_empty() {
            break;
        }
        if let Some(last) = last_used(bytes) {
            used = at + last as u64 + 1 - offset;
        }
        at += bytes.len() as u64;
    }
    Ok(used)
}

/// The index of the last byte that is not zero. What was allocated and not used is long: blocks are compared whole.
fn last_used(bytes: &[u8]) -> Option<usize> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let (index, block) = bytes.chunks(ZEROS.len()).enumerate().rfind(|(_, block)| **block != ZEROS[..block.len()])?;
    block.iter().rposition(|byte| *byte != 0).map(|last| index * ZEROS.len() + last)
}

/// Makes durable what was read, says so in the manifest, and removes what is empty.
fn settle(
    disk: &dyn Disk,
    manifest: &Manifest,
    found: Vec<Found>,
    mut empty: Vec<u32>,
) -> Result<Vec<Arc<Segment>>, OpenError> {
    let mut edit = Edit::new();
    let mut changed = false;
    let mut segments = Vec::new();
    for found in found {
        let (name, id, bytes) = (found.name(), found.listed.id, found.bytes);
        if bytes == 0 {
            empty.push(id);
            continue;
        }
        let unsealed = found.sealed.is_none();
        let length = bytes + u64::from(FIRST_OFFSET);
        let segment = Segment::new(id, found.listed.salt, found.file, length);
        segment.begin(found.base, found.base_sequence);
        segment.leave(bytes);
        segment.add_dead(found.dead);
        if unsealed {
            // Read is not durable: after a crash of the process alone, these bytes may be in the page cache only.
            let settled = segment.file.truncate(length).and_then(|()| segment.file.sync_data());
            settled.map_err(OpenError::io(format!("syncing {name}")))?;
            edit = edit.replace(segment.listed(SegmentState::Sealed(length)));
            changed = true;
        }
        segments.push(Arc::new(segment));
    }
    for id in &empty {
        edit = edit.remove(*id);
        changed = true;
    }
    if changed {
        manifest.edit(&edit).map_err(OpenError::io("writing the manifest"))?;
    }
    for id in empty {
        // Unlisted, it is removed at the next opening at the latest.
        let _ = disk.remove(&segment_file_name(id));
    }
    Ok(segments)
}

/// Reads a file from front to back in large pieces.
struct Reader<'a> {
    file: &'a dyn File,
    end: u64,
    buffer: Vec<u8>,
    /// The offset of the first byte in the buffer.
    start: u64,
}

impl<'a> Reader<'a> {
    fn new(file: &'a dyn File, end: u64) -> Self {
        Self { file, end, buffer: Vec::new(), start: 0 }
    }

    /// Up to `length` bytes at `offset`; fewer only where the end comes first.
    fn bytes(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let length = (length as u64).min(self.end.saturating_sub(offset)) as usize;
        let have = offset.checked_sub(self.start).filter(|skip| skip + length as u64 <= self.buffer.len() as u64);
        if have.is_none() {
            let wanted = (length.max(READ_BYTES) as u64).min(self.end.saturating_sub(offset)) as usize;
            self.buffer.resize(wanted, 0);
            let read = self.file.read_at(&mut self.buffer, offset)?;
            self.buffer.truncate(read);
            self.start = offset;
        }
        let skip = (offset - self.start) as usize;
        let stop = (skip + length).min(self.buffer.len());
        Ok(&self.buffer[skip..stop])
    }

    /// The bytes of the record at `offset`, or of its header alone where its lengths are impossible.
    fn record(&mut self, offset: u64) -> io::Result<&[u8]> {
        let room = self.end.saturating_sub(offset);
        let header = self.bytes(offset, HEADER_BYTES)?;
        if header.len() < HEADER_BYTES {
            return self.bytes(offset, HEADER_BYTES);
        }
        let raw = Raw::read(header);
        let length = if raw.plausible(room) { raw.length as usize } else { HEADER_BYTES };
        self.bytes(offset, length)
    }
}
