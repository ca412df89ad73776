//! Bytes that go through it.

use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{BOTH, Setup, open, tls_address};
use crate::connection::{Connection, encode};
use crate::reply::Reply;
use crate::server::{Server, wait_until};
use crate::target::Socket;
use crate::transcripts::check_over;

fn info(connection: &mut Connection, section: &str) -> String {
    String::from_utf8_lossy(connection.ask(&["INFO", section]).bytes().expect("text")).into_owned()
}

fn connected_clients(control: &mut Connection) -> String {
    info(control, "clients").lines().find(|line| line.starts_with("connected_clients:")).expect("a number").to_owned()
}

#[test]
fn every_transcript_reads_as_it_does_without() {
    for protocol in [2, 3] {
        let setup = Setup::new();
        let server = setup.start(&[]);
        let config = setup.config();
        let open = |protocol| {
            let opened = Connection::open_tls(tls_address(&server), config.clone());
            opened.and_then(|opened| opened.switched_to(protocol)).expect("a connection")
        };
        check_over("TLS", &mut Socket::opened_by(open, protocol));
    }
}

#[test]
fn both_versions_are_spoken_where_they_are_allowed() {
    let setup = Setup::new();
    let server = setup.start(&[]);
    let cases: [(&str, &[(_, bool)]); 4] = [
        ("", &[(&TLS12, true), (&TLS13, true)]),
        ("TLSv1.2", &[(&TLS12, true), (&TLS13, false)]),
        ("TLSv1.3", &[(&TLS12, false), (&TLS13, true)]),
        ("TLSv1.1 TLSv1.2 TLSv1.3", &[(&TLS12, true), (&TLS13, true)]),
    ];
    let mut control = server.connect();
    for (protocols, versions) in cases {
        control.ask(&["CONFIG", "SET", "tls-protocols", protocols]);
        for (version, allowed) in versions {
            let opened = open(&server, &setup.authority.client(&[*version], Some(&setup.client)));
            let expected = if *version == &TLS12 { ProtocolVersion::TLSv1_2 } else { ProtocolVersion::TLSv1_3 };
            let spoken = opened.ok().map(|mut connection| connection.session().protocol_version());
            assert_eq!(spoken, allowed.then_some(Some(expected)), "{protocols}");
        }
    }
}

