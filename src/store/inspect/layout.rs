//! Which segments there are, and where in the log each belongs.
//!
//! Always true: a segment has its place by what a start goes by: its header, or the manifest where the header is damaged,
//! or else the number of its first record. One that is missing has its place, too, and nothing in it.

use std::collections::BTreeSet;
use std::io;

use super::Inspection;
use super::finding::{Cost, Finding};
use super::hint::Hinted;
use super::segment::{Looked, Surroundings, look};
use crate::store::disk::{File, Mode};
use crate::store::error::OpenError;
use crate::store::hint::SegmentIdentity;
use crate::store::manifest::{Segment as Listed, SegmentState, segment_file_name};
use crate::store::recovery::{Found, claim_from, claim_of, first_sequence, read_header, used_bytes};
use crate::store::segment::{FIRST_OFFSET, Position};

/// The listed segments.
#[derive(Default)]
pub(in crate::store) struct Layout {
    /// Those of the log, in its order.
    pub log: Vec<Found>,
    /// Those of the log of which nothing says where they begin: never begun, or their start is damaged.
    pub headless: Vec<Found>,
    /// Those that have survivors of a compaction.
    pub compacted: Vec<Found>,
    /// Which of them have no file.
    pub missing: BTreeSet<u32>,
}

/// A segment among those around it.
pub(in crate::store) struct Around<'a> {
    /// The segments of the log so far, in its order, or those of compactions.
    segments: &'a [Found],
    index: usize,
    headless: &'a [Found],
    /// The number of the last record before it; 0 for survivors of a compaction, which have no place.
    pub last_sequence: u64,
}

/// How far a segment goes.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Passed {
    /// Where its last record ends.
    pub end: u64,
    /// The highest number of its records.
    pub sequence_max: u64,
}

impl<'a> Around<'a> {
    /// Each of some segments that have no place in the log.
    pub(in crate::store) fn alone(segments: &'a [Found]) -> impl Iterator<Item = Self> {
        (0..segments.len()).map(move |index| Self { segments, index, headless: &[], last_sequence: 0 })
    }

    /// The segment itself.
    pub(in crate::store) fn found(&self) -> &'a Found {
        &self.segments[self.index]
    }

    /// Those that follow it in the log.
    pub(in crate::store) fn later(&self) -> &'a [Found] {
        &self.segments[self.index + 1..]
    }
}

impl Layout {
    /// All segments.
    pub(in crate::store) fn all(&self) -> impl Iterator<Item = &Found> {
        self.log.iter().chain(&self.headless).chain(&self.compacted)
    }

