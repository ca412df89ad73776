//! What one set of rules allows: commands, keys and channels. A user has one such set, and further ones in parentheses;
//! a request is allowed if one of them allows all of it.

use super::check::{ChannelWords, Denied, KeyUse, Reason, Request};
use super::commands::Commands;
use super::rules::{Grammar, RuleError, is_blank};
use crate::types::glob;

/// One set of rules. A fresh one allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    commands: Commands,
    all_keys: bool,
    keys: Vec<KeyPattern>,
    all_channels: bool,
    channels: Vec<Box<[u8]>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyPattern {
    allowed: KeyUse,
    pattern: Box<[u8]>,
}

impl Selector {
    /// One that allows nothing but the channels everybody has.
    pub(super) fn new(grammar: &Grammar<'_>) -> Self {
        let mut selector = Self { all_channels: grammar.all_channels, ..Self::default() };
        selector.commands.set_all(grammar.catalogue, false);
        selector
    }

    pub(super) fn apply(&mut self, grammar: &Grammar<'_>, rule: &[u8]) -> Result<(), RuleError> {
        let is = |words: [&str; 2]| words.iter().any(|word| rule.eq_ignore_ascii_case(word.as_bytes()));
        match rule {
            _ if is(["allkeys", "~*"]) => self.set_all_keys(true),
            _ if is(["resetkeys", "resetkeys"]) => self.set_all_keys(false),
            _ if is(["allchannels", "&*"]) => self.set_all_channels(true),
            _ if is(["resetchannels", "resetchannels"]) => self.set_all_channels(false),
            _ if is(["allcommands", "+@all"]) => self.commands.set_all(grammar.catalogue, true),
            _ if is(["nocommands", "-@all"]) => self.commands.set_all(grammar.catalogue, false),
            [b'~', pattern @ ..] => return self.add_keys(KeyUse::BOTH, pattern),
            [b'%', rest @ ..] => return self.add_keys_for_use(rest),
            [b'&', pattern @ ..] => return self.add_channels(pattern),
            [b'+' | b'-', ..] => return self.commands.apply(grammar.catalogue, rule),
            _ => return Err(RuleError::Syntax),
        }
        Ok(())
    }

    fn set_all_keys(&mut self, all: bool) {
        (self.all_keys, self.keys) = (all, Vec::new());
    }

    fn set_all_channels(&mut self, all: bool) {
        (self.all_channels, self.channels) = (all, Vec::new());
    }

    /// `R~pattern`, `W~pattern` or both letters; without a pattern it is the empty key.
    fn add_keys_for_use(&mut self, rest: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::KeysAfterAll);
        }
        let at = rest.iter().position(|byte| *byte == b'~').unwrap_or(rest.len());
        let mut allowed = KeyUse::default();
        for letter in &rest[..at] {
            let flag = match letter {
                b'R' | b'r' => &mut allowed.reads,
                b'W' | b'w' => &mut allowed.writes,
                _ => return Err(RuleError::Syntax),
            };
            if std::mem::replace(flag, true) {
                return Err(RuleError::Syntax);
            }
        }
        if allowed == KeyUse::default() {
            return Err(RuleError::Syntax);
        }
        self.add_keys(allowed, rest.get(at + 1..).unwrap_or_default())
    }

    fn add_keys(&mut self, allowed: KeyUse, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::KeysAfterAll);
        }
        if pattern.iter().any(|byte| is_blank(*byte)) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|known| *known.pattern == *pattern) {
            Some(known) => known.allowed = known.allowed.with(allowed),
            None => self.keys.push(KeyPattern { allowed, pattern: pattern.into() }),
        }
        Ok(())
    }

    fn add_channels(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::ChannelsAfterAll);
        }
        if pattern.iter().any(|byte| is_blank(*byte)) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| **known == *pattern) {
            self.channels.push(pattern.into());
        }
        Ok(())
    }

    /// Whether any channels are allowed.
    pub(super) fn has_channels(&self) -> bool {
        self.all_channels || !self.channels.is_empty()
    }

    /// Whether nothing is refused.
    pub(super) fn is_unlimited(&self, grammar: &Grammar<'_>) -> bool {
        self.all_keys && self.all_channels && self.commands.is_all(grammar.catalogue)
    }

    /// The first thing of a request that is not allowed. `keys` are the places of its keys with what is done to them, and
    /// none where nobody knows its keys.
    pub(super) fn check<K>(&self, request: &Request<'_>, keys: Option<K>) -> Result<(), Denied>
    where
        K: Iterator<Item = (usize, KeyUse)>,
    {
        let first = request.words.get(request.names);
        let number = request.command;
        if !request.for_everybody && !self.commands.allows(number) && !self.commands.allows_with(number, first) {
            return Err(Denied { reason: Reason::Command, at: 0 });
        }
        if !self.all_keys {
            let keys = keys.ok_or(Denied { reason: Reason::Key, at: 0 })?;
            let word = |at| request.words.get(at).unwrap_or_default();
            for (at, used) in keys {
                if !self.allows_key(word(at), used) {
                    return Err(Denied { reason: Reason::Key, at });
                }
            }
        }
        let Some(channels) = request.channels else { return Ok(()) };
        for at in channels.places(request) {
            let channel = request.words.get(at).unwrap_or_default();
            if !self.allows_channel(channel, channels == ChannelWords::Patterns) {
                return Err(Denied { reason: Reason::Channel, at });
            }
        }
        Ok(())
    }

    /// Whether every key may be read.
    pub(super) fn reads_all_keys(&self) -> bool {
        self.all_keys || self.keys.iter().any(|known| known.allowed.reads && *known.pattern == *b"*")
    }

    fn allows_key(&self, key: &[u8], used: KeyUse) -> bool {
        self.keys.iter().any(|known| known.allowed.covers(used) && glob::matches(&known.pattern, key, false))
    }

    /// A pattern must be one of those that are allowed, as it stands; what it may match nobody could say.
    pub(super) fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        let allows = |known: &[u8]| if is_pattern { *known == *channel } else { glob::matches(known, channel, false) };
        self.all_channels || self.channels.iter().any(|known| allows(known))
    }

    /// The rules on commands, as one text.
    pub(super) fn commands_text(&self) -> String {
        self.commands.describe()
    }

    /// The patterns of keys, as they are written.
    pub(super) fn keys_text(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        // `~*` is another rule, behind which no pattern may stand.
        let prefix = |key: &KeyPattern| match (&*key.pattern, key.allowed) {
            (b"*", KeyUse::BOTH) => "%RW~",
            (_, allowed) => allowed.prefix(),
        };
        let text = |key: &KeyPattern| [prefix(key).as_bytes(), &key.pattern].concat();
        self.keys.iter().map(text).collect::<Vec<_>>().join(&b' ')
    }

    /// The patterns of channels, as they are written.
    pub(super) fn channels_text(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        self.channels.iter().map(|channel| [b"&", &channel[..]].concat()).collect::<Vec<_>>().join(&b' ')
    }

    /// All rules, as ACL LIST shows them.
    pub(super) fn describe(&self) -> Vec<u8> {
        let reset: &[u8] = if self.all_channels { b"" } else { b"resetchannels" };
        let parts = [self.keys_text(), reset.to_vec(), self.channels_text(), self.commands_text().into_bytes()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(&b' ')
    }
}
