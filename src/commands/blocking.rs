//! Commands that wait, and those who are served when a key is ready.
//!
//! Always true: a blocking command is its non-blocking self that may answer [`Stop::Block`]. Whoever changes keys that
//! somebody waits for holds the latches of everything that those who wait will touch, and runs their commands, in order of
//! arrival, within its own batch and before anybody else can look at these keys: what it has pushed and what they have taken
//! takes effect together, or not at all.

use std::sync::Arc;

use bytes::Bytes;

use super::effects::note_read;
use super::error::{Stop, text};
use super::registry::{Registry, Row};
use super::table::Flags;
use super::{Args, Context, Outcome, permissions, timing};
use crate::keyspace::{Access, Keyspace, Mode};
use crate::node::acl::Place;
use crate::node::{Block, Locked, Node, Parked, Queued, Session, State, Waiter};
use crate::protocol::{Arguments, Reply, ReplyBuffer};
use crate::store::Position;

/// How often what has to be held may turn out to be more before everything is held.
const ATTEMPTS_MAX: usize = 4;

/// Somebody who waited, and whose command has run within the changes that are about to take effect.
pub(super) struct Served<'k> {
    waiter: Arc<Waiter>,
    locked: Locked,
    row: &'k Row,
    failed: bool,
    nanoseconds: u64,
}

/// Why a connection does not wait any longer although nobody has served it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its time is over, or somebody said that it should be as if it were.
    TimedOut,
    /// What it waited for is on the disk.
    Durable,
    /// CLIENT UNBLOCK said that it should get an error.
    Unblocked,
    /// The log cannot get to where it waits for, for this reason.
    LogFailed(String),
}

impl Context<'_, '_> {
    /// Waits, if this connection can; otherwise answers what it would when the time is over.
    pub(super) fn block(&self, block: Block) -> Outcome {
        if self.in_transaction {
            return Ok((block.timed_out)(self.node, block.position));
        }
        Err(Stop::Block(Box::new(block)))
    }
}

/// Exchanges an access to `keys` for one that reaches everything those who wait for them may touch, if anybody does.
pub(super) fn widen<'k>(node: &Node, keyspace: &'k Keyspace, mut access: Access<'k>, keys: &[&[u8]]) -> Access<'k> {
    let mut held: Vec<Bytes> = Vec::new();
    for _ in 0..ATTEMPTS_MAX {
        // Nobody begins to wait for a key while its latch is held.
        let Some(reach) = node.waiting.reach(keys.iter().copied()) else { return access };
        if access.is_followed && reach.iter().all(|key| held.contains(key)) {
            return access;
        }
        let (database, now) = (access.database(), access.now());
        drop(access);
        let all = keys.iter().copied().chain(reach.iter().map(|key| &key[..]));
        access = keyspace.access_several(database, all, Mode::Exclusive, now);
        access.is_followed = true;
        held = reach;
    }
    let (database, now) = (access.database(), access.now());
    drop(access);
    access = keyspace.access_all(database, Mode::Exclusive, now, true);
    access.is_followed = true;
    access
}

/// Leaves a session for whoever makes a key ready; its latches are held.
pub(super) fn park(node: &Node, session: &mut Session, row: &Row, words: Arguments<'_>, block: Block) -> Arc<Waiter> {
    session.publish();
    session.client.note_command(Some(row.index));
    let touched = row.keys(words).map(Bytes::copy_from_slice).collect();
    let out = ReplyBuffer::new(session.version);
    let parked = Parked { session: session.park(), request: Queued::new(row.index, words), out, wait: 0 };
    node.waiting.add(parked, touched, block)
}

/// Runs the commands of those who wait for what has been changed so far, and for what they change in turn.
pub(super) fn serve(ctx: &mut Context<'_, '_>) -> Result<(), Stop> {
    let Some(access) = ctx.access.as_deref_mut().filter(|access| access.is_followed) else { return Ok(()) };
    let before = (access.database(), access.counts, access.touches);
    let mut seen = 0;
    let served = loop {
        let Some(access) = ctx.access.as_deref_mut() else { break Ok(()) };
        let changes = access.changes_since(&mut seen);
        let waited = changes.databases.into_iter().flat_map(|database| {
            let keys = ctx.node.waiting.keys(database);
            keys.into_iter().map(move |key| (database, key))
        });
        let keys: Vec<(u32, Bytes)> = changes.keys.into_iter().chain(waited).collect();
        if keys.is_empty() {
            break Ok(());
        }
        if let Err(stop) = keys.iter().try_for_each(|(database, key)| serve_key(ctx, *database, key)) {
            break Err(stop);
        }
    };
    if let Some(access) = ctx.access.as_deref_mut() {
        access.select(before.0);
        (access.counts, access.touches) = (before.1, before.2);
    }
    served
}

