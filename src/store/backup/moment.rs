//! Where in the log a moment is.
//!
//! Always true: no transaction is cut in two, and nothing counts that was written after the time that is asked for.

use crate::store::error::OpenError;
use crate::store::log::MARK_INTERVAL;
use crate::store::reader::Reader;
use crate::store::record::{Raw, Record};
use crate::store::recovery::Found;
use crate::store::segment::FIRST_OFFSET;

/// Within that many milliseconds after a mark, all is written that was appended before the next one: flushes begin with a
/// mark where the last one is older than [`MARK_INTERVAL`].
const MARK_REACH: u64 = 2 * MARK_INTERVAL;

/// The number of the last record that had been written at a time, as far as the marks tell: they are a tenth of a second
/// apart. `log` are the segments of the log in its order.
pub(super) fn sequence_at(log: &[&Found], time: u64, last: u64) -> Result<u64, OpenError> {
    // The latest mark that is not after it: its number and its time.
    let mut before: Option<(u64, u64)> = None;
    for found in log {
        let summary = found.hint.as_ref().map(|hint| *hint.summary()).unwrap_or_default();
        if summary.wall <= time {
            if summary.sequence_max > 0 {
                before = Some((summary.sequence_max, summary.wall));
            }
            continue;
        }
        let mut after = None;
        walk(found, &mut |record, _| {
            match record.mark() {
                Some((_, wall)) if wall <= time => before = Some((record.sequence, wall)),
                Some(_) => after = Some(record.sequence),
                None => {}
            }
            after.is_none()
        })?;
        let Some(after) = after else { continue };
        return Ok(match before {
            Some((sequence, wall)) if time < wall + MARK_REACH => sequence,
            _ => after - 1,
        });
    }
    Ok(last)
}

/// The number itself, or that of the last record before the transaction that it is in the middle of.
pub(super) fn between_batches(log: &[&Found], sequence: u64) -> Result<u64, OpenError> {
    let Some(found) = log.iter().rfind(|found| found.base_sequence <= sequence) else { return Ok(sequence) };
    let (mut begin, mut whole) = (None, sequence);
    walk(found, &mut |record, _| {
        if record.sequence > sequence {
            return false;
        }
        begin = if record.batch_goes_on() { begin.or(Some(record.sequence)) } else { None };
        whole = begin.map_or(sequence, |begin: u64| begin - 1);
        true
    })?;
    Ok(whole)
}

/// The offset of the first record with a number above `sequence`.
pub(super) fn offset_behind(found: &Found, sequence: u64) -> Result<u64, OpenError> {
    let mut end = u64::from(FIRST_OFFSET);
    walk(found, &mut |record, bytes| {
        if record.sequence > sequence {
            return false;
        }
        end += bytes.len() as u64;
        true
    })?;
    Ok(end)
}

/// Tells every record and its bytes, in the order of the file, until it answers `false`.
pub(super) fn walk(found: &Found, tell: &mut dyn FnMut(&Record<'_>, &[u8]) -> bool) -> Result<(), OpenError> {
    let (mut offset, end) = (u64::from(FIRST_OFFSET), found.bytes + u64::from(FIRST_OFFSET));
    let mut reader = Reader::new(&*found.file, end);
    while offset < end {
        let bytes = reader.record(offset).map_err(OpenError::io(format!("reading {}", found.name())))?;
        let salt = found.listed.salt;
        // A damaged value is nothing to us: it is copied as it is.
        let Ok(record) = Record::read(bytes, salt).or_else(|_| Record::read_head(bytes, salt)) else {
            let what = "a record cannot be made out, so that nobody can tell what was there at a moment".to_owned();
            return Err(OpenError::Corrupt { file: found.name(), offset, what });
        };
        let length = Raw::read(bytes).length;
        if !tell(&record, &bytes[..length as usize]) {
            break;
        }
        offset += u64::from(length);
    }
    Ok(())
}
