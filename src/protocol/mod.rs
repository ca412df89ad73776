//! The wire: requests out of bytes, replies into bytes, in RESP2 and RESP3.
//!
//! Nothing here knows a command, a socket or a clock; every limit comes in as a value, and no memory is ever taken
//! because a peer announced a length.

mod buffer;
mod double;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod reply;
mod request;
mod short;
mod words;

#[cfg(test)]
mod tests;

pub use buffer::{Mark, ReplyBuffer, SHARED_BYTES_MIN, TEXT_BYTES_KEPT, Version};
pub use double::{DoubleBuffer, format_double};
pub use error::ProtocolError;
pub use reply::Reply;
pub use request::{Arguments, Decoded, Decoder, LINE_BYTES_MAX, Limits};
pub use short::whole;
pub use words::{Unbalanced, split};
