//! One key of the keydir: a single heap block behind a tagged pointer of eight bytes.
//!
//! Layout of a block (8-byte aligned; what a flag does not announce takes no room):
//!
//! ```text
//! header  16  segment u32 | offset u32 | length u32 | key length u16 | kind u8 | flags u8
//! expiry   8  milliseconds since the epoch            if EXPIRY
//! cache    8  value length u32 | last use u32 (s)     if INLINE or SHARED
//! shared  32  a `Bytes`                               if SHARED
//! long     4  key length u32                          if LONG_KEY (then the header's is 0xffff)
//! key         its bytes
//! value       its bytes                               if INLINE
//! ```
//!
//! With ROOT, the value is the eight bytes of an object's id, which stay in memory.
//!
//! The pointer's 16 upper bits, which no user-space address uses, hold a fragment of the key's hash: most keys
//! that do not match are told apart without touching their block, and SCAN orders a shard without touching any.
//!
//! All `unsafe` of the keydir's memory layout stands here. The invariants behind it: a block is owned by exactly
//! one `Entry`; its layout follows from header and lengths alone, which change only through `&mut self`; the two
//! fields that change through `&self` (the use counter in `flags`, the last use) are atomics.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::hash::{Hash, Hasher};
use std::ops::{ControlFlow, Range};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use bytes::Bytes;
use hashbrown::raw::RawTable;

use super::footprint::Footprint;
use super::memory::Room;
use crate::store::Location;

/// The longest value kept inside its key's block; a longer one is a shared buffer of its own, so that a reply can
/// send it without copying.
pub(super) const INLINE_BYTES_MAX: usize = 4096;

/// How much of a block is prefetched: three lines hold a key of 16 bytes and a value of 100.
const PREFETCHED_LINES: usize = 3;

const HEADER: usize = 16;
const EXPIRY_BYTES: usize = 8;
/// What an entry has beside a value in memory.
pub(super) const CACHE_BYTES: usize = 8;
const SHARED_BYTES: usize = size_of::<Bytes>();
const LONG_KEY_BYTES: usize = 4;
const LONG_KEY_ESCAPE: u16 = u16::MAX;

const EXPIRY: u8 = 1;
const LONG_KEY: u8 = 1 << 1;
const INLINE: u8 = 1 << 2;
const SHARED: u8 = 1 << 3;
const USES: u8 = 3 << 4;
const USES_SHIFT: u32 = 4;
const DAMAGED: u8 = 1 << 6;
/// Stands beside INLINE.
const ROOT: u8 = 1 << 7;

const ADDRESS: usize = (1 << 48) - 1;

/// What the keydir knows of a key beside its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Where the newest record of the value stands in the log.
    pub location: Location,
    /// The type and encoding byte, as written to the log.
    pub kind: u8,
    /// Deadline in milliseconds since the Unix epoch.
    pub expiry: Option<u64>,
}

/// When a value was used last, in seconds since the epoch, and how often of late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) at: u32,
    /// 0 to 3.
    pub(super) uses: u8,
}

/// A value as the keydir holds it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cached<'a> {
    /// Only in the log.
    Cold,
    /// In memory, at most [`INLINE_BYTES_MAX`] long.
    Inline(&'a [u8]),
    /// In memory, in a buffer of its own.
    Shared(&'a Bytes),
    /// The elements of a large collection have this object's id.
    Root(u64),
}

impl<'a> Cached<'a> {
    /// The right form for a value that is in memory.
    pub(super) fn hot(value: &'a [u8], shared: &'a mut Option<Bytes>) -> Self {
        if value.len() <= INLINE_BYTES_MAX {
            return Self::Inline(value);
        }
        Self::Shared(shared.get_or_insert_with(|| Bytes::copy_from_slice(value)))
    }

    /// The bytes, where they are in memory.
    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Cold | Self::Root(_) => None,
            Self::Inline(bytes) => Some(bytes),
            Self::Shared(bytes) => Some(bytes),
        }
    }
}

/// What an entry takes, and what of its value is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// As [`Entry::bytes`].
    pub(super) bytes: usize,
    pub(super) kind: u8,
    /// Bytes of the value, if that is in memory.
    pub(super) value: Option<usize>,
    pub(super) is_damaged: bool,
}

#[repr(C)]
struct Header {
    segment: u32,
    offset: u32,
    length: u32,
    key_length: u16,
    kind: u8,
    flags: AtomicU8,
}

