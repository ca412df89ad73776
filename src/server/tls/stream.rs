//! A client's socket with TLS on it.
//!
//! Always true: bytes count as sent once the socket has taken all that they were encrypted to. So the caller keeps them,
//! and counts them as waiting, for as long as any of it waits here; and no more than [`PIECE_BYTES`] do at any time.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use parking_lot::Mutex;
use rustls::{ServerConfig, ServerConnection};
use tokio::net::TcpStream;

use crate::server::buffers;

/// As many bytes are encrypted at a time: four of TLS's records.
const PIECE_BYTES: usize = 64 * 1024;

/// As many are read from a socket at a time.
const READ_BYTES: usize = 16 * 1024;

thread_local! {
    /// What was read and not yet decrypted, which no connection holds on to.
    static ENCRYPTED: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

pub(in crate::server) struct TlsStream {
    socket: TcpStream,
    /// One task uses it, of which one part may wait to read while another waits to write.
    session: Mutex<Session>,
}

struct Session {
    tls: ServerConnection,
    /// Received and decrypted.
    received: BytesMut,
    /// The client sends no more.
    ended: bool,
    /// What it sent last was not TLS, or not allowed.
    failed: Option<rustls::Error>,
    /// So many of the bytes that were to be sent are encrypted already, and not wholly with the socket.
    unacknowledged: usize,
}

/// What a handshake waits for.
enum Step {
    Readable,
    Writable,
    Done,
}

impl TlsStream {
    pub(super) fn new(socket: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
        tls.set_buffer_limit(Some(PIECE_BYTES));
        let session = Session { tls, received: BytesMut::new(), ended: false, failed: None, unacknowledged: 0 };
        Ok(Self { socket, session: Mutex::new(session) })
    }

    /// Waits until both sides agree, and the socket has taken what the client needs for that.
    pub(super) async fn handshake(&self) -> io::Result<()> {
        loop {
            let step = self.session.lock().step(&self.socket)?;
            match step {
                Step::Readable => poll_fn(|context| self.socket.poll_read_ready(context)).await?,
                Step::Writable => self.socket.writable().await?,
                Step::Done => return Ok(()),
            }
        }
    }

    /// Sends what the socket takes at once. When that is not all of a piece, the answer is [`io::ErrorKind::WouldBlock`], and the
    /// next call has to begin with the same bytes.
    pub(in crate::server) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = self.session.lock();
        let session = &mut *session;
        if session.unacknowledged == 0 {
            session.flush(&self.socket)?;
            session.unacknowledged = session.tls.writer().write_vectored(slices)?;
        }
        session.flush(&self.socket)?;
        Ok(std::mem::take(&mut session.unacknowledged))
    }

    pub(in crate::server) async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// Reads what has arrived; 0 at the end. Room for it is made once it is there.
    pub(in crate::server) fn poll_receive(
        &self,
        context: &mut Context<'_>,
        input: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some(taken) = self.session.lock().take(input) {
                return Poll::Ready(taken);
            }
            // Others of this thread get their turn even if a client sends more and more records with nothing in them.
            ready!(self.socket.poll_read_ready(context))?;
            match self.session.lock().receive(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => received?,
            }
        }
    }
}

/// Says goodbye, so that the client knows that nothing was cut off; whether it hears it is all the same.
impl Drop for TlsStream {
    fn drop(&mut self) {
        let session = self.session.get_mut();
        if !session.tls.is_handshaking() {
            session.tls.send_close_notify();
            let _ = session.flush(&self.socket);
        }
    }
}

impl Session {
    /// Passes on what was received before, or the end; none if there has to be more first.
    fn take(&mut self, input: &mut BytesMut) -> Option<io::Result<usize>> {
        if self.received.is_empty() {
            if let Some(failed) = &self.failed {
                return Some(Err(io::Error::new(io::ErrorKind::InvalidData, failed.clone())));
            }
            return self.ended.then_some(Ok(0));
        }
        let received = std::mem::take(&mut self.received);
        buffers::make_room(input);
        input.extend_from_slice(&received);
        Some(Ok(received.len()))
    }

    /// One step of the handshake: no more than one read from the socket.
    fn step(&mut self, socket: &TcpStream) -> io::Result<Step> {
        let blocked = |error: io::Error, step| match error.kind() {
            io::ErrorKind::WouldBlock => Ok(step),
            _ => Err(error),
        };
        if !self.tls.wants_write()
            && let Err(error) = self.receive(socket)
        {
            return blocked(error, Step::Readable);
        }
        if let Some(failed) = &self.failed {
            let failed = failed.clone();
            // Who does not speak TLS would take a reply in TLS for garbage.
            if !matches!(failed, rustls::Error::InvalidMessage(_)) {
                let _ = self.flush(socket);
            }
            return Err(io::Error::new(io::ErrorKind::InvalidData, failed));
        }
        if let Err(error) = self.flush(socket) {
            return blocked(error, Step::Writable);
        }
        match (self.tls.is_handshaking(), self.ended) {
            (false, _) => Ok(Step::Done),
            (true, true) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the client went away")),
            (true, false) => Ok(Step::Readable),
        }
    }

    /// Hands everything to the socket that is encrypted.
    fn flush(&mut self, socket: &TcpStream) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Unblocking(socket)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads from the socket once, and decrypts what there is.
    fn receive(&mut self, socket: &TcpStream) -> io::Result<()> {
        ENCRYPTED.with_borrow_mut(|encrypted| {
            let count = match socket.try_read(encrypted) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
                count => count?,
            };
            self.ended |= count == 0;
            let mut left = &encrypted[..count];
            while !left.is_empty() && !self.ended && self.failed.is_none() {
                self.tls.read_tls(&mut left)?;
                match self.tls.process_new_packets() {
                    Ok(state) => {
                        self.ended = state.peer_has_closed();
                        self.take_decrypted(state.plaintext_bytes_to_read())?;
                    }
                    Err(error) => self.failed = Some(error),
                }
            }
            Ok(())
        })
    }

    fn take_decrypted(&mut self, count: usize) -> io::Result<()> {
        let begin = self.received.len();
        self.received.resize(begin + count, 0);
        self.tls.reader().read_exact(&mut self.received[begin..])
    }
}

/// A socket as the library wants it.
struct Unblocking<'s>(&'s TcpStream);

impl Write for Unblocking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
