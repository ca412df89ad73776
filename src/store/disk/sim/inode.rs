//! One simulated file: what was written, what is durable, and what a loss of power may leave of it.
//!
//! `written` is what reads see. `durable` is what a sync has promised. Between them stand the `pending` changes, in
//! the order they were made, and the `doubtful` ones: writes whose sync failed. Those may have reached the disk or
//! not, and no later sync covers them, since the kernel has marked their pages clean.

/// Bytes that the disk writes whole or not at all.
pub(super) const SECTOR: u64 = 512;

/// One change of a file; `call` is the index of the call that made it.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub call: u64,
    pub what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Write {
        offset: u64,
        bytes: Vec<u8>,
    },
    /// Cut or extended to this length.
    Length(u64),
    /// Extended to this length if shorter.
    Grow(u64),
}

/// Decides what of the unsynced changes made it to the disk.
pub(super) trait Fate {
    /// Whether this sector (the `sector`th of its call's) made it.
    fn data(&mut self, call: u64, sector: u64) -> bool;
    /// Whether the file was at least made longer where the data did not arrive.
    fn growth(&mut self, call: u64) -> bool;
    /// Whether a change of length made it.
    fn length(&mut self, call: u64) -> bool;
    /// Whether a change of the directory made it.
    fn name(&mut self, call: u64) -> bool;
}

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pub written: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    doubtful: Vec<Change>,
    /// Open handles: a removed file keeps its space until the last one is dropped.
    pub handles: usize,
}

impl Inode {
    /// A file that holds `bytes`, all durable.
    pub fn durable(bytes: Vec<u8>) -> Self {
        Self { written: bytes.clone(), durable: bytes, ..Self::default() }
    }

    pub fn change(&mut self, call: u64, what: What) {
        apply(&mut self.written, &what);
        self.pending.push(Change { call, what });
    }

    /// Makes every change of a call before `start` durable.
    pub fn sync(&mut self, start: u64) {
        for change in self.take_pending(start) {
            apply(&mut self.durable, &change.what);
            match change.what {
                What::Write { offset, bytes } => forget(&mut self.doubtful, offset, offset + bytes.len() as u64),
                What::Length(length) => forget(&mut self.doubtful, length, u64::MAX),
                What::Grow(_) => {}
            }
        }
    }

    /// A sync that failed: lengths are in the file system's journal, data is in doubt for good.
    pub fn sync_failed(&mut self, start: u64) {
        for change in self.take_pending(start) {
            match change.what {
                What::Write { .. } => self.doubtful.push(change),
                What::Length(length) => {
                    apply(&mut self.durable, &change.what);
                    forget(&mut self.doubtful, length, u64::MAX);
                }
                What::Grow(_) => apply(&mut self.durable, &change.what),
            }
        }
    }

    /// The bytes a machine finds after a loss of power.
    pub fn survive(&self, fate: &mut dyn Fate) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in self.doubtful.iter().chain(&self.pending) {
            match &change.what {
                What::Write { offset, bytes: new } => {
                    for (index, (at, piece)) in sectors(*offset, new).enumerate() {
                        if fate.data(change.call, index as u64) {
                            write(&mut bytes, at, piece);
                        } else if fate.growth(change.call) {
                            apply(&mut bytes, &What::Grow(at + piece.len() as u64));
                        }
                    }
                }
                what => {
                    if fate.length(change.call) {
                        apply(&mut bytes, what);
                    }
                }
            }
        }
        bytes
    }

    /// Changes the medium itself: what is written and what is durable.
    pub fn corrupt(&mut self, change: impl Fn(&mut Vec<u8>)) {
        change(&mut self.written);
        change(&mut self.durable);
    }

    /// The oldest call whose change is not durable.
    pub fn oldest_pending(&self) -> Option<u64> {
        self.doubtful.iter().chain(&self.pending).map(|change| change.call).min()
    }

    fn take_pending(&mut self, start: u64) -> Vec<Change> {
        let end = self.pending.partition_point(|change| change.call < start);
        self.pending.drain(..end).collect()
    }
}

fn apply(bytes: &mut Vec<u8>, what: &What) {
    match what {
        What::Write { offset, bytes: new } => write(bytes, *offset, new),
        What::Length(length) => bytes.resize(*length as usize, 0),
        What::Grow(length) => bytes.resize(bytes.len().max(*length as usize), 0),
    }
}

fn write(bytes: &mut Vec<u8>, offset: u64, new: &[u8]) {
    let (start, end) = (offset as usize, offset as usize + new.len());
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[start..end].copy_from_slice(new);
}

/// The parts of a write at `offset`, split where sectors of the file begin.
fn sectors(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut at = offset;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let room = (SECTOR - at % SECTOR) as usize;
        let (piece, tail) = rest.split_at(room.min(rest.len()));
        let start = at;
        at += piece.len() as u64;
        rest = tail;
        Some((start, piece))
    })
}

/// Takes the bytes from `start` to `end` out of the doubtful writes: something newer stands there.
fn forget(doubtful: &mut Vec<Change>, start: u64, end: u64) {
    let old = std::mem::take(doubtful);
    for change in old {
        let What::Write { offset, bytes } = &change.what else { continue };
        let (first, last) = (*offset, *offset + bytes.len() as u64);
        for (from, to) in [(first, last.min(start)), (first.max(end), last)] {
            if from < to {
                let bytes = bytes[(from - first) as usize..(to - first) as usize].to_vec();
                doubtful.push(Change { call: change.call, what: What::Write { offset: from, bytes } });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct All(bool);

    impl Fate for All {
        fn data(&mut self, _: u64, _: u64) -> bool {
            self.0
        }
        fn growth(&mut self, _: u64) -> bool {
            self.0
        }
        fn length(&mut self, _: u64) -> bool {
            self.0
        }
        fn name(&mut self, _: u64) -> bool {
            self.0
        }
    }

    fn put(inode: &mut Inode, call: u64, offset: u64, text: &str) {
        inode.change(call, What::Write { offset, bytes: text.as_bytes().to_vec() });
    }

    #[test]
    fn a_write_is_split_where_sectors_begin() {
        let bytes = vec![7; 1100];
        let pieces: Vec<_> = sectors(500, &bytes).map(|(at, piece)| (at, piece.len())).collect();
        assert_eq!(pieces, [(500, 12), (512, 512), (1024, 512), (1536, 64)]);
        assert_eq!(sectors(512, &[]).count(), 0);
    }

    #[test]
    fn a_sync_covers_what_came_before_its_start() {
        let mut inode = Inode::default();
        put(&mut inode, 0, 0, "old");
        put(&mut inode, 1, 3, "new");
        inode.sync(1);
        assert_eq!(inode.survive(&mut All(false)), b"old");
        assert_eq!(inode.survive(&mut All(true)), b"oldnew");
    }

    #[test]
    fn a_failed_sync_is_not_made_good_by_the_next() {
        let mut inode = Inode::default();
        put(&mut inode, 0, 0, "first");
        inode.sync_failed(1);
        put(&mut inode, 2, 5, "second");
        inode.sync(3);
        assert_eq!(inode.survive(&mut All(false)), b"\0\0\0\0\0second");
        assert_eq!(inode.survive(&mut All(true)), b"firstsecond");
        put(&mut inode, 4, 1, "xyz");
        inode.sync(5);
        assert_eq!(inode.survive(&mut All(true)), b"fxyztsecond", "a doubtful write never covers a newer synced one");
        inode.change(6, What::Length(1));
        inode.sync(7);
        assert_eq!(inode.survive(&mut All(true)), b"f");
    }
}
