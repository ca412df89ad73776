//! What many clients at once may see: as if each command and each transaction happened at one moment.
//!
//! Always true: clients begin together behind a barrier, each on a connection of its own, and do a fixed number of
//! things; what they saw is judged afterwards or as they see it, never by luck of timing alone.
//!
//! | file | what |
//! | --- | --- |
//! | `counting` | nothing is lost or done twice: INCR, SETNX, GETDEL, APPEND |
//! | `crowd` | 1,000 clients on one key and on a key each |
//! | `transfers` | transactions keep a sum, with and without WATCH |
//! | `isolation` | nobody sees half an MSET, a transaction, a FLUSHALL or a SWAPDB |
//! | `order` | what was seen stays seen, by everyone |
//! | `linear` | histories of single keys, checked for linearizability |
//! | `library` | the same of the store inside this process |

mod counting;
mod crowd;
mod isolation;
mod library;
mod linear;
mod order;
mod transfers;

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::connection::Connection;
use crate::reply::Reply;

/// Runs all at once, each on a thread of its own, and returns what each returned.
///
/// # Panics
/// When one of them does.
fn together<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(count);
    let (barrier, work) = (&barrier, &work);
    std::thread::scope(|scope| {
        let begin = |number| {
            let run = move || {
                barrier.wait();
                work(number)
            };
            std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, run).expect("a thread")
        };
        let threads: Vec<_> = (0..count).map(begin).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// How many are still at work, so that others go on until they are done, also when one of them fails.
struct Working(AtomicUsize);

struct AtWork<'a>(&'a Working);

impl Working {
    fn new(count: usize) -> Working {
        Working(AtomicUsize::new(count))
    }

    /// Held by each of them while it works.
    fn one(&self) -> AtWork<'_> {
        AtWork(self)
    }

    fn goes_on(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// MULTI, the commands and EXEC in one packet; the replies of EXEC, or `None` if a watched key had changed.
fn transact(connection: &mut Connection, commands: &[&[&str]]) -> Option<Vec<Reply>> {
    let mut bytes = crate::connection::encode(&["MULTI"]);
    commands.iter().for_each(|words| bytes.extend(crate::connection::encode(words)));
    bytes.extend(crate::connection::encode(&["EXEC"]));
    connection.send_raw(&bytes).expect("to send");
    assert_eq!(connection.receive().expect("a reply"), Reply::Status(b"OK".to_vec()));
    for words in commands {
        assert_eq!(connection.receive().expect("a reply"), Reply::Status(b"QUEUED".to_vec()), "{words:?}");
    }
    match connection.receive().expect("a reply") {
        Reply::Array(replies) => Some(replies),
        Reply::Null | Reply::NullArray => None,
        other => panic!("EXEC answered {other:?}"),
    }
}

/// A bulk reply as a number; no value counts as 0.
fn number(reply: &Reply) -> i64 {
    match reply {
        Reply::Integer(value) => *value,
        Reply::Null => 0,
        reply => std::str::from_utf8(reply.bytes().unwrap_or_else(|| panic!("{reply:?}")))
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("{reply:?} is no number")),
    }
}
