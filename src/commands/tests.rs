//! What happens between two attempts at one request, while it waits for the disk, and while its user is changed.

mod blocking;
mod counted;
mod lists;
mod random;

use std::sync::Arc;
use std::time::Duration;

use super::arguments::Words;
use super::timing::{Timing, Wait};
use super::{Batch, Executed, Prepared, Registry, check_permission, execute};
use crate::config::{Config, Settings};
use crate::keyspace::Keyspace;
use crate::node::acl::{Place, Reason};
use crate::node::{Host, Node, Peer, Session, ShutdownRequest};
use crate::protocol::{Arguments, ReplyBuffer, Version};
use crate::stats::Event;
use crate::store::clock::TestClock;
use crate::store::disk::SimDisk;
use crate::store::disk::sim::CallKind;

struct Nobody;

impl Host for Nobody {
    fn shut_down(&self, _: ShutdownRequest) {}

    fn settings_changed(&self) {}
}

/// A server without a network, on a disk whose values all have to be waited for.
struct Bench {
    disk: SimDisk,
    node: Node,
    registry: Registry,
    clock: Arc<TestClock>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Registry::new())
    }

    fn with(registry: Registry) -> Self {
        let (disk, clock) = (SimDisk::new(), Arc::new(TestClock::new(1_700_000_000_000)));
        disk.set_cold(true);
        let config = Config::new(Settings::default(), None);
        let node = Node::new(config, clock.clone(), Box::new(Nobody), registry.catalogue());
        let opened = Keyspace::open(Arc::new(disk.clone()), clock.clone(), Default::default(), 16, &mut |_, _| {});
        node.set_keyspace(opened.unwrap().0);
        Self { disk, node, registry, clock }
    }

    fn session(&self) -> Session {
        Session::new(self.node.clients.add(Peer::Internal, 0, self.node.now()), self.node.acl.default_account().clone())
    }

    fn keyspace(&self) -> &Keyspace {
        self.node.keyspace().unwrap()
    }

    /// Sends all values that may go back to the disk.
    fn demote(&self) {
        let keyspace = self.keyspace();
        keyspace.store().sync().unwrap();
        keyspace.set_memory_limit(1);
        keyspace.govern(0);
        keyspace.set_memory_limit(0);
        keyspace.govern(0);
    }

    /// A request of its own batch, attempted once; then, if it asks for values, `meanwhile` happens before they are
    /// there, and it is attempted again.
    fn request(&self, session: &mut Session, line: &str, meanwhile: Option<&mut dyn FnMut()>) -> String {
        let mut batch = Batch::begin(&self.node);
        let (executed, reply) = self.attempt(session, &mut batch, line, None);
        let (Executed::Cold(cold), Some(meanwhile)) = (executed, meanwhile) else { return reply };
        let mut prepared = Prepared::default();
        cold.into_iter().for_each(|cold| prepared.pins.add(cold.fetch(self.keyspace())));
        meanwhile();
        let (executed, reply) = self.attempt(session, &mut batch, line, Some(&prepared));
        assert!(matches!(executed, Executed::Done), "{line}: {executed:?}");
        reply
    }

    fn attempt(
        &self,
        session: &mut Session,
        batch: &mut Batch,
        line: &str,
        prepared: Option<&Prepared>,
    ) -> (Executed, String) {
        let mut out = ReplyBuffer::new(Version::Resp2);
        let (mut bytes, mut ranges) = (Vec::new(), Vec::new());
        for word in line.split(' ') {
            ranges.push((bytes.len(), bytes.len() + word.len()));
            bytes.extend_from_slice(word.as_bytes());
        }
        let words = Arguments::new(&bytes, &ranges);
        let executed = execute(&self.node, &self.registry, session, batch, &mut out, None, words, prepared, None);
        (executed, String::from_utf8(out.to_vec()).unwrap())
    }

    fn run(&self, session: &mut Session, line: &str) -> String {
        self.request(session, line, None)
    }

    fn run_cold(&self, session: &mut Session, line: &str, mut meanwhile: impl FnMut()) -> String {
        let mut waited = false;
        let reply = self.request(
            session,
            line,
            Some(&mut || {
                waited = true;
                meanwhile();
            }),
        );
        assert!(waited, "{line} had its values");
        reply
    }
}

