//! All objects by their ids, and what becomes of those that are nobody's value any more.
//!
//! Always true: an object is here from before its first record is in the log until no key's value is it any more; whoever
//! replaces or removes such a value pays the same whatever its size: its elements are taken apart by a thread of its own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::thread::Builder;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::super::deadlines::{Alarm, Deadlines, NameBytes};
use super::super::entry::{Cached, Used};
use super::super::footprint::{Footprint, Footprints};
use super::super::hand::Step;
use super::super::memory::Room;
use super::super::shapes::Cursor;
use super::object::Object;
use crate::store::{KeyHasher, Location, Store, let_others_go_first};
use crate::types::kind::Type;

/// How many parts the table is split into, so that commands seldom meet.
pub(in crate::keyspace) const OBJECT_PARTS: usize = 64;

/// An object with more elements than this is taken apart by a thread of its own.
const DISSOLVE_INLINE_ELEMENTS_MAX: usize = 256;

/// How nice that thread is.
const DISSOLVING_NICENESS: i32 = 10;

/// See the module.
pub(in crate::keyspace) struct Objects {
    parts: Box<[RwLock<Part>]>,
    next: AtomicU64,
    /// What all objects take.
    footprints: Arc<Footprints>,
    /// The earliest deadline of each object's fields, with its id.
    deadlines: Deadlines,
    /// A field of any has had a deadline: only then is any looked for.
    have_deadlines: AtomicBool,
    dissolving: Mutex<Option<Sender<Doomed>>>,
    reclaimed: Arc<Reclaimed>,
}

/// Large collections that were deleted: how many wait to be taken apart, and how many were.
#[derive(Default)]
struct Reclaimed {
    pending: AtomicUsize,
    done: AtomicU64,
}

type Part = HashMap<u64, Held, foldhash::fast::RandomState>;

struct Held {
    object: Arc<Object>,
    /// How many keys' values it is: while a key gets another name, two.
    binds: usize,
}

/// An object that is to be taken apart.
struct Doomed {
    object: Arc<Object>,
    store: Arc<Store>,
    footprints: Arc<Footprints>,
}

impl Objects {
    /// None; ids begin at `first`. The alarm is told of the earliest deadlines of fields.
    pub(in crate::keyspace) fn new(first: u64, alarm: Arc<Alarm>) -> Self {
        Self {
            parts: (0..OBJECT_PARTS).map(|_| RwLock::default()).collect(),
            next: AtomicU64::new(first),
            footprints: Arc::default(),
            deadlines: Deadlines::new(NameBytes::Eight, alarm),
            have_deadlines: AtomicBool::new(false),
            dissolving: Mutex::default(),
            reclaimed: Arc::default(),
        }
    }

    /// Begins the ids at `first`.
    pub(in crate::keyspace) fn begin_ids(&self, first: u64) {
        self.next.store(first, Relaxed);
    }

    /// A new object without elements.
    pub(in crate::keyspace) fn create(&self, of: Type, hasher: &KeyHasher) -> Arc<Object> {
        self.insert(self.next.fetch_add(1, Relaxed), of, hasher)
    }

    /// The object with this id, which is made if there is none.
    pub(in crate::keyspace) fn insert(&self, id: u64, of: Type, hasher: &KeyHasher) -> Arc<Object> {
        let mut part = self.part(id).write();
        let held = part.entry(id).or_insert_with(|| {
            let object = Arc::new(Object::new(id, of, hasher));
            object.count_in(&self.footprints);
            Held { object, binds: 0 }
        });
        held.object.clone()
    }

    #[inline]
    pub(in crate::keyspace) fn get(&self, id: u64) -> Option<Arc<Object>> {
        self.part(id).read().get(&id).map(|held| held.object.clone())
    }

    /// The object with this id, if it is the value of a key.
    pub(in crate::keyspace) fn get_bound(&self, id: u64) -> Option<Arc<Object>> {
        self.part(id).read().get(&id).filter(|held| held.binds > 0).map(|held| held.object.clone())
    }

    /// Forgets the objects that are nobody's value.
    pub(in crate::keyspace) fn remove_unbound(&self) {
        self.parts.iter().for_each(|part| part.write().retain(|_, held| held.binds > 0));
    }

