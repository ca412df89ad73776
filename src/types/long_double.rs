//! The x87 extended float: the `long double` that INCRBYFLOAT and HINCRBYFLOAT compute with on x86.
//!
//! 64 bits of significand, 15 of exponent. Every reading, sum and text is exactly rounded (to nearest, ties to even),
//! on every architecture, since it is integer arithmetic throughout.

use dashu_int::{UBig, ops::BitTest};

use super::float_text::{self, Binary, Decimal, FloatText, Format, Rounded};

/// A text this long or longer is refused: Redis reads into a buffer of this many bytes.
pub const TEXT_BYTES_MAX: usize = 5 * 1024;

/// Digits after the point in a text, at most.
const FRACTION_DIGITS: usize = 17;

const EXTENDED: Format = Format { precision: 64, exponent_min: -16445, exponent_max: 16320 };

/// Texts whose first digit stands outside these places overflow, or are below half of the smallest value.
const LEADING_PLACES: std::ops::RangeInclusive<i64> = -4951..=4933;

/// This many digits always fit a u64.
const U64_DIGITS: usize = 19;

/// The largest power of five whose quotients keep more than 64 bits in the arithmetic of [`from_small_decimal`].
const SMALL_POWER_MAX: usize = 27;

const POWERS_OF_FIVE: [u128; SMALL_POWER_MAX + 1] = {
    let mut powers = [1; SMALL_POWER_MAX + 1];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = powers[index - 1] * 5;
        index += 1;
    }
    powers
};

/// An 80-bit extended value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    /// `significand x 2^exponent`; the top bit is set unless the exponent is the smallest.
    Finite {
        significand: u64,
        exponent: i32,
    },
    Infinite,
    Nan,
}

impl LongDouble {
    /// Reads a text as `strtold` does in the C locale: decimal or hexadecimal, `inf` and `infinity` in any case.
    ///
    /// Refuses `nan`, white space anywhere, texts of [`TEXT_BYTES_MAX`] bytes or more, finite texts that round to
    /// infinity, and others than zero that round to zero.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= TEXT_BYTES_MAX {
            return None;
        }
        match float_text::scan(text)? {
            FloatText::Infinity { negative } => Some(Self { negative, magnitude: Magnitude::Infinite }),
            FloatText::Decimal(decimal) => from_decimal(decimal),
            FloatText::Hexadecimal(binary) => in_range(binary),
        }
    }

    /// The sum; infinities of opposite signs give a NaN, and a finite sum too large an infinity.
    pub fn plus(self, other: Self) -> Self {
        let (a, b) = match (self.magnitude, other.magnitude) {
            (Magnitude::Nan, _) | (_, Magnitude::Nan) => return Self { negative: false, magnitude: Magnitude::Nan },
            (Magnitude::Infinite, Magnitude::Infinite) if self.negative != other.negative => {
                return Self { negative: false, magnitude: Magnitude::Nan };
            }
            (Magnitude::Infinite, _) => return self,
            (_, Magnitude::Infinite) => return other,
            (
                Magnitude::Finite { significand: a, exponent: a_exponent },
                Magnitude::Finite { significand: b, exponent: b_exponent },
            ) => ((a, a_exponent, self.negative), (b, b_exponent, other.negative)),
        };
        // Normal significands have equal lengths and subnormals share the smallest exponent, so this orders by size.
        let ((large, exponent, negative), (small, small_exponent, small_negative)) =
            if (a.1, a.0) >= (b.1, b.0) { (a, b) } else { (b, a) };
        if large == 0 {
            return Self { negative: negative && small_negative, magnitude: finite(0, EXTENDED.exponent_min) };
        }

        // 63 bits below the large significand: a sum may carry one up, and where bits of the small one fall off the
        // end, a difference loses at most its first bit.
        let shift = (exponent - small_exponent) as u32;
        let aligned = u128::from(small) << 63;
        let addend = aligned.checked_shr(shift).unwrap_or(0);
        let sticky = small != 0 && aligned.trailing_zeros() < shift;
        let large = u128::from(large) << 63;
        let mantissa = if negative == small_negative { large + addend } else { large - addend - u128::from(sticky) };
        if mantissa == 0 {
            return Self { negative: false, magnitude: finite(0, EXTENDED.exponent_min) };
        }
        rounded(Binary { negative, mantissa, exponent: i64::from(exponent) - 63, sticky })
    }

    /// Whether it is no number: what adding opposite infinities gives.
    pub fn is_nan(self) -> bool {
        self.magnitude == Magnitude::Nan
    }

    /// Whether it is one of the infinities.
    pub fn is_infinite(self) -> bool {
        self.magnitude == Magnitude::Infinite
    }

    /// The text Redis stores and answers: 17 digits after the point, exactly rounded, less the zeros they end in, and
    /// the point if nothing follows it. A value that rounds to zero is `0`, whatever its sign.
    pub fn format(self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let (significand, exponent) = match self.magnitude {
            Magnitude::Nan => return "nan".to_owned(),
            Magnitude::Infinite => return format!("{sign}inf"),
            Magnitude::Finite { significand, exponent } => (significand, exponent),
        };
        if exponent > 64 {
            return format!("{sign}{}", UBig::from(significand) << exponent as usize);
        }
        if exponent >= 0 {
            return match u128::from(significand) << exponent {
                0 => "0".to_owned(),
                value => format!("{sign}{value}"),
            };
        }
        const SCALE: u128 = 10u128.pow(FRACTION_DIGITS as u32);
        let scaled = float_text::shift_right_rounding(u128::from(significand) * SCALE, i64::from(-exponent), false);
        if scaled == 0 {
            return "0".to_owned();
        }
        let (integer, fraction) = ((scaled / SCALE) as u64, (scaled % SCALE) as u64);
        if fraction == 0 {
            return format!("{sign}{integer}");
        }
        let mut text = format!("{sign}{integer}.{fraction:0width$}", width = FRACTION_DIGITS);
        text.truncate(text.trim_end_matches('0').len());
        text
    }
}

