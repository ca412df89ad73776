//! The replies of one connection on their way out, in the version of the protocol it speaks.
//!
//! What is always true: lines are free of CR and LF (nothing a user stored or sent can forge a reply), aggregates keep
//! the order they are written in, a value of [`SHARED_BYTES_MIN`] or more given as `Bytes` is never copied, and memory
//! is given back once the replies are out.

use super::double::{DoubleBuffer, format_double};
use bytes::Bytes;
use memchr::memchr2;
use std::collections::VecDeque;
use std::io::IoSlice;

/// Values from this size on, in bytes, go out without a copy; below it a copy is cheaper than a slice of its own.
pub const SHARED_BYTES_MIN: usize = 16 * 1024;

/// What a buffer of replies keeps of its memory, in bytes, once they are out.
pub const TEXT_BYTES_KEPT: usize = 64 * 1024;

/// Bytes around a bulk string of up to 999 bytes: `$`, its length, and two line ends.
const BULK_FRAME_BYTES: usize = 1 + 3 + 2 + 2;

/// The version of the protocol a connection speaks; HELLO changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    #[default]
    Resp2,
    Resp3,
}

/// Replies waiting for the socket.
///
/// Positions count from the first byte the connection was ever sent, so that they outlive what is sent meanwhile.
#[derive(Debug, Default)]
pub struct ReplyBuffer {
    version: Version,
    /// Everything but the shared values.
    text: Vec<u8>,
    /// The position in the stream of texts of the first byte in `text`.
    text_start: u64,
    /// How much of `text` is sent.
    text_sent: usize,
    /// Shared values, each with its position in the stream of texts: it goes out before the text at that position.
    shared: VecDeque<(u64, Bytes)>,
    /// How many shared values are sent.
    shared_sent: u64,
    /// The bytes in `shared`.
    shared_bytes: usize,
}

/// A place among the replies that [`ReplyBuffer::rewind`] returns to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    text: u64,
    shared: u64,
}

/// The replies.
impl ReplyBuffer {
    pub fn new(version: Version) -> Self {
        Self { version, ..Self::default() }
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// What is written from now on is in `version`.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// A status such as `OK`. CR and LF become spaces.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error; `text` begins with its code (`ERR ...`). CR and LF become spaces.
    pub fn error(&mut self, text: &(impl AsRef<[u8]> + ?Sized)) {
        self.line(b'-', text.as_ref());
    }

    pub fn integer(&mut self, value: i64) {
        self.header(b':', value);
    }

    #[inline]
    pub fn bulk(&mut self, value: &[u8]) {
        self.text.reserve(value.len() + BULK_FRAME_BYTES);
        self.length(b'$', value.len());
        self.text.extend_from_slice(value);
        self.end_line();
    }

    /// As [`bulk`](Self::bulk), without a copy from [`SHARED_BYTES_MIN`] on.
    pub fn bulk_shared(&mut self, value: Bytes) {
        if value.len() < SHARED_BYTES_MIN {
            return self.bulk(&value);
        }
        self.length(b'$', value.len());
        self.shared_bytes += value.len();
        self.shared.push_back((self.text_end(), value));
        self.end_line();
    }

    pub fn null(&mut self) {
        self.text.extend_from_slice(self.choose(b"$-1\r\n", b"_\r\n"));
    }

    /// The null of a reply that is otherwise an array: EXEC aborted, a blocking pop that timed out.
    pub fn null_array(&mut self) {
        self.text.extend_from_slice(self.choose(b"*-1\r\n", b"_\r\n"));
    }

    /// An array; its `count` elements follow.
    pub fn array(&mut self, count: usize) {
        self.length(b'*', count);
    }

    /// A map; its `count` pairs follow, each as key and value. An array of both in RESP2.
    pub fn map(&mut self, count: usize) {
        match self.version {
            Version::Resp2 => self.length(b'*', count * 2),
            Version::Resp3 => self.length(b'%', count),
        }
    }

    /// A set; its `count` members follow. An array in RESP2.
    pub fn set(&mut self, count: usize) {
        self.length(self.choose(b'*', b'~'), count);
    }

    /// A message nobody asked for; its `count` elements follow. An array in RESP2.
    pub fn push(&mut self, count: usize) {
        self.length(self.choose(b'*', b'>'), count);
    }

    /// A double, in the form of [`format_double`]. A bulk string in RESP2.
    pub fn double(&mut self, value: f64) {
        let mut buffer = DoubleBuffer::new();
        let text = format_double(value, &mut buffer);
        match self.version {
            Version::Resp2 => self.bulk(text),
            Version::Resp3 => self.line(b',', text),
        }
    }

    /// A truth value. 1 or 0 in RESP2.
    pub fn boolean(&mut self, value: bool) {
        let (two, three): (&[u8], &[u8]) = if value { (b":1\r\n", b"#t\r\n") } else { (b":0\r\n", b"#f\r\n") };
        self.text.extend_from_slice(self.choose(two, three));
    }

    /// Text for people, with its `format` of three letters (`txt`, `mkd`). A bulk string in RESP2.
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        debug_assert_eq!(format.len(), 3, "the format of a verbatim string has three letters");
        match self.version {
            Version::Resp2 => self.bulk(text),
            Version::Resp3 => {
                self.length(b'=', text.len() + format.len() + 1);
                self.text.extend_from_slice(format.as_bytes());
                self.text.push(b':');
                self.text.extend_from_slice(text);
                self.end_line();
            }
        }
    }

