//! Requests: what is accepted and refused, however the bytes are cut, and at what cost.

use crate::protocol::fuzzing::{Seen, serve};
use crate::protocol::*;
use bytes::BytesMut;
use proptest::prelude::*;
use redis_protocol::resp2::encode::extend_encode;
use redis_protocol::resp2::types::BytesFrame;

const PROTO_MAX_BULK_LEN: usize = 512 * 1024 * 1024;
const AUTHENTICATED: Limits = Limits::authenticated(PROTO_MAX_BULK_LEN);

fn serve_whole(stream: &[u8], limits: &Limits) -> Vec<Seen> {
    serve([stream], limits, &mut Decoder::new())
}

/// The stream cut in two at every place, and into single bytes, is the stream in one piece.
fn assert_cuts_do_not_matter(stream: &[u8], limits: &Limits) {
    let whole = serve_whole(stream, limits);
    for cut in 0..=stream.len() {
        let (first, second) = stream.split_at(cut);
        assert_eq!(serve([first, second], limits, &mut Decoder::new()), whole, "cut at {cut}");
    }
    assert_eq!(serve(stream.chunks(1), limits, &mut Decoder::new()), whole, "{}", stream.escape_ascii());
}

fn request(words: &[&str]) -> Seen {
    Seen::Request(words.iter().map(|word| word.as_bytes().to_vec()).collect())
}

fn ping() -> Seen {
    request(&["PING"])
}

const PING: &str = "*1\r\n$4\r\nPING\r\n";

