//! The allocator of the program: mimalloc, built by a C compiler alone, and a count of what it hands out.
//!
//! Always true: the count is the sum of the sizes of all living blocks as mimalloc rounded them, and is exact whenever
//! no thread is in the middle of an allocation. No thread waits for another to count.
//!
//! mimalloc counts only in builds for debugging, so the count is kept here. Each thread adds to a counter of its own;
//! a block may be freed by another thread than the one that allocated it, so one counter says nothing, only the sum.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ffi::{c_int, c_long, c_void};
use std::ptr;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};

use libmimalloc_sys as _;

// The calls that tell the size of a block, which the crate does not declare.
unsafe extern "C" {
    fn mi_umalloc(size: usize, block_size: *mut usize) -> *mut c_void;
    fn mi_umalloc_aligned(size: usize, alignment: usize, block_size: *mut usize) -> *mut c_void;
    fn mi_ucalloc(count: usize, size: usize, block_size: *mut usize) -> *mut c_void;
    fn mi_uzalloc_aligned(size: usize, alignment: usize, block_size: *mut usize) -> *mut c_void;
    fn mi_urealloc(block: *mut c_void, size: usize, before: *mut usize, after: *mut usize) -> *mut c_void;
    fn mi_ufree(block: *mut c_void, block_size: *mut usize);
    fn mi_collect(force: bool);
    fn mi_option_set_default(option: c_int, value: c_long);
    fn mi_version() -> c_int;
}

/// The number of `mi_option_page_max_reclaim`.
const PAGE_MAX_RECLAIM: c_int = 41;

/// How many pages of one size of blocks a thread takes back after it has filled them. A thread looks at what others
/// freed in its pages only when it allocates; the pages it did not take back are freed by whoever frees their last
/// block. Without a limit, an idle thread could keep all that it ever allocated.
const PAGES_TAKEN_BACK: c_long = 8;

/// mimalloc aligns every block to this, but for blocks that are smaller.
const ALIGNMENT: usize = 16;

/// How many threads have a counter of their own, which they never give back; all later ones share one.
const OWNERS: usize = 255;

/// What `#[global_allocator]` names.
pub struct Allocator;

/// A counter on cache lines of its own: processors fetch them in pairs.
#[repr(align(128))]
struct Counter(AtomicIsize);

static COUNTERS: [Counter; OWNERS + 1] = [const { Counter(AtomicIsize::new(0)) }; OWNERS + 1];

/// How many counters have an owner.
static OWNED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // Neither made on the heap nor destroyed, so that the allocator itself may use it at any time.
    static OWN: Cell<Option<&'static AtomicIsize>> = const { Cell::new(None) };
}

/// Settings for a server, unless the environment (`MIMALLOC_...`) has others.
pub fn configure() {
    // SAFETY: the option exists (a test holds that the number is its own); setting it has no conditions.
    unsafe { mi_option_set_default(PAGE_MAX_RECLAIM, PAGES_TAKEN_BACK) }
}

/// The bytes of all living blocks, rounding included.
pub fn allocated() -> u64 {
    let sum = COUNTERS.iter().fold(0isize, |sum, counter| sum.wrapping_add(counter.0.load(Relaxed)));
    // While threads count, one may be seen to free what another was not yet seen to allocate.
    sum.max(0) as u64
}

/// Bytes of this process in the machine's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// All.
    pub all: u64,
    /// The part of them that are pages of files, which are the program itself.
    pub of_files: u64,
}

/// What the process has of the machine's memory, as the kernel says; nothing where it does not say.
pub fn resident() -> Resident {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = pages.split_whitespace().map(|field| field.parse::<u64>().unwrap_or(0)).skip(1);
    let mut bytes = || pages.next().unwrap_or(0) * rustix::param::page_size() as u64;
    Resident { all: bytes(), of_files: bytes() }
}

/// Gives memory back to the system that was freed and has not been used for a second. mimalloc itself does so only
/// when a thread frees more.
pub fn give_back() {
    // SAFETY: it may be called at any time, by any thread.
    unsafe { mi_collect(false) }
}

