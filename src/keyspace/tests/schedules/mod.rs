//! Threads that read, write, expire and compact, in orders that a scheduler chooses: between any two locks, looks at the index
//! and calls of the disk another may come. What each was answered must be explained by one order of all calls; so must
//! what a kill or a loss of power in the middle leaves, with all that had been acknowledged by then; and afterwards
//! every segment's count of what is alive in it is exact.

mod calls;
mod disk;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use fastrand::Rng;
use parking_lot::Mutex;
use shuttle::rand::Rng as _;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};

use self::calls::{Call, Lists, explained, label, with_label, with_labels};
use self::disk::Scheduled;
use super::super::{Access, Halt, Keyspace, Mode, Pins};
use super::model::{Keys, State, Step};
use super::number;
use super::recorder::Recorder;
use super::runner::{DATABASES, Failed, Runner, START, access, contents, effect, open, options};
use crate::store::clock::TestClock;
use crate::store::disk::SimDisk;
use crate::store::disk::sim::Survival;
use crate::store::{Count, Fsync, Options, Planted, Position, SegmentSize};

const KEYS: [&str; 3] = ["a", "b", "c"];
const CLIENTS: usize = 3;
const CALLS: usize = 3;
/// Bytes of a segment: a few of the values below.
const SEGMENT_BYTES: u64 = 2048;

fn small(fsync: Fsync) -> Options {
    Options { segment_size: SegmentSize::Fixed(SEGMENT_BYTES), ..options(fsync) }
}

/// A disk with some sealed segments of which little is alive, and what they hold.
struct Before {
    disk: SimDisk,
    state: State,
    appended: Position,
}

static BEFORE: LazyLock<Before> = LazyLock::new(|| {
    let disk = SimDisk::new();
    let mut runner = Runner::new(Arc::new(disk.clone()), small(Fsync::Everysec), vec![State::default()], START)
        .expect("a new store");
    let mut steps = Vec::new();
    for round in 0..5 {
        steps.extend(KEYS.iter().map(|key| Step::Set(0, key, 300 + round)));
        steps.push(Step::Set(1, "b", 200));
        steps.push(Step::Delete(1, "b"));
        steps.push(Step::SetEx(0, "c", 250, 3 + round as u64));
    }
    steps.push(Step::Expire(0, "a", Some(10)));
    runner.run(&steps, &Recorder::new(disk.clone(), None)).expect("nothing fails");
    runner.keyspace().store().close().expect("nothing fails");
    let mut state = runner.history.pop().expect("never empty");
    state.keys.values_mut().for_each(|(bytes, _)| *bytes = label(bytes));
    let appended = runner.keyspace().store().appended();
    Before { disk: disk.survivors(Survival::Durable), state, appended }
});

/// What the threads of one run share.
struct World {
    keyspace: Keyspace,
    disk: SimDisk,
    clock: Arc<TestClock>,
    fsync: Fsync,
    /// The next moment, in an order that all threads share.
    moment: AtomicUsize,
    values: AtomicUsize,
    lists: Mutex<Lists>,
    /// A moment at which the machine stopped, and what it left.
    stopped: Mutex<Option<(usize, u64, Vec<SimDisk>)>>,
    clients: AtomicUsize,
}

/// What happened in all runs.
#[derive(Debug, Default)]
struct Totals {
    calls: AtomicUsize,
    cold: AtomicUsize,
    passes: AtomicUsize,
    expired: AtomicUsize,
    crashes: AtomicUsize,
    rolled: AtomicUsize,
}

