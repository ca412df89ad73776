//! The settings in force, and CONFIG GET and SET on them.
//!
//! A change is all or nothing: the server has applied it before anybody can read it, and a refused one leaves no trace.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::{ArcSwap, Guard};
use parking_lot::{Mutex, MutexGuard};

use super::kind::Refusal;
use super::settings::Settings;
use super::table::{Change, Parameter, all, find};

/// The settings of a running server.
pub struct Config {
    current: ArcSwap<Settings>,
    /// What each turn of a connection asks for, once more.
    timeout: AtomicU64,
    bulk_bytes_max: AtomicU64,
    /// Held over a change or a rewrite, so that two of them cannot overwrite each other.
    changing: Mutex<()>,
    file: Option<PathBuf>,
    /// The secrets that came from the environment, by their parameters: CONFIG REWRITE keeps them out of the file.
    environment_secrets: BTreeMap<&'static str, String>,
}

/// Why CONFIG SET changed nothing. Displays as the whole error line that Redis sends, `ERR` included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// The name as the client wrote it.
    Unknown(String),
    /// The name as the client wrote it, in lower case where it is the value that was refused.
    Failed { name: String, reason: Refusal },
}

impl SetError {
    pub fn failed(name: impl Into<String>, reason: impl Into<Refusal>) -> Self {
        Self::Failed { name: name.into(), reason: reason.into() }
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                write!(f, "ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            Self::Failed { name, reason } => {
                write!(f, "ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
            }
        }
    }
}

impl std::error::Error for SetError {}

impl Config {
    /// `file` is the configuration file the server was started with, where CONFIG REWRITE goes.
    pub fn new(settings: Settings, file: Option<PathBuf>) -> Self {
        let (timeout, bulk_bytes_max) = (settings.timeout.into(), settings.proto_max_bulk_len.into());
        Self {
            current: ArcSwap::from_pointee(settings),
            timeout,
            bulk_bytes_max,
            changing: Mutex::new(()),
            file,
            environment_secrets: BTreeMap::new(),
        }
    }

    /// One that knows which secrets came from the environment.
    pub fn with_environment_secrets(self, environment_secrets: BTreeMap<&'static str, String>) -> Self {
        Self { environment_secrets, ..self }
    }

    pub(super) fn environment_secrets(&self) -> &BTreeMap<&'static str, String> {
        &self.environment_secrets
    }

    /// `timeout`, in seconds; 0 for none.
    #[inline]
    pub fn timeout(&self) -> u64 {
        self.timeout.load(Relaxed)
    }

    /// `proto-max-bulk-len`, in bytes.
    #[inline]
    pub fn bulk_bytes_max(&self) -> u64 {
        self.bulk_bytes_max.load(Relaxed)
    }

    /// The settings in force. Cheap enough for every command; not to be kept over a wait.
    pub fn get(&self) -> Guard<Arc<Settings>> {
        self.current.load()
    }

    /// As [`Config::get`], to be kept for a while.
    pub fn snapshot(&self) -> Arc<Settings> {
        self.current.load_full()
    }

    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// CONFIG GET: names (aliases too) for which `asked` holds, each once and in alphabetical order, with their texts.
    pub fn matching(&self, asked: &dyn Fn(&str) -> bool) -> Vec<(&'static str, String)> {
        let settings = self.get();
        let names = |row: &'static Parameter| [row.name, row.alias].map(|name| (name, row));
        let mut answer: Vec<_> = all()
            .filter(|row| row.is_value())
            .flat_map(names)
            .filter(|(name, _)| !name.is_empty() && asked(name))
            .map(|(name, row)| (name, settings.text_of(row).to_owned()))
            .collect();
        answer.sort_unstable_by_key(|(name, _)| *name);
        answer
    }

    /// CONFIG SET of several pairs of name and value.
    ///
    /// `apply` gets the settings before and after and the primary names that changed, does what must follow from the change,
    /// and may refuse it; only then are the new settings in force.
    pub fn set(
        &self,
        pairs: &[(&str, &str)],
        apply: impl FnOnce(&Settings, &Settings, &[&'static str]) -> Result<(), SetError>,
    ) -> Result<(), SetError> {
        let rows = changeable_rows(pairs)?;
        let _changing = self.changing.lock();
        let before = self.snapshot();
        let mut given = before.given().clone();
        for (row, (name, value)) in rows.iter().zip(pairs) {
            let refused = |reason| SetError::failed(name.to_ascii_lowercase(), reason);
            let text = text_for_client(row, value, before.text_of(row)).map_err(refused)?;
            given.insert(row.name, text);
        }
        let after = Settings::from_texts(given)
            .ok_or_else(|| SetError::failed(rows[0].name, "argument couldn't be read by this server"))?;
        let mut changed: Vec<&'static str> = rows.iter().map(|row| row.name).collect();
        changed.retain(|name| before.text(name) != after.text(name));
        changed.sort_unstable();
        changed.dedup();
        apply(&before, &after, &changed)?;
        self.timeout.store(after.timeout, Relaxed);
        self.bulk_bytes_max.store(after.proto_max_bulk_len, Relaxed);
        self.current.store(Arc::new(after));
        Ok(())
    }

    /// Keeps the settings as they are for as long as the guard lives.
    pub(super) fn hold(&self) -> MutexGuard<'_, ()> {
        self.changing.lock()
    }
}

