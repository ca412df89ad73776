//! What must hold whatever stands in a configuration file.

use std::collections::BTreeMap;

use super::load::{Loader, Problem};
use super::rewrite::rewritten;
use super::settings::{Given, Settings};
use super::syntax::{name_in, split_lines};
use super::users::{UserText, with_users};

/// The rules of users, by their names.
type Users = BTreeMap<String, Vec<String>>;

/// A text in the syntax of redis.conf: what is accepted is the same after it was rewritten, in the place of the text, in
/// an empty file, and with the values of a server that has all its defaults again.
pub(crate) fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // What is looked for here must not depend on the files of the machine.
    if names_files(text) {
        return;
    }
    let (settings, users) = match load(text) {
        Ok(loaded) => loaded,
        Err(problem) => {
            let told = problem.to_string();
            assert!(!told.contains(['\n', '\r']), "a problem is one line: {told:?}");
            return;
        }
    };
    for before in [text, ""] {
        reads_back(before, &settings, &users);
    }
    reads_back(text, &defaults_for(&settings), &Users::new());
}

fn load(text: &str) -> Result<(Settings, Users), Problem> {
    let mut loader = Loader::new(|_, _, _| false);
    loader.text(text)?;
    let users = loader.users().iter().map(|user| (user.name.clone(), user.rules.clone())).collect();
    let (settings, notes) = loader.finish()?;
    for note in notes {
        assert!(!note.to_string().contains(['\n', '\r']), "a note is one line: {note:?}");
    }
    Ok((settings, users))
}

fn names_files(text: &str) -> bool {
    split_lines(text).1.filter_map(name_in).any(|name| name.eq_ignore_ascii_case("include"))
}

/// The defaults, but for what decides whether other lines of the text are refused.
fn defaults_for(settings: &Settings) -> Settings {
    let deciding = ["ignore-unknown-config", "requirepass"];
    let given = settings.given().iter().filter(|(name, _)| deciding.contains(name));
    let given: Given = given.map(|(name, text)| (*name, text.clone())).collect();
    Settings::from_texts(given).expect("these texts were read before")
}

/// Rewrites a file so that it says `settings` and `users`, and reads it.
fn reads_back(before: &str, settings: &Settings, users: &Users) {
    let texts: Vec<UserText> =
        users.iter().map(|(name, rules)| UserText { name: name.clone(), rules: rules.clone(), needed: true }).collect();
    let rewrite = |text: &str| with_users(&rewritten(text, settings, &BTreeMap::new()), &texts);
    let after = rewrite(before);
    let (read, users_read) =
        load(&after).unwrap_or_else(|problem| panic!("{problem}\n{before:?}\nwas rewritten to\n{after:?}"));
    // What neither was given is the default in both.
    for name in settings.given().keys().chain(read.given().keys()) {
        let (wanted, found) = (settings.text(name), read.text(name));
        assert_eq!(found, wanted, "{name}: {before:?}\nwas rewritten to\n{after:?}");
    }
    assert_eq!(users_read, *users, "{before:?}\nwas rewritten to\n{after:?}");
    assert_eq!(rewrite(&after), after, "written once more, it changes");
}

/// Where the search for inputs begins.
#[cfg(test)]
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let accumulating = "client-output-buffer-limit normal 1mb 1mb 1\nclient-output-buffer-limit replica 2 2 2 pubsub 0 0 0\n\
                        save 900 1\nsave 300 10 60 10000\n";
    let kinds = "port 7000\nmaxmemory 100MB\nmaxmemory-clients 5%\nunixsocketperm 770\nnotify-keyspace-events KEA\n\
                 space-amplification 1.25\ncompaction-window 1-5\nsegment-size auto\nappendfsync ALWAYS\nsave \"\"\n";
    let quotes = "requirepass \"a \\\"b\\\" \\x41\\n#\"\nlogfile 'it\\'s \\n'\nunixsocket \"\"\n";
    let users = "user alice on #ab \">a b\" ~* (~x +get)\n# c\nUSER 'b\\'c' \"\" off\naclfile \"\"\n";
    let texts = [
        ("accumulating", accumulating),
        ("aliases", "slave-read-only no\nREPLICA-READ-ONLY yes\nslaveof no one\n"),
        ("byte-order-mark", "\u{feff}timeout 5\n# c\n"),
        ("comments", "# a\n\n  timeout \t 5 \r\n#timeout 6\n"),
        ("default-user", "user default on #1234 ~* &* +@all\nrequirepass x\n"),
        ("every-kind", kinds),
        ("ignored", "ignore-unknown-config yes\nfrobnicate 1 2 \"3\"\nhz 20\n"),
        ("quotes", quotes),
        ("refused", "timeout 5\nreplicaof 10.0.0.1 6379\n"),
        ("users", users),
        ("unbalanced", "loglevel \"not\n"),
        ("words", "bind * -::1 10.0.0.1\noom-score-adj-values 0 200 800\n"),
        ("written-before", "# Added by CONFIG REWRITE\nmaxmemory 1mb\n"),
    ];
    texts.into_iter().map(|(name, text)| (name, text.as_bytes().to_vec())).collect()
}
