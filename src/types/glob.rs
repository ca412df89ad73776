//! Glob patterns as KEYS, SCAN and CONFIG GET take them: `*`, `?`, `[a-z]`, `[^a]`, `\` before any byte.
//!
//! Always true: a match takes at most as many steps as pattern and text have bytes multiplied, and no stack.

/// Whether `pattern` matches all of `text`; `ignore_case` is about ASCII letters.
///
/// Iterative, after the usual idea: only the last `*` need ever be tried again, one byte further.
pub fn matches(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    // Redis never looks at an empty text, which not even a star matches then.
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
            continue;
        }
        if let Some(next) = one(&pattern[p..], text[t], ignore_case) {
            p += next;
            t += 1;
            continue;
        }
        let Some((after, tried)) = star else { return false };
        (p, t) = (after, tried + 1);
        star = Some((p, t));
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// The same for keys: a lone star stands for all of them, the empty one too.
pub fn matches_key(pattern: &[u8], key: &[u8]) -> bool {
    pattern == b"*" || matches(pattern, key, false)
}

/// How many bytes of the pattern match this byte of text; `None` if they do not.
fn one(pattern: &[u8], byte: u8, ignore_case: bool) -> Option<usize> {
    let fold = |byte: u8| if ignore_case { byte.to_ascii_lowercase() } else { byte };
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => {
            let (is_in, length) = in_class(class, fold(byte), &fold);
            is_in.then_some(1 + length)
        }
        [b'\\', escaped, ..] => (fold(*escaped) == fold(byte)).then_some(2),
        [literal, ..] => (fold(*literal) == fold(byte)).then_some(1),
    }
}

/// Whether the byte is in the class, and how long the class is, its `]` included. A class without an end goes to the
/// end of the pattern.
fn in_class(class: &[u8], byte: u8, fold: &impl Fn(u8) -> u8) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match class[at.min(class.len())..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', escaped, ..] => {
                found |= fold(escaped) == byte;
                at += 2;
            }
            [first, b'-', last, ..] => {
                let (low, high) = (fold(first).min(fold(last)), fold(first).max(fold(last)));
                found |= (low..=high).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= fold(literal) == byte;
                at += 1;
            }
        }
    }
    (found != negated, at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, written as one would say it.
    fn reference(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|skip| reference(rest, &text[skip..])),
            _ => match text {
                [] => false,
                [byte, after @ ..] => {
                    one(pattern, *byte, false).is_some_and(|length| reference(&pattern[length..], after))
                }
            },
        }
    }

    proptest! {
        #[test]
        fn the_iterative_matcher_agrees_with_the_definition(
            pattern in "[ab*?\\[\\]^\\\\-]{0,8}", text in "[ab\\]-]{0,8}",
        ) {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assume!(!text.is_empty());
            prop_assert_eq!(matches(pattern, text, false), reference(pattern, text));
        }
    }

    #[test]
    fn patterns_mean_what_redis_means_by_them() {
        let rows = [
            ("h?llo", "hello", true),
            ("h*llo", "hllo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("[abc", "b", true),
            ("[", "[", false),
            ("[]", "]", false),
            ("*", "", false),
            ("**a**", "xay", true),
            ("", "", true),
            ("", "a", false),
        ];
        for (pattern, text, expected) in rows {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), false), expected, "{pattern} {text}");
        }
        assert!(matches(b"HE[L-M]*", b"hello", true));
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern = b"a*".repeat(2_000);
        let text = [b"a".repeat(20_000), b"b".to_vec()].concat();
        assert!(!matches(&[&pattern[..], b"c"].concat(), &text, false));
    }
}
