//! What is said to have been durable, by marks and by the manifest; and how much is there that nobody claims.

use memchr::memmem::Finder;

use super::find::Found;
use crate::store::error::OpenError;
use crate::store::reader::{READ_BYTES, Reader};
use crate::store::record::{MARK_BYTES, MARK_NEEDLE, Record};
use crate::store::segment::{FIRST_OFFSET, Position};

/// The highest position that is claimed to be durable, by anything at or behind a flaw.
pub(in crate::store) fn claim_from<'a>(
    segment: &Found,
    offset: u64,
    later: impl Iterator<Item = &'a Found>,
) -> Result<Position, OpenError> {
    claim_with(segment, offset, later, &mut |_| {})
}

/// As [`claim_from`]; `went_on` is told of bytes read of the segment itself.
pub(super) fn claim_with<'a>(
    segment: &Found,
    offset: u64,
    later: impl Iterator<Item = &'a Found>,
    went_on: &mut dyn FnMut(u64),
) -> Result<Position, OpenError> {
    let mut claim = highest_claim(segment, offset, went_on)?.unwrap_or(0);
    for later in later {
        claim = claim.max(claim_of(later)?);
    }
    Ok(claim)
}

/// The highest position that a segment claims to be durable, by its marks or as the manifest says.
pub(in crate::store) fn claim_of(segment: &Found) -> Result<Position, OpenError> {
    let sealed = segment.sealed.filter(|bytes| *bytes > 0).map(|bytes| segment.base + bytes);
    let marked = highest_claim(segment, u64::from(FIRST_OFFSET), &mut |_| {})?;
    Ok(sealed.max(marked).unwrap_or(0))
}

/// Looks for marks at every byte: behind a flaw nothing says where records begin.
fn highest_claim(segment: &Found, offset: u64, went_on: &mut dyn FnMut(u64)) -> Result<Option<Position>, OpenError> {
    let finder = Finder::new(&MARK_NEEDLE.0);
    let mut reader = Reader::new(&*segment.file, segment.end());
    let mut highest = None;
    let mut at = offset;
    while at < segment.end() {
        let bytes = reader.bytes(at, READ_BYTES).map_err(segment.reading())?;
        for needle in finder.find_iter(bytes) {
            let Some(start) = needle.checked_sub(MARK_NEEDLE.1) else { continue };
            let Some(candidate) = bytes.get(start..start + MARK_BYTES) else { continue };
            if let Ok(record) = Record::read(candidate, segment.listed.salt)
                && let Some((durable, _)) = record.mark()
            {
                highest = highest.max(Some(durable));
            }
        }
        went_on(bytes.len() as u64);
        if at + bytes.len() as u64 >= segment.end() || bytes.len() <= MARK_BYTES {
            break;
        }
        at += (bytes.len() - MARK_BYTES) as u64;
    }
    Ok(highest)
}

/// Bytes from `offset` to the last one that is not zero.
pub(in crate::store) fn used_bytes(segment: &Found, offset: u64) -> Result<u64, OpenError> {
    let mut reader = Reader::new(&*segment.file, segment.file_bytes);
    let (mut at, mut used) = (offset, 0);
    while at < segment.file_bytes {
        let bytes = reader.bytes(at, READ_BYTES).map_err(segment.reading())?;
        if bytes.is_empty() {
            break;
        }
        if let Some(last) = last_used(bytes) {
            used = at + last as u64 + 1 - offset;
        }
        at += bytes.len() as u64;
    }
    Ok(used)
}

/// The index of the last byte that is not zero. What was allocated and not used is long: blocks are compared whole.
fn last_used(bytes: &[u8]) -> Option<usize> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let (index, block) = bytes.chunks(ZEROS.len()).enumerate().rfind(|(_, block)| **block != ZEROS[..block.len()])?;
    block.iter().rposition(|byte| *byte != 0).map(|last| index * ZEROS.len() + last)
}
