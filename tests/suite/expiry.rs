//! How long after their deadlines keys and fields are gone, by the server's own account, and what waiting for that costs.
//!
//! The machine is shared with all the other tests: the bounds are such that a server that is late by itself breaks them, and a
//! busy machine does not. The bench `expiry` has the exact numbers.

use crate::connection::{Connection, encode};
use crate::server::{Server, wait_until};
use crate::watching::format::read;
use crate::watching::{http, watched};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PATIENCE: Duration = Duration::from_secs(20);

/// Milliseconds since the Unix epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_millis() as u64
}

/// Sends requests, and reads a reply to each that is no error.
fn send_all(client: &mut Connection, requests: &[Vec<String>]) {
    for some in requests.chunks(500) {
        client.send_raw(&some.iter().flat_map(|words| encode(words)).collect::<Vec<u8>>()).expect("to send");
        for words in some {
            let reply = client.receive().expect("a reply");
            assert!(!matches!(reply, crate::reply::Reply::Error(_)), "{words:?}: {reply:?}");
        }
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// How many keys and fields have been removed, and how many of them within so many seconds of their deadlines.
struct Lags(Vec<(f64, f64)>);

impl Lags {
    fn read(port: u16) -> Lags {
        let samples = read(&http::get(port, "/metrics")).expect("metrics");
        let buckets = samples.into_iter().filter(|sample| sample.name == "caskade_expiry_lag_seconds_bucket");
        Lags(buckets.map(|sample| (sample.labels["le"].parse().expect("a bound"), sample.value)).collect())
    }

    fn all(&self) -> f64 {
        self.within(f64::INFINITY)
    }

    fn within(&self, seconds: f64) -> f64 {
        self.0.iter().find(|bucket| bucket.0 == seconds).unwrap_or_else(|| panic!("no bucket {seconds}")).1
    }
}

/// A server with so many keys that expire in an hour or two.
fn with_volatile_keys(count: usize) -> (Server, Connection, u16) {
    let (server, port) = watched(&[]);
    let mut client = server.connect();
    let begin = now() + 3_600_000;
    let deadline = |number: usize| begin + (number * 7_919 % 3_600_000) as u64;
    let keys: Vec<_> =
        (0..count).map(|number| words(&format!("SET vol:{number} v PXAT {}", deadline(number)))).collect();
    send_all(&mut client, &keys);
    (server, client, port)
}

#[test]
fn keys_and_fields_go_at_their_deadlines_while_many_others_stay() {
    const EACH: usize = 500;
    let (server, mut client, port) = with_volatile_keys(50_000);
    let begin = now() + 1_000;
    let requests = (0..EACH).flat_map(|number| {
        let deadline = begin + number as u64 * 4;
        [
            words(&format!("SET due:{number} v PXAT {deadline}")),
            words(&format!("HSET h:{number} f v stays v")),
            words(&format!("HPEXPIREAT h:{number} {deadline} FIELDS 1 f")),
        ]
    });
    send_all(&mut client, &requests.collect::<Vec<_>>());
    wait_until("all to go", PATIENCE, || Lags::read(port).all() >= 2.0 * EACH as f64);
    let lags = Lags::read(port);
    assert_eq!(lags.all(), 2.0 * EACH as f64);
    let part = |seconds: f64| lags.within(seconds) / lags.all();
    assert!(part(0.01) >= 0.5 && part(0.1) >= 0.9 && part(1.0) == 1.0, "{:?}", lags.0);
    assert_eq!(client.ask(&["DBSIZE"]), crate::reply::Reply::Integer((50_000 + EACH) as i64));
    drop(server);
}

#[test]
fn a_deadline_that_comes_up_before_all_others_is_not_slept_through() {
    const TRIES: u64 = 31;
    let (_server, mut client, port) = with_volatile_keys(1_000);
    for number in 0..TRIES {
        // Now and then in the midst of a sleep until something later.
        let what = if number % 2 == 0 { "PX 20" } else { "PX 5" };
        client.ask(&words(&format!("SET soon:{number} v {what}")));
        wait_until("the key to go", PATIENCE, || Lags::read(port).all() > number as f64);
    }
    let lags = Lags::read(port);
    assert!(lags.within(0.025) >= TRIES as f64 / 2.0, "{:?}", lags.0);
}

#[test]
fn many_that_expire_at_once_are_gone_soon_and_hold_up_nobody_for_long() {
    const TOGETHER: usize = 20_000;
    let (server, mut client, port) = with_volatile_keys(10_000);
    let deadline = now() + 3_000;
    let keys: Vec<_> = (0..TOGETHER).map(|number| words(&format!("SET due:{number} v PXAT {deadline}"))).collect();
    send_all(&mut client, &keys);
    assert!(now() < deadline, "this machine is too slow to set {TOGETHER} keys within 3 s");
    let (mut other, mut longest) = (server.connect(), Duration::ZERO);
    while Lags::read(port).all() < TOGETHER as f64 {
        assert!(now() < deadline + PATIENCE.as_millis() as u64, "only {} are gone", Lags::read(port).all());
        for number in 0..50 {
            let began = Instant::now();
            other.ask(&words(&format!("GET vol:{number}")));
            longest = longest.max(began.elapsed());
        }
    }
    let lags = Lags::read(port);
    assert_eq!(lags.within(1.0), TOGETHER as f64, "{:?}", lags.0);
    assert!(longest < Duration::from_millis(250), "a request took {longest:?}");
}

/// How often the thread that removes keys has slept and been woken, once there is one.
fn wakes(server: &Server) -> u64 {
    let is_expiry = |path: &std::path::Path| {
        std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "caskade-expiry")
    };
    let mut found = None;
    wait_until("the thread to start", PATIENCE, || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("threads");
        found = tasks.flatten().map(|task| task.path()).find(|path| is_expiry(path));
        found.is_some()
    });
    let status = std::fs::read_to_string(found.expect("the thread").join("status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).expect("switches");
    line.trim().parse().expect("a number")
}

/// Looks again after a second: how often the thread was woken, and how long that second was.
fn wakes_within_a_second(server: &Server) -> (u64, f64) {
    let (began, before) = (Instant::now(), wakes(server));
    wait_until("a second to pass", PATIENCE, || began.elapsed() >= Duration::from_secs(1));
    (wakes(server) - before, began.elapsed().as_secs_f64())
}

#[test]
fn nobody_is_woken_while_nothing_is_due() {
    let (server, _) = watched(&[]);
    let mut client = server.connect();
    send_all(&mut client, &[words("SET a v"), words("HSET h f v")]);
    assert_eq!(wakes_within_a_second(&server).0, 0, "nothing has a deadline");
    client.ask(&words("SET b v EX 1000"));
    let (woken, seconds) = wakes_within_a_second(&server);
    assert!((1..=(30.0 * seconds) as u64).contains(&woken), "woken {woken} times in {seconds} s");
    // As often as milliseconds have deadlines, at most.
    let begin = now() + 200;
    let keys: Vec<_> =
        (0..8_000).map(|number| words(&format!("SET due:{number} v PXAT {}", begin + number / 4))).collect();
    send_all(&mut client, &keys);
    let (woken, seconds) = wakes_within_a_second(&server);
    assert!(woken as f64 <= 2_500.0 * seconds, "woken {woken} times in {seconds} s");
}
