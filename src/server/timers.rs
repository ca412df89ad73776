//! What happens by itself: expiry, rates, freed memory.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::expiry::Expiry;
use super::warmth::Warmth;
use super::workers::Shared;
use crate::allocator;

/// How often it is looked whether the keys are loaded.
const START_EVERY: Duration = Duration::from_millis(10);

/// When a thread that could not be started is tried again, and how often one that was is looked after.
const CHECK_AFTER: Duration = Duration::from_secs(1);

/// How often rates are sampled.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// How often freed memory is given back to the system.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(1);

/// Runs for as long as the server does.
pub(super) async fn run(shared: Arc<Shared>) {
    tokio::join!(expire(&shared), keep_warm(&shared), sample(&shared), give_back());
}

/// Has keys and fields removed, from when they are loaded on.
async fn expire(shared: &Arc<Shared>) {
    let mut tick = interval(START_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if shared.node.keyspace().is_none() {
            continue;
        }
        match Expiry::start(shared) {
            // It ends with this future, which holds it.
            Ok(mut expiry) => loop {
                tokio::time::sleep(CHECK_AFTER).await;
                expiry.check();
            },
            Err(error) => {
                tracing::error!("no thread to remove keys whose time is over, which is tried again: {error}");
                tick.reset_after(CHECK_AFTER);
            }
        }
    }
}

/// Has values read back that were in memory before the start, and from then on remembered those that are.
async fn keep_warm(shared: &Arc<Shared>) {
    let mut tick = interval(START_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shared.node.keyspace().is_none() {
        tick.tick().await;
    }
    match Warmth::start(shared) {
        // It ends with this future, which holds it.
        Ok(_warmth) => std::future::pending().await,
        Err(error) => {
            tracing::warn!("no thread to read back what was in memory: values come when they are asked for: {error}")
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
