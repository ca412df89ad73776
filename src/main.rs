//! The program: arguments, logging, run.

use std::io::Write;
use std::process::ExitCode;

use caskade::config::LogLevel;
use caskade::config::cli::{self, Invocation};
use caskade::{server, types};
use tikv_jemalloc_ctl::{Access, AsName};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const DIRTY_DECAY_MILLISECONDS: isize = 1000;

/// Without it, memory that was freed stays with the process until the thread that freed it allocates again: a container
/// would be charged for it, and killed for it.
fn give_back_freed_memory() -> tikv_jemalloc_ctl::Result<()> {
    // How long a page stays at hand: for the arena that exists, and for those to come.
    for setting in [&b"arena.0.dirty_decay_ms\0"[..], b"arenas.dirty_decay_ms\0"] {
        setting.name().write(DIRTY_DECAY_MILLISECONDS)?;
    }
    tikv_jemalloc_ctl::background_thread::write(true)
}

fn main() -> ExitCode {
    let invocation = match cli::parse(std::env::args_os(), std::env::vars_os(), types::glob::matches) {
        Ok(invocation) => invocation,
        Err(error) => return fail(&error),
    };
    match invocation {
        Invocation::Help(text) | Invocation::Version(text) => {
            // `caskade --help | head` closes the pipe early, which is no failure.
            let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Invocation::Healthcheck(check) => match server::healthcheck(&check) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => fail(&reason),
        },
        Invocation::Serve(launch) => {
            // What the log shows on the terminal need not stand there twice.
            let silent = launch.settings.logfile.is_some() || launch.settings.loglevel == LogLevel::Nothing;
            let level = match server::logging::start(&launch.settings) {
                Ok(level) => level,
                Err(error) => return fail(&format!("cannot write the log: {error}")),
            };
            if let Err(error) = give_back_freed_memory() {
                tracing::warn!("freed memory may stay with the process for long: {error}");
            }
            match server::run(*launch, level) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    tracing::error!("{error}");
                    if silent { fail(&error) } else { ExitCode::FAILURE }
                }
            }
        }
    }
}

fn fail(reason: &impl std::fmt::Display) -> ExitCode {
    eprintln!("caskade: {reason}");
    ExitCode::FAILURE
}
