//! Reads back the values that were in memory before a restart.
//!
//! Always true: what there is room for is read in the order of the disk, since one way over it takes hardly longer for all values
//! than for some; where there is not room for all, those that were used most come first. It is put in order for [`PLANNED_MAX`]
//! values at a time. Whatever the file says, only what is a value of today gets into memory.

use std::cmp::Reverse;
use std::io;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use super::super::Keyspace;
use super::super::collections::Object;
use super::super::entry::{Cached, Used};
use super::super::keydir::{Keydir, Slot};
use super::super::shapes::Cursor;
use super::STEP_ENTRIES_MAX;
use crate::store::{HotFile, HotName, HotOwner, Location, Remembered};

/// So many values are put into the order of the disk at once, and those of one more step: 16 MB of memory for as long as it lasts,
/// at most.
const PLANNED_MAX: usize = (1 << 20) - STEP_ENTRIES_MAX;

/// How often a value was used of late, at most.
const USES_MAX: u8 = 3;

/// So many keys are looked up together, so that they wait for memory together.
const NAMES_TOGETHER: usize = 64;

/// No more of the values in a piece are to get into memory: larger ones come alone.
const PIECE_BYTES_MAX: u64 = 256 << 10;

/// What the caller may do in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Some entries were looked at.
    Looked,
    /// A piece was read from the disk, of 256 KiB or one value.
    Read,
    /// There is no room in memory just now.
    Crowded,
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All that the file names are back, or are nobody's values any more.
    Whole,
    /// There was no more room.
    Full,
    /// The caller wanted so.
    Told,
}

/// A value that is to be read back.
struct Planned {
    location: Location,
    /// Its place among the owners, and in the two upper bits how often it was used.
    owner_and_uses: u32,
}

/// The bits of that which are the owner's.
const OWNER_BITS: u32 = 30;

enum Owner {
    Keydir(Arc<Keydir>),
    Object(Arc<Object>),
}

impl Planned {
    fn new(location: Location, owner: u32, uses: u8) -> Self {
        Self { location, owner_and_uses: u32::from(uses) << OWNER_BITS | owner }
    }

    fn owner(&self) -> usize {
        (self.owner_and_uses & ((1 << OWNER_BITS) - 1)) as usize
    }

    fn uses(&self) -> u8 {
        (self.owner_and_uses >> OWNER_BITS) as u8
    }
}

/// How often values were used at least that are read together, as there is room for all of these.
fn used_at_least(plan: &[Planned], spare: u64) -> u8 {
    let mut bytes = [0; USES_MAX as usize + 1];
    for planned in plan {
        let of_planned = u64::from(planned.location.length);
        (0..=planned.uses()).for_each(|uses| bytes[usize::from(uses)] += of_planned);
    }
    bytes.iter().position(|bytes| *bytes <= spare).map_or(USES_MAX, |uses| uses as u8)
}

struct Recall<'a> {
    keyspace: &'a Keyspace,
    goes_on: &'a mut dyn FnMut(Turn) -> bool,
    began: Duration,
    /// When the file was written, in seconds since the epoch.
    written: u32,
    plan: Vec<Planned>,
    owners: Vec<Owner>,
    buffer: Vec<u8>,
}

/// It has ended before the end, or the disk has failed.
enum Stopped {
    Ended(Ended),
    Failed(io::Error),
}

