//! A manifest made anew from the headers of the segments, where the old one is damaged, missing, or older than they are.
//! Nothing is changed here.
//!
//! Always true: every segment of the dataset that has records is listed, or held where the old manifest says so; what cannot
//! be listed and has anything in it is set aside, for a start removes what is not listed. What was held and nobody knows of
//! any more is listed: no deletion comes undone by it, for what a deletion hides was given up before the deletion was.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::names::header_of;
use crate::store::disk::{Disk, Mode};
use crate::store::error::OpenError;
use crate::store::inspect::Inspection;
use crate::store::inspect::walk::{Seen, Walk};
use crate::store::manifest::{
    Floor, Held, Manifest, ManifestError, Moment, Rebuilt, Role, Segment as Listed, SegmentKind, SegmentState,
    hint_file_name, role, segment_file_name,
};
use crate::store::record::Op;
use crate::store::recovery::{Found, claim_from, used_bytes};
use crate::store::segment::{FIRST_OFFSET, Header, HeaderFault, SEGMENT_HEADER_BYTES, header_kind};

/// A manifest that is to take the place of the one there is.
pub(super) struct Rebuild {
    pub manifest: Manifest,
    /// Why it is needed.
    pub why: String,
    /// How many segments it lists.
    pub segments: usize,
    /// Files that it does not list although there is something in them, and why.
    pub aside: Vec<(String, String)>,
    /// Hints that are of no use any more.
    pub hints: Vec<String>,
}

impl Rebuild {
    /// The files that go with the old manifest.
    pub(super) fn gone(&self) -> Vec<String> {
        self.aside.iter().map(|(name, _)| name).chain(&self.hints).cloned().collect()
    }
}

/// The manifest as it is, or as it has to become; none where there is no store.
pub(super) fn manifest(disk: &Arc<dyn Disk>) -> Result<Option<Result<Manifest, Rebuild>>, OpenError> {
    match Manifest::open_to_read(disk.clone()) {
        Ok(None) => Ok(None),
        Ok(Some(manifest)) => {
            let inspection = Inspection::with(disk.clone(), manifest);
            let stale = unlisted(&inspection).map_err(OpenError::io("reading the headers of segments"))?;
            let Inspection { manifest, .. } = inspection;
            Ok(Some(match stale {
                None => Ok(manifest),
                Some(name) => {
                    let why = format!("it is older than the data: it knows nothing of {name}");
                    Err(rebuild(disk, Some(&manifest), why)?)
                }
            }))
        }
        Err(error @ (ManifestError::Damaged(_) | ManifestError::Missing { .. })) => {
            let why = match error {
                ManifestError::Damaged(what) => format!("it is damaged ({what})"),
                _ => "it is missing".to_owned(),
            };
            rebuild(disk, None, why).map(|rebuild| Some(Err(rebuild)))
        }
        Err(error) => Err(OpenError::Manifest(error)),
    }
}

