//! Tests of the keyspace over a simulated disk.
//!
//! | file | what |
//! | --- | --- |
//! | `model` | steps as data, and the states they lead through |
//! | `runner` | does the steps in a keyspace |
//! | `recorder` | a disk that keeps every state a crash may leave |
//! | `trial` | a workload whose disk may fail, and what its callers were told |
//! | `backup` | backups, and moments of the past |
//! | `caches` | other caches, to compare with |
//! | `collections` | values that have elements, in the model |
//! | `compaction` | what it leaves and takes away |
//! | `crash` | crashes at every call |
//! | `damage` | bytes change, files are cut, exchanged or gone |
//! | `deletions` | what they take of the disk, and for how long |
//! | `elements` | elements of large collections while others are at work |
//! | `faults` | the disk fails at every call |
//! | `full` | collections on a full disk |
//! | `hand` | what it sends back to the disk, and how far it goes at once |
//! | `hit_rate` | how often what is asked for is in memory |
//! | `listeners` | who is told of changes |
//! | `moves` | keys that go from one database to another |
//! | `random` | random steps, restarts, crashes and faults |
//! | `repairs` | damaged disks are repaired |
//! | `schedules` | threads whose order a scheduler decides |
//! | `threads` | many writers, and a disk that fails |
//! | `warmth` | what was in memory is there again after a restart |
//! | `regressions` | bugs that stores of this family have had |

mod backup;
mod caches;
mod collections;
mod compaction;
mod crash;
mod damage;
mod deletions;
mod elements;
mod evict;
mod faults;
mod full;
mod hand;
mod hit_rate;
mod listeners;
mod loading;
mod model;
mod moves;
mod random;
mod recorder;
mod regressions;
mod repairs;
mod runner;
mod schedules;
mod threads;
mod trial;
mod warmth;

/// A number from the environment, for those who want more than each run of the tests does.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}
