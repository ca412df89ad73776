//! A command line in redis-cli's quoting, as words of arbitrary bytes.

/// Splits `line` into words; double quotes take `\n \r \t \a \b \xHH`, single quotes only `\'`.
///
/// # Errors
/// Says what is wrong with the quoting.
pub fn split(line: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut words = Vec::new();
    let mut rest = line.as_bytes();
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Ok(words);
        }
        let (word, after) = match rest[0] {
            b'"' => double_quoted(&rest[1..])?,
            b'\'' => single_quoted(&rest[1..])?,
            _ => {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                (rest[..end].to_vec(), &rest[end..])
            }
        };
        if after.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
            return Err(format!("a closing quote must end the word: {line}"));
        }
        words.push(word);
        rest = after;
    }
}

fn double_quoted(text: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let mut word = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => return Ok((word, &text[at..])),
            b'\\' => {
                let escape = *text.get(at).ok_or("a backslash at the end")?;
                at += 1;
                word.push(match escape {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    b'x' => {
                        let digits = text.get(at..at + 2).and_then(|digits| std::str::from_utf8(digits).ok());
                        at += 2;
                        digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or("\\x takes two digits")?
                    }
                    other => other,
                });
            }
            other => word.push(other),
        }
    }
    Err("a double quote is not closed".to_owned())
}

fn single_quoted(text: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let mut word = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\'' => return Ok((word, &text[at + 1..])),
            b'\\' if text.get(at + 1) == Some(&b'\'') => {
                word.push(b'\'');
                at += 2;
            }
            other => {
                word.push(other);
                at += 1;
            }
        }
    }
    Err("a single quote is not closed".to_owned())
}

#[test]
fn splits_quoted_words() {
    let words = |line: &str| split(line).unwrap().into_iter().map(|word| word.escape_ascii().to_string()).collect();
    let cases: [(&str, Vec<&str>); 5] = [
        ("SET k v", vec!["SET", "k", "v"]),
        ("  GET   k ", vec!["GET", "k"]),
        (r#"SET "" 'a "b"'"#, vec!["SET", "", "a \\\"b\\\""]),
        (r#"SET k "\x00\xff\r\n\"""#, vec!["SET", "k", "\\x00\\xff\\r\\n\\\""]),
        (r"ECHO 'it\'s'", vec!["ECHO", "it\\'s"]),
    ];
    for (line, expected) in cases {
        let found: Vec<String> = words(line);
        assert_eq!(found, expected, "{line}");
    }
    for line in ["\"a", "'a", "\"a\"b", "\"\\x1\""] {
        assert!(split(line).is_err(), "{line}");
    }
}