#[test]
fn a_watched_key_counts_until_a_transaction_that_waits_is_done() {
    for queued in [&["GET cold"][..], &["UNWATCH", "GET cold"]] {
        let bench = Bench::new();
        let (mut session, mut other) = (bench.session(), bench.session());
        bench.run(&mut session, "SET cold value");
        bench.run(&mut session, "SET watched 1");
        bench.demote();
        bench.run(&mut session, "WATCH watched");
        bench.run(&mut session, "MULTI");
        for line in queued {
            assert_eq!(bench.run(&mut session, line), "+QUEUED\r\n");
        }
        let change = || _ = bench.run(&mut other, "SET watched 2");
        assert_eq!(bench.run_cold(&mut session, "EXEC", change), "*-1\r\n", "{queued:?}");
        bench.run(&mut session, "MULTI");
        assert_eq!(bench.run(&mut session, "EXEC"), "*0\r\n", "nothing is watched any more");
        assert_eq!(bench.keyspace().watched(), 0);
    }
}

#[test]
fn what_a_transaction_does_beside_the_keys_happens_once() {
    let bench = Bench::new();
    let mut session = bench.session();
    bench.run(&mut session, "SET cold value");
    bench.run(&mut session, "ACL SETUSER alice");
    bench.demote();
    for line in ["MULTI", "ACL DELUSER alice", "GET cold"] {
        bench.run(&mut session, line);
    }
    assert_eq!(bench.run_cold(&mut session, "EXEC", || {}), "*2\r\n:1\r\n$5\r\nvalue\r\n");
}

#[test]
fn a_time_to_live_begins_when_a_request_has_waited() {
    let bench = Bench::new();
    let mut session = bench.session();
    bench.run(&mut session, "SET cold value");
    bench.demote();
    let reply = bench.run_cold(&mut session, "GETEX cold PX 100", || bench.clock.advance(Duration::from_secs(5)));
    assert_eq!(reply, "$5\r\nvalue\r\n");
    assert_eq!(bench.run(&mut session, "PTTL cold"), ":100\r\n");
    bench.demote();
    bench.run(&mut session, "PEXPIRE cold 100");
    let reply = bench.run_cold(&mut session, "GET cold", || bench.clock.advance(Duration::from_millis(100)));
    assert_eq!(reply, "$-1\r\n", "its time was over before it was read");
}

#[test]
fn the_time_of_a_command_counts_its_cold_values_and_not_the_wait_for_room() {
    let bench = Bench::new();
    let mut session = bench.session();
    bench
        .node
        .config
        .set(&[("slowlog-log-slower-than", "20000"), ("latency-monitor-threshold", "1")], |_, _, _| Ok(()))
        .unwrap();
    bench.node.settings_changed();
    bench.run(&mut session, "SET cold value");
    bench.demote();
    bench.run_cold(&mut session, "GET cold", || bench.clock.advance(Duration::from_millis(30)));
    let slow = bench.node.stats.slowlog.newest(9);
    assert_eq!((slow.len(), slow[0].microseconds, slow[0].words[0].as_slice()), (1, 30_000, &b"GET"[..]));
    let events = || -> Vec<(&str, u64)> {
        let all = bench.node.stats.latency.all().into_iter();
        all.map(|(event, series)| (event.name(), series.milliseconds_max)).collect()
    };
    assert_eq!(events(), [("cold-read", 30), ("fast-command", 30)]);
    let mut timing = Timing::default();
    timing.begin(&bench.node);
    bench.clock.advance(Duration::from_millis(2));
    timing.pause(&bench.node, Wait::Room);
    bench.clock.advance(Duration::from_millis(500));
    timing.begin(&bench.node);
    bench.clock.advance(Duration::from_millis(3));
    let set = bench.registry.find(b"SET").unwrap();
    assert_eq!(timing.end(&bench.node, set.index), 5_000_000);
    timing.finish(&bench.node);
    assert_eq!(events(), [("cold-read", 30), ("fast-command", 30), ("log-room", 500)]);
    assert_eq!(bench.node.stats.commands.get(set.index).histogram.snapshot().cumulative(), [(8454, 1)]);
}

