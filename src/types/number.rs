//! What bytes mean as numbers, by the rules Redis reads arguments and stored values with.
//!
//! A text is a number as a whole or not at all: nothing is trimmed, and a value outside the range is refused, never
//! clamped or wrapped.

use super::float_text::{self, Binary, FloatText, Format, Rounded};

/// The longest canonical i64: `-9223372036854775808`.
pub const I64_TEXT_LEN_MAX: usize = 20;

const F64: Format = Format { precision: 53, exponent_min: -1074, exponent_max: 971 };

/// Reads the canonical decimal text of an i64: an optional `-`, then digits with no leading zero.
///
/// Refuses spaces, `+`, `-0` and leading zeros, so that exactly the texts accepted here survive a round trip through
/// an integer.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    if text.len() > I64_TEXT_LEN_MAX {
        return None;
    }
    let (negative, digits) = match text {
        b"0" => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    let size = sum_digits(digits)?;
    if negative { 0i64.checked_sub_unsigned(size) } else { i64::try_from(size).ok() }
}

/// Reads decimal digits as a u64. Leading zeros are allowed, as in cursors and stream ids; signs and spaces are not.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    if text.is_empty() { None } else { sum_digits(text) }
}

/// Reads a double as `strtod` does in the C locale: decimal or hexadecimal, or `inf` and `infinity` in any case.
///
/// Refuses `nan`, white space anywhere, finite texts that round to infinity, and others than zero that round to zero.
/// Subnormals are accepted.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    match float_text::scan(text)? {
        FloatText::Infinity { negative } => Some(infinity(negative)),
        FloatText::Decimal(decimal) => {
            let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
            let zero = || decimal.integer.iter().chain(decimal.fraction).all(|&digit| digit == b'0');
            (value.is_finite() && (value != 0.0 || zero())).then_some(value)
        }
        FloatText::Hexadecimal(binary) => f64_from_binary(binary),
    }
}

/// As [`parse_f64`], but what is too large is infinite, and what is too small is zero.
pub fn parse_f64_saturating(text: &[u8]) -> Option<f64> {
    match float_text::scan(text)? {
        FloatText::Infinity { negative } => Some(infinity(negative)),
        FloatText::Decimal(_) => std::str::from_utf8(text).ok()?.parse().ok(),
        FloatText::Hexadecimal(binary) => Some(f64_nearest(binary)),
    }
}

fn infinity(negative: bool) -> f64 {
    if negative { f64::NEG_INFINITY } else { f64::INFINITY }
}

fn f64_from_binary(binary: Binary) -> Option<f64> {
    let (value, is_zero) = (f64_nearest(binary), binary.mantissa == 0);
    (value.is_finite() && (value != 0.0 || is_zero)).then_some(value)
}

fn f64_nearest(binary: Binary) -> f64 {
    let Rounded::Finite { significand, exponent } = float_text::round(binary, F64) else {
        return infinity(binary.negative);
    };
    // A significand below 2^52 is subnormal, and is stored with a biased exponent of 0 at the same scale.
    let biased = if significand >> 52 == 0 { 0 } else { (exponent - F64.exponent_min + 1) as u64 };
    let bits = u64::from(binary.negative) << 63 | biased << 52 | (significand & ((1 << 52) - 1));
    f64::from_bits(bits)
}