#[repr(C)]
struct Cache {
    length: u32,
    last_use: AtomicU32,
}

/// One key: see the module.
pub(super) struct Entry(NonNull<u8>);

// SAFETY: an `Entry` owns its block alone, all of which is `Send`; what changes through `&self` is atomic.
unsafe impl Send for Entry {}
// SAFETY: as above.
unsafe impl Sync for Entry {}

impl Entry {
    /// A new block. `fragment` is the piece of the key's hash kept in the pointer.
    pub(super) fn new(fragment: u16, key: &[u8], meta: &Meta, value: Cached<'_>) -> Self {
        let (mut flags, root) = (0, if let Cached::Root(object) = value { object.to_le_bytes() } else { [0; 8] });
        let value = if let Cached::Root(_) = value {
            flags |= ROOT;
            Cached::Inline(&root)
        } else {
            value
        };
        flags |= if meta.expiry.is_some() { EXPIRY } else { 0 };
        flags |= if key.len() >= usize::from(LONG_KEY_ESCAPE) { LONG_KEY } else { 0 };
        let value_length = match value {
            Cached::Cold | Cached::Root(_) => 0,
            Cached::Inline(bytes) => {
                flags |= INLINE;
                bytes.len()
            }
            Cached::Shared(bytes) => {
                flags |= SHARED;
                bytes.len()
            }
        };
        let inline_length = if flags & INLINE != 0 { value_length } else { 0 };
        let layout = layout_of(flags, key.len(), inline_length);
        // SAFETY: the layout is never empty (it has a header).
        let Some(block) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        assert!(block.addr().get() & !ADDRESS == 0, "a heap address beyond 48 bits");
        let location = meta.location;
        let header = Header {
            segment: location.segment,
            offset: location.offset,
            length: location.length,
            key_length: if flags & LONG_KEY != 0 { LONG_KEY_ESCAPE } else { key.len() as u16 },
            kind: meta.kind,
            flags: AtomicU8::new(flags),
        };
        // SAFETY: every write stays inside the block just allocated with this very layout, at offsets that are
        // multiples of the written type's alignment (header, expiry, cache and shared are multiples of 8).
        unsafe {
            block.cast::<Header>().write(header);
            if let Some(expiry) = meta.expiry {
                block.add(expiry_at()).cast::<u64>().write(expiry);
            }
            if flags & (INLINE | SHARED) != 0 {
                let cache = Cache { length: value_length as u32, last_use: AtomicU32::new(0) };
                block.add(cache_at(flags)).cast::<Cache>().write(cache);
            }
            if let Cached::Shared(bytes) = value {
                block.add(shared_at(flags)).cast::<Bytes>().write(bytes.clone());
            }
            if flags & LONG_KEY != 0 {
                block.add(long_key_at(flags)).cast::<u32>().write(key.len() as u32);
            }
            ptr::copy_nonoverlapping(key.as_ptr(), block.add(key_at(flags)).as_ptr(), key.len());
            if let Cached::Inline(bytes) = value {
                let at = key_at(flags) + key.len();
                ptr::copy_nonoverlapping(bytes.as_ptr(), block.add(at).as_ptr(), bytes.len());
            }
        }
        Self(block.map_addr(|address| address | (usize::from(fragment) << 48)))
    }

    /// The piece of the key's hash kept in the pointer.
    pub(super) fn fragment(&self) -> u16 {
        (self.0.addr().get() >> 48) as u16
    }

    /// Whether this is the entry of `key`, whose hash has `fragment`.
    #[inline]
    pub(super) fn is(&self, fragment: u16, key: &[u8]) -> bool {
        self.fragment() == fragment && self.key() == key
    }

    /// Prefetches the block of a small key and value.
    #[inline]
    pub(super) fn prefetch(&self) {
        let block = self.block().as_ptr();
        (0..PREFETCHED_LINES).for_each(|line| prefetch_line(block.wrapping_add(line * 64)));
    }

