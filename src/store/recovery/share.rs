//! Work in parts that several threads share.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::Builder;

use parking_lot::Mutex;

use super::Progress;
use crate::store::error::OpenError;

/// Does `count` parts of some work in up to `threads` threads, this one included; with one, in their order. Each part
/// says how many bytes it has read. After an error no part is begun; of several errors, that of the first part counts.
pub(super) fn share(
    threads: usize,
    count: usize,
    progress: &mut Progress<'_>,
    part: &(dyn Fn(usize) -> Result<u64, OpenError> + Sync),
) -> Result<(), OpenError> {
    let shared = Shared { count, part, next: AtomicUsize::new(0), done: AtomicU64::new(0), failed: Mutex::default() };
    let told = std::thread::scope(|scope| {
        for _ in 1..threads.min(count) {
            // With fewer threads it takes longer.
            if Builder::new().name("load".to_owned()).spawn_scoped(scope, || shared.work(&mut |_| {})).is_err() {
                break;
            }
        }
        let mut told = 0;
        shared.work(&mut |done| {
            progress.add(done - told);
            told = done;
        });
        told
    });
    progress.add(shared.done.into_inner() - told);
    shared.failed.into_inner().map_or(Ok(()), |(_, error)| Err(error))
}

struct Shared<'a> {
    count: usize,
    part: &'a (dyn Fn(usize) -> Result<u64, OpenError> + Sync),
    next: AtomicUsize,
    /// Bytes read.
    done: AtomicU64,
    failed: Mutex<Option<(usize, OpenError)>>,
}

impl Shared<'_> {
    fn work(&self, went_on: &mut dyn FnMut(u64)) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.count || self.failed.lock().is_some() {
                return;
            }
            match (self.part)(index) {
                Ok(bytes) => went_on(self.done.fetch_add(bytes, Ordering::Relaxed) + bytes),
                Err(error) => {
                    let mut failed = self.failed.lock();
                    if failed.as_ref().is_none_or(|(first, _)| index < *first) {
                        *failed = Some((index, error));
                    }
                    return;
                }
            }
        }
    }
}
