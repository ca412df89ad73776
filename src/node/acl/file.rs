//! Users as the file of `aclfile` holds them: one line for each, in the words of ACL LIST.
//!
//! Always true: a file is followed as a whole, or not at all, and then every line that is wrong is told.

use std::collections::BTreeMap;
use std::path::Path;

use super::rules::{self, Grammar, RuleError};
use super::user::User;

const NOTHING_CHANGED: &str =
    "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";

/// The users of a file's text; `path` is told in errors, which are in Redis's words.
pub(super) fn parse(text: &[u8], path: &Path, grammar: &Grammar<'_>) -> Result<BTreeMap<Box<[u8]>, User>, String> {
    let (mut users, mut errors) = (BTreeMap::new(), String::new());
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = trimmed(line);
        if line.is_empty() {
            continue;
        }
        let place = format!("{}:{}", path.display(), index + 1);
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(b"user"), Some(name)) = (words.next(), words.next()) else {
            errors += &format!("{place} should start with user keyword followed by the username. ");
            continue;
        };
        let shown = String::from_utf8_lossy(name);
        if name.iter().any(|byte| rules::is_blank(*byte)) {
            errors += &format!("'{place}: username '{shown}' contains invalid characters. ");
            continue;
        }
        if users.contains_key(name) {
            errors += &format!("WARNING: Duplicate user '{shown}' found on line {}. ", index + 1);
            continue;
        }
        let mut user = User::new(grammar);
        match rules::merged(words) {
            Err(_) => errors += &format!("{place}: Unmatched parenthesis in selector definition."),
            Ok(rules) => errors += &apply(&mut user, &rules, &place, grammar),
        }
        users.insert(name.into(), user);
    }
    if errors.is_empty() { Ok(users) } else { Err(errors + NOTHING_CHANGED) }
}

/// Applies all rules that can be followed; tells all names that are not known, and the first other error: what comes
/// behind it may be wrong because of it.
fn apply(user: &mut User, rules: &[Vec<u8>], place: &str, grammar: &Grammar<'_>) -> String {
    let (mut errors, mut is_told) = (String::new(), false);
    for rule in rules {
        match user.apply(grammar, trimmed(rule)) {
            Ok(()) => {}
            Err(error @ RuleError::Unknown) => {
                let rule = String::from_utf8_lossy(rule);
                errors += &format!("{place}: Error in applying operation '{rule}': {error}. ");
            }
            Err(_) if is_told => {}
            Err(error) => {
                errors += &format!("{place}: {error}. ");
                is_told = true;
            }
        }
    }
    errors
}

fn trimmed(text: &[u8]) -> &[u8] {
    let is_margin = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = text.iter().position(|byte| !is_margin(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_margin(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}
