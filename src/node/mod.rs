//! What all connections of one server share, and one connection's state. No sockets, no tasks: the server above
//! brings bytes in and out.

pub mod acl;
mod clients;
mod monitors;
pub mod notify;
mod outbox;
mod pause;
mod pubsub;
mod session;
mod tracking;
mod users;
mod waiting;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

pub use clients::{Client, ClientKind, Clients, Peer, Told};
pub use monitors::Monitors;
pub use outbox::Post;
pub use pause::{Pause, PauseMode};
pub use pubsub::{PubSub, Space};
pub use session::{Queued, ReplyMode, Session, Tracks, Transaction};
pub use tracking::{Tracked, Tracking, TrackingCounts};
pub use users::UsersFileError;
pub use waiting::{Block, Locked, Parked, State, Waiter, Waiting, WaitingCounts};

use acl::{Acl, Catalogue};

use crate::config::{AppendFsync, Config, SetError, Settings};
use crate::keyspace::Keyspace;
use crate::stats::{Event, Stats};
use crate::store::clock::Clock;

/// How the server is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownRequest {
    /// Write and sync the log first (SHUTDOWN SAVE and the default; SHUTDOWN NOSAVE only hands it to the kernel,
    /// which is done already).
    pub save: bool,
    /// Do not wait for clients' replies.
    pub now: bool,
}

/// What the floors below the server ask of it.
pub trait Host: Send + Sync {
    /// Ends the server.
    fn shut_down(&self, request: ShutdownRequest);
    /// Makes changed settings take effect where they are more than a value to look up (log level, listeners).
    fn settings_changed(&self);
    /// Does what follows from changed settings and may fail, in which case nothing has changed. `named` are the parameters
    /// as the client wrote them.
    fn adopt(&self, after: &Settings, named: &[&str]) -> Result<(), SetError> {
        let _ = (after, named);
        Ok(())
    }
    /// How many clients the system lets the process serve, if so many are wanted.
    fn clients_up_to(&self, wanted: u32) -> u32 {
        wanted
    }
}

impl<H: Host> Host for Arc<H> {
    fn shut_down(&self, request: ShutdownRequest) {
        (**self).shut_down(request);
    }

    fn settings_changed(&self) {
        (**self).settings_changed();
    }

    fn adopt(&self, after: &Settings, named: &[&str]) -> Result<(), SetError> {
        (**self).adopt(after, named)
    }

    fn clients_up_to(&self, wanted: u32) -> u32 {
        (**self).clients_up_to(wanted)
    }
}

/// What all connections share.
pub struct Node {
    /// The settings.
    pub config: Config,
    /// The counters.
    pub stats: Stats,
    /// The connections.
    pub clients: Clients,
    /// Who listens to which channel.
    pub pubsub: PubSub,
    /// Who caches which keys.
    pub tracking: Tracking,
    /// Who waits for what.
    pub waiting: Waiting,
    /// What is held back.
    pub pause: Pause,
    /// Who is shown what others do.
    pub monitors: Monitors,
    /// The users.
    pub acl: Acl,
    /// The server around this node.
    pub host: Box<dyn Host>,
    /// 40 hexadecimal digits, new at every start.
    pub run_id: String,
    clock: Arc<dyn Clock>,
    started: u64,
    keyspace: OnceLock<Keyspace>,
    loading: Loading,
    last_save: AtomicU64,
    changes_at_last_save: AtomicU64,
    loaded_keys: AtomicU64,
    expires_keys: AtomicBool,
}

/// How far loading is.
#[derive(Debug, Default)]
pub struct Loading {
    done: AtomicU64,
    total: AtomicU64,
}

impl Loading {
    /// Notes progress, in bytes.
    pub fn note(&self, done: u64, total: u64) {
        self.done.store(done, Relaxed);
        self.total.store(total, Relaxed);
    }

    /// Bytes done and in all.
    pub fn progress(&self) -> (u64, u64) {
        (self.done.load(Relaxed), self.total.load(Relaxed))
    }
}

impl Node {
    /// A node whose keys are still to be loaded. `commands` is what the command tables say.
    pub fn new(config: Config, clock: Arc<dyn Clock>, host: Box<dyn Host>, commands: Catalogue) -> Self {
        let mut id = [0; 20];
        // Without a source of randomness the id is only less unique.
        let _ = getrandom::fill(&mut id);
        let acl = Acl::new(commands);
        acl.set_default_password(config.get().requirepass.as_deref());
        let node = Self {
            stats: Stats::new(acl.catalogue().entries().len()),
            clients: Clients::default(),
            pubsub: PubSub::default(),
            tracking: Tracking::default(),
            waiting: Waiting::default(),
            pause: Pause::default(),
            monitors: Monitors::default(),
            acl,
            run_id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
            started: clock.wall(),
            last_save: AtomicU64::new(clock.wall() / 1000),
            changes_at_last_save: AtomicU64::new(0),
            loaded_keys: AtomicU64::new(0),
            keyspace: OnceLock::new(),
            loading: Loading::default(),
            config,
            expires_keys: AtomicBool::new(true),
            clock,
            host,
        };
        node.watch_as_set();
        node
    }

