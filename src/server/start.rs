//! From settings to a running server, and down again.

use std::fmt;
use std::fs;
use std::future::poll_fn;
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::ahead;
use super::container;
use super::fetching::Fetchers;
use super::governor::Governor;
use super::listen::{Accepted, Listeners};
use super::logging::Level;
use super::observing;
use super::timers;
use super::tls::Tls;
use super::warmth;
use super::workers::{Shared, Workers};
use crate::allocator;
use crate::commands::Registry;
use crate::config::cli::Launch;
use crate::config::{AppendFsync, Config, ProtectedMode, SegmentSize, SetError, Settings, TlsAuthClients};
use crate::keyspace::{Keyspace, Listener};
use crate::node::notify::EventClass;
use crate::node::{Host, Node, ShutdownRequest};
use crate::store;
use crate::store::clock::SystemClock;
use crate::store::disk::OsDisk;
use crate::tools::torn_text;

/// So long a stopping server waits for what is in flight.
const DRAIN: Duration = Duration::from_secs(5);

/// Without `maxmemory`, it is this part of what a container may have.
const CONTAINER_SHARE: u64 = 2;

/// Descriptors that are not clients', beside one for each segment of the log.
const RESERVED_DESCRIPTORS: u64 = 64;
/// As many are asked for, where the system lets a process have them: a terabyte of log has thousands of segments.
const DESCRIPTORS: u64 = 1 << 20;

/// How often loading tells how far it is, in nanoseconds.
const PROGRESS_INTERVAL: u64 = 1_000_000_000;

/// Why the server did not start or did not end well; displays as one line.
#[derive(Debug)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

impl From<String> for StartError {
    fn from(text: String) -> Self {
        Self(text)
    }
}

struct ServerHost {
    shutdown: UnboundedSender<ShutdownRequest>,
    level: Level,
    node: Mutex<Weak<Shared>>,
}

impl Host for ServerHost {
    fn shut_down(&self, request: ShutdownRequest) {
        // Nobody listens any more when the server is ending already.
        let _ = self.shutdown.send(request);
    }

    fn settings_changed(&self) {
        let Some(shared) = self.node.lock().upgrade() else { return };
        let settings = shared.node.config.snapshot();
        self.level.set(settings.loglevel);
        if let Some(keyspace) = shared.node.keyspace() {
            keyspace.store().set_fsync(fsync(settings.appendfsync));
            keyspace.store().set_segment_size(segment_size(settings.segment_size));
            keyspace.store().set_compaction(compaction(&settings));
            keyspace.set_memory_limit(settings.maxmemory);
        }
        // Silent clients wait for what `timeout` was before.
        shared.node.clients.wake_all();
    }

    fn adopt(&self, after: &Settings, named: &[&str]) -> Result<(), SetError> {
        // Also where a path stays what it was: what stands there may be another certificate by now.
        let Some(name) = named.iter().find(|name| name.to_ascii_lowercase().starts_with("tls-")) else { return Ok(()) };
        let Some(shared) = self.node.lock().upgrade() else { return Ok(()) };
        shared.tls.load(after).map_err(|reason| {
            tracing::warn!("TLS stays as it was: {reason}");
            SetError::failed(name.to_ascii_lowercase(), "Unable to update TLS configuration. Check server logs.")
        })?;
        if after.tls_port != 0 {
            tracing::info!("TLS is set up anew: new connections use what the settings and files say now");
        }
        Ok(())
    }

    fn clients_up_to(&self, wanted: u32) -> u32 {
        clients_within(open_files_for(wanted), wanted)
    }
}

/// Runs a server until it is told to end.
///
/// # Errors
/// When it cannot start, or could not write everything at the end.
pub fn run(launch: Launch, level: Level) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let ended = runtime.block_on(serve(launch, level));
    // A server that is told to end while it loads does not load to the end first.
    runtime.shutdown_background();
    ended
}

