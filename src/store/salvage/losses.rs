//! Which keys were lost: those whose newest value was among the lost ones.

use std::collections::{BTreeMap, HashMap, HashSet};

use parking_lot::Mutex;

use super::damage::LostValue;
use crate::store::inspect::Inspection;
use crate::store::record::{DATABASES_MAX, Op};
use crate::store::recovery::{Beginning, Records, Replay};
use crate::store::{Hinted, OnProgress, OpenError};

/// A key that has lost its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lost {
    /// The number of the database.
    pub database: u32,
    /// The key.
    pub key: Vec<u8>,
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
    let mut search = Search {
        expiries: values.iter().map(|value| (value.sequence, value.expiry)).collect(),
        keys: values.iter().map(|value| &value.key[..]).collect(),
        bindings: HashMap::new(),
        lost: Mutex::default(),
    };
    let recovered = inspection.replay(threads, &mut search, on_progress)?;
    let now = now.max(recovered.clock_floor);
    let lost = std::mem::take(&mut *search.lost.lock());
    let bound = |id: u32| search.databases(id);
    let lost = lost.into_iter().filter(|(_, expiry)| expiry.is_none_or(|deadline| deadline > now));
    let mut lost: Vec<Lost> = lost
        .flat_map(|((keyspace, key), _)| {
            bound(keyspace).into_iter().map(move |database| Lost { database, key: key.clone() }).collect::<Vec<_>>()
        })
        .collect();
    lost.sort_unstable();
    Ok(lost)
}

/// A key in the keyspace of this id.
type Slot = (u32, Vec<u8>);

struct Search<'a> {
    /// Of the lost values, by their numbers.
    expiries: HashMap<u64, Option<u64>>,
    keys: HashSet<&'a [u8]>,
    bindings: HashMap<u32, u32>,
    /// With the expiry that the value had.
    lost: Mutex<BTreeMap<Slot, Option<u64>>>,
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
}

impl Replay for Search<'_> {
    fn begin(&mut self, beginning: &Beginning<'_>) {
        self.bindings = beginning.bindings.iter().copied().collect();
    }

    fn partition(&self, _: usize, records: Records<'_>) {
        let mut lost = BTreeMap::new();
        for (_, record) in records {
            if self.keys.contains(record.key) {
                self.apply(&mut lost, &record);
            }
        }
        self.lost.lock().append(&mut lost);
    }

    fn elements(&self, _: usize, _: Records<'_>) {}
}
