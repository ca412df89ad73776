//! How fast the server is beside redis-server, in the same run on the same machine: `cargo bench --bench throughput`.
//!
//! Always true: the servers take turns within each round, so that whatever else the machine does hits both; every
//! reply is checked; what stands in a table is the median over the rounds.
//!
//! | file | what |
//! | --- | --- |
//! | `options` | what to measure |
//! | `workload` | requests and right replies as bytes |
//! | `load` | the process that sends them |
//! | `content` | keys before a workload, and what must stand in them after it |
//! | `report` | tables |

#[path = "../common/mod.rs"]
mod common;

mod content;
mod load;
mod options;
mod report;
mod workload;

use common::server::Server;
use common::{machine, page};
use load::{Load, Measured};
use options::{Options, Placement};
use report::{Result, Row};
use workload::Workload;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == load::COMMAND) {
        return load::make(&arguments[1..]);
    }
    let options = options::parse();
    let mut results = Vec::new();
    for &placement in &options.placements {
        for &workload in &options.workloads {
            results.extend(measure(&options, placement, workload));
        }
    }
    let servers: Vec<_> = options.programs.iter().map(|program| (program.name, program.path.as_path())).collect();
    let text = report::text(&options, &machine::describe(&servers), &results);
    println!("\n{text}");
    if options.is_complete {
        page::write("throughput", &text);
    }
}

/// One workload at every depth, with servers of its own.
fn measure(options: &Options, placement: Placement, workload: Workload) -> Vec<Result> {
    let start = |program: &common::server::Program| program.start(placement.server_cpus().as_deref());
    let servers: Vec<Server> = options.programs.iter().map(start).collect();
    servers.iter().for_each(|server| content::fill(server, workload, options.keys));
    let mut requests = vec![0; servers.len()];
    let mut results = Vec::new();
    for &depth in &options.depths {
        let load = Load {
            workload,
            depth,
            connections: options.connections,
            keys: options.keys,
            warm_up: options.warm_up,
            duration: options.duration,
        };
        let mut rounds: Vec<Vec<Measured>> = Vec::new();
        for _ in 0..options.rounds {
            let round = servers.iter().map(|server| load.run(server, placement.load_cpus().as_deref()));
            let round: Vec<Measured> = round.collect();
            requests.iter_mut().zip(&round).for_each(|(sum, measured)| *sum += measured.requests);
            rounds.push(round);
        }
        let result = Result { placement, workload, depth, row: Row::of(&rounds) };
        println!("{}", result.line(options));
        results.push(result);
    }
    for (server, requests) in servers.iter().zip(requests) {
        content::check(server, workload, options.keys, requests);
    }
    results
}
