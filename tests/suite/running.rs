//! Running it: arguments, files, environment, signals, logs, and what stops a start.
//!
//! Always true: every server here has a directory of its own, which is its working directory, too, and is ended with it.

use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{Program, Server, free_port, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// A place to start servers in.
pub struct Place {
    home: TempDir,
    environment: Vec<(&'static str, String)>,
    /// What a shell does before it becomes the server.
    prelude: Option<&'static str>,
}

impl Place {
    pub fn new() -> Place {
        let home = tempfile::Builder::new().prefix("caskade-running-").tempdir().expect("a temporary directory");
        Place { home, environment: Vec::new(), prelude: None }
    }

    /// One whose servers come out of a shell that has run this.
    pub fn behind(prelude: &'static str) -> Place {
        Place { prelude: Some(prelude), ..Place::new() }
    }

    /// One whose servers have these variables.
    pub fn with(environment: &[(&'static str, &str)]) -> Place {
        let environment = environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Place { environment, ..Place::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("to write a file");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_caskade");
        let mut command = match self.prelude {
            None => Command::new(program),
            Some(prelude) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("{prelude} && exec \"$0\" \"$@\""), program]);
                shell
            }
        };
        // What steers the tests is no setting of the server.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CASKADE_")) {
            command.env_remove(name);
        }
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().expect("to run the program");
        (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
    }

    /// Starts a server and waits until it says that it is ready.
    pub fn start(&self, arguments: &[&str]) -> Running<'_> {
        let file = fs::File::create(self.path("output")).expect("a file for the output");
        let mut command = self.command(arguments);
        command.stderr(file.try_clone().expect("the same file")).stdout(file);
        if arguments.contains(&"-") {
            command.stdin(fs::File::open(self.path("stdin")).expect("a file for the standard input"));
        }
        let mut running = Running { place: self, child: command.spawn().expect("to start the program") };
        wait_until("the server to be ready", PATIENCE, || {
            let ended = running.child.try_wait().expect("the server's status");
            assert!(ended.is_none(), "it ended with {ended:?}:\n{}", running.output());
            running.output().contains("Ready to accept connections")
        });
        running
    }
}

pub struct Running<'a> {
    place: &'a Place,
    pub child: Child,
}

