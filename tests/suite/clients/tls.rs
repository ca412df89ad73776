//! Redis's own tools and a library, over TLS.

use std::process::Command;

use super::libraries::installed;
use super::{output, project, required, tool};
use crate::server::Server;
use crate::tls::{Setup, text};

/// One of Redis's tools with a certificate, about to be run against the port for TLS.
fn secured(name: &str, setup: &Setup, server: &Server, arguments: &[&str]) -> Option<Command> {
    let mut all = vec!["--tls", "-p", server.argument("--tls-port"), "--cacert", text(&setup.authority.certificate)];
    all.extend(["--cert", text(&setup.client.certificate), "--key", text(&setup.client.key)]);
    all.extend(arguments);
    tool(name, server, &all)
}

#[test]
fn redis_cli_speaks_both_versions() {
    let setup = Setup::new();
    let server = setup.start(&[]);
    for protocols in ["TLSv1.2", "TLSv1.3"] {
        server.connect().ask(&["CONFIG", "SET", "tls-protocols", protocols]);
        let cases: &[(&[&str], &str)] = &[
            (&["SET", "k", "v"], "OK\n"),
            (&["-3", "--no-raw", "GET", "k"], "\"v\"\n"),
            (&["--no-raw", "-r", "3", "INCR", protocols], "(integer) 1\n(integer) 2\n(integer) 3\n"),
            (&["CONFIG", "SET", "tls-cert-file", text(&setup.server.certificate)], "OK\n"),
        ];
        for (arguments, expected) in cases {
            let Some(command) = secured("redis-cli", &setup, &server, arguments) else { return };
            assert_eq!(output("redis-cli", command), *expected, "{arguments:?}");
        }
    }
}

#[test]
fn redis_benchmark_runs_to_its_end() {
    let setup = Setup::new();
    let server = setup.start(&[]);
    let cases: [&[&str]; 3] = [
        &["-t", "set,get", "-n", "3000"],
        &["-t", "set,get", "-n", "20000", "-P", "64", "-d", "1000", "-r", "1000"],
        &["-t", "set,get", "-n", "500", "-d", "300000", "-c", "10"],
    ];
    for arguments in cases {
        let Some(command) = secured("redis-benchmark", &setup, &server, &[&["-q"], arguments].concat()) else { return };
        let printed = output("redis-benchmark", command);
        let results = printed.split(['\r', '\n']).filter(|line| line.contains("requests per second")).count();
        assert!(results == 2 && !printed.contains("ERR"), "{arguments:?}\n{printed}");
    }
}

#[test]
fn redis_py_stores_and_reads() {
    let Some(python) = required("redis-py", Some(installed("python/bin/python"))) else { return };
    let setup = Setup::new();
    let server = setup.start(&[]);
    let mut command = Command::new(python);
    command.arg(project().join("tests/clients/redis-py/tls.py"));
    command.args([server.argument("--tls-port"), text(&setup.authority.certificate)]);
    command.args([&setup.client.certificate, &setup.client.key]);
    assert_eq!(output("redis-py", command), "done\n", "{}", server.log());
}
