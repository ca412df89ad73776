//! The load: one thread that sends single requests when they are due, each on whatever connection is free.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::request::encode;
use super::server::Server;

const CONNECTIONS: usize = 50;

/// How long some requests took, in microseconds.
pub struct Latencies {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// What came of it.
pub struct Measured {
    /// Requests each second.
    pub rate: f64,
    pub set: Latencies,
    pub get: Latencies,
}

pub struct Load {
    poll: Poll,
    connections: Vec<Connection>,
    free: Vec<usize>,
    keys: usize,
    value: Vec<u8>,
    random: fastrand::Rng,
    set: Vec<u32>,
    get: Vec<u32>,
}

struct Connection {
    stream: std::net::TcpStream,
    reply: Vec<u8>,
    received: usize,
    due: Instant,
    is_set: bool,
}

/// The key of that number: 16 bytes.
pub fn key(number: usize) -> [u8; 16] {
    format!("key:{number:012}").as_bytes().try_into().expect("12 digits")
}

impl Load {
    pub fn new(server: &Server, keys: usize, value_bytes: usize) -> Self {
        let poll = Poll::new().expect("epoll");
        let connections = (0..CONNECTIONS).map(|number| {
            let stream = server.connect();
            let mut source = SourceFd(&stream.as_raw_fd());
            poll.registry().register(&mut source, Token(number), Interest::READABLE).expect("to register");
            Connection { stream, reply: vec![0; value_bytes + 64], received: 0, due: Instant::now(), is_set: false }
        });
        Self {
            connections: connections.collect(),
            poll,
            free: (0..CONNECTIONS).collect(),
            keys,
            value: vec![b'w'; value_bytes],
            random: fastrand::Rng::with_seed(7),
            set: Vec::new(),
            get: Vec::new(),
        }
    }

    /// The most requests a second that the server keeps up with, when they come one by one: 99 of 100 are answered within so
    /// many microseconds. What a closed loop reaches is more, as it sends the next only when it has an answer, and so makes the
    /// server's batches.
    pub fn sustainable(server: &Server, keys: usize, value_bytes: usize, latency_max: f64, time: Duration) -> f64 {
        let mut rate = Self::new(server, keys, value_bytes).run(None, time).rate;
        loop {
            let tried = Self::new(server, keys, value_bytes).run(Some(rate), time);
            if tried.set.p99.max(tried.get.p99) <= latency_max {
                return rate;
            }
            rate *= 0.95;
        }
    }

    /// Sends `rate` requests a second, or as many as are answered.
    pub fn run(mut self, rate: Option<f64>, time: Duration) -> Measured {
        let start = Instant::now();
        let mut sent = 0u64;
        let mut waiting: VecDeque<Instant> = VecDeque::new();
        let mut events = Events::with_capacity(CONNECTIONS);
        while start.elapsed() < time {
            let elapsed = start.elapsed();
            match rate {
                Some(rate) => {
                    while (sent as f64) < elapsed.as_secs_f64() * rate {
                        waiting.push_back(start + Duration::from_secs_f64(sent as f64 / rate));
                        sent += 1;
                    }
                    while let Some(&due) = waiting.front()
                        && let Some(number) = self.free.pop()
                    {
                        waiting.pop_front();
                        self.send(number, due);
                    }
                }
                None => {
                    while let Some(number) = self.free.pop() {
                        self.send(number, Instant::now());
                    }
                }
            }
            self.poll.poll(&mut events, Some(Duration::from_micros(200))).expect("epoll");
            events.iter().for_each(|event| self.receive(event.token().0));
        }
        let rate = (self.set.len() + self.get.len()) as f64 / start.elapsed().as_secs_f64();
        Measured { rate, set: Latencies::of(&mut self.set), get: Latencies::of(&mut self.get) }
    }

    fn send(&mut self, number: usize, due: Instant) {
        let connection = &mut self.connections[number];
        let key = key(self.random.usize(..self.keys)).to_vec();
        connection.is_set = self.random.bool();
        connection.due = due;
        let request = if connection.is_set {
            encode(&[b"SET".to_vec(), key, self.value.clone()])
        } else {
            encode(&[b"GET".to_vec(), key])
        };
        connection.stream.write_all(&request).expect("to send");
    }

    fn receive(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        let received = connection.stream.read(&mut connection.reply[connection.received..]).expect("to receive");
        assert!(received > 0, "the server closed a connection");
        connection.received += received;
        let reply = &connection.reply[..connection.received];
        let whole =
            if connection.is_set { 5 } else { format!("${}\r\n", self.value.len()).len() + self.value.len() + 2 };
        if reply.len() < whole {
            assert!(reply[0] != b'-', "{}", String::from_utf8_lossy(reply));
            return;
        }
        assert!(reply[0] == if connection.is_set { b'+' } else { b'$' }, "{}", String::from_utf8_lossy(reply));
        let took = u32::try_from(connection.due.elapsed().as_nanos()).unwrap_or(u32::MAX);
        connection.received = 0;
        if connection.is_set {
            self.set.push(took)
        } else {
            self.get.push(took)
        }
        self.free.push(number);
    }
}

impl Latencies {
    fn of(nanoseconds: &mut [u32]) -> Self {
        nanoseconds.sort_unstable();
        let at = |share: f64| {
            let index = ((nanoseconds.len() as f64 * share) as usize).min(nanoseconds.len().saturating_sub(1));
            nanoseconds.get(index).map_or(0.0, |&time| f64::from(time) / 1000.0)
        };
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }
}
