//! From a request to its effects and its reply.
//!
//! Always true: a request gets exactly one reply, in order; latches are held from the handler's first look to its
//! last effect, and never longer; what a pipeline waits for is the highest log position any of its commands needs.

use std::sync::Arc;

use bytes::Bytes;

use super::effects::{Effect, note_read};
use super::errand::{Errand, Finished};
use super::error::Stop;
use super::gates::{self, has};
use super::kept::Kept;
use super::registry::{Registry, Row};
use super::server::monitor;
use super::table::Flags;
use super::timing::{Timing, Wait, note_slow};
use super::{Args, Context, Outcome, blocking};
use crate::keyspace::{Access, Cold, Keyspace, Mode, Pins, Tally};
use crate::node::notify::EventClass;
use crate::node::{Node, Queued, Session, Tracking, Waiter};
use crate::protocol::{Arguments, Reply, ReplyBuffer};
use crate::store::Position;

/// What the requests that arrived together have in common.
#[derive(Debug)]
pub struct Batch {
    /// The time they all run at, in milliseconds since the Unix epoch; 0 before the first begins.
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
        Self { now: node.now(), ..Self::later() }
    }

    /// A batch that begins with [`Batch::go_on`].
    pub fn later() -> Self {
        Self { now: 0, wait: 0, tally: Tally::default(), timing: Timing::default(), ran: None, last_command: None }
    }

    /// The next request begins now: it is the first, or others ran before it.
    pub fn go_on(&mut self, node: &Node) {
        self.now = node.now();
        self.timing.interrupt();
    }

    /// Adds what happened to the statistics.
    pub fn finish(&mut self, node: &Node) {
        self.last_command = self.timing.last_command();
        self.timing.finish(node);
        node.stats.hits.add(self.tally.hits);
        node.stats.page_cache_hits.add(self.tally.page_cache_hits);
        node.stats.disk_hits.add(self.tally.disk_hits);
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
    /// It waits, and the session is there now; its answer will be as well.
    Blocked(Arc<Waiter>),
    /// Nothing happened yet: clients are held back, and it is executed again when they are not.
    Paused,
    /// Nothing happened yet: the log or the memory needs room first (see
    /// [`Store::poll_room`](crate::store::Store::poll_room) and [`Keyspace::poll_memory`]), then it is executed again.
    Room,
}

/// What was done for a request since it was executed in vain.
#[derive(Debug, Default)]
pub struct Prepared {
    /// The values it asked for.
    pub pins: Pins,
    /// What has come of the errand that it asked for.
    pub finished: Option<Finished>,
    /// Whether it was held back until there was room.
    pub admitted: bool,
}

