//! Who listens and does not read.

use std::time::Duration;

use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{Program, Server, wait_until};

fn info(connection: &mut Connection, field: &str) -> u64 {
    let text = connection.ask(&["INFO", "everything"]);
    let text = String::from_utf8_lossy(text.bytes().expect("text")).into_owned();
    let line =
        text.lines().find_map(|line| line.strip_prefix(&format!("{field}:"))).unwrap_or_else(|| panic!("{field}"));
    line.parse().expect("a number")
}

/// Whoever lets more wait than its class may is cut off, and everybody else goes on.
#[test]
fn a_subscriber_that_does_not_read_is_cut_off_at_its_limit() {
    let server = Server::start(Program::Caskade, &["--client-output-buffer-limit", "pubsub 1mb 0 0"]);
    let (mut deaf, mut reader) = (server.connect(), server.connect());
    deaf.ask(&["SUBSCRIBE", "news"]);
    reader.ask(&["SUBSCRIBE", "news"]);
    let (mut publisher, message) = (server.connect(), "x".repeat(50_000));
    let mut published = 0;
    wait_until("the deaf one to be cut off", Duration::from_secs(30), || {
        let reached = publisher.ask(&["PUBLISH", "news", &message]);
        assert!(matches!(reader.receive(), Ok(Reply::Array(words)) if words.len() == 3), "who reads is served");
        published += 1;
        reached == Reply::Integer(1)
    });
    // What the kernel's own buffers hold comes on top.
    assert!(published > 20, "it was cut off after {published} messages, before its limit");
    assert_eq!(info(&mut publisher, "client_output_buffer_limit_disconnections"), 1);
    wait_until("its memory to be given back", Duration::from_secs(10), || {
        publisher.ask(&["PUBSUB", "NUMSUB", "news"])
            == Reply::Array(vec![Reply::Bulk(b"news".to_vec()), Reply::Integer(1)])
    });
}

/// Above the soft limit for as long as that says, it is cut off as well.
#[test]
fn a_subscriber_that_reads_too_slowly_is_cut_off_after_a_while() {
    let server = Server::start(Program::Caskade, &["--client-output-buffer-limit", "pubsub 0 100kb 1"]);
    let mut deaf = server.connect();
    deaf.ask(&["SUBSCRIBE", "news"]);
    let (mut publisher, message) = (server.connect(), "x".repeat(50_000));
    for _ in 0..400 {
        publisher.ask(&["PUBLISH", "news", &message]);
    }
    wait_until("the slow one to be cut off", Duration::from_secs(30), || {
        info(&mut publisher, "client_output_buffer_limit_disconnections") == 1
    });
}

/// Messages of many publishers reach many subscribers, each publisher's in its order.
#[test]
fn every_subscriber_reads_all_messages_in_the_order_of_each_publisher() {
    const SUBSCRIBERS: usize = 100;
    const PUBLISHERS: usize = 4;
    const MESSAGES: usize = 200;
    let server = Server::start(Program::Caskade, &[]);
    let mut subscribers: Vec<Connection> =
        (0..SUBSCRIBERS).map(|index| server.connect_with(2 + index as u8 % 2)).collect();
    subscribers.iter_mut().enumerate().for_each(|(index, subscriber)| {
        subscriber.ask(&[["SUBSCRIBE", "PSUBSCRIBE"][index % 2], "news"]);
    });
    std::thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let mut connection = server.connect();
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    let reached = connection.ask(&["PUBLISH", "news", &format!("{publisher} {number}")]);
                    assert_eq!(reached, Reply::Integer(SUBSCRIBERS as i64));
                }
            });
        }
    });
    for subscriber in &mut subscribers {
        let mut next = [0; PUBLISHERS];
        for _ in 0..PUBLISHERS * MESSAGES {
            let (Reply::Array(words) | Reply::Push(words)) = subscriber.receive().expect("a message") else {
                panic!("no message")
            };
            let text = String::from_utf8_lossy(words.last().and_then(Reply::bytes).expect("text")).into_owned();
            let (publisher, number) = text.split_once(' ').expect("two numbers");
            let publisher: usize = publisher.parse().expect("a number");
            assert_eq!(number, next[publisher].to_string(), "of publisher {publisher}");
            next[publisher] += 1;
        }
    }
}

