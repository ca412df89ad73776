//! Hands what was found to the index, one partition after the other, in threads that share the partitions: first those of the
//! keys, which say what objects there are, then those of the elements.
//!
//! Always true: a partition is told of only when all of its blocks have been read and verified; a segment whose hint
//! turns out to be damaged is read as a whole instead.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::OnceLock;

use parking_lot::Mutex;

use super::find::Found;
use super::scan::{Scan, Scanned};
use super::{Beginning, Progress, Replay, share};
use crate::store::error::OpenError;
use crate::store::hash::KeyHasher;
use crate::store::hint::{BIND_BLOCK, Block, Entries, Hinted, PARTITIONS, element_block};
use crate::store::manifest::segment_file_name;
use crate::store::record::DATABASES_MAX;

/// Tells `replay` all that the segments say.
pub(super) fn load(
    segments: &mut [Found],
    hasher: &KeyHasher,
    dataset: [u8; 16],
    threads: usize,
    replay: &mut dyn Replay,
    progress: &mut Progress<'_>,
) -> Result<(), OpenError> {
    let sources: Vec<Source<'_>> = segments.iter().map(|segment| Source::new(segment, hasher)).collect();
    let mut ids: Vec<u32> = segments.iter().map(Found::id).collect();
    ids.sort_unstable();
    let bindings = bindings(&sources)?;
    replay.begin(&Beginning { hasher, dataset, segments: &ids, bindings: &bindings });
    let replay: &dyn Replay = replay;
    share(threads, PARTITIONS, progress, &|partition| {
        tell(&sources, partition, &|records| replay.partition(partition, records))
    })?;
    share(threads, PARTITIONS, progress, &|partition| {
        tell(&sources, element_block(partition), &|records| replay.elements(partition, records))
    })?;
    let instead: Vec<Option<Scanned>> = sources.into_iter().map(|source| source.instead.into_inner()).collect();
    for (segment, scanned) in segments.iter_mut().zip(instead) {
        if let Some(scanned) = scanned {
            segment.take(scanned);
        }
    }
    Ok(())
}

/// Hands on what all segments have in one block, if there is anything; returns how many bytes were read for it.
fn tell(sources: &[Source<'_>], block: usize, replay: &dyn Fn(Records<'_>)) -> Result<u64, OpenError> {
    let blocks: Vec<_> = sources.iter().map(|source| source.block(block)).collect::<Result<_, _>>()?;
    if !blocks.iter().all(Block::is_empty) {
        replay(Records::new(sources, &blocks));
    }
    let hints = sources.iter().filter_map(|source| source.segment.hint.as_ref());
    Ok(hints.map(|hint| hint.block_bytes(block)).sum())
}

/// A segment as something to read blocks of.
struct Source<'a> {
    segment: &'a Found,
    hasher: &'a KeyHasher,
    /// As it was scanned, once its hint has turned out to be damaged.
    instead: OnceLock<Scanned>,
    scanning: Mutex<()>,
}

impl<'a> Source<'a> {
    fn new(segment: &'a Found, hasher: &'a KeyHasher) -> Self {
        Self { segment, hasher, instead: OnceLock::new(), scanning: Mutex::default() }
    }

    fn block(&self, index: usize) -> Result<Block<'_>, OpenError> {
        if let Some(hint) = &self.segment.hint
            && self.instead.get().is_none()
            // A disk that fails to read a hint may well read the segment.
            && let Ok(Some(block)) = hint.block(index)
        {
            return Ok(block);
        }
        let scanned = self.scanned()?;
        // What is in memory is there.
        Ok(scanned.hint.block(index).map_err(self.segment.reading())?.unwrap_or_default())
    }

    fn scanned(&self) -> Result<&Scanned, OpenError> {
        let _turn = self.scanning.lock();
        if let Some(scanned) = self.instead.get() {
            return Ok(scanned);
        }
        let scanned = Scan::new(self.segment, self.hasher, 0).sealed()?;
        Ok(self.instead.get_or_init(|| scanned))
    }
}

