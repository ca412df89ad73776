//! Users as files hold them: the `user` lines of configuration files, and the file that `aclfile` names.
//!
//! What the rules mean is not known here: lines are taken as they stand, and given back as they are to be written.

use std::io;
use std::path::Path;

use super::files;
use super::load::{Place, Problem};
use super::rewrite::ADDED;
use super::syntax::{name_in, quoted, split_lines, split_words};

const MIXED: &str = "Configuring Redis with users defined in redis.conf and at the same setting an ACL file path is invalid. \
    This setup is very likely to lead to configuration errors and security holes, please define either an ACL file or \
    declare users directly in your redis.conf, but not both.";
const TWICE: &str = "Duplicate user found. A user can only be defined once in config files";
const WANTED: &str = "wrong number of arguments; wanted: a name and rules such as on >password ~cached:* +@read";

/// `user NAME RULE...`, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserLine {
    pub place: Place,
    pub name: String,
    pub rules: Vec<String>,
}

/// The line that CONFIG REWRITE writes for a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserText {
    pub name: String,
    /// The words of its rules.
    pub rules: Vec<String>,
    /// The user is not what it would be without a line.
    pub needed: bool,
}

/// The file of `aclfile`. It blocks on the disk.
pub fn read_users(path: &Path) -> io::Result<Vec<u8>> {
    files::read_bytes(path)
}

/// Replaces the file of `aclfile` as a whole. It blocks on the disk until the new one is durable.
pub fn write_users(path: &Path, text: &[u8]) -> io::Result<()> {
    files::replace(path, text)
}

/// Takes a line. One of another file wins over those of earlier ones, as other lines do; within a file a user stands once.
pub(super) fn take(users: &mut Vec<UserLine>, values: &[String], place: Place) -> Result<(), Problem> {
    let Some((name, rules)) = values.split_first() else {
        return Err(Problem { place, directive: "user".into(), reason: WANTED.into() });
    };
    let line = UserLine { place, name: name.clone(), rules: rules.to_vec() };
    match users.iter_mut().find(|known| known.name == line.name) {
        Some(known) if source(&known.place) == source(&line.place) => Err(line.problem(TWICE.into())),
        Some(known) => {
            *known = line;
            Ok(())
        }
        None => {
            users.push(line);
            Ok(())
        }
    }
}

/// Refuses users in both places.
pub(super) fn refuse_mixed(users: &[UserLine], has_file: bool) -> Result<(), Problem> {
    match users.first() {
        Some(line) if has_file => Err(line.problem(MIXED.into())),
        _ => Ok(()),
    }
}

impl UserLine {
    /// Why the server does not start because of this line; its rules are not shown, since they hold passwords.
    pub fn problem(&self, reason: String) -> Problem {
        let directive = format!("user {} (redacted)", quoted(&self.name));
        Problem { place: self.place.clone(), directive, reason }
    }
}

impl UserText {
    fn line(&self) -> String {
        // Only at the start of a line is it a comment.
        let word = |word: &String| match word.strip_prefix('#') {
            Some(rest) if quoted(rest) == rest => word.clone(),
            _ => quoted(word),
        };
        let words = [&self.name].into_iter().chain(&self.rules).map(word);
        ["user".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// The text of a configuration file in which these are the users: a line is touched only if it says something else.
pub(super) fn with_users(text: &str, users: &[UserText]) -> String {
    let (start, lines) = split_lines(text);
    let (mut output, mut missing, mut includes, mut is_headed) =
        (Vec::new(), users.iter().collect::<Vec<_>>(), false, false);
    for line in lines {
        is_headed |= line == ADDED;
        let directive = name_in(line).unwrap_or_default().to_ascii_lowercase();
        includes |= directive == "include";
        if directive != "user" {
            output.push(line.to_owned());
            continue;
        }
        let words = split_words(line.trim()).unwrap_or_default();
        let named = words.get(1).and_then(|name| missing.iter().position(|user| user.name == *name));
        output.extend(named.map(|at| missing.remove(at).line()));
    }
    // An included file may say something else.
    missing.retain(|user| user.needed || includes);
    if !missing.is_empty() && !is_headed {
        output.extend(["".to_owned(), ADDED.to_owned()].into_iter().skip(usize::from(output.is_empty())));
    }
    output.extend(missing.iter().map(|user| user.line()));
    let lines: String = output.iter().map(|line| format!("{line}\n")).collect();
    format!("{start}{lines}")
}

fn source(place: &Place) -> Option<&Path> {
    match place {
        Place::File { path, .. } => Some(path),
        Place::StandardInput { .. } | Place::Environment { .. } | Place::CommandLine => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, rules: &str, needed: bool) -> UserText {
        UserText { name: name.into(), rules: rules.split(' ').map(str::to_owned).collect(), needed }
    }

    #[test]
    fn only_lines_that_say_something_else_are_touched() {
        let alice = [user("alice", "on #ab ~a\"b (~x +get)", true)];
        let default = |needed| user("default", "on nopass", needed);
        let line = "user alice on #ab \"~a\\\"b\" (~x +get)\n";
        let cases: &[(&str, &[UserText], String)] = &[
            ("# c\n", &[default(false)], "# c\n".into()),
            ("", &[default(true)], "# Added by CONFIG REWRITE\nuser default on nopass\n".into()),
            ("port 1\n", &alice, format!("port 1\n\n# Added by CONFIG REWRITE\n{line}")),
            ("user alice on >pw\n# c\n", &alice, format!("{line}# c\n")),
            ("user bob on\n# c\nUSER 'alice' off\n", &alice, format!("# c\n{line}")),
            ("user default off\n", &[default(false)], "user default on nopass\n".into()),
            ("user default off\n", &[], "".into()),
            (
                "include x\n",
                &[default(false)],
                "include x\n\n# Added by CONFIG REWRITE\nuser default on nopass\n".into(),
            ),
            ("# Added by CONFIG REWRITE\nport 1\n", &alice, format!("# Added by CONFIG REWRITE\nport 1\n{line}")),
            ("user \"broken\n", &alice, format!("# Added by CONFIG REWRITE\n{line}")),
            ("\u{feff}user alice\n", &alice, format!("\u{feff}{line}")),
        ];
        for (before, users, after) in cases {
            assert_eq!(with_users(before, users), *after, "{before:?}");
            assert_eq!(with_users(after, users), *after, "again: {before:?}");
        }
    }
}
