//! Which keys go where the keys alone are over the memory limit.
//!
//! Always true: a key is deleted under its latch, with a record of its own, and only if it is still what it was when it was
//! chosen; the policy protects a key for as long as it says so; the shard in which keys are chosen is not locked while they
//! are deleted.
//!
//! The hand of [CLOCK](https://dl.acm.org/doi/10.1145/362686.362692) goes round over the keys. An entry knows how often its key was
//! used since the hand passed, up to three: for `lru`, one use or three spare it once; for `lfu`, as often as it was used.

use std::ops::ControlFlow;

use super::entry::Entry;
use super::footprint::Footprint;
use super::keydir::{Keydir, SHARDS};
use super::{Halt, Keyspace, Mode};
use crate::store::{Location, Position};
use crate::sync::Mutex;

/// How many keys go before it is seen again how much is in use: some milliseconds.
const EVICTED_MAX: u64 = 10_000;

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

/// Where the hand is: the shard of a database, and the bucket there.
#[derive(Default)]
pub(super) struct Evictor(Mutex<(usize, usize)>);

/// A key that is to go.
pub(super) struct Chosen {
    key: Box<[u8]>,
    location: Location,
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
    /// Looks at a key, and says whether there is time for another.
    pub(super) fn pass(&mut self, entry: &Entry) -> ControlFlow<()> {
        self.looked_at += 1;
        if self.among == Among::All || entry.expiry().is_some() {
            let is_spared = self.spares && entry.uses() > 0;
            match self.choice {
                Choice::LeastRecent if is_spared => entry.forget_uses(),
                Choice::LeastFrequent if is_spared => entry.forget_use(),
                _ => self.chosen.push(Chosen { key: entry.key().into(), location: entry.location() }),
            }
        }
        if self.looked_at >= STEP_KEYS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Keyspace {
    /// Deletes keys as the policy says until so many bytes are free of what keys take without their values. Returns what is
    /// free, and how many keys went; fewer where no more may go, or the log takes no deletions.
    pub(super) fn evict(&self, policy: &Policy, wanted: usize) -> (Footprint, u64) {
        let (mut freed, mut evicted) = (Footprint::default(), 0);
        let mut go = |database: u32, keydir: &Keydir, chosen: &Chosen| -> ControlFlow<()> {
            match self.evict_one(database, keydir, chosen) {
                Ok((gone, is_evicted)) => {
                    freed = Footprint { bytes: freed.bytes + gone.bytes, bare: freed.bare + gone.bare };
                    evicted += u64::from(is_evicted);
                    let goes_on = freed.bare < wanted && evicted < EVICTED_MAX;
                    if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                }
                Err(_) => ControlFlow::Break(()),
            }
        };
        let _ = match *policy {
            Policy::Never => ControlFlow::Continue(()),
            Policy::Keys(_, Choice::Soonest) => self.evict_soonest(&mut go),
            Policy::Keys(among, choice) => self.evict_passed(among, choice, &mut go),
        };
        (freed, evicted)
    }

    fn evict_passed(
        &self,
        among: Among,
        choice: Choice,
        go: &mut dyn FnMut(u32, &Keydir, &Chosen) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let databases = self.bound.databases.len();
        let stops = databases * SHARDS;
        let (mut stop, mut bucket) = *self.memory.evictor.0.lock();
        // A whole round for each use that may spare a key, and one for where the hand began in the midst of a shard.
        let rounds = match choice {
            Choice::LeastRecent => 1,
            Choice::LeastFrequent => 3,
            Choice::Random | Choice::Soonest => 0,
        };
        let mut flow = ControlFlow::Continue(());
        for passed in 0..=(rounds + 1) * stops {
            let number = stop % databases;
            let keydir = self.bound.databases[number].load_full();
            let has_some = if among == Among::All { keydir.keys() } else { keydir.volatile() } > 0;
            while has_some && flow.is_continue() {
                let spares = passed <= rounds * stops;
                let mut choosing = Choosing { among, choice, spares, looked_at: 0, chosen: Vec::new() };
                let next = keydir.choose(stop / databases, bucket, &mut choosing);
                flow = choosing.chosen.iter().try_for_each(|chosen| go(number as u32, &keydir, chosen));
                let Some(next) = next else { break };
                bucket = next;
            }
            if flow.is_break() {
                break;
            }
            (stop, bucket) = ((stop + 1) % stops, 0);
        }
        *self.memory.evictor.0.lock() = (stop, bucket);
        flow
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
                    Some((key, location)) => go(number as u32, &keydir, &Chosen { key, location })?,
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
    fn evict_one(&self, database: u32, keydir: &Keydir, chosen: &Chosen) -> Result<(Footprint, bool), Halt> {
        let key = &chosen.key;
        let slot = self.slot(key);
        let mut access = self.access_one(database, key, Mode::Exclusive, self.now(), false);
        let is_same = |location| location == chosen.location;
        if access.keydir_id() != keydir.id || !keydir.meta(&slot, key).is_some_and(|meta| is_same(meta.location)) {
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
