//! A simulated disk that keeps a copy of itself from before every call that changes it: the states a crash may leave.

use std::any::Any;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::store::disk::sim::{Call, CallKind};
use crate::store::disk::{Disk, File, Mode, SimDisk};

/// How far a workload had come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Steps begun.
    pub started: usize,
    /// Steps whose callers were told that they are done.
    pub acknowledged: usize,
    /// Steps that a sync which has returned came after.
    pub synced: usize,
    /// What the machine's clock showed.
    pub wall: u64,
}

/// The machine before one call.
pub(super) struct Moment {
    /// As a new process would find it, what is unsynced still unsynced.
    pub disk: SimDisk,
    /// The same with the call's bytes written in part.
    pub torn: Vec<SimDisk>,
    pub progress: Progress,
    pub call: Call,
}

/// Says of a call whether it is to be swallowed: it reports success and does nothing. It is told the calls before.
pub(super) type Swallow = fn(&[Call], CallKind) -> bool;

#[derive(Clone)]
pub(super) struct Recorder {
    disk: SimDisk,
    /// The directory: that of the whole disk, or one in it.
    inside: SimDisk,
    shared: Arc<Shared>,
}

struct Shared {
    moments: Mutex<Vec<Moment>>,
    progress: Mutex<Progress>,
    swallow: Option<Swallow>,
}

impl Recorder {
    pub fn new(disk: SimDisk, swallow: Option<Swallow>) -> Self {
        Self {
            inside: disk.clone(),
            disk,
            shared: Arc::new(Shared { moments: Mutex::default(), progress: Mutex::default(), swallow }),
        }
    }

    pub fn progress<R>(&self, change: impl FnOnce(&mut Progress) -> R) -> R {
        change(&mut self.shared.progress.lock())
    }

    /// All moments so far, and one more: now.
    pub fn moments(&self) -> Vec<Moment> {
        self.before(CallKind::Read, "", Vec::new());
        std::mem::take(&mut *self.shared.moments.lock())
    }

    /// Keeps a copy, and says whether the call is to be made.
    fn before(&self, kind: CallKind, name: &str, torn: Vec<SimDisk>) -> bool {
        let disk = self.disk.after_kill();
        let swallowed = self.shared.swallow.is_some_and(|swallow| swallow(&self.disk.history(), kind));
        let progress = *self.shared.progress.lock();
        let call = Call { kind, name: name.to_owned() };
        self.shared.moments.lock().push(Moment { disk, torn, progress, call });
        !swallowed
    }
}

impl Disk for Recorder {
    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn File>> {
        if mode == Mode::Create {
            self.before(CallKind::Create, name, Vec::new());
        }
        let file = self.inside.open(name, mode)?;
        Ok(Box::new(RecordedFile { recorder: self.clone(), file, name: self.inside.path_of(name) }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.inside.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.before(CallKind::Rename, to, Vec::new());
        self.inside.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.before(CallKind::Remove, name, Vec::new());
        self.inside.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        if self.before(CallKind::SyncDirectory, "", Vec::new()) { self.inside.sync_directory() } else { Ok(()) }
    }

    fn free_space(&self) -> io::Result<u64> {
        self.inside.free_space()
    }

    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        self.before(CallKind::CreateDirectory, name, Vec::new());
        let directory = self.inside.directory(name)?;
        let inside = (&*directory as &dyn Any).downcast_ref::<SimDisk>().expect("a directory of a simulated disk");
        Ok(Arc::new(Self { inside: inside.clone(), ..self.clone() }))
    }

    fn link(&self, name: &str, into: &dyn Disk) -> io::Result<()> {
        self.before(CallKind::Link, name, Vec::new());
        let into = (into as &dyn Any).downcast_ref::<Recorder>().expect("a directory of this disk");
        self.inside.link(name, &into.inside)
    }
}

struct RecordedFile {
    recorder: Recorder,
    file: Box<dyn File>,
    /// Its path.
    name: String,
}

impl File for RecordedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn read_at_nowait(&self, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        self.file.read_at_nowait(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // In the middle, and where a sector ends.
        let sector = (512 - offset % 512) as usize;
        let mut cuts = vec![bytes.len() / 2, sector, bytes.len() - 1];
        cuts.retain(|cut| *cut < bytes.len());
        let torn = cuts.into_iter().map(|cut| {
            let disk = self.recorder.disk.after_kill();
            disk.open(&self.name, Mode::Write).and_then(|file| file.write_at(&bytes[..cut], offset)).map(|()| disk)
        });
        let torn = torn.collect::<io::Result<Vec<_>>>()?;
        self.recorder.before(CallKind::Write, &self.name, torn);
        self.file.write_at(bytes, offset)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.recorder.before(CallKind::Allocate, &self.name, Vec::new());
        self.file.allocate(length)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.recorder.before(CallKind::Truncate, &self.name, Vec::new());
        self.file.truncate(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.recorder.before(CallKind::SyncData, &self.name, Vec::new()) { self.file.sync_data() } else { Ok(()) }
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}
