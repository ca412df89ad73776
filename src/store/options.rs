//! What whoever opens a store may choose.

use std::time::Duration;

/// When a write counts as acknowledged, and who makes it durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Acknowledged once it is durable.
    Always = 0,
    /// Acknowledged once the kernel has it; made durable every second.
    Everysec = 1,
    /// Acknowledged once the kernel has it; made durable when a segment is full and when the store is closed.
    No = 2,
}

/// How large a segment grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentSize {
    /// A 32nd of the live bytes, between 16 and 256 MiB.
    Auto,
    /// This many bytes; less than 4 KiB counts as 4 KiB, more than 1 GiB as 1 GiB.
    Fixed(u64),
}

impl SegmentSize {
    /// Bytes of the next segment when `live` bytes are alive.
    pub(super) fn bytes(self, live: u64) -> u64 {
        const MIB: u64 = 1 << 20;
        match self {
            Self::Auto => (live / 32).clamp(16 * MIB, 256 * MIB),
            Self::Fixed(bytes) => bytes.clamp(4 << 10, 1024 * MIB),
        }
    }
}

/// Bytes of the largest batch: 2 GiB.
pub const BATCH_BYTES_MAX: u64 = 2 << 30;

/// What whoever opens a store may choose.
#[derive(Clone, Debug)]
pub struct Options {
    /// When a write counts as acknowledged.
    pub fsync: Fsync,
    /// How large a segment grows.
    pub segment_size: SegmentSize,
    /// Bytes that may be in memory because they are not yet durable; beyond it, writers wait.
    pub window_bytes_max: usize,
    /// Bytes of the largest batch; [`BATCH_BYTES_MAX`] unless a test says less.
    pub batch_bytes_max: u64,
    /// How long is kept what compaction takes away, so that earlier moments can be brought back. Without it, what a server
    /// with `retention` keeps stays, however old it is, and as long as there is any, what compaction takes away is kept as
    /// well; zero keeps nothing.
    pub retention: Option<Duration>,
    /// Threads that read the log back when the store is opened.
    pub load_threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fsync: Fsync::Everysec,
            segment_size: SegmentSize::Auto,
            window_bytes_max: 32 << 20,
            batch_bytes_max: BATCH_BYTES_MAX,
            retention: None,
            load_threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}
