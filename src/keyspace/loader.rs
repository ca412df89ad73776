//! Rebuilds the keydirs from the log's records.
//!
//! Always true: the records of a key arrive in the order of their sequence numbers, so the last one of a slot is its
//! newest; an Expire or a Move record changes a key that its value's record has made before; values stay on the disk
//! until asked for. A partition's shards are changed by the one thread that has its records, and by nobody else.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use parking_lot::Mutex;

use super::collections::{LoadedElement, Objects};
use super::deadlines::Alarm;
use super::entry::Meta;
use super::keydir::{Bulk, Keydir, Slot};
use crate::store::{Beginning, Count, DATABASES_MAX, Hinted, KeyHasher, Location, Op, Records, Replay};
use crate::types::kind::Kind;

/// Databases are bound to the keyspace of their own number until they are bound to another: ids that are given out
/// later begin here.
pub(super) const FIRST_FREE_ID: u32 = DATABASES_MAX;

/// Nobody has emptied databases so often that a higher id was given out.
const GIVEN_ID_MAX: u32 = u32::MAX / 2;

/// Takes in what the log says.
pub(super) struct Loader {
    hasher: Option<KeyHasher>,
    bindings: HashMap<u32, u32>,
    bound: HashSet<u32>,
    keydirs: Mutex<HashMap<u32, Arc<Keydir>>>,
    /// The ids of the segments, in rising order, and the values of each that something refers to.
    segments: Vec<u32>,
    live: Mutex<Vec<Count>>,
    moved: AtomicBool,
    objects: Objects,
    alarm: Arc<Alarm>,
    /// The keys whose values are objects are known.
    rooted: Once,
    /// The highest id of a keyspace that a record is of, those left out that nobody can have given out.
    highest: AtomicU32,
}

/// What the log said.
pub(super) struct Loaded {
    /// The keydir that each database is bound to.
    pub databases: HashMap<u32, Arc<Keydir>>,
    /// The first id of a keyspace that was never used.
    pub next_id: u32,
    /// The values of each segment that something refers to.
    pub live: Vec<(u32, Count)>,
    /// A key has moved from one keyspace to another.
    pub moved: bool,
    /// Large collections.
    pub objects: Objects,
    /// What tells of the earliest deadlines of all of these.
    pub alarm: Arc<Alarm>,
    /// The keys of hashes that have lost their last field by its deadline, with the ids of their keyspaces: none of them is a
    /// key any more, which the log does not say yet.
    pub over: Vec<(u32, Box<[u8]>)>,
}

impl Loader {
    /// What everything came to; up to so many threads work on it.
    pub(super) fn finish(mut self, hasher: &KeyHasher, threads: usize) -> Loaded {
        let keydirs = std::mem::take(&mut *self.keydirs.lock());
        let (bound, unbound): (HashMap<_, _>, HashMap<_, _>) =
            keydirs.into_iter().partition(|(id, _)| self.is_bound(*id));
        let mut live = Live::new(&self.segments);
        for keydir in unbound.values() {
            keydir.each(|before| live.retire(before.meta.location));
        }
        let over = self.settle_objects(&bound, hasher, &mut live);
        live.add_to(&mut self.live.lock());
        bound.values().for_each(|keydir| keydir.settle_deadlines(threads));
        let mut bindings = std::mem::take(&mut self.bindings);
        for id in bound.keys().copied().filter(|id| *id < FIRST_FREE_ID) {
            bindings.entry(id).or_insert(id);
        }
        // Where a binding was lost, there are keys of a keyspace that no database is bound to: they must not come back.
        let known = self.highest.load(Relaxed).saturating_add(1).max(FIRST_FREE_ID);
        let next_id = bindings.values().map(|id| id + 1).fold(known, u32::max);
        let keydir = |id| bound.get(&id).cloned().unwrap_or_else(|| Arc::new(self.new_keydir(id, hasher)));
        let databases = bindings.into_iter().map(|(database, id)| (database, keydir(id))).collect();
        let live = self.segments.iter().copied().zip(self.live.into_inner()).collect();
        Loaded {
            databases,
            next_id,
            live,
            moved: self.moved.into_inner(),
            objects: self.objects,
            alarm: self.alarm,
            over,
        }
    }

    /// Whether a database is bound to a keyspace in the end: one that is not is dead with all its keys.
    fn is_bound(&self, id: u32) -> bool {
        self.bound.contains(&id) || id < FIRST_FREE_ID && !self.bindings.contains_key(&id)
    }