fn serve_key(ctx: &mut Context<'_, '_>, database: u32, key: &[u8]) -> Result<(), Stop> {
    let mut after = None;
    loop {
        let Some(access) = ctx.access.as_deref_mut() else { return Ok(()) };
        access.select(database);
        (access.counts, access.touches) = (false, false);
        let is_gone = !access.exists(key);
        let Some(waiter) = ctx.node.waiting.next(database, key, after, is_gone) else { return Ok(()) };
        after = Some(waiter.arrival);
        let mut served = ctx.aside.iter().flat_map(|aside| &aside.served);
        if served.any(|served| Arc::ptr_eq(&served.waiter, &waiter)) || waiter.client.is_killed() {
            continue;
        }
        if (waiter.block.is_ready)(access, key) {
            serve_waiter(ctx, waiter)?;
        }
    }
}

/// Runs the command of one who waits, if it is there still; it may find that it has to go on waiting.
fn serve_waiter<'k>(ctx: &mut Context<'_, 'k>, waiter: Arc<Waiter>) -> Result<(), Stop> {
    let mut locked = waiter.lock();
    let State::Waiting(parked) = &mut *locked else { return Ok(()) };
    let Parked { session, request, out, .. } = &mut **parked;
    let row = &ctx.registry.rows()[request.row];
    *out = ReplyBuffer::new(session.version);
    let began = ctx.node.monotonic_nanoseconds();
    let Some(access) = ctx.access.as_deref_mut() else { return Ok(()) };
    access.counts = row.is(Flags::READONLY);
    access.touches = !session.no_touch;
    let (node, registry) = (ctx.node, ctx.registry);
    let aside = ctx.aside.take();
    let mut own =
        Context { node, registry, session, out, access: Some(access), in_transaction: false, finished: None, aside };
    let outcome = run(&mut own, row, request.words());
    ctx.aside = own.aside.take();
    let failed = match outcome {
        Ok(reply) => {
            reply.write(out);
            reply.is_error()
        }
        Err(Stop::Written) => false,
        Err(Stop::Silent) => {
            *out = ReplyBuffer::new(session.version);
            false
        }
        Err(Stop::Error(text)) => {
            *out = ReplyBuffer::new(session.version);
            out.error(&text);
            node.stats.errors.count(&text);
            true
        }
        Err(Stop::Block(_) | Stop::Blocked(_) | Stop::Paused) => return Ok(()),
        Err(stop @ (Stop::Cold(_) | Stop::Errand(_) | Stop::Room)) => return Err(stop),
    };
    let nanoseconds = node.monotonic_nanoseconds().saturating_sub(began);
    ctx.aside().served.push(Served { waiter, locked, row, failed, nanoseconds });
    Ok(())
}

/// What its user may do can have changed since it began to wait.
fn run(ctx: &mut Context<'_, '_>, row: &Row, words: Arguments<'_>) -> Outcome {
    if let Err(denied) = permissions::check(&ctx.session.account, row, words) {
        permissions::note(ctx, row, words, denied, Place::TopLevel);
        return Err(permissions::refusal(&ctx.session.account, row, words, denied));
    }
    let outcome = (row.command.handler)(ctx, Args::new(words, row.names));
    note_read(ctx, row, words);
    ctx.take_noted();
    outcome
}

/// Answers those whose commands have run: all of it has taken effect, and stands in the log below `wait`.
pub(super) fn answer(node: &Node, served: Vec<Served<'_>>, wait: Position) {
    for Served { waiter, mut locked, row, failed, nanoseconds } in served {
        if let State::Waiting(parked) = &mut *locked {
            count(node, row, parked, failed, nanoseconds);
            if row.is(Flags::WRITE) {
                parked.session.wrote = parked.session.wrote.max(wait);
            }
        }
        node.waiting.answer(&waiter, &mut locked, wait);
    }
}

/// Ends the waiting of a connection that nobody has served; false if somebody was faster.
pub fn end_waiting(node: &Node, registry: &Registry, waiter: &Waiter, ended: &Ended) -> bool {
    let mut locked = waiter.lock();
    let State::Waiting(parked) = &mut *locked else { return false };
    let row = &registry.rows()[parked.request.row];
    let out = &mut parked.out;
    *out = ReplyBuffer::new(parked.session.version);
    let reply = match ended {
        Ended::TimedOut | Ended::Durable => Ok((waiter.block.timed_out)(node, waiter.block.position)),
        Ended::Unblocked => Err(text::UNBLOCKED.to_owned()),
        Ended::LogFailed(reason) => Err(format!("MISCONF the log cannot be written to the disk: {reason}")),
    };
    let failed = reply.is_err();
    match reply {
        Ok(reply) => Reply::write(&reply, out),
        Err(text) => {
            out.error(&text);
            node.stats.errors.count(text.as_bytes());
        }
    }
    count(node, row, parked, failed, 0);
    node.waiting.answer(waiter, &mut locked, 0);
    true
}

/// Counts a command that has waited; the time it waited is not its own.
fn count(node: &Node, row: &Row, parked: &mut Parked, failed: bool, nanoseconds: u64) {
    node.stats.commands.count(Some(row.index), failed, false);
    timing::note_served(node, &parked.session, row, parked.request.words(), nanoseconds);
    // CLIENT CACHING was about this command.
    parked.session.caching = false;
    if parked.session.is_silent() {
        parked.out = ReplyBuffer::new(parked.session.version);
    }
}