/// A segment that the manifest cannot know as its id was given out later: one of the log; or, where one that it lists is gone
/// with its hint, as a compaction removes it, what that compaction may have left.
fn unlisted(inspection: &Inspection) -> io::Result<Option<String>> {
    let names = inspection.disk.list()?;
    let is_gone =
        |listed: &Listed| !names.contains(&segment_file_name(listed.id)) && !names.contains(&hint_file_name(listed.id));
    let kinds = match inspection.manifest.segments().iter().any(is_gone) {
        true => &[SegmentKind::Foreground, SegmentKind::Compacted][..],
        false => &[SegmentKind::Foreground],
    };
    for name in names {
        if let Role::Of { segment } = role(&name)
            && name == segment_file_name(segment)
            && inspection.manifest.segment(segment).is_none()
            && inspection.may_be_data(segment, kinds)?
            && header_of(&*inspection.disk, &name)?.is_some_and(|header| header.id == segment)
        {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// A file that may be a segment.
struct Candidate {
    found: Found,
    header: Header,
}

/// What a walk along a candidate has come to.
struct Measured {
    /// Behind its last record, if nothing but zeros follows; otherwise behind all that it may have.
    end: u64,
    /// The first place where no record can be made out.
    flaw: Option<u64>,
    /// Whether its last record says that it is the last.
    is_sealed: bool,
    last_sequence: u64,
    wall: u64,
}

/// The work on one manifest.
struct Rebuilding<'a> {
    disk: &'a Arc<dyn Disk>,
    aside: Vec<(String, String)>,
    listed: Vec<Listed>,
    floor: Floor,
    clock_floor: u64,
    /// The highest number of any record.
    last_sequence: u64,
}

fn rebuild(disk: &Arc<dyn Disk>, old: Option<&Manifest>, mut why: String) -> Result<Rebuild, OpenError> {
    let names = disk.list().map_err(OpenError::io("listing the directory"))?;
    let known = old.map(Manifest::segments).unwrap_or_default();
    let gone = known.iter().filter(|listed| !names.contains(&segment_file_name(listed.id))).count();
    if gone > 0 {
        why += &format!(", and {gone} segments that it lists are not there: compacted since, or lost");
    }
    let (floor, clock_floor) = old.map_or((Floor::default(), 0), |old| (old.floor(), old.clock_floor()));
    let (aside, listed, last_sequence) = (Vec::new(), Vec::new(), floor.sequence);
    let mut rebuilding = Rebuilding { disk, aside, listed, floor, clock_floor, last_sequence };
    let (held, all_held) = held(&names, old);
    let candidates = rebuilding.candidates(&names, old, &held)?;
    let dataset_id = old.map(Manifest::dataset_id).or_else(|| most_frequent(&candidates));
    let Some(dataset_id) = dataset_id else {
        let what = "the headers of all segments are damaged, too: nothing can be made out without MANIFEST".to_owned();
        return Err(OpenError::Manifest(ManifestError::Damaged(what)));
    };
    let (of_dataset, others): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|candidate| candidate.header.dataset == dataset_id);
    for other in others {
        rebuilding.aside.push((other.found.name(), "it is of another dataset".to_owned()));
    }
    let (log, compacted): (Vec<_>, Vec<_>) =
        of_dataset.into_iter().partition(|candidate| candidate.found.listed.kind == SegmentKind::Foreground);
    rebuilding.log(log)?;
    compacted.into_iter().try_for_each(|candidate| rebuilding.compacted(candidate))?;
    let highest = names.iter().filter_map(|name| match role(name) {
        Role::Of { segment } => Some(segment),
        _ => None,
    });
    let next = highest.max().unwrap_or(0).saturating_add(1).max(old.map_or(1, Manifest::unused_segment_id));
    let Rebuilding { aside, listed, floor, clock_floor, last_sequence, .. } = rebuilding;
    // What is held goes in its order: while the first is there, nothing has gone since. Otherwise nobody knows.
    let horizon = old.map(Manifest::horizon).filter(|_| all_held);
    let horizon = horizon.unwrap_or(Moment { sequence: last_sequence, time: clock_floor });
    // Without the seed no hint tells which keys it has.
    let hints = match old {
        Some(_) => Vec::new(),
        None => names.iter().filter(|name| is_hint(name)).cloned().collect(),
    };
    let hash_seed = old.map(Manifest::hash_seed);
    let segments = listed.len();
    let next_segment_id = next;
    let rebuilt =
        Rebuilt { dataset_id, hash_seed, next_segment_id, clock_floor, floor, segments: listed, held, horizon };
    let manifest = Manifest::rebuild(disk.clone(), rebuilt).map_err(OpenError::Manifest)?;
    Ok(Rebuild { manifest, why, segments, aside, hints })
}

/// What the old manifest holds and is there; and whether that is something, and all of it.
fn held(names: &[String], old: Option<&Manifest>) -> (Vec<Held>, bool) {
    let known = old.map(Manifest::held).unwrap_or_default();
    let is_there = |held: &&Held| names.contains(&segment_file_name(held.segment.id));
    let held: Vec<Held> = known.iter().filter(is_there).copied().collect();
    let all_held = !known.is_empty() && held.len() == known.len();
    (held, all_held)
}

fn is_hint(name: &str) -> bool {
    matches!(role(name), Role::Of { segment } if name == hint_file_name(segment))
}

/// The dataset that most of them are of.
fn most_frequent(candidates: &[Candidate]) -> Option<[u8; 16]> {
    let mut counts = BTreeMap::new();
    candidates.iter().for_each(|candidate| *counts.entry(candidate.header.dataset).or_insert(0usize) += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(dataset, _)| dataset)
}

impl Rebuilding<'_> {
    /// The files that have the header of a segment of their name.
    fn candidates(
        &mut self,
        names: &[String],
        old: Option<&Manifest>,
        held: &[Held],
    ) -> Result<Vec<Candidate>, OpenError> {
        let mut candidates = Vec::new();
        for name in names {
            let Role::Of { segment: id } = role(name) else { continue };
            if *name != segment_file_name(id) || held.iter().any(|held| held.segment.id == id) {
                continue;
            }
            let reading = |error| OpenError::io(format!("reading {name}"))(error);
            let file = self.disk.open(name, Mode::Read).map_err(reading)?;
            let (mut bytes, length) = ([0; SEGMENT_HEADER_BYTES], file.length().map_err(reading)?);
            let read = file.read_at(&mut bytes, 0).map_err(reading)?;
            let header = if read < bytes.len() { Err(HeaderFault::Damaged) } else { Header::read(&bytes) };
            let (kind, salt, base_sequence, base_position) = match (&header, old.and_then(|old| old.segment(id))) {
                (Ok(header), _) if header.id == id => {
                    let kinds = [SegmentKind::Foreground, SegmentKind::Compacted];
                    let Some(kind) = kinds.into_iter().find(|kind| header_kind(*kind) == header.kind) else {
                        let what = format!("it is of kind {}", header.kind);
                        return Err(OpenError::Unsupported { file: name.clone(), what });
                    };
                    (kind, header.salt, header.base_sequence, header.base_position)
                }
                (Err(HeaderFault::Version(version)), _) => {
                    let what = format!("its format version is {version}");
                    return Err(OpenError::Unsupported { file: name.clone(), what });
                }
                // What the old manifest says of it is as good.
                (Err(HeaderFault::Damaged), Some(listed)) => {
                    self.listed.push(listed);
                    continue;
                }
                (header, _) => {
                    let found = Found::new(nothing_known(id), file, length);
                    let why = match header {
                        Ok(_) => "its header belongs to another file, which is there",
                        Err(_) if used_bytes(&found, 0)? == 0 => continue,
                        Err(_) => "its header is damaged, and only MANIFEST said the same: nothing can be made out",
                    };
                    self.aside.push((name.clone(), why.to_owned()));
                    continue;
                }
            };
            let state = SegmentState::Active;
            let listed = Listed { id, kind, salt, base_sequence, base_position, state };
            let Ok(header) = header else { continue };
            candidates.push(Candidate { found: Found::new(listed, file, length), header });
        }
        Ok(candidates)
    }

    /// Lists the segments of the log.
    fn log(&mut self, mut log: Vec<Candidate>) -> Result<(), OpenError> {
        log.sort_by_key(|candidate| (candidate.found.base, candidate.found.listed.id));
        // Of two that begin at one place, the later was made to replace the other.
        while let Some(at) = log.windows(2).position(|pair| pair[0].found.base == pair[1].found.base) {
            let name = log.remove(at).found.name();
            self.aside.push((name, "another file has the same part of the log".to_owned()));
        }
        let mut position = 0;
        for index in 0..log.len() {
            let (found, later) = (&log[index].found, &log[index + 1..]);
            let limit = later.first().map_or(u64::MAX, |next| next.found.base - found.base + u64::from(FIRST_OFFSET));
            let measured = measure(found, limit)?;
            self.last_sequence = self.last_sequence.max(measured.last_sequence);
            self.clock_floor = self.clock_floor.max(measured.wall).max(log[index].header.created);
            if found.base > position.max(self.floor.position) {
                self.floor.raise(Floor { position: found.base, sequence: found.base_sequence.saturating_sub(1) });
            }
            let claims = later.iter().map(|later| &later.found);
            let state = match measured.flaw {
                None if measured.is_sealed || !later.is_empty() => SegmentState::Sealed(measured.end),
                None => SegmentState::Active,
                // What somebody says was durable is damaged; otherwise the log ends there.
                Some(flaw) if claim_from(found, flaw, claims)? > found.position(flaw) => {
                    SegmentState::Sealed(measured.end)
                }
                Some(_) => SegmentState::Active,
            };
            position = found.position(measured.end);
            if measured.last_sequence > 0 || measured.flaw.is_some() {
                self.listed.push(Listed { state, ..found.listed });
            }
        }
        Ok(())
    }

    /// Lists a segment that a compaction has written.
    fn compacted(&mut self, candidate: Candidate) -> Result<(), OpenError> {
        let Candidate { found, header } = candidate;
        let measured = measure(&found, u64::MAX)?;
        self.last_sequence = self.last_sequence.max(measured.last_sequence);
        self.clock_floor = self.clock_floor.max(header.created);
        if measured.last_sequence > 0 || measured.flaw.is_some() {
            self.listed.push(Listed { state: SegmentState::Sealed(measured.end), ..found.listed });
        }
        Ok(())
    }
}

