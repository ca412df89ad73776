//! Memory for what arrives and for replies, which a connection holds only while there is something in it.
//!
//! Always true: a connection that waits for its client holds no more than what it has not yet executed or sent. What it
//! gives back serves the next connection of the thread, which finds it in the processor's caches.

use std::cell::RefCell;

use bytes::BytesMut;

use crate::protocol::ReplyBuffer;

/// Room for what a client sends is made in steps of this size.
pub(super) const READ_BYTES: usize = 16 * 1024;

/// A buffer that grew beyond this is freed instead of being kept for others.
const BYTES_KEPT: usize = 64 * 1024;

/// So many of each kind are kept by a thread: as many connections have some at once while they wait for each other before
/// their requests run.
pub(super) const SPARE_MAX: usize = 128;

/// What begins a request that is not whole yet stays in a buffer of its own size, if the one it came in is so many times
/// larger.
const LOOSE: usize = 4;

#[derive(Default)]
struct Spare {
    inputs: Vec<BytesMut>,
    outputs: Vec<Vec<u8>>,
}

thread_local! {
    static SPARE: RefCell<Spare> = RefCell::default();
}

/// Makes room for what has arrived.
pub(super) fn make_room(input: &mut BytesMut) {
    if input.is_empty()
        && !input.try_reclaim(READ_BYTES)
        && let Some(spare) = SPARE.with_borrow_mut(|spare| spare.inputs.pop())
    {
        *input = spare;
    }
    input.reserve(READ_BYTES);
}

/// Gives back what holds nothing; what little is left over moves to a buffer of its size.
pub(super) fn give_back_input(input: &mut BytesMut) {
    if input.capacity() == 0 || !input.is_empty() && input.capacity() / LOOSE < input.len() {
        return;
    }
    let own = if input.is_empty() { BytesMut::new() } else { BytesMut::from(&input[..]) };
    let mut spare = std::mem::replace(input, own);
    if spare.capacity() <= BYTES_KEPT {
        spare.clear();
        SPARE.with_borrow_mut(|all| keep(&mut all.inputs, spare));
    }
}

/// Lends memory for replies, where there is none.
pub(super) fn lend_output(out: &mut ReplyBuffer) {
    if out.memory_bytes() == 0
        && let Some(spare) = SPARE.with_borrow_mut(|spare| spare.outputs.pop())
    {
        out.lend(spare);
    }
}

/// Gives it back, if all replies are sent.
pub(super) fn give_back_output(out: &mut ReplyBuffer) {
    if let Some(spare) = out.give_back() {
        SPARE.with_borrow_mut(|all| keep(&mut all.outputs, spare));
    }
}

fn keep<B>(spare: &mut Vec<B>, buffer: B) {
    if spare.len() < SPARE_MAX {
        spare.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Version;

    #[test]
    fn who_waits_holds_only_what_is_left_over() {
        let mut input = BytesMut::new();
        make_room(&mut input);
        input.extend_from_slice(b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPI");
        bytes::Buf::advance(&mut input, 14);
        give_back_input(&mut input);
        assert_eq!((&input[..], input.capacity() < 64), (&b"*1\r\n$4\r\nPI"[..], true));
        make_room(&mut input);
        assert!(&input[..] == b"*1\r\n$4\r\nPI" && input.capacity() >= READ_BYTES);
        input.clear();
        give_back_input(&mut input);
        assert_eq!(input.capacity(), 0);
        assert_eq!(SPARE.with_borrow(|spare| spare.inputs.len()), 2);
        // A large one is freed.
        input.reserve(BYTES_KEPT + 1);
        give_back_input(&mut input);
        assert_eq!((input.capacity(), SPARE.with_borrow(|spare| spare.inputs.len())), (0, 2));
        // What is nearly full stays where it is.
        input.extend_from_slice(&[b'x'; READ_BYTES]);
        let at = input.as_ptr();
        give_back_input(&mut input);
        assert_eq!((input.as_ptr(), input.len()), (at, READ_BYTES));
    }

    #[test]
    fn memory_for_replies_goes_from_one_to_the_next() {
        let mut out = ReplyBuffer::new(Version::Resp2);
        out.simple("OK");
        give_back_output(&mut out);
        assert_ne!(out.memory_bytes(), 0, "its reply is not sent");
        out.advance(out.len());
        give_back_output(&mut out);
        assert_eq!(out.memory_bytes(), 0);
        let mut other = ReplyBuffer::new(Version::Resp2);
        lend_output(&mut other);
        assert_ne!(other.memory_bytes(), 0);
        other.simple("OK");
        assert_eq!(other.to_vec(), b"+OK\r\n");
    }
}
