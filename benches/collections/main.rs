//! What hashes, lists, sets and sorted sets cost, beside redis-server in the same run: `cargo bench --bench collections`.
//!
//! Always true: the servers take turns within each round; what stands in a table is the median over the rounds; after each
//! round the collections have as many elements as they must.
//!
//! | file | what |
//! | --- | --- |
//! | `options` | what to measure |
//! | `client` | a client that waits for each answer |
//! | `content` | collections before anything is measured |
//! | `load` | many connections with a pipeline in flight each |
//! | `throughput` | requests each second, by command and by size |
//! | `removal` | how long others wait while a collection goes |
//! | `memory` | bytes for an element |
//! | `restart` | seconds until all is loaded |

#[path = "../common/mod.rs"]
mod common;

mod client;
mod content;
mod load;
mod memory;
mod options;
mod removal;
mod restart;
mod throughput;

use common::server::Program;
use common::{machine, page};
use options::{Options, PARTS};

type Part = fn(&[Program], &Options) -> String;

fn main() {
    let options = options::parse();
    let parts: [Part; PARTS.len()] =
        [throughput::measure, throughput::measure_sizes, removal::measure, memory::measure, restart::measure];
    let mut tables = String::new();
    for (name, measure) in PARTS.iter().zip(parts) {
        if options.has_part(name) {
            tables.push_str(&measure(&options.programs, &options));
        }
    }
    let servers: Vec<_> = options.programs.iter().map(|program| (program.name, program.path.as_path())).collect();
    let text = machine::describe(&servers) + &tables;
    println!("\n{text}");
    if options.is_complete {
        page::write("collections", &text);
    }
}
