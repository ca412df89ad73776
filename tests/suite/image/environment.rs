//! Passwords and options out of the environment, and who may come in without any.

use crate::connection::Connection;
use crate::reply::Reply;
use crate::running::{Place, connect, setting};
use crate::server::free_port;
use std::fs;

/// What a shell, a configuration file and a compose file would each make something else of.
const PASSWORD: &str = "two  words \"quoted\" 'so' $HOME ${x} \\ #";

fn ok() -> Reply {
    Reply::Status(b"OK".to_vec())
}

fn log_in(port: u16, password: &str) -> Connection {
    let mut client = connect(port);
    let refused = client.call(&["PING"]).expect("an answer");
    assert!(matches!(&refused, Reply::Error(text) if text.starts_with(b"NOAUTH ")), "{refused:?}");
    assert_eq!(client.call(&["AUTH", password]).expect("an answer"), ok());
    client
}

#[test]
fn every_form_of_the_password_is_in_force() {
    let file = Place::new();
    file.write("password", &format!("{PASSWORD}\n"));
    let path = file.path("password");
    let path = path.to_str().expect("a path");
    let quoted = format!("--requirepass \"{}\"", PASSWORD.replace('\\', "\\\\").replace('"', "\\\""));
    for variable in [
        ("CASKADE_REQUIREPASS", PASSWORD),
        ("CASKADE_REQUIREPASS_FILE", path),
        ("REDIS_PASSWORD", PASSWORD),
        ("REDIS_PASSWORD_FILE", path),
        ("CASKADE_EXTRA_FLAGS", &quoted),
    ] {
        let place = Place::with(&[variable]);
        let port = free_port();
        let running = place.start(&["--port", &port.to_string(), "--dir", "data"]);
        log_in(port, PASSWORD);
        let pid = running.child.id().to_string();
        assert_eq!(place.run(&["healthcheck", "--pid", &pid]), (Some(0), String::new()), "{variable:?}");
    }
}

/// A password of the environment stands neither among the arguments nor in the log nor in a file that the server writes.
#[test]
fn a_password_of_the_environment_is_shown_nowhere() {
    let place = Place::with(&[("REDIS_PASSWORD", "hunter-two"), ("CASKADE_EXTRA_FLAGS", "--timeout 100")]);
    place.write("caskade.conf", "dir data\nloglevel debug\n");
    let port = free_port();
    let running = place.start(&["caskade.conf", "--port", &port.to_string()]);
    let mut client = log_in(port, "hunter-two");
    assert_eq!(client.call(&["CONFIG", "SET", "maxclients", "100"]).expect("an answer"), ok());
    assert_eq!(client.call(&["CONFIG", "REWRITE"]).expect("an answer"), ok());
    let written = fs::read_to_string(place.path("caskade.conf")).expect("the configuration");
    assert!(written.contains("maxclients 100\n") && written.contains("timeout 100\n"), "{written}");
    let arguments = fs::read(format!("/proc/{}/cmdline", running.child.id())).expect("the arguments");
    let output = running.output();
    assert!(output.contains("the password is that of the environment variable REDIS_PASSWORD"), "{output}");
    for text in [written, String::from_utf8_lossy(&arguments).into_owned(), output] {
        assert!(!text.contains("hunter"), "{text}");
        // Nor what it can be guessed from.
        assert!(!text.contains("requirepass") && !text.contains("user default"), "{text}");
    }
}

#[test]
fn options_of_the_environment_win_over_arguments() {
    let place = Place::with(&[("CASKADE_EXTRA_FLAGS", "--maxmemory 5mb --include more.conf"), ("CASKADE_HZ", "11")]);
    place.write("more.conf", "timeout 7\n");
    let port = free_port();
    let _running = place.start(&["--port", &port.to_string(), "--dir", "data", "--maxmemory", "1mb", "--timeout", "1"]);
    let mut client = connect(port);
    for (name, value) in [("maxmemory", "5242880"), ("timeout", "7"), ("hz", "11")] {
        assert_eq!(setting(&mut client, name), value, "{name}");
    }
}

#[test]
fn a_server_open_to_everybody_has_to_be_asked_for() {
    let place = Place::new();
    let port = free_port().to_string();
    let open = ["--port", &port, "--dir", "data", "--bind", "0.0.0.0", "--protected-mode", "no"];
    let (code, output) = place.run(&open);
    assert_eq!((code, output.matches("allow-open-access").count()), (Some(1), 1), "{output}");
    let warning = "whoever reaches this port can read and change everything";
    for (more, is_open) in [
        (&["--allow-open-access", "yes"][..], true),
        (&["--requirepass", "secret"], false),
        (&["--user", "default", "on", ">secret", "~*", "+@all"], false),
        (&["--bind", "127.0.0.1"], false),
        (&["--protected-mode", "auto"], false),
    ] {
        let running = place.start(&[&open[..], more].concat());
        assert_eq!(running.output().contains(warning), is_open, "{more:?}");
        let (code, told) = place.run(&["healthcheck", "--pid", &running.child.id().to_string()]);
        let is_told = !matches!(more[0], "--requirepass" | "--user" | "--bind");
        assert_eq!((code, told.contains("without a password")), (Some(0), is_told), "{more:?}: {told}");
    }
}
