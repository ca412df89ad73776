//! Replies: what is written is what the decoders of `redis_protocol` read, in both versions.

use crate::protocol::*;
use bytes::Bytes;
use proptest::prelude::*;
use redis_protocol::resp2::{self, types::OwnedFrame as Frame2};
use redis_protocol::resp3::{self, types::OwnedFrame as Frame3, types::VerbatimStringFormat};

/// What a client reads; maps and sets sorted, since the reader's have no order.
#[derive(Clone, Debug, PartialEq)]
enum Read {
    Status(Vec<u8>),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Read>),
    Map(Vec<(Read, Read)>),
    Set(Vec<Read>),
    Push(Vec<Read>),
    /// By its bits: NaN is to equal itself, and -0 not 0.
    Double(u64),
    Boolean(bool),
    Verbatim(&'static str, Vec<u8>),
    BigNumber(Vec<u8>),
}

fn sorted<T: std::fmt::Debug>(elements: impl Iterator<Item = T>) -> Vec<T> {
    let mut elements: Vec<T> = elements.collect();
    elements.sort_by_key(|element| format!("{element:?}"));
    elements
}

fn read2(frame: Frame2) -> Read {
    match frame {
        Frame2::SimpleString(text) => Read::Status(text),
        Frame2::Error(text) => Read::Error(text),
        Frame2::Integer(value) => Read::Integer(value),
        Frame2::BulkString(value) => Read::Bulk(value),
        Frame2::Array(elements) => Read::Array(elements.into_iter().map(read2).collect()),
        Frame2::Null => Read::Null,
    }
}

fn read3(frame: Frame3) -> Read {
    match frame {
        Frame3::SimpleString { data, .. } => Read::Status(data),
        Frame3::SimpleError { data, .. } => Read::Error(data),
        Frame3::Number { data, .. } => Read::Integer(data),
        Frame3::BlobString { data, .. } => Read::Bulk(data),
        Frame3::Null => Read::Null,
        Frame3::Array { data, .. } => Read::Array(data.into_iter().map(read3).collect()),
        Frame3::Map { data, .. } => Read::Map(sorted(data.into_iter().map(|(key, value)| (read3(key), read3(value))))),
        Frame3::Set { data, .. } => Read::Set(sorted(data.into_iter().map(read3))),
        Frame3::Push { data, .. } => Read::Push(data.into_iter().map(read3).collect()),
        Frame3::Double { data, .. } => Read::Double(data.to_bits()),
        Frame3::Boolean { data, .. } => Read::Boolean(data),
        Frame3::VerbatimString { data, format: VerbatimStringFormat::Text, .. } => Read::Verbatim("txt", data),
        Frame3::VerbatimString { data, format: VerbatimStringFormat::Markdown, .. } => Read::Verbatim("mkd", data),
        Frame3::BigNumber { data, .. } => Read::BigNumber(data),
        other => panic!("no reply of ours: {other:?}"),
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

fn double_text(value: f64) -> Vec<u8> {
    format_double(value, &mut DoubleBuffer::new()).to_vec()
}

/// What a client is to read.
fn expected(reply: &Reply, version: Version) -> Read {
    let is_resp3 = version == Version::Resp3;
    let all = |replies: &[Reply]| -> Vec<Read> { replies.iter().map(|reply| expected(reply, version)).collect() };
    match reply {
        Reply::Ok => Read::Status(b"OK".to_vec()),
        Reply::Simple(text) => Read::Status(text.as_bytes().to_vec()),
        Reply::Status(text) => Read::Status(text.as_bytes().to_vec()),
        Reply::Integer(value) => Read::Integer(*value),
        Reply::Bulk(value) => Read::Bulk(value.to_vec()),
        Reply::Text(text) => Read::Bulk(text.as_bytes().to_vec()),
        Reply::Null | Reply::NullArray => Read::Null,
        Reply::Array(elements) => Read::Array(all(elements)),
        Reply::Map(pairs) if is_resp3 => {
            Read::Map(sorted(pairs.iter().map(|(key, value)| (expected(key, version), expected(value, version)))))
        }
        Reply::Map(pairs) => Read::Array(
            pairs.iter().flat_map(|(key, value)| [expected(key, version), expected(value, version)]).collect(),
        ),
        Reply::Set(members) if is_resp3 => Read::Set(sorted(all(members).into_iter())),
        Reply::Push(elements) if is_resp3 => Read::Push(all(elements)),
        Reply::Set(elements) | Reply::Push(elements) => Read::Array(all(elements)),
        Reply::Double(value) if is_resp3 => Read::Double(value.to_bits()),
        Reply::Double(value) => Read::Bulk(double_text(*value)),
        Reply::Boolean(value) if is_resp3 => Read::Boolean(*value),
        Reply::Boolean(value) => Read::Integer(i64::from(*value)),
        Reply::Verbatim(format, text) if is_resp3 => Read::Verbatim(format, text.as_bytes().to_vec()),
        Reply::Verbatim(_, text) => Read::Bulk(text.as_bytes().to_vec()),
        Reply::BigNumber(digits) if is_resp3 => Read::BigNumber(digits.as_bytes().to_vec()),
        Reply::BigNumber(digits) => Read::Bulk(digits.as_bytes().to_vec()),
        Reply::Error(text) => Read::Error(one_line(text)),
    }
}

/// All replies in `bytes`, which must hold nothing else.
fn read_all(mut bytes: &[u8], version: Version) -> Vec<Read> {
    let mut replies = Vec::new();
    while !bytes.is_empty() {
        let (reply, taken) = match version {
            Version::Resp2 => {
                let (frame, taken) = resp2::decode::decode(bytes).unwrap().expect("a whole reply");
                (read2(frame), taken)
            }
            Version::Resp3 => {
                let (frame, taken) = resp3::decode::complete::decode(bytes).unwrap().expect("a whole reply");
                (read3(frame), taken)
            }
        };
        replies.push(reply);
        bytes = &bytes[taken..];
    }
    replies
}

fn bulk() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        9 => prop::collection::vec(any::<u8>(), 0..30).prop_map(Bytes::from),
        1 => (any::<u8>(), SHARED_BYTES_MIN - 1..SHARED_BYTES_MIN + 2)
            .prop_map(|(byte, size)| Bytes::from(vec![byte; size])),
    ]
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        any::<i32>().prop_map(f64::from),
        (any::<i32>(), -12..12).prop_map(|(value, scale)| f64::from(value) * 10_f64.powi(scale)),
        prop::sample::select(vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MAX, f64::MIN_POSITIVE]),
    ]
    // One NaN is as good as another on the wire.
    .prop_map(|value| if value.is_nan() { f64::NAN } else { value })
}

