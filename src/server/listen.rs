//! Listening sockets.

use std::fs;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::buffers;
use super::tls::{Tls, TlsStream};
use crate::config::{BindAddress, ProtectedMode, Settings};
use crate::node::Peer;

/// A client's socket.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

/// A client's socket on its way to the thread that will serve it.
pub(super) enum Accepted {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
    /// The handshake is still to come.
    Tls(std::net::TcpStream),
}

/// From where a client comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Machine,
    PrivateNetwork,
    Elsewhere,
}

/// What the server listens on.
pub(super) struct Listeners {
    pub(super) tcp: Vec<TcpListener>,
    pub(super) tls: Vec<TcpListener>,
    pub(super) unix: Option<(UnixListener, PathBuf)>,
    /// For those who watch.
    pub(super) metrics: Vec<TcpListener>,
}

impl Listeners {
    /// Opens all sockets that the settings name; the error names the address.
    pub(super) fn open(settings: &Settings) -> Result<Self, String> {
        let tcp = listen_port(settings.port, &settings.bind, settings)?;
        let tls = listen_port(settings.tls_port, &settings.bind, settings)?;
        let unix = match &settings.unixsocket {
            None => None,
            Some(path) => {
                let listener = listen_unix(path, settings.unixsocketperm.0)
                    .map_err(|error| format!("cannot listen on the Unix socket {}: {error}", path.display()))?;
                Some((listener, path.clone()))
            }
        };
        if tcp.is_empty() && tls.is_empty() && unix.is_none() {
            return Err("there is nothing to listen on: set `port` or `tls-port`, and `bind`, or `unixsocket`".into());
        }
        // Asked for last: that others listen there is no reason to say that nobody listens for clients.
        let addresses = if settings.metrics_bind.is_empty() { &settings.bind } else { &settings.metrics_bind };
        let metrics = listen_port(settings.metrics_port, addresses, settings)?;
        Ok(Self { tcp, tls, unix, metrics })
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported | io::ErrorKind::NotFound)
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// All of these addresses, with this port; none for port 0.
fn listen_port(port: u16, addresses: &[BindAddress], settings: &Settings) -> Result<Vec<TcpListener>, String> {
    let mut listeners = Vec::new();
    for address in addresses.iter().filter(|_| port != 0) {
        match listen_tcp(&address.host, port, settings) {
            Ok(found) => listeners.extend(found),
            Err(error) if address.optional && is_absent(&error) => {
                tracing::debug!("not listening on {}, which this machine does not have: {error}", address.host);
            }
            Err(error) => return Err(format!("cannot listen on {} port {port}: {error}", address.host)),
        }
    }
    Ok(listeners)
}

fn listen_tcp(host: &str, port: u16, settings: &Settings) -> io::Result<Vec<TcpListener>> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    addresses.into_iter().map(|address| listen_address(address, settings.tcp_backlog)).collect()
}

fn listen_address(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// The socket has its permissions before anybody can connect to it.
fn listen_unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::Error::other("there is a file of that name which is no socket"));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::other("another server listens on it"));
        }
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    // Nobody can connect before `listen`.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.listen(511)?;
    UnixListener::from_std(socket.into())
}

impl Origin {
    fn of(address: IpAddr) -> Self {
        let private = match address.to_canonical() {
            address if address.is_loopback() => return Self::Machine,
            IpAddr::V4(address) => {
                // 100.64.0.0/10 is shared address space, which clusters and overlay networks number their machines from.
                let [first, second, ..] = address.octets();
                address.is_private() || address.is_link_local() || (first == 100 && second & 0xc0 == 0x40)
            }
            IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
        };
        if private { Self::PrivateNetwork } else { Self::Elsewhere }
    }

    /// Whether a client from here may come in without a password.
    pub(super) fn is_admitted(self, mode: ProtectedMode) -> bool {
        match mode {
            ProtectedMode::Yes => self == Self::Machine,
            ProtectedMode::Auto => self != Self::Elsewhere,
            ProtectedMode::No => true,
        }
    }
}

impl Accepted {
    /// Sets the options of the socket.
    pub(super) fn configure(&self, keepalive: u32) -> io::Result<()> {
        if let Self::Tcp(stream) | Self::Tls(stream) = self {
            stream.set_nodelay(true)?;
            if keepalive > 0 {
                let every = Duration::from_secs(u64::from(keepalive));
                let probes =
                    TcpKeepalive::new().with_time(every).with_interval((every / 3).max(Duration::from_secs(1)));
                SockRef::from(stream).set_tcp_keepalive(&probes)?;
            }
        }
        Ok(())
    }

