//! Numbers and keys as the tools write them.

use super::moment::time_text;
use crate::store::Recovered;

/// Characters of a bar, its ends not counted.
const BAR: u64 = 20;
/// Bytes of a key that are written.
const KEY_BYTES_MAX: usize = 200;

/// How large a part of the whole is: `[####................]`. Something is never drawn as nothing, nor a part as all.
pub(super) fn bar(part: u64, whole: u64) -> String {
    let part = part.min(whole);
    let filled = match part {
        0 => 0,
        _ if part == whole => BAR,
        _ => ((u128::from(part) * u128::from(BAR) / u128::from(whole)) as u64).clamp(1, BAR - 1),
    };
    format!("[{}{}]", "#".repeat(filled as usize), ".".repeat((BAR - filled) as usize))
}

/// Milliseconds in the largest unit that fits: `12s`, `5m`, `3h`, `40d`.
pub(super) fn age(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// What opening a store has cut off at the end of its log, if anything.
pub fn torn_text(recovered: &Recovered) -> Option<String> {
    let Recovered { torn_bytes, marked_at, .. } = *recovered;
    let since = match marked_at {
        0 => String::new(),
        time => format!("; what was written after {} may be lost", time_text(time)),
    };
    let text = format!(
        "the log ended in the middle of a write: {torn_bytes} bytes were cut off, which were never acknowledged as being on \
         the disk{since}"
    );
    (torn_bytes > 0).then_some(text)
}

/// A key between quotes, as ASCII; of a long one the beginning.
pub(super) fn key_text(key: &[u8]) -> String {
    match key.get(..KEY_BYTES_MAX) {
        Some(beginning) if key.len() > KEY_BYTES_MAX => {
            format!("\"{}\"... ({} bytes)", beginning.escape_ascii(), key.len())
        }
        _ => format!("\"{}\"", key.escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_something_as_something_and_only_all_as_all() {
        let filled = |part, whole| bar(part, whole).matches('#').count();
        assert_eq!([filled(0, 0), filled(0, 9), filled(1, 1_000_000), filled(9, 9)], [0, 0, 1, 20]);
        assert_eq!(
            [filled(1, 2), filled(999_999, 1_000_000), filled(9, 3), filled(u64::MAX, u64::MAX)],
            [10, 19, 20, 20]
        );
        assert_eq!(bar(1, 4), "[#####...............]");
    }

    #[test]
    fn ages_are_told_in_the_largest_unit_that_fits() {
        let rows = [(0, "0s"), (59_999, "59s"), (60_000, "1m"), (3_599_999, "59m"), (3_600_000, "1h")];
        rows.into_iter().for_each(|(milliseconds, text)| assert_eq!(age(milliseconds), text));
        assert_eq!([age(86_399_999), age(86_400_000), age(40 * 86_400_000)], ["23h", "1d", "40d"]);
    }

    #[test]
    fn long_keys_are_cut() {
        assert_eq!(key_text(b"a\n\"\xff"), "\"a\\n\\\"\\xff\"");
        assert_eq!(key_text(&[b'a'; KEY_BYTES_MAX]), format!("\"{}\"", "a".repeat(KEY_BYTES_MAX)));
        assert_eq!(key_text(&[b'a'; KEY_BYTES_MAX + 1]), format!("\"{}\"... (201 bytes)", "a".repeat(KEY_BYTES_MAX)));
    }
}
