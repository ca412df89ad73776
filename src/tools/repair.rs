//! `caskade repair`: saves what can be saved of a damaged directory, once it is told to.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::progress::Progress;
use super::text::key_text;
use super::{Failed, Outcome, no_data, threads};
use crate::store::clock::{Clock, SystemClock};
use crate::store::disk::{Disk, OsDisk};
use crate::store::inspect::Cost;
use crate::store::salvage::{self, Lost, Repaired, Step};
use crate::store::{command_to_do, remedy};

/// Tells `out` what there is to be repaired, and repairs it where `yes` says so.
///
/// # Errors
/// When the directory is in use, has no store, or one of a newer version, or the disk fails: whatever was taken away is
/// set aside then. When `out` cannot be written.
pub fn repair(directory: &Path, yes: bool, out: &mut dyn Write) -> Result<Outcome, Failed> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::open_to_read(directory).map_err(Failed::new)?);
    let progress = Progress::new("looking");
    let steps = salvage::plan(&disk, &mut |done, total| progress.show(done, total));
    drop(progress);
    drop(disk);
    let steps = steps.map_err(|error| Failed::opening(&error, directory))?.ok_or_else(|| no_data(directory))?;
    if steps.is_empty() {
        writeln!(out, "sound: there is nothing to repair, and nothing was changed")?;
        return Ok(Outcome::Sound);
    }
    if !yes {
        steps.iter().try_for_each(|step| writeln!(out, "would {step}"))?;
        let (count, repair) = (steps.len(), command_to_do("repair", directory));
        writeln!(
            out,
            "DAMAGED: {count} steps would repair it; nothing was changed: copy the directory, and run {repair}"
        )?;
        return Ok(Outcome::Damaged);
    }
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(directory).map_err(Failed::new)?);
    let progress = Progress::new("repairing");
    let now = SystemClock::new().wall();
    let repaired = salvage::repair(&disk, now, threads(), &mut |done, total| progress.show(done, total));
    drop(progress);
    let repaired = repaired.map_err(|error| Failed::opening(&error, directory))?.ok_or_else(|| no_data(directory))?;
    tell(&repaired, directory, out)
}

fn tell(repaired: &Repaired, directory: &Path, out: &mut dyn Write) -> Result<Outcome, Failed> {
    let Repaired { steps, set_aside, lost, checked } = repaired;
    steps.iter().try_for_each(|step| writeln!(out, "did {step}"))?;
    if let Some(name) = set_aside {
        writeln!(out, "note: what was damaged is in {}", directory.join(name).display())?;
    }
    for Lost { database, key, element } in lost {
        let element = element.as_ref().map(|name| format!("element {} of ", key_text(name))).unwrap_or_default();
        writeln!(out, "lost: {element}{} in database {database}", key_text(key))?;
    }
    let left: Vec<_> = checked.findings.iter().filter(|finding| finding.cost.is_damage()).collect();
    if !checked.opens || left.iter().any(|finding| finding.cost > Cost::Spare) {
        left.iter().try_for_each(|finding| writeln!(out, "{}: {}", finding.file, finding.what))?;
        let starts = if checked.opens { "a server starts on it" } else { "no server starts on it" };
        writeln!(out, "DAMAGED: {} places are damaged still; {starts}; {}", left.len(), remedy(directory))?;
        return Ok(Outcome::Damaged);
    }
    let is_dark = steps.iter().any(Step::is_in_the_dark);
    let others = if is_dark { ", and others that nobody can name" } else { "" };
    let (records, segments) = (checked.records, checked.segments);
    let elements = lost.iter().filter(|lost| lost.element.is_some()).count();
    let keys = lost.len() - elements;
    let elements = if elements > 0 { format!(" and {elements} elements of others") } else { String::new() };
    writeln!(
        out,
        "repaired: a server starts on it, with {records} records in {segments} segments; {keys} keys{elements} are \
         lost{others}"
    )?;
    Ok(Outcome::Sound)
}
