//! The language of rules: `on >secret ~cached:* +@read (~log:* +append)`.
//!
//! Always true: rules are applied to a copy, so that a list of them changes a user as a whole or not at all.

use std::fmt;

use super::catalogue::Catalogue;

/// What the meaning of a rule depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grammar<'a> {
    pub(super) catalogue: &'a Catalogue,
    /// A set of rules begins with all channels: `acl-pubsub-default`.
    pub(super) all_channels: bool,
}

/// What is wrong with a rule, in Redis's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// No command or category has this name.
    Unknown,
    Syntax,
    KeysAfterAll,
    ChannelsAfterAll,
    NoSuchPassword,
    NoHash,
    FirstWordOfSubcommand,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown command or category name in ACL",
            Self::Syntax => "Syntax error",
            Self::KeysAfterAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. \
                 Try 'resetkeys' to start with an empty list of patterns"
            }
            Self::ChannelsAfterAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any \
                 effect. Try 'resetchannels' to start with an empty list of channels"
            }
            Self::NoSuchPassword => "The password you are trying to remove from the user does not exist",
            Self::NoHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            Self::FirstWordOfSubcommand => "Allowing first-arg of a subcommand is not supported",
        })
    }
}

/// Why a user was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetUserError {
    /// A name with blanks could not be written into a file.
    Name,
    /// A parenthesis that is opened in this word is closed nowhere.
    Unmatched(Vec<u8>),
    /// This rule cannot be followed.
    Rule(Vec<u8>, RuleError),
}

impl SetUserError {
    /// The text for logs: without the rule where that holds a password.
    pub fn without_secrets(&self) -> String {
        match self {
            Self::Rule(rule, error) if matches!(rule.first(), Some(b'>' | b'<' | b'#' | b'!')) => error.to_string(),
            error => error.to_string(),
        }
    }
}

impl std::error::Error for SetUserError {}

impl fmt::Display for SetUserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("Usernames can't contain spaces or null characters"),
            Self::Unmatched(word) => {
                write!(f, "Unmatched parenthesis in acl selector starting at '{}'.", String::from_utf8_lossy(word))
            }
            Self::Rule(rule, error) => {
                write!(f, "Error in ACL SETUSER modifier '{}': {error}", String::from_utf8_lossy(rule))
            }
        }
    }
}

/// What separates the words of a rule in a file, and a zero byte: neither can be part of one.
pub(super) fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b || byte == 0
}

/// The rules of a list of words: what stands in parentheses is one rule, however many words it was given in.
pub(super) fn merged<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Vec<u8>>, SetUserError> {
    let mut rules = Vec::new();
    let mut open: Option<(Vec<u8>, &[u8])> = None;
    for word in words {
        let closes = word.last() == Some(&b')');
        match &mut open {
            Some((rule, _)) => {
                rule.push(b' ');
                rule.extend_from_slice(word);
                if closes {
                    rules.extend(open.take().map(|(rule, _)| rule));
                }
            }
            None if word.first() == Some(&b'(') && !closes => open = Some((word.to_vec(), word)),
            None => rules.push(word.to_vec()),
        }
    }
    match open {
        None => Ok(rules),
        Some((_, word)) => Err(SetUserError::Unmatched(word.to_vec())),
    }
}
