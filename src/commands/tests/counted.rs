//! What is counted for those who watch: where look-ups find their values, and how late keys are removed.

use std::time::Duration;

use super::Bench;

impl Bench {
    /// Look-ups since the last call: in memory, in the page cache, on the disk, and in vain.
    fn lookups(&self) -> [u64; 4] {
        let stats = &self.node.stats;
        let [page_cache, disk] = [stats.page_cache_hits.get(), stats.disk_hits.get()];
        let counted = [stats.hits.get() - page_cache - disk, page_cache, disk, stats.misses.get()];
        stats.reset();
        counted
    }

    /// A batch whose statistics count.
    fn counted(&self, session: &mut crate::node::Session, line: &str) {
        let mut batch = super::Batch::begin(&self.node);
        let (executed, _) = self.attempt(session, &mut batch, line, None);
        if let super::Executed::Cold(cold) = executed {
            let mut prepared = super::Prepared::default();
            cold.into_iter().for_each(|cold| prepared.pins.add(cold.fetch(self.keyspace())));
            let (executed, _) = self.attempt(session, &mut batch, line, Some(&prepared));
            assert!(matches!(executed, super::Executed::Done), "{line}: {executed:?}");
        }
        batch.finish(&self.node);
    }
}

#[test]
fn a_key_is_found_where_the_furthest_of_its_values_was() {
    let bench = Bench::new();
    let mut session = bench.session();
    let fields: String = (0..200).map(|number| format!(" f{number} value-{number}")).collect();
    for line in ["SET a value-a", "SET b value-b", &format!("HSET h{fields}")] {
        bench.run(&mut session, line);
    }
    bench.lookups();
    bench.counted(&mut session, "MGET a b nosuch");
    assert_eq!(bench.lookups(), [2, 0, 0, 1]);
    bench.demote();
    bench.counted(&mut session, "GET a");
    assert_eq!(bench.lookups(), [0, 0, 1, 0], "once, though it was tried twice");
    bench.counted(&mut session, "GET a");
    assert_eq!(bench.lookups(), [1, 0, 0, 0], "it has come back");
    bench.counted(&mut session, "MGET a b nosuch");
    assert_eq!(bench.lookups(), [1, 0, 1, 1]);
    bench.counted(&mut session, "HMGET h f1 f2 f3 nosuch");
    assert_eq!(bench.lookups(), [0, 0, 1, 0], "many values of one key");
    bench.demote();
    bench.disk.set_cold(false);
    bench.counted(&mut session, "MGET a b nosuch");
    assert_eq!(bench.lookups(), [0, 2, 0, 1]);
    bench.counted(&mut session, "HMGET h f1 f2 f3 nosuch");
    assert_eq!(bench.lookups(), [0, 1, 0, 0]);
    bench.counted(&mut session, "HLEN h");
    assert_eq!(bench.lookups(), [1, 0, 0, 0], "nothing on the disk is needed");
    bench.demote();
    bench.counted(&mut session, "SET a 3");
    bench.counted(&mut session, "EXISTS b");
    assert_eq!(bench.lookups(), [1, 0, 0, 0]);
}

#[test]
fn keys_are_removed_so_long_after_their_deadline() {
    let bench = Bench::new();
    let mut session = bench.session();
    for line in ["SET a 1 PX 100", "SET b 1 PX 100", "SET c 1 PX 500", "SET d 1"] {
        bench.run(&mut session, line);
    }
    let keyspace = bench.keyspace();
    assert_eq!(keyspace.overdue(), 0);
    bench.clock.advance(Duration::from_millis(107));
    assert_eq!(keyspace.overdue(), 7);
    bench.run(&mut session, "GET a");
    assert_eq!((keyspace.expiry_lag().total(), keyspace.expiry_lag().microseconds), (1, 7_000));
    bench.clock.advance(Duration::from_millis(3));
    keyspace.expire_due(keyspace.now(), 100);
    let lag = keyspace.expiry_lag();
    assert_eq!((lag.total(), lag.microseconds, lag.classes[6], keyspace.overdue()), (2, 17_000, 2, 0));
    // Whoever starts late is not blamed for what was over before.
    bench.clock.advance(Duration::from_secs(3600));
    bench.keyspace().store().sync().unwrap();
    let opened = crate::keyspace::Keyspace::open(
        std::sync::Arc::new(bench.disk.after_kill()),
        bench.clock.clone(),
        Default::default(),
        16,
        &mut |_, _| {},
    );
    let late = opened.unwrap().0;
    bench.clock.advance(Duration::from_millis(40));
    assert_eq!(late.overdue(), 40);
    late.expire_due(late.now(), 100);
    // All three: the log needs no record of keys whose time was over.
    assert_eq!((late.expiry_lag().total(), late.expiry_lag().microseconds), (3, 120_000));
}

#[test]
fn fields_count_as_keys_do_whoever_removes_them() {
    let bench = Bench::new();
    let mut session = bench.session();
    let keyspace = bench.keyspace();
    let counted = || (keyspace.expiry_lag().total(), keyspace.expiry_lag().microseconds);
    for line in ["HSET h f v g v stays v", "HPEXPIRE h 100 FIELDS 1 f", "HPEXPIRE h 200 FIELDS 1 g"] {
        bench.run(&mut session, line);
    }
    bench.clock.advance(Duration::from_millis(107));
    keyspace.expire_due(keyspace.now(), 100);
    assert_eq!(counted(), (1, 7_000));
    bench.clock.advance(Duration::from_millis(100));
    // A command that writes; one that reads leaves it to others.
    bench.run(&mut session, "HSET h other v");
    assert_eq!(counted(), (2, 14_000));
    // Of a hash that goes as a whole, each field counts: the first 1,024 as they are, the others as late as the last of these.
    let fields = (0..1_500).map(|number| format!(" f{number} v")).collect::<String>();
    bench.run(&mut session, &format!("HSET whole{fields}"));
    for (ttl, fields) in [(50, 0..1_000), (80, 1_000..1_500)] {
        let names = fields.clone().map(|number| format!(" f{number}")).collect::<String>();
        bench.run(&mut session, &format!("HPEXPIRE whole {ttl} FIELDS {}{names}", fields.len()));
    }
    bench.clock.advance(Duration::from_millis(90));
    keyspace.expire_due(keyspace.now(), 100);
    assert_eq!(counted(), (2 + 1_500, 14_000 + 1_000 * 40_000 + 500 * 10_000));
    assert_eq!((keyspace.size(0).keys, keyspace.overdue()), (1, 0));
}
