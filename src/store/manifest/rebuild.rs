//! A manifest made anew from what is known without it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::codec;
use super::files::{install, random, read_file};
use super::{Contents, Floor, Held, Manifest, ManifestError, Moment, Segment};
use crate::store::disk::{Disk, Mode};

/// What a manifest is made of.
pub(in crate::store) struct Rebuilt {
    pub dataset_id: [u8; 16],
    /// None where it is lost: hints that were written with it are of no use then.
    pub hash_seed: Option<[u8; 16]>,
    /// Above the id of every segment that ever was, as far as anybody knows.
    pub next_segment_id: u32,
    pub clock_floor: u64,
    pub floor: Floor,
    pub segments: Vec<Segment>,
    pub held: Vec<Held>,
    /// The moment before which nothing can be brought back, as far as anybody knows.
    pub horizon: Moment,
}

impl Manifest {
    /// A manifest that is not on the disk until [`Manifest::install`].
    pub(in crate::store) fn rebuild(disk: Arc<dyn Disk>, rebuilt: Rebuilt) -> Result<Manifest, ManifestError> {
        let Rebuilt { dataset_id, hash_seed, next_segment_id, clock_floor, floor, segments, held, horizon } = rebuilt;
        let hash_seed = hash_seed.map_or_else(random, Ok)?;
        let segments: BTreeMap<u32, Segment> = segments.into_iter().map(|segment| (segment.id, segment)).collect();
        let held: BTreeMap<u32, Held> = held.into_iter().map(|held| (held.segment.id, held)).collect();
        let contents = Contents { dataset_id, hash_seed, next_segment_id, clock_floor, segments, held, floor, horizon };
        Ok(Self::of(disk, contents))
    }

    /// Puts this manifest in the place of the one on the disk, durably.
    pub(in crate::store) fn install(&self) -> io::Result<()> {
        install(&*self.disk, &self.contents.lock())
    }
}

/// Whether a file is a sound manifest.
pub(in crate::store) fn is_manifest(disk: &dyn Disk, name: &str) -> io::Result<bool> {
    let mut magic = [0; codec::MAGIC.len()];
    let read = disk.open(name, Mode::Read)?.read_at(&mut magic, 0)?;
    if read < magic.len() || magic != *codec::MAGIC {
        return Ok(false);
    }
    match read_file(disk, name) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(false),
        bytes => Ok(codec::decode(&bytes?).is_ok()),
    }
}
