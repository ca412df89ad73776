//! The program: arguments, logging, run.

use std::io::Write;
use std::process::ExitCode;

use caskade::config::LogLevel;
use caskade::config::cli::{self, Invocation, Task, Tool};
use caskade::{allocator, server, tools, types};

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

fn main() -> ExitCode {
    allocator::configure();
    let invocation = match cli::parse(std::env::args_os(), std::env::vars_os(), types::glob::matches) {
        Ok(invocation) => invocation,
        Err(error) => {
            fail(&error);
            return ExitCode::from(error.exit_code());
        }
    };
    match invocation {
        Invocation::Help(text) | Invocation::Version(text) => {
            // `caskade --help | head` closes the pipe early, which is no failure.
            let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Invocation::Healthcheck(check) => match server::healthcheck(&check) {
            Ok(warning) => {
                if let Some(warning) = warning {
                    // Docker keeps it; where nobody does, the answer is the exit code.
                    let _ = writeln!(std::io::stdout(), "{warning}");
                }
                ExitCode::SUCCESS
            }
            Err(reason) => fail(&reason),
        },
        Invocation::Tool(tool) => run_tool(&tool),
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

/// 0: all is well; 1: something is damaged; 2: it could not be done.
fn run_tool(tool: &Tool) -> ExitCode {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let Tool { dir, task } = tool;
    let done = match task {
        Task::Check => tools::check(dir, &mut out),
        Task::Stats { top } => tools::stats(dir, *top, &mut out),
        Task::Backup { target } => tools::backup(dir, target, &mut out),
        Task::Restore { source, at } => {
            let at = at.as_deref().map(str::parse).transpose().map_err(tools::Failed::from);
            at.and_then(|at| tools::restore(source, at, dir, &mut out))
        }
        Task::Compact { release_held } => tools::compact(dir, *release_held, &mut out),
        Task::Repair { yes } => tools::repair(dir, *yes, &mut out),
        Task::Dump { from, to, keys_only } => {
            let moment = |text: &Option<String>| text.as_deref().map(str::parse).transpose();
            let dump = moment(from).and_then(|from| Ok(tools::Dump { from, to: moment(to)?, keys_only: *keys_only }));
            dump.map_err(tools::Failed::from).and_then(|dump| tools::dump(dir, &dump, &mut out, &mut std::io::stderr()))
        }
    };
    let done = done.and_then(|outcome| out.flush().map(|()| outcome).map_err(tools::Failed::from));
    match done {
        Ok(tools::Outcome::Sound) => ExitCode::SUCCESS,
        Ok(tools::Outcome::Damaged) => ExitCode::from(1),
        Err(tools::Failed::Unread) => ExitCode::SUCCESS,
        Err(failed) => {
            fail(&failed);
            ExitCode::from(failed.exit_code())
        }
    }
}

fn fail(reason: &impl std::fmt::Display) -> ExitCode {
    eprintln!("caskade: {reason}");
    ExitCode::FAILURE
}