/// Each row was asked of redis-server 7.0.15, and holds there too unless it says otherwise.
#[test]
fn the_wire_behaves_as_with_redis() {
    use ProtocolError::*;
    use Seen::{Refused, Unfinished};
    let with_ping = |start: &str| format!("{start}{PING}");
    let table: Vec<(String, Vec<Seen>)> = vec![
        (String::new(), vec![Unfinished(0)]),
        (PING.into(), vec![ping(), Unfinished(0)]),
        (with_ping(PING), vec![ping(), ping(), Unfinished(0)]),
        ("*2\r\n$4\r\nECHO\r\n$4\r\na\r\nb\r\n".into(), vec![request(&["ECHO", "a\r\nb"]), Unfinished(0)]),
        (with_ping("*1\r\n$0\r\n\r\n"), vec![request(&[""]), ping(), Unfinished(0)]),
        ("*2\r\n$4\r\nPING\r\n$0\r\n\r\n".into(), vec![request(&["PING", ""]), Unfinished(0)]),
        // Nothing to execute.
        (with_ping("*0\r\n"), vec![ping(), Unfinished(0)]),
        (with_ping("*-1\r\n"), vec![ping(), Unfinished(0)]),
        (with_ping("*-5\r\n"), vec![ping(), Unfinished(0)]),
        (with_ping("*-9223372036854775808\r\n"), vec![ping(), Unfinished(0)]),
        (with_ping("\r\n"), vec![ping(), Unfinished(0)]),
        (with_ping("\n"), vec![ping(), Unfinished(0)]),
        (with_ping("\r\r\n \t \r\n"), vec![ping(), Unfinished(0)]),
        // Counts.
        ("*1".into(), vec![Unfinished(2)]),
        ("*2147483647\r\n".into(), vec![Unfinished(13)]),
        ("*2147483648\r\n".into(), vec![Refused(InvalidCount)]),
        ("*9223372036854775808\r\n".into(), vec![Refused(InvalidCount)]),
        ("*-9223372036854775809\r\n".into(), vec![Refused(InvalidCount)]),
        (with_ping("*\r\n"), vec![Refused(InvalidCount)]),
        ("*+1\r\n$4\r\nPING\r\n".into(), vec![Refused(InvalidCount)]),
        ("*01\r\n$4\r\nPING\r\n".into(), vec![Refused(InvalidCount)]),
        ("*00\r\n".into(), vec![Refused(InvalidCount)]),
        ("*-0\r\n".into(), vec![Refused(InvalidCount)]),
        ("*-\r\n".into(), vec![Refused(InvalidCount)]),
        ("*1x\r\n".into(), vec![Refused(InvalidCount)]),
        ("*1 \r\n".into(), vec![Refused(InvalidCount)]),
        ("* 1\r\n".into(), vec![Refused(InvalidCount)]),
        ("*0x1\r\n".into(), vec![Refused(InvalidCount)]),
        ("*1\n$4\r\nPING\r\n".into(), vec![Refused(InvalidCount)]),
        // Redis accepts any byte after the CR of these two.
        ("*1\rx$4\r\nPING\r\n".into(), vec![Refused(InvalidCount)]),
        ("*1\r\n$4\rxPING\r\n".into(), vec![Refused(InvalidLength)]),
        // Elements.
        ("*1\r\n*1\r\n$4\r\nPING\r\n".into(), vec![Refused(ExpectedBulk(b'*'))]),
        ("*1\r\n:4\r\n".into(), vec![Refused(ExpectedBulk(b':'))]),
        ("*1\r\n\r\n".into(), vec![Refused(ExpectedBulk(b'\r'))]),
        // Redis waits for a NUL byte's line to become too long.
        ("*1\r\n\0\r\n".into(), vec![Refused(ExpectedBulk(0))]),
        ("*1\r\n$-1\r\n".into(), vec![Refused(InvalidLength)]),
        ("*1\r\n$-0\r\nPING\r\n".into(), vec![Refused(InvalidLength)]),
        ("*1\r\n$04\r\nPING\r\n".into(), vec![Refused(InvalidLength)]),
        ("*1\r\n$+4\r\nPING\r\n".into(), vec![Refused(InvalidLength)]),
        ("*1\r\n$4x\r\nPING\r\n".into(), vec![Refused(InvalidLength)]),
        ("*1\r\n$\r\nPING\r\n".into(), vec![Refused(InvalidLength)]),
        ("*1\r\n$536870912\r\n".into(), vec![Unfinished(16)]),
        ("*1\r\n$536870913\r\n".into(), vec![Refused(InvalidLength)]),
        ("*1\r\n$9223372036854775807\r\n".into(), vec![Refused(InvalidLength)]),
        ("*1\r\n$18446744073709551616\r\n".into(), vec![Refused(InvalidLength)]),
        // The two bytes after a bulk string are skipped unseen.
        (with_ping("*1\r\n$4\r\nPINGxx"), vec![ping(), ping(), Unfinished(0)]),
        (with_ping("*1\r\n$4\r\nPINGx\n"), vec![ping(), ping(), Unfinished(0)]),
        ("*1\r\n$4\r\nPING\r".into(), vec![Unfinished(13)]),
        // Inline requests; the quoting rules are in `words`.
        ("PING\n".into(), vec![ping(), Unfinished(0)]),
        ("PING\r\nPING\n".into(), vec![ping(), ping(), Unfinished(0)]),
        (with_ping("  SET a \"b c\" \r\n"), vec![request(&["SET", "a", "b c"]), ping(), Unfinished(0)]),
        (" *1\r\n".into(), vec![request(&["*1"]), Unfinished(0)]),
        (with_ping("\"\"\r\n"), vec![request(&[""]), ping(), Unfinished(0)]),
        ("PING".into(), vec![Unfinished(4)]),
        ("PING \"a\r\n".into(), vec![Refused(UnbalancedQuotes)]),
        ("PING 'a'b\r\n".into(), vec![Refused(UnbalancedQuotes)]),
        // Other protocols.
        ("POST / HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), vec![Refused(CrossProtocol)]),
        ("host: x\r\n".into(), vec![Refused(CrossProtocol)]),
        ("*1\r\n$4\r\npoST\r\n".into(), vec![Refused(CrossProtocol)]),
        ("*2\r\n$5\r\nHost:\r\n$1\r\nx\r\n".into(), vec![Refused(CrossProtocol)]),
        ("POSTER\n".into(), vec![request(&["POSTER"]), Unfinished(0)]),
        ("GET POST\n".into(), vec![request(&["GET", "POST"]), Unfinished(0)]),
        // Redis waits for a line's end in these two.
        ("\u{16}\u{3}\u{1}\0\u{a5}\u{1}".into(), vec![Refused(TlsHandshake)]),
        (with_ping("\u{16}\n"), vec![request(&["\u{16}"]), ping(), Unfinished(0)]),
    ];
    for (stream, expected) in table {
        assert_eq!(serve_whole(stream.as_bytes(), &AUTHENTICATED), expected, "{}", stream.escape_debug());
        assert_cuts_do_not_matter(stream.as_bytes(), &AUTHENTICATED);
    }
}

#[test]
fn a_client_sends_little_before_it_authenticates() {
    use ProtocolError::*;
    let waits = |stream: &str| vec![Seen::Unfinished(stream.len())];
    let table: &[(&str, Option<ProtocolError>)] = &[
        ("*10\r\n", None),
        ("*11\r\n", Some(UnauthenticatedCount)),
        ("*2147483647\r\n", Some(UnauthenticatedCount)),
        ("*2147483648\r\n", Some(InvalidCount)),
        ("*1\r\n$16384\r\n", None),
        ("*1\r\n$16385\r\n", Some(UnauthenticatedLength)),
        ("*1\r\n$536870912\r\n", Some(UnauthenticatedLength)),
        ("*1\r\n$536870913\r\n", Some(InvalidLength)),
        ("*1\r\n$-1\r\n", Some(InvalidLength)),
    ];
    for (stream, refused) in table {
        let expected = refused.map_or_else(|| waits(stream), |error| vec![Seen::Refused(error)]);
        assert_eq!(serve_whole(stream.as_bytes(), &Limits::unauthenticated()), expected, "{stream:?}");
        assert_cuts_do_not_matter(stream.as_bytes(), &Limits::unauthenticated());
    }
}

/// AUTH raises the limits of the very next request of its pipeline.
#[test]
fn limits_may_change_between_requests() {
    let first = b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n";
    let stream = [&first[..], b"*1\r\n$20000\r\n", &[b'x'; 20_000], b"\r\n"].concat();
    let mut decoder = Decoder::new();
    let decoded = decoder.decode(&stream, &Limits::unauthenticated());
    assert_eq!(decoded, Ok(Decoded::Request { consumed: first.len() }));
    let rest = &stream[first.len()..];
    assert_eq!(decoder.decode(rest, &AUTHENTICATED), Ok(Decoded::Request { consumed: rest.len() }));
    assert_eq!(decoder.arguments(rest)[0].len(), 20_000);
}

#[test]
fn proto_max_bulk_len_is_the_longest_bulk() {
    let limits = Limits::authenticated(5);
    assert_eq!(serve_whole(b"*1\r\n$5\r\n12345\r\n", &limits), [request(&["12345"]), Seen::Unfinished(0)]);
    assert_eq!(serve_whole(b"*1\r\n$6\r\n", &limits), [Seen::Refused(ProtocolError::InvalidLength)]);
}

/// A line's fate is its length, and not how it arrives (with Redis it is both).
#[test]
fn lines_end_within_64_kibibytes() {
    let long = |start: &str, total: usize, end: &str| {
        let mut stream = start.as_bytes().to_vec();
        stream.resize(total, b'1');
        stream.extend_from_slice(end.as_bytes());
        stream
    };
    let inline = Seen::Request(vec![vec![b'1'; LINE_BYTES_MAX]]);
    let element = LINE_BYTES_MAX + "*1\r\n".len();
    use ProtocolError::*;
    let table: &[(Vec<u8>, Vec<Seen>)] = &[
        (long("", LINE_BYTES_MAX, ""), vec![Seen::Unfinished(LINE_BYTES_MAX)]),
        (long("", LINE_BYTES_MAX, "\n"), vec![inline, Seen::Unfinished(0)]),
        (long("", LINE_BYTES_MAX + 1, ""), vec![Seen::Refused(InlineTooLong)]),
        (long("", LINE_BYTES_MAX + 1, "\n"), vec![Seen::Refused(InlineTooLong)]),
        (long("*", LINE_BYTES_MAX, ""), vec![Seen::Unfinished(LINE_BYTES_MAX)]),
        (long("*", LINE_BYTES_MAX, "\r\n"), vec![Seen::Refused(InvalidCount)]),
        (long("*", LINE_BYTES_MAX + 1, ""), vec![Seen::Refused(CountLineTooLong)]),
        (long("*", LINE_BYTES_MAX + 1, "\r\n"), vec![Seen::Refused(CountLineTooLong)]),
        (long("*1\r\n$", element, ""), vec![Seen::Unfinished(element)]),
        (long("*1\r\n$", element, "\r\n"), vec![Seen::Refused(InvalidLength)]),
        (long("*1\r\n$", element + 1, ""), vec![Seen::Refused(LengthLineTooLong)]),
        (long("*1\r\n$", element + 1, "\r\n"), vec![Seen::Refused(LengthLineTooLong)]),
    ];
    for (stream, expected) in table {
        for piece in [stream.len(), 16_384, 4_097, 1] {
            let mut decoder = Decoder::new();
            assert_eq!(serve(stream.chunks(piece), &AUTHENTICATED, &mut decoder), *expected, "in pieces of {piece}");
            assert!(decoder.work <= stream.len(), "a line was searched more than once");
        }
    }
}

#[test]
fn a_large_request_in_small_pieces_costs_what_it_does_in_one() {
    let mut stream = b"*200001\r\n$4\r\nMSET\r\n".to_vec();
    for number in 0..100_000 {
        stream.extend_from_slice(format!("$10\r\nkey:{number:06}\r\n$12\r\nvalue:{number:06}\r\n").as_bytes());
    }
    for piece in [stream.len(), 16_384, 1_000] {
        let mut decoder = Decoder::new();
        let seen = serve(stream.chunks(piece), &AUTHENTICATED, &mut decoder);
        assert!(matches!(&seen[..], [Seen::Request(words), Seen::Unfinished(0)] if words.len() == 200_001));
        assert!(decoder.work <= 2 * stream.len(), "{} for {} bytes", decoder.work, stream.len());
    }
}

#[test]
fn a_large_value_is_not_looked_at_until_it_is_there() {
    let stream = [&b"*1\r\n$1000000\r\n"[..], &[b'\r'; 1_000_000], b"\r\n"].concat();
    let mut decoder = Decoder::new();
    assert_eq!(decoder.decode(&stream[..20], &AUTHENTICATED), Ok(Decoded::Incomplete { wanted: stream.len() - 20 }));
    let work = decoder.work;
    for end in (20..stream.len()).step_by(1_000) {
        assert_eq!(
            decoder.decode(&stream[..end], &AUTHENTICATED),
            Ok(Decoded::Incomplete { wanted: stream.len() - end })
        );
    }
    assert_eq!(decoder.work, work);
    assert_eq!(decoder.decode(&stream, &AUTHENTICATED), Ok(Decoded::Request { consumed: stream.len() }));
}

#[test]
fn announcements_take_no_memory_and_large_requests_give_it_back() {
    let mut decoder = Decoder::new();
    serve([&b"*2147483647\r\n$536870912\r\nx"[..]], &AUTHENTICATED, &mut decoder);
    assert_eq!(decoder.memory_bytes(), 0);
    let mut stream = b"*100000\r\n".to_vec();
    stream.extend_from_slice(&b"$0\r\n\r\n".repeat(100_000));
    decoder = Decoder::new();
    serve([&stream[..]], &AUTHENTICATED, &mut decoder);
    serve([&vec![b'x'; LINE_BYTES_MAX][..], b"\n"], &AUTHENTICATED, &mut decoder);
    assert_eq!(decoder.decode(b"", &AUTHENTICATED), Ok(Decoded::Incomplete { wanted: 1 }));
    assert!(decoder.memory_bytes() <= 8 * 1024, "{}", decoder.memory_bytes());
}

#[test]
fn arguments_are_read_by_index_and_from_an_index_on() {
    let stream = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n";
    let mut decoder = Decoder::new();
    decoder.decode(stream, &AUTHENTICATED).unwrap();
    let arguments = decoder.arguments(stream);
    assert_eq!((arguments.len(), arguments.is_empty()), (3, false));
    assert_eq!(arguments.get(0), Some(&b"SET"[..]));
    assert_eq!(&arguments[1], b"k");
    assert_eq!(arguments.get(2), Some(&b""[..]));
    assert_eq!(arguments.get(3), None);
    assert_eq!(arguments.iter().rev().collect::<Vec<_>>(), [&b""[..], b"k", b"SET"]);
    assert_eq!(arguments.from(1).to_vec(), [&b"k"[..], b""]);
    assert_eq!(arguments.from(1).from(1).len(), 1);
    assert!(arguments.from(3).is_empty() && arguments.from(9).is_empty());
    assert!(std::ptr::eq(&arguments[1], &stream[17..18]), "arguments are not copied");
}

/// Pieces of the grammar as well as noise, so that random streams get far.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        prop::sample::select(vec![
            "*1\r\n",
            "*2\r\n",
            "*3\r\n",
            "*-1\r\n",
            "*0\r\n",
            "$0\r\n",
            "$1\r\n",
            "$4\r\n",
            "$-1\r\n",
            "\r\n",
            "\r",
            "\n",
            "PING",
            "POST",
            "a",
            " ",
            "\"",
            "'",
            "\\",
            "\\x41",
            "*",
            "$",
            "1",
            "99999999999",
            "\x16",
            "\x03",
            "\0",
        ])
        .prop_map(|token| token.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..6),
        Just(PING.as_bytes().to_vec()),
    ];
    prop::collection::vec(token, 0..30).prop_map(|tokens| tokens.concat())
}

