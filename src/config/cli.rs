//! The command line, by the contract of redis-server: `caskade [file.conf | -] [--directive value ...]...`, and subcommands.
//!
//! Redis lets an option take any number of words, words that look like options included, which no option parser does; so
//! `words` first turns each option into one argument, and clap does the rest. File, then environment, then command line:
//! what is later wins.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

pub use self::tools::{Task, Tool};
use super::kind::Kind;
use super::load::{GlobMatch, Loader, Note, Place, Problem};
use super::settings::Settings;
use super::syntax::{quoted, split_words};
use super::table::{Parameter, Section, Standing, all, find, nearest};
use super::users::UserLine;
use super::{environment, files};

mod tools;

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Run the server.
    Serve(Box<Launch>),
    /// Ask a running server whether it is well.
    Healthcheck(Healthcheck),
    /// Do something with a directory that no server uses.
    Tool(Tool),
    /// Print this text and exit with 0.
    Help(String),
    /// Print this text and exit with 0.
    Version(String),
}

/// How the server is to start.
#[derive(Debug)]
pub struct Launch {
    pub settings: Settings,
    /// The configuration file that was named, as an absolute path.
    pub file: Option<PathBuf>,
    /// The lines of users.
    pub users: Vec<UserLine>,
    /// The secrets that came from the environment, by their parameters.
    pub environment_secrets: BTreeMap<&'static str, String>,
    /// What the log must say, one line each.
    pub notes: Vec<Note>,
    /// Whether anybody has said what `maxmemory` is.
    pub gives_maxmemory: bool,
}

/// Whom `caskade healthcheck` asks, and how long it waits for the answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Healthcheck {
    pub host: String,
    pub port: u16,
    /// Asked instead of host and port.
    pub unixsocket: Option<PathBuf>,
    pub timeout: Duration,
    /// The password of the server's settings, if there is one.
    pub password: Option<String>,
    /// Other machines reach the server.
    pub is_reachable: bool,
    /// The settings of the server, where the port speaks TLS.
    pub tls: Option<Box<Settings>>,
}

impl fmt::Debug for Healthcheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, unixsocket, timeout, password: _, is_reachable: _, tls } = self;
        let tls = tls.is_some();
        write!(f, "Healthcheck {{ {host}:{port}, tls: {tls}, unixsocket: {unixsocket:?}, timeout: {timeout:?} }}")
    }
}

/// Why the command line cannot be followed: print it to standard error and exit with [`CliError::exit_code`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CliError {
    /// A directive, wherever it was given, that cannot be accepted.
    Problem(Problem),
    /// Words that make no sense as a command line.
    Usage(String),
    /// The same of a tool, whose exit code 1 says something else.
    Tool(String),
}

impl CliError {
    /// What the program exits with.
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::Tool(_)) { 2 } else { 1 }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CliError::Problem(problem) => problem.fmt(f),
            CliError::Usage(text) | CliError::Tool(text) => f.write_str(text.trim_end()),
        }
    }
}

impl std::error::Error for CliError {}

impl From<Problem> for CliError {
    fn from(problem: Problem) -> Self {
        CliError::Problem(problem)
    }
}

/// Reads the arguments (the program's name first) and the environment, and the files they name.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    glob: GlobMatch,
) -> Result<Invocation, CliError> {
    let environment: Vec<_> = environment.into_iter().collect();
    let mut texts = Vec::new();
    for argument in arguments.into_iter().skip(1) {
        let invalid = |argument: OsString| CliError::Usage(format!("{} is not valid UTF-8", argument.display()));
        texts.push(argument.into_string().map_err(invalid)?);
    }
    let normal = words(&texts).map_err(of_command_line)?;
    let matches = match normal.matches() {
        Ok(matches) => matches,
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp => return Ok(Invocation::Help(error.to_string())),
            ErrorKind::DisplayVersion => return Ok(Invocation::Version(error.to_string())),
            _ if is_tool(&texts) => return Err(CliError::Tool(error.to_string())),
            _ => return Err(CliError::Usage(error.to_string())),
        },
    };
    match matches.subcommand() {
        Some((HEALTHCHECK, options)) => Ok(Invocation::Healthcheck(healthcheck(options, &environment, glob))),
        Some((name, options)) => {
            let dir = || default_dir(&environment, glob).map_err(|error| CliError::Tool(error.to_string()));
            let tool = tools::tool(name, options, dir)?;
            tool.map(Invocation::Tool).ok_or_else(|| CliError::Usage(format!("{name}: no such tool")))
        }
        _ => launch(&matches, normal.standard_input, &environment, glob)
            .map(|launch| Invocation::Serve(Box::new(launch))),
    }
}

