//! The same keys in redis-server.

use std::io::{Read, Write};
use std::time::Instant;

use super::measure::Memory;
use crate::common::server::{Program, Server};

/// Memory of `count` keys, by Redis's own account and as resident; the time is that of setting them.
pub fn measure(redis: &Program, count: usize, value: &dyn Fn(&[u8]) -> Vec<u8>) -> Memory {
    let mut program = redis.clone();
    // Its log makes no difference to the memory of its keys.
    program.arguments.extend(["--appendonly".to_owned(), "no".to_owned()]);
    let server = program.start(None);
    let (before, start) = (used(&server), Instant::now());
    server.fill((0..count).map(super::key).map(|key| [key.to_vec(), value(&key)]));
    let seconds = start.elapsed().as_secs_f64();
    let after = used(&server);
    Memory { allocated: after.0 - before.0, resident: after.1.saturating_sub(before.1), seconds }
}

/// `used_memory` and `used_memory_rss`.
fn used(server: &Server) -> (u64, u64) {
    let mut stream = server.connect();
    stream.write_all(b"INFO memory\r\nQUIT\r\n").expect("to send");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("a reply");
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| value.parse::<u64>().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
    };
    (field("used_memory"), field("used_memory_rss"))
}
