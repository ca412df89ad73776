//! Where in the log a moment is.
//!
//! Always true: no transaction is cut in two, and nothing counts that was written after the time that is asked for.

use crate::store::error::OpenError;
use crate::store::log::MARK_INTERVAL;
use crate::store::reader::Reader;
use crate::store::record::{Raw, Record};
use crate::store::recovery::Found;
use crate::store::segment::FIRST_OFFSET;

/// The number of the last record that had been written at a time, as far as the marks tell: they are a tenth of a second
/// apart, or as long as the disk has stalled. `log` are the segments of the log in its order.
pub(super) fn sequence_at(log: &[&Found], time: u64, last: u64) -> Result<u64, OpenError> {
    // The latest mark that is not after it: its number and its time.
    let mut before: Option<(u64, u64)> = None;
    for found in log {
        let summary = found.hint.as_ref().map(|hint| *hint.summary()).unwrap_or_default();
        if summary.sequence_max == 0 {
            continue;
        }
        if summary.wall <= time {
            if time >= summary.wall + 2 * MARK_INTERVAL {
                before = Some((summary.sequence_max, summary.wall));
            } else {
                // Behind its last mark there may be some that came later, where a process was killed.
                walk(found, &mut |record, _| {
                    before = record.mark().map(|(_, wall)| (record.sequence, wall)).or(before);
                    true
                })?;
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
        // What lies between the two may have come later: marks are missing as long as the disk stalls.
        if let Some(after) = after {
            return Ok(before.map_or(after - 1, |(sequence, _)| sequence));
        }
    }
    Ok(match before {
        Some((sequence, wall)) if time < wall + MARK_INTERVAL => sequence,
        _ => last,
    })
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
