//! `caskade compact`: gives back all space that nothing needs, as a server does over time.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::progress::Progress;
use super::{Failed, Outcome, open_to_change, threads, torn_text};
use crate::keyspace::Keyspace;
use crate::store::clock::SystemClock;
use crate::store::{Compacted, Options, Retained, command};

/// Compacts a directory, and tells `out` what was won. What is held for earlier moments is given up only where `release_held`
/// says so.
///
/// # Errors
/// When the directory is in use, is damaged so that a server would not start on it, or the disk fails: then it is as it
/// was, or compacted in part. When `out` cannot be written.
pub fn compact(directory: &Path, release_held: bool, out: &mut dyn Write) -> Result<Outcome, Failed> {
    let disk = open_to_change(directory)?;
    let options = Options { load_threads: threads(), ..Options::default() };
    let progress = Progress::new("reading");
    let on_progress = &mut |done, total| progress.show(done, total);
    let opened = Keyspace::open(Arc::new(disk), Arc::new(SystemClock::new()), options, 1, on_progress);
    drop(progress);
    let (keyspace, recovered) = opened.map_err(|error| Failed::opening(&error, directory))?;
    if let Some(lost) = torn_text(&recovered) {
        writeln!(out, "note: {lost}")?;
    }
    let progress = Progress::new("compacting");
    let released = if release_held { keyspace.store().release_all_retained() } else { Ok(Retained::default()) };
    let compacted =
        released.and_then(|released| Ok((released, keyspace.compact(&mut |done, total| progress.show(done, total))?)));
    drop(progress);
    let held = keyspace.store().retained();
    // Also after an error: what was written is then found again.
    let closed = keyspace.store().close();
    let stopped = |error| Failed::new(format!("compaction stopped, and lost nothing: {error}"));
    let (released, compacted) = compacted.map_err(stopped)?;
    closed.map_err(Failed::new)?;
    if released.segments > 0 {
        let Retained { segments, bytes, .. } = released;
        writeln!(out, "released: {segments} segments with {bytes} bytes, which were held for earlier moments")?;
    }
    if held.segments > 0 {
        let Retained { segments, bytes, .. } = held;
        writeln!(
            out,
            "note: {segments} segments with {bytes} bytes are held for earlier moments, and stay: --release-held gives them up"
        )?;
    }
    summarize(&compacted, directory, out)
}

fn summarize(compacted: &Compacted, directory: &Path, out: &mut dyn Write) -> Result<Outcome, Failed> {
    let Compacted { bytes_before, bytes_after, passes, damaged_segments } = *compacted;
    writeln!(out, "compacted: {bytes_before} bytes of log and hints before, {bytes_after} after {passes} passes")?;
    if damaged_segments == 0 {
        return Ok(Outcome::Sound);
    }
    let check = command("check", directory);
    writeln!(out, "DAMAGED: {damaged_segments} segments stay as they are, as they are damaged: see {check}")?;
    Ok(Outcome::Damaged)
}
