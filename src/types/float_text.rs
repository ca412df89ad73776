//! The grammar of C's `strtod` and `strtold`, and the rounding both kinds of binary float share.
//!
//! A text is read whole or refused; nothing is rounded while reading, except that what lies beyond 120 bits of a
//! hexadecimal mantissa is kept as one sticky bit, which is enough to round exactly to any format here.

/// What a text says, before it is rounded to a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FloatText<'a> {
    Infinity { negative: bool },
    Decimal(Decimal<'a>),
    Hexadecimal(Binary),
}

/// `digits x 10^exponent`, the digits being those of `integer` followed by those of `fraction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal<'a> {
    pub negative: bool,
    pub integer: &'a [u8],
    pub fraction: &'a [u8],
    /// Of the last digit; saturates far outside the range of every format.
    pub exponent: i64,
}

/// `(mantissa + s) x 2^exponent`, where `s` is 0, or something between 0 and 1 if `sticky`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Binary {
    pub negative: bool,
    pub mantissa: u128,
    pub exponent: i64,
    pub sticky: bool,
}

/// A binary float format: its precision and the exponents of its integer significands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    pub precision: u32,
    /// Exponent of the subnormals, and so the smallest.
    pub exponent_min: i64,
    pub exponent_max: i64,
}

/// A finite value in some [`Format`], or the fact that it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounded {
    Finite { significand: u64, exponent: i64 },
    Overflow,
}

/// Exponents beyond this are out of range whatever the mantissa: no text is long enough to bring them back.
const EXPONENT_SATURATED: i64 = 1 << 60;

/// Reads all of `text` by the rules of `strtod`, save that white space in front and `nan` are refused.
pub(super) fn scan(text: &[u8]) -> Option<FloatText<'_>> {
    let (negative, rest) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
        return Some(FloatText::Infinity { negative });
    }
    match rest {
        [b'0', b'x' | b'X', digits @ ..] => scan_hexadecimal(negative, digits).map(FloatText::Hexadecimal),
        _ => scan_decimal(negative, rest).map(FloatText::Decimal),
    }
}

/// Rounds to nearest, ties to even. A sticky mantissa must have more bits than the format's precision.
pub(super) fn round(value: Binary, format: Format) -> Rounded {
    let Binary { mantissa, exponent, sticky, .. } = value;
    if mantissa == 0 {
        return Rounded::Finite { significand: 0, exponent: format.exponent_min };
    }
    let bits = i64::from(u128::BITS - mantissa.leading_zeros());
    let target = (exponent + bits - i64::from(format.precision)).max(format.exponent_min);
    let drop = target - exponent;
    let (mut significand, mut target) = if drop <= 0 {
        // At most `precision` bits are wanted and none is dropped, so the shifted value fits.
        (mantissa << (-drop) as u32, target)
    } else {
        (shift_right_rounding(mantissa, drop, sticky), target)
    };
    if significand >> format.precision != 0 {
        significand >>= 1;
        target += 1;
    }
    if target > format.exponent_max {
        return Rounded::Overflow;
    }
    Rounded::Finite { significand: significand as u64, exponent: target }
}

/// `value / 2^by` rounded to the nearest integer, ties to even; `sticky` adds a little to the value.
pub(super) fn shift_right_rounding(value: u128, by: i64, sticky: bool) -> u128 {
    if by > i64::from(u128::BITS) {
        return 0;
    }
    let half = 1u128 << (by - 1);
    let kept = if by == i64::from(u128::BITS) { 0 } else { value >> by };
    let dropped = value & (half | (half - 1));
    let up = dropped > half || (dropped == half && (sticky || kept & 1 == 1));
    kept + u128::from(up)
}

fn scan_decimal(negative: bool, text: &[u8]) -> Option<Decimal<'_>> {
    let (integer, rest) = split_digits(text, u8::is_ascii_digit);
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => split_digits(rest, u8::is_ascii_digit),
        _ => (&rest[..0], rest),
    };
    if integer.is_empty() && fraction.is_empty() {
        return None;
    }
    let exponent = scan_exponent(rest, b'e')?;
    Some(Decimal { negative, integer, fraction, exponent: exponent - fraction.len() as i64 })
}

