//! Whatever one request or one pipeline asks for is read at the same time.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::super::connection;
use super::super::listen::Stream;
use super::super::workers::Shared;
use super::super::{ahead, tls};
use super::{Fetchers, THREADS_MAX};
use crate::commands::Registry;
use crate::config::{Config, Settings};
use crate::keyspace::Keyspace;
use crate::node::{Host, Node, Peer, ShutdownRequest};
use crate::store::clock::TestClock;
use crate::store::disk::{Disk, File, Mode, SimDisk};

/// A read that so many are to be under way with waits no longer for the others.
const PATIENCE: Duration = Duration::from_secs(20);

struct Nobody;

impl Host for Nobody {
    fn shut_down(&self, _: ShutdownRequest) {}

    fn settings_changed(&self) {}
}

/// A disk with nothing in the page cache, of which no read ends before so many are under way as are expected.
#[derive(Clone)]
struct Gate {
    disk: SimDisk,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    expected: usize,
    reads: usize,
    /// A read has waited in vain.
    too_few: bool,
}

struct Gated {
    file: Box<dyn File>,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Gate {
    fn new() -> Self {
        let disk = SimDisk::new();
        disk.set_cold(true);
        Self { disk, state: Arc::default() }
    }

    fn expect(&self, reads: usize) {
        *self.state.0.lock() = State { expected: reads, ..State::default() };
    }

    /// How many there were; all of them at the same time.
    fn reads(&self) -> usize {
        let state = self.state.0.lock();
        assert!(!state.too_few, "of {} reads, {} were never under way together", state.reads, state.expected);
        state.reads
    }
}

impl Disk for Gate {
    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn File>> {
        let (file, state) = (self.disk.open(name, mode)?, self.state.clone());
        Ok(if name.ends_with(".log") { Box::new(Gated { file, state }) } else { file })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.disk.sync_directory()
    }

    fn free_space(&self) -> io::Result<u64> {
        self.disk.free_space()
    }

    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        self.disk.directory(name)
    }

    fn link(&self, name: &str, into: &dyn Disk) -> io::Result<()> {
        self.disk.link(name, into)
    }
}

impl File for Gated {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let (state, changed) = &*self.state;
        {
            let mut state = state.lock();
            state.reads += 1;
            changed.notify_all();
            let is_gone =
                changed.wait_while_for(&mut state, |state| state.reads < state.expected && !state.too_few, PATIENCE);
            state.too_few |= is_gone.timed_out();
            changed.notify_all();
        }
        self.file.read_at(buffer, offset)
    }

    fn read_at_nowait(&self, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        self.file.read_at_nowait(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.file.allocate(length)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

/// A server of one connection, on a thread of its own.
struct Served {
    shared: Arc<Shared>,
    gate: Gate,
    client: TcpStream,
}

impl Served {
    fn new() -> Self {
        let (gate, clock) = (Gate::new(), Arc::new(TestClock::new(1_700_000_000_000)));
        let registry = Registry::new();
        let config = Config::new(Settings::default(), None);
        let node = Node::new(config, clock.clone(), Box::new(Nobody), registry.catalogue());
        let opened = Keyspace::open(Arc::new(gate.clone()), clock, Default::default(), 1, &mut |_, _| {});
        node.set_keyspace(opened.unwrap().0);
        let (tls, ahead) = (tls::Tls::default(), ahead::Room::default());
        let shared = Arc::new(Shared { node, registry, tls, ahead, fetchers: Fetchers::default() });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(4 * PATIENCE)).unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let serving = shared.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let stream = Stream::Tcp(tokio::net::TcpStream::from_std(socket).unwrap());
                let client = serving.node.clients.add(Peer::Internal, 0, serving.node.now());
                connection::serve(serving, stream, client).await;
            });
        });
        Self { shared, gate, client }
    }

    /// Sends what the client says at once, and reads exactly these replies.
    fn ask(&mut self, requests: &str, replies: &str) {
        self.client.write_all(requests.replace('\n', "\r\n").as_bytes()).unwrap();
        let expected = replies.replace('\n', "\r\n");
        let mut reply = vec![0; expected.len()];
        self.client.read_exact(&mut reply).unwrap();
        assert_eq!(String::from_utf8_lossy(&reply), expected);
    }

    /// Sends all values back to the disk.
    fn demote(&self) {
        let keyspace = self.shared.node.keyspace().unwrap();
        keyspace.store().sync().unwrap();
        for limit in [1, 0] {
            keyspace.set_memory_limit(limit);
            keyspace.govern(0);
        }
    }

    /// Asks with all values on the disk; how many are read, no fewer than so many at the same time.
    fn ask_cold(&mut self, together: usize, requests: &str, replies: &str) -> usize {
        self.demote();
        self.gate.expect(together);
        self.ask(requests, replies);
        let reads = self.gate.reads();
        self.gate.expect(0);
        reads
    }
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

fn bulk(number: usize) -> String {
    format!("$9\nvalue {number:03}\n")
}

fn filled() -> Served {
    let mut served = Served::new();
    served.ask(&lines(100, |number| format!("SET key:{number} \"value {number:03}\"\n")), &"+OK\n".repeat(100));
    served
}

#[test]
fn the_values_of_one_mget_are_read_together() {
    let mut served = filled();
    let keys = lines(THREADS_MAX, |number| format!(" key:{number}"));
    let reads = served.ask_cold(
        THREADS_MAX,
        &format!("MGET{keys}\n"),
        &format!("*{THREADS_MAX}\n{}", lines(THREADS_MAX, bulk)),
    );
    assert_eq!(reads, THREADS_MAX);
    let keys = lines(100, |number| format!(" key:{number}"));
    let reads = served.ask_cold(THREADS_MAX, &format!("MGET{keys}\n"), &format!("*100\n{}", lines(100, bulk)));
    assert_eq!(reads, 100, "more than there are threads for");
}

#[test]
fn the_values_of_one_pipeline_are_read_together() {
    let mut served = filled();
    let reads = served.ask_cold(16, &lines(16, |number| format!("GET key:{number}\n")), &lines(16, bulk));
    assert_eq!(reads, 16);
    // What changes something is no obstacle, and sees what it has to.
    let reads = served.ask_cold(
        5,
        "GET key:1\nSET key:2 new\nGET key:2\nSTRLEN key:3\nAPPEND key:4 !\nMGET key:4 key:5\nPING\nAPPEND key:6 !\n",
        "$9\nvalue 001\n+OK\n$3\nnew\n:9\n:10\n*2\n$10\nvalue 004!\n$9\nvalue 005\n+PONG\n:10\n",
    );
    assert_eq!(reads, 6);
}

#[test]
fn the_elements_that_one_pipeline_asks_for_are_read_together() {
    let mut served = filled();
    let fields = lines(200, |number| format!(" field:{number} \"value {number:03}\""));
    served.ask(&format!("HSET hash{fields}\n"), ":200\n");
    let reads = served.ask_cold(16, &lines(16, |number| format!("HGET hash field:{number}\n")), &lines(16, bulk));
    assert_eq!(reads, 16);
}

/// Whoever may not read a key has nothing read for it.
#[test]
fn nothing_is_read_for_what_will_not_run() {
    let mut served = filled();
    served.ask("ACL SETUSER default resetkeys ~key:1\n", "+OK\n");
    let denied = "-NOPERM No permissions to access a key\n";
    let reads = served.ask_cold(1, "GET key:1\nGET key:2\nGET key:3\n", &format!("{}{denied}{denied}", bulk(1)));
    assert_eq!(reads, 1);
}
