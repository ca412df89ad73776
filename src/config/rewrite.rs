//! CONFIG REWRITE: the configuration file with the values in force.
//!
//! A line is touched only if its value is no longer true; comments, order and unknown lines stay. What the file does not
//! mention and is not the default is added at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

use super::files;
use super::kind::{Kind, memory_text};
use super::live::Config;
use super::settings::Settings;
use super::syntax::{name_in, quoted, split_lines, split_words};
use super::table::{Parameter, all, find};
use super::users::{UserText, with_users};

pub(super) const ADDED: &str = "# Added by CONFIG REWRITE";

/// Why the file was not rewritten. Displays as the whole error line, `ERR` included.
#[derive(Debug)]
pub enum RewriteError {
    /// The server was started without a file.
    NoFile,
    File(io::Error),
    /// What this user may do cannot be said in text.
    User(String),
}

impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile => f.write_str("ERR The server is running without a config file"),
            Self::File(error) => write!(f, "ERR Rewriting config file: {error}"),
            Self::User(name) => write!(
                f,
                "ERR Rewriting config file: the rules of user '{name}' are not valid UTF-8; keep users in an `aclfile`"
            ),
        }
    }
}

impl std::error::Error for RewriteError {}

impl Config {
    /// Writes the settings in force and the users into the configuration file. It blocks on the disk until the new file
    /// is durable.
    pub fn rewrite(
        &self,
        users: impl FnOnce(&Settings) -> Result<Vec<UserText>, RewriteError>,
    ) -> Result<(), RewriteError> {
        let path = self.file().ok_or(RewriteError::NoFile)?;
        let _unchanged = self.hold();
        let settings = self.snapshot();
        let users = users(&settings)?;
        let text = files::read(path).map_err(RewriteError::File)?;
        let text = with_users(&rewritten(&text, &settings, self.environment_secrets()), &users);
        files::replace(path, text.as_bytes()).map_err(RewriteError::File)
    }
}

/// The text of a configuration file, changed as little as it takes to say what `settings` say. Secrets that came from the
/// environment, and are still in force, are said there and not here.
pub fn rewritten(text: &str, settings: &Settings, environment_secrets: &BTreeMap<&'static str, String>) -> String {
    let is_elsewhere = |row: &'static Parameter| {
        environment_secrets.get(row.name).is_some_and(|secret| secret == settings.text_of(row))
    };
    let (start, lines) = split_lines(text);
    let lines: Vec<&str> = lines.collect();
    let mut places: BTreeMap<&'static str, Vec<usize>> = BTreeMap::new();
    let mut includes = false;
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = name_in(line) else { continue };
        includes |= name.eq_ignore_ascii_case("include");
        if let Some(row) = find(&name).filter(|row| row.is_value()) {
            places.entry(row.name).or_default().push(index);
        }
    }
    let mut replaced: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (name, indices) in &places {
        let Some(row) = find(name) else { continue };
        let own: Vec<&str> = indices.iter().map(|index| lines[*index]).collect();
        if is_elsewhere(row) || value_of(row, &own).as_deref() == Some(settings.text_of(row)) {
            continue;
        }
        // Of lines that add up the first tells all; of others the last one counts.
        let (kept, dropped) = match row.kind.accumulates() {
            true => (indices[0], &indices[1..]),
            false => (indices[indices.len() - 1], &[][..]),
        };
        replaced.insert(kept, lines_of(row, settings));
        replaced.extend(dropped.iter().map(|index| (*index, Vec::new())));
    }
    let mentioned: BTreeSet<&str> = places.keys().copied().collect();
    let must_be_added = |row: &&'static Parameter| {
        let is_default = settings.text_of(row) == row.default_text();
        // An included file may set what is the default again by now.
        let is_known = mentioned.contains(row.name) || is_elsewhere(row);
        row.is_value() && !is_known && (!is_default || includes && settings.was_given(row))
    };
    let added: Vec<String> = all().filter(must_be_added).flat_map(|row| lines_of(row, settings)).collect();
    let mut output: Vec<&str> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        match replaced.get(&index) {
            Some(new) => output.extend(new.iter().map(String::as_str)),
            None => output.push(line),
        }
    }
    if !added.is_empty() {
        if !lines.contains(&ADDED) {
            output.extend(["", ADDED].iter().skip(usize::from(lines.is_empty())));
        }
        output.extend(added.iter().map(String::as_str));
    }
    let lines: String = output.iter().map(|line| format!("{line}\n")).collect();
    format!("{start}{lines}")
}

/// The canonical text that these lines give a parameter; none if one of them is not valid.
fn value_of(row: &'static Parameter, lines: &[&str]) -> Option<String> {
    let mut text = match row.kind {
        Kind::SavePoints => String::new(),
        _ => row.default_text().to_owned(),
    };
    for line in lines {
        let words = split_words(line.trim()).ok()?;
        let values: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
        text = row.kind.canonical(&values, &text).ok()?;
    }
    Some(text)
}