/// A key whose time is over is told of exactly then, whether anybody looks at it or not.
#[test]
fn expired_keys_are_told_of_when_their_time_is_over() {
    let server = Server::start(Program::Caskade, &["--notify-keyspace-events", "Ex"]);
    let (mut listener, mut client) = (server.connect(), server.connect());
    listener.ask(&["PSUBSCRIBE", "__keyevent@*__:expired"]);
    let began = std::time::Instant::now();
    client.ask(&["SET", "a", "1", "PX", "200"]);
    client.ask(&["SELECT", "7"]);
    client.ask(&["SET", "b", "1", "PX", "300"]);
    let mut expired = |channel: &str, key: &str, at_least: u64| {
        let Reply::Array(words) = listener.receive().expect("a message") else { panic!("no message") };
        let words: Vec<&[u8]> = words.iter().filter_map(Reply::bytes).collect();
        assert_eq!(words, [b"pmessage", &b"__keyevent@*__:expired"[..], channel.as_bytes(), key.as_bytes()]);
        // The time of a command is a whole millisecond, and at most so much before it.
        let took = began.elapsed() + Duration::from_millis(1);
        assert!(took >= Duration::from_millis(at_least), "{key} after {took:?}");
    };
    expired("__keyevent@0__:expired", "a", 200);
    expired("__keyevent@7__:expired", "b", 300);
}

/// A key set to a time that is over already expires once, and after it was set; inside a transaction as well.
#[test]
fn a_key_that_is_set_too_late_expires_once() {
    let server = Server::start(Program::Caskade, &["--notify-keyspace-events", "EA"]);
    let (mut listener, mut client) = (server.connect(), server.connect());
    listener.ask(&["PSUBSCRIBE", "__keyevent@0__:*"]);
    for transaction in [false, true] {
        if transaction {
            client.ask(&["MULTI"]);
        }
        client.ask(&["SET", "key", "value", "PXAT", "1"]);
        if transaction {
            client.ask(&["EXEC"]);
        }
        assert_eq!(client.ask(&["GET", "key"]), Reply::Null);
        client.ask(&["APPEND", "key", "value"]);
        client.ask(&["DEL", "key"]);
        for event in ["set", "expire", "expired", "append", "del"] {
            let Reply::Array(words) = listener.receive().expect("a message") else { panic!("no message") };
            let channel = String::from_utf8_lossy(words[2].bytes().expect("a channel")).into_owned();
            assert_eq!(channel, format!("__keyevent@0__:{event}"));
        }
    }
}

fn id_of(connection: &mut Connection) -> String {
    connection.ask(&["CLIENT", "ID"]).integer().expect("a number").to_string()
}

/// With the older protocol another connection is told, on a channel; when it is gone, whoever relied on it learns that.
#[test]
fn another_connection_may_be_told_of_changes() {
    for program in [Some(Program::Caskade), Program::oracle()].into_iter().flatten() {
        let server = Server::start(program, &[]);
        let (mut listener, mut old, mut new) = (server.connect(), server.connect(), server.connect_with(3));
        let id = id_of(&mut listener);
        listener.ask(&["SUBSCRIBE", "__redis__:invalidate"]);
        for client in [&mut old, &mut new] {
            client.ask(&["CLIENT", "TRACKING", "ON", "REDIRECT", &id]);
            assert_eq!(client.ask(&["CLIENT", "GETREDIR"]).integer().map(|id| id.to_string()), Some(id.clone()));
            client.ask(&["SET", "key", "value"]);
            client.ask(&["GET", "key"]);
            client.ask(&["SET", "key", "value"]);
            let Reply::Array(words) = listener.receive().expect("a message") else { panic!("no message") };
            let keys = Reply::Array(vec![Reply::Bulk(b"key".to_vec())]);
            assert_eq!(words[1..], [Reply::Bulk(b"__redis__:invalidate".to_vec()), keys], "{program:?}");
        }
        old.ask(&["FLUSHALL"]);
        for _ in 0..2 {
            let Reply::Array(words) = listener.receive().expect("a message") else { panic!("no message") };
            assert_eq!(words[2], Reply::Null, "{program:?}");
        }
        new.ask(&["GET", "key"]);
        drop(listener);
        wait_until("the listener to be gone", Duration::from_secs(10), || {
            old.ask(&["CLIENT", "KILL", "ID", &id]) == Reply::Integer(0)
        });
        old.ask(&["SET", "key", "other"]);
        let broken = [Reply::Bulk(b"tracking-redir-broken".to_vec()), Reply::Integer(id.parse().expect("a number"))];
        assert_eq!(new.receive().expect("a push"), Reply::Push(broken.to_vec()), "{program:?}");
        let info = format!("{:?}", new.ask(&["CLIENT", "TRACKINGINFO"]));
        assert!(info.contains(&format!("{:?}", Reply::Bulk(b"broken_redirect".to_vec()))), "{program:?}: {info}");
        let line = new.ask(&["CLIENT", "INFO"]);
        let line = String::from_utf8_lossy(line.bytes().expect("text")).into_owned();
        assert!(line.contains(" flags=tR ") && line.contains(&format!(" redir={id} ")), "{program:?}: {line}");
    }
}

