//! Users and what they may do.
//!
//! Always true: a user is changed as a whole, so that whoever checks a request sees all rules of a change or none; a
//! check takes no lock, and for a user without limits it is one look at one byte. Of passwords only digests are kept, and
//! comparing them takes a time that tells nothing about them. The user `default` is always there; who has not logged in
//! is this user.
//!
//! | file | what |
//! | --- | --- |
//! | `catalogue` | the commands and their categories, as the command tables hand them down |
//! | `rules` | the language of rules, and what can be wrong with one |
//! | `user`, `selector`, `commands` | what rules make |
//! | `file` | users as a file holds them |
//! | `password` | digests of passwords |
//! | `check` | what is asked of a user, and how it is refused |
//! | `log` | what was refused |

mod catalogue;
mod check;
mod commands;
mod file;
mod log;
mod password;
mod rules;
mod selector;
#[cfg(test)]
mod tests;
mod user;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

pub use catalogue::{Catalogue, Categories, Entry as CatalogueEntry};
pub use check::{ChannelWords, Denied, KeyUse, Reason, Request};
pub use log::{Entry as LogEntry, Log, Place, Refusal};
use password::Password;
use rules::Grammar;
pub use rules::{RuleError, SetUserError};
pub use user::{SelectorTexts, User};

/// The user of everybody who has not logged in.
pub const DEFAULT: &str = "default";

/// A name with the rights it has now, shared by all connections that have logged in with it.
#[derive(Debug)]
pub struct Account {
    pub name: Box<[u8]>,
    user: ArcSwap<User>,
    standing: AtomicU8,
}

/// May do everything.
const UNLIMITED: u8 = 1;
/// Anybody may be it.
const OPEN: u8 = 1 << 1;
/// Is deleted: its connections end.
const GONE: u8 = 1 << 2;

impl Account {
    fn new(name: &[u8], user: User, grammar: &Grammar<'_>) -> Self {
        let standing = AtomicU8::new(standing(&user, grammar));
        Self { name: name.into(), user: ArcSwap::from_pointee(user), standing }
    }

    /// What it may do now.
    pub fn user(&self) -> Guard<Arc<User>> {
        self.user.load()
    }

    /// Whether everything is allowed, so that nothing needs to be checked.
    #[inline]
    pub fn is_unlimited(&self) -> bool {
        self.standing.load(SeqCst) & UNLIMITED != 0
    }

    /// Whether anybody may be this user.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.standing.load(SeqCst) & OPEN != 0
    }

    /// Whether it was deleted, so that whoever is logged in with it has to go.
    pub fn is_gone(&self) -> bool {
        self.standing.load(SeqCst) & GONE != 0
    }

    /// The name, as text for people.
    pub fn shown_name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// `user NAME RULES`, as ACL LIST shows it and as files hold it.
    pub fn describe(&self) -> Vec<u8> {
        [b"user ", &self.name[..], b" ", &self.user().describe()].concat()
    }

    /// Tells whether there were channels that may have been taken away.
    fn replace(&self, user: User, grammar: &Grammar<'_>) -> bool {
        let had_channels = self.user().has_channels();
        let standing = standing(&user, grammar);
        // Until the new rules are there, everything is checked.
        self.standing.store(0, SeqCst);
        self.user.store(Arc::new(user));
        self.standing.store(standing, SeqCst);
        had_channels
    }
}

fn standing(user: &User, grammar: &Grammar<'_>) -> u8 {
    let flag = |holds: bool, bit: u8| if holds { bit } else { 0 };
    flag(user.is_unlimited(grammar), UNLIMITED) | flag(user.is_open(), OPEN)
}

/// All users.
#[derive(Debug)]
pub struct Acl {
    catalogue: Catalogue,
    default: Arc<Account>,
    /// By name. Held over a change, so that two of them cannot overwrite each other.
    accounts: Mutex<Accounts>,
    /// What was refused.
    pub log: Log,
}

type Accounts = BTreeMap<Box<[u8]>, Arc<Account>>;

impl Acl {
    /// The user `default` alone, who may do everything with any password.
    pub fn new(catalogue: Catalogue) -> Self {
        let grammar = Grammar { catalogue: &catalogue, all_channels: false };
        let default = Arc::new(Account::new(DEFAULT.as_bytes(), User::unlimited(&grammar), &grammar));
        let accounts = Mutex::new(Accounts::from([(default.name.clone(), default.clone())]));
        Self { catalogue, default, accounts, log: Log::default() }
    }

    /// The commands, as rules see them.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The user of everybody who has not logged in.
    #[inline]
    pub fn default_account(&self) -> &Arc<Account> {
        &self.default
    }

