//! All keys of a store that nobody runs, as a start would find them.
//!
//! Always true: the records are read by those who read them at a start, so that an expiry, a key that moved and a
//! database that was flushed mean here what they mean there; nothing on the disk is changed.

use std::sync::Arc;

use super::entry::Meta;
use super::keydir::{Keydir, SHARDS};
use super::loader::{Loaded, Loader};
use crate::store::inspect::{Extent, Inspection};
use crate::store::{Count, OnProgress, OpenError, Recovered};

/// The keys of all databases. Values are not in memory.
pub struct Catalog {
    /// By their numbers.
    databases: Vec<(u32, Arc<Keydir>)>,
    /// What was read.
    pub recovered: Recovered,
    /// The segments by their ids, each with the values in it that a key refers to.
    pub segments: Vec<(Extent, Count)>,
}

impl Catalog {
    /// Reads the keys of a store; up to so many threads work on it.
    ///
    /// # Errors
    /// What a start would fail with.
    pub fn load(inspection: &Inspection, threads: usize, on_progress: OnProgress<'_>) -> Result<Self, OpenError> {
        let mut loader = Loader::default();
        let (recovered, extents) = inspection.load(threads, &mut loader, on_progress)?;
        let Loaded { databases, live, .. } = loader.finish(inspection.hasher(), threads);
        let mut databases: Vec<_> = databases.into_iter().collect();
        databases.sort_unstable_by_key(|(database, _)| *database);
        let live_of = |id: u32| live.binary_search_by_key(&id, |(segment, _)| *segment).map(|at| live[at].1);
        let segments = extents.into_iter().map(|extent| (extent, live_of(extent.id).unwrap_or_default())).collect();
        Ok(Self { databases, recovered, segments })
    }

    /// Visits every key with the number of its database, those included whose time is over.
    pub fn each_key(&self, mut visit: impl FnMut(u32, &[u8], &Meta)) {
        for (database, keydir) in &self.databases {
            for shard in 0..SHARDS {
                keydir.scan(shard, 0, usize::MAX, |key, meta| visit(*database, key, meta));
            }
        }
    }
}
