//! The port for those who watch: numbers for Prometheus, whether the server is alive and ready, and a page that draws it.
//!
//! Always true: nothing here changes anything or tells of keys, values, clients or passwords; what is told is what INFO
//! tells. It runs beside the clients' threads, never on one of them, and takes a bounded number of connections, each for
//! a bounded time.
//!
//! | file | what |
//! | --- | --- |
//! | `http` | connections, their limits, and which path is answered by what |
//! | `exposition` | Prometheus's text format |
//! | `exporter` | what redis_exporter would tell, by its names |
//! | `own` | what only this server has |
//! | `facts` | INFO's fields as numbers; whether the server is ready |
//! | `history` | the last minutes, second by second |
//! | `status` | what the page draws |
//! | `page.html` | the page |

mod exporter;
mod exposition;
mod facts;
mod history;
mod http;
mod own;
mod status;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};

use self::history::History;
use super::workers::Shared;

/// How often the history gets a sample.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// What those who watch are told from.
struct Watched {
    shared: Arc<Shared>,
    history: History,
}

/// Serves the port for as long as the server runs.
pub(super) async fn run(listeners: &[TcpListener], shared: &Arc<Shared>) {
    if listeners.is_empty() {
        return std::future::pending().await;
    }
    let watched = Arc::new(Watched { shared: shared.clone(), history: History::default() });
    tokio::join!(http::accept(listeners, &watched), sample(&watched));
}

async fn sample(watched: &Arc<Watched>) {
    let mut tick = interval(SAMPLE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let watched = watched.clone();
        // Among thousands of clients it takes a while to add up their memory. It fails only when the server ends.
        let _ = tokio::task::spawn_blocking(move || watched.history.sample(&watched.shared)).await;
    }
}
