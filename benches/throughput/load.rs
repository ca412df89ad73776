//! The load: one thread that keeps all connections busy, each with one pipeline in flight, and checks every reply.
//!
//! It runs as a process of its own, so that it can be pinned and its CPU time told from the server's.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Stdio;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::workload::{Pipeline, Workload};
use crate::common::cpu;
use crate::common::server::{Server, pinned};

/// The first argument of a process that is to make load.
pub const COMMAND: &str = "make-load";

/// A server that answers nothing for so long has lost a request.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// What is asked of a server, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub workload: Workload,
    pub depth: usize,
    pub connections: usize,
    pub keys: usize,
    pub warm_up: Duration,
    pub duration: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Requests in all, those before and after the measured time included.
    pub requests: u64,
    /// Requests each second.
    pub rate: f64,
    /// CPU time of the server for each request, in nanoseconds.
    pub server_cpu: f64,
    /// CPU time of the load for each request, in nanoseconds.
    pub load_cpu: f64,
    /// How long a pipeline took from its sending to its last reply, in microseconds: half of them, 99 of 100.
    pub latency_p50: f64,
    pub latency_p99: f64,
}

impl Load {
    /// Runs it in a process of its own, on `cpus` only where they are given.
    pub fn run(&self, server: &Server, cpus: Option<&str>) -> Measured {
        let program = std::env::current_exe().expect("this program");
        let output = pinned(&program, cpus)
            .arg(COMMAND)
            .arg(self.workload.name())
            .args([self.depth, self.connections, self.keys].map(|number| number.to_string()))
            .args([self.warm_up, self.duration].map(|time| time.as_millis().to_string()))
            .args([u32::from(server.address.port()), server.child.id()].map(|number| number.to_string()))
            .stderr(Stdio::inherit())
            .output()
            .expect("to start the load");
        assert!(output.status.success(), "{} failed under {self:?}", server.name());
        let text = String::from_utf8(output.stdout).expect("numbers");
        let numbers: Vec<f64> = text.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        let [requests, rate, server_cpu, load_cpu, latency_p50, latency_p99] = numbers[..] else {
            panic!("not a result: {text}");
        };
        Measured { requests: requests as u64, rate, server_cpu, load_cpu, latency_p50, latency_p99 }
    }
}

/// The other side of [`Load::run`].
pub fn make(arguments: &[String]) {
    let number = |at: usize| arguments[at].parse::<usize>().expect("a number");
    let load = Load {
        workload: Workload::find(&arguments[0]).expect("a workload"),
        depth: number(1),
        connections: number(2),
        keys: number(3),
        warm_up: Duration::from_millis(number(4) as u64),
        duration: Duration::from_millis(number(5) as u64),
    };
    let measured = Generator::connect(load, number(6) as u16).run(number(7) as u32);
    let Measured { requests, rate, server_cpu, load_cpu, latency_p50, latency_p99 } = measured;
    println!("{requests} {rate} {server_cpu} {load_cpu} {latency_p50} {latency_p99}");
}

struct Connection {
    stream: TcpStream,
    pipeline: Pipeline,
    replies: Vec<u8>,
    received: usize,
    sent: Instant,
}

struct Generator {
    load: Load,
    poll: Poll,
    connections: Vec<Connection>,
    random: fastrand::Rng,
    latencies: Vec<u32>,
    requests: u64,
}

/// What the counters showed at one moment.
struct Reading {
    at: Instant,
    requests: u64,
    server: u64,
    load: u64,
}

impl Generator {
    fn connect(load: Load, port: u16) -> Self {
        let poll = Poll::new().expect("epoll");
        let pipeline = || Pipeline::new(load.workload, load.depth);
        let connections = (0..load.connections).map(|number| {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
            stream.set_nodelay(true).expect("no delay");
            let mut source = SourceFd(&stream.as_raw_fd());
            poll.registry().register(&mut source, Token(number), Interest::READABLE).expect("to register");
            let replies = vec![0; load.depth * 128 + 1024];
            Connection { stream, pipeline: pipeline(), replies, received: 0, sent: Instant::now() }
        });
        let connections = connections.collect();
        Self { load, connections, poll, random: fastrand::Rng::new(), latencies: Vec::new(), requests: 0 }
    }

    fn run(mut self, server: u32) -> Measured {
        (0..self.connections.len()).for_each(|number| self.send(number));
        self.keep_busy(Instant::now() + self.load.warm_up);
        self.latencies.clear();
        let before = self.read_counters(server);
        self.keep_busy(Instant::now() + self.load.duration);
        let after = self.read_counters(server);
        self.drain();
        self.latencies.sort_unstable();
        let count = (after.requests - before.requests) as f64;
        let latency = |share: f64| {
            let at = (self.latencies.len() as f64 * share) as usize;
            self.latencies.get(at).map_or(0.0, |&nanoseconds| f64::from(nanoseconds) / 1000.0)
        };
        Measured {
            requests: self.requests,
            rate: count / (after.at - before.at).as_secs_f64(),
            server_cpu: (after.server - before.server) as f64 / count,
            load_cpu: (after.load - before.load) as f64 / count,
            latency_p50: latency(0.5),
            latency_p99: latency(0.99),
        }
    }

    fn read_counters(&self, server: u32) -> Reading {
        let (server, load) = (cpu::time(server), cpu::time(std::process::id()));
        Reading { at: Instant::now(), requests: self.requests, server, load }
    }

    fn keep_busy(&mut self, until: Instant) {
        let mut events = Events::with_capacity(self.connections.len());
        while Instant::now() < until {
            self.wait(&mut events);
            for event in &events {
                if self.receive(event.token().0) {
                    self.send(event.token().0);
                }
            }
        }
    }

    /// Waits for all that is in flight, so that every request sent is counted.
    fn drain(&mut self) {
        let mut events = Events::with_capacity(self.connections.len());
        let mut in_flight = self.connections.len();
        while in_flight > 0 {
            self.wait(&mut events);
            in_flight -= events.iter().filter(|event| self.receive(event.token().0)).count();
        }
    }

    fn wait(&mut self, events: &mut Events) {
        self.poll.poll(events, Some(SILENCE_MAX)).expect("epoll");
        if events.is_empty() {
            let stuck = self.connections.iter().map(|connection| &connection.replies[..connection.received]);
            let shown = stuck.filter(|replies| !replies.is_empty()).map(String::from_utf8_lossy).next();
            panic!("no reply for {SILENCE_MAX:?}; the last ones begin with {}", shown.unwrap_or_default());
        }
    }

    fn send(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        connection.pipeline.renew(self.load.keys, &mut self.random);
        connection.received = 0;
        connection.sent = Instant::now();
        connection.stream.write_all(&connection.pipeline.bytes).expect("to send");
    }

    /// Reads what has arrived. True when all replies of the pipeline are there: then no event is outstanding, as
    /// the server has nothing to send before it is asked again.
    fn receive(&mut self, number: usize) -> bool {
        let connection = &mut self.connections[number];
        let received = connection.stream.read(&mut connection.replies[connection.received..]).expect("to receive");
        assert!(received > 0, "the server closed a connection");
        connection.received += received;
        let replies = &connection.replies[..connection.received];
        if !connection.pipeline.is_answered(replies, self.load.depth) {
            return false;
        }
        connection.pipeline.check(replies).unwrap_or_else(|wrong| panic!("{wrong}"));
        self.latencies.push(u32::try_from(connection.sent.elapsed().as_nanos()).unwrap_or(u32::MAX));
        self.requests += self.load.depth as u64;
        true
    }
}