    /// Says that the object is the value of a key.
    pub(in crate::keyspace) fn bind(&self, id: u64, keydir: u32, key: &[u8]) {
        let mut part = self.part(id).write();
        let Some(held) = part.get_mut(&id) else { return };
        held.binds += 1;
        held.object.set_home(keydir, key);
    }

    /// Says whose value the object is now.
    pub(in crate::keyspace) fn set_home(&self, id: u64, keydir: u32, key: &[u8]) {
        if let Some(object) = self.get(id) {
            object.set_home(keydir, key);
        }
    }

    /// Says that a key's value is not the object any more; [`Objects::let_go`] then sees whether any is.
    pub(in crate::keyspace) fn unbind(&self, id: u64) {
        if let Some(held) = self.part(id).write().get_mut(&id) {
            held.binds = held.binds.saturating_sub(1);
        }
    }

    /// Lets the object go if it is nobody's value.
    pub(in crate::keyspace) fn let_go(&self, id: u64, store: &Arc<Store>) {
        let object = {
            let mut part = self.part(id).write();
            match part.get(&id) {
                Some(held) if held.binds == 0 => part.remove(&id).map(|held| held.object),
                _ => None,
            }
        };
        let Some(object) = object else { return };
        if let Some(deadline) = object.earliest_deadline() {
            self.deadlines.change(id, Some(deadline), None);
        }
        let doomed = Doomed { object, store: store.clone(), footprints: self.footprints.clone() };
        if doomed.object.len() <= DISSOLVE_INLINE_ELEMENTS_MAX {
            return doomed.dissolve();
        }
        self.dissolve_apart(doomed);
    }

    /// Notes that an object takes another number of bytes, and has other deadlines: the earliest was `before`.
    pub(super) fn changed(&self, object: &Object, before: Option<u64>) {
        let after = object.count_in(&self.footprints);
        self.deadline_changed(object.id, before, after);
    }

    /// Notes that the earliest deadline of an object's fields is another one.
    pub(super) fn deadline_changed(&self, id: u64, before: Option<u64>, after: Option<u64>) {
        if before != after {
            self.have_deadlines.store(true, Relaxed);
            self.deadlines.change(id, before, after);
        }
    }

    /// What all objects are counted in.
    pub(super) fn counter(&self) -> &Footprints {
        &self.footprints
    }

    /// Notes that the value of an element was read from the log, and puts it into memory as far as there is `room`, if the element's
    /// record is still the one it was read from.
    pub(in crate::keyspace) fn warm(
        &self,
        object: &Object,
        name: &[u8],
        from: Location,
        value: &Bytes,
        room: Room,
        now: u32,
    ) {
        let before = object.earliest_deadline();
        object.change_at(name, from, |entry| {
            if matches!(entry.value(), Cached::Cold) && !entry.is_damaged() {
                entry.warm(value, room, now);
            }
        });
        self.changed(object, before);
    }

    /// The same with a value that counts as used as it `was`. Returns whether it is in memory by that.
    pub(in crate::keyspace) fn bring_back(
        &self,
        object: &Object,
        name: &[u8],
        from: Location,
        value: &[u8],
        was: Used,
    ) -> bool {
        let mut is_back = false;
        object.change_at(name, from, |entry| is_back = entry.bring_back(from, value, was));
        // No deadline is another one by it.
        object.count_in(&self.footprints);
        is_back
    }

    /// Up to `limit` objects with fields whose time is over at `now`.
    pub(in crate::keyspace) fn due(&self, now: u64, limit: usize) -> Vec<(u64, u64)> {
        self.deadlines.due(now, limit)
    }

    /// The hashes of a keydir of which nothing is left at `now`.
    pub(in crate::keyspace) fn over_in(&self, keydir: u32, now: u64) -> HashSet<Box<[u8]>> {
        let due = if self.deadlines.earliest().is_some_and(|deadline| deadline <= now) {
            self.deadlines.due(now, usize::MAX)
        } else {
            Vec::new()
        };
        let over = due.into_iter().filter_map(|(_, id)| self.get_bound(id)).filter(|object| object.is_over(now));
        over.filter_map(|object| object.home()).filter(|home| home.0 == keydir).map(|home| home.1).collect()
    }

