//! The disk, as a trait, so that a test can cut the power anywhere. Only [`os`] names `std::fs`.
//!
//! A [`Disk`] is one flat directory: names have no separator. What was written is durable after
//! [`File::sync_data`]; that a name exists, is gone or was renamed is durable after [`Disk::sync_directory`].

use std::any::Any;
use std::io;
use std::sync::Arc;

pub mod os;
pub mod sim;

pub use os::{OpenError, OsDisk};
pub use sim::SimDisk;

/// How [`Disk::open`] opens a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For reading; an error of kind `NotFound` when there is none.
    Read,
    /// For reading and writing; an error of kind `NotFound` when there is none.
    Write,
    /// A new file, for reading and writing; an error of kind `AlreadyExists` when there is one.
    Create,
}

/// One flat directory of files.
pub trait Disk: Any + Send + Sync {
    /// Opens the file `name`.
    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn File>>;
    /// The names of everything in the directory, foreign files and directories included, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Renames `from` to `to`, replacing what is there.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes the file `name`.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes all creations, renames and removals so far durable.
    fn sync_directory(&self) -> io::Result<()>;
    /// Bytes that can still be written to this file system.
    fn free_space(&self) -> io::Result<u64>;
    /// The directory `name` inside this one, created where there is none; its name is then durable after
    /// [`Disk::sync_directory`] of this one.
    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>>;
    /// Gives the file `name` the same name in another directory, too; an error of kind `AlreadyExists` when there is
    /// such a file, and of kind `CrossesDevices` or `Unsupported` where it cannot be done: it has to be copied then.
    fn link(&self, name: &str, into: &dyn Disk) -> io::Result<()>;
}

/// One open file. Offsets and lengths are bytes.
pub trait File: Send + Sync {
    /// Reads up to `buffer.len()` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// As [`File::read_at`], but `None` where the device would have to be waited for.
    fn read_at_nowait(&self, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>>;
    /// From now on, what stands beside what is read is not likely to be read next. Whoever reads all the same does so in large pieces.
    fn expect_random_reads(&self) {}
    /// Writes all of `bytes` at `offset`, extending the file where needed.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reserves space for `length` bytes from the start, so that writing them cannot fail for want of space;
    /// the file reads as zeros there. Does nothing where the file system cannot.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// Cuts or extends the file to `length` bytes.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Makes everything written so far durable (contents and length).
    fn sync_data(&self) -> io::Result<()>;
    /// The length in bytes.
    fn length(&self) -> io::Result<u64>;
}
