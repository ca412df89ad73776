//! When something expires.

/// What an expiry is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Milliseconds,
}

/// From when an expiry is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// From now.
    Relative,
    /// From the Unix epoch.
    Absolute,
}

/// The time does not fit into 63 bits of milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// The deadline in milliseconds since the Unix epoch; one that is not after `now` (milliseconds, too), negative ones
/// included, is over already.
pub fn deadline(now: u64, amount: i64, unit: Unit, basis: Basis) -> Result<i64, Invalid> {
    let milliseconds = match unit {
        Unit::Seconds => amount.checked_mul(1000).ok_or(Invalid)?,
        Unit::Milliseconds => amount,
    };
    match basis {
        Basis::Absolute => Ok(milliseconds),
        Basis::Relative => milliseconds.checked_add_unsigned(now).ok_or(Invalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_exact_up_to_the_edge() {
        use Basis::{Absolute, Relative};
        use Unit::{Milliseconds, Seconds};
        let now = 1_700_000_000_000;
        let most_seconds = i64::MAX / 1000;
        let rows = [
            (10, Seconds, Relative, Ok(now as i64 + 10_000)),
            (-10, Seconds, Relative, Ok(now as i64 - 10_000)),
            (10, Milliseconds, Absolute, Ok(10)),
            (most_seconds, Seconds, Absolute, Ok(most_seconds * 1000)),
            (most_seconds + 1, Seconds, Absolute, Err(Invalid)),
            (-most_seconds - 1, Seconds, Absolute, Err(Invalid)),
            (i64::MAX - now as i64, Milliseconds, Relative, Ok(i64::MAX)),
            (i64::MAX - now as i64 + 1, Milliseconds, Relative, Err(Invalid)),
            (i64::MIN, Milliseconds, Relative, Ok(i64::MIN + now as i64)),
        ];
        for (amount, unit, basis, expected) in rows {
            assert_eq!(deadline(now, amount, unit, basis), expected, "{amount} {unit:?} {basis:?}");
        }
    }
}
