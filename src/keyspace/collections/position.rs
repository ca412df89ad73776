//! Names of the elements of a large list.
//!
//! The name of an element of a large list is where it stands: one or more groups of eight bytes, each a signed integer with
//! its sign bit turned and its highest byte first, so that names sort as bytes as the elements stand. What is pushed at an
//! end gets the next integer; what is inserted between two neighbours gets an integer between theirs if one is free, and
//! otherwise the name of the first with one more group. In such a group integers are far from each other, so that a name has
//! about one group for each 32 elements that were put in the middle of those before them, whoever chooses the places.

use super::elements::Name;

/// Bytes of a group of a name.
const GROUP_BYTES: usize = 8;
/// From one integer to the next in a group that is not a name's first.
const STEP: i64 = 1 << 32;

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
    let within = |name: Name| Some(name).filter(|name| before < &name[..] && &name[..] < behind);
    let beside = |name: &[u8], step: i64| {
        let at = name.len().checked_sub(GROUP_BYTES)?;
        let step = if at == 0 { step.signum() } else { step };
        within(with_last(name, index_at(name, at)?.checked_add(step)?)?)
    };
    let middle = || {
        let at = before.len().checked_sub(GROUP_BYTES).filter(|_| before.len() == behind.len())?;
        within(with_last(before, index_at(before, at)?.midpoint(index_at(behind, at)?))?)
    };
    let far = beside(before, STEP).or_else(|| beside(behind, -STEP)).or_else(middle);
    far.or_else(|| beside(before, 1)).or_else(|| beside(behind, -1)).unwrap_or_else(|| {
        let mut deeper = Name::from_slice(before);
        // Where the neighbour behind goes on where this one ends, its group less one was not free.
        let next = if behind.starts_with(before) { index_at(behind, before.len()) } else { Some(0) };
        deeper.extend_from_slice(&group(next.unwrap_or(0)));
        deeper
    })
}

/// The name with another integer in its last group.
fn with_last(name: &[u8], index: i64) -> Option<Name> {
    let mut other = Name::from_slice(name.get(..name.len().checked_sub(GROUP_BYTES)?)?);
    other.extend_from_slice(&group(index));
    Some(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts so many names between two neighbours, each between two of those before as `goes_before` says; returns the longest.
    fn longest(count: usize, goes_before: impl Fn(usize) -> bool) -> usize {
        let (mut before, mut behind, mut longest) = (position(0), position(1), 0);
        for number in 0..count {
            let name = name_between(Some(&before), Some(&behind));
            assert!(before < name && name < behind, "{number}: {before:?} {name:?} {behind:?}");
            longest = longest.max(name.len());
            if goes_before(number) {
                behind = name;
            } else {
                before = name;
            }
        }
        longest
    }

    #[test]
    fn names_stay_short_wherever_elements_are_put_in() {
        assert!(longest(10_000, |_| false) <= 2 * GROUP_BYTES, "one behind the other");
        assert!(longest(10_000, |_| true) <= 2 * GROUP_BYTES, "one before the other");
        let patterns: [fn(usize) -> bool; 3] =
            [|number| number % 2 == 0, |number| number % 3 == 0, |number| number % 7 < 3];
        for pattern in patterns {
            assert!(longest(3_200, pattern) <= (3_200 / 25) * GROUP_BYTES, "{}", longest(3_200, pattern));
        }
    }
}