    /// Where it comes from, and the descriptor.
    pub(super) fn peer(&self, unix_path: Option<&Path>) -> (Peer, i32) {
        match self {
            Self::Tcp(stream) | Self::Tls(stream) => {
                let text =
                    |address: io::Result<SocketAddr>| address.map_or("?:0".into(), |address| address.to_string());
                let peer = Peer::Tcp { peer: text(stream.peer_addr()), local: text(stream.local_addr()) };
                (peer, stream.as_raw_fd())
            }
            Self::Unix(stream) => {
                let path = unix_path.map(|path| path.display().to_string()).unwrap_or_default();
                (Peer::Unix { path }, stream.as_raw_fd())
            }
        }
    }

    /// How far away it comes from; who has no address any more counts as far.
    pub(super) fn origin(&self) -> Origin {
        match self {
            Self::Tcp(stream) | Self::Tls(stream) => {
                stream.peer_addr().map_or(Origin::Elsewhere, |address| Origin::of(address.ip()))
            }
            Self::Unix(_) => Origin::Machine,
        }
    }

    /// Hands the socket to this thread's runtime.
    pub(super) fn into_stream(self, tls: &Tls) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream)?),
            Self::Unix(stream) => Stream::Unix(UnixStream::from_std(stream)?),
            Self::Tls(stream) => Stream::Tls(Box::new(tls.begin(TcpStream::from_std(stream)?)?)),
        })
    }

    /// Sends a last line and closes. Before a handshake there is no way to send it.
    pub(super) fn refuse(self, line: &str) {
        use std::io::Write;
        // The client may be gone already, and that is all the same.
        let _ = match self {
            Self::Tcp(mut stream) => stream.write(line.as_bytes()),
            Self::Unix(mut stream) => stream.write(line.as_bytes()),
            Self::Tls(_) => Ok(0),
        };
    }
}

impl Stream {
    /// Sends what the socket takes at once. One piece goes by the cheaper call.
    pub(super) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, slices) {
            (Self::Tcp(stream), [only]) => stream.try_write(only),
            (Self::Unix(stream), [only]) => stream.try_write(only),
            (Self::Tcp(stream), slices) => stream.try_write_vectored(slices),
            (Self::Unix(stream), slices) => stream.try_write_vectored(slices),
            (Self::Tls(stream), slices) => stream.try_write(slices),
        }
    }

    /// Reads what has arrived; 0 at the end. Room for it is made once it is there.
    pub(super) fn poll_receive(&mut self, context: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => {
                ready!(stream.poll_read_ready(context))?;
                buffers::make_room(input);
                // Unlike `try_read`, this notes that a read that did not fill the buffer has emptied the socket.
                pin!(stream.read_buf(input)).poll(context)
            }
            Self::Unix(stream) => {
                ready!(stream.poll_read_ready(context))?;
                buffers::make_room(input);
                pin!(stream.read_buf(input)).poll(context)
            }
            Self::Tls(stream) => stream.poll_receive(context, input),
        }
    }

    /// The same for one who waits to send, too.
    pub(super) async fn read_ready(&self, input: &mut BytesMut) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Tcp(stream) => {
                    stream.readable().await?;
                    buffers::make_room(input);
                    stream.try_read_buf(input)
                }
                Self::Unix(stream) => {
                    stream.readable().await?;
                    buffers::make_room(input);
                    stream.try_read_buf(input)
                }
                Self::Tls(stream) => return poll_fn(|context| stream.poll_receive(context, input)).await,
            };
            match read {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                read => return read,
            }
        }
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.writable().await,
            Self::Unix(stream) => stream.writable().await,
            Self::Tls(stream) => stream.writable().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProtectedMode::{Auto, No, Yes};

    #[test]
    fn who_may_come_in_without_a_password() {
        let everywhere = ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"];
        let private = [
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.254",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.0.1",
            "169.254.1.1",
            "fd00::1",
            "fe80::1",
            "::ffff:172.17.0.1",
        ];
        let public = ["8.8.8.8", "172.32.0.1", "192.169.0.1", "100.128.0.1", "2001:4860:4860::8888", "::ffff:8.8.8.8"];
        for (addresses, modes) in [(&everywhere[..], &[Yes, Auto, No][..]), (&private, &[Auto, No]), (&public, &[No])] {
            for address in addresses {
                let origin = Origin::of(address.parse().unwrap());
                for mode in [Yes, Auto, No] {
                    assert_eq!(origin.is_admitted(mode), modes.contains(&mode), "{address} {mode:?}");
                }
            }
        }
    }
}
