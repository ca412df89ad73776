//! What the benches share: servers as child processes, the machine they ran on, and the page the results go to.

#[allow(dead_code, reason = "not every bench asks for it")]
pub mod cpu;
#[allow(dead_code, reason = "not every bench has a load of single requests")]
pub mod load;
pub mod machine;
pub mod page;
pub mod request;
pub mod server;
