//! From lines, variables and arguments to [`Settings`]: what was given later wins, and the first problem is named exactly.
//!
//! Values are refused where they stand. What depends on the final value (a name to ignore, a feature that must be off) is judged
//! at the end, so that a later line or argument can put it right.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::files;
use super::kind::Kind;
use super::settings::{Given, Settings};
use super::syntax::{quoted, split_lines, split_words};
use super::table::{Parameter, Standing, find, nearest};
use super::users::{self, UserLine};

/// A glob matcher: pattern, text, whether case is ignored.
pub type GlobMatch = fn(&[u8], &[u8], bool) -> bool;

/// Files may include files this deep; more is taken for a circle.
const INCLUDE_DEPTH_MAX: usize = 16;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    File { path: PathBuf, line: usize },
    StandardInput { line: usize },
    Environment { variable: String },
    CommandLine,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Place::StandardInput { line } => write!(f, "standard input, line {line}"),
            Place::Environment { variable } => write!(f, "environment variable {variable}"),
            Place::CommandLine => f.write_str("command line"),
        }
    }
}

/// Why the server does not start. Displays as one line: place, directive, what is wrong, what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    /// The directive as given, without secrets.
    pub directive: String,
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.directive, self.reason)
    }
}

impl std::error::Error for Problem {}

/// What the log must say about the configuration; each is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Directives of Redis that were accepted and do nothing.
    Accepted(Vec<&'static str>),
    /// Redis's switches for persistence, as they were written; they do not switch anything here.
    AlwaysLogged { directives: Vec<String>, dir: PathBuf },
    /// `daemonize yes`.
    Foreground,
    /// `syslog-enabled yes`.
    NoSyslog,
    /// Names nobody knows, skipped because `ignore-unknown-config` is on.
    UnknownIgnored(Vec<String>),
    /// A variable with our prefix that was not used, and why.
    Environment { variable: String, reason: String },
    /// The password is that of a variable which is not ours.
    Password { variable: String },
}

impl Note {
    /// Whether somebody should look at it.
    pub fn is_warning(&self) -> bool {
        matches!(self, Note::UnknownIgnored(_) | Note::Environment { .. })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Accepted(names) => {
                write!(f, "accepted from a Redis configuration, without effect here: {}", names.join(", "))
            }
            Note::AlwaysLogged { directives, dir } => write!(
                f,
                "`{}` changes nothing here: every write goes to the log in {} and is there again after a restart; \
                 there are no snapshot files. `appendfsync` says how soon a write reaches the disk",
                directives.join("`, `"),
                quoted(&dir.display().to_string())
            ),
            Note::Foreground => f.write_str(
                "`daemonize yes` changes nothing here: the server stays in the foreground, and whoever started it (systemd, a \
                 container, a shell's `&`) looks after it",
            ),
            Note::NoSyslog => f.write_str(
                "`syslog-enabled yes` changes nothing here: the log goes to `logfile` or the standard output, which journald and \
                 containers collect",
            ),
            Note::UnknownIgnored(names) => {
                write!(f, "unknown directives ignored, as `ignore-unknown-config` asks: {}", names.join(", "))
            }
            Note::Environment { variable, reason } => write!(f, "environment variable {variable} ignored: {reason}"),
            Note::Password { variable } => write!(f, "the password is that of the environment variable {variable}"),
        }
    }
}

/// Collects values; [`Loader::finish`] judges them.
pub(super) struct Loader {
    glob: GlobMatch,
    given: Given,
    /// Where each given parameter, by its primary name, was given last, and how it was written.
    mentions: BTreeMap<&'static str, (Place, String)>,
    unknown: Vec<Problem>,
    users: Vec<UserLine>,
    notes: Vec<Note>,
}

impl Loader {
    pub(super) fn new(glob: GlobMatch) -> Self {
        let (given, mentions) = (Given::new(), BTreeMap::new());
        Self { glob, given, mentions, unknown: Vec::new(), users: Vec::new(), notes: Vec::new() }
    }

