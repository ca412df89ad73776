//! Client libraries, each driven by programs in `tests/clients` that are given the server's port and its Unix socket.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::{project, required};
use crate::server::{Program, Server, find_on_path};

/// A program that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(180);

pub fn installed(path: &str) -> PathBuf {
    project().join("target/clients").join(path)
}

fn script(path: &str) -> PathBuf {
    project().join("tests/clients").join(path)
}

/// Runs the program against a fresh server, which is killed and started again when the program asks for it.
///
/// # Panics
/// When the program fails, hangs, or ends before it says that all is done.
fn drive(mut command: Command) {
    let mut server = Server::start(Program::Caskade, &["--unixsocket", "socket"]);
    let socket = server.data().with_file_name("socket");
    command.arg(server.port().to_string()).arg(socket).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let pid = Pid::from_child(&child);
    let (done, ended) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    let mut answers = child.stdin.take().expect("its standard input");
    let mut last = String::new();
    for line in BufReader::new(child.stdout.take().expect("its standard output")).lines() {
        last = line.expect("a line");
        println!("{last}");
        if last == "RESTART" {
            server.restart_in_place();
            answers.write_all(b"done\n").expect("to answer");
        }
    }
    drop(done);
    watchdog.join().expect("the watchdog");
    let status = child.wait().expect("to wait for the program");
    assert!(status.success() && last == "DONE", "{command:?}: {status}\n{}", server.log());
}

fn python(program: &str, modules: &[&str]) {
    let Some(python) = required("redis-py", Some(installed("python/bin/python"))) else { return };
    for module in modules {
        let found = Command::new(&python).args(["-c", &format!("import {module}")]).output().expect("python");
        let Some(_) = required(module, found.status.success().then(|| python.clone())) else { return };
    }
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script(program));
    drive(command);
}

#[test]
fn redis_py() {
    python("redis-py/check.py", &[]);
}

#[test]
fn redis_py_connections() {
    python("redis-py/connections.py", &[]);
}

#[test]
fn redis_py_publish_and_subscribe() {
    python("redis-py/pubsub.py", &[]);
}

#[test]
fn redis_py_client_side_cache() {
    python("redis-py/caching.py", &[]);
}

#[test]
fn redis_py_asyncio() {
    python("redis-py/asynchronous.py", &[]);
}

/// What the library makes of lists, hashes, sets and sorted sets.
#[test]
fn redis_py_containers() {
    python("redis-py/containers.py", &[]);
}

#[test]
fn redis_py_queues() {
    python("redis-py/queues.py", &[]);
}

#[test]
fn redis_py_leaderboard() {
    python("redis-py/leaderboard.py", &[]);
}

#[test]
fn redis_py_sessions_and_tags() {
    python("redis-py/sessions.py", &[]);
}

#[test]
fn celery() {
    python("celery/check.py", &["celery"]);
}

#[test]
fn rq() {
    python("rq/check.py", &["rq"]);
}

#[test]
fn django() {
    python("django/check.py", &["django", "django_redis"]);
}

fn node(library: &str, program: &str) {
    let modules = installed("node/node_modules");
    // The one that comes with the libraries where the machine's own is too old for them.
    let newer = Some(installed("node/node")).filter(|path| path.exists());
    let Some(node) = required("node", newer.or_else(|| find_on_path("node"))) else { return };
    let Some(_) = required(library, Some(modules.join(library))) else { return };
    let mut command = Command::new(node);
    command.env("NODE_PATH", modules).arg(script(&format!("node/{program}.cjs")));
    drive(command);
}

#[test]
fn ioredis() {
    node("ioredis", "ioredis");
}

#[test]
fn ioredis_connections() {
    node("ioredis", "ioredis-connections");
}

#[test]
fn ioredis_queues() {
    node("ioredis", "ioredis-queues");
}

#[test]
fn node_redis() {
    node("redis", "node-redis");
}

