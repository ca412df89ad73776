//! What is damaged in the segments that the manifest lists, and what can be saved of each. Nothing is changed here.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::ops::Range;

use super::names::{header_of, is_renaming};
use super::rewrite::is_copy;
use crate::store::OnProgress;
use crate::store::error::OpenError;
use crate::store::inspect::hint::Hinted;
use crate::store::inspect::layout::{Around, Layout, Passed};
use crate::store::inspect::walk::{Seen, Walk};
use crate::store::inspect::{Cost, Inspection, Named, missing_end};
use crate::store::manifest::{Floor, Role, hint_file_name, role, segment_file_name};
use crate::store::record::{HEADER_BYTES, Op};
use crate::store::recovery::{Found, read_header, used_bytes};
use crate::store::segment::FIRST_OFFSET;

const BAD_HINT: &str = "it is a hint, and not that of its segment; the server writes it anew";
const UNNAMED: &str = "files are called so while others get their names, and nothing says which one it was";
const STRAY: &str = "it is another segment than its name says, and that is there as well, or is no part of the data";

/// A segment that is to be replaced.
pub(super) struct Flawed {
    pub found: Found,
    /// Where it ends.
    pub end: u64,
    pub is_missing: bool,
    /// Records that are sound, without marks.
    pub sound: u64,
    /// Records whose value is damaged.
    pub damaged: u64,
    /// Records that only its hint knows.
    pub named: Vec<Named>,
    /// The values that its hint has of elements whose records have damaged ones, by their numbers.
    pub values: HashMap<u64, Vec<u8>>,
    /// Where nobody can tell what was there.
    pub unknown: Vec<Range<u64>>,
    /// The latest moment that it tells of, milliseconds since the Unix epoch.
    pub wall: u64,
}

/// A value that is lost, and of which it is known whose it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LostValue {
    pub sequence: u64,
    /// The id of the object that it was an element's of, if it was.
    pub object: Option<u64>,
    /// The key, or the name of the element.
    pub key: Vec<u8>,
    pub expiry: Option<u64>,
}

