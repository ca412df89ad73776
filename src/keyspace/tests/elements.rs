//! Elements of large collections while others are at work: compaction, and readers who bring values back into memory.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;

use super::super::watch::Listener;
use super::super::{Access, Halt, Keyspace, Mode, Pins};
use super::runner::{DATABASES, START, open, options};
use crate::store::clock::TestClock;
use crate::store::disk::sim::Survival;
use crate::store::disk::{Disk, File, Mode as Opening, SimDisk};
use crate::store::{Fsync, Position};

/// A disk on which one sync waits, once it is done, until it may return.
struct Gated {
    disk: SimDisk,
    gate: Arc<Gate>,
}

/// The next sync of one of these files waits: it tells the one, and is told by the other.
type Waits = (Vec<String>, Sender<()>, Receiver<()>);

#[derive(Default)]
struct Gate {
    next: Mutex<Option<Waits>>,
}

struct GatedFile {
    file: Box<dyn File>,
    name: String,
    gate: Arc<Gate>,
}

impl Disk for Gated {
    fn open(&self, name: &str, mode: Opening) -> io::Result<Box<dyn File>> {
        let file = self.disk.open(name, mode)?;
        Ok(Box::new(GatedFile { file, name: name.into(), gate: self.gate.clone() }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.disk.sync_directory()
    }

    fn free_space(&self) -> io::Result<u64> {
        self.disk.free_space()
    }

    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        self.disk.directory(name)
    }

    fn link(&self, name: &str, into: &dyn Disk) -> io::Result<()> {
        self.disk.link(name, into)
    }
}

impl File for GatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn read_at_nowait(&self, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        self.file.read_at_nowait(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.file.allocate(length)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()?;
        let mut next = self.gate.next.lock();
        if next.as_ref().is_some_and(|(names, ..)| names.contains(&self.name))
            && let Some((_, arrived, go)) = next.take()
        {
            drop(next);
            arrived.send(()).expect("somebody waits for it");
            go.recv().expect("somebody lets it go on");
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

fn set(keyspace: &Keyspace, fields: impl Iterator<Item = (String, Vec<u8>)>) {
    let mut access = keyspace.access_one(0, b"hash", Mode::Exclusive, keyspace.now(), false);
    let mut hash = access.edit_hash(b"hash").unwrap();
    fields.for_each(|(field, value)| _ = hash.set(field.as_bytes(), &value, None));
    hash.finish().unwrap();
}

fn get(access: &mut Access<'_>, field: &str) -> Result<Option<Vec<u8>>, Halt> {
    let Some(hash) = access.hash(b"hash")? else { return Ok(None) };
    hash.get(access, field.as_bytes(), |value, _| value.to_vec())
}

/// What a command in the middle has changed and compaction passes by is there as it was, as long as the change may be lost.
#[test]
fn an_element_that_is_being_changed_outlives_a_compaction_and_a_loss_of_power() {
    let disk = SimDisk::new();
    let gate = Arc::<Gate>::default();
    let gated = Arc::new(Gated { disk: disk.clone(), gate: gate.clone() });
    let keyspace = open(gated, START, options(Fsync::Everysec)).unwrap();
    // The key itself is in a segment of which all is alive: compaction looks at no record that it had to wait for.
    set(&keyspace, (0..6).map(|number| (format!("first {number}"), vec![b'f'; 100])));
    let fillers = (0..).map(|number| format!("filler {number}"));
    let filler = { fillers }.find(|key| keyspace.slot(key.as_bytes()).shard != keyspace.slot(b"hash").shard).unwrap();
    let fill = || {
        let mut access = keyspace.access_one(0, filler.as_bytes(), Mode::Exclusive, keyspace.now(), false);
        access.put(filler.as_bytes(), 0, &[b's'; 300], None).unwrap();
        drop(access);
        keyspace.store().tick().unwrap();
    };
    (0..20).for_each(|_| fill());
    while keyspace.compact_once(true).unwrap() {}
    // Several segments of which all but the last are sealed, and half of each is dead.
    for number in 0..40 {
        set(&keyspace, std::iter::once((format!("field {number}"), vec![b'o'; 300])));
        fill();
    }
    // What compaction has to make durable, and waits for.
    set(&keyspace, std::iter::once(("another".to_owned(), b"value".to_vec())));
    let (arrived, arrives) = channel();
    let (go, goes) = channel();
    *gate.next.lock() = Some((disk.list().unwrap(), arrived, goes));
    std::thread::scope(|scope| {
        let mut access = keyspace.access_one(0, b"hash", Mode::Exclusive, keyspace.now(), false);
        let mut hash = access.edit_hash(b"hash").unwrap();
        hash.set(b"field 0", b"new", None);
        hash.remove(b"field 1");
        let compacting = scope.spawn(|| keyspace.compact_once(true));
        arrives.recv().unwrap();
        hash.finish().unwrap();
        drop(access);
        go.send(()).unwrap();
        assert!(compacting.join().unwrap().unwrap(), "something is won");
    });
    let again = open(Arc::new(disk.survivors(Survival::Durable)), START, options(Fsync::Everysec)).unwrap();
    let mut access = again.access_one(0, b"hash", Mode::Shared, again.now(), false);
    access.may_block = true;
    let found = [0, 1].map(|number| get(&mut access, &format!("field {number}")).unwrap());
    // All of the change is lost, or nothing of it.
    let old = Some(vec![b'o'; 300]);
    assert!(found == [old.clone(), old] || found == [Some(b"new".to_vec()), None], "{found:?}");
}

/// Readers who bring values back at the same time, while others go, count the memory that they take.
#[test]
fn memory_is_counted_right_where_many_read_what_was_on_the_disk() {
    const FIELDS: usize = 200;
    const ROUNDS: usize = 50;
    let keyspace = open(Arc::new(SimDisk::new()), START, options(Fsync::Everysec)).unwrap();
    set(&keyspace, (0..FIELDS).map(|number| (format!("field {number}"), vec![b'v'; 300])));
    keyspace.store().sync().unwrap();
    let counted = || keyspace.bound.objects.footprint().bytes;
    let before = counted();
    for _ in 0..ROUNDS {
        keyspace.set_memory_limit(1);
        keyspace.govern(0);
        keyspace.set_memory_limit(0);
        keyspace.govern(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let keyspace = &keyspace;
                scope.spawn(move || {
                    for number in 0..FIELDS / 4 {
                        let mut access = keyspace.access_one(0, b"hash", Mode::Shared, keyspace.now(), false);
                        access.may_block = true;
                        access.pins = Pins::default();
                        get(&mut access, &format!("field {}", number * 4 + thread)).unwrap().unwrap();
                    }
                });
            }
        });
    }
    let mut is = 0;
    keyspace.bound.objects.each(|object, _| is += object.bytes());
    assert_eq!(counted(), is, "{before} before");
}

/// Who deletes a large collection does not take it apart, and can see when that is done.
#[test]
fn large_collections_that_were_deleted_are_counted_until_they_are_taken_apart() {
    let keyspace = open(Arc::new(SimDisk::new()), START, options(Fsync::Everysec)).unwrap();
    let delete = |fields: usize| {
        set(&keyspace, (0..fields).map(|number| (format!("field {number}"), Vec::new())));
        let mut access = keyspace.access_one(0, b"hash", Mode::Exclusive, keyspace.now(), false);
        assert!(access.delete(b"hash").unwrap());
    };
    delete(200);
    assert_eq!(keyspace.reclaimed_collections(), (0, 0), "a small one goes at once");
    delete(20_000);
    delete(300);
    let (pending, done) = keyspace.reclaimed_collections();
    assert_eq!(pending + done as usize, 2);
    while keyspace.reclaimed_collections() != (0, 2) {
        std::thread::yield_now();
    }
    assert_eq!(keyspace.bound.objects.footprint().bytes, 0);
}

/// A hash whose field's time comes before the transaction that makes it is committed is removed all the same.
#[test]
fn a_field_that_is_over_before_its_hash_is_there_expires() {
    let clock = Arc::new(TestClock::new(START));
    let opened =
        Keyspace::open(Arc::new(SimDisk::new()), clock.clone(), options(Fsync::Everysec), DATABASES, &mut |_, _| {});
    let keyspace = opened.unwrap().0;
    let mut access = keyspace.access_one(0, b"hash", Mode::Exclusive, keyspace.now(), true);
    let deadline = access.now() + 10;
    let mut hash = access.edit_hash(b"hash").unwrap();
    hash.set(b"field", b"value", Some(deadline));
    hash.finish().unwrap();
    clock.advance(Duration::from_millis(20));
    keyspace.expire_due(keyspace.now(), usize::MAX);
    access.commit().unwrap();
    keyspace.expire_due(keyspace.now(), usize::MAX);
    assert_eq!(keyspace.size(0).keys, 0);
    assert_eq!(keyspace.access_all(0, Mode::Shared, keyspace.now(), false).keys(), 0);
}

/// Each run of a command that needs many values asks for as many as it was given before; none is asked for twice.
#[test]
fn many_values_on_the_disk_are_fetched_in_few_rounds() {
    const FIELDS: usize = 50_000;
    let disk = SimDisk::new();
    disk.set_cold(true);
    let keyspace = open(Arc::new(disk), START, options(Fsync::Everysec)).unwrap();
    set(&keyspace, (0..FIELDS).map(|number| (format!("field {number}"), number.to_string().into_bytes())));
    keyspace.store().sync().unwrap();
    // What is fetched finds no room in memory.
    keyspace.set_memory_limit(1);
    keyspace.govern(0);
    let (mut pins, mut asked) = (Pins::default(), Vec::new());
    let lent = loop {
        let mut access = keyspace.access_one(0, b"hash", Mode::Shared, keyspace.now(), false);
        access.pins = pins.clone();
        let mut lent = 0;
        let found = access.hash(b"hash").unwrap().unwrap();
        let visited = found.each(&mut access, true, |field, value, _| {
            assert_eq!(field, [b"field ", value].concat());
            lent += 1;
        });
        match visited {
            Ok(()) => break lent,
            Err(Halt::Cold(cold)) => {
                drop(access);
                assert_eq!(lent, 0);
                asked.push(cold.len());
                cold.into_iter().for_each(|cold| pins.add(cold.fetch(&keyspace)));
            }
            Err(halt) => panic!("{halt:?}"),
        }
    };
    assert_eq!((lent, asked.iter().sum::<usize>()), (FIELDS, FIELDS), "{asked:?}");
    assert!(asked.len() <= 5, "{asked:?}");
}

struct Told(Sender<bool>);

impl Listener for Told {
    fn expired(&self, _: u32, _: &[u8], _: Position) {}

    fn fields_expired(&self, _: u32, _: &[u8], emptied: bool, _: Position) {
        self.0.send(emptied).expect("the test is there");
    }

    fn evicted(&self, _: u32, _: &[u8], _: Position) {}

    fn changed(&self, _: &[u8]) {}

    fn rebound(&self) {}
}

/// A latch is held for some of the fields that are over, and what is left is said to be waiting.
#[test]
fn many_fields_that_are_over_are_removed_some_at_a_time() {
    let clock = Arc::new(TestClock::new(START));
    let opened =
        Keyspace::open(Arc::new(SimDisk::new()), clock.clone(), options(Fsync::Everysec), DATABASES, &mut |_, _| {});
    let keyspace = opened.unwrap().0;
    let (tell, told) = channel();
    keyspace.watchers.set_listener(Box::new(Told(tell)));
    let mut access = keyspace.access_one(0, b"hash", Mode::Exclusive, keyspace.now(), false);
    let deadline = access.now() + 10;
    let mut hash = access.edit_hash(b"hash").unwrap();
    for number in 0..3000 {
        hash.set(format!("field {number}").as_bytes(), b"value", Some(deadline + number % 5));
    }
    hash.set(b"stays", b"value", None);
    hash.finish().unwrap();
    drop(access);
    clock.advance(Duration::from_millis(20));
    let left = || {
        let mut fields = 0;
        keyspace.bound.objects.each(|object, _| object.each_block(|_| fields += 1));
        fields
    };
    let (mut lefts, limit) = (Vec::new(), 100);
    while keyspace.expire_due(keyspace.now(), limit) >= limit {
        lefts.push(left());
    }
    assert_eq!((&lefts[..], left()), (&[3001 - 1024, 3001 - 2048][..], 1));
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [false; 3], "once for each time");
    assert_eq!(keyspace.expire_due(keyspace.now(), limit), 0);
    assert_eq!(
        get(&mut keyspace.access_one(0, b"hash", Mode::Shared, keyspace.now(), false), "stays").unwrap().unwrap(),
        b"value"
    );
}
