//! Servers as child processes: found, started on a free port, waited for, stopped, killed.
//!
//! Always true: a server has a directory of its own under the temporary directory (its data may be elsewhere), and is
//! ended by its own process id when its owner goes, also when a test fails.

use crate::connection::Connection;
use crate::reply::Reply;
use rustix::process::{Pid, Signal};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Which program to run. Valkey is a second opinion on 7.2's behaviour, used where `CASKADE_VALKEY` names its binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Caskade,
    Redis,
    Valkey,
}

impl Program {
    /// redis-server, or `None` after saying why the check is skipped.
    ///
    /// # Panics
    /// When there is none and `CASKADE_REQUIRE_ORACLE=1`.
    pub fn oracle() -> Option<Program> {
        if Program::Redis.path().is_some() {
            return Some(Program::Redis);
        }
        assert!(!flag("CASKADE_REQUIRE_ORACLE"), "redis-server is required and not installed");
        println!("skipped: redis-server is not installed, so there is nothing to compare with");
        None
    }

    pub fn path(self) -> Option<PathBuf> {
        match self {
            Program::Caskade => Some(
                std::env::var_os("CASKADE_TEST_SERVER")
                    .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_caskade")), PathBuf::from),
            ),
            Program::Redis => find_on_path("redis-server"),
            Program::Valkey => std::env::var_os("CASKADE_VALKEY").map(PathBuf::from),
        }
    }
}

pub fn flag(name: &str) -> bool {
    std::env::var(name).is_ok_and(|value| value == "1")
}

/// A number from the environment, for sizes that are larger in continuous integration.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}

pub fn find_on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|candidate| candidate.is_file())
}

/// Polls until `condition` holds.
///
/// # Panics
/// When it does not within `limit`.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// How many passes of compaction Caskade has made since it was started.
pub fn compaction_passes(connection: &mut Connection) -> u64 {
    let info = connection.ask(&["INFO", "caskade"]);
    let text = String::from_utf8_lossy(info.bytes().expect("text")).into_owned();
    let passes = text.lines().find_map(|line| line.strip_prefix("compaction_passes:")?.trim().parse().ok());
    passes.unwrap_or_else(|| panic!("no passes in {text}"))
}

/// In place of this argument stands a port that was free.
pub const FREE_PORT: &str = "(a free port)";

pub struct Server {
    program: Program,
    child: Child,
    port: u16,
    home: Home,
    arguments: Vec<String>,
}

/// Where a server keeps what is its own: its log, and its data.
#[derive(Clone)]
struct Home {
    directory: Arc<TempDir>,
    data: PathBuf,
    /// The control group that it runs in, if that is another than this process's.
    group: Option<PathBuf>,
}

impl Home {
    fn new() -> Home {
        let directory = tempfile::Builder::new().prefix("caskade-test-").tempdir().expect("a temporary directory");
        Home { data: directory.path().join("data"), directory: Arc::new(directory), group: None }
    }

    fn log_file(&self, port: u16) -> PathBuf {
        self.directory.path().join(format!("log-{port}"))
    }
}

impl Server {
    /// Starts a server on an empty directory and waits until it answers.
    pub fn start(program: Program, arguments: &[&str]) -> Server {
        let home = Home::new();
        std::fs::create_dir(&home.data).expect("a data directory");
        Server::start_in(program, home, owned(arguments))
    }

    /// Starts a server on a directory that is there, and waits until it answers.
    ///
    /// # Errors
    /// What the server printed, if it ends before.
    pub fn start_on(data: &Path, arguments: &[&str]) -> Result<Server, String> {
        Server::try_start_in(Program::Caskade, Home { data: data.to_owned(), ..Home::new() }, owned(arguments))
    }

    /// As [`Server::start`], in a control group of its own.
    pub fn start_within(group: &Path, arguments: &[&str]) -> Server {
        let home = Home { group: Some(group.to_owned()), ..Home::new() };
        std::fs::create_dir(&home.data).expect("a data directory");
        Server::start_in(Program::Caskade, home, owned(arguments))
    }

    fn start_in(program: Program, home: Home, arguments: Vec<String>) -> Server {
        let started = Server::try_start_in(program, home, arguments);
        started.unwrap_or_else(|log| panic!("{program:?} ended before it was ready:\n{log}"))
    }

    fn try_start_in(program: Program, home: Home, arguments: Vec<String>) -> Result<Server, String> {
        // A port found free can be taken by another process before the server binds it, hence the attempts.
        for _ in 0..5 {
            let port = free_port();
            let another = |word: &String| if word == FREE_PORT { free_port().to_string() } else { word.clone() };
            let arguments: Vec<String> = arguments.iter().map(another).collect();
            let child = spawn(program, port, &home, &arguments);
            let mut server = Server { program, child, port, home: home.clone(), arguments };
            if server.wait_ready() {
                return Ok(server);
            }
            if !server.log().contains("ddress already in use") {
                return Err(server.log());
            }
        }
        panic!("{program:?} found no free port");
    }