/// All that is damaged.
#[derive(Default)]
pub(super) struct Damage {
    pub flawed: Vec<Flawed>,
    /// Files that are of no use, and why: they are not what their names say.
    pub aside: Vec<(String, &'static str)>,
    /// The end of the last part of the log that is not there any more, or will not be.
    pub floor: Floor,
    /// Whether a part of the log is missing of which nothing says what was in it.
    pub has_gap: bool,
    /// Values that are lost, all copies of them.
    pub lost: Vec<LostValue>,
    /// The numbers of those of which there is a sound copy somewhere.
    pub copied: HashSet<u64>,
}

impl Damage {
    pub(super) fn is_none(&self) -> bool {
        self.flawed.is_empty() && self.aside.is_empty() && !self.has_gap
    }
}

/// What is noted of a segment on the way.
struct Noted {
    passed: Passed,
    hinted: Option<Hinted>,
    /// Lowest and highest number.
    sequences: (u64, u64),
}

/// Looks at everything.
pub(super) fn damage(inspection: &Inspection, on_progress: OnProgress<'_>) -> Result<Damage, OpenError> {
    let mut findings = Vec::new();
    let mut layout = inspection.layout(&mut |finding| findings.push(finding))?;
    let total = layout.all().map(|found| found.file_bytes).sum();
    let (mut noted, mut torn, mut done) = (BTreeMap::new(), false, 0);
    for found in layout.all() {
        // The others are findings.
        if let Err(error @ OpenError::Unsupported { .. }) = read_header(found, &inspection.manifest) {
            return Err(error);
        }
    }
    let mut unplaced = layout.visit(&mut |around| {
        let found = around.found();
        let mut now = done;
        done += found.file_bytes;
        if torn && !found.is_compacted() {
            // The log has ended before.
            return Ok(Passed { end: u64::from(FIRST_OFFSET), sequence_max: 0 });
        }
        let mut went_on = |bytes| {
            now += bytes;
            on_progress(now, total);
        };
        let (looked, hinted) = inspection.examine(around, &mut went_on, &mut |finding| findings.push(finding))?;
        if looked.unknown {
            let what = "it has records that are not known".to_owned();
            return Err(OpenError::Unsupported { file: found.name(), what });
        }
        torn |= looked.torn;
        let passed = passed(around, looked.end, looked.sequence_max, hinted.as_ref(), &looked.lost);
        let sequences = (looked.sequence_min, looked.sequence_max);
        noted.insert(found.listed.id, Noted { passed, hinted, sequences });
        Ok(passed)
    })?;
    let bad: BTreeSet<String> = findings
        .into_iter()
        .filter(|finding| finding.cost.is_damage() && finding.cost != Cost::Removal)
        .map(|finding| finding.file)
        .collect();
    let mut damage = Damage { floor: inspection.manifest.floor(), ..Damage::default() };
    let missing = std::mem::take(&mut layout.missing);
    let Layout { log, compacted, .. } = layout;
    let mut sound = Vec::new();
    for found in log.into_iter().chain(compacted) {
        let Some(noted) = noted.remove(&found.listed.id) else {
            // It has its place behind the end of the log.
            unplaced.push(found);
            continue;
        };
        if bad.contains(&found.name()) {
            let is_missing = missing.contains(&found.listed.id);
            damage.take(found, noted, is_missing)?;
        } else {
            let hint = bad.get(&hint_file_name(found.listed.id));
            damage.aside.extend(hint.map(|hint| (hint.clone(), BAD_HINT)));
            sound.push((found, noted));
        }
    }
    for found in unplaced {
        if missing.contains(&found.listed.id) {
            damage.flawed.push(Flawed::missing(found));
        } else if bad.contains(&found.name()) {
            damage.flawed.push(Flawed::unplaced(found)?);
        }
    }
    damage.aside.extend(strays(inspection)?);
    damage.close_gaps(&sound);
    damage.find_copies(&sound)?;
    Ok(damage)
}

/// Segments that are not listed, and by their headers others than their names say: no crash leaves these behind. And what has
/// no name at all, for which no server starts.
fn strays(inspection: &Inspection) -> Result<Vec<(String, &'static str)>, OpenError> {
    let Inspection { disk, manifest, .. } = inspection;
    let mut strays = Vec::new();
    for name in disk.list().map_err(OpenError::io("listing the directory"))? {
        // What has a name of its own has got it before.
        if is_renaming(&**disk, &name).map_err(OpenError::io(format!("reading {name}")))? {
            strays.push((name, UNNAMED));
            continue;
        }
        let Role::Of { segment } = role(&name) else { continue };
        if name != segment_file_name(segment) || manifest.segment(segment).is_some() {
            continue;
        }
        let header = header_of(&**disk, &name).map_err(OpenError::io(format!("reading {name}")))?;
        if header.is_some_and(|header| header.id != segment || header.dataset != manifest.dataset_id()) {
            strays.push((name, STRAY));
        }
    }
    Ok(strays)
}

/// How far a segment goes, whether or not all of it can be made out.
fn passed(around: &Around<'_>, end: u64, sequence_max: u64, hinted: Option<&Hinted>, lost: &[Range<u64>]) -> Passed {
    let found = around.found();
    if lost.is_empty() {
        return Passed { end, sequence_max };
    }
    let end = if found.sealed.is_some() { found.end() } else { end };
    let next = around.later().iter().map(|later| later.base_sequence).find(|base| *base > 0);
    let hint = hinted.and_then(Hinted::summary).map(|summary| summary.sequence_max);
    // Without the hint only what follows says how many there were, and if nothing does, there were at most so many.
    let bytes: u64 = lost.iter().map(|region| region.end - region.start).sum();
    let most = sequence_max.max(found.base_sequence) + bytes / HEADER_BYTES as u64;
    let sequence_max = hint.or(next.filter(|_| !found.is_compacted()).map(|next| next - 1)).unwrap_or(most);
    Passed { end, sequence_max }
}

/// The values of elements whose records have damaged ones, as far as the hint of the segment has them; by their numbers.
fn values_of(damaged: &[(u64, LostValue)], hinted: Option<&Hinted>) -> io::Result<HashMap<u64, Vec<u8>>> {
    let of_elements = damaged.iter().filter(|(_, lost)| lost.object.is_some());
    let places: Vec<Range<u64>> = of_elements.map(|(offset, _)| *offset..offset + 1).collect();
    let Some(hinted) = hinted.filter(|_| !places.is_empty()) else { return Ok(HashMap::new()) };
    let (named, _) = hinted.within(&places)?;
    Ok(named.into_iter().filter_map(|named| Some((named.sequence, named.value?))).collect())
}

impl Flawed {
    fn missing(found: Found) -> Self {
        let (named, values, unknown, end) = (Vec::new(), HashMap::new(), Vec::new(), u64::from(FIRST_OFFSET));
        Self { end, found, is_missing: true, sound: 0, damaged: 0, named, values, unknown, wall: 0 }
    }

