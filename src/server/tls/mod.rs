//! TLS: what is spoken on `tls-port`, and with which certificates.
//!
//! Always true: a handshake uses the settings of one moment, all of them; settings that cannot be used replace nothing.
//!
//! | file | what |
//! | --- | --- |
//! | `files` | certificates and keys, read from PEM |
//! | `ciphers` | versions and ciphers, by the names that OpenSSL gives them |
//! | `sessions` | sessions that clients may resume |
//! | `stream` | a client's socket with TLS on it |
//! | `probe` | the other side: a client that asks its own server |

mod ciphers;
mod files;
mod probe;
mod sessions;
mod stream;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};
use tokio::net::TcpStream;

pub(super) use self::probe::{ask, refuses_only_certificate};
pub(super) use self::stream::TlsStream;
use crate::config::{Settings, TlsAuthClients};
use crate::node::{Client, Node, Told};

/// So long a client may take for its handshake, unless `timeout` is less.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What new connections to the TLS port are met with; nothing where there is no such port.
#[derive(Default)]
pub(super) struct Tls {
    current: ArcSwapOption<ServerConfig>,
}

impl Tls {
    /// Reads all files that the settings name; from now on, handshakes use them. Where that fails, they go on with what
    /// they had, and the error names the parameter and its file.
    pub(super) fn load(&self, settings: &Settings) -> Result<(), String> {
        if settings.tls_port != 0 {
            self.current.store(Some(Arc::new(server_config(settings)?)));
        }
        Ok(())
    }

    /// A connection whose handshake is still to come.
    pub(super) fn begin(&self, socket: TcpStream) -> io::Result<TlsStream> {
        let config = self.current.load_full().ok_or_else(|| io::Error::other("TLS is not set up"))?;
        TlsStream::new(socket, config)
    }
}

/// Waits for the handshake of a client, which may not take for ever, and ends when the client is killed.
pub(super) async fn handshake(stream: &TlsStream, client: &Client, node: &Node) -> io::Result<()> {
    let limit = match node.config.get().timeout {
        0 => HANDSHAKE,
        seconds => HANDSHAKE.min(Duration::from_secs(seconds)),
    };
    let killed = poll_fn(|context| match client.poll_told(context.waker()) {
        Some(Told::Killed) => Poll::Ready(()),
        Some(Told::Messages) | None => Poll::Pending,
    });
    tokio::select! {
        biased;
        () = killed => Err(io::Error::other("killed")),
        done = tokio::time::timeout(limit, stream.handshake()) => match done {
            Ok(done) => done,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client took too long")),
        }
    }
}

fn server_config(settings: &Settings) -> Result<ServerConfig, String> {
    let provider = Arc::new(ciphers::provider(settings)?);
    let versions = ciphers::versions(settings)?;
    let certified = files::certified(&files::SERVER, settings, &provider)?;
    let verifier: Arc<dyn ClientCertVerifier> = match settings.tls_auth_clients {
        TlsAuthClients::No => Arc::new(NoClientAuth),
        asked => {
            let roots = Arc::new(files::authorities(settings)?);
            let builder = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
            let builder = if asked == TlsAuthClients::Optional { builder.allow_unauthenticated() } else { builder };
            builder.build().map_err(|error| format!("tls-ca-cert-file: {error}"))?
        }
    };
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions);
    let config = config.map_err(|error| format!("tls-protocols, tls-ciphers and tls-ciphersuites: {error}"))?;
    let mut config = config.with_client_cert_verifier(verifier).with_cert_resolver(certified);
    config.ignore_client_order = settings.tls_prefer_server_ciphers;
    config.session_storage = match settings.tls_session_caching {
        true => Arc::new(sessions::Sessions::new(settings)),
        false => Arc::new(NoServerSessionStorage {}),
    };
    Ok(config)
}
