//! From a request to its effects and its reply.
//!
//! Always true: a request gets exactly one reply, in order; latches are held from the handler's first look to its
//! last effect, and never longer; what a pipeline waits for is the highest log position any of its commands needs.

use super::effects::Effect;
use super::errand::{Errand, Finished};
use super::error::{Stop, text};
use super::registry::{Registry, Row};
use super::table::Flags;
use super::timing::{Timing, Wait, note_slow};
use super::{Args, Context, Outcome, gates};
use crate::keyspace::{Access, Cold, Keyspace, Mode, Pins, Tally};
use crate::node::notify::EventClass;
use crate::node::{Node, Queued, Session, Tracking};
use crate::protocol::{Arguments, Reply, ReplyBuffer};
use crate::store::Position;

/// What the requests that arrived together have in common.
#[derive(Debug)]
pub struct Batch {
    /// The time they all run at, in milliseconds since the Unix epoch.
    pub now: u64,
    /// What their replies have to wait for.
    pub wait: Position,
    /// What they did, for the statistics.
    pub tally: Tally,
    timing: Timing,
    /// The number of the command that runs now, once the gates let it through.
    ran: Option<usize>,
    last_command: Option<usize>,
}

impl Batch {
    /// A batch that begins now.
    pub fn begin(node: &Node) -> Self {
        Self {
            now: node.now(),
            wait: 0,
            tally: Tally::default(),
            timing: Timing::default(),
            ran: None,
            last_command: None,
        }
    }

    /// Others ran before the next request: it begins now.
    pub fn go_on(&mut self, node: &Node) {
        self.now = node.now();
        self.timing.interrupt();
    }

    /// Adds what happened to the statistics.
    pub fn finish(&mut self, node: &Node) {
        self.last_command = self.timing.last_command();
        self.timing.finish(node);
        node.stats.hits.add(self.tally.hits);
        node.stats.misses.add(self.tally.misses);
        node.stats.changes.add(self.tally.changes);
    }

    /// The number of the last command, once the batch is finished.
    pub fn last_command(&self) -> Option<usize> {
        self.last_command
    }
}

/// How a request ended.
#[derive(Debug)]
pub enum Executed {
    /// Its reply is in the output, unless it has none.
    Done,
    /// Nothing happened yet: these values have to be fetched first, then it is executed again with their pins.
    Cold(Vec<Cold>),
    /// Nothing happened yet: this has to be done first, then it is executed again, told how that went.
    Errand(Errand),
    /// Nothing happened yet: the log needs room first (see [`Store::poll_room`](crate::store::Store::poll_room)), then
    /// it is executed again.
    Room,
}

/// What was done for a request since it was executed in vain.
#[derive(Debug, Default)]
pub struct Prepared {
    /// The values it asked for.
    pub pins: Pins,
    /// What has come of the errand that it asked for.
    pub finished: Option<Finished>,
    /// Whether it was held back until the log had room.
    pub admitted: bool,
}

