//! The process stays below its limit, whatever is written and read, and nothing is lost by it.

use std::io::Write;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::group::Group;
use super::{MEGABYTE, assert_bounded, bound, info, load};
use crate::connection::encode;
use crate::reply::Reply;
use crate::server::{Program, Server, number, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

/// For how long each load runs.
fn time() -> Duration {
    Duration::from_secs(number("CASKADE_LIMIT_SECONDS", 4))
}

fn key(number: u64) -> Vec<u8> {
    format!("key:{number:012}").into_bytes()
}

/// Starts a server with this limit, in a group that ends it beyond 128 MB more.
fn limited(name: &str, limit: u64, arguments: &[&str]) -> Option<(Server, Group)> {
    let group = Group::new(name, limit + 128 * MEGABYTE)?;
    let limit = limit.to_string();
    let arguments = [&["--maxmemory", &limit], arguments].concat();
    Some((Server::start_within(group.path(), &arguments), group))
}

/// Sizes change all the time, so that what is freed never fits what comes.
#[test]
fn values_of_all_sizes_leave_memory_and_are_all_there() {
    const KEYS: u64 = 200_000;
    let limit = 64 * MEGABYTE;
    let Some((server, group)) = limited("sizes", limit, &[]) else { return };
    let size = |over: f64| [100, 1500, 30, 5000, 400, 90_000, 60, 2500][(over * 8.0) as usize];
    let outcome = load::write(&server, 4, time() * 2, |rng, _, over| {
        let bytes = size(over) * rng.usize(90..=110) / 100;
        vec![b"SET".to_vec(), key(rng.u64(..KEYS)), vec![b'v'; bytes]]
    });
    assert_eq!(outcome.refused.load(SeqCst), 0, "values can leave memory");
    assert_bounded(&server, limit);
    assert_eq!(group.kills(), 0);
    let mut client = server.connect();
    assert_eq!(info(&mut client, "evicted_keys"), 0);
    let digest = |client: &mut crate::connection::Connection| -> Vec<Reply> {
        (0..KEYS).step_by(500).map(|number| client.ask(&[b"STRLEN".to_vec(), key(number)])).collect()
    };
    let before = digest(&mut client);
    assert!(before.iter().any(|length| *length != Reply::Integer(0)));
    drop(client);
    let server = server.restart();
    assert_eq!(digest(&mut server.connect()), before);
    assert_bounded(&server, limit);
}

#[test]
fn keys_that_do_not_fit_are_evicted_or_refused() {
    let limit = 48 * MEGABYTE;
    for policy in ["allkeys-lru", "noeviction"] {
        let Some((server, group)) = limited(policy, limit, &["--maxmemory-policy", policy]) else { return };
        let mut client = server.connect();
        let (mut refused, mut evicted) = (0, 0);
        wait_until("keys not to fit", PATIENCE * 4, || {
            let outcome = load::write(&server, 4, time(), |rng, _, _| {
                vec![b"SET".to_vec(), key(rng.u64(..1_000_000_000)), b"value".to_vec()]
            });
            (refused, evicted) = (refused + outcome.refused.load(SeqCst), info(&mut client, "evicted_keys"));
            println!("{policy}: {} answered, {refused} refused, {evicted} evicted", outcome.answered.load(SeqCst));
            refused + evicted > 0
        });
        assert_eq!((refused > 0, evicted > 0), (policy == "noeviction", policy != "noeviction"));
        assert_bounded(&server, limit);
        assert_eq!(group.kills(), 0);
        // Where nothing may go, what came at the last moment stays.
        let slack = if policy == "noeviction" { limit / 16 } else { 0 };
        wait_until("memory to fit", PATIENCE, || info(&mut client, "used_memory") <= limit + slack);
    }
}

/// Elements of large collections, as the values of keys, can leave memory.
#[test]
fn collections_stay_within_the_limit() {
    let limit = 48 * MEGABYTE;
    let Some((server, group)) = limited("collections", limit, &["--maxmemory-policy", "allkeys-lfu"]) else { return };
    load::write(&server, 4, time(), |rng, _, _| {
        let key = format!("collection:{}", rng.u32(..300)).into_bytes();
        let member = format!("member:{}", rng.u32(..100_000)).into_bytes();
        match rng.u32(..4) {
            0 => vec![b"HSET".to_vec(), [b"h".to_vec(), key].concat(), member, vec![b'v'; 300]],
            1 => vec![b"RPUSH".to_vec(), [b"l".to_vec(), key].concat(), vec![b'v'; 300]],
            2 => vec![b"ZADD".to_vec(), [b"z".to_vec(), key].concat(), rng.u32(..).to_string().into_bytes(), member],
            _ => vec![b"SADD".to_vec(), [b"s".to_vec(), key].concat(), member],
        }
    });
    assert_bounded(&server, limit);
    assert_eq!(group.kills(), 0);
}

/// Whoever asks for much and reads nothing is cut off before anything else suffers for it.
#[test]
fn clients_that_do_not_read_are_cut_off_where_memory_is_needed() {
    let limit = 64 * MEGABYTE;
    let Some((server, group)) = limited("clients", limit, &["--client-output-buffer-limit", "normal 0 0 0"]) else {
        return;
    };
    let mut client = server.connect();
    for _ in 0..75 {
        let elements = vec![vec![b'v'; 400]; 500];
        client.ask(&[vec![b"RPUSH".to_vec(), b"list".to_vec()], elements].concat());
    }
    // More than the kernel takes in for a client.
    let request = encode(&["LRANGE", "list", "0", "-1"]);
    let mut idle: Vec<_> = (0..16).map(|_| server.connect()).collect();
    for connection in &mut idle {
        // It may be cut off already.
        let _ = connection.stream().write_all(&request);
    }
    wait_until("some to be cut off", PATIENCE, || info(&mut client, "evicted_clients") > 0);
    assert_eq!(client.ask(&["GET", "nothing"]), Reply::Null);
    assert_eq!(client.ask(&["SET", "small", "value"]), Reply::Status(b"OK".to_vec()));
    assert_bounded(&server, limit);
    assert_eq!(group.kills(), 0);
}

/// Who has asked to be spared is: then others are refused what needs memory, and wait for nobody.
#[test]
fn nobody_waits_for_clients_that_are_spared() {
    let server = Server::start(Program::Caskade, &["--client-output-buffer-limit", "normal 0 0 0"]);
    let mut client = server.connect();
    for _ in 0..100 {
        let elements = vec![vec![b'v'; 400]; 500];
        client.ask(&[vec![b"RPUSH".to_vec(), b"list".to_vec()], elements].concat());
    }
    let mut spared: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for connection in &mut spared {
        connection.ask(&["CLIENT", "NO-EVICT", "ON"]);
        connection.send(&["LRANGE", "list", "0", "-1"]).expect("to send");
    }
    wait_until("replies to wait", PATIENCE, || info(&mut client, "mem_clients_normal") > 32 * MEGABYTE);
    client.ask(&["CONFIG", "SET", "maxmemory", "16mb"]);
    wait_until("writes to be refused", PATIENCE, || {
        client.call(&["SET", "key", "value"]).expect("an answer").is_error()
    });
    assert_eq!(client.ask(&["GET", "nothing"]), Reply::Null);
    assert_eq!(info(&mut client, "evicted_clients"), 0);
    assert!(spared.iter_mut().all(|connection| connection.receive().is_ok()));
    wait_until("writes to be taken", PATIENCE, || {
        !client.call(&["SET", "key", "value"]).expect("an answer").is_error()
    });
}

#[test]
fn a_lower_limit_takes_effect_within_seconds() {
    let server = Server::start(Program::Caskade, &["--maxmemory", "400mb"]);
    let mut client = server.connect();
    for number in 0..100_000 {
        client.send(&[b"SET".to_vec(), key(number), vec![b'v'; 1000]]).expect("to send");
        if number % 500 == 499 {
            (0..500).for_each(|_| assert!(!client.receive().expect("an answer").is_error()));
        }
    }
    assert!(server.memory() > 100 * MEGABYTE);
    let limit = 32 * MEGABYTE;
    client.ask(&["CONFIG", "SET", "maxmemory", "32mb"]);
    wait_until("the limit to hold", Duration::from_secs(10), || {
        info(&mut client, "used_memory") <= limit && server.memory() < bound(limit)
    });
    assert_eq!(info(&mut client, "evicted_keys"), 0);
    assert_eq!(client.ask(&[b"GET".to_vec(), key(7)]), Reply::Bulk(vec![b'v'; 1000]));
}

#[test]
fn half_of_what_a_container_may_have_is_the_default() {
    let Some(group) = Group::new("default", 300 * MEGABYTE) else { return };
    let server = Server::start_within(group.path(), &[]);
    let maxmemory =
        |server: &Server| server.connect().ask(&["CONFIG", "GET", "maxmemory"]).elements().expect("a pair")[1].clone();
    assert_eq!(maxmemory(&server), Reply::Bulk((150 * MEGABYTE).to_string().into_bytes()));
    let told = server.log().matches("maxmemory is 150 MB: half of the 300 MB that this container may use").count();
    assert_eq!(told, 1, "{}", server.log());
    // Whoever says that there is no limit has none.
    let server = server.restart_with(&["--maxmemory", "0"]);
    assert_eq!(maxmemory(&server), Reply::Bulk(b"0".to_vec()));
    assert!(!server.log().contains("maxmemory is"), "{}", server.log());
}

/// The parts are told apart, and come to what is in use.
#[test]
fn info_tells_what_takes_the_memory() {
    let server = Server::start(Program::Caskade, &["--maxmemory", "64mb"]);
    let mut client = server.connect();
    for number in 0..20_000 {
        client.ask(&[b"SET".to_vec(), key(number), vec![b'v'; 500]]);
    }
    let [index, values] = ["memory_index", "memory_cached_values"].map(|name| info(&mut client, name));
    assert!((20_000 * 500..20_000 * 520).contains(&values), "{values}");
    assert!((20_000 * 32..20_000 * 100).contains(&index), "{index}");
    let parts: u64 = ["memory_index", "memory_cached_values", "memory_log_buffer", "memory_clients", "memory_other"]
        .map(|name| info(&mut client, name))
        .iter()
        .sum();
    let used = info(&mut client, "used_memory");
    assert!(parts.abs_diff(used) < 4 * MEGABYTE, "{parts} of {used}");
}
