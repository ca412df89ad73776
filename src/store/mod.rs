//! The Bitcask without its index: one totally ordered log in segments, its recovery, and the disk below it.

pub mod clock;
pub mod disk;