fn is_tool(words: &[String]) -> bool {
    words.first().is_some_and(|first| tools::is_tool(first))
}

/// The directory that a server without arguments would use.
fn default_dir(environment: &[(OsString, OsString)], glob: GlobMatch) -> Result<PathBuf, CliError> {
    Ok(launch(&words(&[]).map_err(of_command_line)?.matches().map_err(usage)?, false, environment, glob)?.settings.dir)
}

fn of_command_line(reason: String) -> CliError {
    CliError::Usage(format!("{}: {reason}", Place::CommandLine))
}

fn usage(error: clap::Error) -> CliError {
    CliError::Usage(error.to_string())
}

fn launch(
    matches: &ArgMatches,
    standard_input: bool,
    environment: &[(OsString, OsString)],
    glob: GlobMatch,
) -> Result<Launch, CliError> {
    let mut loader = Loader::new(glob);
    environment::load_defaults(&mut loader, environment)?;
    environment::load_foreign(&mut loader, environment)?;
    let file = matches.get_one::<PathBuf>(FILE);
    if let Some(file) = file {
        loader.file(file, Place::CommandLine)?;
    }
    if standard_input {
        loader.standard_input()?;
    }
    environment::load(&mut loader, environment)?;
    for (name, words) in occurrences(matches) {
        loader.directive(name, &words, Place::CommandLine, 0)?;
    }
    let place = Place::Environment { variable: environment::EXTRA_FLAGS.into() };
    for (name, words) in extra_flags(environment)? {
        loader.directive(name, &words, place.clone(), 0)?;
    }
    environment::note_foreign(&mut loader, environment);
    let file = file.map(|file| std::path::absolute(file).unwrap_or_else(|_| file.clone()));
    let (users, environment_secrets) = (loader.users().to_vec(), loader.environment_secrets());
    let gives_maxmemory = loader.is_given("maxmemory");
    let (settings, notes) = loader.finish()?;
    Ok(Launch { settings, file, users, environment_secrets, notes, gives_maxmemory })
}

/// The options that the environment adds to those of the command line.
fn extra_flags(environment: &[(OsString, OsString)]) -> Result<Vec<(&'static str, Vec<String>)>, CliError> {
    let texts = environment::extra_flags(environment)?;
    let place = Place::Environment { variable: environment::EXTRA_FLAGS.into() };
    let wrong = |reason: &str| CliError::Usage(format!("{place}: {reason}"));
    if texts.first().is_some_and(|first| !first.starts_with("--")) || texts.last().is_some_and(|last| last == "-") {
        return Err(wrong("wanted: options such as --maxmemory 1gb; a file is `--include /path`"));
    }
    let normal = words(&texts).map_err(|reason| wrong(&reason))?;
    // Also a question for help or the version, which starts no server.
    let matches = normal.matches().map_err(|error| wrong(error.to_string().trim_end()))?;
    Ok(occurrences(&matches))
}