/// The lines that give a parameter its value in `settings`.
fn lines_of(row: &'static Parameter, settings: &Settings) -> Vec<String> {
    let (name, text) = (row.name, settings.text_of(row));
    let groups = |size: usize| -> Vec<Vec<&str>> {
        text.split_ascii_whitespace().collect::<Vec<_>>().chunks(size).map(<[&str]>::to_vec).collect()
    };
    match row.kind {
        _ if text.is_empty() => vec![format!("{name} \"\"")],
        Kind::SavePoints => groups(2).iter().map(|pair| format!("{name} {}", pair.join(" "))).collect(),
        Kind::OutputLimits => groups(4)
            .iter()
            .map(|group| format!("{name} {} {} {} {}", group[0], shorter(group[1]), shorter(group[2]), group[3]))
            .collect(),
        Kind::Words | Kind::Percentiles => vec![format!("{name} {text}")],
        Kind::Memory { .. } | Kind::MemoryOrAuto { .. } | Kind::MemoryOrPercent => {
            vec![format!("{name} {}", shorter(text))]
        }
        _ => vec![format!("{name} {}", quoted(text))],
    }
}

fn shorter(bytes: &str) -> String {
    bytes.parse().map_or_else(|_| bytes.to_owned(), memory_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let config = Config::new(Settings::default(), None);
        config.set(pairs, |_, _, _| Ok(())).unwrap();
        config.get().as_ref().clone()
    }

    #[test]
    fn only_what_changed_is_touched() {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
        let cases: &[Case<'_>] = &[
            ("", &[], ""),
            ("# a\n\n  timeout   0 \nunknown x\n", &[], "# a\n\n  timeout   0 \nunknown x\n"),
            ("# a\ntimeout 5\n# b\n", &[("timeout", "7")], "# a\ntimeout 7\n# b\n"),
            ("timeout 5", &[("timeout", "0")], "timeout 0\n"),
            ("timeout 5\ntimeout 6\n", &[("timeout", "7")], "timeout 5\ntimeout 7\n"),
            ("slave-read-only yes\n", &[("replica-read-only", "no")], "replica-read-only no\n"),
            ("maxmemory 1GB\n", &[("maxmemory", "1gb")], "maxmemory 1GB\n"),
            (
                "save 900 1\n# x\nsave 300 10\nport 6379\n",
                &[("save", "60 1 30 2")],
                "save 60 1\nsave 30 2\n# x\nport 6379\n",
            ),
            ("save 900 1\nsave 300 10\n", &[("save", "900 1 300 10")], "save 900 1\nsave 300 10\n"),
            ("save 900 1\n", &[("save", "")], "save \"\"\n"),
            (
                "port 6379\n",
                &[("maxmemory", "100mb"), ("requirepass", "a \"b")],
                "port 6379\n\n# Added by CONFIG REWRITE\nrequirepass \"a \\\"b\"\nmaxmemory 100mb\n",
            ),
            (
                "# Added by CONFIG REWRITE\nmaxmemory 1mb\n",
                &[("maxmemory", "1mb"), ("timeout", "3")],
                "# Added by CONFIG REWRITE\nmaxmemory 1mb\ntimeout 3\n",
            ),
            ("timeout 3\r\nmaxclients 10000\r\n", &[("timeout", "4")], "timeout 4\nmaxclients 10000\n"),
            ("include x.conf\n", &[("timeout", "0")], "include x.conf\n\n# Added by CONFIG REWRITE\ntimeout 0\n"),
            (
                "client-output-buffer-limit normal 0 0 0\n",
                &[("client-output-buffer-limit", "normal 1mb 0 0")],
                "client-output-buffer-limit normal 1mb 0 0\nclient-output-buffer-limit slave 256mb 64mb 60\n\
                 client-output-buffer-limit pubsub 32mb 8mb 60\n",
            ),
            ("requirepass \"broken\n", &[("requirepass", "x")], "requirepass x\n"),
            // As they are read, so they are found again.
            ("\u{feff}timeout 5\n# b\n", &[("timeout", "0")], "\u{feff}timeout 0\n# b\n"),
            ("'timeout' 5\n", &[("timeout", "7")], "timeout 7\n"),
        ];
        for (before, pairs, after) in cases {
            let settings = settings(pairs);
            let once = rewritten(before, &settings, &BTreeMap::new());
            assert_eq!(once, *after, "{before:?} {pairs:?}");
            assert_eq!(rewritten(&once, &settings, &BTreeMap::new()), once, "again: {before:?} {pairs:?}");
        }
    }

    #[test]
    fn secrets_of_the_environment_stay_out_of_the_file() {
        let (secrets, settings) =
            (BTreeMap::from([("requirepass", "hidden".to_owned())]), settings(&[("requirepass", "hidden")]));
        for text in ["timeout 0\n", "requirepass old\n", "include x\n"] {
            let after = rewritten(text, &settings, &secrets);
            assert!(after.starts_with(text) && !after.contains("hidden"), "{after}");
        }
        // One that was set since is nowhere else.
        let other = self::settings(&[("requirepass", "new")]);
        assert_eq!(rewritten("requirepass old\n", &other, &secrets), "requirepass new\n");
    }

    #[test]
    fn the_file_is_replaced_as_a_whole() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("caskade-config-rewrite-{}.conf", std::process::id()));
        std::fs::write(&path, "# mine\ntimeout 5\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let config = Config::new(settings(&[("timeout", "7")]), Some(path.clone()));
        config.rewrite(|_| Ok(Vec::new())).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "# mine\ntimeout 7\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(&path).unwrap();
        assert!(
            config
                .rewrite(|_| Ok(Vec::new()))
                .unwrap_err()
                .to_string()
                .starts_with("ERR Rewriting config file: No such file")
        );
        let without = Config::new(Settings::default(), None).rewrite(|_| Ok(Vec::new())).unwrap_err().to_string();
        assert_eq!(without, "ERR The server is running without a config file");
    }
}
