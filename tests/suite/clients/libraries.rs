//! Client libraries, each driven by a program in `tests/clients` that is given the server's port.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{project, required};
use crate::server::{Program, Server, find_on_path};

pub(super) fn installed(path: &str) -> PathBuf {
    project().join("target/clients").join(path)
}

/// Runs the program against a fresh server, which is killed and started again when the program asks for it.
///
/// # Panics
/// When the program fails, or ends without having asked: then it did not come to its last check.
fn drive(mut command: Command) {
    let mut server = Server::start(Program::Caskade, &[]);
    command.arg(server.port().to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut answers = child.stdin.take().expect("its standard input");
    let mut restarts = 0;
    for line in BufReader::new(child.stdout.take().expect("its standard output")).lines() {
        let line = line.expect("a line");
        println!("{line}");
        if line == "RESTART" {
            server.restart_in_place();
            restarts += 1;
            answers.write_all(b"done\n").expect("to answer");
        }
    }
    let status = child.wait().expect("to wait for the program");
    assert!(status.success() && restarts == 1, "{command:?}: {status} after {restarts} restarts\n{}", server.log());
}

#[test]
fn redis_py() {
    let Some(python) = required("redis-py", Some(installed("python/bin/python"))) else { return };
    let mut command = Command::new(python);
    command.arg(project().join("tests/clients/redis-py/check.py"));
    drive(command);
}

fn node(library: &str, script: &str) {
    let modules = installed("node/node_modules");
    // The one that comes with the libraries where the machine's own is too old for them.
    let newer = Some(installed("node/node")).filter(|path| path.exists());
    let Some(node) = required("node", newer.or_else(|| find_on_path("node"))) else { return };
    let Some(_) = required(script, Some(modules.join(library))) else { return };
    let mut command = Command::new(node);
    command.env("NODE_PATH", modules).arg(project().join(format!("tests/clients/node/{script}.cjs")));
    drive(command);
}

#[test]
fn ioredis() {
    node("ioredis", "ioredis");
}

#[test]
fn node_redis() {
    node("redis", "node-redis");
}

fn rust(library: &str) {
    let Some(program) = required(library, Some(installed("rust/debug/caskade-clients"))) else { return };
    let mut command = Command::new(program);
    command.arg(library);
    drive(command);
}

#[test]
fn redis_rs() {
    rust("redis-rs");
}

#[test]
fn fred() {
    rust("fred");
}
