//! Doubles as text, in the form Redis 7.2 gives them: the fewest digits that read back as the same number.

/// Room for the text of any double; reusable.
#[derive(Clone, Copy, Debug, Default)]
pub struct DoubleBuffer {
    /// The longest texts are as `-1.2345678901234568e-300`, of 24 bytes.
    bytes: [u8; 32],
    length: usize,
}

impl DoubleBuffer {
    pub const fn new() -> Self {
        Self { bytes: [0; 32], length: 0 }
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes[self.length..self.length + text.len()].copy_from_slice(text);
        self.length += text.len();
    }

    fn push_zeros(&mut self, count: usize) {
        self.bytes[self.length..self.length + count].fill(b'0');
        self.length += count;
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Integers up to this size are written in full.
const INTEGER_MAX: f64 = (1_i64 << 62) as f64;

/// The text of `value`: `3`, `0.1`, `-0`, `1e+21`, `1.5e-7`, `inf`, `-inf`, `nan`.
pub fn format_double(value: f64, buffer: &mut DoubleBuffer) -> &[u8] {
    buffer.length = 0;
    if value.is_nan() {
        buffer.push(b"nan");
        return buffer.as_bytes();
    }
    if value.is_sign_negative() {
        buffer.push(b"-");
    }
    let size = value.abs();
    if size.is_infinite() {
        buffer.push(b"inf");
    } else if size <= INTEGER_MAX && size.fract() == 0.0 {
        buffer.push(itoa::Buffer::new().format(size as u64).as_bytes());
    } else {
        format_digits(&Decimal::shortest(size), buffer);
    }
    buffer.as_bytes()
}

/// A positive number as `digits` times ten to the `exponent`, with no zero at either end of the digits.
struct Decimal {
    digits: [u8; 24],
    count: usize,
    exponent: i32,
}

impl Decimal {
    fn shortest(value: f64) -> Self {
        let mut text = zmij::Buffer::new();
        let text = text.format_finite(value);
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let mut decimal = Self { digits: [0; 24], count: 0, exponent: exponent.parse().unwrap_or(0) };
        let mut is_fraction = false;
        // Zeros count only once a later digit shows that they are inside the number.
        let mut zeros = 0;
        for byte in mantissa.bytes() {
            if byte == b'.' {
                is_fraction = true;
                continue;
            }
            decimal.exponent -= i32::from(is_fraction);
            if byte == b'0' {
                zeros += 1;
                continue;
            }
            if decimal.count > 0 {
                decimal.digits[decimal.count..decimal.count + zeros].fill(b'0');
                decimal.count += zeros;
            }
            zeros = 0;
            decimal.digits[decimal.count] = byte;
            decimal.count += 1;
        }
        decimal.exponent += zeros as i32;
        decimal
    }
}

/// The three notations and the borders between them are those of Redis 7.2 (`deps/fpconv`), which clients compare.
fn format_digits(decimal: &Decimal, buffer: &mut DoubleBuffer) {
    let digits = &decimal.digits[..decimal.count];
    let scientific = decimal.exponent + decimal.count as i32 - 1;
    if decimal.exponent >= 0 && decimal.exponent <= 7 {
        buffer.push(digits);
        buffer.push_zeros(decimal.exponent as usize);
    } else if decimal.exponent < 0 && (decimal.exponent > -7 || scientific.abs() < 4) {
        let fraction = decimal.exponent.unsigned_abs() as usize;
        if fraction >= digits.len() {
            buffer.push(b"0.");
            buffer.push_zeros(fraction - digits.len());
            buffer.push(digits);
        } else {
            let (whole, fraction) = digits.split_at(digits.len() - fraction);
            buffer.push(whole);
            buffer.push(b".");
            buffer.push(fraction);
        }
    } else {
        let (first, others) = digits.split_at(1);
        buffer.push(first);
        if !others.is_empty() {
            buffer.push(b".");
            buffer.push(others);
        }
        buffer.push(if scientific < 0 { b"e-" } else { b"e+" });
        buffer.push(itoa::Buffer::new().format(scientific.unsigned_abs()).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(value: f64) -> String {
        String::from_utf8(format_double(value, &mut DoubleBuffer::new()).to_vec()).unwrap()
    }

    #[test]
    fn doubles_look_as_in_redis() {
        let table: &[(f64, &str)] = &[
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-3.0, "-3"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (-1.5, "-1.5"),
            (100.25, "100.25"),
            (1234.5, "1234.5"),
            (std::f64::consts::PI, "3.141592653589793"),
            (1e7, "10000000"),
            (1e15, "1000000000000000"),
            (4503599627370495.5, "4503599627370495.5"),
            (4503599627370496.0, "4503599627370496"),
            (4503599627370497.0, "4503599627370497"),
            (9007199254740993.0, "9007199254740992"),
            (1e16, "10000000000000000"),
            (12e16, "120000000000000000"),
            (12e18, "1.2e+19"),
            (1e20, "1e+20"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (2_f64.powi(60), "1152921504606846976"),
            (2_f64.powi(62), "4611686018427387904"),
            (-(2_f64.powi(62)), "-4611686018427387904"),
            (5e18, "5e+18"),
            (2_f64.powi(63), "9223372036854776000"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN, "-1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
            (0.01, "0.01"),
            (0.001, "0.001"),
            (0.000001, "0.000001"),
            (0.0000001, "1e-7"),
            (0.00000015, "1.5e-7"),
            (0.0001234567890123, "1.234567890123e-4"),
            (0.001234567890123, "0.001234567890123"),
            (1234567.89012, "1234567.89012"),
            (1234.56789012345, "1234.56789012345"),
            (12345.6789012, "1.23456789012e+4"),
            (-1.2345678901234568e-300, "-1.2345678901234568e-300"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (-f64::NAN, "nan"),
        ];
        for (value, expected) in table {
            assert_eq!(text(*value), *expected, "{value:e}");
        }
    }

    proptest! {
        #[test]
        fn doubles_read_back_as_the_same_number(bits: u64, integer: i64, scale in -30..30) {
            for value in [f64::from_bits(bits), integer as f64, integer as f64 * 10_f64.powi(scale)] {
                if !value.is_nan() {
                    prop_assert_eq!(text(value).parse::<f64>().unwrap().to_bits(), value.to_bits());
                }
            }
        }
    }
}
