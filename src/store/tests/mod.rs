//! Tests of the store as a whole, over a simulated disk.

mod changed_fsync;
mod records;
mod start_of_segment;
mod turned_away;

use std::sync::Arc;

use super::clock::TestClock;
use super::disk::{Disk, SimDisk};
use super::manifest::segment_file_name;
use super::{Draft, Fsync, Location, OpenError, Options, Record, Recovered, Replay, SegmentSize, Store};

/// What a log was found to say.
#[derive(Default)]
struct Found {
    /// Keys with their values, in the order of the log.
    puts: Vec<(Vec<u8>, Vec<u8>)>,
    damaged: Vec<Vec<u8>>,
}

impl Replay for Found {
    fn replay(&mut self, _: Location, record: &Record<'_>) {
        self.puts.push((record.key.to_vec(), record.value.to_vec()));
    }

    fn damaged(&mut self, _: Location, record: &Record<'_>) {
        self.damaged.push(record.key.to_vec());
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
    let options = Options { fsync, segment_size: SegmentSize::Fixed(4096), ..Options::default() };
    let mut found = Found::default();
    let (store, recovered) = Store::open(Arc::new(disk.clone()), clock.clone(), options, &mut found)?;
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
