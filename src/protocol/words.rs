//! Splits a line into words by Redis's quoting rules, for inline requests and for configuration files.
//!
//! Words are byte strings: no encoding is assumed, and a NUL byte is a byte like any other. Quotes may open in the
//! middle of a word (`ab"c d"` is one word), but whatever follows a closing quote must be a space.

use std::fmt;

/// A quote that was never closed, or was followed by something else than a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unbalanced;

impl fmt::Display for Unbalanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unbalanced quotes")
    }
}

impl std::error::Error for Unbalanced {}

/// The words of `line`; none for a blank one.
///
/// Between double quotes `\n \r \t \b \a` and `\xHH` are escapes and a backslash takes any other byte literally;
/// between single quotes only `\'` is an escape.
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, Unbalanced> {
    let (mut bytes, mut ranges) = (Vec::new(), Vec::new());
    split_into(line, &mut bytes, &mut ranges)?;
    Ok(ranges.into_iter().map(|(start, end)| bytes[start..end].to_vec()).collect())
}

/// As [`split`], but appends the words' bytes to `bytes` and their places in it to `ranges`.
pub(super) fn split_into(line: &[u8], bytes: &mut Vec<u8>, ranges: &mut Vec<(usize, usize)>) -> Result<(), Unbalanced> {
    let mut rest = line;
    loop {
        let blank = rest.iter().take_while(|byte| is_space(**byte)).count();
        rest = &rest[blank..];
        if rest.is_empty() {
            return Ok(());
        }
        let start = bytes.len();
        rest = word(rest, bytes)?;
        ranges.push((start, bytes.len()));
    }
}

/// Appends the word `rest` begins with, and returns what follows it.
fn word<'a>(mut rest: &'a [u8], bytes: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        match rest {
            // Vertical tabs and form feeds separate words, but do not end one: so it is in Redis.
            [] | [b' ' | b'\n' | b'\r' | b'\t', ..] => return Ok(rest),
            [b'"', quoted @ ..] => return double_quoted(quoted, bytes),
            [b'\'', quoted @ ..] => return single_quoted(quoted, bytes),
            [byte, after @ ..] => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], bytes: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        rest = match rest {
            [] => return Err(Unbalanced),
            [b'"', after @ ..] => return closed(after),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(hexadecimal(*high) << 4 | hexadecimal(*low));
                after
            }
            [b'\\', escaped, after @ ..] => {
                bytes.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                after
            }
            [byte, after @ ..] => {
                bytes.push(*byte);
                after
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], bytes: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        rest = match rest {
            [] => return Err(Unbalanced),
            [b'\\', b'\'', after @ ..] => {
                bytes.push(b'\'');
                after
            }
            [b'\'', after @ ..] => return closed(after),
            [byte, after @ ..] => {
                bytes.push(*byte);
                after
            }
        }
    }
}

fn closed(after: &[u8]) -> Result<&[u8], Unbalanced> {
    match after.first() {
        Some(byte) if !is_space(*byte) => Err(Unbalanced),
        _ => Ok(after),
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn hexadecimal(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every row was asked of redis-server 7.0.15 as well, except those with a NUL, which it cannot read.
    #[test]
    fn words_follow_the_quoting_rules() {
        type Words = Option<&'static [&'static [u8]]>;
        let table: &[(&[u8], Words)] = &[
            (b"", Some(&[])),
            (b" \t\r\n\x0b\x0c ", Some(&[])),
            (b"PING", Some(&[b"PING"])),
            (b"  SET  key\tvalue  ", Some(&[b"SET", b"key", b"value"])),
            (b"PING a\r", Some(&[b"PING", b"a"])),
            (b"PING a\rb", Some(&[b"PING", b"a", b"b"])),
            (b"PING a\x0b", Some(&[b"PING", b"a\x0b"])),
            (b"PING \x0c\x0b a", Some(&[b"PING", b"a"])),
            (b"PING a\x1cb", Some(&[b"PING", b"a\x1cb"])),
            (br#"PING "a b""#, Some(&[b"PING", b"a b"])),
            (br#"PING """#, Some(&[b"PING", b""])),
            (br#""""#, Some(&[b""])),
            (br#""" ''"#, Some(&[b"", b""])),
            (br#"PING "\x41\xZZ\q\n\r\t\b\a\\\"""#, Some(&[b"PING", b"AxZZq\n\r\t\x08\x07\\\""])),
            (br#"PING "\xfF\x00""#, Some(&[b"PING", b"\xff\0"])),
            (br#"PING "\x4""#, Some(&[b"PING", b"x4"])),
            (br"PING 'a\'b'", Some(&[b"PING", b"a'b"])),
            (br"PING 'a\nb'", Some(&[b"PING", br"a\nb"])),
            (br#"PING a"b""#, Some(&[b"PING", b"ab"])),
            (br"PING ab'c d'", Some(&[b"PING", b"abc d"])),
            (br#"PING "it's""#, Some(&[b"PING", b"it's"])),
            (b"PING \"a\"\x0bb", Some(&[b"PING", b"a", b"b"])),
            (b"a\0b \"c\0d\"", Some(&[b"a\0b", b"c\0d"])),
            (b"\xff\xfe", Some(&[b"\xff\xfe"])),
            (br#"PING "a"#, None),
            (br#"PING "a"b"#, None),
            (br#"PING "a"'b'"#, None),
            (br#"PING a"b"#, None),
            (br#"PING "a\""#, None),
            (br#"PING "a\"#, None),
            (br"PING 'a\\'", None),
            (br"PING a'", None),
            (br"PING 'a'b", None),
        ];
        for (line, expected) in table {
            let expected: Result<Vec<Vec<u8>>, _> =
                expected.map(|words| words.iter().map(|word| word.to_vec()).collect()).ok_or(Unbalanced);
            assert_eq!(split(line), expected, "{}", line.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(words in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..8)) {
            let line: Vec<String> = words
                .iter()
                .map(|word| format!("\"{}\"", word.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>()))
                .collect();
            prop_assert_eq!(split(line.join(" ").as_bytes()), Ok(words));
        }

        #[test]
        fn any_line_is_split_or_refused(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(words) = split(&line) {
                prop_assert!(words.iter().map(Vec::len).sum::<usize>() <= line.len());
            }
        }
    }
}
