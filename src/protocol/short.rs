//! Requests of short strings that are there as a whole, as nearly all are, read in one go.
//!
//! Always true: what is found is what a [`Decoder`](super::Decoder) finds in more steps; nothing else is found.

use super::Limits;
use super::request::refuse_cross_protocol;

/// A number of more digits is not read in one go.
const SHORT_DIGITS_MAX: usize = 4;

/// Reads a request of short strings at the front of `buffer` that is there as a whole, and that nothing has to be said about:
/// appends the places of its words in `buffer` to `ranges`, and returns where it ends. Any other is left to a [`Decoder`](super::Decoder),
/// which finds the same in more steps.
#[inline]
pub fn whole(buffer: &[u8], limits: &Limits, ranges: &mut Vec<(usize, usize)>) -> Option<usize> {
    let first = ranges.len();
    let end = short_elements(buffer, limits, ranges).filter(|_| is_plain(buffer, ranges[first]));
    if end.is_none() {
        ranges.truncate(first);
    }
    end
}

#[inline]
pub(super) fn short_elements(buffer: &[u8], limits: &Limits, ranges: &mut Vec<(usize, usize)>) -> Option<usize> {
    let (count, mut at) = short_number(buffer, 0, b'*')?;
    if count == 0 || count > limits.arguments_max {
        return None;
    }
    for _ in 0..count {
        let (length, from) = short_number(buffer, at, b'$')?;
        let to = from + length;
        at = to + 2;
        if length > limits.bulk_bytes_max || buffer.len() < at {
            return None;
        }
        ranges.push((from, to));
    }
    Some(at)
}

/// Whether a request's first word is not one of another protocol.
#[inline]
pub(super) fn is_plain(buffer: &[u8], (from, to): (usize, usize)) -> bool {
    refuse_cross_protocol(&buffer[from..to]).is_ok()
}

/// The number of a line `*N` or `$N` with a few digits, as Redis writes it, and where the line after it begins.
#[inline]
fn short_number(buffer: &[u8], at: usize, sigil: u8) -> Option<(usize, usize)> {
    let line = buffer.get(at..)?;
    let (&first, line) = line.split_first()?;
    let mut number = usize::from(line.first()?.wrapping_sub(b'0'));
    if first != sigil || number > 9 {
        return None;
    }
    let mut digits = 1;
    loop {
        match line.get(digits)? {
            digit @ b'0'..=b'9' if digits < SHORT_DIGITS_MAX && number > 0 => {
                number = number * 10 + usize::from(digit - b'0');
                digits += 1;
            }
            b'\r' if line.get(digits + 1) == Some(&b'\n') => return Some((number, at + digits + 3)),
            _ => return None,
        }
    }
}