/// Executes one request of a connection. `found` is its row, where that is known already; `prepared` is what earlier
/// attempts at it have asked for, if there were any.
#[expect(clippy::too_many_arguments, reason = "everything one request touches, and no place keeps it together")]
pub fn execute(
    node: &Node,
    registry: &Registry,
    session: &mut Session,
    batch: &mut Batch,
    out: &mut ReplyBuffer,
    found: Option<&Row>,
    words: Arguments<'_>,
    prepared: Option<&Prepared>,
) -> Executed {
    let mark = out.mark();
    let mode = session.begin_reply();
    let row = found.map_or_else(|| registry.resolve(words), Ok);
    // A command with the wrong number of arguments is known all the same.
    let row_index = row.as_ref().map_or_else(|_| registry.named_by(words).ok(), |row| Some(*row)).map(|row| row.index);
    let outcome = match row {
        Ok(row) => run(node, registry, session, batch, out, row, words, prepared),
        Err(stop) => {
            session.spoil_transaction();
            Err(stop)
        }
    };
    let outcome = match outcome {
        Err(Stop::Error(reason)) if is_rejected_exec(session, &reason, words) => {
            session.transaction = None;
            if let Some(keyspace) = node.keyspace() {
                session.unwatch(keyspace);
            }
            let reason = reason.strip_prefix(b"ERR ").unwrap_or(&reason);
            Err(Stop::Error([b"EXECABORT Transaction discarded because of: ", reason].concat().into()))
        }
        outcome => outcome,
    };
    let (failed, rejected) = match outcome {
        Ok(reply) => {
            reply.write(out);
            (reply.is_error(), false)
        }
        Err(Stop::Written) => (false, false),
        Err(Stop::Silent) => {
            out.rewind(mark);
            (false, false)
        }
        Err(Stop::Cold(cold)) => {
            out.rewind(mark);
            session.repeat_reply(mode);
            batch.timing.pause(node, Wait::Values);
            return Executed::Cold(cold);
        }
        Err(Stop::Errand(errand)) => {
            out.rewind(mark);
            session.repeat_reply(mode);
            batch.timing.pause(node, Wait::Own);
            return Executed::Errand(errand);
        }
        Err(Stop::Room) => {
            session.repeat_reply(mode);
            batch.timing.pause(node, Wait::Room);
            return Executed::Room;
        }
        Err(Stop::Error(text)) => {
            out.rewind(mark);
            out.error(&text);
            node.stats.errors.count(&text);
            (true, batch.ran.is_none())
        }
    };
    node.stats.commands.count(row_index, failed, rejected);
    if session.caching && session.transaction.is_none() && row_index.is_none_or(|row| !is_client(registry, row)) {
        // CLIENT CACHING was about this command, or this transaction.
        session.caching = false;
    }
    if let Some(row) = std::mem::take(&mut batch.ran).map(|index| &registry.rows()[index]) {
        let taken = batch.timing.end(node, row.index);
        if node.stats.watching.is_slow(taken) {
            note_slow(node, session, row, words, taken);
        }
    }
    // CLIENT REPLY ON is itself answered, CLIENT REPLY OFF is not.
    if session.is_silent() {
        out.rewind(mark);
    }
    Executed::Done
}

/// Whether a row is CLIENT or one of its subcommands.
fn is_client(registry: &Registry, row: usize) -> bool {
    registry.rows()[row].name.split('|').next() == Some("client")
}

/// An EXEC that ran has ended its transaction; one that was refused has not.
fn is_rejected_exec(session: &Session, reason: &[u8], words: Arguments<'_>) -> bool {
    (session.transaction.is_some() || reason == text::NO_AUTH.as_bytes() || reason.starts_with(b"NOPERM "))
        && words.get(0).is_some_and(|word| word.eq_ignore_ascii_case(b"exec"))
}

#[expect(clippy::too_many_arguments, reason = "everything one request touches, and no place keeps it together")]
fn run<'k>(
    node: &'k Node,
    registry: &'k Registry,
    session: &mut Session,
    batch: &mut Batch,
    out: &mut ReplyBuffer,
    row: &'k Row,
    words: Arguments<'_>,
    prepared: Option<&Prepared>,
) -> Outcome {
    let finished = prepared.and_then(|prepared| prepared.finished.as_ref());
    let effects = Vec::new();
    let mut ctx = Context { node, registry, session, out, access: None, in_transaction: false, finished, effects };
    if let Err(stop) = gates::pass(&ctx, row, words) {
        ctx.session.spoil_transaction();
        return Err(stop);
    }
    if ctx.session.transaction.is_some() && !row.is(Flags::IMMEDIATE) {
        return queue(&mut ctx, row, words);
    }
    batch.timing.begin(node);
    batch.ran = Some(row.index);
    if prepared.is_some() {
        // It has waited for the disk; times to live count from when it has an effect.
        batch.now = node.now();
    }
    let Some(keyspace) = node.keyspace() else {
        let outcome = (row.command.handler)(&mut ctx, arguments(row, words));
        send(node, &std::mem::take(&mut ctx.effects), 0);
        return outcome;
    };
    let held_back = prepared.is_some_and(|prepared| prepared.admitted);
    if !held_back && !keyspace.store().has_room() && has(registry, ctx.session, row, Flags::WRITE) {
        return Err(Stop::Room);
    }
    let mut access = open_access(keyspace, registry, ctx.session, row, words, batch.now);
    if let Some(prepared) = prepared {
        access.pins = prepared.pins.clone();
    }
    access.counts = row.is(Flags::READONLY);
    access.touches = !ctx.session.no_touch;
    let notified = node.notified();
    access.notes_new = notified.has(EventClass::NEW);
    access.notes_misses = notified.has(EventClass::MISS);
    ctx.access = Some(&mut access);
    let _acting = node.tracking.is_used().then(|| Tracking::acting(ctx.session.client.id));
    let outcome = (row.command.handler)(&mut ctx, arguments(row, words));
    if !matches!(outcome, Err(Stop::Cold(_) | Stop::Errand(_) | Stop::Room)) {
        note_read(&ctx, row, words);
    }
    ctx.take_noted();
    let effects = std::mem::take(&mut ctx.effects);
    if matches!(outcome, Ok(_) | Err(Stop::Written | Stop::Silent)) {
        let (wait, tally) = access.take_effect()?;
        batch.wait = batch.wait.max(wait);
        batch.tally.add(&tally);
        send(node, &effects, wait);
        drop(access);
        if !effects.is_empty() {
            // Whoever sends to itself reads the message before the answer.
            session.take_messages(out);
        }
    } else {
        // An error may tell what was read, and expiry may have happened.
        let (wait, tally) = access.abandon();
        batch.wait = batch.wait.max(wait);
        match outcome {
            // What it looked up is counted when it runs again.
            Err(Stop::Cold(_) | Stop::Errand(_) | Stop::Room) => batch.tally.expired += tally.expired,
            _ => batch.tally.add(&tally),
        }
    }
    outcome
}