/// Who is told of keys by their prefix is told of many at once, and of each once.
#[test]
fn changes_of_many_keys_are_told_together() {
    for program in [Some(Program::Caskade), Program::oracle()].into_iter().flatten() {
        let server = Server::start(program, &[]);
        let mut client = server.connect_with(3);
        client.ask(&["CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "key:"]);
        client.send(&["MSET", "key:c", "1", "key:a", "1", "other", "1", "key:b", "1", "key:a", "2"]).expect("to send");
        let mut read = [client.receive().expect("a reply"), client.receive().expect("a push")];
        read.sort_by_key(|reply| matches!(reply, Reply::Push(_)));
        let keys = ["key:a", "key:b", "key:c"].map(|key| Reply::Bulk(key.into()));
        let push = Reply::Push(vec![Reply::Bulk(b"invalidate".to_vec()), Reply::Array(keys.to_vec())]);
        assert_eq!(read, [Reply::Status(b"OK".to_vec()), push], "{program:?}");
    }
}

/// The table of keys has a limit: whoever caches more is told to forget some.
#[test]
fn the_table_of_cached_keys_has_a_limit() {
    let server = Server::start(Program::Caskade, &["--tracking-table-max-keys", "100"]);
    let mut reader = server.connect_with(3);
    reader.ask(&["CLIENT", "TRACKING", "ON"]);
    for number in 0..1_000 {
        reader.send(&["GET", &format!("key:{number}")]).expect("to send");
    }
    let (mut replies, mut forgotten) = (0, 0);
    while replies < 1_000 || forgotten < 900 {
        match reader.receive().expect("a reply") {
            Reply::Push(_) => forgotten += 1,
            Reply::Null => replies += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((replies, forgotten), (1_000, 900));
    // The last ones are still told of.
    server.connect().ask(&["SET", "key:999", "value"]);
    assert!(matches!(reader.receive(), Ok(Reply::Push(_))));
}

/// While many write and many cache, no cache keeps what has changed.
#[test]
fn no_cache_keeps_what_has_changed() {
    const KEYS: usize = 20;
    let server = Server::start(Program::Caskade, &[]);
    let rounds = 2_000;
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let mut connection = server.connect();
            scope.spawn(move || {
                for number in 0..rounds {
                    connection.ask(&["SET", &format!("key:{}", (number * 7 + writer) % KEYS), &number.to_string()]);
                }
            });
        }
        for _ in 0..2 {
            let (mut reader, mut witness) = (server.connect_with(3), server.connect());
            scope.spawn(move || {
                reader.ask(&["CLIENT", "TRACKING", "ON"]);
                let mut cache: std::collections::HashMap<String, Reply> = std::collections::HashMap::new();
                let invalidated = |words: &[Reply]| match &words[1] {
                    Reply::Array(keys) => String::from_utf8_lossy(keys[0].bytes().expect("a key")).into_owned(),
                    other => panic!("{other:?}"),
                };
                for number in 0..rounds {
                    let key = format!("key:{}", number % KEYS);
                    reader.send(&["GET", &key]).expect("to send");
                    loop {
                        match reader.receive().expect("a reply") {
                            Reply::Push(words) => _ = cache.remove(&invalidated(&words)),
                            reply => {
                                cache.insert(key.clone(), reply);
                                break;
                            }
                        }
                    }
                    // What is cached after everything up to now was told of is what is there, or about to be told of.
                    let before: Vec<(String, Reply)> =
                        cache.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
                    let mut other = None;
                    for (key, value) in before {
                        let now = witness.call(&["GET", &key]).expect("a reply");
                        if now != value {
                            other = Some(key);
                        }
                    }
                    if let Some(key) = other {
                        reader.send(&["PING"]).expect("to send");
                        while let Reply::Push(words) = reader.receive().expect("a reply") {
                            cache.remove(&invalidated(&words));
                        }
                        assert!(!cache.contains_key(&key), "{key} has changed, and nobody was told");
                    }
                }
            });
        }
    });
}