impl World {
    fn moment(&self) -> usize {
        self.moment.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes a call as the server does: what is cold is fetched with no latch held, and the call made again.
    fn call(&self, list: usize, step: Step, totals: &Totals) {
        let number = self.values.fetch_add(10, Ordering::Relaxed);
        let now = self.keyspace.now();
        let began = self.moment();
        let call = Call { step: with_labels(&step), number, now, began, ended: None };
        let at = {
            let list = &mut self.lists.lock()[list];
            list.push(call);
            list.len() - 1
        };
        let mut pins = Pins::default();
        self.keyspace.store().wait_for_room();
        let (replies, wait) = loop {
            let mut access = open_access(&self.keyspace, &step, now);
            access.pins = pins.clone();
            match effect(&mut access, &step, number).and_then(|replies| Ok((replies, access.commit()?.0))) {
                Ok(done) => break done,
                Err(Failed::Halt(Halt::Cold(cold))) => {
                    totals.cold.fetch_add(1, Ordering::Relaxed);
                    cold.into_iter().for_each(|cold| pins.add(cold.fetch(&self.keyspace)));
                }
                Err(failed) => panic!("{step:?}: {failed}"),
            }
        };
        self.keyspace.store().wait_acknowledged(wait).expect("the disk does not fail");
        self.lists.lock()[list][at].ended = Some((self.moment(), replies.into_iter().map(with_label).collect()));
        totals.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes what is due. Of each key that may be so, whoever looks at it next is told the same.
    fn expire_due(&self) {
        let (now, began) = (self.keyspace.now(), self.moment());
        let looks = KEYS.map(|key| (0, key)).into_iter().chain([(1, "b")]);
        let look = |(database, key)| vec![Call { step: Step::Get(database, key), number: 0, now, began, ended: None }];
        self.lists.lock().extend(looks.map(look));
        self.keyspace.expire_due(now, usize::MAX);
    }

    /// Keeps what the machine would find if it stopped now.
    fn stop_here(&self, survival: Survival) {
        let mut disks = vec![self.disk.after_kill()];
        if self.fsync == Fsync::Always {
            disks.push(self.disk.survivors(survival));
        }
        *self.stopped.lock() = Some((self.moment(), self.keyspace.now(), disks));
    }

    fn compact(&self, forced: bool, totals: &Totals) {
        if self.keyspace.compact_once(forced).expect("the disk does not fail") {
            totals.passes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends all values to the disk that may go.
    fn demote(&self) {
        self.keyspace.set_memory_limit(1);
        self.keyspace.govern(0);
    }
}

/// The access that a step needs; one to all keys would take too many latches to try many orders.
fn open_access<'k>(keyspace: &'k Keyspace, step: &Step, now: u64) -> Access<'k> {
    match step {
        Step::Together(_) => keyspace.access_several(0, KEYS.iter().map(|key| key.as_bytes()), Mode::Exclusive, now),
        _ => access(keyspace, step, now),
    }
}

/// A call of a client.
fn any_step(random: &mut Rng) -> Step {
    let (key, other) = (KEYS[random.usize(..KEYS.len())], KEYS[random.usize(..KEYS.len())]);
    let length = random.usize(100..600);
    match random.u32(..16) {
        0..5 => Step::Get(0, key),
        5 => Step::Get(1, "b"),
        6 | 7 => Step::Set(0, key, length),
        8 => Step::SetEx(0, key, length, random.u64(1..8)),
        9 | 10 => Step::Delete(0, key),
        11 => Step::Expire(0, key, Some(random.u64(0..8))),
        12 if key != other => Step::Rename(0, key, other),
        13 if key != other => Step::Copy(0, key, random.u32(..2), other),
        14 => {
            let from = random.u32(..2);
            Step::Move(from, "b", 1 - from)
        }
        _ => Step::Together(vec![Step::Set(0, "a", length), Step::Delete(0, "b"), Step::Set(0, "c", 100)]),
    }
}

/// One run: begins the threads, waits for them, and checks.
fn run(planted: Option<Planted>, totals: &'static Totals) {
    let mut random = Rng::with_seed(shuttle::rand::thread_rng().r#gen());
    let fsync = [Fsync::Always, Fsync::Everysec, Fsync::No][random.usize(..3)];
    let disk = BEFORE.disk.after_kill();
    // Nothing is in the page cache: whoever reads waits for the disk, with no latch held.
    disk.set_cold(random.bool());
    let clock = Arc::new(TestClock::new(START));
    let opened = Keyspace::open(
        Arc::new(Scheduled(disk.clone())),
        clock.clone(),
        Options { window_bytes_max: [1500, 1 << 20][random.usize(..2)], ..small(fsync) },
        DATABASES,
        &mut |_, _| {},
    );
    let keyspace = opened.expect("it is sound").0;
    keyspace.store().plant(planted);
    let world = Arc::new(World {
        keyspace,
        disk,
        clock,
        fsync,
        moment: AtomicUsize::new(0),
        values: AtomicUsize::new(1000),
        lists: Mutex::new(vec![Vec::new(); CLIENTS]),
        stopped: Mutex::default(),
        clients: AtomicUsize::new(CLIENTS),
    });
    let has_threads = random.bool();
    if has_threads {
        world.keyspace.start_threads().expect("threads are to be had");
    }
    let mut threads = Vec::new();
    // In some runs all others read, from the disk, what is compacted meanwhile.
    let only_reads = random.u32(..4) == 0;
    if only_reads {
        world.demote();
    }
    for list in 0..CLIENTS {
        let step = |_| if only_reads { Step::Get(0, KEYS[random.usize(..KEYS.len())]) } else { any_step(&mut random) };
        let (world, steps) = (world.clone(), (0..CALLS).map(step).collect::<Vec<_>>());
        threads.push(shuttle::thread::spawn(move || {
            steps.into_iter().for_each(|step| world.call(list, step, totals));
            world.clients.fetch_sub(1, Ordering::Relaxed);
        }));
    }
    for mut random in [random.fork(), random.fork()] {
        let world = world.clone();
        threads.push(shuttle::thread::spawn(move || match only_reads {
            true => (0..4).for_each(|_| world.compact(true, totals)),
            false => others(&world, &mut random, has_threads, totals),
        }));
    }
    let at = format!("{fsync:?}, {}", if has_threads { "threads" } else { "no threads" });
    threads.into_iter().for_each(|thread| thread.join().expect("it has not panicked"));
    check(&world, &at, totals);
}

/// What happens beside the calls of clients.
fn others(world: &World, random: &mut Rng, has_threads: bool, totals: &Totals) {
    for _ in 0..random.usize(3..7) {
        match random.u32(..10) {
            0..3 => world.compact(true, totals),
            3 if has_threads => world.keyspace.store().ask_to_compact(),
            3 => world.compact(false, totals),
            4 => {
                world.clock.advance(Duration::from_millis(random.u64(1..5)));
                world.expire_due();
            }
            5 => world.demote(),
            6 => world.stop_here(Survival::Random(random.u64(..))),
            7 => world.keyspace.store().sync().expect("the disk does not fail"),
            8 if has_threads => {}
            8 => world.keyspace.store().tick().expect("the disk does not fail"),
            _ => world.keyspace.store().release_retained(),
        }
    }
}

/// What a keyspace holds, each value told by its label.
fn labels(keyspace: &Keyspace) -> Result<Keys, String> {
    let of = |database| KEYS.iter().map(move |key| (database, (*key).to_owned()));
    let keys: Vec<_> = (0..DATABASES).flat_map(of).collect();
    let found = contents(keyspace, &keys)?;
    Ok(found.into_iter().map(|(key, (bytes, expiry))| (key, (label(&bytes), expiry))).collect())
}

fn check(world: &World, at: &str, totals: &Totals) {
    let keyspace = &world.keyspace;
    let lists = std::mem::take(&mut *world.lists.lock());
    let now = keyspace.now();
    let found = labels(keyspace);
    let shown = |found: &Result<Keys, String>| {
        let mut text = format!("{at}: found {found:?}\n");
        lists.iter().flatten().for_each(|call| text += &format!("{call:?}\n"));
        text
    };
    let is = |found: &Result<Keys, String>, state: &State, now| {
        found.as_ref().is_ok_and(|found| state.visible(now) == *found)
    };
    let start = &BEFORE.state;
    assert!(explained(&lists, start, &|state| is(&found, state, now)), "{}", shown(&found));
    totals.expired.fetch_add(keyspace.expired_keys() as usize, Ordering::Relaxed);
    let appended = keyspace.store().appended();
    if appended / SEGMENT_BYTES > BEFORE.appended / SEGMENT_BYTES + 1 {
        totals.rolled.fetch_add(1, Ordering::Relaxed);
    }
    keyspace.store().close().expect("the disk does not fail");
    // No thread is in the middle of anything any more.
    assert_exact(keyspace, at);
    let again = open(Arc::new(world.disk.survivors(Survival::Durable)), now, small(world.fsync));
    let again = again.map_err(|error| error.to_string()).and_then(|keyspace| labels(&keyspace));
    assert_eq!(found, again, "{at}: after another start");
    let Some((moment, now, disks)) = world.stopped.lock().take() else { return };
    totals.crashes.fetch_add(disks.len(), Ordering::Relaxed);
    let until = |list: &Vec<Call>| {
        let begun = list.iter().filter(|call| call.began < moment).cloned();
        let cut = |mut call: Call| {
            call.ended = call.ended.filter(|ended| ended.0 < moment);
            call
        };
        begun.map(cut).collect::<Vec<_>>()
    };
    let lists = lists.iter().map(until).collect();
    for disk in disks {
        let found = open(Arc::new(disk), now, small(world.fsync));
        let found = found.map_err(|error| error.to_string()).and_then(|keyspace| labels(&keyspace));
        assert!(explained(&lists, start, &|state| is(&found, state, now)), "stopped at {moment}, {}", shown(&found));
    }
}

/// What each segment says of the values that something refers to is true.
pub(super) fn assert_exact(keyspace: &Keyspace, at: &str) {
    let mut counts: BTreeMap<u32, Count> = BTreeMap::new();
    keyspace.bound.each_location(|location| {
        counts.entry(location.segment).or_default().add(Count::one(location.length));
    });
    for (segment, live) in keyspace.store().live() {
        assert_eq!(live, counts.remove(&segment).unwrap_or_default(), "{at}: what is alive in segment {segment}");
    }
}

fn explore(scheduler: impl Scheduler + 'static, planted: Option<Planted>) -> &'static Totals {
    let totals: &'static Totals = Box::leak(Box::default());
    LazyLock::force(&BEFORE);
    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 20;
    if planted.is_some() {
        config.failure_persistence = shuttle::FailurePersistence::None;
    }
    shuttle::Runner::new(scheduler, config).run(move || run(planted, totals));
    totals
}

const SEED: u64 = 0x5eed;
/// In how many schedules a planted fault has to be noticed.
const TRIES_MAX: usize = 100_000;
/// How often the running thread changes, where it seldom does.
const CHANGES: usize = 4;

fn seed() -> u64 {
    number("CASKADE_SCHEDULES_SEED", SEED)
}

fn runs() -> usize {
    number("CASKADE_SCHEDULES", 3000) as usize
}

#[test]
fn whatever_order_threads_run_in_one_order_explains_what_they_were_told() {
    let random = explore(RandomScheduler::new_from_seed(seed(), runs()), None);
    // Few changes of the running thread, at moments chosen at random, find what needs a certain order.
    let few = explore(PctScheduler::new_from_seed(seed(), CHANGES, runs()), None);
    println!("{} schedules; at random {random:?}, with few changes {few:?}", 2 * runs());
    for totals in [random, few] {
        let often = |what: &str, count: &AtomicUsize, least: usize| {
            let count = count.load(Ordering::Relaxed);
            assert!(count * 1000 >= least * runs(), "{what} only {count} times in {} schedules", runs());
        };
        often("called", &totals.calls, 4_000);
        often("fetched from the disk", &totals.cold, 300);
        often("took segments away", &totals.passes, 1_000);
        often("expired", &totals.expired, 50);
        often("stopped", &totals.crashes, 300);
        often("began a segment", &totals.rolled, 30);
    }
}

/// Faults of which the order of threads decides whether they do harm.
#[test]
fn planted_faults_are_noticed() {
    use Planted::{NoSecondLook, NoSyncOfTheLog, RemovedEarly, ToldEarly};
    for planted in [NoSecondLook, NoSyncOfTheLog, RemovedEarly, ToldEarly] {
        let noticed = std::panic::catch_unwind(|| {
            // The first that notices it is the last; some need a certain order of many.
            explore(PctScheduler::new_from_seed(seed(), CHANGES, TRIES_MAX), Some(planted));
        });
        assert!(noticed.is_err(), "{planted:?} was not noticed in {TRIES_MAX} schedules");
    }
}
