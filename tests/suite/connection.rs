//! One client connection over TCP, with TLS or without, blocking.
//!
//! Always true: a read gives up after `PATIENCE`, so that a server that forgets a reply fails a test instead of
//! hanging it.

use crate::reply::Reply;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Connection {
    transport: BufReader<Transport>,
}

/// What the bytes go through.
enum Transport {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Transport {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(stream) => stream.read(bytes),
            Transport::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Connection {
    /// Connects and stays on RESP2.
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        Ok(Connection::over(Transport::Plain(connect(address)?)))
    }

    /// The same with TLS, to a server that calls itself `localhost`.
    pub fn open_tls(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Connection> {
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, connect(address)?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Connection::over(Transport::Tls(Box::new(stream))))
    }

    fn over(transport: Transport) -> Connection {
        Connection { transport: BufReader::with_capacity(64 << 10, transport) }
    }

    /// Connects and switches to the given protocol version.
    pub fn open_with(address: SocketAddr, protocol: u8) -> io::Result<Connection> {
        Connection::open(address)?.switched_to(protocol)
    }

    /// The same connection, speaking this version.
    pub fn switched_to(mut self, protocol: u8) -> io::Result<Connection> {
        if protocol == 3 {
            match self.call(&["HELLO", "3"])? {
                Reply::Map(_) => {}
                other => return Err(io::Error::other(format!("HELLO 3 answered {other:?}"))),
            }
        }
        Ok(self)
    }

    pub fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<()> {
        self.send_raw(&encode(words))
    }

    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.transport.get_mut() {
            Transport::Plain(stream) => stream.write_all(bytes),
            Transport::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    pub fn receive(&mut self) -> io::Result<Reply> {
        Reply::read(&mut self.transport)
    }

    /// Sends one command and reads one reply; a connection closed while sending still yields what was answered.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<Reply> {
        match self.send(words) {
            Ok(()) => self.receive(),
            Err(error) => self.receive().map_err(|_| error),
        }
    }

    /// `call` for a test that expects no error of any kind.
    pub fn ask<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Reply {
        let reply = self.call(words);
        match reply {
            Ok(reply @ (Reply::Error(_) | Reply::Closed | Reply::Silent)) => {
                panic!("{} answered {reply:?}", shown(words))
            }
            Ok(reply) => reply,
            Err(error) => panic!("{} failed: {error}", shown(words)),
        }
    }

    pub fn stream(&self) -> &TcpStream {
        match self.transport.get_ref() {
            Transport::Plain(stream) => stream,
            Transport::Tls(stream) => &stream.sock,
        }
    }

    /// The session, where there is TLS.
    pub fn session(&mut self) -> &mut ClientConnection {
        match self.transport.get_mut() {
            Transport::Plain(_) => panic!("this connection has no TLS"),
            Transport::Tls(stream) => &mut stream.conn,
        }
    }

    /// Tells the server that nothing more comes.
    pub fn end_sending(&mut self) -> io::Result<()> {
        match self.transport.get_mut() {
            Transport::Plain(stream) => stream.shutdown(Shutdown::Write),
            Transport::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush()
            }
        }
    }

    /// Reads everything up to the end that the server makes.
    pub fn read_rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.transport.read_to_end(&mut bytes).map(|_| bytes)
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A request as every client sends it: an array of bulk strings.
pub fn encode<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// A command for a message: quoted where needed, long words cut.
pub fn shown<W: AsRef<[u8]>>(words: &[W]) -> String {
    let one = |word: &W| {
        let word = word.as_ref();
        match word.iter().all(u8::is_ascii_graphic) && !word.is_empty() {
            true if word.len() <= 100 => String::from_utf8_lossy(word).into_owned(),
            _ if word.len() > 100 => format!("{}... ({} bytes)", crate::reply::quoted(&word[..40]), word.len()),
            _ => crate::reply::quoted(word),
        }
    };
    words.iter().map(one).collect::<Vec<_>>().join(" ")
}
