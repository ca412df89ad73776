//! Keys and fields with deadlines, and who is told of their end. A key that is told of has its deadline in its name.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use crate::common::request::encode;
use crate::common::server::Server;

/// How many requests are sent at once.
const AT_ONCE: usize = 1000;
/// How long before the first deadline everything is set.
const AHEAD: u64 = 3_000_000;
/// How long after the last deadline somebody is still listened to.
const WAITED: u64 = 5_000_000;

/// What expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Key,
    Field,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Key { "key" } else { "field" })
    }
}

/// Things that expire one after the other.
pub struct Spread {
    pub kind: Kind,
    pub events: usize,
    pub over: Duration,
}

/// How late each was told of, in microseconds and in order; those that were not are not among them.
pub struct Lags {
    told: Vec<u64>,
    of: usize,
}

impl fmt::Display for Lags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |share: f64| {
            let place = ((self.of as f64 * share).ceil() as usize).clamp(1, self.of) - 1;
            let late = format!("> {}", WAITED / 1000);
            self.told.get(place).map_or(late, |lag| format!("{:.2}", *lag as f64 / 1e3))
        };
        write!(f, "{} of {} | {} | {} | {}", self.told.len(), self.of, at(0.5), at(0.99), at(1.0))
    }
}

/// Microseconds since the Unix epoch.
pub fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970").as_micros() as u64
}

/// The lines of a message; the last is the name of the key.
const LINES: usize = 7;

/// Who is told.
pub struct Subscriber {
    stream: TcpStream,
}

impl Subscriber {
    pub fn new(server: &Server, kind: Kind) -> Self {
        let mut stream = server.connect();
        let event = if kind == Kind::Key { "expired" } else { "hexpired" };
        let channel = format!("__keyevent@0__:{event}").into_bytes();
        stream.write_all(&encode(&[b"SUBSCRIBE".to_vec(), channel])).expect("to send");
        let mut reply = Vec::new();
        while !reply.ends_with(b":1\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a reply");
            reply.extend(byte);
        }
        Self { stream }
    }

    /// Reads of so many, until some time after the `last` deadline. What comes together counts as read at one moment.
    pub fn read(&mut self, count: usize, last: u64) -> Lags {
        let mut lags = Lags { told: Vec::with_capacity(count), of: count };
        let (mut some, mut rest, mut lines) = (vec![0; 1 << 20], Vec::new(), 0);
        while lags.told.len() < count && now() < last + WAITED {
            let left = Duration::from_micros((last + WAITED).saturating_sub(now()).max(1));
            self.stream.set_read_timeout(Some(left)).expect("a time limit");
            let received = match self.stream.read(&mut some) {
                Ok(received) => received,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("the subscriber lost its connection: {error}"),
            };
            assert!(received > 0, "the subscriber was cut off");
            let now = now();
            for piece in some[..received].split_inclusive(|byte| *byte == b'\n') {
                rest.extend_from_slice(piece);
                if !piece.ends_with(b"\n") {
                    break;
                }
                lines += 1;
                if lines % LINES == 0 {
                    let name = std::str::from_utf8(&rest).expect("a name").trim_end();
                    let mut words = name.split(':').skip(1).map(|word| word.parse::<u64>().expect("a number"));
                    let (deadline, events) = (words.next().expect("a deadline"), words.nth(1).unwrap_or(1));
                    let lag = now.saturating_sub(deadline * 1000);
                    lags.told.extend(std::iter::repeat_n(lag, events as usize));
                }
                rest.clear();
            }
        }
        lags.told.sort_unstable();
        lags
    }
}

/// Sets keys that expire in an hour or two.
pub fn fill_volatile(server: &Server, count: usize, value_bytes: usize) {
    let begin = now() / 1000 + 3_600_000;
    let requests = (0..count).map(|number| {
        let deadline = begin + number as u64 * 7_919 % 3_600_000;
        vec![
            b"SET".to_vec(),
            format!("vol:{number:012}").into_bytes(),
            vec![b'v'; value_bytes],
            b"PXAT".to_vec(),
            deadline.to_string().into_bytes(),
        ]
    });
    send(server, requests);
}