    /// Visits those that have a place: the segments of the log in its order, then those of compactions. Returns the
    /// others.
    pub(in crate::store) fn visit(
        &mut self,
        visit: &mut dyn FnMut(&Around<'_>) -> Result<Passed, OpenError>,
    ) -> Result<Vec<Found>, OpenError> {
        let mut headless = std::mem::take(&mut self.headless);
        let (mut last_sequence, mut position, mut index) = (0, 0, 0);
        loop {
            if index == self.log.len() {
                // Those whose start nobody says go on where the log has come to, or are empty.
                let Some(next) = next_headless(&mut headless, last_sequence, position)? else { break };
                self.log.push(Found { base: position, base_sequence: last_sequence + 1, ..next });
            }
            let passed = visit(&Around { segments: &self.log, index, headless: &headless, last_sequence })?;
            last_sequence = passed.sequence_max.max(last_sequence);
            position = self.log[index].position(passed.end.max(u64::from(FIRST_OFFSET)));
            index += 1;
        }
        Around::alone(&self.compacted).try_for_each(|around| visit(&around).map(|_| ()))?;
        Ok(headless)
    }
}

/// The segment that goes on at a position: its first record has the next number; or it has marks that say that more of the
/// log was durable, and then its first record is damaged.
fn next_headless(
    headless: &mut Vec<Found>,
    last_sequence: u64,
    position: Position,
) -> Result<Option<Found>, OpenError> {
    for index in 0..headless.len() {
        if first_sequence(&headless[index])? == Some(last_sequence + 1) {
            return Ok(Some(headless.remove(index)));
        }
    }
    for index in 0..headless.len() {
        if claim_of(&headless[index])? > position {
            return Ok(Some(headless.remove(index)));
        }
    }
    Ok(None)
}

impl Inspection {
    /// Opens all listed segments, and tells of those that are not what they should be.
    pub(in crate::store) fn layout(&self, tell: &mut dyn FnMut(Finding)) -> Result<Layout, OpenError> {
        let mut layout = Layout::default();
        for listed in self.manifest.segments() {
            let name = segment_file_name(listed.id);
            let file = match self.disk.open(&name, Mode::Read) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    layout.missing.insert(listed.id);
                    let what = "MANIFEST lists it, and it is missing: restore it from a backup";
                    tell(Finding::new(name, None, Cost::Start, what));
                    Box::new(NoFile)
                }
                file => file.map_err(OpenError::io(format!("opening {name}")))?,
            };
            self.place(listed, file, &mut layout, tell)?;
        }
        layout.log.sort_by_key(|segment| (segment.base, segment.end()));
        Ok(layout)
    }

    /// Opens the segments that are only kept for earlier moments, and tells of those that are missing.
    pub(in crate::store) fn held(&self, tell: &mut dyn FnMut(Finding)) -> Result<Vec<Found>, OpenError> {
        let mut found = Vec::new();
        for held in self.manifest.held() {
            let name = segment_file_name(held.segment.id);
            match self.disk.open(&name, Mode::Read) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    tell(Finding::new(name, None, Cost::Past, "MANIFEST says that it is kept, and it is missing"));
                }
                file => {
                    let file = file.map_err(OpenError::io(format!("opening {name}")))?;
                    let file_bytes = file.length().map_err(OpenError::io(format!("measuring {name}")))?;
                    found.push(Found::new(held.segment, file, file_bytes));
                }
            }
        }
        Ok(found)
    }

    /// Reads the header of a segment, and says where it belongs.
    fn place(
        &self,
        listed: Listed,
        file: Box<dyn File>,
        layout: &mut Layout,
        tell: &mut dyn FnMut(Finding),
    ) -> Result<(), OpenError> {
        let name = segment_file_name(listed.id);
        let file_bytes = file.length().map_err(OpenError::io(format!("measuring {name}")))?;
        let mut segment = Found::new(listed, file, file_bytes);
        let is_missing = layout.missing.contains(&listed.id);
        let mut at = |offset, cost, what: String| {
            if !is_missing {
                tell(Finding::new(name.as_str(), Some(offset), cost, what));
            }
        };
        if segment.end() > file_bytes {
            let what = format!("it should have {} bytes and ends here: what was behind is lost", segment.end());
            at(file_bytes, Cost::Start, what);
        } else if let SegmentState::Sealed(length) = listed.state
            && length < file_bytes
        {
            let what = format!("its records end here, and {} bytes follow, which are never read", file_bytes - length);
            at(length, Cost::Nothing, what);
        }
        let header = match read_header(&segment, &self.manifest) {
            Err(error @ OpenError::Io { .. }) => return Err(error),
            Err(OpenError::Corrupt { offset, what, .. }) => {
                at(offset, Cost::Start, what);
                None
            }
            Err(error) => {
                at(0, Cost::Start, error.to_string());
                None
            }
            Ok(None) if segment.sealed.is_some() || used_bytes(&segment, 0)? > 0 => {
                at(0, Cost::Spare, "its header is damaged; MANIFEST says the same".to_owned());
                None
            }
            Ok(header) => header,
        };
        if segment.is_compacted() {
            layout.compacted.push(segment);
        } else if header.is_some() || segment.sealed.is_some() || segment.base_sequence > 0 {
            if let Some(header) = header {
                if segment.sealed.is_some() && (segment.base, segment.base_sequence) != header.begins() {
                    at(0, Cost::Start, "its header says another beginning than MANIFEST".to_owned());
                }
                (segment.base, segment.base_sequence) = header.begins();
            }
            layout.log.push(segment);
        } else {
            layout.headless.push(segment);
        }
        Ok(())
    }

    /// The hint of a segment, where it is one that can have one and there is any.
    pub(in crate::store) fn hinted(&self, found: &Found) -> Result<Option<Hinted>, OpenError> {
        let identity = self.identity(found);
        let hinted = identity.map(|identity| Hinted::open(&*self.disk, &identity, &self.hasher)).transpose();
        Ok(hinted.map_err(OpenError::io(format!("reading the hint of {}", found.name())))?.flatten())
    }

    /// What a hint of a segment must agree with; none where it can have no hint.
    pub(in crate::store) fn identity(&self, found: &Found) -> Option<SegmentIdentity> {
        let (listed, dataset) = (&found.listed, self.manifest.dataset_id());
        match listed.state {
            SegmentState::Sealed(length) => {
                Some(SegmentIdentity::new(listed.id, listed.salt, dataset, length, &self.hasher))
            }
            SegmentState::Active | SegmentState::Cut(_) => None,
        }
    }

    /// How far a segment goes; no more is read for it than has to be.
    pub(in crate::store) fn passed(&self, around: &Around<'_>) -> Result<Passed, OpenError> {
        let found = around.found();
        let next = around.later().first().map_or(0, |next| next.base_sequence);
        if found.sealed.is_some() && next > 0 {
            return Ok(Passed { end: found.end(), sequence_max: next - 1 });
        }
        let hinted = self.hinted(found)?;
        if let Some(summary) = hinted.as_ref().and_then(Hinted::summary) {
            return Ok(Passed { end: found.end(), sequence_max: summary.sequence_max });
        }
        let looked = self.look(around, None, &mut |_| {}, &mut |_| {})?;
        Ok(Passed { end: looked.end, sequence_max: looked.sequence_max })
    }

    /// Looks at every record of a segment, and at its hint.
    pub(in crate::store) fn examine(
        &self,
        around: &Around<'_>,
        went_on: &mut dyn FnMut(u64),
        tell: &mut dyn FnMut(Finding),
    ) -> Result<(Looked, Option<Hinted>), OpenError> {
        let found = around.found();
        let hinted = self.hinted(found)?;
        let looked = self.look(around, hinted.as_ref(), went_on, tell)?;
        if looked.sound.is_some() && looked.records > 0 && looked.sequence_min != found.base_sequence {
            let what = format!(
                "its first record should be {}, and is {}: MANIFEST or the header is wrong",
                found.base_sequence, looked.sequence_min
            );
            tell(Finding::new(found.name(), Some(u64::from(FIRST_OFFSET)), Cost::Spare, what));
        }
        if let Some(hinted) = &hinted {
            let checked = hinted.check(looked.sound.as_ref(), tell);
            checked.map_err(OpenError::io(format!("reading the hint of {}", found.name())))?;
        }
        Ok((looked, hinted))
    }

    /// Looks at every record of a segment.
    pub(in crate::store) fn look(
        &self,
        around: &Around<'_>,
        hinted: Option<&Hinted>,
        went_on: &mut dyn FnMut(u64),
        tell: &mut dyn FnMut(Finding),
    ) -> Result<Looked, OpenError> {
        let (found, later) = (around.found(), around.later());
        let floor: Position = self.manifest.floor().position;
        let claim = |at| Ok(claim_from(found, at, later.iter().chain(around.headless))?.max(floor));
        let next_base = later.first().map(|next| next.base);
        let (hasher, last_sequence) = (&self.hasher, around.last_sequence);
        look(found, &Surroundings { hasher, hinted, last_sequence, claim: &claim, next_base }, went_on, tell)
    }
}

/// Stands for a file that is missing: there is nothing in it.
struct NoFile;

impl File for NoFile {
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Ok(0)
    }

    fn read_at_nowait(&self, _: &mut [u8], _: u64) -> io::Result<Option<usize>> {
        Ok(Some(0))
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(0)
    }
}