    /// The key.
    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        let (flags, length) = (self.flags(), self.key_length());
        // SAFETY: the key stands there with this length (see the layout); it lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.block().add(key_at(flags)).as_ptr(), length) }
    }

    /// Location, kind and expiry.
    pub(super) fn meta(&self) -> Meta {
        Meta { location: self.location(), kind: self.header().kind, expiry: self.expiry() }
    }

    /// Where the newest record of the value stands.
    pub(super) fn location(&self) -> Location {
        let header = self.header();
        Location { segment: header.segment, offset: header.offset, length: header.length }
    }

    /// The deadline, in milliseconds since the epoch.
    #[inline]
    pub(super) fn expiry(&self) -> Option<u64> {
        // SAFETY: the flag says that the field is there; it is 8-byte aligned.
        (self.flags() & EXPIRY != 0).then(|| unsafe { self.block().add(expiry_at()).cast::<u64>().read() })
    }

    /// The id of the object whose elements are this key's value.
    #[inline]
    pub(super) fn object(&self) -> Option<u64> {
        if let Cached::Root(object) = self.value() { Some(object) } else { None }
    }

    /// The value as held.
    #[inline]
    pub(super) fn value(&self) -> Cached<'_> {
        match self.block_value() {
            Cached::Inline(id) if self.flags() & ROOT != 0 => Cached::Root(id.try_into().map_or(0, u64::from_le_bytes)),
            value => value,
        }
    }

    #[inline]
    fn block_value(&self) -> Cached<'_> {
        let flags = self.flags();
        if flags & INLINE != 0 {
            let at = key_at(flags) + self.key_length();
            let length = self.cache().map_or(0, |cache| cache.length as usize);
            // SAFETY: the flag says that `length` bytes of value follow the key.
            return Cached::Inline(unsafe { std::slice::from_raw_parts(self.block().add(at).as_ptr(), length) });
        }
        if flags & SHARED != 0 {
            // SAFETY: the flag says that an initialised `Bytes` stands there, 8-byte aligned.
            return Cached::Shared(unsafe { self.block().add(shared_at(flags)).cast::<Bytes>().as_ref() });
        }
        Cached::Cold
    }

    /// Notes a use at `now`, in seconds: the hand spares what was used, OBJECT IDLETIME tells since when it was not. A use is
    /// counted without a value too, since keys are evicted by it; when it was is not.
    #[inline]
    pub(super) fn touch(&self, now: u32) {
        if let Some(cache) = self.cache()
            && cache.last_use.load(Relaxed) != now
        {
            cache.last_use.store(now, Relaxed);
        }
        let flags = self.header().flags.load(Relaxed);
        if flags & USES != USES {
            // Two readers may both count one use here; the counter is an estimate by design.
            self.header().flags.store(flags + (1 << USES_SHIFT), Relaxed);
        }
    }

    /// Whether the value, once it was read from the disk, comes into memory.
    pub(super) fn is_worth(&self, room: Room) -> bool {
        room == Room::Enough || room == Room::Scarce && self.uses() > 0
    }

    /// Puts a value in that was read from the disk at `now`, in seconds, if it is worth the room, and otherwise notes that it was
    /// asked for.
    pub(super) fn warm(&mut self, value: &Bytes, room: Room, now: u32) {
        if !self.is_worth(room) {
            return self.touch(now);
        }
        // From now on only what is used in memory counts: all that comes in has been asked for twice.
        if room == Room::Scarce {
            self.forget_uses();
        }
        let mut shared = Some(value.clone());
        self.replace(&self.meta(), Cached::hot(value, &mut shared));
        if let Some(cache) = self.cache() {
            cache.last_use.store(now, Relaxed);
        }
    }

    /// When the value was last used, in seconds since the epoch; `None` for a cold one.
    pub(super) fn last_use(&self) -> Option<u32> {
        self.cache().map(|cache| cache.last_use.load(Relaxed))
    }

    /// How often the value was used of late, 0 to 3.
    pub(super) fn uses(&self) -> u8 {
        (self.flags() & USES) >> USES_SHIFT
    }

    /// Forgets all uses.
    pub(super) fn forget_uses(&self) {
        let flags = self.flags();
        if flags & USES != 0 {
            self.header().flags.store(flags & !USES, Relaxed);
        }
    }

    /// Forgets one use: the hand passes.
    pub(super) fn forget_use(&self) {
        let flags = self.header().flags.load(Relaxed);
        if flags & USES != 0 {
            self.header().flags.store(flags - (1 << USES_SHIFT), Relaxed);
        }
    }

    /// Whether the newest record of this key cannot be read.
    pub(super) fn is_damaged(&self) -> bool {
        self.flags() & DAMAGED != 0
    }

    /// Marks the newest record of this key as unreadable.
    pub(super) fn set_damaged(&mut self) {
        *self.header_mut().flags.get_mut() |= DAMAGED;
    }

    /// Replaces everything but the key, in place where the new form has the old size.
    pub(super) fn replace(&mut self, meta: &Meta, value: Cached<'_>) {
        let flags = self.flags();
        let same_expiry = meta.expiry.is_some() == (flags & EXPIRY != 0);
        if let (Cached::Inline(new), true, true) = (value, same_expiry, flags & (INLINE | ROOT) == INLINE)
            && self.cache().is_some_and(|cache| cache.length as usize == new.len())
        {
            let at = key_at(flags) + self.key_length();
            // SAFETY: `new.len()` bytes of value stand there; `&mut self` excludes readers, and `new` cannot
            // alias the block because no borrow of it can be alive.
            unsafe { ptr::copy_nonoverlapping(new.as_ptr(), self.block().add(at).as_ptr(), new.len()) };
            return self.retarget(meta);
        }
        if matches!((value, self.value()), (Cached::Cold, Cached::Cold)) && same_expiry {
            return self.retarget(meta);
        }
        let last_use = self.last_use();
        let next = Self::new(self.fragment(), self.key(), meta, value);
        if let (Some(last_use), Some(cache)) = (last_use, next.cache()) {
            cache.last_use.store(last_use, Relaxed);
        }
        next.header().flags.fetch_or(flags & USES, Relaxed);
        *self = next;
    }

    /// Sets or removes the deadline.
    pub(super) fn set_expiry(&mut self, expiry: Option<u64>) {
        if let (Some(expiry), true) = (expiry, self.flags() & EXPIRY != 0) {
            return self.write_expiry(expiry);
        }
        if expiry.is_none() && self.flags() & EXPIRY == 0 {
            return;
        }
        let meta = Meta { expiry, ..self.meta() };
        self.rebuild(&meta, true);
    }

    /// Drops the value from memory; it stays in the log. Returns whether there was one.
    pub(super) fn demote(&mut self) -> bool {
        if matches!(self.value(), Cached::Cold | Cached::Root(_)) {
            return false;
        }
        let meta = self.meta();
        self.rebuild(&meta, false);
        true
    }

    /// Takes in the value that a record says, if that is the newest one of a key whose value is only in the log: it counts as used
    /// as often as it `was`, and since then. Returns whether it did.
    pub(super) fn bring_back(&mut self, from: Location, value: &[u8], was: Used) -> bool {
        if self.location() != from || !matches!(self.value(), Cached::Cold) || self.is_damaged() {
            return false;
        }
        let uses = self.uses().max(was.uses);
        let mut shared = None;
        self.replace(&self.meta(), Cached::hot(value, &mut shared));
        if let Some(cache) = self.cache() {
            cache.last_use.store(was.at, Relaxed);
        }
        self.forget_uses();
        self.header().flags.fetch_or(uses << USES_SHIFT & USES, Relaxed);
        true
    }

    /// Moves to a new block, and stays what it is.
    pub(super) fn renew(&mut self) {
        let (value, uses) = (self.value(), self.flags() & USES);
        let next = Self::new(self.fragment(), self.key(), &self.meta(), value);
        if let (Some(last_use), Some(cache)) = (self.last_use(), next.cache()) {
            cache.last_use.store(last_use, Relaxed);
        }
        next.header().flags.fetch_or(uses | self.flags() & DAMAGED, Relaxed);
        *self = next;
    }

    /// Points to another record.
    pub(super) fn set_location(&mut self, location: Location) {
        let header = self.header_mut();
        header.segment = location.segment;
        header.offset = location.offset;
        header.length = location.length;
    }

    /// The bytes this key takes: its block and, where it has one, its shared buffer.
    pub(super) fn bytes(&self) -> usize {
        let shared = if let Cached::Shared(bytes) = self.value() { bytes.len() } else { 0 };
        self.layout().size() + shared
    }

    /// The same, and what would stay of it without the value.
    #[inline]
    pub(super) fn footprint(&self) -> Footprint {
        let (flags, key) = (self.flags(), self.key_length());
        let length = self.cache().map_or(0, |cache| cache.length as usize);
        // An object's id stays.
        let bare_flags = if flags & ROOT == 0 { flags & !(INLINE | SHARED) } else { flags };
        let inline = if flags & INLINE != 0 { length } else { 0 };
        let shared = if flags & SHARED != 0 { length } else { 0 };
        let bare = key_at(bare_flags) + key + if flags & ROOT == 0 { 0 } else { inline };
        Footprint { bytes: key_at(flags) + key + inline + shared, bare }
    }

    /// What it takes, and what of its value is in memory.
    #[inline]
    pub(super) fn extent(&self) -> Extent {
        let (flags, kind) = (self.flags(), self.header().kind);
        let length = self.cache().map(|cache| cache.length as usize);
        let (inline, shared) = if flags & INLINE != 0 { (length, None) } else { (None, length) };
        let block = key_at(flags) + self.key_length() + inline.unwrap_or(0);
        let is_root = flags & ROOT != 0;
        Extent {
            bytes: block + shared.unwrap_or(0),
            kind,
            value: length.filter(|_| !is_root),
            is_damaged: flags & DAMAGED != 0,
        }
    }

    fn rebuild(&mut self, meta: &Meta, keep_value: bool) {
        let last_use = self.last_use();
        let damaged = self.is_damaged();
        let value = if keep_value { self.value() } else { Cached::Cold };
        let mut next = Self::new(self.fragment(), self.key(), meta, value);
        if let (Some(last_use), Some(cache)) = (last_use, next.cache()) {
            cache.last_use.store(last_use, Relaxed);
        }
        if damaged {
            next.set_damaged();
        }
        next.header().flags.fetch_or(self.flags() & USES, Relaxed);
        *self = next;
    }

    /// Says everything but the value anew; whether there is an expiry stays as it was.
    fn retarget(&mut self, meta: &Meta) {
        self.set_location(meta.location);
        let header = self.header_mut();
        header.kind = meta.kind;
        *header.flags.get_mut() &= !DAMAGED;
        if let Some(expiry) = meta.expiry {
            self.write_expiry(expiry);
        }
    }

    fn write_expiry(&mut self, expiry: u64) {
        // SAFETY: callers have checked the EXPIRY flag, so the field is there.
        unsafe { self.block().add(expiry_at()).cast::<u64>().write(expiry) }
    }

    #[inline]
    fn block(&self) -> NonNull<u8> {
        // SAFETY: the untagged address is that of a live allocation, hence not null.
        unsafe { NonNull::new_unchecked(self.0.as_ptr().map_addr(|address| address & ADDRESS)) }
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: a header stands at the start of every block.
        unsafe { self.block().cast::<Header>().as_ref() }
    }

    fn header_mut(&mut self) -> &mut Header {
        // SAFETY: as above, and `&mut self` makes the borrow exclusive.
        unsafe { self.block().cast::<Header>().as_mut() }
    }

    #[inline]
    fn flags(&self) -> u8 {
        self.header().flags.load(Relaxed)
    }

    #[inline]
    fn cache(&self) -> Option<&Cache> {
        let flags = self.flags();
        // SAFETY: the flags say that the field is there.
        (flags & (INLINE | SHARED) != 0).then(|| unsafe { self.block().add(cache_at(flags)).cast::<Cache>().as_ref() })
    }

    #[inline]
    fn key_length(&self) -> usize {
        let header = self.header();
        let flags = header.flags.load(Relaxed);
        if flags & LONG_KEY == 0 {
            return usize::from(header.key_length);
        }
        // SAFETY: the flag says that the field is there; its offset is a multiple of 8.
        unsafe { self.block().add(long_key_at(flags)).cast::<u32>().read() as usize }
    }

    fn layout(&self) -> Layout {
        let flags = self.flags();
        let inline = if let Cached::Inline(bytes) = self.block_value() { bytes.len() } else { 0 };
        layout_of(flags, self.key_length(), inline)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let (layout, flags) = (self.layout(), self.flags());
        // SAFETY: the block was allocated with this layout, and nobody refers to it any more; the `Bytes` is
        // initialised where the flag says so.
        unsafe {
            if flags & SHARED != 0 {
                self.block().add(shared_at(flags)).cast::<Bytes>().drop_in_place();
            }
            dealloc(self.block().as_ptr(), layout);
        }
    }
}

