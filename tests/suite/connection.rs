//! One client connection over TCP, blocking.
//!
//! Always true: a read gives up after `PATIENCE`, so that a server that forgets a reply fails a test instead of
//! hanging it.

use crate::reply::Reply;
use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Connection {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Connection {
    /// Connects and stays on RESP2.
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        let writer = TcpStream::connect(address)?;
        writer.set_nodelay(true)?;
        writer.set_read_timeout(Some(PATIENCE))?;
        writer.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection { reader: BufReader::with_capacity(64 << 10, writer.try_clone()?), writer })
    }

    /// Connects and switches to the given protocol version.
    pub fn open_with(address: SocketAddr, protocol: u8) -> io::Result<Connection> {
        let mut connection = Connection::open(address)?;
        if protocol == 3 {
            match connection.call(&["HELLO", "3"])? {
                Reply::Map(_) => {}
                other => return Err(io::Error::other(format!("HELLO 3 answered {other:?}"))),
            }
        }
        Ok(connection)
    }

    pub fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<()> {
        self.writer.write_all(&encode(words))
    }

    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)
    }

    pub fn receive(&mut self) -> io::Result<Reply> {
        Reply::read(&mut self.reader)
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
        &self.writer
    }
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
