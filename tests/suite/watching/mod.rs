//! The port for those who watch: metrics, health, the page, and what lies beside them for Prometheus and Grafana.
//!
//! | file | what |
//! | --- | --- |
//! | `http` | a client that asks one thing and takes what comes |
//! | `format` | Prometheus's text format, read strictly |
//! | `metrics` | what /metrics tells, and that INFO tells the same |
//! | `health` | /healthz and /readyz |
//! | `limits` | what the port refuses, and that nobody who misuses it hurts anybody |
//! | `page` | the page in a browser |
//! | `files` | the dashboard and the alerts name what there is |

mod files;
pub mod format;
mod health;
pub mod http;
mod limits;
mod metrics;
mod page;

use crate::server::{FREE_PORT, Program, Server};

/// A server that is watched, and the port for that.
pub fn watched(arguments: &[&str]) -> (Server, u16) {
    let server = Server::start(Program::Caskade, &[&["--metrics-port", FREE_PORT], arguments].concat());
    let port = server.argument("--metrics-port").parse().expect("a port");
    (server, port)
}
