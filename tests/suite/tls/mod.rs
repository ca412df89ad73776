//! TLS, from the client's side.
//!
//! Always true: certificates are made anew for each test, in a directory that goes with it.
//!
//! | file | what |
//! | --- | --- |
//! | `certificates` | authorities, and what they sign |
//! | `speaking` | bytes that go through it |
//! | `trust` | who is let in, and certificates that change |
//! | `starting` | what stops a start, and the server that speaks nothing else |

pub mod certificates;
mod speaking;
mod starting;
mod trust;

use certificates::{Authority, Pair};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tempfile::TempDir;

use crate::connection::Connection;
use crate::reply::Reply;
use crate::server::{FREE_PORT, Program, Server};

pub const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// An authority, with a pair for the server and one for a client.
pub struct Setup {
    pub directory: TempDir,
    pub authority: Authority,
    pub server: Pair,
    pub client: Pair,
}

impl Setup {
    pub fn new() -> Setup {
        let directory = tempfile::Builder::new().prefix("caskade-tls-").tempdir().expect("a temporary directory");
        let authority = Authority::new("authority", directory.path());
        let (server, client) = (authority.sign("server"), authority.sign("client"));
        Setup { directory, authority, server, client }
    }

    /// What a server with TLS is started with.
    pub fn arguments<'s>(&'s self, more: &[&'s str]) -> Vec<&'s str> {
        let files = [
            ("--tls-port", FREE_PORT),
            ("--tls-cert-file", text(&self.server.certificate)),
            ("--tls-key-file", text(&self.server.key)),
            ("--tls-ca-cert-file", text(&self.authority.certificate)),
        ];
        files.iter().flat_map(|(name, value)| [*name, *value]).chain(more.iter().copied()).collect()
    }

    /// A server that listens with TLS beside the port without.
    pub fn start(&self, more: &[&str]) -> Server {
        self.start_program(Program::Caskade, more)
    }

    pub fn start_program(&self, program: Program, more: &[&str]) -> Server {
        Server::start(program, &self.arguments(more))
    }

    /// A client with a certificate, that speaks all versions.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.authority.client(BOTH, Some(&self.client))
    }

    pub fn connect(&self, server: &Server) -> Connection {
        open(server, &self.config()).unwrap_or_else(|error| panic!("no connection: {error}\n{}", server.log()))
    }
}

pub fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("a path of text")
}

pub fn tls_address(server: &Server) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, server.argument("--tls-port").parse().expect("a port")).into()
}

/// Connects, and asks for the first answer: with TLS 1.3 a client learns only then that it was refused.
pub fn open(server: &Server, config: &Arc<ClientConfig>) -> io::Result<Connection> {
    let mut connection = Connection::open_tls(tls_address(server), config.clone())?;
    connection.send(&["PING"])?;
    match connection.receive()? {
        Reply::Status(pong) if pong == b"PONG" => Ok(connection),
        other => Err(io::Error::other(format!("PING answered {other:?}"))),
    }
}
