//! Who is let in, and certificates that change.

use std::fs;
use std::net::SocketAddr;

use rustls::version::{TLS12, TLS13};

use super::certificates::{Authority, Pair};
use super::{BOTH, Setup, open, text, tls_address};
use crate::acl::other_address;
use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{Program, Server};

/// The error of CONFIG SET, without what is the same in all of them.
fn refusal(control: &mut Connection, pairs: &[&str]) -> String {
    match control.call(&[&["CONFIG", "SET"], pairs].concat()).expect("a reply") {
        Reply::Error(error) => String::from_utf8_lossy(&error).into_owned(),
        other => panic!("{pairs:?} answered {other:?}"),
    }
}

const NOT_UPDATED: &str = "Unable to update TLS configuration. Check server logs.";

/// Caskade, and Redis where it is installed.
fn programs() -> impl Iterator<Item = Program> {
    [Some(Program::Caskade), Program::oracle()].into_iter().flatten()
}

#[test]
fn clients_show_certificates_as_the_setting_says() {
    programs().for_each(clients_are_let_in);
}

fn clients_are_let_in(program: Program) {
    let setup = Setup::new();
    let server = setup.start_program(program, &[]);
    let others = tempfile::tempdir().expect("a temporary directory");
    let foreign = Authority::new("foreign", others.path()).sign("foreign-client");
    let own = Some(setup.client.clone());
    let shown: [(&str, Option<Pair>); 5] = [
        ("own", own),
        ("none", None),
        ("foreign", Some(foreign)),
        ("expired", Some(setup.authority.sign_expired("expired"))),
        ("for servers", Some(setup.authority.sign_for_servers("for-servers"))),
    ];
    let mut control = server.connect();
    assert_eq!(control.ask(&["CONFIG", "GET", "tls-auth-clients"]).notation()[1], "2) \"yes\"");
    let admitted: [(&str, &[&str]); 4] = [
        ("yes", &["own"]),
        ("optional", &["own", "none"]),
        ("no", &["own", "none", "foreign", "expired", "for servers"]),
        ("yes", &["own"]),
    ];
    for (setting, names) in admitted {
        control.ask(&["CONFIG", "SET", "tls-auth-clients", setting]);
        for (name, pair) in &shown {
            for version in [&TLS12, &TLS13] {
                let opened = open(&server, &setup.authority.client(&[version], pair.as_ref()));
                let (let_in, error) = (opened.is_ok(), opened.err());
                assert_eq!(let_in, names.contains(name), "{program:?}, {setting}, {name}, {version:?}: {error:?}");
            }
        }
    }
}

#[test]
fn a_client_of_another_authority_trusts_the_server_as_little() {
    let setup = Setup::new();
    let server = setup.start(&["--tls-auth-clients", "no"]);
    let others = tempfile::tempdir().expect("a temporary directory");
    let foreign = Authority::new("foreign", others.path());
    let error = open(&server, &foreign.client(BOTH, None)).err().expect("a refusal");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert!(open(&server, &setup.authority.client(BOTH, None)).is_ok());
}

#[test]
fn authorities_may_stand_in_a_directory() {
    let setup = Setup::new();
    let others = tempfile::tempdir().expect("a temporary directory");
    let (one, two) = (Authority::new("one", others.path()), Authority::new("two", others.path()));
    let pairs = [one.sign("client-one"), two.sign("client-two")];
    fs::write(others.path().join("README"), "no certificate").expect("to write a file");
    fs::create_dir(others.path().join("directory")).expect("a directory");
    let server = setup.start(&["--tls-ca-cert-dir", text(others.path())]);
    for pair in pairs.iter().chain([&setup.client]) {
        open(&server, &setup.authority.client(BOTH, Some(pair))).expect("a connection");
    }
}

#[test]
fn renewed_certificates_are_taken_up_while_others_go_on() {
    programs().for_each(certificates_are_renewed);
}

fn certificates_are_renewed(program: Program) {
    let setup = Setup::new();
    let server = setup.start_program(program, &[]);
    let mut old = setup.connect(&server);
    old.ask(&["SET", "k", "old"]);
    let mut control = server.connect();
    // The same paths, with what another authority has signed.
    let others = tempfile::tempdir().expect("a temporary directory");
    let next = Authority::new("next", others.path());
    let (renewed, client) = (next.sign("renewed"), next.sign("next-client"));
    fs::copy(&renewed.certificate, &setup.server.certificate).expect("to replace the certificate");
    fs::copy(&renewed.key, &setup.server.key).expect("to replace the key");
    let mut before = setup.connect(&server);
    control.ask(&["CONFIG", "SET", "tls-cert-file", text(&setup.server.certificate)]);
    // The server has another certificate, and trusts the clients that it trusted.
    assert!(open(&server, &setup.config()).is_err());
    open(&server, &next.client(BOTH, Some(&setup.client))).expect("a connection");
    assert!(open(&server, &next.client(BOTH, Some(&client))).is_err());
    control.ask(&["CONFIG", "SET", "tls-ca-cert-file", text(&next.certificate)]);
    open(&server, &next.client(BOTH, Some(&client))).expect("a connection");
    assert!(open(&server, &next.client(BOTH, Some(&setup.client))).is_err());
    for connection in [&mut old, &mut before] {
        assert_eq!(connection.ask(&["GET", "k"]), Reply::Bulk(b"old".to_vec()));
    }
}

