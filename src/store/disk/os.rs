//! The operating system's disk: one directory, locked against a second process. Only this file names `std::fs`.
//!
//! Calls that a signal interrupts are made again and short reads and writes go on, so callers see neither.

use std::any::Any;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, DirBuilder};
use std::io::{self, IoSliceMut};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Dir, FallocateFlags, FlockOperation, OFlags};
use rustix::io::{Errno, ReadWriteFlags};

use super::{Disk, File, Mode};

/// The file whose lock marks the directory as taken. It holds the pid of whoever took it last, for people to read.
pub const LOCK_FILE: &str = "LOCK";

/// A directory of the file system, locked for this process until dropped.
pub struct OsDisk {
    directory: OwnedFd,
    /// Held for its lock, which the kernel releases with it, however the process ends.
    _lock: Option<fs::File>,
    nowait: Arc<Nowait>,
}

/// Why a directory could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process holds the lock.
    Locked {
        directory: PathBuf,
        /// As written by the holder; `None` if that cannot be read.
        pid: Option<u32>,
    },
    /// A call failed; `action` completes "cannot ...".
    Io { action: &'static str, path: PathBuf, error: io::Error },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { directory, pid } => {
                write!(f, "the data directory {} is in use by another process", directory.display())?;
                if let Some(pid) = pid {
                    write!(f, " (pid {pid})")?;
                }
                f.write_str("; stop it first, or choose another directory")
            }
            Self::Io { action, path, error } => {
                write!(f, "cannot {action} {}: {error}", path.display())?;
                match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
                        write!(f, "; the server runs as user {user}, group {group}, which must own the data directory")
                    }
                    io::ErrorKind::ReadOnlyFilesystem => f.write_str("; the data directory must be writable"),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Locked { .. } => None,
            Self::Io { error, .. } => Some(error),
        }
    }
}

impl OsDisk {
    /// Opens the directory at `path`, creating it (for this user alone) where there is none, and locks it.
    pub fn open(path: impl AsRef<Path>) -> Result<OsDisk, OpenError> {
        let path = path.as_ref();
        let failed = |action| move |error| OpenError::Io { action, path: path.to_owned(), error };
        create_directory(path).map_err(failed("create the directory"))?;
        let directory = open_directory(path)?;
        let lock = lock(&directory, path)?;
        Ok(OsDisk { directory, _lock: Some(lock), nowait: Arc::new(Nowait::default()) })
    }

    /// Opens the directory at `path` to look at it, together with others who do so, and keeps everybody out who would
    /// change it. Nothing in it is changed: a copy that was never used, with no lock file, is not locked.
    pub fn open_to_read(path: impl AsRef<Path>) -> Result<OsDisk, OpenError> {
        let path = path.as_ref();
        let directory = open_directory(path)?;
        let failed = |action| move |error| OpenError::Io { action, path: path.join(LOCK_FILE), error };
        let lock = match open_at(&directory, LOCK_FILE, OFlags::RDONLY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            file => Some(file.map_err(failed("open"))?),
        };
        if let Some(file) = &lock {
            take(file, FlockOperation::NonBlockingLockShared, path)?;
        }
        Ok(OsDisk { directory, _lock: lock, nowait: Arc::new(Nowait::default()) })
    }
}

impl Disk for OsDisk {
    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn File>> {
        check_name(name)?;
        let flags = match mode {
            Mode::Read => OFlags::RDONLY,
            Mode::Write => OFlags::RDWR,
            Mode::Create => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        let file = open_at(&self.directory, name, flags).map_err(|error| explain(error, "open", name))?;
        Ok(Box::new(OsFile { file, name: name.to_owned(), nowait: self.nowait.clone() }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        retry(|| rustix::fs::renameat(&self.directory, from, &self.directory, to))
            .map_err(|error| explain(error, "rename", from))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        retry(|| rustix::fs::unlinkat(&self.directory, name, AtFlags::empty()))
            .map_err(|error| explain(error, "remove", name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        retry(|| rustix::fs::fsync(&self.directory))
            .map_err(|error| io::Error::new(error.kind(), format!("cannot sync the data directory: {error}")))
    }

    fn free_space(&self) -> io::Result<u64> {
        let system = retry(|| rustix::fs::fstatvfs(&self.directory))?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize))
    }

    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        check_name(name)?;
        match retry(|| rustix::fs::mkdirat(&self.directory, name, rustix::fs::Mode::RWXU)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(explain(error, "create", name)),
            _ => {
                // Whoever can write here must not lead elsewhere what is written there.
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let directory = retry(|| rustix::fs::openat(&self.directory, name, flags, rustix::fs::Mode::empty()))
                    .map_err(|error| explain(error, "open", name))?;
                Ok(Arc::new(OsDisk { directory, _lock: None, nowait: self.nowait.clone() }))
            }
        }
    }

    fn link(&self, name: &str, into: &dyn Disk) -> io::Result<()> {
        check_name(name)?;
        let Some(into) = (into as &dyn Any).downcast_ref::<OsDisk>() else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        match retry(|| rustix::fs::linkat(&self.directory, name, &into.directory, name, AtFlags::empty())) {
            // File systems without links, and those that have no more for this file.
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::PERM | Errno::MLINK | Errno::NOSYS)) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            Err(error) => Err(explain(error, "link", name)),
            Ok(()) => Ok(()),
        }
    }
}

