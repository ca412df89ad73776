//! The program's tools on directories that a server has made.
//!
//! Always true: each tool is the program itself, run to its end; after a tool that only looks, every file of the
//! directory is byte for byte what it was.

mod check;
mod compact;
mod copy;
mod dump;
mod repair;
mod stats;

use crate::connection::Connection;
use crate::server::{Program, Server, wait_until};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const TOOLS: &[&str] = &["check", "compact", "dump", "repair", "stats"];

/// A directory that a server has left in good order.
struct Left {
    home: TempDir,
}

/// What a tool said.
struct Said {
    code: Option<i32>,
    out: String,
    error: String,
}

impl Left {
    /// Several sealed segments with their hints, written as commands say.
    fn by_a_server(commands: &[&[&str]]) -> Left {
        let server = Server::start(Program::Caskade, &["--segment-size", "64kb", "--compaction-interval", "3600"]);
        let mut client = server.connect();
        for words in commands {
            client.ask(words);
        }
        Left::by(server)
    }

    /// What a server leaves that is told to end.
    fn by(mut server: Server) -> Left {
        assert!(server.terminate().success(), "{}", server.log());
        let home = tempfile::Builder::new().prefix("caskade-tools-").tempdir().expect("a temporary directory");
        fs::create_dir(home.path().join("data")).expect("a directory");
        for (name, bytes) in files(&server.data()) {
            fs::write(home.path().join("data").join(name), bytes).expect("a copy of a file");
        }
        Left { home }
    }

    /// Enough for some segments.
    fn usual() -> Left {
        let value = "v".repeat(1000);
        let keys: Vec<String> = (0..200).map(|number| format!("key:{number:03}")).collect();
        let mut commands: Vec<Vec<&str>> = keys.iter().map(|key| vec!["SET", key, &value]).collect();
        commands.push(vec!["MSET", "batch:1", "a", "batch:2", "b"]);
        commands.push(vec!["DEL", "key:000"]);
        commands.push(vec!["SET", "volatile", "x", "EX", "1000000"]);
        let commands: Vec<&[&str]> = commands.iter().map(Vec::as_slice).collect();
        Left::by_a_server(&commands)
    }

    /// The same with half of the keys written again, and then compacted; some of it was written afterwards.
    fn compacted() -> Left {
        let server = Server::start(Program::Caskade, &["--segment-size", "64kb", "--compaction-interval", "3600"]);
        let mut client = server.connect();
        let value = "v".repeat(1000);
        for round in 0..2 {
            for number in (0..200).filter(|number| round == 0 || number % 2 == 0) {
                client.ask(&["SET", &format!("key:{number:03}"), &format!("{value}{round}")]);
            }
        }
        client.ask(&["DEL", "key:000", "key:001"]);
        let passes = field(&mut client, "compaction_passes");
        wait_until("a compaction", Duration::from_secs(60), || {
            // What is not yet synced is not sealed, and then there is nothing to compact.
            client.ask(&["SAVE"]);
            client.ask(&["CASKADE", "COMPACT"]);
            field(&mut client, "compaction_passes") > passes && field(&mut client, "compaction_running") == 0
        });
        client.ask(&["SET", "key:002", "new"]);
        client.ask(&["EXPIRE", "key:003", "1000000"]);
        client.ask(&["MOVE", "key:004", "1"]);
        Left::by(server)
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Runs a tool that must not change anything.
    fn look(&self, arguments: &[&str]) -> Said {
        let before = files(&self.data());
        let said = run(arguments, &self.data());
        assert!(files(&self.data()) == before, "{arguments:?} has changed the directory");
        said
    }

    /// The first segment, and where in it these bytes are.
    fn find(&self, bytes: &[u8]) -> (String, usize) {
        let found = files(&self.data())
            .into_iter()
            .filter(|(name, _)| name.ends_with(".log"))
            .find_map(|(name, content)| Some((name, content.windows(bytes.len()).position(|window| window == bytes)?)));
        found.expect("a segment with these bytes")
    }

    fn flip(&self, name: &str, at: usize) {
        let path = self.data().join(name);
        let mut bytes = fs::read(&path).expect("a file");
        bytes[at] ^= 4;
        fs::write(path, bytes).expect("to write a file");
    }
}

fn run(arguments: &[&str], directory: &Path) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caskade"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CASKADE_")) {
        command.env_remove(name);
    }
    let output = command.args(arguments).arg("--dir").arg(directory).output().expect("to run the program");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Said { code: output.status.code(), out: text(output.stdout), error: text(output.stderr) }
}

/// Whether a file is a segment with records; one that was just being made for later may have no bytes yet.
fn is_used_log(name: &str, bytes: &[u8]) -> bool {
    let records = bytes.get(64..).unwrap_or_default();
    name.ends_with(".log") && records.iter().any(|byte| *byte != 0)
}

/// All files, those of directories inside included.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name");
        if entry.path().is_dir() {
            files.extend(self::files(&entry.path()).into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            files.insert(name, fs::read(entry.path()).expect("a file"));
        }
    }
    files
}

/// A number of INFO.
fn field(client: &mut Connection, name: &str) -> u64 {
    let reply = client.ask(&["INFO", "caskade"]);
    let text = String::from_utf8_lossy(reply.bytes().expect("text")).into_owned();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn a_directory_in_use_is_refused_and_so_is_none() {
    let server = Server::start(Program::Caskade, &[]);
    server.connect().ask(&["SET", "a", "1"]);
    for tool in TOOLS {
        let said = run(&[tool], &server.data());
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{tool}: {}", said.error);
        let told = format!("in use by another process (pid {})", server.pid());
        assert!(said.error.contains(&told), "{tool}: {}", said.error);
    }
    let empty = tempfile::tempdir().unwrap();
    for tool in TOOLS {
        let said = run(&[tool], empty.path());
        assert_eq!(said.code, Some(2), "{tool}: {}", said.error);
        assert!(said.error.contains("there is no data of a Caskade server in"), "{tool}: {}", said.error);
        let said = run(&[tool], &empty.path().join("nosuch"));
        assert_eq!(said.code, Some(2), "{tool}: {}", said.error);
        assert!(said.error.contains("cannot open the directory"), "{tool}: {}", said.error);
        let said = run(&[tool, "--nosuch"], empty.path());
        assert_eq!(said.code, Some(2), "{tool}: {}", said.error);
    }
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}