    /// An integer of any size, as its decimal digits. A bulk string in RESP2.
    pub fn big_number(&mut self, digits: &str) {
        match self.version {
            Version::Resp2 => self.bulk(digits.as_bytes()),
            Version::Resp3 => self.line(b'(', digits.as_bytes()),
        }
    }

    /// Bytes that are already a reply in the connection's version.
    pub fn raw(&mut self, reply: &[u8]) {
        self.text.extend_from_slice(reply);
    }

    /// As [`raw`](Self::raw), without a copy from [`SHARED_BYTES_MIN`] on.
    pub fn raw_shared(&mut self, reply: Bytes) {
        if reply.len() < SHARED_BYTES_MIN {
            return self.raw(&reply);
        }
        self.shared_bytes += reply.len();
        self.shared.push_back((self.text_end(), reply));
    }
}

/// Taking back, and sending.
impl ReplyBuffer {
    /// The place reached so far.
    pub fn mark(&self) -> Mark {
        Mark { text: self.text_end(), shared: self.shared_sent + self.shared.len() as u64 }
    }

    /// Takes back what was written since `mark`, except what is already sent.
    pub fn rewind(&mut self, mark: Mark) {
        let text = usize::try_from(mark.text.saturating_sub(self.text_start)).unwrap_or(usize::MAX);
        self.text.truncate(text.max(self.text_sent));
        let shared = usize::try_from(mark.shared.saturating_sub(self.shared_sent)).unwrap_or(usize::MAX);
        for (_, value) in self.shared.drain(shared.min(self.shared.len())..) {
            self.shared_bytes -= value.len();
        }
    }

