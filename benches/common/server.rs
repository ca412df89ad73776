//! Servers as child processes: each on a free port and an empty temporary directory, ended when dropped.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::request::encode;

/// How long a server may take until it answers; it may have millions of keys to load.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// How many keys one request of [`Server::fill`] sets.
const PAIRS_AT_ONCE: usize = 1000;

/// What both servers are told: the log on, synced every second, and no snapshots.
const DURABILITY: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""];

/// A program that takes redis-server's arguments.
#[derive(Clone, Debug)]
pub struct Program {
    pub name: &'static str,
    pub path: PathBuf,
    pub arguments: Vec<String>,
}

impl Program {
    /// The server that is measured: this package's, or the one that `CASKADE_BENCH_BIN` names.
    pub fn caskade() -> Self {
        let path = std::env::var_os("CASKADE_BENCH_BIN");
        Self::build("Caskade", &path.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_caskade")), PathBuf::from))
    }

    /// Another build of Caskade.
    pub fn build(name: &'static str, path: &Path) -> Self {
        let path = path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { name, path, arguments: Vec::new() }
    }

    /// redis-server, if there is one. It does not rewrite its log while it is measured, although
    /// Caskade compacts its own.
    #[allow(dead_code, reason = "not every bench compares with it")]
    pub fn redis() -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        let path = std::env::split_paths(&path).map(|place| place.join("redis-server")).find(|path| path.is_file());
        if path.is_none() {
            println!("redis-server is not installed: Caskade runs alone, with nothing to compare it with");
        }
        let arguments = vec!["--auto-aof-rewrite-percentage".to_owned(), "0".to_owned()];
        Some(Self { name: "Redis", path: path?, arguments })
    }

    /// Starts it on an empty directory, on `cpus` only where they are given, and waits until it answers.
    pub fn start(&self, cpus: Option<&str>) -> Server {
        let home = tempfile::Builder::new().prefix("caskade-bench-").tempdir().expect("a temporary directory");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("its address");
        drop(listener);
        let child = self.spawn(home.path(), address, cpus);
        let mut server = Server { program: self.clone(), child, address, home };
        server.wait_ready();
        server
    }

    fn spawn(&self, home: &Path, address: SocketAddr, cpus: Option<&str>) -> Child {
        let log = File::create(home.join("log")).expect("a log file");
        pinned(&self.path, cpus)
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--dir"])
            .arg(home)
            .args(DURABILITY)
            .args(&self.arguments)
            .current_dir(home)
            .stdin(Stdio::null())
            .stderr(Stdio::from(log.try_clone().expect("the log file")))
            .stdout(Stdio::from(log))
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", self.path.display()))
    }
}

/// A command that runs on these CPUs only, by `taskset`, which becomes the program and keeps its process id.
pub fn pinned(program: &Path, cpus: Option<&str>) -> Command {
    let Some(cpus) = cpus else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", cpus]).arg(program);
    command
}

/// A running server.
pub struct Server {
    program: Program,
    pub child: Child,
    pub address: SocketAddr,
    home: TempDir,
}

impl Server {
    pub fn name(&self) -> &'static str {
        self.program.name
    }

    /// Ends it, by `kill -9` or in good order, and starts it again; how long it is from then until it answers.
    #[allow(dead_code, reason = "not every bench asks for it")]
    pub fn restart(&mut self, by_kill: bool) -> Duration {
        self.restart_after(by_kill, |_| {})
    }

    /// The same, with something done to its directory in between.
    #[allow(dead_code, reason = "not every bench asks for it")]
    pub fn restart_after(&mut self, by_kill: bool, meanwhile: impl FnOnce(&Path)) -> Duration {
        if by_kill {
            self.child.kill().expect("to kill the server");
        } else {
            let pid = rustix::process::Pid::from_child(&self.child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("to stop the server");
        }
        self.child.wait().expect("the server to end");
        meanwhile(self.home.path());
        let start = Instant::now();
        self.child = self.program.spawn(self.home.path(), self.address, None);
        self.wait_ready();
        start.elapsed()
    }

    /// Its directory.
    #[allow(dead_code, reason = "not every bench asks for it")]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Bytes that the files of its directory take on the disk.
    #[allow(dead_code, reason = "not every bench asks for it")]
    pub fn directory_bytes(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let files = std::fs::read_dir(self.home.path()).expect("the directory");
        // A file may go between the look at the directory and that at itself.
        files.flatten().filter_map(|file| Some(file.metadata().ok()?.blocks() * 512)).sum()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        stream
    }

    /// Sets all keys to their values.
    #[allow(dead_code, reason = "not every bench asks for it")]
    pub fn fill(&self, mut pairs: impl Iterator<Item = [Vec<u8>; 2]>) {
        let mut stream = self.connect();
        loop {
            let some = pairs.by_ref().take(PAIRS_AT_ONCE).flatten();
            let words: Vec<_> = std::iter::once(b"MSET".to_vec()).chain(some).collect();
            if words.len() == 1 {
                return;
            }
            stream.write_all(&encode(&words)).expect("to send");
            let mut reply = [0; 5];
            stream.read_exact(&mut reply).expect("a reply");
            assert_eq!(&reply, b"+OK\r\n", "{} does not take the keys", self.name());
        }
    }

    /// Sets all keys to their values, each by a command of its own.
    #[allow(dead_code, reason = "not every bench asks for it")]
    pub fn set_each(&self, mut pairs: impl Iterator<Item = [Vec<u8>; 2]>) {
        let mut stream = self.connect();
        loop {
            let some = pairs.by_ref().take(PAIRS_AT_ONCE);
            let requests: Vec<_> = some.map(|[key, value]| encode(&[b"SET".to_vec(), key, value])).collect();
            if requests.is_empty() {
                return;
            }
            stream.write_all(&requests.concat()).expect("to send");
            let mut replies = vec![0; requests.len() * 5];
            stream.read_exact(&mut replies).expect("replies");
            assert_eq!(replies, b"+OK\r\n".repeat(requests.len()), "{} does not take the keys", self.name());
        }
    }

    fn wait_ready(&mut self) {
        let start = Instant::now();
        while !self.answers() {
            if self.child.try_wait().expect("the server's status").is_some() || start.elapsed() > READY_WITHIN {
                panic!("{} does not answer:\n{}", self.program.path.display(), self.log());
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address) else { return false };
        let mut reply = [0; 7];
        stream.write_all(b"PING\r\n").is_ok() && stream.read_exact(&mut reply).is_ok() && &reply == b"+PONG\r\n"
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