async fn serve(launch: Launch, level: Level) -> Result<(), StartError> {
    let signals = Signals::install().map_err(|error| format!("cannot listen to signals: {error}"))?;
    let mut settings = launch.settings;
    let (version, pid) = (env!("CARGO_PKG_VERSION"), std::process::id());
    tracing::info!("Caskade {version} is starting as process {pid}, speaking the protocol of Redis 7.2");
    for note in &launch.notes {
        if note.is_warning() { tracing::warn!("{note}") } else { tracing::info!("{note}") }
    }
    // Messages then say where a relative path led.
    settings.dir = std::path::absolute(&settings.dir).unwrap_or(settings.dir);
    fit_clients(&mut settings);
    if !launch.gives_maxmemory {
        fit_memory(&mut settings);
    }
    refuse_foreign(&settings)?;
    let tls = Tls::default();
    tls.load(&settings).map_err(|reason| format!("TLS cannot be set up: {reason}"))?;
    let disk = OsDisk::open(&settings.dir).map_err(|error| error.to_string())?;
    let listeners = Listeners::open(&settings)?;
    let registry = Registry::new();
    let (shutdown, requests) = unbounded_channel();
    let host = Arc::new(ServerHost { shutdown, level, node: Mutex::default() });
    let config = Config::new(settings.clone(), launch.file).with_environment_secrets(launch.environment_secrets);
    let clock = Arc::new(SystemClock::new());
    let node = Node::new(config, clock.clone(), Box::new(Arc::clone(&host)), registry.catalogue());
    node.stats.memory.note_startup(allocator::allocated());
    node.load_users(&launch.users)?;
    let without_password = node.acl.default_account().user().is_without_password();
    refuse_open(&settings, &listeners, without_password)?;
    tell_addresses(&settings, &listeners, without_password);
    let shared = Arc::new(Shared { node, registry, tls, ahead: ahead::Room::default(), fetchers: Fetchers::default() });
    *host.node.lock() = Arc::downgrade(&shared);
    let threads = match settings.worker_threads {
        0 => std::thread::available_parallelism().map_or(1, |cores| (cores.get() - 1).max(1)),
        threads => threads,
    };
    let unix_path = listeners.unix.as_ref().map(|(_, path)| path.clone());
    let workers = Workers::start(&shared, threads, unix_path.clone());
    let workers = workers.map_err(|error| format!("cannot start {threads} worker threads: {error}"))?;
    write_pidfile(&settings);
    let loading = shared.clone();
    let loaded = tokio::task::spawn_blocking(move || load(&loading, disk, clock));
    let governor = Governor::start(&shared).map_err(|error| format!("cannot start the governor of memory: {error}"))?;
    let accepting = accept(&listeners, &workers);
    let ending = end_of(signals, requests, loaded);
    let ended = tokio::select! {
        ended = ending => ended,
        () = accepting => Ok(()),
        () = timers::run(shared.clone()) => Ok(()),
        () = observing::run(&listeners.metrics, &shared) => Ok(()),
    };
    drop((listeners, governor));
    for path in unix_path.iter().chain(&settings.pidfile) {
        // It may be gone already.
        let _ = fs::remove_file(path);
    }
    stop(&shared, workers).await?;
    ended
}

/// The signals the server hears. The kernel keeps signals without a handler from process 1, which the server is in a
/// container: so they are installed before anything else.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Heard and left without an answer: a server outlives the terminal it was started from.
    _hangup: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Waits for a reason to end: a signal, SHUTDOWN, or keys that cannot be loaded.
