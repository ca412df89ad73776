//! A simulated disk, the instrument with which tests cut the power: it keeps written and durable apart.
//!
//! Every call that changes the disk has an index, counted from 0 ([`SimDisk::calls`]); a test runs its work once to count
//! them and then again with a crash at each. It is deterministic: the same calls leave the same disk. It is strict
//! where POSIX is: a synced file whose name was never synced may be gone, unsynced changes may arrive in any order,
//! and what a failed sync should have covered is covered by no later one.

use std::any::Any;
use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use self::inode::{Inode, What};
use self::state::{Entered, Fault, NameChange, State};
pub use self::survival::Survival;
use super::{Disk, File, Mode};

mod inode;
mod state;
mod survival;

/// The kinds of calls. All but `Read` change the disk and have an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallKind {
    Create,
    Write,
    Allocate,
    Truncate,
    SyncData,
    Rename,
    Remove,
    Link,
    CreateDirectory,
    SyncDirectory,
    Read,
}

/// One call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub kind: CallKind,
    /// The file's name when it was opened, of a rename or a link the new one; a directory's ends with a separator, and
    /// is empty for the outermost.
    pub name: String,
}

/// Which calls a fault meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// The call of this index.
    Call(u64),
    /// The call of this index and every later one.
    From(u64),
    /// The opening of this number, counted from 0, of a file new or old; with [`Often::Always`] every later one, too.
    Open(u64),
    /// What is asked of this number, counted from 0, that changes and opens nothing: reads, lengths, the names in the
    /// directory, the free space; with [`Often::Always`] everything later, too.
    Read(u64),
    /// Every call of this kind.
    Kind(CallKind),
    /// Every call of this kind on the file of this name.
    File(CallKind, String),
}

/// How often a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Often {
    Once,
    Always,
}

/// A disk in memory, or a directory on it. Clones share it.
#[derive(Clone, Default)]
pub struct SimDisk {
    shared: Arc<Shared>,
    /// What stands before the names in this directory: nothing, or names of directories, a separator behind each.
    path: String,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Told of every change of `State::held` and `State::waiting`.
    held: Condvar,
}

impl SimDisk {
    /// An empty disk without a limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many calls that change the disk were made so far; the next one has this index.
    pub fn calls(&self) -> u64 {
        self.shared.state.lock().history.len() as u64
    }

    /// How many times a file was opened so far, new or old.
    pub fn opens(&self) -> u64 {
        self.shared.state.lock().opens
    }

    /// How many times something was asked so far that changes and opens nothing.
    pub fn reads(&self) -> u64 {
        self.shared.state.lock().reads
    }

    /// The calls so far, by index.
    pub fn history(&self) -> Vec<Call> {
        self.shared.state.lock().history.clone()
    }

    /// Turns the machine off at the call of this index: it has no effect, and it and every later one fails.
    pub fn crash_at(&self, call: u64) {
        self.shared.state.lock().crash_at = Some((call, false));
    }

    /// As [`SimDisk::crash_at`], but if that call is a write, the first half of its bytes are written.
    pub fn crash_within(&self, call: u64) {
        self.shared.state.lock().crash_at = Some((call, true));
    }

    /// Turns the machine off now.
    pub fn crash(&self) {
        let mut state = self.shared.state.lock();
        state.crashed = true;
        state.held.clear();
        self.shared.held.notify_all();
    }

    /// Whether the machine is off.
    pub fn is_crashed(&self) -> bool {
        self.shared.state.lock().crashed
    }

    /// The disk a machine finds after a loss of power now. All of it is durable; faults and plans to crash are gone.
    pub fn survivors(&self, survival: Survival) -> SimDisk {
        Self::from_state(self.shared.state.lock().survivors(survival))
    }

    /// The disk the next process finds after a kill now: all that was written, unsynced as it was, for the kernel
    /// still has it. Its calls count on from here; faults and plans to crash are gone.
    pub fn after_kill(&self) -> SimDisk {
        Self::from_state(self.shared.state.lock().after_kill())
    }

    /// Makes calls fail with an error of this kind. A write or a change of the directory then has no effect, but for
    /// a write that fails with `WriteZero`, which leaves its first half; what a failed sync of data should have covered
    /// stays in doubt for good.
    pub fn fail(&self, at: At, error: io::ErrorKind, often: Often) {
        self.shared.state.lock().faults.push(Fault { at, error, often });
    }

    /// Takes back every fault of [`SimDisk::fail`].
    pub fn heal(&self) {
        self.shared.state.lock().faults.clear();
    }