/// Calls `visit` with every entry of a shard, in no order.
pub(super) fn for_each<V>(shard: &RawTable<(Entry, V)>, mut visit: impl FnMut(&Entry)) {
    // SAFETY: the iterator lives within the borrow of `shard`, which nothing can change meanwhile.
    unsafe { shard.iter().for_each(|bucket| visit(&bucket.as_ref().0)) }
}

/// Calls `visit` with the entries in these buckets of a shard, which it may change but for their keys, until it has had enough.
/// Returns the bucket where to go on, nothing at the end.
pub(super) fn walk_mut<V>(
    shard: &mut RawTable<(Entry, V)>,
    buckets: Range<usize>,
    mut visit: impl FnMut(&mut Entry) -> ControlFlow<()>,
) -> Option<usize> {
    // A table without entries says that it has a bucket.
    let end = if shard.is_empty() { 0 } else { shard.buckets() };
    let ended = (buckets.start..end.min(buckets.end)).find_map(|index| {
        // SAFETY: the index is below the number of buckets, and the bucket is looked at only when it is full; the borrow is
        // exclusive, and ends before the next bucket is looked at.
        let entry = unsafe { shard.is_bucket_full(index).then(|| &mut shard.bucket(index).as_mut().0) };
        entry.is_some_and(|entry| visit(entry).is_break()).then_some(index + 1)
    });
    ended.or((buckets.end < end).then_some(buckets.end))
}

