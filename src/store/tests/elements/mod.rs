//! Elements of objects in a store, for an index that knows no more of them than that they are there.

mod compaction;
mod random;
mod reading;
mod repair;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::store::inspect::{Inspection, What};
use crate::store::{Batch, Count, Index, Look};

const START: u64 = 1_700_000_000_000;

/// What a key is, or an element.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    at: Location,
    expiry: Option<u64>,
    /// The object that holds the elements of a key's value.
    object: Option<u64>,
    /// The value that the hint told.
    told: Option<Vec<u8>>,
    damaged: bool,
}

/// An object and the name of an element.
type Name = (u64, Vec<u8>);

/// Where everything is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    keys: BTreeMap<Vec<u8>, Entry>,
    elements: BTreeMap<Name, Entry>,
}

impl State {
    fn is_alive(&self, object: u64) -> bool {
        self.keys.values().any(|entry| entry.object == Some(object))
    }

    /// Of each segment, the values that something refers to.
    fn live(&self) -> BTreeMap<u32, Count> {
        let mut live: BTreeMap<u32, Count> = BTreeMap::new();
        for entry in self.keys.values().chain(self.elements.values()) {
            live.entry(entry.at.segment).or_default().add(Count::one(entry.at.length));
        }
        live
    }
}

/// The index.
#[derive(Default)]
struct Known {
    state: Mutex<State>,
    /// Somebody is in the middle of a change to every object.
    unsettled: AtomicBool,
    segments: Vec<u32>,
}

impl Replay for Known {
    fn begin(&mut self, beginning: &Beginning<'_>) {
        self.segments = beginning.segments.to_vec();
    }

    fn partition(&self, _: usize, records: Records<'_>) {
        for (segment, record) in records {
            let (key, mut state) = (record.key.to_vec(), self.state.lock());
            match record.op {
                Op::Put => _ = state.keys.insert(key, entry(segment, &record)),
                Op::Delete => _ = state.keys.remove(&key),
                Op::Expire => state.keys.get_mut(&key).into_iter().for_each(|entry| entry.expiry = record.expiry),
                op => panic!("{op:?} of a key"),
            }
        }
    }

    fn elements(&self, _: usize, records: Records<'_>) {
        for (segment, record) in records {
            let object = record.element_of().unwrap();
            let (name, mut state) = ((object, record.key.to_vec()), self.state.lock());
            match record.op {
                _ if !state.is_alive(object) => {}
                Op::SetElement => _ = state.elements.insert(name, entry(segment, &record)),
                Op::RemoveElement => _ = state.elements.remove(&name),
                op => panic!("{op:?} of an element"),
            }
        }
    }
}

fn entry(segment: u32, record: &Hinted<'_>) -> Entry {
    let Hinted { expiry, offset, length, value, damaged, .. } = *record;
    let at = Location { segment, offset, length };
    let object = record.object.filter(|_| record.op == Op::Put);
    Entry { at, expiry, object, told: value.map(<[u8]>::to_vec), damaged }
}

impl Index for Known {
    fn prefetch(&self, _: u32, hashes: &[u64]) {
        assert!(!hashes.is_empty());
    }

    fn look(&self, _: u32, _: u64, key: &[u8], at: Location) -> Look {
        look(self.state.lock().keys.get(key), at)
    }

    fn places(&self, _: u64, key: &[u8]) -> Vec<Location> {
        self.state.lock().keys.get(key).map(|entry| entry.at).into_iter().collect()
    }

    fn relocate(&self, _: u32, _: u64, key: &[u8], from: Location, to: Location) -> bool {
        relocate(self.state.lock().keys.get_mut(key), from, to)
    }

    fn look_element(&self, object: u64, name: &[u8], at: Location) -> Look {
        let state = self.state.lock();
        if !state.is_alive(object) {
            return Look::Unbound;
        }
        match look(state.elements.get(&(object, name.to_vec())), at) {
            Look::Elsewhere(_) | Look::Absent if self.unsettled.load(Ordering::Relaxed) => Look::Unsettled,
            look => look,
        }
    }

    fn relocate_element(&self, object: u64, name: &[u8], from: Location, to: Location) -> bool {
        relocate(self.state.lock().elements.get_mut(&(object, name.to_vec())), from, to)
    }

    fn is_up_to_date(&self) -> bool {
        // There is one thread.
        true
    }

    fn binding(&self, database: u32) -> Option<u32> {
        Some(database)
    }
}

fn look(entry: Option<&Entry>, at: Location) -> Look {
    match entry {
        Some(entry) if entry.at == at => Look::Here,
        Some(entry) => Look::Elsewhere(entry.expiry),
        None => Look::Absent,
    }
}

