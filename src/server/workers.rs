//! The threads that connections live on: each has a runtime of its own, so that nothing moves between threads.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::ahead;
use super::connection;
use super::fetching::Fetchers;
use super::listen::{Accepted, Origin, Stream};
use super::tls::{self, Tls};
use crate::commands::Registry;
use crate::config::ProtectedMode;
use crate::node::{Client, Node};

/// What everything of a running server shares.
pub(super) struct Shared {
    pub(super) node: Node,
    pub(super) registry: Registry,
    pub(super) tls: Tls,
    pub(super) ahead: ahead::Room,
    pub(super) fetchers: Fetchers,
}

/// One thread.
struct Worker {
    sockets: UnboundedSender<Accepted>,
    connections: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

pub(super) struct Workers {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
}

/// What a client reads that came from too far away; the first words are Redis's.
fn denied(mode: ProtectedMode) -> &'static str {
    macro_rules! denied {
        ($from:literal) => {
            concat!(
                "-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the \
                 default user. In this mode connections are only accepted from ",
                $from,
                ". Set `requirepass`, or turn `protected-mode` off where a firewall already decides who may connect.\r\n"
            )
        };
    }
    match mode {
        ProtectedMode::Auto => denied!("the loopback interface and private networks"),
        ProtectedMode::Yes | ProtectedMode::No => denied!("the loopback interface"),
    }
}

/// Why a client from there may not come in, if it may not.
fn refusal(node: &Node, origin: Origin) -> Option<&'static str> {
    let mode = node.config.get().protected_mode;
    let is_open = node.acl.default_account().user().is_without_password();
    (is_open && !origin.is_admitted(mode)).then(|| denied(mode))
}

/// Waits until the client of a socket can be served, which one without TLS can be at once.
async fn is_ready(node: &Node, stream: &Stream, origin: Origin, client: &Client) -> bool {
    let Stream::Tls(stream) = stream else { return true };
    let address = client.address();
    if let Err(error) = Box::pin(tls::handshake(stream, client, node)).await {
        // Whoever reaches the port can have this logged, as often as it likes.
        tracing::debug!(client = client.id, %address, "no TLS handshake: {error}");
        return false;
    }
    let Some(reason) = refusal(node, origin) else { return true };
    node.stats.rejected_connections.add(1);
    // The client may be gone already, and that is all the same.
    let _ = stream.try_write(&[IoSlice::new(reason.as_bytes())]);
    false
}

impl Workers {
    /// Starts so many threads.
    pub(super) fn start(shared: &Arc<Shared>, count: usize, unix_path: Option<PathBuf>) -> io::Result<Self> {
        let workers = (0..count).map(|number| Worker::start(shared.clone(), number, unix_path.clone()));
        Ok(Self { shared: shared.clone(), workers: workers.collect::<io::Result<_>>()? })
    }

    /// Gives a new socket to the thread with the fewest, unless it must be refused.
    pub(super) fn take(&self, socket: Accepted) {
        let node = &self.shared.node;
        let settings = node.config.get();
        node.stats.connections.add(1);
        // With TLS it can be told why once there was a handshake.
        if !matches!(socket, Accepted::Tls(_))
            && let Some(reason) = refusal(node, socket.origin())
        {
            node.stats.rejected_connections.add(1);
            return socket.refuse(reason);
        }
        let connected: usize = self.workers.iter().map(|worker| worker.connections.load(SeqCst)).sum();
        if connected >= settings.maxclients as usize {
            node.stats.rejected_connections.add(1);
            return socket.refuse("-ERR max number of clients reached\r\n");
        }
        if let Err(error) = socket.configure(settings.tcp_keepalive) {
            return tracing::debug!("a connection was gone before it could be set up: {error}");
        }
        let least = self.workers.iter().min_by_key(|worker| worker.connections.load(SeqCst));
        if let Some(worker) = least {
            worker.connections.fetch_add(1, SeqCst);
            // A thread that has ended takes nothing more: the socket is closed.
            let _ = worker.sockets.send(socket);
        }
    }

    /// Takes no more sockets, and waits for the connections to end.
    pub(super) fn finish(self) {
        for worker in self.workers {
            drop(worker.sockets);
            if worker.thread.join().is_err() {
                tracing::error!("a worker thread had panicked");
            }
        }
    }
}

impl Worker {
    fn start(shared: Arc<Shared>, number: usize, unix_path: Option<PathBuf>) -> io::Result<Self> {
        let (sockets, receiver) = unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        count_rounds(&mut runtime, &shared);
        let runtime = runtime.enable_all().build()?;
        let work = move || runtime.block_on(serve_all(shared, receiver, count, unix_path));
        let thread = std::thread::Builder::new().name(format!("caskade-worker-{number}")).spawn(work)?;
        Ok(Self { sockets, connections, thread })
    }
}

/// Has the rounds of a thread counted, each from when it had something to do until it had nothing.
fn count_rounds(runtime: &mut tokio::runtime::Builder, shared: &Arc<Shared>) {
    thread_local! {
        static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let shared = shared.clone();
    runtime.on_thread_unpark(|| BEGAN.set(Some(Instant::now()))).on_thread_park(move || {
        if let Some(began) = BEGAN.take() {
            shared.node.stats.cycles.add(1);
            shared.node.stats.cycle_nanoseconds.add(began.elapsed().as_nanos() as u64);
        }
    });
}

async fn serve_all(
    shared: Arc<Shared>,
    mut sockets: UnboundedReceiver<Accepted>,
    connections: Arc<AtomicUsize>,
    unix_path: Option<PathBuf>,
) {
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            socket = sockets.recv() => {
                let Some(socket) = socket else { break };
                let (peer, descriptor) = socket.peer(unix_path.as_deref());
                let origin = socket.origin();
                let Ok(stream) = socket.into_stream(&shared.tls) else {
                    connections.fetch_sub(1, SeqCst);
                    continue;
                };
                let client = shared.node.clients.add(peer, descriptor, shared.node.now());
                let (shared, connections) = (shared.clone(), connections.clone());
                tasks.spawn(async move {
                    if is_ready(&shared.node, &stream, origin, &client).await {
                        connection::serve(shared, stream, client).await;
                    } else {
                        shared.node.clients.remove(&client);
                    }
                    connections.fetch_sub(1, SeqCst);
                });
            }
            Some(_) = tasks.join_next() => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}
