//! The decoder against tables of the wire, every cut of every request, random bytes, and an independent encoder; and
//! replies against an independent reader, the decoders of `redis_protocol`.

mod replies;
mod requests;
