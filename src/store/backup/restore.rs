//! A copy of a store that nobody runs: whole, or as it was at some moment.
//!
//! Always true: the moment is one that all segments can tell of: nothing was removed at it or later. What came after it is
//! left out: files that have nothing before are, of the others what is before is copied. All else is as it was, with its
//! own numbers; what had been taken off the list is on it again, as the past needs it.

use std::fmt;
use std::sync::Arc;

use super::moment::{between_batches, offset_behind, sequence_at, walk};
use super::{Copied, begin, end};
use crate::store::disk::{Disk, Mode};
use crate::store::error::OpenError;
use crate::store::inspect::Inspection;
use crate::store::manifest::{Held, Moment, Segment as Listed, SegmentKind, SegmentState, segment_file_name};
use crate::store::recovery::{Beginning, Found, OnProgress, Readings, Records, Replay, find_held, read_back};
use crate::store::segment::{FIRST_OFFSET, SEGMENT_HEADER_BYTES};

/// The moment that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The last one.
    End,
    /// Right after the record of this number.
    Sequence(u64),
    /// A time, milliseconds since the Unix epoch.
    Time(u64),
}

/// What has been brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What was copied.
    pub copied: Copied,
    /// Where a transaction was not to be cut in two, or the time lies between records: the number that was asked for.
    pub asked: Option<u64>,
}

/// Why nothing was brought back.
#[derive(Debug)]
pub enum RestoreError {
    /// The store does not open, or the disk failed.
    Open(OpenError),
    /// There is no such moment, or none any more.
    NoSuchMoment(String),
    /// The target has a store already, or something else; this is what.
    Occupied(String),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => write!(f, "{error}"),
            Self::NoSuchMoment(what) => f.write_str(what),
            Self::Occupied(what) => write!(f, "{what}; nothing was changed: choose an empty directory"),
        }
    }
}

impl std::error::Error for RestoreError {}

impl From<OpenError> for RestoreError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

struct NoReplay;

impl Replay for NoReplay {
    fn begin(&mut self, _: &Beginning<'_>) {}

    fn partition(&self, _: usize, _: Records<'_>) {}

    fn elements(&self, _: usize, _: Records<'_>) {}
}

/// What a moment is made of.
struct Parts {
    segments: Vec<Found>,
    /// What stays as it is: nobody needs it for the last moment, and earlier ones can still be brought back.
    kept: Vec<Held>,
    /// The number of the last record.
    last: u64,
    clock_floor: u64,
}

impl Inspection {
    /// Copies the store to `target`, as it was at a moment, and shares the files where it can. The target must be empty but
    /// for what an earlier attempt has left.
    ///
    /// # Errors
    /// When a start would fail, the disk fails, or the moment cannot be brought back; the target is no store then.
    pub fn restore(
        &self,
        at: At,
        target: Arc<dyn Disk>,
        threads: usize,
        on_progress: OnProgress<'_>,
    ) -> Result<Restored, RestoreError> {
        match begin(&*target) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(RestoreError::Occupied(error.to_string()));
            }
            cleared => cleared.map_err(OpenError::io("preparing the target"))?,
        }
        let parts = self.parts(at, threads, on_progress)?;
        let (sequence, asked) = parts.locate(at, self.manifest.horizon())?;
        let mut copy = Copy { from: &*self.disk, target: &*target, copied: Copied::default(), listed: Vec::new() };
        copy.copied.sequence = sequence;
        parts.segments.iter().try_for_each(|found| copy.take(found, sequence))?;
        let taken = copy.copied.take_held(&*self.disk, &parts.kept, &*target);
        let (kept, lost) = taken.map_err(OpenError::io("copying a segment that is kept for earlier moments"))?;
        let Copy { copied, listed, .. } = copy;
        let finished = target
            .sync_directory()
            .and_then(|()| self.manifest.write_to(&*target, &listed, &kept, parts.clock_floor, lost));
        finished.map_err(OpenError::io("writing the manifest of the copy"))?;
        end(&*target);
        Ok(Restored { copied, asked })
    }

    fn parts(&self, at: At, threads: usize, on_progress: OnProgress<'_>) -> Result<Parts, OpenError> {
        let (disk, manifest, hasher) = (&*self.disk, &self.manifest, &self.hasher);
        let read = read_back(disk, Mode::Read, manifest, hasher, threads, &mut NoReplay, on_progress)?;
        let Readings { recovered, mut segments, .. } = read;
        let mut kept = manifest.held();
        if at != At::End {
            for held in kept.drain(..) {
                segments.push(find_held(disk, manifest, hasher, held.segment)?);
            }
        }
        Ok(Parts { segments, kept, last: recovered.sequence, clock_floor: recovered.clock_floor })
    }
}

impl Parts {
    /// The number of the last record of a moment; and what was asked for, where that is another.
    fn locate(&self, at: At, horizon: Moment) -> Result<(u64, Option<u64>), RestoreError> {
        let mut log: Vec<&Found> = self.segments.iter().filter(|found| !found.is_compacted()).collect();
        log.sort_by_key(|found| found.base_sequence);
        let none = |what| Err(RestoreError::NoSuchMoment(what));
        match at {
            At::End => Ok((self.last, None)),
            At::Sequence(sequence) if sequence > self.last => {
                none(format!("there is no record {sequence}: the last one is {}", self.last))
            }
            At::Sequence(sequence) if sequence < horizon.sequence => none(format!(
                "the moment of record {sequence} cannot be brought back: the oldest that can is that of record {}, as \
                 `retention` keeps no more",
                horizon.sequence
            )),
            At::Sequence(asked) => {
                let sequence = between_batches(&log, asked)?;
                Ok((sequence, (sequence != asked).then_some(asked)))
            }
            At::Time(time) if time < horizon.time => none(format!(
                "that time cannot be brought back: the oldest that can is @{}.{:03}, as `retention` keeps no more",
                horizon.time / 1000,
                horizon.time % 1000
            )),
            At::Time(time) => Ok((sequence_at(&log, time, self.last)?.max(horizon.sequence), None)),
        }
    }
}

/// A copy at work.
struct Copy<'a> {
    from: &'a dyn Disk,
    target: &'a dyn Disk,
    copied: Copied,
    listed: Vec<Listed>,
}

