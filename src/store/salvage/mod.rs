//! Saves what can be saved of a store that does not open, or in which keys cannot be read.
//!
//! Always true: what is taken away is set aside before; the list of segments changes by one edit that makes a damaged
//! segment go and what was saved of it come, so that whatever moment the power goes at, the store is as it was or repaired;
//! where a value is lost, no older one comes back, unless not even its key is known, and then it is told.
//!
//! | file | what |
//! | --- | --- |
//! | `names` | files that have each other's names |
//! | `rebuild` | a manifest from the headers of the segments |
//! | `damage` | what is damaged, and what can be saved |
//! | `rewrite` | writes what was saved |
//! | `losses` | which keys are lost |
//! | `aside` | where the damaged files go |
//! | `step` | what is done, in words |

mod aside;
mod damage;
mod losses;
mod names;
mod rebuild;
mod rewrite;
mod step;

use std::sync::Arc;

pub(super) use self::aside::is_set_aside;
pub use self::losses::Lost;
pub use self::step::Step;

use self::aside::Aside;
use self::damage::{Damage, LostValue, damage};
use self::losses::lost_keys;
pub(crate) use self::names::is_renaming;
use self::names::{Renamed, misnamed, rename};
use self::rebuild::{Rebuild, manifest};
use self::rewrite::{Rewriting, files_of};
use super::disk::Disk;
use super::error::OpenError;
use super::inspect::{Checked, Inspection};
use super::manifest::{Edit, MANIFEST_FILE, SegmentKind};
use super::recovery::OnProgress;

/// What a repair has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was done, in its order.
    pub steps: Vec<Step>,
    /// The directory in which the damaged files are now, if there are any.
    pub set_aside: Option<String>,
    /// Keys that have lost their value, as far as they are known.
    pub lost: Vec<Lost>,
    /// What a check finds afterwards.
    pub checked: Checked,
}

/// What a repair would do; nothing where all is sound. None where there is no store. Nothing is changed.
///
/// # Errors
/// When the disk fails, or something was written by a newer version.
pub fn plan(disk: &Arc<dyn Disk>, on_progress: OnProgress<'_>) -> Result<Option<Vec<Step>>, OpenError> {
    let moves = misnamed(disk).map_err(OpenError::io("looking what the files are"))?;
    let mut steps = Step::renames(&moves);
    let disk: Arc<dyn Disk> = if moves.is_empty() { disk.clone() } else { Arc::new(Renamed::new(disk.clone(), moves)) };
    let Some(manifest) = manifest(&disk)? else { return Ok(None) };
    let mut gone = Vec::new();
    let manifest = manifest.unwrap_or_else(|rebuild| {
        steps.extend(Step::of_rebuild(&rebuild));
        gone = rebuild.gone();
        rebuild.manifest
    });
    let mut damage = damage(&Inspection::with(disk, manifest), on_progress)?;
    damage.aside.retain(|(name, _)| !gone.contains(name));
    steps.extend(Step::of_damage(&damage));
    Ok(Some(steps))
}

/// Repairs a store as it is planned; none where there is no store. `now` is in milliseconds since the Unix epoch; up to so
/// many threads read.
///
/// # Errors
/// As [`plan`]. The store is as it was then, or repaired in part, and whatever was taken away is set aside.
pub fn repair(
    disk: &Arc<dyn Disk>,
    now: u64,
    threads: usize,
    on_progress: OnProgress<'_>,
) -> Result<Option<Repaired>, OpenError> {
    let moves = misnamed(disk).map_err(OpenError::io("looking what the files are"))?;
    let mut repaired = Repaired { steps: Step::renames(&moves), ..Repaired::default() };
    rename(&**disk, moves).map_err(OpenError::io("giving files their names"))?;
    let Some(manifest) = manifest(disk)? else { return Ok(None) };
    let mut aside = Aside::new(disk.clone());
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(rebuild) => {
            repaired.steps.extend(Step::of_rebuild(&rebuild));
            install(rebuild, &mut aside)?
        }
    };
    let inspection = Inspection::with(disk.clone(), manifest);
    let damage = damage(&inspection, on_progress)?;
    repaired.steps.extend(Step::of_damage(&damage));
    if !damage.is_none() {
        replace(&inspection, &damage, now, &mut aside)?;
    }
    repaired.set_aside = aside.name().map(str::to_owned);
    repaired.checked = inspection.check(threads, on_progress)?;
    if repaired.checked.opens {
        let lost = |value: &&LostValue| !damage.copied.contains(&value.sequence);
        let lost: Vec<LostValue> = damage.lost.iter().filter(lost).cloned().collect();
        repaired.lost = lost_keys(&inspection, &lost, now, threads, on_progress)?;
    }
    Ok(Some(repaired))
}

/// Puts a manifest in the place of the old one.
fn install(rebuild: Rebuild, aside: &mut Aside) -> Result<super::manifest::Manifest, OpenError> {
    let (gone, manifest) = (rebuild.gone(), rebuild.manifest);
    let kept = aside.keep(&[&gone[..], &[MANIFEST_FILE.to_owned()]].concat());
    kept.map_err(OpenError::io("setting files aside"))?;
    manifest.install().map_err(OpenError::io("writing the manifest"))?;
    if !gone.is_empty() {
        aside.remove(&gone).map_err(OpenError::io("removing what was set aside"))?;
    }
    Ok(manifest)
}

/// Lets what can be saved take the place of what is damaged.
fn replace(inspection: &Inspection, damage: &Damage, now: u64, aside: &mut Aside) -> Result<(), OpenError> {
    let Inspection { disk, manifest, hasher } = inspection;
    let of_segments = damage.flawed.iter().flat_map(|flawed| files_of(&flawed.found));
    let gone: Vec<String> = of_segments.chain(damage.aside.iter().map(|(name, _)| name.clone())).collect();
    aside.keep(&gone).map_err(OpenError::io("setting files aside"))?;
    let rewriting = Rewriting { disk: &**disk, manifest, hasher, now, copied: &damage.copied };
    let mut edit = Edit::new().floor(damage.floor.position, damage.floor.sequence);
    for flawed in &damage.flawed {
        let name = flawed.found.name();
        let written = rewriting.write(flawed).map_err(OpenError::io(format!("writing what is left of {name}")))?;
        edit = edit.remove(flawed.found.listed.id).clock_floor(flawed.wall);
        if let Some(listed) = written {
            debug_assert_eq!(listed.kind, SegmentKind::Compacted);
            edit = edit.add(listed);
        }
    }
    manifest.edit(&edit).map_err(OpenError::io("writing the manifest"))?;
    aside.remove(&gone).map_err(OpenError::io("removing what was set aside"))
}
