//! What a list would take in a listpack of Redis, byte by byte: OBJECT ENCODING follows from that.

use super::super::entry::Entry;
use crate::types::kind::Kind;
use crate::types::number;

/// Bytes of an element's record beside its name, its value and its deadline: header and object id.
const ELEMENT_RECORD_BYTES: usize = 28 + 8;

/// The kind of a list element: how Redis would keep it in a listpack, in the lower bits: 0 as a string, 1 to 6 as an integer
/// of one of six widths.
pub(super) fn kind_of(value: &[u8]) -> u8 {
    const INTEGER_BYTES_MAX: usize = 20;
    let integer = if value.len() <= INTEGER_BYTES_MAX { number::parse_i64(value) } else { None };
    let class = match integer {
        None => 0,
        Some(0..=127) => 1,
        Some(-4096..=4095) => 2,
        Some(-32768..=32767) => 3,
        Some(-8_388_608..=8_388_607) => 4,
        Some(-2_147_483_648..=2_147_483_647) => 5,
        Some(_) => 6,
    };
    Kind::LIST_LISTPACK.0 | class
}

/// Bytes that an element of this kind and length takes in a listpack.
pub(super) fn weight(kind: u8, length: usize) -> usize {
    let entry = match kind & 0x0f {
        1 => 1,
        2 => 2,
        3 => 3,
        4 => 4,
        5 => 5,
        6 => 9,
        _ => match length {
            0..=63 => 1 + length,
            64..=4095 => 2 + length,
            _ => 5 + length,
        },
    };
    let back = match entry {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    };
    entry + back
}

/// How long the value of an element is, wherever it is.
pub(super) fn length_of(entry: &Entry) -> usize {
    if let Some(value) = entry.value().bytes() {
        return value.len();
    }
    let deadline = if entry.expiry().is_some() { 8 } else { 0 };
    (entry.location().length as usize).saturating_sub(ELEMENT_RECORD_BYTES + deadline + entry.key().len())
}
