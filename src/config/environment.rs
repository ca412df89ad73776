//! Parameters from the environment: `CASKADE_<DIRECTIVE>`, and `CASKADE_<DIRECTIVE>_FILE` for secrets kept in files.
//!
//! What Kubernetes injects for a service that happens to be called `caskade` is never taken for a parameter. A secret that was
//! meant and cannot be had (an empty file, two sources, a slip in its name) stops the start: a server without a password
//! would be the alternative.

use std::ffi::OsString;
use std::path::Path;

use super::files;
use super::load::{Loader, Note, Place, Problem};
use super::syntax::split_words;
use super::table::{Parameter, find, nearest};

const PREFIX: &str = "CASKADE_";

/// The variable of a parameter.
pub fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// Names a file that is read before everything else, so that all other ways win over it: how a package or an image changes
/// defaults without standing in the way of whoever uses it.
pub(super) const DEFAULTS: &str = "CASKADE_DEFAULTS";

/// Reads the file of [`DEFAULTS`], if there is one.
pub(super) fn load_defaults(loader: &mut Loader, environment: &[(OsString, OsString)]) -> Result<(), Problem> {
    let named = environment.iter().find(|(name, value)| name == DEFAULTS && !value.is_empty());
    named.map_or(Ok(()), |(_, path)| loader.file(Path::new(path), Place::Environment { variable: DEFAULTS.into() }))
}

/// Holds further options of the command line, in its syntax and with the quotes of a configuration file; they win over all others.
pub(super) const EXTRA_FLAGS: &str = "CASKADE_EXTRA_FLAGS";

/// The words of [`EXTRA_FLAGS`].
pub(super) fn extra_flags(environment: &[(OsString, OsString)]) -> Result<Vec<String>, Problem> {
    // The text may hold a password, and is not shown.
    let problem = |reason: &str| Problem {
        place: Place::Environment { variable: EXTRA_FLAGS.into() },
        directive: "options".into(),
        reason: reason.into(),
    };
    let Some((_, value)) = environment.iter().find(|(name, _)| name == EXTRA_FLAGS) else { return Ok(Vec::new()) };
    split_words(value.to_str().ok_or_else(|| problem(NOT_TEXT))?).map_err(problem)
}

/// The password as other images have it in their environment.
const FOREIGN: &str = "REDIS_PASSWORD";
const FOREIGN_FILE: &str = "REDIS_PASSWORD_FILE";
const FILE: &str = "_FILE";
const NOT_TEXT: &str = "its value is not valid UTF-8";

/// Takes `REDIS_PASSWORD`, which whatever is said to this server alone wins over: it may have been meant for a client.
pub(super) fn load_foreign(loader: &mut Loader, environment: &[(OsString, OsString)]) -> Result<(), Problem> {
    let Some(row) = find("requirepass") else { return Ok(()) };
    let given = |name: &str| environment.iter().find(|(known, value)| known == name && !value.is_empty());
    if given(FOREIGN).is_some() && given(FOREIGN_FILE).is_some() {
        return Err(twice(row, FOREIGN.into()));
    }
    for (variable, is_file) in [(FOREIGN, false), (FOREIGN_FILE, true)] {
        if let Some((_, value)) = given(variable) {
            secret(loader, row, value.clone().into_string().ok(), is_file, variable.into())?;
        }
    }
    Ok(())
}

/// What became of `REDIS_PASSWORD`, now that everything else has been read.
pub(super) fn note_foreign(loader: &mut Loader, environment: &[(OsString, OsString)]) {
    for variable in [FOREIGN, FOREIGN_FILE] {
        let Some((_, value)) = environment.iter().find(|(name, _)| name == variable) else { continue };
        let variable = variable.to_owned();
        let note = match loader.place_of("requirepass") {
            _ if value.is_empty() => Note::Environment { variable, reason: EMPTY.into() },
            Some(Place::Environment { variable: used }) if *used == variable => Note::Password { variable },
            Some(place) => {
                Note::Environment { variable, reason: format!("`requirepass` is given elsewhere ({place})") }
            }
            None => continue,
        };
        loader.note(note);
    }
}

const EMPTY: &str = "it is empty";

