//! The load: one thread that keeps connections busy with GETs, and checks every reply.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::common::server::Server;

/// Bytes of every value.
pub const VALUE_BYTES: usize = 1024;

/// What comes before a value in a reply.
const HEAD: &[u8] = b"$1024\r\n";

/// Bytes of a reply to a GET.
const REPLY_BYTES: usize = HEAD.len() + VALUE_BYTES + 2;

/// A server that answers nothing for so long has lost a request.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// The key of that number: 16 bytes.
pub fn key(number: usize) -> Vec<u8> {
    format!("key:{number:012}").into_bytes()
}

/// Its value, which no disk can make smaller, and of which the first bytes are the key.
pub fn value(number: usize) -> Vec<u8> {
    let mut value = key(number);
    let mut random = fastrand::Rng::with_seed(number as u64);
    value.resize_with(VALUE_BYTES, || random.u8(..));
    value
}

/// What is asked of a server.
#[derive(Clone)]
pub struct Gets {
    pub connections: usize,
    /// Requests that each connection sends together, and whose replies it awaits before it sends more.
    pub depth: usize,
    /// Numbers of the keys, each as likely as the others.
    pub keys: Range<usize>,
    /// Whether all of a pipeline is one MGET.
    pub together: bool,
    /// Pipelines a second; as many as are answered where none is given.
    pub rate: Option<f64>,
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Keys that were read each second.
    pub rate: f64,
    /// How long a pipeline took from when it was due to its last reply, in microseconds.
    pub p50: f64,
    pub p99: f64,
}

struct Connection {
    stream: TcpStream,
    asked: Vec<usize>,
    reply: Vec<u8>,
    received: usize,
    due: Instant,
}

impl Gets {
    /// Asks for so long, or until told to stop.
    pub fn run(&self, server: &Server, time: Duration, stop: &AtomicBool) -> Measured {
        let mut poll = Poll::new().expect("epoll");
        let mut connections: Vec<Connection> = (0..self.connections)
            .map(|number| {
                let stream = server.connect();
                let mut source = SourceFd(&stream.as_raw_fd());
                poll.registry().register(&mut source, Token(number), Interest::READABLE).expect("to register");
                let reply = vec![0; self.reply_bytes()];
                Connection { stream, asked: Vec::new(), reply, received: 0, due: Instant::now() }
            })
            .collect();
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut free: Vec<usize> = (0..self.connections).collect();
        let (mut waiting, mut sent, mut took) = (VecDeque::new(), 0u64, Vec::new());
        let mut events = Events::with_capacity(self.connections);
        let start = Instant::now();
        let mut heard = start;
        while start.elapsed() < time && !stop.load(SeqCst) {
            let now = start.elapsed().as_secs_f64();
            if let Some(rate) = self.rate {
                while (sent as f64) < now * rate {
                    waiting.push_back(start + Duration::from_secs_f64(sent as f64 / rate));
                    sent += 1;
                }
            }
            while !free.is_empty()
                && let Some(due) = if self.rate.is_some() { waiting.pop_front() } else { Some(Instant::now()) }
                && let Some(number) = free.pop()
            {
                self.send(&mut connections[number], due, &mut random);
            }
            let pause = if self.rate.is_some() { Duration::from_micros(100) } else { Duration::from_millis(100) };
            poll.poll(&mut events, Some(pause)).expect("epoll");
            for event in &events {
                heard = Instant::now();
                let number = event.token().0;
                if self.receive(&mut connections[number]) {
                    took.push(connections[number].due.elapsed());
                    free.push(number);
                }
            }
            assert!(self.rate.is_some() || heard.elapsed() < SILENCE_MAX, "the server has lost a request");
        }
        let rate = (took.len() * self.depth) as f64 / start.elapsed().as_secs_f64();
        took.sort_unstable();
        let at = |share: f64| {
            let index = ((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1));
            took.get(index).map_or(0.0, |time| time.as_nanos() as f64 / 1e3)
        };
        Measured { rate, p50: at(0.5), p99: at(0.99) }
    }

    fn reply_bytes(&self) -> usize {
        let head = if self.together { format!("*{}\r\n", self.depth).len() } else { 0 };
        head + self.depth * REPLY_BYTES
    }

    fn send(&self, connection: &mut Connection, due: Instant, random: &mut fastrand::Rng) {
        connection.due = due;
        connection.asked.clear();
        connection.asked.extend((0..self.depth).map(|_| random.usize(self.keys.clone())));
        let mut request = Vec::with_capacity(self.depth * 40);
        if self.together {
            request.extend_from_slice(format!("*{}\r\n$4\r\nMGET\r\n", self.depth + 1).as_bytes());
        }
        for &number in &connection.asked {
            request.extend_from_slice(if self.together { b"$16\r\n" } else { b"*2\r\n$3\r\nGET\r\n$16\r\n" });
            request.extend_from_slice(&key(number));
            request.extend_from_slice(b"\r\n");
        }
        connection.stream.write_all(&request).expect("to send");
    }

    /// Takes in what is there; true if that is all.
    fn receive(&self, connection: &mut Connection) -> bool {
        let received = connection.stream.read(&mut connection.reply[connection.received..]).expect("to receive");
        assert!(received > 0, "the server closed a connection");
        connection.received += received;
        if connection.received < connection.reply.len() {
            let text = &connection.reply[..connection.received];
            assert!(text[0] != b'-', "{}", String::from_utf8_lossy(text));
            return false;
        }
        connection.received = 0;
        let skip = connection.reply.len() - self.depth * REPLY_BYTES;
        for (&number, reply) in connection.asked.iter().zip(connection.reply[skip..].chunks_exact(REPLY_BYTES)) {
            assert!(reply.starts_with(HEAD) && reply[HEAD.len()..].starts_with(&key(number)), "another value");
        }
        true
    }
}
