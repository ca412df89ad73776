//! A backup of a running store: links to all that is complete, as of one position of the log.
//!
//! Always true: while it looks at the list of segments and makes links, nothing is listed or taken off; everybody may read
//! and write meanwhile, and compaction may copy.

use std::io;

use super::{BACKUP_DIRECTORY, Copied, begin, end, is_backup_name};
use crate::store::disk::Disk;
use crate::store::log::Log;
use crate::store::manifest::{Held, MANIFEST_FILE, Segment, SegmentKind, SegmentState};
use crate::store::segment::{FIRST_OFFSET, Position};

/// How often it is tried again where the disk fails meanwhile, and what was complete is rewritten.
const ATTEMPTS: usize = 3;

/// Where a backup ends.
struct End {
    position: Position,
    sequence: u64,
}

/// What a backup has.
struct Parts {
    segments: Vec<Segment>,
    held: Vec<Held>,
}

impl Log {
    /// Makes a backup of everything that is acknowledged, in a directory of the data directory.
    pub(in crate::store) fn backup(&self, name: &str) -> io::Result<Copied> {
        if !is_backup_name(name) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the name of a backup may have letters, digits, '.', '_' and '-'",
            ));
        }
        // From here on: another backup of this name would take what this one has made so far for left behind.
        let _nothing_goes = self.compaction.listing.lock();
        let backups = self.disk.directory(BACKUP_DIRECTORY)?;
        self.disk.sync_directory()?;
        let target = backups.directory(name)?;
        if target.list()?.iter().any(|file| file == MANIFEST_FILE) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("there is a backup named {name} already"),
            ));
        }
        begin(&*target)?;
        backups.sync_directory()?;
        let copied = self.copy_to(&*target);
        match copied {
            Ok(_) => end(&*target),
            Err(_) => {
                // Without a manifest it is none: the next backup of this name takes away what this cannot.
                let _ = match target.remove(MANIFEST_FILE) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    _ => begin(&*target),
                };
            }
        }
        copied
    }

    /// Makes the copy, while nothing is listed or taken off.
    fn copy_to(&self, target: &dyn Disk) -> io::Result<Copied> {
        for _ in 0..ATTEMPTS {
            let end = self.end_segment()?;
            self.sync_round(true).map_err(io::Error::other)?;
            let Some(Parts { segments, held }) = self.parts_before(end.position) else { continue };
            let mut copied = Copied { sequence: end.sequence, ..Copied::default() };
            segments.iter().try_for_each(|segment| copied.take(&*self.disk, segment.id, target))?;
            let (held, horizon) = copied.take_held(&*self.disk, &held, target)?;
            target.sync_directory()?;
            self.manifest.write_to(target, &segments, &held, self.now(), horizon)?;
            for file in &copied.missing {
                tracing::warn!(
                    "the backup was made without {file}, which is missing: `retention` holds it, and no key needs it, but the \
                     moments it was held for cannot be brought back"
                );
            }
            return Ok(copied);
        }
        Err(io::Error::other("the disk fails: what is complete has to be written again and again"))
    }

    /// Ends the active segment, so that everything appended so far is in complete ones.
    fn end_segment(&self) -> io::Result<End> {
        self.prepare();
        let mut active = self.active.lock();
        if let Some(refused) = &active.refused {
            return Err(io::Error::other(refused.to_string()));
        }
        if active.offset > u64::from(FIRST_OFFSET) {
            self.roll(&mut active, 0).map_err(|refused| io::Error::other(refused.to_string()))?;
        }
        Ok(End { position: active.position, sequence: active.sequence - 1 })
    }

    /// All segments that have something from before a position; none where one of them is not complete.
    fn parts_before(&self, end: Position) -> Option<Parts> {
        let (mut segments, held) = self.manifest.segments_and_held();
        let table = self.table.load();
        let mut is_whole = true;
        segments.retain(|listed| match (listed.kind, listed.state) {
            (SegmentKind::Compacted, _) => true,
            (SegmentKind::Foreground, SegmentState::Active) => {
                // What is ready and not begun has nothing.
                let has_some = |segment: &std::sync::Arc<crate::store::segment::Segment>| {
                    segment.base_sequence() > 0 && segment.base() < end
                };
                is_whole &= !table.get(listed.id).is_some_and(has_some);
                false
            }
            (SegmentKind::Foreground, SegmentState::Sealed(_) | SegmentState::Cut(_)) => listed.base_position < end,
        });
        is_whole.then_some(Parts { segments, held })
    }
}