    /// Reads a file, named at `place`, and those it includes.
    pub(super) fn file(&mut self, path: &Path, place: Place) -> Result<(), Problem> {
        let problem = |error: std::io::Error| Problem {
            place,
            directive: path.display().to_string(),
            reason: format!("cannot read the configuration file: {error}"),
        };
        let text = files::read(path).map_err(problem)?;
        self.lines(&text, 0, |line| Place::File { path: path.to_owned(), line })
    }

    /// Reads standard input to its end.
    pub(super) fn standard_input(&mut self) -> Result<(), Problem> {
        let problem = |error: std::io::Error| Problem {
            place: Place::CommandLine,
            directive: "-".into(),
            reason: format!("cannot read the configuration from standard input: {error}"),
        };
        let text = files::read_standard_input().map_err(problem)?;
        self.text(&text)
    }

    /// Reads the text that came from standard input.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Problem> {
        self.lines(text, 0, |line| Place::StandardInput { line })
    }

    fn lines(&mut self, text: &str, depth: usize, place: impl Fn(usize) -> Place) -> Result<(), Problem> {
        for (index, line) in split_lines(text).1.enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = place(index + 1);
            let words = match split_words(line) {
                Ok(words) => words,
                Err(reason) => return Err(Problem { place, directive: shown_line(line), reason: reason.into() }),
            };
            match words.split_first() {
                Some((name, values)) => self.directive(name, values, place, depth)?,
                None => continue,
            }
        }
        Ok(())
    }

    /// Takes one directive with its words.
    pub(super) fn directive(
        &mut self,
        name: &str,
        values: &[String],
        place: Place,
        depth: usize,
    ) -> Result<(), Problem> {
        if name.eq_ignore_ascii_case("include") {
            return self.include(values, place, depth);
        }
        let Some(row) = find(name) else {
            self.unknown.push(unknown_name(name, values, place));
            return Ok(());
        };
        let directive = shown(row, values);
        if let Standing::Refused(instead) = row.standing {
            return Err(Problem { place, directive, reason: instead.into() });
        }
        if row.standing == Standing::Line {
            return users::take(&mut self.users, values, place);
        }
        let words: Vec<&str> = values.iter().map(String::as_str).collect();
        let current = match (self.given.get(row.name), row.kind) {
            (Some(text), _) => text,
            // The first line replaces Redis's default save points; further ones add to it.
            (None, Kind::SavePoints) => "",
            (None, _) => row.default_text(),
        };
        match row.kind.canonical(&words, current) {
            Ok(text) => {
                self.given.insert(row.name, text);
                self.mentions.insert(row.name, (place, directive));
                Ok(())
            }
            Err(refusal) => {
                let reason = format!("{refusal}; wanted: {}", row.kind.wanted());
                Err(Problem { place, directive, reason })
            }
        }
    }

    /// Remembers a warning about the environment.
    pub(super) fn note(&mut self, note: Note) {
        self.notes.push(note);
    }

    fn include(&mut self, values: &[String], place: Place, depth: usize) -> Result<(), Problem> {
        let directive = format!("include {}", values.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "));
        let problem = |reason: String| Problem { place: place.clone(), directive: directive.clone(), reason };
        let [pattern] = values else {
            return Err(problem("wrong number of arguments; wanted: one path or pattern".into()));
        };
        if depth >= INCLUDE_DEPTH_MAX {
            return Err(problem(format!("files include each other more than {INCLUDE_DEPTH_MAX} deep")));
        }
        let paths = match files::is_pattern(pattern) {
            true => files::expand(Path::new(pattern), self.glob),
            false => vec![PathBuf::from(pattern)],
        };
        for path in paths {
            let text =
                files::read(&path).map_err(|error| problem(format!("cannot read {}: {error}", path.display())))?;
            self.lines(&text, depth + 1, |line| Place::File { path: path.clone(), line })?;
        }
        Ok(())
    }

    /// Where a parameter was given last.
    pub(super) fn place_of(&self, name: &str) -> Option<&Place> {
        self.mentions.get(name).map(|(place, _)| place)
    }

    /// The secrets that came from the environment, which no file must have.
    pub(super) fn environment_secrets(&self) -> Given {
        let is_environment = |name: &str| matches!(self.place_of(name), Some(Place::Environment { .. }));
        let is_secret = |name: &str| find(name).is_some_and(|row| row.secret);
        let secrets = self.given.iter().filter(|(name, _)| is_secret(name) && is_environment(name));
        secrets.map(|(name, text)| (*name, text.clone())).collect()
    }

    /// The users, as their lines say them.
    pub(super) fn users(&self) -> &[UserLine] {
        &self.users
    }

    /// Whether a parameter has been given anywhere.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.mentions.contains_key(name)
    }

    /// The settings, and what the log must say about them.
    pub(super) fn finish(mut self) -> Result<(Settings, Vec<Note>), Problem> {
        let ignores_unknown = self.given.get("ignore-unknown-config").is_some_and(|text| text == "yes");
        if !ignores_unknown && !self.unknown.is_empty() {
            return Err(self.unknown.swap_remove(0));
        }
        for (name, (place, directive)) in &self.mentions {
            let missing = find(name).and_then(|row| row.missing(self.given.get(name)?));
            if let Some(instead) = missing {
                let (place, directive) = (place.clone(), directive.clone());
                return Err(Problem { place, directive, reason: instead.into() });
            }
        }
        let settings = Settings::from_texts(self.given).ok_or_else(|| Problem {
            place: Place::CommandLine,
            directive: "configuration".into(),
            reason: "a value cannot be represented on this machine".into(),
        })?;
        users::refuse_mixed(&self.users, settings.aclfile.is_some())?;
        let mut notes = self.notes;
        if !self.unknown.is_empty() {
            notes.push(Note::UnknownIgnored(self.unknown.into_iter().map(|problem| problem.directive).collect()));
        }
        notes.extend(notes_on(&self.mentions, &settings));
        Ok((settings, notes))
    }
}

