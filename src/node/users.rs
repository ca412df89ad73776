//! What of users concerns more than the users: settings, files and connections.

use std::path::PathBuf;
use std::sync::Arc;

use super::acl::{Account, DEFAULT, SetUserError};
use super::{Node, Session, Space};
use crate::config::{AclPubsubDefault, RewriteError, SetError, Settings, UserLine, UserText, read_users, write_users};

/// Why the file of users was not followed, or not written.
#[derive(Debug)]
pub enum UsersFileError {
    /// `aclfile` is not set.
    None,
    /// What was wrong, in Redis's words.
    Failed(String),
}

impl Node {
    /// Whether a connection may do nothing before it has logged in.
    #[inline]
    pub fn needs_login(&self, session: &Session) -> bool {
        !session.authenticated && !self.acl.default_account().is_open()
    }

    /// Whether a set of rules begins with all channels.
    pub fn all_channels(&self) -> bool {
        self.config.get().acl_pubsub_default == AclPubsubDefault::Allchannels
    }

    /// Changes settings, with all that follows from it for users: CONFIG SET.
    pub fn set_config(&self, pairs: &[(&str, &str)]) -> Result<(), SetError> {
        self.config.set(pairs, |_, after, changed| {
            let most = self.host.clients_up_to(after.maxclients);
            if most < after.maxclients && changed.contains(&"maxclients") {
                let reason = format!(
                    "The operating system is not able to handle the specified number of clients, try with {most}"
                );
                return Err(SetError::failed("maxclients", reason));
            }
            let named: Vec<&str> = pairs.iter().map(|(name, _)| *name).collect();
            self.host.adopt(after, &named)?;
            // Also where the setting stays what it was: the password of the user may be another one by now.
            if pairs.iter().any(|(name, _)| name.eq_ignore_ascii_case("requirepass")) {
                self.acl.set_default_password(after.requirepass.as_deref());
            }
            Ok(())
        })
    }

    /// Writes settings and users into the configuration file: CONFIG REWRITE.
    pub fn rewrite_config(&self) -> Result<(), RewriteError> {
        self.config.rewrite(|settings| self.user_texts(settings))
    }

    fn user_texts(&self, settings: &Settings) -> Result<Vec<UserText>, RewriteError> {
        if settings.aclfile.is_some() {
            return Ok(Vec::new());
        }
        let text = |account: &Account| {
            let not_text = || RewriteError::User(account.shown_name());
            let name = String::from_utf8(account.name.to_vec()).map_err(|_| not_text())?;
            let rules = String::from_utf8(account.user().describe()).map_err(|_| not_text())?;
            let says_nothing = name == DEFAULT && self.acl.is_default_with(settings.requirepass.as_deref());
            Ok(UserText { name, rules: rules.split(' ').map(str::to_owned).collect(), needed: !says_nothing })
        };
        self.acl.accounts().iter().map(|account| text(account)).collect()
    }

    /// Makes the users that the configuration says: of its lines, or of the file it names.
    ///
    /// # Errors
    /// One line that says what is wrong, and where.
    pub fn load_users(&self, lines: &[UserLine]) -> Result<(), String> {
        for line in lines {
            let reset: &[&[u8]] = if line.name == DEFAULT { &[b"reset"] } else { &[] };
            let rules = reset.iter().copied().chain(line.rules.iter().map(String::as_bytes));
            let made = self.acl.set_user(line.name.as_bytes(), rules, self.all_channels());
            made.map_err(|error| line.problem(error.without_secrets()).to_string())?;
        }
        match self.read_users_file() {
            Ok(_) | Err(UsersFileError::None) => {}
            Err(UsersFileError::Failed(reason)) => return Err(reason),
        }
        for account in self.acl.accounts().iter().filter(|account| !account.user().is_enabled()) {
            tracing::info!(
                "The user '{}' is disabled (there is no 'on' modifier in the user description). Make sure this is not a \
                 configuration error.",
                account.shown_name()
            );
        }
        Ok(())
    }

