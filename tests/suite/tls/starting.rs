//! What stops a start, and the server that speaks nothing else.

use std::fs;
use std::net::Ipv4Addr;

use super::{BOTH, Setup, text};
use crate::connection::Connection;
use crate::reply::Reply;
use crate::running::Place;
use crate::server::free_port;

#[test]
fn a_start_without_usable_files_fails_and_names_them() {
    let (setup, place) = (Setup::new(), Place::new());
    let port = free_port().to_string();
    let other = setup.authority.sign("other");
    let (certificate, key) = (text(&setup.server.certificate), text(&setup.server.key));
    let authority = text(&setup.authority.certificate);
    let empty = setup.directory.path().join("empty");
    fs::create_dir(&empty).expect("a directory");
    let cases: &[(&[&str], &str)] = &[
        (&[], "tls-cert-file is not set, and TLS needs it"),
        (&["--tls-cert-file", certificate], "tls-key-file is not set, and TLS needs it"),
        (&["--tls-cert-file", "/nosuch", "--tls-key-file", key], "tls-cert-file /nosuch: No such file"),
        (&["--tls-cert-file", certificate, "--tls-key-file", "/nosuch"], "tls-key-file /nosuch: No such file"),
        (&["--tls-cert-file", key, "--tls-key-file", key], "server.key: there is no certificate in it"),
        (&["--tls-cert-file", certificate, "--tls-key-file", certificate], "server.crt: there is no private key in it"),
        (
            &["--tls-cert-file", certificate, "--tls-key-file", text(&other.key)],
            "other.key: it is not the key of the certificate in ",
        ),
        (
            &["--tls-cert-file", certificate, "--tls-key-file", key],
            "clients have to show certificates (tls-auth-clients), so either tls-ca-cert-file or tls-ca-cert-dir must say whose",
        ),
        (
            &["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", "/nosuch"],
            "tls-ca-cert-file /nosuch: No such file",
        ),
        (
            &["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-dir", text(&empty)],
            "empty: no file in it holds a certificate",
        ),
        (
            &[
                "--tls-cert-file",
                certificate,
                "--tls-key-file",
                key,
                "--tls-ca-cert-file",
                authority,
                "--tls-protocols",
                "x",
            ],
            "tls-protocols x: x is no version of it",
        ),
    ];
    for (arguments, expected) in cases {
        let (code, output) = place.run(&[&["--port", "0", "--tls-port", &port, "--dir", "data"], *arguments].concat());
        assert_eq!(code, Some(1), "{arguments:?}\n{output}");
        assert!(output.contains("TLS cannot be set up: ") && output.contains(expected), "{expected}\n{output}");
        assert!(!place.path("data").exists(), "{arguments:?} made a directory");
    }
}

#[test]
fn a_server_may_speak_tls_alone_and_says_whether_it_is_well() {
    let (setup, place) = (Setup::new(), Place::new());
    let number = free_port();
    let port = number.to_string();
    for_servers_only(&setup, &place, &port);
    let mut arguments = vec!["--port", "0", "--bind", "127.0.0.1", "--dir", "data", "--tls-port", &port];
    arguments.extend(["--tls-cert-file", text(&setup.server.certificate), "--tls-key-file", text(&setup.server.key)]);
    arguments.extend(["--tls-ca-cert-file", text(&setup.authority.certificate), "--requirepass", "secret"]);
    let running = place.start(&arguments);
    assert!(running.output().contains(&format!("listening on 127.0.0.1 port {port}, for TLS")), "{}", running.output());
    let pid = running.child.id().to_string();
    let cases: &[&[&str]] =
        &[&["--pid", &pid], &["--pid", &pid, "--port", &port], &["--tls", "--port", &port], &["--pid", &pid, "--tls"]];
    for arguments in cases {
        let asked = place.run(&[&["healthcheck"], *arguments].concat());
        assert_eq!(asked, (Some(0), String::new()), "{arguments:?}");
    }
    let (code, output) = place.run(&["healthcheck", "--port", &port]);
    assert!(code == Some(1) && output.contains("a port for TLS wants `--tls`"), "{output}");
    let address = (Ipv4Addr::LOCALHOST, number).into();
    let mut client = Connection::open_tls(address, setup.config()).expect("a connection");
    client.ask(&["AUTH", "secret"]);
    let info = client.ask(&["INFO", "server"]);
    let info = String::from_utf8_lossy(info.bytes().expect("text")).into_owned();
    assert!(info.contains(&format!("tcp_port:{port}\r\n")), "{info}");
    assert!(info.contains(&format!("listener0:name=tls,bind=127.0.0.1,port={port}\r\n")), "{info}");
}

/// A server is well also when it wants another certificate than the check can show.
fn for_servers_only(setup: &Setup, place: &Place, port: &str) {
    let pair = setup.authority.sign_for_servers("server-only");
    for protocols in ["TLSv1.2", "TLSv1.3"] {
        let mut arguments = vec!["--port", "0", "--bind", "127.0.0.1", "--dir", "data", "--tls-port", port];
        arguments.extend(["--tls-cert-file", text(&pair.certificate), "--tls-key-file", text(&pair.key)]);
        arguments.extend(["--tls-ca-cert-file", text(&setup.authority.certificate), "--tls-protocols", protocols]);
        let running = place.start(&arguments);
        let pid = running.child.id().to_string();
        let asked = place.run(&["healthcheck", "--pid", &pid]);
        assert_eq!(asked, (Some(0), String::new()), "{protocols}\n{}", running.output());
    }
}

#[test]
fn rewritten_files_say_what_is_in_force() {
    let (setup, place) = (Setup::new(), Place::new());
    let number = free_port();
    let text_of = |certificate: &str| {
        format!(
            "port 0\nbind 127.0.0.1\ndir data\ntls-port {number}\ntls-cert-file {certificate}\ntls-key-file {}\ntls-ca-cert-file {}\n",
            text(&setup.server.key),
            text(&setup.authority.certificate)
        )
    };
    fs::write(place.path("caskade.conf"), text_of(text(&setup.server.certificate))).expect("a file");
    let copy = setup.directory.path().join("copy.crt");
    fs::copy(&setup.server.certificate, &copy).expect("a copy");
    let running = place.start(&["caskade.conf"]);
    let address = (Ipv4Addr::LOCALHOST, number).into();
    let mut client = Connection::open_tls(address, setup.config()).expect("a connection");
    client.ask(&["CONFIG", "SET", "tls-cert-file", text(&copy), "tls-auth-clients", "optional"]);
    client.ask(&["CONFIG", "REWRITE"]);
    let rewritten = fs::read_to_string(place.path("caskade.conf")).expect("the file");
    let expected = text_of(text(&copy));
    assert!(rewritten.starts_with(&expected) && rewritten.contains("tls-auth-clients optional"), "{rewritten}");
    drop(running);
    let _running = place.start(&["caskade.conf"]);
    let mut client = Connection::open_tls(address, setup.authority.client(BOTH, None)).expect("a connection");
    assert_eq!(client.ask(&["PING"]), Reply::Status(b"PONG".to_vec()));
}