    /// Forgets a deadline that no field has any more.
    pub(in crate::keyspace) fn forget_deadline(&self, id: u64, deadline: u64) {
        self.deadlines.change(id, Some(deadline), None);
    }

    /// Whether any field may have a deadline.
    pub(super) fn have_deadlines(&self) -> bool {
        self.have_deadlines.load(Relaxed)
    }

    /// The earliest deadline of any field.
    pub(in crate::keyspace) fn earliest_deadline(&self) -> Option<u64> {
        self.deadlines.earliest()
    }

    /// What all objects take in memory.
    pub(in crate::keyspace) fn footprint(&self) -> Footprint {
        self.footprints.sum()
    }

    /// Large collections that were deleted: how many are still to be taken apart in the background, and how many have been.
    pub(in crate::keyspace) fn reclaimed(&self) -> (usize, u64) {
        (self.reclaimed.pending.load(Relaxed), self.reclaimed.done.load(Relaxed))
    }

    /// Counts those that have been taken apart from 0 again.
    pub(in crate::keyspace) fn reset_reclaimed(&self) {
        self.reclaimed.done.store(0, Relaxed);
    }

    /// The ids in a part of the table, from this one on, the lowest last.
    pub(in crate::keyspace) fn ids_from(&self, part: usize, from: u64) -> Vec<u64> {
        let mut ids: Vec<u64> = self.parts[part].read().keys().copied().filter(|id| *id >= from).collect();
        ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
        ids
    }

    /// Lets the hand take a step through an object, from where it has come to. Returns where it goes on, nothing at the end.
    pub(in crate::keyspace) fn sweep(&self, id: u64, from: Cursor, step: &mut Step<'_>) -> Option<Cursor> {
        let object = self.get(id)?;
        let next = object.sweep(from, step);
        object.count_in(&self.footprints);
        next
    }

    /// All objects with the numbers of keys whose values they are.
    pub(in crate::keyspace) fn each(&self, mut visit: impl FnMut(&Arc<Object>, usize)) {
        for part in &self.parts {
            part.read().values().for_each(|held| visit(&held.object, held.binds));
        }
    }

    /// Counts the memory and the deadlines of all objects anew, after they were loaded.
    pub(in crate::keyspace) fn settle(&self) {
        self.footprints.replace(Footprint::default());
        self.each(|object, _| {
            object.count_as(Footprint::default(), &Footprints::default());
            object.count_in(&self.footprints);
            if let Some(deadline) = object.earliest_deadline() {
                self.have_deadlines.store(true, Relaxed);
                self.deadlines.change(object.id, None, Some(deadline));
            }
        });
    }

    fn dissolve_apart(&self, doomed: Doomed) {
        self.reclaimed.pending.fetch_add(1, Relaxed);
        let mut dissolving = self.dissolving.lock();
        if dissolving.is_none() {
            let (sender, doomed) = channel::<Doomed>();
            let reclaimed = self.reclaimed.clone();
            let work = move || {
                // The answer to whoever has let it go comes first.
                let_others_go_first(DISSOLVING_NICENESS);
                for doomed in doomed {
                    doomed.dissolve();
                    reclaimed.count();
                }
            };
            // It ends with this table, which has the only sender.
            *dissolving = Builder::new().name("caskade-reclaim".into()).spawn(work).ok().map(|_| sender);
        }
        let left = match dissolving.as_ref() {
            Some(sender) => sender.send(doomed).err().map(|unsent| unsent.0),
            None => Some(doomed),
        };
        drop(dissolving);
        if let Some(left) = left {
            left.dissolve();
            self.reclaimed.count();
        }
    }

    fn part(&self, id: u64) -> &RwLock<Part> {
        &self.parts[id as usize % OBJECT_PARTS]
    }
}

impl Reclaimed {
    fn count(&self) {
        self.pending.fetch_sub(1, Relaxed);
        self.done.fetch_add(1, Relaxed);
    }
}

impl Doomed {
    fn dissolve(self) {
        self.object.dissolve(&self.footprints, |location| self.store.retire(location));
    }
}