#[test]
fn ciphers_are_those_of_the_settings() {
    let setup = Setup::new();
    let server = setup.start(&["--tls-prefer-server-ciphers", "yes"]);
    let mut control = server.connect();
    let cases = [
        ("tls-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256", &TLS13, "TLS13_CHACHA20_POLY1305_SHA256"),
        ("tls-ciphersuites", "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384", &TLS13, "TLS13_AES_128_GCM_SHA256"),
        ("tls-ciphers", "CHACHA20", &TLS12, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
        ("tls-ciphers", "ECDHE+AESGCM:-AES256", &TLS12, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    ];
    for (name, list, version, expected) in cases {
        control.ask(&["CONFIG", "SET", name, list]);
        let mut connection = open(&server, &setup.authority.client(&[version], Some(&setup.client))).expect(list);
        let suite = connection.session().negotiated_cipher_suite().expect("a suite").suite();
        assert_eq!(suite.as_str(), Some(expected), "{list}");
    }
}

#[test]
fn sessions_are_resumed_where_they_are_kept() {
    use rustls::HandshakeKind::{Full, Resumed};
    let setup = Setup::new();
    let server = setup.start(&[]);
    let mut control = server.connect();
    for (name, value, again) in [
        ("tls-session-caching", "yes", Resumed),
        ("tls-session-cache-timeout", "0", Full),
        ("tls-session-cache-timeout", "300", Resumed),
        ("tls-session-cache-size", "1", Full),
        ("tls-session-cache-size", "0", Resumed),
        ("tls-session-caching", "no", Full),
    ] {
        control.ask(&["CONFIG", "SET", name, value]);
        for version in [&TLS12, &TLS13] {
            let config = setup.authority.client(&[version], Some(&setup.client));
            let mut kinds = Vec::new();
            for client in [&config, &config] {
                kinds.push(open(&server, client).expect("a connection").session().handshake_kind());
                // A single session that is kept is that of whoever came last.
                open(&server, &setup.config()).expect("a connection");
            }
            assert_eq!(kinds, [Some(Full), Some(again)], "{name} {value} {version:?}");
        }
    }
}

#[test]
fn a_pipeline_is_answered_to_its_end() {
    const REQUESTS: usize = 10_000;
    let setup = Setup::new();
    let server = setup.start(&[]);
    for version in BOTH {
        let client = setup.authority.client(&[version], Some(&setup.client));
        for half_closed in [false, true] {
            let mut connection = open(&server, &client).expect("a connection");
            connection.ask(&[b"SET", &b"k"[..], &[b'v'; 600]]);
            // Nothing is read before all is sent.
            connection.send_raw(&encode(&["GET", "k"]).repeat(REQUESTS)).expect("the server to take it in");
            // TLS 1.2 knows no end of one side.
            if half_closed && *version == &TLS13 {
                connection.end_sending().expect("to end");
            }
            for number in 0..REQUESTS {
                let reply = connection.receive().expect("a reply");
                assert!(reply.bytes() == Some(&[b'v'; 600]), "{number}: {reply:?}");
            }
        }
    }
}

#[test]
fn large_values_go_both_ways() {
    let setup = Setup::new();
    let server = setup.start(&[]);
    for version in BOTH {
        let mut connection =
            open(&server, &setup.authority.client(&[version], Some(&setup.client))).expect("a connection");
        let value: Vec<u8> =
            (0..10_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for round in 0..3 {
            connection.ask(&[b"SET", &b"k"[..], &value]);
            assert!(connection.ask(&["GET", "k"]).bytes() == Some(&value[..]), "round {round}");
        }
        // One byte at a time, each in a record of its own.
        for byte in encode(&["STRLEN", "k"]) {
            connection.send_raw(&[byte]).expect("to send");
        }
        assert_eq!(connection.receive().expect("a reply"), Reply::Integer(10_000_000));
    }
}

#[test]
fn messages_come_while_nothing_is_asked() {
    let setup = Setup::new();
    let server = setup.start(&[]);
    let mut listener = setup.connect(&server);
    listener.ask(&["SUBSCRIBE", "news"]);
    let mut publisher = server.connect();
    for number in 0..100 {
        publisher.ask(&["PUBLISH", "news", &number.to_string()]);
        let Reply::Array(words) = listener.receive().expect("a message") else { panic!("no message") };
        assert_eq!(words[2].bytes(), Some(number.to_string().as_bytes()));
    }
}

#[test]
fn the_end_is_said_before_the_socket_is_closed() {
    let setup = Setup::new();
    let server = setup.start(&[]);
    for version in BOTH {
        let client = setup.authority.client(&[version], Some(&setup.client));
        let mut connection = open(&server, &client).expect("a connection");
        connection.send(&["QUIT"]).expect("to send");
        // Without a goodbye in TLS, this is an error.
        assert_eq!(connection.read_rest().expect("an end that was said"), b"+OK\r\n");
        let mut connection = open(&server, &client).expect("a connection");
        let id = connection.ask(&["CLIENT", "ID"]).integer().expect("a number").to_string();
        server.connect().ask(&["CLIENT", "KILL", "ID", &id]);
        assert_eq!(connection.read_rest().expect("an end that was said"), b"");
        let mut connection = open(&server, &client).expect("a connection");
        connection.send_raw(b"*1\r\n$x\r\n").expect("to send");
        let read = connection.read_rest().expect("an end that was said");
        assert_eq!(read, b"-ERR Protocol error: invalid bulk length\r\n");
    }
}

#[test]
fn a_client_that_does_not_read_is_held_back_and_then_cut_off() {
    // Over the hard limit at once, as two answers wait; over the soft one for a second.
    for limit in ["normal 1mb 0 0", "normal 0 64kb 1"] {
        let setup = Setup::new();
        let server = setup.start(&["--client-output-buffer-limit", limit]);
        let mut control = server.connect();
        control.ask(&[b"SET", &b"k"[..], &vec![b'v'; 1 << 20]]);
        let before = server.memory();
        let mut greedy = setup.connect(&server);
        greedy.stream().set_nonblocking(true).expect("a socket");
        let request = encode(&["GET", "k"]).repeat(16);
        let mut most = 0;
        wait_until("the client to be cut off", Duration::from_secs(30), || {
            // What is not taken stays with the client, whose connection fails once it is cut off.
            let _ = greedy.send_raw(&request);
            most = most.max(server.memory());
            info(&mut control, "stats").contains("client_output_buffer_limit_disconnections:1")
        });
        assert!(most < before + (64 << 20), "{limit}: memory went from {before} to {most}");
        assert_eq!(control.ask(&["STRLEN", "k"]), Reply::Integer(1 << 20));
    }
}

#[test]
fn a_subscriber_that_does_not_read_is_cut_off_at_its_limit() {
    let setup = Setup::new();
    let server = setup.start(&["--client-output-buffer-limit", "pubsub 1mb 0 0"]);
    let mut deaf = setup.connect(&server);
    deaf.ask(&["SUBSCRIBE", "news"]);
    let (mut publisher, message) = (server.connect(), "x".repeat(50_000));
    let mut published = 0;
    wait_until("the deaf one to be cut off", Duration::from_secs(30), || {
        published += 1;
        publisher.ask(&["PUBLISH", "news", &message]) == Reply::Integer(0)
    });
    assert!(published > 20, "it was cut off after {published} messages, before its limit");
    assert!(info(&mut publisher, "stats").contains("client_output_buffer_limit_disconnections:1"));
}

/// A reader that stops and goes on gets everything, in its order.
#[test]
fn whoever_reads_late_reads_all() {
    let setup = Setup::new();
    let server = setup.start(&[]);
    for version in BOTH {
        let mut late = open(&server, &setup.authority.client(&[version], Some(&setup.client))).expect("a connection");
        let mut control = server.connect();
        for number in 0..64 {
            let value = vec![b'a' + number % 26; 1_000_000];
            control.ask(&[b"SET", format!("k{number}").as_bytes(), &value]);
            late.send(&["GET", &format!("k{number}")]).expect("to send");
        }
        // So much is in the buffers of the sockets, and no more than they hold has been answered.
        wait_until("some answers", Duration::from_secs(20), || answered(&mut control) >= 3);
        assert!(answered(&mut control) < 64, "nothing holds the server back");
        for number in 0..64 {
            let reply = late.receive().expect("a reply");
            assert!(reply.bytes() == Some(&vec![b'a' + number % 26; 1_000_000][..]), "{number}");
        }
        assert_eq!(late.ask(&["PING"]), Reply::Status(b"PONG".to_vec()));
        control.ask(&["CONFIG", "RESETSTAT"]);
    }
}

/// How many GETs were executed.
fn answered(control: &mut Connection) -> usize {
    let stats = info(control, "commandstats");
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_get:calls=")?.split(',').next()?.parse().ok());
    calls.unwrap_or(0)
}

/// A connection without TLS, once it is the only one.
fn alone(server: &Server) -> Connection {
    let mut control = server.connect();
    wait_for_clients(&mut control, 1);
    control
}

fn wait_for_clients(control: &mut Connection, count: usize) {
    let expected = format!("connected_clients:{count}");
    wait_until(&expected, Duration::from_secs(20), || connected_clients(control) == expected);
}

#[test]
fn whoever_sends_nothing_is_let_go() {
    let setup = Setup::new();
    let server = setup.start(&["--maxclients", "3"]);
    let mut control = alone(&server);
    control.ask(&["CONFIG", "SET", "timeout", "1"]);
    let mut silent: Vec<TcpStream> =
        (0..2).map(|_| TcpStream::connect(tls_address(&server)).expect("to connect")).collect();
    for stream in &mut silent {
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        assert_eq!(stream.read(&mut [0; 16]).expect("an end"), 0);
    }
    // Their slots are free again.
    drop(control);
    let mut control = alone(&server);
    control.ask(&["CONFIG", "SET", "timeout", "0"]);
    assert!(info(&mut control, "stats").contains("rejected_connections:0"));
    let (mut one, mut two) = (setup.connect(&server), setup.connect(&server));
    one.ask(&["SET", "k", "v"]);
    two.ask(&["SET", "k", "v"]);
}

#[test]
fn a_silent_client_holds_up_nobody() {
    let setup = Setup::new();
    let server = setup.start(&["--worker-threads", "1"]);
    let mut control = server.connect();
    let silent: Vec<TcpStream> =
        (0..50).map(|_| TcpStream::connect(tls_address(&server)).expect("to connect")).collect();
    wait_for_clients(&mut control, 51);
    setup.connect(&server).ask(&["SET", "k", "v"]);
    drop(silent);
    wait_for_clients(&mut control, 1);
    // Nor does one that is not yet served keep the server from ending.
    let _silent = TcpStream::connect(tls_address(&server)).expect("to connect");
    wait_for_clients(&mut control, 2);
    let mut server = server;
    let began = std::time::Instant::now();
    assert!(server.terminate().success());
    assert!(began.elapsed() < Duration::from_secs(4), "it waited for a handshake");
}

/// Sends bytes that are no TLS to the port that wants it; returns what came back.
fn plain(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(tls_address(server)).expect("to connect");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    stream.write_all(bytes).expect("to send");
    let mut read = Vec::new();
    match stream.read_to_end(&mut read) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => read,
    }
}

#[test]
fn plain_text_on_the_port_for_tls_is_closed() {
    let setup = Setup::new();
    let server = setup.start(&["--loglevel", "debug"]);
    for bytes in [&b"PING\r\n"[..], b"*1\r\n$4\r\nPING\r\n", b"GET / HTTP/1.1\r\n\r\n", &[0; 64]] {
        assert_eq!(plain(&server, bytes), b"", "{}", bytes.escape_ascii());
    }
    assert!(server.log().contains("no TLS handshake"), "{}", server.log());
    setup.connect(&server).ask(&["SET", "k", "v"]);
}

#[test]
fn tls_on_the_port_for_plain_text_is_closed() {
    let setup = Setup::new();
    let server = setup.start(&[]);
    assert!(Connection::open_tls(server.address(), setup.config()).is_err());
    wait_until("a line in the log", Duration::from_secs(10), || {
        server.log().contains("the client began a TLS handshake, but this port speaks plain text")
    });
}

#[test]
fn clients_are_listed_with_their_addresses() {
    let setup = Setup::new();
    let server = setup.start(&[]);
    let mut connection = setup.connect(&server);
    let line = connection.ask(&["CLIENT", "INFO"]);
    let line = String::from_utf8_lossy(line.bytes().expect("text")).into_owned();
    let (own, other) = (connection.stream().local_addr().expect("an address"), tls_address(&server));
    assert!(line.contains(&format!(" addr={own} laddr={other} ")), "{line}");
    let listener = format!("listener1:name=tls,bind=127.0.0.1,port={}", other.port());
    let told = info(&mut connection, "server");
    assert!(told.contains(&listener), "{told}");
}

#[test]
fn too_many_clients_are_refused_also_here() {
    let setup = Setup::new();
    let server = setup.start(&["--maxclients", "2"]);
    let mut control = alone(&server);
    let mut first = setup.connect(&server);
    assert!(open(&server, &setup.config()).is_err());
    assert!(info(&mut control, "stats").contains("rejected_connections:1"));
    first.ask(&["SET", "k", "v"]);
}
