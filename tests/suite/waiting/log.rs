//! Who waits is answered once the log has what its command took: a value that nobody has written down is nobody's yet.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::reply::Reply;
use crate::running::{Place, connect};
use crate::server::{free_port, wait_until};

/// The commands that take, each with the one that puts what it waits for.
const CASES: [(&[&str], &[&str]); 4] = [
    (&["BLPOP", "key", "0"], &["RPUSH", "key", "value"]),
    (&["BLMOVE", "key", "other", "LEFT", "RIGHT", "0"], &["LPUSH", "key", "value"]),
    (&["BZPOPMIN", "key", "0"], &["ZADD", "key", "1", "value"]),
    (&["BLMPOP", "0", "2", "none", "key", "LEFT"], &["RPUSH", "key", "value"]),
];

#[test]
fn nobody_gets_what_the_log_could_not_take() {
    for (take, put) in CASES {
        // A write beyond the limit is an error instead of a signal that ends the server.
        let (place, port) = (Place::behind("trap '' XFSZ"), free_port());
        let server = place.start(&["--port", &port.to_string()]);
        let (mut consumer, mut producer, mut witness) = (connect(port), connect(port), connect(port));
        // Beyond what the server prints, so that the limit is the log's alone.
        const LIMIT: usize = 1 << 20;
        producer.ask(&["SET", "filler", &"x".repeat(LIMIT)]);
        consumer.send(take).expect("to send");
        wait_until("the consumer to wait", Duration::from_secs(30), || {
            let clients = witness.ask(&["INFO", "clients"]);
            String::from_utf8_lossy(clients.bytes().expect("text")).contains("blocked_clients:1\r\n")
        });
        let limit = Rlimit { current: Some(LIMIT as u64), maximum: None };
        prlimit(Some(Pid::from_child(&server.child)), Resource::Fsize, limit).expect("to limit its files");
        producer.send(put).expect("to send");
        let told = producer.receive().expect("an end");
        assert!(matches!(told, Reply::Closed | Reply::Error(_)), "{put:?}: {told:?}");
        assert_eq!(consumer.receive().expect("an end"), Reply::Closed, "{take:?}");
    }
}