fn scan_hexadecimal(negative: bool, text: &[u8]) -> Option<Binary> {
    let (integer, rest) = split_digits(text, u8::is_ascii_hexdigit);
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => split_digits(rest, u8::is_ascii_hexdigit),
        _ => (&rest[..0], rest),
    };
    if integer.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut exponent = scan_exponent(rest, b'p')? - 4 * fraction.len() as i64;
    let (mut mantissa, mut sticky) = (0u128, false);
    for &digit in integer.iter().chain(fraction) {
        let value = (digit as char).to_digit(16).unwrap_or(0);
        if mantissa >> 120 == 0 {
            mantissa = mantissa << 4 | u128::from(value);
        } else {
            sticky |= value != 0;
            exponent += 4;
        }
    }
    Some(Binary { negative, mantissa, exponent, sticky })
}

/// Reads nothing (0), or `mark` in either case and a signed decimal number.
fn scan_exponent(text: &[u8], mark: u8) -> Option<i64> {
    let Some((first, rest)) = text.split_first() else { return Some(0) };
    if first.to_ascii_lowercase() != mark {
        return None;
    }
    let (negative, digits) = match rest {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        _ => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits.iter().fold(0i64, |sum, digit| {
        if sum < EXPONENT_SATURATED / 16 { sum * 10 + i64::from(digit - b'0') } else { EXPONENT_SATURATED }
    });
    Some(if negative { -size } else { size })
}

fn split_digits(text: &[u8], is_digit: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !is_digit(byte)).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar() {
        let accepted = [
            "0",
            "-0",
            "+0",
            "1",
            "007",
            "1.",
            ".5",
            "-.5",
            "+.5",
            "1.5",
            "1e5",
            "1E5",
            "1e+5",
            "1e-5",
            "1.e5",
            ".5e5",
            "inf",
            "INF",
            "+inf",
            "-inf",
            "Infinity",
            "-iNFINITY",
            "0x1",
            "0X1",
            "0xA",
            "0xa.8",
            "0x.8",
            "0x8.",
            "0x1p4",
            "0x1P4",
            "0x1p+4",
            "0x1p-4",
            "-0x1p4",
            "1e99999999999999999999999",
            "0x0p-99999999999999999999",
        ];
        for text in accepted {
            assert!(scan(text.as_bytes()).is_some(), "{text:?}");
        }
        let refused: [&[u8]; 37] = [
            b"",
            b" 1",
            b"1 ",
            b"\t1",
            b"\n1",
            b"+",
            b"-",
            b".",
            b"-.",
            b"e5",
            b".e5",
            b"1e",
            b"1e+",
            b"1e-",
            b"1ee5",
            b"1e5.0",
            b"--1",
            b"+-1",
            b"1.2.3",
            b"nan",
            b"-nan",
            b"nan(0)",
            b"infinit",
            b"infx",
            b"in",
            b"i",
            b"0x",
            b"0x.",
            b"0xp4",
            b"0x1p",
            b"0x1e+5",
            b"0xg",
            b"0b1",
            b"1_000",
            b"1,5",
            b"1\0",
            b"\xef\xbc\x91",
        ];
        for text in refused {
            assert_eq!(scan(text), None, "{:?}", text.escape_ascii().to_string());
        }
    }

    #[test]
    fn exponents_saturate() {
        assert_eq!(scan_exponent(b"e999999999999999999999999999", b'e'), Some(EXPONENT_SATURATED));
        assert_eq!(scan_exponent(b"E-999999999999999999999999999", b'e'), Some(-EXPONENT_SATURATED));
        assert_eq!(scan_exponent(b"e0000000000000000000000000012", b'e'), Some(12));
    }

    #[test]
    fn shifting_rounds_half_to_even() {
        for (value, by, sticky, expected) in [
            (0b100, 1, false, 0b10),
            (0b101, 1, false, 0b10),
            (0b111, 1, false, 0b100),
            (0b101, 1, true, 0b11),
            (0b1001, 2, true, 0b10),
            (0b1011, 2, false, 0b11),
            (1, 1, false, 0),
            (1, 1, true, 1),
            (u128::MAX, 128, false, 1),
            (1 << 127, 128, false, 0),
            (1 << 127, 128, true, 1),
            (u128::MAX, 129, true, 0),
        ] {
            assert_eq!(shift_right_rounding(value, by, sticky), expected, "{value:b} >> {by}, {sticky}");
        }
    }
}
