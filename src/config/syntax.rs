//! The syntax of a line in redis.conf: words, quotes and escapes. Splitting what [`quoted`] wrote gives the same words back.

/// What some editors put in front of a text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// What stands in front of a text's first line, and its lines.
pub(super) fn split_lines(text: &str) -> (&str, impl Iterator<Item = &str>) {
    let rest = text.trim_start_matches(BYTE_ORDER_MARK);
    (&text[..text.len() - rest.len()], rest.lines())
}

/// The name of the directive in a line; none in a blank line, in a comment, and where the line cannot be split before
/// its name ends.
pub(super) fn name_in(line: &str) -> Option<String> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    match split_words(line) {
        Ok(words) => words.into_iter().next(),
        // What follows may be out of balance, and the name still be clear.
        Err(_) => line.split_ascii_whitespace().next().map(str::to_owned),
    }
}

/// The words of a line. Double quotes know `\n \r \t \b \a \xHH`, single quotes only `\'`; a closing quote ends its word.
pub(super) fn split_words(line: &str) -> Result<Vec<String>, &'static str> {
    const UNBALANCED: &str = "Unbalanced quotes in configuration line";
    let mut words = Vec::new();
    let mut rest = line.as_bytes().iter().copied().peekable();
    loop {
        while rest.next_if(|byte| byte.is_ascii_whitespace() || *byte == 0x0b).is_some() {}
        if rest.peek().is_none() {
            return Ok(words);
        }
        let mut word = Vec::new();
        while let Some(byte) = rest.next_if(|byte| !byte.is_ascii_whitespace()) {
            match byte {
                b'"' => {
                    loop {
                        match rest.next().ok_or(UNBALANCED)? {
                            b'"' => break,
                            b'\\' => word.push(escape(&mut rest).ok_or(UNBALANCED)?),
                            byte => word.push(byte),
                        }
                    }
                    if rest.peek().is_some_and(|byte| !byte.is_ascii_whitespace()) {
                        return Err(UNBALANCED);
                    }
                }
                b'\'' => {
                    loop {
                        match rest.next().ok_or(UNBALANCED)? {
                            b'\'' => break,
                            b'\\' if rest.peek() == Some(&b'\'') => word.extend(rest.next()),
                            byte => word.push(byte),
                        }
                    }
                    if rest.peek().is_some_and(|byte| !byte.is_ascii_whitespace()) {
                        return Err(UNBALANCED);
                    }
                }
                byte => word.push(byte),
            }
        }
        words.push(String::from_utf8(word).map_err(|_| "the text is not valid UTF-8")?);
    }
}

/// A word as it must be written in a file or on a command line, in quotes only where it needs them.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '\'' | '\\');
    if !word.is_empty() && !word.starts_with('#') && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c.is_ascii_control() => text.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

type Bytes<'a> = std::iter::Peekable<std::iter::Copied<std::slice::Iter<'a, u8>>>;

/// The byte an escape stands for, after its backslash.
fn escape(rest: &mut Bytes<'_>) -> Option<u8> {
    Some(match rest.next()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        b'x' => {
            let mut ahead = rest.clone();
            let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
            match (digit(ahead.next()), digit(ahead.next())) {
                (Some(high), Some(low)) => {
                    *rest = ahead;
                    (high * 16 + low) as u8
                }
                _ => b'x',
            }
        }
        byte => byte,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_quotes_and_escapes() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("  timeout \t 5\r", &["timeout", "5"]),
            (r#"save """#, &["save", ""]),
            (r#"requirepass "a \"b\" \x41\n""#, &["requirepass", "a \"b\" A\n"]),
            (r#"requirepass "\xzz""#, &["requirepass", "xzz"]),
            (r"requirepass 'it\'s \n'", &["requirepass", r"it's \n"]),
            ("a#b # c", &["a#b", "#", "c"]),
            ("dir /grüße", &["dir", "/grüße"]),
        ];
        for (line, expected) in cases {
            assert_eq!(split_words(line).unwrap(), *expected, "{line}");
        }
        for line in [r#"a "b"#, "a 'b", r#"a "b"c"#, "a 'b'c", r#"a "b\"#] {
            assert_eq!(split_words(line), Err("Unbalanced quotes in configuration line"), "{line}");
        }
        assert!(split_words(r#"a "\xff""#).is_err());
    }

    proptest! {
        #[test]
        fn quoting_is_undone_by_splitting(words in proptest::collection::vec(any::<String>(), 0..4)) {
            let line = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(split_words(&line).unwrap(), words);
        }
    }
}
