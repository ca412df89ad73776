//! Commands that wait, by commands of the tests' own on strings: those on lists and the like work in the same way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::Thread;

use bytes::Bytes;

use super::super::table::{Command, Flags, Group, checked};
use super::super::{Args, Context, Ended, Outcome, TABLES, end_waiting, text};
use super::{Batch, Bench, Executed, Prepared, Registry, Session};
use crate::keyspace::Access;
use crate::node::{Block, Waiter};
use crate::protocol::{Arguments, Reply, ReplyBuffer, Version};
use crate::store::disk::sim::{At, CallKind, Often};
use crate::types::kind::Kind;

/// A value that begins with this counts as one of another type.
const OTHER_TYPE: u8 = b'!';

static TABLE: &[Command] = &checked(
    Group::Generic,
    [
        Command::write("XMOVE", "source destination timeout", take_to)
            .summary("Takes a value away and puts it behind another one.")
            .flag(Flags::BLOCKING)
            .flag(Flags::DENYOOM),
        Command::write("XTAKE", "key [key ...] timeout", take)
            .summary("Takes the first value that there is away.")
            .flag(Flags::BLOCKING),
    ],
);

fn take(ctx: &mut Context<'_, '_>, args: Args<'_>) -> Outcome {
    let mut keys: Vec<&[u8]> = args.rest().collect();
    keys.pop();
    for key in &keys {
        if let Some(value) = value(ctx, key)? {
            ctx.keys()?.delete(key)?;
            return Ok(Reply::Array(vec![Reply::bulk(key), Reply::Bulk(value)]));
        }
    }
    let keys = keys.into_iter().map(Bytes::copy_from_slice).collect();
    block(ctx, keys)
}

fn take_to(ctx: &mut Context<'_, '_>, mut args: Args<'_>) -> Outcome {
    let (source, destination) = (args.word()?, args.word()?);
    let Some(value) = value(ctx, source)? else { return block(ctx, vec![Bytes::copy_from_slice(source)]) };
    let before = ctx.keys()?.value(destination)?.map_or(Bytes::new(), |value| value.bytes);
    let joined = [&before[..], &value[..]].concat();
    ctx.keys()?.delete(source)?;
    ctx.keys()?.put(destination, Kind::of_string(&joined).0, &joined, None)?;
    Ok(Reply::Bulk(value))
}

fn value(ctx: &mut Context<'_, '_>, key: &[u8]) -> Result<Option<Bytes>, super::super::Stop> {
    match ctx.keys()?.value(key)? {
        Some(value) if value.bytes.first() == Some(&OTHER_TYPE) => Err(text::WRONG_TYPE.into()),
        value => Ok(value.map(|value| value.bytes)),
    }
}

fn block(ctx: &Context<'_, '_>, keys: Vec<Bytes>) -> Outcome {
    let timed_out = |_: &super::Node, _| Reply::NullArray;
    ctx.block(Block { keys, is_ready, also_gone: false, position: 0, ends_durable: false, timeout: None, timed_out })
}

fn is_ready(access: &mut Access<'_>, key: &[u8]) -> bool {
    !matches!(access.view(key, |view| view.value.first() != Some(&OTHER_TYPE)), Ok(None | Some(false)))
}

impl Bench {
    fn of_waiters() -> Self {
        let mut tables = TABLES.to_vec();
        tables.push(TABLE);
        Self::with(Registry::of(&tables))
    }

    /// A connection that waits for something with this command.
    fn wait(&self, line: &str) -> Arc<Waiter> {
        self.wait_as(self.session(), line)
    }

    fn wait_as(&self, mut session: Session, line: &str) -> Arc<Waiter> {
        let (executed, _) = self.attempt(&mut session, &mut Batch::begin(&self.node), line, None);
        let Executed::Blocked(waiter) = executed else { panic!("{line}: {executed:?}") };
        waiter
    }

    fn is_waiting(&self, waiter: &Waiter) -> bool {
        waiter.poll_answered(Waker::noop()).is_pending()
    }

    fn answer_of(&self, waiter: &Waiter) -> String {
        assert!(!self.is_waiting(waiter), "it waits");
        String::from_utf8(self.node.waiting.take_back(waiter).expect("an answer").out.to_vec()).unwrap()
    }

    fn blocked(&self) -> usize {
        self.node.waiting.counts().clients
    }
}

fn taken(key: &str, value: &str) -> String {
    format!("*2\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n", key.len(), value.len())
}

