//! A transcript as data: files, sections, steps.
//!
//! Always true: a line that is not understood is an error, so that no expectation is skipped by a typing mistake.

use crate::target::Identity;
use crate::words;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub struct File {
    pub path: PathBuf,
    pub lines: Vec<String>,
    pub sections: Vec<Section>,
}

#[derive(Default)]
pub struct Section {
    pub name: String,
    pub steps: Vec<Step>,
    protocol: Option<u8>,
    only: Vec<Condition>,
    except: Vec<Condition>,
}

pub enum Step {
    Command(Command),
    Advance(Duration),
}

pub struct Command {
    /// Of the command itself, from 0.
    pub line: usize,
    pub client: String,
    pub words: Vec<Vec<u8>>,
    pub unordered: bool,
    pub expected: Vec<Expected>,
    /// Where the expected lines stand in the file.
    pub expected_at: Range<usize>,
}

pub struct Expected {
    pub protocol: Option<u8>,
    pub text: String,
}

#[derive(Clone)]
struct Condition {
    name: String,
    at_least: (u32, u32),
    below: (u32, u32),
}

impl File {
    /// # Errors
    /// Names the line that is not understood.
    pub fn read(path: &Path) -> Result<File, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let sections = parse(&lines)?;
        Ok(File { path: path.to_owned(), lines, sections })
    }
}

impl Section {
    pub fn applies_to(&self, identity: &Identity, protocol: u8) -> bool {
        self.protocol.is_none_or(|only| only == protocol)
            && (self.only.is_empty() || self.only.iter().any(|condition| condition.holds(identity)))
            && !self.except.iter().any(|condition| condition.holds(identity))
    }
}

impl Command {
    /// The lines that count in this version, or `None` where no reply is to be read.
    pub fn expected_in(&self, protocol: u8) -> Option<Vec<&str>> {
        let counts = |line: &&Expected| line.protocol.is_none_or(|only| only == protocol);
        let lines: Vec<&str> = self.expected.iter().filter(counts).map(|line| line.text.as_str()).collect();
        (lines != ["(no reply)"]).then_some(lines)
    }
}

impl Condition {
    fn parse(text: &str) -> Result<Condition, String> {
        let version = |text: &str| -> Result<(u32, u32), String> {
            let (major, minor) = text.split_once('.').ok_or_else(|| format!("a version is N.N, not {text}"))?;
            Ok((major.parse().map_err(|_| text.to_owned())?, minor.parse().map_err(|_| text.to_owned())?))
        };
        let (least, most) = ((0, 0), (u32::MAX, 0));
        Ok(if let Some((name, at_least)) = text.split_once(">=") {
            Condition { name: name.to_owned(), at_least: version(at_least)?, below: most }
        } else if let Some((name, below)) = text.split_once('<') {
            Condition { name: name.to_owned(), at_least: least, below: version(below)? }
        } else {
            Condition { name: text.to_owned(), at_least: least, below: most }
        })
    }

    fn holds(&self, identity: &Identity) -> bool {
        self.name == identity.name && identity.version >= self.at_least && identity.version < self.below
    }
}

fn parse(lines: &[String]) -> Result<Vec<Section>, String> {
    let mut sections: Vec<Section> = Vec::new();
    let mut unordered = false;
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at].as_str();
        at += 1;
        let number = at;
        let wrong = |what: String| format!("line {number}: {what}: {line}");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("=== ") {
            sections.push(Section { name: name.to_owned(), ..Section::default() });
            continue;
        }
        let section = sections.last_mut().ok_or_else(|| wrong("before the first section".to_owned()))?;
        if let Some(directive) = line.strip_prefix('!') {
            unordered |= directive == "unordered";
            section.direct(directive).map_err(wrong)?;
        } else if let Some((client, text)) = prompt(line) {
            let start = at;
            while lines.get(at).is_some_and(|line| is_expected(line)) {
                at += 1;
            }
            section.steps.push(Step::Command(Command {
                line: start - 1,
                client: client.to_owned(),
                words: words::split(text).map_err(wrong)?,
                unordered: std::mem::take(&mut unordered),
                expected: lines[start..at].iter().map(|line| expected(line)).collect(),
                expected_at: start..at,
            }));
        } else {
            return Err(wrong("neither a command nor its reply".to_owned()));
        }
    }
    Ok(sections)
}

impl Section {
    fn direct(&mut self, directive: &str) -> Result<(), String> {
        let (name, rest) = directive.split_once(' ').unwrap_or((directive, ""));
        match name {
            "unordered" => {}
            "advance" => {
                let milliseconds = rest.strip_suffix("ms").and_then(|number| number.parse().ok());
                let milliseconds = milliseconds.ok_or("a time is written 30ms")?;
                self.steps.push(Step::Advance(Duration::from_millis(milliseconds)));
            }
            "protocol" => self.protocol = Some(rest.parse().map_err(|_| "a version is 2 or 3")?),
            "only" | "except" => {
                let (who, why) = rest.split_once(':').ok_or("a condition gives its reason after a colon")?;
                if why.trim().is_empty() {
                    return Err("a condition gives its reason".to_owned());
                }
                let conditions =
                    who.split(',').map(|one| Condition::parse(one.trim())).collect::<Result<Vec<_>, _>>()?;
                if name == "only" { &mut self.only } else { &mut self.except }.extend(conditions);
            }
            _ => return Err("no such directive".to_owned()),
        }
        Ok(())
    }
}

/// `> text` or `A> text`.
fn prompt(line: &str) -> Option<(&str, &str)> {
    let (client, text) = line.split_once('>')?;
    let named = client.is_empty() || (client.len() == 1 && client.as_bytes()[0].is_ascii_uppercase());
    let text = text.strip_prefix(' ').or_else(|| text.is_empty().then_some(""))?;
    named.then_some((client, text))
}

fn is_expected(line: &str) -> bool {
    !line.is_empty() && !line.starts_with(['#', '!']) && !line.starts_with("=== ") && prompt(line).is_none()
}

fn expected(line: &str) -> Expected {
    for (prefix, protocol) in [("resp2: ", 2), ("resp3: ", 3)] {
        if let Some(text) = line.strip_prefix(prefix) {
            return Expected { protocol: Some(protocol), text: text.to_owned() };
        }
    }
    Expected { protocol: None, text: line.to_owned() }
}

#[test]
fn refuses_what_it_does_not_understand() {
    let parse_text = |text: &str| parse(&text.lines().map(str::to_owned).collect::<Vec<_>>()).map(|found| found.len());
    assert_eq!(parse_text("# c\n=== a\n> GET k\n(nil)\n\nA> GET k\n(nil)\n!advance 3ms\n=== b\n"), Ok(2));
    for text in ["> GET k", "=== a\nOK", "=== a\n!nosuch", "=== a\n!only redis", "=== a\n!advance 3", "=== a\n> \"x"] {
        assert!(parse_text(text).is_err(), "{text}");
    }
}