/// The options in the order they were given, each with its words.
fn occurrences(matches: &ArgMatches) -> Vec<(&'static str, Vec<String>)> {
    let names = all().map(|row| row.name).chain([INCLUDE]);
    let mut found: Vec<(usize, &'static str, Vec<String>)> = Vec::new();
    for name in names {
        let values = matches.get_many::<String>(name).into_iter().flatten();
        let indices = matches.indices_of(name).into_iter().flatten();
        let split = |text: &String| split_words(text).unwrap_or_else(|_| vec![text.clone()]);
        found.extend(indices.zip(values).map(|(index, text)| (index, name, split(text))));
    }
    found.sort_by_key(|(index, ..)| *index);
    found.into_iter().map(|(_, name, words)| (name, words)).collect()
}

fn healthcheck(options: &ArgMatches, environment: &[(OsString, OsString)], glob: GlobMatch) -> Healthcheck {
    let arguments = options.get_one::<u32>("pid").and_then(|pid| files::server_arguments(*pid)).unwrap_or_default();
    // What the server read from its standard input cannot be read again.
    let launched = words(&arguments)
        .map_err(of_command_line)
        .and_then(|normal| launch(&normal.matches().map_err(usage)?, false, environment, glob));
    // A check with half-understood settings is better than none: what the server refuses, its own log says.
    let settings = launched.map_or_else(|_| Settings::default(), |launch| launch.settings);
    let addressed = options.contains_id("host") || options.contains_id("port") || options.get_flag("tls");
    let bound = settings.bind.first().map(|address| match address.host.as_str() {
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "::1".to_owned(),
        host => host.to_owned(),
    });
    let port = match options.get_one::<u16>("port") {
        Some(port) => *port,
        None if settings.port == 0 || options.get_flag("tls") => settings.tls_port,
        None => settings.port,
    };
    let is_tls = options.get_flag("tls") || port != 0 && port == settings.tls_port;
    Healthcheck {
        host: options.get_one::<String>("host").cloned().or(bound).unwrap_or_else(|| "127.0.0.1".into()),
        port,
        unixsocket: options
            .get_one::<PathBuf>("unixsocket")
            .cloned()
            .or(settings.unixsocket.clone().filter(|_| !addressed)),
        timeout: Duration::from_secs(*options.get_one::<u64>("timeout").unwrap_or(&HEALTHCHECK_SECONDS)),
        password: settings.requirepass.clone(),
        is_reachable: settings.bind.iter().any(|address| !is_loopback(&address.host)),
        tls: is_tls.then(|| Box::new(settings)),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

const FILE: &str = "file.conf";
const INCLUDE: &str = "include";
const HEALTHCHECK: &str = "healthcheck";
const HEALTHCHECK_SECONDS: u64 = 3;

/// The command as clap knows it: one option for each parameter, and the subcommands.
pub fn command() -> Command {
    let version = format!("v={} bits={}", env!("CARGO_PKG_VERSION"), usize::BITS);
    Command::new("caskade")
        .about("A persistent, Redis-compatible key-value server.")
        .long_about(
            "A persistent, Redis-compatible key-value server.\n\nParameters come from a file in the syntax of redis.conf \
             (`-` reads it from standard input), from environment variables such as CASKADE_MAXMEMORY, and from options \
             (more of them in CASKADE_EXTRA_FLAGS); of two values for one parameter the later wins, in this order.",
        )
        .override_usage(usages().join("\n       "))
        .version(version)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args_conflicts_with_subcommands(true)
        .arg(Arg::new("version").short('v').long("version").action(ArgAction::Version).help("Print the version"))
        .arg(Arg::new(FILE).value_parser(value_parser!(PathBuf)).help("A configuration file, or - for standard input"))
        .arg(
            Arg::new(INCLUDE)
                .long(INCLUDE)
                .value_name("path")
                .action(ArgAction::Append)
                .help_heading(Section::Running.title())
                .help("Reads another file, or all files that match a pattern, at this point."),
        )
        .args(all().map(option))
        .subcommand(healthcheck_command())
        .subcommands(tools::commands())
}

fn usages() -> Vec<String> {
    let server = "caskade [file.conf | -] [--directive value ...]...".to_owned();
    let healthcheck = "caskade healthcheck [--host HOST] [--port PORT] [--pid PID]".to_owned();
    [server, healthcheck].into_iter().chain(tools::usages()).collect()
}

fn healthcheck_command() -> Command {
    let option = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    Command::new(HEALTHCHECK)
        .about("Asks a running server whether it is well, and exits with 0 if it is")
        .arg(option("host", "host").help("Where the server listens [default: CASKADE_BIND, or 127.0.0.1]"))
        .arg(option("port", "port").value_parser(value_parser!(u16)).help("Its port [default: CASKADE_PORT, or 6379]"))
        .arg(
            Arg::new("tls")
                .long("tls")
                .action(ArgAction::SetTrue)
                .help("The port speaks TLS [default: whether it is the server's tls-port]"),
        )
        .arg(
            option("unixsocket", "path")
                .value_parser(value_parser!(PathBuf))
                .help("Its Unix socket, instead of a port"),
        )
        .arg(option("pid", "process").value_parser(value_parser!(u32)).help(
            "Its process id (1 in a container): address and password are those of the arguments it was started with",
        ))
        .arg(
            option("timeout", "seconds")
                .value_parser(value_parser!(u64).range(1..=3600))
                .help("How long to wait for an answer [default: 3]"),
        )
}

fn option(row: &'static Parameter) -> Arg {
    let default = if row.default.is_empty() { "none" } else { row.default };
    let (first, _) = row.summary.split_once(". ").unwrap_or((row.summary.trim_end_matches('.'), ""));
    let arg = Arg::new(row.name)
        .long(row.name)
        .value_name(value_name(row.kind))
        .action(ArgAction::Append)
        .help_heading(row.section.title())
        .help(format!("{first} [default: {default}]"))
        .long_help(format!("{}\nWanted: {}. [default: {default}]", row.summary, row.kind.wanted()))
        .hide(row.standing != Standing::Used);
    match row.alias {
        "" => arg,
        alias => arg.alias(alias),
    }
}

fn value_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Flag => "yes|no",
        Kind::Integer { .. } => "number",
        Kind::Memory { .. } | Kind::MemoryOrAuto { .. } | Kind::MemoryOrPercent => "size",
        Kind::Mode => "mode",
        Kind::Choice(_) => "choice",
        Kind::Text | Kind::KeyspaceEvents => "text",
        Kind::Ratio { .. } => "ratio",
        Kind::Hours => "hours",
        Kind::Words | Kind::OutputLimits | Kind::SavePoints | Kind::Percentiles => "words",
    }
}

/// The arguments as clap gets them.
struct Normal {
    arguments: Vec<String>,
    /// Whether `-` stands first or last.
    standard_input: bool,
}

impl Normal {
    fn matches(&self) -> Result<ArgMatches, clap::Error> {
        let arguments = self.arguments.iter().map(String::as_str);
        command().try_get_matches_from(std::iter::once("caskade").chain(arguments))
    }
}

/// Turns `--name word word` into `--name=<the words, quoted>`, by Redis's rules:
/// - the first word after a name belongs to it even if it looks like an option; only `save`, and a switch before another known
///   name, may go without (`--save --port 7000` is `save ""`);
/// - further words belong to it until one begins with `--`;
/// - name and words may be one argument (`"--port 7000"`); `--port=7000` is understood too.
fn words(arguments: &[String]) -> Result<Normal, String> {
    let mut arguments = arguments;
    let mut normal = Normal { arguments: Vec::new(), standard_input: false };
    match arguments.first().map(String::as_str) {
        Some(first) if tools::is_tool(first) => {
            normal.arguments = arguments.to_vec();
            return Ok(normal);
        }
        Some(HEALTHCHECK | "-h" | "--help" | "-v" | "--version") => {
            normal.arguments = arguments.to_vec();
            return Ok(normal);
        }
        Some(first) if !first.starts_with('-') => {
            normal.arguments.push(first.to_owned());
            arguments = &arguments[1..];
        }
        Some("-") => {
            normal.standard_input = true;
            arguments = &arguments[1..];
        }
        _ => {}
    }
    if let Some((last, before)) = arguments.split_last().filter(|(last, _)| *last == "-") {
        debug_assert_eq!(last, "-");
        normal.standard_input = true;
        arguments = before;
    }
    while let Some((argument, mut rest)) = arguments.split_first() {
        let Some(option) = argument.strip_prefix("--").filter(|option| !option.is_empty()) else {
            return Err(stray(argument));
        };
        let (name, mut values) = name_and_words(option);
        if values.is_empty() && name != "help" && name != "version" {
            values = following(&name, &mut rest);
        }
        if name == "help" || name == "version" {
            normal.arguments.push(format!("--{name}"));
        } else if name != INCLUDE && find(&name).is_none() {
            return Err(unknown(&name));
        } else {
            let texts: Vec<String> = values.iter().map(|word| quoted(word)).collect();
            normal.arguments.push(format!("--{name}={}", texts.join(" ")));
        }
        arguments = rest;
    }
    Ok(normal)
}

/// The name of an option, and the words that share its argument.
fn name_and_words(option: &str) -> (String, Vec<String>) {
    if let Some((name, value)) = option.split_once('=')
        && find(name).is_some()
    {
        return (name.to_ascii_lowercase(), vec![value.to_owned()]);
    }
    let mut parts = split_words(option).unwrap_or_else(|_| vec![option.to_owned()]).into_iter();
    (parts.next().unwrap_or_default().to_ascii_lowercase(), parts.collect())
}

fn following(name: &str, rest: &mut &[String]) -> Vec<String> {
    let is_option = |word: &String| word.starts_with("--");
    let kind = find(name).map(|row| row.kind);
    let first_is_option = rest.first().is_none_or(is_option);
    let known_follows = rest
        .first()
        .is_none_or(|word| word.strip_prefix("--").is_some_and(|option| find(&name_and_words(option).0).is_some()));
    match kind {
        Some(Kind::SavePoints) if first_is_option => return vec![String::new()],
        Some(Kind::Flag) if known_follows => return vec!["yes".into()],
        // Only a text can look like an option; for any other kind its value is missing, which is the better message.
        Some(kind) if kind != Kind::Text && known_follows => return Vec::new(),
        _ => {}
    }
    let mut count = usize::from(!rest.is_empty());
    while rest.get(count).is_some_and(|word| !is_option(word)) {
        count += 1;
    }
    let (values, others) = rest.split_at(count);
    *rest = others;
    values.to_vec()
}

fn unknown(name: &str) -> String {
    let hint = match nearest(name) {
        Some(known) => format!("did you mean --{known}?"),
        None => "see caskade --help".to_owned(),
    };
    format!("--{name}: unknown directive; {hint}")
}

fn stray(argument: &str) -> String {
    match argument.strip_prefix('-') {
        Some(name) if find(name).is_some() => format!("{argument}: directives take two dashes: --{name}"),
        Some(_) => format!("{argument}: unknown option; see caskade --help"),
        None => format!("{argument}: unexpected word; one configuration file comes first, then --directive value"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Result<Invocation, String> {
        let arguments = std::iter::once("caskade").chain(arguments.iter().copied()).map(OsString::from);
        parse(arguments, [], |_, _, _| false).map_err(|error| error.to_string())
    }

    fn texts(arguments: &[&str], names: &[&str]) -> Result<String, String> {
        match run(arguments)? {
            Invocation::Serve(launch) => {
                Ok(names.iter().map(|name| launch.settings.text(name).unwrap()).collect::<Vec<_>>().join("|"))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_as_redis_takes_them() {
        let cases: &[(&[&str], &[&str], &str)] = &[
            (&[], &["port", "save"], "6379|3600 1 300 100 60 10000"),
            (&["--port", "7000", "--port", "7001"], &["port"], "7001"),
            (&["--maxmemory", "100mb"], &["maxmemory"], "104857600"),
            (&["--save", "--loglevel", "debug"], &["save", "loglevel"], "|debug"),
            (&["--save"], &["save"], ""),
            (&["--save", "", "--appendonly", "no"], &["save", "appendonly"], "|no"),
            (&["--save", "900", "1", "300", "10", "--port", "1"], &["save", "port"], "900 1 300 10|1"),
            (&["--save", "900 1", "--save", "300 10"], &["save"], "900 1 300 10"),
            (&["--port 7000"], &["port"], "7000"),
            (&["--port=7000", "--TIMEOUT", "3"], &["port", "timeout"], "7000|3"),
            (&["--bind", "0.0.0.0", "-::1", "--port", "1"], &["bind", "port"], "0.0.0.0 -::1|1"),
            (&["--requirepass", "--secret", "--port", "1"], &["requirepass", "port"], "--secret|1"),
            (&["--requirepass", "a \"b\" 'c"], &["requirepass"], "a \"b\" 'c"),
            (&["--requirepass", "a=b"], &["requirepass"], "a=b"),
            (&["--slowlog-log-slower-than", "-1"], &["slowlog-log-slower-than"], "-1"),
            (&["--ignore-unknown-config", "--port", "1"], &["ignore-unknown-config", "port"], "yes|1"),
            (&["--appendonly", "yes"], &["appendonly"], "yes"),
            (&["--slave-read-only", "no"], &["replica-read-only"], "no"),
            (&["--daemonize", "yes", "--daemonize", "no"], &["daemonize"], "no"),
            (&["--timeout", "5", "--hz", "20", "--timeout", "6"], &["timeout", "hz"], "6|20"),
        ];
        for (arguments, names, expected) in cases {
            assert_eq!(texts(arguments, names).as_deref(), Ok(*expected), "{arguments:?}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_explained() {
        let cases: &[(&[&str], &str)] = &[
            (&["--foo", "bar"], "command line: --foo: unknown directive; see caskade --help"),
            (&["--maxmemroy", "1"], "command line: --maxmemroy: unknown directive; did you mean --maxmemory?"),
            (&["--port"], "command line: port: wrong number of arguments; wanted: a whole number from 0 to 65535"),
            (&["--port", "--timeout", "3"], "command line: port: wrong number"),
            (&["--timeout", "1", "2"], "command line: timeout 1 2: wrong number"),
            (&["--timeout", "abc"], "command line: timeout abc: argument couldn't be parsed into an integer"),
            (&["-port", "7000"], "command line: -port: directives take two dashes: --port"),
            (&["-x"], "command line: -x: unknown option"),
            (&["/nosuch/a.conf", "b.conf"], "command line: b.conf: unexpected word"),
            (&["/nosuch/a.conf"], "command line: /nosuch/a.conf: cannot read the configuration file: No such file"),
            (
                &["--rename-command", "FLUSHALL", ""],
                "command line: rename-command FLUSHALL \"\": commands cannot be renamed",
            ),
            (&["healthcheck", "--port", "x"], "error: invalid value 'x' for '--port <port>'"),
        ];
        for (arguments, expected) in cases {
            let error = run(arguments).unwrap_err();
            assert!(error.starts_with(expected), "{arguments:?}\n{error}\n{expected}");
        }
    }

    #[test]
    fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
        let path = std::env::temp_dir().join(format!("caskade-config-order-{}.conf", std::process::id()));
        std::fs::write(&path, "port 1\ntimeout 1\nhz 1\n").unwrap();
        let arguments = ["caskade".into(), path.clone().into_os_string(), "--port".into(), "3".into()];
        let environment = [("CASKADE_PORT".into(), "2".into()), ("CASKADE_TIMEOUT".into(), "2".into())];
        let Ok(Invocation::Serve(launch)) = parse(arguments, environment, |_, _, _| false) else { panic!() };
        let settings = &launch.settings;
        assert_eq!((settings.port, settings.timeout, settings.text("hz")), (3, 2, Some("1")));
        assert_eq!(launch.file, Some(path.clone()));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_environment_adds_options_that_win() {
        let launched = |flags: &str| {
            let environment = [("CASKADE_EXTRA_FLAGS".into(), flags.into()), ("CASKADE_HZ".into(), "2".into())];
            let arguments = ["caskade", "--hz", "3", "--port", "3"].map(OsString::from);
            match parse(arguments, environment, |_, _, _| false) {
                Ok(Invocation::Serve(launch)) => Ok(launch),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error.to_string()),
            }
        };
        let launch = launched("--port 7000 --save \"\"\n--requirepass 'two $words' --bind 0.0.0.0 -::1").unwrap();
        let texts = ["port", "hz", "save", "requirepass", "bind"].map(|name| launch.settings.text(name).unwrap());
        assert_eq!(texts, ["7000", "3", "", "two $words", "0.0.0.0 -::1"]);
        assert_eq!(launch.environment_secrets, BTreeMap::from([("requirepass", "two $words".to_owned())]));
        assert!(launched(" ").unwrap().environment_secrets.is_empty());
        let of = "environment variable CASKADE_EXTRA_FLAGS: ";
        let cases = [
            ("--prot 1", "--prot: unknown directive; did you mean --port?"),
            ("--timeout abc", "timeout abc: argument couldn't be parsed into an integer"),
            ("--requirepass 'secret", "options: Unbalanced quotes"),
            ("--requirepass my secret", "requirepass (redacted): wrong number"),
            ("cache.conf", "wanted: options such as"),
            ("check --dir x", "wanted: options such as"),
            ("--port 1 -", "wanted: options such as"),
            ("--help", "A persistent"),
        ];
        for (flags, expected) in cases {
            let error = launched(flags).unwrap_err();
            assert!(error.strip_prefix(of).is_some_and(|rest| rest.starts_with(expected)), "{flags}: {error}");
        }
        let check = ["caskade", "healthcheck"].map(OsString::from);
        let environment = [("CASKADE_EXTRA_FLAGS".into(), "--port 7000".into())];
        let Ok(Invocation::Healthcheck(check)) = parse(check, environment, |_, _, _| false) else { panic!() };
        assert_eq!(check.port, 7000);
    }

    #[test]
    fn help_and_version() {
        command().debug_assert();
        for flag in ["-h", "--help"] {
            let Invocation::Help(text) = run(&[flag]).unwrap() else { panic!() };
            assert!(text.contains("--maxmemory-policy") && text.contains("healthcheck"), "{text}");
            assert!(!text.contains("hash-max-listpack"), "{text}");
        }
        for flag in ["-v", "--version"] {
            let Invocation::Version(text) = run(&[flag]).unwrap() else { panic!() };
            assert!(text.starts_with("caskade v=0."), "{text}");
        }
    }

    #[test]
    fn healthchecks_follow_the_environment_of_the_server() {
        let check = |arguments: &[&str], environment: &[(&str, &str)]| {
            let arguments = ["caskade", "healthcheck"].iter().chain(arguments).map(OsString::from);
            let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
            match parse(arguments, environment, |_, _, _| false) {
                Ok(Invocation::Healthcheck(check)) => check,
                other => panic!("{other:?}"),
            }
        };
        let environment = [("CASKADE_PORT", "7000"), ("CASKADE_REQUIREPASS", "x"), ("CASKADE_UNIXSOCKET", "/s")];
        let plain = check(&[], &[]);
        assert_eq!((plain.host.as_str(), plain.port, plain.timeout.as_secs()), ("127.0.0.1", 6379, 3));
        let inside = check(&[], &environment);
        assert_eq!((inside.port, inside.password.as_deref(), inside.unixsocket), (7000, Some("x"), Some("/s".into())));
        let told = check(&["--host", "::1", "--port", "1", "--timeout", "9"], &environment);
        assert_eq!((told.host.as_str(), told.port, told.timeout.as_secs(), told.unixsocket), ("::1", 1, 9, None));
    }
}
