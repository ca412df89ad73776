//! Where the memory goes, for INFO and MEMORY.
//!
//! Always true: every byte that the allocator handed out belongs to the data or to the overhead, never to both.

use crate::allocator;
use crate::node::Node;

/// What is known of the memory at one moment, in bytes.
#[derive(Clone, Debug, Default)]
pub struct MemoryFacts {
    /// All living blocks.
    pub used: u64,
    /// The most there ever were.
    pub peak: u64,
    /// As many were there before any key was loaded.
    pub startup: u64,
    /// Of this process in the machine's memory.
    pub resident: u64,
    /// The same without the pages of files, which are the program itself.
    pub resident_own: u64,
    /// Keys and the values that are in memory.
    pub dataset: u64,
    /// What is not yet written, or not yet synced.
    pub log_buffer: u64,
    /// What clients have sent and is not yet executed, what they have not read, and their own state.
    pub clients: u64,
    /// Those with keys.
    pub databases: Vec<DatabaseFacts>,
}

/// One database, in bytes where nothing else is said.
#[derive(Clone, Debug, Default)]
pub struct DatabaseFacts {
    pub number: u32,
    /// How many.
    pub keys: u64,
    pub table_bytes: u64,
    pub deadline_bytes: u64,
}

impl MemoryFacts {
    /// As of now.
    pub fn now(node: &Node) -> Self {
        let used = allocator::allocated();
        node.stats.memory.note(used);
        let resident = allocator::resident();
        let mut facts = Self {
            used,
            peak: node.stats.memory.peak(),
            startup: node.stats.memory.startup(),
            resident: resident.all,
            resident_own: resident.all.saturating_sub(resident.of_files),
            clients: node.clients.memory_bytes(),
            ..Self::default()
        };
        if let Some(keyspace) = node.keyspace() {
            let memory = keyspace.memory_use();
            facts.dataset = memory.entries + memory.collections;
            facts.log_buffer = keyspace.store().status().window_bytes;
            for number in 0..keyspace.databases() {
                let size = keyspace.size(number);
                if size.keys > 0 {
                    let (keys, table_bytes) = (size.keys as u64, keyspace.table_bytes(number));
                    let deadline_bytes = size.volatile as u64 * DEADLINE_BYTES;
                    facts.databases.push(DatabaseFacts { number, keys, table_bytes, deadline_bytes });
                }
            }
        }
        facts
    }

    /// What is not data.
    pub fn overhead(&self) -> u64 {
        self.used.saturating_sub(self.dataset)
    }
}

/// A deadline and a hash, for each key that has a time to live.
const DEADLINE_BYTES: u64 = 16;

/// A part of a whole, which may be more than one; 0 of nothing.
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