    /// The user of this name.
    pub fn find(&self, name: &[u8]) -> Option<Arc<Account>> {
        self.accounts.lock().get(name).cloned()
    }

    /// All users, by name.
    pub fn accounts(&self) -> Vec<Arc<Account>> {
        self.accounts.lock().values().cloned().collect()
    }

    /// Who logs in with this name and password, if they are right.
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<Arc<Account>> {
        // Also for a name that nobody has, so that the time does not tell which names there are.
        let password = Password::of(password);
        self.find(name).filter(|account| account.user().accepts(&password))
    }

    /// Applies rules to a user, who need not be there yet: all of them or, where one is wrong, none. `all_channels` says
    /// what `acl-pubsub-default` does. Tells whether it had channels before, so that whoever listens to what it may not
    /// listen to has to be ended by the caller.
    pub fn set_user<'a>(
        &self,
        name: &[u8],
        words: impl IntoIterator<Item = &'a [u8]>,
        all_channels: bool,
    ) -> Result<bool, SetUserError> {
        if name.iter().any(|byte| rules::is_blank(*byte)) {
            return Err(SetUserError::Name);
        }
        let grammar = self.grammar(all_channels);
        let rules = rules::merged(words)?;
        let mut accounts = self.accounts.lock();
        let known = accounts.get(name);
        let mut user = known.map_or_else(|| User::new(&grammar), |account| User::clone(&account.user()));
        apply_all(&mut user, &rules, &grammar)?;
        if let Some(account) = known {
            return Ok(account.replace(user, &grammar));
        }
        accounts.insert(name.into(), Arc::new(Account::new(name, user, &grammar)));
        Ok(false)
    }

    /// Deletes a user; none where there is no such, or where it is `default`. Whoever is logged in with it has to be
    /// ended by the caller.
    pub fn delete_user(&self, name: &[u8]) -> Option<Arc<Account>> {
        if name == DEFAULT.as_bytes() {
            return None;
        }
        let account = self.accounts.lock().remove(name)?;
        account.standing.store(GONE, SeqCst);
        Some(account)
    }

    /// Replaces all users by those of a file, whose text and path are these, as a whole or not at all. `default` stays
    /// the same, with the rules of the file, or without limits if it is not there. Whoever is logged in as another user
    /// has to be ended by the caller, and so has whoever listens as `default` to what it may not listen to, if the answer
    /// says that it had channels.
    ///
    /// # Errors
    /// All that is wrong with the file, in one line.
    pub fn replace_all(&self, text: &[u8], path: &Path, all_channels: bool) -> Result<bool, String> {
        let grammar = self.grammar(all_channels);
        let mut users = file::parse(text, path, &grammar)?;
        let mut accounts = self.accounts.lock();
        let default = users.remove(DEFAULT.as_bytes()).unwrap_or_else(|| User::unlimited(&grammar));
        let had_channels = self.default.replace(default, &grammar);
        let made = users.into_iter().map(|(name, user)| (name.clone(), Arc::new(Account::new(&name, user, &grammar))));
        let all = Accounts::from_iter(made.chain([(self.default.name.clone(), self.default.clone())]));
        let gone = std::mem::replace(&mut *accounts, all);
        let gone = gone.into_values().filter(|account| !Arc::ptr_eq(account, &self.default));
        gone.for_each(|account| account.standing.store(GONE, SeqCst));
        Ok(had_channels)
    }

    /// Whether `default` may do everything, with this password alone or, without one, with any.
    pub fn is_default_with(&self, password: Option<&str>) -> bool {
        let grammar = self.grammar(false);
        let expected = with_password(User::unlimited(&grammar), password, &grammar);
        **self.default.user() == expected
    }

    /// Gives `default` this password alone; without one, any is right.
    pub fn set_default_password(&self, password: Option<&str>) {
        let grammar = self.grammar(false);
        let _changing = self.accounts.lock();
        let user = with_password(User::clone(&self.default.user()), password, &grammar);
        self.default.replace(user, &grammar);
    }

    fn grammar(&self, all_channels: bool) -> Grammar<'_> {
        Grammar { catalogue: &self.catalogue, all_channels }
    }
}

fn with_password(mut user: User, password: Option<&str>, grammar: &Grammar<'_>) -> User {
    let rule = password.map_or("nopass".to_owned(), |password| format!(">{password}"));
    for rule in ["resetpass", &rule] {
        user.apply(grammar, rule.as_bytes()).expect("a rule that has no errors");
    }
    user
}

fn apply_all(user: &mut User, rules: &[Vec<u8>], grammar: &Grammar<'_>) -> Result<(), SetUserError> {
    for rule in rules {
        user.apply(grammar, rule).map_err(|error| SetUserError::Rule(rule.clone(), error))?;
    }
    Ok(())
}