    /// Follows the file of users anew: ACL LOAD. All connections of users other than `default` end, and those of `default`
    /// that listen to what it may not listen to any more, but one's own: that has to send its reply first. Tells whether
    /// it has to end for what it listens to.
    pub fn reload_users(&self, own: u64) -> Result<bool, UsersFileError> {
        let had_channels = self.read_users_file()?;
        self.end_connections_of_gone(own);
        Ok(had_channels && self.end_listeners(self.acl.default_account(), own))
    }

    /// Writes the file of users: ACL SAVE. It blocks on the disk until the new file is durable.
    pub fn save_users(&self) -> Result<(), UsersFileError> {
        let path = self.users_file()?;
        let lines = self.acl.accounts().into_iter().map(|account| [&account.describe()[..], b"\n"].concat());
        let text: Vec<u8> = lines.flatten().collect();
        write_users(&path, &text).map_err(|error| {
            tracing::warn!("ACL SAVE could not write {}: {error}", path.display());
            UsersFileError::Failed(error.to_string())
        })
    }

    /// Applies rules to a user: ACL SETUSER. Connections of that user that listen to what it may not listen to end, but
    /// one's own: that has to send its reply first. Tells whether it has to end, too.
    pub fn set_user<'a>(
        &self,
        name: &[u8],
        rules: impl IntoIterator<Item = &'a [u8]>,
        own: u64,
    ) -> Result<bool, SetUserError> {
        let had_channels = self.acl.set_user(name, rules, self.all_channels())?;
        // From a user who had no channels none can be taken away: as in Redis, who listens since it was somebody else goes on.
        let account = self.acl.find(name).filter(|_| had_channels);
        Ok(account.is_some_and(|account| self.end_listeners(&account, own)))
    }

    /// Ends connections of a user that listen to what it may not listen to, but one's own; tells whether that had to end,
    /// too.
    fn end_listeners(&self, account: &Arc<Account>, own: u64) -> bool {
        let (mut ends_own, mut others) = (false, Vec::new());
        self.pubsub.each_subscription(&mut |space, channel, client| {
            let is_of = client.account().is_some_and(|known| Arc::ptr_eq(&known, account));
            if !is_of || account.user().allows_channel(channel, space == Space::Pattern) {
                return;
            }
            if client.id == own { ends_own = true } else { others.push(client.id) }
        });
        others.into_iter().filter_map(|id| self.clients.get(id)).for_each(|client| self.end(&client));
        ends_own
    }

    /// Deletes users and ends their connections, but one's own: that has to send its reply first. Tells how many there
    /// were.
    pub fn delete_users<'a>(&self, names: impl Iterator<Item = &'a [u8]>, own: u64) -> usize {
        let count = names.filter_map(|name| self.acl.delete_user(name)).count();
        if count > 0 {
            self.end_connections_of_gone(own);
        }
        count
    }

    fn read_users_file(&self) -> Result<bool, UsersFileError> {
        let path = self.users_file()?;
        let text = read_users(&path).map_err(|error| {
            // Redis tells the words of the system alone.
            let reason = error.to_string();
            let reason = reason.split(" (os error").next().unwrap_or_default();
            UsersFileError::Failed(format!("Error loading ACLs, opening file '{}': {reason}", path.display()))
        })?;
        self.acl.replace_all(&text, &path, self.all_channels()).map_err(UsersFileError::Failed)
    }

    fn users_file(&self) -> Result<PathBuf, UsersFileError> {
        self.config.get().aclfile.clone().ok_or(UsersFileError::None)
    }

    fn end_connections_of_gone(&self, own: u64) {
        let is_gone = |account: Option<Arc<Account>>| account.is_some_and(|account| account.is_gone());
        let clients = self.clients.all().into_iter().filter(|client| client.id != own && is_gone(client.account()));
        clients.for_each(|client| self.end(&client));
    }
}
