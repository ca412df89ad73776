//! The one table of parameters: what means something here, and what is only known because Redis knows it.
//!
//! Names are unique over both parts, aliases included; every default is valid for its kind. Command line, files,
//! environment, CONFIG and the documentation are all derived from these rows.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::kind::Kind;
use super::{accepted, settings};

/// One parameter.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub section: Section,
    /// The name, in lower case.
    pub name: &'static str,
    /// An older name with the same meaning, or empty.
    pub alias: &'static str,
    pub kind: Kind,
    /// The default as one would write it; [`Parameter::default_text`] is its canonical text.
    pub default: &'static str,
    /// What it does, in one to three sentences; empty where it does nothing here.
    pub summary: &'static str,
    pub change: Change,
    /// Whether its value stays out of logs and error messages.
    pub secret: bool,
    pub standing: Standing,
}

/// When a parameter may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only by starting again.
    Start,
    /// By starting again, since a client that could change it could take over the machine.
    Guarded,
    /// At any time, by CONFIG SET.
    Live,
}

/// What a parameter is to this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does what its summary says.
    Used,
    /// It is accepted, remembered and answered, and does nothing; the text says why.
    Accepted(&'static str),
    /// As accepted, but only with one of the values `off`: another would ask for something that is missed if it is not there.
    OffOnly { off: &'static [&'static str], instead: &'static str },
    /// A line of a file that is no parameter, and may stand there several times: not answered by CONFIG GET.
    Line,
    /// As a line, but refused always.
    Refused(&'static str),
}

/// The groups of the help and of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    Network,
    Tls,
    Clients,
    Security,
    Data,
    Memory,
    Running,
    Logging,
    Observing,
    /// Known from Redis, without meaning here.
    Accepted,
}

impl Section {
    pub const ALL: [Section; 10] = [
        Section::Network,
        Section::Tls,
        Section::Clients,
        Section::Security,
        Section::Data,
        Section::Memory,
        Section::Running,
        Section::Logging,
        Section::Observing,
        Section::Accepted,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Section::Network => "Network",
            Section::Tls => "TLS",
            Section::Clients => "Clients",
            Section::Security => "Security",
            Section::Data => "Data and durability",
            Section::Memory => "Memory",
            Section::Running => "Running",
            Section::Logging => "Logging",
            Section::Observing => "Observing",
            Section::Accepted => "Accepted from Redis, without effect",
        }
    }
}

impl Parameter {
    pub(super) const fn new(
        section: Section,
        name: &'static str,
        kind: Kind,
        default: &'static str,
        summary: &'static str,
    ) -> Self {
        let (alias, change, standing) = ("", Change::Start, Standing::Used);
        Self { section, name, alias, kind, default, summary: summary.trim_ascii(), change, secret: false, standing }
    }

    pub(super) const fn live(mut self) -> Self {
        self.change = Change::Live;
        self
    }

    pub(super) const fn guarded(mut self) -> Self {
        self.change = Change::Guarded;
        self
    }

    pub(super) const fn line(mut self) -> Self {
        self.standing = Standing::Line;
        self.secret()
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Whether CONFIG GET answers it.
    pub fn is_value(&self) -> bool {
        !matches!(self.standing, Standing::Line | Standing::Refused(_))
    }

    /// The canonical text of the default.
    pub fn default_text(&self) -> &'static str {
        static TEXTS: OnceLock<HashMap<&'static str, String>> = OnceLock::new();
        let canonical = |row: &Parameter| row.kind.canonical(&[row.default], "").unwrap_or_default();
        let texts = TEXTS.get_or_init(|| all().map(|row| (row.name, canonical(row))).collect());
        texts.get(self.name).map_or("", String::as_str)
    }

    /// Why this server cannot do what the canonical `text` asks for; none if it can, or if nothing would be missed.
    pub fn missing(&self, text: &str) -> Option<&'static str> {
        match self.standing {
            Standing::OffOnly { off, instead } if !off.contains(&text) => Some(instead),
            Standing::Refused(instead) => Some(instead),
            _ => None,
        }
    }
}

/// Every row: first those that mean something, in the order of the documentation, then the accepted ones.
pub fn all() -> impl Iterator<Item = &'static Parameter> {
    settings::USED.iter().chain(settings::LINES).chain(accepted::ACCEPTED)
}

/// The row of a name or alias, in any case.
pub fn find(name: &str) -> Option<&'static Parameter> {
    static INDEX: OnceLock<HashMap<&'static str, &'static Parameter>> = OnceLock::new();
    let index = INDEX.get_or_init(|| {
        let names = all().flat_map(|row| [(row.name, row), (row.alias, row)]);
        names.filter(|(name, _)| !name.is_empty()).collect()
    });
    match index.get(name) {
        Some(row) => Some(row),
        None => index.get(name.to_ascii_lowercase().as_str()).copied(),
    }
}

/// The known name that `unknown` is most probably a slip of.
pub fn nearest(unknown: &str) -> Option<&'static str> {
    let unknown = unknown.to_ascii_lowercase();
    let tolerated = (unknown.len() / 3).clamp(1, 4);
    // Every letter more or less is a slip.
    all()
        .filter(|row| row.name.len().abs_diff(unknown.len()) <= tolerated)
        .map(|row| (edit_distance(&unknown, row.name), row.name))
        .filter(|(distance, _)| *distance <= tolerated)
        .min()
        .map(|(_, name)| name)
}

/// How many letters must be put in, left out, replaced or swapped with their neighbour.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_lower_case() {
        let mut seen = HashSet::new();
        for name in all().flat_map(|row| [row.name, row.alias]).filter(|name| !name.is_empty()) {
            assert!(seen.insert(name), "{name} stands twice");
            assert_eq!(name, name.to_ascii_lowercase());
        }
    }

    #[test]
    fn defaults_are_valid_and_nothing_is_missing_by_default() {
        for row in all().filter(|row| row.is_value()) {
            assert!(row.kind.canonical(&[row.default], "").is_ok(), "{} {}", row.name, row.default);
            assert_eq!(row.missing(row.default_text()), None, "{}", row.name);
        }
    }

    #[test]
    fn what_is_used_is_described() {
        for row in settings::USED {
            assert!(row.summary.ends_with('.') && row.summary.len() > 20, "{}", row.name);
        }
    }

    #[test]
    fn slips_are_recognised() {
        let cases = [
            ("prot", Some("port")),
            ("maxmemroy", Some("maxmemory")),
            ("max-memory", Some("maxmemory")),
            ("appendsync", Some("appendfsync")),
            ("log-level", Some("loglevel")),
            ("worker-thread", Some("worker-threads")),
            ("frobnicate", None),
            ("x", None),
        ];
        for (unknown, expected) in cases {
            assert_eq!(nearest(unknown), expected, "{unknown}");
        }
    }
}