    /// Limits the disk to this many bytes (`None`: no limit). A call that would exceed it fails with `StorageFull`;
    /// a write then leaves the part that fits.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.shared.state.lock().capacity = bytes;
    }

    /// Bytes taken by all files, those included that were removed but are still open.
    pub fn used(&self) -> u64 {
        self.shared.state.lock().used()
    }

    /// Plants a fault: from now on calls of this kind (`SyncData` or `SyncDirectory`) report success and do nothing.
    pub fn disable_sync(&self, kind: CallKind) {
        self.shared.state.lock().disabled.push(kind);
    }

    /// Makes [`File::read_at_nowait`] answer `None`, as if nothing were in the page cache.
    pub fn set_cold(&self, cold: bool) {
        self.shared.state.lock().cold = cold;
    }

    /// Makes calls of this kind wait until the returned guard is dropped; of reads, those by [`File::read_at_nowait`].
    pub fn hold(&self, kind: CallKind) -> Hold {
        self.shared.state.lock().held.push(kind);
        Hold { disk: self.clone(), kind }
    }

    /// What a read of the whole file would give; `None` where there is no such file.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.shared.state.lock();
        state.names.get(&self.path_of(name)).map(|inode| state.inodes[inode].written.clone())
    }

    /// Tells the path and the bytes of each file, those of all directories included, in the order of the paths.
    pub fn each_file(&self, tell: &mut dyn FnMut(&str, &[u8])) {
        let state = self.shared.state.lock();
        state.names.iter().for_each(|(name, inode)| tell(name, &state.inodes[inode].written));
    }

    /// Puts a file with these bytes on the disk, durable, replacing any; it counts as no call.
    pub fn plant(&self, name: &str, bytes: &[u8]) {
        let mut state = self.shared.state.lock();
        let name = self.path_of(name);
        let inode = state.add(Inode::durable(bytes.to_vec()));
        state.names.insert(name.clone(), inode);
        state.durable_names.insert(name.clone(), inode);
        state.pending_names.retain(|(_, change, _)| !change.concerns(&name));
    }

    /// Flips one bit (0 to 7) of the byte at `offset`, on the medium; it counts as no call. For synced
    /// bytes: an unsynced write over them would bring the old ones back.
    ///
    /// # Panics
    /// Where there is no such file or it is not that long.
    pub fn flip_bit(&self, name: &str, offset: u64, bit: u32) {
        let mut state = self.shared.state.lock();
        let inode = state.names[&self.path_of(name)];
        let file = state.inodes.get_mut(&inode).expect("every name has its file");
        assert!((offset as usize) < file.written.len(), "{name} ends before {offset}");
        file.corrupt(|bytes| {
            if let Some(byte) = bytes.get_mut(offset as usize) {
                *byte ^= 1 << bit;
            }
        });
    }

    fn from_state(state: State) -> Self {
        let shared = Shared { state: Mutex::new(state), held: Condvar::new() };
        Self { shared: Arc::new(shared), path: String::new() }
    }

    /// The path of a file of this directory, as seen from the outermost one.
    pub fn path_of(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// Begins a call that changes the disk: waits where it is held, counts it, lets faults strike.
    fn begin(&self, kind: CallKind, name: &str) -> Begun<'_> {
        let mut state = self.shared.state.lock();
        let start = state.history.len() as u64;
        self.wait_while_held(&mut state, kind);
        let entered = state.enter(kind, name);
        Begun { state, start, entered }
    }

    fn wait_while_held(&self, state: &mut MutexGuard<'_, State>, kind: CallKind) {
        if state.held.contains(&kind) && !state.crashed {
            state.waiting.push(kind);
            self.shared.held.notify_all();
            self.shared.held.wait_while(state, |state| state.held.contains(&kind));
            let own = state.waiting.iter().position(|waiting| *waiting == kind);
            state.waiting.remove(own.expect("pushed above"));
        }
    }

    fn read<T>(&self, name: &str, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.shared.state.lock();
        state.enter_read(name)?;
        act(&mut state)
    }

    fn change_name(&self, kind: CallKind, name: &str, change: NameChange) -> io::Result<()> {
        let Begun { mut state, entered, .. } = self.begin(kind, name);
        state.change_name(entered?.call, change)
    }
}

/// A call that was begun; the disk is locked for it.
struct Begun<'a> {
    state: MutexGuard<'a, State>,
    /// The index of the first call that came after this one began: a sync covers what came before.
    start: u64,
    entered: io::Result<Entered>,
}

/// Calls of one kind wait while this lives.
pub struct Hold {
    disk: SimDisk,
    kind: CallKind,
}

impl Hold {
    /// Blocks until this many calls of the kind are waiting.
    pub fn wait_for(&self, calls: usize) {
        let shared = &self.disk.shared;
        let waiting = |state: &State| state.waiting.iter().filter(|kind| **kind == self.kind).count();
        shared.held.wait_while(&mut shared.state.lock(), |state| waiting(state) < calls);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.disk.shared.state.lock();
        if let Some(own) = state.held.iter().position(|kind| *kind == self.kind) {
            state.held.remove(own);
        }
        self.disk.shared.held.notify_all();
    }
}

