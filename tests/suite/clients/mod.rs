//! Unchanged client libraries.
