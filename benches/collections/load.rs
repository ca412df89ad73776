//! The load: one thread that keeps all connections busy, each with one pipeline in flight, for a number of requests.
//!
//! Always true: every reply begins as it must, or the bench fails; every request that was sent is counted.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::client::{end_of_reply, integer};
use crate::common::cpu;
use crate::common::request::encode;
use crate::common::server::Server;

/// A server that answers nothing for so long has lost a request.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Of the requests, this part warms up and does not count.
const WARM_UP_PART: usize = 10;

const DIGITS: usize = 8;

/// A word of a request.
#[derive(Clone, Debug)]
pub enum Word {
    Text(Vec<u8>),
    /// Some text, and eight digits of a random number below this.
    Random(&'static str, usize),
}

/// A name: some text, and a number in eight digits.
pub fn name(text: &str, number: usize) -> Vec<u8> {
    format!("{text}{number:0DIGITS$}").into_bytes()
}

/// What is asked of a server.
pub struct Load<'a> {
    pub words: &'a [Word],
    /// What every reply begins with.
    pub head: &'static str,
    pub depth: usize,
    pub connections: usize,
    pub requests: usize,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Requests in all.
    pub requests: usize,
    /// The sum of all replies that are numbers.
    pub sum: i64,
    /// Requests each second.
    pub rate: f64,
    /// CPU time of the server for each request, in nanoseconds.
    pub cpu: f64,
}

struct Connection {
    stream: TcpStream,
    pipeline: Vec<u8>,
    replies: Vec<u8>,
    /// Requests without a reply yet.
    open: usize,
}

impl Load<'_> {
    pub fn run(&self, server: &Server) -> Measured {
        let mut poll = Poll::new().expect("epoll");
        let words: Vec<Vec<u8>> = self.words.iter().map(Word::first).collect();
        let request = encode(&words);
        let mut connections: Vec<Connection> = (0..self.connections)
            .map(|number| {
                let stream = server.connect();
                let mut source = SourceFd(&stream.as_raw_fd());
                poll.registry().register(&mut source, Token(number), Interest::READABLE).expect("to register");
                Connection { stream, pipeline: request.repeat(self.depth), replies: Vec::new(), open: 0 }
            })
            .collect();
        let slots = self.slots(&words, request.len());
        let mut random = fastrand::Rng::new();
        let (mut sent, mut answered, mut sum) = (0, 0, 0);
        let mut events = Events::with_capacity(self.connections);
        let mut buffer = vec![0; 1 << 18];
        let process = server.child.id();
        let mut begin = None;
        for connection in &mut connections {
            sent += connection.send(&slots, &mut random, self.depth);
        }
        while answered < sent {
            poll.poll(&mut events, Some(SILENCE_MAX)).expect("epoll");
            assert!(!events.is_empty(), "no reply for {SILENCE_MAX:?}");
            for event in &events {
                let connection = &mut connections[event.token().0];
                let (replies, numbers) = connection.receive(&mut buffer, self.head.as_bytes());
                (answered, sum) = (answered + replies, sum + numbers);
                if connection.open == 0 && sent < self.requests {
                    sent += connection.send(&slots, &mut random, self.depth);
                }
            }
            if begin.is_none() && answered >= self.requests / WARM_UP_PART {
                begin = Some((Instant::now(), answered, cpu::time(process)));
            }
        }
        let (start, before, time) = begin.expect("requests enough to warm up");
        let (elapsed, count) = (start.elapsed().as_secs_f64(), (answered - before) as f64);
        let cpu = (cpu::time(process) - time) as f64 / count;
        Measured { requests: answered, sum, rate: count / elapsed, cpu }
    }

    /// Where in a pipeline random digits stand, and what they are below.
    fn slots(&self, words: &[Vec<u8>], request_bytes: usize) -> Vec<(usize, usize)> {
        let mut slots = Vec::new();
        for (index, word) in self.words.iter().enumerate() {
            if let Word::Random(_, below) = word {
                // The request up to this word is longer by its own line ends only.
                let head = encode(&words[..=index]).len();
                let first_line = |count: usize| format!("*{count}\r\n").len();
                let end = head - first_line(index + 1) + first_line(words.len()) - b"\r\n".len();
                slots.push((end - DIGITS, *below));
            }
        }
        (0..self.depth).flat_map(|n| slots.iter().map(move |slot| (slot.0 + n * request_bytes, slot.1))).collect()
    }
}

impl Word {
    pub fn text(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }

    fn first(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone(),
            Self::Random(text, _) => name(text, 0),
        }
    }
}

impl Connection {
    fn send(&mut self, slots: &[(usize, usize)], random: &mut fastrand::Rng, depth: usize) -> usize {
        for &(at, below) in slots {
            let mut number = random.usize(..below);
            for digit in self.pipeline[at..at + DIGITS].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        self.stream.write_all(&self.pipeline).expect("to send");
        self.open = depth;
        depth
    }

    /// Reads what has arrived: how many replies, and the sum of the numbers among them.
    fn receive(&mut self, buffer: &mut [u8], head: &[u8]) -> (usize, i64) {
        let (mut count, mut sum) = (0, 0);
        loop {
            let received = self.stream.read(buffer).expect("to receive");
            assert!(received > 0, "the server closed a connection");
            let (replies, numbers) = self.take_in(&buffer[..received], head);
            (count, sum) = (count + replies, sum + numbers);
            // What did not fit is no news to the poll, and more is to come.
            if received < buffer.len() || self.open == 0 {
                return (count, sum);
            }
        }
    }

    fn take_in(&mut self, received: &[u8], head: &[u8]) -> (usize, i64) {
        // Mostly all has come at once, and needs no copy.
        let mut kept = std::mem::take(&mut self.replies);
        let bytes = if kept.is_empty() {
            received
        } else {
            kept.extend_from_slice(received);
            &kept[..]
        };
        let (mut at, mut count, mut sum) = (0, 0, 0);
        while let Some(length) = bytes.get(at..).filter(|rest| !rest.is_empty()).and_then(end_of_reply) {
            let reply = &bytes[at..at + length];
            assert!(reply.starts_with(head), "answered with {}", String::from_utf8_lossy(reply));
            if reply[0] == b':' {
                sum += integer(reply).expect("a number");
            }
            (at, count) = (at + length, count + 1);
        }
        self.replies = bytes[at..].to_vec();
        self.open -= count;
        (count, sum)
    }
}
