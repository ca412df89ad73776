//! The proof from outside: nearly everything here talks to a running server as a client would, or opens the store as
//! a program that uses it as a library.
//!
//! Always true: only `process`, `keys` and `architecture` know how the server is built; a check that compares with
//! redis-server says so and is skipped with a printed reason where none is installed, unless
//! `CASKADE_REQUIRE_ORACLE=1`.
//!
//! `CASKADE_TEST_SERVER=/path/to/program` puts another server in Caskade's place, which is how the checks
//! themselves are proved.

mod acl;
mod architecture;
mod clients;
mod cold;
mod commands;
mod concurrency;
mod connection;
mod descriptors;
mod differential;
mod durability;
mod expiry;
mod facts;
mod image;
mod keys;
mod large;
mod limits;
mod listening;
mod memory;
mod observing;
mod process;
mod reply;
mod running;
mod server;
mod space;
mod target;
mod tls;
mod tools;
mod transcripts;
mod waiting;
mod warm;
mod watching;
mod wire;
mod words;