#[test]
fn node_redis_messages_and_cache() {
    node("redis", "node-redis-messages");
}

#[test]
fn node_redis_queues() {
    node("redis", "node-redis-queues");
}

#[test]
fn connect_redis() {
    node("connect-redis", "connect-redis");
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
fn redis_rs_messages() {
    rust("redis-rs-messages");
}

#[test]
fn fred() {
    rust("fred");
}

#[test]
fn fred_messages() {
    rust("fred-messages");
}

/// Of Debian, which has the oldest that is still in use, and the newest as redis-py brings it along.
#[test]
fn hiredis() {
    for version in ["debian", "newest"] {
        let program = installed("c").join(format!("hiredis-{version}"));
        let Some(program) = required("hiredis", Some(program)) else { return };
        drive(Command::new(program));
    }
}

/// Whether the machine's interpreter of that name runs this line to its end; otherwise says why the check is skipped.
fn interpreter(name: &str, what: &str, line: [&str; 2]) -> Option<Command> {
    let program = required(name, find_on_path(name))?;
    let found = Command::new(&program).args(line).output().unwrap_or_else(|error| panic!("{name}: {error}"));
    required(what, found.status.success().then_some(program)).map(Command::new)
}

#[test]
fn php_redis() {
    let line = ["-r", "exit(extension_loaded('redis') ? 0 : 1);"];
    let Some(mut php) = interpreter("php", "php-redis", line) else { return };
    php.arg(script("php/php-redis.php"));
    drive(php);
}

#[test]
fn predis() {
    let line = ["-r", "exit(stream_resolve_include_path('Predis/Autoloader.php') ? 0 : 1);"];
    let Some(mut php) = interpreter("php", "predis", line) else { return };
    php.arg(script("php/predis.php"));
    drive(php);
}

#[test]
fn redis_rb() {
    let Some(mut ruby) = interpreter("ruby", "ruby-redis", ["-e", "require 'redis'"]) else { return };
    ruby.arg(script("ruby/redis.rb"));
    drive(ruby);
}

#[test]
fn sidekiq() {
    let Some(mut ruby) = interpreter("ruby", "ruby-sidekiq", ["-e", "require 'sidekiq'"]) else { return };
    ruby.arg(script("ruby/sidekiq.rb"));
    drive(ruby);
}

#[test]
fn the_page_of_clients_names_the_versions_that_are_driven() {
    let read =
        |path: &str| std::fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let page = read("docs/clients.md");
    let lock = read("tests/clients/rust/Cargo.lock");
    let locked = |name: &str| {
        let rest = lock.split(&format!("name = \"{name}\"\nversion = \"")).nth(1).expect("a locked crate");
        rest.split('"').next().expect("a version").to_owned()
    };
    let mut driven = vec![("redis-rs".to_owned(), locked("redis")), ("fred".to_owned(), locked("fred"))];
    // Files of settings are read with it, and no server is.
    let is_client = |line: &&str| !line.starts_with("PyYAML==");
    for line in read("tests/clients/requirements.txt").lines().filter(is_client) {
        let (name, version) = line.split_once("==").expect("a pinned version");
        // Without what it is asked to bring along.
        let name = name.split('[').next().unwrap_or(name);
        driven.push((if name == "redis" { "redis-py" } else { name }.to_owned(), version.to_owned()));
    }
    for line in
        read("tests/clients/node/package.json").lines().skip_while(|line| !line.contains("dependencies")).skip(1)
    {
        if let [_, name, _, version, _] = line.split('"').collect::<Vec<_>>()[..] {
            driven.push((if name == "redis" { "node-redis" } else { name }.to_owned(), version.to_owned()));
        }
    }
    assert_eq!(driven.len(), 11, "{driven:?}");
    for (name, version) in driven {
        let said = [format!("| {name} | {version} |"), format!("{name} {version}")];
        assert!(said.iter().any(|said| page.contains(said)), "docs/clients.md does not say {name} {version}");
    }
}
