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