    /// Counts memory and deadlines of the objects. A hash that has lost its last field by its deadline is no key any more;
    /// returns the keys of those.
    fn settle_objects(
        &self,
        bound: &HashMap<u32, Arc<Keydir>>,
        hasher: &KeyHasher,
        live: &mut Live<'_>,
    ) -> Vec<(u32, Box<[u8]>)> {
        let (mut empty, mut shared) = (Vec::new(), HashSet::new());
        self.objects.each(|object, binds| match binds {
            1 if object.is_empty() => empty.extend(object.home()),
            2.. if object.is_empty() => _ = shared.insert(object.id),
            _ => {}
        });
        // No server writes a log in which one is the value of two keys, but a log that was made up may say so.
        for keydir in bound.values().filter(|_| !shared.is_empty()) {
            keydir.each_root(|key, object| {
                if shared.contains(&object) {
                    empty.push((keydir.id, key.into()));
                }
            });
        }
        empty.retain(|(keydir, _)| bound.contains_key(keydir));
        for (keydir, key) in &empty {
            let Some(keydir) = bound.get(keydir) else { continue };
            if let Some(before) = keydir.remove_if(&Slot::of_key(hasher, key), key, |_| true) {
                live.retire(before.meta.location);
                before.object.into_iter().for_each(|object| self.objects.unbind(object));
            }
        }
        self.objects.remove_unbound();
        self.objects.settle();
        empty
    }

    /// Binds the objects whose elements follow to the keys whose values they are.
    fn root(&self) {
        for keydir in self.keydirs.lock().values().filter(|keydir| self.is_bound(keydir.id)) {
            keydir.each_root(|key, object| self.objects.bind(object, keydir.id, key));
        }
    }

    fn keydir(&self, hasher: &KeyHasher, id: u32) -> Arc<Keydir> {
        self.keydirs.lock().entry(id).or_insert_with(|| Arc::new(self.new_keydir(id, hasher))).clone()
    }

    fn new_keydir(&self, id: u32, hasher: &KeyHasher) -> Keydir {
        Keydir::new(id, hasher.clone(), self.alarm.clone())
    }
}

impl Default for Loader {
    fn default() -> Self {
        let alarm = Arc::<Alarm>::default();
        Self {
            hasher: None,
            bindings: HashMap::new(),
            bound: HashSet::new(),
            keydirs: Mutex::default(),
            segments: Vec::new(),
            live: Mutex::default(),
            moved: AtomicBool::new(false),
            objects: Objects::new(0, alarm.clone()),
            alarm,
            rooted: Once::new(),
            highest: AtomicU32::new(0),
        }
    }
}

impl Replay for Loader {
    fn begin(&mut self, beginning: &Beginning<'_>) {
        self.hasher = Some(beginning.hasher.clone());
        self.bindings = beginning.bindings.iter().copied().collect();
        self.bound = self.bindings.values().copied().collect();
        self.segments = beginning.segments.to_vec();
        self.live = Mutex::new(vec![Count::default(); self.segments.len()]);
    }

    fn partition(&self, partition: usize, records: Records<'_>) {
        let hasher = self.hasher.as_ref().expect("the log begins before its first partition");
        // What moves out of a keyspace was there before, bound or not.
        let moving = records.sources();
        if !moving.is_empty() {
            self.moved.store(true, Relaxed);
        }
        let ids = records.keyspaces().map(|(id, _)| id).chain(moving.iter().copied());
        let highest = ids.filter(|id| *id <= GIVEN_ID_MAX).max();
        self.highest.fetch_max(highest.unwrap_or(0), Relaxed);
        let wanted = |id: u32| self.is_bound(id) || moving.contains(&id);
        let keydirs: Vec<(Arc<Keydir>, usize)> = records
            .keyspaces()
            .filter(|(id, puts)| wanted(*id) && (*puts > 0 || !moving.is_empty()))
            .map(|(id, puts)| (self.keydir(hasher, id), puts))
            .collect();
        let all = keydirs.iter().map(|(keydir, puts)| (keydir.id, keydir.bulk(partition, *puts))).collect();
        let (bulks, live) = (Bulks { all, last: 0 }, Live::new(&self.segments));
        let mut part = Part { hasher, objects: &self.objects, bulks, live };
        records.for_each(|(segment, record)| part.apply(segment, &record));
        part.bulks.all.into_iter().for_each(|(_, bulk)| bulk.finish());
        part.live.add_to(&mut self.live.lock());
    }

