//! One client: bytes in, requests executed, replies out.

mod sending;

use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::time::{Instant, Sleep, sleep_until};

use super::ahead::Share;
use super::buffers;
use super::fetching;
use super::listen::Stream;
use super::pipeline::{self, Pipeline, Requests};
use super::waiting::Waits;
use super::workers::Shared;
use crate::allocator;
use crate::commands::{self, Batch, Errand, Executed, Finished, Kept, Prepared};
use crate::keyspace::{Cold, Pins};
use crate::node::{Client, ClientKind, Node, Session, Told};
use crate::protocol::{Limits, ReplyBuffer, Version};

/// When so many bytes of replies wait, they are sent before the next request of the pipeline is executed, if they can leave at
/// once: then the client has something to read meanwhile.
const OUTPUT_BYTES_READY: usize = 48 * 1024;

/// When so many wait, they are sent whatever has to get into the log before.
const OUTPUT_BYTES_HIGH: usize = 256 * 1024;

/// So many bytes that wait to be sent may be too much for memory, and it does not wait for the next look at that.
const OUTPUT_BYTES_LARGE: usize = 1 << 20;

/// So many bytes are fetched for requests further on in a pipeline together with what one of them needs now.
const FORESEEN_BYTES_MAX: u64 = 1 << 20;

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum End {
    /// The client went away, or asked for it, or was killed.
    Closed,
    /// It was idle for too long.
    Idle,
    /// It does not read its replies.
    OutputLimit,
    /// It takes most of the memory that clients may take.
    Evicted,
    /// One of its requests is larger than it may be.
    QueryLimit,
    /// The bytes it sent are no requests; the reply says so.
    Protocol,
    /// Whether its changes are on the disk is unknown.
    LogFailed(String),
    /// A request failed in a way that should not be possible.
    Panicked,
}

pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) stream: Stream,
    /// Not here while its command waits.
    pub(super) session: Session,
    pub(super) input: BytesMut,
    /// Room for what is sent ahead.
    pub(super) ahead: Share,
    /// When so many bytes of replies wait, they are sent before the next request is executed.
    output_high: usize,
    pipeline: Pipeline,
    pub(super) out: ReplyBuffer,
    /// What the last request waits for.
    pub(super) waits: Option<Waits>,
    over_soft_since: Option<Instant>,
}

/// Serves a client until it goes or the server ends.
pub(super) async fn serve(shared: Arc<Shared>, stream: Stream, client: Arc<Client>) {
    let default = shared.node.acl.default_account().clone();
    let mut connection = Connection {
        session: Session::new(client.clone(), default),
        input: BytesMut::new(),
        ahead: shared.ahead.share(),
        output_high: OUTPUT_BYTES_HIGH,
        pipeline: Pipeline::default(),
        out: ReplyBuffer::new(Version::Resp2),
        waits: None,
        over_soft_since: None,
        stream,
        shared: shared.clone(),
    };
    let end = connection.run().await;
    let (id, address) = (client.id, client.address());
    match end {
        End::Closed | End::Idle => tracing::debug!(client = id, %address, "connection ended: {end:?}"),
        End::OutputLimit => {
            shared.node.stats.output_limit_disconnections.add(1);
            tracing::warn!(client = id, %address, "client cut off: it does not read its replies fast enough (client-output-buffer-limit)");
        }
        End::Evicted => {
            tracing::warn!(client = id, %address, "client cut off: it takes more memory than maxmemory leaves for clients");
        }
        End::QueryLimit => {
            shared.node.stats.query_limit_disconnections.add(1);
            tracing::warn!(client = id, %address, "client cut off: a request larger than client-query-buffer-limit");
        }
        End::Protocol => tracing::info!(client = id, %address, "client cut off after a protocol error"),
        End::LogFailed(reason) => {
            tracing::error!(client = id, %address, "client cut off, as the outcome of its writes is unknown: {reason}");
        }
        End::Panicked => {
            tracing::error!(client = id, %address, "client cut off: a request of it hit a bug; please report it")
        }
    }
    if let Some(Waits::Answer(waiter, _)) = connection.waits.take() {
        connection.take_back(&waiter);
    }
    if let Some(keyspace) = shared.node.keyspace() {
        connection.session.unwatch(keyspace);
    }
    connection.session.unsubscribe_all(&shared.node);
    connection.session.end_tracking(&shared.node);
    connection.session.end_monitoring(&shared.node);
    shared.node.clients.remove(&client);
}