fn sum_digits(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { sum.checked_mul(10)?.checked_add(u64::from(digit)) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn i64_texts() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1", Some(1)),
            ("-1", Some(-1)),
            ("10", Some(10)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775807", Some(i64::MIN + 1)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("18446744073709551615", None),
            ("18446744073709551616", None),
            ("99999999999999999999", None),
            ("-99999999999999999999", None),
            ("", None),
            ("-", None),
            ("--1", None),
            ("+1", None),
            ("-0", None),
            ("00", None),
            ("01", None),
            ("-01", None),
            (" 1", None),
            ("1 ", None),
            ("1\n", None),
            ("1\0", None),
            ("1.0", None),
            ("1e3", None),
            ("0x1", None),
            ("/", None),
            (":", None),
            ("1:", None),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn u64_texts() {
        for (text, expected) in [
            ("0", Some(0)),
            ("00", Some(0)),
            ("007", Some(7)),
            ("00000000000000000000000000001", Some(1)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999999999999999", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("1a", None),
        ] {
            assert_eq!(parse_u64(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn f64_texts() {
        for (text, expected) in [
            ("0", Some(0.0)),
            ("-0", Some(-0.0)),
            ("+1", Some(1.0)),
            ("007", Some(7.0)),
            ("1.", Some(1.0)),
            (".5", Some(0.5)),
            ("1e3", Some(1000.0)),
            ("0.1", Some(0.1)),
            ("inf", Some(f64::INFINITY)),
            ("+INF", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("1.7976931348623157e308", Some(f64::MAX)),
            ("1.7976931348623159e308", None),
            ("-1e309", None),
            ("2.2250738585072014e-308", Some(f64::MIN_POSITIVE)),
            ("5e-324", Some(5e-324)),
            ("2.5e-324", Some(5e-324)),
            ("2.4e-324", None),
            ("-1e-400", None),
            ("1e-99999999999999999999", None),
            ("1e99999999999999999999", None),
            ("0e99999999999999999999", Some(0.0)),
            ("-0.000e-99999", Some(-0.0)),
            ("0x10", Some(16.0)),
            ("-0x1.8p1", Some(-3.0)),
            ("0x.8", Some(0.5)),
            ("0x0p99999", Some(0.0)),
            ("0x1p1023", Some(2f64.powi(1023))),
            ("0x1.fffffffffffffp1023", Some(f64::MAX)),
            ("0x1.fffffffffffff8p1023", None),
            ("0x1.fffffffffffff7p1023", Some(f64::MAX)),
            ("0x1p-1074", Some(5e-324)),
            ("0x1p-1075", None),
            ("0x1.0000000000000000000000000000000000000000000000000001p-1075", Some(5e-324)),
            ("0x1p-1022", Some(f64::MIN_POSITIVE)),
            ("0x0.fffffffffffff8p-1022", Some(f64::MIN_POSITIVE)),
            ("0x1.00000000000008p0", Some(1.0)),
            ("0x1.000000000000081p0", Some(1.0 + f64::EPSILON)),
            ("0x1.0000000000000800000000000000000000000000000000000001p0", Some(1.0 + f64::EPSILON)),
            ("0x1p9999999999999999999", None),
            ("nan", None),
            ("-nan", None),
            ("", None),
            (" 1", None),
            ("1 ", None),
            ("1x", None),
            ("1\0", None),
            ("0x", None),
        ] {
            let read = parse_f64(text.as_bytes());
            assert_eq!(read.map(f64::to_bits), expected.map(f64::to_bits), "{text:?} read as {read:?}");
        }
    }

    #[test]
    fn f64_texts_out_of_range() {
        for (text, expected) in [
            ("1e309", Some(f64::INFINITY)),
            ("-1e309", Some(f64::NEG_INFINITY)),
            ("-1e-400", Some(-0.0)),
            ("0x1p1024", Some(f64::INFINITY)),
            ("-0x1p9999999999999999999", Some(f64::NEG_INFINITY)),
            ("0x1p-1075", Some(0.0)),
            ("1.5", Some(1.5)),
            ("0x10", Some(16.0)),
            ("inf", Some(f64::INFINITY)),
            ("nan", None),
            ("", None),
            ("1x", None),
        ] {
            let read = parse_f64_saturating(text.as_bytes());
            assert_eq!(read.map(f64::to_bits), expected.map(f64::to_bits), "{text:?} read as {read:?}");
        }
    }

    proptest! {
        #[test]
        fn every_i64_survives_its_text(value: i64) {
            prop_assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
        }

        #[test]
        fn every_u64_survives_its_text(value: u64) {
            prop_assert_eq!(parse_u64(value.to_string().as_bytes()), Some(value));
        }

        #[test]
        fn what_is_an_i64_is_its_own_text(text in "[-+0-9 ]{0,22}") {
            if let Some(value) = parse_i64(text.as_bytes()) {
                prop_assert_eq!(value.to_string(), text);
            }
        }

        #[test]
        fn every_finite_f64_survives_decimal_and_hexadecimal(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(parse_f64(format!("{value:e}").as_bytes()).map(f64::to_bits), Some(bits));
            let fraction = bits & ((1 << 52) - 1);
            let biased = (bits >> 52 & 0x7ff) as i64;
            let (lead, exponent) = if biased == 0 { (0, -1022) } else { (1, biased - 1023) };
            let sign = if value.is_sign_negative() { "-" } else { "" };
            let text = format!("{sign}0x{lead}.{fraction:013x}p{exponent}");
            prop_assert_eq!(parse_f64(text.as_bytes()).map(f64::to_bits), Some(bits), "{}", text);
        }

        #[test]
        fn no_bytes_make_it_panic(text: Vec<u8>) {
            parse_i64(&text);
            parse_u64(&text);
            parse_f64(&text);
        }
    }
}