    /// The bytes still to be sent.
    pub fn len(&self) -> usize {
        self.text.len() - self.text_sent + self.shared_bytes
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory held, in bytes; shared values count in full although the keydir may hold them too.
    pub fn memory_bytes(&self) -> usize {
        self.text.capacity() + self.shared.capacity() * size_of::<(u64, Bytes)>() + self.shared_bytes
    }

    /// Takes memory to write into, which holds nothing, if this has none.
    pub fn lend(&mut self, memory: Vec<u8>) {
        if self.text.capacity() == 0 {
            self.text = memory;
        }
    }

    /// Gives all memory away once everything is sent; the part that is worth keeping is the answer.
    pub fn give_back(&mut self) -> Option<Vec<u8>> {
        if !self.is_empty() {
            return None;
        }
        self.shared = VecDeque::new();
        let text = std::mem::take(&mut self.text);
        (text.capacity() > 0).then_some(text)
    }

    /// Fills `slices` from the front with what is to be sent next, and says how many it filled. They hold less than
    /// [`len`](Self::len) bytes if there are too few of them.
    pub fn as_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for piece in self.pieces().take(slices.len()) {
            slices[filled] = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    /// Forgets the first `sent` bytes, which are on their way. Panics if there are not as many.
    pub fn advance(&mut self, mut sent: usize) {
        assert!(sent <= self.len(), "more bytes sent than there were to send");
        while sent > 0 {
            let before_shared = match self.shared.front() {
                Some((position, _)) => (position - self.text_start) as usize - self.text_sent,
                None => self.text.len() - self.text_sent,
            };
            let from_text = sent.min(before_shared);
            self.text_sent += from_text;
            sent -= from_text;
            if let Some((_, value)) = self.shared.front_mut().filter(|_| sent > 0) {
                let from_shared = sent.min(value.len());
                bytes::Buf::advance(value, from_shared);
                self.shared_bytes -= from_shared;
                sent -= from_shared;
                if value.is_empty() {
                    self.shared.pop_front();
                    self.shared_sent += 1;
                }
            }
        }
        self.release();
    }

    /// Everything still to be sent, in one piece: for replies that stay inside the program, and for tests.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.pieces().map(<[u8]>::len).sum());
        self.pieces().for_each(|piece| bytes.extend_from_slice(piece));
        bytes
    }

    /// The unsent bytes in order, as non-empty slices.
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = self.text_sent;
        let last = (self.text.len(), &[][..]);
        let shared = self.shared.iter().map(|(position, value)| ((position - self.text_start) as usize, &value[..]));
        shared
            .chain([last])
            .flat_map(move |(until, value)| {
                let text = &self.text[at..until];
                at = until;
                [text, value]
            })
            .filter(|piece| !piece.is_empty())
    }

    /// Gives sent text back: at once when all of it is out, else when it is more than half, so that a client that
    /// never quite catches up costs no more than twice what is pending.
    fn release(&mut self) {
        if self.text_sent == self.text.len() {
            self.text_start += self.text_sent as u64;
            self.text.clear();
            self.text.shrink_to(TEXT_BYTES_KEPT);
            self.text_sent = 0;
        } else if self.text_sent >= TEXT_BYTES_KEPT && self.text_sent > self.text.len() / 2 {
            self.text_start += self.text_sent as u64;
            self.text.drain(..self.text_sent);
            self.text.shrink_to(self.text.len().max(TEXT_BYTES_KEPT) * 2);
            self.text_sent = 0;
        }
        if self.shared.is_empty() {
            self.shared.shrink_to(4);
        }
    }

    fn text_end(&self) -> u64 {
        self.text_start + self.text.len() as u64
    }

    fn choose<T>(&self, resp2: T, resp3: T) -> T {
        match self.version {
            Version::Resp2 => resp2,
            Version::Resp3 => resp3,
        }
    }

    /// Most lengths have one digit, two or three: then no number needs to be formatted.
    #[inline]
    fn length(&mut self, kind: u8, length: usize) {
        let digit = |of: usize| b'0' + (length / of % 10) as u8;
        match length {
            0..=9 => self.text.extend_from_slice(&[kind, digit(1), b'\r', b'\n']),
            10..=99 => self.text.extend_from_slice(&[kind, digit(10), digit(1), b'\r', b'\n']),
            100..=999 => self.text.extend_from_slice(&[kind, digit(100), digit(10), digit(1), b'\r', b'\n']),
            _ => self.header(kind, length),
        }
    }

    fn header(&mut self, kind: u8, value: impl itoa::Integer) {
        self.text.push(kind);
        self.text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.end_line();
    }

