//! A simulated disk before every call of which other threads may go on.

use std::any::Any;
use std::io;
use std::sync::Arc;

use crate::store::disk::{Disk, File, Mode, SimDisk};
use crate::sync::point;

pub(super) struct Scheduled(pub SimDisk);

impl Disk for Scheduled {
    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn File>> {
        point();
        Ok(Box::new(ScheduledFile(self.0.open(name, mode)?)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        point();
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        point();
        self.0.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        point();
        self.0.sync_directory()
    }

    fn free_space(&self) -> io::Result<u64> {
        self.0.free_space()
    }

    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        point();
        let directory = self.0.directory(name)?;
        let inside = (&*directory as &dyn Any).downcast_ref::<SimDisk>().expect("a directory of a simulated disk");
        Ok(Arc::new(Self(inside.clone())))
    }

    fn link(&self, name: &str, into: &dyn Disk) -> io::Result<()> {
        point();
        let into = (into as &dyn Any).downcast_ref::<Scheduled>().expect("a directory of this disk");
        self.0.link(name, &into.0)
    }
}

struct ScheduledFile(Box<dyn File>);

impl File for ScheduledFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        point();
        self.0.read_at(buffer, offset)
    }

    fn read_at_nowait(&self, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        point();
        self.0.read_at_nowait(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        point();
        self.0.write_at(bytes, offset)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        point();
        self.0.allocate(length)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        point();
        self.0.truncate(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        point();
        self.0.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
}
