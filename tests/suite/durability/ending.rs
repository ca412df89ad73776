//! SIGTERM, SIGINT and every form of SHUTDOWN.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::load::{Load, check, writers};
use super::queues::queues;
use crate::reply::Reply;
use crate::server::{Program, Server, wait_until};

#[test]
fn sigterm_under_load_exits_with_0_and_loses_nothing() {
    for policy in ["always", "everysec", "no"] {
        let mut server = Server::start(Program::Caskade, &["--appendfsync", policy]);
        let load = Load::start(&server, writers(50), queues());
        load.wait_for(2_000);
        let status = server.terminate();
        let (mut writers, mut queues) = load.finish();
        assert_eq!(status.code(), Some(0), "{status} with appendfsync {policy}\n{}", server.log());
        let server = server.restart();
        check(&server, &mut writers, &mut queues);
    }
}

#[test]
fn shutdown_ends_the_server_with_0_and_loses_nothing() {
    let mut server = Server::start(Program::Caskade, &["--appendfsync", "no"]);
    let forms: [&[&str]; 8] = [
        &[],
        &["nosave"],
        &["SAVE"],
        &["NOW"],
        &["FORCE"],
        &["NOSAVE", "NOW"],
        &["SAVE", "NOW", "FORCE"],
        &["FORCE", "NOSAVE"],
    ];
    for (round, form) in forms.iter().enumerate() {
        let mut connection = server.connect();
        assert_eq!(connection.ask(&["INCR", "rounds"]), Reply::Integer(round as i64 + 1), "after {round} restarts");
        let words: Vec<&str> = std::iter::once("SHUTDOWN").chain(form.iter().copied()).collect();
        assert_eq!(connection.call(&words).expect("an end"), Reply::Closed, "{words:?}");
        let status = server.wait_exit(&format!("after {words:?}"));
        assert_eq!(status.code(), Some(0), "{words:?}: {status}\n{}", server.log());
        server = server.restart();
    }
}

#[test]
fn shutdown_refuses_what_redis_refuses() {
    let cases: [(&[&str], &str); 7] = [
        (&["SHUTDOWN", "ABORT"], "ERR No shutdown in progress."),
        (&["SHUTDOWN", "SAVE", "NOSAVE"], "ERR syntax error"),
        (&["SHUTDOWN", "ABORT", "NOW"], "ERR syntax error"),
        (&["SHUTDOWN", "NOSAVE", "ABORT"], "ERR syntax error"),
        (&["SHUTDOWN", "FORCE", "later"], "ERR syntax error"),
        (&["MULTI"], ""),
        (&["SHUTDOWN"], "ERR Command not allowed inside a transaction"),
    ];
    for program in std::iter::once(Program::Caskade).chain(Program::oracle()) {
        let mut server = Server::start(program, &[]);
        let mut connection = server.connect();
        for (words, text) in cases {
            let expected = match text {
                "" => Reply::Status(b"OK".to_vec()),
                text => Reply::Error(text.as_bytes().to_vec()),
            };
            assert_eq!(connection.call(words).expect("a reply"), expected, "{words:?} of {program:?}");
        }
        assert!(server.is_running(), "{program:?} goes on");
    }
}

#[test]
fn a_second_sigint_exits_with_1_at_once() {
    let mut server = Server::start(Program::Caskade, &[]);
    let mut connection = server.connect();
    // One request that takes longer than a stopping server waits for it.
    let text = "x".repeat(10_000);
    connection.ask(&["MSET", "a", &text, "b", &text]);
    connection.ask(&["MULTI"]);
    (0..500).for_each(|_| _ = connection.ask(&["LCS", "a", "b", "LEN"]));
    let before = server.cpu_ticks();
    connection.send(&["EXEC"]).expect("to send");
    let limit = Duration::from_secs(20);
    wait_until("the transaction to run", limit, || server.cpu_ticks() > before + 20);
    server.signal(Signal::INT);
    wait_until("the first SIGINT to be noticed", limit, || server.log().contains("SIGINT"));
    assert!(server.is_running(), "the transaction is waited for\n{}", server.log());
    let told = Instant::now();
    server.signal(Signal::INT);
    let status = server.wait_exit("after the second SIGINT");
    assert_eq!(status.code(), Some(1), "{status}\n{}", server.log());
    assert!(told.elapsed() < Duration::from_secs(2), "it took {:?}", told.elapsed());
}