/// Databases and the keyspaces they were bound to, one after the other.
fn bindings(sources: &[Source<'_>]) -> Result<Vec<(u32, u32)>, OpenError> {
    let blocks: Vec<_> = sources.iter().map(|source| source.block(BIND_BLOCK)).collect::<Result<_, _>>()?;
    let records = Records::new(sources, &blocks);
    let binding = |(segment, record): (u32, Hinted<'_>)| {
        let database = record.key.try_into().map(u32::from_le_bytes).ok().filter(|database| *database < DATABASES_MAX);
        // Another id must be left to be given out.
        database.filter(|_| record.keyspace < u32::MAX).map(|database| (database, record.keyspace)).ok_or_else(|| {
            let what = format!("its record {} binds a database or a keyspace that there cannot be", record.sequence);
            OpenError::Unsupported { file: segment_file_name(segment), what }
        })
    };
    records.map(binding).collect()
}

/// The records of one partition's keys, or elements, in rising order of their sequence numbers, each with the id of its segment. Of
/// several with one number one is told, a sound value before a damaged one and before a deletion: compaction may have made
/// that of a value whose time was over, and a past that is brought back may have had it for longer.
pub struct Records<'a> {
    runs: Vec<Run<'a>>,
    /// The numbers of the next records of all runs but the current one, with what decides among equals, and the runs.
    heap: BinaryHeap<Reverse<(u64, u8, usize)>>,
    current: Option<usize>,
    last: u64,
    puts: HashMap<u32, usize>,
    sources: Vec<u32>,
}

struct Run<'a> {
    segment: u32,
    next: Option<Hinted<'a>>,
    rest: Entries<'a>,
}

/// Which of several records with one number counts: the one with the lowest.
fn rank(record: &Hinted<'_>) -> u8 {
    if record.op.removes_value() { 2 } else { u8::from(record.damaged) }
}

impl<'a> Records<'a> {
    fn new(sources: &[Source<'_>], blocks: &'a [Block<'a>]) -> Self {
        let mut puts = HashMap::new();
        let mut moved: Vec<u32> = Vec::new();
        for block in blocks {
            block.puts().iter().for_each(|(keyspace, count)| *puts.entry(*keyspace).or_default() += count);
            moved.extend(block.sources());
        }
        let runs: Vec<Run<'_>> = sources
            .iter()
            .zip(blocks)
            .map(|(source, block)| {
                let mut rest = block.entries();
                Run { segment: source.segment.id(), next: rest.next(), rest }
            })
            .collect();
        let first =
            |(index, run): (usize, &Run<'_>)| run.next.as_ref().map(|next| Reverse((next.sequence, rank(next), index)));
        let heap = runs.iter().enumerate().filter_map(first).collect();
        moved.sort_unstable();
        moved.dedup();
        Self { runs, heap, current: None, last: 0, puts, sources: moved }
    }

    /// The keyspaces there are records of, each with how many of them set a value. Elements are all in keyspace 0.
    pub fn keyspaces(&self) -> impl Iterator<Item = (u32, usize)> {
        self.puts.iter().map(|(keyspace, count)| (*keyspace, *count))
    }

    /// The keyspaces that some records move keys out of.
    pub fn sources(&self) -> &[u32] {
        &self.sources
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (u32, Hinted<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let index = match self.current {
                Some(index) => index,
                None => self.heap.pop()?.0.2,
            };
            let run = &mut self.runs[index];
            let record = run.next.take()?;
            run.next = run.rest.next();
            // Segments of the log do not overlap: most of the time the current one goes on.
            self.current = match (&run.next, self.heap.peek()) {
                (None, _) => None,
                // Of the same number and rank, the one of the earlier run comes first: originals stand before copies.
                (Some(next), Some(Reverse(other))) if next.sequence >= other.0 => {
                    self.heap.push(Reverse((next.sequence, rank(next), index)));
                    None
                }
                (Some(_), _) => Some(index),
            };
            if record.sequence != self.last {
                self.last = record.sequence;
                return Some((run.segment, record));
            }
        }
    }
}
