//! A connection whose command waits: for keys, for the disk, or for clients to be let go on.
//!
//! Always true: what it was sent before and what others have for it goes out meanwhile; what the client sends is taken in,
//! as far as there is room for it, and not executed; a client that goes away waits no longer.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::connection::{Connection, End, receive, told};
use crate::commands::{Batch, Ended, end_waiting};
use crate::node::{Node, PauseMode, Told, Waiter};

/// What a connection waits for.
#[derive(Clone)]
pub(super) enum Waits {
    /// Its command, until this moment if there is one: somebody else will have answered it.
    Answer(Arc<Waiter>, Option<Instant>),
    /// Clients are held back; the request runs when they are not.
    Pause,
}

impl Waits {
    /// A command that begins to wait now.
    pub(super) fn answer(waiter: Arc<Waiter>) -> Self {
        let deadline = waiter.block.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Self::Answer(waiter, deadline)
    }
}

/// What has happened to a connection that waits.
enum Event {
    /// It need not wait any longer.
    Over,
    /// Its command ends like this.
    Ends(Ended),
    /// Others have something for it.
    Messages,
    /// The client has sent so many bytes.
    Received(usize),
    /// Something else is to be waited for.
    Changed,
}

impl Connection {
    /// Waits; returns how many bytes have come meanwhile. If it ends with an error, what was waited for stays noted.
    pub(super) async fn wait(&mut self, waits: Waits) -> Result<usize, End> {
        let held_back = matches!(waits, Waits::Pause).then(|| HeldBack::new(self));
        let received = self.wait_until_over(&waits).await?;
        drop(held_back);
        self.waits = None;
        if let Waits::Answer(waiter, _) = waits {
            self.take_back(&waiter);
        }
        Ok(received)
    }

    /// Takes back the session that was left with a command that waits, and its answer if it has one.
    pub(super) fn take_back(&mut self, waiter: &Waiter) {
        let Some(parked) = self.shared.node.waiting.take_back(waiter) else { return };
        self.session = parked.session;
        // What its own command has caused comes before its answer.
        self.session.take_messages(&mut self.out);
        self.out.raw_shared(Bytes::from(parked.out.to_vec()));
        self.session.note_wait(parked.wait);
    }

    async fn wait_until_over(&mut self, waits: &Waits) -> Result<usize, End> {
        let shared = self.shared.clone();
        let mut received = 0;
        loop {
            self.check_query_limit()?;
            let (ahead, stream, input, out) = (&mut self.ahead, &mut self.stream, &mut self.input, &mut self.out);
            let take_in = async move {
                ahead.admit(input, 0).await;
                receive(stream, input, out).await
            };
            let event = tokio::select! {
                biased;
                // First, as it is what wakes this task when clients are let go on.
                told = told(&self.session.client) => match told {
                    Told::Killed => return Err(self.killed()),
                    Told::Messages => Event::Messages,
                },
                event = until(&shared.node, waits) => event,
                read = take_in => match read {
                    Ok(0) | Err(_) => return Err(End::Closed),
                    Ok(bytes) => Event::Received(bytes),
                },
            };
            match event {
                Event::Over => return Ok(received),
                Event::Ends(ended) => {
                    if let Waits::Answer(waiter, _) = waits {
                        // If somebody was faster, it is answered already.
                        end_waiting(&shared.node, &shared.registry, waiter, &ended);
                    }
                }
                Event::Messages => {
                    let mut batch = Batch::begin(&shared.node);
                    self.session.take_messages(&mut self.out);
                    batch.wait = self.session.take_wait();
                    self.settle(&batch).await?;
                    received += self.flush(true, false).await?;
                }
                Event::Received(bytes) => received += bytes,
                Event::Changed => {}
            }
        }
    }
}

/// What the waiting itself comes to.
async fn until(node: &Node, waits: &Waits) -> Event {
    let (waiter, deadline) = match waits {
        Waits::Answer(waiter, deadline) => (waiter, *deadline),
        Waits::Pause => return until_let_go(node).await,
    };
    tokio::select! {
        biased;
        () = poll_fn(|context| waiter.poll_answered(context.waker())) => Event::Over,
        ended = durable(node, waiter), if waiter.block.ends_durable => Event::Ends(ended),
        () = async { match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        } } => Event::Ends(Ended::TimedOut),
    }
}

async fn durable(node: &Node, waiter: &Waiter) -> Ended {
    let Some(keyspace) = node.keyspace() else { return std::future::pending().await };
    let position = waiter.block.position;
    match poll_fn(|context| keyspace.store().poll_durable(position, context.waker())).await {
        Ok(()) => Ended::Durable,
        Err(failed) => Ended::LogFailed(failed.to_string()),
    }
}

/// Who changes what is held back wakes all connections, which is when this looks again.
async fn until_let_go(node: &Node) -> Event {
    let Some(pause) = current(node) else { return Event::Over };
    let changed = poll_fn(|_| if current(node) == Some(pause) { Poll::Pending } else { Poll::Ready(()) });
    let left = Duration::from_millis(pause.1.saturating_sub(node.now()));
    let end = Instant::now().checked_add(left);
    tokio::select! {
        biased;
        () = changed => Event::Changed,
        () = async { match end {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        } } => Event::Changed,
    }
}

fn current(node: &Node) -> Option<(PauseMode, u64)> {
    node.pause.current(|| node.now())
}

/// While it is there, its connection counts as held back.
struct HeldBack {
    shared: Arc<super::workers::Shared>,
    client: Arc<crate::node::Client>,
}

impl HeldBack {
    fn new(connection: &Connection) -> Self {
        let held_back = Self { shared: connection.shared.clone(), client: connection.session.client.clone() };
        held_back.note(true);
        held_back
    }

    fn note(&self, is_held_back: bool) {
        self.client.set_blocked(is_held_back);
        self.shared.node.pause.count(is_held_back);
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        self.note(false);
    }
}
