//! The server: sockets, tasks, timers, signals. The only async floor.
//!
//! Always true: a connection lives on one worker thread from its first byte to its last; no lock is held across an
//! await; a reply is sent only when the log is where that reply needs it.
//!
//! | file | what |
//! | --- | --- |
//! | `connection`, `connection/sending` | one client: bytes in, requests executed, replies out |
//! | `ahead` | what clients send before it is their turn |
//! | `buffers` | memory that connections lend each other |
//! | `pipeline` | the requests of one client that have arrived |
//! | `waiting` | one client whose command waits |
//! | `listen` | listening sockets |
//! | `tls` | TLS on them |
//! | `workers` | the threads connections live on |
//! | `timers` | expiry, rates, freed memory |
//! | `governor` | the memory limit |
//! | `warmth` | values that were in memory before a restart |
//! | `container` | what a container lets its processes have |
//! | `observing` | the port for those who watch: metrics, health, a page |
//! | `start` | from settings to a running server, and down again |
//! | `healthcheck` | asking a server whether it is ready |
//! | `logging` | log lines |

mod ahead;
mod buffers;
mod connection;
mod container;
mod expiry;
mod fetching;
mod governor;
mod healthcheck;
mod listen;
pub mod logging;
mod observing;
mod pipeline;
mod start;
mod timers;
mod tls;
mod waiting;
mod warmth;
mod workers;

pub use healthcheck::healthcheck;
pub use start::{StartError, run};
