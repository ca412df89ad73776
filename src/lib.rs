//! Caskade: a persistent, Redis-compatible key-value server, and the store it is made of.
//!
//! The program is `caskade`; the store below it is also a library. A directory of keys and values in one's own
//! process, without a server:
//!
//! ```
//! use std::time::Duration;
//!
//! use caskade::database::{Batch, Database};
//! use caskade::store::Options;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = std::env::temp_dir().join(format!("caskade-example-{}", std::process::id()));
//! let database = Database::open(&directory, Options::default())?;
//! let changes = database.watch();
//!
//! database.put("greeting", "hello", None)?;
//! database.put("session", "…", Some(Duration::from_secs(3600)))?;
//! assert_eq!(database.get("greeting")?.as_deref(), Some(&b"hello"[..]));
//!
//! // Both or neither, even through a crash.
//! let mut transfer = Batch::default();
//! transfer.put("alice", "90", None);
//! transfer.put("bob", "110", None);
//! database.commit(&transfer)?;
//!
//! let mut forgotten = Batch::default();
//! forgotten.delete("alice");
//! forgotten.rollback();
//! assert_eq!(database.len(), 4);
//!
//! let (mut cursor, mut keys) = (0, Vec::new());
//! loop {
//!     let (next, more) = database.scan(cursor, 100)?;
//!     keys.extend(more);
//!     cursor = next;
//!     if cursor == 0 {
//!         break;
//!     }
//! }
//! assert_eq!(keys.len(), 4);
//!
//! assert!(database.delete("greeting")?);
//! assert_eq!(changes.next(Duration::ZERO).map(|event| event.key), Some("greeting".into()));
//! database.close()?;
//!
//! // What was acknowledged is there again.
//! let database = Database::open(&directory, Options::default())?;
//! assert_eq!(database.get("bob")?.as_deref(), Some(&b"110"[..]));
//! # database.close()?;
//! # std::fs::remove_dir_all(directory)?;
//! # Ok(())
//! # }
//! ```
//!
//! The feature `server`, on by default, adds everything around it; without it nothing here knows a network or tokio.
//! The feature `fuzzing` adds the module of that name, with what the fuzz targets of `tests/fuzz` call, and nothing else.
//!
//! The floors, from the ground up; imports point down only (`docs/architecture.md` draws the map).

#[cfg(feature = "server")]
pub mod allocator;
#[cfg(feature = "server")]
pub mod commands;
#[cfg(feature = "server")]
pub mod config;
pub mod database;
#[cfg(all(feature = "server", any(test, feature = "fuzzing")))]
pub mod fuzzing;
pub mod keyspace;
#[cfg(feature = "server")]
pub mod node;
#[cfg(feature = "server")]
pub mod protocol;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod stats;
pub mod store;
mod sync;
#[cfg(feature = "server")]
pub mod tools;
pub mod types;
