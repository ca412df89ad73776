//! `kill -9` in the middle of 50 clients' work, again and again on one directory.

use super::load::{Load, check, writers};
use crate::server::{Program, Server, number};

const CLIENTS: usize = 50;

/// Rounds on one directory.
const ROUNDS_PER_DIRECTORY: u64 = 10;

/// Every policy in turn, with segments of the usual size and, twice as often, with ones that are full and compacted many
/// times within a round.
fn arguments(round: u64) -> Vec<&'static str> {
    let mut arguments = vec!["--appendfsync", ["always", "everysec", "no"][round as usize % 3]];
    if !(round / 3).is_multiple_of(3) {
        arguments.extend(["--segment-size", "64kb", "--compaction-interval", "0"]);
        arguments.extend(["--compaction-garbage-min", "0", "--space-amplification", "1.1"]);
    }
    arguments
}

#[test]
fn kill_9_loses_nothing_acknowledged() {
    let rounds = number("CASKADE_KILL_ROUNDS", 3);
    let mut random = fastrand::Rng::with_seed(9);
    for first in (0..rounds).step_by(ROUNDS_PER_DIRECTORY as usize) {
        let mut server = Server::start(Program::Caskade, &arguments(first));
        let mut writers = writers(CLIENTS);
        for round in first..rounds.min(first + ROUNDS_PER_DIRECTORY) {
            let load = Load::start(&server, writers, u64::MAX);
            load.wait_for(random.u64(500..8_000));
            server.kill();
            writers = load.finish();
            for _ in 0..random.u64(0..3) {
                // Killed while it recovers from the last time.
                server.respawn();
            }
            server = server.restart_with(&arguments(round + 1));
            check(&server, &mut writers);
        }
    }
}