type Step = Result<(), Stopped>;

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Keyspace {
    /// Reads back the values that were in memory before the start, as far as there is room, and as long as `goes_on` says so: it is
    /// asked after each of a few entries, and after each piece that was read. To be called by a thread that may take its time.
    ///
    /// # Errors
    /// The disk's.
    pub fn recall(&self, goes_on: &mut dyn FnMut(Turn) -> bool) -> io::Result<Ended> {
        let began = self.store.monotonic();
        self.warmth.status.lock().is_running = true;
        let ended = self.recall_from(self.store.hot_file(), began, goes_on);
        let mut status = self.warmth.status.lock();
        status.is_running = false;
        status.is_settled = !matches!(ended, Ok(Ended::Told));
        // Waiting in vain for room is no reading.
        if !matches!(ended, Ok(Ended::Full)) {
            status.duration = self.store.monotonic().saturating_sub(began);
        }
        ended
    }

    /// Says that nothing is to be read back any more, so that what is in memory may be remembered.
    pub fn settle_warmth(&self) {
        self.warmth.status.lock().is_settled = true;
    }

    /// What has become of the values that were in memory.
    pub fn warmth(&self) -> super::WarmthStatus {
        *self.warmth.status.lock()
    }

    fn recall_from(
        &self,
        file: io::Result<Option<HotFile>>,
        began: Duration,
        goes_on: &mut dyn FnMut(Turn) -> bool,
    ) -> io::Result<Ended> {
        let Some(file) = file? else { return Ok(Ended::Whole) };
        self.warmth.status.lock().named = file.names();
        let written = u32::try_from(file.written() / 1000).unwrap_or(u32::MAX);
        let (plan, owners, buffer) = (Vec::new(), Vec::new(), Vec::new());
        let mut recall = Recall { keyspace: self, goes_on, began, written, plan, owners, buffer };
        let done = if file.names() <= PLANNED_MAX as u64 {
            recall.used(0..=USES_MAX, &file)
        } else {
            (0..=USES_MAX).rev().try_for_each(|uses| recall.used(uses..=uses, &file))
        };
        match done {
            Ok(()) => Ok(Ended::Whole),
            Err(Stopped::Ended(ended)) => Ok(ended),
            Err(Stopped::Failed(error)) => Err(error),
        }
    }
}

