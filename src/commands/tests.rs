//! What happens between two attempts at one request, while it waits for the disk.

use std::sync::Arc;
use std::time::Duration;

use super::timing::{Timing, Wait};
use super::{Batch, Executed, Prepared, Registry, execute};
use crate::config::{Config, Settings};
use crate::keyspace::Keyspace;
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
        let (disk, clock) = (SimDisk::new(), Arc::new(TestClock::new(1_700_000_000_000)));
        disk.set_cold(true);
        let registry = Registry::new();
        let config = Config::new(Settings::default(), None);
        let node = Node::new(config, clock.clone(), Box::new(Nobody), registry.rows().len());
        let opened = Keyspace::open(Arc::new(disk.clone()), clock.clone(), Default::default(), 16, &mut |_, _| {});
        node.set_keyspace(opened.unwrap().0);
        Self { disk, node, registry, clock }
    }

    fn session(&self) -> Session {
        Session::new(self.node.clients.add(Peer::Internal, 0, self.node.now()), true)
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
        let executed = execute(&self.node, &self.registry, session, batch, &mut out, None, words, prepared);
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
