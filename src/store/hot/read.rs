//! Reads the file, block by block. It ends at the first block that is not what was written.

use std::io;

use super::HOT_FILE;
use super::codec::{
    BLOCK_HEADER_BYTES, HEADER_BYTES, Header, HotOwner, Remembered, names_bytes, read_block, read_name,
};
use crate::store::disk::{Disk, File, Mode};
use crate::store::reader::Reader;

/// A file that is of this dataset and of this version.
pub struct HotFile {
    file: Box<dyn File>,
    length: u64,
    header: Header,
}

/// Names of one owner, in rising order.
pub struct HotBlock<'a> {
    /// Whose they are.
    pub owner: HotOwner,
    names: &'a [u8],
}

/// The blocks of a file, one after the other.
pub struct HotBlocks<'a> {
    reader: Reader<'a>,
    at: u64,
    is_whole: bool,
}

impl HotFile {
    /// The file of a dataset, whose hash has this proof; none where there is none.
    pub(in crate::store) fn open(disk: &dyn Disk, dataset: [u8; 16], proof: u64) -> io::Result<Option<Self>> {
        let found = Self::find(disk)?;
        Ok(found.filter(|found| found.header.dataset == dataset && found.header.proof == proof))
    }

    /// The file of whatever dataset; none where there is none, or one whose header is not what was written.
    pub(in crate::store) fn find(disk: &dyn Disk) -> io::Result<Option<Self>> {
        let file = match disk.open(HOT_FILE, Mode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut bytes = [0; HEADER_BYTES];
        let read = file.read_at(&mut bytes, 0)?;
        let header = if read == bytes.len() { Header::read(&bytes) } else { None };
        let length = file.length()?;
        Ok(header.map(|header| Self { file, length, header }))
    }

    /// When it was written, in milliseconds since the Unix epoch.
    pub fn written(&self) -> u64 {
        self.header.written
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.length
    }

    /// How many names it says that it has.
    pub fn names(&self) -> u64 {
        self.header.names
    }

    /// Its blocks, from the first on.
    pub fn blocks(&self) -> HotBlocks<'_> {
        let reader = Reader::new(&*self.file, self.length);
        HotBlocks { reader, at: HEADER_BYTES as u64, is_whole: false }
    }

    /// Whether all of it is what was written.
    pub(in crate::store) fn is_sound(&self) -> io::Result<bool> {
        let (mut blocks, mut names) = (self.blocks(), 0);
        while let Some(block) = blocks.next()? {
            names += block.names().count() as u64;
        }
        Ok(blocks.is_whole && names == self.header.names)
    }
}

impl HotBlocks<'_> {
    /// The next block.
    ///
    /// # Errors
    /// The disk's.
    pub fn next(&mut self) -> io::Result<Option<HotBlock<'_>>> {
        let header = self.reader.bytes(self.at, BLOCK_HEADER_BYTES)?;
        self.is_whole = header.is_empty();
        if header.len() < BLOCK_HEADER_BYTES {
            return Ok(None);
        }
        let Some(names) = names_bytes(header) else { return Ok(None) };
        let block = self.reader.bytes(self.at, BLOCK_HEADER_BYTES + names)?;
        if block.len() < BLOCK_HEADER_BYTES + names {
            return Ok(None);
        }
        let Some((owner, names)) = read_block(block) else { return Ok(None) };
        self.at += block.len() as u64;
        Ok(Some(HotBlock { owner, names }))
    }
}

impl HotBlock<'_> {
    /// The names.
    pub fn names(&self) -> impl Iterator<Item = Remembered> {
        let (mut rest, mut before) = (self.names, 0);
        std::iter::from_fn(move || {
            let remembered = read_name(&mut rest, before)?;
            before = remembered.name.number();
            Some(remembered)
        })
    }
}
