//! Clients that write as fast as they can.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::connection::encode;
use crate::server::Server;

const DEPTH: usize = 32;

/// What has come of it.
#[derive(Debug, Default)]
pub struct Outcome {
    pub answered: AtomicU64,
    pub refused: AtomicU64,
}

/// Has so many connections send what `request` makes, in pipelines, until the time is over. `request` is told which
/// connection asks, and how much of the time is over, 0 to 1.
pub fn write(
    server: &Server,
    connections: usize,
    time: Duration,
    request: impl Fn(&mut Rng, usize, f64) -> Vec<Vec<u8>> + Sync,
) -> Outcome {
    let (outcome, began) = (Outcome::default(), Instant::now());
    std::thread::scope(|scope| {
        for number in 0..connections {
            let (outcome, request) = (&outcome, &request);
            scope.spawn(move || {
                let (mut client, mut rng) = (server.connect(), Rng::with_seed(number as u64));
                while began.elapsed() < time {
                    let over = began.elapsed().as_secs_f64() / time.as_secs_f64();
                    let requests: Vec<u8> =
                        (0..DEPTH).flat_map(|_| encode(&request(&mut rng, number, over.min(0.999)))).collect();
                    client.send_raw(&requests).expect("to send");
                    for _ in 0..DEPTH {
                        let reply = client.receive().expect("an answer");
                        let count = if reply.is_error() { &outcome.refused } else { &outcome.answered };
                        count.fetch_add(1, SeqCst);
                    }
                }
            });
        }
    });
    outcome
}
