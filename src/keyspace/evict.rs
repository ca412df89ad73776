//! Which keys go where the keys alone are over the memory limit.
//!
//! Always true: a key is deleted under its latch, with a record of its own, and only if it is still what it was when it was
//! chosen; the policy protects a key for as long as it says so; the shard in which keys are chosen is not locked while they
//! are deleted.
//!
//! The hand of [CLOCK](https://dl.acm.org/doi/10.1145/362686.362692) goes round over the keys. An entry knows how often its key was
//! used since the hand passed, up to three: for `lru`, one use or three spare it once; for `lfu`, as often as it was used.

use std::ops::ControlFlow;

use super::entry::{Entry, Meta};
use super::footprint::Footprint;
use super::keydir::{Keydir, SHARDS};
use super::{Halt, Keyspace, Mode};
use crate::store::{Location, Position};
use crate::sync::Mutex;

/// How many keys go before it is seen again how much is in use: some milliseconds.
const EVICTED_MAX: u64 = 10_000;

/// How many keys and shards are looked at before it is seen again how much is in use.
const LOOKED_AT_MAX: usize = 200_000;

/// How many keys are looked at while a shard is locked.
const STEP_KEYS_MAX: usize = 128;

/// Which keys may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Among {
    /// All.
    #[default]
    All,
    /// Those with an expiry.
    Volatile,
}

/// Which of them go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// What was not used for long.
    LeastRecent,
    /// What is seldom used.
    LeastFrequent,
    /// Any.
    Random,
    /// What expires soonest; of those with an expiry.
    Soonest,
}

/// What goes where the keys alone are over the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Nothing: whoever puts more in is refused.
    #[default]
    Never,
    /// Keys.
    Keys(Among, Choice),
}

/// Where the hand is.
#[derive(Default)]
pub(super) struct Evictor(Mutex<Place>);

#[derive(Clone, Copy, Default)]
struct Place {
    /// The shard of a database.
    stop: usize,
    bucket: usize,
    /// How many stops it has passed since it has found a key last.
    passed: usize,
}

/// What has come of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Evicted {
    pub(super) freed: Footprint,
    pub(super) keys: u64,
    /// Whether no key is left that may go, or the log takes no deletions.
    pub(super) is_exhausted: bool,
}

/// A key that is to go, as it was when it was chosen.
pub(super) struct Chosen {
    key: Box<[u8]>,
    location: Location,
    expiry: Option<u64>,
}

/// What the hand does with the keys that it passes.
pub(super) struct Choosing {
    among: Among,
    choice: Choice,
    spares: bool,
    looked_at: usize,
    pub(super) chosen: Vec<Chosen>,
}

impl Choosing {
    /// What was not used; of the others, all uses are forgotten.
    #[cfg(test)]
    pub(super) fn unused() -> Self {
        Self { among: Among::All, choice: Choice::LeastRecent, spares: true, looked_at: 0, chosen: Vec::new() }
    }

    /// All that may go, whatever their uses.
    #[cfg(test)]
    pub(super) fn all(among: Among) -> Self {
        Self { among, choice: Choice::Random, spares: false, looked_at: 0, chosen: Vec::new() }
    }

