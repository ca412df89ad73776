//! The parameters that mean something here: each is declared once, and is at the same time a typed field of [`Settings`].
//!
//! A line is `"name" field: type, kind, default, flags;` below its description, which is also the help, the comment in
//! `config/caskade.conf` and the entry in `docs/configuration.md`. Flags: `live` (CONFIG SET may change it), `guarded` (never
//! through a client, in Redis's "protected" sense), `secret` (never logged).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::events::EventClasses;
use super::field::{
    AclPubsubDefault, AppendFsync, BindAddress, EnableDebug, Field, FileMode, Hours, LogFormat, LogLevel,
    MaxmemoryPolicy, OutputLimits, Percentiles, ProtectedMode, Ratio, SegmentSize, TlsAuthClients,
};
use super::kind::Kind;
use super::table::{Parameter, Section, find};

const SECONDS: Kind = Kind::Integer { min: 0, max: i32::MAX as i64 };
const COUNT: Kind = Kind::Integer { min: 0, max: i64::MAX };
const SIZE: Kind = Kind::Memory { min: 0, max: u64::MAX };
const AT_LEAST_1MB: Kind = Kind::Memory { min: 1 << 20, max: i64::MAX as u64 };

macro_rules! parameters {
    ($($section:ident { $($(#[doc = $doc:literal])+ $name:literal $field:ident: $type:ty, $kind:expr, $default:literal $(, $flag:ident)*;)+ })+) => {
        /// Every parameter as plain data: typed fields for those that mean something here, texts for all.
        #[derive(Clone, PartialEq, Eq)]
        pub struct Settings {
            $($($(#[doc = $doc])+ pub $field: $type,)+)+
            given: Given,
        }

        /// The rows of the fields of [`Settings`].
        pub(super) const USED: &[Parameter] = &[
            $($(Parameter::new(Section::$section, $name, $kind, $default, concat!($($doc,)+))$(.$flag())*,)+)+
        ];

        impl Settings {
            /// The settings in which the parameters of `given` have these canonical texts, and all others their defaults.
            pub(super) fn from_texts(given: Given) -> Option<Self> {
                $($(let $field = Field::read(text_in(&given, $name))?;)+)+
                Some(Self { $($($field,)+)+ given })
            }
        }
    };
}

parameters! {
    Network {
        /// The addresses to listen on.
        /// A leading `-` means that the server starts even if this address does not exist on the machine.
        /// `*` stands for every IPv4 address and `::*` for every IPv6 address.
        "bind" bind: Vec<BindAddress>, Kind::Words, "127.0.0.1 -::1";
        /// The TCP port to listen on, without TLS; 0 listens on none, which leaves `tls-port` and the Unix socket.
        "port" port: u16, Kind::Integer { min: 0, max: 65535 }, "6379";
        /// Refuses clients from other machines as long as no password is set, whatever `bind` says.
        /// `auto` refuses those with public addresses, and accepts private networks (10/8, 172.16/12, 192.168/16, 100.64/10,
        /// fc00::/7 and link-local addresses): the mode of the container image. A proxy hides where a client comes from.
        /// Turn it off only where a firewall already decides who may connect.
        "protected-mode" protected_mode: ProtectedMode, Kind::Choice(ProtectedMode::WORDS), "yes", live;
        /// Lets a server start that is open to everybody: without a password, with `protected-mode no`, and on addresses that
        /// other machines reach. Without it, such a start is refused.
        "allow-open-access" allow_open_access: bool, Kind::Flag, "no";
        /// How many connections the operating system may hold ready before the server accepts them.
        /// The kernel caps this number at its own `net.core.somaxconn`.
        "tcp-backlog" tcp_backlog: u32, SECONDS, "511";
        /// The path of a Unix socket to listen on, for clients on the same machine; empty for none.
        "unixsocket" unixsocket: Option<PathBuf>, Kind::Text, "";
        /// The permission bits of the Unix socket, in octal; they decide which local users may connect.
        /// 700 admits only the user the server runs as, 770 its group too.
        "unixsocketperm" unixsocketperm: FileMode, Kind::Mode, "700";
        /// After how many seconds an idle client is disconnected; 0 keeps idle clients for ever.
        "timeout" timeout: u64, SECONDS, "0", live;
        /// How many seconds a silent connection may last before the server probes whether the other side is still there; 0 never probes.
        "tcp-keepalive" tcp_keepalive: u32, SECONDS, "300", live;
    }
    Tls {
        /// The TCP port that speaks TLS, on the same addresses as `port`; 0 listens on none. With `port 0` beside it, the server
        /// speaks TLS alone. It needs `tls-cert-file`, `tls-key-file`, and where clients show certificates a CA.
        "tls-port" tls_port: u16, Kind::Integer { min: 0, max: 65535 }, "0";
        /// The certificate of the server, in PEM, followed by those of intermediate CAs. CONFIG SET to a path, also to the one that is
        /// set, reads the files of TLS anew: new connections see the new certificate, and those that are there go on. What cannot
        /// be used is refused, and the certificates in use stay.
        "tls-cert-file" tls_cert_file: Option<PathBuf>, Kind::Text, "", live;
        /// The private key of the certificate, in PEM: PKCS#8 (encrypted or not), PKCS#1 or SEC1.
        "tls-key-file" tls_key_file: Option<PathBuf>, Kind::Text, "", live;
        /// The passphrase of an encrypted `tls-key-file`; the file has to be in PKCS#8.
        "tls-key-file-pass" tls_key_file_pass: Option<String>, Kind::Text, "", live, secret;
        /// The certificate that `caskade healthcheck` shows to a server that wants one; without it, `tls-cert-file`.
        "tls-client-cert-file" tls_client_cert_file: Option<PathBuf>, Kind::Text, "", live;
        /// The private key of `tls-client-cert-file`.
        "tls-client-key-file" tls_client_key_file: Option<PathBuf>, Kind::Text, "", live;
        /// The passphrase of an encrypted `tls-client-key-file`.
        "tls-client-key-file-pass" tls_client_key_file_pass: Option<String>, Kind::Text, "", live, secret;
        /// The CAs whose certificates clients may show, in PEM.
        "tls-ca-cert-file" tls_ca_cert_file: Option<PathBuf>, Kind::Text, "", live;
        /// A directory of such files, beside or instead of `tls-ca-cert-file`. Names do not matter, and what holds no certificate is
        /// passed over.
        "tls-ca-cert-dir" tls_ca_cert_dir: Option<PathBuf>, Kind::Text, "", live;
        /// Whether clients have to show a certificate of such a CA. With `optional` they may go without, and one that is shown has to
        /// be right all the same; `no` asks for none.
        "tls-auth-clients" tls_auth_clients: TlsAuthClients, Kind::Choice(TlsAuthClients::WORDS), "yes", live;
        /// The versions that are spoken, out of `TLSv1.2` and `TLSv1.3`, in quotes where there are two; empty for both. Older ones may
        /// be named, and are not spoken.
        "tls-protocols" tls_protocols: Option<String>, Kind::Text, "", live;
        /// The ciphers of TLS 1.2, as OpenSSL writes a list of them: `ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384`, or
        /// `HIGH:!CHACHA20`. Names of what this server does not speak are passed over. Empty for all that are spoken.
        "tls-ciphers" tls_ciphers: Option<String>, Kind::Text, "", live;
        /// The ciphers of TLS 1.3: `TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256`. Empty for all three.
        "tls-ciphersuites" tls_ciphersuites: Option<String>, Kind::Text, "", live;
        /// Takes the first cipher of the server's list that the client speaks, rather than the first of the client's.
        "tls-prefer-server-ciphers" tls_prefer_server_ciphers: bool, Kind::Flag, "no", live;
        /// Lets clients that come back resume their session, which is cheaper than a new one.
        "tls-session-caching" tls_session_caching: bool, Kind::Flag, "yes", live;
        /// How many sessions are remembered; 0 sets no limit.
        "tls-session-cache-size" tls_session_cache_size: usize, SECONDS, "20480", live;
        /// For how many seconds a session is remembered.
        "tls-session-cache-timeout" tls_session_cache_timeout: u32, SECONDS, "300", live;
    }
    Clients {
        /// How many clients may be connected at the same time; further ones are told so and disconnected.
        /// The limit on open files of the operating system can lower this number; a change beyond it is refused.
        "maxclients" maxclients: u32, Kind::Integer { min: 1, max: u32::MAX as i64 }, "10000", live;
        /// The largest single value or argument that a client may send, in bytes.
        "proto-max-bulk-len" proto_max_bulk_len: u64, AT_LEAST_1MB, "512mb", live;
        /// How many bytes one client may send ahead without completing a request; a client that goes beyond is disconnected.
        "client-query-buffer-limit" client_query_buffer_limit: u64, AT_LEAST_1MB, "1gb", live;
        /// How much output may wait for a client that does not read it, by class of client: `normal`, `replica` and `pubsub`.
        /// A class has three numbers: bytes at which the client is disconnected at once, bytes at which it is disconnected
        /// when it stays above them, and for how many seconds it may do so. 0 means no limit.
        "client-output-buffer-limit" client_output_buffer_limit: OutputLimits, Kind::OutputLimits,
            "normal 1073741824 268435456 60 slave 268435456 67108864 60 pubsub 33554432 8388608 60", live;
        /// Of how many keys is remembered which clients cache them (CLIENT TRACKING); 0 sets no limit. Above it, clients
        /// are told to forget some.
        "tracking-table-max-keys" tracking_table_max_keys: u64, Kind::Integer { min: 0, max: i64::MAX }, "1000000", live;
        /// Which changes of keys are published, by letters: `K` on channels `__keyspace@<db>__:<key>`, `E` on channels
        /// `__keyevent@<db>__:<event>`; of the kinds `g` (commands of no type, such as DEL and EXPIRE), `$` (strings),
        /// `x` (keys whose time is over), `m` (keys that were looked for and are not there), `n` (new keys), and `A` for all
        /// but the last two. Empty for none.
        "notify-keyspace-events" notify_keyspace_events: EventClasses, Kind::KeyspaceEvents, "", live;
    }
    Security {
        /// The password clients must give with AUTH before anything else; empty for none.
        /// Set it in a file or in the environment, since other users of the machine can read command lines.
        /// It is the password of the user `default`, whom everybody is who does not name another one.
        "requirepass" requirepass: Option<String>, Kind::Text, "", live, secret;
        /// Who may use DEBUG, which is for tests: nobody, everybody, or with `local` clients of this machine.
        "enable-debug-command" enable_debug_command: EnableDebug, Kind::Choice(EnableDebug::WORDS), "no";
        /// The file that holds the users, one on a line, such as `user alice on >password ~cached:* +@read`; empty for none.
        /// ACL LOAD follows it anew and ends the connections of all users but `default`; ACL SAVE writes it. Without it, users
        /// stand in this configuration as lines that begin with `user`. A user who is on no line of the file does not exist.
        "aclfile" aclfile: Option<PathBuf>, Kind::Text, "";
        /// Which channels the rules of a user begin with: all of them, or none.
        "acl-pubsub-default" acl_pubsub_default: AclPubsubDefault, Kind::Choice(AclPubsubDefault::WORDS), "resetchannels", live;
        /// How many entries ACL LOG keeps of what was refused to users.
        "acllog-max-len" acllog_max_len: u64, COUNT, "128", live;
    }
    Data {
        /// The directory that holds the data. It is created when it does not exist, and one server at a time may use it.
        "dir" dir: PathBuf, Kind::Text, "./data", guarded;
        /// When a write reaches the disk itself rather than the operating system.
        /// `always` waits for the disk before it answers, so that not even a power cut loses an acknowledged write;
        /// `everysec` may lose about the last second in a power cut, and nothing when only the server dies;
        /// `no` leaves the moment to the operating system, usually within half a minute.
        "appendfsync" appendfsync: AppendFsync, Kind::Choice(AppendFsync::WORDS), "everysec", live;
        /// At how many bytes a file of the log is closed and the next one begun.
        /// `auto` follows the amount of data and stays between 16mb and 256mb.
        "segment-size" segment_size: SegmentSize, Kind::MemoryOrAuto { min: 64 << 10, max: 1 << 30 }, "auto", live;
        /// How much more than what is alive the data may take on the disk, before compaction wins some of it back: with 1.5,
        /// 100 GB of live data take up to 150 GB. Less costs more writing. Hints count as well; where records are so short that
        /// their hints alone take much of that, live data and their hints may take 1.25 times themselves. Segments in use come
        /// on top, two or three.
        "space-amplification" space_amplification: Ratio, Kind::Ratio { min: 1100, max: 100_000 }, "1.5", live;
        /// How many seconds pass between two looks at whether anything has to be compacted; 0 looks whenever a file of the log
        /// is full.
        "compaction-interval" compaction_interval: u32, Kind::Integer { min: 0, max: 86_400 }, "1", live;
        /// The hours of the day, in UTC, in which the schedule may compact, such as `1-5`; empty for all of them.
        /// What is asked for by command, and what is needed because the disk is nearly full, does not wait for them.
        "compaction-window" compaction_window: Option<Hours>, Kind::Hours, "", live;
        /// For how many seconds what compaction takes away is kept, so that `caskade restore --at` can bring back any moment
        /// since; 0 keeps nothing. A disk that gets full has it removed earlier.
        "retention" retention: u32, Kind::Integer { min: 0, max: 31_536_000 }, "0", live;
        /// How many bytes compaction may read and write in a second; 0 sets no limit.
        "compaction-rate-limit" compaction_rate_limit: u64, SIZE, "0", live;
        /// Fewer dead bytes than this are left alone, however little is alive.
        "compaction-garbage-min" compaction_garbage_min: u64, SIZE, "64mb", live;
        /// Remembers over a restart which values were in memory, and reads them back in the background, as far as `maxmemory`
        /// leaves room: where that is not enough for all, those that were used most. The file `hot` in the data directory says which, at three or four bytes each; it
        /// is a cache, which may be deleted.
        "warm-restart" warm_restart: bool, Kind::Flag, "yes", live;
        /// After how many seconds that file is written anew, if there was anything to do meanwhile, so that a server that is
        /// killed has a useful one; it is written at every stop besides. One that takes long is written less often, so that no
        /// more than a fiftieth of a processor goes into it.
        "warm-restart-interval" warm_restart_interval: u32, Kind::Integer { min: 1, max: 86_400 }, "60", live;
        /// How many numbered databases there are for SELECT, beginning at 0.
        "databases" databases: u32, Kind::Integer { min: 1, max: 65536 }, "16";
        /// Starts although the data directory holds files of Redis (`dump.rdb`, `appendonlydir`), which are not read.
        /// Without it the server refuses, rather than look as if the data were lost.
        "ignore-foreign-data" ignore_foreign_data: bool, Kind::Flag, "no";
    }
    Memory {
        /// How many bytes of memory the server may take, for keys, cached values, clients and all else; 0 sets no limit.
        /// Near it, values are dropped from memory first (they stay on disk); `maxmemory-policy` decides what happens after that.
        /// In a container with a memory limit, half of that is the default.
        "maxmemory" maxmemory: u64, SIZE, "0", live;
        /// What happens when the keys alone, without their values, do not fit into memory. `noeviction` refuses writes that need
        /// more; the others delete keys: `allkeys-` chooses among all, `volatile-` among those that have an expiry; `lru` takes
        /// what was not used for long, `lfu` what is rarely used, `random` any, `ttl` what expires soonest.
        "maxmemory-policy" maxmemory_policy: MaxmemoryPolicy, Kind::Choice(MaxmemoryPolicy::WORDS), "noeviction", live;
        /// How many keys Redis compares to find one to evict. This server compares none: a hand goes round over all keys.
        "maxmemory-samples" maxmemory_samples: u32, Kind::Integer { min: 1, max: i32::MAX as i64 }, "5", live;
    }
    Running {
        /// How many threads serve clients; 0 takes one for each core the process may use but the last, which is left to
        /// the log, to the kernel's network and to the neighbours.
        "worker-threads" worker_threads: usize, Kind::Integer { min: 0, max: 1024 }, "0";
        /// A file into which the server writes its process id while it runs; empty for none.
        "pidfile" pidfile: Option<PathBuf>, Kind::Text, "";
        /// Starts although a configuration file holds names that nobody knows; they are named in the log instead.
        "ignore-unknown-config" ignore_unknown_config: bool, Kind::Flag, "no";
    }
    Logging {
        /// The least important lines that are still logged, from `debug` over `verbose`, `notice` and `warning` to `nothing`.
        "loglevel" loglevel: LogLevel, Kind::Choice(LogLevel::WORDS), "notice", live;
        /// The file the log is appended to; empty for the standard output.
        "logfile" logfile: Option<PathBuf>, Kind::Text, "";
        /// The form of a log line: `text` for people, `json` for programs that collect logs.
        "log-format" log_format: LogFormat, Kind::Choice(LogFormat::WORDS), "text";
    }
    Observing {
        /// The TCP port that speaks HTTP to those who watch; 0 listens on none. `/metrics` is for Prometheus and has redis_exporter's
        /// names beside the server's own, `/healthz` answers while the server lives and `/readyz` once it is loaded and takes
        /// writes, and `/` is a page that draws what happens. It asks for no password, whatever `requirepass` and `protected-mode`
        /// say: it tells what INFO tells, names no key and no client, and changes nothing.
        "metrics-port" metrics_port: u16, Kind::Integer { min: 0, max: 65535 }, "0";
        /// The addresses of `metrics-port`, written as those of `bind`; empty for the same addresses as `bind`.
        "metrics-bind" metrics_bind: Vec<BindAddress>, Kind::Words, "";
        /// From how many microseconds on a command is kept for SLOWLOG GET; 0 keeps every command, -1 none.
        /// The time includes fetching values that are only on the disk, but not waiting until the log has room or is synced.
        "slowlog-log-slower-than" slowlog_log_slower_than: i64, Kind::Integer { min: -1, max: i64::MAX }, "10000", live;
        /// How many slow commands are kept.
        "slowlog-max-len" slowlog_max_len: usize, Kind::Integer { min: 0, max: i64::MAX }, "128", live;
        /// From how many milliseconds on commands, writes and syncs of the log, reads of the disk and expiry are kept for
        /// LATENCY; 0 keeps none.
        "latency-monitor-threshold" latency_monitor_threshold: u64, Kind::Integer { min: 0, max: i64::MAX }, "0", live;
        /// Counts how long each command takes, for LATENCY HISTOGRAM and INFO latencystats.
        "latency-tracking" latency_tracking: bool, Kind::Flag, "yes", live;
        /// The percentiles that INFO latencystats tells for each command, from 0 to 100; empty for none.
        "latency-tracking-info-percentiles" latency_tracking_info_percentiles: Percentiles, Kind::Percentiles, "50 99 99.9", live;
    }
}

/// Lines that are no parameters.
pub(super) const LINES: &[Parameter] = &[Parameter::new(
    Section::Security,
    "user",
    Kind::Words,
    "",
    "A user with its rules: `user alice on >password ~cached:* +@read`. The rules are those of ACL SETUSER; with `#` and the \
     SHA-256 digest of a password in place of `>` and the password, nobody can read it here. Each user stands on one line; \
     what `user default` says is also true of whoever does not log in. CONFIG REWRITE writes the users that there are.",
)
.line()];

/// The canonical texts of the parameters that were given a value, by the primary name.
pub(super) type Given = BTreeMap<&'static str, String>;

impl Settings {
    /// The canonical text of a parameter, as CONFIG GET answers it; none for a name nobody knows.
    pub fn text(&self, name: &str) -> Option<&str> {
        find(name).map(|row| self.text_of(row))
    }

    pub(super) fn text_of(&self, row: &'static Parameter) -> &str {
        self.given.get(row.name).map_or(row.default_text(), String::as_str)
    }

    pub(super) fn was_given(&self, row: &Parameter) -> bool {
        self.given.contains_key(row.name)
    }

    /// Lowers the number of clients to what the process can serve; from now on that is what was set, as in Redis.
    pub fn lower_clients(&mut self, clients: u32) {
        self.maxclients = clients;
        self.given.insert("maxclients", clients.to_string());
    }

    /// Sets the memory limit to what the container leaves for it; from now on that is what was set.
    pub fn set_maxmemory(&mut self, bytes: u64) {
        self.maxmemory = bytes;
        self.given.insert("maxmemory", bytes.to_string());
    }

    pub(super) fn given(&self) -> &Given {
        &self.given
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::from_texts(Given::new()).expect("every default reads as its type, which a test holds")
    }
}

/// Shows what was given, without secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.given.iter().map(|(name, text)| {
            let secret = find(name).is_some_and(|row| row.secret) && !text.is_empty();
            (name, if secret { "(redacted)" } else { text.as_str() })
        });
        f.debug_map().entries(shown).finish()
    }
}

fn text_in<'a>(given: &'a Given, name: &'static str) -> &'a str {
    match given.get(name) {
        Some(text) => text,
        None => find(name).map_or("", Parameter::default_text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::field::OutputLimit;

    #[test]
    fn defaults() {
        let settings = Settings::default();
        assert_eq!(settings.port, 6379);
        assert_eq!(settings.dir, PathBuf::from("./data"));
        assert_eq!(settings.proto_max_bulk_len, 512 << 20);
        assert_eq!(settings.unixsocketperm, FileMode(0o700));
        assert_eq!(settings.appendfsync, AppendFsync::Everysec);
        assert_eq!(settings.segment_size, SegmentSize::Auto);
        assert_eq!(settings.requirepass, None);
        let normal = OutputLimit { hard: 1 << 30, soft: 256 << 20, soft_seconds: 60 };
        assert_eq!(settings.client_output_buffer_limit.normal, normal);
        assert_eq!(settings.text("SLAVE-read-only"), Some("yes"));
        assert_eq!(settings.text("nosuch"), None);
    }

    #[test]
    fn secrets_are_not_shown() {
        let given = Given::from([("requirepass", "hunter2".to_owned()), ("port", "7000".to_owned())]);
        let shown = format!("{:?}", Settings::from_texts(given).unwrap());
        assert!(!shown.contains("hunter2") && shown.contains("7000"), "{shown}");
    }
}