/// Takes every variable with our prefix, in alphabetical order.
pub(super) fn load(loader: &mut Loader, environment: &[(OsString, OsString)]) -> Result<(), Problem> {
    let ours = |(name, value): &(OsString, OsString)| {
        let name = name.to_str().filter(|name| name.starts_with(PREFIX) && ![DEFAULTS, EXTRA_FLAGS].contains(name))?;
        Some((name.to_owned(), value.clone().into_string()))
    };
    let mut variables: Vec<_> = environment.iter().filter_map(ours).collect();
    variables.sort();
    let is_given = |name: &str| {
        let known = variables.iter().find(|(known, _)| known == name);
        known.is_some_and(|(_, value)| value.as_ref().map_or(true, |value| !value.is_empty()))
    };
    for (variable, value) in &variables {
        let variable = variable.clone();
        if value.as_ref().is_ok_and(|value| is_injected_by_kubernetes(&variable, value)) {
            continue;
        }
        if let Some((row, is_file)) = secret_of(&variable) {
            if is_file && is_given(&variable) && is_given(&self::variable(row.name)) {
                return Err(twice(row, self::variable(row.name)));
            }
            secret(loader, row, value.clone().ok(), is_file, variable)?;
            continue;
        }
        match value {
            Ok(value) => take(loader, variable, value)?,
            Err(_) => loader.note(Note::Environment { variable, reason: NOT_TEXT.into() }),
        }
    }
    Ok(())
}

/// The parameter in the name of a variable.
fn name_of(variable: &str) -> String {
    variable[PREFIX.len()..].to_ascii_lowercase().replace('_', "-")
}

/// The secret that a variable holds or says the file of.
fn secret_of(variable: &str) -> Option<(&'static Parameter, bool)> {
    let name = name_of(variable);
    let secret = |name: &str| find(name).filter(|row| row.secret && row.is_value());
    let file = || name.strip_suffix("-file").and_then(secret).map(|row| (row, true));
    secret(&name).map(|row| (row, false)).or_else(file)
}

fn twice(row: &'static Parameter, variable: String) -> Problem {
    let reason = format!("{variable} and {variable}{FILE} are both set; take one of them away");
    Problem { place: Place::Environment { variable }, directive: row.name.into(), reason }
}

/// Takes a secret, of this value or in the file of this name; none where the value is not valid UTF-8.
fn secret(
    loader: &mut Loader,
    row: &'static Parameter,
    value: Option<String>,
    is_file: bool,
    variable: String,
) -> Result<(), Problem> {
    let problem = |reason: String| {
        let place = Place::Environment { variable: variable.clone() };
        Err(Problem { place, directive: row.name.into(), reason })
    };
    let Some(value) = value else { return problem(NOT_TEXT.into()) };
    // Compose files pass on variables that are not set as empty ones: a password of a file stays what it is.
    if value.is_empty() {
        loader.note(Note::Environment { variable, reason: EMPTY.into() });
        return Ok(());
    }
    if !is_file {
        return directive(loader, row, &value, variable);
    }
    let text = match files::read(Path::new(&value)) {
        Ok(text) => text,
        Err(error) => return problem(format!("cannot read {value}: {error}")),
    };
    match text.trim_end_matches(['\r', '\n']) {
        "" => problem(format!("the file {value} is empty")),
        text => directive(loader, row, text, variable),
    }
}

fn take(loader: &mut Loader, variable: String, value: &str) -> Result<(), Problem> {
    let name = name_of(&variable);
    if let Some(row) = find(&name).filter(|row| row.is_value()) {
        return directive(loader, row, value, variable);
    }
    let known = nearest(name.strip_suffix("-file").unwrap_or(&name)).and_then(find);
    if !value.is_empty() && (name.contains("pass") || known.is_some_and(|row| row.secret && row.is_value())) {
        let reason = format!(
            "there is no such parameter, and a server without the password would start; the password is {} or {}{FILE}",
            self::variable("requirepass"),
            self::variable("requirepass")
        );
        return Err(Problem { place: Place::Environment { variable }, directive: name, reason });
    }
    let reason = match nearest(&name) {
        Some(known) => format!("there is no parameter `{name}`; did you mean {}?", self::variable(known)),
        None => format!("there is no parameter `{name}`"),
    };
    loader.note(Note::Environment { variable, reason });
    Ok(())
}

fn directive(loader: &mut Loader, row: &Parameter, value: &str, variable: String) -> Result<(), Problem> {
    let place = Place::Environment { variable };
    let words = match row.kind.takes_words() {
        true => split_words(value).map_err(|reason| Problem {
            place: place.clone(),
            directive: row.name.into(),
            reason: reason.into(),
        })?,
        false => vec![value.to_owned()],
    };
    // Compose files pass on variables that are not set as empty ones.
    if value.is_empty() && row.kind.canonical(&[""], "").is_err() {
        return Ok(());
    }
    loader.directive(row.name, &words, place, 0)
}

