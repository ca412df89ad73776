//! Names of the elements of a large list.
//!
//! The name of an element of a large list is where it stands: one or more groups of eight bytes, each a signed integer with
//! its sign bit turned and its highest byte first, so that names sort as bytes as the elements stand. What is pushed at an
//! end gets the next integer; what is inserted between two neighbours gets the integer beside one of them if it is free, and
//! otherwise the name of the first with one more group.

use super::elements::Name;

/// Bytes of a group of a name.
const GROUP_BYTES: usize = 8;

/// The name of an element that is the first of its list, or that stands beside no other.
pub(super) fn position(index: i64) -> Name {
    Name::from_slice(&group(index))
}

fn group(index: i64) -> [u8; GROUP_BYTES] {
    (index as u64 ^ 1 << 63).to_be_bytes()
}

/// The integer of a name's group at `at`.
fn index_at(name: &[u8], at: usize) -> Option<i64> {
    let group: [u8; GROUP_BYTES] = name.get(at..at + GROUP_BYTES)?.try_into().ok()?;
    Some((u64::from_be_bytes(group) ^ 1 << 63) as i64)
}

/// A name between those of two neighbours, either of which may be missing.
pub(super) fn name_between(before: Option<&[u8]>, behind: Option<&[u8]>) -> Name {
    match (before, behind) {
        (None, None) => position(0),
        (Some(before), None) => position(index_at(before, 0).map_or(0, |index| index.saturating_add(1))),
        (None, Some(behind)) => position(index_at(behind, 0).map_or(0, |index| index.saturating_sub(1))),
        (Some(before), Some(behind)) => between(before, behind),
    }
}

fn between(before: &[u8], behind: &[u8]) -> Name {
    let beside = |name: &[u8], step: i64| {
        let at = name.len().checked_sub(GROUP_BYTES)?;
        let index = index_at(name, at)?.checked_add(step)?;
        let mut beside = Name::from_slice(&name[..at]);
        beside.extend_from_slice(&group(index));
        Some(beside).filter(|beside| before < &beside[..] && &beside[..] < behind)
    };
    beside(before, 1).or_else(|| beside(behind, -1)).unwrap_or_else(|| {
        let mut deeper = Name::from_slice(before);
        // Where the neighbour behind goes on where this one ends, its group less one was not free.
        let next = if behind.starts_with(before) { index_at(behind, before.len()) } else { Some(0) };
        deeper.extend_from_slice(&group(next.unwrap_or(0)));
        deeper
    })
}