/// As [`walk_mut`] from a bucket to the end, without a change.
pub(super) fn walk<V>(
    shard: &RawTable<(Entry, V)>,
    start: usize,
    mut visit: impl FnMut(&Entry) -> ControlFlow<()>,
) -> Option<usize> {
    let end = if shard.is_empty() { 0 } else { shard.buckets() };
    (start..end).find_map(|index| {
        // SAFETY: the index is below the number of buckets, and the bucket is looked at only when it is full; the reference
        // lives within the borrow of `shard`.
        let entry = unsafe { shard.is_bucket_full(index).then(|| &shard.bucket(index).as_ref().0) };
        entry.is_some_and(|entry| visit(entry).is_break()).then_some(index + 1)
    })
}

/// The first entry at or after bucket `start`, going round.
pub(super) fn next_from<V>(shard: &RawTable<(Entry, V)>, start: usize) -> Option<&Entry> {
    if shard.is_empty() {
        return None;
    }
    let buckets = shard.buckets();
    // SAFETY: every index is below the number of buckets, and a bucket is looked at only when it is full; the
    // reference lives within the borrow of `shard`.
    (0..buckets)
        .map(|step| (start + step) % buckets)
        .find_map(|index| unsafe { shard.is_bucket_full(index).then(|| &shard.bucket(index).as_ref().0) })
}