struct OsFile {
    file: fs::File,
    name: String,
    nowait: Arc<Nowait>,
}

/// Whether reads that do not wait work here. Learned once per directory: a file system has them or not.
#[derive(Default)]
struct Nowait {
    missing: AtomicBool,
}

impl OsFile {
    fn explain(&self, error: io::Error, action: &str) -> io::Error {
        explain(error, action, &self.name)
    }
}

impl File for OsFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        read_on(buffer, offset, |rest, at| self.file.read_at(rest, at)).map_err(|error| self.explain(error, "read"))
    }

    fn read_at_nowait(&self, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        if self.nowait.missing.load(Ordering::Relaxed) {
            return Ok(None);
        }
        // A short read may be the end of the file or of what is in the page cache; only another read tells.
        let read = read_on(buffer, offset, |rest, at| {
            Ok(rustix::io::preadv2(&self.file, &mut [IoSliceMut::new(rest)], at, ReadWriteFlags::NOWAIT)?)
        });
        let Err(error) = read else { return read.map(Some) };
        match Errno::from_io_error(&error) {
            Some(Errno::AGAIN) => Ok(None),
            // PERM: sandboxes answer it for calls they do not know.
            Some(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) => {
                self.nowait.missing.store(true, Ordering::Relaxed);
                Ok(None)
            }
            _ => Err(self.explain(error, "read")),
        }
    }

    fn expect_random_reads(&self) {
        // Where the kernel does not know it, it reads more than is needed.
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::Random);
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        write_on(bytes, offset, |rest, at| self.file.write_at(rest, at)).map_err(|error| self.explain(error, "write"))
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        match retry(|| rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, length)) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
            Err(error) => Err(self.explain(error, "allocate space for")),
            Ok(()) => Ok(()),
        }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        retry(|| rustix::fs::ftruncate(&self.file, length)).map_err(|error| self.explain(error, "truncate"))
    }

    fn sync_data(&self) -> io::Result<()> {
        retry(|| rustix::fs::fdatasync(&self.file)).map_err(|error| self.explain(error, "sync"))
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata().map_err(|error| self.explain(error, "measure"))?.len())
    }
}

/// Creates what is missing of `path`, durably.
fn create_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_directory(parent)?;
    match DirBuilder::new().mode(0o700).create(path) {
        // Another process was faster: the lock decides between the two.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => fs::File::open(parent)?.sync_all(),
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, OpenError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, rustix::fs::Mode::empty());
    opened.map_err(|error| OpenError::Io { action: "open the directory", path: path.to_owned(), error: error.into() })
}

fn lock(directory: &OwnedFd, path: &Path) -> Result<fs::File, OpenError> {
    let failed = |action| move |error| OpenError::Io { action, path: path.join(LOCK_FILE), error };
    let file = open_at(directory, LOCK_FILE, OFlags::RDWR | OFlags::CREATE).map_err(failed("open"))?;
    take(&file, FlockOperation::NonBlockingLockExclusive, path)?;
    let pid = format!("{}\n", std::process::id());
    // Shortened last, so that whoever looks meanwhile never finds it empty. A full disk is no reason to refuse: the pid
    // is a courtesy.
    let _ = file.write_all_at(pid.as_bytes(), 0).and_then(|()| file.set_len(pid.len() as u64));
    Ok(file)
}

fn take(lock: &fs::File, operation: FlockOperation, path: &Path) -> Result<(), OpenError> {
    retry(|| rustix::fs::flock(lock, operation)).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked { directory: path.to_owned(), pid: holder(lock) },
        _ => OpenError::Io { action: "lock", path: path.join(LOCK_FILE), error },
    })
}

fn holder(lock: &fs::File) -> Option<u32> {
    let mut text = [0; 16];
    let length = lock.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(&text[..length]).ok()?.lines().next()?.parse().ok()
}

fn open_at(directory: &OwnedFd, name: &str, flags: OFlags) -> io::Result<fs::File> {
    // Readable by its owner only: it holds users' data, and the secret seed of the hashes.
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    Ok(fs::File::from(retry(|| rustix::fs::openat(directory, name, flags | OFlags::CLOEXEC, mode))?))
}

