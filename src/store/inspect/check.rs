//! Verifies all files of a store.

use std::collections::BTreeSet;
use std::io;

use super::finding::{Cost, Finding};
use super::layout::{Around, Layout, Passed};
use super::segment::Looked;
use super::{Inspection, NoReplay};
use crate::store::disk::Mode;
use crate::store::disk::os::LOCK_FILE;
use crate::store::error::OpenError;
use crate::store::hot::HotFile;
use crate::store::manifest::{MANIFEST_FILE, Role, SegmentKind, role, segment_file_name};
use crate::store::recovery::OnProgress;
use crate::store::salvage::{is_renaming, is_set_aside};
use crate::store::segment::{FIRST_OFFSET, Header, SEGMENT_HEADER_BYTES, header_kind};

/// The directory that backups are made in.
const BACKUPS: &str = "backups";

/// What a check has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Everything that is not as it should be, or worth knowing.
    pub findings: Vec<Finding>,
    /// Segments that were looked at.
    pub segments: usize,
    /// Hints that were looked at.
    pub hints: usize,
    /// Sealed segments that have no hint.
    pub without_hint: usize,
    /// Records that can be made out.
    pub records: u64,
    /// Bytes of all those files.
    pub bytes: u64,
    /// Whether the store opens as it is.
    pub opens: bool,
}

impl Inspection {
    /// Verifies every byte of all files.
    ///
    /// # Errors
    /// When the disk fails to read: then nothing can be told.
    pub fn check(&self, threads: usize, on_progress: OnProgress<'_>) -> Result<Checked, OpenError> {
        let names = self.disk.list().map_err(OpenError::io("listing the directory"))?;
        let (checked, total, is_renaming) = (Checked::default(), 0, false);
        let mut check = Check { inspection: self, checked, total, is_renaming, on_progress };
        for name in &names {
            check.name(name).map_err(OpenError::io(format!("reading {name}")))?;
        }
        let layout = check.layout()?;
        let is_complete = layout.missing.is_empty() && !check.is_renaming;
        check.segments(layout)?;
        check.past()?;
        let mut checked = check.checked;
        if is_complete {
            match self.replay(threads, &mut NoReplay, &mut |_, _| {}) {
                Ok(_) => checked.opens = true,
                Err(error @ OpenError::Io { .. }) => return Err(error),
                Err(error) => tell_why(&mut checked.findings, error),
            }
        }
        if checked.opens {
            // The hint of the segment is read in its place.
            let spared = checked.findings.iter_mut().filter(|finding| finding.cost == Cost::Start);
            spared.for_each(|finding| finding.cost = Cost::Spare);
        }
        Ok(checked)
    }
}

/// Tells why the store does not open, unless that is known.
fn tell_why(findings: &mut Vec<Finding>, error: OpenError) {
    if findings.iter().any(|finding| finding.cost == Cost::Start) {
        return;
    }
    findings.push(match error {
        OpenError::Corrupt { file, offset, what } => Finding::new(file, Some(offset), Cost::Start, what),
        OpenError::Unsupported { file, what } => Finding::new(file, None, Cost::Start, what),
        other => Finding::new(MANIFEST_FILE, None, Cost::Start, other.to_string()),
    });
}

struct Check<'a> {
    inspection: &'a Inspection,
    checked: Checked,
    total: u64,
    /// A file has no name of its own just now: no server starts.
    is_renaming: bool,
    on_progress: OnProgress<'a>,
}

