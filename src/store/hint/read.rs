//! Opens a hint, and reads one block of it, or the filter alone.
//!
//! Always true: no memory is taken for a length that the file itself has not got; a block is handed out only when all
//! of its entries are sound and in order.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;

use super::SegmentIdentity;
use super::codec::{
    BEGIN_BYTES, BLOCKS, Before, FOOTER_BYTES, Footer, Hinted, LENGTH_BYTES, Summary, is_older, read_entry,
};
use super::filter::Filter;
use crate::store::disk::{Disk, File, Mode};
use crate::store::hash::KeyHasher;
use crate::store::manifest::hint_file_name;

/// What a segment says of its keys: from its hint file, or from memory.
pub(in crate::store) struct Hint {
    summary: Summary,
    source: Source,
}

enum Source {
    /// The file, its last bytes, and where each of its parts begins.
    File {
        file: Box<dyn File>,
        footer: Box<Footer>,
        starts: Vec<u64>,
        hasher: KeyHasher,
    },
    Memory {
        blocks: Vec<Vec<u8>>,
        filter: Option<Filter>,
    },
}

impl Hint {
    /// Opens the hint of a segment; none where there is no file, or any doubt that it is this segment's.
    ///
    /// # Errors
    /// The disk's.
    pub(in crate::store) fn open(
        disk: &dyn Disk,
        segment: &SegmentIdentity,
        hasher: &KeyHasher,
    ) -> io::Result<Option<Self>> {
        let file = match disk.open(&hint_file_name(segment.id), Mode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let footer = read_footer(&*file)?.filter(|footer| footer.identity == *segment);
        Ok(footer.map(|footer| {
            let (summary, starts, hasher) = (footer.summary, footer.starts(), hasher.clone());
            Self { summary, source: Source::File { file, footer: Box::new(footer), starts, hasher } }
        }))
    }

    /// Bytes of its file; 0 where it is only in memory.
    pub(in crate::store) fn file_bytes(&self) -> u64 {
        match &self.source {
            Source::File { footer, .. } => footer.file_bytes().unwrap_or_default(),
            Source::Memory { .. } => 0,
        }
    }

    pub(super) fn in_memory(summary: Summary, blocks: Vec<Vec<u8>>, filter: Option<Filter>) -> Self {
        Self { summary, source: Source::Memory { blocks, filter } }
    }

    /// Where a block begins in the file, or the filter, whose number is that of the last block plus one.
    pub(in crate::store) fn offset_of(&self, block: usize) -> u64 {
        match &self.source {
            Source::File { starts, .. } => starts[block],
            Source::Memory { .. } => 0,
        }
    }

    /// What it says of the segment as a whole.
    pub(in crate::store) fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Bytes to be read for all blocks.
    pub(in crate::store) fn bytes(&self) -> u64 {
        (0..BLOCKS).map(|block| self.block_bytes(block)).sum()
    }

    /// Bytes to be read for one block.
    pub(in crate::store) fn block_bytes(&self, block: usize) -> u64 {
        match &self.source {
            Source::File { footer, .. } => footer.parts[block].length,
            Source::Memory { .. } => 0,
        }
    }

    /// The entries of one block: a partition's keys or elements, or [`BIND_BLOCK`](super::BIND_BLOCK); none where they are damaged.
    ///
    /// # Errors
    /// The disk's.
    pub(in crate::store) fn block(&self, block: usize) -> io::Result<Option<Block<'_>>> {
        match &self.source {
            Source::Memory { blocks, .. } => {
                Ok(Some(Block { bytes: Cow::Borrowed(&blocks[block]), ..Block::default() }.measured()))
            }
            Source::File { footer, hasher, .. } => {
                let Some(bytes) = self.part(block)? else { return Ok(None) };
                Ok(Block { bytes: Cow::Owned(bytes), ..Block::default() }.verified(footer, hasher, block))
            }
        }
    }

    /// Which keys and elements the segment may have records of; none where that is damaged or was not collected.
    ///
    /// # Errors
    /// The disk's.
    pub(in crate::store) fn filter(&self) -> io::Result<Option<Filter>> {
        match &self.source {
            Source::Memory { filter, .. } => Ok(filter.clone()),
            Source::File { .. } => Ok(self.part(BLOCKS)?.and_then(|bytes| Filter::read(&bytes))),
        }
    }

    /// Whether the filter is what was written: whoever loads the keys does not need it, and later nobody writes it anew.
    pub(in crate::store) fn has_sound_filter(&self) -> bool {
        self.part(BLOCKS).is_ok_and(|bytes| bytes.is_some())
    }

    /// The bytes of a part of the file, where they are what was written.
    fn part(&self, index: usize) -> io::Result<Option<Vec<u8>>> {
        let Source::File { file, footer, starts, .. } = &self.source else { return Ok(None) };
        let (part, at) = (footer.parts[index], starts[index]);
        if part.length == 0 {
            return Ok(part.fits(&[]).then(Vec::new));
        }
        // All parts together have been compared with the length of the file.
        let mut bytes = vec![0; part.length as usize];
        let read = file.read_at(&mut bytes, at)?;
        Ok((read == bytes.len() && part.fits(&bytes)).then_some(bytes))
    }
}