fn notes_on(mentions: &BTreeMap<&'static str, (Place, String)>, settings: &Settings) -> Vec<Note> {
    let is_switch = |name: &str| matches!(name, "save" | "appendonly");
    let switches: Vec<String> =
        mentions.iter().filter(|(name, _)| is_switch(name)).map(|(_, (_, directive))| directive.clone()).collect();
    let without_effect = |name: &&&'static str| {
        let accepted = |row: &Parameter| matches!(row.standing, Standing::Accepted(_) | Standing::OffOnly { .. });
        let is_told = is_switch(name) || matches!(**name, "daemonize" | "syslog-enabled");
        !is_told && find(name).is_some_and(accepted)
    };
    let names: Vec<&'static str> = mentions.keys().filter(without_effect).copied().collect();
    let mut notes = Vec::new();
    let is_on = |name: &str| settings.text(name) == Some("yes");
    notes.extend(is_on("daemonize").then_some(Note::Foreground));
    notes.extend(is_on("syslog-enabled").then_some(Note::NoSyslog));
    if !switches.is_empty() {
        notes.push(Note::AlwaysLogged { directives: switches, dir: settings.dir.clone() });
    }
    if !names.is_empty() {
        notes.push(Note::Accepted(names));
    }
    notes
}

fn unknown_name(name: &str, values: &[String], place: Place) -> Problem {
    let nearest = nearest(name);
    let hint = match nearest {
        Some(known) => format!("; did you mean `{known}`?"),
        None => "; remove it, or set `ignore-unknown-config yes` to start without it".to_owned(),
    };
    let mut words = vec![quoted(name)];
    words.extend(values.iter().map(|word| quoted(word)));
    // A slip in the name of a secret must not print the secret.
    let directive =
        if nearest.and_then(find).is_some_and(|row| row.secret) { words.swap_remove(0) } else { words.join(" ") };
    Problem { place, directive, reason: format!("unknown directive{hint}") }
}

/// A directive as it was written, without its secret.
fn shown(row: &Parameter, values: &[String]) -> String {
    let mut words = vec![row.name.to_owned()];
    match row.secret {
        true => words.push("(redacted)".into()),
        false => words.extend(values.iter().map(|word| quoted(word))),
    }
    words.join(" ")
}

