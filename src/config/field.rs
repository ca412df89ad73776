//! How the canonical text of a parameter becomes the typed field that the server reads.
//!
//! Reading never fails on a text that [`Kind`](super::Kind) let through; a test holds this for every default.

use std::path::PathBuf;

/// A type that a field of [`Settings`](super::Settings) may have.
pub(super) trait Field: Sized {
    fn read(text: &str) -> Option<Self>;
}

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl Field for $type {
            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )+};
}
numbers!(u16, u32, u64, usize, i64);

impl Field for bool {
    fn read(text: &str) -> Option<Self> {
        Some(text == "yes")
    }
}

impl Field for PathBuf {
    fn read(text: &str) -> Option<Self> {
        Some(text.into())
    }
}

/// An empty text is none.
impl Field for Option<PathBuf> {
    fn read(text: &str) -> Option<Self> {
        Some((!text.is_empty()).then(|| text.into()))
    }
}

/// An empty text is none.
impl Field for Option<String> {
    fn read(text: &str) -> Option<Self> {
        Some((!text.is_empty()).then(|| text.to_owned()))
    }
}

/// A decimal number, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(pub u32);

impl Ratio {
    /// The number itself.
    pub fn value(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl Field for Ratio {
    fn read(text: &str) -> Option<Self> {
        super::kind::ratio(text).map(Self)
    }
}

/// Some hours of each day: the first, and the one behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// 0 to 23.
    pub from: u8,
    /// 0 to 24.
    pub until: u8,
}

/// An empty text is none.
impl Field for Option<Hours> {
    fn read(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(None);
        }
        super::kind::hours(text).map(|(from, until)| Some(Hours { from, until }))
    }
}

/// Declares an enum whose variants are words of the configuration.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// The words of the configuration, in the order Redis lists them.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word of the configuration for this choice.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl Field for $name {
            fn read(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

choice! {
    /// Which channels the rules of a user begin with.
    AclPubsubDefault {
        Allchannels = "allchannels",
        Resetchannels = "resetchannels",
    }
}

choice! {
    /// When the log is synced to the disk.
    AppendFsync {
        /// Once a second, in the background.
        Everysec = "everysec",
        /// Before a write is acknowledged.
        Always = "always",
        /// Whenever the operating system likes.
        No = "no",
    }
}

choice! {
    /// What happens to keys when memory runs out.
    MaxmemoryPolicy {
        VolatileLru = "volatile-lru",
        VolatileLfu = "volatile-lfu",
        VolatileRandom = "volatile-random",
        VolatileTtl = "volatile-ttl",
        AllkeysLru = "allkeys-lru",
        AllkeysLfu = "allkeys-lfu",
        AllkeysRandom = "allkeys-random",
        Noeviction = "noeviction",
    }
}

choice! {
    /// From where clients are accepted while there is no password.
    ProtectedMode {
        /// From this machine.
        Yes = "yes",
        /// From anywhere.
        No = "no",
        /// From this machine and from private networks.
        Auto = "auto",
    }
}

choice! {
    /// Whether clients show certificates.
    TlsAuthClients {
        No = "no",
        Yes = "yes",
        Optional = "optional",
    }
}

choice! {
    /// The least important line that is still logged.
    LogLevel {
        Debug = "debug",
        Verbose = "verbose",
        Notice = "notice",
        Warning = "warning",
        Nothing = "nothing",
    }
}

choice! {
    /// The form of a log line.
    LogFormat {
        Text = "text",
        Json = "json",
    }
}

choice! {
    /// Who may use DEBUG.
    EnableDebug {
        No = "no",
        Yes = "yes",
        Local = "local",
    }
}

/// Percentiles with the texts they were given as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Percentiles(Vec<String>);

impl Percentiles {
    /// Each with its text.
    pub fn each(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().filter_map(|text| Some((text.as_str(), text.parse().ok()?)))
    }
}

impl Field for Percentiles {
    fn read(text: &str) -> Option<Self> {
        Some(Self(text.split_ascii_whitespace().map(str::to_owned).collect()))
    }
}

/// The size at which a segment of the log is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentSize {
    /// Follows the amount of live data.
    Auto,
    Bytes(u64),
}

impl Field for SegmentSize {
    fn read(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            bytes => bytes.parse().ok().map(Self::Bytes),
        }
    }
}

/// Permission bits of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl Field for FileMode {
    fn read(text: &str) -> Option<Self> {
        u32::from_str_radix(text, 8).ok().map(Self)
    }
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindAddress {
    /// A numeric address or a host name; the wildcards `*` and `::*` have become `0.0.0.0` and `::`.
    pub host: String,
    /// Whether the server starts although this address is not available here (written with a leading `-`).
    pub optional: bool,
}

impl Field for Vec<BindAddress> {
    fn read(text: &str) -> Option<Self> {
        let address = |word: &str| {
            let host = word.strip_prefix('-').unwrap_or(word);
            let host = match host {
                "*" => "0.0.0.0",
                "::*" => "::",
                host => host,
            };
            BindAddress { host: host.to_owned(), optional: word.starts_with('-') }
        };
        Some(text.split_ascii_whitespace().map(address).collect())
    }
}

/// How much output may wait for a client; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes at which the client is cut off at once.
    pub hard: u64,
    /// Bytes at which the client is cut off after `soft_seconds` without a break.
    pub soft: u64,
    pub soft_seconds: u64,
}

/// The limits of each class of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    pub normal: OutputLimit,
    pub replica: OutputLimit,
    pub pubsub: OutputLimit,
}

impl Field for OutputLimits {
    fn read(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let limit = |class: &str| {
            let group = words.chunks_exact(4).find(|group| group[0] == class)?;
            Some(OutputLimit {
                hard: group[1].parse().ok()?,
                soft: group[2].parse().ok()?,
                soft_seconds: group[3].parse().ok()?,
            })
        };
        Some(Self { normal: limit("normal")?, replica: limit("slave")?, pubsub: limit("pubsub")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bind_addresses() {
        let read = |text| Vec::<BindAddress>::read(text).unwrap();
        let address = |host: &str, optional| BindAddress { host: host.into(), optional };
        assert_eq!(read("127.0.0.1 -::1"), [address("127.0.0.1", false), address("::1", true)]);
        assert_eq!(read("* -::*"), [address("0.0.0.0", false), address("::", true)]);
        assert_eq!(read(""), []);
    }

    #[test]
    fn choices_read_their_own_words() {
        for word in MaxmemoryPolicy::WORDS {
            assert_eq!(MaxmemoryPolicy::read(word).unwrap().word(), *word);
        }
        assert_eq!(AppendFsync::read("sometimes"), None);
    }
}