impl Recall<'_> {
    /// Reads back all values that were used so often.
    fn used(&mut self, uses: RangeInclusive<u8>, file: &HotFile) -> Step {
        let (mut blocks, mut of_object) = (file.blocks(), None);
        while let Some(block) = blocks.next()? {
            let names = block.names().filter(|remembered| uses.contains(&remembered.uses));
            match block.owner {
                HotOwner::Keyspace(id) => self.keys(id, &names.collect::<Vec<_>>())?,
                HotOwner::Object(id) => {
                    let (last, gathered) = of_object.get_or_insert_with(|| (id, Vec::new()));
                    if *last != id || gathered.len() >= PLANNED_MAX {
                        self.elements(*last, gathered)?;
                        (*last, _) = (id, gathered.clear());
                    }
                    gathered.extend(names);
                }
            }
        }
        if let Some((id, mut gathered)) = of_object {
            self.elements(id, &mut gathered)?;
        }
        self.carry_out()
    }

    fn keys(&mut self, id: u32, names: &[Remembered]) -> Step {
        let databases = &self.keyspace.bound.databases;
        let Some(keydir) = databases.iter().map(|database| database.load_full()).find(|keydir| keydir.id == id) else {
            return Ok(());
        };
        for names in names.chunks(NAMES_TOGETHER) {
            let owner = self.owner(
                |last| matches!(last, Owner::Keydir(last) if Arc::ptr_eq(last, &keydir)),
                || Owner::Keydir(keydir.clone()),
            );
            let plan = &mut self.plan;
            keydir.find_cold(names, |uses, location| plan.push(Planned::new(location, owner, uses)));
            self.looked()?;
        }
        Ok(())
    }

    /// Looks through the elements of an object for those with these names, once for all of them.
    fn elements(&mut self, id: u64, names: &mut [Remembered]) -> Step {
        let keyspace = self.keyspace;
        let Some(object) = keyspace.bound.objects.get_bound(id).filter(|_| !names.is_empty()) else { return Ok(()) };
        names.sort_unstable();
        let mut next = Some(Cursor::default());
        while let Some(from) = next {
            let owner = self.owner(
                |last| matches!(last, Owner::Object(last) if Arc::ptr_eq(last, &object)),
                || Owner::Object(object.clone()),
            );
            let (plan, mut looked_at) = (&mut self.plan, 0);
            next = object.walk(from, |entry| {
                let is_cold = matches!(entry.value(), Cached::Cold) && !entry.is_damaged();
                let name = HotName::of(keyspace.hasher.hash(entry.key()));
                if is_cold && let Ok(at) = names.binary_search_by_key(&name, |remembered| remembered.name) {
                    plan.push(Planned::new(entry.location(), owner, names[at].uses));
                }
                looked_at += 1;
                if looked_at >= STEP_ENTRIES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            self.looked()?;
        }
        Ok(())
    }

    /// The place of an owner, which is the last one or comes behind it.
    fn owner(&mut self, is: impl Fn(&Owner) -> bool, make: impl FnOnce() -> Owner) -> u32 {
        if !self.owners.last().is_some_and(is) {
            self.owners.push(make());
        }
        self.owners.len() as u32 - 1
    }

    fn looked(&mut self) -> Step {
        if !(self.goes_on)(Turn::Looked) {
            return Err(Stopped::Ended(Ended::Told));
        }
        if self.plan.len() + self.owners.len() >= PLANNED_MAX { self.carry_out() } else { Ok(()) }
    }

    /// Reads what is planned.
    fn carry_out(&mut self) -> Step {
        let mut plan = std::mem::take(&mut self.plan);
        while !plan.is_empty() && self.keyspace.memory.spare() == 0 {
            // Perhaps nobody has looked yet how much there is.
            if !(self.goes_on)(Turn::Crowded) {
                return Err(Stopped::Ended(Ended::Full));
            }
        }
        let together = used_at_least(&plan, self.keyspace.memory.spare());
        plan.sort_unstable_by_key(|planned| (Reverse(planned.uses().min(together)), planned.location));
        let mut rest = &plan[..];
        while let Some(first) = rest.first() {
            let memory = &self.keyspace.memory;
            let (spare, mut bytes) = (memory.spare(), 0);
            let fitting = rest.iter().take_while(|planned| {
                let is_first = bytes == 0;
                bytes += u64::from(planned.location.length);
                bytes <= if is_first { spare } else { spare.min(PIECE_BYTES_MAX) }
            });
            let count = fitting.count();
            if count > 0 {
                let done = self.read(&rest[..count])?;
                rest = &rest[done..];
                if !(self.goes_on)(Turn::Read) {
                    return Err(Stopped::Ended(Ended::Told));
                }
            } else if spare >= PIECE_BYTES_MAX {
                // This one is too large, and others are not.
                rest = &rest[1..];
                debug_assert!(u64::from(first.location.length) > spare);
            } else if !(self.goes_on)(Turn::Crowded) {
                return Err(Stopped::Ended(Ended::Full));
            }
        }
        plan.clear();
        // The room is used again.
        self.plan = plan;
        self.owners.clear();
        Ok(())
    }

    /// Reads a piece; returns how many values stood in it.
    fn read(&mut self, planned: &[Planned]) -> io::Result<usize> {
        let (keyspace, owners, written) = (self.keyspace, &self.owners, self.written);
        let (mut values, mut bytes) = (0, 0);
        let visit = |number: usize, record: &crate::store::Record<'_>| {
            let planned = &planned[number];
            let (location, was) = (planned.location, Used { at: written, uses: planned.uses() });
            let is_back = match &owners[planned.owner()] {
                Owner::Keydir(keydir) => {
                    let slot = Slot::of_key(&keyspace.hasher, record.key);
                    keydir.bring_back(&slot, record.key, location, record.value, was)
                }
                Owner::Object(object) => {
                    keyspace.bound.objects.bring_back(object, record.key, location, record.value, was)
                }
            };
            if is_back {
                keyspace.memory.spend(u64::from(location.length));
                (values, bytes) = (values + 1, bytes + u64::from(location.length));
            }
        };
        let done = keyspace.store.read_ahead(planned, |planned| planned.location, &mut self.buffer, visit)?;
        let mut status = keyspace.warmth.status.lock();
        status.values += values;
        status.bytes += bytes;
        status.duration = keyspace.store.monotonic().saturating_sub(self.began);
        Ok(done)
    }
}
