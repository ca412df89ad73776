//! `kill -9` in the middle of 50 clients' work, again and again on one directory.
//!
//! `tests/kill.sh` does it a thousand times.

use std::time::Duration;

use super::load::{Load, check, writers};
use super::queues::queues;
use crate::server::{Program, Server, compaction_passes, number, wait_until};

const CLIENTS: usize = 50;

const PATIENCE: Duration = Duration::from_secs(60);

/// Rounds on one directory.
const ROUNDS_PER_DIRECTORY: u64 = 10;

/// Small segments, and hardly anything that is left alone: they are full and compacted many times within a round.
const SMALL: [&str; 8] = [
    "--segment-size",
    "64kb",
    "--compaction-interval",
    "0",
    "--compaction-garbage-min",
    "0",
    "--space-amplification",
    "1.1",
];

/// Every policy in turn.
fn arguments(round: u64) -> Vec<&'static str> {
    let policy = ["always", "everysec", "no"][round as usize % 3];
    ["--appendfsync", policy].into_iter().chain(SMALL).collect()
}

#[test]
fn kill_9_loses_nothing_acknowledged() {
    let rounds = number("CASKADE_KILL_ROUNDS", 3);
    let (mut random, mut compacted) = (fastrand::Rng::with_seed(9), 0);
    for first in (0..rounds).step_by(ROUNDS_PER_DIRECTORY as usize) {
        let mut server = Server::start(Program::Caskade, &arguments(first));
        let (mut writers, mut queues) = (writers(CLIENTS), queues());
        for round in first..rounds.min(first + ROUNDS_PER_DIRECTORY) {
            let mut watching = server.connect();
            let load = Load::start(&server, writers, queues);
            load.wait_for(random.u64(500..8_000));
            // Then one or the other pass is under way, or the next.
            wait_until("a pass of compaction", PATIENCE, || load.has_stopped() || compaction_passes(&mut watching) > 0);
            compacted += compaction_passes(&mut watching);
            server.kill();
            (writers, queues) = load.finish();
            for _ in 0..random.u64(0..3) {
                // Killed while it recovers from the last time.
                server.respawn();
            }
            server = server.restart_with(&arguments(round + 1));
            check(&server, &mut writers, &mut queues);
        }
    }
    println!("{rounds} kills, after {compacted} passes of compaction");
    assert!(compacted >= rounds, "compaction was not forced in each of {rounds} rounds: {compacted} passes");
}
