//! Collections of millions of elements and values of a hundred megabytes: written, read, restarted, compacted, deleted,
//! within memory that is stated here.
//!
//! Always true: a client makes each element from its number, so that what is there is judged by what was asked for; the
//! most memory a process has taken is read before it is ended.
//!
//! `cargo test` does it with a few thousand elements, `tests/large.sh` with 5,000,000 of each type and 100 MB.
//!
//! | file | what |
//! | --- | --- |
//! | `elements` | the elements of each type, and the digest of them |
//! | `filling` | how they are written, changed and taken away |
//! | `reading` | all of them read back, in every way there is |
//! | `collections` | the proof for one type after the other |
//! | `value` | the proof for one large value in a hash |

mod collections;
mod elements;
mod filling;
mod reading;
mod value;

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::connection::Connection;
use crate::server::{Server, wait_until};

const MEGABYTE: u64 = 1 << 20;

const PATIENCE: Duration = Duration::from_secs(300);

/// A number of INFO.
fn info(connection: &mut Connection, name: &str) -> u64 {
    let reply = connection.ask(&["INFO", "everything"]);
    let text = String::from_utf8_lossy(reply.bytes().expect("INFO is text")).into_owned();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

/// The longest that a server may take to end, on a machine that has other things to do: whatever it holds, it has one sync and
/// the hint of a segment or two to write.
const ENDED_WITHIN: Duration = Duration::from_secs(30);

/// SIGTERM, and then a start on the same directory. Much may have to be read at the beginning.
fn end_and_start(mut server: Server) -> Server {
    server.signal(Signal::TERM);
    wait_until("the server to end", ENDED_WITHIN, || !server.is_running());
    let status = server.wait_exit("after SIGTERM");
    assert_eq!(status.code(), Some(0), "{status}\n{}", server.log());
    server.restart()
}

/// Asserts what memory a server has taken since it was started.
fn is_within(server: &Server, limit: u64) {
    let most = server.memory_max();
    assert!(most <= limit, "{} MB of memory are more than {} MB", most / MEGABYTE, limit / MEGABYTE);
}

/// Tells what was done since the last time, how long it took, and what memory the server has.
struct Diary<'a> {
    of: &'a str,
    began: Instant,
}

impl Diary<'_> {
    fn new(of: &str) -> Diary<'_> {
        Diary { of, began: Instant::now() }
    }

    fn note(&mut self, server: &Server, done: &str) {
        let seconds = self.began.elapsed().as_secs_f64();
        let (now, most) = (server.memory() / MEGABYTE, server.memory_max() / MEGABYTE);
        println!("{}: {done} in {seconds:.2} s; resident {now} MB, at most {most} MB", self.of);
        self.began = Instant::now();
    }
}