#[test]
fn who_came_first_is_served_first_and_before_anybody_looks() {
    let bench = Bench::of_waiters();
    let mut other = bench.session();
    let waiters = ["XTAKE k 0", "XTAKE j k 0", "XTAKE k 0"].map(|line| bench.wait(line));
    assert_eq!((bench.blocked(), bench.node.waiting.counts().keys), (3, 2));
    for (number, waiter) in waiters.iter().enumerate() {
        let value = format!("v{number}");
        assert!(bench.is_waiting(waiter));
        assert_eq!(bench.run(&mut other, &format!("SET k {value}")), "+OK\r\n");
        assert_eq!(bench.run(&mut other, "EXISTS k"), ":0\r\n");
        assert_eq!(bench.answer_of(waiter), taken("k", &value));
    }
    assert_eq!(bench.node.waiting.counts(), Default::default());
    assert!(!bench.node.waiting.is_used());
    assert_eq!(bench.run(&mut other, "SET k v"), "+OK\r\n");
    assert_eq!(bench.run(&mut other, "XTAKE k 0"), taken("k", "v"), "who finds something does not wait");
    let take = bench.registry.find(b"xtake").unwrap().index;
    assert_eq!(bench.node.stats.commands.get(take).calls.get(), 3, "the last one's batch is not finished");
}

#[test]
fn who_is_served_may_serve_others_and_all_of_it_is_one_batch() {
    let bench = Bench::of_waiters();
    let mut other = bench.session();
    let (first, second) = (bench.wait("XMOVE a b 0"), bench.wait("XMOVE b c 0"));
    let third = bench.wait("XTAKE c 0");
    let before = bench.keyspace().store().appended();
    bench.disk.set_cold(false);
    assert_eq!(bench.run(&mut other, "SET a v"), "+OK\r\n");
    assert_eq!(bench.answer_of(&first), "$1\r\nv\r\n");
    assert_eq!(bench.answer_of(&second), "$1\r\nv\r\n");
    assert_eq!(bench.answer_of(&third), taken("c", "v"));
    assert_eq!(bench.run(&mut other, "DBSIZE"), ":0\r\n");
    assert!(bench.keyspace().store().appended() > before);
}

#[test]
fn a_transaction_serves_once_it_is_done() {
    let bench = Bench::of_waiters();
    let mut other = bench.session();
    let (first, second) = (bench.wait("XTAKE a b 0"), bench.wait("XTAKE b a 0"));
    let third = bench.wait("XTAKE b 0");
    for line in ["MULTI", "SET b 1", "SET b 2", "SET a 3", "XTAKE nothing 0"] {
        bench.run(&mut other, line);
    }
    assert!(bench.is_waiting(&first));
    assert_eq!(bench.run(&mut other, "EXEC"), "*4\r\n+OK\r\n+OK\r\n+OK\r\n*-1\r\n");
    // The first command sees all of it, and chooses as its words say.
    assert_eq!(bench.answer_of(&first), taken("a", "3"));
    assert_eq!(bench.answer_of(&second), taken("b", "2"));
    assert!(bench.is_waiting(&third));
    // What is gone before the end was never there.
    for line in ["MULTI", "SET b 4", "DEL b"] {
        bench.run(&mut other, line);
    }
    assert_eq!(bench.run(&mut other, "EXEC"), "*2\r\n+OK\r\n:1\r\n");
    assert!(bench.is_waiting(&third));
}

#[test]
fn keys_become_ready_in_whatever_way() {
    let bench = Bench::of_waiters();
    let mut other = bench.session();
    for (lines, value) in [
        (&["SET x 1", "RENAME x k"][..], "1"),
        (&["SET x 2", "COPY x k", "DEL x"], "2"),
        (&["MSET k 3 x 0", "DEL x"], "3"),
        (&["APPEND k 4"], "4"),
        (&["SELECT 1", "SET k 5", "MOVE k 0", "SELECT 0"], "5"),
        (&["SELECT 1", "SET k 6", "SWAPDB 0 1", "SELECT 0"], "6"),
        (&["MULTI", "SELECT 1", "SET k 7", "SWAPDB 1 0", "EXEC", "SELECT 0"], "7"),
    ] {
        let waiter = bench.wait("XTAKE k 0");
        for line in lines {
            let reply = bench.run(&mut other, line);
            assert!(!reply.starts_with('-'), "{line}: {reply}");
        }
        assert_eq!(bench.answer_of(&waiter), taken("k", value), "{lines:?}");
        for database in [0, 1] {
            assert_eq!(bench.keyspace().size(database).keys, 0, "{lines:?}");
        }
    }
    let elsewhere = bench.wait("XTAKE k 0");
    bench.run(&mut other, "SELECT 3");
    bench.run(&mut other, "SET k v");
    assert!(bench.is_waiting(&elsewhere), "it waits in another database");
}

