//! Passwords, of which only digests are kept.

use std::fmt;
use std::hint::black_box;

use sha2::{Digest, Sha256};

const BYTES: usize = 32;

/// The SHA-256 digest of a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Password([u8; BYTES]);

impl Password {
    pub(super) fn of(password: &[u8]) -> Self {
        Self(Sha256::digest(password).into())
    }

    /// From 64 hexadecimal digits in lower case.
    pub(super) fn from_hex(text: &[u8]) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = text.as_chunks::<2>();
        if pairs.len() != BYTES || !rest.is_empty() {
            return None;
        }
        let mut bytes = [0; BYTES];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(bytes))
    }

    pub(super) fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether it is one of `known`. The time this takes depends on how many there are and on nothing else: all bytes of
    /// all of them are compared, whatever the first ones say, and what was found is looked at once, at the end.
    pub(super) fn is_among(&self, known: &[Self]) -> bool {
        known.iter().fold(0, |found, other| {
            let differences =
                self.0.iter().zip(&other.0).fold(0, |sum, (one, another)| black_box(sum | (one ^ another)));
            black_box(found | u8::from(differences == 0))
        }) != 0
    }
}

/// A digest can be tried against lists of passwords, so it stays out of logs.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_sha_256() {
        let hex = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        assert_eq!(Password::of(b"secret").hex(), hex);
        assert_eq!(Password::from_hex(hex.as_bytes()), Some(Password::of(b"secret")));
        for wrong in [&hex[1..], &hex.to_uppercase(), &format!("{hex}0"), &format!("{hex}00"), ""] {
            assert_eq!(Password::from_hex(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_password_is_found_among_others_only_if_all_its_bytes_are_right() {
        let known = [Password::of(b"a"), Password::of(b"b")];
        assert!(Password::of(b"a").is_among(&known) && Password::of(b"b").is_among(&known));
        let mut close = known[1].clone();
        close.0[BYTES - 1] ^= 1;
        assert!(!close.is_among(&known) && !Password::of(b"c").is_among(&known) && !Password::of(b"a").is_among(&[]));
    }
}
