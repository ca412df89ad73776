//! Writes what real servers answer into the transcripts.
//!
//! Always true: an expectation that already holds is left alone (so patterns stay), and a section that no real
//! server may run is not touched.

use super::format::{Command, File, Section, Step};
use super::run::{ask, matches};
use crate::server::{Program, Server};
use crate::target::{Socket, Target};
use std::collections::BTreeMap;

/// By the line of a command, what was answered in each version.
type Answers = BTreeMap<usize, [Option<Vec<String>>; 2]>;

pub fn record(files: &[File]) {
    let programs = [Program::Redis, Program::Valkey].into_iter().filter(|program| program.path().is_some());
    let servers: Vec<Server> = programs.map(|program| Server::start(program, &[])).collect();
    for file in files {
        let mut answers = Answers::new();
        for section in &file.sections {
            for protocol in [2, 3] {
                // The oracle of the older version speaks first; a newer one only where the older may not.
                for server in &servers {
                    let mut target = Socket::new(server, protocol);
                    if section.applies_to(&target.identity(), protocol) {
                        answer(section, &mut target, &mut answers);
                        break;
                    }
                }
            }
        }
        let text = rewrite(file, &answers);
        std::fs::write(&file.path, text).expect("to write a transcript");
    }
}

fn answer(section: &Section, target: &mut Socket<'_>, answers: &mut Answers) {
    target.reset();
    let protocol = target.protocol();
    for step in &section.steps {
        match step {
            Step::Advance(by) => assert!(target.advance(*by), "recording needs CASKADE_REAL_TIME=1"),
            Step::Command(command) if command.expected_in(protocol).is_none() => {
                target.send(&command.client, &command.words);
            }
            Step::Command(command) => {
                let found = ask(target, command);
                answers.entry(command.line).or_default()[usize::from(protocol - 2)] = Some(found);
            }
        }
    }
}

fn rewrite(file: &File, answers: &Answers) -> String {
    let mut lines: Vec<String> = file.lines.clone();
    let steps = file.sections.iter().flat_map(|section| &section.steps);
    let commands: Vec<&Command> =
        steps.filter_map(|step| if let Step::Command(command) = step { Some(command) } else { None }).collect();
    for command in commands.into_iter().rev() {
        let Some(found) = answers.get(&command.line) else { continue };
        let holds =
            [2, 3].into_iter().zip(found).all(|(protocol, found)| match (command.expected_in(protocol), found) {
                (Some(expected), Some(found)) => matches(&expected, found),
                _ => true,
            });
        if !holds {
            lines.splice(command.expected_at.clone(), merged(found));
        }
    }
    lines.join("\n") + "\n"
}

fn merged(found: &[Option<Vec<String>>; 2]) -> Vec<String> {
    match found {
        [Some(two), Some(three)] if two != three => {
            let of = |lines: &[String], prefix: &str| lines.iter().map(|line| format!("{prefix}: {line}")).collect();
            let (mut lines, three): (Vec<String>, Vec<String>) = (of(two, "resp2"), of(three, "resp3"));
            lines.extend(three);
            lines
        }
        [Some(lines), _] | [None, Some(lines)] => lines.clone(),
        [None, None] => Vec::new(),
    }
}