    /// The only writer of free text in a line, hence the only place that must keep line ends out of it.
    fn line(&mut self, kind: u8, text: &[u8]) {
        self.text.push(kind);
        let start = self.text.len();
        self.text.extend_from_slice(text);
        if memchr2(b'\r', b'\n', text).is_some() {
            for byte in self.text[start..].iter_mut().filter(|byte| matches!(byte, b'\r' | b'\n')) {
                *byte = b' ';
            }
        }
        self.end_line();
    }

    fn end_line(&mut self) {
        self.text.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_reply_has_its_form_in_both_versions() {
        type Write = fn(&mut ReplyBuffer);
        let table: &[(Write, &str, &str)] = &[
            (|r| r.simple("OK"), "+OK\r\n", "+OK\r\n"),
            (|r| r.simple("a\r\n:1\r\n"), "+a  :1  \r\n", "+a  :1  \r\n"),
            (|r| r.error("ERR x\r\n+OK\n"), "-ERR x  +OK \r\n", "-ERR x  +OK \r\n"),
            (|r| r.error(&String::from("ERR x")), "-ERR x\r\n", "-ERR x\r\n"),
            (|r| r.integer(0), ":0\r\n", ":0\r\n"),
            (|r| r.integer(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
            (|r| r.integer(999_999_999_999_999), ":999999999999999\r\n", ":999999999999999\r\n"),
            (|r| r.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n"),
            (|r| r.bulk(b"a\r\nb\0"), "$5\r\na\r\nb\0\r\n", "$5\r\na\r\nb\0\r\n"),
            (|r| r.bulk_shared(Bytes::from_static(b"abc")), "$3\r\nabc\r\n", "$3\r\nabc\r\n"),
            (|r| r.null(), "$-1\r\n", "_\r\n"),
            (|r| r.null_array(), "*-1\r\n", "_\r\n"),
            (|r| r.array(0), "*0\r\n", "*0\r\n"),
            (|r| r.array(12), "*12\r\n", "*12\r\n"),
            (|r| r.map(3), "*6\r\n", "%3\r\n"),
            (|r| r.set(3), "*3\r\n", "~3\r\n"),
            (|r| r.push(3), "*3\r\n", ">3\r\n"),
            (|r| r.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (|r| r.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n"),
            (|r| r.boolean(true), ":1\r\n", "#t\r\n"),
            (|r| r.boolean(false), ":0\r\n", "#f\r\n"),
            (|r| r.verbatim("txt", b"a\nb"), "$3\r\na\nb\r\n", "=7\r\ntxt:a\nb\r\n"),
            (|r| r.big_number("12345678901234567890"), "$20\r\n12345678901234567890\r\n", "(12345678901234567890\r\n"),
            (|r| r.raw(b"+X\r\n"), "+X\r\n", "+X\r\n"),
        ];
        for (write, resp2, resp3) in table {
            for (version, expected) in [(Version::Resp2, resp2), (Version::Resp3, resp3)] {
                let mut reply = ReplyBuffer::new(version);
                write(&mut reply);
                assert_eq!(reply.to_vec().escape_ascii().to_string(), expected.as_bytes().escape_ascii().to_string());
                assert_eq!(reply.len(), expected.len());
            }
        }
    }

    #[test]
    fn a_version_switch_leaves_earlier_replies_alone() {
        let mut reply = ReplyBuffer::new(Version::Resp2);
        reply.null();
        reply.set_version(Version::Resp3);
        reply.null();
        assert_eq!(reply.to_vec(), b"$-1\r\n_\r\n");
        assert_eq!(reply.version(), Version::Resp3);
    }

    #[test]
    fn a_large_value_goes_out_from_where_it_lies() {
        let value = Bytes::from(vec![7; SHARED_BYTES_MIN]);
        let mut reply = ReplyBuffer::new(Version::Resp2);
        reply.integer(1);
        reply.bulk_shared(value.clone());
        reply.bulk_shared(value.clone());
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(reply.as_slices(&mut slices), 5);
        assert_eq!(slices[1].as_ptr(), value.as_ptr());
        assert_eq!(slices[3].as_ptr(), value.as_ptr());
        assert_eq!(&*slices[0], b":1\r\n$16384\r\n");
        assert_eq!(&*slices[2], b"\r\n$16384\r\n");
        assert_eq!(&*slices[4], b"\r\n");
        assert_eq!(reply.as_slices(&mut [IoSlice::new(&[]); 2]), 2);
        assert_eq!(reply.as_slices(&mut []), 0);
    }

    #[test]
    fn memory_goes_back_when_replies_are_out() {
        let mut reply = ReplyBuffer::new(Version::Resp2);
        reply.bulk(&vec![0; 1 << 20]);
        reply.bulk_shared(Bytes::from(vec![0; 1 << 20]));
        assert!(reply.memory_bytes() > 2 << 20);
        reply.advance(reply.len());
        assert!(reply.memory_bytes() <= 2 * TEXT_BYTES_KEPT, "{}", reply.memory_bytes());
    }

    #[test]
    fn a_client_that_never_catches_up_costs_twice_the_pending_bytes_at_most() {
        let mut reply = ReplyBuffer::new(Version::Resp2);
        reply.bulk(&[0; 20_000]);
        for _ in 0..10_000 {
            reply.bulk(&[0; 993]);
            reply.advance(1000);
            assert!(reply.memory_bytes() < 200_000, "{}", reply.memory_bytes());
        }
    }

    #[test]
    #[should_panic(expected = "more bytes sent")]
    fn more_than_there_is_cannot_be_sent() {
        let mut reply = ReplyBuffer::new(Version::Resp2);
        reply.simple("OK");
        reply.advance(6);
    }

    #[derive(Clone, Debug)]
    enum Action {
        Small(usize),
        Shared(usize),
        TakenBack(Vec<(bool, usize)>),
        Send(usize),
    }

    fn action() -> impl Strategy<Value = Action> {
        let size = prop_oneof![0..100_usize, SHARED_BYTES_MIN - 2..SHARED_BYTES_MIN + 2, 0..50_000_usize];
        prop_oneof![
            size.clone().prop_map(Action::Small),
            size.clone().prop_map(Action::Shared),
            proptest::collection::vec((any::<bool>(), size.clone()), 0..4).prop_map(Action::TakenBack),
            (0..80_000_usize).prop_map(Action::Send),
        ]
    }

    proptest! {
        /// Whatever is written, taken back and sent in whatever pieces, the peer reads what a plain vector holds.
        #[test]
        fn the_peer_reads_what_was_written(actions in proptest::collection::vec(action(), 0..40)) {
            let mut reply = ReplyBuffer::new(Version::Resp2);
            let (mut model, mut received) = (Vec::new(), Vec::new());
            for (number, action) in actions.into_iter().enumerate() {
                let payload = |size| vec![number as u8; size];
                match action {
                    Action::Small(size) | Action::Shared(size) => {
                        model.extend_from_slice(format!("${size}\r\n").as_bytes());
                        model.extend_from_slice(&payload(size));
                        model.extend_from_slice(b"\r\n");
                        match action {
                            Action::Small(_) => reply.bulk(&payload(size)),
                            _ => reply.bulk_shared(Bytes::from(payload(size))),
                        }
                    }
                    Action::TakenBack(replies) => {
                        let mark = reply.mark();
                        for (shared, size) in replies {
                            if shared { reply.bulk_shared(Bytes::from(payload(size))) } else { reply.bulk(&payload(size)) }
                        }
                        reply.rewind(mark);
                        prop_assert_eq!(reply.mark(), mark);
                    }
                    Action::Send(most) => {
                        let mut slices = [IoSlice::new(&[]); 3];
                        let filled = reply.as_slices(&mut slices);
                        let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
                        let sent = most.min(bytes.len());
                        received.extend_from_slice(&bytes[..sent]);
                        reply.advance(sent);
                    }
                }
                prop_assert_eq!(received.len() + reply.len(), model.len());
            }
            received.extend(reply.to_vec());
            prop_assert!(received == model);
        }
    }
}
