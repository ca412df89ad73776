//! What can be wrong with the bytes of a peer.
//!
//! After any of these the stream is out of step: the server answers at most once and closes the connection.

use super::ReplyBuffer;
use std::fmt;

/// A violation of the protocol. `Display` is for the log; [`ProtocolError::write`] is for the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// An inline request is longer than [`LINE_BYTES_MAX`](super::LINE_BYTES_MAX).
    InlineTooLong,
    /// The line `*N` is longer than [`LINE_BYTES_MAX`](super::LINE_BYTES_MAX).
    CountLineTooLong,
    /// The line `$N` is longer than [`LINE_BYTES_MAX`](super::LINE_BYTES_MAX).
    LengthLineTooLong,
    /// `*N` with an N that is no number, or more than any request may hold.
    InvalidCount,
    /// `*N` with more arguments than a client may send before it has authenticated.
    UnauthenticatedCount,
    /// `$N` with an N that is no number, negative, or above `proto-max-bulk-len`.
    InvalidLength,
    /// `$N` with more bytes than a client may send before it has authenticated.
    UnauthenticatedLength,
    /// An element of a request began with this byte, not with `$`.
    ExpectedBulk(u8),
    /// An inline request with a quote left open.
    UnbalancedQuotes,
    /// The first word is `POST` or `Host:`: a browser made to speak to this port. Never answered.
    CrossProtocol,
    /// A TLS handshake on a port without TLS. Never answered.
    TlsHandshake,
}

impl ProtocolError {
    /// Writes the error reply, in Redis's words, unless the peer must not be answered; says whether it did.
    pub fn write(&self, reply: &mut ReplyBuffer) -> bool {
        let mut text = b"ERR Protocol error: ".to_vec();
        match self {
            Self::CrossProtocol | Self::TlsHandshake => return false,
            Self::ExpectedBulk(byte) => {
                // The byte goes back as it came, valid UTF-8 or not.
                text.extend_from_slice(b"expected '$', got '");
                text.extend_from_slice(&[*byte, b'\'']);
            }
            other => text.extend_from_slice(other.reason().as_bytes()),
        }
        reply.error(&text);
        true
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::InlineTooLong => "too big inline request",
            Self::CountLineTooLong => "too big mbulk count string",
            Self::LengthLineTooLong => "too big bulk count string",
            Self::InvalidCount => "invalid multibulk length",
            Self::UnauthenticatedCount => "unauthenticated multibulk length",
            Self::InvalidLength => "invalid bulk length",
            Self::UnauthenticatedLength => "unauthenticated bulk length",
            Self::ExpectedBulk(_) => "expected '$'",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::CrossProtocol => {
                "the first word is POST or Host:, so this is HTTP, perhaps a browser misled into attacking this server"
            }
            Self::TlsHandshake => {
                "the client began a TLS handshake, but this port speaks plain text; turn TLS off in the client, or \
                 point it to a TLS port"
            }
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExpectedBulk(byte) => {
                write!(f, "Protocol error: expected '$', got '{}'", byte.escape_ascii())
            }
            other => write!(f, "Protocol error: {}", other.reason()),
        }
    }
}

impl std::error::Error for ProtocolError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Version;

    #[test]
    fn the_peer_reads_the_exact_words_of_redis() {
        let table: &[(ProtocolError, &[u8])] = &[
            (ProtocolError::InlineTooLong, b"-ERR Protocol error: too big inline request\r\n"),
            (ProtocolError::CountLineTooLong, b"-ERR Protocol error: too big mbulk count string\r\n"),
            (ProtocolError::LengthLineTooLong, b"-ERR Protocol error: too big bulk count string\r\n"),
            (ProtocolError::InvalidCount, b"-ERR Protocol error: invalid multibulk length\r\n"),
            (ProtocolError::UnauthenticatedCount, b"-ERR Protocol error: unauthenticated multibulk length\r\n"),
            (ProtocolError::InvalidLength, b"-ERR Protocol error: invalid bulk length\r\n"),
            (ProtocolError::UnauthenticatedLength, b"-ERR Protocol error: unauthenticated bulk length\r\n"),
            (ProtocolError::ExpectedBulk(b'*'), b"-ERR Protocol error: expected '$', got '*'\r\n"),
            (ProtocolError::ExpectedBulk(b'\r'), b"-ERR Protocol error: expected '$', got ' '\r\n"),
            (ProtocolError::ExpectedBulk(0xff), b"-ERR Protocol error: expected '$', got '\xff'\r\n"),
            (ProtocolError::UnbalancedQuotes, b"-ERR Protocol error: unbalanced quotes in request\r\n"),
            (ProtocolError::CrossProtocol, b""),
            (ProtocolError::TlsHandshake, b""),
        ];
        for (error, expected) in table {
            let mut reply = ReplyBuffer::new(Version::Resp2);
            assert_eq!(error.write(&mut reply), !expected.is_empty());
            assert_eq!(reply.to_vec(), *expected, "{error}");
        }
    }
}