impl Disk for SimDisk {
    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn File>> {
        let name = self.path_of(name);
        let inode = match mode {
            Mode::Create => {
                let Begun { mut state, entered, .. } = self.begin(CallKind::Create, &name);
                state.create(entered?.call, &name).map(|inode| state.opened(inode))?
            }
            Mode::Read | Mode::Write => {
                let mut state = self.shared.state.lock();
                state.enter_open(&name)?;
                state.find(&name).map(|inode| state.opened(inode))?
            }
        };
        let writable = mode != Mode::Read;
        Ok(Box::new(SimFile { disk: self.clone(), inode, name, writable }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.read("", |state| {
            let here = state.names.keys().filter(|name| state::parent(name) == self.path);
            Ok(here.map(|name| name[self.path.len()..].trim_end_matches('/').to_owned()).collect())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path_of(from), self.path_of(to));
        self.change_name(CallKind::Rename, &to.clone(), NameChange::Rename { from, to })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let name = self.path_of(name);
        self.change_name(CallKind::Remove, &name.clone(), NameChange::Remove { name })
    }

    fn sync_directory(&self) -> io::Result<()> {
        let Begun { mut state, start, entered } = self.begin(CallKind::SyncDirectory, &self.path);
        entered?;
        if !state.disabled.contains(&CallKind::SyncDirectory) {
            state.sync_names(start, &self.path);
        }
        Ok(())
    }

    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        let path = format!("{}{name}/", self.path);
        if !self.shared.state.lock().names.contains_key(&path) {
            let Begun { mut state, entered, .. } = self.begin(CallKind::CreateDirectory, &path);
            state.create(entered?.call, &path)?;
        }
        Ok(Arc::new(Self { shared: self.shared.clone(), path }))
    }

    fn link(&self, name: &str, into: &dyn Disk) -> io::Result<()> {
        let into = (into as &dyn Any).downcast_ref::<SimDisk>();
        let Some(into) = into.filter(|into| Arc::ptr_eq(&into.shared, &self.shared)) else {
            return Err(io::ErrorKind::CrossesDevices.into());
        };
        let new = into.path_of(name);
        let Begun { mut state, entered, .. } = self.begin(CallKind::Link, &new);
        state.link(entered?.call, &self.path_of(name), &new)
    }

    fn free_space(&self) -> io::Result<u64> {
        self.read("", |state| Ok(state.free()))
    }
}

struct SimFile {
    disk: SimDisk,
    inode: u64,
    name: String,
    writable: bool,
}

impl SimFile {
    fn begin(&self, kind: CallKind) -> io::Result<Begun<'_>> {
        if !self.writable {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{} was opened for reading", self.name),
            ));
        }
        Ok(self.disk.begin(kind, &self.name))
    }

    fn change_length(&self, kind: CallKind, length: u64, what: What) -> io::Result<()> {
        let Begun { mut state, entered, .. } = self.begin(kind)?;
        let call = entered?.call;
        if state.room(self.inode, length) < length {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.inode(self.inode).change(call, what);
        Ok(())
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.read(&self.name, |state| {
            let rest = state.inodes[&self.inode].written.get(offset as usize..).unwrap_or_default();
            let length = rest.len().min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            Ok(length)
        })
    }

    fn read_at_nowait(&self, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        let is_cold = {
            let mut state = self.disk.shared.state.lock();
            self.disk.wait_while_held(&mut state, CallKind::Read);
            state.cold
        };
        if is_cold {
            return Ok(None);
        }
        self.read_at(buffer, offset).map(Some)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let Begun { mut state, entered, .. } = self.begin(CallKind::Write)?;
        if let Err(error) = &entered
            && error.kind() == io::ErrorKind::WriteZero
        {
            let (call, half) = (state.history.len() as u64 - 1, bytes[..bytes.len() / 2].to_vec());
            state.inode(self.inode).change(call, What::Write { offset, bytes: half });
        }
        let Entered { call, torn } = entered?;
        let end = offset + bytes.len() as u64;
        let room = state.room(self.inode, end);
        let fits = (room.saturating_sub(offset) as usize).min(bytes.len());
        let length = if torn { fits.min(bytes.len() / 2) } else { fits };
        if length > 0 {
            state.inode(self.inode).change(call, What::Write { offset, bytes: bytes[..length].to_vec() });
        }
        if torn {
            return Err(state::machine_is_off());
        }
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.change_length(CallKind::Allocate, length, What::Grow(length))
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.change_length(CallKind::Truncate, length, What::Length(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        let Begun { mut state, start, entered } = self.disk.begin(CallKind::SyncData, &self.name);
        if let Err(error) = entered {
            if !state.crashed {
                state.inode(self.inode).sync_failed(start);
            }
            return Err(error);
        }
        if !state.disabled.contains(&CallKind::SyncData) {
            state.inode(self.inode).sync(start);
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        self.disk.read(&self.name, |state| Ok(state.inodes[&self.inode].written.len() as u64))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.shared.state.lock();
        state.inode(self.inode).handles -= 1;
        state.drop_unreachable();
    }
}

#[cfg(test)]
mod tests;
