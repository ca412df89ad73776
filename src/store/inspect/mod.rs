//! Looks at a store that nobody runs.
//!
//! Always true: nothing on the disk is changed, nothing is opened for writing; what is read is decoded by those who read
//! it when a store is opened.
//!
//! | file | what |
//! | --- | --- |
//! | `layout` | which segments there are, and their order |
//! | `walk` | the records of one segment, those behind a flaw included |
//! | `check` | every byte of all files |
//! | `segment` | every byte of one segment |
//! | `hint` | every byte of its hint |
//! | `finding` | what a check finds |
//! | `records` | all records in the order of their numbers |
//! | `times` | where in the log a moment is |
//! | `extent` | what each segment takes |

mod check;
mod extent;
mod finding;
pub(super) mod hint;
pub(super) mod layout;
mod records;
mod segment;
mod times;
pub(super) mod walk;

use std::sync::Arc;

pub use self::check::Checked;
pub use self::extent::Extent;
pub use self::finding::{Cost, Finding, KeyOf};
pub use self::hint::Named;
pub(super) use self::records::missing_end;
pub use self::records::{Entry, Visit, What};
pub use self::times::Around;
use super::disk::{Disk, Mode};
use super::error::OpenError;
use super::hash::KeyHasher;
use super::manifest::{Manifest, ManifestError};
use super::recovery::{Beginning, OnProgress, Readings, Records, Recovered, Replay, read_back};

/// A store that is looked at.
pub struct Inspection {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) manifest: Manifest,
    pub(super) hasher: KeyHasher,
}

impl Inspection {
    /// Opens the store on `disk`; none where there is none.
    ///
    /// # Errors
    /// When the manifest is damaged or missing, or the disk fails.
    pub fn open(disk: Arc<dyn Disk>) -> Result<Option<Self>, ManifestError> {
        let manifest = Manifest::open_to_read(disk.clone())?;
        Ok(manifest.map(|manifest| Self::with(disk, manifest)))
    }

    /// The store that a manifest tells of.
    pub(super) fn with(disk: Arc<dyn Disk>, manifest: Manifest) -> Self {
        Self { disk, hasher: KeyHasher::new(manifest.hash_seed()), manifest }
    }

    /// Tells `replay` every record of the log, as a start would.
    ///
    /// # Errors
    /// What a start would fail with.
    pub fn replay(
        &self,
        threads: usize,
        replay: &mut dyn Replay,
        on_progress: OnProgress<'_>,
    ) -> Result<Recovered, OpenError> {
        Ok(self.read(threads, replay, on_progress)?.recovered)
    }

    /// As [`Inspection::replay`], and tells what each segment takes.
    ///
    /// # Errors
    /// What a start would fail with.
    pub fn load(
        &self,
        threads: usize,
        replay: &mut dyn Replay,
        on_progress: OnProgress<'_>,
    ) -> Result<(Recovered, Vec<Extent>), OpenError> {
        let read = self.read(threads, replay, on_progress)?;
        Ok((read.recovered, self.extents(&read)?))
    }

    /// What says which segments there are.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The hash of this dataset's keys.
    pub fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    fn read(
        &self,
        threads: usize,
        replay: &mut dyn Replay,
        on_progress: OnProgress<'_>,
    ) -> Result<Readings, OpenError> {
        read_back(&*self.disk, Mode::Read, &self.manifest, &self.hasher, threads, replay, on_progress)
    }
}

/// Nobody is told.
struct NoReplay;

impl Replay for NoReplay {
    fn begin(&mut self, _: &Beginning<'_>) {}

    fn partition(&self, _: usize, _: Records<'_>) {}

    fn elements(&self, _: usize, _: Records<'_>) {}
}