    /// One of which nothing says that it was durable, nor where it would belong.
    fn unplaced(found: Found) -> Result<Self, OpenError> {
        let (begin, used) = (u64::from(FIRST_OFFSET), used_bytes(&found, u64::from(FIRST_OFFSET))?);
        let unknown = (used > 0).then(|| begin..begin + used).into_iter().collect();
        Ok(Self { is_missing: false, unknown, ..Self::missing(found) })
    }
}

impl Damage {
    /// Takes note of what can be saved of a segment, and what not.
    fn take(&mut self, found: Found, noted: Noted, is_missing: bool) -> Result<(), OpenError> {
        let Noted { passed, hinted, .. } = noted;
        let mut walk = Walk::until(&found, passed.end);
        let (mut sound, mut damaged, mut regions, mut wall) = (0, Vec::new(), Vec::new(), 0);
        while let Some(seen) = walk.next().map_err(found.reading())? {
            match seen {
                Seen::Record { record, .. } if matches!(record.op, Op::Mark | Op::Seal) => {
                    wall = wall.max(record.mark().map_or(0, |(_, wall)| wall));
                }
                Seen::Record { offset, record, damaged: true, .. } if record.op.sets_value() => {
                    let (sequence, object, expiry) = (record.sequence, record.element_of(), record.expiry);
                    damaged.push((offset, LostValue { sequence, object, key: record.key.to_vec(), expiry }));
                }
                Seen::Record { .. } => sound += 1,
                Seen::Flaw { offset, .. } => regions.push(offset..walk.resume().map_err(found.reading())?),
            }
        }
        regions.extend(missing_end(&found));
        let (mut named, mut is_whole) = (Vec::new(), regions.is_empty());
        if let Some(hinted) = hinted.as_ref().filter(|_| !is_whole) {
            (named, is_whole) = hinted.within(&regions).map_err(found.reading())?;
            wall = wall.max(hinted.summary().map_or(0, |summary| summary.wall));
        }
        let values = values_of(&damaged, hinted.as_ref()).map_err(found.reading())?;
        sound += values.len() as u64;
        damaged.retain(|(_, lost)| !values.contains_key(&lost.sequence));
        let in_the_dark = named.iter().filter(|named| named.has_lost_value());
        let in_the_dark = in_the_dark.map(|named| LostValue {
            sequence: named.sequence,
            object: named.element_of(),
            key: named.key.clone(),
            expiry: named.expiry,
        });
        let count = damaged.len() as u64;
        self.lost.extend(damaged.into_iter().map(|(_, lost)| lost).chain(in_the_dark));
        if !found.is_compacted() {
            self.floor.raise(Floor { position: found.position(passed.end), sequence: passed.sequence_max });
        }
        let unknown = if is_whole { Vec::new() } else { regions };
        let (end, damaged) = (passed.end, count);
        self.flawed.push(Flawed { found, end, is_missing, sound, damaged, named, values, unknown, wall });
        Ok(())
    }

    /// Raises the floor over whatever part of the log no segment has.
    fn close_gaps(&mut self, sound: &[(Found, Noted)]) {
        let mut position = 0;
        for (found, noted) in sound.iter().filter(|(found, _)| !found.is_compacted()) {
            if found.base > position.max(self.floor.position) {
                self.has_gap = true;
                self.floor.raise(Floor { position: found.base, sequence: found.base_sequence.saturating_sub(1) });
            }
            position = found.position(noted.passed.end);
        }
    }

    /// Looks for sound copies of what is lost: a compaction that could not take a segment away has left some.
    fn find_copies(&mut self, sound: &[(Found, Noted)]) -> Result<(), OpenError> {
        if self.lost.is_empty() {
            return Ok(());
        }
        let values: HashMap<u64, &LostValue> = self.lost.iter().map(|lost| (lost.sequence, lost)).collect();
        let lowest = self.lost.iter().map(|lost| lost.sequence).min().unwrap_or(u64::MAX);
        let highest = self.lost.iter().map(|lost| lost.sequence).max().unwrap_or(0);
        let mut copied = HashSet::new();
        let near = sound.iter().filter(|(_, noted)| noted.sequences.0 <= highest && noted.sequences.1 >= lowest);
        let all = near.map(|(found, _)| (found, u64::MAX));
        for (found, end) in all.chain(self.flawed.iter().map(|flawed| (&flawed.found, flawed.end))) {
            let mut walk = Walk::until(found, end);
            while let Some(seen) = walk.next().map_err(found.reading())? {
                match seen {
                    Seen::Record { record, damaged: false, .. } => {
                        if values.get(&record.sequence).is_some_and(|lost| is_copy(&record, lost)) {
                            copied.insert(record.sequence);
                        }
                    }
                    Seen::Record { .. } => {}
                    Seen::Flaw { .. } => _ = walk.resume().map_err(found.reading())?,
                }
            }
        }
        self.copied = copied;
        Ok(())
    }
}
