//! The invariants of `docs/architecture.md` that are absences, held by reading the sources.
//!
//! Always true: tests inside the sources are left out (they may break the disk and turn the clock), comments do not
//! count, and a violation is told with its file and line.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Stand beside the floors: anything may use them.
const BESIDE: &[&str] = &["store::clock", "store::disk", "sync"];

/// A word, the files that may say it, and whether the server's floor may, too.
const WORDS: &[(&str, &[&str], bool)] = &[
    ("dashmap", &["keyspace/keydir.rs"], false),
    ("unsafe", &["keyspace/entry.rs", "allocator.rs", "sync/scheduled.rs"], false),
    ("std::fs", &["store/disk/os.rs", "config/files.rs", "commands/introspection/info.rs", "allocator.rs"], true),
    ("SystemTime", &["store/clock.rs"], true),
    ("Instant", &["store/clock.rs"], true),
    ("async", &[], true),
    ("await", &[], true),
    ("tokio", &[], true),
    ("todo!", &[], false),
    ("allow(dead_code)", &[], false),
];

struct Line {
    /// Below `src`.
    file: String,
    number: usize,
    text: String,
}

#[test]
fn words_stand_only_where_the_map_says() {
    let mut found = Vec::new();
    for line in sources() {
        let upper = ["server", "main"].contains(&room_of(&line.file));
        for (word, files, server) in WORDS {
            let allowed = files.contains(&line.file.as_str()) || (*server && upper);
            if !allowed && has_word(&line.text, word) {
                found.push(format!("src/{}:{}: {word}: {}", line.file, line.number, line.text.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_exception_is_needed() {
    let lines = sources();
    for (word, files, _) in WORDS {
        for file in *files {
            let used = lines.iter().any(|line| line.file == *file && has_word(&line.text, word));
            assert!(used, "src/{file} no longer says {word}, and need not be allowed to");
        }
    }
}

#[test]
fn imports_point_down_the_floors() {
    let floors = floors();
    let floor = |room: &str| *floors.get(room).unwrap_or_else(|| panic!("docs/architecture.md knows no room {room}"));
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for line in sources().iter().filter(|line| line.file != "lib.rs") {
        let from = room_of(&line.file);
        for path in paths(&line.text) {
            seen += 1;
            let to = path.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default();
            let beside = BESIDE.iter().any(|beside| path.starts_with(beside));
            if from != to && !beside && floor(to) >= floor(from) {
                wrong.push(format!("src/{}:{}: {from} names {path}", line.file, line.number));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 100, "only {seen} paths were seen");
}

#[test]
fn a_planted_violation_is_found() {
    assert!(has_word("use std::fs::File;", "std::fs") && has_word("x.await?;", "await"));
    assert!(has_word("pub async fn f() {", "async") && has_word("    unsafe { f() }", "unsafe"));
    assert!(!has_word("let awaited = 1;", "await") && !has_word("unsafely()", "unsafe"));
    assert_eq!(paths("use crate::store::{Log, Store};"), ["store::{Log, Store};"]);
    assert_eq!(paths("use caskade::{server, types};"), ["server", "types"]);
    assert_eq!(paths("fn f(x: crate::node::Node) -> caskade::config::Config;").len(), 2);
    assert_eq!(code_of("let x = 1; // unsafe"), "let x = 1; ");
    assert_eq!(code_of("    //! tokio"), "    ");
}

/// What follows `crate::`, or the crate's own name in `main`.
fn paths(text: &str) -> Vec<&str> {
    let after = ["crate::", "caskade::"].iter().flat_map(|root| text.split(root).skip(1));
    after
        .flat_map(|path| match path.strip_prefix('{') {
            None => vec![path],
            Some(group) => group.split('}').next().unwrap_or_default().split(',').map(str::trim).collect(),
        })
        .filter(|path| path.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect()
}

/// The rooms with their floors, from the table of the map: `| 5 | `server` | ...`.
fn floors() -> HashMap<String, u8> {
    let map = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let map = fs::read_to_string(map).expect("the map");
    let rows = map.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        Some((cells.next()?.parse::<u8>().ok()?, cells.next()?))
    });
    let rooms = rows.flat_map(|(floor, rooms)| {
        rooms.split(", ").map(move |room| (room.trim_matches('`').to_owned(), floor)).collect::<Vec<_>>()
    });
    rooms.collect()
}

fn room_of(file: &str) -> &str {
    file.split('/').next().map_or(file, |first| first.trim_end_matches(".rs"))
}

/// Whether the text has the word as a whole.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(is_part)
            && !text[at + word.len()..].chars().next().is_some_and(is_part)
    })
}

fn code_of(line: &str) -> &str {
    line.find("//").map_or(line, |at| &line[..at])
}

/// Every line of code outside the tests.
fn sources() -> Vec<Line> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let mut lines = Vec::new();
    for path in files {
        let file = path.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("a source file");
        let tests = text.find("\n#[cfg(test)]\nmod tests {").map_or(text.len(), |at| at + 1);
        let code = text[..tests].lines().enumerate();
        lines.extend(code.map(|(at, line)| Line {
            file: file.clone(),
            number: at + 1,
            text: code_of(line).to_owned(),
        }));
    }
    assert!(lines.len() > 5_000, "only {} lines were read", lines.len());
    lines
}

fn collect(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("a directory entry").path();
        let name = path.file_stem().unwrap_or_default();
        if name == "tests" {
            continue;
        }
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}
