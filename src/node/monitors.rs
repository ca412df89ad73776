//! MONITOR: connections that are shown what all others do.
//!
//! Always true: nobody is shown a secret; a command pays one look where nobody is shown anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use parking_lot::Mutex;

use super::{Client, Node, Post};
use crate::protocol::Reply;
use crate::store::Position;

/// Who is shown what others do.
#[derive(Debug, Default)]
pub struct Monitors {
    count: AtomicUsize,
    clients: Mutex<Vec<Arc<Client>>>,
}

impl Monitors {
    /// Whether there is anybody.
    #[inline]
    pub fn is_used(&self) -> bool {
        self.count.load(SeqCst) != 0
    }

    /// Shows a connection what others do from now on.
    pub fn add(&self, client: &Arc<Client>) {
        let mut clients = self.clients.lock();
        if !clients.iter().any(|known| known.id == client.id) {
            clients.push(client.clone());
            self.count.store(clients.len(), SeqCst);
            client.set_monitors(true);
        }
    }

    /// Shows it nothing more.
    pub fn remove(&self, client: &Client) {
        let mut clients = self.clients.lock();
        clients.retain(|known| known.id != client.id);
        self.count.store(clients.len(), SeqCst);
        client.set_monitors(false);
    }
}

impl Node {
    /// Shows a line to all who want to see what others do; it arrives once the log has reached `wait`.
    pub fn show(&self, line: String, wait: Position) {
        let post = Post::new(Reply::Status(line), wait);
        // Nobody comes between two lines: all see the same order.
        for client in self.monitors.clients.lock().iter() {
            self.deliver(client, &post);
        }
    }
}
