//! Unchanged client libraries and Redis's own tools: they store, read, expire and count.
//!
//! Always true: a check whose library or tool is missing says so and is skipped, unless `CASKADE_REQUIRE_CLIENTS=1`;
//! `tests/clients/install` brings the libraries that are no packages of the machine.
//!
//! | file | what |
//! | --- | --- |
//! | `libraries` | client libraries and what stands on them, each driven by a program in `tests/clients` |
//! | `handshakes` | how clients that cannot run here begin, byte by byte |
//! | `redis_cli` | redis-cli and its modes |
//! | `redis_benchmark` | redis-benchmark |
//! | `tls` | redis-cli, redis-benchmark and redis-py over TLS |
//! | `redis_exporter` | what Prometheus reads, and the dashboards of Grafana show |

mod handshakes;
mod libraries;
mod redis_benchmark;
mod redis_cli;
mod redis_exporter;
mod tls;

pub use libraries::installed;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::server::{Server, find_on_path, flag};

/// The path, if there is something there; otherwise says why the check is skipped.
///
/// # Panics
/// When it is missing and `CASKADE_REQUIRE_CLIENTS=1`.
pub fn required(what: &str, path: Option<PathBuf>) -> Option<PathBuf> {
    let found = path.filter(|path| path.exists());
    if found.is_none() {
        assert!(!flag("CASKADE_REQUIRE_CLIENTS"), "{what} is required and not installed");
        println!("skipped: {what} is not installed (tests/clients/install and .ci/run bring what is missing)");
    }
    found
}

/// One of Redis's tools, about to be run against the server.
fn tool(name: &str, server: &Server, arguments: &[&str]) -> Option<Command> {
    let mut command = Command::new(required(name, find_on_path(name))?);
    command.args(["-p", &server.port().to_string()]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command)
}

/// Runs a tool to its end and returns what it printed.
///
/// # Panics
/// When it fails or prints anything to standard error.
fn output(name: &str, mut command: Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{name}: {error}"));
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && errors.is_empty(), "{command:?}: {}\n{out}{errors}", output.status);
    out.into_owned()
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
