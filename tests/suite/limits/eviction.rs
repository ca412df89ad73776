//! Which keys go where the keys alone do not fit, and who is told.

use std::time::Duration;

use super::info;
use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{Program, Server, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

const KEYS: usize = 20_000;

/// A server with keys that have hardly any values, every second one with an expiry, and no limit yet.
fn filled(policy: &str) -> (Server, Connection) {
    let server = Server::start(Program::Caskade, &["--maxmemory-policy", policy]);
    let mut client = server.connect();
    for number in 0..KEYS {
        let (key, seconds) = (format!("key:{number}"), (100_000 + number).to_string());
        let mut words = vec!["SET", &key, "v"];
        if number % 2 == 0 {
            words.extend(["EX", &seconds]);
        }
        client.send(&words).expect("to send");
        if number % 500 == 499 {
            (0..500).for_each(|_| assert_eq!(client.receive().expect("an answer"), Reply::Status(b"OK".to_vec())));
        }
    }
    (server, client)
}

/// Lets memory become too small for a fifth of the keys.
fn crowd(client: &mut Connection) {
    let used = info(client, "used_memory") - info(client, "memory_cached_values");
    let limit = used - info(client, "keydir_entry_bytes") / 5;
    client.ask(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
}

#[test]
fn only_what_the_policy_lets_go_goes() {
    for policy in [
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ] {
        let (_server, mut client) = filled(policy);
        crowd(&mut client);
        wait_until(policy, PATIENCE, || info(&mut client, "evicted_keys") > 0 && info(&mut client, "memory_full") == 0);
        let count = |client: &mut Connection, odd: usize| {
            (odd..KEYS)
                .step_by(2)
                .filter(|number| client.ask(&["EXISTS", &format!("key:{number}")]) == Reply::Integer(1))
                .count()
        };
        let lasting = count(&mut client, 1);
        // An answer of INFO takes memory, too: for it, more keys may go.
        wait_until(policy, PATIENCE, || {
            let evicted = info(&mut client, "evicted_keys") as usize;
            assert!(evicted < KEYS, "{policy}: {evicted} keys went");
            client.ask(&["DBSIZE"]) == Reply::Integer((KEYS - evicted) as i64)
        });
        if policy.starts_with("volatile") {
            assert_eq!(lasting, KEYS / 2, "{policy}: keys without an expiry went");
        } else {
            assert!(lasting < KEYS / 2, "{policy}: only keys with an expiry went");
        }
        assert_eq!(client.ask(&["SET", "another", "value"]), Reply::Status(b"OK".to_vec()), "{policy}");
    }
}

#[test]
fn whoever_wants_to_know_is_told_which_keys_went() {
    let (server, mut client) = filled("allkeys-random");
    client.ask(&["CONFIG", "SET", "notify-keyspace-events", "Ee"]);
    let mut listener = server.connect();
    listener.ask(&["SUBSCRIBE", "__keyevent@0__:evicted"]);
    let mut tracker = server.connect_with(3);
    tracker.ask(&["CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "key:"]);
    crowd(&mut client);
    wait_until("keys to go", PATIENCE, || info(&mut client, "evicted_keys") > 0);
    let message = listener.receive().expect("a message");
    let key = message.elements().expect("a message")[2].clone();
    assert_eq!(client.ask(&[b"EXISTS", key.bytes().expect("a key")]), Reply::Integer(0));
    assert!(matches!(tracker.receive().expect("a push"), Reply::Push(_)));
}

/// What cannot be made room for is refused: what needs no memory is not.
#[test]
fn writes_are_refused_where_nothing_may_go() {
    let (_server, mut client) = filled("noeviction");
    crowd(&mut client);
    let refused = "OOM command not allowed when used memory > 'maxmemory'.";
    let is_refused = |client: &mut Connection, words: &[&str]| client.call(words).expect("an answer").is_error();
    wait_until("writes to be refused", PATIENCE, || is_refused(&mut client, &["SET", "another", "value"]));
    for words in [&["SET", "another", "value"][..], &["LPUSH", "list", "a"], &["SETEX", "another", "10", "value"]] {
        assert_eq!(client.call(words).expect("an answer"), Reply::Error(refused.as_bytes().to_vec()), "{words:?}");
    }
    assert_eq!(info(&mut client, "evicted_keys"), 0);
    assert_eq!(client.ask(&["GET", "key:1"]), Reply::Bulk(b"v".to_vec()));
    for number in 0..KEYS / 2 {
        client.ask(&["DEL", &format!("key:{number}")]);
    }
    wait_until("writes to be taken", PATIENCE, || !is_refused(&mut client, &["SET", "another", "value"]));
    // While clients are held back, nothing goes.
    client.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
    client.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    client.ask(&["CLIENT", "PAUSE", "600000", "WRITE"]);
    crowd(&mut client);
    wait_until("more than the limit to be in use", PATIENCE, || {
        info(&mut client, "current_eviction_exceeded_time") > 200
    });
    assert_eq!((info(&mut client, "evicted_keys"), info(&mut client, "memory_full")), (0, 0));
    client.ask(&["CLIENT", "UNPAUSE"]);
    wait_until("keys to go", PATIENCE, || info(&mut client, "evicted_keys") > 0);
}
