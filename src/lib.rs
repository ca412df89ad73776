//! Caskade: a persistent, Redis-compatible key-value server.
//!
//! The floors, from the ground up; imports point down only (`docs/architecture.md` draws the map).

pub mod config;
pub mod keyspace;
pub mod protocol;
pub mod store;
pub mod types;