/// Of a file that nothing is known of.
fn nothing_known(id: u32) -> Listed {
    let (kind, state) = (SegmentKind::Foreground, SegmentState::Active);
    Listed { id, kind, salt: 0, base_sequence: 0, base_position: 0, state }
}

/// Goes along the records of a segment up to an offset.
fn measure(found: &Found, limit: u64) -> Result<Measured, OpenError> {
    let mut walk = Walk::until(found, limit);
    let mut measured =
        Measured { end: u64::from(FIRST_OFFSET), flaw: None, is_sealed: false, last_sequence: 0, wall: 0 };
    while let Some(seen) = walk.next().map_err(found.reading())? {
        match seen {
            Seen::Record { offset, length, record, damaged } => {
                if damaged {
                    measured.flaw.get_or_insert(offset);
                }
                measured.end = offset + u64::from(length);
                measured.is_sealed = record.op == Op::Seal;
                measured.last_sequence = measured.last_sequence.max(record.sequence);
                measured.wall = measured.wall.max(record.mark().map_or(0, |(_, wall)| wall));
                if measured.is_sealed {
                    return Ok(measured);
                }
            }
            Seen::Flaw { offset, .. } => {
                measured.flaw.get_or_insert(offset);
                walk.resume().map_err(found.reading())?;
            }
        }
    }
    if measured.flaw == Some(measured.end) && used_bytes(found, measured.end)? == 0 {
        measured.flaw = None;
    } else if measured.flaw.is_some() {
        measured.end = walk.offset();
    }
    Ok(measured)
}
