//! A reply as a client reads it, its reader for both protocol versions, and its notation.
//!
//! Always true: the reader is strict (a byte out of place is an error, never skipped), keeps the order of maps, and
//! shares no code with the server; the notation is redis-cli's.

use std::io::{self, BufRead};

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reply {
    Status(Vec<u8>),
    Error(Vec<u8>),
    Integer(i64),
    Bulk(Vec<u8>),
    /// `$-1` in RESP2, `_` in RESP3.
    Null,
    /// `*-1`, which only RESP2 has.
    NullArray,
    Array(Vec<Reply>),
    Map(Vec<(Reply, Reply)>),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
    /// The text as sent, since its form is part of what is compared.
    Double(String),
    Boolean(bool),
    BigNumber(String),
    Verbatim(String, Vec<u8>),
    /// The server closed the connection instead of answering.
    Closed,
    /// Nothing came within the connection's time limit.
    Silent,
}

impl Reply {
    /// Reads one reply.
    ///
    /// # Errors
    /// `InvalidData` for anything that is not exactly a reply; `Reply::Closed` and `Reply::Silent` are not errors.
    pub fn read(from: &mut impl BufRead) -> io::Result<Reply> {
        match read_reply(from) {
            Err(error) if is_closed(&error) => Ok(Reply::Closed),
            Err(error) if is_timeout(&error) => Ok(Reply::Silent),
            other => other,
        }
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// The bytes of a bulk, verbatim or status reply.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Reply::Status(bytes) | Reply::Bulk(bytes) | Reply::Verbatim(_, bytes) => Some(bytes),
            _ => None,
        }
    }

    pub fn integer(&self) -> Option<i64> {
        match self {
            Reply::Integer(value) => Some(*value),
            _ => None,
        }
    }

    pub fn elements(&self) -> Option<&[Reply]> {
        match self {
            Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => Some(items),
            _ => None,
        }
    }

    /// What redis-cli would print, one entry per line.
    pub fn notation(&self) -> Vec<String> {
        let mut text = String::new();
        write_notation(self, "", &mut text);
        text.trim_end_matches('\n').split('\n').map(|line| line.trim_end_matches('\r').to_owned()).collect()
    }
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

fn read_reply(from: &mut impl BufRead) -> io::Result<Reply> {
    let line = read_line(from)?;
    let (kind, rest) = (line.first().copied().ok_or_else(|| invalid("an empty line"))?, &line[1..]);
    let text = || String::from_utf8(rest.to_vec()).map_err(|_| invalid("a header that is not text"));
    Ok(match kind {
        b'+' => Reply::Status(rest.to_vec()),
        b'-' => Reply::Error(rest.to_vec()),
        b':' => Reply::Integer(parse_integer(rest)?),
        b',' => Reply::Double(text()?),
        b'(' => Reply::BigNumber(text()?),
        b'_' if rest.is_empty() => Reply::Null,
        b'#' if rest == b"t" => Reply::Boolean(true),
        b'#' if rest == b"f" => Reply::Boolean(false),
        b'$' if rest == b"-1" => Reply::Null,
        b'*' if rest == b"-1" => Reply::NullArray,
        b'$' => Reply::Bulk(read_body(from, rest)?),
        b'=' => {
            let body = read_body(from, rest)?;
            if body.len() < 4 || body[3] != b':' {
                return Err(invalid("a verbatim string without its format"));
            }
            Reply::Verbatim(String::from_utf8_lossy(&body[..3]).into_owned(), body[4..].to_vec())
        }
        b'*' => Reply::Array(read_many(from, rest)?),
        b'~' => Reply::Set(read_many(from, rest)?),
        b'>' => Reply::Push(read_many(from, rest)?),
        b'%' => {
            let pairs = parse_length(rest)?;
            let mut map = Vec::new();
            for _ in 0..pairs {
                map.push((read_reply(from)?, read_reply(from)?));
            }
            Reply::Map(map)
        }
        _ => return Err(invalid(format!("a reply that begins with {:?}", String::from_utf8_lossy(&line)))),
    })
}

