//! What happens by itself: expiry, rates, freed memory.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::workers::Shared;
use crate::allocator;
use crate::stats::Event;

/// How often due keys are looked for.
const EXPIRY_EVERY: Duration = Duration::from_millis(10);

/// How many keys are removed before other tasks of the thread run.
const EXPIRY_SLICE: usize = 256;

/// How often rates are sampled.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// How often freed memory is given back to the system.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(1);

/// Runs for as long as the server does.
pub(super) async fn run(shared: Arc<Shared>) {
    tokio::join!(expire(&shared), sample(&shared), give_back());
}

async fn expire(shared: &Shared) {
    let mut tick = interval(EXPIRY_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let node = &shared.node;
        let Some(keyspace) = node.keyspace().filter(|_| node.expires_keys()) else { continue };
        let mut began = node.monotonic_nanoseconds();
        while keyspace.expire_due(keyspace.now(), EXPIRY_SLICE) >= EXPIRY_SLICE {
            let taken = node.monotonic_nanoseconds().saturating_sub(began);
            node.stats.expiry_nanoseconds.add(taken);
            node.note_event(Event::Expiry, taken);
            tokio::task::yield_now().await;
            began = node.monotonic_nanoseconds();
        }
    }
}

async fn sample(shared: &Shared) {
    let mut tick = interval(SAMPLE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        shared.node.sample();
    }
}

/// Without it, memory that was freed stays with the process for as long as nobody frees more: a container would be
/// charged for it, and killed for it.
async fn give_back() {
    let mut tick = interval(GIVE_BACK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // Gigabytes take a while, and keys must expire meanwhile. It fails only when the server ends.
        let _ = tokio::task::spawn_blocking(allocator::give_back).await;
    }
}