#[test]
fn the_slowest_write_and_sync_of_the_log_are_events() {
    let bench = Bench::new();
    let mut session = bench.session();
    bench.node.config.set(&[("latency-monitor-threshold", "1")], |_, _, _| Ok(())).unwrap();
    bench.node.settings_changed();
    for (kind, milliseconds) in [(CallKind::Write, 30), (CallKind::SyncData, 50)] {
        bench.run(&mut session, "SET key value");
        let hold = bench.disk.hold(kind);
        std::thread::scope(|scope| {
            let syncing = scope.spawn(|| bench.keyspace().store().sync());
            hold.wait_for(1);
            bench.clock.advance(Duration::from_millis(milliseconds));
            drop(hold);
            syncing.join().unwrap().unwrap();
        });
    }
    bench.node.sample();
    let events = || -> Vec<(&str, u64)> {
        let all = bench.node.stats.latency.all().into_iter();
        all.map(|(event, series)| (event.name(), series.milliseconds_max)).collect()
    };
    assert_eq!(events(), [("aof-write", 30), ("aof-fsync", 50)]);
    bench.node.stats.latency.reset(Event::LogSync);
    bench.node.sample();
    assert_eq!(events(), [("aof-write", 30)], "each is told once");
}

#[test]
fn commands_of_a_pipeline_are_told_apart() {
    let bench = Bench::new();
    let mut session = bench.session();
    let mut batch = Batch::begin(&bench.node);
    for (line, milliseconds) in [("SET a 1", 0), ("GET a", 0), ("GET a", 7), ("GET a", 0)] {
        bench.clock.advance(Duration::from_millis(milliseconds));
        bench.attempt(&mut session, &mut batch, line, None);
    }
    batch.finish(&bench.node);
    let get = bench.registry.find(b"GET").unwrap().index;
    let counters = bench.node.stats.commands.get(get);
    assert_eq!((counters.calls.get(), counters.nanoseconds.get()), (3, 7_000_000));
    assert_eq!(counters.histogram.snapshot().cumulative(), [(1, 2), (8454, 3)]);
    assert_eq!(batch.last_command(), Some(get));
}

#[test]
fn rules_that_change_while_a_request_waits_count_when_it_runs() {
    let bench = Bench::new();
    let mut session = bench.session();
    bench.run(&mut session, "SET cold value");
    bench.run(&mut session, "ACL SETUSER alice on nopass ~* +@all");
    assert_eq!(bench.run(&mut session, "AUTH alice x"), "+OK\r\n");
    bench.demote();
    let rules: [&[u8]; 1] = [b"resetkeys"];
    let revoke = || _ = bench.node.acl.set_user(b"alice", rules, false).unwrap();
    let reply = bench.run_cold(&mut session, "GET cold", revoke);
    assert_eq!(reply, "-NOPERM No permissions to access a key\r\n");
    // EXEC looks at each of its commands once more, and tells of it only once although it runs twice.
    let rules: [&[u8]; 2] = [b"~cold", b"~other"];
    bench.node.acl.set_user(b"alice", rules, false).unwrap();
    for line in ["MULTI", "GET other", "GET cold"] {
        bench.run(&mut session, line);
    }
    let rules: [&[u8]; 2] = [b"resetkeys", b"~cold"];
    bench.node.acl.set_user(b"alice", rules, false).unwrap();
    bench.demote();
    let reply = bench.run_cold(&mut session, "EXEC", || {});
    assert!(
        reply.starts_with("*2\r\n-NOPERM ACLs rules changed between") && reply.ends_with("$5\r\nvalue\r\n"),
        "{reply}"
    );
    let entries = bench.node.acl.log.newest(9);
    let told: Vec<_> =
        entries.iter().map(|entry| (&entry.refusal.object[..], entry.refusal.place, entry.count)).collect();
    assert_eq!(told, [(&b"other"[..], Place::Transaction, 1), (b"cold", Place::TopLevel, 1)]);
}

