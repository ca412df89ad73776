//! The limits that whoever runs a cache sets: memory stays below them under any load.
//!
//! Always true: what is measured is what the kernel says of the process; a check that needs a control group says so and is
//! skipped where none can be made, unless `CASKADE_REQUIRE_GROUPS=1`.
//!
//! | file | what |
//! | --- | --- |
//! | `group` | a control group with a memory limit |
//! | `load` | clients that write as fast as they can |
//! | `memory` | the process stays below its limit, whatever is written |
//! | `eviction` | which keys go, and who is told |

mod eviction;
mod group;
mod load;
mod memory;

use crate::connection::Connection;
use crate::server::Server;

const MEGABYTE: u64 = 1 << 20;

/// A number from INFO.
fn info(client: &mut Connection, name: &str) -> u64 {
    let text = client.ask(&["INFO", "everything"]);
    let text = String::from_utf8_lossy(text.bytes().expect("text")).into_owned();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// What the process may have of the machine for a limit, in bytes.
fn bound(limit: u64) -> u64 {
    limit + limit / 4 + 64 * MEGABYTE
}

/// The process has never had more than that.
fn assert_bounded(server: &Server, limit: u64) {
    let most = server.memory_max();
    println!("{} MB at most, for a limit of {} MB", most >> 20, limit >> 20);
    assert!(most < bound(limit), "{} MB for a limit of {} MB", most >> 20, limit >> 20);
}
