//! One user: who may log in with which password, and what may be done then.

use super::check::{Denied, KeyUse, Reason, Request};
use super::password::Password;
use super::rules::{Grammar, RuleError, is_blank};
use super::selector::Selector;

/// One user's rights. Never changed, only replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    enabled: bool,
    /// Any password is right.
    without_password: bool,
    sanitize: Sanitize,
    passwords: Vec<Password>,
    root: Selector,
    others: Vec<Selector>,
}

/// Whether what RESTORE is given is checked. It always is; what was said of it is kept and told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sanitize {
    Unsaid,
    Skip,
    Check,
}

/// A set of rules, as ACL GETUSER tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorTexts {
    pub commands: String,
    pub keys: Vec<u8>,
    pub channels: Vec<u8>,
}

impl User {
    /// One who may do nothing, not even log in.
    pub(super) fn new(grammar: &Grammar<'_>) -> Self {
        Self {
            enabled: false,
            without_password: false,
            sanitize: Sanitize::Unsaid,
            passwords: Vec::new(),
            root: Selector::new(grammar),
            others: Vec::new(),
        }
    }

    /// One who may do everything, with any password.
    pub(super) fn unlimited(grammar: &Grammar<'_>) -> Self {
        let mut user = Self { enabled: true, without_password: true, ..Self::new(grammar) };
        for rule in ["allkeys", "allchannels", "allcommands"] {
            user.root.apply(grammar, rule.as_bytes()).expect("a rule without a name");
        }
        user
    }

    pub(super) fn apply(&mut self, grammar: &Grammar<'_>, rule: &[u8]) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"" => {}
            b"on" => self.enabled = true,
            b"off" => self.enabled = false,
            b"skip-sanitize-payload" => self.sanitize = Sanitize::Skip,
            b"sanitize-payload" => self.sanitize = Sanitize::Check,
            b"nopass" => (self.without_password, self.passwords) = (true, Vec::new()),
            b"resetpass" => (self.without_password, self.passwords) = (false, Vec::new()),
            b"clearselectors" => self.others.clear(),
            b"reset" => *self = Self { sanitize: Sanitize::Check, ..Self::new(grammar) },
            [b'>', ..] => self.add_password(Password::of(&rule[1..])),
            [b'#', ..] => self.add_password(Password::from_hex(&rule[1..]).ok_or(RuleError::NoHash)?),
            [b'<', ..] => self.remove_password(&Password::of(&rule[1..]))?,
            [b'!', ..] => self.remove_password(&Password::from_hex(&rule[1..]).ok_or(RuleError::NoHash)?)?,
            [b'(', .., b')'] => self.others.push(selector(grammar, &rule[1..rule.len() - 1])?),
            _ => self.root.apply(grammar, rule)?,
        }
        Ok(())
    }

    fn add_password(&mut self, password: Password) {
        if !self.passwords.contains(&password) {
            self.passwords.push(password);
        }
        self.without_password = false;
    }

    fn remove_password(&mut self, password: &Password) -> Result<(), RuleError> {
        let at = self.passwords.iter().position(|known| known == password).ok_or(RuleError::NoSuchPassword)?;
        self.passwords.remove(at);
        Ok(())
    }

    /// Whether it may log in with this password.
    pub(super) fn accepts(&self, password: &Password) -> bool {
        let is_right = password.is_among(&self.passwords);
        self.enabled && (self.without_password || is_right)
    }

    /// Whether anybody may be this user.
    pub fn is_open(&self) -> bool {
        self.enabled && self.without_password
    }

    /// Whether any password is right.
    pub fn is_without_password(&self) -> bool {
        self.without_password
    }

    /// Whether it may log in.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    pub(super) fn is_unlimited(&self, grammar: &Grammar<'_>) -> bool {
        self.selectors().any(|selector| selector.is_unlimited(grammar))
    }

    /// Whether a request may run. `keys` are the places of its keys with what is done to them, and none where nobody
    /// knows its keys.
    pub fn check<K>(&self, request: &Request<'_>, keys: Option<K>) -> Result<(), Denied>
    where
        K: Iterator<Item = (usize, KeyUse)> + Clone,
    {
        let mut denied = Denied { reason: Reason::Command, at: 0 };
        for selector in self.selectors() {
            match selector.check(request, keys.clone()) {
                Ok(()) => return Ok(()),
                Err(other) => denied = denied.or(other),
            }
        }
        Err(denied)
    }

    /// Whether it may read every key there is, by a set of rules that lets a request run; `keys` as for [`User::check`].
    pub fn reads_all_keys<K>(&self, request: &Request<'_>, keys: Option<K>) -> bool
    where
        K: Iterator<Item = (usize, KeyUse)> + Clone,
    {
        self.selectors().any(|rules| rules.reads_all_keys() && rules.check(request, keys.clone()).is_ok())
    }

    /// Whether messages of this channel may be read and sent, or, if `is_pattern`, read from all channels it matches.
    pub fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.selectors().any(|selector| selector.allows_channel(channel, is_pattern))
    }

    /// Whether it may listen to anything.
    pub(super) fn has_channels(&self) -> bool {
        self.selectors().any(Selector::has_channels)
    }

    /// The words of ACL GETUSER's flags, in its order.
    pub fn flags(&self) -> Vec<&'static str> {
        let flags = [
            (self.enabled, "on"),
            (!self.enabled, "off"),
            (self.without_password, "nopass"),
            (self.sanitize == Sanitize::Skip, "skip-sanitize-payload"),
            (self.sanitize == Sanitize::Check, "sanitize-payload"),
        ];
        flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, word)| word).collect()
    }

    /// The digests of its passwords, in hexadecimal digits.
    pub fn passwords(&self) -> impl ExactSizeIterator<Item = String> {
        self.passwords.iter().map(Password::hex)
    }

    /// What it may do: first the rules outside of parentheses, then each in parentheses.
    pub fn rules(&self) -> impl Iterator<Item = SelectorTexts> {
        self.selectors().map(|selector| SelectorTexts {
            commands: selector.commands_text(),
            keys: selector.keys_text(),
            channels: selector.channels_text(),
        })
    }

    /// The rules that make this user, as ACL LIST shows them and as files hold them.
    pub fn describe(&self) -> Vec<u8> {
        let mut parts: Vec<Vec<u8>> = self.flags().into_iter().map(|flag| flag.as_bytes().to_vec()).collect();
        parts.extend(self.passwords().map(|hex| format!("#{hex}").into_bytes()));
        parts.push(self.root.describe());
        parts.extend(self.others.iter().map(|selector| [b"(", &selector.describe()[..], b")"].concat()));
        parts.join(&b' ')
    }

    fn selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.others)
    }
}

/// The rules between two parentheses. A word that ends with a parenthesis would end them too early when they are read
/// from a file again, so none may.
fn selector(grammar: &Grammar<'_>, text: &[u8]) -> Result<Selector, RuleError> {
    let mut selector = Selector::new(grammar);
    for rule in text.split(|byte| is_blank(*byte)).filter(|rule| !rule.is_empty()) {
        if rule.ends_with(b")") {
            return Err(RuleError::Syntax);
        }
        selector.apply(grammar, rule)?;
    }
    Ok(selector)
}
