//! What the port refuses, and that nobody who misuses it hurts anybody.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{http, watched};
use crate::reply::Reply;
use crate::running::Place;
use crate::server::{Program, Server, free_port, wait_until};

/// As many connections are kept.
const CONNECTIONS_MAX: usize = 16;

#[test]
fn there_is_no_such_port_by_default() {
    let server = Server::start(Program::Caskade, &[]);
    let setting = server.connect().ask(&["CONFIG", "GET", "metrics-port"]);
    assert_eq!(setting.elements().expect("a pair")[1], Reply::Bulk(b"0".to_vec()));
    assert!(!server.log().contains("metrics"), "{}", server.log());
}

#[test]
fn only_what_there_is_is_told_and_nothing_is_done() {
    let (server, port) = watched(&[]);
    for path in ["/nosuch", "/metrics/", "//", "/../metrics", "/shutdown"] {
        assert_eq!(http::ask(port, "GET", path).code, 404, "{path}");
        assert_eq!(http::ask(port, "POST", path).code, 404, "{path}");
    }
    for path in ["/", "/metrics", "/healthz", "/readyz", "/status.json"] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get"] {
            let answer = http::ask(port, method, path);
            assert_eq!((answer.code, answer.header("allow")), (405, Some("GET, HEAD")), "{method} {path}");
        }
        let (got, head) = (http::ask(port, "GET", path), http::ask(port, "HEAD", path));
        assert_eq!((got.code, head.code, head.body.len()), (200, 200, 0), "{path}");
        assert_eq!(got.header("content-type"), head.header("content-type"));
        assert!(head.header("content-length").is_some_and(|length| length != "0"), "{head:?}");
        assert_eq!(got.header("content-length"), Some(&*got.body.len().to_string()), "{path}");
        assert_eq!(
            (got.header("cache-control"), got.header("x-content-type-options")),
            (Some("no-store"), Some("nosniff"))
        );
        assert!(got.header("content-security-policy").is_some_and(|policy| policy.starts_with("default-src 'none'")));
        assert_eq!(got.header("access-control-allow-origin"), None);
    }
    assert_eq!(http::ask(port, "GET", "/metrics?anything=1").code, 200);
    assert_eq!(http::send(port, b"PING\r\n\r\n").code, 400);
    assert_eq!(server.connect().ask(&["PING"]), Reply::Status(b"PONG".to_vec()));
}

#[test]
fn headers_are_limited_in_number_and_size() {
    let (_server, port) = watched(&[]);
    let request = |headers: usize, bytes: usize| {
        let lines: String = (0..headers).map(|number| format!("x-{number}: {}\r\n", "v".repeat(bytes))).collect();
        http::send(port, format!("GET /healthz HTTP/1.0\r\n{lines}\r\n").as_bytes()).code
    };
    assert_eq!((request(64, 1), request(65, 1)), (200, 431));
    assert_eq!((request(1, 15_000), request(1, 17_000)), (200, 431));
    let path = |bytes: usize| http::send(port, format!("GET /{} HTTP/1.0\r\n\r\n", "p".repeat(bytes)).as_bytes()).code;
    assert_eq!(path(10_000), 404);
    assert!([414, 431].contains(&path(20_000)));
}

/// Several requests on one connection, the second in pieces.
#[test]
fn a_connection_is_used_again() {
    let (_server, port) = watched(&[]);
    let mut stream = http::connect(port);
    let mut answer = |pieces: &[&str]| {
        for piece in pieces {
            stream.write_all(piece.as_bytes()).expect("to send");
        }
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\nok\n") {
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).expect("an answer"), 1, "{}", String::from_utf8_lossy(&bytes));
            bytes.push(byte[0]);
        }
        http::Answer::read(&bytes).code
    };
    assert_eq!(answer(&["GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"]), 200);
    assert_eq!(answer(&["GET /hea", "lthz HTTP/1.1\r\nHo", "st: a\r\n", "\r\n"]), 200);
}

#[test]
fn the_port_has_addresses_of_its_own() {
    let place = Place::new();
    let (port, watching) = (free_port().to_string(), free_port());
    let options = ["--port", &port, "--metrics-port", &watching.to_string(), "--metrics-bind", "127.0.0.2"];
    let running = place.start(&options);
    assert!(TcpStream::connect(("127.0.0.1", watching)).is_err());
    assert!(TcpStream::connect(("127.0.0.2", watching)).is_ok());
    assert!(running.output().contains(&format!("http://127.0.0.2:{watching}/")), "{}", running.output());
    let (code, text) = place.run(&["--port", &free_port().to_string(), "--metrics-port", &port, "--dir", "other"]);
    assert_eq!(code, Some(1));
    assert!(text.contains(&format!("cannot listen on 127.0.0.1 port {port}")), "{text}");
}

/// Sockets of the server.
fn sockets(server: &Server) -> usize {
    let files = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("the server's files");
    let links = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

/// Some say nothing, some send their request letter by letter, some ask for much and read nothing.
#[test]
fn many_slow_clients_hold_few_connections_and_nobody_else() {
    let (server, port) = watched(&[]);
    let mut client = server.connect();
    client.ask(&["SET", "key", "value"]);
    let before = sockets(&server);
    let memory = server.memory();
    let much = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(200);
    let (mut slow, mut most): (Vec<TcpStream>, usize) = (Vec::new(), 0);
    for number in 0..150 {
        let mut stream = http::connect(port);
        let bytes: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET /metr",
            _ => much.as_bytes(),
        };
        // It may be cut off already.
        let _ = stream.write_all(bytes);
        slow.push(stream);
        most = most.max(sockets(&server) - before);
    }
    // And the one for which the oldest is giving way.
    assert!((CONNECTIONS_MAX / 2..=CONNECTIONS_MAX + 1).contains(&most), "{most} connections at the same time");
    wait_until("the oldest to give way", Duration::from_secs(20), || sockets(&server) <= before + CONNECTIONS_MAX);
    assert!(server.memory() < memory + (32 << 20), "{} bytes more", server.memory() - memory);
    for _ in 0..100 {
        let began = Instant::now();
        assert_eq!(client.ask(&["GET", "key"]), Reply::Bulk(b"value".to_vec()));
        assert!(began.elapsed() < Duration::from_secs(2), "a client waited {:?}", began.elapsed());
    }
    assert_eq!(http::get(port, "/healthz"), "ok\n");
    assert_eq!(server.connect().ask(&["PING"]), Reply::Status(b"PONG".to_vec()));
    // One letter a second does not keep a connection.
    let mut letters = http::connect(port);
    letters.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let (began, mut ended) = (Instant::now(), false);
    while !ended {
        assert!(began.elapsed() < Duration::from_secs(20), "it is still there");
        let sent = letters.write_all(b"G");
        let read = letters.read(&mut [0; 1000]);
        let waits =
            read.as_ref().is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        ended = sent.is_err() || !waits;
    }
    assert!(began.elapsed() > Duration::from_secs(2), "it was cut off after {:?}", began.elapsed());
}
