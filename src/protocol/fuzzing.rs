//! What must hold whatever bytes a client sends, and however the network cuts them.

use super::{Decoded, Decoder, Limits, ProtocolError};

const AUTHENTICATED: Limits = Limits::authenticated(512 << 20);
/// So small that a few bytes go beyond it.
const NARROW: Limits = Limits::authenticated(16);

/// Which limits hold is the first byte of an input; the lengths of pieces are the ones behind it.
const PIECES: usize = 7;
/// Longer streams are not looked at byte by byte as well.
const SINGLE_BYTES_MAX: usize = 4096;

/// What a server made of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    Request(Vec<Vec<u8>>),
    Refused(ProtocolError),
    /// The bytes at the end that are no whole request.
    Unfinished(usize),
}

/// A stream of requests in pieces: what comes of it does not depend on them, every byte is looked at about once, memory
/// follows what was received, and the same words in the usual form are the same request.
pub(crate) fn request(data: &[u8]) {
    let Some((&[choice, ref lengths @ ..], stream)) = data.split_first_chunk::<{ 1 + PIECES }>() else { return };
    let limits = match choice % 3 {
        0 => AUTHENTICATED,
        1 => NARROW,
        _ => Limits::unauthenticated(),
    };
    let whole = check(&[stream], &limits);
    assert_eq!(check(&pieces(stream, lengths), &limits), whole, "cut in pieces");
    if stream.len() <= SINGLE_BYTES_MAX {
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(check(&bytes, &limits), whole, "cut in bytes");
    }
    for seen in whole {
        if let Seen::Request(words) = seen {
            let again = check(&[&encoded(&words)], &AUTHENTICATED);
            assert_eq!(again, [Seen::Request(words), Seen::Unfinished(0)]);
        }
    }
}

/// Serves a stream that arrives in pieces, as the server does; blank lines leave no trace.
pub(super) fn serve<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    limits: &Limits,
    decoder: &mut Decoder,
) -> Vec<Seen> {
    let (mut buffer, mut seen, mut hoped_for) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut begin = 0;
        loop {
            let rest = &buffer[begin..];
            let consumed = match decoder.decode(rest, limits) {
                Err(error) => {
                    assert!(decoder.arguments(rest).is_empty());
                    seen.push(Seen::Refused(error));
                    return seen;
                }
                Ok(Decoded::Incomplete { wanted }) => {
                    assert!(wanted > 0);
                    hoped_for = rest.len() + wanted;
                    assert!(decoder.arguments(rest).is_empty());
                    break;
                }
                Ok(Decoded::Nothing { consumed }) => {
                    assert!(decoder.arguments(rest).is_empty());
                    consumed
                }
                Ok(Decoded::Request { consumed }) => {
                    seen.push(Seen::Request(decoder.arguments(rest).to_vec()));
                    consumed
                }
            };
            assert!(consumed > 0 && begin + consumed <= buffer.len());
            assert!(begin + consumed >= hoped_for || begin > 0, "came with fewer bytes than were said to be needed");
            begin += consumed;
            hoped_for = 0;
        }
        buffer.drain(..begin);
    }
    seen.push(Seen::Unfinished(buffer.len()));
    seen
}

fn check(pieces: &[&[u8]], limits: &Limits) -> Vec<Seen> {
    let mut decoder = Decoder::new();
    let seen = serve(pieces.iter().copied(), limits, &mut decoder);
    let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
    assert!(decoder.work <= 2 * bytes, "{} bytes were looked at of {bytes}", decoder.work);
    // A range takes 16 bytes, the shortest argument 2 (inline) of them, and vectors double.
    assert!(decoder.memory_bytes() <= 18 * bytes + 128, "{} bytes for {bytes}", decoder.memory_bytes());
    seen
}

/// The stream in pieces of these lengths, again and again; 0 counts as 256.
fn pieces<'a>(stream: &'a [u8], lengths: &[u8; PIECES]) -> Vec<&'a [u8]> {
    let mut rest = stream;
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle() {
        let length = usize::from(length.wrapping_sub(1)) + 1;
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    pieces
}

/// A request as an array of bulk strings.
fn encoded(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Where the search for inputs begins.
#[cfg(test)]
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let bulks = |words: &[&[u8]]| encoded(&words.iter().map(|word| word.to_vec()).collect::<Vec<_>>());
    let of = |choice: u8, stream: &[u8]| [&[choice, 1, 2, 3, 5, 8, 13, 0], stream].concat();
    let pipeline = [bulks(&[b"PING"]), bulks(&[b"SET", b"key", b"a\r\nb"]), bulks(&[b"GET", b""])].concat();
    vec![
        ("array", of(0, &bulks(&[b"SET", b"key", b"value", b"EX", b"10"]))),
        ("array-of-nothing", of(0, b"*0\r\n*-1\r\n*1\r\n$4\r\nPING\r\n")),
        ("beyond-the-limit", of(1, &bulks(&[b"ECHO", b"more than sixteen bytes"]))),
        ("blank-lines", of(0, b"\r\n \t\r\n\nPING\r\n")),
        ("cross-protocol", of(0, b"POST / HTTP/1.1\r\nHost: here\r\n\r\n")),
        ("inline", of(0, b"SET key \"a \\x41\\n\\\"\" 'it\\'s'\r\nGET key\n")),
        ("inline-unbalanced", of(0, b"ECHO \"a\r\n")),
        ("large-announcement", of(0, b"*2147483647\r\n$536870912\r\nx")),
        ("mixed", of(0, &[&pipeline[..], b"PING\r\n", &pipeline].concat())),
        ("numbers", of(0, b"*2\r\n$4\r\nECHO\r\n$-0\r\n\r\n*01\r\n*-9223372036854775808\r\n")),
        ("pipeline", of(0, &pipeline)),
        ("tls", of(0, b"\x16\x03\x01\x02\x00\x01\x00")),
        ("too-many-arguments", of(2, b"*11\r\n$4\r\nPING\r\n")),
        ("unauthenticated", of(2, &[bulks(&[b"AUTH", b"secret"]), b"*1\r\n$16385\r\n".to_vec()].concat())),
        ("unfinished", of(0, b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$10\r\nval")),
    ]
}
