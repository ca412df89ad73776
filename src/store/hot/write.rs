//! Writes the file, block by block: nobody has more of it in memory than what is written at once.

use std::io;
use std::sync::Arc;

use super::codec::{
    BLOCK_HEADER_BYTES, HEADER_BYTES, Header, HotOwner, NAME_BYTES_MAX, NAMES_BYTES_MAX, Remembered, begin_block,
    end_block, write_name,
};
use super::{HOT_FILE, HOT_TEMPORARY_FILE};
use crate::store::disk::{Disk, File, Mode};

/// So many bytes are written at once.
const WRITTEN_BYTES: usize = 256 << 10;

/// A file that is being written; dropped before it is finished, it leaves the old one as it is.
pub struct HotWriter {
    disk: Arc<dyn Disk>,
    file: Box<dyn File>,
    header: Header,
    /// Whole blocks, and the one that was begun.
    buffer: Vec<u8>,
    /// Where the buffer belongs.
    at: u64,
    begun: Option<Begun>,
    is_finished: bool,
}

/// The block that names are added to.
#[derive(Clone, Copy)]
struct Begun {
    owner: HotOwner,
    /// Where it begins in the buffer.
    start: usize,
    last: u64,
}

impl HotWriter {
    /// Begins the file of a dataset, whose hash has this proof, at `written` milliseconds since the Unix epoch.
    pub(in crate::store) fn begin(
        disk: Arc<dyn Disk>,
        dataset: [u8; 16],
        proof: u64,
        written: u64,
    ) -> io::Result<Self> {
        let file = match disk.open(HOT_TEMPORARY_FILE, Mode::Create) {
            // Never into an old one: its sync may have failed, and then a second one lies.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.remove(HOT_TEMPORARY_FILE)?;
                disk.open(HOT_TEMPORARY_FILE, Mode::Create)?
            }
            file => file?,
        };
        let header = Header { dataset, proof, written, names: 0 };
        let (buffer, at) = (Vec::with_capacity(WRITTEN_BYTES + NAMES_BYTES_MAX), HEADER_BYTES as u64);
        Ok(Self { disk, file, header, buffer, at, begun: None, is_finished: false })
    }

    /// Adds a name. Those of one owner come in rising order: whichever does not begins another block.
    ///
    /// # Errors
    /// The disk's.
    pub fn add(&mut self, owner: HotOwner, remembered: Remembered) -> io::Result<()> {
        let number = remembered.name.number();
        let goes_on = self.begun.filter(|begun| {
            let bytes = self.buffer.len() - begun.start - BLOCK_HEADER_BYTES;
            begun.owner == owner && begun.last <= number && bytes + NAME_BYTES_MAX <= NAMES_BYTES_MAX
        });
        let begun = match goes_on {
            Some(begun) => begun,
            None => self.begin_block(owner)?,
        };
        write_name(&mut self.buffer, remembered, begun.last);
        self.begun = Some(Begun { last: number, ..begun });
        self.header.names += 1;
        Ok(())
    }

    /// Puts the file into its place, durably. Returns how many names it has, and its bytes.
    ///
    /// # Errors
    /// The disk's: then there is the old one, or none.
    pub fn finish(mut self) -> io::Result<(u64, u64)> {
        self.end_block();
        self.write()?;
        self.file.write_at(&self.header.write(), 0)?;
        self.file.sync_data()?;
        self.disk.rename(HOT_TEMPORARY_FILE, HOT_FILE)?;
        self.is_finished = true;
        self.disk.sync_directory()?;
        Ok((self.header.names, self.at))
    }

    fn begin_block(&mut self, owner: HotOwner) -> io::Result<Begun> {
        self.end_block();
        if self.buffer.len() >= WRITTEN_BYTES {
            self.write()?;
        }
        let start = self.buffer.len();
        begin_block(&mut self.buffer, owner);
        Ok(Begun { owner, start, last: 0 })
    }

    fn end_block(&mut self) {
        if let Some(begun) = self.begun.take() {
            end_block(&mut self.buffer[begun.start..]);
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.file.write_at(&self.buffer, self.at)?;
            self.at += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl Drop for HotWriter {
    fn drop(&mut self) {
        if !self.is_finished {
            // Where this fails, the next start removes it.
            let _ = self.disk.remove(HOT_TEMPORARY_FILE);
        }
    }
}
