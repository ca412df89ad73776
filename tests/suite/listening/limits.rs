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
        let took = began.elapsed().as_millis() as u64;
        assert!(took >= at_least, "{key} after {took} ms");
    };
    expired("__keyevent@0__:expired", "a", 200);
    expired("__keyevent@7__:expired", "b", 300);
}