impl Running<'_> {
    pub fn output(&self) -> String {
        fs::read_to_string(self.place.path("output")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("to signal the server");
    }

    fn wait(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until("the server to end", PATIENCE, || {
            status = self.child.try_wait().expect("the server's status");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn connect(port: u16) -> Connection {
    Connection::open((Ipv4Addr::LOCALHOST, port).into()).expect("a connection")
}

/// The value that CONFIG GET answers.
pub fn setting(connection: &mut Connection, name: &str) -> String {
    match connection.call(&["CONFIG", "GET", name]).expect("an answer") {
        Reply::Array(pair) => match &pair[1] {
            Reply::Bulk(value) => String::from_utf8_lossy(value).into_owned(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_stops_a_start_is_said_once_with_a_remedy() {
    let place = Place::new();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = taken.local_addr().unwrap().port().to_string();
    let port = free_port().to_string();
    let running = place.start(&["--port", &port, "--dir", "used"]);
    let holder =
        format!("{}/used is in use by another process (pid {})", place.home.path().display(), running.child.id());
    fs::create_dir_all(place.path("rdb")).unwrap();
    place.write("rdb/dump.rdb", "REDIS0011");
    fs::create_dir_all(place.path("aof/appendonlydir")).unwrap();
    place.write("file", "");
    place.write("bad.conf", "port 0\n\nmaxmemory 1gib\n");
    let cases: &[(&[&str], &str)] = &[
        (&["--maxmemroy", "1mb"], "--maxmemroy: unknown directive; did you mean --maxmemory?"),
        (&["nosuch.conf"], "nosuch.conf: cannot read the configuration file"),
        (&["bad.conf"], "bad.conf, line 3: maxmemory 1gib: argument must be a memory value"),
        (&["--port", &taken, "--dir", "free"], "Address already in use"),
        (&["--port", "0", "--dir", "free"], "there is nothing to listen on"),
        (&["--port", "0", "--unixsocket", "file", "--dir", "free"], "a file of that name which is no socket"),
        (&["--bind", "192.0.2.1", "--dir", "free"], "cannot listen on 192.0.2.1 port 6379"),
        (&["--port", "0", "--dir", "used"], &holder),
        (&["--port", "0", "--dir", "rdb"], "rdb/dump.rdb was written by Redis"),
        (&["--port", "0", "--dir", "rdb"], "`ignore-foreign-data yes`"),
        (&["--port", "0", "--dir", "aof"], "aof/appendonlydir was written by Redis"),
        (&["--port", "0", "--dir", "file"], "cannot create the directory"),
        (&["--port", "0", "--logfile", "nosuch/log"], "cannot write the log: nosuch/log: No such file"),
    ];
    for (arguments, expected) in cases {
        let (code, output) = place.run(arguments);
        assert_eq!((code, output.matches(expected).count()), (Some(1), 1), "{arguments:?}: {expected}\n{output}");
    }
}

#[test]
fn the_start_is_told_in_order_and_the_end_is_clean() {
    for (signal, reason) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let place = Place::new();
        let port = free_port();
        let socket = place.path("socket");
        let arguments = ["--port", &port.to_string(), "--dir", "data", "--unixsocket", "socket", "--pidfile", "pid"];
        let mut running = place.start(&arguments);
        assert_eq!(connect(port).call(&["SET", "a", "1"]).unwrap(), Reply::Status(b"OK".to_vec()));
        assert_eq!(fs::read_to_string(place.path("pid")).unwrap().trim(), running.child.id().to_string());
        running.signal(signal);
        assert_eq!(running.wait(), Some(0));
        let output = running.output();
        let mut rest = output.as_str();
        let told = [
            "Caskade 0.",
            "listening on 127.0.0.1",
            &format!("port {port}"),
            "listening on the Unix socket",
            &format!("data directory {}/data", place.home.path().display()),
            "loaded 0 keys",
            "Ready to accept connections",
            &format!("told to end by {reason}"),
            "the log is written and synced",
        ];
        for line in told {
            let at = rest.find(line).unwrap_or_else(|| panic!("no {line:?}, or not in its place:\n{output}"));
            rest = &rest[at..];
        }
        assert!(!socket.exists() && !place.path("pid").exists());
    }
}

/// Who may have few files open takes fewer clients, and tells those that are too many.
#[test]
fn a_low_limit_on_open_files_lowers_maxclients() {
    let place = Place::behind("ulimit -n 100");
    let port = free_port();
    let running = place.start(&["--port", &port.to_string(), "--dir", "data"]);
    let told = "maxclients is 36 instead of 10000: the limit on open files is 100; raise it with `ulimit -n 10064`";
    assert_eq!(running.output().matches(told).count(), 1, "{}", running.output());
    let mut clients: Vec<Connection> = (0..36).map(|_| connect(port)).collect();
    let pong = Reply::Status(b"PONG".to_vec());
    clients.iter_mut().for_each(|client| assert_eq!(client.call(&["PING"]).unwrap(), pong));
    let refused = Reply::Error(b"ERR max number of clients reached".to_vec());
    assert_eq!(connect(port).receive().unwrap(), refused);
    clients.truncate(35);
    wait_until("the place of a client that has gone", PATIENCE, || {
        let mut next = connect(port);
        next.call(&["PING"]).is_ok_and(|reply| reply == pong)
    });
}

#[test]
fn a_second_interrupt_ends_at_once() {
    let place = Place::new();
    let port = free_port();
    let mut running = place.start(&["--port", &port.to_string(), "--dir", "data"]);
    let mut client = connect(port);
    let text = "ab".repeat(1000);
    client.call(&["MSET", "a", &text, "b", &text]).unwrap();
    client.call(&["MULTI"]).unwrap();
    for _ in 0..2000 {
        client.send(&["LCS", "a", "b"]).unwrap();
        client.receive().unwrap();
    }
    // A request that runs for longer than the test waits.
    client.send(&["EXEC"]).unwrap();
    running.signal(Signal::INT);
    wait_until("the first signal to be heard", PATIENCE, || running.output().contains("a second one ends at once"));
    let began = Instant::now();
    running.signal(Signal::INT);
    assert_eq!(running.wait(), Some(1));
    assert!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
}

#[test]
fn a_configuration_of_redis_boots_and_says_what_has_no_meaning() {
    let place = Place::new();
    let mut text: String = include_str!("../data/redis-7.0-parameters.tsv")
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(name, _)| !matches!(*name, "port" | "dir" | "bind" | "appendfsync"))
        .map(|(name, value)| format!("{name} \"{value}\"\n"))
        .collect();
    text.push_str("include more.conf\ndir data\nsave \"\"\nappendonly no\ndaemonize yes\nsyslog-enabled yes\n");
    place.write("redis.conf", &text);
    place.write("more.conf", "# Redis 7.2\nset-max-listpack-entries 128\nlocale-collate \"\"\npidfile nosuch/pid\n");
    let port = free_port();
    let running = place.start(&["redis.conf", "--port", &port.to_string()]);
    let output = running.output();
    for once in [
        "`appendonly no`, `save \"\"` changes nothing here: every write goes to the log",
        "`daemonize yes` changes nothing here",
        "`syslog-enabled yes` changes nothing here",
        "without effect here: ",
        "cannot write the pidfile nosuch/pid",
    ] {
        assert_eq!(output.matches(once).count(), 1, "{once}\n{output}");
    }
    for (name, value) in [("hz", "10"), ("set-max-listpack-entries", "128"), ("save", ""), ("daemonize", "yes")] {
        assert_eq!(setting(&mut connect(port), name), value, "{name}");
    }
}

#[test]
fn the_file_of_debian_boots() {
    let Ok(text) = fs::read_to_string("/etc/redis/redis.conf") else {
        return println!("skipped: Debian's redis-server is not installed");
    };
    let place = Place::new();
    place.write("redis.conf", &text.replace("/var/log/redis/", "").replace("/run/redis/", "nosuch/"));
    let port = free_port().to_string();
    let running = place.start(&["redis.conf", "--port", &port, "--dir", "data", "--logfile", ""]);
    assert_eq!(running.output().matches("without effect here: ").count(), 1);
}

#[test]
fn of_defaults_file_environment_and_arguments_the_later_wins() {
    let mut place = Place::new();
    place.write("defaults.conf", "dir data\nhz 1\ntimeout 1\nmaxclients 1\nmaxmemory-samples 1\n");
    place.write("stdin", "hz 2\ntimeout 2\nmaxclients 2\nrequirepass 'it\\'s'\n");
    place.environment.push(("CASKADE_DEFAULTS", "defaults.conf".into()));
    place.environment.push(("CASKADE_TIMEOUT", "3".into()));
    place.environment.push(("CASKADE_MAXCLIENTS", "3".into()));
    place.environment.push(("CASKADE_PORT", "tcp://10.0.0.1:6379".into()));
    place.environment.push(("CASKADE_MAXMEMROY", "1".into()));
    let port = free_port();
    let running = place.start(&["-", "--port", "1", "--maxclients", "4", "--port", &port.to_string()]);
    let mut client = connect(port);
    assert_eq!(client.call(&["AUTH", "it's"]).unwrap(), Reply::Status(b"OK".to_vec()));
    for (name, value) in [("maxmemory-samples", "1"), ("hz", "2"), ("timeout", "3"), ("maxclients", "4")] {
        assert_eq!(setting(&mut client, name), value, "{name}");
    }
    let output = running.output();
    assert!(output.contains("WARN environment variable CASKADE_MAXMEMROY ignored"), "{output}");
    assert!(output.contains("did you mean CASKADE_MAXMEMORY?") && !output.contains("CASKADE_PORT"), "{output}");
}

#[test]
fn what_config_rewrite_wrote_is_in_force_after_a_restart() {
    let place = Place::new();
    place.write("caskade.conf", "# mine\ndir data\nmaxmemory 1mb\n");
    let port = free_port();
    let arguments = ["caskade.conf", "--port", &port.to_string()];
    {
        let mut running = place.start(&arguments);
        let mut client = connect(port);
        for words in [&["CONFIG", "SET", "maxmemory", "2mb", "timeout", "7"][..], &["CONFIG", "REWRITE"]] {
            assert_eq!(client.call(words).unwrap(), Reply::Status(b"OK".to_vec()), "{words:?}");
        }
        running.signal(Signal::TERM);
        running.wait();
    }
    let text = fs::read_to_string(place.path("caskade.conf")).unwrap();
    assert!(text.starts_with("# mine\ndir data\nmaxmemory 2mb\n"), "{text}");
    let _running = place.start(&arguments);
    assert_eq!(setting(&mut connect(port), "timeout"), "7");
}

#[test]
fn segments_grow_as_config_set_says() {
    let server = Server::start(Program::Caskade, &["--segment-size", "64kb"]);
    let mut client = server.connect();
    client.ask(&["CONFIG", "SET", "segment-size", "1mb"]);
    let value = "v".repeat(32 << 10);
    for number in 0..64 {
        client.ask(&["SET", &number.to_string(), &value]);
    }
    let names = fs::read_dir(server.data()).unwrap().map(|entry| entry.unwrap().file_name());
    let segments = names.filter(|name| name.to_string_lossy().ends_with(".log")).count();
    assert!((3..10).contains(&segments), "{segments} segments for 2 MB");
}

#[test]
fn logs_have_a_form_a_level_and_a_place() {
    let place = Place::new();
    let port = free_port().to_string();
    let running = place.start(&["--port", &port, "--dir", "data", "--log-format", "json"]);
    for line in running.output().lines() {
        assert!(line.starts_with("{\"timestamp\":\"") && line.contains("\"level\":\"INFO\""), "{line}");
    }
    drop(running);
    let silent = [&["--loglevel", "warning"][..], &["--loglevel", "nothing"], &["--logfile", "log"]];
    for arguments in silent {
        // It ends by itself, as its port is taken.
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = taken.local_addr().unwrap().port().to_string();
        let (code, output) = place.run(&[&["--port", &taken, "--dir", "data"], arguments].concat());
        assert_eq!((code, output.lines().count()), (Some(1), 1), "{arguments:?}: {output}");
    }
    let log = fs::read_to_string(place.path("log")).unwrap();
    assert!(log.contains("INFO Caskade 0.") && log.contains("ERROR cannot listen"), "{log}");
}

#[test]
fn a_unix_socket_has_its_permissions_and_health_checks_find_it() {
    let place = Place::new();
    let port = free_port().to_string();
    for (arguments, mode) in [
        (&["--port", "0", "--unixsocket", "socket", "--unixsocketperm", "770"][..], Some(0o770)),
        (&["--port", "0", "--unixsocket", "socket"], Some(0o700)),
        (&["--port", &port, "--bind", "127.0.0.2"], None),
        (&["--port", &port, "--requirepass", "secret"], None),
        // Nobody may ask it PING, and it is well.
        (&["--port", &port, "--user", "default", "on", "nopass"], None),
    ] {
        let running = place.start(&[&["--dir", "data"], arguments].concat());
        let found = fs::metadata(place.path("socket")).ok().map(|found| found.permissions().mode() & 0o777);
        assert_eq!(found, mode, "{arguments:?}");
        let pid = running.child.id().to_string();
        assert_eq!(place.run(&["healthcheck", "--pid", &pid]), (Some(0), String::new()), "{arguments:?}");
        let (code, output) = place.run(&["healthcheck", "--port", "1"]);
        assert!(code == Some(1) && output.starts_with("caskade: no answer: "), "{output}");
        running.signal(Signal::TERM);
        let mut running = running;
        running.wait();
    }
}

#[test]
fn addresses_that_may_be_missing_are_left_out() {
    let place = Place::new();
    let port = free_port().to_string();
    let running = place.start(&["--port", &port, "--bind", "127.0.0.1", "-192.0.2.1", "127.0.0.2", "--dir", "data"]);
    let expected = format!("listening on 127.0.0.1 127.0.0.2 port {port}");
    assert!(running.output().contains(&expected), "{}", running.output());
}

#[test]
fn help_that_nobody_reads_to_its_end_is_no_failure() {
    let place = Place::new();
    for option in ["--help", "--version"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let Output { status, stderr, .. } =
            place.command(&[option]).stdout(writer).stderr(Stdio::piped()).output().expect("to run the program");
        assert_eq!((status.code(), String::from_utf8_lossy(&stderr).as_ref()), (Some(0), ""), "{option}");
    }
}
