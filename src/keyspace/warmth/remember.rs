//! Writes down which values are in memory.
//!
//! Always true: a lock is held for [`STEP_ENTRIES_MAX`] entries at most; what was not yet written takes [`NAMES_MAX`] names of memory
//! and what the writer has of the file.

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use super::super::Keyspace;
use super::super::collections::OBJECT_PARTS;
use super::super::entry::Entry;
use super::super::keydir::SHARDS;
use super::super::shapes::Cursor;
use super::STEP_ENTRIES_MAX;
use crate::store::{HINTED_VALUE_BYTES_MAX, HotName, HotOwner, HotWriter, Remembered};

/// So many names are put in order at once, at most: 1 MB.
const NAMES_MAX: usize = 64 << 10;

/// A file that was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remembering {
    /// How many values it names.
    pub values: u64,
    /// Its bytes.
    pub bytes: u64,
    /// How long it took.
    pub duration: Duration,
}

/// What has been met of one owner and is not in the file yet.
#[derive(Default)]
struct Met(Vec<Remembered>);

impl Keyspace {
    /// Writes down which values are in memory, for the next start: those of keys, and those of elements that a start does not
    /// have from hints. It may take a while, and ends without a file where `goes_on` says no, where there is no space to
    /// waste, and before [`Keyspace::recall`] has come to an end or [`Keyspace::settle_warmth`] was called: what was remembered before is better
    /// then. Nobody waits for it for longer than for a step of the hand.
    ///
    /// # Errors
    /// The disk's: the old file is there still, or none.
    pub fn remember(&self, goes_on: &mut dyn FnMut() -> bool) -> io::Result<Option<Remembering>> {
        let Some(_writing) = self.warmth.writing.try_lock() else { return Ok(None) };
        if !self.warmth.status.lock().is_settled || self.store.is_disk_nearly_full() {
            return Ok(None);
        }
        let began = self.store.monotonic();
        let mut writer = self.store.begin_hot_file()?;
        if !self.remember_keys(&mut writer, goes_on)? || !self.remember_elements(&mut writer, goes_on)? {
            return Ok(None);
        }
        let (values, bytes) = writer.finish()?;
        let duration = self.store.monotonic().saturating_sub(began);
        let remembering = Remembering { values, bytes, duration };
        self.warmth.status.lock().file = remembering;
        Ok(Some(remembering))
    }

    fn remember_keys(&self, writer: &mut HotWriter, goes_on: &mut dyn FnMut() -> bool) -> io::Result<bool> {
        for database in &self.bound.databases {
            let keydir = database.load_full();
            // Shard by shard, since names of keys follow each other so.
            for shard in 0..if keydir.keys() > 0 { SHARDS } else { 0 } {
                let (mut met, mut next) = (Met::default(), Some(0));
                while let Some(from) = next {
                    if !goes_on() {
                        return Ok(false);
                    }
                    let mut looked_at = 0;
                    next = keydir.walk(shard, from, |entry| {
                        met.note(entry, 0, self.hasher.hash(entry.key()));
                        step(&mut looked_at)
                    });
                }
                met.write(HotOwner::Keyspace(keydir.id), writer)?;
            }
        }
        Ok(true)
    }

    fn remember_elements(&self, writer: &mut HotWriter, goes_on: &mut dyn FnMut() -> bool) -> io::Result<bool> {
        let objects = &self.bound.objects;
        for id in (0..OBJECT_PARTS).flat_map(|part| objects.ids_from(part, 0)) {
            let Some(object) = objects.get_bound(id).filter(|object| object.has_values()) else { continue };
            let (mut met, mut next) = (Met::default(), Some(Cursor::default()));
            while let Some(from) = next {
                if !goes_on() {
                    return Ok(false);
                }
                let mut looked_at = 0;
                next = object.walk(from, |entry| {
                    met.note(entry, HINTED_VALUE_BYTES_MAX + 1, self.hasher.hash(entry.key()));
                    step(&mut looked_at)
                });
                if met.0.len() >= NAMES_MAX {
                    met.write(HotOwner::Object(id), writer)?;
                }
            }
            met.write(HotOwner::Object(id), writer)?;
        }
        Ok(true)
    }
}

impl Met {
    /// Notes an entry if its value is in memory and has so many bytes.
    fn note(&mut self, entry: &Entry, bytes_min: usize, hash: u64) {
        if entry.value().bytes().is_some_and(|value| value.len() >= bytes_min) {
            self.0.push(Remembered { name: HotName::of(hash), uses: entry.uses() });
        }
    }

    fn write(&mut self, owner: HotOwner, writer: &mut HotWriter) -> io::Result<()> {
        self.0.sort_unstable();
        // Whatever has been met twice was used as often as it was seen last or more.
        self.0.dedup_by_key(|remembered| remembered.name);
        self.0.drain(..).try_for_each(|remembered| writer.add(owner, remembered))
    }
}

/// Whether a step goes on after another entry.
fn step(looked_at: &mut usize) -> ControlFlow<()> {
    *looked_at += 1;
    if *looked_at >= STEP_ENTRIES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}