fn read_line(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    match line.as_slice() {
        [] => Err(io::ErrorKind::UnexpectedEof.into()),
        [head @ .., b'\r', b'\n'] if !head.contains(&b'\r') => Ok(head.to_vec()),
        [.., b'\n'] => Err(invalid(format!("a line that does not end in CRLF: {:?}", String::from_utf8_lossy(&line)))),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Accepts only the canonical form: what a server may send is narrower than what Rust would parse.
fn parse_integer(text: &[u8]) -> io::Result<i64> {
    let value = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
    match value {
        Some(value) if value.to_string().as_bytes() == text => Ok(value),
        _ => Err(invalid(format!("an integer written {:?}", String::from_utf8_lossy(text)))),
    }
}

fn parse_length(text: &[u8]) -> io::Result<usize> {
    usize::try_from(parse_integer(text)?).map_err(|_| invalid("a negative length"))
}

fn read_body(from: &mut impl BufRead, length: &[u8]) -> io::Result<Vec<u8>> {
    let length = parse_length(length)?;
    let mut body = vec![0; length + 2];
    from.read_exact(&mut body)?;
    if !body.ends_with(b"\r\n") {
        return Err(invalid("a bulk string longer than its length"));
    }
    body.truncate(length);
    Ok(body)
}

fn read_many(from: &mut impl BufRead, length: &[u8]) -> io::Result<Vec<Reply>> {
    (0..parse_length(length)?).map(|_| read_reply(from)).collect()
}

fn write_notation(reply: &Reply, prefix: &str, out: &mut String) {
    match reply {
        Reply::Status(text) => line(out, &String::from_utf8_lossy(text)),
        Reply::Error(text) => line(out, &format!("(error) {}", readable(text))),
        Reply::Integer(value) => line(out, &format!("(integer) {value}")),
        Reply::Double(text) => line(out, &format!("(double) {text}")),
        Reply::BigNumber(text) => line(out, text),
        Reply::Bulk(bytes) => line(out, &quoted(bytes)),
        Reply::Verbatim(_, bytes) => line(out, &String::from_utf8_lossy(bytes)),
        Reply::Null | Reply::NullArray => line(out, "(nil)"),
        Reply::Boolean(true) => line(out, "(true)"),
        Reply::Boolean(false) => line(out, "(false)"),
        Reply::Closed => line(out, "(closed)"),
        Reply::Silent => line(out, "(silent)"),
        Reply::Array(items) => write_items(items, ')', "(empty array)", prefix, out),
        Reply::Set(items) => write_items(items, '~', "(empty set)", prefix, out),
        Reply::Push(items) => write_items(items, '>', "(empty push)", prefix, out),
        Reply::Map(pairs) if pairs.is_empty() => line(out, "(empty hash)"),
        Reply::Map(pairs) => {
            let (width, inner) = indentation(pairs.len(), prefix);
            for (index, (key, value)) in pairs.iter().enumerate() {
                write_index(index, width, '#', prefix, out);
                write_notation(key, &inner, out);
                out.truncate(out.trim_end_matches('\n').len());
                out.push_str(" => ");
                write_notation(value, &inner, out);
            }
        }
    }
}

fn write_items(items: &[Reply], mark: char, empty: &str, prefix: &str, out: &mut String) {
    if items.is_empty() {
        return line(out, empty);
    }
    let (width, inner) = indentation(items.len(), prefix);
    for (index, item) in items.iter().enumerate() {
        write_index(index, width, mark, prefix, out);
        write_notation(item, &inner, out);
    }
}

fn indentation(count: usize, prefix: &str) -> (usize, String) {
    let width = count.to_string().len();
    (width, format!("{prefix}{}", " ".repeat(width + 2)))
}

fn write_index(index: usize, width: usize, mark: char, prefix: &str, out: &mut String) {
    let prefix = if index == 0 { "" } else { prefix };
    out.push_str(&format!("{prefix}{:>width$}{mark} ", index + 1));
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// Text as it is; bytes that are none escaped, so that two of them never look alike.
fn readable(text: &[u8]) -> String {
    std::str::from_utf8(text).map_or_else(|_| quoted(text).trim_matches('"').to_owned(), str::to_owned)
}

/// Bytes between double quotes, with everything unprintable escaped.
pub fn quoted(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => text.extend(['\\', char::from(byte)]),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            7 => text.push_str("\\a"),
            8 => text.push_str("\\b"),
            32..=126 => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push('"');
    text
}

#[test]
fn reads_and_writes_every_kind_of_reply() {
    let cases: &[(&str, &str)] = &[
        ("+OK\r\n", "OK"),
        ("-ERR no\r\n", "(error) ERR no"),
        (":-9223372036854775808\r\n", "(integer) -9223372036854775808"),
        ("$0\r\n\r\n", "\"\""),
        ("$5\r\na\r\n\"\x01\r\n", "\"a\\r\\n\\\"\\x01\""),
        ("$-1\r\n", "(nil)"),
        ("*-1\r\n", "(nil)"),
        ("_\r\n", "(nil)"),
        ("*0\r\n", "(empty array)"),
        ("%0\r\n", "(empty hash)"),
        ("~1\r\n#t\r\n", "1~ (true)"),
        (",0.5\r\n", "(double) 0.5"),
        ("=6\r\ntxt:hi\r\n", "hi"),
        ("*2\r\n*2\r\n:1\r\n:2\r\n$1\r\nx\r\n", "1) 1) (integer) 1\n   2) (integer) 2\n2) \"x\""),
        ("%1\r\n$1\r\nk\r\n*1\r\n:1\r\n", "1# \"k\" => 1) (integer) 1"),
        ("", "(closed)"),
        ("$5\r\nab", "(closed)"),
    ];
    for (wire, notation) in cases {
        let reply = Reply::read(&mut wire.as_bytes()).unwrap_or_else(|error| panic!("{wire:?}: {error}"));
        assert_eq!(reply.notation().join("\n"), *notation, "{wire:?}");
    }
    for wire in ["+OK\n", ":1\0\r\n", ":+1\r\n", ":01\r\n", "$2\r\nabc\r\n", "?\r\n", "\r\n", "*-2\r\n", "#x\r\n"] {
        assert!(Reply::read(&mut wire.as_bytes()).is_err(), "{wire:?} must be refused");
    }
}
