//! What a client types and what it must read: the files of `tests/transcripts`, run against every server.
//!
//! The format, one file per topic:
//!
//! ```text
//! # a comment
//! === a name             a section: it begins with no keys and fresh connections
//! > SET k v              the command of the only client
//! OK                     its reply, as redis-cli prints it
//! A> MULTI               the command of client A
//! resp3: 1# "a" => "b"   a line that counts in this version only
//! (integer) ~1..9        a number in a range
//! /^redis/               a pattern, for one line or, alone, for the whole reply
//! (no reply)             nothing is read
//! !advance 30ms          time passes; where it cannot, the section ends here and is counted as cut
//! !unordered             the next reply is an array, a set or a map whose order does not matter
//! !protocol 3            the section is for this version only
//! !only redis>=7.2: why  the section is for these servers only (also `!except`)
//! ```
//!
//! `CASKADE_TRANSCRIPT_RECORD=1` writes what the oracle answers into the files instead of comparing.

mod format;
mod record;
mod run;

use crate::process::Process;
use crate::server::{Program, Server, flag};
use crate::target::{Socket, Target};
use format::{File, Step};
use run::Outcome;
use std::path::{Path, PathBuf};

#[test]
fn caskade_answers_as_written_in_process() {
    for protocol in [2, 3] {
        let mut process = Process::new(protocol);
        let outcome = run::run(&files(), &mut process);
        report("in process", protocol, &outcome);
        assert_eq!(outcome.cut, 0, "time moves here, so no section is cut");
        assert!(process.cold_reads() > 25, "only {} values were fetched from the disk", process.cold_reads());
    }
}

#[test]
fn caskade_answers_as_written_in_resp2() {
    check(Program::Caskade, 2);
}

#[test]
fn caskade_answers_as_written_in_resp3() {
    check(Program::Caskade, 3);
}

#[test]
fn redis_answers_as_written_in_resp2() {
    if let Some(oracle) = Program::oracle() {
        check(oracle, 2);
    }
}

#[test]
fn redis_answers_as_written_in_resp3() {
    if let Some(oracle) = Program::oracle() {
        if flag("CASKADE_TRANSCRIPT_RECORD") {
            return record::record(&files());
        }
        check(oracle, 3);
    }
}

#[test]
fn valkey_answers_as_written() {
    if Program::Valkey.path().is_none() {
        return println!("skipped: CASKADE_VALKEY does not name a valkey-server");
    }
    check(Program::Valkey, 2);
    check(Program::Valkey, 3);
}

/// Every transcript, in the order of its path.
pub fn files() -> Vec<File> {
    let mut paths = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts"), &mut paths);
    paths.sort();
    assert!(!paths.is_empty(), "no transcripts");
    paths.iter().map(|path| File::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).collect()
}

/// The words of every command of every transcript.
pub fn commands() -> Vec<Vec<Vec<u8>>> {
    let words = |step: &Step| if let Step::Command(command) = step { Some(command.words.clone()) } else { None };
    files().iter().flat_map(|file| &file.sections).flat_map(|section| &section.steps).filter_map(words).collect()
}

fn collect(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory of transcripts") {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "txt") {
            into.push(path);
        }
    }
}

fn check(program: Program, protocol: u8) {
    let server = Server::start(program, &[]);
    check_over(&format!("{program:?}"), &mut Socket::new(&server, protocol));
}

/// Runs every transcript over connections of any kind.
pub fn check_over(who: &str, socket: &mut Socket<'_>) {
    let outcome = run::run(&files(), socket);
    report(who, socket.protocol(), &outcome);
}

fn report(who: &str, protocol: u8, outcome: &Outcome) {
    println!("{who}, RESP{protocol}: {}", outcome.summary());
    assert!(
        outcome.failures.is_empty(),
        "{who}, RESP{protocol}: {}\n\n{}",
        outcome.summary(),
        outcome.failures.join("\n\n")
    );
    assert!(outcome.replies > 0, "nothing was compared");
}
