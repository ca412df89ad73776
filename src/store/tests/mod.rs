//! Tests of the store as a whole, over a simulated disk.

mod changed_fsync;
mod elements;
mod limits;
mod pace;
mod records;
mod start_of_segment;
mod times;
mod torn;
mod turned_away;
mod watched;

use std::sync::Arc;

use parking_lot::Mutex;

use super::clock::TestClock;
use super::disk::{Disk, SimDisk};
use super::manifest::segment_file_name;
use super::{
    Beginning, Draft, Fsync, Hinted, Location, Op, OpenError, Options, Records, Recovered, Replay, SegmentSize, Store,
};

/// What a log was found to say.
#[derive(Default)]
struct Found {
    /// Keys with their values, in the order of the log.
    puts: Vec<(Vec<u8>, Vec<u8>)>,
    damaged: Vec<Vec<u8>>,
}

/// What a log was told to say, by sequence number.
#[derive(Default)]
struct Told(Mutex<Vec<ToldOf>>);

/// The number of a value's record, where it is, its key, and whether it is damaged.
type ToldOf = (u64, Location, Vec<u8>, bool);

impl Replay for Told {
    fn begin(&mut self, _: &Beginning<'_>) {}

    fn partition(&self, _: usize, records: Records<'_>) {
        let of = |(segment, record): (u32, Hinted<'_>)| {
            let at = Location { segment, offset: record.offset, length: record.length };
            (record.sequence, at, record.key.to_vec(), record.damaged)
        };
        self.0.lock().extend(records.filter(|(_, record)| record.op == Op::Put).map(of));
    }

    fn elements(&self, _: usize, _: Records<'_>) {}
}

impl Told {
    /// The same with the values, in the order of the log.
    fn read(self, store: &Store) -> Found {
        let mut told = self.0.into_inner();
        told.sort_unstable_by_key(|(sequence, ..)| *sequence);
        let mut found = Found::default();
        for (_, at, key, damaged) in told {
            if damaged {
                found.damaged.push(key);
            } else {
                let value = store.read(at, &key).unwrap().to_vec();
                found.puts.push((key, value));
            }
        }
        found
    }
}

/// A store on a disk, and the clock it looks at.
struct Opened {
    store: Store,
    clock: Arc<TestClock>,
    recovered: Recovered,
    found: Found,
}

fn open(disk: &SimDisk, fsync: Fsync) -> Result<Opened, OpenError> {
    let clock = Arc::new(TestClock::new(1_700_000_000_000));
    let segment_size = SegmentSize::Fixed(4096);
    let options = Options { fsync, segment_size, load_threads: 1, ..Options::default() };
    let mut told = Told::default();
    let (store, recovered) = Store::open(Arc::new(disk.clone()), clock.clone(), options, &mut told, &mut |_, _| {})?;
    let found = told.read(&store);
    Ok(Opened { store, clock, recovered, found })
}

impl Opened {
    fn put(&self, key: &str, length: usize) {
        let appended = self.store.append(&Draft::put(0, 0, key.as_bytes(), &vec![b'v'; length])).unwrap();
        self.store.wait_acknowledged(appended.end).unwrap();
    }

    fn keys(&self) -> Vec<&str> {
        self.found.puts.iter().map(|(key, _)| std::str::from_utf8(key).unwrap()).collect()
    }
}

/// Overwrites a part of a segment on the medium.
fn overwrite(disk: &SimDisk, segment: u32, at: std::ops::Range<usize>, byte: u8) {
    let name = segment_file_name(segment);
    let mut bytes = disk.bytes(&name).unwrap();
    bytes[at].fill(byte);
    disk.plant(&name, &bytes);
    assert!(disk.open(&name, super::disk::Mode::Read).is_ok());
}