fn integer() -> impl Strategy<Value = i64> {
    let near_powers = (0..19_u32, -2..3_i64, any::<bool>()).prop_map(|(power, offset, negative)| {
        let value = 10_i64.pow(power) + offset;
        if negative { -value } else { value }
    });
    prop_oneof![any::<i64>(), near_powers, prop::sample::select(vec![i64::MIN, i64::MAX])]
}

fn reply() -> impl Strategy<Value = Reply> {
    let text = "[a-z\r\n:+$*é ]{0,12}";
    let leaf = prop_oneof![
        Just(Reply::Ok),
        Just(Reply::Simple("PONG")),
        "[ -~é]{0,12}".prop_map(Reply::Status),
        integer().prop_map(Reply::Integer),
        bulk().prop_map(Reply::Bulk),
        text.prop_map(Reply::Text),
        Just(Reply::Null),
        Just(Reply::NullArray),
        double().prop_map(Reply::Double),
        any::<bool>().prop_map(Reply::Boolean),
        (prop::sample::select(vec!["txt", "mkd"]), text).prop_map(|(format, text)| Reply::Verbatim(format, text)),
        "-?[1-9][0-9]{18,40}".prop_map(Reply::BigNumber),
        text.prop_map(|text| Reply::Error(format!("ERR {text}"))),
    ];
    leaf.prop_recursive(3, 24, 6, |element| {
        let keys = || prop::collection::btree_set(prop::collection::vec(any::<u8>(), 0..8), 0..6);
        prop_oneof![
            prop::collection::vec(element.clone(), 0..6).prop_map(Reply::Array),
            keys().prop_map(|members| Reply::Set(members.into_iter().map(Reply::from).collect())),
            (keys(), prop::collection::vec(element, 6))
                .prop_map(|(keys, values)| { Reply::Map(keys.into_iter().map(Reply::from).zip(values).collect()) }),
        ]
    })
}

proptest! {
    #[test]
    fn another_reader_reads_what_was_written(replies in prop::collection::vec(reply(), 0..8)) {
        for version in [Version::Resp2, Version::Resp3] {
            let mut buffer = ReplyBuffer::new(version);
            replies.iter().for_each(|reply| reply.write(&mut buffer));
            let written = buffer.to_vec();
            prop_assert_eq!(written.len(), buffer.len());
            let read = read_all(&written, version);
            let expected: Vec<Read> = replies.iter().map(|reply| expected(reply, version)).collect();
            prop_assert_eq!(read, expected);
        }
    }

    /// The push type is known to the reader on the outermost level only, as in the protocol.
    #[test]
    fn another_reader_reads_pushes(elements in prop::collection::vec(bulk(), 1..4)) {
        let elements = [vec![Reply::bulk(b"message")], elements.into_iter().map(Reply::Bulk).collect()].concat();
        let reply = Reply::Push(elements);
        for version in [Version::Resp2, Version::Resp3] {
            let mut buffer = ReplyBuffer::new(version);
            reply.write(&mut buffer);
            prop_assert_eq!(read_all(&buffer.to_vec(), version), vec![expected(&reply, version)]);
        }
    }
}
