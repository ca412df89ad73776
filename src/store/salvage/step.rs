//! What a repair does, in words for the person who decides whether it may.

use std::fmt;

use super::damage::{Damage, Flawed};
use super::names::Moves;
use super::rebuild::Rebuild;

const IN_THE_DARK: &str = "keys written there may show an older value or none, and keys deleted there may come back";

/// A step of a repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A file gets the name that its content says.
    Rename {
        /// As it is.
        from: String,
        /// As it should be.
        to: String,
    },
    /// The manifest is made anew from the headers of the segments.
    Rebuild {
        /// What is wrong with it.
        why: String,
        /// How many segments it is going to list.
        segments: usize,
        /// Whether the seed of the hashes is lost with it, and so all hints.
        without_hints: bool,
    },
    /// A file is taken away, and kept.
    SetAside {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A segment is replaced by what can be saved of it.
    Replace {
        /// The file.
        file: String,
        /// Whether there is no such file.
        missing: bool,
        /// Records that are sound.
        sound: u64,
        /// Records that only the hint knows, and of which nothing is lost: they have no value, or a short one.
        hinted: u64,
        /// Values that are lost, and whose keys or elements are known.
        values: u64,
        /// Bytes of which nobody knows what they were, each from an offset on.
        unknown: Vec<(u64, u64)>,
    },
    /// A part of the log that no file has is taken for removed.
    CloseGap {
        /// Up to this position of the log.
        position: u64,
    },
}

impl Step {
    /// Whether nobody knows what is lost.
    pub fn is_in_the_dark(&self) -> bool {
        match self {
            Self::Replace { missing, sound, hinted, values, unknown, .. } => {
                !unknown.is_empty() || *missing && sound + hinted + values == 0
            }
            Self::CloseGap { .. } => true,
            Self::Rename { .. } | Self::Rebuild { .. } | Self::SetAside { .. } => false,
        }
    }

    pub(super) fn renames(moves: &Moves) -> Vec<Self> {
        moves.iter().map(|(from, to)| Self::Rename { from: from.clone(), to: to.clone() }).collect()
    }

    pub(super) fn of_rebuild(rebuild: &Rebuild) -> Vec<Self> {
        let (why, segments) = (rebuild.why.clone(), rebuild.segments);
        let rebuilt = Self::Rebuild { why, segments, without_hints: !rebuild.hints.is_empty() };
        let aside = rebuild.aside.iter().map(|(file, why)| Self::SetAside { file: file.clone(), why: why.clone() });
        std::iter::once(rebuilt).chain(aside).collect()
    }

    pub(super) fn of_damage(damage: &Damage) -> Vec<Self> {
        let aside = damage.aside.iter();
        let aside = aside.map(|(file, why)| Self::SetAside { file: file.clone(), why: (*why).to_owned() });
        let gap = damage.has_gap.then_some(Self::CloseGap { position: damage.floor.position });
        damage.flawed.iter().map(Self::replace).chain(aside).chain(gap).collect()
    }

    fn replace(flawed: &Flawed) -> Self {
        let values = flawed.named.iter().filter(|named| named.has_lost_value()).count() as u64;
        Self::Replace {
            file: flawed.found.name(),
            missing: flawed.is_missing,
            sound: flawed.sound,
            hinted: flawed.named.len() as u64 - values,
            values: values + flawed.damaged,
            unknown: flawed.unknown.iter().map(|region| (region.start, region.end - region.start)).collect(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rename { from, to } => write!(f, "rename {from} to {to}: its content says that it is that"),
            Self::Rebuild { why, segments, without_hints } => {
                write!(f, "make MANIFEST anew from the headers of {segments} segments: {why}")?;
                if *without_hints {
                    write!(f, "; the hints are of no use without it and are set aside, the server writes them anew")?;
                }
                f.write_str(
                    "\n    a deletion may come undone, if a segment that had been compacted was still waiting to be removed",
                )
            }
            Self::SetAside { file, why } => write!(f, "set {file} aside: {why}"),
            Self::Replace { file, missing, sound, hinted, values, unknown } => {
                match (missing, sound + hinted + values) {
                    (true, 0) => write!(f, "take {file} off the list: it is missing, and nothing says what was in it")?,
                    (true, _) => write!(f, "make up for {file}, which is missing: ")?,
                    (false, _) => write!(f, "replace {file} by its {sound} sound records")?,
                }
                match (missing, hinted) {
                    (_, 0) => {}
                    (true, hinted) => write!(f, "{hinted} deletions and the like are saved by its hint")?,
                    (false, hinted) => write!(f, ", and {hinted} deletions and the like that only its hint knows")?,
                }
                if *values > 0 {
                    let and = if *missing && *hinted == 0 { "" } else { "; " };
                    write!(f, "{and}{values} values are lost, whose keys are known")?;
                }
                unknown.iter().try_for_each(|(offset, bytes)| {
                    write!(f, "\n    nobody knows what was in {bytes} bytes at byte {offset}: {IN_THE_DARK}")
                })
            }
            Self::CloseGap { position } => {
                write!(
                    f,
                    "take what is missing of the log before position {position} for removed: no file has it\n    nobody \
                     knows what was in it: {IN_THE_DARK}"
                )
            }
        }
    }
}
