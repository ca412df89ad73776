//! `caskade stats`: what is in a data directory: its segments, and its keys by database, type, expiry and size.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::Write;
use std::path::Path;

use super::progress::Progress;
use super::text::{age, bar, key_text};
use super::{Failed, Outcome, open, threads};
use crate::keyspace::{Catalog, Meta};
use crate::store::clock::{Clock, SystemClock};
use crate::store::command;
use crate::store::manifest::SegmentKind;
use crate::types::kind::Kind;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Tells `out` what is in a directory, with the `top` largest keys. Nothing is changed.
///
/// # Errors
/// When the directory is in use, cannot be read, or is damaged so that a server would not start on it; or `out` cannot
/// be written.
pub fn stats(directory: &Path, top: usize, out: &mut dyn Write) -> Result<Outcome, Failed> {
    let inspection = open(directory)?;
    let progress = Progress::new("reading");
    let catalog = Catalog::load(&inspection, threads(), &mut |done, total| progress.show(done, total));
    drop(progress);
    let catalog = catalog.map_err(|error| Failed::opening(&error, directory))?;
    // The clock of a server never shows an earlier moment.
    let now = SystemClock::new().wall().max(catalog.recovered.clock_floor);
    let segments = segments(&catalog, now, out)?;
    let keys = Keys::of(&catalog, top, now);
    keys.tell(out)?;
    writeln!(out, "stats: {} keys, {segments} segments, nothing was changed", keys.count())?;
    match catalog.recovered.damaged {
        0 => Ok(Outcome::Sound),
        damaged => {
            writeln!(out, "DAMAGED: {damaged} values cannot be read: {} says which", command("check", directory))?;
            Ok(Outcome::Damaged)
        }
    }
}

/// Tells of each segment and of all together; returns how many there are.
fn segments(catalog: &Catalog, now: u64, out: &mut dyn Write) -> Result<usize, Failed> {
    writeln!(
        out,
        "{:>10}  {:<10}  {:<22}  {:>14}  {:>14}  {:>5}",
        "segment", "kind", "live", "bytes live", "dead", "age"
    )?;
    let (mut live_sum, mut dead_sum, mut hints, mut files) = (0, 0, 0, 0);
    for (extent, live) in &catalog.segments {
        let kind = match extent.kind {
            SegmentKind::Foreground => "foreground",
            SegmentKind::Compacted => "compacted",
        };
        let dead = extent.bytes.saturating_sub(live.bytes);
        let age = extent.written.map_or_else(|| "-".to_owned(), |written| age(now.saturating_sub(written)));
        let bar = bar(live.bytes, extent.bytes);
        writeln!(out, "{:010}  {kind:<10}  {bar}  {:>14}  {dead:>14}  {age:>5}", extent.id, live.bytes)?;
        live_sum += live.bytes;
        dead_sum += dead;
        hints += extent.hint_bytes;
        files += extent.file_bytes + extent.hint_bytes;
    }
    let records = live_sum + dead_sum;
    writeln!(
        out,
        "bytes of records: {records} ({live_sum} live, {dead_sum} dead); of hints: {hints}; of all files: {files}"
    )?;
    if live_sum > 0 {
        // What is reserved for records to come is no waste.
        let amplification = (records + hints) as f64 / live_sum as f64;
        writeln!(out, "space amplification: {amplification:.3} (records and hints, by what is live)")?;
    }
    Ok(catalog.segments.len())
}

/// What is told of the keys. One whose time is over does not count as one.
#[derive(Default)]
struct Keys {
    /// By database and type: keys, those with an expiry, bytes of their records.
    counts: BTreeMap<(u32, &'static str), (u64, u64, u64)>,
    /// Keys that never expire; whose time is over; that expire within a minute, an hour, a day; later.
    expiry: [u64; 6],
    top: usize,
    /// The smallest first.
    largest: BinaryHeap<Reverse<Large>>,
}

/// A large key: of two with as many bytes, the one with the lower name is told of first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Large {
    bytes: u32,
    name: Reverse<(u32, Box<[u8]>)>,
    kind: &'static str,
}

impl Keys {
    fn of(catalog: &Catalog, top: usize, now: u64) -> Self {
        let mut keys = Self { top, ..Self::default() };
        catalog.each_key(|database, key, meta| keys.add(database, key, meta, now));
        keys
    }

