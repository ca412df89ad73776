//! Values as data: no I/O, no lock, no clock.

mod float_text;
pub mod glob;
pub mod kind;
pub mod lcs;
pub mod long_double;
pub mod number;
pub mod packed;
pub mod string;
pub mod time;