async fn end_of(
    mut signals: Signals,
    mut requests: UnboundedReceiver<ShutdownRequest>,
    loaded: tokio::task::JoinHandle<Result<(), String>>,
) -> Result<(), StartError> {
    let mut loaded = Some(loaded);
    loop {
        let loading = async {
            match &mut loaded {
                Some(loading) => loading.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = signals.terminate.recv() => {
                tracing::info!("told to end by SIGTERM");
                break;
            }
            _ = signals.interrupt.recv() => {
                tracing::info!("told to end by SIGINT; a second one ends at once");
                tokio::spawn(async move {
                    signals.interrupt.recv().await;
                    std::process::exit(1);
                });
                break;
            }
            Some(request) = requests.recv() => {
                tracing::info!("told to end by SHUTDOWN{}", if request.save { "" } else { " NOSAVE" });
                break;
            }
            result = loading => {
                loaded = None;
                result.map_err(|error| format!("loading failed: {error}"))??;
            }
        }
    }
    Ok(())
}

/// Tells connections of keys whose time was over, and of all changes where they cache keys.
struct Keys(Weak<Shared>);

impl Listener for Keys {
    fn expired(&self, database: u32, key: &[u8], position: store::Position) {
        if let Some(shared) = self.0.upgrade() {
            shared.node.notify(EventClass::EXPIRED, "expired", database, key, position);
        }
    }

    fn fields_expired(&self, database: u32, key: &[u8], emptied: bool, position: store::Position) {
        if let Some(shared) = self.0.upgrade() {
            shared.node.notify(EventClass::HASH, "hexpired", database, key, position);
            if emptied {
                shared.node.notify(EventClass::GENERIC, "del", database, key, position);
            }
        }
    }

    fn evicted(&self, database: u32, key: &[u8], position: store::Position) {
        if let Some(shared) = self.0.upgrade() {
            shared.node.notify(EventClass::EVICTED, "evicted", database, key, position);
        }
    }

    fn changed(&self, key: &[u8]) {
        if let Some(shared) = self.0.upgrade() {
            shared.node.invalidate(key, appended(&shared.node));
        }
    }

    fn rebound(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.node.invalidate_all(appended(&shared.node));
        }
    }
}

/// Where the log ends now: what has just changed stands before that.
fn appended(node: &Node) -> store::Position {
    node.keyspace().map_or(0, |keyspace| keyspace.store().appended())
}

fn load(shared: &Arc<Shared>, disk: OsDisk, clock: Arc<SystemClock>) -> Result<(), String> {
    let node = &shared.node;
    let settings = node.config.snapshot();
    let began = node.monotonic_nanoseconds();
    let options = store::Options {
        fsync: fsync(settings.appendfsync),
        segment_size: segment_size(settings.segment_size),
        ..store::Options::default()
    };
    let mut told = began;
    let mut progress = |done: u64, total: u64| {
        node.loading().note(done, total);
        let now = node.monotonic_nanoseconds();
        if now - told >= PROGRESS_INTERVAL {
            told = now;
            tracing::info!("loading: {} of {} MB read", done >> 20, total >> 20);
        }
    };
    let opened = Keyspace::open(Arc::new(disk), clock, options, settings.databases, &mut progress);
    let (keyspace, recovered) = opened.map_err(|error| error.in_directory(&settings.dir))?;
    keyspace.store().set_compaction(compaction(&settings));
    keyspace.start_threads().map_err(|error| format!("no threads for the log: {error}"))?;
    if let Some(lost) = torn_text(&recovered) {
        tracing::warn!("{lost}");
    }
    if recovered.damaged > 0 {
        tracing::error!(
            "{} records are damaged on the disk, reading their keys is an error: stop the server, and {}",
            recovered.damaged,
            store::remedy(&settings.dir)
        );
    }
    if recovered.without_hint > 1 {
        tracing::info!("{} segments had no sound hint and were read whole", recovered.without_hint);
    }
    keyspace.set_memory_limit(settings.maxmemory);
    keyspace.set_listener(Box::new(Keys(Arc::downgrade(shared))));
    let keys: usize = (0..keyspace.databases()).map(|database| keyspace.size(database).keys).sum();
    let seconds = (node.monotonic_nanoseconds() - began) as f64 / 1e9;
    tracing::info!("loaded {keys} keys from {} MB of log in {seconds:.3} seconds", recovered.bytes >> 20);
    node.set_keyspace(keyspace);
    tracing::info!("Ready to accept connections");
    Ok(())
}

/// In a container that may have only so much memory, half of it is the default: the other half is for what does not count, and
/// for the pages of files that the kernel keeps there.
fn fit_memory(settings: &mut Settings) {
    let Some(limit) = container::memory_limit() else { return };
    settings.set_maxmemory(limit / CONTAINER_SHARE);
    tracing::info!(
        "maxmemory is {} MB: half of the {} MB that this container may use",
        settings.maxmemory >> 20,
        limit >> 20
    );
}