    /// Looks at a key, and says whether there is time for another.
    pub(super) fn pass(&mut self, entry: &Entry) -> ControlFlow<()> {
        self.looked_at += 1;
        if self.among == Among::All || entry.expiry().is_some() {
            let is_spared = self.spares && entry.uses() > 0;
            match self.choice {
                Choice::LeastRecent if is_spared => entry.forget_uses(),
                Choice::LeastFrequent if is_spared => entry.forget_use(),
                _ => self.chosen.push(Chosen {
                    key: entry.key().into(),
                    location: entry.location(),
                    expiry: entry.expiry(),
                }),
            }
        }
        if self.looked_at >= STEP_KEYS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Keyspace {
    /// Deletes keys as the policy says until so many bytes are free of what keys take without their values, as far as that takes
    /// little time.
    pub(super) fn evict(&self, policy: &Policy, wanted: usize) -> Evicted {
        let (mut freed, mut evicted, mut is_refused) = (Footprint::default(), 0, false);
        let mut go = |database: u32, keydir: &Keydir, chosen: &Chosen| -> ControlFlow<()> {
            match self.evict_one(database, keydir, chosen) {
                Ok((gone, is_evicted)) => {
                    freed = Footprint { bytes: freed.bytes + gone.bytes, bare: freed.bare + gone.bare };
                    evicted += u64::from(is_evicted);
                    let goes_on = freed.bare < wanted && evicted < EVICTED_MAX;
                    if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                }
                Err(_) => {
                    is_refused = true;
                    ControlFlow::Break(())
                }
            }
        };
        let is_exhausted = match *policy {
            Policy::Never => true,
            Policy::Keys(_, Choice::Soonest) => self.evict_soonest(&mut go).is_continue(),
            Policy::Keys(among, choice) => self.evict_passed(among, choice, &mut go),
        };
        Evicted { freed, keys: evicted, is_exhausted: is_exhausted || is_refused }
    }

    /// Lets the hand choose until it is told to stop, or has looked at much; says whether it has found none on its way round.
    fn evict_passed(
        &self,
        among: Among,
        choice: Choice,
        go: &mut dyn FnMut(u32, &Keydir, &Chosen) -> ControlFlow<()>,
    ) -> bool {
        let databases = self.bound.databases.len();
        let stops = databases * SHARDS;
        let mut at = *self.memory.evictor.0.lock();
        // A whole round for each use that may spare a key.
        let sparing = stops
            * match choice {
                Choice::LeastRecent => 1,
                Choice::LeastFrequent => 3,
                Choice::Random | Choice::Soonest => 0,
            };
        let (mut looked_at, mut flow) = (0, ControlFlow::Continue(()));
        // One more than a round, as the first stop may be entered in its midst.
        while flow.is_continue() && looked_at < LOOKED_AT_MAX && at.passed <= sparing + stops {
            let number = at.stop % databases;
            let keydir = self.bound.databases[number].load_full();
            let has_some = if among == Among::All { keydir.keys() } else { keydir.volatile() } > 0;
            let mut next = None;
            if has_some {
                let spares = at.passed <= sparing;
                let mut choosing = Choosing { among, choice, spares, looked_at: 0, chosen: Vec::new() };
                next = keydir.choose(at.stop / databases, at.bucket, &mut choosing);
                looked_at += choosing.looked_at;
                if !choosing.chosen.is_empty() {
                    at.passed = at.passed.min(sparing);
                }
                flow = choosing.chosen.iter().try_for_each(|chosen| go(number as u32, &keydir, chosen));
            }
            looked_at += 1;
            at = match next {
                Some(bucket) => Place { bucket, ..at },
                None => Place { stop: (at.stop + 1) % stops, bucket: 0, passed: at.passed + 1 },
            };
        }
        let has_found_none = at.passed > sparing + stops;
        if has_found_none || flow.is_break() {
            at.passed = 0;
        }
        *self.memory.evictor.0.lock() = at;
        has_found_none
    }

    fn evict_soonest(&self, go: &mut dyn FnMut(u32, &Keydir, &Chosen) -> ControlFlow<()>) -> ControlFlow<()> {
        loop {
            let keydirs = self.bound.databases.iter().enumerate().map(|(number, keydir)| (number, keydir.load_full()));
            let next = keydirs.filter_map(|(number, keydir)| Some((keydir.earliest_deadline()?, number, keydir)));
            let Some((deadline, number, keydir)) = next.min_by_key(|(deadline, ..)| *deadline) else {
                return ControlFlow::Continue(());
            };
            for (deadline, slot) in keydir.due(deadline, STEP_KEYS_MAX) {
                match keydir.with_deadline(&slot, deadline) {
                    Some((key, location)) => {
                        go(number as u32, &keydir, &Chosen { key, location, expiry: Some(deadline) })?;
                    }
                    None => {
                        let _latch = self.bound.latches.one(&slot, Mode::Exclusive);
                        if keydir.with_deadline(&slot, deadline).is_none() {
                            keydir.forget_deadline(&slot, deadline);
                        }
                    }
                }
            }
        }
    }

    /// Deletes a key, if it is what it was; returns what that frees, sooner or later, and whether it was not over already.
    pub(super) fn evict_one(&self, database: u32, keydir: &Keydir, chosen: &Chosen) -> Result<(Footprint, bool), Halt> {
        let key = &chosen.key;
        let slot = self.slot(key);
        let mut access = self.access_one(database, key, Mode::Exclusive, self.now(), false);
        // A deadline changes without a new place in the log.
        let is_same = |meta: Meta| (meta.location, meta.expiry) == (chosen.location, chosen.expiry);
        if access.keydir_id() != keydir.id || !keydir.meta(&slot, key).is_some_and(is_same) {
            return Ok((Footprint::default(), false));
        }
        let own = keydir.footprint_of(&slot, key);
        let object = keydir.object(&slot, key).and_then(|id| self.bound.objects.get(id));
        let elements = object.map_or_else(Footprint::default, |object| object.footprint());
        let gone = Footprint { bytes: own.bytes + elements.bytes, bare: own.bare + elements.bare };
        if !access.delete(key)? {
            // Its time was over, and it is gone by now.
            access.take_effect()?;
            return Ok((gone, false));
        }
        self.stats.evicted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let end: Position = self.store.appended();
        self.watchers.evicted(database, key, end);
        access.take_effect()?;
        Ok((gone, true))
    }
}
