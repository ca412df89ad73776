//! /healthz and /readyz: alive from the first moment, ready once loaded and as long as writes are taken.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{http, watched};
use crate::durability::starting;
use crate::running::{Place, connect};
use crate::server::{FREE_PORT, free_port, wait_until};

#[test]
fn who_loads_is_alive_and_not_ready() {
    let (ready, port) = watched(&[]);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(http::get(port, path), if path == "/readyz" { "ready\n" } else { "ok\n" });
    }
    drop(ready);
    let mut server = starting::large(&["--metrics-port", FREE_PORT]);
    let port = server.argument("--metrics-port").parse().expect("a port");
    starting::connect_early(&mut server);
    let answer = http::ask(port, "GET", "/readyz");
    assert_eq!(answer.code, 503, "{answer:?}");
    assert!(answer.body.starts_with("loading: "), "{answer:?}");
    assert_eq!(http::get(port, "/healthz"), "ok\n");
    let metrics = http::get(port, "/metrics");
    for line in ["caskade_ready 0", "caskade_loaded 0", "redis_loading_dump_file 1", "redis_up 1"] {
        assert!(metrics.lines().any(|found| found == line), "no {line} in {metrics}");
    }
    let status: serde_json::Value = serde_json::from_str(&http::get(port, "/status.json")).expect("JSON");
    assert_eq!(status["state"], "loading");
    wait_until("the server to be ready", Duration::from_secs(60), || http::ask(port, "GET", "/readyz").code == 200);
}

/// Files may not grow any more, which is to the log what a failing disk is: nothing is written until the next start.
#[test]
fn whose_log_takes_no_writes_is_not_ready() {
    let place = Place::behind("trap '' XFSZ");
    let (port, watching) = (free_port().to_string(), free_port());
    let options =
        ["--port", &port, "--metrics-port", &watching.to_string(), "--dir", "data", "--appendfsync", "always"];
    let running = place.start(&options);
    assert_eq!(http::get(watching, "/readyz"), "ready\n", "{}", running.output());
    let limit = Rlimit { current: Some(100_000), maximum: None };
    prlimit(Some(Pid::from_child(&running.child)), Resource::Fsize, limit).expect("to limit the files of the server");
    let mut client = connect(port.parse().expect("a port"));
    // Whoever waits for the write is cut off.
    let _ = client.call(&["SET", "key", &"v".repeat(200_000)]);
    wait_until("the server to take no writes", Duration::from_secs(20), || {
        http::ask(watching, "GET", "/readyz").code == 503
    });
    let answer = http::ask(watching, "GET", "/readyz");
    assert!(answer.body.starts_with("no writes are taken: read-only: a write failed"), "{answer:?}");
    assert_eq!(http::get(watching, "/healthz"), "ok\n");
    let metrics = http::get(watching, "/metrics");
    for line in
        ["caskade_ready 0", "caskade_loaded 1", "redis_aof_last_write_status 0", "caskade_log_failed_writes_total 1"]
    {
        assert!(metrics.lines().any(|found| found == line), "no {line} in {metrics}");
    }
    let status: serde_json::Value = serde_json::from_str(&http::get(watching, "/status.json")).expect("JSON");
    assert_eq!(status["state"], "refusing");
}