/// A line that cannot be split; its name alone if what follows may be a secret.
fn shown_line(line: &str) -> String {
    let name = line.split_ascii_whitespace().next().unwrap_or_default();
    let shown = match find(name).is_none_or(|row| row.secret) {
        true => format!("{name} ..."),
        false => line.to_owned(),
    };
    let visible = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    shown.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<(Settings, Vec<Note>), String> {
        let mut loader = Loader::new(|pattern, text, _| pattern == text);
        let path = PathBuf::from("r.conf");
        let outcome =
            loader.lines(text, 0, |line| Place::File { path: path.clone(), line }).and_then(|()| loader.finish());
        outcome.map_err(|problem| problem.to_string())
    }

    #[test]
    fn problems_name_place_directive_and_remedy() {
        let cases = [
            (
                "timeout abc",
                "r.conf, line 1: timeout abc: argument couldn't be parsed into an integer; wanted: a whole number from 0 to 2147483647",
            ),
            ("# c\n\nport", "r.conf, line 3: port: wrong number of arguments; wanted: a whole number from 0 to 65535"),
            (
                "timeout 5 # no comment here",
                "r.conf, line 1: timeout 5 \"#\" no comment here: wrong number of arguments",
            ),
            // One line each, whatever they are about.
            ("\"a\\nb\" c", "r.conf, line 1: \"a\\nb\" c: unknown directive"),
            ("loglevel \"a\rb\x1b[m", "r.conf, line 1: loglevel \"a\\rb\\u{1b}[m: Unbalanced quotes"),
            ("loglevel \"not", "r.conf, line 1: loglevel \"not: Unbalanced quotes in configuration line"),
            ("requirepass \"not", "r.conf, line 1: requirepass ...: Unbalanced quotes"),
            ("requirepas hunter2", "r.conf, line 1: requirepas: unknown directive; did you mean `requirepass`?"),
            ("maxmemroy 1mb", "r.conf, line 1: maxmemroy 1mb: unknown directive; did you mean `maxmemory`?"),
            (
                "frobnicate 1",
                "r.conf, line 1: frobnicate 1: unknown directive; remove it, or set `ignore-unknown-config yes`",
            ),
            (
                "dir /x\nreplicaof 10.0.0.1 6379",
                "r.conf, line 2: replicaof 10.0.0.1 6379: this server cannot be a replica",
            ),
            ("rename-command CONFIG \"\"", "r.conf, line 1: rename-command CONFIG \"\": commands cannot be renamed"),
            ("user", "r.conf, line 1: user: wrong number of arguments; wanted: a name and rules"),
            (
                "user alice on >pw\nuser bob on\nuser alice off",
                "r.conf, line 3: user alice (redacted): Duplicate user found. A user can only be defined once in config files",
            ),
            (
                "user alice on >hunter2\naclfile /etc/acl",
                "r.conf, line 1: user alice (redacted): Configuring Redis with users defined in redis.conf and at the same",
            ),
            ("tls-port 66000", "r.conf, line 1: tls-port 66000: argument must be between 0 and 65535 inclusive"),
            ("cluster-enabled yes", "r.conf, line 1: cluster-enabled yes: this server does not join"),
            ("loadmodule /x.so", "r.conf, line 1: loadmodule /x.so: modules cannot"),
            ("min-slaves-to-write 1", "r.conf, line 1: min-replicas-to-write 1: this server has no replicas"),
            (
                "include /nosuch/file.conf",
                "r.conf, line 1: include /nosuch/file.conf: cannot read /nosuch/file.conf: No such file",
            ),
        ];
        for (text, expected) in cases {
            let problem = load(text).unwrap_err();
            assert!(problem.starts_with(expected), "{text}\n{problem}\n{expected}");
            assert!(!problem.contains("hunter2"));
        }
    }

    #[test]
    fn what_is_put_right_later_is_right() {
        for text in [
            "ignore-unknown-config no\nfrobnicate 1\nignore-unknown-config yes",
            "cluster-enabled no\ntls-port 0\nreplicaof no one\naclfile \"\"",
            "user default on nopass sanitize-payload ~* &* +@all",
            "aclfile /etc/acl\nuser alice on\naclfile \"\"",
        ] {
            assert!(load(text).is_ok(), "{text}: {:?}", load(text));
        }
    }

    #[test]
    fn lines_of_users_are_taken_as_they_stand() {
        let mut loader = Loader::new(|_, _, _| false);
        let file = |line: usize| Place::File { path: PathBuf::from("users.conf"), line };
        loader.lines("user alice on \">a b\" (~x +get)\nuser bob off", 0, file).unwrap();
        loader.lines("user alice off", 0, |line| Place::StandardInput { line }).unwrap();
        let lines: Vec<_> =
            loader.users().iter().map(|user| (&*user.name, user.rules.join("|"), &user.place)).collect();
        let (here, there) = (Place::StandardInput { line: 1 }, file(2));
        assert_eq!(lines, [("alice", "off".to_owned(), &here), ("bob", "off".to_owned(), &there)]);
    }

    #[test]
    fn notes_are_one_line_each() {
        let text = "save \"\"\nappendonly no\nhz 20\nslave-read-only yes\nnosuch a\nignore-unknown-config yes\ndir /d\ntimeout 3";
        let (settings, notes) = load(text).unwrap();
        assert_eq!((settings.timeout, settings.text("hz")), (3, Some("20")));
        let lines: Vec<String> = notes.iter().map(Note::to_string).collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].ends_with("nosuch a"));
        assert!(
            lines[1]
                .starts_with("`appendonly no`, `save \"\"` changes nothing here: every write goes to the log in /d")
        );
        assert!(lines[2].ends_with("without effect here: hz, replica-read-only"));
        let (_, notes) = load("dir \"a\\nb\"\nsave \"\"\n\"x\\ny\" 1\nignore-unknown-config yes").unwrap();
        let lines: Vec<String> = notes.iter().map(Note::to_string).collect();
        assert!(lines.len() == 2 && lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
    }

    #[test]
    fn later_lines_win_or_add_up() {
        let text = "timeout 1\nTIMEOUT 2\nsave 900 1\nsave 300 10\nclient-output-buffer-limit normal 1mb 1mb 1\r\n\
                    client-output-buffer-limit replica 2 2 2";
        let (settings, _) = load(text).unwrap();
        assert_eq!(settings.timeout, 2);
        assert_eq!(settings.text("save"), Some("900 1 300 10"));
        let limits = settings.client_output_buffer_limit;
        assert_eq!((limits.normal.hard, limits.replica.hard, limits.pubsub.hard), (1 << 20, 2, 32 << 20));
    }

    #[test]
    fn files_include_files() {
        let directory = std::env::temp_dir().join(format!("caskade-config-include-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("conf.d")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
        let at = |name: &str| directory.join(name).display().to_string();
        write("conf.d/a.conf", "timeout 1\n");
        write("conf.d/b.conf", "timeout 2\nmaxclients 7\n");
        write("circle.conf", &format!("include {}\n", at("circle.conf")));
        write("broken.conf", "\ntimeout x\n");
        let load_file = |text: &str| {
            write("main.conf", text);
            // Enough of a glob for `*.conf`.
            let mut loader = Loader::new(|pattern, text, _| text.ends_with(pattern.strip_prefix(b"*").unwrap()));
            loader
                .file(&directory.join("main.conf"), Place::CommandLine)
                .and_then(|()| loader.finish())
                .map_err(|problem| problem.to_string())
        };
        let (settings, _) = load_file(&format!("include {}\n", at("conf.d/*.conf"))).unwrap();
        assert_eq!((settings.timeout, settings.maxclients), (2, 7));
        assert!(load_file(&format!("include {}\n", at("none/*.conf"))).is_ok());
        let circle = load_file(&format!("include {}\n", at("circle.conf"))).unwrap_err();
        assert!(circle.ends_with("files include each other more than 16 deep"), "{circle}");
        let broken = load_file(&format!("include {}\n", at("broken.conf"))).unwrap_err();
        assert!(broken.starts_with(&format!("{}, line 2: timeout x", at("broken.conf"))), "{broken}");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