    fn elements(&self, _: usize, records: Records<'_>) {
        self.rooted.call_once(|| self.root());
        let mut live = Live::new(&self.segments);
        let mut last = None;
        records.for_each(|(segment, record)| {
            let Some(id) = record.object else { return };
            if last.as_ref().is_none_or(|(last, _)| *last != id) {
                // The elements of what is nobody's value are dead.
                last = Some((id, self.objects.get_bound(id)));
            }
            let Some((_, Some(object))) = &last else { return };
            let location = Location { segment, offset: record.offset, length: record.length };
            let before = if record.op == Op::SetElement {
                live.place(location);
                let (kind, expiry, value) = (record.kind, record.expiry, record.value);
                let loaded = LoadedElement { location, kind, expiry, value, damaged: record.damaged };
                object.load(record.key, &loaded)
            } else {
                object.unload(record.key)
            };
            before.into_iter().for_each(|location| live.retire(location));
        });
        live.add_to(&mut self.live.lock());
    }
}

/// One partition of all keydirs.
struct Part<'a> {
    hasher: &'a KeyHasher,
    objects: &'a Objects,
    bulks: Bulks<'a>,
    live: Live<'a>,
}

impl Part<'_> {
    #[inline]
    fn apply(&mut self, segment: u32, record: &Hinted<'_>) {
        if record.op == Op::Move {
            return self.apply_move(record);
        }
        let Some(bulk) = self.bulks.of(record.keyspace) else { return };
        let slot = Slot::of_key(self.hasher, record.key);
        match record.op {
            Op::Put => {
                let location = Location { segment, offset: record.offset, length: record.length };
                let meta = Meta { location, kind: record.kind, expiry: record.expiry };
                if let Some(object) = record.object {
                    self.objects.insert(object, Kind(record.kind).of(), self.hasher);
                }
                if let Some(before) = bulk.put(&slot, record.key, &meta, record.object) {
                    self.live.retire(before);
                }
                if record.damaged {
                    bulk.set_damaged(&slot, record.key);
                }
                self.live.place(location);
            }
            Op::Delete => {
                if let Some(before) = bulk.take_out(&slot, record.key) {
                    self.live.retire(before.location());
                }
            }
            Op::Expire => bulk.set_expiry(&slot, record.key, record.expiry),
            // The others concern no key.
            Op::Move | Op::Bind | Op::Mark | Op::Seal | Op::SetElement | Op::RemoveElement => {}
        }
    }

    /// What the key is in one keyspace it becomes in the other; where it is not there, it is in neither.
    fn apply_move(&mut self, record: &Hinted<'_>) {
        let slot = Slot::of_key(self.hasher, record.key);
        let moved = self.bulks.of(record.source).and_then(|source| source.take_out(&slot, record.key));
        let before = match (moved, self.bulks.of(record.keyspace)) {
            (Some(entry), Some(target)) => target.put_in(&slot, entry, record.expiry),
            (None, Some(target)) => target.take_out(&slot, record.key).map(|entry| entry.location()),
            // Nobody can ask for it there.
            (Some(entry), None) => Some(entry.location()),
            (None, None) => None,
        };
        before.into_iter().for_each(|location| self.live.retire(location));
    }
}

/// The keydirs that records are about.
struct Bulks<'a> {
    all: Vec<(u32, Bulk<'a>)>,
    /// Which of them was asked for last.
    last: usize,
}

impl<'a> Bulks<'a> {
    #[inline]
    fn of(&mut self, keyspace: u32) -> Option<&mut Bulk<'a>> {
        if self.all.get(self.last).is_none_or(|(id, _)| *id != keyspace) {
            self.last = self.all.iter().position(|(id, _)| *id == keyspace)?;
        }
        Some(&mut self.all[self.last].1)
    }
}

/// Counts, for each segment, the values that something refers to.
struct Live<'a> {
    segments: &'a [u32],
    /// Records and bytes that came less those that went.
    counts: Vec<(i64, i64)>,
    last: usize,
}

impl<'a> Live<'a> {
    fn new(segments: &'a [u32]) -> Self {
        Self { segments, counts: vec![(0, 0); segments.len()], last: 0 }
    }

    #[inline]
    fn place(&mut self, location: Location) {
        let (records, bytes) = self.of(location.segment);
        (*records, *bytes) = (*records + 1, *bytes + i64::from(location.length));
    }

    #[inline]
    fn retire(&mut self, location: Location) {
        let (records, bytes) = self.of(location.segment);
        (*records, *bytes) = (*records - 1, *bytes - i64::from(location.length));
    }

    #[inline]
    fn of(&mut self, segment: u32) -> &mut (i64, i64) {
        if self.segments[self.last] != segment {
            self.last = self.segments.binary_search(&segment).expect("a location is in a segment that was told of");
        }
        &mut self.counts[self.last]
    }

    fn add_to(self, sums: &mut [Count]) {
        for (sum, (records, bytes)) in sums.iter_mut().zip(self.counts) {
            sum.records = sum.records.wrapping_add_signed(records);
            sum.bytes = sum.bytes.wrapping_add_signed(bytes);
        }
    }
}
