//! The program: arguments, logging, run.

use std::process::ExitCode;

use caskade::config::LogLevel;
use caskade::config::cli::{self, Invocation};
use caskade::{server, types};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let invocation = match cli::parse(std::env::args_os(), std::env::vars_os(), types::glob::matches) {
        Ok(invocation) => invocation,
        Err(error) => return fail(&error),
    };
    match invocation {
        Invocation::Help(text) | Invocation::Version(text) => {
            println!("{}", text.trim_end());
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