impl From<i64> for LongDouble {
    /// Exact: an i64 fits the significand.
    fn from(value: i64) -> Self {
        let mantissa = u128::from(value.unsigned_abs());
        rounded(Binary { negative: value < 0, mantissa, exponent: 0, sticky: false })
    }
}

fn finite(significand: u64, exponent: i64) -> Magnitude {
    Magnitude::Finite { significand, exponent: exponent as i32 }
}

fn rounded(value: Binary) -> LongDouble {
    let magnitude = match float_text::round(value, EXTENDED) {
        Rounded::Finite { significand, exponent } => finite(significand, exponent),
        Rounded::Overflow => Magnitude::Infinite,
    };
    LongDouble { negative: value.negative, magnitude }
}

/// The rounded value, unless rounding made it infinite, or zero of something else.
fn in_range(value: Binary) -> Option<LongDouble> {
    let result = rounded(value);
    match result.magnitude {
        Magnitude::Infinite | Magnitude::Nan => None,
        Magnitude::Finite { significand: 0, .. } if value.mantissa != 0 => None,
        Magnitude::Finite { .. } => Some(result),
    }
}

fn from_decimal(decimal: Decimal<'_>) -> Option<LongDouble> {
    let Decimal { negative, integer, fraction, exponent } = decimal;
    let digits = || integer.iter().chain(fraction).copied().skip_while(|&digit| digit == b'0');
    let count = digits().count();
    if count == 0 {
        return in_range(Binary { negative, mantissa: 0, exponent: 0, sticky: false });
    }
    // A sum that stays small keeps the powers of ten below it small, whatever the exponent claims.
    if !LEADING_PLACES.contains(&(exponent + count as i64)) {
        return None;
    }
    if count <= U64_DIGITS && exponent.unsigned_abs() <= SMALL_POWER_MAX as u64 {
        let digits = digits().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        return in_range(from_small_decimal(negative, digits, exponent as i32));
    }
    let digits: Vec<u8> = digits().collect();
    let digits = UBig::from_str_radix(std::str::from_utf8(&digits).ok()?, 10).ok()?;
    in_range(from_large_decimal(negative, digits, exponent))
}

/// `digits x 10^exponent` for digits other than 0 and exponents up to [`SMALL_POWER_MAX`] either way.
fn from_small_decimal(negative: bool, digits: u64, exponent: i32) -> Binary {
    let power = POWERS_OF_FIVE[exponent.unsigned_abs() as usize];
    if exponent >= 0 {
        let mantissa = u128::from(digits) * power;
        return Binary { negative, mantissa, exponent: i64::from(exponent), sticky: false };
    }
    // The dividend is at least 2^127 and the divisor below 2^63, so the quotient has 65 bits or more.
    let shift = digits.leading_zeros() + 64;
    let dividend = u128::from(digits) << shift;
    let exponent = i64::from(exponent) - i64::from(shift);
    Binary { negative, mantissa: dividend / power, exponent, sticky: !dividend.is_multiple_of(power) }
}

/// `digits x 10^exponent` for digits other than 0; the caller keeps both in bounds.
fn from_large_decimal(negative: bool, digits: UBig, exponent: i64) -> Binary {
    let power = UBig::from(5u8).pow(exponent.unsigned_abs() as usize);
    if exponent >= 0 {
        return top_bits(negative, digits * power, exponent, false);
    }
    let shift = (power.bit_len() + 66).saturating_sub(digits.bit_len());
    let dividend = digits << shift;
    let quotient = &dividend / &power;
    let exact = &quotient * power == dividend;
    top_bits(negative, quotient, exponent - shift as i64, !exact)
}

/// The highest 128 bits of `value x 2^exponent`, the others made sticky.
fn top_bits(negative: bool, value: UBig, exponent: i64, sticky: bool) -> Binary {
    let drop = value.bit_len().saturating_sub(u128::BITS as usize);
    let sticky = sticky || value.trailing_zeros().is_some_and(|zeros| zeros < drop);
    // What is left has at most 128 bits.
    let mantissa = u128::try_from(value >> drop).unwrap_or(u128::MAX);
    Binary { negative, mantissa, exponent: exponent + drop as i64, sticky }
}

#[cfg(test)]
mod tests;