    fn add(&mut self, database: u32, key: &[u8], meta: &Meta, now: u64) {
        let class = match meta.expiry.map(|deadline| deadline.saturating_sub(now)) {
            None => 0,
            Some(0) => 1,
            Some(left) if left <= MINUTE => 2,
            Some(left) if left <= HOUR => 3,
            Some(left) if left <= DAY => 4,
            Some(_) => 5,
        };
        self.expiry[class] += 1;
        if class == 1 {
            return;
        }
        let (bytes, kind) = (meta.location.length, Kind(meta.kind).of().name());
        let (keys, volatile, sum) = self.counts.entry((database, kind)).or_default();
        *keys += 1;
        *volatile += u64::from(meta.expiry.is_some());
        *sum += u64::from(bytes);
        let is_full = self.largest.len() >= self.top;
        if is_full && self.largest.peek().is_none_or(|Reverse(least)| least.bytes > bytes) {
            return;
        }
        self.largest.push(Reverse(Large { bytes, name: Reverse((database, key.into())), kind }));
        if is_full {
            self.largest.pop();
        }
    }

    fn count(&self) -> u64 {
        self.counts.values().map(|(keys, ..)| keys).sum()
    }

    fn tell(&self, out: &mut dyn Write) -> Result<(), Failed> {
        writeln!(out, "\n{:>8}  {:<8}  {:>12}  {:>12}  {:>14}", "database", "type", "keys", "with expiry", "bytes")?;
        for ((database, kind), (keys, volatile, bytes)) in &self.counts {
            writeln!(out, "{database:>8}  {kind:<8}  {keys:>12}  {volatile:>12}  {bytes:>14}")?;
        }
        let [never, over, minute, hour, day, later] = self.expiry;
        writeln!(
            out,
            "expiry: {never} keys never expire; {minute} do within a minute, {hour} within an hour, {day} within a day, \
             {later} later; the time of {over} more is over"
        )?;
        let mut largest: Vec<&Large> = self.largest.iter().map(|Reverse(large)| large).collect();
        largest.sort_by(|one, other| other.cmp(one));
        if !largest.is_empty() {
            writeln!(out, "\n{:>12}  {:<8}  {:>8}  key", "largest", "type", "database")?;
        }
        for Large { bytes, name: Reverse((database, key)), kind } in largest {
            writeln!(out, "{bytes:>12}  {kind:<8}  {database:>8}  {}", key_text(key))?;
        }
        Ok(writeln!(out)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Location;

    fn meta(length: u32, expiry: Option<u64>) -> Meta {
        Meta { location: Location { segment: 1, offset: 64, length }, kind: 0, expiry }
    }

    #[test]
    fn keys_are_told_by_what_is_left_of_their_time_up_to_the_edge() {
        let mut keys = Keys::default();
        let now = 1_000_000;
        for (left, class) in
            [(MINUTE, 2), (MINUTE + 1, 3), (HOUR, 3), (HOUR + 1, 4), (DAY, 4), (DAY + 1, 5), (0, 1), (1, 2)]
        {
            let before = keys.expiry[class];
            keys.add(0, b"k", &meta(40, Some(now + left)), now);
            assert_eq!(keys.expiry[class], before + 1, "{left}");
        }
        keys.add(0, b"k", &meta(40, None), now);
        assert_eq!((keys.expiry[0], keys.count()), (1, 8), "one that is over is none");
    }

    #[test]
    fn only_the_largest_are_kept() {
        let largest = |top| {
            let mut keys = Keys { top, ..Keys::default() };
            for (key, length) in [("c", 50), ("a", 50), ("d", 90), ("b", 50), ("e", 10)] {
                keys.add(0, key.as_bytes(), &meta(length, None), 0);
            }
            let mut told = Vec::new();
            keys.tell(&mut told).unwrap();
            let told = String::from_utf8(told).unwrap();
            let rows = told.split("database  key\n").nth(1).unwrap_or_default().lines();
            rows.filter_map(|row| row.split_whitespace().last().map(str::to_owned)).collect::<Vec<_>>()
        };
        assert_eq!(largest(3), ["\"d\"", "\"a\"", "\"b\""]);
        assert_eq!(largest(0), Vec::<String>::new());
        assert_eq!(largest(9).len(), 5);
    }
}
