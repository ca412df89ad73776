//! Verifies all files of a store.

use std::collections::BTreeSet;
use std::io;

use super::finding::{Cost, Finding};
use super::hint::Hinted;
use super::segment::{Looked, Surroundings, look};
use super::{Inspection, NoReplay};
use crate::store::disk::os::LOCK_FILE;
use crate::store::disk::{File, Mode};
use crate::store::error::OpenError;
use crate::store::hint::SegmentIdentity;
use crate::store::manifest::{
    MANIFEST_FILE, Role, Segment as Listed, SegmentKind, SegmentState, role, segment_file_name,
};
use crate::store::recovery::{Found, OnProgress, claim_from, first_sequence, read_header, used_bytes};
use crate::store::segment::{FIRST_OFFSET, Header, SEGMENT_HEADER_BYTES, header_kind};

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
        let mut check = Check { inspection: self, checked: Checked::default(), total: 0, on_progress };
        for name in &names {
            check.name(name).map_err(OpenError::io(format!("reading {name}")))?;
        }
        let opened = check.open()?;
        let is_complete = opened.missing == 0;
        check.log(opened)?;
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
    on_progress: OnProgress<'a>,
}

/// The segments that are there.
#[derive(Default)]
struct Opened {
    log: Vec<Found>,
    headless: Vec<Found>,
    compacted: Vec<Found>,
    missing: usize,
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
        let listed: BTreeSet<u32> = self.inspection.manifest.segments().iter().map(|segment| segment.id).collect();
        match role(name) {
            Role::Foreign if name == MANIFEST_FILE || name == LOCK_FILE => {}
            Role::Foreign => self.note(name, Cost::Nothing, "not a file of the store; it is never touched"),
            Role::Of { segment } if listed.contains(&segment) => {}
            Role::Of { segment } if name == segment_file_name(segment) && self.may_be_data(segment, name)? => {
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

    /// Whether a segment that is not listed is one of the log: a crash leaves no such behind, unless the disk failed
    /// before.
    fn may_be_data(&self, id: u32, name: &str) -> io::Result<bool> {
        let manifest = &self.inspection.manifest;
        let file = self.inspection.disk.open(name, Mode::Read)?;
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let read = file.read_at(&mut bytes, 0)?;
        let header = if read == bytes.len() { Header::read(&bytes).ok() } else { None };
        Ok(header.is_some_and(|header| {
            header.dataset == manifest.dataset_id()
                && header.kind == header_kind(SegmentKind::Foreground)
                && id >= manifest.unused_segment_id()
        }))
    }

    fn open(&mut self) -> Result<Opened, OpenError> {
        let mut opened = Opened::default();
        for listed in self.inspection.manifest.segments() {
            let name = segment_file_name(listed.id);
            let file = match self.inspection.disk.open(&name, Mode::Read) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    opened.missing += 1;
                    self.note(&name, Cost::Start, "MANIFEST lists it, and it is missing: restore it from a backup");
                    continue;
                }
                file => file.map_err(OpenError::io(format!("opening {name}")))?,
            };
            self.sort(listed, file, &mut opened)?;
        }
        opened.log.sort_by_key(|segment| (segment.base, segment.end()));
        self.total = opened.all().map(|segment| segment.file_bytes).sum();
        Ok(opened)
    }

    /// Reads the header of a segment, and says where it belongs.
    fn sort(&mut self, listed: Listed, file: Box<dyn File>, opened: &mut Opened) -> Result<(), OpenError> {
        let name = segment_file_name(listed.id);
        let file_bytes = file.length().map_err(OpenError::io(format!("measuring {name}")))?;
        let mut segment = Found::new(listed, file, file_bytes);
        let at = |offset, cost, what: String| Finding::new(name.as_str(), Some(offset), cost, what);
        if segment.end() > file_bytes {
            let what = format!("it should have {} bytes and ends here: what was behind is lost", segment.end());
            self.tell(at(file_bytes, Cost::Start, what));
        } else if let SegmentState::Sealed(length) = listed.state
            && length < file_bytes
        {
            let what = format!("its records end here, and {} bytes follow, which are never read", file_bytes - length);
            self.tell(at(length, Cost::Nothing, what));
        }
        let header = match read_header(&segment, &self.inspection.manifest) {
            Err(error @ OpenError::Io { .. }) => return Err(error),
            Err(OpenError::Corrupt { offset, what, .. }) => {
                self.tell(at(offset, Cost::Start, what));
                None
            }
            Err(error) => {
                self.tell(at(0, Cost::Start, error.to_string()));
                None
            }
            Ok(None) if segment.sealed.is_some() || used_bytes(&segment, 0)? > 0 => {
                self.tell(at(0, Cost::Spare, "its header is damaged; MANIFEST says the same".to_owned()));
                None
            }
            Ok(header) => header,
        };
        let is_placed = header.is_some() || segment.sealed.is_some() || segment.base_sequence > 0;
        if segment.is_compacted() {
            opened.compacted.push(segment);
        } else if is_placed {
            if let Some(header) = header {
                if segment.sealed.is_some() && (segment.base, segment.base_sequence) != header.begins() {
                    let what = "its header says another beginning than MANIFEST";
                    self.tell(at(0, Cost::Start, what.to_owned()));
                }
                (segment.base, segment.base_sequence) = header.begins();
            }
            opened.log.push(segment);
        } else {
            opened.headless.push(segment);
        }
        Ok(())
    }