/// As Redis does, looks at every name before any value; the first that cannot be changed decides.
fn changeable_rows(pairs: &[(&str, &str)]) -> Result<Vec<&'static Parameter>, SetError> {
    let mut rows: Vec<&'static Parameter> = Vec::with_capacity(pairs.len());
    let mut names: Vec<String> = Vec::with_capacity(pairs.len());
    for (name, _) in pairs {
        let row = find(name).filter(|row| row.is_value()).ok_or_else(|| SetError::Unknown((*name).to_owned()))?;
        match row.change {
            Change::Start => return Err(SetError::failed(*name, "can't set immutable config")),
            Change::Guarded => return Err(SetError::failed(*name, "can't set protected config")),
            Change::Live if names.contains(&name.to_ascii_lowercase()) => {
                return Err(SetError::failed(*name, "duplicate parameter"));
            }
            Change::Live => {}
        }
        rows.push(row);
        names.push(name.to_ascii_lowercase());
    }
    Ok(rows)
}

fn text_for_client(row: &'static Parameter, value: &str, current: &str) -> Result<String, Refusal> {
    // A client replaces save points, while the lines of a file add up.
    let current = if matches!(row.kind, super::Kind::SavePoints) { "" } else { current };
    let text = row.kind.canonical(&[value], current)?;
    match row.missing(&text) {
        Some(instead) => Err(instead.into()),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(config: &Config, pairs: &[(&str, &str)]) -> Result<Vec<&'static str>, String> {
        let mut changed = Vec::new();
        let outcome = config.set(pairs, |_, _, names| {
            changed = names.to_vec();
            Ok(())
        });
        outcome.map(|()| changed).map_err(|error| error.to_string())
    }

    #[test]
    fn refusals_are_those_of_redis() {
        let failed =
            |name, reason| Err(format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"));
        let unknown = |name| Err(format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'"));
        type Case<'a> = (&'a [(&'a str, &'a str)], Result<Vec<&'static str>, String>);
        let cases: &[Case<'_>] = &[
            (&[("nosuch", "1")], unknown("nosuch")),
            (&[("timeout", "5"), ("NoSuch", "3")], unknown("NoSuch")),
            (&[("dir", "/"), ("nosuch", "3")], failed("dir", "can't set protected config")),
            (&[("nosuch", "3"), ("dir", "/")], unknown("nosuch")),
            (&[("user", "default")], unknown("user")),
            (&[("daemonize", "yes")], failed("daemonize", "can't set immutable config")),
            (&[("databases", "16")], failed("databases", "can't set immutable config")),
            (&[("dir", "/")], failed("dir", "can't set protected config")),
            (&[("timeout", "1"), ("Timeout", "2")], failed("Timeout", "duplicate parameter")),
            (&[("DIR", "/")], failed("DIR", "can't set protected config")),
            (&[("slave-READ-only", "x")], failed("slave-read-only", "argument must be 'yes' or 'no'")),
            (&[("TIMEOUT", "abc")], failed("timeout", "argument couldn't be parsed into an integer")),
            (&[("timeout", "5"), ("hz", "x")], failed("hz", "argument couldn't be parsed into an integer")),
            (&[("maxmemory", "1.5gb")], failed("maxmemory", "argument must be a memory value")),
            (&[("timeout", "0")], Ok(vec![])),
            (&[("maxmemory", "100mb"), ("timeout", "7")], Ok(vec!["maxmemory", "timeout"])),
            (&[("slave-read-only", "no"), ("replica-read-only", "no")], Ok(vec!["replica-read-only"])),
        ];
        for (pairs, expected) in cases {
            assert_eq!(&set(&Config::new(Settings::default(), None), pairs), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_refused_change_leaves_no_trace() {
        let config = Config::new(Settings::default(), None);
        let refuse = |_: &Settings, after: &Settings, _: &[&'static str]| {
            assert_eq!(after.maxclients, 99);
            Err(SetError::failed("maxclients", "no"))
        };
        assert!(config.set(&[("timeout", "9"), ("maxclients", "99")], refuse).is_err());
        assert_eq!((config.get().timeout, config.get().maxclients), (0, 10000));
        assert_eq!(set(&config, &[("timeout", "9"), ("maxclients", "99")]).unwrap().len(), 2);
        assert_eq!((config.get().timeout, config.get().maxclients), (9, 99));
    }

    #[test]
    fn get_answers_names_and_aliases_in_canonical_texts() {
        let config = Config::new(Settings::default(), None);
        set(&config, &[("save", "900 1"), ("slave-read-only", "no"), ("maxmemory", "1k")]).unwrap();
        set(&config, &[("save", "300 10"), ("client-output-buffer-limit", "pubsub 1mb 0 0")]).unwrap();
        let text = |name: &str| config.matching(&|candidate| candidate == name).pop().unwrap().1;
        assert_eq!(text("save"), "300 10");
        assert_eq!(text("replica-read-only"), "no");
        assert_eq!(text("slave-read-only"), "no");
        assert_eq!(text("maxmemory"), "1000");
        assert_eq!(text("proto-max-bulk-len"), "536870912");
        assert!(text("client-output-buffer-limit").ends_with("pubsub 1048576 0 0"));
        let everything = config.matching(&|_| true);
        assert!(everything.len() > 200 && everything.is_sorted());
        assert!(everything.iter().all(|(name, _)| *name != "rename-command"));
    }
}
