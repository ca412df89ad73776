//! A client that asks one thing and takes what comes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// What a server has answered.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// # Panics
    /// When it is none.
    pub fn read(bytes: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        let code = status.strip_prefix("HTTP/1.1 ").or(status.strip_prefix("HTTP/1.0 "));
        let code = code.and_then(|rest| rest.split(' ').next()?.parse().ok());
        let headers = lines.map(|line| line.split_once(": ").unwrap_or_else(|| panic!("no header: {line:?}")));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Answer { code: code.unwrap_or_else(|| panic!("no status: {status:?}")), headers, body: body.to_owned() }
    }
}

pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection to the port for those who watch");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    stream
}

/// Sends these bytes and reads what comes until the server has nothing more to say.
pub fn send(port: u16, bytes: &[u8]) -> Answer {
    let mut stream = connect(port);
    // It may stop reading before the end, and say why.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    // A server that closes with bytes unread resets the connection, after its answer.
    let _ = stream.read_to_end(&mut answer);
    Answer::read(&answer)
}

pub fn ask(port: u16, method: &str, path: &str) -> Answer {
    send(port, format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
}

/// # Panics
/// When the answer is not 200.
pub fn get(port: u16, path: &str) -> String {
    let answer = ask(port, "GET", path);
    assert_eq!(answer.code, 200, "{path}: {answer:?}");
    answer.body
}