fn relocate(entry: Option<&mut Entry>, from: Location, to: Location) -> bool {
    entry.filter(|entry| entry.at == from).map(|entry| entry.at = to).is_some()
}

/// A store with its index.
struct Collections {
    disk: SimDisk,
    store: Store,
    clock: Arc<TestClock>,
    known: Known,
    recovered: Recovered,
}

impl Collections {
    fn open(disk: &SimDisk, now: u64) -> Result<Self, OpenError> {
        let (clock, mut known) = (Arc::new(TestClock::new(now)), Known::default());
        let segment_size = SegmentSize::Fixed(4096);
        let options = Options { fsync: Fsync::Everysec, segment_size, load_threads: 2, ..Options::default() };
        let (store, recovered) =
            Store::open(Arc::new(disk.clone()), clock.clone(), options, &mut known, &mut |_, _| {})?;
        let live = known.state.lock().live();
        for segment in &known.segments {
            store.set_live(*segment, live.get(segment).copied().unwrap_or_default());
        }
        Ok(Self { disk: disk.clone(), store, clock, known, recovered })
    }

    fn new() -> Self {
        Self::open(&SimDisk::new(), START).unwrap()
    }

    /// As a process finds it that is started after this one was killed.
    fn again(&self) -> Self {
        self.store.sync().unwrap();
        Self::open(&self.disk.after_kill(), self.store.now()).unwrap()
    }

    fn append(&self, draft: &Draft<'_>) -> Location {
        let appended = self.store.append(draft).unwrap();
        self.store.wait_acknowledged(appended.end).unwrap();
        appended.location
    }

    fn retire(&self, entry: Option<Entry>) {
        entry.into_iter().for_each(|entry| self.store.retire(entry.at));
    }

    /// Sets a key to a value, or to an object.
    fn put(&self, key: &[u8], value: &[u8], object: Option<u64>, expiry: Option<u64>) -> Location {
        let at = self.append(&Draft { object, expiry, ..Draft::put(0, 16, key, value) });
        let entry = Entry { at, expiry, object, told: None, damaged: false };
        let before = self.known.state.lock().keys.insert(key.to_vec(), entry);
        self.forget(before.as_ref());
        self.retire(before);
        at
    }

    fn root(&self, key: &[u8], object: u64) {
        self.put(key, b"", Some(object), None);
    }

    fn delete(&self, key: &[u8]) {
        self.append(&Draft::delete(0, key));
        let before = self.known.state.lock().keys.remove(key);
        self.forget(before.as_ref());
        self.retire(before);
    }

    /// Gives an object another key, at once.
    fn rename(&self, from: &[u8], to: &[u8]) {
        let object = self.known.state.lock().keys[from].object;
        let mut batch = Batch::new();
        let root = batch.push(&Draft { object, ..Draft::put(0, 16, to, b"") });
        batch.push(&Draft::delete(0, from));
        let appended = self.store.append_batch(&mut batch).unwrap();
        self.store.wait_acknowledged(appended.end).unwrap();
        let entry = Entry { at: batch.location(root), expiry: None, object, told: None, damaged: false };
        let (gone, before) = {
            let mut state = self.known.state.lock();
            (state.keys.remove(from), state.keys.insert(to.to_vec(), entry))
        };
        self.forget(before.as_ref());
        self.retire(gone);
        self.retire(before);
    }

    /// Drops the elements of what a key was, if nothing names it any more.
    fn forget(&self, key: Option<&Entry>) {
        let Some(object) = key.and_then(|entry| entry.object) else { return };
        let mut state = self.known.state.lock();
        if state.is_alive(object) {
            return;
        }
        let (gone, left) = std::mem::take(&mut state.elements).into_iter().partition(|((of, _), _)| *of == object);
        state.elements = left;
        let gone: BTreeMap<Name, Entry> = gone;
        gone.into_values().for_each(|entry| self.store.retire(entry.at));
    }

    fn set(&self, object: u64, name: &[u8], value: &[u8], expiry: Option<u64>) -> Location {
        let at = self.append(&Draft::set_element(object, 32, name, value, expiry));
        let entry = Entry { at, expiry, object: None, told: None, damaged: false };
        let before = self.known.state.lock().elements.insert((object, name.to_vec()), entry);
        self.retire(before);
        at
    }

    fn remove(&self, object: u64, name: &[u8]) {
        self.append(&Draft::remove_element(object, name));
        let before = self.known.state.lock().elements.remove(&(object, name.to_vec()));
        self.retire(before);
    }

