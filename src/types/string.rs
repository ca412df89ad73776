//! Strings as bytes: ranges and patches.

use std::ops::Range;

/// What GETRANGE answers of a string of `length` bytes: both ends are included, negative ones count from the end,
/// and what lies outside is cut off.
pub fn range(length: usize, start: i64, end: i64) -> Range<usize> {
    let length = length as i64;
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let from_end = |index: i64| if index < 0 { (length + index).max(0) } else { index };
    let (start, end) = (from_end(start), from_end(end).min(length - 1));
    if start > end || length == 0 { 0..0 } else { start as usize..end as usize + 1 }
}

/// The string with `patch` written over it at `offset`, filled up with zero bytes where it was too short.
pub fn set_range(current: &[u8], offset: usize, patch: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(current.len().max(offset + patch.len()));
    value.extend_from_slice(current);
    if value.len() < offset + patch.len() {
        value.resize(offset + patch.len(), 0);
    }
    value[offset..offset + patch.len()].copy_from_slice(patch);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_what_is_there() {
        let text = b"This is a string";
        let rows: [(i64, i64, &[u8]); 10] = [
            (0, 3, b"This"),
            (-3, -1, b"ing"),
            (0, -1, text),
            (10, 100, b"string"),
            (5, 3, b""),
            (-1, -5, b""),
            (-100, 3, b"This"),
            (-100, -100, b"T"),
            (16, 20, b""),
            (i64::MIN, i64::MAX, text),
        ];
        for (start, end, expected) in rows {
            assert_eq!(&text[range(text.len(), start, end)], expected, "{start} {end}");
        }
        assert_eq!(range(0, 0, -1), 0..0);
    }

    #[test]
    fn a_patch_fills_up_with_zeros() {
        assert_eq!(set_range(b"Hello World", 6, b"Redis"), b"Hello Redis");
        assert_eq!(set_range(b"", 3, b"ab"), b"\0\0\0ab");
        assert_eq!(set_range(b"abc", 1, b""), b"abc");
    }
}
