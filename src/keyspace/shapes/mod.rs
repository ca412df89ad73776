//! What the elements of a large collection are kept in: plain data, without locks, disk or clock.
//!
//! Always true: no call moves more than a page or the nodes on one path, so that a collection of millions of elements
//! changes in the time that a small one takes.
//!
//! | file | what |
//! | --- | --- |
//! | `table` | elements found by name: an extendible hash |
//! | `ranked`, `ranked/node`, `ranked/iter` | elements in order, found by rank or by key: a B+tree that counts |

mod ranked;
mod table;

#[cfg(test)]
mod tests;

pub use ranked::{Item, Ranked};
pub use table::{Named, Table};

/// Where a walk that changes elements goes on. It is a hint: elements that come, go or move meanwhile may be met twice or not
/// at all, but the walk gets on and comes to an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// Of a table: where in the order of its elements the page begins that it has come to.
    pub order: u64,
    /// How many elements it has passed from there on, or how many buckets.
    pub passed: usize,
}

impl Cursor {
    /// Beyond the end.
    pub const MAX: Self = Self { order: u64::MAX, passed: usize::MAX };
}
