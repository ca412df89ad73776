//! Tests of the shapes against plain models.

mod table;