fn check_name(name: &str) -> io::Result<()> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no name of a file here")));
    }
    Ok(())
}

fn explain(error: io::Error, action: &str, name: &str) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {action} {name}: {error}"))
}

/// Reads until the buffer is full or the file ends, however little each call brings.
fn read_on(
    buffer: &mut [u8],
    offset: u64,
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match read(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(more) => done += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes until all is written, however little each call takes.
fn write_on(bytes: &[u8], offset: u64, mut write: impl FnMut(&[u8], u64) -> io::Result<usize>) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match write(&bytes[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(more) => done += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::SimDisk;

    /// What a call answers, one after the other: how many bytes it takes, or an error.
    type Answers = Vec<Result<usize, Errno>>;

    /// Five kernels, each of which does a file of ten bytes in its own way.
    fn answers() -> [Answers; 5] {
        let interrupted = Err(Errno::INTR);
        [
            vec![Ok(10)],
            vec![Ok(3), Ok(7)],
            vec![interrupted, interrupted, Ok(10)],
            vec![Ok(1), interrupted, Ok(8), interrupted, Ok(1)],
            vec![Ok(1); 10],
        ]
    }

    #[test]
    fn interrupted_and_short_reads_go_on() {
        let file = b"0123456789";
        for answers in answers() {
            // Without the end of the file, with it, and with something before.
            for (offset, length) in [(0, 10), (0, 15), (4, 6)] {
                let mut calls = answers.iter();
                let mut buffer = vec![b'.'; length];
                let read = read_on(&mut buffer, offset, |rest, at| {
                    let left = &file[at as usize..];
                    let room = calls.next().copied().unwrap_or(Ok(99))?.min(left.len()).min(rest.len());
                    rest[..room].copy_from_slice(&left[..room]);
                    Ok(room)
                });
                let expected = &file[offset as usize..file.len().min(offset as usize + length)];
                assert_eq!((read.unwrap(), &buffer[..expected.len()]), (expected.len(), expected), "{answers:?}");
            }
        }
        let failed = read_on(&mut [0; 3], 0, |_, at| if at == 0 { Ok(1) } else { Err(Errno::IO.into()) });
        assert_eq!(Errno::from_io_error(&failed.unwrap_err()), Some(Errno::IO));
    }

    #[test]
    fn interrupted_and_short_writes_go_on() {
        for answers in answers() {
            let (mut calls, mut file) = (answers.iter(), vec![b'.'; 14]);
            let written = write_on(b"0123456789", 2, |rest, at| {
                let taken = calls.next().copied().unwrap_or(Ok(99))?.min(rest.len());
                file[at as usize..at as usize + taken].copy_from_slice(&rest[..taken]);
                Ok(taken)
            });
            written.unwrap();
            assert_eq!(file, b"..0123456789..", "{answers:?}");
        }
        let zero = write_on(b"01", 0, |_, at| Ok(if at == 0 { 1 } else { 0 }));
        assert_eq!(zero.unwrap_err().kind(), io::ErrorKind::WriteZero);
        let full = write_on(b"01", 0, |_, at| if at == 0 { Ok(1) } else { Err(Errno::NOSPC.into()) });
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn an_interrupted_call_is_made_again() {
        let mut answers = vec![Ok(7), Err(Errno::INTR), Err(Errno::INTR)];
        assert_eq!(retry(|| answers.pop().unwrap()).unwrap(), 7);
        let mut answers = vec![Err::<(), _>(Errno::MFILE), Err(Errno::INTR)];
        assert_eq!(retry(|| answers.pop().unwrap()).unwrap_err().raw_os_error(), Some(Errno::MFILE.raw_os_error()));
    }

    #[test]
    fn a_link_is_the_same_file_in_another_directory() {
        let home = tempfile::tempdir().unwrap();
        let disk = OsDisk::open(home.path()).unwrap();
        disk.open("a", Mode::Create).unwrap().write_at(b"one", 0).unwrap();
        let inside = disk.directory("inside").unwrap().directory("deeper").unwrap();
        disk.link("a", &*inside).unwrap();
        assert_eq!(disk.link("a", &*inside).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(disk.link("a", &SimDisk::new()).unwrap_err().kind(), io::ErrorKind::Unsupported);
        disk.remove("a").unwrap();
        assert_eq!(fs::read(home.path().join("inside/deeper/a")).unwrap(), b"one");
        assert_eq!(disk.directory("../inside").err().unwrap().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_directory_is_no_way_out() {
        let (home, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), home.path().join("inside")).unwrap();
        assert!(OsDisk::open(home.path()).unwrap().directory("inside").is_err());
    }
}