    /// Lets time pass, and drops what is over from the index, as nobody asks for it.
    fn pass(&self, milliseconds: u64) {
        self.clock.advance(std::time::Duration::from_millis(milliseconds));
        let now = self.store.now();
        self.store.mark_time(now).unwrap();
        self.store.sync().unwrap();
        let is_over = |entry: &Entry| entry.expiry.is_some_and(|deadline| deadline <= now);
        let mut state = self.known.state.lock();
        let over: Vec<Name> =
            state.elements.iter().filter(|(_, entry)| is_over(entry)).map(|(name, _)| name.clone()).collect();
        let gone: Vec<Entry> = over.iter().filter_map(|name| state.elements.remove(name)).collect();
        let over: Vec<Vec<u8>> =
            state.keys.iter().filter(|(_, entry)| is_over(entry)).map(|(key, _)| key.clone()).collect();
        let keys: Vec<Entry> = over.iter().filter_map(|key| state.keys.remove(key)).collect();
        drop(state);
        keys.iter().for_each(|entry| self.forget(Some(entry)));
        gone.into_iter().chain(keys).for_each(|entry| self.store.retire(entry.at));
    }

    fn compact(&self) {
        // What has been left is sealed.
        self.store.tick().unwrap();
        self.store.compact(&self.known, &mut |_, _| {}).unwrap();
        self.agrees();
    }

    /// The values of elements that can be read now, by object and name.
    fn values(&self) -> BTreeMap<Name, Vec<u8>> {
        let (state, now) = (self.known.state.lock().clone(), self.store.now());
        let is_there = |entry: &Entry| entry.expiry.is_none_or(|deadline| deadline > now);
        let alive: BTreeSet<u64> =
            state.keys.values().filter(|entry| is_there(entry)).filter_map(|entry| entry.object).collect();
        let elements =
            state.elements.into_iter().filter(|((object, _), entry)| alive.contains(object) && is_there(entry));
        let value = |((object, name), entry): (Name, Entry)| {
            let value = self.store.read(entry.at, &name).unwrap().to_vec();
            assert!(entry.told.is_none_or(|told| told == value), "the hint tells another value");
            ((object, name), value)
        };
        elements.map(value).collect()
    }

    /// The keys that are there now.
    fn keys(&self) -> BTreeMap<Vec<u8>, Option<u64>> {
        let (state, now) = (self.known.state.lock().clone(), self.store.now());
        let is_there = |entry: &Entry| entry.expiry.is_none_or(|deadline| deadline > now);
        state.keys.into_iter().filter(|(_, entry)| is_there(entry)).map(|(key, entry)| (key, entry.object)).collect()
    }

    /// The store counts as alive what the index refers to, exactly.
    fn agrees(&self) {
        let live = self.known.state.lock().live();
        for (segment, count) in self.store.live() {
            assert_eq!(count, live.get(&segment).copied().unwrap_or_default(), "segment {segment}");
        }
    }

    /// The records of elements in the log, in the order of their numbers.
    fn records(&self) -> Vec<(u64, Op, u64, Vec<u8>)> {
        self.store.sync().unwrap();
        let inspection = Inspection::open(Arc::new(self.disk.after_kill())).unwrap().unwrap();
        let mut records = Vec::new();
        let visit = &mut |entry: &crate::store::inspect::Entry<'_>| {
            let What::Record(record) = entry.what else { panic!("{entry:?}") };
            if let Some(object) = record.element_of() {
                records.push((record.sequence, record.op, object, record.key.to_vec()));
            }
            ControlFlow::Continue(())
        };
        inspection.records(0..=u64::MAX, visit, &mut |_, _| {}).unwrap();
        records
    }

    /// What is done to one element, in the order of the numbers.
    fn ops(&self, name: &[u8]) -> Vec<Op> {
        self.records().into_iter().filter(|(.., of)| of == name).map(|(_, op, ..)| op).collect()
    }

    /// Fills the segment of today with keys that stay, or with one that is set over and over.
    fn fill(&self, name: &str, stays: bool) {
        let mut places = BTreeSet::new();
        for number in 0.. {
            let key = if stays { format!("{name} {number}") } else { name.to_owned() };
            places.insert(self.put(key.as_bytes(), &[b'v'; 900], None, None).segment);
            if places.len() > 1 {
                return;
            }
        }
    }

    /// Deletes what [`Collections::fill`] has filled a segment with.
    fn empty(&self, name: &str) {
        let prefix = format!("{name} ");
        let keys: Vec<Vec<u8>> = self.known.state.lock().keys.keys().cloned().collect();
        keys.iter().filter(|key| key.starts_with(prefix.as_bytes())).for_each(|key| self.delete(key));
    }
}