    /// Starts the same program again on the same directory, killing it if it still runs.
    pub fn restart(self) -> Server {
        let arguments = self.arguments.clone();
        self.restart_owned(arguments)
    }

    /// As `restart`, with other arguments from now on.
    pub fn restart_with(self, arguments: &[&str]) -> Server {
        self.restart_owned(owned(arguments))
    }

    fn restart_owned(mut self, arguments: Vec<String>) -> Server {
        self.kill();
        Server::start_in(self.program, self.home.clone(), arguments)
    }

    /// Runs the program once more on the same directory and port, and does not wait for it to be ready.
    pub fn respawn(&mut self) {
        self.kill();
        self.child = spawn(self.program, self.port, &self.home, &self.arguments);
    }

    /// As `restart`, on the same port, for clients that come back.
    pub fn restart_in_place(&mut self) {
        self.respawn();
        assert!(self.wait_ready(), "{:?} ended before it was ready:\n{}", self.program, self.log());
    }

    /// A second process on the directory of this one, which goes on running; not waited for.
    pub fn rival(&self) -> Server {
        let (port, home, arguments) = (free_port(), self.home.clone(), self.arguments.clone());
        let child = spawn(self.program, port, &home, &arguments);
        Server { program: self.program, child, port, home, arguments }
    }

    /// SIGKILL, then waits for the process to be gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("to kill the server");
        self.child.wait().expect("to wait for the server");
    }

    /// SIGTERM, then waits for the process to end by itself.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_exit("after SIGTERM")
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).expect("to signal the server");
    }

    /// Waits for the process to end by itself.
    pub fn wait_exit(&mut self, when: &str) -> ExitStatus {
        let mut status = None;
        wait_until(&format!("the server to end {when}"), Duration::from_secs(30), || {
            status = self.child.try_wait().expect("the server's status");
            status.is_some()
        });
        status.expect("a status")
    }

    pub fn program(&self) -> Program {
        self.program
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where the server keeps its data.
    pub fn data(&self) -> PathBuf {
        self.home.data.clone()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the server's status").is_none()
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of an option it was started with.
    pub fn argument(&self, option: &str) -> &str {
        let at = self.arguments.iter().position(|word| word == option);
        at.and_then(|at| self.arguments.get(at + 1)).unwrap_or_else(|| panic!("started without {option}"))
    }

    pub fn connect(&self) -> Connection {
        self.connect_with(2)
    }

    pub fn connect_with(&self, protocol: u8) -> Connection {
        Connection::open_with(self.address(), protocol)
            .unwrap_or_else(|error| panic!("no connection: {error}\n{}", self.log()))
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most resident memory that the process had so far, in bytes.
    pub fn memory_max(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process's status");
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
    }

    /// Time that the process has spent on its cores, in the kernel's hundredths of a second.
    pub fn cpu_ticks(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("the process's times");
        let fields: Vec<&str> = text.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    }

    /// What the server printed since it was last started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.log_file(self.port)).unwrap_or_default()
    }

    fn wait_ready(&mut self) -> bool {
        let address = self.address();
        let mut running = true;
        wait_until("the server to be ready", Duration::from_secs(60), || {
            running = self.is_running();
            let said = self.log().contains("Ready to accept connections");
            let ready = |mut connection: Connection| {
                // A server with a password asks for it also while it loads.
                connection.call(&["PING"]).is_ok_and(|reply| match reply {
                    Reply::Error(text) => text.starts_with(b"NOAUTH") && said,
                    reply => reply == Reply::Status(b"PONG".to_vec()),
                })
            };
            !running || Connection::open(address).is_ok_and(ready)
        });
        // Another process may have answered on the port instead of this one.
        running && self.is_running()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Below the ports that the kernel gives to outgoing connections, so that none of those takes the port of a server
/// that is between two starts.
pub fn free_port() -> u16 {
    let ports = std::iter::repeat_with(|| fastrand::u16(10_000..32_000)).take(1_000);
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.into_iter().find(free).expect("a free port")
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|&text| text.to_owned()).collect()
}

fn spawn(program: Program, port: u16, home: &Home, arguments: &[String]) -> Child {
    let path = program.path().unwrap_or_else(|| panic!("{program:?} is not installed"));
    let log = File::create(home.log_file(port)).expect("a log file");
    let mut command = match &home.group {
        None => Command::new(&path),
        Some(group) => {
            // The shell goes into the group and becomes the server.
            let mut shell = Command::new("sh");
            shell.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(group).arg(&path);
            shell
        }
    };
    // What steers the tests is no setting of the server.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CASKADE_")) {
        command.env_remove(name);
    }
    // A configuration file comes before all options.
    let (file, options) = arguments.split_at(arguments.iter().take_while(|word| !word.starts_with('-')).count());
    command
        .args(file)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .arg("--dir")
        .arg(&home.data)
        .args(options)
        .current_dir(home.directory.path())
        .stdin(Stdio::null())
        .stderr(Stdio::from(log.try_clone().expect("the log file")))
        .stdout(Stdio::from(log))
        .spawn()
        .unwrap_or_else(|error| panic!("{} does not start: {error}", path.display()))
}
