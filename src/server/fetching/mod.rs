//! Values are fetched from the disk on threads of their own, which all connections share.
//!
//! Always true: each value is a job of its own, so that whatever one request or one pipeline asks for is read together; jobs begin in
//! the order in which they were asked for; there are only as many threads as there are jobs under way, and
//! [`THREADS_MAX`] at most.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::workers::Shared;
use crate::keyspace::{Cold, Fetched};

/// As many reads are under way at the most. Disks answer no more a second with more of them.
const THREADS_MAX: usize = 64;

/// A thread that has had nothing to do for so long ends.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// They call nothing that goes deep.
const STACK_BYTES: usize = 256 << 10;

/// The threads, and what they are to do.
#[derive(Default)]
pub(super) struct Fetchers {
    queue: Mutex<Queue>,
    available: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

struct Job {
    cold: Cold,
    order: Arc<Order>,
    place: usize,
}

/// What was asked for together.
struct Order(Mutex<State>);

struct State {
    fetched: Vec<Option<Fetched>>,
    left: usize,
    /// A thread could not do what it had to.
    failed: bool,
    waker: Option<Waker>,
}

/// Fetches values, all at the same time as far as there are threads; those come back in this order, or nothing if something failed
/// that should not be possible.
pub(super) async fn fetch(shared: &Arc<Shared>, cold: Vec<Cold>) -> Option<Vec<Fetched>> {
    let count = cold.len();
    let state = State { fetched: Vec::new(), left: count, failed: false, waker: None };
    let order = Arc::new(Order(Mutex::new(state)));
    order.0.lock().fetched.resize_with(count, || None);
    let mut jobs: Vec<Job> =
        cold.into_iter().enumerate().map(|(place, cold)| Job { cold, order: order.clone(), place }).collect();
    // What stands side by side is read one after the other.
    jobs.sort_unstable_by_key(|job| job.cold.location());
    shared.fetchers.add(shared, jobs);
    poll_fn(|context| {
        let mut state = order.0.lock();
        if state.left == 0 {
            return Poll::Ready(());
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.waker = Some(context.waker().clone());
        }
        Poll::Pending
    })
    .await;
    let mut state = order.0.lock();
    if state.failed { None } else { std::mem::take(&mut state.fetched).into_iter().collect() }
}

impl Fetchers {
    fn add(&self, shared: &Arc<Shared>, jobs: Vec<Job>) {
        let mut queue = self.queue.lock();
        queue.jobs.extend(jobs);
        let wanted = queue.jobs.len().saturating_sub(queue.idle).min(THREADS_MAX - queue.threads);
        let wakes = queue.idle > 0;
        queue.threads += wanted;
        drop(queue);
        if wakes {
            self.available.notify_one();
        }
        for _ in 0..wanted {
            self.start(shared);
        }
    }

    /// Starts a thread that is counted already.
    fn start(&self, shared: &Arc<Shared>) {
        let work = {
            let shared = shared.clone();
            move || shared.fetchers.work(&shared)
        };
        let thread = std::thread::Builder::new().name("caskade-fetch".to_owned()).stack_size(STACK_BYTES).spawn(work);
        if let Err(error) = thread {
            let mut queue = self.queue.lock();
            queue.threads -= 1;
            // Those that are there do it. Without any, nobody would.
            let left = if queue.threads == 0 { std::mem::take(&mut queue.jobs) } else { VecDeque::new() };
            drop(queue);
            tracing::warn!("no thread to read values from the disk with: {error}");
            left.into_iter().for_each(|job| job.order.note(job.place, None));
        }
    }

    fn work(&self, shared: &Shared) {
        let mut queue = self.queue.lock();
        loop {
            while let Some(job) = queue.jobs.pop_front() {
                // Whoever asks wakes one only, and each the next: it has clients to serve.
                let wakes = !queue.jobs.is_empty() && queue.idle > 0;
                drop(queue);
                if wakes {
                    self.available.notify_one();
                }
                job.run(shared);
                queue = self.queue.lock();
            }
            queue.idle += 1;
            let timed_out = self.available.wait_for(&mut queue, IDLE_MAX).timed_out();
            queue.idle -= 1;
            if timed_out && queue.jobs.is_empty() {
                queue.threads -= 1;
                return;
            }
        }
    }
}

impl Job {
    fn run(self, shared: &Shared) {
        let Self { cold, order, place } = self;
        let fetch = || shared.node.keyspace().map(|keyspace| cold.fetch(keyspace));
        // Whoever waits must not do so for ever.
        let fetched = std::panic::catch_unwind(std::panic::AssertUnwindSafe(fetch)).unwrap_or_default();
        order.note(place, fetched);
    }
}

impl Order {
    fn note(&self, place: usize, fetched: Option<Fetched>) {
        let mut state = self.0.lock();
        state.failed |= fetched.is_none();
        state.fetched[place] = fetched;
        state.left -= 1;
        let waker = if state.left == 0 { state.waker.take() } else { None };
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