/// What a file that is a hint says that it is one of; none where it is no hint.
///
/// # Errors
/// The disk's.
pub(in crate::store) fn hint_identity(disk: &dyn Disk, name: &str) -> io::Result<Option<SegmentIdentity>> {
    Ok(read_footer(&*disk.open(name, Mode::Read)?)?.map(|footer| footer.identity))
}

/// Whether a file ends with the footer of an earlier version; nothing else of it is verified.
///
/// # Errors
/// The disk's.
pub(in crate::store) fn is_older_hint(file: &dyn File) -> io::Result<bool> {
    let (mut length, mut begin) = ([0; LENGTH_BYTES], [0; BEGIN_BYTES]);
    let Some(end) = file.length()?.checked_sub(LENGTH_BYTES as u64) else { return Ok(false) };
    if file.read_at(&mut length, end)? < length.len() {
        return Ok(false);
    }
    let Some(footer_at) = end.checked_sub(u64::from(u32::from_le_bytes(length))) else { return Ok(false) };
    Ok(file.read_at(&mut begin, footer_at)? == begin.len() && is_older(&begin))
}

/// The footer of a file that has a sound one and the length that it says.
fn read_footer(file: &dyn File) -> io::Result<Option<Footer>> {
    let length = file.length()?;
    let Some(footer_at) = length.checked_sub((FOOTER_BYTES + LENGTH_BYTES) as u64) else { return Ok(None) };
    let mut bytes = [0; FOOTER_BYTES + LENGTH_BYTES];
    if file.read_at(&mut bytes, footer_at)? < bytes.len() {
        return Ok(None);
    }
    Ok(Footer::read(&bytes).filter(|footer| footer.file_bytes() == Some(length) && footer.is_possible()))
}

/// The entries of one block, in rising order of their sequence numbers.
#[derive(Default)]
pub(in crate::store) struct Block<'a> {
    bytes: Cow<'a, [u8]>,
    puts: HashMap<u32, usize>,
    /// The keyspaces that keys move out of.
    sources: Vec<u32>,
}

impl Block<'_> {
    /// Its entries.
    pub(in crate::store) fn entries(&self) -> Entries<'_> {
        Entries { rest: &self.bytes, before: Before::default() }
    }

    /// Whether it has no entries.
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Its entries as they stand in a file.
    #[cfg(test)]
    pub(in crate::store) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The keyspaces it has entries of, each with how many of them set a value.
    pub(in crate::store) fn puts(&self) -> &HashMap<u32, usize> {
        &self.puts
    }

    /// The keyspaces that some of its entries move keys out of.
    pub(in crate::store) fn sources(&self) -> &[u32] {
        &self.sources
    }

    fn measured(mut self) -> Self {
        let mut notes = Notes::default();
        self.entries().for_each(|entry| notes.note(&entry));
        (self.puts, self.sources) = notes.finish();
        self
    }

    fn verified(mut self, footer: &Footer, hasher: &KeyHasher, block: usize) -> Option<Self> {
        let mut notes = Notes::default();
        let (mut rest, mut before, mut last) = (&self.bytes[..], Before::default(), 0);
        while !rest.is_empty() {
            let entry = read_entry(&mut rest, &mut before)?;
            if entry.sequence < last || !footer.admits(block, &entry) {
                return None;
            }
            // Whoever loads it holds the shards of this partition alone.
            if entry.block(hasher) != block {
                return None;
            }
            last = entry.sequence;
            notes.note(&entry);
        }
        (self.puts, self.sources) = notes.finish();
        Some(self)
    }
}

/// What is noted of the entries while they are looked through.
#[derive(Default)]
struct Notes {
    puts: HashMap<u32, usize>,
    sources: Vec<u32>,
    /// The keyspace of the last entries and how many of them set a value: most blocks have one keyspace only.
    last: Option<(u32, usize)>,
}

impl Notes {
    #[inline]
    fn note(&mut self, entry: &Hinted<'_>) {
        let put = usize::from(entry.op.sets_value());
        match &mut self.last {
            Some((keyspace, puts)) if *keyspace == entry.keyspace => *puts += put,
            last => {
                if let Some((keyspace, puts)) = last.replace((entry.keyspace, put)) {
                    *self.puts.entry(keyspace).or_default() += puts;
                }
            }
        }
        if let Some(source) = entry.moves_from()
            && !self.sources.contains(&source)
        {
            self.sources.push(source);
        }
    }

    fn finish(mut self) -> (HashMap<u32, usize>, Vec<u32>) {
        if let Some((keyspace, puts)) = self.last {
            *self.puts.entry(keyspace).or_default() += puts;
        }
        (self.puts, self.sources)
    }
}

/// The entries of a block.
#[derive(Clone)]
pub(in crate::store) struct Entries<'a> {
    rest: &'a [u8],
    before: Before,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Hinted<'a>;

    #[inline]
    fn next(&mut self) -> Option<Hinted<'a>> {
        read_entry(&mut self.rest, &mut self.before)
    }
}
