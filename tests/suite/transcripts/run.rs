//! Runs transcripts against a target and compares line by line.

use super::format::{Command, File, Section, Step};
use crate::connection::shown;
use crate::reply::Reply;
use crate::target::Target;
use regex_lite::Regex;

#[derive(Default)]
pub struct Outcome {
    pub failures: Vec<String>,
    pub replies: usize,
    sections: usize,
    not_for_this_server: usize,
    pub cut: usize,
}

impl Outcome {
    pub fn summary(&self) -> String {
        format!(
            "{} replies in {} sections compared, {} failures; {} sections are for others, {} were cut where time moves",
            self.replies,
            self.sections,
            self.failures.len(),
            self.not_for_this_server,
            self.cut
        )
    }
}

pub fn run(files: &[File], target: &mut dyn Target) -> Outcome {
    let mut outcome = Outcome::default();
    let identity = target.identity();
    for file in files {
        for section in &file.sections {
            if section.applies_to(&identity, target.protocol()) {
                run_section(file, section, target, &mut outcome);
            } else {
                outcome.not_for_this_server += 1;
            }
        }
    }
    outcome
}

/// The rest of a section is not run after a failure: what follows would only repeat it.
fn run_section(file: &File, section: &Section, target: &mut dyn Target, outcome: &mut Outcome) {
    target.reset();
    outcome.sections += 1;
    let protocol = target.protocol();
    for step in &section.steps {
        match step {
            Step::Advance(by) if target.advance(*by) => {}
            Step::Advance(_) => {
                outcome.cut += 1;
                return;
            }
            Step::Command(command) => {
                let Some(expected) = command.expected_in(protocol) else {
                    target.send(&command.client, &command.words);
                    continue;
                };
                let found = ask(target, command);
                outcome.replies += 1;
                if !matches(&expected, &found) {
                    outcome.failures.push(format!(
                        "{}:{} ({})\n{}> {}\nexpected:\n  {}\nfound:\n  {}",
                        file.path.display(),
                        command.line + 1,
                        section.name,
                        command.client,
                        shown(&command.words),
                        expected.join("\n  "),
                        found.join("\n  ")
                    ));
                    return;
                }
            }
        }
    }
}

/// A reply in notation, its elements sorted where the order does not matter.
pub fn ask(target: &mut dyn Target, command: &Command) -> Vec<String> {
    let mut reply = target.roundtrip(&command.client, &command.words);
    match (command.unordered, &mut reply) {
        (true, Reply::Array(items) | Reply::Set(items)) => items.sort(),
        (true, Reply::Map(pairs)) => pairs.sort(),
        _ => {}
    }
    reply.notation()
}

pub fn matches(expected: &[&str], found: &[String]) -> bool {
    if let [only] = expected
        && let Some(pattern) = only.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'))
    {
        return pattern_holds(pattern, &found.join("\n"));
    }
    expected.len() == found.len() && expected.iter().zip(found).all(|(expected, found)| line_matches(expected, found))
}

fn line_matches(expected: &str, found: &str) -> bool {
    if expected == found {
        return true;
    }
    if let Some((prefix, low, high)) = range_of(expected) {
        let value = found.strip_prefix(prefix).and_then(|rest| rest.parse::<i64>().ok());
        return value.is_some_and(|value| (low..=high).contains(&value));
    }
    if let Some((prefix, pattern)) = pattern_of(expected) {
        return found.strip_prefix(prefix).is_some_and(|rest| pattern_holds(pattern, rest));
    }
    false
}

/// `... ~low..high`
fn range_of(expected: &str) -> Option<(&str, i64, i64)> {
    let (prefix, range) = expected.rsplit_once('~')?;
    let (low, high) = range.split_once("..")?;
    Some((prefix, low.parse().ok()?, high.parse().ok()?))
}

/// A pattern after nothing but the index of an element, or after the arrow of a pair.
fn pattern_of(expected: &str) -> Option<(&str, &str)> {
    let body = expected.strip_suffix('/')?;
    let start = match body.find(" => /") {
        Some(arrow) => arrow + 4,
        None => body.find('/')?,
    };
    let prefix = &body[..start];
    let is_index = prefix.bytes().all(|byte| byte.is_ascii_digit() || b" )#~>".contains(&byte));
    (is_index || prefix.ends_with(" => ")).then(|| (prefix, &body[start + 1..]))
}

fn pattern_holds(pattern: &str, text: &str) -> bool {
    let regex = Regex::new(&format!("(?s){pattern}")).unwrap_or_else(|error| panic!("/{pattern}/: {error}"));
    regex.is_match(text)
}

#[test]
fn a_planted_difference_is_found() {
    let lines = |text: &str| text.split('\n').map(str::to_owned).collect::<Vec<_>>();
    let holds: &[(&[&str], &str)] = &[
        (&["(integer) 1"], "(integer) 1"),
        (&["(integer) ~9..10"], "(integer) 10"),
        (&["/redis_version:7\\.\\d/"], "# Server\nredis_version:7.4.0"),
        (&["1) \"a\"", "2) /^\"\\d+\"$/"], "1) \"a\"\n2) \"17\""),
        (&["1# \"id\" => /^\\(integer\\)/"], "1# \"id\" => (integer) 4"),
    ];
    for (expected, found) in holds {
        assert!(matches(expected, &lines(found)), "{expected:?}");
    }
    let fails: &[(&[&str], &str)] = &[
        (&["(integer) 1"], "(integer) 2"),
        (&["(integer) ~9..10"], "(integer) 11"),
        (&["1) \"a\""], "1) \"a\"\n2) \"b\""),
        (&["1) \"a\"", "2) /^\"\\d+\"$/"], "1) \"a\"\n2) \"x\""),
        (&["(nil)"], "(empty array)"),
        (&[], "OK"),
    ];
    for (expected, found) in fails {
        assert!(!matches(expected, &lines(found)), "{expected:?}");
    }
}
