//! Tests of the shapes against plain models.

mod ranked;
mod table;