    /// Makes changed settings take effect where they are more than a value to look up.
    pub fn settings_changed(&self) {
        self.watch_as_set();
        self.host.settings_changed();
    }

    /// From which duration on a command is looked at closely, as the settings want it.
    fn watch_as_set(&self) {
        let settings = self.config.get();
        let slowlog = u64::try_from(settings.slowlog_log_slower_than).ok().filter(|_| settings.slowlog_max_len > 0);
        let latency = Some(settings.latency_monitor_threshold).filter(|threshold| *threshold > 0);
        let slowlog = slowlog.map_or(u64::MAX, |microseconds| microseconds.saturating_mul(1000));
        let latency = latency.map_or(u64::MAX, |milliseconds| milliseconds.saturating_mul(1_000_000));
        self.stats.watching.set(slowlog.min(latency), settings.latency_tracking);
        self.stats.latency.set_threshold(settings.latency_monitor_threshold);
    }

    /// Takes a sample of what is told per second, and of how long the log's slowest write and sync since the last one
    /// took.
    pub fn sample(&self) {
        self.stats.sample(self.monotonic_nanoseconds() / 1_000_000);
        let Some(keyspace) = self.keyspace() else { return };
        let slowest = keyspace.store().take_slowest();
        let waits = self.config.get().appendfsync == AppendFsync::Always;
        let sync = if waits { Event::LogSyncAlways } else { Event::LogSync };
        for (event, duration) in [(Event::LogWrite, slowest.write), (sync, slowest.sync)] {
            self.note_event(event, duration.as_nanos() as u64);
        }
    }

    /// Keeps what took so many nanoseconds and ended now, if that is long enough for LATENCY.
    pub fn note_event(&self, event: Event, nanoseconds: u64) {
        if self.stats.latency.is_slow(nanoseconds) {
            self.stats.latency.note(event, nanoseconds, self.wall_now() / 1000);
        }
    }

    /// Whether keys whose time is over are removed by themselves; nobody ever sees them. While clients are held back,
    /// nothing changes.
    pub fn expires_keys(&self) -> bool {
        self.expires_keys.load(Relaxed) && self.pause.current(|| self.now()).is_none()
    }

    /// Has them removed by themselves or not: for tests.
    pub fn set_expires_keys(&self, on: bool) {
        self.expires_keys.store(on, Relaxed);
    }

    /// The keys, once they are loaded.
    #[inline]
    pub fn keyspace(&self) -> Option<&Keyspace> {
        self.keyspace.get()
    }

    /// Hands over the loaded keys.
    pub fn set_keyspace(&self, keyspace: Keyspace) {
        let keys: usize = (0..keyspace.databases()).map(|database| keyspace.size(database).keys).sum();
        self.loaded_keys.store(keys as u64, Relaxed);
        // A node is loaded once; a second keyspace would be a bug of the caller, and is dropped.
        let _ = self.keyspace.set(keyspace);
    }

    /// How many keys the start has loaded.
    pub fn loaded_keys(&self) -> u64 {
        self.loaded_keys.load(Relaxed)
    }

    /// How far loading is.
    pub fn loading(&self) -> &Loading {
        &self.loading
    }

    /// Milliseconds since the Unix epoch; once keys are loaded, never going back.
    pub fn now(&self) -> u64 {
        self.keyspace().map_or_else(|| self.wall_now(), Keyspace::now)
    }

    /// The machine's own time in milliseconds since the Unix epoch.
    pub fn wall_now(&self) -> u64 {
        self.clock.wall()
    }

    /// The machine's own time in microseconds since the Unix epoch.
    pub fn wall_microseconds(&self) -> u64 {
        self.clock.wall_microseconds()
    }

    /// Nanoseconds of a clock that never steps back.
    #[inline]
    pub fn monotonic_nanoseconds(&self) -> u64 {
        let elapsed = self.clock.monotonic();
        elapsed.as_secs() * 1_000_000_000 + u64::from(elapsed.subsec_nanos())
    }

    /// When the server started, in milliseconds since the Unix epoch.
    pub fn started(&self) -> u64 {
        self.started
    }

    /// When the log was last synced by SAVE or BGSAVE, in seconds since the Unix epoch.
    pub fn last_save(&self) -> u64 {
        self.last_save.load(Relaxed)
    }

    /// How many changes there had been when the log was last synced by SAVE or BGSAVE.
    pub fn changes_at_last_save(&self) -> u64 {
        self.changes_at_last_save.load(Relaxed)
    }

    /// Notes that the log was synced.
    pub fn saved(&self) {
        self.last_save.store(self.wall_now() / 1000, Relaxed);
        self.changes_at_last_save.store(self.stats.changes.get(), Relaxed);
        self.stats.saves.add(1);
    }
}