/// Executes one request of a connection. `found` is its row, where that is known already; `prepared` is what earlier
/// attempts at it have asked for, if there were any; `kept` is what the request before it has left, and where it may leave
/// the same to the next.
#[expect(clippy::too_many_arguments, reason = "everything one request touches, and no place keeps it together")]
pub fn execute<'k>(
    node: &'k Node,
    registry: &'k Registry,
    session: &mut Session,
    batch: &mut Batch,
    out: &mut ReplyBuffer,
    found: Option<&'k Row>,
    words: Arguments<'_>,
    prepared: Option<&Prepared>,
    mut kept: Option<&mut Kept<'k>>,
) -> Executed {
    let mark = out.mark();
    let mode = session.begin_reply();
    batch.ran = None;
    let row = found.map_or_else(|| registry.resolve(words), Ok);
    // A command with the wrong number of arguments is known all the same.
    let row_index = row.as_ref().map_or_else(|_| registry.named_by(words).ok(), |row| Some(*row)).map(|row| row.index);
    let outcome = match row {
        Ok(row) => run(node, registry, session, batch, out, row, words, prepared, kept.as_deref_mut()),
        Err(stop) => {
            session.spoil_transaction();
            Err(stop)
        }
    };
    let outcome = match outcome {
        Err(Stop::Error(reason)) if batch.ran.is_none() && is_exec(words) => {
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
        Err(Stop::Paused) => {
            session.repeat_reply(mode);
            session.client.note_command(row_index);
            return Executed::Paused;
        }
        Err(Stop::Blocked(waiter)) => {
            out.rewind(mark);
            batch.ran = None;
            batch.timing.interrupt();
            return Executed::Blocked(waiter);
        }
        Err(Stop::Block(_)) => {
            debug_assert!(false, "who waits has left its session");
            (false, false)
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
        if let Some(kept) = kept {
            kept.spend(taken);
        }
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
fn is_exec(words: Arguments<'_>) -> bool {
    words.get(0).is_some_and(|word| word.eq_ignore_ascii_case(b"exec"))
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
    kept: Option<&mut Kept<'k>>,
) -> Outcome {
    // What is not used goes now, before anything else is latched.
    let (mut own, leaves) = (None, kept.is_some());
    let place = match kept {
        Some(kept) => kept.place_for(session.database, row, words, batch.now),
        None => &mut own,
    };
    let finished = prepared.and_then(|prepared| prepared.finished.as_ref());
    let mut ctx = Context { node, registry, session, out, access: None, in_transaction: false, finished, aside: None };
    if let Err(stop) = gates::pass(&ctx, row, words) {
        if !matches!(stop, Stop::Paused) {
            ctx.session.spoil_transaction();
        }
        return Err(stop);
    }
    if ctx.session.transaction.is_some() && !row.is(Flags::IMMEDIATE) {
        let admitted = prepared.is_some_and(|prepared| prepared.admitted);
        if !admitted && node.keyspace().is_some_and(|keyspace| !keyspace.has_memory()) {
            return Err(Stop::Room);
        }
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
        let lines = if node.monitors.is_used() { lines(&mut ctx, row, words) } else { Vec::new() };
        ctx.aside.take().iter().for_each(|aside| send(node, &aside.effects, 0));
        show(node, lines, 0);
        return outcome;
    };
    let held_back = prepared.is_some_and(|prepared| prepared.admitted);
    let lacks_room = !keyspace.store().has_room() && has(registry, ctx.session, row, Flags::WRITE)
        || !keyspace.has_memory() && has(registry, ctx.session, row, Flags::DENYOOM)
        || !keyspace.has_memory_for_replies() && has(registry, ctx.session, row, Flags::READONLY);
    if lacks_room && !held_back {
        return Err(Stop::Room);
    }
    if node.waiting.is_used() && has(registry, ctx.session, row, Flags::WRITE) {
        let access =
            place.take().unwrap_or_else(|| open_access(keyspace, registry, ctx.session, row, words, batch.now));
        *place = Some(follow(node, keyspace, registry, ctx.session, row, words, access));
    }
    let access = place.get_or_insert_with(|| open_access(keyspace, registry, ctx.session, row, words, batch.now));
    if let Some(prepared) = prepared {
        access.pins = prepared.pins.clone();
    }
    access.counts = row.is(Flags::READONLY);
    access.touches = !ctx.session.no_touch;
    access.keeps_expired = node.pause.is_used();
    let notified = node.notified();
    access.notes_new = notified.has(EventClass::NEW);
    access.notes_misses = notified.has(EventClass::MISS);
    ctx.access = Some(access);
    let acting = node.tracking.is_used().then(|| Tracking::acting(ctx.session.client.id));
    let mut outcome = (row.command.handler)(&mut ctx, arguments(row, words));
    if !matches!(outcome, Err(Stop::Cold(_) | Stop::Errand(_) | Stop::Room)) {
        note_read(&ctx, row, words);
    }
    ctx.take_noted();
    if is_done(&outcome)
        && !row.is(Flags::TRANSACTION)
        && let Err(stop) = blocking::serve(&mut ctx)
    {
        outcome = Err(stop);
    }
    let shown = node.monitors.is_used() && !matches!(outcome, Err(Stop::Cold(_) | Stop::Errand(_) | Stop::Room));
    let lines = if shown { lines(&mut ctx, row, words) } else { Vec::new() };
    let aside = ctx.aside.take();
    if aside.as_ref().is_some_and(|aside| !aside.served.is_empty()) {
        // What they have changed is not this connection's doing: it has to be told as well.
        drop(acting);
    }
    if is_done(&outcome) {
        let (wait, tally) = match access.take_effect() {
            Ok(done) => done,
            Err(halt) => {
                *place = None;
                return Err(halt.into());
            }
        };
        batch.wait = batch.wait.max(wait);
        batch.tally.add(&tally);
        if row.is(Flags::WRITE) || row.is(Flags::TRANSACTION) {
            session.wrote = session.wrote.max(wait);
        }
        let has_effects = aside.as_ref().is_some_and(|aside| !aside.effects.is_empty());
        let mut served = Vec::new();
        if let Some(aside) = aside {
            send(node, &aside.effects, wait);
            if !aside.own_reads.is_empty() {
                node.note_read(&session.client, aside.own_reads.iter().map(|key| &key[..]));
            }
            served = aside.served;
        }
        show(node, lines, wait);
        blocking::answer(node, served, wait);
        if !leaves || !access.is_clean() {
            *place = None;
        }
        if has_effects {
            // Whoever sends to itself reads the message before the answer.
            session.take_messages(out);
        }
    } else {
        if let Err(Stop::Block(block)) = outcome {
            outcome = Err(Stop::Blocked(blocking::park(node, session, row, words, *block)));
        }
        show(node, lines, 0);
        // An error may tell what was read, and expiry may have happened.
        let (wait, tally) = access.abandon();
        *place = None;
        batch.wait = batch.wait.max(wait);
        match outcome {
            // What it looked up is counted when it runs again.
            Err(Stop::Cold(_) | Stop::Errand(_) | Stop::Room) => batch.tally.expired += tally.expired,
            _ => batch.tally.add(&tally),
        }
    }
    outcome
}

fn is_done(outcome: &Outcome) -> bool {
    matches!(outcome, Ok(_) | Err(Stop::Written | Stop::Silent))
}

/// What those are shown about a request who look at everything: what it has run, and itself.
#[cold]
fn lines(ctx: &mut Context<'_, '_>, row: &Row, words: Arguments<'_>) -> Vec<String> {
    let mut lines = std::mem::take(&mut ctx.aside().monitored);
    lines.extend(monitor::line(ctx.node, ctx.session, row, words));
    lines
}

fn show(node: &Node, lines: Vec<String>, wait: Position) {
    lines.into_iter().for_each(|line| node.show(line, wait));
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
    note_own(ctx, row, words);
    if ctx.node.monitors.is_used() {
        let line = monitor::line(ctx.node, ctx.session, row, words);
        ctx.aside().monitored.extend(line);
    }
    outcome
}

/// What a transaction reads of its own is tracked once more when it has taken effect: that is told to whoever tracked it
/// before, and forgotten.
fn note_own(ctx: &mut Context<'_, '_>, row: &Row, words: Arguments<'_>) {
    if row.is(Flags::READONLY)
        && ctx.session.tracks_reads()
        && let Some(access) = &ctx.access
    {
        let own: Vec<Bytes> =
            row.keys(words).filter(|key| access.has_pending(key)).map(Bytes::copy_from_slice).collect();
        ctx.aside().own_reads.extend(own);
    }
}

pub(super) fn arguments<'a>(row: &Row, words: Arguments<'a>) -> Args<'a> {
    Args::new(words, row.names)
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
    if row.is(Flags::TRANSACTION) {
        return open_transaction(keyspace, registry, session, now);
    }
    let reach = row.reach(words);
    let mode = if reach.only_reads { Mode::Shared } else { Mode::Exclusive };
    if reach.all {
        return keyspace.access_all(database, mode, now, mode == Mode::Exclusive);
    }
    if let Some(key) = row.only_key.and_then(|place| words.get(place)) {
        return keyspace.access_one(database, key, mode, now, false);
    }
    let mut keys = row.keys(words);
    match (keys.next(), keys.next()) {
        (None, _) => keyspace.access_none(database, now),
        (Some(key), None) => keyspace.access_one(database, key, mode, now, false),
        (Some(_), Some(_)) => keyspace.access_several(database, row.keys(words), mode, now),
    }
}

/// Has an access see to those who wait for what it changes, holding what they will touch as well.
#[cold]
fn follow<'k>(
    node: &Node,
    keyspace: &'k Keyspace,
    registry: &Registry,
    session: &Session,
    row: &Row,
    words: Arguments<'_>,
    mut access: Access<'k>,
) -> Access<'k> {
    let is_all = |row: &Row, words| row.reach(words).all || row.is(Flags::WALKS);
    if row.is(Flags::TRANSACTION) {
        if queued(registry, session).all(|(queued, words)| queued.reach(words).only_reads) {
            return access;
        }
    } else if row.reach(words).only_reads {
        return access;
    }
    let has_all = |(queued, words)| row.is(Flags::TRANSACTION) && is_all(queued, words);
    if is_all(row, words) || queued(registry, session).any(has_all) {
        access.is_followed = true;
        return access;
    }
    let keys: Vec<&[u8]> = match row.is(Flags::TRANSACTION) {
        true => transaction_keys(registry, session).collect(),
        false => row.keys(words).collect(),
    };
    blocking::widen(node, keyspace, access, &keys)
}

fn queued<'a>(
    registry: &'a Registry,
    session: &'a Session,
) -> impl Iterator<Item = (&'a Row, Arguments<'a>)> + Clone + use<'a> {
    let queued = session.transaction.iter().flat_map(|transaction| transaction.queue());
    queued.map(|queued| (&registry.rows()[queued.row], queued.words()))
}

/// All keys that a transaction names or watches.
fn transaction_keys<'a>(registry: &'a Registry, session: &'a Session) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let watched = session.watched().map(|(_, key)| key);
    queued(registry, session).flat_map(|(row, words)| row.keys(words)).chain(watched)
}

/// The latches of all keys that a transaction names or watches, or all there are.
fn open_transaction<'k>(keyspace: &'k Keyspace, registry: &Registry, session: &Session, now: u64) -> Access<'k> {
    let rows = queued(registry, session);
    let writes = !rows.clone().all(|(row, words)| row.reach(words).only_reads);
    let mode = if writes { Mode::Exclusive } else { Mode::Shared };
    if rows.clone().any(|(row, words)| row.reach(words).all || row.is(Flags::WALKS)) {
        return keyspace.access_all(session.database, mode, now, writes);
    }
    keyspace.access_several(session.database, transaction_keys(registry, session), mode, now)
}