impl Connection {
    async fn run(&mut self) -> End {
        loop {
            match self.turn().await {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    /// Reads once, executes all complete requests, sends their replies.
    async fn turn(&mut self) -> Result<(), End> {
        let mut received = self.read().await?;
        buffers::lend_output(&mut self.out);
        let mut end = Ok(());
        let mut more = true;
        while more && end.is_ok() {
            self.check_query_limit()?;
            let node = &self.shared.node;
            if received > 0 {
                node.stats.input_bytes.add(received as u64);
                node.stats.reads.add(1);
            }
            let mut batch = Batch::later();
            let executed = self.execute_some(&mut batch).await;
            self.session.take_messages(&mut self.out);
            batch.wait = batch.wait.max(self.session.take_wait());
            batch.finish(&self.shared.node);
            if received > 0 || batch.last_command().is_some() {
                let buffered = self.input.len();
                // What a client waits for is what it is shown to do.
                let command = batch.last_command().filter(|_| self.waits.is_none());
                let now = if batch.now == 0 { self.shared.node.now() } else { batch.now };
                let queued = self.session.transaction.as_ref().map_or(0, |transaction| transaction.bytes());
                self.session.client.note_queued_bytes(queued);
                self.session.client.note_activity(now, command, received as u64, buffered);
            }
            // Who waits has shown its state, and left it behind.
            if self.waits.is_none() {
                self.session.publish();
            }
            self.settle(&batch).await?;
            match executed {
                Ok(goes_on) => more = goes_on,
                Err(error) => end = Err(error),
            }
            self.input.advance(self.pipeline.take_finished());
            received = self.flush_waiting(end.is_ok() && !self.session.closing, more).await?;
            more |= received > 0;
            if self.session.closing {
                return Err(End::Closed);
            }
            if let Some(waits) = self.waits.clone() {
                // What rarely happens is kept apart, so that a connection that waits for its client takes little.
                received += Box::pin(self.wait(waits)).await?;
                more = true;
            }
        }
        buffers::give_back_input(&mut self.input);
        self.ahead.note_left(&self.input);
        end
    }

    /// Executes requests that have arrived. True if it stopped because enough output is waiting.
    async fn execute_some(&mut self, batch: &mut Batch) -> Result<bool, End> {
        let shared = self.shared.clone();
        let bulk_bytes_max = shared.node.config.bulk_bytes_max() as usize;
        'more: loop {
            if self.session.closing || self.session.client.is_killed() {
                return Ok(false);
            }
            let limits = match shared.node.needs_login(&self.session) {
                false => Limits::authenticated(bulk_bytes_max),
                true => Limits::unauthenticated(),
            };
            let found = self.pipeline.find(&self.input, &limits, &shared.registry);
            if let Some(keyspace) = shared.node.keyspace() {
                let few = found.announce(&self.input, &shared.registry, &self.session, keyspace);
                if few {
                    pipeline::let_others_run().await;
                }
                if few || batch.now == 0 {
                    batch.go_on(&shared.node);
                }
                pipeline::prefetch(keyspace);
            } else if batch.now == 0 {
                batch.go_on(&shared.node);
            }
            let (mut done, mut foreseen) = (0, None);
            while done < found.list.len() {
                let (count, executed) =
                    self.execute_run(&shared, &found, done, limits.authenticated, batch, foreseen.as_ref())?;
                done += count;
                let request = &found.list[done - 1];
                if let Some(executed) = executed {
                    Box::pin(self.execute_prepared(&found, done - 1, batch, executed, &mut foreseen)).await?;
                }
                match self.waits {
                    None => {}
                    Some(Waits::Answer(..)) => {
                        self.pipeline.rewind(request.end);
                        return Ok(false);
                    }
                    Some(Waits::Pause) => {
                        self.pipeline.rewind(request.start);
                        return Ok(false);
                    }
                }
                if self.session.closing || self.session.client.is_killed() {
                    return Ok(false);
                }
                if self.out.len() >= OUTPUT_BYTES_LARGE
                    && let Some(keyspace) = shared.node.keyspace()
                {
                    keyspace.note_taken(allocator::allocated());
                }
                if self.has_enough(&shared, batch) {
                    self.pipeline.rewind(request.end);
                    return Ok(true);
                }
                if shared.node.needs_login(&self.session) == limits.authenticated {
                    // RESET has taken away what AUTH allowed, from the next request on.
                    self.pipeline.rewind(request.end);
                    continue 'more;
                }
            }
            if let Some(error) = &found.error {
                let (id, address) = (self.session.client.id, self.session.client.address());
                tracing::info!(client = id, %address, "{error}");
                error.write(&mut self.out);
                return Err(End::Protocol);
            }
            if found.list.is_empty() {
                return Ok(false);
            }
        }
    }

    /// Executes requests that follow each other until one of them needs something first, or what may come next is not
    /// certain. Returns how many began, at least one, and what the last of them needs.
    fn execute_run(
        &mut self,
        shared: &Shared,
        requests: &Requests,
        from: usize,
        authenticated: bool,
        batch: &mut Batch,
        foreseen: Option<&Prepared>,
    ) -> Result<(usize, Option<Executed>), End> {
        let (mut kept, count) = (Kept::default(), requests.list.len() - from);
        for index in 0..count {
            self.session.take_messages(&mut self.out);
            let kept = if count > 1 { Some(&mut kept) } else { None };
            let executed = self.attempt(shared, requests, from + index, batch, foreseen, kept)?;
            let goes_on = matches!(executed, Executed::Done)
                && !self.session.closing
                && !self.session.client.is_killed()
                && !self.has_enough(shared, batch)
                && shared.node.needs_login(&self.session) != authenticated;
            if !goes_on {
                let needs = if matches!(executed, Executed::Done) { None } else { Some(executed) };
                return Ok((index + 1, needs));
            }
        }
        Ok((count, None))
    }

    /// Whether replies are to be sent before the next request is executed.
    fn has_enough(&self, shared: &Shared, batch: &Batch) -> bool {
        let bytes = self.out.len();
        let can_leave = || shared.node.keyspace().is_none_or(|keyspace| keyspace.store().acknowledged(batch.wait));
        bytes > self.output_high || bytes > OUTPUT_BYTES_READY && self.output_high == OUTPUT_BYTES_HIGH && can_leave()
    }

    /// Does what an attempt has asked for, and tries again, until the request has run or has to wait. What is fetched for the
    /// requests after it is left for them in `foreseen`.
    async fn execute_prepared(
        &mut self,
        requests: &Requests,
        index: usize,
        batch: &mut Batch,
        mut executed: Executed,
        foreseen: &mut Option<Prepared>,
    ) -> Result<(), End> {
        // What an attempt asked for stays for the next, so that each gets further than the one before.
        let pins = foreseen.as_ref().map_or_else(Pins::default, |foreseen| foreseen.pins.clone());
        let mut prepared = Prepared { pins, ..Prepared::default() };
        loop {
            match executed {
                Executed::Done => return Ok(()),
                Executed::Cold(cold) => {
                    let more = match foreseen {
                        Some(_) => Vec::new(),
                        None => self.foresee(requests, index, batch),
                    };
                    let foreseen = foreseen.get_or_insert_default();
                    self.fetch(cold, &mut prepared.pins, more, &mut foreseen.pins).await?;
                }
                Executed::Errand(errand) => prepared.finished = Some(self.run_errand(errand).await),
                Executed::Room => {
                    self.wait_for_room().await;
                    if self.session.client.is_killed() {
                        return Err(self.killed());
                    }
                    prepared.admitted = true;
                }
                Executed::Blocked(waiter) => {
                    self.waits = Some(Waits::answer(waiter));
                    return Ok(());
                }
                Executed::Paused => {
                    self.waits = Some(Waits::Pause);
                    return Ok(());
                }
            }
            let shared = self.shared.clone();
            executed = self.attempt(&shared, requests, index, batch, Some(&prepared), None)?;
        }
    }

    fn attempt<'k>(
        &mut self,
        shared: &'k Shared,
        requests: &Requests,
        index: usize,
        batch: &mut Batch,
        prepared: Option<&Prepared>,
        kept: Option<&mut Kept<'k>>,
    ) -> Result<Executed, End> {
        let request = &requests.list[index];
        let words = requests.words(request, &self.input);
        let row = request.row.map(|row| &shared.registry.rows()[row]);
        let mark = self.out.mark();
        let (session, out) = (&mut self.session, &mut self.out);
        let (node, registry) = (&shared.node, &shared.registry);
        let run = || commands::execute(node, registry, session, batch, out, row, words, prepared, kept);
        let executed = catch_unwind(AssertUnwindSafe(run));
        executed.map_err(|_| {
            // Half a reply would be sent, of which nobody knows what it has to wait for.
            self.out.rewind(mark);
            End::Panicked
        })
    }

    /// What the requests after this one will ask for, as far as it can be told.
    fn foresee(&mut self, requests: &Requests, index: usize, batch: &Batch) -> Vec<Cold> {
        let shared = self.shared.clone();
        let input = &self.input;
        let at = |index: usize| {
            let request = &requests.list[index];
            let row = request.row.map(|row| &shared.registry.rows()[row])?;
            Some((row, requests.words(request, input)))
        };
        let Some(asking) = at(index) else { return Vec::new() };
        let (mut foreseen, mut bytes) = (Vec::new(), 0);
        for later in index + 1..requests.list.len() {
            let Some(next) = at(later) else { continue };
            let (session, out) = (&mut self.session, &mut self.out);
            let look = || commands::foresee(&shared.node, &shared.registry, session, out, next, asking, batch.now);
            // It will be told when it runs.
            let Ok(cold) = catch_unwind(AssertUnwindSafe(look)) else { break };
            bytes += cold.iter().map(|cold| u64::from(cold.location().length)).sum::<u64>();
            if bytes > FORESEEN_BYTES_MAX {
                break;
            }
            foreseen.extend(cold);
        }
        foreseen
    }

    /// Fetches values from the disk, on other threads, all at the same time: those that are needed now, and those that `later`
    /// requests will need.
    async fn fetch(
        &self,
        mut cold: Vec<Cold>,
        pins: &mut Pins,
        later: Vec<Cold>,
        later_pins: &mut Pins,
    ) -> Result<(), End> {
        let now = cold.len();
        cold.extend(later);
        let fetched = fetching::fetch(&self.shared, cold).await.ok_or(End::Panicked)?;
        for (place, fetched) in fetched.into_iter().enumerate() {
            if place < now { pins.add(fetched) } else { later_pins.add(fetched) }
        }
        Ok(())
    }

    /// Waits until the log has taken in what others have written, and memory has room for more.
    async fn wait_for_room(&self) {
        if let Some(keyspace) = self.shared.node.keyspace() {
            let room = async {
                poll_fn(|context| keyspace.store().poll_room(context.waker())).await;
                poll_fn(|context| keyspace.poll_memory(context.waker())).await;
            };
            // Who is cut off while it waits goes at once: it may be for its memory.
            tokio::select! {
                biased;
                () = sending::killed(&self.session.client) => {}
                () = room => {}
            }
        }
    }

    /// Has something done that waits for the disk, on another thread.
    async fn run_errand(&self, errand: Errand) -> Finished {
        let shared = self.shared.clone();
        let run = move || match shared.node.keyspace() {
            Some(keyspace) => errand.run(keyspace),
            None => Err("the data is being loaded".to_owned()),
        };
        tokio::task::spawn_blocking(run).await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Waits until the log is where the replies of this batch need it.
    pub(super) async fn settle(&self, batch: &Batch) -> Result<(), End> {
        let Some(keyspace) = self.shared.node.keyspace() else { return Ok(()) };
        let store = keyspace.store();
        if store.acknowledged(batch.wait) {
            return Ok(());
        }
        // Others of this worker that are ready append first, so that one write serves them all.
        tokio::task::yield_now().await;
        if store.advance(batch.wait) {
            return Ok(());
        }
        let settled = poll_fn(|context| store.poll_acknowledged(batch.wait, context.waker())).await;
        settled.map_err(|failed| End::LogFailed(failed.to_string()))
    }

    /// Reads what has arrived, unless others have something for this connection first; returns how many bytes that are.
    /// Nothing is reserved for what was only announced, and nothing held while nothing comes.
    async fn read(&mut self) -> Result<usize, End> {
        let told = told(&self.session.client);
        let read = receive(&mut self.stream, &mut self.input, &mut self.out);
        let idle = idle_for_too_long(&self.shared.node, &self.session.client);
        // Bytes that are there come first: only who has to wait pays for being woken by the others.
        tokio::select! {
            biased;
            read = read => match read {
                Ok(0) | Err(_) => Err(End::Closed),
                Ok(received) => Ok(received),
            },
            told = told => match told {
                Told::Killed => Err(self.killed()),
                Told::Messages => Ok(0),
            },
            () = idle => Err(End::Idle),
        }
    }
}

/// Reads what has arrived; while that is nothing, memory is given back.
pub(super) fn receive<'a>(
    stream: &'a mut Stream,
    input: &'a mut BytesMut,
    out: &'a mut ReplyBuffer,
) -> impl Future<Output = io::Result<usize>> + 'a {
    poll_fn(move |context| {
        let received = stream.poll_receive(context, input);
        if received.is_pending() {
            buffers::give_back_input(input);
            buffers::give_back_output(out);
        }
        received
    })
}

/// Ready once `timeout` has passed, counted from the first poll that finds one set. The setting is looked up at each
/// poll, and a change of it is followed by one.
fn idle_for_too_long<'a>(node: &'a Node, client: &'a Client) -> impl Future<Output = ()> + 'a {
    let mut waiting: Option<(Instant, Pin<Box<Sleep>>)> = None;
    poll_fn(move |context| {
        let timeout = Duration::from_secs(node.config.timeout());
        // Who listens may be silent for ever.
        if timeout.is_zero() || client.kind() == ClientKind::PubSub {
            return Poll::Pending;
        }
        let (began, sleep) = waiting.get_or_insert_with(|| {
            let began = Instant::now();
            (began, Box::pin(sleep_until(began + timeout)))
        });
        if sleep.deadline() != *began + timeout {
            sleep.as_mut().reset(*began + timeout);
        }
        sleep.as_mut().poll(context)
    })
}

/// Ready once the client is told something by others.
pub(super) fn told(client: &Client) -> impl Future<Output = Told> + '_ {
    poll_fn(|context| client.poll_told(context.waker()).map_or(Poll::Pending, Poll::Ready))
}
