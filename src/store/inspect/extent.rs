//! What each segment takes on the disk, and since when nothing was added to it.

use std::io;

use super::Inspection;
use crate::store::disk::Mode;
use crate::store::error::OpenError;
use crate::store::manifest::{SegmentKind, hint_file_name, segment_file_name};
use crate::store::recovery::{Readings, read_header};

/// A segment by its size. Bytes are those of files, unless it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The number in the file's name.
    pub id: u32,
    /// Who filled it.
    pub kind: SegmentKind,
    /// Bytes of its records.
    pub bytes: u64,
    /// Bytes of the file: more, where some are reserved.
    pub file_bytes: u64,
    /// Bytes of its hint; 0 where there is none.
    pub hint_bytes: u64,
    /// The latest moment that it tells of, milliseconds since the Unix epoch: that of its last mark, or else of its
    /// creation; none where its header is damaged and there are no marks.
    pub written: Option<u64>,
}

impl Inspection {
    /// The extents of all segments that were read, and of those that have no records, by their ids.
    pub(super) fn extents(&self, read: &Readings) -> Result<Vec<Extent>, OpenError> {
        let mut extents = Vec::new();
        for found in &read.segments {
            let wall = found.hint.as_ref().map_or(0, |hint| hint.summary().wall);
            let created = read_header(found, &self.manifest)?.map(|header| header.created);
            let written = Some(wall).filter(|wall| *wall > 0).max(created);
            extents.push(self.extent(found.listed.id, found.listed.kind, found.bytes, written)?);
        }
        for id in &read.empty {
            extents.push(self.extent(*id, SegmentKind::Foreground, 0, None)?);
        }
        extents.sort_by_key(|extent| extent.id);
        Ok(extents)
    }

    fn extent(&self, id: u32, kind: SegmentKind, bytes: u64, written: Option<u64>) -> Result<Extent, OpenError> {
        let (file_bytes, hint_bytes) =
            (self.file_bytes(&segment_file_name(id))?, self.file_bytes(&hint_file_name(id))?);
        Ok(Extent { id, kind, bytes, file_bytes, hint_bytes, written })
    }

    /// Bytes of a file; 0 where there is none.
    fn file_bytes(&self, name: &str) -> Result<u64, OpenError> {
        match self.disk.open(name, Mode::Read).and_then(|file| file.length()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            length => length.map_err(OpenError::io(format!("measuring {name}"))),
        }
    }
}