#[test]
fn another_type_is_waited_out() {
    let bench = Bench::of_waiters();
    let mut other = bench.session();
    let waiter = bench.wait("XTAKE k 0");
    bench.run(&mut other, "SET k !other");
    assert!(bench.is_waiting(&waiter));
    assert_eq!(bench.run(&mut other, "XTAKE k 0"), format!("-{}\r\n", text::WRONG_TYPE));
    bench.run(&mut other, "DEL k");
    assert!(bench.is_waiting(&waiter));
    bench.run(&mut other, "SET k v");
    assert_eq!(bench.answer_of(&waiter), taken("k", "v"));
}

#[test]
fn waiting_ends_early() {
    let bench = Bench::of_waiters();
    let mut other = bench.session();
    let waiters = [(); 3].map(|()| bench.wait("XTAKE k 0"));
    assert!(end_waiting(&bench.node, &bench.registry, &waiters[0], &Ended::TimedOut));
    assert!(!end_waiting(&bench.node, &bench.registry, &waiters[0], &Ended::TimedOut), "once");
    let unblock = format!("CLIENT UNBLOCK {} ERROR", waiters[1].client.id);
    assert_eq!(bench.run(&mut other, &unblock), ":1\r\n");
    assert_eq!(bench.run(&mut other, &unblock), ":0\r\n");
    assert_eq!(bench.answer_of(&waiters[0]), "*-1\r\n");
    assert_eq!(bench.answer_of(&waiters[1]), "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    waiters[2].client.kill();
    bench.run(&mut other, "SET k v");
    assert!(bench.is_waiting(&waiters[2]), "who was killed is served nothing");
    assert_eq!(bench.run(&mut other, "GET k"), "$1\r\nv\r\n");
    let parked = bench.node.waiting.take_back(&waiters[2]).unwrap();
    assert_eq!(parked.session.client.id, waiters[2].client.id);
    assert_eq!(bench.node.waiting.counts(), Default::default());
}

#[test]
fn rules_that_changed_count_when_a_waiter_is_served() {
    let bench = Bench::of_waiters();
    let mut other = bench.session();
    bench.run(&mut other, "ACL SETUSER alice on nopass ~* +@all");
    let mut session = bench.session();
    assert_eq!(bench.run(&mut session, "AUTH alice x"), "+OK\r\n");
    let (first, second) = (bench.wait_as(session, "XMOVE a b 0"), bench.wait("XTAKE a 0"));
    bench.run(&mut other, "ACL SETUSER alice resetkeys ~a");
    bench.run(&mut other, "SET a v");
    assert_eq!(bench.answer_of(&first), "-NOPERM No permissions to access a key\r\n");
    assert_eq!(bench.answer_of(&second), taken("a", "v"));
    assert_eq!(bench.node.acl.log.newest(1)[0].refusal.object, b"b");
}

#[test]
fn what_a_waiter_has_changed_is_what_its_answer_and_its_waits_for_the_disk_wait_for() {
    let bench = Bench::of_waiters();
    let mut other = bench.session();
    let waiter = bench.wait("XTAKE k 0");
    bench.run(&mut other, "SET k v");
    let parked = bench.node.waiting.take_back(&waiter).unwrap();
    assert_eq!(parked.wait, bench.keyspace().store().appended());
    assert_eq!(parked.session.wrote, bench.keyspace().store().appended());
    assert_eq!(parked.session.wrote, other.wrote);
}

#[test]
fn what_a_waiter_needs_from_the_disk_is_fetched_before_anything_happens() {
    let bench = Bench::of_waiters();
    let mut other = bench.session();
    for exec in [false, true] {
        bench.run(&mut other, "SET cold long-");
        bench.demote();
        let waiter = bench.wait("XMOVE k cold 0");
        let line = if exec {
            bench.run(&mut other, "MULTI");
            bench.run(&mut other, "SET k v");
            "EXEC"
        } else {
            "SET k v"
        };
        let reply = bench.run_cold(&mut other, line, || assert!(bench.is_waiting(&waiter)));
        assert_eq!(reply, if exec { "*1\r\n+OK\r\n" } else { "+OK\r\n" });
        assert_eq!(bench.answer_of(&waiter), "$1\r\nv\r\n");
        assert_eq!(bench.run(&mut other, "GET cold"), "$6\r\nlong-v\r\n");
        bench.run(&mut other, "DEL cold");
    }
}

#[test]
fn a_log_that_refuses_serves_nobody() {
    let bench = Bench::of_waiters();
    let mut other = bench.session();
    let waiter = bench.wait("XTAKE k 0");
    bench.disk.fail(At::Kind(CallKind::Write), std::io::ErrorKind::StorageFull, Often::Always);
    bench.run(&mut other, "SET x v");
    assert!(bench.keyspace().store().sync().is_err());
    let reply = bench.run(&mut other, "SET k v");
    assert!(reply.starts_with("-MISCONF "), "{reply}");
    assert!(bench.is_waiting(&waiter));
    assert_eq!(bench.run(&mut other, "GET k"), "$-1\r\n");
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What a client reads who waits as a connection does; nothing if it was ended by somebody else.
fn wait_for(bench: &Bench, waiter: &Waiter) -> Option<String> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let context = TaskContext::from_waker(&waker);
    while waiter.poll_answered(context.waker()) == Poll::Pending {
        std::thread::park();
    }
    let reply = bench.answer_of(waiter);
    (reply != "*-1\r\n").then_some(reply)
}

#[test]
fn many_who_take_and_many_who_put_lose_nothing_and_take_nothing_twice() {
    const THREADS: usize = 4;
    const VALUES: usize = 400;
    let bench = Bench::of_waiters();
    bench.disk.set_cold(false);
    let (put, taken_in_all, is_over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let seen = parking_lot::Mutex::new(BTreeMap::<String, usize>::new());
    std::thread::scope(|scope| {
        for number in 0..THREADS {
            // A key has one value: whoever puts the next one tries until the one before is taken.
            let (bench, put) = (&bench, &put);
            scope.spawn(move || {
                let mut session = bench.session();
                for at in 0..VALUES {
                    let value = format!("v{number}-{at}");
                    let line = match at % 4 {
                        0 => format!("SET k{number} {value} NX"),
                        1 => format!("SETNX k{} {value}", (number + 1) % THREADS),
                        2 => format!("MSETNX k{} {value} x{value} 1", (number + 2) % THREADS),
                        _ => format!("SET j{} {value} NX", number % 2),
                    };
                    while !["+OK\r\n", ":1\r\n"].contains(&&run_through(bench, &mut session, &line)[..]) {
                        std::thread::yield_now();
                    }
                    put.fetch_add(1, SeqCst);
                }
            });
        }
        let takers: Vec<_> = (0..THREADS)
            .map(|number| {
                let (bench, taken_in_all, seen, is_over) = (&bench, &taken_in_all, &seen, &is_over);
                scope.spawn(move || {
                    let lines = ["XTAKE k0 k1 j0 0", "XTAKE k2 k3 k1 0", "XTAKE j0 j1 0", "XTAKE j1 k3 k0 k2 0"];
                    while !is_over.load(SeqCst) {
                        let mut session = bench.session();
                        let client = session.client.clone();
                        let mut batch = Batch::begin(&bench.node);
                        let (executed, reply) = bench.attempt(&mut session, &mut batch, lines[number], None);
                        let reply = match executed {
                            Executed::Blocked(waiter) => wait_for(bench, &waiter),
                            Executed::Done => Some(reply),
                            other => panic!("{other:?}"),
                        };
                        bench.node.clients.remove(&client);
                        if let Some(reply) = reply {
                            taken_in_all.fetch_add(1, SeqCst);
                            *seen.lock().entry(reply).or_default() += 1;
                        }
                    }
                })
            })
            .collect();
        // Somebody ends their waiting now and then, until all is taken.
        let (bench, taken_in_all, is_over) = (&bench, &taken_in_all, &is_over);
        scope.spawn(move || {
            while taken_in_all.load(SeqCst) < THREADS * VALUES || takers.iter().any(|taker| !taker.is_finished()) {
                is_over.store(taken_in_all.load(SeqCst) >= THREADS * VALUES, SeqCst);
                for client in bench.node.clients.all() {
                    if let Some(waiter) = bench.node.waiting.of_client(client.id) {
                        end_waiting(&bench.node, &bench.registry, &waiter, &Ended::TimedOut);
                    }
                }
                std::thread::yield_now();
            }
        });
    });
    assert_eq!(put.load(SeqCst), taken_in_all.load(SeqCst));
    assert_eq!(put.load(SeqCst), THREADS * VALUES);
    let twice: Vec<_> = seen.lock().iter().filter(|(_, count)| **count > 1).map(|(reply, _)| reply.clone()).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(bench.node.waiting.counts(), Default::default());
}

/// A request of a client that does all that is asked of it.
fn run_through(bench: &Bench, session: &mut Session, line: &str) -> String {
    let mut batch = Batch::begin(&bench.node);
    let mut prepared = Prepared::default();
    loop {
        match bench.attempt(session, &mut batch, line, Some(&prepared)) {
            (Executed::Done, reply) => return reply,
            (Executed::Cold(cold), _) => {
                cold.into_iter().for_each(|cold| prepared.pins.add(cold.fetch(bench.keyspace())))
            }
            (Executed::Room, _) => prepared.admitted = true,
            (other, _) => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn what_is_held_back_runs_later_and_not_in_part() {
    let bench = Bench::of_waiters();
    let (mut admin, mut client) = (bench.session(), bench.session());
    let pause = |admin: &mut Session, line: &str| assert_eq!(bench.run(admin, line), "+OK\r\n");
    let is_held = |client: &mut Session, line: &str| {
        let mut out = ReplyBuffer::new(Version::Resp2);
        let (mut bytes, mut ranges) = (Vec::new(), Vec::new());
        for word in line.split(' ') {
            ranges.push((bytes.len(), bytes.len() + word.len()));
            bytes.extend_from_slice(word.as_bytes());
        }
        let words = Arguments::new(&bytes, &ranges);
        let mut batch = Batch::begin(&bench.node);
        let executed =
            super::execute(&bench.node, &bench.registry, client, &mut batch, &mut out, None, words, None, None);
        matches!(executed, Executed::Paused)
    };
    pause(&mut admin, "CLIENT PAUSE 1000 WRITE");
    for (line, expected) in [
        ("GET a", false),
        ("SET a 1", true),
        ("PUBLISH a 1", true),
        ("SET a", false),
        ("MULTI", false),
        ("SET a 2", true),
        ("GET a", false),
        ("EXEC", false),
        ("CLIENT ID", false),
    ] {
        assert_eq!(is_held(&mut client, line), expected, "{line}");
    }
    bench.clock.advance(std::time::Duration::from_millis(999));
    assert!(is_held(&mut client, "SET a 1"));
    assert!(!bench.node.expires_keys());
    bench.clock.advance(std::time::Duration::from_millis(1));
    assert!(!is_held(&mut client, "SET a 1") && bench.node.expires_keys());
    // One that is there is only made longer and stricter.
    pause(&mut admin, "CLIENT PAUSE 1000 WRITE");
    pause(&mut admin, "CLIENT PAUSE 10");
    bench.clock.advance(std::time::Duration::from_millis(500));
    assert!(is_held(&mut client, "GET a"));
    bench.node.pause.end();
    assert!(!is_held(&mut client, "SET a 1"));
    pause(&mut admin, "CLIENT PAUSE 1000 WRITE");
    assert!(!is_held(&mut client, "GET a"), "the one before is over");
    pause(&mut admin, "CLIENT UNPAUSE");
    assert!(!is_held(&mut client, "SET a 1"));
}

#[test]
fn many_who_wait_for_one_key_cost_those_who_change_it_little() {
    let bench = Bench::of_waiters();
    bench.disk.set_cold(false);
    let mut other = bench.session();
    let mut waiters: Vec<_> = (0..20_000).map(|_| bench.wait("XTAKE k 0")).collect();
    let moving = bench.wait("XMOVE k j 0");
    assert_eq!(bench.node.waiting.reach([&b"k"[..]].into_iter()).map(|keys| keys.len()), Some(2));
    for (number, waiter) in waiters.drain(..).enumerate() {
        assert_eq!(bench.run(&mut other, &format!("SET k {number}")), "+OK\r\n");
        assert_eq!(bench.answer_of(&waiter), taken("k", &number.to_string()));
    }
    assert_eq!(bench.run(&mut other, "SET k last"), "+OK\r\n");
    assert_eq!(bench.answer_of(&moving), "$4\r\nlast\r\n");
    assert!(bench.node.waiting.reach([&b"k"[..], b"j"].into_iter()).is_none());
    assert_eq!(bench.node.waiting.counts(), Default::default());
}
