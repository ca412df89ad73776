//! One reply as a value, for handlers that return what they found; hot ones write to the [`ReplyBuffer`] themselves.

use super::ReplyBuffer;
use bytes::Bytes;

/// A reply, independent of the protocol's version.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The status `OK`.
    Ok,
    /// A status: `PONG`, `QUEUED`, the name of a type.
    Simple(&'static str),
    /// A status with a text of its own, in one line.
    Status(String),
    Integer(i64),
    Bulk(Bytes),
    /// A bulk string that is text.
    Text(String),
    Null,
    /// The null of a reply that is otherwise an array.
    NullArray,
    Array(Vec<Reply>),
    /// Pairs in the order in which they are written.
    Map(Vec<(Reply, Reply)>),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
    Double(f64),
    Boolean(bool),
    /// Text for people, with its format of three letters.
    Verbatim(&'static str, String),
    /// The decimal digits of an integer of any size.
    BigNumber(String),
    /// An error, its code first.
    Error(String),
}

impl Reply {
    /// The integer 1 or 0, which is how most commands say yes and no in both versions.
    pub fn zero_or_one(value: bool) -> Self {
        Self::Integer(i64::from(value))
    }

    /// A bulk string with a copy of `value`.
    pub fn bulk(value: &[u8]) -> Self {
        Self::Bulk(Bytes::copy_from_slice(value))
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    pub fn write(&self, buffer: &mut ReplyBuffer) {
        match self {
            Self::Ok => buffer.simple("OK"),
            Self::Simple(text) => buffer.simple(text),
            Self::Status(text) => buffer.simple(text),
            Self::Integer(value) => buffer.integer(*value),
            Self::Bulk(value) => buffer.bulk_shared(value.clone()),
            Self::Text(text) => buffer.bulk(text.as_bytes()),
            Self::Null => buffer.null(),
            Self::NullArray => buffer.null_array(),
            Self::Array(elements) => {
                buffer.array(elements.len());
                write_all(elements, buffer);
            }
            Self::Map(pairs) => {
                buffer.map(pairs.len());
                for (key, value) in pairs {
                    key.write(buffer);
                    value.write(buffer);
                }
            }
            Self::Set(members) => {
                buffer.set(members.len());
                write_all(members, buffer);
            }
            Self::Push(elements) => {
                buffer.push(elements.len());
                write_all(elements, buffer);
            }
            Self::Double(value) => buffer.double(*value),
            Self::Boolean(value) => buffer.boolean(*value),
            Self::Verbatim(format, text) => buffer.verbatim(format, text.as_bytes()),
            Self::BigNumber(digits) => buffer.big_number(digits),
            Self::Error(text) => buffer.error(text),
        }
    }
}

fn write_all(replies: &[Reply], buffer: &mut ReplyBuffer) {
    for reply in replies {
        reply.write(buffer);
    }
}

impl From<i64> for Reply {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

/// Counts and lengths; those above the largest integer of the protocol read as that.
impl From<usize> for Reply {
    fn from(value: usize) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Reply {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<Bytes> for Reply {
    fn from(value: Bytes) -> Self {
        Self::Bulk(value)
    }
}

impl From<Vec<u8>> for Reply {
    fn from(value: Vec<u8>) -> Self {
        Self::Bulk(value.into())
    }
}

impl From<String> for Reply {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<Reply>> for Reply {
    fn from(elements: Vec<Reply>) -> Self {
        Self::Array(elements)
    }
}

/// Nothing reads as null.
impl<T: Into<Reply>> From<Option<T>> for Reply {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Version;

    #[test]
    fn every_reply_is_written_in_both_versions() {
        let ten = || Bytes::from_static(b"ten");
        let table: &[(Reply, &str, &str)] = &[
            (Reply::Ok, "+OK\r\n", "+OK\r\n"),
            (Reply::Simple("PONG"), "+PONG\r\n", "+PONG\r\n"),
            (Reply::from(-5_i64), ":-5\r\n", ":-5\r\n"),
            (Reply::from(usize::MAX), ":9223372036854775807\r\n", ":9223372036854775807\r\n"),
            (Reply::zero_or_one(true), ":1\r\n", ":1\r\n"),
            (Reply::zero_or_one(false), ":0\r\n", ":0\r\n"),
            (Reply::from(ten()), "$3\r\nten\r\n", "$3\r\nten\r\n"),
            (Reply::from(b"ten".to_vec()), "$3\r\nten\r\n", "$3\r\nten\r\n"),
            (Reply::bulk(b"ten"), "$3\r\nten\r\n", "$3\r\nten\r\n"),
            (Reply::from(Some(ten())), "$3\r\nten\r\n", "$3\r\nten\r\n"),
            (Reply::from(None::<Bytes>), "$-1\r\n", "_\r\n"),
            (Reply::from(Some(7_i64)), ":7\r\n", ":7\r\n"),
            (Reply::from(String::from("é")), "$2\r\né\r\n", "$2\r\né\r\n"),
            (Reply::NullArray, "*-1\r\n", "_\r\n"),
            (Reply::from(vec![Reply::Ok, Reply::Null]), "*2\r\n+OK\r\n$-1\r\n", "*2\r\n+OK\r\n_\r\n"),
            (
                Reply::Map(vec![(Reply::from(2_i64), Reply::Array(vec![])), (Reply::from(1_i64), Reply::Ok)]),
                "*4\r\n:2\r\n*0\r\n:1\r\n+OK\r\n",
                "%2\r\n:2\r\n*0\r\n:1\r\n+OK\r\n",
            ),
            (Reply::Set(vec![Reply::from(1_i64)]), "*1\r\n:1\r\n", "~1\r\n:1\r\n"),
            (Reply::Push(vec![Reply::from(1_i64)]), "*1\r\n:1\r\n", ">1\r\n:1\r\n"),
            (Reply::from(0.1), "$3\r\n0.1\r\n", ",0.1\r\n"),
            (Reply::Boolean(true), ":1\r\n", "#t\r\n"),
            (Reply::Verbatim("txt", "x".into()), "$1\r\nx\r\n", "=5\r\ntxt:x\r\n"),
            (Reply::BigNumber("12".into()), "$2\r\n12\r\n", "(12\r\n"),
            (Reply::Error("ERR a\r\nb".into()), "-ERR a  b\r\n", "-ERR a  b\r\n"),
        ];
        for (reply, resp2, resp3) in table {
            for (version, expected) in [(Version::Resp2, resp2), (Version::Resp3, resp3)] {
                let mut buffer = ReplyBuffer::new(version);
                reply.write(&mut buffer);
                assert_eq!(String::from_utf8(buffer.to_vec()).unwrap(), *expected, "{reply:?}");
            }
        }
    }
}