#[test]
fn replies_that_many_clients_show_alike_have_the_types_of_redis() {
    let bench = Bench::new();
    let mut session = bench.session();
    assert_eq!(bench.run(&mut session, "COMMAND INFO nothing"), "*1\r\n$-1\r\n");
    for container in ["ACL", "CLIENT", "COMMAND", "CONFIG", "LATENCY", "MEMORY", "OBJECT", "PUBSUB", "SLOWLOG"] {
        let reply = bench.run(&mut session, &format!("{container} HELP"));
        assert!(reply.starts_with('*') && reply.lines().skip(1).all(|line| line.starts_with('+')), "{reply}");
    }
    let not_positive = "-ERR value is out of range, must be positive\r\n";
    assert_eq!(bench.run(&mut session, "WAITAOF 0 word 0"), not_positive);
    assert_eq!(bench.run(&mut session, "WAITAOF 0 -1 0"), not_positive);
}

#[test]
fn what_was_done_for_a_request_is_not_done_again_once_clients_are_held_back() {
    let bench = Bench::new();
    let (mut client, mut admin) = (bench.session(), bench.session());
    let mut batch = Batch::begin(&bench.node);
    let (executed, _) = bench.attempt(&mut client, &mut batch, "SAVE", None);
    let Executed::Errand(errand) = executed else { panic!("{executed:?}") };
    let prepared = Prepared { finished: Some(errand.run(bench.keyspace())), ..Prepared::default() };
    assert_eq!(bench.run(&mut admin, "CLIENT PAUSE 1000 ALL"), "+OK\r\n");
    let (executed, reply) = bench.attempt(&mut client, &mut batch, "SAVE", Some(&prepared));
    assert!(matches!(executed, Executed::Done), "{executed:?}");
    assert_eq!(reply, "+OK\r\n");
    let (executed, _) = bench.attempt(&mut client, &mut batch, "SAVE", None);
    assert!(matches!(executed, Executed::Paused), "{executed:?}");
}

#[test]
fn connections_of_a_deleted_user_end_and_may_do_nothing_until_then() {
    let bench = Bench::new();
    let (mut own, mut other, mut third) = (bench.session(), bench.session(), bench.session());
    bench.run(&mut own, "ACL SETUSER alice on nopass ~* &* +@all");
    for session in [&mut own, &mut other] {
        assert_eq!(bench.run(session, "AUTH alice x"), "+OK\r\n");
    }
    let alice = bench.node.acl.find(b"alice").unwrap();
    assert_eq!(bench.run(&mut own, "ACL DELUSER alice nosuch"), ":1\r\n");
    assert!(own.closing && !own.client.is_killed(), "it still gets its reply");
    assert!(other.client.is_killed() && !third.client.is_killed());
    assert_eq!(bench.run(&mut other, "PING"), "-NOAUTH Authentication required.\r\n");
    // Somebody who found the user before it was deleted cannot become it any more.
    assert!(!third.log_in(alice) && third.client.user() == "default");
    assert_eq!(bench.run(&mut third, "PING"), "+PONG\r\n");
}

#[test]
fn who_came_before_the_password_was_taken_away_need_not_log_in() {
    let bench = Bench::new();
    let mut first = bench.session();
    bench.run(&mut first, "CONFIG SET requirepass secret");
    let mut second = bench.session();
    assert_eq!(bench.run(&mut second, "PING"), "-NOAUTH Authentication required.\r\n");
    bench.run(&mut first, "ACL SETUSER default nopass");
    assert_eq!(bench.run(&mut second, "PING"), "+PONG\r\n");
    bench.run(&mut first, "ACL SETUSER default off");
    assert_eq!(bench.run(&mut second, "PING"), "-NOAUTH Authentication required.\r\n");
    assert_eq!(bench.run(&mut first, "PING"), "+PONG\r\n", "who has logged in stays");
    bench.run(&mut first, "ACL SETUSER default on >other");
    bench.run(&mut first, "CONFIG SET requirepass secret");
    assert_eq!(
        bench.run(&mut second, "AUTH other"),
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
    );
    assert_eq!(bench.run(&mut second, "AUTH secret"), "+OK\r\n");
}