/// For a service called `caskade` or `caskade-...`: `..._SERVICE_HOST`, `..._SERVICE_PORT[_NAME]`, `..._PORT=tcp://...` and
/// `..._PORT_6379_TCP[_PROTO|_PORT|_ADDR]`.
fn is_injected_by_kubernetes(variable: &str, value: &str) -> bool {
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let of_a_port = variable.rsplit("_PORT_").any(|rest| {
        let mut parts = rest.split('_');
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        parts.next().is_some_and(is_number) && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
    });
    variable.ends_with("_SERVICE_HOST")
        || variable.contains("_SERVICE_PORT")
        || of_a_port
        || (is_url && variable.ends_with("_PORT"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn from(variables: &[(&str, &str)]) -> Result<(Settings, Vec<Note>), String> {
        let mut loader = Loader::new(|_, _, _| false);
        let variables: Vec<(OsString, OsString)> =
            variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        load_defaults(&mut loader, &variables)
            .and_then(|()| load_foreign(&mut loader, &variables))
            .and_then(|()| load(&mut loader, &variables))
            .map(|()| note_foreign(&mut loader, &variables))
            .and_then(|()| loader.finish())
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn variables_are_parameters() {
        let (settings, notes) = from(&[
            ("PATH", "/bin"),
            ("CASKADE_MAXMEMORY", "100mb"),
            ("CASKADE_MAXMEMORY_POLICY", "allkeys-lru"),
            ("CASKADE_BIND", "* -::*"),
            ("CASKADE_REQUIREPASS", "two words"),
            ("CASKADE_TIMEOUT", ""),
        ])
        .unwrap();
        assert_eq!((settings.maxmemory, settings.bind.len(), settings.timeout), (100 << 20, 2, 0));
        assert_eq!(settings.requirepass.as_deref(), Some("two words"));
        assert_eq!(notes, []);
    }

    #[test]
    fn what_kubernetes_injects_is_ignored() {
        let (settings, notes) = from(&[
            ("CASKADE_PORT", "tcp://10.96.0.1:6379"),
            ("CASKADE_PORT_6379_TCP", "tcp://10.96.0.1:6379"),
            ("CASKADE_PORT_6379_TCP_ADDR", "10.96.0.1"),
            ("CASKADE_PORT_6379_TCP_PORT", "6379"),
            ("CASKADE_PORT_6379_TCP_PROTO", "tcp"),
            ("CASKADE_SERVICE_HOST", "10.96.0.1"),
            ("CASKADE_SERVICE_PORT", "6379"),
            ("CASKADE_SERVICE_PORT_METRICS", "9121"),
            ("CASKADE_MASTER_PORT", "tcp://10.96.0.2:6379"),
            ("CASKADE_MASTER_PORT_6379_TCP_ADDR", "10.96.0.2"),
        ])
        .unwrap();
        assert_eq!((settings.port, notes), (6379, vec![]));
        assert_eq!(from(&[("CASKADE_PORT", "7000")]).unwrap().0.port, 7000);
    }

    #[test]
    fn unknown_names_are_warnings_and_bad_values_errors() {
        let (_, notes) = from(&[("CASKADE_MAXMEMROY", "1mb"), ("CASKADE_FROBNICATE", "1")]).unwrap();
        let lines: Vec<String> = notes.iter().map(Note::to_string).collect();
        assert_eq!(lines[0], "environment variable CASKADE_FROBNICATE ignored: there is no parameter `frobnicate`");
        assert!(lines[1].ends_with("did you mean CASKADE_MAXMEMORY?"), "{lines:?}");
        assert!(notes.iter().all(Note::is_warning));
        // A line of a file is no parameter.
        let (_, notes) = from(&[("CASKADE_USER", "alice on"), ("CASKADE_USER_FILE", "/nosuch")]).unwrap();
        assert_eq!(notes.len(), 2, "{notes:?}");
        let problem = from(&[("CASKADE_PORT", "x")]).unwrap_err();
        assert!(problem.starts_with("environment variable CASKADE_PORT: port x: argument couldn't"), "{problem}");
    }

    #[test]
    fn defaults_come_from_a_file_and_lose_against_everything() {
        let path = std::env::temp_dir().join(format!("caskade-config-defaults-{}.conf", std::process::id()));
        std::fs::write(&path, "dir /data\nprotected-mode auto\n").unwrap();
        let defaults = ("CASKADE_DEFAULTS", path.to_str().unwrap());
        let (settings, notes) = from(&[("CASKADE_DIR", "/elsewhere"), defaults]).unwrap();
        assert_eq!((settings.text("dir"), settings.text("protected-mode")), (Some("/elsewhere"), Some("auto")));
        assert_eq!(notes, []);
        std::fs::remove_file(&path).unwrap();
        assert!(from(&[defaults]).unwrap_err().starts_with("environment variable CASKADE_DEFAULTS: "));
        assert!(from(&[("CASKADE_DEFAULTS", "")]).is_ok());
    }

    #[test]
    fn secrets_come_from_files() {
        let path = std::env::temp_dir().join(format!("caskade-config-secret-{}", std::process::id()));
        std::fs::write(&path, "hunter2\n").unwrap();
        let (settings, _) = from(&[("CASKADE_REQUIREPASS_FILE", path.to_str().unwrap())]).unwrap();
        assert_eq!(settings.requirepass.as_deref(), Some("hunter2"));
        std::fs::remove_file(&path).unwrap();
        assert!(from(&[("CASKADE_REQUIREPASS_FILE", path.to_str().unwrap())]).unwrap_err().contains("cannot read"));
    }

    #[test]
    fn a_secret_that_was_meant_is_there_or_stops_the_start() {
        let path = std::env::temp_dir().join(format!("caskade-config-empty-secret-{}", std::process::id()));
        std::fs::write(&path, "\r\n").unwrap();
        let empty = path.to_str().unwrap();
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("CASKADE_REQUIREPASS_FILE", empty)], "is empty"),
            (&[("REDIS_PASSWORD_FILE", empty)], "is empty"),
            (&[("REDIS_PASSWORD_FILE", "/nosuch")], "cannot read /nosuch"),
            (&[("CASKADE_REQUIREPASS", "x"), ("CASKADE_REQUIREPASS_FILE", "/nosuch")], "are both set"),
            (&[("REDIS_PASSWORD", "x"), ("REDIS_PASSWORD_FILE", "/nosuch")], "are both set"),
            (&[("CASKADE_PASSWORD", "x")], "the password is CASKADE_REQUIREPASS or"),
            (&[("CASKADE_REQUIREPAS_FILE", "/x")], "the password is CASKADE_REQUIREPASS or"),
        ];
        for (variables, expected) in cases {
            let problem = from(variables).unwrap_err();
            assert!(problem.contains(expected), "{variables:?}: {problem}");
        }
        std::fs::remove_file(&path).unwrap();
        let invalid = std::os::unix::ffi::OsStringExt::from_vec(b"\xff".to_vec());
        let mut loader = Loader::new(|_, _, _| false);
        assert!(load(&mut loader, &[("CASKADE_REQUIREPASS".into(), invalid)]).is_err());
    }

    #[test]
    fn an_empty_variable_takes_no_password_away() {
        let path = std::env::temp_dir().join(format!("caskade-config-kept-secret-{}", std::process::id()));
        std::fs::write(&path, "requirepass kept\n").unwrap();
        let defaults = ("CASKADE_DEFAULTS", path.to_str().unwrap());
        let names = ["CASKADE_REQUIREPASS", "CASKADE_REQUIREPASS_FILE", "REDIS_PASSWORD", "REDIS_PASSWORD_FILE"];
        for name in names {
            let (settings, notes) = from(&[defaults, (name, "")]).unwrap();
            assert_eq!(settings.requirepass.as_deref(), Some("kept"), "{name}");
            assert_eq!(notes, [Note::Environment { variable: name.into(), reason: EMPTY.into() }]);
        }
        let both = [("CASKADE_REQUIREPASS", ""), ("CASKADE_REQUIREPASS_FILE", path.to_str().unwrap())];
        assert_eq!(from(&both).unwrap().0.requirepass.as_deref(), Some("requirepass kept"));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn the_password_of_other_images_is_taken_where_nothing_else_is_said() {
        let odd = "a \"b\" 'c' $HOME \\ #d";
        let (settings, notes) = from(&[("REDIS_PASSWORD", odd)]).unwrap();
        assert_eq!(settings.requirepass.as_deref(), Some(odd));
        assert_eq!(notes, [Note::Password { variable: "REDIS_PASSWORD".into() }]);
        assert!(!notes[0].is_warning() && !notes[0].to_string().contains(odd));
        let (settings, notes) = from(&[("REDIS_PASSWORD", "theirs"), ("CASKADE_REQUIREPASS", "ours")]).unwrap();
        assert_eq!(settings.requirepass.as_deref(), Some("ours"));
        let told = "environment variable REDIS_PASSWORD ignored: `requirepass` is given elsewhere (environment variable \
                    CASKADE_REQUIREPASS)";
        assert_eq!(notes.iter().map(Note::to_string).collect::<Vec<_>>(), [told]);
    }
}