async fn accept(listeners: &Listeners, workers: &Workers) {
    let mut all: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
    for listener in &listeners.tcp {
        all.push(Box::pin(accept_tcp(listener, workers, Accepted::Tcp)));
    }
    for listener in &listeners.tls {
        all.push(Box::pin(accept_tcp(listener, workers, Accepted::Tls)));
    }
    if let Some((listener, _)) = &listeners.unix {
        all.push(Box::pin(accept_unix(listener, workers)));
    }
    poll_fn(|context| {
        all.iter_mut().for_each(|one| _ = one.as_mut().poll(context));
        Poll::Pending
    })
    .await
}

async fn accept_tcp(listener: &TcpListener, workers: &Workers, kind: fn(TcpStream) -> Accepted) {
    loop {
        match listener.accept().await.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => workers.take(kind(stream)),
            Err(error) => pause(&error).await,
        }
    }
}

async fn accept_unix(listener: &UnixListener, workers: &Workers) {
    loop {
        match listener.accept().await.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => workers.take(Accepted::Unix(stream)),
            Err(error) => pause(&error).await,
        }
    }
}

/// Without descriptors, accepting would fail over and over.
async fn pause(error: &std::io::Error) {
    tracing::warn!("a connection could not be accepted: {error}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// Answers what is in flight, then writes and syncs the log. It waits without blocking this thread, so that a second
/// SIGINT is still heard.
async fn stop(shared: &Arc<Shared>, workers: Workers) -> Result<(), StartError> {
    // Every connection's task is woken, finishes the requests it is executing, and ends.
    shared.node.clients.kill_all();
    let finished = tokio::task::spawn_blocking(move || workers.finish());
    if tokio::time::timeout(DRAIN, finished).await.is_err() {
        tracing::warn!("some clients did not take their last replies in time");
    }
    let closing = shared.clone();
    let close = move || {
        let keyspace = closing.node.keyspace()?;
        let closed = keyspace.store().close();
        // What was acknowledged comes first: whoever loses patience with a server that ends costs it only this.
        warmth::remember_at_end(&closing.node, keyspace);
        Some(closed)
    };
    let closed = tokio::task::spawn_blocking(close);
    match closed.await.map_err(|error| format!("the log could not be closed: {error}"))? {
        Some(Err(error)) => Err(format!("the log could not be written at the end: {error}").into()),
        Some(Ok(())) => {
            tracing::info!("the log is written and synced; bye");
            // The process ends: to take millions of elements apart one by one would only keep whoever waits for that.
            std::mem::forget(shared.clone());
            Ok(())
        }
        None => Ok(()),
    }
}

/// A directory of Redis must not look like an empty one of ours.
fn refuse_foreign(settings: &Settings) -> Result<(), String> {
    if settings.ignore_foreign_data || settings.dir.join("MANIFEST").exists() {
        return Ok(());
    }
    for name in ["dump.rdb", "appendonlydir", "appendonly.aof"] {
        let path = settings.dir.join(name);
        if path.exists() {
            return Err(format!(
                "{} was written by Redis and is not read by this server: starting would look as if all data were lost. \
                 Choose another `dir`, or set `ignore-foreign-data yes` to start empty beside it",
                path.display()
            ));
        }
    }
    Ok(())
}

/// Lowers the number of clients to what the limit on open files allows.
fn fit_clients(settings: &mut Settings) {
    let asked = settings.maxclients;
    let files = open_files_for(asked);
    let clients = clients_within(files, asked);
    if clients < asked {
        tracing::warn!(
            "maxclients is {clients} instead of {asked}: the limit on open files is {files}; raise it with `ulimit -n {}`",
            u64::from(asked) + RESERVED_DESCRIPTORS
        );
        settings.lower_clients(clients);
    }
}

/// The limit on open files, raised for so many clients as far as the system lets a process do it.
fn open_files_for(clients: u32) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = u64::from(clients) + RESERVED_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    let raised = wanted.max(DESCRIPTORS).min(limit.maximum.unwrap_or(u64::MAX));
    let raise = || setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    if raised > current && raise().is_ok() { raised } else { current }
}

/// How many of so many clients can be served with so many open files: each needs one.
fn clients_within(files: u64, clients: u32) -> u32 {
    let room = files.saturating_sub(RESERVED_DESCRIPTORS).max(1);
    u32::try_from(room).unwrap_or(u32::MAX).min(clients)
}

const OPEN: &str =
    "no password is set and protected-mode is off: whoever reaches this port can read and change everything";

/// Nobody is open to the world by mistake. Certificates of clients are as good as a password.
fn refuse_open(settings: &Settings, listeners: &Listeners, without_password: bool) -> Result<(), String> {
    let asks_nothing = without_password && settings.protected_mode == ProtectedMode::No;
    if !asks_nothing || settings.allow_open_access {
        return Ok(());
    }
    let is_tls_open = settings.tls_auth_clients != TlsAuthClients::Yes;
    let open = listeners.tcp.iter().chain(listeners.tls.iter().filter(|_| is_tls_open));
    let mut addresses = open.filter_map(|listener| listener.local_addr().ok());
    match addresses.find(|address| !address.ip().is_loopback()) {
        None => Ok(()),
        Some(address) => Err(format!(
            "{OPEN}, on {address}: set `requirepass`, or `protected-mode auto` to accept private networks only; \
             `allow-open-access yes` starts all the same"
        )),
    }
}

fn tell_addresses(settings: &Settings, listeners: &Listeners, without_password: bool) {
    let mut addresses: Vec<IpAddr> = Vec::new();
    if let Some(address) = listeners.metrics.first().and_then(|listener| listener.local_addr().ok()) {
        tracing::info!("metrics and the status page are on port {}, such as http://{address}/", settings.metrics_port);
    }
    let ports = [(&listeners.tcp, settings.port, ""), (&listeners.tls, settings.tls_port, ", for TLS")];
    for (listeners, port, what) in ports.into_iter().filter(|(listeners, ..)| !listeners.is_empty()) {
        let found = listeners.iter().filter_map(|listener| listener.local_addr().ok()).map(|address| address.ip());
        let found: Vec<IpAddr> = found.collect();
        let texts: Vec<String> = found.iter().map(IpAddr::to_string).collect();
        tracing::info!("listening on {} port {port}{what}", texts.join(" "));
        addresses.extend(found);
    }
    if without_password && !addresses.iter().all(IpAddr::is_loopback) {
        match settings.protected_mode {
            ProtectedMode::Yes => {
                tracing::info!("no password is set: clients are accepted from this machine only (protected-mode yes)");
            }
            ProtectedMode::Auto => tracing::info!(
                "no password is set: clients are accepted from this machine and private networks only (protected-mode auto)"
            ),
            ProtectedMode::No => tracing::warn!("{OPEN}"),
        }
    }
    if let Some(path) = &settings.unixsocket {
        tracing::info!("listening on the Unix socket {}", path.display());
    }
    let dir = fs::canonicalize(&settings.dir).unwrap_or_else(|_| settings.dir.clone());
    tracing::info!("data directory {}", dir.display());
}

/// As with Redis, a pidfile that cannot be written is no reason not to serve.
fn write_pidfile(settings: &Settings) {
    let Some(path) = &settings.pidfile else { return };
    if let Err(error) = fs::write::<&Path, String>(path, format!("{}\n", std::process::id())) {
        tracing::warn!("cannot write the pidfile {}: {error}", path.display());
    }
}

fn fsync(setting: AppendFsync) -> store::Fsync {
    match setting {
        AppendFsync::Always => store::Fsync::Always,
        AppendFsync::Everysec => store::Fsync::Everysec,
        AppendFsync::No => store::Fsync::No,
    }
}

fn segment_size(setting: SegmentSize) -> store::SegmentSize {
    match setting {
        SegmentSize::Auto => store::SegmentSize::Auto,
        SegmentSize::Bytes(bytes) => store::SegmentSize::Fixed(bytes),
    }
}

fn compaction(settings: &Settings) -> store::Policy {
    store::Policy {
        interval: Duration::from_secs(u64::from(settings.compaction_interval)),
        window: settings.compaction_window.map(|hours| store::Window { from: hours.from, until: hours.until }),
        bytes_per_second: settings.compaction_rate_limit,
        space_amplification: settings.space_amplification.value(),
        garbage_bytes_min: settings.compaction_garbage_min,
        retention: Some(Duration::from_secs(u64::from(settings.retention))),
    }
}