impl Check<'_> {
    fn tell(&mut self, finding: Finding) {
        self.checked.findings.push(finding);
    }

    fn note(&mut self, file: &str, cost: Cost, what: impl Into<String>) {
        self.tell(Finding::new(file, None, cost, what));
    }

    /// Looks whether a file should be there.
    fn name(&mut self, name: &str) -> io::Result<()> {
        let (segments, held) = self.inspection.manifest.segments_and_held();
        let held = held.iter().map(|held| held.segment.id);
        let listed: BTreeSet<u32> = segments.iter().map(|segment| segment.id).chain(held).collect();
        match role(name) {
            Role::Foreign if name == MANIFEST_FILE || name == LOCK_FILE || name == BACKUPS => {}
            Role::Foreign if is_renaming(&*self.inspection.disk, name)? => {
                let what = "files have such a name while a repair gives others theirs: if one was broken off, nothing is lost, \
                            and a second repair does the rest; if none was, it sets this file aside";
                self.note(name, Cost::Start, what);
                self.is_renaming = true;
            }
            Role::Foreign if is_set_aside(name) => {
                self.note(name, Cost::Nothing, "what a repair has set aside; no server needs it");
            }
            Role::Foreign => self.note(name, Cost::Nothing, "not a file of the store; it is never touched"),
            Role::Hot => self.hot(name)?,
            Role::Of { segment } if listed.contains(&segment) => {}
            Role::Of { segment }
                if name == segment_file_name(segment)
                    && self.inspection.may_be_data(segment, &[SegmentKind::Foreground])? =>
            {
                let what = "MANIFEST does not list it, and it has records of this store: was MANIFEST restored from an \
                            older copy?";
                self.note(name, Cost::Removal, what);
            }
            Role::Temporary | Role::Of { .. } => {
                let what = "left behind by a crash, as MANIFEST does not list it; the next start removes it";
                self.note(name, Cost::Nothing, what);
            }
        }
        Ok(())
    }

    /// Looks at what says what was in memory. Nothing rests on it, so that it has no damage that anybody would have to repair.
    fn hot(&mut self, name: &str) -> io::Result<()> {
        let found = HotFile::find(&*self.inspection.disk)?;
        self.checked.bytes += found.as_ref().map_or(0, HotFile::bytes);
        let is_sound = found.map_or(Ok(false), |found| found.is_sound())?;
        if !is_sound {
            let what =
                "not what this version writes: the next start does not know all that was in memory, and writes it anew";
            self.note(name, Cost::Nothing, what);
        }
        Ok(())
    }

    fn layout(&mut self) -> Result<Layout, OpenError> {
        let layout = self.inspection.layout(&mut |finding| self.checked.findings.push(finding))?;
        self.total = layout.all().map(|segment| segment.file_bytes).sum();
        Ok(layout)
    }

    /// Looks at all segments.
    fn segments(&mut self, mut layout: Layout) -> Result<(), OpenError> {
        let (missing, mut done) = (std::mem::take(&mut layout.missing), 0);
        let empty = layout.visit(&mut |around| {
            if missing.contains(&around.found().listed.id) {
                return Ok(Passed { end: u64::from(FIRST_OFFSET), sequence_max: 0 });
            }
            let looked = self.segment(around, done)?;
            done += around.found().file_bytes;
            Ok(Passed { end: looked.end, sequence_max: looked.sequence_max })
        })?;
        for found in empty.iter().filter(|found| !missing.contains(&found.listed.id)) {
            self.checked.segments += 1;
            self.checked.bytes += found.file_bytes;
        }
        Ok(())
    }

    /// Looks at what is only kept for earlier moments.
    fn past(&mut self) -> Result<(), OpenError> {
        let first = self.checked.findings.len();
        let held = self.inspection.held(&mut |finding| self.checked.findings.push(finding))?;
        Around::alone(&held).try_for_each(|around| self.segment(&around, self.total).map(|_| ()))?;
        // Neither a start nor a key needs it.
        let costly = self.checked.findings[first..].iter_mut().filter(|finding| finding.cost > Cost::Cache);
        costly.for_each(|finding| finding.cost = Cost::Past);
        Ok(())
    }

    /// Looks at a segment and its hint; so many bytes of others have been looked at.
    fn segment(&mut self, around: &Around<'_>, done: u64) -> Result<Looked, OpenError> {
        let (inspection, found) = (self.inspection, around.found());
        let (total, mut now) = (self.total, done);
        let mut went_on = |bytes| {
            now += bytes;
            (self.on_progress)(now, total);
        };
        let findings = &mut self.checked.findings;
        let (looked, hinted) = inspection.examine(around, &mut went_on, &mut |finding| findings.push(finding))?;
        match &hinted {
            Some(hinted) => {
                self.checked.hints += 1;
                self.checked.bytes += hinted.file_bytes();
            }
            None => self.checked.without_hint += usize::from(inspection.identity(found).is_some()),
        }
        self.checked.segments += 1;
        self.checked.bytes += found.file_bytes;
        self.checked.records += looked.records;
        Ok(looked)
    }
}

impl Inspection {
    /// Whether a segment that is not listed is one of these kinds, and newer than the manifest. A crash leaves no such of the
    /// log behind, unless the disk failed before.
    pub(in crate::store) fn may_be_data(&self, id: u32, kinds: &[SegmentKind]) -> io::Result<bool> {
        let manifest = &self.manifest;
        let file = self.disk.open(&segment_file_name(id), Mode::Read)?;
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let read = file.read_at(&mut bytes, 0)?;
        let header = if read == bytes.len() { Header::read(&bytes).ok() } else { None };
        Ok(header.is_some_and(|header| {
            header.dataset == manifest.dataset_id()
                && kinds.iter().any(|kind| header.kind == header_kind(*kind))
                && id >= manifest.unused_segment_id()
        }))
    }
}
