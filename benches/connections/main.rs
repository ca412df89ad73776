//! What connections cost, beside redis-server: `cargo bench --bench connections`.
//!
//! First come clients that wait, on a fresh server for each row: what is resident more than before they came, by their
//! number. Then come clients that send and never read, and how long others wait for their answers meanwhile.
//!
//! Always true: every connection that counts was served once; memory is looked at when it has stayed as it is for a
//! while, as both servers give some of it back only then.

#[path = "../common/mod.rs"]
mod common;
mod silent;
mod tls;
mod waiting;

use common::server::{Program, Server};
use common::{machine, page};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let is_quick = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--quick"] => true,
        _ => panic!("known is --quick"),
    };
    raise_limit();
    let mut programs: Vec<Program> = std::iter::once(Program::caskade()).chain(Program::redis()).collect();
    for program in &mut programs {
        program.arguments.extend(["--maxclients", "15000"].map(str::to_owned));
    }
    let described: Vec<_> = programs.iter().map(|program| (program.name, program.path.as_path())).collect();
    let mut text = machine::describe(&described);
    text.push_str(&waiting::measure(&programs, is_quick));
    text.push_str(&silent::measure(&programs, is_quick));
    println!("{text}");
    if !is_quick && programs.len() == 2 {
        page::write("connections", &text);
    }
}

/// As many files as this process may have open; the servers inherit it.
fn raise_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("to raise the limit on open files");
}

/// What is resident of a server, in bytes.
fn resident(server: &Server) -> u64 {
    let path = format!("/proc/{}/status", server.child.id());
    let text = std::fs::read_to_string(path).expect("the server's status");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}
