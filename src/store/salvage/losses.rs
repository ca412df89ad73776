//! Which keys and elements were lost: those whose newest value was among the lost ones.

use std::collections::{BTreeMap, HashMap, HashSet};

use parking_lot::Mutex;

use super::damage::LostValue;
use crate::store::inspect::Inspection;
use crate::store::record::{DATABASES_MAX, Op};
use crate::store::recovery::{Beginning, Records, Replay};
use crate::store::{Hinted, OnProgress, OpenError};

/// A key that has lost its value, or an element of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lost {
    /// The number of the database.
    pub database: u32,
    /// The key.
    pub key: Vec<u8>,
    /// The name of the element, where that alone is lost.
    pub element: Option<Vec<u8>>,
}

/// Finds out what of the lost values were the newest of their keys at `now`, milliseconds since the Unix epoch; in a store
/// where deletions stand in their place.
pub(super) fn lost_keys(
    inspection: &Inspection,
    values: &[LostValue],
    now: u64,
    threads: usize,
    on_progress: OnProgress<'_>,
) -> Result<Vec<Lost>, OpenError> {
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let (of_elements, of_keys): (Vec<_>, Vec<_>) = values.iter().partition(|value| value.object.is_some());
    let mut search = Search {
        expiries: values.iter().map(|value| (value.sequence, value.expiry)).collect(),
        keys: of_keys.iter().map(|value| &value.key[..]).collect(),
        elements: of_elements.iter().filter_map(|value| Some((value.object?, &value.key[..]))).collect(),
        objects: of_elements.iter().filter_map(|value| value.object).collect(),
        bindings: HashMap::new(),
        lost: Mutex::default(),
        roots: Mutex::default(),
        lost_elements: Mutex::default(),
    };
    let recovered = inspection.replay(threads, &mut search, on_progress)?;
    let now = now.max(recovered.clock_floor);
    let is_there = |expiry: Option<u64>| expiry.is_none_or(|deadline| deadline > now);
    let lost = std::mem::take(&mut *search.lost.lock());
    let (roots, elements) = (search.roots.lock(), search.lost_elements.lock());
    let mut found = Vec::new();
    for ((keyspace, key), _) in lost.into_iter().filter(|(_, expiry)| is_there(*expiry)) {
        let lost = |database| Lost { database, key: key.clone(), element: None };
        found.extend(search.databases(keyspace).into_iter().map(lost));
    }
    for ((keyspace, key), (object, _)) in roots.iter().filter(|(_, (_, expiry))| is_there(*expiry)) {
        let names = elements.range((*object, Vec::new())..).take_while(|((of, _), _)| of == object);
        for ((_, name), _) in names.filter(|(_, expiry)| is_there(**expiry)) {
            let lost = |database| Lost { database, key: key.clone(), element: Some(name.clone()) };
            found.extend(search.databases(*keyspace).into_iter().map(lost));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// A key in the keyspace of this id.
type Slot = (u32, Vec<u8>);

/// An object and the name of an element.
type Name = (u64, Vec<u8>);

struct Search<'a> {
    /// Of the lost values, by their numbers.
    expiries: HashMap<u64, Option<u64>>,
    keys: HashSet<&'a [u8]>,
    elements: HashSet<(u64, &'a [u8])>,
    /// Those that have lost values of elements.
    objects: HashSet<u64>,
    bindings: HashMap<u32, u32>,
    /// With the expiry that the value had.
    lost: Mutex<BTreeMap<Slot, Option<u64>>>,
    /// The keys whose values have such an object, with it and the expiry.
    roots: Mutex<BTreeMap<Slot, (u64, Option<u64>)>>,
    /// With the expiry that the value had.
    lost_elements: Mutex<BTreeMap<Name, Option<u64>>>,
}

impl Search<'_> {
    /// The databases that are bound to a keyspace: at most one.
    fn databases(&self, id: u32) -> Vec<u32> {
        let mut databases: Vec<u32> =
            self.bindings.iter().filter(|(_, bound)| **bound == id).map(|(database, _)| *database).collect();
        if id < DATABASES_MAX && !self.bindings.contains_key(&id) {
            databases.push(id);
        }
        databases
    }

    fn apply(&self, lost: &mut BTreeMap<Slot, Option<u64>>, record: &Hinted<'_>) {
        let slot = |keyspace| (keyspace, record.key.to_vec());
        let own = slot(record.keyspace);
        match record.op {
            Op::Delete => match self.expiries.get(&record.sequence) {
                Some(expiry) => _ = lost.insert(own, *expiry),
                None => _ = lost.remove(&own),
            },
            Op::Put => _ = lost.remove(&own),
            Op::Expire => {
                if let Some(expiry) = lost.get_mut(&own) {
                    *expiry = record.expiry;
                }
            }
            // What is lost goes along.
            Op::Move => match lost.remove(&slot(record.source)) {
                Some(_) => _ = lost.insert(own, record.expiry),
                None => _ = lost.remove(&own),
            },
            Op::Bind | Op::Mark | Op::Seal | Op::SetElement | Op::RemoveElement => {}
        }
    }

    /// Follows the keys whose values have an object that has lost something.
    fn follow(&self, roots: &mut BTreeMap<Slot, (u64, Option<u64>)>, record: &Hinted<'_>) {
        let object = record.object.filter(|object| record.op == Op::Put && self.objects.contains(object));
        if roots.is_empty() && object.is_none() {
            return;
        }
        let slot = |keyspace| (keyspace, record.key.to_vec());
        let own = slot(record.keyspace);
        let root = match record.op {
            Op::Put => object.map(|object| (object, record.expiry)),
            Op::Expire => roots.get(&own).map(|(object, _)| (*object, record.expiry)),
            Op::Move => roots.remove(&slot(record.source)).map(|(object, _)| (object, record.expiry)),
            _ => None,
        };
        match root {
            Some(root) => _ = roots.insert(own, root),
            None => _ = roots.remove(&own),
        }
    }
}

impl Replay for Search<'_> {
    fn begin(&mut self, beginning: &Beginning<'_>) {
        self.bindings = beginning.bindings.iter().copied().collect();
    }

    fn partition(&self, _: usize, records: Records<'_>) {
        let (mut lost, mut roots) = (BTreeMap::new(), BTreeMap::new());
        for (_, record) in records {
            if self.keys.contains(record.key) {
                self.apply(&mut lost, &record);
            }
            self.follow(&mut roots, &record);
        }
        self.lost.lock().append(&mut lost);
        self.roots.lock().append(&mut roots);
    }

    fn elements(&self, _: usize, records: Records<'_>) {
        let mut lost = BTreeMap::new();
        for (_, record) in records {
            let Some(object) = record.element_of().filter(|object| self.elements.contains(&(*object, record.key)))
            else {
                continue;
            };
            let name = (object, record.key.to_vec());
            match self.expiries.get(&record.sequence).filter(|_| record.op == Op::RemoveElement) {
                Some(expiry) => _ = lost.insert(name, *expiry),
                None => _ = lost.remove(&name),
            }
        }
        self.lost_elements.lock().append(&mut lost);
    }
}
