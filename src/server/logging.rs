//! Log lines: text for people, JSON for machines, the level changeable while the server runs.

use std::fs::OpenOptions;
use std::io;
use std::sync::Mutex;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{LogFormat, LogLevel, Settings};

/// Changes the level of a running server's log.
#[derive(Clone)]
pub struct Level(reload::Handle<LevelFilter, Registry>);

impl Level {
    /// Logs from this level on.
    pub fn set(&self, level: LogLevel) {
        // It fails only when the log itself is gone.
        let _ = self.0.reload(filter(level));
    }
}

/// Starts logging as the settings say.
///
/// # Errors
/// When the log file cannot be opened.
pub fn start(settings: &Settings) -> io::Result<Level> {
    let (filter, handle) = reload::Layer::new(filter(settings.loglevel));
    let lines = match &settings.logfile {
        None => lines(settings.log_format, io::stdout, true),
        Some(path) => {
            let file = OpenOptions::new().append(true).create(true).open(path);
            let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
            let file = file.map_err(named)?;
            lines(settings.log_format, Mutex::new(file), false)
        }
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(io::Error::other)?;
    Ok(Level(handle))
}

type Filtered = tracing_subscriber::layer::Layered<reload::Layer<LevelFilter, Registry>, Registry>;

fn lines<W>(format: LogFormat, writer: W, terminal: bool) -> Box<dyn Layer<Filtered> + Send + Sync>
where
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer).with_target(false);
    match format {
        LogFormat::Text => lines.with_ansi(terminal && io::IsTerminal::is_terminal(&io::stdout())).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::TRACE,
        LogLevel::Verbose => LevelFilter::DEBUG,
        LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Nothing => LevelFilter::OFF,
    }
}
