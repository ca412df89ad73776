//! The program: arguments, logging, run.

use std::io::Write;
use std::process::ExitCode;

use caskade::config::LogLevel;
use caskade::config::cli::{self, Invocation};
use caskade::{allocator, server, types};

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

fn main() -> ExitCode {
    allocator::configure();
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