/// Asks the processor to have the cache line at `address` at hand soon. It is a hint, which may name any address.
#[inline]
fn prefetch_line<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads and changes nothing that a program could see, and faults on no address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Prefetches the first line of something.
#[inline]
pub(super) fn prefetch<T>(what: &T) {
    prefetch_line(ptr::from_ref(what));
}

/// Prefetches where a look for `hash` in a shard begins: its control bytes and its bucket.
#[inline]
pub(super) fn prefetch_bucket<V>(shard: &RawTable<(Entry, V)>, hash: u64) {
    let index = hash as usize & (shard.buckets() - 1);
    let control = shard.data_end().as_ptr();
    prefetch_line(control.cast::<u8>().wrapping_add(index));
    prefetch_line(control.wrapping_sub(index + 1));
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.key());
    }
}

const fn expiry_at() -> usize {
    HEADER
}

const fn cache_at(flags: u8) -> usize {
    HEADER + if flags & EXPIRY != 0 { EXPIRY_BYTES } else { 0 }
}

const fn shared_at(flags: u8) -> usize {
    cache_at(flags) + if flags & (INLINE | SHARED) != 0 { CACHE_BYTES } else { 0 }
}

const fn long_key_at(flags: u8) -> usize {
    shared_at(flags) + if flags & SHARED != 0 { SHARED_BYTES } else { 0 }
}

const fn key_at(flags: u8) -> usize {
    long_key_at(flags) + if flags & LONG_KEY != 0 { LONG_KEY_BYTES } else { 0 }
}

fn layout_of(flags: u8, key_length: usize, inline_length: usize) -> Layout {
    let size = key_at(flags) + key_length + inline_length;
    Layout::from_size_align(size, 8).expect("keys and values are bounded far below the address space")
}

#[cfg(test)]
mod tests;
