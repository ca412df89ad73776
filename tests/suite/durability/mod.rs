//! What was acknowledged is there afterwards: after `kill -9`, after SIGTERM, after every form of SHUTDOWN, after a power
//! cut.
//!
//! Always true: what must be there is computed from the answers that clients got, never from what the server says of
//! itself; a server is ended when a number of answers has come, not when a time has passed.
//!
//! | file | what |
//! | --- | --- |
//! | `model`, `collections` | what a client's own keys hold after each thing it asked for |
//! | `writer`, `planning` | one client: what it asks for, what it was told |
//! | `queues` | clients that wait for what others push |
//! | `load`, `stored` | many of them at once, and the check afterwards |
//! | `kill` | `kill -9` in the middle of it, again and again |
//! | `ending` | SIGTERM, SIGINT and every form of SHUTDOWN |
//! | `power`, `images` | the power cut in the middle of it, on file systems that `tests/power.sh` makes |
//! | `starting` | what is answered while loading, and who may not start |

mod collections;
mod ending;
mod images;
mod kill;
mod load;
mod model;
mod planning;
mod power;
mod queues;
pub mod starting;
mod stored;
mod writer;