fn send(node: &Node, effects: &[Effect], wait: Position) {
    effects.iter().for_each(|effect| effect.send(node, wait));
}

/// Runs a queued command inside EXEC, with the transaction's own access.
pub(super) fn run_queued(ctx: &mut Context<'_, '_>, row: &Row, words: Arguments<'_>) -> Outcome {
    if let Some(access) = &mut ctx.access {
        access.counts = row.is(Flags::READONLY);
        access.select(ctx.session.database);
    }
    let outcome = (row.command.handler)(ctx, arguments(row, words));
    note_read(ctx, row, words);
    outcome
}

/// Notes the keys that a command reads, for a connection that caches what it reads.
fn note_read(ctx: &Context<'_, '_>, row: &Row, words: Arguments<'_>) {
    if row.is(Flags::READONLY) && ctx.session.tracks_reads() {
        ctx.node.note_read(&ctx.session.client, row.keys(words));
    }
}

/// Whether a command, or one of those that EXEC is about to run, has all of these flags.
pub(super) fn has(registry: &Registry, session: &Session, row: &Row, flags: Flags) -> bool {
    let queued = session.transaction.iter().flat_map(|transaction| transaction.queue());
    row.is(flags)
        || row.is(Flags::TRANSACTION) && queued.into_iter().any(|queued| registry.rows()[queued.row].is(flags))
}

fn arguments<'a>(row: &Row, words: Arguments<'a>) -> Args<'a> {
    Args::new(words.from(row.names))
}

fn queue(ctx: &mut Context<'_, '_>, row: &Row, words: Arguments<'_>) -> Outcome {
    let Some(transaction) = &mut ctx.session.transaction else { return Ok(Reply::Ok) };
    transaction.push(Queued::new(row.index, words));
    Ok(Reply::Simple("QUEUED"))
}

fn open_access<'k>(
    keyspace: &'k Keyspace,
    registry: &Registry,
    session: &Session,
    row: &Row,
    words: Arguments<'_>,
    now: u64,
) -> Access<'k> {
    let database = session.database;
    let mode = if row.is(Flags::WRITE) { Mode::Exclusive } else { Mode::Shared };
    if row.is(Flags::TRANSACTION) {
        return open_transaction(keyspace, registry, session, now);
    }
    if row.is(Flags::WHOLE) {
        return keyspace.access_all(database, mode, now, mode == Mode::Exclusive);
    }
    let mut keys = row.keys(words);
    match (keys.next(), keys.next()) {
        (None, _) => keyspace.access_none(database, now),
        (Some(key), None) => keyspace.access_one(database, key, mode, now, false),
        (Some(_), Some(_)) => keyspace.access_several(database, row.keys(words), mode, now),
    }
}

/// The latches of all keys that a transaction names or watches, or all there are.
fn open_transaction<'k>(keyspace: &'k Keyspace, registry: &Registry, session: &Session, now: u64) -> Access<'k> {
    let queued = session.transaction.iter().flat_map(|transaction| transaction.queue());
    let rows = queued.map(|queued| (&registry.rows()[queued.row], queued.words()));
    let writes = rows.clone().any(|(row, _)| row.is(Flags::WRITE));
    let mode = if writes { Mode::Exclusive } else { Mode::Shared };
    if rows.clone().any(|(row, _)| row.is(Flags::WHOLE) || row.is(Flags::WALKS)) {
        return keyspace.access_all(session.database, mode, now, writes);
    }
    let named = rows.flat_map(|(row, words)| row.keys(words));
    let watched = session.watched().map(|(_, key)| key);
    keyspace.access_several(session.database, named.chain(watched), mode, now)
}
