//! What is done to the disk once everything has been read.
//!
//! Always true: what nothing says was durable is written once more in its place before it is synced. The process before
//! may have ended because a sync failed; the kernel then takes those pages for written, and another sync would lie.

use std::io;
use std::sync::Arc;

use super::find::Found;
use crate::store::disk::Disk;
use crate::store::error::OpenError;
use crate::store::manifest::{Edit, Manifest, SegmentState, segment_file_name};
use crate::store::reader::READ_BYTES;
use crate::store::segment::{FIRST_OFFSET, Position, Segment};

/// Makes durable what was read, says so in the manifest, and removes what is empty.
pub(super) fn settle(
    disk: &dyn Disk,
    manifest: &Manifest,
    found: Vec<Found>,
    mut empty: Vec<u32>,
) -> Result<Vec<Arc<Segment>>, OpenError> {
    let durable = found.iter().map(|found| found.durable).max().unwrap_or(0);
    let mut edit = Edit::new();
    let mut changed = false;
    let mut segments = Vec::new();
    for found in found {
        let (name, id, bytes) = (found.name(), found.listed.id, found.bytes);
        if bytes == 0 {
            empty.push(id);
            continue;
        }
        let (unsealed, placed) = (found.sealed.is_none(), found.placed());
        let (last_sequence, hint_bytes) = (found.sequence_max(), found.hint_file_bytes());
        let length = bytes + u64::from(FIRST_OFFSET);
        let segment = Segment::new(id, found.listed.kind, found.listed.salt, found.file, length);
        segment.begin(found.base, found.base_sequence);
        segment.leave(bytes);
        segment.place(placed);
        segment.set_created(found.created);
        segment.set_last_sequence(last_sequence);
        segment.set_hint_bytes(hint_bytes);
        segment.seal();
        if unsealed {
            // Read is not durable: after a crash of the process alone, these bytes may be in the page cache only.
            let settled = rewrite(&segment, durable, length)
                .and_then(|()| segment.file.truncate(length))
                .and_then(|()| segment.file.sync_data());
            settled.map_err(OpenError::io(format!("syncing {name}")))?;
            edit = edit.replace(segment.listed(SegmentState::Sealed(length)));
            changed = true;
        }
        segments.push(Arc::new(segment));
    }
    for id in &empty {
        edit = edit.remove(*id);
        changed = true;
    }
    if changed {
        manifest.edit(&edit).map_err(OpenError::io("writing the manifest"))?;
    }
    for id in empty {
        // Unlisted, it is removed at the next opening at the latest.
        let _ = disk.remove(&segment_file_name(id));
    }
    Ok(segments)
}

/// Writes once more what is in the file behind the position `durable`, and before `end`; where nothing of the segment was
/// durable, its header as well.
fn rewrite(segment: &Segment, durable: Position, end: u64) -> io::Result<()> {
    let mut at = if durable > segment.base() { segment.offset(durable) } else { 0 };
    while at < end {
        let mut bytes = vec![0; (end - at).min(READ_BYTES as u64) as usize];
        let read = segment.file.read_at(&mut bytes, at)?;
        if read < bytes.len() {
            return Err(io::Error::other("it became shorter while it was read"));
        }
        segment.file.write_at(&bytes, at)?;
        at += bytes.len() as u64;
    }
    Ok(())
}