fn cut<'a>(stream: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|ends| &stream[ends[0]..ends[1]]).collect()
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn random_bytes_do_no_harm(stream in stream(), cuts in cuts(), authenticated: bool) {
        let limits = if authenticated { AUTHENTICATED } else { Limits::unauthenticated() };
        let mut decoder = Decoder::new();
        let seen = serve(cut(&stream, &cuts), &limits, &mut decoder);
        prop_assert_eq!(seen, serve_whole(&stream, &limits));
        prop_assert!(decoder.work <= 2 * stream.len(), "{} for {}", decoder.work, stream.len());
        // A range takes 16 bytes, the shortest argument 2 (inline) of them, and vectors double.
        prop_assert!(decoder.memory_bytes() <= 18 * stream.len() + 128, "{}", decoder.memory_bytes());
    }

    /// Byte by byte, the decoder finds it in the long way.
    #[test]
    fn what_is_found_in_one_go_is_what_the_decoder_finds(
        stream in stream(),
        words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 1..4),
        is_sound: bool,
    ) {
        let mut sound = BytesMut::new();
        let bulks = words.into_iter().map(|word| BytesFrame::BulkString(word.into())).collect();
        extend_encode(&mut sound, &BytesFrame::Array(bulks), false).unwrap();
        let stream = if is_sound { [&sound[..], &stream].concat() } else { stream };
        let mut places = vec![(7, 9)];
        let end = whole(&stream, &AUTHENTICATED, &mut places);
        prop_assert!(end.is_some() || !is_sound);
        let Some(end) = end else {
            prop_assert_eq!(places, vec![(7, 9)]);
            return Ok(());
        };
        let words = Arguments::new(&stream, &places[1..]).to_vec();
        let expected = vec![Seen::Request(words), Seen::Unfinished(0)];
        prop_assert_eq!(serve(stream[..end].chunks(1), &AUTHENTICATED, &mut Decoder::new()), expected);
    }

    #[test]
    fn what_another_encoder_wrote_is_what_is_read(
        requests in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..12), 0..8),
        cuts in cuts(),
    ) {
        let mut stream = BytesMut::new();
        for words in &requests {
            let bulks = words.iter().map(|word| BytesFrame::BulkString(word.clone().into())).collect();
            extend_encode(&mut stream, &BytesFrame::Array(bulks), false).unwrap();
        }
        let mut expected: Vec<Seen> = requests.into_iter().map(Seen::Request).collect();
        expected.push(Seen::Unfinished(0));
        prop_assert_eq!(serve(cut(&stream, &cuts), &AUTHENTICATED, &mut Decoder::new()), expected);
    }
}