#[test]
fn what_cannot_be_used_changes_nothing() {
    programs().for_each(nothing_is_changed);
}

fn nothing_is_changed(program: Program) {
    let setup = Setup::new();
    let server = setup.start_program(program, &[]);
    let mut old = setup.connect(&server);
    let mut control = server.connect();
    let other = setup.authority.sign("other");
    fs::write(setup.directory.path().join("garbage"), "-----BEGIN CERTIFICATE-----\n!\n").expect("to write a file");
    let garbage = setup.directory.path().join("garbage");
    let (directory, garbage) = (text(setup.directory.path()), text(&garbage));
    let cases: &[(&[&str], &str, &str)] = &[
        (&["tls-cert-file", "/nosuch"], "tls-cert-file", "tls-cert-file /nosuch: No such file"),
        (&["tls-cert-file", "/dev/zero"], "tls-cert-file", "tls-cert-file /dev/zero: it is not a file"),
        (&["tls-key-file", directory], "tls-key-file", "it is not a file"),
        (&["tls-cert-file", text(&other.certificate)], "tls-cert-file", "it is not the key of the certificate"),
        (&["timeout", "7", "Tls-Key-File", text(&other.key)], "tls-key-file", "it is not the key of the certificate"),
        (&["tls-cert-file", garbage], "tls-cert-file", "garbage: "),
        (&["tls-ca-cert-file", garbage], "tls-ca-cert-file", "garbage: "),
        (&["tls-ca-cert-file", ""], "tls-ca-cert-file", "either tls-ca-cert-file or tls-ca-cert-dir"),
        (&["tls-protocols", "TLSv1.1"], "tls-protocols", "only TLSv1.2 and TLSv1.3 are spoken"),
        (&["tls-ciphers", "NOSUCH"], "tls-ciphers", "tls-ciphers NOSUCH: none of them"),
    ];
    let before = control.ask(&["CONFIG", "GET", "tls-*", "timeout"]);
    // Redis reads what never ends, speaks older versions, and has a name in capitals as it was written.
    let differs = |pairs: &[&str]| ["/dev/zero", "TLSv1.1", "Tls-Key-File"].iter().any(|word| pairs.contains(word));
    let is_ours = program == Program::Caskade;
    for (pairs, name, logged) in cases.iter().filter(|(pairs, ..)| is_ours || !differs(pairs)) {
        let expected = format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {NOT_UPDATED}");
        assert_eq!(refusal(&mut control, pairs), expected, "{pairs:?}");
        assert!(!is_ours || server.log().contains(logged), "{logged} is not in\n{}", server.log());
        assert_eq!(control.ask(&["CONFIG", "GET", "tls-*", "timeout"]), before, "{pairs:?}");
        setup.connect(&server);
    }
    assert_eq!(old.ask(&["PING"]), Reply::Status(b"PONG".to_vec()));
    // Certificate and key together are right.
    let (certificate, key) = (text(&other.certificate), text(&other.key));
    control.ask(&["CONFIG", "SET", "tls-cert-file", certificate, "tls-key-file", key]);
    setup.connect(&server);
    // As with `port`, where Redis can.
    if is_ours {
        let refusal = refusal(&mut control, &["tls-port", "7000"]);
        assert!(refusal.ends_with("'tls-port') - can't set immutable config"), "{refusal}");
    }
}

#[test]
fn without_a_port_nothing_is_read() {
    let server = Server::start(Program::Caskade, &["--tls-cert-file", "/nosuch"]);
    let mut control = server.connect();
    control.ask(&["CONFIG", "SET", "tls-key-file", "/nosuch"]);
    assert_eq!(control.ask(&["CONFIG", "GET", "tls-key-file"]).notation()[1], "2) \"/nosuch\"");
}

/// Who may not come in without a password is told so, which is only possible after the handshake.
#[test]
fn protected_mode_holds_here_too() {
    let Some(address) = other_address() else {
        return println!("skipped: this machine has no address but its loopback");
    };
    for program in programs() {
        let setup = Setup::new();
        let server = setup.start_program(program, &["--bind", "*", "--protected-mode", "yes"]);
        let address = SocketAddr::new(address, tls_address(&server).port());
        let connect = || Connection::open_tls(address, setup.config()).expect("a connection");
        let reply = connect().receive().expect("a reply");
        assert!(matches!(&reply, Reply::Error(text) if text.starts_with(b"DENIED ")), "{program:?}: {reply:?}");
        server.connect().ask(&["CONFIG", "SET", "requirepass", "secret"]);
        assert_eq!(connect().ask(&["AUTH", "secret"]), Reply::Status(b"OK".to_vec()), "{program:?}");
    }
}
