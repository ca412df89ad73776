//! A moment in the life of the data, as it is named on the command line: a sequence number, or a time.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

/// The first moment that has no date of four digits for its year: that of the year 10000.
const DATES_END: u64 = 253_402_300_800_000;

/// A moment: as text digits alone are a sequence number; a time is `2026-11-27T05:00:00Z` or `@<seconds>[.millis]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// When the record of this number had been written.
    Sequence(u64),
    /// A time, in milliseconds since the Unix epoch.
    Time(u64),
}

/// Why a text names no moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        write!(f, "{text}: neither a sequence number nor a time (2026-11-27T05:00:00Z in UTC, or @<seconds>[.millis])")
    }
}

impl std::error::Error for Invalid {}

impl FromStr for Moment {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let moment = if let Some(unix) = text.strip_prefix('@') {
            unix_milliseconds(unix).map(Self::Time)
        } else if is_digits(text) {
            text.parse().ok().map(Self::Sequence)
        } else {
            let time = humantime::parse_rfc3339_weak(text).ok();
            let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            since.and_then(|since| u64::try_from(since.as_millis()).ok()).map(Self::Time)
        };
        moment.ok_or_else(|| Invalid(text.to_owned()))
    }
}

/// A time in milliseconds since the Unix epoch, as [`Moment`] reads it: a date in UTC where there is one.
pub(super) fn time_text(milliseconds: u64) -> String {
    if milliseconds < DATES_END {
        return humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(milliseconds)).to_string();
    }
    format!("@{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

fn unix_milliseconds(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !is_digits(seconds) || !is_digits(fraction) || fraction.len() > 3 {
        return None;
    }
    let milliseconds: u64 = format!("{fraction:0<3}").parse().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(milliseconds)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_up_to_the_edge() {
        let rows = [
            ("0", Ok(Moment::Sequence(0))),
            ("18446744073709551615", Ok(Moment::Sequence(u64::MAX))),
            ("18446744073709551616", Err(())),
            ("@0", Ok(Moment::Time(0))),
            ("@1764219600", Ok(Moment::Time(1_764_219_600_000))),
            ("@1764219600.25", Ok(Moment::Time(1_764_219_600_250))),
            ("@1764219600.007", Ok(Moment::Time(1_764_219_600_007))),
            ("@1.2345", Err(())),
            ("@1.", Err(())),
            ("@.5", Err(())),
            ("@-1", Err(())),
            ("@+1", Err(())),
            ("@18446744073709551.615", Ok(Moment::Time(u64::MAX))),
            ("@18446744073709551.616", Err(())),
            ("2025-11-27T05:00:00Z", Ok(Moment::Time(1_764_219_600_000))),
            ("2025-11-27T05:00:00.250Z", Ok(Moment::Time(1_764_219_600_250))),
            ("2025-11-27 05:00:00", Ok(Moment::Time(1_764_219_600_000))),
            ("2025-11-27T05:00:00+01:00", Err(())),
            ("2025-13-27T05:00:00Z", Err(())),
            ("1969-12-31T23:59:59Z", Err(())),
            ("yesterday", Err(())),
            ("", Err(())),
            ("-1", Err(())),
        ];
        for (text, expected) in rows {
            assert_eq!(text.parse::<Moment>().map_err(|_| ()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for milliseconds in [0, 1, 1_764_219_600_250, DATES_END - 1, DATES_END, u64::MAX] {
            let text = time_text(milliseconds);
            assert_eq!(text.parse(), Ok(Moment::Time(milliseconds)), "{text}");
        }
        assert_eq!(time_text(1_764_219_600_250), "2025-11-27T05:00:00.250Z");
    }
}
