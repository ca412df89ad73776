//! The load: so many GETs in a second, in pipelines, whether or not anybody answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::common::load::key;
use super::common::request::encode;
use super::zipf::Zipf;
use super::{RATE, VALUE_BYTES};

/// For how long requests are counted together.
pub const STEP: Duration = Duration::from_millis(250);

/// How often some are sent.
const TICK: Duration = Duration::from_millis(10);

/// Whoever gets no answer for so long takes it that there will be none.
const PATIENCE: Duration = Duration::from_secs(1);

/// Ranks are spread over the keys, so that neighbours are not used alike.
const SPREAD: usize = 387_420_489;

/// What was asked for in one step.
#[derive(Clone, Copy)]
pub struct Step {
    pub begin: Instant,
    pub end: Instant,
    pub sent: u64,
    /// Answered with the value, from memory.
    pub from_memory: u64,
}

impl Step {
    pub fn middle(&self) -> Instant {
        self.begin + (self.end - self.begin) / 2
    }

    pub fn share(&self) -> f64 {
        self.from_memory as f64 / (self.sent.max(1)) as f64
    }
}

pub struct Load {
    address: SocketAddr,
    keys: usize,
    /// Whoever does not find a key sets it; what is found is in memory.
    is_cache: bool,
    zipf: Zipf,
    random: fastrand::Rng,
    connection: Option<Connection>,
}

struct Connection {
    reader: BufReader<TcpStream>,
    /// As the server counted when it was last asked.
    hits: u64,
}

/// The value of a key, which nobody takes for that of another.
pub fn value(number: usize) -> Vec<u8> {
    format!("{number:0VALUE_BYTES$}").into_bytes()
}

impl Load {
    pub fn new(address: SocketAddr, keys: usize, is_cache: bool) -> Self {
        let (zipf, random) = (Zipf::new(keys, 0.99), fastrand::Rng::with_seed(7));
        Self { address, keys, is_cache, zipf, random, connection: None }
    }

    pub fn run(mut self, ends: &AtomicBool) -> Vec<Step> {
        let (start, mut steps) = (Instant::now(), Vec::new());
        let (mut sent, mut in_step, mut found) = (0u64, 0u64, 0u64);
        let mut begin = start;
        // The first answers tell only what was counted before.
        self.hits();
        while !ends.load(SeqCst) {
            let due = (start.elapsed().as_secs_f64() * RATE as f64) as u64;
            let now = (due - sent).min(RATE as u64 / 20) as usize;
            // What a server was too slow for is not made up for, and counts as sent.
            in_step += due - sent;
            sent = due;
            found += self.ask(now);
            if begin.elapsed() >= STEP {
                if !self.is_cache {
                    found = self.hits();
                }
                let end = Instant::now();
                steps.push(Step { begin, end, sent: in_step, from_memory: found.min(in_step) });
                (in_step, found, begin) = (0, 0, end);
            }
            std::thread::park_timeout(TICK);
        }
        steps
    }

    /// Sends so many GETs; returns how many values came.
    fn ask(&mut self, count: usize) -> u64 {
        let draw = |_| self.zipf.rank(self.random.f64()) * SPREAD % self.keys;
        let numbers: Vec<usize> = (0..count).map(draw).collect();
        let gets: Vec<u8> =
            numbers.iter().flat_map(|number| encode(&[b"GET".to_vec(), key(*number).to_vec()])).collect();
        let replies = self.exchange(&gets, count);
        let mut missing = Vec::new();
        let mut found = 0;
        for (number, reply) in numbers.iter().zip(&replies) {
            match reply {
                Reply::Value(bytes) => {
                    assert!(*bytes == value(*number), "the value of another key");
                    found += 1;
                }
                Reply::Nothing if self.is_cache => missing.push(*number),
                Reply::Nothing => panic!("a key is gone"),
                Reply::Other => {}
            }
        }
        let sets = missing.iter().flat_map(|number| encode(&[b"SET".to_vec(), key(*number).to_vec(), value(*number)]));
        let sets: Vec<u8> = sets.collect();
        self.exchange(&sets, missing.len());
        found
    }

    /// How many look-ups were answered from memory since this was last asked, as the server counts them.
    fn hits(&mut self) -> u64 {
        if self.is_cache {
            return 0;
        }
        let info = match self.exchange(&encode(&[b"INFO".to_vec(), b"caskade".to_vec()]), 1).pop() {
            Some(Reply::Value(info)) => String::from_utf8_lossy(&info).into_owned(),
            _ => return 0,
        };
        let counted = info.lines().find_map(|line| line.strip_prefix("hits_memory:")?.trim().parse().ok());
        let (Some(counted), Some(connection)) = (counted, &mut self.connection) else { return 0 };
        let since = u64::saturating_sub(counted, connection.hits);
        connection.hits = counted;
        since
    }

    /// The replies that came; none where nobody answers.
    fn exchange(&mut self, requests: &[u8], count: usize) -> Vec<Reply> {
        if self.connection.is_none() {
            self.connection = connect(self.address);
        }
        let Some(connection) = &mut self.connection else { return Vec::new() };
        let mut replies = Vec::with_capacity(count);
        let mut all = || -> std::io::Result<()> {
            connection.reader.get_mut().write_all(requests)?;
            for _ in 0..count {
                replies.push(Reply::read(&mut connection.reader)?);
            }
            Ok(())
        };
        if all().is_err() {
            self.connection = None;
        }
        replies
    }
}

fn connect(address: SocketAddr) -> Option<Connection> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    Some(Connection { reader: BufReader::with_capacity(1 << 20, stream), hits: 0 })
}

enum Reply {
    Value(Vec<u8>),
    Nothing,
    /// An error, or OK.
    Other,
}

impl Reply {
    fn read(reader: &mut BufReader<TcpStream>) -> std::io::Result<Self> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some(length) = line.strip_prefix('$') else { return Ok(Self::Other) };
        let Ok(length) = length.trim().parse::<usize>() else { return Ok(Self::Nothing) };
        let mut bytes = vec![0; length + 2];
        reader.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(Self::Value(bytes))
    }
}