impl Copy<'_> {
    /// Takes what a segment has up to a record.
    fn take(&mut self, found: &Found, sequence: u64) -> Result<(), OpenError> {
        if found.sequence_max() <= sequence {
            self.listed.push(as_listed(found, found.listed.state, found.bytes));
            return self.whole(found);
        }
        if found.sequence_min() > sequence {
            return Ok(());
        }
        if found.is_compacted() {
            return self.sift(found, sequence);
        }
        let end = offset_behind(found, sequence)?;
        let name = found.name();
        let copied = self.copied.part(self.from, &name, end, self.target);
        copied.map_err(OpenError::io(format!("copying {name}")))?;
        self.copied.segments += 1;
        let bytes = end - u64::from(FIRST_OFFSET);
        self.listed.push(as_listed(found, SegmentState::Sealed(end), bytes));
        Ok(())
    }

    /// Takes all of a segment.
    fn whole(&mut self, found: &Found) -> Result<(), OpenError> {
        let name = found.name();
        let copied = match found.listed.state {
            SegmentState::Sealed(_) => self.copied.take(self.from, found.listed.id, self.target),
            // A start cuts it where its records end: it must not be shared.
            SegmentState::Active | SegmentState::Cut(_) => {
                self.copied.segments += 1;
                self.copied.part(self.from, &name, found.bytes + u64::from(FIRST_OFFSET), self.target)
            }
        };
        copied.map_err(OpenError::io(format!("copying {name}")))
    }

    /// Takes the records up to some number out of a segment that has them in no order.
    fn sift(&mut self, found: &Found, sequence: u64) -> Result<(), OpenError> {
        let name = found.name();
        let failed = |error| OpenError::io(format!("copying {name}"))(error);
        let target = self.target.open(&name, Mode::Create).map_err(failed)?;
        let mut header = [0; SEGMENT_HEADER_BYTES];
        found.file.read_at(&mut header, 0).map_err(failed)?;
        target.write_at(&header, 0).map_err(failed)?;
        let (mut end, mut lowest, mut failure) = (u64::from(FIRST_OFFSET), u64::MAX, None);
        walk(found, &mut |record, bytes| {
            if record.sequence <= sequence {
                lowest = lowest.min(record.sequence);
                failure = target.write_at(bytes, end).err();
                end += bytes.len() as u64;
            }
            failure.is_none()
        })?;
        failure.map_or(Ok(()), Err).and_then(|()| target.sync_data()).map_err(failed)?;
        self.copied.segments += 1;
        self.copied.bytes_copied += end;
        let state = SegmentState::Sealed(end);
        self.listed.push(Listed { base_sequence: lowest, state, ..found.listed });
        Ok(())
    }
}

/// A segment as the copy lists it.
fn as_listed(found: &Found, state: SegmentState, bytes: u64) -> Listed {
    let state = match state {
        SegmentState::Sealed(length) => SegmentState::Sealed(length),
        SegmentState::Active | SegmentState::Cut(_) => SegmentState::Sealed(bytes + u64::from(FIRST_OFFSET)),
    };
    debug_assert!(
        found.listed.kind == SegmentKind::Foreground || found.base == 0,
        "{}",
        segment_file_name(found.listed.id)
    );
    Listed { base_sequence: found.base_sequence, base_position: found.base, state, ..found.listed }
}
