//! Parameters from the environment: `CASKADE_<DIRECTIVE>`, and `CASKADE_<DIRECTIVE>_FILE` for secrets kept in files.
//!
//! What Kubernetes injects for a service that happens to be called `caskade` is never taken for a parameter.

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

/// Takes every variable with our prefix, in alphabetical order.
pub(super) fn load(loader: &mut Loader, environment: &[(OsString, OsString)]) -> Result<(), Problem> {
    let ours = |(name, value): &(OsString, OsString)| {
        let name = name.to_str().filter(|name| name.starts_with(PREFIX) && *name != DEFAULTS)?;
        Some((name.to_owned(), value.clone().into_string()))
    };
    let mut variables: Vec<_> = environment.iter().filter_map(ours).collect();
    variables.sort();
    for (variable, value) in variables {
        let Ok(value) = value else {
            loader.note(Note::Environment { variable, reason: "its value is not valid UTF-8".into() });
            continue;
        };
        if !is_injected_by_kubernetes(&variable, &value) {
            take(loader, variable, &value)?;
        }
    }
    Ok(())
}

fn take(loader: &mut Loader, variable: String, value: &str) -> Result<(), Problem> {
    let name = variable[PREFIX.len()..].to_ascii_lowercase().replace('_', "-");
    if let Some(row) = find(&name).filter(|row| row.is_value()) {
        return directive(loader, row, value, variable);
    }
    if let Some(row) = name.strip_suffix("-file").and_then(find).filter(|row| row.secret && row.is_value()) {
        return match files::read(Path::new(value)) {
            Ok(text) => directive(loader, row, text.trim_end_matches(['\r', '\n']), variable),
            Err(error) => {
                let reason = format!("cannot read {value}: {error}");
                Err(Problem { place: Place::Environment { variable }, directive: row.name.into(), reason })
            }
        };
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
            .and_then(|()| load(&mut loader, &variables))
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
}