    /// Looks at all segments, those of the log in its order.
    fn log(&mut self, mut opened: Opened) -> Result<(), OpenError> {
        let (mut sequence, mut position, mut done) = (0, 0, 0);
        for index in 0..opened.log.len() {
            let looked = self.segment(&opened, index, sequence, &mut done)?;
            sequence = looked.sequence_max.max(sequence);
            position = opened.log[index].position(looked.end);
        }
        // Those whose start nobody says go on where the log has come to, or are empty.
        while let Some(mut next) = opened.headless.pop() {
            if first_sequence(&next)? == Some(sequence + 1) {
                (next.base, next.base_sequence) = (position, sequence + 1);
                opened.log.push(next);
                let looked = self.segment(&opened, opened.log.len() - 1, sequence, &mut done)?;
                sequence = looked.sequence_max.max(sequence);
                position += looked.end - u64::from(FIRST_OFFSET);
            } else {
                self.checked.segments += 1;
                self.checked.bytes += next.file_bytes;
            }
        }
        opened.log = opened.compacted;
        opened.compacted = Vec::new();
        (0..opened.log.len()).try_for_each(|index| self.segment(&opened, index, 0, &mut done).map(|_| ()))
    }

    /// Looks at a segment and its hint.
    fn segment(
        &mut self,
        opened: &Opened,
        index: usize,
        last_sequence: u64,
        done: &mut u64,
    ) -> Result<Looked, OpenError> {
        let (found, later) = (&opened.log[index], &opened.log[index + 1..]);
        let Inspection { disk, manifest, hasher } = self.inspection;
        let floor = manifest.floor().position;
        let name = found.name();
        let reading = |error| OpenError::io(format!("reading the hint of {name}"))(error);
        let identity = match found.listed.state {
            SegmentState::Sealed(length) => {
                Some(SegmentIdentity::new(found.listed.id, found.listed.salt, manifest.dataset_id(), length, hasher))
            }
            SegmentState::Active | SegmentState::Cut(_) => None,
        };
        let hinted = identity.as_ref().map(|identity| Hinted::open(&**disk, identity)).transpose();
        let hinted = hinted.map_err(reading)?.flatten();
        let claim = |at| Ok(claim_from(found, at, later.iter().chain(&opened.headless))?.max(floor));
        let (hint, next_base) = (hinted.as_ref(), later.first().map(|next| next.base));
        let around = Surroundings { hasher, hinted: hint, last_sequence, claim: &claim, next_base };
        let (begun, total, mut findings) = (*done, self.total, Vec::new());
        let mut went_on = |bytes| {
            *done += bytes;
            (self.on_progress)(*done, total);
        };
        let looked = look(found, &around, &mut went_on, &mut |finding| findings.push(finding))?;
        *done = begun + found.file_bytes;
        if looked.sound.is_some() && looked.records > 0 && looked.sequence_min != found.base_sequence {
            let what = format!(
                "its first record should be {}, and is {}: MANIFEST or the header is wrong",
                found.base_sequence, looked.sequence_min
            );
            findings.push(Finding::new(found.name(), Some(u64::from(FIRST_OFFSET)), Cost::Spare, what));
        }
        match &hinted {
            Some(hinted) => {
                hinted.check(looked.sound.as_ref(), &mut |finding| findings.push(finding)).map_err(reading)?;
                self.checked.hints += 1;
                self.checked.bytes += hinted.file_bytes();
            }
            None => self.checked.without_hint += usize::from(identity.is_some()),
        }
        self.checked.findings.append(&mut findings);
        self.checked.segments += 1;
        self.checked.bytes += found.file_bytes;
        self.checked.records += looked.records;
        Ok(looked)
    }
}

impl Opened {
    fn all(&self) -> impl Iterator<Item = &Found> {
        self.log.iter().chain(&self.headless).chain(&self.compacted)
    }
}
