//! Verifies the hint of a sealed segment, and that it says what the segment says.

use std::io;
use std::ops::Range;

use super::finding::{Cost, Finding, KeyOf};
use crate::store::disk::{Disk, Mode};
use crate::store::hash::KeyHasher;
use crate::store::hint::{BLOCKS, Hint, Hinted as Entry, SegmentIdentity, Summary, is_older_hint};
use crate::store::manifest::hint_file_name;
use crate::store::record::Op;
use crate::store::recovery::Found;

/// A record of which only the hint of its segment tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its number.
    pub sequence: u64,
    /// What it did.
    pub op: Op,
    /// The value's type.
    pub kind: u8,
    /// The id of the keyspace.
    pub keyspace: u32,
    /// Of a move: the keyspace that the key came from.
    pub source: Option<u32>,
    /// When the key or the element expires, milliseconds since the Unix epoch.
    pub expiry: Option<u64>,
    /// The id of the object that it was about an element of, or that holds the elements of its key's value.
    pub object: Option<u64>,
    /// Bytes from the start of the file.
    pub offset: u32,
    /// Bytes of the record.
    pub length: u32,
    /// The key, or the name of an element.
    pub key: Vec<u8>,
    /// The value that an element was set to, where it is short.
    pub value: Option<Vec<u8>>,
}

impl Named {
    fn of(entry: &Entry<'_>) -> Self {
        let Entry { sequence, op, kind, keyspace, expiry, object, offset, length, key, value, .. } = *entry;
        let (source, key, value) = (entry.moves_from(), key.to_vec(), value.map(<[u8]>::to_vec));
        Self { sequence, op, kind, keyspace, source, expiry, object, offset, length, key, value }
    }

    /// The object whose element it is about, where it is about one.
    pub fn element_of(&self) -> Option<u64> {
        self.object.filter(|_| self.op.is_of_element())
    }

    /// Whether it had a value, of which nothing is known.
    pub(in crate::store) fn has_lost_value(&self) -> bool {
        self.op.sets_value() && self.value.is_none()
    }
}

/// The hint of a segment, if there is any.
pub(in crate::store) struct Hinted {
    name: String,
    /// None where it does not agree with the segment.
    hint: Option<Hint>,
    /// An earlier version of the program has written it.
    is_older: bool,
    file_bytes: u64,
}

const OLDER: &str = "an earlier version has written it; it is not read, and the server writes it anew";

/// What an entry is about.
fn key_of(entry: &Entry<'_>) -> KeyOf {
    KeyOf { keyspace: entry.keyspace, object: entry.element_of(), key: entry.key.to_vec() }
}

impl Hinted {
    /// Opens the hint; none where there is no file.
    pub(in crate::store) fn open(
        disk: &dyn Disk,
        identity: &SegmentIdentity,
        hasher: &KeyHasher,
    ) -> io::Result<Option<Self>> {
        let name = hint_file_name(identity.id);
        let file = match disk.open(&name, Mode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let (hint, file_bytes) = (Hint::open(disk, identity, hasher)?, file.length()?);
        let is_older = hint.is_none() && is_older_hint(&*file)?;
        Ok(Some(Self { name, hint, is_older, file_bytes }))
    }

    /// Whether a start takes it for the segment.
    pub(in crate::store) fn is_trusted(&self, found: &Found) -> bool {
        self.hint.as_ref().is_some_and(|hint| {
            hint.has_sound_filter()
                && found.bears_out(hint.summary())
                && (0..BLOCKS).all(|block| hint.block(block).is_ok_and(|block| block.is_some()))
        })
    }

    /// What it says of its segment as a whole; none where it does not agree with it.
    pub(in crate::store) fn summary(&self) -> Option<&Summary> {
        self.hint.as_ref().map(Hint::summary)
    }

    /// What it says of the records that begin in any of these regions (in rising order, apart from each other), in the
    /// order of their offsets; and whether that is all it once said of them.
    pub(in crate::store) fn within(&self, regions: &[Range<u64>]) -> io::Result<(Vec<Named>, bool)> {
        let (mut named, mut whole) = (Vec::new(), true);
        let Some(hint) = &self.hint else { return Ok((named, false)) };
        for block in 0..BLOCKS {
            let Some(block) = hint.block(block)? else {
                whole = false;
                continue;
            };
            let is_within = |entry: &Entry<'_>| {
                let offset = u64::from(entry.offset);
                let at = regions.partition_point(|region| region.end <= offset);
                regions.get(at).is_some_and(|region| region.start <= offset)
            };
            named.extend(block.entries().filter(is_within).map(|entry| Named::of(&entry)));
        }
        named.sort_unstable_by_key(|named| named.offset);
        Ok((named, whole))
    }

    /// The key of the record at an offset, by what the hint says.
    pub(in crate::store) fn key_at(&self, offset: u64) -> io::Result<Option<KeyOf>> {
        let Some(hint) = &self.hint else { return Ok(None) };
        for block in 0..BLOCKS {
            let Some(block) = hint.block(block)? else { continue };
            if let Some(entry) = block.entries().find(|entry| u64::from(entry.offset) == offset) {
                return Ok(Some(key_of(&entry)));
            }
        }
        Ok(None)
    }

    /// Verifies every byte; `sound` is what the segment itself says, where all of it can be made out.
    pub(in crate::store) fn check(&self, sound: Option<&Hint>, tell: &mut dyn FnMut(Finding)) -> io::Result<()> {
        let finding = |offset, what: &str| Finding::new(&self.name, offset, Cost::Cache, what);
        let Some(hint) = &self.hint else {
            tell(match self.is_older {
                true => Finding::new(&self.name, None, Cost::Nothing, OLDER),
                false => {
                    finding(Some(self.file_bytes), "its footer, which ends here, is damaged, or of another segment")
                }
            });
            return Ok(());
        };
        for index in 0..BLOCKS {
            let Some(block) = hint.block(index)? else {
                tell(finding(Some(hint.offset_of(index)), &format!("block {index}, which begins here, is damaged")));
                continue;
            };
            let Some(sound) = sound else { continue };
            let sound = sound.block(index)?.unwrap_or_default();
            let (mut said, mut known) = (block.entries(), sound.entries());
            loop {
                let (entry, record) = (said.next(), known.next());
                if entry == record {
                    if entry.is_none() {
                        break;
                    }
                    continue;
                }
                let what = format!("block {index}, which begins here, says something else than the segment");
                let finding = finding(Some(hint.offset_of(index)), &what);
                tell(match record.or(entry) {
                    Some(record) => finding.of_key(key_of(&record)),
                    None => finding,
                });
                break;
            }
        }
        match hint.filter()? {
            None => tell(finding(Some(hint.offset_of(BLOCKS)), "the filter, which begins here, is damaged")),
            Some(filter) => {
                if let Some(sound) = sound {
                    if sound.filter()?.is_some_and(|known| known != filter) {
                        let what = "the filter, which begins here, is not that of the segment's keys";
                        tell(finding(Some(hint.offset_of(BLOCKS)), what));
                    }
                    if sound.summary() != hint.summary() {
                        tell(finding(None, "its footer counts something else than the segment has"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Bytes of the file.
    pub(in crate::store) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }
}