#[test]
fn channels_are_checked_where_the_row_says_which_words_they_are() {
    let bench = Bench::new();
    let rules: [&[u8]; 4] = [b"on", b"nopass", b"+@pubsub", b"&a*"];
    bench.node.acl.set_user(b"alice", rules, false).unwrap();
    let alice = bench.node.acl.find(b"alice").unwrap();
    let check = |line: &str| {
        let words = Words::copied(line.split(' ').map(str::as_bytes));
        let row = bench.registry.resolve(words.arguments()).unwrap();
        check_permission(&alice, row, words.arguments()).map_err(|denied| (denied.reason, denied.at))
    };
    for (line, expected) in [
        ("PSUBSCRIBE a* a*", Ok(())),
        ("PSUBSCRIBE a* ab", Err((Reason::Channel, 2))),
        ("SUBSCRIBE ab b", Err((Reason::Channel, 2))),
        ("SSUBSCRIBE ab b", Err((Reason::Channel, 2))),
        ("PUBLISH ab b", Ok(())),
        ("PUBLISH b ab", Err((Reason::Channel, 1))),
        ("SPUBLISH b ab", Err((Reason::Channel, 1))),
        ("UNSUBSCRIBE b", Ok(())),
        ("PUBSUB NUMSUB b", Ok(())),
    ] {
        assert_eq!(check(line), expected, "{line}");
    }
    let mut session = bench.session();
    session.log_in(alice.clone());
    assert_eq!(bench.run(&mut session, "PSUBSCRIBE b*"), "-NOPERM No permissions to access a channel\r\n");
    assert_eq!(bench.node.acl.log.newest(1)[0].refusal.object, b"b*");
}

#[test]
fn who_listens_to_what_its_user_may_not_any_more_is_ended() {
    let bench = Bench::new();
    let mut admin = bench.session();
    let names = ["SUBSCRIBE ab", "SSUBSCRIBE ab", "PSUBSCRIBE a*", "SUBSCRIBE c", "PING"];
    bench.run(&mut admin, "ACL SETUSER alice on nopass &a* &c +@all");
    let sessions = names.map(|line| {
        let mut session = bench.session();
        assert_eq!(bench.run(&mut session, "AUTH alice x"), "+OK\r\n");
        bench.run(&mut session, line);
        session
    });
    let ended = || sessions.each_ref().map(|session| session.client.is_killed());
    bench.run(&mut admin, "SUBSCRIBE ab");
    bench.run(&mut admin, "RESET");
    bench.run(&mut admin, "ACL SETUSER alice &other");
    assert_eq!(ended(), [false; 5]);
    bench.run(&mut admin, "ACL SETUSER alice resetchannels &c &ab");
    assert_eq!(ended(), [false, false, true, false, false], "a pattern has to stand there as it is");
    bench.run(&mut admin, "ACL SETUSER alice resetchannels &c");
    assert_eq!(ended(), [true, true, true, false, false]);
    // One's own connection gets its reply first.
    let mut own = bench.session();
    bench.run(&mut own, "HELLO 3 AUTH alice x");
    bench.run(&mut own, "SUBSCRIBE c");
    assert_eq!(bench.run(&mut own, "ACL SETUSER alice resetchannels"), "+OK\r\n");
    assert!(own.closing && !own.client.is_killed() && sessions[3].client.is_killed());
}

/// Whoever caches or watches a hash hears that fields of it are over, also from a command that changes nothing itself.
#[test]
fn fields_that_are_over_are_a_change_whoever_removes_them() {
    let bench = Bench::new();
    let (mut session, mut other) = (bench.session(), bench.session());
    bench.run(&mut session, "HSET hash field value stays value");
    bench.run(&mut session, "HPEXPIRE hash 100 FIELDS 1 field");
    bench.run(&mut session, "WATCH hash");
    bench.clock.advance(Duration::from_millis(100));
    assert_eq!(bench.run(&mut other, "HSETNX hash stays another"), ":0\r\n");
    bench.run(&mut session, "MULTI");
    bench.run(&mut session, "PING");
    assert_eq!(bench.run(&mut session, "EXEC"), "*-1\r\n");
}
