//! Sequences that follow from a seed. Each takes a few kinds of events more often than others and leaves some out, so that
//! rare combinations come up.

use std::io::ErrorKind;

use fastrand::Rng;

use super::super::super::End;
use super::super::collections::Change;
use super::super::faults::{EIO, EMFILE, of_system};
use super::super::model::Step::{self, *};
use super::super::runner::{DATABASES, START};
use super::super::trial::{Fault, Which};
use super::event::Event;
use crate::store::disk::sim::{Often, Survival};
use crate::store::{Fsync, Policy};

/// The names of all keys.
pub(super) const KEYS: [&str; 7] = ["a", "b", "c", "d", "e", "", LONG];
const LONG: &str = "a name that takes up as much of its record as the values of most keys do, and more than there is room \
    for beside a value that is kept in memory: it is there so that the lengths of keys and of values are told apart";
/// The names of all elements.
const NAMES: [&str; 8] = ["f", "g", "h", "i", "j", "k", "", "a name of an element that is long enough to fill a pack"];
/// The names of all backups of one sequence.
const BACKUPS: [&str; 4] = ["first", "second", "third", "fourth"];
/// One that nobody asks for again.
const BROKEN_OFF: &str = "broken-off";

/// Bytes of values: none, few, as many as stay in an entry, more, and more than a segment takes.
const LENGTHS: [usize; 12] = [7, 20, 60, 63, 64, 65, 200, 700, 900, 1_500, 4_100, 9_000];
const TIMES: [u64; 8] = [1, 20, 99, 100, 500, 1_000, 6_000, 100_000];
const HOUR: u64 = 3_600_000;

/// One sequence and what it is done with.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub seed: u64,
    pub fsync: Fsync,
    pub policy: Policy,
    pub failing: bool,
    pub events: Vec<Event>,
}

impl Plan {
    pub fn new(seed: u64, failing: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let fsync = [Fsync::Always, Fsync::Everysec, Fsync::No][rng.usize(..3)];
        let policy = Policy {
            garbage_bytes_min: [0, 4_096, 16_384][rng.usize(..3)],
            space_amplification: [1.0, 1.2, 1.5][rng.usize(..3)],
            ..Policy::default()
        };
        let mut generator = Generator::new(rng, failing);
        let count = generator.rng.usize(30..=90);
        let events = (0..count).map(|_| generator.event()).collect();
        Self { seed, fsync, policy, failing, events }
    }
}

/// What may come next.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Set,
    SetEx,
    Fill,
    Get,
    Edit,
    Delete,
    Expire,
    ExpireAt,
    Rename,
    Copy,
    Move,
    Flush,
    FlushAll,
    Swap,
    Together,
    Pipeline,
    Unawaited,
    Pass,
    SetBack,
    SetForward,
    ExpireDue,
    Sync,
    Tick,
    Compact,
    CompactSome,
    Remember,
    Backup,
    Keep,
    Demote,
    Cold,
    LoseHints,
    Compare,
    Reopen,
    Kill,
    CutPower,
    CrashWithin,
    Fail,
    Heal,
}

/// How often each comes; the first ones are about keys.
const KINDS: [(Kind, u32); 38] = [
    (Kind::Set, 14),
    (Kind::SetEx, 7),
    (Kind::Fill, 3),
    (Kind::Get, 6),
    (Kind::Edit, 20),
    (Kind::Delete, 5),
    (Kind::Expire, 5),
    (Kind::ExpireAt, 2),
    (Kind::Rename, 3),
    (Kind::Copy, 3),
    (Kind::Move, 5),
    (Kind::Flush, 1),
    (Kind::FlushAll, 1),
    (Kind::Swap, 2),
    (Kind::Together, 7),
    (Kind::Pipeline, 3),
    (Kind::Unawaited, 5),
    (Kind::Pass, 5),
    (Kind::SetBack, 3),
    (Kind::SetForward, 1),
    (Kind::ExpireDue, 3),
    (Kind::Sync, 2),
    (Kind::Tick, 6),
    (Kind::Compact, 3),
    (Kind::CompactSome, 6),
    (Kind::Remember, 3),
    (Kind::Backup, 1),
    (Kind::Keep, 1),
    (Kind::Demote, 2),
    (Kind::Cold, 1),
    (Kind::LoseHints, 2),
    (Kind::Compare, 3),
    (Kind::Reopen, 2),
    (Kind::Kill, 3),
    (Kind::CutPower, 3),
    (Kind::CrashWithin, 4),
    (Kind::Fail, 6),
    (Kind::Heal, 3),
];
/// The kinds that are about keys.
const OF_KEYS: usize = 14;

