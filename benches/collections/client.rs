//! A client that waits for each answer, and what replies look like.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::common::request::encode;
use crate::common::server::Server;

/// How many elements one request adds.
pub const ELEMENTS_AT_ONCE: usize = 1000;

/// How many requests are under way at most while a collection is filled.
const REQUESTS_AT_ONCE: usize = 16;

pub struct Client {
    stream: TcpStream,
    replies: Vec<u8>,
}

impl Client {
    pub fn new(server: &Server) -> Self {
        Self { stream: server.connect(), replies: Vec::new() }
    }

    /// Sends one command of words without spaces, and returns its reply as bytes.
    pub fn call(&mut self, command: &str) -> Vec<u8> {
        self.send(&encode(&command.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>()));
        self.receive()
    }

    /// The same for a command that answers with a number.
    pub fn number(&mut self, command: &str) -> i64 {
        let reply = self.call(command);
        integer(&reply).unwrap_or_else(|| panic!("{command}: {}", String::from_utf8_lossy(&reply)))
    }

    /// Sends many commands, some ahead of their replies, which must not be errors.
    pub fn send_all(&mut self, commands: impl Iterator<Item = Vec<Vec<u8>>>) {
        let mut under_way = 0;
        for words in commands {
            self.send(&encode(&words));
            under_way += 1;
            if under_way == REQUESTS_AT_ONCE {
                self.receive_good();
                under_way -= 1;
            }
        }
        (0..under_way).for_each(|_| self.receive_good());
    }

    /// A number of `INFO`.
    pub fn info(&mut self, field: &str) -> i64 {
        let text = String::from_utf8_lossy(&self.call("INFO memory")).into_owned();
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {field} in {text}"))
    }

    fn send(&mut self, request: &[u8]) {
        self.stream.write_all(request).expect("to send");
    }

    fn receive_good(&mut self) {
        let reply = self.receive();
        assert!(reply[0] != b'-', "{}", String::from_utf8_lossy(&reply));
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut some = [0; 1 << 16];
        loop {
            if let Some(end) = end_of_reply(&self.replies) {
                let rest = self.replies.split_off(end);
                return std::mem::replace(&mut self.replies, rest);
            }
            let received = self.stream.read(&mut some).expect("to receive");
            assert!(received > 0, "the server closed a connection");
            self.replies.extend_from_slice(&some[..received]);
        }
    }
}

/// Where the reply ends that `bytes` begin with, if it is there as a whole.
pub fn end_of_reply(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut left) = (0, 1_i64);
    while left > 0 {
        let line = at + memchr::memchr(b'\n', &bytes[at..])? + 1;
        left -= 1;
        match bytes[at] {
            b'$' => at = line + integer(&bytes[at..line]).filter(|length| *length >= 0).map_or(0, |n| n as usize + 2),
            b'*' => (at, left) = (line, left + integer(&bytes[at..line])?.max(0)),
            _ => at = line,
        }
        if at > bytes.len() {
            return None;
        }
    }
    Some(at)
}

/// The number in a reply's first line.
pub fn integer(reply: &[u8]) -> Option<i64> {
    let line = &reply[1..memchr::memchr(b'\r', reply)?];
    let (digits, sign) = line.strip_prefix(b"-").map_or((line, 1), |digits| (digits, -1));
    let number =
        digits.iter().try_fold(0_i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')));
    number.filter(|_| !digits.is_empty()).map(|number| sign * number)
}
