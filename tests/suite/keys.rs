//! What is promised of the set of keys: a walk misses none, a count is exact, an expired key goes by itself.

use crate::process::Process;
use crate::reply::Reply;
use crate::server::{Program, Server, wait_until};
use crate::target::Target;
use caskade::database::Database;
use caskade::store::Options;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const STABLE: usize = 3_000;
const WALKS: usize = 8;

fn stable(number: usize) -> Vec<u8> {
    format!("stable:{number}").into_bytes()
}

#[test]
fn a_walk_over_the_library_misses_no_key_while_others_come_and_go() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = Database::open(directory.path(), Options::default()).expect("to open a database");
    (0..STABLE).for_each(|number| database.put(stable(number), "v", None).expect("to put"));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            churn(&done, |number, there| {
                let key = format!("other:{number}");
                let changed = if there { database.put(key, "v", None) } else { database.delete(key).map(|_| ()) };
                changed.expect("to change a key");
            })
        });
        let _ends = Ends(&done);
        for walk in 0..WALKS {
            let mut seen = HashSet::new();
            let mut cursor = 0;
            loop {
                let (next, keys) = database.scan(cursor, 1 + 13 * walk).expect("to scan");
                seen.extend(keys.into_iter().map(|key| key.to_vec()));
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
            assert_all(&seen);
        }
    });
    database.close().expect("to close");
}

#[test]
fn a_walk_over_a_socket_misses_no_key_while_others_come_and_go() {
    let server = Server::start(Program::Caskade, &[]);
    let mut client = server.connect();
    for number in 0..STABLE {
        client.send(&[&b"SET"[..], &stable(number), b"v"]).expect("to send");
    }
    (0..STABLE).for_each(|_| assert_eq!(client.receive().expect("a reply"), Reply::Status(b"OK".to_vec())));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut other = server.connect();
            churn(&done, |number, there| {
                let words: &[&str] = if there { &["SET", "", "v"] } else { &["DEL", ""] };
                let key = format!("other:{number}");
                let words: Vec<&str> =
                    words.iter().map(|word| if word.is_empty() { key.as_str() } else { word }).collect();
                other.send(&words).expect("to send");
                if number % 100 == 99 {
                    (0..100).for_each(|_| assert!(!other.receive().expect("a reply").is_error()));
                }
            });
        });
        let _ends = Ends(&done);
        for walk in 0..WALKS {
            let mut seen = HashSet::new();
            let mut cursor = "0".to_owned();
            loop {
                let count = (1 + 97 * walk).to_string();
                let page = client.ask(&["SCAN", &cursor, "COUNT", &count]);
                let [next, keys] = page.elements().expect("a page") else { panic!("{page:?}") };
                let keys = keys.elements().expect("keys").iter().map(|key| key.bytes().expect("a key").to_vec());
                seen.extend(keys);
                cursor = String::from_utf8(next.bytes().expect("a cursor").to_vec()).expect("digits");
                if cursor == "0" {
                    break;
                }
            }
            assert_all(&seen);
        }
    });
}

#[test]
fn a_count_is_exact_before_what_is_expired_is_removed() {
    let mut process = Process::new(2);
    let ask = |process: &mut Process, line: &str| {
        let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        process.roundtrip("A", &words).notation().join(" ")
    };
    for number in 0..10 {
        ask(&mut process, &format!("SET k{number} v PX {}", 100 * (number + 1)));
    }
    ask(&mut process, "SET always v");
    for left in (0..10).rev() {
        process.pass(Duration::from_millis(99));
        assert_eq!(ask(&mut process, "DBSIZE"), format!("(integer) {}", left + 2));
        process.pass(Duration::from_millis(1));
        assert_eq!(ask(&mut process, "DBSIZE"), format!("(integer) {}", left + 1));
    }
    // Inside a transaction, too, whose own changes are not there yet.
    ask(&mut process, "SET k v PX 100");
    process.pass(Duration::from_millis(100));
    for line in ["MULTI", "DBSIZE", "SET k w", "DBSIZE", "DEL always", "DBSIZE", "SET k w PXAT 1", "DBSIZE"] {
        ask(&mut process, line);
    }
    let replies = "1) (integer) 1 2) OK 3) (integer) 2 4) (integer) 1 5) (integer) 1 6) OK 7) (integer) 0";
    assert_eq!(ask(&mut process, "EXEC"), replies);
}

#[test]
fn expired_keys_go_without_being_asked_for() {
    let server = Server::start(Program::Caskade, &[]);
    let mut client = server.connect();
    for number in 0..2_000 {
        let key = format!("k{number}");
        client.send(&["SET", &key, "v", "PX", if number % 2 == 0 { "50" } else { "100000" }]).expect("to send");
    }
    (0..2_000).for_each(|_| assert_eq!(client.receive().expect("a reply"), Reply::Status(b"OK".to_vec())));
    // INFO counts what is in memory, and looks at no key.
    let mut field = |name: &str| {
        let info = client.ask(&["INFO"]);
        let text = String::from_utf8_lossy(info.bytes().expect("text")).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        line.unwrap_or_else(|| panic!("no {name} in INFO"))
    };
    wait_until("a thousand keys to go", Duration::from_secs(5), || {
        field("db0:").starts_with("keys=1000,expires=1000,")
    });
    assert_eq!(field("expired_keys:"), "1000");
}

/// Grows and shrinks the set of keys until told to stop, and at least once.
fn churn(done: &AtomicBool, mut change: impl FnMut(usize, bool)) {
    loop {
        for there in [true, false] {
            (0..20_000).for_each(|number| change(number, there));
        }
        if done.load(Ordering::SeqCst) {
            return;
        }
    }
}

fn assert_all(seen: &HashSet<Vec<u8>>) {
    let missing: Vec<usize> = (0..STABLE).filter(|number| !seen.contains(&stable(*number))).collect();
    assert!(missing.is_empty(), "a walk missed {} keys, the first is {}", missing.len(), missing[0]);
}

/// Lets the other thread end, also when this one fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
