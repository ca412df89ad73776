//! Replies on their way to a client, and what may wait for one that does not read.
//!
//! Always true: replies leave in the order in which they were written; what waits is bounded by the limits on output, and what
//! is taken in meanwhile by the room there is for what is sent ahead.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Connection, End, OUTPUT_BYTES_HIGH};
use crate::commands::{Ended, end_waiting};
use crate::config::OutputLimit;
use crate::node::{Client, ClientKind, Told};
use crate::protocol::TEXT_BYTES_KEPT;
use crate::server::waiting::Waits;

const SLICES: usize = 16;

/// How often is looked whether more waits for a client that does not read than may for long.
const SOFT_LIMIT_INTERVAL: Duration = Duration::from_secs(1);

/// When so much waits that a client has sent ahead, it is executed although it does not read, if there is room for replies.
const INPUT_BYTES_AHEAD: usize = 32 * 1024;

/// Bytes of replies that no limit on output counts: not even the strictest one may cut off an ordinary reply, whose buffer may
/// have been lent by a connection with longer ones.
const OUTPUT_BYTES_FREE: u64 = TEXT_BYTES_KEPT as u64;

/// The least that `client-query-buffer-limit` can be: up to here there is no need to look it up.
const QUERY_LIMIT_MIN: u64 = 1024 * 1024;

impl Connection {
    /// Sends all replies, as [`Connection::flush`] does. A command that waits does so meanwhile: its time can be over before a
    /// client reads.
    pub(super) async fn flush_waiting(&mut self, reads: bool, has_more: bool) -> Result<usize, End> {
        let Some(Waits::Answer(waiter, Some(deadline))) = self.waits.clone() else {
            return self.flush(reads, has_more).await;
        };
        let in_time = {
            let flushing = self.flush(reads, has_more);
            tokio::select! {
                biased;
                flushed = flushing => Some(flushed),
                () = sleep_until(deadline) => None,
            }
        };
        match in_time {
            Some(flushed) => flushed,
            None => {
                end_waiting(&self.shared.node, &self.shared.registry, &waiter, &Ended::TimedOut);
                self.flush(reads, has_more).await
            }
        }
    }

    /// Sends all replies. What the client sends meanwhile is taken in if `reads`, as far as there is room. Returns how many
    /// bytes that were. If there are requests to be executed, because the caller `has_more` or they have come, some replies
    /// may be left: a client that sends a long pipeline before it reads would wait for ever.
    pub(in crate::server) async fn flush(&mut self, mut reads: bool, has_more: bool) -> Result<usize, End> {
        let mut received = 0;
        while !self.out.is_empty() {
            self.check_output_limit()?;
            self.check_query_limit()?;
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.out.as_slices(&mut slices);
            match self.stream.try_write(&slices[..count]) {
                Ok(0) => return Err(End::Closed),
                Ok(sent) => {
                    self.out.advance(sent);
                    self.session.client.note_output(sent as u64);
                    self.shared.node.stats.output_bytes.add(sent as u64);
                    self.shared.node.stats.writes.add(1);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if reads && (has_more || received > 0) && self.executes_ahead() {
                        return Ok(received);
                    }
                    match Box::pin(self.wait_for_reader(reads)).await? {
                        // What was asked for is answered even if the client will ask no more.
                        Some(0) => reads = false,
                        more => received += more.unwrap_or(0),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(End::Closed),
            }
        }
        self.over_soft_since = None;
        self.output_high = OUTPUT_BYTES_HIGH;
        self.session.client.note_unsent(0);
        Ok(received)
    }

    /// Whether requests are executed although the replies before are not read: enough of them wait, and there is room for
    /// more replies.
    fn executes_ahead(&mut self) -> bool {
        let replies = self.out.memory_bytes();
        if self.waits.is_some()
            || self.input.len() < INPUT_BYTES_AHEAD
            || !self.ahead.admits_replies(&self.input, replies)
        {
            return false;
        }
        self.output_high = self.out.len() + OUTPUT_BYTES_HIGH;
        true
    }

    /// How a connection ends that was killed.
    pub(in crate::server) fn killed(&self) -> End {
        match &self.session.client {
            client if client.is_cut_off() => End::OutputLimit,
            client if client.is_evicted() => End::Evicted,
            _ => End::Closed,
        }
    }

    /// What may wait for this client.
    fn output_limit(&self) -> OutputLimit {
        let limits = &self.shared.node.config.get().client_output_buffer_limit;
        match self.session.client.kind() {
            ClientKind::Normal => limits.normal,
            ClientKind::PubSub => limits.pubsub,
        }
    }

    /// The bytes that wait for it.
    fn waiting_bytes(&self) -> u64 {
        ((self.out.memory_bytes() + self.session.client.outbox.bytes()) as u64).saturating_sub(OUTPUT_BYTES_FREE)
    }

    /// Waits until the client takes replies. If it sends something first and `reads`, that is taken in, and its length
    /// returned.
    async fn wait_for_reader(&mut self, reads: bool) -> Result<Option<usize>, End> {
        let limit = self.output_limit();
        let over_soft = limit.soft > 0 && self.waiting_bytes() > limit.soft;
        let since = over_soft.then(|| *self.over_soft_since.get_or_insert_with(Instant::now));
        if since.is_none() {
            self.over_soft_since = None;
        }
        self.session.client.note_unsent(self.out.memory_bytes());
        let killed = killed(&self.session.client);
        // Messages may come meanwhile, which count as well.
        let look_again = async {
            match since {
                Some(since) => sleep_until(since + Duration::from_secs(limit.soft_seconds)).await,
                None if limit.soft > 0 => sleep_until(Instant::now() + SOFT_LIMIT_INTERVAL).await,
                None => std::future::pending().await,
            }
        };
        let replies = self.out.memory_bytes().saturating_sub(TEXT_BYTES_KEPT);
        let (ahead, stream, input) = (&mut self.ahead, &self.stream, &mut self.input);
        let take_in = async move {
            ahead.admit(input, replies).await;
            stream.read_ready(input).await
        };
        tokio::select! {
            biased;
            () = killed => Err(self.killed()),
            ready = self.stream.writable() => ready.map(|()| None).map_err(|_| End::Closed),
            () = look_again => if over_soft { Err(End::OutputLimit) } else { Ok(None) },
            read = take_in, if reads => read.map(Some).map_err(|_| End::Closed),
        }
    }

    pub(in crate::server) fn check_query_limit(&self) -> Result<(), End> {
        let bytes = self.input.len() as u64;
        let is_over = bytes > QUERY_LIMIT_MIN && bytes > self.shared.node.config.get().client_query_buffer_limit;
        if is_over { Err(End::QueryLimit) } else { Ok(()) }
    }

    fn check_output_limit(&self) -> Result<(), End> {
        let waiting = self.waiting_bytes();
        if waiting == 0 {
            return Ok(());
        }
        let limit = self.output_limit();
        if limit.hard > 0 && waiting > limit.hard {
            return Err(End::OutputLimit);
        }
        Ok(())
    }
}

/// Ready once the client is killed.
pub(in crate::server) fn killed(client: &Client) -> impl Future<Output = ()> + '_ {
    poll_fn(|context| match client.poll_told(context.waker()) {
        Some(Told::Killed) => Poll::Ready(()),
        // It is taken once what is on its way is sent.
        Some(Told::Messages) | None => Poll::Pending,
    })
}