/// Things with deadlines that are spread over a time expire, while something else is done.
pub fn one_by_one(server: &Server, spread: &Spread, meanwhile: impl FnOnce()) -> Lags {
    let mut subscriber = Subscriber::new(server, spread.kind);
    let begin = now() + AHEAD;
    let step = spread.over.as_micros() as u64 / spread.events as u64;
    let deadlines = (0..spread.events).map(|number| (begin + number as u64 * step) / 1000);
    let requests = deadlines.enumerate().flat_map(|(number, deadline)| {
        let key = format!("due:{deadline}:{number}").into_bytes();
        let deadline = deadline.to_string().into_bytes();
        match spread.kind {
            Kind::Key => vec![vec![b"SET".to_vec(), key, b"v".to_vec(), b"PXAT".to_vec(), deadline]],
            Kind::Field => of_hash(key, &[b"f".to_vec()], deadline),
        }
    });
    send(server, requests);
    let last = begin + spread.over.as_micros() as u64;
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| subscriber.read(spread.events, last));
        meanwhile();
        reading.join().expect("lags")
    })
}

/// Sets things that have the same deadline, which it returns in microseconds.
pub fn set_together(server: &Server, kind: Kind, count: usize) -> u64 {
    /// How many fields a hash has, all of which go at once.
    const FIELDS: usize = 100;
    let deadline = (now() + 2 * AHEAD) / 1000;
    let text = deadline.to_string().into_bytes();
    let requests: Box<dyn Iterator<Item = Vec<Vec<u8>>>> = match kind {
        Kind::Key => Box::new((0..count).map(|number| {
            let key = format!("due:{deadline}:{number}").into_bytes();
            vec![b"SET".to_vec(), key, b"v".to_vec(), b"PXAT".to_vec(), text.clone()]
        })),
        Kind::Field => Box::new((0..count / FIELDS).flat_map(|number| {
            // One event tells of all fields of its hash.
            let key = format!("due:{deadline}:{number}:{FIELDS}").into_bytes();
            let fields: Vec<Vec<u8>> = (0..FIELDS).map(|field| format!("field:{field}").into_bytes()).collect();
            of_hash(key, &fields, text.clone())
        })),
    };
    send(server, requests);
    assert!(now() < deadline * 1000, "{} is too slow to set {count} {kind}s in time", server.name());
    deadline * 1000
}

/// Makes a hash of fields with a deadline and one without.
fn of_hash(key: Vec<u8>, fields: &[Vec<u8>], deadline: Vec<u8>) -> Vec<Vec<Vec<u8>>> {
    let mut set = vec![b"HSET".to_vec(), key.clone(), b"stays".to_vec(), b"v".to_vec()];
    set.extend(fields.iter().flat_map(|field| [field.clone(), b"v".to_vec()]));
    let count = fields.len().to_string().into_bytes();
    let expire = [b"HPEXPIREAT".to_vec(), key, deadline, b"FIELDS".to_vec(), count];
    vec![set, expire.into_iter().chain(fields.iter().cloned()).collect()]
}

/// Sends requests, and waits until the server has answered all of them.
fn send(server: &Server, mut requests: impl Iterator<Item = Vec<Vec<u8>>>) {
    let mut stream = server.connect();
    loop {
        let mut some: Vec<u8> = requests.by_ref().take(AT_ONCE).flat_map(|words| encode(&words)).collect();
        if some.is_empty() {
            return;
        }
        some.extend(encode(&[b"ECHO".to_vec(), b"all-answered".to_vec()]));
        stream.write_all(&some).expect("to send");
        let (mut replies, mut some) = (Vec::new(), [0; 64 << 10]);
        while !replies.ends_with(b"all-answered\r\n") {
            let received = stream.read(&mut some).expect("replies");
            assert!(received > 0, "{} closed a connection", server.name());
            replies.extend_from_slice(&some[..received]);
        }
        let refused = replies.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"-"));
        assert!(refused.is_none(), "{}", String::from_utf8_lossy(refused.unwrap_or_default()));
    }
}