/// As [`give_back`], of all that was freed, however lately.
pub fn purge() {
    // SAFETY: it may be called at any time, by any thread.
    unsafe { mi_collect(true) }
}

/// Name and version.
pub fn name() -> String {
    // SAFETY: it has no conditions.
    let version = unsafe { mi_version() };
    format!("mimalloc-{}.{}.{}", version / 10_000, version / 100 % 100, version % 100)
}

// SAFETY: blocks are mimalloc's, which has at least the wanted size and alignment: by itself (see `is_natural`), or
// since it was asked for it. Nothing here allocates or panics.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut size = 0;
        // SAFETY: any size and any power of two is allowed.
        let block = unsafe {
            match is_natural(layout) {
                true => mi_umalloc(layout.size(), &raw mut size),
                false => mi_umalloc_aligned(layout.size(), layout.align(), &raw mut size),
            }
        };
        if !block.is_null() {
            count(size as isize);
        }
        block.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let mut size = 0;
        // SAFETY: any size and any power of two is allowed.
        let block = unsafe {
            match is_natural(layout) {
                true => mi_ucalloc(1, layout.size(), &raw mut size),
                false => mi_uzalloc_aligned(layout.size(), layout.align(), &raw mut size),
            }
        };
        if !block.is_null() {
            count(size as isize);
        }
        block.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        let mut size = 0;
        // SAFETY: the caller gives back a block of this allocator, whatever its layout.
        unsafe { mi_ufree(block.cast(), &raw mut size) };
        count(-(size as isize));
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size does not overflow when rounded up to this alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if is_natural(wanted) {
            let (mut before, mut after) = (0, 0);
            // SAFETY: the caller gives a block of this allocator.
            let moved = unsafe { mi_urealloc(block.cast(), size, &raw mut before, &raw mut after) };
            if !moved.is_null() {
                count(after as isize - before as isize);
            }
            return moved.cast();
        }
        // SAFETY: both blocks have the bytes that are copied; the old one is the caller's, and given back once.
        unsafe {
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// Whether a block of this size is aligned as wanted without asking.
#[inline]
fn is_natural(layout: Layout) -> bool {
    layout.align() <= ALIGNMENT && layout.align() <= layout.size()
}

#[inline]
fn count(bytes: isize) {
    match OWN.get() {
        // Only this thread writes to it.
        Some(own) => own.store(own.load(Relaxed).wrapping_add(bytes), Relaxed),
        None => count_without_own(bytes),
    }
}

#[cold]
fn count_without_own(bytes: isize) {
    let taken = OWNED.fetch_update(Relaxed, Relaxed, |owned| (owned < OWNERS).then_some(owned + 1));
    let counter = &COUNTERS[taken.unwrap_or(OWNERS)].0;
    counter.fetch_add(bytes, Relaxed);
    if taken.is_ok() {
        OWN.set(Some(counter));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" {
        fn mi_option_get(option: c_int) -> c_long;
    }

    /// The count is one for the whole process: here alone the allocator is used, by one test at a time.
    static ALONE: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

    fn layouts() -> impl Iterator<Item = Layout> {
        let sizes = [1, 7, 8, 9, 16, 24, 33, 64, 100, 1000, 1024, 4096, 40_000, 100_000, 1_000_000];
        let layout = |size, alignment| Layout::from_size_align(size, alignment).unwrap();
        sizes.into_iter().flat_map(move |size| (0..13).map(move |power| layout(size, 1 << power)))
    }

    fn bytes(block: *mut u8, length: usize) -> &'static mut [u8] {
        assert!(!block.is_null());
        unsafe { std::slice::from_raw_parts_mut(block, length) }
    }

    #[test]
    fn every_block_is_aligned_counted_and_taken_back() {
        let _alone = ALONE.lock();
        let before = allocated();
        for layout in layouts().chain([Layout::from_size_align(40 << 20, 8).unwrap()]) {
            let block = unsafe { Allocator.alloc(layout) };
            bytes(block, layout.size()).fill(1);
            assert!(block.addr().is_multiple_of(layout.align()), "{layout:?}");
            let counted = (allocated() - before) as usize;
            // An eighth is rounding; a wanted alignment may take as much again.
            let most = layout.size().max(64) * 9 / 8 + 2 * layout.align() + 4096 * usize::from(layout.size() > 8192);
            assert!((layout.size()..=most).contains(&counted), "{layout:?}: {counted}");
            unsafe { Allocator.dealloc(block, layout) };
            assert_eq!(allocated(), before, "{layout:?}");
        }
    }

    #[test]
    fn a_zeroed_block_is_zero_though_it_was_used_before() {
        let _alone = ALONE.lock();
        let before = allocated();
        for layout in layouts() {
            for _ in 0..2 {
                let block = unsafe { Allocator.alloc_zeroed(layout) };
                assert!(block.addr().is_multiple_of(layout.align()), "{layout:?}");
                assert!(bytes(block, layout.size()).iter().all(|byte| *byte == 0), "{layout:?}");
                bytes(block, layout.size()).fill(1);
                unsafe { Allocator.dealloc(block, layout) };
            }
        }
        assert_eq!(allocated(), before);
    }

    #[test]
    fn a_block_that_grows_or_shrinks_keeps_its_bytes_and_alignment() {
        let _alone = ALONE.lock();
        let before = allocated();
        for layout in layouts() {
            for size in [1, 8, 17, 500, 5000, 70_000] {
                let block = unsafe { Allocator.alloc(layout) };
                let kept = layout.size().min(size);
                bytes(block, kept).iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8);
                let block = unsafe { Allocator.realloc(block, layout, size) };
                assert!(block.addr().is_multiple_of(layout.align()), "{layout:?} to {size}");
                assert!(bytes(block, kept).iter().enumerate().all(|(at, byte)| *byte == at as u8), "{layout:?}");
                assert!(allocated() - before >= size as u64, "{layout:?} to {size}");
                unsafe { Allocator.dealloc(block, Layout::from_size_align(size, layout.align()).unwrap()) };
                assert_eq!(allocated(), before, "{layout:?} to {size}");
            }
        }
    }

    #[test]
    fn what_cannot_be_had_is_not_counted() {
        let _alone = ALONE.lock();
        let before = allocated();
        for alignment in [1, 4096] {
            let layout = Layout::from_size_align(isize::MAX as usize / 2, alignment).unwrap();
            assert!(unsafe { Allocator.alloc(layout) }.is_null());
            assert!(unsafe { Allocator.alloc_zeroed(layout) }.is_null());
        }
        assert_eq!(allocated(), before);
    }

    #[test]
    fn the_sum_is_right_whoever_frees_and_however_many_threads_there_were() {
        let _alone = ALONE.lock();
        let (before, layout) = (allocated(), Layout::from_size_align(4096, 8).unwrap());
        for _ in 0..=OWNERS {
            let blocks =
                std::thread::spawn(move || [(); 2].map(|()| bytes(unsafe { Allocator.alloc(layout) }, layout.size())));
            let [mine, other] = blocks.join().unwrap();
            assert_eq!(allocated() - before, 2 * 4096);
            unsafe { Allocator.dealloc(mine.as_mut_ptr(), layout) };
            std::thread::spawn(move || unsafe { Allocator.dealloc(other.as_mut_ptr(), layout) }).join().unwrap();
            assert_eq!(allocated(), before);
        }
        assert_eq!(OWNED.load(Relaxed), OWNERS);
    }

    #[test]
    fn the_option_has_the_number_it_is_set_by() {
        // The neighbours' defaults tell it apart: commit on demand is off, across threads 32 pages are taken back.
        let values = || [-1, 0, 1].map(|next| unsafe { mi_option_get(PAGE_MAX_RECLAIM + next) });
        configure();
        assert_eq!(values(), [0, PAGES_TAKEN_BACK, 32]);
    }

    #[test]
    fn the_name_has_the_version() {
        let version = name();
        assert!(version.starts_with("mimalloc-3."), "{version}");
    }
}
