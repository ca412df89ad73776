//! `caskade backup` and `caskade restore`: copies of a data directory, and the past brought back.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::moment::Moment;
use super::progress::Progress;
use super::{Failed, Outcome, open, threads};
use crate::keyspace::Catalog;
use crate::store::disk::OsDisk;
use crate::store::inspect::Inspection;
use crate::store::{At, Copied, RestoreError, Restored};

/// Makes a backup of a data directory that no server uses in `target`, which must be empty or not exist.
///
/// # Errors
/// When either directory is in use, the data cannot be read or is damaged, or the target has something already.
pub fn backup(directory: &Path, target: &Path, out: &mut dyn Write) -> Result<Outcome, Failed> {
    let source = open(directory)?;
    let restored = copy(&source, directory, At::End, target, "copying")?;
    tell(&restored.copied, out)?;
    writeln!(out, "backup: {} is a copy of {}", target.display(), directory.display())?;
    Ok(Outcome::Sound)
}

/// Makes a data directory in `directory`, which must be empty or not exist, of a backup or of another data directory that no
/// server uses: as it was at a moment, or in the end.
///
/// # Errors
/// When either directory is in use, the data cannot be read or is damaged, the moment cannot be brought back, or the
/// directory has something already.
pub fn restore(source: &Path, at: Option<Moment>, directory: &Path, out: &mut dyn Write) -> Result<Outcome, Failed> {
    let at = match at {
        None => At::End,
        Some(Moment::Sequence(sequence)) => At::Sequence(sequence),
        Some(Moment::Time(time)) => At::Time(time),
    };
    let restored = copy(&open(source)?, source, at, directory, "restoring")?;
    tell(&restored.copied, out)?;
    if let Some(asked) = restored.asked {
        writeln!(
            out,
            "note: record {asked} is in the middle of a transaction: what is restored is the moment before that"
        )?;
    }
    let progress = Progress::new("reading it");
    let catalog = Catalog::load(&open(directory)?, threads(), &mut |done, total| progress.show(done, total));
    drop(progress);
    let mut keys = 0u64;
    catalog.map_err(|error| Failed::opening(&error, directory))?.each_key(|_, _, _| keys += 1);
    let (sequence, directory) = (restored.copied.sequence, directory.display());
    writeln!(out, "restored: {keys} keys in {directory}, as they were after record {sequence}; a server starts on it")?;
    Ok(Outcome::Sound)
}

fn copy(
    inspection: &Inspection,
    source: &Path,
    at: At,
    target: &Path,
    doing: &'static str,
) -> Result<Restored, Failed> {
    let target = OsDisk::open(target).map_err(Failed::new)?;
    let progress = Progress::new(doing);
    let restored = inspection.restore(at, Arc::new(target), threads(), &mut |done, total| progress.show(done, total));
    restored.map_err(|error| match error {
        RestoreError::Open(error) => Failed::opening(&error, source),
        RestoreError::NoSuchMoment(_) | RestoreError::Occupied(_) => Failed::new(error),
    })
}

fn tell(copied: &Copied, out: &mut dyn Write) -> Result<(), Failed> {
    let Copied { segments, files_linked, bytes_copied, sequence, missing } = copied;
    writeln!(
        out,
        "{segments} segments up to record {sequence}: {files_linked} files shared by links, {bytes_copied} bytes copied"
    )?;
    for file in missing {
        writeln!(
            out,
            "note: {file} is missing, and was left out: it was only held for earlier moments, which cannot be brought back"
        )?;
    }
    Ok(())
}