/// What every kind of event is called that comes up.
pub(super) fn names(failing: bool) -> impl Iterator<Item = String> {
    let comes_up = move |kind: &Kind| failing || !matches!(kind, Kind::Fail | Kind::Heal);
    KINDS.into_iter().map(|(kind, _)| kind).filter(comes_up).map(|kind| format!("{kind:?}"))
}

struct Generator {
    rng: Rng,
    weights: [u32; KINDS.len()],
    backups: usize,
}

impl Generator {
    fn new(mut rng: Rng, failing: bool) -> Self {
        let mut weights = KINDS.map(|(kind, weight)| match kind {
            Kind::Set => weight,
            Kind::Fail | Kind::Heal => weight * u32::from(failing),
            _ => weight * [0, 1, 1, 3][rng.usize(..4)],
        });
        if rng.bool() {
            // Keys with a deadline do not tell of anything where the time stands still.
            weights[Kind::Pass as usize] += 3;
        }
        Self { rng, weights, backups: 0 }
    }

    fn pick(&mut self, among: usize) -> Kind {
        let sum: u32 = self.weights[..among].iter().sum();
        let mut at = self.rng.u32(..sum);
        let is_it = |weight: &u32| {
            let is_it = at < *weight;
            at = at.saturating_sub(*weight);
            is_it
        };
        KINDS[self.weights[..among].iter().position(is_it).expect("it is below their sum")].0
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.rng.usize(..all.len())].clone()
    }

    fn database(&mut self) -> u32 {
        self.one_of(&[0, 0, 0, 1, 1, 2]) % DATABASES
    }

    fn event(&mut self) -> Event {
        let step = match self.pick(KINDS.len()) {
            Kind::Unawaited => return Event::Unawaited(self.steps(4)),
            Kind::SetForward => return Event::SetForward(self.one_of(&[1, 500, 5_000, HOUR, 720 * HOUR])),
            Kind::CompactSome => return Event::CompactSome,
            Kind::Demote => return Event::Demote,
            Kind::Cold => return Event::Cold(self.rng.bool()),
            Kind::LoseHints => return Event::LoseHints(self.rng.u64(..) | self.one_of(&[0, u64::MAX])),
            Kind::Compare => return Event::Compare,
            Kind::CutPower => return Event::CutPower(self.survival()),
            Kind::CrashWithin => return self.crash_within(),
            Kind::Fail => return self.fault(),
            Kind::Heal => return Event::Heal,
            Kind::Pipeline => Pipeline(self.steps(6)),
            Kind::Pass => Pass(self.one_of(&TIMES)),
            Kind::SetBack => SetBack(self.one_of(&[1, 50, 500, 5_000, HOUR, 720 * HOUR])),
            Kind::ExpireDue => ExpireDue,
            Kind::Sync => Sync,
            Kind::Compact => Compact,
            Kind::Backup if self.backups < BACKUPS.len() => {
                self.backups += 1;
                Backup(BACKUPS[self.backups - 1])
            }
            Kind::Remember => Remember,
            Kind::Keep => Keep(self.one_of(&[0, 0, 100, 5_000, HOUR])),
            Kind::Reopen => Reopen,
            Kind::Kill => Kill,
            Kind::Tick | Kind::Backup => Tick,
            Kind::Together => self.together(),
            of_key => self.step(of_key),
        };
        Event::Do(step)
    }

    fn together(&mut self) -> Step {
        let count = self.one_of(&[1, 2, 3, 5, 9]);
        Together((0..count).map(|_| self.of_key()).collect())
    }

    fn steps(&mut self, max: usize) -> Vec<Step> {
        let count = self.rng.usize(1..=max);
        (0..count).map(|_| if self.rng.u8(..5) == 0 { self.together() } else { self.of_key() }).collect()
    }

    fn of_key(&mut self) -> Step {
        let kind = self.pick(OF_KEYS);
        self.step(kind)
    }

    fn step(&mut self, kind: Kind) -> Step {
        let (database, other) = (self.database(), self.database());
        // The first ones more often.
        let [key, to] = [0; 2].map(|_| KEYS[self.rng.usize(..KEYS.len()).min(self.rng.usize(..KEYS.len()))]);
        let (length, time) = (self.one_of(&LENGTHS), self.one_of(&TIMES));
        match kind {
            Kind::SetEx => SetEx(database, key, length, self.one_of(&[time, time, time, 0])),
            Kind::Fill => Fill(database, key, self.one_of(&[0, 0, 1, 1, 30, 1_000])),
            Kind::Get => Get(database, key),
            Kind::Edit => Edit(database, key, self.change()),
            Kind::Delete => Delete(database, key),
            Kind::Expire => Expire(database, key, self.one_of(&[None, None, Some(0), Some(time), Some(time)])),
            Kind::ExpireAt => ExpireAt(database, key, self.one_of(&[1, START - 1, START + time, START + HOUR])),
            Kind::Rename => Rename(database, key, to),
            Kind::Copy => Copy(database, key, other, to),
            Kind::Move => Move(database, key, other),
            Kind::Flush => Flush(database),
            Kind::FlushAll => FlushAll,
            Kind::Swap => Swap(database, other),
            _ => Set(database, key, length),
        }
    }

    /// A few names and short values, so that collections become large, and small again, and collide.
    fn change(&mut self) -> Change {
        let name = self.one_of(&NAMES);
        let (end, length) = (self.one_of(&[End::Left, End::Right]), self.one_of(&[7, 7, 20, 30, 100, 900]));
        let time = self.one_of(&TIMES);
        let (rank, count, score) = (self.rng.usize(..12), self.rng.usize(..4), self.rng.i8(-3..3));
        match self.rng.u8(..22) {
            0..=2 => Change::SetField(name, length),
            3 => Change::SetFieldEx(name, length, time),
            4 | 5 => Change::RemoveField(name),
            6..=8 => Change::AddMember(name),
            9 => Change::RemoveMember(name),
            10..=13 => Change::SetScore(name, score),
            14 => Change::RemoveScored(name),
            15..=17 => Change::Push(end, length),
            18 => Change::Pop(end),
            19 => Change::Insert(rank, length),
            20 => Change::SetAt(rank, length),
            _ => Change::Cut(rank, count),
        }
    }

    fn survival(&mut self) -> Survival {
        let seed = self.rng.u64(..);
        match self.rng.u8(..8) {
            0 => Survival::Durable,
            1 => Survival::Written,
            2 => Survival::Hollow,
            3 => Survival::Nameless,
            4 | 5 => Survival::Prefix(seed),
            _ => Survival::Random(seed),
        }
    }

    fn crash_within(&mut self) -> Event {
        let of_key = if self.rng.bool() { self.together() } else { self.of_key() };
        let step =
            self.one_of(&[Compact, Compact, Tick, Tick, Remember, Sync, Reopen, Kill, Backup(BROKEN_OFF), of_key]);
        let within = self.one_of(&[3, 12, 30]);
        let survival = self.survival();
        Event::CrashWithin(step, self.rng.u64(..within), self.one_of(&[None, Some(survival)]))
    }

    fn fault(&mut self) -> Event {
        if self.rng.u8(..8) == 0 {
            return Event::ShortWrite;
        }
        let which = self.one_of(&[Which::Changes, Which::Changes, Which::Changes, Which::Openings, Which::Reads]);
        let error = match which {
            Which::Changes => [of_system(EIO), of_system(EIO), ErrorKind::StorageFull, ErrorKind::Interrupted],
            Which::Openings => [of_system(EIO), of_system(EMFILE), of_system(EMFILE), of_system(EMFILE)],
            Which::Reads => [of_system(EIO); 4],
        };
        let (error, often) = (self.one_of(&error), self.one_of(&[Often::Once, Often::Once, Often::Always]));
        let within = self.one_of(&[3, 12, 40]);
        let number = self.rng.u64(..within);
        Event::Fail(Fault { error, often, which, number })
    }
}
